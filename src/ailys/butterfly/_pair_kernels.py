"""Compiled factorization of chains of 2 x 2 blocks of rank one: pure functions on arrays, no policy.

The kernels work on two rows (or two columns) at a time, for which the best rank-one approximation
has a closed form.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ._kernels import FAST, abs2

CHUNK = 256  # pairs handled together, so that their rotations are computed by vector instructions
_IN_CACHE = 16384  # entries of a row chunk that is read twice: it should still be there the second time
# A residual below this fraction of the energy is summed entry by entry: the difference of the
# energies would have lost its digits. Above it, that difference keeps 12 of them in float64.
_EXPLICIT = 1e-3


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _rotations(g00, g11, g01, u0, u1, rest, n):  # type: ignore[no-untyped-def]
    """Dominant unit eigenvector ``(u0, u1)`` of each ``[[g00, g01], [conj g01, g11]]``.

    With ``h = (g00 - g11) / 2`` and ``s = hypot(h, |g01|)`` it is ``(h + s, conj g01)`` for h >= 0 and
    ``(g01, s - h)`` otherwise: the sums add terms of one sign, so nothing cancels, and the entry
    of largest modulus is real and positive. A zero block gives (1, 0). Free of branches.
    ``rest`` receives the smaller eigenvalue, good where it is not small against the larger one.
    """
    for t in range(n):
        total = g00[t] + g11[t]
        unit = 1.0 / (total + (0.0 if total > 0.0 else 1.0))  # squares of energies could overflow or vanish
        h = 0.5 * (g00[t] - g11[t]) * unit
        g = g01[t] * unit
        off = abs2(g)
        root = np.sqrt(h * h + off)
        rest[t] = (0.5 - root) * total
        big = abs(h) + root
        length = np.sqrt(big * big + off)
        zero = 0.0 if length > 0.0 else 1.0
        scale = 1.0 / (length + zero)
        big = big * scale + zero
        small = g * scale
        upper = 1.0 if h >= 0.0 else 0.0
        u0[t] = upper * big + (1.0 - upper) * small
        u1[t] = upper * np.conj(small) + (1.0 - upper) * big


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _split_rows(src, base, stride, k, width, out, out_base, factor, f0, f1, work):  # type: ignore[no-untyped-def]
    """One column group: rows ``t`` and ``t + k`` are combined into row ``t`` of ``out``.

    Returns the energy lost and the energy met.
    """
    g00, g11, g01, u0, u1, rest = work
    lost, met = 0.0, 0.0
    w, gap = np.uint64(width), np.uint64(k * stride)
    chunk = min(CHUNK, max(8, _IN_CACHE // width))
    for start in range(0, k, chunk):
        n = min(chunk, k - start)
        for t in range(n):
            p = np.uint64(base + (start + t) * stride)
            s00 = 0.0
            s11 = 0.0
            s01 = g01.dtype.type(0.0)
            for j in range(w):
                x = src[p + j]
                y = src[p + gap + j]
                s00 += abs2(x)
                s11 += abs2(y)
                s01 += x * np.conj(y)
            g00[t] = s00
            g11[t] = s11
            g01[t] = s01
            met += s00 + s11
        _rotations(g00, g11, g01, u0, u1, rest, n)
        for t in range(n):
            factor[f0 + start + t] = u0[t]
            factor[f1 + start + t] = u1[t]
            a0, a1 = factor[f0 + start + t], factor[f1 + start + t]
            b0, b1 = np.conj(a0), np.conj(a1)
            p = np.uint64(base + (start + t) * stride)
            q = np.uint64(out_base + (start + t) * width)
            for j in range(w):
                out[q + j] = b0 * src[p + j] + b1 * src[p + gap + j]
            if rest[t] < _EXPLICIT * (g00[t] + g11[t]):
                row_lost = 0.0
                for j in range(w):
                    row_lost += abs2(a1 * src[p + j] - a0 * src[p + gap + j])
                lost += row_lost
            else:
                lost += rest[t]
    return lost, met


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _split_columns(src, base, stride, rows, pairs, out, out_base, factor, f0, step, half, work):  # type: ignore[no-untyped-def]
    """Mirror image of `_split_rows`: columns ``2 t`` and ``2 t + 1`` give column ``t`` of ``out``."""
    g00, g11, g01, u0, u1, rest = work
    lost, met = 0.0, 0.0
    for start in range(0, pairs, CHUNK):
        n = min(CHUNK, pairs - start)
        for t in range(n):
            g00[t] = 0.0
            g11[t] = 0.0
            g01[t] = 0.0
        i = 0
        while i + 4 <= rows:  # four rows at a time: the sums are loaded and stored a quarter as often
            p = base + i * stride + 2 * start
            r0 = src[p : p + 2 * n]
            p += stride
            r1 = src[p : p + 2 * n]
            p += stride
            r2 = src[p : p + 2 * n]
            p += stride
            r3 = src[p : p + 2 * n]
            for t in range(n):
                x0, y0 = r0[2 * t], r0[2 * t + 1]
                x1, y1 = r1[2 * t], r1[2 * t + 1]
                x2, y2 = r2[2 * t], r2[2 * t + 1]
                x3, y3 = r3[2 * t], r3[2 * t + 1]
                g00[t] += (abs2(x0) + abs2(x1)) + (abs2(x2) + abs2(x3))
                g11[t] += (abs2(y0) + abs2(y1)) + (abs2(y2) + abs2(y3))
                g01[t] += (x0 * np.conj(y0) + x1 * np.conj(y1)) + (x2 * np.conj(y2) + x3 * np.conj(y3))
            i += 4
        while i < rows:
            p = base + i * stride + 2 * start
            r0 = src[p : p + 2 * n]
            for t in range(n):
                g00[t] += abs2(r0[2 * t])
                g11[t] += abs2(r0[2 * t + 1])
                g01[t] += r0[2 * t] * np.conj(r0[2 * t + 1])
            i += 1
        _rotations(g00, g11, g01, u0, u1, rest, n)
        explicit = False
        for t in range(n):
            met += g00[t] + g11[t]
            explicit |= rest[t] < _EXPLICIT * (g00[t] + g11[t])
            factor[f0 + (start + t) * step] = u0[t]
            factor[f0 + (start + t) * step + half] = u1[t]
            u0[t] = factor[f0 + (start + t) * step]
            u1[t] = factor[f0 + (start + t) * step + half]
        if explicit:
            for t in range(n):
                rest[t] = 0.0
        for i in range(rows):
            p = base + i * stride + 2 * start
            r0 = src[p : p + 2 * n]
            q = out_base + i * pairs + start
            z = out[q : q + n]
            for t in range(n):
                z[t] = np.conj(u0[t]) * r0[2 * t] + np.conj(u1[t]) * r0[2 * t + 1]
            if explicit:
                for t in range(n):
                    rest[t] += abs2(u1[t] * r0[2 * t] - u0[t] * r0[2 * t + 1])
        for t in range(n):
            lost += rest[t]
    return lost, met


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def rows_by_two(src, base, stride, rows, cols, copy, factors, offsets, buffer, levels, work, lost):  # type: ignore[no-untyped-def]
    """Left to right for a chain whose factors 1..L-1 have ``b = 2`` and rank one.

    Depth first: a column group is carried down to the last factor before the next one is read, so
    that the intermediate matrices, a third of the input in all, stay in cache.

    ``src[base:]`` holds a matrix of ``rows`` rows and ``prod(cols)`` columns with the given row
    stride, the block-diagonal copy number ``copy``. Factor ``s`` is written from
    ``factors[offsets[s]]``, its 4-D layout; level ``s`` works in ``buffer[levels[s]:]``; the energy
    lost at level ``s`` is added to ``lost[s]``. Returns the energy of the matrix.
    """
    depth = len(cols)
    height = np.empty(depth, np.int64)
    width = np.empty(depth, np.int64)
    lead = np.empty(depth, np.int64)  # p_1 ... p_{s-1}
    leaves, n_cols = 1, 1
    for s in range(depth):
        n_cols *= cols[s]
    for s in range(depth):
        height[s] = rows
        width[s] = n_cols
        lead[s] = leaves
        if s < depth - 1:
            leaves *= cols[s]
            rows //= 2
            n_cols //= cols[s]
    digit = np.zeros(depth, np.int64)
    node = np.zeros(depth, np.int64)  # (mu_1, ..., mu_{s-1}) as one number
    size = height[depth - 1] * width[depth - 1]
    energy = 0.0
    level = 0
    for leaf in range(leaves):
        for s in range(level, depth - 1):
            k = height[s] // 2
            c = width[s + 1]
            mu = digit[s]
            f0 = offsets[s] + (((copy * lead[s] + node[s]) * 2) * cols[s] + mu) * k
            f1 = f0 + cols[s] * k
            if s == 0:
                e, met = _split_rows(src, base + mu * c, stride, k, c, buffer, levels[0], factors, f0, f1, work)
                energy += met
            else:
                origin = levels[s - 1] + mu * c
                e, met = _split_rows(buffer, origin, width[s], k, c, buffer, levels[s], factors, f0, f1, work)
            lost[s] += e
            node[s + 1] = node[s] * cols[s] + mu
        f = offsets[depth - 1] + (copy * leaves + leaf) * size
        factors[f : f + size] = buffer[levels[depth - 2] : levels[depth - 2] + size]
        level = depth - 2
        while level >= 0:
            digit[level] += 1
            if digit[level] < cols[level]:
                break
            digit[level] = 0
            level -= 1
    return energy


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def columns_by_two(src, base, stride, row_splits, n_cols, copy, factors, offsets, buffer, levels, work, lost):  # type: ignore[no-untyped-def]
    """Right to left for a chain whose factors 2..L have ``c = 2`` and rank one: see `rows_by_two`."""
    depth = len(row_splits)
    height = np.empty(depth, np.int64)
    width = np.empty(depth, np.int64)
    lead = np.empty(depth, np.int64)  # q_{s+1} ... q_L
    leaves, rows = 1, 1
    for s in range(depth):
        rows *= row_splits[s]
    for s in range(depth - 1, -1, -1):
        height[s] = rows
        width[s] = n_cols
        lead[s] = leaves
        if s > 0:
            leaves *= row_splits[s]
            rows //= row_splits[s]
            n_cols //= 2
    digit = np.zeros(depth, np.int64)
    node = np.zeros(depth, np.int64)  # (kappa_{s+1}, ..., kappa_L) as one number
    size = height[0] * width[0]
    energy = 0.0
    level = depth - 1
    for _ in range(leaves):
        for s in range(level, 0, -1):
            q = row_splits[s]
            pairs = width[s] // 2
            kappa = digit[s]
            # factor s has shape (pairs, q, 2, lead): entry (mu, kappa, j, node)
            f = offsets[s] + ((copy * pairs * q + kappa) * 2) * lead[s] + node[s]
            step = q * 2 * lead[s]
            if s == depth - 1:
                e, met = _split_columns(
                    src, base + kappa * stride, stride * q, height[s] // q, pairs,
                    buffer, levels[s], factors, f, step, lead[s], work,
                )  # fmt: skip
                energy += met
            else:
                e, met = _split_columns(
                    buffer, levels[s + 1] + kappa * width[s], width[s] * q, height[s] // q, pairs,
                    buffer, levels[s], factors, f, step, lead[s], work,
                )  # fmt: skip
            lost[s - 1] += e
            node[s - 1] = kappa * lead[s] + node[s]
        f = offsets[0] + copy * size * leaves + node[0]
        for t in range(size):
            factors[f + t * leaves] = buffer[levels[1] + t]
        level = 1
        while level < depth:
            digit[level] += 1
            if digit[level] < row_splits[level]:
                break
            digit[level] = 0
            level += 1
    return energy
