"""The page: one HTML file with everything in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date

from .. import __version__
from .runner import Outcome

__all__ = ["MARK", "render", "typeset"]

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
    environment.filters["typeset"] = typeset
    template = environment.get_template("page.html.j2")
    return template.render(
        outcomes=outcomes,
        failed=[o.stop.title for o in outcomes if o.exhibit is None],
        seconds=sum(o.seconds for o in outcomes),
        version=__version__,
        day=(day or date.today()).isoformat(),
        seed=seed,
    )


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def typeset(text: str) -> str:
    r"""Numbers as a printer sets them: powers of ten, minus signs, no line that ends inside a number.

    Examples
    --------
    >>> typeset("2e-15 or -20.0").replace(chr(160), "~") == "2~·~10⁻¹⁵ or \N{MINUS SIGN}20.0"
    True
    >>> typeset("85 002, 14 %").replace(chr(160), "~")
    '85~002, 14~%'
    """
    text = re.sub(r"\b(\d+(?:\.\d+)?)e([+-]?)0*(\d+)\b", _power, text)
    text = text.replace("->", "→")
    text = re.sub(r"(?<![\w.)\]'])-(?=\.?\d)", "\N{MINUS SIGN}", text)
    return re.sub(r"(?<=\d) (?=\d{3}(?!\d)|%|±)|(?<=±) ", "\N{NO-BREAK SPACE}", text)


def _power(found: re.Match[str]) -> str:
    digits, sign, exponent = found.groups()
    power = f"10{(sign.replace('+', '') + exponent).translate(_RAISED)}"
    return power if digits == "1" else f"{digits}\N{NO-BREAK SPACE}·\N{NO-BREAK SPACE}{power}"
