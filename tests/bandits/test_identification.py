"""Identification: thresholds, sampling rules, delta-correctness, published sample sizes."""

import itertools
import json
import math
import warnings
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import lambertw, zeta

import ailys.bandits as bandits
from ailys.bandits import Agent, Arms, glr_statistic, glr_threshold, mixture_log_regret, run, simulate_identification
from ailys.bandits._identification_kernels import _cost_of_best, project
from ailys.bandits.identification_simulation import play_compiled
from ailys.bandits.simulation import replicate_streams
from ailys.bandits.thresholds import constant_exponential, constant_gaussian
from ailys.core.claim import clopper_pearson

FIRST, SECOND = [0.5, 0.45, 0.43, 0.4], [0.3, 0.21, 0.2, 0.19, 0.18]
RULES = {
    "DTracking": bandits.DTracking,
    "DTracking lazy": partial(bandits.DTracking, update_every=20),
    "CTracking": bandits.CTracking,
    "Sticky": bandits.StickyTrackAndStop,
    "FrankWolfe": bandits.FrankWolfeSampling,
    "GradientAscent": bandits.GradientAscentSampling,
    "TTTS": bandits.TTTS,
    "T3C": bandits.T3C,
    "EBTCI": bandits.EBTCI,
    "EBTCI ids": partial(bandits.EBTCI, beta="ids"),
    "TTUCB": bandits.TTUCB,
    "KLLUCB": bandits.KLLUCB,
    "KLRacing": bandits.KLRacing,
    "ChernoffRacing": bandits.ChernoffRacing,
    "Uniform": bandits.UniformSampling,
}


# -- thresholds --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "exponential", "gaussian"),
    [
        (1, 9.104517, 2.507095),
        (math.log(30) / 2, 10.373156, 3.262059),
        (5, 15.191399, 6.757320),
        (10, 21.446819, 11.954646),
    ],
)
def test_constants_of_kaufmann_and_koolen(x, exponential, gaussian):
    assert constant_exponential(x) == pytest.approx(exponential, abs=6e-7)
    assert constant_gaussian(x) == pytest.approx(gaussian, abs=6e-7)


def test_the_exponential_constant_is_the_minimum_it_stands_for():
    z = np.linspace(1.0001, 1.5, 40_001)
    for x in (0.0, 0.3, 1.0, 4.0, 30.0):
        inverse = 1.0 if x == 0 else float(-lambertw(-math.exp(-1 - x), -1).real)
        y = (inverse + math.log(2 * zeta(2))) / 2
        assert constant_exponential(x) == pytest.approx(2 * (z * (y - np.log(np.log(z)))).min(), rel=1e-6)


def test_thresholds_are_their_formulas():
    counts, sums, delta = np.array([120, 80, 50]), np.array([70.0, 40.0, 20.0]), 0.1
    rho = mixture_log_regret(sums, counts)
    pairs = math.log(2 / delta)
    assert glr_threshold(counts, sums, delta)[1:] == pytest.approx(pairs + rho[0] + rho[1:])
    log_log = [math.log(1 + math.log(n)) for n in counts]
    expected = [2 * constant_exponential(pairs / 2) + 3 * (log_log[0] + v) for v in log_log[1:]]
    assert glr_threshold(counts, sums, delta, threshold="kaufmann-koolen")[1:] == pytest.approx(expected)
    log_log = [math.log(4 + math.log(n)) for n in counts]
    expected = [2 * constant_gaussian(pairs / 2) + 2 * (log_log[0] + v) for v in log_log[1:]]
    assert glr_threshold(counts, sums, delta, "gaussian")[1:] == pytest.approx(expected)
    assert glr_threshold(counts, sums, delta, threshold="garivier-kaufmann")[1] == pytest.approx(
        math.log(2 * 250 * 2 / delta)
    )
    assert glr_threshold(counts, sums, delta, threshold="heuristic")[1] == pytest.approx(
        math.log((1 + math.log(250)) / delta)
    )


def test_the_statistic_is_a_likelihood_ratio():
    counts, sums = [100, 60, 30], [60.0, 30.0, 10.0]
    best, z = glr_statistic(counts, sums)
    assert best == 0

    def loglik(n, s, p):
        return s * math.log(p) + (n - s) * math.log(1 - p)

    for a in (1, 2):
        pooled = (sums[0] + sums[a]) / (counts[0] + counts[a])
        free = loglik(counts[0], sums[0], sums[0] / counts[0]) + loglik(counts[a], sums[a], sums[a] / counts[a])
        tied = loglik(counts[0], sums[0], pooled) + loglik(counts[a], sums[a], pooled)
        assert z[a] == pytest.approx(free - tied)


