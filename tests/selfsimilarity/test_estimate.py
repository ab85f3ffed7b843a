"""Estimators against their definitions, closed forms, invariances, a peer; bad input."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import digamma, polygamma

from ailys.selfsimilarity import (
    OperatorFractionalBrownianMotion,
    SelfSimilarity,
    estimate_hurst,
    fractional_brownian_motion,
    sliding_hurst,
    wavelet_coefficients,
    wavelet_spectrum,
)
from ailys.selfsimilarity.hurst import default_octaves
from ailys.selfsimilarity.regression import normal_theory_error, regression_weights
from ailys.selfsimilarity.wavelet import coefficient_counts

from .conftest import rotation

COUNTS = {(8, 11): [254, 126, 62, 30], (5, 10): [2046, 1022, 510, 254, 126, 62]}


def weights(octaves, b):
    """The formula as it is printed in the papers."""
    j, b = np.arange(octaves[0], octaves[1] + 1.0), np.asarray(b, float)
    S0, S1, S2 = b.sum(), (b * j).sum(), (b * j * j).sum()
    return b * (S0 * j - S1) / (S0 * S2 - S1**2)


@pytest.mark.parametrize(("octaves", "error"), [((8, 11), 0.05155), ((5, 10), 0.01360)])
def test_the_error_of_normal_theory_is_the_published_formula(octaves, error):
    counts = np.array(COUNTS[octaves], float)
    w = regression_weights(np.arange(octaves[0], octaves[1] + 1), counts)
    assert np.allclose(w, weights(octaves, counts))
    assert abs(normal_theory_error(w, counts) - error) < 6e-6


def test_the_bias_of_logarithms_has_its_closed_form():
    """Mean of log2 chi-squared energies over many draws of white coefficients; M = 1, then the determinant for M = 6."""
    counts = np.array(COUNTS[(8, 11)])
    w = weights((8, 11), counts)
    assert abs(0.5 * w @ (digamma(counts / 2) / np.log(2) - np.log2(counts / 2)) + 0.005695) < 1e-6
    total = sum(digamma((counts - i) / 2) for i in range(6)) / np.log(2) - 6 * np.log2(counts / 2)
    assert abs(0.5 * w @ total + 0.12692) < 1e-5
    rng, found = np.random.default_rng(0), []
    for _ in range(1500):
        D = [rng.standard_normal((6, n)) for n in counts]
        found.append(0.5 * w @ [np.linalg.slogdet(d @ d.T / d.shape[1])[1] / np.log(2) for d in D])
    assert abs(np.mean(found) + 0.12692) < 5 * np.std(found) / np.sqrt(1500)


def test_every_estimator_is_its_definition(mixed):
    octaves = (3, 8)
    coefficients = wavelet_coefficients(mixed)
    counts = [coefficients.counts[j] for j in range(3, 9)]
    w, n_ref = weights(octaves, counts), counts[-1]
    lines = {"bwavelet": [], "wavelet": [], "univariate": []}
    for j in range(3, 9):
        D = coefficients.details[j]
        S = D @ D.T / D.shape[1]
        lines["wavelet"].append(np.log2(np.linalg.eigvalsh(S)))
        lines["univariate"].append(np.log2(np.diag(S)))
        blocks = [D[:, b * n_ref : (b + 1) * n_ref] for b in range(D.shape[1] // n_ref)]
        lines["bwavelet"].append(np.mean([np.log2(np.linalg.eigvalsh(B @ B.T / n_ref)) for B in blocks], axis=0))
    for method, values in lines.items():
        found = estimate_hurst(mixed, octaves=octaves, method=method)
        expected = w @ np.array(values) / 2 - 0.5
        assert np.allclose(found.hurst, expected, atol=1e-12)
        assert np.allclose(found.log2_eigenvalues, values)
        noise = estimate_hurst(mixed, octaves=octaves, method=method, process="noise")
        assert np.allclose(noise.hurst, expected + 1)
        uniform = weights(octaves, np.ones(6))
        assert np.allclose(
            estimate_hurst(mixed, octaves=octaves, method=method, weights="uniform").hurst,
            uniform @ np.array(values) / 2 - 0.5,
        )
    found = estimate_hurst(mixed, octaves=octaves)
    assert found.block_size == n_ref
    assert found.n_blocks.tolist() == [n // n_ref for n in counts]
    assert np.allclose(found.classical, w @ np.array(lines["wavelet"]) / 2 - 0.5)
    fit = found.intercept + np.outer(found.octaves, 2 * found.hurst + 1)
    assert np.allclose(np.array(counts) @ (found.log2_eigenvalues - fit), 0, atol=1e-8)


def test_univariate_exponents_agree_with_pymultifracs():
    mf = pytest.importorskip("pymultifracs")
    x = fractional_brownian_motion(0.7, 2**14, size=3, rng=5)
    ours = estimate_hurst(x, method="univariate", octaves=(3, 9)).hurst
    for m in range(3):
        transform = mf.wavelet_analysis(x[m], wt_name="db2")
        structure = mf.mfa(transform, [(3, 9)], weighted="Nj", q=[2], estimates="s").structure
        # coefficients of norm 1 in L1: the slope of log2 S_2 is 2 H
        slope = float(np.squeeze(np.asarray(structure.slope)))
        assert abs(slope / 2 - ours[m]) < 1e-8


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-3, 1e3), M=st.integers(1, 5))
def test_rotations_scales_and_trends_change_nothing(seed, scale, M):
    rng = np.random.default_rng(seed)
    x = np.cumsum(rng.standard_normal((M, 4096)), axis=1)
    trend = rng.standard_normal((M, 1)) * np.linspace(0, 10, 4096) + rng.standard_normal((M, 1))
    options = {"octaves": (3, 6), "n_bootstrap": 20, "rng": 1}
    plain = estimate_hurst(x, **options)
    turned = estimate_hurst(scale * (rotation(rng, M) @ x + trend), **options)
    assert np.allclose(plain.hurst, turned.hurst, atol=1e-9)
    assert np.allclose(plain.bootstrap, turned.bootstrap, atol=1e-9)


def test_equal_exponents_are_equal_after_the_correction():
    """A white-noise copy of the repulsion: 60 runs, each mean within 5 standard errors of .8, the classical ones not."""
    model = OperatorFractionalBrownianMotion([0.8] * 6, 0.5)
    found = [estimate_hurst(model.sample(2**14, rng=seed), octaves=(6, 9)) for seed in range(60)]
    corrected = np.array([f.hurst for f in found])
    classical = np.array([f.classical for f in found])
    error = corrected.std(axis=0, ddof=1) / np.sqrt(60)
    assert np.all(np.abs(corrected.mean(axis=0) - 0.8) < 5 * error)
    assert np.mean(classical[:, 0]) < 0.8 - 5 * error[0]


def test_a_bootstrap_is_that_of_its_seed_and_its_error_is_right():
    """White coefficients: the spread of the replicates is the trigamma formula within 15 %."""
    x = np.cumsum(np.random.default_rng(0).standard_normal(2**15))
    options = {"octaves": (3, 8), "n_bootstrap": 500}
    first, again = (estimate_hurst(x, **options, rng=3) for _ in range(2))
    assert np.array_equal(first.bootstrap, again.bootstrap)
    theory = estimate_hurst(x, octaves=(3, 8))
    assert theory.interval_kind == "theory"
    assert abs(first.standard_error[0] / theory.standard_error[0] - 1) < 0.15
    z = (first.interval[0, 1] - first.hurst[0]) / first.standard_error[0]
    assert abs(z - 1.959964) < 1e-5
    basic = estimate_hurst(x, **options, interval="basic", rng=3)
    low, high = np.quantile(first.bootstrap[:, 0], [0.025, 0.975])
    assert np.allclose(basic.interval[0], [2 * first.hurst[0] - high, 2 * first.hurst[0] - low])


def test_a_bootstrap_with_runs_of_one_block_is_the_definition():
    from ailys.selfsimilarity.bootstrap import bootstrap_lines

    rng = np.random.default_rng(0)
    D = {5: rng.standard_normal((3, 101)), 6: rng.standard_normal((3, 40))}
    lines = bootstrap_lines(D, "bwavelet", 20, 7, 2, None, np.random.default_rng(9))
    draws = np.random.default_rng(9)
    for place, (_, d) in enumerate(D.items()):
        n = d.shape[1]
        starts = draws.integers(0, n - 4 + 1, size=(7, -(-n // 4)))
        for r in range(7):
            resampled = np.concatenate([d[:, s : s + 4] for s in starts[r]], axis=1)
            blocks = [resampled[:, b * 20 : (b + 1) * 20] for b in range(n // 20)]
            expected = np.mean([np.log2(np.linalg.eigvalsh(B @ B.T / 20)) for B in blocks], axis=0)
            assert np.allclose(lines[r, place], expected)


def test_variance_weights_follow_the_bootstrap(mixed):
    found = estimate_hurst(mixed, octaves=(3, 8), weights="variance", n_bootstrap=200, rng=0)
    assert abs(found.weights.sum()) < 1e-12
    assert abs(found.weights @ found.octaves - 1) < 1e-12
    counts = estimate_hurst(mixed, octaves=(3, 8))
    assert np.corrcoef(found.weights, counts.weights)[0, 1] > 0.9
    assert abs(polygamma(1, 10) - 0.10516633568) < 1e-9


def test_data_frames_are_time_by_channel_and_keep_their_names(mixed):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(mixed.T, columns=["a", "b", "c"])
    found = estimate_hurst(frame)
    assert found.names == ("a", "b", "c")
    assert np.array_equal(found.hurst, estimate_hurst(mixed).hurst)
    assert estimate_hurst(frame["a"]).names == ("a",)
    frame.loc[7, "b"] = np.nan
    with pytest.raises(ValueError, match=r"channel 1 \('b'\) holds nan at sample 7"):
        estimate_hurst(frame)


def test_integers_and_single_precision_are_computed_in_double():
    x = np.cumsum(np.random.default_rng(0).integers(-3, 4, 8192))
    assert estimate_hurst(x).hurst[0] == estimate_hurst(x.astype(float)).hurst[0]
    assert estimate_hurst(x.astype(np.float32)).hurst.dtype == float


def test_default_octaves_are_printed():
    assert default_octaves(6, 2**16) == (8, 11)
    found = estimate_hurst(np.cumsum(np.random.default_rng(0).standard_normal(4096)))
    assert found.to_dict()["octaves"] == "4 to 7"
    assert "octaves" in found.summary()


@pytest.mark.parametrize(
    ("change", "options", "fault", "message"),
    [
        (lambda x: np.where(np.arange(x.shape[1]) == 5, np.inf, x), {}, ValueError, "channel 0 holds inf at sample 5"),
        (lambda x: x[:, :100], {}, ValueError, "286 samples are needed"),
        (lambda x: x.T, {}, ValueError, r"did you mean x\.T"),
        (lambda x: x, {"octaves": (3, 14)}, ValueError, "octave 14 is not available"),
        (lambda x: x, {"octaves": (5, 5)}, ValueError, "1 <= j1 < j2"),
        (lambda x: x, {"octaves": (0, 5)}, ValueError, "1 <= j1 < j2"),
        (lambda x: x, {"octaves": (3.5, 5)}, ValueError, "whole numbers"),
        (lambda x: x, {"octaves": 5}, ValueError, "pair"),
        (lambda x: np.vstack([x, np.full((1, x.shape[1]), 3.0)]), {}, ValueError, "channel 3: no variation"),
        (lambda x: np.vstack([x, x[1]]), {}, ValueError, "channel 1, channel 3: their details are linearly dependent"),
        (lambda x: np.vstack([x, x[0] - 2 * x[2]]), {}, ValueError, "channel 0, channel 2, channel 3"),
        (lambda x: x, {"weights": "variance"}, ValueError, "n_bootstrap"),
        (lambda x: x, {"weights": "best"}, ValueError, "weights must be one of"),
        (lambda x: x, {"method": "leaders"}, ValueError, "method must be one of"),
        (lambda x: x, {"process": "walk"}, ValueError, "process must be one of"),
        (lambda x: x, {"confidence": 95}, ValueError, "confidence"),
        (lambda x: x, {"n_bootstrap": 1}, ValueError, "n_bootstrap"),
        (lambda x: x, {"n_bootstrap": -1}, ValueError, "n_bootstrap"),
        (lambda x: x[:, :1024], {"octaves": (3, 7), "n_bootstrap": 50}, ValueError, "at least 8"),
        (lambda x: x[:, :64], {"octaves": (2, 3), "rng": -1, "n_bootstrap": 5}, ValueError, "at least 8|rng"),
        (lambda x: x.astype(complex), {}, TypeError, "real numbers"),
        (lambda x: np.array([["a"] * 50]), {}, TypeError, "numbers"),
        (lambda x: x[None], {}, ValueError, r"shape \(channels, samples\)"),
        (lambda x: np.zeros((0, 5)), {}, ValueError, "shape"),
    ],
)  # fmt: skip
def test_bad_input_gets_a_sentence(mixed, change, options, fault, message):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with pytest.raises(fault, match=message):
            estimate_hurst(change(mixed), **options)


def test_few_coefficients_warn_and_fewer_are_refused():
    x = np.cumsum(np.random.default_rng(0).standard_normal((8, 1024)), axis=1)
    with pytest.warns(UserWarning, match="octave 6 has only 14 coefficients for 8 channels"):
        found = estimate_hurst(x, octaves=(3, 6))
    assert any("14" in text for text in found.warnings)
    with pytest.raises(ValueError, match="at least 8 are needed"):
        estimate_hurst(x, octaves=(3, 7))


def test_very_different_scales_warn_and_may_be_standardized(mixed):
    x = mixed * np.array([[1e-9], [1], [1]])
    with pytest.warns(UserWarning, match="standardize=True"), pytest.raises(ValueError, match="lost to rounding"):
        estimate_hurst(x)
    with pytest.warns(UserWarning, match="standardize=True"):
        estimate_hurst(x * np.array([[200], [1], [1]]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = estimate_hurst(x, standardize=True)
    assert np.allclose(found.hurst, estimate_hurst(mixed, standardize=True).hurst)


def test_the_needed_number_of_samples_is_enough():
    for M, moments in ((1, 1), (1, 2), (3, 2), (12, 2), (4, 5)):
        with pytest.raises(ValueError, match="samples are needed") as caught:
            default_octaves(M, 30, moments)
        needed = int(str(caught.value).split("; ")[1].split()[0])
        assert default_octaves(M, needed, moments) == (3, 4)
        with pytest.raises(ValueError, match="needed"):
            default_octaves(M, needed - 2, moments)


def test_memory_is_linear_in_the_signal_and_less_than_it():
    import tracemalloc

    peaks = []
    for n in (2**16, 2**17, 2**18):
        x = np.cumsum(np.random.default_rng(0).standard_normal((6, n)), axis=1)
        estimate_hurst(x, octaves=(5, 10))
        tracemalloc.start()
        estimate_hurst(x, octaves=(5, 10))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert peaks[-1] < x.nbytes / 2
    assert peaks[2] - peaks[1] < 2.2 * (peaks[1] - peaks[0]) + 1e5


def test_blocks_can_be_those_of_a_later_octave(mixed):
    found = estimate_hurst(mixed, octaves=(4, 7), reference_octave=9, n_bootstrap=20, rng=0)
    counts = coefficient_counts(mixed.shape[1])
    assert found.reference_octave == 9
    assert found.block_size == counts[8]
    assert found.n_blocks.tolist() == [counts[j - 1] // counts[8] for j in (4, 5, 6, 7)]
    blocks = wavelet_spectrum(mixed, octaves=(4, 7), block=counts[8])
    assert np.allclose(found.log2_eigenvalues, np.log2(blocks.eigenvalues))
    assert np.array_equal(
        estimate_hurst(mixed, octaves=(4, 7), reference_octave=7).hurst, estimate_hurst(mixed, octaves=(4, 7)).hurst
    )
    features = SelfSimilarity(octaves=(4, 7), reference_octave=9).fit_transform(mixed[None])
    assert np.allclose(features[0], found.hurst)
    windows = sliding_hurst(mixed, window=mixed.shape[1], step=1, octaves=(4, 7), reference_octave=9)
    assert np.allclose(windows.hurst[0], found.hurst)


def test_reference_octaves_that_make_no_sense_are_refused(mixed):
    for octave, options, words in (
        (6, {}, "whole number >= 7"),
        (40, {}, "at most 11"),
        (8, {"method": "wavelet"}, "reference_octave is for"),
        (7.5, {}, "whole number"),
    ):
        with pytest.raises(ValueError, match=words):
            estimate_hurst(mixed, octaves=(4, 7), reference_octave=octave, **options)
    with pytest.raises(ValueError, match="lower reference_octave"):
        estimate_hurst(
            np.cumsum(np.random.default_rng(0).standard_normal((8, 512)), axis=1), octaves=(2, 3), reference_octave=6
        )
