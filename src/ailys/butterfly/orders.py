"""Hierarchical factorization of a stack of matrices along a chain, in a given order of splits.

Every step splits one factor of the current product into two by `truncation.split`. All factors
but one (the *centre*, which holds the scale) are kept orthonormal in every class, so multiplying
by them preserves norms (Le et al. 2025, Alg. 6.2). When factors are peeled off from one end, what
a step loses is orthogonal to all that is kept afterwards, so the squared errors of the steps add
up to the squared error of the product exactly; the argument is on the user page. In other orders
this is not so, and the residual is formed.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ._pair_kernels import CHUNK, columns_by_two, rows_by_two
from .architecture import Chain, Pattern
from .truncation import extract_support, merge_factors, move_left, move_right, product_array, split

__all__ = ["Fit", "balanced_order", "expand", "factorize_stack", "merge_groups"]

Array = np.ndarray


@dataclass
class Fit:
    """Factors of a stack of ``n`` matrices, with what each step lost.

    ``factors[l]`` is an array ``(n * a_l, b_l, c_l, d_l)``; ``lost[l]`` (n,) the energy lost where the
    product was split behind factor ``l``; ``outside`` (n,) the energy off the support of the class;
    ``energy`` (n,) that of the matrices; ``centre`` the index of the factor that holds the scale.
    """

    factors: list[Array]
    lost: Array
    outside: Array
    energy: Array
    centre: int
    residual: Array | None = None  # (n,) energy of the residual where ``lost`` does not add up to it

    @property
    def error(self) -> Array:
        """Frobenius norm of each residual (n,)."""
        residual = self.lost.sum(axis=0) if self.residual is None else self.residual
        return np.asarray(np.sqrt(residual + self.outside))

    @property
    def norm(self) -> Array:
        """Frobenius norm of each matrix (n,)."""
        return np.asarray(np.sqrt(self.energy))


def factorize_stack(stack: Array, chain: Chain, order: str | Sequence[int]) -> Fit:
    """Factorise each matrix of ``stack`` (n, M, N) along a chainable chain without redundancy.

    ``order`` is "left" (factors are peeled off from the left), "right", or the sequence of split
    positions 1..L-1 in which the product is taken apart.
    """
    n, depth = len(stack), len(chain)
    if depth == 1:
        z, outside = extract_support(stack, chain[0])
        return Fit([z], np.zeros((0, n)), outside, _energy(z, n) + outside, 0)
    if order == "left" and all(p.b == 2 for p in chain.patterns[:-1]) and _plain(chain):
        return _depth_first(stack, chain, from_left=True)
    if order == "right" and all(p.c == 2 for p in chain.patterns[1:]) and _plain(chain):
        return _depth_first(stack, chain, from_left=False)
    z, outside = extract_support(stack, chain.product())
    energy = _energy(z, n) + outside
    lost = np.zeros((depth - 1, n))
    if not np.isfinite(energy).all():  # the caller looks for the reason
        return Fit([], lost, outside, energy, 0)
    if order == "left":
        factors: list[Array] = []
        for l in range(depth - 1):
            x, z, e = split(z, chain[l], chain.product(l + 1), "left")
            factors.append(x)
            lost[l] = e.reshape(n, -1).sum(axis=1)
        return Fit([*factors, z], lost, outside, energy, depth - 1)
    if order == "right":
        factors = []
        for l in range(depth - 1, 0, -1):
            z, x, e = split(z, chain.product(0, l), chain[l], "right")
            factors.append(x)
            lost[l - 1] = e.reshape(n, -1).sum(axis=1)
        return Fit([z, *reversed(factors)], lost, outside, energy, 0)
    return _along_splits(z, chain, list(order), lost, outside, energy)  # type: ignore[arg-type]


def balanced_order(depth: int) -> list[int]:
    """Split positions that halve the chain again and again, depth first."""

    def halves(start: int, stop: int) -> list[int]:
        if stop - start < 2:
            return []
        middle = (start + stop) // 2
        return [middle, *halves(start, middle), *halves(middle, stop)]

    return halves(0, depth)


def _energy(z: Array, n: int) -> Array:
    wide = np.result_type(z.dtype, np.float64)
    energy = np.zeros(n)
    for i, row in enumerate(z.reshape(n, -1)):
        for start in range(0, row.size, 1 << 20):  # in pieces: single precision is squared in double
            piece = row[start : start + (1 << 20)].astype(wide, copy=False)
            energy[i] += np.vdot(piece, piece).real
    return energy


def _plain(chain: Chain) -> bool:
    """Rank one everywhere and no strided copies: what the depth-first drivers take."""
    return chain[len(chain) - 1].d == 1 and all(r == 1 for r in chain.ranks)


def _depth_first(stack: Array, chain: Chain, from_left: bool) -> Fit:
    """Run a compiled driver on every block-diagonal copy of every matrix."""
    n, rows, cols = stack.shape
    copies, depth = chain[0].a, len(chain)
    stack = np.ascontiguousarray(stack)
    double = np.complex128 if stack.dtype.kind == "c" else np.float64
    work = (
        np.empty(CHUNK), np.empty(CHUNK), np.empty(CHUNK, double),
        np.empty(CHUNK, double), np.empty(CHUNK, double), np.empty(CHUNK),
    )  # fmt: skip
    sizes = np.array([n * p.n_params for p in chain])
    offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    flat = np.empty(int(sizes.sum()), stack.dtype)
    # the matrix at each level below the first: (pi_l * ... * pi_L) or its mirror, one copy of it
    if from_left:
        below = [chain.product(l) for l in range(1, depth)]
        areas = [p.b * p.c for p in below]
        levels = np.concatenate([[0], np.cumsum(areas)[:-1]])
    else:
        below = [chain.product(0, l) for l in range(1, depth)]
        areas = [p.b * p.c for p in below]
        levels = np.concatenate([[0, 0], np.cumsum(areas)[:-1]])
    buffer = _scratch(int(sum(areas)), stack.dtype)
    lost, energy = np.zeros((n, depth - 1)), np.zeros(n)
    src = stack.reshape(-1)
    height, width = rows // copies, cols // copies
    row_splits = np.array([p.b for p in chain])
    col_splits = np.array([p.c for p in chain])
    for m in range(n):
        for al in range(copies):
            base = (m * rows + al * height) * cols + al * width
            copy = m * copies + al
            if from_left:
                energy[m] += rows_by_two(
                    src, base, cols, height, col_splits, copy, flat, offsets, buffer, levels, work, lost[m]
                )
            else:
                energy[m] += columns_by_two(
                    src, base, cols, row_splits, width, copy, flat, offsets, buffer, levels, work, lost[m]
                )
    outside = np.zeros(n) if copies == 1 else extract_support(stack, chain.product())[1]
    factors = [flat[o : o + s].reshape(n * p.a, p.b, p.c, p.d) for o, s, p in zip(offsets, sizes, chain, strict=True)]
    return Fit(factors, lost.T, outside, energy + outside, depth - 1 if from_left else 0)


_LOCAL = threading.local()
_SCRATCH_BYTES = (
    1 << 25
)  # workspace up to 32 MB is kept, one for each thread: touching new pages costs as much as the work


def _scratch(size: int, dtype: np.dtype) -> Array:
    """Workspace whose content does not matter."""
    n_bytes = size * dtype.itemsize
    if n_bytes > _SCRATCH_BYTES:
        return np.empty(size, dtype)
    kept = getattr(_LOCAL, "buffer", None)
    if kept is None or kept.nbytes < n_bytes:
        kept = _LOCAL.buffer = np.empty(n_bytes, np.uint8)
    return kept[:n_bytes].view(dtype)


def _along_splits(z: Array, chain: Chain, order: list[int], lost: Array, outside: Array, energy: Array) -> Fit:
    """Any order of splits: before each one the centre is moved, by QR steps, to the part to be split."""
    depth, n, whole = len(chain), lost.shape[1], z
    parts: list[tuple[int, int]] = [(0, depth)]
    arrays: list[Array] = [z]
    centre = 0

    def pattern(part: tuple[int, int]) -> Pattern:
        return chain.product(*part)

    for position in order:
        target = next(i for i, (start, stop) in enumerate(parts) if start < position < stop)
        while centre < target:
            pair = pattern(parts[centre]), pattern(parts[centre + 1])
            arrays[centre : centre + 2] = move_right(arrays[centre], arrays[centre + 1], *pair)
            centre += 1
        while centre > target:
            pair = pattern(parts[centre - 1]), pattern(parts[centre])
            arrays[centre - 1 : centre + 1] = move_left(arrays[centre - 1], arrays[centre], *pair)
            centre -= 1
        start, stop = parts[target]
        left, right = (start, position), (position, stop)
        x1, x2, e = split(arrays[target], pattern(left), pattern(right), "left")
        parts[target : target + 1] = [left, right]
        arrays[target : target + 1] = [x1, x2]
        lost[position - 1] = e.reshape(n, -1).sum(axis=1)
        centre = target + 1
    return Fit(arrays, lost, outside, energy, centre, residual=_energy(whole - product_array(arrays, chain), n))


# -- redundant chains --------------------------------------------------------------------------


def _merge_steps(chain: Chain) -> list[tuple[Chain, int]]:
    """The chains before each merge of `Chain.reduce`, with the position merged."""
    steps = []
    while (i := chain.first_redundant()) is not None:
        steps.append((chain, i))
        chain = chain.merge(i)
    return steps


def expand(factors: list[Array], centre: int, chain: Chain) -> tuple[list[Array], int]:
    """Factors of ``chain`` from those of its reduction: the merges are undone, last one first.

    Undoing a merge loses nothing: the rank of the pair is at least the short side of its blocks.
    """
    factors = list(factors)
    for before, i in reversed(_merge_steps(chain)):
        scale_moves_right = i < centre or (i == centre == len(factors) - 1)
        x1, x2, _ = split(factors[i], before[i], before[i + 1], "left" if scale_moves_right else "right")
        factors[i : i + 1] = [x1, x2]
        centre += scale_moves_right
    return factors, centre


def merge_groups(factors: Sequence[Array], chain: Chain) -> list[Array]:
    """Factors of the reduction of ``chain`` from factors of ``chain``."""
    merged = list(factors)
    for before, i in _merge_steps(chain):
        merged[i : i + 2] = [merge_factors(merged[i], merged[i + 1], before[i], before[i + 1])]
    return merged
