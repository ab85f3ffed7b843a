"""A process that has everything imported and runs command lines in children: a start costs milliseconds, not seconds.

Each request is a line of JSON on standard input: the words, the folder, and the files for standard output and standard
error. The child answers with its process id once the command has begun (from there on an interrupt is the program's own
affair); the next line of input, whatever it is, asks for its exit code.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["Nursery"]

LIBRARIES = (
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
    "matplotlib.figure",
    "rich.table",
    "scipy.stats",
)


class Nursery:
    """The process, seen from the tests; a context manager."""

    def __enter__(self) -> Nursery:
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def start(self, words: Sequence[str], folder: Path, out: Path, err: Path) -> int:
        """Begin ``ailys words`` in the folder; the process id of the child, which runs until `wait`."""
        return int(self._say([list(words), str(folder), str(out), str(err)]))

    def wait(self) -> int:
        """The exit code of the child that was started last; that of a signal is negative."""
        return int(self._say("wait"))

    def _say(self, request: Any) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return self._process.stdout.readline()


def _import_all() -> None:
    import ailys

    modules = [m.name for m in pkgutil.walk_packages(ailys.__path__, "ailys.", onerror=lambda name: None)]
    for name in [*modules, *LIBRARIES]:
        if not name.endswith("__main__"):
            with contextlib.suppress(ImportError):  # an extra that is not installed
                importlib.import_module(name)


def _serve() -> None:
    """Fork a child for each request; only a child returns."""
    _import_all()
    gc.freeze()  # the children share what is there, and do not look through it
    answers = os.dup(1)  # standard output becomes that of the child
    while request := sys.stdin.readline():
        words, folder, out, err = json.loads(request)
        child = os.fork()
        if not child:
            _become(words, folder, out, err, answers)
            return
        sys.stdin.readline()
        _, status = os.waitpid(child, 0)  # not before it is asked for: until then the process id is the child's
        os.write(answers, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _become(words: list[str], folder: str, out: str, err: str, answers: int) -> None:
    """Make this process look as if it had been started with the words in the folder."""
    import ailys.cli as cli

    os.chdir(folder)
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, out, os.O_WRONLY | os.O_CREAT),
        (2, err, os.O_WRONLY | os.O_CREAT),
    ):
        handle = os.open(path, flags, 0o666)
        os.dup2(handle, number)
        os.close(handle)
    sys.argv = ["ailys", *words]
    honest = cli.main

    def begin() -> None:
        os.write(answers, f"{os.getpid()}\n".encode())
        honest()

    cli.main = begin  # called inside of the program's own ``try``


def _end() -> None:
    """Run the program, and leave without taking a process apart that is as large as all systems together."""
    from ailys.__main__ import main

    code: Any = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


if __name__ == "__main__":
    _serve()
    _end()
