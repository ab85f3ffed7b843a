"""``y = X_1 X_2 ... X_L x + bias`` in PyTorch, for inputs whose last axis holds the features.

Four ways to the same numbers:

- *rows*: a compiled loop for a handful of vectors, where the cost is to read the factors once;
- *tiles*: a compiled loop for blocks that are small for the matrix library: the whole chain on some vectors
  while they are in cache. The gradient runs the chain again, so that only the input is kept;
- *stages*: batched matrix products, for larger blocks. The first one reads the input as it lies, batch first, and leaves its result
  batch last, so that every later factor multiplies strided views; a single transposition, joined with the addition of the
  bias, gives the output. Input and intermediate results are kept for the gradient, nothing else.
- *plain*: differentiable operations only, for everything that is not a plain tensor of single or double precision on
  the CPU: other devices and types, autocast, compilation, export, second derivatives.

Source of the layouts: Gonon, Zheng, Carrivain, Le 2025, on what permutation copies cost.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from ..core.optional import require
from ._row_kernels import rows_backward, rows_forward
from ._tile_kernels import tiles_backward, tiles_forward

torch = require("torch", extra="networks", purpose="butterfly layers")
forward_ad = torch.autograd.forward_ad

__all__ = ["ChainLinearFunction", "chain_linear"]

# where the compiled loops beat calls of the matrix library, in vectors and in weights (measured for orders 512 to 8192)
_FEW, _MORE, _SOME, _LIGHT = 8, 16, 32, 2**18
_SHARE = 1_000_000  # multiply-adds that make another thread worth its start
_ORDINARY = {torch.Tensor, torch.nn.Parameter}
_GONE = "a tensor of the product has no memory: its storage was freed"
_LIKE = {torch.float32: np.empty(0, np.float32), torch.float64: np.empty(0, np.float64)}
_Wanted = tuple[bool, bool, bool]  # the gradients of x, of the bias, of any factor
_Gradients = tuple[Any, Any, Sequence[Any]]
# asked of each tensor in turn, so in the cheapest way there is
_nature, _learns = attrgetter("shape", "dtype", "is_cpu", "__class__"), attrgetter("requires_grad")
_is_negated, _is_in_order, _address = torch.Tensor.is_neg, torch.Tensor.is_contiguous, torch.Tensor.data_ptr


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
    if torch.compiler.is_compiling():
        return _plain(x, factors, bias)
    traits = _traits_of(factors)
    if traits.fault or x.ndim == 0 or x.shape[-1] != traits.cols or (bias is not None and bias.shape != (traits.rows,)):
        raise ValueError(
            traits.fault
            or f"the factors take {traits.cols} features and give {traits.rows}; got an input of shape {tuple(x.shape)}"
            + ("" if bias is None else f" and a bias of shape {tuple(bias.shape)}")
        )
    if not _takes_fast_path(traits, x, factors, bias):
        return _plain(x, factors, bias)
    flat = x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    if torch.is_grad_enabled() and (
        x.requires_grad or any(map(_learns, factors)) or (bias is not None and bias.requires_grad)
    ):
        y = _applied(traits, flat, bias, *factors)
    else:
        y = _way(len(flat), traits).forward(traits, flat, bias, factors)[0]
    return y if x.ndim == 2 else y.reshape(*x.shape[:-1], y.shape[-1])


def _takes_fast_path(traits: _Traits, x: Any, factors: Sequence[Any], bias: Any) -> bool:
    """Whether all tensors are ordinary ones that the compiled loop and strided products can read."""
    if torch.is_autocast_enabled("cpu") or _watched():
        return False
    if traits.dtype is None or any(map(_is_negated, factors)):
        return False
    for other in (x,) if bias is None else (x, bias):
        if other.dtype != traits.dtype or type(other) not in _ORDINARY or not other.is_cpu or other.is_neg():
            return False
    return True


def _watched() -> bool:
    """Whether PyTorch follows or replaces the operations, so that they must be its own."""
    return (  # type: ignore[no-any-return]
        torch.jit.is_tracing()
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
        or torch._C._len_torch_dispatch_stack() > 0
    )


class ChainLinearFunction(torch.autograd.Function):  # type: ignore[misc, name-defined]
    """`chain_linear` of a matrix ``x`` (batch, N): ``apply(traits, x, bias, *factors)``.

    Gradients of a chain: with ``v_l`` the input of factor ``l`` and ``g_l`` the gradient of its output,
    ``dx_l[i, j, k, l] = sum g_l[i, j, l] v_l[i, k, l]`` over the batch, and ``g_{l+1} = X_l^T g_l``.
    """

    @staticmethod
    def forward(ctx: Any, traits: _Traits, x: Any, bias: Any, *factors: Any) -> Any:
        ctx.traits, ctx.way = traits, _way(len(x), traits)
        y, ctx.inner = ctx.way.forward(traits, x, bias, factors)
        ctx.save_for_backward(x, *factors)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> tuple[Any, ...]:
        x, *factors = ctx.saved_tensors
        _, wants_x, wants_bias, *wants = ctx.needs_input_grad
        if torch.is_grad_enabled() or _watched() or type(dy) not in _ORDINARY or not torch._C._has_storage(dy):
            d_x, d_factors = _plain_gradients(x, factors, dy, wants_x, wants)
            return None, d_x, dy.sum(0) if wants_bias else None, *d_factors
        if not (wants_x or any(wants)):
            return None, None, dy.sum(0) if wants_bias else None, *([None] * len(factors))
        wanted = wants_x, wants_bias, any(wants)
        d_x, d_bias, d_factors = ctx.way.backward(ctx.traits, x, factors, ctx.inner, dy, wanted)
        return None, d_x, d_bias, *d_factors


_applied = super(torch.autograd.Function, ChainLinearFunction).apply  # nothing that `torch.func` wraps comes here


class _Traits(NamedTuple):
    """What the choice of a way depends on, found once for each architecture."""

    fault: str  # why the factors are no chain, or empty
    rows: int
    cols: int
    small_blocks: bool
    many_blocks: bool
    n_params: int
    inner: int  # numbers between the factors, for one vector
    shapes: Any  # (L, 6) array: a, b, c, d, rows, columns
    dtype: Any  # of the factors, if compiled loops can read them


@lru_cache(maxsize=4096)
def _traits(natures: tuple[Any, ...]) -> _Traits:
    shapes, nothing = [shape for shape, *_ in natures], (0, 0, False, False, 0, 0, None, None)
    sizes = [(0, 0) if len(s) != 4 else (s[0] * s[1] * s[3], s[0] * s[2] * s[3]) for s in shapes]
    if not sizes or any(not rows * cols for rows, cols in sizes):
        return _Traits("factors must be tensors of shape (a, b, c, d) with positive sizes", *nothing)
    for i, ((_, cols), (rows, _)) in enumerate(itertools.pairwise(sizes), start=1):
        if cols != rows:
            fault = f"factors {i} and {i + 1} do not fit: {cols} columns, {rows} rows"
            return _Traits(fault, *nothing)
    return _Traits(
        fault="",
        rows=sizes[0][0],
        cols=sizes[-1][1],
        small_blocks=max(b * c for _, b, c, _ in shapes) <= 16,
        many_blocks=min(a * d for a, _, _, d in shapes) >= 8,
        n_params=sum(a * b * c * d for a, b, c, d in shapes),
        inner=sum(a * b * d for a, b, _, d in shapes[1:]),
        shapes=np.array([(*s, *size) for s, size in zip(shapes, sizes, strict=True)], np.int64),
        dtype=_readable(natures),
    )


def _traits_of(factors: Sequence[Any]) -> _Traits:
    return _traits(tuple(map(_nature, factors)))


def _readable(natures: Sequence[Any]) -> Any:
    """The type of the numbers, if compiled loops can read all the factors."""
    dtypes = {dtype for _, dtype, _, _ in natures}
    ordinary = all(on_cpu and kind in _ORDINARY for _, _, on_cpu, kind in natures)
    return dtypes.pop() if ordinary and len(dtypes) == 1 and dtypes <= set(_LIKE) else None


def _way(vectors: int, traits: _Traits) -> Any:
    """The fastest way for this many vectors."""
    if traits.small_blocks:
        return _Rows if vectors <= _FEW // 2 else _Tiles
    if vectors <= _FEW:
        return _Rows
    if traits.many_blocks:
        return _Tiles if vectors <= _SOME or traits.n_params <= _LIGHT else _Stages
    return _Rows if vectors <= _MORE else _Stages


# -- compiled loops ------------------------------------------------------------------------------


class _Rows:
    """A handful of vectors, one after another."""

    @staticmethod
    def forward(traits: _Traits, x: Any, bias: Any, factors: Sequence[Any]) -> tuple[Any, Any]:
        x, *factors = _in_order([x, *factors])
        y, inner = x.new_empty(len(x), traits.rows), x.new_empty(len(x), traits.inner)
        bias = None if bias is None else bias.contiguous()
        rows_forward(
            _LIKE[x.dtype],
            len(x),
            _place(x),
            _place(bias),
            y.data_ptr(),
            inner.data_ptr(),
            _places(factors),
            traits.shapes,
        )
        return y, inner

    @staticmethod
    def backward(traits: _Traits, x: Any, factors: Sequence[Any], inner: Any, dy: Any, wanted: _Wanted) -> _Gradients:
        wants_x, wants_bias, _ = wanted
        x, dy, *factors = _in_order([x, dy.resolve_neg(), *factors])
        d_x, d_bias = torch.empty_like(x) if wants_x else None, x.new_empty(traits.rows) if wants_bias else None
        d_factors = [*map(torch.empty_like, factors)]
        pointers = inner.data_ptr(), _place(dy), _place(d_x), _place(d_bias), _places(factors), _places(d_factors)
        rows_backward(_LIKE[x.dtype], len(x), _place(x), *pointers, traits.shapes)
        return d_x, d_bias, d_factors


class _Tiles:
    """Many vectors through small blocks, on all threads that PyTorch may use."""

    @staticmethod
    def forward(traits: _Traits, x: Any, bias: Any, factors: Sequence[Any]) -> tuple[Any, Any]:
        x, *factors = _in_order([x, *factors])
        y, bias = x.new_empty(len(x), traits.rows), None if bias is None else bias.contiguous()
        like, shift, places = _LIKE[x.dtype], _place(bias), _places(factors)

        def work(start: int, stop: int) -> None:
            tiles_forward(like, stop - start, _place(x, start), shift, _place(y, start), places, traits.shapes)

        _in_parts(len(x), traits, work)
        return y, None

    @staticmethod
    def backward(traits: _Traits, x: Any, factors: Sequence[Any], inner: Any, dy: Any, wanted: _Wanted) -> _Gradients:
        wants_x, wants_bias, wants = wanted
        x, dy, *factors = _in_order([x, dy.resolve_neg(), *factors])
        d_x: Any = torch.empty_like(x) if wants_x else None
        like, places = _LIKE[x.dtype], _places(factors)

        def pull(start: int, stop: int) -> tuple[Any, Sequence[Any]]:
            d_bias = x.new_empty(traits.rows) if wants_bias else None
            d_factors = [*map(torch.empty_like, factors)] if wants else []
            targets = _places(d_factors) if wants else np.zeros(len(factors), np.int64)
            pointers = _place(x, start), _place(dy, start), _place(d_x, start), _place(d_bias), places, targets
            tiles_backward(like, stop - start, *pointers, traits.shapes)
            return d_bias, d_factors if wants else [None] * len(factors)

        (d_bias, d_factors), *others = _in_parts(len(x), traits, pull)
        for more_bias, more in others:
            if wants_bias:
                d_bias += more_bias
            if wants:
                torch._foreach_add_(d_factors, more)
        return d_x, d_bias, d_factors


def _in_parts(vectors: int, traits: _Traits, work: Callable[[int, int], Any]) -> list[Any]:
    """The work on parts of the batch, from a first vector up to another, one for each thread that is worth it."""
    parts = min(torch.get_num_threads(), vectors, vectors * traits.n_params // _SHARE) or 1
    if parts == 1:
        return [work(0, vectors)]
    bounds = [vectors * p // parts for p in range(parts + 1)]
    first, *others = itertools.pairwise(bounds)
    waiting = [_pool().submit(work, *part) for part in others]
    try:
        return [work(*first), *[future.result() for future in waiting]]
    finally:  # also when interrupted: the tensors must outlive the threads that reach them by address
        wait(waiting)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="ailys")


if hasattr(os, "register_at_fork"):  # the threads stay behind in the parent
    os.register_at_fork(after_in_child=_pool.cache_clear)


def _in_order(tensors: list[Any]) -> list[Any]:
    """Tensors whose numbers lie in memory as the kernels read them; a copy where they did not."""
    return tensors if all(map(_is_in_order, tensors)) else [t.contiguous() for t in tensors]


def _place(tensor: Any, row: int = 0) -> int:
    """The address of a tensor, or of one of its rows; 0 if there is none."""
    if tensor is None:
        return 0
    place = tensor.data_ptr()
    if not place and tensor.numel():
        raise ValueError(_GONE)
    return place + row * tensor.shape[1] * tensor.element_size() if row else place  # type: ignore[no-any-return]


def _places(tensors: Sequence[Any]) -> Any:
    places = [*map(_address, tensors)]
    if 0 in places:
        raise ValueError(_GONE)
    return np.array(places, np.int64)


# -- batched matrix products ---------------------------------------------------------------------
#
# Between the factors the batch is the last axis. Only the product with X_L may read x batch first (when d_L = 1), and
# only its gradient is written batch first.


class _Stages:
    """Larger blocks: the matrix library, factor by factor."""

    @staticmethod
    def forward(traits: _Traits, x: Any, bias: Any, factors: Sequence[Any]) -> tuple[Any, Any]:
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
    def backward(traits: _Traits, x: Any, factors: Sequence[Any], inner: Any, dy: Any, wanted: _Wanted) -> _Gradients:
        wants_x, wants_bias, wants = wanted
        d_bias = dy.sum(0) if wants_bias else None
        g, last = dy.t().contiguous(), len(factors) - 1
        d_factors: list[Any] = []
        for position, (factor, v) in enumerate(zip(factors, [*reversed(inner), x.t()], strict=True)):
            d_factors.append(_stage_weights(factor.shape, g, v) if wants else None)
            if position < last:
                g = _stage(factor.transpose(1, 2), g)
        if not wants_x:
            return None, d_bias, d_factors
        a, b, c, d = factors[last].shape
        if d > 1:
            return _stage(factors[last].transpose(1, 2), g).t().contiguous(), d_bias, d_factors
        d_x = torch.empty_like(x, memory_format=torch.contiguous_format)  # written batch first
        blocks, table = factors[last].reshape(a, b, c), g.view(a, b, len(x))
        torch.bmm(table.transpose(1, 2), blocks, out=d_x.view(len(x), a, c).transpose(0, 1))
        return d_x, d_bias, d_factors


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


def _plain_gradients(x: Any, factors: Sequence[Any], dy: Any, wants_x: bool, wants: Sequence[bool]) -> tuple[Any, Any]:
    """Gradients in differentiable operations: for second derivatives, and for a ``dy`` that does not lie in memory."""
    further = torch.is_grad_enabled()
    with torch.enable_grad():
        # views of their own: a factor may be there twice, or depend on another one or on x
        x, *factors = (t.view_as(t) if t.requires_grad else t for t in (x, *factors))
        inputs = [t for t, wanted in zip((x, *factors), (wants_x, *wants), strict=True) if wanted]
        y = _plain(x, factors, None)
        found = iter(torch.autograd.grad(y, inputs, dy, create_graph=further) if inputs else ())
    d_x, *d_factors = (next(found) if wanted else None for wanted in (wants_x, *wants))
    return d_x, d_factors


def _plain(x: Any, factors: Sequence[Any], bias: Any) -> Any:
    v = x.reshape(-1, x.shape[-1])
    for factor in reversed(factors):
        a, b, c, d = factor.shape
        blocks = factor.permute(0, 3, 2, 1).reshape(a * d, c, b)
        left = v.reshape(-1, a, c, d).permute(1, 3, 0, 2).reshape(a * d, -1, c)
        y = torch.matmul(left, blocks)
        v = y.reshape(a, d, -1, b).permute(2, 0, 3, 1).reshape(-1, a * b * d)
    y = v.reshape(*x.shape[:-1], v.shape[-1])
    return (
        y.contiguous() if bias is None else y.contiguous() + bias.to(y.dtype)
    )  # under autocast the product is narrower than the bias
