"""Claims of the domain, each with an experiment that tries to contradict it."""

from __future__ import annotations

import math

import numpy as np

from ..core.claim import Claim
from ._evidence_kernels import profile, trial_until
from ._weights_kernels import pair_cost
from .agent import Agent
from .clinical import ThompsonTrial
from .complexity import oracle_weights
from .discovery import GoodUCB
from .environment import Arms, run
from .families import Family, as_family, mixture_log_regret
from .graph import laplacian, smoothness
from .graph_identification import SpectralTaS
from .graph_regret import SpectralUCB
from .identification import (
    EBTCI,
    KLLUCB,
    T3C,
    TTUCB,
    ChernoffRacing,
    CTracking,
    DTracking,
    IdentificationAgent,
    KLRacing,
    StickyTrackAndStop,
    UniformSampling,
)
from .identification_simulation import play_compiled as play_identification
from .intervals import confidence_sequence
from .levelsets import LevelSet, MinimumTest
from .maximize import maximize
from .policies import IMED, KLUCB, MOSS, UCB, BayesUCB, EmpiricalKLUCB, Thompson
from .runningtest import ABTest
from .simulation import play_compiled, replicate_streams

__all__ = ["CLAIMS"]

Rng = np.random.Generator
RULES = (DTracking, CTracking, T3C, EBTCI, TTUCB, KLLUCB, KLRacing, ChernoffRacing, UniformSampling)
_DELTA = 0.2  # large enough for a violation to show


def _instance(rng: Rng, names: tuple[str, ...]) -> tuple[Family, np.ndarray]:
    """A family and means with gaps that a few thousand draws can see."""
    family = as_family(str(rng.choice(names)))
    n = int(rng.integers(2, 5))
    means = np.sort(rng.uniform(0.15, 0.6, n))[::-1]
    means[0] = means[1] + rng.uniform(0.12, 0.3)
    return family, means * (2.0 if family.name in ("exponential", "poisson") else 1.0)


def names_the_best_arm(rng: Rng) -> bool:
    """Any rule with the proved threshold, on a random instance."""
    family, means = _instance(rng, ("bernoulli", "gaussian(0.5)", "poisson", "exponential", "bounded"))
    order = rng.permutation(len(means))
    kind = RULES[int(rng.integers(len(RULES)))]
    agent = kind(len(means), family=family, delta=_DELTA, rng=rng)
    keys = rng.integers(0, 2**63, len(means), dtype=np.uint64)
    _, answer = play_identification(agent, means[order], keys, 200_000)
    return bool(answer >= 0 and means[order][answer] < means.max())


def names_a_good_arm(rng: Rng) -> bool:
    """Answers within epsilon of the best, several of them right."""
    means, epsilon = rng.uniform(0.2, 0.8, 4), 0.15
    kind = (DTracking, StickyTrackAndStop, KLLUCB, ChernoffRacing)[int(rng.integers(4))]
    agent: IdentificationAgent = kind(4, delta=_DELTA, epsilon=epsilon, rng=rng)
    keys = rng.integers(0, 2**63, 4, dtype=np.uint64)
    _, answer = play_identification(agent, means, keys, 100_000)
    return bool(answer >= 0 and means[answer] < means.max() - epsilon)


def level_sets_are_right(rng: Rng) -> bool:
    """The arms above a threshold, and whether one is below it."""
    means = np.array([0.5 + sign * rng.uniform(0.12, 0.3) for sign in rng.choice([-1, 1], 3)])
    world = Arms(means, rng=rng)
    if rng.random() < 0.5:
        path = run(LevelSet(3, theta=0.5, delta=_DELTA, rng=rng), world, 5000)
        return bool(path.stopped and path.agent.recommend().action != np.flatnonzero(means > 0.5).tolist())
    path = run(MinimumTest(3, theta=0.5, delta=_DELTA, rng=rng), world, 5000)
    return bool(path.stopped and path.agent.recommend().action != bool((means < 0.5).any()))


def watched_test_rejects_equal_arms(rng: Rng) -> bool:
    """Equal arms, fixed or adaptive allocation, one side or two, looked at after each of 4000 trials."""
    p = rng.uniform(0.05, 0.95)
    share = float(rng.choice([0.0, 0.5, rng.uniform(0.1, 0.9)]))
    key = np.uint64(rng.integers(2**63))
    return bool(trial_until(np.array([p, p]), share, 0.1, _DELTA, bool(rng.random() < 0.5), key, 4000)[1])


def adaptive_trial_rejects_equal_arms(rng: Rng) -> bool:
    """Thompson's trial on equal arms, outcomes recorded late and in disorder."""
    p = rng.uniform(0.1, 0.9)
    test = ABTest(["a", "b"], alpha=_DELTA, allocator=ThompsonTrial(), rng=rng)
    for _ in range(40):
        arms = test.assign(5)
        trials = list(test.pending)
        for i in rng.permutation(5):
            test.record(arms[i], int(rng.random() < p), trials[i])
    return test.decision == "reject"


