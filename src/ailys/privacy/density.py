"""Private densities: noisy histograms, and noisy Fourier coefficients, with their expected error stated beforehand.

Source: Lalanne, Garivier and Gribonval 2023, "About the cost of central privacy in density estimation": histograms are
minimax-optimal for Lipschitz densities; projections are near-optimal for smooth ones (optimal under zCDP). The number of records is
public here, under both relations between neighbours, as a density is a proportion of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.answer import Answer
from ..core.guarantee import Guarantee
from .budget import Budget, PrivacySpent, as_budget
from .integer_noise import IntegerNoise
from .lattice import Lattice
from .ledger import Ledger
from .noise import Amount, Source, exact_fraction
from .preprocess import check_missing, prepare
from .readers import fingerprint, load_persons
from .records import public_settings, read_records
from .release import private_release

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PrivateDensity", "density", "histogram_risk", "projection_risk"]

_FINE = 1 << 20  # records are rounded to this many cells of the bounds before anything else
_GRID_BITS = 30  # coefficients are rounded to multiples of 2^-30
_MAX_BINS, _MAX_COEFFICIENTS = 1 << 16, 1 << 10


@dataclass(frozen=True)
class PrivateDensity(Answer):
    """A released density on ``bounds``; piecewise constant (histogram) or a trigonometric sum.

    ``heights`` are the values of the density on ``len(heights)`` cells of equal width. ``risk_bound`` bounds the expected integrated
    squared error E int (f_hat - f)^2 on the bounds scaled to [0, 1], under the smoothness assumed, if ``n`` was the true number of
    records and none lies outside of the bounds, and before the density is made proper.
    """

    method: str
    bounds: tuple[float, float]
    heights: np.ndarray
    parameters: int
    noise_sd: float  # of a height (scaled to [0, 1]), or of a coefficient
    risk_bound: float
    smoothness: float
    proper: bool
    privacy: PrivacySpent
    secure: bool
    coefficients: np.ndarray | None = field(default=None, repr=False)

    @property
    def guarantee(self) -> Guarantee:
        """The privacy of the release."""
        return self.privacy.released(self.secure)

    @property
    def _width(self) -> float:
        return (self.bounds[1] - self.bounds[0]) / len(self.heights)

    def pdf(self, x: Any) -> np.ndarray:
        """The density at ``x``; 0 outside of the bounds."""
        x = np.asarray(x, dtype=float)
        cell = np.clip((x - self.bounds[0]) / self._width, 0, len(self.heights) - 1).astype(int)
        return np.where((x >= self.bounds[0]) & (x <= self.bounds[1]), self.heights[cell], 0.0)

    def cdf(self, x: Any) -> np.ndarray:
        """The integral of the density up to ``x``; monotone if the density is proper."""
        edges = np.linspace(*self.bounds, len(self.heights) + 1)
        return np.interp(
            np.asarray(x, dtype=float), edges, np.concatenate([[0.0], np.cumsum(self.heights)]) * self._width
        )

    def ppf(self, p: Any) -> np.ndarray:
        """The quantiles of a proper density.

        Raises
        ------
        ValueError
            a level outside [0, 1], or a density with negative parts (``proper=False``)
        """
        self._require_proper()
        p = np.asarray(p, dtype=float)
        if ((p < 0) | (p > 1)).any():
            raise ValueError("quantile levels must lie in [0, 1]")
        edges = np.linspace(*self.bounds, len(self.heights) + 1)
        return np.interp(p, np.concatenate([[0.0], np.cumsum(self.heights)]) * self._width, edges)

    def rvs(self, size: int, rng: np.random.Generator | int | None = None) -> np.ndarray:
        """Random values from a proper density; costs no privacy.

        Parameters
        ----------
        size : number of draws
        rng : generator, seed or None

        Raises
        ------
        ValueError
            a density with negative parts (``proper=False``)
        """
        from ..core.randomness import as_generator

        return self.ppf(as_generator(rng).random(size))

    def facts(self) -> Mapping[str, Any]:
        """The density and its error."""
        return {
            **{
                "method": self.method,
                "bounds": list(self.bounds),
                "parameters": self.parameters,
                "noise_sd": self.noise_sd,
            },
            **{"risk_bound": self.risk_bound, "smoothness": self.smoothness, "proper": self.proper},
            **{"heights": self.heights.tolist(), **self.privacy.facts(), "secure": self.secure},
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """The density with the band of two standard deviations of its noise."""
        from ..core.figures import PALETTE, new_axes

        ax = new_axes(ax, figsize=(6.5, 3.6))
        edges = np.linspace(*self.bounds, len(self.heights) + 1)
        scale = 1 / (self.bounds[1] - self.bounds[0])
        # a projection adds N independent coefficients times functions whose squares sum to N at every point
        sd = self.noise_sd * scale * (math.sqrt(self.parameters) if self.method == "projection" else 1)
        low, high = (np.append(h, h[-1]) for h in (np.maximum(self.heights - 2 * sd, 0), self.heights + 2 * sd))
        ax.fill_between(
            edges, low, high, step="post", color=PALETTE[0], alpha=0.2, linewidth=0, label="± 2 sd of the noise"
        )
        ax.stairs(self.heights, edges, color=PALETTE[0], label="released density")
        ax.set(xlim=self.bounds, ylim=(0, None), ylabel="density")
        ax.legend()
        return ax

    def _require_proper(self) -> None:
        if not self.proper:
            raise ValueError("quantiles need a density that is not negative; release it with proper=True")


def density(
    x: Any,
    *,
    bounds: tuple[Amount, Amount],
    neighbours: str,
    epsilon: Amount | None = None,
    rho: Amount | None = None,
    method: str = "histogram",
    smoothness: float | None = None,
    n: int | None = None,
    proper: bool = True,
    parameters: int | None = None,
    contributions: int = 1,
    missing: str = "error",
    missing_value: float | None = None,
    ledger: Ledger | str | Path | None = None,
    label: str | None = None,
    unsafe_rng: np.random.Generator | int | None = None,
) -> PrivateDensity:
    """The density of a column on public bounds.

    Parameters
    ----------
    x : array (n,) or `ailys.privacy.readers.Column`
    bounds : the density lives here; records outside are moved to the ends
    neighbours, epsilon, rho, contributions, ledger, label, unsafe_rng : as in `ailys.privacy.count`
    method : "histogram" or "projection" (on a Fourier basis; for densities whose ends meet)
    smoothness : histogram: the Lipschitz constant of the density on the bounds scaled to [0, 1] (default 1); projection: the
        Sobolev exponent beta > 1/2 of the unit ball, sum k^(2 beta) theta_k^2 <= 1 (default 1)
    n : public number of records; default: that of ``x``, which is then disclosed. A given one is used under "add_remove"
    proper : clip negative heights and scale to integral 1
    parameters : number of bins or (even) coefficients; default: the one with the least bound of the risk

    Raises
    ------
    BudgetExceeded
        the ledger does not allow it; no data are read
    ReleaseFailed
        the mechanism stopped on these data; the budget stays spent
    ValueError, TypeError
        bad settings or bad data; no text holds a value of the data

    Examples
    --------
    >>> from numpy.random import default_rng
    >>> f = density(default_rng(0).random(1000), bounds=(0, 1), neighbours="replace", epsilon=1)
    >>> f.parameters, float(round(f.cdf(1.0), 9))
    (5, 1.0)
    """
    budget = as_budget(epsilon, rho, neighbours, contributions)
    check_missing(missing, missing_value, neighbours, contributions)
    if method not in ("histogram", "projection"):
        raise ValueError(f"method must be 'histogram' or 'projection'; got {method!r}")
    smooth = 1.0 if smoothness is None else float(smoothness)
    if not (math.isfinite(smooth) and smooth > (0.5 if method == "projection" else 0)):
        raise ValueError(
            f"smoothness must be finite and above {0.5 if method == 'projection' else 0}; got {smoothness!r}"
        )
    if n is not None and (isinstance(n, bool) or int(n) != n or n < 1):
        raise ValueError(f"n must be a whole number of records, at least 1; got {n!r}")
    if n is None and neighbours == "add_remove":
        raise ValueError(
            "under neighbours='add_remove' the number of records is secret: give a public n (an estimate will do)"
        )
    if parameters is not None and (
        int(parameters) != parameters or parameters < 1 or (method == "projection" and parameters % 2)
    ):
        raise ValueError(f"parameters must be a whole number (even for 'projection'), at least 1; got {parameters!r}")
    low, high = _limits(bounds)
    lattice = Lattice.of((low, high), (high - low) / _FINE)

    def read() -> np.ndarray:
        values, _ = read_records(x, load_persons(x, None), missing)
        if len(values) == 0 and n is None:
            raise ValueError("the column has no records: no density")
        return values

    def run(values: np.ndarray, source: Source) -> PrivateDensity:
        points = prepare(
            values, lattice, neighbours=neighbours, missing=missing, missing_value=missing_value,
            contributions=budget.contributions, source=source,
        )  # fmt: skip
        size = len(points) if n is None else int(n)
        estimate = _histogram if method == "histogram" else _projection
        return estimate(points, size, budget, smooth, parameters, proper, (float(low), float(high)), source)

    return private_release(
        *(run, read), privacy=budget.spent(), mechanism=f"density, {method}",
        parameters=public_settings(budget, bounds=bounds, smoothness=smoothness, n=n, parameters=parameters), ledger=ledger,
        label=label, dataset=fingerprint(x), unsafe_rng=unsafe_rng,
    )  # fmt: skip


def histogram_risk(k: int, n: int, variance: float, lipschitz: float = 1.0, *, collisions: float = 0.0, bias2: float | None = None) -> float:  # fmt: skip
    """E int (f_hat - f)^2 of a histogram of k bins whose counts have noise of this variance.

    bias^2 + (1 - sum p_b^2) / (n h) + Var / (n h)^2 with h = 1 / k: exact with ``collisions`` = sum p_b^2 and the true ``bias2``, and
    an upper bound without them, for densities with this Lipschitz constant (bias^2 <= L^2 h^2 / 12).

    Examples
    --------
    >>> round(histogram_risk(12, 10_000, 8.0), 6)
    0.00179
    """
    bias2 = lipschitz**2 / (12 * k**2) if bias2 is None else bias2
    return bias2 + (1 - collisions) * k / n + variance * (k / n) ** 2


def projection_risk(N: int, n: int, variance: float, beta: float = 1.0, *, energy: float = 0.0, tail: float | None = None) -> float:  # fmt: skip
    """E int (f_hat - f)^2 of N noisy Fourier coefficients, each with noise of this variance.

    (N - sum of squares of the kept coefficients) / n + N Var + sum of squares of the others: exact with ``energy`` and ``tail``, an
    upper bound without, for coefficients with sum k^(2 beta) theta_k^2 <= 1.
    """
    tail = float(N + 1) ** (-2 * beta) if tail is None else tail
    return (N - energy) / n + N * variance + tail


def projection_sensitivity(N: int) -> float:
    """n times the L2 sensitivity of N mean Fourier coefficients to one replaced record.

    max over u of sqrt(2 N - 4 sum_{l <= N/2} cos(2 pi l u)), about 1.564 sqrt(N), and never above 2 sqrt(N).

    Examples
    --------
    >>> round(projection_sensitivity(2), 6), round(projection_sensitivity(50), 6)
    (2.828427, 11.143901)
    """
    from scipy.optimize import minimize_scalar

    half = N // 2

    def spread(u: float) -> float:  # the Dirichlet kernel in closed form
        s = math.sin(math.pi * u)
        cosines = half if s == 0 else (math.sin((2 * half + 1) * math.pi * u) / s - 1) / 2
        return 2 * N - 4 * cosines

    # the kernel is lowest in its first dip, between 1 / (half + 1/2) and half of the next period
    grid = np.linspace(0.5 / (half + 0.5), 2.0 / (half + 0.5), 400)
    grid = np.append(grid[grid <= 0.5], 0.5)
    best = grid[int(np.argmax([spread(u) for u in grid]))]
    step = grid[1] - grid[0] if len(grid) > 1 else 0.5
    refined = minimize_scalar(
        lambda u: -spread(u), bounds=(best - step, min(0.5, best + step)), method="bounded", options={"xatol": 1e-12}
    )
    return math.sqrt(max(spread(best), -float(refined.fun), spread(0.5)))


def _histogram(
    points: np.ndarray, n: int, budget: Budget, smooth: float, k: int | None, proper: bool, bounds: tuple[float, float], source: Source
) -> PrivateDensity:  # fmt: skip
    moved = 1 if budget.neighbours == "add_remove" else 2
    noise = IntegerNoise.calibrated(budget, l1=moved, l2_squared=moved)
    bins = k or _best(lambda m: histogram_risk(m, n, noise.variance, smooth), range(1, _MAX_BINS + 1))
    bins = min(bins, _FINE)
    counts = np.bincount(points * bins // (_FINE + 1), minlength=bins) + noise.draw(source, bins)
    heights = counts.astype(float) * bins / n
    return PrivateDensity(
        *(
            "histogram",
            bounds,
            _proper(heights, proper) / (bounds[1] - bounds[0]),
            bins,
            noise.variance**0.5 * bins / n,
        ),
        *(histogram_risk(bins, n, noise.variance, smooth), smooth, proper, budget.spent(), source.secure),
    )


def _projection(
    points: np.ndarray, n: int, budget: Budget, beta: float, N: int | None, proper: bool, bounds: tuple[float, float], source: Source
) -> PrivateDensity:  # fmt: skip
    N = N or _best(lambda m: projection_risk(m, n, _coefficient_noise(m, budget).variance * _unit(n) ** 2, beta), range(2, _MAX_COEFFICIENTS + 1, 2))  # fmt: skip
    noise = _coefficient_noise(N, budget)
    u = points / _FINE
    frequencies = np.arange(1, N // 2 + 1)
    sums = np.empty(N, dtype=np.int64)
    for l in frequencies:
        for place, wave in ((2 * l - 2, np.cos), (2 * l - 1, np.sin)):
            # each record's value is rounded by itself; their sum is then an integer
            sums[place] = np.rint(math.sqrt(2) * wave(2 * np.pi * l * u) * 2**_GRID_BITS).astype(np.int64).sum()
    theta = (sums + noise.draw(source, N)).astype(float) * _unit(n)
    cells = max(512, 8 * N)
    v = (np.arange(cells) + 0.5) / cells
    waves = 2 * np.pi * np.outer(v, frequencies)
    heights = 1 + math.sqrt(2) * (np.cos(waves) @ theta[0::2] + np.sin(waves) @ theta[1::2])
    variance = noise.variance * _unit(n) ** 2
    return PrivateDensity(
        *("projection", bounds, _proper(heights, proper) / (bounds[1] - bounds[0]), N, variance**0.5),
        *(projection_risk(N, n, variance, beta), beta, proper, budget.spent(), source.secure),
        coefficients=theta,
    )


def _unit(n: int) -> float:
    return 2.0**-_GRID_BITS / n


def _coefficient_noise(N: int, budget: Budget) -> IntegerNoise:
    """Noise of the sums of N rounded coefficients, in grid units; rounding moves each by at most half a unit."""
    if budget.neighbours == "replace":
        # the dips of the kernel are found numerically: the factor covers its last digits
        reach2, reach1 = projection_sensitivity(N) * (1 + 1e-9), 2 * math.sqrt(2) * N
    else:  # one record: sum of squares N, absolute values at most sqrt(2) N
        reach2, reach1 = math.sqrt(N) * (1 + 1e-9), math.sqrt(2) * N
    l2 = Fraction(math.ceil(reach2 * 2**_GRID_BITS) + N)
    l1 = Fraction(math.ceil(reach1 * 2**_GRID_BITS) + N)
    return IntegerNoise.calibrated(budget, l1=l1, l2_squared=l2**2)


def _best(risk: Any, choices: range) -> int:
    """The choice of the least risk; the risk falls and then rises."""
    low, high = 0, len(choices) - 1
    while high - low > 4:
        a, b = low + (high - low) // 3, high - (high - low) // 3
        if risk(choices[a]) <= risk(choices[b]):
            high = b
        else:
            low = a
    return min(choices[low : high + 1], key=risk)


def _proper(heights: np.ndarray, wanted: bool) -> np.ndarray:
    if not wanted:
        return heights
    clipped = np.maximum(heights, 0)
    total = clipped.mean()
    return clipped / total if total > 0 else np.ones_like(heights)


def _limits(bounds: Any) -> tuple[Fraction, Fraction]:
    try:
        low, high = bounds
    except (TypeError, ValueError):
        raise ValueError("bounds must be two numbers, the lowest and the highest value that can occur") from None
    low, high = exact_fraction(low, "the lower bound"), exact_fraction(high, "the upper bound")
    if low >= high:
        raise ValueError(f"bounds must be increasing; got {bounds[0]} to {bounds[1]}")
    return low, high
