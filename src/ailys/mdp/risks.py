"""Policies for the tail: entropic value at risk exactly; CVaR, quantiles and thresholds from the front, or exactly.

Dynamic programming optimises the entropic risk and nothing else of the return's law (Marthe et al., 2023). Two ways lead
from there to the other risks: try the policies of the optimality front, or let the policy remember what was earned.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..core.answer import Answer
from ..core.guarantee import Guarantee
from .augmented import AugmentedPolicy, Lattice
from .entrm import EntRMSolution, return_reach, solve_entrm
from .evaluate import evaluate
from .front import OptimalityFront, entrm_front
from .lattice import lattice_step
from .model import TabularMDP
from .returns import ReturnDistribution, check_level
from .solve import solve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["RiskSolution", "optimize_cvar", "optimize_evar", "optimize_threshold", "optimize_var"]

Method = Literal["front", "gpi", "exact", "bracket"]
_ENTRIES = 40_000_000  # work (rows x targets) up to which an upper bound is computed unasked
_GRID = 400  # points of the lattice on which a bracket rounds, when no step is given


@dataclass(frozen=True, eq=False)
class RiskSolution(Answer):
    """A policy for a risk, the value it reaches, and bounds of the best value of all policies.

    ``value`` is what the policy reaches (certified from below by ``lower`` where its law is not exact); no policy,
    with or without memory, exceeds ``upper``.
    """

    policy: Any = field(repr=False)
    value: float
    lower: float
    upper: float
    method: str
    distribution: ReturnDistribution = field(repr=False)
    risk: str = ""
    parameter: float = math.nan
    beta: float | None = None
    n_solves: int = 0
    front: OptimalityFront | None = field(repr=False, default=None)

    @property
    def gap(self) -> float:
        """What the policy can be short of the best one."""
        return self.upper - self.lower

    @property
    def guarantee(self) -> Guarantee:
        """The interval that holds the best value of any policy."""
        size = (
            1.0
            if self.risk == "P(G >= x)"
            else max(abs(x) for x in (self.lower, self.upper, *self.distribution.support))
        )
        exact = self.gap <= 1e-9 * size
        name = f"{self.risk} at {self.parameter:g}"
        if exact:
            text = f"no policy, even one that remembers everything, has a larger {name}: {self.value:.6g}"
        else:
            text = f"the policy reaches at least {self.lower:.6g}, and no policy more than {self.upper:.6g} ({name})"
        values = {"lower": self.lower, "upper": self.upper}
        return Guarantee(
            "optimal" if exact else "error-bound", text, max(0.0, self.gap), values,
            assumptions=("the model is the true one",), source="docs, mdp, section 'Tails'",
        )  # fmt: skip

    def facts(self) -> Mapping[str, Any]:
        """The value, its bounds, and the law's first numbers."""
        facts: dict[str, Any] = {"risk": self.risk, "parameter": self.parameter, "value": self.value}
        facts |= {"lower": self.lower, "upper": self.upper, "method": self.method}
        if self.beta is not None:
            facts["beta"] = self.beta
        if self.n_solves:
            facts["solves"] = self.n_solves
        law = self.distribution
        return facts | {"mean": law.mean, "std": law.std, "CVaR_0.1": law.cvar(0.1), "minimum": law.support[0]}

    def plot(self, ax: Axes | None = None) -> Axes:
        """The law of the return of the policy."""
        return self.distribution.plot(ax)


# ------------------------------------------------------------------ entropic value at risk


