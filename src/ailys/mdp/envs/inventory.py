"""An inventory: order, sell what is there, pay for what is left."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from ..model import TabularMDP
from .base import TableEnv, number, whole

__all__ = ["Inventory"]


class Inventory(TableEnv):
    """Items in stock, an order a day, a random demand.

    The observation is the stock, the action the number of items ordered; an order that does not fit is cut to
    what does (the table of `to_mdp` forbids it). With y items after the order and demand d, min(y, d) are
    sold; the reward is ``price * sold - cost * ordered - order_cost [ordered > 0] - holding * left``.

    Parameters
    ----------
    capacity : largest stock
    demand : mean of the Poisson demand; what exceeds the capacity is counted as the capacity, which changes no sale
    price, cost, order_cost, holding : as above
    horizon : number of days, at the end of which the stock is worth nothing
    start : first stock

    Raises
    ------
    ValueError
        a parameter outside its range; the sentence names it

    Examples
    --------
    >>> env = Inventory()
    >>> env.reset(seed=1)[0]
    0
    >>> env.to_mdp()
    TabularMDP(11 states, 11 actions, 506 outcomes, horizon 15)
    """

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(
        self,
        capacity: int = 10,
        demand: float = 3.0,
        price: float = 4.0,
        cost: float = 2.0,
        order_cost: float = 3.0,
        holding: float = 1.0,
        horizon: int = 15,
        start: int = 0,
    ) -> None:
        self.capacity, self.horizon = whole(capacity, "capacity"), whole(horizon, "horizon")
        self.demand = number(demand, "demand", 0)
        self.price, self.cost = number(price, "price"), number(cost, "cost")
        self.order_cost, self.holding = number(order_cost, "order_cost"), number(holding, "holding")
        self.start = whole(start, "start", 0)
        if self.start > self.capacity:
            raise ValueError(f"start must be at most the capacity, {self.capacity}; got {start}")
        self.observation_space = spaces.Discrete(self.capacity + 1)
        self.action_space = spaces.Discrete(self.capacity + 1)
        self._stock = self.start

    def demand_law(self) -> np.ndarray:
        """(capacity + 1,) probabilities of the demands 0, 1, ..., capacity or more."""
        from scipy.stats import poisson

        law = poisson.pmf(np.arange(self.capacity + 1), self.demand)
        law[-1] = poisson.sf(self.capacity - 1, self.demand)
        return law

    def profit(self, stock: int, order: int, demand: int) -> tuple[int, float]:
        """Stock left and reward of a day."""
        available = stock + order
        sold = min(available, demand)
        left = available - sold
        return left, self.price * sold - self.cost * order - self.order_cost * (order > 0) - self.holding * left

    def to_mdp(self, cut: bool = False) -> TabularMDP:
        """The exact law; orders above the free room are forbidden, or cut to it as in the environment (``cut=True``)."""
        law = self.demand_law()
        rows: list[list[Any]] = []
        for stock in range(self.capacity + 1):
            actions: list[Any] = []
            for order in range(self.capacity + 1):
                merged: dict[tuple[int, float], float] = {}
                for demand, p in enumerate(law):
                    if cut or order <= self.capacity - stock:
                        key = self.profit(stock, min(order, self.capacity - stock), demand)
                        merged[key] = merged.get(key, 0.0) + float(p)
                actions.append([(p, n, r) for (n, r), p in merged.items()])
            rows.append(actions)
        return TabularMDP.from_outcomes(rows, horizon=self.horizon, initial=self.start)

    def _begin(self) -> int:
        self._stock = self.start
        return self._stock

    def _step(self, action: int) -> tuple[int, float, bool]:
        order = min(action, self.capacity - self._stock)
        demand = int(self.np_random.poisson(self.demand))
        self._stock, reward = self.profit(self._stock, order, demand)
        return self._stock, reward, False
