"""Instances on which a certificate was wrong once: ties, tiny and huge numbers, sums that round, unsettled cells."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from ailys.mdp import (
    TabularMDP,
    entrm_front,
    evaluate,
    evaluate_entrm,
    optimize_cvar,
    optimize_evar,
    optimize_threshold,
    optimize_var,
    simulate,
    solve,
    solve_entrm,
)
from ailys.mdp.envs import Cliff
from ailys.mdp.lattice import lattice_step
from ailys.mdp.total import solve_total

model = TabularMDP.from_outcomes


def coin(a, b, horizon=1):
    return model([[[(0.5, 0, a), (0.5, 0, b)]]], horizon=horizon)


# -- planning ------------------------------------------------------------------------------------


def test_small_rewards_are_not_ties():
    assert solve(model([[[(1, 0, 0.0)], [(1, 0, 5e-12)]]], horizon=1)).policy[0, 0] == 1
    assert solve(model([[[(1, 0, 0.0)], [(1, 0, 5e-13)]]], discount=0.5), tol=1e-14).policy[0] == 1
    for beta in (-1e12, -1.0, 0.0, 1e12, 1e15):
        assert solve_entrm(model([[[(1, 0, 0.0)], [(1, 0, 5e-12)]]], horizon=1), beta).policy[0, 0] == 1


@pytest.mark.parametrize("options", [{"horizon": 3}, {"discount": 0.9}])
def test_what_ties_cost_is_in_the_loss_of_the_policy(options):
    gain = 9e-13 if "discount" in options else 9e-12
    answer = solve(model([[[(1, 0, 1.0)], [(1, 0, 1.0 + gain)]]], **options))
    best = (1 + gain) * (3 if "horizon" in options else 10)
    own = (1 + gain * int(np.ravel(answer.policy)[0])) * (3 if "horizon" in options else 10)
    assert best - own <= answer.policy_loss
    assert f"{answer.policy_loss:.3g}" in answer.guarantee.statement


def test_cancelled_rewards_are_in_the_bound():
    mdp = model([[[(0.1, 0, 1e15), (0.2, 0, -1e15), (0.3, 0, 1e15), (0.4, 0, -5e14)]]], discount=0.9)
    answer = solve(mdp)
    p, r = ([Fraction(float(x)) for x in column] for column in (mdp.prob, mdp.reward))
    true = sum(a * b for a, b in zip(p, r, strict=True)) / (1 - Fraction(0.9) * sum(p))
    assert abs(Fraction(float(answer.value[0])) - true) <= Fraction(answer.bound)


def test_returns_too_large_for_any_bound_are_refused():
    with pytest.raises(ValueError, match="larger unit"):
        coin(1e308, -1e308, 50)
    with pytest.raises(ValueError, match="larger unit"):
        coin(1e149, 0.0, 2).replace(horizon=1000)


# -- entropic risk -------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [5e-324, -1e-320, 1e-300, -1e-30])
def test_a_parameter_next_to_nothing_is_the_mean(beta):
    mdp = coin(0.3, 0.7, 2)
    assert solve_entrm(mdp, beta).start_value == pytest.approx(1.0, abs=1e-15)
    assert evaluate_entrm(mdp, [0], beta).value[0] == pytest.approx(1.0, abs=1e-15)
    assert evaluate(mdp, [0]).entrm(beta) == pytest.approx(1.0, abs=1e-15)


def test_tiny_probabilities_keep_the_tilted_mean_a_number():
    answer = evaluate_entrm(model([[[(1, 0, 0.0), (1e-310, 0, -1.0)]]], horizon=2), [0], -1000.0)
    assert answer.tilted_mean[0] == pytest.approx(-2.0)


def test_the_front_does_not_read_lost_probabilities_from_a_law():
    mdp = model([[[(1, 0, 0.0), (1e-300, 0, -1.0)], [(1, 0, -0.015)]]], horizon=2)
    front = entrm_front(mdp, -710.0, -690.0, 1e-3)
    for beta in np.linspace(-710, -690, 9):
        best = solve_entrm(mdp, beta).start_value
        segment = front.segments[front.index_at(beta)]
        own = evaluate_entrm(mdp, segment.policy, beta).value[0]
        assert best - own <= segment.certificate + 1e-9
        assert front.value_at(beta)[0] <= own + 1e-9


def test_total_reward_of_a_long_process():
    for end in (1e-14, 1e-5, 0.5):
        rows = [[[(1 - end, 0, 0.0), (end, 1, -1.0)]], [[(1, 1, 0.0)]]]
        answer = solve_entrm(model(rows, criterion="total", terminal=[1]), -1.0)
        assert answer.value[0] == pytest.approx(-1.0, rel=1e-3 if end < 1e-10 else 1e-9)
        # an end as rare as rounding is not proved
        assert (answer.guarantee is None) == (end < 1e-10)
        if answer.guarantee is not None:
            assert abs(answer.value[0] + 1.0) <= answer.bound < 1e-6


def _total_model(rng, costs):
    """Three states and an end, which is near in every row, or only in some of them if each step costs something."""
    rows = []
    for _ in range(3):
        ends = rng.uniform(0.3, 0.6, 2) if not costs else rng.uniform(0.05, 0.6, 2) * [1, rng.integers(2)]
        reward = -rng.uniform(0.1, 1, 2) if costs else rng.uniform(-1, 1, 2)
        rows.append(
            [
                [((1 - e) * p, n, r) for n, p in enumerate(rng.dirichlet(np.ones(3)))]
                + ([(e, 3, r - 0.1)] if e else [])
                for e, r in zip(ends, reward, strict=True)
            ]
        )
    return model([*rows, [[(1, 3, 0.0)]]], criterion="total", terminal=[3])


@pytest.mark.parametrize("costs", [False, True])
def test_total_rewards_against_every_stationary_policy(costs):
    rng = np.random.default_rng(1)
    proved = 0
    for _ in range(30):
        mdp, beta = _total_model(rng, costs), -float(rng.uniform(0.05, 0.25))
        answer = solve_entrm(mdp, beta)
        if answer.guarantee is None:
            continue
        proved += 1
        best, own = np.full(3, -math.inf), None
        for actions in itertools.product((0, 1), repeat=3):
            B, b = np.zeros((3, 3)), np.zeros(3)
            for s, a in enumerate(actions):
                for p, n, r in mdp.outcomes(s, a):
                    if n == 3:
                        b[s] += p * math.exp(beta * r)
                    else:
                        B[s, n] += p * math.exp(beta * r)
            if max(abs(np.linalg.eigvals(B))) < 1:
                value = np.log(np.linalg.solve(np.eye(3) - B, b)) / beta
                best = np.maximum(best, value)
                if actions == tuple(answer.policy[0, :3]):
                    own = value
        assert answer.bound < 1e-9
        assert np.abs(answer.value[:3] - best).max() <= answer.bound + 1e-12
        assert (best - own).max() <= answer.bound + 1e-12
    assert proved >= 25


def test_a_total_reward_without_an_end_in_sight_is_not_proved():
    """To wait costs nothing: its risk is 0 after each number of decisions, and no policy that ends reaches it."""
    for waiting in (0.0, 1.0):  # where to wait earns, the best sum has no bound
        rows = [[[(1, 0, waiting)], [(0.5, 1, -1.0), (0.5, 0, -1.0)]], [[(1, 1, 0.0)]]]
        assert solve_entrm(model(rows, criterion="total", terminal=[1]), -0.1).guarantee is None


def test_the_cliff_without_a_last_step_is_proved():
    mdp = Cliff(horizon=50).to_mdp()
    endless = mdp.replace(horizon=None, criterion="total")
    answer = solve_entrm(endless, -0.01)
    long = solve_entrm(mdp.replace(horizon=3000), -0.01)
    assert answer.bound < 1e-6
    assert answer.start_value == pytest.approx(long.start_value, abs=1e-6)


# -- the exact front -----------------------------------------------------------------------------


@pytest.mark.parametrize("tol", [1e-3, 0.3, 3.0])
def test_cells_that_were_not_settled_are_certified(tol):
    rng = np.random.default_rng(0)
    for _ in range(10):
        mdp = TabularMDP.from_arrays(rng.dirichlet(np.ones(2), (2, 2)), rng.normal(size=(2, 2, 2)), horizon=2)
        front = entrm_front(mdp, -2.0, 3.0, 0, tol=tol)
        for beta in [*np.linspace(-2, 3, 23), *front.breakpoints]:
            segment = front.segments[front.index_at(beta)]
            own = evaluate(mdp, segment.policy).entrm(beta)
            assert solve_entrm(mdp, beta).start_value - own <= segment.certificate + 1e-12


def test_an_interval_thinner_than_the_tolerance():
    mdp = model([[[(1, 0, 0.2)], [(0.5, 0, 1.0), (0.5, 0, -0.5)]]], horizon=1)
    front = entrm_front(mdp, -0.18, -0.17, 0, tol=1.0)
    for beta in (-0.18, -0.17):
        own = evaluate(mdp, front.policy_at(beta)).entrm(beta)
        assert solve_entrm(mdp, beta).start_value - own <= front.certificate


# -- laws ----------------------------------------------------------------------------------------


def test_small_returns_stay_apart():
    law = evaluate(coin(1e-13, 3e-13, 2), [0], "sparse")
    assert law.atoms == pytest.approx([2e-13, 4e-13, 6e-13], rel=1e-12)
    assert lattice_step(np.array([1e-6, 1.0005e-6])) != 1e-6
    assert lattice_step(np.array([2e-13, -3e-13])) == pytest.approx(1e-13)
    with pytest.raises(ValueError, match="not a whole multiple"):
        evaluate(coin(1.0, 2.0 + 1e-10), [0], "lattice", step=1.0)


def test_probabilities_of_sums_that_round():
    assert evaluate(model([[[(1, 0, 0.1)]]], horizon=3), [0]).cdf(0.3) == 1
    mdp = model([[[(1, 0, 1 / 49)]]], horizon=49)
    assert evaluate(mdp, [0]).prob_at_least(1.0) == 1
    answer = optimize_threshold(mdp, 1.0, "exact")
    assert answer.value == answer.lower == answer.upper == 1


def test_promise_of_a_discounted_bracket():
    mdp = model([[[(0.5, 0, 1.0), (0.5, 0, -math.pi)]]], horizon=5, discount=0.7)
    for n_atoms in (3, 10, 100):
        law = evaluate(mdp, [0], "bracket", n_atoms)
        assert law.w1_error <= law.a_priori


def test_range_of_an_endless_return_holds_its_tail():
    law = evaluate(model([[[(0.5, 0, 1.0), (0.5, 0, 0.0)]]], discount=0.5), [0], "quantile", 10)
    low, high = law.notes["range"]
    assert low <= 0.0
    assert high >= 2.0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"step": 0}, "step must be a positive"), ({"step": math.nan}, "step must be a positive"), ({"step": "x"}, "step must be"),
        ({"n_atoms": 2.5}, "n_atoms must be a whole"), ({"n_atoms": "9"}, "n_atoms must be a whole"), ({"max_atoms": 0}, "max_atoms"),
        ({"step": 1e-300}, "too large"),
    ],
)  # fmt: skip
def test_bad_sizes_are_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        evaluate(coin(1.0, 0.5, 3), [0], "bracket", **options)


# -- tails ---------------------------------------------------------------------------------------


def test_rewards_beside_the_lattice_are_rounded_outwards():
    reward = 1 + 5e-10
    mdp = model([[[(1, 0, reward)]]], horizon=3)
    answer = optimize_threshold(mdp, 3 * reward, "bracket", step=1.0)
    assert answer.upper == 1
    assert optimize_var(mdp, 0.5, "bracket", step=1.0).upper >= 3 * reward


def test_small_gaps_are_not_called_optimal():
    mdp = model([[[(1, 0, 0.2e-10)], [(0.5, 0, 1e-10), (0.5, 0, -0.5e-10)]]], horizon=3)
    answer = optimize_cvar(mdp, 0.6, "bracket", step=0.7e-10)
    assert answer.gap > 1e-12
    assert answer.guarantee.kind == "error-bound"


def test_evar_at_extreme_levels_and_tolerances():
    mdp = coin(1.0, 0.0, 3)
    assert optimize_evar(mdp, 5e-324).value == 0.0
    answer = optimize_evar(mdp, 0.3, 1e-300)
    assert answer.lower <= answer.upper < answer.lower + 1e-6


@pytest.mark.parametrize("method", ["exact", "gpi"])
def test_real_rewards_are_refused_by_exact_methods_in_a_sentence(method):
    with pytest.raises(ValueError, match="no common step"):
        optimize_cvar(coin(math.pi, math.e, 3), 0.1, method)


@pytest.mark.parametrize("step", [1e-300, math.nan, -1.0, "1"])
def test_bad_steps_of_a_bracket_are_refused(step):
    with pytest.raises(ValueError, match="step"):
        optimize_cvar(coin(1.0, 0.5, 3), 0.1, "bracket", step=step)


def test_a_policy_of_another_model_is_not_played():
    policy = optimize_cvar(coin(1.0, 0.0, 2), 0.5, "exact").policy
    with pytest.raises(ValueError, match="made for 2 decisions"):
        simulate(coin(1.0, 0.0, 3), policy, 10, 0)


def test_the_tail_of_an_endless_episode_is_stated():
    sample = simulate(model([[[(1, 0, 1.0)]]], discount=0.9), [0], 10, 0)
    assert 0 < 10 - sample.returns[0] <= sample.tail * (1 + 1e-6)
    assert "cut off" in sample.guarantee.statement


def test_brackets_against_every_policy():
    """Every Markov policy of small models: none is above the upper end, the one returned is not below the lower one."""
    rng = np.random.default_rng(5)
    for _ in range(12):
        mdp = TabularMDP.from_arrays(
            rng.dirichlet(np.ones(2), (2, 2)), rng.normal(size=(2, 2, 2)), horizon=2, initial=rng.dirichlet(np.ones(2))
        )
        alpha = float(rng.uniform(0.05, 1))
        answers = {n: f(mdp, alpha, "bracket", step=0.05) for n, f in (("cvar", optimize_cvar), ("var", optimize_var))}
        for actions in itertools.product((0, 1), repeat=4):
            law = evaluate(mdp, np.array(actions).reshape(2, 2))
            for name, answer in answers.items():
                assert law.functional(name, alpha) <= answer.upper + 1e-12


# -- sizes that nobody means ---------------------------------------------------------------------


def test_sizes_beyond_reason_get_a_sentence():
    with pytest.raises(ValueError, match="horizon must be at most"):
        coin(1.0, 0.0, 10**47)
    with pytest.raises(ValueError, match="episodes are played at once"):
        simulate(coin(1.0, 0.0), [0], 10**47)
    with pytest.raises(ValueError, match="larger epsilon"):
        entrm_front(coin(1.0, -2.0, 2), -2e9, 0.5, 0.5)


def test_a_sure_return_has_an_upper_bound():
    for reward, other in itertools.product((1.0, math.pi, 1e-13), (1.0, 1 + 1e-15)):
        answer = optimize_cvar(model([[[(0.5, 0, reward), (0.5, 0, reward * other)]]], horizon=1), 0.3)
        assert answer.lower <= reward * (1 + 1e-12)
        assert answer.upper >= reward * (1 - 1e-12)


def test_the_exact_front_of_small_rewards():
    for scale in (1e-13, 1.0):
        rows = [[[(1, 0, 0.2 * scale)], [(0.5, 0, scale), (0.5, 0, -0.5 * scale)]]]
        front = entrm_front(model(rows, horizon=1), -1 / scale, 1 / scale, 0, tol=1e-3 / scale)
        assert front.breakpoints * scale == pytest.approx([-0.178306721604], rel=1e-6)


def _steps(*rewards, **options):
    """States in a row, each with one reward, and an end."""
    n = len(rewards)
    rows = [[[(1.0, i + 1, float(r))]] for i, r in enumerate(rewards)] + [[[(1.0, n, 0.0)]]]
    return TabularMDP.from_outcomes(rows, terminal=[n], criterion="total", **options)


def test_totals_whose_exponential_overflows_are_never_finite_numbers():
    with pytest.warns(RuntimeWarning, match="given as -inf from 1 states"):
        lost = solve_total(_steps(-400, -400), -1.0)
    assert lost.value.tolist() == [-np.inf, -400, 0]
    assert lost.start_value == -np.inf
    assert lost.guarantee is None
    assert lost.policy.min() >= 0
    with pytest.warns(RuntimeWarning, match="given as inf from 1 states"):
        won = solve_total(_steps(400, 400), -1.0)
    assert won.value.tolist() == [np.inf, 400, 0]
    assert won.start_value == np.inf
    with pytest.warns(RuntimeWarning, match="given as inf"):
        mixed = solve_total(_steps(400, 400, initial=[0.5, 0.5, 0]), -1.0)
    assert mixed.start_value == pytest.approx(400 + np.log(2))
    for reward in (-1e5, 1e5):
        with pytest.raises(ValueError, match="beta nearer to 0"):
            solve_total(_steps(reward), -1.0)
