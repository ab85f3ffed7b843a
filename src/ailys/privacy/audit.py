"""Claims of the domain, each with a trial that tries to break it."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np

from ..core.claim import Claim
from ._extended import rescale
from .audit_budget import CLAIMS as BUDGET_CLAIMS
from .exponential import exponential_choice, mp_context
from .joint import JointTables
from .laws import LAWS, edges_of
from .noise import Source
from .plan import plan_quantiles
from .quantile import quantiles
from .rates import Cost, joint_rate
from .research import rank_error

__all__ = ["CLAIMS"]

Rng = np.random.Generator


def _levels(rng: Rng, most: int = 3) -> list[Fraction]:
    return [
        Fraction(int(k), 20)
        for k in np.sort(rng.choice(np.arange(1, 20), int(rng.integers(1, most + 1)), replace=False))
    ]


def neighbours_can_be_told_apart(rng: Rng) -> bool:
    """A random pair of neighbours, all outputs: is the loss of any mechanism above its budget?"""
    relation = str(rng.choice(["replace", "add_remove"]))
    levels, top = _levels(rng), 5
    epsilon = Fraction(int(rng.integers(1, 40)), 10)
    records = tuple(int(v) for v in rng.integers(0, top, int(rng.integers(1, 5))))
    other = (*records[1:], int(rng.integers(top))) if relation == "replace" else records[1:]
    for law in LAWS.values():
        one, two = (law(edges_of(r, 0, top), levels, Cost(epsilon, None, relation)) for r in (records, other))
        if any(abs(math.log(one[o] / two[o])) > float(epsilon) * (1 + 1e-9) + 1e-12 for o in one):
            return True
    return False


def tables_differ_from_the_definition(rng: Rng) -> bool:
    """The share of each tuple of intervals by the tables that draws use, against the sum over all tuples."""
    levels, relation = _levels(rng), str(rng.choice(["replace", "add_remove"]))
    n, top = int(rng.integers(0, 6)), 30
    edges = edges_of([int(v) for v in rng.integers(0, top, n)], 0, top)
    eta = joint_rate(Cost(Fraction(int(rng.integers(1, 50)), 10), None, relation), levels)
    tables = JointTables(edges, levels, eta)
    steps = [float((b - a) * n) for a, b in zip([Fraction(0), *levels], [*levels, Fraction(1)], strict=True)]
    total = 0.0
    for t in itertools.combinations_with_replacement(range(n + 1), len(levels)):
        ranks = [0, *t, n]
        weight = math.exp(-float(eta) * sum(abs(b - a - g) for a, b, g in zip(ranks, ranks[1:], steps, strict=False)))
        for i in set(t):
            weight *= float(edges[i + 1] - edges[i]) ** t.count(i) / math.factorial(t.count(i))
        total += weight
    return abs(tables.log2_total - math.log2(total)) > 1e-9 or _far_end_is_lost(rng)


def _far_end_is_lost(rng: Rng) -> bool:
    """All records equal, weights at the ends of a mantissa's range: the odds of the two ends."""
    n = int(rng.integers(1, 40))
    edges = np.concatenate([[0.0], np.ones(n), [2.0]])
    p = Fraction(1, 2) - Fraction(1, 50 * n)
    eta = Fraction(512 * int(rng.integers(1, 4)) * 6931, 10**4) / n * Fraction(int(rng.integers(985, 1016)), 1000)
    tables = JointTables(edges, [p], eta)
    found = dict(zip(range(tables.bands.start[0], n + 1), rescale(*tables._final), strict=False))
    gap = 2 * float(eta * n * (1 - 2 * p))
    return not math.isclose(found.get(n, 0.0), found.get(0, 0.0) * math.exp(-gap), rel_tol=1e-9)


class _OneWord(Source):
    """A source whose first word is chosen by the trial."""

    def __init__(self, word: int, rng: Rng) -> None:
        super().__init__(rng)
        self._first: list[int] = [word]

    def integer_below(self, bound: int) -> int:
        return self._first.pop() if self._first else super().integer_below(bound)


def a_choice_leaves_its_bin(rng: Rng) -> bool:
    """A word near a border of the exact distribution function: the bin chosen has to meet the word's interval."""
    size = int(rng.integers(1, 8))
    weights, distances = rng.integers(0, 4, size), rng.integers(0, 60, size)
    if not weights.any():
        return False
    mp = mp_context(400)
    eta = Fraction(int(rng.integers(1, 30)), 10)
    terms = [
        int(w) * mp.exp(-mp.mpf(eta.numerator) / eta.denominator * int(d))
        for w, d in zip(weights, distances, strict=True)
    ]
    cumulative = [sum(terms[: k + 1]) / sum(terms) for k in range(size)]
    border = int(mp.floor(cumulative[int(rng.integers(size))] * mp.mpf(2) ** 64)) + int(rng.integers(-2, 3))
    word = min(max(border, 0), 2**64 - 1)
    k = exponential_choice(weights, distances, eta, unsafe_rng=_OneWord(word, rng))
    below = cumulative[k - 1] if k else mp.mpf(0)
    unit = mp.mpf(2) ** -64
    return bool(not (below < (word + 1) * unit and cumulative[k] > word * unit) or weights[k] == 0)


