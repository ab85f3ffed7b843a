"""The verbs as a newcomer types them, on good files and on wrong ones."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from ailys.selfsimilarity import OperatorFractionalBrownianMotion


@pytest.fixture(scope="module")
def signal():
    """What ``synthesize`` writes for a newcomer, once for all tests."""
    return OperatorFractionalBrownianMotion([0.4, 0.4, 0.8], 0.2).sample(16384, rng=0)


@pytest.fixture
def run(ailys, signal, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", signal)
    return partial(ailys, "selfsimilarity")


def test_the_verbs_of_a_newcomer(run, signal):
    line = ["--hurst", ".4", ".4", ".8", "--n", "16384", "--rho", ".2", "--seed", "0"]
    code, *_ = run("synthesize", *line, "--out", "x.npy", "--force")
    assert code == 0
    assert np.array_equal(np.load("x.npy"), signal)
    code, out, _ = run(
        "estimate",
        "x.npy",
        "--octaves",
        "4",
        "8",
        "--method",
        "bwavelet",
        "--bootstrap",
        "100",
        "--plot",
        "out.png",
        "--json",
    )
    found = json.loads(out)
    assert code == 0
    assert os.path.getsize("out.png") > 5000
    assert all(abs(h - t) < 0.15 for h, t in zip(found["hurst"], (0.4, 0.4, 0.8), strict=True))
    code, out, _ = run("test", "x.npy", "--alpha", ".05", "--octaves", "4", "8", "--bootstrap", "200", "--json")
    assert code == 0
    assert json.loads(out)["equality"] == "rejected at 0.05"
    code, out, _ = run(
        "cluster", "x.npy", "--octaves", "4", "8", "--bootstrap", "200", "--alpha", ".001", "--plot", "c.svg", "--json"
    )
    assert code == 0
    assert json.loads(out)["clusters"] == 2
    assert json.loads(out)["drawn"] == "c.svg"
    code, out, _ = run("diagram", "x.npy", "--channel", "2", "--process", "motion", "--plot", "d.png")
    assert code == 0
    assert "gaussian" in out
    code, out, _ = run("sliding", "x.npy", "--window", "4096", "--step", "4096", "--plot", "s.pdf", "--json")
    assert code == 0
    assert len(json.loads(out)["times"]) == 4


def test_exponents_may_be_given_one_by_one_or_together(run):
    assert run("synthesize", "--hurst", ".4", "--hurst", ".8", "--n", "64", "--out", "a.npy", "--seed", "1")[0] == 0
    assert run("synthesize", "--n", "64", "--out", "b", "--hurst", ".4", ".8", "--seed", "1", "--json")[0] == 0
    assert np.array_equal(np.load("a.npy"), np.load("b.npy"))
    assert (
        run(
            "synthesize", "--hurst", ".5", ".6", "--n", "64", "--mixing", "orthogonal", "--increments", "--out", "c.npy"
        )[0]
        == 0
    )


def test_the_same_signal_in_every_kind_of_file(run):
    x = np.load("x.npy")
    np.savez("one.npz", x)
    np.savez("two.npz", x=x, y=x[:2])
    with open("x.csv", "w") as file:
        file.write("left,mid,right\n" + "\n".join(",".join(repr(float(v)) for v in row) for row in x.T) + "\n")
    np.savetxt("bare.csv", x.T, delimiter=",", fmt="%.17g")
    expected = json.loads(run("estimate", "x.npy", "--json")[1])
    for arguments in (["one.npz"], ["two.npz", "--columns", "x"], ["x.csv"], ["bare.csv"]):
        code, out, err = run("estimate", *arguments, "--json")
        assert code == 0, err
        assert np.allclose(json.loads(out)["hurst"], expected["hurst"])
    assert json.loads(run("estimate", "x.csv", "--columns", "left,right", "--json")[1])["names"] == ["left", "right"]


def test_a_figure_that_cannot_be_drawn_is_refused_before_the_file_is_read(run):
    for verb in ("estimate", "cluster", "diagram", "sliding --window 9 --step 9"):
        code, _, err = run(*verb.split(), "nope.npy", "--plot", "p.doc")
        assert (code, "cannot draw" in err) == (2, True)


def test_arrays_that_are_not_asked_for_are_not_read(run):
    np.savez("mixed.npz", x=np.load("x.npy"), notes=np.array([{"any": "object"}], dtype=object))
    assert run("estimate", "mixed.npz", "--columns", "x", "--json")[0] == 0


def test_remarks_are_lines_of_the_program_and_a_list_for_machines(run):
    code, out, err = run("estimate", "x.npy", "--octaves", "4", "11", "--json")  # few coefficients at octave 11
    found = json.loads(out)
    assert code == 0
    assert any("are advised" in remark for remark in found["remarks"])
    assert err.startswith("ailys: ")
    assert "are advised" in err
    assert "remarks" in run("estimate", "x.npy", "--octaves", "4", "11")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("estimate nope.npy", "nope.npy: no such file"),
        ("estimate notes.md", "expected a .npy"),
        ("estimate bad.csv", "line 3, column 'b' holds 'x', which is no number"),
        ("estimate holes.csv", "line 3, column 'a' is empty"),
        ("estimate ragged.csv", "line 3 has 1 columns, expected 2"),
        ("estimate broken.npz", "not a NumPy .npz"),
        ("estimate two.npz", "holds 2 arrays"),
        ("estimate nan.npy", "nan.npy: channel 1 holds nan at sample 9"),
        ("estimate tall.npy", "did you mean x.T"),
        ("estimate short.npy", "samples are needed"),
        ("estimate x.npy --octaves 9 4", "1 <= j1 < j2"),
        ("estimate x.npy --octaves 4", "--octaves"),
        ("estimate x.npy --method best", "method must be one of"),
        ("estimate x.npy --plot old.png", "exists already"),
        ("estimate x.npy --plot p.doc", "cannot draw"),
        ("estimate x.npy --columns a", "no names"),
        ("test x.npy --bootstrap 0", "n_bootstrap"),
        ("test x.npy --alpha 5", "--alpha"),
        ("test x.npy --jobs 0", "--jobs"),
        ("sliding x.npy --window 4096 --step 4096 --jobs 100000", "--jobs"),
        ("test x.npy --alpha .1 --jobs -1000", "--jobs"),
        ("estimate damaged.npz", "not a NumPy .npz"),
        ("estimate two.npz --columns z", "no array 'z'"),
        ("estimate empty.csv", "expected a line of numbers for each time"),
        ("estimate header.csv", "expected a line of numbers for each time"),
        ("cluster x.npy --pairs gaussian", "half_normal"),
        ("synthesize --hurst .2 .8 --rho .9 --out y.npy", "smallest eigenvalue"),
        ("synthesize --hurst two --out y.npy", "--hurst"),
        ("synthesize --hurst .5 --out x.npy", "exists already"),
        ("synthesize --hurst .5 --out y.csv", "ends in .npy"),
        ("diagram x.npy", "choose one with --channel"),
        ("diagram x.npy --channel 7", "channels 0 to 2"),
        ("sliding x.npy --window 99999 --step 10", "take a smaller window"),
    ],
)
def test_wrong_input_is_one_line_and_exit_2(run, arguments, message):
    Path("notes.md").write_text("hello")
    Path("old.png").touch()
    Path("bad.csv").write_text("a,b\n1,2\n3,x\n")
    Path("holes.csv").write_text("a,b\n1,2\n,4\n")
    Path("ragged.csv").write_text("a,b\n1,2\n3\n")
    Path("broken.npz").write_bytes(b"PK\x03\x04 not really")
    np.savez("two.npz", x=np.zeros(3), y=np.zeros(3))
    np.savez_compressed("damaged.npz", x=np.load("x.npy"))
    whole = bytearray(Path("damaged.npz").read_bytes())
    whole[1000:1100] = bytes(100)  # inside the compressed array
    Path("damaged.npz").write_bytes(whole)
    Path("empty.csv").write_text("\n")
    Path("header.csv").write_text("a,b\n")
    spoiled = np.load("x.npy")
    spoiled[1, 9] = np.nan
    np.save("nan.npy", spoiled)
    np.save("tall.npy", spoiled.T)
    np.save("short.npy", spoiled[:1, :50])
    code, out, err = run(*arguments.split())
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert out == ""


def test_importing_is_fast():
    script = "import sys, ailys.selfsimilarity; sys.exit(any(m in sys.modules for m in ('sklearn', 'matplotlib', 'pywt', 'numba', 'pandas')))"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def test_modes_and_reference_octaves_on_the_command_line(run):
    x = OperatorFractionalBrownianMotion([0.3] * 6 + [0.8] * 6).sample(2**14, rng=0)
    np.save("many.npy", x)
    line = ["cluster", "many.npy", "--octaves", "4", "7", "--plot", "m.png", "--json"]
    for method in ("silverman", "dip"):
        code, out, _ = run(*line, "--modes", method, "--force")
        assert code == 0
        assert json.loads(out)["modes"] == 2
        assert json.loads(out)["drawn"] == "m.png"
    code, out, _ = run("estimate", "x.npy", "--octaves", "4", "7", "--reference-octave", "8", "--json")
    assert (code, json.loads(out)["reference_octave"]) == (0, 8)
    code, _, err = run("estimate", "x.npy", "--octaves", "4", "7", "--reference-octave", "5")
    assert code == 2
    assert "reference_octave" in err
