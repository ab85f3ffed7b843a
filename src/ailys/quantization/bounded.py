"""Formats with a bounded exponent: an answer found with unbounded exponents, moved into their range.

The values of a bounded format are among those with as many significant bits and any exponent. So when the best
answer for unbounded exponents fits, up to powers of two that the scale takes over, it is best for the
bounded format too. Otherwise every scaling is tried again on the finite set of values.
"""

from __future__ import annotations

import numpy as np

from .formats import FloatFormat, Format
from .powers import times_power
from .scaling import Scaling, best_in_codebook

__all__ = ["fit_pair", "shift_range"]

Array = np.ndarray
_SWEPT = 2 * 10**7  # roundings that a search over all powers of two of the scale may compare


def shift_range(hat: Array, fmt: Format) -> tuple[int, int]:
    """Powers of two p, from least to most, such that ``hat 2^p`` is in the format; least > most if there is none."""
    parts = np.abs(np.concatenate([hat.real.ravel(), hat.imag.ravel()]))
    parts = parts[parts > 0]
    if not isinstance(fmt, FloatFormat) or fmt.largest is None or fmt.min_exponent is None or not parts.size:
        return -(10**6), 10**6
    mantissa, exponent = np.frexp(parts.max())
    top_mantissa, top_exponent = np.frexp(fmt.largest)
    most = int(top_exponent - exponent) - int(mantissa > top_mantissa)
    # below the normal range the last bits must be free
    odd = np.frexp(parts)
    whole = np.ldexp(odd[0], fmt.t).astype(np.int64)
    trailing = np.log2((whole & -whole).astype(float)).astype(np.int64)
    lowest_bit = odd[1] - fmt.t + trailing
    least = int((fmt.min_exponent - (fmt.t - 1) - lowest_bit).max())
    return least, most


def fit_pair(
    found: Scaling, x: Array, y: Array, wx: Array, wy: Array, formats: tuple[Format, Format], shifts: tuple[int, int]
) -> tuple[Scaling, int]:
    """The answer in the range of the formats, and the power of two to multiply it by.

    ``found`` and the power are for ``x`` and ``y``, the user's vectors divided by ``2 ** shifts``.
    """
    (low_x, high_x), (low_y, high_y) = (
        shift_range(hat, fmt) for hat, fmt in zip((found.x_hat, found.y_hat), formats, strict=True)
    )
    total = sum(shifts)
    if low_x <= high_x and low_y <= high_y:
        wanted = min(max(total, low_x + low_y), high_x + high_y)  # no scale if possible, else the nearest power
        move_x = min(max(shifts[0], low_x, wanted - high_y), high_x, wanted - low_y)
        move_y = wanted - move_x
        moved = found._replace(x_hat=times_power(found.x_hat, move_x), y_hat=times_power(found.y_hat, move_y))
        return moved, -wanted
    return _search_all(found, x, y, wx, wy, formats, shifts)


def _search_all(
    found: Scaling, x: Array, y: Array, wx: Array, wy: Array, formats: tuple[Format, Format], shifts: tuple[int, int]
) -> tuple[Scaling, int]:
    """All scalings on the finite sets of values, for each power of two of the scale that could be best."""
    books = [fmt.levels for fmt in formats]
    ends = [float(fmt.largest or 1.0) for fmt in formats]  # type: ignore[union-attr]
    # the largest entries near the top of the ranges: the powers of two around are worth a look
    centre = -int(np.log2(ends[0])) - int(np.log2(ends[1]))
    steps = sum(np.count_nonzero(v) * b.size for v, b in zip((x, y), books, strict=True) if b is not None)
    affordable = x.dtype.kind != "c" and steps <= _SWEPT
    powers = range(centre - 2, centre + 6)
    # rounding entry by entry without any scale is the first candidate
    plain = [_rounded(times_power(v, s), fmt) for v, s, fmt in zip((x, y), shifts, formats, strict=True)]
    error = _squared_error(x, y, wx, wy, times_power(plain[0], -shifts[0]), times_power(plain[1], -shifts[1]))
    best = error, found._replace(x_hat=plain[0], y_hat=plain[1], lam=1.0, mu=1.0), -sum(shifts)
    for power in powers:
        if affordable and books[0] is not None and books[1] is not None:
            one = best_in_codebook(
                np.ldexp(x, -power), y, wx, wy, books[0], books[1], rounded=True, max_breakpoints=4 * _SWEPT
            )
        else:
            one = _clipped(found, formats, power)
        error = _squared_error(x, y, wx, wy, np.ldexp(1.0, power) * one.x_hat, one.y_hat)
        if error < best[0]:
            best = error, one, power
    # other powers of two were not searched: no claim that this is the best
    return best[1]._replace(optimal=False), best[2]


def _clipped(found: Scaling, formats: tuple[Format, Format], power: int) -> Scaling:
    """The unbounded answer with its largest entries at the top of the ranges, the rest rounded again."""
    hats, left = [], -power
    for position, (hat, fmt) in enumerate(zip((found.x_hat, found.y_hat), formats, strict=True)):
        high = shift_range(hat, fmt)[1]
        move = min(high, left) if position == 0 else left
        left -= move
        shifted = times_power(hat, move)
        hats.append(_rounded(shifted, fmt))
    return found._replace(x_hat=hats[0], y_hat=hats[1])


def _rounded(v: Array, fmt: Format) -> Array:
    return fmt.nearest(v.real) + 1j * fmt.nearest(v.imag) if v.dtype.kind == "c" else fmt.nearest(v)


def _squared_error(x: Array, y: Array, wx: Array, wy: Array, x_hat: Array, y_hat: Array) -> float:
    ny = float(wy @ np.abs(y) ** 2)
    b = float(wx @ np.abs(x_hat) ** 2)
    nu = (wx * x_hat.conj()) @ x / b if b > 0 else 0.0
    rest = float(wx @ np.abs(x - nu * x_hat) ** 2)
    return rest * ny + b * float(wy @ np.abs(y_hat - np.conj(nu) * y) ** 2)
