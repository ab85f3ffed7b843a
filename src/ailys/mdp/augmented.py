"""Policies that remember what was earned, and the exact optimum of CVaR and of threshold probabilities.

The state is augmented by what is still missing to a target: ``y = eta - sum of rewards`` (Bäuerle and Ott, 2011).
One recursion serves all targets at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import _augmented_kernels as kernels
from . import _law_kernels as laws
from .lattice import check_step, lattice_step, rounded_steps, whole_steps
from .model import TabularMDP
from .policies import policy_dtype
from .returns import ReturnDistribution
from .solve import solve

__all__ = ["AugmentedPolicy", "Lattice"]

_CELLS = 400_000_000  # most entries (time x state x target) of a table of actions


@dataclass(frozen=True, eq=False)
class AugmentedPolicy:
    """A policy that looks at time, state and the sum ``c`` of the rewards so far.

    ``table`` (H, S, n) holds the action for each value of ``target - c``, from ``low`` on, in units of ``step``. With
    ``rounded`` the sum is that of the rewards rounded down to the lattice, one by one.

    Examples
    --------
    >>> from ailys.mdp import optimize_threshold
    >>> mdp = TabularMDP.from_outcomes([[[(1, 0, 0.2)], [(0.5, 0, 1.0), (0.5, 0, -0.5)]]], horizon=2)
    >>> policy = optimize_threshold(mdp, 0.7, "exact").policy
    >>> policy.act(1, 0, 1.0), policy.act(1, 0, 0.2)  # enough was earned: the sure reward; not yet: the other one
    (0, 1)
    """

    table: np.ndarray = field(repr=False)
    target: int
    low: int
    step: float
    rounded: bool = False

    def act(self, h: int, s: int, c: float) -> int:
        """The action at time h in state s when ``c`` was earned so far.

        Raises
        ------
        ValueError
            time or state outside the table
        """
        H, S, n = self.table.shape
        if not (0 <= h < H and 0 <= s < S):
            raise ValueError(f"time and state must lie in 0..{H - 1} and 0..{S - 1}; got {h} and {s}")
        earned = c / self.step
        whole = math.floor(earned + 1e-9) if self.rounded else round(earned)
        return int(self.table[h, s, min(max(self.target - whole - self.low, 0), n - 1)])

    def count(self, reward: np.ndarray) -> np.ndarray:
        """Rewards in steps, as the policy counts them."""
        reward = np.asarray(reward, dtype=float)
        return rounded_steps(reward, self.step, True) if self.rounded else np.rint(reward / self.step).astype(np.int64)


class Lattice:
    """A model whose rewards are counted in whole steps, and the recursions on it.

    Parameters
    ----------
    mdp : model with a horizon and without discount
    step : step of the lattice; found when not given
    rounding : "none" (rewards must be on the lattice), "down" or "up"
    """

    def __init__(self, mdp: TabularMDP, step: float | None = None, rounding: str = "none") -> None:
        if mdp.horizon is None or mdp.discount < 1:
            raise ValueError(
                "tail risks are optimised for models with a horizon and without discount; build the model with horizon= and discount=1"
            )
        self.mdp = mdp
        reward = mdp.reward
        if step is None:
            step = lattice_step(reward)
            if step is None:
                raise ValueError("the rewards have no common step: use method 'bracket', or 'front'")
        self.step = step = check_step(step)
        self.rounded = rounding != "none"
        if rounding == "none":
            self.steps = whole_steps(reward, step)
        else:
            self.steps = rounded_steps(reward, step, rounding == "down")
        self.H, self.S, self.A = mdp.horizon, mdp.n_states, mdp.n_actions
        low, high = laws.return_range(
            mdp.indptr, mdp.next_state, self.steps.astype(float), False, self.S, self.A, mdp.n_stages, self.H, 1.0
        )
        self.low, self.high = int(low.min()) - 1, int(high.max()) + 1
        start = mdp.initial > 0
        self.first, self.last = int(low[0, start].min()), int(high[0, start].max())
        self.n = self.high - self.low + 1
        if self.n * self.S > _CELLS:
            raise ValueError(
                f"the returns span {self.n} steps of {self.step:.3g}, too many for a table; use method 'bracket' with a larger step, or 'front'"
            )

    @property
    def cells(self) -> int:
        """Entries of a table of actions."""
        return self.H * self.S * self.n

    def y(self) -> np.ndarray:
        """(n,) what is missing, in steps."""
        return np.arange(self.low, self.high + 1)

    def shortfall(self) -> tuple[np.ndarray, float]:
        """Utility ``-(y)_+`` at the end, in steps, and its slope above the table."""
        return -np.maximum(self.y(), 0).astype(float), 1.0

    def success(self) -> tuple[np.ndarray, float]:
        """Utility ``1{y <= 0}`` at the end: the target is reached."""
        return (self.y() <= 0).astype(float), 0.0

    def plan(self, utility: tuple[np.ndarray, float], record: bool) -> tuple[np.ndarray, np.ndarray]:
        """Best expected utility (n,) from the start for every y, and the actions (H, S, n) if they are recorded."""
        if record and self.cells > _CELLS:
            raise ValueError(
                f"the exact policy needs a table of {self.cells} entries; use method 'bracket' with a larger step, or 'front'"
            )
        neutral = solve(self.mdp).policy  # where the target does not decide, the mean does
        policy = np.empty((self.H, self.S, self.n) if record else (1, 1, 1), policy_dtype(self.A))
        value = kernels.plan(*self._arrays(), self.H, *utility, neutral, policy, record)  # type: ignore[call-arg]
        return self.mdp.initial @ value, policy

    def improve(self, utility: tuple[np.ndarray, float], policies: np.ndarray) -> np.ndarray:
        """Actions (H, S, n) of generalised policy improvement over policies (M, H, S)."""
        if self.cells > _CELLS:
            raise ValueError(f"the improved policy needs a table of {self.cells} entries; use method 'front'")
        out = np.empty((self.H, self.S, self.n), policy_dtype(self.A))
        kernels.improve(*self._arrays(), self.H, *utility, policies.astype(out.dtype), out)  # type: ignore[call-arg]
        return out

    def policy(self, table: np.ndarray, target: int) -> AugmentedPolicy:
        """A table of actions with its target."""
        return AugmentedPolicy(table, target, self.low, self.step, self.rounded)

    def law(self, policy: AugmentedPolicy) -> ReturnDistribution:
        """Exact law of the return of an augmented policy, rewards as this lattice counts them."""
        mdp = self.mdp
        least, most = laws.reachable_sums(*self._rows(), self.S, mdp.n_stages, self.H, mdp.initial)  # type: ignore[call-arg]
        joint = kernels.follow(  # type: ignore[call-arg]
            *self._arrays(),
            self.H,
            mdp.initial,
            policy.table,
            policy.target,
            policy.low,
            int(least),
            int(most - least + 1),
        )
        mass = joint.sum(axis=0)
        live = np.flatnonzero(mass)
        weights = mass[live]
        return ReturnDistribution((least + live) * self.step, weights / weights.sum(), method="exact, augmented")

    def _arrays(self) -> Any:
        mdp = self.mdp
        return mdp.indptr, mdp.next_state, mdp.prob, self.steps, self.S, self.A, mdp.n_stages

    def _rows(self) -> Any:
        """All outcomes of a state as one row: what can happen at all."""
        return np.ascontiguousarray(self.mdp.indptr[:: self.A]), self.mdp.next_state, self.steps

    def cvar_of(self, shortfall: np.ndarray, alpha: float) -> tuple[float, int]:
        """Largest ``eta - shortfall(eta) / alpha`` over the lattice, and its eta in steps."""
        eta = np.arange(self.first, self.last + 1)
        values = eta + shortfall[eta - self.low] / alpha
        k = int(values.argmax())
        return float(values[k]) * self.step, int(eta[k])
