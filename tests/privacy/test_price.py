"""The price of privacy: published bounds, their order, their figure."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ailys.privacy.price import PROBLEMS, price_of_privacy


def test_a_proportion_has_its_published_bounds():
    price = price_of_privacy("bernoulli", 1000, [0.01, 0.05, 0.3])
    np.testing.assert_allclose(price.private_bound, [1.2146e-3, 5.016e-5, 1.687e-6], rtol=1e-2)
    np.testing.assert_allclose(price.nonprivate_bound, 4.1417e-5, rtol=1e-2)
    np.testing.assert_allclose(price.achieved, [0.02025, 0.00105, 2.722e-4], rtol=1e-3)


def test_the_end_of_a_uniform_law_pays_for_privacy_long_before_a_proportion_does():
    price = price_of_privacy("uniform_support", 1000, [0.1, 1])
    np.testing.assert_allclose(price.private_bound, [1.304e-5, 2.455e-7], rtol=1e-2)
    np.testing.assert_allclose(price.nonprivate_bound, 6.75e-8, rtol=1e-2)
    budgets = np.geomspace(0.005, 3, 12)
    uniform, proportion = (price_of_privacy(name, 1000, budgets) for name in ("uniform_support", "bernoulli"))
    assert uniform.crossing > 10 * proportion.crossing


@pytest.mark.parametrize("problem", list(PROBLEMS))
@pytest.mark.parametrize("n", [100, 1001])
def test_nothing_achieved_lies_below_a_bound_and_bounds_fall_with_the_budget(problem, n):
    price = price_of_privacy(problem, n, np.geomspace(0.02, 5, 5))
    assert (price.achieved >= price.private_bound).all()
    assert (price.achieved >= price.nonprivate_bound).all()
    assert (np.diff(price.private_bound) <= 1e-15).all()
    assert (price.private_bound > 0).all()


def test_the_achieved_risk_of_a_proportion_is_that_of_simulated_releases():
    rng = np.random.default_rng(0)
    n, epsilon, runs = 200, 0.1, 40_000
    released = rng.binomial(n, 0.5, runs) / n + rng.laplace(scale=1 / (n * epsilon), size=runs)
    risk = price_of_privacy("bernoulli", n, [epsilon]).achieved[0]
    assert np.mean((released - 0.5) ** 2) == pytest.approx(risk, rel=0.05)


def test_the_bound_without_privacy_of_a_mean_is_exact_in_its_family():
    # two Gaussian means at distance 2 tau, n records: sum of errors 2 Phi(-tau sqrt(n))
    taus = np.linspace(1e-4, 0.2, 20_000)
    from scipy.stats import norm

    best = (taus**2 * norm.sf(taus * math.sqrt(500))).max()
    assert price_of_privacy("gaussian_mean", 500, [1]).nonprivate_bound[0] == pytest.approx(best, rel=1e-4)


def test_the_answer_reads_and_draws():
    price = price_of_privacy("bernoulli", 1000, [0.04, 0.07, 1])
    assert set(price.to_dict()) >= {"epsilon", "achieved", "private_bound", "nonprivate_bound"}
    assert 0.05 < price.crossing < 0.06  # 0.0552 on a fine grid
    assert len(price.plot().lines) == 4
    assert price_of_privacy("bernoulli", 1000, [5]).crossing is None


@pytest.mark.parametrize(
    "arguments",
    [
        ("median", 10, [1]),
        ("bernoulli", 1, [1]),
        ("bernoulli", 10.5, [1]),
        ("bernoulli", 10, []),
        ("bernoulli", 10, [0]),
    ],
)
def test_wrong_arguments_are_refused(arguments):
    with pytest.raises(ValueError):
        price_of_privacy(*arguments)
