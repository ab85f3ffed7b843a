"""`pairwise_tests` and `cluster_exponents`: which exponents differ, and how many there are.

half_normal: Lucas, Abry, Wendt, Didier, *Counting the number of different scaling exponents*, ICASSP 2022. folded_normal: the same
authors, *Multivariate time-scale bootstrap for testing the equality of selfsimilarity parameters*, GRETSI 2022.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.answer import Answer
from .equality import replicates_of
from .estimate import HurstEstimate
from .validation import fraction

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ExponentClusters", "PairwiseTests", "cluster_exponents", "pairwise_tests"]

METHODS = ("half_normal", "folded_normal", "gaussian")
CORRECTIONS = ("bh", "by", "bonferroni", "none")


@dataclass(frozen=True, eq=False)
class PairwiseTests(Answer):
    """Tests of pairs of exponents.

    Attributes
    ----------
    p_values, rejected, scales : (M - 1,) for neighbours in sorted order, (M, M) for "gaussian"; p-values are before correction
    method, correction, alpha : as asked
    """

    p_values: np.ndarray
    rejected: np.ndarray
    scales: np.ndarray
    method: str
    correction: str
    alpha: float

    def facts(self) -> Mapping[str, Any]:
        """p-values and what is rejected."""
        pairs = self.rejected if self.rejected.ndim == 1 else np.triu(self.rejected, 1)
        return {
            "rejected_pairs": int(pairs.sum()),
            "p_values": self.p_values,
            "method": self.method,
            "correction": self.correction,
            "alpha": self.alpha,
            "rejected": self.rejected.tolist(),
        }

    @property
    def guarantee(self) -> None:
        """Nothing is proved at a given length; measured levels are on the page."""
        return None


@dataclass(frozen=True, eq=False)
class ExponentClusters(Answer):
    """Groups of equal exponents.

    Attributes
    ----------
    n_clusters : rejected neighbours + 1
    labels : (M,) cluster of each entry of ``estimate.hurst``, 0 for the smallest exponents
    exponents : (n_clusters,) means of the members
    tests : the tests of the neighbours
    """

    n_clusters: int
    labels: np.ndarray
    exponents: np.ndarray
    tests: PairwiseTests
    estimate: HurstEstimate

    def facts(self) -> Mapping[str, Any]:
        """Number, exponents and members of the clusters."""
        return {
            "clusters": self.n_clusters,
            "exponents": self.exponents,
            "hurst": self.estimate.hurst,
            "labels": self.labels,
            "p_values": self.tests.p_values,
            "method": self.tests.method,
            "correction": self.tests.correction,
            "alpha": self.tests.alpha,
        }

    @property
    def guarantee(self) -> None:
        """Nothing is proved at a given length; measured rates are on the page."""
        return None

    def plot(self, ax: Axes | None = None) -> Axes:
        """Exponents with their intervals, clusters as bands."""
        from .plots import plot_clusters

        return plot_clusters(self, ax)


def pairwise_tests(
    estimate: HurstEstimate, *, method: str = "half_normal", correction: str = "bh", alpha: float = 0.05
) -> PairwiseTests:
    """Test pairs of exponents for equality.

    Parameters
    ----------
    estimate : answer of `estimate_hurst` with a bootstrap
    method : "half_normal" or "folded_normal" (neighbours in sorted order) or "gaussian" (all pairs)
    correction : for many tests: "bh" (Benjamini and Hochberg), "by" (Benjamini and Yekutieli), "bonferroni" or "none"
    alpha : level

    Raises
    ------
    ValueError
        an estimate without a bootstrap (pass ``n_bootstrap``) or of one exponent, an option that is unknown
    TypeError
        something else than an estimate

    Examples
    --------
    >>> from ailys.selfsimilarity import OperatorFractionalBrownianMotion, estimate_hurst
    >>> x = OperatorFractionalBrownianMotion([0.3, 0.3, 0.8]).sample(2**14, rng=0)
    >>> pairwise_tests(estimate_hurst(x, n_bootstrap=200, rng=0)).rejected.tolist()
    [False, True]
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(map(repr, METHODS))}; got {method!r}")
    if correction not in CORRECTIONS:
        raise ValueError(f"correction must be one of {', '.join(map(repr, CORRECTIONS))}; got {correction!r}")
    alpha = fraction(alpha, "alpha")
    if not isinstance(estimate, HurstEstimate):
        raise TypeError(f"tests of pairs take the answer of estimate_hurst; got {type(estimate).__name__}")
    drawn, h = replicates_of(estimate), estimate.hurst
    if h.size < 2:
        raise ValueError("pairs need two exponents or more; this estimate has one")
    if method == "gaussian":
        return _all_pairs(h, drawn, correction, alpha)
    gaps = np.diff(np.sort(h))
    scales = _global_scales(drawn) if method == "half_normal" else _folded_scales(drawn)
    p = _half_normal_tail(gaps / scales)
    return PairwiseTests(p, _reject(p, correction, alpha), scales, method, correction, alpha)


