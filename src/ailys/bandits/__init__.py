"""Sequential learning: tests that may be watched, best arms, discovery, graphs of arms, black boxes.

Problem: an experiment whose next step may depend on what has been seen: which arm to draw, which patient gets which drug, which
expert to ask, where to evaluate a function.
Method: a sampling rule (`ask`), a stopping rule (`should_stop`), a recommendation (`recommend`), one definition for live
use and for simulation.
Guarantee: answers that are wrong with probability at most delta whenever the rule stops; evidence and intervals that hold
at all times together; bounds of regret, of missed discoveries, of the gap to a maximum.
Source: the papers cited in each module, and the page of the documentation.

>>> from ailys.bandits import Arms, DTracking, run
>>> experiment = run(DTracking(3, delta=0.05, rng=0), Arms([0.2, 0.3, 0.8], rng=0), max_steps=10_000)
>>> answer = experiment.agent.recommend()
>>> answer.action, answer.guarantee.kind
(2, 'delta-correct')
"""

from __future__ import annotations

from .abtest import ABTestResult, ab_test
from .agent import Agent, Recommendation
from .averaging import StoSOO, StroquOOL
from .clinical import ThompsonTrial, prob_best
from .complexity import OracleWeights, characteristic_time, oracle_weights, sample_lower_bound
from .discovery import PROOF_CONSTANT, DiscoveryResult, GoodUCB, discover, macroscopic_discoveries
from .environment import Arms, Trajectory, run
from .families import Family, as_family, kl_divergence, kl_lower, kl_upper, lai_robbins, mixture_log_regret
from .graph import effective_dimension, laplacian, smoothness
from .graph_identification import SpectralTaS, best_responses, spectral_characteristic_time
from .graph_regret import SpectralEliminator, SpectralTS, SpectralUCB
from .identification import (
    EBTCI,
    KLLUCB,
    T3C,
    TTTS,
    TTUCB,
    ChernoffRacing,
    CTracking,
    DTracking,
    FrankWolfeSampling,
    GradientAscentSampling,
    IdentificationAgent,
    IdentificationReport,
    KLRacing,
    StickyTrackAndStop,
    UniformSampling,
)
from .identification_simulation import IdentificationResult, simulate_identification
from .intervals import confidence_sequence, effect_interval
from .levelsets import APT, LevelSet, MinimumTest, level_set_time, minimum_test_time
from .maximize import Objective, OptimizeResult, as_objective, maximize
from .optimizers import DOO, SOO, SequOOL
from .pac import PACOptimizer
from .planning import ABTestPlan, plan_ab_test
from .policies import (
    IMED,
    KLUCB,
    MOSS,
    UCB,
    BayesUCB,
    EmpiricalIMED,
    EmpiricalKLUCB,
    KLUCBpp,
    KLUCBSwitch,
    PolicyResult,
    Thompson,
)
from .runningtest import ABTest
from .simulation import RegretResult, simulate
from .thresholds import glr_statistic, glr_threshold
from .treebandits import HCT, HOO, POO

__all__ = [
    "ABTest",
    "ABTestPlan",
    "ABTestResult",
    "APT",
    "Agent",
    "Arms",
    "BayesUCB",
    "CTracking",
    "ChernoffRacing",
    "DOO",
    "DTracking",
    "DiscoveryResult",
    "EBTCI",
    "EmpiricalIMED",
    "EmpiricalKLUCB",
    "Family",
    "FrankWolfeSampling",
    "GoodUCB",
    "GradientAscentSampling",
    "HCT",
    "HOO",
    "IMED",
    "IdentificationAgent",
    "IdentificationReport",
    "IdentificationResult",
    "KLLUCB",
    "KLRacing",
    "KLUCB",
    "KLUCBSwitch",
    "KLUCBpp",
    "LevelSet",
    "MOSS",
    "MinimumTest",
    "Objective",
    "OptimizeResult",
    "OracleWeights",
    "PACOptimizer",
    "POO",
    "PROOF_CONSTANT",
    "PolicyResult",
    "Recommendation",
    "RegretResult",
    "SOO",
    "SequOOL",
    "SpectralEliminator",
    "SpectralTS",
    "SpectralTaS",
    "SpectralUCB",
    "StickyTrackAndStop",
    "StoSOO",
    "StroquOOL",
    "T3C",
    "TTTS",
    "TTUCB",
    "Thompson",
    "ThompsonTrial",
    "Trajectory",
    "UCB",
    "UniformSampling",
    "ab_test",
    "as_family",
    "as_objective",
    "best_responses",
    "characteristic_time",
    "confidence_sequence",
    "discover",
    "effect_interval",
    "effective_dimension",
    "glr_statistic",
    "glr_threshold",
    "kl_divergence",
    "kl_lower",
    "kl_upper",
    "lai_robbins",
    "laplacian",
    "level_set_time",
    "macroscopic_discoveries",
    "maximize",
    "minimum_test_time",
    "mixture_log_regret",
    "oracle_weights",
    "plan_ab_test",
    "prob_best",
    "run",
    "sample_lower_bound",
    "simulate",
    "simulate_identification",
    "smoothness",
    "spectral_characteristic_time",
]

# agents by the name that their states carry
AGENTS: dict[str, type[Agent]] = {
    kind.__name__: kind
    for kind in (
        *(UCB, MOSS, KLUCB, KLUCBpp, KLUCBSwitch, BayesUCB, Thompson, IMED, EmpiricalKLUCB, EmpiricalIMED),
        *(
            DTracking,
            CTracking,
            StickyTrackAndStop,
            FrankWolfeSampling,
            GradientAscentSampling,
            TTTS,
            T3C,
            EBTCI,
            TTUCB,
        ),
        *(KLLUCB, KLRacing, ChernoffRacing, UniformSampling, LevelSet, APT, MinimumTest, ABTest),
        *(SpectralUCB, SpectralTS, SpectralEliminator, SpectralTaS),
    )
}
