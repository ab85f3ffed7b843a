"""Figures: inline SVG that is safe in a page with others."""

import xml.etree.ElementTree as ET

import pytest
from matplotlib.figure import Figure

from ailys.core.figures import draw_figure, figure_target, new_axes, save_figure, style, to_svg


def drawing():
    with style(inline=True):
        ax = new_axes(None, figsize=(3, 2))
        ax.plot([0, 1], [0, 1], label='a "quoted" <label>')
        ax.legend()
        return ax.figure


def test_inline_svg_is_well_formed_and_scales():
    svg = to_svg(drawing(), "my stop 1", 'the line "y = x" & more <here>')
    root = ET.fromstring(svg)
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == 'the line "y = x" & more <here>'
    assert "viewBox" in root.attrib
    assert "width" not in root.attrib
    assert "var(--ink)" in svg


def test_two_figures_share_no_ids():
    def ids(name):
        return {e.attrib["id"] for e in ET.fromstring(to_svg(drawing(), name, "")).iter() if "id" in e.attrib}

    assert not ids("one") & ids("two")


def test_every_reference_has_its_target():
    import re

    svg = to_svg(drawing(), "one", "")
    targets = set(re.findall(r'\bid="([^"]+)"', svg))
    references = set(re.findall(r'href="#([^"]+)"', svg)) | set(re.findall(r"url\(#([^)]+)\)", svg))
    assert references <= targets


def test_the_same_figure_gives_the_same_text():
    assert to_svg(drawing(), "one", "") == to_svg(drawing(), "one", "")


def test_an_unknown_format_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"out\.xyz: cannot draw"):
        save_figure(Figure(), tmp_path / "out.xyz")
    assert not list(tmp_path.iterdir())
    assert save_figure(drawing(), tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


def test_the_kind_of_a_figure_is_checked_before_the_work(tmp_path):
    with pytest.raises(ValueError, match="cannot draw a docx file"):
        figure_target(tmp_path / "a.docx")
    assert figure_target(tmp_path / "a.svg") == tmp_path / "a.svg"


def test_a_figure_is_drawn_only_where_one_is_asked_for(tmp_path):
    assert figure_target(None) is None
    draw_figure(None, lambda: pytest.fail("drawn for nobody"))
    draw_figure(tmp_path / "f.png", lambda: new_axes(None))
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
