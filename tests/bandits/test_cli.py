"""The verbs as a newcomer types them, on good files and on wrong ones; a trial that is killed."""

import json
from functools import partial

import numpy as np
import pytest

from ailys.bandits.state import lock, state_text

from .kills import killed_children


@pytest.fixture
def run(ailys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows = [(a, int(rng.random() < (0.2 if a == "old" else 0.6))) for a in rng.choice(["new", "old"], 300)]
    (tmp_path / "t.csv").write_text("arm,y\n" + "\n".join(f"{a},{y}" for a, y in rows) + "\n")
    (tmp_path / "holes.csv").write_text("arm,y\na,1\nb,\na,0\nb,NA\nb,1\n")
    (tmp_path / "short.csv").write_text("arm,y\na,1\nb\n")
    np.save("W.npy", np.diag(np.ones(4), 1) + np.diag(np.ones(4), -1))
    np.save("mu.npy", [0.9, 0.8, 0.6, 0.5, 0.4])
    np.save("bad.npy", [[0.0, -1.0], [-1.0, 0.0]])
    (tmp_path / "blackbox.py").write_text(
        "def f(x):\n    return 1 - (x - 0.3) ** 2\n\ndef nan(x):\n    return float('nan')\n"
    )

    return partial(ailys, "bandits")


def test_every_verb_answers(run, tmp_path):
    code, out, _ = run(
        "abtest", "t.csv", "--arm", "arm", "--outcome", "y", "--control", "old", "--plot", "e.png", "--json"
    )
    report = json.loads(out)
    assert code == 0
    assert report["decision"] == "reject"
    assert report["guarantee"]["kind"] == "anytime-alpha"
    assert report["effect_interval"][0] > 0
    assert (tmp_path / "e.png").read_bytes().startswith(b"\x89PNG")
    assert "reject" in run("abtest", "t.csv", "--arm", "arm", "--outcome", "y")[1]
    planned = json.loads(run("plan", "--baseline", ".1", "--lift", ".05", "--replicates", "20", "--json")[1])
    assert planned["fixed_n"] == 1366
    assert planned["anytime_n_50_percent"] <= planned["anytime_n_90_percent"]
    code, out, _ = run("simulate", "--means", ".1,.5", "--policy", "kl-ucb", "--policy", "thompson", "--horizon", "500",
                       "--replicates", "5", "--plot", "r.svg", "--json")  # fmt: skip
    assert len(json.loads(out)["curves"]) == 2
    code, out, _ = run("identify", "--means", ".8,.4,.2", "--delta", ".1", "--policy", "d-tracking", "--policy", "uniform",
                       "--replicates", "5", "--plot", "i.svg", "--json")  # fmt: skip
    assert code == 0
    assert json.loads(out)["table"][0]["policy"] == "d-tracking"
    code, out, _ = run("complexity", "--means", ".5,.45,.43,.4", "--delta", ".1", "--plot", "w.png", "--json")
    assert json.loads(out)["draws_at_least_at_delta_0.1"] == pytest.approx(1739.84, abs=0.01)
    code, out, _ = run("discover", "--budget", "60", "--plot", "d.png", "--json")
    assert json.loads(out)["guarantee"]["kind"] == "missing-mass"
    code, out, _ = run("graph", "W.npy", "--means", "mu.npy", "--plot", "g.png", "--json")
    assert json.loads(out)["T_at_most"] == pytest.approx(824.91, abs=0.02)
    code, out, _ = run("maximize", "blackbox:f", "--bounds", "0,1", "--budget", "60", "--plot", "m.png", "--json")
    assert json.loads(out)["x"] == pytest.approx(0.3, abs=0.01)
    for name in ("r.svg", "i.svg", "w.png", "d.png", "g.png", "m.png"):
        assert (tmp_path / name).stat().st_size > 1000


@pytest.mark.parametrize(
    "words",
    [
        ("plan", "--baseline", ".1", "--lift", ".1", "--replicates", "5"),
        ("simulate", "--means", ".1,.5", "--policy", "ucb", "--horizon", "50", "--replicates", "2"),
        ("identify", "--means", ".9,.1", "--replicates", "2"),
        ("complexity", "--means", ".5,.4"),
        ("discover", "--budget", "20"),
        ("graph", "W.npy", "--means", "mu.npy"),
        ("maximize", "blackbox:f", "--bounds", "0,1", "--method", "doo", "--lipschitz", "2", "--epsilon", ".1"),
    ],
)
def test_answers_for_people(run, words):
    code, out, _ = run(*words)
    assert code == 0
    assert len(out.splitlines()) >= 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("abtest", "none.csv", "--arm", "arm", "--outcome", "y"), "none.csv: no such file"),
        (("abtest", "holes.csv", "--arm", "arm", "--outcome", "y"), "lines 3, 5"),
        (("abtest", "short.csv", "--arm", "arm", "--outcome", "y"), "short.csv, line 3: 1 cells"),
        (("abtest", "t.csv", "--arm", "x", "--outcome", "y"), "no column 'x'"),
        (("abtest", "t.csv", "--arm", "arm", "--outcome", "y", "--propensity", "1.2"), "sum to 1"),
        (("abtest", "t.csv", "--arm", "arm", "--outcome", "y", "--alpha", "0"), "alpha must lie"),
        (("plan", "--baseline", "2", "--lift", ".1"), "baseline must"),
        (("simulate", "--means", ".1,x", "--policy", "ucb"), "--means must be numbers"),
        (("simulate", "--means", ".1,.2", "--policy", "klucb"), "did you mean 'kl-ucb'"),
        (("simulate", "--means", ".1,.2", "--policy", "ucb", "--jobs", "0"), "--jobs must be"),
        (("simulate", "--means", ".1,.2", "--policy", "ucb", "--horizon", "1"), "horizon must be"),
        (("identify", "--means", ".1,1.2"), "must lie in"),
        (("identify", "--means", ".1,.2", "--delta", "1"), "delta must lie"),
        (("identify", "--means", ".1,.2", "--threshold", "x"), "unknown threshold"),
        (("complexity", "--means", ".1"), "at least two arms"),
        (("discover", "--rule", "x", "--budget", "5"), "rule must be"),
        (("graph", "bad.npy", "--means", "mu.npy"), "weights >= 0"),
        (("graph", "W.npy", "--means", "W.npy"), "finite mean for each"),
        (("maximize", "blackbox", "--bounds", "0,1", "--budget", "5"), "module:name"),
        (("maximize", "nothing_here:f", "--bounds", "0,1", "--budget", "5"), "cannot import"),
        (("maximize", "blackbox:g", "--bounds", "0,1", "--budget", "5"), "no function 'g'"),
        (("maximize", "blackbox:f", "--bounds", "0", "--budget", "5"), "--bounds must be"),
        (("maximize", "blackbox:nan", "--bounds", "0,1", "--budget", "5"), "finite number"),
        (("maximize", "blackbox:f", "--bounds", "0,1"), "never ends"),
        (("simulate", "--means", ".1,.2", "--policy", "ucb", "--plot", "no/where.png"), "the folder no does not exist"),
        (("trial", "next", "none.json"), "start a trial with"),
        (("trial", "new", "s.json", "--arms", "a,,b"), "empty label"),
        (("trial", "new", "s.json", "--propensity", "x"), "--propensity must be"),
        (("trial", "new", "s.json", "--arms", "a"), "at least"),
    ],
)
def test_wrong_input_gives_one_line_and_code_2(run, words, said):
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_budgets_that_were_not_enough_have_a_code_of_their_own(run):
    code, out, err = run("identify", "--means", ".5,.49", "--replicates", "2", "--max-steps", "50", "--json")
    assert code == 3
    assert "raise --max-steps" in err
    assert json.loads(out)["table"][0]["unfinished"] == 2
    assert (
        run(
            "maximize",
            "blackbox:f",
            "--bounds",
            "0,1",
            "--method",
            "doo",
            "--lipschitz",
            "2",
            "--epsilon",
            "1e-9",
            "--budget",
            "9",
        )[0]
        == 3
    )
    assert run("discover", "--budget", "20", "--target", ".01")[0] == 3


