"""Guarantees at the places where they were wrong once: units, lengths, learned weights, octaves chosen by looking."""

import warnings

import numpy as np
import pytest
from scipy.sparse import csr_array

from ailys.selfsimilarity import (
    OperatorFractionalBrownianMotion,
    SelfSimilarity,
    equality_test,
    estimate_hurst,
    fractional_brownian_motion,
    largest_correlation,
    log_scale_diagram,
    mixing_correction,
    pairwise_tests,
    sliding_hurst,
)
from ailys.selfsimilarity.regression import regression_weights


def drawn_covariance(model, n):
    """Of the increments that `sample` draws, over the standard deviations, lag by lag."""
    found = model.embedding(n)
    spectrum = np.einsum("mlf,klf->mkf", found.roots, found.roots)
    return np.moveaxis(np.fft.irfft(spectrum, 2 * found.half, axis=-1), -1, 0)[:n]


@pytest.mark.parametrize("n", [2, 64, 1000])
def test_a_strong_component_does_not_hide_what_is_clipped_of_weak_ones(n):
    rho = 0.66
    sigma = np.array([[1, rho, 0], [rho, 1, 0], [0, 0, 1e12]])
    model = OperatorFractionalBrownianMotion([0.2, 0.8, 0.5], sigma)
    unit = np.sqrt(np.diag(sigma))
    truth = model.covariance(np.arange(n)) / np.outer(unit, unit)
    error = np.abs(drawn_covariance(model, n) - truth).max()
    assert error <= float(model.guarantee) + 1e-12
    assert float(model.guarantee) < 1e-6


def test_draws_carry_the_units_of_the_model():
    sigma = np.array([[4.0, 0.5e-6], [0.5e-6, 1e-12]])
    x = OperatorFractionalBrownianMotion([0.5, 0.6], sigma).sample(2, size=20_000, increments=True, rng=0)[..., 0]
    unit = np.sqrt(np.diag(sigma))
    assert np.allclose(np.cov(x.T) / np.outer(unit, unit), sigma / np.outer(unit, unit), atol=0.05)


@pytest.mark.parametrize("scale", [1e-320, 1e307])
def test_extreme_units_do_not_overflow(scale):
    x = OperatorFractionalBrownianMotion([0.6], [[scale]]).sample(4096, rng=0)
    y = OperatorFractionalBrownianMotion([0.6]).sample(4096, rng=0)
    assert np.allclose(x[0] / np.sqrt(scale), y[0], rtol=1e-6)


def test_short_paths_of_a_model_at_the_edge_are_drawn():
    model = OperatorFractionalBrownianMotion([0.4, 0.9], 0.9999 * largest_correlation(0.4, 0.9))
    assert model.sample(64, rng=0).shape == (2, 64)
    assert 0 < float(model.guarantee) < 2e-5


def test_a_later_length_does_not_hide_what_an_earlier_one_clipped():
    model = OperatorFractionalBrownianMotion([0.4, 0.9], 0.99 * largest_correlation(0.4, 0.9))
    model.sample(64, rng=0)
    early = float(model.guarantee)
    model.sample(2, rng=0)
    assert float(model.guarantee) == early > 0


def test_an_estimated_exponent_gives_no_proved_level():
    x = OperatorFractionalBrownianMotion([0.5, 0.5]).sample(2048, rng=0)
    found = estimate_hurst(x, octaves=(3, 6))
    assert equality_test(found, method="invariant", n_simulations=9, rng=0).guarantee is None
    named = equality_test(found, method="invariant", common_hurst=0.5, n_simulations=9, rng=0)
    assert "H = 0.500" in named.guarantee.statement
    with pytest.raises(ValueError, match="simulates no exponent"):
        equality_test(estimate_hurst(x, n_bootstrap=20, rng=0), common_hurst=0.5)


def test_no_motion_is_simulated_whose_exponent_does_not_exist():
    x = np.cumsum(np.random.default_rng(0).standard_normal((3, 4096)), axis=1).cumsum(axis=1)
    found = estimate_hurst(x)
    assert any("outside (0, 1)" in remark for remark in found.warnings)
    with pytest.raises(ValueError, match="no motion to simulate"):
        equality_test(found, method="invariant", n_simulations=19)


def test_weights_learned_from_the_signal_do_not_enter_the_invariant_test():
    x = OperatorFractionalBrownianMotion([0.5, 0.5]).sample(2048, rng=0)
    options = {"octaves": (3, 6), "n_bootstrap": 30, "rng": 0}
    learned, counted = (estimate_hurst(x, weights=w, **options) for w in ("variance", "counts"))
    assert not np.allclose(learned.weights, regression_weights(learned.octaves, learned.counts))
    p = [
        equality_test(f, method="invariant", common_hurst=0.5, n_simulations=19, rng=1).p_value
        for f in (learned, counted)
    ]
    assert p[0] == p[1]


def test_octaves_chosen_by_looking_leave_no_guarantee():
    x = fractional_brownian_motion(0.8, 2**13, increments=True, rng=0)
    assert log_scale_diagram(x, interval="gaussian").guarantee is None
    assert "chosen by looking" in log_scale_diagram(x, interval="gaussian").summary()
    assert log_scale_diagram(x, interval="gaussian", octaves=(3, 8)).guarantee is not None


