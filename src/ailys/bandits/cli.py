"""``ailys bandits``: abtest, plan, trial, simulate, identify, complexity, discover, graph, maximize."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.console import Force, Jobs, Json, Plot, Refused, SeedOption, check_jobs, progress, show, where
from .cli_trial import trial_app

if TYPE_CHECKING:
    from collections.abc import Callable

app = typer.Typer(
    no_args_is_help=True, help="Sequential learning: tests that may be watched, best arms, discovery, black boxes."
)
app.add_typer(trial_app, name="trial", help="A trial over weeks: assign, record, look, in one state file.")

_MOST, _MOST_RUNS = 1_000_000_000, 10_000_000  # draws and requests, and runs: what is above was mistyped

Means = Annotated[str, typer.Option("--means", help="Means of the arms, separated by commas.")]
FamilyOption = Annotated[
    str, typer.Option("--family", help="bernoulli, gaussian(sigma), poisson, exponential, bounded(low,high).")
]
Alpha = Annotated[float, typer.Option("--alpha", help="Probability of ever rejecting a true hypothesis.")]
Alternative = Annotated[str, typer.Option("--alternative", help="two-sided, or greater: the second arm is better.")]


REGRET_POLICIES = (
    *("ucb", "moss", "kl-ucb", "kl-ucb++", "kl-ucb-switch", "bayes-ucb", "thompson", "imed", "empirical-kl-ucb"),
    "empirical-imed",
)
IDENTIFICATION_POLICIES = (
    *("d-tracking", "c-tracking", "sticky", "frank-wolfe", "gradient-ascent", "ttts", "t3c", "eb-tci", "tt-ucb"),
    *("kl-lucb", "kl-racing", "chernoff-racing", "uniform"),
)


@app.command()
def abtest(
    file: Annotated[Path, typer.Argument(help="CSV file, one line for each trial in the order of assignment.")],
    arm: Annotated[str, typer.Option("--arm", help="Column of the arm.")],
    outcome: Annotated[
        str, typer.Option("--outcome", help="Column of the outcome: 0 and 1, numbers in [0, 1], or words.")
    ],
    time: Annotated[str | None, typer.Option("--time", help="Column to sort by.")] = None,
    propensity: Annotated[
        str | None,
        typer.Option("--propensity", help="Probability of the second arm, or column with that of the arm received."),
    ] = None,
    alpha: Alpha = 0.05,
    alternative: Alternative = "two-sided",
    control: Annotated[
        str | None, typer.Option("--control", help="Label of the first arm (default: in sorted order).")
    ] = None,
    skip_missing: Annotated[bool, typer.Option("--skip-missing", help="Leave trials without outcome out.")] = False,
    plot: Plot = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Test whether the arms of an experiment differ, however often you look."""
    from ..core.figures import draw_figure, figure_target
    from . import ab_test

    target = figure_target(plot, overwrite=force)
    result = ab_test(
        file, arm, outcome, propensity=_number_or_name(propensity), alpha=alpha, alternative=alternative, order=time, control=control,
        skip_missing=skip_missing,
    )  # fmt: skip
    draw_figure(target, result.plot)
    show(result, as_json, **where(drawn=target))


@app.command()
def plan(
    baseline: Annotated[float, typer.Option("--baseline", help="Success probability of the first arm.")],
    lift: Annotated[float, typer.Option("--lift", help="Difference hoped for.")],
    alpha: Alpha = 0.05,
    power: Annotated[float, typer.Option("--power", help="Power of the fixed test.")] = 0.8,
    alternative: Alternative = "two-sided",
    replicates: Annotated[int, typer.Option("--replicates", min=1, max=_MOST_RUNS, help="Simulated tests.")] = 400,
    seed: SeedOption = 0,
    as_json: Json = False,
) -> None:
    """How many trials a test needs: fixed size, and simulated sizes when it is watched."""
    from . import plan_ab_test

    with progress(silent=as_json) as display:
        display.add_task(f"{replicates} simulated tests", total=None)
        answer = plan_ab_test(baseline, lift, alpha, power, seed, alternative=alternative, n_replicates=replicates)
    show(answer, as_json)


