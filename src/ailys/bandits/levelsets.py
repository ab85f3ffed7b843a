"""Which arms are above a threshold, and is any arm below it: answers that are sets, or yes and no."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..core.guarantee import Guarantee
from ..core.randomness import Seed
from ._divergence_kernels import kl as _kl
from ._identification_kernels import sample_mean
from ._stopping_kernels import CODES, arm_level
from .agent import IN_ORDER, Agent, Recommendation, check_number
from .complexity import check_delta
from .families import Family, as_family, kl_divergence
from .thresholds import SOURCES, check_threshold, threshold_constants

__all__ = ["APT", "LevelSet", "MinimumTest", "level_set_time", "minimum_test_time"]

Arms = int | Sequence[Any]


def level_set_time(means: Any, theta: float, family: Family | str = "bernoulli") -> tuple[float, np.ndarray]:
    """Characteristic time ``sum 1 / d(mu_a, theta)`` of the level set, and the best proportions of draws.

    Parameters
    ----------
    means : (K,) means of the arms, in the units of the rewards
    theta : the level, none of the means
    family : reward family, or its name as "gaussian(0.5)"

    Raises
    ------
    ValueError
        a mean outside of the range of the family, or equal to theta

    Examples
    --------
    >>> time, weights = level_set_time([0.3, 0.45, 0.6, 0.52], 0.5)
    >>> round(time, 6), [round(float(w), 6) for w in weights]
    (1511.14912, [0.008042, 0.132129, 0.032865, 0.826964])
    """
    family = as_family(family)
    cost = 1 / _divergences(means, theta, family)
    return float(cost.sum()), cost / cost.sum()


def minimum_test_time(means: Any, theta: float, family: Family | str = "bernoulli") -> float:
    """Characteristic time of the question whether the smallest mean is below ``theta``.

    Parameters
    ----------
    means : (K,) means of the arms, in the units of the rewards
    theta : the level, none of the means
    family : reward family, or its name as "gaussian(0.5)"

    Raises
    ------
    ValueError
        as for `level_set_time`

    Examples
    --------
    >>> round(minimum_test_time([0.3, 0.6], 0.5), 4), round(minimum_test_time([0.6, 0.7], 0.5), 4)
    (12.1532, 61.8167)
    """
    family = as_family(family)
    cost = 1 / _divergences(means, theta, family)
    below = np.asarray(means, dtype=float) < theta
    return float(cost[below].min() if below.any() else cost.sum())


def _divergences(means: Any, theta: float, family: Family) -> np.ndarray:
    array = family.check_means(means)
    family.check_means(theta, "theta")
    if array.ndim != 1 or not len(array):
        raise ValueError(f"expected the means of the arms; got an array of shape {array.shape}")
    if (array == theta).any():
        raise ValueError(f"an arm has the mean theta = {theta:g} exactly: no number of draws places it")
    return np.asarray(kl_divergence(array, theta, family))


class _ThresholdAgent(Agent):
    """Common part of the agents that compare means with a number."""

    def __init__(self, n_arms: Arms, theta: float, family: Family | str, rng: Seed, log: str | Path | None,
                 parameters: Mapping[str, Any]) -> None:  # fmt: skip
        kind = as_family(family)
        self.theta = float(kind.check_means(theta, "theta"))
        self._level = float(kind.to_unit(self.theta))
        super().__init__(n_arms, kind, rng, log, {"theta": self.theta, **parameters})

    def _evidence(self) -> np.ndarray:
        """``N_a d(mean_a, theta)``."""
        code, sigma = self.family.code, self.family.sigma
        return np.array(
            [
                n * _kl(s / n, self._level, code, sigma) if n else 0.0
                for n, s in zip(self.counts, self.sums, strict=True)
            ]
        )

    def _fresh(self) -> int | None:
        unseen = np.flatnonzero(self.counts == 0)
        return int(unseen[0]) if len(unseen) else None

    def _above(self) -> np.ndarray:
        return np.asarray(self.sums > self._level * self.counts)

    def _even(self, candidates: np.ndarray) -> int:
        return int(candidates[0]) if len(candidates) == 1 else int(self.rng.choice(candidates))


class _ConfidentAgent(_ThresholdAgent):
    """Those that are wrong with probability at most delta."""

    def __init__(self, n_arms: Arms, theta: float, family: Family | str = "bernoulli", delta: float = 0.05,
                 threshold: str | None = None, rng: Seed = None, *, log: str | Path | None = None) -> None:  # fmt: skip
        kind = as_family(family)
        self.delta = check_delta(delta)
        self.threshold = _with_proof(threshold, kind)
        super().__init__(n_arms, theta, kind, rng, log, {"delta": self.delta, "threshold": self.threshold})


class LevelSet(_ConfidentAgent):
    """Identify the arms whose mean is above ``theta``, wrong in any arm with probability at most delta.

    Tracks the proportions ``w_a ~ 1 / d(mean_a, theta)`` among the arms that are not settled; an arm is settled when
    ``N_a d(mean_a, theta)`` exceeds the level of an interval that holds for all arms at all times.

    Raises
    ------
    ValueError
        as for `Agent`; theta outside of the range of means, delta not strictly between 0 and 1, a threshold for
        pairs of arms

    Examples
    --------
    >>> from ailys.bandits import Arms, run
    >>> run(LevelSet(3, theta=0.5, rng=0), Arms([0.2, 0.9, 0.8], rng=0), 10_000).agent.recommend().action
    [1, 2]
    """

    def _setup(self) -> None:
        self._constants = threshold_constants(self.threshold, self.delta, self.n_arms)
        self._open = np.ones(self.n_arms, bool)
        self._side = np.zeros(self.n_arms, bool)

    def _choose(self) -> int:
        fresh = self._fresh()
        if fresh is not None:
            return fresh
        least = int(np.argmin(self.counts))
        if self._open[least] and self.counts[least] < math.sqrt(self.t) - self.n_arms / 2:
            return least
        n = np.maximum(self.counts, 1)
        # the arm whose evidence is smallest is the one most behind its share N_a ~ 1 / d
        evidence = np.where(self._open if self._open.any() else True, self._evidence() + 1e-12 * n, np.inf)
        return self._even(np.flatnonzero(evidence == evidence.min()))

    def _observe(self, arm: int, reward: float) -> None:
        super()._observe(arm, reward)
        if self._open[arm]:
            level = arm_level(
                CODES[self.threshold], self._constants, self.family.code, self.t + 1, self.counts[arm], self.sums[arm]
            )
            if self._evidence()[arm] > level:
                self._open[arm] = False
                self._side[arm] = self._above()[arm]

    @property
    def should_stop(self) -> bool:
        """Whether every arm is settled."""
        return not self._open.any()

    def recommend(self) -> Recommendation:
        """The list of arms above the threshold."""
        self._require_outcomes()
        above = np.where(self._open, self._above(), self._side)
        answer = [self.label(int(a)) for a in np.flatnonzero(above)]
        proof = None
        if self.should_stop:
            proof = _correct(
                f"the arms above {self.theta:g} are exactly those named", self.delta, self.threshold, self.family
            )
        confidence = 1 - self.delta if proof else None
        return Recommendation(answer, confidence, 0.0, self.should_stop, self.t, None, None, proof)

    def _extra(self) -> dict[str, Any]:
        return {"open": self._open.tolist(), "side": self._side.tolist()}

    def _restore(self, extra: Mapping[str, Any]) -> None:
        self._open[:], self._side[:] = extra["open"], extra["side"]


class APT(_ThresholdAgent):
    """Level set with a fixed budget: draw the arm of the smallest ``sqrt(N) (|mean - theta| + epsilon)``.

    Locatelli, Gutzeit, Carpentier 2016. No stopping rule: draw as long as there is budget.

    Raises
    ------
    ValueError
        as for `Agent`; theta outside of the range of means, epsilon < 0
    """

    def __init__(self, n_arms: Arms, theta: float, family: Family | str = "bernoulli", epsilon: float = 0.0,
                 rng: Seed = None, *, log: str | Path | None = None) -> None:  # fmt: skip
        self.epsilon = check_number(epsilon, "epsilon")
        super().__init__(n_arms, theta, family, rng, log, {"epsilon": self.epsilon})

    def _choose(self) -> int:
        fresh = self._fresh()
        if fresh is not None:
            return fresh
        index = np.sqrt(self.counts) * (np.abs(self.means - self.theta) + self.epsilon)
        return self._even(np.flatnonzero(index == index.min()))

    def recommend(self) -> Recommendation:
        """The list of arms whose observed mean is above the threshold."""
        self._require_outcomes()
        answer = [self.label(int(a)) for a in np.flatnonzero(self._above())]
        return Recommendation(answer, None, self.epsilon, False, self.t)


class MinimumTest(_ConfidentAgent):
    """Is the smallest mean below ``theta``? Murphy sampling (Kaufmann, Koolen, Garivier 2018).

    Means are drawn from their posterior until one of them is below theta; the arm of the smallest is drawn. Stops with
    "yes" when one arm is below with evidence ``ln(K / delta)`` plus its mixture's regret, with "no" when every arm is above
    with evidence ``ln(1 / delta)`` plus its mixture's regret.

    Raises
    ------
    ValueError
        as for `LevelSet`

    Examples
    --------
    >>> from ailys.bandits import Arms, run
    >>> run(MinimumTest(3, theta=0.5, rng=0), Arms([0.2, 0.9, 0.8], rng=0), 10_000).agent.recommend().action
    True
    """

    def _setup(self) -> None:
        self._yes = threshold_constants(self.threshold, self.delta, self.n_arms)
        self._no = threshold_constants(self.threshold, self.delta, 1, 1)  # the one arm that is below has to mislead
        self._answer: bool | None = None

    def _choose(self) -> int:
        fresh = self._fresh()
        if fresh is not None:
            return fresh
        for _ in range(1000):
            sample = [
                sample_mean(self.family.code, self.family.sigma, s, n, self.rng)
                for s, n in zip(self.sums, self.counts, strict=True)
            ]
            if min(sample) < self._level:
                return int(np.argmin(sample))
        # the posterior puts next to nothing below theta: the arm that is most likely to be there
        evidence = self._evidence()
        return self._even(np.flatnonzero(evidence == evidence.min()))

    def _observe(self, arm: int, reward: float) -> None:
        super()._observe(arm, reward)
        if self._answer is not None or self.counts.min() == 0:
            return
        evidence, above, code = self._evidence(), self._above(), CODES[self.threshold]
        arguments = (self.family.code, self.t + 1)
        levels = [(n, s) for n, s in zip(self.counts, self.sums, strict=True)]
        yes = np.array([arm_level(code, self._yes, *arguments, n, s) for n, s in levels])
        no = np.array([arm_level(code, self._no, *arguments, n, s) for n, s in levels])
        if (~above & (evidence > yes)).any():
            self._answer = True
        elif (above & (evidence > no)).all():
            self._answer = False

    @property
    def should_stop(self) -> bool:
        """Whether the question is answered."""
        return self._answer is not None

    def recommend(self) -> Recommendation:
        """True if some arm is below the threshold."""
        self._require_outcomes()
        answer = bool((~self._above()[self.counts > 0]).any()) if self._answer is None else self._answer
        proof = None
        if self.should_stop:
            what = f"{'some' if answer else 'no'} arm has a mean below {self.theta:g}"
            proof = _correct(what, self.delta, self.threshold, self.family)
        confidence = 1 - self.delta if proof else None
        return Recommendation(answer, confidence, 0.0, self.should_stop, self.t, None, None, proof)

    def _extra(self) -> dict[str, Any]:
        return {"answer": self._answer}

    def _restore(self, extra: Mapping[str, Any]) -> None:
        self._answer = extra["answer"]


def _with_proof(threshold: str | None, family: Family) -> str:
    name = check_threshold(threshold, family)
    if name in ("garivier-kaufmann", "heuristic"):
        raise ValueError(f"the threshold {name!r} is for pairs of arms; leave it out, or use 'kaufmann-koolen'")
    return name


def _correct(what: str, delta: float, threshold: str, family: Family) -> Guarantee:
    return Guarantee(
        "delta-correct",
        f"{what}, with probability at least {1 - delta:g}",
        level=1 - delta,
        values={"delta": delta},
        assumptions=(
            f"rewards of an arm are independent, of one law of the family {family}",
            "which arm is drawn depends on the past only",
            IN_ORDER,
        ),
        source=SOURCES[threshold],
    )
