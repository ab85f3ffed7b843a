"""Stops of the tour: the Cliff along the risk parameter, the law of a return, control under risk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..core.figures import PALETTE, style, to_svg
from ..core.guarantee import Guarantee
from ..core.stop import Exhibit, Frame, Stop
from .tour_control import CONTROL

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .returns import ReturnDistribution

__all__ = ["STOPS"]

_ALPHA = 0.1

# -- the cliff -----------------------------------------------------------------------------------

_BETAS = (0.2, 0.05, 0.0, -0.03, -0.06, -0.12, -0.2, -0.35, -0.5)
_REMARKS = {
    0.2: "Who likes risk runs along the edge: if all goes well, this is the shortest way.",
    0.05: "A little love of risk: most of the way is one row from the edge, with shortcuts near the goal.",
    0.0: "The best average: a row of distance, and a fall in one walk of thirty.",
    -0.03: "Some aversion: the path climbs to the far wall. The average is a step worse, the tail better.",
    -0.06: "The wall again, and back to it after every slip.",
    -0.12: (
        "A first surprise: the walker waits at the wall, and half of the walks never arrive. Standing still costs 50 for sure; "
        "the last steps beside the cliff may cost 100 more."
    ),
    -0.2: "Now the worst case is a fall late in the walk, when much has been paid already: waiting is no longer safe.",
    -0.35: "So the walker hurries: an early fall costs less than a late one. The path is that of the best average again.",
    -0.5: (
        "The surprise of the slide: the walker jumps at once. At this aversion a sure -100 is better than a small "
        "chance of -149. It is the right answer to an extreme question, not a fault."
    ),
}


def cliff(rng: np.random.Generator) -> Exhibit:
    """The front of the Cliff, and the policy of nine risk parameters with its exact law."""
    from . import entrm_front
    from .envs import Cliff

    env = Cliff()
    front = entrm_front(env.to_mdp(), -0.6, 0.3, epsilon=0.1)
    frames = []
    for beta in _BETAS:
        law = front.laws[front.index_at(beta)]
        assert law is not None
        fall = law.cdf(env.fall_reward)
        arrived = law.prob_at_least(-env.horizon + 0.5)
        numbers = {
            "mean return": f"{law.mean:.1f}",
            "chance of a fall": f"{100 * fall:.1f} %",
            "arrives within 50 steps": f"{100 * arrived:.1f} %",
            "worst tenth, on average (CVaR)": f"{law.cvar(_ALPHA):.1f}",
            "entropic risk": "{:.2f}, no policy above {:.2f}".format(*front.value_at(beta)),
        }
        alt = (
            f"Map of the Cliff at risk parameter {beta:g} above, law of the return below: mean {law.mean:.1f}, "
            f"fall in {100 * fall:.1f} % of the walks."
        )
        svg = to_svg(_draw_cliff(env, front.policy_at(beta), law), f"cliff-{beta:g}", alt)
        low, high = front.value_at(beta)
        proved = Guarantee(
            "error-bound",
            f"at beta = {beta:g} this policy has an entropic risk of {low:.4f}, and no policy more than {high:.4f}",
            high - low,
            {"beta": beta, "lower": low, "upper": high},
            front.guarantee.assumptions,
            source="docs, mdp, section 'The front'",
        )
        frames.append(Frame(f"beta = {beta:g}", svg, numbers, _REMARKS[beta], proved))
    data = (
        "a grid of 4 x 12 cells; each step goes astray with probability 0.1 and costs 1, a fall costs 100, the walk ends "
        f"after 50 steps. All laws are exact; {front.n_policies} policies serve every risk parameter from -0.6 to 0.3, "
        f"found with {front.n_solves} solves."
    )
    return Exhibit(tuple(frames), data, front.guarantee, slider="Risk parameter: negative is careful", start=2)


def _draw_cliff(env: object, policy: np.ndarray, law: ReturnDistribution) -> Figure:
    from .plots import plot_policy_and_law

    with style(inline=True):
        return plot_policy_and_law(env, policy, law, _ALPHA)  # type: ignore[arg-type]


# -- the law of the return -----------------------------------------------------------------------

_SIZES = (5, 10, 30, 100, 300)
_KEPT = {"quantile": "quantiles", "categorical": "grid"}  # what a method keeps of a law


def projections(rng: np.random.Generator) -> Exhibit:
    """The exact law of the mean-optimal walk, and what two projections keep of it."""
    from . import evaluate, solve
    from .envs import Cliff

    mdp = Cliff().to_mdp()
    policy = solve(mdp).policy
    exact = evaluate(mdp, policy)
    frames = []
    for size in _SIZES:
        laws = {name: evaluate(mdp, policy, name, size) for name in _KEPT}  # type: ignore[arg-type]
        true = {name: _distance(law, exact) for name, law in laws.items()}
        numbers = {"exact": f"mean {exact.mean:.2f}, CVaR {exact.cvar(_ALPHA):.2f}"}
        for name, law in laws.items():
            numbers[_KEPT[name]] = (
                f"mean {law.mean:.2f}, CVaR {law.cvar(_ALPHA):.2f}; error {true[name]:.3g}, "
                f"at most {law.w1_error:.3g} by the certificate, {law.a_priori:.3g} by the bound known before"
            )
        alt = f"Distribution functions of the exact return and of two approximations with {size} atoms."
        svg = to_svg(_draw_laws(exact, laws), f"law-{size}", alt)
        frames.append(Frame(f"{size} atoms", svg, numbers, guarantee=laws["quantile"].guarantee))
    data = f"the policy with the best mean on the Cliff; its return takes {len(exact.atoms)} values, in two groups: walks and falls."
    return Exhibit(tuple(frames), data, laws["quantile"].guarantee, slider="Atoms kept at each step", start=2)


def _distance(law: ReturnDistribution, exact: ReturnDistribution) -> float:
    from scipy.stats import wasserstein_distance

    return float(wasserstein_distance(law.atoms, exact.atoms, law.weights, exact.weights))


def _draw_laws(exact: ReturnDistribution, laws: dict[str, ReturnDistribution]) -> Figure:
    from matplotlib.figure import Figure

    with style(inline=True):
        figure = Figure(figsize=(7.2, 3.8), layout="constrained")
        ax = figure.subplots()
        ax.step(exact.atoms, np.cumsum(exact.weights), where="post", color=PALETTE[5], linewidth=3, label="exact")
        for colour, (name, law) in zip(PALETTE, laws.items(), strict=False):
            ax.step(law.atoms, np.cumsum(law.weights), where="post", color=colour, label=_KEPT[name])
        ax.set_xlim(-150, 2)
        ax.set_xlabel("return")
        ax.set_ylabel("probability of at most this return")
        ax.legend()
    return figure


STOPS = (
    Stop(
        "cliff",
        "The Cliff",
        "How much distance from the edge is worth a longer way?",
        "A walker goes home along a cliff, and the wind blows. The best average keeps a row of distance. But who answers for the "
        "walk asks how bad the bad days are. The entropic risk has one parameter: 0 is the mean, negative is careful, positive is "
        "bold. It is the one family of risks that dynamic programming optimises exactly, and a few policies serve all its "
        "parameters. Move the slider and watch the path leave the edge.",
        "ailys mdp front env:ailys/Cliff-v0 --beta-min -0.6 --beta-max 0.3 --epsilon 0.1",
        cliff,
        seconds=5.0,
    ),
    Stop(
        "return-law",
        "More than an average",
        "What does a policy really earn?",
        "A policy does not have a return, it has a law of returns. Going backwards in time, the law of a state is a mixture of shifted "
        "laws of the next ones. When the atoms become too many, one keeps some: quantiles of equal mass, or a fixed grid. Each "
        "step then loses a little, and the losses add up to a bound that is known before and sharpened after the computation.",
        "ailys mdp evaluate env:ailys/Cliff-v0 policy.npy --method quantile --n-atoms 30",
        projections,
        seconds=2.0,
    ),
    CONTROL,
)
