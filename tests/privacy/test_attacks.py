"""Attacks that once succeeded: each test failed before its remedy."""

import itertools
import json
import os
import shutil
import signal
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from multiprocessing import get_context

import numpy as np
import pytest

from ailys.privacy import (
    BudgetExceeded,
    Column,
    Ledger,
    PrivacySpent,
    compose,
    count,
    density,
    histogram,
    plan_quantiles,
    price_of_privacy,
    quantiles,
    synthesize,
    zcdp_to_dp,
)
from ailys.privacy.brackets import lattice_slack
from ailys.privacy.budget import as_budget
from ailys.privacy.joint import JointTables
from ailys.privacy.lattice import Lattice
from ailys.privacy.noise import random_source
from ailys.privacy.rates import Cost
from ailys.privacy.single import rank_bound

SECRET = "4711 Mustermann"


@pytest.mark.parametrize("rate", [255.5, 256, 256.3, 511.9, 768.2])
def test_joint_draws_keep_both_ends_where_mantissas_change_their_range(rate):
    """Both factors of the last weight leave the range of a mantissa at once: the farther end lost all of its probability."""
    n, p = 1000, Fraction(1, 2) - Fraction(1, 5000)
    edges = np.concatenate([[0.0], np.full(n, 1.0), [2.0]])
    eta = Fraction(rate) * Fraction(6931471805599453, 10**16) / 500
    tables = JointTables(edges, [p], eta)
    source = random_source(1)
    far = np.mean([tables.draw(source)[0] == n for _ in range(2000)])
    odds = np.exp(-float(eta) * float((1 - p) * n - p * n) * 1.0)
    odds = odds**2  # the rank counts in the gap before and in the gap after
    assert far == pytest.approx(odds / (1 + odds), abs=0.06)


@pytest.mark.parametrize("seed", range(3))
def test_joint_weights_at_the_border_of_mantissas_follow_the_definition(seed):
    rng = np.random.default_rng(seed)
    for _ in range(40):
        n = int(rng.integers(1, 9))
        edges = np.concatenate([[0.0], np.full(n, 1.0), [float(rng.choice([1.5, 2, 3]))]])
        p = Fraction(int(rng.integers(1, 97)), 97)
        eta = (
            Fraction(256 * int(rng.integers(1, 5)))
            * Fraction(6931, 10**4)
            / n
            * Fraction(int(rng.integers(95, 106)), 100)
        )
        tables = JointTables(edges, [p], eta)
        if not tables.complete:
            continue
        mantissas, exponents = tables._final
        rank = np.array([0, n])
        log2 = [np.log2(mantissas[i]) + 512.0 * exponents[i] for i in rank]
        exact = [
            np.log2(float(edges[i + 1] - edges[i])) - 2 * float(eta * abs(Fraction(int(i)) - p * n)) * np.log2(np.e)
            for i in rank
        ]
        assert log2 == pytest.approx(exact, rel=1e-9, abs=1e-9)
        assert np.all((mantissas[rank] >= 2.0**-256) & (mantissas[rank] < 2.0**256))


class Talkative:
    """A record that shows itself whatever is done with it."""

    def _tell(self):
        raise RuntimeError(SECRET)

    __str__ = __repr__ = __float__ = lambda self: self._tell()


RAGGED = [[1, 2], *[3] * 776]
HOSTILE = [np.ma.array([SECRET, "b"]), np.ma.array([SECRET, 2.0], dtype=object), RAGGED, [Talkative()]]
RELEASES = {
    "quantiles": lambda x: quantiles(x, [0.5], bounds=(0, 9), resolution=1, neighbours="add_remove", epsilon=1),
    "person": lambda x: quantiles(
        np.zeros(len(x)), [0.5], bounds=(0, 9), resolution=1, neighbours="add_remove", epsilon=1, person=x
    ),
    "count": lambda x: count(x, neighbours="add_remove", epsilon=1, equal_to=1),
    "count all": lambda x: count(x, neighbours="add_remove", epsilon=1),
    "histogram": lambda x: histogram(x, categories=["a"], neighbours="add_remove", epsilon=1),
    "density": lambda x: density(x, bounds=(0, 1), neighbours="replace", epsilon=1),
    "synthesize": lambda x: synthesize({"a": x, "b": x}, domain={"a": ["1"], "b": ["x"]}, epsilon=1),
}


@pytest.mark.parametrize(("name", "k"), list(itertools.product(RELEASES, range(len(HOSTILE)))))
def test_no_error_repeats_a_record_or_their_number(name, k):
    try:
        RELEASES[name](HOSTILE[k])
    except (ValueError, TypeError) as fault:
        seen = f"{fault} {fault.__context__}"
        assert SECRET not in seen
        assert "777" not in seen


def _spend(path):
    accepted = 0
    for _ in range(20):
        try:
            Ledger(path).spend("0.01")
            accepted += 1
        except BudgetExceeded:
            pass
    return accepted


def test_two_names_of_one_ledger_share_its_budget(tmp_path):
    Ledger(tmp_path / "a", epsilon="0.5")
    os.link(tmp_path / "a", tmp_path / "b")
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        accepted = list(pool.map(_spend, [tmp_path / name for name in "abab"]))
    assert sum(accepted) == 50
    assert Ledger(tmp_path / "a").spent == Ledger(tmp_path / "b").spent == Fraction(1, 2)


