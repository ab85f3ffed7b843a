"""`count_modes`: how many groups many exponents form, by the modes of their distribution.

Tests of neighbours lose power with the number of channels, and need a bootstrap; from some twenty channels on the exponents
themselves show their groups. Dip test: J. A. Hartigan, P. M. Hartigan, *The dip test of unimodality*, Ann. Statist. 13, 1985.
Critical bandwidths: B. W. Silverman, *Using kernel density estimates to investigate multimodality*, J. R. Statist. Soc. B 43, 1981.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.answer import Answer
from ..core.randomness import Seed, as_generator
from .estimate import HurstEstimate
from .validation import fraction, whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ModeCount", "count_modes", "dip_statistic"]

METHODS = ("silverman", "dip")
_LEAST = 4  # exponents; three have one dip only
_MOST_SIMULATIONS = 100_000
_LARGEST, _CLOSEST = 1e100, 1e-100  # squares of what lies between are numbers
_PER_BANDWIDTH = 8  # grid points of a density in one bandwidth
_GRID = (128, 8192)  # fewest and most grid points


@dataclass(frozen=True, eq=False)
class ModeCount(Answer):
    """Groups of exponents.

    Attributes
    ----------
    n_modes : one more than the last hypothesis rejected; for "dip" 2 means two or more
    labels : (M,) group of each exponent, 0 for the smallest: cut where the density at ``bandwidth`` is lowest
    exponents : (n_groups,) means of the groups; fewer than ``n_modes`` where modes vanish together (equal distances, equal numbers)
    p_values : of the hypotheses of at most 1, 2, ... modes ("dip": of one mode)
    statistics : critical bandwidths of these hypotheses, or the dip
    bandwidth : smallest one at which a Gaussian kernel density has ``n_modes`` modes or fewer
    hurst : (M,) the exponents
    method, alpha, n_simulations : as asked
    """

    n_modes: int
    labels: np.ndarray
    exponents: np.ndarray
    p_values: np.ndarray
    statistics: np.ndarray
    bandwidth: float
    hurst: np.ndarray
    method: str
    alpha: float
    n_simulations: int

    def facts(self) -> Mapping[str, Any]:
        """Number, exponents and members of the groups."""
        return {
            "modes": self.n_modes,
            "modes_are": "at least so many" if self.n_modes > 1 else "no more were found",
            "exponents": self.exponents,
            "hurst": self.hurst,
            "labels": self.labels,
            "p_values": self.p_values,
            "statistics": self.statistics,
            "bandwidth": self.bandwidth,
            "method": self.method,
            "alpha": self.alpha,
            "n_simulations": self.n_simulations,
        }

    @property
    def guarantee(self) -> None:
        """Estimated exponents are not independent draws of one law; measured rates are on the page."""
        return None

    def plot(self, ax: Axes | None = None) -> Axes:
        """The density of the exponents at the critical bandwidth, the groups below it."""
        from .plots import plot_modes

        return plot_modes(self, ax)


def count_modes(
    exponents: Any,
    *,
    method: str = "silverman",
    most: int = 4,
    alpha: float = 0.05,
    n_simulations: int = 199,
    rng: Seed = None,
) -> ModeCount:
    """Count the modes of the exponents' distribution; for many channels.

    "silverman" often takes three groups at equal distances for one; "dip" then says that there are more (table on the page).

    Parameters
    ----------
    exponents : answer of `estimate_hurst` (no bootstrap is needed), or (M,) numbers; 20 or more are advised
    method : "silverman" (at most 1, 2, ... modes: the bandwidth that it takes) or "dip" (one mode against more: the distance to the
        nearest distribution with one mode)
    most : largest count that "silverman" may find; its ``most - 1`` hypotheses are each tested at ``alpha / (most - 1)``
    alpha : level of the tests together
    n_simulations : smoothed bootstraps of each hypothesis, or uniform samples for the dip
    rng : generator, seed or None

    Returns
    -------
    ModeCount

    Raises
    ------
    ValueError
        fewer than 4 exponents, numbers that are not finite or not of the size of exponents, an option that is unknown, too
        few simulations to reject anything at this level

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> exponents = np.concatenate([rng.normal(0.5, 0.02, 20), rng.normal(0.8, 0.02, 20)])
    >>> count_modes(exponents, rng=0).n_modes, count_modes(exponents, method="dip", rng=0).n_modes
    (2, 2)
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(map(repr, METHODS))}; got {method!r}")
    alpha = fraction(alpha, "alpha")
    count = whole(n_simulations, "n_simulations", 19)
    if count > _MOST_SIMULATIONS:
        raise ValueError(f"n_simulations must be at most {_MOST_SIMULATIONS}; got {count}")
    h = np.asarray(exponents.hurst if isinstance(exponents, HurstEstimate) else exponents, float)
    if h.ndim != 1 or h.size < _LEAST or not np.isfinite(h).all():
        raise ValueError(
            f"modes are counted of {_LEAST} exponents or more, all finite; got an array of shape {h.shape}"
        )
    most = whole(most, "most", 2)
    if most > h.size:
        raise ValueError(f"most must be at most the number of exponents, {h.size}; got {most}")
    x, generator = np.sort(h), as_generator(rng)
    if x[0] == x[-1]:
        raise ValueError("all exponents are the same number; there is nothing to count")
    if np.abs(x).max() > _LARGEST or x[-1] - x[0] < _CLOSEST:
        raise ValueError(
            f"exponents are at most {_LARGEST:g}, the largest {_CLOSEST:g} or more above the smallest; got {x[0]:g} to {x[-1]:g}"
        )
    level = alpha / (most - 1 if method == "silverman" else 1)
    if 1 / (1 + count) > level:
        raise ValueError(
            f"no p-value of {count} simulations is at most {level:.3g}; give n_simulations={math.ceil(1 / level)} or more"
        )
    if method == "dip":
        statistics = [dip_statistic(x)]
        drawn = np.array([dip_statistic(u) for u in generator.random((count, x.size))])
        p_values = [_p_value(drawn >= statistics[0] - 1e-12)]
    else:
        statistics = [_critical_bandwidth(x, k) for k in range(1, most)]
        p_values = [_p_value(_more_modes(x, width, k, count, generator)) for k, width in enumerate(statistics, start=1)]
    # who has at most k modes has at most k + 1: the last hypothesis rejected takes those before it along
    n = 1 + max((k for k, p in enumerate(p_values, start=1) if p <= level), default=0)
    bandwidth = _critical_bandwidth(x, n)
    labels = np.searchsorted(_antimodes(x, bandwidth), h)
    means = np.array([h[labels == k].mean() for k in np.unique(labels)])
    return ModeCount(n, labels, means, np.array(p_values), np.array(statistics), bandwidth, h, method, alpha, count)


