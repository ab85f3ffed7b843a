"""Figures of the domain."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.answer import readable
from ..core.figures import PALETTE, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .abtest import ABTestResult
    from .complexity import OracleWeights
    from .identification_simulation import IdentificationResult
    from .maximize import OptimizeResult
    from .simulation import RegretResult

__all__ = [
    "plot_discovery",
    "plot_evidence",
    "plot_graph",
    "plot_identification",
    "plot_intervals",
    "plot_optimization",
    "plot_proportions",
    "plot_regret",
    "plot_weights",
]


def _count_ticks(ax: Axes) -> None:
    """Whole numbers along the x axis, in groups of three digits."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 2.5, 5, 10]))
    ax.xaxis.set_major_formatter(lambda value, _: readable(round(value)))


def plot_regret(result: RegretResult, ax: Axes | None = None) -> Axes:
    """Mean regret, band from 10 to 90 %, lower bound; logarithmic time."""
    ax = new_axes(ax, figsize=(6, 3.8))
    low, high = result.quantile(0.1), result.quantile(0.9)
    for i, name in enumerate(result.policies):
        colour = PALETTE[i % len(PALETTE)]
        ax.plot(result.checkpoints, result.mean[i], color=colour, label=name)
        ax.fill_between(result.checkpoints, low[i], high[i], color=colour, alpha=0.12, linewidth=0)
    ink = ax.spines["left"].get_edgecolor()
    if result.in_family:
        ax.plot(result.checkpoints, result.lower_bound, "--", color=ink, label="Lai and Robbins, asymptotically")
    ax.set_xscale("log")
    ax.set_xlabel("time")
    ax.set_ylabel("regret")
    ax.set_ylim(bottom=0)
    ax.legend()
    return ax


def plot_identification(result: IdentificationResult, ax: Axes | None = None) -> Axes:
    """Boxes of the stopping times, lower bound, error rates."""
    ax = new_axes(ax, figsize=(6.4, 1.0 + 0.42 * len(result.policies)))
    boxes = ax.boxplot(
        [*result.stopping_time], orientation="horizontal", whis=(5, 95), showfliers=False, patch_artist=True, widths=0.6
    )
    for box in boxes["boxes"]:
        box.set(facecolor=PALETTE[0], alpha=0.45)
    for median in boxes["medians"]:
        median.set(color=PALETTE[1])
    ax.plot(result.mean, np.arange(1, len(result.policies) + 1), "D", color=PALETTE[1], markersize=4, label="mean")
    ax.axvline(result.lower_bound, color=PALETTE[2], linestyle="--", label="lower bound of every strategy")
    labels = [f"{n} ({100 * e:.1f} % wrong)" for n, e in zip(result.policies, result.error_rate, strict=True)]
    ax.set_yticks(range(1, len(labels) + 1), labels)
    ax.set_xlim(left=0)
    ax.set_xlabel("draws until the answer")
    _count_ticks(ax)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return ax


def plot_weights(answer: OracleWeights, ax: Axes | None = None) -> Axes:
    """Bars of the oracle's weights."""
    ax = new_axes(ax, figsize=(5, 3))
    weights = np.asarray(answer.weights)
    if weights.ndim != 1:
        raise ValueError(f"plot one problem at a time; this answer holds a batch of shape {weights.shape}")
    ax.bar(range(len(weights)), weights, color=PALETTE[0])
    ax.set_xlabel("arm")
    _count_ticks(ax)
    ax.set_ylabel("share of the draws")
    return ax


def plot_proportions(counts: np.ndarray, answer: OracleWeights | None = None, ax: Axes | None = None) -> Axes:
    """Shares of the draws beside the oracle's weights."""
    ax = new_axes(ax, figsize=(5, 3))
    x, width = np.arange(len(counts)), 0.4 if answer is not None else 0.8
    ax.bar(x - (width / 2 if answer is not None else 0), counts / counts.sum(), width, color=PALETTE[0], label="drawn")
    if answer is not None:
        ax.bar(x + width / 2, answer.weights, width, color=PALETTE[1], label="oracle")
        ax.legend()
    ax.set_xlabel("arm")
    _count_ticks(ax)
    ax.set_ylabel("share of the draws")
    return ax


def plot_evidence(result: ABTestResult, ax: Axes | None = None) -> Axes:
    """Logarithm of the e-process; totals only: intervals of the arms."""
    if not len(result.path):
        return plot_intervals(result, ax)
    ax = new_axes(ax, figsize=(6, 3.4))
    ax.plot(np.arange(1, len(result.path) + 1), result.path, color=PALETTE[0], label="evidence against equal arms")
    ax.axhline(-math.log(result.alpha), color=PALETTE[1], linestyle="--", label=f"reject at {result.alpha:g}")
    ax.set_xlabel("trials")
    _count_ticks(ax)
    ax.set_ylabel("ln(e-value)")
    ax.legend()
    return ax


