"""Optimisers of a black box on a hierarchical partition: ask for a point, tell the value.

Deterministic functions: DOO knows the smoothness, SOO and SequOOL do not. Noisy ones: StoSOO and StroquOOL average over
repetitions; HOO and HCT descend a tree by upper bounds (`treebandits`); `PACOptimizer` stops with a proof (`pac`).
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

__all__ = ["DOO", "SOO", "Optimizer", "SequOOL", "StoSOO", "StroquOOL", "check_budget"]


def check_budget(budget: Any, least: int = 1) -> int:
    """A number of evaluations."""
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

    ``h_max = floor(n / sum_{t <= n} 1 / t)`` for a budget of n evaluations.

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


class _Averaging(Optimizer):
    """Cells are sampled several times."""

    def __init__(self, bounds: Any, arity: int) -> None:
        super().__init__(bounds, arity)
        self.n: list[int] = [0]
        self.s: list[float] = [0.0]

    def _split(self, cell: int, inherit: bool) -> range:
        first = self.tree.split(cell)
        self.n.extend([0] * self.tree.arity)
        self.s.extend([0.0] * self.tree.arity)
        if inherit and self.tree.middle >= 0:  # the same point: its samples count for both
            self.n[first + self.tree.middle], self.s[first + self.tree.middle] = self.n[cell], self.s[cell]
        return range(first, first + self.tree.arity)

    def _mean(self, cell: int) -> float:
        return self.s[cell] / self.n[cell] if self.n[cell] else -math.inf

    def _learn(self, cell: int, value: float) -> None:
        self.n[cell] += 1
        self.s[cell] += value


class StoSOO(_Averaging):
    """Stochastic SOO (Valko, Carpentier, Munos 2013): ``k = ceil(n / ln^3 n)`` samples in a cell before it is split.

    Bounds ``mean + scale sqrt(ln(n k / delta) / (2 N))`` with ``delta = 1 / sqrt(n)``, depth at most ``sqrt(n / k)``.
    ``scale``: length of the interval of the noisy values.

    Raises
    ------
    ValueError
        as for `Optimizer`; budget < 2, k < 1, scale not positive
    """

    def __init__(self, bounds: Any, budget: int, *, k: int | None = None, scale: float = 1.0, arity: int = 3) -> None:
        super().__init__(bounds, arity)
        n = self.budget = check_budget(budget, 2)
        self.k = check_budget(k) if k is not None else max(1, math.ceil(n / math.log(n) ** 3))
        self.h_max = max(1, math.isqrt(n // self.k))
        self._log = math.log(n * self.k * math.sqrt(n))
        self._scale = check_number(scale, "scale", strict=True)
        self._leaves: list[list[tuple[float, int]]] = [[(-math.inf, 0)]]
        self._level, self._bar = 0, -math.inf

    def _upper(self, cell: int) -> float:
        n = self.n[cell]
        return math.inf if n == 0 else self.s[cell] / n + self._scale * math.sqrt(self._log / (2 * n))

    def _push(self, cell: int) -> None:
        depth = self.tree.depth[cell]
        if depth == len(self._leaves):
            self._leaves.append([])
        heapq.heappush(self._leaves[depth], (-self._upper(cell), cell))

    def _next(self) -> int:
        while True:
            if self._level > min(self.h_max, len(self._leaves) - 1):
                self._level, self._bar = 0, -math.inf
            heap = self._leaves[self._level]
            self._level += 1
            if not heap or -heap[0][0] < self._bar:
                continue
            bound, cell = heap[0]
            if self.n[cell] < self.k or self.tree.depth[cell] == self.h_max:
                self._bar = -bound
                return cell
            self._bar = -bound
            heapq.heappop(heap)
            for child in self._split(cell, True):
                self._push(child)

    def _learn(self, cell: int, value: float) -> None:
        super()._learn(cell, value)
        heap = self._leaves[self.tree.depth[cell]]  # the cell is on top of it
        heapq.heapreplace(heap, (-self._upper(cell), cell))

    def best(self) -> tuple[Any, float]:
        """The best mean among the deepest cells that were split (the best sampled cell before any was)."""
        split = [i for i in range(len(self.tree)) if self.tree.first[i] >= 0]
        if not self.t:
            raise ValueError("nothing has been evaluated yet")
        deepest = max((self.tree.depth[i] for i in split), default=0)
        pool = [i for i in split if self.tree.depth[i] == deepest and self.n[i]] or [
            i for i, n in enumerate(self.n) if n
        ]
        cell = max(pool, key=self._mean)
        return self._point(cell), self._mean(cell)


class StroquOOL(_Averaging):
    """Noisy version of SequOOL that needs neither smoothness nor noise level (Bartlett, Gabillon, Valko 2019).

    ``h_max = floor(n / (2 (log2 n + 1)^2))``. At depth h, for p from ``log2(h_max / h)`` down to 0, the ``h_max / (h 2^p)`` best
    cells with at least ``2^p`` samples are split and their children sampled ``2^p`` times each; at the end the best cell of
    each number of samples is sampled ``h_max`` times, and the best of these is named.

    Raises
    ------
    ValueError
        as for `Optimizer`; budget < 2
    """

    def __init__(self, bounds: Any, budget: int, *, arity: int = 3) -> None:
        super().__init__(bounds, arity)
        n = self.budget = check_budget(budget, 2)
        self.h_max = max(1, int(n / (2 * (math.log2(n) + 1) ** 2)))
        self._plan = self._steps()
        self._todo: deque[int] = deque()
        self._levels: dict[int, list[int]] = {}
        self._final: dict[int, tuple[int, float]] = {}
        self._phase = "explore"

    def _steps(self) -> Any:
        yield [0], self.h_max
        for h in range(1, self.h_max + 1):
            for p in range(int(math.log2(self.h_max / h)), -1, -1):
                pool = [i for i in self._levels.get(h, []) if self.tree.first[i] < 0 and self.n[i] >= 2**p]
                pool.sort(key=self._mean, reverse=True)
                yield pool[: self.h_max // (h * 2**p)], 2**p
        self._phase = "validate"

    def _next(self) -> int:
        while not self._todo:
            step = next(self._plan, None)
            if step is None:
                self._validate()
                break
            for cell in step[0]:
                if not self.tree.can_split(cell):
                    continue
                for child in self._split(cell, False):
                    self._levels.setdefault(self.tree.depth[child], []).append(child)
                    self._todo.extend([child] * step[1])
        return self._todo[0]

    def _validate(self) -> None:
        """Queue the candidates; when they are done, what is left of the budget goes to them in turn."""
        if not self._final:
            sampled = [i for i, n in enumerate(self.n) if n]
            for p in range(int(math.log2(self.h_max)) + 1):
                pool = [i for i in sampled if self.n[i] >= 2**p]
                if pool:
                    self._final[max(pool, key=self._mean)] = (0, 0.0)
        for cell in self._final:
            self._todo.extend([cell] * self.h_max)

    def _learn(self, cell: int, value: float) -> None:
        self._todo.popleft()
        if self._final:
            n, s = self._final[cell]
            self._final[cell] = n + 1, s + value
        else:
            self.n[cell] += 1
            self.s[cell] += value

    def best(self) -> tuple[Any, float]:
        """The candidate of the best mean in the final samples (before them: the best cell sampled most)."""
        if not self.t:
            raise ValueError("nothing has been evaluated yet")
        done = {cell: s / n for cell, (n, s) in self._final.items() if n}
        if done:
            cell = max(done, key=lambda i: done[i])
            return self._point(cell), done[cell]
        most = max(self.n)
        cell = max((i for i, n in enumerate(self.n) if n >= max(1, most // 2)), key=self._mean)
        return self._point(cell), self._mean(cell)
