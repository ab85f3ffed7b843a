"""Compiled search over the scalings of a vector on finite codebooks: all steps of all entries, sorted."""

from __future__ import annotations

import numpy as np
from numba import njit

from ._rounding import nearest_index
from ._sweep_kernels import FLOOR, TIE


@njit(cache=True, nogil=True)
def _evaluate(x, w, y, v, levels, mids, ylevels, ymids, lam, rounded_y, limit, least):  # type: ignore[no-untyped-def]
    """Squared error of the rounding at ``lam``, with the best second vector. Returns cost, mu, energy.

    A rounding without an entry of modulus ``least`` is not wanted.
    """
    a, b, peak = 0.0, 0.0, 0.0
    for i in range(x.size):
        h = levels[nearest_index(lam * x[i], mids)]
        a += w[i] * x[i] * h
        b += w[i] * h * h
        peak = max(peak, abs(h))
    if b == 0.0 or peak < least:
        return np.inf, 0.0, 0.0
    mu = a / b
    cost = 0.0
    for i in range(x.size):
        r = x[i] - mu * levels[nearest_index(lam * x[i], mids)]
        cost += w[i] * r * r
    if rounded_y:
        energy = 0.0
        for j in range(y.size):
            energy += v[j] * y[j] * y[j]
        cost *= energy
        if cost > limit:
            return cost, mu, b
        for j in range(y.size):
            r = ylevels[nearest_index(mu * y[j], ymids)] - mu * y[j]
            cost += b * v[j] * r * r
    return cost, mu, b


@njit(cache=True, nogil=True)
def codebook_search(x, w, y, v, levels, ylevels, rounded_y, both_signs, least, x_hat, y_hat):  # type: ignore[no-untyped-def]
    """Best ``x_hat``, ``y_hat`` for ``sum_ij w_i v_j (x_i y_j - x_hat_i y_hat_j)^2``, exact.

    The scalings between two steps are tried at their middle, negative ones too unless the codebooks are
    symmetric. Without ``rounded_y``: the best scaling of x alone. Returns lambda, mu, cost, energy, number of roundings.
    """
    m = x.size
    mids = 0.5 * (levels[1:] + levels[:-1])
    ymids = 0.5 * (ylevels[1:] + ylevels[:-1])
    steps = np.empty(m * mids.size + 2)
    count = 0
    for i in range(m):
        if x[i] != 0.0:
            for k in range(mids.size):
                lam = mids[k] / x[i]
                if abs(lam) < 1e300 and (both_signs or lam > 0.0):
                    steps[count] = lam
                    count += 1
    steps[count] = 0.0
    count += 1
    steps = np.sort(steps[:count])
    best_lam, met = 0.0, 0
    energy = 0.0
    for i in range(m):
        energy += w[i] * x[i] * x[i]
    energy_y = 1.0
    if rounded_y:
        energy_y = 0.0
        for j in range(y.size):
            energy_y += v[j] * y[j] * y[j]
    floor = FLOOR * energy * energy_y
    # the zero vector, where the codebook has it, loses everything
    best_cost = energy * energy_y if levels[nearest_index(0.0, mids)] == 0.0 else np.inf
    for k in range(-1, count):
        if k == -1:
            if not both_signs:
                continue
            lam = 2.0 * steps[0] if steps[0] < 0.0 else -1.0
        elif k == count - 1:
            lam = 2.0 * steps[k] if steps[k] > 0.0 else 1.0
        else:
            if steps[k + 1] <= steps[k]:
                continue
            lam = 0.5 * (steps[k] + steps[k + 1])
        met += 1
        cost, _, _ = _evaluate(x, w, y, v, levels, mids, ylevels, ymids, lam, rounded_y, best_cost, least)
        if cost < best_cost * (1.0 - TIE) - floor or (best_cost == np.inf and cost < np.inf):
            best_cost, best_lam = cost, lam
    if best_lam == 0.0:  # nothing beats the zero vector
        for i in range(m):
            x_hat[i] = levels[nearest_index(0.0, mids)]
        for j in range(y.size):
            y_hat[j] = ylevels[nearest_index(0.0, ymids)]
        return 0.0, 0.0, energy * energy_y, 0.0, met
    best_cost, mu, b = _evaluate(x, w, y, v, levels, mids, ylevels, ymids, best_lam, rounded_y, np.inf, least)
    for i in range(m):
        x_hat[i] = levels[nearest_index(best_lam * x[i], mids)]
    if rounded_y:
        for j in range(y.size):
            y_hat[j] = ylevels[nearest_index(mu * y[j], ymids)]
    return best_lam, mu, best_cost, b, met


@njit(cache=True, nogil=True)
def codebook_columns(cols, weights, levels, both_signs, hats, mus, energies):  # type: ignore[no-untyped-def]
    """Best scaling of each row of ``cols`` (n, b), alone.

    The largest entry is at least half of what the grid holds: otherwise the sizes of the columns would drift apart
    from factor to factor, and the last one could not hold them all.
    """
    least = 0.5 * max(abs(levels[0]), abs(levels[levels.size - 1]))
    nothing = np.empty(0)
    for i in range(cols.shape[0]):
        _, mus[i], _, energies[i], _ = codebook_search(
            cols[i], weights[i], nothing, nothing, levels, levels, False, both_signs, least, hats[i], nothing
        )


@njit(cache=True, nogil=True)
def codebook_pairs(cols, weights, rows, levels, ylevels, both_signs, hats, row_hats):  # type: ignore[no-untyped-def]
    """Best pair for each rank-one matrix ``cols[i] rows[i]^T``; returns the sum of their squared errors."""
    ones = np.ones(rows.shape[1])
    total = 0.0
    for i in range(cols.shape[0]):
        _, _, cost, _, _ = codebook_search(
            cols[i], weights[i], rows[i], ones, levels, ylevels, True, both_signs, 0.0, hats[i], row_hats[i]
        )
        total += cost
    return total
