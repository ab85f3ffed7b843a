"""``ailys butterfly``: factorize, apply, chains, show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..core.console import Force, Json, Out, Plot, Refused, print_json, progress, show, show_table, where

_MOST_CHAINS = 20_000  # more are not listed: nobody reads them

app = typer.Typer(no_args_is_help=True, help="Matrices as products of sparse butterfly factors.")


@app.command()
def factorize(
    matrix: Annotated[Path, typer.Argument(help="Matrix in a NumPy .npy file.")],
    chain: Annotated[
        str,
        typer.Option(help="dyadic, monarch[:r=2,p=8,q=16], lowrank:r=5, radix:4,4,2, dense, or '[(a,b,c,d),...]'."),
    ] = "dyadic",
    perm: Annotated[
        str | None,
        typer.Option(help="Column permutations to try, separated by commas: none, bitrev, or a .npy file."),
    ] = None,
    order: Annotated[str, typer.Option(help="best, left, right or balanced.")] = "best",
    refine: Annotated[int, typer.Option(min=0, help="Sweeps of alternating optimisation afterwards.")] = 0,
    pad: Annotated[bool, typer.Option("--pad", help="Pad with zeros up to a shape that the chain takes.")] = False,
    out: Out = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Approximate a matrix and print the error, its lower bound and the guarantee."""
    from ..core.validation import read_array, result_target
    from . import butterfly

    target = result_target(out, ".safetensors", overwrite=force) if out else None
    A = read_array(matrix)
    candidates = [_permutation(word) for word in perm.split(",")] if perm else None
    if A.ndim != 2:
        raise ValueError(f"{matrix}: expected a matrix; got an array of shape {A.shape}")
    with progress(silent=as_json) as display:
        task = display.add_task(f"factorizing {A.shape[0]} x {A.shape[1]}", total=2)
        answer = butterfly(A, chain, perm=candidates, order=order, refine=refine, pad=pad)
        display.advance(task)
        answer.split_errors  # noqa: B018  (computed here, under the progress bar)
        display.advance(task)
    if target is not None:
        answer.save(target)
    show(answer, as_json, **where(written=target))


