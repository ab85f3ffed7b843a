"""Models: what is read, and what is refused with the first state and action at fault."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import scipy.sparse

from ailys.mdp import TabularMDP, evaluate, solve


@pytest.mark.parametrize(
    ("outcomes", "sentence"),
    [
        ([[[(1, 0, 1)]], [[(0.5, 0, 1), (0.4, 0, 2)]]], "state 1, action 0: the probabilities sum to 0.9"),
        ([[[(1, 0, 1)], [(1, 3, 1)]]], "state 0, action 1: next state 3 is outside 0..0"),
        ([[[(1, -1, 1)]]], "state 0, action 0: next state -1 is outside"),
        ([[[(-1, 0, 1), (2, 0, 1)]]], "state 0, action 0: probability -1.0"),
        ([[[(float("nan"), 0, 1)]]], "state 0, action 0: probability nan"),
        ([[[(1, 0, float("inf"))]]], "state 0, action 0: reward inf"),
        ([[[(1, 0, float("nan"))]]], "state 0, action 0: reward nan"),
        ([[[(1, 0, 1)]], [[]]], "state 1: no action is allowed"),
        ([[[(1, 0)]]], "state 0, action 0: expected outcomes"),
        ([], "at least one state"),
    ],
)
def test_bad_outcomes_are_named(outcomes, sentence):
    with pytest.raises(ValueError) as fault:
        TabularMDP.from_outcomes(outcomes, horizon=1)
    assert sentence in str(fault.value)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "needs a horizon"),
        ({"horizon": 0}, "horizon must be a whole number >= 1"),
        ({"horizon": 1.5}, "horizon must be"),
        ({"discount": 0.0}, "discount must lie in (0, 1]"),
        ({"discount": 1.1}, "discount must lie in (0, 1]"),
        ({"discount": float("nan")}, "discount must lie in (0, 1]"),
        ({"horizon": 2, "criterion": "total"}, "without horizon"),
        ({"horizon": 2, "initial": 3}, "initial names a state outside 0..0; got 3"),
        ({"horizon": 2, "initial": [0.5]}, "initial must be"),
        ({"horizon": 2, "mask": np.zeros((1, 1), bool)}, "state 0: no action"),
    ],
)
def test_bad_options_are_named(options, sentence):
    with pytest.raises(ValueError) as fault:
        TabularMDP.from_outcomes([[[(1, 0, 1)]]], **options)
    assert sentence in str(fault.value)


def test_small_misses_of_the_mass_are_renormalised():
    mdp = TabularMDP.from_outcomes([[[(0.5, 0, 1), (0.5 - 1e-10, 0, 2)]]], horizon=1)
    assert mdp.prob.sum() == pytest.approx(1, abs=1e-15)


def test_random_rewards_keep_their_law():
    mdp = TabularMDP.from_outcomes([[[(0.5, 0, 10), (0.5, 0, -10)]]], horizon=1)
    assert not mdp.certain_rewards
    assert evaluate(mdp, [0]).cvar(0.5) == -10


def test_the_arrays_of_a_model_cannot_be_changed_by_accident():
    mdp = TabularMDP.from_outcomes([[[(1, 0, 1)]]], horizon=1)
    with pytest.raises(ValueError):
        mdp.prob[0] = 2


def test_matrices_by_state_and_by_action_agree():
    rng = np.random.default_rng(0)
    P, R = rng.dirichlet(np.ones(4), (4, 3)), rng.standard_normal((4, 3, 4))
    one = TabularMDP.from_arrays(P, R, horizon=2)
    other = TabularMDP.from_arrays([scipy.sparse.csr_array(P[:, a]) for a in range(3)], R, horizon=2)
    assert all(np.array_equal(getattr(one, x), getattr(other, x)) for x in ("indptr", "next_state", "prob", "reward"))
    assert one.outcomes(2, 1)[3] == (P[2, 1, 3], 3, R[2, 1, 3])


def test_a_terminated_transition_ends_although_the_table_goes_on():
    mdp = TabularMDP.from_gymnasium(gymnasium.make("CliffWalking-v1"), horizon=50)
    assert mdp.n_states == 49
    assert mdp.initial[36] == 1
    assert solve(mdp).start_value == -13  # and not -50: nothing is paid at the goal


def test_frozen_lake_has_its_known_value():
    mdp = TabularMDP.from_gymnasium("FrozenLake-v1")
    assert mdp.horizon == 100
    assert solve(mdp).start_value == pytest.approx(0.7441902878, abs=1e-10)


def test_the_slippery_cliff_of_gymnasium_is_the_one_across_with_restart():
    from ailys.mdp.envs import Cliff

    theirs = TabularMDP.from_gymnasium(gymnasium.make("CliffWalking-v1", is_slippery=True), horizon=60)
    ours = Cliff(slip=2 / 3, mode="perp", fall_mode="restart", horizon=60).to_mdp()
    assert solve(theirs).start_value == pytest.approx(solve(ours).start_value, rel=1e-12)


def test_stages_and_a_stationary_model_agree():
    from ailys.mdp.envs import Cliff

    mdp = Cliff(rows=3, cols=4, horizon=5).to_mdp()
    staged = TabularMDP.from_stages([mdp.replace(horizon=1)] * 5)
    assert staged.n_stages == 5
    assert solve(staged).start_value == solve(mdp).start_value
    policy = solve(mdp).policy
    assert np.allclose(evaluate(staged, policy).weights, evaluate(mdp, policy).weights)


def test_forbidden_actions_are_never_taken():
    mdp = TabularMDP.from_outcomes([[None, [(1, 0, 1)], [(1, 0, 2)]]], horizon=2, mask=np.array([[False, True, False]]))
    assert (solve(mdp).policy == 1).all()
    with pytest.raises(ValueError, match="state 0: the policy takes action 2, which is not allowed"):
        evaluate(mdp, [2])


@pytest.mark.parametrize("policy", [[0, 0], [[0]], np.zeros((3, 1), int), ["a"], [0.3], [5]])
def test_policies_that_do_not_fit_are_refused(policy):
    mdp = TabularMDP.from_outcomes([[[(1, 0, 1)], [(1, 0, 2)]]], horizon=2)
    with pytest.raises(ValueError):
        evaluate(mdp, policy)


def test_terminal_states_pay_nothing():
    mdp = TabularMDP([0, 1, 2], [1, 1], [1, 1], [5.0, 7.0], 2, 1, terminal=[1], horizon=9)
    assert solve(mdp).start_value == 5
