"""Compiled regret policies: the arm to draw next, and a loop that plays a whole run.

Every policy is one function of the arms' counts and sums. `choose` serves the live agents and the
simulation alike, so both take the same decisions. Ties are broken uniformly.

Arrays: ``counts`` (K,) draws; ``sums`` (K,) sums of rewards; ``aux`` (K, 3) what a policy keeps for itself (KL-UCB: an
index, its slope in the level and the level; Thompson: sums of rewards made binary);
``values``, ``repeats`` (K, capacity) and ``sizes`` (K,) the distinct rewards of each arm with their
multiplicities, sorted, for the policies that need the whole sample.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ._divergence_kernels import BERNOULLI, EXPONENTIAL, GAUSSIAN, POISSON, kl, kl_bounds, kl_upper, variance
from ._quantile_kernels import beta_upper, gamma_upper, normal_upper
from ._reward_kernels import draw_reward

UCB, MOSS, KLUCB, KLUCBPP, KLUCB_SWITCH, BAYES_UCB, THOMPSON, IMED, EMPIRICAL_KLUCB, EMPIRICAL_IMED = range(10)


@njit(cache=True, nogil=True, error_model="numpy")
def _log_plus(x):  # type: ignore[no-untyped-def]
    return math.log(x) if x > 1.0 else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def _bound(aux, a, level, family):  # type: ignore[no-untyped-def]
    """Upper bound of the KL-UCB index of an arm at this level: the tangent of a concave function of the level.

    The index is one where the divergence is convex in its second mean; of exponential rewards the logarithm of the index is.
    """
    later = level - aux[a, 2]
    if later <= 0.0 or aux[a, 0] == np.inf:
        return aux[a, 0]
    if family == EXPONENTIAL:
        bound = aux[a, 0] * math.exp(aux[a, 1] / aux[a, 0] * later)
    else:
        bound = aux[a, 0] + aux[a, 1] * later
    bound += 1e-12 * (1.0 + abs(bound))
    return min(bound, 1.0) if family == BERNOULLI else bound


@njit(cache=True, nogil=True, error_model="numpy")
def _evaluate(a, family, sigma, level, counts, sums, aux):  # type: ignore[no-untyped-def]
    """The KL-UCB index of an arm, kept with its slope ``V(index) / (N (index - mean))``."""
    mean = sums[a] / counts[a]
    index = kl_upper(mean, level / counts[a], family, sigma)
    aux[a, 0], aux[a, 2] = index, level
    aux[a, 1] = variance(index, family, sigma) / (counts[a] * (index - mean)) if index > mean else np.inf
    return index


@njit(cache=True, nogil=True, error_model="numpy")
def _pick_klucb(family, sigma, c, t, counts, sums, aux, rng):  # type: ignore[no-untyped-def]
    """KL-UCB, computing few indices: only those of arms whose bound is not below what is known of another arm.

    Most decisions need none: rational bounds of one divergence show that the leader's index is above all the others.
    The arm chosen is that of the plain rule; one uniform number is drawn if several have the largest index.
    """
    n = counts.size
    log_t = math.log(t)
    level = log_t + (c * math.log(log_t) if c != 0.0 and log_t > 1.0 else 0.0)
    lead, top, second = 0, -np.inf, -np.inf  # the arm of the largest bound is the likely winner
    for a in range(n):
        bound = _bound(aux, a, level, family)
        if bound > top:
            lead, top, second = a, bound, top
        elif bound > second:
            second = bound
    if second < np.inf:
        mean = sums[lead] / counts[lead]
        if mean > second:
            return lead
        if mean < second and counts[lead] * kl_bounds(mean, second, family, sigma)[1] < level * (1.0 - 1e-9):
            return lead
    best = _evaluate(lead, family, sigma, level, counts, sums, aux)
    chosen, ties = lead, 1
    for a in range(n):
        if a == lead or _bound(aux, a, level, family) < best:
            continue
        if counts[a] == counts[chosen] and sums[a] == sums[chosen]:  # the same sample, the same index
            aux[a] = aux[chosen]
            ties += 1
            continue
        mean, near = sums[a] / counts[a], best - 1e-15 * abs(best)  # an index is rounded
        if mean < near and counts[a] * kl_bounds(mean, near, family, sigma)[0] > level * (1.0 + 1e-9):
            continue
        index = _evaluate(a, family, sigma, level, counts, sums, aux)
        if index > best:
            best, chosen, ties = index, a, 1
        elif index == best:
            ties += 1
    if ties > 1:
        skipped = int(rng.random() * ties)
        for a in range(n):
            if aux[a, 0] == best and aux[a, 2] == level:
                if skipped == 0:
                    return a
                skipped -= 1
    return chosen


@njit(cache=True, nogil=True, error_model="numpy")
def kl_inf(values, repeats, size, count, mu):  # type: ignore[no-untyped-def]
    """``max over lambda in [0, 1] of mean ln(1 - lambda (x - mu) / (1 - mu))``, the empirical K_inf (rewards in [0, 1]).

    Returned with the maximiser.
    """
    if mu >= 1.0:
        return (0.0 if size == 1 and values[0] >= 1.0 else np.inf), 1.0
    mean = 0.0
    for i in range(size):
        mean += repeats[i] * values[i]
    mean /= count
    if mean >= mu:
        return 0.0, 0.0
    low, high, x = 0.0, 1.0, 0.5
    for _ in range(100):  # the slope in lambda decreases
        slope, curve = 0.0, 0.0
        for i in range(size):
            r = (values[i] - mu) / (1.0 - mu)
            q = 1.0 - x * r
            q = q if q > 1e-300 else 1e-300
            slope -= repeats[i] * r / q
            curve -= repeats[i] * r * r / (q * q)
        if slope > 0.0:
            low = x
        else:
            high = x
        new = x - slope / curve if curve < 0.0 else high
        if new >= 1.0 and slope > 0.0 and x == high:
            break
        if not low < new < high:
            new = 0.5 * (low + high)
        if abs(new - x) < 1e-12:
            break
        x = new
    total = 0.0
    for i in range(size):
        q = 1.0 - x * (values[i] - mu) / (1.0 - mu)
        total += repeats[i] * math.log(q if q > 1e-300 else 1e-300)
    return max(total / count, 0.0), x


@njit(cache=True, nogil=True, error_model="numpy")
def _empirical_upper(values, repeats, size, count, mean, level):  # type: ignore[no-untyped-def]
    if mean >= 1.0:
        return 1.0
    # K_inf is convex in mu and at least the Bernoulli divergence of the means: Newton from the right, bracketed
    low, high = mean, kl_upper(mean, level, BERNOULLI, 1.0)
    mu = high
    for _ in range(60):
        if mu >= 1.0:
            mu = 0.5 * (low + 1.0)
        value, x = kl_inf(values, repeats, size, count, mu)
        if value <= level:
            low = mu
        else:
            high = mu
        # dK_inf / dmu = lambda E[(1 - x) / (1 - mu)^2 / (1 - lambda (x - mu) / (1 - mu))]
        slope = 0.0
        for i in range(size):
            q = 1.0 - x * (values[i] - mu) / (1.0 - mu)
            slope += repeats[i] * x * (1.0 - values[i]) / ((1.0 - mu) ** 2 * (q if q > 1e-300 else 1e-300))
        new = mu - (value - level) * count / slope if slope > 0.0 else 0.5 * (low + high)
        if not low < new < high:
            new = 0.5 * (low + high)
        if abs(new - mu) < 1e-12 or high - low < 1e-14:
            break
        mu = new
    return mu


@njit(cache=True, nogil=True, error_model="numpy")
def _index(policy, family, sigma, params, t, log_t, n, count, total, binary, rng):  # type: ignore[no-untyped-def]
    """Index of one arm, to be maximised. ``params``: what the policy's class says."""
    mean = total / count
    if policy == UCB:
        return mean + params[0] * math.sqrt(2.0 * log_t / count)
    if policy == MOSS:
        horizon = params[1] if params[1] > 0.0 else t
        return mean + 2.0 * params[0] * math.sqrt(_log_plus(horizon / (n * count)) / (2.0 * count))
    if policy == KLUCBPP:
        ratio = params[1] / (n * count)
        return kl_upper(mean, _log_plus(ratio * (1.0 + _log_plus(ratio) ** 2)) / count, family, sigma)
    if policy == KLUCB_SWITCH:
        ratio = (params[1] if params[1] > 0.0 else t) / (n * count)
        # with the horizon known the plain logarithm is enough; without it, the extra factor pays for all horizons
        level = _log_plus(ratio) if params[1] > 0.0 else _log_plus(ratio * (1.0 + _log_plus(ratio) ** 2))
        if count <= math.floor(((params[1] if params[1] > 0.0 else t) / n) ** 0.2):
            return kl_upper(mean, level / count, family, sigma)
        return mean + 2.0 * params[0] * math.sqrt(level / (2.0 * count))
    if policy == BAYES_UCB:
        span = params[1] if params[1] > 1.0 else t
        q = 1.0 / (t * max(1.0, math.log(span)) ** params[2])
        q = min(q, 0.5)
        if family == BERNOULLI:
            return beta_upper(binary + params[0], count - binary + params[0], q)
        if family == GAUSSIAN:
            return mean + sigma / math.sqrt(count) * normal_upper(q)
        if family == POISSON:
            return gamma_upper(total + 0.5, q) / count
        return total / gamma_upper(float(count), 1.0 - q)
    # Thompson
    if family == BERNOULLI:
        return rng.beta(binary + params[0], count - binary + params[0])
    if family == GAUSSIAN:
        return mean + sigma / math.sqrt(count) * rng.standard_normal()
    if family == POISSON:
        return rng.standard_gamma(total + 0.5) / count
    return total / rng.standard_gamma(float(count))


