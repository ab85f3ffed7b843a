"""JointExp: all quantiles in one draw of the exponential mechanism, in time proportional to the bands around them.

The law over ordered tuples of intervals is that of Gillenwater, Joseph and Kulesza 2021, "Differentially private quantiles"; the
recursion, the bands, and the exact draws are argued on the page "privacy-proofs" of the documentation. In short: the tables are sums of
products of positive numbers without any subtraction, so their relative error is known; what lies outside the bands
weighs less than a known bound; a draw that either could have changed is repeated with more digits and wider bands. The law is that of the
mechanism on the whole range, exactly: no delta is spent on the bands or on rounding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from . import _joint_kernels as kernels
from ._extended import extended, log2_extended, rescale
from ._joint_reference import Bands, Constants, bridge, reference_tables, runs, two_sided_powers
from .exponential import UNIT, Bins, choose, mp_context, to_mpf
from .noise import Source

__all__ = ["JointTables", "joint_intervals"]

_LOG2E = 1.4426  # a little less than log2(e), so that bounds err to the safe side
_OUTSIDE = -100.0  # log2 of the share of weight that the first bands may leave out


def joint_intervals(source: Source, edges: np.ndarray, levels: Sequence[Fraction], eta: Fraction) -> list[int]:
    """The intervals of the quantiles, drawn jointly: ``edges[i] <= value < edges[i + 1]``, in order."""
    return JointTables(edges, levels, eta).draw(source)


def _bands(n: int, centres: Sequence[Fraction], reach: int) -> Bands:
    gaps = [c - b for b, c in zip([Fraction(0), *centres], centres, strict=False)]
    return Bands(
        start=tuple(max(0, math.floor(c) - reach) for c in centres),
        stop=tuple(min(n, math.ceil(c) + reach) for c in centres),
        jump=tuple(max(1, math.ceil(t)) for t in gaps),
        ceiling=math.ceil(centres[-1]),
        first_ceiling=math.ceil(centres[0]),
    )


def _constants(mp: Any, centres: Sequence[Fraction], bands: Bands, eta: Fraction) -> Constants:
    def decay(x: Fraction) -> Any:
        return mp.exp(-to_mpf(mp, eta * x))

    def sides(c: Fraction) -> tuple[Any, Any]:
        return decay(math.ceil(c) - c), decay(c - math.ceil(c) + 1)

    gaps = [c - b for b, c in zip([Fraction(0), *centres], centres, strict=False)]
    return Constants(
        one=mp.mpf(1),
        q=decay(Fraction(1)),
        first=sides(centres[0]),
        last=sides(centres[-1]),
        left=[decay(T - t) for T, t in zip(bands.jump, gaps, strict=True)],
        right=[decay(1 - T + t) for T, t in zip(bands.jump, gaps, strict=True)],
        gap=[decay(t) for t in gaps],
    )


@dataclass
class _Refined:
    bits: int
    reach: int
    bands: Bands
    constants: Constants
    power: list[Any]
    B: list[list[Any]]
    H: list[list[Any]]


class JointTables:
    """Forward tables of one column, ready for draws.

    Parameters
    ----------
    edges : (n + 2,) sorted positions of the records between the two bounds, int64 or doubles
    levels : increasing fractions in (0, 1)
    eta : rate of the exponential mechanism
    """

    def __init__(self, edges: np.ndarray, levels: Sequence[Fraction], eta: Fraction) -> None:
        self.edges = edges
        self.n = len(edges) - 2
        self.levels = list(levels)
        self.eta = eta
        self.centres = [p * self.n for p in self.levels]
        whole = edges[-1] - edges[0]
        self._log_whole = math.log2(float(whole)) + 1e-9
        self.reach = math.ceil(40 / float(eta)) if eta * self.n > 40 else self.n
        while True:
            self._fill()
            outside = self._outside(len(self.levels), 0.0, self.log2_total, 0.0)
            if self.complete or outside <= _OUTSIDE:
                break
            more = (outside - _OUTSIDE + 1) / (2 * _LOG2E * float(eta)) if math.isfinite(outside) else self.reach
            self.reach = min(self.n, self.reach + math.ceil(more) + 1)
        self._refined: _Refined | None = None

    def _fill(self) -> None:
        mp = mp_context(160)
        self.reach = min(self.reach, self.n)
        self.bands = _bands(self.n, self.centres, self.reach)
        self.complete = min(self.bands.stop) == self.n and max(self.bands.start) == 0
        c = _constants(mp, self.centres, self.bands, self.eta)

        def pairs(values: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
            both = [extended(v) for v in values]
            return np.array([m for m, _ in both]), np.array([e for _, e in both], dtype=np.int64)

        longest = min(3 * self.reach, 2 * self.n) + 16
        self._power = kernels.powers(*extended(c.q), longest)
        self._left, self._right, self._gap = pairs(c.left), pairs(c.right), pairs(c.gap)
        self._ends = extended(c.last[0]), extended(c.last[1])
        start, stop, jump = (np.array(a, dtype=np.int64) for a in (self.bands.start, self.bands.stop, self.bands.jump))
        self._jump, self._start, self._stop = jump, start, stop
        self.Bm, self.Be, self.Hm, self.He = kernels.forward(  # type: ignore[call-arg]
            self.edges, start, stop, self.bands.first_ceiling, jump, *extended(c.first[0]), *extended(c.first[1]), *self._left,
            *self._right, *self._gap, *self._power,
        )  # fmt: skip
        self._final = self._final_weights()
        values = rescale(*self._final)
        positive = self._final[0] > 0
        top = int(self._final[1][positive].max()) if positive.any() else 0
        self.log2_total = log2_extended(float(values.sum()), top)

    @cached_property
    def roundings(self) -> int:
        """Bound of the number of rounded operations on any path from an input to an entry of the tables.

        A layer adds at most 3 for each step of the left recursion, 5 for each element of a window (power, product, sum, and the powers
        that join two blocks), 8 for the factors around them, and 6 for each term of a run (proofs page, section 3).
        """
        total = 2 * len(self._power[0])
        for j in range(len(self.levels)):
            length = int(self._stop[j] - self._start[j]) + 1 + min(int(self._jump[j]), len(self._power[0]))
            total += 8 * (length + 4) + 6 * (j + 2)
        return total + 2 * len(self._power[0]) + 8

    def _final_weights(self) -> tuple[np.ndarray, np.ndarray]:
        first, last = self.bands.start[-1], self.bands.stop[-1]
        count = last - first + 1
        m, e = np.empty(count), np.empty(count, dtype=np.int64)
        (am, ae), (bm, be) = self._ends
        kernels.two_sided(first, last, self.bands.ceiling, am, ae, bm, be, *self._power, m, e)
        return kernels.products(m, e, self.Hm[-1][:count], self.He[-1][:count])

    def _outside(self, quantiles: int, offset: float, log2_total: float, log2_factor: float) -> float:
        """log2 of the bound of the share outside the bands of all tuples of ``quantiles`` that end ``offset`` from their centre."""
        if self.complete:
            return -math.inf
        if log2_total == -math.inf:
            return math.inf
        mass = quantiles * self._log_whole - math.lgamma(quantiles + 1) / math.log(2) + log2_factor
        return -float(self.eta) * _LOG2E * (2 * self.reach - offset) + mass - log2_total + 0.01

    def draw(self, source: Source) -> list[int]:
        """A tuple of intervals with the law of the mechanism."""
        m = len(self.levels)
        found = [0] * m
        first = self.bands.start[-1]
        i = self._choose(source, self._final, first, self._outside(m, 0.0, self.log2_total, 0.0), "last", m - 1, 0)
        j = m - 1
        while True:
            j_next = j - self._run_length(source, j, i)
            found[j_next + 1 : j + 1] = [i] * (j - j_next)
            if j_next < 0:
                return found
            i, j = self._step_back(source, j_next, i), j_next

    def _run_length(self, source: Source, j: int, i: int) -> int:
        if j == 0:
            return 1
        w = self.edges[i + 1] - self.edges[i]
        if not self._start[j] <= i <= self._stop[j]:  # reached by a refined draw only
            empty = np.zeros(0), np.zeros(0, dtype=np.int64)
            return self._choose(source, empty, 1, math.inf, "run", j, i)
        pair = kernels.run_weights(self.Bm, self.Be, self._start, self._stop, j, i, float(w), *self._gap)
        here = log2_extended(float(self.Hm[j, i - self._start[j]]), int(self.He[j, i - self._start[j]]))
        offset = abs(float(i - self.centres[j]))
        return self._choose(source, pair, 1, self._outside(j, offset, here, math.log2(float(w))), "run", j, i)

    def _step_back(self, source: Source, j: int, i: int) -> int:
        """The interval of quantile j, given that of the next one."""
        first = int(self._start[j])
        empty = np.zeros(0), np.zeros(0, dtype=np.int64)
        if not self._start[j + 1] <= i <= self._stop[j + 1]:
            return self._choose(source, empty, first, math.inf, "back", j, i)
        pair = kernels.bridge_weights(
            self.Hm[j], self.He[j], first, int(self._stop[j]), i, int(self._jump[j + 1]), self._left[0][j + 1],
            self._left[1][j + 1], self._right[0][j + 1], self._right[1][j + 1], *self._power,
        )  # fmt: skip
        k = i - int(self._start[j + 1])
        total = log2_extended(float(self.Bm[j + 1, k]), int(self.Be[j + 1, k]))
        offset = abs(float(i - self.centres[j + 1]))
        return self._choose(source, pair, first, self._outside(j + 1, offset, total, 0.0), "back", j, i)

    def _choose(
        self, source: Source, pair: tuple[np.ndarray, np.ndarray], first: int, outside: float, kind: str, j: int, i: int
    ) -> int:
        def refine(bits: int) -> Bins:
            return self._refined_bins(bits, kind, j, i)

        cumulative = np.cumsum(rescale(*pair)) if len(pair[0]) else np.zeros(1)
        usable = cumulative[-1] > 0 and outside < -4
        error = 2.02 * (self.roundings + len(cumulative) + 4) * UNIT + 2 * 2.0**outside + 2.0**-100 if usable else 1.0
        return choose(
            source, Bins(first, cumulative if usable else np.ones(1), error, self.complete and usable), refine
        )

    # -- more digits -------------------------------------------------------------------------------

    def _refined_bins(self, bits: int, kind: str, j: int, i: int) -> Bins:
        """The bins of a draw with an error below 2^-bits: multiprecision tables on wide enough bands."""
        reach = max(self.reach, self._refined.reach if self._refined is not None else 0)
        reach = min(self.n, reach + math.ceil(bits / (2 * _LOG2E * float(self.eta))))
        while True:
            tables = self._refine(bits, reach)
            first, weights, outside = self._weights_of(tables, kind, j, i)
            if outside < -(bits + 12):
                break
            more = (outside + bits + 16) / (2 * _LOG2E * float(self.eta)) if math.isfinite(outside) else reach
            reach = min(self.n, reach + math.ceil(more) + 1)
        sums, total = [], tables.constants.one * 0
        for weight in weights:
            total = total + weight
            sums.append(total)
        mp = mp_context(64)
        whole = min(tables.bands.stop) == self.n and max(tables.bands.start) == 0
        return Bins(first, sums, mp.mpf(2) ** -(bits + 8), whole)

    def _refine(self, bits: int, reach: int) -> _Refined:
        known = self._refined
        if known is not None and known.bits >= bits and known.reach >= reach:
            return known
        mp = mp_context(bits + 128 + self.roundings.bit_length() + reach.bit_length())
        bands = _bands(self.n, self.centres, reach)
        c = _constants(mp, self.centres, bands, self.eta)
        power = [c.one]
        for _ in range(min(3 * reach, 2 * self.n) + 16):
            power.append(power[-1] * c.q)
        widths = {
            i: to_mpf(mp, self.edges[i + 1] - self.edges[i])
            for a, z in zip(bands.start, bands.stop, strict=True)
            for i in range(a, z + 1)
        }
        B, H = reference_tables(widths, bands, c, power, len(self.levels) - 1)
        self._refined = _Refined(bits, reach, bands, c, power, B, H)
        return self._refined

    def _weights_of(self, tables: _Refined, kind: str, j: int, i: int) -> tuple[int, list[Any], float]:
        """First bin, weights, and log2 of the share left outside."""
        b, c, power = tables.bands, tables.constants, tables.power
        mp = mp_context(64)
        if kind == "last":
            first = b.start[-1]
            ends = two_sided_powers(first, b.stop[-1], b.ceiling, *c.last, power)
            weights = [h * e for h, e in zip(tables.H[-1], ends, strict=True)]
            quantiles, offset, factor = len(self.levels), 0.0, 0.0
        elif kind == "run":
            w = self.edges[i + 1] - self.edges[i]
            inside = b.start[j] <= i <= b.stop[j]
            weights = runs(tables.B, b, j, i, to_mpf(tables.constants.one.context, w), c.gap) if inside else []
            first, quantiles, offset, factor = 1, j, abs(float(i - self.centres[j])), math.log2(float(w))
        else:
            first = b.start[j]
            inside = b.start[j + 1] <= i <= b.stop[j + 1]
            weights = (
                bridge(tables.H[j], first, i, b.jump[j + 1], c.left[j + 1], c.right[j + 1], power) if inside else []
            )
            quantiles, offset, factor = j + 1, abs(float(i - self.centres[j + 1])), 0.0
        if min(b.stop) == self.n and max(b.start) == 0:
            return first, weights, -math.inf
        total = sum(weights, tables.constants.one * 0)
        if total == 0:
            return first, weights, math.inf
        mass = quantiles * self._log_whole - math.lgamma(quantiles + 1) / math.log(2) + factor
        log2_total = float(mp.log(mp.mpf(total), 2))
        return first, weights, -float(self.eta) * _LOG2E * (2 * tables.reach - offset) + mass - log2_total + 0.01
