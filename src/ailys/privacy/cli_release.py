"""The verbs that release something: which options each takes, said once, and the one way they all run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ..core.console import Force, Json, Plot, print_json, progress, show, show_table
from ..core.figures import draw_figure, figure_target

__all__ = ["BOUNDS", "CONTRIBUTIONS", "EPSILON", "NEIGHBOURS", "RESOLUTION", "RHO", "VERBS", "verb"]

Options = dict[str, tuple[Any, Any]]  # name of the library's parameter -> its annotation, its default
_NEEDED = inspect.Parameter.empty

NEIGHBOURS = Annotated[
    str, typer.Option("--neighbours", help="add_remove (number of records secret) or replace (public).")
]
EPSILON = Annotated[str | None, typer.Option("--epsilon", help="Budget of pure differential privacy.")]
RHO = Annotated[str | None, typer.Option("--rho", help="Budget of zero-concentrated differential privacy.")]
BOUNDS = Annotated[
    tuple[str, str], typer.Option("--bounds", help="Lowest and highest value that can occur; not from the data.")
]
RESOLUTION = Annotated[str, typer.Option("--resolution", help="Unit of the column, such as 1 (day) or 0.01 (euro).")]
CONTRIBUTIONS = Annotated[int, typer.Option("--contributions", help="Most records that one person has.")]


def _text(flag: str, said: str) -> Any:
    return Annotated[str | None, typer.Option(flag, help=said)]


FIRST: Options = {
    "file": (Annotated[Path, typer.Argument(help="CSV or Parquet file; opened only if the budget allows the release.")], _NEEDED),
    "column": (Annotated[str, typer.Option("--column", help="Name of the column.")], _NEEDED),
}  # fmt: skip
COST: Options = {
    "neighbours": (NEIGHBOURS, _NEEDED),
    "epsilon": (EPSILON, None),
    "rho": (RHO, None),
    "contributions": (CONTRIBUTIONS, 1),
}
LAST: Options = {
    "ledger": (Annotated[Path | None, typer.Option("--ledger", help="Ledger to charge (see init).")], None),
    "label": (_text("--label", "Name of the release in the ledger."), None),
    "dry_run": (
        Annotated[bool, typer.Option("--dry-run", help="Show the cost and what is left; read no data, spend nothing.")],
        False,
    ),
    "as_json": (Json, False),
}
LATTICE: Options = {"bounds": (BOUNDS, _NEEDED), "resolution": (RESOLUTION, _NEEDED)}
PERSON: Options = {"person": (_text("--person", "Column that says whose record it is (add_remove)."), None)}
MISSING: Options = {
    "missing": (Annotated[str, typer.Option("--missing", help="error, drop, or value.")], "error"),
    "missing_value": (
        Annotated[float | None, typer.Option("--missing-value", help="Public value of missing records.")],
        None,
    ),
}
DRAWN: Options = {"plot": (Plot, None), "force": (Force, False)}
NOISE: Options = {
    "confidence": (Annotated[float, typer.Option("--confidence", help="Confidence of the intervals.")], 0.95)
}
POPULATION: Options = {
    "confidence": (
        Annotated[
            float | None, typer.Option("--confidence", help="Add intervals for the quantiles of the population.")
        ],
        None,
    ),
    "n_hint": (Annotated[int | None, typer.Option("--n-hint", help="Public guess of the number of records.")], None),
}

# name -> what it does, its options beside FIRST, COST and LAST
VERBS: dict[str, tuple[str, Options]] = {
    "quantiles": (
        "Release quantiles of a column.",
        LATTICE
        | {
            "p": (Annotated[list[float], typer.Option("-q", "--level", help="Level in (0, 1); repeat for several.")], _NEEDED),
            "method": (Annotated[str, typer.Option("--method", help="auto, lattice, indexp, recexp, jointexp, tree or histogram.")], "auto"),
        }
        | POPULATION | PERSON | MISSING | DRAWN,
    ),
    "median": ("Release the median of a column.", LATTICE | POPULATION | PERSON | MISSING | DRAWN),
    "count": (
        "Release how many records there are, or how many satisfy a condition.",
        {
            "between": (Annotated[tuple[float, float] | None, typer.Option("--between", help="Count numbers in this interval.")], None),
            "equal_to": (_text("--equal-to", "Count records with this text."), None),
        }
        | PERSON | NOISE,
    ),
    "sum": ("Release the sum of a column, clipped to the bounds.", LATTICE | PERSON | MISSING | NOISE),
    "mean": ("Release the mean of a column, clipped to the bounds.", LATTICE | PERSON | MISSING | NOISE),
    "histogram": (
        "Release counts of the cells of a public partition.",
        {
            "bounds": (Annotated[tuple[str, str] | None, typer.Option("--bounds", help="Lowest and highest value that can occur; not from the data.")], None),
            "resolution": (_text("--resolution", "One cell for each multiple of this unit."), None),
            "bins": (Annotated[int | None, typer.Option("--bins", help="Cells of equal width instead.")], None),
            "categories": (Annotated[list[str] | None, typer.Option("--category", help="For texts: a public category; repeat.")], None),
        }
        | PERSON | MISSING | NOISE | DRAWN,
    ),
    "density": (
        "Release the density of a column.",
        {
            "bounds": (BOUNDS, _NEEDED),
            "method": (Annotated[str, typer.Option("--method", help="histogram or projection.")], "histogram"),
            "smoothness": (Annotated[float | None, typer.Option("--smoothness", help="Lipschitz constant, or Sobolev exponent.")], None),
            "n": (Annotated[int | None, typer.Option("--n", help="Public number of records (needed under add_remove).")], None),
        }
        | MISSING | DRAWN,
    ),
}  # fmt: skip


def verb(name: str) -> Callable[..., None]:
    """The function behind a verb: its signature, from which the command line is made, is that of the table above."""
    text, own = VERBS[name]
    options = FIRST | own | COST | LAST

    def command(
        *, file: Path, column: str, dry_run: bool, as_json: bool, plot: Path | None = None, force: bool = False, **asked: Any
    ) -> None:  # fmt: skip
        from .. import privacy

        target = figure_target(plot, overwrite=force)
        if dry_run:
            _rehearse(asked, as_json)
            return
        if "categories" in asked:
            asked["categories"] = asked["categories"] or None
        answer = getattr(privacy, name)(privacy.Column(file, column), **asked)
        show(answer, as_json)  # first: what was paid for is not lost if the figure fails
        if name == "histogram" and not as_json and len(answer.cells) <= 60:
            show_table(None, ("cell", "count"), list(zip(answer.cells, answer.counts.tolist(), strict=True)))
        draw_figure(target, lambda: answer.plot())

    kind = inspect.Parameter.KEYWORD_ONLY
    command.__name__, command.__doc__ = name, text
    command.__annotations__ = {key: annotation for key, (annotation, _) in options.items()}
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(key, kind, default=default, annotation=a) for key, (a, default) in options.items()]
    )
    return command


def _rehearse(asked: Mapping[str, Any], as_json: bool) -> None:
    """The cost of a release and what would be left; no data file is named here, so none is opened."""
    from .budget import as_budget
    from .ledger import Ledger

    cost = {key: asked[key] for key in COST}
    spent = as_budget(**cost).spent()
    report: dict[str, Any] = {"dry_run": True, **spent.facts()}
    if "n_hint" in asked:
        with progress(silent=as_json) as display:
            display.add_task("planning", total=None)
            report["plan"] = _plan(asked, cost)
    if asked["ledger"] is not None:
        book = Ledger(asked["ledger"])
        book.check(spent)
        report |= {"ledger_unit": book.unit, "remaining_before": float(book.remaining)}
    if as_json:
        print_json(report)
        return
    plan = report.pop("plan", None)
    report |= plan if isinstance(plan, dict) else {} if plan is None else {"plan": plan}
    rows = [(name.replace("_", " "), value) for name, value in report.items()]
    show_table("dry run: no data were read, nothing was spent", ("", ""), rows, header=False)


def _plan(asked: Mapping[str, Any], cost: Mapping[str, Any]) -> Any:
    """The method that would be taken for quantiles, and its error on a public reference."""
    if asked["n_hint"] is None:
        return "give --n-hint to see the method and its simulated error"
    from . import plan_quantiles

    levels = len(asked.get("p", [0.5]))
    answer = plan_quantiles(levels, asked["n_hint"], bounds=asked["bounds"], resolution=asked["resolution"], **cost)
    return {name: value for name, value in answer.facts().items() if not isinstance(value, (list, dict))}
