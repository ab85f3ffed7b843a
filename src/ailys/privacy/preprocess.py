"""What every mechanism does to a column first: missing values, records of one person, lattice, dither.

Each step treats records (or persons) one by one, so that a change of one record of the input changes at most one record of the
output; with ``person`` a change of one person changes at most ``contributions`` records.
"""

from __future__ import annotations

import numpy as np

from .lattice import Lattice
from .noise import Source, exact_fraction

__all__ = ["MISSING", "check_missing", "check_values", "dither", "prepare"]

MISSING = ("error", "drop", "value")


def check_missing(
    missing: str, missing_value: float | None, neighbours: str, contributions: int = 1, person: object = None
) -> None:
    """Refuse what cannot be private, before any data is read."""
    if missing not in MISSING:
        raise ValueError(f"missing must be one of {', '.join(MISSING)}; got {missing!r}")
    if missing == "drop" and neighbours == "replace":
        raise ValueError(
            "missing='drop' changes the number of records, which is public under neighbours='replace'; use missing='value' "
            "with a public missing_value, or neighbours='add_remove'"
        )
    if (missing == "value") != (missing_value is not None):
        raise ValueError("missing='value' and a missing_value go together")
    if missing_value is not None:
        exact_fraction(missing_value, "missing_value")
    if person is not None and neighbours == "replace":
        raise ValueError("person= removes rows, so that their number changes; it needs neighbours='add_remove'")
    if isinstance(contributions, bool) or not isinstance(contributions, (int, np.integer)) or contributions < 1:
        raise ValueError(f"contributions must be a whole number >= 1; got {contributions!r}")


def check_values(column: np.ndarray, missing: str, person: np.ndarray | None = None) -> None:
    """Refuse a column that the mechanism could not take, before its budget is spent."""
    if missing == "error" and not np.isfinite(column).all():
        raise ValueError(
            "the column has missing or infinite values; say missing='drop' or missing='value' with a public missing_value"
        )
    if person is not None and len(person) != len(column):
        raise ValueError("the column of persons and the column of values must have the same length")


def prepare(
    column: np.ndarray,
    lattice: Lattice,
    *,
    neighbours: str,
    missing: str = "error",
    missing_value: float | None = None,
    person: np.ndarray | None = None,
    contributions: int = 1,
    source: Source,
) -> np.ndarray:
    """The lattice point of each record that counts, as int64 numbers of points."""
    check_missing(missing, missing_value, neighbours, contributions, person)
    check_values(column, missing, person)
    absent = ~np.isfinite(column)
    if absent.any():
        if missing == "value":
            column = np.where(absent, float(missing_value), column)  # type: ignore[arg-type]
        else:
            column = column[~absent]
            person = None if person is None else np.asarray(person)[~absent]
    if person is not None:
        column = column[_few_of_each(np.asarray(person), contributions, source)]
    return lattice.index(column)


def _few_of_each(person: np.ndarray, contributions: int, source: Source) -> np.ndarray:
    """Rows kept: at most ``contributions`` of each person, uniformly chosen."""
    _, code = np.unique(person, return_inverse=True)
    shuffled = source.permutation(len(code))
    order = shuffled[np.argsort(code[shuffled], kind="stable")]  # by person, in random order inside
    sorted_code = code[order]
    starts = np.flatnonzero(np.r_[True, sorted_code[1:] != sorted_code[:-1]]) if len(order) else np.zeros(0, dtype=int)
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    return order[rank < contributions]


def dither(index: np.ndarray, lattice: Lattice, source: Source) -> np.ndarray:
    """Sorted positions ``index * 2^b + r`` with ``b`` random bits r for each record: atoms become short crowded intervals.

    Position z belongs to the lattice point ``z >> b``: an atom keeps its mass in its own cell, and rounding undoes the dither.
    """
    bits = lattice.cell_bits
    positions = (index << bits) | source.bits(bits, len(index))
    positions.sort()
    return positions
