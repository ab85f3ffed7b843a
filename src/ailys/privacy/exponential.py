"""The exponential mechanism with draws whose law is the stated one exactly, floating-point arithmetic notwithstanding.

The weights are computed in doubles with a proved bound of their error. A random word of 64 bits stands for an interval of the
unit line. If that interval lies inside one bin, farther from its ends than the error can reach, the answer is
known for certain; otherwise the word is prolonged and the weights are computed again with as many digits as it takes. So
nothing that rounding or underflow hides can change a probability (page "privacy-proofs" of the documentation).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from .noise import Source, exact_fraction, random_source

__all__ = ["Bins", "choose", "exp_negative", "exponential_choice", "interval_of_quantile", "mp_context", "to_mpf"]

UNIT = 2.0**-53  # the largest relative error of one rounded operation
EXP_ROUNDINGS = 24  # bound of the rounding errors of `exp_negative`, in units; it makes at most 21
_MOST_BITS = 1 << 16


@dataclass(frozen=True)
class Bins:
    """Cumulative weights of the bins, and how far any of their shares may be from the truth.

    ``first`` is the number of the first bin; ``error`` bounds the error of ``cumulative / cumulative[-1]``, absolutely;
    ``complete`` says that no bin lies outside, so that the ends 0 and 1 are exact.
    """

    first: int
    cumulative: Any  # (bins,) doubles, or a list of mpmath numbers
    error: Any
    complete: bool


def choose(source: Source, bins: Bins, refine: Callable[[int], Bins]) -> int:
    """A bin with exactly the probability that its true weight gives it.

    ``refine(bits)`` returns the bins again, in multiprecision, with an error below 2^-bits of the whole.
    """
    word = source.integer_below(1 << 64)
    total = bins.cumulative[-1]
    # the word as a double is off by 2^-53, the quotient too; the comparison is made with room to spare
    room = bins.error + 8 * UNIT
    if room < 0.25:
        x = word * 2.0**-64
        k = int(np.searchsorted(bins.cumulative, x * total, side="right"))
        if k < len(bins.cumulative):
            below = float(bins.cumulative[k - 1] / total) if k else 0.0
            above = float(bins.cumulative[k] / total)
            left = x - below > room or (k == 0 and bins.complete)
            right = above - x > room or (k == len(bins.cumulative) - 1 and bins.complete)
            if left and right:
                return bins.first + k
    bits = 64
    while bits < _MOST_BITS:
        word = (word << bits) | source.integer_below(1 << bits)
        bits *= 2
        settled = _settle(word, bits, refine(bits))
        if settled is not None:
            return settled
    raise ArithmeticError(f"a draw was not settled by {bits} random bits; this has probability below 2^-{bits // 4}")


def _settle(word: int, bits: int, bins: Bins) -> int | None:
    """The bin that holds the whole interval [word, word + 1) / 2^bits, if that is certain."""
    mp = mp_context(2 * bits + 64)
    total, room = bins.cumulative[-1], mp.mpf(bins.error) + mp.mpf(2) ** (-2 * bits)
    low, high = mp.mpf(word) / mp.mpf(2) ** bits, mp.mpf(word + 1) / mp.mpf(2) ** bits
    left, right = 0, len(bins.cumulative)
    while left < right:  # the first bin whose end lies above the interval's start
        middle = (left + right) // 2
        if bins.cumulative[middle] / total > low:
            right = middle
        else:
            left = middle + 1
    if left == len(bins.cumulative):
        return None
    below = bins.cumulative[left - 1] / total if left else mp.mpf(0)
    inside = low - below > room or (left == 0 and bins.complete)
    last = left == len(bins.cumulative) - 1 and bins.complete
    return bins.first + left if inside and (last or bins.cumulative[left] / total - high > room) else None


class _Contexts(threading.local):
    """Of each thread its own."""

    def __init__(self) -> None:
        self.known: dict[int, Any] = {}


_CONTEXTS = _Contexts()


def mp_context(bits: int) -> Any:
    """An mpmath context with this precision, the thread's own: no global precision is touched, and making one takes 2 ms."""
    known = _CONTEXTS.known
    if bits not in known:
        from mpmath import MPContext

        known[bits] = MPContext()
        known[bits].prec = bits
    return known[bits]


def to_mpf(mp: Any, value: Any) -> Any:
    """A whole number, a double or a fraction in multiprecision."""
    if isinstance(value, Fraction):
        return mp.mpf(value.numerator) / mp.mpf(value.denominator)
    return mp.mpf(int(value)) if isinstance(value, (int, np.integer)) else mp.mpf(float(value))


