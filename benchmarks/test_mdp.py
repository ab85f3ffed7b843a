"""Planning against quantecon, mdpsolver and pymdptoolbox, and what risk adds to the cost of the mean.

Within a group all contestants solve the same model to the same accuracy of the value (1e-6); the first one is ours. One thread
and CPU time, except for the group that says otherwise.
The conversion of the model into the form that a peer wants is not timed. Peers that are not installed are left
out. ``peak`` is the largest resident memory of the process so far, in GB.
"""

import importlib.util
import time

import numpy as np
import pytest

import ailys.mdp as ours
from ailys.mdp.envs import Cliff

CPU = pytest.mark.benchmark(timer=time.process_time, warmup=False)
ACCURACY = 1e-6


def grid(side, discount=None, horizon=None):
    """A walker on a square grid: intended direction 0.8, across 0.1 each; random costs, one corner ends it."""
    n = side * side
    row, col = np.divmod(np.arange(n), side)
    moves = [(-1, 0), (0, 1), (1, 0), (0, -1)]
    after = np.stack([np.clip(row + i, 0, side - 1) * side + np.clip(col + j, 0, side - 1) for i, j in moves], 1)
    states = np.stack([after, np.roll(after, 1, 1), np.roll(after, -1, 1)], 2).ravel()
    reward = np.repeat(np.random.default_rng(0).uniform(-1, 0, n), 4)
    prob = np.tile([0.8, 0.1, 0.1], 4 * n)
    end = {"discount": discount} if discount is not None else {"horizon": horizon}
    return ours.TabularMDP(np.arange(0, 12 * n + 1, 3), states, prob, reward, n, 4, terminal=[n - 1], **end)


def random_model(n, discount=0.95, fan=5):
    """Every row goes to five random states."""
    rng = np.random.default_rng(1)
    rows = 4 * n
    prob = rng.dirichlet(np.ones(fan), rows).ravel()
    reward = rng.random(rows)
    return ours.TabularMDP(
        np.arange(0, fan * rows + 1, fan), rng.integers(0, n, fan * rows), prob, reward, n, 4, discount=discount
    )


MODELS = {
    "grid, 10^6 states, discount 0.99": lambda: grid(1000, 0.99),
    "random, 10^5 states, discount 0.95": lambda: random_model(100_000),
    "random, 10^4 states, discount 0.95": lambda: random_model(10_000),
    "random, 10^3 states, discount 0.95": lambda: random_model(1_000),
}


def by_ours(mdp):
    return lambda: ours.solve(mdp, tol=ACCURACY).value


def by_quantecon(mdp, k=20):
    import quantecon.markov as qe
    import scipy.sparse

    S, A = mdp.n_states, mdp.n_actions
    Q = scipy.sparse.csr_matrix((mdp.prob, mdp.next_state, mdp.indptr), shape=(S * A, S))
    R = np.bincount(np.repeat(np.arange(S * A), np.diff(mdp.indptr)), weights=mdp.prob * mdp.reward, minlength=S * A)
    problem = qe.DiscreteDP(R, Q, mdp.discount, np.repeat(np.arange(S), A), np.tile(np.arange(A), S))
    return lambda: problem.solve(method="mpi", epsilon=2 * ACCURACY, k=k, max_iter=100_000).v


def by_mdpsolver(mdp):
    import mdpsolver

    S, A = mdp.n_states, mdp.n_actions
    rows = [[mdp.outcomes(s, a) for a in range(A)] for s in range(S)]
    model = mdpsolver.model()
    model.mdp(
        discount=mdp.discount,
        rewards=[[sum(p * r for p, _, r in row) for row in state] for state in rows],
        tranMatProbs=[[[p for p, _, _ in row] for row in state] for state in rows],
        tranMatColumns=[[[n for _, n, _ in row] for row in state] for state in rows],
    )

    # a second call would go on from the solution of the first: each starts at 0, as all others do; 5 is the best of 100, 20, 5
    begin = {"initPolicy": [0] * S, "initValueVector": [0.0] * S, "parIterLim": 5}

    def work():
        model.solve(algorithm="mpi", tolerance=ACCURACY, parallel=False, verbose=False, **begin)
        return np.array(model.getValueVector())

    return work


