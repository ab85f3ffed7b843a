"""``y = X_1 X_2 ... X_L x + bias`` in PyTorch, for inputs whose last axis holds the features.

Four ways to the same numbers:

- *rows*: a compiled loop for a handful of vectors, where the cost is to read the factors once;
- *tiles*: a compiled loop for small blocks, too small for the matrix library: the whole chain on a few vectors
  while they are in cache. The gradient runs the chain again, so that only the input is kept;
- *stages*: batched matrix products. The first one reads the input as it lies, batch first, and leaves its result
  batch last, so that every later factor multiplies strided views; a single transposition, joined with the addition of the
  bias, gives the output. Input and intermediate results are kept for the gradient, nothing else.
- *plain*: differentiable operations only, for everything that is not a plain tensor of single or double precision on
  the CPU: other devices and types, autocast, compilation, export, second derivatives.

Source of the layouts: Gonon, Zheng, Carrivain, Le 2025, on what permutation copies cost.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..core.optional import require
from ._chain_kernels import rows_backward, rows_forward, tiles_backward, tiles_forward

torch = require("torch", extra="networks", purpose="butterfly layers")
forward_ad = torch.autograd.forward_ad

__all__ = ["ChainLinearFunction", "chain_linear"]

# where the compiled loops beat calls of the matrix library, in vectors (measured for orders 512 to 2048)
_FEW, _MORE, _SOME = 8, 16, 32
_SHARE = 200_000  # multiply-adds that make another thread worth its start
_ORDINARY = (torch.Tensor, torch.nn.Parameter)
_NUMPY = {torch.float32: np.float32, torch.float64: np.float64}


def chain_linear(x: Any, factors: Sequence[Any], bias: Any = None) -> Any:
    """The product of a chain of Kronecker-sparse factors with vectors, with gradients.

    Parameters
    ----------
    x : (..., N) tensor
    factors : (a, b, c, d) tensors of a valid chain, ``X_1`` first
    bias : (M,) tensor, added to each result, or None

    Returns
    -------
    (..., M) contiguous tensor.

    Raises
    ------
    ValueError
        Sizes that do not fit.

    Examples
    --------
    >>> import torch
    >>> chain_linear(torch.arange(4.0), [torch.ones(2, 1, 2, 1)], torch.ones(2)).tolist()
    [2.0, 6.0]
    """
    traits = _traits_of(factors)
    if traits.fault or x.ndim == 0 or x.shape[-1] != traits.cols or (bias is not None and bias.shape != (traits.rows,)):
        raise ValueError(
            traits.fault
            or f"the factors take {traits.cols} features and give {traits.rows}; got an input of shape {tuple(x.shape)}"
            + ("" if bias is None else f" and a bias of shape {tuple(bias.shape)}")
        )
    if not _takes_fast_path(x, factors, bias):
        return _plain(x, factors, bias)
    flat = x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    if torch.is_grad_enabled() and (x.requires_grad or any(f.requires_grad for f in factors) or _learns(bias)):
        y = ChainLinearFunction.apply(flat, bias, *factors)
    else:
        y = _way(len(flat), traits).forward(flat, bias, factors)[0]
    return y if x.ndim == 2 else y.reshape(*x.shape[:-1], y.shape[-1])


def _learns(bias: Any) -> bool:
    return bias is not None and bias.requires_grad


def _takes_fast_path(x: Any, factors: Sequence[Any], bias: Any) -> bool:
    """Whether all tensors are ordinary ones that the compiled loop and strided products can read."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or torch.is_autocast_enabled("cpu"):
        return False
    if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
        return False
    kind = x.dtype
    if kind not in _NUMPY or type(x) not in _ORDINARY:
        return False
    others = factors if bias is None else (*factors, bias)
    return x.is_cpu and all(t.dtype == kind and t.is_cpu and type(t) in _ORDINARY for t in others)


