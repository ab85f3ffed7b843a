"""Stops of the tour: the Fourier matrix taken apart exactly, a layer of a network approximately."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING

import numpy as np

from ..core.figures import PALETTE, style, to_svg
from ..core.stop import Exhibit, Frame, Stop
from .architecture import Chain
from .closed_forms import bit_reversal
from .factorization import ButterflyFactorization
from .factorize import butterfly
from .plots import draw_sparse
from .truncation import merge_factors

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
    assert isinstance(answer, ButterflyFactorization)
    speed = _speed(rng)
    depth = len(answer.chain)
    frames = []
    for peeled in range(depth):
        parts = [*answer.factors[:peeled], _product(answer, peeled)]
        n_params = sum(int(np.count_nonzero(np.abs(x) > 1e-12)) for x in parts)
        remaining = depth - peeled - 1
        frames.append(
            Frame(
                label=f"{len(parts)} matrix" if len(parts) == 1 else f"{len(parts)} factors",
                svg=to_svg(_draw_product(parts), f"fourier-{peeled}", _alt(len(parts))),
                numbers={
                    "numbers to store": f"{n_params}",
                    "of the full matrix": f"{100 * n_params / _ORDER**2:.0f} %",
                    "error of the product": f"{answer.relative_error:.0e}" if peeled else "0",
                    f"one product, order {_LARGE}": f"{speed[0]:.0f} µs full, {speed[1]:.0f} µs as butterflies",
                },
                remark=(
                    "Each square is a matrix; the darker a cell, the larger the number in it; empty cells are zeros. "
                    + ("The full matrix has no zero at all." if not peeled else "")
                    + (f"The last matrix still hides {remaining} more." if peeled and remaining else "")
                    + ("Nothing is left to split: two numbers in each row." if not remaining else "")
                ),
            )
        )
    return Exhibit(
        frames=tuple(frames),
        data=f"the Fourier matrix of order {_ORDER}, its columns in bit-reversed order, given to the algorithm as plain numbers.",
        guarantee=answer.guarantee,
        slider="Peel off factors",
    )


def _product(answer: ButterflyFactorization, start: int) -> np.ndarray:
    """Array of the product of the factors from ``start`` on."""
    chain = answer.chain
    z, pattern = answer.factors[-1], chain[len(chain) - 1]
    for l in range(len(chain) - 2, start - 1, -1):
        z = merge_factors(answer.factors[l], z, chain[l], pattern)
        pattern = chain[l] * pattern
    return z


def _draw_product(parts: list[np.ndarray]) -> Figure:
    from matplotlib.figure import Figure

    with style(inline=True):
        figure = Figure(figsize=(9, 2.2))
        ax = figure.add_axes((0, 0, 1, 1))
        right, gap = 0.0, 0.22 * _ORDER
        for position, x in enumerate(parts):
            a, b, c, d = x.shape
            dense = np.zeros((a, b, d, a, c, d), x.dtype)
            np.einsum("ibjicj->ibcj", dense)[...] = x
            colour = PALETTE[1] if position == len(parts) - 1 and len(parts) < 5 else PALETTE[0]
            right = draw_sparse(ax, dense.reshape(a * b * d, a * c * d), right, colour) + gap
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

_BUDGETS = (0.03, 0.0625, 0.125, 0.1875, 0.25, 0.375, 0.5)


def digits_layer(rng: np.random.Generator) -> Exhibit:
    """A trained layer replaced by butterflies of growing size: error, lower bound, accuracy."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier

    images, labels = load_digits(return_X_y=True)
    seed = int(rng.integers(2**31))
    train_x, test_x, train_y, test_y = train_test_split(
        images / 16, labels, test_size=0.3, stratify=labels, random_state=seed
    )
    network = MLPClassifier((256, 256), alpha=1e-3, learning_rate_init=2e-3, max_iter=40, batch_size=64, random_state=seed)
    network.n_iter_no_change = 40
    with warnings.catch_warnings():  # the number of passes is meant
        warnings.simplefilter("ignore")
        network.fit(train_x, train_y)
    dense_accuracy = network.score(test_x, test_y)
    layer = network.coefs_[1].copy()  # 256 x 256
    # what the layer sees in training: errors on directions that never occur do not matter
    hidden = np.maximum(train_x @ network.coefs_[0] + network.intercepts_[0], 0)
    row_weight = np.sqrt(np.mean(hidden**2, axis=0)) + 1e-6

    answers, accuracies = [], []
    for budget in _BUDGETS:
        answer = min(
            (butterfly(layer, chain, row_weight=row_weight) for chain in _candidates(budget)),
            key=lambda fact: fact.error,  # type: ignore[union-attr]
        )
        assert isinstance(answer, ButterflyFactorization)
        network.coefs_[1] = answer.toarray()
        accuracies.append(network.score(test_x, test_y))
        answers.append(answer)
    network.coefs_[1] = layer
    frames = []
    for i, (answer, accuracy) in enumerate(zip(answers, accuracies, strict=True)):
        share = answer.n_params / layer.size
        proof = "proved optimal" if answer.optimal else f"at most {answer.ratio:.3f} times the best possible"
        frames.append(
            Frame(
                label=f"{100 * share:.0f} % of the numbers",
                svg=to_svg(
                    _draw_tradeoff(answers, accuracies, dense_accuracy, i),
                    f"digits-{i}",
                    f"Left: error of the layer against its size, with the lower bound just below. Right: accuracy of "
                    f"the network; with {100 * share:.0f} % of the numbers it is {100 * accuracy:.1f} %.",
                ),
                numbers={
                    "numbers in the layer": f"{answer.n_params:,} of {layer.size:,}".replace(",", " "),
                    "weighted relative error": f"{answer.relative_error:.3f}",
                    "no butterfly of this kind below": f"{answer.lower_bound / answer.norm:.3f}",
                    "digits read correctly": f"{100 * accuracy:.1f} % (full: {100 * dense_accuracy:.1f} %)",
                },
                remark=f"Architecture {answer.chain}: {proof}.",
            )
        )
    start = 3
    return Exhibit(
        frames=tuple(frames),
        data="1 797 handwritten digits of 8 x 8 pixels that ship with scikit-learn (UCI, Alpaydin and Kaynak 1998); "
        "network 64-256-256-10 trained here; no retraining after the compression.",
        guarantee=answers[start].guarantee,
        slider="Size of the compressed layer",
        start=start,
    )


