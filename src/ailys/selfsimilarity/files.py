"""Signals from files: .npy, .npz, .csv."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from ..core.files import read_text
from ..core.validation import read_array

__all__ = ["read_file"]

_SHOWN = 6


def read_file(path: str | Path, columns: str | None = None) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Channels first, and their names if the file has some.

    A .npy file holds (M, n) or (n,); a .npz file one such array, or the one that ``columns`` names; a .csv file a line for each
    time, with or without a header; ``columns`` picks some by name, separated by commas.

    Raises
    ------
    FileNotFoundError, ValueError
        with file, line and column
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".npy":
        if columns:
            raise ValueError(f"{path}: a .npy file has no names; --columns is for .csv and .npz files")
        return read_array(path), None
    if suffix == ".npz":
        return _from_npz(path, columns), None
    if suffix in (".csv", ".txt", ".tsv"):
        return _from_csv(path, columns, "\t" if suffix == ".tsv" else ",")
    raise ValueError(f"{path}: expected a .npy, .npz, .csv or .tsv file")


def _from_npz(path: Path, wanted: str | None) -> np.ndarray:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = list(archive.files)
            name = names[0] if wanted is None and len(names) == 1 else wanted
            if name in names:  # the others are not read: they may be large, or no numbers
                return np.asarray(archive[name])
    except MemoryError:
        raise
    except Exception as fault:  # zipfile, zlib and NumPy each have errors of their own
        raise ValueError(f"{path}: not a NumPy .npz archive of numbers, or cut short ({fault})") from fault
    held = ", ".join(names[:_SHOWN])
    if wanted is None:
        raise ValueError(f"{path}: holds {len(names)} arrays ({held}); name one with --columns")
    raise ValueError(f"{path}: no array {wanted!r}; it holds {held}")


def _from_csv(path: Path, wanted: str | None, separator: str) -> tuple[np.ndarray, tuple[str, ...] | None]:
    text = read_text(path)
    lines = [(number, row) for number, row in _rows(path, text, separator) if any(cell.strip() for cell in row)]
    if not lines:
        raise ValueError(f"{path}: no numbers in it; expected a line of numbers for each time")
    header: tuple[str, ...] | None = None
    if not all(_is_number(cell) for cell in lines[0][1]):
        header = tuple(cell.strip() for cell in lines[0][1])
        lines = lines[1:]
        if not lines:
            raise ValueError(f"{path}: a header and no numbers below it; expected a line of numbers for each time")
    width = len(lines[0][1])
    names = header or tuple(str(i) for i in range(width))
    if len(names) != width:
        raise ValueError(f"{path}: the header has {len(names)} columns, line {lines[0][0]} has {width}")
    picked = list(range(width)) if wanted is None else _pick(path, wanted, names)
    values = np.empty((len(picked), len(lines)))
    for t, (number, row) in enumerate(lines):
        if len(row) != width:
            raise ValueError(f"{path}: line {number} has {len(row)} columns, expected {width}")
        for m, column in enumerate(picked):
            values[m, t] = _number(path, number, names[column], row[column])
    return values, tuple(names[i] for i in picked) if header else None


def _rows(path: Path, text: str, separator: str) -> Any:
    reader = csv.reader(text.splitlines(keepends=True), delimiter=separator, strict=True)
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as fault:
        raise ValueError(f"{path}: line {reader.line_num}: {fault}") from None


def _pick(path: Path, wanted: str, names: tuple[str, ...]) -> list[int]:
    picked = []
    for name in (word.strip() for word in wanted.split(",")):
        if name not in names:
            raise ValueError(f"{path}: no column {name!r}; the columns are {', '.join(names[:_SHOWN])}")
        picked.append(names.index(name))
    return picked


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell.strip() == ""
    return True


def _number(path: Path, line: int, column: str, cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        what = "is empty" if not cell.strip() else f"holds {cell.strip()!r}, which is no number"
        raise ValueError(
            f"{path}: line {line}, column {column!r} {what}; fill it, or leave columns out with --columns"
        ) from None
