"""The verbs as a newcomer types them, on good files and on wrong ones."""

import json
from functools import partial

import numpy as np
import pytest
import scipy.linalg


@pytest.fixture
def run(ailys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.save("A.npy", scipy.linalg.dft(32))
    np.save("G.npy", rng.standard_normal((32, 32)))
    np.save("R.npy", rng.standard_normal((10, 12)))
    np.save("nan.npy", np.full((32, 32), np.nan))
    np.save("cube.npy", np.zeros((2, 32, 32)))
    np.save("X.npy", rng.standard_normal((32, 5)))
    np.save("words.npy", np.array([["a"]]))
    (tmp_path / "text.npy").write_text("1,2\n3,4\n")

    return partial(ailys, "butterfly")


def test_factorize_apply_and_show(run, tmp_path):
    code, out, _ = run(
        "factorize", "A.npy", "--chain", "dyadic", "--perm", "bitrev", "--refine", "2", "--out", "F.safetensors"
    )
    assert code == 0
    assert "the factors give back the matrix" in out
    for word in ("relative error", "lower bound", "ratio", "n params"):
        assert word in out
    assert run("apply", "F.safetensors", "X.npy", "--out", "Y.npy")[0] == 0
    assert np.allclose(np.load("Y.npy"), scipy.linalg.dft(32) @ np.load("X.npy"))
    assert run("apply", "F.safetensors", "Y.npy", "--out", "Z.npy", "--adjoint")[0] == 0
    assert np.allclose(np.load("Z.npy"), 32 * np.load("X.npy"))
    code, out, _ = run("show", "F.safetensors", "--plot", "out.png", "--json")
    assert code == 0
    assert json.loads(out)["guarantee"]["kind"] == "exact"
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


def test_json_holds_the_certificate(run):
    code, out, _ = run("factorize", "G.npy", "--json")
    report = json.loads(out)
    assert code == 0
    assert report["lower_bound"] <= report["error"]
    assert report["guarantee"]["level"] == pytest.approx(2.0)


def test_several_permutations_and_padding(run):
    report = json.loads(run("factorize", "A.npy", "--perm", "none,bitrev", "--json")[1])
    assert report["exact"]
    assert json.loads(run("factorize", "R.npy", "--chain", "monarch", "--pad", "--json")[1])["shape"] == [10, 12]


def test_chains_lists_and_compares(run, tmp_path):
    code, out, _ = run("chains", "384x1536", "--budget", "0.01", "--json")
    listed = json.loads(out)["chains"]
    assert code == 0
    assert listed[0]["n_params"] == 1920
    assert all(row["fraction"] <= 0.01 for row in listed)
    code, out, _ = run("chains", "32x32", "--budget", "0.5", "--matrix", "G.npy", "--plot", "p.svg", "--json")
    errors = [row["relative_error"] for row in json.loads(out)["chains"]]
    assert code == 0
    assert errors == sorted(errors, reverse=True)
    assert (tmp_path / "p.svg").exists()
    assert run("chains", "32x32", "--budget", "0.5", "--matrix", "G.npy")[0] == 0
    assert "more: --limit" in run("chains", "64x64", "--limit", "3")[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("factorize", "missing.npy"), "missing.npy: no such file"),
        (("factorize", "text.npy"), "text.npy: not a NumPy"),
        (("factorize", "nan.npy"), "NaN"),
        (("factorize", "words.npy"), "numbers"),
        (("factorize", "cube.npy"), "expected a matrix"),
        (("factorize", "R.npy"), "square"),
        (("factorize", "R.npy", "--chain", "monarch:r="), "whole numbers"),
        (("factorize", "G.npy", "--chain", "dyadik"), "unknown chain"),
        (("factorize", "G.npy", "--order", "up"), "order must be"),
        (("factorize", "G.npy", "--refine", "-1"), "--refine"),
        (("factorize", "G.npy", "--perm", "shuffle"), "shuffle: no such file"),
        (("factorize", "G.npy", "--out", "G.npy"), "ends in .safetensors"),
        (("factorize", "G.npy", "--out", "no/where.safetensors"), "the folder no does not exist"),
        (("apply", "G.npy", "X.npy", "--out", "Y.npy"), "not a safetensors file"),
        (("show", "missing.safetensors"), "no such file"),
        (("chains", "384"), "written as 384x1536"),
        (("chains", "32x32", "--budget", "0"), "--budget must be positive"),
        (("chains", "32x32", "--budget", "inf"), "--budget must be positive"),
        (("chains", "32x32", "--budget", "nan"), "--budget must be positive"),
        (("factorize", "G.npy", "--perm", ","), "--perm has an empty name"),
        (("factorize", "G.npy", "--out", ""), "--out needs the name"),
        (("chains", "32x33", "--matrix", "G.npy"), "the command says 32x33"),
        (("chains", "32x32", "--plot", "p.png"), "--plot needs --matrix"),
    ],
)
def test_wrong_input_gives_one_line_code_2_and_no_file(run, tmp_path, words, said):
    before = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize("words", [("chains", "32x32", "--budget", "1e-9"), ("chains", "720x720", "--max-depth", "4")])
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_budget_that_cannot_be_met_has_a_code_of_its_own(run, words, form):
    code, out, err = run(*words, *form)
    assert (code, out) == (3, "")
    assert err.count("\n") == 1


def test_a_chain_can_be_typed_as_it_is_printed(run):
    first = json.loads(run("factorize", "G.npy", "--chain", "monarch", "--json")[1])
    again = json.loads(run("factorize", "G.npy", "--chain", first["chain"], "--json")[1])
    assert again["chain"] == first["chain"]


def test_vectors_of_the_wrong_length_are_refused(run):
    run("factorize", "G.npy", "--out", "F.safetensors")
    code, _, err = run("apply", "F.safetensors", "R.npy", "--out", "Y.npy")
    assert code == 2
    assert "expected 32 rows; got an array of shape (10, 12)" in err


def test_nothing_is_overwritten_without_force(run, tmp_path):
    assert run("factorize", "G.npy", "--out", "F.safetensors")[0] == 0
    first = (tmp_path / "F.safetensors").read_bytes()
    code, _, err = run("factorize", "A.npy", "--out", "F.safetensors")
    assert code == 2
    assert "--force" in err
    assert (tmp_path / "F.safetensors").read_bytes() == first
    assert run("factorize", "A.npy", "--out", "F.safetensors", "--force")[0] == 0
    assert (tmp_path / "F.safetensors").read_bytes() != first
