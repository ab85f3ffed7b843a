"""Triton kernel for the product with a Kronecker-sparse factor on a GPU, without permutation copies.

Output stationary: a program owns a tile of outputs of one group ``(i, l)`` and loops over tiles of
the inputs, so each output is written once and the strided rows are read in place. The module
imports without Triton; `available` says whether the kernel can be used. It is tested for
correctness under Triton's interpreter; no speed is claimed.
"""

from __future__ import annotations

from typing import Any

try:
    import triton
    import triton.language as tl
except ImportError:  # the module stays importable; `available` tells
    triton = None

__all__ = ["available", "ks_forward"]


def available() -> bool:
    """Whether Triton is installed."""
    return triton is not None


if triton is not None:

    @triton.jit  # type: ignore[untyped-decorator]
    def _ks_kernel(  # type: ignore[no-untyped-def]
        w_ptr, v_ptr, y_ptr, b, c, d, batch,
        TILE_B: tl.constexpr, TILE_C: tl.constexpr, TILE_N: tl.constexpr,
    ):  # fmt: skip
        """``y[(i, j, l), n] = sum_k w[i, l, j, k] v[(i, k, l), n]`` for one (i, l), tile of j, tile of n."""
        group = tl.program_id(0)
        i, l = group // d, group % d
        rows = tl.program_id(1) * TILE_B + tl.arange(0, TILE_B)
        cols = tl.program_id(2) * TILE_N + tl.arange(0, TILE_N)
        total = tl.zeros((TILE_B, TILE_N), dtype=tl.float32)
        for start in range(0, c, TILE_C):
            inner = start + tl.arange(0, TILE_C)
            w = tl.load(
                w_ptr + group * b * c + rows[:, None] * c + inner[None, :],
                mask=(rows[:, None] < b) & (inner[None, :] < c),
                other=0.0,
            )
            v = tl.load(
                v_ptr + (i * c * d + inner[:, None] * d + l) * batch + cols[None, :],
                mask=(inner[:, None] < c) & (cols[None, :] < batch),
                other=0.0,
            )
            total += tl.dot(w, v, input_precision="ieee")
        tl.store(
            y_ptr + (i * b * d + rows[:, None] * d + l) * batch + cols[None, :],
            total.to(y_ptr.dtype.element_ty),
            mask=(rows[:, None] < b) & (cols[None, :] < batch),
        )


def ks_forward(v: Any, x: Any) -> Any:
    """Product of the factor ``x`` (a, b, c, d) with ``v`` (acd, batch), real tensors, float32 or narrower.

    Parameters
    ----------
    v : (acd, batch) tensor
    x : (a, b, c, d) tensor of the same type on the same device

    Returns
    -------
    (abd, batch) tensor; sums are accumulated in float32.
    """
    a, b, c, d = x.shape
    batch = v.shape[1]
    if x.element_size() > 4:
        raise ValueError(f"the Triton kernel accumulates in float32; got {x.dtype}")
    weights = x.permute(0, 3, 1, 2).contiguous()
    v = v.contiguous()
    y = v.new_empty(a * b * d, batch)
    tile_b, tile_c = _tile(b), _tile(c)
    tile_n = 64 if batch > 32 else 16
    grid = (a * d, triton.cdiv(b, tile_b), triton.cdiv(batch, tile_n))
    _ks_kernel[grid](weights, v, y, b, c, d, batch, TILE_B=tile_b, TILE_C=tile_c, TILE_N=tile_n)
    return y


def _tile(size: int) -> int:
    """Tile side: a power of two from 16 (the least that the matrix units take) to 64."""
    return min(64, max(16, 1 << (size - 1).bit_length()))
