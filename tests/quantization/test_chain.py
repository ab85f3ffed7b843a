"""Chains: exact errors against dense products, published numbers, methods against each other and brute force."""

import itertools

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from ailys.butterfly import Chain, butterfly, dft_factors, hadamard_factors, ks_matmul
from ailys.butterfly.truncation import dense_of
from ailys.quantization import Codebook, FloatFormat, precision_bits_curve, quantize_chain
from ailys.quantization.chain_error import chain_error
from ailys.quantization.paths import _by_counting, single_path

from .conftest import dense, projected, random_chain, round_t

METHODS = ("rtn", "pairwise", "left_to_right", "right_to_left", "beam", "auto")


def fft_factors(n):
    """Butterflies of a fast Fourier transform, smallest blocks first, no bit reversal."""
    factors = []
    for s in range(1, n.bit_length()):
        twiddle = np.exp(-2j * np.pi * np.arange(2 ** (s - 1)) / 2**s)
        x = np.ones((n >> s, 2, 2, 2 ** (s - 1)), complex)
        x[:, 0, 1], x[:, 1, 1] = twiddle, -twiddle
        factors.append(x)
    return factors


def true_error(factors, answer):
    A = dense(factors)
    return np.linalg.norm(A - answer.scale * dense(answer.factors)) / np.linalg.norm(A)


# -- the exact error ---------------------------------------------------------------------------

CHAINS = [Chain.dyadic(16), Chain.monarch((24, 36)), Chain.radix(24, (2, 3, 4)), Chain.from_splits((2, 3, 2), (3, 2, 4)),
          Chain([(4, 2, 2, 1), (2, 2, 2, 2), (1, 2, 2, 4)]), Chain.low_rank((5, 7), 1), Chain.dense((4, 6))]  # fmt: skip


@pytest.mark.parametrize("chain", CHAINS, ids=str)
@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("t", [1, 3, 9, 20])
def test_the_error_is_that_of_the_dense_product(chain, is_complex, t):
    factors = random_chain(np.random.default_rng(t), chain, is_complex)
    for method in METHODS:
        if is_complex and (method == "beam" or (t > 3 and method != "rtn")):
            continue
        answer = quantize_chain(factors, t, method=method)
        assert answer.error_kind == "exact"
        assert answer.error == pytest.approx(true_error(factors, answer), rel=1e-6, abs=2e-15)


def test_tiny_errors_keep_their_digits():
    # the difference of squared norms would have lost them below 1e-8
    rng = np.random.default_rng(0)
    factors = random_chain(rng)
    shifted = [x * (1 + 1e-11 * rng.standard_normal(x.shape)) for x in factors]
    gauge = 3.7
    shifted[0], shifted[1] = shifted[0] * gauge, shifted[1] / gauge
    A = dense(factors)
    assert chain_error(factors, shifted, 1.0, Chain.dyadic(16))[0] == pytest.approx(
        np.linalg.norm(A - dense(shifted)) / np.linalg.norm(A), rel=1e-3
    )


def test_errors_above_one_and_wide_data_are_not_lost():
    rng = np.random.default_rng(20)
    wide = [10.0 ** rng.uniform(-12, 0, tuple(p)) for p in Chain.dyadic(8)]
    signs = Codebook([-1, 1])
    answer = quantize_chain(wide, signs, method="rtn")
    assert answer.error == pytest.approx(true_error(wide, answer), rel=1e-9)
    assert answer.excess is None
    fifth = [rng.standard_normal(tuple(p)) ** 5 for p in Chain.dyadic(64)]
    plain = random_chain(rng, Chain.dyadic(256))
    for factors in (fifth, plain):
        for method in ("rtn", "left_to_right", "right_to_left", "pairwise"):
            answer = quantize_chain(factors, signs, method=method)
            assert answer.error_kind == "exact"
            assert answer.error == pytest.approx(true_error(factors, answer), rel=1e-11)


