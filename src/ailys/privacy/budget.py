"""Budgets and what was spent of them: exact amounts, composition, conversions.

Two currencies: epsilon of pure differential privacy, and rho of zero-concentrated differential privacy (zCDP; Bun and
Steinke 2016). Both add up over releases, also when the next one is chosen after seeing the last (Rogers, Roth, Ullman and
Vadhan 2016; Feldman and Zrnic 2021). Amounts are kept as fractions: 0.1 + 0.2 is three tenths, and no spend vanishes.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from ..core.answer import Answer
from ..core.guarantee import Guarantee
from .noise import Amount, exact_fraction

__all__ = ["Budget", "PrivacySpent", "as_budget", "compose", "dp_to_zcdp", "pld_epsilon", "zcdp_to_dp"]

NEIGHBOURS = ("add_remove", "replace")
_MEANING = {
    "add_remove": "one person's records appear or disappear",
    "replace": "one person's records are replaced by others (the number of records is public)",
}


@dataclass(frozen=True)
class PrivacySpent(Answer):
    """What a release costs: pure ``epsilon`` or ``rho``, the failure probability ``delta``, and for which neighbours.

    Parameters
    ----------
    epsilon : loss of pure differential privacy (with ``delta`` > 0: approximate)
    delta : probability with which the loss may be larger
    rho : loss of zCDP; exactly one of ``epsilon`` and ``rho`` is given
    neighbours : "add_remove" or "replace"
    contributions : records that one person may have; the loss counts all of them

    Raises
    ------
    ValueError
        not exactly one of epsilon and rho, an amount below 0, delta outside [0, 1), or unknown neighbours
    TypeError
        an amount that is no number

    Examples
    --------
    >>> spent = PrivacySpent(epsilon=0.1, neighbours="replace")
    >>> spent.amount, spent.unit
    (Fraction(1, 10), 'epsilon')
    """

    epsilon: float | None = None
    delta: float = 0.0
    rho: float | None = None
    neighbours: str = "add_remove"
    contributions: int = 1
    amount: Fraction = field(init=False, repr=False, compare=False, default=Fraction(0))
    exact_delta: Fraction = field(init=False, repr=False, compare=False, default=Fraction(0))

    def __post_init__(self) -> None:
        if (self.epsilon is None) == (self.rho is None):
            raise ValueError("give exactly one of epsilon and rho")
        check_neighbours(self.neighbours)
        check_contributions(self.contributions)
        amount = exact_fraction(self.epsilon if self.rho is None else self.rho, self.unit)
        if amount > 10**300:
            raise ValueError(f"{self.unit} must be a number below 1e300")
        delta = exact_fraction(self.delta, "delta")
        if amount < 0 or not 0 <= delta < 1:
            raise ValueError(
                f"{self.unit} must be at least 0 and delta in [0, 1); got {float(amount)} and {float(delta)}"
            )
        object.__setattr__(self, "amount", amount)
        object.__setattr__(self, "exact_delta", delta)
        object.__setattr__(self, "delta", float(delta))
        object.__setattr__(self, self.unit, float(amount))

    @property
    def unit(self) -> str:
        """Name of the currency: "epsilon" or "rho"."""
        return "epsilon" if self.rho is None else "rho"

    @property
    def guarantee(self) -> Guarantee:
        """What a person is promised."""
        delta = f" with delta = {self.delta:.3g}" if self.exact_delta else ""
        if self.rho is None:
            kind, what = "epsilon-dp", f"({self.epsilon:.6g})-differential privacy{delta}"
            source = "Dwork, McSherry, Nissim and Smith 2006"
        else:
            kind, what = "zcdp", f"{self.rho:.6g}-zero-concentrated differential privacy{delta}"
            source = "Bun and Steinke 2016"
        records = "one record" if self.contributions == 1 else f"at most {self.contributions} records"
        return Guarantee(
            kind=kind,
            statement=f"{what} when {_MEANING[self.neighbours]}; {records} a person",
            level=float(self.amount),
            values={self.unit: float(self.amount), "delta": self.delta, "contributions": self.contributions},
            assumptions=("bounds, resolution and all other settings were chosen without looking at the data",),
            source=source,
        )

    def released(self, secure: bool) -> Guarantee:
        """The guarantee of a release, which is void where the random numbers were seeded."""
        promise = self.guarantee
        return (
            promise
            if secure
            else replace(
                promise, statement="NOT for release: the random numbers were seeded; otherwise " + promise.statement
            )
        )

    def facts(self) -> Mapping[str, Any]:
        """The loss by name."""
        return {
            **{"epsilon": self.epsilon, "delta": self.delta, "rho": self.rho},
            **{"neighbours": self.neighbours, "contributions": self.contributions},
        }

    def to_epsilon(self, delta: float) -> float:
        """The epsilon that holds with probability 1 - ``delta``.

        Raises
        ------
        ValueError
            delta is not larger than what was spent
        """
        if delta < self.delta or (self.rho is not None and delta == self.delta):
            raise ValueError(
                f"delta = {delta:g} leaves nothing beside the {self.delta:g} that was spent; give a larger one"
            )
        if self.rho is None:
            return float(self.amount)
        return zcdp_to_dp(self.rho, delta - self.delta)


@dataclass(frozen=True)
class Budget:
    """A checked request: exactly one of ``epsilon`` and ``rho``, as fractions."""

    epsilon: Fraction | None
    rho: Fraction | None
    neighbours: str
    contributions: int = 1

    @property
    def per_record_epsilon(self) -> Fraction | None:
        """What one record may cost, so that ``contributions`` of them cost epsilon."""
        return None if self.epsilon is None else self.epsilon / self.contributions

    @property
    def per_record_rho(self) -> Fraction | None:
        """What one record may cost: zCDP of a group of c grows with c^2 (Bun and Steinke 2016, Proposition 1.9)."""
        return None if self.rho is None else self.rho / self.contributions**2

    def spent(self, delta: Amount = 0) -> PrivacySpent:
        """What is spent when all of it is used."""
        return _spent(self.epsilon, self.rho, delta, self.neighbours, self.contributions)


def as_budget(
    epsilon: Amount | None = None, rho: Amount | None = None, neighbours: str | None = None, contributions: int = 1
) -> Budget:
    """Check a request for privacy: one currency, positive and finite, neighbours said explicitly.

    Examples
    --------
    >>> as_budget(epsilon=0.3, neighbours="replace", contributions=3).per_record_epsilon
    Fraction(1, 10)
    """
    check_neighbours(neighbours)
    check_contributions(contributions)
    if (epsilon is None) == (rho is None):
        raise ValueError("give exactly one of epsilon (pure differential privacy) and rho (zCDP)")
    name, given = ("epsilon", epsilon) if rho is None else ("rho", rho)
    amount = exact_fraction(given, name)
    if amount <= 0:
        raise ValueError(f"{name} must be above 0; got {given!r}")
    if amount > 10**300:
        raise ValueError(f"{name} must be a number below 1e300")
    if amount > 10:
        warnings.warn(
            f"{name} = {float(amount):g} protects hardly anybody; values above 10 are rarely defensible", stacklevel=3
        )
    return Budget(amount if rho is None else None, None if rho is None else amount, str(neighbours), int(contributions))


def check_neighbours(neighbours: str | None) -> None:
    """Whether the relation is one of the two; there is no default, because it decides what is protected."""
    if neighbours not in NEIGHBOURS:
        raise ValueError(
            f"neighbours must be 'add_remove' ({_MEANING['add_remove']}) or 'replace' ({_MEANING['replace']}); got {neighbours!r}"
        )


def check_contributions(contributions: int) -> None:
    """Whether this is a number of records."""
    if isinstance(contributions, bool) or not hasattr(contributions, "__index__") or not 1 <= contributions <= 10**9:
        raise ValueError(f"contributions must be a whole number of records, at least 1; got {contributions!r}")


def _spent(
    epsilon: Fraction | None, rho: Fraction | None, delta: Any, neighbours: str, contributions: int
) -> PrivacySpent:
    # fractions are amounts as well; the annotations name what comes back
    return PrivacySpent(epsilon, delta, rho, neighbours, contributions)  # type: ignore[arg-type]


def compose(*spent: PrivacySpent, parallel: bool = False) -> PrivacySpent:
    """What several releases cost together.

    Parameters
    ----------
    spent : costs under the same neighbours; epsilon and rho may be mixed, the sum is then in rho (epsilon^2 / 2 each); the sum is
        promised to persons with the least of the ``contributions``
    parallel : the releases used disjoint parts of the data, where the part of a person was fixed beforehand: the largest
        cost counts, under add_remove

    Raises
    ------
    ValueError
        nothing to add, different neighbours, parallel releases under "replace", or deltas that add up to 1

    Examples
    --------
    >>> a, b = PrivacySpent(epsilon=0.1), PrivacySpent(epsilon=0.2)
    >>> compose(a, b).epsilon, compose(a, b, parallel=True).epsilon
    (0.3, 0.2)
    """
    if not spent:
        raise ValueError("nothing to compose; give at least one PrivacySpent")
    relations = {item.neighbours for item in spent}
    if len(relations) > 1:
        raise ValueError("cannot add costs under 'add_remove' and under 'replace'; a Ledger converts them")
    neighbours = relations.pop()
    if parallel and neighbours == "replace":
        raise ValueError("parallel composition needs neighbours='add_remove': a replaced person may change parts")
    pure = all(item.rho is None for item in spent)
    if pure:
        amounts = [item.amount for item in spent]
    else:
        amounts = [item.amount if item.rho is not None else item.amount**2 / 2 for item in spent]
    deltas = [item.exact_delta for item in spent]
    combine = max if parallel else sum
    total, delta = Fraction(combine(amounts)), Fraction(combine(deltas))
    if delta >= 1:
        raise ValueError("the deltas add up to 1 or more: nothing is promised")
    # what holds for c records a person holds for fewer; for more, the losses of the others would have to grow
    contributions = min(item.contributions for item in spent)
    return _spent(total if pure else None, None if pure else total, delta, neighbours, contributions)


def zcdp_to_dp(rho: float, delta: float) -> float:
    """The epsilon such that ``rho``-zCDP implies (epsilon, ``delta``)-differential privacy.

    inf over alpha > 1 of rho alpha + ln(1 - 1/alpha) - ln(alpha delta) / (alpha - 1); any alpha gives a valid bound, so
    the numerical minimum is one. Source: Canonne, Kamath and Steinke 2020, Proposition 12.

    Parameters
    ----------
    rho : loss of zCDP, finite and >= 0
    delta : failure probability, in (0, 1)

    Raises
    ------
    ValueError
        rho below 0 or not finite, delta outside (0, 1)

    Examples
    --------
    >>> round(zcdp_to_dp(0.5, 1e-5), 5)
    4.72839
    """
    from scipy.optimize import minimize_scalar

    rho, delta = float(rho), float(delta)
    if not (math.isfinite(rho) and rho >= 0):
        raise ValueError(f"rho must be finite and at least 0; got {rho!r}")
    if not 0 < delta < 1:
        raise ValueError(f"delta must lie in (0, 1); got {delta!r}")
    if rho == 0:
        return 0.0
    rho = max(rho, 1e-200)  # more than was spent; below, the search would leave the doubles
    if rho > 1e200:
        return rho + 2 * math.sqrt(rho) * math.sqrt(-math.log(delta))  # Bun and Steinke 2016, Proposition 1.3

    def bound(log_order: float) -> float:  # alpha = 1 + e^log_order
        order = math.exp(log_order)
        alpha = 1 + order
        return rho * alpha + math.log(order / alpha) - (math.log(alpha) + math.log(delta)) / order

    # near the minimum alpha - 1 is about sqrt(ln(1/delta) / rho)
    centre = 0.5 * math.log(-math.log(delta) / rho)
    grid = [centre + 0.1 * k for k in range(-200, 201) if -30 < centre + 0.1 * k < 300]
    values = [bound(u) for u in grid]
    best = grid[values.index(min(values))]
    refined = minimize_scalar(bound, bounds=(best - 0.2, best + 0.2), method="bounded", options={"xatol": 1e-10})
    return max(0.0, min(bound(float(refined.x)), min(values)))


def dp_to_zcdp(epsilon: float, mechanism: str = "any") -> float:
    """The rho such that an ``epsilon``-differentially private mechanism is rho-zCDP.

    Parameters
    ----------
    epsilon : pure loss, >= 0
    mechanism : what is known of it: "any" (epsilon^2 / 2), "exponential" (epsilon^2 / 8; Cesar and Rogers 2021),
        "laplace", continuous noise (epsilon + e^-epsilon - 1, exact; Harrison and Manurangsi 2026), or
        "discrete", noise on integers or anything else (epsilon tanh(epsilon / 2): the loss of randomised response,
        which no mechanism exceeds and which discrete Laplace noise at sensitivity 1 attains)

    Raises
    ------
    ValueError
        epsilon below 0 or not finite, or an unknown mechanism

    Examples
    --------
    >>> dp_to_zcdp(1), round(dp_to_zcdp(1, "laplace"), 5), round(dp_to_zcdp(1, "discrete"), 5)
    (0.5, 0.36788, 0.46212)
    """
    epsilon = float(epsilon)
    if not (math.isfinite(epsilon) and epsilon >= 0):
        raise ValueError(f"epsilon must be finite and at least 0; got {epsilon!r}")
    if mechanism == "any":
        return epsilon * epsilon / 2
    if mechanism == "exponential":
        return epsilon * epsilon / 8
    if mechanism == "laplace":
        # e^-x - 1 + x loses all digits near 0, its series does not
        return epsilon + math.expm1(-epsilon) if epsilon > 1e-3 else epsilon**2 * (0.5 - epsilon / 6 + epsilon**2 / 24)
    if mechanism == "discrete":
        return epsilon * math.tanh(epsilon / 2)
    raise ValueError(f"mechanism must be 'any', 'exponential', 'laplace' or 'discrete'; got {mechanism!r}")


def pld_epsilon(mechanisms: Iterable[tuple[str, float, int]], delta: float) -> float:
    """The epsilon of many noisy releases by composition of their privacy-loss distributions, tighter than sums.

    Parameters
    ----------
    mechanisms : (kind, noise, count) triples: kind "laplace", "discrete_laplace", "gaussian" or "discrete_gaussian";
        noise the scale or standard deviation at sensitivity 1; count how often
    delta : probability with which the loss may be larger

    Needs the library dp-accounting. Its discretisation rounds the loss up.

    Raises
    ------
    ValueError
        an unknown kind, or noise or count that is not positive
    ImportError
        dp-accounting is not installed

    Examples
    --------
    >>> round(pld_epsilon([("laplace", 10.0, 100)], 1e-6), 2)  # doctest: +SKIP
    4.69
    """
    from ..core.optional import require

    library = require(
        "dp_accounting.pld.privacy_loss_distribution", extra="accounting", purpose="composition of loss distributions"
    )
    makers = {
        "laplace": lambda noise: library.from_laplace_mechanism(noise, value_discretization_interval=1e-4),
        "discrete_laplace": lambda noise: library.from_discrete_laplace_mechanism(1 / noise, 1),
        "gaussian": lambda noise: library.from_gaussian_mechanism(noise, value_discretization_interval=1e-4),
        "discrete_gaussian": lambda noise: library.from_discrete_gaussian_mechanism(noise),
    }
    triples: Sequence[tuple[str, float, int]] = list(mechanisms)
    if not triples:
        return 0.0
    total: Any = None
    for kind, noise, count in triples:
        if kind not in makers:
            raise ValueError(f"kind must be one of {', '.join(makers)}; got {kind!r}")
        if not (math.isfinite(noise) and noise > 0) or count < 1:
            raise ValueError(f"noise must be above 0 and count at least 1; got {noise!r} and {count!r}")
        loss = makers[kind](float(noise))
        loss = loss.self_compose(int(count)) if count > 1 else loss
        total = loss if total is None else total.compose(loss)
    return float(total.get_epsilon_for_delta(delta))
