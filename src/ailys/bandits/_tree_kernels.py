"""Compiled trees of HOO and HCT: descend by the largest bound, update the path.

``cells`` (capacity, 3 + 2 D): sum of rewards, U, B, low corner, high corner; ``links`` (capacity, 4): depth, draws, parent,
first child (-1: leaf). ``params``: nu, rho, width, horizon, largest depth, arity, kind (0 HOO, 1 HCT).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

SUM, UPPER, BOUND, BOX = 0, 1, 2, 3
DEPTH, DRAWS, PARENT, CHILD = 0, 1, 2, 3
HOO, HCT = 0.0, 1.0


@njit(cache=True, nogil=True, error_model="numpy")
def _threshold(depth, t, params):  # type: ignore[no-untyped-def]
    """Draws after which HCT splits a cell of this depth."""
    nu, rho, width = params[0], params[1], params[2]
    return width * width * _confidence(t, params) * rho ** (-2.0 * depth) / (nu * nu)


@njit(cache=True, nogil=True, error_model="numpy")
def _confidence(t, params):  # type: ignore[no-untyped-def]
    """``ln(1 / delta(t+))`` with t+ the next power of two."""
    if params[6] == HOO:
        return 2.0 * math.log(params[3])
    return math.log(2.0 ** math.ceil(math.log2(max(t, 2.0))) / params[3])


@njit(cache=True, nogil=True, error_model="numpy")
def descend(cells, links, t, params, scales, point):  # type: ignore[no-untyped-def]
    """The cell to sample: a leaf, or for HCT a cell that has not been drawn often enough to be split."""
    i = 0
    arity = int(params[5])
    while links[i, CHILD] >= 0:
        if params[6] == HCT and links[i, DRAWS] < _threshold(links[i, DEPTH], t, params):
            break
        first = links[i, CHILD]
        best = first
        for c in range(first + 1, first + arity):
            if cells[c, BOUND] > cells[best, BOUND]:
                best = c
        i = best
    d = scales.size
    for k in range(d):
        point[k] = 0.5 * (cells[i, BOX + k] + cells[i, BOX + d + k])
    return i


@njit(cache=True, nogil=True, error_model="numpy")
def _upper(i, cells, links, t, params):  # type: ignore[no-untyped-def]
    n = links[i, DRAWS]
    if n == 0:
        return np.inf
    bonus = params[2] * math.sqrt(_confidence(t, params) / n)
    return cells[i, SUM] / n + bonus + params[0] * params[1] ** links[i, DEPTH]


@njit(cache=True, nogil=True, error_model="numpy")
def split(i, size, cells, links, params, scales):  # type: ignore[no-untyped-def]
    """Children of cell i along its longest side; returns the new number of cells."""
    d, arity = scales.size, int(params[5])
    axis, longest = 0, -1.0
    for k in range(d):
        side = (cells[i, BOX + d + k] - cells[i, BOX + k]) / scales[k]
        if side > longest * (1.0 + 1e-12):
            axis, longest = k, side
    step = (cells[i, BOX + d + axis] - cells[i, BOX + axis]) / arity
    links[i, CHILD] = size
    for c in range(arity):
        j = size + c
        cells[j, SUM], cells[j, UPPER], cells[j, BOUND] = 0.0, np.inf, np.inf
        for k in range(2 * d):
            cells[j, BOX + k] = cells[i, BOX + k]
        cells[j, BOX + axis] = cells[i, BOX + axis] + c * step
        if c < arity - 1:
            cells[j, BOX + d + axis] = cells[i, BOX + axis] + (c + 1) * step
        links[j, DEPTH], links[j, DRAWS], links[j, PARENT], links[j, CHILD] = links[i, DEPTH] + 1, 0, i, -1
    return size + arity


@njit(cache=True, nogil=True, error_model="numpy")
def _bound(i, cells, links, arity):  # type: ignore[no-untyped-def]
    if links[i, CHILD] < 0:
        return cells[i, UPPER]
    top = -np.inf
    for c in range(links[i, CHILD], links[i, CHILD] + arity):
        top = max(top, cells[c, BOUND])
    return min(cells[i, UPPER], top)


@njit(cache=True, nogil=True, error_model="numpy")
def update(i, reward, t, size, cells, links, params, scales):  # type: ignore[no-untyped-def]
    """Count a reward of cell i, split it if it is time, refresh the bounds of its path; returns the number of cells."""
    arity = int(params[5])
    if params[6] == HOO:  # a cell's mean is that of all draws inside it
        j = i
        while j >= 0:
            links[j, DRAWS] += 1
            cells[j, SUM] += reward
            cells[j, UPPER] = _upper(j, cells, links, t, params)
            j = links[j, PARENT]
        if links[i, CHILD] < 0 and links[i, DEPTH] < params[4]:
            size = split(i, size, cells, links, params, scales)
    else:
        links[i, DRAWS] += 1
        cells[i, SUM] += reward
        root = math.log2(t)
        if t >= 2.0 and root == math.floor(root):  # the confidence changes at powers of two: all bounds anew
            for j in range(size - 1, -1, -1):  # children come after their parents
                cells[j, UPPER] = _upper(j, cells, links, t, params)
                cells[j, BOUND] = _bound(j, cells, links, arity)
        cells[i, UPPER] = _upper(i, cells, links, t, params)
        if (
            links[i, CHILD] < 0
            and links[i, DEPTH] < params[4]
            and links[i, DRAWS] >= _threshold(links[i, DEPTH], t, params)
        ):
            size = split(i, size, cells, links, params, scales)
    j = i
    while j >= 0:
        cells[j, BOUND] = _bound(j, cells, links, arity)
        j = links[j, PARENT]
    return size
