"""State files, logs and locks: a trial that is killed at any moment goes on where it stood.

The state is one JSON document, written to a temporary file, synced and renamed. A log, if there is one, is a
CSV file to which every event is appended and synced *before* the state is written, so that after a crash the log is
never behind: events that the state has not seen are replayed. The state holds a digest of the part of the log it
knows; if the two disagree the file is refused. Every state carries a checksum of itself: one that was edited by
hand, or copied in part, is refused too.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..core.files import parse_json, write_text

__all__ = [
    "SCHEMA",
    "EventLog",
    "Locked",
    "lock",
    "read_state",
    "restore_generator",
    "save_state",
    "state_text",
    "stored_generator",
    "write_state",
]

SCHEMA = "ailys.bandits/1"


class Locked(ValueError):
    """Another process works on the same state file."""


@contextmanager
def lock(path: str | Path) -> Iterator[None]:
    """Hold the state file for this process alone; whoever comes second gets a sentence instead of a wait.

    The lock belongs to the process (``flock`` on a file beside the state): a killed process releases it.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot lock {path}: the folder {path.parent} does not exist")
    handle = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            _acquire(handle)
        except OSError:
            raise Locked(
                f"{path} is in use by another process; wait until it has finished and run the command again"
            ) from None
        yield
    finally:
        os.close(handle)  # releases the lock


def _acquire(handle: int) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        return
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def stored_generator(rng: np.random.Generator) -> dict[str, Any]:
    """State of a generator as plain numbers."""
    return _plain(rng.bit_generator.state)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": str(value.dtype)}
    return value.item() if isinstance(value, np.generic) else value


def restore_generator(stored: dict[str, Any]) -> np.random.Generator:
    """The generator whose state was stored."""
    kinds = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")
    name = stored.get("bit_generator") if isinstance(stored, dict) else None
    if name not in kinds:
        raise ValueError(f"the state names the generator {name!r}; expected one of {', '.join(kinds)}")
    bits = getattr(np.random, name)()
    bits.state = _arrays(stored)
    return np.random.Generator(bits)


def _arrays(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"array", "dtype"}:
            return np.array(value["array"], dtype=value["dtype"])
        return {key: _arrays(item) for key, item in value.items()}
    return value


def state_text(state: dict[str, Any]) -> str:
    """A state as it is stored: one line of JSON, with a checksum of all the rest."""
    return json.dumps(state | {"checksum": _checksum(state)}, allow_nan=False)


