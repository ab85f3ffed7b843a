"""Chains and matrices shared by the tests of the domain."""

import numpy as np
from hypothesis import strategies as st

from ailys.butterfly import Chain


def dense_factor(x):
    """Dense matrix of a factor, entry by entry from the definition."""
    a, b, c, d = x.shape
    X = np.zeros((a * b * d, a * c * d), x.dtype)
    for i, j, k, l in np.ndindex(a, b, c, d):
        X[i * b * d + j * d + l, i * c * d + k * d + l] = x[i, j, k, l]
    return X


def dense_product(factors):
    product = np.eye(factors[0].shape[0] * factors[0].shape[1] * factors[0].shape[3])
    for x in factors:
        product = product @ dense_factor(x)
    return product


def random_factors(rng, chain, dtype=float):
    return [rng.standard_normal(tuple(p)).astype(dtype) for p in chain]


@st.composite
def chains(draw, max_depth=4, max_split=3, copies=True):
    """Chainable chains: random splits, ranks, copies in front (a_1) and behind (d_L)."""
    depth = draw(st.integers(1, max_depth))
    numbers = st.integers(1, max_split)
    rows = draw(st.tuples(*[numbers] * depth))
    cols = draw(st.tuples(*[numbers] * depth))
    ranks = draw(st.tuples(*[st.integers(1, 2)] * (depth - 1)))
    chain = Chain.from_splits(rows, cols, ranks)
    a, d = draw(st.tuples(st.integers(1, 2), st.integers(1, 2))) if copies else (1, 1)
    return Chain((p.a * a, p.b, p.c, p.d * d) for p in chain)


seeds = st.integers(0, 2**32 - 1)


def gaussian(rng, shape, complex_entries=False):
    A = rng.standard_normal(shape)
    return A + 1j * rng.standard_normal(shape) if complex_entries else A
