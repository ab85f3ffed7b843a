"""Butterfly factorization and products against lazylinop, pyfaust, torch-structured and the dense product.

Within a group all contestants do the same work; the first one is ours. Peers that are not
installed are left out.
"""

import time

import numpy as np
import pytest
import scipy.linalg
import threadpoolctl

from ailys.butterfly import ButterflyOperator, Chain, butterfly

lazylinop = pytest.importorskip("lazylinop.butterfly", reason="the extra 'bench' is not installed")
torch = pytest.importorskip("torch")
torch.set_num_threads(1)
threadpoolctl.threadpool_limits(1)

CPU = pytest.mark.benchmark(timer=time.process_time, warmup=False)


def noisy_hadamard(n, dtype):
    rng = np.random.default_rng(0)
    return (scipy.linalg.hadamard(n) + 0.1 * rng.standard_normal((n, n))).astype(dtype)


def gaussian(n, dtype):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((n, n))
    return (A + 1j * rng.standard_normal((n, n)) if np.dtype(dtype).kind == "c" else A).astype(dtype)


# -- factorization -----------------------------------------------------------------------------

CASES = {
    f"{n} {kind}, {matrix.__name__.replace('_', ' ')}, {dtype}": (n, chain, matrix, dtype)
    for n, kind, chain, matrix, dtype in [
        (256, "dyadic", Chain.dyadic(256), noisy_hadamard, "float64"),
        (1024, "dyadic", Chain.dyadic(1024), noisy_hadamard, "float64"),
        (1024, "dyadic", Chain.dyadic(1024), noisy_hadamard, "float32"),
        (1024, "dyadic", Chain.dyadic(1024), gaussian, "complex128"),
        (4096, "dyadic", Chain.dyadic(4096), noisy_hadamard, "float64"),
        (4096, "dyadic", Chain.dyadic(4096), noisy_hadamard, "float32"),
        (1024, "Monarch", Chain.monarch(1024), noisy_hadamard, "float64"),
        (1024, "Monarch", Chain.monarch(1024), noisy_hadamard, "float32"),
        (1024, "Monarch", Chain.monarch(1024), gaussian, "float64"),
        (1024, "Monarch", Chain.monarch(1024), gaussian, "float32"),
        (4096, "Monarch", Chain.monarch(4096), noisy_hadamard, "float64"),
        (4096, "Monarch", Chain.monarch(4096), gaussian, "float64"),
        (1024, "Monarch rank 3", Chain.monarch(1024, rank=3), gaussian, "float64"),
        (4096, "four factors", Chain.radix(4096, (8,) * 4), gaussian, "float64"),
    ]
}


def run_lazylinop(A, chain):
    peer = lazylinop.Chain([tuple(p) for p in chain])
    tensor = torch.from_numpy(A)  # its fastest path
    return lambda: lazylinop.ksd(tensor, peer)


FACTORIZERS = {
    "ailys, from the left": lambda A, chain: lambda: butterfly(A, chain, order="left"),
    "ailys, best of both ends (default)": lambda A, chain: lambda: butterfly(A, chain),
    "lazylinop": run_lazylinop,
}


@CPU
@pytest.mark.parametrize("contestant", FACTORIZERS)
@pytest.mark.parametrize("case", CASES)
def test_factorize(benchmark, case, contestant):
    n, chain, matrix, dtype = CASES[case]
    A = matrix(n, dtype)
    benchmark.group = f"factorize: {case}"
    work = FACTORIZERS[contestant](A, chain)
    work()
    start = time.process_time()
    work()
    once = time.process_time() - start
    # about two seconds each, so that short ones run from warm caches as long ones do
    result = benchmark.pedantic(work, rounds=int(min(60, max(3, 2 / once))), warmup_rounds=1)
    if contestant.startswith("ailys"):
        benchmark.extra_info["relative_error"] = result.relative_error
    elif contestant == "lazylinop" and n <= 1024:
        dense = np.asarray(result @ np.eye(n, dtype=A.dtype))
        benchmark.extra_info["relative_error"] = float(np.linalg.norm(A - dense) / np.linalg.norm(A))
        ours = butterfly(A, chain, order="left").relative_error
        assert benchmark.extra_info["relative_error"] == pytest.approx(ours, rel=1e-5 if dtype == "float32" else 1e-10)


