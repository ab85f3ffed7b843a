"""Compiled rewards: the n-th reward of an arm is a function of a key, so all policies can meet the same ones.

The uniforms of an arm are the outputs of SplitMix64 (Steele, Lea, Flood 2014) started at the key of the arm: reward n
uses output n, further uniforms of the same reward come from a second mixing.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ._divergence_kernels import BERNOULLI, GAUSSIAN, POISSON

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_A, _B = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)


@njit(cache=True, nogil=True)
def _mix(z):  # type: ignore[no-untyped-def]
    z = (z ^ (z >> _S30)) * _A
    z = (z ^ (z >> _S27)) * _B
    return z ^ (z >> _S31)


@njit(cache=True, nogil=True)
def uniform(key, n, part):  # type: ignore[no-untyped-def]
    """Uniform number in [0, 1) of reward n; ``part`` > 0 gives further ones."""
    z = _mix(key + (np.uint64(n) + np.uint64(1)) * _GOLDEN)
    if part > 0:
        z = _mix(z + np.uint64(part) * _GOLDEN)
    return np.float64(z >> _S11) * 1.1102230246251565e-16


@njit(cache=True, nogil=True, error_model="numpy")
def draw_reward(family, mean, sigma, key, n):  # type: ignore[no-untyped-def]
    """The n-th reward of an arm."""
    u = uniform(key, n, 0)
    if family == BERNOULLI:
        return 1.0 if u < mean else 0.0
    if family == GAUSSIAN:
        v = uniform(key, n, 1)
        return mean + sigma * math.sqrt(-2.0 * math.log1p(-u)) * math.cos(2.0 * math.pi * v)
    if family == POISSON:
        # a sum of Poisson variables of mean 500 at most, each by inversion
        total, rest, part = 0.0, mean, 0
        while rest > 0.0:
            piece = min(rest, 500.0)
            u = uniform(key, n, part)
            p = math.exp(-piece)
            k, cumulated = 0, p
            while u > cumulated and k < 5000:
                k += 1
                p *= piece / k
                cumulated += p
            total += k
            rest -= piece
            part += 1
        return total
    return -mean * math.log1p(-u) if u > 0.0 else mean * 1e-16