def intervals_miss(rng: Rng) -> bool:
    """Confidence sequence of a mean, or of an effect, at any of 400 times."""
    n = np.arange(1, 401)
    if rng.random() < 0.5:
        kind = str(rng.choice(["bernoulli", "bounded", "poisson", "exponential", "gaussian"]))
        mean = float(rng.uniform(0.05, 0.95))
        if kind == "bernoulli":
            sample: np.ndarray = rng.random(400) < mean
        elif kind == "bounded":
            sample = rng.beta(mean, 1 - mean, 400)
        elif kind == "poisson":
            sample = rng.poisson(mean, 400)
        else:
            sample = rng.exponential(mean, 400) if kind == "exponential" else rng.normal(mean, 1.0, 400)
        low, high = confidence_sequence(np.cumsum(np.asarray(sample, float)), n, _DELTA, kind)
        return bool(((mean < low) | (mean > high)).any())
    p, q = rng.uniform(0.1, 0.9, 2)
    a, b = np.cumsum(rng.random(400) < p), np.cumsum(rng.random(400) < q)
    effect = int(rng.integers(3))
    truth = (q - p, q / p, q * (1 - p) / (p * (1 - q)))[effect]
    level = -math.log(_DELTA) + mixture_log_regret(a, n) + mixture_log_regret(b, n)
    cost = [profile(effect, truth, float(m), a[m - 1] / m, float(m), b[m - 1] / m) for m in n]
    return bool((np.array(cost) > level).any())


def oracle_is_beaten(rng: Rng) -> bool:
    """The value at the oracle's weights is the one claimed, and no weights near or far do better."""
    family = as_family(str(rng.choice(["bernoulli", "gaussian(0.5)", "poisson", "exponential"])))
    means = rng.uniform(0.05, 0.95, int(rng.integers(2, 9)))
    epsilon = 0.0 if family.name == "exponential" or rng.random() < 0.5 else float(rng.uniform(0.01, 0.3))
    answer = oracle_weights(means, family, epsilon)
    best, gap = answer.best, 1e-9 * answer.objective

    def value(w: np.ndarray) -> float:
        rivals = (j for j in range(len(w)) if j != best)
        return min(pair_cost(w[best], means[best], w[j], means[j], epsilon, family.code, family.sigma) for j in rivals)

    step = 10 ** rng.uniform(-4, 0)
    rival = (1 - step) * answer.weights + step * rng.dirichlet(np.ones(len(means)))
    return bool(abs(answer.objective * answer.T_star - 1) > 1e-9 or value(rival) > answer.objective + gap)


def live_differs_from_simulation(rng: Rng) -> bool:
    """The same seed gives the same draws, asked one by one or played in the kernels."""
    family, means = _instance(rng, ("bernoulli", "gaussian(0.5)", "poisson", "bounded"))
    kinds = (UCB, MOSS, KLUCB, BayesUCB, Thompson, IMED, EmpiricalKLUCB)
    kind = kinds[int(rng.integers(len(kinds)))]
    if family.name not in kind.families:
        kind = KLUCB
    seed = int(rng.integers(2**32))
    drawn = np.empty(150, np.int64)
    keys, (generator,) = replicate_streams(np.random.default_rng(seed), len(means), 1, True)
    compiled = kind(len(means), family=family, rng=generator)
    play_compiled(compiled, means, keys[0], 150, np.array([150]), np.empty(1), drawn)
    keys, (generator,) = replicate_streams(np.random.default_rng(seed), len(means), 1, True)
    live = run(kind(len(means), family=family, rng=generator), Arms(means, family, keys=keys[0]), 150)
    return live.actions != drawn.tolist()


def restored_agent_differs(rng: Rng) -> bool:
    """An agent stored in the middle of a run, with trials pending, goes on as the one that was not."""
    kinds = (KLUCB, Thompson, DTracking, T3C, KLLUCB, LevelSet, ABTest)
    kind = kinds[int(rng.integers(len(kinds)))]
    more = {"theta": 0.5} if kind is LevelSet else {}
    agents = [kind(3, rng=int(rng.integers(2**32)), **more)]  # type: ignore[arg-type, call-arg]
    pause = int(rng.integers(1, 40))
    for step in range(60):
        if step == pause:
            agents.append(Agent.from_json(agents[0].to_json()))
        asked = [agent.ask() for agent in agents]
        if len(set(asked)) > 1:
            return True
        if rng.random() < 0.7:
            reward = int(rng.random() < 0.4)
            for agent in agents:
                agent.tell(asked[0], reward)
    return bool((agents[0].counts != agents[1].counts).any())


def more_is_missing(rng: Rng) -> bool:
    """Missing masses of experts with shared items against their bounds, at each of 200 times."""
    size, k = 50, 3
    laws = rng.dirichlet(np.full(size, rng.choice([0.1, 1.0])), k)
    good = rng.random(size) < 0.5
    agent, missed = GoodUCB(k, rng=rng), good.copy()
    for _ in range(200):
        expert = agent.ask()
        item = int(rng.choice(size, p=laws[expert]))
        agent.tell(expert, item, bool(good[item]))
        missed[item] = False
        if (laws[:, missed].sum(axis=1) > agent.missing_mass_bound(_DELTA)).any():
            return True
    return False


