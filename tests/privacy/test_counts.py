"""Counts, sums, means, histograms: the noise is what one person can change needs, the intervals hold, the edges answer."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ailys.privacy.budget import as_budget
from ailys.privacy.counts import count, mean, sum
from ailys.privacy.histograms import histogram
from ailys.privacy.integer_noise import IntegerNoise
from ailys.privacy.ledger import BudgetExceeded, Ledger
from ailys.privacy.readers import Column

X = np.array([0, 1, 2, 3, 50, -7])
SETTINGS = {"bounds": (0, 10), "resolution": 1}


def test_counts_are_unbiased_with_the_variance_of_the_law():
    released = [count(X, neighbours="add_remove", epsilon=1, unsafe_rng=seed).value for seed in range(4000)]
    q = math.exp(-1)
    variance = 2 * q / (1 - q) ** 2
    assert np.mean(released) == pytest.approx(6, abs=5 * math.sqrt(variance / 4000))
    assert np.var(released) == pytest.approx(variance, rel=0.15)


@pytest.mark.parametrize(
    ("arguments", "truth"),
    [
        ({"x": X}, 6),
        ({"x": X > 0}, 4),
        ({"x": X, "between": (1, 3)}, 3),
        ({"x": ["a", "b", "a"], "equal_to": "a"}, 2),
        ({"x": X, "equal_to": 50}, 1),
        ({"x": []}, 0),
    ],
)
def test_what_is_counted(arguments, truth):
    assert abs(count(**arguments, neighbours="add_remove", epsilon=10).value - truth) <= 8  # fails once in 10^38


@given(
    st.lists(st.floats(-50, 50), max_size=30),
    st.sampled_from(["add_remove", "replace"]),
    st.sampled_from([(0, 10), ("-0.3", "1.2"), (2, 5)]),
)
def test_sums_and_means_are_those_of_the_clipped_and_rounded_records(values, neighbours, bounds):
    n = len(values)
    lattice = np.clip(np.array(values), float(bounds[0]), float(bounds[1]))
    error = 0.05 * n + 1e-9
    total = sum(values, bounds=bounds, resolution="0.1", neighbours=neighbours, epsilon=10, unsafe_rng=1)
    reach = 10 if neighbours == "add_remove" else float(bounds[1]) - float(bounds[0])
    assert abs(total.value - lattice.sum()) <= error + 3 * reach
    if n:
        average = mean(values, bounds=bounds, resolution="0.1", neighbours="replace", epsilon=10, unsafe_rng=1)
        assert abs(average.value - lattice.mean()) <= 0.05 + 3 * 10 / n
        assert float(bounds[0]) <= average.lower <= average.value <= average.upper <= float(bounds[1])


@pytest.mark.parametrize("neighbours", ["add_remove", "replace"])
@pytest.mark.parametrize("budget", [{"epsilon": 0.5}, {"rho": 0.1}])
def test_intervals_cover_the_statistic_at_their_level(neighbours, budget):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 11, 300)
    # Wald's sequential test of .9 against .8: a right level is refused with probability 3e-5, .8 passes with probability .03
    passed, refused = math.log(0.03), -math.log(3e-5)
    ratio = np.zeros(4)
    for seed in itertools.count():
        settings = {"neighbours": neighbours, **budget, "confidence": 0.9, "unsafe_rng": seed}
        answers = [count(x > 3, **settings), sum(x, **SETTINGS, **settings), mean(x, **SETTINGS, **settings)]
        truths = ((x > 3).sum(), x.sum(), x.mean())
        held = [a.lower - 1e-9 <= truth <= a.upper + 1e-9 for a, truth in zip(answers, truths, strict=True)]
        cells = histogram(x, **SETTINGS, **settings)
        held.append(np.abs(cells.counts - np.bincount(x, minlength=11)).max() <= cells.half_width)
        ratio += np.where(ratio <= passed, 0, np.where(held, math.log(0.8 / 0.9), math.log(2)))
        assert (ratio < refused).all()
        if (ratio <= passed).all():
            break


@pytest.mark.parametrize(("l1", "epsilon"), [(1, 1), (2, "0.3"), (11, 2), ("7/3", 1)])
def test_the_loss_of_a_shift_by_the_sensitivity_is_exactly_the_budget(l1, epsilon):
    noise = IntegerNoise.calibrated(as_budget(epsilon=epsilon, neighbours="replace"), l1=Fraction(l1), l2_squared=1)
    shift = math.floor(Fraction(l1))
    x = np.arange(-60, 61)
    loss = np.abs(np.abs(x - shift) - np.abs(x)) / float(noise.parameter)
    assert loss.max() <= float(Fraction(epsilon)) * (1 + 1e-12)
    assert loss.max() >= float(Fraction(epsilon)) * float(shift / Fraction(l1)) * (1 - 1e-12)


@pytest.mark.parametrize("law", ["epsilon", "rho"])
@pytest.mark.parametrize("alpha", [0.5, 0.1, 0.01])
def test_half_widths_are_quantiles_of_the_law(law, alpha):
    noise = IntegerNoise.calibrated(as_budget(**{law: 0.1}, neighbours="replace"), l1=1, l2_squared=1)
    x = np.arange(-600, 601)
    p = np.exp(-abs(x) / float(noise.parameter) if law == "epsilon" else -(x**2) / (2 * float(noise.parameter)))
    p /= p.sum()
    width = noise.half_width(alpha)
    assert p[abs(x) > width].sum() <= alpha
    assert p[abs(x) > width - 2].sum() > alpha  # not wider than needed, by more than one
    assert (p * x**2).sum() == pytest.approx(noise.variance, rel=1e-6)


def test_a_person_with_many_records_counts_with_few_of_them():
    person = ["p"] * 1000 + ["q"]
    released = count(np.ones(1001), neighbours="add_remove", epsilon=10, contributions=2, person=person)
    assert abs(released.value - 3) <= 20
    with pytest.raises(ValueError, match="one entry for each"):
        count(np.ones(3), neighbours="add_remove", epsilon=1, person=["p"])
    with pytest.raises(ValueError, match="add_remove"):
        count(np.ones(3), neighbours="replace", epsilon=1, person=["p"] * 3)


def test_contributions_scale_the_noise():
    one, three = (
        sum(X, **SETTINGS, neighbours="replace", epsilon=1, contributions=c, unsafe_rng=0).noise_sd for c in (1, 3)
    )
    assert three == pytest.approx(3 * one, rel=1e-2)
    one, three = (
        sum(X, **SETTINGS, neighbours="replace", rho=1, contributions=c, unsafe_rng=0).noise_sd for c in (1, 3)
    )
    assert three == pytest.approx(3 * one)


def test_no_records_and_enormous_lattices_get_answers():
    assert 0 <= mean([], **SETTINGS, neighbours="add_remove", epsilon=1).value <= 10
    assert len(histogram([], **SETTINGS, neighbours="add_remove", epsilon=1).counts) == 11
    big = sum(np.full(5, 4e9), bounds=(0, 4 * 10**9), resolution="0.001", neighbours="replace", epsilon=1)
    assert abs(big.value - 2e10) < 1e12


def test_histograms_of_bins_put_the_outside_into_the_ends():
    cells = histogram(
        [-5, 0, 0.9, 1, 2.5, 99], bounds=(0, 3), bins=3, neighbours="add_remove", epsilon=10, unsafe_rng=0
    )
    np.testing.assert_allclose(cells.counts, [3, 1, 2], atol=3)
    np.testing.assert_allclose(cells.edges, [0, 1, 2, 3])
    assert len(cells.plot().patches) == 3
    dropped = histogram([np.nan] * 50, bounds=(0, 3), bins=3, neighbours="add_remove", epsilon=10, missing="drop")
    assert abs(dropped.counts).max() < 10
    placed = histogram(
        [np.nan] * 50, bounds=(0, 3), bins=3, neighbours="replace", epsilon=10, missing="value", missing_value=2.2
    )
    assert placed.counts[2] > 40


def test_unknown_categories_count_as_other():
    cells = histogram(["a", "b", "z", None], categories=["a", "b"], neighbours="replace", epsilon=10, unsafe_rng=0)
    np.testing.assert_allclose(cells.counts, [1, 1, 2], atol=4)
    assert cells.to_dict()["cells"] == ["a", "b", "other"]
    assert cells.plot().get_xticks().size == 3


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: histogram(X, neighbours="replace", epsilon=1), "needs categories, or bounds"),
        (lambda: histogram(X, bounds=(0, 1), neighbours="replace", epsilon=1), "exactly one of resolution and bins"),
        (lambda: histogram(X, bounds=(3, 1), bins=2, neighbours="replace", epsilon=1), "increasing"),
        (lambda: histogram(X, bounds=5, bins=2, neighbours="replace", epsilon=1), "two numbers"),
        (lambda: histogram(X, bounds=(0, 1), bins=0, neighbours="replace", epsilon=1), "bins must be"),
        (lambda: histogram(X, categories=["a", "a"], neighbours="replace", epsilon=1), "different texts"),
        (lambda: histogram(X, categories=["a"], bins=2, neighbours="replace", epsilon=1), "leave out"),
        (lambda: sum(X, bounds=(0, 1), resolution=0.3, neighbours="replace", epsilon=1), "nearest bounds"),
        (lambda: sum([1, np.nan], **SETTINGS, neighbours="replace", epsilon=1), "missing"),
        (lambda: sum([1, np.nan], **SETTINGS, neighbours="replace", epsilon=1, missing="drop"), "number of records"),
        (lambda: mean(X, **SETTINGS, neighbours="both", epsilon=1), "neighbours must be"),
        (lambda: mean(X, **SETTINGS, neighbours="replace"), "exactly one of epsilon"),
        (lambda: count(X, neighbours="replace", epsilon=1, between=(2, 1)), "increasing order"),
        (lambda: count(X, neighbours="replace", epsilon=1, between=(1, 2), equal_to=1), "at most one"),
        (lambda: count(X, neighbours="replace", epsilon=1, confidence=1), "confidence"),
    ],
)
def test_requests_that_make_no_sense_are_refused_with_a_sentence(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_a_release_from_a_file_is_charged_and_beyond_the_budget_the_file_is_not_opened(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("los,city\n1,Lyon\n2,Lyon\n3,Paris\n")
    ledger = Ledger(tmp_path / "l", epsilon=1)
    released = count(
        Column(path, "city"), neighbours="add_remove", epsilon=0.75, equal_to="Lyon", ledger=ledger, label="lyonnais"
    )
    assert released.secure
    assert ledger.spent == Fraction(3, 4)
    assert ledger.history()[0]["label"] == "lyonnais"
    with pytest.raises(BudgetExceeded):
        mean(Column(tmp_path / "missing.csv", "x"), **SETTINGS, neighbours="replace", epsilon=0.75, ledger=ledger)
    with pytest.raises(ValueError, match="missing"):
        sum([np.nan], **SETTINGS, neighbours="add_remove", epsilon=0.25, ledger=ledger)
    assert ledger.spent == Fraction(3, 4)


def test_seeded_releases_say_so_and_are_refused_by_a_ledger(tmp_path):
    assert not count(X, neighbours="add_remove", epsilon=1, unsafe_rng=0).secure
    with pytest.raises(ValueError, match="unsafe_rng"):
        count(X, neighbours="add_remove", epsilon=1, unsafe_rng=0, ledger=Ledger(tmp_path / "l", epsilon=1))
