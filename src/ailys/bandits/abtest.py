"""A/B tests that may be watched: evidence that holds whenever one looks, stops, or goes on.

Trial i is assigned arm A_i with *known* probabilities ``pi_i``, constant or adapted to the past. Under the hypothesis that the
outcome has the same law in all arms, A_i is independent of the outcome Y_i given the past, so

    E_t = prod_i f_{A_i}(Y_i) / sum_b pi_i(b) f_b(Y_i)

is a martingale whatever positive predictable ``f`` are used, and ``P(E_t >= 1 / alpha for some t) <= alpha`` (Ville). Here f is
the plug-in estimate of the arm's own law. For two Bernoulli arms this is the growth-rate form of Turner, Ly, Grünwald.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..core.answer import Answer
from ..core.guarantee import Guarantee
from ..core.randomness import Seed
from ._divergence_kernels import kl, mixture_regret
from ._evidence_kernels import category_path, label_path, log_factor
from .agent import Agent, Recommendation
from .clinical import ThompsonTrial
from .complexity import check_delta
from .families import Family, as_family
from .intervals import EFFECTS, confidence_sequence, effect_interval
from .trialdata import TrialData, read_trials

__all__ = ["ABTest", "ABTestResult", "ab_test"]

_SOURCE = "docs/bandits, section 'A/B tests' (label e-process and Ville's inequality)"


@dataclass(frozen=True)
class ABTestResult(Answer):
    """What an A/B test says so far.

    Attributes
    ----------
    e_value : the largest value of the e-process so far (for totals only: that of the mixture likelihood ratio)
    p_value : anytime-valid p-value, min(1, 1 / e_value)
    intervals : arm -> (lower, upper) of its mean, each holding at all times with probability 1 - alpha
    effect : estimated difference of the means, second arm minus first
    effect_interval : its interval, holding at all times with probability 1 - alpha
    counts : arm -> (sum of outcomes, number of trials); for categories (numbers of each, number of trials)
    method : which evidence was used
    decision : "reject" if the evidence reached 1 / alpha at some time, else "continue"
    path : logarithm of the e-process after each trial (empty for totals)
    fixed_sample : p-values of tests that are valid only if the size was fixed in advance and looked at once
    """

    e_value: float
    p_value: float
    intervals: Mapping[Any, tuple[float, float]]
    effect: float | None
    effect_interval: tuple[float, float] | None
    counts: Mapping[Any, tuple[Any, int]]
    method: str
    decision: str
    alpha: float
    alternative: str
    hypothesis: str
    path: np.ndarray = field(repr=False)
    paths: Mapping[Any, tuple[np.ndarray, np.ndarray]] = field(repr=False, default_factory=dict)
    fixed_sample: Mapping[str, float] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def facts(self) -> Mapping[str, Any]:
        """Decision first, then evidence, means, effect."""
        facts: dict[str, Any] = {
            "decision": self.decision,
            "e_value": self.e_value,
            "p_value": self.p_value,
            "alternative": self.alternative,
            "method": self.method,
        }
        for arm, (total, n) in self.counts.items():
            facts[f"arm_{arm}"] = f"{total:g} / {n}" if isinstance(total, (int, float)) else f"{list(total)} / {n}"
            if arm in self.intervals:
                low, high = self.intervals[arm]
                facts[f"arm_{arm}"] += f", mean in [{low:.4g}, {high:.4g}] at all times"
        if self.effect is not None and self.effect_interval is not None:
            facts["effect"] = self.effect
            facts["effect_interval"] = f"[{self.effect_interval[0]:.4g}, {self.effect_interval[1]:.4g}]"
        for name, p in self.fixed_sample.items():
            facts[f"{name}_if_looked_at_once"] = p
        if self.remarks:
            facts["remarks"] = "; ".join(self.remarks)
        return facts

    def to_dict(self) -> dict[str, Any]:
        """The facts with intervals as numbers, and the guarantee."""
        from ..core.answer import jsonable

        more = {
            "alpha": self.alpha,
            "counts": {str(k): v for k, v in self.counts.items()},
            "intervals": {str(k): v for k, v in self.intervals.items()},
            "effect_interval": self.effect_interval,
            "remarks": list(self.remarks),
        }
        return {**super().to_dict(), **jsonable(more)}

    @property
    def guarantee(self) -> Guarantee:
        """The probability of ever rejecting a true hypothesis."""
        return Guarantee(
            "anytime-alpha",
            f"if {self.hypothesis}, the test ever rejects with probability at most {self.alpha:g}, "
            "however often one looks and whenever one stops",
            level=self.alpha,
            values={"e_value": min(self.e_value, 1.7e308), "p_value": self.p_value},
            assumptions=(
                "each trial was assigned by chance with the probabilities given, which depend on the past only",
                "outcomes are multiplied in the order of assignment",
            )
            if self.method.startswith("label")
            else ("outcomes of an arm are independent with one mean", "who gets which arm depends on the past only"),
            source=_SOURCE,
        )

    def plot(self, ax: Any = None) -> Any:
        """Logarithm of the evidence against the number of trials, with the line at ``ln(1 / alpha)``."""
        from .plots import plot_evidence

        return plot_evidence(self, ax)


def _hypothesis(alternative: str, arms: Sequence[Any], binary: bool) -> str:
    if alternative == "greater":
        return f"arm {arms[1]} is not better than arm {arms[0]}"
    return "all arms have the same mean" if binary else "the outcome has the same law in all arms"


def _check_alternative(alternative: str, n_arms: int, binary: bool) -> None:
    if alternative not in ("two-sided", "greater"):
        raise ValueError(f"alternative must be 'two-sided' or 'greater'; got {alternative!r}")
    if alternative == "greater" and (n_arms != 2 or not binary):
        raise ValueError(
            "alternative='greater' compares the second arm with the first: it needs two arms and outcomes 0 and 1"
        )


def ab_test(
    data: Any = None,
    arm: str | None = None,
    outcome: str | None = None,
    *,
    counts: Mapping[Any, tuple[float, int]] | None = None,
    propensity: float | str | Mapping[Any, Any] | None = None,
    alpha: float = 0.05,
    alternative: str = "two-sided",
    order: str | None = None,
    control: Any = None,
    skip_missing: bool = False,
) -> ABTestResult:
    """Test whether arms differ, with evidence that may be looked at after every trial.

    Parameters
    ----------
    data : CSV file, or DataFrame, one row for each trial in the order of assignment
    arm, outcome : names of the columns; outcomes are 0 and 1, numbers in [0, 1], or words (categories)
    counts : instead of data, totals: arm -> (sum of outcomes, number of trials)
    propensity : how trials were assigned. None: all arms equally likely. A number: probability of the second arm. A name:
        column with the probability of the arm *received* (two arms). A mapping: arm -> probability or column
    alpha : probability of ever rejecting a true hypothesis
    alternative : "two-sided", or "greater": the second arm has the larger mean
    order : column by which the rows are sorted, if they are not in the order of assignment
    control : label of the first arm; default: the first in sorted order
    skip_missing : leave rows without an outcome out (otherwise they are listed and refused)

    Raises
    ------
    ValueError
        missing columns or values (with line numbers), probabilities that are not, fewer than two arms.

    Examples
    --------
    >>> result = ab_test(counts={"bed rest": (17, 52), "streptomycin": (38, 55)})
    >>> result.decision, round(result.p_value, 4)
    ('continue', 0.0602)
    """
    alpha = check_delta(alpha, "alpha")
    if (data is None) == (counts is None):
        raise ValueError("give either data (with arm= and outcome=) or counts=")
    if counts is not None:
        return _from_counts(counts, alpha, alternative, control)
    if arm is None or outcome is None:
        raise ValueError("data needs the names of two columns: arm= and outcome=")
    trials = read_trials(data, arm, outcome, propensity, order, control, skip_missing)
    binary = trials.categories is None and bool(np.isin(trials.outcomes, (0.0, 1.0)).all())
    _check_alternative(alternative, len(trials.arms), binary)
    path = np.empty(len(trials.labels))
    if trials.categories is None:
        arguments = (trials.labels, trials.outcomes, trials.chances, len(trials.arms))
        label_path(*arguments, alternative == "greater", path)
    else:
        codes = trials.outcomes.astype(np.int64)
        category_path(trials.labels, codes, trials.chances, len(trials.arms), len(trials.categories), path)
    return _summarise(trials, path, alpha, alternative, binary)


def _summarise(trials: TrialData, path: np.ndarray, alpha: float, alternative: str, binary: bool) -> ABTestResult:
    best = float(path.max(initial=0.0))
    table: dict[Any, tuple[Any, int]] = {}
    intervals: dict[Any, tuple[float, float]] = {}
    paths: dict[Any, tuple[np.ndarray, np.ndarray]] = {}
    for i, name in enumerate(trials.arms):
        mine = trials.outcomes[trials.labels == i]
        if trials.categories is not None:
            numbers = np.bincount(mine.astype(int), minlength=len(trials.categories))
            table[name] = (tuple(numbers.tolist()), len(mine))
            continue
        table[name] = (float(mine.sum()), len(mine))
        sums, n = np.cumsum(mine), np.arange(1, len(mine) + 1)
        low, high = confidence_sequence(sums, n, alpha, "bounded", running=True)
        intervals[name] = (float(low[-1]), float(high[-1]))
        paths[name] = (np.flatnonzero(trials.labels == i) + 1, np.column_stack([low, high, sums / n]))
    effect, interval, fixed = None, None, {}
    if len(trials.arms) == 2 and trials.categories is None:
        first, second = (table[name] for name in trials.arms)
        effect = second[0] / second[1] - first[0] / first[1]
        interval = effect_interval(first, second, alpha)
        if binary:
            fixed = fixed_sample_tests(first, second)
    method = "label e-process" + (
        "" if trials.categories is None else f" on the categories {', '.join(trials.categories)}"
    )
    return ABTestResult(
        math.exp(min(best, 709.0)), math.exp(-best), intervals, effect, interval, table, method,
        "reject" if best >= -math.log(alpha) else "continue", alpha, alternative,
        _hypothesis(alternative, trials.arms, binary), path, paths, fixed, trials.remarks,
    )  # fmt: skip


def _from_counts(counts: Mapping[Any, tuple[float, int]], alpha: float, alternative: str, control: Any) -> ABTestResult:
    arms = list(counts)
    if len(arms) < 2:
        raise ValueError(f"counts must hold at least two arms; got {len(arms)}")
    if control is not None:
        if control not in arms:
            raise ValueError(f"control {control!r} is not an arm; the arms are {', '.join(map(str, arms))}")
        arms.sort(key=lambda a: a != control)
    table: dict[Any, tuple[float, int]] = {}
    for name in arms:
        try:
            s, n = counts[name]
            ok = n == int(n) and n >= 1 and 0 <= s <= n
        except (TypeError, ValueError):
            ok = False
        if not ok:
            raise ValueError(
                f"arm {name!r} needs (sum of outcomes, number of trials >= 1) with outcomes in [0, 1]; got {counts[name]!r}"
            )
        table[name] = (float(s), int(n))
    binary = all(s == int(s) for s, _ in table.values())
    _check_alternative(alternative, len(arms), binary)
    # mixture likelihood over the largest likelihood under the hypothesis: at most the ratio to the true one, a martingale
    pooled = sum(s for s, _ in table.values()) / sum(n for _, n in table.values())
    evidence = sum(n * kl(s / n, pooled, 0, 1.0) - mixture_regret(s, float(n), 0) for s, n in table.values())
    means = [table[name][0] / table[name][1] for name in arms]
    if alternative == "greater" and means[1] <= means[0]:
        evidence = -sum(mixture_regret(s, float(n), 0) for s, n in table.values())
    intervals = {name: confidence_sequence(*table[name], alpha, "bounded") for name in arms}
    effect, interval, fixed = None, None, {}
    if len(arms) == 2:
        effect, interval = means[1] - means[0], effect_interval(table[arms[0]], table[arms[1]], alpha)
        if binary:
            fixed = fixed_sample_tests(table[arms[0]], table[arms[1]])
    best = max(evidence, 0.0)
    return ABTestResult(
        math.exp(min(best, 709.0)), math.exp(-best), intervals, effect, interval, table,
        "mixture likelihood ratio of the totals", "reject" if best >= -math.log(alpha) else "continue", alpha, alternative,
        _hypothesis(alternative, arms, True), np.empty(0), {}, fixed,
        ("the order of the trials is unknown: trial by trial the evidence would be stronger",),
    )  # fmt: skip


def fixed_sample_tests(a: tuple[float, int], b: tuple[float, int]) -> dict[str, float]:
    """p-values of tests for a size that was fixed in advance: two-proportion z and Fisher's exact test."""
    from scipy.stats import fisher_exact, norm

    (s_a, n_a), (s_b, n_b) = a, b
    pooled = (s_a + s_b) / (n_a + n_b)
    spread = math.sqrt(pooled * (1 - pooled) * (1 / n_a + 1 / n_b))
    z = (s_b / n_b - s_a / n_a) / spread if spread > 0 else 0.0
    fisher = fisher_exact([[s_a, n_a - s_a], [s_b, n_b - s_b]])
    return {"p_value_z": float(2 * norm.sf(abs(z))), "p_value_fisher": float(fisher.pvalue)}


