"""The methods for quantiles by name, which of them suits, and the one function that runs any of them on lattice points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from . import pointwise
from .density_based import LARGEST, from_histogram, from_tree
from .lattice import Lattice
from .noise import Source
from .preprocess import dither
from .rates import Cost
from .single import lattice_quantiles

__all__ = ["DENSITY", "METHODS", "POINTWISE", "choose_method", "refuse_method", "run_method"]

POINTWISE = {"indexp": pointwise.independent, "recexp": pointwise.recursive, "jointexp": pointwise.joint}
DENSITY = {"tree": from_tree, "histogram": from_histogram}
METHODS = ("auto", "lattice", *POINTWISE, *DENSITY)


def refuse_method(method: str, size: int) -> None:
    """Raise if the name is unknown, or the lattice too fine for it."""
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
    if method in DENSITY and size > LARGEST:
        raise ValueError(
            f"method {method!r} counts every lattice point, and {size} are more than 2^22; use 'recexp', or a coarser resolution"
        )


def choose_method(m: int, size: int, n: int | None, cost: Cost) -> tuple[str, str]:
    """Method and reason, from public quantities only: levels, lattice points, records (None if secret and not hinted), budget.

    The rule was read off a table of simulations (page "privacy" of the documentation).
    """
    if m == 1:
        return "lattice", "one quantile: the exponential mechanism on the lattice has a proved rank error"
    if size <= min(4 * m, LARGEST):
        return "histogram", f"{size} lattice points for {m} levels: a noisy histogram answers all levels at once"
    if n is not None:
        share = n * float(cost.per_draw(1)) / m
        needed = 20 * math.log2(m + 1)
        if share >= needed:
            return "jointexp", f"n epsilon / m = {share:.4g} is at least 20 log2(m + 1) = {needed:.4g}: one joint draw"
    few = "the records are few for so many levels" if n is not None else "the number of records is not public"
    if size <= 1 << 14:
        return "tree", f"{few}, and {size} lattice points are not too many: a noisy tree of counts"
    return "recexp", f"{few}, and {size} lattice points are many: halving with dithered records"


def run_method(
    method: str, source: Source, index: np.ndarray, lattice: Lattice, levels: Sequence[Fraction], cost: Cost
) -> np.ndarray:
    """Numbers of the lattice points released for the levels, increasing (int64)."""
    if method == "lattice":
        return lattice_quantiles(source, index, lattice.size, levels, cost)
    if method in DENSITY:
        return DENSITY[method](source, index, lattice.size, levels, cost).astype(np.int64)
    positions = dither(index, lattice, source)
    edges = np.concatenate([[0], positions, [lattice.size << lattice.cell_bits]]).astype(np.int64, copy=False)
    found = POINTWISE[method](source, edges, levels, cost)
    return np.array(found, dtype=np.int64) >> lattice.cell_bits
