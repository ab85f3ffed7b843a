"""Which chain? Enumeration of the chainable chains of a shape, and the trade of error against size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.answer import Answer
from ..core.guarantee import Guarantee
from .architecture import Chain
from .factorize import butterfly
from .problem import require_finite
from .truncation import block_spectra, unit_scale, working_array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ParetoResult", "enumerate_chains", "pareto_chains"]


def _ordered_factorizations(n: int, depth: int) -> list[tuple[int, ...]]:
    """All ways to write ``n`` as an ordered product of ``depth`` positive integers."""
    if depth == 1:
        return [(n,)]
    small = [d for d in range(1, math.isqrt(n) + 1) if n % d == 0]
    divisors = [*small, *(n // d for d in reversed(small) if d * d != n)]
    return [(d, *rest) for d in divisors for rest in _ordered_factorizations(n // d, depth - 1)]


def enumerate_chains(
    shape: tuple[int, int], *, max_params: int, max_depth: int = 3, max_rank: int | None = None
) -> Iterator[Chain]:
    """All chainable chains without redundancy of a shape, with ``a_1 = d_L = 1``.

    Parameters
    ----------
    shape : (M, N)
    max_params : largest number of parameters
    max_depth : largest number of factors (>= 1); the dense chain has depth 1
    max_rank : largest rank; default: whatever is not redundant and fits in ``max_params``

    Yields
    ------
    Chain, by depth; each chain once.

    Raises
    ------
    ValueError
        A shape or a depth that is not positive.

    Examples
    --------
    >>> [str(chain) for chain in enumerate_chains((4, 4), max_params=16, max_depth=2)][:2]
    ['(1,4,4,1)', '(1,2,1,2)(1,2,4,1)']
    """
    m, n = shape
    if m < 1 or n < 1:
        raise ValueError(f"shape must be two positive integers; got {shape}")
    if max_depth < 1:
        raise ValueError(f"max_depth must be at least 1; got {max_depth}")
    if m * n <= max_params:
        yield Chain.dense(shape)
    # every factor of a chain without redundancy has q > 1 or p > 1, so there are no more of them than prime factors
    for depth in range(2, min(max_depth, m.bit_length() + n.bit_length() - 2) + 1):
        for q, p in product(_ordered_factorizations(m, depth), _ordered_factorizations(n, depth)):
            if any(a == b == 1 for a, b in zip(q, p, strict=True)):
                continue
            for ranks in _ranks(q, p, max_params, max_rank):
                yield Chain.from_splits(q, p, ranks)


def _ranks(q: Sequence[int], p: Sequence[int], max_params: int, max_rank: int | None) -> Iterator[tuple[int, ...]]:
    """Ranks without redundancy, ``r_l < min(q_l r_{l-1}, p_{l+1} r_{l+1})``, within the parameters."""
    depth = len(q)
    areas = [math.prod(p[: l + 1]) * math.prod(q[l:]) for l in range(depth)]

    def extend(ranks: tuple[int, ...], params: int) -> Iterator[tuple[int, ...]]:
        l = len(ranks)
        before = ranks[-1] if ranks else 1
        if l == depth - 1:
            if params + areas[l] * before <= max_params and _irredundant(q, p, ranks):
                yield ranks
            return
        rest = sum(areas[l + 1 :])
        top = q[l] * before - 1
        if max_rank is not None:
            top = min(top, max_rank)
        for r in range(1, top + 1):
            grown = params + areas[l] * before * r
            if grown + rest > max_params:
                break
            yield from extend((*ranks, r), grown)

    yield from extend((), 0)


def _irredundant(q: Sequence[int], p: Sequence[int], ranks: tuple[int, ...]) -> bool:
    r = (1, *ranks, 1)
    return all(r[l] < min(q[l - 1] * r[l - 1], p[l] * r[l + 1]) for l in range(1, len(q)))


@dataclass(frozen=True, eq=False)
class ParetoResult(Answer):
    """Chains that no other candidate beats in both parameters and error.

    Attributes
    ----------
    chains : tuple of Chain, by increasing number of parameters
    n_params, relative_errors : arrays of the same length
    optimal : whether each error is proved to be the best possible one of its chain
    n_candidates : how many chains were compared
    max_params : the budget
    """

    chains: tuple[Chain, ...]
    n_params: np.ndarray
    relative_errors: np.ndarray
    optimal: np.ndarray
    n_candidates: int
    max_params: int

    @cached_property
    def best(self) -> Chain:
        """The chain of least error within the budget."""
        return self.chains[-1]

    @property
    def guarantee(self) -> Guarantee | None:
        """Two-factor candidates are compared by their exact best errors."""
        if not self.optimal.all():
            return None
        return Guarantee(
            "optimal",
            f"each chain is given with its best possible error, and none of the {self.n_candidates} candidates "
            "is both smaller and closer",
            values={"best_relative_error": float(self.relative_errors[-1])},
            source="Eckart and Young block by block; docs, butterfly, section 'The method in a page'",
        )

    def facts(self) -> Mapping[str, Any]:
        """Best chain and the front."""
        return {
            "best_chain": str(self.best),
            "n_params": int(self.n_params[-1]),
            "relative_error": float(self.relative_errors[-1]),
            "n_candidates": self.n_candidates,
            "max_params": self.max_params,
            "front": [
                {"chain": str(c), "n_params": int(n), "relative_error": float(e)}
                for c, n, e in zip(self.chains, self.n_params, self.relative_errors, strict=True)
            ],
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """Error against parameters, with the best chain marked."""
        from .plots import plot_pareto

        return plot_pareto(self, ax)


def pareto_chains(
    A: Any,
    *,
    budget: float | int = 0.5,
    max_depth: int = 2,
    max_rank: int | None = None,
    extra: Sequence[Chain | str] = (),
) -> ParetoResult:
    """Chains on the front of error against parameters for a matrix.

    Every two-factor chain is compared, with every rank, by its exact best error: one singular value
    decomposition of the blocks of a split gives the errors of all its ranks. Low rank and the dense
    matrix are among them. Deeper chains (``max_depth`` > 2, rank one) and those in ``extra`` are
    factorized.

    Parameters
    ----------
    A : (M, N) matrix
    budget : largest number of parameters: a fraction of ``M N`` (0 < budget <= 1), or an int
    max_depth, max_rank : see `enumerate_chains`; ranks are capped at two factors only
    extra : further chains to compare, or their texts

    Raises
    ------
    ValueError
        NaN or infinite entries, a budget out of range, or one that no chain fits.

    Examples
    --------
    >>> import numpy as np
    >>> a = np.outer(np.arange(1.0, 7), np.ones(6)) + 0.01 * np.eye(6)
    >>> front = pareto_chains(a, budget=12)
    >>> str(front.best), front.n_params.tolist()
    ('(1,6,1,1)(1,1,6,1)', [12])
    """
    matrix = working_array(A)[0]
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ValueError(f"expected one matrix; got an array of shape {matrix.shape}")
    require_finite(matrix)
    peak = float(np.abs(matrix).max())
    if peak:  # errors are relative: a power of two changes nothing, and squares stay in range
        matrix = matrix / matrix.real.dtype.type(unit_scale(peak))
    m, n = matrix.shape
    if isinstance(budget, Integral):
        max_params = int(budget)
    else:
        if not 0 < budget <= 1:
            raise ValueError(f"budget as a fraction must be in (0, 1]; got {budget} (an int counts parameters)")
        max_params = int(float(budget) * m * n)
    rivals = [Chain.parse(chain, (m, n)) if isinstance(chain, str) else chain for chain in extra]
    norm = float(np.linalg.norm(matrix.astype(np.result_type(matrix.dtype, np.float64))))
    found: list[tuple[int, float, bool, Chain]] = []
    if m * n <= max_params:
        found.append((m * n, 0.0, True, Chain.dense((m, n))))
    pairs = product(_ordered_factorizations(m, 2), _ordered_factorizations(n, 2)) if max_depth >= 2 else ()
    for q, p in pairs:
        top = min(q[0], p[1]) - 1 if max_rank is None else min(q[0] - 1, p[1] - 1, max_rank)
        top = min(top, max_params // (p[0] * q[1] * (q[0] + p[1])))
        if top < 1:
            continue
        chain = Chain.from_splits(q, p, 1)
        energy = block_spectra(matrix, chain[0], chain[1])  # energy of each singular index, over all blocks
        tails = np.sqrt(np.maximum(np.cumsum(energy[::-1])[::-1], 0))
        for r in range(1, top + 1):
            error = float(tails[r]) / norm if r < len(tails) and norm > 0 else 0.0
            found.append((r * chain.n_params, error, True, Chain.from_splits(q, p, r)))
    deeper = [
        chain
        for chain in enumerate_chains((m, n), max_params=max_params, max_depth=max_depth, max_rank=1)
        if len(chain) > 2
    ]
    for chain in [*deeper, *rivals]:
        if chain.n_params <= max_params:
            answer = butterfly(matrix, chain)
            found.append((chain.n_params, answer.relative_error, answer.optimal, chain))
    if not found:
        smallest = min(c.n_params for c in enumerate_chains((m, n), max_params=m * n, max_depth=2, max_rank=1))
        raise ValueError(f"no chain of {m} x {n} has at most {max_params} parameters; the smallest has {smallest}")
    found.sort(key=lambda item: (item[0], item[1]))
    front: list[tuple[int, float, bool, Chain]] = []
    for item in found:
        if not front or item[1] < front[-1][1]:
            front.append(item)
    return ParetoResult(
        chains=tuple(item[3] for item in front),
        n_params=np.array([item[0] for item in front]),
        relative_errors=np.array([item[1] for item in front]),
        optimal=np.array([item[2] for item in front]),
        n_candidates=len(found),
        max_params=max_params,
    )
