"""Checks at the border, each with a sentence that says what was wrong and what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np

__all__ = ["read_array", "writable_target"]


def read_array(path: str | Path) -> np.ndarray:
    """The array in a ``.npy`` file written by ``numpy.save``; anything else gets a sentence that names the file."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        array = np.load(path, allow_pickle=False)
    except MemoryError:
        raise
    except Exception as fault:  # a damaged header may also raise OverflowError, SyntaxError, tokenize.TokenError, ...
        raise ValueError(f"{path}: not a NumPy .npy file of numbers, or cut short ({fault})") from fault
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{path}: an archive of several arrays; expected one array in a .npy file (numpy.save)")
    return array


def writable_target(path: str | Path, *, overwrite: bool = False) -> Path:
    """The path, if a result may be written there: nothing is overwritten silently."""
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the name of a file")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is a device or a pipe; give the name of a file")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists already; choose another name or pass --force")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: the folder {path.parent} does not exist")
    return path
