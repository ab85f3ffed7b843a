"""Audits: how much a mechanism is seen to leak, with confidence; and the exact loss of mechanisms whose law is known.

An audit proves violations, never privacy: it samples the mechanism on two neighbouring inputs, chooses the event that tells them
apart best on one half of the samples, and bounds the loss of this event on the other half. Source of the choice of events
in several dimensions: Bichsel, Steffen, Bogunovic and Vechev 2021 (DP-Sniper).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.answer import Answer
from ..core.claim import clopper_pearson
from ..core.guarantee import Guarantee
from .budget import check_neighbours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["AuditResult", "audit", "exact_epsilon", "worst_pairs"]

Mechanism = Callable[[Any, int], Any]
_BINS = 200


@dataclass(frozen=True)
class AuditResult(Answer):
    """What an audit found.

    ``epsilon_lb`` : the loss is at least this, with the given confidence (-inf if the event was never seen)
    ``verdict`` : "violation" if that exceeds the claim, else "no violation found", which is no proof of privacy
    """

    epsilon_lb: float
    claimed_epsilon: float
    delta: float
    verdict: str
    confidence: float
    n_samples: int
    likely: tuple[int, int]  # times the event was seen, of how many, on the input where it is likelier
    rare: tuple[int, int]
    swapped: bool  # whether the event is likelier on the neighbour
    counts: tuple[np.ndarray, np.ndarray] = field(repr=False)  # of the bins, on both inputs
    event: np.ndarray = field(repr=False)  # whether the bin belongs to the event

    @property
    def guarantee(self) -> Guarantee:
        """How sure the lower bound is."""
        return Guarantee(
            kind="coverage",
            statement=f"the loss on this pair of inputs is at least {self.epsilon_lb:.4g}, with confidence {self.confidence:g}; "
            "an audit never proves privacy",
            level=self.confidence,
            values={"epsilon_lb": self.epsilon_lb, "claimed_epsilon": self.claimed_epsilon, "delta": self.delta},
            assumptions=("calls of the mechanism are independent", "the two inputs are neighbours"),
            source="Clopper and Pearson 1934; Bichsel, Steffen, Bogunovic and Vechev 2021",
        )

    def facts(self) -> Mapping[str, Any]:
        """The bound and the verdict."""
        return {
            **{"verdict": self.verdict, "epsilon_lb": self.epsilon_lb, "claimed_epsilon": self.claimed_epsilon},
            **{"delta": self.delta, "confidence": self.confidence, "n_samples": self.n_samples},
            "event_seen": f"{self.likely[0]} of {self.likely[1]} against {self.rare[0]} of {self.rare[1]}",
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """How often each bin was hit on both inputs, the event shaded."""
        from ..core.figures import PALETTE, new_axes

        ax = new_axes(ax, figsize=(6.5, 3.6))
        places = np.arange(len(self.event) + 1)
        for counts, colour, name in zip(self.counts, PALETTE, ("on the input", "on its neighbour"), strict=False):
            ax.stairs(counts / max(1, counts.sum()), places, color=colour, label=name, linewidth=1.6)
        top = ax.get_ylim()[1]
        ax.fill_between(
            places, 0, top, where=np.append(self.event, self.event[-1]), step="post", alpha=0.15, color=PALETTE[3]
        )
        ax.set(xlabel="output (bins in order)", ylabel="frequency", ylim=(0, top))
        ax.set_title(f"loss at least {self.epsilon_lb:.3g}, claimed {self.claimed_epsilon:g}: {self.verdict}")
        ax.legend()
        return ax


def audit(
    mechanism: Mechanism,
    x: Any,
    x_neighbour: Any,
    *,
    claimed_epsilon: float,
    delta: float = 0,
    n_samples: int = 200_000,
    confidence: float = 0.99,
    n_jobs: int = 1,
) -> AuditResult:
    """Try to show that a mechanism leaks more than it claims.

    Parameters
    ----------
    mechanism : ``mechanism(data, n)`` returns n independent outputs, shape (n,) or (n, k)
    x, x_neighbour : two neighbouring data sets; `worst_pairs` suggests some
    claimed_epsilon, delta : what the mechanism promises
    n_samples : outputs drawn on each input; half of them choose the event, half of them test it
    confidence : with which the bound holds; a correct mechanism is accused with probability at most 1 - confidence
    n_jobs : workers that call the mechanism, as in joblib; the mechanism must then make its generator in each call, since
        one that it carries with it goes to every worker as the same copy

    Raises
    ------
    ValueError
        a claim, delta or confidence out of range, fewer than 100 samples, or a mechanism that returns no numbers of
        shape (n,) or (n, k), or the same numbers in two workers

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> noisy = lambda data, n: sum(data) + rng.laplace(scale=0.5, size=n)  # sensitivity 1: loss 2
    >>> audit(noisy, [1, 1], [1, 0], claimed_epsilon=1, n_samples=20_000).verdict
    'violation'
    """
    if not (claimed_epsilon >= 0 and 0 <= delta < 1 and 0 < confidence < 1):
        raise ValueError("claimed_epsilon must be at least 0, delta in [0, 1) and confidence in (0, 1)")
    if n_samples < 100:
        raise ValueError(f"n_samples must be at least 100; got {n_samples}")
    first, second = (_sample(mechanism, data, n_samples, n_jobs) for data in (x, x_neighbour))
    if first.shape[1] != second.shape[1]:
        raise ValueError("the mechanism returned outputs of different lengths for the two inputs")
    half = n_samples // 2
    scores = _one_dimension(first, second, half)
    edges = _bin_edges(np.concatenate([score[:half] for score in scores]))
    binned = [_bin(score, edges) for score in scores]
    parts = (slice(0, half // 2), slice(half // 2, half), slice(half, None))
    ranking, choosing, tested = (
        [np.bincount(bins[part], minlength=len(edges) + 2) for bins in binned] for part in parts
    )
    swapped, event = _best_event(ranking, choosing, delta)
    likely, rare = (tested[1], tested[0]) if swapped else (tested[0], tested[1])
    n = n_samples - half
    seen, seldom = int(likely[event].sum()), int(rare[event].sum())
    # a quarter on each side: half of what is allowed is kept back, so that series of audits stay silent as well
    level = 1 - (1 - confidence) / 4
    lower, upper = clopper_pearson(seen, n, level)[0], clopper_pearson(seldom, n, level)[1]
    bound = math.log((lower - delta) / upper) if lower > delta else -math.inf
    verdict = "violation" if bound > claimed_epsilon else "no violation found"
    return AuditResult(
        *(bound, float(claimed_epsilon), float(delta), verdict, confidence, n_samples, (seen, n), (seldom, n), swapped),
        counts=(tested[0], tested[1]),
        event=event,
    )


def exact_epsilon(
    law: Callable[[tuple], Any], datasets: Sequence[tuple], neighbours: str, *, delta: float = 0
) -> float:
    """The largest loss of a mechanism with a known law over all neighbouring pairs among the data sets.

    Parameters
    ----------
    law : ``law(dataset)`` is the vector of probabilities of the outputs, the same outputs for every data set
    datasets : tuples of records; their order does not matter
    neighbours : "add_remove" or "replace"
    delta : if positive, the least epsilon of (epsilon, delta)-differential privacy is returned instead

    Raises
    ------
    ValueError
        no data sets, or a law that does not return probabilities of the same outputs that sum to 1

    Examples
    --------
    >>> def randomised_response(data):
    ...     return [0.75, 0.25] if data[0] else [0.25, 0.75]
    >>> round(exact_epsilon(randomised_response, [(0,), (1,)], "replace"), 6) == round(math.log(3), 6)
    True
    """
    check_neighbours(neighbours)
    laws = {tuple(sorted(data)): np.asarray(law(data), dtype=float) for data in datasets}
    if not laws:
        raise ValueError("datasets is empty; give at least one data set")
    if len({p.shape for p in laws.values()}) > 1:
        raise ValueError("law must return probabilities of the same outputs for every data set")
    if any((p < 0).any() or not abs(p.sum() - 1) < 1e-6 for p in laws.values()):
        raise ValueError("law must return probabilities that sum to 1")
    groups: dict[tuple, list[tuple]] = defaultdict(list)
    for data in laws:
        for record in Counter(data):
            place = data.index(record)
            groups[data[:place] + data[place + 1 :]].append(data)
    worst = 0.0
    for rest, members in groups.items():
        if neighbours == "add_remove":
            pairs = [(rest, data) for data in members] if rest in laws else []
        else:
            pairs = [(a, b) for i, a in enumerate(members) for b in members[:i]]
        for a, b in pairs:
            worst = max(worst, _loss(laws[a], laws[b], delta), _loss(laws[b], laws[a], delta))
    return worst


def worst_pairs(statistic: str, *, width: float = 0.1) -> list[tuple[np.ndarray, np.ndarray]]:
    """Neighbours (one record replaced) that show the loss of mechanisms for a statistic of values in [0, 1].

    For the median, {0, 0, w, 1} and {0, w, 1, 1}: all mass below w moves by one rank against all mass above it, which random
    neighbours hardly ever show.

    Parameters
    ----------
    statistic : "median", "count", "sum", "mean" or "histogram"
    width : w, the gap of the median's pair, in (0, 1)

    Raises
    ------
    ValueError
        a statistic without a known pair, or a width outside (0, 1)

    Examples
    --------
    >>> a, b = worst_pairs("median")[0]
    >>> a.tolist(), b.tolist()
    ([0.0, 0.0, 0.1, 1.0], [0.0, 0.1, 1.0, 1.0])
    """
    if not 0 < width < 1:
        raise ValueError(f"width must lie in (0, 1); got {width!r}")
    median = [(np.array([0.0, 0.0, w, 1.0]), np.array([0.0, w, 1.0, 1.0])) for w in (width, width / 10, 1 - width)]
    ends = [(np.array([0.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0])), (np.array([0.0]), np.array([1.0]))]
    pairs = {"median": median, "count": ends, "sum": ends, "mean": ends, "histogram": ends}
    if statistic not in pairs:
        raise ValueError(f"statistic must be one of {', '.join(pairs)}; got {statistic!r}")
    return pairs[statistic]


def _loss(p: np.ndarray, q: np.ndarray, delta: float) -> float:
    if not delta:
        seen = p > 0
        with np.errstate(divide="ignore"):
            return float(np.max(np.log(p[seen]) - np.log(q[seen]), initial=0.0))
    # the least t = e^epsilon with sum (p - t q)_+ <= delta: that sum is linear between the ratios p / q
    if p[q == 0].sum() > delta:
        return math.inf
    for ratio in np.unique(p[q > 0] / q[q > 0])[::-1]:
        above = p > ratio * q
        left, right = p[above].sum(), q[above].sum()
        if left - ratio * right > delta:
            return max(0.0, math.log((left - delta) / right))
    return 0.0


def _sample(mechanism: Mechanism, data: Any, n: int, n_jobs: int) -> np.ndarray:
    from joblib import Parallel, delayed

    parts = [n] if n_jobs == 1 else [len(part) for part in np.array_split(np.arange(n), 8)]
    outputs = [np.asarray(out) for out in Parallel(n_jobs=n_jobs)(delayed(mechanism)(data, part) for part in parts)]
    if any(out.ndim not in (1, 2) or len(out) != part for out, part in zip(outputs, parts, strict=True)):
        raise ValueError("mechanism(data, n) must return an array of shape (n,) or (n, k)")
    if any(_repeated(a, b) for a, b in combinations(outputs, 2)):
        raise ValueError(
            "two workers drew the same numbers, because the mechanism carries its generator with it; make it in each call, "
            "or use n_jobs=1"
        )
    out = np.concatenate(outputs)
    if out.dtype.kind not in "biuf" and not (out.dtype.kind == "O" and all(isinstance(v, int) for v in out.ravel())):
        raise ValueError("mechanism(data, n) must return numbers")
    return out.astype(float).reshape(n, -1)


def _repeated(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two long outputs of many values are the same; independent ones are with probability below 1e-15."""
    return len(first) >= 1000 and np.array_equal(first, second) and len(np.unique(first)) > 20