def test_an_error_that_rounding_hides_is_bounded_and_not_called_exact(monkeypatch):
    from ailys.quantization import chain_error as module

    factors = random_chain(np.random.default_rng(0))
    answer = quantize_chain(factors, 6, method="rtn")
    monkeypatch.setattr(module, "_DIGITS", 0.0)
    monkeypatch.setattr(module, "_ZERO", 0.0)
    hidden = quantize_chain(factors, 6, method="rtn")
    assert (hidden.error_kind, hidden.excess) == ("upper", None)
    assert answer.error <= hidden.error <= answer.error * (1 + 1e-9)
    assert "at most" in hidden.guarantee.statement


@pytest.mark.parametrize("chain", [*CHAINS, Chain.monarch(16, rank=2), Chain([(2, 3, 2, 1), (1, 4, 3, 1)]),
                                   Chain([(1, 2, 2, 3), (1, 3, 2, 2)]), Chain([(1, 6, 6, 1), (1, 6, 6, 1)])], ids=str)  # fmt: skip
def test_single_paths_are_counted_right(chain):
    supports = [chain.support(l).toarray() for l in range(len(chain))]
    paths = supports[0]
    for s in supports[1:]:
        paths = paths @ s
    assert single_path(chain) == (paths.max() <= 1) == _by_counting(chain)


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_single_paths_in_random_orders(seed):
    rng = np.random.default_rng(seed)
    sizes = [int(v) for v in rng.choice([2, 3, 4], 3)]
    n = int(np.prod(sizes))
    patterns = []
    for position in rng.permutation(3)[: rng.integers(1, 4)]:
        b = sizes[position]
        a = int(np.prod(sizes[:position]))
        patterns.append((a, b, b, n // a // b))
    if rng.random() < 0.5:
        patterns.append(patterns[0])
    chain = Chain(patterns)
    assert single_path(chain) == _by_counting(chain)


def test_sums_of_several_paths_are_compared_densely_or_estimated(monkeypatch):
    from ailys.quantization import chain_error as module

    factors = projected(64, 0, chain="monarch:r=2")
    answer = quantize_chain(factors, 3)
    assert (answer.error_kind, answer.excess) == ("exact", None)
    assert answer.error == pytest.approx(true_error(factors, answer), rel=1e-10)
    monkeypatch.setattr(module, "_DENSE", 0)
    guess = quantize_chain(factors, 3)
    assert guess.error_kind == "estimate"
    assert guess.guarantee is None
    assert guess.error == pytest.approx(answer.error, rel=0.3)


# -- published numbers ---------------------------------------------------------------------------

REAL = {  # relative errors of the projection of a Gaussian matrix of order 256, mean of 5 draws
    "rtn": {2: 0.256, 3: 0.127, 4: 0.0640, 5: 0.0319, 6: 0.0162, 7: 0.0079, 8: 0.0041, 10: 0.0010},
    "pairwise": {2: 0.170, 3: 0.0688, 4: 0.0273, 5: 0.0105, 6: 0.00411, 7: 0.00161, 8: 6.43e-4, 10: 9.92e-5},
    "left_to_right": {2: 0.110, 3: 0.0421, 4: 0.0159, 5: 0.00591, 6: 0.00226, 7: 8.44e-4, 8: 3.40e-4, 10: 5.05e-5},
}


def test_errors_on_gaussian_projections_are_the_published_ones():
    draws = [projected(256, seed) for seed in range(5)]
    for method, errors in REAL.items():
        for t, expected in errors.items():
            mean = np.mean([quantize_chain(f, t, method=method).error for f in draws])
            assert mean == pytest.approx(expected, rel=0.08), (method, t)
    for t, expected in {4: 0.0119, 6: 0.00141, 8: 1.90e-4}.items():
        assert np.mean([quantize_chain(f, t, method="beam").error for f in draws[:3]]) <= 1.08 * expected


def test_complex_errors_are_not_above_the_published_ones():
    published = {2: 0.0718, 3: 0.0250, 4: 0.00947, 5: 0.00368}
    factors = projected(256, 0, is_complex=True)
    for t, error in published.items():
        assert quantize_chain(factors, t, method="left_to_right").error <= error


def test_plain_rounding_of_the_fourier_factors_is_deterministic():
    factors = fft_factors(256)
    for t, expected in {2: 0.1375, 3: 0.0714, 4: 0.0306, 5: 0.0238, 6: 0.00850, 7: 0.00478}.items():
        assert quantize_chain(factors, t, method="rtn").error == pytest.approx(expected, abs=1e-4)
    for t, best in {2: 0.0404, 3: 0.0130, 4: 0.00413}.items():
        answer = quantize_chain(factors, t, method="left_to_right")
        assert answer.error <= best
        assert answer.error_kind == "exact"


@pytest.mark.parametrize("n", [2, 8, 64, 512])
def test_hadamard_matrices_are_exact_with_one_bit(n):
    factors = [x / np.sqrt(2) for x in hadamard_factors(n)]
    for method in ("pairwise", "left_to_right", "beam", "auto"):
        answer = quantize_chain(factors, 1, method=method)
        assert answer.error < 1e-13
        # a sign for each entry, one exponent for a factor
        assert (answer.bits.exponent, answer.bits.mantissa) == (0, 0)
        assert answer.bits.sign == answer.chain.n_params


def test_about_a_third_of_the_significant_bits_is_saved_for_small_blocks_and_less_for_large_ones():
    small = precision_bits_curve(projected(256, 0), range(2, 9), ("rtn", "left_to_right"))
    assert 0.30 < small.bits_saved(8, "left_to_right") / 8 < 0.36
    assert small.slope("rtn") == pytest.approx(-1, abs=0.03)
    assert small.slope("left_to_right") == pytest.approx(-1.39, abs=0.06)
    large = precision_bits_curve(
        random_chain(np.random.default_rng(0), Chain.monarch(256)), range(2, 9), ("rtn", "pairwise")
    )
    assert large.bits_saved(8, "pairwise") / 8 < 0.15


def test_curves_speak_of_the_best_method_unless_told():
    curve = precision_bits_curve(projected(32, 0), (3, 4, 5), ("rtn", "pairwise", "left_to_right"))
    assert curve.best_method == "left_to_right"
    assert curve.bits_saved(5) == curve.bits_saved(5, "left_to_right") > curve.bits_saved(5, "pairwise")
    assert curve.slope() == curve.slope("left_to_right")
    assert curve.total_saved(5) == curve.total_saved(5, "left_to_right")
    alone = precision_bits_curve(projected(32, 0), (3, 4), ("rtn",))
    assert alone.slope() == alone.slope("rtn")
    with pytest.raises(ValueError, match="pairwise"):
        curve.slope("beam")


# -- guarantees ------------------------------------------------------------------------------------


def test_two_factors_are_optimal():
    rng = np.random.default_rng(0)
    for _ in range(10):
        factors = random_chain(rng, Chain.monarch((2, 4)))  # blocks 1 x 2, few enough for exhaustive search
        answer = quantize_chain(factors, 2, scale=False)
        assert answer.excess is not None
        A = dense(factors)
        # block by block: column i times row i, exhaustively
        spread = np.concatenate([[1.0, 1.5] * np.array(2.0**e) for e in range(-7, 3)])
        spread = np.concatenate([-spread, [0], spread])
        total = 0.0
        x, y = (dense_of(f) for f in factors)
        for i in range(x.shape[1]):
            col, row = x[:, i], y[i]
            col, row = col[col != 0], row[row != 0]
            best = np.inf
            lead = int(np.argmax(np.abs(col)))
            for first in (1.0, 1.5):
                for rest in itertools.product(spread, repeat=len(col) - 1):
                    hat = np.insert(np.array(rest), lead, first)
                    best = min(
                        best,
                        np.sum((np.outer(col, row) - np.outer(hat, round_t(col @ hat / (hat @ hat) * row, 2))) ** 2),
                    )
            total += best
        best = np.sqrt(total) / np.linalg.norm(A)
        assert answer.error <= best * answer.excess + 1e-12
        assert answer.error >= best - 1e-12


@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_auto_is_never_worse_than_any_method(seed):
    rng = np.random.default_rng(seed)
    chain = CHAINS[int(rng.integers(len(CHAINS)))]
    factors = random_chain(rng, chain, bool(rng.random() < 0.3))
    if rng.random() < 0.3:
        factors = [x * (rng.random(x.shape) < 0.6) for x in factors]
    fmt = [1, 2, 4, 5, "e4m3", "e2m1", "bfloat16"][int(rng.integers(7))]
    answer = quantize_chain(factors, fmt)
    assert answer.error <= answer.error_rtn * (1 + 1e-12) + 1e-15
    assert answer.error <= 1.0101 * min(answer.errors.values()) + 1e-15
    if np.linalg.norm(dense(factors)) > 0:
        assert answer.error == pytest.approx(true_error(factors, answer), rel=1e-6, abs=1e-14)


@pytest.mark.parametrize("fmt", ["int4", "int8", Codebook([-2, -1, 0, 1, 2])])
def test_integer_grids_beat_scaling_by_the_largest_entry(fmt):
    factors = projected(64, 0)
    answer = quantize_chain(factors, fmt)
    assert answer.error < 0.8 * answer.error_rtn
    assert answer.error == pytest.approx(true_error(factors, answer), rel=1e-9)
    levels = answer.formats[0].levels
    assert all(np.isin(x, levels).all() for x in answer.factors)


@pytest.mark.parametrize("name", ["e4m3", "bfloat16", "float16", "e2m1", "e5m2"])
def test_bounded_formats_hold_the_factors(name):
    factors = [x * 1e4 for x in projected(64, 0)]
    answer = quantize_chain(factors, name)
    product = [x.astype(float) for x in answer.astype_native()]
    assert all(np.array_equal(x, y) for x, y in zip(product, answer.factors, strict=True))
    assert answer.bits_per_weight == pytest.approx(answer.formats[0].bits, abs=0.5)
    assert answer.error == pytest.approx(true_error(factors, answer), rel=1e-9)


def test_a_format_for_each_factor():
    factors = projected(16, 0)
    answer = quantize_chain(factors, [2, 3, FloatFormat(4), "e4m3"], method="left_to_right")
    for x, t in zip(answer.factors, (2, 3, 4, 4), strict=True):
        assert np.array_equal(x, round_t(x, t))


def test_long_columns_go_by_slabs():
    rng = np.random.default_rng(0)
    factors = [rng.standard_normal((1, 70, 1, 1)), rng.standard_normal((1, 1, 80, 1))]
    from ailys.quantization import quantize_rank_one

    answer = quantize_chain(factors, 5, scale=False)
    alone = quantize_rank_one(factors[0].ravel(), factors[1].ravel(), 5)
    assert answer.errors["pairwise"] == pytest.approx(alone.error, rel=1e-10)


def test_many_bits_are_sampled_and_still_gain():
    answer = quantize_chain(projected(16, 0), 24)
    assert answer.error < answer.error_rtn / 5
    assert quantize_chain(projected(16, 0, chain="monarch"), 24).excess is None


def test_sampled_columns_are_not_called_optimal(monkeypatch):
    from ailys.quantization import chain as module

    factors = projected(16, 0, chain="monarch")
    assert quantize_chain(factors, 4).excess is not None
    monkeypatch.setattr(module, "MAX_BREAKPOINTS", 63)  # 4 + 4 entries with 8 steps each are 64
    assert quantize_chain(factors, 4).excess is None


def test_curves_take_a_generator():
    factors = projected(16, 0)
    assert precision_bits_curve((x for x in factors), (3, 4)).errors == precision_bits_curve(factors, (3, 4)).errors


def test_threads_change_nothing(monkeypatch):
    from ailys.quantization import steps

    factors = projected(64, 0)
    one = quantize_chain(factors, 4, n_jobs=1)
    monkeypatch.setattr(steps, "_FEW", 0)
    two = quantize_chain(factors, 4, n_jobs=2)
    assert all(np.array_equal(x, y) for x, y in zip(one.factors, two.factors, strict=True))


def test_scales_of_the_factors_do_not_matter():
    factors = projected(32, 0)
    answer = quantize_chain(factors, 4)
    scaled = [x * s for x, s in zip(factors, (1e200, 1e-150, 3e-40, 1, 1e5), strict=True)]
    assert quantize_chain(scaled, 4, method="beam").error == pytest.approx(
        quantize_chain(factors, 4, method="beam").error
    )
    assert answer.error < 0.05


def test_zeros_are_kept():
    factors = projected(16, 0)
    factors[1][...] = 0
    answer = quantize_chain(factors, 4)
    assert (answer.error, answer.toarray().any()) == (0, False)
    factors = projected(16, 1)
    factors[0][:, :, 0] = 0
    factors[2][:, 1] = 0
    answer = quantize_chain(factors, 4)
    assert answer.error == pytest.approx(true_error(factors, answer), rel=1e-9)


# -- input and output ----------------------------------------------------------------------------


def test_factors_may_come_in_several_forms():
    A = np.random.default_rng(0).standard_normal((16, 16))
    fact = butterfly(A, "dyadic", perm="bitrev")
    given_fact = quantize_chain(fact, 4)
    assert given_fact.toarray() == pytest.approx(
        given_fact.scale * dense(given_fact.factors)[:, np.argsort(fact.perm)], abs=1e-12
    )
    for other in (
        list(fact.factors),
        [dense_of(x) for x in fact.factors],
        [scipy.sparse.csr_array(dense_of(x)) for x in fact.factors],
        [x.astype(np.float64).tolist() for x in fact.factors],
    ):
        assert quantize_chain(other, 4).error == given_fact.error
    holes = [dense_of(x) for x in fact.factors]
    holes[0][0, 0] = 0
    assert quantize_chain(holes, 4, patterns=[tuple(p) for p in fact.chain]).error < 0.1
    with pytest.raises(ValueError, match="patterns="):
        quantize_chain(holes, 4)


def test_padded_matrices_keep_their_shape():
    A = np.random.default_rng(0).standard_normal((10, 12))
    answer = quantize_chain(butterfly(A, "monarch", pad=True), 6)
    assert answer.toarray().shape == (10, 12)
    assert np.allclose(answer.H @ np.eye(10), answer.toarray().T)
    x = np.random.default_rng(1).standard_normal((12, 3))
    assert np.allclose(answer.matvec(x), answer.toarray() @ x)


def test_complex_operators_are_conjugated():
    answer = quantize_chain(dft_factors(8), 5)
    assert np.allclose(answer.H @ np.eye(8), answer.toarray().conj().T)
    assert np.allclose(answer.matvec(np.ones(8)), answer.toarray() @ np.ones(8))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda f: quantize_chain([], 4), "empty list"),
        (lambda f: quantize_chain(5, 4), "list of 4-D arrays"),
        (lambda f: quantize_chain([np.full((1, 2, 2, 1), np.nan)], 4), r"factors\[0\] has NaN"),
        (lambda f: quantize_chain([np.ones(3)], 4), "4-D array"),
        (lambda f: quantize_chain([np.ones((1, 0, 2, 1))], 4), "no entries"),
        (lambda f: quantize_chain([np.ones((1, 2, 2, 1)), np.ones((1, 3, 3, 1))], 4), "factors 1 and 2 do not fit"),
        (lambda f: quantize_chain(f, 4, method="best"), "method must be one of"),
        (lambda f: quantize_chain(f, 4, beam=0), "beam must be"),
        (lambda f: quantize_chain(f, [4, 4]), "one for each of the 3 factors"),
        (lambda f: quantize_chain(f, 4, patterns=[(1, 2, 2, 4)]), "patterns must be one for each"),
        (lambda f: quantize_chain(dft_factors(8), "int4"), "complex"),
        (lambda f: quantize_chain(dft_factors(8), 4, method="beam"), "real factors"),
        (lambda f: quantize_chain([np.ones((1, 2, 2, 1)) * 1e200] * 2, 4), "range of double precision"),
    ],
)
def test_bad_input_gets_a_sentence(call, words):
    with pytest.raises(ValueError, match=words):
        call(random_chain(np.random.default_rng(0), Chain.dyadic(8)))


def test_the_answer_reads_well():
    answer = quantize_chain(projected(16, 0, chain="monarch"), 4)
    assert "no other factors" in answer.summary() or "times the smallest" in answer.summary()
    report = answer.to_dict()
    assert (
        report["bits"]
        == answer.bits.total
        == sum(report[f"bits_{k}"] for k in ("mantissa", "exponent", "sign", "header"))
    )
    assert ks_matmul(np.ones(16), answer.factors[1]).shape == (16,)
