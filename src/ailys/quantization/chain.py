"""`quantize_chain`: a product of Kronecker-sparse factors in few bits, with its exact error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..butterfly import Chain
from ._sweep_kernels import FINE
from .bounded import shift_range
from .chain_error import ErrorKind, chain_error
from .chain_input import ChainInput, chain_input, formats_for
from .chain_methods import beam_search, left_to_right, pairwise_rounding, plain_rounding, right_to_left
from .formats import Codebook, FloatFormat, Format
from .paths import single_path
from .powers import times_power
from .quantized_chain import QuantizedChain
from .scaling import MAX_BREAKPOINTS
from .steps import Rounder

__all__ = ["METHODS", "quantize_chain"]

Array = np.ndarray
METHODS = ("rtn", "pairwise", "left_to_right", "right_to_left", "beam", "auto")
_SLACK = 1.01  # what a shorter exponent field may cost in error
_FLOOR = 1e-15
_NORMAL = -1021  # numpy.frexp's exponent of the smallest normal double
_WIDEST = 11  # exponent bits: the range of double precision
_BEAM_OF_LARGE_BLOCKS = 4


def quantize_chain(
    factors: Any,
    fmt: Any,
    *,
    method: str = "auto",
    beam: int = 16,
    scale: bool = True,
    n_jobs: int | None = None,
    patterns: Any = None,
) -> QuantizedChain:
    """Round the factors of ``X_1 ... X_L`` such that their product changes little.

    Parameters
    ----------
    factors : list of 4-D arrays (a, b, c, d), an answer of `ailys.butterfly.butterfly`, or matrices (dense or SciPy
        sparse) whose zeros show their pattern
    fmt : FloatFormat, IntFormat, Codebook, a number t of significant bits, a name ("e4m3"), or a list with one of
        these for each factor
    method : "rtn" (entry by entry), "pairwise", "left_to_right", "right_to_left", "beam" (real factors), or "auto": the
        best of all of them
    beam : scalings kept for each column of the last but two factors (at most 4 where blocks are larger than 2)
    scale : a real scale of the product that takes the mean size of the entries
    n_jobs : threads, as in joblib
    patterns : (a, b, c, d) of each factor, for matrices whose zeros do not show it

    Returns
    -------
    QuantizedChain
        With "auto", never worse than "rtn". With two factors and single paths, the best possible for float formats.

    Raises
    ------
    ValueError
        For NaN, factors that do not fit, unknown formats or methods, integer grids or "beam" on complex factors.

    Examples
    --------
    >>> from ailys.butterfly import hadamard_factors
    >>> H = [x / 2 ** 0.5 for x in hadamard_factors(64)]
    >>> answer = quantize_chain(H, 1)
    >>> bool(answer.error < 1e-13), answer.bits.exponent, answer.bits.sign
    (True, 0, 768)
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
    if not isinstance(beam, (int, np.integer)) or isinstance(beam, bool) or beam < 1:
        raise ValueError(f"beam must be a whole number >= 1; got {beam!r}")
    problem = chain_input(factors, patterns)
    formats = formats_for(fmt, len(problem.factors))
    is_complex = problem.factors[0].dtype.kind == "c"
    if is_complex and any(isinstance(one, Codebook) for one in formats):
        raise ValueError("the factors are complex; integer grids and codebooks take real factors: use a float format")
    if is_complex and method == "beam":
        raise ValueError("method 'beam' takes real factors; use 'left_to_right' or 'auto' for complex ones")
    rounders = [Rounder(one, is_complex, n_jobs) for one in formats]
    candidates = _candidates(method, problem, rounders, beam, scale)
    candidates = {
        name: ([_storable(x, one) for x, one in zip(rounded, formats, strict=True)], total)
        for name, (rounded, total) in candidates.items()
    }
    errors = {name: chain_error(problem.factors, *one, problem.chain) for name, one in candidates.items()}
    rtn = errors["rtn"][0]
    allowed = errors if method == "auto" else {method: errors[method]}
    # of equal errors, that of a method about which something is proved
    best = min(allowed, key=lambda name: errors[name][0] * (1 + 1e-12 * (name == "rtn")))
    rounded, total = candidates[best]
    error, kind = errors[best]
    limit = max(rtn, error)
    short, short_error, kind = _shorten(rounded, total, formats, problem, (error, kind), limit)
    return QuantizedChain(
        factors=tuple(short),
        scale=total,
        formats=formats,
        chain=problem.chain,
        error=short_error,
        error_rtn=rtn,
        error_kind=kind,
        method=best,
        excess=_excess(problem.chain, formats, is_complex, best, error, short_error) if kind == "exact" else None,
        perm=problem.perm,
        shape=problem.shape,
        errors={name: value for name, (value, _) in errors.items()},
    )


