"""What the rows of a ledger add up to: exact sums in the ledger's currency, and the decision to admit one more."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from .budget import PrivacySpent, dp_to_zcdp, zcdp_to_dp
from .noise import Amount, exact_fraction

__all__ = ["BudgetExceeded", "LedgerError", "Terms", "admit", "pure_to_rho", "relation", "total"]

Row = Mapping[str, Any]  # of a ledger: unit, amount, delta (texts of fractions), neighbours


class LedgerError(ValueError):
    """The file is not a ledger, is damaged, or does not fit the request."""


class BudgetExceeded(Exception):
    """A spend would pass the cap; nothing was computed and no data were read.

    Attributes: ``remaining`` and ``requested``, in the currency ``unit`` of the ledger.
    """

    def __init__(self, requested: float, remaining: float, unit: str, remark: str = "") -> None:
        self.requested, self.remaining, self.unit, self.remark = requested, remaining, unit, remark
        super().__init__(
            f"the budget does not allow this release: it costs {unit} = {requested:.6g} and {remaining:.6g} is left{remark}; "
            "no data were read"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return BudgetExceeded, (self.requested, self.remaining, self.unit, self.remark)


@dataclass(frozen=True)
class Terms:
    """The caps of a ledger: ``cap`` in the currency ``unit``, and ``delta``."""

    unit: str
    cap: Fraction
    delta: Fraction

    @classmethod
    def of(cls, epsilon: Amount | None, rho: Amount | None, delta: Amount) -> Terms | None:
        """The terms asked for, or None if no cap was given."""
        if epsilon is not None and rho is not None:
            raise ValueError("give a ledger exactly one of epsilon and rho")
        if epsilon is None and rho is None:
            if exact_fraction(delta, "delta") != 0:
                raise ValueError("delta comes with a cap; give epsilon or rho as well, or neither to open a ledger")
            return None
        unit, given = ("epsilon", epsilon) if rho is None else ("rho", rho)
        cap, failure = exact_fraction(given, unit), exact_fraction(delta, "delta")
        if cap <= 0 or not 0 <= failure < 1:
            raise ValueError(f"a ledger needs {unit} above 0 and delta in [0, 1); got {given!r} and {delta!r}")
        return cls(unit, cap, failure)

    def texts(self) -> dict[str, str]:
        """For the file: fractions as text."""
        return {"unit": self.unit, "cap": str(self.cap), "delta": str(self.delta)}


def admit(rows: Sequence[Row], privacy: PrivacySpent, terms: Terms) -> None:
    """Raise if one more release of this cost would leave the terms: `LedgerError` or `BudgetExceeded`."""
    if privacy.exact_delta and not terms.delta:
        raise LedgerError(
            f"this release has delta = {privacy.delta:.3g}, and the ledger was made with delta = 0; choose a method with "
            "delta = 0, or make a ledger with a delta"
        )
    if terms.unit == "epsilon" and privacy.rho is not None and not terms.delta:
        raise LedgerError(
            "this ledger counts pure epsilon with delta = 0, which no zCDP release has; ask with epsilon, or make a ledger "
            "with a delta"
        )
    new = {"unit": privacy.unit, "amount": str(privacy.amount), "delta": str(privacy.exact_delta)}
    after = [*rows, {**new, "neighbours": privacy.neighbours}]
    failures = _failures(after)
    if failures > terms.delta:
        before = _failures(rows)
        raise BudgetExceeded(float(failures - before), float(terms.delta - before), "delta")
    spent, wanted = total(rows, terms), total(after, terms)
    if wanted > terms.cap:
        changed = bool(rows) and relation(after) != relation(rows)
        remark = " (for 'replace' neighbours, losses under 'add_remove' count twice)" if changed else ""
        raise BudgetExceeded(float(wanted - spent), float(terms.cap - spent), terms.unit, remark)


def total(rows: Sequence[Row], terms: Terms) -> Fraction:
    """What the rows cost together, in the ledger's currency."""
    meaning = relation(rows)
    pure = sum((_amount(row, meaning) for row in rows if row["unit"] == "epsilon"), Fraction(0))
    rho = sum((_amount(row, meaning) for row in rows if row["unit"] == "rho"), Fraction(0))
    if terms.unit == "rho":
        converted = (pure_to_rho(_amount(row, meaning)) for row in rows if row["unit"] == "epsilon")
        return rho + sum(converted, Fraction(0))
    if not rho:
        return pure
    # pure losses are bounded surely, so they add to the bound that holds up to the delta that is left
    delta = terms.delta - _failures(rows)
    if delta <= 0:
        return terms.cap + 1
    doubles = math.nextafter(float(rho), math.inf), math.nextafter(float(delta), 0)
    return pure + _rounded_up(zcdp_to_dp(*doubles))


def relation(rows: Sequence[Row]) -> str:
    """The neighbours that the account is kept for: "replace" as soon as one release needs it."""
    return "replace" if any(row["neighbours"] == "replace" for row in rows) else "add_remove"


def pure_to_rho(epsilon: Fraction) -> Fraction:
    """A rational rho, rounded up, of an epsilon-differentially private release: epsilon tanh(epsilon / 2)."""
    exact = min(epsilon**2 / 2, epsilon)
    if not Fraction(1, 1000) < epsilon < 1000:  # nothing to win, or no doubles to compute it with
        return exact
    return min(exact, _rounded_up(dp_to_zcdp(float(epsilon), "discrete")))


def _rounded_up(value: float) -> Fraction:
    return Fraction(value) * (1 + Fraction(1, 10**12))


def _factor(row: Row, meaning: str) -> int:
    """To replace a person is to remove one and to add one: a group of two."""
    return 1 if row["neighbours"] == meaning else 2


def _amount(row: Row, meaning: str) -> Fraction:
    factor = _factor(row, meaning)  # of a group of two: 2 epsilon, 4 rho
    return Fraction(row["amount"]) * (factor if row["unit"] == "epsilon" else factor**2)


def _failures(rows: Sequence[Row]) -> Fraction:
    meaning = relation(rows)
    out = Fraction(0)
    for row in rows:
        delta = Fraction(row["delta"])
        if delta and _factor(row, meaning) == 2:  # of a group of two: delta (1 + e^epsilon)
            loss = float(Fraction(row["amount"]))
            if row["unit"] == "rho" or loss > 700:
                raise LedgerError(
                    "zCDP losses with a delta under 'add_remove' cannot be counted for 'replace' neighbours; use one of the two"
                )
            delta *= 1 + _rounded_up(math.exp(loss))
        out += delta
    return out
