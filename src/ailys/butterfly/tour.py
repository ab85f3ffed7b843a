"""Stops of the tour: the Fourier matrix taken apart exactly, a layer of a network approximately."""

from __future__ import annotations

import itertools
import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.figures import PALETTE, style, to_svg
from ..core.stop import Exhibit, Frame, Stop
from .architecture import Chain
from .factorization import ButterflyFactorization
from .factorize import butterfly
from .plots import draw_sparse
from .truncation import dense_of, product_array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STOPS"]

# -- the Fourier matrix --------------------------------------------------------------------------

_ORDER = 32  # small enough to see every entry
_LARGE = 2048  # large enough to feel the difference


def fourier(rng: np.random.Generator) -> Exhibit:
    """The discrete Fourier transform, peeled into its butterfly factors one at a time."""
    import scipy.linalg

    answer = butterfly(scipy.linalg.dft(_ORDER), "dyadic", perm="bitrev", order="left")
    speed = _speed(rng)
    depth = len(answer.chain)
    frames = []
    for peeled in range(depth):
        parts = [*answer.factors[:peeled], product_array(answer.factors, answer.chain, peeled)]
        n_params = sum(int(np.count_nonzero(np.abs(x) > 1e-12)) for x in parts)
        remaining = depth - peeled - 1
        frames.append(
            Frame(
                label=f"{len(parts)} matrix" if len(parts) == 1 else f"{len(parts)} factors",
                svg=to_svg(_draw_product(parts), f"fourier-{peeled}", _alt(len(parts))),
                numbers={
                    "numbers to store": f"{n_params}",
                    "compared with the full table": f"{100 * n_params / _ORDER**2:.0f} %",
                    "error of the product": f"{answer.relative_error:.0e}" if peeled else "none",
                    f"time at order {_LARGE}": f"{speed[0]:.0f} µs full, {speed[1]:.0f} µs as butterflies",
                },
                remark=(
                    "Each square is a matrix. A colour is an angle: the numbers are complex; empty cells are zeros. "
                    + ("The full matrix has no zero at all." if not peeled else "")
                    + (f"The last matrix still hides {remaining} more." if peeled and remaining else "")
                    + ("Nothing is left to split: two numbers in each row." if not remaining else "")
                ),
            )
        )
    return Exhibit(
        frames=tuple(frames),
        data=(
            f"the Fourier matrix of order {_ORDER}, its columns in bit-reversed order, given to the algorithm as plain "
            f"numbers. The times are of products with random tables of order {_LARGE}, full and as butterflies."
        ),
        guarantee=answer.guarantee,
        slider="Peel off factors",
        start=2,
    )


def _draw_product(parts: list[np.ndarray]) -> Figure:
    from matplotlib.figure import Figure

    with style(inline=True):
        figure = Figure(figsize=(9, 2.2))
        ax = figure.add_axes((0, 0, 1, 1))
        right, gap = 0.0, 0.22 * _ORDER
        for x in parts:
            right = draw_sparse(ax, dense_of(x), right) + gap
        ax.set_xlim(-0.5, max(right - gap, 5 * _ORDER + 4 * gap) + 0.5)
        ax.set_ylim(_ORDER + 0.5, -0.5)
        ax.set_axis_off()
    return figure


def _alt(count: int) -> str:
    if count == 1:
        return "The full Fourier matrix: every cell is filled."
    return f"{count} matrices in a row whose product is the Fourier matrix; all but the last have two filled cells in each row."


def _speed(rng: np.random.Generator) -> tuple[float, float]:
    """Microseconds of one product with a vector: full matrix, butterflies (a random dyadic product)."""
    chain = Chain.dyadic(_LARGE)
    factors = [rng.standard_normal(tuple(p)).astype(np.float32) for p in chain]
    from .operator import ButterflyOperator

    operator = ButterflyOperator(factors, chain, plan="fused")
    matrix = rng.standard_normal((_LARGE, _LARGE)).astype(np.float32)
    x = rng.standard_normal(_LARGE).astype(np.float32)
    return _microseconds(lambda: matrix @ x), _microseconds(lambda: operator @ x)


