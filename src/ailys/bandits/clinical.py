"""Thompson's trial of 1933: assign each patient to an arm with the probability that it is the best one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["ThompsonTrial", "prob_best"]


def prob_best(posteriors: Sequence[tuple[float, float]] | np.ndarray) -> np.ndarray:
    """Probability that each arm has the largest mean, under independent Beta posteriors.

    Two arms with whole parameters have a finite sum; otherwise the integral of ``f_a prod F_b`` is taken by
    Gauss-Legendre quadrature, 200 nodes on the interval that holds the posteriors.

    Parameters
    ----------
    posteriors : (alpha, beta) of each arm

    Raises
    ------
    ValueError
        fewer than two posteriors, or a parameter that is not positive

    Examples
    --------
    >>> [round(float(p), 9) for p in prob_best([(5, 7), (9, 4)])]
    [0.073563064, 0.926436936]
    """
    array = np.asarray(posteriors, dtype=float)
    if array.ndim != 2 or array.shape[1] != 2 or len(array) < 2:
        raise ValueError(f"expected (alpha, beta) of at least two arms; got an array of shape {array.shape}")
    if not np.isfinite(array).all() or (array <= 0).any():
        raise ValueError(f"the parameters of a Beta posterior are positive; got {array[~(array > 0)].ravel()[:1]}")
    if len(array) == 2 and array[1, 0] == math.floor(array[1, 0]) and array[1, 0] <= 2000:
        second = _second_is_better(*array[0], *array[1])
        return np.array([1 - second, second])
    return _by_quadrature(array)


def _second_is_better(a1: float, b1: float, a2: float, b2: float) -> float:
    """``sum_{j < a2} B(a1 + j, b1 + b2) / ((b2 + j) B(1 + j, b2) B(a1, b1))``, in logarithms."""
    from scipy.special import betaln

    j = np.arange(int(a2))
    terms = betaln(a1 + j, b1 + b2) - np.log(b2 + j) - betaln(1 + j, b2) - betaln(a1, b1)
    return float(min(np.exp(terms).sum(), 1.0))


def _by_quadrature(array: np.ndarray) -> np.ndarray:
    from scipy.stats import beta

    # only where some posterior has mass, in pieces: a narrow posterior beside a wide one is met as well
    edges = np.unique(
        np.concatenate([beta.ppf(q, array[:, 0], array[:, 1]) for q in (1e-14, 1e-4, 0.1, 0.5, 0.9, 1 - 1e-4)]
                       + [beta.isf(1e-14, array[:, 0], array[:, 1])])
    )  # fmt: skip
    nodes, weights = np.polynomial.legendre.leggauss(max(20, -(-200 // max(len(edges) - 1, 1))))
    x = (0.5 * (edges[1:, None] + edges[:-1, None]) + 0.5 * np.diff(edges)[:, None] * nodes).ravel()
    w = (0.5 * np.diff(edges)[:, None] * weights).ravel()
    inside = (x > 0) & (x < 1) & np.isfinite(x)  # a narrow posterior at an end may put nodes on it
    x, w = x[inside], w[inside]
    density = np.array([beta.pdf(x, a, b) for a, b in array])
    density[~np.isfinite(density)] = 0.0
    log_below = np.array([beta.logcdf(x, a, b) for a, b in array])
    log_below[np.isnan(log_below)] = -np.inf
    others = [np.delete(log_below, i, axis=0).sum(axis=0) for i in range(len(array))]
    found = np.array([np.sum(w * density[i] * np.exp(others[i])) for i in range(len(array))])
    return np.asarray(found / found.sum())


@dataclass(frozen=True)
class ThompsonTrial:
    """Assignment probabilities of an adaptive trial: P(best), kept away from 0 and 1.

    Parameters
    ----------
    clip : smallest and largest probability of an arm (the largest is met by two arms; with more, the smallest counts)
    prior : parameter a of the Beta(a, a) prior

    Raises
    ------
    ValueError
        clip is not 0 < low < high < 1, prior is not positive; when called, more arms than ``low`` allows

    Examples
    --------
    >>> ThompsonTrial()(counts=[10, 11], sums=[4, 8])
    array([0.1, 0.9])
    """

    clip: tuple[float, float] = (0.1, 0.9)
    prior: float = 1.0

    def __post_init__(self) -> None:
        low, high = self.clip
        if not 0 < low < high < 1:
            raise ValueError(f"clip must hold two probabilities 0 < low < high < 1; got {self.clip!r}")
        if not 0 < self.prior < math.inf:
            raise ValueError(f"prior must be positive; got {self.prior!r}")

    def __call__(self, counts: Any, sums: Any) -> np.ndarray:
        """Probabilities of the arms after these outcomes."""
        n, s = np.asarray(counts, dtype=float), np.asarray(sums, dtype=float)
        low, high = self.clip
        if len(n) * low >= 1:
            raise ValueError(f"{len(n)} arms cannot all have a probability of at least {low:g}; lower clip (--clip)")
        chances = prob_best(np.column_stack([s + self.prior, n - s + self.prior]))
        if len(n) == 2:
            second = min(max(chances[1], low, 1 - high), high, 1 - low)
            return np.array([1 - second, second])
        return np.asarray(low + (1 - len(n) * low) * chances)  # every arm keeps `low`, the rest is shared by P(best)
