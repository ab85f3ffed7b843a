"""Compiled search over complex scalings of a column: the largest entry runs through its grid.

A scaling may be multiplied by 2 and by i without changing the answer. So the largest entry of the
rounded column may be taken as ``g = k + i l`` with ``2^(t-1) <= k < 2^t`` and ``|l| <= k``; ``l`` runs through the
numbers with t significant bits down to ``octaves`` octaves below, and zero. The other entries follow by rounding
``g x_j / x_p``, and for two entries their eight neighbours too. Every candidate is a feasible answer
whose error is computed, so that leaving some out costs optimality, never correctness.
Problem: Chaumette, Gribonval, Riccietti 2026.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ._rounding import odd_part, round_significand
from ._sweep_kernels import FLOOR, TIE


@njit(cache=True, nogil=True, inline="always")
def _round_complex(z, t):  # type: ignore[no-untyped-def]
    return complex(round_significand(z.real, t), round_significand(z.imag, t))


@njit(cache=True, nogil=True, inline="always")
def _ulp(value, t):  # type: ignore[no-untyped-def]
    if value == 0.0:
        return 0.0
    return math.ldexp(1.0, math.frexp(value)[1] - t)


@njit(cache=True, nogil=True, inline="always")
def _square(z):  # type: ignore[no-untyped-def]
    return z.real * z.real + z.imag * z.imag


@njit(cache=True, nogil=True)
def _cost(x, w, hat, row, ty, energy_row, limit):  # type: ignore[no-untyped-def]
    """Squared error of ``x row^T`` against ``hat round(nu row)^T``; cost, nu, energy of hat."""
    a, b = 0.0 + 0.0j, 0.0
    for i in range(x.size):
        a += w[i] * hat[i].conjugate() * x[i]
        b += w[i] * _square(hat[i])
    if b == 0.0:
        return np.inf, a, b
    nu = a / b
    cost = 0.0
    for i in range(x.size):
        cost += w[i] * _square(x[i] - nu * hat[i])
    cost *= energy_row
    if ty > 0 and cost <= limit:
        for j in range(row.size):
            z = nu * row[j]
            cost += b * _square(_round_complex(z, ty) - z)
    return cost, nu, b


@njit(cache=True, nogil=True)
def _polish(x, w, hat, row, ty, energy_row, t, trial, rounds):  # type: ignore[no-untyped-def]
    """Alternate: the best second vector for the first, the best first vector for the second."""
    cost, nu, b = _cost(x, w, hat, row, ty, energy_row, np.inf)
    for _ in range(rounds):
        if b == 0.0 or nu == 0.0:
            break
        lam = 1.0 / nu
        if ty > 0:
            inner, energy = 0.0 + 0.0j, 0.0
            for j in range(row.size):
                h = _round_complex(nu * row[j], ty)
                inner += h.conjugate() * row[j]
                energy += _square(h)
            if energy == 0.0:
                break
            lam = inner / energy
        for i in range(x.size):
            trial[i] = _round_complex(lam * x[i], t)
        better, nu_trial, b_trial = _cost(x, w, trial, row, ty, energy_row, np.inf)
        if not better < cost * (1.0 - TIE):
            break
        cost, nu, b = better, nu_trial, b_trial
        hat[:] = trial
    return cost, nu, b


@njit(cache=True, nogil=True)
def complex_search(x, w, row, t, ty, octaves, stride, hat, row_hat, work):  # type: ignore[no-untyped-def]
    """Best ``hat``, ``row_hat`` found for ``sum_ij w_i |x_i row_j - hat_i row_hat_j|^2``.

    With ``ty = 0`` the row is not rounded. ``stride`` visits every so many candidates only. ``work`` is
    (3, m) complex. Returns nu, cost, energy of hat, number of candidates.
    """
    m = x.size
    trial, best, spare = work[0], work[1], work[2]
    energy, peak, p = 0.0, 0.0, 0
    for i in range(m):
        hat[i], best[i], trial[i] = 0.0, 0.0, 0.0
        energy += w[i] * _square(x[i])
        if _square(x[i]) > peak:
            peak, p = _square(x[i]), i
    energy_row = 1.0
    if ty > 0:
        energy_row = 0.0
        for j in range(row.size):
            row_hat[j] = 0.0
            energy_row += _square(row[j])
    if energy == 0.0 or energy_row == 0.0:
        return 0.0 + 0.0j, energy * energy_row, 0.0, 1
    floor = FLOOR * energy * energy_row
    # plain rounding is a candidate too
    for i in range(m):
        best[i] = _round_complex(x[i], t)
    best_cost, _, _ = _cost(x, w, best, row, ty, energy_row, np.inf)
    best_odd = np.inf
    steps = 1 << (t - 1)
    met, ticket = 1, 0
    neighbours = m == 2 and (ty > 0 or t <= 4)
    # of two entries each may lead: the smaller one where parts of the other nearly cancel
    leaders = 2 if m == 2 and ty > 0 else 1
    for leader in range(leaders):
        if leader == 1:
            p = 1 - p
            if x[p] == 0.0:
                break
        other = 1 - p if m == 2 else 0
        inverse = 1.0 / x[p]
        for k in range(steps, 2 * steps):
            for octave in range(-1, octaves + 1):
                fraction = math.ldexp(1.0, -octave)
                for index in range(1 if octave == -1 else 2 * steps):
                    ticket += 1
                    if ticket % stride != 0:
                        continue
                    size = steps + (index >> 1)
                    if octave == -1:
                        l = 0.0
                    else:
                        l = size * fraction
                        if l > k:
                            break
                        if index & 1:
                            l = -l
                    g = complex(float(k), l)
                    lam = g * inverse
                    for i in range(m):
                        trial[i] = _round_complex(lam * x[i], t)
                    trial[p] = g
                    met += 1
                    cost, nu, b = _cost(x, w, trial, row, ty, energy_row, best_cost)
                    if neighbours and cost < 16.0 * best_cost:
                        centre = trial[other]
                        up, right = _ulp(centre.imag, t), _ulp(centre.real, t)
                        for q in range(9):
                            if q == 4:
                                continue
                            trial[other] = centre + complex((q % 3 - 1) * right, (q // 3 - 1) * up)
                            met += 1
                            near, _, _ = _cost(x, w, trial, row, ty, energy_row, best_cost)
                            if near < best_cost * (1.0 - TIE) - floor:
                                best_cost, best_odd = near, np.inf
                                best[:] = trial
                        trial[other] = centre
                    if (m > 2 or ty > 0) and cost < 2.0 * best_cost:
                        spare[:] = trial
                        cost, nu, b = _polish(x, w, spare, row, ty, energy_row, t, trial, 2)
                        trial[:] = spare
                    if cost <= best_cost * (1.0 + TIE) + floor:
                        odd = 0.0
                        for i in range(m):
                            odd += odd_part(trial[i].real) + odd_part(trial[i].imag)
                        if cost < best_cost * (1.0 - TIE) - floor or odd < best_odd:
                            best_cost, best_odd = min(cost, best_cost), odd
                            best[:] = trial
    best_cost, nu, b = _polish(x, w, best, row, ty, energy_row, t, trial, 8)
    hat[:] = best
    if ty > 0:
        for j in range(row.size):
            row_hat[j] = _round_complex(nu * row[j], ty)
    return nu, best_cost, b, met


@njit(cache=True, nogil=True)
def complex_columns(cols, weights, t, octaves, stride, hats, nus, energies):  # type: ignore[no-untyped-def]
    """Best scaling found for each row of ``cols`` (n, b), alone."""
    work = np.empty((3, cols.shape[1]), np.complex128)
    nothing = np.empty(0, np.complex128)
    for i in range(cols.shape[0]):
        nus[i], _, energies[i], _ = complex_search(
            cols[i], weights[i], nothing, t, 0, octaves, stride, hats[i], nothing, work
        )


@njit(cache=True, nogil=True)
def complex_pairs(cols, weights, rows, t, ty, octaves, stride, hats, row_hats):  # type: ignore[no-untyped-def]
    """Best pair found for each rank-one matrix ``cols[i] rows[i]^T``."""
    work = np.empty((3, cols.shape[1]), np.complex128)
    for i in range(cols.shape[0]):
        complex_search(cols[i], weights[i], rows[i], t, ty, octaves, stride, hats[i], row_hats[i], work)
