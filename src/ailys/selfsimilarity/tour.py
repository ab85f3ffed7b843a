"""Stops of self-similarity: signals with known exponents, brain waves, markets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..core.figures import PALETTE, style, to_svg
from ..core.optional import require
from ..core.stop import Exhibit, Frame, Stop

if TYPE_CHECKING:
    from .estimate import HurstEstimate

__all__ = ["STOPS"]


def known_truth(rng: np.random.Generator) -> Exhibit:
    """Four mixed channels with known exponents: scale range, correction on and off."""
    from matplotlib.figure import Figure

    from .hurst import estimate_hurst
    from .model import OperatorFractionalBrownianMotion
    from .plots import plot_exponents

    truth = np.array([0.3, 0.5, 0.7, 0.9])
    W = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    x = W @ OperatorFractionalBrownianMotion(truth, 0.2).sample(2**16, rng=rng)
    frames: list[Frame] = []
    for octaves in ((8, 11), (7, 10), (5, 10)):
        for corrected in (False, True):
            method = "bwavelet" if corrected else "wavelet"
            found = estimate_hurst(x, method=method, octaves=octaves, n_bootstrap=200, rng=1)
            alone = estimate_hurst(x, method="univariate", octaves=octaves, n_bootstrap=200, rng=1)
            label = f"octaves {octaves[0]} to {octaves[1]}, {'corrected' if corrected else 'classical'}"
            with style(inline=True):
                figure = Figure(figsize=(9, 3.7), layout="constrained")
                left, right = figure.subplots(1, 2, width_ratios=(1, 1.5))
                left.plot(x[:3].T[::64] / 100, linewidth=1)
                left.set(xlabel="time, in 64 samples", ylabel="three of four channels, in 100")
                plot_exponents({"all channels together": found, "each channel alone": alone}, right, truth=truth)
                right.set_ylim(0.05, 1.15)
            hits = int(np.sum((found.interval[:, 0] <= truth) & (truth <= found.interval[:, 1])))
            frames.append(
                Frame(
                    label,
                    to_svg(figure, f"known-truth-{len(frames)}", f"Exponents by {label}, with intervals, beside the true ones."),
                    {
                        "largest error": f"{np.abs(found.hurst - truth).max():.3f}",
                        "largest error, channels alone": f"{np.abs(alone.hurst_sorted - truth).max():.3f}",
                        "intervals with the truth inside": f"{hits} of 4",
                        "mean width of the intervals": f"{np.mean(found.interval[:, 1] - found.interval[:, 0]):.3f}",
                    },
                    "Each channel mixes all four components, so every channel alone shows the largest exponent. Classical eigenvalues repel each other where "
                    "coefficients are few. Finer octaves give shorter intervals; exponents nearer to each other would not have separated there yet.",
                    guarantee=found.guarantee,
                )
            )  # fmt: skip
    return Exhibit(
        frames=tuple(frames),
        data="operator fractional Brownian motion with exponents .3, .5, .7, .9, correlation .2, behind a random rotation, 65 536 samples.",
        guarantee=None,  # each frame states its own
        slider="Octaves and estimator",
        start=1,
    )


def brain_waves(rng: np.random.Generator) -> Exhibit:
    """Four channels of an electroencephalogram, at three ranges of scales."""
    from matplotlib import cbook

    from .hurst import estimate_hurst

    path = cbook.get_sample_data("eeg.dat", asfileobj=False)
    x = np.fromfile(str(path), float).reshape(800, 4).T
    frames = []
    for octaves in ((2, 5), (3, 5), (1, 4)):
        found = estimate_hurst(x, octaves=octaves, n_bootstrap=300, rng=rng)
        frames.append(
            _frame(
                found,
                "eeg",
                f"octaves {octaves[0]} to {octaves[1]}",
                "The intervals are wide, and the exponents move with the range of scales: over so few scales these signals are not self-similar. Only a longer recording could tell.",
            )
        )
    return Exhibit(
        frames=tuple(frames),
        data="four channels of an electroencephalogram, 800 samples each, that ship with Matplotlib; a demonstration, too short for more.",
        guarantee=None,  # each frame states its own
        slider="Scales",
    )


def markets(rng: np.random.Generator) -> Exhibit:
    """Two market indices over twenty years: prices and the size of their moves."""
    from .equality import equality_test
    from .hurst import estimate_hurst

    series = []
    for name in ("sp500", "nasdaq"):
        module = require(f"arch.data.{name}", extra="tour", purpose="the stop of the markets")
        series.append(np.log(module.load()["Adj Close"].to_numpy(float)))
    prices = np.array(series)
    size = np.log(np.abs(np.diff(prices, axis=1)) + 1e-4)
    frames = []
    for label, x, process, remark in (
        ("prices", prices, "motion", "Log prices wander much like a path without memory, whose exponent is one half."),
        ("size of the daily moves", size, "noise", "The size of the moves remembers: exponents above one half. Calm days follow calm days, for months."),
    ):  # fmt: skip
        found = estimate_hurst(x, octaves=(3, 8), process=process, n_bootstrap=300, rng=rng)
        test = equality_test(found)
        frames.append(_frame(found, "markets", label, remark, {"p-value, equal exponents": f"{test.p_value:.2f}"}))
    return Exhibit(
        frames=tuple(frames),
        data="daily closing values of the S&P 500 and the NASDAQ, 1999 to 2018, 5 031 days, that ship with arch.",
        guarantee=None,  # each frame states its own
        slider="What is analysed",
    )


def _frame(found: HurstEstimate, name: str, label: str, remark: str, more: dict[str, str] | None = None) -> Frame:
    from matplotlib.figure import Figure

    from .plots import plot_exponents, plot_lines

    with style(inline=True):
        figure = Figure(figsize=(9, 3.7), layout="constrained")
        left, right = figure.subplots(1, 2)
        plot_lines(found, left)
        plot_exponents({"exponent and 95 % interval": found}, right)
        right.axhline(0.5, color=PALETTE[5], linestyle=":")
    numbers = {
        f"H {m}": f"{h:.2f} ± {1.96 * e:.2f}"
        for m, (h, e) in enumerate(zip(found.hurst, found.standard_error, strict=True), start=1)
    }
    alt = f"Left: log2 eigenvalues against octaves with fitted lines. Right: exponents with intervals, {label}."
    return Frame(
        label, to_svg(figure, f"{name}-{label.replace(' ', '-')}", alt), numbers | (more or {}), remark, found.guarantee
    )


STOPS = (
    Stop(
        name="known-truth",
        title="Four hidden rhythms behind four mixed signals",
        question="If every sensor hears everything at once, can one still tell how rough each hidden source is?",
        story=(
            "A rough path looks the same at every zoom, and one number says how rough. Sensors mix the sources, so each sensor alone sees only the "
            "strongest. Looking at all of them together, scale by scale, along the directions in which they vary, brings the numbers back, with error bars."
        ),
        command="ailys selfsimilarity estimate x.npy --octaves 7 10 --bootstrap 500",
        run=known_truth,
        seconds=4,
    ),
    Stop(
        name="brain-waves",
        title="What eight hundred samples of a brain can say",
        question="How regular is the electricity of the brain, and how much of the answer is chance?",
        story=(
            "Four electrodes, a few seconds. The same method runs in a millisecond, and the interval around each number shows how little so short a recording "
            "can prove."
        ),
        command="ailys selfsimilarity estimate eeg.csv --octaves 2 5 --bootstrap 500 --plot eeg.png",
        run=brain_waves,
        seconds=2,
    ),
    Stop(
        name="markets",
        title="The memory of the markets",
        question="Do markets remember?",
        story=(
            "Prices forget: tomorrow's move does not follow from yesterday's. But their nervousness remembers for months. Two exponents with error bars tell "
            "the two apart."
        ),
        command="ailys selfsimilarity test prices.csv --octaves 3 8",
        run=markets,
        seconds=4,
    ),
)