def test_a_trial_from_the_first_patient_to_the_last(run, tmp_path):
    assert run("trial", "new", "s.json", "--arms", "placebo,drug", "--adaptive", "--seed", "1")[0] == 0
    code, _, err = run("trial", "new", "s.json")
    assert (code, "exists already" in err) == (2, True)
    rng = np.random.default_rng(0)
    for _ in range(60):
        given = json.loads(run("trial", "next", "s.json", "--json")[1])
        outcome = "yes" if rng.random() < (0.1 if given["arm"] == "placebo" else 0.9) else "0"
        assert run("trial", "record", "s.json", "--trial", str(given["trial"]), "--outcome", outcome)[0] == 0
    report = json.loads(run("trial", "status", "s.json", "--json")[1])
    assert report["decision"] == "reject"
    assert report["next_probabilities"][1] == pytest.approx(0.9)
    before = (tmp_path / "s.json").read_bytes()
    for words, said in [
        (("--trial", "1", "--outcome", "1"), "was told already"),
        (("--trial", "99", "--outcome", "1"), "was never asked"),
        (("--trial", "1", "--outcome", "maybe"), "--outcome must be"),
    ]:
        code, _, err = run("trial", "record", "s.json", *words)
        assert (code, said in err) == (2, True)
    with lock(tmp_path / "s.json"):
        code, _, err = run("trial", "next", "s.json")
    assert (code, "in use by another process" in err) == (2, True)
    assert (tmp_path / "s.json").read_bytes() == before
    (tmp_path / "s.json").write_bytes(before[:200])
    assert run("trial", "status", "s.json")[0] == 2


