"""What privacy costs at least: lower bounds that no private procedure beats.

Two laws P, Q at total variation tv are coupled record by record, so that the two samples differ in D ~ Bin(n, tv) records. A
release under privacy cannot tell samples apart that differ in few records. Source: Lalanne, Garivier and Gribonval 2023, "On the
statistical complexity of estimation and testing under privacy constraints"; the constants are derived on the page of the
documentation.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["assouad_bound", "fano_bound", "le_cam_bound"]


def le_cam_bound(
    n: int,
    tv: float,
    epsilon: float | None = None,
    rho: float | None = None,
    delta: float = 0,
    *,
    nonprivate: float = 0.0,
) -> float:
    """A lower bound of the sum of both errors of any test of P against Q after a private release.

    Parameters
    ----------
    n : records, independent
    tv : total variation between the laws of one record, in [0, 1]
    epsilon, rho, delta : the privacy of the release (replace one record); without epsilon and rho, no privacy is asked
    nonprivate : a lower bound of the sum of errors without privacy, if one is known (1 - TV of the samples); the larger counts

    Returns
    -------
    E[2 (1 - delta_D)_+ / (1 + e^(epsilon D))], with delta_d = delta (e^(epsilon d) - 1) / (e^epsilon - 1); under zCDP
    1 - E[min(D sqrt(rho / 2), sqrt(1 - e^(-rho D^2)))].

    Raises
    ------
    ValueError
        n, tv or a budget out of range, both epsilon and rho, or delta without epsilon

    Examples
    --------
    >>> round(le_cam_bound(1, 1.0, epsilon=1), 5)
    0.53788
    """
    _check(n, tv, epsilon, rho, delta)
    d, weight = _differences(n, float(tv))
    if epsilon is not None:
        likely = 2 / (1 + np.exp(np.minimum(epsilon * d, 700.0)))
        if delta:
            # (e^(epsilon d) - 1) / (e^epsilon - 1), and d in the limit of epsilon = 0
            growth = np.expm1(np.minimum(epsilon * d, 700.0)) / math.expm1(epsilon) if epsilon > 0 else d
            likely = likely * np.maximum(1 - delta * growth, 0)
    elif rho is not None:
        likely = 1 - np.minimum(d * math.sqrt(rho / 2), np.sqrt(-np.expm1(-rho * d**2)))
    else:
        likely = (d == 0).astype(float)
    # every summand is at least 0: what the truncated support leaves out would only raise the bound
    return float(max(nonprivate, min(1.0, float(weight @ np.maximum(likely, 0)))))


def fano_bound(
    n: int,
    tv: Any,
    *,
    loss: float,
    kl: Any = None,
    epsilon: float | None = None,
    rho: float | None = None,
) -> float:
    """A lower bound of the risk over N laws that are separated by twice the radius of ``loss``.

    Parameters
    ----------
    tv : (N, N) total variations between the laws of one record
    loss : Phi(tau), when the parameters are 2 tau apart
    kl : (N, N) Kullback-Leibler divergences, if finite ones are known
    epsilon, rho : privacy of the release, or neither

    Returns
    -------
    loss (1 - (I + ln 2) / ln N), or 0, with I at most the mean over pairs of the least of n KL, E[epsilon D tanh(epsilon D / 2)]
    and rho (n tv (1 - tv) + n^2 tv^2).

    Raises
    ------
    ValueError
        tv that is not a square matrix of at least three laws, a budget out of range, or neither a budget nor kl

    Examples
    --------
    >>> tv = 0.001 * (1 - np.eye(64))
    >>> fano_bound(100, tv, loss=1.0, epsilon=0.1) > 0.8
    True
    """
    distances = np.asarray(tv, dtype=float)
    if distances.ndim != 2 or distances.shape[0] != distances.shape[1] or len(distances) < 3:
        raise ValueError("tv must be a square matrix for at least three laws")
    if not (loss >= 0 and math.isfinite(loss)):
        raise ValueError(f"loss must be finite and at least 0; got {loss!r}")
    _check(n, float(distances.max(initial=0)), epsilon, rho, 0)
    if distances.min() < 0:
        raise ValueError("tv must lie in [0, 1]")
    if kl is None and epsilon is None and rho is None:
        raise ValueError("without privacy the divergences are needed; pass kl=")
    information = np.full(distances.shape, math.inf) if kl is None else n * np.asarray(kl, dtype=float)
    if epsilon is not None:
        values, place = np.unique(distances, return_inverse=True)
        private = np.array([_pure_information(n, value, epsilon) for value in values])
        information = np.minimum(information, private[place].reshape(distances.shape))
    if rho is not None:
        information = np.minimum(information, rho * (n * distances * (1 - distances) + (n * distances) ** 2))
    return max(0.0, loss * (1 - (float(information.mean()) + math.log(2)) / math.log(len(distances))))


def assouad_bound(
    n: int,
    tv: float,
    *,
    dimension: int,
    tau: float,
    epsilon: float | None = None,
    rho: float | None = None,
    delta: float = 0,
    nonprivate: float = 0.0,
) -> float:
    """A lower bound of the risk over the 2^dimension corners of a cube, for a loss of at least 2 tau a wrong coordinate.

    Parameters
    ----------
    n : records
    tv : bound of the total variation between the laws of one record at neighbouring corners
    dimension : of the cube
    tau : half of the least loss of a wrong coordinate
    epsilon, rho, delta, nonprivate : as in `le_cam_bound`

    Raises
    ------
    ValueError
        a dimension below 1, tau below 0, or as in `le_cam_bound`

    Examples
    --------
    >>> assouad_bound(10, 0.0, dimension=8, tau=0.5, epsilon=1)
    4.0
    """
    if dimension < 1 or not tau >= 0:
        raise ValueError(f"dimension must be at least 1 and tau at least 0; got {dimension!r} and {tau!r}")
    return dimension * tau * le_cam_bound(n, tv, epsilon, rho, delta, nonprivate=nonprivate)


def _pure_information(n: int, tv: float, epsilon: float) -> float:
    d, weight = _differences(n, tv)
    loss = epsilon * d
    # the mass outside of the truncated support, below 1e-15, cannot cost more than epsilon n
    return float(weight @ (loss * np.tanh(loss / 2))) + max(0.0, 1 - float(weight.sum())) * epsilon * n


def _differences(n: int, tv: float) -> tuple[np.ndarray, np.ndarray]:
    """Support and weights of Bin(n, tv), without tails that carry less than 1e-15 where n is large."""
    from scipy.stats import binom

    tv = max(tv, 1e-290) if tv else 0.0  # a larger distance lowers the bounds; smaller ones overflow in the library
    if n <= 20_000:
        d = np.arange(n + 1)
    else:
        low, high = binom.ppf(1e-16, n, tv), binom.isf(1e-16, n, tv)
        d = np.arange(max(0, int(low) - 1), min(n, int(high) + 1) + 1)
    return d.astype(float), binom.pmf(d, n, tv)


def _check(n: int, tv: float, epsilon: float | None, rho: float | None, delta: float) -> None:
    if isinstance(n, bool) or int(n) != n or not 1 <= n <= 10**9:
        raise ValueError(f"n must be a whole number of records in 1..10^9; got {n!r}")
    if not 0 <= tv <= 1:
        raise ValueError(f"tv must lie in [0, 1]; got {tv!r}")
    if epsilon is not None and rho is not None:
        raise ValueError("give at most one of epsilon and rho")
    for name, value in (("epsilon", epsilon), ("rho", rho)):
        if value is not None and not (value >= 0 and math.isfinite(value)):
            raise ValueError(f"{name} must be finite and at least 0; got {value!r}")
    if not 0 <= delta < 1 or (delta and epsilon is None):
        raise ValueError(f"delta must lie in [0, 1) and comes with epsilon; got {delta!r}")
