"""Levels whose released quantiles bracket a quantile of the population.

Let N be the number of records below (at or below) the population quantile q of level p: it is Binomial(n, p), or smaller (larger) in law.
If the value released for a lower level is within tau records of it, it lies above q only if N is small; and the like above.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

import numpy as np

from .lattice import Lattice
from .rates import Cost
from .single import rank_bound

__all__ = ["bracket_levels", "lattice_slack", "simulated_slack"]


def bracket_levels(
    levels: Sequence[Fraction], n: int, slack: float, alpha: float
) -> list[tuple[Fraction | None, Fraction | None]]:
    """Lower and upper level for each one; None where the bound of the column has to do.

    ``slack`` is the rank error exceeded with probability at most alpha / 2; the binomial tails take alpha / 4 each.
    """
    from scipy.stats import binom

    out: list[tuple[Fraction | None, Fraction | None]] = []
    tau = math.ceil(slack)
    for p in levels:
        if n == 0:
            out.append((None, None))
            continue
        low = int(binom.ppf(alpha / 4, n, float(p))) - 1 - tau
        high = int(binom.isf(alpha / 4, n, float(p))) + 1 + tau
        out.append((Fraction(low, n) if low > 0 else None, Fraction(high, n) if high < n else None))
    return out


def lattice_slack(lattice: Lattice, levels: Sequence[Fraction], cost: Cost, alpha: float) -> float:
    """Proved for the lattice mechanism with three draws a level: any of them fails with probability at most alpha / 4."""
    draws = 3 * len(levels)
    rate = cost.per_draw(draws) / 2  # the sensitivity is 1, or max(p, 1 - p) <= 1
    # the values are sorted, so one of them may come from another draw: all draws together have to keep the bound
    return rank_bound(lattice.size, rate, alpha / (4 * draws))


@lru_cache(maxsize=64)
def simulated_slack(
    method: str, n: int, lattice: Lattice, levels: tuple[Fraction, ...], cost: Cost, alpha: float
) -> float:
    """The quantile of level 1 - alpha / 4 of the errors of a method with three times the levels, on uniform reference data."""
    from .plan import simulate_errors

    spread = [max(Fraction(1, 2 * n + 2), Fraction(1, 200 * len(levels))) for _ in levels] if n else []
    wide = {q for p, s in zip(levels, spread, strict=True) for q in (p - s, p, p + s) if 0 < q < 1}
    chosen = tuple(sorted(wide)) or tuple(levels)
    replicates = min(max(20, math.ceil(40 / (alpha * len(chosen)))), 300)
    errors, _ = simulate_errors(n, lattice, chosen, cost, replicates=replicates, rng=0, methods=(method,))
    return float(np.quantile(errors[method], 1 - alpha / 4, method="higher"))