def test_the_octaves_chosen_leave_out_those_that_bias_noise():
    """The interval of chosen octaves covered .50 when octaves 1 and 2 took part."""
    H, hits = 0.85, []
    for x in fractional_brownian_motion(H, 2**13, size=100, increments=True, rng=4):
        low, high = log_scale_diagram(x, interval="gaussian").interval
        hits.append(low <= H <= high)
    assert np.mean(hits) > 0.75


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e160, 1e300])
def test_samples_whose_squares_do_not_exist_are_named(scale):
    x = np.cumsum(np.random.default_rng(0).standard_normal(2048)) * scale
    for work in (estimate_hurst, log_scale_diagram):
        with pytest.raises(ValueError, match="channel 0 has samples of size"):
            work(x)


def test_masked_samples_are_gaps():
    x = np.ma.masked_greater(np.cumsum(np.random.default_rng(0).standard_normal(2048)), 5)
    with pytest.raises(ValueError, match="masked"):
        estimate_hurst(x)
    assert np.array_equal(estimate_hurst(np.ma.array(x.data)).hurst, estimate_hurst(x.data).hurst)


def test_too_few_coefficients_to_resample_are_not_called_a_common_reference():
    x = np.cumsum(np.random.default_rng(0).standard_normal((8, 2048)), axis=1)
    with (
        pytest.warns(UserWarning, match="only 14 coefficients"),
        pytest.raises(ValueError, match="too few to resample for 8 channels"),
    ):
        estimate_hurst(x, octaves=(5, 7), n_bootstrap=60, rng=0)


@pytest.mark.parametrize("scale", [1e5, 1e7])
def test_units_apart_are_no_loss_of_rank(scale):
    x = np.cumsum(np.random.default_rng(0).standard_normal((3, 4096)), axis=1) * np.array([[1], [scale], [1]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.isfinite(estimate_hurst(x).hurst).all()


def test_a_window_with_a_fault_is_named():
    x = np.cumsum(np.random.default_rng(0).standard_normal((2, 4096)), axis=1)
    x[1, 2000:3200] = 7.0
    with pytest.raises(ValueError, match="window from sample 2048: channel 1"):
        sliding_hurst(x, window=512, step=512)


def test_a_law_that_cannot_be_simulated_is_said():
    rng = np.random.default_rng(0)
    options = {"interval": "parametric", "octaves": (3, 8), "n_replicates": 20, "rng": 0, "n_jobs": 1}
    with pytest.raises(ValueError, match="no Gaussian series"):
        log_scale_diagram(np.diff(rng.standard_cauchy(8193)), **options)
    with pytest.raises(ValueError, match="nearly all its samples are the same"):
        log_scale_diagram((rng.random(8192) < 0.001) * 1.0, **options)


def test_a_signal_is_not_an_estimate():
    for work in (equality_test, pairwise_tests, mixing_correction):
        with pytest.raises(TypeError, match="answer of estimate_hurst"):
            work(np.zeros((2, 100)))


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.sample(np.inf),
        lambda m: m.sample("a"),
        lambda m: m.sample(4, size=np.inf),
        lambda m: m.covariance("a"),
        lambda m: m.covariance([[1, 2], [3, 4]]),
        lambda m: m.covariance([np.nan]),
        lambda m: OperatorFractionalBrownianMotion(["x"]),
        lambda m: OperatorFractionalBrownianMotion([0.5], "a"),
        lambda m: estimate_hurst(np.arange(4096.0), octaves=(3, np.inf)),
        lambda m: estimate_hurst([[1, 2, 3], [4, 5]]),
        lambda m: sliding_hurst(np.arange(4096.0), window=512, step=512, sampling_rate="a"),
    ],
)
def test_nonsense_gets_a_sentence(call):
    with pytest.raises(ValueError, match="must"):
        call(OperatorFractionalBrownianMotion([0.5]))


def test_features_are_refused_when_they_are_fitted_not_later():
    windows = np.cumsum(np.random.default_rng(0).standard_normal((3, 2, 1024)), axis=2)
    for options in ({"octaves": 5}, {"octaves": (3, "a")}, {"octaves": (3, 30)}, {"vanishing_moments": 0}):
        with pytest.raises(ValueError, match=r"octave|vanishing"):
            SelfSimilarity(**options).fit(windows)
    windows[2, 1, 5] = np.nan
    with pytest.raises(ValueError, match="window 2: channel 1 holds nan at sample 5"):
        SelfSimilarity().fit(windows)
    with pytest.raises(ValueError, match="differ in length"):
        SelfSimilarity().fit([[1.0, 2.0], [1.0]])
    with pytest.raises(TypeError, match="sparse data is not supported"):
        SelfSimilarity().fit(csr_array(np.eye(3)))


def test_an_estimate_says_that_its_guarantee_is_a_limit_and_which_interval_it_has():
    x = np.cumsum(np.random.default_rng(0).standard_normal((2, 4096)), axis=1)
    alone, drawn = (estimate_hurst(x, n_bootstrap=R, rng=0).guarantee for R in (0, 20))
    for guarantee in (alone, drawn):
        assert "asymptotic" in guarantee.statement
        assert "0.95 is a nominal coverage" in guarantee.statement
    assert "without a bootstrap" in alone.statement
    assert "without a bootstrap" not in drawn.statement
