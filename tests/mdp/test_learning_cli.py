"""``ailys mdp learn`` as a newcomer types it, and the claims and the stop that belong to it."""

import json
from functools import partial

import numpy as np
import pytest

from ailys.mdp import audit_learning
from ailys.mdp.learning import BPIUCRL


@pytest.fixture
def run(ailys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.csv").write_text("s,a,s_next,p,r\n0,0,0,1,0.4\n0,1,0,0.7,1\n0,1,0,0.3,0\n")
    return partial(ailys, "mdp", "learn")


def test_each_learner_answers(run, tmp_path):
    code, out, _ = run(
        "model.csv", "--horizon", "3", "--stationary", "--epsilon", "0.4", "--out", "p.npy", "--plot", "b.png", "--json"
    )
    report = json.loads(out)
    assert code == 0
    assert report["reached"]
    assert (report["written"], report["drawn"]) == ("p.npy", "b.png")
    assert report["guarantee"]["values"]["epsilon"] == 0.4
    assert np.load(tmp_path / "p.npy").tolist() == [[1], [1], [1]]
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")
    code, out, _ = run("model.csv", "--horizon", "3", "--learner", "ucbvi", "--episodes", "50", "--json")
    assert json.loads(out)["guarantee"]["kind"] == "upper-bound"
    code, out, _ = run("env:ailys/Inventory-v0", "--learner", "q-learning", "--episodes", "20")
    assert code == 0
    assert "none is proved" in out


def test_episodes_spent_without_the_answer_end_with_three(run):
    code, out, err = run("model.csv", "--horizon", "3", "--epsilon", "0.001", "--episodes", "20", "--json")
    assert code == 3
    assert not json.loads(out)["reached"]
    assert len(err.splitlines()) == 1
    assert "raise --episodes" in err


@pytest.mark.parametrize(
    "words",
    [
        ("model.csv",), ("nothing.csv",), ("env:CartPole-v1",), ("env:Nope-v0",), ("model.csv", "--horizon", "3", "--learner", "x"),
        ("model.csv", "--horizon", "3", "--epsilon", "-1"), ("model.csv", "--horizon", "0"), ("env:CartPole-v1", "--table"),
        ("env:ailys/Reactor-v0", "--stationary"), ("model.csv", "--horizon", "3", "--out", "no/folder/p.npy"),
        ("model.csv", "--horizon", "3", "--out", "p.json"), ("model.csv", "--horizon", "3", "--plot", "b.doc"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_two(run, words):
    code, out, err = run(*words)
    assert code == 2
    assert out == ""
    assert len(err.strip().splitlines()) == 1


def test_nothing_is_overwritten(run, tmp_path):
    (tmp_path / "p.npy").write_text("mine")
    assert run("model.csv", "--horizon", "3", "--learner", "ucbvi", "--episodes", "5", "--out", "p.npy")[0] == 2
    assert (tmp_path / "p.npy").read_text() == "mine"


@pytest.mark.parametrize("claim", audit_learning.CLAIMS, ids=lambda claim: claim.name)
def test_claims_hold_in_some_trials(claim):
    """A true claim of level 0.1 fails six of twelve trials with probability 6e-4."""
    assert sum(claim.trial(rng) for rng in np.random.default_rng(0).spawn(12)) < 6


def test_an_audit_notices_balls_that_are_too_small(monkeypatch):
    monkeypatch.setattr(BPIUCRL, "_log_rows", lambda self: -6.0)
    trials = [audit_learning.bpi_bounds_are_wrong_on_the_way(rng) for rng in np.random.default_rng(0).spawn(40)]
    assert sum(trials) > 20
