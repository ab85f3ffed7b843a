"""Compiled loops: one level of the wavelet pyramid, sums of products over resampled blocks, the band of the dip."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["block_products", "filter_level", "one_mode_within", "smooth_level"]


@njit(cache=True, nogil=True)
def filter_level(
    a: np.ndarray, low: tuple[float, ...], high: tuple[float, ...], smooth: np.ndarray, detail: np.ndarray
) -> None:
    """Correlate ``a`` with both filters (tuples: their length is known to the compiler), every other output, no borders."""
    for k in range(smooth.shape[0]):
        s = 0.0
        d = 0.0
        for i in range(len(low)):
            v = a[2 * k + i]
            s += low[i] * v
            d += high[i] * v
        smooth[k] = s
        detail[k] = d


@njit(cache=True, nogil=True)
def smooth_level(a: np.ndarray, low: tuple[float, ...], smooth: np.ndarray) -> None:
    """The same without the details: octaves that nobody asked for."""
    for k in range(smooth.shape[0]):
        s = 0.0
        for i in range(len(low)):
            s += low[i] * a[2 * k + i]
        smooth[k] = s


@njit(cache=True, nogil=True)
def block_products(D: np.ndarray, starts: np.ndarray, run: int, block: int, out: np.ndarray) -> None:
    """Mean products of the coefficients in consecutive blocks of a resampled series.

    D : (n, M) coefficients; starts : (R, runs) first index of each run of ``run`` coefficients; the resampled series is the
    runs one after the other, cut to whole blocks; out : (R, q, M, M).
    """
    M = D.shape[1]
    for r in range(out.shape[0]):
        for b in range(out.shape[1]):
            S = out[r, b]
            for i in range(M):
                for l in range(i + 1):
                    S[i, l] = 0.0
            position, end = b * block, (b + 1) * block
            while position < end:
                first = starts[r, position // run] + position % run
                length = min(run - position % run, end - position)
                for t in range(first, first + length):
                    for i in range(M):
                        v = D[t, i]
                        for l in range(i + 1):
                            S[i, l] += v * D[t, l]
                position += length
            for i in range(M):
                for l in range(i + 1):
                    S[i, l] /= block
                    S[l, i] = S[i, l]


@njit(cache=True, nogil=True)
def one_mode_within(x: np.ndarray, before: np.ndarray, after: np.ndarray, d: float) -> bool:
    """Whether a distribution function with one mode, at one of the places ``x``, stays within ``d`` of an empirical one.

    x : (n,) increasing; before, after : (n,) the empirical function just before and at each place.
    Up to the mode the function is convex: at x[m] it is at least every line through an upper point (x[s], before[s] + d) and a
    later lower one (x[t], after[t] - d), and that is enough, as long as it stays below the upper points. From the mode on it
    is concave, which is the same seen from the other end. At the mode it may jump.
    """
    n = x.shape[0]
    least = np.empty(n)  # just before x[m], for convex functions
    most = np.empty(n)  # at x[m], for concave ones
    _least_convex(x, before, after, d, least)
    _least_convex(-x[::-1], 1.0 - after[::-1], 1.0 - before[::-1], d, most)
    for m in range(n):
        if least[m] <= before[m] + d and 1.0 - most[n - 1 - m] >= after[m] - d and least[m] <= 1.0 - most[n - 1 - m]:
            return True
    return False


@njit(cache=True, nogil=True)
def _least_convex(x: np.ndarray, before: np.ndarray, after: np.ndarray, d: float, least: np.ndarray) -> None:
    """Least value just before each place of a convex increasing function in the band; infinity where there is none."""
    n = x.shape[0]
    slopes = np.zeros(n)
    least[:] = np.inf
    for m in range(n):
        value = max(before[m] - d, 0.0)
        for t in range(m):
            value = max(value, max(after[t] - d, 0.0) + slopes[t] * (x[m] - x[t]))
        least[m] = value
        if max(value, after[m] - d) > before[m] + d:
            return  # none passes x[m]
        for s in range(m):
            slopes[m] = max(slopes[m], (after[m] - d - before[s] - d) / (x[m] - x[s]))