class ABTest(Agent):
    """A running A/B test or trial: assigns by chance, records outcomes, says at any time what is known.

    Parameters
    ----------
    arms : labels, control first
    propensity : probability of the second arm, or probabilities of all arms; default: equal
    alpha : probability of ever rejecting a true hypothesis
    alternative : "two-sided" or "greater"
    allocator : instead of fixed probabilities, a function of (counts, sums) that returns them: `ThompsonTrial`
    family : "bernoulli" or "bounded(low,high)"
    rng, log : as for all agents

    Outcomes that come late are kept back: evidence multiplies trials in the order of assignment.

    Examples
    --------
    >>> test = ABTest(["old", "new"], rng=0)
    >>> for _ in range(200):
    ...     arm = test.assign()
    ...     test.record(arm, int(arm == "new"))
    >>> test.decision, test.p_value < 1e-6
    ('reject', True)
    """

    def __init__(
        self,
        arms: Sequence[Any] | int = ("A", "B"),
        propensity: float | Sequence[float] | None = None,
        alpha: float = 0.05,
        *,
        alternative: str = "two-sided",
        allocator: Callable[..., np.ndarray] | None = None,
        family: Family | str = "bernoulli",
        rng: Seed = None,
        log: str | Path | None = None,
        clip: Sequence[float] | None = None,
    ) -> None:
        kind = as_family(family)
        if kind.name not in ("bernoulli", "bounded"):
            raise ValueError(
                f"an A/B test takes outcomes 0 and 1 ('bernoulli') or in an interval ('bounded'); got {kind.name!r}"
            )
        n = int(arms) if isinstance(arms, (int, np.integer)) else len(arms)
        self.alpha = check_delta(alpha, "alpha")
        _check_alternative(alternative, n, kind.name == "bernoulli")
        self.alternative = alternative
        if clip is not None and allocator is None:  # as stored in a state
            allocator = ThompsonTrial((float(clip[0]), float(clip[1])))
        if allocator is not None and propensity is not None:
            raise ValueError("give propensity or allocator, not both")
        self._allocator = allocator
        self._fixed = None if allocator is not None else check_chances(propensity, n)
        parameters = {"alpha": self.alpha, "alternative": alternative}
        if isinstance(allocator, ThompsonTrial):
            parameters["clip"] = list(allocator.clip)
        elif self._fixed is not None:
            parameters["propensity"] = self._fixed.tolist()
        super().__init__(arms, kind, rng, log, parameters)

    def _setup(self) -> None:
        self._n, self._s = np.zeros(self.n_arms), np.zeros(self.n_arms)  # in the order of assignment
        self._given: dict[int, list[float]] = {}
        self._held: dict[int, tuple[int, float]] = {}
        self._turn, self._log_e, self._best = 1, 0.0, 0.0

    # -- the work -----------------------------------------------------------------------------------

    def assign(self, size: int | None = None) -> Any:
        """The arm of the next trial, by chance; `last_trial` is its number."""
        return self.ask(size)

    def record(self, arm: Any, outcome: Any, trial: Any = None) -> None:
        """The outcome of a trial (see `Agent.tell`)."""
        self.tell(arm, outcome, trial)

    def chances(self) -> np.ndarray:
        """Probabilities with which the next trial is assigned."""
        if self._allocator is None:
            assert self._fixed is not None
            return self._fixed
        return check_chances(self._allocator(self.counts, self.sums), self.n_arms)

    def ask(self, size: int | None = None) -> Any:
        """As `assign`."""
        if size is not None:
            return super().ask(size)
        chances = self.chances()
        arm = min(int(np.searchsorted(np.cumsum(chances), self.rng.random(), side="right")), self.n_arms - 1)
        trial = self._next
        if self._log is not None:
            self._log.append("ask", trial, arm, None, float(chances[arm]), self.t)
        self._next = trial + 1
        self.pending[trial] = (arm, float(chances[arm]), self.t)
        self._given[trial] = chances.tolist()
        self._waiting[arm] += 1
        self.last_trial = trial
        return self.label(arm)

    def _choose(self) -> int:
        raise NotImplementedError  # `ask` does it: the probabilities are kept with the trial

    def _count(self, arm: int, value: float, trial: int | None) -> None:
        super()._count(arm, value, trial)
        if trial is None:
            return  # not assigned by chance: no evidence
        self._held[trial] = (arm, value)
        while self._turn in self._held:
            arm, value = self._held.pop(self._turn)
            chances = np.array(self._given.pop(self._turn))
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
        if self._held:
            remarks.append(f"{len(self._held)} outcomes wait for earlier trials that have none yet")
        if self.pending:
            remarks.append(f"{len(self.pending)} trials without an outcome")
        return ABTestResult(
            math.exp(min(self._best, 709.0)), self.p_value, self.confidence_sequence(None), effect, interval, table,
            "label e-process", self.decision, self.alpha, self.alternative,
            _hypothesis(self.alternative, labels, self.family.name == "bernoulli"), np.empty(0), {}, {}, tuple(remarks),
        )  # fmt: skip

    def _extra(self) -> dict[str, Any]:
        if self._allocator is not None and not isinstance(self._allocator, ThompsonTrial):
            raise ValueError(
                "a test with an allocator of your own cannot be stored; use ThompsonTrial or fixed propensities"
            )
        return {
            "n": self._n.tolist(), "s": self._s.tolist(), "turn": self._turn, "log_e": self._log_e, "best": self._best,
            "given": {str(k): v for k, v in self._given.items()}, "held": {str(k): list(v) for k, v in self._held.items()},
        }  # fmt: skip

    def _restore(self, extra: Mapping[str, Any]) -> None:
        self._n[:], self._s[:] = extra["n"], extra["s"]
        self._turn, self._log_e, self._best = int(extra["turn"]), float(extra["log_e"]), float(extra["best"])
        self._given = {int(k): list(v) for k, v in extra["given"].items()}
        self._held = {int(k): (int(v[0]), float(v[1])) for k, v in extra["held"].items()}


def check_chances(chances: Any, n_arms: int) -> np.ndarray:
    """Assignment probabilities of all arms; None stands for equal ones, a number for that of the second of two arms."""
    if chances is None:
        return np.full(n_arms, 1 / n_arms)
    array = np.asarray(chances, dtype=float)
    if array.ndim == 0:
        if n_arms != 2:
            raise ValueError(f"one probability describes two arms; {n_arms} arms need one for each")
        array = np.array([1 - array, array])
    if array.shape != (n_arms,) or not np.isfinite(array).all() or (array <= 0).any() or abs(array.sum() - 1) > 1e-9:
        raise ValueError(
            f"the probabilities of {n_arms} arms must be positive and sum to 1; got {np.round(array, 6).tolist()}"
        )
    return array / array.sum()
