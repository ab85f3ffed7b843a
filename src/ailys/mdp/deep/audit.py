"""The exact law of the return of a trained agent: ask it everywhere, then follow the table."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..evaluate import evaluate
from ..model import TabularMDP
from ..returns import ReturnDistribution
from .stock import StockObservation

__all__ = ["audit", "greedy_table"]

_BATCH = 4096


def audit(
    agent: Any,
    mdp: TabularMDP,
    *,
    observations: Any = None,
    stock: StockObservation | None = None,
    max_atoms: int = 200_000,
) -> ReturnDistribution:
    """The law of the return of an agent's greedy policy in a known model, without simulation.

    Parameters
    ----------
    agent : anything with ``predict(observations, deterministic=True)``, as of Stable-Baselines3
    mdp : the law of the environment in which it acts, with a horizon
    observations : (S, ...) what the agent sees in each state; by default the numbers of the states
    stock : the wrapper through which the agent sees the environment, if it has one
    max_atoms : more pairs of state and sum of rewards than these are refused

    Returns
    -------
    ReturnDistribution : its ``guarantee`` speaks about the agent as it is, on this model

    Raises
    ------
    ValueError
        a model without horizon, observations that do not fit, an action that the model forbids, or more than
        ``max_atoms``
    """
    if mdp.horizon is None:
        raise ValueError("an audit follows episodes to their end: give the model a horizon, mdp.replace(horizon=...)")
    if stock is None:
        return evaluate(mdp, greedy_table(agent, mdp, observations), max_atoms=max_atoms)
    return _with_memory(agent, mdp, observations, stock, max_atoms)


def greedy_table(agent: Any, mdp: TabularMDP, observations: Any = None) -> np.ndarray:
    """(S,) greedy action of an agent in each state.

    Raises
    ------
    ValueError
        observations that do not fit, or an action that the model forbids, with the first state at fault
    """
    seen = _observations(agent, mdp, observations)
    # in a terminal state nothing is decided: any allowed action stands for it
    allowed = np.array(mdp.mask).reshape(-1, mdp.n_states, mdp.n_actions)
    table = _actions(agent, seen)
    table[mdp.terminal] = allowed[0, mdp.terminal].argmax(axis=1)
    for stage, mask in enumerate(allowed):
        wrong = ~mask[np.arange(mdp.n_states), table]
        if wrong.any():
            state = int(wrong.argmax())
            where = f"stage {stage}, " if len(allowed) > 1 else ""
            raise ValueError(
                f"{where}state {state}: the agent chooses action {int(table[state])}, which the model forbids"
            )
    return table


def _actions(agent: Any, seen: np.ndarray) -> np.ndarray:
    parts = [seen[i : i + _BATCH] for i in range(0, len(seen), _BATCH)]
    return np.concatenate([np.asarray(agent.predict(part, deterministic=True)[0], np.int64).ravel() for part in parts])


def _observations(agent: Any, mdp: TabularMDP, observations: Any) -> np.ndarray:
    if observations is not None:
        seen = np.asarray(observations)
        if len(seen) != mdp.n_states:
            raise ValueError(f"observations must have a row for each of the {mdp.n_states} states; got {len(seen)}")
        return seen
    numbers = np.arange(mdp.n_states)
    space = getattr(agent, "observation_space", None)
    if space is None:
        return numbers
    size = getattr(space, "n", None)
    if size is None:
        raise ValueError(f"the agent observes {space}: give observations=, one row for each state of the model")
    if size not in (mdp.n_states, mdp.n_states - 1):
        raise ValueError(f"the agent knows {size} states, the model has {mdp.n_states}; give observations=")
    return np.minimum(numbers, size - 1)  # the end of the table: nothing is decided there


def _with_memory(
    agent: Any, mdp: TabularMDP, observations: Any, stock: StockObservation, max_atoms: int
) -> ReturnDistribution:
    """Forward over the pairs of state and sum of rewards that can occur."""
    if stock.horizon != mdp.horizon:
        raise ValueError(f"the agent counts the time of {stock.horizon} decisions, the model has {mdp.horizon}")
    if mdp.discount != 1:
        raise ValueError("StockObservation sums rewards without discount; audit it on a model without one")
    base = np.arange(mdp.n_states) if observations is None else np.asarray(observations)
    if len(base) != mdp.n_states:
        raise ValueError(f"observations must have a row for each of the {mdp.n_states} states; got {len(base)}")
    allowed = np.array(mdp.mask).reshape(-1, mdp.n_states, mdp.n_actions)
    reward = mdp.reward
    state = np.flatnonzero(mdp.initial)
    mass, earned = mdp.initial[state].copy(), np.zeros(len(state))
    for h in range(mdp.horizon):
        stage = h if mdp.n_stages > 1 else 0
        mask = allowed[stage, state]
        action = mask.argmax(axis=1)
        live = np.flatnonzero(~mdp.terminal[state])
        if len(live):
            action[live] = _actions(agent, stock.encode(base[state[live]], h, earned[live]))
        wrong = ~mask[np.arange(len(state)), action]
        if wrong.any():
            i = int(wrong.argmax())
            raise ValueError(f"state {state[i]}: the agent chooses action {int(action[i])}, which the model forbids")
        row = (stage * mdp.n_states + state) * mdp.n_actions + action
        count = mdp.indptr[row + 1] - mdp.indptr[row]
        ends = np.cumsum(count)
        take = np.repeat(mdp.indptr[row] - ends + count, count) + np.arange(ends[-1])
        mass = np.repeat(mass, count) * mdp.prob[take]
        earned = np.repeat(earned, count) + reward[take]
        state, earned, mass = _merged(mdp.next_state[take].astype(np.int64), earned, mass)
        if len(state) > max_atoms:
            raise ValueError(f"more than max_atoms = {max_atoms} pairs of state and sum of rewards; raise max_atoms")
    _, atoms, weights = _merged(np.zeros(len(state), np.int64), earned, mass)
    return ReturnDistribution(atoms, weights / weights.sum(), method="exact, agent with memory")


def _merged(state: np.ndarray, earned: np.ndarray, mass: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Equal pairs as one; sums that differ by rounding are equal."""
    key = np.round(earned, 9) + 0.0
    pairs, inverse = np.unique(np.column_stack([state, key]), axis=0, return_inverse=True)
    total = np.bincount(inverse.ravel(), weights=mass)
    return pairs[:, 0].astype(np.int64), pairs[:, 1], total