@app.command()
def simulate(
    means: Means,
    policy: Annotated[
        list[str], typer.Option("--policy", help=f"Any of {', '.join(REGRET_POLICIES)}; repeat for several.")
    ],
    horizon: Annotated[int, typer.Option("--horizon", max=_MOST, help="Draws of a run.")] = 10_000,
    replicates: Annotated[int, typer.Option("--replicates", max=_MOST_RUNS, help="Runs of each policy.")] = 200,
    family: FamilyOption = "bernoulli",
    jobs: Jobs = 1,
    seed: SeedOption = 0,
    plot: Plot = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Regret of policies on a problem with known means."""
    from ..core.figures import draw_figure, figure_target
    from . import simulate as run_simulation

    target = figure_target(plot, overwrite=force)
    factories = {name: _regret_policy(name, horizon) for name in policy}
    with progress(silent=as_json) as display:
        display.add_task(f"{replicates} runs of {horizon} draws", total=None)
        result = run_simulation(
            factories, _numbers(means, "--means"), horizon, replicates, family=family, rng=seed, n_jobs=check_jobs(jobs)
        )
    draw_figure(target, result.plot)
    show(result, as_json, **where(drawn=target))


@app.command()
def identify(
    means: Means,
    delta: Annotated[float, typer.Option("--delta", help="Probability of a wrong answer.")] = 0.05,
    epsilon: Annotated[float, typer.Option("--epsilon", help="An arm this near to the best is a right answer.")] = 0.0,
    policy: Annotated[
        list[str] | None, typer.Option("--policy", help=f"Any of {', '.join(IDENTIFICATION_POLICIES)}.")
    ] = None,
    threshold: Annotated[
        str | None, typer.Option("--threshold", help="Stopping threshold; default: the cheapest proved one.")
    ] = None,
    replicates: Annotated[int, typer.Option("--replicates", max=_MOST_RUNS, help="Runs of each policy.")] = 100,
    max_steps: Annotated[
        int, typer.Option("--max-steps", max=_MOST, help="Draws after which a run is given up.")
    ] = 1_000_000,
    family: FamilyOption = "bernoulli",
    jobs: Jobs = 1,
    seed: SeedOption = 0,
    plot: Plot = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """How many draws strategies need to name the best arm, against the lower bound of all strategies."""
    from ..core.figures import draw_figure, figure_target
    from . import simulate_identification

    target = figure_target(plot, overwrite=force)
    factories = {name: _identification_policy(name) for name in policy or ["d-tracking"]}
    with progress(silent=as_json) as display:
        display.add_task(f"{replicates} runs", total=None)
        result = simulate_identification(
            factories, _numbers(means, "--means"), delta, epsilon, replicates, max_steps, family=family, threshold=threshold,
            rng=seed, n_jobs=check_jobs(jobs),
        )  # fmt: skip
    draw_figure(target, result.plot)
    show(result, as_json, **where(drawn=target))
    if (result.answers < 0).any():
        lost = int((result.answers < 0).sum())
        raise Refused(f"{lost} runs had no answer within {max_steps} draws; raise --max-steps, --epsilon or --delta")


@app.command()
def complexity(
    means: Means,
    family: FamilyOption = "bernoulli",
    epsilon: Annotated[float, typer.Option("--epsilon", help="An arm this near to the best is a right answer.")] = 0.0,
    delta: Annotated[float, typer.Option("--delta", help="Probability of a wrong answer.")] = 0.05,
    plot: Plot = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Characteristic time, oracle weights, and the least number of draws of any strategy."""
    from ..core.figures import draw_figure, figure_target
    from . import oracle_weights

    target = figure_target(plot, overwrite=force)
    answer = oracle_weights(_numbers(means, "--means"), family, epsilon)
    least = answer.lower_bound(delta)
    draw_figure(target, answer.plot)
    bound = "draws_at_least" if answer.n_right == 1 else "draws_at_least_asymptotically"
    show(answer, as_json, **{f"{bound}_at_delta_{delta:g}": least}, **where(drawn=target))


@app.command()
def discover(
    budget: Annotated[int, typer.Option("--budget", min=1, max=_MOST, help="Requests.")] = 2000,
    margin: Annotated[
        float, typer.Option("--margin", min=0, help="Limits of the lines above the worst single outage.")
    ] = 0.15,
    rule: Annotated[str, typer.Option("--rule", help="good-ucb or uniform.")] = "good-ucb",
    bonus: Annotated[float, typer.Option("--bonus", help="Width C of the bonus of Good-UCB.")] = 0.5,
    target: Annotated[
        float | None, typer.Option("--target", help="Stop when all missing masses are below this.")
    ] = None,
    delta: Annotated[float, typer.Option("--delta", help="Probability that a bound fails.")] = 0.05,
    seed: SeedOption = 0,
    plot: Plot = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Look for dangerous double outages of the IEEE 118-bus power grid (in Python: any experts of yours)."""
    from ..core.figures import draw_figure, figure_target
    from . import discover as run_discovery
    from .powergrid import ieee118

    path = figure_target(plot, overwrite=force)
    grid = ieee118(margin)
    with progress(silent=as_json) as display:
        display.add_task(f"up to {budget} requests", total=None)
        result = run_discovery(
            grid.experts(),
            grid.is_dangerous,
            budget=budget,
            target_missing_mass=target,
            delta=delta,
            C=bonus,
            rule=rule,
            rng=seed,
        )
    draw_figure(path, result.plot)
    show(result, as_json, **where(drawn=path))
    if result.target_met is False:
        raise Refused(f"{budget} requests were not enough for a missing mass of {target:g}; raise --budget")


@app.command()
def graph(
    weights: Annotated[Path, typer.Argument(help="Symmetric weights in a NumPy .npy file.")],
    means: Annotated[Path, typer.Option("--means", help="Means of the nodes in a .npy file.")],
    smoothness: Annotated[
        float | None, typer.Option("--smoothness", help="Bound R of the energy mu' L mu; default: that of the means.")
    ] = None,
    sigma: Annotated[float, typer.Option("--sigma", help="Scale of the noise.")] = 1.0,
    delta: Annotated[float, typer.Option("--delta", help="Probability of a wrong answer.")] = 0.05,
    plot: Plot = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """How many draws the best node of a graph needs when neighbours are alike."""
    import numpy as np

    from ..core.console import print_json, show_table
    from ..core.figures import draw_figure, figure_target
    from ..core.validation import read_array
    from . import characteristic_time, sample_lower_bound, spectral_characteristic_time
    from . import smoothness as rough
    from .plots import plot_graph

    if smoothness is not None and not 0 < smoothness < float("inf"):
        raise ValueError(f"--smoothness must be a positive number; got {smoothness:g}")
    if not 1e-100 < sigma < 1e100:
        raise ValueError(
            f"--sigma must be a positive number, not so small or large that its square vanishes or overflows; got {sigma:g}"
        )
    target = figure_target(plot, overwrite=force)
    W, mu = read_array(weights), read_array(means)
    energy = rough(mu, W) if mu.ndim == 1 and mu.shape[:1] == W.shape[:1] else 0.0
    lower, upper, proportions = spectral_characteristic_time(
        mu, W, smoothness if smoothness is not None else max(energy, 1e-12), sigma
    )
    facts = {
        "best_node": int(np.argmax(mu)),
        "smoothness_of_the_means": energy,
        "T_at_least": lower,
        "T_at_most": upper,
        "draws_at_least": sample_lower_bound(lower, delta) if np.isfinite(lower) else lower,
        "T_without_the_graph": characteristic_time(mu, f"gaussian({sigma})"),
        "weights": proportions,
    }
    facts |= where(drawn=target)
    draw_figure(target, lambda: plot_graph(W, mu, proportions))
    if as_json:
        print_json(facts)
    else:
        show_table(None, ("", ""), [(name.replace("_", " "), value) for name, value in facts.items()], header=False)


@app.command()
def maximize(
    function: Annotated[str, typer.Argument(help="Function as module:name, importable from here.")],
    bounds: Annotated[list[str], typer.Option("--bounds", help="low,high of a side; repeat for several.")],
    method: Annotated[
        str, typer.Option("--method", help="doo, soo, sequool, hoo, hct, poo, stosoo, stroquool, pacoptimizer.")
    ] = "soo",
    budget: Annotated[int | None, typer.Option("--budget", max=_MOST, help="Measurements at most.")] = None,
    epsilon: Annotated[float | None, typer.Option("--epsilon", help="Tolerated gap.")] = None,
    delta: Annotated[float | None, typer.Option("--delta", help="Probability of a worse answer.")] = None,
    lipschitz: Annotated[float | None, typer.Option("--lipschitz", help="Lipschitz constant.")] = None,
    noise: Annotated[str | None, typer.Option("--noise", help="Scale of the noise, or 'bounded'.")] = None,
    plot: Plot = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Maximise a Python function of which only values are known."""
    from ..core.figures import draw_figure, figure_target
    from ..core.validation import load_function
    from . import maximize as run_search

    target = figure_target(plot, overwrite=force)
    pairs = [_numbers(side, "--bounds") for side in bounds]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"--bounds must be written as 0,1; got {' '.join(bounds)}")
    box = tuple(pairs[0]) if len(pairs) == 1 else pairs
    with progress(silent=as_json) as display:
        display.add_task("measuring", total=None)
        result = run_search(
            load_function(function), box, method, budget=budget, epsilon=epsilon, delta=delta, lipschitz=lipschitz,
            noise=_number_or_name(noise),
        )  # fmt: skip
    draw_figure(target, result.plot)
    show(result, as_json, **where(drawn=target))
    if result.settled is False:
        raise Refused(f"{budget} measurements were not enough for epsilon = {epsilon:g}; raise --budget")


def _numbers(text: str, option: str) -> list[float]:
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise ValueError(f"{option} must be numbers separated by commas; got {text!r}") from None


def _number_or_name(text: str | None) -> float | str | None:
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        return text


def _regret_policy(name: str, horizon: int) -> Callable[..., Any]:
    from . import policies as p

    known = {
        "ucb": p.UCB, "moss": partial(p.MOSS, horizon=horizon), "kl-ucb": p.KLUCB, "kl-ucb++": partial(p.KLUCBpp, horizon=horizon),
        "kl-ucb-switch": p.KLUCBSwitch, "bayes-ucb": p.BayesUCB, "thompson": p.Thompson, "imed": p.IMED,
        "empirical-kl-ucb": p.EmpiricalKLUCB, "empirical-imed": p.EmpiricalIMED,
    }  # fmt: skip
    return _named(name, known)


def _identification_policy(name: str) -> Callable[..., Any]:
    from . import identification as i

    known = {
        "d-tracking": i.DTracking, "c-tracking": i.CTracking, "sticky": i.StickyTrackAndStop, "frank-wolfe": i.FrankWolfeSampling,
        "gradient-ascent": i.GradientAscentSampling, "ttts": i.TTTS, "t3c": i.T3C, "eb-tci": i.EBTCI, "tt-ucb": i.TTUCB,
        "kl-lucb": i.KLLUCB, "kl-racing": i.KLRacing, "chernoff-racing": i.ChernoffRacing, "uniform": i.UniformSampling,
    }  # fmt: skip
    return _named(name, known)


def _named(name: str, known: dict[str, Any]) -> Callable[..., Any]:
    from difflib import get_close_matches

    if name not in known:
        near = get_close_matches(name, known, n=1)
        raise ValueError(
            f"no policy is called {name!r}; "
            + (f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(known)}")
        )
    return known[name]  # type: ignore[no-any-return]
