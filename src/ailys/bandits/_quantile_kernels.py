"""Compiled upper quantiles of posteriors: normal, beta, gamma."""

from __future__ import annotations

import math

from numba import njit

_TINY = 1e-300


@njit(cache=True, nogil=True, error_model="numpy")
def normal_upper(q):  # type: ignore[no-untyped-def]
    """z with P(Z > z) = q, for q in (0, 1/2]: Newton on the logarithm of the tail, which is concave."""
    z = 0.0
    for _ in range(60):
        tail = 0.5 * math.erfc(z / math.sqrt(2.0))
        density = math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
        step = math.log(tail / q) * tail / density
        z += step
        if abs(step) < 1e-13:
            break
    return z


@njit(cache=True, nogil=True, error_model="numpy")
def _beta_fraction(a, b, x):  # type: ignore[no-untyped-def]
    """Continued fraction of the incomplete beta function (modified Lentz), for x below the mean."""
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / (d if abs(d) > _TINY else _TINY)
    h = d
    for m in range(1, 10000):
        e = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        d, c = 1.0 + e * d, 1.0 + e / c
        d = 1.0 / (d if abs(d) > _TINY else _TINY)
        c = c if abs(c) > _TINY else _TINY
        h *= d * c
        e = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        d, c = 1.0 + e * d, 1.0 + e / c
        d = 1.0 / (d if abs(d) > _TINY else _TINY)
        c = c if abs(c) > _TINY else _TINY
        h *= d * c
        if abs(d * c - 1.0) < 1e-15:
            break
    return h


@njit(cache=True, nogil=True, error_model="numpy")
def beta_tail(a, b, x):  # type: ignore[no-untyped-def]
    """P(X > x) for X of law Beta(a, b)."""
    if x <= 0.0:
        return 1.0
    if x >= 1.0:
        return 0.0
    front = a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    if x > (a + 1.0) / (a + b + 2.0):
        return math.exp(front) * _beta_fraction(b, a, 1.0 - x) / b
    return 1.0 - math.exp(front) * _beta_fraction(a, b, x) / a


@njit(cache=True, nogil=True, error_model="numpy")
def gamma_tail(a, x):  # type: ignore[no-untyped-def]
    """P(X > x) for X of law Gamma(a, rate 1)."""
    if x <= 0.0:
        return 1.0
    front = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1.0:
        term, total, k = 1.0 / a, 1.0 / a, a
        for _ in range(100000):
            k += 1.0
            term *= x / k
            total += term
            if term < total * 1e-16:
                break
        return 1.0 - front * total
    b, c = x + 1.0 - a, 1.0 / _TINY
    d = 1.0 / b
    h = d
    for i in range(1, 100000):
        e = -i * (i - a)
        b += 2.0
        d, c = e * d + b, b + e / c
        d = 1.0 / (d if abs(d) > _TINY else _TINY)
        c = c if abs(c) > _TINY else _TINY
        h *= d * c
        if abs(d * c - 1.0) < 1e-15:
            break
    return front * h


@njit(cache=True, nogil=True, error_model="numpy")
def beta_upper(a, b, q):  # type: ignore[no-untyped-def]
    """x with P(Beta(a, b) > x) = q: Newton on the logarithm of the tail, bracketed."""
    low, high = 0.0, 1.0
    x = min(a / (a + b) + math.sqrt(a * b / ((a + b) ** 2 * (a + b + 1.0))), 0.999)
    for _ in range(200):
        tail = beta_tail(a, b, x)
        if tail > q:
            low = x
        else:
            high = x
        log_density = (a - 1.0) * math.log(x) + (b - 1.0) * math.log1p(-x)
        log_density += math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
        new = x + math.log(tail / q) * tail * math.exp(-log_density) if tail > 0.0 else low
        if not low < new < high:
            new = 0.5 * (low + high)
        if abs(new - x) < 1e-13 or high - low < 1e-15:
            return new
        x = new
    return x


@njit(cache=True, nogil=True, error_model="numpy")
def gamma_upper(a, q):  # type: ignore[no-untyped-def]
    """x with P(Gamma(a) > x) = q; q may be near 1."""
    low, high = 0.0, a + 10.0
    while gamma_tail(a, high) > q:
        high *= 2.0
    x = a
    for _ in range(200):
        tail = gamma_tail(a, x)
        if tail > q:
            low = x
        else:
            high = x
        density = math.exp((a - 1.0) * math.log(x) - x - math.lgamma(a))
        new = x + (tail - q) / density if density > 0.0 else low
        if tail > 0.0 and q < 0.5 and density > 0.0:
            new = x + math.log(tail / q) * tail / density
        if not low < new < high:
            new = 0.5 * (low + high)
        if abs(new - x) <= 1e-13 * x or high - low < 1e-15 * high:
            return new
        x = new
    return x
