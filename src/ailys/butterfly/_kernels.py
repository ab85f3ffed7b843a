"""What the compiled inner loops share.

Fast-math is on except for the assumption that all values are finite: a NaN or an infinity in the
input shows in the returned energies, which the caller checks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numba.extending import register_jitable

FAST = {"reassoc", "contract", "arcp", "nsz"}


@register_jitable  # type: ignore[untyped-decorator]
def abs2(x: Any) -> Any:
    """Squared modulus of a real or complex number."""
    return x.real * x.real + x.imag * x.imag


@njit(cache=True, nogil=True)
def fingerprint(words):  # type: ignore[no-untyped-def]
    """A checksum of words that sees every single change, and practically every other one."""
    total = np.uint64(0)
    for i in range(np.uint64(len(words))):
        mixed = words[i] * np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(32)  # the high bits, where signs and exponents are, reach the low ones
        total += mixed * (np.uint64(2) * i + np.uint64(0x9E3779B97F4A7C15))
    return total
