"""``ailys mdp``: solve, front, evaluate, cliff, learn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.console import Force, Jobs, Json, Out, Plot, SeedOption, check_jobs, progress, show, show_table, where
from .cli_learn import learn

if TYPE_CHECKING:
    from .model import TabularMDP

app = typer.Typer(
    no_args_is_help=True, help="Decisions under risk: the law of the return, its tail, and policies for it."
)
app.command()(learn)

_RISKS = ("mean", "entrm", "evar", "cvar", "var", "threshold")

Model = Annotated[
    str,
    typer.Argument(help="A .npz or .csv file (columns s,a,s_next,p,r), or env:ID of Gymnasium, as env:FrozenLake-v1."),
]
Horizon = Annotated[int | None, typer.Option(min=1, help="Number of decisions.")]
Discount = Annotated[float | None, typer.Option(help="Discount, instead of a horizon.")]
Alpha = Annotated[float, typer.Option(help="Fraction of worst returns, in (0, 1].")]


def _load(model: str, horizon: int | None, discount: float | None) -> TabularMDP:
    from .files import load_mdp

    return load_mdp(model, horizon=horizon, discount=discount)


@app.command()
def solve(
    model: Model,
    risk: Annotated[str, typer.Option(help="mean, entrm, evar, cvar, var or threshold.")] = "mean",
    horizon: Horizon = None,
    discount: Discount = None,
    beta: Annotated[float | None, typer.Option(help="Risk parameter of entrm: negative is averse.")] = None,
    alpha: Alpha = 0.1,
    threshold: Annotated[float | None, typer.Option(help="Return to reach (risk 'threshold').")] = None,
    method: Annotated[str, typer.Option(help="For cvar, var and threshold: front, gpi, exact or bracket.")] = "front",
    jobs: Jobs = 1,
    out: Out = None,
    plot: Plot = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Find a policy for a risk, with what it is worth and what no policy exceeds; --out writes its actions (.npy)."""
    import ailys.mdp as mdps

    from ..core.figures import draw_figure, figure_target
    from ..core.validation import result_target
    from .augmented import AugmentedPolicy
    from .files import save_policy

    if risk not in _RISKS:
        raise ValueError(f"--risk must be one of {', '.join(_RISKS)}; got {risk!r}")
    if risk == "entrm" and beta is None:
        raise ValueError("--risk entrm needs --beta (negative: averse to risk)")
    if risk == "threshold" and threshold is None:
        raise ValueError("--risk threshold needs --threshold, the return to reach")
    workers = check_jobs(jobs)
    target = result_target(out, ".npy", overwrite=force) if out else None
    drawing = figure_target(plot, overwrite=force)
    mdp = _load(model, horizon, discount)
    with progress(silent=as_json) as display:
        display.add_task(f"solving {mdp.n_states} states", total=None)
        answer: Any
        if risk == "mean":
            answer = mdps.solve(mdp, n_jobs=workers)
        elif risk == "entrm":
            assert beta is not None
            answer = mdps.solve_entrm(mdp, beta)
        elif risk == "evar":
            answer = mdps.optimize_evar(mdp, alpha)
        elif risk == "threshold":
            assert threshold is not None
            answer = mdps.optimize_threshold(mdp, threshold, method)  # type: ignore[arg-type]
        else:
            optimize = mdps.optimize_cvar if risk == "cvar" else mdps.optimize_var
            answer = optimize(mdp, alpha, method)  # type: ignore[arg-type]
    more: dict[str, Any] = {**where(written=target, drawn=drawing)}
    if target is not None:
        policy = answer.policy
        save_policy(policy.table if isinstance(policy, AugmentedPolicy) else policy, target)
        if isinstance(policy, AugmentedPolicy):
            more["table"] = (
                f"time x state x missing reward, from {policy.low} steps of {policy.step:g}, target {policy.target}"
            )
    draw_figure(drawing, answer.plot)
    show(answer, as_json, **more)


