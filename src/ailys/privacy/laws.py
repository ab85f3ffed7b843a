"""Exact laws of the mechanisms at small sizes, written down from their definitions and enumerated.

Slow and independent of the code that draws: the tests and the audit compare the two, and measure the privacy loss on these laws. Records
and released values are whole positions; ``edges`` holds the sorted records between the two bounds.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

import numpy as np

from .rates import Cost, joint_rate, level_rate, recursion_depth, recursive_rate

__all__ = ["LAWS", "Law", "edges_of", "indexp_law", "jointexp_law", "lattice_law", "max_loss", "recexp_law"]

Law = dict[tuple[int, ...], float]


def edges_of(records: Sequence[int], low: int, high: int) -> np.ndarray:
    """Sorted records between the bounds."""
    return np.array([low, *sorted(records), high], dtype=np.int64)


def _one(edges: Sequence[int] | np.ndarray, centre: float, eta: float) -> dict[int, float]:
    """P(z) proportional to exp(-eta |#{y <= z} - centre|) for the positions between the bounds."""
    records = edges[1:-1]
    weights = {
        z: math.exp(-eta * abs(sum(y <= z for y in records) - centre)) for z in range(int(edges[0]), int(edges[-1]))
    }
    total = math.fsum(weights.values())
    return {z: w / total for z, w in weights.items()}


def indexp_law(edges: np.ndarray, levels: Sequence[Fraction], cost: Cost) -> Law:
    """Independent draws, sorted."""
    n = len(edges) - 2
    single = [_one(edges, float(p * n), float(level_rate(cost, p, len(levels)))) for p in levels]
    law: Law = defaultdict(float)
    for choice in itertools.product(*(one.items() for one in single)):
        law[tuple(sorted(z for z, _ in choice))] += math.prod(q for _, q in choice)
    return dict(law)


def jointexp_law(edges: np.ndarray, levels: Sequence[Fraction], cost: Cost) -> Law:
    """All tuples of positions, weighted by exp(-eta sum_j |gap_j - t_j|), then sorted."""
    n, eta = len(edges) - 2, float(joint_rate(cost, levels))
    records = edges[1:-1]
    steps = [float((b - a) * n) for a, b in zip([Fraction(0), *levels], [*levels, Fraction(1)], strict=True)]
    law: Law = defaultdict(float)
    for values in itertools.product(range(int(edges[0]), int(edges[-1])), repeat=len(levels)):
        ordered = tuple(sorted(values))
        ranks = [0, *(sum(y <= z for y in records) for z in ordered), n]
        gap = sum(abs(b - a - t) for a, b, t in zip(ranks, ranks[1:], steps, strict=False))
        law[ordered] += math.exp(-eta * gap)
    total = math.fsum(law.values())
    return {values: w / total for values, w in law.items()}


def recexp_law(edges: np.ndarray, levels: Sequence[Fraction], cost: Cost) -> Law:
    """The recursion: the middle level on all records, then each side on the records of that side."""
    depth = recursion_depth(len(levels))

    def node(part: tuple[int, ...], i: int, j: int, below: Fraction, above: Fraction) -> Law:
        if i == j:
            return {(): 1.0}
        k = (i + j) // 2
        p = (levels[k] - below) / (above - below)
        law: Law = defaultdict(float)
        here = _one(part, float(p * (len(part) - 2)), float(recursive_rate(cost, p, depth)))
        for z, q in here.items():
            records = part[1:-1]
            lower = (part[0], *(y for y in records if y <= z), z + 1)
            upper = (z, *(y for y in records if y > z), part[-1])
            for left, a in node(lower, i, k, below, levels[k]).items():
                for right, b in node(upper, k + 1, j, levels[k], above).items():
                    law[(*left, z, *right)] += q * a * b
        return dict(law)

    return node(tuple(int(e) for e in edges), 0, len(levels), Fraction(0), Fraction(1))


def lattice_law(edges: np.ndarray, levels: Sequence[Fraction], cost: Cost) -> Law:
    """The tie-aware score on the lattice points from the lower bound up to, without, the upper one."""
    records, n = edges[1:-1], len(edges) - 2
    law: Law = {(): 1.0}
    for p in levels:
        eta, centre = float(level_rate(cost, p, len(levels))), float(p * n)
        weights = {}
        for z in range(int(edges[0]), int(edges[-1])):
            below, atmost = sum(y < z for y in records), sum(y <= z for y in records)
            weights[z] = math.exp(-eta * max(0.0, below - centre, centre - atmost))
        total = math.fsum(weights.values())
        longer: Law = defaultdict(float)
        for values, q in law.items():
            for z, w in weights.items():
                longer[tuple(sorted((*values, z)))] += q * w / total
        law = dict(longer)
    return law


LAWS: dict[str, Callable[[np.ndarray, Sequence[Fraction], Cost], Law]] = {
    "lattice": lattice_law,
    "indexp": indexp_law,
    "recexp": recexp_law,
    "jointexp": jointexp_law,
}


def max_loss(law: Callable[[tuple[int, ...]], Law], values: Sequence[int], largest: int, neighbours: str) -> float:
    """The largest |ln(P(o) / P'(o))| over all outputs and all neighbouring data sets of up to ``largest`` records."""
    laws = {
        records: law(records)
        for n in range(largest + 1)
        for records in itertools.combinations_with_replacement(sorted(values), n)
    }
    worst = 0.0
    for records, one in laws.items():
        for other in _neighbours(records, values, largest, neighbours):
            rival = laws[other]
            worst = max(worst, max(abs(math.log(one[o] / rival[o])) for o in one))
    return worst


def _neighbours(
    records: tuple[int, ...], values: Sequence[int], largest: int, neighbours: str
) -> Iterator[tuple[int, ...]]:
    if neighbours == "add_remove":
        if len(records) < largest:
            yield from (tuple(sorted((*records, v))) for v in values)
        return
    for k in range(len(records)):
        yield from (tuple(sorted((*records[:k], *records[k + 1 :], v))) for v in values)
