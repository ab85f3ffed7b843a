"""`quantize_rank_one`: the nearest rank-one matrix whose two vectors have entries in given formats.

``x y^T = (lambda x)(y / lambda)^T`` for every ``lambda``: of all the roundings that a scaling can give, take the
best one. An optimum is ``x_hat = round(lambda x)``, ``y_hat = round(mu y)`` with ``mu = <x, x_hat> / ||x_hat||^2``,
so that one number is to be found (Gribonval, Mary, Riccietti 2023; for any codebook: docs, quantization).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.answer import Answer
from ..core.guarantee import Guarantee
from .bits import BitCount
from .bounded import fit_pair
from .formats import Codebook, FloatFormat, Format, as_format, finite_array
from .packing import code_of
from .powers import times_power
from .scaling import (
    MAX_BREAKPOINTS,
    OCTAVES,
    Scaling,
    SearchTooLong,
    best_in_codebook,
    best_scaling,
    best_scaling_complex,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["RankOneQuantization", "quantize_rank_one"]

Array = np.ndarray
_RANGE = 400  # binary exponents of entries whose products can still be squared


@dataclass(frozen=True, eq=False)
class RankOneQuantization(Answer):
    """``x y^H`` replaced by ``scale * x_hat y_hat^H`` with entries in the formats.

    Attributes
    ----------
    x_hat, y_hat : (m,), (n,) vectors of values of ``formats``, float64 or complex128
    scale : a power of two, or any real number if a free scale was asked for
    lam, mu : ``x_hat = round(lam x)``, ``y_hat = round(mu y)`` (up to powers of two taken into ``scale``)
    error : relative Frobenius error, exact up to rounding
    error_rtn : that of rounding entry by entry (after scaling by the largest entry, with a free scale)
    n_candidates : roundings compared
    optimal : whether no other vectors of the formats come closer
    """

    x_hat: Array
    y_hat: Array
    scale: float
    lam: complex
    mu: complex
    error: float
    error_rtn: float
    n_candidates: int
    optimal: bool
    bits: BitCount
    formats: tuple[Format, Format]
    free_scale: bool = False
    _problem: tuple[Array, Array, Array, Array] | None = field(default=None, repr=False)

    def facts(self) -> Mapping[str, Any]:
        """Errors, the scaling, bits."""
        return {
            "error": self.error,
            "error_rtn": self.error_rtn,
            "lam": self.lam,
            "mu": self.mu,
            "scale": self.scale,
            "formats": " and ".join(str(fmt) for fmt in self.formats),
            "optimal": self.optimal,
            "n_candidates": self.n_candidates,
            "bits": self.bits.total,
        }

    @property
    def guarantee(self) -> Guarantee:
        """Optimal, or never worse than rounding entry by entry."""
        values = {"error": self.error, "error_rtn": self.error_rtn, "bits": float(self.bits.total)}
        names = " and ".join(str(fmt) for fmt in self.formats)
        if self.optimal:
            scaled = ", with any real scale," if self.free_scale else ""
            return Guarantee(
                "optimal",
                f"no pair of vectors in {names}{scaled} is closer: relative error {self.error:.4g} "
                f"(rounding entry by entry: {self.error_rtn:.4g})",
                1.0,
                values,
                ("exact arithmetic: rounding may exchange candidates whose errors agree to 6 digits",),
                "Gribonval, Mary, Riccietti 2023; docs, quantization, section 'What is guaranteed'",
            )
        return Guarantee(
            "error-bound",
            f"the relative error is {self.error:.4g}, computed from the vectors themselves, and not above the "
            f"{self.error_rtn:.4g} of rounding entry by entry",
            self.error,
            values,
            ("exact arithmetic",),
            "docs, quantization, section 'What is guaranteed'",
        )

    def toarray(self) -> Array:
        """The (m, n) matrix ``scale x_hat y_hat^H``."""
        return self.scale * np.outer(self.x_hat, self.y_hat.conj())

    def astype_native(self) -> tuple[Array, Array]:
        """``x_hat`` and ``y_hat`` in the NumPy or ml_dtypes type of their format, without loss.

        Raises
        ------
        ValueError
            The vectors are complex, or their format is none of NumPy's or ml_dtypes'.
        """
        return native(self.x_hat, self.formats[0]), native(self.y_hat, self.formats[1])

    def plot(self, ax: Axes | None = None) -> Axes:
        """Error against the scaling, with the one chosen."""
        from .plots import plot_rank_one

        return plot_rank_one(self, ax)


def quantize_rank_one(
    x: Any,
    y: Any,
    fmt_x: Any,
    fmt_y: Any = None,
    *,
    weights: Any = None,
    free_scale: bool = False,
    method: str = "exact",
    max_breakpoints: int = MAX_BREAKPOINTS,
) -> RankOneQuantization:
    """The best ``x_hat y_hat^H`` for ``x y^H`` with entries in the formats, in Frobenius norm.

    Parameters
    ----------
    x, y : (m,) and (n,) vectors of finite numbers, real or complex
    fmt_x, fmt_y : FloatFormat, IntFormat, Codebook, a number t of significant bits, or a name ("e4m3", "int4");
        ``fmt_y`` defaults to ``fmt_x``. Complex vectors take float formats; their parts are rounded separately.
    weights : (m,) positive weights of the squared errors of the rows, or a pair of weights (m,), (n,)
    free_scale : also a real scale in the answer, as users of integer grids have
    method : "exact" (for complex vectors a fine search, not proved optimal) or "sampled" (16384 scalings)
    max_breakpoints : roundings that an exact search may compare, about ``(m + n) 2^(t-1)``

    Returns
    -------
    RankOneQuantization
        Zero vectors give zero vectors.

    Raises
    ------
    ValueError
        For NaN, wrong shapes, unknown formats, integer grids on complex data, a search that would take too long, a
        scale beyond double precision.

    Examples
    --------
    >>> answer = quantize_rank_one([1.1, 2.6], [0.9, 1.3], 2)
    >>> answer.optimal, round(answer.error, 3), round(answer.error_rtn, 3)
    (True, 0.094, 0.292)
    """
    x, y = _vector(x, "x"), _vector(y, "y")
    formats = as_format(fmt_x, "fmt_x"), as_format(fmt_x if fmt_y is None else fmt_y, "fmt_y")
    is_complex = x.dtype.kind == "c" or y.dtype.kind == "c"
    if is_complex and any(isinstance(fmt, Codebook) for fmt in formats):
        raise ValueError("x and y are complex; integer grids and codebooks take real vectors: use a float format")
    if method not in ("exact", "sampled"):
        raise ValueError(f"method must be 'exact' or 'sampled'; got {method!r}")
    if not max_breakpoints >= 1:
        raise ValueError(f"max_breakpoints must be positive; got {max_breakpoints!r}")
    wx, wy = _weights(weights, x.size, y.size)
    if is_complex and np.ptp(wy) > 0:
        raise ValueError("weights of the columns are for real vectors; give weights (m,) of the rows only")
    kind = np.complex128 if is_complex else np.float64
    # powers of two change nothing but keep the squares in range
    shift_x, shift_y = _shift(x), _shift(y)
    x0, y0 = times_power(x.astype(kind), -shift_x), times_power(y.astype(kind), -shift_y)
    if not x0.any() or not y0.any():
        zero_x, zero_y = np.zeros(x.size, kind), np.zeros(y.size, kind)
        found = Scaling(zero_x, zero_y, 1.0, 1.0, 1, True)
        return _answer(found, x0, y0, wx, wy, formats, (1.0, None), (0, 0), free_scale, 0.0)
    levels = tuple(fmt.levels if isinstance(fmt, Codebook) else None for fmt in formats)
    unbounded = tuple(not (isinstance(fmt, FloatFormat) and fmt.bounded) for fmt in formats)
    if free_scale:
        found, real_scale = _free(x0, y0, wx, wy, formats, method, max_breakpoints)
        answer = _answer(found, x0, y0, wx, wy, formats, (real_scale, None), (shift_x, shift_y), True)
    elif levels[0] is not None or levels[1] is not None:
        x0, y0 = x.astype(kind), y.astype(kind)
        if shift_x + shift_y > _RANGE or max(abs(shift_x), abs(shift_y)) > _RANGE:
            raise ValueError(
                "the entries of x and y are too far from those of the format: take free_scale=True (--free-scale)"
            )
        books = [_levels(fmt) for fmt in formats]
        found = best_in_codebook(x0, y0, wx, wy, *books, rounded=True, max_breakpoints=max_breakpoints)
        answer = _answer(found, x0, y0, wx, wy, formats, (1.0, None), (0, 0), False)
    else:
        t, ty = (fmt.t for fmt in formats)  # type: ignore[union-attr]
        if is_complex:
            found = _complex(x0, y0, wx, t, ty, method, max_breakpoints)
        else:
            found = best_scaling(x0, y0, wx, wy, t, ty, method, max_breakpoints)
        shifts, power = (shift_x, shift_y), None
        if not all(unbounded):
            found, power = fit_pair(found, x0, y0, wx, wy, formats, shifts)
        answer = _answer(found, x0, y0, wx, wy, formats, (1.0, power), shifts, False)
    return replace(answer, _problem=(x0, y0, wx, wy))


def _complex(x: Array, y: Array, wx: Array, t: int, ty: int, method: str, max_breakpoints: int) -> Scaling:
    size = (OCTAVES + 1) * 2.0 ** (2 * t - 1)
    stride = max(1, int(size // 2**14)) | 1 if method == "sampled" else 1
    if size / stride > max_breakpoints:
        raise SearchTooLong(size, max_breakpoints)
    found = best_scaling_complex(x, y.conj(), wx, t, ty, OCTAVES, stride)
    return found._replace(y_hat=found.y_hat.conj())


def _free(
    x: Array, y: Array, wx: Array, wy: Array, formats: tuple[Format, Format], method: str, max_breakpoints: int
) -> tuple[Scaling, float]:
    """With a real scale the two vectors do not depend on each other: each gets the direction nearest to its own."""
    if x.dtype.kind == "c":
        raise ValueError("a free scale is for real vectors")
    hats, lams, met, optimal = [], [], 0, True
    ones = np.ones(1)
    for v, w, fmt in ((x, wx, formats[0]), (y, wy, formats[1])):
        if isinstance(fmt, FloatFormat) and not fmt.bounded:
            one = best_scaling(v, ones, w, ones, fmt.t, 0, method, max_breakpoints)
        else:
            levels = _levels(fmt)
            one = best_in_codebook(v, ones, w, ones, levels, levels, rounded=False, max_breakpoints=max_breakpoints)
        hats.append(one.x_hat)
        lams.append(one.lam)
        met += one.met
        optimal &= one.optimal
    energy = float(wx @ hats[0] ** 2) * float(wy @ hats[1] ** 2)
    scale = float(wx @ (x * hats[0])) * float(wy @ (y * hats[1])) / energy if energy else 0.0
    return Scaling(hats[0], hats[1], lams[0], lams[1], met, optimal), scale


def _answer(
    found: Scaling,
    x: Array,
    y: Array,
    wx: Array,
    wy: Array,
    formats: tuple[Format, Format],
    scale: tuple[float, int | None],
    shifts: tuple[int, int],
    free_scale: bool,
    error: float | None = None,
) -> RankOneQuantization:
    """Undo the shifts, count, measure.

    The scale is a real number times a power of two; without the latter the vectors take back their own shifts.
    """
    real, power = scale
    x_hat, y_hat = found.x_hat, found.y_hat
    if error is None:
        error = relative_error(x, y, wx, wy, np.ldexp(real, power or 0) * x_hat, y_hat)
        plain = _rounded_plainly(x, y, wx, wy, formats, shifts, free_scale)
    else:
        plain = error
    if free_scale:
        power = sum(shifts)
    elif power is not None:
        power += sum(shifts)
    else:
        x_hat, y_hat, power = _restored(x_hat, y_hat, shifts)
    with np.errstate(over="ignore"):
        total = float(np.ldexp(real, power))
    if not np.isfinite(total):
        raise ValueError("the product of x and y overflows double precision; divide them by a power of two first")
    if times_power(np.array([total]), -power)[0] != real:
        raise ValueError("the product of x and y underflows double precision; multiply them by a power of two first")
    return RankOneQuantization(
        x_hat=x_hat,
        y_hat=y_hat,
        scale=total,
        lam=found.lam,
        mu=found.mu,
        error=error,
        error_rtn=plain,
        n_candidates=found.met,
        optimal=found.optimal,
        bits=code_of(x_hat, formats[0]).count(x_hat.size, x_hat.dtype.kind == "c")
        + code_of(y_hat, formats[1]).count(y_hat.size, y_hat.dtype.kind == "c")
        + BitCount(0, 0, 0, 64 if free_scale else 0),
        formats=formats,
        free_scale=free_scale,
    )


def _restored(x_hat: Array, y_hat: Array, shifts: tuple[int, int]) -> tuple[Array, Array, int]:
    """The vectors with their powers of two, as far as double precision holds them; the rest goes to the scale."""
    hats, power = [], 0
    for hat, shift in zip((x_hat, y_hat), shifts, strict=True):
        with np.errstate(over="ignore", under="ignore"):
            back = times_power(hat, shift)
            if np.isfinite(back).all() and np.array_equal(times_power(back, -shift), hat):
                hat, shift = back, 0
        hats.append(hat)
        power += shift
    return hats[0], hats[1], power


def relative_error(x: Array, y: Array, wx: Array, wy: Array, x_hat: Array, y_hat: Array) -> float:
    """``||x y^H - x_hat y_hat^H|| / ||x y^H||`` without the product: ``x = nu x_hat + r`` with r orthogonal to x_hat."""
    nx, ny = float(wx @ _square(x)), float(wy @ _square(y))
    b = float(wx @ _square(x_hat))
    if nx == 0 or ny == 0:
        return 0.0
    nu = (wx * x_hat.conj()) @ x / b if b > 0 else 0.0
    rest = float(wx @ _square(x - nu * x_hat))
    gap = float(wy @ _square(y_hat - np.conj(nu) * y))
    return float(np.sqrt(rest / nx + b / nx * (gap / ny)))


def _rounded_plainly(
    x: Array, y: Array, wx: Array, wy: Array, formats: tuple[Format, Format], shifts: tuple[int, int], free: bool
) -> float:
    hats = []
    for v, fmt, shift in zip((x, y), formats, shifts, strict=True):
        if free and (levels := fmt.levels) is not None:
            scale = float(np.abs(levels).max()) / np.abs(v).max()
            hats.append(_nearest(v * scale, fmt) / scale)
        elif isinstance(fmt, FloatFormat) and not fmt.bounded:
            hats.append(_nearest(v, fmt))
        else:
            hats.append(times_power(_nearest(times_power(v, shift), fmt), -shift))
    return relative_error(x, y, wx, wy, hats[0], hats[1])


def native(values: Array, fmt: Format) -> Array:
    """Values in the type of their format, if it has one; nothing is rounded."""
    if values.dtype.kind == "c":
        raise ValueError("complex values have no native type in these formats; take their .real and .imag parts")
    name = fmt.name if isinstance(fmt, FloatFormat) else _int_type(fmt)
    if name is None:
        raise ValueError(
            f"{fmt} is not the format of a NumPy or ml_dtypes type; use FloatFormat.from_dtype or IntFormat"
        )
    import ml_dtypes

    narrow = values.astype(np.dtype(getattr(ml_dtypes, name, name)))
    if not np.array_equal(narrow.astype(np.float64), values):
        raise ValueError(f"some values are outside the range of {name}")
    return narrow


def _int_type(fmt: Format) -> str | None:
    width = getattr(fmt, "width", None)
    return None if width is None else next(f"int{size}" for size in (2, 4, 8, 16) if size >= width)


def _levels(fmt: Format) -> Array:
    levels = fmt.levels
    if levels is None:
        raise ValueError(f"{fmt} cannot be mixed with a codebook or a free scale; use a format of at most 16 bits")
    return levels


def _nearest(v: Array, fmt: Format) -> Array:
    if v.dtype.kind == "c":
        return fmt.nearest(v.real) + 1j * fmt.nearest(v.imag)
    return fmt.nearest(v)


def _vector(a: Any, name: str) -> Array:
    array = finite_array(a, name)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} must be a vector with at least one entry; got an array of shape {array.shape}")
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def _weights(weights: Any, m: int, n: int) -> tuple[Array, Array]:
    if weights is None:
        return np.ones(m), np.ones(n)
    pair = weights if isinstance(weights, tuple) and len(weights) == 2 else (weights, np.ones(n))
    arrays = []
    for w, size, side in zip(pair, (m, n), ("x", "y"), strict=True):
        array = finite_array(w, "weights")
        if array.shape != (size,) or array.dtype.kind == "c" or not (array > 0).all():
            raise ValueError(f"weights of {side} must be {size} positive numbers; got an array of shape {array.shape}")
        arrays.append(array.astype(np.float64))
    return arrays[0], arrays[1]


def _shift(v: Array) -> int:
    """Exponent of the largest entry."""
    peak = max(float(np.abs(v.real).max()), float(np.abs(v.imag).max()))
    return int(np.frexp(peak)[1]) - 1 if peak > 0 else 0


def _square(v: Array) -> Array:
    return v.real**2 + v.imag**2
