"""What the learners share: fitting in a table or an environment, regret where the law is known, the answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from ...core.answer import Answer
from ...core.guarantee import Guarantee
from ...core.randomness import Seed, as_generator
from ..model import TabularMDP
from . import _kernels as kernels
from .world import World, as_world

__all__ = ["LearningResult", "ModelLearner", "TabularLearner"]

_MOST_OUTCOMES = 4096  # of one row


@dataclass(frozen=True)
class LearningResult(Answer):
    """What a learner recommends after its episodes.

    Attributes
    ----------
    learner : its name
    policy : (H, S) action of each stage and state
    episodes : played so far
    lower, upper : bounds of the value of ``policy`` and of the best policy at the start; None where none is proved
    epsilon, delta : asked for; None for learners that do not stop by themselves
    reached : whether ``upper - lower <= epsilon``
    regret : (episodes,) cumulative regret, or None if the law is unknown
    history : (k, 3) episodes, lower and upper bounds along the run
    """

    learner: str
    policy: np.ndarray
    episodes: int
    lower: float | None
    upper: float | None
    epsilon: float | None
    delta: float | None
    reached: bool
    regret: np.ndarray | None
    history: np.ndarray
    proof: Guarantee | None = field(repr=False)

    @property
    def guarantee(self) -> Guarantee | None:
        """What is proved about the policy or about the best value."""
        return self.proof

    def facts(self) -> Mapping[str, Any]:
        """Episodes, bounds and regret."""
        facts: dict[str, Any] = {"learner": self.learner, "episodes": self.episodes}
        if self.upper is not None:
            facts["best_value_at_most"] = self.upper
        if self.lower is not None and self.upper is not None:
            facts |= {
                "value_of_the_policy_at_least": self.lower,
                "gap": self.upper - self.lower,
                "epsilon": self.epsilon,
            }
            facts["reached"] = self.reached
        if self.regret is not None:
            facts["regret"] = float(self.regret[-1]) if len(self.regret) else 0.0
        return {**facts, "policy": self.policy.tolist()}

    def plot(self, ax: Any = None) -> Any:
        """The bounds along the episodes, or the regret where there are none; returns the axes."""
        from ...core.figures import PALETTE, new_axes

        ax = new_axes(ax, figsize=(6, 3.5))
        if len(self.history) and np.isfinite(self.history[:, 1]).any():
            n, low, high = self.history.T
            ax.fill_between(n, low, high, color=PALETTE[0], alpha=0.25, linewidth=0, label="the best value lies here")
            ax.plot(n, low, color=PALETTE[2], label="the policy reaches at least this")
            ax.set(xscale="log", ylabel="average return")
            ax.legend()
        elif self.regret is not None:
            ax.plot(np.arange(1, len(self.regret) + 1), self.regret, color=PALETTE[0])
            ax.set(ylabel="cumulative regret")
        elif len(self.history):
            ax.plot(self.history[:, 0], self.history[:, 2], color=PALETTE[0])
            ax.set(ylabel="the best value is at most")
        ax.set(xlabel="episodes", title=self.learner)
        return ax


class TabularLearner(ABC):
    """Base of the learners: ``fit`` starts anew, ``partial_fit`` goes on.

    After fitting: ``policy_`` (H, S), ``value_`` (S,) its value at the first stage by the learner's own account,
    ``n_episodes_``, and ``regret_`` (episodes,) if the law is known: an environment that is a table or has one
    (``to_mdp``, ``P``), or ``mdp=``. The learner itself never looks at the law, except for what the class says
    it is told beforehand.
    """

    exploration: float = 0.0

    def __init__(self, *, horizon: int | None = None, discount: float | None = None, rng: Seed = None) -> None:
        if horizon is not None and (
            isinstance(horizon, bool) or not isinstance(horizon, (int, np.integer)) or horizon < 1
        ):
            raise ValueError(f"horizon must be a whole number >= 1; got {horizon!r}")
        if discount is not None and not 0 < discount <= 1:
            raise ValueError(f"discount must lie in (0, 1]; got {discount!r}")
        self.horizon, self.discount, self.rng = horizon, discount, rng
        self._world: World | None = None

    # ------------------------------------------------------------------ fitting

    def fit(self, env: Any, n_episodes: int, *, mdp: TabularMDP | None = None) -> Self:
        """Forget everything and play ``n_episodes`` (less if the learner stops by itself).

        Parameters
        ----------
        env : TabularMDP (episodes are drawn by compiled code), or a Gymnasium environment with Discrete spaces
        n_episodes : whole number >= 1
        mdp : law of the environment, for ``regret_``; found by itself where the environment has a table

        Raises
        ------
        TypeError
            neither a table nor an environment with Discrete spaces
        ValueError
            ``n_episodes`` < 1, an unknown horizon, a reward outside the range that was promised, or more outcomes
            than were promised
        """
        self._world = None
        return self.partial_fit(env, n_episodes, mdp=mdp)

    def partial_fit(self, env: Any, n_episodes: int, *, mdp: TabularMDP | None = None) -> Self:
        """Play more episodes in the same environment.

        Raises
        ------
        ValueError
            as for `fit`, or a problem of another shape than before
        """
        if isinstance(n_episodes, bool) or not isinstance(n_episodes, (int, np.integer)) or n_episodes < 1:
            raise ValueError(f"n_episodes must be a whole number >= 1; got {n_episodes!r}")
        if self._world is not None and env is (self._world.mdp if self._world.env is None else self._world.env):
            world = self._world  # as before: nothing to read again
        else:
            world = as_world(env, self.horizon, self.discount, mdp)
        if self._world is None:
            self._generator = as_generator(self.rng)
            self.n_episodes_ = 0
            self._regret: list[tuple[int, float]] = []
            self._best = self._best_value(world)
            self._fresh = True
            self._start(world)
        elif world.shape != self._world.shape:
            raise ValueError(
                f"partial_fit got a problem of shape (H, S, A) = {world.shape}; it was {self._world.shape}"
            )
        self._world = world
        self._learn(int(n_episodes))
        return self

    @abstractmethod
    def _start(self, world: World) -> None:
        """Make the tables of a new run."""

    @abstractmethod
    def _learn(self, n_episodes: int) -> None:
        """Play."""

    @abstractmethod
    def recommend(self) -> LearningResult:
        """The policy with its guarantee."""

    @property
    def guarantee(self) -> Guarantee | None:
        """What is proved about the recommendation."""
        return self.recommend().guarantee

    # ------------------------------------------------------------------ regret

    @property
    def regret_(self) -> np.ndarray:
        """(episodes,) cumulative regret against the best policy for the average return.

        Raises
        ------
        ValueError
            nothing was fitted yet, or the law of the environment is not known
        """
        self._fitted()
        if self._best is None:
            raise ValueError("the regret needs the law of the environment: pass mdp= to fit")
        lengths, gaps = np.array(self._regret, dtype=float).reshape(-1, 2).T
        return np.cumsum(np.repeat(gaps, lengths.astype(int)))

    def _regret_or_none(self) -> np.ndarray | None:
        return None if self._best is None else self.regret_

    def _best_value(self, world: World) -> float | None:
        return None if world.mdp is None else self._exact(world, np.empty((0, 0), np.int64), 0.0)

    def _exact(self, world: World, policy: np.ndarray, exploration: float) -> float:
        """Value of a policy on the first state's law (best policy: an empty array)."""
        assert world.mdp is not None
        out = np.zeros(world.n_states)
        kernels.exact_value(
            *world.table, world.allowed, world.shape, world.changing, world.discount, policy, exploration, out
        )
        return float(world.mdp.initial @ out)

    def _lost(self, episodes: int, policy: np.ndarray) -> None:
        """Note the regret of some episodes with one policy."""
        if self._best is not None and self._world is not None:
            gap = self._best - self._exact(self._world, policy, self.exploration)
            self._regret.append((episodes, max(gap, 0.0)))

    def _fitted(self) -> World:
        if self._world is None:
            raise ValueError(f"this {type(self).__name__} has not been fitted; call fit(env, n_episodes) first")
        return self._world

    def _reset(self, env: Any) -> int:
        """The first state of an episode of a Gymnasium environment; seeded once."""
        if self._fresh:
            self._fresh = False
            return int(env.reset(seed=int(self._generator.integers(2**31)))[0])
        return int(env.reset()[0])


