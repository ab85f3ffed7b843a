"""Laws of returns: functionals against closed forms, exact laws, projections with their errors."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import binom, wasserstein_distance

from ailys.mdp import ReturnDistribution, TabularMDP, evaluate, moments, simulate

LAWS = st.lists(
    st.tuples(st.floats(-50, 50), st.floats(0.01, 1)), min_size=1, max_size=8, unique_by=lambda pair: round(pair[0], 6)
)


def _law(pairs):
    x, w = np.array(sorted(pairs)).T
    return ReturnDistribution(x, w / w.sum())


@settings(max_examples=150, deadline=None)
@given(LAWS, st.floats(0.01, 1))
def test_the_risks_are_in_their_order(pairs, alpha):
    law = _law(pairs)
    slack = 1e-7 * (1 + np.abs(law.atoms).max())
    chain = [law.support[0], law.evar(alpha), law.cvar(alpha), law.var(alpha)]
    assert all(a <= b + slack for a, b in itertools.pairwise(chain))
    assert law.cvar(alpha) <= law.mean + slack
    assert law.cvar(1.0) == pytest.approx(law.mean, abs=slack)


@settings(max_examples=100, deadline=None)
@given(LAWS, st.floats(0.01, 1))
def test_cvar_is_the_maximum_of_rockafellar_and_uryasev(pairs, alpha):
    law = _law(pairs)
    best = max(eta - law.weights @ np.maximum(eta - law.atoms, 0) / alpha for eta in law.atoms)
    assert law.cvar(alpha) == pytest.approx(best, abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(LAWS, st.floats(-3, 3))
def test_the_entropic_risk_grows_with_beta_no_faster_than_the_range_allows(pairs, beta):
    law = _law(pairs)
    width = law.support[1] - law.support[0]
    slope = (law.entrm(beta + 1e-2) - law.entrm(beta)) / 1e-2
    assert -1e-8 <= slope <= width**2 / 8 + 1e-6


@settings(max_examples=60, deadline=None)
@given(LAWS, st.floats(0.02, 0.9))
def test_evar_is_the_supremum_over_a_grid_of_beta(pairs, alpha):
    law = _law(pairs)
    grid = -np.geomspace(1e-4, 1e4, 2000)
    best = max((law.entrm_curve(grid) + math.log(1 / alpha) / grid).max(), law.support[0])
    width = law.support[1] - law.support[0]
    assert best - 1e-9 * (1 + width) <= law.evar(alpha) <= best + 1e-3 * width + 1e-9


@settings(max_examples=60, deadline=None)
@given(LAWS, st.floats(-60, 60))
@example([(1.0, 1.0), (3.4e-201, 1.0)], 0.0)
def test_chernoff_bounds_the_distribution_function(pairs, x):
    law = _law(pairs)
    assert law.cdf(x) <= law.chernoff(x) + 1e-9


@pytest.mark.parametrize("beta", [1e-12, 1e-8, 1e-4, -1e-12, -1e-6, -0.3, -5.0, 2.0])
def test_the_entropic_risk_keeps_its_digits_at_any_beta(beta):
    import mpmath

    x, w = np.array([-100.0, -22.0, -21.0, -20.0]), np.array([0.05, 0.25, 0.3, 0.4])
    law = ReturnDistribution(x, w)
    with mpmath.workdps(60):
        total = mpmath.fsum(mpmath.mpf(float(p)) for p in w)
        exact = mpmath.log(
            mpmath.fsum(
                mpmath.mpf(float(p)) / total * mpmath.exp(mpmath.mpf(beta) * v) for p, v in zip(w, x, strict=True)
            )
        )
        assert law.entrm(beta) == pytest.approx(float(exact / mpmath.mpf(beta)), rel=2e-15)


def test_limits_of_the_entropic_risk():
    law = ReturnDistribution(np.array([-1.0, 0.0, 3.0]), np.array([0.2, 0.5, 0.3]))
    assert (law.entrm(-math.inf), law.entrm(math.inf), law.entrm(0)) == (-1.0, 3.0, law.mean)
    assert law.entrm(-1e9) == pytest.approx(-1.0, abs=1e-8)


@pytest.mark.parametrize("alpha", [0, -0.1, 1.1, float("nan"), "a", None])
def test_levels_outside_are_refused(alpha):
    law = ReturnDistribution(np.array([0.0]), np.array([1.0]))
    for functional in (law.var, law.cvar, law.evar):
        with pytest.raises(ValueError, match="alpha must lie in"):
            functional(alpha)


def test_sums_of_coins_are_binomial():
    mdp = TabularMDP.from_outcomes([[[(0.3, 0, 1), (0.7, 0, 0)]]], horizon=40)
    law = evaluate(mdp, [0])
    assert np.abs(law.weights - binom.pmf(np.arange(41), 40, 0.3)).max() < 1e-15


def test_the_gambler_is_ruined_with_the_known_probability():
    p, goal = 0.45, 10

    def move(state, action):
        if state in (0, goal):
            return [(1.0, state, 0.0)]
        up = state + 1
        return [(p, up, 1.0 if up == goal else 0.0), (1 - p, state - 1, 0.0)]

    mdp = TabularMDP.from_function([4], 1, move, horizon=4000)
    ratio = (1 - p) / p
    won = (1 - ratio**4) / (1 - ratio**goal)
    assert evaluate(mdp, np.zeros(mdp.n_states, int)).prob_at_least(1) == pytest.approx(won, abs=1e-12)


def _random_model(rng, S=4, A=1, H=9, **options):
    P, R = rng.dirichlet(np.ones(S), (S, A)), rng.random((S, A))
    return TabularMDP.from_arrays(P, R, **({"horizon": H} if "discount" not in options else {}), **options)


def test_lattice_sorted_atoms_and_every_path_agree():
    rng = np.random.default_rng(3)
    P = rng.dirichlet(np.ones(3), (3, 2))
    mdp = TabularMDP.from_arrays(P, rng.integers(-3, 4, (3, 2, 3)) / 4, horizon=4, initial=[0.2, 0.5, 0.3])
    policy = rng.dirichlet(np.ones(2), (4, 3))
    paths = {0.0: 0.0}
    paths.clear()

    def walk(h, s, mass, total):
        if h == 4:
            paths[round(total, 9)] = paths.get(round(total, 9), 0.0) + mass
            return
        for a in range(2):
            for p, n, r in mdp.outcomes(s, a):
                walk(h + 1, n, mass * policy[h, s, a] * p, total + r)

    for s, mass in enumerate(mdp.initial):
        walk(0, s, mass, 0.0)
    atoms, weights = np.array(sorted(paths.items())).T
    for method in ("lattice", "sparse", "auto"):
        law = evaluate(mdp, policy, method)
        assert law.exact
        assert np.allclose(law.atoms, atoms)
        assert np.allclose(law.weights, weights, atol=1e-15)
    mean, variance = moments(mdp, policy)
    assert mdp.initial @ mean == pytest.approx(law.mean)
    assert mdp.initial @ (variance + mean**2) - (mdp.initial @ mean) ** 2 == pytest.approx(law.variance)


@pytest.mark.parametrize("seed", range(4))
def test_the_true_error_is_below_the_certificate_which_is_below_the_promise(seed):
    rng = np.random.default_rng(seed)
    mdp = _random_model(rng)
    policy = np.zeros(4, int)
    truth = evaluate(mdp, policy, "sparse", max_atoms=400_000)
    for method in ("quantile", "categorical", "bracket"):
        for n in (10, 100, 1000):
            law = evaluate(mdp, policy, method, n)
            true = wasserstein_distance(law.atoms, truth.atoms, law.weights, truth.weights)
            assert true <= law.w1_error + 1e-12
            assert law.w1_error <= law.a_priori + 1e-12
            for name, parameter in (("mean", None), ("cvar", 0.1), ("entrm", -1.0), ("variance", None)):
                low, high = law.bounds(name, parameter)
                assert low - 1e-9 <= truth.functional(name, parameter) <= high + 1e-9
    # rounded rewards enclose every functional that grows with the return
    low, high = law.bounds("var", 0.1)
    assert low - 1e-12 <= truth.var(0.1) <= high + 1e-12
    assert law.bounds("cdf", 4.0)[0] - 1e-12 <= truth.cdf(4.0) <= law.bounds("cdf", 4.0)[1] + 1e-12


def test_the_categorical_projection_keeps_the_mean_and_lowers_the_tail():
    rng = np.random.default_rng(1)
    mdp = _random_model(rng)
    truth, law = (
        evaluate(mdp, np.zeros(4, int), m, **k)
        for m, k in (("sparse", {"max_atoms": 400_000}), ("categorical", {"n_atoms": 60}))
    )
    assert law.mean == pytest.approx(truth.mean, abs=1e-12)
    assert 0 <= truth.cvar(0.1) - law.cvar(0.1) <= law.a_priori / 0.1
    assert law.variance >= truth.variance
    assert law.entrm(-2.0) <= truth.entrm(-2.0)


@pytest.mark.parametrize("method", ["quantile", "categorical", "bracket"])
def test_discounted_laws_keep_within_their_error(method):
    rng = np.random.default_rng(2)
    mdp = _random_model(rng, discount=0.6)
    mean, variance = moments(mdp, np.zeros(4, int))
    law = evaluate(mdp, np.zeros(4, int), method, 500)
    assert abs(law.mean - mean[0]) <= law.w1_error
    sample = simulate(mdp, np.zeros(4, int), 40_000, rng=0, level=1 - 1e-6)
    if law.lower is not None:
        for x in np.quantile(sample.returns, [0.05, 0.3, 0.7]):
            empirical = float(np.mean(sample.returns <= x))
            assert law.bounds("cdf", x)[0] - sample.band <= empirical <= law.bounds("cdf", x)[1] + sample.band
    assert variance[0] == pytest.approx(sample.returns.var(), rel=0.1)


def test_a_reward_off_the_lattice_is_named():
    mdp = TabularMDP.from_outcomes([[[(0.5, 0, 1), (0.5, 0, math.pi)]]], horizon=3)
    with pytest.raises(ValueError, match=r"reward 3\.14159"):
        evaluate(mdp, [0], "exact", step=1.0)
    with pytest.raises(ValueError, match="max_atoms = 2"):
        evaluate(mdp, [0], "sparse", max_atoms=2)


def test_simulated_returns_lie_in_their_band():
    from ailys.mdp import solve
    from ailys.mdp.envs import Cliff

    mdp = Cliff().to_mdp()
    policy = solve(mdp).policy
    law, sample = evaluate(mdp, policy), simulate(mdp, policy, 20_000, rng=0, level=1 - 1e-6)
    worst = max(abs(law.cdf(x) - np.mean(sample.returns <= x)) for x in law.atoms)
    assert worst <= sample.band
