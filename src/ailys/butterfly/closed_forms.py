"""Matrices that are butterflies exactly: the Hadamard and the discrete Fourier transform."""

from __future__ import annotations

import numpy as np

from .architecture import Chain

__all__ = ["bit_reversal", "dft_factors", "hadamard_factors"]


def bit_reversal(n: int) -> np.ndarray:
    """The permutation that reverses the binary digits of ``0..n-1`` (n a power of two).

    Raises
    ------
    ValueError
        ``n`` is not a power of two.

    Examples
    --------
    >>> bit_reversal(8)
    array([0, 4, 2, 6, 1, 5, 3, 7])
    """
    if n < 1 or n & (n - 1):
        raise ValueError(f"bit reversal needs a power of two; got {n}")
    digits = n.bit_length() - 1
    numbers, reversed_numbers = np.arange(n), np.zeros(n, np.int64)
    for bit in range(digits):
        reversed_numbers |= ((numbers >> bit) & 1) << (digits - 1 - bit)
    return reversed_numbers


def hadamard_factors(n: int) -> tuple[np.ndarray, ...]:
    """Factors of the Hadamard matrix of order ``n = 2^L`` (entries +1 and -1) on the dyadic chain.

    Raises
    ------
    ValueError
        ``n`` is not a power of two.

    Examples
    --------
    >>> len(hadamard_factors(8)), hadamard_factors(8)[0].shape
    (3, (1, 2, 2, 4))
    """
    core = np.array([[1.0, 1.0], [1.0, -1.0]])
    if n == 1:
        return (np.ones((1, 1, 1, 1)),)
    return tuple(np.broadcast_to(core[None, :, :, None], tuple(p)).copy() for p in Chain.dyadic(n))


def dft_factors(n: int) -> tuple[np.ndarray, ...]:
    """Factors of the discrete Fourier transform of order ``n = 2^L``, columns in bit-reversed order.

    With ``F[j, k] = exp(-2 i pi j k / n)`` the product of the factors is ``F[:, bit_reversal(n)]``: the
    decimation-in-time fast Fourier transform (Cooley and Tukey 1965) written as matrices.

    Raises
    ------
    ValueError
        ``n`` is not a power of two.

    Examples
    --------
    >>> len(dft_factors(8)), dft_factors(8)[0].shape
    (3, (1, 2, 2, 4))
    """
    if n == 1:
        return (np.ones((1, 1, 1, 1), complex),)
    factors = []
    for a, _, _, d in Chain.dyadic(n):
        twiddle = np.exp(-1j * np.pi * np.arange(d) / d)
        x = np.ones((a, 2, 2, d), complex)
        x[:, 0, 1] = twiddle
        x[:, 1, 1] = -twiddle
        factors.append(x)
    return tuple(factors)
