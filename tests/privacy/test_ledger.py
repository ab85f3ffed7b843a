"""The ledger: never overspent, by no rounding, no number of processes, no crash; never silently replaced."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ailys.privacy.account import pure_to_rho
from ailys.privacy.budget import PrivacySpent, dp_to_zcdp, zcdp_to_dp
from ailys.privacy.ledger import BudgetExceeded, Ledger, LedgerError
from tests.permissions import PERMISSIONS_BIND, bound_by_permissions


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.ledger"


def test_tenths_add_up_to_exactly_one(path):
    ledger = Ledger(path, epsilon=1)
    for _ in range(10):
        ledger.spend(0.1)
    assert ledger.spent == 1
    assert ledger.remaining == 0
    with pytest.raises(BudgetExceeded):
        ledger.spend("1e-300")


def test_one_tenth_and_two_tenths_fit_into_three_tenths_and_nothing_more(path):
    ledger = Ledger(path, epsilon=0.3)
    ledger.spend(0.1)
    ledger.spend(0.2)
    with pytest.raises(BudgetExceeded):
        ledger.spend(5e-324)


def test_a_subnormal_spend_counts(path):
    ledger = Ledger(path, epsilon=1)
    ledger.spend(5e-324)
    assert ledger.spent == Fraction("5e-324")
    with pytest.raises(BudgetExceeded) as refused:
        ledger.spend(1)
    assert refused.value.remaining == 1.0  # to the nearest double; exactly it is less
    assert ledger.remaining < 1


@given(st.lists(st.integers(1, 400), min_size=1, max_size=12))
@settings(max_examples=12)
def test_the_sum_of_what_was_accepted_never_passes_the_cap_and_nothing_that_fits_is_refused(tmp_path_factory, amounts):
    ledger = Ledger(tmp_path_factory.mktemp("l") / "x", epsilon=1)
    spent = Fraction(0)
    for amount in amounts:
        if spent + Fraction(amount, 1000) <= 1:
            ledger.spend(f"{amount}/1000")
            spent += Fraction(amount, 1000)
        else:
            with pytest.raises(BudgetExceeded):
                ledger.spend(amount / 1000)
    assert ledger.spent == spent


SPENDER = """
import sys
from ailys.privacy.ledger import BudgetExceeded, Ledger
accepted = 0
for _ in range(int(sys.argv[2])):
    try:
        Ledger(sys.argv[1], epsilon=1).spend(0.01)
        accepted += 1
    except BudgetExceeded:
        pass
print(accepted)
"""


@pytest.mark.slow
def test_eight_processes_that_spend_200_hundredths_are_granted_exactly_100(path):
    workers = [
        subprocess.Popen([sys.executable, "-c", SPENDER, str(path), "25"], stdout=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    granted = [int(worker.communicate(timeout=300)[0]) for worker in workers]
    assert sum(granted) == 100
    ledger = Ledger(path)
    assert ledger.spent == 1
    assert len(ledger.history()) == 100


KILLED = """
import os, sys
from ailys.privacy.ledger import Ledger
ledger = Ledger(sys.argv[1], epsilon=100000)
log = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
while True:
    number = ledger.reserve(__import__("ailys.privacy.budget", fromlist=["x"]).PrivacySpent(epsilon=0.1))
    os.write(log, b"r")          # the release runs only after this point
    ledger.mark(number, "released")
