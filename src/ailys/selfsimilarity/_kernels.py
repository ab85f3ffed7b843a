"""Compiled loops: one level of the wavelet pyramid, sums of products over resampled blocks."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["block_products", "filter_level", "smooth_level"]


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
