"""`plan_quantiles`: what error to expect of each method, by simulation on public reference data; no private data is touched."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.answer import Answer
from ..core.guarantee import Guarantee
from ..core.parallel import replicate
from ..core.randomness import Seed, as_generator
from .budget import as_budget
from .density_based import LARGEST
from .lattice import Lattice
from .levels import as_levels
from .methods import DENSITY, METHODS, choose_method, run_method
from .noise import Amount, exact_fraction, random_source
from .rates import Cost, level_rate
from .release import check_amount
from .single import rank_bound

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["QuantilePlan", "plan_quantiles", "simulate_errors"]

_CELLS = 50_000_000  # lattice points times replicates that a plan may count through


@dataclass(frozen=True)
class QuantilePlan(Answer):
    """Expected rank errors, in records, of the methods on reference data.

    ``method`` has the smallest mean error; ``rule`` is what ``method="auto"`` takes. ``errors`` maps each method to its simulated
    errors, (replicates, levels).
    """

    p: tuple[float, ...]
    n: int
    lattice_points: int
    method: str
    rule: str
    reason: str
    rank_error_bound: float
    beta: float
    reference: str
    errors: Mapping[str, np.ndarray] = field(repr=False)

    def facts(self) -> Mapping[str, Any]:
        """The recommendation, and the table of the methods."""
        return {
            "levels": len(self.p),
            "records": self.n,
            "lattice_points": self.lattice_points,
            "method": self.method,
            "mean_rank_error": float(self.errors[self.method].mean()),
            "auto_would_take": self.rule,
            "because": self.reason,
            f"lattice_method_bound_{100 * (1 - self.beta):g}_percent": self.rank_error_bound,
            "reference": self.reference,
            "table": [
                {
                    "method": name,
                    "mean_rank_error": float(e.mean()),
                    "percentile_95": float(np.quantile(e, 0.95)),
                    "largest": float(e.max()),
                }
                for name, e in self.errors.items()
            ],
        }

    @property
    def guarantee(self) -> Guarantee:
        """The bound of the lattice method, which holds whatever the data; the other numbers are simulated."""
        return Guarantee(
            kind="error-bound",
            statement=(
                f"with method='lattice', all released values are within {self.rank_error_bound:.4g} records of their quantiles with "
                f"probability at least {1 - self.beta:g}, whatever the data; the other errors are simulated on the reference data"
            ),
            level=self.rank_error_bound,
            source="exponential mechanism on the lattice; docs, privacy-proofs, section '1. One quantile on the lattice'",
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Distribution of the rank error of each method."""
        from .plots import plot_plan

        return plot_plan(self, ax)


def plan_quantiles(
    m: int,
    n: int,
    *,
    bounds: tuple[Amount, Amount],
    resolution: Amount,
    neighbours: str,
    epsilon: Amount | None = None,
    rho: Amount | None = None,
    p: Any = None,
    contributions: int = 1,
    reference: Any = "uniform",
    replicates: int = 20,
    beta: float = 0.05,
    rng: Seed = 0,
    n_jobs: int | None = None,
) -> QuantilePlan:
    """Simulate all methods on reference data that are public.

    Parameters
    ----------
    m : number of levels k / (m + 1); or give ``p``
    n : number of records to plan for
    bounds, resolution, neighbours, epsilon, rho, contributions : as in `quantiles`
    p : levels, if they are not evenly spaced
    reference : "uniform" (on the lattice), or an array of public values to draw from; never the private column
    replicates : simulated releases of each method
    beta : probability with which the proved bound may fail
    rng, n_jobs : generator or seed of the simulation (0 if you say nothing: the same plan each time), and its workers, as in joblib; the plan does not depend on their number

    Raises
    ------
    ValueError
        m, n, the lattice, the budget or the reference out of range, or a p of another length than m

    Examples
    --------
    >>> plan = plan_quantiles(3, 5000, bounds=(0, 365), resolution=1, epsilon=1, neighbours="replace")
    >>> plan.rule, round(plan.rank_error_bound, 1)
    ('jointexp', 60.0)
    """
    lattice = Lattice.of(bounds, resolution)
    if isinstance(m, bool) or not isinstance(m, (int, np.integer)) or not 1 <= m <= 10_000:
        raise ValueError(f"m must be a number of levels in 1..10000; got {m!r}")
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or not 0 <= n <= 10**8:
        raise ValueError(f"n must be a number of records in 0..10^8, which is what a simulation can hold; got {n!r}")
    levels = as_levels([Fraction(k, int(m) + 1) for k in range(1, int(m) + 1)] if p is None else p)
    if len(levels) != m:
        raise ValueError(f"m = {m} does not fit {len(levels)} levels p; leave p out, or give as many as m says")
    budget = as_budget(epsilon=epsilon, rho=rho, neighbours=neighbours, contributions=contributions)
    check_amount("epsilon" if rho is None else "rho", exact_fraction(epsilon if rho is None else rho))
    cost = Cost.of(budget)
    rule, reason = choose_method(len(levels), lattice.size, int(n), cost)
    errors, name = simulate_errors(int(n), lattice, levels, cost, reference, replicates, rng, n_jobs=n_jobs)
    bound = max(rank_bound(lattice.size, level_rate(cost, q, len(levels)), beta / len(levels)) for q in levels)
    best = min(errors, key=lambda method: float(errors[method].mean()))
    if n > 0 and float(errors[best].mean()) > 0.7 * _blind_error(int(n), lattice, levels):
        warnings.warn(
            "the budget is so small that the released values say next to nothing about the data: the best method is wrong by "
            f"{float(errors[best].mean()) / n:.0%} of the records on average, about as much as values drawn blindly",
            stacklevel=2,
        )
    return QuantilePlan(
        tuple(float(q) for q in levels), int(n), lattice.size, best, rule, reason, bound, beta, name, errors
    )


