"""``ailys privacy``: init, plan, quantiles, median, count, sum, mean, histogram, density, ledger, audit, price."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from ..core.console import Exit, Force, Json, Plot, Refused, SeedOption, print_json, show, show_table, where
from ..core.figures import draw_figure, figure_target
from ..core.validation import load_function

app = typer.Typer(
    no_args_is_help=True,
    help="Private statistics: quantiles, counts, densities, with a budget that cannot be overspent.",
)
ledger_app = typer.Typer(no_args_is_help=True, help="Look into a ledger, or charge it with a cost from elsewhere.")
app.add_typer(ledger_app, name="ledger")

File = Annotated[Path, typer.Argument(help="CSV or Parquet file; opened only if the budget allows the release.")]
ColumnName = Annotated[str, typer.Option("--column", help="Name of the column.")]
Bounds = Annotated[
    tuple[str, str], typer.Option("--bounds", help="Lowest and highest value that can occur; not from the data.")
]
Resolution = Annotated[str, typer.Option("--resolution", help="Unit of the column, such as 1 (day) or 0.01 (euro).")]
Neighbours = Annotated[
    str, typer.Option("--neighbours", help="add_remove (number of records secret) or replace (public).")
]
Epsilon = Annotated[str | None, typer.Option("--epsilon", help="Budget of pure differential privacy.")]
Rho = Annotated[str | None, typer.Option("--rho", help="Budget of zero-concentrated differential privacy.")]
LedgerFile = Annotated[Path | None, typer.Option("--ledger", help="Ledger to charge (see init).")]
Label = Annotated[str | None, typer.Option("--label", help="Name of the release in the ledger.")]
Contributions = Annotated[int, typer.Option("--contributions", help="Most records that one person has.")]
Person = Annotated[str | None, typer.Option("--person", help="Column that says whose record it is (add_remove).")]
Missing = Annotated[str, typer.Option("--missing", help="error, drop, or value.")]
MissingValue = Annotated[float | None, typer.Option("--missing-value", help="Public value of missing records.")]
Confidence = Annotated[float, typer.Option("--confidence", help="Confidence of the intervals.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the cost and what is left; read no data, spend nothing.")]


@contextmanager
def _border() -> Iterator[None]:
    """Refusals get their exit code; of the warnings only ours are shown."""
    import warnings

    from .ledger import BudgetExceeded
    from .release import ReleaseFailed

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of libraries may depend on the data
        warnings.filterwarnings("default", category=UserWarning)
        try:
            yield
        except (BudgetExceeded, ReleaseFailed) as fault:
            raise Refused(str(fault)) from None


@app.command()
@_border()
def init(
    path: Annotated[Path, typer.Argument(help="File of the new ledger.")],
    epsilon: Annotated[str | None, typer.Option("--epsilon", help="Cap of the sum of pure losses.")] = None,
    rho: Annotated[str | None, typer.Option("--rho", help="Cap of the sum of zCDP losses.")] = None,
    delta: Annotated[str, typer.Option("--delta", help="Cap of the failure probabilities.")] = "0",
    as_json: Json = False,
) -> None:
    """Make a ledger: the budget of one data set, for all releases together."""
    import os

    from .ledger import Ledger

    if epsilon is None and rho is None:
        raise ValueError("give the cap of the ledger: --epsilon or --rho")
    if os.path.lexists(path):
        raise ValueError(f"{path} exists already; a ledger is never overwritten")
    show(Ledger(path, epsilon=epsilon, rho=rho, delta=delta).report(), as_json)


@app.command()
@_border()
def plan(
    m: Annotated[int, typer.Option("--m", help="Number of quantiles.")],
    n: Annotated[int, typer.Option("--n", help="Number of records, or a public guess of it.")],
    bounds: Bounds,
    resolution: Resolution,
    neighbours: Neighbours,
    epsilon: Epsilon = None,
    rho: Rho = None,
    contributions: Contributions = 1,
    seed: SeedOption = 0,
    plot: Plot = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Which method will find quantiles best, simulated on a public reference; uses no data."""
    from . import plan_quantiles

    target = figure_target(plot, overwrite=force)
    answer = plan_quantiles(
        *(m, n), bounds=bounds, resolution=resolution, neighbours=neighbours, epsilon=epsilon, rho=rho,
        contributions=contributions, rng=seed,
    )  # fmt: skip
    draw_figure(target, answer.plot)
    show(answer, as_json, **where(drawn=target))


