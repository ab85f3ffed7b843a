"""Compiled rounding: to t significant bits, and to the nearest value of a codebook."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

_SUBNORMAL = 2.2250738585072014e-308  # smallest normal double


@njit(cache=True, nogil=True, inline="always")
def round_significand(value, t):  # type: ignore[no-untyped-def]
    """``value`` rounded to ``t`` significant bits, ties to even (to the larger power of two when t = 1).

    The last ``53 - t`` bits of a normal double are rounded away by one integer addition: the carry
    runs into the exponent where it should.
    """
    if t >= 53 or value == 0.0:
        return value
    if abs(value) < _SUBNORMAL:
        mantissa, exponent = math.frexp(value)
        return math.ldexp(np.rint(math.ldexp(mantissa, t)), exponent - t)
    bits = np.float64(value).view(np.int64)
    drop = np.int64(53 - t)
    if t == 1:  # the last kept bit belongs to the exponent; the significand 1 is odd, so ties go up
        bits = np.int64(bits + (np.int64(1) << (drop - 1)))
    else:
        bits = np.int64(bits + (np.int64(1) << (drop - 1)) - 1 + ((bits >> drop) & 1))
    return np.int64((bits >> drop) << drop).view(np.float64)


@njit(cache=True, nogil=True)
def round_array(values, t):  # type: ignore[no-untyped-def]
    """Each entry of a flat array rounded to ``t`` significant bits."""
    rounded = np.empty_like(values)
    for i in range(values.size):
        rounded[i] = round_significand(values[i], t)
    return rounded


@njit(cache=True, nogil=True, inline="always")
def nearest_index(value, midpoints):  # type: ignore[no-untyped-def]
    """Index of the value of a codebook nearest to ``value``, by its sorted midpoints; ties go down."""
    low, high = 0, midpoints.size
    while low < high:
        middle = (low + high) >> 1
        if midpoints[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def odd_part(value):  # type: ignore[no-untyped-def]
    """The odd whole number ``k`` of ``|value| = k 2^e``; 0 for zero."""
    if value == 0.0:
        return 0.0
    k = math.ldexp(abs(math.frexp(value)[0]), 53)
    while k % 2.0 == 0.0:
        k *= 0.5
    return k