def cluster_exponents(
    estimate: HurstEstimate, *, alpha: float = 0.05, method: str = "half_normal", correction: str = "bh"
) -> ExponentClusters:
    """Walk the sorted exponents; each rejected neighbour starts a new cluster.

    Parameters
    ----------
    estimate : answer of `estimate_hurst` with a bootstrap
    alpha : level of the tests
    method : "half_normal" or "folded_normal", as in `pairwise_tests`
    correction : for many tests: "bh", "by", "bonferroni" or "none", as in `pairwise_tests`

    Raises
    ------
    ValueError
        an estimate without a bootstrap (pass ``n_bootstrap``) or of one exponent, an option that is unknown
    TypeError
        something else than an estimate

    Examples
    --------
    >>> from ailys.selfsimilarity import OperatorFractionalBrownianMotion, estimate_hurst
    >>> x = OperatorFractionalBrownianMotion([0.3, 0.3, 0.8]).sample(2**14, rng=0)
    >>> cluster_exponents(estimate_hurst(x, n_bootstrap=200, rng=0)).n_clusters
    2
    """
    if method == "gaussian":
        raise ValueError("clusters follow the sorted exponents: method must be 'half_normal' or 'folded_normal'")
    tests = pairwise_tests(estimate, method=method, correction=correction, alpha=alpha)
    order = np.argsort(estimate.hurst, kind="stable")
    labels = np.empty(order.size, int)
    labels[order] = np.concatenate([[0], np.cumsum(tests.rejected)])
    n = int(labels.max()) + 1
    means = np.array([estimate.hurst[labels == c].mean() for c in range(n)])
    return ExponentClusters(n, labels, means, tests, estimate)


def _half_normal_tail(z: np.ndarray) -> np.ndarray:
    from scipy.special import erfc

    return erfc(z / np.sqrt(2))


def _global_scales(drawn: np.ndarray) -> np.ndarray:
    """Scales of neighbours' gaps if all exponents were equal: replicates centred, each sorted."""
    gaps = np.diff(np.sort(drawn - drawn.mean(axis=0), axis=1), axis=1)
    return gaps.std(axis=0, ddof=1) / np.sqrt(1 - 2 / np.pi)


def _folded_scales(drawn: np.ndarray) -> np.ndarray:
    """Scales of the folded normal law of each gap: mean(y tanh(mu y / (m2 - mu^2))) = mu, s^2 = m2 - mu^2."""
    from scipy.optimize import brentq

    gaps = np.diff(np.sort(drawn, axis=1), axis=1)
    scales = np.empty(gaps.shape[1])
    for k, y in enumerate(gaps.T):
        m2 = float(np.mean(y**2))

        def excess(mu: float, y: np.ndarray = y, m2: float = m2) -> float:
            return float(np.mean(y * np.tanh(mu * y / (m2 - mu**2)))) - mu

        # above the root the left side is the smaller one; without a root but 0 the law is half normal
        top = np.sqrt(m2) * (1 - 1e-9)
        trial = np.sqrt(m2) * np.linspace(0.05, 0.999, 60)
        above = [mu for mu in trial if excess(float(mu)) > 0]
        mu = brentq(excess, max(above), top) if above and excess(float(top)) < 0 else 0.0
        scales[k] = np.sqrt(max(m2 - mu**2, np.finfo(float).tiny))
    return scales


def _all_pairs(h: np.ndarray, drawn: np.ndarray, correction: str, alpha: float) -> PairwiseTests:
    M = h.size
    scales = (drawn[:, :, None] - drawn[:, None, :]).std(axis=0, ddof=1)
    upper = np.triu_indices(M, 1)
    p = _half_normal_tail(np.abs(h[:, None] - h[None, :])[upper] / scales[upper])
    p_values, rejected = np.ones((M, M)), np.zeros((M, M), bool)
    p_values[upper], rejected[upper] = p, _reject(p, correction, alpha)
    p_values, rejected = np.minimum(p_values, p_values.T), rejected | rejected.T
    return PairwiseTests(p_values, rejected, scales, "gaussian", correction, alpha)


def _reject(p: np.ndarray, correction: str, alpha: float) -> np.ndarray:
    if correction == "none":
        return p <= alpha
    if correction == "bonferroni":
        return p * p.size <= alpha
    from scipy.stats import false_discovery_control

    return false_discovery_control(p, method=correction) <= alpha
