"""Compiled packing of entries of any width into a stream of bytes, least significant bit first."""

from __future__ import annotations

import numpy as np
from numba import njit

_MANTISSA = 52  # stored bits of a double
_BIAS = 1023


@njit(cache=True, nogil=True)
def pack_codes(codes, width, stream):  # type: ignore[no-untyped-def]
    """Codes of ``width`` bits into ``stream``, which is zero."""
    position = 0
    for k in range(codes.size):
        code, left, byte, offset = np.uint64(codes[k]), width, position >> 3, position & 7
        while left > 0:
            stream[byte] |= np.uint8((code << np.uint64(offset)) & np.uint64(0xFF))
            taken = 8 - offset
            code >>= np.uint64(min(taken, 63))
            left -= taken
            byte += 1
            offset = 0
        position += width


@njit(cache=True, nogil=True, inline="always")
def _read(stream, position, width):  # type: ignore[no-untyped-def]
    """The code that starts at a bit; ``stream`` has eight spare bytes at its end."""
    byte, offset = position >> 3, position & 7
    word = np.uint64(0)
    for k in range(8):
        word |= np.uint64(stream[byte + k]) << np.uint64(8 * k)
    word >>= np.uint64(offset)
    if offset + width > 64:
        word |= np.uint64(stream[byte + 8]) << np.uint64(64 - offset)
    if width < 64:
        word &= (np.uint64(1) << np.uint64(width)) - np.uint64(1)
    return word


@njit(cache=True, nogil=True)
def unpack_table(stream, width, table, values):  # type: ignore[no-untyped-def]
    """Values of a table from the codes, which are its indices."""
    position = 0
    for k in range(values.size):
        values[k] = table[_read(stream, position, width)]
        position += width


@njit(cache=True, nogil=True)
def encode_floats(values, t, exponent_bits, least, zero, codes):  # type: ignore[no-untyped-def]
    """Codes ``sign, exponent, fraction``; exponent codes start at 0 for ``2^least``, or at 1 if zero is a value."""
    fraction_bits = np.uint64(t - 1)
    for k in range(values.size):
        bits = np.uint64(np.float64(values[k]).view(np.int64))
        if values[k] == 0.0:
            codes[k] = np.uint64(0)
            continue
        exponent = np.int64((bits >> np.uint64(_MANTISSA)) & np.uint64(0x7FF)) - _BIAS - least + zero
        fraction = (bits & ((np.uint64(1) << np.uint64(_MANTISSA)) - np.uint64(1))) >> np.uint64(_MANTISSA + 1 - t)
        sign = bits >> np.uint64(63)
        codes[k] = (sign << np.uint64(exponent_bits + t - 1)) | (np.uint64(exponent) << fraction_bits) | fraction


@njit(cache=True, nogil=True)
def decode_floats(stream, t, exponent_bits, least, zero, values):  # type: ignore[no-untyped-def]
    """The inverse of `encode_floats` on a packed stream."""
    width = t + exponent_bits
    position = 0
    fraction_mask = (np.uint64(1) << np.uint64(t - 1)) - np.uint64(1)
    exponent_mask = (np.uint64(1) << np.uint64(exponent_bits)) - np.uint64(1)
    for k in range(values.size):
        code = _read(stream, position, width)
        position += width
        exponent = np.int64((code >> np.uint64(t - 1)) & exponent_mask)
        if zero and exponent == 0:
            values[k] = 0.0
            continue
        bits = (
            ((code >> np.uint64(width - 1)) << np.uint64(63))
            | (np.uint64(exponent - zero + least + _BIAS) << np.uint64(_MANTISSA))
            | ((code & fraction_mask) << np.uint64(_MANTISSA + 1 - t))
        )
        values[k] = np.int64(bits).view(np.float64)