@njit(cache=True, nogil=True, error_model="numpy")
def _pick_index(policy, family, sigma, params, t, counts, sums, aux, values, repeats, sizes, rng):  # type: ignore[no-untyped-def]
    """The arm of the largest index, computed for all arms."""
    n = counts.size
    log_t = math.log(t)
    top = -np.inf
    if policy in (IMED, EMPIRICAL_IMED):
        for a in range(n):
            top = max(top, sums[a] / counts[a])
    best, chosen, ties = -np.inf, 0, 0
    for a in range(n):
        if policy == IMED:
            index = -counts[a] * kl(sums[a] / counts[a], top, family, sigma) - math.log(counts[a])
        elif policy == EMPIRICAL_IMED:
            index = -counts[a] * kl_inf(values[a], repeats[a], sizes[a], counts[a], top)[0] - math.log(counts[a])
        elif policy == EMPIRICAL_KLUCB:
            level = log_t / counts[a]
            index = _empirical_upper(values[a], repeats[a], sizes[a], counts[a], sums[a] / counts[a], level)
        else:
            index = _index(policy, family, sigma, params, t, log_t, n, counts[a], sums[a], aux[a, 0], rng)
        if index > best:
            best, chosen, ties = index, a, 1
        elif index == best:
            ties += 1
            if rng.random() * ties < 1.0:
                chosen = a
    return chosen


