"""Figures of the domain: what became of each layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..core.figures import PALETTE, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .report import LayerReport

__all__ = ["plot_layers"]


def plot_layers(layers: Sequence[LayerReport], ax: Axes | None = None) -> Axes:
    """Error, smallest possible error and remaining weights of each layer, as bars."""
    ax = new_axes(ax, figsize=(6.5, 1.2 + 0.32 * len(layers)))
    places = np.arange(len(layers))[::-1]
    share = [layer.params_after / layer.params_before if layer.params_before else 1.0 for layer in layers]
    ax.barh(places + 0.2, share, 0.38, color=PALETTE[5], alpha=0.5, label="weights left, share of dense")
    ax.barh(places - 0.2, [layer.relative_error for layer in layers], 0.38, color=PALETTE[1], label="relative error")
    bounds = [layer.lower_bound for layer in layers]
    ax.plot(bounds, places - 0.2, "|", color=PALETTE[0], markersize=13, markeredgewidth=2.5, label="nobody below this")
    ax.set_yticks(places, [layer.name or "(the network)" for layer in layers])
    ax.set_xlim(0, 1.02)
    ax.set_ylim(-0.7, len(layers) - 0.3)
    ax.grid(axis="y", visible=False)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    return ax
