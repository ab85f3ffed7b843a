"""Claims of the domain, each with an experiment that tries to contradict it."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import numpy as np

from ..core.claim import Claim
from .architecture import Chain
from .factorization import ButterflyFactorization
from .factorize import butterfly
from .operator import PLANS
from .product import FusedStages
from .search import enumerate_chains, pareto_chains

__all__ = ["CLAIMS"]

Rng = np.random.Generator


def _random_chain(rng: Rng, depth: int | None = None) -> Chain:
    """A small chain of random splits and ranks, sometimes with copies (a_1, d_L > 1)."""
    depth = int(rng.integers(2, 5)) if depth is None else depth
    rows, cols = rng.integers(2, 4, depth), rng.integers(2, 4, depth)
    ranks = rng.integers(1, 3, depth - 1)
    chain = Chain.from_splits(tuple(map(int, rows)), tuple(map(int, cols)), tuple(map(int, ranks)))
    a, d = (int(v) for v in rng.choice([1, 1, 1, 2], 2))
    return Chain((p.a * a, p.b, p.c, p.d * d) for p in chain)


def _random_matrix(rng: Rng, chain: Chain) -> np.ndarray:
    """A matrix of one of the kinds on which algorithms differ: dense, sparse, structured, graded, near the class."""
    A = rng.standard_normal(chain.shape)
    kind = rng.choice(["gaussian", "complex", "near", "sparse", "integer", "signs", "permutation", "graded"])
    if kind == "complex":
        return A + 1j * rng.standard_normal(chain.shape)
    if kind == "near":
        return 10 ** rng.uniform(-6, 0) * A + _member(rng, chain)
    if kind == "sparse":
        return np.where(rng.random(chain.shape) < rng.uniform(0.03, 0.4), A, 0.0)
    if kind == "integer":
        return rng.integers(-1, 2, chain.shape) * (rng.random(chain.shape) < 0.3) * 1.0
    if kind == "signs":  # few distinct columns: repeated singular values, invariant subspaces
        return rng.choice([-1.0, 1.0], chain.shape)[:, rng.integers(0, chain.shape[1], chain.shape[1])]
    if kind == "permutation":
        return np.eye(max(chain.shape))[: chain.shape[0]][:, rng.permutation(max(chain.shape))[: chain.shape[1]]]
    if kind == "graded":
        return A * 10.0 ** rng.uniform(-120, 0, chain.shape[0])[:, None] * 10.0 ** rng.integers(-100, 100)
    return A


def _member(rng: Rng, chain: Chain) -> np.ndarray:
    """A matrix of the class, by dense multiplication."""
    product = np.eye(chain.shape[0])
    for p in chain:
        product = product @ _dense(rng.standard_normal(tuple(p)))
    return product


def _dense(x: np.ndarray) -> np.ndarray:
    """Dense matrix of a factor, entry by entry from the definition (not the library's own code)."""
    a, b, c, d = x.shape
    X = np.zeros((a * b * d, a * c * d), x.dtype)
    for i, j, k, l in np.ndindex(a, b, c, d):
        X[i * b * d + j * d + l, i * c * d + k * d + l] = x[i, j, k, l]
    return X


def _dense_product(answer: ButterflyFactorization) -> np.ndarray:
    product = np.eye(answer.chain.shape[0])
    for x in answer.factors:
        product = product @ _dense(x)
    return product


def error_is_exact(rng: Rng) -> bool:
    """The reported error against the dense residual."""
    chain = _random_chain(rng)
    A = _random_matrix(rng, chain)
    order = str(rng.choice(["left", "right", "best", "balanced"]))
    answer = butterfly(A, chain, order=order, refine=int(rng.integers(0, 3)))
    peak = np.abs(A).max() or 1.0
    residual = peak * np.linalg.norm(A / peak - _dense_product(answer) / peak)
    return bool(not abs(residual - answer.error) <= 1e-10 * peak * np.linalg.norm(A / peak))


def nobody_gets_below(rng: Rng) -> bool:
    """A gradient method on the factors, from the answer and from a random start, against the lower bound."""
    chain = _random_chain(rng)
    A = _random_matrix(rng, chain).real
    A = A / (np.abs(A).max() or 1.0)
    answer = butterfly(A, chain)
    start = answer.factors if rng.random() < 0.5 else tuple(rng.standard_normal(tuple(p)) for p in chain)
    return bool(_descend(A, np.ones(A.shape), chain, start) < answer.lower_bound * (1 - 1e-9) - 1e-12)


def _descend(A: np.ndarray, weights: np.ndarray, chain: Chain, factors: tuple[np.ndarray, ...]) -> float:
    """Weighted error of a matrix of the class that a gradient method finds from the factors given."""
    from scipy.optimize import minimize

    sizes = np.cumsum([p.n_params for p in chain])[:-1]

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        factors = [part.reshape(tuple(p)) for part, p in zip(np.split(theta, sizes), chain, strict=True)]
        dense = [_dense(x) for x in factors]
        before = [np.eye(chain.shape[0])]
        for X in dense:
            before.append(before[-1] @ X)
        residual = weights * (before[-1] - A)
        after, gradients = np.eye(chain.shape[1]), []
        for l in range(len(dense) - 1, -1, -1):
            full = before[l].T @ (2 * weights * residual) @ after.T
            a, b, c, d = chain[l]
            table = full.reshape(a, b, d, a, c, d)
            gradients.append(np.einsum("ijlikl->ijkl", table).ravel())
            after = dense[l] @ after
        return float(np.sum(residual**2)), np.concatenate(gradients[::-1])

    start = np.concatenate([x.ravel() for x in factors])
    return float(np.sqrt(minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 200}).fun))