"""


@pytest.mark.slow
def test_a_process_killed_at_any_point_refunds_nothing_and_corrupts_nothing(path, tmp_path):
    log = tmp_path / "log"
    seen, delays = 0, [0.007 * k for k in range(25)]
    for delay in delays:
        worker = subprocess.Popen([sys.executable, "-c", KILLED, str(path), str(log)])
        written = log.stat().st_size if log.exists() else 0
        deadline = time.monotonic() + 60
        while delay and time.monotonic() < deadline and (not log.exists() or log.stat().st_size == written):
            time.sleep(0.005)  # until it is at work
        time.sleep(delay)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        if not path.exists():
            continue  # killed before the ledger was made
        released = log.stat().st_size if log.exists() else 0
        rows = Ledger(path).history()
        # at most one spend a kill was written without its release; none was released without being written
        assert len(rows) >= released
        assert len(rows) <= released + len(delays)
        assert len(rows) >= seen
        assert Ledger(path).spent == Fraction(len(rows), 10)
        seen = len(rows)
    assert seen > 0


def test_an_existing_ledger_keeps_its_cap(path):
    Ledger(path, epsilon=1).spend(0.5)
    assert Ledger(path, epsilon=1).spent == Fraction(1, 2)
    with pytest.raises(LedgerError, match="a cap is not changed"):
        Ledger(path, epsilon=2)
    with pytest.raises(LedgerError, match="a cap is not changed"):
        Ledger(path, rho=1)
    assert Ledger(path).cap == 1


def test_a_missing_ledger_is_not_made_without_a_cap(path):
    with pytest.raises(FileNotFoundError, match="no such ledger"):
        Ledger(path)
    assert not path.exists()


@pytest.mark.parametrize("content", [b"", b"name,age\nx,1\n", b"SQLite format 3\0" + bytes(200), bytes(5000)])
def test_a_foreign_file_is_refused_and_left_as_it_was(path, content):
    path.write_bytes(content)
    for arguments in ({}, {"epsilon": 1}):
        with pytest.raises(LedgerError, match="not a ledger"):
            Ledger(path, **arguments)
    assert path.read_bytes() == content
    assert sorted(p.name for p in path.parent.iterdir()) == ["a.ledger"]


def test_a_foreign_database_is_refused(path):
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE spends (x)")
    database.commit()
    database.close()
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="not a ledger"):
        Ledger(path, epsilon=1)
    assert path.read_bytes() == before


def test_a_folder_or_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(LedgerError, match="not a file"):
        Ledger(tmp_path, epsilon=1)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        Ledger(tmp_path / "no" / "x", epsilon=1)


def filled(path: Path) -> bytes:
    ledger = Ledger(path, epsilon=1)
    for k in range(8):
        ledger.spend(0.1, label=f"release {k}")
    return path.read_bytes()


def test_every_cut_of_the_file_is_refused_and_left_as_it_was(path):
    whole = filled(path)
    for size in range(100, len(whole), 997):
        path.write_bytes(whole[:size])
        with pytest.raises(LedgerError):
            Ledger(path)
        assert path.read_bytes() == whole[:size]


def test_a_changed_byte_never_gives_budget_back(path):
    whole = filled(path)
    for position in range(100, len(whole), 61):
        broken = bytearray(whole)
        broken[position] ^= 0x15
        path.write_bytes(bytes(broken))
        with contextlib.suppress(LedgerError):
            assert Ledger(path).spent == Fraction(8, 10)  # unused space of a page, or a status
        for leftover in path.parent.glob("a.ledger-*"):
            leftover.unlink()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE spends SET amount = '1/1000' WHERE number = 3",
        "DELETE FROM spends WHERE number = 3",
        "DELETE FROM spends WHERE number = 8",
        "DELETE FROM spends",
        "UPDATE ledger SET value = '50' WHERE key = 'cap'",
        "UPDATE ledger SET value = '0' WHERE key = 'count'",
        "DELETE FROM ledger WHERE key = 'head'",
        "DROP TABLE spends",
    ],
)
def test_rows_changed_by_hand_are_noticed(path, change):
    filled(path)
    database = sqlite3.connect(path)
    database.execute(change)
    database.commit()
    database.close()
    with pytest.raises(LedgerError, match="damaged or was changed"):
        Ledger(path)


def test_a_ledger_exchanged_behind_an_open_one_is_noticed(path, tmp_path):
    ledger = Ledger(path, epsilon=1)
    ledger.spend(0.9)
    path.unlink()
    Ledger(path, epsilon=1)
    with pytest.raises(LedgerError, match="took the place"):
        ledger.spend(0.5)


def test_losses_under_both_relations_are_counted_for_the_stronger_one(path):
    ledger = Ledger(path, epsilon=1)
    ledger.spend(0.25, neighbours="add_remove")
    assert ledger.spent == Fraction(1, 4)
    ledger.spend(0.25, neighbours="replace")
    assert ledger.spent == Fraction(3, 4)
    with pytest.raises(BudgetExceeded):
        ledger.spend(0.25, neighbours="add_remove")
    ledger.spend(0.125, neighbours="add_remove")
    assert ledger.remaining == 0


def test_a_first_release_for_replace_says_why_it_costs_more_than_it_names(path):
    ledger = Ledger(path, epsilon=1)
    ledger.spend(0.5)
    with pytest.raises(BudgetExceeded, match="count twice") as refused:
        ledger.spend(0.5, neighbours="replace")
    assert refused.value.remaining == 0.5
    assert refused.value.requested == 1.0


def test_rho_ledgers_take_pure_losses_at_their_exact_price(path):
    ledger = Ledger(path, rho=1)
    ledger.spend(0.5)
    ledger.spend(epsilon=1)
    assert float(ledger.spent) == pytest.approx(0.5 + dp_to_zcdp(1, "discrete"))
    assert ledger.spent >= Fraction(1, 2) + Fraction(dp_to_zcdp(1, "discrete"))


@pytest.mark.parametrize("epsilon", ["5e-324", "1e-5", "1/3", "2", "600", "1e6"])
def test_the_price_of_a_pure_loss_is_never_zero_and_never_above_half_the_square(epsilon):
    epsilon = Fraction(epsilon)
    assert 0 < pure_to_rho(epsilon) <= epsilon**2 / 2


def test_epsilon_ledgers_take_concentrated_losses_only_with_a_delta(path, tmp_path):
    with pytest.raises(LedgerError, match="delta"):
        Ledger(path, epsilon=5).spend(rho=0.1)
    ledger = Ledger(tmp_path / "b", epsilon=5, delta=1e-6)
    ledger.spend(1)
    ledger.spend(rho=0.1)
    assert float(ledger.spent) == pytest.approx(1 + zcdp_to_dp(0.1, 1e-6), rel=1e-9)
    with pytest.raises(BudgetExceeded):
        ledger.spend(rho=0.9)


def test_deltas_add_up_under_their_own_cap(path):
    ledger = Ledger(path, epsilon=5, delta=1e-6)
    ledger.spend(epsilon=1, delta=6e-7)
    with pytest.raises(BudgetExceeded, match="delta"):
        ledger.spend(epsilon=1, delta=5e-7)
    with pytest.raises(LedgerError, match="delta"):
        Ledger(path.with_name("pure"), epsilon=5).spend(epsilon=1, delta=1e-30)


def test_a_release_from_a_seeded_generator_is_not_charged_but_refused(path):
    ledger = Ledger(path, epsilon=1)
    with pytest.raises(ValueError, match="unsafe_rng"):
        ledger.reserve(PrivacySpent(epsilon=0.5), secure=False)
    assert ledger.spent == 0


@pytest.mark.parametrize("bad", [0, -0.5, "nan", float("inf"), "a lot"])
def test_amounts_that_are_no_cost_are_refused(path, bad):
    ledger = Ledger(path, epsilon=1)
    with pytest.raises(ValueError):
        ledger.spend(bad)
    with pytest.raises(ValueError):
        Ledger(path.with_name("other"), epsilon=bad)
    assert ledger.spent == 0
    assert not path.with_name("other").exists()


def test_exactly_one_currency(path):
    with pytest.raises(ValueError, match="exactly one"):
        Ledger(path, epsilon=1, rho=1)
    with pytest.raises(ValueError, match="exactly one"):
        Ledger(path, epsilon=1).spend(0.1, rho=0.1)
    with pytest.raises(ValueError, match="cap"):
        Ledger(path.with_name("x"), delta=0.1)


@pytest.mark.skipif(not PERMISSIONS_BIND, reason="permissions do not bind this user")
def test_a_read_only_ledger_is_refused_with_a_sentence(path):
    filled(path)
    path.chmod(0o444)
    with bound_by_permissions(), pytest.raises(LedgerError, match="permissions"):
        Ledger(path).spend(0.1)


def test_the_report_tells_the_history_and_draws_it(path):
    filled(path)
    report = Ledger(path).report()
    assert report.spent == 0.8
    assert report.remaining == 0.2
    assert [row["label"] for row in report.to_dict()["history"]] == [f"release {k}" for k in range(8)]
    assert report.guarantee.level == 1.0
    assert len(report.plot().patches) == 9
    shutil.copy(path, path.with_name("copy"))
    assert Ledger(path.with_name("copy")).spent == Fraction(8, 10)
