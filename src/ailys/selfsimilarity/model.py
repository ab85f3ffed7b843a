"""Operator fractional Brownian motion: existence, covariance, exact synthesis.

Hidden fractional Brownian motions X_1, ..., X_M with exponents H_m are jointly Gaussian, with covariance Sigma at time 1; what is
observed is Y = W X. Existence: Amblard, Coeurjolly, Lavancier, Philippe, *Basic properties of the multivariate fractional
Brownian motion*, 2013. Synthesis: Helgason, Pipiras, Abry, *Fast and exact synthesis of stationary multivariate Gaussian
time series using circulant embedding*, Signal Processing 91, 2011.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.answer import Answer
from ..core.guarantee import Guarantee
from ..core.randomness import Seed, as_generator
from .embedding import Embedding, circulant_embedding
from .validation import whole

__all__ = ["OperatorFractionalBrownianMotion", "fractional_brownian_motion", "largest_correlation"]

_FAR = 300  # lags from which the second difference is computed by its series


@dataclass(frozen=True, eq=False)
class OperatorFractionalBrownianMotion(Answer):
    """Time-reversible operator fractional Brownian motion Y(t) = W X(t).

    Parameters
    ----------
    hurst : (M,) exponents of the hidden motions, each in (0, 1)
    covariance : (M, M) covariance Sigma of the hidden motions at time 1, or one number: unit variances with this correlation
        between all pairs; None is the identity
    mixing : (M, M) invertible matrix W, None is the identity

    Raises
    ------
    ValueError
        an exponent outside (0, 1), a W without inverse, or a Sigma for which no such process exists; the smallest
        eigenvalue of the condition is named

    Notes
    -----
    A process with these H and Sigma exists exactly when the matrix Sigma_ml Gamma(H_m + H_l + 1) sin(pi (H_m + H_l) / 2) is
    positive semidefinite (Amblard et al. 2013).

    Examples
    --------
    >>> motion = OperatorFractionalBrownianMotion([0.6, 0.8], covariance=0.5)
    >>> motion.sample(1024, rng=0).shape
    (2, 1024)
    >>> OperatorFractionalBrownianMotion([0.2, 0.8], covariance=0.7)
    Traceback (most recent call last):
    ...
    ValueError: no operator fractional Brownian motion has these exponents and this covariance: the smallest eigenvalue of the existence condition is -0.05741; lower the correlations between components with different exponents
    """

    hurst: np.ndarray
    sigma: np.ndarray
    mixing: np.ndarray | None
    _cache: dict[int, Embedding]
    _clipped: dict[int, float]  # length -> relative mass clipped, of all lengths asked for

    def __init__(self, hurst: Any, covariance: Any = None, mixing: Any = None) -> None:
        H = _exponents(hurst)
        M = H.size
        sigma = _covariance(covariance, M)
        condition = sigma * _spectral_factor(H)
        scale = np.sqrt(np.diag(condition))
        smallest = float(np.linalg.eigvalsh(condition / np.outer(scale, scale))[0])
        if smallest < -1e-12 * M:
            raise ValueError(
                "no operator fractional Brownian motion has these exponents and this covariance: the smallest eigenvalue of the "
                f"existence condition is {smallest:.4g}; lower the correlations between components with different exponents"
            )
        for name, value in (
            ("hurst", H),
            ("sigma", sigma),
            ("mixing", _mixing(mixing, M)),
            ("_cache", {}),
            ("_clipped", {}),
        ):
            object.__setattr__(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:  # the cache is not sent to other processes
        return OperatorFractionalBrownianMotion, (self.hurst, self.sigma, self.mixing)

    @property
    def n_channels(self) -> int:
        """M."""
        return int(self.hurst.size)

    def covariance(self, lags: Any) -> np.ndarray:
        """Covariance of the unit-lag increments of Y: ``E y(t + k) y(t)^T`` for each lag k, shape (len, M, M).

        Raises
        ------
        ValueError
            lags that are not finite numbers
        """
        k = np.atleast_1d(_numbers(lags, "the lags"))
        if k.ndim != 1 or not np.isfinite(k).all():
            raise ValueError(f"the lags must be finite numbers, one or a list of them; got {lags!r}")
        gamma = increment_covariance(self.hurst, self.sigma, k)
        return gamma if self.mixing is None else self.mixing @ gamma @ self.mixing.T

    def sample(self, n: int, *, size: int | None = None, increments: bool = False, rng: Seed = None) -> np.ndarray:
        """Draw paths of ``n`` points at times 1, ..., n.

        Parameters
        ----------
        n : points of a path
        size : number of independent paths; None draws one
        increments : the stationary increments instead of the motion
        rng : generator, seed or None

        Returns
        -------
        array (M, n), or (size, M, n)

        Raises
        ------
        ValueError
            n or size that is no positive whole number, or a model for which the embedding would clip more than 1e-5
        """
        n = _positive(n, "n")
        count = 1 if size is None else _positive(size, "size")
        y = self.embedding(n).draw(count, n, as_generator(rng))
        scale = np.sqrt(np.diag(self.sigma))
        if (scale != 1).any():
            y *= scale[:, None]
        if self.mixing is not None:
            y = self.mixing @ y
        if not increments:
            np.cumsum(y, axis=-1, out=y)
        return y[0] if size is None else y

    def embedding(self, n: int) -> Embedding:
        """The circulant embedding of the increments over their standard deviations, ``n`` points, kept for the next draw."""
        if n not in self._cache:
            scale = np.sqrt(np.diag(self.sigma))  # units apart: nothing of a weak component is lost beside a strong one
            correlation = self.sigma / scale[:, None] / scale[None, :]
            found = circulant_embedding(lambda k: increment_covariance(self.hurst, correlation, k), n)
            self._cache.clear()
            self._cache[n], self._clipped[n] = found, found.relative_clipped_mass
        return self._cache[n]

    def facts(self) -> Mapping[str, Any]:
        """Exponents, covariance, mixing."""
        return {"hurst": self.hurst, "covariance": self.sigma, "mixing": self.mixing}

    @property
    def guarantee(self) -> Guarantee:
        """Draws have exactly the covariance of the model, but for what the embedding had to clip at any length drawn."""
        clipped = max(self._clipped.values(), default=0.0)
        error = self.n_channels * clipped / (1 - 2 * clipped)
        return Guarantee(
            kind="exact",
            statement=(
                "the process exists; its increments are drawn Gaussian with the covariance of the model, but for rounding and an error of each "
                f"covariance of at most {error:.1e} standard deviations squared, from a relative mass {clipped:.1e} clipped by the embedding"
            ),
            level=error,
            values={"relative_clipped_mass": clipped, "covariance_error": error},
            assumptions=(
                "the generator's numbers are independent Gaussian",
                "standard deviations of the hidden increments, before the mixing",
            ),
            source="Helgason, Pipiras and Abry 2011",
        )


def fractional_brownian_motion(
    hurst: float, n: int, *, size: int | None = None, increments: bool = False, rng: Seed = None
) -> np.ndarray:
    """Fractional Brownian motion of unit variance at time 1, or its increments.

    Parameters
    ----------
    hurst : exponent in (0, 1)
    n : number of points
    size : number of independent paths; None draws one
    increments : fractional Gaussian noise instead of the motion
    rng : generator, seed or None

    Returns
    -------
    array (n,), or (size, n)

    Source: Davies and Harte, Biometrika 74, 1987.

    Raises
    ------
    ValueError
        an exponent outside (0, 1), or n or size that is no positive whole number

    Examples
    --------
    >>> fractional_brownian_motion(0.7, 1000, rng=0).shape
    (1000,)
    """
    paths = OperatorFractionalBrownianMotion([hurst]).sample(n, size=size, increments=increments, rng=rng)
    return paths[..., 0, :]


def largest_correlation(first: float, second: float) -> float:
    """Largest correlation at time 1 that motions with these two exponents can have.

    Parameters
    ----------
    first, second : exponents, strictly between 0 and 1

    Raises
    ------
    ValueError
        an exponent outside (0, 1)

    Examples
    --------
    >>> round(largest_correlation(0.2, 0.8), 6)
    0.661997
    """
    g = _spectral_factor(_exponents([first, second]))
    return float(np.sqrt(g[0, 0] * g[1, 1]) / g[0, 1])


def increment_covariance(H: np.ndarray, sigma: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """``gamma_ml(k) = Sigma_ml / 2 (|k+1|^a + |k-1|^a - 2 |k|^a)`` with a = H_m + H_l, shape (len, M, M)."""
    k = np.abs(np.asarray(lags, float))[:, None]
    a = H[:, None] + H[None, :]
    distinct, where = np.unique(a, return_inverse=True)
    near = k <= _FAR
    inner = np.where(near, k, 1.0)
    second = np.abs(inner + 1) ** distinct + np.abs(inner - 1) ** distinct - 2 * inner**distinct
    # far away the difference cancels: 2 k^a sum_i binom(a, 2i) k^-2i
    far = np.where(near, float(_FAR), k)
    term, series = np.ones_like(distinct), np.zeros((far.shape[0], distinct.size))
    for i in range(1, 4):
        term = term * (distinct - 2 * i + 2) * (distinct - 2 * i + 1) / ((2 * i - 1) * (2 * i))
        series += term * far ** (-2.0 * i)
    second = np.where(near, second, 2 * far**distinct * series)
    return 0.5 * sigma * second[:, where.reshape(a.shape)]


def _spectral_factor(H: np.ndarray) -> np.ndarray:
    from scipy.special import gamma

    a = H[:, None] + H[None, :]
    return gamma(a + 1) * np.sin(np.pi * a / 2)


def _exponents(hurst: Any) -> np.ndarray:
    H = np.atleast_1d(_numbers(hurst, "the exponents"))
    if H.ndim != 1 or H.size == 0 or not np.all((H > 0) & (H < 1)):
        raise ValueError(f"the exponents must be numbers strictly between 0 and 1; got {np.asarray(hurst).tolist()}")
    return H


def _covariance(covariance: Any, M: int) -> np.ndarray:
    if covariance is None:
        return np.eye(M)
    sigma = _numbers(covariance, "the covariance")
    if sigma.ndim == 0:
        sigma = np.full((M, M), float(sigma))
        np.fill_diagonal(sigma, 1.0)
    if sigma.shape != (M, M) or not np.isfinite(sigma).all():
        raise ValueError(f"the covariance must be a number or a finite {M} x {M} matrix; got shape {sigma.shape}")
    if not np.allclose(sigma, sigma.T, rtol=1e-12, atol=1e-12 * float(np.abs(sigma).max())):
        raise ValueError("the covariance must be symmetric: the process is time-reversible")
    if not np.all(np.diag(sigma) > 0):
        raise ValueError("the covariance must have positive variances on its diagonal")
    return (sigma + sigma.T) / 2


def _mixing(mixing: Any, M: int) -> np.ndarray | None:
    if mixing is None:
        return None
    W = _numbers(mixing, "the mixing")
    if W.shape != (M, M) or not np.isfinite(W).all():
        raise ValueError(f"the mixing must be a finite {M} x {M} matrix; got shape {W.shape}")
    if np.linalg.matrix_rank(W) < M:
        raise ValueError("the mixing must be invertible; this one maps different motions to the same signal")
    return W


def _numbers(value: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(value, float)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be real numbers; got {value!r}") from None


def _positive(value: Any, name: str) -> int:
    if isinstance(value, (float, np.floating)) and np.isfinite(value) and int(value) == value:
        value = int(value)
    return whole(value, name, 1)
