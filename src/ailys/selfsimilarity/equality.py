"""`equality_test`: are all exponents the same?

chi2: Lucas, Abry, Wendt, Didier, *Bootstrap for testing the equality of selfsimilarity exponents*, EUSIPCO 2021.
monte_carlo: replicates of the fitted null model. invariant: the same on spectra whitened by the first one, so that the mixing drops out.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..core.answer import Answer
from ..core.guarantee import Guarantee
from ..core.parallel import replicate
from ..core.randomness import Seed
from .estimate import HurstEstimate
from .hurst import estimate_hurst, options_of
from .model import OperatorFractionalBrownianMotion
from .regression import exponents, regression_weights
from .spectrum import spectral_matrix
from .validation import fraction, whole
from .wavelet import transform

__all__ = ["EqualityTest", "equality_test"]

METHODS = ("chi2", "monte_carlo", "invariant")
_MOST = 1_000_000  # simulations


@dataclass(frozen=True, eq=False)
class EqualityTest(Answer):
    """Outcome of a test of H_1 = ... = H_M.

    Attributes
    ----------
    statistic : Mahalanobis distance of the exponents from equality
    p_value : small where the exponents differ
    degrees_of_freedom : M - 1 for "chi2", None for simulated distributions
    method : "chi2", "monte_carlo" or "invariant"
    common_hurst : the exponent under the hypothesis, for the simulated methods the one simulated
    n_simulations : of the null model, or None
    named : whether the exponent was named before looking at the signal, or estimated from it
    """

    statistic: float
    p_value: float
    degrees_of_freedom: int | None
    method: str
    common_hurst: float
    n_simulations: int | None = None
    named: bool = False

    def facts(self) -> Mapping[str, Any]:
        """The statistic and what it says."""
        return {
            "p_value": self.p_value,
            "statistic": self.statistic,
            "degrees_of_freedom": self.degrees_of_freedom,
            "method": self.method,
            "common_hurst": self.common_hurst,
            "common_hurst_is": "given" if self.named else "estimated",
            "n_simulations": self.n_simulations,
        }

    @property
    def guarantee(self) -> Guarantee | None:
        """The level of the invariant test of a named exponent; where it is estimated, and of the others, levels are measured, not proved."""
        if self.method != "invariant" or self.n_simulations is None or not self.named:
            return None
        return Guarantee(
            kind="test-level",
            statement=(
                f"if the channels are any invertible mixing of motions with one exponent H = {self.common_hurst:.3f}, the p-value is at most alpha with "
                f"probability at most alpha, for multiples alpha of 1/{self.n_simulations + 1}"
            ),
            values={"common_hurst": self.common_hurst, "n_simulations": float(self.n_simulations)},
            assumptions=(
                "Gaussian motions, time-reversible together, with the exponent named",
                "exponent, octaves and wavelet were named before looking at the signal",
            ),
            source="docs, selfsimilarity, section 'What is guaranteed'",
        )


def equality_test(
    estimate: HurstEstimate,
    *,
    method: str = "chi2",
    common_hurst: float | None = None,
    n_simulations: int = 199,
    rng: Seed = None,
    n_jobs: int | None = None,
) -> EqualityTest:
    """Test that all exponents are equal.

    Parameters
    ----------
    estimate : answer of `estimate_hurst`; "chi2" needs its bootstrap
    method : "chi2" (bootstrap covariance, chi-squared law with M - 1 degrees of freedom), "monte_carlo" (simulations of the fitted
        null model, same mixing) or "invariant" (simulations for whitened spectra, whose law does not depend on the mixing)
    common_hurst : exponent to simulate, if the hypothesis names it ("all are 1/2"): the level of "invariant" is proved then; None takes
        the mean of the estimates
    n_simulations : of the null model
    rng : generator, seed or None, for the simulations
    n_jobs : workers for the simulations, as in joblib

    Raises
    ------
    ValueError
        one exponent only, too few replicates for "chi2" (pass ``n_bootstrap``), fewer than 2 M simulations, or an
        exponent that no motion has
    TypeError
        something else than an estimate

    Examples
    --------
    >>> from ailys.selfsimilarity import OperatorFractionalBrownianMotion, estimate_hurst
    >>> x = OperatorFractionalBrownianMotion([0.4, 0.8]).sample(2**14, rng=0)
    >>> equality_test(estimate_hurst(x, n_bootstrap=200, rng=0)).p_value < 0.01
    True
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(map(repr, METHODS))}; got {method!r}")
    if not isinstance(estimate, HurstEstimate):
        raise TypeError(f"a test of equality takes the answer of estimate_hurst; got {type(estimate).__name__}")
    h = estimate.hurst
    M = h.size
    if M < 2:
        raise ValueError("a test of equality needs two exponents or more; this estimate has one")
    common = float(h.mean())
    if method == "chi2":
        if common_hurst is not None:
            raise ValueError("the chi2 test simulates no exponent; common_hurst is for 'monte_carlo' and 'invariant'")
        from scipy.stats import chi2

        drawn = replicates_of(estimate)
        if len(drawn) <= M:
            raise ValueError(f"the chi2 test needs more than {M} bootstrap replicates; got {len(drawn)}")
        statistic = _distance(h, drawn)
        return EqualityTest(statistic, float(chi2.sf(statistic, M - 1)), M - 1, method, common)
    count = whole(n_simulations, "n_simulations", 2 * M)
    if count > _MOST:
        raise ValueError(
            f"n_simulations must be at most {_MOST}, which settles a p-value of {1 / _MOST:g}; got {count}"
        )
    if common_hurst is not None:
        common = fraction(common_hurst, "common_hurst")
    elif not 0.02 <= common <= 0.98:
        raise ValueError(
            f"the mean of the estimated exponents is {common:.2f}: no motion to simulate has it; see the remarks of the estimate (process, trends)"
        )
    null = OperatorFractionalBrownianMotion([common])
    options = options_of(estimate)
    if method == "invariant":
        # weights that were learned from the signal would tell it from the simulations
        weights = _weights_not_learned(estimate)
        work = partial(_null_invariant, n=estimate.n_samples, M=M, weights=weights, options=options)
        observed = invariant_exponents(estimate.spectra, weights, estimate.process)
    else:
        pooled = _pooled(estimate.spectra, common, estimate.octaves, estimate.counts, estimate.process)
        root = np.linalg.cholesky(pooled)
        work = partial(_null_exponents, n=estimate.n_samples, root=root, weights=estimate.weights, options=options)
        observed = h
    simulated = replicate(work, count, null, rng=rng, n_jobs=n_jobs)
    # all are measured alike, the observed one among them: under the hypothesis every rank is equally likely
    distances = _contrast_distances(np.vstack([observed, *simulated]))
    p = float(np.mean(distances >= distances[0] * (1 - 1e-12)))
    return EqualityTest(float(distances[0]), p, None, method, common, count, common_hurst is not None)


