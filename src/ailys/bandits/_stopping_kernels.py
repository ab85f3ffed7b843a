"""Compiled stopping rules: generalised likelihood ratios, their thresholds, levels of confidence intervals."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ._divergence_kernels import mixture_regret
from ._weights_kernels import pair_cost

MIXTURE, KK_GAUSSIAN, KK, GK, HEURISTIC = range(5)
CODES = {
    "mixture": MIXTURE,
    "kaufmann-koolen-gaussian": KK_GAUSSIAN,
    "kaufmann-koolen": KK,
    "garivier-kaufmann": GK,
    "heuristic": HEURISTIC,
}


@njit(cache=True, nogil=True, error_model="numpy")
def pair_threshold(rule, constants, family, t, n_b, s_b, n_a, s_a):  # type: ignore[no-untyped-def]
    """``beta_{b,a}``. ``constants``: see `thresholds.threshold_constants`."""
    if n_a <= 0 or n_b <= 0:
        return np.inf
    if rule == MIXTURE:
        return constants[0] + mixture_regret(s_b, n_b, family) + mixture_regret(s_a, n_a, family)
    if rule == KK_GAUSSIAN:
        return constants[1] + 2.0 * (math.log(4.0 + math.log(n_a)) + math.log(4.0 + math.log(n_b)))
    if rule == KK:
        return constants[1] + 3.0 * (math.log(1.0 + math.log(n_a)) + math.log(1.0 + math.log(n_b)))
    if rule == GK:
        return math.log(2.0 * t) + constants[0]
    return math.log(1.0 + math.log(t)) + constants[2]


@njit(cache=True, nogil=True, error_model="numpy")
def arm_level(rule, constants, family, t, n, s):  # type: ignore[no-untyped-def]
    """Level l such that ``N d(mean, mu) <= l`` for all arms at all times, with probability 1 - delta."""
    if n <= 0:
        return np.inf
    if rule == MIXTURE:
        return constants[3] + mixture_regret(s, n, family)
    if rule == KK_GAUSSIAN:
        return constants[4] + 2.0 * math.log(4.0 + math.log(n))
    if rule == KK:
        return constants[4] + 3.0 * math.log(1.0 + math.log(n))
    return math.log(1.0 + math.log(t)) + constants[2]


@njit(cache=True, nogil=True, error_model="numpy")
def glr(best, counts, sums, eps, family, sigma, out):  # type: ignore[no-untyped-def]
    """Statistics ``Z_{best, a}`` of all rivals."""
    for a in range(counts.size):
        if a != best:
            out[a] = 0.0
            if counts[a] > 0 and counts[best] > 0:
                mu_b, mu_a = sums[best] / counts[best], sums[a] / counts[a]
                out[a] = pair_cost(float(counts[best]), mu_b, float(counts[a]), mu_a, eps, family, sigma)


@njit(cache=True, nogil=True, error_model="numpy")
def settled(answer, rule, constants, eps, family, sigma, t, counts, sums):  # type: ignore[no-untyped-def]
    """Whether the evidence for an answer exceeds the threshold against every rival.

    Returns the verdict, and the statistic and threshold of the rival that is nearest to being possible.
    """
    n = counts.size
    worst, statistic, needed = np.inf, np.inf, 0.0
    for a in range(n):
        if a == answer:
            continue
        z = 0.0
        if counts[a] > 0 and counts[answer] > 0:
            mu_b, mu_a = sums[answer] / counts[answer], sums[a] / counts[a]
            z = pair_cost(float(counts[answer]), mu_b, float(counts[a]), mu_a, eps, family, sigma)
        beta = pair_threshold(rule, constants, family, t, counts[answer], sums[answer], counts[a], sums[a])
        if z - beta < worst:
            worst, statistic, needed = z - beta, z, beta
    return worst > 0.0, statistic, needed


@njit(cache=True, nogil=True, error_model="numpy")
def surely_open(answer, rule, constants, family, sigma, counts, sums, eps):  # type: ignore[no-untyped-def]
    """Cheap test before the thresholds are computed: some rival's evidence is below what every threshold asks for."""
    base = constants[0] if rule in (MIXTURE, GK) else constants[1] if rule != HEURISTIC else constants[2]
    for a in range(counts.size):
        if a == answer:
            continue
        if counts[a] <= 0 or counts[answer] <= 0:
            return True
        mu_b, mu_a = sums[answer] / counts[answer], sums[a] / counts[a]
        if pair_cost(float(counts[answer]), mu_b, float(counts[a]), mu_a, eps, family, sigma) <= base:
            return True
    return False
