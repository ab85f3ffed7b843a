"""Exact discrete noise from a cryptographic source: integers only, so that no rounding leaves a trace of the data.

Floating-point Laplace noise does not protect: the grid of doubles that it lands on depends on the number it was added
to (Mironov 2012; Haney et al. 2022). Here every draw is a Python or NumPy integer whose law is the stated one exactly.
Source of the samplers: Canonne, Kamath and Steinke 2020, "The discrete Gaussian for differential privacy", Algorithms 1-3.
"""

from __future__ import annotations

import os
from fractions import Fraction
from math import isqrt, prod
from typing import Any

import numpy as np

__all__ = ["Amount", "Source", "discrete_gaussian", "discrete_laplace", "exact_fraction", "random_source"]

Amount = int | float | str | Fraction
_WORD_LIMIT = 1 << 62  # products of 64-bit words stay below this, or Python integers take over


class Source:
    """Random bits: from the operating system, or, for research only, from a NumPy generator.

    Parameters
    ----------
    unsafe_rng : generator that replaces the operating system's source; `secure` is then False

    Examples
    --------
    >>> source = Source()
    >>> source.secure, source.words(3).shape, int(source.below(6, 1000).max()) <= 5
    (True, (3,), True)
    """

    def __init__(self, unsafe_rng: np.random.Generator | None = None) -> None:
        self._rng = unsafe_rng

    @property
    def secure(self) -> bool:
        """Whether the bits come from the operating system."""
        return self._rng is None

    def bytes(self, n: int) -> bytes:
        """``n`` random bytes."""
        return os.urandom(n) if self._rng is None else self._rng.bytes(n)

    def words(self, n: int) -> np.ndarray:
        """``n`` uniform 64-bit words (uint64)."""
        return np.frombuffer(bytearray(self.bytes(8 * n)), dtype=np.uint64)

    def bits(self, k: int, n: int) -> np.ndarray:
        """``n`` uniform integers of ``k`` <= 63 random bits, as int64."""
        if not 0 <= k <= 63:
            raise ValueError(f"k must lie in 0..63; got {k}")
        if k <= 32:
            words = np.frombuffer(bytearray(self.bytes(4 * n)), dtype=np.uint32).astype(np.int64)
            return words & ((1 << k) - 1)
        return (self.words(n) >> np.uint64(64 - k)).astype(np.int64)

    def below(self, bound: int, n: int) -> np.ndarray:
        """``n`` integers uniform on 0..bound-1, as int64; 1 <= ``bound`` <= 2**62."""
        if not 1 <= bound <= _WORD_LIMIT:
            raise ValueError(f"bound must lie in 1..2**62; got {bound}")
        if bound & (bound - 1) == 0:
            return self.bits(bound.bit_length() - 1, n)
        width: Any = np.uint32 if bound <= 1 << 24 else np.uint64
        top = int(np.iinfo(width).max)
        accepted = top - (top + 1) % bound  # the largest word that leaves all remainders equally likely
        drawn = np.frombuffer(bytearray(self.bytes(np.dtype(width).itemsize * n)), dtype=width)
        out = (drawn % width(bound)).astype(np.int64)
        again = np.flatnonzero(drawn > accepted)
        while again.size:
            drawn = np.frombuffer(bytearray(self.bytes(np.dtype(width).itemsize * again.size)), dtype=width)
            out[again] = (drawn % width(bound)).astype(np.int64)
            again = again[drawn > accepted]
        return out

    def integer_below(self, bound: int) -> int:
        """One integer uniform on 0..bound-1, of any size."""
        if bound < 1:
            raise ValueError(f"bound must be at least 1; got {bound}")
        k = (bound - 1).bit_length()
        while True:
            drawn = int.from_bytes(self.bytes((k + 7) // 8), "little") & ((1 << k) - 1)
            if drawn < bound:
                return drawn

    def permutation(self, n: int) -> np.ndarray:
        """A uniform order of 0..n-1: the order of distinct random 127-bit keys."""
        while True:
            low, high = self.words(n), self.bits(63, n)
            order = np.lexsort((low, high))
            if n < 2 or not np.any((np.diff(high[order]) == 0) & (np.diff(low[order].view(np.int64)) == 0)):
                return order

    def bernoulli_exp(self, numerators: np.ndarray, denominator: int) -> np.ndarray:
        """Booleans, each true with probability exactly exp(-a / denominator), for integers a >= 0 below 2**62."""
        whole, rest = np.divmod(numerators, denominator)
        out = np.ones(len(numerators), dtype=bool)
        large = np.flatnonzero(whole)
        if large.size:  # exp(-q) is the chance of q successes of exp(-1) in a row
            out[large] = self.geometric(large.size) >= whole[large]
        small = np.flatnonzero(out & (rest > 0))
        out[small] = self._bernoulli_exp_small(rest[small], denominator)
        return out

    def _bernoulli_exp_small(self, numerators: np.ndarray, denominator: int) -> np.ndarray:
        # K = 1; while Bernoulli(gamma / K): K += 1; true iff K is odd. Bernoulli(gamma / K) is Bernoulli(1/K) and
        # Bernoulli(gamma), so that no product is formed
        out = np.zeros(len(numerators), dtype=bool)
        alive = np.arange(len(numerators))
        k = 1
        while alive.size:
            on = self.below(k, alive.size) == 0 if k > 1 else np.ones(alive.size, dtype=bool)
            candidates = np.flatnonzero(on)
            on[candidates] = self.below(denominator, candidates.size) < numerators[alive[candidates]]
            out[alive[~on]] = k % 2 == 1
            alive = alive[on]
            k += 1
        return out

    def geometric(self, n: int) -> np.ndarray:
        """``n`` draws of the number of successes of probability exp(-1) before the first failure."""
        out = np.zeros(n, dtype=np.int64)
        alive = np.arange(n)
        one = np.ones(n, dtype=np.int64)
        while alive.size:
            alive = alive[self._bernoulli_exp_small(one[: alive.size], 1)]
            out[alive] += 1
        return out

    def bernoulli_exp_exact(self, gamma: Fraction) -> bool:
        """True with probability exactly exp(-gamma), for one rational of any size."""
        whole, rest = divmod(gamma, 1)
        for _ in range(int(whole)):  # leaves at the first failure, after 1.6 rounds on average
            if not self._bernoulli_exp_fraction(Fraction(1)):
                return False
        return self._bernoulli_exp_fraction(rest)

    def _bernoulli_exp_fraction(self, gamma: Fraction) -> bool:
        k = 1
        while self.integer_below(gamma.denominator * k) < gamma.numerator:
            k += 1
        return k % 2 == 1


def random_source(unsafe_rng: np.random.Generator | int | None = None) -> Source:
    """The operating system's source, or an insecure one for research and tests.

    Examples
    --------
    >>> random_source().secure, random_source(0).secure
    (True, False)
    """
    if unsafe_rng is None:
        return Source()
    from ..core.randomness import as_generator

    return Source(as_generator(unsafe_rng))


def exact_fraction(value: Any, name: str = "amount") -> Fraction:
    """The rational number that a person wrote: 0.1 is one tenth, not the double nearest to it.

    Examples
    --------
    >>> exact_fraction(0.1) + exact_fraction("0.2") == Fraction(3, 10)
    True
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Fraction)):
        raise TypeError(f"{name} must be a number or its decimal text; got {type(value).__name__}")
    text = repr(value) if isinstance(value, float) else value
    if isinstance(text, str) and len(text) > 400:
        raise ValueError(f"{name} has {len(text)} characters; expected a number")
    try:
        if isinstance(text, str) and "e" in text.lower() and abs(int(text.lower().split("e")[1])) > 400:
            raise ValueError  # 1e999999999 would fill the memory
        return Fraction(text)
    except (ValueError, ZeroDivisionError, OverflowError):
        raise ValueError(f"{name} must be a finite number; got {value!r}") from None


def discrete_laplace(
    scale: Amount, size: int | tuple[int, ...] | None = None, *, unsafe_rng: np.random.Generator | int | Source | None = None
) -> np.ndarray | int:  # fmt: skip
    """Integers with P(x) proportional to ``exp(-|x| / scale)``, exactly.

    Parameters
    ----------
    scale : positive rational; a float stands for its shortest decimal form
    size : shape of the answer; None gives one Python integer
    unsafe_rng : generator or seed for research; the operating system's source otherwise

    Returns
    -------
    int64 array (of Python integers if a draw does not fit), or one integer.

    Raises
    ------
    ValueError
        a scale that is not positive and finite, or a negative size
    TypeError
        a scale that is no number

    Notes
    -----
    Variance 2q / (1 - q)^2 with q = exp(-1 / scale). Source: Canonne, Kamath and Steinke 2020, Algorithm 2.

    Examples
    --------
    >>> draws = discrete_laplace(2, 5)
    >>> draws.shape, draws.dtype.kind
    ((5,), 'i')
    """
    source, b = _source(unsafe_rng), exact_fraction(scale, "scale")
    if b <= 0:
        raise ValueError(f"scale must be above 0; got {scale!r}")
    shape, n = _shape(size)
    return _shaped(_laplace(source, b, n), shape)


def discrete_gaussian(
    sigma2: Amount, size: int | tuple[int, ...] | None = None, *, unsafe_rng: np.random.Generator | int | Source | None = None
) -> np.ndarray | int:  # fmt: skip
    """Integers with ``P(x)`` proportional to ``exp(-x^2 / (2 sigma2))``, exactly.

    Added to an integer vector of L2 sensitivity D it is D^2 / (2 sigma2)-zCDP. Source: Canonne, Kamath and Steinke 2020,
    Theorem 4 and Algorithm 3.

    Parameters
    ----------
    sigma2 : positive rational; the variance is at most this
    size, unsafe_rng : as in `discrete_laplace`

    Raises
    ------
    ValueError
        a variance that is not positive and finite, or a negative size
    TypeError
        a variance that is no number

    Examples
    --------
    >>> abs(discrete_gaussian("0.01"))  # almost surely
    0
    """
    source, variance = _source(unsafe_rng), exact_fraction(sigma2, "sigma2")
    if variance <= 0:
        raise ValueError(f"sigma2 must be above 0; got {sigma2!r}")
    shape, n = _shape(size)
    return _shaped(_gaussian(source, variance, n), shape)


def _laplace(source: Source, scale: Fraction, n: int) -> np.ndarray:
    t, s = scale.numerator, scale.denominator
    if t >= 1 << 40 or s >= _WORD_LIMIT:  # t times a geometric draw might leave 64 bits
        return _integers([_laplace_one(source, t, s) for _ in range(n)])
    out = np.empty(n, dtype=np.int64)
    missing = np.arange(n)
    while missing.size:
        proposals = source.below(t, missing.size)
        accepted = source.bernoulli_exp(proposals, t)
        places, low = missing[accepted], proposals[accepted]
        magnitude = (low + t * source.geometric(len(places))) // s
        negative = source.bits(1, len(places)).astype(bool)
        kept = ~(negative & (magnitude == 0))  # zero has one sign
        out[places[kept]] = np.where(negative, -magnitude, magnitude)[kept]
        missing = np.concatenate([missing[~accepted], places[~kept]])
    return out


def _laplace_one(source: Source, t: int, s: int) -> int:
    while True:
        low = source.integer_below(t)
        if not source.bernoulli_exp_exact(Fraction(low, t)):
            continue
        high = 0
        while source.bernoulli_exp_exact(Fraction(1)):
            high += 1
        magnitude = (low + t * high) // s
        negative = source.integer_below(2) == 1
        if not (negative and magnitude == 0):
            return -magnitude if negative else magnitude


def _gaussian(source: Source, variance: Fraction, n: int) -> np.ndarray:
    a, b = variance.numerator, variance.denominator
    t = isqrt(a // b) + 1  # floor(sigma) + 1
    # accept y with probability exp(-(|y| - sigma^2 / t)^2 / (2 sigma^2)) = exp(-(|y| t b - a)^2 / (2 a b t^2))
    denominator = 2 * prod((a, b, t, t))
    if denominator >= _WORD_LIMIT or 1024 * t * t * b + a >= 1 << 31:
        return _integers([_gaussian_one(source, variance, t) for _ in range(n)])
    out = np.empty(n, dtype=np.int64)
    missing = np.arange(n)
    while missing.size:
        proposals = _laplace(source, Fraction(t), missing.size)
        distance = np.abs(proposals) * (t * b) - a
        inside = np.abs(distance) < 1 << 31  # squares fit; the others, rarer than e^-1024, go the slow way
        accepted = source.bernoulli_exp(np.where(inside, distance, 0) ** 2, denominator)
        for i in np.flatnonzero(~inside):
            accepted[i] = source.bernoulli_exp_exact(Fraction(int(distance[i]) ** 2, denominator))
        out[missing[accepted]] = proposals[accepted]
        missing = missing[~accepted]
    return out


def _gaussian_one(source: Source, variance: Fraction, t: int) -> int:
    while True:
        y = _laplace_one(source, t, 1)
        if source.bernoulli_exp_exact((abs(y) - variance / t) ** 2 / (2 * variance)):
            return y


def _source(unsafe_rng: np.random.Generator | int | Source | None) -> Source:
    return unsafe_rng if isinstance(unsafe_rng, Source) else random_source(unsafe_rng)


def _shape(size: int | tuple[int, ...] | None) -> tuple[tuple[int, ...] | None, int]:
    if size is None:
        return None, 1
    shape = (size,) if isinstance(size, (int, np.integer)) else tuple(size)
    if any(int(k) != k or k < 0 for k in shape):
        raise ValueError(f"size must hold whole numbers >= 0; got {size!r}")
    return tuple(int(k) for k in shape), prod(int(k) for k in shape)


def _shaped(values: np.ndarray, shape: tuple[int, ...] | None) -> np.ndarray | int:
    return int(values[0]) if shape is None else values.reshape(shape)


def _integers(values: list[int]) -> np.ndarray:
    fits = all(-(1 << 63) <= value < 1 << 63 for value in values)
    return np.array(values, dtype=np.int64 if fits else object)