@pytest.mark.parametrize(
    ("family", "threshold"),
    [
        ("gaussian", "mixture"),
        ("bernoulli", "kaufmann-koolen-gaussian"),
        ("poisson", "garivier-kaufmann"),
        ("bernoulli", "magic"),
    ],
)
def test_thresholds_without_a_proof_for_the_family_are_refused(family, threshold):
    with pytest.raises(ValueError, match="no proof for|unknown threshold"):
        bandits.DTracking(3, family=family, threshold=threshold)


# -- rules -------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["bernoulli", "gaussian(0.5)", "poisson", "exponential", "bounded(0,2)"])
@pytest.mark.parametrize("name", RULES)
def test_live_use_and_simulation_take_the_same_decisions(name, family):
    means = np.array([0.9, 0.4, 0.3]) if family != "exponential" else np.array([3.0, 1.0, 0.5])
    keys, (generator,) = replicate_streams(np.random.default_rng(5), 3, 1, True)
    compiled = RULES[name](3, family=family, delta=0.1, rng=generator)
    steps, answer = play_compiled(compiled, means, keys[0], 20_000)
    keys, (generator,) = replicate_streams(np.random.default_rng(5), 3, 1, True)
    agent = RULES[name](3, family=family, delta=0.1, rng=generator)
    live = run(agent, Arms(means, family, keys=keys[0]), 20_000)
    assert (live.n_steps, live.agent.recommend().action) == (steps, answer)
    assert np.array_equal(live.agent.counts, compiled.counts)
    assert live.stopped
    assert live.agent.rng.bit_generator.state == compiled.rng.bit_generator.state


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), name=st.sampled_from(sorted(RULES)))
def test_a_state_goes_on_where_it_stood(seed, name):
    agents, world = [RULES[name](3, delta=0.1, rng=seed)], Arms([0.7, 0.5, 0.3], rng=seed)
    for step in range(80):
        if step == 30:
            agents.append(Agent.from_json(agents[0].to_json()))
        asked = [agent.ask() for agent in agents]
        reward = world(asked[0])
        for agent, arm in zip(agents, asked, strict=True):
            agent.tell(arm, reward)
        assert len(set(asked)) == 1
        assert len({agent.should_stop for agent in agents}) == 1
    one, two = (json.loads(agent.to_json()) | {"revision": 0, "checksum": ""} for agent in agents)
    assert one == two


def test_d_tracking_keeps_the_exploration_it_promises_and_reaches_the_oracle():
    agent, world = bandits.DTracking(4, delta=1e-300, rng=0), Arms(FIRST, rng=3)
    for t in range(1, 20_001):
        arm = agent.ask()
        agent.tell(arm, world(arm))
        assert agent.counts.min() >= max(math.sqrt(t) - 2, 0) - 1  # Garivier and Kaufmann 2016, Lemma 8
    weights = agent.oracle().weights
    assert np.abs(agent.counts / agent.t - weights).max() < 0.05


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 8), share=st.floats(0.01, 0.99))
def test_the_projection_is_the_nearest_point(seed, n, share):
    w, floor, out = np.random.default_rng(seed).dirichlet(0.3 * np.ones(n)), share / n, np.empty(n)
    project(w, floor, out)
    assert out.sum() == pytest.approx(1)
    assert (out >= floor * (1 - 1e-9)).all()
    # whatever stands below the floor has to be taken from the others: the largest change is that of the worst arm
    from scipy.optimize import linprog

    A = np.vstack([np.hstack([np.eye(n), -np.ones((n, 1))]), np.hstack([-np.eye(n), -np.ones((n, 1))])])
    best = linprog([0] * n + [1], A_ub=A, b_ub=np.concatenate([w, -w]), A_eq=[[1] * n + [0]], b_eq=[1],
                   bounds=[(floor, 1)] * n + [(0, 1)])  # fmt: skip
    assert np.abs(out - w).max() == pytest.approx(best.fun, abs=1e-8)


def test_the_region_of_the_sticky_rule_is_that_of_its_definition():
    from scipy.optimize import minimize

    counts, means = np.array([30, 20, 25, 10]), np.array([0.5, 0.6, 0.55, 0.3])
    for arm in range(4):
        found = minimize(
            lambda x: sum(n * bandits.kl_divergence(m, v) for n, m, v in zip(counts, means, x, strict=True)), np.full(4, 0.5),
            constraints=[{"type": "ineq", "fun": lambda x, j=j, a=arm: x[a] - x[j]} for j in range(4) if j != arm],
            bounds=[(0.01, 0.99)] * 4,
        )  # fmt: skip
        assert _cost_of_best(arm, counts, means, 0, 1.0) == pytest.approx(found.fun, abs=1e-4)


