"""Factorization: exact error, optimality, the constant, weights, padding, sweeps, bad input."""

import itertools

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from ailys.butterfly import (
    Chain,
    butterfly,
    dft_factors,
    distance_lower_bound,
    hadamard_factors,
    split_errors,
    two_factor,
)
from ailys.butterfly.closed_forms import bit_reversal

from .conftest import chains, dense_product, gaussian, random_factors, seeds

ORDERS = st.sampled_from(["left", "right", "best", "balanced"])


@given(chains(), seeds, ORDERS, st.booleans())
def test_the_error_is_that_of_the_dense_residual(chain, seed, order, complex_entries):
    A = gaussian(np.random.default_rng(seed), chain.shape, complex_entries)
    answer = butterfly(A, chain, order=order)
    assert [x.shape for x in answer.factors] == [tuple(p) for p in chain]
    assert np.linalg.norm(A - dense_product(answer.factors)) == pytest.approx(answer.error, rel=1e-10, abs=1e-12)
    assert np.allclose(answer.toarray(), dense_product(answer.factors), atol=1e-12)
    if order in ("left", "right"):
        steps = np.sum(answer.step_errors**2) + answer.outside**2
        assert steps == pytest.approx(answer.error**2, rel=1e-12, abs=1e-24)


@given(chains(), seeds, ORDERS)
def test_the_certificate_brackets_the_error(chain, seed, order):
    A = gaussian(np.random.default_rng(seed), chain.shape)
    answer = butterfly(A, chain, order=order)
    assert answer.lower_bound <= answer.error
    if order != "balanced":
        assert answer.error <= answer.a_priori_bound * (1 + 1e-10) + 1e-12
        depth = len(chain.reduce()[0])
        assert answer.ratio <= np.sqrt(max(1, depth - 1)) * (1 + 1e-10)
    if answer.optimal:
        assert answer.ratio == pytest.approx(1, abs=1e-9)


@given(chains(), seeds, st.booleans())
def test_a_member_of_the_class_is_recovered(chain, seed, complex_entries):
    rng = np.random.default_rng(seed)
    factors = random_factors(rng, chain)
    if complex_entries:
        factors = [x + 1j * rng.standard_normal(x.shape) for x in factors]
    answer = butterfly(dense_product(factors), chain)
    assert answer.exact
    assert answer.guarantee.kind == "exact"


@given(chains(max_depth=3), seeds)
def test_split_errors_are_distances_to_two_factor_classes(chain, seed):
    A = gaussian(np.random.default_rng(seed), chain.shape)
    direct = [np.sqrt(two_factor(A, chain.product(0, l), chain.product(l))[2]) for l in range(1, len(chain))]
    assert np.allclose(split_errors(A, chain), direct, rtol=1e-9, atol=1e-9)


@given(chains(max_depth=3), seeds)
def test_the_transposed_problem_has_the_same_error(chain, seed):
    A = gaussian(np.random.default_rng(seed), chain.shape, complex_entries=True)
    one, two = butterfly(A, chain, order="left"), butterfly(A.T, chain.T, order="right" if len(chain) > 1 else "left")
    assert one.error == pytest.approx(two.error, rel=1e-10, abs=1e-12)
    assert np.allclose(one.toarray().T, two.toarray(), atol=1e-9)


@given(chains(max_depth=3), seeds, st.floats(1e-3, 1e3))
def test_scaling_the_matrix_scales_the_error(chain, seed, scale):
    A = gaussian(np.random.default_rng(seed), chain.shape)
    assert butterfly(scale * A, chain).error == pytest.approx(scale * butterfly(A, chain).error, rel=1e-9)


@given(chains(max_depth=3), seeds)
def test_a_stack_is_factorized_matrix_by_matrix(chain, seed):
    stack = gaussian(np.random.default_rng(seed), (3, *chain.shape))
    together = butterfly(stack, chain)
    assert isinstance(together, tuple)
    for A, answer in zip(stack, together, strict=True):
        alone = butterfly(A, chain)
        assert answer.error == pytest.approx(alone.error, rel=1e-12, abs=1e-14)
        assert np.allclose(answer.toarray(), alone.toarray(), atol=1e-9)


def test_two_factors_are_the_monarch_projection():
    # every 8 x 8 block of the reordered matrix is truncated to rank one
    A = gaussian(np.random.default_rng(0), (64, 64))
    answer = butterfly(A, Chain.monarch(64))
    blocks = A.reshape(8, 8, 8, 8).transpose(1, 2, 0, 3)
    tails = np.linalg.svd(blocks, compute_uv=False)[..., 1:]
    assert answer.error == pytest.approx(np.sqrt(np.sum(tails**2)), rel=1e-12)
    assert answer.optimal
    assert answer.guarantee.kind == "optimal"


