"""Packed files: exact to the bit, of the promised size, refused with a sentence when they are not what they should be."""

import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from ailys.butterfly import Chain, butterfly, dft_factors
from ailys.quantization import (
    Codebook,
    FloatFormat,
    IntFormat,
    QuantizedChain,
    pack_chain,
    quantize_chain,
    unpack_chain,
)
from ailys.quantization.packing import code_of, pack, unpack

from .conftest import projected


@given(st.integers(0, 10**6), st.integers(1, 53), st.integers(1, 300))
@settings(max_examples=150, deadline=None)
def test_floats_of_any_width_come_back_to_the_bit(seed, t, size):
    rng = np.random.default_rng(seed)
    spread = int(rng.integers(0, 300))
    values = rng.standard_normal(size) * 2.0 ** rng.integers(-spread, spread + 1, size)
    values = FloatFormat(t).nearest(values * (rng.random(size) < rng.choice([0.5, 1.0])))
    code = code_of(values, FloatFormat(t))
    if code.width <= 64:
        stream = pack(values, code)
        assert stream.size == -(-size * code.width // 8)
        assert np.array_equal(unpack(stream, code, values.shape), values)
        assert np.array_equal(unpack(pack(values + 0j, code_of(values + 0j, FloatFormat(t))),
                                     code_of(values + 0j, FloatFormat(t)), values.shape, True), values)  # fmt: skip


@pytest.mark.parametrize("fmt", [IntFormat(3), IntFormat(8, symmetric=False), Codebook([-1, 0, 2.5, 7, 9]),
                                 FloatFormat.from_dtype("e4m3"), FloatFormat.from_dtype("float16")], ids=str)  # fmt: skip
def test_tables_come_back_to_the_bit(fmt):
    values = fmt.nearest(5 * np.random.default_rng(0).standard_normal((7, 11)))
    code = code_of(values, fmt)
    stream = pack(values, code)
    assert stream.size == -(-77 * fmt.bits // 8)
    assert np.array_equal(unpack(stream, code, values.shape), values)
    assert unpack(stream, code, values.shape, dtype=np.float32).dtype == np.float32


def test_a_single_exponent_takes_no_bits():
    values = np.array([1.0, -1.0, 1.0])
    assert code_of(values, FloatFormat(1)).width == 1
    assert pack(values, code_of(values, FloatFormat(1))).tolist() == [2]
    assert code_of(np.array([1.0, 0.0]), FloatFormat(1)).exponent_bits == 1


def test_exponent_fields_are_as_short_as_they_can_be():
    for span in range(1, 40):
        values = 2.0 ** np.arange(span)
        assert 2 ** code_of(values, FloatFormat(3)).exponent_bits >= span
        assert 2 ** code_of(values, FloatFormat(3)).exponent_bits < 2 * span
        with_zero = np.append(values, 0)
        assert 2 ** code_of(with_zero, FloatFormat(3)).exponent_bits >= span + 1


ANSWERS = {
    "t=4": lambda: quantize_chain(projected(64, 0), 4),
    "t=1": lambda: quantize_chain(projected(16, 0), 1),
    "complex": lambda: quantize_chain(dft_factors(64), 3),
    "e4m3": lambda: quantize_chain(projected(64, 0), "e4m3"),
    "int4": lambda: quantize_chain(projected(16, 0), "int4"),
    "mixed": lambda: quantize_chain(projected(16, 0), [3, "e4m3", "int4", 5], method="rtn"),
    "padded, permuted": lambda: (
        quantize_chain(butterfly(np.random.default_rng(0).standard_normal((14, 12)), "dyadic", pad=True, perm=None), 3)
        if False
        else quantize_chain(butterfly(np.random.default_rng(0).standard_normal((16, 16)), "dyadic", perm="bitrev"), 3)
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_what_is_loaded_is_what_was_saved(tmp_path, name):
    answer = ANSWERS[name]()
    path = answer.save(tmp_path / "q.safetensors")
    again = QuantizedChain.load(path)
    assert again.to_dict() == answer.to_dict()
    assert again.guarantee == answer.guarantee
    assert again.scale == answer.scale
    assert (again.perm is None) == (answer.perm is None)
    for x, y in zip(again.factors, answer.factors, strict=True):
        assert x.dtype == y.dtype
        assert np.array_equal(x, y)
    assert path.stat().st_size <= answer.bits.total / 8 + 4096
    assert np.array_equal(again.toarray(), answer.toarray())


def test_chains_can_live_in_somebody_elses_file(tmp_path):
    answers = [quantize_chain(projected(16, seed), 3) for seed in range(2)]
    tensors, records = {}, []
    for i, answer in enumerate(answers):
        own, record = pack_chain(answer)
        tensors |= {f"{i}.{name}": tensor for name, tensor in own.items()}
        records.append(record)
    save_file(tensors, tmp_path / "both.safetensors", metadata={"records": json.dumps(records)})
    loaded = load_file(tmp_path / "both.safetensors")
    again = unpack_chain({"packed": loaded["1.packed"]}, json.loads(json.dumps(records))[1])
    assert again.to_dict() == answers[1].to_dict()


def spoiled(tmp_path, how):
    path = ANSWERS["t=4"]().save(tmp_path / "q.safetensors")
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif how == "text":
        path.write_text("hello")
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "foreign":
        save_file({"w": np.ones(3)}, path)
    else:
        with safe_open(path, "numpy") as file:
            record = json.loads(file.metadata()["ailys.quantization"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if how == "newer":
            record["version"] = 99
        elif how == "short":
            tensors["packed"] = tensors["packed"][:-5]
        elif how == "long":
            tensors["packed"] = np.append(tensors["packed"], np.uint8(0))
        elif how == "type":
            tensors["packed"] = tensors["packed"].astype(np.int32)
        elif how == "missing":
            del tensors["packed"]
            tensors["other"] = np.ones(3)
        elif how == "field":
            del record["codes"]
        elif how == "codes":
            record["codes"] = record["codes"][:-1]
        elif how == "width":
            record["codes"][0][0] = 70
        elif how == "chain":
            record["chain"][0] = [1, 2, 2, 7]
        elif how == "format":
            record["formats"] = [{"float": {"t": -1}}]
        elif how == "perm":
            tensors["perm"] = np.zeros(64, np.int64)
        elif how == "list":
            record = [record]
        text = "{" if how == "json" else json.dumps(record)
        save_file(tensors, path, metadata={"ailys.quantization": text})
    return path


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("truncated", "cut short"), ("text", "not a safetensors file"), ("empty", "not a safetensors file"),
        ("foreign", "not a quantized chain"), ("newer", "newer version of ailys"), ("short", "bytes"),
        ("long", "the file holds"), ("type", "vector of bytes"), ("missing", "damaged"), ("field", "damaged"),
        ("codes", "zip"), ("width", "bits"), ("chain", "do not fit"), ("format", "from 1 to 53"), ("perm", "once"),
        ("json", "damaged"), ("list", "damaged"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_one_is_named(tmp_path, how, words):
    path = spoiled(tmp_path, how)
    with pytest.raises(ValueError, match=words) as refused:
        QuantizedChain.load(path)
    assert str(path) in str(refused.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.safetensors"):
        QuantizedChain.load(tmp_path / "nothing.safetensors")


def edited(tmp_path, change):
    """A saved chain with a changed record, and the checksum that fits it."""
    from ailys.quantization.storage import _checksum

    path = ANSWERS["t=4"]().save(tmp_path / "q.safetensors")
    tensors = load_file(path)
    with safe_open(path, "numpy") as file:
        record = json.loads(file.metadata()["ailys.quantization"])
    change(tensors, record)
    record["checksum"] = _checksum(tensors, record)
    save_file(tensors, path, metadata={"ailys.quantization": json.dumps(record)})
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t, r: r.update(scale=float("nan")), "scale is nan"),
        (lambda t, r: r.update(scale=float("inf")), "scale is inf"),
        (lambda t, r: r.update(error=-1), "'error' is -1"),
        (lambda t, r: r.update(error=float("nan")), "'error' is nan"),
        (lambda t, r: r["errors"].update(rtn=float("inf")), "'rtn' is inf"),
        (lambda t, r: r.update(shape=[99, 99]), r"shape \[99, 99\]"),
        (lambda t, r: r.update(shape=[0, -3]), r"shape \[0, -3\]"),
        (lambda t, r: r.update(error_kind="banana"), "banana"),
        (lambda t, r: r.update(error_kind="estimate", excess=1.0), "estimate"),
        (lambda t, r: r.update(excess=0.5), "excess is 0.5"),
        (lambda t, r: r.update(method="best"), "method is 'best'"),
        (lambda t, r: t.update(perm=np.arange(64, dtype=np.float32)), "perm"),
        (lambda t, r: r["formats"].__setitem__(0, {"table": 10**9}), "tables of the codebooks"),
        (lambda t, r: r["formats"].__setitem__(0, {"float": {"t": 4, "exponent_bits": 8, "min_exponent": -(10**9)}}), "min_exponent"),
        (lambda t, r: r["codes"][0].__setitem__(4, 1), "not written in that way|bits"),
        (lambda t, r: r["codes"][0].__setitem__(2, 5000), "exponents from 5000"),
    ],
)  # fmt: skip
def test_numbers_that_no_chain_has_are_refused(tmp_path, change, words):
    path = edited(tmp_path, change)
    with pytest.raises(ValueError, match=words) as refused:
        QuantizedChain.load(path)
    assert str(path) in str(refused.value)


def test_deep_metadata_and_foreign_types_get_a_sentence(tmp_path):
    import torch
    from safetensors.torch import save_file as save_torch

    deep = tmp_path / "deep.safetensors"
    save_file({"packed": np.zeros(3, np.uint8)}, deep, metadata={"ailys.quantization": "[" * 100_000})
    small = tmp_path / "small.safetensors"
    save_torch({"packed": torch.ones(4).to(torch.float8_e4m3fn)}, small, metadata={"ailys.quantization": "{}"})
    half = tmp_path / "half.safetensors"
    save_torch({"packed": torch.ones(4, dtype=torch.bfloat16)}, half, metadata={"ailys.quantization": "{}"})
    for path in (deep, small, half):
        with pytest.raises(ValueError) as refused:
            QuantizedChain.load(path)
        assert str(path) in str(refused.value)


def test_a_flipped_bit_is_noticed(tmp_path):
    path = ANSWERS["t=4"]().save(tmp_path / "q.safetensors")
    whole = path.read_bytes()
    start = 8 + int.from_bytes(whole[:8], "little")
    for place in np.random.default_rng(0).integers(start, len(whole), 20):
        spoiled_bytes = bytearray(whole)
        spoiled_bytes[place] ^= 4
        path.write_bytes(spoiled_bytes)
        with pytest.raises(ValueError, match="checksum"):
            QuantizedChain.load(path)


def one_factor(*values):
    return [np.array(values, float).reshape(1, 2, 2, 1)]


@pytest.mark.parametrize(
    ("factors", "fmt"),
    [
        (one_factor(1, -0.0, 2, 3), 3), (one_factor(1, -1e-9, 2, 3), "e4m3"), (one_factor(1, -0.0, 2, 3), "int4"),
        (one_factor(1, -0.0, 2, 3), Codebook([-0.0, 1])), (one_factor(5e-324, 1e-320, 3e-310, 2e-315), 3),
        (one_factor(1.79e308, 1e308, 3, 2e-310), "float64"), (one_factor(1.79e308, 1e308, 3, 2e-310), 53),
        ([one_factor(1, -0.0, 2, 3)[0] * (1 - 1j)], 3),
    ],
)  # fmt: skip
def test_zeros_and_the_ends_of_the_range_come_back_to_the_bit(tmp_path, factors, fmt):
    for method in ("rtn", "left_to_right"):
        if factors[0].dtype.kind == "c" and method != "rtn":
            continue
        answer = quantize_chain(factors, fmt, method=method)
        again = QuantizedChain.load(answer.save(tmp_path / "q.safetensors"))
        assert again.scale == answer.scale
        assert again.factors[0].tobytes() == answer.factors[0].tobytes()
        assert answer.factors[0].any()


@pytest.mark.parametrize("count", [1, 7])
@pytest.mark.parametrize("size", [2, 256, 1024])
def test_tables_of_codebooks_are_counted(tmp_path, size, count):
    rng = np.random.default_rng(0)
    books = [Codebook(rng.standard_normal(size)) for _ in range(count)]
    factors = [rng.standard_normal(tuple(p)) for p in Chain.dyadic(128)]
    formats = [books[l % count] for l in range(len(factors))]
    answer = quantize_chain(factors, formats, method="rtn")
    path = answer.save(tmp_path / "q.safetensors")
    assert answer.bits.header == 64 + 32 * 7 + 64 * size * count
    assert path.stat().st_size <= answer.bits.total / 8 + 4096
    again = QuantizedChain.load(path)
    assert again.formats == answer.formats
    assert all(np.array_equal(x, y) for x, y in zip(again.factors, answer.factors, strict=True))


def test_decoding_is_fast():
    # 50 million values a second and thread are promised; a third of that leaves room for a busy machine
    values = FloatFormat(4).nearest(np.random.default_rng(0).standard_normal(2_000_000))
    code = code_of(values, FloatFormat(4))
    stream = pack(values, code)
    unpack(stream, code, values.shape)
    seconds = min(_timed(lambda: unpack(stream, code, values.shape)) for _ in range(5))
    assert values.size / seconds > 17e6


def _timed(function):
    start = time.process_time()
    function()
    return time.process_time() - start
