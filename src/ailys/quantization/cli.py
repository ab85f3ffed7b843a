"""``ailys quantization``: rank-one, chain, curve, inspect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..core.console import Force, Jobs, Json, Out, Plot, check_jobs, print_json, progress, show, show_table, where

app = typer.Typer(no_args_is_help=True, help="Factors in few bits: rescaled before they are rounded.")

Bits = Annotated[str, typer.Option("--bits", help="Significant bits, or a format: 4, e4m3, bfloat16, int4, ...")]
Factors = Annotated[
    Path, typer.Argument(help="Factors: an .npz of 4-D arrays in order, or a file of 'butterfly factorize --out'.")
]


@app.command(name="rank-one")
def rank_one(
    x: Annotated[Path, typer.Argument(help="Vector in a .npy file.")],
    y: Annotated[Path, typer.Argument(help="Vector in a .npy file.")],
    bits: Bits = "4",
    free_scale: Annotated[
        bool, typer.Option("--free-scale", help="Allow a real scale, as integer grids have.")
    ] = False,
    sampled: Annotated[bool, typer.Option("--sampled", help="Compare 16384 scalings instead of all.")] = False,
    out: Out = None,
    plot: Plot = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """The best rounding of x y^H; --out writes an .npz with x_hat, y_hat and scale."""
    import numpy as np

    from ..core.figures import draw_figure, figure_target
    from ..core.files import atomic_write
    from ..core.validation import read_array, result_target
    from . import quantize_rank_one
    from .formats import as_format
    from .scaling import SearchTooLong

    target = result_target(out, ".npz", overwrite=force) if out else None
    figure = figure_target(plot, overwrite=force)
    method = "sampled" if sampled else "exact"
    with progress(silent=as_json) as display:
        display.add_task("comparing roundings", total=None)
        given = read_array(x), read_array(y)
        try:
            answer = quantize_rank_one(*given, as_format(bits, "--bits"), free_scale=free_scale, method=method)
        except SearchTooLong as fault:
            raise ValueError(f"{fault.what}; take fewer --bits, or {fault.advice or 'pass --sampled'}") from None
    draw_figure(figure, answer.plot)  # first: an answer that cannot be drawn leaves nothing behind
    if target is not None:
        with atomic_write(target) as temporary, temporary.open("wb") as file:
            np.savez(file, x_hat=answer.x_hat, y_hat=answer.y_hat, scale=answer.scale)
    show(answer, as_json, **where(written=target, drawn=figure))


@app.command()
def chain(
    factors: Factors,
    bits: Bits = "4",
    method: Annotated[
        str, typer.Option(help="rtn, pairwise, left_to_right, right_to_left, beam, or auto: the best of them.")
    ] = "auto",
    beam: Annotated[int, typer.Option(min=1, max=1_000_000, help="Scalings kept for each column by 'beam'.")] = 16,
    no_scale: Annotated[bool, typer.Option("--no-scale", help="No real scale of the product.")] = False,
    jobs: Jobs = 1,
    out: Out = None,
    plot: Plot = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Round the factors of a product, and write them packed (.safetensors)."""
    from ..core.figures import draw_figure, figure_target
    from ..core.validation import result_target
    from . import quantize_chain
    from .formats import as_format

    target = result_target(out, ".safetensors", overwrite=force) if out else None
    figure = figure_target(plot, overwrite=force)
    given = _read_factors(factors)
    with progress(silent=as_json) as display:
        display.add_task("rounding", total=None)
        answer = quantize_chain(
            given, as_format(bits, "--bits"), method=method, beam=beam, scale=not no_scale, n_jobs=check_jobs(jobs)
        )
    draw_figure(figure, answer.plot)  # first: an answer that cannot be drawn leaves nothing behind
    if target is not None:
        answer.save(target)
    more: dict[str, Any] = where(written=target, drawn=figure)
    if target is not None:
        more["bytes_on_disk"] = target.stat().st_size
    show(answer, as_json, **more)


@app.command()
def curve(
    factors: Factors,
    bits: Annotated[
        str, typer.Option("--bits", help="Range of significant bits, as 2:10 (both ends), or 2,4,8.")
    ] = "2:8",
    methods: Annotated[str, typer.Option(help="Methods, separated by commas.")] = "rtn,pairwise,left_to_right,beam",
    jobs: Jobs = 1,
    plot: Plot = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Error against bits for several methods, and the bits that they save."""
    from ..core.figures import draw_figure, figure_target
    from . import precision_bits_curve

    ts = _range(bits)
    figure = figure_target(plot, overwrite=force)
    given = _read_factors(factors)
    with progress(silent=as_json) as display:
        display.add_task("rounding", total=None)
        named = [word.strip() for word in methods.split(",") if word.strip()]
        answer = precision_bits_curve(given, ts, named, n_jobs=check_jobs(jobs))
    draw_figure(figure, answer.plot)
    if as_json:
        print_json({**answer.to_dict(), **where(drawn=figure)})
        return
    rows = [[t, *(answer.errors[name][i] for name in answer.errors)] for i, t in enumerate(answer.ts)]
    show_table("relative error by significant bits", ["t", *answer.errors], rows)
    show(answer, False, **where(drawn=figure))


@app.command()
def inspect(
    quantized: Annotated[Path, typer.Argument(help="File written by 'chain --out'.")],
    plot: Plot = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Print what a file of quantized factors holds."""
    from ..core.figures import draw_figure, figure_target
    from . import QuantizedChain

    figure = figure_target(plot, overwrite=force)
    answer = QuantizedChain.load(quantized)
    draw_figure(figure, answer.plot)
    size = quantized.stat().st_size
    codes = ", ".join(f"{code.width}" for code in answer.codes)
    show(answer, as_json, bits_of_an_entry=codes, bytes_on_disk=size, **where(drawn=figure))


def _read_factors(path: Path) -> Any:
    """Factors in an .npz (in the order of the archive), in a .npy (one factor), or a saved factorization."""
    from ..butterfly import ButterflyFactorization
    from ..core.validation import read_archive, read_array

    if path.suffix == ".safetensors":
        return ButterflyFactorization.load(path)
    if path.suffix != ".npz":
        return [read_array(path)]
    arrays = list(read_archive(path).values())
    if not arrays:
        raise ValueError(f"{path}: the archive is empty; expected the factors, one array each (numpy.savez)")
    return arrays


def _range(text: str) -> list[int]:
    """``2:10`` (both ends included) or ``2,4,8``."""
    low, colon, high = text.partition(":")
    words = [low, high] if colon else text.split(",")
    if not all(word.strip().isascii() and word.strip().isdecimal() for word in words):
        raise ValueError(f"--bits must be a range such as 2:10 or a list such as 2,4,8; got {text!r}")
    numbers = [int(word) for word in words]
    if not colon:
        return numbers
    if not 1 <= numbers[0] <= numbers[1] <= 53:
        raise ValueError(f"--bits must go upwards from 1 to 53 at most; got {text!r}")
    return list(range(numbers[0], numbers[1] + 1))