def test_low_rank_is_the_truncated_svd():
    A = gaussian(np.random.default_rng(0), (30, 20))
    answer = butterfly(A, Chain.low_rank(A.shape, 5))
    assert answer.error == pytest.approx(np.sqrt(np.sum(np.linalg.svd(A, compute_uv=False)[5:] ** 2)), rel=1e-12)


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_rank_of_the_chain_against_svd_on_rectangular_blocks(rank):
    A = gaussian(np.random.default_rng(1), (48, 60), complex_entries=True)
    chain = Chain.from_splits((6, 8), (10, 6), rank)
    blocks = A.reshape(6, 8, 10, 6).transpose(1, 2, 0, 3)
    tails = np.linalg.svd(blocks, compute_uv=False)[..., rank:]
    assert butterfly(A, chain).error == pytest.approx(np.sqrt(np.sum(tails**2)), rel=1e-12)


@pytest.mark.parametrize("n", [64, 256, 1024])
def test_the_fourier_matrix_is_found_exactly_with_its_columns_in_bit_reversed_order(n):
    F = scipy.linalg.dft(n)
    answer = butterfly(F, "dyadic", perm="bitrev")
    assert answer.relative_error <= 1e-13
    assert np.linalg.norm(F - answer.toarray()) <= 1e-12 * np.linalg.norm(F)
    assert butterfly(F, Chain.monarch(n), perm="bitrev").relative_error <= 1e-13
    if n == 64:  # without the permutation, and with one of the rows, it is far away: published values
        assert butterfly(F, "dyadic").relative_error == pytest.approx(0.959, abs=0.03)
        assert butterfly(F[bit_reversal(n)], "dyadic").relative_error > 0.7


@pytest.mark.parametrize("n", [512, 1024, 2048, 4096])
def test_the_hadamard_matrix_is_found_exactly(n):
    answer = butterfly(scipy.linalg.hadamard(n), "dyadic", order="left")
    assert answer.relative_error <= 1e-13
    assert answer.ratio == 1
    assert answer.guarantee.kind == "exact"
    if n == 4096:  # rounding adds up over the blocks, and is not taken for a contradiction
        assert answer.lower_bound <= answer.error
    if n <= 1024:
        assert np.abs(answer.toarray() - scipy.linalg.hadamard(n)).max() < 1e-11


@pytest.mark.parametrize("n", [1, 2, 8, 32])
def test_closed_forms(n):
    assert np.allclose(dense_product(hadamard_factors(n)), scipy.linalg.hadamard(n))
    assert np.allclose(dense_product(dft_factors(n)), scipy.linalg.dft(n)[:, bit_reversal(n)])
    assert [x.shape for x in dft_factors(n)] == [tuple(p) for p in Chain.dyadic(n)]


def test_of_several_permutations_the_best_is_kept():
    F = scipy.linalg.dft(32)
    shuffled = np.random.default_rng(0).permutation(32)
    answer = butterfly(F, "dyadic", perm=[None, shuffled, "bitrev"])
    assert answer.exact
    assert np.array_equal(answer.perm, bit_reversal(32))
    assert np.allclose(answer.toarray(), F)


@given(seeds)
def test_white_noise_loses_the_dimension_of_the_class(seed):
    # E ||A + Z - answer||^2 / ||Z||^2 -> 1 - dim / (M N) for small noise Z around a generic member
    rng = np.random.default_rng(seed)
    chain = Chain([(1, 4, 4, 64), (4, 4, 4, 16), (16, 4, 4, 4), (64, 4, 4, 1)])
    X = dense_product(random_factors(rng, chain))
    Z = rng.standard_normal(X.shape)
    Z *= 1e-3 * np.linalg.norm(X) / np.linalg.norm(Z)
    law = np.sqrt(1 - chain.dim / Z.size)
    assert law == pytest.approx(0.9743, abs=1e-4)
    assert butterfly(X + Z, chain).error / np.linalg.norm(Z) == pytest.approx(law, rel=0.01)


test_white_noise_loses_the_dimension_of_the_class = settings(max_examples=3)(
    test_white_noise_loses_the_dimension_of_the_class
)


# -- weights, padding, refinement --------------------------------------------------------------


