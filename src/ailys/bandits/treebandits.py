"""Bandits on a tree of cells: HOO and HCT descend by upper bounds, POO runs several smoothnesses side by side."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import _tree_kernels as kernels
from .agent import check_number
from .complexity import check_delta
from .optimizers import check_budget, check_value
from .partition import check_bounds

__all__ = ["HCT", "HOO", "POO"]


class _TreeBandit:
    """Base: arrays of the kernels, one sample at a time. Values are meant to have noise in an interval of length ``scale``.

    Examples
    --------
    >>> from ailys.bandits import HCT
    >>> search = HCT((0, 1))
    >>> for _ in range(20):
    ...     point = search.ask()
    ...     search.tell(1 - abs(point - 0.5))
    >>> search.t
    20
    """

    def __init__(
        self, bounds: Any, nu: float, rho: float, width: float, horizon: float, depth: float, arity: int, kind: float
    ) -> None:
        self.bounds, self._single = check_bounds(bounds)
        self.nu, self.rho = check_number(nu, "nu", strict=True), check_number(rho, "rho", strict=True)
        if rho >= 1:
            raise ValueError(f"rho must lie strictly between 0 and 1; got {rho!r}")
        if isinstance(arity, bool) or not isinstance(arity, (int, np.integer)) or arity < 2:
            raise ValueError(f"arity must be a whole number >= 2; got {arity!r}")
        d = len(self.bounds)
        self._scales = np.array([b - a for a, b in self.bounds])
        self._params = np.array([nu, rho, width, horizon, depth, float(arity), kind])
        self._cells = np.zeros((64, 3 + 2 * d))
        self._links = np.zeros((64, 4), np.int64)
        self._cells[0, 3 : 3 + d] = [a for a, _ in self.bounds]
        self._cells[0, 3 + d :] = [b for _, b in self.bounds]
        self._cells[0, 1:3] = np.inf
        self._links[0, 2:] = -1
        self._size, self.t = 1, 0
        self._cell: int | None = None
        self._buffer = np.empty(d)
        self.points: list[Any] = []
        self.values: list[float] = []

    def ask(self) -> Any:
        """The next point to evaluate (the same one until its value is told)."""
        if self._cell is None:
            self._cell = kernels.descend(
                self._cells, self._links, self.t + 1.0, self._params, self._scales, self._buffer
            )
        return float(self._buffer[0]) if self._single else self._buffer.copy()

    def tell(self, value: float) -> None:
        """The value at the point asked for."""
        if self._cell is None:
            raise ValueError("no point is waiting for its value: ask first")
        value = check_value(value)
        if self._size + int(self._params[5]) > len(self._cells):
            self._cells = np.vstack([self._cells, np.zeros_like(self._cells)])
            self._links = np.vstack([self._links, np.zeros_like(self._links)])
        self.points.append(float(self._buffer[0]) if self._single else self._buffer.copy())
        self.values.append(value)
        self.t += 1
        cell, self._cell = self._cell, None
        self._size = kernels.update(
            cell, value, float(self.t), self._size, self._cells, self._links, self._params, self._scales
        )

    @property
    def should_stop(self) -> bool:
        """These methods go on as long as there is budget."""
        return False

    def best(self) -> tuple[Any, float]:
        """Centre and mean of the cell reached by following the child in which most draws fell."""
        if not self.t:
            raise ValueError("nothing has been evaluated yet")
        i, arity = 0, int(self._params[5])
        visits = self._links[: self._size, kernels.DRAWS].copy()
        if self._params[6] == kernels.HCT:  # its cells count their own draws: add those of their descendants
            for j in range(self._size - 1, 0, -1):  # children come after their parents
                visits[self._links[j, kernels.PARENT]] += visits[j]
        while self._links[i, kernels.CHILD] >= 0:
            first = self._links[i, kernels.CHILD]
            draws = visits[first : first + arity]
            if draws.max() == 0:
                break
            i = int(first + np.argmax(draws))
        d = len(self.bounds)
        centre = 0.5 * (self._cells[i, 3 : 3 + d] + self._cells[i, 3 + d :])
        mean = self._cells[i, kernels.SUM] / max(self._links[i, kernels.DRAWS], 1)
        return (float(centre[0]) if self._single else centre), float(mean)

    def certificate(self) -> float:
        """None of these methods certifies a gap."""
        return math.inf

    def proof(self) -> None:
        """No guarantee for a single run."""
        return

    def leaves(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Corners of the leaves and their upper bounds."""
        d = len(self.bounds)
        leaf = np.flatnonzero(self._links[: self._size, kernels.CHILD] < 0)
        upper = np.where(np.isfinite(self._cells[leaf, kernels.BOUND]), self._cells[leaf, kernels.BOUND], np.nan)
        return self._cells[leaf, 3 : 3 + d].copy(), self._cells[leaf, 3 + d :].copy(), upper


