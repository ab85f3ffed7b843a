"""Reading the arguments of a model: each is made into one form, or refused with a sentence."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable
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


def gymnasium_rows(env: Any) -> tuple[list[list[Outcome]], int, int, dict[str, Any]]:
    """Rows of the table ``P`` of an environment, numbers of states and actions, and options of the model.

    Entries of one row with the same next state and reward are added; what terminates leads to one more state.
    """
    table = getattr(env.unwrapped, "P", None)
    if table is None:
        raise ValueError(f"{env}: the environment has no table P of its transitions; only tabular ones can be read")
    n_states = len(table)
    actions = [dict(table[s]) if hasattr(table[s], "keys") else dict(enumerate(table[s])) for s in range(n_states)]
    n_actions = 1 + max(max(row) for row in actions)
    ends = any(done for row in actions for listed in row.values() for *_, done in listed)
    rows: list[list[Outcome]] = []
    for s in range(n_states):
        for a in range(n_actions):
            merged: dict[tuple[int, float], float] = {}
            for p, n, r, done in actions[s].get(a, ()):
                key = (n_states if done else int(n), float(r))
                merged[key] = merged.get(key, 0.0) + float(p)
            rows.append([(p, n, r) for (n, r), p in merged.items()])
    options: dict[str, Any] = {}
    law = getattr(env.unwrapped, "initial_state_distrib", None)
    if ends:
        rows += [[(1.0, n_states, 0.0)]] * n_actions
        options["terminal"] = [n_states]
        law = None if law is None else np.append(np.asarray(law, dtype=float), 0.0)
    if law is not None:
        options["initial"] = law
    return rows, n_states + ends, n_actions, options


def reachable_rows(
    states: Iterable[Hashable],
    actions: int | Callable[[Any], Iterable[int]],
    transition: Callable[[Any, int], Iterable[tuple[float, Hashable, float]]],
    max_states: int,
) -> tuple[list[list[Outcome]], dict[Hashable, int], int]:
    """Rows of all states that can be reached (breadth first), their numbers, and the number of actions."""
    index: dict[Hashable, int] = {}
    for state in states:
        index.setdefault(state, len(index))
    if not index:
        raise ValueError("from_function needs at least one first state")
    queue = list(index)
    table: list[dict[int, list[Outcome]]] = []
    n_actions = actions if isinstance(actions, int) else 0
    for state in queue:  # grows while it is read
        row: dict[int, list[Outcome]] = {}
        for action in range(actions) if isinstance(actions, int) else actions(state):
            n_actions = max(n_actions, int(action) + 1)
            listed: list[Outcome] = []
            for p, following, r in transition(state, int(action)):
                if following not in index:
                    if len(index) >= max_states:
                        raise ValueError(f"more than {max_states} states can be reached; raise max_states=")
                    index[following] = len(index)
                    queue.append(following)
                listed.append((float(p), index[following], float(r)))
            row[int(action)] = listed
        table.append(row)
    return [row.get(action, []) for row in table for action in range(n_actions)], index, n_actions


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
