"""``ailys selfsimilarity``: estimate, test, cluster, synthesize, diagram, sliding."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core

from ..core.console import Force, Jobs, Json, Plot, SeedOption, check_jobs, print_json, progress, show, where

if TYPE_CHECKING:
    from .validation import Signal

app = typer.Typer(no_args_is_help=True, help="Exponents of multivariate signals, with their error bars.")


class _SeveralValues(typer.core.TyperCommand):
    """Options of a list take several values at once: ``--hurst .6 .6 .8`` is ``--hurst .6 --hurst .6 --hurst .8``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        spread: list[str] = []
        name: str | None = None  # of the list that is being read
        for word in args:
            if word.startswith("-") and not _is_number(word):
                name = word if word in ("--hurst",) else None
                spread.append(word)
            elif name is not None and spread[-1] != name:
                spread += [name, word]
            else:
                spread.append(word)
        return super().parse_args(ctx, spread)


File = Annotated[
    Path, typer.Argument(help="Signal: .npy (channels, samples), .npz, or .csv with a line for each time.")
]
Octaves = Annotated[tuple[int, int] | None, typer.Option("--octaves", help="First and last octave of the lines.")]
Reference = Annotated[
    int | None,
    typer.Option("--reference-octave", help="bwavelet: blocks as large as this octave, the last one or a later."),
]
Method = Annotated[str, typer.Option("--method", help="bwavelet (bias-corrected), wavelet (classical) or univariate.")]
Moments = Annotated[
    int,
    typer.Option("--vanishing-moments", help="Vanishing moments of the wavelet; more remove higher polynomial trends."),
]
Process = Annotated[str, typer.Option("--process", help="motion, or noise: the file holds increments.")]
Weights = Annotated[str, typer.Option("--weights", help="Weights of the octaves: counts, uniform or variance.")]
Bootstrap = Annotated[int, typer.Option("--bootstrap", min=0, help="Replicates of the block bootstrap.")]
Confidence = Annotated[float, typer.Option("--confidence", help="Confidence of the intervals.")]
Columns = Annotated[str | None, typer.Option("--columns", help="Columns of a .csv file, or the array of a .npz file.")]
Standardize = Annotated[bool, typer.Option("--standardize", help="Divide each channel by its standard deviation.")]
Alpha = Annotated[float, typer.Option("--alpha", help="Level of the test.")]