def _candidates(budget: float) -> list[Chain]:
    """Architectures of the layer within a budget: two factors with ranks, four factors, low rank."""
    n, limit = 256, budget * 256 * 256
    chains = [Chain.dyadic(n), Chain.low_rank((n, n), max(1, int(limit / (2 * n))))]
    for rank in (1, 2, 3):
        chains.append(Chain.from_splits((4,) * 4, (4,) * 4, rank))
    for k in (8, 16, 32):
        for rank in range(1, k):
            chains.append(Chain.monarch(n, p=(k, n // k), q=(n // k, k), rank=rank))
    fitting = [chain for chain in chains if chain.n_params <= limit and chain.n_params > 0.6 * limit]
    return fitting or [min(chains, key=lambda chain: chain.n_params)]


def _draw_tradeoff(answers: list[ButterflyFactorization], accuracies: list[float], full: float, now: int) -> Figure:
    from matplotlib.figure import Figure

    shares = [100 * a.n_params / (a.shape[0] * a.shape[1]) for a in answers]
    with style(inline=True):
        figure = Figure(figsize=(9, 3.5), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.plot(shares, [a.relative_error for a in answers], "o-", color=PALETTE[0], label="error")
        left.plot(shares, [a.lower_bound / a.norm for a in answers], "s--", color=PALETTE[2], markersize=4, label="lower bound")
        left.plot(shares[now], answers[now].relative_error, "o", markersize=13, color=PALETTE[1], alpha=0.55)
        left.set_ylabel("relative error of the layer")
        left.set_ylim(0, 1)
        left.legend(loc="upper right")
        right.plot(shares, [100 * a for a in accuracies], "o-", color=PALETTE[0], label="compressed")
        right.axhline(100 * full, color=PALETTE[5], linestyle=":", label="full layer")
        right.plot(shares[now], 100 * accuracies[now], "o", markersize=13, color=PALETTE[1], alpha=0.55)
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
        command="ailys butterfly factorize my-matrix.npy --chain dyadic --perm none,bitrev --out fast.safetensors",
        run=fourier,
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
        command="ailys butterfly chains 256x256 --budget 0.25 --matrix my-layer.npy",
        run=digits_layer,
    ),
)
