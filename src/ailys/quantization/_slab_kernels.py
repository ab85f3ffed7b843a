"""Compiled search over the scalings of long vectors, slab by slab of the interval [1, 2).

The sums ``P = <x, round(lambda x)>`` and ``Q = ||round(lambda x)||^2`` jump where one entry steps through its
grid. A slab is a part of the interval short enough for its steps to stay in cache: they are generated, sorted
and added up; for ``mu = P / Q`` the same sums of ``y`` are read from a table of the few values of mu that
the slab can give. So all roundings are compared in time linear in their number, up to the sorting.
Each slab starts from sums computed afresh, so that rounding errors do not add up.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ._sweep_kernels import start_entry

KEPT = 8  # scalings that are compared again, from residuals
_SLAB = 8192  # steps of a slab of x


@njit(cache=True, nogil=True)
def _steps_between(f, unit, w, t, low, high, lam, d_p, d_q):  # type: ignore[no-untyped-def]
    """Steps of ``round(lambda x)`` for lambda in (low, high), unsorted, and the sums just right of ``low``.

    Returns their number (possibly more than the arrays hold: then nothing beyond them is written), P and Q.
    """
    count = 0
    p, q = 0.0, 0.0
    for i in range(f.size):
        value = low * f[i]
        exponent = math.frexp(value)[1] - 1
        step = math.ldexp(1.0, exponent + 1 - t)
        g = math.floor(value / step + 0.5) * step
        top = math.ldexp(1.0, exponent + 1)
        if g >= top:
            step *= 2.0
            top *= 2.0
        scale = w[i] * unit[i] * unit[i]
        p += scale * f[i] * g
        q += scale * g * g
        inverse = 1.0 / f[i]
        end = high * f[i]
        while g + 0.5 * step < end:
            if count < lam.size:
                lam[count] = (g + 0.5 * step) * inverse
                d_p[count] = scale * f[i] * step
                d_q[count] = scale * step * (2.0 * g + step)
            count += 1
            g += step
            if g >= top:
                step *= 2.0
                top *= 2.0
    return count, p, q


@njit(cache=True, nogil=True)
def _sort_steps(lam, d_p, d_q, count, low, high, starts, out_lam, out_p, out_q):  # type: ignore[no-untyped-def]
    """Steps in increasing order: nearly one a bucket, then insertion. ``starts`` (count + 1,) is filled too."""
    scale = count / (high - low)
    starts[: count + 1] = 0
    for k in range(count):
        bucket = min(max(int((lam[k] - low) * scale), 0), count - 1)
        starts[bucket + 1] += 1
    for k in range(count):
        starts[k + 1] += starts[k]
    for k in range(count):
        bucket = min(max(int((lam[k] - low) * scale), 0), count - 1)
        position = starts[bucket]
        starts[bucket] += 1
        out_lam[position], out_p[position], out_q[position] = lam[k], d_p[k], d_q[k]
    for k in range(count, 0, -1):  # the ends of the buckets become starts again
        starts[k] = starts[k - 1]
    starts[0] = 0
    for k in range(1, count):
        key, key_p, key_q = out_lam[k], out_p[k], out_q[k]
        j = k - 1
        while j >= 0 and out_lam[j] > key:
            out_lam[j + 1], out_p[j + 1], out_q[j + 1] = out_lam[j], out_p[j], out_q[j]
            j -= 1
        out_lam[j + 1], out_p[j + 1], out_q[j + 1] = key, key_p, key_q


@njit(cache=True, nogil=True)
def _keep(costs, lams, cost, lam):  # type: ignore[no-untyped-def]
    """Put a scaling among the best ones, which are in increasing order of cost."""
    j = costs.size - 1
    while j > 0 and costs[j - 1] > cost:
        costs[j], lams[j] = costs[j - 1], lams[j - 1]
        j -= 1
    costs[j], lams[j] = cost, lam


@njit(cache=True, nogil=True)
def search_slabs(x, wx, y, wy, t, ty, first, last, n_slabs, costs, lams):  # type: ignore[no-untyped-def]
    """Best scalings in the slabs ``first, ..., last - 1`` of ``n_slabs`` of [1, 2).

    ``x`` and ``y`` hold positive entries. ``costs`` (increasing) and ``lams`` are updated.
    With ``ty = 0`` the second vector is not rounded. Returns the number of roundings met.
    """
    fx, ux = np.empty(x.size), np.empty(x.size)
    fy, uy = np.empty(y.size), np.empty(y.size)
    nx, ny = 0.0, 0.0
    for i in range(x.size):
        fx[i], ux[i], _ = start_entry(x[i], t)
        nx += wx[i] * x[i] * x[i]
    for j in range(y.size):
        fy[j], uy[j], _ = start_entry(y[j], t)
        ny += wy[j] * y[j] * y[j]
    if ty == 0:
        ny = 1.0
    room = 2 * _SLAB
    lam, d_p, d_q = np.empty(room), np.empty(room), np.empty(room)
    slam, s_p, s_q = np.empty(room), np.empty(room), np.empty(room)
    starts = np.empty(room + 1, np.int64)
    yroom = 2 * _SLAB
    ylam, y_p, y_q = np.empty(yroom), np.empty(yroom), np.empty(yroom)
    sylam, sy_p, sy_q = np.empty(yroom), np.empty(yroom), np.empty(yroom)
    ystarts = np.empty(yroom + 1, np.int64)
    met = 0
    for slab in range(first, last):
        low, high = 1.0 + slab / n_slabs, 1.0 + (slab + 1) / n_slabs
        count, p, q = _steps_between(fx, ux, wx, t, low, high, lam, d_p, d_q)
        if count > room:
            room = count + count // 4
            lam, d_p, d_q = np.empty(room), np.empty(room), np.empty(room)
            slam, s_p, s_q = np.empty(room), np.empty(room), np.empty(room)
            starts = np.empty(room + 1, np.int64)
            count, p, q = _steps_between(fx, ux, wx, t, low, high, lam, d_p, d_q)
        if count > 0:
            _sort_steps(lam, d_p, d_q, count, low, high, starts, slam, s_p, s_q)
        met += count + 1
        # the loss of x alone bounds the cost from below; what survives needs the table of y
        worst = costs[costs.size - 1]
        mu_low, mu_high, kept = np.inf, 0.0, 0
        left = low
        for k in range(count + 1):
            right = slam[k] if k < count else high
            loss = ny * (nx - p * p / q)
            if loss < worst and right > left:
                mu = p / q
                mu_low, mu_high = min(mu_low, mu), max(mu_high, mu)
                # lam, d_p and d_q are free now: they hold the survivors
                lam[kept], d_p[kept], d_q[kept] = 0.5 * (left + right), p, q
                kept += 1
                if kept == lam.size:
                    break
            left = right
            if k < count:
                p += s_p[k]
                q += s_q[k]
        if kept == 0:
            continue
        if ty == 0:
            for k in range(kept):
                loss = ny * (nx - d_p[k] * d_p[k] / d_q[k])
                if loss < costs[costs.size - 1]:
                    _keep(costs, lams, loss, lam[k])
            continue
        mu_high = mu_high * (1.0 + 1e-15)
        ycount, yp, yq = _steps_between(fy, uy, wy, ty, mu_low, mu_high, ylam, y_p, y_q)
        if ycount > yroom:
            yroom = ycount + ycount // 4
            ylam, y_p, y_q = np.empty(yroom), np.empty(yroom), np.empty(yroom)
            sylam, sy_p, sy_q = np.empty(yroom), np.empty(yroom), np.empty(yroom)
            ystarts = np.empty(yroom + 1, np.int64)
            ycount, yp, yq = _steps_between(fy, uy, wy, ty, mu_low, mu_high, ylam, y_p, y_q)
        if ycount > 0:
            _sort_steps(ylam, y_p, y_q, ycount, mu_low, mu_high, ystarts, sylam, sy_p, sy_q)
        for k in range(ycount):  # sums left of each step
            jump_p, jump_q = sy_p[k], sy_q[k]
            sy_p[k], sy_q[k] = yp, yq
            yp += jump_p
            yq += jump_q
        scale = ycount / (mu_high - mu_low) if ycount > 0 else 0.0
        for k in range(kept):
            p, q = d_p[k], d_q[k]
            mu = p / q
            position = 0
            if ycount > 0:
                position = ystarts[min(max(int((mu - mu_low) * scale) - 1, 0), ycount - 1)]
                while position > 0 and sylam[position - 1] > mu:
                    position -= 1
                while position < ycount and sylam[position] <= mu:
                    position += 1
            py = sy_p[position] if position < ycount else yp
            qy = sy_q[position] if position < ycount else yq
            rounding = qy - 2.0 * mu * py + mu * mu * ny
            cost = ny * (nx - p * p / q) + q * max(rounding, 0.0)
            if cost < costs[costs.size - 1]:
                _keep(costs, lams, cost, lam[k])
    return met


def n_slabs_for(size: int, t: int) -> int:
    """Slabs such that one has about `_SLAB` steps."""
    return max(1, round(size * 2.0 ** (t - 1) / _SLAB))
