"""Quantization of vectors and chains against lazylinop, and decoding of packed entries against ml_dtypes.

Within a group all contestants do the same work; the first one is ours. ``relative_error`` is that of the rounded
product. Nowhere may ours be less precise than a peer's.
"""

import time
import warnings

import ml_dtypes
import numpy as np
import pytest

from ailys.butterfly import Chain, butterfly
from ailys.quantization import FloatFormat, quantize_chain, quantize_rank_one
from ailys.quantization.chain_error import chain_error
from ailys.quantization.packing import code_of, pack, unpack

warnings.filterwarnings("ignore")
lazylinop = pytest.importorskip("lazylinop.quantization", reason="the extra 'bench' is not installed")
torch = pytest.importorskip("torch")
torch.set_num_threads(1)

CPU = pytest.mark.benchmark(timer=time.process_time, warmup=False)
TYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "e4m3": torch.float8_e4m3fn}


def measure(benchmark, work):
    """Rounds for about two seconds, three at least unless one takes long; returns the result."""
    start = time.process_time()
    work()
    once = max(time.process_time() - start, 1e-6)
    return benchmark.pedantic(work, rounds=1 if once > 4 else int(min(40, max(3, 2 / once))))


def wide(x):
    """Double precision of an array or a tensor of any type."""
    if isinstance(x, torch.Tensor):
        return x.double().numpy()
    return np.asarray(x).astype(complex if np.iscomplexobj(x) else float)


# -- rank one ------------------------------------------------------------------------------------

VECTORS = [(4, "float16"), (64, "bfloat16"), (64, "float16"), (1000, "bfloat16"), (1000, "float16")]


def vectors(n):
    rng = np.random.default_rng(n)
    return rng.standard_normal(n), rng.standard_normal(n)


def rank_one_ours(x, y, name):
    def work():
        answer = quantize_rank_one(x, y, name)
        return answer.x_hat, answer.scale * answer.y_hat

    return work


def rank_one_lazylinop(x, y, name):
    tx, ty = torch.from_numpy(x)[:, None], torch.from_numpy(y)[:, None]

    def work():
        x_hat, y_hat, _ = lazylinop.qrank_one(tx, ty, TYPES[name])
        return wide(x_hat)[:, 0], wide(y_hat)[:, 0]

    return work


RANK_ONE = {"ailys": rank_one_ours, "lazylinop": rank_one_lazylinop}


@CPU
@pytest.mark.parametrize("contestant", RANK_ONE)
@pytest.mark.parametrize(("n", "name"), VECTORS)
def test_rank_one(benchmark, n, name, contestant):
    x, y = vectors(n)
    benchmark.group = f"rank one: {n} + {n} entries, {name}"
    x_hat, y_hat = measure(benchmark, RANK_ONE[contestant](x, y, name))
    A = np.outer(x, y)
    error = float(np.linalg.norm(A - np.outer(x_hat, y_hat)) / np.linalg.norm(A))
    benchmark.extra_info["relative_error"] = error
    if contestant != "ailys":
        assert quantize_rank_one(x, y, name).error <= error * (1 + 1e-9)


# -- chains --------------------------------------------------------------------------------------


def gaussian(n, is_complex=False, chain="dyadic"):
    rng = np.random.default_rng(n)
    A = rng.standard_normal((n, n))
    return list(butterfly(A + 1j * rng.standard_normal((n, n)) if is_complex else A, chain).factors)


CHAINS = {
    "256 dyadic, e4m3": (lambda: gaussian(256), "e4m3", None),
    "256 dyadic, bfloat16": (lambda: gaussian(256), "bfloat16", None),
    "256 dyadic, float16": (lambda: gaussian(256), "float16", None),
    "1024 dyadic, bfloat16": (lambda: gaussian(1024), "bfloat16", None),
    "32 dyadic complex, t = 3": (lambda: gaussian(32, True), 3, 3),
    "64 Monarch, bfloat16": (lambda: gaussian(64, chain=Chain.monarch(64)), "bfloat16", None),
}


def chain_left_to_right(factors, fmt, t):
    return lambda: quantize_chain(factors, fmt, method="left_to_right", n_jobs=1)


def chain_auto(factors, fmt, t):
    return lambda: quantize_chain(factors, fmt, n_jobs=1)


def chain_lazylinop(factors, fmt, t):
    if t is not None:  # complex, with the parameter of the published experiments
        return lambda: lazylinop.qbutterfly(factors, "complex64", t=t, delta=2)[0]
    tensors = [torch.from_numpy(np.ascontiguousarray(x)) for x in factors]
    call = lazylinop.qmonarch if len(factors) == 2 else lazylinop.qbutterfly
    return lambda: call(tensors, TYPES[fmt])[0]


CHAIN_METHODS = {
    "ailys, left to right": chain_left_to_right,
    "ailys, best of all methods (default)": chain_auto,
    "lazylinop": chain_lazylinop,
}


@CPU
@pytest.mark.parametrize("contestant", CHAIN_METHODS)
@pytest.mark.parametrize("case", CHAINS)
def test_chain(benchmark, case, contestant):
    make, fmt, t = CHAINS[case]
    factors = make()
    benchmark.group = f"chains: {case}"
    result = measure(benchmark, CHAIN_METHODS[contestant](factors, fmt, t))
    # the error of the factors themselves, by one measure for all
    rounded, scale = ([wide(x) for x in result], 1.0) if isinstance(result, list) else (result.factors, result.scale)
    error = chain_error(factors, rounded, scale, Chain([x.shape for x in factors]))[0]
    benchmark.extra_info["relative_error"] = error
    if contestant == "lazylinop":
        assert quantize_chain(factors, fmt, method="left_to_right").error <= error * 1.0101


# -- decoding ------------------------------------------------------------------------------------

SIZE = 4_000_000


def decode_ours(values, fmt):
    code = code_of(values, fmt)
    stream = pack(values, code)
    return lambda: unpack(stream, code, values.shape, dtype=np.float32)


def decode_ml_dtypes(values, fmt):
    narrow = values.astype(getattr(ml_dtypes, fmt.name, fmt.name))
    return lambda: narrow.astype(np.float32)


def decode_torch(values, fmt):
    narrow = torch.from_numpy(values).to(getattr(torch, fmt.name))
    return lambda: narrow.to(torch.float32).numpy()


DECODERS = {"ailys": decode_ours, "ml_dtypes": decode_ml_dtypes, "torch": decode_torch}


@CPU
@pytest.mark.parametrize("contestant", DECODERS)
@pytest.mark.parametrize("name", ["t = 4, shortest exponent (8 bits)", "float8_e4m3fn (8 bits)"])
def test_decode(benchmark, name, contestant):
    fmt = FloatFormat.from_dtype("e4m3") if name.startswith("float8") else FloatFormat(4)
    rng = np.random.default_rng(0)
    values = fmt.nearest(np.clip(np.abs(rng.standard_normal(SIZE)), 2**-5, 8) * rng.choice([-1, 1], SIZE))
    if contestant != "ailys" and fmt.name is None:
        pytest.skip("the peers have no such format")
    benchmark.group = f"decode: 4 million entries, {name}"
    result = measure(benchmark, DECODERS[contestant](values, fmt))
    assert np.array_equal(result, values)
    benchmark.extra_info["values_per_second"] = SIZE / benchmark.stats.stats.min
