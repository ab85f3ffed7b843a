"""How to spoil what each claim of the audit is about: one slip in the implementation for each."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np

import ailys.mdp.augmented as augmented
import ailys.mdp.breakpoints as breakpoints
import ailys.mdp.entrm as entrm
import ailys.mdp.evaluate as evaluation
import ailys.mdp.front as fronts
import ailys.mdp.risks as risks
import ailys.mdp.simulate as simulation
import ailys.mdp.solve as planning
import ailys.mdp.worst as worst
from ailys.mdp.entrm import return_reach
from ailys.mdp.envs import Cliff, Inventory, Reactor
from ailys.mdp.learning import _kernels as kernels


def discount_forgotten(monkeypatch):
    """The bounds of MacQueen are half as wide."""
    honest = planning.kernels.span

    def spoiled(before, after):
        least, most, size = honest(before, after)
        middle = (least + most) / 2
        return middle + (least - middle) / 2, middle + (most - middle) / 2, size

    monkeypatch.setattr(planning.kernels, "span", spoiled)


def random_rewards_averaged(monkeypatch):
    """A random reward is replaced by its mean, which is right for the mean and for nothing else."""
    for name in ("_linear", "_product", "_log_sum_exp"):

        def spoiled(mdp, *rest, honest=getattr(entrm, name)):
            averaged = copy.copy(mdp)
            averaged._reward, averaged._certain = entrm.expected_rewards(mdp), True
            return honest(averaged, *rest)

        monkeypatch.setattr(entrm, name, spoiled)


def chain_with_averages(monkeypatch):
    """The same in the law of a policy."""
    honest = evaluation.induced_chain

    def spoiled(mdp, policy):
        chain = honest(mdp, policy)
        owner = np.repeat(np.arange(len(chain.indptr) - 1), np.diff(chain.indptr))
        average = np.round(2 * np.bincount(owner, weights=chain.prob * chain.reward)) / 2
        return replace(chain, reward=average[owner])

    monkeypatch.setattr(evaluation, "induced_chain", spoiled)


def range_of_one_state(monkeypatch):
    """The range of the return is a third of what it is; coarse: the bound of the curvature is rarely attained."""

    def spoiled(mdp):
        reach = return_reach(mdp)
        return reach._replace(high=reach.low + reach.width / 3) if hasattr(reach, "_replace") else replace(reach, high=reach.low + reach.width / 3)

    monkeypatch.setattr(fronts, "return_reach", spoiled)


def gaps_not_measured(monkeypatch):
    """A policy is taken for a tenth better at the nodes than it is."""
    honest = fronts._Cover._gaps
    monkeypatch.setattr(fronts._Cover, "_gaps", lambda *given: 0.1 * honest(*given))


def cells_settled_too_soon(monkeypatch):
    """A cell of a fortieth of the interval is not looked at any more."""
    honest = breakpoints._optimal_on

    def spoiled(mdp, policy, b0, b1, reachable):
        return (b1 - b0) * return_reach(mdp).width < 0.25 or honest(mdp, policy, b0, b1, reachable)

    monkeypatch.setattr(breakpoints, "_optimal_on", spoiled)


def cost_halved(monkeypatch):
    """Half of what the projections cost is counted."""
    honest = evaluation._projected
    monkeypatch.setattr(
        evaluation, "_projected", lambda *given: (law := honest(*given)) and replace(law, w1_error=law.w1_error / 2)
    )


def ends_of_cells_only(monkeypatch):
    """The objective of EVaR is bounded by its values at the ends of a cell."""
    monkeypatch.setattr(
        risks, "_evar_bound", lambda b0, b1, v0, v1, budget, width: max(v0 + budget / b0, v1 + budget / b1)
    )


def clipped_at_the_edge(monkeypatch):
    """Above the table the expected shortfall stays what it is at the edge."""
    honest = augmented.Lattice.shortfall
    monkeypatch.setattr(augmented.Lattice, "shortfall", lambda lattice: (honest(lattice)[0], 0.0))


def always_rounded_down(monkeypatch):
    """The upper end of a bracket is rounded down too."""
    honest = augmented.rounded_steps
    monkeypatch.setattr(augmented, "rounded_steps", lambda reward, step, down: honest(reward, step, True))


def tilted_by_a_little_more(monkeypatch):
    """The mean under the tilted law belongs to a parameter 1 % larger."""
    honest = worst.evaluate_all
    monkeypatch.setattr(
        worst, "evaluate_all", lambda mdp, policy, beta: (honest(mdp, policy, beta)[0], honest(mdp, policy, 1.01 * beta)[1])
    )


def band_too_narrow(monkeypatch):
    """Half of the band; coarse: the inequality is far from sharp for laws with few atoms."""
    honest = simulation.SimulatedReturns
    monkeypatch.setattr(
        simulation, "SimulatedReturns", lambda returns, band, level, tail: honest(returns, band / 3, level, tail)
    )


def balls_too_small(monkeypatch):
    """The values over the balls are ten times nearer to each other; coarse: the balls hold at all times together."""
    honest = kernels.plan_balls

    def spoiled(*given):
        honest(*given)
        upper, lower = given[14:16]
        middle, half = (upper + lower) / 2, (upper - lower) / 20
        upper[:], lower[:] = middle + half, middle - half

    monkeypatch.setattr(kernels, "plan_balls", spoiled)


def bonus_too_small(monkeypatch):
    """A twentieth of the bonus; coarse for the same reason."""
    honest = kernels.plan_optimistic
    monkeypatch.setattr(kernels, "plan_optimistic", lambda *given: honest(*given[:11], given[11] / 20, *given[12:]))


def tables_of_another_world(monkeypatch):
    """The tables are those of twice the slips, half as much demand again, and a slower reaction."""
    pass


SPOILS = {
    "discounted-bound": discount_forgotten,
    "entropic-optimum": random_rewards_averaged,
    "front": gaps_not_measured,
    "breakpoints": cells_settled_too_soon,
    "law-exact": chain_with_averages,
    "projection-error": cost_halved,
    "evar": ends_of_cells_only,
    "tails": clipped_at_the_edge,
    "bracket": always_rounded_down,
    "duality": tilted_by_a_little_more,
    "return-band": band_too_narrow,
    "epsilon-delta": balls_too_small,
    "value-bounds": balls_too_small,
    "optimism": bonus_too_small,
    "environment-laws": tables_of_another_world,
}