@app.command()
def front(
    model: Model,
    beta_min: Annotated[float, typer.Option(help="Left end, negative: averse to risk.")] = -0.3,
    beta_max: Annotated[float, typer.Option(help="Right end.")] = 0.0,
    epsilon: Annotated[
        float | None, typer.Option(help="Allowed loss, in units of reward; 0 for exact breakpoints.")
    ] = None,
    horizon: Horizon = None,
    plot: Plot = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Policies that serve every risk parameter of an interval, with their certificate."""
    from ..core.figures import draw_figure, figure_target
    from . import entrm_front

    target = figure_target(plot, overwrite=force)
    mdp = _load(model, horizon, None)
    with progress(silent=as_json) as display:
        display.add_task("front", total=None)
        answer = entrm_front(mdp, beta_min, beta_max, epsilon)
    draw_figure(target, answer.plot)
    show(answer, as_json, **where(drawn=target))
    if not as_json:
        names = list(answer.facts()["segments"][0])
        rows = [[segment[name] for name in names] for segment in answer.facts()["segments"]]
        show_table("segments", [name.replace("_", " ") for name in names], rows)


@app.command()
def evaluate(
    model: Model,
    policy: Annotated[Path, typer.Argument(help="Actions in a .npy file: (S,) or (H, S); or probabilities.")],
    method: Annotated[
        str, typer.Option(help="auto, exact, lattice, sparse, quantile, categorical or bracket.")
    ] = "auto",
    n_atoms: Annotated[int | None, typer.Option(min=2, help="Atoms of a projected law.")] = None,
    horizon: Horizon = None,
    discount: Discount = None,
    plot: Plot = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """The law of the return of a policy of yours, exact or with its certified error."""
    from ..core.figures import draw_figure, figure_target
    from . import evaluate as law_of
    from .files import read_policy

    target = figure_target(plot, overwrite=force)
    mdp, table = _load(model, horizon, discount), read_policy(policy)
    with progress(silent=as_json) as display:
        display.add_task("following the law", total=None)
        try:
            answer = law_of(mdp, table, method, n_atoms)  # type: ignore[arg-type]
        except ValueError as fault:
            raise ValueError(f"{policy}: {fault}") from fault
    draw_figure(target, answer.plot)
    show(answer, as_json, **where(drawn=target))


@app.command()
def cliff(
    beta: Annotated[float, typer.Option(help="Risk parameter: negative is averse, 0 the mean.")] = 0.0,
    slip: Annotated[float, typer.Option(help="Probability of a slip.")] = 0.1,
    mode: Annotated[str, typer.Option(help="Where a slip leads: uniform, perp or down.")] = "uniform",
    rows: Annotated[int, typer.Option(help="Rows of the grid.")] = 4,
    cols: Annotated[int, typer.Option(help="Columns of the grid.")] = 12,
    fall: Annotated[float, typer.Option(help="Reward of a fall.")] = -100.0,
    horizon: Annotated[int, typer.Option(min=1, help="Number of decisions.")] = 50,
    walks: Annotated[int, typer.Option(min=0, help="Walks to simulate beside the exact law.")] = 0,
    plot: Plot = None,
    seed: SeedOption = 0,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Walk along the Cliff with a given attitude to risk: policy, chance of a fall, law of the return."""
    from ..core.figures import draw_figure, figure_target
    from . import evaluate as law_of
    from . import simulate, solve_entrm
    from .envs import Cliff
    from .plots import plot_policy_and_law, policy_text

    target = figure_target(plot, overwrite=force)
    env = Cliff(rows=rows, cols=cols, slip=slip, mode=mode, fall=fall, horizon=horizon)  # type: ignore[arg-type]
    mdp = env.to_mdp()
    with progress(silent=as_json) as display:
        display.add_task("walking", total=None)
        solution = solve_entrm(mdp, beta)
        law = law_of(mdp, solution)
        sample = simulate(mdp, solution, walks, seed) if walks else None
    more: dict[str, Any] = {"beta": beta, "entropic_risk": solution.start_value}
    if env.step_reward <= 0:
        more["probability_of_a_fall"] = law.cdf(fall)
    if sample is not None:
        more |= {"simulated_mean": float(sample.returns.mean()), "simulated_band": sample.band}
    draw_figure(target, lambda: plot_policy_and_law(env, solution.policy, law).axes[0])
    if not as_json:
        print(policy_text(env, solution.policy))
    show(law, as_json, **more, **where(drawn=target))
