"""Compiled products with a chain of Kronecker-sparse factors for a handful of vectors, and their gradients.

A factor ``x[a, b, c, d]`` maps ``v[i, k, l]`` to ``y[i, j, l] = sum_k x[i, j, k, l] v[i, k, l]``. The innermost
loop runs along memory: over ``l`` where ``d`` is large, over ``k`` where it is 1, so the factors are read once, in
the order in which they are stored. For one vector that is all the traffic there is.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ._lanes import WIDTH, fma, load, numbers_at, store, zeros

__all__ = ["rows_backward", "rows_forward"]

# reassociation lets sums of products run in vector registers; NaN and infinity keep their meaning
_FAST = {"reassoc", "contract", "nsz"}


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def _apply(w, shape, v, y):  # type: ignore[no-untyped-def]
    """``y = X v`` for one vector."""
    a, b, c, d = shape[0], shape[1], shape[2], shape[3]
    n = np.uint64(d)
    if b == 2 and c == 2:  # the factors of a dyadic butterfly
        for i in range(a):
            p, r = np.uint64(2 * i * d), np.uint64(4 * i * d)
            for l in range(n):
                v0, v1 = v[p + l], v[p + n + l]
                y[p + l] = w[r + l] * v0 + w[r + n + l] * v1
                y[p + n + l] = w[r + n + n + l] * v0 + w[r + n + n + n + l] * v1
        return
    if d == 1:
        for i in range(a):
            left = np.uint64(i * c)
            for j in range(b):
                r, total = np.uint64((i * b + j) * c), w.dtype.type(0)
                for k in range(np.uint64(c)):
                    total += w[r + k] * v[left + k]
                y[i * b + j] = total
        return
    if d % WIDTH == 0:
        for i in range(a):
            for j in range(0, b - 3, 4):
                for l in range(0, d, WIDTH):
                    y0, y1, y2, y3 = zeros(w), zeros(w), zeros(w), zeros(w)
                    r, q = (i * b + j) * c * d + l, i * c * d + l
                    for _ in range(c):
                        x = load(v, q)
                        y0, y1 = fma(load(w, r), x, y0), fma(load(w, r + c * d), x, y1)
                        y2, y3 = fma(load(w, r + 2 * c * d), x, y2), fma(load(w, r + 3 * c * d), x, y3)
                        r += d
                        q += d
                    p = (i * b + j) * d + l
                    store(y0, y, p)
                    store(y1, y, p + d)
                    store(y2, y, p + 2 * d)
                    store(y3, y, p + 3 * d)
            for j in range(b - b % 4, b):
                for l in range(0, d, WIDTH):
                    y0, r, q = zeros(w), (i * b + j) * c * d + l, i * c * d + l
                    for _ in range(c):
                        y0 = fma(load(w, r), load(v, q), y0)
                        r += d
                        q += d
                    store(y0, y, (i * b + j) * d + l)
        return
    for i in range(a):
        for j in range(b):
            start, r, q = np.uint64((i * b + j) * d), np.uint64((i * b + j) * c * d), np.uint64(i * c * d)
            for l in range(n):
                y[start + l] = 0
            for _ in range(c // 4):  # four rows at a time: a quarter of the traffic to y
                for l in range(n):
                    y[start + l] += (
                        w[r + l] * v[q + l]
                        + w[r + n + l] * v[q + n + l]
                        + w[r + n + n + l] * v[q + n + n + l]
                        + w[r + n + n + n + l] * v[q + n + n + n + l]
                    )
                r, q = r + np.uint64(4) * n, q + np.uint64(4) * n
            for _ in range(c % 4):
                for l in range(n):
                    y[start + l] += w[r + l] * v[q + l]
                r, q = r + n, q + n


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def _pull_back_2x2(w, a, d, dy, v, dv, g):  # type: ignore[no-untyped-def]
    """`_pull_back` for a factor of 2 x 2 blocks."""
    for i in range(a):
        p, r = 2 * i * d, 4 * i * d
        whole = d - d % WIDTH
        for l in range(0, whole, WIDTH):
            o, s = p + l, r + l
            y0, y1, v0, v1 = load(dy, o), load(dy, o + d), load(v, o), load(v, o + d)
            w0, w1, u0, u1 = load(w, s), load(w, s + d), load(w, s + 2 * d), load(w, s + 3 * d)
            store(fma(w0, y0, fma(u0, y1, zeros(w))), dv, o)
            store(fma(w1, y0, fma(u1, y1, zeros(w))), dv, o + d)
            store(fma(y0, v0, load(g, s)), g, s)
            store(fma(y0, v1, load(g, s + d)), g, s + d)
            store(fma(y1, v0, load(g, s + 2 * d)), g, s + 2 * d)
            store(fma(y1, v1, load(g, s + 3 * d)), g, s + 3 * d)
        for l in range(whole, d):
            o, s = p + l, r + l
            y0, y1, v0, v1 = dy[o], dy[o + d], v[o], v[o + d]
            dv[o], dv[o + d] = w[s] * y0 + w[s + 2 * d] * y1, w[s + d] * y0 + w[s + 3 * d] * y1
            g[s] += y0 * v0
            g[s + d] += y0 * v1
            g[s + 2 * d] += y1 * v0
            g[s + 3 * d] += y1 * v1


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def _pull_back(w, shape, dy, v, dv, g):  # type: ignore[no-untyped-def]
    """``dv = X^T dy`` and ``g[i, j, k, l] += dy[i, j, l] v[i, k, l]`` for one vector."""
    a, b, c, d = shape[0], shape[1], shape[2], shape[3]
    if b == 2 and c == 2:
        _pull_back_2x2(w, a, d, dy, v, dv, g)
        return
    dv[:] = 0
    # the numbers dy[i, j, l] that meet a run of consecutive entries [k, l]: all of them, or few, repeated
    period = d if d % WIDTH == 0 else WIDTH
    run = np.empty(period, w.dtype)
    whole = c * d - c * d % WIDTH if d % WIDTH == 0 or WIDTH % d == 0 else 0
    for i in range(a):
        for j in range(b):
            p, q, r = (i * b + j) * d, i * c * d, (i * b + j) * c * d
            if whole:
                for t in range(period):
                    run[t] = dy[p + t % d]
            t = 0
            for s in range(0, whole, WIDTH):
                y = load(run, t)
                store(fma(y, load(w, r + s), load(dv, q + s)), dv, q + s)
                store(fma(y, load(v, q + s), load(g, r + s)), g, r + s)
                t = t + WIDTH if t + WIDTH < period else 0
            for s in range(whole, c * d):
                dv[q + s] += dy[p + s % d] * w[r + s]
                g[r + s] += dy[p + s % d] * v[q + s]


@njit(cache=True, nogil=True, error_model="numpy")
def rows_forward(like, batch, x, bias, y, inner, factors, shapes):  # type: ignore[no-untyped-def]
    """``y[m] = X_1 ... X_L x[m] + bias`` for each row; what lies between the factors goes to ``inner[m]``.

    ``x``, ``bias``, ``y``, ``inner`` and the entries of ``factors`` are addresses of numbers of the type of ``like``; ``shapes``
    (L, 6) holds the sizes a, b, c, d, rows and columns of each factor. ``inner`` (rows, S) takes the outputs of ``X_L, ..., X_2`` one after another. A ``bias`` of 0 is none.
    """
    last, rows, cols, between = len(shapes) - 1, shapes[0, 4], shapes[-1, 5], 0
    for s in range(1, last + 1):
        between += shapes[s, 4]
    source, target = numbers_at(x, batch * cols, like), numbers_at(y, batch * rows, like)
    kept, shift = numbers_at(inner, batch * between, like), numbers_at(bias, rows if bias else 0, like)
    for m in range(batch):
        v, start = source[m * cols : (m + 1) * cols], m * between
        for s in range(last, -1, -1):
            above = kept[start : start + shapes[s, 4]] if s else target[m * rows : (m + 1) * rows]
            _apply(numbers_at(factors[s], shapes[s, 4] * shapes[s, 2], like), shapes[s], v, above)
            start += shapes[s, 4]
            v = above
        for j in range(shift.size):
            v[j] += shift[j]


@njit(cache=True, nogil=True, error_model="numpy")
def rows_backward(like, batch, x, inner, dy, dx, d_bias, factors, gradients, shapes):  # type: ignore[no-untyped-def]
    """Gradients of `rows_forward` at the addresses ``dx``, ``d_bias`` and ``gradients``; ``inner`` is what it left.

    A ``dx`` or ``d_bias`` of 0 is not wanted.
    """
    last, rows, cols, between, widest = len(shapes) - 1, shapes[0, 4], shapes[-1, 5], 0, 0
    for s in range(last + 1):
        between += shapes[s, 4] if s else 0
        widest = max(widest, shapes[s, 5])
    source, top = numbers_at(x, batch * cols, like), numbers_at(dy, batch * rows, like)
    kept, shift = numbers_at(inner, batch * between, like), numbers_at(d_bias, rows if d_bias else 0, like)
    bottom = numbers_at(dx, batch * cols if dx else 0, like)
    scratch = np.empty((2, widest), like.dtype)
    for s in range(last + 1):
        numbers_at(gradients[s], shapes[s, 4] * shapes[s, 2], like)[:] = 0
    shift[:] = 0
    for m in range(batch):
        above = top[m * rows : (m + 1) * rows]
        for j in range(shift.size):
            shift[j] += above[j]
        stop = (m + 1) * between
        for s in range(last + 1):
            size = shapes[s, 4] * shapes[s, 2]
            v = kept[stop - shapes[s, 5] : stop] if s < last else source[m * cols : (m + 1) * cols]
            below = bottom[m * cols : (m + 1) * cols] if dx and s == last else scratch[s % 2, : shapes[s, 5]]
            w, g = numbers_at(factors[s], size, like), numbers_at(gradients[s], size, like)
            _pull_back(w, shapes[s], above, v, below, g)
            above = below
            stop -= shapes[s, 5]
