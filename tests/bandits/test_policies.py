"""Policies: plain definitions of their indices, one definition for live use and simulation, published regrets."""

import math
from functools import partial

import numpy as np
import pytest
import scipy.stats
from scipy.optimize import minimize_scalar

import ailys.bandits as bandits
from ailys.bandits import Arms, kl_divergence, kl_upper, run, simulate
from ailys.bandits._divergence_kernels import BERNOULLI, GAUSSIAN
from ailys.bandits._divergence_kernels import kl_upper as kernel_upper
from ailys.bandits._policy_kernels import _pick_klucb
from ailys.bandits.simulation import play_compiled, replicate_streams

LOW = [0.1] + 3 * [0.05] + 3 * [0.02] + 3 * [0.01]
POLICIES = {
    "UCB": bandits.UCB,
    "MOSS": partial(bandits.MOSS, horizon=400),
    "MOSS anytime": bandits.MOSS,
    "KLUCB": bandits.KLUCB,
    "KLUCB c=3": partial(bandits.KLUCB, c=3.0),
    "KLUCBpp": partial(bandits.KLUCBpp, horizon=400),
    "KLUCBSwitch": bandits.KLUCBSwitch,
    "BayesUCB": bandits.BayesUCB,
    "Thompson": bandits.Thompson,
    "IMED": bandits.IMED,
    "EmpiricalKLUCB": bandits.EmpiricalKLUCB,
    "EmpiricalIMED": bandits.EmpiricalIMED,
}
WORLDS = {
    "bernoulli": [0.5, 0.45, 0.3],
    "bounded(-1,3)": [0.0, 1.0, 2.0],
    "gaussian(0.5)": [0.0, 0.3, 0.1],
    "poisson": [1.0, 2.0, 1.5],
    "exponential": [1.0, 2.0, 1.5],
}


def lnp(x):
    return math.log(x) if x > 1 else 0.0


def plain_indices(name, counts, sums, t):
    """Each index from its formula, written apart from the kernels (Bernoulli rewards)."""
    n, mean, k = counts, sums / counts, len(counts)
    if name == "UCB":
        return mean + np.sqrt(2 * 0.25 * math.log(t) / n)
    if name.startswith("MOSS"):
        horizon = t if "anytime" in name else 400
        return mean + np.sqrt([lnp(horizon / (k * m)) / (2 * m) for m in n])
    if name.startswith("KLUCB") and "pp" not in name and "Switch" not in name:
        c = 3.0 if "c=3" in name else 0.0
        return kl_upper(mean, (math.log(t) + c * math.log(math.log(t))) / n)
    if name == "KLUCBpp":
        g = np.array([lnp(400 / (k * m) * (1 + lnp(400 / (k * m)) ** 2)) for m in n])
        return kl_upper(mean, g / n)
    if name == "KLUCBSwitch":
        g = np.array([lnp(t / (k * m) * (1 + lnp(t / (k * m)) ** 2)) for m in n])
        return np.where(n <= math.floor((t / k) ** 0.2), kl_upper(mean, g / n), mean + np.sqrt(g / (2 * n)))
    if name == "BayesUCB":
        return scipy.stats.beta.isf(1 / t, 1 + sums, 1 + n - sums)
    if name == "EmpiricalKLUCB":  # with zeros and ones, K_inf is the Bernoulli divergence
        return kl_upper(mean, math.log(t) / n)
    return -(n * kl_divergence(mean, mean.max()) + np.log(n))  # IMED, with or without K_inf


@pytest.mark.parametrize("name", [name for name in POLICIES if name != "Thompson"])
def test_the_arm_drawn_has_the_best_index(name):
    agent, world = POLICIES[name](n_arms=4, rng=0), Arms([0.3, 0.5, 0.45, 0.1], rng=1)
    for t in range(400):
        arm = agent.ask()
        if t >= 4:
            index = plain_indices(name, agent.counts, agent.sums, t)
            assert index[arm] >= index.max() - 2e-9 * max(1, abs(index.max())), t
        agent.tell(arm, world(arm))


