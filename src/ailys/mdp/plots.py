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
    "plot_actions",
    "plot_cliff",
    "plot_front",
    "plot_front_and_nested",
    "plot_front_story",
    "plot_law",
    "plot_mean_tail",
    "plot_policy_and_law",
    "plot_stock_story",
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
    ax.legend(loc="upper left")
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
    ax.legend()
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


def plot_actions(front: OptimalityFront, state: int = 0, ax: Axes | None = None) -> Axes:
    """What the front's policies do in one state at each time, along the risk parameter: a colour for each action."""
    ax = new_axes(ax, figsize=(5.4, 3.6))
    ends = [front.segments[0].beta_lo] + [segment.beta_hi for segment in front.segments]
    table = np.array([np.atleast_2d(segment.policy)[:, state] for segment in front.segments])
    times = np.arange(table.shape[1] + 1) - 0.5
    colours = ax.pcolormesh(ends, times, table.T, cmap="cividis", rasterized=True)
    ax.get_figure().colorbar(colours, ax=ax, label=f"action in state {state}")  # type: ignore[union-attr]
    ax.set_xlabel("risk parameter beta")
    ax.set_ylabel("time")
    return ax


def plot_front_and_nested(
    mdp: TabularMDP,
    front: OptimalityFront,
    ax: Axes | None = None,
    alphas: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0),
) -> Axes:
    """CVaR of the return at several levels: the front's best policy and the nested one fall short of the optimum by so much."""
    from .nested import nested
    from .risks import optimize_cvar

    ax = new_axes(ax, figsize=(5.4, 3.6))
    best = np.array([optimize_cvar(mdp, alpha, "exact").value for alpha in alphas])
    along = np.array([front.best("cvar", alpha)[1] for alpha in alphas])
    stepwise = np.array([nested(mdp, "cvar", alpha).distribution.cvar(alpha) for alpha in alphas])
    ax.axhline(0, color=PALETTE[5], linewidth=0.8)
    ax.plot(alphas, best - along, "o-", color=PALETTE[0], label="best policy of the front")
    ax.plot(alphas, best - stepwise, "s--", color=PALETTE[1], label="plan with the CVaR of each step (nested)")
    ax.set(xscale="log", xlabel="level alpha", ylabel="CVaR below the best of all policies")
    ax.set_ylim(top=1.3 * max(float((best - stepwise).max()), 1e-9))
    ax.legend(loc="upper right")
    return ax


def plot_stock_story(mdp: TabularMDP, front: OptimalityFront) -> Figure:
    """The front, its tail, its actions, and what a nested risk loses: four panels for a store."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.4, 6.4), layout="constrained")
    (above, tails), (orders, losses) = figure.subplots(2, 2)
    plot_front(front, above)
    betas = [(segment.beta_lo + segment.beta_hi) / 2 for segment in front.segments]
    laws = [law for law in front.laws if law is not None]
    if len(laws) == len(betas):
        tails.plot(betas, [law.mean for law in laws], color=PALETTE[2], label="mean")
        for alpha, line in ((0.1, "-"), (0.02, "--")):
            tails.plot(betas, [law.cvar(alpha) for law in laws], line, color=PALETTE[1], label=f"CVaR at {alpha:g}")
    tails.set(xlabel="risk parameter beta", ylabel="return of the front's policies")
    tails.legend()
    plot_actions(front, 0, orders)
    plot_front_and_nested(mdp, front, losses)
    above.set_xlabel("risk parameter beta")
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
