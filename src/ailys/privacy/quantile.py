"""`quantiles` and `median`: private quantiles of a column, with what they cost and what they promise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.answer import Answer
from ..core.guarantee import Guarantee
from ..core.randomness import Seed
from .brackets import bracket_levels, lattice_slack, simulated_slack
from .budget import PrivacySpent, as_budget
from .lattice import Lattice
from .levels import as_levels
from .methods import choose_method, refuse_method, run_method
from .noise import Amount, Source
from .preprocess import check_missing, check_values, prepare
from .rates import Cost, level_rate
from .readers import fingerprint, load_persons, load_values
from .release import private_release
from .single import rank_bound

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PrivateQuantiles", "median", "quantiles"]

_BETA = 0.05


@dataclass(frozen=True)
class PrivateQuantiles(Answer):
    """Released quantiles: lattice points ``values`` for the levels ``p``.

    ``lower`` and ``upper`` bracket the quantiles of the population if a ``confidence`` was asked for. ``rank_error_bound``: all values are
    within so many records of their quantiles with probability 1 - ``beta``, whatever the data; None where this is not proved.
    ``plan`` says why the method was taken; ``secure`` is False if the randomness was seeded.
    """

    p: np.ndarray
    values: np.ndarray
    lower: np.ndarray | None
    upper: np.ndarray | None
    method: str
    privacy: PrivacySpent
    rank_error_bound: float | None
    beta: float
    secure: bool
    plan: str
    bounds: tuple[float, float]
    resolution: float
    confidence: float | None = None
    coverage: str = ""

    def facts(self) -> Mapping[str, Any]:
        """Values by level, method, cost."""
        rows = []
        for k, (p, v) in enumerate(zip(self.p, self.values, strict=True)):
            row = {"p": float(p), "value": float(v)}
            if self.lower is not None and self.upper is not None:
                row |= {"lower": float(self.lower[k]), "upper": float(self.upper[k])}
            rows.append(row)
        few = {f"quantile_{row['p']:g}": _shown(row) for row in rows[:25]}
        return {
            **few,
            **{"p": [row["p"] for row in rows], "values": [row["value"] for row in rows], "table": rows},
            **{"method": self.method, "because": self.plan},
            **({"confidence": self.confidence, "coverage": self.coverage} if self.confidence is not None else {}),
            **{"bounds": list(self.bounds), "resolution": self.resolution},
            **{"epsilon": self.privacy.epsilon, "rho": self.privacy.rho, "delta": self.privacy.delta},
            **{"neighbours": self.privacy.neighbours, "contributions": self.privacy.contributions},
            **{"rank_error_bound": self.rank_error_bound, "beta": self.beta, "secure": self.secure},
        }

    @property
    def guarantee(self) -> Guarantee:
        """The privacy loss, and the rank error where it is proved."""
        loss = self.privacy.guarantee
        more = ""
        if self.rank_error_bound is not None:
            more = (
                f"; with probability at least {1 - self.beta:g} all values are within {self.rank_error_bound:.4g} records of their "
                "quantiles, whatever the data"
            )
        if not self.secure:
            more += "; NOT for release: the random numbers were seeded"
        return Guarantee(
            kind=loss.kind,
            statement=loss.statement + more,
            level=loss.level,
            values=loss.values,
            assumptions=loss.assumptions,
            source=f"{loss.source}; docs, privacy-proofs, section '6. What is proved and what is not'",
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """The released distribution function with its brackets."""
        from .plots import plot_quantiles

        return plot_quantiles(self, ax)


def _shown(row: Mapping[str, float]) -> str:
    text = f"{row['value']:.10g}"
    return text if "lower" not in row else f"{text}  [{row['lower']:.10g}, {row['upper']:.10g}]"


def quantiles(
    x: Any,
    p: Any,
    *,
    bounds: tuple[Amount, Amount],
    resolution: Amount,
    neighbours: str,
    epsilon: Amount | None = None,
    rho: Amount | None = None,
    contributions: int = 1,
    person: Any = None,
    method: str = "auto",
    confidence: float | None = None,
    n_hint: int | None = None,
    missing: str = "error",
    missing_value: float | None = None,
    ledger: Any = None,
    label: str | None = None,
    unsafe_rng: Seed = None,
) -> PrivateQuantiles:
    """Private quantiles of a column.

    Parameters
    ----------
    x : (n,) numbers, or a `Column` of a file, which is opened only if the budget allows it
    p : increasing levels in (0, 1)
    bounds : lowest and highest value that can occur, chosen without looking at the data
    resolution : unit of the column (1 day, 0.01 euro); values are released on this lattice
    neighbours : "add_remove" (a person's records appear or disappear; their number is secret) or "replace" (the number is public)
    epsilon, rho : exactly one: the loss of pure differential privacy, or of zCDP, of all levels together
    contributions : records that one person may have; the loss covers all of them
    person : who each record belongs to; at most ``contributions`` records of each are kept, chosen at random
    method : "auto", "lattice", "indexp", "recexp", "jointexp", "tree" or "histogram"
    confidence : also release brackets of the population's quantiles with this coverage (each); the levels share the same budget
    n_hint : under "add_remove", a public number of records for the choice of the method; with ``confidence`` a lower bound
    missing : "error", "drop" (add_remove only), or "value": missing and infinite values count as ``missing_value``
    ledger : a `Ledger` or its path: the loss is charged before anything is computed
    label : a note in the ledger
    unsafe_rng : seeded randomness for research; the answer says ``secure=False`` and no ledger takes it

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
    >>> days = [0] * 300 + [1, 2, 3, 5] * 100
    >>> answer = quantiles(days, [0.25, 0.75], bounds=(0, 365), resolution=1, neighbours="replace", epsilon=2, unsafe_rng=0)
    >>> answer.values.tolist(), answer.secure
    ([0.0, 3.0], False)
    """
    levels = as_levels(p)
    lattice = Lattice.of(bounds, resolution)
    refuse_method(method, lattice.size)
    check_missing(missing, missing_value, neighbours, contributions, person)
    budget = as_budget(epsilon=epsilon, rho=rho, neighbours=neighbours, contributions=contributions)
    cost = Cost.of(budget)
    if confidence is not None and not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1; got {confidence!r}")
    if n_hint is not None and (isinstance(n_hint, bool) or not isinstance(n_hint, (int, np.integer)) or n_hint < 0):
        raise ValueError(f"n_hint must be a number of records, at least 0; got {n_hint!r}")
    secret = neighbours == "add_remove"
    if confidence is not None and secret and n_hint is None:
        raise ValueError(
            "brackets need a number of records; under neighbours='add_remove' it is secret: give n_hint, a public lower bound of it"
        )
    spent = budget.spent()

    def load() -> tuple[np.ndarray, np.ndarray | None]:
        column, who = load_values(x), load_persons(x, person)
        check_values(column, missing, who)
        return column, who

    def run(data: tuple[np.ndarray, np.ndarray | None], source: Source) -> PrivateQuantiles:
        column, who = data
        index = prepare(
            column, lattice, neighbours=neighbours, missing=missing, missing_value=missing_value, person=who,
            contributions=contributions, source=source,
        )  # fmt: skip
        n = n_hint if secret else len(index)  # what may be known of the number of records
        chosen, reason = choose_method(len(levels), lattice.size, n, cost)
        if method != "auto":
            chosen, reason = method, "asked for"
        asked, brackets, coverage = _with_brackets(levels, lattice, cost, chosen, n or 0, confidence)
        found = dict(zip(asked, run_method(chosen, source, index, lattice, asked, cost).tolist(), strict=True))
        bound = None
        if chosen == "lattice":
            share = _BETA / len(asked)
            bound = max(rank_bound(lattice.size, level_rate(cost, q, len(asked)), share) for q in asked)
        low = [found[a] if a is not None else 0 for a, _ in brackets]
        high = [found[b] if b is not None else lattice.size - 1 for _, b in brackets]
        return PrivateQuantiles(
            p=np.array([float(q) for q in levels]),
            values=lattice.values([found[q] for q in levels]),
            lower=lattice.values(low) if confidence is not None else None,
            upper=lattice.values(high) if confidence is not None else None,
            method=chosen,
            privacy=spent,
            rank_error_bound=bound,
            beta=_BETA,
            secure=source.secure,
            plan=reason,
            bounds=(float(lattice.low), float(lattice.high)),
            resolution=float(lattice.step),
            confidence=confidence,
            coverage=coverage,
        )

    return private_release(
        run,
        load,
        privacy=spent,
        mechanism=f"quantiles ({method})",
        parameters={
            **{"p": [float(q) for q in levels], "bounds": [float(lattice.low), float(lattice.high)]},
            **{"resolution": float(lattice.step), "confidence": confidence, "missing": missing},
        },
        ledger=ledger,
        label=label,
        dataset=fingerprint(x),
        unsafe_rng=unsafe_rng,
    )


def _with_brackets(
    levels: tuple[Fraction, ...], lattice: Lattice, cost: Cost, method: str, n: int, confidence: float | None
) -> tuple[tuple[Fraction, ...], list[tuple[Fraction | None, Fraction | None]], str]:
    """All levels to release, the brackets among them, and what is known of their coverage."""
    if confidence is None:
        return levels, [], ""
    alpha = 1 - confidence
    if method == "lattice":
        slack = lattice_slack(lattice, levels, cost, alpha)
        coverage = "proved, for each level, for independent records of one law"
        coverage += " and if n_hint is not above their number" if cost.neighbours == "add_remove" else ""
    else:
        slack = simulated_slack(method, n, lattice, levels, cost, alpha)
        coverage = "for each level; the mechanism's part is simulated on uniform reference data, not proved"
    brackets = bracket_levels(levels, n, slack, alpha)
    more = {q for pair in brackets for q in pair if q is not None}
    return tuple(sorted({*levels, *more})), brackets, coverage


def median(x: Any, **options: Any) -> PrivateQuantiles:
    """The private median: `quantiles` with p = 0.5.

    Parameters
    ----------
    x : (n,) numbers, or a `Column` of a file
    options : as in `quantiles`

    Raises
    ------
    As `quantiles` does.

    Examples
    --------
    >>> median(range(1000), bounds=(0, 999), resolution=1, neighbours="replace", epsilon=5, unsafe_rng=0).p.tolist()
    [0.5]
    """
    return quantiles(x, [Fraction(1, 2)], **options)
