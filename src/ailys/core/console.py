"""What commands say: tables and progress on the terminal, JSON for machines, errors on one line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .answer import Answer, jsonable, readable

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = [
    "Exit",
    "Force",
    "Jobs",
    "Json",
    "Out",
    "Plot",
    "Refused",
    "SeedOption",
    "check_jobs",
    "print_json",
    "progress",
    "show",
    "show_table",
    "warn",
    "where",
]


_LONGEST = 1500  # characters of a line
_MOST_JOBS = 512  # each is a process on this machine


class Exit(IntEnum):
    """Exit codes of every command."""

    DONE = 0
    FAILED = 1  # a claim is broken, a violation is found, or a stop of the tour failed
    BAD_INPUT = 2
    REFUSED = 3  # a budget is refused, or spent without the answer asked for


class Refused(Exception):
    """A budget does not allow what was asked for: commands end with exit code 3."""


# the options that mean the same in every command
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of a table.")]
Out = Annotated[Path | None, typer.Option("--out", help="Where to write the result.")]
Plot = Annotated[Path | None, typer.Option("--plot", help="Draw the result (.png, .svg, .pdf).")]
Jobs = Annotated[int, typer.Option("--jobs", help="Workers, as in joblib; -1 for all cores.")]
SeedOption = Annotated[int | None, typer.Option("--seed", min=0, help="Seed of the random numbers.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite the result if it exists.")]


def show(answer: Answer, as_json: bool, **more: Any) -> None:
    """Print an answer: its facts as a table and its guarantee, or all of it as JSON."""
    if as_json:
        print_json({**answer.to_dict(), **more})
        return
    rows = [(name, value) for name, value in {**answer.facts(), **more}.items() if not isinstance(value, list)]
    show_table(None, ("", ""), [(name.replace("_", " "), readable(value)) for name, value in rows], header=False)
    guarantee = answer.guarantee
    from rich.markup import escape

    _console().print(f"[bold]guarantee[/]  {escape(str(guarantee)) if guarantee else 'none is proved'}")


def where(*, written: Path | None = None, drawn: Path | None = None) -> dict[str, str]:
    """What a command says of the files that it wrote."""
    return {name: str(path) for name, path in (("written", written), ("drawn", drawn)) if path is not None}


def check_jobs(jobs: int) -> int:
    """The number of workers of an option ``--jobs``, if it is one."""
    if jobs == 0 or not -_MOST_JOBS <= jobs <= _MOST_JOBS:
        raise ValueError(f"--jobs must be a number of workers up to {_MOST_JOBS}, or -1 for all cores; got {jobs}")
    return jobs


def print_json(report: Any) -> None:
    """Print JSON that any parser reads: no NaN, no infinities."""
    print(json.dumps(jsonable(report), indent=2, allow_nan=False))


def show_table(
    title: str | None, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, header: bool = True
) -> None:
    """Print a table."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, box=box.SIMPLE_HEAD if header else None, show_header=header, title_justify="left")
    for position, column in enumerate(columns):
        table.add_column(column, overflow="fold", style="dim" if not header and position == 0 else None)
    for row in rows:
        table.add_row(*(escape(readable(cell)) for cell in row))  # brackets are text, not markup
    _console().print(table)


def warn(message: str) -> None:
    """A remark on standard error: one line, without what a terminal would obey, and without the middle of a long word."""
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in " ".join(message.split()))
    if len(line) > _LONGEST:
        line = f"{line[: _LONGEST // 2]} ... {line[-_LONGEST // 2 :]}"
    print(f"ailys: {line}", file=sys.stderr)


@contextmanager
def progress(silent: bool = False) -> Iterator[Progress]:
    """A progress display on standard error that leaves no trace behind."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeElapsedColumn
    from rich.text import Text

    class Count(MofNCompleteColumn):
        """How many of how many, where that is known."""

        def render(self, task: Task) -> Text:
            return Text() if task.total is None else super().render(task)

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), Count(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=silent or not console.is_terminal) as display:
        yield display


def _console() -> Any:
    from rich.console import Console

    # a pipe or a log gets whole lines: nothing is cut at an imagined width
    return Console(
        highlight=False, soft_wrap=True, width=None if sys.stdout is not None and sys.stdout.isatty() else 200
    )
