"""The public lattice of a column: its bounds and its unit, chosen without looking at the data.

All values of the column are clipped to the bounds and rounded to the lattice, each record by itself; all released values lie
on it. The arithmetic of bounds and unit is that of the decimal numbers that the person wrote.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from .noise import exact_fraction

__all__ = ["Lattice"]

_POSITION_BITS = 62  # positions of dithered records are int64
_LEAST_CELL_BITS = 20
_REACH = Fraction(10**150)


@dataclass(frozen=True)
class Lattice:
    """The points ``low, low + step, ..., low + (size - 1) step``."""

    low: Fraction
    step: Fraction
    size: int

    @classmethod
    def of(cls, bounds: Any, resolution: Any) -> Lattice:
        """The lattice of bounds ``(a, b)`` and of a unit; b - a must be a whole number of units.

        Examples
        --------
        >>> Lattice.of((0, 1), 0.1).size
        11
        >>> Lattice.of((0, 1), 0.3)
        Traceback (most recent call last):
        ...
        ValueError: the resolution 0.3 does not divide the bounds 0 to 1 into whole steps; the nearest bounds that fit are 0 to 0.9 and 0 to 1.2
        """
        try:
            low, high = bounds
        except (TypeError, ValueError):
            raise ValueError("bounds must be two numbers, the lowest and the highest value that can occur") from None
        low, high = exact_fraction(low, "the lower bound"), exact_fraction(high, "the upper bound")
        step = exact_fraction(resolution, "the resolution")
        if step <= 0:
            raise ValueError(f"the resolution must be positive (1 day, 0.01 euro); got {resolution}")
        if low >= high:
            raise ValueError(f"bounds must be increasing; got {_text(low)} to {_text(high)}")
        largest = max(abs(low), abs(high))
        if largest > _REACH or step < 1 / _REACH or largest > step * (1 << 51):
            raise ValueError(
                "doubles cannot tell the values of these bounds and this resolution apart: the bounds must be below 1e150 and at most 2^51 "
                "resolutions away from 0, the resolution above 1e-150"
            )
        steps = (high - low) / step
        if steps.denominator != 1:
            fits = [f"{_text(low)} to {_text(low + k * step)}" for k in (int(steps), int(steps) + 1) if k > 0]
            raise ValueError(
                f"the resolution {_text(step)} does not divide the bounds {_text(low)} to {_text(high)} into whole steps; the nearest "
                f"bounds that fit are {' and '.join(fits)}"
            )
        lattice = cls(low, step, int(steps) + 1)
        if lattice.cell_bits < _LEAST_CELL_BITS:
            raise ValueError(
                f"bounds and resolution give {lattice.size} values, more than 2^{_POSITION_BITS - _LEAST_CELL_BITS}; choose a coarser resolution"
            )
        return lattice

    @property
    def high(self) -> Fraction:
        """The last point."""
        return self.low + (self.size - 1) * self.step

    @property
    def cell_bits(self) -> int:
        """Random bits that place a record inside its cell: 40, or fewer if positions would not fit into 62 bits."""
        return min(40, _POSITION_BITS - self.size.bit_length())

    def index(self, x: np.ndarray) -> np.ndarray:
        """The number of the lattice point of each finite value, after clipping (int64)."""
        low, high, step = float(self.low), float(self.high), float(self.step)
        k = np.floor((np.clip(x, low, high) - low) / step + 0.5).astype(np.int64)
        return np.clip(k, 0, self.size - 1)

    def values(self, index: Any) -> np.ndarray:
        """The lattice points of these numbers, each the double nearest to its decimal value."""
        index = np.asarray(index, dtype=np.int64)
        exact = [float(self.low + int(k) * self.step) for k in index.ravel()]
        return np.array(exact, dtype=float).reshape(index.shape)

    def points(self) -> np.ndarray:
        """All points, up to the rounding of doubles."""
        return float(self.low) + float(self.step) * np.arange(self.size)


def _text(value: Fraction) -> str:
    return f"{float(value):.12g}"
