"""Every verb, stopped at random moments: what it leaves is whole or absent, and its inputs are untouched.

The moments are spread over the work of the verb (in a child of a process that has the imports behind it), and once over the start
of the program.
"""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from .discovery import lines, verbs
from .nursery import Nursery
from .oracle import arena, listing

VERBS = {str(verb): verb for verb in verbs()}
ENVIRONMENT = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
STARTED = 0.15  # seconds; before, the interpreter itself is starting, and what it says is its own
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def nursery():
    with Nursery() as nursery:
        yield nursery


def line_of(name):
    """A line of the verb: the first that writes, if it ever does."""
    known = lines(VERBS[name])
    return next((line for line in known if line.outputs or line.changes), known[0])


def run(nursery, line, folder, moment=None, how=None):
    """The verb in a child, with a signal after a while: exit code and standard error."""
    out, err = folder.parent / "out", folder.parent / "err"
    child = nursery.start([*line.verb.words, *line.words], folder, out, err)
    if how is not None:
        time.sleep(moment)
        os.kill(child, how)
    return nursery.wait(), err.read_text()


def undisturbed(nursery, line):
    """How long the verb takes, and what is there then."""
    with arena(line.folder) as folder:
        begun = time.monotonic()
        code, err = run(nursery, line, folder)
        assert code == 0, err
        return time.monotonic() - begun, listing(folder)


def is_whole(name, content):
    """A file that has its name is complete: its last bytes are those of its kind."""
    ends = {".png": b"IEND\xaeB`\x82", ".svg": b"</svg>\n", ".json": b"}\n"}
    return content.endswith(ends.get(os.path.splitext(name)[1], b""))


def check(line, whole, before, folder, how, code, err, where):
    """What a stopped run has left, against what was there before and what a whole run leaves."""
    assert "Traceback" not in err, f"{where}: {err}"
    after = listing(folder)
    changing = [line.words[i] for i in line.inputs] if line.changes else []
    for file, digest in before.items():
        assert after.get(file) == digest or (file in changing and file in after), f"{where}: {file} changed"
    for file in set(after) - set(before):
        if how == signal.SIGKILL and os.path.basename(file).startswith("."):
            continue  # a temporary file, which nobody was left to remove
        assert file in whole, f"{where}: {file} left behind"
    for file in set(after) & set(whole):
        if (folder / file).is_file():
            assert is_whole(file, (folder / file).read_bytes()), f"{where}: {file} is not whole"
    if how == signal.SIGINT:
        assert code in (0, 130), f"{where}: exit code {code}: {err}"
        assert err == ("ailys: stopped\n" if code else ""), f"{where}: {err!r}"


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_that_is_stopped_leaves_nothing_half_done(nursery, name):
    line, chance = line_of(name), random.Random(name)
    seconds, whole = undisturbed(nursery, line)
    for how in (signal.SIGINT, signal.SIGKILL) * 2:
        moment = chance.uniform(0, seconds)
        with arena(line.folder) as folder:
            before = listing(folder)
            code, err = run(nursery, line, folder, moment, how)
            check(
                line, whole, before, folder, how, code, err, f"{line}, {how.name} after {moment:.3f} of {seconds:.3f} s"
            )


@pytest.mark.parametrize("name", VERBS)
def test_an_interrupt_at_the_start_is_one_line(name):
    line, moment = line_of(name), random.Random(name).uniform(STARTED, 1.5)
    with arena(line.folder) as folder:
        before = listing(folder)
        process = subprocess.Popen(
            [sys.executable, "-m", "ailys", *line.verb.words, *line.words],
            cwd=folder, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        time.sleep(moment)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
        whole = {line.words[i] for i in line.outputs}
        check(line, whole, before, folder, signal.SIGINT, process.returncode, err, f"{line}, after {moment:.2f} s")
