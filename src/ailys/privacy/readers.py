"""Columns of files, opened only when a release has been granted its budget; no error text repeats what a file holds.

Error texts name the file, the column and the rule that is broken, never a value, a line number or a count.
"""

from __future__ import annotations

import csv
import hashlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.optional import require

__all__ = ["Column", "fingerprint", "load_labels", "load_persons", "load_values"]

_MISSING_TEXT = frozenset(("", "na", "nan", "n/a", "null", "none"))
_PARQUET = (".parquet", ".pq")


@dataclass(frozen=True)
class Column:
    """A column of a CSV or Parquet file, not yet read; stands wherever the functions of this package take an array.

    Parameters
    ----------
    path : CSV or Parquet file
    name : of the column, as in its first line

    Examples
    --------
    >>> Column("stays.csv", "los_days")  # no file is touched
    Column(path='stays.csv', name='los_days')
    """

    path: str | Path
    name: str

    def texts(self, *more: str) -> list[list[str]]:
        """The fields of this column and of others, line by line.

        Raises
        ------
        FileNotFoundError
            no such file
        ValueError
            a folder, an empty or damaged file, or no such column
        """
        return _csv_fields(Path(self.path), [self.name, *more])

    @property
    def is_parquet(self) -> bool:
        """Whether the name of the file says Parquet."""
        return Path(self.path).suffix.lower() in _PARQUET


def load_values(x: Any) -> np.ndarray:
    """The column as float64, missing values as NaN.

    Raises ValueError or TypeError if it is not one-dimensional or not of numbers.
    """
    if isinstance(x, Column):
        if x.is_parquet:
            return _parquet_numbers(x)
        return _numbers([row[0] for row in x.texts()], f"column {x.name!r} of {x.path}")
    return _array_numbers(x)


def load_labels(x: Any) -> np.ndarray:
    """The column as text (object array of str), missing values as the empty text."""
    if isinstance(x, Column):
        if x.is_parquet:
            labels: Sequence[Any] = _parquet_column(x, x.name).to_pylist()
        else:
            labels = [row[0] for row in x.texts()]
    else:
        array: np.ndarray | None = None
        with suppress(Exception):
            array = np.ma.filled(x.astype(object), None) if isinstance(x, np.ma.MaskedArray) else np.asarray(x)
        if array is None or array.ndim != 1:
            raise ValueError("the column must be one-dimensional, one number or text for each record")
        labels = array.tolist()
    texts: list[str] | None = None
    with suppress(Exception):
        texts = ["" if _absent(label) else str(label).strip() for label in labels]
    if texts is None:
        raise ValueError("the column holds things that are neither numbers nor texts")
    return np.array(texts, dtype=object)


def load_persons(x: Any, person: Any) -> np.ndarray | None:
    """Who each record belongs to, as text: an array beside an array, or the name of a column beside a `Column`."""
    if person is None:
        return None
    if isinstance(x, Column):
        name = person.name if isinstance(person, Column) else person
        if not isinstance(name, str):
            raise TypeError("person must be the name of a column when the data are a Column")
        who = load_labels(Column(x.path, name))
    else:
        who = load_labels(person)
    if any(label == "" for label in who):
        raise ValueError("the column of persons has empty entries; every record needs a person")
    return who


def fingerprint(x: Any) -> str:
    """What a ledger notes of a data set: SHA-256 of path and column name, never of the data.

    Examples
    --------
    >>> fingerprint([1, 2])
    'in memory'
    """
    if not isinstance(x, Column):
        return "in memory"
    return hashlib.sha256(f"{os.path.realpath(x.path)}\0{x.name}".encode()).hexdigest()


def _absent(value: Any) -> bool:
    return (
        value is None or (isinstance(value, float) and value != value) or type(value).__name__ in ("NAType", "NaTType")
    )


