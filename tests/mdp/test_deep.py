"""Deep agents: risks against laws, the peer as a special case, files, exact audits against simulation."""

import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from ailys.core.optional import MissingExtra
from ailys.mdp import ReturnDistribution, evaluate, simulate, solve
from ailys.mdp.envs import Cliff, Inventory, Qubit, Reactor

torch = pytest.importorskip("torch")
pytest.importorskip("sb3_contrib")
torch.set_num_threads(1)

from sb3_contrib import QRDQN  # noqa: E402

from ailys.mdp.deep import C51, Risk, RiskSensitiveQRDQN, StockObservation, audit, greedy_table  # noqa: E402
from ailys.mdp.deep.c51 import project  # noqa: E402

RISKS = ("mean", "cvar:0.3", "cvar:0.04", "wang:-0.75", "wang:0.5", "cpw:0.71", "entrm:-0.7", "entrm:0.4")
SMALL = {
    "buffer_size": 2000, "learning_starts": 100, "batch_size": 16, "gamma": 1.0, "train_freq": 4, "target_update_interval": 50,
    "exploration_fraction": 0.5, "seed": 0, "device": "cpu",
}  # fmt: skip
NET = {"n_quantiles": 11, "net_arch": [8]}


def law_risk(law, risk):
    """The risk of a law from its definition: CVaR and EntRM by the law's own methods, distortions by a sum."""
    kind, parameter = risk.kind, risk.parameter
    if kind == "cvar":
        return law.cvar(parameter)
    if kind == "entrm":
        return law.entrm(parameter)
    return float(np.diff(risk.distortion(np.cumsum(law.weights)), prepend=0.0) @ law.atoms)


@pytest.mark.parametrize("text", RISKS)
def test_risks_of_quantiles_and_atoms_are_those_of_the_laws(text):
    risk, rng = Risk.parse(text), np.random.default_rng(0)
    quantiles = 3 * rng.standard_normal((5, 24, 2))  # not sorted
    found = risk.of_quantiles(torch.as_tensor(quantiles)).numpy()
    atoms, mass = np.linspace(-4, 3, 15), rng.dirichlet(np.ones(15), (5, 2)).swapaxes(1, 2)
    on_atoms = risk.of_atoms(torch.as_tensor(atoms), torch.as_tensor(mass)).numpy()
    for b in range(5):
        for a in range(2):
            law = ReturnDistribution(np.sort(quantiles[b, :, a]), np.full(24, 1 / 24))
            assert found[b, a] == pytest.approx(law_risk(law, risk), abs=1e-9)
            assert on_atoms[b, a] == pytest.approx(law_risk(ReturnDistribution(atoms, mass[b, :, a]), risk), abs=1e-9)
    if text in ("cvar:0.3", "wang:-0.75", "entrm:-0.7"):
        assert (found <= quantiles.mean(axis=1)).all()


def test_distortions_end_at_zero_and_one_and_their_neutral_members_are_the_mean():
    for text in RISKS[:6]:
        assert Risk.parse(text).weights(10).sum() == pytest.approx(1)
        assert (Risk.parse(text).weights(10) >= 0).all()
    for neutral in ("cvar:1", "wang:0", "cpw:1"):
        assert Risk.parse(neutral).weights(8) == pytest.approx(np.full(8, 1 / 8))


@pytest.mark.parametrize("text", ["", "cvar", "cvar:0", "cvar:2", "cvar:x", "cpw:0.1", "entrm:nan", "var:0.1"])
def test_unknown_risks_are_refused(text):
    with pytest.raises(ValueError, match="risk"):
        Risk.parse(text)
    with pytest.raises(ValueError, match="risk"):
        RiskSensitiveQRDQN("MlpPolicy", Cliff(), risk=text)


def weights(agent):
    return np.concatenate([p.detach().numpy().ravel() for p in agent.policy.parameters()])


