"""Straight lines through log2 eigenvalues: weights, slopes, standard errors."""

from __future__ import annotations

import numpy as np

__all__ = ["exponents", "normal_theory_error", "regression_weights"]


def regression_weights(octaves: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``w_j = b_j (S_0 j - S_1) / (S_0 S_2 - S_1^2)``: sum w_j = 0, sum j w_j = 1 (Veitch and Abry 1999).

    Examples
    --------
    >>> w = regression_weights(np.array([3.0, 4.0, 5.0]), np.array([4.0, 2.0, 1.0]))
    >>> bool(abs(w.sum()) < 1e-15), round(float(w @ [3, 4, 5]), 12)
    (True, 1.0)
    """
    j = np.asarray(octaves, float)
    centre = (b @ j) / b.sum()  # the same as above, written about the mean: nothing cancels
    return b * (j - centre) / (b @ (j - centre) ** 2)


def exponents(lines: np.ndarray, w: np.ndarray, process: str) -> np.ndarray:
    """Exponents from log2 lines (..., J, M): slope 2H + 1 for a motion, 2H - 1 for its increments."""
    slope = np.einsum("j,...jm->...m", w, lines)
    return slope / 2 - (0.5 if process == "motion" else -0.5)


def normal_theory_error(w: np.ndarray, counts: np.ndarray) -> float:
    """``sqrt(sum w_j^2 psi_1(n_j / 2)) / (2 ln 2)``: one line, uncorrelated Gaussian coefficients.

    Examples
    --------
    >>> counts = np.array([2046.0, 1022, 510, 254, 126, 62])
    >>> round(normal_theory_error(regression_weights(np.arange(5, 11), counts), counts), 4)
    0.0136
    """
    from scipy.special import polygamma

    return float(np.sqrt(np.sum(w**2 * polygamma(1, counts / 2))) / (2 * np.log(2)))
