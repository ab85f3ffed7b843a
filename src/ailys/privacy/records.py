"""Reading the records of a release, and turning them into numbers of lattice points."""

from __future__ import annotations

from typing import Any

import numpy as np

from .budget import Budget
from .lattice import Lattice
from .noise import Source
from .preprocess import prepare
from .readers import load_persons, load_values

__all__ = ["check_confidence", "lattice_indices", "public_settings", "read_records", "same_length"]


def read_records(x: Any, person: Any, missing: str) -> tuple[np.ndarray, np.ndarray | None]:
    """The values and, if asked for, the persons; checked before any budget is touched."""
    values = load_values(x)
    if missing == "error" and not np.isfinite(values).all():
        raise ValueError(
            "the column has missing or infinite values; say missing='drop' or missing='value' with a public missing_value"
        )
    return same_length(values, load_persons(x, person))


def same_length(values: np.ndarray, who: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Both, if every record has its person."""
    if who is not None and len(who) != len(values):
        raise ValueError("person must have one entry for each record")
    return values, who


def lattice_indices(
    data: tuple[np.ndarray, np.ndarray | None], lattice: Lattice, budget: Budget, missing: str, missing_value: float | None, source: Source
) -> np.ndarray:  # fmt: skip
    """The lattice point of each record that counts."""
    return prepare(
        data[0], lattice, neighbours=budget.neighbours, missing=missing, missing_value=missing_value, person=data[1],
        contributions=budget.contributions, source=source,
    )  # fmt: skip


def public_settings(budget: Budget, **more: Any) -> dict[str, Any]:
    """What the ledger may note: settings that were chosen without the data."""
    said = {key: value for key, value in more.items() if value is not None}
    return {**said, "contributions": budget.contributions, "neighbours": budget.neighbours}


def check_confidence(confidence: float) -> None:
    """Whether this is a probability."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie in (0, 1); got {confidence!r}")
