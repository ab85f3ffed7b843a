"""Wavelet coefficients that see no border.

Daubechies filters with N vanishing moments, length L = 2 N, norm 1, decimated pyramid (Mallat 1989). Of n_a approximations
at one octave, m = (n_a - L) // 2 + 1 details and approximations of the next have their filter inside; the others are never formed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ..core.answer import Answer
from .validation import read_signal

__all__ = ["WaveletCoefficients", "coefficient_counts", "wavelet_coefficients"]

MOST_MOMENTS = 20


@dataclass(frozen=True, eq=False)
class WaveletCoefficients(Answer):
    """Details of each octave.

    Attributes
    ----------
    details : octave -> (M, n_j) coefficients D(2^j, k)
    counts : octave -> n_j
    vanishing_moments : N of the wavelet
    n_samples : length of the signal
    """

    details: Mapping[int, np.ndarray]
    counts: Mapping[int, int]
    vanishing_moments: int
    n_samples: int

    @property
    def octaves(self) -> tuple[int, ...]:
        """The octaves present."""
        return tuple(self.details)

    def facts(self) -> Mapping[str, Any]:
        """Channels, octaves, counts."""
        M = next(iter(self.details.values())).shape[0]
        return {
            "channels": M,
            "n_samples": self.n_samples,
            "vanishing_moments": self.vanishing_moments,
            "counts": np.array(list(self.counts.values())),
        }

    @property
    def guarantee(self) -> None:
        """A transform promises nothing about the signal."""
        return None


def coefficient_counts(n: int, vanishing_moments: int = 2) -> list[int]:
    """Numbers of border-free coefficients n_1, n_2, ... of ``n`` samples, down to octave floor(log2(n / (L + 3))).

    Examples
    --------
    >>> coefficient_counts(16384, 3)
    [8190, 4093, 2044, 1020, 508, 252, 124, 60, 28, 12]
    """
    L = 2 * vanishing_moments
    counts: list[int] = []
    have = n
    while n >= (L + 3) * 2 ** (len(counts) + 1) and have >= L:
        have = (have - L) // 2 + 1
        counts.append(have)
    return counts


def wavelet_coefficients(x: Any, *, vanishing_moments: int = 2, max_octave: int | None = None) -> WaveletCoefficients:
    """Border-free wavelet coefficients of each channel.

    Parameters
    ----------
    x : (M, n) or (n,) samples, channels first; a DataFrame is (time, channel)
    vanishing_moments : N_psi >= 1; polynomial trends of degree < N_psi leave no trace
    max_octave : last octave, at most floor(log2(n / (2 N_psi + 3)))

    Raises
    ------
    ValueError
        too few samples, an order outside 1..20, or an octave that the signal does not have
    TypeError
        samples that are not real numbers

    Examples
    --------
    >>> found = wavelet_coefficients(np.arange(64.0) ** 2, vanishing_moments=3)
    >>> bool(abs(found.details[1]).max() < 1e-9)
    True
    """
    signal = read_signal(x)
    return transform(signal.values, vanishing_moments, max_octave=max_octave)


def transform(
    x: np.ndarray, vanishing_moments: int, *, first: int = 1, max_octave: int | None = None
) -> WaveletCoefficients:
    """Details of the octaves ``first`` to ``max_octave`` of a checked (M, n) array."""
    from ._kernels import filter_level, smooth_level

    low, high = filters(vanishing_moments)
    M, n = x.shape
    available = coefficient_counts(n, vanishing_moments)
    last = len(available) if max_octave is None else max_octave
    if not available:
        raise ValueError(
            f"{n} samples are too few for a wavelet with {vanishing_moments} vanishing moments: {2 * (2 * vanishing_moments + 3)} are needed"
        )
    if isinstance(last, bool) or not isinstance(last, (int, np.integer)) or not 1 <= last <= len(available):
        raise ValueError(f"max_octave must be a whole number from 1 to {len(available)} for {n} samples; got {last!r}")
    counts = available[: int(last)]
    details = {j: np.empty((M, counts[j - 1])) for j in range(first, len(counts) + 1)}
    # one channel after the other: its pyramid stays in cache
    halves = [np.empty(m) for m in counts[:2]]
    for channel in range(M):
        a = x[channel]
        for j, m in enumerate(counts, start=1):
            smooth = halves[(j - 1) % 2][:m]
            if j < first:
                smooth_level(a, low, smooth)
            else:
                filter_level(a, low, high, smooth, details[j][channel])
            a = smooth
    kept = {j: counts[j - 1] for j in details}
    return WaveletCoefficients(details, kept, vanishing_moments, n)


@lru_cache(maxsize=32)
def filters(vanishing_moments: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Low-pass and high-pass filters, in the order in which they meet the samples."""
    N = vanishing_moments
    if isinstance(N, bool) or not isinstance(N, (int, np.integer)) or not 1 <= N <= MOST_MOMENTS:
        raise ValueError(f"vanishing_moments must be a whole number from 1 to {MOST_MOMENTS}; got {N!r}")
    import pywt

    wavelet = pywt.Wavelet(f"db{N}")
    return tuple(wavelet.dec_lo[::-1]), tuple(wavelet.dec_hi[::-1])