@pytest.mark.parametrize("c", [0.0, 3.0])
@pytest.mark.parametrize("family", WORLDS)
def test_kl_ucb_draws_the_arms_of_the_plain_rule(family, c):
    """Indices that are passed over or bounded never belong to the arm that all indices together would have chosen."""
    means, n_rounds = (np.array(WORLDS[family] * 3, float) if family != "bernoulli" else np.array(LOW)), 4000
    keys, (generator,) = replicate_streams(np.random.default_rng(8), len(means), 1, True)
    agent = bandits.KLUCB(len(means), family=family, rng=generator, c=c)
    drawn, world = np.empty(n_rounds, np.int64), Arms(means, family, keys=keys[0])
    play_compiled(agent, means, keys[0], n_rounds, np.array([n_rounds]), np.empty(1), drawn)
    counts, sums = np.zeros(len(means)), np.zeros(len(means))
    for t, arm in enumerate(drawn):
        if t >= len(means):
            level = math.log(t) + c * math.log(math.log(t)) * (math.log(t) > 1)
            index = kl_upper(sums / counts, level / counts, family)
            assert index[arm] >= index.max() - 1e-9 * max(1, abs(index.max())), t
        counts[arm] += 1
        sums[arm] += world(arm)


@pytest.mark.parametrize(
    ("family", "sigma", "counts", "sums", "t"),
    [
        (BERNOULLI, 1.0, [1, 1, 1, 1], [1.0, 0.99, 1e-17, 0.99], 5),  # indices that are 1 in double precision
        (GAUSSIAN, 1e-8, [1, 6, 1, 6], [0.0, 2.0, 0.0, 2.0], 15),  # no wider than a thousand roundings
    ],
)
def test_kl_ucb_breaks_ties_of_rounded_indices_as_the_plain_rule_does(family, sigma, counts, sums, t):
    counts, sums = np.array(counts), np.array(sums)
    level = math.log(t) + 3 * math.log(math.log(t))
    index = np.array([kernel_upper(m, level / n, family, sigma) for m, n in zip(sums / counts, counts, strict=True)])
    ties = np.flatnonzero(index == index.max())
    assert len(ties) > 1
    for seed in range(20):
        aux = np.zeros((len(counts), 3))
        aux[:, 0] = np.inf
        for time in (t - 1, t):  # the second time what is kept of the first is used
            chosen = _pick_klucb(family, sigma, 3.0, time, counts, sums, aux, np.random.default_rng(seed))
        assert chosen == ties[int(np.random.default_rng(seed).random() * len(ties))]


@pytest.mark.parametrize("family", WORLDS)
@pytest.mark.parametrize("name", POLICIES)
def test_live_use_and_simulation_take_the_same_decisions(name, family):
    try:
        POLICIES[name](n_arms=3, family=family)
    except ValueError:
        pytest.skip("the policy does not take this family")
    means, drawn = np.array(WORLDS[family], float), np.empty(400, np.int64)
    for arms in (drawn, None):
        keys, (generator,) = replicate_streams(np.random.default_rng(5), 3, 1, True)
        agent = POLICIES[name](n_arms=3, family=family, rng=generator)
        if arms is not None:
            play_compiled(agent, means, keys[0], 400, np.array([400]), np.empty(1), arms)
            compiled = agent
        else:
            live = run(agent, Arms(means, family, keys=keys[0]), 400)
    assert live.actions == drawn.tolist()
    assert np.array_equal(live.agent.counts, compiled.counts)
    assert live.agent.rng.bit_generator.state == compiled.rng.bit_generator.state


def test_ties_are_broken_evenly():
    # 3000 first choices between two equal arms: more than 180 from the middle has probability below 1e-10
    first = [0, 0]
    for seed in range(3000):
        agent = bandits.KLUCB(2, rng=seed)
        agent.tell([agent.ask(), agent.ask()], [1, 1])
        first[agent.ask()] += 1
    assert abs(first[0] - 1500) < 180


