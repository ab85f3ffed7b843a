"""How to spoil what each claim of the audit is about: one slip in the implementation for each.

The kernels are compiled; what is spoiled are the numbers that they are given, and what is made of their results. A statistical
claim of level 0.2 is broken within 60 trials only by a rate above 0.37, and the proved rules err far less often than they may:
there only slips that take away most of the caution are caught, as the comments say.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

import ailys.bandits.abtest as abtest
import ailys.bandits.complexity as complexity
import ailys.bandits.graph_identification as graph_identification
import ailys.bandits.graph_regret as graph_regret
import ailys.bandits.identification as identification
import ailys.bandits.intervals as intervals
import ailys.bandits.levelsets as levelsets
import ailys.bandits.optimizers as optimizers
import ailys.bandits.pac as pac
import ailys.bandits.planning as planning
import ailys.bandits.policies as policies
import ailys.bandits.runningtest as runningtest
import ailys.bandits.simulation as simulation
from ailys.bandits import _policy_kernels as policy_kernels
from ailys.bandits._evidence_kernels import log_factor
from ailys.bandits.discovery import GoodUCB


def sign_of_the_logarithm(monkeypatch):
    """``ln delta`` for ``ln(1 / delta)`` in the thresholds; coarse: half of the caution is left in the regret of the mixture."""
    honest = identification.threshold_constants
    monkeypatch.setattr(identification, "threshold_constants", lambda *given: honest(*given) - 8.0)


def level_of_the_mixture_forgotten(monkeypatch):
    """An arm is settled by a tenth of the evidence that it needs; coarse: a third is not seen."""
    honest = levelsets.arm_level
    monkeypatch.setattr(levelsets, "arm_level", lambda *given: honest(*given) / 10)


def confidence_for_alpha(monkeypatch):
    """``1 - alpha`` where alpha belongs; coarse: three times alpha is not seen, since these tests spend half of it."""
    honest = planning.trial_until
    spoiled = lambda means, share, clip, alpha, *rest: honest(means, share, clip, 1 - alpha, *rest)  # noqa: E731
    monkeypatch.setattr(planning, "trial_until", spoiled)


def outcome_already_known(monkeypatch):
    """The estimates that a bet is made with contain the outcome bet on."""
    honest = runningtest.log_factor

    def spoiled(arm, y, chances, counts, sums, greater):
        mine = np.arange(len(counts)) == arm
        return honest(arm, y, chances, counts + mine, sums + y * mine, greater)

    monkeypatch.setattr(runningtest, "log_factor", spoiled)


def outcomes_already_known(monkeypatch):
    """The same in a table of trials, and half of the regret of the mixture in totals."""

    def label_path(arms, outcomes, chances, n_arms, greater, path):
        counts, sums, total = np.zeros(n_arms), np.zeros(n_arms), 0.0
        for i, arm in enumerate(arms):
            counts[arm] += 1
            sums[arm] += outcomes[i]
            total += log_factor(arm, outcomes[i], chances[i if len(chances) > 1 else 0], counts, sums, greater)
            path[i] = total

    def category_path(arms, outcomes, chances, n_arms, n_categories, path):
        seen, total = np.full((n_arms, n_categories), 0.5), 0.0
        for i, arm in enumerate(arms):
            seen[arm, outcomes[i]] += 1
            f = seen[:, outcomes[i]] / seen.sum(axis=1)
            total += math.log(f[arm] / (chances[i if len(chances) > 1 else 0] @ f))
            path[i] = total

    honest = abtest.mixture_regret
    monkeypatch.setattr(abtest, "label_path", label_path)
    monkeypatch.setattr(abtest, "category_path", category_path)
    monkeypatch.setattr(abtest, "mixture_regret", lambda *given: 0.5 * honest(*given))


def one_look_only(monkeypatch):
    """Intervals that hold at one time, at the level of one side: the regrets of the mixtures are left out."""
    monkeypatch.setattr(intervals, "mixture_log_regret", lambda total, n, family: 0.0 * n)
    monkeypatch.setattr(intervals, "mixture_regret", lambda *given: 0.0)
    monkeypatch.setattr(
        intervals, "normal_mixture_radius", lambda n, alpha, sigma: sigma * np.sqrt(2 * np.log(1 / alpha) / n)
    )


def weights_not_optimal(monkeypatch):
    """A thousandth of the weights is shared out evenly."""
    honest = complexity.map_oracle

    def spoiled(means, eps, code, sigma, weights, times, best):
        honest(means, eps, code, sigma, weights, times, best)
        weights[:] = 0.999 * weights + 0.001 / weights.shape[1]

    monkeypatch.setattr(complexity, "map_oracle", spoiled)


def time_too_long(monkeypatch):
    """The characteristic time is 1 % too large."""
    honest = complexity.map_oracle

    def spoiled(means, eps, code, sigma, weights, times, best):
        honest(means, eps, code, sigma, weights, times, best)
        times *= 1.01

    monkeypatch.setattr(complexity, "map_oracle", spoiled)


def one_answer_believed(monkeypatch):
    """The bound for a single right answer is stated where several are right, as it was before this claim was written."""
    honest = complexity.OracleWeights.guarantee.fget
    monkeypatch.setattr(
        complexity.OracleWeights, "guarantee", property(lambda answer: honest(replace(answer, n_right=1)))
    )


def constant_too_large(monkeypatch):
    """The constant of Lai and Robbins is 0.1 % too large."""
    honest = simulation.lai_robbins
    monkeypatch.setattr(simulation, "lai_robbins", lambda *given: 1.001 * honest(*given))


def explores_like_ucb1(monkeypatch):
    """All policies explore with the width of UCB1 instead of their divergence."""
    honest = simulation.play_compiled

    def spoiled(agent, *rest):
        agent.policy, agent._params = policy_kernels.UCB, np.array([1.0, 0.0, 0.0])
        return honest(agent, *rest)

    monkeypatch.setattr(simulation, "play_compiled", spoiled)


def variance_for_deviation(monkeypatch):
    """The width of MOSS has ``(2 sigma)^2`` for sigma; coarse: a width twice too large costs less than the constant allows."""
    honest = policies.MOSS._kernel_parameters

    def spoiled(agent):
        sigma, horizon = honest(agent)
        return 4 * sigma**2, horizon

    monkeypatch.setattr(policies.MOSS, "_kernel_parameters", spoiled)


def time_off_by_one(monkeypatch):
    """Live policies take the time one round late."""
    honest = policies.CompiledPolicy._choose

    def spoiled(agent):
        agent.t += 1
        arm = honest(agent)
        agent.t -= 1
        return arm

    monkeypatch.setattr(policies.CompiledPolicy, "_choose", spoiled)


def posterior_not_restored(monkeypatch):
    """What a policy adds to its state is not read back; only Thompson's posterior shows it."""
    monkeypatch.setattr(policies.CompiledPolicy, "_restore", lambda agent, extra: None)


