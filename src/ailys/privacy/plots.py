"""Figures: the released quantiles with their brackets, the rank errors of a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..core.figures import PALETTE, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .plan import QuantilePlan
    from .quantile import PrivateQuantiles

__all__ = ["METHOD_NAMES", "plot_plan", "plot_quantiles"]

METHOD_NAMES = {
    "lattice": "lattice, one by one",
    "indexp": "IndExp",
    "recexp": "RecExp",
    "jointexp": "JointExp, dithered",
    "tree": "tree",
    "histogram": "histogram",
}


def plot_quantiles(answer: PrivateQuantiles, ax: Axes | None = None) -> Axes:
    """The released distribution function: level against value, brackets as bars."""
    ax = new_axes(ax, figsize=(6, 3.6))
    if answer.lower is not None and answer.upper is not None:
        ax.hlines(
            answer.p, answer.lower, answer.upper, color=PALETTE[0], alpha=0.35, linewidth=5,
            label=f"{100 * (answer.confidence or 0):g} % brackets of the population",
        )  # fmt: skip
    ax.step(answer.values, answer.p, where="post", color=PALETTE[0], linewidth=1)
    ax.plot(
        answer.values, answer.p, "o", color=PALETTE[0], markersize=4, label=f"released by {METHOD_NAMES[answer.method]}"
    )
    budget = f"ε = {answer.privacy.epsilon:g}" if answer.privacy.rho is None else f"ρ = {answer.privacy.rho:g}"  # noqa: RUF001

    ax.set_title(
        f"{budget}, neighbours: {answer.privacy.neighbours}" + ("" if answer.secure else " (seeded, not for release)")
    )
    ax.set_xlabel("value")
    ax.set_ylabel("level")
    ax.set_ylim(0, 1)
    ax.legend(loc="lower right")
    return ax


def plot_plan(plan: QuantilePlan, ax: Axes | None = None) -> Axes:
    """Distribution of the rank error of each method on the reference data, the best one on top."""
    ax = new_axes(ax, figsize=(6, 3.2))
    order = sorted(plan.errors, key=lambda name: -float(plan.errors[name].mean()))
    drawn = [np.maximum(plan.errors[name].ravel(), 0.1) for name in order]
    boxes = ax.boxplot(drawn, orientation="horizontal", whis=(5, 95), showfliers=False, widths=0.6, patch_artist=True)
    for box, name in zip(boxes["boxes"], order, strict=True):
        box.set_facecolor(PALETTE[0] if name == plan.method else "#cccccc")
    for line in boxes["medians"]:
        line.set_color(PALETTE[1])
    ax.set_yticks(range(1, len(order) + 1), [METHOD_NAMES[name] for name in order])
    ax.set_xscale("log")
    ax.set_xlabel("rank error in records; boxes: quartiles, bars: 5 to 95 %")
    ax.set_title(f"{len(plan.p)} levels, {plan.n} records, {plan.reference}")
    return ax
