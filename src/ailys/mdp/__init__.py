"""Planning and learning in Markov decision processes beyond the average return."""

from __future__ import annotations

from .entrm import EntRMSolution, evaluate_entrm, solve_entrm
from .evaluate import evaluate, moments
from .model import TabularMDP
from .returns import ReturnDistribution
from .solve import Solution, solve

__all__ = [
    "EntRMSolution",
    "ReturnDistribution",
    "Solution",
    "TabularMDP",
    "evaluate",
    "evaluate_entrm",
    "moments",
    "solve",
    "solve_entrm",
]
