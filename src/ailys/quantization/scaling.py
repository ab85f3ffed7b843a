"""Search for the best scaling of a rank-one matrix ``x y^T``: which search fits which numbers.

Every function takes vectors whose largest entries are near 1 and returns a `Scaling`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ._codebook_kernels import codebook_search
from ._compare_kernels import compare_scalings
from ._complex_kernels import complex_search
from ._slab_kernels import KEPT, n_slabs_for, search_slabs
from ._sweep_kernels import sweep
from .formats import Codebook, FloatFormat

__all__ = [
    "MAX_BREAKPOINTS",
    "OCTAVES",
    "Scaling",
    "SearchTooLong",
    "best_in_codebook",
    "best_scaling",
    "best_scaling_complex",
]

Array = np.ndarray
MAX_BREAKPOINTS = 2 * 10**8
OCTAVES = 6  # how far below the larger part of the leading complex entry the smaller one is searched

_SHORT = 16  # vectors up to this length are swept directly
_SWEPT = 1e8  # roundings times entries that a direct sweep may take
_FINE = 16  # above, prefix sums in double precision lose the differences
_SAMPLES = 2**14
_LARGEST = 64


class SearchTooLong(ValueError):
    """An exact search would compare more roundings than ``max_breakpoints``."""

    def __init__(self, size: float, most: float, advice: str = "") -> None:
        self.what, self.advice = f"an exact search would compare about {size:.2g} roundings", advice
        other = advice or "use method='sampled'"
        super().__init__(f"{self.what}, more than max_breakpoints = {most:.2g}; raise it, or {other}")


class SearchTooFine(SearchTooLong):
    """An exact search with more significant bits than sums in double precision tell apart."""

    def __init__(self, t: int) -> None:
        self.what, self.advice = f"an exact search takes at most {_FINE} significant bits, and {t} are asked for", ""
        ValueError.__init__(self, f"{self.what}; use method='sampled'")


class Scaling(NamedTuple):
    """``x_hat = round(lam x)``, ``y_hat = round(mu y)``, and how many roundings were compared."""

    x_hat: Array
    y_hat: Array
    lam: complex
    mu: complex
    met: int
    optimal: bool


def best_scaling(
    x: Array, y: Array, wx: Array, wy: Array, t: int, ty: int, method: str, max_breakpoints: int
) -> Scaling:
    """Real vectors, unbounded exponents. ``ty = 0``: the second vector is not rounded."""
    rounded = ty > 0
    if rounded and y.size < x.size and wy.all():  # the shorter vector is cheaper to sweep; the optimum is the same
        other = best_scaling(y, x, wy, wx, ty, t, method, max_breakpoints)
        return Scaling(other.y_hat, other.x_hat, other.mu, other.lam, other.met, other.optimal)
    keep, keep_y = x != 0, y != 0
    size = int(keep.sum()) + (int(keep_y.sum()) if rounded else 0)
    if method == "exact" and size * 2.0 ** (max(t, ty) - 1) > max_breakpoints:
        raise SearchTooLong(size * 2.0 ** (max(t, ty) - 1), max_breakpoints)
    if method == "exact" and keep.sum() <= _SHORT and keep.sum() * 2.0 ** (t - 1) * max(size, 1) <= _SWEPT:
        x_hat, y_hat = np.empty_like(x), np.empty_like(y)
        lam, mu, _, _, met = sweep(x, wx, y, wy, t, ty, x_hat, y_hat, np.empty((5, x.size)), t)
        return Scaling(x_hat, y_hat if rounded else mu * y, lam, mu, int(met), True)
    if method == "exact" and t > _FINE:
        raise SearchTooFine(t)
    ax, ay = np.abs(x[keep]), np.abs(y[keep_y])
    weights, weights_y = wx[keep], wy[keep_y]
    # simple candidates besides: no scaling, and each of the largest entries made a power of two
    largest = ax[np.argsort(ax)[: -KEPT - 1 : -1]]
    simple = np.concatenate([[1.0], 0.5 / np.frexp(largest)[0]])
    if method == "exact":
        costs, lams = np.full(KEPT, np.inf), np.ones(KEPT)
        n_slabs = n_slabs_for(ax.size, t)
        met = search_slabs(ax, weights, ay, weights_y, t, ty, 0, n_slabs, n_slabs, costs, lams)
    else:
        lams = np.concatenate([1 + np.arange(_SAMPLES) / _SAMPLES, _steps(ax[np.argsort(ax)[-_LARGEST:]], t)])
        met = lams.size
    candidates = np.concatenate([simple, lams])
    if candidates.size > 64:  # compare all, alternate from the best one only
        lam, _, _ = compare_scalings(ax, weights, ay, weights_y, t, ty, candidates, 0)
        candidates = np.array([1.0, lam])
    lam, mu, _ = compare_scalings(ax, weights, ay, weights_y, t, ty, candidates, 8)
    fmt, fmt_y = FloatFormat(t), FloatFormat(max(ty, 1))
    return Scaling(
        fmt.nearest(lam * x), fmt_y.nearest(mu * y) if rounded else mu * y, lam, mu, int(met), method == "exact"
    )


def _steps(entries: Array, t: int) -> Array:
    """Scalings just behind the steps of some entries, if they are not too many."""
    if entries.size * 2 ** (t - 1) > _SAMPLES:
        return np.empty(0)
    grid = 2 ** (t - 1) + np.arange(2 ** (t - 1)) + 0.5
    ratios = grid[None, :] * 2.0 ** (1 - t) / (2 * np.frexp(entries)[0][:, None])
    ratios = np.where(ratios < 1, 2 * ratios, ratios).ravel()
    return ratios * (1 + 1e-12)


def best_in_codebook(
    x: Array, y: Array, wx: Array, wy: Array, levels: Array, ylevels: Array, *, rounded: bool, max_breakpoints: int
) -> Scaling:
    """Real vectors on finite codebooks."""
    if rounded and y.size < x.size and wy.all():
        other = best_in_codebook(y, x, wy, wx, ylevels, levels, rounded=rounded, max_breakpoints=max_breakpoints)
        return Scaling(other.y_hat, other.x_hat, other.mu, other.lam, other.met, other.optimal)
    both_signs = not (_symmetric(levels) and _symmetric(ylevels))
    n_steps = int((x != 0).sum()) * (levels.size - 1)
    n_steps_y = int((y != 0).sum()) * (ylevels.size - 1) if rounded else 0
    if n_steps + n_steps_y > max_breakpoints:
        raise SearchTooLong(n_steps + n_steps_y, max_breakpoints, "use shorter vectors")
    x_hat, y_hat = np.empty_like(x), np.empty_like(y)
    if n_steps * (x.size + y.size) <= _SWEPT:
        lam, mu, _, _, met = codebook_search(x, wx, y, wy, levels, ylevels, rounded, both_signs, 0.0, x_hat, y_hat)
        return Scaling(x_hat, y_hat if rounded else mu * y, lam, mu, int(met), True)
    return _by_sums(x, y, wx, wy, levels, ylevels, rounded, both_signs)


def _by_sums(
    x: Array, y: Array, wx: Array, wy: Array, levels: Array, ylevels: Array, rounded: bool, both_signs: bool
) -> Scaling:
    """Long vectors: sums of all steps in order, then the best few compared from residuals."""
    book, ybook = Codebook(levels), Codebook(ylevels)
    met, best = 0, (np.inf, 0.0, 0.0)
    ny = float(wy @ y**2) if rounded else 1.0
    at_zero = float(wy.sum()) * float(ybook.nearest(np.zeros(1))[0]) ** 2 if rounded else 0.0
    if not book.nearest(np.zeros(1)).any():  # the zero vector loses everything
        best = (ny * float(wx @ x**2), 0.0, 0.0)
    for sign in (1.0, -1.0) if both_signs else (1.0,):
        lams, p, q = _table(sign * x, wx, levels)
        ends = np.concatenate([lams, [2 * lams[-1] if lams.size else 1.0]])
        middles = (np.concatenate([[0.0], ends[:-1]]) + ends) / 2
        met += middles.size
        with np.errstate(divide="ignore", invalid="ignore"):
            cost = ny * (float(wx @ x**2) - p * (p / q))
            mu = sign * (p / q)  # p belongs to -x where the scaling is negative
        if rounded:
            cost += np.where(mu == 0, q * at_zero, 0.0)  # a codebook without 0 rounds even 0 y to something
            for s in (1.0, -1.0):
                side = (mu * s > 0) & (q > 0)
                ylams, yp, yq = _table(s * y, wy, ylevels)
                place = np.searchsorted(ylams, np.abs(mu[side]), side="right")
                loss = yq[place] - 2 * np.abs(mu[side]) * yp[place] + mu[side] ** 2 * ny
                cost[side] += q[side] * np.maximum(loss, 0)
        cost[~(q > 0)] = np.inf
        for k in np.argsort(cost)[:32]:
            if not np.isfinite(cost[k]):
                continue
            lam = sign * middles[k]
            x_hat = book.nearest(lam * x)
            energy = float(wx @ x_hat**2)
            if energy == 0:
                continue
            m = float(wx @ (x * x_hat)) / energy
            value = ny * float(wx @ (x - m * x_hat) ** 2)
            if rounded:
                value += energy * float(wy @ (ybook.nearest(m * y) - m * y) ** 2)
            best = min(best, (value, lam, m))
    _, lam, m = best
    return Scaling(book.nearest(lam * x), ybook.nearest(m * y) if rounded else m * y, lam, m, met, True)


def _table(x: Array, w: Array, levels: Array) -> tuple[Array, Array, Array]:
    """Positive steps of ``round(lambda x)`` in order, and the sums P and Q left of each and behind the last."""
    middles = (levels[1:] + levels[:-1]) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        lams = (middles[None, :] / x[:, None]).ravel()
    rise = np.where(x > 0, 1.0, -1.0)[:, None]  # a negative entry goes down through the levels
    d_p = ((w * np.abs(x))[:, None] * (levels[1:] - levels[:-1])[None, :]).ravel()
    d_q = (w[:, None] * rise * (levels[1:] ** 2 - levels[:-1] ** 2)[None, :]).ravel()
    good = np.isfinite(lams) & (lams > 0)
    order = np.argsort(lams[good], kind="stable")
    lams, d_p, d_q = lams[good][order], d_p[good][order], d_q[good][order]
    book = Codebook(levels)
    tiny = lams[0] / 2 if lams.size else 1.0
    start = book.nearest(tiny * x)
    p = float(w @ (x * start)) + np.concatenate([[0.0], np.cumsum(d_p)])
    q = float(w @ start**2) + np.concatenate([[0.0], np.cumsum(d_q)])
    return lams, p, q


def best_scaling_complex(x: Array, row: Array, wx: Array, t: int, ty: int, octaves: int, stride: int) -> Scaling:
    """Complex vectors, unbounded exponents: ``x row^T``."""
    hat, row_hat = np.empty_like(x), np.empty_like(row)
    nu, _, _, met = complex_search(
        x, wx, row, t, ty, octaves, stride, hat, row_hat, np.empty((3, x.size), np.complex128)
    )
    lam = complex(np.vdot(x, hat) / max(np.vdot(x, x).real, 1e-300))
    return Scaling(hat, row_hat if ty > 0 else nu * row, lam, complex(nu), int(met), False)


def _symmetric(levels: Array) -> bool:
    return bool(np.array_equal(levels, -levels[::-1]))
