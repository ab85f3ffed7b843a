"""`HurstEstimate`: exponents, error bars, and the lines they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.answer import Answer, readable
from ..core.guarantee import Guarantee

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["HurstEstimate"]


@dataclass(frozen=True, eq=False)
class HurstEstimate(Answer):
    """Self-similarity exponents of M channels.

    Attributes
    ----------
    hurst : (M,) exponents, in the order of the eigenvalues (of the channels for "univariate")
    hurst_sorted : (M,) the same in ascending order; they differ where lines cross
    classical, univariate : (M,) exponents by the classical eigenvalues (None where an octave has fewer coefficients than
        channels) and by each channel alone
    octaves, counts : (J,) octaves used and numbers of coefficients
    block_size, n_blocks : coefficients of a block (None: all at once), blocks of each octave
    reference_octave : the one that has ``block_size`` coefficients, or None
    log2_eigenvalues : (J, M) the lines
    intercept : (M,) of the fitted lines
    standard_error : (M,)
    interval : (M, 2)
    confidence, interval_kind : of the interval: "bootstrap-normal", "bootstrap-basic", or "theory" (normal theory, no bootstrap)
    bootstrap : (R, M) replicates, or None
    warnings : remarks that go with the numbers
    method, process, vanishing_moments, n_samples : as asked
    weights : (J,) w_j, with H = sum_j w_j line_j / 2 -+ 1/2
    spectra : (J, M, M) wavelet spectra S(2^j)
    names : of the channels, if the input had some
    """

    hurst: np.ndarray
    hurst_sorted: np.ndarray
    classical: np.ndarray | None
    univariate: np.ndarray
    octaves: np.ndarray
    counts: np.ndarray
    block_size: int | None
    reference_octave: int | None
    n_blocks: np.ndarray
    log2_eigenvalues: np.ndarray
    intercept: np.ndarray
    standard_error: np.ndarray
    interval: np.ndarray
    confidence: float
    interval_kind: str
    bootstrap: np.ndarray | None
    warnings: tuple[str, ...]
    method: str
    process: str
    vanishing_moments: int
    n_samples: int
    weights: np.ndarray
    spectra: np.ndarray
    names: tuple[str, ...] | None = None

    @property
    def n_channels(self) -> int:
        """M."""
        return int(self.hurst.size)

    def facts(self) -> Mapping[str, Any]:
        """Exponents first, then how they were found."""
        percent = f"{100 * self.confidence:g}"
        facts: dict[str, Any] = {
            "hurst": self.hurst,
            "standard_error": self.standard_error,
            f"interval_{percent}_percent": "  ".join(f"[{low:.3f}, {high:.3f}]" for low, high in self.interval[:12])
            + ("  ..." if self.n_channels > 12 else ""),
            "interval_kind": self.interval_kind,
            "classical": self.classical,
            "univariate": self.univariate,
            "method": self.method,
            "process": self.process,
            "octaves": f"{self.octaves[0]} to {self.octaves[-1]}",
            "counts": self.counts,
            "channels": self.n_channels,
            "samples": self.n_samples,
            "vanishing_moments": self.vanishing_moments,
        }
        if self.block_size is not None:
            facts["block_size"] = self.block_size
            facts["reference_octave"] = self.reference_octave
        if self.warnings:
            facts["remarks"] = "; ".join(self.warnings)
        facts["interval"] = self.interval.tolist()  # lists: for machines
        facts["log2_eigenvalues"] = self.log2_eigenvalues.tolist()
        facts["names"] = list(self.names) if self.names else []
        return facts

    def to_dict(self) -> dict[str, Any]:
        """The facts, the remarks one by one, and the guarantee."""
        return {**super().to_dict(), "remarks": list(self.warnings)}

    @property
    def guarantee(self) -> Guarantee | None:
        """Consistency, where it is proved; None for channels taken one by one, whose limit is not H_m when they are mixed."""
        if self.method == "univariate" and self.n_channels > 1:
            return None
        coverage = (
            "how often it holds is measured on the page on self-similarity, with cases where it fails"
            if self.bootstrap is not None
            else "without a bootstrap it is that of one line of independent coefficients, measured for one channel only"
        )
        return Guarantee(
            kind="consistency",
            statement=(
                "the estimate becomes exact as the recording grows (an asymptotic statement): it converges in probability to the exponents of an operator fractional Brownian "
                "motion when octaves log2 a(n) + j are used with a(n) -> infinity and a(n)/n -> 0; at this length nothing is proved, and "
                f"{readable(self.confidence)} is a nominal coverage: " + coverage
            ),
            assumptions=(
                "the signal is a time-reversible operator fractional Brownian motion observed through an invertible mixing",
                "as for the interval: the lines have separated at these octaves",
            ),
            source=(
                "Abry and Didier 2018; Lucas, Didier, Wendt and Abry 2024; coverage measured in "
                "docs, selfsimilarity, section 'Published and measured figures'"
            ),
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """log2 eigenvalues against octaves, with the fitted lines."""
        from .plots import plot_lines

        return plot_lines(self, ax)
