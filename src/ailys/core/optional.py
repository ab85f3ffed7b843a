"""Optional heavy dependencies: imported when needed, with a sentence when they are missing."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["MissingExtra", "require"]


class MissingExtra(ImportError):
    """A library of an optional extra is not installed."""


def require(module: str, *, extra: str, purpose: str) -> Any:
    """Import a module of an extra, or say which ``pip install`` brings it.

    Examples
    --------
    >>> require("no_such_module", extra="networks", purpose="an example")
    Traceback (most recent call last):
    ...
    ailys.core.optional.MissingExtra: an example needs 'no_such_module'; install it with: pip install 'ailys[networks]'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as fault:
        if fault.name is None or module.split(".")[0] != fault.name.split(".")[0]:
            raise
        raise MissingExtra(
            f"{purpose} needs {module.split('.')[0]!r}; install it with: pip install 'ailys[{extra}]'"
        ) from None
