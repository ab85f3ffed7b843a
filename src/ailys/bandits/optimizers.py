"""Optimisers of a black box on a hierarchical partition: ask for a point, tell the value.

Here the deterministic functions: DOO knows the smoothness, SOO and SequOOL do not. Noisy ones: StoSOO and StroquOOL average
over repetitions (`averaging`); HOO and HCT descend a tree by upper bounds (`treebandits`); `PACOptimizer` stops with a proof
(`pac`).
"""

from __future__ import annotations

import heapq
import math
from abc import ABC, abstractmethod
from collections import deque
from typing import Any

import numpy as np

from ..core.guarantee import Guarantee
from .agent import check_number
from .partition import Partition, check_bounds

__all__ = ["DOO", "SOO", "Optimizer", "SequOOL", "check_budget"]


def check_budget(budget: Any, least: int = 1) -> int:
    """A number of measurements."""
    if isinstance(budget, bool) or not isinstance(budget, (int, np.integer)) or budget < least:
        raise ValueError(f"budget must be a whole number >= {least}; got {budget!r}")
    return int(budget)


class Optimizer(ABC):
    """Base: a partition, values of its cells, one evaluation at a time.

    Parameters
    ----------
    bounds : (low, high), or a list of such pairs; with a single pair points are numbers, otherwise arrays (D,)
    arity : parts into which a cell is split; odd, so that the middle part keeps the centre of its parent

    Raises
    ------
    ValueError
        bounds without low < high, arity < 2, a parameter out of its range

    Examples
    --------
    >>> from ailys.bandits import SOO
    >>> search = SOO((0, 1))
    >>> for _ in range(9):
    ...     point = search.ask()
    ...     search.tell(1 - abs(point - 0.5))
    >>> search.t
    9
    """

    def __init__(self, bounds: Any, arity: int = 3) -> None:
        self.bounds, self._single = check_bounds(bounds)
        self.tree = Partition(self.bounds, arity)
        self.t = 0
        self._cell: int | None = None  # asked and not told
        self._asked: Any = None  # its point
        self.points: list[Any] = []
        self.values: list[float] = []

    def ask(self) -> Any:
        """The next point to evaluate (the same one until its value is told)."""
        if self._cell is None:
            self._cell = self._next()
            self._asked = self._point(self._cell)
        return self._asked if self._single else self._asked.copy()

    def tell(self, value: float) -> None:
        """The value at the point asked for.

        Raises
        ------
        ValueError
            no point is waiting, or the value is not a finite number; nothing is changed then
        """
        if self._cell is None:
            raise ValueError("no point is waiting for its value: ask first")
        value = check_value(value)
        self._check(value)
        cell, self._cell = self._cell, None
        self.points.append(self._asked)
        self.values.append(value)
        self.t += 1
        self._learn(cell, value)

    def _check(self, value: float) -> None:  # noqa: B027  (optional)
        """Refuse a value that the optimiser cannot take, before anything is changed."""

    def _point(self, cell: int) -> Any:
        tree = self.tree
        return 0.5 * (tree.low[cell][0] + tree.high[cell][0]) if self._single else np.array(tree.centre(cell))

    @abstractmethod
    def _next(self) -> int:
        """The cell to sample."""

    @abstractmethod
    def _learn(self, cell: int, value: float) -> None:
        """Take its value in."""

    @property
    def should_stop(self) -> bool:
        """Whether the optimiser has finished by itself."""
        return False

    @abstractmethod
    def best(self) -> tuple[Any, float]:
        """The point to recommend and its value or estimate."""

    def certificate(self) -> float:
        """Largest possible difference between the maximum and the value at the recommended point; infinite if unknown."""
        return math.inf

    def proof(self) -> Guarantee | None:
        """The certificate as a guarantee."""
        return None

    def leaves(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Corners of the leaves and their upper bounds (NaN where there is none)."""
        cells = [i for i in range(len(self.tree)) if self.tree.first[i] < 0]
        low = np.array([self.tree.low[i] for i in cells])
        high = np.array([self.tree.high[i] for i in cells])
        return low, high, np.array([self._upper(i) for i in cells])

    def _upper(self, cell: int) -> float:
        return math.nan


def check_value(value: Any) -> float:
    """A finite value of the function."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"the function must return a number; got {value!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"the function must return a finite number; got {value!r}")
    return number


class _Deterministic(Optimizer):
    """Cells are evaluated once; the middle child has its parent's value."""

    def __init__(self, bounds: Any, arity: int = 3) -> None:
        super().__init__(bounds, arity)
        self.value: list[float] = [math.nan]
        self._queue: deque[int] = deque([0])
        self._top = -1

    def _open(self, cell: int) -> None:
        """Split a cell and queue its children."""
        tree = self.tree
        first = tree.split(cell)
        self.value.extend([math.nan] * tree.arity)
        self._queue.extend([first + i for i in range(tree.arity) if i != tree.middle])
        if tree.middle >= 0:
            self._record(first + tree.middle, self.value[cell])

    def _next(self) -> int:
        while not self._queue:
            self._open(self._pick())
        return self._queue[0]

    def _learn(self, cell: int, value: float) -> None:
        self._queue.popleft()
        self._record(cell, value)

    def _record(self, cell: int, value: float) -> None:
        self.value[cell] = value
        if self._top < 0 or value > self.value[self._top]:
            self._top = cell
        self._add(cell, value)

    @abstractmethod
    def _pick(self) -> int:
        """The leaf to split next."""

    @abstractmethod
    def _add(self, cell: int, value: float) -> None:
        """A leaf has its value."""

    def best(self) -> tuple[Any, float]:
        """The best point evaluated."""
        if self._top < 0:
            raise ValueError("nothing has been evaluated yet")
        return self._point(self._top), self.value[self._top]


class DOO(_Deterministic):
    """Deterministic optimistic optimisation: split the cell of the largest upper bound (Munos 2011).

    Parameters
    ----------
    bounds : the box
    lipschitz : Lipschitz constant in Euclidean distance: upper bound ``f(centre) + lipschitz diameter / 2``
    nu, rho : instead, a bound ``nu rho^depth`` of how much the function rises inside a cell above its centre

    Raises
    ------
    ValueError
        neither or both of lipschitz and (nu, rho); a negative constant, rho not strictly between 0 and 1; bounds
        and arity as for `Optimizer`

    Examples
    --------
    >>> search = DOO((0, 1), lipschitz=2.0)
    >>> for _ in range(60):
    ...     x = search.ask()
    ...     search.tell(1 - (x - 0.3) ** 2)
    >>> round(search.best()[0], 3), search.certificate() < 0.01
    (0.298, True)
    """

    def __init__(
        self,
        bounds: Any,
        lipschitz: float | None = None,
        *,
        nu: float | None = None,
        rho: float | None = None,
        arity: int = 3,
    ) -> None:
        super().__init__(bounds, arity)
        if (lipschitz is None) == (nu is None or rho is None):
            raise ValueError("DOO needs the smoothness of the function: lipschitz=, or nu= and rho=")
        self.lipschitz = None if lipschitz is None else check_number(lipschitz, "lipschitz")
        self.nu, self.rho = nu, rho
        if lipschitz is None and not (check_number(nu, "nu") >= 0 and 0 < check_number(rho, "rho") < 1):
            raise ValueError(f"rho must lie strictly between 0 and 1; got {rho!r}")
        self._heap: list[tuple[float, int]] = []

    def _slack(self, cell: int) -> float:
        if self.lipschitz is not None:
            return self.lipschitz * self.tree.diameter(cell) / 2
        assert self.nu is not None
        assert self.rho is not None
        return float(self.nu * self.rho ** self.tree.depth[cell])

    def _add(self, cell: int, value: float) -> None:
        heapq.heappush(self._heap, (-(value + self._slack(cell)), cell))

    def _pick(self) -> int:
        return heapq.heappop(self._heap)[1]

    def _upper(self, cell: int) -> float:
        if math.isnan(self.value[cell]):  # not evaluated yet: what its parent allows
            parent = self.tree.parent[cell]
            return math.inf if parent < 0 else self.value[parent] + self._slack(parent)
        return self.value[cell] + self._slack(cell)

    def certificate(self) -> float:
        """Largest upper bound of a leaf minus the best value."""
        if self._top < 0:
            return math.inf
        waiting = max((self._upper(cell) for cell in self._queue), default=-math.inf)
        largest = max(-self._heap[0][0] if self._heap else -math.inf, waiting)
        return max(largest - self.value[self._top], 0.0)

    def proof(self) -> Guarantee:
        """The certified gap."""
        gap = self.certificate()
        known = (
            f"{self.lipschitz:g}-Lipschitz"
            if self.lipschitz is not None
            else f"{self.nu:g} * {self.rho:g}^depth smooth in cells"
        )
        return Guarantee(
            "certified-gap",
            f"no point of the box is better than the one found by more than {gap:.4g}",
            level=gap,
            assumptions=(f"the function is {known}", "its values are exact"),
            source="Munos 2011 (DOO); docs, bandits, section 'Black boxes'",
        )


class _ByDepth(_Deterministic):
    """The leaves of each depth, best first."""

    def __init__(self, bounds: Any, arity: int) -> None:
        super().__init__(bounds, arity)
        self._leaves: list[list[tuple[float, int]]] = []

    def _add(self, cell: int, value: float) -> None:
        depth = self.tree.depth[cell]
        if depth == len(self._leaves):
            self._leaves.append([])
        heapq.heappush(self._leaves[depth], (-value, cell))

    def _best_leaf(self) -> int:
        level = min((h for h, heap in enumerate(self._leaves) if heap), key=lambda h: self._leaves[h][0])
        return heapq.heappop(self._leaves[level])[1]


class SOO(_ByDepth):
    """Simultaneous optimistic optimisation: no smoothness needed (Munos 2011).

    Sweeps over the depths; at each, the best leaf is split if it is better than those split before in the sweep.
    The depth is at most ``sqrt(t)`` unless ``h_max`` says otherwise.

    Raises
    ------
    ValueError
        as for `Optimizer`; h_max < 1
    """

    def __init__(self, bounds: Any, *, h_max: int | None = None, arity: int = 3) -> None:
        super().__init__(bounds, arity)
        self.h_max = None if h_max is None else check_budget(h_max)
        self._level, self._bar = 0, -math.inf

    def _pick(self) -> int:
        idle = 0
        while True:
            limit = self.h_max if self.h_max is not None else math.isqrt(max(self.t, 1))
            if self._level > min(limit, len(self._leaves) - 1):
                self._level, self._bar = 0, -math.inf
                idle += 1
                if idle > 2:  # all leaves are at the largest depth: the best of them is split all the same
                    return self._best_leaf()
            heap = self._leaves[self._level]
            self._level += 1
            if heap and -heap[0][0] >= self._bar:
                self._bar = -heap[0][0]
                return heapq.heappop(heap)[1]


class SequOOL(_ByDepth):
    """Sequential online optimisation: ``floor(h_max / h)`` best cells of each depth (Bartlett, Gabillon, Valko 2019).

    ``h_max = floor(n / sum_{t <= n} 1 / t)`` for a budget of n measurements.

    Raises
    ------
    ValueError
        as for `Optimizer`; budget < 1
    """

    def __init__(self, bounds: Any, budget: int, *, arity: int = 3) -> None:
        super().__init__(bounds, arity)
        n = self.budget = check_budget(budget)
        self.h_max = max(1, int(n / sum(1 / t for t in range(1, n + 1))))
        self._level, self._left = 0, 1

    def _pick(self) -> int:
        while True:
            if self._left > 0 and self._level < len(self._leaves) and self._leaves[self._level]:
                self._left -= 1
                return heapq.heappop(self._leaves[self._level])[1]
            self._level += 1
            if self._level > self.h_max or self._level >= len(self._leaves):  # budget left: go on with the best leaf
                return self._best_leaf()
            self._left = self.h_max // self._level
