"""Compiled rank-one approximation of many small blocks, by the Lanczos process: no policy."""

from __future__ import annotations

import numpy as np
from numba import njit

from ._kernels import FAST, abs2


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _top_of_tridiagonal(alpha, beta, n, s, d, e):  # type: ignore[no-untyped-def]
    """Largest eigenvalue of a real symmetric tridiagonal matrix, its unit eigenvector in ``s``.

    Laguerre's iteration from the right of the spectrum, where it converges monotonically and
    cubically; then the twisted factorization, which is stable wherever the vector is large.
    ``beta[i]`` couples ``i`` and ``i + 1``; ``d`` and ``e`` are workspace.
    """
    theta = -np.inf
    scale = 0.0
    for i in range(n):
        radius = (beta[i - 1] if i > 0 else 0.0) + (beta[i] if i < n - 1 else 0.0)
        theta = max(theta, alpha[i] + radius)
        scale = max(scale, abs(alpha[i]) + radius)
    theta += 1e-15 * scale + 1e-300
    for _ in range(60):
        # pivots of theta - T with their first two derivatives: p'/p = g, -(p'/p)' = h
        g, h = 0.0, 0.0
        pivot, d1, d2 = 1.0, 0.0, 0.0
        good = True
        for i in range(n):
            b2 = beta[i - 1] * beta[i - 1] if i > 0 else 0.0
            inverse = 1.0 / pivot
            ratio = d1 * inverse
            d2_new = b2 * inverse * (d2 * inverse - 2.0 * ratio * ratio)
            d1_new = 1.0 + b2 * inverse * ratio
            pivot = theta - alpha[i] - b2 * inverse
            d1, d2 = d1_new, d2_new
            if pivot <= 0.0:  # at the root, up to rounding
                good = False
                break
            ratio = d1 / pivot
            g += ratio
            h += ratio * ratio - d2 / pivot
        if not good:
            break
        step = n / (g + np.sqrt(max((n - 1) * (n * h - g * g), 0.0)))
        theta -= step
        if step <= 2e-16 * scale:
            break
    tiny = 1e-30 * scale + 1e-300
    d[0] = theta - alpha[0]
    for i in range(1, n):
        if abs(d[i - 1]) < tiny:
            d[i - 1] = tiny
        d[i] = theta - alpha[i] - beta[i - 1] * beta[i - 1] / d[i - 1]
    e[n - 1] = theta - alpha[n - 1]
    for i in range(n - 2, -1, -1):
        if abs(e[i + 1]) < tiny:
            e[i + 1] = tiny
        e[i] = theta - alpha[i] - beta[i] * beta[i] / e[i + 1]
    twist, least = 0, np.inf
    for i in range(n):
        gamma = abs(d[i] + e[i] - (theta - alpha[i]))
        if gamma < least:
            twist, least = i, gamma
    s[twist] = 1.0
    length = 1.0
    for i in range(twist - 1, -1, -1):
        s[i] = s[i + 1] * beta[i] / d[i]
        length += s[i] * s[i]
    for i in range(twist + 1, n):
        s[i] = s[i - 1] * beta[i - 1] / e[i]
        length += s[i] * s[i]
    length = 1.0 / np.sqrt(length)
    for i in range(n):
        s[i] *= length
    return theta


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _new_direction(basis, k, tilt):  # type: ignore[no-untyped-def]
    """Row ``k`` of the basis: a unit vector orthogonal to the rows before it."""
    rows = basis.shape[1]
    for attempt in range(rows + 1):
        for i in range(rows):
            basis[k, i] = tilt[i] if attempt == 0 else (1.0 if i == attempt - 1 else 0.0)
        for _ in range(2):  # twice is enough
            for m in range(k):
                dot = basis[0, 0] * 0.0
                for i in range(rows):
                    dot += np.conj(basis[m, i]) * basis[k, i]
                for i in range(rows):
                    basis[k, i] -= dot * basis[m, i]
        length = 0.0
        for i in range(rows):
            length += abs2(basis[k, i])
        if length > 1e-6:
            length = 1.0 / np.sqrt(length)
            for i in range(rows):
                basis[k, i] *= length
            return


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _dominant_left(block, tilt, gram, basis, p, image, alpha, beta, s, d, e, tol):  # type: ignore[no-untyped-def]
    """Dominant left singular vector ``p`` of ``block`` (few rows), by the Lanczos process.

    The Gram matrix is applied through the block for the first steps, which suffice when one
    direction dominates, and formed once when they do not. Every new basis vector is orthogonalised
    against all the earlier ones; at full dimension the answer is exact up to rounding. ``tilt`` is a
    generic vector.
    """
    rows, cols = block.shape
    best, energy = 0, -1.0
    for i in range(rows):
        norm = 0.0
        for j in range(cols):
            norm += abs2(block[i, j])
        if norm > energy:
            best, energy = i, norm
    # start: the Gram matrix times the unit vector of the largest row, plus a little of everything, since
    # a structured block may have an invariant subspace that holds this row and not the dominant direction
    for j in range(cols):
        image[j] = np.conj(block[best, j])
    for i in range(rows):
        for j in range(cols):
            image[j] += tilt[i] * np.conj(block[i, j])
    length = 0.0
    for i in range(rows):
        dot = block[0, 0] * 0.0
        for j in range(cols):
            dot += block[i, j] * image[j]
        basis[0, i] = dot
        length += abs2(dot)
    length = 1.0 / np.sqrt(length)
    for i in range(rows):
        basis[0, i] *= length
    explicit = False
    for k in range(rows):
        if k == 5 and not explicit:
            explicit = True
            for i in range(rows):
                for r in range(i + 1):
                    dot = block[0, 0] * 0.0
                    for j in range(cols):
                        dot += block[i, j] * np.conj(block[r, j])
                    gram[i, r] = dot
                    gram[r, i] = np.conj(dot)
        q = basis[k]
        if explicit:
            for i in range(rows):
                dot = block[0, 0] * 0.0
                for r in range(rows):
                    dot += gram[i, r] * q[r]
                p[i] = dot
        else:
            for j in range(cols):
                image[j] = 0.0
            for i in range(rows):
                qi = np.conj(q[i])
                for j in range(cols):
                    image[j] += qi * block[i, j]
            for i in range(rows):
                dot = block[0, 0] * 0.0
                for j in range(cols):
                    dot += block[i, j] * np.conj(image[j])
                p[i] = dot
        a = 0.0
        for i in range(rows):
            a += (np.conj(q[i]) * p[i]).real
        alpha[k] = a
        for i in range(rows):
            p[i] -= a * q[i]
        if k > 0:
            for i in range(rows):
                p[i] -= beta[k - 1] * basis[k - 1, i]
        for m in range(k + 1):  # full reorthogonalisation
            dot = block[0, 0] * 0.0
            for i in range(rows):
                dot += np.conj(basis[m, i]) * p[i]
            for i in range(rows):
                p[i] -= dot * basis[m, i]
        b = 0.0
        for i in range(rows):
            b += abs2(p[i])
        b = np.sqrt(b)
        last = k == rows - 1
        broken = not last and b <= 1e-14 * abs(alpha[0])
        if last or (k % 3 == 2 and not broken):
            theta = _top_of_tridiagonal(alpha, beta, k + 1, s, d, e)
            if last or b * abs(s[k]) <= tol * theta:
                length = 0.0
                for i in range(rows):
                    dot = block[0, 0] * 0.0
                    for m in range(k + 1):
                        dot += basis[m, i] * s[m]
                    p[i] = dot
                    length += abs2(dot)
                length = 1.0 / np.sqrt(length)
                for i in range(rows):
                    p[i] *= length
                return
        if not broken:
            beta[k] = b
            b = 1.0 / b
            for i in range(rows):
                basis[k + 1, i] = p[i] * b
        else:  # an invariant subspace, perhaps not that of the dominant vector: go on in its complement
            beta[k] = 0.0
            _new_direction(basis, k + 1, tilt)


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def rank_one_blocks(z, flip, left, tol, x1, x2, lost, zero):  # type: ignore[no-untyped-def]
    """Best rank-one approximation of every block ``z[al, :, ka, mu, :, de]`` (b x c).

    The block is copied (transposed if ``flip``) so that the short side becomes its rows. With
    ``left`` the column vector, written to ``x1[al, :, mu, ka, de]``, has norm one and the scale is in
    the row vector ``x2[al, mu, ka, :, de]``; otherwise the reverse. ``lost[al]`` receives the
    energy of the explicit residuals; ``zero`` is a zero of the working type.
    """
    n_a, b, n_k, n_m, c, n_d = z.shape
    rows, cols = (c, b) if flip else (b, c)
    block = np.empty((rows, cols), zero.dtype)
    gram = np.empty((rows, rows), zero.dtype)
    tilt = np.empty(rows)
    for i in range(rows):  # numbers that no small whole numbers combine to zero
        tilt[i] = 0.05 + 0.1 * ((np.sin(12.9898 * (i + 1)) * 43758.5453) % 1.0)
    basis = np.empty((rows + 1, rows), zero.dtype)
    p = np.empty(rows, zero.dtype)
    w = np.empty(cols, zero.dtype)
    alpha, beta, s, d, e = np.empty(rows), np.empty(rows), np.empty(rows), np.empty(rows), np.empty(rows)
    for al in range(n_a):
        for ka in range(n_k):
            for mu in range(n_m):
                for de in range(n_d):
                    top = 0.0
                    for i in range(b):
                        for j in range(c):
                            entry = z[al, i, ka, mu, j, de]
                            top = max(top, abs(entry.real) + abs(entry.imag))
                            if flip:
                                block[j, i] = entry
                            else:
                                block[i, j] = entry
                    if top > 0.0:  # to the size of one: fourth powers are formed below
                        for i in range(rows):
                            for j in range(cols):
                                block[i, j] /= top
                        _dominant_left(block, tilt, gram, basis, p, w, alpha, beta, s, d, e, tol)
                    else:
                        for i in range(rows):
                            p[i] = 1.0 if i == 0 else 0.0
                    for j in range(cols):
                        w[j] = 0.0
                    for i in range(rows):
                        pi = np.conj(p[i])
                        for j in range(cols):
                            w[j] += pi * block[i, j]
                    rest, length = 0.0, 0.0
                    for i in range(rows):
                        pi = p[i]
                        for j in range(cols):
                            rest += abs2(block[i, j] - pi * w[j])
                    lost[al] += rest * (top * top)
                    for j in range(cols):
                        length += abs2(w[j])
                    # the unit vector: its entry of largest modulus is made real and positive
                    on_p = left != flip
                    length = np.sqrt(length)
                    if on_p:
                        phase = _phase_of_largest(p)
                        for i in range(rows):
                            p[i] *= np.conj(phase)
                        for j in range(cols):
                            w[j] *= phase * top
                    else:
                        if not length > 0.0:
                            w[0] = 1.0
                        phase = _phase_of_largest(w)
                        scale = 1.0 / length if length > 0.0 else 1.0
                        for i in range(rows):
                            p[i] *= length * phase * top
                        for j in range(cols):
                            w[j] *= scale * np.conj(phase)
                    if flip:
                        for i in range(b):
                            x1[al, i, mu, ka, de] = w[i]
                        for j in range(c):
                            x2[al, mu, ka, j, de] = p[j]
                    else:
                        for i in range(b):
                            x1[al, i, mu, ka, de] = p[i]
                        for j in range(c):
                            x2[al, mu, ka, j, de] = w[j]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _phase_of_largest(v):  # type: ignore[no-untyped-def]
    """Phase of the entry of largest modulus."""
    top, where = -1.0, 0
    for i in range(len(v)):
        m = abs2(v[i])
        if m > top:
            top, where = m, i
    modulus = np.sqrt(max(top, 0.0))
    return v[where] / modulus if modulus > 0.0 else v[where] * 0.0 + 1.0
