"""Accounting: exact sums, published conversions, refusals."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ailys.privacy.budget import PrivacySpent, as_budget, compose, dp_to_zcdp, pld_epsilon, zcdp_to_dp


@pytest.mark.parametrize(("rho", "delta", "epsilon"), [(0.5, 1e-5, 4.72839), (0.1, 1e-6, 2.14194)])
def test_zcdp_converts_to_the_published_epsilon(rho, delta, epsilon):
    assert zcdp_to_dp(rho, delta) == pytest.approx(epsilon, abs=2e-5)


@given(st.floats(1e-8, 1e4), st.floats(1e-300, 0.5))
def test_the_conversion_lies_between_the_exact_gaussian_and_the_first_bound_of_2016(rho, delta):
    epsilon = zcdp_to_dp(rho, delta)
    assert epsilon <= rho + 2 * math.sqrt(rho * math.log(1 / delta)) + 1e-9
    assert epsilon >= 0


def test_the_conversion_is_above_the_exact_loss_of_the_gaussian():
    assert zcdp_to_dp(0.5, 1e-5) > 4.37718


@pytest.mark.parametrize(("epsilon", "rho"), [(0.5, 0.10653), (1, 0.36788), (3, 2.04979)])
def test_laplace_noise_has_its_exact_zcdp_loss(epsilon, rho):
    assert dp_to_zcdp(epsilon, "laplace") == pytest.approx(rho, abs=1e-5)


def renyi_supremum(p: np.ndarray, q: np.ndarray) -> float:
    """sup over alpha of D_alpha(p | q) / alpha."""
    orders = 1 + np.logspace(-6, 4, 3000)
    divergence = [
        np.log(np.sum(np.exp(a * np.log(p) + (1 - a) * np.log(q) - 0))) / (a - 1) if a < 60 else 0 for a in orders
    ]
    return float(np.max(np.array(divergence) / orders))


@pytest.mark.parametrize("epsilon", [0.3, 1.0, 2.5])
def test_discrete_laplace_noise_costs_more_rho_than_continuous_and_exactly_that_of_randomised_response(epsilon):
    x = np.arange(-200, 201)
    p, q = np.exp(-epsilon * abs(x)), np.exp(-epsilon * abs(x - 1))
    p, q = np.maximum(p / p.sum(), 1e-300), np.maximum(q / q.sum(), 1e-300)
    loss = renyi_supremum(p[(p > 1e-30)], q[(p > 1e-30)])
    assert loss == pytest.approx(dp_to_zcdp(epsilon, "discrete"), rel=1e-4)
    assert loss > dp_to_zcdp(epsilon, "laplace")


def test_conversions_keep_their_order_from_tiny_to_large():
    for epsilon in (1e-12, 1e-4, 9.9e-4, 1.1e-3, 0.1, 1, 5, 30):
        exponential, laplace, discrete, any_ = (
            dp_to_zcdp(epsilon, k) for k in ("exponential", "laplace", "discrete", "any")
        )
        assert exponential <= laplace * (1 + 1e-9) or epsilon > 4
        assert laplace <= any_ * (1 + 1e-9)
        assert discrete <= any_ * (1 + 1e-9)


def test_sums_are_exact():
    total = compose(*[PrivacySpent(epsilon=0.1)] * 3)
    assert total.amount == Fraction(3, 10)
    assert total.epsilon == 0.3
    tiny = compose(PrivacySpent(epsilon=1), PrivacySpent(epsilon=5e-324))
    assert tiny.amount > 1


def test_parallel_releases_cost_the_largest_and_only_under_add_remove():
    a, b = PrivacySpent(rho=0.1), PrivacySpent(rho=0.4)
    assert compose(a, b, parallel=True).rho == 0.4
    assert compose(a, b).rho == 0.5
    with pytest.raises(ValueError, match="add_remove"):
        compose(
            PrivacySpent(epsilon=1, neighbours="replace"), PrivacySpent(epsilon=1, neighbours="replace"), parallel=True
        )


def test_mixed_currencies_add_up_in_rho():
    assert compose(PrivacySpent(epsilon=1), PrivacySpent(rho=0.25)).amount == Fraction(3, 4)


def test_mixed_neighbours_and_nothing_are_refused():
    with pytest.raises(ValueError, match="Ledger"):
        compose(PrivacySpent(epsilon=1), PrivacySpent(epsilon=1, neighbours="replace"))
    with pytest.raises(ValueError, match="at least one"):
        compose()


def test_pure_composition_of_losses_is_never_beaten_by_an_advanced_bound_below_it():
    pytest.importorskip("dp_accounting")
    assert pld_epsilon([("laplace", 10.0, 100)], 1e-6) == pytest.approx(4.69267, abs=2e-3)
    assert pld_epsilon([("discrete_laplace", 10.0, 100)], 1e-6) <= 10.0
    assert pld_epsilon([("gaussian", 1.0, 1)], 1e-5) == pytest.approx(4.37718, abs=2e-3)
    assert pld_epsilon([], 1e-6) == 0
    with pytest.raises(ValueError, match="kind"):
        pld_epsilon([("uniform", 1.0, 1)], 1e-6)


@pytest.mark.parametrize(
    "arguments",
    [
        {"epsilon": 1, "rho": 1, "neighbours": "replace"},
        {"neighbours": "replace"},
        {"epsilon": 0, "neighbours": "replace"},
        {"epsilon": -1, "neighbours": "replace"},
        {"rho": float("nan"), "neighbours": "replace"},
        {"epsilon": float("inf"), "neighbours": "replace"},
        {"epsilon": 1},
        {"epsilon": 1, "neighbours": "substitute"},
        {"epsilon": 1, "neighbours": "replace", "contributions": 0},
        {"epsilon": 1, "neighbours": "replace", "contributions": 1.5},
    ],
)
def test_a_request_that_is_not_one_is_refused_with_a_sentence(arguments):
    with pytest.raises(ValueError) as fault:
        as_budget(**arguments)
    assert len(str(fault.value)) > 25


def test_a_group_of_records_gets_a_share_of_the_budget_each():
    assert as_budget(epsilon=1, neighbours="add_remove", contributions=4).per_record_epsilon == Fraction(1, 4)
    assert as_budget(rho=1, neighbours="add_remove", contributions=4).per_record_rho == Fraction(1, 16)


def test_a_large_epsilon_is_warned_about():
    with pytest.warns(UserWarning, match="protects hardly"):
        as_budget(epsilon=11, neighbours="replace")


def test_the_spent_budget_speaks():
    spent = as_budget(epsilon="1/3", neighbours="replace", contributions=2).spent()
    assert spent.amount == Fraction(1, 3)
    assert "replaced" in spent.summary()
    assert spent.to_dict()["guarantee"]["kind"] == "epsilon-dp"
    assert PrivacySpent(rho=0.5).to_epsilon(1e-5) == pytest.approx(4.72839, abs=1e-4)
    with pytest.raises(ValueError):
        PrivacySpent(epsilon=1, delta=1)