# -- products ----------------------------------------------------------------------------------

SIZES, BATCHES = (256, 512, 1024, 4096), (1, 16, 128, 512)


def factors_of(chain):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(tuple(p)).astype(np.float32) for p in chain]


def lazylinop_backends(chain, x):
    """The fastest of the peer's backends on this machine: arrays, tensors, SciPy sparse."""
    factors = factors_of(chain)
    tensors, tx = [torch.from_numpy(f) for f in factors], torch.from_numpy(x)
    candidates = [(lazylinop.ksm(factors), x), (lazylinop.ksm(tensors), tx)]
    for backend in ("scipy", "numpy"):
        try:
            candidates.append((lazylinop.ksm(factors, ksm_args={"backend": backend, "params": None}), x))
            candidates[-1][0] @ x
        except Exception:
            candidates = [c for c in candidates if len(candidates) <= 2 or c is not candidates[-1]]

    def seconds(pair):
        pair[0] @ pair[1]
        start = time.process_time()
        for _ in range(3):
            pair[0] @ pair[1]
        return time.process_time() - start

    operator, vectors = min(candidates, key=seconds)
    return lambda: operator @ vectors


def run_torch_structured(chain, x):
    if x.shape not in ((1024, 128), (256, 16)):
        pytest.skip("one size is enough: it is slower than the dense product")
    structured = pytest.importorskip("torch_structured")
    layer = structured.Butterfly(x.shape[0], x.shape[0], bias=False)
    rows = torch.from_numpy(np.ascontiguousarray(x.T))

    def work():
        with torch.no_grad():
            return layer(rows)

    return work


def ours(chain, x):
    operator = ButterflyOperator(factors_of(chain), chain)
    operator @ x  # chooses the plan
    return lambda: operator @ x


PRODUCTS = {
    "dyadic": {
        "ailys": ours,
        "lazylinop": lazylinop_backends,
        "dense": lambda chain, x: (lambda A: lambda: A @ x)(gaussian(x.shape[0], np.float32)),
        "torch-structured": run_torch_structured,
    },
    "Monarch": {
        "ailys": ours,
        "lazylinop": lazylinop_backends,
        "dense": lambda chain, x: (lambda A: lambda: A @ x)(gaussian(x.shape[0], np.float32)),
    },
}


@CPU
@pytest.mark.parametrize(("kind", "contestant"), [(k, c) for k, group in PRODUCTS.items() for c in group])
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("n", SIZES)
def test_product(benchmark, n, batch, kind, contestant):
    if kind == "Monarch" and n == 512:
        pytest.skip("512 has no square Monarch split")
    chain = Chain.dyadic(n) if kind == "dyadic" else Chain.monarch(n)
    x = np.random.default_rng(1).standard_normal((n, batch)).astype(np.float32)
    benchmark.group = f"product: {kind} {n}, batch {batch}, float32"
    work = PRODUCTS[kind][contestant](chain, x)
    work()
    start = time.process_time()
    work()
    once = max(time.process_time() - start, 2e-6)
    benchmark.pedantic(work, rounds=7, iterations=max(1, int(0.01 / once)), warmup_rounds=1)


@CPU
@pytest.mark.parametrize("contestant", ["pyfaust"])
@pytest.mark.parametrize("case", [case for case, (n, *_) in CASES.items() if n <= 1024 and "dyadic" in case])
def test_factorize_with_pyfaust(benchmark, case, contestant):
    """At the end, and up to order 1024: seconds a call, over a minute from 4096 on."""
    fact = pytest.importorskip("pyfaust.fact")
    n, _, matrix, dtype = CASES[case]
    A = matrix(n, dtype)
    benchmark.group = f"factorize: {case}"
    benchmark.pedantic(lambda: fact.butterfly(A, type="left"), rounds=3, warmup_rounds=1)
