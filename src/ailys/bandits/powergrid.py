"""Double outages of a power grid: which pairs of lines, failing together, overload a third one.

Flows follow the direct-current approximation. When lines fail, their flows move to the others by the line outage distribution
factors, so that a contingency costs a small linear system and not a new power flow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.optional import require

__all__ = ["Grid", "ieee118"]


@dataclass(frozen=True)
class Grid:
    """A grid in the direct-current approximation.

    Attributes
    ----------
    lines : (m, 2) buses at the ends of the lines
    flows : (m,) flows before any outage
    shift : (m, m) ``shift[k, l]``: flow on line k caused by one unit injected at one end of line l and taken out at the other
    limits : (m,) largest flows allowed
    zones : (n,) zone of each bus
    """

    lines: np.ndarray
    flows: np.ndarray
    shift: np.ndarray
    limits: np.ndarray
    zones: np.ndarray

    def after_outage(self, *failed: int) -> np.ndarray | None:
        """Flows when lines have failed; None if the grid falls apart.

        The failed lines are replaced by pairs of injections that cancel what they would carry:
        ``(I - H_ff) x = flows_f`` and ``flows + H_f x``.
        """
        rows = np.array(failed)
        system = np.eye(len(rows)) - self.shift[np.ix_(rows, rows)]
        if abs(np.linalg.det(system)) < 1e-9:
            return None
        flows = self.flows + self.shift[:, rows] @ np.linalg.solve(system, self.flows[rows])
        flows[rows] = 0.0
        return np.asarray(flows)

    def is_dangerous(self, pair: tuple[int, int]) -> bool:
        """Whether the double outage splits the grid or overloads a line."""
        flows = self.after_outage(*pair)
        return flows is None or bool((np.abs(flows) > self.limits).any())

    def experts(self) -> list[Callable[[np.random.Generator], tuple[int, int]]]:
        """One sampler a zone: pairs of lines with their first ends in the zone, all equally likely."""
        home = self.zones[self.lines[:, 0]]
        found = []
        for zone in np.unique(home):
            mine = np.flatnonzero(home == zone)
            if len(mine) > 1:
                found.append(_sampler(mine))
        return found


def _sampler(mine: np.ndarray) -> Callable[[np.random.Generator], tuple[int, int]]:
    def draw(rng: np.random.Generator) -> tuple[int, int]:
        a, b = (int(v) for v in rng.choice(mine, 2, replace=False))
        return min(a, b), max(a, b)

    return draw


def ieee118(margin: float = 0.15, n_zones: int = 8) -> Grid:
    """The IEEE 118-bus grid. Limits: ``margin`` above the largest flow of any single outage, so that it is safe against one.

    The published case has no limits of its own. Zones are clusters of the grid's low Laplacian eigenvectors.

    Raises
    ------
    MissingExtra
        PYPOWER, which ships the case, is not installed (extra ``samples``).
    """
    case: dict[str, Any] = require("pypower.case118", extra="samples", purpose="the IEEE 118-bus grid").case118()
    bus, branch, generators = case["bus"], case["branch"], case["gen"]
    index = {int(name): i for i, name in enumerate(bus[:, 0])}
    lines = np.array([[index[int(a)], index[int(b)]] for a, b in branch[:, :2]])
    strength = 1 / branch[:, 3]
    injection = -bus[:, 2].copy()
    for g in generators:
        injection[index[int(g[0])]] += g[1]
    injection -= injection.mean()  # losses are not modelled: generation equals load
    m, n = len(lines), len(bus)
    ends = np.zeros((m, n))
    ends[np.arange(m), lines[:, 0]], ends[np.arange(m), lines[:, 1]] = 1, -1
    laplacian = ends.T @ (strength[:, None] * ends)
    inverse = np.linalg.pinv(laplacian)
    flows = strength * (ends @ inverse @ injection)
    shift = strength[:, None] * (ends @ inverse @ ends.T)
    bridges = np.abs(1 - np.diag(shift)) < 1e-9
    from scipy.cluster.vq import kmeans2

    unweighted = np.linalg.eigh(ends.T @ ends)[1][:, 1 : 1 + n_zones]
    _, zones = kmeans2(unweighted / unweighted.std(axis=0), n_zones, minit="++", rng=np.random.default_rng(0))
    # lines whose loss splits the grid are no surprise: they are left out of the outages
    keep = np.flatnonzero(~bridges)
    grid = Grid(lines[keep], flows[keep], shift[np.ix_(keep, keep)], np.full(len(keep), np.inf), zones)
    largest = np.abs(grid.flows)
    for k in range(len(keep)):
        after = grid.after_outage(k)
        assert after is not None  # bridges are gone
        largest = np.maximum(largest, np.abs(after))
    limits = (1 + margin) * np.maximum(largest, 0.05 * largest.max())
    return Grid(grid.lines, grid.flows, grid.shift, limits, zones)
