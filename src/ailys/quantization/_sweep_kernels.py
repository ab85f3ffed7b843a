"""Compiled search over the scalings of one short column: every rounding that a scaling can give, in order.

For a scaling that grows from 1 to 2 each entry of ``round(lambda x)`` steps through its grid; the next
step of each entry is known, so the sweep takes the smallest and goes on. All squared errors are sums of
squares: nothing cancels, at any number of bits.
Source: Gribonval, Mary, Riccietti 2023 (one scaling is enough); docs, quantization, "The method in a page".
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ._rounding import odd_part, round_significand

TIE = 1e-12  # costs this near to each other are called equal
FINE = 12  # bits up to which the columns of chains get all their roundings compared
FLOOR = 1e-30  # below this share of the energy an error is rounding


@njit(cache=True, nogil=True, inline="always")
def start_entry(value, t):  # type: ignore[no-untyped-def]
    """Fraction f in [1, 2) of ``|value|``, its power of two, and the grid point of f just right of lambda = 1."""
    mantissa, exponent = math.frexp(abs(value))
    f = 2.0 * mantissa
    step = math.ldexp(1.0, 1 - t)
    return f, math.ldexp(1.0, exponent - 1), math.floor(f / step + 0.5) * step


@njit(cache=True, nogil=True)
def sweep(x, w, y, v, t, ty, x_hat, y_hat, work, fine=FINE, bound=np.inf):  # type: ignore[no-untyped-def]
    """Best ``x_hat``, ``y_hat`` for ``sum_ij w_i v_j (x_i y_j - x_hat_i y_hat_j)^2``.

    With ``ty = 0`` the second vector is not rounded: the best scaling of x alone. ``work`` is (5, m).
    A cost of ``bound`` or more is of no interest: if all are, the cost is returned as infinite and nothing else is good.
    Beyond `FINE` bits only a part of the octave is swept, with as many steps as the whole has at `FINE`.
    Returns lambda in [1, 2), mu, the squared error (divided by the energy of y if ``ty = 0``), the energy
    ``sum w x_hat^2`` and the number of roundings met.
    """
    m, n = x.size, y.size
    f, unit, g, following, best = work[0], work[1], work[2], work[3], work[4]
    step = math.ldexp(1.0, 1 - t)
    energy, count = 0.0, 0
    for i in range(m):
        x_hat[i] = 0.0
        best[i] = 0.0
        if x[i] == 0.0:
            f[i], unit[i], g[i], following[i] = 1.0, 0.0, 0.0, 4.0
            continue
        count += 1
        energy += w[i] * x[i] * x[i]
        f[i], unit[i], g[i] = start_entry(x[i], t)
        following[i] = (g[i] + (0.5 * step if g[i] < 2.0 else step)) / f[i]
    energy_y = 1.0
    if ty > 0:
        energy_y = 0.0
        for j in range(n):
            energy_y += v[j] * y[j] * y[j]
            y_hat[j] = 0.0
    if energy <= 0.0 or energy_y <= 0.0:
        return 1.0, 0.0, energy * energy_y, 0.0, 1
    best_cost, best_odd, best_lam, found = bound, np.inf, 1.0, False
    low, met = 1.0, 0
    end = 2.0 if t <= fine else 1.0 + math.ldexp(1.0, fine - t)
    floor = FLOOR * energy * energy_y
    while True:
        high = end
        for i in range(m):
            high = min(high, following[i])
        if high > low:
            met += 1
            a, b = 0.0, 0.0
            for i in range(m):
                h = g[i] * unit[i]
                a += w[i] * abs(x[i]) * h
                b += w[i] * h * h
            mu = a / b
            cost = 0.0
            for i in range(m):
                r = abs(x[i]) - mu * g[i] * unit[i]
                cost += w[i] * r * r
            cost *= energy_y
            limit = best_cost * (1.0 + TIE) + floor
            if ty > 0 and cost <= limit:
                for j in range(n):
                    z = mu * y[j]
                    r = round_significand(z, ty) - z
                    cost += b * v[j] * r * r
            if cost <= limit:
                odd = 0.0
                for i in range(m):
                    odd += odd_part(g[i])
                if cost < best_cost * (1.0 - TIE) - floor or odd < best_odd:
                    best_cost, best_odd, best_lam, found = min(cost, best_cost), odd, 0.5 * (low + high), True
                    for i in range(m):
                        best[i] = g[i]
        if high >= end:
            break
        for i in range(m):
            if following[i] <= high:
                g[i] += step if g[i] < 2.0 else 2.0 * step
                following[i] = (g[i] + (0.5 * step if g[i] < 2.0 else step)) / f[i]
        low = high
    if not found:
        return 1.0, 0.0, np.inf, 0.0, met
    a, b, mu = 0.0, 0.0, 0.0
    for i in range(m):
        x_hat[i] = math.copysign(best[i] * unit[i], x[i])
        a += w[i] * x[i] * x_hat[i]
        b += w[i] * x_hat[i] * x_hat[i]
    mu = a / b
    if ty > 0:
        for j in range(n):
            y_hat[j] = round_significand(mu * y[j], ty)
    return best_lam, mu, best_cost, b, met


@njit(cache=True, nogil=True)
def sweep_columns(cols, weights, t, hats, mus, energies):  # type: ignore[no-untyped-def]
    """Best scaling of each row of ``cols`` (n, b), alone; what it leaves for the next factor is ``mus``."""
    work = np.empty((5, cols.shape[1]))
    nothing = np.empty(0)
    for i in range(cols.shape[0]):
        _, mus[i], _, energies[i], _ = sweep(cols[i], weights[i], nothing, nothing, t, 0, hats[i], nothing, work)


@njit(cache=True, nogil=True)
def sweep_pairs(cols, weights, rows, t, ty, hats, row_hats):  # type: ignore[no-untyped-def]
    """Best pair for each rank-one matrix ``cols[i] rows[i]^T``."""
    work = np.empty((5, cols.shape[1]))
    ones = np.ones(rows.shape[1])
    for i in range(cols.shape[0]):
        sweep(cols[i], weights[i], rows[i], ones, t, ty, hats[i], row_hats[i], work)