def _column(rng: Rng, n: int) -> np.ndarray:
    kind = int(rng.integers(4))
    if kind == 0:
        return rng.integers(0, 101, n).astype(float)
    if kind == 1:
        return np.minimum(rng.geometric(0.15, n) - 1, 100).astype(float)
    if kind == 2:
        return rng.choice([0.0, 1.0, 50.0], n, p=[0.6, 0.3, 0.1])
    return np.full(n, float(rng.integers(0, 101)))


def the_lattice_method_misses_its_bound(rng: Rng) -> bool:
    """Rank errors of random columns, atoms included, against the bound that is stated before any data are read."""
    n = int(rng.integers(1, 400))
    x, levels = _column(rng, n), _levels(rng)
    relation = str(rng.choice(["replace", "add_remove"]))
    answer = quantiles(
        x, levels, bounds=(0, 100), resolution=1, neighbours=relation, epsilon=2, method="lattice", unsafe_rng=rng
    )
    plan = plan_quantiles(
        len(levels), n, bounds=(0, 100), resolution=1, neighbours=relation, epsilon=2, replicates=2, rng=rng
    )
    planned = quantiles(
        x, plan.p, bounds=(0, 100), resolution=1, neighbours=relation, epsilon=2, method="lattice", unsafe_rng=rng
    )
    assert answer.rank_error_bound is not None
    return bool(
        rank_error(x, answer.p, answer.values).max() > answer.rank_error_bound
        or rank_error(x, planned.p, planned.values).max() > plan.rank_error_bound
    )


def brackets_miss_the_population(rng: Rng) -> bool:
    """A bracket of the median of a known law, coverage 95 % promised."""
    law = np.cumsum(rng.dirichlet(np.ones(30)))
    x = np.searchsorted(law, rng.random(int(rng.integers(50, 2000)))).astype(float)
    truth = float(np.searchsorted(law, 0.5))
    answer = quantiles(
        x,
        [Fraction(1, 2)],
        bounds=(0, 29),
        resolution=1,
        neighbours="replace",
        epsilon=3,
        confidence=0.95,
        unsafe_rng=rng,
    )
    assert answer.lower is not None
    assert answer.upper is not None
    return not answer.lower[0] <= truth <= answer.upper[0]


def values_leave_the_lattice_or_their_order(rng: Rng) -> bool:
    """Any method, any column, no records included: values are lattice points between the bounds, in order."""
    x, levels = _column(rng, int(rng.integers(0, 60))), _levels(rng, 6)
    method = str(rng.choice(["auto", "lattice", "indexp", "recexp", "jointexp", "tree", "histogram"]))
    answer = quantiles(
        3 * x - 100,
        levels,
        bounds=(0, 100),
        resolution="0.5",
        neighbours="add_remove",
        rho="0.1",
        method=method,
        unsafe_rng=rng,
    )
    steps = 2 * answer.values
    return bool(np.any(steps != np.round(steps)) or np.any(np.diff(steps) < 0) or steps.min() < 0 or steps.max() > 200)


CLAIMS = (
    Claim(
        "quantile-loss",
        "no neighbours can be told apart by more than epsilon, all outputs",
        neighbours_can_be_told_apart,
        covers=("PrivateQuantiles",),
    ),
    Claim(
        "joint-tables",
        "JointExp's tables sum the definition over all tuples",
        tables_differ_from_the_definition,
        covers=("PrivateQuantiles",),
    ),
    Claim(
        "certified-choice",
        "a draw is that of the exact distribution function, at its borders too",
        a_choice_leaves_its_bin,
        covers=("PrivateQuantiles",),
    ),
    Claim(
        "rank-bound",
        "the lattice method keeps the rank error it states in advance, whatever the data",
        the_lattice_method_misses_its_bound,
        level=0.05,
        covers=("PrivateQuantiles", "QuantilePlan"),
    ),
    Claim(
        "brackets",
        "a 95 % bracket holds the population's quantile",
        brackets_miss_the_population,
        level=0.05,
        covers=("PrivateQuantiles",),
    ),
    Claim(
        "lattice",
        "released values are ordered lattice points within the bounds",
        values_leave_the_lattice_or_their_order,
        covers=("PrivateQuantiles",),
    ),
    *BUDGET_CLAIMS,
)
