"""Claims of the domain, each with an experiment that tries to contradict it."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import numpy as np

from ..core.claim import Claim
from . import planning
from ._weights_kernels import pair_cost
from .abtest import ABTestResult, ab_test
from .agent import Agent
from .audit_theorems import (
    bound_of_one_answer_holds_for_several,
    constant_is_wrong,
    growth_beats_the_theorem,
    lower_bound_is_beaten,
    worst_case_is_worse,
)
from .clinical import ThompsonTrial
from .complexity import oracle_weights
from .discovery import GoodUCB, discover
from .environment import Arms, run
from .families import Family, as_family
from .graph import laplacian, smoothness
from .graph_identification import SpectralTaS
from .graph_regret import SpectralEliminator, SpectralUCB
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
from .intervals import confidence_sequence, effect_interval
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
    means[0] = means[1] + rng.uniform(0.03, 0.2)
    return family, means * (2.0 if family.name in ("exponential", "poisson") else 1.0)


def _stopped(agent: IdentificationAgent, means: np.ndarray, keys: np.ndarray, most: int, live: bool) -> int:
    """The arm of a run that ended with a proof: as the report and the recommendation name it, or from the kernels; otherwise -1."""
    if not live:
        return play_identification(agent, means, keys, most)[1]
    path = run(agent, Arms(means, agent.family, keys=keys), most)
    report, named = agent.result(), agent.recommend()
    if not path.stopped or report.guarantee is None or named.guarantee is None:
        return -1
    assert report.answer == named.action
    return int(report.answer)


def names_the_best_arm(rng: Rng) -> bool:
    """Any rule with the proved threshold, on a random instance."""
    family, means = _instance(rng, ("bernoulli", "gaussian(0.5)", "poisson", "exponential", "bounded"))
    order = rng.permutation(len(means))
    kind = RULES[int(rng.integers(len(RULES)))]
    agent = kind(len(means), family=family, delta=_DELTA, rng=rng)
    keys = rng.integers(0, 2**63, len(means), dtype=np.uint64)
    live = bool(rng.random() < 0.3)
    answer = _stopped(agent, means[order], keys, 4_000 if live else 200_000, live)
    return bool(answer >= 0 and means[order][answer] < means.max())


def names_a_good_arm(rng: Rng) -> bool:
    """Answers within epsilon of the best, several of them right."""
    means, epsilon = rng.uniform(0.2, 0.4, 4), 0.15
    means[int(rng.integers(4))] = means.max() + epsilon + rng.uniform(-0.02, 0.05)
    kind = (DTracking, StickyTrackAndStop, KLLUCB, ChernoffRacing)[int(rng.integers(4))]
    agent: IdentificationAgent = kind(4, delta=_DELTA, epsilon=epsilon, rng=rng)
    keys = rng.integers(0, 2**63, 4, dtype=np.uint64)
    live = bool(rng.random() < 0.3)
    answer = _stopped(agent, means, keys, 4_000 if live else 100_000, live)
    return bool(answer >= 0 and means[answer] < means.max() - epsilon)


def level_sets_are_right(rng: Rng) -> bool:
    """The arms above a threshold, and whether one is below it; few draws settle what is far from it, so errors come early."""
    means = np.array([0.5 + sign * rng.uniform(0.03, 0.25) for sign in rng.choice([-1, 1], 3)])
    world = Arms(means, rng=rng)
    if rng.random() < 0.5:
        path = run(LevelSet(3, theta=0.5, delta=_DELTA, rng=rng), world, 400)
        named = path.agent.recommend()
        return bool(named.guarantee and named.action != np.flatnonzero(means > 0.5).tolist())
    path = run(MinimumTest(3, theta=0.5, delta=_DELTA, rng=rng), world, 400)
    named = path.agent.recommend()
    return bool(named.guarantee and named.action != bool((means < 0.5).any()))


def watched_test_rejects_equal_arms(rng: Rng) -> bool:
    """Equal arms, fixed or adaptive allocation, one side or two, looked at after each of 4000 trials; or a planned test of no lift."""
    p = rng.uniform(0.05, 0.95)
    if rng.random() < 0.4:
        sides = str(rng.choice(["two-sided", "greater"]))
        plan = planning.plan_ab_test(p, 1e-6, alpha=_DELTA, alternative=sides, n_replicates=1, max_n=4000, rng=rng)
        return plan.rejected > 0
    share = float(rng.choice([0.0, 0.5, rng.uniform(0.1, 0.9)]))
    key = np.uint64(rng.integers(2**63))
    one_sided = bool(rng.random() < 0.5)
    return bool(planning.trial_until(np.array([p, p]), share, 0.1, _DELTA, one_sided, key, 4000)[1])  # type: ignore[attr-defined]


def data_reject_a_true_hypothesis(rng: Rng) -> bool:
    """`ab_test` on the four kinds of data where its hypothesis is true: 0 and 1, numbers between, words, totals watched as they grow."""
    n, n_arms, kind = 600, int(rng.integers(2, 4)), int(rng.integers(4))
    chances = rng.dirichlet(np.full(n_arms, 5.0), n) if rng.random() < 0.5 else np.full((n, n_arms), 1 / n_arms)
    arms = (rng.random(n)[:, None] > np.cumsum(chances, axis=1)[:, :-1]).sum(axis=1)
    p = rng.uniform(0.1, 0.9)
    outcomes = rng.random(n) < p
    one_sided = n_arms == 2 and kind in (0, 3) and bool(rng.random() < 0.5)
    if one_sided:  # the second arm may also be worse
        outcomes = rng.random(n) < np.where(arms == 1, p - float(rng.choice([0.0, 0.05])), p)
    sides = "greater" if one_sided else "two-sided"
    if kind == 3:
        for size in (25, 50, 100, 200, 400, 600):
            seen = {
                f"{a}": (float(outcomes[:size][arms[:size] == a].sum()), int((arms[:size] == a).sum()))
                for a in range(n_arms)
            }
            if all(many for _, many in seen.values()) and _rejects(
                ab_test(counts=seen, alpha=_DELTA, alternative=sides)
            ):
                return True
        return False
    values: np.ndarray = outcomes.astype(float)
    if kind == 1:
        values = rng.beta(2 * p, 2 * (1 - p), n)
    words = np.array(["worse", "same", "better"])[rng.choice(3, n, p=rng.dirichlet(np.ones(3)))]
    columns = [arms, words if kind == 2 else values, *chances.T]
    names = [f"p{a}" for a in range(n_arms)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trials.csv"
        rows = [",".join(map(str, row)) for row in zip(*columns, strict=True)]
        path.write_text("\n".join([",".join(["arm", "outcome", *names]), *rows]))
        propensity = {f"{a}": name for a, name in enumerate(names)}
        return _rejects(ab_test(path, "arm", "outcome", propensity=propensity, alpha=_DELTA, alternative=sides))


def _rejects(answer: ABTestResult) -> bool:
    assert answer.guarantee.level == _DELTA
    return answer.decision == "reject"


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
    """Confidence sequence of a mean, at any of 400 times, or of an effect, at any of 25."""
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
    name = ("difference", "ratio", "odds-ratio")[effect]
    for m in np.unique(np.geomspace(2, 400, 25).astype(int)):
        low, high = effect_interval((float(a[m - 1]), int(m)), (float(b[m - 1]), int(m)), _DELTA, name)
        if not low <= truth <= high:
            return True
    return False


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
    """Missing masses of experts with shared items against their bounds, at each of 200 times or when `discover` ends."""
    size, k = 50, 3
    laws = rng.dirichlet(np.full(size, rng.choice([0.1, 1.0])), k)
    good = rng.random(size) < 0.5
    agent, missed = GoodUCB(k, rng=rng), good.copy()
    if rng.random() < 0.3:  # through the answer, at the time that the data choose
        experts = [lambda g, law=law: int(g.choice(size, p=law)) for law in laws]
        target = float(rng.uniform(0.3, 0.9))
        answer = discover(
            experts, lambda item: bool(good[item]), budget=300, target_missing_mass=target, delta=_DELTA, rng=rng
        )
        missed[[int(item) for item in answer.found]] = False
        return bool(laws[:, missed].sum(axis=1).max() > float(answer.guarantee))
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
        promise = agent.result().guarantee
        if promise is None or lost > float(promise) * (1 + 1e-9):
            return True
    return False


def best_node_is_dropped(rng: Rng) -> bool:
    """SpectralEliminator after eight phases: is the best one still among those in play?"""
    n = 8
    W, mu = _smooth(rng, n)
    mu = 0.5 * mu / max(float(np.ptp(mu)), 1e-9)
    size = math.sqrt(mu @ (laplacian(W) + 0.01 * np.eye(n)) @ mu)
    agent = SpectralEliminator(W, noise=0.3, C=size, delta=_DELTA, rng=rng)
    for _ in range(260):
        arm = agent.ask()
        agent.tell(arm, mu[arm] + 0.3 * rng.standard_normal())
    promise = agent.recommend().guarantee
    return bool(promise is None or not agent.active[int(np.argmax(mu))])


def wrong_node_is_named(rng: Rng) -> bool:
    """SpectralTaS on means at the edge of the model."""
    W, mu = _smooth(rng, 5)
    gap = np.sort(mu)[-1] - np.sort(mu)[-2]
    mu = mu / max(gap, 1e-3) * 10 ** rng.uniform(-2, -0.3)
    agent = SpectralTaS(
        W, R=max(smoothness(mu, W), 1e-6), family="gaussian(0.5)", delta=_DELTA, update_every=10, rng=rng
    )
    while not agent.should_stop and agent.t < 120:
        arm = agent.ask()
        agent.tell(arm, mu[arm] + 0.5 * rng.standard_normal())
    if not agent.should_stop:
        return False
    named = agent.recommend()
    return named.guarantee is None or named.action != int(np.argmax(mu))


def _cones(rng: Rng, d: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.random((4, d)), rng.random(4)


def certificate_is_broken(rng: Rng) -> bool:
    """DOO on a maximum of cones: the value at their tips is known. Smoothness given by the constant, or by depths."""
    d = int(rng.integers(1, 4))
    peaks, heights = _cones(rng, d)
    if rng.random() < 0.5:  # a single tip in a corner of the box: as far from the centres as the bound allows
        peaks, heights = rng.integers(0, 2, (1, d)) * 1.0, np.ones(1)

    def f(x: np.ndarray) -> float:
        return float(np.max(heights - 2 * np.linalg.norm(np.atleast_1d(x) - peaks, axis=1)))

    top = max(f(p) for p in peaks)
    budget = int(10 ** rng.uniform(0, 2.3))
    if rng.random() < 0.3:  # the side that is split is a third as long, and each in turn: 3^(-1/d) on the average
        smooth = {"nu": 2 * math.sqrt(d) / 2 * 3 ** ((d - 1) / d), "rho": 3 ** (-1 / d)}
        result = maximize(f, [(0, 1)] * d, "doo", budget=budget, **smooth)  # type: ignore[arg-type]
    else:
        result = maximize(f, [(0, 1)] * d, "doo", budget=budget, lipschitz=2.0)
    if result.guarantee is None or not math.isclose(f(result.x), result.value, abs_tol=1e-12):
        return True
    return bool(result.value > top + 1e-9 or result.value + float(result.guarantee) < top - 1e-9)


def answer_is_worse_than_epsilon(rng: Rng) -> bool:
    """PACOptimizer on cones with noise, Gaussian or of two values: the gap stated, whether or not the tolerance was met."""
    peaks, heights = _cones(rng, 1)
    two = bool(rng.random() < 0.3)
    slope, scale = (0.8, 0.5) if two else (2.0, 1.0)

    def f(x: float) -> float:
        return float(scale * np.max(heights - slope / scale * np.abs(x - peaks[:, 0])))

    top = max(f(p) for p in peaks[:, 0])
    noise: float | str = "bounded" if two else float(rng.choice([0.1, 1.0]))

    def draw(x: float, g: Rng) -> float:
        return (
            float(g.random() < max(f(x), 0.0)) if isinstance(noise, str) else f(x) + noise * float(g.standard_normal())
        )

    result = maximize(
        draw, (0, 1), "pacoptimizer", epsilon=0.2, delta=_DELTA, lipschitz=slope, noise=noise, rng=rng, budget=int(rng.integers(200, 2000)),
    )  # fmt: skip
    if result.guarantee is None:
        return True
    gap = max(f(result.x), 0.0) if two else f(result.x)
    return bool(gap < top - float(result.guarantee) or (result.settled and gap < top - 0.2))


_NAMED = ("IdentificationReport", "Recommendation")

CLAIMS = (
    Claim(
        "delta-correct", "identification names a wrong arm with probability at most delta", names_the_best_arm, level=_DELTA,
        covers=_NAMED,
    ),
    Claim("epsilon-best", "the arm named is within epsilon of the best", names_a_good_arm, level=_DELTA, covers=_NAMED),
    Claim(
        "level-sets", "level sets and minimum tests are wrong with probability at most delta", level_sets_are_right,
        level=_DELTA, covers=("Recommendation",),
    ),
    Claim(
        "anytime-type-1", "a test watched at every trial rejects equal arms with probability at most alpha",
        watched_test_rejects_equal_arms, level=_DELTA, slack=0.02, covers=("ABTestPlan", "ABTestResult"),
    ),
    Claim(
        "adaptive-type-1", "so does an adaptive trial with late outcomes", adaptive_trial_rejects_equal_arms, level=_DELTA,
        slack=0.02, covers=("ABTestResult",),
    ),
    Claim(
        "ab-test", "so does the test of given data: 0 and 1, numbers, words, totals, several arms, one side",
        data_reject_a_true_hypothesis, level=_DELTA, covers=("ABTestResult",),
    ),
    Claim("intervals", "confidence sequences of means and effects hold at all times together", intervals_miss, level=_DELTA),
    Claim("oracle-weights", "no proportions of draws are better than the oracle's", oracle_is_beaten),
    Claim(
        "lower-bound", "the characteristic time is that of the definition, and no run ends before its bound on average",
        lower_bound_is_beaten, covers=("OracleWeights", "IdentificationResult"),
    ),
    Claim(
        "several-answers", "where several arms are right answers, a strategy beats the bound of a single one",
        bound_of_one_answer_holds_for_several, covers=("OracleWeights", "IdentificationResult"),
    ),
    Claim("regret-constant", "the constant of Lai and Robbins is that of the definition", constant_is_wrong, covers=("RegretResult",)),
    Claim(
        "regret-growth", "the regret of policies with a theorem grows as c(mu) ln T, up to a factor set by simulation; that of UCB1 stays below its bound",
        growth_beats_the_theorem, level=0.05, covers=("PolicyResult",),
    ),
    Claim(
        "regret-worst-case", "the regret of MOSS and KL-UCB++ is at most 1.5 (set by simulation) times the root of K T, in standard deviations of a reward",
        worst_case_is_worse,
        covers=("PolicyResult",),
    ),
    Claim("one-definition", "live use and simulation draw the same arms", live_differs_from_simulation),
    Claim("states", "an agent read from its state goes on as if nothing had happened", restored_agent_differs),
    Claim(
        "missing-mass", "what the experts have missed is below its bound at all times", more_is_missing, level=_DELTA,
        covers=("DiscoveryResult",),
    ),
    Claim(
        "graph-regret", "the regret on a graph is below the bound computed along the run", regret_exceeds_its_bound, level=_DELTA,
        covers=("PolicyResult",),
    ),
    Claim(
        "graph-elimination", "the best node of a graph is among those still in play", best_node_is_dropped, level=_DELTA,
        covers=("Recommendation", "PolicyResult"),
    ),
    Claim(
        "graph-best-node", "the node named is the best with probability at least 1 - delta", wrong_node_is_named, level=_DELTA,
        covers=("Recommendation",),
    ),
    Claim("certified-gap", "the maximum is at most the value found plus the certificate", certificate_is_broken, covers=("OptimizeResult",)),
    Claim(
        "pac-optimum", "the point found is within the gap stated of the maximum with probability at least 1 - delta",
        answer_is_worse_than_epsilon, level=_DELTA, covers=("OptimizeResult",),
    ),
)  # fmt: skip
