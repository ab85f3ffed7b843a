"""Noise with a given marginal law and long memory, and the exponents of its simulations.

A Gaussian series g with correlations rho(k) becomes x = F^-1(Phi(g)), whose covariance is sum_q c_q^2 rho(k)^q / q! with the Hermite
coefficients c_q of F^-1(Phi(.)). This power series is inverted, so that x has the covariance of fractional Gaussian noise.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..core.parallel import replicate
from ..core.randomness import Seed
from .embedding import Embedding, circulant_embedding
from .model import increment_covariance
from .regression import regression_weights
from .wavelet import transform

__all__ = ["simulated_exponents"]

_NODES, _ORDERS = 120, 40
_CLIP = 1e-2  # the fitted correlations need not be those of a process; what is cut is small


def simulated_exponents(
    x: np.ndarray, hurst: float, process: str, octaves: tuple[int, int], vanishing_moments: int, n_replicates: int,
    *, rng: Seed, n_jobs: int | None,
) -> np.ndarray:  # fmt: skip
    """Exponents of simulations with the marginal law of ``x`` (of its increments for a motion) and exponent ``hurst``."""
    sample = np.sort(x if process == "noise" else np.diff(x))
    H = np.clip(np.array([hurst]), 0.02, 0.98)
    to_gaussian = _gaussian_correlation(sample)

    def covariance(lags: np.ndarray) -> np.ndarray:
        return to_gaussian(increment_covariance(H, np.eye(1), lags))

    try:
        embedding = circulant_embedding(covariance, len(x), tolerance=_CLIP)
    except ValueError:
        raise ValueError(
            "no Gaussian series, transformed to the marginal law of this signal, has the covariance of the fitted model: the law is too far from a "
            "Gaussian one, or the exponent too small; use interval='bootstrap'"
        ) from None
    work = partial(
        _exponent, sample=sample, n=len(x), process=process, octaves=octaves, vanishing_moments=vanishing_moments
    )
    drawn = np.array(replicate(work, n_replicates, embedding, rng=rng, n_jobs=n_jobs))
    if not np.isfinite(drawn).all():
        raise ValueError(
            "simulations with the marginal law of this signal have octaves without any variation: nearly all its samples are the same; "
            "interval='bootstrap' needs no simulation"
        )
    return drawn


def _exponent(
    rng: np.random.Generator, embedding: Embedding, *, sample: np.ndarray, n: int, process: str, octaves: tuple[int, int], vanishing_moments: int
) -> float:  # fmt: skip
    from scipy.special import digamma, ndtr, zeta

    g = embedding.draw(1, n, rng)[0]
    x = np.interp(ndtr(g), _levels(sample), sample)
    if process == "motion":
        x = np.cumsum(x, axis=1)
    details = transform(x, vanishing_moments, first=octaves[0], max_octave=octaves[1])
    counts = np.array(list(details.counts.values()))
    energy = np.array([np.mean(d**2) for d in details.details.values()])
    with np.errstate(divide="ignore"):
        logs = np.log2(energy)
    if not np.isfinite(logs).all():
        return np.nan
    y = logs - digamma(counts / 2) / np.log(2) + np.log2(counts / 2)
    w = regression_weights(np.array(details.octaves), 1 / zeta(2, counts / 2))
    return float((w @ y + (1 if process == "noise" else -1)) / 2)


def _levels(sample: np.ndarray) -> np.ndarray:
    return (np.arange(len(sample)) + 0.5) / len(sample)


def _gaussian_correlation(sample: np.ndarray) -> Any:
    """The map from correlations of x to those of g."""
    from scipy.special import ndtr

    z, weight = np.polynomial.hermite_e.hermegauss(_NODES)
    weight = weight / weight.sum()
    value = np.interp(ndtr(z), _levels(sample), sample)
    value = value - weight @ value
    # normalised Hermite polynomials He_q / sqrt(q!), by their recurrence
    before, now, power = np.ones_like(z), z, []
    for q in range(1, _ORDERS + 1):
        power.append(float(weight @ (value * now)) ** 2)
        before, now = now, (z * now - np.sqrt(q) * before) / np.sqrt(q + 1)
    coefficients = np.array(power) / np.sum(power)
    rho = np.linspace(-1, 1, 4001)
    image = np.maximum.accumulate(np.polynomial.polynomial.polyval(rho, np.concatenate([[0.0], coefficients])))
    return lambda correlation: np.interp(correlation, image, rho)
