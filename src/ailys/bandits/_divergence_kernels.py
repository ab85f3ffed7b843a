"""Compiled divergences of the reward families, and what is inverted or integrated from them.

Family codes: 0 Bernoulli, 1 Gaussian, 2 Poisson, 3 exponential; rewards in an interval are rescaled to
[0, 1] before they come here and use code 0. ``sigma`` is read by the Gaussian code only.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

BERNOULLI, GAUSSIAN, POISSON, EXPONENTIAL = 0, 1, 2, 3
_TINY = 1e-300  # means below it may be too small to divide by
_C1, _C2, _C3, _C4, _C5, _C6, _C7, _C8, _C9, _C10, _C11, _C12, _C13 = (1.0 / (2 * j + 1) for j in range(1, 14))


@njit(cache=True, nogil=True, error_model="numpy")
def phi(u):  # type: ignore[no-untyped-def]
    """``u - ln(1 + u)``, to the last digits also for small u.

    With r = u / (2 + u), ``ln(1 + u) = 2 artanh(r)`` gives ``phi = r (u - 2 sum_j r^2j / (2j + 1))``.
    """
    if -0.4 < u < 0.5:
        r = u / (2.0 + u)
        q = r * r
        if q < 1e-4:
            s = q * (_C1 + q * (_C2 + q * (_C3 + q * _C4)))
        else:
            s = q * (_C10 + q * (_C11 + q * (_C12 + q * _C13)))
            s = q * (_C7 + q * (_C8 + q * (_C9 + s)))
            s = q * (_C1 + q * (_C2 + q * (_C3 + q * (_C4 + q * (_C5 + q * (_C6 + s))))))
        return r * (u - 2.0 * s)
    return u - math.log1p(u)


@njit(cache=True, nogil=True, error_model="numpy")
def _phi_step(difference, start, end):  # type: ignore[no-untyped-def]
    """``phi(difference / start)`` where ``end = start + difference`` is known without rounding."""
    u = difference / start
    if u == np.inf:
        return u
    return phi(u) if -0.4 < u < 0.5 else u - math.log(end / start)


@njit(cache=True, nogil=True, error_model="numpy")
def kl(p, q, family, sigma):  # type: ignore[no-untyped-def]
    """Kullback-Leibler divergence between two members of a family, by their means."""
    if p == q:
        return 0.0
    if family == BERNOULLI:
        if p <= 0.0:
            return -math.log1p(-q) if q < 1.0 else np.inf
        if p >= 1.0:
            return -math.log(q) if q > 0.0 else np.inf
        if q <= 0.0 or q >= 1.0:
            return np.inf
        if p < _TINY:
            return max(p * (math.log(p) - math.log(q) - 1.0) - math.log1p(-q), 0.0)
        return p * _phi_step(q - p, p, q) + (1.0 - p) * _phi_step(p - q, 1.0 - p, 1.0 - q)
    if family == GAUSSIAN:
        return 0.5 * ((p - q) / sigma) ** 2
    if q <= 0.0:
        return np.inf
    if family == POISSON:
        if 0.0 < p < _TINY:
            return max(p * (math.log(p) - math.log(q) - 1.0) + q, 0.0)
        return q if p <= 0.0 else p * _phi_step(q - p, p, q)
    return np.inf if p <= 0.0 else _phi_step(p - q, q, p)


@njit(cache=True, nogil=True, error_model="numpy")
def kl_bounds(p, q, family, sigma):  # type: ignore[no-untyped-def]
    """Numbers below and above ``kl(p, q)`` for p < q, for Bernoulli without a logarithm.

    With u = g / p and v = g / (1 - p): ``3u (2 + u) / (6 + 6u + u^2) <= ln(1 + u) <= u (6 + u) / (6 + 4u)`` and
    ``-ln(1 - v) <= v + v^2 / 2 + v^3 / 3 + v^4 / 4 (1 - v)``.
    """
    if family == BERNOULLI and q < 1.0:
        gap = q - p
        w, v = p + gap / 1.5, gap / (1.0 - p)
        first = (2.0 * p + q) / (p * p + 4.0 * p * q + q * q)
        second = 0.5 * (1.0 + v / 1.5 + 0.5 * v * v / (1.0 - v)) / (1.0 - p)
        return 0.5 * gap * gap / (w * (1.0 - w)), gap * gap * (first + second)
    d = kl(p, q, family, sigma)
    return d, d


@njit(cache=True, nogil=True, error_model="numpy")
def variance(m, family, sigma):  # type: ignore[no-untyped-def]
    """Variance of the member of mean m."""
    if family == BERNOULLI:
        return m * (1.0 - m)
    if family == GAUSSIAN:
        return sigma * sigma
    return m if family == POISSON else m * m


@njit(cache=True, nogil=True, error_model="numpy")
def variance_slope(m, family):  # type: ignore[no-untyped-def]
    """Derivative of the variance in the mean."""
    if family == BERNOULLI:
        return 1.0 - 2.0 * m
    if family == GAUSSIAN:
        return 0.0
    return 1.0 if family == POISSON else 2.0 * m


@njit(cache=True, nogil=True, error_model="numpy")
def _entropy(p):  # type: ignore[no-untyped-def]
    return -p * math.log(p) - (1.0 - p) * math.log1p(-p)


@njit(cache=True, nogil=True, error_model="numpy")
def _bernoulli_upper(p, level):  # type: ignore[no-untyped-def]
    if p >= 1.0:
        return 1.0
    if p <= 0.0:
        return -math.expm1(-level)
    # d(p, p + g) >= g^2 / 2 w (1 - w) with w = p + 2g / 3: where this is the level is a point right of the root
    half, scale = level * (1.0 - 2.0 * p) / 1.5, 1.0 + level / 1.125
    q = p + (half + math.sqrt(half * half + 2.0 * level * p * (1.0 - p) * scale)) / scale
    if q > 0.9:  # d >= -(1-p) ln(1-q) - H(p)
        q = min(q, -math.expm1(-(level + _entropy(p)) / (1.0 - p)))
        if q >= 1.0:
            return 1.0
    for _ in range(60):  # Halley's method
        if q <= p:
            return p
        gap, v = q - p, q * (1.0 - q)
        step = (kl(p, q, 0, 1.0) - level) * v / gap
        bend = 0.5 * step * (gap * gap + p * (1.0 - p)) / (v * gap)  # half of step h'' / h'
        if abs(bend) < 0.5:
            step /= 1.0 - bend
        q -= step
        if abs(step) < 1e-6 * gap:  # what is left is of the order of its cube
            break
    return min(max(q, p), 1.0)


@njit(cache=True, nogil=True, error_model="numpy")
def kl_upper(p, level, family, sigma):  # type: ignore[no-untyped-def]
    """Largest q with ``d(p, q) <= level``."""
    if level <= 0.0:
        return p
    if family == GAUSSIAN:
        return p + sigma * math.sqrt(2.0 * level)
    if level == np.inf:
        return 1.0 if family == BERNOULLI else np.inf
    if family == BERNOULLI:
        return _bernoulli_upper(p, level)
    if family == POISSON:
        if p <= 0.0:
            return level
        q = p + level + math.sqrt(level * (level + 2.0 * p))  # d >= (q-p)^2 / 2q
        for _ in range(60):
            if q <= p:
                return p
            step = (kl(p, q, POISSON, 1.0) - level) * q / (q - p)
            q -= step
            if step <= 1e-14 * q:
                break
        return max(q, p)
    # exponential, with z = ln(q / p): e^-z - 1 + z = level, and e^-z >= max(0, (2 - z) / (2 + z))
    z = min(level + 1.0, 0.5 * (level + math.sqrt(level * (level + 8.0))))
    for _ in range(60):
        slope = -math.expm1(-z)
        if slope <= 0.0:
            break
        step = (z - slope - level) / slope if z > 1e-3 else (phi(math.expm1(-z)) - level) / slope
        z -= step
        if step <= 1e-15 * (1.0 + z):
            break
    return p * math.exp(max(z, 0.0))


@njit(cache=True, nogil=True, error_model="numpy")
def kl_lower(p, level, family, sigma):  # type: ignore[no-untyped-def]
    """Smallest q with ``d(p, q) <= level``."""
    if level <= 0.0:
        return p
    if family == GAUSSIAN:
        return p - sigma * math.sqrt(2.0 * level)
    if level == np.inf:
        return 0.0
    if family == BERNOULLI:
        return 1.0 - _bernoulli_upper(1.0 - p, level)
    if p <= 0.0:
        return 0.0
    if family == POISSON:
        # two points left of the root: d >= (p-q)^2 / 2p and d >= p ln(p/q) - p
        q = max(p - math.sqrt(2.0 * p * level), p * math.exp(-(1.0 + level / p)))
        for _ in range(60):
            if q >= p or q <= 0.0:
                break
            step = (kl(p, q, POISSON, 1.0) - level) * q / (p - q)
            q += step
            if step <= 1e-14 * q:
                break
        return min(max(q, 0.0), p)
    y = min(math.sqrt(2.0 * level), math.log(2.0 * (level + 1.0)))  # e^y - 1 - y = level, y = ln(p / q)
    for _ in range(60):
        slope = math.expm1(y)
        if slope <= 0.0:
            break
        step = (phi(slope) - level) / slope
        y -= step
        if step <= 1e-15 * (1.0 + y):
            break
    return p * math.exp(-max(y, 0.0))


@njit(cache=True, nogil=True, error_model="numpy")
def _half(x):  # type: ignore[no-untyped-def]
    """``x ln x - x - ln Gamma(x + 1/2)``; by Stirling's series where the difference would lose its digits."""
    if x > 1e6:
        return 1.0 / (24.0 * x) - 0.5 * math.log(2.0 * math.pi)
    return (x * math.log(x) - x if x > 0.0 else 0.0) - math.lgamma(x + 0.5)