@app.command()
def apply(
    factorization: Annotated[Path, typer.Argument(help="Factorization written by 'factorize --out'.")],
    vectors: Annotated[Path, typer.Argument(help="Vectors in a .npy file: (N,), or (N, batch) columns.")],
    out: Annotated[Path, typer.Option("--out", help="Where to write the products (.npy).")],
    adjoint: Annotated[bool, typer.Option("--adjoint", help="Multiply by the conjugate transpose.")] = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Multiply vectors by a factorized matrix."""
    import numpy as np

    from ..core.files import atomic_write
    from ..core.validation import read_array, result_target
    from . import ButterflyFactorization

    target = result_target(out, ".npy", overwrite=force)
    fact = ButterflyFactorization.load(factorization)
    x = read_array(vectors)
    operator = fact.operator().H if adjoint else fact.operator()
    if x.ndim not in (1, 2) or x.shape[0] != operator.shape[1]:
        raise ValueError(f"{vectors}: expected {operator.shape[1]} rows; got an array of shape {x.shape}")
    if x.dtype.kind not in "biufc":
        raise ValueError(f"{vectors}: expected numbers; got an array of type {x.dtype}")
    y = operator @ x
    with atomic_write(target) as temporary, temporary.open("wb") as file:
        np.save(file, y)
    facts = {"input": list(x.shape), "output": list(y.shape), "dtype": str(y.dtype), "written": str(target)}
    if as_json:
        print_json(facts)
    else:
        print(f"{x.shape} -> {y.shape} {y.dtype}, written to {target}")


@app.command()
def chains(
    shape: Annotated[str, typer.Argument(help="Shape, as 384x1536.")],
    budget: Annotated[float, typer.Option(help="Fraction of the dense parameters, or a number of them (> 1).")] = 0.5,
    matrix: Annotated[Path | None, typer.Option(help="Compare the chains by their error on this .npy matrix.")] = None,
    max_depth: Annotated[int, typer.Option(min=1, help="Largest number of factors.")] = 2,
    max_rank: Annotated[int, typer.Option(min=1, help="Largest rank to list (without --matrix).")] = 1,
    plot: Annotated[Path | None, typer.Option(help="Draw error against parameters (with --matrix).")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Rows of the table.")] = 20,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """List the architectures of a shape within a budget, or the best ones for a matrix."""
    from itertools import islice

    from ..core.figures import draw_figure, figure_target
    from ..core.validation import read_array
    from . import enumerate_chains, pareto_chains

    rows, cols = _shape(shape)
    if not 0 < budget < float("inf"):
        raise ValueError(f"--budget must be positive: a fraction up to 1, or a number of parameters; got {budget:g}")
    max_params = int(budget * rows * cols) if budget <= 1 else int(budget)
    target = figure_target(plot, overwrite=force)
    if plot and matrix is None:
        raise ValueError("--plot needs --matrix: without a matrix there is no error to draw")
    if matrix is None:
        every = enumerate_chains((rows, cols), max_params=max_params, max_depth=max_depth, max_rank=max_rank)
        found = sorted(islice(every, _MOST_CHAINS + 1), key=lambda chain: chain.n_params)
        if len(found) > _MOST_CHAINS:
            raise Refused(f"more than {_MOST_CHAINS} chains fit; lower --budget, --max-depth or --max-rank")
        if not found:
            raise Refused(f"no chain of {rows} x {cols} has at most {max_params} parameters; raise --budget")
        records = [{"chain": str(c), "n_params": c.n_params, "fraction": c.n_params / (rows * cols)} for c in found]
        title = f"{len(found)} chains of {rows} x {cols} with at most {max_params} parameters"
        best = None
    else:
        A = read_array(matrix)
        if A.shape != (rows, cols):
            raise ValueError(f"{matrix}: the matrix has shape {A.shape}, the command says {rows}x{cols}")
        with progress(silent=as_json) as display:
            display.add_task("comparing chains", total=None)
            best = pareto_chains(A, budget=max_params, max_depth=max_depth)
        records = [
            {"chain": str(c), "n_params": int(n), "fraction": n / (rows * cols), "relative_error": float(e)}
            for c, n, e in zip(best.chains, best.n_params, best.relative_errors, strict=True)
        ]
        title = f"error against size: {len(records)} of {best.n_candidates} chains are on the front"
        draw_figure(target, best.plot)
    if as_json:
        guarantee = best.guarantee if best is not None else None
        report = {"max_params": max_params, "chains": records, "guarantee": guarantee.to_dict() if guarantee else None}
        print_json({**report, **where(drawn=target)})
        return
    shown = records[:limit] if best is None else records[-limit:]
    show_table(title, list(records[0]), [list(record.values()) for record in shown])
    if len(records) > limit:
        print(f"({len(records) - limit} more: --limit {len(records)})")
    if best is not None and best.guarantee is not None:
        print(f"guarantee  {best.guarantee}")
    if target is not None:
        print(f"drawn      {target}")


@app.command(name="show")
def show_file(
    factorization: Annotated[Path, typer.Argument(help="Factorization written by 'factorize --out'.")],
    plot: Plot = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Print what a factorization file holds."""
    from ..core.figures import draw_figure, figure_target
    from . import ButterflyFactorization
    from .plots import plot_overview

    target = figure_target(plot, overwrite=force)
    fact = ButterflyFactorization.load(factorization)
    draw_figure(target, lambda: plot_overview(fact))
    show(fact, as_json, **where(drawn=target))


def _permutation(word: str) -> object:
    from ..core.validation import read_array

    word = word.strip()
    if not word:
        raise ValueError("--perm has an empty name; expected none, bitrev or a .npy file, separated by commas")
    if word.lower() == "none":
        return None
    return word if word == "bitrev" else read_array(word)


def _shape(text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isascii() and part.isdecimal() and int(part) > 0 for part in parts):
        raise ValueError(f"the shape must be written as 384x1536; got {text!r}")
    return int(parts[0]), int(parts[1])
