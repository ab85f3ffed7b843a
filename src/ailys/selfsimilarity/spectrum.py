"""Wavelet spectra: mean products of the coefficients of each octave, their eigenvalues, with the same number in every matrix.

Abry, Didier, *Wavelet eigenvalue regression for n-variate operator fractional Brownian motion*, J. Multivariate Anal. 168, 2018;
blocks: Lucas, Didier, Wendt, Abry, *Multivariate selfsimilarity*, IEEE Trans. Signal Process. 2024 (arXiv 2311.03247).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.answer import Answer
from .validation import read_octaves, read_signal, whole
from .wavelet import WaveletCoefficients, coefficient_counts, filters, transform

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["WaveletSpectrum", "block_log2_eigenvalues", "log2_eigenvalues", "spectral_matrix", "wavelet_spectrum"]

_SINGULAR = 1e-12  # eigenvalue of correlations that rounding leaves of a zero


@dataclass(frozen=True, eq=False)
class WaveletSpectrum(Answer):
    """Spectra of the octaves.

    Attributes
    ----------
    octaves, counts : (J,) octaves and numbers of coefficients
    matrices : (J, M, M) S(2^j), means of D D^T over all coefficients
    eigenvalues : (J, M) ascending; with ``block``, geometric means of the eigenvalues of the blocks
    coherence : (J, M, M) S_ml / sqrt(S_mm S_ll)
    block : coefficients of a block, or None
    """

    octaves: np.ndarray
    counts: np.ndarray
    matrices: np.ndarray
    eigenvalues: np.ndarray
    coherence: np.ndarray
    block: int | None
    names: tuple[str, ...] | None = None

    def facts(self) -> Mapping[str, Any]:
        """Octaves, counts, largest coherence, spectra."""
        M = self.matrices.shape[1]
        off = np.abs(self.coherence[:, ~np.eye(M, dtype=bool)])
        return {
            "channels": M,
            "octaves": self.octaves,
            "counts": self.counts,
            "largest_coherence": float(off.max()) if off.size else None,
            "matrices": self.matrices.tolist(),
            "eigenvalues": self.eigenvalues.tolist(),
        }

    @property
    def guarantee(self) -> None:
        """A description of the data promises nothing."""
        return None

    def plot(self) -> Figure:
        """M x M panels: log2 S_mm on the diagonal, coherence below it; one axes cannot hold them, so it takes none and returns the figure."""
        from .plots import plot_spectrum

        return plot_spectrum(self)


def wavelet_spectrum(
    x_or_coefficients: Any, *, octaves: Any = None, block: int | None = None, vanishing_moments: int = 2
) -> WaveletSpectrum:
    """Spectra of a signal, or of its coefficients.

    Parameters
    ----------
    x_or_coefficients : (M, n) samples, or the answer of `wavelet_coefficients`
    octaves : pair (j1, j2), None takes all
    block : coefficients of a block for the eigenvalues, at least M; None takes all coefficients at once
    vanishing_moments : of the wavelet, when samples are given

    Raises
    ------
    ValueError
        octaves that are not there, or a block smaller than M or larger than the last octave

    Examples
    --------
    >>> white = np.random.default_rng(0).standard_normal((2, 4096))
    >>> bool(np.allclose(np.log2(wavelet_spectrum(white, octaves=(1, 5)).eigenvalues), 0, atol=0.3))
    True
    """
    names = None
    if isinstance(x_or_coefficients, WaveletCoefficients):
        found = x_or_coefficients
        if octaves is not None:
            j1, j2 = read_octaves(
                octaves, [found.counts.get(j, 0) for j in range(1, max(found.octaves) + 1)], found.n_samples
            )
            found = WaveletCoefficients(
                {j: found.details[j] for j in range(j1, j2 + 1)}, {j: found.counts[j] for j in range(j1, j2 + 1)},
                found.vanishing_moments, found.n_samples,
            )  # fmt: skip
    else:
        filters(vanishing_moments)  # checks
        signal = read_signal(x_or_coefficients)
        names = signal.names
        n = signal.values.shape[1]
        counts = coefficient_counts(n, vanishing_moments)
        j1, j2 = (1, len(counts)) if octaves is None else read_octaves(octaves, counts, n)
        found = transform(signal.values, vanishing_moments, first=j1, max_octave=j2 or None)
    M = next(iter(found.details.values())).shape[0]
    matrices = np.array([spectral_matrix(D) for D in found.details.values()])
    if block is None:
        eigenvalues = np.linalg.eigvalsh(matrices)
    else:
        block = whole(block, "block", M)
        if block > min(found.counts.values()):
            raise ValueError(
                f"block must be at most {min(found.counts.values())}, the coefficients of the last octave; got {block}"
            )
        eigenvalues = np.exp2([block_log2_eigenvalues(D, block, j) for j, D in found.details.items()])
    scale = np.sqrt(np.einsum("jmm->jm", matrices))
    with np.errstate(invalid="ignore", divide="ignore"):
        coherence = matrices / scale[:, :, None] / scale[:, None, :]
    return WaveletSpectrum(
        np.array(found.octaves), np.array(list(found.counts.values())), matrices, eigenvalues, coherence, block, names
    )


def spectral_matrix(D: np.ndarray) -> np.ndarray:
    """``S = (1 / n) sum_k D(k) D(k)^T`` of (M, n) coefficients."""
    return D @ D.T / D.shape[1]


def block_log2_eigenvalues(D: np.ndarray, block: int, octave: int) -> np.ndarray:
    """Mean over consecutive blocks of the log2 of the eigenvalues, (M,)."""
    M, n = D.shape
    q = n // block
    X = D[:, : q * block].reshape(M, q, block).transpose(1, 0, 2)
    return log2_eigenvalues(X @ X.transpose(0, 2, 1) / block, octave)


def log2_eigenvalues(S: np.ndarray, octave: int) -> np.ndarray:
    """Mean of log2 eigenvalues over the blocks: (..., q, M, M) -> (..., M). Eigenvalues at the level of rounding are left out.

    Raises
    ------
    ValueError
        no block at all has a positive eigenvalue at some place: "rank-deficient"
    """
    values = S[..., 0] if S.shape[-1] == 1 else np.linalg.eigvalsh(S)
    if (values > _SINGULAR * values[..., -1:]).all():
        return np.log2(values).mean(axis=-2)
    usable = values > np.finfo(float).eps * values[..., -1:]
    # small beside the largest: different units, or no full rank, which shows in the correlations
    scale = np.sqrt(np.maximum(np.einsum("...mm->...m", S), np.finfo(float).tiny))
    lost = (np.linalg.eigvalsh(S / scale[..., :, None] / scale[..., None, :]) < _SINGULAR).sum(axis=-1)
    usable &= np.arange(S.shape[-1]) >= lost[..., None]
    if not usable.any(axis=-2).all():
        raise ValueError(
            f"the wavelet spectrum is rank-deficient at octave {octave}: some channels are linear combinations of others, or constant, "
            "or so different in scale that small eigenvalues are lost to rounding (standardize=True)"
        )
    logs = np.log2(np.where(usable, values, 1.0))
    return logs.sum(axis=-2) / usable.sum(axis=-2)
