"""Compiled joint choice of the last three factors of a chain, block by block of the middle one.

With the columns of the first factor written ``a_i = mu_i ah_i + r_i``, ``s_i = ||r_i||^2``, ``w_i = ||ah_i||^2``, the squared
error of a block (rows R, columns J of the middle factor B, third factor C) is

    sum_i s_i sum_j B_ij^2 ||C_j||^2  +  sum_j || diag(w)^(1/2) ((mu_i B_ij)_i C_j - bh_j ch_j) ||^2,

and for given scalings the second sum is minimised by the best weighted pair of each column j.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ._sweep_kernels import FINE, start_entry, sweep


@njit(cache=True, nogil=True)
def _best_scalings(x, w, t, losses, hats, work):  # type: ignore[no-untyped-def]
    """The best ``len(losses)`` roundings of a column, in increasing order of loss; returns how many there are."""
    m, beam = x.size, losses.size
    f, unit, g, following = work[0], work[1], work[2], work[3]
    step = math.ldexp(1.0, 1 - t)
    count = 0
    for i in range(m):
        if x[i] == 0.0:
            f[i], unit[i], g[i], following[i] = 1.0, 0.0, 0.0, 4.0
        else:
            f[i], unit[i], g[i] = start_entry(x[i], t)
            following[i] = (g[i] + (0.5 * step if g[i] < 2.0 else step)) / f[i]
    low = 1.0
    end = 2.0 if t <= FINE else 1.0 + math.ldexp(1.0, FINE - t)
    while True:
        high = end
        for i in range(m):
            high = min(high, following[i])
        if high > low:
            a, b, loss = 0.0, 0.0, 0.0
            for i in range(m):
                h = g[i] * unit[i]
                a += w[i] * abs(x[i]) * h
                b += w[i] * h * h
            if b == 0.0:
                return 0
            for i in range(m):
                r = abs(x[i]) - a / b * g[i] * unit[i]
                loss += w[i] * r * r
            if count < beam or loss < losses[count - 1]:
                k = min(count, beam - 1)
                while k > 0 and losses[k - 1] > loss:
                    losses[k] = losses[k - 1]
                    hats[k] = hats[k - 1]
                    k -= 1
                losses[k] = loss
                for i in range(m):
                    hats[k, i] = math.copysign(g[i] * unit[i], x[i])
                count = min(count + 1, beam)
        if high >= end:
            return count
        for i in range(m):
            if following[i] <= high:
                g[i] += step if g[i] < 2.0 else 2.0 * step
                following[i] = (g[i] + (0.5 * step if g[i] < 2.0 else step)) / f[i]
        low = high


@njit(cache=True, nogil=True)
def beam_columns(first, second, third, weights, t, t2, t3, beam, first_hat, second_hat, third_hat):  # type: ignore[no-untyped-def]
    """Fill the rounded factors; arrays (a, b, c, d), ``weights`` of the rows of the first."""
    _, b1, c1, d1 = first.shape
    a2, b2, c2, d2 = second.shape
    _, _, c3, d3 = third.shape
    rows_of_block = b2
    kept = np.empty(rows_of_block, np.int64)
    losses = np.empty((rows_of_block, beam))
    hats = np.zeros((rows_of_block, beam, b1))
    mus, energies = np.empty((rows_of_block, beam)), np.empty((rows_of_block, beam))
    column, w = np.empty(b1), np.empty(b1)
    work, work2 = np.empty((5, b1)), np.empty((5, b2))
    choice, best_choice = np.zeros(rows_of_block, np.int64), np.zeros(rows_of_block, np.int64)
    col, wcol = np.empty(b2), np.empty(b2)
    col_hat, row_hat = np.empty(b2), np.empty(c3)
    row, ones = np.empty(c3), np.ones(c3)
    energy_c = np.empty(c2)
    share = np.empty(rows_of_block)
    for i2 in range(a2):
        for l2 in range(d2):
            # third factor: rows (i2, k2, l2) of the middle one's columns
            for k2 in range(c2):
                j = (i2 * c2 + k2) * d2 + l2
                i3, rest3 = j // (third.shape[1] * d3), j % (third.shape[1] * d3)
                energy_c[k2] = 0.0
                for k3 in range(c3):
                    value = third[i3, rest3 // d3, k3, rest3 % d3]
                    energy_c[k2] += value * value
            for j2 in range(b2):
                i = (i2 * b2 + j2) * d2 + l2
                i1, rest1 = i // (c1 * d1), i % (c1 * d1)
                k1, l1 = rest1 // d1, rest1 % d1
                for j1 in range(b1):
                    column[j1] = first[i1, j1, k1, l1]
                    w[j1] = weights[(i1 * b1 + j1) * d1 + l1]
                kept[j2] = _best_scalings(column, w, t, losses[j2], hats[j2], work)
                if kept[j2] == 0:
                    kept[j2], losses[j2, 0] = 1, 0.0
                    hats[j2, 0, :] = 0.0
                for k in range(kept[j2]):
                    a, b = 0.0, 0.0
                    for j1 in range(b1):
                        a += w[j1] * column[j1] * hats[j2, k, j1]
                        b += w[j1] * hats[j2, k, j1] * hats[j2, k, j1]
                    mus[j2, k] = a / b if b > 0.0 else 0.0
                    energies[j2, k] = b
                share[j2] = 0.0
                for k2 in range(c2):
                    share[j2] += second[i2, j2, k2, l2] * second[i2, j2, k2, l2] * energy_c[k2]
            best = np.inf
            choice[:] = 0
            best_choice[:] = 0
            while True:
                cost = 0.0
                for j2 in range(b2):
                    cost += losses[j2, choice[j2]] * share[j2]
                if cost < best:
                    for k2 in range(c2):
                        j = (i2 * c2 + k2) * d2 + l2
                        i3, rest3 = j // (third.shape[1] * d3), j % (third.shape[1] * d3)
                        for k3 in range(c3):
                            row[k3] = third[i3, rest3 // d3, k3, rest3 % d3]
                        for j2 in range(b2):
                            col[j2] = mus[j2, choice[j2]] * second[i2, j2, k2, l2]
                            wcol[j2] = energies[j2, choice[j2]]
                        _, _, loss, _, _ = sweep(
                            col, wcol, row, ones, t2, t3, col_hat, row_hat, work2, FINE, best - cost
                        )
                        cost += loss
                        if cost >= best:
                            break
                    if cost < best:
                        best = cost
                        best_choice[:] = choice
                # next combination; scalings are in order of loss, so a hopeless one ends its digit
                digit = 0
                while digit < b2:
                    choice[digit] += 1
                    if choice[digit] < kept[digit]:
                        bound = 0.0
                        for j2 in range(digit, b2):
                            bound += losses[j2, choice[j2]] * share[j2]
                        if bound < best:
                            break
                    choice[digit] = 0
                    digit += 1
                if digit == b2:
                    break
            for j2 in range(b2):
                i = (i2 * b2 + j2) * d2 + l2
                i1, rest1 = i // (c1 * d1), i % (c1 * d1)
                k1, l1 = rest1 // d1, rest1 % d1
                k = best_choice[j2]
                peak = 0.0
                for j1 in range(b1):
                    peak = max(peak, abs(hats[j2, k, j1]))
                power = math.ldexp(1.0, 1 - math.frexp(peak)[1]) if peak > 0.0 else 1.0
                for j1 in range(b1):
                    first_hat[i1, j1, k1, l1] = hats[j2, k, j1] * power
                mus[j2, k] /= power
                energies[j2, k] *= power * power
            for k2 in range(c2):
                j = (i2 * c2 + k2) * d2 + l2
                i3, rest3 = j // (third.shape[1] * d3), j % (third.shape[1] * d3)
                for k3 in range(c3):
                    row[k3] = third[i3, rest3 // d3, k3, rest3 % d3]
                for j2 in range(b2):
                    col[j2] = mus[j2, best_choice[j2]] * second[i2, j2, k2, l2]
                    wcol[j2] = energies[j2, best_choice[j2]]
                sweep(col, wcol, row, ones, t2, t3, col_hat, row_hat, work2)
                peak = 0.0
                for j2 in range(b2):
                    peak = max(peak, abs(col_hat[j2]))
                power = math.ldexp(1.0, 1 - math.frexp(peak)[1]) if peak > 0.0 else 1.0
                for j2 in range(b2):
                    second_hat[i2, j2, k2, l2] = col_hat[j2] * power
                for k3 in range(c3):
                    third_hat[i3, rest3 // d3, k3, rest3 % d3] = row_hat[k3] / power
