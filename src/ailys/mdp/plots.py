"""Figures: the law of a return, the front, policies on the Cliff, mean against tail."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.figures import PALETTE, new_axes
from .breakpoints import on_path
from .model import TabularMDP
from .policies import check_policy, induced_chain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .envs import Cliff
    from .front import OptimalityFront
    from .returns import ReturnDistribution

__all__ = [
    "plot_cliff",
    "plot_front",
    "plot_front_story",
    "plot_law",
    "plot_mean_tail",
    "plot_policy_and_law",
    "plot_values",
    "policy_text",
    "visits",
]

_ARROWS = ((0, 0.32), (0.32, 0), (0, -0.32), (-0.32, 0))  # up, right, down, left; the y axis points up
_MOST_BARS = 400


def plot_law(law: ReturnDistribution, ax: Axes | None = None, alpha: float = 0.1) -> Axes:
    """Bars of the law with its mean, its lower quantile and the mean of the tail below it."""
    ax = new_axes(ax, figsize=(6.2, 3.2))
    low, high = law.support
    if len(law.atoms) <= _MOST_BARS:
        gaps = np.diff(law.atoms)
        width = 0.85 * float(gaps.min()) if gaps.size else 0.5
        ax.bar(
            law.atoms, law.weights, width=max(width, (high - low) / 300), color=PALETTE[0], label="law of the return"
        )
    else:
        ax.hist(law.atoms, bins=80, weights=law.weights, color=PALETTE[0], label="law of the return")
    tail: np.ndarray = law.atoms <= law.var(alpha)
    if len(law.atoms) <= _MOST_BARS:
        ax.bar(law.atoms[tail], law.weights[tail], width=max(width, (high - low) / 300), color=PALETTE[1])
    ax.axvline(law.mean, color=PALETTE[2], label=f"mean {law.mean:.4g}")
    ax.axvline(law.var(alpha), color=PALETTE[1], linestyle=":", label=f"VaR at {alpha:g}: {law.var(alpha):.4g}")
    ax.axvline(law.cvar(alpha), color=PALETTE[1], linestyle="--", label=f"CVaR at {alpha:g}: {law.cvar(alpha):.4g}")
    if law.lower is not None and law.upper is not None:
        ends = law.bounds("cvar", alpha)
        ax.axvspan(*ends, color=PALETTE[1], alpha=0.2, label="CVaR lies here")
    ax.set_xlabel("return")
    ax.set_ylabel("probability")
    if law.weights.max() > 30 * np.median(law.weights):
        ax.set_yscale("log")
        ax.set_ylim(bottom=max(1e-6, float(law.weights[law.weights > 0].min()) / 2))
    ax.legend(fontsize=8, loc="upper left")
    return ax


def plot_values(value: np.ndarray, ax: Axes | None = None) -> Axes:
    """Values of the states, in increasing order."""
    ax = new_axes(ax, figsize=(5, 3))
    ax.plot(np.sort(value[np.isfinite(value)]), color=PALETTE[0])
    ax.set_xlabel("states, in order of value")
    ax.set_ylabel("value")
    return ax


def plot_front(front: OptimalityFront, ax: Axes | None = None) -> Axes:
    """The best entropic risk along beta with its band, a colour for each policy."""
    ax = new_axes(ax, figsize=(6.4, 3.6))
    ax.plot(front.nodes, front.values, color=PALETTE[5], linewidth=1, label="best value of any policy")
    for k, (low, high, _, certificate) in enumerate(front.segments):
        betas = np.linspace(low, high, 41)
        # inside a segment its own law is used, at the ends too
        law = front.laws[k]
        lower = law.entrm_curve(betas) if law is not None else np.interp(betas, front.nodes, front.values)
        colour = PALETTE[k % 5]
        ax.plot(betas, lower, color=colour, linewidth=2.4)
        ax.fill_between(betas, lower, lower + certificate, color=colour, alpha=0.3)
        ax.axvline(high, color=PALETTE[5], linewidth=0.4) if k < front.n_policies - 1 else None
    ax.set_xlabel("risk parameter beta (negative: averse, 0: the mean, positive: seeking)")
    ax.set_ylabel("entropic risk")
    ax.set_title(f"{front.n_policies} policies, each within {front.certificate:.3g} of the best", loc="left")
    return ax


def plot_mean_tail(front: OptimalityFront, ax: Axes | None = None, alpha: float = 0.1, optimum: Any = None) -> Axes:
    """Mean and CVaR of the front's policies, and the best CVaR of all policies when it is given."""
    ax = new_axes(ax, figsize=(5.4, 3.6))
    laws = [law for law in front.laws if law is not None]
    means, tails = [law.mean for law in laws], [law.cvar(alpha) for law in laws]
    ax.plot(means, tails, "o-", color=PALETTE[0], label="policies of the front")
    if optimum is not None:
        law = optimum.distribution
        ax.plot(law.mean, law.cvar(alpha), "*", markersize=12, color=PALETTE[1], label="best CVaR of all policies")
        ax.axhline(optimum.upper, color=PALETTE[1], linestyle=":")
    ax.set_xlabel("mean of the return")
    ax.set_ylabel(f"CVaR at {alpha:g}")
    ax.legend(fontsize=8)
    return ax


