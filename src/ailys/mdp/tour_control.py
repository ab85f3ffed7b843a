"""A stop of the tour: the chemical reactor, run by people of different caution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..core.figures import PALETTE, style, to_svg
from ..core.stop import Exhibit, Frame, Stop

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .envs import Reactor
    from .returns import ReturnDistribution

__all__ = ["CONTROL"]

_BETAS = (0.5, 0.0, -0.5, -1.0, -2.0)
_WORDS = {
    0.5: "Who likes risk waits for a lucky batch, and pays with more bad ones.",
    0.0: "The best average: wait while one molecule more is likelier than one lost.",
    -0.5: "Some caution: a seventh of a molecule less on average, and the worst tenth is half a molecule better.",
    -1.0: "More caution costs more and gains less: the worst tenth hardly moves.",
    -2.0: "Too much: only the very worst batches become rarer, and every ordinary one is worse for it.",
}
_BAD, _WORST = 4.5, 2.5  # molecules of B, costs taken off
_STAGE = 3


def reactor(rng: np.random.Generator) -> Exhibit:
    """The best policy for five parameters of risk, each with the exact law of its yield."""
    from . import evaluate, solve_entrm
    from .envs import Reactor

    env = Reactor()
    mdp = env.to_mdp()
    start = env.index(env.n_molecules, 0)
    solutions = {beta: solve_entrm(mdp, beta) for beta in _BETAS}
    laws = {beta: evaluate(mdp, solution.policy) for beta, solution in solutions.items()}
    frames = []
    for beta in _BETAS:
        law, value = laws[beta], float(solutions[beta].value[start])
        numbers = {
            "mean yield less costs": f"{law.mean:.2f} molecules",
            "spread (standard deviation)": f"{law.std:.2f}",
            f"batches below {_BAD:g}": f"{100 * law.cdf(_BAD):.1f} %",
            f"batches below {_WORST:g}": f"{100 * law.cdf(_WORST):.2f} %",
            "worst tenth, on average (CVaR)": f"{law.cvar(0.1):.2f}",
            "entropic risk, the best of any policy": f"{value:.4f}",
        }
        alt = (
            f"Left: what to do after {_STAGE} s for each number of molecules A and B, at beta = {beta:g}. Right: law of the "
            f"yield, mean {law.mean:.2f}, beside that of the best average."
        )
        figure = _draw(env, solutions[beta].policy, law, laws[0.0])
        frames.append(
            Frame(
                f"beta = {beta:g}",
                to_svg(figure, f"reactor-{beta:g}", alt),
                numbers,
                _WORDS[beta],
                solutions[beta].guarantee,
            )
        )
    return Exhibit(
        frames=tuple(frames),
        data="a stated model, no measurements: 12 molecules, two first-order reactions A to B to C, 35 and 55 kJ/mol, 320 or "
        "350 K, a hold of 1 s costs 0.02 or 0.05, at most 12 holds. The laws are exact, nothing is simulated. "
        f"Left at 320 K all the time, the rate equations give at best {env.best_batch(320.0)[1]:.3f} of the molecules.",
        guarantee=None,  # each frame states its own
        slider="Risk parameter: negative is careful",
        start=1,
    )


def _draw(env: Reactor, policy: np.ndarray, law: ReturnDistribution, neutral: ReturnDistribution) -> Figure:
    from matplotlib.figure import Figure

    with style(inline=True):
        figure = Figure(figsize=(9, 3.5), layout="constrained")
        left, right = figure.subplots(1, 2)
        pairs = np.array(env.pairs)
        chosen = np.asarray(policy)[_STAGE, : len(pairs)]
        for action, (name, colour, mark) in enumerate(
            (("hold at 320 K", PALETTE[0], "o"), ("hold at 350 K", PALETTE[1], "^"), ("quench", PALETTE[2], "s"))
        ):
            here = pairs[chosen == action]
            left.plot(here[:, 0], here[:, 1], mark, color=colour, markersize=6, label=name)
        left.set(xlabel="molecules of A", ylabel="molecules of B", title=f"what to do after {_STAGE} s")
        left.legend(loc="upper right")
        edges = np.arange(-1.5, env.n_molecules + 1)  # costs of some hundredths fall into the bin of the yield below
        grid = np.arange(-1, env.n_molecules + 1)
        for one, options in (
            (neutral, {"color": PALETTE[5], "alpha": 0.5, "width": 0.9, "label": "best average"}),
            (law, {"color": PALETTE[0], "width": 0.45, "label": "this policy"}),
        ):
            mass = np.histogram(one.atoms, edges, weights=one.weights)[0]
            right.bar(grid, mass, **options)
        right.axvline(law.cvar(0.1), ymax=0.72, color=PALETTE[1], linestyle="--", label="worst tenth, average")
        right.set(
            xlabel="yield less costs (molecules of B)", ylabel="probability", xlim=(-1, env.n_molecules), ylim=(0, 0.42)
        )
        right.legend(loc="upper left")
    return figure


CONTROL = Stop(
    name="reactor",
    title="When to stop the reaction",
    question="The product is made, and destroyed if one waits too long: when should the vessel be cooled?",
    story=(
        "Molecules of A turn into B, the product, and B into C, waste. Heat speeds up both, waste more than product. With twelve "
        "molecules chance decides much: waiting may give one B more, or lose two. Who minds the average waits "
        "longer than who must answer for each batch. The entropic risk puts a number on this caution, and dynamic "
        "programming finds the best rule for each: look at the vessel every second, and hold, heat or quench."
    ),
    command="ailys mdp solve env:ailys/Reactor-v0 --risk entrm --beta -1",
    run=reactor,
    seconds=2.0,
)
