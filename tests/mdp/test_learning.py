"""Learners: balls against convex optimisation and against chance, certificates against exact values, hostile input."""

import math

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gammaln

from ailys.core.claim import clopper_pearson
from ailys.mdp.envs import Cliff, Inventory, Reactor
from ailys.mdp.learning import BPIUCRL, UCBVI, QLearning
from ailys.mdp.learning import _kernels as kernels
from ailys.mdp.model import TabularMDP


def random_mdp(rng, n_states=3, n_actions=2, horizon=3, sparse=False):
    """Random laws; rewards that depend on state, action and next state."""
    P = rng.dirichlet(np.full(n_states, 0.3 if sparse else 1.0), (n_states, n_actions))
    return TabularMDP.from_arrays(P, rng.random((n_states, n_actions, n_states)), horizon=horizon, initial=0)


def value(mdp, policy=None):
    """(S,) value of a policy, or the best one, at the first stage; written out from the definition."""
    ahead = np.zeros(mdp.n_states)
    for h in reversed(range(mdp.horizon)):
        q = np.full((mdp.n_states, mdp.n_actions), -np.inf)
        for s in range(mdp.n_states):
            for a in range(mdp.n_actions):
                outcomes = mdp.outcomes(s, a, h if mdp.n_stages > 1 else 0)
                if outcomes:
                    q[s, a] = sum(p * (r + mdp.discount * ahead[n]) for p, n, r in outcomes)
        ahead = q.max(axis=1) if policy is None else q[np.arange(mdp.n_states), policy[h]]
    return ahead


# -- the balls -----------------------------------------------------------------------------------


def divergence(p, q):
    return float(np.sum(p * np.log(p / q)))


@given(
    seed=st.integers(0, 10**6), k=st.integers(1, 6), kappa=st.floats(1e-6, 20), unseen=st.sampled_from([-math.inf, 0.3, 2.0]),
)  # fmt: skip
def test_the_maximum_over_a_ball_is_that_of_convex_optimisation(seed, k, kappa, unseen):
    rng = np.random.default_rng(seed)
    p, v = rng.dirichlet(np.ones(k)) * 0.999 + 0.001 / k, rng.random(k)
    bound = kernels.ball_maximum(v, p, k, unseen, kappa)
    # the maximiser has q_j proportional to p_j / (nu - v_j): look along nu, and along the mass of what was not seen
    edge = max(v.max(), unseen)
    best = float(p @ v)
    for t in np.geomspace(1e-9, 1e6, 40_000):
        q = p / (edge + t - v)
        q /= q.sum()
        if divergence(p, q) <= kappa:
            best = max(best, float(q @ v))
            break  # the divergence falls in t, and so does q.v
    if unseen > v.max():
        q = p / (edge - v)
        q /= q.sum()
        room = kappa - divergence(p, q)  # scaling q by s adds -ln s
        if room > 0:
            s = math.exp(-room)
            best = max(best, s * float(q @ v) + (1 - s) * unseen)
    assert bound >= best - 1e-9
    assert bound <= best + 2e-3 * (edge - v.min()) + 1e-9


@given(seed=st.integers(0, 10**6), k=st.integers(2, 5), kappa=st.floats(1e-4, 5))
def test_no_law_of_the_ball_exceeds_its_maximum(seed, k, kappa):
    rng = np.random.default_rng(seed)
    p, v = rng.dirichlet(np.ones(k)), 10 * rng.standard_normal(k)
    bound = kernels.ball_maximum(v, p, k, v.max() + 1, kappa)
    for q in rng.dirichlet(np.ones(k + 1), 200):  # the last entry: an outcome that was not seen
        if divergence(p, q[:-1]) <= kappa:
            assert q[:-1] @ v + q[-1] * (v.max() + 1) <= bound + 1e-9


def test_the_radius_is_that_of_a_dirichlet_mixture():
    """ln of the mixture's likelihood, drawn item by item as an urn, minus ln of the best law's likelihood."""
    rng = np.random.default_rng(0)
    for m in (1, 2, 5, 40):
        sample = rng.integers(0, min(m, 4), 60)
        counts, urn = np.zeros(m), 0.0
        for n, item in enumerate(sample):
            urn += math.log((counts[item] + 1 / m) / (n + 1))
            counts[item] += 1
        seen = counts[counts > 0]
        best = float(np.sum(seen * np.log(seen / 60)))
        radius = kernels.ball_radius(seen.astype(np.int64), len(seen), 60, m, math.log(20))
        assert radius == pytest.approx(math.log(20) + best - urn, abs=1e-9)


