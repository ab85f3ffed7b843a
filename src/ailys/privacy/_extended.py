"""Nonnegative numbers with an exponent of their own: pairs (m, e) that stand for m * 2^(512 e), 2^-256 <= m < 2^256.

Sums and products of tables that range over thousands of orders of magnitude need neither logarithms nor exponentials, only
IEEE additions and multiplications: each makes a relative error of at most 2^-53, and nothing under- or overflows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["extended", "log2_extended", "normal", "plus", "rescale", "times"]

STEP = 512
TOP = 2.0**256
BOTTOM = 2.0**-256
DOWN = 2.0**-512
UP = 2.0**512


@njit(inline="always")
def plus(m: float, e: int, m2: float, e2: int) -> tuple[float, int]:
    """The sum; a term smaller by more than 2^512 is dropped."""
    if m == 0.0:
        return m2, e2
    if m2 == 0.0:
        return m, e
    if e == e2:
        s = m + m2
    elif e == e2 + 1:
        s = m + m2 * DOWN
    elif e2 == e + 1:
        s = m2 + m * DOWN
        e = e2
    elif e > e2:
        return m, e
    else:
        return m2, e2
    if s >= TOP:
        return s * DOWN, e + 1
    return s, e


@njit(inline="always")
def times(m: float, e: int, m2: float, e2: int) -> tuple[float, int]:
    """The product."""
    s = m * m2
    e = e + e2
    if s >= TOP:
        return s * DOWN, e + 1
    if s < BOTTOM:
        if s == 0.0:
            return 0.0, 0
        return s * UP, e - 1
    return s, e


@njit(inline="always")
def normal(x: float) -> tuple[float, int]:
    """The pair of a double >= 0."""
    if x == 0.0:
        return 0.0, 0
    if x >= TOP:
        return x * DOWN, 1
    if x < BOTTOM:
        return x * UP, -1
    return x, 0


def extended(value: Any) -> tuple[float, int]:
    """A pair from an mpmath number, rounded once.

    Examples
    --------
    >>> from mpmath import mpf
    >>> extended(mpf(2) ** -5000) == (2.0 ** 120, -10)
    True
    """
    if value == 0:
        return 0.0, 0
    power = int(value.context.mag(value)) if hasattr(value, "context") else int(np.frexp(float(value))[1])
    e = (power + 255) // STEP
    return float(value * type(value)(2) ** (-STEP * e)), e


def log2_extended(m: float, e: int) -> float:
    """The logarithm to base 2."""
    return -np.inf if m == 0 else float(np.log2(m)) + STEP * float(e)


def rescale(m: np.ndarray, e: np.ndarray) -> np.ndarray:
    """The numbers relative to the largest exponent, as doubles; what is below 2^-512 of the largest becomes 0.

    That is true of mantissas in their range only: pairs that come from a product have to be made by `times`.
    """
    shift = e - e[m > 0].max() if (m > 0).any() else np.zeros_like(e)
    return np.where(shift == 0, m, np.where(shift == -1, m * DOWN, 0.0))
