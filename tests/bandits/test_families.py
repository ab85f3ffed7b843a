"""Divergences, their inverses and mixtures, against many digits, closed forms and SciPy."""

import math

import mpmath
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from ailys.bandits import as_family, kl_divergence, kl_lower, kl_upper, lai_robbins, mixture_log_regret
from ailys.bandits._divergence_kernels import kl, kl_bounds
from ailys.bandits._quantile_kernels import beta_upper, gamma_tail, gamma_upper, normal_upper

EXACT = {
    "bernoulli": lambda p, q: p * mpmath.log(p / q) + (1 - p) * mpmath.log((1 - p) / (1 - q)),
    "poisson": lambda p, q: q - p + p * mpmath.log(p / q),
    "exponential": lambda p, q: p / q - 1 - mpmath.log(p / q),
}
probabilities = st.floats(1e-6, 1 - 1e-6)


@pytest.mark.parametrize("family", EXACT)
@mpmath.workdps(60)
def test_divergences_have_all_their_digits_however_near_the_means_are(family):
    rng = np.random.default_rng(0)
    for _ in range(500):
        p = 10 ** rng.uniform(-8, 0) * 0.999
        q = p * (1 + rng.choice([-1, 1]) * 10 ** rng.uniform(-12, math.log10(0.3)))
        if q == p or q >= 1:
            continue
        exact = EXACT[family](mpmath.mpf(p), mpmath.mpf(q))
        assert abs(mpmath.mpf(float(kl_divergence(p, q, family))) / exact - 1) < 4e-15


def test_the_textbook_formula_would_fail_where_ours_does_not():
    p, q = 0.3, 0.3 + 1e-8
    naive = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    assert abs(naive / 2.380952e-16 - 1) > 0.1
    assert float(kl_divergence(p, q)) == pytest.approx(2.380952348e-16, rel=1e-8)


def test_edges():
    assert kl_divergence(0.0, 0.25) == pytest.approx(-math.log(0.75))
    assert kl_divergence(1.0, 0.25) == pytest.approx(-math.log(0.25))
    assert kl_divergence(0.5, 0.0) == math.inf
    assert kl_divergence(0.5, 1.0) == math.inf
    assert kl_divergence(0.0, 0.0) == kl_divergence(1.0, 1.0) == 0
    assert kl_divergence(0.0, 2.0, "poisson") == 2.0
    assert kl_divergence(3.0, 1.0, "gaussian(2)") == pytest.approx(0.5)
    assert kl_divergence(5.0, 2.5, "bounded(0,10)") == pytest.approx(float(kl_divergence(0.5, 0.25)))


@pytest.mark.parametrize("family", EXACT)
@settings(max_examples=150, deadline=None)
@given(p=probabilities, log_level=st.floats(-10, 1.5))
def test_indices_invert_the_divergence(family, p, log_level):
    level = 10**log_level
    for bound, inside in ((kl_upper, -1), (kl_lower, 1)):
        q = float(bound(p, level, family))
        if q in (0.0, 1.0):
            continue
        room = 2e-12 * max(1, q)
        assert kl_divergence(p, q + inside * room if (q + inside * room - p) * -inside > 0 else p, family) <= level
        outside = q - inside * room
        if 0 < outside < (1 if family == "bernoulli" else math.inf):
            assert kl_divergence(p, outside, family) >= level


@pytest.mark.parametrize("code", range(4))
@given(p=probabilities, share=st.floats(1e-6, 1 - 1e-6))
def test_rational_bounds_enclose_the_divergence(code, p, share):
    q = p + share * (1 - p)
    low, high = kl_bounds(p, q, code, 1.0)
    exact = kl(p, q, code, 1.0)
    assert low * (1 - 1e-9) <= exact <= high * (1 + 1e-9)
    if q < 1.3 * p and q < 0.5:  # and are near it where a decision is close
        assert high <= 1.003 * exact
        assert low >= 0.99 * exact


def test_indices_at_the_edges():
    assert kl_upper(0.0, 0.3) == pytest.approx(-math.expm1(-0.3))
    assert kl_upper(1.0, 0.3) == 1.0
    assert kl_lower(0.0, 0.3) == 0.0
    assert kl_upper(0.2, 0.0) == 0.2
    assert kl_upper(0.0, 0.7, "poisson") == pytest.approx(0.7)
    assert kl_upper(1.0, 2.0, "gaussian(3)") == pytest.approx(7.0)
    assert kl_upper(0.5, math.inf) == 1.0


