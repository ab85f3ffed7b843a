"""Coefficients against PyWavelets, the toolbox's counts, polynomials; spectra against their definition."""

import numpy as np
import pytest
import pywt
from hypothesis import given, settings
from hypothesis import strategies as st

from ailys.selfsimilarity import wavelet_coefficients, wavelet_spectrum
from ailys.selfsimilarity.wavelet import coefficient_counts

TOOLBOX = {
    (65536, 2): [32767, 16382, 8190, 4094, 2046, 1022, 510, 254, 126, 62, 30, 14, 6],
    (16384, 3): [8190, 4093, 2044, 1020, 508, 252, 124, 60, 28, 12],
}


@pytest.mark.parametrize(("case", "counts"), TOOLBOX.items())
def test_counts_are_those_of_the_toolbox(case, counts):
    assert coefficient_counts(*case) == counts
    found = wavelet_coefficients(np.random.default_rng(0).standard_normal(case[0]), vanishing_moments=case[1])
    assert [d.shape[1] for d in found.details.values()] == counts == list(found.counts.values())


@pytest.mark.parametrize(("moments", "octaves"), [(1, 11), (2, 11), (3, 10)])
def test_octaves_are_those_of_the_toolbox(moments, octaves):
    assert len(coefficient_counts(16384, moments)) == octaves


@settings(max_examples=25, deadline=None)
@given(n=st.integers(60, 700), moments=st.integers(1, 8), M=st.integers(1, 4), seed=st.integers(0, 99))
def test_coefficients_are_those_of_pywavelets_without_its_borders(n, moments, M, seed):
    x = np.random.default_rng(seed).standard_normal((M, n))
    wavelet, L = pywt.Wavelet(f"db{moments}"), 2 * moments
    a = x
    for D in wavelet_coefficients(x, vanishing_moments=moments).details.values():
        m = (a.shape[1] - L) // 2 + 1
        low, high = pywt.dwt(a, wavelet, mode="zero", axis=-1)
        a, expected = low[:, L // 2 - 1 : L // 2 - 1 + m], high[:, L // 2 - 1 : L // 2 - 1 + m]
        assert np.abs(D - expected).max() < 1e-11


@pytest.mark.parametrize("moments", [1, 2, 3, 5])
def test_polynomials_below_the_vanishing_moments_leave_no_trace(moments):
    t = np.linspace(-1, 1, 2048)
    found = wavelet_coefficients(
        np.polynomial.polynomial.polyval(t, np.arange(1.0, moments + 1)), vanishing_moments=moments
    )
    assert max(np.abs(D).max() for D in found.details.values()) < 1e-9
    higher = wavelet_coefficients(t**moments, vanishing_moments=moments)
    assert np.abs(higher.details[5]).max() > 1e-8


def test_a_border_is_never_seen():
    """Whatever lies outside cannot matter: the coefficients of a longer signal begin with those of the shorter."""
    x = np.random.default_rng(1).standard_normal(3000)
    short, long = wavelet_coefficients(x[:2000]), wavelet_coefficients(x)
    for j, D in short.details.items():
        assert np.array_equal(D, long.details[j][:, : D.shape[1]])


def test_spectra_are_mean_products_and_blocks_mean_logarithms():
    x = np.random.default_rng(2).standard_normal((3, 4096))
    coefficients = wavelet_coefficients(x)
    found = wavelet_spectrum(coefficients, octaves=(2, 6), block=30)
    assert found.octaves.tolist() == [2, 3, 4, 5, 6]
    for place, j in enumerate(found.octaves):
        D = coefficients.details[j]
        S = sum(np.outer(d, d) for d in D.T) / D.shape[1]
        assert np.allclose(found.matrices[place], S)
        blocks = [D[:, b : b + 30] for b in range(0, 30 * (D.shape[1] // 30), 30)]
        logs = np.mean([np.log2(np.linalg.eigvalsh(B @ B.T / 30)) for B in blocks], axis=0)
        assert np.allclose(np.log2(found.eigenvalues[place]), logs)
    assert np.allclose(wavelet_spectrum(x, octaves=(2, 6)).matrices, found.matrices)
    assert np.allclose(np.diagonal(found.coherence, axis1=1, axis2=2), 1)


def test_orders_that_do_not_exist_are_refused():
    x = np.random.default_rng(0).standard_normal(256)
    for moments in (0, 21, 2.0, "two", True):
        with pytest.raises(ValueError, match="vanishing_moments"):
            wavelet_coefficients(x, vanishing_moments=moments)
    with pytest.raises(ValueError, match="max_octave"):
        wavelet_coefficients(x, max_octave=9)
    with pytest.raises(ValueError, match="too few"):
        wavelet_coefficients(x[:10])
    with pytest.raises(ValueError, match="octave 9 is not available"):
        wavelet_spectrum(x, octaves=(3, 9))
    with pytest.raises(ValueError, match="block"):
        wavelet_spectrum(x, octaves=(1, 3), block=500)
