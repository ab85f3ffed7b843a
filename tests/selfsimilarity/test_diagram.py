"""Log-scale diagrams, sliding windows, features, figures, the table of section biases."""

import json
import pickle
import warnings

import numpy as np
import pytest
from scipy.special import digamma, zeta
from scipy.stats import chi2
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import (
    check_get_params_invariance,
    check_no_attributes_set_in_init,
    check_parameters_default_constructible,
    check_set_params,
)

from ailys.selfsimilarity import (
    SelfSimilarity,
    choose_octaves,
    cluster_exponents,
    estimate_hurst,
    fractional_brownian_motion,
    log_scale_diagram,
    sliding_hurst,
    wavelet_coefficients,
    wavelet_spectrum,
)


def test_the_diagram_is_its_formulas():
    x = fractional_brownian_motion(0.8, 2**13, increments=True, rng=0)
    found = log_scale_diagram(x, octaves=(3, 8), interval="gaussian")
    D = wavelet_coefficients(x, vanishing_moments=3)
    j = np.arange(3.0, 9)
    n = np.array([D.counts[k] for k in range(3, 9)])
    y = np.log2([np.mean(D.details[k] ** 2) for k in range(3, 9)]) - digamma(n / 2) / np.log(2) + np.log2(n / 2)
    variance = zeta(2, n / 2) / np.log(2) ** 2
    fit, covariance = np.polyfit(j, y, 1, w=1 / np.sqrt(variance), cov="unscaled")
    assert np.isclose(found.alpha, fit[0])
    assert np.isclose(found.alpha_sd, np.sqrt(covariance[0, 0]))
    assert np.isclose(found.hurst, (fit[0] + 1) / 2)
    assert np.isclose(found.q_value, chi2.sf(np.sum((y - np.polyval(fit, j)) ** 2 / variance), 4))
    assert np.allclose(np.array(found.interval) - found.hurst, np.array([-1, 1]) * 1.959964 * found.alpha_sd / 2)
    motion = log_scale_diagram(np.cumsum(x), octaves=(3, 8), process="motion", interval="gaussian")
    assert abs(motion.hurst - 0.8) < 5 * motion.alpha_sd / 2
    assert found.guarantee.kind == "unbiased"


def test_white_coefficients_are_unbiased_with_the_variance_said():
    """400 white noises, H = 1/2: mean and spread of alpha within 5 standard errors of the formulas."""
    rng = np.random.default_rng(0)
    found = [log_scale_diagram(rng.standard_normal(2048), octaves=(1, 6), interval="gaussian") for _ in range(400)]
    alpha, sd = np.array([f.alpha for f in found]), found[0].alpha_sd
    assert abs(alpha.mean()) < 5 * sd / 20
    assert abs(alpha.std() / sd - 1) < 5 / np.sqrt(800)
    inside = np.mean([f.interval[0] <= 0.5 <= f.interval[1] for f in found])
    assert abs(inside - 0.95) < 5 * np.sqrt(0.95 * 0.05 / 400)


def test_octaves_are_raised_until_the_line_is_straight():
    rng = np.random.default_rng(1)
    x = fractional_brownian_motion(0.85, 2**15, increments=True, rng=rng) + 2 * rng.standard_normal(2**15)
    choice = choose_octaves(x)
    assert choice.octaves[0] >= 3  # white noise bends the fine octaves
    assert choice.octaves[1] == 10
    assert len(choice.q_values) == len(choice.candidates)
    assert choice.q_values[0] < 0.05
    assert log_scale_diagram(x).octaves[0] == choice.octaves[0]


def test_laws_that_are_not_gaussian_get_another_interval_and_a_warning():
    x = fractional_brownian_motion(0.8, 2**13, increments=True, rng=0)
    heavy = np.exp(1.5 * x)
    with pytest.warns(UserWarning, match="interval='parametric'"):
        found = log_scale_diagram(heavy, octaves=(3, 8), rng=0)
    assert found.interval_kind == "bootstrap"
    assert found.guarantee is None
    assert log_scale_diagram(x, octaves=(3, 8)).interval_kind == "gaussian"
    simulated = log_scale_diagram(heavy, octaves=(3, 8), interval="parametric", n_replicates=40, rng=0)
    again = log_scale_diagram(heavy, octaves=(3, 8), interval="parametric", n_replicates=40, rng=0, n_jobs=2)
    assert simulated.interval == again.interval
    width = np.diff(simulated.interval)[0]
    assert width > 1.5 * 2 * 1.96 * simulated.alpha_sd / 2


def test_surrogates_have_the_marginal_law_and_the_covariance():
    """Gamma law of shape 1/2: 400 simulations, covariance at three lags within 6 standard errors of fractional noise's."""
    from functools import partial

    from ailys.selfsimilarity.embedding import circulant_embedding
    from ailys.selfsimilarity.model import increment_covariance
    from ailys.selfsimilarity.surrogate import _gaussian_correlation, _levels

    rng = np.random.default_rng(0)
    sample = np.sort(rng.gamma(0.5, size=20_000))
    target = partial(increment_covariance, np.array([0.8]), np.eye(1))
    to_gaussian = _gaussian_correlation(sample)
    embedding = circulant_embedding(lambda k: to_gaussian(target(k)), 64, tolerance=1e-2)
    from scipy.special import ndtr

    x = np.interp(ndtr(embedding.draw(20_000, 64, rng)[:, 0]), _levels(sample), sample)
    assert abs(np.quantile(x, 0.9) / np.quantile(sample, 0.9) - 1) < 0.02
    x = (x - sample.mean()) / sample.std()
    for k in (1, 4, 20):
        products = x[:, 0] * x[:, k]
        assert abs(products.mean() - target(np.array([float(k)]))[0, 0, 0]) < 6 * products.std() / np.sqrt(20_000)


