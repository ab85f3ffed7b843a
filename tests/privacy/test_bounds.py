"""Lower bounds: the published values, and below the best of all private tests, found by linear programming."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.stats import binom

from ailys.privacy.bounds import assouad_bound, fano_bound, le_cam_bound


def best_private_test(n, p, q, epsilon, delta=0.0):
    """Least sum of errors of a test of the number of successes, under privacy for replaced records."""
    k = np.arange(n + 1)
    # the test says P's rival with probability t_k: errors E_P[t] + E_Q[1 - t]
    cost = binom.pmf(k, n, p) - binom.pmf(k, n, q)
    rows, right = [], []
    for i in range(n):
        for a, b in ((i, i + 1), (i + 1, i)):
            row = np.zeros(n + 1)
            row[a], row[b] = 1, -math.exp(epsilon)
            rows.append(row.copy())  # t_a <= e^eps t_b + delta
            right.append(delta)
            row[a], row[b] = -1, math.exp(epsilon)
            rows.append(row)  # 1 - t_a <= e^eps (1 - t_b) + delta
            right.append(math.exp(epsilon) - 1 + delta)
    return 1 + linprog(cost, A_ub=rows, b_ub=right, bounds=(0, 1)).fun


@pytest.mark.parametrize(
    ("n", "p", "q", "epsilon", "optimum", "bound"),
    [
        (1, 0, 1, 1, 0.53788, 0.53788),
        (2, 0.3, 0.6, 1, 0.80160, 0.73737),
        (4, 0.3, 0.6, 0.5, 0.78331, 0.72273),
        (6, 0.4, 0.6, 0.3, 0.86239, 0.82603),
    ],
)
def test_the_bound_is_below_the_optimum_and_both_have_their_published_values(n, p, q, epsilon, optimum, bound):
    assert best_private_test(n, p, q, epsilon) == pytest.approx(optimum, abs=2e-5)
    assert le_cam_bound(n, q - p, epsilon=epsilon) == pytest.approx(bound, abs=2e-5)


@given(st.integers(1, 7), st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 3), st.sampled_from([0.0, 0.01, 0.2]))
def test_no_private_test_beats_the_bound(n, p, q, epsilon, delta):
    assert (
        le_cam_bound(n, abs(p - q), epsilon=epsilon, delta=delta) <= best_private_test(n, p, q, epsilon, delta) + 1e-7
    )


def gaussian_release_errors(n, p, q, rho):
    """Sum of errors of the best threshold test on the count with Gaussian noise of variance 1 / (2 rho)."""
    from scipy.stats import norm

    k = np.arange(n + 1)
    sigma = math.sqrt(1 / (2 * rho))
    thresholds = np.linspace(-1 - 5 * sigma, n + 1 + 5 * sigma, 800)
    above = norm.sf((thresholds[:, None] - k) / sigma)
    return float((1 - above @ binom.pmf(k, n, max(p, q)) + above @ binom.pmf(k, n, min(p, q))).min())


CHANCE = st.integers(0, 1000).map(lambda k: k / 1000)


@given(st.integers(1, 30), CHANCE, CHANCE, st.floats(1e-3, 2))
def test_a_concentrated_release_does_not_beat_its_bound(n, p, q, rho):
    assert le_cam_bound(n, abs(p - q), rho=rho) <= gaussian_release_errors(n, p, q, rho) + 1e-9


def test_the_bound_is_above_the_simple_forms():
    for n, tv, epsilon in ((10, 0.1, 0.5), (100, 0.01, 1), (100_000, 1e-4, 0.2)):
        bound = le_cam_bound(n, tv, epsilon=epsilon)
        assert bound >= (1 - (1 - math.exp(-epsilon)) * tv) ** n - 1e-12 >= math.exp(-n * epsilon * tv) - 1e-9
    assert le_cam_bound(50, 0.01, rho=0.01) >= 1 - 50 * 0.01 * math.sqrt(0.005)


def test_without_privacy_only_equal_samples_confuse():
    assert le_cam_bound(5, 0.2) == pytest.approx(0.8**5)
    assert le_cam_bound(5, 0.9, epsilon=1, nonprivate=0.7) == 0.7


def test_truncation_of_a_large_sample_changes_nothing_visible():
    exact = le_cam_bound(20_000, 0.01, epsilon=0.02)
    assert le_cam_bound(20_001, 0.01, epsilon=0.02) == pytest.approx(exact, rel=1e-3)
    assert 0 <= le_cam_bound(10**8, 1e-8, epsilon=1) <= 1


def packing(n_laws, tv):
    return tv * (1 - np.eye(n_laws))


def test_fano_falls_with_more_data_and_more_budget():
    values = [fano_bound(n, packing(50, 0.01), loss=2.0, epsilon=0.3) for n in (1, 100, 300, 3000)]
    assert values == sorted(values, reverse=True)
    assert values[0] == pytest.approx(2 * (1 - math.log(2) / math.log(50)), rel=1e-3)
    assert values[-1] == 0
    assert fano_bound(100, packing(50, 0.01), loss=1, rho=1e-3) > fano_bound(100, packing(50, 0.01), loss=1, rho=1)


def test_fano_uses_the_smaller_information():
    kl = packing(50, 1e-9)
    assert fano_bound(10**4, packing(50, 0.5), loss=1, kl=kl, epsilon=5) == fano_bound(
        10**4, packing(50, 0.5), loss=1, kl=kl
    )


def test_fano_holds_for_the_best_decoder_of_randomised_response():
    # N laws that are point masses; one record, one of N answers released under epsilon
    n_laws, epsilon = 8, 1.0
    correct = math.exp(epsilon) / (math.exp(epsilon) + n_laws - 1)
    assert fano_bound(1, packing(n_laws, 1.0), loss=1.0, epsilon=epsilon) <= 1 - correct


def test_assouad_adds_up_over_coordinates():
    assert assouad_bound(10, 0.1, dimension=3, tau=0.5, epsilon=1) == pytest.approx(
        1.5 * le_cam_bound(10, 0.1, epsilon=1)
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda: le_cam_bound(0, 0.1, epsilon=1),
        lambda: le_cam_bound(2.5, 0.1, epsilon=1),
        lambda: le_cam_bound(5, 1.1, epsilon=1),
        lambda: le_cam_bound(5, 0.1, epsilon=-1),
        lambda: le_cam_bound(5, 0.1, epsilon=1, rho=1),
        lambda: le_cam_bound(5, 0.1, rho=1, delta=0.1),
        lambda: le_cam_bound(5, float("nan"), epsilon=1),
        lambda: fano_bound(5, np.eye(2), loss=1, epsilon=1),
        lambda: fano_bound(5, -packing(4, 0.1), loss=1, epsilon=1),
        lambda: fano_bound(5, packing(4, 0.1), loss=1),
        lambda: fano_bound(5, packing(4, 0.1), loss=-1, epsilon=1),
        lambda: assouad_bound(5, 0.1, dimension=0, tau=1, epsilon=1),
    ],
)
def test_wrong_arguments_are_refused(call):
    with pytest.raises(ValueError):
        call()
