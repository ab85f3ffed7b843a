"""Tests, clusters: formulas by hand, invariance, the same numbers on every number of workers."""

import joblib
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import chi2, norm

from ailys.selfsimilarity import (
    OperatorFractionalBrownianMotion,
    cluster_exponents,
    equality_test,
    estimate_hurst,
    mixing_correction,
    pairwise_tests,
)
from ailys.selfsimilarity.equality import invariant_exponents


@pytest.fixture(scope="module")
def found():
    x = OperatorFractionalBrownianMotion([0.5, 0.5, 0.5, 0.85], 0.2).sample(2**14, rng=2)
    return estimate_hurst(x, octaves=(4, 8), n_bootstrap=300, rng=0)


def test_chi2_is_the_mahalanobis_distance_from_equality(found):
    h, drawn = found.hurst, found.bootstrap
    C = (drawn - drawn.mean(axis=0)).T @ (drawn - drawn.mean(axis=0)) / (len(drawn) - 1)
    d = h - h.mean()
    result = equality_test(found)
    assert np.isclose(result.statistic, d @ np.linalg.inv(C) @ d)
    assert np.isclose(result.p_value, chi2.sf(result.statistic, 3))
    assert result.degrees_of_freedom == 3
    assert result.guarantee is None


def test_half_normal_scales_come_from_the_global_hypothesis(found):
    centred = np.sort(found.bootstrap - found.bootstrap.mean(axis=0), axis=1)
    gaps = np.sort(found.hurst)
    result = pairwise_tests(found, correction="none")
    for k in range(3):
        s = np.std(centred[:, k + 1] - centred[:, k], ddof=1) / np.sqrt(1 - 2 / np.pi)
        assert np.isclose(result.scales[k], s)
        assert np.isclose(result.p_values[k], 2 * norm.sf((gaps[k + 1] - gaps[k]) / s))
    assert result.rejected.tolist() == (result.p_values <= 0.05).tolist()


def test_folded_normal_scales_are_those_of_maximum_likelihood(found):
    result = pairwise_tests(found, method="folded_normal")
    gaps = np.diff(np.sort(found.bootstrap, axis=1), axis=1)
    for k, y in enumerate(gaps.T):

        def loss(p, y=y):
            mu, s = p[0], np.exp(p[1])
            return -np.mean(np.logaddexp(norm.logpdf(y, mu, s), norm.logpdf(y, -mu, s)))

        fits = [minimize(loss, [m, np.log(y.std())], method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-14, "maxiter": 4000}) for m in (y.mean(), 0.3 * y.mean())]  # fmt: skip
        best = min(fits, key=lambda fit: fit.fun)
        assert abs(np.exp(best.x[1]) / result.scales[k] - 1) < 1e-3


def test_all_pairs_are_symmetric_and_gaussian(found):
    result = pairwise_tests(found, method="gaussian", correction="bonferroni")
    s = np.std(found.bootstrap[:, 0] - found.bootstrap[:, 3], ddof=1)
    assert np.isclose(result.p_values[0, 3], 2 * norm.sf(abs(found.hurst[0] - found.hurst[3]) / s))
    assert np.array_equal(result.p_values, result.p_values.T)
    assert np.array_equal(result.rejected, (result.p_values * 6 <= 0.05) & ~np.eye(4, dtype=bool))


def test_corrections_are_nested(found):
    rejected = [int(pairwise_tests(found, correction=c).rejected.sum()) for c in ("bonferroni", "by", "bh", "none")]
    assert rejected[0] <= rejected[2] <= rejected[3]
    assert rejected[1] <= rejected[2]


def test_two_clusters_are_found_where_there_are_two(found):
    clusters = cluster_exponents(found)
    assert clusters.n_clusters == 2
    assert sorted(clusters.labels.tolist()) == [0, 0, 0, 1]
    top = int(np.argmax(found.hurst))
    assert clusters.labels[top] == 1
    assert np.isclose(clusters.exponents[1], found.hurst[top])
    assert np.isclose(clusters.exponents[0], np.delete(found.hurst, top).mean())


