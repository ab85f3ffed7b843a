"""The environments: published and measured optimal values, Gymnasium's checker, tables against simulation."""

import math
from functools import cache

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from scipy.stats import chisquare, poisson

from ailys.mdp.envs import Cliff, Inventory, Qubit, Reactor

KINDS = (Cliff, Inventory, Qubit, Reactor)


def optimal(mdp, beta, keep=False):
    """max over policies of (1/beta) log E exp(beta G) by log-sum-exp, outcome by outcome."""
    value = np.zeros(mdp.n_states)
    policy = np.zeros((mdp.horizon, mdp.n_states), int)
    for h in reversed(range(mdp.horizon)):
        q = np.full((mdp.n_states, mdp.n_actions), -np.inf)
        for row in range(q.size):
            outcomes = mdp.outcomes(*divmod(row, mdp.n_actions), h if mdp.n_stages > 1 else 0)
            if outcomes:
                p, n, r = (np.array(column) for column in zip(*outcomes, strict=True))
                x = r + value[n]
                top = np.max(beta * x)
                q.flat[row] = (top + math.log(p @ np.exp(beta * x - top))) / beta if beta else p @ x
        policy[h], value = q.argmax(axis=1), q.max(axis=1)
    return (value, policy) if keep else float(mdp.initial @ value)


@pytest.mark.parametrize(
    ("beta", "expected"),
    [
        (-5, -134.8185672330503), (-0.3, -96.12354386228597), (-0.1, -66.16721411026329), (-0.03, -27.86566075276383),
        (0, -19.99582843947308), (0.1, -16.95084988923567), (1, -13.89444294466597),
    ],
)  # fmt: skip
def test_optimal_values_of_the_cliff(beta, expected):
    assert optimal(Cliff().to_mdp(), beta) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("beta", "expected"),
    [(-0.06, -43.88024918029224), (-0.01, -21.76382338793328), (0, -20.93143961768298), (0.1, -18.08608786816062)],
)
def test_optimal_values_on_the_slope(beta, expected):
    assert optimal(Cliff(mode="down").to_mdp(), beta) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("beta", "expected"),
    [(-1, 1.0658808005), (-0.2, 18.9395688449), (-0.05, 25.4160941148), (0, 28.3241791143), (0.05, 31.4027417736)],
)
def test_optimal_values_of_the_inventory(beta, expected):
    assert optimal(Inventory().to_mdp(), beta) == pytest.approx(expected, abs=6e-11)


@pytest.mark.parametrize(
    ("beta", "expected"), [(-2, 4.3433299795), (-0.5, 5.6706756870), (0, 6.2677045666), (0.5, 6.9131408045)]
)
def test_optimal_values_of_the_reactor(beta, expected):
    assert optimal(Reactor().to_mdp(), beta) == pytest.approx(expected, abs=6e-11)


@pytest.mark.parametrize(
    ("n_pulses", "total_time", "expected"),
    [
        (8, 0.5, 0.3312995461), (8, 1, 0.5750367934), (8, 1.5, 0.7952530686), (8, 2, 0.9381902650), (8, 2.4, 0.9821314149),
        (8, 3, 0.9953592124), (12, 1, 0.5758779296), (12, 2, 0.9472315942), (12, 2.4, 0.9989830280), (12, 3, 0.9999873998),
    ],
)  # fmt: skip
def test_best_fidelities_of_the_qubit(n_pulses, total_time, expected):
    env = Qubit(n_pulses, total_time)
    value, pulses = env.best_fidelity()
    assert value == pytest.approx(expected, abs=6e-11)
    assert len(pulses) == n_pulses
    env.reset()
    reward = [env.step(action)[1] for action in pulses][-1]
    assert reward == pytest.approx(value, abs=1e-12)
    if n_pulses == 8:
        assert optimal(env.to_mdp(), 0) == pytest.approx(value, abs=1e-12)