def test_with_the_mean_it_is_the_qrdqn_of_sb3_contrib():
    env = Cliff(2, 4, fall=-5.0)
    theirs = QRDQN("MlpPolicy", env, policy_kwargs=NET, **SMALL).learn(600)
    ours = RiskSensitiveQRDQN("MlpPolicy", env, policy_kwargs=NET, **SMALL).learn(600)
    target = RiskSensitiveQRDQN("MlpPolicy", env, policy_kwargs=NET, risk_in_target=True, **SMALL).learn(600)
    assert np.array_equal(weights(theirs), weights(ours))
    # the targets are those of the best mean, shown in another way
    assert np.array_equal(weights(theirs), weights(target))
    averse = RiskSensitiveQRDQN("MlpPolicy", env, policy_kwargs=NET, risk_in_target=True, risk="cvar:0.2", **SMALL)
    assert not np.array_equal(weights(averse.learn(600)), weights(theirs))


def test_targets_show_the_action_that_the_risk_prefers():
    agent = RiskSensitiveQRDQN(
        "MlpPolicy", Cliff(2, 4), policy_kwargs=NET, risk="cvar:0.2", risk_in_target=True, **SMALL
    )
    state = torch.arange(9).reshape(-1, 1)
    network = agent.quantile_net_target
    shown = network(network.obs_to_tensor(state.numpy().ravel())[0])
    network.for_targets = False
    quantiles = network(network.obs_to_tensor(state.numpy().ravel())[0])
    best = Risk.parse("cvar:0.2").of_quantiles(quantiles).argmax(dim=1)
    for b, a in enumerate(best):
        assert torch.equal(shown[b], quantiles[b, :, a][:, None].expand(-1, 4))


@pytest.mark.parametrize("kind", [RiskSensitiveQRDQN, C51])
def test_an_agent_comes_back_from_its_file(kind, tmp_path):
    env = Cliff(2, 4, fall=-5.0)
    more = {"v_min": -30.0, "v_max": 0.0, "n_atoms": 11} if kind is C51 else {"risk_in_target": True}
    agent = kind("MlpPolicy", env, policy_kwargs={"net_arch": [8]}, risk="cvar:0.3", **more, **SMALL).learn(300)
    agent.save(tmp_path / "agent.zip")
    again = kind.load(tmp_path / "agent.zip", env=env)
    assert again.risk == "cvar:0.3"
    assert np.array_equal(weights(agent), weights(again))
    assert np.array_equal(greedy_table(agent, env.to_mdp()), greedy_table(again, env.to_mdp()))
    assert again.quantile_net.risk == Risk("cvar", 0.3)
    again.learn(100, reset_num_timesteps=False)
    assert not np.array_equal(weights(agent), weights(again))


def test_projection_keeps_mass_and_mean():
    rng = np.random.default_rng(0)
    atoms = torch.linspace(-2, 3, 11)
    values, mass = torch.as_tensor(rng.uniform(-2, 3, (4, 7)), dtype=torch.float32), torch.full((4, 7), 1 / 7)
    values[0, 0], values[0, 1] = 3.0, -2.0
    out = project(atoms, values, mass)
    assert out.sum(dim=1).numpy() == pytest.approx(np.ones(4), abs=1e-6)
    assert (out @ atoms).numpy() == pytest.approx((mass * values).sum(dim=1).numpy(), abs=1e-5)
    beyond = project(atoms, torch.tensor([[9.0, -9.0]]), torch.tensor([[0.25, 0.75]]))
    assert beyond[0, [0, -1]].tolist() == [0.75, 0.25]


