"""Verbs that write, stopped at random moments: what they leave is whole or absent, and their inputs are untouched."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from .discovery import lines, verbs
from .oracle import arena, listing

WRITERS = {str(verb): verb for verb in verbs() if any(line.outputs or line.changes for line in lines(verb))}
ENVIRONMENT = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
STARTED = 0.15  # seconds; before, the interpreter itself is starting, and what it says is its own


def start(line, folder):
    return subprocess.Popen(
        [sys.executable, "-m", "ailys", *line.verb.words, *line.words],
        cwd=folder, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def undisturbed(line):
    """How long the verb takes, and what it writes."""
    with arena(line.folder) as folder:
        begun = time.monotonic()
        _, err = (process := start(line, folder)).communicate(timeout=120)
        assert process.returncode == 0, err
        return time.monotonic() - begun, listing(folder)


def stopped(line, moment, how):
    """The verb with a signal after a while: exit code, standard error, the folder before and after."""
    with arena(line.folder) as folder:
        before = listing(folder)
        process = start(line, folder)
        time.sleep(moment)
        process.send_signal(how)
        _, err = process.communicate(timeout=60)
        return process.returncode, err, before, listing(folder), {p.name: p.read_bytes() for p in folder.iterdir()}


def is_whole(name, content, expected):
    """A file that has its name is complete: its last bytes are those of its kind."""
    ends = {".png": b"IEND\xaeB`\x82", ".svg": b"</svg>\n", ".json": b"}\n"}
    kind = os.path.splitext(name)[1]
    return content.endswith(ends[kind]) if kind in ends else len(content) == expected


def check(name, trials, how):
    line = next(line for line in lines(WRITERS[name]) if line.outputs or line.changes)
    seconds, whole = undisturbed(line)
    chance = random.Random(name)
    changing = [line.words[i] for i in line.inputs] if line.changes else []
    for _ in range(trials):
        moment = chance.uniform(STARTED, seconds)
        code, err, before, after, contents = stopped(line, moment, how)
        where = f"{line}, after {moment:.2f} of {seconds:.2f} s"
        assert "Traceback" not in err, f"{where}: {err}"
        for file, digest in before.items():
            assert after.get(file) == digest or (file in changing and file in after), f"{where}: {file} changed"
        for file in set(after) - set(before):
            if how == signal.SIGKILL and os.path.basename(file).startswith("."):
                continue  # a temporary file, which nobody was left to remove
            assert file in whole, f"{where}: {file} left behind"
        for file, content in contents.items():
            if file in whole and not (how == signal.SIGKILL and file.startswith(".")):
                assert is_whole(file, content, len(content)), f"{where}: {file} is not whole"
        if how == signal.SIGINT:
            assert code in (0, 130), f"{where}: exit code {code}: {err}"
            assert err == ("ailys: stopped\n" if code else ""), f"{where}: {err!r}"
    # what a stopped run leaves does not stand in the way of the next one


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_an_interrupt_is_one_line_and_leaves_nothing_half_done(name):
    check(name, 2, signal.SIGINT)


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_a_kill_leaves_nothing_half_written(name):
    check(name, 2, signal.SIGKILL)
