"""`SelfSimilarity`: exponents as features, for scikit-learn pipelines."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .hurst import default_octaves, estimate_hurst
from .validation import read_octaves, read_signal
from .wavelet import coefficient_counts, filters

__all__ = ["SelfSimilarity"]


class SelfSimilarity(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    r"""Windows (N, M, n) to exponents (N, M); a matrix (N, n) is N windows of one channel.

    Parameters
    ----------
    method, octaves, reference_octave, vanishing_moments, weights, process, standardize : of `estimate_hurst`
    sort : ascending exponents, where lines cross

    Attributes
    ----------
    n_channels\_, n_samples\_ : of the windows seen by `fit`
    n_features_in\_ : numbers of a window, channels times samples
    octaves\_ : pair used for every window

    Examples
    --------
    >>> from ailys.selfsimilarity import SelfSimilarity, fractional_brownian_motion
    >>> windows = fractional_brownian_motion(0.7, 4096, size=6, rng=0).reshape(3, 2, 4096)
    >>> SelfSimilarity().fit_transform(windows).shape
    (3, 2)
    """

    def __init__(
        self,
        *,
        method: str = "bwavelet",
        octaves: Any = None,
        reference_octave: int | None = None,
        vanishing_moments: int = 2,
        weights: str = "counts",
        process: str = "motion",
        standardize: bool = False,
        sort: bool = False,
    ) -> None:
        self.method = method
        self.octaves = octaves
        self.reference_octave = reference_octave
        self.vanishing_moments = vanishing_moments
        self.weights = weights
        self.process = process
        self.standardize = standardize
        self.sort = sort

    def fit(self, X: Any, y: Any = None) -> SelfSimilarity:
        """Learn the shape of the windows and fix the octaves; ``y`` is not used.

        Parameters
        ----------
        X : (N, M, n) windows, or (N, n) of one channel
        y : not used

        Raises
        ------
        ValueError
            windows of different lengths, with NaN, or too short; weights="variance"
        TypeError
            sparse windows
        """
        windows = _windows(X)
        filters(self.vanishing_moments)  # checks
        _, self.n_channels_, self.n_samples_ = windows.shape
        self.n_features_in_ = self.n_channels_ * self.n_samples_
        if self.weights == "variance":
            raise ValueError(
                "weights='variance' needs a bootstrap, which features do not have; use 'counts' or 'uniform'"
            )
        self.octaves_ = (
            default_octaves(self.n_channels_, self.n_samples_, self.vanishing_moments)
            if self.octaves is None
            else read_octaves(
                self.octaves, coefficient_counts(self.n_samples_, self.vanishing_moments), self.n_samples_
            )
        )
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Exponents of each window, (N, M).

        Raises
        ------
        NotFittedError
            before `fit`
        ValueError
            windows of another shape than `fit` saw; what `estimate_hurst` refuses, with the number of the window
        """
        check_is_fitted(self)
        windows = _windows(X)
        if windows.shape[1:] != (self.n_channels_, self.n_samples_):
            raise ValueError(
                f"fit saw windows of {self.n_channels_} channels and {self.n_samples_} samples; got {windows.shape[1]} and {windows.shape[2]}"
            )
        found = np.empty(windows.shape[:2])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the same for every window
            for i, window in enumerate(windows):
                try:
                    estimate = estimate_hurst(
                        window, method=self.method, octaves=self.octaves_, reference_octave=self.reference_octave,
                        vanishing_moments=self.vanishing_moments, weights=self.weights, process=self.process, standardize=self.standardize,
                    )  # fmt: skip
                except ValueError as fault:
                    raise ValueError(f"window {i}: {fault}") from None
                found[i] = estimate.hurst_sorted if self.sort else estimate.hurst
        return found

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """hurst0, hurst1, ..."""
        check_is_fitted(self)
        return np.array([f"hurst{m}" for m in range(self.n_channels_)], dtype=object)


def _windows(X: Any) -> np.ndarray:
    if hasattr(X, "toarray"):
        raise TypeError(
            "windows are dense arrays; sparse data is not supported: a signal is not sparse, use X.toarray()"
        )
    try:
        array = np.asarray(X)
    except ValueError:
        raise ValueError("expected windows of shape (N, channels, samples): they differ in length") from None
    if array.ndim == 2:
        array = array[:, None, :]
    if array.ndim != 3 or array.size == 0:
        raise ValueError(f"expected windows of shape (N, channels, samples) or (N, samples); got {np.shape(X)}")
    for i, window in enumerate(array):
        try:
            read_signal(window)
        except ValueError as fault:
            raise ValueError(f"window {i}: {fault}") from None
    return array