def _microseconds(function: object) -> float:
    best = np.inf
    for _ in range(30):
        start = time.perf_counter()
        function()  # type: ignore[operator]
        best = min(best, time.perf_counter() - start)
    return 1e6 * best


# -- a layer of a network ------------------------------------------------------------------------

_BUDGETS = (0.04, 0.0625, 0.1, 0.15, 0.2, 0.3, 0.4)
_FAMILIES = {"four factors": PALETTE[0], "two factors": PALETTE[3], "low rank": PALETTE[5]}


def digits_layer(rng: np.random.Generator) -> Exhibit:
    """A trained layer replaced by butterflies of growing size: error, lower bound, accuracy."""
    network, test_x, test_y, row_weight = _train(rng)
    full_accuracy = network.score(test_x, test_y)
    layer = network.coefs_[1].copy()  # 256 x 256
    curves: dict[str, list[tuple[ButterflyFactorization, float]]] = {name: [] for name in _FAMILIES}
    for budget in _BUDGETS:
        for name, chains in _candidates(budget * layer.size).items():
            answers = [butterfly(layer, chain, row_weight=row_weight) for chain in chains]
            answer = min(answers, key=lambda one: one.error)
            network.coefs_[1] = answer.toarray()
            curves[name].append((answer, network.score(test_x, test_y)))
    frames = []
    for i, budget in enumerate(_BUDGETS):
        deep, accuracy = curves["four factors"][i]
        flat, flat_accuracy = curves["low rank"][i]
        share = f"{100 * budget:.3g} %"
        frames.append(
            Frame(
                label=f"{share} of the numbers",
                svg=to_svg(
                    _draw_tradeoff(curves, full_accuracy, i),
                    f"digits-{i}",
                    f"Left: relative error of the layer against its size for three architectures, and the lower bound of "
                    f"the four-factor one just below its curve. Right: accuracy of the network. At {share} four factors "
                    f"have error {deep.relative_error:.2f} and the network reads {100 * accuracy:.1f} % of the digits.",
                ),
                numbers={
                    "numbers stored, of 65 536": f"{deep.n_params:,}".replace(",", " "),
                    "error, four factors": f"{deep.relative_error:.3f}",
                    "smallest possible: at least": f"{deep.lower_bound / deep.norm:.3f}",
                    "digits read correctly": f"{100 * accuracy:.1f} % (full layer: {100 * full_accuracy:.1f} %)",
                    "error, low rank": f"{flat.relative_error:.3f}",
                    "digits, low rank": f"{100 * flat_accuracy:.1f} %",
                },
                remark=f"Four factors here are {deep.chain}: at most {deep.ratio:.3f} times the best possible error. "
                + _comparison(deep, flat),
                guarantee=deep.guarantee,
            )
        )
    start = 3
    return Exhibit(
        frames=tuple(frames),
        data="1 797 handwritten digits of 8 x 8 pixels that ship with scikit-learn (UCI repository, Alpaydin and Kaynak "
        "1998); network 64-256-256-10 trained on 70 % of them; accuracy on the others, without any retraining. Errors "
        "are weighted by the activity of the inputs of the layer.",
        guarantee=None,  # each frame states its own
        slider="Size of the compressed layer",
        start=start,
    )


def _comparison(deep: ButterflyFactorization, flat: ButterflyFactorization) -> str:
    """What the numbers say of four factors against low rank at the same size."""
    if deep.lower_bound / deep.norm > flat.relative_error:
        return (
            "Low rank does better on this layer, and the lower bound shows that no cleverer search could change that."
        )
    if deep.relative_error > flat.relative_error:
        return "Low rank does better on this layer."
    return "Here they do better than low rank."


