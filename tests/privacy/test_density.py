"""Densities: published risks and sensitivities, risks by simulation, proper answers."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from ailys.privacy.budget import as_budget
from ailys.privacy.density import (
    _coefficient_noise,
    density,
    histogram_risk,
    projection_risk,
    projection_sensitivity,
)


@pytest.mark.parametrize(
    ("n", "epsilon", "k", "risk"),
    [
        (10**4, 0.01, 3, 0.01676),
        (10**4, 0.1, 9, 0.002577),
        (10**4, 1, 12, 0.001790),
        (10**6, 0.01, 30, 1.946e-4),
        (10**6, 1, 55, 8.257e-5),
    ],
)
def test_the_best_number_of_bins_and_its_risk_are_the_published_ones(n, epsilon, k, risk):
    risks = [histogram_risk(m, n, 8 / epsilon**2) for m in range(1, 200)]
    assert int(np.argmin(risks)) + 1 == k
    assert min(risks) == pytest.approx(risk, rel=1e-3)


def test_the_chosen_number_of_bins_is_the_best_one():
    x = np.zeros(10**4)
    assert density(x, bounds=(0, 1), neighbours="replace", epsilon=1, unsafe_rng=0).parameters == 12
    assert density(x, bounds=(0, 1), neighbours="replace", epsilon="0.1", unsafe_rng=0).parameters == 9


@pytest.mark.parametrize(
    ("N", "value"), [(2, 2.828427), (4, 3.535534), (10, 5.187974), (50, 11.143901), (200, 22.120922)]
)
def test_the_sensitivity_of_coefficients_is_the_published_one_and_the_largest_distance(N, value):
    assert projection_sensitivity(N) == pytest.approx(value, abs=2e-6)
    u = np.linspace(0, 1, 20_001)
    harmonics = np.arange(1, N // 2 + 1)
    distance = np.sqrt(2 * N - 4 * np.cos(2 * np.pi * np.outer(u, harmonics)).sum(axis=1))
    assert distance.max() <= projection_sensitivity(N) * (1 + 1e-9)


@pytest.mark.parametrize("neighbours", ["replace", "add_remove"])
@pytest.mark.parametrize("N", [2, 8, 30])
def test_rounded_coefficients_of_any_two_records_stay_within_the_sensitivity(neighbours, N):
    u = np.linspace(0, 1, 701)
    waves = 2 * np.pi * np.outer(u, np.arange(1, N // 2 + 1))
    records = np.rint(math.sqrt(2) * np.concatenate([np.cos(waves), np.sin(waves)], axis=1) * 2**30)
    if neighbours == "replace":
        l1 = max(np.abs(records - r).sum(axis=1).max() for r in records[::7])
        l2 = max(np.square(records - r).sum(axis=1).max() for r in records[::7])
    else:
        l1, l2 = np.abs(records).sum(axis=1).max(), np.square(records).sum(axis=1).max()
    assert l1 <= float(_coefficient_noise(N, as_budget(epsilon=1, neighbours=neighbours)).parameter)
    assert l2 <= 2 * float(_coefficient_noise(N, as_budget(rho=1, neighbours=neighbours)).parameter)


def simulated_risk(method, k, runs, draw, truth, rng, **budget):
    v = (np.arange(4096) + 0.5) / 4096
    f = truth(v)
    risks = []
    for _ in range(runs):
        answer = density(
            draw(rng),
            bounds=(0, 1),
            neighbours="replace",
            method=method,
            parameters=k,
            proper=False,
            unsafe_rng=rng,
            **budget,
        )
        risks.append(np.mean((answer.pdf(v) - f) ** 2))
    return float(np.mean(risks))


def test_the_risk_of_a_histogram_is_that_of_the_formula():
    rng, n, k = np.random.default_rng(0), 2000, 10
    truth = lambda v: 0.5 + v  # noqa: E731
    draw = lambda g: (-1 + np.sqrt(1 + 8 * g.random(n))) / 2  # noqa: E731
    p = 0.5 / k + (np.arange(k) + 0.5) / k**2
    q = math.exp(-1 / 2)
    exact = histogram_risk(k, n, 2 * q / (1 - q) ** 2, collisions=float((p**2).sum()), bias2=1 / (12 * k**2))
    assert simulated_risk("histogram", k, 300, draw, truth, rng, epsilon=1) == pytest.approx(exact, rel=0.05)


def test_the_risk_of_a_projection_is_that_of_the_formula():
    rng, n, N = np.random.default_rng(1), 2000, 6
    truth = lambda v: 1 + 0.5 * math.sqrt(2) * np.cos(2 * np.pi * v)  # noqa: E731
    grid = np.linspace(0, 1, 4001)
    cdf = grid + 0.5 * math.sqrt(2) * np.sin(2 * np.pi * grid) / (2 * np.pi)
    draw = lambda g: np.interp(g.random(n), cdf, grid)  # noqa: E731
    noise = _coefficient_noise(N, as_budget(rho=0.05, neighbours="replace"))
    variance = noise.variance / (n * 2.0**30) ** 2
    assert variance == pytest.approx(projection_sensitivity(N) ** 2 / (2 * 0.05 * n**2), rel=1e-6)
    exact = projection_risk(N, n, variance, energy=0.25, tail=0.0)
    assert simulated_risk("projection", N, 300, draw, truth, rng, rho=0.05) == pytest.approx(exact, rel=0.05)


@pytest.mark.parametrize("method", ["histogram", "projection"])
def test_a_proper_density_is_one(method):
    x = np.random.default_rng(2).beta(2, 5, 3000) * 10 - 3
    f = density(x, bounds=(-3, 7), neighbours="add_remove", n=3000, rho=0.01, method=method, unsafe_rng=0)
    assert f.heights.min() >= 0
    assert f.cdf(7) == pytest.approx(1)
    assert f.cdf(-3) == 0
    assert f.pdf(8) == 0
    levels = np.linspace(0.05, 0.95, 7)
    np.testing.assert_allclose(f.cdf(f.ppf(levels)), levels, atol=1e-9)
    assert abs(f.rvs(4000, rng=0).mean() - x.mean()) < 0.5
    assert f.plot().get_xlim() == (-3, 7)
    assert f.to_dict()["guarantee"]["kind"] == "zcdp"


def test_constant_columns_and_values_outside_answer():
    f = density(np.full(500, 99.0), bounds=(0, 1), neighbours="replace", epsilon=5, unsafe_rng=0)
    assert f.cdf(0.5) < 0.2
    g = density([], bounds=(0, 1), neighbours="add_remove", epsilon=1, n=100, unsafe_rng=0)
    assert g.cdf(1) == pytest.approx(1)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"bounds": (1, 0)}, "increasing"),
        ({"bounds": 3}, "two numbers"),
        ({"method": "kernel"}, "method must be"),
        ({"smoothness": -1}, "smoothness"),
        ({"smoothness": 0.4, "method": "projection"}, "smoothness"),
        ({"neighbours": "add_remove"}, "public n"),
        ({"parameters": 3, "method": "projection"}, "even"),
        ({"parameters": 0}, "at least 1"),
        ({"n": 0}, "at least 1"),
        ({"x": [np.nan]}, "missing"),
        ({"x": []}, "no records"),
    ],
)
def test_wrong_requests_are_refused(more, words):
    with pytest.raises(ValueError, match=words):
        density(**{"x": [0.5], "bounds": (0, 1), "neighbours": "replace", "epsilon": 1, **more})


def test_improper_densities_have_no_quantiles():
    f = density([0.5] * 100, bounds=(0, 1), neighbours="replace", epsilon=Fraction(1, 2), proper=False, unsafe_rng=1)
    with pytest.raises(ValueError, match="proper=True"):
        f.ppf(0.5)
