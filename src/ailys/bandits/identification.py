"""Agents that look for a best arm and stop when they can name one with probability of error at most delta.

A sampling rule decides which arm to draw; the stopping rule is common: the generalised likelihood ratio of the answer
against every rival exceeds a threshold (`glr_threshold`). Whatever the sampling rule is, the answer is wrong
with probability at most delta; the sampling rule decides how many draws that takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..core.answer import Answer
from ..core.guarantee import Guarantee
from ..core.randomness import Seed
from . import _identification_kernels as kernels
from ._stopping_kernels import CODES, settled
from .agent import IN_ORDER, Agent, Recommendation
from .complexity import OracleWeights, check_delta, check_epsilon, oracle_weights
from .families import Family
from .thresholds import SOURCES, check_threshold, threshold_constants

__all__ = [
    "EBTCI",
    "T3C",
    "TTTS",
    "TTUCB",
    "CTracking",
    "ChernoffRacing",
    "DTracking",
    "FrankWolfeSampling",
    "GradientAscentSampling",
    "IdentificationAgent",
    "IdentificationReport",
    "KLLUCB",
    "KLRacing",
    "StickyTrackAndStop",
    "UniformSampling",
]

Arms = int | Sequence[Any]


@dataclass(frozen=True)
class IdentificationReport(Answer):
    """Where an identification stands.

    Attributes
    ----------
    policy : sampling rule
    answer : arm named (the empirical best before the rule stops)
    stopped : whether the stopping rule is met
    delta, epsilon, threshold : what was asked for, and the threshold used
    counts, means : draws and means of the arms
    statistic, needed : evidence against the hardest rival and what it has to exceed
    """

    policy: str
    answer: Any
    stopped: bool
    delta: float
    epsilon: float
    threshold: str
    counts: np.ndarray
    means: np.ndarray
    statistic: float
    needed: float
    proof: Guarantee | None

    def facts(self) -> Mapping[str, Any]:
        """The fields, in order, and the number of draws."""
        names = (
            "policy",
            "answer",
            "stopped",
            "delta",
            "epsilon",
            "threshold",
            "counts",
            "means",
            "statistic",
            "needed",
        )
        return {**{name: getattr(self, name) for name in names}, "n_samples": int(self.counts.sum())}

    @property
    def guarantee(self) -> Guarantee | None:
        """delta-correctness, once stopped by a proved threshold."""
        return self.proof

    def plot(self, ax: Any = None, *, weights: OracleWeights | None = None) -> Any:
        """Proportions of draws against the oracle's weights at the means observed."""
        from .plots import plot_proportions

        return plot_proportions(self.counts, weights, ax)


