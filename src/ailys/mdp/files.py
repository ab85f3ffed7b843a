"""Models in files: a NumPy archive of the table, a CSV of transitions, or an environment by its id."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from ..core.files import atomic_write
from ..core.validation import read_archive, read_array
from .model import TabularMDP

__all__ = ["load_mdp", "read_policy", "save_mdp", "save_policy"]

_ARRAYS = ("indptr", "next_state", "prob", "reward", "shape", "initial", "terminal")
_COLUMNS = ("s", "a", "s_next", "p", "r")


def save_mdp(mdp: TabularMDP, path: str | Path) -> Path:
    """Write a model to a ``.npz`` file.

    Raises
    ------
    OSError
        the file cannot be written; what was there before stays
    """
    arrays: dict[str, Any] = {
        "indptr": mdp.indptr,
        "next_state": mdp.next_state,
        "prob": mdp.prob,
        "reward": mdp.reward,
        "shape": np.array([mdp.n_states, mdp.n_actions]),
        "initial": mdp.initial,
        "terminal": mdp.terminal,
        "discount": np.array(mdp.discount),
    }
    if mdp.horizon is not None:
        arrays["horizon"] = np.array(mdp.horizon)
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)
    return Path(path)


def load_mdp(source: str | Path, *, horizon: int | None = None, discount: float | None = None) -> TabularMDP:
    """A model from ``env:ID`` (a Gymnasium environment with a table), a ``.npz`` or a ``.csv`` file.

    The CSV has the columns s, a, s_next, p, r; states and actions are whole numbers from 0, rows of one (s, a) need not
    be neighbours, the first state is 0. ``horizon`` and ``discount`` replace those of the source.

    Raises
    ------
    FileNotFoundError
        there is no such file
    ValueError
        the source is not a model; the sentence names the file, and the line or the state that is wrong

    Examples
    --------
    >>> load_mdp("env:FrozenLake-v1", horizon=20).horizon
    20
    """
    text = str(source)
    if text.startswith("env:"):
        return _from_environment(text[4:], horizon, discount)
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a .npz or .csv file, or env:ID")
    if path.suffix == ".csv":
        return _from_csv(path, horizon, 1.0 if discount is None else discount)
    if path.suffix == ".npz":
        return _from_npz(path, horizon, discount)
    raise ValueError(f"{path}: expected a .npz or .csv file, or env:ID")


def _from_environment(name: str, horizon: int | None, discount: float | None) -> TabularMDP:
    import gymnasium

    from . import envs  # noqa: F401  (registers ailys/...)

    try:
        env = gymnasium.make(name)
    except (gymnasium.error.Error, ImportError) as fault:
        raise ValueError(f"env:{name}: {fault}") from fault
    own = getattr(env.unwrapped, "to_mdp", None)
    if own is not None:
        mdp = own()
        changes: dict[str, Any] = {} if horizon is None else {"horizon": horizon}
        return mdp.replace(**changes | ({} if discount is None else {"discount": discount}))
    return TabularMDP.from_gymnasium(env, horizon, **({} if discount is None else {"discount": discount}))


def _from_csv(path: Path, horizon: int | None, discount: float) -> TabularMDP:
    rows: list[tuple[int, int, int, float, float]] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise ValueError(f"{path}: column {missing[0]!r} is missing; expected {', '.join(_COLUMNS)}")
            for line, row in enumerate(reader, start=2):
                try:
                    s, a, n = (int(row[name]) for name in _COLUMNS[:3])
                    rows.append((s, a, n, float(row["p"]), float(row["r"])))
                except (TypeError, ValueError) as fault:
                    raise ValueError(f"{path}: line {line}: expected whole s, a, s_next and numbers p, r") from fault
                if min(s, a, n) < 0:
                    raise ValueError(f"{path}: line {line}: states and actions are numbered from 0; got {min(s, a, n)}")
    except (UnicodeDecodeError, csv.Error) as fault:
        raise ValueError(f"{path}: not a CSV file ({fault})") from fault
    if not rows:
        raise ValueError(f"{path}: no transitions; expected lines {','.join(_COLUMNS)}")
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    state, action, after, prob, reward = columns
    n_states, n_actions = int(max(state.max(), after.max())) + 1, int(action.max()) + 1
    if n_states * n_actions > 100_000_000:
        raise ValueError(f"{path}: {n_states} states x {n_actions} actions; number them without gaps")
    order = np.lexsort((action, state))
    counts = np.bincount(state * n_actions + action, minlength=n_states * n_actions)
    allowed = (counts > 0).reshape(n_states, n_actions)
    ends = ~allowed.any(axis=1)  # states that are entered and never left
    indptr = np.concatenate([[0], np.cumsum(counts)])
    try:
        return TabularMDP(
            indptr, after[order], prob[order], reward[order], n_states, n_actions, horizon=horizon, discount=discount, terminal=ends,
            mask=None if allowed.all() else allowed,
        )  # fmt: skip
    except ValueError as fault:
        raise ValueError(f"{path}: {fault}") from fault


def _from_npz(path: Path, horizon: int | None, discount: float | None) -> TabularMDP:
    arrays = read_archive(path)
    missing = [name for name in ("indptr", "next_state", "prob", "reward") if name not in arrays]
    if missing:
        raise ValueError(f"{path}: the array {missing[0]!r} is missing; expected {', '.join(_ARRAYS)}")
    if horizon is None and "horizon" in arrays:
        horizon = int(arrays["horizon"])
    if discount is None:
        discount = float(arrays.get("discount", 1.0))
    try:
        if "shape" in arrays:
            n_states, n_actions = (int(x) for x in arrays["shape"])
        else:
            n_states = int(np.max(arrays["next_state"])) + 1
            n_actions = (len(arrays["indptr"]) - 1) // n_states
        counts = np.diff(arrays["indptr"])
        shape = n_states, n_actions
        mask = None
        if (counts == 0).any():
            stages = len(counts) // (n_states * n_actions)
            mask = (counts > 0).reshape(stages, *shape) if stages > 1 else (counts > 0).reshape(shape)
        indptr, after, prob, reward = (arrays[name] for name in ("indptr", "next_state", "prob", "reward"))
        options: dict[str, Any] = {name: arrays[name] for name in ("initial", "terminal") if name in arrays}
        return TabularMDP(indptr, after, prob, reward, *shape, horizon=horizon, discount=discount, mask=mask, **options)
    except (ValueError, TypeError) as fault:
        raise ValueError(f"{path}: {fault}") from fault


def save_policy(policy: np.ndarray, path: str | Path) -> Path:
    """Write a table of actions to a ``.npy`` file."""
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.save(file, policy)
    return Path(path)


def read_policy(path: str | Path) -> np.ndarray:
    """A table of actions or of probabilities from a ``.npy`` file.

    Raises
    ------
    FileNotFoundError
        there is no such file
    ValueError
        not a ``.npy`` file
    """
    return read_array(path)
