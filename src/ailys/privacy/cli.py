"""``ailys privacy``: init, plan, quantiles, median, count, sum, mean, histogram, density, ledger, audit, price."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from ..core.console import (
    Exit,
    Force,
    Jobs,
    Json,
    Plot,
    Refused,
    SeedOption,
    check_jobs,
    progress,
    show,
    show_table,
    where,
)
from ..core.figures import draw_figure, figure_target
from ..core.validation import load_function
from .cli_release import BOUNDS, CONTRIBUTIONS, EPSILON, NEIGHBOURS, RESOLUTION, RHO, VERBS, verb

app = typer.Typer(
    no_args_is_help=True,
    help="Private statistics: quantiles, counts, densities, with a budget that cannot be overspent.",
)
ledger_app = typer.Typer(no_args_is_help=True, help="Look into a ledger, or charge it with a cost from elsewhere.")
app.add_typer(ledger_app, name="ledger")


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
    bounds: BOUNDS,
    resolution: RESOLUTION,
    neighbours: NEIGHBOURS,
    epsilon: EPSILON = None,
    rho: RHO = None,
    contributions: CONTRIBUTIONS = 1,
    seed: SeedOption = 0,
    jobs: Jobs = 1,
    plot: Plot = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Which method will find quantiles best, simulated on a public reference; uses no data."""
    from . import plan_quantiles

    workers = check_jobs(jobs)
    target = figure_target(plot, overwrite=force)
    with progress(silent=as_json) as display:
        display.add_task("planning", total=None)
        answer = plan_quantiles(
            *(m, n), bounds=bounds, resolution=resolution, neighbours=neighbours, epsilon=epsilon, rho=rho,
            contributions=contributions, rng=seed, n_jobs=workers,
        )  # fmt: skip
    draw_figure(target, answer.plot)
    show(answer, as_json, **where(drawn=target))


for _name in VERBS:
    app.command(name=_name)(_border()(verb(_name)))


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
    neighbours: NEIGHBOURS,
    epsilon: EPSILON = None,
    rho: RHO = None,
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
    function = load_function(mechanism, "mechanism")
    with progress(silent=as_json) as display:
        display.add_task("auditing", total=None)
        result = run_audit(
            function, *pair, claimed_epsilon=claimed_epsilon, delta=delta, n_samples=samples, confidence=confidence
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
    with progress(silent=as_json) as display:
        display.add_task("pricing", total=None)
        answer = price_of_privacy(problem, n, epsilon or np.geomspace(0.01, 3, 11).round(4).tolist())
    draw_figure(target, answer.plot)
    show(answer, as_json, **where(drawn=target))
    if not as_json:
        rows = zip(answer.epsilon, answer.achieved, answer.private_bound, answer.nonprivate_bound, strict=True)
        show_table(None, ("epsilon", "achieved", "bound with privacy", "bound without"), list(rows))


def _numbers(text: str) -> list[float]:
    try:
        return [float(word) for word in text.split(",") if word.strip()]
    except ValueError:
        raise ValueError("--data and --neighbour must be numbers separated by commas") from None