class HOO(_TreeBandit):
    """Hierarchical optimistic optimisation, truncated (Bubeck, Munos, Stoltz, Szepesvári 2011).

    ``U = mean + scale sqrt(2 ln n / N) + nu rho^h``, ``B = min(U, max over children of B)`` for a budget of n samples.
    The depth is at most ``(ln n / 2 - ln(1 / nu)) / ln(1 / rho)``.

    Raises
    ------
    ValueError
        as for `Optimizer`; budget < 2, rho not strictly between 0 and 1, nu or scale not positive
    """

    def __init__(
        self, bounds: Any, budget: int, *, nu: float = 1.0, rho: float = 0.5, scale: float = 1.0, arity: int = 3
    ) -> None:
        self.budget = check_budget(budget, 2)
        check_number(nu, "nu", strict=True)
        if not 0 < check_number(rho, "rho") < 1:
            raise ValueError(f"rho must lie strictly between 0 and 1; got {rho!r}")
        depth = max(1, math.ceil((math.log(budget) / 2 + math.log(nu)) / math.log(1 / rho)))
        width = check_number(scale, "scale", strict=True)
        super().__init__(bounds, nu, rho, width, float(budget), float(depth), arity, kernels.HOO)


class HCT(_TreeBandit):
    """High-confidence tree (Azar, Lazaric, Brunskill 2014): a cell is split when its noise is below its size.

    ``U = mean + nu rho^h + c sqrt(ln(t+ / delta) / N)``; a cell is split after ``c^2 ln(t+ / delta) rho^(-2h) / nu^2`` samples.

    Raises
    ------
    ValueError
        as for `Optimizer`; rho or delta not strictly between 0 and 1, nu or c not positive
    """

    def __init__(
        self, bounds: Any, *, nu: float = 1.0, rho: float = 0.5, c: float = 0.1, delta: float = 0.01, arity: int = 3
    ) -> None:
        width = check_number(c, "c", strict=True)
        super().__init__(bounds, nu, rho, width, check_delta(delta), 60.0, arity, kernels.HCT)


class POO:
    """Parallel optimistic optimisation: HOO with several rho, in turn; the best average wins (Grill, Valko, Munos 2015).

    ``rho_i = rho_max^(2 M / (2 i + 1))``, i = 0 .. M - 1, with ``M = ceil(D / 2 ln(n / ln n))``, ``D = ln K / ln(1 / rho_max)``.

    Raises
    ------
    ValueError
        as for `Optimizer`; budget < 2, rho_max not strictly between 0 and 1

    Examples
    --------
    >>> search = POO((0, 1), budget=40)
    >>> for _ in range(40):
    ...     point = search.ask()
    ...     search.tell(1 - abs(point - 0.5))
    >>> search.t
    40
    """

    def __init__(
        self, bounds: Any, budget: int, *, nu: float = 1.0, rho_max: float = 0.7, scale: float = 1.0, arity: int = 3
    ) -> None:
        n = self.budget = check_budget(budget, 4)
        if not 0 < check_number(rho_max, "rho_max") < 1:
            raise ValueError(f"rho_max must lie strictly between 0 and 1; got {rho_max!r}")
        D = math.log(arity) / math.log(1 / rho_max)
        m = max(1, min(math.ceil(0.5 * D * math.log(n / math.log(n))), n // 4))
        share = max(2, n // m)
        self.runs = [
            HOO(bounds, share, nu=nu, rho=rho_max ** (2 * m / (2 * i + 1)), scale=scale, arity=arity) for i in range(m)
        ]
        self.bounds = self.runs[0].bounds
        self.t = 0

    def ask(self) -> Any:
        """The next point of the next run."""
        return self.runs[self.t % len(self.runs)].ask()

    def tell(self, value: float) -> None:
        """Its value."""
        self.runs[self.t % len(self.runs)].tell(value)
        self.t += 1

    @property
    def points(self) -> list[Any]:
        """Points evaluated, run by run."""
        return [x for run in self.runs for x in run.points]

    @property
    def values(self) -> list[float]:
        """Their values."""
        return [y for run in self.runs for y in run.values]

    @property
    def should_stop(self) -> bool:
        """Goes on as long as there is budget."""
        return False

    def _winner(self) -> HOO:
        return max((run for run in self.runs if run.t), key=lambda run: sum(run.values) / run.t)

    def best(self) -> tuple[Any, float]:
        """That of the run with the best average."""
        if not self.t:
            raise ValueError("nothing has been evaluated yet")
        return self._winner().best()

    def certificate(self) -> float:
        """No gap is certified."""
        return math.inf

    def proof(self) -> None:
        """No guarantee for a single run."""
        return

    def leaves(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Leaves of the winner."""
        return self._winner().leaves()
