"""Number formats: floats with t significant bits, whole-number grids, any finite codebook.

A float with ``t`` significant bits is ``+-k 2^(e - t)`` with ``2^(t-1) <= k < 2^t``. The count includes the
leading bit that formats do not store: bfloat16 has t = 8, float16 has t = 11 (NumPy's ``finfo.nmant`` is t - 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from ._rounding import round_array

__all__ = ["Codebook", "FloatFormat", "Format", "IntFormat", "as_format", "format_from_dict", "round_to_format"]

Array = np.ndarray
_ALIASES = {
    "e4m3": "float8_e4m3fn",
    "e4m3fn": "float8_e4m3fn",
    "e5m2": "float8_e5m2",
    "e3m4": "float8_e3m4",
    "e3m2": "float6_e3m2fn",
    "e2m3": "float6_e2m3fn",
    "e2m1": "float4_e2m1fn",
    "fp16": "float16",
    "bf16": "bfloat16",
    "fp32": "float32",
    "half": "float16",
}


@dataclass(frozen=True)
class FloatFormat:
    """Floats with ``t`` significant bits; with ``exponent_bits`` their range is bounded as in IEEE 754.

    Parameters
    ----------
    t : significant bits, the implicit one included, 1 to 53
    exponent_bits : width of the exponent field, or None for an unbounded exponent
    name : of a NumPy or ml_dtypes type, if it is one
    largest, min_exponent : of bounded formats, where they differ from IEEE 754: the largest value, and ``e``
        such that ``2^e`` is the smallest normal value

    Raises
    ------
    ValueError
        A number of bits, a range or a largest value that double precision cannot hold.

    Examples
    --------
    >>> FloatFormat(4).t, FloatFormat.from_dtype("bfloat16").t, FloatFormat.from_dtype("float8_e4m3fn").largest
    (4, 8, 448.0)
    """

    t: int
    exponent_bits: int | None = None
    name: str | None = None
    largest: float | None = None
    min_exponent: int | None = None

    def __post_init__(self) -> None:
        if not _whole(self.t) or not 1 <= self.t <= 53:
            raise ValueError(f"t, the number of significant bits, must be a whole number from 1 to 53; got {self.t!r}")
        bits = self.exponent_bits
        if bits is None:
            return
        if not _whole(bits) or not 2 <= bits <= 11:
            raise ValueError(f"exponent_bits must be a whole number from 2 to 11, or None; got {bits!r}")
        bias = 2 ** (bits - 1) - 1
        if self.min_exponent is None:
            object.__setattr__(self, "min_exponent", 1 - bias)
        if self.largest is None:
            object.__setattr__(self, "largest", float((2.0 - 2.0 ** (1 - self.t)) * 2.0**bias))
        if not _whole(self.min_exponent) or not -1074 <= self.min_exponent <= 1023:  # type: ignore[operator]
            raise ValueError(f"min_exponent must be a whole number from -1074 to 1023; got {self.min_exponent!r}")
        if not isinstance(self.largest, (int, float)) or not 0 < self.largest < np.inf:
            raise ValueError(f"largest must be a positive number; got {self.largest!r}")

    @classmethod
    def from_dtype(cls, dtype: Any) -> FloatFormat:
        """The format of a NumPy, ml_dtypes or torch type, or of its name (also e4m3, e5m2, e2m1, ...).

        Raises
        ------
        ValueError
            The type is unknown, no float, or has no sign.
        """
        kind = _dtype(dtype)
        import ml_dtypes

        try:
            info = ml_dtypes.finfo(kind)  # type: ignore[no-untyped-call]
            smallest, t = float(info.smallest_normal), int(info.nmant) + 1
        except (ValueError, TypeError) as fault:
            raise ValueError(f"{dtype!r} is not a floating-point type") from fault
        exponent_bits = int(info.bits) - t
        if kind.kind == "c" or float(info.min) >= 0 or not 2 <= exponent_bits <= 11:
            raise ValueError(f"{kind.name} is not a signed real type; give its values as a Codebook")
        return cls(t, exponent_bits, kind.name, float(info.max), round(float(np.log2(smallest))))

    @property
    def bounded(self) -> bool:
        """Whether the exponent is limited."""
        return self.exponent_bits is not None

    @property
    def bits(self) -> int | None:
        """Bits of one number, or None for an unbounded exponent."""
        return None if self.exponent_bits is None else self.t + self.exponent_bits

    @property
    def levels(self) -> Array | None:
        """All values in increasing order, for bounded formats of at most 16 bits."""
        if self.bits is None or self.bits > 16:
            return None
        return _float_levels(self)

    def nearest(self, values: Array) -> Array:
        """The nearest values of the format, saturating (float64 in, float64 out)."""
        values = np.ascontiguousarray(values, np.float64)
        rounded = round_array(values.ravel(), self.t).reshape(values.shape)
        if self.largest is None or self.min_exponent is None:
            return np.asarray(rounded)
        tiny = np.abs(values) < np.ldexp(1.0, self.min_exponent)
        quantum = self.min_exponent - (self.t - 1)
        # halves of the smallest subnormal number go to the even neighbour, as in IEEE 754
        small = np.ldexp(np.rint(np.ldexp(np.where(tiny, values, 0.0), -quantum)), quantum)
        return np.asarray(np.clip(np.where(tiny, small, rounded), -self.largest, self.largest))

    def __str__(self) -> str:
        return self.name or (
            f"t={self.t}" if self.exponent_bits is None else f"t={self.t}, {self.exponent_bits}-bit exponent"
        )

    def to_dict(self) -> dict[str, Any]:
        """Machine-readable description."""
        fields = {
            "t": self.t, "exponent_bits": self.exponent_bits, "name": self.name,
            "largest": self.largest, "min_exponent": self.min_exponent,
        }  # fmt: skip
        return {"float": {key: value for key, value in fields.items() if value is not None}}


@lru_cache(maxsize=64)
def _float_levels(fmt: FloatFormat) -> Array:
    assert fmt.largest is not None
    assert fmt.min_exponent is not None
    steps = 2 ** (fmt.t - 1)
    exponents = np.arange(fmt.min_exponent, np.frexp(fmt.largest)[1])
    normal = np.ldexp((steps + np.arange(steps))[None, :] / steps, exponents[:, None]).ravel()
    subnormal = np.ldexp(np.arange(1, steps) / steps, fmt.min_exponent)
    positive = np.concatenate([subnormal, normal[normal <= fmt.largest]])
    levels = np.concatenate([-positive[::-1], [0.0], positive])
    levels.flags.writeable = False
    return levels


@dataclass(frozen=True)
class Codebook:
    """Any finite set of values, for instance ``Codebook([-1, 0, 1])``.

    Raises
    ------
    ValueError
        Fewer than two or more than 65536 different values, or values that are no finite numbers.

    Examples
    --------
    >>> Codebook([1, -1, 0]).levels
    array([-1.,  0.,  1.])
    """

    values: tuple[float, ...]

    def __init__(self, values: Sequence[float] | Array) -> None:
        try:
            array = np.unique(np.asarray(values, np.float64).ravel() + 0.0)  # no negative zero
        except (TypeError, ValueError) as fault:
            raise ValueError("a codebook is a list of real numbers") from fault
        if array.size < 2 or not np.isfinite(array).all():
            raise ValueError(f"a codebook needs at least two different finite values; got {array.size} of them")
        if array.size > 65536:
            raise ValueError(f"a codebook has at most 65536 values; got {array.size}")
        object.__setattr__(self, "values", tuple(array.tolist()))

    @cached_property
    def levels(self) -> Array:
        """The values in increasing order."""
        return np.array(self.values)

    @property
    def bits(self) -> int:
        """Bits of the index of a value."""
        return (len(self.levels) - 1).bit_length()

    def nearest(self, values: Array) -> Array:
        """The nearest values, saturating; halves go down."""
        return np.asarray(self.levels[self.indices(values)])

    def indices(self, values: Array) -> Array:
        """Positions of the nearest values."""
        levels = self.levels
        return np.searchsorted((levels[1:] + levels[:-1]) / 2, values, side="left")

    def __str__(self) -> str:
        return f"codebook of {len(self.levels)} values"

    def to_dict(self) -> dict[str, Any]:
        """Machine-readable description."""
        return {"codebook": list(self.values)}


@dataclass(frozen=True)
class IntFormat(Codebook):
    """Whole numbers of ``bits`` bits: symmetric ``-(2^(bits-1)-1) ... 2^(bits-1)-1``, or two's complement.

    Raises
    ------
    ValueError
        ``bits`` is not a whole number from 2 to 16.

    Examples
    --------
    >>> IntFormat(4).levels.min(), IntFormat(4, symmetric=False).levels.min()
    (np.float64(-7.0), np.float64(-8.0))
    """

    width: int = 8
    symmetric: bool = True

    def __init__(self, bits: int, symmetric: bool = True) -> None:
        if not _whole(bits) or not 2 <= bits <= 16:
            raise ValueError(f"bits of an integer grid must be a whole number from 2 to 16; got {bits!r}")
        top = 2 ** (int(bits) - 1) - 1
        super().__init__(np.arange(-top - (not symmetric), top + 1))
        object.__setattr__(self, "width", int(bits))
        object.__setattr__(self, "symmetric", bool(symmetric))

    @property
    def bits(self) -> int:
        """Bits of one number."""
        return self.width

    def __str__(self) -> str:
        return f"int{self.width}"

    def to_dict(self) -> dict[str, Any]:
        """Machine-readable description."""
        return {"int": self.width, "symmetric": self.symmetric}


Format = FloatFormat | Codebook


def as_format(fmt: Any, name: str = "fmt") -> Format:
    """A format from itself, from t, from a type, or from a name such as "e4m3", "bfloat16", "int4".

    Examples
    --------
    >>> str(as_format(4)), str(as_format("int4")), str(as_format("e4m3"))
    ('t=4', 'int4', 'float8_e4m3fn')
    """
    if isinstance(fmt, (FloatFormat, Codebook)):
        return fmt
    if _whole(fmt):
        return FloatFormat(int(fmt))
    if isinstance(fmt, str) and fmt.strip().lower().removeprefix("int").isdecimal():
        return _named(fmt)
    try:
        return _named(fmt) if isinstance(fmt, str) else FloatFormat.from_dtype(fmt)
    except ValueError as fault:
        objects = "" if isinstance(fmt, str) else "a FloatFormat, an IntFormat, a Codebook, "
        raise ValueError(
            f"{name} must be {objects}a number of significant bits, or a name such as 'e4m3', 'bfloat16', 'int4'; got {fmt!r}"
        ) from fault


@lru_cache(maxsize=256)
def _named(text: str) -> Format:
    word = text.strip().lower()
    if word.isdecimal():
        return FloatFormat(int(word))
    if word.startswith("int") and word[3:].isdecimal():
        return IntFormat(int(word[3:]))
    return FloatFormat.from_dtype(word)


def format_from_dict(record: dict[str, Any]) -> Format:
    """The format that `to_dict` described."""
    if "float" in record:
        return FloatFormat(**record["float"])
    if "int" in record:
        return IntFormat(record["int"], record["symmetric"])
    return Codebook(record["codebook"])


def round_to_format(a: Any, fmt: Any) -> Array:
    """Each entry rounded to the nearest value of a format; complex numbers part by part.

    Parameters
    ----------
    a : real or complex array of finite numbers
    fmt : what `as_format` takes: FloatFormat, IntFormat, Codebook, a number of significant bits, a name

    Returns
    -------
    Array of the type of ``a`` (float64 for whole numbers). Ties go to the even neighbour; bounded formats
    saturate.

    Raises
    ------
    ValueError
        For NaN or infinities, and where a rounded value is too large for the type of ``a``.

    Examples
    --------
    >>> round_to_format([1.06, 1.07, 1.3], FloatFormat(4))
    array([1.   , 1.125, 1.25 ])
    """
    fmt = as_format(fmt)
    array = finite_array(a, "a")
    wide = array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
    if array.dtype.kind == "c":
        rounded = np.empty_like(wide)
        rounded.real, rounded.imag = fmt.nearest(wide.real), fmt.nearest(wide.imag)
    else:
        rounded = fmt.nearest(wide)
    if array.dtype.kind in "biu":
        return rounded
    with np.errstate(over="ignore"):
        narrow = rounded.astype(array.dtype)
    if not np.isfinite(narrow.astype(wide.dtype)).all():
        advice = "divide it by a power of two" if wide.dtype == array.dtype else "convert the array to float64"
        raise ValueError(f"rounding to {fmt} leaves the range of {array.dtype}; {advice} first")
    return narrow


def finite_array(a: Any, name: str) -> Array:
    """``a`` as an array of finite numbers, or a sentence."""
    try:
        array = np.asarray(a.detach().cpu().numpy() if hasattr(a, "detach") else a)
    except (TypeError, ValueError) as fault:
        raise ValueError(f"{name} must be an array of numbers; got {type(a).__name__}") from fault
    if array.dtype.kind not in "biufc" and array.dtype.name not in _ml_names():
        raise ValueError(f"{name} must be an array of numbers; got type {array.dtype}")
    wide = array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
    if not np.isfinite(wide).all():
        raise ValueError(f"{name} has NaN or infinite entries; replace or remove them first")
    return array if array.dtype.kind in "biufc" else wide


def _ml_names() -> set[str]:
    import ml_dtypes

    return {name for name in dir(ml_dtypes) if name.startswith(("float", "bfloat"))}


def _whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _dtype(dtype: Any) -> np.dtype:
    """NumPy's dtype of a NumPy, ml_dtypes or torch type or of its name."""
    import ml_dtypes

    word = str(dtype).removeprefix("torch.").lower() if not isinstance(dtype, type) else ""
    word = _ALIASES.get(word, word)
    try:
        if word and hasattr(ml_dtypes, word):
            return np.dtype(getattr(ml_dtypes, word))
        return np.dtype(word or dtype)
    except (TypeError, SyntaxError) as fault:  # SyntaxError: NumPy reads a text with commas as Python
        raise ValueError(f"unknown type {dtype!r}") from fault
