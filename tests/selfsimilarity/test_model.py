"""Existence, covariance and synthesis against closed forms, brute force and other formulas."""

import pickle

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ailys.selfsimilarity import OperatorFractionalBrownianMotion, fractional_brownian_motion, largest_correlation
from ailys.selfsimilarity.embedding import circulant_embedding
from ailys.selfsimilarity.model import increment_covariance


@pytest.mark.parametrize(
    ("pair", "limit"), [((0.2, 0.8), 0.661997), ((0.4, 0.9), 0.651651), ((0.6, 0.8), 0.933764), ((0.1, 0.95), 0.279476)]
)
def test_the_largest_correlation_is_that_of_the_existence_theorem(pair, limit):
    assert abs(largest_correlation(*pair) - limit) < 5e-7
    OperatorFractionalBrownianMotion(pair, 0.999 * largest_correlation(*pair))
    with pytest.raises(ValueError, match="smallest eigenvalue of the existence condition is -"):
        OperatorFractionalBrownianMotion(pair, 1.001 * largest_correlation(*pair))


@pytest.mark.parametrize("pair", [(0.2, 0.8), (0.4, 0.9), (0.6, 0.8)])
def test_an_invalid_model_has_no_covariance_matrix(pair):
    """The covariance of many samples, written out: it changes sign with the theorem, not with the embedding."""

    def smallest(rho):
        sigma = np.array([[1, rho], [rho, 1]])
        G = increment_covariance(np.array(pair), sigma, np.arange(2049.0))
        spectrum = np.fft.rfft(np.concatenate([G, G[-2:0:-1]]), axis=0).real
        return np.linalg.eigvalsh(spectrum).min()

    limit = largest_correlation(*pair)
    assert smallest(0.98 * limit) > -1e-9
    assert smallest(1.03 * limit) < -1e-3


def test_far_lags_keep_their_digits():
    H = np.array([0.3, 0.85])
    lags = [2.0, 299.0, 301.0, 1e5, 1e8]
    found = increment_covariance(H, np.eye(2) + 0.2, np.array(lags))
    with mpmath.workdps(60):
        for i, k in enumerate(lags):
            for m in range(2):
                for l in range(2):
                    a = mpmath.mpf(float(H[m])) + mpmath.mpf(float(H[l]))
                    k_ = mpmath.mpf(k)
                    exact = (1.2 if m == l else 0.2) * ((k_ + 1) ** a + (k_ - 1) ** a - 2 * k_**a) / 2
                    assert abs(found[i, m, l] / float(exact) - 1) < 1e-10


def test_the_embedding_holds_the_covariance_exactly():
    H, sigma = np.array([0.3, 0.7, 0.9]), np.array([[1, 0.2, 0.1], [0.2, 2, -0.3], [0.1, -0.3, 0.5]])
    found = circulant_embedding(lambda k: increment_covariance(H, sigma, k), 256)
    spectrum = np.einsum("mlf,klf->mkf", found.roots, found.roots)
    G = np.moveaxis(np.fft.irfft(spectrum, 2 * found.half, axis=-1), -1, 0)[:256]
    assert np.abs(G - increment_covariance(H, sigma, np.arange(256.0))).max() < 1e-12


def test_draws_have_the_covariance_of_the_model():
    """2e4 draws: each entry of the empirical covariance is within 5 standard errors (false alarm below 1e-4)."""
    model = OperatorFractionalBrownianMotion([0.3, 0.8], 0.4, mixing=[[1, 2], [-1, 1]])
    x = model.sample(16, size=20_000, increments=True, rng=0)
    for k in (0, 1, 5, 12):
        products = x[:, :, k][:, :, None] * x[:, :, 0][:, None, :]
        error = products.std(axis=0) / np.sqrt(len(x))
        assert np.all(np.abs(products.mean(axis=0) - model.covariance(k)[0]) < 5 * error)


def test_one_channel_is_fractional_brownian_motion():
    paths = fractional_brownian_motion(0.3, 64, size=20_000, rng=1)
    variance = (paths**2).mean(axis=0)
    t = np.arange(1, 65)
    assert np.all(np.abs(variance / t**0.6 - 1) < 5 * np.sqrt(2 / 20_000))


def test_brownian_motion_has_white_increments():
    gamma = OperatorFractionalBrownianMotion([0.5, 0.5], 0.7).covariance(np.arange(10))
    assert np.allclose(gamma[0], [[1, 0.7], [0.7, 1]])
    assert np.abs(gamma[1:]).max() < 1e-14


@settings(max_examples=20, deadline=None)
@given(H=st.lists(st.floats(0.05, 0.95), min_size=1, max_size=4), n=st.integers(1, 200), seed=st.integers(0, 1000))
def test_motion_is_the_sum_of_its_increments_and_seeds_repeat(H, n, seed):
    model = OperatorFractionalBrownianMotion(H)
    increments = model.sample(n, increments=True, rng=seed)
    assert increments.shape == (len(H), n)
    assert np.allclose(model.sample(n, rng=seed), np.cumsum(increments, axis=1))
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.sample(n, rng=seed, size=1)[0], model.sample(n, rng=seed))


@pytest.mark.parametrize("n", [2**10, 2**12, 2**14])
def test_near_the_limit_little_is_clipped_and_it_is_said(n):
    model = OperatorFractionalBrownianMotion([0.2, 0.8], 0.99 * largest_correlation(0.2, 0.8))
    model.sample(n, rng=0)
    assert 0 <= model.guarantee.values["relative_clipped_mass"] < 1e-7
    assert "clipped" in model.summary()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5, 1.0],), "strictly between 0 and 1"),
        (([],), "strictly between 0 and 1"),
        (([0.5, np.nan],), "strictly between 0 and 1"),
        (([0.5, 0.6], np.eye(3)), "2 x 2"),
        (([0.5, 0.6], [[1, 0.2], [0.1, 1]]), "symmetric"),
        (([0.5, 0.6], [[1, 0], [0, -1]]), "positive variances"),
        (([0.5, 0.6], None, np.ones((2, 2))), "invertible"),
        (([0.5, 0.6], None, np.eye(3)), "2 x 2"),
        (([0.5, 0.5], 1.5), "smallest eigenvalue"),
    ],
)
def test_models_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        OperatorFractionalBrownianMotion(*arguments)


def test_lengths_that_make_no_sense_are_refused():
    for n in (0, -3, 2.5, True):
        with pytest.raises(ValueError, match="whole number"):
            fractional_brownian_motion(0.5, n)