def visits(mdp: TabularMDP, policy: Any) -> np.ndarray:
    """(H + 1, S) probability of being in each state at each time."""
    policy = check_policy(mdp, policy)
    chain = induced_chain(mdp, policy)
    H, S = mdp.horizon or 1, mdp.n_states
    owner = np.repeat(np.arange(S * chain.n_stages), np.diff(chain.indptr))
    mass = np.zeros((H + 1, S))
    mass[0] = mdp.initial
    for h in range(H):
        stage = h if chain.n_stages > 1 else 0
        part = slice(int(chain.indptr[stage * S]), int(chain.indptr[(stage + 1) * S]))
        flow = mass[h, owner[part] - stage * S] * chain.prob[part]
        mass[h + 1] = np.bincount(chain.next_state[part], weights=flow, minlength=S)
    return mass


def plot_cliff(cliff: Cliff, policy: Any, ax: Axes | None = None, title: str = "") -> Axes:
    """Policy map: in each cell the action at the most likely time of a visit, shaded by the chance of ever being there."""
    from matplotlib.patches import Rectangle

    ax = new_axes(ax, figsize=(6.4, 2.4))
    mdp = cliff.to_mdp()
    table = check_policy(mdp, policy)
    H, S = mdp.horizon or 1, mdp.n_states
    table = np.broadcast_to(table, (H, S))
    mass = visits(mdp, table)[:-1]
    often = mass.sum(axis=0)  # expected number of visits
    reached = np.asarray(on_path(mdp, table).any(axis=0))
    ink = ax.spines["left"].get_edgecolor()
    for cell in range(cliff.rows * cliff.cols):
        row, col = divmod(cell, cliff.cols)
        x, y = col, cliff.rows - 1 - row
        if cliff.is_cliff(cell):
            face, shade = PALETTE[1], 0.75
        elif cell == cliff.goal:
            face, shade = PALETTE[2], 0.75
        else:
            face, shade = PALETTE[0], 0.85 * min(1.0, float(often[cell])) if reached[cell] else 0.0
        ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=face, alpha=shade, linewidth=0))
        ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor=ink, linewidth=0.3))
        if reached[cell] and often[cell] > 1e-3 and not cliff.is_cliff(cell) and cell != cliff.goal:
            dx, dy = _ARROWS[int(table[int(mass[:, cell].argmax()), cell])]
            arrow = {
                "arrowstyle": "-|>",
                "color": ink,
                "linewidth": 1.2,
                "alpha": 0.35 + 0.65 * min(1.0, float(often[cell])),
            }
            ax.annotate("", (x + dx, y + dy), (x - dx, y - dy), arrowprops=arrow)
    ax.text((cliff.cols - 1) / 2, 0, "cliff", ha="center", va="center", fontsize=9)
    ax.text(cliff.cols - 1, 0, "goal", ha="center", va="center", fontsize=8)
    ax.set_xlim(-0.55, cliff.cols - 0.45)
    ax.set_ylim(-0.55, cliff.rows - 0.45)
    ax.set_aspect("equal")
    ax.set_axis_off()
    if title:
        ax.set_title(title, loc="left", fontsize=9)
    return ax


def plot_front_story(cliff: Cliff, front: OptimalityFront, betas: tuple[float, ...]) -> Figure:
    """The front above, and below it the paths at a few risk parameters: how the way moves away from the edge."""
    from matplotlib.figure import Figure

    rows = math.ceil(len(betas) / 2)
    figure = Figure(figsize=(9, 3.0 + 1.75 * rows), layout="constrained")
    grid = figure.add_gridspec(rows + 1, 2, height_ratios=[3.0] + [1.6] * rows)
    above = figure.add_subplot(grid[0, :])
    plot_front(front, above)
    for k, beta in enumerate(betas):
        law = front.laws[front.index_at(beta)]
        above.plot(beta, front.value_at(beta)[0], "o", color=PALETTE[1], markersize=5)
        above.annotate("abcdefgh"[k], (beta, front.value_at(beta)[0]), xytext=(4, -12), textcoords="offset points")
        text = f"{'abcdefgh'[k]}: beta = {beta:g}"
        if law is not None:
            text += f", falls {100 * law.cdf(cliff.fall_reward):.0f} %, mean {law.mean:.3g}"
        plot_cliff(cliff, front.policy_at(beta), figure.add_subplot(grid[1 + k // 2, k % 2]), text)
    return figure


def plot_policy_and_law(cliff: Cliff, policy: Any, law: ReturnDistribution, alpha: float = 0.1) -> Figure:
    """Policy map above, law of the return below."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 5.2), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=(1.1, 1))
    plot_cliff(cliff, policy, above)
    plot_law(law, below, alpha)
    return figure


def policy_text(cliff: Cliff, policy: Any) -> str:
    """The policy map in characters: the action at the most likely time of a visit, a dot where one never gets."""
    mdp = cliff.to_mdp()
    table = np.broadcast_to(check_policy(mdp, policy), (mdp.horizon or 1, mdp.n_states))
    mass = visits(mdp, table)[:-1]
    lines = []
    for row in range(cliff.rows):
        cells = []
        for cell in range(row * cliff.cols, (row + 1) * cliff.cols):
            if cliff.is_cliff(cell):
                cells.append("#")
            elif cell == cliff.goal:
                cells.append("G")
            else:
                seen = mass[:, cell].sum() > 1e-3
                cells.append("↑→↓←"[int(table[int(mass[:, cell].argmax()), cell])] if seen else "·")
        lines.append(" ".join(cells))
    return "\n".join(lines)