def stated_guarantee_fails(rng: Rng) -> bool:
    """What the guarantee says, word by word, against the best of the rivals: a gradient method from the answer, and a known member."""
    chain = _random_chain(rng)
    planted = _member(rng, chain)
    A = _random_matrix(rng, chain).real
    if rng.random() < 0.5:
        A = (
            planted + 10 ** rng.uniform(-16, 0.3) * np.linalg.norm(planted) / np.linalg.norm(A) * A
            if A.any()
            else planted
        )
    peak = np.abs(A).max() or 1.0
    A, planted = A / peak, planted / peak
    w, v = np.ones(A.shape[0]), np.ones(A.shape[1])
    if rng.random() < 0.3:
        w, v = 10 ** rng.uniform(-1, 1, w.size), 10 ** rng.uniform(-1, 1, v.size)
    weights = np.outer(w, v)
    single = bool(rng.random() < 0.3)
    order = str(rng.choice(["left", "right", "best", "balanced"]))
    plain = not np.ptp(weights)
    answer = butterfly(
        A, chain, order=order, refine=int(rng.integers(0, 2)), dtype=np.float32 if single else None,
        row_weight=None if plain else w, col_weight=None if plain else v,
    )  # fmt: skip
    promise = answer.guarantee
    rounding = 100 * np.finfo(np.float32 if single else np.float64).eps * float(np.linalg.norm(weights * A))
    true = float(np.linalg.norm(weights * (A - _dense_product(answer))))
    if abs(promise.values["error"] - true) > rounding:
        return True
    if promise.kind == "exact":
        return bool(true > rounding)
    rival = min(_descend(A, weights, chain, answer.factors), float(np.linalg.norm(weights * (A - planted))))
    if promise.values.get("lower_bound", 0.0) > rival * (1 + 1e-9) + rounding:
        return True
    # 2e-6: an error is called optimal when it meets the lower bound to a millionth
    return bool(promise.level is not None and true > promise.level * rival * (1 + 2e-6) + 2 * rounding)


def error_within_the_constant(rng: Rng) -> bool:
    """``error <= sqrt(sum E_l^2) <= sqrt(L - 1) max E_l``, and against a matrix of the class known to be near."""
    chain = _random_chain(rng)
    if rng.random() < 0.5:
        wild = butterfly(_random_matrix(rng, chain), chain, order=str(rng.choice(["left", "right"])))
        return bool(wild.error > wild.a_priori_bound * (1 + 1e-9) + 1e-13 * wild.norm)
    X, noise = _member(rng, chain), rng.standard_normal(chain.shape)
    noise *= 10 ** rng.uniform(-8, 0.5) * np.linalg.norm(X) / np.linalg.norm(noise)
    answer = butterfly(X + noise, chain, order=str(rng.choice(["left", "right"])))
    slack = 1e-9 * answer.error + 1e-13 * answer.norm
    constant = np.sqrt(max(1, len(chain.reduce()[0]) - 1))
    return bool(answer.error > answer.a_priori_bound + slack or answer.error > constant * np.linalg.norm(noise) + slack)