def _train(rng: np.random.Generator) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray]:
    """The network, its test set, and the root mean square of each input of its middle layer."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier

    images, labels = load_digits(return_X_y=True)
    seed = int(rng.integers(2**31))
    train_x, test_x, train_y, test_y = train_test_split(
        images / 16, labels, test_size=0.3, stratify=labels, random_state=seed
    )
    network = MLPClassifier(
        (256, 256),
        alpha=1e-3,
        learning_rate_init=2e-3,
        max_iter=40,
        n_iter_no_change=40,
        batch_size=64,
        random_state=seed,
    )
    with warnings.catch_warnings():  # the number of passes is meant
        warnings.simplefilter("ignore")
        network.fit(train_x, train_y)
    hidden = np.maximum(train_x @ network.coefs_[0] + network.intercepts_[0], 0)
    return network, test_x, test_y, np.sqrt(np.mean(hidden**2, axis=0)) + 1e-6


def _candidates(limit: float) -> dict[str, list[Chain]]:
    """Architectures of the 256 x 256 layer with at most ``limit`` parameters, near to it where possible."""
    n = 256
    families = {
        "four factors": [
            Chain.from_splits((4,) * 4, (4,) * 4, ranks)
            for ranks in itertools.product((1, 2, 3), range(1, 8), (1, 2, 3))
        ],
        "two factors": [
            Chain.monarch(n, p=(k, n // k), q=(n // k, k), rank=rank) for k in (4, 8, 16) for rank in range(1, n // k)
        ],
        "low rank": [Chain.low_rank((n, n), rank) for rank in range(1, n // 2)],
    }
    chosen = {}
    for name, chains in families.items():
        sizes = np.array([chain.n_params for chain in chains])
        fitting = sizes[sizes <= limit]
        top = fitting.max() if fitting.size else sizes.min()
        chosen[name] = [chain for chain, size in zip(chains, sizes, strict=True) if 0.85 * top <= size <= top]
    return chosen


def _draw_tradeoff(curves: dict[str, list[tuple[ButterflyFactorization, float]]], full: float, now: int) -> Figure:
    from matplotlib.figure import Figure

    with style(inline=True):
        figure = Figure(figsize=(9, 3.7), layout="constrained")
        left, right = figure.subplots(1, 2)
        for name, colour in _FAMILIES.items():
            answers, accuracies = zip(*curves[name], strict=True)
            shares = [100 * a.n_params / 256**2 for a in answers]
            left.plot(shares, [a.relative_error for a in answers], "o-", color=colour, markersize=4, label=name)
            right.plot(shares, [100 * a for a in accuracies], "o-", color=colour, markersize=4, label=name)
            if name == "four factors":
                bounds = [a.lower_bound / a.norm for a in answers]
                left.plot(shares, bounds, "--", color=PALETTE[2], label="nobody below this (four factors)")
                left.plot(shares[now], answers[now].relative_error, "o", markersize=14, color=PALETTE[1], alpha=0.5)
                right.plot(shares[now], 100 * accuracies[now], "o", markersize=14, color=PALETTE[1], alpha=0.5)
        left.set_ylabel("relative error of the layer")
        left.set_ylim(0, 1)
        left.legend(loc="lower left")
        right.axhline(100 * full, color=PALETTE[2], linestyle=":", label="full layer")
        right.set_ylabel("digits read correctly, %")
        right.set_ylim(0, 102)
        right.legend(loc="lower right")
        for ax in (left, right):
            ax.set_xlabel("size, % of the full layer")
            ax.set_xlim(0, None)
    return figure


STOPS = (
    Stop(
        name="fourier",
        title="The butterfly inside the Fourier transform",
        question="Why can your phone take a sound apart into its tones in no time?",
        story=(
            "Taking a signal apart into frequencies means multiplying it by a large table of numbers. The table has a "
            "hidden structure: it is a product of very sparse tables that look like butterfly wings. Here the algorithm "
            "is handed the bare numbers, knows nothing of Fourier, and finds the fast transform again, exactly."
        ),
        command="ailys butterfly factorize A.npy --perm none,bitrev --out F.safetensors",
        run=fourier,
        seconds=2,
    ),
    Stop(
        name="digits-layer",
        title="A smaller layer, and how far it can be from the best",
        question="How much of a neural network can we throw away, and how would we know that we did it well?",
        story=(
            "A network that reads handwritten digits spends most of its work on one table of 65 536 numbers. We replace "
            "it by products of sparse factors of a chosen size. The algorithm says how large the error is, and also how "
            "small it could possibly be for anyone: where the two meet, there is nothing left to gain."
        ),
        command="ailys butterfly chains 256x256 --budget 0.25 --matrix A.npy",
        run=digits_layer,
        seconds=9,
    ),
)
