"""``ailys compression``: compress, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..core.console import Force, Json, Plot, Refused, print_json, progress, show, show_table, where

app = typer.Typer(no_args_is_help=True, help="Trained networks made smaller, with the error of every layer.")


@app.command()
def compress(
    weights: Annotated[Path, typer.Argument(help="State dict of a network in a .safetensors file.")],
    out: Annotated[Path, typer.Option("--out", help="Where to write the compressed network (.safetensors).")],
    budget: Annotated[
        float | None,
        typer.Option(
            help="Weights that may remain in the selected layers: a fraction up to 1, or a number of them (> 1)."
        ),
    ] = None,
    max_error: Annotated[float | None, typer.Option(help="Instead: largest relative error of a layer.")] = None,
    layers: Annotated[
        list[str] | None,
        typer.Option(help="Glob pattern of layer names, as 'encoder.*.dense'; may be given several times."),
    ] = None,
    architecture: Annotated[
        str, typer.Option(help="auto, lowrank, monarch, blocks:4, or one chain for all: dyadic, monarch:r=2, ...")
    ] = "auto",
    allocate: Annotated[
        str, typer.Option(help="global shares the budget among the layers; uniform does not.")
    ] = "global",
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Replace 2-D weights of a network by butterfly factors and print the error of each layer."""
    from ..core.validation import result_target
    from .files import compress_file
    from .plan import BudgetTooSmall, check_goal
    from .report import table_rows

    size = int(budget) if budget is not None and budget > 1 and budget.is_integer() else budget
    if budget is not None and 1 < budget < 100:
        raise ValueError(f"--budget is a fraction up to 1, or a number of weights; {budget:g} weights is no network")
    check_goal(size, max_error, allocate)
    target = result_target(out, ".safetensors", overwrite=force)
    with progress(silent=as_json) as display:
        task = display.add_task("reading", total=None)
        try:
            result = compress_file(
                weights,
                target,
                budget=size,
                max_error=max_error,
                layers=layers,
                architecture=architecture,
                allocate=allocate,
                on_step=lambda text: display.update(task, description=text),
            )
        except BudgetTooSmall as fault:
            raise Refused(str(fault)) from None
    if not as_json:
        show_table(None, *table_rows(result.layers))
    show(result, as_json, **where(written=target))


@app.command()
def report(
    network: Annotated[Path, typer.Argument(help="File written by 'compress' or by save_compressed.")],
    plot: Plot = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Print what a compressed network holds: layers, errors, sizes."""
    from ..core.figures import draw_figure, figure_target
    from .files import read_compressed
    from .plots import plot_layers
    from .report import table_rows

    target = figure_target(plot, overwrite=force)
    result = read_compressed(network)
    draw_figure(target, lambda: plot_layers(result.layers))
    if as_json:
        print_json({**result.to_dict(), **where(drawn=target)})
        return
    show_table(None, *table_rows(result.layers))
    show(result, False, **where(drawn=target))
