"""Q-learning, the baseline: no model, no promise."""

from __future__ import annotations

import numpy as np

from ...core.randomness import Seed
from . import _kernels as kernels
from .base import LearningResult, TabularLearner
from .world import World

__all__ = ["QLearning"]


class QLearning(TabularLearner):
    """Q-learning with a value for each stage, and the rate (H + 1) / (H + n) of Jin et al. (2018).

    Parameters
    ----------
    exploration : probability of an action at random
    initial_value : first values; high ones make the learner try everything. By default the largest reward of the table times
        the decisions left, or 0 where there is no table
    horizon, discount : of the problem; read from the environment where it has them
    rng : generator or seed

    Raises
    ------
    ValueError
        a parameter outside its range

    Examples
    --------
    >>> from ailys.mdp import TabularMDP
    >>> flip = TabularMDP.from_outcomes([[[(1, 0, 0.4)], [(0.7, 0, 1), (0.3, 0, 0)]]], horizon=2)
    >>> QLearning(rng=0).fit(flip, 5000).policy_.ravel().tolist()
    [1, 1]
    """

    def __init__(
        self,
        exploration: float = 0.1,
        initial_value: float | None = None,
        *,
        horizon: int | None = None,
        discount: float | None = None,
        rng: Seed = None,
    ) -> None:
        super().__init__(horizon=horizon, discount=discount, rng=rng)
        if not 0 <= exploration <= 1:
            raise ValueError(f"exploration must lie in [0, 1]; got {exploration!r}")
        if initial_value is not None and not np.isfinite(initial_value):
            raise ValueError(f"initial_value must be a finite number; got {initial_value!r}")
        self.exploration, self.initial_value = float(exploration), initial_value

    def _start(self, world: World) -> None:
        top = (world.reward_range or (0.0, 0.0))[1]
        left = np.arange(world.horizon, 0, -1.0)
        first = left * max(top, 0.0) if self.initial_value is None else np.full(world.horizon, self.initial_value)
        self._q = np.repeat(first, world.n_states * world.n_actions).reshape(world.shape)
        self._visits = np.zeros(world.shape, np.int64)
        self._allowed = world.allowed

    def _learn(self, n_episodes: int) -> None:
        world = self._fitted()
        for _ in range(n_episodes):
            if self._best is not None:
                self._lost(1, self.policy_)
            self._episode(world)
            self.n_episodes_ += 1

    def _episode(self, world: World) -> None:
        if world.env is None:
            assert world.mdp is not None
            kernels.q_episode(  # type: ignore[call-arg]
                *world.table, world.mdp.terminal, world.mdp.initial, self._allowed, world.changing, world.discount,
                self.exploration, self._q, self._visits, self._generator,
            )  # fmt: skip
            return
        state = self._reset(world.env)
        for h in range(world.horizon):
            allowed = self._allowed[h if len(self._allowed) > 1 else 0, state]
            action = int(kernels.explore(self._q[h, state], allowed, self.exploration, self._generator))
            observation, reward, terminated, truncated, _ = world.env.step(action)
            following = -1 if terminated else int(observation)
            kernels.td_update(
                self._q, self._visits, h, state, action, following, float(reward), world.discount, self._allowed
            )
            state = int(observation)
            if terminated or truncated:
                break

    @property
    def q_(self) -> np.ndarray:
        """(H, S, A) learned values."""
        self._fitted()
        return self._q.copy()

    @property
    def policy_(self) -> np.ndarray:
        """(H, S) the greedy policy."""
        self._fitted()
        return np.where(self._allowed, self._q, -np.inf).argmax(axis=2)

    @property
    def value_(self) -> np.ndarray:
        """(S,) learned values of the first stage; nothing is proved about them."""
        self._fitted()
        return np.where(self._allowed[0], self._q[0], -np.inf).max(axis=1)

    def recommend(self) -> LearningResult:
        """The greedy policy, without guarantee."""
        self._fitted()
        return LearningResult(
            "Q-learning", self.policy_, self.n_episodes_, None, None, None, None, False, self._regret_or_none(),
            np.empty((0, 3)), None,
        )  # fmt: skip