def by_mdptoolbox(mdp):
    import mdptoolbox.mdp
    import scipy.sparse

    S, A = mdp.n_states, mdp.n_actions
    Q = scipy.sparse.csr_matrix((mdp.prob, mdp.next_state, mdp.indptr), shape=(S * A, S))
    R = np.bincount(np.repeat(np.arange(S * A), np.diff(mdp.indptr)), weights=mdp.prob * mdp.reward, minlength=S * A)
    P = [Q[a::A] for a in range(A)]

    def work():
        solver = mdptoolbox.mdp.PolicyIterationModified(P, R.reshape(S, A), mdp.discount, epsilon=2 * ACCURACY)
        solver.run()
        return np.array(solver.V)

    return work


PEERS = {
    "ailys": (None, by_ours),
    "quantecon": ("quantecon", by_quantecon),
    "mdpsolver": ("mdpsolver", by_mdpsolver),
    "pymdptoolbox": ("mdptoolbox", by_mdptoolbox),
}
TOO_LARGE = {
    "mdpsolver": 100_000,
    "pymdptoolbox": 10_000,
}  # states from which a peer is left out: minutes, or gigabytes of lists


@CPU
@pytest.mark.parametrize("contestant", list(PEERS))
@pytest.mark.parametrize("problem", list(MODELS))
def test_discounted(benchmark, problem, contestant):
    module, build = PEERS[contestant]
    if module is not None and importlib.util.find_spec(module) is None:
        pytest.skip(f"{contestant} is not installed")
    mdp = MODELS[problem]()
    if mdp.n_states >= TOO_LARGE.get(contestant, np.inf):
        pytest.skip(f"{contestant} is left out at this size")
    benchmark.group = f"discounted: {problem}"
    ours.solve(grid(5, 0.9))
    rounds, warmup = (2, 0) if mdp.n_states >= 10**6 else (20, 1)
    value = benchmark.pedantic(build(mdp), rounds=rounds, warmup_rounds=warmup)
    error = float(np.abs(value - ours.solve(mdp, tol=1e-9).value).max()) if mdp.n_states < 10**6 else float("nan")
    benchmark.extra_info["error"] = error
    if contestant == "ailys" and mdp.n_states < 10**6:
        assert error <= ACCURACY


@pytest.mark.benchmark(timer=time.perf_counter, warmup=False)
@pytest.mark.parametrize("contestant", ["ailys, two threads", "quantecon"])
def test_two_threads(benchmark, contestant):
    """Wall time for both: quantecon has one thread, and CPU time would count ours twice."""
    pytest.importorskip("quantecon")
    benchmark.group = "two threads, wall time: grid, 10^6 states, discount 0.99"
    mdp = grid(1000, 0.99)
    ours.solve(grid(5, 0.9), n_jobs=2)
    work = by_quantecon(mdp) if contestant == "quantecon" else lambda: ours.solve(mdp, tol=ACCURACY, n_jobs=2).value
    benchmark.pedantic(work, rounds=2)


@CPU
@pytest.mark.parametrize("contestant", ["ailys, mean", "ailys, entropic risk"])
def test_horizon(benchmark, contestant):
    import resource

    benchmark.group = "horizon 100: grid, 10^6 states"
    mdp = grid(1000, horizon=100)
    work = (lambda: ours.solve(mdp)) if contestant == "ailys, mean" else (lambda: ours.solve_entrm(mdp, -0.5))
    small = grid(5, horizon=2)
    ours.solve(small)
    ours.solve_entrm(small, -10.0)
    benchmark.pedantic(work, rounds=3)
    benchmark.extra_info["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


@CPU
@pytest.mark.parametrize(
    "contestant",
    [
        "ailys, one solve",
        "ailys, front, epsilon 1",
        "ailys, front, epsilon 0.1",
        "ailys, front, epsilon 0.01",
        "ailys, best EVaR",
        "ailys, best CVaR, exact",
    ],
)
def test_cliff(benchmark, contestant):
    benchmark.group = "the Cliff: 49 states, H = 50"
    mdp = Cliff().to_mdp()
    work = {
        "ailys, one solve": lambda: ours.solve_entrm(mdp, -0.05),
        "ailys, best EVaR": lambda: ours.optimize_evar(mdp, 0.1),
        "ailys, best CVaR, exact": lambda: ours.optimize_cvar(mdp, 0.1, "exact"),
    }
    if contestant in work:
        benchmark.pedantic(work[contestant], rounds=10, warmup_rounds=1)
        return
    epsilon = float(contestant.split()[-1])
    front = benchmark.pedantic(lambda: ours.entrm_front(mdp, -0.3, 0.2, epsilon), rounds=5, warmup_rounds=1)
    benchmark.extra_info |= {"policies": front.n_policies, "nodes": len(front.nodes), "solves": front.n_solves}
