"""The forward recursion of JointExp over any kind of number: multiprecision when a draw needs it, fractions in the tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Bands", "Constants", "bridge", "reference_tables", "runs", "two_sided_powers"]


@dataclass(frozen=True)
class Bands:
    """Which intervals each layer holds, and the whole steps between layers; ``ceiling`` is that of the last centre."""

    start: tuple[int, ...]
    stop: tuple[int, ...]
    jump: tuple[int, ...]
    ceiling: int
    first_ceiling: int


@dataclass(frozen=True)
class Constants:
    """q = exp(-eta) and the fractional powers of the layers, as numbers of one kind.

    ``first`` and ``last``: exp(-eta (ceil(c) - c)) and exp(-eta (c - ceil(c) + 1)) of the first and of the last centre; ``left[j]``:
    exp(-eta (T_j - t_j)); ``right[j]``: exp(-eta (1 - T_j + t_j)); ``gap[j]``: exp(-eta t_j).
    """

    one: Any
    q: Any
    first: tuple[Any, Any]
    last: tuple[Any, Any]
    left: Sequence[Any]
    right: Sequence[Any]
    gap: Sequence[Any]


def two_sided_powers(first: int, last: int, ceiling: int, up: Any, down: Any, power: Sequence[Any]) -> list[Any]:
    """exp(-eta |i - c|) for first <= i <= last."""
    return [up * power[i - ceiling] if i >= ceiling else down * power[ceiling - 1 - i] for i in range(first, last + 1)]


def bridge(h: Sequence[Any], first: int, i: int, jump: int, left: Any, right: Any, power: Sequence[Any]) -> list[Any]:
    """H(i') exp(-eta |i - i' - t|) for the i' < i of a layer."""
    return [
        value * (left * power[gap - jump] if gap >= jump else right * power[jump - 1 - gap])
        for value, gap in ((h[k], i - first - k) for k in range(min(len(h), i - first)))
    ]


def runs(B: Sequence[Sequence[Any]], bands: Bands, j: int, i: int, w: Any, gap: Sequence[Any]) -> list[Any]:
    """Terms of H_j(i) by length of the run."""
    terms, factor = [], w
    for k in range(j + 1):
        l = j - k
        if not bands.start[l] <= i <= bands.stop[l]:
            break
        terms.append(B[l][i - bands.start[l]] * factor)
        factor = factor * gap[l] * w / (k + 2)
    return terms


def reference_tables(
    widths: dict[int, Any] | Sequence[Any], bands: Bands, c: Constants, power: Sequence[Any], last_layer: int
) -> tuple[list[list[Any]], list[list[Any]]]:
    """Tables B and H of the layers up to ``last_layer``, by the recursions of `_joint_kernels`."""
    B: list[list[Any]] = []
    H: list[list[Any]] = []
    for j in range(last_layer + 1):
        first, last = bands.start[j], bands.stop[j]
        if j == 0:
            row = two_sided_powers(first, last, bands.first_ceiling, *c.first, power)
        else:
            row = _convolve(H[j - 1], bands, c, power, j)
        B.append(row)
        H.append([])
        for i in range(first, last + 1):
            terms = runs(B, bands, j, i, widths[i], c.gap)
            total = terms[0]
            for term in terms[1:]:
                total = total + term
            H[j].append(total)
    return B, H


def _convolve(h: list[Any], bands: Bands, c: Constants, power: Sequence[Any], j: int) -> list[Any]:
    first, last, jump = bands.start[j - 1], bands.stop[j - 1], bands.jump[j]
    zero = c.one - c.one
    row, carry, s = [], zero, first
    for i in range(bands.start[j], bands.stop[j] + 1):
        while s <= i - jump:
            carry = carry * c.q + (h[s - first] if s <= last else zero)
            s += 1
        row.append(carry * c.left[j])
    width = jump - 1
    base = min(first, bands.start[j] - jump + 1)
    length = last - base + 1
    if width == 0 or length <= 0:
        return row
    padded = [zero] * (first - base) + list(h)
    suffix, prefix = list(padded), list(padded)
    for k in range(length - 2, -1, -1):
        if (k + 1) % width:
            suffix[k] = padded[k] + suffix[k + 1] * c.q
    for k in range(length):
        if k % width:
            prefix[k] = prefix[k - 1] + padded[k] * power[k % width]
    for position, i in enumerate(range(bands.start[j], bands.stop[j] + 1)):
        k = i - jump + 1 - base
        if k >= length:
            break
        border = (k // width + 1) * width
        tip = min(i - 1 - base, length - 1)
        total = suffix[k] + (prefix[tip] * power[border - k] if tip >= border else zero)
        row[position] = row[position] + total * c.right[j]
    return row
