"""ailys: frugal and responsible algorithms, and every answer comes with its guarantee.

Each system is a subpackage (`ailys.butterfly`, ...), imported on first use. From a terminal:
``ailys tour`` shows them all on real data, ``ailys audit`` tries to break their guarantees.
"""

from __future__ import annotations

import importlib
from typing import Any

from .domains import DOMAINS

__all__ = ["__version__", *DOMAINS]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in DOMAINS:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module 'ailys' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
