"""The commands: what they print, what they write, how they refuse."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ailys.mdp import TabularMDP, solve
from ailys.mdp.envs import Cliff
from ailys.mdp.files import load_mdp, save_mdp

TABLE = "s,a,s_next,p,r\n0,0,0,1,0.2\n0,1,0,0.5,1\n0,1,0,0.5,-0.5\n"


@pytest.fixture
def run(ailys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *words: ailys("mdp", *map(str, words))


@pytest.fixture
def table(tmp_path):
    (tmp_path / "t.csv").write_text(TABLE)
    return tmp_path / "t.csv"


def test_a_csv_is_solved_for_its_tail(run, table):
    words = "--horizon", 2, "--risk", "threshold", "--threshold", 0.5, "--method", "exact", "--json"
    report = json.loads(run("solve", table, *words)[1])
    assert report["value"] == 0.75
    assert report["guarantee"]["kind"] == "optimal"


@pytest.mark.parametrize("risk", ["mean", "entrm", "evar", "cvar", "var", "threshold"])
def test_every_solution_is_drawn(run, table, risk, tmp_path):
    words = "--horizon", 2, "--risk", risk, "--beta", -1, "--threshold", 0.5, "--plot", "s.svg", "--json"
    assert json.loads(run("solve", table, *words)[1])["drawn"] == "s.svg"
    assert "<svg" in (tmp_path / "s.svg").read_text()


def test_threads_do_not_change_the_answer(run, table):
    one, two = (run("solve", table, "--discount", 0.9, "--jobs", jobs, "--json")[1] for jobs in (1, 2))
    assert one == two
    assert "--jobs must be" in run("solve", table, "--discount", 0.9, "--jobs", 0)[2]


def test_a_policy_is_written_and_evaluated(run, tmp_path):
    assert json.loads(run("solve", "env:FrozenLake-v1", "--out", "p", "--json")[1])["written"] == "p.npy"
    assert run("solve", "env:FrozenLake-v1", "--out", "p")[0] == 2  # nothing is overwritten
    report = json.loads(run("evaluate", "env:FrozenLake-v1", "p.npy", "--json", "--plot", "law.svg")[1])
    assert report["drawn"] == "law.svg"
    assert report["mean"] == pytest.approx(0.7441902878, abs=1e-9)
    assert (tmp_path / "law.svg").stat().st_size > 1000


def test_the_front_and_the_cliff_are_shown(run, tmp_path):
    report = json.loads(run("front", "env:ailys/Cliff-v0", "--epsilon", 1, "--json")[1])
    assert report["certificate"] <= 1
    assert report["segments"][0]["beta_lo"] == -0.3
    assert "↑ # # # # # # # # # # G" in run("cliff", "--beta", "-0.03", "--plot", "c.svg")[1]
    assert (tmp_path / "c.svg").exists()
    walks = [json.loads(run("cliff", "--walks", 20, "--json")[1])["simulated_mean"] for _ in range(2)]
    assert walks[0] == walks[1]  # the seed has a default


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("solve", "nothing.csv"), "nothing.csv: no such file"),
        (("solve", "t.csv"), "needs a horizon"),
        (("solve", "t.csv", "--horizon", "2", "--risk", "entrm"), "needs --beta"),
        (("solve", "t.csv", "--horizon", "2", "--risk", "greed"), "--risk must be one of"),
        (("solve", "t.csv", "--horizon", "2", "--risk", "cvar", "--alpha", "0"), "alpha must lie in (0, 1]"),
        (("solve", "bad.csv", "--horizon", "2"), "bad.csv: state 0, action 0: the probabilities sum to 0.9"),
        (("solve", "word.csv", "--horizon", "2"), "word.csv: line 2"),
        (("solve", "head.csv", "--horizon", "2"), "column 's_next' is missing"),
        (("solve", "cut.npz"), "cut.npz: not a NumPy .npz archive"),
        (("solve", "env:CartPole-v1"), "no table P"),
        (("solve", "env:Nothing-v0"), "env:Nothing-v0"),
        (("front", "t.csv", "--horizon", "2", "--beta-min", "1", "--beta-max", "0"), "must not exceed"),
        (("cliff", "--slip", "3"), "slip"),
        (("cliff", "--plot", "c.doc"), "c.doc: cannot draw a doc file"),
        (("front", "t.csv", "--horizon", "2", "--plot", "f.doc"), "f.doc: cannot draw a doc file"),
        (("evaluate", "t.csv", "p.npy", "--plot", "law.doc"), "law.doc: cannot draw a doc file"),
        (("solve", "t.csv", "--horizon", "2", "--out", "p.json"), "p.json: the result is a .npy file"),
        (("solve", "below.csv", "--horizon", "2"), "below.csv: line 2: states and actions are numbered from 0; got -1"),
        (("solve", "head_only.csv", "--horizon", "2"), "no transitions; expected lines s,a,s_next,p,r"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(run, tmp_path, words, sentence):
    (tmp_path / "t.csv").write_text(TABLE)
    (tmp_path / "bad.csv").write_text("s,a,s_next,p,r\n0,0,0,0.9,1\n")
    (tmp_path / "word.csv").write_text("s,a,s_next,p,r\n0,0,zero,1,1\n")
    (tmp_path / "head.csv").write_text("s,a,p,r\n0,0,1,1\n")
    (tmp_path / "below.csv").write_text("s,a,s_next,p,r\n0,-1,0,1,1\n")
    (tmp_path / "head_only.csv").write_text("s,a,s_next,p,r\n")
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04nothing")
    code, out, err = run(*words)
    assert code == 2
    assert out == ""
    assert sentence in err
    assert err.count("\n") == 1


def test_a_saved_model_is_loaded_to_the_bit(tmp_path):
    mdp = Cliff(rows=3, cols=4).to_mdp()
    again = load_mdp(save_mdp(mdp, tmp_path / "m.npz"))
    assert all(np.array_equal(getattr(mdp, x), getattr(again, x)) for x in ("indptr", "next_state", "prob", "reward"))
    assert solve(again).start_value == solve(mdp).start_value
    stages = TabularMDP.from_stages([mdp.replace(horizon=1)] * 3)
    assert load_mdp(save_mdp(stages, tmp_path / "s.npz")).n_stages == 3