@app.command()
@_border()
def quantiles(
    file: File,
    column: ColumnName,
    bounds: Bounds,
    resolution: Resolution,
    neighbours: Neighbours,
    level: Annotated[list[float], typer.Option("-q", "--level", help="Level in (0, 1); repeat for several.")],
    epsilon: Epsilon = None,
    rho: Rho = None,
    method: Annotated[
        str, typer.Option("--method", help="auto, lattice, indexp, recexp, jointexp, tree or histogram.")
    ] = "auto",
    confidence: Annotated[
        float | None, typer.Option("--confidence", help="Add intervals for the quantiles of the population.")
    ] = None,
    n_hint: Annotated[int | None, typer.Option("--n-hint", help="Public guess of the number of records.")] = None,
    contributions: Contributions = 1,
    person: Person = None,
    missing: Missing = "error",
    missing_value: MissingValue = None,
    ledger: LedgerFile = None,
    label: Label = None,
    plot: Plot = None,
    force: Force = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Release quantiles of a column."""
    from . import Column
    from . import quantiles as release

    target = figure_target(plot, overwrite=force)
    if dry_run:
        more = _quantile_plan(len(level), n_hint, bounds, resolution, neighbours, epsilon, rho, contributions)
        _rehearse(epsilon, rho, neighbours, contributions, ledger, as_json, more)
        return
    answer = release(
        *(Column(file, column), level), bounds=bounds, resolution=resolution, neighbours=neighbours, epsilon=epsilon, rho=rho,
        method=method, confidence=confidence, n_hint=n_hint, contributions=contributions, person=person, missing=missing,
        missing_value=missing_value, ledger=ledger, label=label,
    )  # fmt: skip
    _finish(answer, target, as_json)


@app.command()
def median(
    file: File,
    column: ColumnName,
    bounds: Bounds,
    resolution: Resolution,
    neighbours: Neighbours,
    epsilon: Epsilon = None,
    rho: Rho = None,
    confidence: Annotated[
        float | None, typer.Option("--confidence", help="Add an interval for the median of the population.")
    ] = None,
    n_hint: Annotated[int | None, typer.Option("--n-hint", help="Public guess of the number of records.")] = None,
    contributions: Contributions = 1,
    person: Person = None,
    missing: Missing = "error",
    missing_value: MissingValue = None,
    ledger: LedgerFile = None,
    label: Label = None,
    plot: Plot = None,
    force: Force = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Release the median of a column."""
    quantiles(
        *(file, column, bounds, resolution, neighbours, [0.5]), epsilon=epsilon, rho=rho, confidence=confidence, n_hint=n_hint,
        contributions=contributions, person=person, missing=missing, missing_value=missing_value, ledger=ledger, label=label,
        plot=plot, force=force, dry_run=dry_run, as_json=as_json,
    )  # fmt: skip


@app.command()
@_border()
def count(
    file: File,
    column: ColumnName,
    neighbours: Neighbours,
    epsilon: Epsilon = None,
    rho: Rho = None,
    between: Annotated[
        tuple[float, float] | None, typer.Option("--between", help="Count numbers in this interval.")
    ] = None,
    equal_to: Annotated[str | None, typer.Option("--equal-to", help="Count records with this text.")] = None,
    contributions: Contributions = 1,
    person: Person = None,
    confidence: Confidence = 0.95,
    ledger: LedgerFile = None,
    label: Label = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Release how many records there are, or how many satisfy a condition."""
    from . import Column
    from . import count as release

    if dry_run:
        _rehearse(epsilon, rho, neighbours, contributions, ledger, as_json)
        return
    answer = release(
        Column(file, column), neighbours=neighbours, epsilon=epsilon, rho=rho, between=between, equal_to=equal_to,
        contributions=contributions, person=person, confidence=confidence, ledger=ledger, label=label,
    )  # fmt: skip
    show(answer, as_json)


def _number_verb(name: str, help_text: str) -> None:
    """The verbs ``sum`` and ``mean`` take the same words."""

    @app.command(name=name, help=help_text)
    @_border()
    def verb(
        file: File,
        column: ColumnName,
        bounds: Bounds,
        resolution: Resolution,
        neighbours: Neighbours,
        epsilon: Epsilon = None,
        rho: Rho = None,
        contributions: Contributions = 1,
        person: Person = None,
        missing: Missing = "error",
        missing_value: MissingValue = None,
        confidence: Confidence = 0.95,
        ledger: LedgerFile = None,
        label: Label = None,
        dry_run: DryRun = False,
        as_json: Json = False,
    ) -> None:
        from . import Column, counts

        if dry_run:
            _rehearse(epsilon, rho, neighbours, contributions, ledger, as_json)
            return
        answer = getattr(counts, name)(
            Column(file, column), bounds=bounds, resolution=resolution, neighbours=neighbours, epsilon=epsilon, rho=rho,
            contributions=contributions, person=person, missing=missing, missing_value=missing_value, confidence=confidence,
            ledger=ledger, label=label,
        )  # fmt: skip
        show(answer, as_json)


_number_verb("sum", "Release the sum of a column, clipped to the bounds.")
_number_verb("mean", "Release the mean of a column, clipped to the bounds.")


@app.command()
@_border()
def histogram(
    file: File,
    column: ColumnName,
    neighbours: Neighbours,
    bounds: Annotated[
        tuple[str, str] | None, typer.Option("--bounds", help="Lowest and highest value that can occur.")
    ] = None,
    resolution: Annotated[
        str | None, typer.Option("--resolution", help="One cell for each multiple of this unit.")
    ] = None,
    bins: Annotated[int | None, typer.Option("--bins", help="Cells of equal width instead.")] = None,
    category: Annotated[
        list[str] | None, typer.Option("--category", help="For texts: a public category; repeat.")
    ] = None,
    epsilon: Epsilon = None,
    rho: Rho = None,
    contributions: Contributions = 1,
    person: Person = None,
    missing: Missing = "error",
    missing_value: MissingValue = None,
    confidence: Confidence = 0.95,
    ledger: LedgerFile = None,
    label: Label = None,
    plot: Plot = None,
    force: Force = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Release counts of the cells of a public partition."""
    from . import Column
    from . import histogram as release

    target = figure_target(plot, overwrite=force)
    if dry_run:
        _rehearse(epsilon, rho, neighbours, contributions, ledger, as_json)
        return
    answer = release(
        Column(file, column), bounds=bounds, resolution=resolution, bins=bins, categories=category or None, neighbours=neighbours,
        epsilon=epsilon, rho=rho, contributions=contributions, person=person, missing=missing, missing_value=missing_value,
        confidence=confidence, ledger=ledger, label=label,
    )  # fmt: skip
    _finish(answer, target, as_json, [("cell", "count"), list(zip(answer.cells, answer.counts.tolist(), strict=True))])


@app.command()
@_border()
def density(
    file: File,
    column: ColumnName,
    bounds: Bounds,
    neighbours: Neighbours,
    epsilon: Epsilon = None,
    rho: Rho = None,
    method: Annotated[str, typer.Option("--method", help="histogram or projection.")] = "histogram",
    smoothness: Annotated[
        float | None, typer.Option("--smoothness", help="Lipschitz constant, or Sobolev exponent.")
    ] = None,
    n: Annotated[int | None, typer.Option("--n", help="Public number of records (needed under add_remove).")] = None,
    contributions: Contributions = 1,
    missing: Missing = "error",
    missing_value: MissingValue = None,
    ledger: LedgerFile = None,
    label: Label = None,
    plot: Plot = None,
    force: Force = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Release the density of a column."""
    from . import Column
    from . import density as release

    target = figure_target(plot, overwrite=force)
    if dry_run:
        _rehearse(epsilon, rho, neighbours, contributions, ledger, as_json)
        return
    answer = release(
        Column(file, column), bounds=bounds, neighbours=neighbours, epsilon=epsilon, rho=rho, method=method, smoothness=smoothness,
        n=n, contributions=contributions, missing=missing, missing_value=missing_value, ledger=ledger, label=label,
    )  # fmt: skip
    _finish(answer, target, as_json)


@ledger_app.command(name="show")
@_border()
def show_ledger(
    path: Annotated[Path, typer.Argument(help="The ledger.")],
    plot: Plot = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """What was spent, on what, and what is left."""
    from .ledger import Ledger

    target = figure_target(plot, overwrite=force)
    report = Ledger(path).report()
    draw_figure(target, report.plot)
    show(report, as_json, **where(drawn=target))
    if not as_json and report.history:
        columns = ("number", "time", "label", "mechanism", "unit", "amount", "neighbours", "status")
        show_table(None, columns, [[row[name] for name in columns] for row in report.history])


@ledger_app.command()
@_border()
def charge(
    path: Annotated[Path, typer.Argument(help="The ledger.")],
    label: Annotated[str, typer.Option("--label", help="What the cost was for.")],
    neighbours: Neighbours,
    epsilon: Epsilon = None,
    rho: Rho = None,
    delta: Annotated[str, typer.Option("--delta", help="Failure probability of the release.")] = "0",
    as_json: Json = False,
) -> None:
    """Charge a cost that arises elsewhere, such as the training of a private model; do it before the training."""
    from .ledger import Ledger

    if (epsilon is None) == (rho is None):
        raise ValueError("give exactly one of --epsilon and --rho")
    book = Ledger(path)
    book.spend(epsilon=epsilon, rho=rho, delta=delta, neighbours=neighbours, label=label)
    show(book.report(), as_json)


@app.command()
@_border()
def audit(
    mechanism: Annotated[str, typer.Argument(help="MODULE:NAME of a function; name(data, n) returns n outputs.")],
    claimed_epsilon: Annotated[float, typer.Option("--claimed-epsilon", help="What the mechanism promises.")],
    data: Annotated[str | None, typer.Option("--data", help="Numbers separated by commas.")] = None,
    neighbour: Annotated[str | None, typer.Option("--neighbour", help="A neighbouring data set.")] = None,
    worst: Annotated[
        str | None, typer.Option("--worst", help="Use the worst pair known for median, count, sum, mean, histogram.")
    ] = None,
    delta: Annotated[float, typer.Option("--delta", help="Failure probability that is promised.")] = 0.0,
    samples: Annotated[int, typer.Option("--samples", help="Outputs drawn on each data set.")] = 200_000,
    confidence: Annotated[float, typer.Option("--confidence", help="Confidence of the bound.")] = 0.99,
    plot: Plot = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Try to show that a mechanism leaks more than it claims; exit code 1 if it does."""
    from . import audit as run_audit
    from . import worst_pairs

    target = figure_target(plot, overwrite=force)
    if (worst is None) == (data is None or neighbour is None):
        raise ValueError("give --data and --neighbour, or --worst")
    pair = worst_pairs(worst)[0] if worst else tuple(_numbers(text) for text in (str(data), str(neighbour)))
    result = run_audit(
        *(load_function(mechanism, "mechanism"), *pair),
        claimed_epsilon=claimed_epsilon,
        delta=delta,
        n_samples=samples,
        confidence=confidence,
    )
    draw_figure(target, result.plot)
    show(result, as_json, **where(drawn=target))
    if result.verdict == "violation":
        raise typer.Exit(Exit.FAILED)


@app.command()
@_border()
def price(
    problem: Annotated[str, typer.Argument(help="bernoulli, uniform_support, gaussian_mean or density.")],
    n: Annotated[int, typer.Option("--n", help="Records.")] = 1000,
    epsilon: Annotated[list[float] | None, typer.Option("--epsilon", help="A budget; repeat for several.")] = None,
    plot: Plot = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """What privacy costs: achieved risk against the bounds that nobody beats."""
    import numpy as np

    from . import price_of_privacy

    target = figure_target(plot, overwrite=force)
    answer = price_of_privacy(problem, n, epsilon or np.geomspace(0.01, 3, 11).round(4).tolist())
    draw_figure(target, answer.plot)
    show(answer, as_json, **where(drawn=target))
    if not as_json:
        rows = zip(answer.epsilon, answer.achieved, answer.private_bound, answer.nonprivate_bound, strict=True)
        show_table(None, ("epsilon", "achieved", "bound with privacy", "bound without"), list(rows))


def _rehearse(
    epsilon: str | None, rho: str | None, neighbours: str, contributions: int, ledger: Path | None, as_json: bool,
    more: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """The cost of a release and what would be left; no data file is named here, so none is opened."""
    from .budget import as_budget
    from .ledger import Ledger

    spent = as_budget(epsilon, rho, neighbours, contributions).spent()
    report = {"dry_run": True, **spent.facts(), **(more or {})}
    if ledger is not None:
        book = Ledger(ledger)
        book.check(spent)
        report |= {"ledger_unit": book.unit, "remaining_before": float(book.remaining)}
    if as_json:
        print_json(report)
        return
    show_table("dry run: no data were read, nothing was spent", ("", ""), [(k.replace("_", " "), v) for k, v in report.items()], header=False)  # fmt: skip


def _quantile_plan(
    m: int, n: int | None, bounds: tuple[str, str], resolution: str, neighbours: str, epsilon: str | None, rho: str | None, contributions: int
) -> dict[str, Any]:  # fmt: skip
    if n is None:
        return {"plan": "give --n-hint to see the method and its simulated error"}
    from . import plan_quantiles

    answer = plan_quantiles(
        m, n, bounds=bounds, resolution=resolution, neighbours=neighbours, epsilon=epsilon, rho=rho, contributions=contributions
    )  # fmt: skip
    return {"plan": {name: value for name, value in answer.facts().items() if not isinstance(value, (list, dict))}}


def _finish(answer: Any, target: Path | None, as_json: bool, table: list[Any] | None = None) -> None:
    """Show first: what was paid for is not lost if the figure fails."""
    show(answer, as_json)
    if table is not None and not as_json and len(table[1]) <= 60:
        show_table(None, *table)
    draw_figure(target, answer.plot)


def _numbers(text: str) -> list[float]:
    try:
        return [float(word) for word in text.split(",") if word.strip()]
    except ValueError:
        raise ValueError("--data and --neighbour must be numbers separated by commas") from None