def plot_intervals(result: ABTestResult, ax: Axes | None = None) -> Axes:
    """Confidence sequences of the arms along the trials, or their present intervals."""
    ax = new_axes(ax, figsize=(6, 3.4))
    for i, (name, (low, high)) in enumerate(result.intervals.items()):
        colour = PALETTE[i % len(PALETTE)]
        if name in result.paths:
            n, band = result.paths[name]
            ax.fill_between(n, band[:, 0], band[:, 1], color=colour, alpha=0.2, linewidth=0, step="post")
            ax.plot(n, band[:, 2], color=colour, label=str(name))
        else:
            total, count = result.counts[name]
            mean = total / count
            ax.errorbar([i], [mean], [[mean - low], [high - mean]], fmt="o", color=colour, capsize=4)
    if result.paths:
        ax.set_xlabel("trials")
        _count_ticks(ax)
        ax.legend()
    else:
        ax.set_xticks(range(len(result.intervals)), [str(name) for name in result.intervals])
        ax.set_xlim(-0.7, len(result.intervals) - 0.3)
    ax.set_ylabel("mean, with its interval")
    ax.set_ylim(0, 1)
    return ax


def plot_discovery(histories: Mapping[str, np.ndarray], ax: Axes | None = None) -> Axes:
    """Items found against requests, one curve for each history."""
    ax = new_axes(ax, figsize=(6, 3.4))
    for i, (name, history) in enumerate(histories.items()):
        ax.plot(np.arange(1, len(history) + 1), history, color=PALETTE[i % len(PALETTE)], label=name)
    ax.set_xlabel("requests")
    _count_ticks(ax)
    ax.set_ylabel("interesting items found")
    ax.set_ylim(bottom=0)
    ax.legend()
    return ax


def plot_graph(
    W: np.ndarray,
    values: np.ndarray,
    counts: np.ndarray | None = None,
    positions: np.ndarray | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Nodes coloured by value, their area by the number of draws; a spring layout without positions."""
    import networkx as nx
    from matplotlib.collections import LineCollection

    ax = new_axes(ax, figsize=(5, 4))
    if positions is None:
        layout = nx.spring_layout(nx.from_numpy_array(W), seed=0)
        positions = np.array([layout[i] for i in range(len(W))])
    edges = np.argwhere(np.triu(W) > 0)
    ax.add_collection(
        LineCollection([positions[edge] for edge in edges], colors=PALETTE[5], linewidths=0.6, alpha=0.6, zorder=0)
    )
    size = 40.0 if counts is None else 14 + 360 * counts / max(counts.max(), 1)
    shown = ax.scatter(
        positions[:, 0], positions[:, 1], c=values, s=size, cmap="viridis", edgecolors=PALETTE[5], linewidths=0.5
    )
    ax.figure.colorbar(shown, ax=ax, shrink=0.8, label="mean")
    ax.set_axis_off()
    return ax


def plot_optimization(result: OptimizeResult, f: Callable[[Any], float] | None = None, ax: Axes | None = None) -> Axes:
    """One dimension: upper bounds of the leaves, values, the function if given. Two: cells and points."""
    ax = new_axes(ax, figsize=(6.5, 3.6))
    if len(result.bounds) == 2:
        from matplotlib.collections import PatchCollection
        from matplotlib.patches import Rectangle

        cells = [Rectangle((a[0], a[1]), *(b - a)) for a, b in zip(result.low, result.high, strict=True)]
        ax.add_collection(PatchCollection(cells, facecolor="none", edgecolor=PALETTE[5], linewidth=0.5))
        ax.plot(*result.points.T, ".", color=PALETTE[0], markersize=3)
        ax.plot(*np.asarray(result.x), "*", color=PALETTE[1], markersize=12)
        ax.set_xlim(*result.bounds[0])
        ax.set_ylim(*result.bounds[1])
        return ax
    if len(result.bounds) > 2:
        raise ValueError(f"functions of one or two numbers can be drawn; this one takes {len(result.bounds)}")
    order = np.argsort(result.low[:, 0])
    low, high, upper = result.low[order, 0], result.high[order, 0], result.upper[order]
    if np.isfinite(upper).any():
        shown = np.where(np.isfinite(upper), upper, np.nanmax(np.where(np.isfinite(upper), upper, np.nan)))
        ax.stairs(shown, np.append(low, high[-1]), baseline=None, color=PALETTE[2], linewidth=1.0, label="upper bound")
    if f is not None:
        x = np.linspace(*result.bounds[0], 800)
        ax.plot(x, [f(v) for v in x], color=PALETTE[0], label="function")
    ax.plot(result.points, result.values, ".", color=PALETTE[5], markersize=3, alpha=0.5, label="measurements")
    ax.axvline(float(result.x), color=PALETTE[1], linestyle="--", label="point found")
    ax.set_xlabel("x")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4)
    return ax
