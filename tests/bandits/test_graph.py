"""Graph bandits: dimensions, best responses and times against general solvers; regret; delta-correctness."""

import json
import warnings
from functools import partial

import networkx as nx
import numpy as np
import pytest
from scipy.optimize import minimize

from ailys.bandits import (
    UCB,
    Agent,
    SpectralEliminator,
    SpectralTaS,
    SpectralTS,
    SpectralUCB,
    best_responses,
    effective_dimension,
    laplacian,
    simulate,
    smoothness,
    spectral_characteristic_time,
)
from ailys.bandits.graph import largest_log_determinant
from ailys.bandits.graph_identification import _Geometry
from ailys.core.claim import clopper_pearson

PATH = np.diag(np.ones(4), 1) + np.diag(np.ones(4), -1)
MU = np.array([0.9, 0.8, 0.6, 0.5, 0.4])


@pytest.mark.parametrize(
    ("graph", "T", "expected", "log_det"),
    [
        (nx.karate_club_graph(), 100, (7, 6), 31.833332),
        (nx.karate_club_graph(), 1000, (21, 11), 84.681037),
        (nx.les_miserables_graph(), 1000, (32, 19), 131.265597),
    ],
)
def test_effective_dimensions_of_the_specification(graph, T, expected, log_det):
    W = nx.to_numpy_array(graph, weight=None)
    assert (effective_dimension(W, T, version=2014), effective_dimension(W, T)) == expected
    values = np.linalg.eigvalsh(laplacian(W)) + 0.01
    assert largest_log_determinant(values, T) == pytest.approx(log_det, abs=1e-6)
    rng = np.random.default_rng(0)
    for _ in range(50):  # no other way to spend T does better
        assert np.log1p(T * rng.dirichlet(np.full(len(values), 0.2)) / values).sum() <= log_det + 1e-6


def test_smoothness_is_its_definition():
    rng = np.random.default_rng(0)
    W = np.triu(rng.random((6, 6)), 1)
    W += W.T
    mu = rng.random(6)
    assert smoothness(mu, W) == pytest.approx(
        0.5 * sum(W[a, b] * (mu[a] - mu[b]) ** 2 for a in range(6) for b in range(6))
    )


