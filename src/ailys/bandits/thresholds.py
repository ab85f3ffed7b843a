"""Stopping rules: the generalised likelihood ratio of the leader against each rival, and what it has to exceed.

With ``Z_{b,a} = min_x N_b d(mean_b, x) + N_a d(mean_a, x + epsilon)`` a strategy may stop on answer b when
``Z_{b,a} > beta_{b,a}`` for all rivals. The thresholds, their proofs and their prices are on the page of the package.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ._stopping_kernels import CODES, glr, pair_threshold
from .complexity import check_delta, check_epsilon
from .families import Family, as_family

__all__ = ["glr_statistic", "glr_threshold"]

SOURCES = {
    "mixture": "Mixture martingales and Ville's inequality; docs, bandits, section 'Stopping'",
    "kaufmann-koolen-gaussian": "Kaufmann and Koolen 2021, Theorem 10 and Corollary 10",
    "kaufmann-koolen": "Kaufmann and Koolen 2021, Theorem 7",
    "garivier-kaufmann": "Garivier and Kaufmann 2016, Theorem 10",
}


def constant_exponential(x: float) -> float:
    """``C_E(x)`` of Kaufmann and Koolen 2021 for exponential families.

    Examples
    --------
    >>> round(constant_exponential(1.0), 6), round(constant_exponential(10.0), 6)
    (9.104517, 21.446819)
    """
    y = (_h_inverse(1 + x) + math.log(math.pi**2 / 3)) / 2
    # the switch is at h(1 / ln z): there both branches meet, and only there is the function the minimum it stands for
    z = 1.5
    if y >= _h(1 / math.log(z)):
        u = _h_inverse(y)
        return 2 * math.exp(1 / u) * u
    return 2 * z * (y - math.log(math.log(z)))


def _h(u: float) -> float:
    return u - math.log(u)


def _h_inverse(x: float) -> float:
    """u >= 1 with ``u - ln u = x``."""
    if x <= 1:
        return 1.0
    u = x + math.log(x) + 1e-12 if x > 2 else 1 + math.sqrt(2 * (x - 1))
    for _ in range(100):
        step = (u - math.log(u) - x) / (1 - 1 / u)
        u -= step
        if abs(step) <= 1e-15 * u:
            break
    return u


def constant_gaussian(x: float) -> float:
    """``C_G(x)`` of Kaufmann and Koolen 2021 for Gaussian rewards.

    Examples
    --------
    >>> round(constant_gaussian(1.0), 6), round(constant_gaussian(10.0), 6)
    (2.507095, 11.954646)
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import zeta

    def value(v: float) -> float:
        g = 2 * v - 2 * v * math.log(4 * v) + math.log(zeta(2 * v)) - 0.5 * math.log1p(-v)
        return (g + x) / v

    return float(minimize_scalar(value, bounds=(0.5 + 1e-9, 1 - 1e-12), method="bounded", options={"xatol": 1e-12}).fun)


def default_threshold(family: Family) -> str:
    """The cheapest threshold with a proof."""
    return "kaufmann-koolen-gaussian" if family.name == "gaussian" else "mixture"


def check_threshold(threshold: str | None, family: Family) -> str:
    """A known threshold that is meant for this family."""
    name = default_threshold(family) if threshold is None else threshold
    if name not in CODES:
        raise ValueError(f"unknown threshold {threshold!r}; expected one of {', '.join(CODES)}")
    wrong = (
        (name == "mixture" and family.name == "gaussian")
        or (name == "kaufmann-koolen-gaussian" and family.name != "gaussian")
        or (name == "garivier-kaufmann" and family.name != "bernoulli")
    )
    if wrong:
        raise ValueError(
            f"the threshold {name!r} has no proof for {family.name} rewards; use {default_threshold(family)!r}"
        )
    return name


