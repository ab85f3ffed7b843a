"""Stop of the tour: a photograph seen through a transform in few bits, rounded naively and rescaled first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..butterfly import bit_reversal, dft_factors
from ..core.figures import PALETTE, style, to_svg
from ..core.stop import Exhibit, Frame, Stop
from .chain import quantize_chain
from .plots import METHOD_STYLE
from .quantized_chain import QuantizedChain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STOPS"]

_BITS = (2, 3, 4, 5)
_SIDE = 256


def photograph(rng: np.random.Generator) -> Exhibit:
    """An image taken to frequencies by few-bit butterflies, and back by the exact inverse."""
    image = _image()
    factors = dft_factors(_SIDE)
    naive = {t: quantize_chain(factors, t, method="rtn") for t in _BITS}
    best = {t: quantize_chain(factors, t) for t in _BITS}
    frames = []
    for t in _BITS:
        seen = [_through(answer, image) for answer in (naive[t], best[t])]
        contrast = float(np.linalg.norm(image - image.mean()))
        errors = [float(np.linalg.norm(one - image)) / contrast for one in seen]
        figure = _draw(image, seen, naive, best, t)
        alt = f"The photograph through rounded butterflies with {t} bits: entry by entry {_percent(errors[0])} off, rescaled {_percent(errors[1])}."
        frames.append(
            Frame(
                label=f"{t} bits",
                svg=to_svg(figure, f"quantized-{t}", alt),
                numbers={
                    "error of the transform, rounded naively": _percent(naive[t].error),
                    "rescaled before rounding": _percent(best[t].error),
                    "error of the picture, compared with its contrast": f"{_percent(errors[0])} against {_percent(errors[1])}",
                    "all that is stored": f"{best[t].bits.bytes / 1000:.1f} kB ({best[t].bits_per_weight / 2:.1f} bits a real number)",
                },
                remark=_remark(t),
                guarantee=best[t].guarantee,
            )
        )
    return Exhibit(
        frames=tuple(frames),
        data=(
            "a photograph that ships with scikit-learn, 256 x 256 grey values, and the Fourier transform of order 256 as "
            "eight butterfly factors. The picture goes to frequencies and back; the way there uses the rounded factors, "
            "along both axes, the way back is exact."
        ),
        guarantee=None,  # each frame states its own
        slider="Significant bits",
        start=0,
    )


def _image() -> np.ndarray:
    from sklearn.datasets import load_sample_image

    grey = load_sample_image("china.jpg").mean(axis=2) / 255
    return np.asarray(grey[80 : 80 + _SIDE, 180 : 180 + _SIDE])


def _through(answer: QuantizedChain, image: np.ndarray) -> np.ndarray:
    """The picture after the rounded transform along both axes and the exact inverse."""

    order = bit_reversal(_SIDE)  # the factors give the transform with its columns in this order

    def along_columns(x: np.ndarray) -> np.ndarray:
        return answer.matvec(x[order])

    frequencies = along_columns(along_columns(image.astype(complex)).T).T
    return np.asarray(np.fft.ifft2(frequencies).real)


def _draw(
    image: np.ndarray,
    seen: list[np.ndarray],
    naive: dict[int, QuantizedChain],
    best: dict[int, QuantizedChain],
    now: int,
) -> Figure:
    from matplotlib.figure import Figure

    with style(inline=True):
        figure = Figure(figsize=(9, 3.1), layout="constrained")
        left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.15))
        for ax, picture, title in (
            (left, seen[0], METHOD_STYLE["rtn"][0]),
            (middle, seen[1], "rescaled first"),
        ):
            ax.imshow(picture, cmap="gray", vmin=0, vmax=1)
            ax.set_title(title)
            ax.set_axis_off()
        for answers, name, label in ((naive, "rtn", "entry by entry"), (best, "beam", "rescaled first")):
            errors = [answers[t].error for t in _BITS]
            right.semilogy(_BITS, errors, "o-", color=METHOD_STYLE[name][1], markersize=4, label=label)
            right.plot(now, answers[now].error, "o", markersize=12, color=PALETTE[1], alpha=0.5)
        right.set_xlabel("significant bits")
        right.set_ylabel("error of the transform")
        right.set_xticks(_BITS)
        right.legend()
    return figure


def _percent(value: float) -> str:
    return f"{100 * value:.2g} %"


def _remark(t: int) -> str:
    if t == _BITS[0]:
        return "Two bits: each number is 2 or 3 times a power of two. Naive rounding leaves stripes and ghosts in the picture."
    if t == _BITS[-1]:
        return "Hardly an eye sees a difference any more, but the curves keep drifting apart."
    return "On the right: the lower curve reaches the same error with at least a third fewer significant bits."


STOPS = (
    Stop(
        name="few-bits",
        title="The same precision with fewer bits",
        question="How many bits does a number really need, when it is only ever multiplied by others?",
        story=(
            "Numbers in a computer are rounded to a few binary digits. If two numbers are only used as a product, one of "
            "them may be doubled and the other halved, or made 1.3 times larger and smaller: the product is the same, but the "
            "rounding errors are not. Among all these choices the algorithm finds the best one, and proves it for two factors. "
            "For the small blocks of a Fourier transform the same precision then takes at least a third fewer significant bits."
        ),
        command="ailys quantization chain factors.npz --bits 4 --out Q.safetensors",
        run=photograph,
        seconds=10,
    ),
)
