"""Matrices as products of butterfly factors, with the error of the best possible one.

Problem: multiplying by an ``n x n`` matrix costs ``n^2`` operations and bytes.
Method: a product of Kronecker-sparse factors (the butterflies of the fast Fourier transform, Monarch
matrices, low rank, and everything between) that approximates it, found by truncated SVDs of blocks.
Guarantee: the error is at most ``sqrt(L - 1)`` times the smallest one possible for ``L`` factors, and
each answer carries a lower bound of that smallest error.
Source: Le, Zheng, Riccietti, Gribonval, *Butterfly factorization with error guarantees*, SIAM J.
Matrix Anal. Appl. 46(4), 2025.

>>> import scipy.linalg
>>> from ailys.butterfly import butterfly
>>> transform = butterfly(scipy.linalg.dft(64), "dyadic", perm="bitrev")
>>> transform.exact, transform.n_params
(True, 768)
"""

from __future__ import annotations

from typing import Any

from .architecture import Chain, Pattern
from .certificate import distance_lower_bound, split_errors
from .closed_forms import bit_reversal, dft_factors, hadamard_factors
from .factorization import ButterflyFactorization
from .factorize import butterfly
from .operator import ButterflyOperator
from .product import ks_matmul
from .search import ParetoResult, enumerate_chains, pareto_chains
from .truncation import two_factor

__all__ = [
    "ButterflyFactorization",
    "ButterflyOperator",
    "Chain",
    "ParetoResult",
    "Pattern",
    "bit_reversal",
    "butterfly",
    "dft_factors",
    "distance_lower_bound",
    "enumerate_chains",
    "hadamard_factors",
    "ks_matmul",
    "pareto_chains",
    "split_errors",
    "two_factor",
]


def __getattr__(name: str) -> Any:
    if name == "KSLinearFunction":  # needs PyTorch, which is optional
        from .autograd import KSLinearFunction

        return KSLinearFunction
    raise AttributeError(f"module 'ailys.butterfly' has no attribute {name!r}")
