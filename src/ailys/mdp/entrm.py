"""Planning for the entropic risk of the return, for one parameter beta.

``V_h(s) = max_a (1/beta) log sum_j p_j exp(beta (r_j + V_{h+1}(n_j)))`` (Howard and Matheson, 1972). Up to monotone
transforms, the mean and the exponential utilities are the only functionals of the return that dynamic
programming optimises exactly (Marthe, Garivier and Vernade, NeurIPS 2023). An optimal policy is
deterministic and Markov, and it changes with time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.answer import Answer
from ..core.guarantee import Guarantee
from . import _law_kernels as laws
from . import _planning_kernels as kernels
from .model import TabularMDP
from .policies import check_policy, induced_chain, policy_dtype
from .returns import NEGLIGIBLE, check_beta, entrm_of
from .solve import TIE, expected_rewards, tie_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "EntRMEvaluation",
    "EntRMSolution",
    "Reach",
    "evaluate_entrm",
    "return_reach",
    "risk_at_start",
    "solve_entrm",
]

_DEEPEST = 600.0  # |beta| x range that products of exponentials span without underflow
_SMALL = 10_000_000  # outcomes x steps up to which the range of the return is computed before solving


@dataclass(frozen=True)
class Reach:
    """What a return can be: ``low`` and ``high`` from the first state, ``size`` and ``span`` over all states and times."""

    low: float
    high: float
    size: float
    span: float

    @property
    def width(self) -> float:
        """Lambda, the range of the return from the first state."""
        return self.high - self.low


@dataclass(frozen=True, eq=False)
class EntRMSolution(Answer):
    """Optimal entropic risk (S,) from time 0, and an optimal policy (H, S).

    ``q`` (H, S, A) is filled on request; forbidden actions have -inf. ``values`` (H + 1, S) too. The values, and what the
    policy reaches, are within ``bound`` of the best in every state; 0 means up to rounding.
    """

    value: np.ndarray
    policy: np.ndarray
    beta: float
    q: np.ndarray | None = None
    values: np.ndarray | None = field(default=None, repr=False)
    start_value: float = math.nan
    bound: float = 0.0
    form: str = ""

    @property
    def guarantee(self) -> Guarantee | None:
        """Optimality up to rounding, or up to ``bound``; None for a total reward whose end is not proved."""
        if self.bound == math.inf:
            return None
        up_to = (
            f"{self.bound:.2g}" if self.bound else "rounding (actions that differ by 1e-11 at a time count as equal)"
        )
        text = f"no policy, even with memory, has a larger entropic risk at beta = {self.beta:g}, up to {up_to}"
        source = "Howard and Matheson 1972; docs, mdp, section 'Entropic risk'"
        if self.form == "U, total reward":
            source = "after Bertsekas and Tsitsiklis 1991; docs, mdp, section 'Sums that end'"
        return Guarantee(
            "optimal", text, self.bound, {"beta": self.beta}, assumptions=("the model is the true one",), source=source
        )

    def facts(self) -> Mapping[str, Any]:
        """Value at the start."""
        return {
            "value_at_the_start": self.start_value,
            "beta": self.beta,
            "states": len(self.value),
            "horizon": len(self.policy),
            "form": self.form,
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """Values of the states, in increasing order."""
        from .plots import plot_values

        return plot_values(self.value, ax)


@dataclass(frozen=True, eq=False)
class EntRMEvaluation:
    """Entropic risk of a policy and mean of its return under the tilted law, from every state (S,).

    The derivative of the value in beta is ``(tilted_mean - value) / beta``.

    Examples
    --------
    >>> coin = TabularMDP.from_outcomes([[[(0.5, 0, 1), (0.5, 0, 0)]]], horizon=1)
    >>> fear = evaluate_entrm(coin, [0], -1.0)
    >>> fear.value.round(3), fear.tilted_mean.round(3)
    (array([0.38]), array([0.269]))
    """

    value: np.ndarray
    tilted_mean: np.ndarray


def return_reach(mdp: TabularMDP) -> Reach:
    """Smallest and largest return over all policies and outcomes."""
    low, high, size, span = laws.range_summary(
        mdp.indptr, mdp.next_state, mdp._reward, mdp.certain_rewards, mdp.n_states, mdp.n_actions, mdp.n_stages,
        mdp.horizon or 1, mdp.discount,
    )  # fmt: skip
    start = mdp.initial > 0
    return Reach(float(low[start].min()), float(high[start].max()), size, span)


def risk_at_start(mdp: TabularMDP, value: np.ndarray, beta: float) -> float:
    """Entropic risk from the model's initial law, given the one from each state."""
    start = np.flatnonzero(mdp.initial)
    order = start[np.argsort(value[start])]
    return float(entrm_of(value[order], mdp.initial[order], np.array([beta]))[0])


