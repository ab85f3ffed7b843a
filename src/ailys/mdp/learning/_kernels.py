"""Compiled loops of the learners: episodes on a table, optimistic backups, backups over Kullback-Leibler balls.

What was seen of row i (a state and an action, or a stage, a state and an action) is kept in slots:
``next_seen[i, j]`` (-1: the episode ended), ``reward_seen[i, j]``, ``count[i, j]``, for j < ``slots[i]``;
``visits[i]`` is their sum.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def record(next_seen, reward_seen, count, slots, visits, row, following, reward):  # type: ignore[no-untyped-def]
    """Count an outcome; False if the row has no free slot for a new one."""
    used = slots[row]
    for j in range(used):
        if next_seen[row, j] == following and reward_seen[row, j] == reward:
            count[row, j] += 1
            visits[row] += 1
            return True
    if used == next_seen.shape[1]:
        return False
    next_seen[row, used], reward_seen[row, used], count[row, used] = following, reward, 1
    slots[row] += 1
    visits[row] += 1
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def draw(weights, low, high, rng):  # type: ignore[no-untyped-def]
    """An index in [low, high) with probability proportional to its weight (they sum to 1)."""
    u = rng.random()
    for j in range(low, high - 1):
        u -= weights[j]
        if u < 0.0:
            return j
    return high - 1


@njit(cache=True, nogil=True, error_model="numpy")
def play(  # type: ignore[no-untyped-def]
    indptr, next_state, prob, reward, terminal, initial, shape, changing, policy, pooled, next_seen, reward_seen,
    count, slots, visits, planned, starts, growth, n_max, rng,
):  # fmt: skip
    """Episodes of a policy on a table, until a row has been visited (1 + growth) times more than when it was planned."""
    H, S, A = shape
    for episode in range(n_max):
        state = draw(initial, 0, S, rng)
        starts[state] += 1
        news = False
        for h in range(H):
            if terminal[state]:
                break
            action = policy[h, state]
            source = ((h if changing else 0) * S + state) * A + action
            j = draw(prob, indptr[source], indptr[source + 1], rng)
            following = next_state[j]
            row = state * A + action if pooled else (h * S + state) * A + action
            record(
                next_seen, reward_seen, count, slots, visits, row, -1 if terminal[following] else following, reward[j]
            )
            news = news or visits[row] > (1.0 + growth) * planned[row]
            state = following
        if news:
            return episode + 1
    return n_max


@njit(cache=True, nogil=True, error_model="numpy")
def plan_optimistic(  # type: ignore[no-untyped-def]
    next_seen, reward_seen, count, slots, visits, allowed, shape, pooled, discount, cap, floor, c, log_rows, value,
    policy,
):  # fmt: skip
    """Backward induction with Hoeffding bonuses ``c (cap - floor) sqrt(ln(rows n (n + 1) / delta) / (2 n))``.

    ``log_rows`` is ln(S A H / delta); ``value`` (H + 1, S) and ``policy`` (H, S) are written.
    """
    H, S, A = shape
    value[H] = 0.0
    for h in range(H - 1, -1, -1):
        for s in range(S):
            best, chosen = -np.inf, 0
            for a in range(A):
                if not allowed[h if len(allowed) > 1 else 0, s, a]:
                    continue
                row = s * A + a if pooled else (h * S + s) * A + a
                n = visits[row]
                q = cap[h]
                if n > 0:
                    total = 0.0
                    for j in range(slots[row]):
                        following = next_seen[row, j]
                        ahead = value[h + 1, following] if following >= 0 else 0.0
                        total += count[row, j] * (reward_seen[row, j] + discount * ahead)
                    bonus = c * (cap[h] - floor[h]) * math.sqrt((log_rows + math.log(n * (n + 1.0))) / (2.0 * n))
                    q = min(q, total / n + bonus)
                if q > best:
                    best, chosen = q, a
            value[h, s], policy[h, s] = best, chosen


@njit(cache=True, nogil=True, error_model="numpy")
def ball_radius(count, used, n, n_outcomes, log_rows):  # type: ignore[no-untyped-def]
    """Radius in ``n KL`` of the set of laws that a Dirichlet(1/m, ..., 1/m) mixture does not beat by the factor rows / delta.

    ``ln(rows / delta) + sum n_j ln(n_j / n) + ln Gamma(n + 1) - sum (ln Gamma(n_j + 1/m) - ln Gamma(1/m))``
    """
    share = 1.0 / n_outcomes
    base = math.lgamma(share)
    radius = log_rows + math.lgamma(n + 1.0)
    for j in range(used):
        k = count[j]
        radius += k * math.log(k / n) - math.lgamma(k + share) + base
    return radius


@njit(cache=True, nogil=True, error_model="numpy")
def ball_maximum(v, p, used, unseen, kappa):  # type: ignore[no-untyped-def]
    """An upper bound of ``q.v`` over the laws q with KL(p, q) <= kappa, equal to the maximum up to rounding.

    ``min over nu >= max v of nu - exp(-kappa) prod_j (nu - v_j)^p_j``: every nu gives an upper bound, so a search
    that ends early loses sharpness, not truth. ``unseen`` is the largest value that outcomes not seen may have
    (-inf: there are none). The first ``used`` entries count; p is positive there.
    """
    top, bottom, mean = v[0], v[0], 0.0
    for j in range(used):
        top, bottom = max(top, v[j]), min(bottom, v[j])
        mean += p[j] * v[j]
    edge = max(top, unseen)
    if kappa <= 0.0 or edge == bottom:
        return mean if kappa <= 0.0 else edge
    if kappa > 700.0:
        return edge
    shrink = math.exp(-kappa)
    if unseen > top:
        logs, inverse = 0.0, 0.0
        for j in range(used):
            logs += p[j] * math.log(edge - v[j])
            inverse += p[j] / (edge - v[j])
        if logs + math.log(inverse) <= kappa:
            return edge - shrink * math.exp(logs)
    if top == bottom:  # and nothing unseen is better
        return top
    variance = 0.0
    for j in range(used):
        variance += p[j] * (v[j] - mean) ** 2
    # f = ln E[1/(nu - v)] + E ln(nu - v) falls from its value at the edge; f <= range / (nu - top)
    low, high = edge, top + (top - bottom) / kappa
    nu = mean + math.sqrt(0.5 * variance / kappa)
    best = edge
    for _ in range(40):
        if not low < nu < high:
            nu = low + 0.5 * (high - low) if low > edge else edge + 0.1 * (high - edge)
            if not low < nu < high:
                break
        logs, inverse, square = 0.0, 0.0, 0.0
        for j in range(used):
            gap = nu - v[j]
            logs += p[j] * math.log(gap)
            inverse += p[j] / gap
            square += p[j] / (gap * gap)
        best = min(best, nu - shrink * math.exp(logs))
        f = logs + math.log(inverse)
        if abs(f - kappa) <= 1e-7 * kappa:
            break
        if f > kappa:
            low = nu
        else:
            high = nu
        slope = inverse - square / inverse  # f'
        if f > 0.0 and slope < 0.0:  # Newton on f^(-1/2), nearly a line
            nu += 2.0 * f / slope * (math.sqrt(f / kappa) - 1.0) * -1.0
        else:
            nu = -np.inf
    return max(best, mean)


@njit(cache=True, nogil=True, error_model="numpy")
def plan_balls(  # type: ignore[no-untyped-def]
    next_seen, reward_seen, count, slots, visits, allowed, shape, pooled, discount, reward_range, cap, floor,
    n_outcomes, log_rows, upper, lower, greedy, safe,
):  # fmt: skip
    """Largest and smallest values over the balls; ``greedy`` is best for the upper, ``safe`` for the lower ones."""
    H, S, A = shape
    rows, width = next_seen.shape
    kappa = np.empty(rows)
    for row in range(rows):
        n = visits[row]
        kappa[row] = ball_radius(count[row], slots[row], n, n_outcomes, log_rows) / n if n > 0 else np.inf
    upper[H], lower[H] = 0.0, 0.0
    v, p = np.empty(width), np.empty(width)
    for h in range(H - 1, -1, -1):
        # an outcome that was not seen may end the episode, or lead anywhere
        high = reward_range[1] + discount * max(0.0, upper[h + 1].max())
        low = reward_range[0] + discount * min(0.0, lower[h + 1].min())
        for s in range(S):
            best_upper, best_lower, first, second = -np.inf, -np.inf, 0, 0
            for a in range(A):
                if not allowed[h if len(allowed) > 1 else 0, s, a]:
                    continue
                row = s * A + a if pooled else (h * S + s) * A + a
                n, used = visits[row], slots[row]
                up, down = cap[h], floor[h]
                if n > 0:
                    room = used < n_outcomes
                    for j in range(used):
                        following = next_seen[row, j]
                        p[j] = count[row, j] / n
                        v[j] = reward_seen[row, j] + (discount * upper[h + 1, following] if following >= 0 else 0.0)
                    up = min(up, ball_maximum(v, p, used, high if room else -np.inf, kappa[row]))
                    for j in range(used):
                        following = next_seen[row, j]
                        v[j] = -reward_seen[row, j] - (discount * lower[h + 1, following] if following >= 0 else 0.0)
                    down = max(down, -ball_maximum(v, p, used, -low if room else -np.inf, kappa[row]))
                if up > best_upper:
                    best_upper, first = up, a
                if down > best_lower:
                    best_lower, second = down, a
            upper[h, s], lower[h, s], greedy[h, s], safe[h, s] = best_upper, best_lower, first, second


@njit(cache=True, nogil=True, error_model="numpy")
def exact_value(indptr, next_state, prob, reward, allowed, shape, changing, discount, policy, exploration, out):  # type: ignore[no-untyped-def]
    """(S,) value of a policy that explores with a probability; of the best one where ``policy`` is empty."""
    H, S, A = shape
    ahead = np.zeros(S)
    for h in range(H - 1, -1, -1):
        stage = h if changing else 0
        for s in range(S):
            best, average, chosen, n_allowed = -np.inf, 0.0, 0.0, 0
            for a in range(A):
                if not allowed[stage if len(allowed) > 1 else 0, s, a]:
                    continue
                if len(policy) and exploration == 0.0 and policy[h, s] != a:
                    continue
                row = (stage * S + s) * A + a
                q = 0.0
                for j in range(indptr[row], indptr[row + 1]):
                    q += prob[j] * (reward[j] + discount * ahead[next_state[j]])
                best = max(best, q)
                average += q
                n_allowed += 1
                if len(policy) and policy[h, s] == a:
                    chosen = q
            out[s] = (1.0 - exploration) * chosen + exploration * average / n_allowed if len(policy) else best
        ahead[:] = out


@njit(cache=True, nogil=True, error_model="numpy")
def explore(q, allowed, exploration, rng):  # type: ignore[no-untyped-def]
    """The best allowed action, or with probability ``exploration`` any of them."""
    if exploration > 0.0 and rng.random() < exploration:
        k = int(rng.random() * allowed.sum())
        for a in range(len(q)):
            if allowed[a]:
                if k == 0:
                    return a
                k -= 1
    best, chosen = -np.inf, 0
    for a in range(len(q)):
        if allowed[a] and q[a] > best:
            best, chosen = q[a], a
    return chosen


@njit(cache=True, nogil=True, error_model="numpy")
def td_update(q, visits, h, state, action, following, reward, discount, allowed):  # type: ignore[no-untyped-def]
    """A step of Q-learning with rate (H + 1) / (H + n); ``following`` is -1 where the episode ends."""
    H = q.shape[0]
    visits[h, state, action] += 1
    ahead = 0.0
    if following >= 0 and h + 1 < H:
        ahead = -np.inf
        for a in range(q.shape[2]):
            if allowed[(h + 1) if len(allowed) > 1 else 0, following, a]:
                ahead = max(ahead, q[h + 1, following, a])
    rate = (H + 1.0) / (H + visits[h, state, action])
    q[h, state, action] += rate * (reward + discount * ahead - q[h, state, action])


@njit(cache=True, nogil=True, error_model="numpy")
def q_episode(  # type: ignore[no-untyped-def]
    indptr, next_state, prob, reward, terminal, initial, allowed, changing, discount, exploration, q, visits, rng
):
    """An episode of Q-learning on a table."""
    H, S, A = q.shape
    state = draw(initial, 0, S, rng)
    for h in range(H):
        if terminal[state]:
            break
        action = explore(q[h, state], allowed[h if len(allowed) > 1 else 0, state], exploration, rng)
        source = ((h if changing else 0) * S + state) * A + action
        j = draw(prob, indptr[source], indptr[source + 1], rng)
        following = next_state[j]
        td_update(q, visits, h, state, action, -1 if terminal[following] else following, reward[j], discount, allowed)
        state = following
