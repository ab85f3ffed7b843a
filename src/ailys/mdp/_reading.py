"""Reading the arguments of a model: each is made into one form, or refused with a sentence."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

MASS_TOLERANCE = 1e-9  # a row whose probabilities miss 1 by less is renormalised
MOST = 10**9  # states, actions, decisions
LARGEST_RETURN = 1e150  # squares of larger ones overflow

Outcome = tuple[float, int, float]


def read_row(row: Iterable[Outcome] | None, state: int, action: int) -> list[Outcome]:
    try:
        return [(float(p), int(n), float(r)) for p, n, r in row or ()]
    except (TypeError, ValueError) as fault:
        raise ValueError(
            f"state {state}, action {action}: expected outcomes (probability, next state, reward); got {row!r}"
        ) from fault


def matrices_by_action(P: Any) -> list[Any]:
    """One sparse matrix for each action, from any of the accepted forms."""
    import scipy.sparse

    if isinstance(P, np.ndarray) and P.dtype != object:
        if P.ndim != 3:
            raise ValueError(f"P must have shape (S, A, S) or (A, S, S); got {P.shape}")
        if P.shape[0] == P.shape[2]:
            P = [P[:, a, :] for a in range(P.shape[1])]
        elif P.shape[1] == P.shape[2]:
            P = list(P)
        else:
            raise ValueError(f"P must have shape (S, A, S) or (A, S, S); got {P.shape}")
    elif len(P) and not scipy.sparse.issparse(P[0]) and np.ndim(P) == 3:
        return matrices_by_action(np.asarray(P, dtype=float))
    matrices = [scipy.sparse.csr_array(matrix) for matrix in P]
    if not matrices or any(m.shape != (matrices[0].shape[0],) * 2 for m in matrices):
        raise ValueError(f"P must hold one square matrix for each action; got shapes {[m.shape for m in matrices]}")
    return matrices


def positive(value: Any, name: str) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name} must be a whole number >= 1; got {value!r}")
    if value > MOST:
        raise ValueError(f"{name} must be at most {MOST}; got {value}")
    return int(value)


def discount_factor(value: Any) -> float:
    try:
        value = float(value)
    except (TypeError, ValueError):
        value = math.nan
    if not 0 < value <= 1:
        raise ValueError(f"discount must lie in (0, 1]; got {value!r}")
    return value


def whole_numbers(values: Any, name: str) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional; got shape {array.shape}")
    if array.dtype.kind not in "iu":
        if array.size and not (array.dtype.kind == "f" and np.array_equal(array, np.round(array))):
            raise ValueError(f"{name} must hold whole numbers; got type {array.dtype}")
        array = array.astype(np.int64)
    return array


def state_mask(states: Any, n_states: int, name: str) -> np.ndarray:
    mask = np.zeros(n_states, bool)
    if states is None:
        return mask
    states = np.asarray(states)
    if states.dtype == bool:
        if states.shape != (n_states,):
            raise ValueError(f"{name} must be a mask of {n_states} states; got shape {states.shape}")
        return states.copy()
    states = np.atleast_1d(whole_numbers(np.atleast_1d(states), name))
    outside = states[(states < 0) | (states >= n_states)]
    if outside.size:
        raise ValueError(f"{name} names a state outside 0..{n_states - 1}; got {outside[0]}")
    mask[states] = True
    return mask


def initial_law(initial: Any, n_states: int) -> np.ndarray:
    if initial is None:
        initial = 0
    if np.ndim(initial) == 0:
        return state_mask([initial], n_states, "initial").astype(float)
    law = np.array(initial, dtype=float)
    if law.shape != (n_states,) or not (law >= 0).all() or not abs(law.sum() - 1) <= MASS_TOLERANCE:
        raise ValueError(f"initial must be a state, or {n_states} probabilities that sum to 1")
    return law / law.sum()


def count(n: int, what: str) -> str:
    return f"{n} {what}" + ("" if n == 1 else "s")
