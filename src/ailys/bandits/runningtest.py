"""`ABTest`: a running test or trial that assigns by chance and says at any time what is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any

import numpy as np

from ..core.randomness import Seed
from ._evidence_kernels import log_factor
from .abtest import ABTestResult, check_alternative, hypothesis
from .agent import Agent, Recommendation
from .clinical import ThompsonTrial
from .complexity import check_delta
from .families import Family, as_family
from .intervals import EFFECTS, confidence_sequence, effect_interval
from .trialdata import check_chances

__all__ = ["ABTest"]


class ABTest(Agent):
    """A running A/B test or trial: assigns by chance, records outcomes, says at any time what is known.

    Parameters
    ----------
    arms : labels, control first
    propensity : probability of the second arm, or probabilities of all arms; default: equal; or an allocator
    alpha : probability of ever rejecting a true hypothesis
    alternative : "two-sided" or "greater"
    allocator : instead of fixed probabilities, a function of (counts, sums) that returns them: `ThompsonTrial`
    family : "bernoulli" or "bounded(low,high)"
    rng, log : as for all agents

    Outcomes that come late are kept back: evidence multiplies trials in the order of assignment.

    Raises
    ------
    ValueError
        fewer than two arms, propensities that are not positive or do not sum to 1, alpha not strictly between 0 and
        1, an unknown alternative, a family without an interval, propensity and allocator together

    Examples
    --------
    >>> test = ABTest(["old", "new"], rng=0)
    >>> for _ in range(200):
    ...     arm = test.assign()
    ...     test.record(arm, int(arm == "new"))
    >>> test.decision, test.p_value < 1e-6
    ('reject', True)
    """

    _fresh_first = False  # chance alone assigns, the first trials too

    def __init__(
        self,
        arms: Sequence[Any] | int = ("A", "B"),
        propensity: float | Sequence[float] | Callable[..., np.ndarray] | None = None,
        alpha: float = 0.05,
        *,
        alternative: str = "two-sided",
        allocator: Callable[..., np.ndarray] | None = None,
        family: Family | str = "bernoulli",
        rng: Seed = None,
        log: str | Path | None = None,
        clip: Sequence[float] | None = None,
        prior: float = 1.0,
    ) -> None:
        kind = as_family(family)
        if kind.name not in ("bernoulli", "bounded"):
            raise ValueError(
                f"an A/B test takes outcomes 0 and 1 ('bernoulli') or in an interval ('bounded'); got {kind.name!r}"
            )
        if not isinstance(arms, (int, np.integer)) and (isinstance(arms, str) or not isinstance(arms, Sized)):
            raise ValueError(f"arms must be a list of at least two labels, or their number; got {arms!r}")
        n = int(arms) if isinstance(arms, (int, np.integer)) else len(arms)
        self.alpha = check_delta(alpha, "alpha")
        check_alternative(alternative, n, kind.name == "bernoulli")
        self.alternative = alternative
        if clip is not None and allocator is None:  # as stored in a state
            allocator = ThompsonTrial((float(clip[0]), float(clip[1])), float(prior))
        if callable(propensity):
            propensity, allocator = None, propensity
        if allocator is not None and propensity is not None:
            raise ValueError("give propensity or allocator, not both")
        self._allocator = allocator
        self._fixed = None if allocator is not None else check_chances(propensity, n)
        parameters = {"alpha": self.alpha, "alternative": alternative}
        if isinstance(allocator, ThompsonTrial):
            parameters["clip"], parameters["prior"] = list(allocator.clip), float(allocator.prior)
        elif self._fixed is not None:
            parameters["propensity"] = self._fixed.tolist()
        if isinstance(allocator, ThompsonTrial):
            allocator(np.zeros(n), np.zeros(n))  # refused now rather than with the first patient
        super().__init__(arms, kind, rng, log, parameters)

    def _setup(self) -> None:
        self._n, self._s = np.zeros(self.n_arms), np.zeros(self.n_arms)  # in the order of assignment
        self._given: dict[int, list[float]] = {}
        self._held: dict[int, tuple[int, float] | None] = {}  # None: dropped
        self._dropped = 0
        self._turn, self._log_e, self._best = 1, 0.0, 0.0

    # -- the work -----------------------------------------------------------------------------------

    def assign(self, size: int | None = None) -> Any:
        """The arm of the next trial, by chance; `last_trial` is its number."""
        return self.ask(size)

    def record(self, arm: Any, outcome: Any, trial: Any = None) -> None:
        """The outcome of a trial (see `Agent.tell`).

        Raises
        ------
        ValueError
            as for `Agent.tell`: nothing is counted then
        """
        self.tell(arm, outcome, trial)

    def chances(self) -> np.ndarray:
        """Probabilities with which the next trial is assigned."""
        if self._allocator is None:
            assert self._fixed is not None
            return self._fixed
        return check_chances(self._allocator(self.counts, self.sums), self.n_arms)

    def ask(self, size: int | None = None) -> Any:
        """As `assign`."""
        answer = super().ask(size)
        if size is None:
            assert self.last_trial is not None
            self._given[self.last_trial] = self._chances.tolist()
        return answer

    def _choose(self) -> int:
        self._chances = self.chances()  # kept with the trial
        return min(int(np.searchsorted(np.cumsum(self._chances), self.rng.random(), side="right")), self.n_arms - 1)

    def _propensity(self, arm: int) -> float:
        return float(self._chances[arm])

    def _count(self, arm: int, value: float, trial: int | None) -> None:
        super()._count(arm, value, trial)
        if trial is None:
            return  # not assigned by chance: no evidence
        self._held[trial] = (arm, value)
        self._advance()

    def drop(self, trial: int) -> None:
        """Give up a trial whose outcome will never come: it counts for nothing, and later ones no longer wait for it.

        Valid if outcomes are missing by chance, for a reason that depends neither on the arm nor on the outcome.

        Raises
        ------
        ValueError
            a trial that was never asked, or has its outcome
        """
        arm = self.pending[trial][0] if trial in self.pending else 0
        number = self._match(arm, trial, set(), False)
        assert number is not None
        if self._log is not None:
            self._log.append("drop", number, arm, None, None, self.t)
        self._give_up(number)

    def _give_up(self, trial: int) -> None:
        self._waiting[self.pending.pop(trial)[0]] -= 1
        self._held[trial] = None
        self._dropped += 1
        self._advance()

    def _advance(self) -> None:
        """Multiply the trials whose turn has come."""
        while self._turn in self._held:
            held, chances = self._held.pop(self._turn), np.array(self._given.pop(self._turn))
            if held is None:
                self._turn += 1
                continue
            arm, value = held
            self._log_e += log_factor(arm, value, chances, self._n, self._s, self.alternative == "greater")
            self._n[arm] += 1
            self._s[arm] += value
            self._best = max(self._best, self._log_e)
            self._turn += 1

    # -- what is known ------------------------------------------------------------------------------

    @property
    def e_value(self) -> float:
        """The e-process now."""
        return math.exp(min(self._log_e, 709.0))

    @property
    def p_value(self) -> float:
        """Anytime-valid p-value: one over the largest e-value so far."""
        return math.exp(-self._best)

    @property
    def decision(self) -> str:
        """ "reject" once the evidence has reached 1 / alpha, else "continue"."""
        return "reject" if self.should_stop else "continue"

    @property
    def should_stop(self) -> bool:
        """Whether the evidence has reached 1 / alpha."""
        return self._best >= -math.log(self.alpha)

    def confidence_sequence(self, effect: str | None = "difference", arms: tuple[Any, Any] | None = None) -> Any:
        """Interval that holds at all times: of an effect between two arms, or with ``effect=None`` of every arm.

        ``effect``: "difference", "ratio" or "odds-ratio" of the second arm against the first (default: the first two).

        Raises
        ------
        ValueError
            an unknown effect or arm, a ratio of outcomes that are not 0 and 1
        """
        if effect is not None and effect not in EFFECTS:
            raise ValueError(f"effect must be one of {', '.join(EFFECTS)}, or None; got {effect!r}")
        if effect is None:
            return {
                self.label(a): self._interval(a) if self._n[a] else tuple(map(float, self.family.domain))
                for a in range(self.n_arms)
            }
        if effect != "difference" and self.family.name == "bounded":
            raise ValueError("ratios are of probabilities: with outcomes in an interval use effect='difference'")
        pair = (0, 1) if arms is None else tuple(self._index(a) for a in arms)
        if len(pair) != 2 or None in pair or pair[0] == pair[1]:
            raise ValueError(f"arms must name two different arms; got {arms!r}")
        first, second = ((self._s[a], self._n[a]) for a in pair if a is not None)
        if not (first[1] and second[1]):
            scale = self.family.scale
            return (-scale, scale) if effect == "difference" else (0.0, math.inf)
        low, high = effect_interval(first, second, self.alpha, effect)
        scale = self.family.scale if effect == "difference" else 1.0
        return low * scale, high * scale

    def _interval(self, arm: int) -> tuple[float, float]:
        low, high = confidence_sequence(self._s[arm], self._n[arm], self.alpha, "bounded")
        return float(self.family.from_unit(low)), float(self.family.from_unit(high))

    def recommend(self) -> Recommendation:
        """The arm of the best mean; the evidence says that the arms differ, not that this one is best."""
        best = super().recommend().action
        return Recommendation(best, None, 0.0, self.should_stop, self.t, self._best, -math.log(self.alpha))

    def result(self) -> ABTestResult:
        """All that is known now."""
        labels = [self.label(a) for a in range(self.n_arms)]
        table = {name: (float(self._s[a] * self.family.scale + self.family.offset * self._n[a]), int(self._n[a]))
                 for a, name in enumerate(labels)}  # fmt: skip
        effect, interval = None, None
        if self.n_arms == 2 and self._n.all():
            means = self.family.from_unit(self._s / self._n)
            effect, interval = float(means[1] - means[0]), self.confidence_sequence()
        remarks = []
        if self._dropped:
            remarks.append(f"{self._dropped} trials dropped without an outcome, as if they were missing by chance")
        held = sum(item is not None for item in self._held.values())
        if held:
            remarks.append(f"{held} outcomes wait for earlier trials that have none yet")
        if self.pending:
            remarks.append(f"{len(self.pending)} trials without an outcome")
        return ABTestResult(
            math.exp(min(self._best, 709.0)), self.p_value, self.confidence_sequence(None), effect, interval, table,
            "label e-process", self.decision, self.alpha, self.alternative,
            hypothesis(self.alternative, labels, self.family.name == "bernoulli"), np.empty(0), {}, {}, tuple(remarks),
        )  # fmt: skip

    def _extra(self) -> dict[str, Any]:
        if self._allocator is not None and not isinstance(self._allocator, ThompsonTrial):
            raise ValueError(
                "a test with an allocator of your own cannot be stored; use ThompsonTrial or fixed propensities"
            )
        return {
            "n": self._n.tolist(), "s": self._s.tolist(), "turn": self._turn, "log_e": self._log_e, "best": self._best,
            "given": {str(k): v for k, v in self._given.items()}, "dropped": self._dropped,
            "held": {str(k): None if v is None else list(v) for k, v in self._held.items()},
        }  # fmt: skip

    def _restore(self, extra: Mapping[str, Any]) -> None:
        self._n[:], self._s[:] = extra["n"], extra["s"]
        self._turn, self._log_e, self._best = int(extra["turn"]), float(extra["log_e"]), float(extra["best"])
        self._given = {int(k): list(v) for k, v in extra["given"].items()}
        self._dropped = int(extra["dropped"])
        self._held = {int(k): None if v is None else (int(v[0]), float(v[1])) for k, v in extra["held"].items()}
        self._check_evidence()

    def _check_evidence(self) -> None:
        """Refuse evidence that no trial can have, wherever the state comes from."""
        for chances in self._given.values():
            check_chances(chances, self.n_arms)
        held = [item for item in self._held.values() if item is not None]
        if not all(0 <= arm < self.n_arms and 0 <= value <= 1 for arm, value in held):
            raise ValueError("the state holds back an outcome of an unknown arm, or outside of [0, 1]")
        waiting = {trial for trial in (*self.pending, *self._held) if trial >= self._turn}
        if not waiting <= self._given.keys():
            raise ValueError("the state has a trial without the probabilities with which it was assigned")
        if not ((self._n >= 0) & (self._s >= 0) & (self._s <= self._n * (1 + 1e-9)) & np.isfinite(self._n)).all():
            raise ValueError("the state has more successes than outcomes")
        if self._turn < 1 or self._dropped < 0 or not (math.isfinite(self._log_e) and 0 <= self._best < math.inf):
            raise ValueError("the state has a turn, a number of dropped trials or an evidence that cannot be")
