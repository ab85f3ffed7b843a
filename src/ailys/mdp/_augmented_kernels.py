"""Compiled recursions on (state, what is still missing): exact CVaR and threshold planning.

On a lattice, ``F_h(s, y)`` is the best expected utility when ``y`` steps are missing to the target. Column k stands
for ``y = low + k``. Below the table F is constant (the target is safe), above it F falls by ``slope`` a step (the target
is lost): 1 for the expected shortfall ``-(y)_+``, 0 for the indicator ``y <= 0``.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_TIE = 1e-12  # actions nearer than this, relative, tie; the preferred one is kept


@njit(cache=True, nogil=True, error_model="numpy")
def _add_shifted(out, after, p, shift, slope):  # type: ignore[no-untyped-def]
    """``out[k] += p F(y_k - shift)``."""
    n = len(out)
    first, last = max(0, shift), min(n, n + shift)  # columns whose source lies in the table
    for k in range(min(first, n)):
        out[k] += p * after[0]
    for k in range(first, last):
        out[k] += p * after[k - shift]
    for k in range(max(last, 0), n):
        out[k] += p * (after[n - 1] - slope * (k - shift - (n - 1)))


@njit(cache=True, nogil=True, error_model="numpy")
def plan(indptr, next_state, prob, steps, S, A, stages, H, end, slope, prefer, policy, record):  # type: ignore[no-untyped-def]
    """Best utility (S, n) at time 0; with ``record`` the best actions go to ``policy`` (H, S, n)."""
    n = len(end)
    after, now = np.empty((S, n)), np.empty((S, n))
    q, chosen = np.empty(n), np.empty(n)
    for s in range(S):
        after[s] = end
    for h in range(H - 1, -1, -1):
        base = h * S * A if stages > 1 else 0
        for s in range(S):
            fresh = True
            for turn in range(-1, A):
                a = prefer[h, s] if turn < 0 else turn
                i = base + s * A + a
                if indptr[i] == indptr[i + 1] or (turn == prefer[h, s]):
                    continue
                q[:] = 0.0
                for j in range(indptr[i], indptr[i + 1]):
                    _add_shifted(q, after[next_state[j]], prob[j], steps[j], slope)
                if fresh:
                    fresh = False
                    for k in range(n):
                        now[s, k] = chosen[k] = q[k]
                        if record:
                            policy[h, s, k] = a
                else:
                    for k in range(n):
                        now[s, k] = max(now[s, k], q[k])
                        if q[k] > chosen[k] + _TIE * (1.0 + abs(q[k])):
                            chosen[k] = q[k]
                            if record:
                                policy[h, s, k] = a
        after, now = now, after
    return after


@njit(cache=True, nogil=True, error_model="numpy")
def improve(indptr, next_state, prob, steps, S, A, stages, H, end, slope, policies, out):  # type: ignore[no-untyped-def]
    """Generalised policy improvement over M policies (M, H, S): the actions (H, S, n) go to ``out``.

    In (h, s, y) the action whose best continuation by one of the policies has the largest expected utility.
    """
    n, M = len(end), len(policies)
    after, now = np.empty((M, S, n)), np.empty((M, S, n))
    q, best = np.empty(n), np.empty(n)
    for m in range(M):
        for s in range(S):
            after[m, s] = end
    for h in range(H - 1, -1, -1):
        base = h * S * A if stages > 1 else 0
        for s in range(S):
            best[:] = -np.inf
            for a in range(A):
                i = base + s * A + a
                if indptr[i] == indptr[i + 1]:
                    continue
                for m in range(M):
                    q[:] = 0.0
                    for j in range(indptr[i], indptr[i + 1]):
                        _add_shifted(q, after[m, next_state[j]], prob[j], steps[j], slope)
                    for k in range(n):
                        if best[k] == -np.inf or q[k] > best[k] + _TIE * (1.0 + abs(q[k])):
                            best[k] = q[k]
                            out[h, s, k] = a
                    if policies[m, h, s] == a:
                        now[m, s] = q
        after, now = now, after
    return after


@njit(cache=True, nogil=True, error_model="numpy")
def follow(indptr, next_state, prob, steps, S, A, stages, H, initial, policy, target, low, first, n):  # type: ignore[no-untyped-def]
    """Law (S, n) of the sum of steps under a policy that looks at (h, s, y), y = target - sum; column k is ``first + k``.

    The column of y in the policy is ``y - low``, kept inside the table.
    """
    width = policy.shape[2]
    now, after = np.zeros((S, n)), np.zeros((S, n))
    for s in range(S):
        now[s, -first] = initial[s]
    for h in range(H):
        base = h * S * A if stages > 1 else 0
        after[:] = 0.0
        for s in range(S):
            for k in range(n):
                mass = now[s, k]
                if mass == 0.0:
                    continue
                column = min(max(target - (first + k) - low, 0), width - 1)
                i = base + s * A + policy[h, s, column]
                for j in range(indptr[i], indptr[i + 1]):
                    after[next_state[j], k + steps[j]] += prob[j] * mass
        now, after = after, now
    return now
