"""Planning and learning in Markov decision processes beyond the average return."""

from __future__ import annotations

from .evaluate import evaluate, moments
from .model import TabularMDP
from .returns import ReturnDistribution

__all__ = ["ReturnDistribution", "TabularMDP", "evaluate", "moments"]