def optimize_evar(mdp: TabularMDP, alpha: float, tol: float = 1e-6) -> RiskSolution:
    """The largest entropic value at risk, ``max_beta<0 {V*(beta) + log(1/alpha) / beta}``, to within ``tol``.

    The two suprema (policies, beta) commute, so the best entropic risks suffice. Branch and bound over beta: on a cell
    the value is below ``V*(b1) + log(1/alpha) / b0``, and, by the curvature bound of the front, below
    ``(chord + log(1/alpha) - Lambda^2 (beta - b0)(b1 - beta) / 8) / beta``.

    Parameters
    ----------
    alpha : level in (0, 1]; 1 is the mean
    tol : allowed loss of the value, in units of reward

    Returns
    -------
    RiskSolution : ``beta`` is the risk parameter that belongs to the level

    Raises
    ------
    ValueError
        ``alpha`` outside (0, 1], a ``tol`` that is not positive, or a model without horizon or with discount

    Examples
    --------
    >>> mdp = TabularMDP.from_outcomes([[[(1, 0, 0.2)], [(0.5, 0, 1.0), (0.5, 0, -0.5)]]], horizon=1)
    >>> answer = optimize_evar(mdp, 0.1)
    >>> round(answer.value, 6), int(answer.policy[0, 0])
    (0.2, 0)
    """
    alpha = check_level(alpha)
    if not (math.isfinite(tol) and tol > 0):
        raise ValueError(f"tol must be positive; got {tol!r}")
    _with_horizon(mdp)
    budget, width = -math.log(alpha), return_reach(mdp).width
    neutral = solve_entrm(mdp, 0.0)
    if budget == 0 or width == 0:
        return _evar_answer(mdp, alpha, neutral, neutral.start_value, tol=0.0, solves=1)
    solved = {0.0: neutral, -math.inf: solve_entrm(mdp, -math.inf)}

    def at(beta: float) -> float:
        if beta not in solved:
            solved[beta] = solve_entrm(mdp, beta)
        return solved[beta].start_value

    def objective(beta: float) -> float:
        return at(beta) + (budget / beta if beta else 0.0)

    best_beta = -math.inf
    best = at(best_beta)
    b0 = b1 = -budget / width
    cells: list[tuple[float, float, float]] = []  # (minus the upper bound, b0, b1)

    def consider(beta: float) -> None:
        nonlocal best, best_beta
        if (value := objective(beta)) > best:
            best, best_beta = value, beta

    consider(b1)
    while at(0.0) + budget / b1 > best + tol:  # the cell that touches 0
        heapq.heappush(cells, (-_evar_bound(b1, b1 / 2, at(b1), at(b1 / 2), budget, width), b1, b1 / 2))
        b1 /= 2
        consider(b1)
    while at(b0) > best + tol and b0 > -1e12 / width:  # the cell that touches -inf
        heapq.heappush(cells, (-_evar_bound(2 * b0, b0, at(2 * b0), at(b0), budget, width), 2 * b0, b0))
        b0 *= 2
        consider(b0)
    upper = max(best, at(b0), at(0.0) + budget / b1)
    while cells and -cells[0][0] > best + tol:
        _, left, right = cells[0]
        middle = (left + right) / 2
        if not left < middle < right:
            break  # the numbers end here: the cell stays, and its bound counts
        heapq.heappop(cells)
        consider(middle)
        for low, high in ((left, middle), (middle, right)):
            heapq.heappush(cells, (-_evar_bound(low, high, at(low), at(high), budget, width), low, high))
    upper = max(upper, -cells[0][0] if cells else best)
    return _evar_answer(mdp, alpha, solved[best_beta], best, max(0.0, upper - best), len(solved))


def _evar_bound(b0: float, b1: float, v0: float, v1: float, budget: float, width: float) -> float:
    """Largest value that the objective can take on [b0, b1], b1 < 0."""
    monotone = v1 + budget / b0
    curvature = width**2 / 8
    k0, k1 = b0 * v0, b1 * v1
    slope = (k1 - k0) / (b1 - b0)
    # (chord + budget - curvature (beta - b0)(b1 - beta)) / beta = curvature beta + const + d / beta
    d = k0 - slope * b0 + budget + curvature * b0 * b1
    const = slope - curvature * (b0 + b1)
    candidates = [b0, b1]
    if d > 0:
        candidates.append(min(b1, max(b0, -math.sqrt(d / curvature))))
    return min(monotone, max(curvature * beta + const + d / beta for beta in candidates))


def _evar_answer(
    mdp: TabularMDP, alpha: float, solution: EntRMSolution, best: float, tol: float, solves: int
) -> RiskSolution:
    law = evaluate(mdp, solution.policy)
    # products of probabilities below 1e-308 are missing in the law: for such levels it is not asked
    value = law.evar(alpha) if law.exact and alpha > 1e-250 else best
    # the policy may be even better at another beta of its own
    lower, upper = max(best, value), max(best, value, best + tol)
    return RiskSolution(
        solution.policy, value, lower, upper, "branch and bound", law, "EVaR", alpha, solution.beta, solves
    )


