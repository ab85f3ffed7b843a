"""Compiled oracle weights: the proportions of draws that make the best arm evident soonest.

For a candidate answer i and a rival j with ``x_j = w_j / w_i``, write m_j for the minimiser of
``d(mu_i, m) + x_j d(mu_j, m + eps)`` and ``g_j`` for the minimum. Everything is expressed in m_j, which lies between
``mu_j - eps`` and ``mu_i``:

    x_j = (mu_i - m) V(m + eps) / (V(m) (m + eps - mu_j)),       dg_j/dm = d(mu_j, m + eps) dx_j/dm.

The best weights make all g_j equal to one y, with ``F(y) = sum_j d(mu_i, m_j) / d(mu_j, m_j + eps) = 1``
(Garivier and Kaufmann 2016, Theorem 5, for eps = 0). Both equations are solved by bracketed Newton steps.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ._divergence_kernels import BERNOULLI, GAUSSIAN, kl, variance, variance_slope


@njit(cache=True, nogil=True, error_model="numpy")
def _ratio(m, top, rival, eps, family, sigma):  # type: ignore[no-untyped-def]
    """``x_j`` as a function of m."""
    if family == GAUSSIAN or eps == 0.0:
        return (top - m) / (m + eps - rival)
    return (top - m) * variance(m + eps, family, sigma) / (variance(m, family, sigma) * (m + eps - rival))


@njit(cache=True, nogil=True, error_model="numpy")
def _transport(m, top, rival, eps, family, sigma):  # type: ignore[no-untyped-def]
    """``g_j`` and its derivative in m."""
    x = _ratio(m, top, rival, eps, family, sigma)
    cost = kl(rival, m + eps, family, sigma)
    log_slope = -1.0 / (top - m) - 1.0 / (m + eps - rival)
    if eps != 0.0:
        log_slope += variance_slope(m + eps, family) / variance(m + eps, family, sigma)
        log_slope -= variance_slope(m, family) / variance(m, family, sigma)
    return kl(top, m, family, sigma) + x * cost, cost * x * log_slope


@njit(cache=True, nogil=True, error_model="numpy")
def _solve_mean(y, low, high, start, top, rival, eps, family, sigma):  # type: ignore[no-untyped-def]
    """The m in (low, high) with ``g_j(m) = y``; g_j decreases."""
    m = start
    a, b = low, high
    for _ in range(100):
        if not a < m < b:
            m = 0.5 * (a + b)
            if m <= a or m >= b:
                break
        g, slope = _transport(m, top, rival, eps, family, sigma)
        residual = g - y
        # tested before the update: where g is linear Newton lands on the root, and the bracket shrinks to nothing
        if abs(residual) <= 4e-16 * y:
            break
        if residual > 0.0:
            a = m
        else:
            b = m
        new = m - residual / slope
        if abs(new - m) <= 2e-16 * abs(m):
            break
        m = new
    return m


@njit(cache=True, nogil=True, error_model="numpy")
def _joint_newton(y, y_max, low, high, mean, means, answer, eps, family, sigma):  # type: ignore[no-untyped-def]
    """Newton in y and all m_j at once: the Jacobian is an arrow, a step costs O(K). Returns (converged, y).

    ``mean`` takes the solution. Leaves the bracketed solver to do the work when a step leaves the intervals; it then
    finds ``mean`` inside them.
    """
    n = means.size
    top = means[answer]
    start, trial = y, mean.copy()
    residual, inverse, share, share_slope = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    for _ in range(25):
        total, coupled, pivot = 0.0, 0.0, 0.0
        for j in range(n):
            if j == answer:
                continue
            m = trial[j]
            up, down = kl(top, m, family, sigma), kl(means[j], m + eps, family, sigma)
            x = _ratio(m, top, means[j], eps, family, sigma)
            log_slope = -1.0 / (top - m) - 1.0 / (m + eps - means[j])
            if eps != 0.0:
                log_slope += variance_slope(m + eps, family) / variance(m + eps, family, sigma)
                log_slope -= variance_slope(m, family) / variance(m, family, sigma)
            residual[j] = y - up - x * down
            inverse[j] = 1.0 / (down * x * log_slope)
            share[j] = up / down
            change = (m - top) / variance(m, family, sigma) * down
            change -= up * (m + eps - means[j]) / variance(m + eps, family, sigma)
            share_slope[j] = change / (down * down)
            total += share[j]
            coupled += share_slope[j] * residual[j] * inverse[j]
            pivot += share_slope[j] * inverse[j]
        step = (1.0 - total - coupled) / pivot
        small = abs(step) <= 1e-8 * y  # convergence is quadratic: after this step the error is at the level of rounding
        y += step
        if not 0.0 < y < y_max:
            return False, start
        for j in range(n):
            if j != answer:
                move = (residual[j] + step) * inverse[j]
                trial[j] += move
                small = small and abs(move) <= 1e-8 * min(trial[j] - low[j], high[j] - trial[j])
                if not low[j] < trial[j] < high[j]:
                    return False, start
        if small:
            mean[:] = trial
            return True, y
    return False, start


@njit(cache=True, nogil=True, error_model="numpy")
def answer_weights(means, answer, eps, family, sigma, weights, warm):  # type: ignore[no-untyped-def]
    """Weights that make the given answer evident soonest; returns the characteristic time.

    Needs ``means[answer] + eps > means[j]`` for every other j. ``warm`` (K + 2,) holds the last solution for a nearby
    problem and takes this one: the answer it is for (-1: none), y, and the m_j as fractions of their intervals.
    """
    n = means.size
    top = means[answer]
    low = np.empty(n)
    high = np.empty(n)
    ceiling = np.empty(n)
    floor = np.zeros(n)
    y_max = np.inf
    for j in range(n):
        if j == answer:
            continue
        low[j], high[j] = means[j] - eps, top
        if family == GAUSSIAN or low[j] >= 0.0:
            ceiling[j] = kl(top, low[j], family, sigma)
        else:  # no alternative reaches the rival's own mean: any y can be attained
            low[j], ceiling[j] = 0.0, np.inf
        if family == BERNOULLI and eps > 0.0 and top > 1.0 - eps:
            high[j] = 1.0 - eps
            floor[j] = kl(top, high[j], family, sigma)
        y_max = min(y_max, ceiling[j])
    if family == GAUSSIAN:
        return _gaussian_weights(means, answer, eps, sigma, y_max, weights)
    mean = np.empty(n)
    known = warm[0] == answer
    for j in range(n):
        mean[j] = low[j] + (warm[j + 2] if known else 0.5) * (high[j] - low[j]) if j != answer else top
    bounded = y_max < np.inf
    a, b = 0.0, y_max
    y = 0.5 * y_max if bounded else 1.0
    if bounded and known and 0.0 < warm[1] < 1.0:
        y = y_max * warm[1]
    elif bounded:  # the Gaussian answer of the same ceilings is a good start: there m - low = (1 - y / D) (high - low)
        y = y_max * _gaussian_share(ceiling, answer, y_max)
        for j in range(n):
            if j != answer and ceiling[j] < np.inf:
                mean[j] = low[j] + (1.0 - y / ceiling[j]) * (high[j] - low[j])
    joint = bounded and floor.max() == 0.0
    if joint:
        joint, y = _joint_newton(y, y_max, low, high, mean, means, answer, eps, family, sigma)
    for _ in range(0 if joint else 200):
        total, slope = 0.0, 0.0
        for j in range(n):
            if j == answer or y <= floor[j]:
                continue
            m = _solve_mean(y, low[j], high[j], mean[j], top, means[j], eps, family, sigma)
            mean[j] = m
            up, down = kl(top, m, family, sigma), kl(means[j], m + eps, family, sigma)
            total += up / down
            change = (m - top) / variance(m, family, sigma) * down
            change -= up * (m + eps - means[j]) / variance(m + eps, family, sigma)
            slope += change / (down * down) / _transport(m, top, means[j], eps, family, sigma)[1]
        if abs(total - 1.0) <= 1e-14:
            break
        if total > 1.0:
            b = y
        else:
            a = y
        if total > 0.0 and slope > 0.0:
            if bounded:  # Newton on ln F in z = ln(y / (y_max - y))
                step = math.log(total) * total / slope * y_max / (y * (y_max - y))
                z = math.log(y / (y_max - y)) - step
                new = y_max / (1.0 + math.exp(-z))
            else:
                new = y * math.exp(-math.log(total) * total / (slope * y))
        else:
            new = np.nan
        if not a < new < b:
            new = 0.5 * (a + b) if b < np.inf else 2.0 * y
            if new <= a or new >= b:
                break
        if abs(new - y) <= 1e-15 * y:
            y = new
            break
        y = new
    total = 1.0
    for j in range(n):
        if j == answer:
            weights[j] = 1.0
        else:
            weights[j] = 0.0 if y <= floor[j] else _ratio(mean[j], top, means[j], eps, family, sigma)
            total += weights[j]
    for j in range(n):
        weights[j] /= total
        warm[j + 2] = (mean[j] - low[j]) / (high[j] - low[j]) if j != answer else 0.5
    warm[0], warm[1] = answer, y / y_max
    return total / y


@njit(cache=True, nogil=True, error_model="numpy")
def _gaussian_share(ceiling, answer, y_max):  # type: ignore[no-untyped-def]
    """``y / y_max`` with ``sum_j (D_j / y - 1)^-2 = 1``: Newton from the left of the root of a convex function."""
    # s in (0, 1) is y / y_max. The smallest D alone gives s = 1/2 for one rival; with K rivals s >= 1 / (1 + sqrt(K - 1))
    a, b = 0.0, 1.0
    s = 1.0 / (1.0 + math.sqrt(ceiling.size - 1.0))
    for _ in range(100):
        total, slope = 0.0, 0.0
        for j in range(ceiling.size):
            if j == answer:
                continue
            r = ceiling[j] / y_max
            gap = r - s
            x = s / gap
            total += x * x
            slope += 2.0 * x * r / (gap * gap)
        if abs(total - 1.0) <= 3e-16 * ceiling.size:
            break
        if total > 1.0:
            b = s
        else:
            a = s
        # Newton on 1 - F^(-1/2), nearly linear in s
        new = s - 2.0 * total * (1.0 - 1.0 / math.sqrt(total)) * math.sqrt(total) / slope
        if not a < new < b:
            new = 0.5 * (a + b)
        if abs(new - s) <= 1e-16:
            break
        s = new
    return s


@njit(cache=True, nogil=True, error_model="numpy")
def _gaussian_weights(means, answer, eps, sigma, y_max, weights):  # type: ignore[no-untyped-def]
    n = means.size
    ceiling = np.empty(n)
    for j in range(n):
        ceiling[j] = 0.5 * ((means[answer] + eps - means[j]) / sigma) ** 2
    ceiling[answer] = np.inf
    y = y_max * _gaussian_share(ceiling, answer, y_max)
    total = 1.0
    for j in range(n):
        weights[j] = 1.0 if j == answer else y / (ceiling[j] - y)
        if j != answer:
            total += weights[j]
    for j in range(n):
        weights[j] /= total
    return total / y


@njit(cache=True, nogil=True, error_model="numpy")
def _unresolved(means, time, weights, warm):  # type: ignore[no-untyped-def]
    """Whether the gaps were too small for the arithmetic; then weights are uniform on the arms that look tied."""
    if time < np.inf and weights.sum() > 0.5:
        return False
    top = means.max()
    tied = 0
    for j in range(means.size):
        weights[j] = 1.0 if top - means[j] <= 1e-9 * max(1.0, abs(top)) else 0.0
        tied += int(weights[j])
    for j in range(means.size):
        weights[j] /= tied
    warm[0] = -1.0
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def oracle(means, eps, family, sigma, weights, warm):  # type: ignore[no-untyped-def]
    """Best weights over all correct answers; returns (characteristic time, answer).

    A tie for the best arm (eps = 0) needs infinitely many draws: uniform weights on the tied arms.
    """
    n = means.size
    best = 0
    for j in range(1, n):
        if means[j] > means[best]:
            best = j
    if eps == 0.0:
        tied = 0
        for j in range(n):
            if means[j] == means[best]:
                tied += 1
        if tied > 1:
            for j in range(n):
                weights[j] = 1.0 / tied if means[j] == means[best] else 0.0
            return np.inf, best
        time = answer_weights(means, best, 0.0, family, sigma, weights, warm)
        return (np.inf if _unresolved(means, time, weights, warm) else time), best
    trial = np.empty(n)
    cold = np.empty(n + 2)
    found, chosen = np.inf, best
    for i in range(n):
        if means[i] + eps <= means[best] and i != best:  # at the edge a rival cannot be refuted
            continue
        cold[0] = -1.0
        time = answer_weights(means, i, eps, family, sigma, trial, cold)
        if time < found:
            found, chosen = time, i
            weights[:] = trial
    if not found < np.inf:
        _unresolved(means, np.inf, weights, warm)
    return found, chosen


@njit(cache=True, nogil=True, error_model="numpy")
def pair_cost(n_i, mu_i, n_j, mu_j, eps, family, sigma):  # type: ignore[no-untyped-def]
    """``min_x n_i d(mu_i, x) + n_j d(mu_j, x + eps)``: evidence that arm j is not better than i by eps. 0 if it looks so."""
    if mu_j >= mu_i + eps or n_i <= 0.0 or n_j <= 0.0:
        return 0.0
    if family == GAUSSIAN:
        return 0.5 * n_i * n_j / (n_i + n_j) * ((mu_i - mu_j + eps) / sigma) ** 2
    if eps == 0.0:
        m = (n_i * mu_i + n_j * mu_j) / (n_i + n_j)
        return n_i * kl(mu_i, m, family, sigma) + n_j * kl(mu_j, m, family, sigma)
    low, high = max(mu_j - eps, 0.0), mu_i
    if family == BERNOULLI:
        high = min(high, 1.0 - eps)
        if mu_i >= 1.0 - eps and high <= low:
            return np.inf
    x = n_j / n_i
    a, b = low, high
    m = 0.5 * (a + b)
    for _ in range(200):  # the derivative n_i (m - mu_i) / V(m) + n_j (m + eps - mu_j) / V(m + eps) increases
        v, ve = variance(m, family, sigma), variance(m + eps, family, sigma)
        slope = (m - mu_i) * ve + x * (m + eps - mu_j) * v
        if slope == 0.0 or b - a <= 1e-15:
            break
        if slope > 0.0:
            b = m
        else:
            a = m
        curve = (
            ve + (m - mu_i) * variance_slope(m + eps, family) + x * (v + (m + eps - mu_j) * variance_slope(m, family))
        )
        new = m - slope / curve if curve > 0.0 else a
        if not a < new < b:
            new = 0.5 * (a + b)
        if abs(new - m) <= 1e-16:
            break
        m = new
    return n_i * kl(mu_i, m, family, sigma) + n_j * kl(mu_j, m + eps, family, sigma)


@njit(cache=True, nogil=True, error_model="numpy")
def map_oracle(means, eps, family, sigma, weights, times, answers):  # type: ignore[no-untyped-def]
    warm = np.empty(means.shape[1] + 2)
    for row in range(means.shape[0]):
        warm[0] = -1.0
        times[row], answers[row] = oracle(means[row], eps, family, sigma, weights[row], warm)
