"""`estimate_hurst`: the exponents of a multivariate signal, with their error bars."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..core.randomness import Seed, as_generator
from .bootstrap import bootstrap_lines
from .estimate import HurstEstimate
from .regression import exponents, normal_theory_error, regression_weights
from .spectrum import block_log2_eigenvalues, log2_eigenvalues, spectral_matrix
from .validation import Signal, fraction, read_octaves, read_signal, whole
from .wavelet import coefficient_counts, transform

__all__ = ["default_octaves", "estimate_hurst"]

METHODS = ("bwavelet", "wavelet", "univariate")
WEIGHTS = ("counts", "uniform", "variance")
PROCESSES = ("motion", "noise")
INTERVALS = ("normal", "basic")
_SPARE = 7  # coefficients more than channels that the last octave should have
_LEAST = 16
_FIRST = 3  # octaves 1 and 2 feel that samples are not approximations
_WIDE = 1e6
_MARGIN = 0.1
_LARGEST = 1e140  # of a sample


def estimate_hurst(
    x: Any,
    *,
    method: str = "bwavelet",
    octaves: Any = None,
    reference_octave: int | None = None,
    vanishing_moments: int = 2,
    weights: str = "counts",
    process: str = "motion",
    n_bootstrap: int = 0,
    block_length: int | None = None,
    confidence: float = 0.95,
    interval: str = "normal",
    standardize: bool = False,
    rng: Seed = None,
) -> HurstEstimate:
    """Self-similarity exponents by wavelet eigenvalue regression.

    Parameters
    ----------
    x : (M, n) or (n,) samples, channels first; a DataFrame is (time, channel)
    method : "bwavelet" (bias-corrected eigenvalues), "wavelet" (classical eigenvalues) or "univariate" (each channel by itself)
    octaves : pair (j1, j2); by default j2 is the largest octave with max(M + 7, 16) coefficients and j1 = max(3, j2 - 3)
    reference_octave : for "bwavelet": the blocks have as many coefficients as this octave, j2 or later; None takes j2
    vanishing_moments : N_psi of the Daubechies wavelet; removes polynomial trends of degree < N_psi
    weights : of the octaves: "counts", "uniform", or "variance" (of bootstrapped lines)
    process : "motion" (slope 2H + 1), or "noise": x holds increments (slope 2H - 1)
    n_bootstrap : replicates of the block bootstrap; 0 gives the error of normal theory
    block_length : coefficients of a bootstrap run, default 2 N_psi
    confidence : of the intervals
    interval : from the replicates: "normal" (H +- z sd) or "basic" (percentiles of differences)
    standardize : divide each channel by its standard deviation first
    rng : generator, seed or None, for the bootstrap

    Returns
    -------
    HurstEstimate : ``hurst`` in the order of the eigenvalues

    Raises
    ------
    ValueError
        too few coefficients at the last octave (fewer than channels, or than 8 with a bootstrap: lower j2 or take
        more samples), channels that are constant or linear combinations of others, NaN or infinities, an option that
        is unknown
    TypeError
        samples that are not real numbers

    Source: Abry and Didier 2018 (classical); Lucas, Didier, Wendt, Abry 2024 (bias correction); Lucas et al. 2021 (bootstrap).

    Examples
    --------
    >>> from ailys.selfsimilarity import OperatorFractionalBrownianMotion, estimate_hurst
    >>> x = OperatorFractionalBrownianMotion([0.4, 0.8], mixing=[[1, 1], [-1, 1]]).sample(2**15, rng=3)
    >>> found = estimate_hurst(x, octaves=(5, 10), n_bootstrap=200, rng=0)
    >>> bool(np.all((found.interval[:, 0] < [0.4, 0.8]) & ([0.4, 0.8] < found.interval[:, 1])))
    True
    """
    for name, value, known in (("method", method, METHODS), ("weights", weights, WEIGHTS), ("process", process, PROCESSES), ("interval", interval, INTERVALS)):  # fmt: skip
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}; got {value!r}")
    confidence = fraction(confidence, "confidence")
    replicates = whole(n_bootstrap, "n_bootstrap", 0)
    if replicates == 1:
        raise ValueError("n_bootstrap must be 0 or at least 2: one replicate has no spread")
    if block_length is not None:
        block_length = whole(block_length, "block_length", 1)
    if weights == "variance" and not replicates:
        raise ValueError("weights='variance' takes its variances from the bootstrap; set n_bootstrap to 100 or more")
    signal = read_signal(x)
    remarks: list[str] = []
    if standardize:
        signal = _same_units(signal)
    M, n = signal.values.shape
    available = coefficient_counts(n, _moments(vanishing_moments))
    j1, j2 = default_octaves(M, n, vanishing_moments) if octaves is None else read_octaves(octaves, available, n)
    j_ref = j2 if reference_octave is None else _reference(reference_octave, method, j2, len(available))
    n_ref = available[j_ref - 1]
    lower = "lower j2" if j_ref == j2 else "lower reference_octave"
    if method != "univariate" and n_ref < M:
        raise ValueError(
            f"octave {j_ref} has {n_ref} coefficients for {M} channels; at least {M} are needed: {lower} or take more samples"
        )
    if method != "univariate" and n_ref < M + _SPARE:
        remarks.append(
            f"octave {j_ref} has only {n_ref} coefficients for {M} channels; {M + _SPARE} or more are advised: {lower}"
        )
    if replicates and n_ref < 8:
        raise ValueError(f"octave {j_ref} has {n_ref} coefficients; the bootstrap needs at least 8: {lower}")

    details = transform(signal.values, vanishing_moments, first=j1, max_octave=j2).details
    counts = np.array(available[j1 - 1 : j2], float)
    octave = np.arange(j1, j2 + 1)
    with np.errstate(over="ignore", invalid="ignore"):  # samples too large are named below
        spectra = np.array([spectral_matrix(D) for D in details.values()])
    check_rank(spectra, octave, signal, many=method != "univariate")
    remarks += _scales(spectra)
    for remark in remarks:
        warnings.warn(remark, UserWarning, stacklevel=2)
    lines = {"univariate": np.log2(np.einsum("jmm->jm", spectra))}
    if method != "univariate" or n_ref >= M:
        lines["wavelet"] = np.array([log2_eigenvalues(S[None], int(j)) for S, j in zip(spectra, octave, strict=True)])
        lines["bwavelet"] = np.array([block_log2_eigenvalues(D, n_ref, j) for j, D in details.items()])
    replicate_lines = None
    if replicates:
        replicate_lines = bootstrap_lines(
            details, method, n_ref, replicates, vanishing_moments, block_length, as_generator(rng)
        )
    b = _octave_weights(weights, counts, replicate_lines)
    w = regression_weights(octave, b)
    H = exponents(lines[method], w, process)
    drawn = None if replicate_lines is None else exponents(replicate_lines, w, process)
    error = np.full(M, normal_theory_error(w, counts)) if drawn is None else drawn.std(axis=0, ddof=1)
    kind = "theory" if drawn is None else f"bootstrap-{interval}"
    if method != "univariate":
        remarks += _unresolved(H, j1)
    remarks += _outside(H, process)
    return HurstEstimate(
        hurst=H,
        hurst_sorted=np.sort(H),
        classical=exponents(lines["wavelet"], w, process) if "wavelet" in lines else None,
        univariate=exponents(lines["univariate"], w, process),
        octaves=octave,
        counts=counts.astype(int),
        block_size=int(n_ref) if method == "bwavelet" else None,
        reference_octave=j_ref if method == "bwavelet" else None,
        n_blocks=(counts // n_ref).astype(int) if method == "bwavelet" else np.ones(len(octave), int),
        log2_eigenvalues=lines[method],
        intercept=(b @ lines[method] - (b @ octave) * (2 * H + (1 if process == "motion" else -1))) / b.sum(),
        standard_error=error,
        interval=_interval(H, error, drawn, confidence, interval),
        confidence=confidence,
        interval_kind=kind,
        bootstrap=drawn,
        warnings=tuple(remarks),
        method=method,
        process=process,
        weights=w,
        vanishing_moments=vanishing_moments,
        n_samples=n,
        spectra=spectra,
        names=signal.names,
    )


def _reference(value: Any, method: str, j2: int, last: int) -> int:
    """The octave whose number of coefficients all blocks have."""
    if method != "bwavelet":
        raise ValueError(
            f"reference_octave is for method='bwavelet', whose matrices are of blocks; got method={method!r}"
        )
    octave = whole(value, "reference_octave", j2)
    if octave > last:
        raise ValueError(f"reference_octave must be at most {last}, the last octave of this signal; got {octave}")
    return octave


def default_octaves(M: int, n: int, vanishing_moments: int = 2) -> tuple[int, int]:
    """Largest octave with max(M + 7, 16) coefficients, and three before it, none below 3.

    Examples
    --------
    >>> default_octaves(6, 2**16)
    (8, 11)
    """
    need = max(M + _SPARE, _LEAST)
    usable = [j for j, count in enumerate(coefficient_counts(n, vanishing_moments), start=1) if count >= need]
    if not usable or usable[-1] <= _FIRST:
        L, samples = 2 * vanishing_moments, need
        for _ in range(_FIRST + 1):
            samples = 2 * (samples - 1) + L
        samples = max(samples, (L + 3) * 2 ** (_FIRST + 1))
        raise ValueError(
            f"{n} samples of {M} channels are too few for two octaves from {_FIRST} on with {need} coefficients or more; "
            f"{samples} samples are needed (or give octaves=(j1, j2) yourself)"
        )
    j2 = usable[-1]
    return max(_FIRST, j2 - 3), j2


def check_rank(spectra: np.ndarray, octaves: np.ndarray, signal: Signal, *, many: bool = True) -> None:
    """Constant, duplicated and linearly dependent channels, by name.

    Raises
    ------
    ValueError
        a spectrum has no full rank
    """
    size = np.maximum(signal.values.max(axis=1), -signal.values.min(axis=1))
    wild = np.flatnonzero((size > _LARGEST) | ((size > 0) & (size < 1 / _LARGEST)))
    if wild.size:
        raise ValueError(
            f"{signal.label(int(wild[0]))} has samples of size {size[wild[0]]:.0e}, whose squares double precision cannot hold; use another unit"
        )
    level = size**2
    for S, j in zip(spectra, octaves, strict=True):
        energy = np.diag(S)
        flat = np.flatnonzero(energy <= 1e-28 * np.maximum(level, np.finfo(float).tiny))
        if flat.size:
            raise ValueError(
                f"{', '.join(signal.label(int(m)) for m in flat)}: no variation at octave {j} (constant, or a polynomial trend); leave it out"
            )
        if not many or len(S) == 1:
            continue
        R = S / np.sqrt(energy)[:, None] / np.sqrt(energy)[None, :]
        values, vectors = np.linalg.eigh(R)
        if values[0] > 1e-12:
            continue
        part = np.flatnonzero(np.abs(vectors[:, 0]) > 1e-3)
        raise ValueError(
            f"{', '.join(signal.label(int(m)) for m in part)}: their details are linearly dependent at octave {j} (duplicated channels, or a common "
            "reference); leave one of them out"
        )


def _same_units(signal: Signal) -> Signal:
    spread = signal.values.std(axis=1)
    if not (spread > 0).all():
        raise ValueError(f"{signal.label(int(np.argmin(spread)))} is constant; leave it out")
    return Signal(signal.values / spread[:, None], signal.names)


def _scales(spectra: np.ndarray) -> list[str]:
    energy = np.diag(spectra[-1])
    ratio = float(np.sqrt(energy.max() / energy.min()))
    if ratio <= _WIDE:
        return []
    return [
        f"the channels differ by a factor {ratio:.1e} in scale: eigenvalues separate only at very large scales; standardize=True divides each "
        "channel by its standard deviation"
    ]


def _octave_weights(weights: str, counts: np.ndarray, replicates: np.ndarray | None) -> np.ndarray:
    if weights == "counts":
        return counts
    if weights == "uniform" or replicates is None:
        return np.ones_like(counts)
    variance = replicates.var(axis=0, ddof=1).mean(axis=1)
    return 1 / variance


def _interval(H: np.ndarray, error: np.ndarray, drawn: np.ndarray | None, confidence: float, kind: str) -> np.ndarray:
    from scipy.special import ndtri

    if drawn is not None and kind == "basic":
        low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
        return np.stack([2 * H - high, 2 * H - low], axis=1)
    z = float(ndtri((1 + confidence) / 2))
    return np.stack([H - z * error, H + z * error], axis=1)


def _unresolved(H: np.ndarray, j1: int) -> list[str]:
    """Neighbours so near that their lines still mix at the first octave: E S deviates by a factor of the order 2^(-2 j dH)."""
    gaps = np.diff(np.sort(H))
    near = gaps[np.exp2(-2.0 * j1 * gaps) > 0.1]
    if not near.size:
        return []
    return [
        f"{near.size} of {gaps.size} neighbouring exponents are within {near.max():.2g} of each other: they are equal, or their lines have not separated at "
        f"octave {j1}; an interval covers the exponent of this range of scales, which is H_m only where lines have separated"
    ]


def _outside(H: np.ndarray, process: str) -> list[str]:
    """Exponents that no model has, by more than a short signal explains."""
    off = H[(H < -_MARGIN) | (H > 1 + _MARGIN)]
    if not off.size:
        return []
    advice = "process='noise' is for increments" if process == "motion" and off[0] < 0 else (
        "process='motion' is for paths" if process == "noise" and off[0] > 1 else "a trend (more vanishing moments), or no self-similarity"
    )  # fmt: skip
    return [f"an exponent of {off[0]:.2f} is outside (0, 1), where the model has none: {advice}"]


def _moments(value: Any) -> int:
    from .wavelet import filters

    filters(value)  # checks
    return int(value)


def options_of(estimate: HurstEstimate) -> Mapping[str, Any]:
    """The options with which another signal is treated as this one was, without the bootstrap."""
    return {
        "method": estimate.method,
        "octaves": (int(estimate.octaves[0]), int(estimate.octaves[-1])),
        "reference_octave": estimate.reference_octave,
        "vanishing_moments": estimate.vanishing_moments,
        "process": estimate.process,
    }