def two_factors_are_optimal(rng: Rng) -> bool:
    """Singular values of the blocks, gathered entry by entry; and alternating least squares from a random start."""
    b, k, m, c = (int(v) for v in rng.integers(2, 13, 4))
    rank = int(rng.integers(1, 4))
    chain = Chain.from_splits((b, k), (m, c), rank)
    A = _random_matrix(rng, chain)
    peak = float(np.abs(A).max()) or 1.0
    answer = butterfly(A, chain)
    best = _best_of_two(A / peak, chain)
    norm = np.linalg.norm(A / peak)
    # where the best error is at the level of rounding, only its square is known to that level
    if abs(answer.error / peak - best) > 1e-9 * best + 1e-12 * norm or not answer.optimal:
        return True
    if b * k * m * c >= 400:
        return False
    rival = _least_squares(rng, A / peak, chain)
    return bool(rival < answer.error / peak * (1 - 1e-9) - 1e-12 * norm)


def _best_of_two(A: np.ndarray, chain: Chain) -> float:
    """The least error of a two-factor chain (a_1 = d_2 = 1), or of the dense one: Eckart and Young, block by block."""
    if len(chain) == 1:
        return 0.0
    k, m, c = chain[0].d, chain[1].a, chain[1].c
    rank = chain[0].c // m
    blocks = (A[ka::k, mu * c : (mu + 1) * c] for ka in range(k) for mu in range(m))
    return float(np.sqrt(sum(np.sum(np.linalg.svd(block, compute_uv=False)[rank:] ** 2) for block in blocks)))


def _least_squares(rng: Rng, A: np.ndarray, chain: Chain) -> float:
    """Error of alternating least squares on the supports of two factors, with dense solves."""
    supports = [chain.support(0).toarray() > 0, chain.support(1).toarray() > 0]
    X = np.where(supports[0], rng.standard_normal(supports[0].shape), 0.0).astype(A.dtype)
    Y = np.zeros(supports[1].shape, A.dtype)
    for _ in range(10):
        for column in range(A.shape[1]):
            rows = supports[1][:, column]
            Y[rows, column] = np.linalg.lstsq(X[:, rows], A[:, column], rcond=None)[0]
        for row in range(A.shape[0]):
            cols = supports[0][row]
            X[row, cols] = np.linalg.lstsq(Y[cols].T, A[row], rcond=None)[0]
    return float(np.linalg.norm(A - X @ Y))


def members_are_recovered(rng: Rng) -> bool:
    """A product of random factors is found again up to rounding."""
    chain = _random_chain(rng)
    X = _member(rng, chain)
    answer = butterfly(X, chain)
    return bool(not answer.exact or np.linalg.norm(X - _dense_product(answer)) > 1e-12 * np.linalg.norm(X))


def sweeps_never_hurt(rng: Rng) -> bool:
    """The error after more sweeps is not larger."""
    chain = _random_chain(rng)
    A = _random_matrix(rng, chain)
    answers = [butterfly(A, chain, refine=k) for k in (0, 1, 3)]
    errors, norm = [answer.error for answer in answers], answers[0].norm
    return any(not later <= earlier * (1 + 1e-9) + 1e-13 * norm for earlier, later in itertools.pairwise(errors))


def products_agree(rng: Rng) -> bool:
    """Every plan of the operator, its transpose and its adjoint, against the dense product."""
    chain = Chain.dyadic(int(2 ** rng.integers(1, 6))) if rng.random() < 0.5 else _random_chain(rng)
    perm = rng.permutation(chain.shape[1]) if rng.random() < 0.5 else None
    answer = butterfly(_random_matrix(rng, chain), chain, perm=perm)
    plan = str(rng.choice([p for p in PLANS if p != "fused" or FusedStages.takes(chain.patterns)]))
    operator, dense = answer.operator(plan), answer.toarray()
    x = rng.standard_normal((chain.shape[1], int(rng.integers(1, 40))))
    y = rng.standard_normal((chain.shape[0], 3))
    scale = 1e-10 * float(np.abs(dense).max()) * chain.shape[0]
    gaps = (operator @ x - dense @ x, operator.T @ y - dense.T @ y, operator.H @ y - dense.conj().T @ y)
    return any(np.abs(gap).max() > scale for gap in gaps)


