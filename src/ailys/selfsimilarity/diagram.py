"""`log_scale_diagram`: long memory of one channel, with its error bar; `choose_octaves`: where the line is straight.

Abry, Veitch, *Wavelet analysis of long-range-dependent traffic*, IEEE Trans. Inf. Theory 44, 1998; Veitch, Abry, *A wavelet-based joint
estimator of the parameters of long-range dependence*, IEEE Trans. Inf. Theory 45, 1999.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.answer import Answer
from ..core.guarantee import Guarantee
from ..core.randomness import Seed, as_generator
from .bootstrap import bootstrap_lines
from .hurst import PROCESSES, check_rank
from .regression import regression_weights
from .validation import Signal, fraction, read_octaves, read_signal, whole
from .wavelet import coefficient_counts, transform

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["LogScaleDiagram", "OctaveChoice", "choose_octaves", "log_scale_diagram"]

INTERVALS = ("gaussian", "bootstrap", "parametric")
_LEAST = 16
_GOOD = 0.05
_KURTOSIS_ERRORS = 3.0
_KURTOSIS_COUNT = 64  # octaves with fewer coefficients say little about their law


@dataclass(frozen=True, eq=False)
class LogScaleDiagram(Answer):
    """Energies of the octaves and the line through them.

    Attributes
    ----------
    octaves, counts, y, variance : (J,) octaves of the fit, coefficients, log2 energies without their bias, their variances
    alpha, alpha_sd : slope and its standard deviation for Gaussian coefficients
    intercept : of the line
    hurst : (alpha + 1) / 2 for noise, (alpha - 1) / 2 for motion
    interval : of hurst
    interval_kind : "gaussian", "bootstrap" or "parametric"
    confidence : of the interval
    bias : of hurst as found by the parametric simulations and subtracted in the interval, or None
    q_value : chance of a worse fit if the line were right; small where it is not straight
    excess_kurtosis : of the details, largest over the octaves (in modulus) in units of its standard error
    all_octaves, all_y, all_variance : the whole diagram
    chosen : whether the octaves were chosen by looking at this signal; the interval does not know that
    """

    octaves: np.ndarray
    counts: np.ndarray
    y: np.ndarray
    variance: np.ndarray
    alpha: float
    alpha_sd: float
    intercept: float
    hurst: float
    interval: tuple[float, float]
    interval_kind: str
    confidence: float
    bias: float | None
    q_value: float
    excess_kurtosis: float
    process: str
    warnings: tuple[str, ...]
    all_octaves: np.ndarray
    all_y: np.ndarray
    all_variance: np.ndarray
    chosen: bool = False

    def facts(self) -> Mapping[str, Any]:
        """Exponent, interval, fit."""
        facts: dict[str, Any] = {
            "hurst": self.hurst,
            f"interval_{100 * self.confidence:g}_percent": f"[{self.interval[0]:.3f}, {self.interval[1]:.3f}]",
            "interval_kind": self.interval_kind,
            "alpha": self.alpha,
            "alpha_sd": self.alpha_sd,
            "q_value": self.q_value,
            "octaves": f"{self.octaves[0]} to {self.octaves[-1]}"
            + (", chosen by looking at this signal" if self.chosen else ""),
            "counts": self.counts,
            "process": self.process,
            "kurtosis_of_details": f"{self.excess_kurtosis:+.1f} standard errors",
            "bias": self.bias,
        }
        if self.warnings:
            facts["remarks"] = "; ".join(self.warnings)
        return facts | {"interval": list(self.interval), "y": self.y.tolist(), "variance": self.variance.tolist()}

    def to_dict(self) -> dict[str, Any]:
        """The facts, the remarks one by one, and the guarantee."""
        return {**super().to_dict(), "remarks": list(self.warnings)}

    @property
    def guarantee(self) -> Guarantee | None:
        """Exact mean and variance under the idealised law; None where the details are not Gaussian, or the octaves were chosen by looking."""
        if self.interval_kind != "gaussian" or self.chosen:
            return None
        return Guarantee(
            kind="unbiased",
            statement=f"alpha is unbiased with standard deviation {self.alpha_sd:.4g}",
            level=self.alpha_sd,
            values={"alpha_sd": self.alpha_sd},
            assumptions=(
                "the octaves were fixed before looking at the signal",
                "the coefficients are independent and Gaussian",
                "their variance is a power of the scale over these octaves",
            ),
            source="Abry and Veitch 1998; Veitch and Abry 1999",
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Energies with error bars, and the line."""
        from .plots import plot_diagram

        return plot_diagram(self, ax)