def test_a_copy_after_a_crash_holds_every_spend(tmp_path):
    """The process dies with its connection open; nothing beside the file may hold a spend."""
    path = tmp_path / "ledger"
    Ledger(path, epsilon=1)
    child = os.fork()
    if child == 0:
        book = Ledger(path)
        with book._transaction() as held:
            held.execute("ROLLBACK")
            book.reserve(PrivacySpent(epsilon=0.5))
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert [file.name for file in tmp_path.iterdir()] == ["ledger"]
    shutil.copy(path, tmp_path / "copy")
    assert Ledger(tmp_path / "copy").spent == Fraction(1, 2)


def test_a_delta_that_was_spent_is_not_forgotten():
    with pytest.raises(ValueError, match="leaves nothing"):
        PrivacySpent(epsilon=1, delta=1e-3).to_epsilon(1e-6)
    with pytest.raises(ValueError, match="leaves nothing"):
        PrivacySpent(rho=1, delta=1e-3).to_epsilon(1e-3)
    assert PrivacySpent(epsilon=1, delta=1e-3).to_epsilon(1e-2) == 1


def test_a_sum_promises_nothing_to_persons_that_a_part_did_not_cover():
    total = compose(PrivacySpent(epsilon=1, contributions=1), PrivacySpent(epsilon=1, contributions=3))
    assert (total.epsilon, total.contributions) == (2, 1)


@pytest.mark.parametrize("rho", [5e-324, 1e-300, 1e-250, 1e250, 1e300])
def test_conversion_at_the_ends_of_the_doubles(rho):
    epsilon = zcdp_to_dp(rho, 1e-6)
    assert epsilon >= (rho if rho > 1 else 0)  # a distance below delta costs nothing


@pytest.mark.parametrize("amount", ["1e-31", "1e-390", "1e16", "1e300"])
def test_extreme_budgets_are_refused_before_they_are_spent(amount, tmp_path):
    book = Ledger(tmp_path / "ledger", epsilon="1e305")
    with pytest.warns() if float(amount) > 10 else Calm(), pytest.raises(ValueError, match="between 1e-30 and 1e15"):
        count([1.0], neighbours="add_remove", epsilon=amount, ledger=book)
    assert book.spent == 0


class Calm:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False


@pytest.mark.parametrize(("bounds", "unit"), [((10**20, 10**20 + 100), 1), ((0, "1e-390"), "1e-392"), ((0, "1e395"), "1e394")])  # fmt: skip
def test_lattices_that_doubles_cannot_hold_are_refused(bounds, unit):
    with pytest.raises(ValueError, match="tell the values"):
        Lattice.of(bounds, unit)


def test_brackets_allow_for_the_values_being_sorted():
    """A bracket may be the draw of another level: all draws together have to keep the bound."""
    lattice, cost = Lattice.of((0, 100), 1), Cost.of(as_budget(epsilon=1, neighbours="replace"))
    levels = (Fraction(1, 4), Fraction(1, 2))
    slack = lattice_slack(lattice, levels, cost, 0.05)
    assert slack >= rank_bound(lattice.size, cost.per_draw(6) / 2, 0.05 / 24)


def test_brackets_under_add_remove_say_what_they_assume():
    answer = quantiles(
        range(50), [0.5], bounds=(0, 100), resolution=1, neighbours="add_remove", epsilon=1, confidence=0.9, n_hint=40,
        unsafe_rng=0,
    )  # fmt: skip
    assert "n_hint is not above" in answer.coverage


def test_a_category_with_a_space_is_counted():
    cells = histogram([" a", "a "] * 500, categories=[" a "], neighbours="add_remove", epsilon=5)
    assert cells.counts[0] > 900


def test_ledger_says_for_which_neighbours_its_sum_holds(tmp_path):
    book = Ledger(tmp_path / "ledger", epsilon=1)
    book.spend("0.1", neighbours="replace")
    assert "'replace'" in book.report().guarantee.statement


def test_a_file_that_links_to_itself_gets_a_sentence(tmp_path):
    (tmp_path / "d.csv").symlink_to("d.csv")
    with pytest.raises(FileNotFoundError):
        count(Column(tmp_path / "d.csv", "v"), neighbours="add_remove", epsilon=1)


@pytest.mark.parametrize("epsilon", [1e-320, 1e300])
def test_prices_at_the_ends_of_the_doubles_are_refused(epsilon):
    with pytest.raises(ValueError, match="between 1e-30"):
        price_of_privacy("bernoulli", 50, [epsilon])


def test_plans_too_large_to_simulate_are_refused():
    for m, n in ((10**40, 30), (3, 10**40)):
        with pytest.raises(ValueError, match="must be a number of"):
            plan_quantiles(m, n, bounds=(0, 9), resolution=1, neighbours="replace", epsilon=1)


def test_the_verb_median(ailys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.csv").write_text("v\n" + "5\n" * 200)
    line = ["median", "d.csv", "--column", "v", "--bounds", "0", "10", "--resolution", "1"]
    line += ["--neighbours", "replace", "--epsilon", "2", "--json"]
    code, out, _ = ailys("privacy", *line)
    assert code == 0
    assert json.loads(out)["values"] == [5.0]


def test_a_plan_refuses_the_budgets_that_no_release_could_have():
    with pytest.warns(UserWarning, match="hardly anybody"), pytest.raises(ValueError, match=r"between 1e-30 and 1e15"):
        plan_quantiles(2, 30, bounds=(0, 30), resolution=1, neighbours="add_remove", epsilon=10**30)
