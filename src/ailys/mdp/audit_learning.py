"""Claims about learning and about the environments, each with an experiment that tries to contradict it."""

from __future__ import annotations

import numpy as np

from ..core.claim import Claim
from .learning import BPIUCRL, UCBVI
from .model import TabularMDP

__all__ = ["CLAIMS"]

Rng = np.random.Generator
_DELTA = 0.1


def _problem(rng: Rng) -> TabularMDP:
    """Random laws, some nearly certain, with rewards of any sign that depend on what happens."""
    S, A, H = int(rng.integers(2, 5)), int(rng.integers(2, 4)), int(rng.integers(1, 5))
    P = rng.dirichlet(np.full(S, rng.choice([0.1, 1.0])), (S, A))
    R = rng.normal(size=(S, A, S)).round(2)
    return TabularMDP.from_arrays(P, R, horizon=H, initial=rng.dirichlet(np.ones(S)))


def _best(mdp: TabularMDP, policy: np.ndarray | None = None) -> float:
    """Value at the start of a policy, or the best one, from dense arrays."""
    H, S, A = mdp.horizon or 1, mdp.n_states, mdp.n_actions
    P, r = np.zeros((S * A, S)), np.zeros(S * A)
    rows = np.repeat(np.arange(S * A), np.diff(mdp.indptr))
    np.add.at(P, (rows, mdp.next_state), mdp.prob)
    np.add.at(r, rows, mdp.prob * mdp.reward)
    ahead = np.zeros(S)
    for h in range(H - 1, -1, -1):
        q = (r + P @ ahead).reshape(S, A)
        ahead = q.max(axis=1) if policy is None else q[np.arange(S), policy[h]]
    return float(mdp.initial @ ahead)


def bpi_recommends_a_bad_policy(rng: Rng) -> bool:
    """Stopped at a random precision: the policy within epsilon, and both bounds on their side."""
    mdp = _problem(rng)
    epsilon = float(rng.choice([0.5, 1.0, 2.0]))
    learner = BPIUCRL(epsilon, _DELTA, stationary=bool(rng.random() < 0.5), rng=rng).fit(mdp, 300_000)
    answer = learner.recommend()
    best, mine = _best(mdp), _best(mdp, answer.policy)
    assert answer.lower is not None
    assert answer.upper is not None
    assert answer.guarantee is not None
    within = answer.guarantee.values["epsilon"]
    return best - mine > within + 1e-9 or mine < answer.lower - 1e-9 or best > answer.upper + 1e-9


def bpi_bounds_are_wrong_on_the_way(rng: Rng) -> bool:
    """The bounds after each of 200 episodes, which hold at all times together."""
    mdp = _problem(rng)
    best, learner = _best(mdp), BPIUCRL(1e-9, _DELTA, stationary=True, replan=0.0, rng=rng)
    learner.fit(mdp, 200)
    history = learner.recommend().history
    return bool((history[:, 1] > best + 1e-9).any() or (history[:, 2] < best - 1e-9).any())


def ucbvi_is_not_optimistic(rng: Rng) -> bool:
    """The planned value after each of 300 episodes."""
    mdp = _problem(rng)
    learner = UCBVI(delta=_DELTA, stationary=bool(rng.random() < 0.5), replan=0.0, rng=rng).fit(mdp, 300)
    return bool((learner.recommend().history[:, 2] < _best(mdp) - 1e-9).any())


def environment_differs_from_its_table(rng: Rng) -> bool:
    """Mean return of random play, simulated by the environment, within a Hoeffding band of that of the table."""
    from .envs import Cliff, Inventory, Reactor, TableEnv

    seed, kind = int(rng.integers(2**31)), int(rng.integers(3))
    env: TableEnv
    if kind == 0:
        env = Cliff(int(rng.integers(2, 5)), int(rng.integers(3, 7)), float(rng.random()),
                    str(rng.choice(["uniform", "perp", "down"])), fall=-10.0, horizon=8,  # type: ignore[arg-type]
                    fall_mode=str(rng.choice(["terminate", "restart"])))  # type: ignore[arg-type]  # fmt: skip
        mdp = env.to_mdp()
    elif kind == 1:
        env = Inventory(int(rng.integers(1, 6)), float(rng.uniform(0.5, 4)), horizon=4)
        mdp = env.to_mdp(cut=True)
    else:
        env = Reactor(int(rng.integers(1, 5)), int(rng.integers(1, 4)), dt=float(rng.uniform(0.2, 2)))
        mdp = env.to_mdp()
    H, n = mdp.horizon or 1, 400
    policy = rng.integers(0, mdp.n_actions, (H, mdp.n_states))
    from .evaluate import evaluate

    law = evaluate(mdp, policy)
    total = np.zeros(n)
    for i in range(n):
        state, _ = env.reset(seed=seed if i == 0 else None)
        for h in range(H):
            state, reward, terminated, truncated, _ = env.step(int(policy[h, state]))
            total[i] += reward
            if terminated or truncated:
                break
    total.sort()
    below = np.array([law.cdf(x + 1e-9) for x in total])
    empirical = np.searchsorted(total, total + 1e-9, side="right") / n
    # Dvoretzky, Kiefer, Wolfowitz: the distance exceeds this with probability at most 0.01
    return bool(np.abs(empirical - below).max() > np.sqrt(np.log(2 / 0.01) / (2 * n)))


CLAIMS = (
    Claim(
        "epsilon-delta", "BPI-UCRL stops with a policy within epsilon of the best, with probability at least 1 - delta",
        bpi_recommends_a_bad_policy, level=_DELTA, covers=("LearningResult",),
    ),
    Claim("value-bounds", "its bounds of the best value hold at all times together", bpi_bounds_are_wrong_on_the_way, level=_DELTA, covers=("LearningResult",)),
    Claim("optimism", "UCBVI's planned value is never below the best one", ucbvi_is_not_optimistic, level=_DELTA, covers=("LearningResult",)),
    Claim(
        "environment-laws", "the tables of Cliff, Inventory and Reactor are the laws that they simulate",
        environment_differs_from_its_table, level=0.01, slack=0.05,
    ),
)  # fmt: skip
