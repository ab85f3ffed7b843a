"""Reward families: one-parameter exponential families, described by their mean.

A family knows its Kullback-Leibler divergence ``d(p, q)`` between the members of means p and q, its
variance, and which means and rewards belong to it. Rewards in an interval are treated as Bernoulli after
rescaling, which is valid because a law on [0, 1] has the exponential moments of a Bernoulli law at most.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._divergence_kernels import BERNOULLI, EXPONENTIAL, GAUSSIAN, POISSON, map_bound, map_kl, map_mixture_regret

__all__ = ["Family", "as_family", "kl_divergence", "kl_lower", "kl_upper", "lai_robbins", "mixture_log_regret"]

_CODES = {
    "bernoulli": BERNOULLI,
    "gaussian": GAUSSIAN,
    "poisson": POISSON,
    "exponential": EXPONENTIAL,
    "bounded": BERNOULLI,
}


@dataclass(frozen=True)
class Family:
    """A reward family.

    Parameters
    ----------
    name : "bernoulli", "gaussian", "poisson", "exponential" or "bounded"
    sigma : standard deviation of the Gaussian rewards, known
    low, high : interval of bounded rewards

    Raises
    ------
    ValueError
        an unknown name, a ``sigma`` that is not positive and finite, an interval without length

    Examples
    --------
    >>> Family("gaussian", sigma=2.0)
    Family(name='gaussian', sigma=2.0, low=0.0, high=1.0)
    >>> str(as_family("bounded(0, 10)"))
    'bounded(0,10)'
    """

    name: str
    sigma: float = 1.0
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if self.name not in _CODES:
            raise ValueError(f"unknown family {self.name!r}; expected one of {', '.join(_CODES)}")
        if not 0 < self.sigma < math.inf:
            raise ValueError(f"sigma must be positive and finite; got {self.sigma!r}")
        if not -math.inf < self.low < self.high < math.inf:
            raise ValueError(f"the interval of a family needs low < high; got [{self.low!r}, {self.high!r}]")

    def __str__(self) -> str:
        if self.name == "gaussian":
            return f"gaussian({self.sigma:.17g})"
        return f"bounded({self.low:.17g},{self.high:.17g})" if self.name == "bounded" else self.name

    @property
    def code(self) -> int:
        """Number by which the compiled kernels know the family."""
        return _CODES[self.name]

    @property
    def scale(self) -> float:
        """Length of one unit of the kernels in units of the rewards."""
        return self.high - self.low if self.name == "bounded" else 1.0

    @property
    def offset(self) -> float:
        """Reward that the kernels see as zero."""
        return self.low if self.name == "bounded" else 0.0

    @property
    def domain(self) -> tuple[float, float]:
        """Smallest and largest mean."""
        if self.name == "gaussian":
            return -math.inf, math.inf
        if self.name in ("poisson", "exponential"):
            return 0.0, math.inf
        return self.low, self.high

    def to_unit(self, values: Any) -> Any:
        """Rewards or means as the kernels see them."""
        return (values - self.offset) / self.scale if self.name == "bounded" else values

    def from_unit(self, values: Any) -> Any:
        """Rewards or means in the units of the user."""
        return values * self.scale + self.offset if self.name == "bounded" else values

    def variance(self, mean: float) -> float:
        """Variance of the member of this mean (bounded: the largest variance that a law of this mean has)."""
        if self.name == "gaussian":
            return self.sigma**2
        if self.name in ("poisson", "exponential"):
            return mean if self.name == "poisson" else mean**2
        return (mean - self.low) * (self.high - mean)

    def check_means(self, means: Any, name: str = "means") -> np.ndarray:
        """Means as an array of floats, refused where they are not means of this family.

        Raises
        ------
        ValueError
            a mean outside of the range of the family, or not finite
        """
        array = np.asarray(means, dtype=float)
        low, high = self.domain
        bad = ~np.isfinite(array) | (array < low) | (array > high)
        if self.name == "exponential":
            bad |= array <= 0
        if bad.any():
            raise ValueError(
                f"{name} of the {self.name} family must lie in [{low:g}, {high:g}]"
                f"{' and not be 0' if self.name == 'exponential' else ''}; got {array[bad].ravel()[0]!r}"
            )
        return array

    def check_reward(self, reward: float) -> float:
        """A reward as the kernels see it, refused where the family cannot have produced it.

        Raises
        ------
        ValueError
            a reward that the family cannot produce
        """
        value = float(reward)
        if not math.isfinite(value):
            raise ValueError(f"a reward must be a finite number; got {reward!r}")
        if self.name == "bernoulli":
            if value not in (0.0, 1.0):
                raise ValueError(
                    f"a Bernoulli reward is 0 or 1; got {reward!r} (for rewards in an interval use 'bounded')"
                )
        elif self.name == "bounded":
            if not self.low <= value <= self.high:
                raise ValueError(f"a reward of {self} lies in [{self.low:g}, {self.high:g}]; got {reward!r}")
            value = (value - self.low) / (self.high - self.low)
        elif self.name == "poisson":
            if value < 0 or value != math.floor(value):
                raise ValueError(f"a Poisson reward is a whole number >= 0; got {reward!r}")
        elif self.name == "exponential" and value <= 0:
            raise ValueError(f"an exponential reward is positive; got {reward!r}")
        return value


def as_family(family: Family | str) -> Family:
    """The family given, or the one a short text names: ``"bernoulli"``, ``"gaussian(0.5)"``, ``"bounded(0, 10)"``.

    Raises
    ------
    ValueError
        an unknown family, or numbers that it does not take

    Examples
    --------
    >>> as_family("gaussian(0.5)").sigma
    0.5
    """
    if isinstance(family, Family):
        return family
    match = re.fullmatch(r"\s*([a-z]+)\s*(?:\(([^)]*)\))?\s*", str(family).lower())
    if not match:
        raise ValueError(f"unknown family {family!r}; expected one of {', '.join(_CODES)}")
    name, inside = match.groups()
    try:
        numbers = [float(word) for word in inside.split(",")] if inside else []
    except ValueError:
        raise ValueError(
            f"the numbers in family {family!r} cannot be read; write gaussian(0.5), bounded(0,10)"
        ) from None
    if name == "gaussian" and len(numbers) <= 1:
        return Family(name, sigma=numbers[0] if numbers else 1.0)
    if name == "bounded" and len(numbers) in (0, 2):
        return Family(name, low=numbers[0], high=numbers[1]) if numbers else Family(name)
    if numbers:
        raise ValueError(f"family {family!r} takes other numbers: gaussian(sigma), bounded(low,high), the others none")
    return Family(name)


def kl_divergence(p: Any, q: Any, family: Family | str = "bernoulli") -> Any:
    """Divergence ``d(p, q)`` between the members of means p and q, in nats; broadcasts.

    Never computed from logarithms of ratios: for p = .3 and q = p + 1e-8 those lose a quarter of the value.

    Parameters
    ----------
    p, q : means, numbers or arrays that broadcast
    family : reward family, or its name as "gaussian(0.5)"

    Raises
    ------
    ValueError
        a mean outside of the range of the family

    Examples
    --------
    >>> float(kl_divergence(0.5, 0.25)), float(kl_divergence(0.0, 0.0)), float(kl_divergence(1.0, 0.0, "gaussian"))
    (0.14384103622589045, 0.0, 0.5)
    """
    family = as_family(family)
    p, q = np.broadcast_arrays(family.check_means(p, "p"), family.check_means(q, "q"))
    out = np.empty(p.shape)
    map_kl(_flat(family.to_unit(p)), _flat(family.to_unit(q)), out.reshape(-1), family.code, family.sigma)
    return out if out.ndim else out[()]


def _bound(p: Any, level: Any, family: Family | str, upper: bool) -> Any:
    family = as_family(family)
    means, levels = np.broadcast_arrays(family.check_means(p, "p"), np.asarray(level, dtype=float))
    if np.isnan(levels).any() or (levels < 0).any():
        raise ValueError(f"the level of an index must be >= 0; got {levels[~(levels >= 0)].ravel()[0]!r}")
    out = np.empty(means.shape)
    flat = out.reshape(-1)
    map_bound(_flat(family.to_unit(means)), _flat(levels), flat, family.code, family.sigma, upper)
    out = family.from_unit(out)
    return out if out.ndim else out[()]


def kl_upper(p: Any, level: Any, family: Family | str = "bernoulli") -> Any:
    """Upper index: the largest q with ``d(p, q) <= level``; broadcasts.

    Parameters
    ----------
    p : means, numbers or arrays
    level : divergence allowed, in nats; >= 0
    family : reward family, or its name as "gaussian(0.5)"

    Raises
    ------
    ValueError
        a mean outside of the range of the family, a negative level

    Examples
    --------
    >>> round(float(kl_upper(0.0, 0.1)), 6), round(float(kl_upper(0.5, 0.1)), 6)
    (0.095163, 0.712879)
    """
    return _bound(p, level, family, True)


def kl_lower(p: Any, level: Any, family: Family | str = "bernoulli") -> Any:
    """Lower index: the smallest q with ``d(p, q) <= level``; broadcasts.

    Parameters
    ----------
    p : means, numbers or arrays
    level : divergence allowed, in nats; >= 0
    family : reward family, or its name as "gaussian(0.5)"

    Raises
    ------
    ValueError
        as for `kl_upper`

    Examples
    --------
    >>> round(float(kl_lower(0.5, 0.1)), 6)
    0.287121
    """
    return _bound(p, level, family, False)


def mixture_log_regret(total: Any, n: Any, family: Family | str = "bernoulli") -> Any:
    """How much of the log-likelihood a mixture over the mean gives away: ``ln(max) - ln(mixture)``.

    Parameters
    ----------
    total : sums of the rewards (bounded: in the units of the rewards)
    n : numbers of rewards
    family : not Gaussian, for which no proper mixture of this kind is used

    Raises
    ------
    ValueError
        a Gaussian family (it has no such mixture), sums that the family cannot produce

    Examples
    --------
    >>> round(float(mixture_log_regret(27, 100)), 6)
    2.531324
    """
    family = as_family(family)
    if family.name == "gaussian":
        raise ValueError(
            "the mixture of the Gaussian family is not proper; use the threshold 'kaufmann-koolen-gaussian'"
        )
    totals, ns = np.broadcast_arrays(np.asarray(total, dtype=float), np.asarray(n, dtype=float))
    unit = (totals - family.offset * ns) / family.scale
    if not (np.isfinite(unit).all() and np.isfinite(ns).all()) or (ns < 0).any() or (unit < 0).any():
        raise ValueError("sums and numbers of rewards must be finite and not negative")
    if family.code == BERNOULLI and (unit > ns * (1 + 1e-12)).any():
        raise ValueError("a sum of rewards is larger than their number allows")
    if family.name == "exponential" and ((unit <= 0) & (ns > 0)).any():
        raise ValueError("a sum of exponential rewards is positive")
    out = np.empty(unit.shape)
    map_mixture_regret(
        _flat(np.minimum(unit, ns) if family.code == 0 else unit), _flat(ns), out.reshape(-1), family.code
    )
    return out if out.ndim else out[()]


def lai_robbins(means: Sequence[float] | np.ndarray, family: Family | str = "bernoulli") -> float:
    """The constant ``c = sum (mu* - mu_a) / d(mu_a, mu*)`` of Lai and Robbins (1985).

    No uniformly good policy has a regret below ``(1 + o(1)) c ln T``. Infinite divergences contribute nothing.

    Parameters
    ----------
    means : (K,) means of the arms, in the units of the rewards
    family : reward family, or its name as "gaussian(0.5)"

    Raises
    ------
    ValueError
        fewer than two means, or one outside of the range of the family

    Examples
    --------
    >>> round(lai_robbins([0.1] + 3 * [0.05] + 3 * [0.02] + 3 * [0.01]), 6)
    17.445174
    """
    family = as_family(family)
    array = family.check_means(means)
    if array.ndim != 1 or len(array) < 2:
        raise ValueError(f"expected the means of at least two arms; got an array of shape {array.shape}")
    gaps = array.max() - array
    worse = gaps > 0
    return float(np.sum(gaps[worse] / kl_divergence(array[worse], array.max(), family)))


def _flat(values: np.ndarray) -> np.ndarray:
    """A vector of its own for the kernels, also from a broadcast view."""
    return np.array(values, dtype=float).reshape(-1)
