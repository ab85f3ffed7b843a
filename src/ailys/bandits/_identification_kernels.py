"""Compiled sampling rules for fixed-confidence identification, and a loop that plays a whole run.

Arrays: ``counts`` (K,), ``sums`` (K,); ``work`` (6, K): weights, cumulated weights, exponents of the gradient ascent,
times led, own draws while leading, alive; ``warm`` (K + 2,): the last solution of the oracle; ``queue`` (K,) arms still to
draw of the round, ``ints``: length of the queue, round, rounds judged, rounds since the weights were computed, followed
answer. ``options``: what the class of the rule says.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ._divergence_kernels import BERNOULLI, GAUSSIAN, POISSON, kl, kl_lower, kl_upper
from ._reward_kernels import draw_reward
from ._stopping_kernels import arm_level, pair_threshold, settled, surely_open
from ._weights_kernels import answer_weights, oracle, pair_cost

D_TRACKING, C_TRACKING, STICKY, FRANK_WOLFE, GRADIENT, TOP_TWO, KL_LUCB, KL_RACING, CHERNOFF_RACING, UNIFORM = range(10)
LEAD_BEST, LEAD_SAMPLE, LEAD_UCB = 0.0, 1.0, 2.0
WEIGHTS, CUMULATED, EXPONENTS, LED, OWN, ALIVE = range(6)
QUEUED, ROUND, JUDGED, AGE, FOLLOWED = range(5)
_CLIP = 1e-6


@njit(cache=True, nogil=True, error_model="numpy")
def best_of(counts, sums, rng):  # type: ignore[no-untyped-def]
    """Arm of the best mean, ties broken uniformly."""
    top, chosen, ties = -np.inf, 0, 0
    for a in range(counts.size):
        m = sums[a] / counts[a] if counts[a] > 0 else -np.inf
        if m > top:
            top, chosen, ties = m, a, 1
        elif m == top:
            ties += 1
            if rng.random() * ties < 1.0:
                chosen = a
    return chosen


@njit(cache=True, nogil=True, error_model="numpy")
def _means(counts, sums, family):  # type: ignore[no-untyped-def]
    """Means observed, kept off the edges of the family, where divergences are infinite."""
    out = np.empty(counts.size)
    for a in range(counts.size):
        m = sums[a] / counts[a]
        if family == BERNOULLI:
            m = min(max(m, _CLIP), 1.0 - _CLIP)
        elif family != GAUSSIAN:
            m = max(m, _CLIP)
        out[a] = m
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _cost_of_best(arm, counts, means, family, sigma):  # type: ignore[no-untyped-def]
    """Least ``sum N_a d(mean_a, lambda_a)`` over the instances in which ``arm`` is a best arm."""
    low, high = means[arm], means.max()
    if low >= high:
        return 0.0
    for _ in range(60):  # pull arm up to x and all above x down to it: the derivative increases
        x = 0.5 * (low + high)
        slope = counts[arm] * (x - means[arm])
        for a in range(counts.size):
            if a != arm and means[a] > x:
                slope += counts[a] * (x - means[a])
        if slope > 0.0:
            high = x
        else:
            low = x
    cost = counts[arm] * kl(means[arm], low, family, sigma)
    for a in range(counts.size):
        if a != arm and means[a] > low:
            cost += counts[a] * kl(means[a], low, family, sigma)
    return cost


@njit(cache=True, nogil=True, error_model="numpy")
def project(weights, floor, out):  # type: ignore[no-untyped-def]
    """Projection in the largest coordinate on the weights that are at least ``floor``: ``max(w - shift, floor)``."""
    low, high = 0.0, 1.0
    for _ in range(60):
        shift = 0.5 * (low + high)
        total = 0.0
        for a in range(weights.size):
            total += max(weights[a] - shift, floor)
        if total > 1.0:
            low = shift
        else:
            high = shift
    total = 0.0
    for a in range(weights.size):
        out[a] = max(weights[a] - high, floor)
        total += out[a]
    for a in range(weights.size):
        out[a] /= total


@njit(cache=True, nogil=True, error_model="numpy")
def _update_weights(rule, family, sigma, eps, options, t, counts, sums, work, warm, ints):  # type: ignore[no-untyped-def]
    """Oracle weights at the means observed, every ``options[0]`` rounds."""
    if ints[AGE] > 0 and ints[AGE] < options[0]:
        ints[AGE] += 1
        return
    ints[AGE] = 1
    means = _means(counts, sums, family)
    if rule == STICKY and eps > 0.0:
        radius = options[1] * math.log(t)  # ln f(t), f(t) = t^10 in the analysis
        for a in range(counts.size):
            if _cost_of_best(a, counts, means, family, sigma) <= radius:
                if ints[FOLLOWED] != a:
                    warm[0] = -1.0
                ints[FOLLOWED] = a
                # a need not be a right answer at the observed means: then weights of the nearest instance where it is
                if means[a] + eps <= means.max():
                    means[a] = means.max() - 0.5 * eps
                if answer_weights(means, a, eps, family, sigma, work[WEIGHTS], warm) < np.inf:
                    return
                break
    oracle(means, eps, family, sigma, work[WEIGHTS], warm)


@njit(cache=True, nogil=True, error_model="numpy")
def _most_behind(targets, factor, counts):  # type: ignore[no-untyped-def]
    lag, chosen = -np.inf, 0
    for a in range(counts.size):
        d = factor * targets[a] - counts[a]
        if d > lag:
            lag, chosen = d, a
    return chosen


@njit(cache=True, nogil=True, error_model="numpy")
def sample_mean(family, sigma, total, count, rng):  # type: ignore[no-untyped-def]
    """A draw from the posterior of a mean (uniform, flat or scale-free prior)."""
    if family == BERNOULLI:
        return rng.beta(1.0 + total, 1.0 + count - total)
    if family == GAUSSIAN:
        return total / count + sigma / math.sqrt(count) * rng.standard_normal()
    if family == POISSON:
        return rng.standard_gamma(total + 0.5) / count
    return total / rng.standard_gamma(float(count))


@njit(cache=True, nogil=True, error_model="numpy")
def _sampled_best(family, sigma, counts, sums, rng):  # type: ignore[no-untyped-def]
    top, chosen = -np.inf, 0
    for a in range(counts.size):
        m = sample_mean(family, sigma, sums[a], counts[a], rng)
        if m > top:
            top, chosen = m, a
    return chosen


@njit(cache=True, nogil=True, error_model="numpy")
def _challenger(leader, improved, family, sigma, counts, sums, rng):  # type: ignore[no-untyped-def]
    """The rival of least transport cost (plus ``ln N`` if improved), ties broken uniformly."""
    mu = sums[leader] / counts[leader]
    least, chosen, ties = np.inf, -1, 0
    for a in range(counts.size):
        if a == leader:
            continue
        cost = pair_cost(float(counts[leader]), mu, float(counts[a]), sums[a] / counts[a], 0.0, family, sigma)
        if improved:
            cost += math.log(counts[a])
        if cost < least or chosen < 0:
            least, chosen, ties = cost, a, 1
        elif cost == least:
            ties += 1
            if rng.random() * ties < 1.0:
                chosen = a
    return chosen


@njit(cache=True, nogil=True, error_model="numpy")
def _top_two(family, sigma, options, t, counts, sums, work, rng):  # type: ignore[no-untyped-def]
    """Leader or challenger. Options: kind of leader, kind of challenger (0 RS, 1 TC, 2 TCI), beta (0: IDS), tracking."""
    n = counts.size
    if options[0] == LEAD_SAMPLE:
        leader = _sampled_best(family, sigma, counts, sums, rng)
    elif options[0] == LEAD_UCB:
        leader, top = 0, -np.inf
        for a in range(n):
            index = kl_upper(sums[a] / counts[a], math.log(t) / counts[a], family, sigma)
            if index > top:
                leader, top = a, index
    else:
        leader = best_of(counts, sums, rng)
    rival = -1
    if options[1] == 0.0:
        for _ in range(1000):
            other = _sampled_best(family, sigma, counts, sums, rng)
            if other != leader:
                rival = other
                break
    if rival < 0:
        rival = _challenger(leader, options[1] == 2.0, family, sigma, counts, sums, rng)
    beta = options[2]
    if beta == 0.0:  # information-directed: share of the leader in the transport cost
        mu, m_r = sums[leader] / counts[leader], sums[rival] / counts[rival]
        beta = 0.5
        if mu > m_r:
            pooled = (sums[leader] + sums[rival]) / (counts[leader] + counts[rival])
            own = counts[leader] * kl(mu, pooled, family, sigma)
            beta = own / (own + counts[rival] * kl(m_r, pooled, family, sigma))
    if options[3] == 1.0:  # tracking instead of a coin
        work[LED, leader] += 1.0
        if work[OWN, leader] <= beta * work[LED, leader] - 1.0 + 1e-12:
            work[OWN, leader] += 1.0
            return leader
        return rival
    return leader if rng.random() < beta else rival


@njit(cache=True, nogil=True, error_model="numpy")
def _frank_wolfe_weights(family, sigma, t, counts, sums):  # type: ignore[no-untyped-def]
    """Point towards which the smoothed objective grows fastest (Wang, Tzeng, Proutiere 2021).

    With x = N / t, ``f_j(x)`` the evidence against rival j (gradient ``(a_j, b_j)`` in the coordinates of the best arm and
    of j) and the rivals within r of the hardest active, z maximises ``min_j z_1 a_j + z_j b_j - f_j``: for given z_1 the
    value v solves ``z_1 + sum_j (v + f_j - z_1 a_j)_+ / b_j = 1``, and v is concave in z_1.
    """
    n = counts.size
    means = _means(counts, sums, family)
    best = int(np.argmax(means))
    a, b, f = np.zeros(n), np.zeros(n), np.full(n, np.inf)
    for j in range(n):
        if j != best and means[best] - means[j] > 1e-9 * max(1.0, abs(means[best])):
            x1, xj = counts[best] / t, counts[j] / t
            m = (x1 * means[best] + xj * means[j]) / (x1 + xj)
            a[j], b[j] = kl(means[best], m, family, sigma), kl(means[j], m, family, sigma)
            f[j] = x1 * a[j] + xj * b[j]
        elif j != best:
            b[j], f[j] = 1e-12, 0.0  # a tie: no evidence yet
    hardest = f.min()
    radius = t**-0.9 / n
    low, high = 0.0, 1.0
    z = np.zeros(n)
    active, rival = 0, best
    for j in range(n):
        if j != best and f[j] < hardest + radius:
            active, rival = active + 1, j
    if active == 1:  # one rival: the best vertex
        z[best if a[rival] > b[rival] else rival] = 1.0
        return z
    for _ in range(60):
        values = np.empty(2)
        for side in range(2):
            z1 = low + (0.382 + 0.236 * side) * (high - low)
            values[side] = _game_value(z1, a, b, f, hardest + radius, best, z)
        if values[0] < values[1]:
            low = low + 0.382 * (high - low)
        else:
            high = high - 0.382 * (high - low)
    z1 = 0.5 * (low + high)
    _game_value(z1, a, b, f, hardest + radius, best, z)
    z[best] = z1
    return z


@njit(cache=True, nogil=True, error_model="numpy")
def _game_value(z1, a, b, f, cut, best, z):  # type: ignore[no-untyped-def]
    low, high = -1e6, 1e6
    for _ in range(80):
        v = 0.5 * (low + high)
        total = z1
        for j in range(a.size):
            z[j] = 0.0
            if j != best and f[j] < cut:
                z[j] = max(v + f[j] - z1 * a[j], 0.0) / b[j]
                total += z[j]
        if total > 1.0:
            high = v
        else:
            low = v
    return low


@njit(cache=True, nogil=True, error_model="numpy")
def _gradient_step(family, sigma, t, counts, sums, work):  # type: ignore[no-untyped-def]
    """Exponential weights on the supergradient of the objective (Ménard 2019); adds the mixed weights to the cumulated ones."""
    n = counts.size
    means = _means(counts, sums, family)
    best = int(np.argmax(means))
    w = work[WEIGHTS]
    hardest, rival = np.inf, -1
    for j in range(n):
        if j != best:
            cost = pair_cost(w[best], means[best], w[j], means[j], 0.0, family, sigma)
            if cost < hardest or rival < 0:
                hardest, rival = cost, j
    m = (w[best] * means[best] + w[rival] * means[rival]) / (w[best] + w[rival])
    up, down = kl(means[best], m, family, sigma), kl(means[rival], m, family, sigma)
    scale = max(up, down, 1e-300)  # the step does not depend on the unit of the evidence
    work[EXPONENTS, best] += up / scale
    work[EXPONENTS, rival] += down / scale
    rate = 1.0 / math.sqrt(t)
    top = work[EXPONENTS].max()
    total = 0.0
    for a in range(n):
        w[a] = math.exp(rate * (work[EXPONENTS, a] - top))
        total += w[a]
    mix = 0.25 / math.sqrt(t)
    for a in range(n):
        w[a] /= total
        work[CUMULATED, a] += (1.0 - mix) * w[a] + mix / n


@njit(cache=True, nogil=True, error_model="numpy")
def _refill(rule, stop_rule, constants, family, sigma, t, counts, sums, work, queue, ints, rng):  # type: ignore[no-untyped-def]
    """Arms of the next round of a rule that draws several."""
    ints[QUEUED] = 0
    if rule == KL_LUCB:
        b = best_of(counts, sums, rng)
        c = lucb_pair(b, stop_rule, constants, family, sigma, t, counts, sums)[0]
        queue[0], queue[1] = c, b  # taken from the end
        ints[QUEUED] = 2
        return
    judge_round(rule, stop_rule, constants, 0.0, family, sigma, t, counts, sums, work, ints)
    ints[ROUND] += 1
    for a in range(counts.size - 1, -1, -1):
        if rule == UNIFORM or work[ALIVE, a] > 0.0:
            queue[ints[QUEUED]] = a
            ints[QUEUED] += 1


@njit(cache=True, nogil=True, error_model="numpy")
def lucb_pair(b, stop_rule, constants, family, sigma, t, counts, sums):  # type: ignore[no-untyped-def]
    """Challenger of the arm b by upper index, that index, and the lower index of b."""
    c, top = -1, -np.inf
    for a in range(counts.size):
        if a != b:
            level = arm_level(stop_rule, constants, family, t, counts[a], sums[a])
            index = kl_upper(sums[a] / counts[a], level / counts[a], family, sigma)
            if index > top:
                c, top = a, index
    level = arm_level(stop_rule, constants, family, t, counts[b], sums[b])
    return c, top, kl_lower(sums[b] / counts[b], level / counts[b], family, sigma)


@njit(cache=True, nogil=True, error_model="numpy")
def judge_round(rule, stop_rule, constants, eps, family, sigma, t, counts, sums, work, ints):  # type: ignore[no-untyped-def]
    """Drop the worst arm still racing if the round is complete and the evidence is there; True when one answer is left."""
    n = counts.size
    b, w, left = -1, -1, 0
    for a in range(n):
        if work[ALIVE, a] > 0.0:
            left += 1
            if counts[a] < ints[ROUND] or counts[a] == 0:
                return False  # the round is not over
            m = sums[a] / counts[a]
            if b < 0 or m > sums[b] / counts[b]:
                b = a
            if w < 0 or m < sums[w] / counts[w]:
                w = a
    if left <= 1:
        return True
    if ints[JUDGED] >= ints[ROUND]:
        return False
    ints[JUDGED] = ints[ROUND]
    if b == w:
        return False
    if rule == CHERNOFF_RACING:
        done = eps > 0.0
        for a in range(n):
            if a != b and work[ALIVE, a] > 0.0:
                beta = pair_threshold(stop_rule, constants, family, t, counts[b], sums[b], counts[a], sums[a])
                z = pair_cost(
                    float(counts[b]), sums[b] / counts[b], float(counts[a]), sums[a] / counts[a], eps, family, sigma
                )
                done = done and z > beta
        beta = pair_threshold(stop_rule, constants, family, t, counts[b], sums[b], counts[w], sums[w])
        z = pair_cost(float(counts[b]), sums[b] / counts[b], float(counts[w]), sums[w] / counts[w], 0.0, family, sigma)
        drop = z > beta
    else:
        level = arm_level(stop_rule, constants, family, t, counts[b], sums[b])
        lower = kl_lower(sums[b] / counts[b], level / counts[b], family, sigma)
        done, drop = eps > 0.0, False
        for a in range(n):
            if a != b and work[ALIVE, a] > 0.0:
                level = arm_level(stop_rule, constants, family, t, counts[a], sums[a])
                upper = kl_upper(sums[a] / counts[a], level / counts[a], family, sigma)
                done = done and upper < lower + eps
                if a == w:
                    drop = upper < lower
    if drop:
        work[ALIVE, w] = 0.0
        left -= 1
    if done:
        for a in range(n):
            work[ALIVE, a] = 1.0 if a == b else 0.0
        return True
    return left == 1


@njit(cache=True, nogil=True, error_model="numpy")
def choose_arm(rule, stop_rule, constants, family, sigma, eps, options, t, counts, sums, work, warm, queue, ints, rng):  # type: ignore[no-untyped-def]  # fmt: skip
    """The arm to draw at time t + 1; arms not drawn yet come first."""
    n = counts.size
    rounds = rule >= KL_LUCB
    if not rounds or rule == KL_LUCB:
        for a in range(n):
            if counts[a] == 0:
                return a
    if rounds:
        if ints[QUEUED] == 0:
            _refill(rule, stop_rule, constants, family, sigma, t, counts, sums, work, queue, ints, rng)
        ints[QUEUED] -= 1
        return queue[ints[QUEUED]]
    if rule == TOP_TWO:
        return _top_two(family, sigma, options, t, counts, sums, work, rng)
    if rule == GRADIENT:
        _gradient_step(family, sigma, float(t), counts, sums, work)
        return _most_behind(work[CUMULATED], 1.0, counts)
    if rule == FRANK_WOLFE:
        root = math.floor(math.sqrt(t / n))
        if root * root * n == t or counts.min() < math.sqrt(t / n) - 1.0:
            z = np.full(n, 1.0 / n)  # forced exploration
        else:
            z = _frank_wolfe_weights(family, sigma, t, counts, sums)
        for a in range(n):
            work[CUMULATED, a] += z[a]
        return _most_behind(work[CUMULATED], 1.0, counts)
    if rule == D_TRACKING:
        least = int(np.argmin(counts))
        if counts[least] < math.sqrt(t) - 0.5 * n:
            return least
        _update_weights(rule, family, sigma, eps, options, t, counts, sums, work, warm, ints)
        return _most_behind(work[WEIGHTS], float(t), counts)
    _update_weights(rule, family, sigma, eps, options, t, counts, sums, work, warm, ints)
    mixed = np.empty(n)
    project(work[WEIGHTS], 0.5 / math.sqrt(n * n + t), mixed)
    for a in range(n):
        work[CUMULATED, a] += mixed[a]
    return _most_behind(work[CUMULATED], 1.0, counts)


@njit(cache=True, nogil=True, error_model="numpy")
def stop_answer(rule, stop_rule, constants, family, sigma, eps, t, counts, sums, work, ints):  # type: ignore[no-untyped-def]
    """Answer on which the rule may stop now, or -1."""
    n = counts.size
    if t < n or counts.min() == 0:
        return -1
    if rule in (KL_RACING, CHERNOFF_RACING):
        if not judge_round(rule, stop_rule, constants, eps, family, sigma, t, counts, sums, work, ints):
            return -1
        return int(np.argmax(work[ALIVE]))
    best = 0
    for a in range(1, n):
        if sums[a] * counts[best] > sums[best] * counts[a]:
            best = a
    if rule == KL_LUCB:
        if ints[QUEUED] > 0:
            return -1  # between the two draws of a round
        _, upper, lower = lucb_pair(best, stop_rule, constants, family, sigma, t, counts, sums)
        return best if lower + eps > upper else -1
    top = sums[best] / counts[best]
    for a in range(n):
        if a != best and (eps == 0.0 or sums[a] / counts[a] + eps <= top):
            continue
        if surely_open(a, stop_rule, constants, family, sigma, counts, sums, eps):
            continue
        if settled(a, stop_rule, constants, eps, family, sigma, t, counts, sums)[0]:
            return a
    return -1


@njit(cache=True, nogil=True, error_model="numpy")
def play_until(rule, stop_rule, constants, family, sigma, eps, options, means, keys, max_steps, counts, sums, work, warm, queue, ints, rng):  # type: ignore[no-untyped-def]  # fmt: skip
    """A whole run; returns the number of draws and the answer (-1: not settled within ``max_steps``)."""
    for t in range(max_steps):
        arm = choose_arm(
            rule, stop_rule, constants, family, sigma, eps, options, t, counts, sums, work, warm, queue, ints, rng
        )
        sums[arm] += draw_reward(family, means[arm], sigma, keys[arm], counts[arm])
        counts[arm] += 1
        answer = stop_answer(rule, stop_rule, constants, family, sigma, eps, t + 1, counts, sums, work, ints)
        if answer >= 0:
            return t + 1, answer
    return max_steps, -1
