"""`quantiles`, `median`, `plan_quantiles`: hostile input, secrecy of error texts, brackets, guarantees, persons."""

import json
import pickle
import warnings

import numpy as np
import pytest

from ailys.privacy import BudgetExceeded, Ledger, ReleaseFailed, median, plan_quantiles, quantiles
from ailys.privacy.lattice import Lattice
from ailys.privacy.noise import random_source
from ailys.privacy.preprocess import dither, prepare
from ailys.privacy.research import jointexp, rank_error, recexp

DAYS = {"bounds": (0, 365), "resolution": 1}
METHODS = ("auto", "lattice", "indexp", "recexp", "jointexp", "tree", "histogram")


@pytest.mark.parametrize("neighbours", ["replace", "add_remove"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "x", [[], [7.0], [5.0] * 40, [-1e300, 1e300], list(range(100))], ids=["empty", "one", "equal", "far", "range"]
)
def test_every_method_answers_every_column(x, method, neighbours):
    answer = quantiles(x, [0.01, 0.3, 0.5, 0.99], neighbours=neighbours, epsilon=1, method=method, **DAYS)
    assert answer.secure
    assert np.all(np.diff(answer.values) >= 0)
    assert np.all((answer.values >= 0) & (answer.values <= 365) & (answer.values % 1 == 0))
    json.dumps(answer.to_dict(), allow_nan=False)
    assert answer.guarantee.kind == "epsilon-dp"


def test_more_levels_than_records_and_levels_at_multiples_of_one_over_n():
    for method in METHODS:
        p = np.arange(1, 30) / 30
        assert len(quantiles([1.0, 2.0, 3.0], p, neighbours="replace", rho=0.5, method=method, **DAYS).values) == 29


def test_large_budgets_give_the_true_quantiles_on_atoms():
    x = np.repeat([0, 1, 2, 5, 10], [3000, 3000, 2000, 1500, 500])
    p = np.arange(1, 21) / 21
    for method in ("lattice", "recexp", "jointexp", "tree", "histogram"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = quantiles(
                x, p, bounds=(0, 10), resolution=1, neighbours="replace", epsilon=2000, method=method
            ).values
        np.testing.assert_array_equal(values, np.quantile(x, p, method="inverted_cdf"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"p": [0.5, 0.5]}, "increase strictly"),
        ({"p": [0.7, 0.2]}, "increase strictly"),
        ({"p": [0.0, 0.5]}, "between 0 and 1"),
        ({"p": []}, "at least one"),
        ({"p": [float("nan")]}, "quantile level"),
        ({"bounds": (365, 0)}, "increasing"),
        ({"bounds": (0, float("inf"))}, "bound"),
        ({"bounds": 3}, "two numbers"),
        ({"resolution": 0.7}, "nearest bounds that fit are 0 to 364.7 and 0 to 365.4"),
        ({"resolution": 0}, "positive"),
        ({"resolution": "1e-12"}, "coarser"),
        ({"neighbours": "both"}, "neighbours"),
        ({"epsilon": None}, "exactly one"),
        ({"rho": 1}, "exactly one"),
        ({"epsilon": 0}, "above 0"),
        ({"epsilon": float("inf")}, "epsilon"),
        ({"method": "best"}, "method must be one of"),
        ({"contributions": 0}, "contributions"),
        ({"person": ["a"] * 3}, "add_remove"),
        ({"missing": "drop"}, "public under"),
        ({"missing": "value"}, "missing_value"),
        ({"missing": "skip"}, "missing must be one of"),
        ({"confidence": 1.5}, "confidence"),
        ({"neighbours": "add_remove", "confidence": 0.9}, "n_hint"),
        ({"n_hint": -1}, "n_hint"),
        ({"method": "histogram", "resolution": "0.00001"}, "recexp"),
    ],
)
def test_bad_requests_get_a_sentence(change, words):
    options = {"p": [0.5], "bounds": (0, 365), "resolution": 1, "neighbours": "replace", "epsilon": 1, **change}
    with pytest.raises(ValueError, match=words) as caught:
        quantiles([3.0, 4.0, 5.0], **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "x", [["731904"], [731904.5, "a"], [[731904]], [731904, None], [731904, float("nan")], [731904, float("inf")]]
)
def test_error_texts_and_their_causes_hold_no_value_of_the_data(x):
    with pytest.raises((ValueError, TypeError)) as caught:
        quantiles(x, [0.5], neighbours="replace", epsilon=1, **DAYS)
    fault = caught.value
    while fault is not None:
        assert "731904" not in str(fault)
        fault = fault.__cause__ or fault.__context__


