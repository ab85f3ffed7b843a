"""What `butterfly` is asked: every option checked once, with a sentence for what cannot be taken."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from .architecture import Chain
from .closed_forms import bit_reversal
from .truncation import working_array
from .weights import Weights

__all__ = ["Problem", "check_matrix", "check_problem", "require_finite"]

Array = np.ndarray


@dataclass(frozen=True)
class Problem:
    """A checked call of `butterfly`, apart from the matrices."""

    chain: Chain
    shape: tuple[int, int]
    orders: list[Any]
    candidates: list[Array | None]
    weights: Weights
    sweeps: int
    dtype: np.dtype


def check_problem(
    A: Any, chain: Any, order: Any, perm: Any, refine: Any, row_weight: Any, col_weight: Any, pad: bool, dtype: Any
) -> tuple[Array, Problem, bool]:
    """The matrices as a stack (n, M, N) in the type to compute in, the problem, and whether a stack was given."""
    matrix, chain, original = check_matrix(A, chain, pad=pad)
    wanted = _result_type(dtype, original, matrix)
    compute = np.result_type(matrix.dtype, np.float32 if wanted.itemsize <= 2 else wanted)
    stack = (matrix if matrix.ndim == 3 else matrix[None]).astype(compute, copy=False)
    rows, cols = stack.shape[1:]
    if isinstance(refine, bool) or not isinstance(refine, Integral) or refine < 0:
        raise ValueError(f"refine must be a number of sweeps, 0 or more; got {refine!r}")
    problem = Problem(
        chain=chain,
        shape=(rows, cols),
        orders=_orders(order, chain),
        candidates=_permutations(perm, cols, chain.shape[1]),
        weights=Weights.check(row_weight, col_weight, chain, (rows, cols)),
        sweeps=int(refine),
        dtype=wanted,
    )
    if problem.weights.blocks and any(columns is not None for columns in problem.candidates):
        raise ValueError("block weights belong to fixed columns: give perm=None, or weights of shape (M,) and (N,)")
    if problem.weights.blocks and problem.shape != chain.shape:
        raise ValueError("block weights need a matrix of the shape of the chain: give weights (M,) and (N,) to pad")
    return stack, problem, matrix.ndim == 3


def check_matrix(A: Any, chain: Any, *, pad: bool = False, finite: bool = False) -> tuple[Array, Chain, np.dtype]:
    """The matrix as a float array, the chain made for its shape, and the type that the user gave."""
    matrix, original = working_array(A)
    if matrix.ndim not in (2, 3):
        raise ValueError(
            f"expected a matrix (M, N) or a stack of matrices (n, M, N); got an array of shape {matrix.shape}"
        )
    if 0 in matrix.shape:
        raise ValueError(f"the matrix is empty: its shape is {matrix.shape}")
    if finite:
        require_finite(matrix if matrix.ndim == 3 else matrix[None])
    shape = matrix.shape[-2:]
    if isinstance(chain, str):
        chain = Chain.parse(chain, _padded_shape(chain, shape) if pad else shape)
    elif not isinstance(chain, Chain):
        chain = Chain(chain)
    if not chain.chainable and not chain.co_chainable:
        raise ValueError(f"the chain is not chainable, and its transpose is not either; {chain.fault}")
    if shape != chain.shape:
        if pad and shape[0] <= chain.shape[0] and shape[1] <= chain.shape[1]:
            return matrix, chain, original
        near = tuple(-(-have // want) * want for have, want in zip(shape, chain.shape, strict=True))
        hint = (
            "pass pad=True" if near == chain.shape else f"a chain for {near[0]} x {near[1]} would take it with pad=True"
        )
        raise ValueError(
            f"the matrix is {shape[0]} x {shape[1]} and the chain is for {chain.shape[0]} x {chain.shape[1]}: {hint}"
        )
    return matrix, chain, original


def _padded_shape(text: str, shape: tuple[int, int]) -> tuple[int, int]:
    """Smallest shape, at least the given one, that a named chain takes."""
    if text.strip().lower() == "dyadic":
        n = 1 << (max(shape) - 1).bit_length()
        return n, n
    if text.strip().lower().startswith("radix:"):
        parts = text.split(":", 1)[1].split(",")
        n = math.prod(int(part) for part in parts if part.strip().isdecimal())
        return n, n
    if text.strip().lower().startswith("monarch"):
        # square blocks: the next multiple of the rounded square root splits in two
        return tuple(-(-n // (s := max(1, round(n**0.5)))) * s for n in shape)  # type: ignore[return-value]
    return shape


def require_finite(stack: Array) -> None:
    """Raise a sentence that names the first entry that is not finite."""
    bad = ~np.isfinite(stack)
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0][-2:])
        raise ValueError(
            f"the matrix has {int(bad.sum())} NaN or infinite entries, the first at row {index[0]}, column {index[1]}"
            " (counted from 0); replace or remove them first"
        )


def _orders(order: str | Sequence[int], chain: Chain) -> list[Any]:
    depth = len((chain if chain.chainable else chain.T).reduce()[0])
    if isinstance(order, str):
        if order == "best":
            return ["left", "right"] if depth > 2 else ["left"]
        if order == "balanced":
            return ["balanced"]
        if order in ("left", "right"):
            return [order]
        raise ValueError(f"order must be 'best', 'left', 'right', 'balanced' or split positions; got {order!r}")
    if not isinstance(order, Iterable):
        raise ValueError(f"order must be 'best', 'left', 'right', 'balanced' or split positions; got {order!r}")
    positions = list(order)
    if depth != len(chain):
        raise ValueError(f"split positions need a chain without redundancy; its reduction has {depth} factors")
    if sorted(positions) != list(range(1, len(chain))):
        raise ValueError(f"order must hold each split position 1..{len(chain) - 1} once; got {positions}")
    return [tuple(positions)]


def _permutations(perm: Any, n: int, padded: int) -> list[Array | None]:
    """The candidate column permutations; columns added by padding stay at the end."""
    if perm is None:
        return [None]
    if isinstance(perm, str):
        if perm != "bitrev":
            raise ValueError(
                f"perm must be None, 'bitrev', a permutation of 0..{n - 1} or a list of these; got {perm!r}"
            )
        return [bit_reversal(padded)]
    if isinstance(perm, (list, tuple)) and (not perm or not all(isinstance(p, (int, np.integer)) for p in perm)):
        if not perm:
            raise ValueError("perm is an empty list; give at least one permutation")
        return [one for p in perm for one in _permutations(p, n, padded)]
    columns = np.asarray(perm)
    if columns.shape != (n,) or columns.dtype.kind not in "iu" or not np.array_equal(np.sort(columns), np.arange(n)):
        raise ValueError(f"perm must hold each column number 0..{n - 1} once; got an array of shape {columns.shape}")
    return [np.concatenate([columns, np.arange(n, padded)]).astype(np.int64)]


def _result_type(dtype: Any, original: np.dtype, matrix: Array) -> np.dtype:
    """The type of the factors."""
    if dtype is None:
        return original
    wanted = np.dtype(dtype)
    if wanted.name not in ("float16", "bfloat16", "float32", "float64", "complex64", "complex128"):
        raise ValueError(f"dtype must be float16, bfloat16, float32, float64, complex64 or complex128; got {wanted}")
    if matrix.dtype.kind == "c" and wanted.kind != "c":
        raise ValueError(f"a complex matrix cannot be returned as {wanted}; leave dtype out or use a complex one")
    return wanted