class ChainLinearFunction(torch.autograd.Function):  # type: ignore[misc, name-defined]
    """`chain_linear` of a matrix ``x`` (batch, N): ``apply(x, bias, *factors)``.

    Gradients of a chain: with ``v_l`` the input of factor ``l`` and ``g_l`` the gradient of its output,
    ``dx_l[i, j, k, l] = sum g_l[i, j, l] v_l[i, k, l]`` over the batch, and ``g_{l+1} = X_l^T g_l``.
    """

    @staticmethod
    def forward(ctx: Any, x: Any, bias: Any, *factors: Any) -> Any:
        ctx.way = _way(len(x), _traits_of(factors))
        y, ctx.inner = ctx.way.forward(x, bias, factors)
        ctx.save_for_backward(x, *factors)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> tuple[Any, ...]:
        x, *factors = ctx.saved_tensors
        wants_x, wants_bias, *wants = ctx.needs_input_grad
        d_bias = dy.sum(0) if wants_bias else None
        if torch.is_grad_enabled():  # a second derivative is wanted: everything in differentiable operations
            inputs = [t for t, wanted in zip((x, *factors), (wants_x, *wants), strict=True) if wanted]
            found = iter(torch.autograd.grad(_plain(x, factors, None), inputs, dy, create_graph=True) if inputs else ())
            d_x, *d_factors = (next(found) if wanted else None for wanted in (wants_x, *wants))
            return d_x, d_bias, *d_factors
        if not (wants_x or any(wants)):
            return None, d_bias, *([None] * len(factors))
        d_x, d_factors = ctx.way.backward(x, factors, ctx.inner, dy, wants_x, any(wants))
        return d_x, d_bias, *d_factors


class _Traits(NamedTuple):
    """What the choice of a way depends on, found once for each architecture."""

    fault: str  # why the factors are no chain, or empty
    rows: int
    cols: int
    small_blocks: bool
    many_blocks: bool
    n_params: int
    inner: int  # numbers between the factors, for one vector


@lru_cache(maxsize=4096)
def _traits(shapes: tuple[Any, ...]) -> _Traits:
    sizes = [(0, 0) if len(s) != 4 else (s[0] * s[1] * s[3], s[0] * s[2] * s[3]) for s in shapes]
    if not sizes or any(not rows * cols for rows, cols in sizes):
        return _Traits("factors must be tensors of shape (a, b, c, d) with positive sizes", 0, 0, False, False, 0, 0)
    for i, ((_, cols), (rows, _)) in enumerate(itertools.pairwise(sizes), start=1):
        if cols != rows:
            fault = f"factors {i} and {i + 1} do not fit: {cols} columns, {rows} rows"
            return _Traits(fault, 0, 0, False, False, 0, 0)
    return _Traits(
        fault="",
        rows=sizes[0][0],
        cols=sizes[-1][1],
        small_blocks=max(b * c for _, b, c, _ in shapes) <= 16,
        many_blocks=min(a * d for a, _, _, d in shapes) >= 8,
        n_params=sum(a * b * c * d for a, b, c, d in shapes),
        inner=sum(a * b * d for a, b, _, d in shapes[1:]),
    )


def _traits_of(factors: Sequence[Any]) -> _Traits:
    return _traits(tuple([f.shape for f in factors]))


def _way(vectors: int, traits: _Traits) -> Any:
    """The fastest way for this many vectors."""
    if traits.small_blocks:
        return _Rows if vectors <= _FEW // 2 else _Tiles
    if vectors <= _FEW:
        return _Rows
    if traits.many_blocks:
        return _Tiles if vectors <= _SOME else _Stages
    return _Rows if vectors <= _MORE else _Stages


# -- compiled loops ------------------------------------------------------------------------------


