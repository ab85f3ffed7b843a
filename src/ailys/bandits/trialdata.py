"""Trials from a CSV file or a DataFrame, checked cell by cell; faults are named with their line."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from ..core.files import read_text

__all__ = ["TrialData", "check_chances", "read_trials"]

_TRUE, _FALSE = {"true", "yes", "t", "y"}, {"false", "no", "f", "n"}
_MISSING = {"", "na", "nan", "n/a", "null", "none", "."}
_NO_LABEL = {"", "na", "nan"}  # a group may well be called "none"
_LISTED = 8


@dataclass(frozen=True)
class TrialData:
    """Trials in the order of assignment.

    Attributes
    ----------
    arms : labels, control first
    labels : (n,) arm of each trial
    outcomes : (n,) numbers in [0, 1], or numbers of categories
    categories : names of the categories, None for numbers
    chances : (n, K) or (1, K) assignment probabilities
    """

    arms: list[Any]
    labels: np.ndarray
    outcomes: np.ndarray
    categories: list[str] | None
    chances: np.ndarray
    remarks: tuple[str, ...] = ()


def read_trials(
    data: Any, arm: str, outcome: str, propensity: Any, order: str | None, control: Any, skip_missing: bool
) -> TrialData:
    """Read and check; see `ab_test` for the parameters."""
    wanted = [arm, outcome, *([order] if order else [])]
    if isinstance(propensity, str):
        wanted.append(propensity)
    elif isinstance(propensity, Mapping):
        wanted += [column for column in propensity.values() if isinstance(column, str)]
    columns, lines, name = _columns(data, wanted)
    if not lines:
        raise ValueError(f"{name}: no trials")
    rank = _order(columns[order], lines, name, order) if order else np.arange(len(lines))
    missing = [i for i, cell in enumerate(columns[outcome]) if _is_missing(cell)]
    remarks: tuple[str, ...] = ()
    if missing:
        if not skip_missing:
            raise ValueError(
                f"{name}: no outcome in {_where([lines[i] for i in missing])}; fill them in, or pass --skip-missing "
                "(skip_missing=True) to leave these trials out"
            )
        remarks = (f"{len(missing)} trials without outcome left out, as if they were missing by chance",)
    gone = set(missing)
    keep = [int(i) for i in rank if int(i) not in gone]
    if not keep:
        raise ValueError(f"{name}: no trial has an outcome")
    unnamed = [lines[i] for i in keep if _is_missing(columns[arm][i], _NO_LABEL)]
    if unnamed:
        raise ValueError(f"{name}: no arm in {_where(unnamed)}")
    names = [str(columns[arm][i]).strip() for i in keep]
    arms = sorted(set(names))
    if isinstance(propensity, Mapping):
        unknown = set(arms) - {str(k) for k in propensity}
        if unknown:
            raise ValueError(f"propensity says nothing of the arms {', '.join(sorted(unknown))}")
        empty = {str(k) for k in propensity} - set(arms)
        if empty:
            raise ValueError(f"{name}: no trial of the arms {', '.join(sorted(empty))} named in propensity")
    if len(arms) < 2:
        raise ValueError(f"{name}: all trials have the arm {arms[0]!r}; a comparison needs two arms")
    if len(arms) > 100:
        raise ValueError(f"{name}: column {arm!r} has {len(arms)} different values; that is not an arm")
    if control is not None:
        if str(control) not in arms:
            raise ValueError(f"control {control!r} is not an arm; the arms are {', '.join(arms)}")
        arms.sort(key=lambda a: a != str(control))
    index = {a: i for i, a in enumerate(arms)}
    labels = np.array([index[a] for a in names], np.int64)
    outcomes, categories = _outcomes([columns[outcome][i] for i in keep], [lines[i] for i in keep], name, outcome)
    chances = _chances(propensity, columns, keep, lines, labels, arms, name)
    return TrialData(arms, labels, outcomes, categories, chances, remarks)


def _columns(data: Any, wanted: list[str]) -> tuple[dict[str, list[Any]], list[int], str]:
    """Cells of the wanted columns and the line of each row (of a DataFrame: its row, counted from 1)."""
    if hasattr(data, "columns") and hasattr(data, "__getitem__"):
        have = [str(c) for c in data.columns]
        _check_columns(wanted, have, "the data")
        return {c: list(data[c]) for c in wanted}, list(range(1, len(data) + 1)), "the data"
    if not isinstance(data, (str, Path)):
        raise TypeError(f"data must be a CSV file or a DataFrame; got {type(data).__name__}")
    path = Path(data)
    text = read_text(path)
    if "\0" in text:
        raise ValueError(f"{path}: not a text file")
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    try:
        header = [cell.strip() for cell in next(reader)]
        _check_columns(wanted, header, str(path))
        place = {c: header.index(c) for c in wanted}
        cells: dict[str, list[Any]] = {c: [] for c in wanted}
        lines = []
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise ValueError(f"{path}, line {reader.line_num}: {len(row)} cells, the header has {len(header)}")
            lines.append(reader.line_num)
            for c in wanted:
                cells[c].append(row[place[c]].strip())
    except StopIteration:
        raise ValueError(f"{path}: empty") from None
    except csv.Error as fault:
        raise ValueError(f"{path}, line {reader.line_num}: {fault}") from None
    return cells, lines, str(path)


def _check_columns(wanted: list[str], have: list[str], name: str) -> None:
    for column in wanted:
        if column not in have:
            raise ValueError(f"{name}: no column {column!r}; the columns are {', '.join(have)}")
        if have.count(column) > 1:
            raise ValueError(f"{name}: two columns are called {column!r}")


def _is_missing(cell: Any, words: set[str] = _MISSING) -> bool:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return True
    return (isinstance(cell, str) and cell.strip().lower() in words) or str(cell) in ("NaT", "<NA>")


def _where(lines: list[int]) -> str:
    shown = ", ".join(map(str, lines[:_LISTED])) + (f" and {len(lines) - _LISTED} more" if len(lines) > _LISTED else "")
    return f"line{'s' if len(lines) > 1 else ''} {shown}"


def _number(cell: Any) -> float | None:
    if isinstance(cell, (bool, np.bool_)):
        return float(cell)
    if isinstance(cell, str):
        word = cell.strip().lower()
        if word in _TRUE or word in _FALSE:
            return float(word in _TRUE)
    try:
        return float(cell)
    except (TypeError, ValueError):
        return None


def _outcomes(cells: list[Any], lines: list[int], name: str, column: str) -> tuple[np.ndarray, list[str] | None]:
    numbers = [_number(cell) for cell in cells]
    words = [i for i, value in enumerate(numbers) if value is None]
    if not words:
        values = np.array(numbers, dtype=float)
        wrong = np.flatnonzero(~((values >= 0) & (values <= 1)))
        if len(wrong):
            raise ValueError(
                f"{name}, {_where([lines[i] for i in wrong])}: outcomes must lie in [0, 1] or be words; got "
                f"{cells[wrong[0]]!r} (divide column {column!r} by its largest possible value)"
            )
        return values, None
    if len(words) < len(cells):
        raise ValueError(
            f"{name}, {_where([lines[i] for i in words])}: {cells[words[0]]!r} among numbers in column {column!r}"
        )
    names = sorted({str(cell) for cell in cells})
    if len(names) > 50:
        raise ValueError(f"{name}: column {column!r} has {len(names)} different words; expected outcomes")
    index = {word: i for i, word in enumerate(names)}
    return np.array([index[str(cell)] for cell in cells], float), names


def _order(cells: list[Any], lines: list[int], name: str, column: str) -> np.ndarray:
    missing = [line for cell, line in zip(cells, lines, strict=True) if _is_missing(cell)]
    if missing:
        raise ValueError(f"{name}: no value of {column!r} in {_where(missing)}")
    keys: list[Any] = [_number(cell) for cell in cells]
    if any(value is None for value in keys):
        keys = [_date(cell) for cell in cells]
        wrong = [line for key, line in zip(keys, lines, strict=True) if key is None]
        if wrong:
            first = cells[lines.index(wrong[0])]
            raise ValueError(
                f"{name}, {_where(wrong)}: {first!r} in column {column!r} is neither a number, as all cells would have to be, "
                "nor a date like 2024-05-31 or 2024-05-31 09:30"
            )
    try:
        return np.array(sorted(range(len(keys)), key=lambda i: keys[i]))  # stable
    except TypeError:
        raise ValueError(f"{name}: column {column!r} mixes dates with and without a time zone") from None


def _date(cell: Any) -> datetime | None:
    if isinstance(cell, datetime):
        return cell
    try:
        return datetime.fromisoformat(str(cell).strip())
    except ValueError:
        return None


def _chances(
    propensity: Any,
    columns: Mapping[str, list[Any]],
    keep: list[int],
    lines: list[int],
    labels: np.ndarray,
    arms: list[Any],
    name: str,
) -> np.ndarray:
    n = len(arms)
    if isinstance(propensity, str):
        if n != 2:
            raise ValueError(
                f"{name}: one column of propensities describes two arms; for {n} give a column for each arm"
            )
        received = _probabilities(columns[propensity], keep, lines, name, propensity)
        chances = np.empty((len(keep), 2))
        rows = np.arange(len(keep))
        chances[rows, labels], chances[rows, 1 - labels] = received, 1 - received
        return chances
    if isinstance(propensity, Mapping):
        by_name = {str(k): v for k, v in propensity.items()}
        parts = [by_name[str(a)] for a in arms]
        if not any(isinstance(part, str) for part in parts):
            return check_chances(parts, n)[None]
        for part in parts:
            if not isinstance(part, str) and not (_number(part) is not None and 0 < float(part) < 1):
                raise ValueError(f"propensity must hold columns, or numbers strictly between 0 and 1; got {part!r}")
        chances = np.column_stack(
            [
                _probabilities(columns[part], keep, lines, name, part)
                if isinstance(part, str)
                else np.full(len(keep), part)
                for part in parts
            ]
        )
        off = np.flatnonzero(np.abs(chances.sum(axis=1) - 1) > 1e-6)
        if len(off):
            raise ValueError(f"{name}, {_where([lines[keep[i]] for i in off])}: the propensities do not sum to 1")
        return np.asarray(chances / chances.sum(axis=1, keepdims=True))
    return check_chances(propensity, n)[None]


def _probabilities(cells: list[Any], keep: list[int], lines: list[int], name: str, column: str) -> np.ndarray:
    values = [_number(cells[i]) for i in keep]
    wrong = [lines[i] for i, v in zip(keep, values, strict=True) if v is None or not 0 < v < 1]
    if wrong:
        raise ValueError(
            f"{name}, {_where(wrong)}: propensities in column {column!r} must lie strictly between 0 and 1"
        )
    return np.array(values, float)


def check_chances(chances: Any, n_arms: int) -> np.ndarray:
    """Assignment probabilities of all arms; None stands for equal ones, a number for that of the second of two arms."""
    if chances is None:
        return np.full(n_arms, 1 / n_arms)
    array = np.asarray(chances, dtype=float)
    if array.ndim == 0:
        if n_arms != 2:
            raise ValueError(f"one probability describes two arms; {n_arms} arms need one for each")
        array = np.array([1 - array, array])
    if array.shape != (n_arms,) or not np.isfinite(array).all() or (array <= 0).any() or abs(array.sum() - 1) > 1e-9:
        raise ValueError(
            f"the probabilities of {n_arms} arms must be positive and sum to 1; got {np.round(array, 6).tolist()}"
        )
    return array / array.sum()
