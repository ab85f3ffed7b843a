"""Hierarchical partition of a box: each cell splits into K equal parts along its longest side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["Partition", "check_bounds"]


def check_bounds(bounds: Any) -> tuple[list[tuple[float, float]], bool]:
    """Sides of the box, and whether the user means a function of one number (a pair instead of a list of pairs)."""
    array = np.asarray(bounds, dtype=float)
    single = array.shape == (2,)
    if single:
        array = array[None]
    if array.ndim != 2 or array.shape[1:] != (2,) or not len(array):
        raise ValueError(f"bounds must be (low, high), or a list of such pairs; got {bounds!r}")
    if not np.isfinite(array).all() or (array[:, 0] >= array[:, 1]).any():
        raise ValueError(f"each side of the box needs finite low < high; got {bounds!r}")
    return [(float(a), float(b)) for a, b in array], single


class Partition:
    """Cells in the order of their creation; the root is cell 0. Sides are compared relative to those of the box.

    Attributes
    ----------
    low, high : corners of the cells
    depth, parent, first : depth, parent, first child (-1: a leaf) of the cells
    """

    def __init__(self, bounds: Sequence[tuple[float, float]], arity: int = 3) -> None:
        if isinstance(arity, bool) or not isinstance(arity, (int, np.integer)) or arity < 2:
            raise ValueError(f"arity must be a whole number >= 2; got {arity!r}")
        self.arity = int(arity)
        self.middle = self.arity // 2 if self.arity % 2 else -1  # the child with the centre of its parent
        self.low: list[tuple[float, ...]] = [tuple(a for a, _ in bounds)]
        self.high: list[tuple[float, ...]] = [tuple(b for _, b in bounds)]
        self.depth, self.parent, self.first = [0], [-1], [-1]

    def __len__(self) -> int:
        return len(self.depth)

    def centre(self, cell: int) -> tuple[float, ...]:
        """Representative of a cell."""
        return tuple([0.5 * (a + b) for a, b in zip(self.low[cell], self.high[cell], strict=True)])

    def diameter(self, cell: int) -> float:
        """Euclidean diameter of a cell."""
        return math.dist(self.low[cell], self.high[cell])

    def can_split(self, cell: int) -> bool:
        """Whether the parts would still be told apart by floating-point numbers."""
        return any(
            (b - a) > 1e-14 * max(1.0, abs(a), abs(b)) for a, b in zip(self.low[cell], self.high[cell], strict=True)
        )

    def split(self, cell: int) -> int:
        """Create the children of a leaf; returns the first."""
        low, high, k = self.low[cell], self.high[cell], self.arity
        axis = self.depth[cell] % len(
            low
        )  # the longest side relative to the box: sides take turns, whatever is rounded
        first = len(self.depth)
        start, step = low[axis], (high[axis] - low[axis]) / k
        edges = [start + i * step for i in range(k)] + [high[axis]]
        if len(low) == 1:
            corners = [(edge,) for edge in edges]
            self.low += corners[:-1]
            self.high += corners[1:]
        else:
            self.low += [(*low[:axis], edge, *low[axis + 1 :]) for edge in edges[:-1]]
            self.high += [(*high[:axis], edge, *high[axis + 1 :]) for edge in edges[1:]]
        depth = self.depth[cell] + 1
        self.depth.extend([depth] * k)
        self.parent.extend([cell] * k)
        self.first.extend([-1] * k)
        self.first[cell] = first
        return first
