"""The verbs as a data steward types them, on good files and on wrong ones; exit codes; nothing of the data in an error."""

import json
import re
from functools import partial

import numpy as np
import pytest

from ailys.privacy import Ledger

SECRET = "Zaphod4242"
COMMON = ("--bounds", "0", "365", "--resolution", "1", "--neighbours", "add_remove")


@pytest.fixture
def run(ailys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    days = np.random.default_rng(0).geometric(0.15, 400)
    (tmp_path / "d.csv").write_text(
        "id,los_days,city\n" + "".join(f"p{i % 200},{d},Lyon\n" for i, d in enumerate(days))
    )
    (tmp_path / "holes.csv").write_text("los_days\n1\n\nNA\n")
    (tmp_path / "text.csv").write_text(f"los_days\n1\n{SECRET}\n")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "mechanisms.py").write_text(
        "import numpy as np\nrng = np.random.default_rng(0)\n"
        "def good(data, n):\n    return np.sum(data) + rng.laplace(scale=1, size=n)\n"
        "def bad(data, n):\n    return np.sum(data) + rng.laplace(scale=0.5, size=n)\n"
        "def broken(data, n):\n    raise KeyError('x')\n"
        "def warned(data, n):\n    import warnings\n    warnings.warn('of a library', RuntimeWarning)\n"
        "    warnings.warn('for the user')\n    return good(data, n)\n"
    )

    return partial(ailys, "privacy")


def test_a_budget_is_made_spent_and_refused(run, tmp_path):
    assert run("init", "L", "--epsilon", "3")[0] == 0
    code, out, _ = run("quantiles", "d.csv", "--column", "los_days", *COMMON, "--epsilon", "1", "-q", ".25", "-q", ".5",
                       "--ledger", "L", "--label", "stays", "--plot", "q.png", "--json")  # fmt: skip
    report = json.loads(out)
    assert code == 0
    assert report["values"] == sorted(report["values"])
    assert (tmp_path / "q.png").read_bytes().startswith(b"\x89PNG")
    code, out, err = run(
        "quantiles", "no-such-file.csv", "--column", "x", *COMMON, "--epsilon", "2.1", "-q", ".5", "--ledger", "L"
    )
    assert (code, out) == (3, "")
    assert "2 is left" in err
    code, out, _ = run("ledger", "show", "L", "--json")
    assert [row["label"] for row in json.loads(out)["history"]] == ["stays"]
    assert run("ledger", "charge", "L", "--label", "training", "--neighbours", "add_remove", "--epsilon", "2")[0] == 0
    assert Ledger("L").remaining == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("count", "d.csv", "--column", "city", "--equal-to", "Lyon", "--neighbours", "replace", "--epsilon", "1"),
        ("count", "d.csv", "--column", "los_days", "--between", "0", "3", "--neighbours", "replace", "--rho", ".1"),
        ("sum", "d.csv", "--column", "los_days", *COMMON, "--epsilon", "1"),
        ("mean", "d.csv", "--column", "los_days", *COMMON, "--epsilon", "1", "--person", "id", "--contributions", "2"),
        ("histogram", "d.csv", "--column", "los_days", *COMMON[:3], "--bins", "5", *COMMON[5:], "--epsilon", "1"),
        ("histogram", "d.csv", "--column", "city", "--category", "Lyon", "--neighbours", "replace", "--epsilon", "1"),
        (
            "density",
            "d.csv",
            "--column",
            "los_days",
            *COMMON[:3],
            "--neighbours",
            "replace",
            "--rho",
            ".1",
            "--plot",
            "f.svg",
        ),
        ("mean", "holes.csv", "--column", "los_days", *COMMON, "--epsilon", "1", "--missing", "drop"),
        ("price", "bernoulli", "--n", "100", "--epsilon", ".1", "--epsilon", "1"),
        (
            "plan",
            "--m",
            "3",
            "--n",
            "500",
            "--bounds",
            "0",
            "365",
            "--resolution",
            "1",
            "--epsilon",
            "1",
            "--neighbours",
            "replace",
        ),
    ],
)
def test_every_verb_answers_people_and_machines(run, arguments):
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    assert "guarantee" in out
    code, out, _ = run(*arguments, "--json", *(["--force"] if "--plot" in arguments else []))
    assert code == 0
    assert "guarantee" in json.loads(out)


