"""Things that should not be where a file or a word is expected. All of it is deterministic."""

from __future__ import annotations

import csv
import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["CONTENTS", "PLACES", "WORDS", "related"]

# -- a word where a value is expected --------------------------------------------------------------

WORDS = (
    "", " ", "-1", "0", "1", "2", "-0.0", "nan", "inf", "-inf", "1e308", "-1e308", "1e-320", "0.5", "1.5",
    "9" * 30, "1" + "0" * 400, "wrong", "x" * 5000, "é", "\u0663", "日本", "a,b", ",", "1,2", "nan,nan", "0:0", "5:2", "[]", "{}", "[(1,2)]",
    "None", "True", "../x", "/", ".", "*", "%s%n", "[red]", "a\nb", "\x1b[31m", "$(id)", "--", "--json", "1e5", "-2147483649", "18446744073709551616",
)  # fmt: skip

# -- something else in the place of a file ---------------------------------------------------------


def _missing(path: Path) -> None:
    path.unlink()


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def _loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _unreadable(path: Path) -> None:
    path.chmod(0)


PLACES: dict[str, Callable[[Path], None]] = {
    "missing": _missing,
    "a folder": _folder,
    "a pipe": _pipe,
    "a link to nothing": _dangling,
    "a link to itself": _loop,
    "unreadable": _unreadable,
}

# -- other content ---------------------------------------------------------------------------------


