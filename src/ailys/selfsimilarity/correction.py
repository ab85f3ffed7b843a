"""`mixing_correction`: subtract the bias that simulations of the fitted model show.

Where exponents differ and octaves are fine, eigenvalues have not separated, and estimates are biased in a way that is the same for
every signal of the model. The model fitted here has independent components; their directions are generalized eigenvectors of
the first and the last spectrum, which a mixing of independent components would have as its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.answer import Answer
from ..core.randomness import Seed, as_generator
from .estimate import HurstEstimate
from .hurst import estimate_hurst, options_of
from .model import OperatorFractionalBrownianMotion
from .regression import exponents
from .spectrum import spectral_matrix
from .validation import whole
from .wavelet import transform

__all__ = ["MixingCorrection", "mixing_correction"]


@dataclass(frozen=True, eq=False)
class MixingCorrection(Answer):
    """Exponents less a simulated bias.

    Attributes
    ----------
    hurst : (M,) estimate.hurst - bias
    bias : (M,) mean of the simulations' estimates less the exponents simulated
    bias_error : (M,) standard error of ``bias`` by the number of simulations
    estimate : the estimate before
    """

    hurst: np.ndarray
    bias: np.ndarray
    bias_error: np.ndarray
    estimate: HurstEstimate

    def facts(self) -> Mapping[str, Any]:
        """Exponents before and after."""
        return {"hurst": self.hurst, "before": self.estimate.hurst, "bias": self.bias, "bias_error": self.bias_error}

    @property
    def guarantee(self) -> None:
        """Nothing is proved; the page has a table of where it helps and where it harms."""
        return None


def mixing_correction(estimate: HurstEstimate, *, n_simulations: int = 20, rng: Seed = None) -> MixingCorrection:
    """Simulate the fitted model and subtract its bias.

    It helps at fine octaves when exponents differ; it harms when they are equal or octaves are coarse (table on the page). So
    ask `equality_test` first.

    Parameters
    ----------
    estimate : answer of `estimate_hurst` by eigenvalues
    n_simulations : copies of the signal, 2 or more
    rng : generator, seed or None

    Raises
    ------
    ValueError
        an estimate by "univariate", or fewer than 2 simulations
    TypeError
        something else than an estimate

    Examples
    --------
    >>> from ailys.selfsimilarity import OperatorFractionalBrownianMotion, estimate_hurst
    >>> x = OperatorFractionalBrownianMotion([0.5, 0.8], mixing=[[1, 1], [0.2, 1]]).sample(2**13, rng=0)
    >>> mixing_correction(estimate_hurst(x, octaves=(3, 7)), rng=0).hurst.shape
    (2,)
    """
    from scipy.linalg import eigh

    if not isinstance(estimate, HurstEstimate):
        raise TypeError(f"the correction takes the answer of estimate_hurst; got {type(estimate).__name__}")
    if estimate.method == "univariate":
        raise ValueError("the correction is for eigenvalues; estimate with method='bwavelet' or 'wavelet'")
    count = whole(n_simulations, "n_simulations", 2)
    generator = as_generator(rng)
    S, n, options = estimate.spectra, estimate.n_samples, options_of(estimate)
    _, U = eigh(S[-1] / np.trace(S[-1]), S[0] / np.trace(S[0]))
    H = np.clip(estimate.hurst_sorted, 0.05, 0.95)
    model = OperatorFractionalBrownianMotion(H)
    noise = estimate.process == "noise"
    paths = np.stack([model.sample(n, increments=noise, rng=generator) for _ in range(count)])
    # components as strong as those of the data, on average over the octaves
    j1, j2 = options["octaves"]
    drawn = [
        [np.log(np.diag(spectral_matrix(D))) for D in transform(x, estimate.vanishing_moments, first=j1, max_octave=j2).details.values()]
        for x in paths
    ]  # fmt: skip
    wanted = np.log(np.einsum("km,jkl,lm->jm", U, S, U))
    scales = np.exp(np.average(wanted - np.mean(drawn, axis=0), axis=0, weights=estimate.counts) / 2)
    W = np.linalg.inv(U.T) * scales
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # said once, of the data
        lines = np.array([estimate_hurst(W @ x, **options).log2_eigenvalues for x in paths])
    again = exponents(lines, estimate.weights, estimate.process)
    bias = again.mean(axis=0) - H
    return MixingCorrection(estimate.hurst - bias, bias, again.std(axis=0, ddof=1) / np.sqrt(count), estimate)
