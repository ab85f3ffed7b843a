"""Factorization in floating point: types, magnitudes, sizes, and blocks on which shortcuts would lose digits."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given

from ailys.butterfly import Chain, butterfly

from .conftest import chains, dense_product, gaussian, random_factors

# -- types and magnitudes ----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64", "complex128", "bfloat16"])
def test_the_factors_have_the_type_of_the_matrix(dtype):
    import ml_dtypes

    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    A = gaussian(np.random.default_rng(0), (32, 32)).astype(kind)
    for chain in ("dyadic", "monarch", "monarch:r=2"):
        answer = butterfly(A, chain)
        assert {x.dtype.name for x in answer.factors} == {dtype}
        wide = A.astype(complex if "complex" in dtype else float)
        eps = {"float16": 1e-3, "bfloat16": 1e-2, "float32": 1e-6, "complex64": 1e-6}.get(dtype, 1e-12)
        residual = np.linalg.norm(wide - answer.toarray().astype(wide.dtype))
        assert residual == pytest.approx(answer.error, rel=eps * 10)


def test_integers_booleans_lists_and_tensors_are_taken():
    H = scipy.linalg.hadamard(16)
    torch = pytest.importorskip("torch")
    for A in (H, H.tolist(), H > 0, np.asfortranarray(H), torch.tensor(H), scipy.sparse.csr_array(H)):
        answer = butterfly(A, "dyadic")
        assert answer.factors[0].dtype == np.float64
    half = butterfly(torch.tensor(H).to(torch.bfloat16), "dyadic")
    assert half.factors[0].dtype.name == "bfloat16"
    assert butterfly(H, "dyadic", dtype=np.float32).factors[0].dtype == np.float32


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e150, 1e300])
@pytest.mark.parametrize("chain", ["dyadic", "monarch", "monarch:r=2", "[(1,2,4,8),(2,4,4,4),(4,4,4,2),(8,4,2,1)]"])
def test_squares_neither_overflow_nor_vanish(scale, chain):
    A = gaussian(np.random.default_rng(0), (16, 16))
    plain, scaled = butterfly(A, chain), butterfly(scale * A, chain)
    assert scaled.error / scale == pytest.approx(plain.error, rel=1e-9)
    assert scaled.ratio == pytest.approx(plain.ratio, rel=1e-9)


def test_single_precision_of_any_magnitude():
    A = gaussian(np.random.default_rng(0), (32, 32)).astype(np.float32)
    for scale in (1e-35, 1e30):
        for order in ("left", "right"):
            scaled = butterfly(A * np.float32(scale), "dyadic", order=order)
            assert scaled.relative_error == pytest.approx(butterfly(A, "dyadic", order=order).relative_error, rel=1e-4)


@given(chains())
def test_the_zero_matrix_has_error_zero(chain):
    answer = butterfly(np.zeros(chain.shape), chain)
    assert (answer.error, answer.relative_error, answer.ratio, answer.exact) == (0.0, 0.0, 1.0, True)
    assert not answer.toarray().any()


@pytest.mark.parametrize("n", [1, 2])
def test_the_smallest_sizes(n):
    A = gaussian(np.random.default_rng(0), (n, n))
    answer = butterfly(A, "dyadic")
    assert answer.exact
    assert np.allclose(answer.toarray(), A)


def test_the_answer_is_reproducible_to_the_bit():
    A = gaussian(np.random.default_rng(0), (64, 64))
    for chain in ("dyadic", "monarch", "monarch:r=3"):
        one, two = butterfly(A, chain), butterfly(A.copy(), chain)
        assert all(np.array_equal(x, y) for x, y in zip(one.factors, two.factors, strict=True))


def test_the_input_is_left_alone_unless_allowed():
    A = gaussian(np.random.default_rng(0), (32, 32))
    kept = A.copy()
    w = np.linspace(1, 2, 32)
    butterfly(A, "dyadic", col_weight=w, refine=1)
    assert np.array_equal(A, kept)
    plain = butterfly(kept, "dyadic", col_weight=w)
    spent = butterfly(A, "dyadic", col_weight=w, overwrite=True)
    assert (spent.error, spent.lower_bound) == (plain.error, plain.lower_bound)


def test_a_matrix_changed_afterwards_gives_no_wrong_certificate():
    A = gaussian(np.random.default_rng(0), (32, 32))
    answer = butterfly(A, "dyadic")
    A *= 2
    with pytest.raises(RuntimeError, match="was changed"):
        answer.lower_bound


# -- matrices that are hard on algorithms ------------------------------------------------------


def test_a_block_whose_largest_row_misses_the_dominant_direction():
    A = np.zeros((11, 11))
    A[0, 0], A[1:, 1] = 3, 2.9
    answer = butterfly(A, Chain.low_rank(A.shape, 1))
    assert answer.error == pytest.approx(3.0, rel=1e-12)
    assert answer.optimal


def test_blocks_of_signs_with_repeated_columns():
    A = np.array(
        [[-1, -1, 1, 1, 1, 1], [-1, -1, -1, -1, 1, 1], [1] * 6, [1, 1, 1, 1, -1, -1], [-1] * 6, [-1, -1, 1, 1, -1, -1]]
    )
    assert butterfly(A, "lowrank:r=1").error ** 2 == pytest.approx(20, rel=1e-12)
    rng = np.random.default_rng(0)
    for _ in range(1500):
        n = int(rng.integers(3, 13))
        A = rng.choice([-1.0, 1.0], (n, n))[:, rng.integers(0, n, n)]
        tail = np.linalg.svd(A, compute_uv=False)[1:]
        assert butterfly(A, Chain.low_rank((n, n), 1)).error == pytest.approx(np.sqrt(np.sum(tail**2)), abs=1e-9)


@pytest.mark.parametrize("density", [0.02, 0.1, 0.3])
def test_sparse_matrices_are_projected_optimally(density):
    rng = np.random.default_rng(0)
    for _ in range(30):
        A = rng.integers(-2, 3, (64, 64)) * (rng.random((64, 64)) < density)
        blocks = A.reshape(8, 8, 8, 8).transpose(1, 2, 0, 3)
        tails = np.linalg.svd(blocks, compute_uv=False)[..., 1:]
        answer = butterfly(A, Chain.monarch(64))
        assert answer.error == pytest.approx(np.sqrt(np.sum(tails**2)), rel=1e-9, abs=1e-12)
        assert answer.ratio == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("scale", [1e-170, 1e-120, 1e-90, 1e-60, 1e60, 1e77, 1e120, 1e160])
def test_fourth_powers_neither_overflow_nor_vanish(scale):
    A = gaussian(np.random.default_rng(0), (16, 16))
    w = np.linspace(1, 2, 16)
    for chain in ("dyadic", "monarch", "monarch:r=2", "radix:4,4"):
        for options in ({}, {"refine": 2}, {"row_weight": w}, {"col_weight": 1e30 * w}, {"order": "balanced"}):
            plain, scaled = butterfly(A, chain, **options), butterfly(scale * A, chain, **options)
            assert scaled.error / scale == pytest.approx(plain.error, rel=1e-9)
            assert scaled.lower_bound / scale == pytest.approx(plain.lower_bound, rel=1e-9)
            assert scaled.unweighted_error / scale == pytest.approx(plain.unweighted_error, rel=1e-9)
        refined = butterfly(scale * A, chain).refine(scale * A, 2)
        assert refined.error / scale == pytest.approx(butterfly(A, chain, refine=2).error, rel=1e-9)
    padded = butterfly(scale * A[:10, :10], "dyadic", pad=True)
    assert padded.error / scale == pytest.approx(butterfly(A[:10, :10], "dyadic", pad=True).error, rel=1e-9)


def test_a_tiny_block_inside_a_matrix():
    A = gaussian(np.random.default_rng(0), (16, 16))
    A[:, :4] *= 1e-90
    for chain in ("monarch", "dyadic", "monarch:r=2"):
        answer = butterfly(A, chain)
        assert answer.ratio < 1.5
        assert np.linalg.norm(A - answer.toarray()) == pytest.approx(answer.error, rel=1e-10)
    V = np.vander(np.linspace(0.001, 0.01, 64), increasing=True)
    assert butterfly(V, Chain.monarch(64)).optimal


def test_factors_that_cannot_be_written_in_the_type_are_refused():
    with pytest.raises(ValueError, match="would overflow"):
        butterfly(np.full((64, 64), 1.7e308), "monarch")


@pytest.mark.parametrize("small", [1e-3, 1e-5, 1.1e-6, 1e-8])
def test_rank_two_is_exact_however_small_the_second_singular_value(small):
    rng = np.random.default_rng(0)
    U, V = np.linalg.qr(rng.standard_normal((30, 2)))[0], np.linalg.qr(rng.standard_normal((40, 2)))[0]
    answer = butterfly(U @ np.diag([1, small]) @ V.T, Chain.low_rank((30, 40), 2))
    assert answer.relative_error < 1e-15
    assert answer.exact


def test_a_type_narrower_than_the_computation_is_honest_about_its_error():
    X = dense_product(random_factors(np.random.default_rng(0), Chain.dyadic(16)))
    for dtype in (np.float32, np.float16):
        answer = butterfly(X, "dyadic", dtype=dtype)
        wide = dense_product([x.astype(np.float64) for x in answer.factors])
        assert np.linalg.norm(X - wide) == pytest.approx(answer.error, rel=1e-2)
    rounded = butterfly(X, "dyadic", dtype=np.float16)
    assert not rounded.exact
    assert "for every matrix" not in rounded.guarantee.statement
    finer = rounded.refine(X, 2)
    assert not finer.exact
    wide = dense_product([x.astype(np.float64) for x in finer.factors])
    assert np.linalg.norm(X - wide) == pytest.approx(finer.error, rel=1e-9)


def test_factors_that_vanish_in_the_type_are_refused():
    H = scipy.linalg.hadamard(8) * 1e-90
    for chain in ("dense", "dyadic"):
        with pytest.raises(ValueError, match="would vanish in float32"):
            butterfly(H, chain, dtype=np.float32)
    small = (scipy.linalg.hadamard(8) * 1e-42).astype(np.float32)
    assert butterfly(small, "dyadic").refine(small, 1).relative_error < 1e-6


@pytest.mark.parametrize("condition", [1e3, 1e8, 1e11])
def test_ill_conditioned_block_weights_are_measured(condition):
    rng = np.random.default_rng(0)
    chain = Chain.monarch(64)
    spectrum = np.diag(np.geomspace(1, 1 / condition, 8))
    rotations = [np.linalg.qr(rng.standard_normal((8, 8)))[0] for _ in range(16)]
    D = np.stack([rotations[2 * i] @ spectrum @ rotations[2 * i + 1] for i in range(8)])[..., None]
    A = butterfly(rng.standard_normal((64, 64)), chain).toarray()
    answer = butterfly(A, chain, col_weight=D)
    true = np.linalg.norm((A - answer.toarray()) @ dense_product([D]))
    assert true == pytest.approx(answer.error, rel=0.2, abs=1e-15 * answer.norm)


def test_one_changed_entry_anywhere_is_noticed():
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64, np.complex64):
        for change in (2.0, -1.0, 1 + 1e-6):
            A = gaussian(rng, (32, 32)).astype(dtype)
            answer = butterfly(A, "dyadic")
            A[tuple(rng.integers(0, 32, 2))] *= change
            with pytest.raises(RuntimeError, match="was changed"):
                answer.split_errors
    A = gaussian(rng, (32, 32))
    answer = butterfly(A, "dyadic")
    weighted = butterfly(A, "dyadic", col_weight=np.linspace(1, 2, 32))
    A[:] = A[::-1].copy()
    with pytest.raises(RuntimeError, match="was changed"):
        answer.split_errors
    with pytest.raises(RuntimeError, match="was changed"):
        weighted.unweighted_error
    with pytest.raises(RuntimeError, match="was changed"):
        answer.refine(A, 1)


def test_overwrite_with_weights_permutations_and_padding_gives_the_same_answer():
    rng = np.random.default_rng(0)
    A, w = gaussian(rng, (14, 16)), np.linspace(0.5, 2, 14)
    options = {"perm": [None, "bitrev"], "row_weight": w, "pad": True}
    plain, spent = butterfly(A, "dyadic", **options), butterfly(A.copy(), "dyadic", overwrite=True, **options)
    assert spent.to_dict() == plain.to_dict()
    A.setflags(write=False)
    assert butterfly(A, "dyadic", overwrite=True, **options).error == plain.error


def test_numpy_integers_are_numbers_too():
    A, two = gaussian(np.random.default_rng(0), (64, 64)), np.int64(2)
    assert butterfly(A, Chain.monarch(np.int64(64), p=np.int64(8), rank=two), refine=two).chain.ranks == (2,)
    assert Chain.low_rank((64, 64), two).ranks == (2,)


def test_wider_and_foreign_types_become_double():
    A = gaussian(np.random.default_rng(0), (16, 16))
    for foreign in (A.astype(np.longdouble), A.astype(">f8"), A.astype(">f4")):
        assert butterfly(foreign, "dyadic").factors[0].dtype in (np.float64, np.float32)
    torch = pytest.importorskip("torch")
    z = torch.tensor(A + 1j * A.T)
    assert np.allclose(butterfly(z.conj(), "dense").toarray(), (A + 1j * A.T).conj())
    assert butterfly(torch.tensor(A).to_sparse(), "dense").exact