class _Rows:
    """A handful of vectors, one after another."""

    @staticmethod
    def forward(x: Any, bias: Any, factors: Sequence[Any]) -> tuple[Any, Any]:
        a, b, _, d = factors[0].shape
        kind = _NUMPY[x.dtype]
        y = np.empty((len(x), a * b * d), kind)
        inner = np.empty((len(x), _traits_of(factors).inner), kind)
        rows_forward(_arrays(factors), _array(x), _bias(bias, kind), y, inner)
        return torch.from_numpy(y), inner

    @staticmethod
    def backward(
        x: Any, factors: Sequence[Any], inner: Any, dy: Any, wants_x: bool, wants: bool
    ) -> tuple[Any, list[Any]]:
        kind = _NUMPY[x.dtype]
        new = np.empty if len(x) else np.zeros  # without a vector nothing is written
        d_x = new(x.shape if wants_x else (0, 1), kind)
        d_factors = tuple([new(f.shape if wants else (1, 1, 1, 1), kind) for f in factors])
        rows_backward(_arrays(factors), _array(x), inner, _array(dy), d_x, d_factors, wants)
        return _tensors(d_x, d_factors, wants_x, wants)


class _Tiles:
    """Many vectors through small blocks, on all threads that PyTorch may use."""

    @staticmethod
    def forward(x: Any, bias: Any, factors: Sequence[Any]) -> tuple[Any, Any]:
        a, b, _, d = factors[0].shape
        kind = _NUMPY[x.dtype]
        y = np.empty((len(x), a * b * d), kind)
        arrays, vectors, add = _arrays(factors), _array(x), _bias(bias, kind)
        _in_parts(len(x), factors, lambda part: tiles_forward(arrays, vectors[part], add, y[part]))
        return torch.from_numpy(y), None

    @staticmethod
    def backward(
        x: Any, factors: Sequence[Any], inner: Any, dy: Any, wants_x: bool, wants: bool
    ) -> tuple[Any, list[Any]]:
        kind = _NUMPY[x.dtype]
        d_x = np.empty(x.shape if wants_x else (0, x.shape[1]), kind)
        arrays, vectors, above = _arrays(factors), _array(x), _array(dy)

        def pull(part: slice) -> tuple[Any, ...]:
            sums = tuple([np.zeros(f.shape, kind) for f in factors])
            tiles_backward(arrays, vectors[part], above[part], d_x[part] if wants_x else d_x, sums)
            return sums

        first, *others = _in_parts(len(x), factors, pull)
        for sums in others:
            for total, more in zip(first, sums, strict=True):
                total += more
        return _tensors(d_x, first, wants_x, wants)


