"""Planning and learning in Markov decision processes beyond the average return.

Problem: decisions one after the other, with rewards that hang on chance; who answers for the outcome asks for the
tail of the return, not only for its mean.
Method: the law of the return by distributional dynamic programming; the entropic risk, which dynamic programming
optimises exactly, for one parameter or for all of them (the optimality front); from there the entropic value at
risk, CVaR, quantiles and thresholds; learners for unknown models.
Guarantee: laws are exact or carry their Wasserstein error; the front is within epsilon of the best risk at every
parameter; tail risks come with an interval that holds the best value of any policy.
Source: Marthe, Garivier and Vernade, *Beyond average return in Markov decision processes*, NeurIPS 2023; Marthe,
Bounan, Garivier and Vernade, *Efficient risk-sensitive planning via entropic risk measures*, 2025.

>>> from ailys.mdp import entrm_front
>>> from ailys.mdp.envs import Cliff
>>> front = entrm_front(Cliff().to_mdp(), -0.3, 0.2, epsilon=0.1)
>>> bool(front.certificate <= 0.1), front.n_policies < 20
(True, True)
"""

from __future__ import annotations

from .augmented import AugmentedPolicy
from .entrm import EntRMEvaluation, EntRMSolution, evaluate_entrm, solve_entrm
from .evaluate import evaluate, moments
from .front import OptimalityFront, Segment, entrm_front
from .learning import BPIUCRL, UCBVI, LearningResult, QLearning
from .model import TabularMDP
from .nested import NestedSolution, nested
from .returns import ReturnDistribution
from .risks import RiskSolution, optimize_cvar, optimize_evar, optimize_threshold, optimize_var
from .simulate import SimulatedReturns, simulate
from .solve import Solution, solve
from .worst import WorstCase, worst_case_model

__all__ = [
    "AugmentedPolicy",
    "BPIUCRL",
    "EntRMEvaluation",
    "EntRMSolution",
    "LearningResult",
    "NestedSolution",
    "OptimalityFront",
    "QLearning",
    "ReturnDistribution",
    "RiskSolution",
    "Segment",
    "SimulatedReturns",
    "Solution",
    "TabularMDP",
    "UCBVI",
    "WorstCase",
    "entrm_front",
    "evaluate",
    "evaluate_entrm",
    "moments",
    "nested",
    "optimize_cvar",
    "optimize_evar",
    "optimize_threshold",
    "optimize_var",
    "simulate",
    "solve",
    "solve_entrm",
    "worst_case_model",
]
