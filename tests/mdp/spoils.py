"""How to spoil what each claim of the audit is about: one slip in the implementation for each."""

from __future__ import annotations

import copy
from dataclasses import replace
from importlib import import_module

import numpy as np

import ailys.mdp.augmented as augmented
import ailys.mdp.breakpoints as breakpoints
import ailys.mdp.entrm as entrm
import ailys.mdp.front as fronts
import ailys.mdp.total as total
import ailys.mdp.worst as worst
from ailys.mdp.entrm import return_reach
from ailys.mdp.envs import Cliff, Inventory, Reactor
from ailys.mdp.learning import _kernels as kernels

# the functions hide the modules of the same name
evaluation, planning, simulation = (import_module(f"ailys.mdp.{name}") for name in ("evaluate", "solve", "simulate"))


def discount_forgotten(monkeypatch):
    """The bounds of MacQueen are half as wide."""
    honest = planning.Blocks.backup

    def spoiled(*given):
        least, most, size = honest(*given)
        middle = (least + most) / 2
        return middle + (least - middle) / 2, middle + (most - middle) / 2, size

    monkeypatch.setattr(planning.Blocks, "backup", spoiled)


def random_rewards_averaged(monkeypatch):
    """A random reward is replaced by its mean, which is right for the mean and for nothing else."""

    def spoiling(honest):
        def spoiled(mdp, *rest):
            averaged = copy.copy(mdp)
            averaged._reward, averaged._certain = entrm.expected_rewards(mdp), True
            return honest(averaged, *rest)

        return spoiled

    for name in ("_linear", "_product", "_log_sum_exp"):
        monkeypatch.setattr(entrm, name, spoiling(getattr(entrm, name)))


def total_with_averages(monkeypatch):
    """The same for sums without a horizon."""
    honest = total.solve_total

    def spoiled(mdp, beta):
        averaged = copy.copy(mdp)
        averaged._reward, averaged._certain = entrm.expected_rewards(mdp), True
        return honest(averaged, beta)

    monkeypatch.setattr(total, "solve_total", spoiled)


def chain_with_averages(monkeypatch):
    """The same in the law of a policy."""
    honest = evaluation.induced_chain

    def spoiled(mdp, policy):
        chain = honest(mdp, policy)
        owner = np.repeat(np.arange(len(chain.indptr) - 1), np.diff(chain.indptr))
        average = np.round(2 * np.bincount(owner, weights=chain.prob * chain.reward)) / 2
        return replace(chain, reward=average[owner])

    monkeypatch.setattr(evaluation, "induced_chain", spoiled)


def gaps_not_measured(monkeypatch):
    """A policy is taken for a tenth better at the nodes than it is."""
    honest = fronts._Cover._gaps
    monkeypatch.setattr(fronts._Cover, "_gaps", lambda *given: 0.1 * honest(*given))


def cells_settled_too_soon(monkeypatch):
    """A cell of a fifth of the interval is not looked at any more."""
    honest = breakpoints._optimal_on

    def spoiled(mdp, policy, b0, b1, reachable):
        return (b1 - b0) * return_reach(mdp).width < 2.6 or honest(mdp, policy, b0, b1, reachable)

    monkeypatch.setattr(breakpoints, "_optimal_on", spoiled)


def cost_halved(monkeypatch):
    """Half of what the projections cost is counted."""
    honest = evaluation._projected
    monkeypatch.setattr(
        evaluation, "_projected", lambda *given: (law := honest(*given)) and replace(law, w1_error=law.w1_error / 2)
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
        worst,
        "evaluate_all",
        lambda mdp, policy, beta: (honest(mdp, policy, beta)[0], honest(mdp, policy, 1.01 * beta)[1]),
    )


def band_too_narrow(monkeypatch):
    """A third of the band; coarse: the inequality is far from sharp for laws with few atoms."""
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
    """A hundredth of the bonus; coarse for the same reason: a twentieth errs in one trial of six."""
    honest = kernels.plan_optimistic
    monkeypatch.setattr(kernels, "plan_optimistic", lambda *given: honest(*given[:11], given[11] / 100, *given[12:]))


def tables_of_another_world(monkeypatch):
    """Up and down confused on the Cliff, a demand one larger, and a reaction that is too slow."""
    direction, demand, table = Cliff.direction_law, Inventory.demand_law, Reactor.to_mdp

    def slower(reactor):
        other = copy.copy(reactor)
        other.dt = 0.7 * reactor.dt
        return table(other)

    monkeypatch.setattr(Cliff, "direction_law", lambda cliff, action: direction(cliff, action)[[2, 1, 0, 3]])
    monkeypatch.setattr(Inventory, "demand_law", lambda env: np.roll(demand(env), 1))
    monkeypatch.setattr(Reactor, "to_mdp", slower)


SPOILS = {
    "discounted-bound": discount_forgotten,
    "entropic-optimum": random_rewards_averaged,
    "total-optimum": total_with_averages,
    "front": gaps_not_measured,
    "breakpoints": cells_settled_too_soon,
    "law-exact": chain_with_averages,
    "projection-error": cost_halved,
    "evar": random_rewards_averaged,
    "tails": clipped_at_the_edge,
    "bracket": always_rounded_down,
    "duality": tilted_by_a_little_more,
    "return-band": band_too_narrow,
    "epsilon-delta": balls_too_small,
    "value-bounds": balls_too_small,
    "optimism": bonus_too_small,
    "environment-laws": tables_of_another_world,
}