_TABLES: list[np.ndarray] = []


def exp_negative(x: np.ndarray) -> np.ndarray:
    """exp(-x) for 0 <= x, by additions, products and correctly rounded tables, so that its error is known.

    x = h + k/64 + r with whole numbers h, k and 0 <= r < 1/64, all exact; the tables hold exp(-h) and exp(-k/64), the rest is
    nine terms of the series. At most `EXP_ROUNDINGS` units of relative error where the result is a normal double; 0 from 708 on.

    Examples
    --------
    >>> [float(f"{y:.12f}") for y in exp_negative(np.array([0.0, 1.0, 2.5]))]
    [1.0, 0.367879441171, 0.082084998624]
    """
    if not _TABLES:
        mp = mp_context(120)
        whole = np.array([float(mp.exp(-h)) for h in range(709)])
        parts = np.array([float(mp.exp(-mp.mpf(k) / 64)) for k in range(64)])
        _TABLES.extend((whole, parts))
    whole, parts = _TABLES
    capped = np.minimum(x, 708.0)
    grid = np.floor(capped * 64.0)
    rest = capped - grid / 64.0
    grid = grid.astype(np.int64)
    series = np.ones_like(rest)
    for k in range(8, 0, -1):
        series = 1.0 - rest * series / k
    return np.where(x < 708.0, whole[grid >> 6] * parts[grid & 63] * series, 0.0)


def exponential_choice(
    weights: Any,
    distances: Any,
    eta: Any,
    *,
    unsafe_rng: np.random.Generator | int | Source | None = None,
    exact_distance: Callable[[int], Fraction] | None = None,
    distance_error: float = 0.0,
) -> int:
    """The number of a bin drawn with probability proportional to ``weights[i] * exp(-eta * distances[i])``, exactly.

    Parameters
    ----------
    weights : (bins,) whole numbers or doubles >= 0, taken as exact
    distances : (bins,) finite numbers
    eta : rate >= 0 (a decimal text, a fraction, or a number)
    unsafe_rng : generator or seed for research; the default is the operating system's source
    exact_distance : the distance of a bin as a fraction, where ``distances`` are doubles near to it
    distance_error : how far they may be from it

    Raises
    ------
    ValueError
        weights that are negative, not finite or all zero, distances that are not finite, or eta below 0
    TypeError
        weights that are no numbers

    Examples
    --------
    >>> exponential_choice([1, 1, 0], [0, 1000, 0], 1)
    0
    """
    source = unsafe_rng if isinstance(unsafe_rng, Source) else random_source(unsafe_rng)
    w, d, rate = _checked(weights, distances, eta)
    exact = exact_distance or (lambda i: Fraction(float(d[i])))
    nearest = int(np.flatnonzero(w > 0)[np.argmin(d[w > 0])])
    with np.errstate(over="ignore"):  # beyond all doubles: a weight of 0 here, the true one in `refine`
        exponent = float(rate) * (d - d[nearest])
    # the exponent: two roundings of each distance and of their difference, one of eta, one of the product
    spread = 6 * UNIT * float(rate) * (float(np.abs(d[exponent <= 708.0]).max()) + abs(float(d[nearest])))
    spread += 3 * float(rate) * distance_error + 1e-300
    values = w.astype(float) * exp_negative(np.maximum(exponent, 0.0))
    cumulative = np.cumsum(values)
    heaviest = float(w[nearest])
    dropped = float(w[exponent >= 708.0].astype(float).sum()) / heaviest * 1e-307
    relative = (EXP_ROUNDINGS + 4 + len(w)) * UNIT * 1.01 + 2 * spread
    origin = exact(nearest)

    def refine(bits: int) -> Bins:
        mp = mp_context(bits + 128 + len(w).bit_length())
        reach = 0.6932 * (bits + 16) + float(np.log(max(float(w.astype(float).sum()) / heaviest, 1.0)))
        rate_mp, sums, total = to_mpf(mp, rate), [], mp.mpf(0)
        for i in range(len(w)):
            if w[i] > 0 and exponent[i] <= reach + 1 + 2 * spread:
                total += to_mpf(mp, w[i]) * mp.exp(-rate_mp * to_mpf(mp, exact(i) - origin))
            sums.append(total)
        return Bins(0, sums, mp.mpf(2) ** -(bits + 8), False)

    return choose(source, Bins(0, cumulative, 2 * relative + dropped, False), refine)


