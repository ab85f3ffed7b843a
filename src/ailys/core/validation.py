"""Checks at the border, each with a sentence that says what was wrong and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["load_function", "read_archive", "read_array", "result_target", "writable_target"]


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


def read_archive(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a ``.npz`` archive written by ``numpy.savez``, in its order; anything else gets a sentence."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except MemoryError:
        raise
    except Exception as fault:  # zipfile, zlib and NumPy each have errors of their own
        raise ValueError(f"{path}: not a NumPy .npz archive of numbers, or cut short ({fault})") from fault


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


def result_target(path: Path, suffix: str, *, overwrite: bool = False) -> Path:
    """The path of a result with the suffix that its content has, which is added where the user gave none."""
    if not path.name:
        raise ValueError("--out needs the name of a file")
    if path.suffix not in ("", suffix):
        raise ValueError(f"{path}: the result is a {suffix} file; give a name that ends in {suffix}")
    return writable_target(path.with_suffix(suffix), overwrite=overwrite)


def load_function(text: str, what: str = "function") -> Callable[..., Any]:
    """The user's function, given as ``module:name``, from a module in the current folder or an installed one.

    Whatever the module or the function does wrong, also when it is called, becomes one sentence.
    """
    import importlib
    import os
    import sys

    module, _, name = text.partition(":")
    if not module or not name:
        raise ValueError(f"the {what} must be written as module:name; got {text!r}")
    sys.path.insert(0, os.getcwd())
    try:
        loaded = importlib.import_module(module)
    except (Exception, SystemExit) as fault:
        raise ValueError(f"cannot import {module!r}: {type(fault).__name__}: {fault}") from None
    finally:
        sys.path.pop(0)
    function = getattr(loaded, name, None)
    if not callable(function):
        raise ValueError(f"{module!r} has no function {name!r}")

    def guarded(*given: Any) -> Any:
        try:
            return function(*given)
        except (Exception, SystemExit) as fault:
            point = f" at {given[0]}" if len(given) == 1 else ""
            raise ValueError(f"{text} failed{point}: {type(fault).__name__}: {fault}") from None

    return guarded
