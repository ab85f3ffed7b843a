"""Optimistic value iteration (Azar, Osband, Munos 2017), with a bonus that is proved at all times."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...core.guarantee import Guarantee
from . import _kernels as kernels
from .base import LearningResult, ModelLearner
from .world import World

__all__ = ["UCBVI"]


class UCBVI(ModelLearner):
    """Plan on the empirical model with a bonus for what was seen seldom, and act on the plan.

    The bonus of a row visited n times, at stage h, is ``c w_h sqrt(ln(S A H n (n + 1) / delta) / (2 n))``, where
    ``w_h`` is the width of the interval in which the rewards still to come must lie. For c >= 1 the planned values
    are upper bounds of the best ones, at all times together, with probability at least 1 - delta.

    Parameters
    ----------
    c : factor of the bonus; below 1 the learner is greedier and nothing is proved
    options : those of `ModelLearner`: delta, reward_range, return_range, stationary, replan, horizon, discount, rng

    Raises
    ------
    ValueError
        a parameter outside its range

    Examples
    --------
    >>> from ailys.mdp import TabularMDP
    >>> flip = TabularMDP.from_outcomes([[[(1, 0, 0.4)], [(0.8, 0, 1), (0.2, 0, 0)]]], horizon=2)
    >>> learner = UCBVI(stationary=True, rng=0).fit(flip, 5000)
    >>> learner.policy_.ravel().tolist(), bool(learner.value_[0] >= 1.6)
    ([1, 1], True)
    """

    def __init__(self, c: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        if not 0 <= c < math.inf:
            raise ValueError(f"c must be a number >= 0; got {c!r}")
        self.c = float(c)

    def _start(self, world: World) -> None:
        super()._start(world)
        H, S, _ = world.shape
        self._upper = np.zeros((H + 1, S))

    def _plan(self) -> None:
        world = self._fitted()
        log_rows = math.log(math.prod(world.shape) / self.delta)
        kernels.plan_optimistic(  # type: ignore[call-arg]
            *self._seen, world.allowed, world.shape, self.stationary, world.discount, self._cap, self._floor, self.c, log_rows,
            self._upper, self._policy,
        )  # fmt: skip
        if self.n_episodes_:
            self._history.append((self.n_episodes_, -math.inf, self._at_start()))

    def _at_start(self) -> float:
        """The planned value on the known law of the first state, or the largest one."""
        world = self._fitted()
        return float(world.mdp.initial @ self._upper[0] if world.mdp is not None else self._upper[0].max())

    @property
    def value_(self) -> np.ndarray:
        """(S,) planned values of the first stage: upper bounds for c >= 1."""
        self._fitted()
        return self._upper[0].copy()

    def recommend(self) -> LearningResult:
        """The greedy policy; for c >= 1 the upper bound of what anybody reaches comes with its guarantee."""
        self._fitted()
        upper = self._at_start()
        proof = None
        if self.c >= 1:
            proof = Guarantee(
                "upper-bound",
                f"no policy returns more than {upper:.6g} on average, with probability at least {1 - self.delta:g} over the episodes",
                level=upper,
                values={"delta": self.delta, "upper": upper, "episodes": self.n_episodes_},
                assumptions=self._assumptions(),
                source="Azar, Osband, Munos 2017 for the method; docs, mdp-learning, section 'What is guaranteed'",
            )
        history = np.array(self._history).reshape(-1, 3)
        return LearningResult(
            f"UCBVI, c = {self.c:g}", self.policy_, self.n_episodes_, None, upper, None, self.delta, False,
            self._regret_or_none(), history, proof,
        )  # fmt: skip

    def _assumptions(self) -> tuple[str, ...]:
        same = (
            "the law of an action in a state is the same at all stages"
            if self.stationary
            else "the law may change with the stage"
        )
        return ("a finite decision process", same, f"rewards in [{self._rewards[0]:g}, {self._rewards[1]:g}]")