def test_nothing_is_charged_for_a_bad_column_and_nothing_read_without_budget(tmp_path):
    ledger = Ledger(tmp_path / "l.db", epsilon=1)
    with pytest.raises(ValueError):
        quantiles([float("nan")], [0.5], neighbours="replace", epsilon=0.5, ledger=ledger, **DAYS)
    quantiles([1, 2], [0.5], neighbours="replace", epsilon=0.75, ledger=ledger, **DAYS)

    class Trap:
        def __array__(self, *a, **k):
            raise AssertionError("the data were touched")

    with pytest.raises(BudgetExceeded):
        quantiles(Trap(), [0.5], neighbours="replace", epsilon=0.5, ledger=ledger, **DAYS)
    with pytest.raises(ValueError, match="cryptographic"):
        quantiles([1, 2], [0.5], neighbours="replace", epsilon=0.1, ledger=ledger, unsafe_rng=0, **DAYS)
    quantiles([1, 2], [0.5], neighbours="replace", epsilon=0.25, ledger=ledger, **DAYS)


def test_a_fault_inside_a_mechanism_says_nothing(monkeypatch, tmp_path):
    import ailys.privacy.quantile as module

    def broken(*args):
        raise ValueError("731904")

    monkeypatch.setattr(module, "run_method", broken)
    with pytest.raises(ReleaseFailed) as caught:
        quantiles([731904], [0.5], neighbours="replace", epsilon=1, ledger=Ledger(tmp_path / "l.db", epsilon=1), **DAYS)
    assert "731904" not in repr(caught.value)
    assert caught.value.__context__ is None


def test_the_number_of_records_is_not_shown_under_add_remove():
    x = np.arange(7319) % 300
    for method in METHODS:
        answer = quantiles(x, [0.2, 0.5], neighbours="add_remove", epsilon=1, method=method, **DAYS)
        text = json.dumps(answer.to_dict()) + answer.summary() + repr(answer)
        assert "7319" not in text
        assert "7 319" not in text


def test_seeded_answers_say_so_and_secure_ones_differ():
    x = np.arange(200)
    a, b = (quantiles(x, [0.5], neighbours="replace", epsilon=0.1, unsafe_rng=3, **DAYS) for _ in range(2))
    assert a.values == b.values
    assert not a.secure
    assert "NOT for release" in a.guarantee.statement
    found = {float(median(x, neighbours="replace", epsilon=0.01, **DAYS).values[0]) for _ in range(20)}
    assert len(found) > 3
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    median(x, neighbours="replace", epsilon=1, **DAYS)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_missing_values_count_as_asked():
    x = [1.0, np.nan, np.inf, 1.0]
    lattice, source = Lattice.of((0, 9), 1), random_source(0)
    kept = prepare(np.array(x), lattice, neighbours="add_remove", missing="drop", source=source)
    filled = prepare(np.array(x), lattice, neighbours="replace", missing="value", missing_value=7, source=source)
    assert kept.tolist() == [1, 1]
    assert filled.tolist() == [1, 7, 7, 1]


def test_each_person_keeps_at_most_her_share_uniformly():
    person, x = np.array(["a"] * 5 + ["b"] + ["c"] * 2), np.arange(8.0)
    lattice, source, seen = Lattice.of((0, 9), 1), random_source(0), np.zeros(8)
    for _ in range(2000):
        kept = prepare(x, lattice, neighbours="add_remove", person=person, contributions=2, source=source)
        assert len(kept) == 5
        seen[kept] += 1
    np.testing.assert_array_equal(seen[5:], 2000)
    np.testing.assert_allclose(seen[:5], 800, atol=130)  # six standard deviations