def replicates_of(estimate: HurstEstimate) -> np.ndarray:
    """The bootstrap replicates, or a sentence that says how to get them."""
    if estimate.bootstrap is None:
        raise ValueError("this test needs bootstrap replicates; estimate with n_bootstrap=200 or more")
    return estimate.bootstrap


def _weights_not_learned(estimate: HurstEstimate) -> np.ndarray:
    """The weights of the estimate if they are those of counts or uniform ones, else those of counts."""
    known = [regression_weights(estimate.octaves, b) for b in (estimate.counts, np.ones(len(estimate.octaves)))]
    return next((w for w in known if np.allclose(w, estimate.weights, rtol=1e-12)), known[0])


def invariant_exponents(spectra: np.ndarray, w: np.ndarray, process: str) -> np.ndarray:
    """Exponents of the eigenvalues of S(2^j1)^-1 S(2^j), ascending at each octave j; all lines start together and spread.

    With Y = A X all spectra become A S A^T, and these eigenvalues stay as they are.
    """
    L = np.linalg.cholesky(spectra[0])
    whitened = np.linalg.solve(L, np.linalg.solve(L, spectra).transpose(0, 2, 1))
    return exponents(np.log2(np.linalg.eigvalsh(whitened)), w, process)


def _null_invariant(
    rng: np.random.Generator,
    null: OperatorFractionalBrownianMotion,
    *,
    n: int,
    M: int,
    weights: np.ndarray,
    options: Mapping[str, Any],
) -> np.ndarray:
    x = null.sample(n, size=M, increments=options["process"] == "noise", rng=rng)[:, 0]
    j1, j2 = options["octaves"]
    details = transform(x, options["vanishing_moments"], first=j1, max_octave=j2)
    spectra = np.array([spectral_matrix(D) for D in details.details.values()])
    return invariant_exponents(spectra, weights, options["process"])


def _null_exponents(
    rng: np.random.Generator,
    null: OperatorFractionalBrownianMotion,
    *,
    n: int,
    root: np.ndarray,
    weights: np.ndarray,
    options: Mapping[str, Any],
) -> np.ndarray:
    x = null.sample(n, size=len(root), increments=options["process"] == "noise", rng=rng)[:, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # said once, of the data
        again = estimate_hurst(root @ x, **options)
    return exponents(again.log2_eigenvalues, weights, options["process"])


def _pooled(spectra: np.ndarray, H: float, octaves: np.ndarray, counts: np.ndarray, process: str) -> np.ndarray:
    """``sum_j n_j S(2^j) 2^(-j (2 H + 1)) / sum_j n_j``."""
    slope = 2 * H + (1 if process == "motion" else -1)
    b = counts * np.exp2(-slope * (octaves - octaves[0]))
    return np.einsum("j,jml->ml", b, spectra) / counts.sum()


def _distance(h: np.ndarray, drawn: np.ndarray) -> float:
    """``(h - mean h)^T C^-1 (h - mean h)`` with C the covariance of the replicates."""
    C = np.cov(drawn, rowvar=False, ddof=1)
    difference = h - h.mean()
    return float(difference @ np.linalg.solve(C, difference))


def _contrast_distances(every: np.ndarray) -> np.ndarray:
    """Mahalanobis distances of the neighbours' differences, each to the mean of all."""
    contrasts = np.diff(every, axis=1)
    centred = contrasts - contrasts.mean(axis=0)
    C = np.atleast_2d(np.cov(contrasts, rowvar=False, ddof=1))
    return np.einsum("rk,rk->r", centred, np.linalg.solve(C, centred.T).T)
