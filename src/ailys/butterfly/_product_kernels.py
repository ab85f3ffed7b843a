"""Compiled products with chains of 2 x 2 butterfly factors, whole chains on data that stays in cache.

A factor of pattern ``(a, 2, 2, d)`` mixes the rows ``i 2d + l`` and ``i 2d + d + l`` of its input, in
place. ``vector_stages`` runs along a single vector; ``tile_stages`` on a tile of `TILE` vectors, with
two consecutive factors fused into one pass over four rows where they mesh (half the loads).
Weights are stored factor after factor as in the factors themselves: ``w[i, j, k, l]``.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ._kernels import FAST

TILE = 16


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _vector_stage(w, w0, v, a, d):  # type: ignore[no-untyped-def]
    """One factor on one vector, in place."""
    if d == 1:
        for i in range(np.uint64(a)):
            p = np.uint64(2) * i
            q = np.uint64(w0) + np.uint64(4) * i
            x = v[p]
            y = v[p + np.uint64(1)]
            v[p] = w[q] * x + w[q + np.uint64(1)] * y
            v[p + np.uint64(1)] = w[q + np.uint64(2)] * x + w[q + np.uint64(3)] * y
    else:
        n = np.uint64(d)
        for i in range(a):
            p = np.uint64(2 * d * i)
            q = np.uint64(w0 + 4 * d * i)
            for l in range(n):
                x = v[p + l]
                y = v[p + n + l]
                v[p + l] = w[q + l] * x + w[q + n + l] * y
                v[p + n + l] = w[q + n + n + l] * x + w[q + n + n + n + l] * y


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def vector_stages(x, y, w, starts, a, d):  # type: ignore[no-untyped-def]
    """``y[m] = X_1 ... X_L x[m]`` for each row ``m`` of ``x`` (vectors are rows)."""
    for m in range(x.shape[0]):
        v = y[m]
        for j in range(x.shape[1]):
            v[j] = x[m, j]
        for s in range(len(a) - 1, -1, -1):
            _vector_stage(w, starts[s], v, a[s], d[s])


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _tile_stage(w, w0, v, a, d):  # type: ignore[no-untyped-def]
    """One factor on a tile: row ``p`` of the tile is ``v[p TILE : (p + 1) TILE]``."""
    for i in range(a):
        for l in range(d):
            q = np.uint64(w0 + 4 * d * i + l)
            w00, w01 = w[q], w[q + np.uint64(d)]
            w10, w11 = w[q + np.uint64(2 * d)], w[q + np.uint64(3 * d)]
            p = np.uint64((2 * d * i + l) * TILE)
            r = p + np.uint64(d * TILE)
            for t in range(np.uint64(TILE)):
                x = v[p + t]
                y = v[r + t]
                v[p + t] = w00 * x + w01 * y
                v[r + t] = w10 * x + w11 * y


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _tile_stage_pair(w, near, far, near_first, v, a, d):  # type: ignore[no-untyped-def]
    """Factors ``(2 a, 2, 2, d)`` (near rows) and ``(a, 2, 2, 2 d)`` (far rows): four rows are loaded and stored once."""
    n, m = np.uint64(d), np.uint64(2 * d)
    step = np.uint64(d * TILE)
    for i in range(a):
        for l in range(d):
            g = np.uint64(near + 8 * d * i + l)
            h = g + np.uint64(4 * d)
            u00, u01, u10, u11 = w[g], w[g + n], w[g + n + n], w[g + n + n + n]  # rows 0 and 1
            z00, z01, z10, z11 = w[h], w[h + n], w[h + n + n], w[h + n + n + n]  # rows 2 and 3
            k = np.uint64(far + 8 * d * i + l)
            e = k + n
            s00, s01, s10, s11 = w[k], w[k + m], w[k + m + m], w[k + m + m + m]  # rows 0 and 2
            t00, t01, t10, t11 = w[e], w[e + m], w[e + m + m], w[e + m + m + m]  # rows 1 and 3
            p0 = np.uint64((4 * d * i + l) * TILE)
            p1 = p0 + step
            p2 = p1 + step
            p3 = p2 + step
            if near_first:
                for t in range(np.uint64(TILE)):
                    x0, x1, x2, x3 = v[p0 + t], v[p1 + t], v[p2 + t], v[p3 + t]
                    y0, y1 = u00 * x0 + u01 * x1, u10 * x0 + u11 * x1
                    y2, y3 = z00 * x2 + z01 * x3, z10 * x2 + z11 * x3
                    v[p0 + t], v[p2 + t] = s00 * y0 + s01 * y2, s10 * y0 + s11 * y2
                    v[p1 + t], v[p3 + t] = t00 * y1 + t01 * y3, t10 * y1 + t11 * y3
            else:
                for t in range(np.uint64(TILE)):
                    x0, x1, x2, x3 = v[p0 + t], v[p1 + t], v[p2 + t], v[p3 + t]
                    y0, y2 = s00 * x0 + s01 * x2, s10 * x0 + s11 * x2
                    y1, y3 = t00 * x1 + t01 * x3, t10 * x1 + t11 * x3
                    v[p0 + t], v[p1 + t] = u00 * y0 + u01 * y1, u10 * y0 + u11 * y1
                    v[p2 + t], v[p3 + t] = z00 * y2 + z01 * y3, z10 * y2 + z11 * y3


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _all_stages(w, starts, a, d, v):  # type: ignore[no-untyped-def]
    """The whole chain on a tile, two factors at a time where they mesh (in a chain or in its transpose)."""
    s = len(a) - 1
    while s >= 0:
        if s > 0 and a[s] == 2 * a[s - 1] and d[s - 1] == 2 * d[s]:
            _tile_stage_pair(w, starts[s], starts[s - 1], True, v, a[s - 1], d[s])
            s -= 2
        elif s > 0 and a[s - 1] == 2 * a[s] and d[s] == 2 * d[s - 1]:
            _tile_stage_pair(w, starts[s - 1], starts[s], False, v, a[s], d[s - 1])
            s -= 2
        else:
            _tile_stage(w, starts[s], v, a[s], d[s])
            s -= 1


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def tile_stages_last(x, y, w, starts, a, d):  # type: ignore[no-untyped-def]
    """``y = X_1 ... X_L x`` for the columns of ``x`` (features, batch)."""
    n, batch = x.shape
    v = np.zeros(n * TILE, y.dtype)
    for start in range(0, batch, TILE):
        width = min(TILE, batch - start)
        if width == TILE:
            for i in range(n):
                for t in range(TILE):
                    v[i * TILE + t] = x[i, start + t]
        else:
            for i in range(n):
                for t in range(width):
                    v[i * TILE + t] = x[i, start + t]
        _all_stages(w, starts, a, d, v)
        for i in range(n):
            for t in range(width):
                y[i, start + t] = v[i * TILE + t]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def tile_stages_first(x, y, w, starts, a, d):  # type: ignore[no-untyped-def]
    """``y[m] = X_1 ... X_L x[m]`` for the rows of ``x`` (batch, features), transposed tile by tile."""
    batch, n = x.shape
    v = np.zeros(n * TILE, y.dtype)
    for start in range(0, batch, TILE):
        width = min(TILE, batch - start)
        for t in range(width):
            for i in range(n):
                v[i * TILE + t] = x[start + t, i]
        _all_stages(w, starts, a, d, v)
        for t in range(width):
            for i in range(n):
                y[start + t, i] = v[i * TILE + t]
