"""Products: every plan, layout and direction against the dense matrix; gradients; the GPU kernel."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st

from ailys.butterfly import ButterflyOperator, Chain, butterfly, hadamard_factors, ks_matmul
from ailys.butterfly.operator import PLANS
from ailys.butterfly.product import FusedStages

from .conftest import chains, dense_factor, dense_product, random_factors, seeds


def plans_for(chain):
    return [plan for plan in PLANS if plan != "fused" or FusedStages.takes(chain.patterns)]


@given(chains(max_depth=1), seeds, st.integers(1, 5), st.booleans())
def test_one_factor_times_a_batch_is_the_dense_product(chain, seed, batch, complex_entries):
    rng = np.random.default_rng(seed)
    (factor,) = random_factors(rng, chain)
    if complex_entries:
        factor = factor + 1j * rng.standard_normal(factor.shape)
    X = dense_factor(factor)
    v = rng.standard_normal((X.shape[1], batch))
    assert np.allclose(ks_matmul(v, factor), X @ v)
    assert np.allclose(ks_matmul(v[:, 0], factor), X @ v[:, 0])
    assert np.allclose(ks_matmul(v.T, factor, layout="first"), v.T @ X.T)
    stacked = np.broadcast_to(v.T, (2, *v.T.shape))
    assert np.allclose(ks_matmul(stacked, factor, chain[0], layout="first"), stacked @ X.T)


@given(chains(), seeds, st.sampled_from([1, 3, 20]), st.booleans())
def test_every_plan_and_direction_agrees_with_the_dense_matrix(chain, seed, batch, framed):
    rng = np.random.default_rng(seed)
    factors = random_factors(rng, chain)
    rows, cols = chain.shape
    perm, shape = (rng.permutation(cols), (max(1, rows - 1), max(1, cols - 2))) if framed else (None, None)
    dense = dense_product(factors)
    if framed:
        dense = dense[:, np.argsort(perm)][: shape[0], : shape[1]]
    X, Y = rng.standard_normal((dense.shape[1], batch)), rng.standard_normal((dense.shape[0], batch))
    for plan in plans_for(chain):
        op = ButterflyOperator(factors, chain, perm=perm, shape=shape, plan=plan)
        assert np.allclose(op @ X, dense @ X)
        assert np.allclose(op.H @ Y, dense.conj().T @ Y)
        assert np.allclose(op.T @ Y, dense.T @ Y)
        assert np.allclose(op.matvec(X[:, 0]), dense @ X[:, 0])
        assert np.allclose(op.rmatvec(Y[:, 0]), dense.T @ Y[:, 0])
        assert np.allclose(op.rmatmat(Y), dense.T @ Y)
        assert np.allclose(op.H.H @ X, dense @ X)
        assert (op @ X[:, 0]).shape == (dense.shape[0],)
        first = ButterflyOperator(factors, chain, perm=perm, shape=shape, plan=plan, layout="first")
        assert np.allclose(first.apply(X.T), X.T @ dense.T)


@pytest.mark.parametrize("n", [2, 8, 64, 512])
@pytest.mark.parametrize("batch", [1, 4, 5, 16, 17, 100])
def test_the_fused_kernel_runs_the_dyadic_chain(n, batch):
    rng = np.random.default_rng(0)
    factors = random_factors(rng, Chain.dyadic(n), np.float32)
    x = rng.standard_normal((n, batch)).astype(np.float32)
    slow, fused = ButterflyOperator(factors, plan="factors"), ButterflyOperator(factors, plan="fused")
    assert np.allclose(fused @ x, slow @ x, atol=1e-3 * np.abs(slow @ x).max())
    assert np.allclose(fused.T @ x, slow.T @ x, atol=1e-3 * np.abs(slow.T @ x).max())
    rows = ButterflyOperator(factors, plan="fused", layout="first")
    assert np.allclose(rows.apply(x.T), (fused @ x).T, atol=1e-3 * np.abs(slow @ x).max())


def test_strided_fortran_and_integer_inputs():
    op = ButterflyOperator(hadamard_factors(16))
    H = scipy.linalg.hadamard(16)
    X = np.arange(16 * 12).reshape(16, 12)
    for view in (X, X[:, ::2], np.asfortranarray(X), X[:, :1], X[:, :0], X.astype(np.float32)[:, ::-1]):
        assert np.array_equal(op @ view, H @ view)


@pytest.mark.parametrize(
    ("factor", "vector", "result"),
    [("float32", "float32", "float32"), ("float32", "float64", "float64"), ("float64", "float32", "float64"),
     ("float32", "int64", "float32"), ("float16", "float16", "float16"), ("complex64", "float32", "complex64"),
     ("float32", "complex64", "complex64"), ("float16", "int64", "float16"), ("float16", "float32", "float32"),
     ("float16", "bool", "float16"), ("float64", "longdouble", "float64")],
)  # fmt: skip
def test_types_of_products(factor, vector, result):
    factors = [x.astype(factor) for x in hadamard_factors(8)]
    op = ButterflyOperator(factors)
    x = np.arange(8).astype(vector)
    assert (op @ x).dtype == result
    for plan in ("fused", "factors"):
        assert ButterflyOperator(factors, plan=plan, layout="first").apply(x).dtype == result
    assert np.allclose(op @ x, scipy.linalg.hadamard(8) @ x)


def test_scipy_solvers_take_the_operator():
    from scipy.sparse.linalg import LinearOperator, lsqr, svds

    rng = np.random.default_rng(0)
    answer = butterfly(rng.standard_normal((64, 64)), Chain.monarch(64, rank=3))
    op = answer.operator()
    assert isinstance(op, LinearOperator)
    b = rng.standard_normal(64)
    assert np.allclose(answer.toarray() @ lsqr(op, b, iter_lim=2000, atol=1e-14, btol=1e-14)[0], b, atol=1e-5)
    assert np.allclose(svds(op, k=1)[1], np.linalg.norm(answer.toarray(), 2))
    assert op.flops == 2 * answer.n_params
    assert op.bytes == 8 * answer.n_params


def test_an_operator_travels_between_processes():
    import pickle

    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 3))
    for plan in ("fused", "factors", "merged", "dense", "auto"):
        op = ButterflyOperator(random_factors(rng, Chain.dyadic(64)), plan=plan)
        expected = op @ x
        assert np.allclose(pickle.loads(pickle.dumps(op)) @ x, expected)


def test_chains_that_are_valid_but_not_chainable_still_multiply():
    rng = np.random.default_rng(0)
    factors = random_factors(rng, Chain([(2, 2, 2, 3), (3, 2, 2, 2)]))
    x = rng.standard_normal((12, 4))
    for plan in ("auto", "dense", "factors", "merged"):
        assert np.allclose(ButterflyOperator(factors, plan=plan) @ x, dense_product(factors) @ x)


def test_empty_batches_have_empty_products():
    op = ButterflyOperator(hadamard_factors(8))
    assert (op @ np.ones((8, 0))).shape == (8, 0)
    assert ButterflyOperator(hadamard_factors(8), layout="first").apply(np.ones((0, 8))).shape == (0, 8)
    assert ks_matmul(np.ones((0, 4)), np.ones((1, 3, 4, 1)), layout="first").shape == (0, 3)
    torch = pytest.importorskip("torch")
    assert ks_matmul(torch.ones(0, 4), torch.ones(1, 3, 4, 1), layout="first").shape == (0, 3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ks_matmul(np.ones(5), np.ones((1, 2, 2, 2))), "takes 4 features"),
        (lambda: ks_matmul(np.ones(4), np.ones((2, 2))), r"shape \(a, b, c, d\)"),
        (lambda: ks_matmul(np.ones(4), np.ones((1, 2, 2, 2)), layout="middle"), "'first' or 'last'"),
        (lambda: ButterflyOperator(hadamard_factors(8), plan="quick"), "plan must be one of"),
        (lambda: ButterflyOperator([np.ones((1, 4, 4, 1))], plan="fused"), "2 x 2 factors"),
        (lambda: ButterflyOperator(hadamard_factors(8)) @ np.ones(7), "8 x 8; got vectors of length 7"),
        (lambda: ButterflyOperator(hadamard_factors(8), Chain.dyadic(16)), "factor"),
        (lambda: ButterflyOperator(hadamard_factors(8), layout="middle"), "layout must be"),
        (lambda: ButterflyOperator(hadamard_factors(8), perm=np.arange(3)), "each column number 0..7 once"),
        (lambda: ButterflyOperator(hadamard_factors(8), shape=(9, 8)), "does not fit"),
        (lambda: ButterflyOperator(hadamard_factors(8)).apply(np.ones((8, 2, 2))), "layout 'last'"),
        (lambda: ks_matmul(3.0, np.ones((1, 2, 2, 2))), "takes 4 features"),
    ],
)
def test_bad_products_are_explained(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# -- gradients ---------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", [(1, 2, 3, 2), (2, 3, 2, 2), (2, 2, 2, 1), (1, 3, 4, 1)])
@pytest.mark.parametrize("complex_entries", [False, True])
def test_first_and_second_derivatives(pattern, complex_entries):
    torch = pytest.importorskip("torch")
    from ailys.butterfly import KSLinearFunction

    dtype = torch.complex128 if complex_entries else torch.float64
    a, _b, c, d = pattern
    torch.manual_seed(0)
    x = torch.randn(*pattern, dtype=dtype, requires_grad=True)
    v = torch.randn(a * c * d, 3, dtype=dtype, requires_grad=True)
    assert torch.autograd.gradcheck(KSLinearFunction.apply, (v, x))
    assert torch.autograd.gradgradcheck(KSLinearFunction.apply, (v, x))


def test_tensors_give_the_same_products_as_arrays():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    factor, x = rng.standard_normal((2, 3, 4, 5)), rng.standard_normal((40, 7))
    for layout, v in (("last", x), ("first", x.T.copy()), ("last", x[:, 0].copy())):
        expected = ks_matmul(v, factor, layout=layout)
        found = ks_matmul(torch.tensor(v), torch.tensor(factor), layout=layout)
        assert np.allclose(found.numpy(), expected)


def test_a_chain_can_be_trained():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    chain = Chain.dyadic(16)
    factors = [torch.nn.Parameter(0.7 * torch.randn(*p)) for p in chain]
    target = torch.randn(16, 16)
    optimizer = torch.optim.Adam(factors, lr=0.03)
    losses = []
    for _ in range(300):
        y = torch.eye(16)
        for x in reversed(factors):
            y = ks_matmul(y, x)
        loss = ((y - target) ** 2).sum().sqrt()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    answer = butterfly(target.numpy(), chain)
    assert losses[-1] < losses[0]
    assert losses[-1] >= answer.lower_bound * (1 - 1e-5)


TRITON = """
    import torch
    from ailys.butterfly._triton import available, ks_forward
    from ailys.butterfly import ks_matmul
    assert available()
    torch.manual_seed(0)
    for a, b, c, d in ((1, 4, 4, 4), (2, 20, 3, 2), (3, 5, 33, 1)):
        for batch in (1, 40):
            x, v = torch.randn(a, b, c, d), torch.randn(a * c * d, batch)
            expected = ks_matmul(v.double(), x.double())
            gap = (ks_forward(v, x).double() - expected).abs().max() / expected.abs().max()
            assert gap < 1e-5, (a, b, c, d, batch, float(gap))
    half = ks_forward(v.half(), x.half())
    assert half.dtype == torch.float16
    assert (half.double() - expected).abs().max() / expected.abs().max() < 5e-3
    print("kernel is right")
"""


def test_the_gpu_kernel_is_right_under_the_interpreter():
    pytest.importorskip("torch")
    pytest.importorskip("triton")
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(TRITON)], env=environment, capture_output=True, text=True, check=False
    )
    assert "kernel is right" in done.stdout, done.stderr


def test_the_gpu_module_imports_without_triton():
    script = "import sys; sys.modules['triton'] = None; from ailys.butterfly import _triton; print(_triton.available())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
