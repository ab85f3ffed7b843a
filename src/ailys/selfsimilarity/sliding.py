"""`sliding_hurst`: exponents of overlapping windows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.answer import Answer
from ..core.randomness import Seed, spawn
from .hurst import default_octaves, estimate_hurst
from .validation import read_signal, whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SlidingHurst", "sliding_hurst"]


@dataclass(frozen=True, eq=False)
class SlidingHurst(Answer):
    """Exponents of windows.

    Attributes
    ----------
    times : (T,) centres of the windows, in seconds if the sampling rate is in hertz
    hurst, standard_error : (T, M)
    window, step : samples
    octaves : pair used in all windows
    """

    times: np.ndarray
    hurst: np.ndarray
    standard_error: np.ndarray
    window: int
    step: int
    octaves: tuple[int, int]

    def facts(self) -> Mapping[str, Any]:
        """Windows and the range of the exponents."""
        return {
            "windows": len(self.times),
            "window": self.window,
            "step": self.step,
            "octaves": f"{self.octaves[0]} to {self.octaves[1]}",
            "smallest": self.hurst.min(axis=0),
            "mean": self.hurst.mean(axis=0),
            "largest": self.hurst.max(axis=0),
            "standard_error": self.standard_error.mean(axis=0),
            "times": self.times.tolist(),
            "hurst": self.hurst.tolist(),
        }

    @property
    def guarantee(self) -> None:
        """Nothing is proved about windows of a given length."""
        return None

    def plot(self, ax: Axes | None = None) -> Axes:
        """Lines over time with bands of two standard errors."""
        from .plots import plot_sliding

        return plot_sliding(self, ax)


def sliding_hurst(
    x: Any,
    *,
    window: int,
    step: int,
    sampling_rate: float = 1.0,
    rng: Seed = None,
    n_jobs: int | None = None,
    **options: Any,
) -> SlidingHurst:
    """Estimate the exponents of each window of ``window`` samples, every ``step`` samples.

    Parameters
    ----------
    x : (M, n) or (n,) samples, channels first; a DataFrame is (time, channel)
    window, step : samples
    sampling_rate : samples per unit of time
    rng, n_jobs : for the bootstraps of the windows; the result does not depend on the number of workers
    **options : of `estimate_hurst`

    Raises
    ------
    ValueError
        a window longer than the signal, a sampling rate that is not positive; what `estimate_hurst` refuses, with the
        first sample of the window

    Examples
    --------
    >>> from ailys.selfsimilarity import fractional_brownian_motion
    >>> found = sliding_hurst(fractional_brownian_motion(0.6, 8192, rng=0), window=4096, step=1024)
    >>> found.hurst.shape
    (5, 1)
    """
    from joblib import Parallel, delayed

    signal = read_signal(x)
    M, n = signal.values.shape
    window, step = whole(window, "window", 2), whole(step, "step", 1)
    if window > n:
        raise ValueError(f"the window of {window} samples is longer than the signal of {n}; take a smaller window")
    if (
        isinstance(sampling_rate, bool)
        or not isinstance(sampling_rate, (int, float, np.number))
        or not 0 < sampling_rate < np.inf
    ):
        raise ValueError(f"sampling_rate must be positive; got {sampling_rate!r}")
    if options.get("octaves") is None:
        options["octaves"] = default_octaves(M, window, options.get("vanishing_moments", 2))
    starts = np.arange(0, n - window + 1, step)
    streams = spawn(rng, len(starts))
    found = Parallel(n_jobs=n_jobs)(
        delayed(_exponents)(signal.values[:, s : s + window], stream, options, int(s))
        for s, stream in zip(starts, streams, strict=True)
    )
    return SlidingHurst(
        times=(starts + (window - 1) / 2) / sampling_rate,
        hurst=np.array([H for H, _ in found]),
        standard_error=np.array([e for _, e in found]),
        window=window,
        step=step,
        octaves=(int(options["octaves"][0]), int(options["octaves"][1])),
    )


def _exponents(
    x: np.ndarray, rng: np.random.Generator, options: Mapping[str, Any], start: int
) -> tuple[np.ndarray, np.ndarray]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the same for every window
        try:
            found = estimate_hurst(x, rng=rng, **options)
        except ValueError as fault:
            raise ValueError(f"window from sample {start}: {fault}") from None
    return found.hurst, found.standard_error