@app.command()
def estimate(
    file: File,
    octaves: Octaves = None,
    reference_octave: Reference = None,
    method: Method = "bwavelet",
    bootstrap: Bootstrap = 0,
    vanishing_moments: Moments = 2,
    weights: Weights = "counts",
    process: Process = "motion",
    confidence: Confidence = 0.95,
    interval: Annotated[
        str, typer.Option("--interval", help="How the interval comes from the replicates: normal or basic.")
    ] = "normal",
    columns: Columns = None,
    standardize: Standardize = False,
    seed: SeedOption = 0,
    plot: Plot = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Exponents of all channels together, with their intervals."""
    from ..core.figures import draw_figure, figure_target

    target = figure_target(plot, overwrite=force)
    signal = _read(file, columns)
    with progress(silent=as_json) as display:
        display.add_task("estimating", total=None)
        found = _estimate(
            signal, method=method, octaves=octaves, reference_octave=reference_octave, n_bootstrap=bootstrap, vanishing_moments=vanishing_moments, weights=weights,
            process=process, confidence=confidence, interval=interval, standardize=standardize, rng=seed,
        )  # fmt: skip
    draw_figure(target, found.plot)
    show(found, as_json, **where(drawn=target))


@app.command(name="test")
def equality(
    file: File,
    octaves: Octaves = None,
    reference_octave: Reference = None,
    alpha: Alpha = 0.05,
    test_method: Annotated[
        str, typer.Option("--test", help="Statistic: chi2, monte_carlo or invariant (the estimator is --method).")
    ] = "chi2",
    bootstrap: Bootstrap = 500,
    simulations: Annotated[int, typer.Option("--simulations", min=1, help="Simulations of the hypothesis.")] = 199,
    common_hurst: Annotated[
        float | None, typer.Option("--common-hurst", help="The exponent that the hypothesis names, if it does.")
    ] = None,
    method: Method = "bwavelet",
    vanishing_moments: Moments = 2,
    process: Process = "motion",
    columns: Columns = None,
    standardize: Standardize = False,
    seed: SeedOption = 0,
    jobs: Jobs = 1,
    as_json: Json = False,
) -> None:
    """Are all exponents equal?"""
    from . import equality_test
    from .validation import fraction

    fraction(alpha, "--alpha")
    workers = check_jobs(jobs)
    signal = _read(file, columns)
    with progress(silent=as_json) as display:
        display.add_task("testing", total=None)
        found = _estimate(
            signal, method=method, octaves=octaves, reference_octave=reference_octave, n_bootstrap=bootstrap, vanishing_moments=vanishing_moments, process=process,
            standardize=standardize, rng=seed,
        )  # fmt: skip
        result = equality_test(
            found,
            method=test_method,
            common_hurst=common_hurst,
            n_simulations=simulations,
            rng=seed,
            n_jobs=workers,
        )
    equal = "rejected" if result.p_value <= alpha else "not rejected"
    show(result, as_json, equality=f"{equal} at {alpha:g}", hurst=found.hurst, octaves=_pair(found))


@app.command()
def cluster(
    file: File,
    octaves: Octaves = None,
    reference_octave: Reference = None,
    alpha: Alpha = 0.05,
    pairs: Annotated[
        str, typer.Option("--pairs", help="Tests of neighbours: half_normal or folded_normal.")
    ] = "half_normal",
    correction: Annotated[str, typer.Option("--correction", help="For many tests: bh, by, bonferroni or none.")] = "bh",
    modes: Annotated[
        str | None, typer.Option("--modes", help="For 20 channels or more: count modes instead, by silverman or dip.")
    ] = None,
    simulations: Annotated[int, typer.Option("--simulations", min=19, help="Simulations for --modes.")] = 199,
    bootstrap: Bootstrap = 500,
    method: Method = "bwavelet",
    vanishing_moments: Moments = 2,
    process: Process = "motion",
    columns: Columns = None,
    standardize: Standardize = False,
    seed: SeedOption = 0,
    plot: Plot = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """How many different exponents are there?"""
    from ..core.figures import draw_figure, figure_target
    from . import cluster_exponents, count_modes

    target = figure_target(plot, overwrite=force)
    signal = _read(file, columns)
    if modes is not None:
        bootstrap = 0  # the exponents are all that is needed
    with progress(silent=as_json) as display:
        display.add_task("clustering", total=None)
        found = _estimate(
            signal, method=method, octaves=octaves, reference_octave=reference_octave, n_bootstrap=bootstrap, vanishing_moments=vanishing_moments, process=process,
            standardize=standardize, rng=seed,
        )  # fmt: skip
        if modes is not None:
            result: Any = count_modes(found, method=modes, alpha=alpha, n_simulations=simulations, rng=seed)
        else:
            result = cluster_exponents(found, alpha=alpha, method=pairs, correction=correction)
    draw_figure(target, result.plot)
    show(result, as_json, octaves=_pair(found), **where(drawn=target))


@app.command(cls=_SeveralValues)
def synthesize(
    hurst: Annotated[list[float], typer.Option("--hurst", help="Exponents, one for each channel: --hurst .6 .6 .8")],
    out: Annotated[Path, typer.Option("--out", help="Where to write the signal (.npy).")],
    n: Annotated[int, typer.Option("--n", help="Samples.")] = 65536,
    rho: Annotated[float, typer.Option("--rho", help="Correlation of the hidden motions.")] = 0.0,
    mixing: Annotated[str, typer.Option("--mixing", help="none, orthogonal (random), or a .npy file.")] = "none",
    increments: Annotated[bool, typer.Option("--increments", help="Write the increments.")] = False,
    seed: SeedOption = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Draw an operator fractional Brownian motion with known exponents."""
    import numpy as np

    from ..core.files import atomic_write
    from ..core.randomness import as_generator
    from ..core.validation import read_array, result_target
    from . import OperatorFractionalBrownianMotion

    target = result_target(out, ".npy", overwrite=force)
    rng = as_generator(seed)
    W: Any = None
    if mixing == "orthogonal":
        W = np.linalg.qr(rng.standard_normal((len(hurst), len(hurst))))[0]
    elif mixing != "none":
        W = read_array(Path(mixing))
    model = OperatorFractionalBrownianMotion(hurst, rho, W)
    with progress(silent=as_json) as display:
        display.add_task("drawing", total=None)
        x = model.sample(n, increments=increments, rng=rng)
    with atomic_write(target) as temporary, temporary.open("wb") as file:
        np.save(file, x)
    facts = {
        "hurst": model.hurst,
        "rho": rho,
        "shape": list(x.shape),
        "clipped": model.embedding(n).relative_clipped_mass,
        "written": str(target),
    }
    if as_json:
        print_json(facts)
    else:
        print(f"{x.shape[0]} channels, {x.shape[1]} samples, written to {target}")


@app.command()
def diagram(
    file: File,
    octaves: Octaves = None,
    interval: Annotated[str | None, typer.Option("--interval", help="gaussian, bootstrap or parametric.")] = None,
    vanishing_moments: Moments = 3,
    process: Process = "noise",
    confidence: Confidence = 0.95,
    replicates: Annotated[
        int, typer.Option("--replicates", min=20, help="Replicates of the bootstrap, or simulations.")
    ] = 200,
    columns: Columns = None,
    channel: Annotated[int | None, typer.Option("--channel", min=0, help="Channel of a file with several.")] = None,
    seed: SeedOption = 0,
    jobs: Jobs = 1,
    plot: Plot = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Long memory of one channel, with its interval."""
    from ..core.figures import draw_figure, figure_target
    from . import log_scale_diagram

    workers = check_jobs(jobs)
    target = figure_target(plot, overwrite=force)
    signal = _read(file, columns)
    x = signal.values
    if channel is not None:
        if channel >= len(x):
            raise ValueError(f"--channel {channel}: the file has channels 0 to {len(x) - 1}")
        x = x[channel]
    elif len(x) > 1:
        raise ValueError(f"{file}: {len(x)} channels; choose one with --channel")
    with progress(silent=as_json) as display:
        display.add_task("estimating", total=None)
        found = log_scale_diagram(
            x, octaves=octaves, interval=interval, vanishing_moments=vanishing_moments, process=process, confidence=confidence,
            n_replicates=replicates, rng=seed, n_jobs=workers,
        )  # fmt: skip
    draw_figure(target, found.plot)
    show(found, as_json, **where(drawn=target))


@app.command()
def sliding(
    file: File,
    window: Annotated[int, typer.Option("--window", help="Samples of a window.")],
    step: Annotated[int, typer.Option("--step", help="Samples between windows.")],
    sampling_rate: Annotated[float, typer.Option("--sampling-rate", help="Samples per unit of time.")] = 1.0,
    octaves: Octaves = None,
    reference_octave: Reference = None,
    method: Method = "bwavelet",
    bootstrap: Bootstrap = 0,
    vanishing_moments: Moments = 2,
    process: Process = "motion",
    columns: Columns = None,
    standardize: Standardize = False,
    seed: SeedOption = 0,
    jobs: Jobs = 1,
    plot: Plot = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Exponents of overlapping windows."""
    from ..core.figures import draw_figure, figure_target
    from . import sliding_hurst

    workers = check_jobs(jobs)
    target = figure_target(plot, overwrite=force)
    signal = _read(file, columns)
    with progress(silent=as_json) as display:
        display.add_task("estimating", total=None)
        found = sliding_hurst(
            signal.values, window=window, step=step, sampling_rate=sampling_rate, rng=seed, n_jobs=workers, octaves=octaves, reference_octave=reference_octave, method=method,
            n_bootstrap=bootstrap, vanishing_moments=vanishing_moments, process=process, standardize=standardize,
        )  # fmt: skip
    draw_figure(target, found.plot)
    show(found, as_json, **where(drawn=target))


def _read(file: Path, columns: str | None) -> Signal:
    from dataclasses import replace

    from .files import read_file
    from .validation import read_signal

    values, names = read_file(file, columns)
    try:
        return replace(read_signal(values), names=names)
    except (ValueError, TypeError) as fault:
        raise type(fault)(f"{file}: {fault}") from None


def _estimate(signal: Signal, **options: Any) -> Any:
    from dataclasses import replace

    from . import estimate_hurst

    return replace(estimate_hurst(signal.values, **options), names=signal.names)


def _pair(found: Any) -> str:
    return f"{found.octaves[0]} to {found.octaves[-1]}"


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
