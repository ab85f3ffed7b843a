"""Planning and learning in Markov decision processes beyond the average return."""

from __future__ import annotations

from .model import TabularMDP

__all__ = ["TabularMDP"]