def files_are_exact(rng: Rng) -> bool:
    """What is loaded is what was saved, to the bit, with the same certificate."""
    chain = _random_chain(rng)
    answer = butterfly(_random_matrix(rng, chain), chain)
    with tempfile.TemporaryDirectory() as folder:
        again = ButterflyFactorization.load(answer.save(Path(folder) / "f.safetensors"))
    same = all(np.array_equal(x, y) and x.dtype == y.dtype for x, y in zip(answer.factors, again.factors, strict=True))
    return not (same and again.to_dict() == answer.to_dict() and again.chain == answer.chain)


def weighted_error_is_exact(rng: Rng) -> bool:
    """The reported error of a padded, permuted, weighted problem against the dense weighted residual."""
    chain = _random_chain(rng)
    rows, cols = (int(rng.integers(max(1, n - 2), n + 1)) for n in chain.shape)
    A = _random_matrix(rng, chain)[:rows, :cols]
    A = A / (np.abs(A).max() or 1.0)
    w, v = 10 ** rng.uniform(-2, 2, rows), 10 ** rng.uniform(-2, 2, cols)
    answer = butterfly(A, chain, perm=rng.permutation(cols), row_weight=w, col_weight=v, pad=True)
    dense = _dense_product(answer)
    columns = np.empty_like(dense)
    assert answer.perm is not None
    columns[:, answer.perm] = dense
    true = np.linalg.norm(w[:, None] * (A - columns[:rows, :cols]) * v)
    return bool(
        not abs(true - answer.error) <= 1e-9 * np.linalg.norm(w[:, None] * A * v) or answer.lower_bound > true + 1e-9
    )


def front_is_not_beaten(rng: Rng) -> bool:
    """The errors on a front of architectures, and a random candidate that should not be smaller and closer than one of them."""
    rows, cols = (int(n) for n in rng.choice([4, 6, 8, 9, 12], 2))
    shape = rows, cols
    A = _random_matrix(rng, Chain.dense(shape)).real
    A = A / (np.abs(A).max() or 1.0)
    norm = float(np.linalg.norm(A)) or 1.0
    front = pareto_chains(A, budget=float(rng.uniform(0.6, 1)))
    if front.guarantee is None:
        return True
    pick = int(rng.integers(len(front.chains)))
    stated = front.relative_errors[pick], front.n_params[pick]
    if abs(_best_of_two(A, front.chains[pick]) / norm - stated[0]) > 1e-7 or front.chains[pick].n_params != stated[1]:
        return True
    rivals = list(enumerate_chains(shape, max_params=front.max_params, max_depth=2))
    rival = rivals[int(rng.integers(len(rivals)))]
    smaller = front.relative_errors[front.n_params <= rival.n_params]
    best = float(smaller.min()) if smaller.size else np.inf
    return bool(_best_of_two(A, rival) / norm < best * (1 - 1e-7) - 1e-7)


_ANSWER = ("ButterflyFactorization",)

CLAIMS = (
    Claim("guarantee", "what the guarantee of a factorization states holds against rivals", stated_guarantee_fails, covers=_ANSWER),
    Claim("exact-error", "the reported error is the Frobenius norm of the residual", error_is_exact, covers=_ANSWER),
    Claim("lower-bound", "no butterfly of the class is closer than the lower bound", nobody_gets_below, covers=_ANSWER),
    Claim(
        "constant", "peeling from one end stays within sqrt(L-1) of the best possible error", error_within_the_constant,
        covers=_ANSWER,
    ),
    Claim("two-factors", "two factors are optimal", two_factors_are_optimal, covers=_ANSWER),
    Claim("recovery", "a matrix of the class is recovered up to rounding", members_are_recovered, covers=_ANSWER),
    Claim("refine", "a sweep of refinement never increases the error", sweeps_never_hurt),
    Claim("products", "all product plans agree with the dense product", products_agree),
    Claim("weights", "the reported error holds with weights, permutation and padding", weighted_error_is_exact, covers=_ANSWER),
    Claim("front", "no two-factor architecture beats the front of error against size", front_is_not_beaten, covers=("ParetoResult",)),
    Claim("files", "a saved factorization loads to the same bits and certificate", files_are_exact),
)  # fmt: skip
