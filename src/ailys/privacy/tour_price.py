"""A stop of the tour: the price of privacy, for four questions asked to the same number of people."""

from __future__ import annotations

import numpy as np

from ..core.answer import readable
from ..core.figures import style, to_svg
from ..core.stop import Exhibit, Frame, Stop

__all__ = ["STOPS"]

_N = 1000
_QUESTIONS = {
    "bernoulli": (
        "a share of people",
        "A share is cheap to protect: above a small epsilon the noise drowns in the chance of who was asked.",
    ),
    "gaussian_mean": (
        "an average",
        "An average costs little more than a share: most people are near the middle, and the few far away are clipped.",
    ),
    "uniform_support": (
        "the largest value",
        "The largest value is one person's: without privacy it is found with great precision, and privacy takes most of that away.",
    ),
    "density": (
        "a whole distribution",
        "A distribution asks many questions at once; the histogram answers with fewer, wider bins.",
    ),
}


def price(rng: np.random.Generator) -> Exhibit:
    """Achieved risk and lower bounds of each question, for budgets from 0.005 to 5."""
    from matplotlib.figure import Figure

    from .price import price_of_privacy

    budgets = np.geomspace(0.005, 5, 13)
    frames = []
    for problem, (name, remark) in _QUESTIONS.items():
        answer = price_of_privacy(problem, _N, budgets)
        one = price_of_privacy(problem, _N, [1.0])
        with style(inline=True):
            figure = Figure(figsize=(7, 3.8), layout="constrained")
            answer.plot(figure.subplots()).set_title(f"{name}; {readable(_N)} records")
        crossing = "not in this range" if answer.crossing is None else f"below epsilon = {answer.crossing:.2g}"
        crossing = "at every epsilon shown" if answer.crossing == budgets[-1] else crossing
        numbers = {
            "people": readable(_N),
            "risk of a private release at epsilon = 1": f"{one.achieved[0]:.3g}",
            "no private release risks less than": f"{one.private_bound[0]:.3g}",
            "nor does any release without privacy": f"{one.nonprivate_bound[0]:.3g}",
            "privacy must cost": crossing,
        }
        alt = f"Risk against epsilon for {name}: achieved by a private release, and two lower bounds, with and without privacy."
        frames.append(Frame(name, to_svg(figure, f"price-{problem}", alt), numbers, remark, answer.guarantee))
    return Exhibit(
        frames=tuple(frames),
        data=f"no data: laws of {readable(_N)} independent records, one of which may be replaced. The risk of the largest value is simulated, "
        "the others are formulas.",
        guarantee=None,  # each frame states its own
        slider="Question",
    )


STOPS = (
    Stop(
        name="price-of-privacy",
        title="What privacy costs",
        question="How much worse must an answer be so that nobody can tell whether you are in the data?",
        story=(
            "Private answers carry noise. A lower bound says how much any method must lose: two populations that differ in few people must look "
            "alike after the release. Where this bound leaves the one without privacy, privacy begins to cost; for some questions late, for others "
            "at once."
        ),
        command="ailys privacy price uniform_support --n 1000 --plot price.svg",
        run=price,
        seconds=5,
    ),
)
