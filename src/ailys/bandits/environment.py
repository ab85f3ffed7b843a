"""Environments: what answers a draw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..core.randomness import Seed, as_generator
from ._reward_kernels import draw_reward
from .families import Family, as_family

__all__ = ["Arms", "Trajectory", "run"]


class Arms:
    """Independent arms with given means; called with an arm it returns a reward.

    The n-th reward of an arm depends on the seed, the arm and n alone, so that different policies meet the same
    rewards. ``keys`` (K,) unsigned 64-bit numbers fix them.

    Raises
    ------
    ValueError
        fewer than two means, or one outside of the range of the family

    Examples
    --------
    >>> world = Arms([0.2, 0.9], rng=0)
    >>> [world(1) for _ in range(5)]
    [1.0, 0.0, 1.0, 1.0, 1.0]
    """

    def __init__(
        self,
        means: Sequence[float] | np.ndarray,
        family: Family | str = "bernoulli",
        rng: Seed = None,
        *,
        keys: Any = None,
    ) -> None:
        self.family = as_family(family)
        self.means = self.family.check_means(means)
        if self.means.ndim != 1 or len(self.means) < 2:
            raise ValueError(f"expected the means of at least two arms; got an array of shape {self.means.shape}")
        self.keys = new_keys(as_generator(rng), len(self.means)) if keys is None else np.asarray(keys, np.uint64)
        self._unit = np.asarray(self.family.to_unit(self.means), float)
        self._drawn = np.zeros(len(self.means), np.int64)

    def __call__(self, action: int, rng: np.random.Generator | None = None) -> float:
        """The next reward of an arm (``rng`` is not needed: the keys decide)."""
        value = draw_reward(
            self.family.code, self._unit[action], self.family.sigma, self.keys[action], self._drawn[action]
        )
        self._drawn[action] += 1
        return float(self.family.from_unit(value))


def new_keys(rng: np.random.Generator, n_arms: int) -> np.ndarray:
    """Keys of the reward streams of the arms."""
    return rng.integers(0, 2**64 - 1, size=n_arms, dtype=np.uint64, endpoint=True)


@dataclass(frozen=True)
class Trajectory:
    """Actions and rewards of one run, in order, and whether the agent stopped by itself."""

    actions: list[Any]
    rewards: np.ndarray
    stopped: bool
    agent: Any = field(repr=False)

    @property
    def n_steps(self) -> int:
        """Number of draws."""
        return len(self.actions)


def run(agent: Any, environment: Callable[..., float] | Any, max_steps: int, *, rng: Seed = None) -> Trajectory:
    """Ask, draw, tell, until the agent stops or ``max_steps`` draws are done.

    Parameters
    ----------
    agent : asks and tells
    environment : called as ``environment(action, rng)`` and returns a reward; or a Gymnasium environment with a
        discrete action space, whose step gives the reward (reset when an episode ends)
    max_steps : number of draws at most
    rng : generator or seed handed to the environment

    Raises
    ------
    ValueError
        max_steps < 1; what the agent's ``tell`` refuses

    Examples
    --------
    >>> from ailys.bandits import UCB
    >>> run(UCB(2, rng=0), lambda action, rng: float(action == 1), 50).agent.recommend().action
    1
    """
    if isinstance(max_steps, bool) or not isinstance(max_steps, (int, np.integer)) or max_steps < 1:
        raise ValueError(f"max_steps must be a whole number >= 1; got {max_steps!r}")
    generator = as_generator(rng)
    draw = environment if not hasattr(environment, "step") else _from_gymnasium(environment, generator)
    actions: list[Any] = []
    rewards: list[float] = []
    stopped = bool(agent.should_stop)
    while not stopped and len(actions) < max_steps:
        action = agent.ask()
        reward = draw(action, generator)
        agent.tell(action, reward)
        actions.append(action)
        rewards.append(reward)
        stopped = bool(agent.should_stop)
    return Trajectory(actions, np.array(rewards), stopped, agent)


def _from_gymnasium(environment: Any, rng: np.random.Generator) -> Callable[..., float]:
    environment.reset(seed=int(rng.integers(2**31)))

    def draw(action: Any, rng: np.random.Generator) -> float:
        _, reward, terminated, truncated, _ = environment.step(action)
        if terminated or truncated:
            environment.reset()
        return float(reward)

    return draw
