"""The lattice of rewards: the largest step of which every reward is a whole multiple."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

__all__ = ["check_step", "lattice_step", "rounded_steps", "whole_steps"]

_TOLERANCE = 1e-12  # of each reward: what is farther from the lattice is not rounding
_DENOMINATOR = 10**6
_MOST_STEPS = 1e9


def lattice_step(rewards: np.ndarray) -> float | None:
    """The largest step of which all rewards are whole multiples, up to rounding; None if there is none to be found.

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
    step = _common_step(values)
    if (
        step is None and values[-1] <= _MOST_STEPS * values[0]
    ):  # another unit: small rewards are whole multiples of a part of the smallest one
        part = _common_step(values / values[0])
        step = None if part is None else part * float(values[0])
    return step if step is not None and values[-1] <= _MOST_STEPS * step else None


def _common_step(values: np.ndarray) -> float | None:
    """The largest common divisor of positive numbers with small denominators."""
    numerator, denominator = 0, 1
    for value in values.tolist():
        ratio = Fraction(value).limit_denominator(_DENOMINATOR)
        if ratio == 0 or abs(float(ratio) - value) > _TOLERANCE * value:
            return None
        common = denominator * ratio.denominator // math.gcd(denominator, ratio.denominator)
        numerator = math.gcd(numerator * (common // denominator), ratio.numerator * (common // ratio.denominator))
        denominator = common
        if denominator > 10**12:
            return None
    return numerator / denominator


def check_step(step: Any) -> float:
    """A positive step of a lattice or a grid."""
    if isinstance(step, bool) or not isinstance(step, (int, float, np.integer, np.floating)):
        raise ValueError(f"the step must be a positive number; got {step!r}")
    if not (math.isfinite(step) and step > 0):
        raise ValueError(f"the step must be a positive number; got {step!r}")
    return float(step)


def in_steps(rewards: np.ndarray, step: Any) -> np.ndarray:
    """The rewards in steps; a step so small that they cannot be counted is refused."""
    step = check_step(step)
    if float(np.abs(rewards).max(initial=0.0)) > _MOST_STEPS * step:
        raise ValueError(f"the step {step!r} is too small: a reward is more than {_MOST_STEPS:g} of it")
    return np.asarray(rewards) / step


def rounded_steps(rewards: np.ndarray, step: Any, down: bool) -> np.ndarray:
    """The rewards in steps, rounded down or up; a reward on the lattice, up to rounding, stays."""
    ratio = in_steps(rewards, step)
    near = np.rint(ratio)
    on = np.abs(ratio - near) <= _TOLERANCE * np.abs(ratio)
    return np.where(on, near, np.floor(ratio) if down else np.ceil(ratio)).astype(np.int64)


def whole_steps(rewards: np.ndarray, step: float) -> np.ndarray:
    """The rewards in steps, as whole numbers; a reward that is off the lattice is named.

    Examples
    --------
    >>> whole_steps(np.array([-1.0, 2.0]), 0.5)
    array([-2,  4])
    """
    ratio = in_steps(rewards, step)
    steps = np.rint(ratio)
    off = np.abs(ratio - steps) > _TOLERANCE * np.abs(ratio)
    if off.any():
        at = float(rewards[int(off.argmax())])
        raise ValueError(f"reward {at!r} is not a whole multiple of {step!r}; choose another step, or method 'bracket'")
    return steps.astype(np.int64)