def bonus_too_small(monkeypatch):
    """The missing mass is bounded with an eighth of the bonus; coarse: the bound holds at all times and for all experts."""
    honest = GoodUCB.missing_mass_bound

    def spoiled(agent, delta=0.05):
        estimate = agent._own_once / np.maximum(agent.counts, 1)
        return np.where(agent.counts > 0, estimate + (honest(agent, delta) - estimate) / 8, 1.0)

    monkeypatch.setattr(GoodUCB, "missing_mass_bound", spoiled)


def widths_not_added(monkeypatch):
    """The bound of the regret forgets its factor 2 and the square root of the dimension; coarse: it is loose by a factor of ten."""
    honest = graph_regret.SpectralUCB._choose

    def spoiled(agent):
        before = agent.regret_bound
        arm = honest(agent)
        agent.regret_bound = before + (agent.regret_bound - before) / 20
        return arm

    monkeypatch.setattr(graph_regret.SpectralUCB, "_choose", spoiled)


def eliminates_too_soon(monkeypatch):
    """The radius of the elimination is a twentieth of what is proved; coarse for the same reason."""
    honest = graph_regret.SpectralEliminator._drop

    def spoiled(agent):
        noise, size = agent.noise, agent.C
        agent.noise, agent.C = noise / 20, size / 20
        honest(agent)
        agent.noise, agent.C = noise, size

    monkeypatch.setattr(graph_regret.SpectralEliminator, "_drop", spoiled)


def evidence_too_large(monkeypatch):
    """Fifteen nats too much in the evidence; coarse: eight are not seen."""
    honest = graph_identification.SpectralTaS.evidence

    def spoiled(agent):
        best, evidence = honest(agent)
        return best, evidence + 15.0

    monkeypatch.setattr(graph_identification.SpectralTaS, "evidence", spoiled)


def cells_too_small(monkeypatch):
    """The size of a cell is 10 % too small."""
    honest = optimizers.DOO._slack
    monkeypatch.setattr(optimizers.DOO, "_slack", lambda search, cell: 0.9 * honest(search, cell))


def gap_too_small(monkeypatch):
    """The gap stated is a tenth of the certificate; coarse: upper bounds of many cells have to hold at once."""
    honest = pac.PACOptimizer.certificate
    monkeypatch.setattr(pac.PACOptimizer, "certificate", lambda search: 0.1 * honest(search))


SPOILS = {
    "delta-correct": sign_of_the_logarithm,
    "epsilon-best": sign_of_the_logarithm,
    "level-sets": level_of_the_mixture_forgotten,
    "anytime-type-1": confidence_for_alpha,
    "adaptive-type-1": outcome_already_known,
    "ab-test": outcomes_already_known,
    "intervals": one_look_only,
    "oracle-weights": weights_not_optimal,
    "lower-bound": time_too_long,
    "several-answers": one_answer_believed,
    "regret-constant": constant_too_large,
    "regret-growth": explores_like_ucb1,
    "regret-worst-case": variance_for_deviation,
    "one-definition": time_off_by_one,
    "states": posterior_not_restored,
    "missing-mass": bonus_too_small,
    "graph-regret": widths_not_added,
    "graph-elimination": eliminates_too_soon,
    "graph-best-node": evidence_too_large,
    "certified-gap": cells_too_small,
    "pac-optimum": gap_too_small,
}