class Lottery(gymnasium.Env):
    """One step: action 0 gives 1 for certain, action 1 gives 0 or 3 with probability 1/2."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        reward = 1.0 if action == 0 else float(self.np_random.choice([0.0, 3.0]))
        return np.zeros(1, np.float32), reward, True, False, {}


@pytest.mark.parametrize("kind", [RiskSensitiveQRDQN, C51])
def test_agents_learn_a_law_and_choose_by_its_risk(kind):
    more = {"v_min": 0.0, "v_max": 3.0, "n_atoms": 4} if kind is C51 else {}
    net = {"net_arch": []} if kind is C51 else {"net_arch": [], "n_quantiles": 8}
    options = SMALL | {"learning_rate": 0.05, "exploration_final_eps": 0.5, "train_freq": 1, "batch_size": 64}
    agent = kind("MlpPolicy", Lottery(), policy_kwargs=net, **more, **options).learn(1200)
    if kind is C51:
        mass = agent.quantile_net.mass(torch.zeros(1, 1))[0].detach().numpy()
        assert mass[:, 0] == pytest.approx([0, 1, 0, 0], abs=0.05)
        assert mass[:, 1] == pytest.approx([0.5, 0, 0, 0.5], abs=0.15)
    choice = {}
    for risk in ("mean", "cvar:0.3"):
        agent.risk = risk
        choice[risk] = int(agent.predict(np.zeros(1, np.float32), deterministic=True)[0])
    assert choice == {"mean": 1, "cvar:0.3": 0}


# -- audits --------------------------------------------------------------------------------------


class Scripted:
    """An agent whose action is a function of what it sees."""

    def __init__(self, act, space=None):
        self.act, self.observation_space = act, space

    def predict(self, observations, deterministic=True):
        return np.array([self.act(o) for o in observations]), None


def test_an_audit_is_the_law_of_the_greedy_policy():
    env = Cliff(3, 5, fall=-20)
    mdp = env.to_mdp()
    table = solve(mdp).policy[0]
    law = audit(Scripted(lambda s: table[s], env.observation_space), mdp)
    exact = evaluate(mdp, table)
    assert np.array_equal(law.atoms, exact.atoms)
    assert law.weights == pytest.approx(exact.weights)
    assert law.guarantee is not None


def test_an_audit_of_an_agent_with_memory_is_what_happens():
    """It walks along the edge until it has lost much time; 4000 episodes, DKW band with false alarm 1e-6."""
    env = Cliff(3, 5, slip=0.4, fall=-20, horizon=12, fall_mode="restart")
    stock = StockObservation(env, scale=10.0)

    def act(o):
        if o[-2] < -0.5 and o[-1] < 0.5:
            return 1 if o[:5].any() else 0  # late and poor: up, then along the top
        return 0 if o[10] else 2 if o[9] else 1

    law = audit(Scripted(act), env.to_mdp(), stock=stock)
    assert law.weights.sum() == pytest.approx(1)
    returns = []
    for episode in range(4000):
        observation, _ = stock.reset(seed=0 if episode == 0 else None)
        total, done = 0.0, False
        while not done:
            observation, reward, terminated, truncated, _ = stock.step(act(observation))
            total, done = total + reward, terminated or truncated
        returns.append(total)
    band = np.sqrt(np.log(2 / 1e-6) / (2 * len(returns)))
    for x in law.atoms:
        assert abs(np.mean(np.array(returns) <= x + 1e-9) - law.cdf(x)) <= band


def test_without_use_of_its_memory_both_audits_agree():
    env = Reactor(3, 3)
    mdp = env.to_mdp()
    one = audit(Scripted(lambda s: s % 3), mdp)
    two = audit(Scripted(lambda o: int(np.argmax(o[:-2])) % 3), mdp, stock=StockObservation(env))
    assert two.atoms == pytest.approx(one.atoms, abs=1e-8)
    assert two.weights == pytest.approx(one.weights)


def test_agents_that_see_vectors_are_audited_with_the_observations_of_the_states():
    env = Qubit(4, 2.0, noise=0.2)
    agent = Scripted(lambda o: int(o[0] < 0), env.observation_space)
    law = audit(agent, env.to_mdp(), observations=env.state_observations())
    total = 0.0
    for signs in np.ndindex(2, 2, 2, 2):
        bloch = env.initial_bloch
        for sign in signs:
            bloch = env._rotations[int(np.float32(bloch[0]) < 0), sign] @ bloch
        total += env.fidelity(bloch) / 16
    assert law.mean == pytest.approx(float(total), abs=1e-6)
    with pytest.raises(ValueError, match="give observations="):
        audit(agent, env.to_mdp())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: audit(Scripted(lambda s: 9), Inventory().to_mdp()), "state 2: the agent chooses action 9"),
        (lambda: audit(Scripted(lambda s: 9), Inventory().to_mdp(cut=True), observations=[1]), "11 states; got 1"),
        (lambda: audit(Scripted(lambda s: 0, Cliff().observation_space), Inventory().to_mdp()), "knows 49 states"),
        (lambda: audit(None, Cliff().to_mdp().replace(horizon=None, discount=0.9)), "horizon"),
        (lambda: audit(None, Cliff(horizon=9).to_mdp(), stock=StockObservation(Cliff())), "50 decisions"),
        (lambda: StockObservation(Cliff(), scale=0), "scale"),
        (lambda: StockObservation(gymnasium.make("CartPole-v1").unwrapped), "horizon"),
        (lambda: C51("MlpPolicy", Cliff(), v_min=1, v_max=1), "v_min"), (lambda: C51("MlpPolicy", Cliff(), n_atoms=1), "n_atoms"),
    ],
)  # fmt: skip
def test_bad_input_gets_a_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_orders_that_are_cut_can_be_audited():
    assert audit(Scripted(lambda s: 9), Inventory().to_mdp(cut=True)).mean < 30


@pytest.mark.filterwarnings("ignore:.*(wrapper|Box observation).*")
def test_the_wrapper_is_an_environment():
    check_env(StockObservation(Cliff(), scale=100.0), skip_render_check=True)
    assert StockObservation(Qubit()).reset()[0].shape == (6,)


def test_a_missing_library_is_named(monkeypatch):
    for name in [n for n in sys.modules if n.startswith(("ailys.mdp.deep", "sb3_contrib"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sb3_contrib", None)
    with pytest.raises((MissingExtra, ModuleNotFoundError), match="ailys\\[deep\\]|sb3_contrib"):
        import ailys.mdp.deep  # noqa: F401


def test_planning_does_not_load_the_deep_libraries():
    import subprocess

    code = "import sys, ailys.mdp, ailys.mdp.envs, ailys.mdp.learning; sys.exit('torch' in sys.modules or 'sb3_contrib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.slow
def test_an_agent_finds_the_best_average_and_its_audit_tells_what_caution_does():
    """The experiment of the page, shorter: how caution after training turns out depends on the run, the audit is exact."""
    env = Cliff(3, 5, fall=-20)
    mdp = env.to_mdp()
    options = SMALL | {"learning_rate": 5e-3, "buffer_size": 12_000, "learning_starts": 500, "batch_size": 64, "train_freq": 2,
                       "target_update_interval": 200, "exploration_final_eps": 0.05}  # fmt: skip
    net = {"n_quantiles": 25, "net_arch": []}
    agent = RiskSensitiveQRDQN("MlpPolicy", env, policy_kwargs=net, **options).learn(6000)
    neutral = audit(agent, mdp)
    assert neutral.mean == pytest.approx(float(mdp.initial @ solve(mdp).value), abs=0.3)
    table = greedy_table(agent, mdp)
    agent.risk = "cvar:0.1"
    cautious = greedy_table(agent, mdp)
    assert not np.array_equal(table, cautious)
    law, exact = audit(agent, mdp), evaluate(mdp, cautious)
    assert law.mean == pytest.approx(exact.mean)
    assert law.mean <= neutral.mean + 1e-9
    played = simulate(mdp, cautious, 4000, 0, level=1 - 1e-6)
    assert abs(law.cdf(-20) - np.mean(played.returns <= -20)) <= played.band
