"""Nested risk: the same measure applied at every step. A different question, with its own recursion.

``V_h(s) = max_a rho(r + V_{h+1})`` is time-consistent, but its value is not the risk of the return, and the policy that
it picks may be poor for that risk. It is here for comparison. Only for the entropic risk do the two agree.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.answer import Answer
from .evaluate import evaluate
from .model import TabularMDP
from .policies import policy_dtype
from .returns import ReturnDistribution, check_beta, check_level

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes

__all__ = ["NestedSolution", "nested"]


@dataclass(frozen=True, eq=False)
class NestedSolution(Answer):
    """Nested values (S,), the policy (H, S), and the true law of its return."""

    value: np.ndarray
    policy: np.ndarray
    risk: str
    parameter: float
    start_value: float
    distribution: ReturnDistribution = field(repr=False)

    @property
    def guarantee(self) -> None:
        """None: the nested value says nothing about the risk of the return."""
        return

    def facts(self) -> Mapping[str, Any]:
        """The nested value beside the risk of the return."""
        true = self.distribution.functional(self.risk, self.parameter)
        return {
            "risk": f"nested {self.risk} at {self.parameter:g}",
            "nested_value": self.start_value,
            f"{self.risk}_of_the_return": true,
            "mean": self.distribution.mean,
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """The law of the return of the policy."""
        return self.distribution.plot(ax)


def nested(mdp: TabularMDP, risk: str = "cvar", parameter: float = 0.1, horizon: int | None = None) -> NestedSolution:
    """Plan with a one-step risk at every step.

    Parameters
    ----------
    risk : "cvar" or "evar" (parameter alpha in (0, 1]), or "entrm" (parameter beta)
    horizon : number of decisions, instead of the model's

    Raises
    ------
    ValueError
        an unknown risk, a parameter outside its range, or a model without horizon or with discount

    Examples
    --------
    >>> coin = TabularMDP.from_outcomes([[[(0.5, 0, 1), (0.5, 0, 0)]]], horizon=2)
    >>> answer = nested(coin, "cvar", 0.75)
    >>> round(answer.start_value, 6), round(answer.distribution.cvar(0.75), 6)
    (0.666667, 0.666667)
    """
    if risk not in ("cvar", "evar", "entrm"):
        raise ValueError(f"unknown one-step risk {risk!r}; expected cvar, evar or entrm")
    parameter = check_beta(parameter) if risk == "entrm" else check_level(parameter)
    if horizon is not None:
        mdp = mdp.replace(horizon=horizon)
    if mdp.horizon is None or mdp.discount < 1:
        raise ValueError(
            "nested risks are planned for models with a horizon and without discount; build the model with horizon= and discount=1"
        )
    H, S, A = mdp.horizon, mdp.n_states, mdp.n_actions
    reward, value = mdp.reward, np.zeros(S)
    policy = np.zeros((H, S), policy_dtype(A))
    for h in range(H - 1, -1, -1):
        base = h * S * A if mdp.n_stages > 1 else 0
        q = np.full((S, A), -np.inf)
        for s in range(S):
            for a in range(A):
                i = base + s * A + a
                low, high = mdp.indptr[i], mdp.indptr[i + 1]
                if low < high:
                    x = reward[low:high] + value[mdp.next_state[low:high]]
                    law = ReturnDistribution(x, mdp.prob[low:high])
                    q[s, a] = law.functional(risk, parameter)
        policy[h] = q.argmax(axis=1)
        value = q.max(axis=1)
    start = np.flatnonzero(mdp.initial)
    outer = ReturnDistribution(value[start], mdp.initial[start]).functional(risk, parameter)
    return NestedSolution(value, policy, risk, parameter, outer, evaluate(mdp, policy))
