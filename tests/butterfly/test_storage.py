"""Files: exact, readable by others, refused with a sentence when they are not what they should be."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from ailys.butterfly import ButterflyFactorization, butterfly


def example(dtype="float64", **options):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((16, 16)) + (1j * rng.standard_normal((16, 16)) if "complex" in dtype else 0)
    return butterfly(A.astype(dtype), "dyadic", **options)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64", "complex128"])
def test_what_is_loaded_is_what_was_saved(tmp_path, dtype):
    answer = example(dtype, perm="bitrev", refine=2)
    again = ButterflyFactorization.load(answer.save(tmp_path / "f.safetensors"))
    assert again.to_dict() == answer.to_dict()
    assert again.guarantee == answer.guarantee
    assert np.array_equal(again.perm, answer.perm)
    for x, y in zip(again.factors, answer.factors, strict=True):
        assert x.dtype == y.dtype
        assert np.array_equal(x, y)


def test_bfloat16_and_weights_survive(tmp_path):
    import ml_dtypes

    A = np.random.default_rng(0).standard_normal((16, 16)).astype(ml_dtypes.bfloat16)
    answer = butterfly(A, "monarch", col_weight=np.linspace(1, 2, 16))
    again = ButterflyFactorization.load(answer.save(tmp_path / "f.safetensors"))
    assert again.factors[0].dtype == ml_dtypes.bfloat16
    assert again.weighted
    assert again.unweighted_error == answer.unweighted_error


def test_any_reader_of_safetensors_sees_the_factors(tmp_path):
    answer = example()
    tensors = load_file(answer.save(tmp_path / "f.safetensors"))
    assert sorted(tensors) == [f"factor.{i}" for i in range(4)]
    assert np.array_equal(tensors["factor.2"], answer.factors[2])


def spoiled(tmp_path, how):
    path = example().save(tmp_path / "f.safetensors")
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif how == "text":
        path.write_text("hello")
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "foreign":
        save_file({"w": np.ones(3)}, path)
    else:
        from safetensors import safe_open

        with safe_open(path, "numpy") as file:
            record = json.loads(file.metadata()["ailys.butterfly"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if how == "newer":
            record["version"] = 99
        elif how == "shape":
            tensors["factor.0"] = tensors["factor.0"].reshape(1, 4, 2, 4)
        elif how == "perm":
            tensors["perm"] = np.arange(3)
        elif how == "frame":
            record["shape"] = [99, 99]
        elif how == "dtype":
            record["dtype"] = "complex128"
        elif how == "chain":
            record["chain"] = [["a", 2, 2, 8]]
        elif how == "missing":
            del tensors["factor.3"]
        elif how == "field":
            del record["error"]
        text = "{" if how == "json" else json.dumps(record)
        save_file(tensors, path, metadata={"ailys.butterfly": text})
    return path


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("truncated", "cut short"), ("text", "not a safetensors file"), ("empty", "not a safetensors file"),
        ("foreign", "not a butterfly factorization"), ("newer", "newer version of ailys"),
        ("shape", "factor.0 has shape"), ("missing", "damaged"), ("field", "damaged"), ("json", "damaged"),
        ("perm", "each column number"), ("frame", "does not fit"), ("dtype", "damaged"), ("chain", "pattern 1"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_one_is_named(tmp_path, how, words):
    path = spoiled(tmp_path, how)
    with pytest.raises(ValueError, match=words) as refused:
        ButterflyFactorization.load(path)
    assert str(path) in str(refused.value)


def test_a_loaded_factorization_multiplies_and_is_refined_with_its_matrix(tmp_path):
    A = np.random.default_rng(0).standard_normal((16, 16))
    answer = butterfly(A, "dyadic", perm="bitrev")
    again = ButterflyFactorization.load(answer.save(tmp_path / "f.safetensors"))
    x = np.arange(16.0)
    assert np.allclose(again.operator() @ x, answer.toarray() @ x)
    assert again.refine(A, 2).error == pytest.approx(answer.refine(A, 2).error, rel=1e-12)
    with pytest.raises(ValueError, match="not the matrix"):
        again.refine(np.eye(16), 1)
    weighted = butterfly(A, "dyadic", col_weight=np.linspace(1, 2, 16)).save(tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="weights are not kept"):
        ButterflyFactorization.load(weighted).refine(A, 1)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        ButterflyFactorization.load(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("error", -1, "finite number >= 0"),
        ("error", 0, "lower bound"),
        ("norm", float("inf"), "finite number >= 0"),
        ("weighted", True, "'weighted' exactly if"),
        ("split_errors", [1e9, 1e9], "lower bound"),
        ("split_errors", [], "0 split errors"),
        ("centre", 7, "centre is 7"),
        ("notes", [3], "must be text"),
    ],
)
def test_a_certificate_that_contradicts_itself_is_refused(tmp_path, field, value, said):
    import json

    from safetensors import safe_open
    from safetensors.numpy import save_file

    path = tmp_path / "f.safetensors"
    butterfly(np.random.default_rng(0).standard_normal((8, 8)), "dyadic").save(path)
    with safe_open(path, framework="numpy") as file:
        record = json.loads(file.metadata()["ailys.butterfly"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, path, metadata={"ailys.butterfly": json.dumps({**record, field: value})})
    with pytest.raises(ValueError, match=said):
        ButterflyFactorization.load(path)


def test_metadata_nested_without_end_is_refused(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "f.safetensors"
    save_file({"factor.0": np.ones((1, 2, 2, 1))}, path, metadata={"ailys.butterfly": "[" * 100_000})
    with pytest.raises(ValueError, match="levels deep"):
        ButterflyFactorization.load(path)
