"""Stationary Gaussian series by circulant embedding (Helgason, Pipiras, Abry 2011; Davies and Harte 1987 for one channel)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Embedding", "circulant_embedding"]

_CLIP = 1e-5  # largest relative mass of negative eigenvalues that is taken as a finite-size effect
_DOUBLINGS = 3
_SHORT = 2**12  # embeddings of short series may be longer: they cost nothing


@dataclass(frozen=True, eq=False)
class Embedding:
    """Square roots of the spectrum of a circulant covariance.

    Attributes
    ----------
    roots : (M, M, half + 1) B_f with B_f B_f^T the eigenvalue block at frequency f
    half : half the length of the circulant sequence
    relative_clipped_mass : sum of the negative eigenvalues over the sum of all, in modulus, over the whole circle
    """

    roots: np.ndarray
    half: int
    relative_clipped_mass: float

    def draw(self, count: int, n: int, rng: np.random.Generator) -> np.ndarray:
        """``count`` independent series (count, M, n) with the covariance of the model, n <= half."""
        M, _, frequencies = self.roots.shape
        z = rng.standard_normal((count, M, frequencies, 2)).view(complex)[..., 0]
        z[..., 1:-1] *= np.sqrt(0.5)
        z[..., 0], z[..., -1] = z[..., 0].real, z[..., -1].real
        x = np.empty((count, M, n))
        for m in range(M):
            u = np.einsum("lf,clf->cf", self.roots[m], z)
            x[:, m] = np.fft.irfft(u, 2 * self.half, axis=-1)[:, :n]
        x *= np.sqrt(2.0 * self.half)
        return x


def circulant_embedding(
    covariance: Callable[[np.ndarray], np.ndarray], n: int, *, tolerance: float = _CLIP
) -> Embedding:
    """Embedding of ``covariance(lags) -> (len, M, M)``, an even function of the lag, for series of ``n`` points.

    Negative eigenvalues of a valid model vanish with longer embeddings: up to eight times n is tried (more where n is small), the
    best one is kept, what is still negative is clipped and reported, up to ``tolerance``.

    Raises
    ------
    ValueError
        the clipped mass exceeds the tolerance; the model is at the edge of existence, or n is too small
    """
    best: Embedding | None = None
    half = max(n, 2)
    last = max(half * 2 ** (_DOUBLINGS - 1), _SHORT)
    while half <= last:
        G = covariance(np.arange(half + 1.0))
        L = np.fft.rfft(np.concatenate([G, G[-2:0:-1]]), axis=0).real  # the sequence is even: its transform is real
        values, vectors = np.linalg.eigh(L)
        circle = np.full(half + 1, 2.0)  # all frequencies but the first and the last stand for two
        circle[[0, -1]] = 1.0
        negative = float(circle @ np.maximum(-values, 0.0).sum(axis=1)) / float(circle @ np.abs(values).sum(axis=1))
        if best is None or negative < best.relative_clipped_mass:
            roots = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
            best = Embedding(np.ascontiguousarray(np.moveaxis(roots, 0, -1)), half, negative)
        if negative < 1e-15:
            break
        half *= 2
    assert best is not None
    if best.relative_clipped_mass > tolerance:
        raise ValueError(
            f"the circulant embedding of {n} points has a relative mass {best.relative_clipped_mass:.1e} of negative eigenvalues, more than "
            f"{tolerance:g}: no process has this covariance, or it is too near to the limit; lower the correlations or take more points"
        )
    return best
