"""Compiled recursions on laws: exact on a lattice, projected on a grid, projected on quantiles.

Chains come as the arrays of `policies.RewardChain`: row ``h * S + s``, or ``s`` if nothing changes with
time. ``stages`` is 1 or the horizon.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

LINEAR, DOWN, UP = range(3)  # where the mass between two points of a grid goes


@njit(cache=True, nogil=True, error_model="numpy")
def forward_lattice(indptr, next_state, prob, step, S, stages, H, initial, low, n):  # type: ignore[no-untyped-def]
    """Law of (state, sum of rewards) after H steps, rewards in whole steps; column k is the sum ``low + k``."""
    now, after = np.zeros((S, n)), np.zeros((S, n))
    first, last = np.full(S, n, np.int64), np.full(S, -1, np.int64)
    first_after, last_after = np.empty(S, np.int64), np.empty(S, np.int64)
    for s in range(S):
        if initial[s] > 0.0:
            now[s, -low] = initial[s]
            first[s] = last[s] = -low
    for h in range(H):
        base = h * S if stages > 1 else 0
        first_after[:] = n
        last_after[:] = -1
        for s in range(S):
            if last[s] < first[s]:
                continue
            for j in range(indptr[base + s], indptr[base + s + 1]):
                t, shift, p = next_state[j], step[j], prob[j]
                for k in range(first[s], last[s] + 1):
                    after[t, k + shift] += p * now[s, k]
                first_after[t] = min(first_after[t], first[s] + shift)
                last_after[t] = max(last_after[t], last[s] + shift)
            now[s, first[s] : last[s] + 1] = 0.0
        now, after = after, now
        first, first_after = first_after, first
        last, last_after = last_after, last
    return now


@njit(cache=True, nogil=True, error_model="numpy")
def backward_grid(indptr, next_state, prob, reward, S, stages, H, discount, first, delta, n, mode):  # type: ignore[no-untyped-def]
    """Laws of the return from every state on the grid ``(first + k) delta``, projected at each step.

    Returns the masses (S, n) and the certified Wasserstein errors (S,): the cost of moving the mass at each
    step, plus the discounted average of the errors that follow.
    """
    now, before = np.zeros((S, n)), np.zeros((S, n))
    error, error_before = np.zeros(S), np.zeros(S)
    now[:, -first] = 1.0
    for h in range(H - 1, -1, -1):
        base = h * S if stages > 1 else 0
        before[:] = 0.0
        for s in range(S):
            cost = 0.0
            carried = 0.0
            for j in range(indptr[base + s], indptr[base + s + 1]):
                t, p, r = next_state[j], prob[j], reward[j] / delta - first
                carried += p * error[t]
                for k in range(n):
                    w = p * now[t, k]
                    if w == 0.0:
                        continue
                    x = r + discount * (k + first)
                    cell = math.floor(x)
                    near = math.floor(x + 0.5)
                    if abs(x - near) <= 1e-14 * (abs(reward[j] / delta) + n):  # on the grid up to rounding
                        cell, part = near, 0.0
                    else:
                        part = x - cell
                    at = min(max(int(cell), 0), n - 1)
                    if part == 0.0:
                        before[s, at] += w
                    elif mode == LINEAR:
                        before[s, at] += w * (1.0 - part)
                        before[s, min(at + 1, n - 1)] += w * part
                        cost += w * 2.0 * part * (1.0 - part)
                    elif mode == DOWN:
                        before[s, at] += w
                        cost += w * part
                    else:
                        before[s, min(at + 1, n - 1)] += w
                        cost += w * (1.0 - part)
            error_before[s] = cost * delta + discount * carried
        now, before = before, now
        error, error_before = error_before, error
    return now, error


@njit(cache=True, nogil=True, error_model="numpy")
def backward_quantiles(indptr, next_state, prob, reward, S, stages, H, discount, N):  # type: ignore[no-untyped-def]
    """Laws of the return from every state as N atoms of equal mass (at the midpoints of the levels), with errors.

    An atom of a law on fewer than N points is repeated, so nothing is lost at first.
    """
    now, before = np.zeros((S, N)), np.zeros((S, N))
    error, error_before = np.zeros(S), np.zeros(S)
    widest = 1
    for i in range(len(indptr) - 1):
        widest = max(widest, indptr[i + 1] - indptr[i])
    x, w = np.empty(widest * N), np.empty(widest * N)
    for h in range(H - 1, -1, -1):
        base = h * S if stages > 1 else 0
        for s in range(S):
            m = 0
            carried = 0.0
            for j in range(indptr[base + s], indptr[base + s + 1]):
                t, p, r = next_state[j], prob[j] / N, reward[j]
                carried += prob[j] * error[t]
                for k in range(N):
                    x[m] = r + discount * now[t, k]
                    w[m] = p
                    m += 1
            order = np.argsort(x[:m])
            # one walk over the levels: quantiles at the midpoints, and the area between the two quantile functions
            level, i, cost = 0.0, 0, 0.0
            position, mass = order[0], w[order[0]]
            for k in range(N):
                middle, end = (2 * k + 1) / (2.0 * N), (k + 1.0) / N
                walk, at, left = level, i, mass
                while walk + left < middle - 1e-13 and at < m - 1:
                    walk += left
                    at += 1
                    left = w[order[at]]
                target = x[order[at]]
                before[s, k] = target
                while i < m - 1 and level + mass < end:
                    cost += mass * abs(x[position] - target)
                    level += mass
                    i += 1
                    position = order[i]
                    mass = w[position]
                used = min(mass, max(0.0, end - level))
                cost += used * abs(x[position] - target)
                level += used
                mass -= used
            error_before[s] = cost + discount * carried
        now, before = before, now
        error, error_before = error_before, error
    return now, error


@njit(cache=True, nogil=True, error_model="numpy")
def return_range(indptr, next_state, reward, certain, S, A, stages, H, discount):  # type: ignore[no-untyped-def]
    """Smallest and largest return from each state and time, over all actions and outcomes: two (H + 1, S) tables."""
    low, high = np.zeros((H + 1, S)), np.zeros((H + 1, S))
    for h in range(H - 1, -1, -1):
        base = h * S * A if stages > 1 else 0
        for s in range(S):
            worst, best = np.inf, -np.inf
            for i in range(base + s * A, base + (s + 1) * A):
                for j in range(indptr[i], indptr[i + 1]):
                    r = reward[i] if certain else reward[j]
                    worst = min(worst, r + discount * low[h + 1, next_state[j]])
                    best = max(best, r + discount * high[h + 1, next_state[j]])
            low[h, s], high[h, s] = worst, best
    return low, high


@njit(cache=True, nogil=True, error_model="numpy")
def reachable_sums(indptr, next_state, step, S, stages, H, initial):  # type: ignore[no-untyped-def]
    """Smallest and largest sum of steps met at any time on a path from the first states; 0 is one of them."""
    big = np.int64(2) ** 62
    low, high = np.full(S, big), np.full(S, -big)
    for s in range(S):
        if initial[s] > 0.0:
            low[s] = high[s] = 0
    least, most = np.int64(0), np.int64(0)
    for h in range(H):
        base = h * S if stages > 1 else 0
        low_after, high_after = np.full(S, big), np.full(S, -big)
        for s in range(S):
            if low[s] > high[s]:
                continue
            for j in range(indptr[base + s], indptr[base + s + 1]):
                t = next_state[j]
                low_after[t] = min(low_after[t], low[s] + step[j])
                high_after[t] = max(high_after[t], high[s] + step[j])
                least, most = min(least, low[s] + step[j]), max(most, high[s] + step[j])
        low, high = low_after, high_after
    return least, most


@njit(cache=True, nogil=True, error_model="numpy")
def range_summary(indptr, next_state, reward, certain, S, A, stages, H, discount):  # type: ignore[no-untyped-def]
    """Smallest and largest return from each state at time 0; largest modulus and widest range over all times."""
    low, high = np.zeros(S), np.zeros(S)
    low_before, high_before = np.empty(S), np.empty(S)
    size, span = 0.0, 0.0
    for h in range(H - 1, -1, -1):
        base = h * S * A if stages > 1 else 0
        least, most = np.inf, -np.inf
        for s in range(S):
            worst, best = np.inf, -np.inf
            for i in range(base + s * A, base + (s + 1) * A):
                for j in range(indptr[i], indptr[i + 1]):
                    r = reward[i] if certain else reward[j]
                    worst = min(worst, r + discount * low[next_state[j]])
                    best = max(best, r + discount * high[next_state[j]])
            low_before[s], high_before[s] = worst, best
            least, most = min(least, worst), max(most, best)
        size, span = max(size, -least, most), max(span, most - least)
        low, low_before = low_before, low
        high, high_before = high_before, high
    return low, high, size, span
