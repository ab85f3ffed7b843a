"""Codes of the entries of a factor, and their packed bytes.

A float entry takes ``1 + e + t - 1`` bits: sign, exponent, fraction. The exponent field of ``e`` bits counts
from the smallest exponent that the factor has; its value 0 is kept for zero if the factor has zeros. So ``e`` is as
small as the factor allows, and 0 if all entries have the same exponent. Entries of a codebook, of an
integer grid or of a bounded format take the bits of an index. Complex entries are two real ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ._packing_kernels import decode_floats, encode_floats, pack_codes, unpack_table
from .bits import BitCount
from .formats import FloatFormat, Format

__all__ = ["HEADER_BITS", "Code", "code_of", "pack", "unpack"]

Array = np.ndarray
HEADER_BITS = 32  # t, width and origin of the exponent of one factor
_SPARE = 9  # bytes that the reader may look at behind the last code


@dataclass(frozen=True)
class Code:
    """How the entries of one factor are written.

    ``table`` is the format for codebooks, integers and bounded floats; otherwise a sign, ``exponent_bits`` for
    exponents from ``least`` up, ``t - 1`` fraction bits.
    """

    t: int = 1
    exponent_bits: int = 0
    least: int = 0
    zero: bool = False
    table: Format | None = None

    @property
    def width(self) -> int:
        """Bits of a real entry."""
        return int(self.table.bits or 0) if self.table is not None else self.t + self.exponent_bits

    def count(self, size: int, is_complex: bool = False) -> BitCount:
        """Bits of ``size`` entries."""
        size = 2 * size if is_complex else size
        if isinstance(self.table, FloatFormat):
            assert self.table.exponent_bits is not None
            return BitCount(size * (self.table.t - 1), size * self.table.exponent_bits, size, HEADER_BITS)
        if self.table is not None:
            return BitCount(size * self.width, 0, 0, HEADER_BITS)
        return BitCount(size * (self.t - 1), size * self.exponent_bits, size, HEADER_BITS)

    def to_list(self) -> list[Any]:
        """A short record; the table is described by the format of the factor."""
        return [self.t, self.exponent_bits, self.least, int(self.zero), int(self.table is not None)]


def code_of(values: Array, fmt: Format) -> Code:
    """The shortest code that holds all values of an array.

    Examples
    --------
    >>> import numpy as np
    >>> code_of(np.array([1.0, -1.5, 0.25, 0.0]), FloatFormat(2))
    Code(t=2, exponent_bits=2, least=-2, zero=True, table=None)
    """
    if fmt.levels is not None:
        return Code(table=fmt)
    assert isinstance(fmt, FloatFormat)
    parts = _parts(values)
    nonzero = parts[parts != 0]
    zero = nonzero.size < parts.size
    if not nonzero.size:
        return Code(fmt.t, 1 if zero else 0, 0, zero)
    exponents = np.frexp(nonzero)[1] - 1
    least, most = int(exponents.min()), int(exponents.max())
    return Code(fmt.t, (most - least + int(zero)).bit_length(), least, zero)


def pack(values: Array, code: Code) -> Array:
    """The entries (any shape, C order) as a stream of bytes."""
    parts = _parts(values)
    codes = np.zeros(parts.size, np.uint64)
    if code.table is None:
        encode_floats(parts, code.t, code.exponent_bits, code.least, int(code.zero), codes)
    else:
        levels = code.table.levels
        assert levels is not None
        codes[:] = np.searchsorted(levels, parts)
    stream = np.zeros(-(-parts.size * code.width // 8) + 8, np.uint8)
    pack_codes(codes, code.width, stream)
    return stream[:-8]


def unpack(stream: Array, code: Code, shape: tuple[int, ...], is_complex: bool = False, dtype: Any = None) -> Array:
    """The entries that `pack` wrote: float64 or complex128, or the real type ``dtype`` (and its complex one)."""
    size = int(np.prod(shape)) * (2 if is_complex else 1)
    expected = packed_size(size, code.width)
    if stream.size != expected:
        raise ValueError(f"{size} entries of {code.width} bits take {expected} bytes; got {stream.size}")
    padded = np.concatenate([stream, np.zeros(_SPARE, np.uint8)])
    parts = np.empty(size, np.float64 if dtype is None else dtype)
    if code.table is None:
        decode_floats(padded, code.t, code.exponent_bits, code.least, int(code.zero), parts)
    else:
        levels = code.table.levels
        assert levels is not None
        table = np.zeros(1 << code.width, parts.dtype)
        table[: levels.size] = levels
        unpack_table(padded, code.width, table, parts)
    if is_complex:
        return parts.view(np.result_type(parts.dtype, np.complex64)).reshape(shape)
    return parts.reshape(shape)


def packed_size(size: int, width: int) -> int:
    """Bytes of ``size`` codes of ``width`` bits."""
    return -(-size * width // 8)


def _parts(values: Array) -> Array:
    """Flat real numbers; real and imaginary parts alternate."""
    flat = np.ascontiguousarray(values).ravel()
    if flat.dtype.kind == "c":
        flat = flat.astype(np.complex128).view(np.float64)
    return flat.astype(np.float64, copy=False)
