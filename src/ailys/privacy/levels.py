"""Quantile levels as fractions: 0.1 is one tenth."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np

from .noise import exact_fraction

__all__ = ["as_levels"]


def as_levels(p: Any) -> tuple[Fraction, ...]:
    """Strictly increasing levels in (0, 1).

    Examples
    --------
    >>> as_levels([0.25, 0.5])
    (Fraction(1, 4), Fraction(1, 2))
    >>> as_levels([0.5, 0.25])
    Traceback (most recent call last):
    ...
    ValueError: quantile levels must increase strictly; 0.25 comes after 0.5
    """
    items = list(np.atleast_1d(np.asarray(p, dtype=object)))
    if not items:
        raise ValueError("give at least one quantile level")
    levels = tuple(exact_fraction(item, "a quantile level") for item in items)
    for level in levels:
        if not 0 < level < 1:
            raise ValueError(f"quantile levels lie strictly between 0 and 1; got {float(level):g}")
    for before, after in itertools.pairwise(levels):
        if after <= before:
            raise ValueError(f"quantile levels must increase strictly; {float(after):g} comes after {float(before):g}")
    return levels
