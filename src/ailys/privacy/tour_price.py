"""A stop of the tour: the price of privacy."""

from __future__ import annotations

from ..core.stop import Stop

__all__ = ["STOPS"]

STOPS: tuple[Stop, ...] = ()