def _in_parts(vectors: int, factors: Sequence[Any], work: Callable[[slice], Any]) -> list[Any]:
    """The work on slices of the batch, one for each thread that is worth it."""
    parts = min(torch.get_num_threads(), vectors * _traits_of(factors).n_params // _SHARE) or 1
    if parts == 1:
        return [work(slice(0, vectors))]
    bounds = [vectors * p // parts for p in range(parts + 1)]
    return list(_pool().map(work, [slice(*pair) for pair in itertools.pairwise(bounds)]))


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="ailys")


def _array(tensor: Any) -> Any:
    """The numbers of a tensor as an array in C order, without a copy where that is what it is."""
    return (tensor if tensor.is_contiguous() else tensor.contiguous()).numpy(force=True)


def _arrays(tensors: Sequence[Any]) -> tuple[Any, ...]:
    return tuple([_array(t) for t in tensors])


def _bias(bias: Any, kind: Any) -> Any:
    return np.empty(0, kind) if bias is None else _array(bias)


def _tensors(d_x: Any, d_factors: Sequence[Any], wants_x: bool, wants: bool) -> tuple[Any, list[Any]]:
    gradients = [torch.from_numpy(g) for g in d_factors] if wants else [None] * len(d_factors)
    return torch.from_numpy(d_x) if wants_x else None, gradients


# -- batched matrix products ---------------------------------------------------------------------
#
# Between the factors the batch is the last axis. Only the product with X_L may read x batch first (when d_L = 1), and
# only its gradient is written batch first.


class _Stages:
    """Larger blocks: the matrix library, factor by factor."""

    @staticmethod
    def forward(x: Any, bias: Any, factors: Sequence[Any]) -> tuple[Any, Any]:
        v, inner = x.t(), []
        for position in range(len(factors) - 1, -1, -1):
            v = _stage(factors[position], v)
            if position:
                inner.append(v)
        y = x.new_empty(len(x), len(v))
        if bias is None:
            y.copy_(v.t())
        else:
            torch.add(v.t(), bias, out=y)
        return y, inner

    @staticmethod
    def backward(
        x: Any, factors: Sequence[Any], inner: Any, dy: Any, wants_x: bool, wants: bool
    ) -> tuple[Any, list[Any]]:
        g, last = dy.t().contiguous(), len(factors) - 1
        d_factors: list[Any] = []
        for position, (factor, v) in enumerate(zip(factors, [*reversed(inner), x.t()], strict=True)):
            d_factors.append(_stage_weights(factor.shape, g, v) if wants else None)
            if position < last:
                g = _stage(factor.transpose(1, 2), g)
        if not wants_x:
            return None, d_factors
        a, b, c, d = factors[last].shape
        if d > 1:
            return _stage(factors[last].transpose(1, 2), g).t().contiguous(), d_factors
        d_x = torch.empty_like(x, memory_format=torch.contiguous_format)  # written batch first
        blocks, table = factors[last].reshape(a, b, c), g.view(a, b, len(x))
        torch.bmm(table.transpose(1, 2), blocks, out=d_x.view(len(x), a, c).transpose(0, 1))
        return d_x, d_factors


def _stage(factor: Any, v: Any) -> Any:
    """``X v`` for ``v`` (acd, batch), contiguous, or the transpose of a contiguous matrix."""
    a, b, c, d = factor.shape
    batch = v.shape[1]
    if a == d == 1:
        return torch.mm(factor.reshape(b, c), v)
    if d == 1:
        return torch.bmm(factor.reshape(a, b, c), v.reshape(a, c, batch)).view(a * b, batch)
    y = v.new_empty(a, b, d, batch)
    blocks, left = factor.permute(0, 3, 1, 2), v.reshape(a, c, d, batch)
    if a <= d:
        for i in range(a):
            torch.bmm(blocks[i], left[i].transpose(0, 1), out=y[i].transpose(0, 1))
    else:
        for l in range(d):
            torch.bmm(blocks[:, l], left[:, :, l], out=y[:, :, l])
    return y.view(a * b * d, batch)


def _stage_weights(shape: Sequence[int], g: Any, v: Any) -> Any:
    """Gradient of a factor: ``sum_n g[i, j, l, n] v[i, k, l, n]``."""
    a, b, c, d = shape
    batch = g.shape[1]
    if d == 1:
        return torch.bmm(g.view(a, b, batch), v.reshape(a, c, batch).transpose(1, 2)).view(a, b, c, 1)
    above, left = g.view(a, b, d, batch), v.reshape(a, c, d, batch)
    found = g.new_empty(a, d, b, c)
    if a <= d:
        for i in range(a):
            torch.bmm(above[i].transpose(0, 1), left[i].permute(1, 2, 0), out=found[i])
    else:
        for l in range(d):
            torch.bmm(above[:, :, l], left[:, :, l].transpose(1, 2), out=found[:, l])
    return found.permute(0, 2, 3, 1).contiguous()


# -- differentiable operations only --------------------------------------------------------------


def _plain(x: Any, factors: Sequence[Any], bias: Any) -> Any:
    v = x.reshape(-1, x.shape[-1])
    for factor in reversed(factors):
        a, b, c, d = factor.shape
        blocks = factor.permute(0, 3, 2, 1).reshape(a * d, c, b)
        left = v.reshape(-1, a, c, d).permute(1, 3, 0, 2).reshape(a * d, -1, c)
        y = torch.matmul(left, blocks)
        v = y.reshape(a, d, -1, b).permute(2, 0, 3, 1).reshape(-1, a * b * d)
    y = v.reshape(*x.shape[:-1], v.shape[-1])
    return y if bias is None else y + bias.to(y.dtype)  # under autocast the product is narrower than the bias