def _one_dimension(first: np.ndarray, second: np.ndarray, half: int) -> list[np.ndarray]:
    """The outputs themselves, or the score of a classifier that was fitted on the half that chooses."""
    if first.shape[1] == 1:
        return [first[:, 0], second[:, 0]]
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    both = np.nan_to_num(np.concatenate([first[:half], second[:half]]), posinf=1e300, neginf=-1e300)
    scaler = StandardScaler().fit(both)
    model = LogisticRegression().fit(scaler.transform(both), np.repeat([0, 1], half))
    return [
        model.decision_function(scaler.transform(np.nan_to_num(out, posinf=1e300, neginf=-1e300)))
        for out in (first, second)
    ]


def _bin_edges(values: np.ndarray) -> np.ndarray:
    """Edges of at most about 200 bins; a value that occurs often gets a bin of its own."""
    values = values[np.isfinite(values)]
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= _BINS:
        return distinct
    quantiles = np.quantile(values, np.linspace(0, 1, _BINS + 1), method="inverted_cdf")
    atoms = distinct[counts > len(values) / _BINS]
    return np.unique(np.concatenate([quantiles, atoms, np.nextafter(atoms, np.inf)]))


def _bin(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    bins = np.searchsorted(edges, values, side="right")
    return np.where(np.isnan(values), len(edges) + 1, bins)


def _best_event(ranking: list[np.ndarray], choosing: list[np.ndarray], delta: float) -> tuple[bool, np.ndarray]:
    """The set of bins with the best conservative bound, and whether it is likelier on the second input.

    Bins are ranked on one quarter of the samples, by likelihood ratio (Neyman and Pearson) or by value from both ends; how many of
    them make the event is chosen on another quarter, where the ranking has not been fitted to chance.
    """
    from scipy.stats import beta

    best, choice = -math.inf, (False, np.zeros(len(ranking[0]), dtype=bool))
    for swapped in (False, True):
        first, second = ranking[::-1] if swapped else ranking
        p, q = choosing[::-1] if swapped else choosing
        n, m, ascending = p.sum(), q.sum(), np.arange(len(p))
        for order in (ascending, ascending[::-1], np.argsort(-np.log((first + 0.5) / (second + 0.5)), kind="stable")):
            seen, seldom = np.cumsum(p[order]), np.cumsum(q[order])
            lower = np.where(seen > 0, beta.ppf(0.001, np.maximum(seen, 1), n - seen + 1), 0.0)
            upper = np.where(seldom < m, beta.ppf(0.999, seldom + 1, np.maximum(m - seldom, 1)), 1.0)
            bounds = np.log(np.maximum(lower - delta, 1e-300) / upper)
            k = int(np.argmax(bounds))
            if bounds[k] > best:
                event = np.zeros(len(p), dtype=bool)
                event[order[: k + 1]] = True
                best, choice = float(bounds[k]), (swapped, event)
    return choice
