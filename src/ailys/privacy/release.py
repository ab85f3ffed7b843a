"""The one path on which data are read: budget, then file, then reservation on disk, then the computation.

1. The budget is looked up; if it does not allow the release, nothing else happens.
2. The data are opened and checked; a wrong column costs nothing.
3. The spend is written to the ledger's disk (another process may have taken what was left: then nothing is computed).
4. The mechanism runs, with the operating system's random bits.
5. The release is marked in the ledger. A failure after step 3 leaves the budget spent, and its text shows no data.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .budget import PrivacySpent
from .ledger import Ledger
from .noise import Source, random_source

__all__ = ["ReleaseFailed", "private_release"]

# beyond, the doubles of an answer would overflow, after its budget was spent
LEAST, MOST = Fraction(1, 10**30), Fraction(10**15)

T = TypeVar("T")
D = TypeVar("D")


def check_amount(unit: str, amount: Fraction) -> None:
    """Whether a mechanism can run with this budget: beyond these bounds no number of the tables would be a double."""
    if not LEAST <= amount <= MOST:
        raise ValueError(f"{unit} must lie between 1e-30 and 1e15 for a release; got {float(amount):g}")


class ReleaseFailed(RuntimeError):
    """A mechanism stopped after its budget was spent; why is not said, since it may depend on the data."""


def private_release(
    run: Callable[[D, Source], T],
    prepare: Callable[[], D],
    *,
    privacy: PrivacySpent,
    mechanism: str,
    parameters: Mapping[str, Any],
    ledger: Ledger | str | Path | None = None,
    label: str | None = None,
    dataset: str = "in memory",
    unsafe_rng: np.random.Generator | int | None = None,
) -> T:
    """Run a mechanism under a budget.

    Parameters
    ----------
    run : ``run(data, source)``, the only computation that may depend on the data; whatever it raises is replaced by
        `ReleaseFailed` without its text, and its warnings are not shown
    prepare : opens and checks the data; its errors carry no data
    privacy : what the release costs
    mechanism, parameters, label, dataset : noted in the ledger; public
    ledger : a `Ledger` or the path of one; None charges nothing
    unsafe_rng : seeded randomness for research; refused together with a ledger

    Raises
    ------
    BudgetExceeded
        the ledger does not allow it; ``prepare`` is not called
    ReleaseFailed
        ``run`` raised something; the budget stays spent
    ValueError
        seeded randomness together with a ledger, or a budget outside 1e-30..1e15; and whatever ``prepare`` raises

    Examples
    --------
    >>> spent = PrivacySpent(epsilon=1)
    >>> private_release(lambda data, source: source.secure, lambda: [1, 2], privacy=spent, mechanism="none", parameters={})
    True
    """
    source = random_source(unsafe_rng)
    if ledger is not None and not source.secure:
        raise ValueError("a ledger accepts releases from the cryptographic source only; leave unsafe_rng out")
    book = Ledger(ledger) if isinstance(ledger, (str, Path)) else ledger
    if book is not None:
        book.check(privacy)
    check_amount(privacy.unit, privacy.amount)
    data = prepare()
    number = 0
    if book is not None:
        number = book.reserve(
            privacy,
            label=label or "",
            dataset=dataset,
            mechanism=mechanism,
            parameters=parameters,
            secure=source.secure,
        )
    failed = False
    result: Any = None
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            result = run(data, source)
    except Exception:
        failed = True
    if book is not None:
        book.mark(number, "failed" if failed else "released")
    if failed:  # raised outside the handler: the first exception, which may quote data, is not carried along
        spent = "; its budget stays spent" if book is not None else ""
        raise ReleaseFailed(f"the mechanism {mechanism!r} failed on these data{spent}")
    return result  # type: ignore[no-any-return]