def test_best_responses_of_the_specification_and_of_a_general_solver():
    w = np.array([0.3, 0.3, 0.2, 0.1, 0.1])
    costs = best_responses(MU, PATH, 0.07, w)
    assert costs[1:] == pytest.approx([8.228591e-4, 5.502950e-3, 7.800574e-3, 9.685154e-3], rel=1e-6)
    L, rng = laplacian(PATH), np.random.default_rng(0)
    for _ in range(10):
        w, mu = rng.dirichlet(np.ones(5)) * 0.9 + 0.02, rng.random(5)
        R = smoothness(mu, PATH) * rng.uniform(1, 2)
        best = int(np.argmax(mu))
        ours = best_responses(mu, PATH, R, w / w.sum(), sigma=2.0)
        for a in set(range(5)) - {best}:
            found = minimize(
                lambda x, w=w, mu=mu: 0.5 * np.sum(w / w.sum() * (mu - x) ** 2) / 4, np.full(5, mu.mean()), method="SLSQP",
                constraints=[{"type": "eq", "fun": lambda x, a=a, b=best: x[a] - x[b]},
                             {"type": "ineq", "fun": lambda x, R=R: R - x @ L @ x}],
                options={"ftol": 1e-15, "maxiter": 1000},
            )  # fmt: skip
            assert ours[a] == pytest.approx(found.fun, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize(
    ("factor", "low", "high"),
    [(1, 824.900, 824.925), (2, 840.652, 840.671), (5, 844.569, 844.605), (1e6, 844.594694, 844.594694)],
)
def test_characteristic_times_of_the_specification(factor, low, high):
    lower, upper, weights = spectral_characteristic_time(MU, PATH, 0.07 * factor)
    assert lower <= high + 1e-6
    assert upper >= low - 1e-6
    assert upper / lower < 1 + 3e-5
    assert 1 / best_responses(MU, PATH, 0.07 * factor, weights).min() == pytest.approx(upper)
    if factor == 1:
        assert weights == pytest.approx([0.4885, 0.4716, 0.0229, 0.0069, 0.0101], abs=4e-3)


def test_without_smoothness_the_time_is_that_of_independent_arms():
    from ailys.bandits import characteristic_time

    rng = np.random.default_rng(1)
    for _ in range(3):
        mu = rng.random(6)
        W = nx.to_numpy_array(nx.cycle_graph(6))
        lower, upper, _ = spectral_characteristic_time(mu, W, 1e9, sigma=0.5)
        time = characteristic_time(mu, "gaussian(0.5)")
        assert lower * (1 - 1e-9) <= time <= upper * (1 + 1e-9)


def test_smoothness_saves_draws_and_nodes_may_be_renamed():
    rng = np.random.default_rng(0)
    order = rng.permutation(5)
    one = spectral_characteristic_time(MU, PATH, 0.07)
    two = spectral_characteristic_time(MU[order], PATH[np.ix_(order, order)], 0.07)
    assert two[1] == pytest.approx(one[1], rel=1e-4)
    assert one[1] < spectral_characteristic_time(MU, PATH, 0.7)[0]


def test_the_projection_is_on_the_model():
    w, mu = np.array([0.3, 0.3, 0.2, 0.1, 0.1]), np.array([1.0, 0.0, 1.0, 0.0, 1.0])
    cost, inside = _Geometry(laplacian(PATH), w, mu).project(0.5)
    assert smoothness(inside, PATH) == pytest.approx(0.5)
    rng = np.random.default_rng(0)
    for _ in range(300):
        rival = inside + 0.05 * rng.standard_normal(5)
        if smoothness(rival, PATH) <= 0.5:
            assert 0.5 * np.sum(w * (mu - rival) ** 2) >= cost - 1e-12


def smooth_problem(seed, side=8):
    W = nx.to_numpy_array(nx.grid_2d_graph(side, side))
    L = laplacian(W)
    _, vectors = np.linalg.eigh(L)
    mu = vectors[:, :5] @ np.random.default_rng(seed).standard_normal(5)
    mu = (mu - mu.min()) / np.ptp(mu)
    return W, mu, float(np.sqrt(mu @ (L + 0.01 * np.eye(len(mu))) @ mu))


def test_updates_of_rank_one_agree_with_a_new_solution():
    W, mu, C = smooth_problem(0)
    agent, rng = SpectralUCB(W, noise=0.1, C=C, rng=0), np.random.default_rng(0)
    for _ in range(300):
        arm = agent.ask()
        agent.tell(arm, mu[arm] + 0.1 * rng.standard_normal())
    estimate, widths, log_det = agent._estimate.copy(), agent._widths.copy(), agent._log_det
    agent._refresh()
    assert estimate == pytest.approx(agent._estimate, abs=1e-8)
    assert widths == pytest.approx(agent._widths, abs=1e-9)
    assert log_det == pytest.approx(agent._log_det)


def test_the_bound_of_the_regret_holds():
    for seed in range(8):
        W, mu, C = smooth_problem(seed)
        agent, rng, lost = SpectralUCB(W, noise=0.1, C=C, rng=seed), np.random.default_rng(seed), 0.0
        for _ in range(200):
            arm = agent.ask()
            lost += mu.max() - mu[arm]
            agent.tell(arm, mu[arm] + 0.1 * rng.standard_normal())
            assert lost <= agent.result().guarantee.level


def test_the_graph_helps_when_there_are_more_nodes_than_draws():
    """256 nodes, 256 draws: plain UCB is still trying each node once."""
    total = {"graph": 0.0, "plain": 0.0}
    for seed in range(3):
        W, mu, C = smooth_problem(seed, side=16)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            agents = {
                "graph": SpectralUCB(W, noise=0.1, C=C, m=0.3, rng=seed),
                "plain": UCB(256, family="gaussian(0.1)", rng=seed),
            }
        for name, agent in agents.items():
            rng = np.random.default_rng(seed)
            for _ in range(256):
                arm = agent.ask()
                total[name] += mu.max() - mu[arm]
                agent.tell(arm, mu[arm] + 0.1 * rng.standard_normal())
    assert total["graph"] < total["plain"] / 2


def test_thompson_on_the_graph_finds_good_nodes():
    W, mu, _ = smooth_problem(3)
    agent, rng, lost = SpectralTS(W, noise=0.1, rng=0), np.random.default_rng(0), 0.0
    for _ in range(600):
        arm = agent.ask()
        lost += mu.max() - mu[arm]
        agent.tell(arm, mu[arm] + 0.1 * rng.standard_normal())
    assert mu[agent.recommend().action] > 0.9
    assert lost < 100


def test_elimination_keeps_the_best_node_and_drops_others():
    left = []
    for seed in range(5):
        W, mu, C = smooth_problem(seed, side=4)
        agent, rng = SpectralEliminator(W, noise=0.1, C=C, rng=0), np.random.default_rng(seed)
        for _ in range(3000):
            arm = agent.ask()
            agent.tell(arm, mu[arm] + 0.1 * rng.standard_normal())
        assert agent.active[np.argmax(mu)]
        assert agent.recommend().guarantee.kind == "delta-correct"
        left.append(agent.active.sum())
    assert np.mean(left) < 13


def test_the_graph_agents_are_factories_of_simulations():
    W, mu, C = smooth_problem(0, side=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = simulate(
            {"graph": partial(SpectralUCB, W, noise=0.1, C=C, m=0.3), "ucb": UCB},
            mu,
            100,
            5,
            family="gaussian(0.1)",
            rng=0,
        )
    assert result.regret.shape[:2] == (2, 5)


def test_guarantees_are_claimed_only_where_they_hold():
    with pytest.warns(UserWarning, match="below 1"):
        agent = SpectralUCB(PATH, m=0.3, C=1.0, rng=0)
    for candidate in (agent, SpectralUCB(PATH, rng=0), SpectralUCB(PATH, C=1.0, J=2, rng=0), SpectralTS(PATH, rng=0)):
        candidate.tell(candidate.ask(), 0.1)
        assert candidate.result().guarantee is None
    agent = SpectralUCB(PATH, C=1.0, rng=0)
    agent.tell(agent.ask(), 0.1)
    assert agent.result().guarantee.kind == "regret-bound"


@pytest.mark.slow
def test_the_best_node_is_named_with_few_errors():
    """Means at the edge of the model, delta = 0.3: false alarm 1e-6."""
    mu, wrong, draws = np.array([0.9, 0.75, 0.6, 0.5, 0.4]), 0, []
    R = smoothness(mu, PATH)
    for seed in range(50):
        rng = np.random.default_rng(seed)
        agent = SpectralTaS(PATH, R=R, family="gaussian(0.3)", delta=0.3, rng=seed, update_every=25)
        while not agent.should_stop:
            arm = agent.ask()
            agent.tell(arm, mu[arm] + 0.3 * rng.standard_normal())
        wrong += agent.recommend().action != 0
        draws.append(agent.t)
    assert clopper_pearson(wrong, 50, 1 - 1e-6)[0] <= 0.3
    assert agent.recommend().guarantee.kind == "delta-correct"
    assert np.mean(draws) < 2000


def test_graph_agents_survive_in_their_states():
    for agent in (
        SpectralUCB(PATH, C=1.0, rng=0, actions=list("abcde")),
        SpectralTS(PATH, rng=0),
        SpectralEliminator(PATH, C=1.0, rng=0),
        SpectralTaS(PATH, R=0.2, rng=0),
    ):
        rng = np.random.default_rng(0)
        for _ in range(30):
            agent.tell(agent.ask(), float(rng.standard_normal()))
        again = Agent.from_json(agent.to_json())
        one, two = (json.loads(a.to_json()) | {"revision": 0, "checksum": ""} for a in (agent, again))
        assert one == two
        assert again.ask() == agent.ask()


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda: laplacian([[0, 1], [2, 0]]), r"symmetric; W\[0, 1\] = 1 but"),
        (lambda: laplacian([[0, -1], [-1, 0]]), r"weights >= 0; W\[0, 1\] = -1"),
        (lambda: laplacian([[0, np.nan], [1, 0]]), "NaN"),
        (lambda: laplacian([1, 2]), "square matrix"),
        (lambda: effective_dimension(PATH, 0), "T must be"),
        (lambda: effective_dimension(PATH, 10, version=1999), "version must be"),
        (lambda: SpectralUCB(PATH, 4), "has 5 nodes, n_arms says 4"),
        (lambda: SpectralUCB(PATH, J=9), "J must lie"),
        (lambda: SpectralUCB(PATH, actions=["a"]), "1 labels"),
        (lambda: spectral_characteristic_time(MU, PATH, 0.01), "not in the model"),
        (lambda: spectral_characteristic_time(MU[:3], PATH, 1), "each of the 5 nodes"),
        (lambda: best_responses(MU, PATH, 1, [1, 2]), "one for each node"),
        (lambda: SpectralTaS(PATH, R=1, family="bernoulli"), "takes the family"),
        (lambda: SpectralTaS(PATH, R=0), "R must be"),
    ],
)
def test_wrong_arguments_are_named(work, said):
    with pytest.raises(ValueError, match=said):
        work()


def test_a_graph_in_pieces_is_taken_and_counted():
    W = np.zeros((4, 4))
    W[0, 1] = W[1, 0] = W[2, 3] = W[3, 2] = 1
    agent = SpectralUCB(W, C=1.0, rng=0)
    assert agent.n_components == 2
    agent.tell(agent.ask(), 0.5)
    lower, upper, _ = spectral_characteristic_time([0.9, 0.8, 0.3, 0.3], W, 1.0)
    assert 0 < lower <= upper < np.inf
