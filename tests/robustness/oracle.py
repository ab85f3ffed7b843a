"""Run a command in this process and say what was wrong with the way it ended."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import signal
import stat
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ailys.cli import main

__all__ = ["LIMIT", "Done", "arena", "faults", "listing", "run"]

LIMIT = 20.0  # seconds; what a person would take for a hang
_SILENT = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str
    seconds: float
    hang: str = ""
    raised: str = ""  # an exception that left `main`


class _TooLong(BaseException):
    """Passes through every ``except Exception``."""


def run(words: Sequence[str], folder: Path, limit: float = LIMIT) -> Done:
    """``ailys words`` in the folder."""
    out, err, here, start = io.StringIO(), io.StringIO(), Path.cwd(), time.perf_counter()
    code, hang, raised = -1, "", ""
    caught: list[warnings.WarningMessage] = []
    try:
        os.chdir(folder)
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            _alarm(limit),
            warnings.catch_warnings(record=True) as caught,
        ):
            warnings.simplefilter("always")
            main(list(words))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else -1
    except _TooLong:
        hang = f"still at work after {limit:g} s"
    except BaseException as fault:
        raised = f"{type(fault).__name__}: {fault}"
    finally:
        os.chdir(here)
    for item in caught:  # a warning of a library is text that the user sees
        if not issubclass(item.category, _SILENT):
            err.write(f"{item.category.__name__}: {item.message}\n")
    return Done(code, out.getvalue(), err.getvalue(), time.perf_counter() - start, hang, raised)


@contextlib.contextmanager
def _alarm(limit: float) -> Iterator[None]:
    def ring(*_: object) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def arena(folder: Path) -> Iterator[Path]:
    """A copy of a folder to spoil."""
    with tempfile.TemporaryDirectory(prefix="ailys-arena-") as name:
        yield Path(shutil.copytree(folder, Path(name) / "work"))


def listing(folder: Path) -> dict[str, str]:
    """What stands in a folder: path -> kind and digest. Empty lock files of a state do not count."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name, mode = str(path.relative_to(folder)), path.lstat().st_mode
        if (path.name.startswith(".") and path.name.endswith(".lock")) or "__pycache__" in path.parts:
            continue
        if stat.S_ISREG(mode):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if os.access(path, os.R_OK) else "unreadable"
        else:
            found[name] = f"special {stat.S_IFMT(mode):o}"
    return found


def faults(
    done: Done,
    before: dict[str, str],
    after: dict[str, str],
    *,
    changing: Sequence[str] = (),
    must_refuse: bool = False,
) -> list[str]:
    """What must not happen, and did. ``changing``: files that the command is there to change."""
    if done.hang:
        return [done.hang]
    if done.raised:
        return [f"an exception left the program: {done.raised}"]
    found = []
    if done.code not in (0, 1, 2, 3):
        found.append(f"exit code {done.code}")
    if "Traceback" in done.err or "Traceback" in done.out:
        found.append("a traceback")
    if "a fault in ailys itself" in done.err:
        found.append(done.err.strip())
    said = done.err.splitlines()
    strange = [line for line in said if not line.startswith("ailys: ")]
    if strange:
        found.append(f"on standard error: {strange[0][:200]!r}")
    kept = {name: digest for name, digest in before.items() if name not in changing or done.code}
    lost = [name for name, digest in kept.items() if after.get(name) != digest]
    if lost:
        found.append(f"exit code {done.code}, and {', '.join(lost)} changed")
    answered = done.code == 1 and done.out.strip()  # a broken promise is an answer, and stands on standard output
    if done.code and not said and not answered:
        found.append(f"exit code {done.code} without a word")
    if done.code in (1, 2) and not answered:
        new = sorted(set(after) - set(before))
        if new:
            found.append(f"exit code {done.code}, and {', '.join(new)} written")
        if len(said) > 1:
            found.append(f"{len(said)} lines on standard error: {said[0][:80]!r}, {said[1][:80]!r}")
        if len(done.err) > 2000:
            found.append(f"a line of {len(done.err)} characters")
    hidden = [
        name for name in set(after) - set(before) if Path(name).name.startswith(".") and len(Path(name).stem) > 12
    ]
    if hidden:
        found.append(f"left behind: {', '.join(hidden)}")
    if must_refuse and done.code == 0:
        found.append("accepted")
    return found
