"""Policies and optimisers against SMPyBandits, PyMAB, MABWiser and PyXAB, one decision and its reward at a time.

Within a group all contestants play the same problem for the same number of steps; the first one is ours. ``seconds`` is the time
of one step. Peers that are not installed are left out. SMPyBandits needs a function that SciPy has renamed; it is put back
for it. The peers' requirements clash with the constraints of this repository: install them into an environment of
their own, with ailys on its path.
"""

import contextlib
import io
import math
import time

import numpy as np
import pytest

import ailys.bandits as ours

CPU = pytest.mark.benchmark(timer=time.process_time, warmup=False)
MEANS = np.array([0.1] + 3 * [0.05] + 3 * [0.02] + 3 * [0.01])
HORIZON = 10_000
KEYS = np.arange(10, dtype=np.uint64)


def time_steps(benchmark, work, steps, rounds=3):
    """The time of one step, from runs of ``steps`` of them."""

    def timer():
        return time.process_time() / steps

    benchmark._timer = timer
    benchmark.pedantic(work, rounds=rounds, warmup_rounds=1)


# -- regret policies -------------------------------------------------------------------------------


def compiled(kind):
    def work():
        ours.simulate({"x": kind}, MEANS, HORIZON, 10, rng=0)

    return work, 10 * HORIZON


def live(kind):
    def work():
        agent, world = kind(10, rng=0), ours.Arms(MEANS, rng=0)
        for _ in range(HORIZON):
            arm = agent.ask()
            agent.tell(arm, world(arm))

    return work, HORIZON


def smpybandits(name):
    import scipy.special

    if not hasattr(scipy.special, "btdtri"):
        scipy.special.btdtri = scipy.special.betaincinv
    with contextlib.redirect_stdout(io.StringIO()):
        policies = pytest.importorskip("SMPyBandits.Policies")
    steps = 2000

    def work():
        policy, world = getattr(policies, name)(10), ours.Arms(MEANS, rng=0)
        policy.startGame()
        for _ in range(steps):
            arm = int(policy.choice())
            policy.getReward(arm, world(arm))

    return work, steps


def pymab(name, **options):
    policies = pytest.importorskip("pymab.policies")

    def work():
        policy, world, rng = (
            getattr(policies, name)(n_arms=10, **options),
            ours.Arms(MEANS, rng=0),
            np.random.default_rng(0),
        )
        for _ in range(HORIZON):
            arm = policy.select_action(rng=rng)
            policy.update(action=arm, reward=world(arm))

    return work, HORIZON


def mabwiser(name):
    mab = pytest.importorskip("mabwiser.mab")
    steps = 1000

    def work():
        policy, world = mab.MAB(list(range(10)), getattr(mab.LearningPolicy, name)()), ours.Arms(MEANS, rng=0)
        policy.fit(list(range(10)), [world(a) for a in range(10)])
        for _ in range(steps):
            arm = policy.predict()
            policy.partial_fit([arm], [world(arm)])

    return work, steps


POLICIES = {
    "KL-UCB": {
        "ailys, simulation": lambda: compiled(ours.KLUCB),
        "ailys, ask and tell": lambda: live(ours.KLUCB),
        "PyMAB": lambda: pymab("KLUCBPolicy"),
        "SMPyBandits": lambda: smpybandits("klUCB"),
    },
    "UCB": {
        "ailys, simulation": lambda: compiled(ours.UCB),
        "ailys, ask and tell": lambda: live(ours.UCB),
        "PyMAB": lambda: pymab("UCBPolicy"),
        "SMPyBandits": lambda: smpybandits("UCBalpha"),
        "MABWiser": lambda: mabwiser("UCB1"),
    },
    "Thompson": {
        "ailys, simulation": lambda: compiled(ours.Thompson),
        "ailys, ask and tell": lambda: live(ours.Thompson),
        "PyMAB": lambda: pymab("BernoulliThompsonSamplingPolicy"),
        "SMPyBandits": lambda: smpybandits("Thompson"),
        "MABWiser": lambda: mabwiser("ThompsonSampling"),
    },
}


@CPU
@pytest.mark.parametrize(("policy", "contestant"), [(p, c) for p, group in POLICIES.items() for c in group])
def test_policy(benchmark, policy, contestant):
    benchmark.group = f"step of a policy: {policy}, 10 arms"
    work, steps = POLICIES[policy][contestant]()
    time_steps(benchmark, work, steps)


# -- black boxes -----------------------------------------------------------------------------------