def _npy(header: str, body: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    text = header.encode("latin-1").ljust(117) + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text + body


def _saved(array: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def _safetensors(header: dict[str, Any], body: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def _zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return file.getvalue()


class _Boom:
    """A pickle that would show that it was opened."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


def _image() -> bytes:
    from matplotlib.figure import Figure

    file = io.BytesIO()
    Figure(figsize=(0.2, 0.2)).savefig(file, format="png")
    return file.getvalue()


def _contents() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    boom = np.empty(2, object)
    boom[:] = _Boom()
    descr = "{'descr': '%s', 'fortran_order': False, 'shape': %s, }"
    return {
        "empty": b"",
        "one byte": b"\0",
        "blank lines": b"\n\n\n",
        "random bytes": rng.bytes(1000),
        "zeros": bytes(4096),
        "text": b"hello, world\n",
        "an image": _image(),
        "a pickle": pickle.dumps(_Boom()),
        "a pickled array": _saved(boom, allow_pickle=True),
        "a shell script": b"#!/bin/sh\nexit 1\n",
        "HTML": b"<!doctype html><title>404</title>",
        "JSON, object": b"{}",
        "JSON, list": b"[]",
        "JSON, null": b"null",
        "JSON, deep": b"[" * 100_000,
        "JSON, deep and closed": b'{"a":' * 30_000 + b"1" + b"}" * 30_000,
        "JSON, many digits": b'{"schema": ' + b"9" * 5000 + b"}",
        "JSON, NaN": b'{"schema": NaN}',
        "JSON, half": b'{"schema": "ailys',
        "XML": b'<?xml version="1.0"?><a>&b;</a>',
        "an empty archive": _zipped(),
        "an archive of text": _zipped(a__txt=b"hello"),
        "an archive of a pickle": _zipped(a__npy=_saved(boom, allow_pickle=True)),
        "an archive of a huge array": _zipped(a__npy=_npy(descr % ("<f8", "(1000000000, 1000000000)"))),
        "npy, huge": _npy(descr % ("<f8", "(1000000000, 1000000000)")),
        "npy, large and short": _npy(descr % ("<f8", "(20000, 20000)"), bytes(64)),
        "npy, beyond integers": _npy(descr % ("<f8", f"({10**30},)")),
        "npy, negative": _npy(descr % ("<f8", "(-4, 4)"), bytes(128)),
        "npy, header of 4 GB": b"\x93NUMPY\x02\x00\xff\xff\xff\xff{",
        "npy, version 9": b"\x93NUMPY\x09\x00" + bytes(100),
        "npy, header is code": _npy("__import__('os').mkdir('executed')"),
        "npy, type unknown": _npy(descr % ("<q9", "(2,)"), bytes(64)),
        "npy, records": _saved(np.zeros(4, [("a", "f8"), ("b", "i4")])),
        "npy, dates": _saved(np.zeros(4, "M8[D]")),
        "npy, words": _saved(np.array([["a", "b"], ["c", "d"]])),
        "npy, raw": _saved(np.zeros(4, "V8")),
        "npy, empty": _saved(np.zeros(0)),
        "npy, empty matrix": _saved(np.zeros((0, 4))),
        "npy, a number": _saved(np.float64(3)),
        "npy, five axes": _saved(np.ones((2, 1, 2, 1, 2))),
        "npy, NaN": _saved(np.full((4, 4), np.nan)),
        "npy, infinite": _saved(np.full(8, np.inf)),
        "npy, largest": _saved(np.full((4, 4), np.finfo(float).max)),
        "npy, smallest": _saved(np.full((4, 4), 5e-324)),
        "npy, zeros": _saved(np.zeros((4, 4))),
        "npy, half precision": _saved(np.ones((4, 4), np.float16)),
        "npy, long double": _saved(np.ones((4, 4), np.longdouble)),
        "npy, big-endian": _saved(np.arange(16).reshape(4, 4).astype(">f8")),
        "npy, whole numbers": _saved(np.arange(16).reshape(4, 4)),
        "npy, truth values": _saved(np.eye(4, dtype=bool)),
        "safetensors, no tensor": _safetensors({}),
        "safetensors, huge header": struct.pack("<Q", 2**63 - 1) + b"{",
        "safetensors, huge tensor": _safetensors({"weight": {"dtype": "F32", "shape": [2**40, 2**20], "data_offsets": [0, 8]}}, bytes(8)),
        "safetensors, overlapping": _safetensors(
            {n: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for n in ("a.weight", "b.weight")}, bytes(8)
        ),
        "safetensors, type unknown": _safetensors({"a.weight": {"dtype": "F8_E4M3", "shape": [2, 2], "data_offsets": [0, 4]}}, bytes(4)),
        "safetensors, metadata is a number": _safetensors({"__metadata__": 3}),
        "CSV, header alone": b"arm,y,time,p,value\n",
        "CSV, one long line": b"a" * 2_000_000,
        "CSV, many columns": b",".join(b"%d" % i for i in range(100_000)) + b"\n",
        "CSV, open quote": b'a,b\n"1,2\n3,4\n',
        "CSV, same name twice": b"arm,arm,y,y\na,b,0,1\n",
        "CSV, Latin-1": "année,étage\n1,2\n".encode("latin-1"),
        "CSV, UTF-16": "arm,y\na,1\nb,0\n".encode("utf-16"),
        "CSV, NUL": b"arm,y\na,\0\nb,1\n",
    }  # fmt: skip


CONTENTS = _contents()

# -- content that is nearly right ------------------------------------------------------------------

_VALUES: tuple[Any, ...] = (None, True, -1, 0, 2, 10**30, 1.5, -0.5, 1e308, float("nan"), float("inf"), "", "x", "nan", [], {}, [[]], [None], ["x"])  # fmt: skip


def related(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Versions of a valid file, each wrong in one place."""
    size = len(content)
    points = {1, 2, 4, 7, 8, 9, 16, 64, 128, size // 4, size // 2, 3 * size // 4, size - 8, size - 2, size - 1}
    for cut in sorted(p for p in points if 0 < p < size):
        yield f"cut after {cut} of {size} bytes", content[:cut]
    yield "twice", content + content
    yield "a byte more", content + b"\0"
    yield "a byte before", b"\0" + content
    yield "a mark of byte order", b"\xef\xbb\xbf" + content
    yield "a NUL in the middle", content[: size // 2] + b"\0" + content[size // 2 :]
    yield "backwards", content[::-1]
    if content.startswith(b"\x93NUMPY"):
        yield from _arrays(content)
    elif content.startswith(b"PK"):
        yield from _archives(content)
    elif content[8:9] == b"{":
        yield from _metadata(content)
    else:
        try:
            text = content.decode()
        except UnicodeDecodeError:
            return
        yield from _texts(text)


def _texts(text: str) -> Iterator[tuple[str, bytes]]:
    yield "in UTF-16", text.encode("utf-16")
    yield "with an accent in Latin-1", text.encode().replace(b"\n", b"\xe9\n", 1)
    yield "with CRLF", text.replace("\n", "\r\n").encode()
    yield "with CR alone", text.replace("\n", "\r").encode()
    yield "without its last line end", text.rstrip("\n").encode()
    try:
        record = json.loads(text)
    except ValueError:
        yield from _tables(text)
        return
    for name, wrong in _leaves(record):
        yield name, json.dumps(wrong).encode()


def _tables(text: str) -> Iterator[tuple[str, bytes]]:
    """One cell, row or column of a CSV file changed."""
    rows = list(csv.reader(text.splitlines()))
    if len(rows) < 3 or len(rows[0]) < 2:
        return
    yield "with tabs", text.replace(",", "\t").encode()
    yield "with semicolons", text.replace(",", ";").encode()
    yield "without its header", _table(rows[1:])
    yield "with its header twice", _table([rows[0], *rows])
    yield "with one row", _table(rows[:2])
    yield "with a short row", _table([*rows[:2], rows[2][:-1], *rows[3:]])
    yield "with a long row", _table([*rows[:2], [*rows[2], "1"], *rows[3:]])
    yield "with blank rows", _table([row for one in rows for row in (one, [])])
    for column, title in enumerate(rows[0]):
        yield f"without the column {title}", _table([row[:column] + row[column + 1 :] for row in rows])
        for cell in (
            "",
            "NA",
            "nan",
            "inf",
            "-1",
            "1e308",
            "1e999",
            "9" * 400,
            "x",
            "0x10",
            "1_0",
            "1,5",
            "=1+1",
            "é",
            "x" * 100_000,
        ):
            changed = [list(row) for row in rows]
            changed[2][column] = cell
            yield f"{title} is {cell[:12]!r} in one row", _table(changed)
        for cell in ("", "1", "nan", "-1e308"):
            yield f"{title} is {cell!r} everywhere", _table([rows[0], *([*r[:column], cell, *r[column + 1 :]] for r in rows[1:])])  # fmt: skip


def _table(rows: list[list[str]]) -> bytes:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue().encode()


def _arrays(content: bytes) -> Iterator[tuple[str, bytes]]:
    """An array with a wrong entry, type or shape."""
    array = np.load(io.BytesIO(content))
    for name, wrong in _wrong_arrays(array):
        yield name, _saved(wrong)
    yield "in columns", _saved(np.asfortranarray(array))


def _wrong_arrays(array: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    if array.dtype.kind in "fc" and array.size:
        for value in (np.nan, np.inf, -np.inf, 1e308, -1.0, 5e-324):
            changed = array.astype(complex if array.dtype.kind == "c" else float)
            changed.flat[array.size // 2] = value
            yield f"with an entry {value}", changed
        for value in (0.0, 1.0, 1e308, 1e-308):
            yield f"filled with {value}", np.full_like(array, value)
        with np.errstate(all="ignore"):
            for kind in ("f2", "i1", "?", "c16", ">f4", "U8", "g"):
                yield f"as {kind}", (array.real if kind not in ("c16", "U8") else array).astype(kind)
    yield "with an axis more", array[None]
    yield "with all axes in one", array.ravel()
    yield "with its first row alone", array[:1]
    yield "without rows", array[:0]
    yield "with a row less", array[:-1]
    yield "with the last axis first", np.moveaxis(array, -1, 0) if array.ndim else array
    yield "as a number", array.ravel()[0] if array.size else array


def _archives(content: bytes) -> Iterator[tuple[str, bytes]]:
    with np.load(io.BytesIO(content)) as archive:
        members = {name: archive[name] for name in archive.files}
    for name in members:
        yield f"without {name}", _archive({n: a for n, a in members.items() if n != name})
    first = next(iter(members))
    for what, wrong in _wrong_arrays(members[first]):
        yield f"{first} {what}", _archive({**members, first: wrong})
    yield "in the opposite order", _archive(dict(reversed(members.items())))
    yield "with an array more", _archive({**members, "more": np.zeros(3)})


def _archive(members: dict[str, np.ndarray]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **members)
    return file.getvalue()


def _metadata(content: bytes) -> Iterator[tuple[str, bytes]]:
    """A safetensors file whose header says something else."""
    length = struct.unpack("<Q", content[:8])[0]
    header, body = json.loads(content[8 : 8 + length]), content[8 + length :]
    for key, text in header.get("__metadata__", {}).items():
        try:
            record = json.loads(text)
        except ValueError:
            continue
        for name, wrong in _leaves(record):
            changed = {**header, "__metadata__": {**header["__metadata__"], key: json.dumps(wrong)}}
            yield f"metadata: {name}", _safetensors(changed, body)
        yield "metadata cut", _safetensors({**header, "__metadata__": {key: text[: len(text) // 2]}}, body)
        yield "metadata deep", _safetensors({**header, "__metadata__": {key: "[" * 100_000}}, body)
    yield "without metadata", _safetensors({k: v for k, v in header.items() if k != "__metadata__"}, body)
    for name in [k for k in header if k != "__metadata__"][:3]:
        entry = header[name]
        yield f"without {name}", _repacked({k: v for k, v in header.items() if k != name}, body)
        yield f"{name} as bytes", _safetensors({**header, name: {**entry, "dtype": "U8", "shape": [entry["data_offsets"][1] - entry["data_offsets"][0]]}}, body)  # fmt: skip
        yield f"{name} with an axis more", _safetensors({**header, name: {**entry, "shape": [1, *entry["shape"]]}}, body)  # fmt: skip
        yield f"{name} full of NaN", _filled(content, length, entry, b"\xff")
        yield f"{name} full of zeros", _filled(content, length, entry, b"\0")


def _repacked(header: dict[str, Any], body: bytes) -> bytes:
    """Offsets without gaps, as the format asks."""
    parts, start, packed = [], 0, {}
    for name, entry in header.items():
        if name == "__metadata__":
            packed[name] = entry
            continue
        low, high = entry["data_offsets"]
        parts.append(body[low:high])
        packed[name] = {**entry, "data_offsets": [start, start + high - low]}
        start += high - low
    return _safetensors(packed, b"".join(parts))


def _filled(content: bytes, length: int, entry: dict[str, Any], byte: bytes) -> bytes:
    low, high = (8 + length + place for place in entry["data_offsets"])
    return content[:low] + byte * (high - low) + content[high:]


def _leaves(record: Any, most: int = 60) -> Iterator[tuple[str, Any]]:
    """The record with one of its parts replaced or left out."""
    paths = list(_paths(record))
    for path in paths[:: max(1, len(paths) // most)]:
        for value in _VALUES:
            yield f"{'.'.join(map(str, path))} is {str(value)[:12]!r}", _changed(record, path, lambda _, v=value: v)
        if isinstance(path[-1], str):
            yield f"no {'.'.join(map(str, path))}", _without(record, path)


def _paths(record: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    parts = record.items() if isinstance(record, dict) else enumerate(record[:2]) if isinstance(record, list) else ()
    for key, part in parts:
        yield (*above, key)
        yield from _paths(part, (*above, key))


def _changed(record: Any, path: tuple[Any, ...], change: Callable[[Any], Any]) -> Any:
    if not path:
        return change(record)
    copy = dict(record) if isinstance(record, dict) else list(record)
    copy[path[0]] = _changed(copy[path[0]], path[1:], change)
    return copy


def _without(record: Any, path: tuple[Any, ...]) -> Any:
    return _changed(record, path[:-1], lambda part: {k: v for k, v in part.items() if k != path[-1]})
