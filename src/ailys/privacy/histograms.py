"""Histograms with exact integer noise, of numbers and of texts, on a public partition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.answer import Answer
from ..core.guarantee import Guarantee
from .budget import PrivacySpent, as_budget
from .integer_noise import IntegerNoise
from .lattice import Lattice
from .ledger import Ledger
from .noise import Amount, Source, exact_fraction
from .preprocess import check_missing
from .readers import fingerprint, load_labels, load_persons
from .records import check_confidence, lattice_indices, public_settings, read_records, same_length
from .release import private_release

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PrivateHistogram", "histogram"]


@dataclass(frozen=True)
class PrivateHistogram(Answer):
    """Released counts of cells; ``half_width`` holds for all of them together with probability ``confidence``."""

    counts: np.ndarray  # (k,) integers, negative ones possible: the noise is unbiased
    cells: tuple[str, ...]
    edges: np.ndarray | None  # (k + 1,) for numbers
    half_width: float
    confidence: float
    noise_sd: float
    privacy: PrivacySpent
    secure: bool

    @property
    def guarantee(self) -> Guarantee:
        """The privacy of the release."""
        return self.privacy.released(self.secure)

    def facts(self) -> Mapping[str, Any]:
        """The counts by cell."""
        return {
            **{"counts": self.counts.tolist(), "cells": list(self.cells)},
            "edges": None if self.edges is None else self.edges.tolist(),
            **{"half_width": self.half_width, "confidence": self.confidence, "noise_sd": self.noise_sd},
            **self.privacy.facts(),
            "secure": self.secure,
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """Bars with the band of the noise."""
        from ..core.figures import PALETTE, new_axes

        ax = new_axes(ax, figsize=(6.5, 3.6))
        if self.edges is not None:
            ax.bar(
                self.edges[:-1], self.counts, width=np.diff(self.edges), align="edge", color=PALETTE[0], alpha=0.75,
                yerr=self.half_width, ecolor=PALETTE[5], capsize=0,
            )  # fmt: skip
        else:
            ax.bar(
                range(len(self.cells)),
                self.counts,
                color=PALETTE[0],
                alpha=0.75,
                yerr=self.half_width,
                ecolor=PALETTE[5],
            )
            ax.set_xticks(range(len(self.cells)), self.cells, rotation=30 if len(self.cells) > 5 else 0)
        ax.axhline(0, color=PALETTE[5], linewidth=0.8)
        ax.set_ylabel("records, with noise")
        ax.set_title(f"all within ±{self.half_width:g} with probability {self.confidence:g}")
        return ax


def histogram(
    x: Any,
    *,
    neighbours: str,
    bounds: tuple[Amount, Amount] | None = None,
    resolution: Amount | None = None,
    bins: int | None = None,
    categories: Sequence[str] | None = None,
    epsilon: Amount | None = None,
    rho: Amount | None = None,
    contributions: int = 1,
    person: Any = None,
    missing: str = "error",
    missing_value: float | None = None,
    confidence: float = 0.95,
    ledger: Ledger | str | Path | None = None,
    label: str | None = None,
    unsafe_rng: np.random.Generator | int | None = None,
) -> PrivateHistogram:
    """Counts of the cells of a public partition.

    One record changes one count under "add_remove" and two under "replace", whatever the number of cells.

    Parameters
    ----------
    x : array (n,) of numbers or texts, or `Column`
    bounds : for numbers, lowest and highest value that can occur; values outside count in the first and last cell
    resolution, bins : for numbers, one of them: each multiple of the unit is a cell, or so many cells of equal width
    categories : for texts, the public list; everything else, missing values too, counts as "other"
    missing, missing_value : as in `ailys.privacy.sum`
    neighbours, epsilon, rho, contributions, person, confidence, ledger, label, unsafe_rng : as in `count`

    Raises
    ------
    BudgetExceeded
        the ledger does not allow it; no data are read
    ReleaseFailed
        the mechanism stopped on these data; the budget stays spent
    ValueError, TypeError
        bad settings or bad data; no text holds a value of the data

    Examples
    --------
    >>> cells = histogram(["a", "b", "a"], categories=["a", "b"], neighbours="add_remove", epsilon=1)
    >>> cells.cells, len(cells.counts)
    (('a', 'b', 'other'), 3)
    """
    budget = as_budget(epsilon, rho, neighbours, contributions)
    check_missing(missing, missing_value, neighbours, contributions, person)
    check_confidence(confidence)
    lattice, cells, edges = _partition(bounds, resolution, bins, categories)
    moved = 1 if neighbours == "add_remove" else 2
    noise = IntegerNoise.calibrated(budget, l1=moved, l2_squared=moved)

    def read() -> tuple[np.ndarray, np.ndarray | None]:
        if categories is None:
            values, who = read_records(x, person, missing)
            return (values if resolution is not None else _binned(values, edges), who)
        place = {name.strip(): k for k, name in enumerate(cells[:-1])}
        codes = np.array([place.get(text, len(place)) for text in load_labels(x)], dtype=float)
        return same_length(codes, load_persons(x, person))

    def run(data: tuple[np.ndarray, np.ndarray | None], source: Source) -> np.ndarray:
        replacement = missing_value
        if missing == "value" and resolution is None and categories is None:
            replacement = float(_binned(np.array([missing_value], dtype=float), edges)[0])
        kept = lattice_indices(data, lattice, budget, missing, replacement, source)
        return np.bincount(kept, minlength=len(cells))[: len(cells)] + noise.draw(source, len(cells))

    about = {"bounds": bounds, "resolution": resolution, "bins": bins, "cells": len(cells), "missing": missing}
    counts = private_release(
        *(run, read), privacy=budget.spent(), mechanism=f"histogram, {noise.law} noise", parameters=public_settings(budget, **about),
        ledger=ledger, label=label, dataset=fingerprint(x), unsafe_rng=unsafe_rng,
    )  # fmt: skip
    width = noise.half_width((1 - confidence) / len(cells))
    return PrivateHistogram(
        *(counts, cells, edges if categories is None else None, float(width), confidence, noise.variance**0.5),
        *(budget.spent(), unsafe_rng is None),
    )


def _partition(
    bounds: tuple[Amount, Amount] | None, resolution: Amount | None, bins: int | None, categories: Sequence[str] | None
) -> tuple[Lattice, tuple[str, ...], np.ndarray]:
    if categories is not None:
        if bounds is not None or resolution is not None or bins is not None:
            raise ValueError("categories are for texts: leave out bounds, resolution and bins")
        names = tuple(str(name) for name in categories)
        if isinstance(categories, str) or not names or len(set(names)) < len(names) or "other" in names:
            raise ValueError("categories must be a list of different texts, at least one, none of them 'other'")
        return Lattice(Fraction(0), Fraction(1), len(names) + 1), (*names, "other"), np.zeros(0)
    if bounds is None or (resolution is None) == (bins is None):
        raise ValueError("a histogram needs categories, or bounds with exactly one of resolution and bins")
    if resolution is not None:
        lattice = Lattice.of(bounds, resolution)
        if lattice.size > 1 << 22:
            raise ValueError(f"the lattice has {lattice.size} points, more than 2^22; use bins or a coarser resolution")
        points = lattice.values(np.arange(lattice.size))
        half = float(lattice.step) / 2
        return lattice, tuple(f"{point:g}" for point in points), np.append(points - half, points[-1] + half)
    if isinstance(bins, bool) or not hasattr(bins, "__index__") or not 1 <= int(bins) <= 1 << 22:  # type: ignore[arg-type]
        raise ValueError(f"bins must be a whole number in 1..2^22; got {bins!r}")
    k = int(bins)  # type: ignore[arg-type]
    outer = Lattice.of(bounds, Fraction(Lattice.of(bounds, _extent(bounds)).step, k))
    edges = outer.values(np.arange(k + 1))
    names = tuple(f"[{low:g}, {high:g})" for low, high in pairwise(edges))
    return Lattice(Fraction(0), Fraction(1), k + 1), names, edges


def _extent(bounds: tuple[Amount, Amount]) -> Fraction:
    try:
        low, high = bounds
    except (TypeError, ValueError):
        raise ValueError("bounds must be two numbers, the lowest and the highest value that can occur") from None
    extent = exact_fraction(high, "the upper bound") - exact_fraction(low, "the lower bound")
    if extent <= 0:
        raise ValueError(f"bounds must be increasing; got {low} to {high}")
    return extent


def _binned(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The number of each value's bin; missing ones stay missing."""
    bins = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2).astype(float)
    return np.where(np.isfinite(values), bins, np.nan)
