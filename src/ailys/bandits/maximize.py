"""`maximize`: the best point of a black box within a budget, or within a tolerance."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..core.answer import Answer
from ..core.guarantee import Guarantee
from ..core.randomness import Seed, as_generator
from .averaging import StoSOO, StroquOOL
from .optimizers import DOO, SOO, SequOOL, check_budget, check_value
from .pac import PACOptimizer
from .partition import check_bounds
from .treebandits import HCT, HOO, POO

__all__ = ["METHODS", "Objective", "OptimizeResult", "as_objective", "maximize"]

METHODS: dict[str, Any] = {
    kind.__name__.lower(): kind for kind in (DOO, SOO, SequOOL, HOO, HCT, POO, StoSOO, StroquOOL, PACOptimizer)
}
_BUDGETED = ("sequool", "hoo", "poo", "stosoo", "stroquool")


@dataclass(frozen=True)
class OptimizeResult(Answer):
    """The point found and how far it can be from the best.

    Attributes
    ----------
    x : point to recommend
    value : its value, or the mean of its noisy values
    certificate : the maximum is at most this much larger (infinite for methods that do not know the smoothness)
    n_evaluations : calls of the function
    method : name of the method
    settled : for a tolerance: whether it was met within the budget
    points, values : all measurements
    low, high, upper : leaves of the partition and their upper bounds
    """

    x: Any
    value: float
    certificate: float
    n_evaluations: int
    method: str
    settled: bool | None
    bounds: list[tuple[float, float]]
    points: np.ndarray = field(repr=False)
    values: np.ndarray = field(repr=False)
    low: np.ndarray = field(repr=False)
    high: np.ndarray = field(repr=False)
    upper: np.ndarray = field(repr=False)
    proof: Guarantee | None = None

    def facts(self) -> Mapping[str, Any]:
        """The point, its value, the certificate."""
        names = ("x", "value", "certificate", "n_evaluations", "method", "settled")
        return {name: getattr(self, name) for name in names}

    @property
    def guarantee(self) -> Guarantee | None:
        """The certified gap, if the method has one."""
        return self.proof

    def plot(self, ax: Any = None, *, f: Callable[[Any], float] | None = None) -> Any:
        """Evaluations and upper bounds of the leaves (one dimension), or the cells (two)."""
        from .plots import plot_optimization

        return plot_optimization(self, f, ax)


class Objective:
    """A black box as other optimisers want it: counts and records its calls, and may change sign for those that minimise.

    Examples
    --------
    >>> box = as_objective(lambda x: 1 - x**2, (-1, 1), minimize=True)
    >>> box(0.5), box.n_calls, box.bounds
    (-0.75, 1, [(-1.0, 1.0)])
    """

    def __init__(self, f: Callable[..., float], bounds: Any, minimize: bool, rng: Seed) -> None:
        self.bounds, self.single = check_bounds(bounds)
        self._f, self._sign = f, -1.0 if minimize else 1.0
        self._rng = None if rng is None else as_generator(rng)
        self.points: list[Any] = []
        self.values: list[float] = []

    def __call__(self, x: Any) -> float:
        """The value at x, with the sign asked for."""
        value = check_value(self._f(x) if self._rng is None else self._f(x, self._rng))
        self.points.append(x)
        self.values.append(value)
        return self._sign * value

    @property
    def n_calls(self) -> int:
        """Evaluations so far."""
        return len(self.values)


def as_objective(f: Callable[..., float], bounds: Any, *, minimize: bool = False, rng: Seed = None) -> Objective:
    """The same black box for other libraries: bounds, a call that counts itself, ``minimize=True`` for minimisers.

    Parameters
    ----------
    f : function of a point, and of a generator if ``rng`` is given
    bounds : (low, high), or a list of them
    minimize : change the sign of the values
    rng : generator or seed handed to ``f``

    Raises
    ------
    ValueError
        bounds without low < high; when called, a value that is not a finite number

    Examples
    --------
    >>> box = as_objective(lambda x: -abs(x - 0.25), (0, 1))
    >>> box(0.5), box.n_calls
    (-0.25, 1)
    """
    return Objective(f, bounds, minimize, rng)


def maximize(
    f: Callable[..., float],
    bounds: Any,
    method: str = "soo",
    *,
    budget: int | None = None,
    epsilon: float | None = None,
    delta: float | None = None,
    lipschitz: float | None = None,
    noise: float | str | None = None,
    rng: Seed = None,
    **options: Any,
) -> OptimizeResult:
    """Maximise a function of which only values are known.

    Parameters
    ----------
    f : function of a number (bounds a pair) or of an array (D,); with ``rng`` given it is called as ``f(x, generator)``
    bounds : (low, high), or a list of such pairs
    method : "doo", "soo", "sequool" for exact values; "hoo", "hct", "poo", "stosoo", "stroquool" for noisy ones;
        "pacoptimizer" stops at a tolerance
    budget : measurements at most; may be left out with an ``epsilon``
    epsilon, delta : tolerance and probability of a worse answer ("pacoptimizer"; with "doo" epsilon alone)
    lipschitz : Lipschitz constant ("doo", "pacoptimizer")
    noise : sub-Gaussian scale, or "bounded" ("pacoptimizer")
    options : further parameters of the class of the method

    Raises
    ------
    TypeError
        f is not a function
    ValueError
        an unknown method or option, neither budget nor epsilon, a parameter that the method needs and did not get,
        bounds without low < high, a value of f that is not a finite number

    Examples
    --------
    >>> result = maximize(lambda x: 1 - (x - 0.3) ** 2, (0, 1), "soo", budget=60)
    >>> round(result.x, 4), result.certificate
    (0.3, inf)
    """
    name = str(method).lower()
    if name not in METHODS:
        raise ValueError(f"unknown method {method!r}; expected one of {', '.join(METHODS)}")
    if not callable(f):
        raise TypeError(f"f must be a function; got {type(f).__name__}")
    if budget is None and epsilon is None:
        raise ValueError("give a budget of measurements, or an epsilon: without either the search never ends")
    if epsilon is not None and name not in ("doo", "pacoptimizer"):
        raise ValueError(f"the method {name!r} certifies no gap: epsilon needs 'doo' or 'pacoptimizer'")
    if budget is None and name in _BUDGETED:
        raise ValueError(f"the method {name!r} needs a budget")
    limit = check_budget(budget) if budget is not None else None
    arguments: dict[str, Any] = dict(options)
    if name in _BUDGETED:
        arguments["budget"] = limit
    if name == "doo" and lipschitz is not None:
        arguments["lipschitz"] = lipschitz
    if name == "pacoptimizer":
        if lipschitz is None or epsilon is None:
            raise ValueError("'pacoptimizer' needs lipschitz= and epsilon=")
        arguments |= {"lipschitz": lipschitz, "epsilon": epsilon, "delta": 0.05 if delta is None else delta,
                      "noise": 1.0 if noise is None else noise}  # fmt: skip
    try:
        search = METHODS[name](bounds, **arguments)
    except TypeError as fault:
        raise ValueError(f"method {name!r}: {fault}") from None
    generator = None if rng is None else as_generator(rng)
    while not search.should_stop and (limit is None or search.t < limit):
        if name == "doo" and epsilon is not None and search.certificate() <= epsilon:
            break
        x = search.ask()
        search.tell(f(x) if generator is None else f(x, generator))
    x, value = search.best()
    gap = search.certificate()
    low, high, upper = search.leaves()
    settled = None if epsilon is None else bool(search.should_stop or gap <= epsilon)
    points = np.array(search.points, dtype=float)
    return OptimizeResult(
        x, value, gap, search.t, name, settled, search.bounds, points, np.array(search.values), low, high, upper,
        search.proof() if math.isfinite(gap) else None,
    )  # fmt: skip
