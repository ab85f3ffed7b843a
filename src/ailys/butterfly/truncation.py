"""Two factors: the best approximation in a two-factor class, by truncated SVDs of small blocks.

The product of two factors with patterns ``pi_1 = (a, b, m r, k d)`` and ``pi_2 = (a m, r k, c, d)`` has
the pattern ``(a, b k, m c, d)``. Its entries ``z[al, (i, ka), (mu, j), de]`` fall into disjoint
``b x c`` blocks ``B[i, j]``, one for each ``(al, mu, ka, de)``, and a matrix is such a product if and
only if every block has rank at most ``r``. Truncating the SVD of each block is therefore optimal
(Eckart and Young), which for ``r = 1`` is the Monarch projection of Dao et al. (2022).

Every array here may hold a stack of matrices: the leading axis is then ``stack * a``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from ._block_kernels import rank_one_blocks
from .architecture import Chain, Pattern

__all__ = ["extract_support", "project_left", "project_right", "split", "two_factor"]

Side = Literal["left", "right"]
Array = np.ndarray

# Relative error of a squared singular value taken from a Gram matrix is eps / (share of the energy):
# blocks in which the wanted part is smaller than this are redone from the block itself.
_GRAM_SHARE = 1e-6
_NATIVE = frozenset(np.dtype(t) for t in (np.float32, np.float64, np.complex64, np.complex128))
_CHUNK_ENTRIES = 1 << 22  # blocks are handled in groups of about this many entries, to bound memory


def two_factor(
    z: Array, first: tuple[int, int, int, int], second: tuple[int, int, int, int], side: Side = "left"
) -> tuple[Array, Array, float]:
    """Best approximation of ``z`` by a product of two factors with the given patterns.

    Parameters
    ----------
    z : (M, N) matrix, or the (a, b k, m c, d) array of a matrix with the product pattern
    first, second : chainable patterns (a, b, c, d)
    side : which factor is orthonormal in each class, "left" or "right"; the other holds the scale.

    Returns
    -------
    x1, x2 : 4-D arrays of the factors
    squared_error : the squared Frobenius norm of the residual

    Raises
    ------
    ValueError
        Another shape, NaN, entries whose squares overflow, patterns that are not chainable, or an unknown side.

    Examples
    --------
    >>> import numpy as np
    >>> hadamard = np.array([[1., 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])
    >>> x1, x2, squared_error = two_factor(hadamard, (1, 2, 2, 2), (2, 2, 2, 1))
    >>> x1.shape, x2.shape, bool(squared_error < 1e-28)
    ((1, 2, 2, 2), (2, 2, 2, 1), True)
    """
    chain = Chain([first, second])
    pattern = chain.product()  # raises a sentence when the pair is not chainable
    if side not in ("left", "right"):
        raise ValueError(f"side must be 'left' or 'right'; got {side!r}")
    z = working_array(z)[0]
    outside = 0.0
    if z.ndim == 2 and z.shape == pattern.shape:
        z, off = extract_support(z[None], pattern)
        outside = float(off[0])
    if z.shape != tuple(pattern):
        raise ValueError(f"expected a matrix of shape {pattern.shape} or an array {tuple(pattern)}; got {z.shape}")
    if not np.isfinite(z).all():
        raise ValueError("z has NaN or infinite entries")
    peak = float(np.abs(z).max())
    if peak and not 1e-60 < peak < 1e60:
        raise ValueError(f"the entries of z reach {peak:.1e}, so their squares do not fit: scale z first")
    x1, x2, lost = split(z, chain[0], chain[1], side)
    return x1, x2, outside + float(lost.sum())


def working_array(A: Any) -> tuple[Array, np.dtype]:
    """An array in a type that the kernels take, and the type of the factors that are given back.

    Half precision is computed in single; integers and whatever is wider than double become double.
    """
    if hasattr(A, "detach"):  # a torch tensor
        A = A.detach().cpu().resolve_conj().resolve_neg()
        A = A.to_dense() if A.is_sparse or A.layout != A.to_dense().layout else A
        if str(A.dtype) == "torch.bfloat16":
            import ml_dtypes

            A = A.float().numpy().astype(ml_dtypes.bfloat16)
        else:
            A = A.numpy()
    elif hasattr(A, "toarray"):  # SciPy sparse
        A = A.toarray()
    if isinstance(A, np.ma.MaskedArray) and np.ma.is_masked(A):
        raise ValueError("the array has masked entries; fill them first")
    try:
        array = np.asarray(A)
    except ValueError as fault:
        raise ValueError("expected a matrix; the rows given have different lengths") from fault
    if array.dtype in _NATIVE and array.dtype.isnative:
        return array, array.dtype
    name, kind = array.dtype.name, array.dtype.kind
    if kind not in "biufc" and name != "bfloat16":
        raise ValueError(f"expected a matrix of numbers; got an array of type {array.dtype}")
    if name in ("float16", "bfloat16"):
        return array.astype(np.float32), array.dtype.newbyteorder("=")
    if not array.dtype.isnative and kind in "fc":
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype not in _NATIVE:
        array = array.astype(np.complex128 if kind == "c" else np.float64)
    return array, array.dtype


def extract_support(stack: Array, pattern: Pattern) -> tuple[Array, Array]:
    """Entries of each matrix of a stack (n, M, N) on a support, and the energy (n,) outside it."""
    a, b, c, d = pattern
    n = len(stack)
    if a == d == 1:
        return np.ascontiguousarray(stack).reshape(n, b, c, 1), np.zeros(n)
    table = stack.reshape(n, a, b, d, a, c, d)
    z = np.ascontiguousarray(np.einsum("nibjicj->nibcj", table)).reshape(n * a, b, c, d)
    energy = np.square(np.abs(table), dtype=np.float64).sum(axis=(2, 5))
    energy[:, np.arange(a)[:, None], np.arange(d), np.arange(a)[:, None], np.arange(d)] = 0.0
    return z, energy.sum(axis=(1, 2, 3, 4))


def split(z: Array, first: Pattern, second: Pattern, side: Side) -> tuple[Array, Array, Array]:
    """Best two factors of ``z`` (a, b k, m c, d), and the energy lost in each leading slice (a,).

    The factor named by ``side`` has orthonormal vectors in every class, the other one the scale.
    """
    view, r = _blocks_view(z, first, second)
    n_a, b, n_k, n_m, c, n_d = view.shape
    x1 = np.empty((n_a, b, n_m, r, n_k, n_d), z.dtype)
    x2 = np.empty((n_a, n_m, r, n_k, c, n_d), z.dtype)
    if r >= min(b, c):
        lost = np.zeros(n_a)
        _split_losslessly(view, x1, x2, r, side)
    elif r == 1:
        lost = np.zeros(n_a)
        double = np.dtype(np.complex128 if z.dtype.kind == "c" else np.float64)
        tolerance = 1e-12 if z.real.dtype == np.float64 else 1e-8
        rank_one_blocks(view, b > c, side == "left", tolerance, x1[:, :, :, 0], x2[:, :, 0], lost, np.zeros(1, double))
    else:
        lost = _split_by_gram(view, x1, x2, r, side)
    stack = n_a // first.a
    return (
        x1.reshape(stack * first.a, *first[1:]),
        x2.reshape(stack * second.a, *second[1:]),
        lost,
    )


def _blocks_view(z: Array, first: Pattern, second: Pattern) -> tuple[Array, int]:
    """The 6-D view ``z[al, i, ka, mu, j, de]`` and the rank of the split."""
    k, m = first.d // second.d, second.a // first.a
    return z.reshape(len(z), first.b, k, m, second.c, second.d), first.c // m


def _chunks(view: Array):  # type: ignore[no-untyped-def]
    """Groups of blocks: (index of the leading axis, blocks (.., ka, mu, de, b, c))."""
    per_slice = max(1, view[0].size)
    step = max(1, _CHUNK_ENTRIES // per_slice)
    for start in range(0, len(view), step):
        part = slice(start, start + step)
        yield part, view[part].transpose(0, 2, 3, 5, 1, 4)


def _split_losslessly(view: Array, x1: Array, x2: Array, r: int, side: Side) -> None:
    """A split that loses nothing, since the rank is at least the short side of the blocks."""
    b, c = view.shape[1], view.shape[4]
    x1[...] = 0
    x2[...] = 0
    blocks = view.transpose(0, 3, 2, 5, 1, 4)  # al, mu, ka, de, i, j
    u = x1.transpose(0, 2, 4, 5, 1, 3)  # al, mu, ka, de, i, rho
    v = x2.transpose(0, 1, 3, 5, 2, 4)  # al, mu, ka, de, rho, j
    if side == "left":
        if b <= r:
            u[..., np.arange(b), np.arange(b)] = 1
            v[..., :b, :] = blocks
        else:
            u[..., :c], v[..., :c, :] = _qr(blocks)
    elif c <= r:
        v[..., np.arange(c), np.arange(c)] = 1
        u[..., :c] = blocks
    else:
        q, t = _qr(np.swapaxes(blocks, -1, -2))
        v[..., :b, :] = np.swapaxes(q, -1, -2)
        u[..., :b] = np.swapaxes(t, -1, -2)


def _qr(blocks: Array) -> tuple[Array, Array]:
    q, t = np.linalg.qr(blocks)
    return q, t


def _split_by_gram(view: Array, x1: Array, x2: Array, r: int, side: Side) -> Array:
    """Rank ``r`` truncation of many blocks, through Gram matrices on the short side."""
    flip = view.shape[1] > view.shape[4]
    lost = np.zeros(len(view))
    for part, group in _chunks(view):
        blocks = np.swapaxes(group, -1, -2) if flip else group
        wide = blocks.astype(np.complex128 if view.dtype.kind == "c" else np.float64)
        p = _dominant_subspace(wide, r)  # (..., short, r), orthonormal columns
        w = np.swapaxes(p, -1, -2).conj() @ wide  # (..., r, long)
        lost[part] = np.square(np.abs(wide - p @ w)).sum(axis=(1, 2, 3, 4, 5))
        if (side == "left") == flip:  # the scale must leave the long side
            q, t = np.linalg.qr(np.swapaxes(w, -1, -2))
            w, p = np.swapaxes(q, -1, -2), p @ np.swapaxes(t, -1, -2)
            phase = _phases(w, axis=-1)
            w, p = w * phase.conj(), p * np.swapaxes(phase, -1, -2)
        else:
            phase = _phases(p, axis=-2)
            p, w = p * phase.conj(), w * np.swapaxes(phase, -1, -2)
        u, v = (np.swapaxes(w, -1, -2), np.swapaxes(p, -1, -2)) if flip else (p, w)
        x1[part] = u.transpose(0, 4, 2, 5, 1, 3)  # al, ka, mu, de, i, rho -> al, i, mu, rho, ka, de
        x2[part] = v.transpose(0, 2, 4, 1, 5, 3)  # al, ka, mu, de, rho, j -> al, mu, rho, ka, j, de
    return lost


def _dominant_subspace(blocks: Array, r: int) -> Array:
    """Orthonormal basis (..., short, r) of the dominant left singular subspace of each block."""
    gram = blocks @ np.swapaxes(blocks, -1, -2).conj()
    values, vectors = np.linalg.eigh(gram)
    basis = np.ascontiguousarray(vectors[..., : -r - 1 : -1])
    # where little is lost, the small singular values have lost their digits in the Gram matrix
    weak = values[..., :-r].sum(axis=-1) < _GRAM_SHARE * values.sum(axis=-1)
    if weak.any():
        left, _, _ = np.linalg.svd(blocks[weak], full_matrices=False)
        basis[weak] = left[..., :r]
    return basis


def _phases(vectors: Array, axis: int) -> Array:
    """Phase of the entry of largest modulus of each vector, kept as an axis of length one."""
    where = np.abs(vectors).argmax(axis=axis, keepdims=True)
    top = np.take_along_axis(vectors, where, axis=axis)
    modulus = np.abs(top)
    return np.where(modulus > 0, top / np.where(modulus > 0, modulus, 1), 1)


def block_tails(z: Array, first: Pattern, second: Pattern) -> Array:
    """Energy beyond rank ``r`` of the blocks of a split, summed in each leading slice (a,)."""
    view, r = _blocks_view(z, first, second)
    b, c = view.shape[1], view.shape[4]
    tails = np.zeros(len(view))
    if r >= min(b, c):
        return tails
    for part, group in _chunks(view):
        blocks = np.swapaxes(group, -1, -2) if b > c else group
        wide = blocks.astype(np.complex128 if view.dtype.kind == "c" else np.float64)
        values = np.linalg.eigvalsh(wide @ np.swapaxes(wide, -1, -2).conj())
        tail = np.maximum(values[..., :-r], 0).sum(axis=-1)
        weak = tail < _GRAM_SHARE * values.sum(axis=-1)
        if weak.any():
            singular = np.linalg.svd(wide[weak], compute_uv=False)
            tail[weak] = np.square(singular[..., r:]).sum(axis=-1)
        tails[part] = tail.sum(axis=(1, 2, 3))
    return tails


def project_left(z: Array, x1: Array, first: Pattern, second: Pattern) -> tuple[Array, Array]:
    """Coefficients ``U^H B`` of the blocks on an orthonormal left factor, and the energy lost (a,)."""
    view, r = _blocks_view(z, first, second)
    n_a, b, n_k, n_m, _, n_d = view.shape
    u = x1.reshape(n_a, b, n_m, r, n_k, n_d).transpose(0, 2, 4, 5, 1, 3)
    blocks = view.transpose(0, 3, 2, 5, 1, 4)
    v = np.swapaxes(u, -1, -2).conj() @ blocks  # al, mu, ka, de, rho, j
    lost = np.square(np.abs(blocks - u @ v), dtype=np.float64).sum(axis=(1, 2, 3, 4, 5))
    stack = n_a // first.a
    return np.ascontiguousarray(v.transpose(0, 1, 4, 2, 5, 3)).reshape(stack * second.a, *second[1:]), lost


def project_right(z: Array, x2: Array, first: Pattern, second: Pattern) -> tuple[Array, Array]:
    """Coefficients ``B V^H`` of the blocks on an orthonormal right factor, and the energy lost (a,)."""
    view, r = _blocks_view(z, first, second)
    n_a, _, n_k, n_m, c, n_d = view.shape
    v = x2.reshape(n_a, n_m, r, n_k, c, n_d).transpose(0, 1, 3, 5, 2, 4)
    blocks = view.transpose(0, 3, 2, 5, 1, 4)
    u = blocks @ np.swapaxes(v, -1, -2).conj()  # al, mu, ka, de, i, rho
    lost = np.square(np.abs(blocks - u @ v), dtype=np.float64).sum(axis=(1, 2, 3, 4, 5))
    stack = n_a // first.a
    return np.ascontiguousarray(u.transpose(0, 4, 1, 5, 2, 3)).reshape(stack * first.a, *first[1:]), lost


def move_right(x1: Array, x2: Array, first: Pattern, second: Pattern) -> tuple[Array, Array]:
    """The same product with the left factor made orthonormal: QR in each class, R pushed right."""
    u, v, _ = _pair_views(x1, x2, first, second)
    q, t = _square_qr(u)
    return _pair_arrays(q, t @ v, x1, x2)


def move_left(x1: Array, x2: Array, first: Pattern, second: Pattern) -> tuple[Array, Array]:
    """The same product with the right factor made orthonormal: the mirror image of `move_right`."""
    u, v, _ = _pair_views(x1, x2, first, second)
    q, t = _square_qr(np.swapaxes(v, -1, -2))
    return _pair_arrays(u @ np.swapaxes(t, -1, -2), np.swapaxes(q, -1, -2), x1, x2)


def merge_factors(x1: Array, x2: Array, first: Pattern, second: Pattern) -> Array:
    """Array of the product of two factors, with the product pattern."""
    u, v, (n_a, b, n_k, n_m, c, n_d) = _pair_views(x1, x2, first, second)
    product = (u @ v).transpose(0, 4, 2, 1, 5, 3)  # al, mu, ka, de, i, j -> al, i, ka, mu, j, de
    return np.ascontiguousarray(product).reshape(n_a, b * n_k, n_m * c, n_d)


def product_array(factors: Sequence[Array], chain: Chain, start: int = 0) -> Array:
    """Array of the product of the factors from ``start`` on, for a chainable chain or the transpose of one."""
    part = Chain(chain.patterns[start:])
    if not part.chainable:
        mirrored = [x.transpose(0, 2, 1, 3) for x in reversed(factors[start:])]
        return product_array(mirrored, part.T).transpose(0, 2, 1, 3)
    z, pattern = factors[-1], part[len(part) - 1]
    for x, p in zip(reversed(factors[start:-1]), reversed(part.patterns[:-1]), strict=True):
        z = merge_factors(x, z, p, pattern)
        pattern = p * pattern
    return z


def dense_of(x: Array) -> Array:
    """Dense matrix of one factor."""
    a, b, c, d = x.shape
    if a == d == 1:
        return x.reshape(b, c)
    dense = np.zeros((a, b, d, a, c, d), x.dtype)
    np.einsum("ibjicj->ibcj", dense)[...] = x
    return dense.reshape(a * b * d, a * c * d)


def unit_scale(peak: float) -> float:
    """The power of two that brings a largest entry to the size of one; 1 for zero."""
    return math.ldexp(1.0, math.frexp(peak)[1] - 1) if peak > 0 else 1.0


def _pair_views(x1: Array, x2: Array, first: Pattern, second: Pattern) -> tuple[Array, Array, tuple[int, ...]]:
    k, m = first.d // second.d, second.a // first.a
    r, n_a = first.c // m, len(x1)
    u = x1.reshape(n_a, first.b, m, r, k, second.d).transpose(0, 2, 4, 5, 1, 3)
    v = x2.reshape(n_a, m, r, k, second.c, second.d).transpose(0, 1, 3, 5, 2, 4)
    return u, v, (n_a, first.b, k, m, second.c, second.d)


def _pair_arrays(u: Array, v: Array, x1: Array, x2: Array) -> tuple[Array, Array]:
    return (
        np.ascontiguousarray(u.transpose(0, 4, 1, 5, 2, 3)).reshape(x1.shape).astype(x1.dtype, copy=False),
        np.ascontiguousarray(v.transpose(0, 1, 4, 2, 5, 3)).reshape(x2.shape).astype(x2.dtype, copy=False),
    )


def _square_qr(u: Array) -> tuple[Array, Array]:
    """QR with a square R; Q gets zero columns when there are more columns than rows."""
    q, t = np.linalg.qr(u)
    missing = u.shape[-1] - q.shape[-1]
    if missing:
        q = np.concatenate([q, np.zeros((*q.shape[:-1], missing), q.dtype)], axis=-1)
        t = np.concatenate([t, np.zeros((*t.shape[:-2], missing, t.shape[-1]), t.dtype)], axis=-2)
    return q, t


def block_spectra(matrix: Array, first: Pattern, second: Pattern) -> Array:
    """Squared singular values of the blocks of a two-factor split, summed over the blocks, by rank (k,)."""
    view, _ = _blocks_view(matrix.reshape(1, *matrix.shape, 1), first, second)
    blocks = view.transpose(0, 3, 2, 5, 1, 4)[0, ..., 0, :, :]
    wide = blocks.astype(np.complex128 if matrix.dtype.kind == "c" else np.float64)
    singular = np.linalg.svd(wide, compute_uv=False)
    return np.asarray(np.square(singular).sum(axis=(0, 1)))