@given(chains(), seeds, st.booleans(), st.integers(0, 2))
def test_the_weighted_error_is_that_of_the_weighted_residual(chain, seed, permuted, sweeps):
    rng = np.random.default_rng(seed)
    A, w, v = gaussian(rng, chain.shape), rng.uniform(0.1, 3, chain.shape[0]), rng.uniform(0.1, 3, chain.shape[1])
    perm = rng.permutation(chain.shape[1]) if permuted else None
    answer = butterfly(A, chain, row_weight=w, col_weight=v, perm=perm, refine=sweeps)
    residual = A - answer.toarray()
    assert np.linalg.norm(w[:, None] * residual * v) == pytest.approx(answer.error, rel=1e-9, abs=1e-11)
    assert np.linalg.norm(residual) == pytest.approx(answer.unweighted_error, rel=1e-9, abs=1e-11)
    assert answer.lower_bound <= answer.error
    assert answer.weighted


def test_block_weights_keep_the_chain_and_weight_the_error():
    rng = np.random.default_rng(0)
    chain, A = Chain.monarch((32, 48)), rng.standard_normal((32, 48))
    first, last = chain[0], chain[1]
    row = rng.standard_normal((first.a, first.b, first.b, first.d))
    col = rng.standard_normal((last.a, last.c, last.c, last.d))
    answer = butterfly(A, chain, row_weight=row, col_weight=col)
    left, right = dense_product([row]), dense_product([col])
    assert np.linalg.norm(left @ (A - answer.toarray()) @ right) == pytest.approx(answer.error, rel=1e-9)
    assert answer.optimal


def test_second_moments_as_block_weights_beat_plain_projection_where_it_counts():
    # E ||(A - X) z||^2 for inputs z with covariance C: weight by a Cholesky factor of the diagonal blocks of C
    rng = np.random.default_rng(0)
    A, mix = rng.standard_normal((64, 64)), rng.standard_normal((64, 64)) * np.exp(-np.arange(64) / 8)
    inputs = mix @ rng.standard_normal((64, 4000))
    C = inputs @ inputs.T / 4000
    chain = Chain.monarch(64)
    blocks = np.stack([np.linalg.cholesky(C[8 * i : 8 * i + 8, 8 * i : 8 * i + 8]) for i in range(8)])[..., None]

    def loss(answer):
        return np.linalg.norm((A - answer.toarray()) @ inputs)

    assert loss(butterfly(A, chain, col_weight=blocks)) < 0.95 * loss(butterfly(A, chain))


def test_singular_weights_are_ridged_and_said_so():
    A = gaussian(np.random.default_rng(0), (16, 16))
    answer = butterfly(A, "monarch", col_weight=np.r_[0.0, np.ones(15)])
    assert "zeros" in answer.notes[0]
    assert answer.facts()["remarks"] == answer.notes[0]
    blocks = np.zeros((4, 4, 4, 1))
    blocks[:, 0, 0] = 1.0
    assert "singular" in butterfly(A, "monarch", col_weight=blocks).notes[0]


@pytest.mark.parametrize("shape", [(10, 10), (257, 31), (5, 1), (13, 64)])
@pytest.mark.parametrize("chain", ["dyadic", "monarch", "monarch:r=2"])
def test_padding_takes_any_shape_and_reports_the_error_of_the_cropped_matrix(shape, chain):
    A = gaussian(np.random.default_rng(0), shape)
    answer = butterfly(A, chain, pad=True, perm=[None, "bitrev"] if chain == "dyadic" else None)
    assert answer.toarray().shape == shape
    assert np.linalg.norm(A - answer.toarray()) == pytest.approx(answer.error, rel=1e-12)
    assert answer.lower_bound <= answer.error


@given(chains(), seeds)
def test_sweeps_never_increase_the_error_and_report_it_exactly(chain, seed):
    A = gaussian(np.random.default_rng(seed), chain.shape)
    errors = []
    for sweeps in range(4):
        answer = butterfly(A, chain, refine=sweeps)
        assert np.linalg.norm(A - answer.toarray()) == pytest.approx(answer.error, rel=1e-9, abs=1e-12)
        errors.append(answer.error)
    assert all(later <= earlier * (1 + 1e-12) for earlier, later in itertools.pairwise(errors))


def test_sweeps_gain_what_was_published():
    # Gaussian 64 x 64: .8934 -> .8747 after half a sweep, .8655 after five; L-BFGS reaches .8648
    A = gaussian(np.random.default_rng(0), (64, 64))
    start = butterfly(A, "dyadic", order="left")
    assert start.relative_error == pytest.approx(0.8934, abs=0.015)
    assert 0.965 < start.refine(A, 10).error / start.error < 0.985
    assert start.refine(A, 10).error == butterfly(A, "dyadic", order="left", refine=10).error


def test_refine_checks_that_it_gets_the_same_matrix():
    A = gaussian(np.random.default_rng(0), (16, 16))
    answer = butterfly(A, "dyadic")
    with pytest.raises(ValueError, match="not the matrix"):
        answer.refine(A + 1, 1)
    with pytest.raises(ValueError, match="shape"):
        answer.refine(A[:8], 1)


