"""Policies: tables of actions checked against a model, and the chain of rewards that a policy makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .model import TabularMDP

__all__ = ["RewardChain", "check_policy", "induced_chain", "policy_dtype"]

_MASS_TOLERANCE = 1e-9


@dataclass(frozen=True)
class RewardChain:
    """A model under a policy: row ``h * S + s`` (or ``s``, if nothing changes with time) of outcomes."""

    indptr: np.ndarray
    next_state: np.ndarray
    prob: np.ndarray
    reward: np.ndarray
    n_states: int

    @property
    def n_stages(self) -> int:
        """1, or the horizon if the rows change with time."""
        return (len(self.indptr) - 1) // self.n_states


def policy_dtype(n_actions: int) -> type[np.integer]:
    """The smallest signed integers that hold the actions."""
    return np.int8 if n_actions <= 127 else np.int16 if n_actions <= 32767 else np.int32


def check_policy(mdp: TabularMDP, policy: Any) -> np.ndarray:
    """The policy as an array: (S,) or (H, S) of actions, (S, A) or (H, S, A) of probabilities.

    Answers that carry a policy (`Solution`, `EntRMSolution`, ...) are taken too.
    """
    policy = np.asarray(getattr(policy, "policy", policy))
    S, A, H = mdp.n_states, mdp.n_actions, mdp.horizon
    kind = policy.dtype.kind
    # a table of numbers that is not of whole type holds probabilities
    shapes: dict[str, list[tuple[int, ...]]] = {"i": [(S,)], "f": [(S, A)]}
    if H is not None:
        shapes["i"].append((H, S))
        shapes["f"].append((H, S, A))
    if kind in "iu" and policy.shape in shapes["i"]:
        return _check_actions(mdp, policy)
    if kind == "f" and policy.shape in shapes["f"]:
        return _check_probabilities(mdp, policy)
    if kind in "iu" and policy.shape in shapes["f"]:
        return _check_probabilities(mdp, policy.astype(float))
    raise ValueError(
        f"a policy must be whole numbers of shape {' or '.join(map(str, shapes['i']))}, "
        f"or probabilities of shape {' or '.join(map(str, shapes['f']))}; got {policy.dtype} of shape {policy.shape}"
    )


def _check_actions(mdp: TabularMDP, policy: np.ndarray) -> np.ndarray:
    outside: np.ndarray = (policy < 0) | (policy >= mdp.n_actions)
    if not outside.any():
        mask = mdp.mask
        allowed: np.ndarray = (
            np.broadcast_to(mask, (len(policy), *mask.shape)) if policy.ndim == 2 and mask.ndim == 2 else mask
        )
        if policy.ndim == 1 and mask.ndim == 3:
            allowed = np.asarray(mask.all(axis=0))
        outside = ~np.take_along_axis(allowed, policy[..., None].astype(np.int64), axis=-1)[..., 0]
    if outside.any():
        at = tuple(int(i) for i in np.argwhere(outside)[0])
        where = f"state {at[-1]}" + (f" at time {at[0]}" if len(at) == 2 else "")
        raise ValueError(f"{where}: the policy takes action {int(policy[at])}, which is not allowed there")
    return policy


def _check_probabilities(mdp: TabularMDP, policy: np.ndarray) -> np.ndarray:
    forbidden = ~mdp.mask
    wrong = ~(policy >= 0).all(axis=-1) | ~(np.abs(policy.sum(axis=-1) - 1) <= _MASS_TOLERANCE)
    wrong |= np.any((policy > 0) & forbidden, axis=-1)
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        where = f"state {at[-1]}" + (f" at time {at[0]}" if len(at) == 2 else "")
        raise ValueError(f"{where}: the policy's probabilities must be >= 0, sum to 1 and avoid forbidden actions")
    return policy


def induced_chain(mdp: TabularMDP, policy: Any) -> RewardChain:
    """The chain of states and rewards under a policy."""
    policy = check_policy(mdp, policy)
    S, A = mdp.n_states, mdp.n_actions
    probabilities = policy.dtype.kind == "f"
    stationary = policy.ndim == (2 if probabilities else 1)
    stages = mdp.n_stages if stationary else mdp.horizon or 1
    table = np.broadcast_to(policy, (stages, *policy.shape)) if stationary else policy
    base = (np.arange(stages) if mdp.n_stages > 1 else np.zeros(stages, np.int64))[:, None] * S + np.arange(S)[None, :]
    if probabilities:
        rows = (base[:, :, None] * A + np.arange(A)).ravel()
        share = table.ravel()
        owner = np.repeat(np.arange(stages * S), A)
        rows, owner, share = rows[share > 0], owner[share > 0], share[share > 0]
    else:
        rows = (base * A + table).ravel()
        owner, share = np.arange(stages * S), None
    start, count = mdp.indptr[rows], mdp.indptr[rows + 1] - mdp.indptr[rows]
    ends = np.cumsum(count)
    take = np.repeat(start - ends + count, count) + np.arange(ends[-1])
    prob = mdp.prob[take]
    if share is not None:
        prob = prob * np.repeat(share, count)
    reward = np.repeat(mdp._reward[rows], count) if mdp.certain_rewards else mdp._reward[take]
    indptr = np.zeros(stages * S + 1, np.int64)
    np.cumsum(np.bincount(owner, weights=count, minlength=stages * S).astype(np.int64), out=indptr[1:])
    return RewardChain(indptr, mdp.next_state[take], prob, reward, S)