def test_parquet_is_read(run, tmp_path):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"los_days": [1, 2, 3], "s": ["a", "b", SECRET]}), tmp_path / "d.parquet")
    assert run("mean", "d.parquet", "--column", "los_days", *COMMON, "--epsilon", "1")[0] == 0
    code, _, err = run("mean", "d.parquet", "--column", "s", *COMMON, "--epsilon", "1")
    assert code == 2
    assert SECRET not in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("mean", "d.csv", "--column", "nothing", *COMMON, "--epsilon", "1"), "no column"),
        (("mean", "d.csv", "--column", "city", *COMMON, "--epsilon", "1"), "not a number"),
        (("mean", "text.csv", "--column", "los_days", *COMMON, "--epsilon", "1"), "not a number"),
        (("mean", "holes.csv", "--column", "los_days", *COMMON, "--epsilon", "1"), "missing"),
        (("mean", "empty.csv", "--column", "los_days", *COMMON, "--epsilon", "1"), "is empty"),
        (("mean", "none.csv", "--column", "los_days", *COMMON, "--epsilon", "1"), "no such file"),
        (("mean", "d.csv", "--column", "los_days", "--bounds", "9", "0", *COMMON[3:], "--epsilon", "1"), "increasing"),
        (("mean", "d.csv", "--column", "los_days", *COMMON), "exactly one of epsilon"),
        (("mean", "d.csv", "--column", "los_days", *COMMON, "--epsilon", "much"), "finite number"),
        (("mean", "d.csv", "--column", "los_days", *COMMON, "--epsilon", "1", "--ledger", "d.csv"), "not a ledger"),
        (("mean", "d.csv", "--column", "los_days", *COMMON, "--epsilon", "1", "--ledger", "none"), "no such ledger"),
        (("quantiles", "d.csv", "--column", "los_days", *COMMON, "--epsilon", "1", "-q", "2"), ""),
        (("histogram", "d.csv", "--column", "los_days", *COMMON[:3], "--bins", "4", *COMMON[5:], "--epsilon", "1", "--plot", "x.doc"),
         "cannot draw"),
        (("init", "d.csv", "--epsilon", "1"), "exists already"),
        (("init", "new"), "--epsilon or --rho"),
        (("ledger", "show", "d.csv"), "not a ledger"),
        (("price", "poker"), "problem must be"),
        (("audit", "mechanisms:good", "--claimed-epsilon", "1"), "--worst"),
        (("audit", "nothing:good", "--claimed-epsilon", "1", "--worst", "sum"), "cannot import"),
        (("audit", "mechanisms:broken", "--claimed-epsilon", "1", "--worst", "sum"), "failed"),
        (("audit", "mechanisms:none", "--claimed-epsilon", "1", "--worst", "sum"), "no function"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence_and_exit_code_2_and_costs_nothing(run, tmp_path, arguments, words):
    ledger = Ledger(tmp_path / "L", epsilon=5)
    if "--ledger" not in arguments and arguments[0] in ("mean", "quantiles", "histogram"):
        arguments = (*arguments, "--ledger", "L")
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert len(err.strip().splitlines()) == 1
    assert words in err
    assert SECRET not in err
    assert "Traceback" not in err
    assert ledger.spent == 0


def test_a_dry_run_reads_no_data_and_spends_nothing(run, tmp_path):
    ledger = Ledger(tmp_path / "L", epsilon=1)
    for verb, more in (("mean", COMMON), ("quantiles", (*COMMON, "-q", ".5")), ("density", (*COMMON[:3], *COMMON[5:])),
                       ("count", COMMON[5:]), ("histogram", COMMON[5:])):  # fmt: skip
        code, out, _ = run(
            verb, "no-such-file.csv", "--column", "x", *more, "--epsilon", ".5", "--ledger", "L", "--dry-run", "--json"
        )
        assert code == 0
        assert json.loads(out)["remaining_before"] == 1.0
        assert (
            run(verb, "no-such-file.csv", "--column", "x", *more, "--epsilon", "1.5", "--ledger", "L", "--dry-run")[0]
            == 3
        )
    assert ledger.spent == 0


def test_an_audit_ends_with_exit_code_1_when_it_catches_a_leak(run, tmp_path):
    arguments = ("--claimed-epsilon", "1", "--data", "1,1", "--neighbour", "1,0", "--samples", "20000")
    assert run("audit", "mechanisms:good", *arguments)[0] == 0
    code, out, _ = run("audit", "mechanisms:bad", *arguments, "--plot", "a.png", "--json")
    assert code == 1
    assert json.loads(out)["verdict"] == "violation"
    assert json.loads(out)["drawn"] == "a.png"
    assert (tmp_path / "a.png").exists()


def test_of_the_warnings_only_those_for_the_user_are_shown(run):
    arguments = ("--claimed-epsilon", "1", "--data", "1,1", "--neighbour", "1,0", "--samples", "20000")
    code, _, err = run("audit", "mechanisms:warned", *arguments)
    assert (code, err) == (0, "ailys: for the user\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("price", "bernoulli", "--n", "100", "--epsilon", "1"),
        ("plan", "--m", "2", "--n", "100", *COMMON, "--epsilon", "1"),
        ("ledger", "show", "L"),
    ],
)
def test_verbs_say_where_the_figure_is_and_refuse_other_kinds(run, tmp_path, arguments):
    Ledger(tmp_path / "L", epsilon=1)
    code, out, _ = run(*arguments, "--plot", "f.svg", "--json")
    assert (code, json.loads(out)["drawn"]) == (0, "f.svg")
    assert "<svg" in (tmp_path / "f.svg").read_text()
    code, out, err = run(*arguments, "--plot", "f.rgba")
    assert (code, out) == (2, "")
    assert "cannot draw" in err


