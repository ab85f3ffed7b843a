"""Compiled comparison of given scalings, from residuals, each improved by alternation."""

from __future__ import annotations

import numpy as np
from numba import njit

from ._rounding import odd_part, round_significand
from ._sweep_kernels import FLOOR, TIE


@njit(cache=True, nogil=True)
def _error_at(x, w, y, v, t, ty, lam, limit):  # type: ignore[no-untyped-def]
    """Squared error of ``round(lam x)`` with the best second vector; cost, mu, and <y, y_hat> / ||y_hat||^2."""
    a, b = 0.0, 0.0
    for i in range(x.size):
        h = round_significand(lam * x[i], t)
        a += w[i] * x[i] * h
        b += w[i] * h * h
    mu = a / b
    cost, energy = 0.0, 0.0
    for i in range(x.size):
        r = x[i] - mu * round_significand(lam * x[i], t)
        cost += w[i] * r * r
    if ty == 0:
        return cost, mu, 1.0 / mu
    for j in range(y.size):
        energy += v[j] * y[j] * y[j]
    cost *= energy
    if cost > limit:
        return cost, mu, lam
    inner, square = 0.0, 0.0
    for j in range(y.size):
        z = mu * y[j]
        h = round_significand(z, ty)
        cost += b * v[j] * (h - z) * (h - z)
        inner += v[j] * y[j] * h
        square += v[j] * h * h
    return cost, mu, inner / square


@njit(cache=True, nogil=True)
def compare_scalings(x, w, y, v, t, ty, lams, rounds):  # type: ignore[no-untyped-def]
    """The best of the scalings ``lams`` after ``rounds`` alternations, of equal ones that with the simplest numbers.

    Returns lambda, mu and the squared error.
    """
    energy, energy_y = 0.0, 1.0
    for i in range(x.size):
        energy += w[i] * x[i] * x[i]
    if ty > 0:
        energy_y = 0.0
        for j in range(y.size):
            energy_y += v[j] * y[j] * y[j]
    floor = FLOOR * energy * energy_y
    best_cost, best_odd, best_lam, best_mu = np.inf, np.inf, 1.0, 1.0
    for k in range(lams.size):
        lam = lams[k]
        cost, mu, following = _error_at(x, w, y, v, t, ty, lam, np.inf if rounds else best_cost)
        for _ in range(rounds):
            trial, trial_mu, after = _error_at(x, w, y, v, t, ty, following, np.inf)
            if not trial < cost * (1.0 - TIE):
                break
            cost, mu, lam, following = trial, trial_mu, following, after
        if cost <= best_cost * (1.0 + TIE) + floor:
            odd = 0.0
            for i in range(x.size):
                odd += odd_part(round_significand(lam * x[i], t))
            if cost < best_cost * (1.0 - TIE) - floor or odd < best_odd:
                best_cost, best_odd, best_lam, best_mu = min(cost, best_cost), odd, lam, mu
    return best_lam, best_mu, best_cost
