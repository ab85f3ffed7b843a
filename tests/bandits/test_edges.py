"""Edges of the guarantees: unequal boxes, pending draws, scales of rewards, agents that share a log."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from ailys.bandits import (
    DOO,
    MOSS,
    UCB,
    ABTest,
    Agent,
    DTracking,
    EmpiricalIMED,
    KLUCBpp,
    LevelSet,
    PACOptimizer,
    SpectralEliminator,
    SpectralTS,
    SpectralUCB,
    ThompsonTrial,
    ab_test,
    discover,
    maximize,
    oracle_weights,
    prob_best,
    simulate,
)
from ailys.bandits.state import state_text


def path(n):
    return np.diag(np.ones(n - 1), 1) + np.diag(np.ones(n - 1), -1)


@pytest.mark.parametrize("width", [1.0, 7.3, 100.0, 1e4])
def test_the_certificate_holds_on_boxes_with_unequal_sides(width):
    """A peak that hides between the points evaluated, as high as the Lipschitz constant allows."""
    rng = np.random.default_rng(3)
    for budget in (9, 27, 60):
        search = DOO([(0, 1), (0, width)], lipschitz=1.0)
        for _ in range(budget):
            search.ask()
            search.tell(0.0)
        points = np.array(search.points)
        probes = np.vstack([rng.random((4000, 2)) * (1, width), [(x, y) for x in (0, 1) for y in (0, width)]])
        hidden = np.sqrt(((probes[:, None] - points) ** 2).sum(axis=2)).min(axis=1).max()
        assert hidden <= search.certificate() * (1 + 1e-12)


def test_the_certificate_of_a_far_corner():
    corner, height = [0.5399427700972805, 99.99688002326444], 16.66359456
    result = maximize(
        lambda x: max(0.0, height - math.dist(x, corner)), [(0, 1), (0, 100)], "doo", lipschitz=1.0, budget=27
    )
    assert height - result.value <= result.guarantee.level


def test_the_bound_of_the_regret_covers_draws_that_wait():
    n = 300
    W, mu = path(n), np.linspace(0, 1, n)
    C = 1.01 * math.sqrt(mu @ (np.diag(W.sum(axis=1)) - W + 0.01 * np.eye(n)) @ mu)
    agent = SpectralUCB(W, noise=0.1, C=C, rng=0)
    arms = agent.ask(n)
    agent.tell(arms, [float(mu[a]) for a in arms])
    assert sum(1 - mu[a] for a in arms) <= agent.regret_bound
    assert agent.result().guarantee.level == agent.regret_bound
    eliminator = SpectralEliminator(path(5), C=1.0, rng=0)
    eliminator.ask(8)
    assert eliminator._asked == 8


def test_the_assumption_on_late_outcomes_is_stated():
    for agent in (DTracking(2, rng=0), LevelSet(2, theta=0.5, rng=0)):
        while not agent.should_stop:
            arm = agent.ask()
            agent.tell(arm, arm)
        assert any("order of the draws" in line for line in agent.recommend().guarantee.assumptions)


def told(agent, reward=1.0):
    for _ in range(2):
        agent.tell(agent.ask(), reward)
    return str(agent.result().guarantee)


def test_theorems_of_regret_carry_the_scale_of_the_rewards():
    assert "800 sum_a ln T" in told(UCB(2, sigma=10.0))
    assert "R_T <= 8 sum_a" in told(UCB(2, sigma=1.0))
    assert "100000 sqrt(K T)" in told(MOSS(2, "bounded(0,100000)", horizon=100))
    assert "constant times 3 sqrt(K T)" in told(KLUCBpp(2, "gaussian(3)", horizon=100))
    for family in ("poisson", "exponential"):
        text = told(KLUCBpp(2, family, horizon=100))
        assert "ln T" in text
        assert "sqrt" not in text


def test_no_lower_bound_where_rewards_are_not_those_of_the_family():
    class Wheel:
        means, family = np.array([0.5, 0.45]), "bounded(0,1)"

        def __call__(self, action, rng):
            return float(self.means[action] + 0.01 * rng.uniform(-1, 1))

    result = simulate({"e": EmpiricalIMED}, Wheel(), 300, 2, rng=0)
    assert result.guarantee is None
    assert np.isnan(result.lower_bound).all()
    assert result.facts()["c_of_Lai_and_Robbins"] is None
    binary = simulate({"e": EmpiricalIMED}, [0.5, 0.45], 300, 2, family="bounded(0,1)", rng=0)
    assert "ends of the interval" in str(binary.guarantee.assumptions)
    assert binary.lower_bound[-1] > 0
    assert len(oracle_weights([0.5, 0.4], "bounded(0,1)").guarantee.assumptions) == 2
    from ailys.bandits import IMED

    assert "uniformly good" in told(IMED(2))
    assert "uniformly good" not in told(IMED(2, "bounded(0,1)"))
    assert "uniformly good" not in told(KLUCBpp(2, "bounded(0,1)", horizon=10))


def test_a_refused_value_changes_nothing():
    search = PACOptimizer((0, 1), lipschitz=1.0, epsilon=0.5, noise="bounded")
    x = search.ask()
    for value in (1.5, -0.1):
        with pytest.raises(ValueError, match="must lie in"):
            search.tell(value)
    assert search.ask() == x
    assert (search.t, search.s, search.n, search.points) == (0, [0.0], [0], [])


@pytest.mark.parametrize("constant", [-0.5, 0.0, 1.0])
def test_constants_beside_columns_of_propensities_are_probabilities(constant):
    data = pd.DataFrame({"arm": ["a", "b", "c"], "y": [1, 0, 1], "p": [0.75] * 3, "q": [0.75] * 3})
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        ab_test(data, "arm", "y", propensity={"a": "p", "b": "q", "c": constant})


def test_spectral_agents_go_on_exactly_on_symmetric_graphs(tmp_path):
    ring = path(6)
    ring[0, 5] = ring[5, 0] = 1
    agent = SpectralUCB(ring, noise=0.1, C=1.0, rng=0)
    for step in range(60):
        again = Agent.from_json(agent.to_json())
        arm = agent.ask()
        assert again.ask() == arm, step
        assert again.regret_bound == agent.regret_bound
        agent.tell(arm, 1.0)


def test_two_agents_with_one_log_cannot_spoil_it(tmp_path):
    log, state = tmp_path / "a.csv", tmp_path / "a.json"
    DTracking(2, rng=0, log=log).to_json(state)
    first, second = Agent.from_json(state), Agent.from_json(state)
    first.tell(first.ask(), 1)
    with pytest.raises(ValueError, match="another one has written"):
        second.ask()
    first.to_json(state)
    again = Agent.from_json(state)
    assert again.t == 1
    again.tell(again.ask(), 1)
    assert Agent.from_log(log).t == 2


def test_the_prior_of_an_adaptive_trial_is_stored():
    test = ABTest(["a", "b"], allocator=ThompsonTrial((0.05, 0.95), prior=0.25), rng=0)
    test.record(test.assign(), 1)
    again = Agent.from_json(test.to_json())
    assert again._allocator == test._allocator
    assert again.chances() == pytest.approx(test.chances())


def test_the_probability_of_being_best_is_a_number():
    assert ThompsonTrial(prior=0.5)([10**6, 20], [0, 20]) == pytest.approx([0.1, 0.9])
    for posteriors in ([(0.5, 1e6), (20.5, 0.5)], [(0.5, 0.5), (0.5, 1e6), (2.5, 2.5)], [(0.5, 0.5), (0.5, 0.5)]):
        chances = prob_best(posteriors)
        assert np.isfinite(chances).all()
        assert chances.sum() == pytest.approx(1)
    assert prob_best([(0.5, 1e6), (20.5, 0.5)])[1] == pytest.approx(1)


def test_a_target_reached_with_the_last_request_is_reached():
    reached = []
    for budget in range(1, 3000, 97):
        result = discover([lambda rng: 0], lambda item: True, budget=budget, target_missing_mass=0.5, rng=0)
        reached.append(result.target_met)
        assert result.target_met == bool((result.missing_mass <= 0.5).all())
    assert True in reached
    assert False in reached


def test_labels_are_what_a_state_can_hold():
    agent = DTracking(np.array([10, 20]), rng=0)
    arm = agent.ask()
    agent.tell(np.int64(arm), 1)
    assert Agent.from_json(agent.to_json()).actions == [10, 20]
    for labels in ([(1, 2), (3, 4)], [None, "a"], [1, True], [math.nan, 1.0]):
        with pytest.raises(ValueError, match="label"):
            DTracking(labels)


def test_an_arm_may_be_called_none(tmp_path):
    (tmp_path / "t.csv").write_text("arm,y\nnone,1\ndrug,0\nnone,0\n")
    assert set(ab_test(tmp_path / "t.csv", "arm", "y").counts) == {"none", "drug"}
    for word in ("", "NA", "NaN"):
        (tmp_path / "t.csv").write_text(f"arm,y\n{word},1\ndrug,0\nnone,0\n")
        with pytest.raises(ValueError, match="no arm in line 2"):
            ab_test(tmp_path / "t.csv", "arm", "y")


def test_the_number_of_eigenvectors_has_two_names():
    for kind in (SpectralTS, SpectralUCB):
        agent = kind(path(5), n_components=2, rng=0)
        assert agent.J == 2
        assert json.loads(agent.to_json())["parameters"]["J"] == 2
    with pytest.raises(ValueError, match="not both"):
        SpectralTS(path(5), n_components=2, J=3)


def test_wrong_shapes_are_named():
    agent = UCB(2, rng=0)
    agent.ask(2)
    with pytest.raises(ValueError, match="reward must be a list"):
        agent.tell([0, 1], 1)
    with pytest.raises(ValueError, match="trial must be a list"):
        agent.tell([0, 1], [1, 0], 1)
    for arms in (2.5, None, "ab"):
        with pytest.raises(ValueError, match="arms must be"):
            ABTest(arms)
        with pytest.raises(ValueError, match="n_arms must be"):
            UCB(arms)


def test_a_dropped_trial_no_longer_holds_the_others_back(tmp_path):
    test = ABTest(["a", "b"], rng=0, log=tmp_path / "t.csv")
    arms = test.assign(40)
    for trial, arm in enumerate(arms[1:], 2):
        test.record(arm, int(arm == "b"), trial)
    assert test.e_value == 1
    test.drop(1)
    assert test.e_value > 20
    assert "1 trials dropped" in test.result().summary()
    other = ABTest(["a", "b"], rng=0)
    other._given = {i: [0.5, 0.5] for i in range(1, 40)}
    other.pending = {i: (test._index(arm), 0.5, 0) for i, arm in enumerate(arms[1:], 1)}
    other._next = 40
    for trial, arm in enumerate(arms[1:], 1):
        other.record(arm, int(arm == "b"), trial)
    assert test.e_value == pytest.approx(other.e_value)
    with pytest.raises(ValueError, match="told already"):
        test.drop(1)
    for again in (Agent.from_json(test.to_json()), Agent.from_log(tmp_path / "t.csv")):
        assert again.e_value == test.e_value
        assert not again.pending


def test_too_many_arms_for_the_clip_are_refused_at_once():
    with pytest.raises(ValueError, match="12 arms cannot all have"):
        ABTest(12, allocator=ThompsonTrial())
    assert ABTest(12, allocator=ThompsonTrial((0.02, 0.9))).chances() == pytest.approx(np.full(12, 1 / 12))


def test_a_log_is_found_from_another_folder_and_after_a_move(tmp_path, monkeypatch):
    (tmp_path / "old").mkdir()
    monkeypatch.chdir(tmp_path / "old")
    agent = UCB(2, "bounded(0,10)", rng=0, log="a.csv")
    agent.to_json("a.json")
    agent.tell(agent.ask(), 7.5)
    assert "7.5" in (tmp_path / "old" / "a.csv").read_text().splitlines()[-1]  # the units of the user
    monkeypatch.chdir(tmp_path)
    assert Agent.from_json("old/a.json").means[0] == agent.means[0]
    (tmp_path / "old").rename(tmp_path / "new")
    assert Agent.from_json("new/a.json").t == 1


@pytest.mark.parametrize("change", [{"pending": {"1": [-1, None, 0]}}, {"next_trial": 1}, {"t": 9}])
def test_states_out_of_range_are_refused_with_their_file(tmp_path, change):
    agent = UCB(2, rng=0)
    agent.ask()
    state = json.loads(agent.to_json()) | change
    (tmp_path / "s.json").write_text(state_text(state))
    with pytest.raises(ValueError, match=r"s\.json: the (state has a pending|counts)"):
        Agent.from_json(tmp_path / "s.json")


@pytest.mark.parametrize("family", ["bernoulli", "poisson", "exponential"])
def test_the_regret_of_the_mixture_keeps_its_digits(family):
    from mpmath import log, loggamma, mp, mpf, pi

    from ailys.bandits import mixture_log_regret

    with mp.workdps(60):
        for n in (10**3, 10**6, 2 * 10**6, 10**12, 10**15):
            s, m = mpf(n // 4), mpf(n)
            if family == "bernoulli":
                exact = s * log(s / m) + (m - s) * log((m - s) / m)
                exact -= loggamma(s + 0.5) + loggamma(m - s + 0.5) - loggamma(m + 1) - log(pi)
            elif family == "poisson":
                prior = (log(mpf(0.5)) - log(pi)) / 2
                exact = s * log(s / m) - s - (prior + loggamma(s + 0.5) - (s + 0.5) * log(m + 0.5))
            else:
                exact = m * log(m / s) - m - (loggamma(m + 1) - (m + 1) * log(1 + s))
            assert mixture_log_regret(n // 4, n, family) == pytest.approx(float(exact), rel=1e-7)


def test_times_are_numbers_or_dates(tmp_path):
    def p_value(times):
        lines = [f"{'ab'[i % 2]},{int(i % 4 == 1)},{t}" for i, t in enumerate(times)]
        (tmp_path / "t.csv").write_text("arm,y,t\n" + "\n".join(lines) + "\n")
        return ab_test(tmp_path / "t.csv", "arm", "y", order="t").path

    base = p_value(range(12))
    assert p_value([f"2024-05-{i + 1:02} 09:30" for i in range(12)]) == pytest.approx(base)
    assert p_value([f"2024-05-{12 - i:02}" for i in range(12)]) == pytest.approx(p_value(range(12, 0, -1)))
    with pytest.raises(ValueError, match=r"line 13: .*neither a number"):
        p_value([*[f"2024-05-{i + 1:02}" for i in range(11)], "31/12/2024"])
    with pytest.raises(ValueError, match="time zone"):
        p_value(["2024-05-01T00:00+00:00", *[f"2024-06-{i + 1:02}" for i in range(11)]])