def test_the_invariant_statistic_does_not_see_the_mixing():
    rng = np.random.default_rng(0)
    x = OperatorFractionalBrownianMotion([0.7] * 4).sample(2**12, rng=rng)
    first = estimate_hurst(x, octaves=(3, 6))
    W = rng.standard_normal((4, 4)) @ np.diag([1, 10, 100, 0.1])
    second = estimate_hurst(W @ x, octaves=(3, 6))
    statistics = [invariant_exponents(f.spectra, f.weights, "motion") for f in (first, second)]
    assert np.allclose(*statistics, atol=1e-7)
    # its mean is the exponent of the determinants, which is that of the classical eigenvalues
    assert np.isclose(statistics[0].mean(), first.classical.mean())


@pytest.mark.parametrize("method", ["monte_carlo", "invariant"])
def test_simulated_p_values_do_not_depend_on_the_workers(found, method):
    options = {"method": method, "n_simulations": 19, "common_hurst": 0.5}
    one = equality_test(found, **options, rng=4)
    with joblib.parallel_config("loky", n_jobs=2):
        two = equality_test(found, **options, rng=4)
    three = equality_test(found, **options, rng=4, n_jobs=2)
    assert one.to_dict() == two.to_dict() == three.to_dict()
    assert one.p_value == 1 / 20
    assert (one.guarantee is not None) == (method == "invariant")


def test_dask_gives_the_same_numbers(found):
    distributed = pytest.importorskip("distributed")
    here = equality_test(found, method="invariant", n_simulations=19, rng=1)
    with (
        distributed.Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None),
        joblib.parallel_config("dask"),
    ):
        there = equality_test(found, method="invariant", n_simulations=19, rng=1)
    assert here.to_dict() == there.to_dict()


def test_questions_that_make_no_sense_are_refused(found):
    single = estimate_hurst(np.cumsum(np.random.default_rng(0).standard_normal(4096)), n_bootstrap=20, rng=0)
    with pytest.raises(ValueError, match="two exponents"):
        equality_test(single)
    with pytest.raises(ValueError, match="two exponents"):
        pairwise_tests(single)
    with pytest.raises(ValueError, match="method must be one of"):
        equality_test(found, method="anova")
    with pytest.raises(ValueError, match="alpha"):
        pairwise_tests(found, alpha=5)
    with pytest.raises(ValueError, match="correction"):
        pairwise_tests(found, correction="holm")
    with pytest.raises(ValueError, match="half_normal"):
        cluster_exponents(found, method="gaussian")
    with pytest.raises(ValueError, match="n_simulations"):
        equality_test(found, method="invariant", n_simulations=3)
    x = OperatorFractionalBrownianMotion([0.5, 0.6]).sample(4096, rng=0)
    with pytest.raises(ValueError, match="n_bootstrap"):
        equality_test(estimate_hurst(x))
    with pytest.raises(ValueError, match="more than 2 bootstrap"):
        equality_test(estimate_hurst(x, n_bootstrap=2, rng=0))


def test_a_simulated_bias_is_smaller_where_lines_have_not_separated():
    """Fine octaves, .6 and .8 behind a rotation by 30 degrees, 12 runs: the correction takes away most of a bias of many errors."""
    angle = np.pi / 6
    W = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    truth = np.array([0.6, 0.8])
    model, before, after = OperatorFractionalBrownianMotion(truth, 0.5, W), [], []
    for seed in range(12):
        found = estimate_hurst(model.sample(2**14, rng=seed), octaves=(3, 8))
        before.append(found.hurst)
        after.append(mixing_correction(found, n_simulations=10, rng=seed).hurst)
    bias = [np.abs(np.mean(h, axis=0) - truth).max() for h in (before, after)]
    assert bias[1] < bias[0]
    with pytest.raises(ValueError, match="eigenvalues"):
        mixing_correction(estimate_hurst(model.sample(4096, rng=0), method="univariate"))


def test_too_many_simulations_are_refused_in_a_sentence():
    estimate = estimate_hurst(np.cumsum(np.random.default_rng(0).standard_normal((2, 4096)), axis=1))
    with pytest.raises(ValueError, match="at most 1000000"):
        equality_test(estimate, method="invariant", n_simulations=10**30)
