"""Synthetic tables: the counts of single columns and of well chosen pairs, with noise, and a tree model that fits them.

Source: McKenna, Miklau and Sheldon 2021, "Winning the NIST contest" (the MST mechanism). A third of the budget each goes to the counts of
all columns, to the choice of a spanning tree of pairs that the columns alone explain badly, and to the counts of these pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ..core.answer import Answer
from ..core.guarantee import Guarantee
from .budget import Budget, PrivacySpent, as_budget
from .exponential import exponential_choice
from .integer_noise import IntegerNoise
from .ledger import Ledger
from .noise import Amount, Source
from .readers import load_labels
from .release import private_release

__all__ = ["SyntheticTable", "measure", "synthesize"]

_MOST_COLUMNS, _MOST_CELLS = 20, 1 << 20


@dataclass(frozen=True)
class SyntheticTable(Answer):
    """Synthetic records: ``columns`` by name (texts of the declared domains), and the ``tree`` of pairs whose counts were used."""

    columns: Mapping[str, np.ndarray] = field(repr=False)
    tree: tuple[tuple[str, str], ...]
    n_rows: int
    privacy: PrivacySpent
    secure: bool

    @property
    def guarantee(self) -> Guarantee:
        """The privacy of the release; nothing is proved about its likeness to the data."""
        return self.privacy.released(self.secure)

    def facts(self) -> Mapping[str, Any]:
        """Size, tree, cost, and the records."""
        return {
            **{
                "n_rows": self.n_rows,
                "tree": [list(pair) for pair in self.tree],
                **self.privacy.facts(),
                "secure": self.secure,
            },
            "records": [dict(zip(self.columns, row, strict=True)) for row in zip(*self.columns.values(), strict=True)],
        }

    def to_frame(self) -> Any:
        """The records as a pandas DataFrame."""
        from ..core.optional import require

        return require("pandas", extra="tables", purpose="a DataFrame").DataFrame(dict(self.columns))


def synthesize(
    frame: Any,
    *,
    domain: Mapping[str, Sequence[Any]],
    neighbours: str = "add_remove",
    epsilon: Amount | None = None,
    rho: Amount | None = None,
    degree: int = 2,
    n_rows: int | None = None,
    ledger: Ledger | str | Path | None = None,
    label: str | None = None,
    unsafe_rng: np.random.Generator | int | None = None,
) -> SyntheticTable:
    """Synthetic records that keep the counts of columns and of some pairs of columns.

    Parameters
    ----------
    frame : DataFrame, or mapping of names to arrays, one record a row and one record a person
    domain : for each column to keep its public values, two columns at least; anything else counts as "other"
    neighbours : as in `ailys.privacy.count`; "add_remove" if you say nothing, which hides the number of records too
    epsilon, rho, ledger, label, unsafe_rng : as in `ailys.privacy.count`
    degree : columns a count looks at; 2 is the one that exists
    n_rows : records to draw; default: the noisy number of records

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
    >>> data = {"smoker": ["yes", "no"] * 500, "cough": ["yes", "no"] * 500}
    >>> domain = {"smoker": ["yes", "no"], "cough": ["yes", "no"]}
    >>> table = synthesize(data, domain=domain, epsilon=3, n_rows=100, unsafe_rng=0)
    >>> float((table.columns["smoker"] == table.columns["cough"]).mean()) > 0.9
    True
    """
    budget = as_budget(epsilon, rho, neighbours)
    if degree != 2:
        raise ValueError(f"degree must be 2 (counts of pairs of columns); got {degree!r}")
    if n_rows is not None and (isinstance(n_rows, bool) or int(n_rows) != n_rows or n_rows < 0):
        raise ValueError(f"n_rows must be a whole number, at least 0; got {n_rows!r}")
    values = {str(name): (*(str(v) for v in choices), "other") for name, choices in domain.items()}
    if not 2 <= len(values) <= _MOST_COLUMNS:
        raise ValueError(f"domain must name 2 to {_MOST_COLUMNS} columns; got {len(values)}")
    if any(len(set(v)) < len(v) or len(v) < 2 for v in values.values()):
        raise ValueError("each column of the domain needs different values, at least one, none of them 'other'")
    if max(len(a) * len(b) for a, b in combinations(values.values(), 2)) > _MOST_CELLS:
        raise ValueError(f"two columns have more than {_MOST_CELLS} pairs of values together; merge values")

    def read() -> list[np.ndarray]:
        if any(name not in frame for name in domain):
            raise ValueError("the data lack a column of the domain")
        columns = []
        for name, choices in domain.items():
            place = {str(v).strip(): k for k, v in enumerate(choices)}
            columns.append(np.array([place.get(text, len(place)) for text in load_labels(frame[name])], dtype=np.int64))
        if len({len(column) for column in columns}) > 1:
            raise ValueError("the columns have different lengths")
        return columns

    def run(columns: list[np.ndarray], source: Source) -> SyntheticTable:
        sizes = [len(v) for v in values.values()]
        singles, edges, pairs = measure(columns, sizes, budget, source)
        rng = np.random.default_rng(
            int.from_bytes(source.bytes(16), "little")
        )  # what follows uses released counts only
        margins, joints, total = _fit(singles, edges, pairs, len(columns[0]) if neighbours == "replace" else None)
        size = max(0, round(total)) if n_rows is None else int(n_rows)
        codes = _draw(margins, edges, joints, size, rng)
        names = list(values)
        drawn = {name: np.array(values[name], dtype=object)[code] for name, code in zip(names, codes, strict=True)}
        tree = tuple((names[a], names[b]) for a, b in edges)
        return SyntheticTable(drawn, tree, size, budget.spent(), source.secure)

    return private_release(
        *(run, read), privacy=budget.spent(), mechanism="synthetic table (MST)",
        parameters={"columns": list(values), "neighbours": neighbours}, ledger=ledger, label=label, unsafe_rng=unsafe_rng,
    )  # fmt: skip


def measure(
    columns: list[np.ndarray], sizes: list[int], budget: Budget, source: Source
) -> tuple[list[np.ndarray], list[tuple[int, int]], list[np.ndarray]]:
    """Everything that looks at the data: 3 d - 2 releases for d columns."""
    d = len(columns)
    moved = 1 if budget.neighbours == "add_remove" else 2
    noise = IntegerNoise.calibrated(_share(budget, 3 * d), l1=moved, l2_squared=moved)
    singles = [np.bincount(c, minlength=s) + noise.draw(source, s) for c, s in zip(columns, sizes, strict=True)]
    shares = [np.maximum(s, 0) / max(1, np.maximum(s, 0).sum()) for s in singles]
    total = max(1, round(float(np.mean([np.maximum(s, 0).sum() for s in singles]))))
    counts, scores = {}, {}
    for a, b in combinations(range(d), 2):
        counts[a, b] = np.bincount(columns[a] * sizes[b] + columns[b], minlength=sizes[a] * sizes[b])
        # against whole numbers, so that one record moves the score by at most `moved`, exactly
        expected = np.rint(total * np.outer(shares[a], shares[b])).astype(np.int64).ravel()
        scores[a, b] = int(np.abs(counts[a, b] - expected).sum())
    share = _share(budget, 3 * (d - 1))
    # the exponential mechanism: epsilon, or (epsilon^2 / 8)-zCDP, rounded down to a rational
    loss = (
        share.epsilon
        if share.rho is None
        else Fraction(int((8 * float(share.rho)) ** 0.5 * (1 - 1e-12) * 2**60), 2**60)
    )
    assert loss is not None
    edges: list[tuple[int, int]] = []
    group = list(range(d))
    for _ in range(d - 1):
        open_edges = [pair for pair in scores if group[pair[0]] != group[pair[1]]]
        best = max(scores[pair] for pair in open_edges)
        distances = [best - scores[pair] for pair in open_edges]
        chosen = open_edges[exponential_choice([1] * len(open_edges), distances, loss / (2 * moved), unsafe_rng=source)]
        edges.append(chosen)
        old, new = group[chosen[0]], group[chosen[1]]
        group = [new if g == old else g for g in group]
    noise = IntegerNoise.calibrated(share, l1=moved, l2_squared=moved)
    pairs = [
        (counts[edge] + noise.draw(source, len(counts[edge]))).reshape(sizes[edge[0]], sizes[edge[1]]) for edge in edges
    ]
    return singles, edges, pairs


def _share(budget: Budget, parts: int) -> Budget:
    return Budget(
        None if budget.epsilon is None else budget.epsilon / parts,
        None if budget.rho is None else budget.rho / parts,
        budget.neighbours,
        budget.contributions,
    )


def _fit(
    singles: list[np.ndarray], edges: list[tuple[int, int]], pairs: list[np.ndarray], public_n: int | None
) -> tuple[list[np.ndarray], list[np.ndarray], float]:
    """Consistent probabilities: columns from all counts that show them, pairs scaled to their columns (IPF)."""
    total = float(public_n) if public_n is not None else float(np.mean([s.sum() for s in singles]))
    margins = []
    for k, single in enumerate(singles):
        estimates, weights = [single.astype(float)], [1.0]
        for (a, b), pair in zip(edges, pairs, strict=True):
            if k in (a, b):
                estimates.append(pair.sum(axis=1 if k == a else 0).astype(float))
                weights.append(1.0 / pair.shape[1 if k == a else 0])  # a sum of so many noisy cells
        mean = np.maximum(np.average(estimates, axis=0, weights=weights), 0) + 1e-9
        margins.append(mean / mean.sum())
    joints = []
    for (a, b), pair in zip(edges, pairs, strict=True):
        joint = np.maximum(pair.astype(float), 0) + 1e-9
        for _ in range(200):
            joint *= (margins[a] / joint.sum(axis=1))[:, None]
            joint *= margins[b] / joint.sum(axis=0)
        joints.append(joint)
    return margins, joints, total


def _draw(
    margins: list[np.ndarray], edges: list[tuple[int, int]], joints: list[np.ndarray], n: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Records from the tree: the first column, then each neighbour given the one already drawn."""
    codes: dict[int, np.ndarray] = {0: rng.choice(len(margins[0]), size=n, p=margins[0])}
    left = list(zip(edges, joints, strict=True))
    while left:
        k = next(i for i, ((a, b), _) in enumerate(left) if (a in codes) != (b in codes))
        (a, b), joint = left.pop(k)
        known, new, table = (a, b, joint) if a in codes else (b, a, joint.T)
        cumulated = np.cumsum(table / table.sum(axis=1, keepdims=True), axis=1)
        u = rng.random(n)
        codes[new] = np.minimum((u[:, None] > cumulated[codes[known]]).sum(axis=1), table.shape[1] - 1)
    return [codes[k] for k in range(len(margins))]
