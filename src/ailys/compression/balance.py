"""Factors of equal size: where training starts from a projection."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["balanced"]


def balanced(factors: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The factors of the same product with neighbours of about equal norm in each class.

    `butterfly` leaves the scale in one factor, and gradient steps would move the others too fast. A class of the split
    between two factors is multiplied by a power of two on one side and divided on the other, which is exact.
    Factors of half precision are returned in single.
    """
    found = [np.array(x, np.float32 if x.dtype.itemsize == 2 else x.dtype) for x in factors]
    for _ in range(3):
        for l in range(len(found) - 1):
            _balance(found, l)
    return found


def _balance(found: list[np.ndarray], l: int) -> None:
    (a, b, c, d), (a2, _, c2, d2) = found[l].shape, found[l + 1].shape
    if a2 % a or d % d2 or (a * c) % a2:  # not chainable: left as it is
        return
    m, k = a2 // a, d // d2
    r = c // m
    left = found[l].reshape(a, b, m, r, k, d2)
    right = found[l + 1].reshape(a, m, r, k, c2, d2)
    wide = np.complex128 if np.iscomplexobj(left) else np.float64
    norms = [
        np.linalg.norm(left.astype(wide).transpose(0, 2, 4, 5, 1, 3).reshape(a, m, k, d2, -1), axis=-1),
        np.linalg.norm(right.astype(wide).transpose(0, 1, 3, 5, 2, 4).reshape(a, m, k, d2, -1), axis=-1),
    ]
    usable = (norms[0] > 0) & (norms[1] > 0)
    ratio = np.divide(norms[1], norms[0], out=np.ones_like(norms[0]), where=usable)
    exponent = np.clip(np.rint(np.log2(ratio) / 2), -30, 30).astype(int)
    kind = left.real.dtype
    up, down = np.ldexp(np.ones((), kind), exponent).astype(kind), np.ldexp(np.ones((), kind), -exponent).astype(kind)
    found[l] = (left * up[:, None, :, None]).reshape(found[l].shape)
    found[l + 1] = (right * down[:, :, None, :, None]).reshape(found[l + 1].shape)