def simulate_errors(
    n: int,
    lattice: Lattice,
    levels: tuple[Fraction, ...],
    cost: Cost,
    reference: Any = "uniform",
    replicates: int = 20,
    rng: Seed = 0,
    methods: tuple[str, ...] | None = None,
    n_jobs: int | None = None,
) -> tuple[dict[str, np.ndarray], str]:
    """Rank errors by method, (replicates, levels), and the name of the reference."""
    generator = as_generator(rng)
    if methods is None:
        methods = tuple(
            method
            for method in METHODS[1:]
            if method not in DENSITY or lattice.size <= min(LARGEST, _CELLS // max(replicates, 1))
        )
    if isinstance(reference, str):
        if reference != "uniform":
            raise ValueError(f"reference must be 'uniform' or an array of public values; got {reference!r}")
        pool, name = None, "uniform on the lattice"
    else:
        values = np.asarray(reference, dtype=float)
        if values.ndim != 1 or not values.size or not np.isfinite(values).all():
            raise ValueError("reference must be 'uniform' or a list of finite public values")
        pool, name = lattice.index(values), f"{values.size} public values, drawn with replacement"
    found = replicate(_errors_once, replicates, n, pool, lattice, levels, cost, methods, rng=generator, n_jobs=n_jobs)
    return {method: np.array([errors[k] for errors in found]) for k, method in enumerate(methods)}, name


def _errors_once(
    rng: np.random.Generator,
    n: int,
    pool: np.ndarray | None,
    lattice: Lattice,
    levels: tuple[Fraction, ...],
    cost: Cost,
    methods: tuple[str, ...],
) -> list[np.ndarray]:
    """Rank errors of each method on one draw of the reference data."""
    index = rng.integers(0, lattice.size, n) if pool is None else rng.choice(pool, n)
    source = random_source(rng)
    return [index_errors(index, levels, run_method(m, source, index, lattice, levels, cost)) for m in methods]


def _blind_error(n: int, lattice: Lattice, levels: tuple[Fraction, ...]) -> float:
    """Mean rank error of points drawn without looking, on uniform data."""
    rng = np.random.default_rng(0)
    found = [
        index_errors(
            rng.integers(0, lattice.size, n), levels, np.sort(rng.integers(0, lattice.size, len(levels)))
        ).mean()
        for _ in range(200 if n <= 10_000 else 20)
    ]
    return float(np.mean(found))


def index_errors(index: np.ndarray, levels: tuple[Fraction, ...], released: np.ndarray) -> np.ndarray:
    """Tie-aware rank errors of lattice points."""
    data = np.sort(index)
    wanted = np.array([float(p * len(data)) for p in levels])
    below, atmost = np.searchsorted(data, released, side="left"), np.searchsorted(data, released, side="right")
    return np.maximum(0.0, np.maximum(below - wanted, wanted - atmost))
