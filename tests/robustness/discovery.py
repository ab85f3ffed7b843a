"""Which verbs there are, and valid command lines to start from.

Every system of `ailys.domains.DOMAINS`, and each of the two fronts, supplies ``tests/<name>/samples.py`` with

    SAMPLES: dict[str, Callable[[Path], list[list[str]]]]

The key is the verb as it is typed (``"factorize"``, ``"trial next"``; ``""`` for a command without verbs). The function
writes valid input files into the empty folder that it is given and returns command lines: the words after
``ailys <system> <verb>``. They run in that folder, so files go by their bare names. Each line has to end with exit code
0, and should be quick (a tenth of a second), because it is tried hundreds of times with something wrong in it. What
may be spoiled is found by looking: a word that names a file of the folder is an input, a word that names a file only
after the run is an output. A first line that writes all that the verb can write tries the most.
"""

from __future__ import annotations

import functools
import importlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer.main

from ailys.cli import FRONTS
from ailys.domains import DOMAINS

__all__ = ["Line", "Verb", "lines", "verbs"]


@dataclass(frozen=True)
class Verb:
    """A command that does work: its words, its options with a value and without, whether it takes any number of words."""

    system: str
    name: str
    options: tuple[str, ...]
    flags: tuple[str, ...]
    takes_more: bool

    @property
    def words(self) -> list[str]:
        return [self.system, *self.name.split()]

    def __str__(self) -> str:
        return " ".join(self.words)


@dataclass(frozen=True)
class Line:
    """A valid command line with the folder of its files; the folder is copied, never used."""

    verb: Verb
    words: tuple[str, ...]
    folder: Path
    inputs: tuple[int, ...]  # positions of words that name files
    outputs: tuple[int, ...]  # positions of words that name what is written
    changes: bool  # whether the verb is there to change an input, as a state
    options: dict[str, int] = field(compare=False)  # option -> position of its value, where it is given

    def __str__(self) -> str:
        return f"{self.verb} {' '.join(self.words)}"


@functools.cache
def verbs() -> tuple[Verb, ...]:
    """Every verb of every system and front."""
    found: list[Verb] = []
    for system in [*DOMAINS, *FRONTS]:
        app = importlib.import_module(f"ailys.{system}.cli").app
        found += [_verb(system, words, command) for words, command in _leaves(typer.main.get_command(app))]
    return tuple(found)


def _leaves(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if getattr(command, "commands", None):
        for name, child in command.commands.items():
            yield from _leaves(child, (*words, name))
    else:
        yield words, command


def _verb(system: str, words: tuple[str, ...], command: Any) -> Verb:
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    valued, flags = (tuple(p.opts[0] for p in options if bool(p.is_flag) == flag) for flag in (False, True))
    more = any(p.nargs == -1 for p in command.params if p.param_type_name == "argument")
    return Verb(system, " ".join(words), valued, flags, more)


def samples(system: str) -> dict[str, Callable[[Path], list[list[str]]]]:
    """The samples that a system supplies; without the file there are none, and a test says so."""
    try:
        return importlib.import_module(f"tests.{system}.samples").SAMPLES
    except ModuleNotFoundError as fault:
        if fault.name != f"tests.{system}.samples" and fault.name != f"tests.{system}":
            raise
        return {}


@functools.cache
def lines(verb: Verb) -> tuple[Line, ...]:
    """The valid command lines of a verb, each tried once."""
    from .oracle import listing, run

    make = samples(verb.system).get(verb.name)
    if make is None:
        return ()
    folder = Path(tempfile.mkdtemp(prefix="ailys-sample-"))
    found = []
    for words in make(folder):
        inputs = tuple(i for i, word in enumerate(words) if word and (folder / word).is_file())
        with tempfile.TemporaryDirectory() as trial:
            work = Path(shutil.copytree(folder, Path(trial) / "work"))
            before = listing(work)
            done = run([*verb.words, *words], work, limit=300)  # the first run of a kernel compiles it
            assert done.code == 0, f"{verb} {' '.join(words)}: a sample has to work; {done.err or done.hang}"
            after = listing(work)
        new, changed = set(after) - set(before), any(after[name] != before[name] for name in before)
        outputs = tuple(i for i, word in enumerate(words) if word in new)
        given = {word: i + 1 for i, word in enumerate(words) if word in verb.options}
        found.append(Line(verb, tuple(words), folder, inputs, outputs, changed, given))
    return tuple(found)