def test_lattice_rounds_decimals_as_written():
    lattice = Lattice.of(("-0.3", 0.6), 0.1)
    assert lattice.size == 10
    assert lattice.values(np.arange(10)).tolist() == [-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    assert lattice.index(np.array([-9.0, -0.3, 0.14, 0.16, 0.6, 9.0])).tolist() == [0, 0, 4, 5, 9, 9]
    fine = Lattice.of((0, 2**41), 1)
    assert fine.cell_bits == 20
    positions = dither(np.array([0, 2**41]), fine, random_source(0))
    assert (positions >> 20).tolist() == [0, 2**41]
    assert float(Lattice.of((0, 10**9), "0.001").values([10**12])[0]) == 1e9


def test_contributions_cost_their_square_in_rho_and_their_number_in_epsilon():
    from ailys.privacy.budget import as_budget
    from ailys.privacy.rates import Cost, level_rate, root_below

    pure = Cost.of(as_budget(epsilon=1, neighbours="replace", contributions=4))
    zcdp = Cost.of(as_budget(rho=1, neighbours="replace", contributions=4))
    assert float(level_rate(pure, 0.5, 1)) == pytest.approx(1 / 8)
    assert float(zcdp.per_draw(1)) == pytest.approx((8 / 16) ** 0.5)
    assert root_below(zcdp.rho) ** 2 <= zcdp.rho


@pytest.mark.parametrize(("method", "proved"), [("lattice", True), ("jointexp", False)])
def test_brackets_cover_the_population(method, proved):
    """N(0, 1), n = 2000: 100 runs at 95 %; more than 15 misses have probability below 1e-4 at the nominal rate."""
    rng, misses = np.random.default_rng(0), 0
    for _ in range(100):
        answer = quantiles(
            rng.normal(size=2000), [0.5], bounds=(-10, 10), resolution="0.01", neighbours="replace", epsilon=1, method=method,
            confidence=0.95, unsafe_rng=rng,
        )  # fmt: skip
        assert answer.lower[0] <= answer.values[0] <= answer.upper[0]
        assert answer.coverage.startswith("proved") == proved
        misses += not answer.lower[0] <= 0 <= answer.upper[0]
    assert misses <= 15


def test_rank_bound_holds_on_atoms():
    rng, over = np.random.default_rng(0), 0
    for _ in range(200):
        x = rng.choice([0, 0, 0, 1, 7, 300], 150)
        answer = median(x, neighbours="add_remove", epsilon=1, unsafe_rng=rng, **DAYS)
        over += rank_error(x, [0.5], answer.values)[0] > answer.rank_error_bound
    assert over <= 10  # promised: 5 %


def test_plans_recommend_and_warn_without_data():
    plan = plan_quantiles(20, 10_000, bounds=(0, 10), resolution=1, epsilon=1, neighbours="replace", replicates=5)
    assert plan.rule == "histogram"
    assert set(plan.errors) == {"lattice", "indexp", "recexp", "jointexp", "tree", "histogram"}
    assert plan.errors[plan.method].mean() == min(e.mean() for e in plan.errors.values())
    json.dumps(plan.to_dict(), allow_nan=False)
    with pytest.warns(UserWarning, match="next to nothing"):
        plan_quantiles(2, 100, bounds=(0, 365), resolution=1, epsilon="0.0001", neighbours="replace", replicates=5)
    public = plan_quantiles(
        1, 500, bounds=(0, 9), resolution=1, rho=0.1, neighbours="add_remove", reference=[0, 0, 1], replicates=5
    )
    assert public.rule == "lattice"
    for wrong in ({"m": 0}, {"n": -1}, {"reference": "normal"}, {"reference": [np.nan]}, {"p": [0.1, 0.2, 0.3]}):
        with pytest.raises(ValueError):
            plan_quantiles(
                **{"m": 2, "n": 50, "bounds": (0, 9), "resolution": 1, "epsilon": 1, "neighbours": "replace", **wrong}
            )


def test_answers_pickle_and_draw(tmp_path):
    from ailys.core.figures import save_figure

    x = np.random.default_rng(0).integers(0, 50, 500)
    answer = quantiles(x, [0.2, 0.5, 0.8], neighbours="replace", epsilon=1, confidence=0.9, **DAYS)
    again = pickle.loads(pickle.dumps(answer))
    np.testing.assert_array_equal(again.values, answer.values)
    plan = plan_quantiles(3, 500, bounds=(0, 50), resolution=1, epsilon=1, neighbours="replace", replicates=5)
    for name, made in (("q.png", answer), ("p.png", plan)):
        assert save_figure(made.plot().figure, tmp_path / name).stat().st_size > 3000


def test_research_functions_check_their_input():
    for wrong in ({"x": [np.nan]}, {"bounds": (1, 0)}, {"bounds": (0, np.inf)}, {"p": [1.2]}, {"epsilon": -1}):
        with pytest.raises(ValueError):
            jointexp(**{"x": [1, 2], "p": [0.5], "bounds": (0, 9), "epsilon": 1, "neighbours": "replace", **wrong})
    assert recexp([], [0.5], bounds=(0, 1), epsilon=1, neighbours="replace", rng=0).shape == (1,)
