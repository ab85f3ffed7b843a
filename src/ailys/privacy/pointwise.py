"""Quantiles by draws among the intervals between records: one by one (IndExp), by halving (RecExp), all at once (JointExp).

The records are positions, whole numbers or doubles, sorted, between two bounds: ``edges``. A value in ``[edges[i], edges[i+1])`` has
exactly i records at or below it.
Sources: Smith 2011, Algorithm 2 (one quantile); Kaplan, Schnapp and Stemmer 2022 (RecExp); Gillenwater, Joseph and Kulesza 2021 (JointExp).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from .exponential import interval_of_quantile
from .joint import joint_intervals
from .noise import Source
from .rates import Cost, joint_rate, level_rate, recursion_depth, recursive_rate

__all__ = ["independent", "joint", "recursive"]


def independent(source: Source, edges: np.ndarray, levels: Sequence[Fraction], cost: Cost) -> list[Any]:
    """IndExp: a draw for each level with its share of the budget, the results sorted."""
    n = len(edges) - 2
    found = []
    for p in levels:
        i = interval_of_quantile(source, edges, p * n, level_rate(cost, p, len(levels)))
        found.append(_inside(source, edges[i], edges[i + 1]))
    return sorted(found)


def joint(source: Source, edges: np.ndarray, levels: Sequence[Fraction], cost: Cost) -> list[Any]:
    """JointExp: one draw of all intervals, then places inside them, sorted."""
    intervals = joint_intervals(source, edges, levels, joint_rate(cost, levels))
    return sorted(_inside(source, edges[i], edges[i + 1]) for i in intervals)


def recursive(source: Source, edges: np.ndarray, levels: Sequence[Fraction], cost: Cost) -> list[Any]:
    """RecExp: the middle level first, then the levels below and above it on the records on either side."""
    depth = recursion_depth(len(levels))
    step = 1 if edges.dtype.kind == "i" else 0  # whole positions: those below z + 1 are those up to z
    out: list[Any] = [None] * len(levels)
    todo = [(0, len(levels), edges, Fraction(0), Fraction(1))]
    while todo:
        i, j, part, below, above = todo.pop()
        if i == j:
            continue
        k = (i + j) // 2
        p = (levels[k] - below) / (above - below)
        if part[-1] > part[0]:
            rank = interval_of_quantile(source, part, p * (len(part) - 2), recursive_rate(cost, p, depth))
            value = _inside(source, part[rank], part[rank + 1])
        else:
            rank, value = int(np.searchsorted(part[1:-1], part[0], side="right")), part[0]
        out[k] = value
        todo.append((i, k, np.append(part[: rank + 1], value + step), below, levels[k]))
        todo.append((k + 1, j, np.insert(part[rank + 1 :], 0, value), levels[k], above))
    return out


def _inside(source: Source, low: Any, high: Any) -> Any:
    """A uniform place in [low, high): a whole number, or a double (research only)."""
    if isinstance(low, np.integer):
        return int(low) + source.integer_below(int(high) - int(low))
    return float(low) + (float(high) - float(low)) * (source.integer_below(1 << 53) * 2.0**-53)