def _checked(weights: Any, distances: Any, eta: Any) -> tuple[np.ndarray, np.ndarray, Fraction]:
    w, d = np.asarray(weights), np.asarray(distances, dtype=float)
    if w.ndim != 1 or w.shape != d.shape or w.size == 0:
        raise ValueError(
            f"weights and distances must be two lists of the same length; got shapes {w.shape} and {d.shape}"
        )
    if w.dtype.kind not in "iuf":
        raise TypeError("weights must be numbers")
    if not (np.isfinite(w).all() and np.isfinite(d).all()) or (w < 0).any() or not (w > 0).any():
        raise ValueError("weights must be finite and nonnegative, one of them positive; distances must be finite")
    rate = exact_fraction(eta, "eta")
    if rate < 0:
        raise ValueError("eta must not be negative")
    return w, d, rate


def interval_of_quantile(source: Source, edges: Sequence[Any] | np.ndarray, centre: Fraction, eta: Fraction) -> int:
    """An interval i of ``edges[i], edges[i+1]`` with probability proportional to its width times exp(-eta |i - centre|).

    Only the intervals near the centre are looked at: what lies farther than K is lighter than exp(-eta K) times the whole width, and
    enters the error.
    """
    edges = np.asarray(edges)
    last = len(edges) - 2
    whole = edges[-1] - edges[0]
    middle = min(max(round(centre), 0), last)

    def window(reach: float) -> tuple[int, int]:
        k = int(min(reach / float(eta), last + 1.0)) + 1
        return max(middle - k, 0), min(middle + k, last)

    def outside(first: int, end: int, total: float) -> float:
        """Bound of the share of the weights outside the window (log2)."""
        if first == 0 and end == last:
            return -np.inf
        gap = min(float(centre - first) if first > 0 else np.inf, float(end - centre) if end < last else np.inf)
        return (np.log2(float(whole)) - float(eta) * max(gap, 0.0) * 1.4426 - np.log2(total)) if total > 0 else np.inf

    reach = 60.0
    while True:
        first, end = window(reach)
        ranks = np.arange(first, end + 1)
        # |i - c| - |i0 - c| with i0 the nearest to c in the window keeps the exponents small
        distance = np.abs((ranks - middle) - float(centre - middle))
        widths = np.diff(edges[first : end + 2]).astype(float)
        cumulative = np.cumsum(widths * exp_negative(float(eta) * distance))
        lost = outside(first, end, float(cumulative[-1]))
        if lost < -55 or (first == 0 and end == last):
            break
        reach = 2 * reach if not np.isfinite(lost) else reach + (lost + 60) * 0.6932 + 1
    used = min(float(eta) * float(distance.max()), 708.0)
    relative = (EXP_ROUNDINGS + 6 + len(ranks)) * UNIT * 1.01 + 8 * UNIT * (used + 1)
    faint = float(whole) * 1e-307 / float(cumulative[-1]) if cumulative[-1] > 0 else np.inf
    complete = bool(first == 0 and end == last)

    def refine(bits: int) -> Bins:
        mp = mp_context(bits + 128 + len(edges).bit_length())
        span, rate, centre_mp = 0.6932 * (bits + 16), to_mpf(mp, eta), to_mpf(mp, centre)
        while True:
            a, z = window(span)
            sums, total = [], mp.mpf(0)
            for i in range(a, z + 1):
                width = edges[i + 1] - edges[i]
                if width > 0:
                    total += to_mpf(mp, width) * mp.exp(-rate * abs(mp.mpf(i) - centre_mp))
                sums.append(total)
            log_total = float(mp.log(total, 2)) if total > 0 else -np.inf
            gaps = [float(centre - a)] if a > 0 else []
            gaps += [float(z - centre)] if z < last else []
            missing = (
                (np.log2(float(whole)) - float(eta) * max(min(gaps), 0.0) * 1.4426 - log_total) if gaps else -np.inf
            )
            if missing < -(bits + 10):
                break
            span = 2 * span if not np.isfinite(missing) else span + (missing + bits + 16) * 0.6932 + 1
        return Bins(a, sums, mp.mpf(2) ** -(bits + 8), a == 0 and z == last)

    error = 2 * relative + (0.0 if complete else 2.0 ** (lost + 2)) + faint
    return choose(source, Bins(first, cumulative, error, complete), refine)
