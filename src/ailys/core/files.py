"""Files: written so that nothing already there is lost, read so that damage is a sentence."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["atomic_write", "check_version", "open_tensors", "parse_json", "read_tensors", "read_text", "write_text"]


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its name when the block ends well.

    If the block raises, or the process is killed, what stood at ``path`` stays as it was.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "note.txt"
    >>> with atomic_write(target) as temporary:
    ...     _ = temporary.write_text("done")
    >>> target.read_text()
    'done'
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: the folder {path.parent} does not exist")
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        os.chmod(temporary, path.stat().st_mode if path.exists() else 0o666 & ~_umask())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_text(path: str | Path) -> str:
    """The text of a file in UTF-8, with or without a mark at its start.

    Raises
    ------
    FileNotFoundError, ValueError
        no such file; bytes that are no UTF-8
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise ValueError(f"{path}: not text in UTF-8 (byte {fault.start})") from None


def write_text(path: str | Path, text: str) -> Path:
    """Write a text file atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def parse_json(text: str, depth: int = 64) -> Any:
    """The content of a JSON text from a file; nesting deeper than ``depth`` is refused before the parser recurses.

    Examples
    --------
    >>> parse_json('{"a": [1, 2]}')
    {'a': [1, 2]}
    """
    level = 0
    for character in text:
        if character in "[{":
            level += 1
            if level > depth:
                raise ValueError(f"nested more than {depth} levels deep")
        elif character in "]}":
            level -= 1
    return json.loads(text)


@contextmanager
def open_tensors(path: str | Path, framework: str = "numpy") -> Iterator[Any]:
    """An open safetensors file; another file, or one found damaged while it is read, gets a sentence that names it."""
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with safe_open(path, framework=framework) as file:
            yield file
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError, KeyError) as fault:
        # the last three: types of entries that NumPy does not have
        raise ValueError(f"{path}: not a safetensors file, or cut short ({fault})") from fault


def read_tensors(path: str | Path, kind: str, what: str) -> tuple[dict[str, Any], str]:
    """The tensors of a safetensors file and the text that its metadata hold under ``kind``.

    Parameters
    ----------
    path : the file
    kind : the name in the metadata, such as ``"ailys.butterfly"``
    what : what the file should be, for the sentence about one that is not
    """
    with open_tensors(path) as file:
        text = (file.metadata() or {}).get(kind)
        tensors = {name: file.get_tensor(name) for name in file.keys()} if text else {}  # noqa: SIM118
    if text is None:
        raise ValueError(f"{path}: a safetensors file, but not a {what} (no {kind!r} metadata)")
    return tensors, text


def check_version(record: Any, newest: int, where: str = "") -> None:
    """Refuse a record of a format that came after this version of the package."""
    if record["version"] > newest:
        raise ValueError(f"{where}written by a newer version of ailys (format {record['version']}); update ailys")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
