"""``ailys mdp learn``: a policy from episodes, when the model is unknown."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ..core.console import Force, Json, Out, Plot, Refused, SeedOption, progress, show, where

__all__ = ["learn"]

LEARNERS = ("bpi-ucrl", "ucbvi", "q-learning")


def learn(
    model: Annotated[
        str,
        typer.Argument(
            help="env:ID of Gymnasium (Discrete spaces), or a .npz or .csv file from which episodes are drawn."
        ),
    ],
    learner: Annotated[str, typer.Option(help=f"{', '.join(LEARNERS)}.")] = "bpi-ucrl",
    episodes: Annotated[int, typer.Option(min=1, help="Episodes, at most.")] = 10_000,
    epsilon: Annotated[float, typer.Option(help="bpi-ucrl: how far from the best the policy may be.")] = 0.1,
    delta: Annotated[float, typer.Option(help="Probability with which the guarantee may fail.")] = 0.1,
    stationary: Annotated[
        bool, typer.Option("--stationary", help="Promise that the law does not change with the stage: faster.")
    ] = False,
    table: Annotated[
        bool, typer.Option("--table", help="Draw the episodes from the environment's own table: much faster.")
    ] = False,
    reward_range: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Lowest and highest reward, where there is no table to read them from."),
    ] = None,
    return_range: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Bounds of the rewards still to come at any time, if you know them."),
    ] = None,
    exploration: Annotated[float, typer.Option(help="q-learning: probability of an action at random.")] = 0.1,
    c: Annotated[float, typer.Option("--c", help="ucbvi: factor of the bonus; below 1 nothing is proved.")] = 1.0,
    horizon: Annotated[int | None, typer.Option(min=1, help="Number of decisions.")] = None,
    seed: SeedOption = 0,
    out: Out = None,
    plot: Plot = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Learn a policy from episodes, with what is proved about it; --out writes its actions (.npy)."""
    from ..core.figures import draw_figure, figure_target
    from ..core.validation import result_target
    from .files import save_policy

    if learner not in LEARNERS:
        raise ValueError(f"--learner must be one of {', '.join(LEARNERS)}; got {learner!r}")
    if episodes > 10**9:
        raise ValueError(f"--episodes must be at most {10**9}; got {episodes}")
    target = result_target(out, ".npy", overwrite=force) if out else None
    drawing = figure_target(plot, overwrite=force)
    agent = _agent(
        learner, epsilon=epsilon, delta=delta, stationary=stationary, reward_range=reward_range, return_range=return_range,
        exploration=exploration, c=c, horizon=horizon, seed=seed,
    )  # fmt: skip
    world = _world(model, horizon, table)
    with progress(silent=as_json) as display:
        task = display.add_task(f"{learner}: episodes", total=episodes)
        left = episodes
        while left:
            before = getattr(agent, "n_episodes_", 0)
            agent.partial_fit(world, min(left, max(1, episodes // 50)))
            played = agent.n_episodes_ - before
            display.update(task, advance=played)
            left -= played
            if getattr(agent, "converged_", False):
                break
    answer = agent.recommend()
    if target is not None:
        save_policy(answer.policy, target)
    draw_figure(drawing, answer.plot)
    show(answer, as_json, **where(written=target, drawn=drawing))
    if learner == "bpi-ucrl" and not answer.reached:
        gap = answer.upper - answer.lower
        raise Refused(
            f"{episodes} episodes end with a gap of {gap:.4g}, not {epsilon:g}; raise --episodes or --epsilon"
            + ("" if stationary else ", or promise --stationary if the law does not change with the stage")
        )


def _agent(learner: str, **given: Any) -> Any:
    from .learning import BPIUCRL, UCBVI, QLearning

    if learner == "q-learning":
        return QLearning(given["exploration"], horizon=given["horizon"], rng=given["seed"])
    common = {name: given[name] for name in ("delta", "stationary", "reward_range", "return_range", "horizon")}
    common["rng"] = given["seed"]
    return BPIUCRL(given["epsilon"], **common) if learner == "bpi-ucrl" else UCBVI(given["c"], **common)


def _world(model: str, horizon: int | None, table: bool) -> Any:
    """The environment, or its table."""
    if not model.startswith("env:") or table:
        from .files import load_mdp

        return load_mdp(model, horizon=horizon)
    import gymnasium

    from . import envs  # noqa: F401  (registers ours)

    try:
        return gymnasium.make(model.removeprefix("env:"))
    except gymnasium.error.Error as fault:
        raise ValueError(f"{model}: {fault}") from fault