def _checksum(state: dict[str, Any]) -> str:
    rest = {name: value for name, value in state.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def read_state(source: str | Path) -> dict[str, Any]:
    """The state in a JSON text or file; anything else gets a sentence that names it."""
    text, name = str(source), "the state"
    if not text.lstrip().startswith("{"):
        path = Path(source)
        name = str(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file")
        text = path.read_text("utf-8-sig", errors="replace")
    return _parse_state(text, name)


def _parse_state(text: str, name: str) -> dict[str, Any]:
    try:
        state = parse_json(text)
    except json.JSONDecodeError as fault:
        raise ValueError(f"{name}: not JSON, or cut short (line {fault.lineno}: {fault.msg})") from None
    except ValueError as fault:  # too deep, or a number of thousands of digits
        raise ValueError(f"{name}: {fault}") from None
    if not isinstance(state, dict) or "schema" not in state:
        raise ValueError(f"{name}: not a state of ailys.bandits (no field 'schema')")
    if state["schema"] != SCHEMA:
        raise ValueError(f"{name}: schema {state['schema']!r}; this version reads {SCHEMA!r}")
    if state.get("checksum") != _checksum(state):
        bare = "" if "checksum" in state else " (it has none, as states had in the beginning)"
        raise ValueError(
            f"{name}: the state does not match its checksum{bare}: it was edited or copied in part; go back to a whole "
            "copy, or rebuild the agent from its log with Agent.from_log"
        )
    return state


def save_state(state: dict[str, Any], path: Path, known: int | None) -> None:
    """Write a state unless the file has been changed since it was read (``known``: its revision then)."""
    with lock(path):
        write_state(state, path, known)


def write_state(state: dict[str, Any], path: Path, known: int | None) -> None:
    """`save_state` for a process that holds the lock."""
    if path.exists():
        there = read_state(path)
        if known is None or there.get("revision") != known:
            raise FileExistsError(
                f"{path} holds a state that this process has not read (revision {there.get('revision')}); "
                "load it with from_json and go on from there, or choose another name"
            )
    write_text(path, state_text(state) + "\n")


class EventLog:
    """A CSV file of events, appended and synced one line at a time, with a chained digest.

    The first line is a comment that holds the state before the first event.
    """

    COLUMNS = "event,trial,action,reward,propensity,time"

    def __init__(self, path: Path, digest: str = "", lines: int = 0) -> None:
        self.path, self.digest, self.lines = path, digest, lines
        self.size = 0  # bytes that this agent has written or read

    @classmethod
    def start(cls, path: Path, initial: dict[str, Any]) -> EventLog:
        """A new log; an existing file is not overwritten."""
        log = cls(path)
        head = f"# {state_text(initial)}\n{cls.COLUMNS}\n"
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            raise FileExistsError(f"{path} exists already; choose another name for the log") from None
        with os.fdopen(handle, "wb") as file:
            file.write(head.encode())
            file.flush()
            os.fsync(file.fileno())
        log.size = len(head.encode())
        return log

    def append(self, *fields: Any) -> None:
        """Add an event; returns when it is on the disk."""
        line = ",".join(_cell(field) for field in fields) + "\n"
        data = line.encode()
        with lock(self.path):
            size = self.path.stat().st_size if self.path.is_file() else 0
            if size != self.size:
                raise ValueError(
                    f"{self.path} has {size} bytes where this agent left {self.size}: another one has written to it; "
                    "nothing is counted, load the agent again with from_json or from_log"
                )
            with self.path.open("ab") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            self.size += len(data)
        self._count(line)

    def _count(self, line: str) -> None:
        self.digest = hashlib.sha256((self.digest + line).encode()).hexdigest()
        self.lines += 1

    @classmethod
    def read(cls, path: Path) -> tuple[dict[str, Any], list[list[str]], list[str]]:
        """Initial state, events, and the lines they came from. A last line without its end was never finished: left out."""
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file")
        lines = path.read_text("utf-8").splitlines(keepends=True)
        if len(lines) < 2 or not lines[0].startswith("# {") or lines[1].strip() != cls.COLUMNS:
            raise ValueError(f"{path}: not a log of ailys.bandits")
        events = [line for line in lines[2:] if line.endswith("\n")]
        rows = []
        for number, line in enumerate(events, 3):
            row = line.rstrip("\n").split(",")
            if len(row) != 6 or row[0] not in ("ask", "tell", "observe", "drop"):
                raise ValueError(f"{path}, line {number}: not an event of this log: {line.strip()!r}")
            rows.append(row)
        return _parse_state(lines[0][2:], f"{path}, line 1"), rows, events

    def resume(self) -> list[list[str]]:
        """Events that came after the last state; the log must begin with those that the state knows."""
        _, rows, lines = self.read(self.path)
        if len(lines) < self.lines:
            raise ValueError(
                f"{self.path} has {len(lines)} events; the state has seen {self.lines}: one of them is not the other's"
            )
        again = EventLog(self.path)
        for line in lines[: self.lines]:
            again._count(line)
        if again.digest != self.digest:
            raise ValueError(f"{self.path} does not match the digest in the state: one of the two was changed")
        whole = self.path.read_text("utf-8")
        if not whole.endswith("\n"):  # the process died while it wrote this line
            write_text(self.path, whole[: whole.rfind("\n") + 1])
        fresh = rows[self.lines :]
        for line in lines[self.lines :]:
            self._count(line)
        self.size = self.path.stat().st_size
        return fresh


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return repr(float(value)) if isinstance(value, (float, np.floating)) else str(value)
