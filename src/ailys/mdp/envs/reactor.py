"""A batch reactor: A -> B -> C, and B is what one wants."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from ..model import TabularMDP
from .base import TableEnv, number, whole

__all__ = ["Reactor"]

GAS_CONSTANT = 8.314462618  # J / (mol K)
QUENCH = 2


class Reactor(TableEnv):
    """Consecutive first-order reactions of single molecules, with two temperatures and a quench.

    Actions: 0 hold for ``dt`` at the first temperature, 1 at the second, 2 quench: the reaction stops, the
    reward is the number of B molecules. A hold costs ``hold_cost``. After ``horizon`` decisions comes one more
    stage, in which every action is a quench. The rate of a reaction is ``A exp(-E / (R T))``.

    The observation numbers the pairs (nA, nB): ``index(nA, nB)``; the last number is the end.

    Parameters
    ----------
    n_molecules : molecules, all A at the start
    horizon : number of decisions before the forced quench
    temperatures : two temperatures in kelvin
    factors : pre-exponential factors of A -> B and B -> C, 1/s
    energies : activation energies of both, J/mol
    dt : duration of a hold, s
    hold_cost : cost of a hold at either temperature

    Raises
    ------
    ValueError
        a parameter outside its range; the sentence names it

    Examples
    --------
    >>> env = Reactor()
    >>> [round(k, 6) for k in env.rates(320.0)]
    [0.387238, 0.21056]
    >>> env.to_mdp().n_states
    92
    """

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(
        self,
        n_molecules: int = 12,
        horizon: int = 12,
        temperatures: Sequence[float] = (320.0, 350.0),
        factors: Sequence[float] = (2e5, 2e8),
        energies: Sequence[float] = (35e3, 55e3),
        dt: float = 1.0,
        hold_cost: Sequence[float] = (0.02, 0.05),
    ) -> None:
        self.n_molecules = whole(n_molecules, "n_molecules")
        self.n_decisions = whole(horizon, "horizon")
        self.horizon = self.n_decisions + 1  # and the forced quench
        self.temperatures = _pair(temperatures, "temperatures", 1e-9)
        self.factors, self.energies = _pair(factors, "factors", 0), _pair(energies, "energies", 0)
        self.dt, self.hold_cost = number(dt, "dt", 0), _pair(hold_cost, "hold_cost", 0)
        n = self.n_molecules
        self.pairs = [(a, b) for a in range(n, -1, -1) for b in range(n - a + 1)]
        self._index = {pair: i for i, pair in enumerate(self.pairs)}
        self.end = len(self.pairs)
        self.observation_space = spaces.Discrete(self.end + 1)
        self.action_space = spaces.Discrete(3)
        self._state = (n, 0)

    def index(self, n_a: int, n_b: int) -> int:
        """The number of the state with so many A and B; ``index(n_molecules, 0)`` is 0, the start."""
        return self._index[n_a, n_b]

    def rates(self, temperature: float) -> tuple[float, float]:
        """Rates of A -> B and B -> C at a temperature, 1/s."""
        k1, k2 = (
            a * math.exp(-e / (GAS_CONSTANT * temperature)) for a, e in zip(self.factors, self.energies, strict=True)
        )
        return k1, k2

    def fates(self, temperature: float) -> tuple[tuple[float, float, float], float]:
        """What becomes of an A (stays, B, C), and the probability that a B stays, during a hold."""
        k1, k2 = self.rates(temperature)
        stays = math.exp(-k1 * self.dt)
        # k1 (e^{-k1 t} - e^{-k2 t}) / (k2 - k1), with its limit k1 t e^{-k1 t} when the rates agree
        difference = (k2 - k1) * self.dt
        ratio = 1.0 if difference == 0 else -math.expm1(-difference) / difference
        to_b = k1 * self.dt * stays * ratio
        return (stays, to_b, max(0.0, 1 - stays - to_b)), math.exp(-k2 * self.dt)

    def best_batch(self, temperature: float) -> tuple[float, float]:
        """Best time and yield of B per molecule at a fixed temperature, by the rate equations.

        Examples
        --------
        >>> [round(v, 4) for v in Reactor().best_batch(320.0)]
        [3.4485, 0.4838]
        """
        k1, k2 = self.rates(temperature)
        if k1 == k2:
            return 1 / k1, math.exp(-1)
        return math.log(k1 / k2) / (k1 - k2), (k1 / k2) ** (k2 / (k2 - k1))

    def to_mdp(self) -> TabularMDP:
        """The exact law: ``horizon + 1`` stages, in the last of which every action is a quench."""
        from scipy.stats import binom

        quench = [[(1.0, self.end, float(b))] for _, b in self.pairs]
        holds: list[list[list[tuple[float, int, float]]]] = []
        for temperature, cost in zip(self.temperatures, self.hold_cost, strict=True):
            (stay, to_b, _), b_stays = self.fates(temperature)
            share = to_b / (1 - stay) if stay < 1 else 0.0  # of the A that react, those that are B at the end
            rows = []
            for a, b in self.pairs:
                left = binom.pmf(np.arange(a + 1), a, stay)
                old = binom.pmf(np.arange(b + 1), b, b_stays)
                row = []
                for n_a in range(a + 1):
                    new = binom.pmf(np.arange(a - n_a + 1), a - n_a, share)
                    law = left[n_a] * np.convolve(new, old)
                    row += [(float(p), self._index[n_a, n_b], -cost) for n_b, p in enumerate(law) if p > 0]
                mass = sum(p for p, _, _ in row)
                rows.append([(p / mass, n, r) for p, n, r in row])
            holds.append(rows)
        ended = [[(1.0, self.end, 0.0)]] * 3
        free = [[holds[0][i], holds[1][i], quench[i]] for i in range(self.end)]
        forced = [[quench[i]] * 3 for i in range(self.end)]
        start = self._index[self.n_molecules, 0]
        options: dict[str, Any] = {"horizon": 1, "initial": start, "terminal": [self.end]}
        stages = [TabularMDP.from_outcomes([*rows, ended], **options) for rows in (free, forced)]
        labels = (*self.pairs, "end")
        return TabularMDP.from_stages([stages[0]] * self.n_decisions + [stages[1]], terminal=[self.end], labels=labels)

    def _begin(self) -> int:
        self._state = (self.n_molecules, 0)
        return self._index[self._state]

    def _step(self, action: int) -> tuple[int, float, bool]:
        a, b = self._state
        if action == QUENCH or self.stage == self.n_decisions:
            return self.end, float(b), True
        law, b_stays = self.fates(self.temperatures[action])
        n_a, new, _ = self.np_random.multinomial(a, law)
        old = self.np_random.binomial(b, b_stays)
        self._state = (int(n_a), int(new + old))
        return self._index[self._state], -self.hold_cost[action], False


def _pair(values: Sequence[float], name: str, low: float) -> tuple[float, float]:
    if np.shape(values) != (2,):
        raise ValueError(f"{name} must be two numbers; got {values!r}")
    return number(values[0], f"{name}[0]", low), number(values[1], f"{name}[1]", low)