def threshold_constants(name: str, delta: float, n_arms: int, n_pairs: int | None = None) -> np.ndarray:
    """What the kernels need: for pairs of arms, and for intervals of all arms at once.

    ``n_pairs`` is the number of wrong answers of a union bound, K - 1 for the best arm.
    """
    pairs, arms = math.log(n_pairs or n_arms - 1) - math.log(delta), math.log(n_arms) - math.log(delta)
    two, one = 0.0, 0.0
    if name == "kaufmann-koolen":
        two, one = 2 * constant_exponential(pairs / 2), constant_exponential(arms)
    elif name == "kaufmann-koolen-gaussian":
        two, one = 2 * constant_gaussian(pairs / 2), constant_gaussian(arms)
    return np.array([pairs, two, -math.log(delta), arms, one])


def glr_statistic(
    counts: Any, sums: Any, family: Family | str = "bernoulli", epsilon: float = 0.0
) -> tuple[int, np.ndarray]:
    """The arm of the best mean and its evidence against each rival.

    Parameters
    ----------
    counts, sums : (K,) draws and sums of rewards
    family : reward family
    epsilon : evidence that the rival is not better by epsilon

    Returns
    -------
    (b, Z) : the leader, and (K,) statistics, infinite at b

    Raises
    ------
    ValueError
        counts and sums that do not fit each other or are not finite, an epsilon that the family does not allow

    Examples
    --------
    >>> b, Z = glr_statistic([100, 100], [60, 40])
    >>> b, round(float(Z[1]), 6)
    (0, 4.027103)
    """
    family = as_family(family)
    n, s = _checked(counts, sums, family)
    epsilon = check_epsilon(epsilon, family) / family.scale
    best = int(np.argmax(np.where(n > 0, s / np.maximum(n, 1), -np.inf)))
    out = np.full(len(n), np.inf)
    glr(best, n, s, epsilon, family.code, family.sigma, out)
    return best, out


def glr_threshold(
    counts: Any, sums: Any, delta: float, family: Family | str = "bernoulli", threshold: str | None = None
) -> np.ndarray:
    """What ``Z_{b,a}`` has to exceed for each rival a of the leader b; infinite at b itself.

    Parameters
    ----------
    counts, sums : (K,) draws and sums of rewards
    delta : probability of a wrong answer
    threshold : "mixture", "kaufmann-koolen", "kaufmann-koolen-gaussian", "garivier-kaufmann" or "heuristic" (no proof);
        default: the cheapest one that is proved for the family

    Raises
    ------
    ValueError
        as for `glr_statistic`; an unknown threshold, or one of another family

    Examples
    --------
    >>> round(float(glr_threshold([100, 100], [60, 40], 0.1)[1]), 4)
    7.3645
    """
    family = as_family(family)
    name = check_threshold(threshold, family)
    n, s = _checked(counts, sums, family)
    constants = threshold_constants(name, check_delta(delta), len(n))
    best = int(np.argmax(np.where(n > 0, s / np.maximum(n, 1), -np.inf)))
    total = int(n.sum())
    return np.array(
        [
            math.inf
            if a == best
            else pair_threshold(CODES[name], constants, family.code, total, n[best], s[best], n[a], s[a])
            for a in range(len(n))
        ]
    )


def _checked(counts: Any, sums: Any, family: Family) -> tuple[np.ndarray, np.ndarray]:
    n, s = np.asarray(counts), np.asarray(sums, dtype=float)
    if n.ndim != 1 or n.shape != s.shape or len(n) < 2:
        raise ValueError(
            f"counts and sums must hold one number for each of at least two arms; got shapes {n.shape} and {s.shape}"
        )
    if n.dtype.kind not in "iu" or (n < 0).any() or not n.any():
        raise ValueError(f"counts must be whole numbers >= 0, not all 0; got {counts!r}")
    if not np.isfinite(s).all():
        raise ValueError(f"sums must be finite; got {sums!r}")
    unit = (s - family.offset * n) / family.scale
    drawn = n > 0
    family.check_means(family.from_unit(unit[drawn] / n[drawn]), "means")
    return n.astype(np.int64), unit
