"""Figures of the domain: supports of a chain, certificate, error against size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..core.figures import PALETTE, new_axes
from .architecture import Chain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .factorization import ButterflyFactorization
    from .search import ParetoResult

__all__ = ["draw_sparse", "plot_certificate", "plot_chain", "plot_overview", "plot_pareto"]


def draw_sparse(ax: Axes, matrix: np.ndarray, left: float = 0.0) -> float:
    """Draw a matrix at ``left`` in units of its entries, zeros left empty. Returns the right edge.

    The colour is the phase of the entry (for a real matrix: its sign), the opacity its modulus.
    """
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    rows, cols = matrix.shape
    modulus = np.abs(matrix)
    top = modulus.max() or 1.0
    wheel = LinearSegmentedColormap.from_list("phase", [*PALETTE[:4], PALETTE[0]])
    image = wheel((np.angle(matrix) / (2 * np.pi) + 0.001) % 1.0)
    image[..., 3] = np.where(modulus > 1e-12 * top, 0.2 + 0.8 * modulus / top, 0.0)
    ax.imshow(image, extent=(left, left + cols, rows, 0), interpolation="nearest", aspect="equal")
    edge = ax.spines["left"].get_edgecolor()
    ax.add_patch(Rectangle((left, 0), cols, rows, fill=False, linewidth=0.8, edgecolor=edge))
    return left + cols


def _strip(ax: Axes, width: float, height: float) -> None:
    ax.set_xlim(-0.5, width + 0.5)
    ax.set_ylim(height + 0.5, -0.5)
    ax.set_axis_off()


def plot_chain(chain: Chain, ax: Axes | None = None) -> Axes:
    """Supports of the factors side by side."""
    ax = new_axes(ax, figsize=(2 + 1.6 * len(chain), 2.4))
    right, height = 0.0, max(p.shape[0] for p in chain)
    for l, pattern in enumerate(chain):
        left = right
        right = draw_sparse(ax, chain.support(l).toarray(), left)
        ax.text((left + right) / 2, height * 1.04, str(tuple(pattern)), ha="center", va="top", fontsize=8)
        right += 0.15 * height
    _strip(ax, right - 0.15 * height, height * 1.1)
    return ax


def plot_certificate(answer: ButterflyFactorization, ax: Axes | None = None) -> Axes:
    """Distances to the two-factor classes, with the error and its bounds."""
    ax = new_axes(ax, figsize=(6.5, 3.6))
    norm = answer.norm or 1.0
    splits = answer.split_errors / norm
    positions = np.arange(1, len(splits) + 1)
    ax.bar(positions, splits, color=PALETTE[0], alpha=0.6, label="distance to the class of one split")
    ax.axhline(answer.error / norm, color=PALETTE[1], label="error of this factorization")
    ax.axhline(answer.lower_bound / norm, color=PALETTE[2], linestyle="--", label="no butterfly is closer than this")
    if len(splits) > 1:
        ax.axhline(answer.a_priori_bound / norm, color=PALETTE[5], linestyle=":", label="a-priori bound")
    ax.set_xticks(positions)
    ax.set_xlabel("split behind factor")
    ax.set_ylabel("relative error")
    ax.set_ylim(bottom=0)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return ax


def plot_pareto(result: ParetoResult, ax: Axes | None = None) -> Axes:
    """Error against the number of parameters, the best chain marked."""
    ax = new_axes(ax, figsize=(5.5, 3.6))
    ax.step(result.n_params, result.relative_errors, where="post", color=PALETTE[0])
    ax.plot(result.n_params, result.relative_errors, ".", color=PALETTE[0], markersize=4)
    ax.plot(result.n_params[-1], result.relative_errors[-1], "o", color=PALETTE[1], label=str(result.best))
    if result.max_params <= 10 * result.n_params[-1]:  # a budget far above all chains would push them to the edge
        ax.axvline(result.max_params, color=PALETTE[5], linestyle=":", label="budget")
    ax.set_xlabel("parameters")
    ax.set_ylabel("relative error")
    ax.set_ylim(bottom=0)
    ax.legend()
    return ax


def plot_overview(answer: ButterflyFactorization) -> Axes:
    """Supports above, certificate below."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=(1, 1.3))
    plot_chain(answer.chain, above)
    plot_certificate(answer, below)
    figure.suptitle(f"{answer.shape[0]} x {answer.shape[1]}, {answer.n_params} parameters")
    return below
