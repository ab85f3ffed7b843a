"""Patterns of Kronecker-sparse factors.

A factor with pattern ``(a, b, c, d)`` has the support ``I_a (x) 1_{b x c} (x) I_d``: it is a matrix
of shape ``abd x acd`` with ``abcd`` free entries, stored as the 4-D array ``x[a, b, c, d]`` with
``X[i b d + j d + l, i c d + k d + l] = x[i, j, k, l]``.

Source: Le, Zheng, Riccietti, Gribonval, *Butterfly factorization with error guarantees*,
SIAM J. Matrix Anal. Appl. 46(4), 2025.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Pattern", "as_pattern", "pair_fault"]


class Pattern(NamedTuple):
    """Support ``I_a (x) 1_{b x c} (x) I_d`` of a Kronecker-sparse factor.

    Examples
    --------
    >>> Pattern(2, 3, 4, 5).shape, Pattern(2, 3, 4, 5).n_params
    ((30, 40), 120)
    """

    a: int
    b: int
    c: int
    d: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the factor, ``(abd, acd)``."""
        return self.a * self.b * self.d, self.a * self.c * self.d

    @property
    def n_params(self) -> int:
        """Number of entries in the support, ``abcd``."""
        return self.a * self.b * self.c * self.d

    @property
    def T(self) -> Pattern:
        """Pattern of the transposed factor, ``(a, c, b, d)``."""
        return Pattern(self.a, self.c, self.b, self.d)

    def __mul__(self, other: object) -> Pattern:  # type: ignore[override]
        """Pattern of the product of two factors whose patterns are chainable."""
        if not isinstance(other, Pattern):
            return NotImplemented
        return Pattern(self.a, self.b * self.d // other.d, other.a * other.c // self.a, other.d)


def pair_fault(left: Pattern, right: Pattern) -> str | None:
    """The rule of chainability that a consecutive pair breaks, or None."""
    if right.a % left.a:
        return f"a must divide the next a, but {left.a} does not divide {right.a}"
    if left.d % right.d:
        return f"the next d must divide d, but {right.d} does not divide {left.d}"
    if (left.a * left.c) % right.a:
        return f"a c / (next a) must be an integer, but {left.a} * {left.c} / {right.a} is not"
    return None


def as_pattern(entry: Sequence[int], position: int) -> Pattern:
    """Four positive integers, or a sentence that says which pattern is none."""
    try:
        numbers = tuple(int(v) for v in entry)
        whole = all(n == v for n, v in zip(numbers, entry, strict=True))
    except (TypeError, ValueError):
        numbers, whole = (), False
    if len(numbers) != 4 or not whole or min(numbers) < 1:
        raise ValueError(f"pattern {position + 1} must be four positive integers (a, b, c, d); got {entry!r}")
    return Pattern(*numbers)