# inlined into `play`: handing over a dozen arrays costs more than most decisions
@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def choose(policy, family, sigma, params, t, counts, sums, aux, values, repeats, sizes, rng):  # type: ignore[no-untyped-def]
    """The arm that a policy draws at time t + 1; arms not drawn yet come first."""
    for a in range(counts.size):
        if counts[a] == 0:
            return a
    if policy == KLUCB:
        return _pick_klucb(family, sigma, params[0], t, counts, sums, aux, rng)
    return _pick_index(policy, family, sigma, params, t, counts, sums, aux, values, repeats, sizes, rng)


@njit(cache=True, nogil=True, error_model="numpy")
def _keep(reward, values, repeats, size):  # type: ignore[no-untyped-def]
    """Add a reward to the sorted distinct ones of an arm; how many there are now."""
    i = np.searchsorted(values[:size], reward)
    if i < size and values[i] == reward:
        repeats[i] += 1
        return size
    for j in range(size, i, -1):
        values[j] = values[j - 1]
        repeats[j] = repeats[j - 1]
    values[i] = reward
    repeats[i] = 1
    return size + 1


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def observe(policy, family, arm, reward, coin, counts, sums, aux, values, repeats, sizes):  # type: ignore[no-untyped-def]
    """Count a reward (in the units of the kernels) of an arm; ``coin`` is the reward made binary."""
    if (
        policy == KLUCB and reward * counts[arm] > sums[arm]
    ):  # a reward below the mean lowers the index: its bound stays one
        aux[arm, 0], aux[arm, 1], aux[arm, 2] = np.inf, 0.0, 0.0
    counts[arm] += 1
    sums[arm] += reward
    if policy in (THOMPSON, BAYES_UCB) and family == BERNOULLI:
        aux[arm, 0] += coin
    elif policy in (EMPIRICAL_KLUCB, EMPIRICAL_IMED):
        sizes[arm] = _keep(reward, values[arm], repeats[arm], sizes[arm])


@njit(cache=True, nogil=True, error_model="numpy")
def play(policy, family, sigma, params, means, law, keys, horizon, checkpoints, regret, counts, sums, aux, values, repeats, sizes, arms, rng):  # type: ignore[no-untyped-def]  # fmt: skip
    """A whole run. ``regret`` receives the pseudo-regret at the checkpoints, ``arms`` the arms drawn (if it is long enough)."""
    top = means.max()
    lost, row = 0.0, 0
    for t in range(horizon):
        arm = choose(policy, family, sigma, params, t, counts, sums, aux, values, repeats, sizes, rng)
        reward = draw_reward(law, means[arm], sigma, keys[arm], counts[arm])
        observe(
            policy, family, arm, reward, reward, counts, sums, aux, values, repeats, sizes
        )  # rewards of `Arms` are binary
        lost += top - means[arm]
        if t < arms.size:
            arms[t] = arm
        while row < checkpoints.size and checkpoints[row] == t + 1:
            regret[row] = lost
            row += 1
