"""Planning for the mean: backward induction, and modified policy iteration with a certificate.

The certificate is MacQueen's (Puterman, *Markov Decision Processes*, 1994, section 6.6): with ``W = T V``, ``d`` and
``D`` the smallest and largest entry of ``W - V`` and ``g`` the discount,
``W + g d / (1 - g) <= V^pi <= V* <= W + g D / (1 - g)``. It holds whatever V is, so the evaluation of policies may
be accelerated by any means.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..core.answer import Answer
from ..core.guarantee import Guarantee
from . import _planning_kernels as kernels
from .blocks import Blocks
from .model import TabularMDP
from .policies import induced_chain, policy_dtype

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Solution", "expected_rewards", "solve"]

TIE = 1e-11  # actions whose values differ by less, relative to 1 + their size, are equal
_TIE = 1e-12  # the same in the backups of an endless process, which carry errors on
_PAGE = "docs, mdp, section 'Planning for the mean'"
_SWEEPS, _LONG = 50, 400  # most sweeps of evaluation between two backups; more once the policy has settled
_SHARE = 0.1  # a policy is evaluated until its changes differ by this share of what they did in the backup ...
_FEW = 0.01  # ... as long as it still changes in more than this share of the states
_EPS = float(np.finfo(float).eps)


@dataclass(frozen=True, eq=False)
class Solution(Answer):
    """Optimal values (S,), a policy, and how far from optimal both can be.

    ``bound`` bounds ``|value - V*|`` in every state; the policy loses at most ``policy_loss``: twice as much, and
    ``tie_loss``, because actions whose values differ by a few units of rounding count as equal.
    """

    value: np.ndarray
    policy: np.ndarray
    bound: float
    iterations: int
    method: str
    start_value: float
    horizon: int | None
    tie_loss: float = 0.0

    @property
    def policy_loss(self) -> float:
        """Bound of what the policy loses against an optimal one, in every state, actions that count as equal included."""
        return 2 * self.bound + self.tie_loss

    @property
    def guarantee(self) -> Guarantee:
        """The bound of the error, with its rounding."""
        text = (
            f"the values are within {self.bound:.3g} of the optimal ones in every state, "
            f"those of the policy within {self.policy_loss:.3g}"
        )
        source = f"Puterman 1994, section 6.6; {_PAGE}" if self.horizon is None else _PAGE
        values = {"policy_loss": self.policy_loss}
        return Guarantee(
            "error-bound", text, self.bound, values, assumptions=("the model is the true one",), source=source
        )

    def facts(self) -> Mapping[str, Any]:
        """Value at the start and its certificate."""
        return {
            "value_at_the_start": self.start_value,
            "states": len(self.value),
            "bound": self.bound,
            "policy_loss": self.policy_loss,
            "iterations": self.iterations,
            "method": self.method,
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """Values of the states, in increasing order."""
        from .plots import plot_values

        return plot_values(self.value, ax)


def tie_of(mdp: TabularMDP, tie: float = TIE) -> float:
    """Absolute part of what counts as a tie; in proportion where all rewards are small."""
    return tie * min(1.0, float(np.abs(mdp._reward).max(initial=0.0)))


def _sizes(mdp: TabularMDP) -> tuple[int, float]:
    """Most outcomes of a row, and the largest mean modulus of a reward: what the rounding of a backup grows with."""
    counts = np.diff(mdp.indptr)
    if mdp.certain_rewards:
        return int(counts.max()), float(np.abs(mdp._reward).max())
    owner = np.repeat(np.arange(len(counts)), counts)
    moduli = np.bincount(owner, weights=mdp.prob * np.abs(mdp._reward), minlength=len(counts))
    return int(counts.max()), float(moduli.max())


def expected_rewards(mdp: TabularMDP) -> np.ndarray:
    """Expected reward of each row (n_stages * S * A,): enough for the mean, and only for it."""
    if mdp.certain_rewards:
        return mdp._reward
    owner = np.repeat(np.arange(len(mdp.indptr) - 1), np.diff(mdp.indptr))
    return np.bincount(owner, weights=mdp.prob * mdp._reward, minlength=len(mdp.indptr) - 1)


def solve(
    mdp: TabularMDP,
    method: Literal["auto", "mpi", "vi", "pi"] = "auto",
    tol: float = 1e-8,
    max_iterations: int = 100_000,
    *,
    n_jobs: int = 1,
) -> Solution:
    """Optimal mean return from every state, and a policy.

    Parameters
    ----------
    method : for an endless process "mpi" (modified policy iteration, the default), "vi" (value iteration) or "pi"
        (policy iteration with sparse solves, up to 20 000 states); with a horizon, backward induction
    tol : wanted bound of the error of the values
    max_iterations : most backups of an endless process
    n_jobs : threads for an endless process, as in joblib; worth it from about 10^5 states. The answer is the same to the bit

    Returns
    -------
    Solution : ``value`` (S,), ``policy`` (S,) or (H, S), ``bound``, ``iterations``

    Raises
    ------
    ValueError
        an unknown method, a ``tol`` that is not positive, a method that the model does not admit ("pi" beyond 20 000
        states; any with a horizon), or an undiscounted sum without a horizon

    Examples
    --------
    >>> mdp = TabularMDP.from_outcomes([[[(1, 0, 1.0)], [(0.5, 0, 2.0), (0.5, 1, 0.0)]], [[(1, 1, 0.0)]]], discount=0.5)
    >>> solution = solve(mdp)
    >>> solution.value.round(6), solution.policy
    (array([2., 0.]), array([0, 0], dtype=int8))
    """
    if method not in ("auto", "mpi", "vi", "pi"):
        raise ValueError(f"unknown method {method!r}; expected auto, mpi, vi or pi")
    if not (math.isfinite(tol) and tol > 0):
        raise ValueError(f"tol must be positive; got {tol!r}")
    if mdp.horizon is not None:
        if method != "auto":
            raise ValueError(f"method {method!r} is for endless processes; with a horizon, backward induction is exact")
        return _backward_induction(mdp)
    if mdp.criterion == "total":
        raise ValueError("the mean total reward is not certified here; give a horizon or a discount < 1")
    if method == "pi" and mdp.n_states > 20_000:
        raise ValueError(f"method 'pi' solves sparse systems up to 20000 states; got {mdp.n_states}: use 'mpi'")
    return _discounted(mdp, "mpi" if method == "auto" else method, tol, max_iterations, n_jobs)


def _backward_induction(mdp: TabularMDP) -> Solution:
    H, S = mdp.horizon or 1, mdp.n_states
    table = np.empty((H + 1 if H == 1 else 2, S))
    policy = np.empty((H, S), policy_dtype(mdp.n_actions))
    reward = expected_rewards(mdp)
    factor = np.full(len(reward), mdp.discount)
    kernels.affine_horizon(
        mdp.indptr, mdp.next_state, mdp.prob, reward, factor, S, mdp.n_actions, mdp.n_stages, H, np.zeros(S), False,
        tie_of(mdp), TIE, policy, False, table, policy,
    )  # fmt: skip
    value = table[0].copy()
    # each backup rounds sums of at most `widest` products, of rewards and of values
    widest = 2 * int(np.diff(mdp.indptr).max()) + 4
    size = max(float(np.abs(table).max()), float(np.abs(reward).max()) * H)
    bound = H * (widest * _EPS * size)
    ties = H * (tie_of(mdp) + TIE * size)
    return Solution(value, policy, bound, H, "backward induction", float(mdp.initial @ value), H, ties)


def _discounted(mdp: TabularMDP, method: str, tol: float, max_iterations: int, n_jobs: int) -> Solution:
    S, A, g = mdp.n_states, mdp.n_actions, mdp.discount
    reward = expected_rewards(mdp)
    policy = np.zeros(S, policy_dtype(A))
    value, after = np.zeros(S), np.empty(S)
    last_policy, last_width = np.full_like(policy, -1), math.inf
    tie = tie_of(mdp, _TIE)
    widest, largest = _sizes(mdp)
    with Blocks(mdp, reward, n_jobs) as blocks:
        for iteration in range(1, max_iterations + 1):
            least, most, size = blocks.backup(value, after, policy, tie, _TIE, iteration > 1)
            width = g * (most - least) / (2 * (1 - g))
            rounding = _EPS * (8 * size + widest * (size + largest)) / (1 - g)
            if width + rounding <= tol or (width <= rounding and width >= last_width):
                break
            value, after = after, value
            if method == "pi":
                value = _evaluated(mdp, policy, reward)
            else:  # the midpoint of the bounds is nearer to the optimum than the backup
                value += g * (least + most) / (2 * (1 - g))
            if method == "mpi":
                changed = int(np.count_nonzero(policy != last_policy))
                last_policy[:] = policy
                # a policy that will change is not worth evaluating to the end
                enough = 1.8 * tol * (1 - g)
                if changed > _FEW * S:
                    enough = max(enough, _SHARE * (most - least))
                value, after = blocks.sweep(value, after, _SWEEPS if changed else _LONG, enough)
            last_width = width
    best = after + g * (least + most) / (2 * (1 - g))
    ties = (tie + _TIE * size) / (1 - g)
    return Solution(best, policy, width + rounding, iteration, method, float(mdp.initial @ best), None, ties)


def _evaluated(mdp: TabularMDP, policy: np.ndarray, reward: np.ndarray) -> np.ndarray:
    """Value of a stationary policy by a sparse solve."""
    from scipy.sparse import csr_array, eye_array
    from scipy.sparse.linalg import spsolve

    chain = induced_chain(mdp, policy)
    P = csr_array((chain.prob, chain.next_state, chain.indptr), shape=(mdp.n_states, mdp.n_states))
    rows = np.arange(mdp.n_states) * mdp.n_actions + policy
    return np.atleast_1d(spsolve((eye_array(mdp.n_states) - mdp.discount * P).tocsc(), reward[rows]))
