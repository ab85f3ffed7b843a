"""The lattice of rewards: the largest step of which every reward is a whole multiple."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

__all__ = ["lattice_step", "whole_steps"]

_TOLERANCE = 1e-9
_DENOMINATOR = 10**6


def lattice_step(rewards: np.ndarray) -> float | None:
    """The largest step of which all rewards are whole multiples, up to 1e-9; None if there is none to be found.

    Examples
    --------
    >>> lattice_step(np.array([-1.0, -100.0])), lattice_step(np.array([0.5, 0.75, 0.0]))
    (1.0, 0.25)
    """
    values = np.unique(np.abs(rewards[rewards != 0]))
    if not values.size:
        return 1.0
    if values.size > 100_000:
        return None
    numerator, denominator = 0, 1
    for value in values.tolist():
        ratio = Fraction(value).limit_denominator(_DENOMINATOR)
        if ratio == 0 or abs(float(ratio) - value) > _TOLERANCE * max(1.0, value):
            return None
        common = denominator * ratio.denominator // math.gcd(denominator, ratio.denominator)
        numerator = math.gcd(numerator * (common // denominator), ratio.numerator * (common // ratio.denominator))
        denominator = common
        if denominator > 10**12:
            return None
    return numerator / denominator


def whole_steps(rewards: np.ndarray, step: float) -> np.ndarray:
    """The rewards in steps, as whole numbers; a reward that is off the lattice is named.

    Examples
    --------
    >>> whole_steps(np.array([-1.0, 2.0]), 0.5)
    array([-2,  4])
    """
    if not (math.isfinite(step) and step > 0):
        raise ValueError(f"the step of the lattice must be positive; got {step!r}")
    ratio = rewards / step
    steps = np.rint(ratio)
    off = np.abs(ratio - steps) * step > _TOLERANCE * np.maximum(1.0, np.abs(rewards))
    if off.any():
        at = float(rewards[int(off.argmax())])
        raise ValueError(f"reward {at!r} is not a whole multiple of {step!r}; choose another step, or method 'bracket'")
    return steps.astype(np.int64)