class IdentificationAgent(Agent):
    """Base of the identification agents.

    Parameters
    ----------
    n_arms : number of arms, or their labels
    family : reward family
    delta : probability of a wrong answer
    epsilon : an arm within epsilon of the best is a right answer
    threshold : see `glr_threshold`; None takes the cheapest that is proved for the family
    rng : generator or seed
    log : path of a CSV file to which every ask and tell is appended

    Raises
    ------
    ValueError
        fewer than two arms, delta not strictly between 0 and 1, an epsilon that the family does not allow, an unknown threshold or one of another family

    Examples
    --------
    >>> from ailys.bandits import DTracking
    >>> agent = DTracking(2, delta=0.1, rng=0)
    >>> while not agent.should_stop:
    ...     arm = agent.ask()
    ...     agent.tell(arm, arm == 1)  # the second arm always succeeds, the first never
    >>> agent.recommend().action, agent.recommend().confidence
    (1, 0.9)
    """

    rule: ClassVar[int]

    def __init__(
        self,
        n_arms: Arms,
        family: Family | str = "bernoulli",
        delta: float = 0.05,
        epsilon: float = 0.0,
        threshold: str | None = None,
        rng: Seed = None,
        *,
        log: str | Path | None = None,
        **own: Any,
    ) -> None:
        from .families import as_family

        kind = as_family(family)
        self.delta = check_delta(delta)
        self.epsilon = check_epsilon(epsilon, kind)
        self.threshold = check_threshold(threshold, kind)
        if self.threshold == "heuristic":
            import warnings

            warnings.warn("the threshold 'heuristic' has no proof: answers come without a guarantee", stacklevel=2)
        parameters = {"delta": self.delta, "epsilon": self.epsilon, "threshold": self.threshold, **own}
        super().__init__(n_arms, kind, rng, log, parameters)

    def _options(self) -> Sequence[float]:
        """Numbers that the kernel of the rule reads."""
        return ()

    def _setup(self) -> None:
        n = self.n_arms
        if self.threshold == "garivier-kaufmann" and self.rule in (kernels.KL_LUCB, kernels.KL_RACING):
            raise ValueError(
                "the threshold 'garivier-kaufmann' is for pairs of arms; this rule needs one for single arms"
            )
        self._work = np.zeros((6, n))
        self._work[kernels.WEIGHTS] = 1.0 / n
        self._work[kernels.ALIVE] = 1.0
        self._warm = np.full(n + 2, -1.0)
        self._queue = np.zeros(max(n, 2), np.int64)
        self._ints = np.zeros(5, np.int64)
        self._ints[kernels.FOLLOWED] = -1
        self._own_options = np.array([*self._options(), 0.0, 0.0, 0.0, 0.0][:4])
        self._constants = threshold_constants(self.threshold, self.delta, n)
        self._eps = self.epsilon / self.family.scale
        self._answer: int | None = None

    def _kernel(self) -> Any:
        return self.rule, CODES[self.threshold], self._constants, self.family.code, self.family.sigma, self._eps

    def _choose(self) -> int:
        return int(
            kernels.choose_arm(  # type: ignore[call-arg]
                *self._kernel(), self._own_options, self.t, self.counts, self.sums, self._work, self._warm, self._queue,
                self._ints, self.rng,
            )
        )  # fmt: skip

    def _observe(self, arm: int, reward: float) -> None:
        super()._observe(arm, reward)
        if self._answer is None:
            answer = kernels.stop_answer(*self._kernel(), self.t + 1, self.counts, self.sums, self._work, self._ints)  # type: ignore[call-arg]
            self._answer = int(answer) if answer >= 0 else None

    @property
    def should_stop(self) -> bool:
        """Whether the stopping rule has been met (draws after that do not undo it)."""
        return self._answer is not None

    def _evidence(self) -> tuple[int, float, float]:
        self._require_outcomes()
        best = int(np.argmax(np.where(self.counts > 0, self.sums / np.maximum(self.counts, 1), -np.inf)))
        answer = best if self._answer is None else self._answer
        rule, constants = CODES[self.threshold], self._constants
        arguments = (self._eps, self.family.code, self.family.sigma, self.t, self.counts, self.sums)
        _, statistic, needed = settled(answer, rule, constants, *arguments)
        return answer, float(statistic), float(needed)

    def _proof(self) -> Guarantee | None:
        if self._answer is None or self.threshold == "heuristic":
            return None
        what = "the best arm" if self.epsilon == 0 else f"within {self.epsilon:g} of the best arm"
        return Guarantee(
            "delta-correct",
            f"the answer is {what} with probability at least {1 - self.delta:g}",
            level=1 - self.delta,
            values={"delta": self.delta, "epsilon": self.epsilon, "n_samples": self.t},
            assumptions=(
                f"rewards of an arm are independent, of one law of the family {self.family}",
                "which arm is drawn depends on the past only",
                IN_ORDER,
            ),
            source=SOURCES[self.threshold],
        )

    def recommend(self) -> Recommendation:
        """The answer, with its confidence once the rule has stopped by a proved threshold."""
        answer, statistic, needed = self._evidence()
        proof = self._proof()
        confidence = 1 - self.delta if proof is not None else None
        return Recommendation(
            self.label(answer), confidence, self.epsilon, self.should_stop, self.t, statistic, needed, proof
        )

    def result(self) -> IdentificationReport:
        """Everything a person looks at."""
        answer, statistic, needed = self._evidence()
        return IdentificationReport(
            type(self).__name__, self.label(answer), self.should_stop, self.delta, self.epsilon, self.threshold,
            self.counts.copy(), self.means, statistic, needed, self._proof(),
        )  # fmt: skip

    def oracle(self) -> OracleWeights:
        """Oracle weights at the means observed."""
        return oracle_weights(self.means, self.family, self.epsilon)

    def _extra(self) -> dict[str, Any]:
        return {
            "work": self._work.tolist(),
            "warm": self._warm.tolist(),
            "queue": self._queue.tolist(),
            "ints": self._ints.tolist(),
            "answer": self._answer,
        }

    def _restore(self, extra: Mapping[str, Any]) -> None:
        self._work[:], self._warm[:] = extra["work"], extra["warm"]
        self._queue[:], self._ints[:] = extra["queue"], extra["ints"]
        self._answer = extra["answer"]