def _candidates(
    method: str, problem: ChainInput, rounders: Sequence[Rounder], beam: int, scale: bool
) -> dict[str, tuple[list[Array], float]]:
    """Rounded factors and scale by method; plain rounding is always among them."""
    formats = [r.fmt for r in rounders]
    sizes = [max(x.shape[1], x.shape[2]) for x in problem.factors]
    width = beam if max(sizes) <= 2 else min(beam, _BEAM_OF_LARGE_BLOCKS)
    ways: dict[str, Callable[[Sequence[Array]], tuple[list[Array], float]]] = {
        "pairwise": lambda x: pairwise_rounding(x, rounders),
        "left_to_right": lambda x: left_to_right(x, rounders),
        "right_to_left": lambda x: right_to_left(x, rounders),
        "beam": lambda x: beam_search(x, rounders, width),
    }
    real_floats = not (rounders[0].is_complex or any(r.grid is not None for r in rounders))
    if method == "auto" and not (real_floats and len(rounders) > 2):
        del ways["beam"]  # the same as left_to_right
    if method == "auto" and len(rounders) == 1:
        ways = {"left_to_right": ways["left_to_right"]}  # rounding after scaling
    chosen = ways if method == "auto" else {name: way for name, way in ways.items() if name == method}
    found = {"rtn": _plain(problem.factors, rounders)}
    if not all(x.any() for x in problem.factors):
        return found | dict.fromkeys(chosen, found["rtn"])  # the product is zero
    # two factors are few: the best of both is never worse than the optimum without a scale
    for real in (True, False) if scale and len(rounders) == 2 else (scale,):
        sized, total = _normalised(problem.factors, real)
        for name, way in chosen.items():
            rounded, one = way(sized)
            rounded, shift = _into_range(rounded, formats)
            if not scale and all(isinstance(fmt, FloatFormat) and not fmt.bounded for fmt in formats):
                with np.errstate(over="ignore"):
                    first = rounded[0] * (one * total * shift)  # powers of two
                if np.isfinite(first).all():
                    rounded[0], one, shift = first, 1.0 / total, 1.0
            new = rounded, one * total * shift
            if name not in found or _error(problem, new) < _error(problem, found[name]):
                found[name] = new
    return found


def _plain(factors: Sequence[Array], rounders: Sequence[Rounder]) -> tuple[list[Array], float]:
    """Rounding entry by entry, where unbounded floats may be larger or smaller than those of double precision."""
    held, power = [], 0
    for x, rounder in zip(factors, rounders, strict=True):
        parts = np.abs(np.concatenate([x.real.ravel(), x.imag.ravel()]))
        parts = parts[parts > 0]
        shift = 0
        if parts.size and isinstance(rounder.fmt, FloatFormat) and not rounder.fmt.bounded:
            least, most = int(np.frexp(parts.min())[1]), int(np.frexp(parts.max())[1])
            shift = min(max(0, _NORMAL - least), 1023 - most)
            shift = shift if least < _NORMAL or most > 1023 else 0
        held.append(times_power(x, shift) if shift else x)
        power -= shift
    rounded, scale = plain_rounding(held, rounders)
    with np.errstate(over="ignore"):
        total = float(np.ldexp(scale, power))
    if not np.isfinite(total) or (total == 0 and scale != 0):
        raise ValueError("the product of the factors leaves the range of double precision; scale a factor first")
    return rounded, total


def _storable(x: Array, fmt: Format) -> Array:
    """Without negative zeros, and for floats with an exponent field without what is below the normal doubles."""
    if fmt.levels is None:
        least = np.ldexp(1.0, _NORMAL - 1)
        real = np.where(np.abs(x.real) < least, 0.0, x.real)
        x = real + 1j * np.where(np.abs(x.imag) < least, 0.0, x.imag) if x.dtype.kind == "c" else real
    return np.asarray(x + 0.0)


def _error(problem: ChainInput, rounded: tuple[list[Array], float]) -> float:
    return chain_error(problem.factors, *rounded, problem.chain)[0]