# ------------------------------------------------------------------ CVaR, quantile, threshold


def optimize_cvar(
    mdp: TabularMDP,
    alpha: float,
    method: Method = "front",
    *,
    front: OptimalityFront | None = None,
    step: float | None = None,
) -> RiskSolution:
    """A policy for the mean of the worst fraction ``alpha`` of the returns.

    Parameters
    ----------
    method : "front": the best Markov policy of the optimality front. "gpi": generalised policy improvement over the
        front, a policy that remembers what was earned. "exact": the optimum over all policies (Bäuerle and
        Ott, 2011), for rewards on a lattice. "bracket": the same with rewards rounded down to the lattice of ``step``
    front : front to use; otherwise one around the best parameter for EVaR
    step : step of the lattice

    Returns
    -------
    RiskSolution : no policy exceeds ``upper``

    Raises
    ------
    ValueError
        ``alpha`` outside (0, 1], an unknown method, a model without horizon or with discount; for "exact" and "gpi"
        rewards without a common step, or more table than memory allows

    Examples
    --------
    >>> mdp = TabularMDP.from_outcomes([[[(1, 0, 0.2)], [(0.5, 0, 1.0), (0.5, 0, -0.5)]]], horizon=2)
    >>> optimize_cvar(mdp, 0.5, "exact").value, optimize_cvar(mdp, 1.0, "exact").value
    (0.4, 0.5)
    """
    alpha = check_level(alpha)
    return _optimize(mdp, "CVaR", alpha, method, front, step)


def optimize_var(
    mdp: TabularMDP,
    alpha: float,
    method: Method = "front",
    *,
    front: OptimalityFront | None = None,
    step: float | None = None,
) -> RiskSolution:
    """A policy for the lower quantile of the return, ``inf {x: P(G <= x) >= alpha}``.

    Parameters
    ----------
    alpha : level in (0, 1]
    method, front, step : as in `optimize_cvar`

    Raises
    ------
    ValueError
        ``alpha`` outside (0, 1], an unknown method, a model without horizon or with discount; for "exact" and "gpi"
        rewards without a common step, or more table than memory allows

    Examples
    --------
    >>> mdp = TabularMDP.from_outcomes([[[(1, 0, 0.2)], [(0.5, 0, 1.0), (0.5, 0, -0.5)]]], horizon=2)
    >>> optimize_var(mdp, 0.25, "exact").value, optimize_var(mdp, 0.5, "exact").value
    (0.4, 0.5)
    """
    return _optimize(mdp, "VaR", check_level(alpha), method, front, step)


def optimize_threshold(
    mdp: TabularMDP,
    x: float,
    method: Method = "front",
    *,
    front: OptimalityFront | None = None,
    step: float | None = None,
) -> RiskSolution:
    """A policy for the probability that the return reaches ``x``, ``P(G >= x)``.

    Parameters
    ----------
    x : return to reach
    method, front, step : as in `optimize_cvar`

    Raises
    ------
    ValueError
        ``x`` is not a finite number; the others as in `optimize_cvar`

    Examples
    --------
    >>> mdp = TabularMDP.from_outcomes([[[(1, 0, 0.2)], [(0.5, 0, 1.0), (0.5, 0, -0.5)]]], horizon=2)
    >>> optimize_threshold(mdp, 0.5, "exact").value, optimize_threshold(mdp, 9.0, "exact").value
    (0.75, 0.0)
    """
    if isinstance(x, bool) or not isinstance(x, (int, float, np.integer, np.floating)) or not math.isfinite(x):
        raise ValueError(f"the threshold must be a finite number; got {x!r}")
    return _optimize(mdp, "P(G >= x)", float(x), method, front, step)


def _with_horizon(mdp: TabularMDP) -> None:
    if mdp.horizon is None or mdp.discount < 1:
        raise ValueError(
            "tail risks are optimised for models with a horizon and without discount; build the model with horizon= and discount=1"
        )


