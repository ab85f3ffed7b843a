"""How far a matrix is from a butterfly class, at least: the lower half of the two-sided certificate.

Merging the factors on each side of a split gives a two-factor class that contains the butterfly
class, and the distance ``E_l(A)`` to that larger class is computed exactly from singular values. So
``max_l E_l(A) <= E(A)``, whatever algorithm is used to look for a good butterfly.
"""

from __future__ import annotations

import numpy as np

from .architecture import Chain
from .problem import check_matrix
from .truncation import block_tails, extract_support, unit_scale

__all__ = ["distance_lower_bound", "split_errors"]


def split_errors(A: np.ndarray, chain: Chain) -> np.ndarray:
    """Distances ``E_l(A)`` from a matrix to the two-factor class of each split, ``l = 1..L-1``.

    Parameters
    ----------
    A : (M, N) matrix of the shape of the chain
    chain : chainable (or co-chainable) chain

    Returns
    -------
    (L - 1,) array of Frobenius norms. Each is a lower bound of the distance to the butterfly class,
    up to rounding of order ``eps ||A||``.

    Raises
    ------
    ValueError
        NaN or infinite entries, a shape that is not that of the chain, a chain that is not chainable.

    Source: Le, Zheng, Riccietti, Gribonval 2025, Sec. 7.

    Examples
    --------
    >>> import numpy as np
    >>> bool(split_errors(np.eye(8), Chain.dyadic(8)).max() < 1e-15)
    True
    """
    matrix, chain, _ = check_matrix(A, chain, finite=True)
    if matrix.ndim != 2:
        raise ValueError(f"expected one matrix; got an array of shape {matrix.shape}")
    return split_errors_of_stack(matrix[None], chain)[0]


def distance_lower_bound(A: np.ndarray, chain: Chain) -> float:
    """Lower bound ``max_l E_l(A)`` of the distance from a matrix to a butterfly class.

    Parameters and errors are those of `split_errors`.

    Raises
    ------
    ValueError
        A matrix with NaN, of another shape than the chain's, or a chain that is not chainable.

    Examples
    --------
    >>> import numpy as np
    >>> noise = np.random.default_rng(0).standard_normal((16, 16))
    >>> round(distance_lower_bound(noise, Chain.dyadic(16)) / float(np.linalg.norm(noise)), 3)
    0.595
    """
    errors = split_errors(A, chain)
    if len(errors):
        return float(errors.max())
    matrix, chain, _ = check_matrix(A, chain)
    return float(np.sqrt(extract_support(matrix[None], chain[0])[1][0]))


def split_errors_of_stack(stack: np.ndarray, chain: Chain) -> np.ndarray:
    """`split_errors` of each matrix of a checked stack (n, M, N): (n, L - 1)."""
    n, depth = len(stack), len(chain)
    if depth == 1:
        return np.zeros((n, 0))
    if not chain.chainable:
        mirrored = split_errors_of_stack(stack.transpose(0, 2, 1), chain.T)
        return mirrored[:, ::-1]
    peak = np.abs(stack).max(axis=(1, 2)).astype(np.float64)
    scale = np.array([1.0 if 1e-60 < p < 1e60 else unit_scale(p) for p in peak])
    if (scale != 1).any():  # squares of squares would overflow or vanish
        stack = stack / scale[:, None, None]
    z, outside = extract_support(stack, chain.product())
    squared = [
        block_tails(z, chain.product(0, l), chain.product(l)).reshape(n, -1).sum(axis=1) + outside
        for l in range(1, depth)
    ]
    return np.asarray(scale[:, None] * np.sqrt(np.stack(squared, axis=1)))
