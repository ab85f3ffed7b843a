"""Noise: the laws are the stated ones, from a cryptographic source unless the name says unsafe."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from ailys.privacy.budget import as_budget
from ailys.privacy.integer_noise import IntegerNoise
from ailys.privacy.noise import Source, discrete_gaussian, discrete_laplace, exact_fraction, random_source


def chi_square_pvalue(draws: np.ndarray, weight) -> float:
    """P-value of the draws against P(x) proportional to weight(x), tails merged."""
    low, high = int(draws.min()), int(draws.max())
    reach = max(-low, high) + 200
    support = np.arange(-reach, reach + 1)
    weights = np.array([weight(int(x)) for x in support])
    expected = len(draws) * weights / weights.sum()
    observed = np.bincount(draws + reach, minlength=len(support)).astype(float)
    body = expected >= 10
    observed = np.append(observed[body], observed[~body].sum())
    expected = np.append(expected[body], expected[~body].sum())
    keep = expected > 1
    statistic = ((observed - expected)[keep] ** 2 / expected[keep]).sum()
    return float(chi2.sf(statistic, keep.sum() - 1))


@pytest.mark.parametrize("scale", [1, "3/7", 10, 2.5, Fraction(10**13 + 1, 10**12)])
def test_laplace_draws_follow_the_discrete_laplace_law(scale):
    # false alarms: 1e-6 each
    b = float(exact_fraction(scale))
    n = 4000 if isinstance(scale, Fraction) else 200_000
    draws = discrete_laplace(scale, n, unsafe_rng=1)
    assert chi_square_pvalue(draws, lambda x: math.exp(-abs(x) / b)) > 1e-6


@pytest.mark.parametrize("sigma2", [1, "1/7", 50, 1234.5, Fraction(10**19 + 7, 10**18)])
def test_gaussian_draws_follow_the_discrete_gaussian_law(sigma2):
    s2 = float(exact_fraction(sigma2))
    n = 4000 if isinstance(sigma2, Fraction) else 200_000
    draws = discrete_gaussian(sigma2, n, unsafe_rng=2)
    assert chi_square_pvalue(draws, lambda x: math.exp(-(x**2) / (2 * s2))) > 1e-6


def test_a_goodness_of_fit_check_notices_a_scale_that_is_three_percent_off():
    draws = discrete_laplace(10, 200_000, unsafe_rng=3)
    assert chi_square_pvalue(draws, lambda x: math.exp(-abs(x) / 10.3)) < 1e-6


def test_variance_is_that_of_the_formula():
    q = math.exp(-0.1)
    draws = discrete_laplace(10, 400_000, unsafe_rng=4)
    assert draws.var() == pytest.approx(2 * q / (1 - q) ** 2, rel=0.02)


def test_enormous_scales_take_the_exact_path_and_stay_exact():
    draws = discrete_laplace(10**30, 300, unsafe_rng=5)
    assert draws.dtype == object
    assert all(isinstance(x, int) for x in draws)
    mean = sum(abs(x) for x in draws) / len(draws)
    assert 0.7e30 < mean < 1.3e30  # standard deviation of the mean: 0.058e30


@pytest.mark.parametrize("bound", [1, 2, 3, 7, 1000, 3 * (1 << 24), 3 << 58])
def test_uniform_integers_are_uniform(bound):
    source = random_source(6)
    draws = source.below(bound, 60_000)
    assert draws.min() >= 0
    assert draws.max() < bound
    parts = next(k for k in (7, 6, 5, 3, 2, 1) if bound % k == 0)
    cells = np.bincount((draws.astype(object) * parts // bound).astype(int), minlength=parts)
    expected = 60_000 / len(cells)
    assert ((cells - expected) ** 2 / expected).sum() < chi2.isf(1e-6, max(len(cells) - 1, 1))


def test_rejection_removes_the_remainder_that_a_modulus_would_favour():
    # with bound 3 * 2^60 a plain 64-bit remainder would hit the first third of a bound twice as often as the last
    draws = random_source(7).below(3 << 60, 30_000)
    assert abs(float(np.mean(draws < (1 << 60))) - 1 / 3) < 0.02


@pytest.mark.parametrize(("numerator", "denominator"), [(0, 5), (1, 5), (5, 5), (17, 5), (3, 1 << 50)])
def test_bernoulli_of_an_exponential_has_the_right_chance(numerator, denominator):
    n = 100_000
    hits = random_source(8).bernoulli_exp(np.full(n, numerator), denominator).mean()
    chance = math.exp(-numerator / denominator)
    assert abs(hits - chance) < 5.5 * math.sqrt(chance * (1 - chance) / n) + 1e-9


def test_a_permutation_holds_every_index_once():
    order = random_source(9).permutation(1000)
    assert sorted(order) == list(range(1000))


def test_the_default_source_is_the_operating_system_and_seeds_do_not_touch_it(monkeypatch):
    import ailys.privacy.noise as noise

    asked = []
    monkeypatch.setattr(noise.os, "urandom", lambda n: asked.append(n) or bytes(range(7, 7 + n % 200)) * n)
    monkeypatch.setattr(noise.Source, "words", lambda self, n: np.zeros(n, dtype=np.uint64))
    Source().bytes(4)
    assert asked == [4]
    assert Source().secure
    assert not random_source(1).secure


def test_draws_of_the_secure_source_differ_from_call_to_call_whatever_the_global_seed():
    np.random.seed(0)  # noqa: NPY002
    first = discrete_laplace(1000, 50)
    np.random.seed(0)  # noqa: NPY002
    assert not np.array_equal(first, discrete_laplace(1000, 50))


def test_an_unsafe_seed_repeats():
    assert np.array_equal(discrete_gaussian(9, 20, unsafe_rng=3), discrete_gaussian(9, 20, unsafe_rng=3))


@pytest.mark.parametrize("scale", [0, -1, "nan", float("inf"), "1/0", "1e999999999", "one"])
def test_a_scale_that_is_no_positive_number_is_refused(scale):
    with pytest.raises(ValueError):
        discrete_laplace(scale)


@pytest.mark.parametrize("scale", [True, None, [1]])
def test_a_scale_of_another_type_is_refused(scale):
    with pytest.raises(TypeError):
        discrete_laplace(scale)


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_decimal_text_and_fractions_are_read_exactly(a, b):
    assert exact_fraction(f"{a}/{b}") == Fraction(a, b)
    assert exact_fraction(a / 1000) == Fraction(a, 1000)


def test_shapes_follow_numpy():
    assert discrete_laplace(1, (2, 3)).shape == (2, 3)
    assert discrete_gaussian(1, 0).shape == (0,)
    assert isinstance(discrete_laplace(1), int)


def same_law(ours, theirs):
    """P-value that two samples of integers come from one law: chi-square of the two-row table, cells of 10 and more."""
    from scipy.stats import chi2_contingency

    low, high = min(ours.min(), theirs.min()), max(ours.max(), theirs.max())
    table = np.array([np.bincount(x - low, minlength=high - low + 1) for x in (ours, theirs)])
    body = table.sum(axis=0) >= 20
    table = np.column_stack([table[:, body], table[:, ~body].sum(axis=1)])
    return float(chi2_contingency(table[:, table.sum(axis=0) > 0]).pvalue)


@pytest.fixture(scope="module")
def opendp():
    prelude = pytest.importorskip("opendp.prelude", reason="a peer of the benchmarks")
    prelude.enable_features("contrib")
    return prelude


@pytest.mark.parametrize("scale", [0.4, 5.0])
def test_laplace_noise_has_the_law_and_the_loss_of_opendp(opendp, scale):
    """20 000 draws of each; a false alarm has probability 1e-6 for the peer, whose draws cannot be seeded."""
    space = opendp.vector_domain(opendp.atom_domain(T=int)), opendp.l1_distance(T=int)
    peer = opendp.m.make_laplace(*space, scale=scale)
    theirs = np.array(peer([0] * 20_000))
    assert same_law(discrete_laplace(scale, 20_000, unsafe_rng=2), theirs) > 1e-6
    assert chi_square_pvalue(theirs, lambda x: math.exp(-abs(x) / scale)) > 1e-6
    assert same_law(discrete_laplace(1.2 * scale, 20_000, unsafe_rng=2), theirs) < 1e-6
    # what it says to cost is what we charge
    noise = IntegerNoise.calibrated(
        as_budget(epsilon=1 / Fraction(str(scale)), neighbours="replace"), l1=1, l2_squared=1
    )
    assert peer.map(1) == pytest.approx(1 / scale, rel=1e-12)
    assert noise.variance == pytest.approx(2 * math.exp(-1 / scale) / (1 - math.exp(-1 / scale)) ** 2)


@pytest.mark.parametrize("sigma", [0.7, 5.0])
def test_gaussian_noise_has_the_law_and_the_loss_of_opendp(opendp, sigma):
    space = opendp.vector_domain(opendp.atom_domain(T=int)), opendp.l2_distance(T=float)
    peer = opendp.m.make_gaussian(*space, scale=sigma)
    theirs = np.array(peer([0] * 20_000))
    square = Fraction(str(sigma)) ** 2
    assert same_law(discrete_gaussian(square, 20_000, unsafe_rng=2), theirs) > 1e-6
    assert chi_square_pvalue(theirs, lambda x: math.exp(-x * x / (2 * sigma**2))) > 1e-6
    assert same_law(discrete_gaussian(square * Fraction(3, 2), 20_000, unsafe_rng=2), theirs) < 1e-6
    assert peer.map(1.0) == pytest.approx(1 / (2 * sigma**2), rel=1e-12)
