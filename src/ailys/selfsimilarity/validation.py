"""Signals checked at the border: arrays (channel, time), DataFrames (time, channel)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Signal", "fraction", "read_octaves", "read_signal", "whole"]


@dataclass(frozen=True)
class Signal:
    """(M, n) samples in double precision, and the names of the channels if the caller gave some."""

    values: np.ndarray
    names: tuple[str, ...] | None = None

    def label(self, channel: int) -> str:
        """How to call a channel in a sentence."""
        return f"channel {channel}" + (f" ({self.names[channel]!r})" if self.names else "")


def read_signal(x: Any) -> Signal:
    """Check and convert.

    Raises
    ------
    TypeError
        complex numbers or no numbers at all
    ValueError
        wrong shape, NaN or infinities (channel and first sample are named), fewer samples than channels
    """
    names = None
    if hasattr(x, "columns") and hasattr(x, "to_numpy"):
        names = tuple(str(name) for name in x.columns)
        x = x.to_numpy().T
    elif hasattr(x, "index") and hasattr(x, "to_numpy"):  # a pandas Series
        names = (str(x.name),) if x.name is not None else None
        x = x.to_numpy()
    if isinstance(x, np.ma.MaskedArray):
        if np.ma.is_masked(x):
            raise ValueError("the signal has masked samples; fill or cut missing values first")
        x = x.data
    try:
        array = np.asarray(x)
    except ValueError:
        raise ValueError("the signal must have shape (channels, samples): its rows differ in length") from None
    if array.dtype == object:
        try:
            array = array.astype(float)
        except (TypeError, ValueError):
            raise TypeError("the signal must hold numbers; some entries are not") from None
    if array.dtype.kind not in "biuf":
        raise TypeError(f"the signal must hold real numbers; got an array of type {array.dtype}")
    if array.ndim == 1:
        array = array[None]
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"the signal must have shape (channels, samples) or (samples,); got {np.shape(x)}")
    M, n = array.shape
    if n < M:
        raise ValueError(f"{M} channels of {n} samples: channels come first; did you mean x.T?")
    values = np.ascontiguousarray(array, float)
    signal = Signal(values, names)
    # a sum is finite when all its terms are (or overflow, which the second look sorts out)
    if not np.isfinite(values.sum()):
        finite = np.isfinite(values)
        if not finite.all():
            channel, sample = (int(i) for i in np.argwhere(~finite)[0])
            raise ValueError(
                f"{signal.label(channel)} holds {values[channel, sample]} at sample {sample}; fill or cut missing values first"
            )
    return signal


def read_octaves(octaves: Any, counts: list[int], n: int) -> tuple[int, int]:
    """A pair (j1, j2) of octaves that the signal has."""
    try:
        pair = [int(j) for j in octaves]
        whole_numbers = all(int(j) == j and not isinstance(j, bool) for j in octaves)
    except (TypeError, ValueError, OverflowError):
        pair, whole_numbers = [], False
    if len(pair) != 2 or not whole_numbers:
        raise ValueError(f"octaves must be a pair of whole numbers (j1, j2); got {octaves!r}")
    j1, j2 = pair
    if j1 < 1 or j2 <= j1:
        raise ValueError(f"octaves must satisfy 1 <= j1 < j2; got ({j1}, {j2})")
    if j2 > len(counts):
        raise ValueError(f"octave {j2} is not available: {n} samples reach octave {len(counts)} with this wavelet")
    return j1, j2


def whole(value: Any, name: str, least: int) -> int:
    """A whole number that is not too small."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} must be a whole number >= {least}; got {value!r}")
    return int(value)


def fraction(value: Any, name: str) -> float:
    """A number strictly between 0 and 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 < value < 1:
        raise ValueError(f"{name} must be a number strictly between 0 and 1; got {value!r}")
    return float(value)
