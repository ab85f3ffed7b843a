"""The law of a return and what is read from it: mean, tail, entropic risk.

Rewards are maximised, so risk is on the left: every tail is the lower one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.answer import Answer
from ..core.guarantee import Guarantee

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ReturnDistribution", "check_beta", "check_level"]

NEGLIGIBLE = 1e-18  # |beta| x range below which the entropic risk is the mean, up to rounding
_SMALL = 0.5  # below this |beta (x - mean)|, the entropic risk is computed around the mean


@dataclass(frozen=True, eq=False)
class ReturnDistribution(Answer):
    """A law with finitely many atoms, exact or with a certified error.

    Parameters
    ----------
    atoms : (n,) increasing values of the return
    weights : (n,) their probabilities
    w1_error : bound of the Wasserstein-1 distance to the true law; 0 when the law is exact
    lower, upper : laws of returns that are never above, never below the true one (on the same paths), or None
    method : how it was computed
    a_priori : the error that was promised before computing

    Raises
    ------
    ValueError
        atoms that are not finite, or weights that are not probabilities

    Examples
    --------
    >>> law = ReturnDistribution(np.array([-100.0, -20.0]), np.array([0.05, 0.95]))
    >>> law.mean, law.var(0.05), round(law.cvar(0.1), 6)
    (-24.0, -100.0, -60.0)
    """

    atoms: np.ndarray
    weights: np.ndarray
    w1_error: float = 0.0
    lower: ReturnDistribution | None = None
    upper: ReturnDistribution | None = None
    method: str = "exact"
    a_priori: float = 0.0
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        atoms, weights = np.asarray(self.atoms, float), np.asarray(self.weights, float)
        if atoms.ndim != 1 or atoms.shape != weights.shape or not atoms.size:
            raise ValueError(f"atoms and weights must be vectors of one length; got {atoms.shape} and {weights.shape}")
        if not np.isfinite(atoms).all() or not (weights >= 0).all() or not abs(weights.sum() - 1) < 1e-6:
            raise ValueError("atoms must be finite and weights be probabilities that sum to 1")
        if (np.diff(atoms) < 0).any():
            order = np.argsort(atoms, kind="stable")
            atoms, weights = atoms[order], weights[order]
        for name, array in (("atoms", atoms), ("weights", weights)):
            array = array.copy()
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    # ------------------------------------------------------------------ functionals

    @property
    def exact(self) -> bool:
        """Whether the law is the true one, up to rounding."""
        return self.w1_error == 0

    @property
    def mean(self) -> float:
        """Expected return."""
        return float(self.weights @ self.atoms)

    @property
    def variance(self) -> float:
        """Variance of the return."""
        return float(self.weights @ (self.atoms - self.mean) ** 2)

    @property
    def std(self) -> float:
        """Standard deviation of the return."""
        return math.sqrt(self.variance)

    @property
    def support(self) -> tuple[float, float]:
        """Smallest and largest return of positive probability."""
        live = self.atoms[self.weights > 0]
        return float(live[0]), float(live[-1])

    def cdf(self, x: float) -> float:
        """``P(G <= x)``."""
        return float(min(1.0, self.weights[self.atoms <= _number(x) + self._near(x)].sum()))

    def prob_at_least(self, x: float) -> float:
        """``P(G >= x)``."""
        return float(min(1.0, self.weights[self.atoms >= _number(x) - self._near(x)].sum()))

    def _near(self, x: float) -> float:
        """Sums of rewards that differ by less differ by rounding: 0.1 + 0.1 + 0.1 is 0.3."""
        largest = float(np.abs(self.atoms).max())
        return max(1e-12 * min(abs(x), largest), 4e-15 * largest)

    def var(self, alpha: float) -> float:
        """Lower quantile ``inf {x: P(G <= x) >= alpha}``."""
        alpha = check_level(alpha)
        reached = np.cumsum(self.weights) >= alpha - 1e-12 * alpha
        reached &= self.weights > 0
        return float(self.atoms[int(reached.argmax())] if reached.any() else self.support[1])

    def cvar(self, alpha: float) -> float:
        """Mean of the worst fraction ``alpha`` of the returns; the atom at the quantile is split.

        Rockafellar and Uryasev (2000): ``max_eta {eta - E(eta - G)_+ / alpha}``.
        """
        alpha = check_level(alpha)
        eta = self.var(alpha)
        below = self.atoms < eta
        return float(eta - self.weights[below] @ (eta - self.atoms[below]) / alpha)

    def entrm(self, beta: float) -> float:
        """Entropic risk ``log E exp(beta G) / beta``; the mean at 0, minimum and maximum at -inf and +inf."""
        return float(self.entrm_curve(np.array([check_beta(beta)]))[0])

    def entrm_curve(self, betas: np.ndarray) -> np.ndarray:
        """Entropic risk for many parameters at once."""
        live = self.weights > 0
        x, w = self.atoms[live], self.weights[live]
        return entrm_of(x, w, np.asarray(betas, float))

    def evar(self, alpha: float) -> float:
        """Entropic value at risk ``sup_{beta < 0} {entrm(beta) + log(1/alpha) / beta}`` (Ahmadi-Javid 2012).

        The supremum is where the tilted law is at divergence ``log(1/alpha)`` from the law.
        """
        from scipy.optimize import brentq

        alpha = check_level(alpha)
        live = self.weights > 0
        x, w = self.atoms[live], self.weights[live] / self.weights.sum()
        budget, scale = -math.log(alpha), float(x[-1] - x[0])
        if budget == 0 or scale == 0:
            return self.mean
        if budget >= -math.log(w[0]) * (1 - 1e-12):
            return float(x[0])

        def excess(log_beta: float) -> float:
            return _tilt(x, w, -math.exp(log_beta))[1] - budget

        low, high = math.log(1e-9 / scale), math.log(1 / scale)
        while excess(high) < 0 and high < 700:
            high += 2.0
        if excess(high) < 0:
            return float(x[0])
        beta = -math.exp(brentq(excess, low, high, xtol=1e-13, rtol=1e-14)) if excess(low) < 0 else -math.exp(low)
        return self.entrm(beta) + budget / beta

    def chernoff(self, x: float) -> float:
        """``inf_{beta < 0} exp(beta (entrm(beta) - x))``, an upper bound of ``P(G <= x)``."""
        from scipy.optimize import brentq

        live = self.weights > 0
        atoms, w = self.atoms[live], self.weights[live] / self.weights.sum()
        near = self._near(_number(x))
        first, x = abs(x - atoms[0]) <= near, x + near  # what `cdf` counts as at most x
        if x < atoms[0]:
            return 0.0
        if first:
            return float(w[atoms <= x].sum())
        if x >= float(w @ atoms):
            return 1.0
        scale = float(atoms[-1] - atoms[0])

        def slope(log_beta: float) -> float:
            return _tilt(atoms, w, -math.exp(log_beta))[0] - x

        low, high = math.log(1e-12 / scale), math.log(1 / scale)
        while slope(high) > 0 and high < 700:
            high += 2.0
        if slope(high) > 0:
            return float(w[0])
        if slope(low) <= 0:
            return 1.0
        beta = -math.exp(brentq(slope, low, high))
        return min(1.0, math.exp(beta * (self.entrm(beta) - x)))

    def functional(self, name: str, parameter: float | None = None) -> float:
        """A functional by its name: mean, variance, std, cdf, prob_at_least, var, cvar, entrm, evar."""
        known = {"mean", "variance", "std", "cdf", "prob_at_least", "var", "cvar", "entrm", "evar"}
        if name not in known:
            raise ValueError(f"unknown functional {name!r}; expected one of {', '.join(sorted(known))}")
        value = getattr(self, name)
        return float(value(parameter)) if callable(value) else float(value)

    def bounds(self, name: str, parameter: float | None = None) -> tuple[float, float]:
        """Certified lower and upper bound of a functional of the true law.

        From the two enclosing laws where there are; otherwise from the Wasserstein error, where the
        functional is Lipschitz (mean, CVaR, variance, entropic risk); infinite where nothing is certified.

        Examples
        --------
        >>> law = ReturnDistribution(np.array([0.0, 1.0]), np.array([0.5, 0.5]), w1_error=0.01)
        >>> [round(bound, 3) for bound in law.bounds("cvar", 0.25)]
        [-0.04, 0.04]
        """
        value = self.functional(name, parameter)
        if self.exact:
            return value, value
        if self.lower is not None and self.upper is not None and name not in ("variance", "std"):
            ends = self.lower.functional(name, parameter), self.upper.functional(name, parameter)
            return min(ends), max(ends)
        error = self.w1_error * self._lipschitz(name, parameter)
        return (-math.inf, math.inf) if math.isnan(error) else (value - error, value + error)

    def _lipschitz(self, name: str, parameter: float | None) -> float:
        """Wasserstein-1 Lipschitz constant of a functional on laws of this range."""
        true, own = self.notes.get("range", self.support), self.support
        low, high = min(true[0], own[0]), max(true[1], own[1])  # both laws live here
        if name == "mean":
            return 1.0
        if name == "cvar" and parameter:
            return 1 / parameter
        if name == "variance":
            return 2 * (high - low)
        if name == "entrm" and parameter is not None and math.isfinite(parameter):
            return math.exp(min(700.0, abs(parameter) * (high - low)))
        return math.nan

    # ------------------------------------------------------------------ the answer

    @property
    def guarantee(self) -> Guarantee:
        """How far the law is from the true one."""
        page, true = "docs, mdp, section 'Return distributions'", ("the model is the true one",)
        if self.exact:
            return Guarantee("exact", "the law is exact up to rounding", 0.0, assumptions=true, source=page)
        statement = f"Wasserstein-1 distance to the true law at most {self.w1_error:.4g}"
        if self.lower is not None:
            statement += "; two laws enclose it, so quantiles and probabilities have two-sided bounds"
        values = {"w1_error": self.w1_error, "a_priori": self.a_priori}
        return Guarantee("error-bound", statement, self.w1_error, values, true, page)

    def facts(self) -> Mapping[str, Any]:
        """Mean, spread and lower tail."""
        facts: dict[str, Any] = {
            "mean": self.mean,
            "std": self.std,
            "minimum": self.support[0],
            "maximum": self.support[1],
        }
        for alpha in (0.05, 0.1):
            facts |= {f"VaR_{alpha:g}": self.var(alpha), f"CVaR_{alpha:g}": self.cvar(alpha)}
        facts |= {"EVaR_0.1": self.evar(0.1), "atoms": len(self.atoms), "method": self.method}
        if not self.exact:
            facts |= {"w1_error": self.w1_error}
            facts |= {f"CVaR_{a:g}_between": "{:.4g} and {:.4g}".format(*self.bounds("cvar", a)) for a in (0.05, 0.1)}
        return facts

    def to_dict(self) -> dict[str, Any]:
        """The facts, the guarantee, the atoms and their weights."""
        return {**super().to_dict(), "law": {"atoms": self.atoms.tolist(), "weights": self.weights.tolist()}}

    def plot(self, ax: Axes | None = None, alpha: float = 0.1) -> Axes:
        """Bars of the law with mean, VaR and CVaR; the band between the enclosing laws where there are."""
        from .plots import plot_law

        return plot_law(self, ax, alpha)


def entrm_of(x: np.ndarray, w: np.ndarray, betas: np.ndarray) -> np.ndarray:
    """Entropic risk of the law (x increasing, w > 0) at each beta, accurate for any size of beta.

    Around the mean ``m + log1p(sum w expm1(beta (x - m))) / beta`` while the exponents are small;
    the shifted logarithm of a sum of exponentials otherwise.
    """
    mean = float(w @ x)
    reach = max(x[-1] - mean, mean - x[0])
    values = np.empty(betas.shape)
    for at, beta in np.ndenumerate(betas):
        # where the curvature is below rounding beta may have lost digits itself
        if reach == 0 or abs(beta) * reach <= NEGLIGIBLE:
            values[at] = mean
        elif math.isinf(beta) or abs(beta) * (x[-1] - x[0]) > 1e6:
            values[at] = _extreme(x, w, beta)
        elif abs(beta) * reach <= _SMALL:
            values[at] = mean + math.log1p(w @ np.expm1(beta * (x - mean))) / beta
        else:
            exponent = beta * x
            top = exponent.max()
            values[at] = (top + math.log(w @ np.exp(exponent - top))) / beta
    return values


def _extreme(x: np.ndarray, w: np.ndarray, beta: float) -> float:
    """Very large |beta|: the end of the support, and its mass as long as beta is finite."""
    end = 0 if beta < 0 else -1
    return float(x[end] + (0.0 if math.isinf(beta) else math.log(w @ np.exp(beta * (x - x[end]))) / beta))


def _tilt(x: np.ndarray, w: np.ndarray, beta: float) -> tuple[float, float]:
    """Mean of the law tilted by ``exp(beta x)``, and its divergence from the law."""
    exponent = beta * x
    exponent -= exponent.max()
    q = w * np.exp(exponent)
    total = q.sum()
    q /= total
    mean = float(q @ x)
    return mean, max(0.0, float(q @ exponent) - math.log(total))


def _number(x: float) -> float:
    if math.isnan(x):
        raise ValueError("a return to compare with must be a number; got nan")
    return x


def check_level(alpha: Any) -> float:
    """A tail level in (0, 1]."""
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float, np.integer, np.floating)) or not 0 < alpha <= 1:
        raise ValueError(f"alpha must lie in (0, 1]: the fraction of worst returns; got {alpha!r}")
    return float(alpha)


def check_beta(beta: Any) -> float:
    """A parameter of the entropic risk: any number, infinities included."""
    if isinstance(beta, bool) or not isinstance(beta, (int, float, np.integer, np.floating)) or math.isnan(beta):
        raise ValueError(f"beta must be a number (negative: averse to risk, 0: the mean); got {beta!r}")
    return float(beta)