@pytest.mark.parametrize("name", ["DTracking", "Sticky", "EBTCI", "KLLUCB", "KLRacing", "ChernoffRacing", "Uniform"])
def test_a_tolerance_lets_tied_arms_stop(name):
    result = simulate_identification({name: RULES[name]}, [0.8, 0.8, 0.2], 0.1, 0.2, 20, 50_000, rng=0)
    assert (result.answers >= 0).all()
    assert not result.wrong.any()
    assert result.lower_bound < math.inf


def test_the_time_over_its_bound_goes_to_one():
    means = [0.7, 0.4, 0.2]
    time = bandits.characteristic_time(means)
    ratios = []
    for exponent in (2, 6, 20):
        result = simulate_identification({"d": bandits.DTracking}, means, 10.0**-exponent, n_replicates=60, rng=0)
        ratios.append(result.mean[0] / (time * exponent * math.log(10)))
    assert ratios[0] > ratios[1] > ratios[2]
    assert 1 < ratios[2] < 1.45


# -- delta-correctness -------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("family", ["bernoulli", "gaussian(0.5)", "poisson", "exponential", "bounded"])
def test_answers_are_wrong_with_probability_at_most_delta(family):
    means = [0.5, 0.42, 0.3] if family != "exponential" else [1.5, 1.0, 0.5]
    delta, n = 0.2, 150
    for name in ("DTracking", "EBTCI", "KLLUCB", "ChernoffRacing", "Uniform"):
        result = simulate_identification(
            {name: RULES[name]}, means, delta, n_replicates=n, family=family, rng=7, n_jobs=2
        )
        lower, _ = clopper_pearson(int(result.wrong.sum()), n, 1 - 1e-6)
        assert lower <= delta  # 25 such tests: false alarm below 3e-5
        assert (result.answers >= 0).all()


def test_every_interval_of_the_mixture_holds_at_all_times():
    """P(some t: N d(mean, mu) > ln(1/alpha) + rho) <= alpha; false alarm of the test 1e-6 for each family."""
    rng, alpha, n = np.random.default_rng(0), 0.2, 400
    for family, draw, mean in [
        ("bernoulli", lambda: rng.random(1500) < 0.3, 0.3),
        ("bounded", lambda: rng.beta(0.5, 1.5, 1500), 0.25),
        ("poisson", lambda: rng.poisson(1.3, 1500), 1.3),
        ("exponential", lambda: rng.exponential(2.0, 1500), 2.0),
    ]:
        misses = 0
        for _ in range(n):
            sums, counts = np.cumsum(draw().astype(float)), np.arange(1, 1501)
            evidence = counts * bandits.kl_divergence(sums / counts, mean, family)
            misses += bool((evidence > math.log(1 / alpha) + mixture_log_regret(sums, counts, family)).any())
        assert clopper_pearson(misses, n, 1 - 1e-6)[0] <= alpha


# -- published sample sizes --------------------------------------------------------------------

