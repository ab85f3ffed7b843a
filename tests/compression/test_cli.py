"""The verbs as a newcomer types them, on good files and on wrong ones."""

import json
from functools import partial

import numpy as np
import pytest
from safetensors.numpy import save_file


@pytest.fixture
def run(ailys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    names = ["encoder.0.dense", "encoder.1.dense", "encoder.1.norm", "pooler", "embeddings.word"]
    shapes = [(64, 32), (32, 64), (32,), (32, 32), (100, 32)]
    tensors = {f"{n}.weight": rng.standard_normal(s).astype(np.float32) for n, s in zip(names, shapes, strict=True)}
    save_file(tensors, tmp_path / "weights.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")

    return partial(ailys, "compression")


def test_compress_and_report(run, tmp_path):
    code, out, _ = run(
        "compress",
        "weights.safetensors",
        "--budget",
        "0.5",
        "--layers",
        "encoder.*.dense",
        "--out",
        "small.safetensors",
    )
    assert code == 0
    for word in ("encoder.0.dense", "best possible", "guarantee", "[docs, compression"):
        assert word in out
    assert "pooler" not in out
    code, out, _ = run("report", "small.safetensors", "--plot", "layers.png")
    assert code == 0
    assert "encoder.1.dense" in out
    assert (tmp_path / "layers.png").read_bytes().startswith(b"\x89PNG")
    code, out, _ = run("report", "small.safetensors", "--json")
    record = json.loads(out)
    assert code == 0
    assert record["selected_params_after"] <= 0.5 * record["selected_params_before"]
    assert all(layer["lower_bound"] <= layer["relative_error"] * 1.000001 for layer in record["layers"])


def test_json_of_compress_and_other_goals(run):
    code, out, _ = run("compress", "weights.safetensors", "--max-error", "0.6", "--out", "a.safetensors", "--json")
    assert code == 0
    assert all(layer["relative_error"] <= 0.6 for layer in json.loads(out)["layers"])
    assert (
        run(
            "compress", "weights.safetensors", "--architecture", "monarch", "--budget", "3000", "--out", "b.safetensors"
        )[0]
        == 0
    )


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["weights.safetensors", "--budget", "0"], 2, "budget"),
        (["weights.safetensors", "--budget", "2"], 2, "fraction"),
        (["weights.safetensors", "--budget", "nan"], 2, "budget"),
        (["weights.safetensors", "--budget", "half"], 2, "valid number"),
        (["weights.safetensors", "--budget", "200"], 3, "cannot be met"),
        (["weights.safetensors"], 2, "give a budget"),
        (["weights.safetensors", "--budget", "0.5", "--layers", "decoder.*"], 2, "decoder"),
        (["weights.safetensors", "--budget", "0.5", "--architecture", "butter"], 2, "butter"),
        (["text.safetensors", "--budget", "0.5"], 2, "not a safetensors file"),
        (["nowhere.safetensors", "--budget", "0.5"], 2, "no such file"),
        (["weights.safetensors", "--budget", "0.5", "--allocate", "fair"], 2, "allocate"),
    ],
)
def test_bad_input_gets_one_sentence_and_no_file(run, tmp_path, arguments, code, word):
    found, out, err = run("compress", *arguments, "--out", "out.safetensors")
    assert found == code
    assert word in err
    assert len(err.strip().splitlines()) == 1
    assert out == ""
    assert not (tmp_path / "out.safetensors").exists()


def test_nothing_is_overwritten_without_being_told(run, tmp_path):
    (tmp_path / "out.safetensors").write_text("precious")
    arguments = ["compress", "weights.safetensors", "--budget", "0.5", "--out", "out.safetensors"]
    code, _, err = run(*arguments)
    assert code == 2
    assert "--force" in err
    assert (tmp_path / "out.safetensors").read_text() == "precious"
    assert run(*arguments, "--force")[0] == 0
    code, _, err = run("report", "weights.safetensors")
    assert code == 2
    assert "not a compressed network" in err


@pytest.mark.parametrize("budget", ["inf", "1" + "0" * 400])
def test_an_infinite_budget_is_refused(run, budget):
    code, _, err = run("compress", "weights.safetensors", "--budget", budget, "--out", "o.safetensors")
    assert code == 2
    assert "budget must be" in err
