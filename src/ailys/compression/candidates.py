"""Which architectures a layer may take, and what each would cost: weights and squared relative error.

A two-factor family is given by its splits ``M = q_1 q_2``, ``N = p_1 p_2``; its members are the ranks. The best error of each rank
follows from the singular values of the blocks (Eckart and Young), so a whole family costs one decomposition.
With moments ``C`` of the layer's input (the covariance, where a bias takes care of the mean) the error is that of the layer's output,
``E ||(A - X) x||^2 = tr (A - X) C (A - X)^T``.
Low rank minimises it exactly. Blocks minimise it with the diagonal blocks of ``C`` only, and are judged with all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..butterfly import butterfly
from ..butterfly.architecture import Chain

__all__ = ["Family", "Option", "Unfit", "block_weight", "is_name", "layer_options", "output_error", "read_architecture"]

Array = np.ndarray
_BLOCKS = (2, 4, 8, 16, 32)
_RANKS = 16  # ranks of a family that are judged with all of the second moments
RIDGE = 1e-3  # of the mean of the diagonal, added to second moments: some inputs may never have been seen


class Unfit(ValueError):
    """An architecture that a shape cannot take."""


@dataclass(frozen=True)
class Option:
    """A choice for a layer: ``chain`` None keeps it dense. ``cost`` is the squared relative error."""

    chain: Chain | None
    n_params: int
    cost: float


@dataclass(frozen=True)
class Family:
    """Two-factor chains of all ranks: "lowrank", "monarch", or "blocks:k" with ``k x k`` blocks."""

    name: str

    def splits(self, shape: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
        """Row split ``(q_1, q_2)`` and column split ``(p_1, p_2)``."""
        m, n = shape
        if self.name == "lowrank":
            return (m, 1), (1, n)
        if self.name == "monarch":
            left, right = Chain.monarch(shape)
            return (left.b, left.d), (right.a, right.c)
        k = int(self.name.removeprefix("blocks:"))
        if m % k or n % k or m == k or n == k:
            raise Unfit(f"{k} x {k} blocks do not divide a matrix of {m} x {n}")
        return (m // k, k), (k, n // k)


def read_architecture(architecture: Any) -> list[Family | Chain | str]:
    """The families and chains that are meant by a user's word.

    Examples
    --------
    >>> [f.name for f in read_architecture("auto")][:3]
    ['lowrank', 'blocks:2', 'blocks:4']
    >>> read_architecture("monarch:r=2")
    ['monarch:r=2']
    """
    if isinstance(architecture, Chain):
        return [architecture]
    if isinstance(architecture, str):
        word = architecture.strip().lower().replace("low_rank", "lowrank").replace("low-rank", "lowrank")
        if word == "auto":
            return [Family("lowrank"), *(Family(f"blocks:{k}") for k in _BLOCKS), Family("monarch")]
        if word in ("lowrank", "monarch"):
            return [Family(word)]
        if word.startswith("blocks:"):
            size = word.removeprefix("blocks:")
            if not (size.isascii() and size.isdecimal() and int(size) > 0):
                raise ValueError(f"blocks need a size, as in 'blocks:4'; got {architecture!r}")
            return [Family(word)]
        return [architecture.strip()]
    if not isinstance(architecture, Sequence) or not architecture:
        raise ValueError(
            f"architecture is a word such as 'auto' or 'monarch', a chain, or a list of these; got {architecture!r}"
        )
    if isinstance(architecture[0], (str, Chain)):
        return [each for one in architecture for each in read_architecture(one)]
    return [Chain(architecture)]


def layer_options(
    matrix: Array, architectures: Sequence[Family | Chain | str], moment: Array | None = None
) -> list[Option]:
    """All choices for a layer, smaller than dense, and the dense matrix itself as the last.

    Parameters
    ----------
    matrix : (M, N)
    architectures : from `read_architecture`
    moment : (N, N) second moments of the input, or None

    Raises
    ------
    Unfit
        If no architecture fits the shape.
    """
    found: list[Option] = []
    unfit: list[str] = []
    whole = None if moment is None else np.linalg.cholesky(with_ridge(moment))
    for architecture in architectures:
        try:
            if isinstance(architecture, Family):
                found += _members(matrix, *architecture.splits(matrix.shape), moment, whole)  # type: ignore[arg-type]
            else:
                found.append(_single(matrix, architecture, moment))
        except Unfit as fault:
            unfit.append(str(fault))
    if unfit and len(unfit) == len(architectures):
        raise Unfit(unfit[0])
    dense = matrix.size
    return [*(o for o in found if o.n_params < dense), Option(None, dense, 0.0)]


def _single(matrix: Array, architecture: Chain | str, moment: Array | None) -> Option:
    """A chain that is asked for as it is."""
    try:
        chain = Chain.parse(architecture, matrix.shape) if isinstance(architecture, str) else architecture  # type: ignore[arg-type]
        if chain.shape != matrix.shape:
            raise ValueError(
                f"the chain is {chain.shape[0]} x {chain.shape[1]}, the layer {matrix.shape[0]} x {matrix.shape[1]}"
            )
    except ValueError as fault:
        if isinstance(architecture, str) and not is_name(architecture):
            raise
        raise Unfit(f"{architecture} does not fit: {fault}") from None
    weight = None if moment is None else block_weight(moment, chain)
    answer = butterfly(matrix, chain, col_weight=weight)
    if moment is None:
        return Option(chain, chain.n_params, answer.relative_error**2)
    return Option(chain, chain.n_params, output_error(matrix, answer.toarray(), moment) ** 2)


def is_name(text: str) -> bool:
    name = text.partition(":")[0]
    return name in ("dyadic", "radix", "monarch", "lowrank", "dense") or text.startswith(("[", "("))


def _members(
    matrix: Array, q: tuple[int, int], p: tuple[int, int], moment: Array | None, whole: Array | None
) -> list[Option]:
    """The ranks of a family, each with its cost."""
    unit = p[0] * q[1] * (q[0] + p[1])  # weights for each rank
    top = min(min(q[0], p[1]) - 1, (matrix.size - 1) // unit)
    if top < 1:
        return []
    wide = matrix.astype(np.result_type(matrix.dtype, np.float64))
    root = None if moment is None else whole[None] if whole is not None and p[0] == 1 else _block_roots(moment, p)
    blocks = wide.reshape(q[0], q[1], p[0], p[1]).transpose(1, 2, 0, 3)  # [ka, mu, i, j]
    weighted = blocks if root is None else blocks @ root
    tall = q[0] >= p[1]
    gram = _adjoint(weighted) @ weighted if tall else weighted @ _adjoint(weighted)
    values, vectors = np.linalg.eigh(gram)
    values, vectors = np.maximum(values[..., ::-1], 0), vectors[..., ::-1]
    energy = float(values.sum())
    if energy == 0:
        return [Option(Chain.from_splits(q, p, 1), unit, 0.0)]
    if moment is None or p[0] == 1:  # a single block of columns: all the second moments are in its weights
        tails = np.cumsum(values.sum(axis=(0, 1))[::-1])[::-1] / energy
        return [Option(Chain.from_splits(q, p, r), r * unit, float(tails[r])) for r in range(1, top + 1)]
    ranks = sorted({int(r) for r in np.rint(np.linspace(max(1, top / 20), top, _RANKS))})
    assert root is not None
    assert whole is not None
    kind = np.result_type(matrix.dtype, np.float32)  # costs to single precision are enough to choose by
    # in each block the best approximation of rank r is left[:, :r] right[:r]: the weights are undone in the right factor
    if tall:
        left = weighted @ vectors
        right = np.swapaxes(np.linalg.solve(np.swapaxes(root, -1, -2), vectors), -1, -2)
    else:
        left, right = vectors, _adjoint(vectors) @ blocks
    left, right = left.astype(kind), right.astype(kind)
    whole = whole.astype(kind)
    total = float(np.linalg.norm(wide @ whole)) ** 2
    residual, done, options = blocks.astype(kind), 0, []
    for r in ranks:
        residual = residual - left[..., done:r] @ right[..., done:r, :]
        done = r
        full = residual.transpose(2, 0, 1, 3).reshape(matrix.shape)
        options.append(Option(Chain.from_splits(q, p, r), r * unit, float(np.linalg.norm(full @ whole)) ** 2 / total))
    return options


def _adjoint(blocks: Array) -> Array:
    return np.swapaxes(blocks, -1, -2).conj()


# -- weights from second moments -----------------------------------------------------------------


def with_ridge(moment: Array) -> Array:
    """Second moments with 1e-3 of the mean of the diagonal added to it, so that they are invertible."""
    mean = float(np.trace(moment)) / len(moment)
    if not mean > 0:
        return np.eye(len(moment))
    return moment + RIDGE * mean * np.eye(len(moment))


def _block_roots(moment: Array, p: tuple[int, int]) -> Array:
    """Cholesky factors of the diagonal blocks of the second moments: (p_1, p_2, p_2)."""
    table = with_ridge(moment).reshape(p[0], p[1], p[0], p[1])
    return np.linalg.cholesky(np.ascontiguousarray(np.einsum("ajak->ajk", table)))


def block_weight(moment: Array, chain: Chain) -> Array:
    """The ``col_weight`` (a_L, c_L, c_L, d_L) of a chain for inputs with the second moments given (N, N)."""
    a, _, c, d = chain[len(chain) - 1]
    table = with_ridge(moment).reshape(a, c, d, a, c, d)
    blocks = np.einsum("ajlakl->aljk", table)
    return np.ascontiguousarray(np.linalg.cholesky(blocks).transpose(0, 2, 3, 1))


def output_error(matrix: Array, approximation: Array, moment: Array) -> float:
    """``sqrt(tr R C R^T / tr A C A^T)`` with ``R`` the residual: the relative error of the layer's output."""
    root = np.linalg.cholesky(with_ridge(moment))
    residual = (matrix - approximation).astype(np.result_type(matrix.dtype, np.float64))
    norm = float(np.linalg.norm(matrix @ root))
    return float(np.linalg.norm(residual @ root)) / norm if norm > 0 else 0.0
