"""`butterfly`: the best product of Kronecker-sparse factors for a matrix, with its certificate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .architecture import Chain
from .factorization import ButterflyFactorization, Target, measured, rescaled
from .orders import Fit, balanced_order, expand, factorize_stack
from .problem import Problem, check_problem, require_finite
from .truncation import unit_scale

__all__ = ["butterfly"]

Array = np.ndarray


def butterfly(
    A: Any,
    chain: Chain | str | Iterable[Sequence[int]],
    *,
    order: str | Sequence[int] = "best",
    perm: Any = None,
    refine: int = 0,
    row_weight: Any = None,
    col_weight: Any = None,
    pad: bool = False,
    dtype: Any = None,
    overwrite: bool = False,
) -> ButterflyFactorization:
    """Approximate a matrix by a product of Kronecker-sparse factors.

    Parameters
    ----------
    A : (M, N) matrix, or (n, M, N) stack of matrices (then a tuple of n answers is returned).
        Any real or complex floating-point type; integers and booleans are taken as float64, half
        precision is computed in float32.
    chain : `Chain`, its text ("dyadic", "monarch:r=2", see `Chain.parse`), or patterns (a, b, c, d).
        Chainable, or chainable when transposed.
    order : "best" (both of the next two unless the first is exact; the better is kept), "left" or
        "right" (factors are peeled off from that end), "balanced", or a sequence of the split positions 1..L-1.
    perm : None, "bitrev", a permutation of the columns, or a list of these (the best is kept):
        the answer then approximates ``A[:, perm]`` by the product and permutes back.
    refine : number of sweeps of alternating optimisation afterwards; the error never grows.
    row_weight, col_weight : positive weights (M,), (N,), or arrays of invertible blocks
        (a_1, b_1, b_1, d_1), (a_L, c_L, c_L, d_L): the error is then ``||D_row (A - .) D_col||_F``.
    pad : pad with zero rows and columns up to a shape that the chain takes, and crop afterwards.
    dtype : type of the factors; default: that of ``A``.
    overwrite : do not keep ``A``: the lower bound is computed at once instead of on demand, and ``A`` may be
        changed or freed afterwards.

    Returns
    -------
    ButterflyFactorization, with the factors, the exact error and, on demand, the lower bound.

    Raises
    ------
    ValueError
        NaN or infinite entries, shapes that do not fit, a chain that is not chainable.

    Notes
    -----
    With ``order`` "left", "right" or "best" the error is at most ``sqrt(L - 1)`` times the best
    possible one, and optimal for two factors. Source: Le, Zheng, Riccietti, Gribonval 2025; the
    constant is proved on the user page.

    Examples
    --------
    >>> import numpy as np, scipy.linalg
    >>> fact = butterfly(scipy.linalg.hadamard(64), "dyadic")
    >>> fact.exact, fact.n_params, fact.chain.shape
    (True, 768, (64, 64))
    >>> noise = np.random.default_rng(0).standard_normal((64, 64))
    >>> fact = butterfly(noise, Chain.monarch(64))
    >>> fact.optimal, round(fact.relative_error, 3)
    (True, 0.778)
    """
    stack, problem, many = check_problem(A, chain, order, perm, refine, row_weight, col_weight, pad, dtype)
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            answers = _solve(stack, problem)
    except (_OutOfRange, np.linalg.LinAlgError):  # squares would overflow or vanish, or the input is not finite
        require_finite(stack)
        peaks = np.abs(stack).max(axis=(1, 2)).astype(np.float64)
        scales = np.array([unit_scale(peak) for peak in peaks])
        unit = problem.weights.to_unit_size()
        scaled = (stack / scales[:, None, None]).astype(stack.dtype)
        unscaled = _solve(scaled, replace(problem, weights=replace(unit, scale=1.0)), in_range=True)
        answers = [rescaled(answer, float(scale), unit.scale) for answer, scale in zip(unscaled, scales, strict=True)]
    if overwrite:
        answers = [
            replace(
                answer,
                _splits=answer.split_errors,
                _unweighted=answer.unweighted_error if answer.weighted else None,
                _target=None,
            )
            for answer in answers
        ]
    # a stack gives a tuple: said in the docstring, kept out of the type so that a matrix needs no cast
    return tuple(answers) if many else answers[0]  # type: ignore[return-value]


class _OutOfRange(Exception):
    """Squares of the entries overflow or vanish, or an entry is not finite."""


def _solve(stack: Array, problem: Problem, in_range: bool = False) -> list[ButterflyFactorization]:
    """The best answer over permutations and orders for each matrix of the stack, refined."""
    padded = _pad(stack, problem.chain)
    best: list[ButterflyFactorization | None] = [None] * len(stack)
    for columns in problem.candidates:
        permuted = padded if columns is None else padded[:, :, columns]
        target = problem.weights.apply(permuted, columns)
        watched = [Target.watch(t, p, problem.weights, columns) for t, p in zip(target, padded, strict=True)]
        for order in problem.orders:
            fit = run(target, problem.chain, order)
            if not in_range and not _is_safe(fit.energy, target.real.dtype):
                raise _OutOfRange
            for i, answer in enumerate(_answers(fit, problem, order, watched)):
                kept = best[i]
                if kept is None or answer.error < kept.error:
                    best[i] = answer
            if all(answer is not None and answer.exact for answer in best):
                break  # the other end cannot do better than rounding
    answers = [answer for answer in best if answer is not None]
    if problem.sweeps:
        from .refine import refined

        answers = [refined(answer, problem.sweeps) for answer in answers]
    return [measured(answer) for answer in answers]


def _is_safe(energy: Array, real: np.dtype) -> bool:
    """Whether squares of entries, and of those squares, are well inside the range of the type."""
    # the energies of single precision are sums of squares formed in it
    low, high = (1e-120, 1e120) if real == np.float64 else (1e-16, 1e34)
    return bool(((energy > low) & (energy < high)).all())


def _pad(stack: Array, chain: Chain) -> Array:
    rows, cols = chain.shape
    if stack.shape[1:] == (rows, cols):
        return stack
    padded = np.zeros((len(stack), rows, cols), stack.dtype)
    padded[:, : stack.shape[1], : stack.shape[2]] = stack
    return padded


# -- one run -----------------------------------------------------------------------------------


def run(target: Array, chain: Chain, order: Any) -> Fit:
    """Factors of ``chain`` for each matrix of a stack: transposed and reduced as needed."""
    if not chain.chainable:
        mirror = {"left": "right", "right": "left"}
        if isinstance(order, tuple):
            order = tuple(len(chain) - p for p in order)
        fit = run(np.ascontiguousarray(target.transpose(0, 2, 1)), chain.T, mirror.get(order, order))
        factors = [np.ascontiguousarray(x.transpose(0, 2, 1, 3)) for x in reversed(fit.factors)]
        return replace(fit, factors=factors, lost=fit.lost[::-1], centre=len(factors) - 1 - fit.centre)
    reduced, _ = chain.reduce()
    steps = balanced_order(len(reduced)) if order == "balanced" else order
    fit = factorize_stack(target, reduced, steps)
    if reduced != chain and fit.factors:
        fit.factors, fit.centre = expand(fit.factors, fit.centre, chain)
    return fit


def _answers(fit: Fit, problem: Problem, order: Any, watched: list[Target]) -> list[ButterflyFactorization]:
    """The answer for each matrix of the stack, from one run."""
    n, weights = len(watched), problem.weights
    stored = [x.reshape(n, -1, *x.shape[1:]) for x in fit.factors]
    errors, norms, steps, outside = fit.error, fit.norm, np.sqrt(fit.lost), np.sqrt(fit.outside)
    answers = []
    for i, target in enumerate(watched):
        factors = weights.undo([x[i] for x in stored], target.columns)
        answers.append(
            ButterflyFactorization(
                factors=tuple(x.astype(problem.dtype, copy=False) for x in factors),
                chain=problem.chain,
                shape=problem.shape,
                perm=target.columns,
                order=order if isinstance(order, str) else "splits " + ",".join(map(str, order)),
                centre=fit.centre,
                error=float(errors[i]),
                norm=float(norms[i]),
                step_errors=steps[:, i],
                outside=float(outside[i]),
                weighted=weights.given,
                notes=weights.notes,
                _target=target,
            )
        )
    return answers