def _optimize(
    mdp: TabularMDP, risk: str, parameter: float, method: str, front: OptimalityFront | None, step: float | None
) -> RiskSolution:
    if method not in ("front", "gpi", "exact", "bracket"):
        raise ValueError(f"unknown method {method!r}; expected front, gpi, exact or bracket")
    _with_horizon(mdp)
    if method == "exact":
        lattice = Lattice(mdp, step)
        value, best = _augmented_optimum(lattice, risk, parameter)
        law = lattice.law(best)
        # the two numbers are the same one, computed twice
        return RiskSolution(best, score(law, risk, parameter), value, value, "exact", law, risk, parameter)
    if method == "bracket":
        return _bracket(mdp, risk, parameter, step)
    front = front if front is not None else _default_front(mdp, risk, parameter)
    laws = [
        law if law is not None else evaluate(mdp, s.policy) for s, law in zip(front.segments, front.laws, strict=True)
    ]
    scores = [lower_score(law, risk, parameter) for law in laws]
    k = int(np.argmax(scores))
    policy: Any = front.segments[k].policy
    law, lower = laws[k], scores[k]
    if method == "gpi":
        policy, law, lower = _improved(mdp, front, policy, law, lower, risk, parameter, step)
    upper = max(lower, _upper(mdp, risk, parameter, step))
    beta = (front.segments[k].beta_lo + front.segments[k].beta_hi) / 2
    value = score(law, risk, parameter)
    return RiskSolution(policy, value, lower, upper, method, law, risk, parameter, beta, front.n_solves, front)


def score(law: ReturnDistribution, risk: str, parameter: float) -> float:
    """The risk of a law."""
    return {"CVaR": law.cvar, "VaR": law.var, "P(G >= x)": law.prob_at_least}[risk](parameter)


def lower_score(law: ReturnDistribution, risk: str, parameter: float) -> float:
    """The risk of a law, certified from below."""
    return law.bounds({"CVaR": "cvar", "VaR": "var", "P(G >= x)": "prob_at_least"}[risk], parameter)[0]


def _default_front(mdp: TabularMDP, risk: str, parameter: float) -> OptimalityFront:
    """A front that holds the parameter that is best for EVaR (tail risks), or both signs (thresholds)."""
    reach = return_reach(mdp)
    width = reach.width or 1.0
    fine = max(1e-4 * width, 1e-9 * reach.size)  # not below rounding
    if risk == "P(G >= x)":
        return entrm_front(mdp, -40 / width, 40 / width, fine)
    evar = optimize_evar(mdp, min(parameter, 0.5), tol=fine)
    beta = evar.beta if evar.beta is not None and math.isfinite(evar.beta) else -100 / width
    return entrm_front(mdp, max(4 * min(beta, -1 / width), -400 / width), 0.0, fine)


def _augmented_optimum(lattice: Lattice, risk: str, parameter: float) -> tuple[float, AugmentedPolicy]:
    """Best value of all policies on a lattice, and a policy that reaches it."""
    if risk == "CVaR":
        shortfall, table = lattice.plan(lattice.shortfall(), True)
        value, target = lattice.cvar_of(shortfall, parameter)
        return value, lattice.policy(table, target)
    success, table = lattice.plan(lattice.success(), True)
    if risk == "VaR":
        target = _best_quantile(lattice, success, parameter)
        return target * lattice.step, lattice.policy(table, target)
    target = _steps_above(lattice, parameter)
    return _success_at(lattice, success, target), lattice.policy(table, target)


def _steps_above(lattice: Lattice, x: float) -> int:
    """The first point of the lattice that is not below x, kept inside the table."""
    ratio = min(max(x / lattice.step, lattice.low - 1.0), lattice.high + 1.0)
    return int(min(max(math.ceil(ratio - 1e-12 * abs(ratio)), lattice.low), lattice.high))


def _success_at(lattice: Lattice, success: np.ndarray, target: int) -> float:
    if target <= lattice.first or target > lattice.last:  # reached, or missed, by every policy
        return float(target <= lattice.first)
    return float(min(1.0, success[target - lattice.low]))


def _best_quantile(lattice: Lattice, success: np.ndarray, alpha: float) -> int:
    """``max {x: max P(G >= x) > 1 - alpha}``, in steps."""
    reached = np.flatnonzero(success > 1 - alpha + 1e-12 * alpha)
    return int(min(max(int(reached[-1]) + lattice.low if reached.size else lattice.first, lattice.first), lattice.last))


