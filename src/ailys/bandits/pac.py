"""`PACOptimizer`: a noisy black box is optimised until the point found is good enough, with proof."""

from __future__ import annotations

import heapq
import math
from typing import Any

from ..core.guarantee import Guarantee
from .agent import check_number
from .complexity import check_delta
from .intervals import confidence_sequence, normal_mixture_radius
from .optimizers import Optimizer

__all__ = ["PACOptimizer"]


class PACOptimizer(Optimizer):
    """Stops when, with probability at least 1 - delta, no point is better than the one found by more than epsilon.

    Cell l (in the order of creation) gets the probability of error ``6 delta / (pi^2 l^2)``; the interval of its mean holds at all
    times; its upper bound adds ``lipschitz diameter / 2`` and is capped by its parent's. The cell of the largest upper bound
    is sampled (an eighth more than before at a time), or split once its noise is below its size.

    Parameters
    ----------
    bounds : the box
    lipschitz : Lipschitz constant of the mean, Euclidean distance
    epsilon : tolerated gap
    delta : probability that the answer is worse than that
    noise : sub-Gaussian scale of the noise; 0 for exact values; "bounded" for noisy values in [0, 1]

    Raises
    ------
    ValueError
        a negative lipschitz, epsilon not positive, delta not strictly between 0 and 1, a noise that is neither >= 0 nor
        "bounded"; bounds and arity as for `Optimizer`

    Examples
    --------
    >>> import numpy as np
    >>> noise = np.random.default_rng(0)
    >>> search = PACOptimizer((0, 1), lipschitz=2.0, epsilon=0.2, delta=0.05, noise=0.1)
    >>> while not search.should_stop:
    ...     x = search.ask()
    ...     search.tell(1 - abs(x - 0.3) + 0.1 * noise.standard_normal())
    >>> abs(search.best()[0] - 0.3) < 0.2
    True
    """

    def __init__(
        self,
        bounds: Any,
        lipschitz: float,
        epsilon: float,
        delta: float = 0.05,
        noise: float | str = 1.0,
        *,
        arity: int = 3,
    ) -> None:
        super().__init__(bounds, arity)
        self.lipschitz = check_number(lipschitz, "lipschitz")
        self.epsilon, self.delta = check_number(epsilon, "epsilon", strict=True), check_delta(delta)
        self.noise = noise if noise == "bounded" else check_number(noise, "noise")
        self.n, self.s = [0], [0.0]
        self.lower, self.upper, self._noisy = [-math.inf], [math.inf], [math.inf]
        self._cap = [math.inf]
        self._slack = [self.lipschitz * self.tree.diameter(0) / 2]
        self._heap: list[tuple[float, int]] = [(-math.inf, 0)]
        self._leader = 0
        self._left = 0  # samples of the current batch still to draw
        self._current = 0
        self._done = False

    def _next(self) -> int:
        if self._left > 0:
            self._left -= 1
            return self._current
        while True:
            cell = self._top()
            if self.n[cell] and self._noisy[cell] <= self._slack[cell] and self.tree.can_split(cell):
                self._split(cell)
                continue
            self._current = cell
            self._left = max(1, self.n[cell] // 8) - 1
            return cell

    def _top(self) -> int:
        while True:  # entries with an outdated bound are dropped when they come up
            bound, cell = self._heap[0]
            if self.tree.first[cell] < 0 and -bound == self.upper[cell]:
                return cell
            heapq.heappop(self._heap)

    def _split(self, cell: int) -> None:
        first = self.tree.split(cell)
        for child in range(first, first + self.tree.arity):
            self.n.append(0)
            self.s.append(0.0)
            self.lower.append(-math.inf)
            self._noisy.append(math.inf)
            self._cap.append(self.upper[cell])
            self.upper.append(self.upper[cell])
            self._slack.append(self.lipschitz * self.tree.diameter(child) / 2)
            heapq.heappush(self._heap, (-self.upper[child], child))

    def _check(self, value: float) -> None:
        if self.noise == "bounded" and not 0 <= value <= 1:
            raise ValueError(f"with noise='bounded' the values must lie in [0, 1]; got {value!r}")

    def _learn(self, cell: int, value: float) -> None:
        self.n[cell] += 1
        self.s[cell] += value
        if self._left > 0:  # intervals are looked at when the batch is complete
            return
        n, mean = self.n[cell], self.s[cell] / self.n[cell]
        share = 6 * self.delta / (math.pi * (cell + 1)) ** 2
        if self.noise == "bounded":
            low, high = confidence_sequence(self.s[cell], n, share, "bounded")
        else:
            radius = float(normal_mixture_radius(n, share, float(self.noise))) if self.noise else 0.0
            low, high = mean - radius, mean + radius
        self._noisy[cell] = max(high - mean, mean - low)
        self.lower[cell] = max(self.lower[cell], low)
        self.upper[cell] = min(self.upper[cell], high + self._slack[cell], self._cap[cell])
        if self.tree.first[cell] < 0:
            heapq.heappush(self._heap, (-self.upper[cell], cell))
        if self.lower[cell] > self.lower[self._leader]:
            self._leader = cell
        self._done = self._done or self.certificate() <= self.epsilon

    @property
    def should_stop(self) -> bool:
        """Whether the largest upper bound is within epsilon of the best lower bound."""
        return self._done

    def best(self) -> tuple[Any, float]:
        """The centre of the best lower bound, and its mean."""
        if not self.t:
            raise ValueError("nothing has been evaluated yet")
        i = self._leader
        return self._point(i), self.s[i] / max(self.n[i], 1)

    def certificate(self) -> float:
        """Largest upper bound minus best lower bound."""
        if not self.t:
            return math.inf
        return max(self.upper[self._top()] - self.lower[self._leader], 0.0)

    def _upper(self, cell: int) -> float:
        return self.upper[cell]

    def proof(self) -> Guarantee:
        """The gap that holds with probability 1 - delta, at any time."""
        gap = self.certificate()
        noise = "noisy values in [0, 1]" if self.noise == "bounded" else f"noise sub-Gaussian of scale {self.noise:g}"
        return Guarantee(
            "certified-gap",
            f"with probability at least {1 - self.delta:g}, no point of the box has a mean above that of the point found by more "
            f"than {gap:.4g}",
            level=gap,
            values={"delta": self.delta, "epsilon": self.epsilon},
            assumptions=(f"the mean is {self.lipschitz:g}-Lipschitz", f"independent {noise}"),
            source="docs, bandits, section 'Black boxes'",
        )