def test_diagrams_that_make_no_sense_are_refused():
    x = np.random.default_rng(0).standard_normal((2, 1024))
    for arguments, options, message in (
        (x, {}, "one channel"),
        (x[0], {"octaves": (3, 4)}, "three octaves"),
        (x[0], {"interval": "exact"}, "interval must be one of"),
        (x[0], {"process": "walk"}, "process must be one of"),
        (x[0, :60], {}, "too few"),
        (np.ones(500), {}, "no variation"),
    ):
        with pytest.raises(ValueError, match=message):
            log_scale_diagram(arguments, **options)


def test_windows_are_estimates_of_their_pieces(mixed):
    found = sliding_hurst(mixed, window=4096, step=3000, sampling_rate=100.0, octaves=(3, 6), n_bootstrap=20, rng=0)
    assert found.hurst.shape == (5, 3)
    piece = estimate_hurst(mixed[:, 6000:10096], octaves=(3, 6))
    assert np.allclose(found.hurst[2], piece.hurst)
    assert np.isclose(found.times[2], (6000 + 4095 / 2) / 100)
    again = sliding_hurst(mixed, window=4096, step=3000, octaves=(3, 6), n_bootstrap=20, rng=0, n_jobs=2)
    assert np.array_equal(found.standard_error, again.standard_error)
    with pytest.raises(ValueError, match="longer than the signal"):
        sliding_hurst(mixed, window=2**15, step=10)
    with pytest.raises(ValueError, match="step"):
        sliding_hurst(mixed, window=4096, step=0)


def test_features_pass_the_checks_of_scikit_learn(mixed):
    transformer = SelfSimilarity()
    check_no_attributes_set_in_init("SelfSimilarity", transformer)
    check_parameters_default_constructible("SelfSimilarity", SelfSimilarity())
    check_get_params_invariance("SelfSimilarity", transformer)
    check_set_params("SelfSimilarity", transformer)
    assert clone(SelfSimilarity(octaves=(3, 6))).octaves == (3, 6)
    windows = mixed.reshape(3, 4, 4096).transpose(1, 0, 2)
    features = transformer.fit_transform(windows)
    assert features.shape == (4, 3)
    assert np.allclose(features[1], estimate_hurst(windows[1]).hurst)
    assert np.array_equal(pickle.loads(pickle.dumps(transformer)).transform(windows), features)
    assert transformer.get_feature_names_out().tolist() == ["hurst0", "hurst1", "hurst2"]
    assert transformer.set_output(transform="pandas").transform(windows).columns[0] == "hurst0"
    with pytest.raises(ValueError, match="fit saw windows of 3 channels"):
        transformer.transform(windows[:, :2])
    spoiled = windows.copy()
    spoiled[2, 1, 7] = np.nan
    with pytest.raises(ValueError, match="window 2: channel 1 holds nan"):
        transformer.transform(spoiled)


def test_features_tell_rough_from_smooth_in_a_pipeline():
    rng = np.random.default_rng(0)
    x = np.concatenate([fractional_brownian_motion(H, 2048, size=30, rng=rng) for H in (0.4, 0.8)])
    labels = np.repeat([0, 1], 30)
    order = rng.permutation(60)
    model = make_pipeline(SelfSimilarity(octaves=(3, 6)), LogisticRegression(C=100))
    model.fit(x[order[:40]], labels[order[:40]])
    assert model.score(x[order[40:]], labels[order[40:]]) >= 0.95


def test_figures_are_drawn_and_answers_are_json(mixed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = estimate_hurst(mixed, octaves=(3, 7), n_bootstrap=50, rng=0)
    answers = [
        found,
        cluster_exponents(found),
        sliding_hurst(mixed, window=4096, step=4096),
        log_scale_diagram(np.diff(mixed[0]), octaves=(2, 7)),
    ]
    for answer in answers:
        assert answer.plot().has_data()
        assert json.loads(json.dumps(answer.to_dict(), allow_nan=False))
        assert "guarantee" in answer.summary()
    assert len(wavelet_spectrum(mixed).plot().axes) == 9
    assert found.guarantee.kind == "consistency"
    assert estimate_hurst(mixed, method="univariate").guarantee is None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["A", "B", "B'", "C"])
def test_the_monte_carlo_table_is_met(name):
    """60 runs of each setting against the figures measured with 400; 4 standard errors + 0.003 (false alarm below 1 %)."""
    import importlib.util
    from pathlib import Path

    path = Path(__file__).parents[2] / "benchmarks" / "reproduce_selfsimilarity.py"
    spec = importlib.util.spec_from_file_location("reproduce_selfsimilarity", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    full = next(key for key in script.SETTINGS if key.split(":")[0] == name)
    H, found = script.runs_of(full, 0.15, 1)
    assert len(found["corrected"]) == 60
    assert script.deviation(full, H, found) < 1
    if name == "C":
        error = found["univariate"].std(axis=0, ddof=1) / np.sqrt(60)
        assert np.all(np.abs(found["univariate"].mean(axis=0) - H - script.UNIVARIATE_ON_C) < 4 * error + 0.01)
