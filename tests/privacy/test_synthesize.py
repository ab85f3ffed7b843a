"""Synthetic tables: the dependence that is in the data, none that is not, the budget divided exactly."""

from __future__ import annotations

import importlib
from fractions import Fraction

import numpy as np
import pytest

from ailys.privacy.budget import as_budget
from ailys.privacy.ledger import BudgetExceeded, Ledger
from ailys.privacy.noise import random_source
from ailys.privacy.synthesize import synthesize

module = importlib.import_module("ailys.privacy.synthesize")  # the package has a function of this name
DOMAIN = {"a": [0, 1, 2], "b": [0, 1, 2], "c": ["x", "y"]}


def table(n=4000, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 3, n)
    b = np.where(rng.random(n) < 0.9, a, rng.integers(0, 3, n))
    return {"a": a, "b": b, "c": np.where(rng.random(n) < 0.3, "x", "y")}


@pytest.mark.parametrize("budget", [{"epsilon": 2}, {"rho": 0.1}])
@pytest.mark.parametrize("neighbours", ["add_remove", "replace"])
def test_pairs_that_depend_stay_dependent(budget, neighbours):
    data = table()
    answer = synthesize(data, domain=DOMAIN, neighbours=neighbours, **budget, unsafe_rng=1)
    assert ("a", "b") in answer.tree
    assert len(answer.tree) == 2
    assert abs(answer.n_rows - 4000) < 100
    agree = (answer.columns["a"] == answer.columns["b"]).mean()
    assert agree == pytest.approx((data["a"] == data["b"]).mean(), abs=0.05)
    assert (answer.columns["c"] == "x").mean() == pytest.approx(0.3, abs=0.05)
    assert answer.guarantee.statement.startswith("NOT for release")


def test_the_shares_of_the_budget_add_up_to_it(monkeypatch):
    spent = []
    calibrated, choice = module.IntegerNoise.calibrated, module.exponential_choice

    def watch(budget, *, l1, l2_squared):
        spent.append(("noise", budget.epsilon))
        return calibrated(budget, l1=l1, l2_squared=l2_squared)

    def watched_choice(weights, distances, eta, unsafe_rng):
        spent.append(("choice", Fraction(eta) * 2))
        return choice(weights, distances, eta, unsafe_rng=unsafe_rng)

    monkeypatch.setattr(module.IntegerNoise, "calibrated", watch)
    monkeypatch.setattr(module, "exponential_choice", watched_choice)
    columns = [np.zeros(5, dtype=np.int64)] * 4
    module.measure(columns, [2, 2, 2, 2], as_budget(epsilon=1, neighbours="add_remove"), random_source(0))
    singles, pairs = (amount for kind, amount in spent if kind == "noise")
    choices = [amount for kind, amount in spent if kind == "choice"]
    assert 4 * singles + sum(choices) + 3 * pairs == 1


def test_the_model_fits_exact_counts_exactly():
    data = table()
    a, b = data["a"], data["b"]
    joint = np.bincount(a * 3 + b, minlength=9).reshape(3, 3)
    margins, joints, total = module._fit([joint.sum(1), joint.sum(0)], [(0, 1)], [joint], None)
    assert total == 4000
    np.testing.assert_allclose(margins[0], joint.sum(1) / 4000, atol=1e-6)
    np.testing.assert_allclose(joints[0], joint / 4000, atol=1e-6)
    codes = module._draw(margins, [(0, 1)], joints, 200_000, np.random.default_rng(0))
    np.testing.assert_allclose(
        np.bincount(codes[0] * 3 + codes[1], minlength=9) / 200_000, joint.ravel() / 4000, atol=0.006
    )


def test_values_outside_of_the_domain_become_other_and_frames_are_read():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [7] * 300, "b": [0] * 300, "c": ["x"] * 300, "name": "secret"})
    answer = synthesize(frame, domain=DOMAIN, epsilon=5, n_rows=50)
    assert set(answer.columns) == {"a", "b", "c"}
    assert (answer.columns["a"] == "other").mean() > 0.8
    assert answer.to_frame().shape == (50, 3)
    assert len(answer.to_dict()["records"]) == 50


def test_no_records_answer():
    answer = synthesize({"a": [], "b": [], "c": []}, domain=DOMAIN, epsilon=1)
    assert answer.n_rows < 60


def test_the_ledger_is_charged_once(tmp_path):
    ledger = Ledger(tmp_path / "l", epsilon=1)
    synthesize(table(100), domain=DOMAIN, epsilon=1, ledger=ledger)
    assert ledger.remaining == 0
    with pytest.raises(BudgetExceeded):
        synthesize(None, domain=DOMAIN, epsilon=1, ledger=ledger)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"domain": {"a": [0]}}, "2 to 20"),
        ({"domain": {"a": [0, 0], "b": [1]}}, "different values"),
        ({"domain": {"a": [], "b": [1]}}, "different values"),
        ({"domain": {"a": range(2000), "b": range(2000)}}, "merge"),
        ({"domain": {"a": [0], "zz": [1]}}, "lack a column"),
        ({"degree": 3}, "degree"),
        ({"n_rows": -1}, "n_rows"),
        ({"frame": {"a": [1], "b": [1, 2], "c": [1]}}, "different lengths"),
    ],
)
def test_wrong_requests_are_refused(more, words):
    with pytest.raises(ValueError, match=words):
        synthesize(**{"frame": table(10), "domain": DOMAIN, "epsilon": 1, **more})