def test_the_empirical_k_inf_is_a_maximum():
    from ailys.bandits._policy_kernels import kl_inf

    rng = np.random.default_rng(0)
    for _ in range(30):
        values = np.sort(rng.choice([0.0, 0.1, 0.25, 0.4, 0.9, 1.0], rng.integers(1, 6), replace=False))
        repeats = rng.integers(1, 9, len(values))
        mean = (values * repeats).sum() / repeats.sum()
        mu = mean + (0.999 - mean) * rng.random() * 0.98
        found = minimize_scalar(
            lambda x, v=values, r=repeats, mu=mu: -(r * np.log1p(-x * (v - mu) / (1 - mu))).sum() / r.sum(),
            bounds=(0, 1 - 1e-12), method="bounded", options={"xatol": 1e-12},
        )  # fmt: skip
        ours = kl_inf(values, repeats, len(values), repeats.sum(), mu)[0]
        assert max(-found.fun, 0) - 1e-10 <= ours == pytest.approx(max(-found.fun, 0), abs=1e-6)


def test_the_empirical_policy_learns_faster_when_rewards_vary_little():
    rng = np.random.default_rng(0)

    def world(action, generator):
        return float(rng.choice([0.45, 0.55])) + (0.1 if action else 0.0)

    draws = []
    for kind in (bandits.KLUCB, bandits.EmpiricalKLUCB):
        agent = kind(2, family="bounded", rng=1)
        run(agent, world, 1500)
        draws.append(agent.counts[0])
    assert draws[1] < draws[0] / 2


@pytest.mark.parametrize(
    ("name", "expected", "error"),
    [
        ("KLUCB", 112.4, 1.1),
        ("KLUCB c=3", 176.6, 1.3),
        ("UCB", 296.2, 1.6),
        ("Thompson", 80.0, 1.0),
        ("IMED", 70.6, 1.0),
    ],
)
def test_regrets_of_the_low_reward_scenario(name, expected, error):
    # 200 runs each; both figures have a standard error of about `error`: 5 sqrt(2) of them, false alarm below 1e-6
    result = simulate({name: POLICIES[name]}, LOW, 10_000, 200, rng=1)
    assert result.mean[0, -1] == pytest.approx(expected, abs=5 * math.sqrt(2) * error)


def test_results_do_not_depend_on_workers_or_on_the_company():
    both = {"a": bandits.KLUCB, "b": bandits.Thompson}
    one = simulate(both, LOW, 300, 40, rng=3)
    two = simulate(both, LOW, 300, 40, rng=3, n_jobs=2)
    assert np.array_equal(one.regret, two.regret)
    assert np.array_equal(one.pulls, two.pulls)


