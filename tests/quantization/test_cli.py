"""The verbs as a newcomer types them, on good files and on wrong ones."""

import json
from functools import partial

import numpy as np
import pytest

from ailys.butterfly import butterfly

from .conftest import projected


@pytest.fixture
def run(ailys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.save("X.npy", rng.standard_normal(12))
    np.save("Y.npy", rng.standard_normal(9))
    np.save("nan.npy", np.full(9, np.nan))
    np.save("M.npy", rng.standard_normal((3, 4)))
    np.savez("factors.npz", *projected(16, 0))
    np.savez("complex.npz", *projected(16, 0, True))
    np.savez("bad.npz", np.ones((1, 2, 2, 1)), np.ones((1, 3, 3, 1)))
    np.savez("empty.npz")
    butterfly(rng.standard_normal((16, 16)), "monarch").save(tmp_path / "F.safetensors")
    (tmp_path / "text.npz").write_text("hello")

    return partial(ailys, "quantization")


def test_rank_one_tells_error_and_writes_vectors(run, tmp_path):
    code, out, _ = run("rank-one", "X.npy", "Y.npy", "--bits", "3", "--out", "V", "--plot", "lam.png")
    assert code == 0
    for word in ("error", "error rtn", "no pair of vectors in t=3", "bits"):
        assert word in out
    with np.load("V.npz") as written:
        A = np.outer(np.load("X.npy"), np.load("Y.npy"))
        product = written["scale"] * np.outer(written["x_hat"], written["y_hat"])
    report = json.loads(run("rank-one", "X.npy", "Y.npy", "--bits", "3", "--json")[1])
    assert report["error"] == pytest.approx(np.linalg.norm(A - product) / np.linalg.norm(A))
    assert (tmp_path / "lam.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads(run("rank-one", "X.npy", "Y.npy", "--bits", "int4", "--free-scale", "--json")[1])["optimal"]
    assert not json.loads(run("rank-one", "X.npy", "Y.npy", "--bits", "20", "--sampled", "--json")[1])["optimal"]


def test_chain_inspect_and_curve(run, tmp_path):
    code, out, _ = run(
        "chain", "factors.npz", "--bits", "4", "--method", "beam", "--out", "q.safetensors", "--plot", "q.svg"
    )
    assert code == 0
    assert "bytes on disk" in out
    report = json.loads(run("inspect", "q.safetensors", "--json", "--plot", "i.png")[1])
    assert report["method"] == "beam"
    assert report["bytes_on_disk"] == (tmp_path / "q.safetensors").stat().st_size
    assert report["error"] < report["error_rtn"]
    assert run("chain", "F.safetensors", "--bits", "e4m3")[0] == 0
    assert run("chain", "complex.npz", "--bits", "2", "--no-scale")[0] == 0
    code, out, _ = run("curve", "factors.npz", "--bits", "2:4", "--plot", "c.png")
    assert code == 0
    assert "left_to_right" in out
    curves = json.loads(run("curve", "complex.npz", "--bits", "2,3", "--methods", "rtn, left_to_right", "--json")[1])[
        "curves"
    ]
    assert {row["method"] for row in curves} == {"rtn", "left_to_right"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("rank-one", "missing.npy", "Y.npy"), "missing.npy: no such file"),
        (("rank-one", "nan.npy", "Y.npy"), "NaN"),
        (("rank-one", "M.npy", "Y.npy"), "x must be a vector"),
        (("rank-one", "X.npy", "Y.npy", "--bits", "0"), "from 1 to 53"),
        (("rank-one", "X.npy", "Y.npy", "--bits", "e9"), "'e4m3'"),
        (("rank-one", "X.npy", "Y.npy", "--out", "X.npy"), "ends in .npz"),
        (("rank-one", "X.npy", "Y.npy", "--bits", "53"), "sampled"),
        (("chain", "factors.npz", "--jobs", "0"), "--jobs must be"),
        (("curve", "factors.npz", "--jobs", "0"), "--jobs must be"),
        (("chain", "missing.npz"), "no such file"),
        (("chain", "text.npz"), "not a NumPy .npz"),
        (("chain", "empty.npz"), "archive is empty"),
        (("chain", "bad.npz"), "factors 1 and 2 do not fit"),
        (("chain", "X.npy"), "must be a 4-D array"),
        (("chain", "factors.npz", "--method", "best"), "method must be one of"),
        (("chain", "complex.npz", "--method", "beam"), "real factors"),
        (("chain", "factors.npz", "--out", "no/q.safetensors"), "the folder no does not exist"),
        (("chain", "factors.npz", "--out", "F.safetensors"), "--force"),
        (("curve", "factors.npz", "--bits", "8:2"), "upwards"),
        (("curve", "factors.npz", "--bits", "two"), "2:10"),
        (("curve", "factors.npz", "--methods", "rtn,best"), "method must be one of"),
        (("inspect", "F.safetensors"), "not a quantized chain"),
        (("inspect", "X.npy"), "not a safetensors file"),
    ],
)
def test_wrong_input_gives_one_line_code_2_and_no_file(run, tmp_path, words, said):
    before = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == before


def test_messages_speak_of_options_and_a_refused_figure_leaves_nothing(run, tmp_path):
    before = sorted(p.name for p in tmp_path.iterdir())
    for words, said in (
        (("rank-one", "X.npy", "Y.npy", "--bits", "e9"), "--bits must be a number of significant bits"),
        (("rank-one", "X.npy", "Y.npy", "--bits", ","), "--bits must be a number of significant bits"),
        (("rank-one", "X.npy", "Y.npy", "--bits", "float32"), "take fewer --bits, or pass --sampled"),
        (("rank-one", "X.npy", "Y.npy", "--bits", "40"), "take fewer --bits, or pass --sampled"),
        (("chain", "factors.npz", "--bits", "e9"), "--bits must be a number of significant bits"),
        (("chain", "factors.npz", "--beam", "9" * 30), "'--beam'"),
        (("rank-one", "X.npy", "Y.npy", "--out", "v.npz", "--plot", "v.docx"), "cannot draw a docx file"),
        (("chain", "factors.npz", "--out", "q.safetensors", "--plot", "q"), "cannot draw a nameless file"),
    ):
        code, out, err = run(*words)
        assert (code, out) == (2, "")
        assert said in err
        assert err.count("\n") == 1
        assert "fmt" not in err
        assert "max_breakpoints" not in err
        assert "method=" not in err
    assert sorted(p.name for p in tmp_path.iterdir()) == before
