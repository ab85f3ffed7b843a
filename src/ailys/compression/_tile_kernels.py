"""Compiled products with a chain of Kronecker-sparse factors for a batch of vectors, and their gradients.

A tile of vectors, turned so that each feature holds its neighbours in the batch (its *lanes*), goes through the whole chain
while it is in cache, and is turned back. The gradient runs the chain again instead of keeping what lies between the
factors. Feature ``(i, k, l)`` of the input of a factor ``x[a, b, c, d]`` starts at ``((i c + k) d + l) lanes``.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ._lanes import WIDTH, fma, load, numbers_at, spread, store, total, transposed, zeros

__all__ = ["tiles_backward", "tiles_forward"]

_PAIR = 2 * WIDTH  # lanes that go together through the innermost loops: tiles are multiples of it
_MOST = 64  # lanes of a tile
_CACHE = 2**17  # numbers of a tile that stay in the second cache


@njit(cache=True, nogil=True, error_model="numpy")
def _product(w, start, row, col, rows, cols, v, q, y, p, step, lanes, near):  # type: ignore[no-untyped-def]
    """``y[j] = sum_k w[start + j row + k col] v[k]`` for features ``step`` apart that begin at ``p`` and ``q``."""
    for t in range(0, lanes, _PAIR):
        for k in range(cols):  # side by side: far apart they would fall on the same places of the cache
            store(load(v, q + k * step + t), near, k * _PAIR)
            store(load(v, q + k * step + t + WIDTH), near, k * _PAIR + WIDTH)
        for j in range(0, rows - 3, 4):
            a0, a1, a2, a3 = zeros(w), zeros(w), zeros(w), zeros(w)
            b0, b1, b2, b3 = zeros(w), zeros(w), zeros(w), zeros(w)
            r, u = start + j * row, 0
            for _ in range(cols):
                v0, v1 = load(near, u), load(near, u + WIDTH)
                w0, w1, w2, w3 = spread(w, r), spread(w, r + row), spread(w, r + 2 * row), spread(w, r + 3 * row)
                a0, a1, a2, a3 = fma(w0, v0, a0), fma(w1, v0, a1), fma(w2, v0, a2), fma(w3, v0, a3)
                b0, b1, b2, b3 = fma(w0, v1, b0), fma(w1, v1, b1), fma(w2, v1, b2), fma(w3, v1, b3)
                r += col
                u += _PAIR
            o = p + j * step + t
            store(a0, y, o)
            store(b0, y, o + WIDTH)
            store(a1, y, o + step)
            store(b1, y, o + step + WIDTH)
            store(a2, y, o + 2 * step)
            store(b2, y, o + 2 * step + WIDTH)
            store(a3, y, o + 3 * step)
            store(b3, y, o + 3 * step + WIDTH)
        for j in range(rows - rows % 4, rows):
            a0, b0 = zeros(w), zeros(w)
            r, u = start + j * row, 0
            for _ in range(cols):
                w0 = spread(w, r)
                a0, b0 = fma(w0, load(near, u), a0), fma(w0, load(near, u + WIDTH), b0)
                r += col
                u += _PAIR
            store(a0, y, p + j * step + t)
            store(b0, y, p + j * step + t + WIDTH)


@njit(cache=True, nogil=True, error_model="numpy")
def _outer(g, start, row, col, rows, cols, dy, p, v, q, step, lanes):  # type: ignore[no-untyped-def]
    """``g[start + j row + k col] += <dy[j], v[k]>`` over the lanes."""
    for j in range(0, rows - 1, 2):
        for k in range(0, cols - 3, 4):
            a0, a1, a2, a3 = zeros(g), zeros(g), zeros(g), zeros(g)
            b0, b1, b2, b3 = zeros(g), zeros(g), zeros(g), zeros(g)
            o, u = p + j * step, q + k * step
            for _ in range(0, lanes, WIDTH):
                y0, y1 = load(dy, o), load(dy, o + step)
                v0, v1, v2, v3 = load(v, u), load(v, u + step), load(v, u + 2 * step), load(v, u + 3 * step)
                a0, a1, a2, a3 = fma(y0, v0, a0), fma(y0, v1, a1), fma(y0, v2, a2), fma(y0, v3, a3)
                b0, b1, b2, b3 = fma(y1, v0, b0), fma(y1, v1, b1), fma(y1, v2, b2), fma(y1, v3, b3)
                o += WIDTH
                u += WIDTH
            r = start + j * row + k * col
            g[r] += total(a0)
            g[r + col] += total(a1)
            g[r + 2 * col] += total(a2)
            g[r + 3 * col] += total(a3)
            r += row
            g[r] += total(b0)
            g[r + col] += total(b1)
            g[r + 2 * col] += total(b2)
            g[r + 3 * col] += total(b3)
    for j in range(rows):  # what four columns and two rows leave over
        for k in range(cols - cols % 4 if j < rows - rows % 2 else 0, cols):
            a0 = zeros(g)
            for t in range(0, lanes, WIDTH):
                a0 = fma(load(dy, p + j * step + t), load(v, q + k * step + t), a0)
            g[start + j * row + k * col] += total(a0)


@njit(cache=True, nogil=True, error_model="numpy")
def _apply(w, shape, v, y, lanes):  # type: ignore[no-untyped-def]
    """``y = X v`` for a tile."""
    a, b, c, d = shape[0], shape[1], shape[2], shape[3]
    step, near = d * lanes, np.empty(max(b, c) * _PAIR, w.dtype)
    for i in range(a):
        for l in range(d):
            p, q, r = ((i * b) * d + l) * lanes, ((i * c) * d + l) * lanes, i * b * c * d + l
            if b == 2 and c == 2:  # the factors of a dyadic butterfly
                w0, w1, u0, u1 = spread(w, r), spread(w, r + d), spread(w, r + 2 * d), spread(w, r + 3 * d)
                for t in range(0, lanes, WIDTH):
                    v0, v1 = load(v, q + t), load(v, q + step + t)
                    store(fma(w0, v0, fma(w1, v1, zeros(w))), y, p + t)
                    store(fma(u0, v0, fma(u1, v1, zeros(w))), y, p + step + t)
            else:
                _product(w, r, c * d, d, b, c, v, q, y, p, step, lanes, near)


@njit(cache=True, nogil=True, error_model="numpy")
def _pull_back(w, shape, dy, v, dv, wants_v, g, lanes):  # type: ignore[no-untyped-def]
    """``dv = X^T dy``, if it is wanted, and ``g += dy v^T`` for a tile; an empty ``g`` is not wanted."""
    a, b, c, d = shape[0], shape[1], shape[2], shape[3]
    step, near = d * lanes, np.empty(max(b, c) * _PAIR, w.dtype)
    for i in range(a):
        for l in range(d):
            p, q, r = ((i * b) * d + l) * lanes, ((i * c) * d + l) * lanes, i * b * c * d + l
            if b == 2 and c == 2 and g.size > 0:
                w0, w1, u0, u1 = spread(w, r), spread(w, r + d), spread(w, r + 2 * d), spread(w, r + 3 * d)
                s0, s1, s2, s3 = zeros(w), zeros(w), zeros(w), zeros(w)
                for t in range(0, lanes, WIDTH):
                    y0, y1 = load(dy, p + t), load(dy, p + step + t)
                    v0, v1 = load(v, q + t), load(v, q + step + t)
                    s0, s1, s2, s3 = fma(y0, v0, s0), fma(y0, v1, s1), fma(y1, v0, s2), fma(y1, v1, s3)
                    store(fma(w0, y0, fma(u0, y1, zeros(w))), dv, q + t)
                    store(fma(w1, y0, fma(u1, y1, zeros(w))), dv, q + step + t)
                g[r] += total(s0)
                g[r + d] += total(s1)
                g[r + 2 * d] += total(s2)
                g[r + 3 * d] += total(s3)
                continue
            if wants_v:
                _product(w, r, d, c * d, c, b, dy, p, dv, q, step, lanes, near)
            if g.size > 0:
                _outer(g, r, c * d, d, b, c, dy, p, v, q, step, lanes)


@njit(cache=True, nogil=True, error_model="numpy")
def _turn(x, p, row, height, width, y, q, col):  # type: ignore[no-untyped-def]
    """Transpose: ``y[q + i col + t] = x[p + t row + i]`` for ``t < height`` and ``i < width``."""
    tall, wide = height - height % WIDTH, width - width % WIDTH
    for i in range(0, wide, WIDTH):
        for t in range(0, tall, WIDTH):
            o, u = p + t * row + i, q + i * col + t
            block = transposed(
                (
                    load(x, o),
                    load(x, o + row),
                    load(x, o + 2 * row),
                    load(x, o + 3 * row),
                    load(x, o + 4 * row),
                    load(x, o + 5 * row),
                    load(x, o + 6 * row),
                    load(x, o + 7 * row),
                )
            )
            store(block[0], y, u)
            store(block[1], y, u + col)
            store(block[2], y, u + 2 * col)
            store(block[3], y, u + 3 * col)
            store(block[4], y, u + 4 * col)
            store(block[5], y, u + 5 * col)
            store(block[6], y, u + 6 * col)
            store(block[7], y, u + 7 * col)
    for t in range(height):  # what is left over at two sides
        for i in range(wide if t < tall else 0, width):
            y[q + i * col + t] = x[p + t * row + i]


@njit(cache=True, nogil=True, error_model="numpy")
def _into_tile(x, start, width, features, v, lanes):  # type: ignore[no-untyped-def]
    """Rows ``start ... start + width`` of ``x`` (batch, features) as a tile; the lanes left over hold zeros."""
    _turn(x, start * features, features, width, features, v, 0, lanes)
    if width < lanes:
        for i in range(features):
            for t in range(width, lanes):
                v[i * lanes + t] = 0


@njit(cache=True, nogil=True, error_model="numpy")
def _lanes_for(batch, features):  # type: ignore[no-untyped-def]
    """Vectors in a tile: as even as they come, no more than the cache holds."""
    most = min(_MOST, max(_PAIR, _CACHE // features // _PAIR * _PAIR))
    tiles = (batch + most - 1) // most
    return (batch + tiles * _PAIR - 1) // (tiles * _PAIR) * _PAIR


@njit(cache=True, nogil=True, error_model="numpy")
def _widest(shapes):  # type: ignore[no-untyped-def]
    widest = 0
    for s in range(len(shapes)):
        widest = max(widest, shapes[s, 4], shapes[s, 5])
    return widest


@njit(cache=True, nogil=True, error_model="numpy")
def tiles_forward(like, batch, x, bias, y, factors, shapes):  # type: ignore[no-untyped-def]
    """``y[m] = X_1 ... X_L x[m] + bias`` for each row, a tile of rows at a time.

    ``x``, ``bias``, ``y`` and the entries of ``factors`` are addresses of numbers of the type of ``like``; ``shapes`` (L, 6)
    holds the sizes a, b, c, d, rows and columns of each factor. A ``bias`` of 0 is none.
    """
    depth = len(shapes)
    rows, cols, widest = shapes[0, 4], shapes[depth - 1, 5], _widest(shapes)
    source, target = numbers_at(x, batch * cols, like), numbers_at(y, batch * rows, like)
    shift = numbers_at(bias, rows if bias else 0, like)
    most = _lanes_for(batch, 2 * widest)
    scratch = np.empty((2, widest * most), like.dtype)
    for start in range(0, batch, most):
        width = min(most, batch - start)
        lanes = (width + _PAIR - 1) // _PAIR * _PAIR
        _into_tile(source, start, width, cols, scratch[depth % 2], lanes)
        for s in range(depth - 1, -1, -1):
            w = numbers_at(factors[s], shapes[s, 4] * shapes[s, 2], like)
            _apply(w, shapes[s], scratch[(s + 1) % 2], scratch[s % 2], lanes)
        v = scratch[0]
        for j in range(shift.size):
            for t in range(lanes):
                v[j * lanes + t] += shift[j]
        _turn(v, 0, lanes, rows, width, target, start * rows, rows)


@njit(cache=True, nogil=True, error_model="numpy")
def tiles_backward(like, batch, x, dy, dx, d_bias, factors, gradients, shapes):  # type: ignore[no-untyped-def]
    """Gradients of `tiles_forward`, at the addresses ``dx``, ``d_bias`` and ``gradients``; 0 is not wanted."""
    depth = len(shapes)
    rows, cols, widest = shapes[0, 4], shapes[depth - 1, 5], _widest(shapes)
    source, top = numbers_at(x, batch * cols, like), numbers_at(dy, batch * rows, like)
    below = numbers_at(dx, batch * cols if dx else 0, like)
    shift = numbers_at(d_bias, rows if d_bias else 0, like)
    starts = np.zeros(depth + 2, np.int64)  # of the outputs of X_1, ..., X_L, and of the input, for one vector
    for s in range(depth):
        starts[s + 1] = starts[s] + shapes[s, 4]
    starts[depth + 1] = starts[depth] + cols
    most = _lanes_for(batch, starts[depth + 1] + 2 * widest)
    inside = np.empty(starts[depth + 1] * most, like.dtype)
    scratch = np.empty((2, widest * most), like.dtype)
    for s in range(depth):
        numbers_at(gradients[s], shapes[s, 4] * shapes[s, 2] if gradients[s] else 0, like)[:] = 0
    shift[:] = 0
    for start in range(0, batch, most):
        width = min(most, batch - start)
        lanes = (width + _PAIR - 1) // _PAIR * _PAIR
        _into_tile(source, start, width, cols, inside[starts[depth] * lanes :], lanes)
        for s in range(depth - 1, 0, -1):
            w = numbers_at(factors[s], shapes[s, 4] * shapes[s, 2], like)
            _apply(w, shapes[s], inside[starts[s + 1] * lanes :], inside[starts[s] * lanes :], lanes)
        _into_tile(top, start, width, rows, scratch[0], lanes)
        for t in range(start * rows, (start + width) * rows, rows):
            for j in range(shift.size):
                shift[j] += top[t + j]
        for s in range(depth):
            w = numbers_at(factors[s], shapes[s, 4] * shapes[s, 2], like)
            g = numbers_at(gradients[s], shapes[s, 4] * shapes[s, 2] if gradients[s] else 0, like)
            above, dv, wants_v = scratch[s % 2], scratch[(s + 1) % 2], s < depth - 1 or below.size > 0
            _pull_back(w, shapes[s], above, inside[starts[s + 1] * lanes :], dv, wants_v, g, lanes)
        if below.size > 0:
            _turn(scratch[depth % 2], 0, lanes, cols, width, below, start * cols, cols)
