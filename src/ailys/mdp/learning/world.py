"""What a learner plays in: a table, or a Gymnasium environment, seen through the same few numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..model import TabularMDP

__all__ = ["World", "as_world"]


@dataclass(frozen=True)
class World:
    """Sizes, and the law if it is known to the experimenter (the learner draws from it, or is judged by it)."""

    n_states: int  # the last one is the end of an episode where the environment has one
    n_actions: int
    horizon: int
    discount: float
    env: Any  # None: episodes are drawn from the table
    mdp: TabularMDP | None

    @property
    def shape(self) -> tuple[int, int, int]:
        """H, S, A."""
        return self.horizon, self.n_states, self.n_actions

    @property
    def allowed(self) -> np.ndarray:
        """(1 or H, S, A) allowed actions."""
        if self.mdp is None:
            return np.ones((1, self.n_states, self.n_actions), bool)
        return np.array(self.mdp.mask).reshape(-1, self.n_states, self.n_actions)

    @property
    def changing(self) -> bool:
        """Whether the table changes with the stage."""
        return self.mdp is not None and self.mdp.n_stages > 1

    @property
    def table(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The columns of the table."""
        assert self.mdp is not None
        return self.mdp.indptr, self.mdp.next_state, self.mdp.prob, self.mdp.reward

    @property
    def reward_range(self) -> tuple[float, float] | None:
        """Smallest and largest reward of the table."""
        if self.mdp is None:
            return None
        reward = self.mdp.reward
        return (float(reward.min()), float(reward.max())) if len(reward) else (0.0, 0.0)

    @property
    def widest_row(self) -> int:
        """Largest number of outcomes of a row of the table; 1 if there is none."""
        return int(np.diff(self.mdp.indptr).max()) if self.mdp is not None else 1


def as_world(env: Any, horizon: int | None, discount: float | None, mdp: TabularMDP | None) -> World:
    """The sizes of a problem; ValueError or TypeError if it is not a finite one with a horizon."""
    if isinstance(env, TabularMDP):
        if mdp is not None and mdp is not env:
            raise ValueError("the model is the environment here; leave mdp= out")
        steps = env.horizon if horizon is None else horizon
        if steps is None:
            raise ValueError("learning needs a horizon: give horizon=, or a model with one")
        if horizon is not None and env.horizon != horizon and env.n_stages > 1:
            raise ValueError(f"the table changes with time and has horizon {env.horizon}; got horizon={horizon}")
        rate = env.discount if discount is None else discount
        return World(env.n_states, env.n_actions, steps, rate, None, env)
    for name in ("observation_space", "action_space"):
        space: Any = getattr(env, name, None)
        if type(space).__name__ != "Discrete" or space.start != 0:
            raise TypeError(
                f"learning from tables needs a TabularMDP or a Gymnasium environment with Discrete spaces from 0; {name} is {space}"
            )
    if mdp is None:
        mdp = _known_law(env, horizon)
    steps = horizon
    if steps is None:
        spec = getattr(env, "spec", None)
        steps = getattr(env.unwrapped, "horizon", None) or getattr(spec, "max_episode_steps", None)
    if steps is None:
        raise ValueError("learning needs a horizon: give horizon=, or an environment with max_episode_steps")
    n_states, n_actions = int(env.observation_space.n), int(env.action_space.n)
    if mdp is not None:
        if mdp.n_actions != n_actions or mdp.n_states not in (n_states, n_states + 1):
            raise ValueError(
                f"mdp has {mdp.n_states} states and {mdp.n_actions} actions; the environment has {n_states} and {n_actions}"
            )
        return World(mdp.n_states, n_actions, int(steps), mdp.discount if discount is None else discount, env, mdp)
    return World(n_states + 1, n_actions, int(steps), 1.0 if discount is None else discount, env, None)


def _known_law(env: Any, horizon: int | None) -> TabularMDP | None:
    """The environment's own table, if it has one."""
    inner = env.unwrapped
    if hasattr(inner, "to_mdp"):
        return inner.to_mdp()
    if hasattr(inner, "P"):
        steps = horizon or getattr(getattr(env, "spec", None), "max_episode_steps", None)
        return TabularMDP.from_gymnasium(env, horizon=steps) if steps else None
    return None
