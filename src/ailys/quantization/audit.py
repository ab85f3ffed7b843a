"""Claims of the domain, each with a trial that tries to break it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from ..butterfly import Chain, ks_matmul
from ..core.claim import Claim
from .chain import quantize_chain
from .formats import Codebook, FloatFormat, IntFormat
from .packing import code_of, pack, packed_size, unpack
from .paths import single_path
from .quantized_chain import QuantizedChain
from .rank_one import quantize_rank_one

__all__ = ["CLAIMS"]

Rng = np.random.Generator


def _vector(rng: Rng, size: int) -> np.ndarray:
    """Gaussian, whole numbers (ties), equal entries, wide ranges, or with zeros."""
    x = rng.standard_normal(size)
    kind = int(rng.integers(5))
    if kind == 1:
        x = rng.integers(-4, 5, size).astype(float)
    elif kind == 2:
        x = np.full(size, x[0])
    elif kind == 3:
        x = x * 10.0 ** rng.uniform(-5, 5, size)
    elif kind == 4:
        x[rng.random(size) < 0.4] = 0.0
    return x if x.any() else np.ones(size)


def _random_chain(rng: Rng) -> Chain:
    kind = int(rng.integers(4))
    if kind == 0:
        return Chain.dyadic(int(2 ** rng.integers(1, 6)))
    if kind == 1:
        return Chain.monarch((int(rng.choice([4, 6, 12])), int(rng.choice([4, 9, 10]))))
    depth = int(rng.integers(2, 5))
    rows, cols = rng.integers(1, 4, depth), rng.integers(1, 4, depth)
    return Chain.from_splits(
        [int(q) for q in rows], [int(p) for p in cols], 1 if kind == 2 else int(rng.integers(1, 3))
    )


def _factors(rng: Rng, chain: Chain, is_complex: bool) -> list[np.ndarray]:
    factors = [rng.standard_normal(tuple(p)) for p in chain]
    if is_complex:
        factors = [x + 1j * rng.standard_normal(x.shape) for x in factors]
    if rng.random() < 0.2:
        factors = [x * (rng.random(x.shape) < 0.8) for x in factors]
    if rng.random() < 0.2:
        factors = [np.round(2 * x) / 2 for x in factors]
    return factors


def _dense(factors: list[np.ndarray] | tuple[np.ndarray, ...], columns: int) -> np.ndarray:
    product = np.eye(columns)
    for x in reversed(factors):
        product = ks_matmul(product, x)
    return product


def nobody_finds_better_vectors(rng: Rng) -> bool:
    """An optimal pair of vectors against rivals from random scalings, random neighbours and alternation."""
    x, y = _vector(rng, int(rng.integers(1, 7))), _vector(rng, int(rng.integers(1, 7)))
    t = int(rng.integers(1, 7))
    answer = quantize_rank_one(x, y, t)
    fmt = FloatFormat(t)
    A = np.outer(x, y)
    norm = np.linalg.norm(A)
    true = float(np.linalg.norm(A - answer.toarray()) / norm)
    best = np.inf
    for k in range(150):
        hat = fmt.nearest(x * rng.uniform(1, 2))
        if k % 3 == 0:  # a neighbour of the answer
            hat = fmt.nearest(answer.x_hat * (1 + rng.integers(-1, 2, x.size) * 2.0 ** (1 - t)))
        if k % 7 == 0:  # any vector near by
            hat = fmt.nearest(x * 2.0 ** rng.uniform(-0.3, 0.3, x.size))
        if not hat.any():
            continue
        y_hat = fmt.nearest(y * (x @ hat) / (hat @ hat))
        best = min(best, float(np.linalg.norm(A - np.outer(hat, y_hat)) / norm))
    return bool(not answer.optimal or best < answer.error - 1e-12 or abs(true - answer.error) > 1e-12)


def nobody_finds_better_codes(rng: Rng) -> bool:
    """The same on a random codebook, with random vectors of it as rivals."""
    levels = np.unique(np.round(rng.standard_normal(int(rng.integers(2, 7))) * 4, int(rng.integers(0, 2))))
    if levels.size < 2:
        return False
    book = Codebook(levels) if rng.random() < 0.7 else IntFormat(3)
    x, y = 3 * rng.standard_normal(int(rng.integers(1, 4))), 3 * rng.standard_normal(int(rng.integers(1, 4)))
    answer = quantize_rank_one(x, y, book)
    A = np.outer(x, y)
    best = min(
        float(np.linalg.norm(A - np.outer(rng.choice(book.levels, x.size), rng.choice(book.levels, y.size))))
        for _ in range(300)
    )
    return bool(best < np.linalg.norm(A) * answer.error * (1 - 1e-9) - 1e-12)


def chains_are_never_worse(rng: Rng) -> bool:
    """The automatic choice against plain rounding, both measured on dense products; the reported error too."""
    chain = _random_chain(rng)
    is_complex = bool(rng.random() < 0.3)
    factors = _factors(rng, chain, is_complex)
    fmt = [int(rng.integers(1, 6)), "e4m3", "bfloat16", "e2m1", "int4"][int(rng.integers(4 if is_complex else 5))]
    answer = quantize_chain(factors, fmt)
    A = _dense(factors, chain.shape[1])
    norm = float(np.linalg.norm(A))
    if norm == 0:
        return bool(answer.toarray().any())
    true = float(np.linalg.norm(A - answer.scale * _dense(answer.factors, chain.shape[1]))) / norm
    if abs(true - answer.error) > 1e-7 * true + 1e-12:
        return True
    if fmt == "int4":
        return answer.error > answer.error_rtn * (1 + 1e-12)
    rounded = [
        answer.formats[0].nearest(x.real) + 1j * answer.formats[0].nearest(x.imag)
        if is_complex
        else answer.formats[0].nearest(x)
        for x in factors
    ]
    plain = float(np.linalg.norm(A - _dense(rounded, chain.shape[1]))) / norm
    return bool(true > plain * (1 + 1e-9) + 1e-12)


def two_factors_are_optimal(rng: Rng) -> bool:
    """Two factors against rescaled roundings: every index between them gets scalings of its own, at random."""
    chain = Chain.monarch((int(rng.choice([2, 4, 6])), int(rng.choice([4, 6]))))
    factors = _factors(rng, chain, False)
    t = int(rng.integers(1, 6))
    answer = quantize_chain(factors, t, scale=False)
    A = _dense(factors, chain.shape[1])
    norm = float(np.linalg.norm(A))
    if norm == 0 or answer.excess is None:
        return norm > 0
    fmt, (a, b, _, d) = FloatFormat(t), chain[1]
    for _ in range(20):
        lam = rng.uniform(1, 2, chain[0].shape[1])
        first = fmt.nearest(factors[0] * lam.reshape(chain[0].a, 1, chain[0].c, chain[0].d))
        second = fmt.nearest(factors[1] / lam.reshape(a, b, 1, d))
        rival = float(np.linalg.norm(A - _dense([first, second], chain.shape[1]))) / norm
        if rival * answer.excess < answer.error - 1e-12:
            return True
    return False


def paths_are_counted_right(rng: Rng) -> bool:
    """Whether each entry of a product is a single path, against the product of the supports."""
    chain = _random_chain(rng)
    if rng.random() < 0.3:  # other orders of the factors, and repeated ones
        square = [p for p in Chain.radix(24, (2, 3, 4)).patterns if rng.random() < 0.8] or [Chain.dense((24, 24))[0]]
        chain = Chain([square[int(i)] for i in rng.permutation(len(square))])
    paths = chain.support(0).toarray()
    for l in range(1, len(chain)):
        paths = paths @ chain.support(l).toarray()
    return single_path(chain) != bool(paths.max() <= 1)


def packing_is_exact(rng: Rng) -> bool:
    """Random values of a random format: packed to the promised number of bytes, and back to the bit."""
    t = int(rng.integers(1, 25))
    fmt = FloatFormat(t) if rng.random() < 0.7 else IntFormat(int(rng.integers(2, 9)))
    values = rng.standard_normal(int(rng.integers(1, 200))) * 2.0 ** rng.integers(-9, 10)
    values = fmt.nearest(values * (rng.random(values.size) < 0.9))
    code = code_of(values, fmt)
    stream = pack(values, code)
    bits = code.count(values.size).total - code.count(0).total
    same = np.array_equal(unpack(stream, code, values.shape), values)
    return not (same and stream.size == packed_size(values.size, code.width) == -(-bits // 8))


def files_are_exact(rng: Rng) -> bool:
    """What is loaded is what was saved, to the bit, in a file of the counted size."""
    chain = _random_chain(rng)
    is_complex = bool(rng.random() < 0.4)
    fmt = [int(rng.integers(1, 8)), "e4m3", "int5"][int(rng.integers(2 if is_complex else 3))]
    answer = quantize_chain(_factors(rng, chain, is_complex), fmt, method="left_to_right")
    with tempfile.TemporaryDirectory() as folder:
        path = answer.save(Path(folder) / "q.safetensors")
        size, again = path.stat().st_size, QuantizedChain.load(path)
    same = all(np.array_equal(x, y) and x.dtype == y.dtype for x, y in zip(answer.factors, again.factors, strict=True))
    return not (same and again.to_dict() == answer.to_dict() and size <= answer.bits.total / 8 + 4096)


CLAIMS = (
    Claim(
        "rank-one", "no vectors with t significant bits are closer to a rank-one matrix", nobody_finds_better_vectors
    ),
    Claim("codebook", "no vectors of a codebook are closer to a rank-one matrix", nobody_finds_better_codes),
    Claim("two-factors", "no rescaled rounding of two factors is closer than the answer", two_factors_are_optimal),
    Claim("chains", "chains are never worse than plain rounding, and their error is exact", chains_are_never_worse),
    Claim("paths", "single paths through the supports are recognised", paths_are_counted_right),
    Claim("packing", "packed entries come back to the bit and take the counted bits", packing_is_exact),
    Claim("files", "a saved chain loads to the same bits, from a file of the counted size", files_are_exact),
)
