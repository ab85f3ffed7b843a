"""Compiled inner loops of the factorization: pure functions on arrays, no policy.

The pair kernels work on two rows (or two columns) at a time, for which the best rank-one
approximation has a closed form; the block kernel finds the dominant singular vector of a small
block by the Lanczos process. Fast-math is on except for the assumption that all values are finite:
a NaN or an infinity in the input shows in the returned energies, which the caller checks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numba.extending import register_jitable

_FAST = {"reassoc", "contract", "arcp", "nsz"}
CHUNK = 256  # pairs handled together, so that their rotations are computed by vector instructions
_IN_CACHE = 16384  # entries of a row chunk that is read twice: it should still be there the second time
# A residual below this fraction of the energy is summed entry by entry: the difference of the
# energies would have lost its digits. Above it, that difference keeps 12 of them in float64.
_EXPLICIT = 1e-3


@register_jitable  # type: ignore[untyped-decorator]
def _abs2(x: Any) -> Any:
    return x.real * x.real + x.imag * x.imag


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
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
        off = _abs2(g)
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


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
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
                s00 += _abs2(x)
                s11 += _abs2(y)
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
                    row_lost += _abs2(a1 * src[p + j] - a0 * src[p + gap + j])
                lost += row_lost
            else:
                lost += rest[t]
    return lost, met


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
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
                g00[t] += (_abs2(x0) + _abs2(x1)) + (_abs2(x2) + _abs2(x3))
                g11[t] += (_abs2(y0) + _abs2(y1)) + (_abs2(y2) + _abs2(y3))
                g01[t] += (x0 * np.conj(y0) + x1 * np.conj(y1)) + (x2 * np.conj(y2) + x3 * np.conj(y3))
            i += 4
        while i < rows:
            p = base + i * stride + 2 * start
            r0 = src[p : p + 2 * n]
            for t in range(n):
                g00[t] += _abs2(r0[2 * t])
                g11[t] += _abs2(r0[2 * t + 1])
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
                    rest[t] += _abs2(u1[t] * r0[2 * t] - u0[t] * r0[2 * t + 1])
        for t in range(n):
            lost += rest[t]
    return lost, met


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
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


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
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


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def _top_of_tridiagonal(alpha, beta, n, s, d, e):  # type: ignore[no-untyped-def]
    """Largest eigenvalue of a real symmetric tridiagonal matrix, its unit eigenvector in ``s``.

    Laguerre's iteration from the right of the spectrum, where it converges monotonically and
    cubically; then the twisted factorization, which is stable wherever the vector is large.
    ``beta[i]`` couples ``i`` and ``i + 1``; ``d`` and ``e`` are workspace.
    """
    theta = -np.inf
    scale = 0.0
    for i in range(n):
        radius = (beta[i - 1] if i > 0 else 0.0) + (beta[i] if i < n - 1 else 0.0)
        theta = max(theta, alpha[i] + radius)
        scale = max(scale, abs(alpha[i]) + radius)
    theta += 1e-15 * scale + 1e-300
    for _ in range(60):
        # pivots of theta - T with their first two derivatives: p'/p = g, -(p'/p)' = h
        g, h = 0.0, 0.0
        pivot, d1, d2 = 1.0, 0.0, 0.0
        good = True
        for i in range(n):
            b2 = beta[i - 1] * beta[i - 1] if i > 0 else 0.0
            inverse = 1.0 / pivot
            ratio = d1 * inverse
            d2_new = b2 * inverse * (d2 * inverse - 2.0 * ratio * ratio)
            d1_new = 1.0 + b2 * inverse * ratio
            pivot = theta - alpha[i] - b2 * inverse
            d1, d2 = d1_new, d2_new
            if pivot <= 0.0:  # at the root, up to rounding
                good = False
                break
            ratio = d1 / pivot
            g += ratio
            h += ratio * ratio - d2 / pivot
        if not good:
            break
        step = n / (g + np.sqrt(max((n - 1) * (n * h - g * g), 0.0)))
        theta -= step
        if step <= 2e-16 * scale:
            break
    tiny = 1e-30 * scale + 1e-300
    d[0] = theta - alpha[0]
    for i in range(1, n):
        if abs(d[i - 1]) < tiny:
            d[i - 1] = tiny
        d[i] = theta - alpha[i] - beta[i - 1] * beta[i - 1] / d[i - 1]
    e[n - 1] = theta - alpha[n - 1]
    for i in range(n - 2, -1, -1):
        if abs(e[i + 1]) < tiny:
            e[i + 1] = tiny
        e[i] = theta - alpha[i] - beta[i] * beta[i] / e[i + 1]
    twist, least = 0, np.inf
    for i in range(n):
        gamma = abs(d[i] + e[i] - (theta - alpha[i]))
        if gamma < least:
            twist, least = i, gamma
    s[twist] = 1.0
    length = 1.0
    for i in range(twist - 1, -1, -1):
        s[i] = s[i + 1] * beta[i] / d[i]
        length += s[i] * s[i]
    for i in range(twist + 1, n):
        s[i] = s[i - 1] * beta[i - 1] / e[i]
        length += s[i] * s[i]
    length = 1.0 / np.sqrt(length)
    for i in range(n):
        s[i] *= length
    return theta


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def _dominant_left(block, gram, basis, p, image, alpha, beta, s, d, e, tol):  # type: ignore[no-untyped-def]
    """Dominant left singular vector ``p`` of ``block`` (few rows), by the Lanczos process.

    The Gram matrix is applied through the block for the first steps, which suffice when one
    direction dominates, and formed once when they do not. Every new basis vector is orthogonalised
    against all the earlier ones; at full dimension the answer is exact up to rounding.
    """
    rows, cols = block.shape
    best, energy = 0, -1.0
    for i in range(rows):
        norm = 0.0
        for j in range(cols):
            norm += _abs2(block[i, j])
        if norm > energy:
            best, energy = i, norm
    # start: the Gram matrix times the unit vector of the largest row, plus a little of everything, since
    # a sparse block may have an invariant subspace that holds this row and not the dominant direction
    for j in range(cols):
        image[j] = np.conj(block[best, j])
    for i in range(rows):
        tilt = 0.05 + 0.1 * ((i * 0.6180339887498949 + 0.1) % 1.0)
        for j in range(cols):
            image[j] += tilt * np.conj(block[i, j])
    length = 0.0
    for i in range(rows):
        dot = block[0, 0] * 0.0
        for j in range(cols):
            dot += block[i, j] * image[j]
        basis[0, i] = dot
        length += _abs2(dot)
    length = 1.0 / np.sqrt(length)
    for i in range(rows):
        basis[0, i] *= length
    explicit = False
    for k in range(rows):
        if k == 5 and not explicit:
            explicit = True
            for i in range(rows):
                for r in range(i + 1):
                    dot = block[0, 0] * 0.0
                    for j in range(cols):
                        dot += block[i, j] * np.conj(block[r, j])
                    gram[i, r] = dot
                    gram[r, i] = np.conj(dot)
        q = basis[k]
        if explicit:
            for i in range(rows):
                dot = block[0, 0] * 0.0
                for r in range(rows):
                    dot += gram[i, r] * q[r]
                p[i] = dot
        else:
            for j in range(cols):
                image[j] = 0.0
            for i in range(rows):
                qi = np.conj(q[i])
                for j in range(cols):
                    image[j] += qi * block[i, j]
            for i in range(rows):
                dot = block[0, 0] * 0.0
                for j in range(cols):
                    dot += block[i, j] * np.conj(image[j])
                p[i] = dot
        a = 0.0
        for i in range(rows):
            a += (np.conj(q[i]) * p[i]).real
        alpha[k] = a
        for i in range(rows):
            p[i] -= a * q[i]
        if k > 0:
            for i in range(rows):
                p[i] -= beta[k - 1] * basis[k - 1, i]
        for m in range(k + 1):  # full reorthogonalisation
            dot = block[0, 0] * 0.0
            for i in range(rows):
                dot += np.conj(basis[m, i]) * p[i]
            for i in range(rows):
                p[i] -= dot * basis[m, i]
        b = 0.0
        for i in range(rows):
            b += _abs2(p[i])
        b = np.sqrt(b)
        last = k == rows - 1 or b <= 1e-14 * abs(alpha[0])
        if last or k % 3 == 2:
            theta = _top_of_tridiagonal(alpha, beta, k + 1, s, d, e)
            if last or b * abs(s[k]) <= tol * theta:
                length = 0.0
                for i in range(rows):
                    dot = block[0, 0] * 0.0
                    for m in range(k + 1):
                        dot += basis[m, i] * s[m]
                    p[i] = dot
                    length += _abs2(dot)
                length = 1.0 / np.sqrt(length)
                for i in range(rows):
                    p[i] *= length
                return
        beta[k] = b
        b = 1.0 / b
        for i in range(rows):
            basis[k + 1, i] = p[i] * b


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def rank_one_blocks(z, flip, left, tol, x1, x2, lost, zero):  # type: ignore[no-untyped-def]
    """Best rank-one approximation of every block ``z[al, :, ka, mu, :, de]`` (b x c).

    The block is copied (transposed if ``flip``) so that the short side becomes its rows. With
    ``left`` the column vector, written to ``x1[al, :, mu, ka, de]``, has norm one and the scale is in
    the row vector ``x2[al, mu, ka, :, de]``; otherwise the reverse. ``lost[al]`` receives the
    energy of the explicit residuals; ``zero`` is a zero of the working type. Returns the energy.
    """
    n_a, b, n_k, n_m, c, n_d = z.shape
    rows, cols = (c, b) if flip else (b, c)
    block = np.empty((rows, cols), zero.dtype)
    gram = np.empty((rows, rows), zero.dtype)
    basis = np.empty((rows + 1, rows), zero.dtype)
    p = np.empty(rows, zero.dtype)
    w = np.empty(cols, zero.dtype)
    alpha, beta, s, d, e = np.empty(rows), np.empty(rows), np.empty(rows), np.empty(rows), np.empty(rows)
    for al in range(n_a):
        for ka in range(n_k):
            for mu in range(n_m):
                for de in range(n_d):
                    top = 0.0
                    for i in range(b):
                        for j in range(c):
                            entry = z[al, i, ka, mu, j, de]
                            top = max(top, abs(entry.real) + abs(entry.imag))
                            if flip:
                                block[j, i] = entry
                            else:
                                block[i, j] = entry
                    if top > 0.0:  # to the size of one: fourth powers are formed below
                        for i in range(rows):
                            for j in range(cols):
                                block[i, j] /= top
                        _dominant_left(block, gram, basis, p, w, alpha, beta, s, d, e, tol)
                    else:
                        for i in range(rows):
                            p[i] = 1.0 if i == 0 else 0.0
                    for j in range(cols):
                        w[j] = 0.0
                    for i in range(rows):
                        pi = np.conj(p[i])
                        for j in range(cols):
                            w[j] += pi * block[i, j]
                    rest, length = 0.0, 0.0
                    for i in range(rows):
                        pi = p[i]
                        for j in range(cols):
                            rest += _abs2(block[i, j] - pi * w[j])
                    lost[al] += rest * (top * top)
                    for j in range(cols):
                        length += _abs2(w[j])
                    # the unit vector: its entry of largest modulus is made real and positive
                    on_p = left != flip
                    length = np.sqrt(length)
                    if on_p:
                        phase = _phase_of_largest(p)
                        for i in range(rows):
                            p[i] *= np.conj(phase)
                        for j in range(cols):
                            w[j] *= phase * top
                    else:
                        if not length > 0.0:
                            w[0] = 1.0
                        phase = _phase_of_largest(w)
                        scale = 1.0 / length if length > 0.0 else 1.0
                        for i in range(rows):
                            p[i] *= length * phase * top
                        for j in range(cols):
                            w[j] *= scale * np.conj(phase)
                    if flip:
                        for i in range(b):
                            x1[al, i, mu, ka, de] = w[i]
                        for j in range(c):
                            x2[al, mu, ka, j, de] = p[j]
                    else:
                        for i in range(b):
                            x1[al, i, mu, ka, de] = p[i]
                        for j in range(c):
                            x2[al, mu, ka, j, de] = w[j]


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def _phase_of_largest(v):  # type: ignore[no-untyped-def]
    """Phase of the entry of largest modulus."""
    top, where = -1.0, 0
    for i in range(len(v)):
        m = _abs2(v[i])
        if m > top:
            top, where = m, i
    modulus = np.sqrt(max(top, 0.0))
    return v[where] / modulus if modulus > 0.0 else v[where] * 0.0 + 1.0


@njit(cache=True, nogil=True)
def fingerprint(words):  # type: ignore[no-untyped-def]
    """A checksum of 64-bit words that sees every single change and every exchange."""
    total = np.uint64(0)
    for i in range(np.uint64(len(words))):
        mixed = words[i] * np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(32)  # the high bits, where signs and exponents are, reach the low ones
        total += mixed * (np.uint64(2) * i + np.uint64(0x9E3779B97F4A7C15))
    return total
