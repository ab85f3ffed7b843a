"""Powers of two that may be too large for one floating-point number."""

from __future__ import annotations

import numpy as np

__all__ = ["times_power"]


def times_power(values: np.ndarray, power: int) -> np.ndarray:
    """``values * 2 ** power``, real or complex; the power itself may be beyond the range of the type.

    Examples
    --------
    >>> import numpy as np
    >>> times_power(np.array([5e-324]), 1074)
    array([1.])
    """
    if values.dtype.kind == "c":
        return np.asarray(times_power(values.real.copy(), power) + 1j * times_power(values.imag.copy(), power))
    half = power // 2
    return np.asarray(np.ldexp(np.ldexp(values, half), power - half))
