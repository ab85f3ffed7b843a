"""Claims of the domain, each with a trial that tries to break it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from ..butterfly import Chain, ks_matmul
from ..core.claim import Claim
from ..core.optional import require
from .chain import quantize_chain
from .formats import Codebook, FloatFormat, IntFormat, as_format
from .packing import code_of, pack, packed_size, unpack
from .paths import single_path
from .precision import precision_bits_curve
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


def _random_chain(rng: Rng, most: int = 5) -> Chain:
    kind = int(rng.integers(4))
    if kind == 0:
        return Chain.dyadic(int(2 ** rng.integers(1, most + 1)))
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
    """An optimal pair of vectors, with a real scale or without, against random scalings, random neighbours and alternation."""
    x, y = _vector(rng, int(rng.integers(1, 7))), _vector(rng, int(rng.integers(1, 7)))
    first, second = FloatFormat(int(rng.integers(1, 7))), FloatFormat(int(rng.integers(1, 7)))
    free = bool(rng.random() < 0.3)
    answer = quantize_rank_one(x, y, first, second, free_scale=free)
    A = np.outer(x, y)
    norm = np.linalg.norm(A)
    true = float(np.linalg.norm(A - answer.toarray()) / norm)
    best = np.inf
    for k in range(150):
        hat = first.nearest(x * rng.uniform(1, 2))
        if k % 3 == 0:  # a neighbour of the answer
            hat = first.nearest(answer.x_hat * (1 + rng.integers(-1, 2, x.size) * 2.0 ** (1 - first.t)))
        if k % 7 == 0:  # any vector near by
            hat = first.nearest(x * 2.0 ** rng.uniform(-0.3, 0.3, x.size))
        if not hat.any():
            continue
        y_hat = second.nearest(y * ((rng.uniform(1, 2) if free else 1) * (x @ hat) / (hat @ hat)))
        scale = (x @ hat) * (y @ y_hat) / ((hat @ hat) * (y_hat @ y_hat)) if free and y_hat.any() else 1.0
        best = min(best, float(np.linalg.norm(A - scale * np.outer(hat, y_hat)) / norm))
    stated = answer.guarantee.values["error"]
    return bool(answer.guarantee.kind != "optimal" or best < stated - 1e-12 or abs(true - stated) > 1e-12)


def rounding_entry_by_entry_is_better(rng: Rng) -> bool:
    """Pairs that are not proved optimal (complex, bounded, sampled): error from the vectors, and rounding entry by entry."""
    is_complex, t = bool(rng.random() < 0.4), int(rng.integers(1, 5))
    x, y = (rng.standard_normal(int(rng.integers(1, 7))) * 2.0 ** rng.uniform(-2, 2) for _ in range(2))
    if is_complex:
        x = x + 1j * rng.standard_normal(x.size)
        y = y + 1j * rng.standard_normal(y.size)
    fmt = as_format("e4m3") if not is_complex and rng.random() < 0.5 else FloatFormat(t)
    answer = quantize_rank_one(x, y, fmt, method="exact" if is_complex else "sampled")
    A = np.outer(x, y.conj())
    norm = float(np.linalg.norm(A))
    plain = [fmt.nearest(v.real) + 1j * fmt.nearest(v.imag) if is_complex else fmt.nearest(v) for v in (x, y)]
    naive = float(np.linalg.norm(A - np.outer(plain[0], plain[1].conj()))) / norm
    true = float(np.linalg.norm(A - answer.toarray())) / norm
    said = answer.guarantee.values
    return (
        abs(said["error"] - true) > 1e-12
        or abs(said["error_rtn"] - naive) > 1e-12
        or true > naive * (1 + 1e-12) + 1e-14
    )


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
    true = float(np.linalg.norm(A - answer.toarray()))
    if answer.guarantee.kind != "optimal" or abs(true - np.linalg.norm(A) * answer.guarantee.values["error"]) > 1e-9:
        return True
    return bool(best < true * (1 - 1e-9) - 1e-12)


def chains_are_never_worse(rng: Rng) -> bool:
    """The automatic choice against plain rounding, both measured on dense products; both errors as the guarantee states them."""
    chain = _random_chain(rng, 4)
    is_complex = bool(rng.random() < 0.3)
    factors = _factors(rng, chain, is_complex)
    fmt = [int(rng.integers(1, 6)), "e4m3", "e2m1", "bfloat16", "int4"][int(rng.integers(3 if is_complex else 5))]
    answer = quantize_chain(factors, fmt, beam=int(rng.integers(1, 5)))
    promise = answer.guarantee
    A = _dense(factors, chain.shape[1])
    norm = float(np.linalg.norm(A))
    if norm == 0:
        return bool(answer.toarray().any())
    if promise is None:
        return True
    true = float(np.linalg.norm(A - answer.scale * _dense(answer.factors, chain.shape[1]))) / norm
    said, naive = promise.values["error"], promise.values["error_rtn"]
    if true > said * (1 + 1e-7) + 1e-12 or (answer.error_kind == "exact" and true < said * (1 - 1e-7) - 1e-12):
        return True
    if fmt == "int4":
        return said > naive * (1 + 1e-12)
    rounded = [
        answer.formats[0].nearest(x.real) + 1j * answer.formats[0].nearest(x.imag)
        if is_complex
        else answer.formats[0].nearest(x)
        for x in factors
    ]
    plain = float(np.linalg.norm(A - _dense(rounded, chain.shape[1]))) / norm
    return bool(abs(plain - naive) > 1e-7 * plain + 1e-12 or true > plain * (1 + 1e-9) + 1e-12)


def two_factors_are_optimal(rng: Rng) -> bool:
    """Two factors against rescaled roundings with the same scale: every index between them takes the best of its own at random."""
    chain = Chain.monarch((int(rng.choice([2, 4, 6])), int(rng.choice([4, 6]))))
    factors = _factors(rng, chain, False)
    if rng.random() < 0.3:  # entries that a short exponent does not reach
        factors = [x * 10.0 ** rng.uniform(-3, 0, x.shape) for x in factors]
    t = int(rng.integers(1, 6))
    answer = quantize_chain(factors, t, scale=bool(rng.random() < 0.5))
    A = _dense(factors, chain.shape[1])
    norm = float(np.linalg.norm(A))
    if norm == 0 or answer.guarantee is None or answer.excess is None:
        return norm > 0
    fmt, (_, _, c, d), (_, _, _, d2) = FloatFormat(t), chain[0], chain[1]
    best = 0.0
    for column in range(
        chain[0].a * c * d
    ):  # each index between the factors is a pair of vectors, in places of its own
        ia, ic, id = np.unravel_index(column, (chain[0].a, c, d))
        ja, jb, jd = np.unravel_index(column, (chain[1].a, chain[1].b, d2))
        x, y = factors[0][ia, :, ic, id] / answer.scale, factors[1][ja, jb, :, jd]
        pair = float(np.linalg.norm(np.outer(x, y))) ** 2
        for _ in range(40):
            hat = fmt.nearest(x * rng.uniform(1, 2))
            if hat.any():
                y_hat = fmt.nearest(y * (x @ hat) / (hat @ hat))
                pair = min(pair, float(np.linalg.norm(np.outer(x, y) - np.outer(hat, y_hat))) ** 2)
        best += pair
    rival = float(np.sqrt(best)) * abs(answer.scale) / norm
    return bool(rival * float(answer.guarantee.level or 1.0) < answer.guarantee.values["error"] * (1 - 1e-9) - 1e-12)


def curves_are_wrong(rng: Rng) -> bool:
    """Each error of a curve against dense products: of the factors rounded again, and of those rounded by hand."""
    chain = _random_chain(rng, 3)
    factors = _factors(rng, chain, False)
    ts = [int(t) for t in rng.choice(np.arange(1, 9), 3, replace=False)]
    curve = precision_bits_curve(factors, ts, ("rtn", "left_to_right", "pairwise"))
    A = _dense(factors, chain.shape[1])
    norm = float(np.linalg.norm(A))
    if norm == 0:
        return False
    if curve.guarantee is None:
        return True
    for i, t in enumerate(ts):
        for name, errors in curve.errors.items():
            again = quantize_chain(factors, t, method=name)
            true = float(np.linalg.norm(A - again.scale * _dense(again.factors, chain.shape[1]))) / norm
            if abs(true - errors[i]) > 1e-7 * true + 1e-12:
                return True
        # small entries may be set to zero: that may cost one percent of the error, and may make it smaller
        by_hand = _dense([FloatFormat(t).nearest(x) for x in factors], chain.shape[1])
        plain = float(np.linalg.norm(A - by_hand)) / norm
        if curve.errors["rtn"][i] > 1.011 * plain + 1e-12:
            return True
    return False


def networks_are_misjudged(rng: Rng) -> bool:
    """A network of butterfly layers: the error of each matrix from the outputs of both layers on the unit vectors."""
    torch = require("torch", extra="networks", purpose="the audit of quantization")
    from .module import quantize_module

    class Layer(torch.nn.Module):  # type: ignore[misc, name-defined]
        """A linear layer with butterfly factors, as somebody else might write it."""

        def __init__(self, chain: Chain) -> None:
            super().__init__()
            self.out_features, self.in_features = chain.shape
            self.bias = None
            made = [torch.from_numpy(x) for x in _factors(rng, chain, False)]
            self.factors = torch.nn.ParameterList(torch.nn.Parameter(x) for x in made)

    network = torch.nn.ModuleList(Layer(_random_chain(rng, 3)) for _ in range(int(rng.integers(1, 4))))
    made, report = quantize_module(network, int(rng.integers(1, 6)), method=str(rng.choice(["rtn", "left_to_right"])))
    if report.guarantee is None:
        return True
    errors = {}
    for i, layer in enumerate(network):
        A = _dense([x.detach().numpy() for x in layer.factors], layer.in_features)
        with torch.no_grad():
            hat = made[i](torch.eye(layer.in_features, dtype=torch.float64)).numpy().T
        norm = float(np.linalg.norm(A))
        errors[str(i)] = float(np.linalg.norm(A - hat)) / norm if norm > 0 else 0.0
    stated = dict(report.guarantee.values)
    wrong = any(abs(stated[name] - true) > 1e-7 * true + 1e-12 for name, true in errors.items())
    return wrong or stated.keys() != errors.keys() or (report.guarantee.level or 0.0) < max(errors.values()) - 1e-7


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
    same &= again.scale == answer.scale
    return not (same and again.to_dict() == answer.to_dict() and size <= answer.bits.total / 8 + 4096)


_PAIR, _CHAIN = ("RankOneQuantization",), ("QuantizedChain",)

CLAIMS = (
    Claim(
        "rank-one", "no vectors with t significant bits are closer to a rank-one matrix", nobody_finds_better_vectors,
        covers=_PAIR,
    ),
    Claim("codebook", "no vectors of a codebook are closer to a rank-one matrix", nobody_finds_better_codes, covers=_PAIR),
    Claim(
        "rank-one-bound", "a pair without a proof of optimality has the error stated, not above that of plain rounding",
        rounding_entry_by_entry_is_better, covers=_PAIR,
    ),
    Claim(
        "two-factors", "no rescaled rounding of two factors is closer than the answer, up to the factor stated",
        two_factors_are_optimal, covers=_CHAIN,
    ),
    Claim(
        "chains", "chains are never worse than plain rounding, and both errors are exact", chains_are_never_worse,
        covers=_CHAIN,
    ),
    Claim("curve", "the errors of a curve are those of the rounded factors", curves_are_wrong, covers=("PrecisionCurve",)),
    Claim(
        "networks", "the error of each quantized layer is that of its matrix", networks_are_misjudged,
        covers=("QuantizationReport",),
    ),
    Claim("paths", "single paths through the supports are recognised", paths_are_counted_right),
    Claim("packing", "packed entries come back to the bit and take the counted bits", packing_is_exact),
    Claim("files", "a saved chain loads to the same bits, from a file of the counted size", files_are_exact, covers=_CHAIN),
)  # fmt: skip