def test_a_figure_that_exists_is_refused_before_the_budget_is_touched(run, tmp_path):
    ledger = Ledger(tmp_path / "L", epsilon=1)
    (tmp_path / "q.png").write_text("mine")
    code, _, err = run(
        "quantiles",
        "d.csv",
        "--column",
        "los_days",
        *COMMON,
        "--epsilon",
        "1",
        "-q",
        ".5",
        "--ledger",
        "L",
        "--plot",
        "q.png",
    )
    assert code == 2
    assert "exists already" in err
    assert ledger.spent == 0
    assert (tmp_path / "q.png").read_text() == "mine"


def test_decimal_budgets_stay_exact_on_the_way(run, tmp_path):
    Ledger(tmp_path / "L", epsilon="0.3")
    for amount in ("0.1", "0.2"):
        assert run("count", "d.csv", "--column", "city", *COMMON[5:], "--epsilon", amount, "--ledger", "L")[0] == 0
    assert run("count", "d.csv", "--column", "city", *COMMON[5:], "--epsilon", "1e-300", "--ledger", "L")[0] == 3


def test_a_large_epsilon_is_warned_about_on_one_line(run):
    code, _, err = run("count", "d.csv", "--column", "city", *COMMON[5:], "--epsilon", "50")
    assert code == 0
    assert re.fullmatch(r"ailys: epsilon = 50 protects hardly anybody; .*\n", err)


def test_a_plan_does_not_depend_on_the_workers(run):
    words = "plan", "--m", "2", "--n", "100", *COMMON, "--epsilon", "1", "--json"
    one, two = (run(*words, "--jobs", jobs)[1] for jobs in ("1", "2"))
    assert one == two
    assert json.loads(one)["levels"] == 2