def test_mixture_regrets_of_the_specification_and_by_integration():
    assert mixture_log_regret([0, 27, 500], [1, 100, 1000]) == pytest.approx([0.693147, 2.531324, 3.679918], abs=1e-6)
    s, n = 7, 20
    likelihood = mpmath.quad(lambda p: p ** (s - 0.5) * (1 - p) ** (n - s - 0.5) / mpmath.pi, [0, 0.2, 0.4, 0.7, 1])
    best = s * math.log(s / n) + (n - s) * math.log(1 - s / n)
    assert mixture_log_regret(s, n) == pytest.approx(best - float(mpmath.log(likelihood)), rel=1e-6)
    prior = lambda x: mpmath.exp(-x / 2) * (x / 2) ** -0.5 / 2 / mpmath.gamma(0.5)  # noqa: E731
    mix = mpmath.quad(lambda x: prior(x) * x**s * mpmath.exp(-n * x), [0, 0.1, 0.3, 0.6, 1, 5])
    assert mixture_log_regret(s, n, "poisson") == pytest.approx(
        s * math.log(s / n) - s - float(mpmath.log(mix)), rel=1e-4
    )
    total = 13.7  # exponential rewards: rate of law Gamma(1, 1)
    mix = mpmath.quad(lambda r: mpmath.exp(-r) * r**n * mpmath.exp(-r * total), [0, 1, 2, 4, 20])
    assert mixture_log_regret(total, n, "exponential") == pytest.approx(
        n * math.log(n / total) - n - float(mpmath.log(mix))
    )


@settings(max_examples=100, deadline=None)
@given(n=st.integers(1, 10**6), share=st.floats(0, 1))
def test_the_bernoulli_mixture_gives_away_half_a_logarithm(n, share):
    assert -1e-9 <= mixture_log_regret(round(share * n), n) <= 0.5 * math.log(n) + math.log(2) + 1e-9


def test_constant_of_lai_and_robbins():
    assert lai_robbins([0.1] + 3 * [0.05] + 3 * [0.02] + 3 * [0.01]) == pytest.approx(17.445174, abs=5e-7)
    assert lai_robbins([0.0, 1.0], "gaussian") == pytest.approx(2.0)


@settings(max_examples=200, deadline=None)
@given(a=st.floats(0.5, 3000), b=st.floats(0.5, 3000), log_q=st.floats(-25, -0.7))
def test_beta_quantiles_are_those_of_scipy(a, b, log_q):
    q = math.exp(log_q)
    x = beta_upper(a, b, q)
    assert x == pytest.approx(scipy.stats.beta.isf(q, a, b), abs=1e-8)


@settings(max_examples=200, deadline=None)
@given(a=st.floats(0.5, 5000), q=st.floats(1e-12, 1 - 1e-12))
def test_gamma_and_normal_quantiles_are_those_of_scipy(a, q):
    assert gamma_upper(a, q) == pytest.approx(scipy.stats.gamma.isf(q, a), rel=1e-6, abs=1e-12)
    assert gamma_tail(a, a) == pytest.approx(scipy.stats.gamma.sf(a, a), rel=1e-10)
    if q <= 0.5:
        assert normal_upper(q) == pytest.approx(scipy.stats.norm.isf(q), abs=1e-9)


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda: kl_divergence(1.2, 0.5), "got np.float64"),
        (lambda: kl_divergence(0.5, float("nan")), "q of the bernoulli"),
        (lambda: kl_divergence(0.0, 1.0, "exponential"), "not be 0"),
        (lambda: kl_upper(0.5, -1.0), "level of an index"),
        (lambda: as_family("gausian"), "unknown family 'gausian'"),
        (lambda: as_family("gaussian(0)"), "sigma must be positive"),
        (lambda: as_family("bounded(3,1)"), "low < high"),
        (lambda: as_family("gaussian(a)"), "cannot be read"),
        (lambda: as_family("poisson(3)"), "takes other numbers"),
        (lambda: mixture_log_regret(3, 2), "larger than their number"),
        (lambda: mixture_log_regret(1, 2, "gaussian"), "not proper"),
        (lambda: lai_robbins([0.5]), "at least two arms"),
    ],
)
def test_wrong_values_are_named(work, said):
    with pytest.raises(ValueError, match=said.replace("(", r"\(").replace(")", r"\)")):
        work()


@pytest.mark.parametrize("p", [5e-324, 1e-320, 1e-308, 1e-300])
def test_means_that_are_too_small_to_divide_by(p):
    with mpmath.workdps(800):
        for q in (1e-318, 1e-300, 1e-100, 0.3, 1 - 1e-16):
            for family in ("bernoulli", "poisson"):
                true = float(EXACT[family](mpmath.mpf(p), mpmath.mpf(q))) if p != q else 0.0
                assert float(kl_divergence(p, q, family)) == pytest.approx(true, rel=1e-12, abs=1e-312)
    for level in (1e-12, 0.1, 5.0, 37.0):
        assert kl_upper(p, level, "bernoulli") == pytest.approx(-math.expm1(-level), rel=1e-14)
        assert kl_upper(p, level, "poisson") == pytest.approx(level, rel=1e-14)
    assert kl_divergence(1e300, 1e-300, "exponential") == math.inf