@dataclass(frozen=True, eq=False)
class OctaveChoice(Answer):
    """Octaves over which the diagram is straight.

    Attributes
    ----------
    octaves : pair (j1, j2)
    candidates, q_values : (K,) first octaves tried and the Q of each
    """

    octaves: tuple[int, int]
    candidates: np.ndarray
    q_values: np.ndarray

    def facts(self) -> Mapping[str, Any]:
        """The choice and the path that led to it."""
        return {
            "octaves": f"{self.octaves[0]} to {self.octaves[1]}",
            "candidates": self.candidates,
            "q_values": self.q_values,
        }

    @property
    def guarantee(self) -> None:
        """A rule of thumb promises nothing; the interval does not know that the octaves were chosen by looking."""
        return None


def log_scale_diagram(
    x: Any,
    *,
    octaves: Any = None,
    vanishing_moments: int = 3,
    process: str = "noise",
    interval: str | None = None,
    confidence: float = 0.95,
    n_replicates: int = 200,
    rng: Seed = None,
    n_jobs: int | None = None,
) -> LogScaleDiagram:
    """Exponent of one channel from the energies of its octaves, weighted by their variances.

    Parameters
    ----------
    x : (n,) samples
    octaves : pair (j1, j2); None takes those of `choose_octaves`
    vanishing_moments : N_psi of the Daubechies wavelet
    process : "noise" (stationary increments, alpha = 2H - 1) or "motion" (alpha = 2H + 1)
    interval : "gaussian" (formula), "bootstrap" (blocks of coefficients) or "parametric" (simulations with the marginal law and the
        exponent of the data; their bias is subtracted); None takes the formula where the details look Gaussian, the
        bootstrap elsewhere, and says which
    confidence : of the interval
    n_replicates : of the bootstrap, or simulations
    rng, n_jobs : for them

    Raises
    ------
    ValueError
        more than one channel, fewer than three octaves, an option that is unknown, or a law that cannot be simulated
        ("parametric")

    Examples
    --------
    >>> from ailys.selfsimilarity import fractional_brownian_motion
    >>> noise = fractional_brownian_motion(0.8, 2**14, increments=True, rng=0)
    >>> found = log_scale_diagram(noise, octaves=(3, 9))
    >>> found.interval_kind, found.interval[0] < 0.8 < found.interval[1]
    ('gaussian', True)
    """
    if process not in PROCESSES:
        raise ValueError(f"process must be one of {', '.join(map(repr, PROCESSES))}; got {process!r}")
    if interval not in (None, *INTERVALS):
        raise ValueError(f"interval must be one of {', '.join(map(repr, INTERVALS))} or None; got {interval!r}")
    confidence = fraction(confidence, "confidence")
    replicates = whole(n_replicates, "n_replicates", 20)
    signal = _one_channel(x)
    j, counts, y, variance, details = _energies(signal, vanishing_moments)
    n = signal.values.shape[1]
    if octaves is None:
        j1, j2 = _choose(j, counts, y, variance, process, n).octaves
    else:
        j1, j2 = read_octaves(octaves, coefficient_counts(n, vanishing_moments), n)
    if j2 - j1 < 2:
        raise ValueError(f"a line and its quality of fit need three octaves or more; got ({j1}, {j2})")
    used = slice(j1 - 1, j2)
    w = regression_weights(j[used], 1 / variance[used])
    alpha, sd = float(w @ y[used]), float(np.sqrt(w**2 @ variance[used]))
    hurst = (alpha + (1 if process == "noise" else -1)) / 2
    kurtosis = _kurtosis([details[o][0] for o in range(j1, j2 + 1)])
    remarks: tuple[str, ...] = ()
    kind = interval
    if kind is None:
        kind = "gaussian" if abs(kurtosis) <= _KURTOSIS_ERRORS else "bootstrap"
        if kind == "bootstrap":
            remarks = (
                f"the details are not Gaussian (excess kurtosis {kurtosis:+.1f} standard errors): the interval is from the bootstrap of "
                "coefficients; interval='parametric' simulates the fitted law instead",
            )
            warnings.warn(remarks[0], UserWarning, stacklevel=2)
    from scipy.special import ndtri

    z, centre, bias, spread = float(ndtri((1 + confidence) / 2)), hurst, None, sd / 2
    if kind == "bootstrap":
        chosen = {o: details[o] for o in range(j1, j2 + 1)}
        if counts[j2 - 1] < 8:
            raise ValueError(f"octave {j2} has {counts[j2 - 1]} coefficients; the bootstrap needs at least 8: lower j2")
        lines = bootstrap_lines(chosen, "univariate", 1, replicates, vanishing_moments, None, as_generator(rng))
        spread = float((lines[:, :, 0] @ w).std(ddof=1)) / 2
    elif kind == "parametric":
        from .surrogate import simulated_exponents

        drawn = simulated_exponents(
            signal.values[0], hurst, process, (j1, j2), vanishing_moments, replicates, rng=rng, n_jobs=n_jobs
        )
        bias, spread = float(drawn.mean() - np.clip(hurst, 0.02, 0.98)), float(drawn.std(ddof=1))
        centre = hurst - bias
    return LogScaleDiagram(
        octaves=j[used],
        counts=counts[used],
        y=y[used],
        variance=variance[used],
        alpha=alpha,
        alpha_sd=sd,
        intercept=_intercept(j[used], y[used], variance[used], alpha),
        hurst=hurst,
        interval=(centre - z * spread, centre + z * spread),
        interval_kind=kind,
        confidence=confidence,
        bias=bias,
        q_value=_quality(j[used], y[used], variance[used]),
        excess_kurtosis=kurtosis,
        process=process,
        warnings=remarks,
        all_octaves=j,
        all_y=y,
        all_variance=variance,
        chosen=octaves is None,
    )


