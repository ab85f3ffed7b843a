"""The price of privacy: what a private release risks, what it must risk at least, and what it would risk without privacy.

All three for one number of records and many budgets; where the private bound leaves the bound without privacy, privacy begins to cost.
Source: Lalanne, Garivier and Gribonval 2023, "On the statistical complexity of estimation and testing under privacy constraints".
Records are replaced, the loss is the squared error (integrated, for a density).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.answer import Answer
from ..core.guarantee import Guarantee
from .bounds import le_cam_bound

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PROBLEMS", "PriceOfPrivacy", "price_of_privacy"]

_LAPLACE = "the mean of records clipped to the bounds, with Laplace noise"


@dataclass(frozen=True)
class PriceOfPrivacy(Answer):
    """Risks of one problem as the budget changes: ``achieved`` by a private release, and two lower bounds."""

    problem: str
    n: int
    epsilon: np.ndarray
    achieved: np.ndarray
    private_bound: np.ndarray
    nonprivate_bound: np.ndarray
    estimator: str

    @property
    def guarantee(self) -> Guarantee:
        """What the bounds say."""
        return Guarantee(
            kind="lower-bound",
            statement=f"no estimator that is epsilon-differentially private has a worst-case risk below the private bound, from "
            f"{self.private_bound.min():.3g} to {self.private_bound.max():.3g} over these budgets",
            values={"nonprivate_bound": float(self.nonprivate_bound.max())},
            assumptions=(f"{self.n} independent records", "one record may be replaced", "squared error"),
            source="Lalanne, Garivier and Gribonval 2023",
        )

    @property
    def crossing(self) -> float | None:
        """The epsilon below which privacy must cost: there the private bound is above the other one."""
        order = np.argsort(self.epsilon)
        budget, excess = np.log(self.epsilon[order]), np.log(self.private_bound[order] / self.nonprivate_bound[order])
        costly = np.flatnonzero(excess > 0)
        if costly.size == 0:
            return None
        k = int(costly[-1])
        if k == len(budget) - 1:
            return float(self.epsilon.max())
        share = excess[k] / (excess[k] - excess[k + 1])  # where the line between the two points crosses
        return float(np.exp(budget[k] + share * (budget[k + 1] - budget[k])))

    def facts(self) -> Mapping[str, Any]:
        """The three curves."""
        return {
            **{
                "problem": self.problem,
                "n": self.n,
                "estimator": self.estimator,
                "privacy_must_cost_below": self.crossing,
            },
            **{"epsilon": self.epsilon.tolist(), "achieved": self.achieved.tolist()},
            **{"private_bound": self.private_bound.tolist(), "nonprivate_bound": self.nonprivate_bound.tolist()},
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """Three curves on logarithmic axes, the crossing marked."""
        from ..core.figures import PALETTE, new_axes

        ax = new_axes(ax, figsize=(6.5, 4))
        ax.loglog(self.epsilon, self.achieved, color=PALETTE[2], label="achieved by a private release")
        ax.loglog(self.epsilon, self.private_bound, color=PALETTE[1], label="no private one is better")
        ax.loglog(
            self.epsilon, self.nonprivate_bound, color=PALETTE[0], linestyle="--", label="no one at all is better"
        )
        if self.crossing is not None:
            ax.axvline(self.crossing, color=PALETTE[5], linewidth=0.8, linestyle=":")
            ax.annotate("privacy must cost\nto the left", (self.crossing, 0.02), xycoords=("data", "axes fraction"),
                        ha="right", va="bottom", fontsize=8.5, xytext=(-4, 0), textcoords="offset points")  # fmt: skip
        ax.set(
            xlabel="epsilon",
            ylabel="risk (squared error)",
            title=f"{self.problem.replace('_', ' ')}, {self.n} records",
        )
        ax.set_ylim(bottom=min(self.private_bound.min(), self.nonprivate_bound.min()) / 25)  # room for the words
        ax.legend()
        return ax


def _two_points(tau: float) -> float:
    """Squared error at two points that are 2 tau apart: tau^2 times half of the sum of errors."""
    return tau**2 / 2


@dataclass(frozen=True)
class _Problem:
    """Two-point families: laws at distance 2 tau, their total variation for one record and for n without privacy."""

    separations: Callable[[int], np.ndarray]  # candidate taus
    tv: Callable[[float], float]  # of one record
    nonprivate: Callable[[float, int], float]  # lower bound of 1 - TV of the samples
    achieved: Callable[[int, float], float]
    estimator: str
    weight: Callable[[float], float] = _two_points  # the risk is at least this times the sum of errors


def price_of_privacy(problem: str, n: int, epsilons: Sequence[float] | np.ndarray) -> PriceOfPrivacy:
    """Achieved risk and both lower bounds, for each budget.

    Parameters
    ----------
    problem : "bernoulli" (a proportion, at 1/2), "uniform_support" (the end of U[0, theta], at 1), "gaussian_mean" (variance 1, mean in
        [-1, 1]) or "density" (Lipschitz constant 1 on [0, 1])
    n : records
    epsilons : budgets of pure differential privacy, one record replaced

    Raises
    ------
    ValueError
        an unknown problem, n outside 2..10^7, or an epsilon outside 1e-30..1e15

    Examples
    --------
    >>> price = price_of_privacy("bernoulli", 1000, [0.01, 1.0])
    >>> [float(f"{bound:.3g}") for bound in price.private_bound[:1]], price.achieved.shape
    ([0.00121], (2,))
    """
    if problem not in PROBLEMS:
        raise ValueError(f"problem must be one of {', '.join(PROBLEMS)}; got {problem!r}")
    if isinstance(n, bool) or int(n) != n or not 2 <= n <= 10**7:
        raise ValueError(f"n must be a whole number of records in 2..10^7; got {n!r}")
    budgets = np.asarray(list(epsilons), dtype=float)
    if budgets.ndim != 1 or budgets.size == 0 or not ((budgets >= 1e-30) & (budgets <= 1e15)).all():
        raise ValueError("epsilons must be a list of numbers between 1e-30 and 1e15")
    recipe, n = PROBLEMS[problem], int(n)

    def private_bound(epsilon: float) -> float:
        return _supremum(recipe, n, lambda t: le_cam_bound(n, recipe.tv(t), epsilon=epsilon))

    private = np.array([private_bound(float(e)) for e in budgets])
    free = _supremum(recipe, n, lambda t: recipe.nonprivate(t, n))
    achieved = np.array([recipe.achieved(n, float(e)) for e in budgets])
    return PriceOfPrivacy(problem, n, budgets, achieved, private, np.full(len(budgets), free), recipe.estimator)


def _supremum(recipe: _Problem, n: int, errors: Callable[[float], float]) -> float:
    """The best of the lower bounds over the distance of the two points; each of them is a bound."""
    from scipy.optimize import minimize_scalar

    taus = recipe.separations(n)
    values = [recipe.weight(t) * errors(t) for t in taus]
    k = int(np.argmax(values))
    if len(taus) < 3 or recipe.tv(taus[1]) == recipe.tv(taus[0]):
        return float(values[k])
    low, high = taus[max(k - 1, 0)], taus[min(k + 1, len(taus) - 1)]
    if recipe.estimator.startswith("histogram"):  # its separations are numbers of bins: nothing in between
        return float(values[k])
    refined = minimize_scalar(lambda t: -recipe.weight(t) * errors(t), bounds=(low, high), method="bounded")
    return max(float(values[k]), -float(refined.fun))


def _bernoulli_nonprivate(tau: float, n: int) -> float:
    """1 - TV of two binomial laws, at 1/2 -+ tau: the threshold n / 2 decides."""
    from scipy.stats import binom

    p = 0.5 + tau
    middle = binom.pmf(n // 2, n, p) if n % 2 == 0 else 0.0
    return float(2 * binom.cdf((n - 1) // 2 if n % 2 else n // 2 - 1, n, p) + middle)


def _gaussian_nonprivate(tau: float, n: int) -> float:
    from scipy.stats import norm

    return float(2 * norm.sf(tau * math.sqrt(n)))


def _gaussian_tv(tau: float) -> float:
    from scipy.stats import norm

    return float(1 - 2 * norm.sf(tau))


def _gaussian_achieved(n: int, epsilon: float) -> float:
    """Records clipped to [-B, B]: worst bias (mean 1), variance at most 1, Laplace noise of scale 2 B / (n epsilon)."""
    from scipy.stats import norm

    def risk(b: float) -> float:
        # the mean lost by clipping above B and below -B, at the mean 1
        above = norm.pdf(b - 1) - (b - 1) * norm.sf(b - 1)
        below = norm.pdf(b + 1) - (b + 1) * norm.sf(b + 1)
        return float((above - below) ** 2 + 1 / n + 2 * (2 * b / (n * epsilon)) ** 2)

    return min(risk(b) for b in np.linspace(0.05, 3 + math.sqrt(2 * math.log(n)), 200))


def _uniform_achieved(n: int, epsilon: float) -> float:
    """Risk of a private quantile near the end of the support, rescaled; simulated, at the best of several levels.

    Bounds [0, 2]; the exponential mechanism on the ranks (Smith 2011), n public.
    """
    return min(_quantile_risk(n, epsilon, shift) for shift in (2.0, 4.0, 8.0, 16.0, 24.0, 32.0, 48.0))


@cache
def _quantile_risk(n: int, epsilon: float, shift: float) -> float:
    rank = n - shift / epsilon
    if rank < 1:
        return 1.0 / 3  # the risk of a uniform guess on [0, 2]
    top = min(n, math.ceil((shift + 80) / epsilon) + 1)  # spacings further down have no weight
    runs = max(40, min(300, 4_000_000 // top))
    rng = np.random.default_rng(12345)
    # the largest `top` order statistics of n uniforms, through exponential spacings
    steps = np.cumsum(rng.standard_exponential((runs, top)) / (n - np.arange(top)), axis=1)
    highest = np.exp(-steps)
    edges = np.concatenate([np.full((runs, 1), 2.0), highest, np.zeros((runs, 1))], axis=1)
    widths = edges[:, :-1] - edges[:, 1:]
    scores = np.log(np.maximum(widths, 1e-300)) - epsilon / 2 * np.abs(n - np.arange(top + 1) - rank)
    chosen = np.argmax(scores + rng.gumbel(size=scores.shape), axis=1)
    rows = np.arange(runs)
    value = edges[rows, chosen] - rng.random(runs) * widths[rows, chosen]
    return float(np.mean((np.clip(value * (n + 1) / rank, 0, 2) - 1) ** 2))


# Lipschitz densities: 1 + sum of +-psi_j, psi_j a triangle wave on the j-th of k cells, slope 1, height h / 4, mean 0:
# int psi^2 = h^3 / 48, int |psi| = h^2 / 8. Neighbouring corners differ by 2 psi: TV = h^2 / 8. A decoder that takes the nearer
# corner in each cell loses at least int psi^2 a wrong coordinate: Assouad with 2 tau = h^3 / 48, k cells.
def _density_errors(k: float, n: int) -> float:
    """A lower bound of 1 - TV of n records, by the Bhattacharyya coefficient: TV^2 <= 1 - BC^(2 n)."""
    h = 1 / k
    t = np.linspace(0, h / 4, 2001)
    # sqrt((1 + psi)(1 - psi)) on the changed cell, 1 elsewhere; psi runs through [-h/4, h/4] four times evenly
    affinity = 1 - h * (1 - float(np.trapezoid(np.sqrt(1 - t**2), t)) * 4 / h)
    return 1 - math.sqrt(max(0.0, -math.expm1(2 * n * math.log(affinity))))


def _density_achieved(n: int, epsilon: float) -> float:
    from .density import histogram_risk

    return min(histogram_risk(k, n, 8 / epsilon**2) for k in range(1, 2 + int(2 * n ** (1 / 3) + 4 * n**0.5)))


def _log_spaced(low: float, high: float) -> Callable[[int], np.ndarray]:
    return lambda n: np.exp(np.linspace(math.log(low / n), math.log(high), 120))


PROBLEMS: dict[str, _Problem] = {
    "bernoulli": _Problem(
        separations=_log_spaced(0.01, 0.5),
        tv=lambda tau: min(1.0, 2 * tau),
        nonprivate=_bernoulli_nonprivate,
        achieved=lambda n, epsilon: 0.25 / n + 2 / (n * epsilon) ** 2,
        estimator="the proportion with Laplace noise",
    ),
    "uniform_support": _Problem(
        separations=_log_spaced(0.01, 0.5),
        tv=lambda tau: min(1.0, 2 * tau),
        nonprivate=lambda tau, n: (1 - min(1.0, 2 * tau)) ** n,
        achieved=_uniform_achieved,
        estimator="a private quantile near the end, rescaled (simulated)",
    ),
    "gaussian_mean": _Problem(
        separations=_log_spaced(0.01, 1.0),
        tv=_gaussian_tv,
        nonprivate=_gaussian_nonprivate,
        achieved=_gaussian_achieved,
        estimator=_LAPLACE,
    ),
    "density": _Problem(
        separations=lambda n: np.arange(1.0, 3 + int(2 * n ** (1 / 3) + 2 * n**0.5)),
        tv=lambda k: 1 / (8 * k**2),
        nonprivate=_density_errors,
        achieved=_density_achieved,
        estimator="histogram with Laplace noise",
        weight=lambda k: k * (1 / k) ** 3 / 96,
    ),
}