def _smooth(rng: Rng, n: int) -> tuple[np.ndarray, np.ndarray]:
    """A random connected graph and smooth means on it."""
    W = np.diag(rng.uniform(0.5, 2, n - 1), 1)
    W[0, int(rng.integers(2, n))] = 1.0
    W = W + W.T
    _, vectors = np.linalg.eigh(laplacian(W))
    mu = vectors[:, :3] @ rng.standard_normal(3)
    return W, mu


def regret_exceeds_its_bound(rng: Rng) -> bool:
    """Regret of SpectralUCB against the bound it computes, at each of 150 draws."""
    W, mu = _smooth(rng, 12)
    size = math.sqrt(mu @ (laplacian(W) + 0.01 * np.eye(12)) @ mu)
    agent, lost = SpectralUCB(W, noise=0.3, C=size, delta=_DELTA, rng=rng), 0.0
    for _ in range(150):
        arm = agent.ask()
        lost += mu.max() - mu[arm]
        agent.tell(arm, mu[arm] + 0.3 * rng.standard_normal())
        if lost > agent.regret_bound * (1 + 1e-9):
            return True
    return False


def wrong_node_is_named(rng: Rng) -> bool:
    """SpectralTaS on means at the edge of the model."""
    W, mu = _smooth(rng, 5)
    gap = np.sort(mu)[-1] - np.sort(mu)[-2]
    mu = mu / max(gap, 1e-3) * 0.3
    agent = SpectralTaS(W, R=max(smoothness(mu, W), 1e-6), family="gaussian(0.5)", delta=_DELTA, rng=rng)
    while not agent.should_stop and agent.t < 400:
        arm = agent.ask()
        agent.tell(arm, mu[arm] + 0.5 * rng.standard_normal())
    return bool(agent.should_stop and agent.recommend().action != int(np.argmax(mu)))


def _cones(rng: Rng, d: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.random((4, d)), rng.random(4)


def certificate_is_broken(rng: Rng) -> bool:
    """DOO on a maximum of cones: the value at their tips is known."""
    d = int(rng.integers(1, 4))
    peaks, heights = _cones(rng, d)

    def f(x: np.ndarray) -> float:
        return float(np.max(heights - 2 * np.linalg.norm(np.asarray(x) - peaks, axis=1)))

    top = max(f(p) for p in peaks)
    result = maximize(f, [(0, 1)] * d, "doo", budget=int(rng.integers(1, 200)), lipschitz=2.0)
    return bool(result.value > top + 1e-9 or result.value + result.certificate < top - 1e-9)


def answer_is_worse_than_epsilon(rng: Rng) -> bool:
    """PACOptimizer on cones with noise."""
    peaks, heights = _cones(rng, 1)

    def f(x: float) -> float:
        return float(np.max(heights - 2 * np.abs(x - peaks[:, 0])))

    top = max(f(p) for p in peaks[:, 0])
    result = maximize(
        lambda x, g: f(x) + 0.1 * g.standard_normal(), (0, 1), "pacoptimizer", epsilon=0.2, delta=_DELTA, lipschitz=2.0, noise=0.1,
        rng=rng, budget=20_000,
    )  # fmt: skip
    return bool(result.settled and f(result.x) < top - 0.2)


CLAIMS = (
    Claim("delta-correct", "identification names a wrong arm with probability at most delta", names_the_best_arm, level=_DELTA),
    Claim("epsilon-best", "the arm named is within epsilon of the best", names_a_good_arm, level=_DELTA),
    Claim("level-sets", "level sets and minimum tests are wrong with probability at most delta", level_sets_are_right, level=_DELTA),
    Claim(
        "anytime-type-1", "a test watched at every trial rejects equal arms with probability at most alpha",
        watched_test_rejects_equal_arms, level=_DELTA, slack=0.02,
    ),
    Claim(
        "adaptive-type-1", "so does an adaptive trial with late outcomes", adaptive_trial_rejects_equal_arms, level=_DELTA, slack=0.02
    ),
    Claim("intervals", "confidence sequences of means and effects hold at all times together", intervals_miss, level=_DELTA),
    Claim("oracle-weights", "no proportions of draws are better than the oracle's", oracle_is_beaten),
    Claim("one-definition", "live use and simulation draw the same arms", live_differs_from_simulation),
    Claim("states", "an agent read from its state goes on as if nothing had happened", restored_agent_differs),
    Claim("missing-mass", "what the experts have missed is below its bound at all times", more_is_missing, level=_DELTA),
    Claim("graph-regret", "the regret on a graph is below the bound computed along the run", regret_exceeds_its_bound, level=_DELTA),
    Claim("graph-best-node", "the node named is the best with probability at least 1 - delta", wrong_node_is_named, level=_DELTA),
    Claim("certified-gap", "the maximum is at most the value found plus the certificate", certificate_is_broken),
    Claim(
        "pac-optimum", "the point found is within epsilon of the maximum with probability at least 1 - delta",
        answer_is_worse_than_epsilon, level=_DELTA,
    ),
)  # fmt: skip
