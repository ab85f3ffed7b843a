"""Figures of the domain: error against the scaling, against bits, and the entries of a rounded chain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..core.figures import PALETTE, new_axes
from .formats import FloatFormat, Format

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .precision import PrecisionCurve
    from .quantized_chain import QuantizedChain
    from .rank_one import RankOneQuantization

__all__ = ["METHOD_STYLE", "errors_along", "plot_chain", "plot_curve", "plot_rank_one"]

METHOD_STYLE = {
    "rtn": ("rounding entry by entry", PALETTE[5]),
    "pairwise": ("pairs of factors", PALETTE[2]),
    "left_to_right": ("left to right", PALETTE[0]),
    "right_to_left": ("right to left", PALETTE[4]),
    "beam": ("left to right, the last three jointly", PALETTE[1]),
    "auto": ("best of all", PALETTE[3]),
}
_POINTS = 1500


def errors_along(x: np.ndarray, y: np.ndarray, fmt: Format, fmt_y: Format, lams: np.ndarray) -> np.ndarray:
    """Relative errors of ``round(lambda x)`` with the best second vector, for each scaling (real vectors)."""
    errors = np.empty(len(lams))
    nx, ny = float(x @ x), float(y @ y)
    for k, lam in enumerate(lams):
        hat = fmt.nearest(lam * x)
        energy = float(hat @ hat)
        mu = float(x @ hat) / energy if energy > 0 else 0.0
        gap = fmt_y.nearest(mu * y) - mu * y
        errors[k] = np.sqrt(float(np.sum((x - mu * hat) ** 2)) / nx + energy * float(gap @ gap) / (nx * ny))
    return errors


def plot_rank_one(answer: RankOneQuantization, ax: Axes | None = None) -> Axes:
    """Error against the scaling, the chosen one and plain rounding marked."""
    if answer._problem is None or answer.x_hat.dtype.kind == "c" or answer.error == answer.error_rtn == 0:
        raise ValueError("the error is drawn against the scaling for real, nonzero vectors only")
    x, y, _, _ = answer._problem
    ax = new_axes(ax, figsize=(6, 3.4))
    centre = abs(float(np.real(answer.lam))) or 1.0
    octave = 2.0 ** np.floor(np.log2(centre))
    lams = octave * np.linspace(1, 2, _POINTS)
    formats = [FloatFormat(f.t) if isinstance(f, FloatFormat) else f for f in answer.formats]
    ax.plot(lams, errors_along(x, y, formats[0], formats[1], lams), color=PALETTE[0], linewidth=0.9)
    ax.axhline(answer.error_rtn, color=PALETTE[5], linestyle="--", label="rounding entry by entry")
    ax.plot(centre, answer.error, "o", color=PALETTE[1], label="the best scaling" if answer.optimal else "the answer")
    ax.set_xlabel("scaling of x")
    ax.set_ylabel("relative error")
    ax.set_ylim(bottom=0)
    ax.legend()
    return ax


def plot_chain(answer: QuantizedChain, ax: Axes | None = None) -> Axes:
    """How often each exponent occurs in each factor; the title says the error against that of plain rounding."""
    ax = new_axes(ax, figsize=(6, 3.4))
    columns = []
    for x in answer.factors:
        parts = np.abs(np.concatenate([x.real.ravel(), x.imag.ravel()]) if x.dtype.kind == "c" else x.ravel())
        columns.append(np.frexp(parts[parts > 0])[1] - 1)
    joined = np.concatenate(columns) if any(c.size for c in columns) else np.zeros(1, int)
    low, high = int(joined.min()), int(joined.max())
    shares = np.zeros((high - low + 1, len(columns)))
    for l, exponents in enumerate(columns):
        if exponents.size:
            shares[:, l] = np.bincount(exponents - low, minlength=high - low + 1) / exponents.size
    extent = (0.5, len(columns) + 0.5, low - 0.5, high + 0.5)
    image = ax.imshow(100 * shares, origin="lower", aspect="auto", extent=extent, cmap="Blues", vmin=0)
    ax.figure.colorbar(image, ax=ax, label="% of the entries")
    ax.set_xlabel("factor")
    ax.set_ylabel("exponent")
    ax.grid(False)
    ax.set_title(
        f"error {answer.error:.2g}, entry by entry {answer.error_rtn:.2g}; {answer.bits_per_weight:.3g} bits a weight"
    )
    return ax


def plot_curve(curve: PrecisionCurve, ax: Axes | None = None) -> Axes:
    """Error against significant bits, one line a method, with the slopes."""
    from matplotlib.ticker import MaxNLocator

    ax = new_axes(ax, figsize=(6, 3.8))
    for name, errors in curve.errors.items():
        label, colour = METHOD_STYLE[name]
        ax.semilogy(
            curve.ts, errors, "o-", color=colour, markersize=4, label=f"{label} (slope {curve.slope(name):.2f})"
        )
    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    ax.set_xlabel("significant bits t")
    ax.set_ylabel("relative error")
    ax.legend()
    return ax
