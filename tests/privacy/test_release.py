"""The order of a release: budget, file, reservation, computation; and what an error may say."""

from __future__ import annotations

import traceback
import warnings

import pytest

from ailys.privacy.budget import PrivacySpent
from ailys.privacy.ledger import BudgetExceeded, Ledger
from ailys.privacy.release import ReleaseFailed, private_release

ONE = PrivacySpent(epsilon=1)


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "l", epsilon=1.5)


def release(ledger, run=lambda data, source: data, prepare=lambda: 5, **more):
    return private_release(run, prepare, privacy=ONE, mechanism="test", parameters={"p": 0.5}, ledger=ledger, **more)


def test_a_release_is_reserved_before_it_runs_and_marked_after(ledger):
    seen = []
    assert release(ledger, run=lambda data, source: seen.append(ledger.history()[0]["status"]) or data) == 5
    assert seen == ["reserved"]
    assert ledger.history()[0]["status"] == "released"
    assert ledger.history()[0]["parameters"] == {"p": 0.5}


def test_beyond_the_budget_no_data_are_opened(ledger):
    release(ledger)
    with pytest.raises(BudgetExceeded):
        release(ledger, prepare=lambda: pytest.fail("the data were opened"))


def test_a_wrong_file_costs_nothing(ledger):
    def prepare():
        raise ValueError("no such column")

    with pytest.raises(ValueError, match="no such column"):
        release(ledger, prepare=prepare)
    assert ledger.spent == 0


def test_a_budget_taken_by_another_process_in_between_stops_the_release(ledger):
    with pytest.raises(BudgetExceeded):
        release(ledger, prepare=lambda: ledger.spend(1), run=lambda data, source: pytest.fail("it ran"))


def test_a_failed_mechanism_costs_its_budget_and_says_nothing_of_the_data(ledger):
    def run(data, source):
        warnings.warn("value 4711", stacklevel=1)
        raise KeyError("value 4711")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ReleaseFailed) as fault:
            release(ledger, run=run)
    assert "4711" not in "".join(traceback.format_exception(fault.value))
    assert fault.value.__context__ is None
    assert ledger.spent == 1
    assert ledger.history()[0]["status"] == "failed"


def test_seeded_randomness_and_a_ledger_exclude_each_other(ledger):
    with pytest.raises(ValueError, match="unsafe_rng"):
        release(ledger, unsafe_rng=0, prepare=lambda: pytest.fail("the data were opened"))
    assert release(None, unsafe_rng=0) == 5


def test_a_path_stands_for_its_ledger(ledger):
    assert private_release(
        lambda data, source: data,
        lambda: 1,
        privacy=PrivacySpent(epsilon=0.5),
        mechanism="m",
        parameters={},
        ledger=ledger.path,
    )
    assert ledger.spent == 0.5
