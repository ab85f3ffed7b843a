"""Sampled returns with the band of Dvoretzky, Kiefer and Wolfowitz around their empirical law."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.answer import Answer
from ..core.guarantee import Guarantee
from ..core.randomness import Seed, as_generator
from .augmented import AugmentedPolicy
from .model import TabularMDP
from .policies import check_policy
from .returns import ReturnDistribution

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes

__all__ = ["SimulatedReturns", "simulate"]

_MOST = 10**8
_TAIL = 1e-9  # what the steps left out of an endless process may add, relative


@dataclass(frozen=True, eq=False)
class SimulatedReturns(Answer):
    """Sampled returns; with probability ``level`` the true distribution function is within ``band`` of theirs.

    Episodes of an endless process are cut off; what is left out changes a return by at most ``tail``, and the
    distribution function is that of what was played.
    """

    returns: np.ndarray = field(repr=False)
    band: float
    level: float
    tail: float = 0.0

    @property
    def distribution(self) -> ReturnDistribution:
        """The empirical law."""
        values, counts = np.unique(self.returns, return_counts=True)
        return ReturnDistribution(values, counts / counts.sum(), w1_error=math.inf, method="simulated")

    @property
    def guarantee(self) -> Guarantee:
        """The band."""
        text = (
            f"with probability at least {self.level:g} the true distribution function is within {self.band:.3g} "
            "of the sampled one, everywhere"
        )
        if self.tail:
            text += f"; episodes are cut off where at most {self.tail:.2g} of the return is still to come"
        return Guarantee("coverage", text, self.level, {"band": self.band}, source="Massart 1990")

    def facts(self) -> Mapping[str, Any]:
        """Mean and tail of the sample."""
        law = self.distribution
        return {
            "episodes": len(self.returns),
            "mean": law.mean,
            "std": law.std,
            "CVaR_0.1": law.cvar(0.1),
            "band": self.band,
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """The empirical law."""
        return self.distribution.plot(ax)


def simulate(mdp: TabularMDP, policy: Any, n: int, rng: Seed = None, *, level: float = 0.95) -> SimulatedReturns:
    """Play ``n`` episodes at once.

    Parameters
    ----------
    policy : a policy of the model, or an `AugmentedPolicy`
    n : number of episodes
    level : probability with which the band holds

    Raises
    ------
    ValueError
        ``n`` or ``level`` outside its range, a policy that does not fit, or an endless undiscounted process

    Examples
    --------
    >>> coin = TabularMDP.from_outcomes([[[(0.5, 0, 1), (0.5, 0, 0)]]], horizon=10)
    >>> sample = simulate(coin, [0], 1000, rng=0)
    >>> bool(abs(sample.returns.mean() - 5) < 0.2), round(sample.band, 3)
    (True, 0.043)
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise ValueError(f"n must be a whole number of episodes >= 1; got {n!r}")
    if n > _MOST:
        raise ValueError(f"at most {_MOST} episodes are played at once; got {n}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie strictly between 0 and 1; got {level!r}")
    if mdp.criterion == "total":
        raise ValueError("episodes without a horizon are not simulated; give one with replace(horizon=...)")
    rng = as_generator(rng)
    policy = getattr(policy, "policy", policy)
    augmented = policy if isinstance(policy, AugmentedPolicy) else None
    table = None if augmented else check_policy(mdp, policy)
    H = mdp.horizon or max(1, math.ceil(math.log(_TAIL) / math.log(mdp.discount)))
    if augmented is not None and augmented.table.shape[:2] != (H, mdp.n_states):
        raise ValueError(
            f"the policy was made for {augmented.table.shape[0]} decisions and {augmented.table.shape[1]} states; "
            f"the model has {H} and {mdp.n_states}"
        )
    S, A, reward = mdp.n_states, mdp.n_actions, mdp.reward
    cumulative = np.concatenate([[0.0], np.cumsum(mdp.prob)])
    state = rng.choice(S, size=n, p=mdp.initial)
    total, counted, factor = np.zeros(n), np.zeros(n, np.int64), 1.0
    for h in range(H):
        if augmented is not None:
            column = np.clip(augmented.target - counted - augmented.low, 0, augmented.table.shape[2] - 1)
            action = augmented.table[h, state, column].astype(np.int64)
        else:
            action = _actions(table, h, state, rng)
        row = ((h if mdp.n_stages > 1 else 0) * S + state) * A + action
        low, high = mdp.indptr[row], mdp.indptr[row + 1]
        level_in_row = cumulative[low] + rng.random(n) * (cumulative[high] - cumulative[low])
        at = np.clip(np.searchsorted(cumulative, level_in_row, side="right") - 1, low, high - 1)
        total += factor * reward[at]
        if augmented is not None:
            counted += augmented.count(reward[at])
        state = mdp.next_state[at].astype(np.int64)
        factor *= mdp.discount
    tail = 0.0 if mdp.horizon else factor * float(np.abs(reward).max()) / (1 - mdp.discount)
    return SimulatedReturns(total, math.sqrt(math.log(2 / (1 - level)) / (2 * n)), level, tail)


def _actions(table: np.ndarray | None, h: int, state: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    assert table is not None
    stationary = table.ndim == (2 if table.dtype.kind == "f" else 1)
    now = table if stationary else table[h]
    if table.dtype.kind != "f":
        return now[state].astype(np.int64)
    levels = np.cumsum(now[state], axis=1)
    return np.minimum((rng.random(len(state))[:, None] >= levels / levels[:, -1:]).sum(axis=1), now.shape[1] - 1)
