"""The raw mechanisms on arrays, for experiments: no dither, no lattice, no ledger, a seeded generator.

Not for release: the results are doubles with the random numbers of a simulation. Use `ailys.privacy.quantiles` on real people.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.randomness import Seed
from . import pointwise
from .budget import as_budget
from .levels import as_levels
from .noise import random_source
from .rates import Cost

__all__ = ["indexp", "jointexp", "rank_error", "recexp"]


def indexp(
    x: Any, p: Any, *, bounds: tuple[float, float], epsilon: Any, neighbours: str, rng: Seed = None
) -> np.ndarray:
    """Independent exponential mechanisms, one for each level [Smith 2011], on the data as they are.

    Parameters
    ----------
    x : (n,) numbers, clipped to ``bounds``
    p : increasing levels in (0, 1)
    bounds : the two ends of the range
    epsilon : pure privacy loss of all levels together
    neighbours : "add_remove" or "replace"
    rng : generator or seed

    Returns
    -------
    (levels,) doubles, increasing.

    Raises
    ------
    ValueError
        data or bounds that are not finite, bounds or levels that do not increase, or a budget that is not positive

    Examples
    --------
    >>> indexp(range(1001), [0.5], bounds=(0, 1000), epsilon=1, neighbours="replace", rng=0).shape
    (1,)
    """
    return _run(pointwise.independent, x, p, bounds, epsilon, neighbours, rng)


def recexp(
    x: Any, p: Any, *, bounds: tuple[float, float], epsilon: Any, neighbours: str, rng: Seed = None
) -> np.ndarray:
    """The recursion of Kaplan, Schnapp and Stemmer 2022; parameters as in `indexp`.

    Raises
    ------
    ValueError
        as in `indexp`

    Examples
    --------
    >>> bool(np.all(np.diff(recexp(range(1001), [0.2, 0.5, 0.8], bounds=(0, 1000), epsilon=1, neighbours="replace", rng=0)) > 0))
    True
    """
    return _run(pointwise.recursive, x, p, bounds, epsilon, neighbours, rng)


def jointexp(
    x: Any, p: Any, *, bounds: tuple[float, float], epsilon: Any, neighbours: str, rng: Seed = None
) -> np.ndarray:
    """The joint exponential mechanism of Gillenwater, Joseph and Kulesza 2021; parameters as in `indexp`.

    Without dither it fails where many records are equal: equal records leave no room between them.

    Raises
    ------
    ValueError
        as in `indexp`

    Examples
    --------
    >>> [round(v, -2) for v in jointexp(range(1001), [0.2, 0.8], bounds=(0, 1000), epsilon=1, neighbours="replace", rng=0).tolist()]
    [200.0, 800.0]
    """
    return _run(pointwise.joint, x, p, bounds, epsilon, neighbours, rng)


def rank_error(x: Any, p: Any, values: Any) -> np.ndarray:
    """How many records lie between each value and the quantile of its level: max(0, #{x < v} - pn, pn - #{x <= v}).

    Parameters
    ----------
    x : (n,) numbers
    p : (levels,) in (0, 1)
    values : (levels,) released for them

    Examples
    --------
    >>> rank_error([0, 0, 0, 1], [0.5, 0.5], [0, 1]).tolist()
    [0.0, 1.0]
    """
    data, v = np.sort(np.asarray(x, dtype=float)), np.asarray(values, dtype=float)
    wanted = np.asarray(p, dtype=float) * len(data)
    below, atmost = np.searchsorted(data, v, side="left"), np.searchsorted(data, v, side="right")
    return np.maximum(0.0, np.maximum(below - wanted, wanted - atmost))


def _run(
    method: Any, x: Any, p: Any, bounds: tuple[float, float], epsilon: Any, neighbours: str, rng: Seed
) -> np.ndarray:
    data = np.asarray(x if not isinstance(x, range) else list(x), dtype=float)
    low, high = (float(b) for b in bounds)
    if data.ndim != 1 or not np.isfinite(data).all():
        raise ValueError("x must be a list of finite numbers")
    if not (np.isfinite([low, high]).all() and low < high):
        raise ValueError(f"bounds must be two increasing finite numbers; got {low} and {high}")
    edges = np.concatenate([[low], np.sort(np.clip(data, low, high)), [high]])
    levels: Sequence[Any] = as_levels(p)
    cost = Cost.of(as_budget(epsilon=epsilon, neighbours=neighbours))
    generator = np.random.default_rng() if rng is None else rng
    return np.array(method(random_source(generator), edges, levels, cost), dtype=float)