LOOP = """
import sys
from ailys.bandits.cli_trial import next_arm, record
from ailys.bandits import ABTest
from pathlib import Path
import contextlib, io, os
state, told = Path(sys.argv[1]), Path(sys.argv[2])
warm = ABTest(["a", "b"], rng=0)  # loads the compiled kernels
for _ in range(9):
    warm.record(warm.assign(), 1)
warm.result()
print("ready", flush=True)
for _ in sys.stdin:  # a child for each line
    child = os.fork()
    if not child:
        break
    print(child, flush=True)
    os.waitpid(child, 0)
    print("ended", flush=True)
else:
    sys.exit()
while True:
    with contextlib.redirect_stdout(io.StringIO()):
        waiting = list(ABTest.from_json(state).pending)
        if not waiting:
            next_arm(state)
            waiting = list(ABTest.from_json(state).pending)
        with told.open("a") as file:
            file.write(f"{waiting[0]}\\n")
        record(state, trial=waiting[0], outcome=str(waiting[0] % 2))
"""


@pytest.mark.slow
def test_a_trial_killed_between_asking_and_telling_goes_on(run, tmp_path):
    assert run("trial", "new", "s.json", "--arms", "a,b", "--seed", "3")[0] == 0
    rng, state, told = np.random.default_rng(0), tmp_path / "s.json", tmp_path / "told.txt"
    for _ in killed_children(LOOP, state, told, pauses=rng.uniform(0.05, 1.5, 8)):
        report = json.loads(run("trial", "status", "s.json", "--json")[1])
        attempted = sorted({int(line) for line in told.read_text().split()}) if told.exists() else []
        counted = sum(n for _, n in report["counts"].values())
        assert attempted == list(range(1, len(attempted) + 1))
        assert len(attempted) - 1 <= counted <= len(attempted)
        assert sum(s for s, _ in report["counts"].values()) == sum(t % 2 for t in range(1, counted + 1))
    assert counted > 4


