"""Compiled evidence of A/B tests: the label e-process, profiles of effects, stopping times."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ._divergence_kernels import kl
from ._reward_kernels import uniform

DIFFERENCE, RATIO, ODDS_RATIO = 0, 1, 2


@njit(cache=True, nogil=True, error_model="numpy")
def log_factor(arm, y, chances, counts, sums, greater):  # type: ignore[no-untyped-def]
    """``ln f_arm(y) - ln sum_b pi_b f_b(y)`` with ``f_a(y) = y p_a + (1 - y) (1 - p_a)``, p_a = (S_a + 1/2) / (N_a + 1)."""
    total, own, low = 0.0, 0.0, 0.0
    pooled = greater and (sums[1] + 0.5) * (counts[0] + 1.0) < (sums[0] + 0.5) * (counts[1] + 1.0)
    if pooled:  # the estimates contradict the alternative: both are replaced by their mean, and nothing is bet
        low = 0.5 * ((sums[0] + 0.5) / (counts[0] + 1.0) + (sums[1] + 0.5) / (counts[1] + 1.0))
    for a in range(counts.size):
        p = low if pooled else (sums[a] + 0.5) / (counts[a] + 1.0)
        f = y * p + (1.0 - y) * (1.0 - p)
        total += chances[a] * f
        if a == arm:
            own = f
    return math.log(own / total)


@njit(cache=True, nogil=True, error_model="numpy")
def label_path(arms, outcomes, chances, n_arms, greater, path):  # type: ignore[no-untyped-def]
    """Logarithm of the e-process after each trial. ``chances`` (n, K) or (1, K)."""
    counts, sums = np.zeros(n_arms), np.zeros(n_arms)
    total = 0.0
    for i in range(arms.size):
        row = chances[i] if chances.shape[0] > 1 else chances[0]
        total += log_factor(arms[i], outcomes[i], row, counts, sums, greater)
        counts[arms[i]] += 1.0
        sums[arms[i]] += outcomes[i]
        path[i] = total


@njit(cache=True, nogil=True, error_model="numpy")
def category_path(arms, outcomes, chances, n_arms, n_categories, path):  # type: ignore[no-untyped-def]
    """The same for outcomes 0 .. m - 1, with the estimates ``(N_ay + 1/2) / (N_a + m / 2)``."""
    seen, counts = np.zeros((n_arms, n_categories)), np.zeros(n_arms)
    total = 0.0
    for i in range(arms.size):
        row = chances[i] if chances.shape[0] > 1 else chances[0]
        y, mixed, own = outcomes[i], 0.0, 0.0
        for a in range(n_arms):
            f = (seen[a, y] + 0.5) / (counts[a] + 0.5 * n_categories)
            mixed += row[a] * f
            if a == arms[i]:
                own = f
        total += math.log(own / mixed)
        counts[arms[i]] += 1.0
        seen[arms[i], y] += 1.0
        path[i] = total


@njit(cache=True, nogil=True, error_model="numpy")
def trial_until(means, share, clip, alpha, greater, key, max_trials):  # type: ignore[no-untyped-def]
    """Trials of a two-armed test until the e-process reaches 1 / alpha, and whether it did.

    ``share`` is the probability of the second arm; if it is 0, the allocation is adaptive: the second arm has the
    probability ``clip`` or ``1 - clip``, the larger one for the better mean so far.
    """
    counts, sums, chances = np.zeros(2), np.zeros(2), np.empty(2)
    goal, total = -math.log(alpha), 0.0
    for i in range(max_trials):
        if share > 0.0:
            chances[1] = share
        else:
            ahead = (sums[1] + 0.5) / (counts[1] + 1.0) - (sums[0] + 0.5) / (counts[0] + 1.0)
            chances[1] = 0.5 if ahead == 0.0 else 1.0 - clip if ahead > 0.0 else clip
        chances[0] = 1.0 - chances[1]
        arm = 1 if uniform(key, i, 0) < chances[1] else 0
        y = 1.0 if uniform(key, i, 1) < means[arm] else 0.0
        total += log_factor(arm, y, chances, counts, sums, greater)
        counts[arm] += 1.0
        sums[arm] += y
        if total >= goal:
            return i + 1, True
    return max_trials, False


@njit(cache=True, nogil=True, error_model="numpy")
def z_test_rejects(means, key, first, max_pairs, critical):  # type: ignore[no-untyped-def]
    """Whether a z-test looked at after every pair from ``first`` on rejects before ``max_pairs``: what not to do."""
    s0, s1 = 0.0, 0.0
    for i in range(max_pairs):
        s0 += 1.0 if uniform(key, i, 0) < means[0] else 0.0
        s1 += 1.0 if uniform(key, i, 1) < means[1] else 0.0
        n = i + 1.0
        if n >= first:
            pooled = (s0 + s1) / (2.0 * n)
            if 0.0 < pooled < 1.0 and abs(s1 - s0) / n > critical * math.sqrt(2.0 * pooled * (1.0 - pooled) / n):
                return True
    return False


@njit(cache=True, nogil=True, error_model="numpy")
def _partner(effect, value, p):  # type: ignore[no-untyped-def]
    if effect == DIFFERENCE:
        return p + value
    if effect == RATIO:
        return p * value
    odds = value * p / (1.0 - p)
    return odds / (1.0 + odds)


@njit(cache=True, nogil=True, error_model="numpy")
def profile(effect, value, n_a, mean_a, n_b, mean_b):  # type: ignore[no-untyped-def]
    """``min N_A d(mean_A, p_A) + N_B d(mean_B, p_B)`` over the pairs with this effect: golden section, the cost is unimodal."""
    low, high = 0.0, 1.0
    if effect == DIFFERENCE:
        low, high = max(0.0, -value), min(1.0, 1.0 - value)
    elif effect == RATIO and value > 1.0:
        high = 1.0 / value
    shrink = 0.5 * (math.sqrt(5.0) - 1.0)
    x, y = high - shrink * (high - low), low + shrink * (high - low)
    fx = n_a * kl(mean_a, x, 0, 1.0) + n_b * kl(mean_b, _partner(effect, value, x), 0, 1.0)
    fy = n_a * kl(mean_a, y, 0, 1.0) + n_b * kl(mean_b, _partner(effect, value, y), 0, 1.0)
    for _ in range(80):
        if fx <= fy:
            high, y, fy = y, x, fx
            x = high - shrink * (high - low)
            fx = n_a * kl(mean_a, x, 0, 1.0) + n_b * kl(mean_b, _partner(effect, value, x), 0, 1.0)
        else:
            low, x, fx = x, y, fy
            y = low + shrink * (high - low)
            fy = n_a * kl(mean_a, y, 0, 1.0) + n_b * kl(mean_b, _partner(effect, value, y), 0, 1.0)
    return min(fx, fy)


@njit(cache=True, nogil=True, error_model="numpy")
def effect_bound(effect, level, n_a, mean_a, n_b, mean_b, inside, outside):  # type: ignore[no-untyped-def]
    """The effect between ``inside`` (cost below the level) and ``outside`` at which the profile meets the level."""
    for _ in range(100):
        middle = 0.5 * (inside + outside)
        if effect != DIFFERENCE:
            middle = math.sqrt(inside * outside) if inside > 0.0 and outside < np.inf else middle
        if profile(effect, middle, n_a, mean_a, n_b, mean_b) <= level:
            inside = middle
        else:
            outside = middle
    return outside
