"""Stop of the tour: a network that reads digits, made smaller and smaller."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.figures import PALETTE, style, to_svg
from ..core.optional import require
from ..core.stop import Exhibit, Frame, Stop
from .plots import plot_layers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .report import CompressionResult

__all__ = ["STOPS"]

_BUDGETS = (0.6, 0.4, 0.25, 0.15, 0.1, 0.06)
_EPOCHS, _RETRAINED = 40, 8


def small_network(rng: np.random.Generator) -> Exhibit:
    """A trained network compressed to several budgets: without calibration, with it, and trained a little more."""
    torch = require("torch", extra="networks", purpose="this stop")
    from . import compress

    torch.set_num_threads(1)
    seed = int(rng.integers(2**31))
    torch.manual_seed(seed)
    data = _digits(torch, seed)
    network = torch.nn.Sequential(
        torch.nn.Linear(64, 256), torch.nn.ReLU(), torch.nn.Linear(256, 256), torch.nn.ReLU(), torch.nn.Linear(256, 10)
    )
    _train(torch, network, data, _EPOCHS, seed)
    full = _accuracy(torch, network, data)
    found: list[tuple[CompressionResult, float, float, float]] = []
    for budget in _BUDGETS:
        plain = _accuracy(torch, compress(network, budget=budget).model, data)
        result = compress(network, budget=budget, calibration=[data[0]])
        before = _accuracy(torch, result.model, data)
        student = copy.deepcopy(result.model)
        _train(torch, student, data, _RETRAINED, seed)
        found.append((result, plain, before, _accuracy(torch, student, data)))
    sizes = [result.model_params[1] for result, *_ in found]
    curves = {
        "trained a little more": [100 * each[3] for each in found],
        "inputs taken into account": [100 * each[2] for each in found],
        "plain": [100 * each[1] for each in found],
    }
    frames = []
    for i, (result, plain, before, after) in enumerate(found):
        share = f"{100 * sizes[i] / result.model_params[0]:.0f} %"
        worst = max((layer for layer in result.layers if layer.replaced), key=lambda layer: layer.relative_error)
        alt = (
            f"Left: share of the weights left, error and smallest possible error of the three layers. Right: digits read "
            f"correctly against the size of the network; at {share} of its size {100 * after:.1f} % after a little training."
        )
        frames.append(
            Frame(
                label=f"{share} of the network",
                svg=to_svg(_draw(result, sizes, curves, 100 * full, i), f"compression-{i}", alt),
                numbers={
                    "numbers in the network": f"{result.model_params[0]:_} before, {sizes[i]:_} now".replace("_", " "),
                    "digits read correctly": f"{100 * before:.1f} % (before: {100 * full:.1f} %)",
                    "after a little training": f"{100 * after:.1f} %",
                    "if the inputs are ignored": f"{100 * plain:.1f} %",
                    "largest error of a layer": f"{worst.relative_error:.2f}, and nobody can do better than {worst.lower_bound:.2f}",
                },
                remark=_remark(full, before, after),
                guarantee=result.guarantee,
            )
        )
    start = 2
    return Exhibit(
        frames=tuple(frames),
        data="1 797 handwritten digits of 8 x 8 pixels that ship with scikit-learn (UCI repository, Alpaydin and Kaynak "
        f"1998); a network 64-256-256-10 trained on 70 % of them for {_EPOCHS} passes, accuracy on the others. The inputs "
        f"taken into account are the training images without their labels; a little training is {_RETRAINED} passes with them.",
        guarantee=None,  # each frame states its own
        slider="Size of the network",
        start=start,
    )


def _remark(full: float, before: float, after: float) -> str:
    if before >= full - 0.01:
        return "Nothing is lost yet: the network had numbers to spare."
    if after >= full - 0.01:
        return "The smaller network reads worse at first, and as well as before once it is trained a little more."
    return "Here the network has become too small: training helps, but does not bring everything back."


def _digits(torch: Any, seed: int) -> tuple[Any, Any, Any, Any]:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(images / 16, labels, test_size=0.3, stratify=labels, random_state=seed)
    train_x, test_x = (torch.tensor(part, dtype=torch.float32) for part in parts[:2])
    return train_x, torch.tensor(parts[2]), test_x, torch.tensor(parts[3])


def _train(torch: Any, network: Any, data: tuple[Any, Any, Any, Any], epochs: int, seed: int) -> None:
    x, y = data[:2]
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        for batch in torch.randperm(len(x), generator=generator).split(64):
            loss = torch.nn.functional.cross_entropy(network(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()


def _accuracy(torch: Any, network: Any, data: tuple[Any, Any, Any, Any]) -> float:
    with torch.no_grad():
        return float((network(data[2]).argmax(1) == data[3]).double().mean())


def _draw(result: CompressionResult, sizes: list[int], curves: dict[str, list[float]], full: float, now: int) -> Figure:
    from matplotlib.figure import Figure

    with style(inline=True):
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        plot_layers(result.layers, left)
        names = ["64 to 256", "256 to 256", "256 to 10"]
        left.set_yticks(range(2, -1, -1), names)
        legend = left.get_legend()
        if legend is not None:
            legend.remove()
        left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=1)
        for (name, values), colour in zip(curves.items(), (PALETTE[2], PALETTE[1], PALETTE[5]), strict=True):
            right.plot(sizes, values, "o-", color=colour, markersize=4, label=name)
            right.plot(sizes[now], values[now], "o", color=colour, markersize=11, alpha=0.4)
        right.axhline(full, color=PALETTE[0], linestyle=":", label="whole network")
        right.set_xscale("log")
        ticks = [5_000, 10_000, 20_000, 50_000]
        right.set_xticks(ticks, [f"{t:,}".replace(",", " ") for t in ticks])
        right.minorticks_off()
        right.set_xlabel("numbers in the network")
        right.set_ylabel("digits read correctly, %")
        right.set_ylim(0, 103)
        right.legend(loc="lower right")
    return figure


STOPS = (
    Stop(
        name="smaller-network",
        title="A network on a diet",
        question="How small can a network become before it forgets what it has learnt?",
        story=(
            "A network that reads digits is a pile of tables of numbers. Each table is replaced by a product of sparse ones, "
            "and a budget says how many numbers may remain in all. The software shares the budget among the tables, says "
            "how much each has lost, and proves how little anyone could have lost with the same kind of factors."
        ),
        command="ailys compression compress weights.safetensors --budget 0.25 --out small.safetensors",
        run=small_network,
        seconds=12,
    ),
)
