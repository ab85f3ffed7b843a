"""Counts, sums and means with exact integer noise.

Sums of floating-point numbers depend on their order, and noise added to them leaves traces (Mironov 2012). Here records are
first rounded to a public lattice; what is summed, and what noise is added to, are integers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..core.answer import Answer
from ..core.guarantee import Guarantee
from .budget import Budget, PrivacySpent, as_budget
from .integer_noise import IntegerNoise
from .lattice import Lattice
from .ledger import Ledger
from .noise import Amount, Source
from .preprocess import check_missing, prepare
from .readers import Column, fingerprint, load_labels, load_persons, load_values
from .records import check_confidence, lattice_indices, public_settings, read_records, same_length
from .release import private_release

__all__ = ["PrivateNumber", "count", "mean", "sum"]

_FLAG = Lattice(Fraction(0), Fraction(1), 2)
Records = Any  # a one-dimensional array, or a Column of a file


@dataclass(frozen=True)
class PrivateNumber(Answer):
    """A released number.

    ``lower`` and ``upper`` hold the statistic of the (clipped, rounded) records with probability ``confidence``: they account for
    the privacy noise, not for the sampling of the people.
    """

    name: str
    value: float
    lower: float
    upper: float
    confidence: float
    noise_sd: float
    privacy: PrivacySpent
    secure: bool

    @property
    def guarantee(self) -> Guarantee:
        """The privacy of the release."""
        return self.privacy.released(self.secure)

    def facts(self) -> Mapping[str, Any]:
        """The released number and its interval."""
        return {
            **{"statistic": self.name, "value": self.value, "lower": self.lower, "upper": self.upper},
            **{
                "confidence": self.confidence,
                "noise_sd": self.noise_sd,
                **self.privacy.facts(),
                "secure": self.secure,
            },
        }


def count(
    x: Records,
    *,
    neighbours: str,
    epsilon: Amount | None = None,
    rho: Amount | None = None,
    between: tuple[float, float] | None = None,
    equal_to: float | str | None = None,
    contributions: int = 1,
    person: Any = None,
    confidence: float = 0.95,
    ledger: Ledger | str | Path | None = None,
    label: str | None = None,
    unsafe_rng: np.random.Generator | int | None = None,
) -> PrivateNumber:
    """How many records there are, or how many satisfy a public condition.

    Parameters
    ----------
    x : array (n,) or `Column`; of an array of booleans the true ones are counted, otherwise all records
    neighbours : "add_remove" or "replace" (there the number of all records is public anyway: give a condition)
    epsilon, rho : exactly one: the budget of pure differential privacy or of zCDP
    between : count the numbers in this closed interval
    equal_to : count the records equal to this number or text
    contributions, person : most records a person has; with ``person`` (one id a record) more are left out
    confidence : of the interval
    ledger, label : `Ledger` to charge, and a name for the release
    unsafe_rng : seeded noise for research; the result is then marked insecure

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
    >>> count(range(100), neighbours="add_remove", epsilon=1).privacy.epsilon
    1.0
    """
    budget = as_budget(epsilon, rho, neighbours, contributions)
    check_missing("error", None, neighbours, contributions, person)
    check_confidence(confidence)
    if between is not None and equal_to is not None:
        raise ValueError("give at most one of between and equal_to")
    if between is not None and not (len(between) == 2 and float(between[0]) <= float(between[1])):
        raise ValueError("between must be two numbers in increasing order")
    noise = IntegerNoise.calibrated(budget, l1=1, l2_squared=1)

    def read() -> tuple[np.ndarray, np.ndarray | None]:
        return same_length(_flags(x, between, equal_to), load_persons(x, person))

    def run(data: tuple[np.ndarray, np.ndarray | None], source: Source) -> int:
        kept = prepare(
            data[0], _FLAG, neighbours=neighbours, person=data[1], contributions=budget.contributions, source=source
        )
        return int(kept.sum()) + int(noise.draw(source, 1)[0])

    about = {"between": between, "equal_to": equal_to}
    value = private_release(
        *(run, read), privacy=budget.spent(), mechanism=f"count, {noise.law} noise", parameters=public_settings(budget, **about),
        ledger=ledger, label=label, dataset=fingerprint(x), unsafe_rng=unsafe_rng,
    )  # fmt: skip
    reach = noise.half_width(1 - confidence)
    spread = (float(value - reach), float(value + reach))
    return PrivateNumber("count", value, *spread, confidence, noise.variance**0.5, budget.spent(), unsafe_rng is None)


def sum(
    x: Records,
    *,
    bounds: tuple[Amount, Amount],
    resolution: Amount,
    neighbours: str,
    epsilon: Amount | None = None,
    rho: Amount | None = None,
    contributions: int = 1,
    person: Any = None,
    missing: str = "error",
    missing_value: float | None = None,
    confidence: float = 0.95,
    ledger: Ledger | str | Path | None = None,
    label: str | None = None,
    unsafe_rng: np.random.Generator | int | None = None,
) -> PrivateNumber:
    """The sum of the records, clipped to the bounds and rounded to the resolution.

    Parameters
    ----------
    x : array (n,) of numbers, or `Column`
    bounds, resolution : lowest and highest value that can occur, and the unit of the column; public, not from the data
    missing, missing_value : "error", "drop" (add_remove), or "value" with a public value for missing records
    neighbours, epsilon, rho, contributions, person, confidence, ledger, label, unsafe_rng : as in `count`

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
    >>> total = sum([1, 2, 3], bounds=(0, 10), resolution=1, neighbours="replace", epsilon=1)
    >>> total.name, total.secure
    ('sum', True)
    """
    budget, lattice = as_budget(epsilon, rho, neighbours, contributions), Lattice.of(bounds, resolution)
    check_missing(missing, missing_value, neighbours, contributions, person)
    check_confidence(confidence)
    # in units of step / v every lattice point is an integer; a record counts with its value, or, when n is public, above low
    v = (lattice.low / lattice.step).denominator
    low, high = int(lattice.low / lattice.step * v), int(lattice.high / lattice.step * v)
    reach = max(abs(low), abs(high)) if neighbours == "add_remove" else high - low
    noise = IntegerNoise.calibrated(budget, l1=reach, l2_squared=reach**2)

    def run(data: tuple[np.ndarray, np.ndarray | None], source: Source) -> int:
        kept = lattice_indices(data, lattice, budget, missing, missing_value, source)
        return len(kept) * low + v * _exact_sum(kept) + int(noise.draw(source, 1)[0])

    units = private_release(
        *(run, lambda: read_records(x, person, missing)), privacy=budget.spent(), mechanism=f"sum, {noise.law} noise",
        parameters=public_settings(budget, bounds=bounds, resolution=resolution, missing=missing), ledger=ledger, label=label,
        dataset=fingerprint(x), unsafe_rng=unsafe_rng,
    )  # fmt: skip
    unit, width = lattice.step / v, noise.half_width(1 - confidence)
    value, lower, upper = (float(unit * (units + k * width)) for k in (0, -1, 1))
    spread = float(unit) * noise.variance**0.5
    return PrivateNumber("sum", value, lower, upper, confidence, spread, budget.spent(), unsafe_rng is None)


def mean(
    x: Records,
    *,
    bounds: tuple[Amount, Amount],
    resolution: Amount,
    neighbours: str,
    epsilon: Amount | None = None,
    rho: Amount | None = None,
    contributions: int = 1,
    person: Any = None,
    missing: str = "error",
    missing_value: float | None = None,
    confidence: float = 0.95,
    ledger: Ledger | str | Path | None = None,
    label: str | None = None,
    unsafe_rng: np.random.Generator | int | None = None,
) -> PrivateNumber:
    """The mean of the records, clipped to the bounds and rounded to the resolution.

    Under "replace" the number of records is public and only the sum gets noise. Under "add_remove" half of the budget goes to
    the sum of distances from the middle of the bounds and half to the number of records; without any record the middle of the
    bounds is the answer from noise alone.

    Parameters
    ----------
    x, bounds, resolution, missing, missing_value : as in `ailys.privacy.sum`
    neighbours, epsilon, rho, contributions, person, confidence, ledger, label, unsafe_rng : as in `count`

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
    >>> average = mean([1, 2, 3], bounds=(0, 10), resolution=1, neighbours="replace", epsilon=1)
    >>> 0 <= average.value <= 10
    True
    """
    budget, lattice = as_budget(epsilon, rho, neighbours, contributions), Lattice.of(bounds, resolution)
    check_missing(missing, missing_value, neighbours, contributions, person)
    check_confidence(confidence)
    public_n = neighbours == "replace"
    # twice the distance from the middle, in steps, is an integer between -(G - 1) and G - 1
    parts = 1 if public_n else 2
    share = Budget(
        None if budget.epsilon is None else budget.epsilon / parts,
        None if budget.rho is None else budget.rho / parts,
        neighbours,
        budget.contributions,
    )
    reach = (lattice.size - 1) * (2 if public_n else 1)
    distance_noise = IntegerNoise.calibrated(share, l1=reach, l2_squared=reach**2)
    size_noise = None if public_n else IntegerNoise.calibrated(share, l1=1, l2_squared=1)

    def run(data: tuple[np.ndarray, np.ndarray | None], source: Source) -> tuple[int, int]:
        kept = lattice_indices(data, lattice, budget, missing, missing_value, source)
        distance = 2 * _exact_sum(kept) - len(kept) * (lattice.size - 1)
        n = len(kept) + (int(size_noise.draw(source, 1)[0]) if size_noise else 0)
        return distance + int(distance_noise.draw(source, 1)[0]), n

    distance, n = private_release(
        *(run, lambda: read_records(x, person, missing)), privacy=budget.spent(), mechanism=f"mean, {distance_noise.law} noise",
        parameters=public_settings(budget, bounds=bounds, resolution=resolution, missing=missing), ledger=ledger, label=label,
        dataset=fingerprint(x), unsafe_rng=unsafe_rng,
    )  # fmt: skip
    alpha = (1 - confidence) / parts
    width = distance_noise.half_width(alpha)
    margin = size_noise.half_width(alpha) if size_noise else 0
    middle, half_step = (lattice.low + lattice.high) / 2, lattice.step / 2

    def clipped(d: int, k: int) -> Fraction:
        return min(max(middle + half_step * d / max(k, 1), lattice.low), lattice.high)

    corners = [clipped(d, k) for d in (distance - width, distance + width) for k in (n - margin, n + margin)]
    if n - margin < 1:  # so few records that the noise may be all there is
        corners = [lattice.low, lattice.high]
    spread = float(half_step) * distance_noise.variance**0.5 / max(n, 1)
    ends = (float(clipped(distance, n)), float(min(corners)), float(max(corners)))
    return PrivateNumber("mean", *ends, confidence, spread, budget.spent(), unsafe_rng is None)


def _flags(x: Records, between: tuple[float, float] | None, equal_to: float | str | None) -> np.ndarray:
    """1 for the records that count, 0 for the others."""
    if between is not None:
        values = load_values(x)
        return ((values >= float(between[0])) & (values <= float(between[1]))).astype(float)
    if isinstance(equal_to, str):
        return (load_labels(x) == equal_to).astype(float)
    if equal_to is not None:
        return (load_values(x) == float(equal_to)).astype(float)
    records = load_labels(x)
    if not isinstance(x, Column):
        array = np.asarray(x)
        if array.dtype == bool:
            return array.astype(float)
    return np.ones(len(records))


def _exact_sum(indices: np.ndarray) -> int:
    """The sum as a Python integer: 64 bits could overflow."""
    return (int((indices >> 31).sum()) << 31) + int((indices & ((1 << 31) - 1)).sum())
