"""One quantile: the exponential mechanism over the lattice, with the tie-aware rank error as its score.

The score d_p(v) = max(0, #{x < v} - pn, pn - #{x <= v}) is zero exactly for the p-quantiles, so atoms are no problem and there is always a
point of score 0. Probabilities are proportional to exp(-eta d_p(v)); runs of lattice points without records are one bin.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from .exponential import UNIT, exponential_choice
from .noise import Source
from .rates import Cost, level_rate

__all__ = ["lattice_bins", "lattice_quantiles", "rank_bound"]


def rank_bound(size: int, eta: Fraction, beta: float) -> float:
    """The rank error that is exceeded with probability at most ``beta``, whatever the data: ln(size / beta) / eta.

    At least one of the ``size`` points has score 0; those beyond the bound weigh at most size * exp(-eta bound) together.
    """
    return math.log(size / beta) / float(eta)


def lattice_bins(index: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Runs of lattice points with equal ranks: first point, number of points, records below, records at or below (int64)."""
    values, counts = np.unique(index, return_counts=True)
    ends = np.cumsum(counts)
    first = np.empty(2 * len(values) + 1, dtype=np.int64)
    points, below, atmost = np.empty_like(first), np.empty_like(first), np.empty_like(first)
    first[0], first[1::2], first[2::2] = 0, values, values + 1
    points[:-1], points[-1] = np.diff(first), size - first[-1]
    below[0], below[1::2], below[2::2] = 0, ends - counts, ends
    atmost[0], atmost[1::2], atmost[2::2] = 0, ends, ends
    return first, points, below, atmost


def lattice_quantiles(
    source: Source, index: np.ndarray, size: int, levels: Sequence[Fraction], cost: Cost
) -> np.ndarray:
    """Numbers of lattice points, one draw for each level with its share of the budget, sorted."""
    first, points, below, atmost = lattice_bins(index, size)
    n = len(index)
    out = []
    for p in levels:
        centre = p * n
        distance = np.maximum(0.0, np.maximum(below - float(centre), float(centre) - atmost))

        def exact(k: int, centre: Fraction = centre) -> Fraction:
            return max(Fraction(0), int(below[k]) - centre, centre - int(atmost[k]))

        rate = level_rate(cost, p, len(levels))
        k = exponential_choice(
            points, distance, rate, unsafe_rng=source, exact_distance=exact, distance_error=4 * UNIT * (n + 1)
        )
        out.append(int(first[k]) + source.integer_below(int(points[k])))
    return np.array(sorted(out), dtype=np.int64)