def test_the_radius_is_below_the_published_one():
    """Jonsson et al. (2020): ln(1/delta) + (m - 1) ln(e (1 + n / (m - 1)))."""
    rng = np.random.default_rng(1)
    for m in (2, 4, 10, 50):
        for n in (10, 100, 10_000):
            counts = rng.multinomial(n, rng.dirichlet(np.full(m, 0.5)))
            seen = counts[counts > 0]
            radius = kernels.ball_radius(seen, len(seen), n, m, math.log(10))
            published = math.log(10) + (m - 1) * math.log(math.e * (1 + n / (m - 1)))
            assert radius < published


@pytest.mark.parametrize("m", [2, 6])
def test_the_true_law_leaves_its_ball_seldom(m):
    """At any of 500 times; the bound of the rate is exceeded by chance with probability 1e-3."""
    rng, delta, outside = np.random.default_rng(m), 0.1, 0
    for _ in range(600):
        p = rng.dirichlet(np.full(m, 0.7))
        steps = np.zeros((500, m))
        steps[np.arange(500), rng.choice(m, 500, p=p)] = 1
        counts, n = steps.cumsum(axis=0), np.arange(1, 501)
        urn = gammaln(counts + 1 / m).sum(axis=1) - m * gammaln(1 / m) - gammaln(n + 1)
        outside += bool((urn - counts @ np.log(np.maximum(p, 1e-300)) > math.log(1 / delta)).any())
    assert clopper_pearson(outside, 600, 0.999)[0] <= delta


# -- certificates --------------------------------------------------------------------------------


@pytest.mark.parametrize("stationary", [True, False])
def test_bpi_keeps_its_promise(stationary):
    """40 random problems: bounds enclose the exact values; failures at the promised rate (by chance: 1e-3)."""
    wrong, runs = 0, 40
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        mdp = random_mdp(rng, sparse=bool(seed % 2))
        learner = BPIUCRL(0.4, 0.1, stationary=stationary, rng=rng).fit(mdp, 200_000)
        assert learner.converged_
        best, mine = value(mdp), value(mdp, learner.policy_)
        wrong += not (
            learner.lower_[0] <= mine[0] + 1e-9 and best[0] <= learner.upper_[0] + 1e-9 and best[0] - mine[0] <= 0.4
        )
        assert learner.gap_ == pytest.approx(learner.upper_[0] - learner.lower_[0])
    assert clopper_pearson(wrong, runs, 0.999)[0] <= 0.1


def test_bpi_stops_and_says_what_it_knows_before():
    mdp = random_mdp(np.random.default_rng(1))
    early = BPIUCRL(0.1, 0.1, stationary=True, rng=0).fit(mdp, 30)
    answer = early.recommend()
    assert not answer.reached
    assert answer.guarantee.values["epsilon"] == pytest.approx(early.gap_)
    assert float(answer.guarantee) == 0.9
    assert early.n_episodes_ == 30
    late = early.partial_fit(mdp, 10**6).recommend()
    assert late.reached
    assert late.guarantee.values["epsilon"] == 0.1
    assert 30 < late.episodes < 10**6
    assert (np.diff(late.history[:, 0]) >= 0).all()
    assert late.to_dict()["guarantee"]["values"]["delta"] == 0.1


def test_an_unknown_first_state_is_learned_too():
    env = gymnasium.make("ailys/Cliff-v0", rows=2, cols=3, horizon=4, fall=-5.0)
    known = BPIUCRL(2.0, 0.1, stationary=True, rng=0).fit(env, 300)
    assert known._law is not None

    class Hidden(gymnasium.Wrapper):
        @property
        def unwrapped(self):
            return self

    hidden = BPIUCRL(2.0, 0.1, stationary=True, reward_range=(-5, -1), horizon=4, rng=0).fit(Hidden(env), 300)
    assert hidden._law is None
    low, high = hidden._bounds()
    best = value(env.unwrapped.to_mdp())[3]
    assert low <= best <= high
    assert high - low > 0
    told = BPIUCRL(2.0, 0.1, stationary=True, reward_range=(-5, -1), horizon=4, initial=3, rng=0).fit(Hidden(env), 300)
    assert told.gap_ < hidden.gap_
    with pytest.raises(ValueError, match="pass mdp="):
        hidden.regret_
    judged = QLearning(horizon=4, rng=0).fit(Hidden(env), 50, mdp=env.unwrapped.to_mdp())
    assert len(judged.regret_) == 50


