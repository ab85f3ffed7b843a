"""The page: one HTML file with everything in it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from .. import __version__
from .runner import Outcome

__all__ = ["MARK", "render"]

MARK = "<title>ailys: a tour</title>"  # by which an older page is known, and may be replaced


def render(outcomes: Sequence[Outcome], *, seed: int | None, day: date | None = None) -> str:
    """HTML text of the tour: self-contained, for light and dark, for a screen of any width."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("ailys.tour"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["megabytes"] = lambda n: f"{n / 1e6:,.0f} MB".replace(",", " ")
    template = environment.get_template("page.html.j2")
    return template.render(
        outcomes=outcomes,
        failed=[o.stop.title for o in outcomes if o.exhibit is None],
        seconds=sum(o.seconds for o in outcomes),
        version=__version__,
        day=(day or date.today()).isoformat(),
        seed=seed,
    )