def choose_octaves(x: Any, *, vanishing_moments: int = 3, process: str = "noise") -> OctaveChoice:
    """Octaves of a straight diagram: j2 is the largest with 16 coefficients, j1 rises until the fit is good and stops improving.

    Parameters
    ----------
    x : (n,) samples
    vanishing_moments : N_psi of the wavelet
    process : of both the first two octaves are left out, since samples are no approximations there; a noise that is too short for
        three octaves above them takes them in

    Raises
    ------
    ValueError
        more than one channel, samples that are not finite, or fewer than three octaves with 16 coefficients

    Examples
    --------
    >>> from ailys.selfsimilarity import fractional_brownian_motion
    >>> choose_octaves(fractional_brownian_motion(0.8, 2**14, increments=True, rng=0)).octaves[1]
    9
    """
    if process not in PROCESSES:
        raise ValueError(f"process must be one of {', '.join(map(repr, PROCESSES))}; got {process!r}")
    signal = _one_channel(x)
    j, counts, y, variance, _ = _energies(signal, vanishing_moments)
    return _choose(j, counts, y, variance, process, signal.values.shape[1])


def _choose(
    j: np.ndarray, counts: np.ndarray, y: np.ndarray, variance: np.ndarray, process: str, n: int
) -> OctaveChoice:
    usable = j[counts >= _LEAST]
    first = 3
    if process == "noise" and usable.size:
        first = max(1, min(first, int(usable[-1]) - 2))  # a short series has no choice
    if not usable.size or usable[-1] < first + 2:
        raise ValueError(
            f"{n} samples are too few: three octaves from {first} on with {_LEAST} coefficients or more are needed"
        )
    j2 = int(usable[-1])
    candidates = np.arange(first, j2 - 1)
    q = np.array([_quality(j[k - 1 : j2], y[k - 1 : j2], variance[k - 1 : j2]) for k in candidates])
    good = [i for i in range(len(q)) if q[i] >= _GOOD and (i + 1 == len(q) or q[i] >= q[i + 1])]
    best = good[0] if good else int(np.argmax(q))
    return OctaveChoice((int(candidates[best]), j2), candidates, q)


def _one_channel(x: Any) -> Signal:
    signal = read_signal(x)
    if signal.values.shape[0] != 1:
        raise ValueError(f"a log-scale diagram is of one channel; got {signal.values.shape[0]}: pass x[m]")
    return signal


def _energies(
    signal: Signal, vanishing_moments: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Mapping[int, np.ndarray]]:
    """Octaves, counts, log2 energies without their bias, variances, details."""
    from scipy.special import digamma, zeta

    found = transform(signal.values, vanishing_moments)
    counts = np.array(list(found.counts.values()))
    j = np.array(found.octaves)
    with np.errstate(over="ignore"):  # samples too large are named below
        energy = np.array([np.mean(d**2) for d in found.details.values()])
    check_rank(energy[:, None, None], j, signal)
    bias = digamma(counts / 2) / np.log(2) - np.log2(counts / 2)
    return j, counts, np.log2(energy) - bias, zeta(2, counts / 2) / np.log(2) ** 2, found.details


def _intercept(j: np.ndarray, y: np.ndarray, variance: np.ndarray, alpha: float) -> float:
    return float(np.average(y - alpha * j, weights=1 / variance))


def _quality(j: np.ndarray, y: np.ndarray, variance: np.ndarray) -> float:
    """Chi-squared survival of the weighted residuals, j2 - j1 - 1 degrees of freedom."""
    from scipy.stats import chi2

    alpha = float(regression_weights(j, 1 / variance) @ y)
    residual = y - alpha * j - _intercept(j, y, variance, alpha)
    return float(chi2.sf(np.sum(residual**2 / variance), len(j) - 2))


def _kurtosis(details: list[np.ndarray]) -> float:
    """Excess kurtosis in standard errors sqrt(24 / n), the largest in modulus over the octaves."""
    rated = [d for d in details if d.size >= _KURTOSIS_COUNT] or [max(details, key=len)]
    scores = [(np.mean(d**4) / np.mean(d**2) ** 2 - 3) / np.sqrt(24 / d.size) for d in rated]
    return float(max(scores, key=abs))
