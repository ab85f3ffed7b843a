"""Tables of JointExp: forward recursion over the quantiles, weights of the backward draws. Additions and products only.

All numbers are pairs (mantissa, exponent), see `_extended`. Layer j (from 0) holds the intervals ``start[j] <= i <= stop[j]``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from ._extended import normal, plus, times

__all__ = ["bridge_weights", "forward", "powers", "products", "run_weights", "two_sided"]

Pair = tuple[np.ndarray, np.ndarray]  # mantissas and exponents


@njit(cache=True, nogil=True)
def powers(qm: Any, qe: Any, count: Any) -> Pair:
    """q^0, ..., q^(count - 1)."""
    m, e = np.empty(count), np.empty(count, np.int64)
    cm, ce = 1.0, 0
    for k in range(count):
        m[k], e[k] = cm, ce
        cm, ce = times(cm, ce, qm, qe)
    return m, e


@njit(cache=True, nogil=True)
def products(m: Any, e: Any, m2: Any, e2: Any) -> Pair:
    """The products of two lists of pairs, entry by entry."""
    om, oe = np.empty(len(m)), np.empty(len(m), np.int64)
    for k in range(len(m)):
        om[k], oe[k] = times(m[k], e[k], m2[k], e2[k])
    return om, oe


@njit(cache=True, nogil=True)
def two_sided(
    first: Any, last: Any, ceiling: Any, am: Any, ae: Any, bm: Any, be: Any, pm: Any, pe: Any, om: Any, oe: Any
) -> None:
    """exp(-eta |i - c|) for first <= i <= last, with a = exp(-eta (ceil(c) - c)), b = exp(-eta (c - ceil(c) + 1))."""
    for i in range(first, last + 1):
        if i >= ceiling:
            om[i - first], oe[i - first] = times(am, ae, pm[i - ceiling], pe[i - ceiling])
        else:
            om[i - first], oe[i - first] = times(bm, be, pm[ceiling - 1 - i], pe[ceiling - 1 - i])


@njit(cache=True, nogil=True)
def _convolve(
    hm: Any,
    he: Any,
    first: Any,
    last: Any,
    jump: Any,
    lm: Any,
    le: Any,
    rm: Any,
    re: Any,
    pm: Any,
    pe: Any,
    out_first: Any,
    out_last: Any,
    om: Any,
    oe: Any,
) -> None:
    """B(i) = sum over i' < i of H(i') exp(-eta |i - i' - t|), with T = ``jump`` = max(1, ceil(t)).

    Left part, i' <= i - T: exp(-eta (T - t)) times a one-sided recursion. Right part, i - T < i' < i: exp(-eta (1 - T + t)) times the
    sum of H(i') q^(i' - s) over a window that starts at s = i - T + 1; cut into blocks as long as the window, it is a suffix of one
    block and a prefix of the next.
    """
    qm, qe = pm[1], pe[1]
    cm, ce = 0.0, 0
    s = first
    for i in range(out_first, out_last + 1):
        while s <= i - jump:
            cm, ce = times(cm, ce, qm, qe)
            if s <= last:
                cm, ce = plus(cm, ce, hm[s - first], he[s - first])
            s += 1
        om[i - out_first], oe[i - out_first] = times(cm, ce, lm, le)
    width = jump - 1
    if width == 0:
        return
    base = min(first, out_first - jump + 1)
    length = last - base + 1
    if length <= 0:
        return
    sm, se = np.empty(length), np.empty(length, np.int64)
    um, ue = np.empty(length), np.empty(length, np.int64)
    block = 0
    while block < length:
        end = min(block + width, length)
        cm, ce = 0.0, 0
        for k in range(end - 1, block - 1, -1):
            cm, ce = times(cm, ce, qm, qe)
            if base + k >= first:
                cm, ce = plus(cm, ce, hm[base + k - first], he[base + k - first])
            sm[k], se[k] = cm, ce
        cm, ce = 0.0, 0
        for k in range(block, end):
            if base + k >= first:
                tm, te = times(hm[base + k - first], he[base + k - first], pm[k - block], pe[k - block])
                cm, ce = plus(cm, ce, tm, te)
            um[k], ue[k] = cm, ce
        block = end
    for i in range(out_first, out_last + 1):
        k = i - jump + 1 - base
        if k >= length:
            break
        cm, ce = sm[k], se[k]
        border = (k // width + 1) * width  # start of the next block
        tip = min(i - 1 - base, length - 1)
        if tip >= border:
            tm, te = times(um[tip], ue[tip], pm[border - k], pe[border - k])
            cm, ce = plus(cm, ce, tm, te)
        cm, ce = times(cm, ce, rm, re)
        om[i - out_first], oe[i - out_first] = plus(om[i - out_first], oe[i - out_first], cm, ce)


@njit(cache=True, nogil=True)
def forward(
    edges: Any,
    start: Any,
    stop: Any,
    ceiling: Any,
    jump: Any,
    am: Any,
    ae: Any,
    bm: Any,
    be: Any,
    lm: Any,
    le: Any,
    rm: Any,
    re: Any,
    tm: Any,
    te: Any,
    pm: Any,
    pe: Any,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Tables B and H of all layers: (layers, width) mantissas and exponents.

    a, b (of the first layer) as in `two_sided`; l, r, jump as in `_convolve`, entry j for the step from layer j - 1 to j;
    t[j] = exp(-eta t_j).
    """
    layers = len(start)
    width = 0
    for j in range(layers):
        width = max(width, stop[j] - start[j] + 1)
    Bm, Be = np.zeros((layers, width)), np.zeros((layers, width), np.int64)
    Hm, He = np.zeros((layers, width)), np.zeros((layers, width), np.int64)
    for j in range(layers):
        if j == 0:
            two_sided(start[0], stop[0], ceiling, am, ae, bm, be, pm, pe, Bm[0], Be[0])
        else:
            _convolve(
                Hm[j - 1], He[j - 1], start[j - 1], stop[j - 1], jump[j], lm[j], le[j], rm[j], re[j], pm, pe, start[j], stop[j],
                Bm[j], Be[j],
            )  # fmt: skip
        for i in range(start[j], stop[j] + 1):
            w = float(edges[i + 1] - edges[i])
            if w <= 0.0:
                continue
            wm, we = normal(w)
            deepest = 0
            while deepest < j and start[j - deepest - 1] <= i <= stop[j - deepest - 1]:
                deepest += 1
            cm, ce = 0.0, 0
            for k in range(deepest, -1, -1):
                if k < deepest:
                    cm, ce = times(cm, ce, tm[j - k], te[j - k])
                    cm, ce = times(cm, ce, wm / (k + 2), we)
                l = j - k
                cm, ce = plus(cm, ce, Bm[l, i - start[l]], Be[l, i - start[l]])
            Hm[j, i - start[j]], He[j, i - start[j]] = times(cm, ce, wm, we)
    return Bm, Be, Hm, He


@njit(cache=True, nogil=True)
def run_weights(Bm: Any, Be: Any, start: Any, stop: Any, j: Any, i: Any, w: Any, tm: Any, te: Any) -> Pair:
    """Terms of H_j(i) by length of the run of quantiles that share the interval i: lengths 1, 2, ..."""
    m, e = np.zeros(j + 1), np.zeros(j + 1, np.int64)
    wm, we = normal(w)
    fm, fe = wm, we
    count = 0
    for k in range(j + 1):
        l = j - k
        if not start[l] <= i <= stop[l]:
            break
        m[k], e[k] = times(Bm[l, i - start[l]], Be[l, i - start[l]], fm, fe)
        count += 1
        fm, fe = times(fm, fe, tm[l], te[l])
        fm, fe = times(fm, fe, wm / (k + 2), we)
    return m[:count], e[:count]


@njit(cache=True, nogil=True)
def bridge_weights(
    hm: Any, he: Any, first: Any, last: Any, i: Any, jump: Any, lm: Any, le: Any, rm: Any, re: Any, pm: Any, pe: Any
) -> Pair:
    """H(i') exp(-eta |i - i' - t|) for the i' < i of a layer."""
    top = min(last, i - 1)
    count = max(top - first + 1, 0)
    m, e = np.empty(count), np.empty(count, np.int64)
    for k in range(count):
        gap = i - (first + k)
        if gap >= jump:
            cm, ce = times(pm[gap - jump], pe[gap - jump], lm, le)
        else:
            cm, ce = times(pm[jump - 1 - gap], pe[jump - 1 - gap], rm, re)
        m[k], e[k] = times(hm[k], he[k], cm, ce)
    return m, e
