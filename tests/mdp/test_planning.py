"""Planning: closed forms, brute force over all policies, certificates, published digits."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from ailys.mdp import (
    TabularMDP,
    entrm_front,
    evaluate,
    evaluate_entrm,
    nested,
    optimize_cvar,
    optimize_evar,
    optimize_threshold,
    optimize_var,
    simulate,
    solve,
    solve_entrm,
    worst_case_model,
)
from ailys.mdp.envs import Cliff, Inventory
from ailys.mdp.plots import plot_actions, plot_front_and_nested

CLIFF = {
    -5: -134.8185672330503,
    -0.3: -96.12354386228597,
    -0.1: -66.16721411026329,
    -0.03: -27.86566075276383,
    -1e-6: -19.99595075054866,
    0: -19.99582843947308,
    1e-6: -19.99570613477288,
    0.1: -16.95084988923567,
    1: -13.89444294466597,
}
DOWN = {-0.06: -43.88024918029224, -0.01: -21.76382338793328, 0: -20.93143961768298, 0.1: -18.08608786816062}


@pytest.fixture(scope="module")
def cliff():
    return Cliff().to_mdp()


@pytest.fixture(scope="module")
def down():
    return Cliff(mode="down").to_mdp()


def _tiny(rng, S=2, A=2, H=2, values=None):
    P = rng.dirichlet(np.ones(S), (S, A))
    R = rng.choice(values, (S, A, S)) if values is not None else rng.standard_normal((S, A, S))
    return TabularMDP.from_arrays(P, R, horizon=H)


def _all_policies(mdp):
    for actions in itertools.product(range(mdp.n_actions), repeat=mdp.horizon * mdp.n_states):
        yield np.array(actions).reshape(mdp.horizon, mdp.n_states)


@pytest.mark.parametrize("method", ["mpi", "vi"])
def test_threads_change_nothing(method):
    rng = np.random.default_rng(3)
    for n in (1, 2, 7, 400):
        counts = rng.integers(1, 6, 3 * n)
        indptr = np.concatenate([[0], np.cumsum(counts)])
        prob = np.concatenate([rng.dirichlet(np.ones(c)) for c in counts])
        table = indptr, rng.integers(0, n, indptr[-1]), prob, rng.standard_normal(3 * n), n, 3
        mdp = TabularMDP(*table, discount=0.97)
        one, *others = (solve(mdp, method, n_jobs=jobs) for jobs in (1, 2, 3))
        for other in others:
            assert np.array_equal(one.value, other.value)
            assert np.array_equal(one.policy, other.policy)
            assert (one.bound, one.iterations) == (other.bound, other.iterations)


@pytest.mark.parametrize("method", ["mpi", "vi", "pi"])
def test_discounted_values_are_within_their_bound(method):
    rng = np.random.default_rng(0)
    mdp = TabularMDP.from_arrays(rng.dirichlet(np.ones(6), (6, 3)), rng.standard_normal((6, 3)), discount=0.95)
    best = np.max([_value(mdp, np.array(p)) for p in itertools.product(range(3), repeat=6)], axis=0)
    for tol in (1e-2, 1e-8):
        answer = solve(mdp, method, tol)
        assert answer.bound <= tol
        assert np.abs(answer.value - best).max() <= answer.bound
        assert (best - _value(mdp, answer.policy)).max() <= answer.policy_loss


def _value(mdp, policy):
    P, r = np.zeros((mdp.n_states,) * 2), np.zeros(mdp.n_states)
    for s in range(mdp.n_states):
        for p, n, reward in mdp.outcomes(s, int(policy[s])):
            P[s, n] += p
            r[s] += p * reward
    return np.linalg.solve(np.eye(mdp.n_states) - mdp.discount * P, r)


@pytest.mark.parametrize(("beta", "value"), CLIFF.items())
def test_the_cliff_has_its_entropic_values_in_every_stable_form(cliff, beta, value):
    answer = solve_entrm(cliff, beta)
    assert answer.start_value == pytest.approx(value, rel=1e-13)
    assert solve_entrm(cliff, beta, form="logsumexp").start_value == pytest.approx(value, rel=1e-13)
    assert evaluate(cliff, answer).entrm(beta) == pytest.approx(value, rel=1e-13)
    assert evaluate_entrm(cliff, answer, beta).value[36] == pytest.approx(value, rel=1e-13)


@pytest.mark.parametrize(("beta", "value"), DOWN.items())
def test_the_sloping_cliff_has_its_entropic_values(down, beta, value):
    assert solve_entrm(down, beta).start_value == pytest.approx(value, rel=1e-13)


def test_the_law_on_the_cliff_has_its_known_numbers(cliff):
    law = evaluate(cliff, solve_entrm(cliff, 0))
    assert [round(x, 3) for x in (law.mean, law.std, law.cvar(0.1))] == [-19.996, 15.640, -49.523]
    assert law.cdf(-100) == pytest.approx(3.438e-2, abs=5e-6)
    law = evaluate(cliff, solve_entrm(cliff, -0.03))
    assert [round(x, 3) for x in (law.mean, law.std, law.cvar(0.1))] == [-21.129, 13.895, -45.690]
    assert law.cdf(-100) == pytest.approx(2.89e-2, abs=5e-5)


def test_a_very_averse_walker_jumps_at_once(cliff):
    law = evaluate(cliff, solve_entrm(cliff, -0.5))
    assert law.cdf(-100) > 0.99
    assert law.mean < -100


@pytest.mark.parametrize("beta", [-math.inf, -2.0, -1e-3, 0.0, 0.7, math.inf])
@pytest.mark.parametrize("seed", [0, 1])
def test_no_markov_policy_beats_the_entropic_optimum(beta, seed):
    mdp = _tiny(np.random.default_rng(seed))
    best = max(evaluate(mdp, policy).entrm(beta) for policy in _all_policies(mdp))
    assert solve_entrm(mdp, beta).start_value == pytest.approx(best, rel=1e-12)


def test_discounted_entropic_planning_is_not_the_nested_one():
    rng = np.random.default_rng(1)
    mdp = TabularMDP.from_arrays(rng.dirichlet(np.ones(2), (2, 2)), rng.random((2, 2, 2)), discount=0.7, horizon=3)
    best = max(evaluate(mdp, policy).entrm(-2.0) for policy in _all_policies(mdp))
    assert solve_entrm(mdp, -2.0).start_value == pytest.approx(best, rel=1e-12)
    endless = solve_entrm(mdp.replace(horizon=None), -2.0)
    long = solve_entrm(mdp.replace(horizon=300), -2.0)
    assert abs(endless.start_value - long.start_value) <= endless.bound + 1e-12 <= 1e-8


@pytest.mark.parametrize("beta", [-0.1, -0.6])
def test_the_total_reward_of_a_geometric_walk(beta):
    walk = TabularMDP.from_outcomes([[[(0.5, 0, -1), (0.5, 1, -1)]], [[(1, 1, 0)]]], terminal=[1], criterion="total")
    e = math.exp(-beta)
    assert solve_entrm(walk, beta).start_value == pytest.approx(math.log(0.5 * e / (1 - 0.5 * e)) / beta, rel=1e-10)


def test_a_total_reward_that_diverges_is_said_to():
    walk = TabularMDP.from_outcomes([[[(0.5, 0, -1), (0.5, 1, -1)]], [[(1, 1, 0)]]], terminal=[1], criterion="total")
    with pytest.warns(RuntimeWarning, match="-inf from 1 states"):
        assert solve_entrm(walk, -0.7).start_value == -math.inf


def test_the_derivative_in_beta_is_the_one_of_the_tilted_mean(cliff):
    policy, step = solve_entrm(cliff, -0.05), 1e-5
    here = evaluate_entrm(cliff, policy, -0.05)
    slope = (evaluate_entrm(cliff, policy, -0.05 + step).value - evaluate_entrm(cliff, policy, -0.05 - step).value) / (
        2 * step
    )
    assert slope[36] == pytest.approx((here.tilted_mean[36] - here.value[36]) / -0.05, rel=1e-6)


@pytest.mark.parametrize("beta", [-0.1, 0.05])
def test_the_worst_case_pays_the_divergence_that_duality_says(cliff, beta):
    policy = solve_entrm(cliff, beta)
    worst = worst_case_model(cliff, policy, beta)
    assert evaluate(worst.model, policy).mean == pytest.approx(worst.mean, rel=1e-12)
    assert worst.mean - worst.divergence / beta == pytest.approx(policy.start_value, rel=1e-12)
    assert worst.divergence > 0


# ------------------------------------------------------------------ the front


@pytest.mark.parametrize("mode", ["uniform", "down", "perp"])
@pytest.mark.parametrize("epsilon", [1.0, 0.1])
def test_the_front_is_within_its_certificate_at_a_thousand_parameters(mode, epsilon):
    mdp = Cliff(mode=mode).to_mdp()
    front = entrm_front(mdp, -0.3, 0.2, epsilon)
    assert front.certificate <= epsilon
    assert front.segments[0].beta_lo == -0.3
    assert front.segments[-1].beta_hi == 0.2
    assert all(a.beta_hi == b.beta_lo for a, b in itertools.pairwise(front.segments))
    for beta in np.random.default_rng(0).uniform(-0.3, 0.2, 1000):
        best = solve_entrm(mdp, beta).start_value
        lower, upper = front.value_at(beta)
        certificate = front.segments[front.index_at(beta)].certificate
        assert lower - 1e-9 <= best <= min(upper, lower + certificate) + 1e-9


def test_the_front_of_a_sure_thing_is_one_policy():
    mdp = TabularMDP.from_outcomes([[[(1, 0, 1)], [(1, 0, 1)]]], horizon=5)
    front = entrm_front(mdp, -1, 1, 0.1)
    assert front.n_policies == 1
    assert front.lambda_ == 0
    assert front.value_at(0.3) == (5.0, 5.0)


def test_the_one_step_breakpoint_is_found_to_its_digits():
    mdp = TabularMDP.from_outcomes([[[(1, 0, 0.2)], [(0.5, 0, 1.0), (0.5, 0, -0.5)]]], horizon=1)
    front = entrm_front(mdp, -1, 1, 0)
    assert front.n_policies == 2
    assert front.breakpoints[0] == pytest.approx(-0.178306721604132579369, abs=1e-14)
    low, high = front.brackets[0]
    assert low <= front.breakpoints[0] <= high <= low + 1e-6


def test_the_exact_front_is_optimal_between_its_breakpoints():
    mdp = Cliff(rows=3, cols=5, fall=-20, horizon=12).to_mdp()
    front = entrm_front(mdp, -0.3, 0.2, 0, tol=1e-5)
    for beta in np.random.default_rng(1).uniform(-0.3, 0.2, 200):
        assert front.value_at(beta)[0] == pytest.approx(solve_entrm(mdp, beta).start_value, abs=1e-9)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [((float("nan"), 1, 0.1), "beta_min must be finite"), ((1, 0, 0.1), "must not exceed"), ((0, 1, -1), "epsilon")],
)
def test_bad_fronts_are_refused(cliff, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        entrm_front(cliff, *arguments)
    with pytest.raises(ValueError, match="the front covers"):
        entrm_front(cliff, -0.1, 0, 1.0).policy_at(0.5)


# ------------------------------------------------------------------ tails


@pytest.mark.parametrize(("alpha", "value"), [(0.05, -94.724074), (0.1, -83.958566), (0.2, -71.108627)])
def test_the_best_entropic_value_at_risk_of_the_cliff(cliff, alpha, value):
    answer = optimize_evar(cliff, alpha)
    assert answer.value == pytest.approx(value, abs=2e-6)
    assert answer.gap <= 1.0001e-6
    assert evaluate(cliff, answer.policy).evar(alpha) == pytest.approx(answer.value, abs=1e-9)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_markov_policy_has_a_better_entropic_value_at_risk(seed):
    mdp = _tiny(np.random.default_rng(seed))
    for alpha in (0.02, 0.3, 1.0):
        best = max(evaluate(mdp, policy).evar(alpha) for policy in _all_policies(mdp))
        answer = optimize_evar(mdp, alpha)
        assert answer.lower - 1e-9 <= best + 1e-9
        assert best <= answer.upper + 1e-9


def test_tail_values_of_the_cliff(cliff, down):
    exact = {0.05: -68.429563, 0.1: -45.516801, 0.2: -33.201552}
    for alpha, value in exact.items():
        assert optimize_cvar(cliff, alpha, "exact").value == pytest.approx(value, abs=1e-6)
    front = entrm_front(down, -0.3, 0.2, 0.1)
    table = {
        0.05: (-48.1867, -47.9189, -47.793649),
        0.1: (-36.6171, -36.2923, -36.200931),
        0.2: (-29.8217, -29.5778, -29.564489),
    }
    for alpha, (by_front, improved, best) in table.items():
        assert optimize_cvar(down, alpha, "front", front=front).value == pytest.approx(by_front, abs=1e-4)
        assert optimize_cvar(down, alpha, "gpi", front=front).value == pytest.approx(improved, abs=1e-4)
        answer = optimize_cvar(down, alpha, "exact")
        assert answer.value == pytest.approx(best, abs=1e-6)
        assert answer.gap == 0
    table = {-20: (0.807759, 0.881078, 0.917124), -25: (0.962239, 0.982283, 0.983933)}
    for x, values in table.items():
        found = [optimize_threshold(down, x, m, front=front).value for m in ("front", "gpi", "exact")]
        assert found == pytest.approx(list(values), abs=1e-6)
    assert optimize_threshold(cliff, -20, "exact").value == pytest.approx(0.910223, abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_the_exact_tail_optimum_is_that_of_all_policies_with_memory(seed):
    mdp = _tiny(np.random.default_rng(seed), values=[-1.0, 0.0, 2.0])
    histories: dict[tuple[int, int, float], int] = {(0, 0, 0.0): 0}
    for s, c in itertools.product(range(2), (-1.0, 0.0, 2.0)):
        histories[(1, s, c)] = len(histories)
    laws = []
    for choice in itertools.product(range(2), repeat=len(histories)):
        law: dict[float, float] = {}
        for p, n, r in mdp.outcomes(0, choice[0]):
            for q, _, reward in mdp.outcomes(n, choice[histories[(1, n, r)]]):
                law[r + reward] = law.get(r + reward, 0.0) + p * q
        laws.append((np.array(sorted(law)), np.array([law[x] for x in sorted(law)])))
    from ailys.mdp import ReturnDistribution

    dists = [ReturnDistribution(x, w) for x, w in laws]
    for alpha in (0.1, 0.5, 1.0):
        answer = optimize_cvar(mdp, alpha, "exact")
        assert answer.value == pytest.approx(max(d.cvar(alpha) for d in dists), abs=1e-12)
        assert answer.distribution.cvar(alpha) == pytest.approx(answer.value, abs=1e-12)
        assert optimize_var(mdp, alpha, "exact").value == max(d.var(alpha) for d in dists)
    for x in (-2.0, 0.5, 4.0):
        assert optimize_threshold(mdp, x, "exact").value == pytest.approx(
            max(d.prob_at_least(x) for d in dists), abs=1e-12
        )


@pytest.mark.parametrize(
    "risk",
    [
        lambda m, k: optimize_cvar(m, 0.2, k),
        lambda m, k: optimize_var(m, 0.2, k),
        lambda m, k: optimize_threshold(m, -0.3, k),
    ],
)
def test_brackets_of_real_rewards_hold_the_optimum(risk):
    rng = np.random.default_rng(5)
    mdp = TabularMDP.from_arrays(rng.dirichlet(np.ones(3), (3, 2)), np.round(rng.standard_normal((3, 2)), 2), horizon=6)
    exact = risk(mdp, "exact").value
    real = TabularMDP.from_arrays(
        np.array([[list(row) for row in _rows(mdp, s)] for s in range(3)]),
        mdp.reward[::3].reshape(3, 2) + 1e-7 * rng.random((3, 2)),
        horizon=6,
    )
    answer = risk(real, "bracket")
    assert answer.lower - 1e-5 <= exact <= answer.upper + 1e-5
    by_front = risk(real, "front")
    assert by_front.lower <= answer.upper + 1e-9
    assert by_front.value <= by_front.upper + 1e-9


def _rows(mdp, s):
    for a in range(mdp.n_actions):
        row = np.zeros(mdp.n_states)
        for p, n, _ in mdp.outcomes(s, a):
            row[n] += p
        yield row


def test_simulated_walks_follow_the_policy_with_memory(down):
    answer = optimize_cvar(down, 0.1, "exact")
    sample = simulate(down, answer.policy, 50_000, rng=0, level=1 - 1e-6)
    law = answer.distribution
    assert max(abs(law.cdf(x) - np.mean(sample.returns <= x)) for x in law.atoms) <= sample.band


def test_unreachable_thresholds_have_their_trivial_answers(cliff):
    assert optimize_threshold(cliff, -1e9, "exact").value == 1
    assert optimize_threshold(cliff, 1e9, "exact").value == 0


def test_the_nested_risk_is_the_entropic_one_only_for_the_entropic_risk(cliff):
    assert nested(cliff, "entrm", -0.03).start_value == pytest.approx(CLIFF[-0.03], rel=1e-12)
    answer = nested(cliff, "cvar", 0.1)
    assert answer.guarantee is None
    assert answer.distribution.cvar(0.1) < optimize_cvar(cliff, 0.1, "exact").value - 10


def test_a_nested_plan_for_the_tail_leaves_the_store_empty():
    """The figure of the page: each day alone may end in a loss, so nothing is ordered; the whole return tells otherwise."""
    mdp = Inventory().to_mdp()
    plan = nested(mdp, "cvar", 0.2)
    assert plan.policy[:, 0].tolist() == [0] * 15
    assert plan.distribution.mean == plan.distribution.cvar(0.2) == 0
    assert optimize_cvar(mdp, 0.2, "exact").value == pytest.approx(15.45, abs=0.01)
    front = entrm_front(mdp, -0.4, 0.1, 1.0)
    drawn = plot_front_and_nested(mdp, front, alphas=(0.2, 1.0)).lines
    losses = {line.get_label(): np.asarray(line.get_ydata()) for line in drawn}
    assert 0 <= losses["best policy of the front"].min() <= losses["best policy of the front"].max() < 3
    assert losses["plan with the CVaR of each step (nested)"].max() == pytest.approx(15.45, abs=0.01)
    assert plot_actions(front).collections[0].get_array().max() == max(s.policy[:, 0].max() for s in front.segments)


@pytest.mark.parametrize("alpha", [0, 1.5, float("nan"), "x"])
def test_bad_levels_are_refused(cliff, alpha):
    for optimize in (optimize_evar, optimize_cvar, optimize_var):
        with pytest.raises(ValueError, match="alpha must lie in"):
            optimize(cliff, alpha)


@pytest.mark.parametrize("beta", [float("nan"), "x", None])
def test_bad_betas_are_refused(cliff, beta):
    with pytest.raises(ValueError, match="beta must be"):
        solve_entrm(cliff, beta)
