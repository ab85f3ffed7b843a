"""Figures of the domain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from ..core.figures import PALETTE, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .clusters import ExponentClusters
    from .diagram import LogScaleDiagram
    from .estimate import HurstEstimate
    from .modes import ModeCount
    from .sliding import SlidingHurst
    from .spectrum import WaveletSpectrum

__all__ = [
    "plot_clusters",
    "plot_diagram",
    "plot_exponents",
    "plot_lines",
    "plot_modes",
    "plot_sliding",
    "plot_spectrum",
]

_LABELLED = 8  # more channels get no legend


def plot_lines(estimate: HurstEstimate, ax: Axes | None = None, *, rival: HurstEstimate | None = None) -> Axes:
    """log2 eigenvalues against octaves with the fitted lines and a ribbon of the slopes' intervals; dotted: another estimate."""
    ax = new_axes(ax, figsize=(6, 4))
    j = estimate.octaves.astype(float)
    turn = 1 if estimate.process == "motion" else -1
    centre = float((np.abs(estimate.weights) @ j) / np.abs(estimate.weights).sum())
    for m, H in enumerate(estimate.hurst):
        colour = PALETTE[m % len(PALETTE)]
        fit = estimate.intercept[m] + (2 * H + turn) * j
        half = estimate.interval[m, 1] - estimate.interval[m, 0]
        ax.plot(j, estimate.log2_eigenvalues[:, m], "o", color=colour, markersize=5)
        ax.plot(
            j, fit, color=colour, label=f"H = {H:.2f} [{estimate.interval[m, 0]:.2f}, {estimate.interval[m, 1]:.2f}]"
        )
        ax.fill_between(
            j, fit - half * np.abs(j - centre), fit + half * np.abs(j - centre), color=colour, alpha=0.12, linewidth=0
        )
        if rival is not None:
            ax.plot(
                rival.octaves, rival.log2_eigenvalues[:, m], "x:", color=colour, markersize=5, linewidth=1, alpha=0.8
            )
    ax.set_xticks(estimate.octaves)
    ax.set_xlabel("octave j (scale $2^j$ samples)")
    ax.set_ylabel("log2 energy" if estimate.method == "univariate" else "log2 eigenvalue")
    if estimate.n_channels <= _LABELLED:
        ax.legend()
    return ax


def plot_exponents(
    estimates: dict[str, HurstEstimate], ax: Axes | None = None, *, truth: np.ndarray | None = None
) -> Axes:
    """Exponents of several estimates side by side, with their intervals; the true ones as steps."""
    ax = new_axes(ax, figsize=(6, 3.6))
    M = next(iter(estimates.values())).n_channels
    place = np.arange(1, M + 1)
    if truth is not None:
        ink = ax.spines["left"].get_edgecolor()
        ax.hlines(truth, place - 0.4, place + 0.4, color=ink, linewidth=1.2, label="true")
    for i, (name, estimate) in enumerate(estimates.items()):
        shift = 0.18 * (i - (len(estimates) - 1) / 2)
        error = np.abs(estimate.interval.T - estimate.hurst)
        ax.errorbar(
            place + shift,
            estimate.hurst,
            error,
            fmt="o",
            markersize=5,
            capsize=2,
            color=PALETTE[i % len(PALETTE)],
            label=name,
        )
    rising = truth is not None and bool((np.diff(truth) >= 0).all())
    return _components(ax, place, "component", "lower right" if rising else "best")


def plot_clusters(clusters: ExponentClusters, ax: Axes | None = None) -> Axes:
    """Sorted exponents with their intervals, a band for each cluster."""
    ax = new_axes(ax, figsize=(6, 3.6))
    estimate = clusters.estimate
    order = np.argsort(estimate.hurst, kind="stable")
    place = np.arange(1, order.size + 1)
    labels = clusters.labels[order]
    for c in range(clusters.n_clusters):
        members = labels == c
        colour = PALETTE[c % len(PALETTE)]
        error = np.abs(estimate.interval[order][members].T - estimate.hurst[order][members])
        ax.errorbar(place[members], estimate.hurst[order][members], error, fmt="o", color=colour, capsize=3)
        ax.hlines(
            clusters.exponents[c], place[members][0] - 0.4, place[members][-1] + 0.4, color=colour, linewidth=9, alpha=0.25,
            label=f"{members.sum()} with H = {clusters.exponents[c]:.2f}",
        )  # fmt: skip
    return _components(ax, place, "component, in the order of the exponents")


