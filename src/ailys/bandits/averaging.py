"""Optimisers of a noisy black box that average over repetitions in a cell: StoSOO and StroquOOL."""

from __future__ import annotations

import heapq
import math
from collections import deque
from typing import Any

from .agent import check_number
from .optimizers import Optimizer, check_budget

__all__ = ["StoSOO", "StroquOOL"]


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
