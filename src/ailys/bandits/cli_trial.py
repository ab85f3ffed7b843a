"""``ailys bandits trial``: a real experiment over weeks, in one state file that is never half-written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.console import Json, SeedOption, print_json, show

if TYPE_CHECKING:
    from .runningtest import ABTest

trial_app = typer.Typer(no_args_is_help=True)

State = Annotated[Path, typer.Argument(help="State file of the trial (.json).")]


@trial_app.command()
def new(
    state: State,
    arms: Annotated[str, typer.Option("--arms", help="Labels separated by commas, control first.")] = "A,B",
    alpha: Annotated[float, typer.Option("--alpha", help="Probability of ever rejecting a true hypothesis.")] = 0.05,
    propensity: Annotated[
        str | None, typer.Option("--propensity", help="Probability of the second arm, or of every arm.")
    ] = None,
    adaptive: Annotated[
        bool, typer.Option("--adaptive", help="Assign by the probability of being best, within --clip.")
    ] = False,
    clip: Annotated[
        str, typer.Option("--clip", help="Smallest and largest probability of an arm in an adaptive trial.")
    ] = "0.1,0.9",
    alternative: Annotated[
        str, typer.Option("--alternative", help="two-sided, or greater: the second arm is better.")
    ] = "two-sided",
    seed: SeedOption = None,
    as_json: Json = False,
) -> None:
    """Start a trial; the state file must not exist."""
    from ..core.validation import writable_target
    from . import ABTest, ThompsonTrial
    from .state import lock, write_state

    labels = [word.strip() for word in arms.split(",")]
    if not all(labels):
        raise ValueError(f"--arms has an empty label: {arms!r}")
    chances: Any = None
    if propensity is not None:
        try:
            numbers = [float(word) for word in propensity.split(",")]
        except ValueError:
            raise ValueError(f"--propensity must be numbers separated by commas; got {propensity!r}") from None
        chances = numbers[0] if len(numbers) == 1 else numbers
    try:
        low, high = (float(word) for word in clip.split(","))
    except ValueError:
        raise ValueError(f"--clip must be two numbers separated by a comma; got {clip!r}") from None
    if state.exists() and not state.is_dir():
        raise FileExistsError(f"{state} exists already; choose another name for the new trial")
    writable_target(state)
    with lock(state):
        if state.exists():
            raise FileExistsError(f"{state} exists already; choose another name for the new trial")
        test = ABTest(
            labels,
            chances,
            alpha,
            alternative=alternative,
            allocator=ThompsonTrial((low, high)) if adaptive else None,
            rng=seed,
        )
        write_state(test._state(), state, None)
    show(test.result(), as_json, state=str(state))


@trial_app.command(name="next")
def next_arm(state: State, as_json: Json = False) -> None:
    """Assign the next trial. It is on the disk before it is printed; `status` lists trials that wait for an outcome."""
    with _opened(state) as test:
        arm = test.assign()
        trial, chance = test.last_trial, test.pending[test.last_trial or 0][1]
    if as_json:
        print_json({"trial": trial, "arm": arm, "propensity": chance})
    else:
        print(f"trial {trial}: {arm}  (it had probability {chance:.3g})")


@trial_app.command()
def record(
    state: State,
    trial: Annotated[int, typer.Option("--trial", help="Number of the trial.")],
    outcome: Annotated[
        str, typer.Option("--outcome", help="1 or yes for a success, 0 or no; missing if it will never come.")
    ],
    as_json: Json = False,
) -> None:
    """Record the outcome of a trial, once."""
    words = {"1": 1, "yes": 1, "true": 1, "0": 0, "no": 0, "false": 0}
    word = outcome.strip().lower()
    if word not in words and word != "missing":
        raise ValueError(f"--outcome must be 1 or 0 (yes or no), or missing; got {outcome!r}")
    with _opened(state) as test:
        if word == "missing":
            test.drop(trial)
        else:
            arm = test.pending[trial][0] if trial in test.pending else 0
            test.record(test.label(arm), words[word], trial)
        result = test.result()  # before the state is written
    show(result, as_json)


@trial_app.command()
def status(state: State, as_json: Json = False) -> None:
    """What is known now, and which trials wait for an outcome. Looking costs nothing."""
    from . import ABTest

    test = ABTest.from_json(state)
    waiting = ", ".join(f"{trial} ({test.label(arm)})" for trial, (arm, _, _) in test.pending.items())
    show(test.result(), as_json, waiting=waiting or None, next_probabilities=test.chances())


@contextmanager
def _opened(path: Path) -> Iterator[ABTest]:
    """The trial, held for this process alone; its state is replaced when the block ends well."""
    from . import ABTest
    from .state import lock, read_state, write_state

    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; start a trial with: ailys bandits trial new {path}")
    with lock(path):
        known = read_state(path).get("revision")
        test = ABTest.from_json(path)
        yield test
        write_state(test._state(), path, known)
