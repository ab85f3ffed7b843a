"""Sphinx configuration: everything is built offline, and nothing in the pages is loaded from a network."""

import importlib.util
import re
import sys
from pathlib import Path

from ailys import __version__

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "ailys"
author = "The ailys developers"
copyright = "The ailys developers, BSD 3-Clause licence"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "mathml",  # docs/_ext: formulas that a browser draws by itself
    "measured",  # docs/_ext: tables from docs/measured/*.json
    "claims",  # docs/_ext: the table of all claims of the audit
    "side_by_side",  # docs/_ext: all of them on one page, with targets and versions
]
exclude_patterns = ["_build", "_generated", "_templates", "_ext"]
templates_path = ["_templates"]

# -- pages -----------------------------------------------------------------------------------------

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# -- reference from docstrings ---------------------------------------------------------------------

default_role = "py:obj"
autosummary_generate = True
autodoc_inherit_docstrings = False  # those of PyTorch refer to its own pages
autodoc_member_order = "bysource"
# PyTorch is optional: without it the docstrings that need it are read from a stand-in
autodoc_mock_imports = [] if importlib.util.find_spec("torch") else ["torch"]
numpydoc_show_class_members = False  # the class template lists them
maximum_signature_line_length = 88
python_use_unqualified_type_names = True

# -- output ----------------------------------------------------------------------------------------

html_theme = "furo"
html_title = f"ailys {release}"
html_static_path = ["_static"]
html_css_files = ["ailys.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}


def keep_ellipsis(app, what, name, obj, options, lines) -> None:
    """``X_1 ... X_L`` does not end a sentence: the tables of summaries would cut it there."""
    lines[:] = [re.sub(r"(?<=\S) \.\.\. (?=\S)", " … ", line) for line in lines]


def hide_private(app, what, name, obj, options, signature, returns) -> tuple[str | None, str | None]:
    """Fields of a dataclass that start with an underscore are not for callers."""
    return signature and re.sub(r"(, _\w+: [^,]*)+\)$", ")", signature), returns


def setup(app) -> None:
    app.connect("autodoc-process-signature", hide_private)
    app.connect("autodoc-process-docstring", keep_ellipsis)
