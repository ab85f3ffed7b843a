"""Compiled products with a chain of Kronecker-sparse factors for a handful of vectors, and their gradients.

A factor ``x[a, b, c, d]`` maps ``v[i, k, l]`` to ``y[i, j, l] = sum_k x[i, j, k, l] v[i, k, l]``. The innermost
loop runs along memory: over ``l`` where ``d`` is large, over ``k`` where it is 1, so the factors are read once, in
the order in which they are stored. For one vector that is all the traffic there is.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["rows_backward", "rows_forward"]

# reassociation lets sums of products run in vector registers; NaN and infinity keep their meaning
_FAST = {"reassoc", "contract", "nsz"}


_LANES = 64  # partial sums kept apart, so that they add up in vector registers
TILE = 16


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def _apply(x, v, y):  # type: ignore[no-untyped-def]
    """``y = X v`` for one vector."""
    a, b, c, d = x.shape
    w, n = x.reshape(-1), np.uint64(d)
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
                r, total = np.uint64((i * b + j) * c), x.dtype.type(0)
                for k in range(np.uint64(c)):
                    total += w[r + k] * v[left + k]
                y[i * b + j] = total
        return
    if _LANES % d == 0 and c * d >= 2 * _LANES:
        lanes = np.empty(_LANES, x.dtype)
        for i in range(a):
            for j in range(b):
                _dots(w, np.uint64((i * b + j) * c * d), v, np.uint64(i * c * d), c * d, lanes)
                start = np.uint64((i * b + j) * d)
                for l in range(n):
                    y[start + l] = 0
                for u in range(_LANES):
                    y[start + np.uint64(u % d)] += lanes[u]
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
def _dots(w, r, v, q, size, lanes):  # type: ignore[no-untyped-def]
    """``lanes[u] = sum w[r + t] v[q + t]`` over ``t = u`` modulo the number of lanes."""
    full = size // _LANES
    for u in range(np.uint64(_LANES)):
        lanes[u] = w[r + u] * v[q + u]
    for _ in range(full - 1):
        r, q = r + np.uint64(_LANES), q + np.uint64(_LANES)
        for u in range(np.uint64(_LANES)):
            lanes[u] += w[r + u] * v[q + u]
    r, q = r + np.uint64(_LANES), q + np.uint64(_LANES)
    for u in range(np.uint64(size - full * _LANES)):
        lanes[u] += w[r + u] * v[q + u]


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def _pull_back(x, dy, dv):  # type: ignore[no-untyped-def]
    """``dv = X^T dy`` for one vector."""
    a, b, c, d = x.shape
    w, n = x.reshape(-1), np.uint64(d)
    if b == 2 and c == 2:
        for i in range(a):
            p, r = np.uint64(2 * i * d), np.uint64(4 * i * d)
            for l in range(n):
                y0, y1 = dy[p + l], dy[p + n + l]
                dv[p + l] = w[r + l] * y0 + w[r + n + n + l] * y1
                dv[p + n + l] = w[r + n + l] * y0 + w[r + n + n + n + l] * y1
        return
    for t in range(np.uint64(a * c * d)):
        dv[t] = 0
    for i in range(a):
        q = np.uint64(i * c * d)
        for j in range(b):
            start, r = np.uint64((i * b + j) * d), np.uint64((i * b + j) * c * d)
            if d == 1:
                weight = dy[start]
                for k in range(np.uint64(c)):
                    dv[q + k] += weight * w[r + k]
            elif d == 2:
                even, odd = dy[start], dy[start + np.uint64(1)]
                for k in range(c):
                    u = np.uint64(2 * k)
                    dv[q + u] += even * w[r + u]
                    dv[q + u + np.uint64(1)] += odd * w[r + u + np.uint64(1)]
            else:
                for k in range(c):
                    left, right = q + np.uint64(k * d), r + np.uint64(k * d)
                    for l in range(n):
                        dv[left + l] += w[right + l] * dy[start + l]


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def _outer(dx, dy, v, first):  # type: ignore[no-untyped-def]
    """``dx[i, j, k, l] = dy[i, j, l] v[i, k, l]``, added to what is there unless this is the first vector."""
    a, b, c, d = dx.shape
    w, n = dx.reshape(-1), np.uint64(d)
    if first:
        for t in range(np.uint64(a * b * c * d)):
            w[t] = 0
    if b == 2 and c == 2:
        for i in range(a):
            p, r = np.uint64(2 * i * d), np.uint64(4 * i * d)
            for l in range(n):
                y0, y1, v0, v1 = dy[p + l], dy[p + n + l], v[p + l], v[p + n + l]
                w[r + l] += y0 * v0
                w[r + n + l] += y0 * v1
                w[r + n + n + l] += y1 * v0
                w[r + n + n + n + l] += y1 * v1
        return
    for i in range(a):
        q = np.uint64(i * c * d)
        for j in range(b):
            start, r = np.uint64((i * b + j) * d), np.uint64((i * b + j) * c * d)
            if d == 1:
                weight = dy[start]
                for k in range(np.uint64(c)):
                    w[r + k] += weight * v[q + k]
            elif d == 2:
                even, odd = dy[start], dy[start + np.uint64(1)]
                for k in range(c):
                    u = np.uint64(2 * k)
                    w[r + u] += even * v[q + u]
                    w[r + u + np.uint64(1)] += odd * v[q + u + np.uint64(1)]
            else:
                for k in range(c):
                    left, right = q + np.uint64(k * d), r + np.uint64(k * d)
                    for l in range(n):
                        w[right + l] += dy[start + l] * v[left + l]


@njit(cache=True, nogil=True, error_model="numpy")
def rows_forward(factors, x, bias, y, inner):  # type: ignore[no-untyped-def]
    """``y[m] = X_1 ... X_L x[m] + bias`` for each row; what lies between the factors goes to ``inner[m]``.

    ``inner`` (rows, S) holds the outputs of ``X_L, ..., X_2`` one after another. An empty ``bias`` is none.
    """
    last = len(factors) - 1
    for m in range(x.shape[0]):
        v = x[m]
        start = 0
        for s in range(last, 0, -1):
            a, b, _, d = factors[s].shape
            w = inner[m, start : start + a * b * d]
            _apply(factors[s], v, w)
            start += a * b * d
            v = w
        _apply(factors[0], v, y[m])
        for j in range(len(bias)):
            y[m, j] += bias[j]


@njit(cache=True, nogil=True, error_model="numpy")
def rows_backward(factors, x, inner, dy, dx, gradients, wants_factors):  # type: ignore[no-untyped-def]
    """Gradients of `rows_forward` for ``dy`` (rows, M): ``dx`` (rows, N), and ``gradients`` shaped like the factors.

    ``inner`` is what the forward pass left; an empty ``dx`` is not wanted.
    """
    depth = len(factors)
    widest = 0
    for s in range(depth):
        a, b, c, d = factors[s].shape
        widest = max(widest, a * b * d, a * c * d)
    scratch = np.empty((2, widest), x.dtype)
    for m in range(x.shape[0]):
        above = dy[m]
        stop = inner.shape[1]
        for s in range(depth):
            a, _, c, d = factors[s].shape
            size = a * c * d
            bottom = s == depth - 1
            start = 0 if bottom else stop - size
            v = x[m] if bottom else inner[m, start:stop]
            if wants_factors:
                _outer(gradients[s], above, v, m == 0)
            if bottom:
                if len(dx):
                    _pull_back(factors[s], above, dx[m])
            else:
                below = scratch[s % 2, :size]
                _pull_back(factors[s], above, below)
                above = below
                stop = start


# -- tiles of a batch --------------------------------------------------------------------------------
#
# TILE vectors at a time are turned so that each feature holds TILE neighbours, go through the whole chain while they are in
# cache, and are turned back. The gradient runs the chain again instead of keeping what lies between the factors.


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def _tile_apply(x, v, y):  # type: ignore[no-untyped-def]
    """``y = X v`` for a tile: feature ``p`` is at ``v[p TILE : (p + 1) TILE]``.

    Two features of ``y`` and four of ``v`` at a time, so that most operands stay in registers.
    """
    a, b, c, d = x.shape
    if b == 2 and c == 2:
        _tile_apply_2x2(x, v, y)
        return
    w, n, step, row = x.reshape(-1), np.uint64(d), np.uint64(d * TILE), np.uint64(c * d)
    four = np.uint64(4) * n
    for i in range(a):
        for j in range(0, b, 2):
            for l in range(d):
                p, q = np.uint64(((i * b + j) * d + l) * TILE), np.uint64((i * c * d + l) * TILE)
                r = np.uint64((i * b + j) * c * d + l)
                if j + 1 == b:  # an odd one is left
                    for t in range(np.uint64(TILE)):
                        y[p + t] = 0
                    for _ in range(c):
                        w0 = w[r]
                        for t in range(np.uint64(TILE)):
                            y[p + t] += w0 * v[q + t]
                        r, q = r + n, q + step
                    continue
                o, s = p + step, r + row
                for t in range(np.uint64(TILE)):
                    y[p + t] = 0
                    y[o + t] = 0
                for _ in range(c // 4):
                    w0, w1, w2, w3 = w[r], w[r + n], w[r + n + n], w[r + n + n + n]
                    u0, u1, u2, u3 = w[s], w[s + n], w[s + n + n], w[s + n + n + n]
                    q1, q2, q3 = q + step, q + step + step, q + step + step + step
                    for t in range(np.uint64(TILE)):
                        v0, v1, v2, v3 = v[q + t], v[q1 + t], v[q2 + t], v[q3 + t]
                        y[p + t] += w0 * v0 + w1 * v1 + w2 * v2 + w3 * v3
                        y[o + t] += u0 * v0 + u1 * v1 + u2 * v2 + u3 * v3
                    r, s, q = r + four, s + four, q3 + step
                for _ in range(c % 4):
                    w0, u0 = w[r], w[s]
                    for t in range(np.uint64(TILE)):
                        y[p + t] += w0 * v[q + t]
                        y[o + t] += u0 * v[q + t]
                    r, s, q = r + n, s + n, q + step


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def _tile_apply_2x2(x, v, y):  # type: ignore[no-untyped-def]
    """`_tile_apply` for a factor of 2 x 2 blocks."""
    a, _, _, d = x.shape
    w, n, step = x.reshape(-1), np.uint64(d), np.uint64(d * TILE)
    for i in range(a):
        for l in range(d):
            p, r = np.uint64((2 * i * d + l) * TILE), np.uint64(4 * i * d + l)
            w0, w1, u0, u1 = w[r], w[r + n], w[r + n + n], w[r + n + n + n]
            for t in range(np.uint64(TILE)):
                v0, v1 = v[p + t], v[p + step + t]
                y[p + t] = w0 * v0 + w1 * v1
                y[p + step + t] = u0 * v0 + u1 * v1


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def _tile_pull_back(x, dy, v, dv, dx):  # type: ignore[no-untyped-def]
    """``dv = X^T dy`` and ``dx += dy v^T`` for a tile, by 2 x 2 blocks."""
    a, b, c, d = x.shape
    w, g = x.reshape(-1), dx.reshape(-1)
    n, step, row, two = np.uint64(d), np.uint64(d * TILE), np.uint64(c * d), np.uint64(2)
    zero = x.dtype.type(0)
    for t in range(np.uint64(a * c * d * TILE)):
        dv[t] = 0
    for i in range(a):
        for j in range(0, b, 2):
            for l in range(d):
                p, q = np.uint64(((i * b + j) * d + l) * TILE), np.uint64((i * c * d + l) * TILE)
                r = np.uint64((i * b + j) * c * d + l)
                if j + 1 == b:
                    for _ in range(c):
                        w0, s0 = w[r], zero
                        for t in range(np.uint64(TILE)):
                            s0 += dy[p + t] * v[q + t]
                            dv[q + t] += w0 * dy[p + t]
                        g[r] += s0
                        r, q = r + n, q + step
                    continue
                o, s = p + step, r + row
                for _ in range(c // 2):
                    w0, w1, u0, u1 = w[r], w[r + n], w[s], w[s + n]
                    s0, s1, s2, s3 = zero, zero, zero, zero
                    q1 = q + step
                    for t in range(np.uint64(TILE)):
                        y0, y1, v0, v1 = dy[p + t], dy[o + t], v[q + t], v[q1 + t]
                        s0 += y0 * v0
                        s1 += y0 * v1
                        s2 += y1 * v0
                        s3 += y1 * v1
                        dv[q + t] += w0 * y0 + u0 * y1
                        dv[q1 + t] += w1 * y0 + u1 * y1
                    g[r] += s0
                    g[r + n] += s1
                    g[s] += s2
                    g[s + n] += s3
                    r, s, q = r + two * n, s + two * n, q1 + step
                if c % 2:
                    w0, u0, s0, s2 = w[r], w[s], zero, zero
                    for t in range(np.uint64(TILE)):
                        y0, y1, v0 = dy[p + t], dy[o + t], v[q + t]
                        s0 += y0 * v0
                        s2 += y1 * v0
                        dv[q + t] += w0 * y0 + u0 * y1
                    g[r] += s0
                    g[s] += s2


@njit(cache=True, nogil=True, error_model="numpy")
def _load(x, start, width, v):  # type: ignore[no-untyped-def]
    """Rows ``start ... start + width`` of ``x``, turned into a tile."""
    for t in range(width):
        for i in range(x.shape[1]):
            v[i * TILE + t] = x[start + t, i]


@njit(cache=True, nogil=True, error_model="numpy")
def tiles_forward(factors, x, bias, y):  # type: ignore[no-untyped-def]
    """``y[m] = X_1 ... X_L x[m] + bias`` for each row, a tile of rows at a time."""
    depth = len(factors)
    widest = x.shape[1]
    for s in range(depth):
        a, b, _, d = factors[s].shape
        widest = max(widest, a * b * d)
    scratch = np.zeros((2, widest * TILE), x.dtype)
    for start in range(0, len(x), TILE):
        width = min(TILE, len(x) - start)
        _load(x, start, width, scratch[depth % 2])
        for s in range(depth - 1, -1, -1):
            _tile_apply(factors[s], scratch[(s + 1) % 2], scratch[s % 2])
        v = scratch[0]
        for t in range(width):
            for j in range(y.shape[1]):
                y[start + t, j] = v[j * TILE + t]
            for j in range(len(bias)):
                y[start + t, j] += bias[j]


@njit(cache=True, nogil=True, error_model="numpy")
def tiles_backward(factors, x, dy, dx, gradients):  # type: ignore[no-untyped-def]
    """Gradients of `tiles_forward`; ``gradients`` must be zero at the start, an empty ``dx`` is not wanted."""
    depth = len(factors)
    sizes = np.empty(depth + 1, np.int64)
    for s in range(depth):
        a, b, _, d = factors[s].shape
        sizes[s] = a * b * d * TILE
    sizes[depth] = x.shape[1] * TILE
    starts = np.zeros(depth + 2, np.int64)
    starts[1:] = np.cumsum(sizes)
    inside = np.zeros(starts[-1], x.dtype)  # the outputs of X_1, ..., X_L, and the input
    scratch = np.empty((2, sizes.max()), x.dtype)
    for start in range(0, len(x), TILE):
        width = min(TILE, len(x) - start)
        if width < TILE:
            inside[starts[depth] :] = 0
            scratch[0] = 0
        _load(x, start, width, inside[starts[depth] :])
        for s in range(depth - 1, 0, -1):
            _tile_apply(factors[s], inside[starts[s + 1] : starts[s + 2]], inside[starts[s] : starts[s + 1]])
        _load(dy, start, width, scratch[0])
        for s in range(depth):
            v = inside[starts[s + 1] : starts[s + 2]]
            _tile_pull_back(factors[s], scratch[s % 2], v, scratch[(s + 1) % 2], gradients[s])
        v = scratch[depth % 2]
        if len(dx):
            for t in range(width):
                for i in range(dx.shape[1]):
                    dx[start + t, i] = v[i * TILE + t]
