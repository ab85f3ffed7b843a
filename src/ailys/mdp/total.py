"""The entropic risk of an undiscounted sum without horizon, for processes that end.

For ``beta < 0`` there is a stationary optimal policy (Su, Petrik and Grand-Clement, AAAI 2025). ``U = exp(beta V)`` is the
limit of ``U <- T U = min_a sum_j p_j exp(beta r_j) U(n_j)``, started at 1; where no policy ends fast enough, U grows
without bound and the value is -inf.

The answer is proved where each policy is known to end or to pay for it (`_ends`), by two vectors that one backup checks:
``low <= T low`` and, for the policy returned, ``T_policy high < high``. Then ``low <= U* <= U_policy <= high``, by the
argument of Bertsekas and Tsitsiklis (1991) for shortest paths; docs, mdp, section 'Sums that end'.
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
_SOLVED = 20_000  # states up to which the value of a policy is solved for
_DIVERGED = 1e250
_STEEPEST = 700.0  # beyond, the exponential of one step is infinite, or 0
_LEAST = 1e-300  # a U below is no number to take the logarithm of
_SMALL = 1e-150  # products of larger numbers keep their relative error
_ROUNDS = 100  # of policy iteration
_EPS = float(np.finfo(float).eps)


class _Tilted:
    """The rows of a model with its probabilities multiplied by ``exp(beta r)``."""

    def __init__(self, mdp: TabularMDP, beta: float) -> None:
        from scipy.sparse import csr_array

        self.mdp = mdp
        growth = np.exp(beta * mdp._reward)
        self.factor = growth if mdp.certain_rewards else np.ones(mdp.n_states * mdp.n_actions)
        self.weight = mdp.prob if mdp.certain_rewards else mdp.prob * growth
        self.rows = csr_array((self.weight, mdp.next_state, mdp.indptr), shape=(len(self.factor), mdp.n_states))
        self.live = np.flatnonzero(~mdp.terminal)
        # of a sum of positive products, and of the exponentials in it
        widest, largest = int(np.diff(mdp.indptr).max()), float(np.abs(mdp._reward).max())
        self.rounding = (widest + 8 + abs(beta) * largest) * _EPS

    def actions(self, values: np.ndarray, forbidden: float) -> np.ndarray:
        """(live states, A) of ``sum_j p_j exp(beta r_j) values(n_j)``."""
        table = (self.factor * (self.rows @ values)).reshape(self.mdp.n_states, self.mdp.n_actions)
        return np.where(self.mdp.mask, table, forbidden)[self.live]

    def solved(self, policy: np.ndarray, scale: float = 1.0, gain: float | None = None) -> np.ndarray | None:
        """``x = scale (B x + b)`` of a policy, B among the live states; None unless it is finite everywhere.

        ``b`` is what leads to the end, x being 1 there, or a constant ``gain``, x being 0 there. The spectral radius of
        ``scale B`` is below 1 if and only if ``(I - scale B) y = 1`` has a solution y >= 1.
        """
        from scipy.sparse import eye_array
        from scipy.sparse.linalg import splu

        mdp, live = self.mdp, self.live
        end = float(gain is None)
        values = np.where(mdp.terminal, end, 0.0)
        if not live.size:
            return values
        chosen = (live * mdp.n_actions + policy[live]).astype(np.int64)
        B = self.rows[chosen].multiply((scale * self.factor[chosen])[:, None]).tocsr()
        try:
            system = splu((eye_array(live.size) - B[:, live]).tocsc())
        except RuntimeError:  # singular
            return None
        if not (system.solve(np.ones(live.size)) >= 1 - 1e-9).all():
            return None
        values[live] = system.solve(B @ values if gain is None else np.full(live.size, gain))
        return values if (np.isfinite(values[live]) & (values[live] > 0)).all() else None


def _ends(tilted: _Tilted) -> bool:
    """Whether a policy that goes on for ever is no danger to the proof: what is left of it fades, or its risk is -inf.

    Either each step costs something, or there is a ``w > 0`` that every action of every state multiplies by less than 1 on
    average: the largest of the sums of ``exp(beta x rewards)`` over the decisions before the end, found by policy
    iteration and checked.
    """
    mdp, live = tilted.mdp, tilted.live
    owner = np.repeat(np.arange(len(tilted.factor)) // mdp.n_actions, np.diff(mdp.indptr))
    if (mdp.reward[~mdp.terminal[owner]] < 0).all():
        return True
    policy = mdp.mask.argmax(axis=1)
    for _ in range(_ROUNDS):
        w = tilted.solved(policy, gain=1.0)
        if w is None:
            return False
        table = tilted.actions(w, -math.inf)
        if (table.max(axis=1) * (1 + tilted.rounding) < w[live] * (1 - _EPS)).all():
            return bool(w[live].min() > _SMALL)
        own = np.take_along_axis(table, policy[live][:, None], axis=1)[:, 0]
        policy[live] = np.where(table.max(axis=1) > own, table.argmax(axis=1), policy[live])
    return False


def _improved(tilted: _Tilted, policy: np.ndarray, slack: float) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Policy iteration where each step is cheaper by ``slack``: values, values of all actions, policy."""
    live, chosen = tilted.live, policy.astype(np.int64)
    for _ in range(_ROUNDS):
        low = tilted.solved(chosen, 1 - slack)
        if low is None:
            return None
        table = tilted.actions(low, math.inf)
        better = table.min(axis=1) * (1 - slack) < low[live] * (1 - slack / 4)
        if not better.any():
            return low, table, chosen
        chosen[live[better]] = table.argmin(axis=1)[better]
    return None