@njit(cache=True, nogil=True, error_model="numpy")
def _whole(x):  # type: ignore[no-untyped-def]
    """``x ln x - x - ln Gamma(x + 1)``."""
    if x > 1e6:
        return -0.5 * math.log(2.0 * math.pi * x) - 1.0 / (12.0 * x)
    return x * math.log(x) - x - math.lgamma(x + 1.0)


@njit(cache=True, nogil=True, error_model="numpy")
def mixture_regret(total, n, family):  # type: ignore[no-untyped-def]
    """``ln(maximum likelihood) - ln(mixture marginal)`` of a sample of size n and sum ``total``.

    Mixtures: Beta(1/2, 1/2), Gamma(1/2, 1/2), and rate ~ Gamma(1, 1). Terms that depend on the data alone cancel.
    """
    if n <= 0:
        return 0.0
    if family == BERNOULLI:
        return _half(total) + _half(n - total) - _whole(n) + math.log(math.pi)
    if family == POISSON:
        prior = 0.5 * math.log(0.5) - 0.5 * math.log(math.pi)
        return _half(total) + total * math.log1p(0.5 / n) + 0.5 * math.log(0.5 + n) - prior
    return _whole(n) + n * math.log1p(1.0 / total) + math.log1p(total)


@njit(cache=True, nogil=True, error_model="numpy")
def map_kl(p, q, out, family, sigma):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        out[i] = kl(p[i], q[i], family, sigma)


@njit(cache=True, nogil=True, error_model="numpy")
def map_bound(p, level, out, family, sigma, upper):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        out[i] = kl_upper(p[i], level[i], family, sigma) if upper else kl_lower(p[i], level[i], family, sigma)


@njit(cache=True, nogil=True, error_model="numpy")
def map_mixture_regret(total, n, out, family):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        out[i] = mixture_regret(total[i], n[i], family)