def _bracket(mdp: TabularMDP, risk: str, parameter: float, step: float | None) -> RiskSolution:
    """The exact optimum for rewards rounded down and up: it encloses the true one."""
    step = step if step is not None else _affordable_step(mdp)
    below, above = Lattice(mdp, step, "down"), Lattice(mdp, step, "up")
    lower, policy = _augmented_optimum(below, risk, parameter)
    upper = _optimal_value(above, risk, parameter)
    law = below.law(policy)
    # on the same path the true return exceeds the rounded one by less than a step for each decision
    on_lattice = np.array_equal(below.steps, above.steps)
    width = 0.0 if on_lattice else below.H * step
    if not on_lattice:
        top = replace(law, atoms=law.atoms + width)
        law = replace(law, w1_error=width, lower=law, upper=top, method=f"rounded down to {step:.3g}")
    return RiskSolution(policy, lower, lower, max(lower, upper), "bracket", law, risk, parameter)


def _optimal_value(lattice: Lattice, risk: str, parameter: float) -> float:
    if risk == "CVaR":
        return lattice.cvar_of(lattice.plan(lattice.shortfall(), False)[0], parameter)[0]
    success = lattice.plan(lattice.success(), False)[0]
    if risk == "VaR":
        return _best_quantile(lattice, success, parameter) * lattice.step
    return _success_at(lattice, success, _steps_above(lattice, parameter))


def _affordable_step(mdp: TabularMDP) -> float:
    """The step of the rewards if a table of actions on it is affordable, otherwise one that makes it so."""
    H, S, span = mdp.horizon or 1, mdp.n_states, _span(mdp)
    work = max(H * S, mdp.n_outcomes * H // mdp.n_stages)
    points = int(min(10_000, max(50, _ENTRIES / work)))
    exact = lattice_step(mdp.reward)
    return exact if exact is not None and span / exact <= points else span / points


def _span(mdp: TabularMDP) -> float:
    """Range of the return over all states, or a hundredth of its size where little is at stake: tables hold 0 too."""
    reach = return_reach(mdp)
    return max(reach.span, 0.01 * reach.size) or 1.0


def _coarse_step(mdp: TabularMDP, points: int) -> float:
    """A step with about ``points`` points over the range of the return."""
    return _span(mdp) / points


def _upper(mdp: TabularMDP, risk: str, parameter: float, step: float | None) -> float:
    """What no policy exceeds: the exact optimum on the lattice or on one rounded up, if that is cheap; or the mean."""
    trivial = {"CVaR": solve(mdp).start_value, "VaR": return_reach(mdp).high, "P(G >= x)": 1.0}[risk]
    rows = mdp.n_outcomes * (mdp.horizon or 1) // mdp.n_stages
    exact = step if step is not None else lattice_step(mdp.reward)
    if exact is not None and return_reach(mdp).span / exact < 20_000:
        lattice = Lattice(mdp, exact)
        if lattice.n * rows <= 10 * _ENTRIES:
            return min(trivial, _optimal_value(lattice, risk, parameter))
    if _GRID * rows <= _ENTRIES:
        return min(trivial, _optimal_value(Lattice(mdp, _coarse_step(mdp, _GRID), "up"), risk, parameter))
    return trivial


def _improved(
    mdp: TabularMDP,
    front: OptimalityFront,
    policy: Any,
    law: ReturnDistribution,
    lower: float,
    risk: str,
    parameter: float,
    step: float | None,
) -> tuple[Any, ReturnDistribution, float]:
    """Generalised policy improvement over the front, if it is better than the best policy of the front."""
    lattice = Lattice(mdp, step)
    if risk == "CVaR":
        utility, target = lattice.shortfall(), round(law.var(parameter) / lattice.step)
    elif risk == "VaR":
        # one step more than the best quantile: is it reached often enough?
        utility, target = lattice.success(), round(law.var(parameter) / lattice.step) + 1
    else:
        utility, target = lattice.success(), _steps_above(lattice, parameter)
    table = lattice.improve(utility, np.stack([segment.policy for segment in front.segments]))
    better = lattice.policy(table, target)
    improved = lattice.law(better)
    value = score(improved, risk, parameter)
    return (better, improved, value) if value >= lower else (policy, law, lower)
