"""The chain methods: which pairs of factors are rounded together, and in which order.

Every method maps factors (4-D arrays) to rounded factors and a scale. With single paths, rounding column i of
a factor as ``col = mu col_hat + r`` leaves the residual ``r`` for good (it is orthogonal to what follows)
and hands ``mu`` to row i of the next factor, with the weight ``||col_hat||^2``: each step is a smaller problem of the
same kind. Pairs and left-to-right: Gribonval, Mary, Riccietti 2023 (Alg. 7.2, 7.3), here with the weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ._beam_kernels import beam_columns
from .steps import Rounder

__all__ = ["beam_search", "left_to_right", "pairwise_rounding", "plain_rounding", "right_to_left"]

Array = np.ndarray
Rounded = tuple[list[Array], float]


def plain_rounding(factors: Sequence[Array], rounders: Sequence[Rounder]) -> Rounded:
    """Entry by entry."""
    rounded, scale = [], 1.0
    for x, rounder in zip(factors, rounders, strict=True):
        hat, one = rounder.entrywise(x)
        rounded.append(hat)
        scale *= one
    return rounded, scale


def pairwise_rounding(factors: Sequence[Array], rounders: Sequence[Rounder]) -> Rounded:
    """Best pairs (X_1, X_2), (X_3, X_4), ...; a last single factor is rounded entry by entry."""
    rounded: list[Array] = []
    scale = 1.0
    for l in range(0, len(factors) - 1, 2):
        pair, one = _last_pair(factors[l], factors[l + 1], None, rounders[l], rounders[l + 1])
        rounded += pair
        scale *= one
    if len(factors) % 2:
        hat, one = rounders[-1].entrywise(factors[-1])
        rounded.append(hat)
        scale *= one
    return rounded, scale


def left_to_right(factors: Sequence[Array], rounders: Sequence[Rounder]) -> Rounded:
    """Each column its own best scaling, handed on to the next factor; the last two factors as best pairs."""
    if len(factors) == 1:
        return plain_rounding(factors, rounders)
    rounded, rest, weights = _advance(factors, rounders, len(factors) - 2)
    pair, scale = _last_pair(rest, factors[-1], weights, rounders[-2], rounders[-1])
    return rounded + pair, scale


def right_to_left(factors: Sequence[Array], rounders: Sequence[Rounder]) -> Rounded:
    """The same from the other end: the transposed factors in reverse order."""
    mirrored = [np.ascontiguousarray(x.transpose(0, 2, 1, 3)) for x in reversed(factors)]
    rounded, scale = left_to_right(mirrored, list(reversed(rounders)))
    return [np.ascontiguousarray(x.transpose(0, 2, 1, 3)) for x in reversed(rounded)], scale


def beam_search(factors: Sequence[Array], rounders: Sequence[Rounder], beam: int) -> Rounded:
    """Left to right up to the last three factors, which are decided together.

    For each column of the first of them the ``beam`` best scalings are kept; for each block of the second all
    combinations of those are compared, with the best pairs for the second and third factor.
    """
    if len(factors) < 3 or any(r.grid is not None for r in rounders):
        return left_to_right(factors, rounders)
    rounded, first, weights = _advance(factors, rounders, len(factors) - 3)
    second, third = factors[-2], factors[-1]
    if first.shape[1] > 64 or second.shape[1] > 64:
        return left_to_right(factors, rounders)
    x = [np.ascontiguousarray(f) for f in (first, second, third)]
    hats = [np.zeros_like(f) for f in x]
    if weights is None:
        weights = np.ones(first.shape[0] * first.shape[1] * first.shape[3])
    t = [r.t for r in rounders[-3:]]
    beam_columns(x[0], x[1], x[2], weights, t[0], t[1], t[2], beam, hats[0], hats[1], hats[2])
    return rounded + hats, 1.0


def _advance(
    factors: Sequence[Array], rounders: Sequence[Rounder], steps: int
) -> tuple[list[Array], Array, Array | None]:
    """Round the columns of the first ``steps`` factors one after the other.

    Returns the rounded factors, the next factor with what they leave to it, and the weights of its rows.
    """
    rounded: list[Array] = []
    rest, weights = factors[0], None
    for l in range(steps):
        cols = columns_of(rest)
        hats, mus, energies = rounders[l].columns(cols, _weights_of_columns(weights, rest.shape))
        rounded.append(from_columns(hats, rest.shape))
        following = factors[l + 1]
        a, b, _, d = following.shape
        rest = following * mus.reshape(a, b, 1, d)
        weights = energies
        peak = float(weights.max())
        if peak > 0:  # only ratios count
            weights = weights * 2.0 ** -np.frexp(peak)[1]
    return rounded, rest, weights


def _last_pair(
    x: Array, y: Array, weights: Array | None, rounder: Rounder, other: Rounder
) -> tuple[list[Array], float]:
    rows = np.ascontiguousarray(y.transpose(0, 1, 3, 2)).reshape(-1, y.shape[2])
    hats, row_hats, scale = rounder.pairs(columns_of(x), _weights_of_columns(weights, x.shape), rows, other)
    a, b, c, d = y.shape
    y_hat = np.ascontiguousarray(row_hats.reshape(a, b, d, c).transpose(0, 1, 3, 2))
    return [from_columns(hats, x.shape), y_hat], scale


def columns_of(x: Array) -> Array:
    """Columns of a factor, (a c d, b): column ``(i, k, l)`` has the entries ``x[i, :, k, l]``."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).reshape(-1, x.shape[1])


def from_columns(cols: Array, shape: tuple[int, ...]) -> Array:
    """The inverse of `columns_of`."""
    a, b, c, d = shape
    return np.ascontiguousarray(cols.reshape(a, c, d, b).transpose(0, 3, 1, 2))


def _weights_of_columns(weights: Array | None, shape: tuple[int, ...]) -> Array:
    """Weights of the rows (a b d,) as seen by each column, (a c d, b)."""
    a, b, c, d = shape
    if weights is None:
        return np.broadcast_to(1.0, (a * c * d, b)).copy()
    spread = np.broadcast_to(weights.reshape(a, 1, b, d), (a, c, b, d))
    return np.ascontiguousarray(spread.transpose(0, 1, 3, 2)).reshape(-1, b)
