"""Graphs of similar arms: Laplacian, smoothness, and the number of directions that matter."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["check_weights", "effective_dimension", "laplacian", "smoothness"]


def check_weights(W: Any) -> np.ndarray:
    """A symmetric matrix of weights >= 0 with nothing on the diagonal; dense, SciPy sparse, or a NetworkX graph."""
    if hasattr(W, "adjacency") and hasattr(W, "nodes"):
        import networkx as nx

        W = nx.to_numpy_array(W)
    if hasattr(W, "toarray"):
        W = W.toarray()
    array = np.array(W, dtype=float)
    if array.ndim != 2 or array.shape[0] != array.shape[1] or len(array) < 2:
        raise ValueError(f"W must be a square matrix of at least two nodes; got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("W must hold finite weights; it has NaN or infinite entries")
    if (array < 0).any():
        i, j = np.argwhere(array < 0)[0]
        raise ValueError(f"W must hold weights >= 0; W[{i}, {j}] = {array[i, j]:g}")
    if np.abs(array - array.T).max() > 1e-12 * max(array.max(), 1.0):
        i, j = np.argwhere(np.abs(array - array.T) > 0)[0]
        raise ValueError(f"W must be symmetric; W[{i}, {j}] = {array[i, j]:g} but W[{j}, {i}] = {array[j, i]:g}")
    np.fill_diagonal(array, 0.0)  # a loop adds nothing to the Laplacian
    return 0.5 * (array + array.T)


def laplacian(W: Any) -> np.ndarray:
    """``L = D - W``.

    Parameters
    ----------
    W : (N, N) symmetric weights >= 0, or a NetworkX graph

    Raises
    ------
    ValueError
        W is not square, symmetric and finite with weights >= 0

    Examples
    --------
    >>> laplacian([[0, 2], [2, 0]]).tolist()
    [[2.0, -2.0], [-2.0, 2.0]]
    """
    array = check_weights(W)
    return np.diag(array.sum(axis=1)) - array


def smoothness(mu: Any, W: Any) -> float:
    """``mu' L mu = 1/2 sum_ab w_ab (mu_a - mu_b)^2``: small when similar arms have similar means.

    Parameters
    ----------
    mu : (N,) means of the nodes
    W : (N, N) symmetric weights >= 0, or a NetworkX graph

    Raises
    ------
    ValueError
        as for `laplacian`

    Examples
    --------
    >>> smoothness([1.0, 0.0], [[0, 2], [2, 0]])
    2.0
    """
    means = np.asarray(mu, dtype=float)
    return float(means @ laplacian(W) @ means)


def n_components(W: np.ndarray) -> int:
    """Number of connected components."""
    from scipy.sparse.csgraph import connected_components

    return int(connected_components(W, directed=False)[0])


def effective_dimension(W: Any, T: int, lam: float = 0.01, version: int = 2020) -> int:
    """How many directions of the graph matter within T draws.

    Parameters
    ----------
    W : (N, N) symmetric weights
    T : draws
    lam : ridge added to the Laplacian, lambda_i = eigenvalue + lam
    version : 2014: largest d with ``(d - 1) lambda_d <= T / ln(1 + T / lam)`` (Valko et al. 2014); 2020: the largest
        ``sum ln(1 + t_i / lambda_i)`` over ``sum t_i = T``, over ``ln(1 + T / (N lam))``, rounded up (Kocák et al. 2020)

    Raises
    ------
    ValueError
        as for `laplacian`; T < 1, lam <= 0, an unknown version

    Examples
    --------
    >>> import networkx as nx
    >>> club = nx.to_numpy_array(nx.karate_club_graph(), weight=None)
    >>> effective_dimension(club, 100, version=2014), effective_dimension(club, 100)
    (7, 6)
    """
    if version not in (2014, 2020):
        raise ValueError(f"version must be 2014 or 2020; got {version!r}")
    if T < 1 or not math.isfinite(T):
        raise ValueError(f"T must be a number of draws >= 1; got {T!r}")
    if not 0 < lam < math.inf:
        raise ValueError(f"lam must be positive; got {lam!r}")
    values = np.maximum(np.linalg.eigvalsh(laplacian(W)), 0.0) + lam
    if version == 2014:
        d = np.arange(1, len(values) + 1)
        return int(d[(d - 1) * values <= T / math.log1p(T / lam)].max())
    return math.ceil(largest_log_determinant(values, T) / math.log1p(T / (len(values) * lam)) - 1e-9)


def largest_log_determinant(values: np.ndarray, T: float) -> float:
    """``max sum ln(1 + t_i / lambda_i)`` over ``t >= 0, sum t_i = T``: water is poured on the smallest eigenvalues."""
    ordered = np.sort(values)
    level = (T + np.cumsum(ordered)) / np.arange(1, len(ordered) + 1)
    wet = int(np.flatnonzero(level > ordered).max())
    return float(np.sum(np.log(level[wet] / ordered[: wet + 1])))
