"""The entropic risk of an undiscounted sum without horizon, for processes that end.

For ``beta < 0`` there is a stationary optimal policy (Su, Petrik and Grand-Clement, AAAI 2025). ``U = exp(beta V)`` is the
limit of ``U <- min_a sum_j p_j exp(beta r_j) U(n_j)``, started at 1; where no policy ends fast enough, U grows
without bound and the value is -inf.
"""

from __future__ import annotations

import math
import warnings

import numpy as np

from . import _planning_kernels as kernels
from .entrm import EntRMSolution, risk_at_start
from .model import TabularMDP
from .policies import policy_dtype

__all__ = ["solve_total"]

_TOLERANCE = 1e-13
_MOST = 20_000
_SOLVED = 20_000  # states up to which the value of the last policy is solved for
_DIVERGED = 1e250


def _solved(mdp: TabularMDP, policy: np.ndarray, weight: np.ndarray, factor: np.ndarray) -> np.ndarray | None:
    """``U = B U + b`` of a policy, B among the states that are not terminal; None unless it is finite everywhere.

    The spectral radius of B is below 1 if and only if ``(I - B) x = 1`` has a solution x >= 1.
    """
    from scipy.sparse import csr_array, eye_array
    from scipy.sparse.linalg import splu

    rows = np.arange(mdp.n_states) * mdp.n_actions + policy
    B = csr_array((weight, mdp.next_state, mdp.indptr), shape=(len(factor), mdp.n_states))[rows]
    B = csr_array(B * factor[rows][:, None])
    live = np.flatnonzero(~mdp.terminal)
    solved = np.ones(mdp.n_states)
    if not live.size:
        return solved
    inner = B[live][:, live]
    try:
        system = splu((eye_array(live.size) - inner).tocsc())
    except RuntimeError:  # singular
        return None
    if not (system.solve(np.ones(live.size)) >= 1 - 1e-9).all():
        return None
    solved[live] = system.solve(B[live] @ mdp.terminal.astype(float))
    return solved if (np.isfinite(solved) & (solved > 0)).all() else None


def solve_total(mdp: TabularMDP, beta: float) -> EntRMSolution:
    """The largest entropic risk of the total reward, beta < 0, and a stationary policy (1, S).

    States from which no policy has a finite risk get -inf, with a warning.
    """
    if not (beta < 0 and math.isfinite(beta)):
        raise ValueError(f"the total reward is optimised for finite beta < 0; got {beta!r}")
    if not mdp.terminal.any():
        raise ValueError("criterion='total' needs terminal states: without an end the sum does not converge")
    S, A = mdp.n_states, mdp.n_actions
    growth = np.exp(beta * mdp._reward)
    factor = growth if mdp.certain_rewards else np.ones(S * A)
    weight = mdp.prob if mdp.certain_rewards else mdp.prob * growth
    const = np.zeros(S * A)
    # the negative of U is maximised; states that have outgrown all bounds are held there
    after, value = np.full(S, -1.0), np.empty(S)
    policy = np.zeros(S, policy_dtype(A))
    for iteration in range(_MOST):
        kernels.backup(
            mdp.indptr, mdp.next_state, weight, const, factor, A, 0, after, value, policy, 0.0, 1e-14, policy, iteration > 0
        )  # fmt: skip
        np.maximum(value, -_DIVERGED, out=value)
        settled = np.abs(value - after) <= _TOLERANCE * np.abs(value)
        value, after = after, value
        if settled.all():
            break
    solved = _solved(mdp, policy, weight, factor) if S <= _SOLVED else None
    if solved is not None:  # the policy ends: its value is finite, and known without the error of the iteration
        after, lost = -solved, np.zeros(S, bool)
    else:
        lost = (after <= -_DIVERGED * 0.5) | ~settled
    if lost.any():
        first = int(lost.argmax())
        warnings.warn(
            f"the entropic risk at beta = {beta:g} is given as -inf from {int(lost.sum())} states (state {first} first): "
            f"no policy was found that ends fast enough for exp({abs(beta):g} x loss) to have an average below {_DIVERGED:g}",
            RuntimeWarning,
            stacklevel=3,
        )
    result = np.where(lost, -math.inf, np.log(np.where(lost, 1.0, np.abs(after))) / beta)
    start = -math.inf if (lost & (mdp.initial > 0)).any() else risk_at_start(mdp, result, beta)
    return EntRMSolution(result, policy[None, :], beta, None, None, start, 0.0, "U, total reward")