def solve_entrm(
    mdp: TabularMDP,
    beta: float,
    *,
    prefer: Any = None,
    with_q: bool = False,
    all_values: bool = False,
    form: str | None = None,
) -> EntRMSolution:
    """The largest entropic risk ``(1/beta) log E exp(beta G)`` over all policies, from every state.

    Parameters
    ----------
    beta : negative for aversion to risk, 0 for the mean, -inf and +inf for the worst and best outcome
    prefer : policy (H, S) whose actions are kept where they tie with the best
    with_q : also return the values of all actions (H, S, A)
    all_values : also return the values of all times (H + 1, S)
    form : arithmetic to use instead of the automatic choice: "W", "U" or "logsumexp"

    Returns
    -------
    EntRMSolution : ``value`` (S,), ``policy`` (H, S); for an endless discounted process (Hau, Petrik and
        Ghavamzadeh, 2023) the policy of its first steps, after which the optimal policy for the mean is followed

    Raises
    ------
    ValueError
        ``beta`` is not a number, or not finite and negative for a total reward; an unknown ``form``; a ``prefer``
        that is not a policy of the model; options that the kind of model does not admit

    Examples
    --------
    >>> mdp = TabularMDP.from_outcomes([[[(1, 0, 0.2)], [(0.5, 0, 1.0), (0.5, 0, -0.5)]]], horizon=1)
    >>> [int(solve_entrm(mdp, beta).policy[0, 0]) for beta in (-1, 0)]
    [0, 1]
    """
    beta = check_beta(beta)
    if mdp.criterion == "total":
        from .total import solve_total

        return solve_total(mdp, beta)
    if mdp.discount < 1:
        from .discounted import solve_discounted

        return solve_discounted(mdp, beta, prefer=prefer, with_q=with_q)
    H, S, A = mdp.horizon or 1, mdp.n_states, mdp.n_actions
    if prefer is not None:
        prefer = check_policy(mdp, prefer)
        prefer = np.ascontiguousarray(np.broadcast_to(prefer, (H, S)).astype(policy_dtype(A)))
    deep = all_values or with_q
    table = np.empty((H + 1 if deep or H == 1 else 2, S))
    policy = np.empty((H, S), policy_dtype(A))
    form = form or choose_form(mdp, beta)
    run = {"W": _linear, "U": _product, "logsumexp": _log_sum_exp}.get(form)
    if run is None:
        raise ValueError(f"unknown form {form!r}; expected 'W', 'U' or 'logsumexp'")
    # so near to 0 that the mean is the answer up to rounding, and beta may have lost digits itself
    near = abs(beta) * (mdp.horizon or 1) * float(np.abs(mdp._reward).max()) <= NEGLIGIBLE
    run(mdp, 0.0 if near else beta, prefer, table, policy)
    value = table[0].copy()
    q = all_actions(mdp, beta, table, table)[0] if with_q else None
    return EntRMSolution(value, policy, beta, q, table if deep else None, risk_at_start(mdp, value, beta), 0.0, form)


def choose_form(mdp: TabularMDP, beta: float) -> str:
    """The cheapest arithmetic that keeps its digits: near the mean "W", then "U", then "logsumexp"."""
    if beta == 0:
        return "W"
    largest, H = float(np.abs(mdp._reward).max()), mdp.horizon or 1
    size = H * largest
    span = H * max(0.0, float(mdp._reward.max())) - H * min(0.0, float(mdp._reward.min()))
    if mdp.n_outcomes * H // mdp.n_stages <= _SMALL:  # the true range is narrower, and cheap to find
        reach = return_reach(mdp)
        size, span = reach.size, reach.span
    if abs(beta) * size <= 1:
        return "W"
    return "U" if abs(beta) * (span + largest) <= _DEEPEST else "logsumexp"


def _linear(mdp: TabularMDP, beta: float, prefer: Any, table: np.ndarray, policy: np.ndarray) -> None:
    """``W = expm1(beta V) / beta`` obeys a linear recursion, grows with V and tends to it as beta tends to 0."""
    if beta == 0:
        _affine(
            mdp,
            mdp.prob,
            expected_rewards(mdp),
            np.ones(len(mdp.indptr) - 1),
            0.0,
            False,
            tie_of(mdp),
            TIE,
            prefer,
            table,
            policy,
        )
        return
    growth = np.exp(beta * mdp._reward)
    gain = np.expm1(beta * mdp._reward) / beta
    const: np.ndarray
    if mdp.certain_rewards:
        weight, const, factor = mdp.prob, gain, growth
    else:
        weight, factor = mdp.prob * growth, np.ones(len(mdp.indptr) - 1)
        owner = np.repeat(np.arange(len(factor)), np.diff(mdp.indptr))
        const = np.bincount(owner, weights=mdp.prob * gain, minlength=len(factor))
    _affine(mdp, weight, const, factor, 0.0, False, tie_of(mdp), TIE, prefer, table, policy)
    np.log1p(beta * table, out=table)
    table /= beta


