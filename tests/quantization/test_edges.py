"""Inputs at the edges of double precision: exact answers or sentences, never warnings, infinities or NaN."""

import numpy as np
import pytest

from ailys.core.claim import check_claim
from ailys.quantization import Codebook, audit, precision_bits_curve, quantize_chain, quantize_rank_one, round_to_format

pytestmark = pytest.mark.filterwarnings("error")
LARGE = np.array([1e200, 2e200])


@pytest.mark.parametrize("x", [[1e308, 1e308], [5e-324, 5e-324], [1, 1e-308, 1e308], [1.5e-310, 3], [0.0, 1e-300]])
@pytest.mark.parametrize("fmt", [1, 5, "e4m3", "float16", "bfloat16", "e2m1"])
def test_vectors_of_any_size(x, fmt):
    y = [1.0, 1e-5] if max(x) > 1e-320 else [1e9, 1e4]  # the scale of the answer must be a double
    answer = quantize_rank_one(x, y, fmt)
    assert answer.scale > 0
    assert np.isfinite(answer.x_hat).all()
    assert np.isfinite(answer.y_hat).all()
    assert 0 <= answer.error <= answer.error_rtn + 1e-15
    assert answer.error < 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: quantize_rank_one(LARGE, [1.0, 2], "int4"), "free_scale"),
        (lambda: quantize_rank_one(LARGE, LARGE, "int4", free_scale=True), "overflows double precision"),
        (lambda: round_to_format(np.array([1.79e308]), 4), "divide it by a power of two"),
        (lambda: round_to_format(np.array([65500.0], np.float16), 4), "convert the array to float64"),
        (lambda: precision_bits_curve([np.ones((1, 2, 2, 1))], 4), "ts must be a list"),
        (lambda: precision_bits_curve([np.ones((1, 2, 2, 1))], (4,), "rtn"), "methods must be a list"),
        (lambda: quantize_chain([np.ones((1, 2, 2, 1))], 4, beam=True), "beam must be"),
        (lambda: quantize_rank_one(LARGE, LARGE, "e4m3"), "overflows double precision"),
        (lambda: quantize_chain([np.full((1, 2, 2, 1), 1e-320)] * 2, 4), "range of double precision"),
        (lambda: precision_bits_curve([np.full((1, 2, 2, 1), 1j)] * 2, (2,), ("beam",)), "real factors only"),
    ],
)
def test_what_double_precision_cannot_hold_gets_a_sentence(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_rounding_up_past_the_largest_double_is_held_by_the_scale():
    factors = [np.array([1.79e308, 1e308, 3, 2]).reshape(1, 2, 2, 1)]
    for method in ("auto", "rtn", "left_to_right"):
        answer = quantize_chain(factors, 3, method=method)
        assert np.isfinite(answer.factors[0]).all()
        assert np.isfinite(answer.scale)
        assert answer.error < 0.1
        assert answer.error_rtn == quantize_chain([factors[0] * 2.0**-20], 3, method="rtn").error
    with pytest.raises(ValueError, match="range of double precision"):
        quantize_chain(factors, 3, scale=False)


def test_a_scale_is_exact_or_refused():
    tiny = np.array([5e-324, 2e-323])
    for options in ({"fmt_x": "e4m3"}, {"fmt_x": "int4", "free_scale": True}):
        with pytest.raises(ValueError, match="underflows double precision"):
            quantize_rank_one(tiny, tiny, **options)
    with pytest.raises(ValueError, match="underflows double precision"):  # a subnormal scale would have lost bits
        quantize_rank_one([1.3e-320, 7e-318], [1.1e-2, 2.7e-2], "int4", free_scale=True)
    held = quantize_rank_one(tiny, tiny, 4)  # without a bound the vectors themselves hold their powers of two
    assert held.scale == 1
    assert held.error == 0


def test_free_scales_may_be_tiny():
    answer = quantize_rank_one(LARGE * 1e-300, LARGE * 1e-300, "int4", free_scale=True)
    assert answer.error < 1e-14
    assert answer.toarray()[0, 0] == pytest.approx(1e-200)


@pytest.mark.parametrize("fmt", [1, 3, "e4m3", "int4", [3, "int4", "e4m3"], Codebook([1, 2, 3]), Codebook([-1, 0, 5])])
def test_chains_with_entries_far_apart(fmt):
    x = np.ones((1, 2, 2, 1))
    x[0, 0, 0, 0] = 1e-250
    answer = quantize_chain([x, x * 1e-200, x * 1e200], fmt)
    assert 0 <= answer.error <= answer.error_rtn
    assert np.isfinite(answer.toarray()).all()


def test_a_zero_or_one_factor_is_no_trouble():
    for fmt in ("int4", Codebook([-1, 1]), 3):
        answer = quantize_chain([np.zeros((1, 2, 2, 1)), np.ones((1, 2, 2, 1))], fmt)
        assert (answer.error, answer.toarray().any()) == (0, False)
    assert quantize_chain([np.full((1, 1, 1, 1), 0.3)], 1).error < 1e-15


@pytest.mark.parametrize("claim", audit.CLAIMS, ids=lambda claim: claim.name)
def test_claims_hold_in_a_few_trials(claim):
    assert check_claim(claim, 6, rng=1).verdict == "holds"


@pytest.mark.parametrize(
    ("name", "target", "spoil"),
    [
        ("rank-one", "quantize_rank_one", lambda f: lambda x, y, t: f(x, y, t, method="sampled", weights=1 + np.arange(len(x)) * 9.0)),
        ("codebook", "quantize_rank_one", lambda f: lambda x, y, b: _higher(f(x, y, b))),
        ("chains", "quantize_chain", lambda f: lambda factors, fmt: _higher(f(factors, fmt))),
        ("two-factors", "quantize_chain", lambda f: lambda factors, t, scale: _claimed(f(factors, t, method="rtn", scale=scale))),
        ("paths", "single_path", lambda f: lambda chain: True),
        ("packing", "unpack", lambda f: lambda *a: f(*a) * (1 + 2**-30)),
    ],
)  # fmt: skip
def test_a_spoiled_implementation_is_caught(monkeypatch, name, target, spoil):
    monkeypatch.setattr(audit, target, spoil(getattr(audit, target)))
    claim = next(one for one in audit.CLAIMS if one.name == name)
    assert check_claim(claim, 15 if name == "chains" else 60, rng=0).verdict == "broken"


def _higher(answer):
    from dataclasses import replace

    return replace(answer, error=answer.error * 1.3 + 1e-3)


def _claimed(answer):
    from dataclasses import replace

    return replace(answer, excess=1.0)