def test_faults_of_the_users_module_and_of_options_are_sentences(run, tmp_path):
    (tmp_path / "faulty.py").write_text("def f(x):\n    return 1 / 0\n")
    (tmp_path / "broken.py").write_text("def f(x:\n")
    for words, said in (
        (("maximize", "faulty:f", "--bounds", "0,1", "--budget", "5"), "faulty:f failed at 0.5: ZeroDivisionError"),
        (("maximize", "broken:f", "--bounds", "0,1", "--budget", "5"), "cannot import 'broken': SyntaxError"),
        (("graph", "W.npy", "--means", "mu.npy", "--smoothness", "0"), "--smoothness must be a positive number"),
        (("trial", "new", "s.json", "--adaptive", "--arms", ",".join("abcdefghijkl")), "lower clip"),
        (("trial", "new", "s.json", "--adaptive", "--clip", "x"), "--clip must be two numbers"),
    ):
        code, _, err = run(*words)
        assert code == 2, err
        assert said in err
        assert err.count("\n") == 1
    assert run("trial", "new", "s.json", "--adaptive", "--clip", "0.02,0.9", "--arms", ",".join("abcdefghijkl"))[0] == 0
    code, _, err = run("trial", "new", "s.json")
    assert code == 2
    assert "--force" not in err
    assert run("trial", "next", "s.json")[0] == 0
    code, out, _ = run("trial", "record", "s.json", "--trial", "1", "--outcome", "missing")
    assert code == 0
    assert "dropped" in out


def test_remarks_of_the_library_are_lines_of_the_program(run):
    code, _, err = run("complexity", "--means", "0.5,0.5,0.1")
    assert code == 0
    assert err == "ailys: several arms share the best mean: no number of draws tells them apart\n"


def test_numbers_beyond_reason_are_refused_before_the_work(run, tmp_path):
    many = "9" * 30
    for words, said in (
        (("plan", "--baseline", ".1", "--lift", "1e-320"), "would need"),
        (("simulate", "--means", ".1,.5", "--policy", "ucb", "--replicates", many), "'--replicates'"),
        (("simulate", "--means", ".1,.5", "--policy", "ucb", "--horizon", many), "'--horizon'"),
        (("simulate", "--means", ".1,.5", "--policy", "ucb", "--jobs", many), "--jobs must be"),
        (("identify", "--means", ".1,.5", "--max-steps", many), "'--max-steps'"),
        (("discover", "--budget", many), "'--budget'"),
        (("graph", "W.npy", "--means", "mu.npy", "--sigma", "1e-320"), "--sigma must be a positive number"),
        (("complexity", "--means", ".5,.4", "--delta", "2", "--plot", "w.png"), "delta must lie"),
    ):
        code, out, err = run(*words)
        assert (code, out) == (2, ""), err
        assert said in err
        assert err.count("\n") == 1
    assert not (tmp_path / "w.png").exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (("extra", "turn"), -1),
        (("extra", "s"), [99, 99]),
        (("extra", "given"), {"1": [0.7, 0.7]}),
        (("extra", "held"), {"1": [5, 1.0]}),
        (("extra", "best"), -1.0),
        (("rng", "uinteger"), -1),
        (("counts",), [10**30, 0]),
        (("pending",), {"1": [0, "x", 0]}),
    ],
)
def test_a_state_that_cannot_be_is_refused_and_left_alone(run, tmp_path, field, value):
    assert run("trial", "new", "s.json", "--arms", "a,b", "--seed", "3")[0] == 0
    assert run("trial", "next", "s.json")[0] == 0
    state = part = json.loads((tmp_path / "s.json").read_text())
    for key in field[:-1]:
        part = part[key]
    part[field[-1]] = value
    (tmp_path / "s.json").write_text(state_text(state))
    before = (tmp_path / "s.json").read_bytes()
    for words in (("status", "s.json"), ("next", "s.json"), ("record", "s.json", "--trial", "1", "--outcome", "1")):
        code, _, err = run("trial", *words)
        assert code == 2, err
        assert err.count("\n") == 1
        assert "s.json" in err
    assert (tmp_path / "s.json").read_bytes() == before


def test_a_state_nested_without_end_is_refused(run, tmp_path):
    (tmp_path / "s.json").write_text('{"a":' * 30_000)
    code, _, err = run("trial", "status", "s.json")
    assert code == 2
    assert "levels deep" in err
