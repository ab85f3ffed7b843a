"""Quantiles read off a noisy distribution function on the lattice: a histogram, or a tree of intervals.

Many quantiles cost no more than one: the whole distribution is released once. Noise is discrete, on integers; what follows works on the
noisy numbers only. Tree: Hay, Rastogi, Miklau and Suciu 2010 (least-squares consistency). When this beats the pointwise methods: Lalanne,
Gastaud, Garivier and Gribonval 2023, "Private statistical estimation of many quantiles".
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from .noise import Source, discrete_gaussian, discrete_laplace
from .rates import Cost

__all__ = ["LARGEST", "from_histogram", "from_tree", "noisy_histogram", "noisy_tree"]

LARGEST = 1 << 22  # lattice points


def _noise(source: Source, size: int, cost: Cost, parts: int) -> np.ndarray:
    """Noise for counts of which one record changes one (add_remove) or two (replace) by 1 in each of ``parts`` partitions."""
    changed = (2 if cost.neighbours == "replace" else 1) * parts
    if cost.epsilon is not None:
        return np.asarray(discrete_laplace(Fraction(changed) / cost.epsilon, size, unsafe_rng=source))
    assert cost.rho is not None
    return np.asarray(discrete_gaussian(Fraction(changed) / (2 * cost.rho), size, unsafe_rng=source))


def noisy_histogram(source: Source, index: np.ndarray, size: int, cost: Cost) -> np.ndarray:
    """Counts of the lattice points with noise (int64)."""
    return np.bincount(index, minlength=size) + _noise(source, size, cost, 1)


def from_histogram(source: Source, index: np.ndarray, size: int, levels: Sequence[Fraction], cost: Cost) -> np.ndarray:
    """Lattice points of the quantiles, by a noisy histogram."""
    counts = noisy_histogram(source, index, size, cost)
    return _read(np.cumsum(counts), levels, len(index) if cost.neighbours == "replace" else None)


def noisy_tree(source: Source, index: np.ndarray, size: int, cost: Cost) -> np.ndarray:
    """Consistent estimates of the counts of the lattice points from noisy counts of dyadic intervals.

    Under "replace" the root is the number of records, which is public.
    """
    height = max(1, (size - 1).bit_length())
    public_root = cost.neighbours == "replace"
    parts = height if public_root else height + 1
    counts = np.bincount(index, minlength=1 << height)
    noisy = []  # from the leaves up, without the root if it is public
    for _ in range(parts):
        noisy.append(counts + _noise(source, len(counts), cost, parts))
        counts = counts.reshape(-1, 2).sum(axis=1) if len(counts) > 1 else counts
    # upwards: the best estimate of each node from what is below it
    estimates = [noisy[0].astype(float)]
    for h, own in enumerate(noisy[1:], start=2):
        children = estimates[-1].reshape(-1, 2).sum(axis=1)
        estimates.append(((2.0**h - 2.0 ** (h - 1)) * own + (2.0 ** (h - 1) - 1) * children) / (2.0**h - 1))
    # downwards: what a parent and its children disagree about is shared equally
    parent = np.array([float(len(index))]) if public_root else estimates.pop()
    for children in reversed(estimates):
        gap = parent - children.reshape(-1, 2).sum(axis=1)
        parent = children + np.repeat(gap / 2, 2)
    return parent[:size]


def from_tree(source: Source, index: np.ndarray, size: int, levels: Sequence[Fraction], cost: Cost) -> np.ndarray:
    """Lattice points of the quantiles, by a noisy tree."""
    counts = noisy_tree(source, index, size, cost)
    return _read(np.cumsum(counts), levels, len(index) if cost.neighbours == "replace" else None)


def _read(cumulated: np.ndarray, levels: Sequence[Fraction], n: int | None) -> np.ndarray:
    """The first point whose distribution function reaches each level, after making it monotone."""
    from scipy.optimize import isotonic_regression

    monotone = np.clip(isotonic_regression(cumulated.astype(float)).x, 0, n)
    total = float(monotone[-1]) if n is None else float(n)
    wanted = np.array([float(p) * total for p in levels])
    return np.minimum(np.searchsorted(monotone, wanted - 1e-9 * max(total, 1.0)), len(monotone) - 1)
