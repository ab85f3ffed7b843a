"""How many bits an answer takes, by what they are for."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BitCount"]


@dataclass(frozen=True)
class BitCount:
    """Bits of the stored entries, and of what is stored once.

    Attributes
    ----------
    mantissa : fraction bits (t - 1 an entry; the index into the table for codebooks and integers)
    exponent : exponent bits
    sign : sign bits
    header : scale, the description of the code of each factor, the values of codebooks

    Examples
    --------
    >>> count = BitCount(mantissa=24, exponent=16, sign=8, header=64)
    >>> count.total, count.bytes
    (112, 14)
    """

    mantissa: int
    exponent: int
    sign: int
    header: int

    @property
    def total(self) -> int:
        """All bits."""
        return self.mantissa + self.exponent + self.sign + self.header

    @property
    def bytes(self) -> int:
        """Whole bytes that hold them."""
        return -(-self.total // 8)

    def __add__(self, other: BitCount) -> BitCount:
        return BitCount(
            self.mantissa + other.mantissa,
            self.exponent + other.exponent,
            self.sign + other.sign,
            self.header + other.header,
        )

    def to_dict(self) -> dict[str, int]:
        """Machine-readable form."""
        return {
            "mantissa": self.mantissa,
            "exponent": self.exponent,
            "sign": self.sign,
            "header": self.header,
            "total": self.total,
            "bytes": self.bytes,
        }