BUDGET = 2000


def wave(x):
    return 0.5 * (math.sin(13 * x) * math.sin(27 * x) + 1)


VALUES = 0.1 * np.random.default_rng(0).standard_normal(BUDGET)


def search(make, noise):
    def work():
        method = make()
        for t in range(BUDGET):
            x = method.ask()
            method.tell(wave(x) + (VALUES[t] if noise else 0.0))

    return work, BUDGET


def pyxab(name, noise, **options):
    algos = pytest.importorskip("PyXAB.algos")
    module = __import__(f"{algos.__name__}.{'HOO' if name == 'T_HOO' else name}", fromlist=[name])

    def work():
        method = getattr(module, name)(domain=[[0, 1]], **options)
        for t in range(1, BUDGET + 1):
            x = method.pull(t)
            method.receive_reward(t, wave(x[0]) + (VALUES[t - 1] if noise else 0.0))

    return work, BUDGET


SEARCHES = {
    "DOO": {
        "ailys": lambda: search(lambda: ours.DOO((0, 1), 13.5), False),
        "PyXAB": lambda: pyxab("DOO", False, n=BUDGET),
    },
    "SOO": {"ailys": lambda: search(lambda: ours.SOO((0, 1)), False), "PyXAB": lambda: pyxab("SOO", False, n=BUDGET)},
    "SequOOL": {
        "ailys": lambda: search(lambda: ours.SequOOL((0, 1), BUDGET), False),
        "PyXAB": lambda: pyxab("SequOOL", False, n=BUDGET),
    },
    "HOO": {
        "ailys": lambda: search(lambda: ours.HOO((0, 1), BUDGET), True),
        "PyXAB": lambda: pyxab("T_HOO", True, rounds=BUDGET),
    },
    "HCT": {"ailys": lambda: search(lambda: ours.HCT((0, 1)), True), "PyXAB": lambda: pyxab("HCT", True)},
    "StoSOO": {
        "ailys": lambda: search(lambda: ours.StoSOO((0, 1), BUDGET), True),
        "PyXAB": lambda: pyxab("StoSOO", True, n=BUDGET),
    },
    "StroquOOL": {
        "ailys": lambda: search(lambda: ours.StroquOOL((0, 1), BUDGET), True),
        "PyXAB": lambda: pyxab("StroquOOL", True, n=BUDGET),
    },
    "POO": {
        "ailys": lambda: search(lambda: ours.POO((0, 1), BUDGET), True),
        "PyXAB": lambda: pyxab("POO", True, rounds=BUDGET, algo=pytest.importorskip("PyXAB.algos.HOO").T_HOO),
    },
}


@CPU
@pytest.mark.parametrize(("method", "contestant"), [(m, c) for m, group in SEARCHES.items() for c in group])
def test_search(benchmark, method, contestant):
    benchmark.group = f"step of a search: {method}, {BUDGET} evaluations"
    work, steps = SEARCHES[method][contestant]()
    time_steps(benchmark, work, steps, rounds=3 if contestant == "ailys" else 1)


# -- oracle weights --------------------------------------------------------------------------------


@CPU
@pytest.mark.parametrize("contestant", ["ailys", "SciPy SLSQP"])
@pytest.mark.parametrize("case", ["4 Bernoulli arms", "10 Bernoulli arms"])
def test_oracle(benchmark, case, contestant):
    from scipy.optimize import minimize

    from ailys.bandits._weights_kernels import pair_cost

    benchmark.group = f"oracle weights: {case}"
    means = np.random.default_rng(1).uniform(0.1, 0.9, int(case.split()[0]))
    best = int(np.argmax(means))
    rivals = [j for j in range(len(means)) if j != best]
    if contestant == "ailys":
        batch = np.tile(means, (1000, 1))
        time_steps(benchmark, lambda: ours.oracle_weights(batch), 1000)
        return
    n = len(means)

    def slack(x):
        return np.array([pair_cost(x[best], means[best], x[j], means[j], 0.0, 0, 1.0) for j in rivals]) - x[n]

    def work():
        return minimize(
            lambda x: -x[n], [1 / n] * n + [1e-4], method="SLSQP", bounds=[(1e-9, 1)] * n + [(0, 9)], options={"ftol": 1e-12},
            constraints=[{"type": "ineq", "fun": slack}, {"type": "eq", "fun": lambda x: x[:n].sum() - 1}],
        )  # fmt: skip

    benchmark.pedantic(work, rounds=5, warmup_rounds=1)
