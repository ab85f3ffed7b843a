"""Stops of the tour: a trial that may be watched, the best arm, the power grid, the graph, the black box."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.answer import readable
from ..core.figures import PALETTE, style, to_svg
from ..core.stop import Exhibit, Frame, Stop
from ._evidence_kernels import label_path, trial_until, z_test_rejects

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STOPS"]

# -- the trial -----------------------------------------------------------------------------------

_TRIAL = {"bed rest": (17, 52), "streptomycin": (38, 55)}  # improved on X-ray at six months, of all patients
_SEEN = (20, 40, 60, 80, 107)


def streptomycin(rng: np.random.Generator) -> Exhibit:
    """The trial of 1948, patient after patient, in 300 possible orders."""
    from .abtest import ab_test
    from .intervals import confidence_sequence

    arms = np.repeat([0, 1], [n for _, n in _TRIAL.values()])
    outcome = np.concatenate([np.repeat([1.0, 0.0], [s, n - s]) for s, n in _TRIAL.values()])
    orders = [rng.permutation(len(arms)) for _ in range(300)]
    paths = np.empty((len(orders), len(arms)))
    for path, order in zip(paths, orders, strict=True):
        label_path(arms[order], outcome[order], np.array([[0.5, 0.5]]), 2, False, path)
    keys = rng.integers(0, 2**63, 2000, dtype=np.uint64)
    same = np.array([0.5, 0.5])
    naive = float(np.mean([z_test_rejects(same, key, 20, 1000, 1.96) for key in keys]))
    watched = float(np.mean([trial_until(same, 0.5, 0.0, 0.05, False, key, 2000)[1] for key in keys]))
    best = np.maximum.accumulate(paths, axis=1)
    frames = []
    for seen in _SEEN:
        shown = orders[0][:seen]
        bands = {}
        for i, name in enumerate(_TRIAL):
            mine = outcome[shown][arms[shown] == i]
            sums, n = np.cumsum(mine), np.arange(1, len(mine) + 1)
            bands[name] = (
                np.flatnonzero(arms[shown] == i) + 1,
                *confidence_sequence(sums, n, 0.05, running=True),
                sums / n,
            )
        done = float(np.mean(best[:, seen - 1] >= math.log(20)))
        p = math.exp(-max(0.0, best[0, seen - 1]))
        svg = to_svg(
            _draw_trial(paths, bands, seen),
            f"trial-{seen}",
            f"Left: evidence after {seen} patients in 300 orders; {100 * done:.0f} % of them have crossed the line of rejection. "
            "Right: shares of improved patients with intervals that hold at all times.",
        )
        numbers = {
            "patients seen": f"{seen} of {len(arms)}",
            "p-value, valid whenever one looks": f"{p:.3f} in the order drawn",
            "orders that would have stopped by now": f"{100 * done:.0f} %",
            "false alarms of a watched z-test": f"{100 * naive:.0f} % (promised: 5 %)",
            "false alarms of this test, watched": f"{100 * watched:.1f} % (promised: at most 5 %)",
        }
        frames.append(
            Frame(
                f"{seen} patients", svg, numbers, "Evidence may be looked at after every patient: that costs nothing."
            )
        )
    return Exhibit(
        frames=tuple(frames),
        data="improvement on X-ray at six months in the trial of streptomycin against tuberculosis (Medical Research Council, "
        "BMJ 1948): 38 of 55 patients with the drug, 17 of 52 with bed rest. The order of the patients was not "
        "published: 300 random ones. False alarms: 2 000 simulated trials of 2 000 patients with two equal treatments.",
        guarantee=ab_test(counts=_TRIAL).guarantee,
        slider="Patients seen",
        start=3,
    )


def _draw_trial(paths: np.ndarray, bands: Mapping[str, tuple[np.ndarray, ...]], seen: int) -> Figure:
    from matplotlib.figure import Figure

    with style(inline=True):
        figure = Figure(figsize=(9, 3.5), layout="constrained")
        left, right = figure.subplots(1, 2)
        t = np.arange(1, seen + 1)
        left.plot(t, paths[:25, :seen].T, color=PALETTE[5], linewidth=0.6, alpha=0.5)
        left.plot(t, paths[0, :seen], color=PALETTE[0], label="the order drawn")
        left.axhline(math.log(20), color=PALETTE[1], linestyle="--", label="enough to reject at 5 %")
        left.set(xlim=(0, paths.shape[1]), ylim=(-3, 10), xlabel="patients", ylabel="ln(evidence)")
        left.legend(loc="upper left")
        for colour, (name, (n, low, high, mean)) in zip((PALETTE[3], PALETTE[2]), bands.items(), strict=True):
            right.fill_between(n, low, high, color=colour, alpha=0.2, linewidth=0, step="post")
            right.plot(n, mean, color=colour, label=name)
        right.set(xlim=(0, paths.shape[1]), ylim=(0, 1), xlabel="patients", ylabel="share improved")
        right.legend(loc="lower right")
    return figure


# -- the best arm --------------------------------------------------------------------------------

_MEANS = (0.3, 0.21, 0.2, 0.19, 0.18)


def best_arm(rng: np.random.Generator) -> Exhibit:
    """Draws to name the best of five, for several probabilities of error."""
    from .environment import Arms, run
    from .identification import EBTCI, KLLUCB, DTracking, UniformSampling
    from .identification_simulation import simulate_identification
    from .plots import plot_identification

    rules = {"in turn": UniformSampling, "KL-LUCB": KLLUCB, "top two": EBTCI, "Track-and-Stop": DTracking}
    frames = []
    for delta in (0.2, 0.05, 0.001, 1e-6):
        result = simulate_identification(rules, _MEANS, delta, n_replicates=60, rng=rng)
        agent = DTracking(5, delta=delta, rng=rng.spawn(1)[0])
        proof = run(agent, Arms(_MEANS, rng=rng), 10**6).agent.recommend().guarantee
        with style(inline=True):
            figure: Any = plot_identification(result).figure
        figure.set_size_inches(8, 2.9)
        mean = dict(zip(result.policies, result.mean, strict=True))
        numbers = {f"draws, {name}": f"{readable(round(value))} on average" for name, value in mean.items()}
        numbers["nobody can do with fewer than"] = f"{readable(round(result.lower_bound))} on average"
        numbers["wrong answers"] = f"{int(result.wrong.sum())} of {result.wrong.size}"
        alt = f"Boxes of the numbers of draws of four strategies at error probability {delta:g}, right of the lower bound."
        ratio = mean["Track-and-Stop"] / result.lower_bound
        frames.append(
            Frame(
                f"at most {delta:g} wrong",
                to_svg(figure, f"best-arm-{delta:g}", alt),
                numbers,
                f"Track-and-Stop needs {ratio:.1f} times the lower bound; the ratio goes to 1 as the error goes to 0.",
                proof,
            )
        )
    return Exhibit(
        frames=tuple(frames),
        data="simulated successes and failures with probabilities .3, .21, .2, .19, .18 (Garivier and Kaufmann 2016); 60 runs each.",
        guarantee=None,  # each frame states its own
        slider="Probability of error allowed",
        start=1,
    )


# -- the power grid ------------------------------------------------------------------------------


def power_grid(rng: np.random.Generator) -> Exhibit:
    """Dangerous double outages, found by asking zones."""
    from matplotlib.figure import Figure

    from .discovery import discover
    from .powergrid import ieee118

    grid = ieee118()
    experts = grid.experts()
    runs = {
        rule: [discover(experts, grid.is_dangerous, budget=2400, rule=rule, rng=stream) for stream in rng.spawn(6)]
        for rule in ("good-ucb", "uniform")
    }
    home = grid.zones[grid.lines[:, 0]]
    sizes = [int((home == z).sum()) for z in np.unique(home)]
    names = {"good-ucb": "Good-UCB", "uniform": "zones in turn"}
    frames = []
    for budget in (300, 600, 1200, 2400):
        mean = {rule: np.mean([r.history for r in group], axis=0) for rule, group in runs.items()}
        asked = discover(experts, grid.is_dangerous, budget=budget, rng=rng.spawn(1)[0])
        with style(inline=True):
            figure = Figure(figsize=(9, 3.4), layout="constrained")
            left, right = figure.subplots(1, 2)
            for colour, rule in zip(PALETTE, runs, strict=False):
                left.plot(np.arange(1, budget + 1), mean[rule][:budget], color=colour, label=names[rule])
            left.set(
                xlim=(0, 2400),
                ylim=(0, 1.05 * mean["good-ucb"][-1]),
                xlabel="cases computed",
                ylabel="dangerous pairs found",
            )
            left.legend(loc="upper left")
            x = np.arange(len(experts))
            right.bar(x, asked.requests, color=PALETTE[0])
            right.set(xticks=x, xlabel="zone of the grid", ylabel="cases computed by Good-UCB")
        found = {rule: mean[rule][budget - 1] for rule in runs}
        frames.append(
            Frame(
                f"{readable(budget)} cases",
                to_svg(figure, f"grid-{budget}", f"After {budget} cases Good-UCB has found {found['good-ucb']:.0f} dangerous pairs of "
                       f"lines, asking in turn {found['uniform']:.0f}."),
                {
                    "dangerous pairs found, Good-UCB": f"{found['good-ucb']:.0f}",
                    "zones in turn": f"{found['uniform']:.0f}",
                    "estimated chance of a new one, best zone": f"{np.nanmax(asked.estimates):.2f}",
                    "at most, for any zone (confidence 95 %)": f"{asked.missing_mass.max():.2f}",
                },
                "The search turns to the zones that still give new dangers, and leaves those that give none. What is proved of the "
                "unseen lies far above the estimate: certainty takes many more cases.",
                asked.guarantee,
            )
        )  # fmt: skip
    return Exhibit(
        frames=tuple(frames),
        data=f"the IEEE 118-bus test grid as shipped with PYPOWER: {len(grid.lines)} lines whose single loss leaves it in one piece, in "
        f"{len(experts)} zones of {min(sizes)} to {max(sizes)} lines. Direct-current flows. A pair is dangerous if losing both lines splits "
        "the grid or overloads another line; limits are 15 % above the worst single outage. Means of 6 searches.",
        guarantee=None,  # each frame states its own
        slider="Cases computed",
        start=3,
    )


# -- the graph -----------------------------------------------------------------------------------


def graph_bandit(rng: np.random.Generator) -> Exhibit:
    """A message that similar people like alike: who answers best among the characters of Les Miserables?"""
    import networkx as nx
    from matplotlib.figure import Figure

    from .graph import laplacian
    from .graph_regret import SpectralUCB
    from .plots import plot_graph
    from .policies import UCB

    novel = nx.les_miserables_graph()
    W = nx.to_numpy_array(novel, weight=None)
    L, n = laplacian(W), len(W)
    _, vectors = np.linalg.eigh(L)
    mu = vectors[:, :5] @ rng.standard_normal(5)
    mu = (mu - mu.min()) / np.ptp(mu)
    size = math.sqrt(mu @ (L + 0.01 * np.eye(n)) @ mu)
    noise = 0.2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the bold variant has no guarantee, and the frame says so
        agents: dict[str, Any] = {
            "graph, proved": SpectralUCB(W, noise=noise, C=size, rng=rng.spawn(1)[0]),
            "graph, bold": SpectralUCB(W, noise=noise, C=size, m=0.3, rng=rng.spawn(1)[0]),
            "without the graph": UCB(n, family=f"gaussian({noise})", rng=rng.spawn(1)[0]),
        }
    lost: dict[str, list[float]] = {name: [0.0] for name in agents}
    layout = nx.spring_layout(nx.from_numpy_array(W), seed=4)
    positions = np.array([layout[i] for i in range(n)])
    frames, checkpoints = [], (20, 77, 200, 600)
    for t in range(1, checkpoints[-1] + 1):
        for name, agent in agents.items():
            arm = agent.ask()
            lost[name].append(lost[name][-1] + float(mu.max() - mu[arm]))
            agent.tell(arm, float(mu[arm] + noise * rng.standard_normal()))
        if t in checkpoints:
            bold = agents["graph, bold"]
            with style(inline=True):
                figure = Figure(figsize=(9, 3.7), layout="constrained")
                left, right = figure.subplots(1, 2)
                plot_graph(W, bold.estimates(), bold.counts, positions, left)
                for colour, (name, values) in zip(PALETTE, lost.items(), strict=False):
                    right.plot(values, color=colour, label=name)
                right.set(xlabel="messages sent", ylabel="answers lost", xlim=(0, t), ylim=(0, None))
                right.legend(loc="upper left")
            numbers = {f"lost, {name}": f"{values[-1]:.0f}" for name, values in lost.items()}
            numbers["proved for the first, this run"] = f"at most {agents['graph, proved'].regret_bound:.0f}"
            alt = f"Left: estimated means on the graph after {t} messages. Right: answers lost by three strategies."
            frames.append(
                Frame(f"{t} messages", to_svg(figure, f"graph-{t}", alt), numbers,
                      "Without the graph each of the 77 has to be asked once; with it, neighbours speak for each other. The bold "
                      "variant shrinks its bonus to 30 %: better here, but nothing is proved for it. The proved variant pays for its proof, and "
                      "its bound is still larger than the number of messages.",
                      agents["graph, proved"].result().guarantee)
            )  # fmt: skip
    return Exhibit(
        frames=tuple(frames),
        data="77 characters of Les Miserables, linked if they meet in a chapter (Knuth 1993, ships with NetworkX). The means are a random "
        "combination of the five smoothest functions on this graph, the noise has scale 0.2.",
        guarantee=None,  # each frame states its own
        slider="Messages sent",
        start=1,
    )


# -- the black box -------------------------------------------------------------------------------


def _wave(x: float) -> float:
    return 0.5 * (math.sin(13 * x) * math.sin(27 * x) + 1)


def black_box(rng: np.random.Generator) -> Exhibit:
    """A bumpy function seen through noise, to a tolerance."""
    from .maximize import maximize
    from .plots import plot_optimization

    frames = []
    for epsilon in (0.5, 0.3, 0.2, 0.1):
        found = maximize(
            lambda x, g: _wave(x) + 0.1 * g.standard_normal(), (0, 1), "pacoptimizer", epsilon=epsilon, delta=0.05, lipschitz=13.5,
            noise=0.1, rng=rng.spawn(1)[0],
        )  # fmt: skip
        with style(inline=True):
            figure: Any = plot_optimization(found, _wave).figure
        figure.set_size_inches(8.5, 3.4)
        gap = 0.9755991438 - _wave(found.x)
        frames.append(
            Frame(
                f"within {epsilon:g}",
                to_svg(figure, f"black-box-{epsilon:g}", f"The function, {found.n_evaluations} noisy values, and upper bounds that are lowest "
                       "where the function is surely low."),
                {
                    "measurements": readable(found.n_evaluations),
                    "point found": f"{found.x:.4f}",
                    "proved gap to the best": f"at most {found.certificate:.3f}",
                    "true gap": f"{gap:.4f}",
                },
                "Measurements crowd where the maximum can still be; elsewhere a few are enough to rule it out.",
                found.guarantee,
            )
        )  # fmt: skip
    return Exhibit(
        frames=tuple(frames),
        data="the function (sin 13x sin 27x + 1) / 2 of Munos' experiments, seen with Gaussian noise of scale 0.1; its slope is at most 13.5.",
        guarantee=None,  # each frame states its own
        slider="Tolerance",
        start=2,
    )


STOPS = (
    Stop(
        name="ab-test",
        title="A trial that one may watch",
        question="May a doctor look at the results of a trial every day and stop when they are good?",
        story=(
            "With the usual tests, no: who looks again and again will sooner or later see a difference where there is none. Evidence that "
            "multiplies like the capital of a fair game may be watched: if the drug does nothing, it rarely ever grows twentyfold."
        ),
        command="ailys bandits abtest trial.csv --arm arm --outcome improved",
        run=streptomycin,
        seconds=3,
    ),
    Stop(
        name="best-arm",
        title="Naming the best, as soon as anyone can",
        question="How many tries does it take to be sure which of five options is the best?",
        story=(
            "Trying all equally often wastes draws on options that are clearly worse. A lower bound says how many draws any strategy needs; "
            "Track-and-Stop computes the proportions that the best strategy would use, follows them, and stops with a proof."
        ),
        command="ailys bandits identify --means .3,.21,.2,.19,.18 --delta .05 --policy d-tracking --policy uniform",
        run=best_arm,
        seconds=11,
    ),
    Stop(
        name="power-grid",
        title="Dangers nobody has seen yet",
        question="Which two lines of a power grid must not fail together, and how many such pairs have we missed?",
        story=(
            "There are more pairs of lines than one can compute in time. Dangers that were met exactly once tell how many are still unseen: "
            "an idea that Good and Turing had in the war. The search asks where most is missing."
        ),
        command="ailys bandits discover --budget 2400",
        run=power_grid,
        seconds=4,
    ),
    Stop(
        name="graph-bandit",
        title="Tell me who your friends are",
        question="Can we learn what 77 people like without asking each of them?",
        story=(
            "People who are linked tend to like the same things. An algorithm that knows the links learns from each answer about all the "
            "neighbours, and finds the enthusiasts before it has asked everybody once."
        ),
        command="ailys bandits graph W.npy --means mu.npy",
        run=graph_bandit,
        seconds=3,
    ),
    Stop(
        name="black-box",
        title="The top of a mountain in the fog",
        question="How does one find the best setting of a machine whose every measurement is noisy?",
        story=(
            "Only measurements can be had, each with its error. If the function cannot climb faster than a known slope, every measurement "
            "rules out a piece of the range. The search stops when what is left cannot be better by more than the tolerance."
        ),
        command="ailys bandits maximize my_module:f --bounds 0,1 --method pacoptimizer --epsilon .1 --lipschitz 13.5 --noise .1",
        run=black_box,
        seconds=2,
    ),
)