def _components(ax: Axes, place: np.ndarray, label: str, corner: Literal["best", "lower right"] = "best") -> Axes:
    """Axes of exponents over components."""
    ax.set_xticks(place)
    ax.set_xlabel(label)
    ax.set_ylabel("exponent H")
    ax.legend(loc=corner)
    return ax


def plot_modes(found: ModeCount, ax: Axes | None = None) -> Axes:
    """Density of the exponents at the critical bandwidth; each exponent as a stroke in the colour of its group."""
    ax = new_axes(ax, figsize=(6, 3.6))
    grid = np.linspace(found.hurst.min() - 3 * found.bandwidth, found.hurst.max() + 3 * found.bandwidth, 400)
    z = (grid[:, None] - found.hurst) / found.bandwidth
    density = np.exp(-0.5 * z * z).mean(axis=1) / (found.bandwidth * np.sqrt(2 * np.pi))
    ax.plot(grid, density, color=PALETTE[5])
    for k, mean in enumerate(found.exponents):
        members = found.hurst[found.labels == k]
        ax.vlines(
            members,
            -0.08 * density.max(),
            0,
            color=PALETTE[k % len(PALETTE)],
            label=f"{members.size} with H = {mean:.2f}",
        )
    ax.set_xlabel("exponent H")
    ax.set_ylabel("density at the critical bandwidth")
    ax.legend()
    return ax


def plot_sliding(found: SlidingHurst, ax: Axes | None = None) -> Axes:
    """Exponents over time, with bands of two standard errors."""
    ax = new_axes(ax, figsize=(7, 3.4))
    for m, (H, error) in enumerate(zip(found.hurst.T, found.standard_error.T, strict=True)):
        colour = PALETTE[m % len(PALETTE)]
        ax.plot(found.times, H, color=colour, marker="o", markersize=3)
        ax.fill_between(found.times, H - 2 * error, H + 2 * error, color=colour, alpha=0.15, linewidth=0)
    ax.set_xlabel("time")
    ax.set_ylabel("exponent H")
    return ax


def plot_diagram(diagram: LogScaleDiagram, ax: Axes | None = None) -> Axes:
    """log2 energies of all octaves with two standard deviations; the line over the octaves used."""
    ax = new_axes(ax, figsize=(6, 3.8))
    ax.errorbar(
        diagram.all_octaves, diagram.all_y, 2 * np.sqrt(diagram.all_variance), fmt="o", color=PALETTE[5], markersize=4, capsize=2
    )  # fmt: skip
    ax.plot(diagram.octaves, diagram.y, "o", color=PALETTE[0])
    low, high = diagram.interval
    ax.plot(
        diagram.octaves, diagram.intercept + diagram.alpha * diagram.octaves, color=PALETTE[1],
        label=f"H = {diagram.hurst:.3f} [{low:.3f}, {high:.3f}], Q = {diagram.q_value:.2f}",
    )  # fmt: skip
    ax.set_xlabel("octave j (scale $2^j$ samples)")
    ax.set_ylabel("log2 energy")
    ax.legend()
    return ax


def plot_spectrum(spectrum: WaveletSpectrum) -> Figure:
    """M x M panel: log2 energies on the diagonal, coherence below it."""
    from matplotlib.figure import Figure

    M = min(spectrum.matrices.shape[1], _LABELLED)
    figure = Figure(figsize=(1.6 * M + 1, 1.4 * M + 0.8), layout="constrained")
    panels = figure.subplots(M, M, squeeze=False, sharex=True)
    for m in range(M):
        for l in range(M):
            ax = panels[m, l]
            if l > m:
                ax.set_axis_off()
            elif l == m:
                ax.plot(spectrum.octaves, np.log2(spectrum.matrices[:, m, m]), "o-", color=PALETTE[0], markersize=3)
                ax.set_title(spectrum.names[m] if spectrum.names else f"channel {m}", fontsize=8)
            else:
                ax.plot(spectrum.octaves, spectrum.coherence[:, m, l], "o-", color=PALETTE[1], markersize=3)
                ax.set_ylim(-1.05, 1.05)
            ax.tick_params(labelsize=7)
    figure.supxlabel("octave")
    figure.supylabel("log2 energy on the diagonal, coherence below it", fontsize=9)
    return figure
