"""Slow and simple references, written independently of the package."""

import itertools

import numpy as np

from ailys.butterfly import Chain, butterfly, ks_matmul


def round_t(v, t):
    """t significant bits, ties to even, by frexp."""
    m, e = np.frexp(v)
    return np.ldexp(np.rint(np.ldexp(m, t)), e - t)


def relative(x, y, product):
    A = np.outer(x, np.conj(y))
    norm = np.linalg.norm(A)
    return np.linalg.norm(A - product) / norm if norm else float(np.linalg.norm(product) > 0)


def all_scalings(x, y, t, ty):
    """Least error over the middles of all intervals between steps, each evaluated with a full outer product."""
    f = 2 * np.frexp(np.abs(x[x != 0]))[0]
    k = np.arange(2 ** (t - 1), 2**t) + 0.5
    steps = np.concatenate([np.outer(1 / f, k * 2.0 ** (1 - t)).ravel(), np.outer(1 / f, k * 2.0 ** (2 - t)).ravel()])
    ends = np.unique(np.concatenate([[1.0, 2.0], steps[(steps > 1) & (steps < 2)]]))
    best = np.inf
    for lam in (ends[1:] + ends[:-1]) / 2:
        hat = round_t(lam * x, t)
        best = min(best, relative(x, y, np.outer(hat, round_t(x @ hat / (hat @ hat) * y, ty))))
    return best


def exhaustive(x, y, t, ty, octaves=6):
    """Least error over all first vectors with entries within some octaves; the second is best entry by entry."""
    grid = (2 ** (t - 1) + np.arange(2 ** (t - 1))) * 2.0 ** (1 - t)
    spread = np.concatenate([grid * 2.0**e for e in range(-octaves, octaves + 1)])
    spread = np.concatenate([-spread, [0.0], spread])
    lead = int(np.argmax(np.abs(x)))
    best = np.inf
    for first in grid:
        for rest in itertools.product(spread, repeat=len(x) - 1):
            hat = np.insert(np.array(rest), lead, first)
            best = min(best, relative(x, y, np.outer(hat, round_t(x @ hat / (hat @ hat) * y, ty))))
    return best


def dense(factors):
    """The product of factors."""
    columns = factors[-1].shape[0] * factors[-1].shape[2] * factors[-1].shape[3]
    product = np.eye(columns)
    for x in reversed(factors):
        product = ks_matmul(product, x)
    return product


def projected(n, seed, is_complex=False, chain="dyadic"):
    """Factors of the butterfly nearest to a Gaussian matrix."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, n))
    if is_complex:
        A = A + 1j * rng.standard_normal((n, n))
    return list(butterfly(A, chain).factors)


def random_chain(rng, chain=None, is_complex=False):
    chain = Chain.dyadic(16) if chain is None else chain
    factors = [rng.standard_normal(tuple(p)) for p in chain]
    if is_complex:
        factors = [x + 1j * rng.standard_normal(x.shape) for x in factors]
    return factors
