"""Exact relative error of a product of rounded factors, without forming the product.

With ``p`` and ``q`` the products of the entries of both chains along a path, and ``e = p - q``, the sums over the
paths that end in a node of ``|p|^2``, ``conj(p) e`` and ``|e|^2`` follow from those of the nodes before:

    e' = e y + p (x - y)   for the entries x, y of the next factor.

Where each entry of the product is a single path, the last sums are ``||A||^2`` and ``||A - A_hat||^2``.
Where ``A_hat`` is near to ``A``, ``x - y`` is small after the scalings between the factors are undone, and nothing
cancels. Where it is not, ``e y`` and ``p (x - y)`` may cancel; there the sums of ``|p|^2``, ``conj(p) q``, ``|q|^2``
give ``||A||^2 - 2 Re <A, A_hat> + ||A_hat||^2`` without loss. Both come with a bound of their rounding errors, and the
one with the smaller bound counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numba import njit

from ..butterfly import Chain, ks_matmul
from .paths import single_path
from .powers import times_power

__all__ = ["chain_error"]

Array = np.ndarray
ErrorKind = Literal["exact", "upper", "estimate"]
_DENSE = 1 << 24  # entries of the product up to which it is formed where paths are not single
_PROBES = 64
_UNIT = 2.0**-53
_DIGITS = 1e-6  # an error whose rounding is bounded by this share of it, or by _ZERO, is called exact
_ZERO = 1e-13


def chain_error(
    factors: Sequence[Array], rounded: Sequence[Array], scale: float, chain: Chain
) -> tuple[float, ErrorKind]:
    """``||A - scale A_hat|| / ||A||`` in Frobenius norm, and how it is known.

    "exact": up to rounding, which is bounded by a millionth of the error or by 1e-13. "upper": rounding may be
    larger, and what is returned is not below the error. "estimate" for large chains whose entries are sums of several
    paths: from 64 random vectors, with a relative deviation of about 10 %.

    Examples
    --------
    >>> import numpy as np
    >>> from ailys.butterfly import hadamard_factors
    >>> H = hadamard_factors(8)
    >>> error, kind = chain_error(H, [1.5 * x for x in H], 1 / 1.5**3, Chain.dyadic(8))
    >>> kind, bool(error < 1e-15)
    ('exact', True)
    """
    if single_path(chain):
        return _by_paths(factors, rounded, scale)
    if chain.shape[0] * chain.shape[1] <= _DENSE:
        vectors, kind = np.eye(chain.shape[1]), "exact"
    else:
        vectors, kind = np.random.default_rng(0).standard_normal((chain.shape[1], _PROBES)), "estimate"
    exact, near = vectors, scale * vectors
    for x, y in zip(reversed(factors), reversed(rounded), strict=True):
        exact, near = ks_matmul(exact, x), ks_matmul(near, y)
        peak = float(np.abs(exact).max())
        if peak > 0:
            exact, near = exact / peak, near / peak
    norm = float(np.linalg.norm(exact))
    return (float(np.linalg.norm(exact - near)) / norm if norm > 0 else 0.0), kind  # type: ignore[return-value]


def _by_paths(factors: Sequence[Array], rounded: Sequence[Array], scale: float) -> tuple[float, ErrorKind]:
    kind = np.result_type(*factors, *rounded, np.float64)
    rows = factors[0].shape[0] * factors[0].shape[1] * factors[0].shape[3]
    gauge, net = np.ones(rows, kind), 0  # the powers of two of all factors meet only at the end
    whole, mixed, lost = np.ones(rows), np.zeros(rows, kind), np.zeros(rows)
    mixed_size, lost_size = np.zeros(rows), np.zeros(rows)
    both, hat = np.ones(rows, kind), np.ones(rows)
    drift = 0  # power of two of q over p, in the sums that know no gauge
    roundings = 0
    for l, (x, y) in enumerate(zip(factors, rounded, strict=True)):
        a, b, c, d = x.shape
        power, power_hat = _exponent(x), _exponent(y)
        x = np.ascontiguousarray(times_power(x, -power), kind)
        y = np.ascontiguousarray(times_power(y, -power_hat), kind)
        net += power_hat - power
        drift += power_hat - power
        roundings += b + 8
        last = l == len(factors) - 1
        if last:
            gauge = gauge * np.ldexp(scale, net)
        n = a * c * d
        after = (np.ones(n, kind), np.zeros(n), np.zeros(n, kind), np.zeros(n), np.zeros(n), np.zeros(n),
                 np.zeros(n, kind), np.zeros(n))  # fmt: skip
        with np.errstate(over="ignore", invalid="ignore"):
            _stage(x, y, gauge, whole, mixed, lost, mixed_size, lost_size, both, hat, last, *after)
        gauge, whole, mixed, lost, mixed_size, lost_size, both, hat = after
        peak, peak_hat = float(whole.max()), float(hat.max())
        if peak == 0:
            return (0.0 if peak_hat == 0 or scale == 0 else np.inf), "exact"
        half, half_hat = _half_exponent(peak), _half_exponent(peak_hat)
        small = 4.0**-half
        whole, mixed, lost = whole * small, mixed * small, lost * small
        mixed_size, lost_size = mixed_size * small, lost_size * small
        both, hat = both * 2.0 ** -(half + half_hat), hat * 4.0**-half_hat
        drift += half_hat - half
    total, size = float(whole.sum()), float(hat.sum())
    with np.errstate(over="ignore"):
        ratio = float(np.ldexp(scale * np.sqrt(size / total), drift))  # ||A_hat|| / ||A||
    cosine = float(both.sum().real) / np.sqrt(total * size) if size > 0 else 0.0
    unit = _UNIT * roundings
    # from the three sums: they lose what is small against ||A||^2 + ||A_hat||^2
    direct = 1.0 - ratio * (2.0 * cosine - ratio)
    direct_doubt = unit * (1.0 + abs(ratio)) ** 2
    # from the residuals: they lose what is small against their largest terms, and the last bits of each entry
    residual, doubt = float(lost.sum()) / total, np.inf
    if np.isfinite(residual) and np.isfinite(ratio):
        blur = 4 * len(factors) * _UNIT * abs(ratio)
        doubt = unit * float(lost_size.sum()) / total + blur * (2.0 * np.sqrt(max(residual, 0.0)) + blur)
        doubt = max(doubt, -residual) if np.isfinite(doubt) else np.inf
    squared, doubt = (residual, doubt) if doubt <= direct_doubt else (direct, max(direct_doubt, -direct))
    if not np.isfinite(squared):
        return np.inf, "upper"
    error, top = float(np.sqrt(max(squared, 0.0))), float(np.sqrt(max(squared, 0.0) + doubt))
    if top - np.sqrt(max(squared - doubt, 0.0)) <= _DIGITS * error + _ZERO:
        return error, "exact"
    return top, "upper"


def _half_exponent(peak: float) -> int:
    return int(np.frexp(peak)[1]) // 2 if 0 < peak < np.inf else 0


def _exponent(x: Array) -> int:
    peak = float(np.abs(x).max())
    return int(np.frexp(peak)[1]) if peak > 0 else 0


@njit(cache=True, nogil=True)
def _stage(  # type: ignore[no-untyped-def]
    x, y, gauge, whole, mixed, lost, mixed_size, lost_size, both, hat, last,
    gauge_out, whole_out, mixed_out, lost_out, mixed_size_out, lost_size_out, both_out, hat_out,
):  # fmt: skip
    """One factor. ``gauge`` multiplies the rows of y; a new one is divided out of its columns, except at the end.

    ``mixed_size`` and ``lost_size`` add up the moduli of the terms of ``mixed`` and ``lost``; ``both`` and ``hat`` are
    the sums of ``conj(p) q`` and ``|q|^2`` without the gauge.
    """
    na, nb, nc, nd = x.shape
    for ia in range(na):
        for ic in range(nc):
            for id in range(nd):
                column = (ia * nc + ic) * nd + id
                inner, energy, other = x[0, 0, 0, 0] * 0.0, 0.0, 0.0
                for ib in range(nb):
                    row = (ia * nb + ib) * nd + id
                    u = x[ia, ib, ic, id]
                    v = y[ia, ib, ic, id]
                    both_out[column] += np.conj(u) * v * both[row]
                    hat_out[column] += (v.real * v.real + v.imag * v.imag) * hat[row]
                    v = gauge[row] * v
                    inner += np.conj(u) * v
                    energy += u.real * u.real + u.imag * u.imag
                    other += v.real * v.real + v.imag * v.imag
                # columns of equal norm and phase: near to each other if they can be, and never larger than x
                lam = x[0, 0, 0, 0] * 0.0 + 1.0
                if not last and energy > 0.0 and abs(inner) > 0.0 and other > 0.0:
                    lam = inner / abs(inner) * np.sqrt(other / energy)
                gauge_out[column] = lam
                for ib in range(nb):
                    row = (ia * nb + ib) * nd + id
                    u = x[ia, ib, ic, id]
                    v = gauge[row] * y[ia, ib, ic, id] / lam
                    r = u - v
                    w, e = whole[row], mixed[row]
                    energy_r = r.real * r.real + r.imag * r.imag
                    energy_v = v.real * v.real + v.imag * v.imag
                    size_r, size_v = np.sqrt(energy_r), np.sqrt(energy_v)
                    whole_out[column] += (u.real * u.real + u.imag * u.imag) * w
                    mixed_out[column] += np.conj(u) * (r * w + v * e)
                    mixed_size_out[column] += abs(u) * (size_r * w + size_v * mixed_size[row])
                    cross = np.conj(v) * r * np.conj(e)
                    lost_out[column] += energy_v * lost[row] + energy_r * w + 2.0 * cross.real
                    lost_size_out[column] += (
                        energy_v * lost_size[row] + energy_r * w + 2.0 * size_v * size_r * mixed_size[row]
                    )
