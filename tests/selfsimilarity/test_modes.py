"""Counts of modes: the dip against linear programs and closed forms, bandwidths against a published example, levels."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.stats import gaussian_kde

from ailys.selfsimilarity import OperatorFractionalBrownianMotion, count_modes, dip_statistic, estimate_hurst, modes

# silica in 22 chondrite meteors, per cent (Good and Gaskins 1980), the example of Silverman 1981
CHONDRITES = [
    20.77, 22.56, 22.71, 22.99, 26.39, 27.08, 27.32, 27.33, 27.57, 27.81, 28.69, 29.36, 30.25, 31.89, 32.88, 33.23, 33.28,
    33.40, 33.52, 33.83, 33.95, 34.82,
]  # fmt: skip


def dip_by_linear_programs(x):
    """Smallest distance over the places of the mode; G at each place, and just before the mode as well."""
    places, counts = np.unique(x, return_counts=True)
    after = np.cumsum(counts) / len(x)
    before, n = after - counts / len(x), len(places)
    best = 1.0
    for m in range(n):
        # unknown: G(x_0) ... G(x_n-1), G(x_m -), d
        rows, bounds = [], []

        def add(terms, most, rows=rows, bounds=bounds):
            row = np.zeros(n + 2)
            for place, factor in terms:
                row[place] += factor
            rows.append(row)
            bounds.append(most)

        def within(place, value):
            add([(place, 1), (n + 1, -1)], value)
            add([(place, -1), (n + 1, -1)], -value)

        for k in range(n):
            if k == m:
                within(n, before[k])
                within(k, after[k])
            else:
                within(k, before[k])
                within(k, after[k])
        left, right = [*range(m), n], list(range(m, n))
        for side, sign in ((left, 1), (right, -1)):
            for a, b in pairwise(side):
                add([(a, 1), (b, -1)], 0)  # increasing
            for a, b, c in zip(side, side[1:], side[2:], strict=False):
                xa, xb, xc = (places[m if k == n else k] for k in (a, b, c))
                share = (xb - xa) / (xc - xa)
                add([(b, sign), (a, -sign * (1 - share)), (c, -sign * share)], 0)  # convex, or concave
        add([(n, 1), (m, -1)], 0)
        found = linprog([0] * (n + 1) + [1], A_ub=np.array(rows), b_ub=bounds, bounds=[(0, 1)] * (n + 2))
        best = min(best, found.fun)
    return best


@pytest.mark.parametrize("seed", range(12))
def test_the_dip_is_the_distance_that_linear_programs_find(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(4, 14))
    x = rng.standard_normal(n) + (seed % 3) * rng.integers(0, 2, n) * 3
    x = np.round(x, 1) if seed % 2 else x  # ties
    assert dip_statistic(x) == pytest.approx(dip_by_linear_programs(x), abs=1e-9)


@pytest.mark.parametrize("n", [2, 3, 8, 50])
def test_equally_spaced_numbers_have_the_least_dip_that_there_is(n):
    assert dip_statistic(np.arange(n)) == pytest.approx(1 / (2 * n), abs=1e-12)


def test_two_far_clumps_have_the_largest_dip():
    assert dip_statistic([0.0] * 5 + [1.0] * 5) == pytest.approx(0.25, abs=1e-9)
    spread = np.concatenate([np.linspace(0, 1e-6, 50), 1 + np.linspace(0, 1e-6, 50)])
    assert 0.24 < dip_statistic(spread) < 0.25


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=15), st.floats(0.1, 10), st.floats(-5, 5))
def test_the_dip_sees_neither_order_nor_units(x, scale, shift):
    # numbers that rounding merges would not be the same data
    x = np.unique(np.round(x, 3))
    assert dip_statistic(x[::-1]) == dip_statistic(x)
    assert dip_statistic(-scale * x + shift) == pytest.approx(dip_statistic(x), abs=1e-7)


def test_the_dip_is_that_of_the_peer():
    diptest = pytest.importorskip("diptest", reason="a peer that is not installed with the package")
    rng = np.random.default_rng(0)
    for n in (4, 20, 60):
        x = rng.standard_normal(n) + 3 * rng.integers(0, 2, n)
        assert dip_statistic(x) == pytest.approx(diptest.dipstat(x), abs=1e-12)


def test_critical_bandwidths_are_those_that_silverman_published():
    found = [modes._critical_bandwidth(np.array(CHONDRITES), k) for k in (1, 2, 3)]
    assert found == pytest.approx([2.39, 1.83, 0.68], abs=0.011)


@pytest.mark.parametrize("n_modes", [1, 2, 3])
def test_at_the_critical_bandwidth_a_mode_disappears(n_modes):
    x = np.array(CHONDRITES)
    width = modes._critical_bandwidth(x, n_modes)
    grid = np.linspace(15, 40, 20_001)
    for factor, wanted in ((1.01, n_modes), (0.99, n_modes + 1)):
        density = gaussian_kde(x, factor * width / x.std(ddof=1))(grid)
        assert np.sum((density[1:-1] > density[:-2]) & (density[1:-1] > density[2:])) == wanted


def test_the_dip_test_of_uniform_numbers_has_its_level():
    """Its hypothesis exactly: 400 samples, three standard errors; and normal numbers, which are rejected less often."""
    rng = np.random.default_rng(1)
    law = np.array([dip_statistic(u) for u in rng.random((999, 20))])

    def rate(samples):
        return np.mean([(1 + np.sum(law >= dip_statistic(x))) / 1000 <= 0.05 for x in samples])

    assert abs(rate(rng.random((400, 20))) - 0.05) < 3 * np.sqrt(0.05 * 0.95 / 400) + 0.01
    assert rate(rng.standard_normal((400, 20))) < 0.02


def test_silverman_does_not_divide_normal_numbers_more_often_than_it_says():
    rng = np.random.default_rng(2)
    divided = [count_modes(x, most=2, n_simulations=59, rng=rng).n_modes > 1 for x in rng.standard_normal((80, 20))]
    assert np.mean(divided) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 80)


@pytest.fixture(scope="module")
def two_groups():
    x = OperatorFractionalBrownianMotion([0.3] * 10 + [0.8] * 10).sample(2**13, rng=0)
    return estimate_hurst(x, octaves=(4, 7))


@pytest.mark.parametrize("method", ["silverman", "dip"])
def test_two_groups_of_twenty_channels_are_found(two_groups, method):
    found = count_modes(two_groups, method=method, rng=0)
    assert found.n_modes == 2
    assert found.exponents == pytest.approx([0.3, 0.8], abs=0.05)
    assert np.array_equal(found.labels[np.argsort(found.hurst)], np.repeat([0, 1], 10))
    assert found.guarantee is None
    assert found.plot().get_legend() is not None
    assert count_modes(found.hurst, method=method, rng=0).to_dict() == found.to_dict()


def test_three_groups_are_counted_by_the_last_hypothesis_rejected():
    rng = np.random.default_rng(0)
    h = np.concatenate([rng.normal(m, 0.01, 12) for m in (0.2, 0.5, 0.8)])
    found = count_modes(rng.permutation(h), rng=0)
    assert found.n_modes == 3 == len(found.p_values) == len(found.statistics)
    assert np.all(np.diff(found.statistics) < 0)
    assert found.p_values[1] <= 0.05 / 3 < found.p_values[2]
    assert count_modes(h, most=2, rng=0).n_modes <= 2


def test_counts_that_make_no_sense_are_refused():
    for numbers in ([0.1, 0.2, 0.3], np.ones((4, 4)), [0.1, np.nan, 0.2, 0.3]):
        with pytest.raises(ValueError, match="4 exponents or more"):
            count_modes(numbers)
    with pytest.raises(ValueError, match="same number"):
        count_modes([0.5] * 6)
    with pytest.raises(ValueError, match="method must be"):
        count_modes(range(9), method="gap")
    with pytest.raises(ValueError, match="alpha"):
        count_modes(range(9), alpha=2)
    for most in (1, 10, 2.5):
        with pytest.raises(ValueError, match="most must be"):
            count_modes(range(9), most=most)
    with pytest.raises(ValueError, match="at most"):
        count_modes(range(9), n_simulations=10**9)
    with pytest.raises(ValueError, match="finite numbers"):
        dip_statistic([])


@pytest.mark.parametrize("scale", [1e-320, 1e-300, 1.0, 1e300, 1.7e308])
def test_the_dip_does_not_depend_on_the_unit(scale):
    x = np.array([-1.0, -0.9, -0.875, 0.5, 0.75, 1.0])
    assert dip_statistic(x * scale) == pytest.approx(dip_statistic(x), abs=1e-3 if scale < 1e-310 else 1e-9)


def test_exponents_of_another_size_than_exponents_are_refused():
    for scale in (1e-300, 5e-324, 1e300):
        for method in ("silverman", "dip"):
            with pytest.raises(ValueError, match="exponents are at most 1e\\+100"):
                count_modes(np.arange(9) * scale, method=method)


def test_simulations_that_could_reject_nothing_are_refused():
    h = np.repeat([0.3, 0.8], 15) + np.arange(30) / 1000
    with pytest.raises(ValueError, match="n_simulations=60 or more"):
        count_modes(h, n_simulations=49)
    assert count_modes(h, n_simulations=60, rng=0).n_modes == 2
    assert count_modes(h, most=2, n_simulations=19, rng=0).n_modes == 2


def test_groups_that_vanish_together_have_one_mean():
    found = count_modes(np.repeat([0.0, 1.0, 2.0], 10), method="dip", rng=0)
    assert found.n_modes == 2  # or more: the dip does not count
    assert found.exponents.tolist() == [1.0]
    assert set(found.labels) == {0}