def _product(mdp: TabularMDP, beta: float, prefer: Any, table: np.ndarray, policy: np.ndarray) -> None:
    """``U = exp(beta V)`` up to a factor; with beta < 0 its negative is maximised."""
    growth = np.exp(beta * mdp._reward)
    const = np.zeros(len(mdp.indptr) - 1)
    if mdp.certain_rewards:
        weight, factor = mdp.prob, growth
    else:
        weight, factor = mdp.prob * growth, np.ones(len(const))
    # a difference of TIE in the value is beta times that in the logarithm of U; rounding is a few 1e-16
    relative = max(abs(beta) * tie_of(mdp), 1e-15)
    logs = _affine(mdp, weight, const, factor, math.copysign(1.0, beta), True, 0.0, relative, prefer, table, policy)
    np.abs(table, out=table)
    np.log(table, out=table)
    H = mdp.horizon or 1
    if len(table) == H + 1:
        table += logs[:, None]
    else:
        table[0] += logs[0]
    table /= beta


def _affine(
    mdp: TabularMDP, weight: np.ndarray, const: np.ndarray, factor: np.ndarray, end: float, rescale: bool,
    absolute: float, relative: float, prefer: Any, table: np.ndarray, policy: np.ndarray,
) -> np.ndarray:  # fmt: skip
    return kernels.affine_horizon(
        mdp.indptr, mdp.next_state, weight, const, factor, mdp.n_states, mdp.n_actions, mdp.n_stages, mdp.horizon or 1,
        np.full(mdp.n_states, end), rescale, absolute, relative, policy if prefer is None else prefer,
        prefer is not None, table, policy,
    )  # fmt: skip


def _log_sum_exp(mdp: TabularMDP, beta: float, prefer: Any, table: np.ndarray, policy: np.ndarray) -> None:
    entropic_backups(mdp, np.full(mdp.horizon or 1, beta), 1.0, np.zeros(mdp.n_states), prefer, table, policy)


def entropic_backups(
    mdp: TabularMDP,
    betas: np.ndarray,
    discount: float,
    end: np.ndarray,
    prefer: Any,
    table: np.ndarray,
    policy: np.ndarray,
) -> None:
    """Backups with a shifted logarithm of a sum of exponentials in each row; beta may change with time."""
    kernels.entropic_horizon(
        mdp.indptr, mdp.next_state, mdp.prob, mdp._reward, mdp.certain_rewards, mdp.n_states, mdp.n_actions, mdp.n_stages,
        len(betas), betas, discount, end, tie_of(mdp), TIE, policy if prefer is None else prefer, prefer is not None, table, policy,
    )  # fmt: skip


def all_actions(mdp: TabularMDP, beta: float, value: np.ndarray, tilted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(H, S, A) entropic risk and tilted mean of each action, from those (H + 1, S) of what follows it."""
    return kernels.action_values(
        mdp.indptr, mdp.next_state, mdp.prob, mdp._reward, mdp.certain_rewards, mdp.n_states, mdp.n_actions, mdp.n_stages,
        beta, value, tilted,
    )  # fmt: skip


def evaluate_entrm(mdp: TabularMDP, policy: Any, beta: float) -> EntRMEvaluation:
    """Entropic risk of a policy from every state, and the mean under the law tilted by ``exp(beta G)``.

    Parameters
    ----------
    mdp : model with a horizon and without discount
    policy : actions (S,) or (H, S), or probabilities of actions (S, A) or (H, S, A)
    beta : negative for aversion to risk, 0 for the mean, -inf and +inf for the worst and best outcome

    Raises
    ------
    ValueError
        ``beta`` is not a number, the policy does not fit, or the model has no horizon or a discount

    Examples
    --------
    >>> coin = TabularMDP.from_outcomes([[[(0.5, 0, 1), (0.5, 0, 0)]]], horizon=2)
    >>> evaluation = evaluate_entrm(coin, [0], 0.0)
    >>> float(evaluation.value[0]), float(evaluation.tilted_mean[0])
    (1.0, 1.0)
    """
    value, tilted = evaluate_all(mdp, policy, check_beta(beta))
    return EntRMEvaluation(value[0], tilted[0])


def evaluate_all(mdp: TabularMDP, policy: Any, beta: float) -> tuple[np.ndarray, np.ndarray]:
    """The same at all times: two tables (H + 1, S)."""
    if mdp.horizon is None or mdp.discount < 1:
        raise ValueError("evaluate_entrm needs a horizon and no discount; use evaluate(...).entrm(beta) otherwise")
    chain = induced_chain(mdp, policy)
    return kernels.entropic_chain(
        chain.indptr, chain.next_state, chain.prob, chain.reward, chain.n_states, chain.n_stages, mdp.horizon, beta
    )
