"""Noise for integer statistics, calibrated to what one person can change."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from .budget import Budget
from .noise import Source, discrete_gaussian, discrete_laplace

__all__ = ["IntegerNoise"]


@dataclass(frozen=True)
class IntegerNoise:
    """Discrete Laplace noise of a rational scale, or discrete Gaussian noise of a rational variance.

    Examples
    --------
    >>> from ailys.privacy.budget import as_budget
    >>> noise = IntegerNoise.calibrated(as_budget(epsilon=0.5, neighbours="replace"), l1=2, l2_squared=2)
    >>> noise.law, noise.parameter
    ('discrete Laplace', Fraction(4, 1))
    """

    law: str
    parameter: Fraction

    @classmethod
    def calibrated(cls, budget: Budget, *, l1: Fraction | int, l2_squared: Fraction | int) -> IntegerNoise:
        """The noise that keeps the budget, given what one record changes at most: in L1 norm, and in squared L2 norm.

        Laplace noise of scale c l1 / epsilon (Dwork, McSherry, Nissim and Smith 2006), or Gaussian noise of variance
        c^2 l2^2 / (2 rho) (Canonne, Kamath and Steinke 2020, Theorem 4), for c records a person.
        """
        if budget.per_record_epsilon is not None:
            return cls("discrete Laplace", Fraction(l1) / budget.per_record_epsilon)
        assert budget.per_record_rho is not None
        return cls("discrete Gaussian", Fraction(l2_squared) / (2 * budget.per_record_rho))

    def draw(self, source: Source, n: int) -> np.ndarray:
        """``n`` independent draws: int64, or Python integers where they do not fit."""
        draw = discrete_laplace if self.law == "discrete Laplace" else discrete_gaussian
        return np.asarray(draw(self.parameter, n, unsafe_rng=source))

    @property
    def variance(self) -> float:
        """Of one draw: exact for Laplace; for Gaussian the parameter, which bounds it from above."""
        if self.law == "discrete Gaussian":
            return float(self.parameter)
        scale = float(self.parameter)
        if scale > 1e6:  # 1 - q loses digits, the series does not
            return 2 * scale**2 - 1 / 6
        q = math.exp(-1 / scale)
        return 2 * q / (1 - q) ** 2

    def half_width(self, alpha: float) -> int:
        """The least integer t, or one above it, such that a draw is beyond +-t with probability at most ``alpha``."""
        if self.law == "discrete Laplace":  # P(|X| > t) = 2 q^(t+1) / (1 + q)
            scale = float(self.parameter)
            q = math.exp(-1 / scale)
            return max(0, math.ceil(scale * math.log(2 / (alpha * (1 + q))) * (1 + 1e-12)) - 1)
        from scipy.stats import norm

        # P(X >= m) <= P(N >= m - 1) for integers m (Canonne, Kamath and Steinke 2020, Proposition 25)
        return math.ceil(math.sqrt(float(self.parameter)) * float(norm.isf(alpha / 2)) + 1e-9)
