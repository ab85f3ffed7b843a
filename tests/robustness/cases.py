"""A case: a valid command line with one thing wrong in it. Here they are listed, and tried."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from ..permissions import PERMISSIONS_BIND, bound_by_permissions
from . import hostile
from .discovery import Line, Verb, lines
from .oracle import Done, arena, faults, listing, run

__all__ = ["Case", "all_cases", "file_cases", "option_cases", "output_cases", "random_case", "try_case"]

SHORT = 48  # a word in a report


@dataclass(frozen=True)
class Case:
    """What is done to the folder, the words that are typed then, and whether they have to be refused."""

    line: Line
    what: str
    spoil: Callable[[Path], None]
    words: tuple[str, ...]
    must_refuse: bool = False

    def __str__(self) -> str:
        return f"{self.line.verb}: {self.what}: {' '.join(word[:SHORT] for word in self.words)}"


def try_case(case: Case) -> tuple[Done, list[str]]:
    """Run a case; how it ended and what was wrong with that."""
    line = case.line
    with arena(line.folder) as folder:
        case.spoil(folder)
        before = listing(folder)
        with bound_by_permissions():
            done = run([*line.verb.words, *case.words], folder)
        with open_again(folder):
            after = listing(folder)
    changing = [line.words[i] for i in line.inputs] if line.changes else []
    return done, faults(done, before, after, changing=changing, must_refuse=case.must_refuse)


class open_again:  # noqa: N801  (a context manager, read as a verb)
    """Folders that were closed for the run are opened, to be looked at and removed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> None:
        for path in [self.folder, *self.folder.iterdir()]:
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)

    def __exit__(self, *_: object) -> None:
        pass


def _nothing(folder: Path) -> None:
    pass


def file_cases(line: Line) -> Iterator[Case]:
    """Each input of the line replaced by each hostile thing."""
    for i in line.inputs:
        name = line.words[i]
        for what, change in hostile.PLACES.items():
            if what == "unreadable" and not PERMISSIONS_BIND:
                continue
            yield Case(line, f"{name} is {what}", lambda f, n=name, c=change: c(f / n), line.words, True)
        for what, content in hostile.CONTENTS.items():
            yield Case(line, f"{name}: {what}", lambda f, n=name, c=content: _write(f / n, c), line.words)
        for what, content in hostile.related((line.folder / name).read_bytes()):
            yield Case(line, f"{name} {what}", lambda f, n=name, c=content: _write(f / n, c), line.words)


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def option_cases(line: Line) -> Iterator[Case]:
    """Each value of an option, given or not, and each argument that is no file, replaced by each hostile word."""
    for option in line.verb.options:
        for word in hostile.WORDS:
            yield Case(line, f"{option} {word[:SHORT]!r}", _nothing, with_option(line, option, word))
        if option not in line.options:
            yield Case(line, f"{option} without a value", _nothing, (*line.words, option), True)
    values = {*line.inputs, *line.outputs, *line.options.values()}
    for i, given in enumerate(line.words):
        if i not in values and not given.startswith("--"):
            for word in hostile.WORDS:
                yield Case(
                    line, f"{given} is {word[:SHORT]!r}", _nothing, (*line.words[:i], word, *line.words[i + 1 :])
                )
    yield Case(line, "an option that does not exist", _nothing, (*line.words, "--nonsense"), True)
    yield Case(line, "an argument too many", _nothing, (*line.words, *["more"] * 3), not line.verb.takes_more)


def with_option(line: Line, option: str, word: str) -> tuple[str, ...]:
    """The line with a value of an option, in the place of the one that is there."""
    if option in line.options:
        place = line.options[option]
        return (*line.words[:place], word, *line.words[place + 1 :])
    return (*line.words, option, word)


