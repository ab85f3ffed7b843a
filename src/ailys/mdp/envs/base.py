"""What the environments share: counting decisions, refusing what cannot be played, a table of their law."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from ..model import TabularMDP

__all__ = ["TableEnv", "number", "whole"]


class TableEnv(gymnasium.Env):
    """A Gymnasium environment that ends after ``horizon`` decisions and knows its own law.

    A subclass draws with ``self.np_random`` in `_step` and writes the same law as a table in `to_mdp`;
    neither is made from the other, so that each can be checked against the other.
    """

    action_space: spaces.Discrete
    horizon: int
    stage: int = -1  # number of decisions taken; -1 before the first reset and after the end

    @abstractmethod
    def to_mdp(self) -> TabularMDP:
        """The exact law of the environment."""

    @abstractmethod
    def _begin(self) -> Any:
        """The first observation of an episode."""

    @abstractmethod
    def _step(self, action: int) -> tuple[Any, float, bool]:
        """Observation, reward, and whether the episode has ended by itself."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; returns the observation and an empty dictionary."""
        super().reset(seed=seed)
        self.stage = 0
        return self._begin(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Observation, reward, terminated, truncated (the horizon has come), and an empty dictionary."""
        if self.stage < 0:
            raise gymnasium.error.ResetNeeded("the episode has ended, or not begun; call reset() first")
        if not self.action_space.contains(action):
            raise ValueError(f"action must be a whole number in 0..{int(self.action_space.n) - 1}; got {action!r}")
        observation, reward, terminated = self._step(int(action))
        self.stage += 1
        truncated = not terminated and self.stage == self.horizon
        if terminated or truncated:
            self.stage = -1
        return observation, float(reward), terminated, truncated, {}


def whole(value: Any, name: str, low: int = 1) -> int:
    """A whole number of at least ``low``, or a sentence that says so."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or value < low:
        raise ValueError(f"{name} must be a whole number >= {low}; got {value!r}")
    return int(value)


def number(value: Any, name: str, low: float = -np.inf, high: float = np.inf) -> float:
    """A finite number in [low, high], or a sentence that says so."""
    try:
        value = float(value)
    except (TypeError, ValueError):
        value = np.nan
    if not (np.isfinite(value) and low <= value <= high):
        where = f" in [{low:g}, {high:g}]" if np.isfinite(high) else f" >= {low:g}" if np.isfinite(low) else ""
        raise ValueError(f"{name} must be a finite number{where}; got {value!r}")
    return value
