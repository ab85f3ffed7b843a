"""Chains of patterns: the butterfly architectures.

A chain of patterns describes the class of the products ``X_1 X_2 ... X_L`` of factors with these
patterns. When the chain is *chainable*, a best approximation in the class exists and can be
approached with a guarantee.

Source: Le, Zheng, Riccietti, Gribonval, *Butterfly factorization with error guarantees*,
SIAM J. Matrix Anal. Appl. 46(4), 2025 (chainability, redundancy: Def. 4.18, Alg. 4.1).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from .pattern import Pattern, as_pattern, pair_fault

if TYPE_CHECKING:
    import scipy.sparse
    from matplotlib.axes import Axes

__all__ = ["Chain", "Pattern"]


@dataclass(frozen=True)
class Chain:
    """A butterfly architecture: the patterns of the factors ``X_1 X_2 ... X_L``, left to right.

    Parameters
    ----------
    patterns : iterable of (a, b, c, d)
        Positive integers; the number of columns of each factor is the number of rows of the next.

    Raises
    ------
    ValueError
        If the chain is empty, a number is not a positive integer, or two sizes do not match.

    Examples
    --------
    >>> chain = Chain([(1, 2, 2, 4), (2, 2, 2, 2), (4, 2, 2, 1)])
    >>> chain == Chain.dyadic(8), chain.shape, chain.n_params, chain.ranks
    (True, (8, 8), 48, (1, 1))
    """

    patterns: tuple[Pattern, ...]

    def __init__(self, patterns: Iterable[Sequence[int]]) -> None:
        object.__setattr__(self, "patterns", tuple(as_pattern(p, i) for i, p in enumerate(patterns)))
        if not self.patterns:
            raise ValueError("a chain needs at least one pattern (a, b, c, d); got none")
        for i, (left, right) in enumerate(pairwise(self.patterns)):
            if left.shape[1] != right.shape[0]:
                raise ValueError(
                    f"factors {i + 1} and {i + 2} do not fit: {tuple(left)} has {left.shape[1]} columns, "
                    f"{tuple(right)} has {right.shape[0]} rows"
                )

    # -- what the chain is ---------------------------------------------------------------------

    def __iter__(self) -> Iterator[Pattern]:
        return iter(self.patterns)

    def __len__(self) -> int:
        return len(self.patterns)

    def __getitem__(self, index: int) -> Pattern:
        return self.patterns[index]

    def __str__(self) -> str:
        return "".join(f"({p.a},{p.b},{p.c},{p.d})" for p in self.patterns)

    def __matmul__(self, other: Chain) -> Chain:
        """Concatenation: the class of the products of a matrix of each class."""
        return Chain(self.patterns + other.patterns)

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Shape of the matrices in the class."""
        return self.patterns[0].shape[0], self.patterns[-1].shape[1]

    @cached_property
    def n_params(self) -> int:
        """Number of entries stored, the sum of ``abcd``."""
        return sum(p.n_params for p in self.patterns)

    @cached_property
    def fault(self) -> str | None:
        """Why the chain is not chainable (first bad pair and the rule it breaks), or None."""
        for i, (left, right) in enumerate(pairwise(self.patterns)):
            if reason := pair_fault(left, right):
                return f"factors {i + 1} and {i + 2}, {tuple(left)} and {tuple(right)}: {reason}"
        return None

    @cached_property
    def chainable(self) -> bool:
        """Whether a best approximation exists and the guarantees hold (Le et al. 2025)."""
        return self.fault is None

    @cached_property
    def co_chainable(self) -> bool:
        """Whether the chain of the transposed matrices is chainable."""
        return self.T.chainable

    @cached_property
    def T(self) -> Chain:
        """Chain of the transposed matrices: transposed patterns in reverse order."""
        return Chain(p.T for p in reversed(self.patterns))

    @cached_property
    def ranks(self) -> tuple[int, ...]:
        """Ranks ``r_l = a_l c_l / a_{l+1}`` of the blocks at the L - 1 splits (chainable chains)."""
        self._require_chainable("ranks")
        return tuple(left.a * left.c // right.a for left, right in pairwise(self.patterns))

    @cached_property
    def redundant(self) -> bool:
        """Whether some consecutive pair can be merged at no loss (``r >= min(b, next c)``)."""
        return (self if self.chainable else self.T).first_redundant() is not None

    @cached_property
    def dim(self) -> int:
        """Dimension of the class: parameters minus the freedom of rescaling between factors."""
        reduced = self.reduce()[0]
        reduced = reduced if reduced.chainable else reduced.T
        classes = (p.a * p.c * p.d // r for p, r in zip(reduced.patterns, reduced.ranks, strict=False))
        return reduced.n_params - sum(n * r * r for n, r in zip(classes, reduced.ranks, strict=True))

    def to_dict(self) -> dict[str, object]:
        """Machine-readable description."""
        return {"patterns": [list(p) for p in self.patterns], "shape": list(self.shape), "n_params": self.n_params}

    def _require_chainable(self, what: str) -> None:
        if self.fault is not None:
            raise ValueError(f"{what} needs a chainable chain; {self.fault}")

    # -- merging -------------------------------------------------------------------------------

    def product(self, i: int = 0, j: int | None = None) -> Pattern:
        """Pattern of the product of the factors ``i, ..., j - 1`` (0-based; default: all).

        Raises
        ------
        ValueError
            The chain is not chainable, or no factor is selected.
        """
        key = i, len(self) if j is None else j
        if key not in self._products:
            self._require_chainable("product")
            parts = self.patterns[i:j]
            if not parts:
                raise ValueError(f"product({i}, {j}) selects no factor of a chain of {len(self)}")
            self._products[key] = reduce(Pattern.__mul__, parts)
        return self._products[key]

    @cached_property
    def _products(self) -> dict[tuple[int, int], Pattern]:
        """Products already asked for: small matrices are factorized in less time than these take."""
        return {}

    def merge(self, i: int) -> Chain:
        """Chain in which factors ``i`` and ``i + 1`` (0-based) are replaced by their product.

        Raises
        ------
        ValueError
            The chain is not chainable, or there is no such pair.
        """
        self._require_chainable("merge")
        if not 0 <= i < len(self) - 1:
            raise ValueError(f"merge(i) needs 0 <= i < {len(self) - 1}; got {i}")
        return Chain([*self.patterns[:i], self.patterns[i] * self.patterns[i + 1], *self.patterns[i + 2 :]])

    def first_redundant(self) -> int | None:
        """Position of the first pair that can be merged at no loss, or None.

        Raises
        ------
        ValueError
            The chain is not chainable.
        """
        for i, r in enumerate(self.ranks):
            if r >= min(self.patterns[i].b, self.patterns[i + 1].c):
                return i
        return None

    def reduce(self) -> tuple[Chain, tuple[range, ...]]:
        """Smallest equivalent chain, and which factors each of its factors stands for.

        The same set of matrices with never more parameters (Le et al. 2025, Alg. 4.1).

        Raises
        ------
        ValueError
            Neither the chain nor that of the transposed matrices is chainable.

        Examples
        --------
        >>> reduced, groups = Chain([(1, 2, 4, 8), (2, 4, 4, 4), (4, 4, 4, 2), (8, 4, 2, 1)]).reduce()
        >>> print(reduced, groups)
        (1,4,8,4)(4,8,4,1) (range(0, 2), range(2, 4))
        """
        return self._reduced

    @cached_property
    def _reduced(self) -> tuple[Chain, tuple[range, ...]]:
        if not self.chainable and self.co_chainable:
            mirrored, groups = self.T.reduce()
            return mirrored.T, tuple(range(len(self) - g.stop, len(self) - g.start) for g in reversed(groups))
        chain, merged = self, [range(i, i + 1) for i in range(len(self))]
        while (i := chain.first_redundant()) is not None:
            chain = chain.merge(i)
            merged[i : i + 2] = [range(merged[i].start, merged[i + 1].stop)]
        return chain, tuple(merged)

    # -- a look at it --------------------------------------------------------------------------

    def support(self, l: int) -> scipy.sparse.csr_array:
        """Support of factor ``l`` (0-based) as a sparse matrix of ones.

        Raises
        ------
        IndexError
            There is no such factor.
        """
        import scipy.sparse

        a, b, c, d = self.patterns[l]
        ones = scipy.sparse.kron(np.ones((b, c)), scipy.sparse.eye_array(d))
        return scipy.sparse.csr_array(scipy.sparse.kron(scipy.sparse.eye_array(a), ones))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the supports of the factors side by side."""
        from .plots import plot_chain

        return plot_chain(self, ax)

    # -- the usual architectures ---------------------------------------------------------------

    @classmethod
    def dyadic(cls, n: int) -> Chain:
        """Square dyadic butterfly of size ``n = 2^L``: ``L`` factors with two entries a row.

        Raises
        ------
        ValueError
            ``n`` is not a power of two.
        """
        n = _size(n, "n")
        if n & (n - 1):
            raise ValueError(f"the dyadic chain needs a power of two; got {n} (the next one is {1 << n.bit_length()})")
        return cls.dense((1, 1)) if n == 1 else cls.radix(n, (2,) * (n.bit_length() - 1))

    @classmethod
    def radix(cls, n: int, radices: Sequence[int]) -> Chain:
        """Square butterfly of size ``n``, the product of the ``radices``.

        Parameters
        ----------
        n : int
            rows and columns
        radices : sequence of int
            numbers whose product is ``n``, one for each factor

        Raises
        ------
        ValueError
            The product is not ``n``.
        """
        if math.prod(radices) != n:
            raise ValueError(f"radices must multiply to n = {n}; {list(radices)} gives {math.prod(radices)}")
        return cls.from_splits(radices, radices)

    @classmethod
    def monarch(
        cls,
        shape: int | tuple[int, int],
        p: int | tuple[int, int] | None = None,
        q: int | tuple[int, int] | None = None,
        rank: int = 1,
    ) -> Chain:
        """Two factors (Dao et al. 2022): ``(1, q1, p1 r, q2)(p1, q2 r, p2, 1)``.

        Parameters
        ----------
        shape : (M, N), or n for a square matrix
        p, q : splits ``N = p1 p2`` and ``M = q1 q2``: a pair, or the first number of it.
            The default is the most balanced split.
        rank : rank of the blocks.

        Raises
        ------
        ValueError
            Splits that do not multiply to the sizes, or a rank below 1.

        Examples
        --------
        >>> print(Chain.monarch((256, 64)))
        (1,16,8,16)(8,16,8,1)
        """
        m, n = (shape, shape) if isinstance(shape, (int, np.integer)) else shape
        return cls.from_splits(_two_split(m, q, "q"), _two_split(n, p, "p"), rank)

    @classmethod
    def low_rank(cls, shape: tuple[int, int], rank: int) -> Chain:
        """Matrices of rank at most ``rank``: ``(1, M, R, 1)(1, R, N, 1)``.

        Parameters
        ----------
        shape : (M, N)
        rank : int, at least 1

        Raises
        ------
        ValueError
            Sizes or a rank below 1.
        """
        m, n = shape
        return cls.from_splits((m, 1), (1, n), rank)

    @classmethod
    def dense(cls, shape: tuple[int, int]) -> Chain:
        """All matrices of the shape: one full factor.

        Raises
        ------
        ValueError
            Sizes below 1.
        """
        return cls([(1, shape[0], shape[1], 1)])

    @classmethod
    def from_splits(cls, rows: Sequence[int], cols: Sequence[int], ranks: int | Sequence[int] = 1) -> Chain:
        """Chain with row splits ``M = q_1 ... q_L``, column splits ``N = p_1 ... p_L`` and ranks.

        Every chainable chain with ``a_1 = d_L = 1`` is of this form:
        ``pi_l = (p_1...p_{l-1}, q_l r_{l-1}, p_l r_l, q_{l+1}...q_L)`` with ``r_0 = r_L = 1``
        (Lin et al. 2021, *Deformable butterfly*, with ranks).

        Parameters
        ----------
        rows, cols : sequences of L ints
            the splits, from the first factor to the last
        ranks : int, or sequence of L - 1 ints
            ranks of the blocks at the splits; one number serves all

        Raises
        ------
        ValueError
            Lengths that do not fit, or numbers below 1.
        """
        depth = len(rows)
        if len(cols) != depth or depth == 0:
            raise ValueError(f"rows and cols need the same number of factors (>= 1); got {depth} and {len(cols)}")
        ranks = (int(ranks),) * (depth - 1) if isinstance(ranks, (int, np.integer)) else tuple(ranks)
        if len(ranks) != depth - 1:
            raise ValueError(f"{depth} factors need {depth - 1} ranks; got {len(ranks)}")
        r = (1, *ranks, 1)
        return cls(
            (math.prod(cols[:l]), rows[l] * r[l], cols[l] * r[l + 1], math.prod(rows[l + 1 :])) for l in range(depth)
        )

    @classmethod
    def parse(cls, text: str, shape: tuple[int, int]) -> Chain:
        """Chain from its short text, as on the command line.

        ``dyadic``, ``monarch``, ``monarch:r=2,p=8,q=16``, ``lowrank:r=5``, ``radix:4,4,2``,
        ``dense``, or patterns written out: ``[(1,2,2,4),(2,2,2,2),(4,2,2,1)]``.

        Parameters
        ----------
        text : str
        shape : (M, N)
            of the matrices

        Raises
        ------
        ValueError
            A text that is none of these, or a chain that does not exist for the shape.

        Examples
        --------
        >>> print(Chain.parse("monarch:r=2", (64, 64)))
        (1,8,16,8)(8,16,8,1)
        """
        from .chain_text import read_chain

        return read_chain(text, shape)


def _size(n: int, name: str) -> int:
    if int(n) != n or n < 1:
        raise ValueError(f"{name} must be a positive integer; got {n!r}")
    return int(n)


def _two_split(n: int, split: int | tuple[int, int] | None, name: str) -> tuple[int, int]:
    """The split ``n = first * second``; by default the most balanced one."""
    n = _size(n, "the size")
    if split is None:
        # the larger factor first: (1, 16, 8, 16)(8, 16, 8, 1) style for 2^odd sizes
        small = next(s for s in range(math.isqrt(n), 0, -1) if n % s == 0)
        return n // small, small
    first, second = (int(split), n // split if split else 0) if isinstance(split, (int, np.integer)) else split
    if first < 1 or first * second != n:
        raise ValueError(f"{name} must split {n} into two positive integers; got {split!r}")
    return first, second
