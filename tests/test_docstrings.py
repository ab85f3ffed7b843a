"""Every public name says what it does, and shows it or says where it is shown."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

from ailys.core.answer import Answer
from ailys.domains import DOMAINS

PAGES = Path(__file__).parent.parent / "docs"

# why a public name has no example of its own
REASONS = {
    "ailys.bandits.PROOF_CONSTANT": "a number",
    "ailys.bandits.Trajectory": "what `run` returns: its example shows it",
    "ailys.compression.LayerReport": "part of an answer: the example is that of the function that returns it",
    "ailys.compression.distill": "takes a network, a teacher and minutes: the page on compression shows it",
    "ailys.compression.export_onnx": "takes a network and a further library: the page on compression shows it",
    "ailys.compression.load_compressed": "the example of `save_compressed` shows both",
    "ailys.quantization.unpack_chain": "the example of `pack_chain` shows both",
}


def public(system):
    module = importlib.import_module(f"ailys.{system}")
    return {f"ailys.{system}.{name}": getattr(module, name) for name in module.__all__}


def shows(thing):
    """Whether the docstring has an example, or sends the reader to one that has."""
    text = inspect.getdoc(thing) or ""
    return ">>>" in text


def bare(system):
    """The public names that have no docstring of their own, or neither an example nor a reason."""
    found = []
    for name, thing in public(system).items():
        kind = isinstance(thing, type)
        text = (thing.__dict__.get("__doc__") if kind else thing.__doc__) or ""
        if inspect.ismodule(thing) or not (kind or callable(thing)):
            shown = name in REASONS or bool(text)
        elif kind and issubclass(thing, (Answer, Exception)):
            shown = True  # the example is that of the function that returns or raises it
        elif kind:  # a variant of a class whose example serves all
            shown = any(shows(base) for base in thing.__mro__ if base.__module__.startswith("ailys."))
        else:
            shown = shows(thing)
        if not text.strip() or not (shown or name in REASONS):
            found.append(name)
    return found


@pytest.mark.parametrize("system", DOMAINS)
def test_public_names_have_a_docstring_and_an_example(system):
    assert bare(system) == []


def test_reasons_are_needed():
    names = {name: thing for system in DOMAINS for name, thing in public(system).items()}
    assert set(REASONS) <= set(names)
    assert not [name for name in REASONS if shows(names[name]) and callable(names[name])]


@pytest.mark.parametrize("system", DOMAINS)
def test_functions_name_their_parameters(system):
    """Where a section lists parameters, it lists those of the signature."""
    wrong = []
    for name, thing in public(system).items():
        text = inspect.getdoc(thing) or ""
        if not inspect.isfunction(thing) or "Parameters\n------" not in text:
            continue
        section = re.split(r"\n\w+\n-{4,}\n", text.split("Parameters\n----------\n")[1])[0]
        listed = re.findall(r"^([\w*, ]+?) : ", section, re.MULTILINE)
        given = {word.strip().lstrip("*") for words in listed for word in words.split(",")}
        if unknown := given - set(inspect.signature(thing).parameters):
            wrong.append((name, sorted(unknown)))
    assert wrong == []


def sources():
    """The pages and sections that the strings of the package name: docs, PAGE, section 'HEADING'."""
    root = Path(importlib.import_module("ailys").__file__).parent
    named = re.compile(r"docs, ([\w-]+), section '([^']+)'")
    return sorted({found for path in root.rglob("*.py") for found in named.findall(path.read_text(encoding="utf-8"))})


def test_guarantees_name_sections_that_exist():
    missing = [
        (page, heading)
        for page, heading in sources()
        if not re.search(
            rf"^#+ {re.escape(heading)}$", (PAGES / f"{page}.md").read_text(encoding="utf-8"), re.MULTILINE
        )
    ]
    assert sources()
    assert missing == []