def test_the_same_simulation_on_dask_gives_the_same_numbers():
    joblib, distributed = pytest.importorskip("joblib"), pytest.importorskip("distributed")
    one = simulate({"a": bandits.KLUCB}, LOW, 200, 40, rng=3)
    with (
        distributed.Client(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as client,
        joblib.parallel_config("dask", client=client),
    ):
        two = simulate({"a": bandits.KLUCB}, LOW, 200, 40, rng=3, n_jobs=None)
    assert np.array_equal(one.regret, two.regret)


def test_common_random_numbers_give_policies_the_same_rewards():
    twins = {"a": bandits.UCB, "b": bandits.UCB}  # Gaussian rewards: no ties, so nothing but the rewards decides
    together = simulate(twins, [0.2, 0.5], 200, 10, family="gaussian", rng=0)
    assert np.array_equal(together.pulls[0], together.pulls[1])
    apart = simulate(twins, [0.2, 0.5], 200, 10, family="gaussian", rng=0, common_random_numbers=False)
    assert not np.array_equal(apart.pulls[0], apart.pulls[1])


def test_regret_results_hold_what_a_person_looks_at():
    result = simulate({"ucb": bandits.UCB}, [0.2, 0.5], 100, 8, rng=0, checkpoints=[10, 50, 100])
    assert result.regret.shape == (1, 8, 3)
    assert result.pulls.sum() == 800
    assert np.allclose(result.regret[0, :, -1], 0.3 * result.pulls[0, :, 0])
    assert (result.quantile(0.1) <= result.mean + 1e-9).all()
    assert result.lower_bound[-1] == pytest.approx(bandits.lai_robbins([0.2, 0.5]) * math.log(100))
    assert result.guarantee.kind == "regret-bound"
    assert "regret of ucb" in result.summary()


def test_an_environment_of_ones_own_and_a_gymnasium_one():
    class World:
        means, family = np.array([0.1, 0.9]), "bernoulli"

        def __call__(self, action, rng):
            return float(rng.random() < self.means[action])

    assert simulate({"ucb": bandits.UCB}, World(), 100, 3, rng=0).pulls[0, :, 1].min() > 60

    class Gym:  # the contract of gymnasium.Env: reset and step
        def reset(self, seed=None):
            self.rng = np.random.default_rng(seed)
            return 0, {}

        def step(self, action):
            return 0, float(self.rng.random() < (0.1, 0.9)[action]), True, False, {}

    assert run(bandits.UCB(2, rng=0), Gym(), 100, rng=0).agent.recommend().action == 1


def test_rewards_have_the_law_they_should():
    n = 20_000
    for family, law in [
        ("gaussian(2)", scipy.stats.norm(1.5, 2)),
        ("exponential", scipy.stats.expon(scale=1.5)),
    ]:
        world = Arms([1.5, 1.0], family, rng=0)
        assert scipy.stats.kstest([world(0) for _ in range(n)], law.cdf).pvalue > 1e-4
    for mean in (0.7, 900.0):
        world = Arms([mean, 1.0], "poisson", rng=0)
        sample = np.array([world(0) for _ in range(n)])
        assert sample.mean() == pytest.approx(mean, abs=5 * math.sqrt(mean / n))
        assert sample.var() == pytest.approx(mean, rel=0.06)


def test_theorems_are_claimed_only_where_they_are_proved():
    def told(agent):
        for _ in range(2):
            agent.tell(agent.ask(), 1)
        return agent.result().guarantee

    assert told(bandits.KLUCB(2)) is None
    assert told(bandits.KLUCB(2, c=3)).kind == "regret-bound"
    assert told(bandits.Thompson(2, prior=0.5)) is None
    assert told(bandits.Thompson(2)).kind == "regret-bound"
    assert told(bandits.KLUCBpp(2, horizon=10)).kind == "regret-bound"
    assert told(bandits.UCB(2)) is None
    assert told(bandits.IMED(2)).kind == "regret-bound"
    assert told(bandits.IMED(2, family="poisson")) is None
    assert "8 sum" in str(told(bandits.UCB(2, sigma=1)))


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda: bandits.UCB(1), "at least 2"),
        (lambda: bandits.UCB(["a", "a"]), "labels of the arms must differ"),
        (lambda: bandits.UCB(3, family="poisson"), "UCB takes the families"),
        (lambda: bandits.UCB(3, sigma=-1), "sigma must be"),
        (lambda: bandits.KLUCBpp(3, horizon=2), "smaller than the number of arms"),
        (lambda: bandits.Thompson(3, prior=0), "prior must be"),
        (lambda: bandits.UCB(3).ask(0), "size must be"),
        (lambda: bandits.UCB(3, rng=-1), "rng must be"),
        (lambda: bandits.UCB(3).recommend(), "nothing has been observed"),
        (lambda: simulate({}, [0.1, 0.2], 10, 1), "policies is empty"),
        (lambda: simulate({"a": bandits.UCB}, [0.1, 0.2], 1, 1), "horizon must be"),
        (lambda: simulate({"a": bandits.UCB}, [0.1, 0.2], 10, 0), "n_replicates must be"),
        (lambda: simulate({"a": bandits.UCB}, [0.1, 2.0], 10, 1), "must lie in"),
        (lambda: simulate({"a": bandits.UCB}, [0.1, 0.2], 10, 1, checkpoints=[20]), "checkpoints must lie"),
        (lambda: simulate({"a": bandits.UCB}, lambda a, r: 0.0, 10, 1), "attribute 'means'"),
        (lambda: run(bandits.UCB(2), lambda a, r: 0.0, 0), "max_steps must be"),
        (lambda: Arms([0.5]), "at least two arms"),
    ],
)
def test_wrong_arguments_are_named(work, said):
    with pytest.raises(ValueError, match=said):
        work()
