"""Weighted errors: ``||D_row (A - X) D_col||_F`` with diagonal or block weights.

Invertible ``D_col`` of pattern ``(a_L, c_L, c_L, d_L)`` multiplies the last factor and keeps its pattern
(and ``D_row`` the first), so factorising ``D_row A D_col`` and undoing the weights in the end factors
stays in the class and every statement holds in the weighted norm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import lapack

from .architecture import Chain, Pattern
from .truncation import unit_scale

__all__ = ["Weights"]

Array = np.ndarray
_RIDGE = 1e-3  # of the mean, added to weights that are not invertible


@dataclass(frozen=True)
class Weights:
    """Checked weights; ``row`` and ``col`` are None, vectors, or 4-D arrays of blocks.

    The weights given are ``scale`` times these.
    """

    row: Array | None
    col: Array | None
    notes: tuple[str, ...] = ()
    scale: float = 1.0

    def to_unit_size(self) -> Weights:
        """The same weights with largest entries of the order of one, and their scale apart."""
        sizes = [1.0 if w is None else unit_scale(np.abs(w).max()) for w in (self.row, self.col)]
        row, col = (None if w is None else w / s for w, s in zip((self.row, self.col), sizes, strict=True))
        return Weights(row, col, self.notes, self.scale * sizes[0] * sizes[1])

    @property
    def given(self) -> bool:
        """Whether the error is weighted at all."""
        return self.row is not None or self.col is not None

    @property
    def blocks(self) -> bool:
        """Whether a weight has blocks, which belong to fixed columns."""
        return any(w is not None and w.ndim == 4 for w in (self.row, self.col))

    @classmethod
    def check(cls, row: Any, col: Any, chain: Chain, shape: tuple[int, int]) -> Weights:
        """Weights of the right shape, made invertible where they are not."""
        first, last = chain[0], chain[len(chain) - 1]
        notes: list[str] = []
        row = _checked(row, "row_weight", shape[0], Pattern(first.a, first.b, first.b, first.d), notes)
        col = _checked(col, "col_weight", shape[1], Pattern(last.a, last.c, last.c, last.d), notes)
        extra = chain.shape[0] - shape[0], chain.shape[1] - shape[1]
        if row is not None and row.ndim == 1:
            row = np.concatenate([row, np.ones(extra[0])])
        if col is not None and col.ndim == 1:
            col = np.concatenate([col, np.ones(extra[1])])
        return cls(row, col, tuple(notes))

    def apply(self, stack: Array, columns: Array | None) -> Array:
        """``D_row A D_col`` for each matrix; ``columns`` is the permutation already applied to A."""
        real = stack.real.dtype
        if self.row is not None and self.row.ndim == 1:
            stack = stack * self.row.astype(real)[:, None]
        if self.col is not None and self.col.ndim == 1:
            w = self.col if columns is None else self.col[columns]
            stack = stack * w.astype(real)
        n, rows, cols = stack.shape
        if self.row is not None and self.row.ndim == 4:
            a, b, _, d = self.row.shape
            table = stack.reshape(n, a, b, d, cols)
            blocks = self.row.astype(real).transpose(0, 3, 1, 2)  # a, d, b, b
            product = blocks @ table.transpose(0, 1, 3, 2, 4)
            stack = product.transpose(0, 1, 3, 2, 4).reshape(n, rows, cols)
        if self.col is not None and self.col.ndim == 4:
            a, c, _, d = self.col.shape
            table = stack.reshape(n, rows, a, c, d)
            blocks = self.col.astype(real).transpose(0, 3, 1, 2)  # a, d, c, c
            product = table.transpose(0, 2, 4, 1, 3) @ blocks
            stack = product.transpose(0, 3, 1, 4, 2).reshape(n, rows, cols)
        return stack

    def undo(self, factors: list[Array], columns: Array | None) -> list[Array]:
        """Factors of the answer from those of the weighted matrix."""
        return self._on_end_factors(factors, columns, inverse=True)

    def redo(self, factors: list[Array], columns: Array | None) -> list[Array]:
        """Factors of the weighted matrix from those of the answer."""
        return self._on_end_factors(factors, columns, inverse=False)

    def _on_end_factors(self, factors: list[Array], columns: Array | None, inverse: bool) -> list[Array]:
        factors = list(factors)
        if self.row is not None:
            x = factors[0]
            a, b, _, d = x.shape
            if self.row.ndim == 1:
                w = self.row.reshape(a, b, 1, d)
                factors[0] = (x / w if inverse else x * w).astype(x.dtype)
            else:
                blocks, columns_of = self.row.transpose(0, 3, 1, 2), x.transpose(0, 3, 1, 2)
                product = np.linalg.solve(blocks, columns_of) if inverse else blocks @ columns_of
                factors[0] = product.transpose(0, 2, 3, 1).astype(x.dtype)
        if self.col is not None:
            x = factors[-1]
            a, _, c, d = x.shape
            if self.col.ndim == 1:
                w = (self.col if columns is None else self.col[columns]).reshape(a, 1, c, d)
                factors[-1] = (x / w if inverse else x * w).astype(x.dtype)
            else:
                blocks, rows_of = self.col.transpose(0, 3, 2, 1), x.transpose(0, 3, 2, 1)  # both transposed
                product = np.linalg.solve(blocks, rows_of) if inverse else blocks @ rows_of
                factors[-1] = product.transpose(0, 3, 2, 1).astype(x.dtype)
        return factors


def _checked(weight: Any, name: str, size: int, pattern: Pattern, notes: list[str]) -> Array | None:
    if weight is None:
        return None
    if np.iscomplexobj(weight):
        raise ValueError(f"{name} must be real")
    w: Array = np.asarray(weight, dtype=np.float64)
    if w.shape not in ((size,), tuple(pattern)):
        raise ValueError(f"{name} must have shape ({size},) or {tuple(pattern)}; got {w.shape}")
    if not np.isfinite(w).all():
        raise ValueError(f"{name} has NaN or infinite entries")
    if w.ndim == 1:
        if w.min() < 0 or not w.any():
            raise ValueError(f"{name} must be positive; its smallest entry is {w.min():.3g}")
        if w.min() == 0:
            notes.append(f"{name} has zeros: 1e-3 of the mean square was added to the squares")
            w = np.asarray(np.sqrt(w**2 + _RIDGE * np.mean(w**2)))
        return w
    blocks = w.transpose(0, 3, 1, 2)
    if any(_reciprocal_condition(block) <= 1e-12 for block in blocks.reshape(-1, *blocks.shape[-2:])):
        # D enters only through D D^T on the columns (D^T D on the rows): ridge there, then a square root
        notes.append(f"{name} has singular blocks: 1e-3 of the mean of the diagonal was added to their squares")
        on_rows = name == "row_weight"
        moment = np.swapaxes(blocks, -1, -2) @ blocks if on_rows else blocks @ np.swapaxes(blocks, -1, -2)
        ridge = _RIDGE * np.mean(np.diagonal(moment, axis1=-2, axis2=-1))
        if not ridge > 0:
            raise ValueError(f"{name} is zero")
        root = np.linalg.cholesky(moment + ridge * np.eye(moment.shape[-1]))
        blocks = np.swapaxes(root, -1, -2) if on_rows else root
        w = np.ascontiguousarray(blocks.transpose(0, 2, 3, 1))
    return w


def _reciprocal_condition(block: Array) -> float:
    """1 / (norm of the block x norm of its inverse), 1-norms, up to the small factor of LAPACK's estimate (Higham 1988).

    A triangular block (a Cholesky root) costs its size squared, any other one LU factorization: a tenth of its
    singular values.
    """
    norm = float(np.abs(block).sum(axis=0).max())
    if norm == 0:
        return 0.0
    for lower in (True, False):
        if not (np.triu(block, 1) if lower else np.tril(block, -1)).any():
            found, info = lapack.dtrcon(block, uplo="L" if lower else "U")
            break
    else:
        lu, _, info = lapack.dgetrf(block)
        if info > 0:
            return 0.0
        found, info = lapack.dgecon(lu, norm)
    if info < 0:
        raise RuntimeError(f"LAPACK refused argument {-info}")
    return float(found)