def _array_numbers(x: Any) -> np.ndarray:
    if isinstance(x, (str, bytes, Path)):
        raise TypeError("the data are a text; give an array, or Column(path, name) for a column of a file")
    array: np.ndarray | None = None
    with suppress(Exception):  # said below, where no exception carries the value along
        array = np.ma.filled(x.astype(float), np.nan) if isinstance(x, np.ma.MaskedArray) else np.asarray(x)
    if array is None or array.ndim != 1:
        raise ValueError("the data must be a one-dimensional array of numbers")
    if array.dtype.kind == "O" and not any(isinstance(item, (str, bytes)) for item in array):
        out = None
        with suppress(Exception):
            out = np.array([np.nan if _absent(item) else float(item) for item in array], dtype=float)
        if out is not None:
            return out
    if array.dtype.kind not in "biuf":
        raise ValueError("the data are not numbers; numbers are expected")
    return array.astype(float)


def _numbers(fields: list[str], where: str) -> np.ndarray:
    out = np.empty(len(fields))
    wrong = False
    for i, text in enumerate(fields):
        try:
            out[i] = float(text)
        except ValueError:
            out[i] = np.nan
            wrong = wrong or text.strip().lower() not in _MISSING_TEXT
    if wrong:
        raise ValueError(f"{where} holds text that is not a number; numbers with a decimal point are expected")
    return out


def _csv_fields(path: Path, names: list[str]) -> list[list[str]]:
    """The wanted fields of every line; faults become sentences without content."""
    _check_file(path)
    fault = ""
    try:
        return _read_csv(path, names)
    except UnicodeDecodeError:
        fault = "not UTF-8 text"
    except csv.Error:
        fault = "not a table of comma-separated values"
    except PermissionError:
        fault = "the file cannot be read; check the permissions"
    raise ValueError(f"{path}: {fault}")


def _read_csv(path: Path, names: list[str]) -> list[list[str]]:
    csv.field_size_limit(min(sys.maxsize, 1 << 24))
    with path.open(newline="", encoding="utf-8-sig") as file:
        first = file.readline()
        if not first.strip():
            raise ValueError(f"{path}: the file is empty; a line with the names of the columns is expected")
        separator = max(",;\t|", key=first.count)
        file.seek(0)
        lines = csv.reader(file, delimiter=separator, strict=True)
        header = [field.strip() for field in next(lines)]
        for name in names:
            if header.count(name) != 1:
                found = "no column" if name not in header else "more than one column"
                raise ValueError(f"{path}: {found} named {name!r} in its first line")
        places, width = [header.index(name) for name in names], len(header)
        rows = []
        for line in lines:
            if not line:
                continue
            if len(line) != width:
                raise ValueError(f"{path}: lines with another number of fields than the first line")
            rows.append([line[place] for place in places])
    return rows


def _parquet_column(column: Column, name: str) -> Any:
    path = Path(column.path)
    parquet = require("pyarrow.parquet", extra="tables", purpose="reading Parquet files")
    _check_file(path)
    names: list[str] | None = None
    table = None
    try:
        names = parquet.read_schema(path).names
        if names.count(name) == 1:
            table = parquet.read_table(path, columns=[name])
    except Exception:
        pass  # the library's text may quote the file
    if names is None:
        raise ValueError(f"{path}: not a Parquet file, or cut short")
    if names.count(name) != 1:
        raise ValueError(f"{path}: {'no column' if name not in names else 'more than one column'} named {name!r}")
    if table is None or table.num_columns != 1:
        raise ValueError(f"{path}: damaged, or its column {name!r} is nested")
    return table.column(0)


def _parquet_numbers(column: Column) -> np.ndarray:
    values = _parquet_column(column, column.name)
    types = require("pyarrow", extra="tables", purpose="reading Parquet files").types
    kind = values.type
    if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind)):
        raise ValueError(f"column {column.name!r} of {column.path} is not of numbers")
    if types.is_decimal(kind) or types.is_boolean(kind) or values.null_count:
        return np.array([np.nan if item is None else float(item) for item in values.to_pylist()], dtype=float)
    return np.asarray(values.to_numpy(), dtype=float)


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the name of a file")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
