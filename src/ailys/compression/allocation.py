"""Sharing a budget of weights among layers: a multiple-choice knapsack, with a lower bound of its optimum.

Each layer takes one of its options, which have sizes and costs; the sum of the costs is to be small within a total size.
The greedy walk along the lower convex hulls of the options solves the linear relaxation (Sinha and Zoltners 1979), which equals
the Lagrangian bound: no allocation has a smaller cost. What the walk cannot fill is filled with whatever still fits.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from .candidates import Option

__all__ = ["Allocation", "allocate_globally", "allocate_uniformly"]


@dataclass(frozen=True)
class Allocation:
    """The option chosen for each layer, the sum of the costs, and a lower bound of the smallest possible sum."""

    chosen: tuple[Option, ...]
    cost: float
    bound: float

    @property
    def gap(self) -> float:
        """How far the cost can be from the smallest possible one: ``cost - bound``."""
        return self.cost - self.bound


class _Path:
    """The lower convex hull of the options of a layer, walked from the smallest option to the largest."""

    def __init__(self, options: Sequence[Option]) -> None:
        self.every = sorted(options, key=lambda o: (o.n_params, o.cost))
        hull: list[Option] = []
        for option in self.every:
            if hull and option.cost >= hull[-1].cost:
                continue
            while len(hull) > 1 and _slope(hull[-2], hull[-1]) <= _slope(hull[-1], option):
                hull.pop()
            hull.append(option)
        self.hull, self.at = hull, 0

    def next_slope(self) -> float | None:
        """Cost saved for each weight by the next step, or None at the end."""
        return _slope(self.hull[self.at], self.hull[self.at + 1]) if self.at + 1 < len(self.hull) else None


def _slope(small: Option, large: Option) -> float:
    return (small.cost - large.cost) / (large.n_params - small.n_params)


def allocate_globally(layers: Sequence[Sequence[Option]], budget: int) -> Allocation:
    """The options of least total cost found within ``budget`` weights in all.

    Raises
    ------
    ValueError
        If even the smallest options exceed the budget.

    Examples
    --------
    >>> a = [Option(None, 10, 0.0), Option(None, 4, 1.0)]
    >>> b = [Option(None, 10, 0.0), Option(None, 4, 3.0)]
    >>> found = allocate_globally([a, b], 15)
    >>> [o.n_params for o in found.chosen], found.cost, round(found.bound, 3)
    ([4, 10], 1.0, 0.833)
    """
    paths = [_Path(options) for options in layers]
    spent = sum(path.hull[0].n_params for path in paths)
    if spent > budget:
        raise ValueError(f"the smallest choices have {spent} weights in all, the budget is {budget}")
    queue = [(-slope, i) for i, path in enumerate(paths) if (slope := path.next_slope()) is not None]
    heapq.heapify(queue)
    bound: float | None = None
    while queue:
        negative, i = heapq.heappop(queue)
        path = paths[i]
        step = path.hull[path.at + 1].n_params - path.hull[path.at].n_params
        if spent + step > budget:
            if bound is None:  # the first step that does not fit, taken in part
                bound = sum(p.hull[p.at].cost for p in paths) + negative * (budget - spent)
            continue
        spent += step
        path.at += 1
        if (slope := path.next_slope()) is not None:
            heapq.heappush(queue, (-slope, i))
    chosen = [path.hull[path.at] for path in paths]
    chosen, _ = _filled(paths, chosen, budget - spent)
    cost = sum(option.cost for option in chosen)
    return Allocation(tuple(chosen), cost, min(cost, cost if bound is None else max(bound, 0.0)))


def _filled(paths: Sequence[_Path], chosen: list[Option], room: int) -> tuple[list[Option], int]:
    """The allocation after the best single exchanges that still fit."""
    while True:
        best: tuple[float, int, Option] | None = None
        for i, path in enumerate(paths):
            now = chosen[i]
            for option in path.every:
                if 0 <= option.n_params - now.n_params <= room and option.cost < now.cost:
                    gain = now.cost - option.cost
                    if best is None or gain > best[0]:
                        best = gain, i, option
        if best is None:
            return chosen, room
        _, i, option = best
        room -= option.n_params - chosen[i].n_params
        chosen[i] = option


def allocate_uniformly(layers: Sequence[Sequence[Option]], fraction: float) -> Allocation:
    """The best option of each layer with at most this fraction of its dense weights (the largest of its options)."""
    chosen = []
    for options in layers:
        limit = int(fraction * max(option.n_params for option in options))
        fitting = [option for option in options if option.n_params <= limit]
        if not fitting:
            smallest = min(option.n_params for option in options)
            raise ValueError(f"a layer has no choice with at most {limit} weights; the smallest has {smallest}")
        chosen.append(min(fitting, key=lambda option: (option.cost, option.n_params)))
    cost = sum(option.cost for option in chosen)
    return Allocation(tuple(chosen), cost, 0.0)