def _every(update_every: Any) -> int:
    if isinstance(update_every, bool) or not isinstance(update_every, (int, np.integer)) or update_every < 1:
        raise ValueError(f"update_every must be a whole number >= 1; got {update_every!r}")
    return int(update_every)


class _Tracking(IdentificationAgent):
    """Rules that follow the oracle's weights, computed every ``update_every`` rounds."""

    def __init__(self, n_arms: Arms, family: Family | str = "bernoulli", delta: float = 0.05, epsilon: float = 0.0,
                 threshold: str | None = None, rng: Seed = None, *, update_every: int = 1,
                 log: str | Path | None = None) -> None:  # fmt: skip
        self._update = _every(update_every)
        super().__init__(n_arms, family, delta, epsilon, threshold, rng, log=log, update_every=self._update)

    def _options(self) -> Sequence[float]:
        return (float(self._update),)


class DTracking(_Tracking):
    """Track-and-Stop with direct tracking of ``w*`` at the means observed (Garivier and Kaufmann 2016).

    Arms with fewer than ``sqrt(t) - K / 2`` draws come first; asymptotically optimal as delta goes to 0.

    Raises
    ------
    ValueError
        as for `IdentificationAgent`; update_every < 1

    Examples
    --------
    >>> from ailys.bandits import Arms, run
    >>> run(DTracking(3, delta=0.1, rng=0), Arms([0.9, 0.5, 0.4], rng=0), 10_000).agent.recommend().action
    0
    """

    rule = kernels.D_TRACKING


class CTracking(_Tracking):
    """Track-and-Stop with tracking of the cumulated weights, kept above ``1 / (2 sqrt(K^2 + t))``.

    Raises
    ------
    ValueError
        as for `DTracking`
    """

    rule = kernels.C_TRACKING


class StickyTrackAndStop(_Tracking):
    """Sticky Track-and-Stop: when several answers are right, keep to one (Degenne and Koolen 2019).

    Follows the first arm, in the order of the arms, that is the best one of some instance in the confidence region
    ``sum N_a d(mean_a, lambda_a) <= ln f(t)``: for Gaussian rewards the answer that is evident soonest is the best arm,
    so this is the rule of the paper; for other families it is a close relative.

    ``f``: "practical" (f(t) = t) or "analysis" (f(t) = t^10).

    Raises
    ------
    ValueError
        as for `IdentificationAgent`; an unknown f, update_every < 1
    """

    rule = kernels.STICKY

    def __init__(self, n_arms: Arms, family: Family | str = "bernoulli", delta: float = 0.05, epsilon: float = 0.0,
                 threshold: str | None = None, rng: Seed = None, *, update_every: int = 1, f: str = "practical",
                 log: str | Path | None = None) -> None:  # fmt: skip
        if f not in ("practical", "analysis"):
            raise ValueError(f"f must be 'practical' or 'analysis'; got {f!r}")
        self._f = f
        self._update = _every(update_every)
        IdentificationAgent.__init__(
            self, n_arms, family, delta, epsilon, threshold, rng, log=log, update_every=self._update, f=f
        )

    def _options(self) -> Sequence[float]:
        return float(self._update), 1.0 if self._f == "practical" else 10.0