def _normalised(factors: Sequence[Array], real: bool) -> tuple[list[Array], float]:
    """Factors whose entries have mean binary logarithm 0, or nearly so by a power of two, and what was divided out."""
    sized, power, total = [], 0, 1.0
    for x in factors:
        shift = int(np.frexp(np.abs(x).max())[1])
        near = times_power(x, -shift)
        modulus = np.abs(near[near != 0])
        # a few tiny entries should not drag the others out of range
        mean = max(float(np.exp2(np.mean(np.log2(modulus)))), 2.0**-16) if real else 1.0
        if real and np.ptp(modulus) < 1e-12 * modulus.max():
            mean = float(modulus.max())
        sized.append(near / mean)
        power += shift
        total *= mean
    with np.errstate(over="ignore"):
        value = float(np.ldexp(total, power))
    if not 0 < value < np.inf:
        raise ValueError("the product of the factors leaves the range of double precision; scale a factor first")
    return sized, value


def _into_range(rounded: Sequence[Array], formats: Sequence[Format]) -> tuple[list[Array], float]:
    """Factors of bounded formats moved into their range by powers of two; what does not fit is rounded again."""
    moved, power = [], 0
    for x, fmt in zip(rounded, formats, strict=True):
        if isinstance(fmt, FloatFormat) and fmt.bounded:
            least, most = shift_range(x, fmt)
            shift = min(max(0, least), most)
            x = times_power(x, shift)
            x = fmt.nearest(x.real) + 1j * fmt.nearest(x.imag) if x.dtype.kind == "c" else fmt.nearest(x)
            power -= shift
        moved.append(x)
    return moved, 2.0**power


def _shorten(
    rounded: Sequence[Array],
    scale: float,
    formats: Sequence[Format],
    problem: ChainInput,
    measured: tuple[float, ErrorKind],
    limit: float,
) -> tuple[list[Array], float, ErrorKind]:
    """Small entries set to zero, as many as cost less than 1 % of the error: shorter exponents.

    The exponent field of ``e`` bits then counts down from the largest entry of each factor.
    """
    if all(isinstance(fmt, Codebook) or fmt.bounded for fmt in formats):
        return list(rounded), *measured
    error, _ = measured
    allowed = min(_SLACK * error, max(limit, error)) + _FLOOR
    for bits in range(1, _WIDEST + 1):
        short = [_flushed(x, bits, fmt) for x, fmt in zip(rounded, formats, strict=True)]
        if all(x is y for x, y in zip(short, rounded, strict=True)):
            return list(rounded), *measured
        new, kind = chain_error(problem.factors, short, scale, problem.chain)
        if new <= allowed:
            return short, new, kind
    return short, new, kind  # the range of double precision: what is lost is below 1e-300 of the rest


def _flushed(x: Array, bits: int, fmt: Format) -> Array:
    """``x`` without the entries that an exponent field of ``bits`` bits, zero included, does not reach."""
    if isinstance(fmt, Codebook) or fmt.bounded:
        return x
    peak = max(float(np.abs(x.real).max()), float(np.abs(x.imag).max()))
    if peak == 0:
        return x
    floor = np.ldexp(1.0, int(np.frexp(peak)[1]) - 1 - (2**bits - 2))
    small = (x.real != 0) & (np.abs(x.real) < floor)
    if x.dtype.kind != "c":
        return np.where(small, 0.0, x) if small.any() else x
    small_imag = (x.imag != 0) & (np.abs(x.imag) < floor)
    if not (small.any() or small_imag.any()):
        return x
    return np.where(small, 0.0, x.real) + 1j * np.where(small_imag, 0.0, x.imag)


def _excess(
    chain: Chain, formats: Sequence[Format], is_complex: bool, method: str, error: float, short_error: float
) -> float | None:
    """How far from the best error for two factors of unbounded formats; None where nothing is proved."""
    if short_error <= _FLOOR:  # nobody is closer than exact
        return 1.0
    unbounded = all(isinstance(fmt, FloatFormat) and not fmt.bounded for fmt in formats)
    swept = all(fmt.t <= FINE for fmt in formats if isinstance(fmt, FloatFormat))  # beyond, scalings are sampled
    if len(chain) != 2 or is_complex or method == "rtn" or not unbounded or not swept or not single_path(chain):
        return None
    (_, rows, _, _), (_, _, cols, _) = chain.patterns
    if (rows + cols) * 2.0 ** (max(fmt.t for fmt in formats if isinstance(fmt, FloatFormat)) - 1) > MAX_BREAKPOINTS:
        return None  # blocks of this size are sampled too
    return max(1.0, short_error / error)