def output_cases(line: Line) -> Iterator[Case]:
    """Each output sent to a place where it cannot or must not go."""
    for i in line.outputs:
        name = line.words[i]
        suffix = Path(name).suffix

        def named(word: str, i: int = i) -> tuple[str, ...]:
            return (*line.words[:i], word, *line.words[i + 1 :])

        yield Case(line, f"{name} exists", lambda f, n=name: _write(f / n, b"precious"), line.words, True)
        yield Case(line, f"{name} is a folder", lambda f, n=name: (f / n).mkdir(), line.words, True)
        yield Case(line, f"{name} is a pipe", lambda f, n=name: os.mkfifo(f / n), line.words, True)
        yield Case(line, f"{name} is a link to a file", _link(name), line.words, True)
        yield Case(line, f"{name} in a folder that is missing", _nothing, named(f"no/such/{name}"), True)
        yield Case(line, f"{name} in a file", lambda f: _write(f / "file", b"x"), named(f"file/{name}"), True)
        yield Case(line, f"{name} with a name of 300 letters", _nothing, named("x" * 300 + suffix), True)
        yield Case(line, f"{name} has another ending", _nothing, named("result.docx"))
        yield Case(line, f"{name} has no name", _nothing, named(suffix))
        yield Case(line, f"{name} is nothing", _nothing, named(""))
        if "--force" in line.verb.flags:
            yield Case(line, f"{name} is a pipe, forced", lambda f, n=name: os.mkfifo(f / n), (*line.words, "--force"), True)  # fmt: skip
            yield Case(line, f"{name} is a folder, forced", lambda f, n=name: (f / n).mkdir(), (*line.words, "--force"), True)  # fmt: skip
        for j in line.inputs:  # an input is not an output, unless the verb says so
            yield Case(line, f"{name} is the input {line.words[j]}", _nothing, named(line.words[j]), True)
        if PERMISSIONS_BIND:
            yield Case(line, f"{name} in a read-only folder", lambda f: f.chmod(0o555), line.words, True)


def _link(name: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        _write(folder / "elsewhere", b"precious")
        (folder / name).symlink_to("elsewhere")

    return spoil


def all_cases(verb: Verb) -> list[Case]:
    """Every hand-made case of a verb."""
    return [case for line in lines(verb) for kind in (file_cases, option_cases, output_cases) for case in kind(line)]


def random_case(draw: Callable[[Any], Any], known: list[Line]) -> Case:
    """A case of which Hypothesis draws the line, and the bytes or the words that are wrong."""
    line = draw(st.sampled_from(known))
    places = [("file", i) for i in line.inputs] + [("option", option) for option in line.verb.options]
    places += [("word", i) for i, w in enumerate(line.words) if i not in line.inputs and not w.startswith("--")]
    if not places:
        return Case(line, "nothing", _nothing, line.words)
    kind, place = draw(st.sampled_from(places))
    if kind == "file":
        content = draw(_edited((line.folder / line.words[place]).read_bytes()))
        name = line.words[place]
        return Case(line, f"{name} is {content[:20]!r}...", lambda f: _write(f / name, content), line.words)
    word = draw(_words)
    if kind == "option":
        return Case(line, f"{place} {word!r}", _nothing, with_option(line, place, word))
    return Case(line, f"word {place} is {word!r}", _nothing, (*line.words[:place], word, *line.words[place + 1 :]))


# words that a shell can pass on; none leaves the folder, none asks for more work than a person would wait for
_words = st.one_of(
    st.text(st.characters(exclude_characters="\0/~", exclude_categories=("Cs",)), max_size=12).filter(
        lambda w: w != ".."
    ),
    st.floats().map(repr),
    st.integers(-5, 5).map(str),
    st.lists(st.one_of(st.floats().map(repr), st.integers(-3, 9).map(str)), max_size=4).map(",".join),
)


@st.composite
def _edited(draw: Callable[[Any], Any], content: bytes) -> bytes:
    """Bytes: random ones, or those of a valid file with a few places overwritten, put in, cut out or doubled."""
    if draw(st.integers(0, 4)) == 0:
        return draw(st.binary(max_size=200))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(len(content) - 1, 0)))
        length = draw(st.integers(0, 16))
        edit = draw(st.sampled_from(("overwrite", "put in", "cut out", "double", "cut off")))
        new = draw(st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from([b"nan", b"-1", b"1e999", b'"', b",", b"\n", b"}", b"\xff\xff"])))  # fmt: skip
        if edit == "overwrite":
            content = content[:place] + new + content[place + len(new) :]
        elif edit == "put in":
            content = content[:place] + new + content[place:]
        elif edit == "cut out":
            content = content[:place] + content[place + length :]
        elif edit == "double":
            content = content[: place + length] + content[place:]
        else:
            content = content[:place]
    return content
