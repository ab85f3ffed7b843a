"""Best policy identification: play until the policy is good enough, and prove it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...core.guarantee import Guarantee
from . import _kernels as kernels
from .base import LearningResult, ModelLearner
from .world import World

__all__ = ["BPIUCRL"]


class BPIUCRL(ModelLearner):
    """Balls of Kullback-Leibler divergence around what was seen; stop when the values over them are close.

    With probability at least 1 - delta all true laws lie in their balls at all times. On that event the largest value
    over the balls is at least the best value, and the policy that is best for the smallest one reaches at
    least that. Play is greedy for the largest values; it stops when the two differ by at most epsilon at the start.

    Parameters
    ----------
    epsilon : how far from the best the policy may be, in units of the return
    delta : with which probability it may be further
    n_outcomes : bound of the number of different outcomes (next state, reward) of one action in one state; by default
        the number of states, which is right if the reward is determined by state, action and next state; where there
        is a table, at least the size of its widest row
    initial : law of the first state (S,) or one state; by default that of the table, and where there is
        none it is learned as one more row
    options : those of `ModelLearner`: reward_range, return_range, stationary, replan, horizon, discount, rng

    Raises
    ------
    ValueError
        a parameter outside its range

    Attributes
    ----------
    policy_ : (H, S) best for the smallest values over the balls
    lower_, upper_ : (S,) certified values of ``policy_`` and bounds of the best ones, at the first stage
    converged_ : whether the gap at the start is at most epsilon
    gap_ : that gap; ``policy_`` is within it of the best, with probability at least 1 - delta, also before the end

    Examples
    --------
    >>> from ailys.mdp import TabularMDP
    >>> flip = TabularMDP.from_outcomes([[[(1, 0, 0.4)], [(0.7, 0, 1), (0.3, 0, 0)]]], horizon=2)
    >>> learner = BPIUCRL(epsilon=0.2, delta=0.1, stationary=True, rng=0).fit(flip, 20_000)
    >>> learner.converged_, learner.policy_.ravel().tolist()
    (True, [1, 1])
    """

    def __init__(
        self,
        epsilon: float = 0.1,
        delta: float = 0.1,
        *,
        n_outcomes: int | None = None,
        initial: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(delta=delta, **options)
        if not 0 < epsilon < math.inf:
            raise ValueError(f"epsilon must be a number > 0; got {epsilon!r}")
        if n_outcomes is not None and (
            isinstance(n_outcomes, bool) or not isinstance(n_outcomes, (int, np.integer)) or n_outcomes < 1
        ):
            raise ValueError(f"n_outcomes must be a whole number >= 1; got {n_outcomes!r}")
        self.epsilon, self.n_outcomes, self.initial = float(epsilon), n_outcomes, initial

    def _start(self, world: World) -> None:
        super()._start(world)
        H, S, _ = world.shape
        self._most = self.n_outcomes or max(S, world.widest_row)
        self._upper, self._lower = np.zeros((H + 1, S)), np.zeros((H + 1, S))
        self._played = np.zeros((H, S), np.int64)
        self._law = world.mdp.initial if world.mdp is not None and self.initial is None else None
        if self.initial is not None:
            self._law = np.zeros(S)
            if np.ndim(self.initial) == 0:
                if not 0 <= self.initial < S:
                    raise ValueError(f"initial names state {self.initial}, outside 0..{S - 1}")
                self._law[int(self.initial)] = 1.0
            else:
                given = np.asarray(self.initial, float)
                if len(given) > S or (given < 0).any() or not abs(given.sum() - 1) < 1e-9:
                    raise ValueError(f"initial must be a state, or at most {S} probabilities that sum to 1")
                self._law[: len(given)] = given

    def _plan(self) -> None:
        world = self._fitted()
        if (self._slots > self._most).any():
            row = int((self._slots > self._most).argmax())
            raise ValueError(
                f"{self._place(row)} gave {int(self._slots[row])} different outcomes (next state, reward); n_outcomes = {self._most} "
                "promised fewer. Give the right bound"
            )
        kernels.plan_balls(  # type: ignore[call-arg]
            *self._seen, world.allowed, world.shape, self.stationary, world.discount, self._rewards, self._cap, self._floor,
            self._most, self._log_rows(), self._upper, self._lower, self._played, self._policy,
        )  # fmt: skip
        if self.n_episodes_:
            self._history.append((self.n_episodes_, *self._bounds()))

    def _log_rows(self) -> float:
        """ln of the number of rows, and of the first state's law if it is learned, over delta."""
        return math.log((len(self._visits) + (self._law is None)) / self.delta)

    def _bounds(self) -> tuple[float, float]:
        """Smallest and largest value at the start."""
        upper, lower = self._upper[0], self._lower[0]
        if self._law is not None:
            return float(self._law @ lower), float(self._law @ upper)
        seen = np.flatnonzero(self._starts)
        n = int(self._starts.sum())
        if n == 0:
            return float(lower.min()), float(upper.max())
        p, states = self._starts[seen] / n, len(self._starts)
        kappa = kernels.ball_radius(self._starts[seen], len(seen), n, states, self._log_rows()) / n
        room = len(seen) < states
        high = kernels.ball_maximum(upper[seen], p, len(seen), upper.max() if room else -math.inf, kappa)
        low = -kernels.ball_maximum(-lower[seen], p, len(seen), -lower.min() if room else -math.inf, kappa)
        return float(low), float(high)

    def _done(self) -> bool:
        return self.converged_

    @property
    def gap_(self) -> float:
        """How far from the best ``policy_`` may be, with probability at least 1 - delta."""
        low, high = self._bounds()
        return max(high - low, 0.0)

    @property
    def converged_(self) -> bool:
        """Whether the gap is at most epsilon."""
        self._fitted()
        return self.gap_ <= self.epsilon

    @property
    def lower_(self) -> np.ndarray:
        """(S,) what ``policy_`` returns at least."""
        self._fitted()
        return self._lower[0].copy()

    @property
    def upper_(self) -> np.ndarray:
        """(S,) what the best policy returns at most."""
        self._fitted()
        return self._upper[0].copy()

    @property
    def value_(self) -> np.ndarray:
        """(S,) certified value of ``policy_``: the same as ``lower_``."""
        return self.lower_

    def recommend(self) -> LearningResult:
        """The policy with the bounds of its value: (gap, delta)-correct at any time, (epsilon, delta) when reached."""
        self._fitted()
        low, high = self._bounds()
        gap = max(high - low, 0.0)
        within = self.epsilon if gap <= self.epsilon else gap
        start = ("the law of the first state is known",) if self._law is not None else ()
        same = (
            "the law of an action in a state is the same at all stages"
            if self.stationary
            else "the law may change with the stage"
        )
        proof = Guarantee(
            "delta-correct",
            f"the policy is within {within:.4g} of the best average return, with probability at least {1 - self.delta:g} over the episodes",
            level=1 - self.delta,
            values={"epsilon": within, "delta": self.delta, "gap": gap, "lower": low, "upper": high, "episodes": self.n_episodes_},
            assumptions=(
                "a finite decision process", same, f"rewards in [{self._rewards[0]:g}, {self._rewards[1]:g}]",
                f"at most {self._most} different outcomes of an action in a state", *start,
            ),
            source="after Kaufmann et al. 2021; docs, mdp-learning, section 'What is guaranteed'",
        )  # fmt: skip
        history = np.array(self._history).reshape(-1, 3)
        return LearningResult(
            "BPI-UCRL", self.policy_, self.n_episodes_, low, high, self.epsilon, self.delta, gap <= self.epsilon,
            self._regret_or_none(), history, proof,
        )  # fmt: skip