class FrankWolfeSampling(IdentificationAgent):
    """One Frank-Wolfe step a round on the smoothed objective (Wang, Tzeng, Proutiere 2021)."""

    rule = kernels.FRANK_WOLFE


class GradientAscentSampling(IdentificationAgent):
    """Exponential weights on the supergradients of the objective (Ménard 2019)."""

    rule = kernels.GRADIENT


class _TopTwo(IdentificationAgent):
    """A leader and a challenger; ``beta`` is the share of the leader, or "ids" to let the evidence decide (You et al. 2023)."""

    rule = kernels.TOP_TWO
    design: ClassVar[tuple[float, float, float]]  # leader, challenger, tracking

    def __init__(self, n_arms: Arms, family: Family | str = "bernoulli", delta: float = 0.05, epsilon: float = 0.0,
                 threshold: str | None = None, rng: Seed = None, *, beta: float | str = 0.5,
                 log: str | Path | None = None) -> None:  # fmt: skip
        if beta != "ids" and not (isinstance(beta, (int, float)) and 0 < beta < 1):
            raise ValueError(f"beta must lie strictly between 0 and 1, or be 'ids'; got {beta!r}")
        self._beta = beta
        super().__init__(n_arms, family, delta, epsilon, threshold, rng, log=log, beta=beta)

    def _options(self) -> Sequence[float]:
        leader, challenger, tracking = self.design
        return leader, challenger, 0.0 if self._beta == "ids" else float(self._beta), tracking


class TTTS(_TopTwo):
    """Top-two Thompson sampling: leader and challenger by posterior samples (Russo 2016).

    Raises
    ------
    ValueError
        as for `IdentificationAgent`; a beta that is neither strictly between 0 and 1 nor "ids"
    """

    design = (kernels.LEAD_SAMPLE, 0.0, 0.0)


class T3C(_TopTwo):
    """Leader by a posterior sample, challenger of least transport cost (Shang et al. 2020).

    Raises
    ------
    ValueError
        as for `TTTS`
    """

    design = (kernels.LEAD_SAMPLE, 1.0, 0.0)


class EBTCI(_TopTwo):
    """Empirical best against the challenger of least ``transport cost + ln N`` (Jourdan, Degenne et al. 2022).

    Raises
    ------
    ValueError
        as for `TTTS`
    """

    design = (kernels.LEAD_BEST, 2.0, 0.0)


class TTUCB(_TopTwo):
    """Leader of the best upper confidence bound, challenger of least transport cost, shares tracked (Jourdan, Degenne 2023).

    Raises
    ------
    ValueError
        as for `TTTS`
    """

    design = (kernels.LEAD_UCB, 1.0, 1.0)


class KLLUCB(IdentificationAgent):
    """Draw the empirical best and the rival of the largest upper index until the two separate (Kaufmann, Kalyanakrishnan 2013).

    Intervals hold for all arms at all times with probability 1 - delta.
    """

    rule = kernels.KL_LUCB


class KLRacing(IdentificationAgent):
    """Draw all remaining arms; drop the worst when its upper index is below the lower index of the best."""

    rule = kernels.KL_RACING


class ChernoffRacing(IdentificationAgent):
    """Draw all remaining arms; drop the worst when the likelihood ratio against the best exceeds the threshold."""

    rule = kernels.CHERNOFF_RACING


class UniformSampling(IdentificationAgent):
    """All arms in turn: the baseline."""

    rule = kernels.UNIFORM