def test_pulses_are_the_unitaries_of_the_hamiltonian():
    from scipy.linalg import expm

    x, y, z = (np.array(m) for m in ([[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]))
    psi = np.linalg.eigh(-(z - 2 * x) / 2)[1][:, 0]
    target = np.linalg.eigh(-(z + 2 * x) / 2)[1][:, 0]
    env = Qubit(5, 1.7, noise=0.2)
    env.reset(seed=3)
    assert env.fidelity(env.initial_bloch) == pytest.approx(0.2)
    for action, sign in ((1, 0), (0, 1), (0, 0), (1, 1), (0, 1)):
        field = (-4, 4)[action] * (1.2, 0.8)[sign]
        psi = expm(0.5j * (z + field * x) * 1.7 / 5) @ psi
        env._bloch = env._rotations[action, sign] @ env._bloch
        assert env._bloch == pytest.approx([np.real(psi.conj() @ m @ psi) for m in (x, y, z)], abs=1e-12)
    assert env.fidelity(env._bloch) == pytest.approx(abs(target.conj() @ psi) ** 2, abs=1e-12)


def test_a_noisy_qubit_is_a_tree_with_chances():
    env = Qubit(4, 2.0, noise=0.1)
    mdp = env.to_mdp()
    assert mdp.n_states == 1 + 4 + 16 + 64 + 1
    assert env.state_observations().shape == (mdp.n_states, 4)
    finals = env.fidelity(env.tree()[-1]).reshape(2, 2, 2, 2, 2, 2, 2, 2)  # action and sign of each pulse, in turn
    best = finals
    for _ in range(4):
        best = best.mean(axis=-1).max(axis=-1)
    assert optimal(mdp, 0) == pytest.approx(float(best), abs=1e-12)


def test_rates_and_continuous_optimum_of_the_reactor():
    env = Reactor()
    assert env.rates(320.0) == pytest.approx((0.387238, 0.210560), abs=5e-7)
    assert env.rates(350.0) == pytest.approx((1.195826, 1.238482), abs=5e-7)
    time, share = env.best_batch(320.0)
    assert (time, share) == pytest.approx((3.4485, 0.483787), abs=5e-5)
    grid = np.linspace(0.01, 10, 5000)
    k1, k2 = env.rates(320.0)
    assert (k1 / (k2 - k1) * (np.exp(-k1 * grid) - np.exp(-k2 * grid))).max() == pytest.approx(share, abs=1e-5)


def test_equal_rates_take_the_limit():
    env = Reactor(factors=(2e5, 2e5), energies=(35e3, 35e3))
    k, same = env.rates(320.0)
    assert k == same
    (stays, to_b, to_c), _ = env.fates(320.0)
    assert to_b == pytest.approx(k * math.exp(-k))
    assert stays + to_b + to_c == pytest.approx(1)
    near = Reactor(factors=(2e5, 2e5 * (1 + 1e-9)), energies=(35e3, 35e3)).fates(320.0)[0]
    assert near == pytest.approx((stays, to_b, to_c), rel=1e-7)
    assert env.best_batch(320.0) == pytest.approx((1 / k, math.exp(-1)))


@pytest.mark.parametrize("kind", KINDS)
def test_gymnasium_accepts_them(kind):
    env = gymnasium.make(f"ailys/{kind.__name__}-v0", disable_env_checker=True).unwrapped
    assert isinstance(env, kind)
    check_env(env)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("mode", ["ansi", "rgb_array"])
def test_the_cliff_is_drawn(mode):
    env = gymnasium.make("ailys/Cliff-v0", render_mode=mode, slip=0.0)
    env.reset(seed=0)
    env.step(0)
    image = env.render()
    if mode == "ansi":
        assert image.splitlines()[2:] == ["@ . . . . . . . . . . .", "S # # # # # # # # # # G"]
    else:
        assert image.shape == (4 * 24, 12 * 24, 3)
        assert image.dtype == np.uint8
        assert tuple(image[2 * 24 + 12, 12]) == (224, 123, 0)


SIMULATED = (
    Cliff(slip=0.4), Cliff(3, 5, 0.5, "perp", fall_mode="restart"), Cliff(slip=0.3, mode="down", horizon=9), Inventory(),
    Inventory(capacity=4, demand=2.2, start=2), Reactor(4, 5), Qubit(4, 2.0, noise=0.3),
)  # fmt: skip


@pytest.mark.parametrize("env", SIMULATED)
def test_the_table_is_the_law_of_the_simulation(env):
    """Random play: next states and rewards of each (stage, state, action) against the table (chi-square).

    The smallest of the p-values, with Bonferroni's correction, falls below 1e-4 by chance with probability 1e-4.
    """
    mdp, seen = env.to_mdp(), {}
    rng = np.random.default_rng(0)
    allowed = [[np.flatnonzero(row) for row in mask] for mask in mdp.mask.reshape(-1, mdp.n_states, mdp.n_actions)]
    known = env.state_observations() if isinstance(env, Qubit) else None

    @cache
    def row(state, action, stage):
        """The outcomes, and the place of each in their list by what is seen of it."""
        outcomes = mdp.outcomes(state, action, stage)
        return outcomes, {(n, round(r, 9)): place for place, (_, n, r) in enumerate(outcomes)}

    for episode in range(4000):
        observation, _ = env.reset(seed=7 if episode == 0 else None)
        state, ended, h = int(mdp.initial.argmax()), False, 0
        if not isinstance(env, Qubit):
            assert observation == state
        while not ended:
            stage = h if mdp.n_stages > 1 else 0
            actions = allowed[stage][state]
            action = int(actions[rng.integers(len(actions))])
            observation, reward, terminated, truncated, _ = env.step(action)
            outcomes, places = row(state, action, stage)
            if known is not None:  # the table's states are the nodes of the tree: look the node up
                distance = [
                    abs(known[n] - observation).max() if not terminated else abs(r - reward) for _, n, r in outcomes
                ]
                place = int(np.argmin(distance))
                assert distance[place] < 1e-6
            else:
                following = mdp.n_states - 1 if terminated else observation
                place = places[following, round(reward, 9)]
            seen.setdefault((stage, state, action), np.zeros(len(outcomes)))[place] += 1
            state, ended, h = outcomes[place][1], terminated or truncated, h + 1
        assert h <= mdp.horizon
        assert truncated == (not terminated and h == mdp.horizon)
    p_values = []
    for (stage, state, action), counts in seen.items():
        expected = counts.sum() * np.array([p for p, _, _ in mdp.outcomes(state, action, stage)])
        order = np.argsort(expected)
        cut = int(np.searchsorted(np.cumsum(expected[order]), 5.0)) + 1  # pool the rare outcomes
        if cut < len(order):
            pooled = [np.r_[values[order[:cut]].sum(), values[order[cut:]]] for values in (counts, expected)]
            p_values.append(chisquare(*pooled).pvalue)
    assert len(p_values) >= 10
    assert min(p_values) * len(p_values) > 1e-4


def test_gymnasiums_slippery_cliff_is_a_special_case():
    P = gymnasium.make("CliffWalking-v1", is_slippery=True).unwrapped.P
    env = Cliff(slip=2 / 3, mode="perp", fall_mode="restart")
    mdp = env.to_mdp()
    for state in range(36 + 1):
        for action in range(4):
            theirs: dict = {}
            for p, n, r, done in P[state][action]:
                key = (env.end if done else int(n), float(r))
                theirs[key] = theirs.get(key, 0) + p
            ours = {(n, r): p for p, n, r in mdp.outcomes(state, action)}
            assert ours == pytest.approx(theirs)


def test_demand_beyond_the_capacity_is_counted():
    law = Inventory(capacity=4, demand=3.0).demand_law()
    assert law.sum() == pytest.approx(1)
    assert law[-1] == pytest.approx(1 - poisson.cdf(3, 3.0))


def test_an_order_that_does_not_fit_is_cut():
    env = Inventory(capacity=5, demand=0.0, start=3)
    env.reset(seed=0)
    assert env.step(5)[:2] == (5, -2 * 2 - 3 - 5)
    assert env.to_mdp().outcomes(3, 5) == []
    assert env.to_mdp(cut=True).outcomes(3, 5) == env.to_mdp().outcomes(3, 2) == [(1.0, 5, -12.0)]


def test_the_last_stage_of_the_reactor_is_a_quench_whatever_is_chosen():
    env = Reactor(3, 2)
    mdp = env.to_mdp()
    assert (mdp.horizon, mdp.n_stages) == (3, 3)
    state = env.index(1, 2)
    assert [mdp.outcomes(state, action, 2) for action in range(3)] == [[(1.0, env.end, 2.0)]] * 3
    env.reset(seed=0)
    env.step(0)
    env.step(0)
    b = env._state[1]
    assert env.step(1)[:3] == (env.end, float(b), True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Cliff(slip=1.5), "slip"), (lambda: Cliff(mode="up"), "mode must be one of"), (lambda: Cliff(rows=1), "rows"),
        (lambda: Cliff(fall=math.inf), "fall"), (lambda: Cliff(fall_mode="bounce"), "fall_mode"),
        (lambda: Cliff(render_mode="human"), "render_mode"), (lambda: Inventory(start=11), "start"),
        (lambda: Inventory(demand=-1), "demand"), (lambda: Inventory(capacity=2.5), "capacity"),
        (lambda: Qubit(n_pulses=0), "n_pulses"), (lambda: Qubit(total_time=math.nan), "total_time"),
        (lambda: Qubit(12, noise=0.1).to_mdp(), "fewer pulses"), (lambda: Qubit(noise=0.1).best_fidelity(), "without noise"),
        (lambda: Reactor(temperatures=(300,)), "two numbers"), (lambda: Reactor(factors=(1, -2)), r"factors\[1\]"),
        (lambda: Cliff().step(0), "reset"),
    ],
)  # fmt: skip
def test_bad_input_gets_a_sentence(make, message):
    with pytest.raises((ValueError, gymnasium.error.ResetNeeded), match=message):
        make()


@pytest.mark.parametrize("action", [-1, 4, 1.5, "up", None])
def test_an_impossible_action_is_refused(action):
    env = Cliff()
    env.reset(seed=0)
    with pytest.raises(ValueError, match="action must be"):
        env.step(action)


def test_the_end_of_an_episode_asks_for_a_reset():
    env = Qubit(1)
    env.reset()
    assert env.step(0)[2]
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(0)