class ModelLearner(TabularLearner):
    """Base of the learners that count outcomes, and plan again when a count has grown.

    Parameters
    ----------
    delta : probability with which the guarantee may fail
    reward_range : smallest and largest possible reward; read from the table where there is one
    return_range : bounds of the rewards still to come at any stage, if more is known than ``reward_range``
        tells
    stationary : promise that the law does not change with the stage: visits at all stages are counted
        together. False is always right, and slower by a factor of up to H
    replan : plan again when a row has been visited this much more often (0.1: by a tenth) than at the last
        plan; 0 plans after each episode
    horizon, discount : of the problem; read from the environment where it has them
    rng : generator or seed

    Raises
    ------
    ValueError
        a parameter outside its range
    """

    def __init__(
        self,
        *,
        delta: float = 0.1,
        reward_range: tuple[float, float] | None = None,
        return_range: tuple[float, float] | None = None,
        stationary: bool = False,
        replan: float = 0.1,
        horizon: int | None = None,
        discount: float | None = None,
        rng: Seed = None,
    ) -> None:
        super().__init__(horizon=horizon, discount=discount, rng=rng)
        if not 0 < delta < 1:
            raise ValueError(f"delta must lie in (0, 1); got {delta!r}")
        if not 0 <= replan < np.inf:
            raise ValueError(f"replan must be a number >= 0; got {replan!r}")
        for name, bounds in (("reward_range", reward_range), ("return_range", return_range)):
            if bounds is not None and not (len(bounds) == 2 and np.isfinite(bounds).all() and bounds[0] <= bounds[1]):
                raise ValueError(f"{name} must be two finite numbers, the smaller one first; got {bounds!r}")
        self.delta, self.replan, self.stationary = float(delta), float(replan), bool(stationary)
        self.reward_range, self.return_range = reward_range, return_range

    @property
    def policy_(self) -> np.ndarray:
        """(H, S) the recommended policy."""
        self._fitted()
        return self._policy.copy()

    # ------------------------------------------------------------------ what is known and what was seen

    def _start(self, world: World) -> None:
        if self.stationary and world.changing:
            raise ValueError("the table changes with the stage; stationary=True would be a false promise")
        bounds = self.reward_range or world.reward_range
        if bounds is None:
            raise ValueError("reward_range=(lowest, highest) is needed: the environment has no table to read it from")
        known = world.reward_range
        if world.env is None and known is not None and not bounds[0] <= known[0] <= known[1] <= bounds[1]:
            raise ValueError(f"the table has rewards in [{known[0]:g}, {known[1]:g}], outside reward_range = {bounds}")
        self._rewards = (float(bounds[0]), float(bounds[1]))
        H, S, A = world.shape
        self._cap, self._floor = np.zeros(H), np.zeros(H)
        high = low = 0.0
        for h in range(H - 1, -1, -1):  # an episode may end early: what is to come may be 0
            high = self._rewards[1] + world.discount * max(0.0, high)
            low = self._rewards[0] + world.discount * min(0.0, low)
            if self.return_range is not None:
                low, high = max(low, self.return_range[0]), min(high, self.return_range[1])
            self._cap[h], self._floor[h] = high, low
        rows = S * A if self.stationary else H * S * A
        slots = world.widest_row if world.env is None else 4
        self._next_seen: np.ndarray = np.full((rows, slots), -1, np.int64)
        self._reward_seen: np.ndarray = np.zeros((rows, slots))
        self._count: np.ndarray = np.zeros((rows, slots), np.int64)
        self._slots = np.zeros(rows, np.int64)
        self._visits = np.zeros(rows, np.int64)
        self._planned = np.full(rows, -1, np.int64)
        self._starts = np.zeros(S, np.int64)
        self._policy = np.zeros((H, S), np.int64)  # what is recommended
        self._played = self._policy  # what is played; learners that recommend something else have a table of their own
        self._history: list[tuple[float, float, float]] = []

    @property
    def _seen(self) -> tuple[np.ndarray, ...]:
        return self._next_seen, self._reward_seen, self._count, self._slots, self._visits

    def _record(self, row: int, following: int, reward: float) -> None:
        reward += 0.0  # -0.0 is 0.0
        if not self._rewards[0] <= reward <= self._rewards[1]:
            raise ValueError(
                f"{self._place(row)} gave the reward {reward:g}, outside reward_range = {self._rewards}; give the right range"
            )
        if not kernels.record(*self._seen, row, following, reward):  # type: ignore[call-arg]
            wider = self._next_seen.shape[1]
            if wider >= _MOST_OUTCOMES:
                raise ValueError(
                    f"{self._place(row)} gave more than {wider} different outcomes; rewards that never repeat have to be rounded first"
                )
            self._next_seen = np.pad(self._next_seen, ((0, 0), (0, wider)), constant_values=-1)
            self._reward_seen, self._count = (
                np.pad(array, ((0, 0), (0, wider))) for array in (self._reward_seen, self._count)
            )
            kernels.record(*self._seen, row, following, reward)  # type: ignore[call-arg]

    def _place(self, row: int) -> str:
        """The row in words."""
        _, S, A = self._fitted().shape
        stage, pair = divmod(row, S * A)
        where = "" if self.stationary else f"stage {stage}, "
        return f"{where}state {pair // A}, action {pair % A}"

    # ------------------------------------------------------------------ the loop

    @abstractmethod
    def _plan(self) -> None:
        """Write ``self._policy`` and ``self._played`` from what was seen, and a line of history."""

    def _done(self) -> bool:
        """Whether the learner has what it was asked for."""
        return False

    def _learn(self, n_episodes: int) -> None:
        left = n_episodes
        self._plan_now()
        while left and not self._done():
            played = self._play_table(left) if self._fitted().env is None else self._play_environment(left)
            self.n_episodes_ += played
            left -= played
            self._lost(played, self._played)
            self._plan_now()

    def _plan_now(self) -> None:
        if not np.array_equal(self._planned, self._visits):
            self._plan()
            self._planned[:] = self._visits

    def _play_table(self, n_max: int) -> int:
        world = self._fitted()
        assert world.mdp is not None
        return int(
            kernels.play(  # type: ignore[call-arg]
                *world.table, world.mdp.terminal, world.mdp.initial, world.shape, world.changing, self._played, self.stationary,
                *self._seen, self._planned, self._starts, self.replan, n_max, self._generator,
            )
        )  # fmt: skip

    def _play_environment(self, n_max: int) -> int:
        world = self._fitted()
        H, S, A = world.shape
        for episode in range(n_max):
            state, news = self._reset(world.env), False
            self._starts[state] += 1
            for h in range(H):
                action = int(self._played[h, state])
                observation, reward, terminated, truncated, _ = world.env.step(action)
                row = state * A + action if self.stationary else (h * S + state) * A + action
                self._record(row, -1 if terminated else int(observation), float(reward))
                news = news or bool(self._visits[row] > (1 + self.replan) * self._planned[row])
                state = int(observation)
                if truncated and not terminated and h + 1 < H:
                    raise ValueError(f"the environment cut an episode after {h + 1} decisions; give horizon={h + 1}")
                if terminated:
                    break
            if news:
                return episode + 1
        return n_max
