"""Observations with what was earned so far and the time that is left."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

__all__ = ["StockObservation"]


class StockObservation(gymnasium.Wrapper):
    """Appends to the observation the sum of the rewards so far, divided by ``scale``, and the share of the time left.

    A policy for the risk of the whole return has to know what was earned (Bäuerle and Ott 2011); one for a finite horizon
    has to know the time. A number of a Discrete space becomes a vector with a single 1.

    Parameters
    ----------
    env : with a Discrete or Box observation space
    horizon : number of decisions; that of the environment when not given
    scale : a typical size of the return, > 0

    Raises
    ------
    TypeError
        the observation space is neither Discrete nor Box
    ValueError
        ``scale`` is not a positive number, or the horizon is unknown

    Examples
    --------
    >>> from ailys.mdp.envs import Cliff
    >>> env = StockObservation(Cliff(2, 3, slip=0.0), scale=100.0)
    >>> _ = env.reset()
    >>> [round(float(x), 2) for x in env.step(0)[0]]
    [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -0.01, 0.98]
    """

    def __init__(self, env: gymnasium.Env, horizon: int | None = None, scale: float = 1.0) -> None:
        super().__init__(env)
        space = env.observation_space
        self.size = int(space.n) if isinstance(space, spaces.Discrete) else int(np.prod(space.shape or (0,)))
        if not isinstance(space, (spaces.Discrete, spaces.Box)):
            raise TypeError(f"the observation space must be Discrete or Box; got {space}")
        if not 0 < scale < np.inf:
            raise ValueError(f"scale must be a finite number > 0; got {scale!r}")
        spec = getattr(env, "spec", None)
        steps = horizon or getattr(env.unwrapped, "horizon", None) or getattr(spec, "max_episode_steps", None)
        if not steps:
            raise ValueError("the horizon is unknown; give horizon=")
        self.horizon, self.scale = int(steps), float(scale)
        self.observation_space = spaces.Box(-np.inf, np.inf, (self.size + 2,), np.float32)
        self._stage, self._earned = 0, 0.0

    def encode(self, observations: Any, stage: int, earned: Any) -> np.ndarray:
        """(n, size + 2) what is seen when ``observations`` come at a stage after ``earned`` (n,)."""
        if isinstance(self.env.observation_space, spaces.Discrete):
            numbers = np.asarray(observations, np.int64) - int(self.env.observation_space.start)
            base = np.zeros((len(numbers), self.size))
            inside = (numbers >= 0) & (numbers < self.size)  # the end of a table need not be a number of the space
            base[np.flatnonzero(inside), numbers[inside]] = 1
        else:
            base = np.asarray(observations, float).reshape(len(observations), self.size)
        more = np.column_stack([np.asarray(earned) / self.scale, np.full(len(base), 1 - stage / self.horizon)])
        return np.concatenate([base, more], axis=1).astype(np.float32)

    def _seen(self, observation: Any) -> np.ndarray:
        return self.encode(np.asarray(observation)[None], self._stage, [self._earned])[0]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._stage, self._earned = 0, 0.0
        return self._seen(observation), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """A step, with the reward counted."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._stage += 1
        self._earned += float(reward)
        return self._seen(observation), reward, terminated, truncated, info
