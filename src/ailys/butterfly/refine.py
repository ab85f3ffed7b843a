"""Sweeps of alternating optimisation over the pairs of neighbouring factors.

When all the factors on the left of a pair are orthonormal and so are those on its right, the best
pair given the others is the two-factor approximation of ``P^H A Q^H`` restricted to the support of
the pair: the residual outside is the same for every pair. A sweep visits the pairs from one end
to the other, so the error cannot grow, and the guarantee of the start stays.
"""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np

from .architecture import Chain
from .factorization import ButterflyFactorization, Target, measured, norm_of, rescaled
from .orders import expand, merge_groups
from .truncation import extract_support, move_right, project_left, project_right, split, unit_scale, working_array
from .weights import Weights

__all__ = ["refine_answer", "refined"]

Array = np.ndarray
_RELATIVE_GAIN = 1e-6  # sweeps stop when one gains less than this


def refine_answer(answer: ButterflyFactorization, A: Any, sweeps: int) -> ButterflyFactorization:
    """`ButterflyFactorization.refine`: check that ``A`` is the matrix, then sweep."""
    if isinstance(sweeps, bool) or not isinstance(sweeps, Integral) or sweeps < 0:
        raise ValueError(f"sweeps must be a whole number, 0 or more; got {sweeps!r}")
    given = working_array(A)[0]
    if given.shape != answer.shape:
        raise ValueError(f"A must have shape {answer.shape}; got {given.shape}")
    target = answer._target
    if target is None:
        if answer.weighted:
            raise ValueError("the weights are not kept in a file, so a weighted factorization cannot be refined")
        target = _target_of(answer, given)
    target.check()
    rows, cols = answer.shape
    if not np.allclose(given / target.scale, target.plain[:rows, :cols], rtol=1e-6, atol=0):
        raise ValueError("A is not the matrix that was factorized")
    unit = rescaled(replace(answer, _target=target), 1 / target.scale, 1 / target.weights.scale)
    finer = refined(unit, int(sweeps))
    back = measured(replace(rescaled(finer, target.scale, target.weights.scale), _target=target))
    return back if back.error < answer.error else answer


def _target_of(answer: ButterflyFactorization, A: Array) -> Target:
    """The target of a factorization that came without one, rebuilt from the matrix."""
    peak = float(np.abs(A).max())
    scale = 1.0 if 1e-50 < peak < 1e50 else unit_scale(peak)
    plain = np.zeros(answer.chain.shape, A.dtype)
    plain[: A.shape[0], : A.shape[1]] = A / scale
    if not np.isclose(scale * norm_of(plain), answer.norm, rtol=1e-6, atol=0):
        raise ValueError("A is not the matrix that was factorized")
    matrix = plain if answer.perm is None else plain[:, answer.perm]
    target = Target.watch(matrix, plain, Weights(None, None), answer.perm)
    return replace(target, scale=scale)


def refined(answer: ButterflyFactorization, sweeps: int) -> ButterflyFactorization:
    """The answer after at most ``sweeps`` sweeps on its target (weighted, permuted, padded) matrix."""
    watched = answer._target
    assert watched is not None
    target = watched.matrix
    chain, mirrored = answer.chain, not answer.chain.chainable
    factors = [x.astype(target.dtype, copy=False) for x in watched.weights.redo(list(answer.factors), answer.perm)]
    if mirrored:
        chain, target = chain.T, np.ascontiguousarray(target.T)
        factors = [np.ascontiguousarray(x.transpose(0, 2, 1, 3)) for x in reversed(factors)]
    reduced, _ = chain.reduce()
    depth = len(reduced)
    if depth <= 2 or sweeps == 0 or answer.error == 0:
        return answer
    state = merge_groups(factors, chain)
    for l in range(depth - 1):  # the centre goes to the right end
        state[l], state[l + 1] = move_right(state[l], state[l + 1], reduced[l], reduced[l + 1])
    z, outside = extract_support(target[None], reduced.product())
    start = answer.error
    error, done, lost = start, 0, answer.step_errors**2
    best = state
    for sweep in range(sweeps):
        step = _leftward if sweep % 2 == 0 else _rightward
        state, lost_now = step(z, reduced, state)
        now = float(np.sqrt(lost_now.sum() + outside[0]))
        if not now < error:
            break
        gain = (error - now) / error
        error, best, lost, done = now, state, lost_now, sweep + 1
        if gain < _RELATIVE_GAIN:
            break
    if not done:
        return answer
    centre = 0 if done % 2 else depth - 1
    final, centre = expand(best, centre, chain)
    if mirrored:
        final = [np.ascontiguousarray(x.transpose(0, 2, 1, 3)) for x in reversed(final)]
        centre, lost = len(final) - 1 - centre, lost[::-1]
    final = watched.weights.undo(final, answer.perm)
    dtype = answer.factors[0].dtype
    return replace(
        answer,
        factors=tuple(x.astype(dtype, copy=False) for x in final),
        centre=centre,
        error=error,
        step_errors=np.sqrt(lost),
        sweeps=answer.sweeps + done,
        _unweighted=None,
    )


def _leftward(z: Array, chain: Chain, factors: list[Array]) -> tuple[list[Array], Array]:
    """Pairs from the right end to the left; the centre starts at the right end and ends at the left."""
    depth = len(chain)
    factors = list(factors)
    left = [z]  # left[l] = (X_1 ... X_l)^H A on the support of factors l+1..L
    for l in range(depth - 2):
        left.append(project_left(left[l], factors[l], chain[l], chain.product(l + 1))[0])
    lost = np.zeros(depth - 1)
    for l in range(depth - 2, -1, -1):
        y = left[l]
        for j in range(depth - 1, l + 1, -1):
            y, e = project_right(y, factors[j], chain.product(l, j), chain[j])
            lost[j - 1] = e.sum()  # the last pass (l = 0) leaves the losses of the final factors
        factors[l], factors[l + 1], e = split(y, chain[l], chain[l + 1], "right")
        lost[l] = e.sum()
    return factors, lost


def _rightward(z: Array, chain: Chain, factors: list[Array]) -> tuple[list[Array], Array]:
    """The mirror image of `_leftward`."""
    depth = len(chain)
    factors = list(factors)
    right = [z]  # right[j] = A (X_{L-j+1} ... X_L)^H on the support of factors 1..L-j
    for j in range(depth - 2):
        last = depth - 1 - j
        right.append(project_right(right[j], factors[last], chain.product(0, last), chain[last])[0])
    lost = np.zeros(depth - 1)
    for l in range(depth - 1):
        y = right[depth - 2 - l]
        for j in range(l):
            y, e = project_left(y, factors[j], chain[j], chain.product(j + 1, l + 2))
            lost[j] = e.sum()
        factors[l], factors[l + 1], e = split(y, chain[l], chain[l + 1], "left")
        lost[l] = e.sum()
    return factors, lost