@pytest.mark.parametrize("stationary", [True, False])
def test_ucbvi_is_optimistic_at_all_times(stationary):
    wrong = 0
    for seed in range(25):
        rng = np.random.default_rng(seed)
        mdp = random_mdp(rng)
        best, learner = value(mdp), UCBVI(delta=0.1, stationary=stationary, replan=0, rng=rng)
        for _ in range(20):
            learner.partial_fit(mdp, 20)
            wrong += bool((learner.value_ < best - 1e-9).any())
            if wrong:
                break
    assert clopper_pearson(wrong, 25, 0.999)[0] <= 0.1


def test_learners_find_good_policies_and_their_regret_flattens():
    mdp = random_mdp(np.random.default_rng(5), n_states=4, horizon=4)
    best = value(mdp)[0]
    for learner in (UCBVI(0.3, stationary=True, rng=0), QLearning(0.05, rng=0), BPIUCRL(0.05, stationary=True, rng=0)):
        learner.fit(mdp, 20_000)
        assert value(mdp, learner.policy_)[0] >= best - 0.05
        regret = learner.regret_
        assert len(regret) == learner.n_episodes_
        assert (np.diff(regret) >= 0).all()
        assert regret[-1] - regret[len(regret) // 2] <= 0.6 * regret[-1]


def test_regret_is_the_sum_of_the_gaps():
    mdp = random_mdp(np.random.default_rng(2))
    learner, total = UCBVI(stationary=True, replan=0, rng=3), 0.0
    learner.fit(mdp, 1)
    for _ in range(30):
        total += value(mdp)[0] - value(mdp, learner.policy_)[0]
        learner.partial_fit(mdp, 1)
    first = learner.regret_[0]
    assert learner.regret_[-1] - first == pytest.approx(total, abs=1e-9)


def test_the_same_seed_gives_the_same_run():
    mdp = random_mdp(np.random.default_rng(0))
    for kind in (UCBVI, BPIUCRL, QLearning):
        options = {} if kind is QLearning else {"replan": 0}
        one = kind(rng=5, **options).fit(mdp, 60)
        two = kind(rng=5, **options).fit(mdp, 25).partial_fit(mdp, 35)
        assert np.array_equal(one.value_, two.value_)
        assert np.array_equal(one.policy_, two.policy_)
        assert np.allclose(one.regret_, two.regret_)


def test_environments_and_tables_teach_the_same():
    env = gymnasium.make("FrozenLake-v1", map_name="4x4", is_slippery=False)
    learner = BPIUCRL(0.2, 0.1, stationary=True, horizon=8, return_range=(0, 1), rng=0).fit(env, 2500)
    assert learner.policy_.shape == (8, 17)
    assert learner.converged_
    assert learner.upper_[0] == pytest.approx(1)
    inventory = gymnasium.make("ailys/Inventory-v0", capacity=2, demand=1.0, horizon=3)
    table = inventory.unwrapped.to_mdp()
    for source in (inventory, table):
        learner = QLearning(rng=1).fit(source, 4000)
        assert value(table, learner.policy_)[0] >= value(table)[0] - 0.1
        assert table.mask[np.arange(3), learner.policy_].all()


def test_a_law_that_changes_with_the_stage_is_learned_stage_by_stage():
    mdp = Reactor(2, 2).to_mdp()
    with pytest.raises(ValueError, match="false promise"):
        BPIUCRL(stationary=True).fit(mdp, 10)
    learner = BPIUCRL(1.0, 0.1, rng=0).fit(mdp, 30_000)
    start = int(mdp.initial.argmax())
    assert learner.lower_[start] <= value(mdp)[start] <= learner.upper_[start]
    env = Reactor(2, 2)
    assert QLearning(rng=0).fit(env, 100).policy_.shape == (3, mdp.n_states)


@pytest.mark.parametrize("kind", [UCBVI, BPIUCRL, QLearning])
def test_answers_can_be_read_and_drawn(kind):
    mdp = random_mdp(np.random.default_rng(0))
    answer = kind(rng=0).fit(mdp, 200).recommend()
    assert (answer.guarantee is None) == (kind is QLearning)
    assert "guarantee" in answer.summary()
    assert answer.to_dict()["regret"] == pytest.approx(answer.regret[-1])
    ax = answer.plot()
    assert ax.get_xlabel() == "episodes"
    assert ax.has_data()


def test_a_bonus_below_the_proof_promises_nothing():
    assert UCBVI(0.5, rng=0).fit(random_mdp(np.random.default_rng(0)), 10).guarantee is None


class Moody(gymnasium.Env):
    """One state, one action; the rewards are given."""

    observation_space = gymnasium.spaces.Discrete(1)
    action_space = gymnasium.spaces.Discrete(1)

    def __init__(self, rewards):
        self.rewards = iter(rewards)

    def reset(self, *, seed=None, options=None):
        return 0, {}

    def step(self, action):
        return 0, next(self.rewards), False, False, {}


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        (lambda: BPIUCRL(epsilon=0), "epsilon"), (lambda: BPIUCRL(delta=1), "delta"), (lambda: BPIUCRL(n_outcomes=0), "n_outcomes"),
        (lambda: UCBVI(c=-1), "c must"), (lambda: UCBVI(reward_range=(1, 0)), "smaller one first"),
        (lambda: UCBVI(horizon=0), "horizon"), (lambda: QLearning(exploration=2), "exploration"),
        (lambda: QLearning(discount=0), "discount"), (lambda: UCBVI(replan=-1), "replan"),
        (lambda: QLearning().policy_, "not been fitted"), (lambda: BPIUCRL().converged_, "not been fitted"),
        (lambda: QLearning().fit(Cliff(), 0), "n_episodes"),
        (lambda: QLearning().fit(TabularMDP.from_outcomes([[[(1, 0, 0)]]], discount=0.9), 5), "horizon"),
        (lambda: UCBVI(horizon=2).fit(Moody([]), 5), "reward_range"),
        (lambda: UCBVI(horizon=2, reward_range=(0, 1)).fit(Moody([0, 7]), 5), "state 0, action 0 gave the reward 7"),
        (lambda: BPIUCRL(horizon=4, reward_range=(0, 1), n_outcomes=2, stationary=True).fit(Moody([0, 1, 0.5, 0]), 5), "3 different outcomes"),
        (lambda: UCBVI(horizon=9, reward_range=(0, 1), stationary=True).fit(Moody(np.linspace(0, 1, 9999)), 999), "rounded"),
        (lambda: BPIUCRL(initial=9).fit(Inventory(capacity=2), 5), "outside 0..2"),
        (lambda: UCBVI(horizon=60).fit(gymnasium.make("ailys/Cliff-v0"), 500), "give horizon=50"),
        (lambda: QLearning().fit(Cliff(), 5, mdp=Inventory().to_mdp()), "mdp has 11 states"),
    ],
)  # fmt: skip
def test_bad_input_gets_a_sentence(fit, message):
    with pytest.raises(ValueError, match=message):
        fit()


@pytest.mark.parametrize("env", [gymnasium.make("CartPole-v1"), 3, None])
def test_continuous_environments_are_refused(env):
    with pytest.raises(TypeError, match="Discrete"):
        QLearning().fit(env, 5)


def test_another_problem_needs_another_fit():
    learner = QLearning(rng=0).fit(random_mdp(np.random.default_rng(0)), 5)
    with pytest.raises(ValueError, match="shape"):
        learner.partial_fit(random_mdp(np.random.default_rng(0), n_states=4), 5)


@pytest.mark.parametrize("kind", [BPIUCRL, UCBVI])
def test_a_range_that_the_table_contradicts_is_refused(kind):
    coin = TabularMDP.from_outcomes([[[(0.5, 0, 1), (0.5, 0, 0)]]], horizon=2)
    with pytest.raises(ValueError, match="outside reward_range"):
        kind(reward_range=(0, 0.5)).fit(coin, 5)
    assert kind(reward_range=(-1, 2), rng=0).fit(coin, 5).n_episodes_ == 5
