"""`butterfly`: the best product of Kronecker-sparse factors for a matrix, with its certificate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .architecture import Chain
from .factorization import ButterflyFactorization, Target
from .orders import Fit, balanced_order, expand, factorize_stack
from .weights import Weights

__all__ = ["butterfly", "check_matrix"]

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
    order : "best" (both of the next two, the better is kept), "left" or "right" (factors are peeled
        off from that end), "balanced", or a sequence of the split positions 1..L-1.
    perm : None, "bitrev", a permutation of the columns, or a list of these (the best is kept):
        the answer then approximates ``A[:, perm]`` by the product and permutes back.
    refine : number of sweeps of alternating optimisation afterwards; the error never grows.
    row_weight, col_weight : positive weights (M,), (N,), or arrays of invertible blocks
        (a_1, b_1, b_1, d_1), (a_L, c_L, c_L, d_L): the error is then ``||D_row (A - .) D_col||_F``.
    pad : pad with zero rows and columns up to a shape that the chain takes, and crop afterwards.
    dtype : type of the factors; default: that of ``A``.
    overwrite : allow weights and scaling to be applied to ``A`` in place. ``A`` is then not kept and
        the lower bound is computed at once instead of on demand.

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
    matrix, chain, original = check_matrix(A, chain, pad=pad)
    out_dtype = original if dtype is None else np.dtype(dtype)
    if out_dtype.kind not in "fc" and out_dtype.name != "bfloat16":
        raise ValueError(f"dtype must be a floating-point or complex type; got {out_dtype}")
    if matrix.dtype.kind == "c" and out_dtype.kind != "c":
        raise ValueError(f"a complex matrix cannot be returned as {out_dtype}; leave dtype out or use a complex one")
    compute = np.result_type(matrix.dtype, np.float32 if out_dtype.itemsize <= 2 else out_dtype)
    stack = (matrix if matrix.ndim == 3 else matrix[None]).astype(compute, copy=False)
    shape = stack.shape[1:]
    orders = _orders(order, chain)
    if not isinstance(refine, int) or refine < 0:
        raise ValueError(f"refine must be a number of sweeps, 0 or more; got {refine!r}")

    weights = Weights.check(row_weight, col_weight, chain, shape)
    candidates = _permutations(perm, shape[1], chain.shape[1])
    if weights.blocks and candidates != [None]:
        raise ValueError("block weights belong to fixed columns: give perm=None, or weights of shape (M,) and (N,)")
    padded = _pad(stack, chain)
    if weights.blocks and padded is not stack:
        raise ValueError("block weights need a matrix of the shape of the chain: give weights (M,) and (N,) to pad")
    best: list[ButterflyFactorization | None] = [None] * len(stack)
    for columns in candidates:
        permuted = padded if columns is None else padded[:, :, columns]
        target = weights.apply(permuted, columns, in_place=overwrite or permuted is not padded)
        for name in orders:
            answers = _answers(target, padded, chain, name, weights, columns, shape, out_dtype)
            for i, answer in enumerate(answers):
                kept = best[i]
                if kept is None or answer.error < kept.error:
                    best[i] = answer
    answers = [answer for answer in best if answer is not None]
    if refine:
        from .refine import refined

        answers = [refined(answer, answer._target.matrix, refine) for answer in answers]  # type: ignore[union-attr]
    if overwrite:
        answers = [replace(answer, _splits=answer.split_errors, _target=None) for answer in answers]
    # a stack gives a tuple: said in the docstring, kept out of the type so that a matrix needs no cast
    return tuple(answers) if matrix.ndim == 3 else answers[0]  # type: ignore[return-value]


# -- what is accepted --------------------------------------------------------------------------


def check_matrix(A: Any, chain: Any, *, pad: bool = False, finite: bool = False) -> tuple[Array, Chain, np.dtype]:
    """The matrix as a float array, the chain made for its shape, and the type that the user gave."""
    matrix = _as_array(A)
    if matrix.ndim not in (2, 3):
        raise ValueError(
            f"expected a matrix (M, N) or a stack of matrices (n, M, N); got an array of shape {matrix.shape}"
        )
    if 0 in matrix.shape:
        raise ValueError(f"the matrix is empty: its shape is {matrix.shape}")
    if matrix.dtype.kind in "biu":
        matrix = matrix.astype(np.float64)
    original = matrix.dtype
    if original.name in ("float16", "bfloat16"):
        matrix = matrix.astype(np.float32)
    elif original not in (np.float32, np.float64, np.complex64, np.complex128):
        kind = np.complex128 if original.kind == "c" else np.float64
        if original.kind not in "fc":
            raise ValueError(f"expected numbers; got an array of type {original}")
        matrix = matrix.astype(kind)
    shape = matrix.shape[-2:]
    if isinstance(chain, str):
        chain = Chain.parse(chain, _padded_shape(chain, shape) if pad else shape)
    elif not isinstance(chain, Chain):
        chain = Chain(chain)
    if not chain.chainable and not chain.co_chainable:
        raise ValueError(f"the chain is not chainable, and its transpose is not either; {chain.fault}")
    if shape != chain.shape:
        if pad and shape[0] <= chain.shape[0] and shape[1] <= chain.shape[1]:
            return matrix, chain, original
        near = tuple(-(-have // want) * want for have, want in zip(shape, chain.shape, strict=True))
        hint = (
            "pass pad=True" if near == chain.shape else f"a chain for {near[0]} x {near[1]} would take it with pad=True"
        )
        raise ValueError(
            f"the matrix is {shape[0]} x {shape[1]} and the chain is for {chain.shape[0]} x {chain.shape[1]}: {hint}"
        )
    return matrix, chain, original


def _as_array(A: Any) -> Array:
    if hasattr(A, "detach"):  # a torch tensor
        A = A.detach().cpu()
        if str(A.dtype) == "torch.bfloat16":
            import ml_dtypes

            return A.float().numpy().astype(ml_dtypes.bfloat16)
        return np.asarray(A.numpy())
    if hasattr(A, "toarray"):  # SciPy sparse
        A = A.toarray()
    try:
        matrix = np.asarray(A)
    except ValueError as fault:
        raise ValueError("expected a matrix; the rows given have different lengths") from fault
    if matrix.dtype.kind not in "biufc" and matrix.dtype.name != "bfloat16":
        raise ValueError(f"expected a matrix of numbers; got an array of type {matrix.dtype}")
    return matrix


def _padded_shape(text: str, shape: tuple[int, int]) -> tuple[int, int]:
    """Smallest shape, at least the given one, that a named chain takes."""
    if text.strip().lower() == "dyadic":
        n = 1 << (max(shape) - 1).bit_length()
        return n, n
    if text.strip().lower().startswith("monarch"):
        # square blocks: the next multiple of the rounded square root splits in two
        return tuple(-(-n // (s := max(1, round(n**0.5)))) * s for n in shape)  # type: ignore[return-value]
    return shape


def require_finite(stack: Array) -> None:
    """Raise a sentence that names the first entry that is not finite."""
    bad = ~np.isfinite(stack)
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0][-2:])
        raise ValueError(
            f"the matrix has {int(bad.sum())} NaN or infinite entries, the first at row {index[0]}, column {index[1]}"
            " (counted from 0); replace or remove them first"
        )


def _orders(order: str | Sequence[int], chain: Chain) -> list[Any]:
    depth = len((chain if chain.chainable else chain.T).reduce()[0])
    if isinstance(order, str):
        if order == "best":
            return ["left", "right"] if depth > 2 else ["left"]
        if order == "balanced":
            return ["balanced"]
        if order in ("left", "right"):
            return [order]
        raise ValueError(f"order must be 'best', 'left', 'right', 'balanced' or split positions; got {order!r}")
    positions = [int(p) for p in order]
    if depth != len(chain):
        raise ValueError(f"split positions need a chain without redundancy; its reduction has {depth} factors")
    if sorted(positions) != list(range(1, len(chain))):
        raise ValueError(f"order must hold each split position 1..{len(chain) - 1} once; got {positions}")
    return [tuple(positions)]


def _permutations(perm: Any, n: int, padded: int) -> list[Array | None]:
    """The candidate column permutations; columns added by padding stay at the end."""
    if perm is None:
        return [None]
    if isinstance(perm, str):
        from .closed_forms import bit_reversal

        if perm != "bitrev":
            raise ValueError(
                f"perm must be None, 'bitrev', a permutation of 0..{n - 1} or a list of these; got {perm!r}"
            )
        return [bit_reversal(padded)]
    if isinstance(perm, (list, tuple)) and (not perm or not all(isinstance(p, (int, np.integer)) for p in perm)):
        if not perm:
            raise ValueError("perm is an empty list; give at least one permutation")
        return [one for p in perm for one in _permutations(p, n, padded)]
    columns = np.asarray(perm)
    if columns.shape != (n,) or columns.dtype.kind not in "iu" or not np.array_equal(np.sort(columns), np.arange(n)):
        raise ValueError(f"perm must hold each column number 0..{n - 1} once; got an array of shape {columns.shape}")
    return [np.concatenate([columns, np.arange(n, padded)]).astype(np.int64)]


def _pad(stack: Array, chain: Chain) -> Array:
    rows, cols = chain.shape
    if stack.shape[1:] == (rows, cols):
        return stack
    padded = np.zeros((len(stack), rows, cols), stack.dtype)
    padded[:, : stack.shape[1], : stack.shape[2]] = stack
    return padded


# -- one run -----------------------------------------------------------------------------------


def run(target: Array, chain: Chain, order: Any) -> Fit:
    """Factors of ``chain`` for each matrix of a stack: transposed, reduced and rescaled as needed."""
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
    # energies are squared once more on the way, and those of single precision are formed in it
    low, high = (1e-140, 1e140) if target.real.dtype == np.float64 else (1e-20, 1e36)
    if not ((fit.energy > low) & (fit.energy < high)).all():
        # squares overflowed or underflowed, or the input is not finite
        require_finite(target)
        peak = np.abs(target).max(axis=(1, 2))
        scale = np.where(peak > 0, np.exp2(np.floor(np.log2(np.where(peak > 0, peak, 1)))), 1)
        if (scale != 1).any():
            fit = factorize_stack(target / scale[:, None, None].astype(target.real.dtype), reduced, steps)
            centre = fit.factors[fit.centre]
            per_slice = np.repeat(scale, len(centre) // len(scale)).astype(target.real.dtype)
            fit.factors[fit.centre] = centre * per_slice[:, None, None, None]
            fit.scale = scale
    if reduced != chain:
        fit.factors, fit.centre = expand(fit.factors, fit.centre, chain)
    return fit


def _answers(
    target: Array,
    padded: Array,
    chain: Chain,
    order: Any,
    weights: Weights,
    columns: Array | None,
    shape: tuple[int, int],
    dtype: np.dtype,
) -> list[ButterflyFactorization]:
    """The answer for each matrix of the stack, from one run."""
    fit = run(target, chain, order)
    n = len(target)
    scale = np.broadcast_to(fit.scale, n)
    stored = [x.reshape(n, -1, *x.shape[1:]) for x in fit.factors]
    answers = []
    for i in range(n):
        factors = weights.undo([x[i] for x in stored], columns)
        answer = ButterflyFactorization(
            factors=tuple(x.astype(dtype, copy=False) for x in factors),
            chain=chain,
            shape=shape,
            perm=columns,
            order=order if isinstance(order, str) else "splits " + ",".join(map(str, order)),
            scale_side={0: "left", len(factors) - 1: "right"}.get(fit.centre, "inner"),
            error=float(fit.error[i]),
            norm=float(fit.norm[i]),
            step_errors=scale[i] * np.sqrt(fit.lost[:, i]),
            outside=float(scale[i] * np.sqrt(fit.outside[i])),
            weighted=weights.given,
            notes=weights.notes,
            _target=Target.watch(target[i], padded[i], weights, columns),
        )
        answers.append(answer if shape == chain.shape else _cropped(answer, weights))
    return answers


def _cropped(answer: ButterflyFactorization, weights: Weights) -> ButterflyFactorization:
    """The answer with the error of the matrix that the user gave, without the padding.

    Zeroing the padded rows and columns of any matrix of the class stays in the class, so the best
    error of the padded problem is that of the cropped one, and the lower bound holds for both.
    """
    target = answer._target
    assert target is not None
    rows, cols = answer.shape
    residual = target.plain[:rows, :cols] - answer.toarray()
    if weights.row is not None:
        residual = residual * weights.row[:rows, None]
    if weights.col is not None:
        residual = residual * weights.col[:cols]
    return replace(answer, error=min(answer.error, float(np.linalg.norm(residual))))