TABLE = {  # policy: (mean, standard error) on the two instances, 1000 runs
    "DTracking": ((4056, 90), (1370, 30)),
    "CTracking": ((5109, 103), (1776, 27)),
    "KLLUCB": ((8149, 125), (2624, 30)),
    "T3C": ((4049, 84), (1389, 23)),
    "EBTCI": ((4265, 83), (1541, 23)),
    "EBTCI ids": ((4203, 85), (1403, 25)),
    "Uniform": ((6689, 130), (2331, 40)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLE)
def test_sample_sizes_of_table_1(name):
    for means, (expected, _) in zip((FIRST, SECOND), TABLE[name], strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = simulate_identification(
                {name: RULES[name]}, means, 0.1, n_replicates=300, threshold="heuristic", rng=11, n_jobs=2
            )
        # 300 runs: the standard error of the difference is about 4.6 %; a mean 20 % off is seen with probability .98
        assert result.mean[0] == pytest.approx(expected, rel=0.1)
        assert result.error_rate[0] < 0.05


def test_the_unproved_threshold_comes_with_a_warning_and_no_guarantee():
    with pytest.warns(UserWarning, match="has no proof"):
        agent = bandits.DTracking(2, threshold="heuristic", rng=0)
    run(agent, Arms([0.9, 0.1], rng=0), 1000)
    assert agent.should_stop
    assert agent.recommend().guarantee is None
    assert agent.recommend().confidence is None


def test_what_a_report_says():
    agent = bandits.DTracking(["old", "new"], delta=0.1, rng=0)
    world = Arms([0.2, 0.8], rng=0)
    while not agent.should_stop:
        assert agent.recommend().confidence is None if agent.t else True
        label = agent.ask()
        agent.tell(label, world(["old", "new"].index(label)))
    report = agent.result()
    assert report.answer == "new"
    assert report.statistic > report.needed
    assert report.guarantee.kind == "delta-correct"
    assert report.guarantee.level == pytest.approx(0.9)
    assert report.to_dict()["n_samples"] == agent.t


def test_results_do_not_depend_on_workers():
    both = {"d": bandits.DTracking, "t": bandits.TTTS}
    one, two = (simulate_identification(both, [0.8, 0.5, 0.4], 0.1, n_replicates=40, rng=3, n_jobs=k) for k in (1, 2))
    assert np.array_equal(one.stopping_time, two.stopping_time)
    assert np.array_equal(one.answers, two.answers)
    assert one.table()[0]["error_upper"] > one.error_rate[0]


def test_a_run_that_is_given_up_is_not_counted_as_right():
    result = simulate_identification({"d": bandits.DTracking}, [0.5, 0.49], 0.01, n_replicates=3, max_steps=100, rng=0)
    assert (result.answers == -1).all()
    assert result.table()[0]["unfinished"] == 3


# -- level sets --------------------------------------------------------------------------------


def test_level_sets_are_found_and_their_time_is_the_formula():
    time, weights = bandits.level_set_time([0.3, 0.45, 0.6, 0.52], 0.5)
    assert time == pytest.approx(1511.149120, abs=5e-7)
    assert weights == pytest.approx([0.008042, 0.132129, 0.032865, 0.826965], abs=6e-7)
    wrong = 0
    for seed in range(60):
        path = run(bandits.LevelSet(3, theta=0.5, delta=0.2, rng=seed), Arms([0.3, 0.62, 0.7], rng=seed), 50_000)
        assert path.stopped
        wrong += path.agent.recommend().action != [1, 2]
        assert path.agent.recommend().guarantee.kind == "delta-correct"
    assert clopper_pearson(wrong, 60, 1 - 1e-6)[0] <= 0.2


@pytest.mark.slow
@pytest.mark.parametrize(("means", "answer"), [([0.3, 0.7, 0.8], True), ([0.72, 0.75, 0.8], False)])
def test_murphy_sampling_answers_the_question(means, answer):
    wrong = 0
    for seed in range(20):
        path = run(bandits.MinimumTest(3, theta=0.5, delta=0.1, rng=seed), Arms(means, rng=seed), 50_000)
        assert path.stopped
        wrong += path.agent.recommend().action is not answer
    assert clopper_pearson(wrong, 20, 1 - 1e-6)[0] <= 0.1


def test_a_fixed_budget_is_spent_near_the_threshold():
    path = run(bandits.APT(4, theta=0.5, epsilon=0.02, rng=0), Arms([0.1, 0.45, 0.57, 0.9], rng=0), 4000)
    assert path.agent.recommend().action == [2, 3]
    assert path.agent.recommend().guarantee is None
    assert path.agent.counts[1:3].min() > 5 * path.agent.counts[[0, 3]].max()


def test_states_of_level_sets_survive():
    for kind, world in itertools.product(
        (bandits.LevelSet, bandits.MinimumTest, bandits.APT), (Arms([0.3, 0.8], rng=0),)
    ):
        agent = kind(2, theta=0.5, rng=0)
        run(agent, world, 100)
        assert json.loads(Agent.from_json(agent.to_json()).to_json())["extra"] == json.loads(agent.to_json())["extra"]


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda: bandits.DTracking(3, delta=0), "delta must lie"),
        (lambda: bandits.DTracking(3, epsilon=-1), "epsilon must be"),
        (lambda: bandits.DTracking(3, update_every=0), "update_every must be"),
        (lambda: bandits.T3C(3, beta=1.0), "beta must lie"),
        (lambda: bandits.StickyTrackAndStop(3, f="x"), "f must be"),
        (lambda: bandits.KLLUCB(3, threshold="garivier-kaufmann"), "one for single arms"),
        (lambda: bandits.LevelSet(3, theta=2), "theta of the bernoulli"),
        (lambda: bandits.LevelSet(3, theta=0.5, threshold="heuristic"), "for pairs of arms"),
        (lambda: bandits.level_set_time([0.5, 0.2], 0.5), "exactly"),
        (lambda: bandits.DTracking(3).recommend(), "nothing has been observed"),
        (lambda: glr_statistic([1, -1], [0.0, 0.0]), "whole numbers"),
        (lambda: glr_statistic([1], [0.0]), "at least two arms"),
        (lambda: glr_statistic([1, 1], [0.0, 2.0]), "must lie in"),
        (lambda: simulate_identification({}, [0.1, 0.2], 0.1), "policies is empty"),
        (lambda: simulate_identification({"d": bandits.DTracking}, [0.1, 0.2], 0.1, max_steps=0), "max_steps"),
    ],
)
def test_wrong_arguments_are_named(work, said):
    with pytest.raises(ValueError, match=said):
        work()
