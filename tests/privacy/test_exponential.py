"""Certified draws: exact at the borders of bins, where rounding and underflow would decide otherwise."""

import math
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ailys.privacy.exponential import (
    EXP_ROUNDINGS,
    UNIT,
    exp_negative,
    exponential_choice,
    interval_of_quantile,
    mp_context,
)
from ailys.privacy.noise import Source, random_source


class Script(Source):
    """A source that plays given words first, then the bits of a generator."""

    def __init__(self, *words):
        super().__init__(np.random.default_rng(0))
        self.words_left = list(words)
        self.asked = 0

    def integer_below(self, bound):
        self.asked += 1
        return self.words_left.pop(0) if self.words_left else super().integer_below(bound)


def test_exponential_function_keeps_its_error_bound():
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [
            [0.0, 1 / 64, 1.0, 707.99],
            rng.uniform(0, 707, 3000),
            rng.uniform(0, 1, 1000),
            2.0 ** rng.uniform(-60, 9, 500),
        ]
    )
    y = exp_negative(x)
    with mpmath.workprec(120):
        worst = max(
            abs(mpmath.mpf(float(b)) / mpmath.exp(-mpmath.mpf(float(a))) - 1) for a, b in zip(x, y, strict=True)
        )
    assert worst < EXP_ROUNDINGS * UNIT
    assert exp_negative(np.array([708.0, 1e9])).tolist() == [0.0, 0.0]


def test_a_word_inside_a_bin_decides_at_once():
    source = Script(1 << 62)
    assert exponential_choice([1, 1], [0, 0], 1, unsafe_rng=source) == 0
    assert source.asked == 1


@pytest.mark.parametrize(("more", "expected"), [(0, 1), ((1 << 64) - 1, 1)])
def test_a_word_at_a_border_is_prolonged(more, expected):
    # the border of two equal bins is at 1/2: the word 2^63 starts exactly there and is undecided at 64 bits
    source = Script(1 << 63, more)
    assert exponential_choice([1, 1], [0, 0], 1, unsafe_rng=source) == expected
    assert source.asked > 1
    below = Script((1 << 63) - 1, more)
    assert exponential_choice([1, 1], [0, 0], 1, unsafe_rng=below) == 0


def test_a_bin_that_doubles_cannot_see_is_reached_with_its_own_probability():
    """exp(-800) is zero in doubles; the bits of a word can still fall into it."""
    weight = mpmath.mpf(2)
    with mpmath.workprec(3000):
        share = mpmath.exp(-800) / (1 + mpmath.exp(-800))
        bits = 2048
        inside = int(mpmath.floor((1 - share / 2) * mpmath.mpf(2) ** bits))
    first, rest = inside >> (bits - 64), inside & ((1 << (bits - 64)) - 1)
    pieces, size, left = [first], 64, bits - 64
    while left > 0:
        pieces.append((rest >> (left - size)) & ((1 << size) - 1))
        left -= size
        size *= 2
    source = Script(*pieces)
    assert exponential_choice([1, 1], [0, 800], 1, unsafe_rng=source) == 1
    assert weight == 2


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 8)), min_size=1, max_size=6).filter(
        lambda w: any(a for a, _ in w)
    ),
    st.integers(0, 2**64 - 1),
)
def test_choices_follow_the_exact_distribution_function(bins, word):
    weights, distances = [a for a, _ in bins], [b for _, b in bins]
    k = exponential_choice(weights, distances, "0.7", unsafe_rng=Script(word))
    with mpmath.workprec(300):
        terms = [a * mpmath.exp(-mpmath.mpf(7) / 10 * b) for a, b in bins]
        low, high = sum(terms[:k]) / sum(terms), sum(terms[: k + 1]) / sum(terms)
        assert low * 2**64 < word + 1
        assert word < high * 2**64
    assert weights[k] > 0


def test_windows_do_not_change_the_law():
    """Intervals far from the centre are left out of the doubles; a word in the far tail is settled all the same."""
    edges = np.arange(0, 20_002, dtype=np.int64)
    centre, eta = Fraction(10_000), Fraction(1, 10)
    law = np.exp(-0.1 * np.abs(np.arange(20_001) - 10_000))
    cumulative = np.cumsum(law) / law.sum()
    for u in (0.0, 1e-9, 0.1, 0.5, 0.9, 1 - 1e-9):
        k = interval_of_quantile(Script(int(u * 2**64)), edges, centre, eta)
        assert abs(k - np.searchsorted(cumulative, u)) <= 1 or u == 0.0


def test_a_crowded_centre_with_a_wide_far_interval():
    """All the width lies where the score is bad: the weights of the centre are zero."""
    edges = np.array([0] + [5] * 3000 + [1 << 50], dtype=np.int64)
    found = {interval_of_quantile(random_source(s), edges, Fraction(1500), Fraction(2)) for s in range(40)}
    assert found <= {0, 3000}


def test_wrong_bins_are_refused():
    for weights, distances in (([], []), ([1], [0, 1]), ([-1, 1], [0, 0]), ([0, 0], [0, 0]), ([1, math.nan], [0, 0])):
        with pytest.raises(ValueError):
            exponential_choice(weights, distances, 1)
    with pytest.raises(ValueError, match="negative"):
        exponential_choice([1], [0], -1)


def test_each_thread_and_each_precision_has_a_context_of_its_own():
    before, here = mpmath.mp.prec, mp_context(200)
    assert mp_context(200) is here
    assert (mp_context(300).prec, here.prec, mpmath.mp.prec) == (300, 200, before)
    with ThreadPoolExecutor(1) as other:
        assert other.submit(mp_context, 200).result() is not here