# -- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("A", "chain", "options", "words"),
    [
        (np.full((4, 4), np.nan), "dyadic", {}, "16 NaN or infinite entries, the first at row 0, column 0"),
        (np.diag([1.0, np.inf, 1, 1]), "monarch", {}, "1 NaN or infinite entries, the first at row 1, column 1"),
        (np.diag([1.0, 1, np.nan, 1]), "monarch:r=2", {}, "the first at row 2, column 2"),
        (np.zeros((0, 4)), "dense", {}, "empty"),
        (np.zeros(4), "dyadic", {}, "a matrix .* got an array of shape"),
        (np.zeros((1, 1, 1, 1)), "dyadic", {}, "a matrix .* got an array of shape"),
        (np.array([["a", "b"], ["c", "d"]]), "dyadic", {}, "matrix of numbers"),
        ([[1, 2], [3]], "dyadic", {}, "different lengths"),
        (np.eye(6), "dyadic", {}, "power of two; got 6 .*8"),
        (np.eye(6), Chain.dyadic(8), {}, "6 x 6 and the chain is for 8 x 8: pass pad=True"),
        (np.eye(9), Chain.dyadic(8), {}, "9 x 9 and the chain is for 8 x 8"),
        (np.eye(12), [(2, 2, 2, 3), (3, 2, 2, 2)], {}, "not chainable, and its transpose is not either"),
        (np.eye(8), "dyadic", {"order": "up"}, "order must be"),
        (np.eye(8), "dyadic", {"order": (1, 1)}, "each split position 1..2 once"),
        (np.eye(8), "dyadic", {"perm": "random"}, "perm must be"),
        (np.eye(8), "dyadic", {"perm": np.zeros(8, int)}, "each column number 0..7 once"),
        (np.eye(8), "dyadic", {"perm": []}, "empty list"),
        (np.eye(8), "dyadic", {"refine": -1}, "number of sweeps"),
        (np.eye(8), "dyadic", {"col_weight": np.ones(7)}, r"col_weight must have shape \(8,\)"),
        (np.eye(8), "dyadic", {"row_weight": -np.ones(8)}, "row_weight must be positive"),
        (np.eye(8), "dyadic", {"row_weight": np.full(8, np.nan)}, "row_weight has NaN"),
        (np.eye(8), "dyadic", {"dtype": int}, "dtype must be"),
        (1j * np.eye(8), "dyadic", {"dtype": float}, "complex matrix cannot be returned"),
        (np.eye(8), "dyadic", {"dtype": np.longdouble}, "dtype must be"),
        (np.eye(8), "dyadic", {"col_weight": 1j * np.ones(8)}, "col_weight must be real"),
        (np.eye(8), "dyadic", {"order": 3}, "order must be"),
        (np.eye(8), "dyadic", {"refine": True}, "number of sweeps"),
        (np.ma.masked_equal(np.eye(8), 0), "dyadic", {}, "masked"),
        (np.eye(4), "monarch", {"perm": np.arange(4), "col_weight": np.ones((2, 2, 2, 1))}, "fixed columns"),
    ],
)
def test_bad_input_gets_one_sentence(A, chain, options, words):
    with pytest.raises(ValueError, match=words) as refused:
        butterfly(A, chain, **options)
    assert "\n" not in str(refused.value)


def test_lower_bound_of_a_single_factor_is_the_energy_off_its_support():
    A = gaussian(np.random.default_rng(0), (8, 8))
    chain = Chain([(2, 4, 4, 1)])
    off = np.linalg.norm(A[:4, 4:]) ** 2 + np.linalg.norm(A[4:, :4]) ** 2
    assert distance_lower_bound(A, chain) == pytest.approx(np.sqrt(off))
    answer = butterfly(A, chain)
    assert answer.error == pytest.approx(np.sqrt(off))
    assert answer.ratio == pytest.approx(1)


def test_two_factor_refuses_what_it_cannot_take():
    with pytest.raises(ValueError, match="expected a matrix of shape"):
        two_factor(np.eye(5), (1, 2, 2, 2), (2, 2, 2, 1))
    with pytest.raises(ValueError, match="side must be"):
        two_factor(np.eye(4), (1, 2, 2, 2), (2, 2, 2, 1), side="up")
    with pytest.raises(ValueError, match="NaN"):
        two_factor(np.full((4, 4), np.nan), (1, 2, 2, 2), (2, 2, 2, 1))


def test_the_scale_is_in_the_factor_that_is_not_orthonormal():
    A = gaussian(np.random.default_rng(0), (16, 16))
    assert {order: butterfly(A, "dyadic", order=order).scale_side for order in ("left", "right")} == {
        "left": "right",
        "right": "left",
    }