def _enclosed(tilted: _Tilted, policy: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """``low <= U* <= U_policy <= high`` and the policy; None where this is not proved.

    The two vectors solve the problem with each step made a little cheaper, or a little dearer: by more than rounding.
    """
    live = tilted.live
    if tilted.mdp.prob.min() < _SMALL or tilted.weight.min() < _SMALL or not _ends(tilted):
        return None
    for slack in 10.0 ** np.arange(-14, -7):
        found = _improved(tilted, policy, slack)
        if found is None:
            return None
        low, table, chosen = found
        high = tilted.solved(chosen, 1 + slack)
        if high is None or min(low.min(), high.min()) < _SMALL:
            return None
        own = np.take_along_axis(tilted.actions(high, math.inf), chosen[live][:, None], axis=1)[:, 0]
        below = table.min(axis=1) * (1 - tilted.rounding) >= low[live]
        above = own * (1 + tilted.rounding) <= high[live] * (1 - slack / 2)
        if below.all() and above.all() and (low <= high).all():
            return low, high, chosen.astype(policy.dtype)
    return None


def solve_total(mdp: TabularMDP, beta: float) -> EntRMSolution:
    """The largest entropic risk of the total reward, beta < 0, and a stationary policy (1, S).

    States from which no policy has a finite risk get -inf, and those whose gain is too large for ``U`` to be told from 0 get inf,
    with a warning. ``bound`` is infinite where nothing is proved.

    Raises
    ------
    ValueError
        beta that is not finite and negative, a model without terminal states, or one with a reward whose exponential
        is not a number
    """
    if not (beta < 0 and math.isfinite(beta)):
        raise ValueError(f"the total reward is optimised for finite beta < 0; got {beta!r}")
    if not mdp.terminal.any():
        raise ValueError("criterion='total' needs terminal states: without an end the sum does not converge")
    steepest = abs(beta) * float(np.abs(mdp._reward).max())
    if not steepest <= _STEEPEST:
        raise ValueError(
            f"|beta| x reward reaches {steepest:.3g}, beyond {_STEEPEST:g} its exponential is no number: take a beta nearer to 0"
        )
    tilted = _Tilted(mdp, beta)
    after, policy, settled = _iterated(tilted)
    proved = _enclosed(tilted, policy) if mdp.n_states <= _SOLVED else None
    lost, bound = np.zeros(mdp.n_states, bool), math.inf
    if proved is not None:
        low, high, policy = proved
        size = float(np.abs(np.log(high)).max()) / abs(beta)
        bound = float((np.log(high) - np.log(low)).max()) / abs(beta) + 8 * _EPS * (size + 1 / abs(beta))
        after = np.sqrt(low) * np.sqrt(high)
    else:
        solved = tilted.solved(policy) if mdp.n_states <= _SOLVED else None
        if solved is not None:  # the policy ends: its value is finite, and known without the error of the iteration
            after = solved
        else:
            lost = (after >= _DIVERGED * 0.5) | ~settled
    if lost.any():
        first = int(lost.argmax())
        warnings.warn(
            f"the entropic risk at beta = {beta:g} is given as -inf from {int(lost.sum())} states (state {first} first): "
            f"no policy was found that ends fast enough for exp({abs(beta):g} x loss) to have an average below {_DIVERGED:g}",
            RuntimeWarning,
            stacklevel=3,
        )
    boundless = after < _LEAST
    if boundless.any():
        warnings.warn(
            f"the entropic risk at beta = {beta:g} is given as inf from {int(boundless.sum())} states (state "
            f"{int(boundless.argmax())} first): there exp({beta:g} x gain) has an average below {_LEAST:g}",
            RuntimeWarning,
            stacklevel=3,
        )
    result = np.where(
        lost, -math.inf, np.where(boundless, math.inf, np.log(np.where(lost | boundless, 1.0, after)) / beta)
    )
    starts = mdp.initial > 0
    if (lost & starts).any():
        start = -math.inf
    else:
        with np.errstate(invalid="ignore"):  # infinite values weigh nothing
            start = math.inf if boundless[starts].all() else risk_at_start(mdp, result, beta)
    return EntRMSolution(result, policy[None, :], beta, None, None, start, bound, "U, total reward")


def _iterated(tilted: _Tilted) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """U, its policy, and where the iteration has settled."""
    mdp = tilted.mdp
    S, A = mdp.n_states, mdp.n_actions
    const = np.zeros(S * A)
    # the negative of U is maximised; states that have outgrown all bounds are held there
    after, value = np.full(S, -1.0), np.empty(S)
    policy = np.zeros(S, policy_dtype(A))
    allowed = mdp.mask.argmax(axis=1).astype(policy.dtype)
    for iteration in range(_MOST):
        kernels.backup(
            mdp.indptr, mdp.next_state, tilted.weight, const, tilted.factor, A, 0, after, value, policy, 0.0, 1e-14, policy,
            iteration > 0,
        )  # fmt: skip
        np.maximum(value, -_DIVERGED, out=value)
        np.copyto(policy, allowed, where=policy < 0)  # where all actions overflow
        settled: np.ndarray = np.abs(value - after) <= _TOLERANCE * np.abs(value)
        value, after = after, value
        if settled.all():
            break
    return np.abs(after), policy, settled
