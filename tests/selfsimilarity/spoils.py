"""How to spoil what each claim of the audit is about: one slip in the implementation for each."""

from __future__ import annotations

import numpy as np

import ailys.selfsimilarity.audit as audit
import ailys.selfsimilarity.diagram as diagram
import ailys.selfsimilarity.equality as equality
import ailys.selfsimilarity.hurst as hurst
import ailys.selfsimilarity.model as model
import ailys.selfsimilarity.spectrum as spectrum


def sine_forgotten(monkeypatch):
    """The condition of existence without its sine."""
    from scipy.special import gamma

    monkeypatch.setattr(model, "_spectral_factor", lambda H: gamma(H[:, None] + H + 1))


def two_frequencies_too_strong(monkeypatch):
    """The first and the last frequency, which are real, get the power of complex ones: half of it."""
    honest = model.circulant_embedding

    def spoiled(covariance, n):
        found = honest(covariance, n)
        found.roots[..., [0, -1]] *= np.sqrt(0.5)
        return found

    monkeypatch.setattr(model, "circulant_embedding", spoiled)


def filter_reversed(monkeypatch):
    """The high-pass filter is applied backwards."""
    import ailys.selfsimilarity.wavelet as wavelet

    honest = wavelet.filters
    monkeypatch.setattr(wavelet, "filters", lambda N: (honest(N)[0], honest(N)[1][::-1]))


def channels_drawn_apart(monkeypatch):
    """The bootstrap shifts each channel by its own number of coefficients: what ties the channels is lost."""
    honest = hurst.bootstrap_lines

    def spoiled(details, *rest):
        return honest({j: np.array([np.roll(d, m) for m, d in enumerate(D)]) for j, D in details.items()}, *rest)

    monkeypatch.setattr(hurst, "bootstrap_lines", spoiled)


def slope_of_the_increments(monkeypatch):
    """A motion is taken to have slope 2 H: exponents are 1/2 too large at every length."""
    honest = hurst.exponents
    monkeypatch.setattr(hurst, "exponents", lambda lines, w, process: honest(lines, w, process) + 0.5)


def blocks_not_equal(monkeypatch):
    """Each octave takes all its coefficients as one block, as the classical estimator does."""
    monkeypatch.setattr(
        hurst, "block_log2_eigenvalues", lambda D, block, j: spectrum.block_log2_eigenvalues(D, D.shape[1], j)
    )


def variance_for_deviation(monkeypatch):
    """One standard error for two, as where a half width is taken for a width."""
    honest = hurst._interval

    def spoiled(H, error, *rest):
        return honest(H, error / 2, *rest)

    monkeypatch.setattr(hurst, "_interval", spoiled)


def data_measured_apart(monkeypatch):
    """The data's distance is to the mean of the simulations alone, by their covariance: few simulations of many contrasts."""

    def spoiled(every):
        contrasts = np.diff(every, axis=1)
        centred = contrasts - contrasts[1:].mean(axis=0)
        C = np.atleast_2d(np.cov(contrasts[1:], rowvar=False, ddof=1)) / 4  # and a factor lost for the simulations
        distances = np.einsum("rk,rk->r", centred, np.linalg.solve(C, centred.T).T)
        distances[1:] /= 4
        return distances

    monkeypatch.setattr(equality, "_contrast_distances", spoiled)


def weights_of_equal_octaves(monkeypatch):
    """The standard deviation stated is that of octaves with equal variances."""
    honest = diagram.LogScaleDiagram.guarantee.fget

    def spoiled(answer):
        from dataclasses import replace

        found = honest(answer)
        return (
            None
            if found is None
            else replace(found, level=float(np.sqrt(np.mean(answer.variance)) / len(answer.octaves)))
        )

    monkeypatch.setattr(diagram.LogScaleDiagram, "guarantee", property(spoiled))


def half_width_for_width(monkeypatch):
    """The interval of the diagram is that of alpha's half, halved again."""
    honest = audit.log_scale_diagram

    def spoiled(x, **options):
        from dataclasses import replace

        found = honest(x, **options)
        low, high = found.interval
        return replace(found, interval=((3 * low + high) / 4, (low + 3 * high) / 4))

    monkeypatch.setattr(audit, "log_scale_diagram", spoiled)


SPOILS = {
    "existence": sine_forgotten,
    "synthesis": two_frequencies_too_strong,
    "coefficients": filter_reversed,
    "invariance": channels_drawn_apart,
    "consistency": slope_of_the_increments,
    "bias": blocks_not_equal,
    "coverage": variance_for_deviation,
    "equality-level": data_measured_apart,
    "equality-estimated": data_measured_apart,
    "diagram-exact": weights_of_equal_octaves,
    "diagram": half_width_for_width,
}
