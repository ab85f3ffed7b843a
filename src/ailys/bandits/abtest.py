"""A/B tests that may be watched: evidence that holds whenever one looks, stops, or goes on.

Trial i is assigned arm A_i with *known* probabilities ``pi_i``, constant or adapted to the past. Under the hypothesis that the
outcome has the same law in all arms, A_i is independent of the outcome Y_i given the past, so

    E_t = prod_i f_{A_i}(Y_i) / sum_b pi_i(b) f_b(Y_i)

is a martingale whatever positive predictable ``f`` are used, and ``P(E_t >= 1 / alpha for some t) <= alpha`` (Ville). Here f is
the plug-in estimate of the arm's own law. For two Bernoulli arms this is the growth-rate form of Turner, Ly, Grünwald.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..core.answer import Answer
from ..core.guarantee import Guarantee
from ._divergence_kernels import kl, mixture_regret
from ._evidence_kernels import category_path, label_path
from .complexity import check_delta
from .intervals import confidence_sequence, effect_interval
from .trialdata import TrialData, read_trials

__all__ = ["ABTestResult", "ab_test", "check_alternative", "hypothesis"]

_SOURCE = "docs, bandits, section 'A/B tests' (label e-process and Ville's inequality)"


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


def hypothesis(alternative: str, arms: Sequence[Any], binary: bool) -> str:
    """What the test may reject, in words."""
    if alternative == "greater":
        return f"arm {arms[1]} is not better than arm {arms[0]}"
    return "all arms have the same mean" if binary else "the outcome has the same law in all arms"


def check_alternative(alternative: str, n_arms: int, binary: bool) -> None:
    """A known alternative that fits the number of arms and the kind of outcomes."""
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
    check_alternative(alternative, len(trials.arms), binary)
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
        hypothesis(alternative, trials.arms, binary), path, paths, fixed, trials.remarks,
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
    check_alternative(alternative, len(arms), binary)
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
        hypothesis(alternative, arms, True), np.empty(0), {}, fixed,
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
