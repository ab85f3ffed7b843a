"""Products with one Kronecker-sparse factor, and with a chain of 2 x 2 factors.

The layout that costs nothing is *batch last*, ``(features, batch)``: for each ``(i, l)`` the factor is a
small dense matrix ``W[i, l] = x[i, :, :, l]`` that multiplies the rows ``i c d + k d + l`` of the input,
which is a strided view. The product is one batched GEMM without any permutation copy
(compare Gonon, Zheng, Carrivain, Le 2025, on what such copies cost).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from ._product_kernels import TILE, tile_stages_first, tile_stages_last, vector_stages
from .architecture import Pattern

__all__ = ["FusedStages", "factor_product", "ks_matmul"]

Layout = Literal["first", "last"]
Array = np.ndarray


def ks_matmul(x: Any, factor: Any, pattern: tuple[int, int, int, int] | None = None, layout: Layout = "last") -> Any:
    """Product of a Kronecker-sparse factor with a batch of vectors.

    Parameters
    ----------
    x : array or torch tensor, (acd,) or (acd, batch) for layout "last", (..., acd) for "first"
    factor : (a, b, c, d) array or tensor
    pattern : (a, b, c, d); default: the shape of ``factor``
    layout : where the batch axis of ``x`` is; the result has the same layout.

    Returns
    -------
    (abd,), (abd, batch) or (..., abd); a tensor (with gradients) if ``x`` or ``factor`` is one.

    Raises
    ------
    ValueError
        Shapes that do not fit, or an unknown layout.

    Examples
    --------
    >>> import numpy as np
    >>> ks_matmul(np.arange(4.0), np.ones((2, 1, 2, 1)))
    array([1., 5.])
    """
    if layout not in ("first", "last"):
        raise ValueError(f"layout must be 'first' or 'last'; got {layout!r}")
    if not (hasattr(x, "detach") or hasattr(factor, "detach")):
        x, factor = np.asarray(x), np.asarray(factor)
    shape = tuple(factor.shape) if pattern is None else tuple(pattern)
    if len(shape) != 4 or tuple(factor.shape) != shape:
        raise ValueError(f"the factor must be an array of shape (a, b, c, d) = {shape}; got {tuple(factor.shape)}")
    size = -1 if x.ndim == 0 else x.shape[-1] if layout == "first" else x.shape[0]
    if size != Pattern(*shape).shape[1] or (layout == "last" and x.ndim > 2):
        raise ValueError(f"a factor {shape} takes {Pattern(*shape).shape[1]} features; got x of shape {tuple(x.shape)}")
    if not (isinstance(x, np.ndarray) and isinstance(factor, np.ndarray)):
        from .autograd import ks_matmul_torch

        return ks_matmul_torch(x, factor, layout)
    if layout == "first":
        flat = x.reshape(math.prod(x.shape[:-1]), size)
        return np.ascontiguousarray(factor_product(stack_of_blocks(factor), flat.T).T).reshape(
            *x.shape[:-1], Pattern(*shape).shape[0]
        )
    y = factor_product(stack_of_blocks(factor), x if x.ndim == 2 else x[:, None])
    return y if x.ndim == 2 else y[:, 0]


def stack_of_blocks(factor: Array) -> Array:
    """The small matrices ``W[i, l] = x[i, :, :, l]`` of a factor, contiguous: (a, d, b, c)."""
    return np.ascontiguousarray(factor.transpose(0, 3, 1, 2))


def factor_product(blocks: Array, x: Array) -> Array:
    """One factor, given as `stack_of_blocks`, times ``x`` (acd, batch): a batched GEMM on strided views."""
    a, d, b, c = blocks.shape
    batch = x.shape[1]
    if not x.flags.c_contiguous:
        x = np.ascontiguousarray(x)
    if batch == 1:  # the strides of a single column would keep BLAS out
        columns = np.ascontiguousarray(x.reshape(a, c, d).transpose(0, 2, 1))
        y = np.matmul(blocks, columns[..., None])[..., 0]
        return np.ascontiguousarray(y.transpose(0, 2, 1)).reshape(-1, 1)
    y = np.empty((a * b * d, batch), np.result_type(blocks, x))
    np.matmul(
        blocks,
        x.reshape(a, c, d, batch).transpose(0, 2, 1, 3),
        out=y.reshape(a, b, d, batch).transpose(0, 2, 1, 3),
    )
    return y


class FusedStages:
    """A chain of ``(a, 2, 2, d)`` factors applied in one pass over cache-sized tiles."""

    def __init__(self, factors: Sequence[Array]) -> None:
        self.weights = np.concatenate([np.ascontiguousarray(x).reshape(-1) for x in factors])
        self.starts = np.cumsum([0] + [x.size for x in factors[:-1]])
        self.a = np.array([x.shape[0] for x in factors])
        self.d = np.array([x.shape[3] for x in factors])

    @staticmethod
    def takes(patterns: Sequence[Pattern]) -> bool:
        """Whether the chain consists of 2 x 2 factors."""
        return all(p.b == p.c == 2 for p in patterns)

    def last(self, x: Array) -> Array:
        """The product with the columns of ``x`` (features, batch)."""
        if x.shape[1] <= TILE // 4:
            y = np.empty(x.shape[::-1], x.dtype)
            vector_stages(x.T, y, self.weights, self.starts, self.a, self.d)
            return y.T
        y = np.empty_like(x, order="C")
        tile_stages_last(x, y, self.weights, self.starts, self.a, self.d)
        return y

    def first(self, x: Array) -> Array:
        """The product with the rows of ``x`` (batch, features)."""
        y = np.empty_like(x, order="C")
        kernel = vector_stages if len(x) <= TILE // 4 else tile_stages_first
        kernel(x, y, self.weights, self.starts, self.a, self.d)
        return y
