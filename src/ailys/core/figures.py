"""Figures: one style, and inline SVG that follows the light or dark page it stands on."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .files import atomic_write
from .validation import writable_target

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["KINDS", "PALETTE", "draw_figure", "figure_target", "new_axes", "save_figure", "style", "to_svg"]

KINDS = ("png", "svg", "pdf", "eps", "jpg", "webp")  # what a figure can be written as

# Okabe and Ito's colours, told apart by colour-blind readers, adjusted to stand on white and on black
PALETTE = ("#2b7bba", "#e07b00", "#1a9e77", "#c8508c", "#8a6fd1", "#7f7f7f")
# stand-ins that `to_svg` replaces by the page's own colours
_INK, _FAINT = "#010203", "#d1d2d3"


@contextmanager
def style(inline: bool = False) -> Iterator[None]:
    """Matplotlib settings of the package; ``inline`` for figures that go into a page."""
    import matplotlib as mpl
    from cycler import cycler

    settings: dict[str, Any] = {
        "figure.dpi": 110,
        "font.size": 10.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.linewidth": 0.6,
        "axes.axisbelow": True,
        "axes.titlesize": 10.5,
        "axes.prop_cycle": cycler(color=PALETTE),
        "legend.frameon": False,
        "legend.fontsize": 9,
        "svg.fonttype": "none",
        "svg.hashsalt": "ailys",
        "lines.linewidth": 1.8,
    }
    if inline:
        ink = dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor"), _INK)
        settings |= ink | {
            "grid.color": _FAINT,
            "figure.facecolor": "none",
            "axes.facecolor": "none",
            "savefig.facecolor": "none",
            "font.family": ["sans-serif"],
        }
    with mpl.rc_context(settings):  # type: ignore[arg-type]
        yield


def new_axes(ax: Axes | None, **subplot: Any) -> Axes:
    """The axes given, or those of a new figure (without pyplot's global state)."""
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(layout="constrained", **subplot).subplots()


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure to a file, in the format that its name says; nothing half-written is left."""
    path, kind = Path(path), _kind(path)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format=kind, bbox_inches="tight")
    return path


def draw_figure(target: Path | None, plot: Callable[[], Any]) -> None:
    """Write the figure of the axes that ``plot`` returns, in the style of the package, if a target is given."""
    if target is not None:
        with style():
            save_figure(plot().figure, target)


def figure_target(path: str | Path | None, *, overwrite: bool = False) -> Path | None:
    """The path, if a figure may be written there: asked before the work, so that nothing is written if it may not."""
    if path is None:
        return None
    _kind(path)
    return writable_target(path, overwrite=overwrite)


def _kind(path: str | Path) -> str:
    kind = Path(path).suffix.lstrip(".").lower()
    if kind not in KINDS:
        raise ValueError(f"{path}: cannot draw a {kind or 'nameless'} file; expected one of {', '.join(KINDS)}")
    return kind


def to_svg(figure: Figure, name: str, alt: str) -> str:
    """The figure as an ``<svg>`` element for a page: its own ids, the page's ink, a text alternative."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with style(inline=True):  # text stays text, and the same figure gives the same ids
        figure.savefig(buffer, format="svg", metadata=nothing)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    prefix = re.sub(r"\W+", "-", name)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', svg)
    svg = re.sub(r'(xlink:href|href)="#([^"]+)"', rf'\1="#{prefix}-\2"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", svg)
    svg = svg.replace(_INK, "var(--ink)").replace(_FAINT, "var(--faint)")
    svg = re.sub(r'(<svg[^>]*?) (?:height|width)="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) (?:height|width)="[^"]*"', r"\1", svg, count=1)
    label = alt.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1).strip()
