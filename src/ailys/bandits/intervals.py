"""Confidence sequences: intervals that hold at all times together, however the data are looked at.

For an arm the set of means p with ``N d(mean, p) <= ln(1 / alpha) + rho`` contains the true mean at all times with
probability 1 - alpha, rho being the regret of a mixture (`mixture_log_regret`): the ratio of the mixture and the true
likelihood is a martingale, and Ville's inequality bounds the probability that it ever exceeds ``1 / alpha``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ._divergence_kernels import mixture_regret
from ._evidence_kernels import DIFFERENCE, ODDS_RATIO, RATIO, effect_bound
from .complexity import check_delta
from .families import Family, as_family, kl_lower, kl_upper, mixture_log_regret

__all__ = ["confidence_sequence", "effect_interval", "normal_mixture_radius"]

EFFECTS = {"difference": DIFFERENCE, "ratio": RATIO, "odds-ratio": ODDS_RATIO}
_RHO = 50.0  # sample size for which the normal mixture is narrowest, about


def normal_mixture_radius(n: Any, alpha: float, sigma: float = 1.0, rho: float = _RHO) -> Any:
    """Half-width ``sigma sqrt((n + rho) / n^2 ln((n + rho) / (rho alpha^2)))`` of a confidence sequence for a mean.

    For noise that is sub-Gaussian with scale sigma: mixture of the mean's deviation over N(0, sigma^2 / rho).

    Examples
    --------
    >>> round(float(normal_mixture_radius(100, 0.05)), 6)
    0.326115
    """
    n = np.asarray(n, dtype=float)
    return sigma * np.sqrt((n + rho) / n**2 * np.log((n + rho) / (rho * alpha**2)))


def confidence_sequence(
    successes: Any, n: Any, alpha: float = 0.05, family: Family | str = "bernoulli", *, running: bool = False
) -> tuple[Any, Any]:
    """Interval for the mean of one arm that may be looked at after every observation.

    Parameters
    ----------
    successes : sum of the rewards, or sums along a path
    n : their number, or numbers
    alpha : probability that the interval ever misses
    family : reward family
    running : intersect with all earlier intervals of the path

    Returns
    -------
    (lower, upper), each a float or an array

    Raises
    ------
    ValueError
        no observation, a sum that the family cannot produce, alpha not strictly between 0 and 1, ``running``
        without a path

    Examples
    --------
    >>> low, high = confidence_sequence(27, 100)
    >>> round(float(low), 6), round(float(high), 6)
    (0.142278, 0.430475)
    """
    family = as_family(family)
    alpha = check_delta(alpha, "alpha")
    total, count = np.broadcast_arrays(np.asarray(successes, dtype=float), np.asarray(n, dtype=float))
    if (count < 1).any() or not np.isfinite(total).all():
        raise ValueError("an interval needs at least one observation and finite sums")
    mean = family.check_means(total / count, "means")
    if family.name == "gaussian":
        radius = normal_mixture_radius(count, alpha, family.sigma)
        low, high = mean - radius, mean + radius
    else:
        level = (math.log(1 / alpha) + np.asarray(mixture_log_regret(total, count, family))) / count
        low, high = np.asarray(kl_lower(mean, level, family)), np.asarray(kl_upper(mean, level, family))
    if running:
        if low.ndim != 1:
            raise ValueError("running=True needs a path: sums and numbers after each observation")
        low, high = np.maximum.accumulate(low), np.minimum.accumulate(high)
    return (low, high) if low.ndim else (float(low), float(high))


def effect_interval(
    a: tuple[float, float], b: tuple[float, float], alpha: float = 0.05, effect: str = "difference"
) -> tuple[float, float]:
    """Anytime-valid interval for the effect of B against A: all values attained where both means are plausible together.

    Parameters
    ----------
    a, b : (sum, number) of outcomes in [0, 1]
    alpha : probability that the interval ever misses
    effect : "difference" p_B - p_A, "ratio" p_B / p_A, "odds-ratio"

    Raises
    ------
    ValueError
        an unknown effect, an arm without outcomes or with a sum above their number, alpha not strictly between 0
        and 1

    Examples
    --------
    >>> low, high = effect_interval((17, 52), (38, 55))
    >>> round(low, 3), round(high, 3)
    (-0.005, 0.668)
    """
    alpha = check_delta(alpha, "alpha")
    if effect not in EFFECTS:
        raise ValueError(f"effect must be one of {', '.join(EFFECTS)}; got {effect!r}")
    for s, n in (a, b):
        if not (n >= 1 and 0 <= s <= n):
            raise ValueError(f"each arm needs at least one outcome in [0, 1]; got a sum of {s!r} over {n!r}")
    code = EFFECTS[effect]
    (s_a, n_a), (s_b, n_b) = (tuple(map(float, arm)) for arm in (a, b))
    level = -math.log(alpha) + mixture_regret(s_a, n_a, 0) + mixture_regret(s_b, n_b, 0)
    mean_a, mean_b = s_a / n_a, s_b / n_b
    if code == DIFFERENCE:
        middle, least, largest = mean_b - mean_a, -1.0, 1.0
    else:  # the centre of the estimates pulled off the edges is inside the set too
        p, q = (s_a + 0.5) / (n_a + 1), (s_b + 0.5) / (n_b + 1)
        middle = q / p if code == RATIO else q * (1 - p) / (p * (1 - q))
        least, largest = 0.0, math.inf
    arguments = (code, level, n_a, mean_a, n_b, mean_b)
    if code == DIFFERENCE:
        return effect_bound(*arguments, middle, least), effect_bound(*arguments, middle, largest)
    low = effect_bound(*arguments, middle, 1e-12)
    high = effect_bound(*arguments, middle, 1e12)
    return (0.0 if low <= 1.1e-12 else low), (math.inf if high >= 0.9e12 else high)
