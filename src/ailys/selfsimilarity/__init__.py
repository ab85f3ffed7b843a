"""Multivariate self-similarity: the exponents H_1 <= ... <= H_M of a multivariate signal, with their error bars.

Problem: several channels recorded together, each a mixture of scale-free components; which exponents rule them, do they differ?
Method: eigenvalues of wavelet spectra, with the same number of coefficients in every matrix so that their repulsion does not
bend the lines; regression over octaves; block bootstrap in the wavelet domain.
Guarantee: consistency is proved; intervals, tests and clusters come with measured coverage and levels, bad cases too.
Source: Abry and Didier, J. Multivariate Anal. 168, 2018; Lucas, Didier, Wendt, Abry, IEEE Trans. Signal Process. 2024.

>>> from ailys.selfsimilarity import OperatorFractionalBrownianMotion, estimate_hurst
>>> motion = OperatorFractionalBrownianMotion([0.4, 0.8], covariance=0.3, mixing=[[1, 1], [-1, 1]])
>>> found = estimate_hurst(motion.sample(2**15, rng=0), octaves=(5, 10))
>>> [round(float(h), 1) for h in found.hurst], [round(float(h), 1) for h in found.univariate]
([0.4, 0.8], [0.8, 0.8])
"""

from __future__ import annotations

from typing import Any

from .clusters import ExponentClusters, PairwiseTests, cluster_exponents, pairwise_tests
from .correction import MixingCorrection, mixing_correction
from .diagram import LogScaleDiagram, OctaveChoice, choose_octaves, log_scale_diagram
from .equality import EqualityTest, equality_test
from .estimate import HurstEstimate
from .hurst import estimate_hurst
from .model import OperatorFractionalBrownianMotion, fractional_brownian_motion, largest_correlation
from .modes import ModeCount, count_modes, dip_statistic
from .sliding import SlidingHurst, sliding_hurst
from .spectrum import WaveletSpectrum, wavelet_spectrum
from .wavelet import WaveletCoefficients, wavelet_coefficients

__all__ = [
    "EqualityTest",
    "ExponentClusters",
    "HurstEstimate",
    "LogScaleDiagram",
    "MixingCorrection",
    "ModeCount",
    "OctaveChoice",
    "OperatorFractionalBrownianMotion",
    "PairwiseTests",
    "SelfSimilarity",
    "SlidingHurst",
    "WaveletCoefficients",
    "WaveletSpectrum",
    "choose_octaves",
    "cluster_exponents",
    "count_modes",
    "dip_statistic",
    "equality_test",
    "estimate_hurst",
    "fractional_brownian_motion",
    "largest_correlation",
    "log_scale_diagram",
    "mixing_correction",
    "pairwise_tests",
    "sliding_hurst",
    "wavelet_coefficients",
    "wavelet_spectrum",
]


def __getattr__(name: str) -> Any:
    if name == "SelfSimilarity":  # scikit-learn takes long to import
        from .features import SelfSimilarity

        return SelfSimilarity
    raise AttributeError(f"module 'ailys.selfsimilarity' has no attribute {name!r}")
