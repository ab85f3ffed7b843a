"""Trials of the claims on theorems: lower bounds of all strategies, and the regret of policies."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from .complexity import oracle_weights
from .families import Family, as_family
from .identification import DTracking
from .identification_simulation import simulate_identification
from .policies import IMED, KLUCB, MOSS, UCB, KLUCBpp, Thompson
from .simulation import simulate

__all__ = [
    "bound_of_one_answer_holds_for_several",
    "constant_is_wrong",
    "growth_beats_the_theorem",
    "lower_bound_is_beaten",
    "worst_case_is_worse",
]

Rng = np.random.Generator


def _divergence(family: Family, p: float, q: float) -> float:
    """Kullback-Leibler divergence of the members of means p and q, from the densities (not the library's own code).

    ``f ln(f / g) - f + g`` is summed: never negative, and small where f and g are close, as ``f ln(f / g)`` is not.
    """
    from scipy import stats

    if family.name == "bernoulli":
        support = np.arange(2)
        laws = stats.bernoulli(p), stats.bernoulli(q)
    elif family.name == "poisson":
        support = np.arange(200)
        laws = stats.poisson(p), stats.poisson(q)
    else:
        sigma = family.sigma
        laws = (
            (stats.norm(p, sigma), stats.norm(q, sigma))
            if family.name == "gaussian"
            else (stats.expon(0, p), stats.expon(0, q))
        )
        ends = [law.ppf([1e-13, 1 - 1e-13]) for law in laws]
        edges = np.linspace(np.min(ends), np.max(ends), 20_001)
        f, g = (law.pdf(edges) for law in laws)
        return float(np.trapezoid(f * (laws[0].logpdf(edges) - laws[1].logpdf(edges)) - f + g, edges))
    f, g = (law.pmf(support) for law in laws)
    return float(np.sum(f * (laws[0].logpmf(support) - laws[1].logpmf(support)) - f + g))


def constant_is_wrong(rng: Rng) -> bool:
    """c(mu): the least cost of draws that tell each worse arm from one better than the best, from divergences by their definition."""
    family = as_family(str(rng.choice(["bernoulli", "gaussian(0.5)", "poisson", "exponential"])))
    means = rng.uniform(0.1, 0.9, int(rng.integers(2, 5)))
    result = simulate({"ucb": KLUCB}, means, 20, 1, family=family, rng=rng)
    if result.guarantee is None:
        return True
    best = float(means.max())
    cost = sum((best - m) / _divergence(family, float(m), best) for m in means if m < best)
    return abs(cost - float(result.guarantee)) > 1e-4 * cost


def growth_beats_the_theorem(rng: Rng) -> bool:
    """Regret at T = 8000, mean of 12 runs, against the theorem of the policy, with room for its o(1).

    The factors 1.2 and 1.6 are set by simulation: a theorem for T to infinity gives none. With c = 3 KL-UCB explores as far as ln t + 3 ln ln t; for the others the growth since T = 400 is compared with c(mu) ln 20.
    """
    low = float(rng.uniform(0.2, 0.4))
    means = np.array([low, low + float(rng.uniform(0.25, 0.4))])
    which = int(rng.integers(5))
    kinds = (partial(KLUCB, c=3), partial(KLUCBpp, horizon=8000), Thompson, IMED, partial(UCB, sigma=1.0))
    family = "gaussian(0.5)" if which < 2 and rng.random() < 0.5 else "bernoulli"
    if not _has_a_theorem(kinds[which](2, family=family, rng=0)):
        return True
    result = simulate({"policy": kinds[which]}, means, 8000, 12, family=family, rng=rng, checkpoints=[400, 8000])
    early, late = result.mean[0]
    gap = float(means[1] - means[0])
    if which == 4:  # at all times
        bounds = [8 * math.log(t) / gap + (1 + math.pi**2 / 3) * gap for t in (400, 8000)]
        return bool(early > bounds[0] or late > bounds[1])
    constant = gap / _divergence(as_family(family), float(means[0]), float(means[1]))
    if which == 0:
        return bool(late > 1.2 * constant * (math.log(8000) + 3 * math.log(math.log(8000))))
    return bool(late - early > 1.6 * constant * math.log(20))


def _has_a_theorem(agent: Any) -> bool:
    for _ in range(2):
        agent.tell(agent.ask(), 1.0)
    return agent.result().guarantee is not None


def worst_case_is_worse(rng: Rng) -> bool:
    """MOSS and KL-UCB++ where the root of K T is hardest to keep: gaps of its order; the mean of 30 runs, with the constant 1.5
    (set by simulation; the proved ones are larger) and the largest standard deviation of a reward as the unit."""
    n, horizon = int(rng.integers(2, 8)), 2000
    family, unit = (("bernoulli", 0.5), ("gaussian(2)", 2.0))[int(rng.integers(2))]
    means = np.full(n, 0.5)
    means[0] += float(rng.uniform(1, 4)) * math.sqrt(n / horizon) * unit
    kind = partial((MOSS, KLUCBpp)[int(rng.integers(2))], horizon=horizon)
    if not _has_a_theorem(kind(n, family=family, rng=0)):
        return True
    result = simulate({"policy": kind}, means, horizon, 30, family=family, rng=rng, checkpoints=[horizon])
    return bool(result.mean[0, -1] > 1.5 * unit * math.sqrt(n * horizon))


def lower_bound_is_beaten(rng: Rng) -> bool:
    """T*: no proportions of draws have more evidence against every alternative, by divergences written out; runs are not shorter."""
    family = as_family(str(rng.choice(["bernoulli", "gaussian(0.5)", "poisson", "exponential"])))
    n, delta = int(rng.integers(2, 5)), float(rng.choice([0.01, 0.1, 0.3]))
    means = rng.uniform(0.1, 0.9, n)
    means[0] = means.max() + 0.1 if family.name != "bernoulli" else min(0.98, means.max() + 0.05)
    bound = oracle_weights(means, family)
    least = (1 - 2 * delta) * math.log((1 - delta) / delta)  # kl(delta, 1 - delta)
    if (
        bound.guarantee is None
        or abs(float(bound.lower_bound(delta)) - float(bound.guarantee) * least) > 1e-9 * bound.T_star
    ):
        return True
    for weights in (bound.weights, 0.9 * bound.weights + 0.1 * rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(n))):
        evidence = math.inf
        for rival in range(1, n):  # the two arms meet at their weighted mean, where the evidence is least
            share = weights[0] + weights[rival]
            middle = float((weights[0] * means[0] + weights[rival] * means[rival]) / share)
            costs = [weights[a] * _divergence(family, float(means[a]), middle) for a in (0, rival)]
            evidence = min(evidence, float(sum(costs)))
        if evidence * float(bound.guarantee) > 1 + 1e-4:
            return True
        if weights is bound.weights and abs(evidence * float(bound.guarantee) - 1) > 1e-4:
            return True
    if rng.random() < 0.2:
        result = simulate_identification(
            {"track": DTracking}, means, delta, n_replicates=10, max_steps=20_000, family=family, rng=rng
        )
        spread = float(result.stopping_time.std()) / math.sqrt(10)
        return (
            result.guarantee.level != bound.lower_bound(delta) or result.mean[0] + 5 * spread < result.guarantee.level
        )
    return False


def bound_of_one_answer_holds_for_several(rng: Rng) -> bool:
    """Two equal arms, epsilon > 0: a sequential ratio test of the sign of the difference is right with probability 1 - delta on every
    instance, and takes fewer draws than T* kl(delta, 1 - delta). No answer may state that bound: only the asymptotic one is true."""
    epsilon, delta = float(rng.uniform(0.3, 0.6)), 0.2
    answer = oracle_weights([0.0, 0.0], "gaussian", epsilon)
    played = simulate_identification(
        {"track": DTracking}, [0.0, 0.0], delta, epsilon, 2, 2000, family="gaussian", rng=rng
    )
    goal, pairs = math.log((1 - delta) / delta), []
    for _ in range(40):
        walk = np.cumsum(epsilon * (rng.standard_normal(4000) - rng.standard_normal(4000)))
        pairs.append(1 + int(np.argmax(np.abs(walk) >= goal)))
    draws = 2 * float(np.mean(pairs))
    for promise in (answer.guarantee, played.guarantee):
        if promise is None:
            return True
        finite = "o(1)" not in promise.statement
        if finite and draws < answer.T_star * (1 - 2 * delta) * goal:
            return True
    return False
