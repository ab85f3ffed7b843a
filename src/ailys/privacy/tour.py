"""Stops of the tour: how often people see a doctor, published under privacy; the price of privacy."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from ..core.answer import readable
from ..core.figures import PALETTE, style, to_svg
from ..core.optional import require
from ..core.stop import Exhibit, Frame, Stop
from .quantile import PrivateQuantiles, quantiles
from .research import jointexp, rank_error
from .tour_price import STOPS as PRICE_STOPS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STOPS"]

_BUDGETS = ("0.001", "0.003", "0.01", "0.03", "0.1", "0.3", "1")
_LEVELS = tuple(Fraction(k, 20) for k in range(1, 20))
_TOP = 100  # visits a year that nobody exceeds, chosen without looking
_SHOWN = 25


def doctor_visits(rng: np.random.Generator) -> Exhibit:
    """Nineteen quantiles of visits to doctors, for growing budgets, beside the same mechanism without dither."""
    sets = require("statsmodels.datasets", extra="tour", purpose="this stop")
    visits = sets.randhie.load_pandas().data["mdvis"].to_numpy(dtype=float)
    p = np.array([float(q) for q in _LEVELS])
    truth = np.quantile(visits, p, method="inverted_cdf")
    frames = []
    for budget in _BUDGETS:
        # the data are public: seeded, so that the page can be made again
        answer = quantiles(
            visits, _LEVELS, bounds=(0, _TOP), resolution=1, neighbours="replace", epsilon=budget, method="jointexp", unsafe_rng=rng
        )  # fmt: skip
        raw = jointexp(visits, _LEVELS, bounds=(0, _TOP), epsilon=budget, neighbours="replace", rng=rng)
        ours, theirs = rank_error(visits, p, answer.values), rank_error(visits, p, np.round(raw))
        wrong = int(np.count_nonzero(answer.values != truth))
        frames.append(
            Frame(
                label=f"ε = {budget}",
                svg=to_svg(
                    _draw(answer, raw, truth, p),
                    f"visits-{budget}",
                    f"Levels against visits a year: the truth as a staircase, {len(p) - wrong} of {len(p)} released quantiles on it at "
                    f"epsilon {budget}; those released without dither lie apart from it.",
                ),
                numbers={
                    "quantiles released": f"{len(p)}, {wrong} of them not the true one",
                    "records between released and true": f"{ours.mean():.3g} on average, {ours.max():.3g} at most",
                    "the same without dither": f"{readable(round(theirs.mean()))} on average, {readable(round(theirs.max()))} at most",
                    "what one person changes": f"odds of any answer by a factor of at most {np.exp(float(budget)):.4g}",
                },
                remark=_remark(budget, wrong),
                guarantee=answer.guarantee,
            )
        )
    return Exhibit(
        frames=tuple(frames),
        data=(
            f"visits to doctors in a year, {readable(len(visits))} records of the RAND health insurance experiment (randhie in statsmodels): "
            f"{100 * np.mean(visits == 0):.0f} % are zero. The data are public, so the truth can be shown and the noise is seeded."
        ),
        guarantee=None,  # each frame states its own
        slider="Privacy budget",
        start=4,
    )


def _remark(budget: str, wrong: int) -> str:
    if float(budget) < 0.01:
        return "A tiny budget: the answers are rough, and nobody could learn anything about anybody."
    if wrong:
        return f"{wrong} of the {len(_LEVELS)} quantiles {'is' if wrong == 1 else 'are'} not the true one; each record is protected."
    return (
        "All quantiles are exact although they are private: where thousands have the same number of visits, one person more or less "
        "changes nothing. Without dither the same mechanism looks for room between equal records, and finds it only where people are few."
    )


def _draw(answer: PrivateQuantiles, raw: np.ndarray, truth: np.ndarray, p: np.ndarray) -> Figure:
    from matplotlib.figure import Figure

    with style(inline=True):
        figure = Figure(figsize=(7.5, 3.6), layout="constrained")
        ax = figure.subplots()
        ax.step(np.r_[truth, truth[-1]], np.r_[p, 1], where="post", color=PALETTE[5], linewidth=1.2, label="truth")
        ax.plot(
            np.minimum(raw, _SHOWN), p, "x", color=PALETTE[1], markersize=6, label="JointExp on the data as they are"
        )
        ax.plot(
            np.minimum(answer.values, _SHOWN),
            p,
            "o",
            color=PALETTE[0],
            markersize=5,
            label="released: dithered, rounded",
        )
        ax.set_xlim(-0.7, _SHOWN + 0.7)
        ax.set_ylim(0, 1)
        ax.set_xlabel(f"visits to doctors in a year ({_SHOWN} stands for {_SHOWN} and more)")
        ax.set_ylabel("share of people with at most so many")
        ax.legend(loc="lower right")
    return figure


STOPS = (
    Stop(
        name="doctor-visits",
        title="Private quantiles that survive atoms",
        question="Can a hospital publish how often people see a doctor, without telling anything about anyone?",
        story=(
            "Differential privacy adds chance to an answer, so that it would have come out nearly as likely without you in the data. The budget "
            "ε says how nearly. Quantiles are harder than averages: a third of the people have no visit at all, and thousands share "
            "each small number. Mechanisms that look for gaps between records find none inside such atoms. Here each record first gets a "
            "random place inside its own cell; the mechanism draws all quantiles at once, and rounding takes the chance back."
        ),
        command=(
            "ailys privacy quantiles visits.csv --column mdvis --bounds 0 100 --resolution 1 --neighbours replace --epsilon 0.1 "
            "-q 0.25 -q 0.5 -q 0.75 --ledger budget.db"
        ),
        run=doctor_visits,
        seconds=5,
    ),
    *PRICE_STOPS,
)
