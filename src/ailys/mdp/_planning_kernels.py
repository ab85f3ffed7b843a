"""Compiled backups. One kernel serves the mean and the entropic risk: both are affine in what follows.

A backup is ``V(s) = max_a c_i + m_i sum_j w_j V_next(n_j)`` over the rows ``i = s A + a``: the mean has
``c`` = expected reward, ``m`` = discount, ``w`` = p; the entropic forms put ``exp(beta r)`` into m or w.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

# unsigned positions: Numba need not ask whether an index counts from the end
_U4, _U8 = np.uint32, np.uint64
_ONE = np.uint64(1)
_NEGLIGIBLE = 1e-18  # |beta| x range of an outcome below which only the mean counts


@njit(nogil=True, error_model="numpy", inline="always")  # a call would cost as much as the work
def _best_action(indptr, next_state, weight, const, factor, first, A, after, q, kept, absolute, relative):  # type: ignore[no-untyped-def]
    """Largest value over the rows ``first .. first + A - 1``, and the action that is chosen; ``q`` (A,) is a buffer."""
    top = -np.inf
    i = _U8(first)
    j = _U8(indptr[i])
    for a in range(A):
        high = _U8(indptr[i + _ONE])
        q[a] = -np.inf
        if j < high:
            total = 0.0
            while j < high:
                total += weight[j] * after[_U4(next_state[j])]
                j += _ONE
            q[a] = const[i] + factor[i] * total
            top = max(top, q[a])
        i += _ONE
    action, chosen = -1, -np.inf
    if kept >= 0 and q[kept] > -np.inf:
        action, chosen = kept, q[kept]
        if top <= chosen + absolute + relative * abs(top):  # the usual case, and a branch that is foreseen
            return top, action
    for a in range(A):
        if q[a] > -np.inf and (action < 0 or q[a] > chosen + absolute + relative * abs(q[a])):
            chosen, action = q[a], a
    return top, action


@njit(cache=True, nogil=True, error_model="numpy")
def backup(indptr, next_state, weight, const, factor, A, base, after, value, policy, absolute, relative, prefer, keep):  # type: ignore[no-untyped-def]
    """One maximising backup of all states; ``base`` is the first row of the stage.

    ``policy`` gets the lowest action within ``absolute + relative |Q|`` of being better, or the action of ``prefer``
    where ``keep`` is true and no other is better than it by more.
    """
    q = np.empty(A)
    for s in range(len(value)):
        kept = prefer[s] if keep else -1
        value[s], policy[s] = _best_action(
            indptr, next_state, weight, const, factor, base + s * A, A, after, q, kept, absolute, relative
        )


@njit(cache=True, nogil=True, error_model="numpy")
def backup_and_lay(  # type: ignore[no-untyped-def]
    indptr, next_state, weight, const, factor, A, first_state, after, value, policy, absolute, relative, keep, begin, length, states, mass, gain
):  # type: ignore[no-untyped-def]  # fmt: skip
    """The same backup; the row of each action that is new in the policy is copied to the place of its state.

    Returns the smallest and the largest change from ``after``, and the largest modulus of ``value``.
    """
    q = np.empty(A)
    least, most, size = np.inf, -np.inf, 0.0
    for s in range(len(value)):
        kept = policy[s] if keep else -1
        first = (first_state + s) * A
        value[s], action = _best_action(
            indptr, next_state, weight, const, factor, first, A, after, q, kept, absolute, relative
        )
        change = value[s] - after[first_state + s]
        least, most, size = min(least, change), max(most, change), max(size, abs(value[s]))
        if action != kept:
            policy[s] = action
            row = _U8(first + action)
            k, high, at = _U8(indptr[row]), _U8(indptr[row + _ONE]), _U8(begin[s])
            length[s] = high - k
            gain[s] = const[row]
            while k < high:
                states[at] = next_state[k]
                mass[at] = weight[k]
                at += _ONE
                k += _ONE
    return least, most, size


@njit(cache=True, nogil=True, error_model="numpy")
def sweep(begin, length, states, mass, gain, discount, value, first, after):  # type: ignore[no-untyped-def]
    """One sweep of the evaluation of a policy, one row a state, from ``value`` to ``after``, which starts at state ``first``.

    Returns the smallest and the largest change.
    """
    least, most = np.inf, -np.inf
    for s in range(len(after)):
        j = _U8(begin[s])
        high = j + _U8(length[s])
        q = 0.0
        while j < high:
            q += mass[j] * value[_U4(states[j])]
            j += _ONE
        q = gain[s] + discount * q
        change = q - value[first + s]
        least, most = min(least, change), max(most, change)
        after[s] = q
    return least, most


@njit(cache=True, nogil=True, error_model="numpy")
def sweeps(begin, length, states, mass, gain, discount, value, after, most_sweeps, enough):  # type: ignore[no-untyped-def]
    """Sweeps of all states until their changes differ by at most ``enough``; how many were made."""
    for n in range(1, most_sweeps + 1):
        least, most = sweep(begin, length, states, mass, gain, discount, value, 0, after)
        value, after = after, value
        if most - least <= enough:
            return n
    return most_sweeps


@njit(cache=True, nogil=True, error_model="numpy")
def affine_horizon(  # type: ignore[no-untyped-def]
    indptr,
    next_state,
    weight,
    const,
    factor,
    S,
    A,
    stages,
    H,
    terminal,
    rescale,
    absolute,
    relative,
    prefer,
    keep,
    table,
    policy,
):  # type: ignore[no-untyped-def]
    """H backups from the end. ``table`` is (H + 1, S) to keep every value, or (2, S).

    With ``rescale`` the values are divided by their largest modulus at each step. Returns the sum of the
    logarithms of what was divided out, for every time.
    """
    logs = np.zeros(H + 1)
    deep = len(table) > 2 or H == 1
    table[H if deep else H % 2, :] = terminal
    for h in range(H - 1, -1, -1):
        at, after = (h, h + 1) if deep else (h % 2, (h + 1) % 2)
        base = h * S * A if stages > 1 else 0
        here = prefer[h] if keep else policy[h]
        backup(
            indptr,
            next_state,
            weight,
            const,
            factor,
            A,
            base,
            table[after],
            table[at],
            policy[h],
            absolute,
            relative,
            here,
            keep,
        )
        logs[h] = logs[h + 1]
        if rescale:
            top = 0.0
            for s in range(S):
                top = max(top, abs(table[at, s]))
            table[at] /= top
            logs[h] += math.log(top)
    return logs


@njit(cache=True, nogil=True, error_model="numpy")
def _certainty_equivalent(low, high, prob, reward, certain, row, next_state, after, beta, discount):  # type: ignore[no-untyped-def]
    """``log sum_j p_j exp(beta x_j) / beta`` of ``x_j = r_j + discount V(n_j)``, for any beta."""
    least, most, mean = np.inf, -np.inf, 0.0
    for j in range(low, high):
        x = (reward[row] if certain else reward[j]) + discount * after[next_state[j]]
        least, most = min(least, x), max(most, x)
        mean += prob[j] * x
    if abs(beta) * (most - least) <= _NEGLIGIBLE or least == most:
        return mean
    if beta == np.inf:
        return most
    if beta == -np.inf:
        return least
    total = 0.0
    if abs(beta) * max(most - mean, mean - least) <= 0.5:
        for j in range(low, high):
            x = (reward[row] if certain else reward[j]) + discount * after[next_state[j]]
            total += prob[j] * math.expm1(beta * (x - mean))
        return mean + math.log1p(total) / beta
    top = most if beta > 0.0 else least
    for j in range(low, high):
        x = (reward[row] if certain else reward[j]) + discount * after[next_state[j]]
        total += prob[j] * math.exp(beta * (x - top))
    return top + math.log(total) / beta


@njit(cache=True, nogil=True, error_model="numpy")
def _tilted(p, x, v, beta):  # type: ignore[no-untyped-def]
    """``p exp(beta (x - v))``; for infinite beta all the mass is on the extreme outcomes."""
    if beta == 0.0:
        return p
    if math.isinf(beta):
        return p if x == v else 0.0
    exponent = beta * (x - v)
    # a tiny probability times a factor beyond all numbers is an ordinary number
    return p * math.exp(exponent) if exponent < 700.0 else math.exp(exponent + math.log(p))


@njit(cache=True, nogil=True, error_model="numpy")
def entropic_horizon(  # type: ignore[no-untyped-def]
    indptr,
    next_state,
    prob,
    reward,
    certain,
    S,
    A,
    stages,
    H,
    betas,
    discount,
    terminal,
    absolute,
    relative,
    prefer,
    keep,
    table,
    policy,
):  # type: ignore[no-untyped-def]
    """H backups by row-wise logarithms of sums of exponentials, with one beta for each time."""
    deep = len(table) > 2 or H == 1
    table[H if deep else H % 2, :] = terminal
    for h in range(H - 1, -1, -1):
        at, after = (h, h + 1) if deep else (h % 2, (h + 1) % 2)
        base = h * S * A if stages > 1 else 0
        for s in range(S):
            top, chosen, action = -np.inf, -np.inf, -1
            for k in range(-1 if keep else 0, A):
                a = prefer[h, s] if k < 0 else k
                i = base + s * A + a
                if indptr[i] == indptr[i + 1]:
                    continue
                q = _certainty_equivalent(
                    indptr[i], indptr[i + 1], prob, reward, certain, i, next_state, table[after], betas[h], discount
                )
                top = max(top, q)
                if action < 0 or q > chosen + absolute + relative * abs(q):
                    chosen, action = q, a
            table[at, s] = top
            policy[h, s] = action


@njit(cache=True, nogil=True, error_model="numpy")
def entropic_chain(indptr, next_state, prob, reward, S, stages, H, beta):  # type: ignore[no-untyped-def]
    """Value (H + 1, S) and tilted mean (H + 1, S) of a chain, by row-wise logarithms of sums of exponentials."""
    value, tilted = np.zeros((H + 1, S)), np.zeros((H + 1, S))
    for h in range(H - 1, -1, -1):
        base = h * S if stages > 1 else 0
        for s in range(S):
            low, high = indptr[base + s], indptr[base + s + 1]
            v = _certainty_equivalent(low, high, prob, reward, False, 0, next_state, value[h + 1], beta, 1.0)
            total, mean = 0.0, 0.0
            for j in range(low, high):
                x = reward[j] + value[h + 1, next_state[j]]
                q = _tilted(prob[j], x, v, beta)
                total += q
                mean += q * (reward[j] + tilted[h + 1, next_state[j]])
            value[h, s] = v
            tilted[h, s] = mean / total
    return value, tilted


@njit(cache=True, nogil=True, error_model="numpy")
def action_values(indptr, next_state, prob, reward, certain, S, A, stages, beta, value, tilted):  # type: ignore[no-untyped-def]
    """Entropic risk and tilted mean (H, S, A) of each action followed by the chain of ``value`` and ``tilted`` (H + 1, S).

    Forbidden actions get -inf.
    """
    H = len(value) - 1
    q, mean = np.full((H, S, A), -np.inf), np.full((H, S, A), -np.inf)
    for h in range(H):
        for s in range(S):
            for a in range(A):
                i = ((h if stages > 1 else 0) * S + s) * A + a
                low, high = indptr[i], indptr[i + 1]
                if low == high:
                    continue
                v = _certainty_equivalent(low, high, prob, reward, certain, i, next_state, value[h + 1], beta, 1.0)
                total, t = 0.0, 0.0
                for j in range(low, high):
                    r = reward[i] if certain else reward[j]
                    x = r + value[h + 1, next_state[j]]
                    tilt = _tilted(prob[j], x, v, beta)
                    total += tilt
                    t += tilt * (r + tilted[h + 1, next_state[j]])
                q[h, s, a] = v
                mean[h, s, a] = t / total
    return q, mean