def dip_statistic(x: Any) -> float:
    """Largest distance of the empirical distribution function to the nearest one with one mode.

    Parameters
    ----------
    x : (n,) finite numbers

    Raises
    ------
    ValueError
        no numbers, or some that are not finite

    Notes
    -----
    A distribution function has one mode if it is convex before it and concave after it. Whether one lies within d of the
    empirical one is decided for each place of the mode by the lines through two points of the band that it cannot pass below
    (before) or above (after); the smallest d is found by bisection. n^2 steps for each d. Source: Hartigan and Hartigan 1985.

    Examples
    --------
    >>> round(dip_statistic([0.0, 1.0, 10.0, 11.0]), 6), round(dip_statistic([0.0, 1.0, 2.0, 3.0]), 6)
    (0.225, 0.125)
    """
    from ._kernels import one_mode_within

    values = np.asarray(x, float)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise ValueError(f"the dip is of one or more finite numbers; got an array of shape {values.shape}")
    reach = values.max() / 2 - values.min() / 2
    # the unit does not matter, but slopes must be numbers; powers of two do not round
    places, counts = np.unique(np.ldexp(values, -int(np.frexp(reach)[1])), return_counts=True)
    after = np.cumsum(counts) / values.size  # the distribution function at each place, and just before
    before = after - counts / values.size
    low, high = 0.0, 0.25
    for _ in range(45):
        middle = (low + high) / 2
        if one_mode_within(places, before, after, middle):
            high = middle
        else:
            low = middle
    return high


def _p_value(exceeded: np.ndarray) -> float:
    return float((1 + np.sum(exceeded)) / (1 + exceeded.size))


def _grid(x: np.ndarray, width: float) -> np.ndarray:
    """Places at which a kernel density is looked at: modes lie between the first and the last number."""
    low, high = x.min(), x.max()
    size = int(np.clip(_PER_BANDWIDTH * (high - low) / width, *_GRID))
    return np.linspace(low - width / 64, high + width / 64, size)


def _rising(x: np.ndarray, width: float, grid: np.ndarray) -> np.ndarray:
    """Whether the Gaussian kernel density rises at each place of the grid."""
    z = (x - grid[:, None]) / width
    return np.asarray(np.einsum("gn,gn->g", z, np.exp(-0.5 * z * z)) > 0)


def _modes(x: np.ndarray, width: float) -> int:
    """Modes of the density: places where it stops rising."""
    rising = _rising(x, width, _grid(x, width))
    return int(np.sum(rising[:-1] & ~rising[1:]))


def _critical_bandwidth(x: np.ndarray, n_modes: int) -> float:
    """Smallest bandwidth with at most ``n_modes`` modes; their number falls as the bandwidth grows (Silverman 1981)."""
    reach = x[-1] - x[0]
    low, high = np.log(reach / 1000), np.log(2 * reach)
    if _modes(x, float(np.exp(low))) <= n_modes:
        return float(np.exp(low))
    while high - low > 1e-5:
        middle = (low + high) / 2
        if _modes(x, float(np.exp(middle))) <= n_modes:
            high = middle
        else:
            low = middle
    return float(np.exp(high))


def _more_modes(x: np.ndarray, width: float, n_modes: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Whether samples of the density with ``n_modes`` modes, as wide as the data, have more modes at the same bandwidth."""
    drawn = rng.choice(x, size=(count, x.size)) + width * rng.standard_normal((count, x.size))
    drawn = x.mean() + (drawn - x.mean()) / np.sqrt(1 + width**2 / x.var())
    return np.array([_modes(sample, width) > n_modes for sample in drawn])


def _antimodes(x: np.ndarray, width: float) -> np.ndarray:
    """Places between the modes where the density is lowest."""
    grid = _grid(x, width)
    rising = _rising(x, width, grid)
    turns = np.flatnonzero(~rising[:-1] & rising[1:])
    return (grid[turns] + grid[turns + 1]) / 2
