"""Formulas as MathML: browsers draw it by themselves, so that the pages need neither scripts nor a network.

A formula that cannot be converted whole is a warning, hence an error of the build with ``-W``.
"""

import re
from html import escape, unescape

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.util import logging

logger = logging.getLogger(__name__)
# the converter has no aligned columns, but it has arrays
_ALIGNED = re.compile(r"\\(begin|end)\{(?:aligned|align\*?|split)\}")


def to_mathml(latex: str, display: str) -> str:
    r"""The ``<math>`` element of a formula; ValueError if a part of it is unknown to the converter.

    Examples
    --------
    >>> to_mathml(r"a \le b", "inline").count("<mo>")
    1
    """
    array = _ALIGNED.sub(lambda m: r"\begin{array}{rl}" if m[1] == "begin" else r"\end{array}", latex)
    mathml = convert(array, display=display)
    shown = unescape(re.sub(r"<[^>]*>", " ", mathml))
    if unknown := re.search(r"\\\S*|&", shown):
        raise ValueError(f"{unknown[0]!r} is not understood")
    if 'linebreak="newline"' in mathml:
        raise ValueError(r"lines need an environment: \begin{aligned} ... \end{aligned}")
    mathml = re.sub(r'columnalign="(\w+)"', r'style="text-align: \1"', mathml)  # what browsers understand
    # the two bars of a norm keep one size, whatever they carry
    mathml = re.sub(r"<mo>(&#x02016;|&#x0007C;)</mo>", r'<mo stretchy="false" lspace="0" rspace="0">\1</mo>', mathml)
    # the brackets of a matrix grow with it
    mathml = re.sub(r"<mo>([^<]*)</mo>(?=<mtable)", r'<mo form="prefix" fence="true" stretchy="true">\1</mo>', mathml)
    mathml = re.sub(
        r"(?<=</mtable>)<mo>([^<]*)</mo>", r'<mo form="postfix" fence="true" stretchy="true">\1</mo>', mathml
    )
    return mathml.replace("<math ", f'<math aria-label="{escape(latex)}" ', 1)


def _visit(display: str):
    def visit(self, node: nodes.math | nodes.math_block) -> None:
        latex = node.astext().strip()
        try:
            mathml = to_mathml(latex, display)
        except Exception as fault:
            logger.warning("formula %r: %s", latex, fault, location=node)
            mathml = f"<code>{escape(latex)}</code>"
        if display == "inline":
            self.body.append(mathml)
        else:
            label = self.starttag(node, "div", CLASS="math")
            number = f'<span class="eqno">({node["number"]})</span>' if node.get("number") else ""
            self.body.append(f"{label}{number}{mathml}</div>\n")
        raise nodes.SkipNode

    return visit


def setup(app) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (_visit("inline"), None), (_visit("block"), None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
