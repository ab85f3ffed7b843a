"""Rank-one quantization against brute force, exhaustive search, closed forms and a peer."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ailys.quantization import Codebook, FloatFormat, IntFormat, quantize_rank_one

from .conftest import all_scalings, exhaustive, relative, round_t


def nasty(rng, size):
    """Vectors with ties, zeros, equal entries, powers of two, wide ranges."""
    kind = rng.integers(6)
    x = rng.standard_normal(size)
    if kind == 1:
        x = rng.integers(-3, 4, size).astype(float)
    elif kind == 2:
        x = np.full(size, rng.standard_normal())
    elif kind == 3:
        x = 2.0 ** rng.integers(-4, 5, size)
    elif kind == 4:
        x *= 10.0 ** rng.uniform(-6, 6, size)
    elif kind == 5:
        x[rng.random(size) < 0.5] = 0
    return x if x.any() else np.ones(size)


def test_a_thousand_random_cases_agree_with_brute_force():
    rng = np.random.default_rng(1)
    for _ in range(1000):
        m, n = rng.integers(1, 9, 2)
        t, ty = map(int, rng.integers(1, 7, 2))
        x, y = nasty(rng, m), nasty(rng, n)
        answer = quantize_rank_one(x, y, t, ty)
        assert abs(answer.error - all_scalings(x, y, t, ty)) < 1e-10
        assert abs(answer.error - relative(x, y, answer.toarray())) < 1e-10
        assert answer.optimal
        assert answer.error <= answer.error_rtn + 1e-13


@pytest.mark.parametrize(("m", "t"), [(1, 1), (1, 5), (2, 1), (2, 2), (2, 3), (3, 1)])
def test_no_vectors_at_all_are_closer(m, t):
    rng = np.random.default_rng(m * 10 + t)
    for _ in range(6):
        x, y = nasty(rng, m), nasty(rng, 2)
        x, y = np.clip(x, -8, 8), np.clip(y, -8, 8)
        if np.abs(x[x != 0]).size and np.ptp(np.log2(np.abs(x[x != 0]))) < 5:
            assert quantize_rank_one(x, y, t).error == pytest.approx(exhaustive(x, y, t, t), abs=1e-12)


@pytest.mark.parametrize("values", [[-3, -2, -1, 0, 1, 2, 3], [-1, 1], [-1, 0, 1], [-2, -0.3, 0.1, 0.5, 1.7], [0, 0.5, 1, 5],
                                    [-6, -4, -3, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 4, 6], [2, 3, 5]])  # fmt: skip
def test_codebooks_agree_with_exhaustive_search(values):
    rng = np.random.default_rng(0)
    pairs = np.array(list(itertools.product(values, repeat=2)), float)
    squares = np.sum(pairs**2, axis=1)
    for _ in range(8):
        x, y = 2 * rng.standard_normal(2), 2 * rng.standard_normal(2)
        if rng.random() < 0.3:
            x[0] = 0
        norm = np.linalg.norm(np.outer(x, y))
        gaps = (x @ x) * (y @ y) - 2 * np.outer(pairs @ x, pairs @ y) + np.outer(squares, squares)
        fixed = quantize_rank_one(x, y, Codebook(values))
        assert fixed.error == pytest.approx(np.sqrt(max(gaps.min(), 0)) / norm, abs=1e-7)
        assert fixed.error == pytest.approx(relative(x, y, fixed.toarray()), abs=1e-12)
        with np.errstate(divide="ignore", invalid="ignore"):
            cosines = [np.nanmax((pairs @ v) ** 2 / squares) / (v @ v) for v in (x, y)]
        free = quantize_rank_one(x, y, Codebook(values), free_scale=True)
        assert free.error == pytest.approx(np.sqrt(max(1 - cosines[0] * cosines[1], 0)), abs=1e-7)
        assert free.error == pytest.approx(relative(x, y, free.toarray()), abs=1e-12)


def test_long_codebook_vectors_agree_with_the_direct_search(monkeypatch):
    from ailys.quantization import scaling

    rng = np.random.default_rng(3)
    cases = [
        (rng.standard_normal(9), rng.standard_normal(7) * 20, fmt) for fmt in (IntFormat(5), Codebook([-2, 0.3, 1, 7]))
    ]
    direct = [quantize_rank_one(*case, free_scale=free).error for case in cases for free in (False, True)]
    monkeypatch.setattr(scaling, "_SWEPT", 0)
    assert [
        quantize_rank_one(*case, free_scale=free).error for case in cases for free in (False, True)
    ] == pytest.approx(direct, abs=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_long_vectors_by_slabs_agree_with_the_sweep(seed, monkeypatch):
    from ailys.quantization import scaling

    rng = np.random.default_rng(seed)
    x, y, t = nasty(rng, 14), nasty(rng, 30), int(rng.integers(1, 12))
    w = rng.uniform(0.1, 3, 14)
    swept = quantize_rank_one(x, y, t, weights=w)
    monkeypatch.setattr(scaling, "_SHORT", 0)
    assert quantize_rank_one(x, y, t, weights=w).error == pytest.approx(swept.error, abs=1e-12)


def test_weights_count_as_repeated_rows():
    rng = np.random.default_rng(0)
    for _ in range(20):
        x, y = rng.standard_normal(3), rng.standard_normal(4)
        repeats, others = rng.integers(1, 4, 3), rng.integers(1, 4, 4)
        once = quantize_rank_one(x, y, 3, weights=(repeats, others))
        many = quantize_rank_one(np.repeat(x, repeats), np.repeat(y, others), 3)
        assert once.error == pytest.approx(many.error, abs=1e-12)


@given(st.integers(0, 2**31), st.integers(1, 10), st.integers(-60, 60))
@settings(max_examples=60, deadline=None)
def test_powers_of_two_and_exchange_change_nothing(seed, t, power):
    rng = np.random.default_rng(seed)
    x, y = nasty(rng, int(rng.integers(1, 6))), nasty(rng, int(rng.integers(1, 6)))
    one = quantize_rank_one(x, y, t)
    assert quantize_rank_one(np.ldexp(x, power), -y, t).error == pytest.approx(one.error, abs=1e-13)
    assert quantize_rank_one(y, x, t).error == pytest.approx(one.error, abs=1e-12)


def test_entries_are_in_their_formats():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(30), rng.standard_normal(20)
    answer = quantize_rank_one(x, y, 3, 5)
    assert np.array_equal(answer.x_hat, round_t(answer.x_hat, 3))
    assert np.array_equal(answer.y_hat, round_t(answer.y_hat, 5))


def test_plain_rounding_of_ones_and_a_half_is_as_bad_as_can_be():
    x = np.full(4, 1 + 2**-4 - 1e-12)
    answer = quantize_rank_one(x, x, 4)
    d = 2**-4 / (1 + 2**-4)
    assert answer.error_rtn == pytest.approx(2 * d - d * d, abs=1e-6)
    assert answer.error < 0.0036


def test_equal_entries_become_powers_of_two():
    answer = quantize_rank_one(np.full(5, 0.3), np.full(3, 1.25 / 0.3), 6)
    assert answer.error < 1e-15
    assert {0.5} in (set(np.frexp(answer.x_hat)[0]), set(np.frexp(answer.y_hat)[0]))


def test_extreme_sizes_stay_exact():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(4), rng.standard_normal(5)
    error = quantize_rank_one(x, y, 4).error
    for big, small in ((1e300, 1e-300), (1e-300, 1e300), (1.7e308 / 4, 1e-305)):
        assert quantize_rank_one(x * big, y * small, 4).error < 2 * error + 1e-3
    tiny = np.array([5e-324, 1.5e-323])
    assert quantize_rank_one(tiny, np.ones(2), 2).error == 0
    assert quantize_rank_one(x * 2.0**1000, y * 2.0**1000, 4).error == pytest.approx(error, abs=1e-15)


def test_zero_vectors_are_exact():
    for fmt in (3, "e4m3", "int4"):
        answer = quantize_rank_one([0.0, 0.0], [1.0], fmt)
        assert (answer.error, answer.optimal, answer.x_hat.tolist()) == (0, True, [0, 0])


@pytest.mark.parametrize("name", ["float16", "bfloat16", "e4m3", "e5m2", "e2m1", "float32"])
@pytest.mark.parametrize("size", [1.0, 1e6, 1e-7, 1e30])
def test_bounded_formats_hold_their_answer(name, size):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(12) * size, rng.standard_normal(9)
    answer = quantize_rank_one(x, y, name, method="sampled" if name == "float32" else "exact")
    x_hat, y_hat = answer.astype_native()
    product = answer.scale * np.outer(x_hat.astype(float), y_hat.astype(float))
    assert np.isfinite(product).all()
    assert relative(x, y, product) == pytest.approx(answer.error, abs=1e-13)
    assert answer.error <= answer.error_rtn + 1e-15
    if size == 1 and name in ("float16", "bfloat16"):
        assert answer.scale == 1
    if answer.optimal:
        assert answer.error == pytest.approx(quantize_rank_one(x, y, FloatFormat.from_dtype(name).t).error, abs=1e-15)


def test_sampled_is_never_worse_than_rounding_and_makes_no_claim():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(200), rng.standard_normal(300)
    answer = quantize_rank_one(x, y, 24, method="sampled")
    assert not answer.optimal
    assert answer.error <= answer.error_rtn
    assert "no pair" not in str(answer.guarantee)


def test_ratios_to_plain_rounding_are_the_known_ones():
    # published shape of the gain: large for short vectors, growing with t; 15 % and the noise of 400 draws
    expected = {(2, 4): 2.86, (2, 8): 7.8, (4, 4): 1.96, (4, 8): 3.34, (16, 8): 1.70, (64, 8): 1.33}
    for (n, t), value in expected.items():
        rng = np.random.default_rng(n * t)
        draws = 400 if n < 16 else 50
        pairs = [quantize_rank_one(rng.standard_normal(n), rng.standard_normal(n), t) for _ in range(draws)]
        ratio = np.exp(np.mean([np.log(a.error_rtn / a.error) for a in pairs]))
        assert ratio == pytest.approx(value, rel=0.2)


@pytest.mark.filterwarnings("ignore")
def test_a_peer_is_never_better():
    peer = pytest.importorskip("lazylinop.quantization", exc_type=ImportError)
    rng = np.random.default_rng(0)
    for _ in range(10):
        x, y = rng.standard_normal((6, 1)), rng.standard_normal((5, 1))
        x_hat, y_hat, _ = peer.qrank_one(x, y, "float16")
        theirs = relative(x[:, 0], y[:, 0], np.outer(x_hat.astype(float), y_hat.astype(float)))
        assert quantize_rank_one(x[:, 0], y[:, 0], "float16").error <= theirs + 1e-12


@pytest.mark.parametrize("t", [2, 3, 4])
def test_complex_answers_are_near_the_best_of_an_exhaustive_search(t):
    rng = np.random.default_rng(t)
    for _ in range(3):
        x = rng.standard_normal(2) + 1j * rng.standard_normal(2)
        y = rng.standard_normal(2) + 1j * rng.standard_normal(2)
        answer = quantize_rank_one(x, y, t)
        assert relative(x, y, answer.toarray()) == pytest.approx(answer.error, abs=1e-13)
        # scalings on a fine grid of a quarter of a ring
        lams = np.outer(np.linspace(1, 2, 60), np.exp(0.5j * np.pi * np.linspace(0, 1, 60))).ravel()
        best = np.inf
        for lam in lams:
            hat = round_t((lam * x).real, t) + 1j * round_t((lam * x).imag, t)
            mu = np.vdot(x, hat) / np.vdot(hat, hat).real
            z = mu * y
            y_hat = round_t(z.real, t) + 1j * round_t(z.imag, t)
            best = min(best, relative(x, y, np.outer(hat, y_hat.conj())))
        assert answer.error <= 1.02 * best
        assert answer.error <= answer.error_rtn
        assert not answer.optimal


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: quantize_rank_one([1, np.nan], [1], 4), "x has NaN"),
        (lambda: quantize_rank_one([1], [np.inf], 4), "y has NaN or infinite"),
        (lambda: quantize_rank_one([[1]], [1], 4), "x must be a vector"),
        (lambda: quantize_rank_one([], [1], 4), "at least one entry"),
        (lambda: quantize_rank_one([1], [1], 0), "from 1 to 53"),
        (lambda: quantize_rank_one([1], [1], 4, method="best"), "method must be"),
        (lambda: quantize_rank_one([1j], [1], "int4"), "complex"),
        (lambda: quantize_rank_one([1j], [1], 4, free_scale=True), "real vectors"),
        (lambda: quantize_rank_one([1, 2], [1], 4, weights=[1]), "2 positive numbers"),
        (lambda: quantize_rank_one([1, 2], [1], 4, weights=[1, -1]), "positive numbers"),
        (lambda: quantize_rank_one(np.ones(100), np.ones(100), 20, max_breakpoints=10**6), "method='sampled'"),
        (lambda: quantize_rank_one(np.ones(100), np.ones(100), 18), "method='sampled'"),
        (lambda: quantize_rank_one([1j, 2], [1j], 20), "method='sampled'"),
        (lambda: quantize_rank_one([1], [1], "int4", 4), "cannot be mixed"),
    ],
)
def test_bad_input_gets_a_sentence(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_the_answer_reads_well():
    answer = quantize_rank_one([1.1, 2.6], [0.9, 1.3], 2)
    assert "no pair of vectors in t=2" in answer.summary()
    report = answer.to_dict()
    assert report["guarantee"]["kind"] == "optimal"
    assert report["bits"] == answer.bits.total


@given(st.integers(0, 10**6))
@settings(max_examples=200, deadline=None)
def test_sums_and_residuals_find_the_same_codebook_optimum(seed):
    # long vectors go by sums; on short ones both ways are at hand
    from ailys.quantization._codebook_kernels import codebook_search
    from ailys.quantization.scaling import _by_sums

    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal(int(rng.integers(1, 8))), rng.standard_normal(int(rng.integers(1, 8)))
    if rng.random() < 0.5:
        x, y = np.abs(x), np.abs(y)
    books = [[-3, -2, -1, 0], [-1, 0, 2], [1, 2, 5], [-1, 1], [-3, -1, 4], [0, 1], [-2, -1]]
    levels, ylevels = (np.array(books[int(k)], float) for k in rng.integers(len(books), size=2))
    wx, wy = rng.uniform(0.5, 2, x.size), rng.uniform(0.5, 2, y.size)
    hats = np.empty_like(x), np.empty_like(y)
    best = codebook_search(x, wx, y, wy, levels, ylevels, True, True, 0.0, *hats)[2]
    found = _by_sums(x, y, wx, wy, levels, ylevels, True, True)
    gap = np.outer(x, y) - np.outer(found.x_hat, found.y_hat)
    assert wx @ gap**2 @ wy == pytest.approx(best, rel=1e-9)


def test_long_vectors_on_codebooks_of_one_sign():
    rng = np.random.default_rng(0)
    [np.abs(rng.standard_normal(300)) for _ in "xy"]
    x, y = (np.abs(rng.standard_normal(5000)) for _ in "xy")
    book = Codebook([-3, -2, -1, 0])
    answer = quantize_rank_one(x, y, book)
    for lam in np.linspace(-4, -0.3, 100):
        hat = book.nearest(lam * x)
        other = book.nearest(x @ hat / (hat @ hat) * y)
        assert answer.error <= relative(x, y, np.outer(hat, other)) + 1e-12
