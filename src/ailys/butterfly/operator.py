"""Fast products with a factorized matrix: a SciPy ``LinearOperator`` that chooses how to multiply."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from functools import cached_property, reduce
from typing import Any, Literal

import numpy as np
from scipy.sparse.linalg import LinearOperator

from .architecture import Chain
from .product import FusedStages, factor_product, stack_of_blocks
from .truncation import product_array

__all__ = ["ButterflyOperator"]

Array = np.ndarray
PLANS = ("auto", "factors", "fused", "merged", "dense")

# the plan found fastest for (chain, size of the batch, type, layout): measured once a process
_FASTEST: dict[tuple[Any, ...], str] = {}


class ButterflyOperator(LinearOperator):  # type: ignore[misc]
    """The matrix ``X_1 X_2 ... X_L`` (columns permuted back, cropped) as a linear operator.

    Parameters
    ----------
    factors : 4-D arrays (a, b, c, d)
    chain : their patterns; default: the shapes of the factors
    perm : column permutation: the operator is ``B[:, inverse of perm]`` with ``B`` the product
    shape : (M, N), smaller than that of the chain if the matrix was padded
    plan : how to multiply. "factors": a batched GEMM for each factor. "fused": all factors on tiles
        that stay in cache (2 x 2 factors only). "merged": neighbours multiplied beforehand, so that
        fewer and larger GEMMs remain. "dense": the product formed. "auto": times the candidates
        on the first product of each batch size (rounded to a power of two) and type, and keeps
        the fastest.
    layout : "last" (SciPy's: columns are vectors) or "first" (rows are vectors; see `apply`).

    Raises
    ------
    ValueError
        Factors that do not fit the chain, an unknown plan or layout, a permutation that is none.

    Examples
    --------
    >>> import numpy as np
    >>> from ailys.butterfly import hadamard_factors
    >>> H = ButterflyOperator(hadamard_factors(8))
    >>> H @ np.ones(8)
    array([8., 0., 0., 0., 0., 0., 0., 0.])
    >>> H.T.shape, H.flops
    ((8, 8), 96)
    """

    def __init__(
        self,
        factors: Sequence[Array],
        chain: Chain | None = None,
        *,
        perm: Array | None = None,
        shape: tuple[int, int] | None = None,
        plan: str = "auto",
        layout: Literal["last", "first"] = "last",
    ) -> None:
        self.factors = tuple(np.ascontiguousarray(x) for x in factors)
        self.chain = Chain([x.shape for x in self.factors]) if chain is None else chain
        for position, (x, p) in enumerate(zip(self.factors, self.chain, strict=True)):
            if x.shape != tuple(p):
                raise ValueError(f"factor {position + 1} has shape {x.shape}, the chain says {tuple(p)}")
        if plan not in PLANS:
            raise ValueError(f"plan must be one of {', '.join(PLANS)}; got {plan!r}")
        if plan == "fused" and not FusedStages.takes(self.chain.patterns):
            raise ValueError("plan 'fused' takes chains of 2 x 2 factors; use 'auto', 'factors' or 'merged'")
        if layout not in ("last", "first"):
            raise ValueError(f"layout must be 'last' or 'first'; got {layout!r}")
        self.perm, self.plan, self.layout = perm, plan, layout
        self._inner = self.chain.shape
        super().__init__(np.result_type(*self.factors), checked_frame(shape or self.chain.shape, perm, self.chain))
        self._plans: dict[tuple[str, np.dtype], Callable[[Array], Array]] = {}
        self._known_types: dict[np.dtype, tuple[np.dtype, np.dtype]] = {}

    # -- what it costs -----------------------------------------------------------------------------

    @property
    def flops(self) -> int:
        """Additions and multiplications for one vector, factor by factor."""
        return 2 * self.chain.n_params

    @property
    def bytes(self) -> int:
        """Bytes of the factors."""
        return sum(x.nbytes for x in self.factors)

    # -- products ----------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        state["_plans"] = {}  # prepared again where the operator arrives
        return state

    def apply(self, x: Array) -> Array:
        """Product with vectors in the operator's layout: (N, batch) -> (M, batch), or (batch, N) -> (batch, M).

        Raises
        ------
        ValueError
            Vectors of another length, or no numbers.
        """
        x = np.asarray(x)
        if x.ndim == 0 or (self.layout == "last" and x.ndim > 2):
            raise ValueError(
                f"expected (N,) or (N, batch) for layout 'last', (..., N) for 'first'; got shape {x.shape}"
            )
        if self.layout == "last":
            return self._last(x) if x.ndim == 2 else self._last(x[:, None])[:, 0]
        flat = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
        if self.perm is None and self.shape == self._inner and FusedStages.takes(self.chain.patterns):
            self._check(flat.shape[1])
            dtype, result = self._types(flat)
            name = self._choose(flat.T, dtype, "first")
            if name == "fused":
                y = self._fused(dtype).first(np.ascontiguousarray(flat, dtype=dtype))
                return y.astype(result, copy=False).reshape(*x.shape[:-1], self.shape[0])
        return np.ascontiguousarray(self._last(flat.T).T).reshape(*x.shape[:-1], self.shape[0])

    def __matmul__(self, x: Any) -> Any:
        # the same as SciPy's, with less ceremony for plain arrays: small products take microseconds
        if type(x) is np.ndarray and x.ndim in (1, 2):
            return self._last(x) if x.ndim == 2 else self._last(x[:, None])[:, 0]
        return super().__matmul__(x)

    def _matvec(self, x: Array) -> Array:
        return self._last(x.reshape(-1, 1))[:, 0]

    def _matmat(self, X: Array) -> Array:
        return self._last(X)

    def _rmatvec(self, x: Array) -> Array:
        return self._adjoint_operator._matvec(x)

    def _rmatmat(self, X: Array) -> Array:
        return self._adjoint_operator._matmat(X)

    def _adjoint(self) -> LinearOperator:
        return self._adjoint_operator

    def _transpose(self) -> LinearOperator:
        return _Mirror(self, conjugate=False) if self._is_framed else self._mirrored(conjugate=False)

    @cached_property
    def _adjoint_operator(self) -> LinearOperator:
        return _Mirror(self, conjugate=True) if self._is_framed else self._mirrored(conjugate=True)

    @property
    def _is_framed(self) -> bool:
        return self.perm is not None or self.shape != self._inner

    def _mirrored(self, conjugate: bool) -> ButterflyOperator:
        """The operator of the transposed product of factors, without permutation and cropping."""
        factors = [x.transpose(0, 2, 1, 3) for x in reversed(self.factors)]
        if conjugate and self.dtype.kind == "c":
            factors = [x.conj() for x in factors]
        return ButterflyOperator(factors, self.chain.T, plan=self.plan, layout=self.layout)

    def _check(self, features: int) -> None:
        if features != self.shape[1]:
            raise ValueError(f"the operator is {self.shape[0]} x {self.shape[1]}; got vectors of length {features}")

    def _types(self, x: Array) -> tuple[np.dtype, np.dtype]:
        """The types to compute in and to return for an input: found once for each type of input."""
        if x.dtype not in self._known_types:
            self._known_types[x.dtype] = _product_types(self.dtype, x.dtype)
        return self._known_types[x.dtype]

    def _last(self, x: Array) -> Array:
        self._check(x.shape[0])
        dtype, result = self._types(x)
        if self.perm is not None or self.shape[1] != self._inner[1]:
            framed = np.zeros((self._inner[1], x.shape[1]), dtype)
            framed[: len(x)] = x
            x = framed if self.perm is None else framed[self.perm]
        elif x.dtype != dtype:
            x = x.astype(dtype)
        y = self._product(self._choose(x, dtype, "last"), dtype)(x)
        if self.shape[0] != self._inner[0]:
            y = y[: self.shape[0]]
        return y.astype(result, copy=False)

    # -- plans ---------------------------------------------------------------------------------------

    def _choose(self, x: Array, dtype: np.dtype, layout: str) -> str:
        """The plan for this batch: the one asked for, or the fastest candidate."""
        if self.plan != "auto":
            return self.plan
        batch = x.shape[1]
        if batch == 0:
            return "factors"
        key = (self.chain, (batch - 1).bit_length(), dtype, layout)
        if key not in _FASTEST:
            names = self._candidates()
            _FASTEST[key] = names[0] if len(names) == 1 else min(names, key=lambda name: self._time(name, x, dtype))
        return _FASTEST[key]

    def _candidates(self) -> list[str]:
        rows, cols = self._inner
        names = ["fused"] if FusedStages.takes(self.chain.patterns) else ["factors"]
        if self._groups is not None:
            names.append("merged")
        if rows * cols <= 4 * self.chain.n_params or rows * cols <= 1 << 14:
            names.append("dense")
        return names

    def _time(self, name: str, x: Array, dtype: np.dtype) -> float:
        x = np.ascontiguousarray(x, dtype=dtype)
        product = self._product(name, dtype)
        product(x)  # compiles, fills caches
        best = np.inf
        for _ in range(3):
            start = time.perf_counter()
            product(x)
            best = min(best, time.perf_counter() - start)
        return best

    def _product(self, name: str, dtype: np.dtype) -> Callable[[Array], Array]:
        """The function (features, batch) -> (features, batch) of a plan, prepared once."""
        key = name, dtype
        if key not in self._plans:
            factors = [x.astype(dtype, copy=False) for x in self.factors]
            if name == "fused":
                self._plans[key] = FusedStages(factors).last
            elif name == "dense":
                blocks = [stack_of_blocks(x) for x in reversed(factors)]
                matrix = reduce(lambda v, b: factor_product(b, v), blocks, np.eye(self._inner[1], dtype=dtype))
                self._plans[key] = lambda x: matrix @ x
            else:
                if name == "merged":
                    groups = self._groups or [range(i, i + 1) for i in range(len(factors))]
                    factors = self._merge(factors, groups)
                stages = [stack_of_blocks(x) for x in reversed(factors)]
                self._plans[key] = lambda x: reduce(lambda v, blocks: factor_product(blocks, v), stages, x)
        return self._plans[key]

    def _fused(self, dtype: np.dtype) -> FusedStages:
        bound = self._product("fused", dtype)
        return bound.__self__  # type: ignore[attr-defined, no-any-return]

    @cached_property
    def _groups(self) -> list[range] | None:
        """Groups of about three neighbours to multiply beforehand, where that pays at all."""
        depth = len(self.chain)
        if depth < 4 or not (self.chain.chainable or self.chain.co_chainable):
            return None
        # 8 x 8 blocks (from three 2 x 2 factors) are where matrix products begin to run at full rate, and
        # the operations grow by a third only
        stages = max(2, round(depth / 3))
        bounds = [round(i * depth / stages) for i in range(stages + 1)]
        groups = [range(start, stop) for start, stop in itertools.pairwise(bounds)]
        size = sum(self._merged_params(g) for g in groups)
        return groups if size <= 0.5 * self._inner[0] * self._inner[1] else None

    def _merged_params(self, group: range) -> int:
        patterns = self.chain.patterns[group.start : group.stop]
        part = Chain(patterns)
        return (part if part.chainable else part.T).product().n_params

    def _merge(self, factors: list[Array], groups: Sequence[range]) -> list[Array]:
        return [
            np.ascontiguousarray(product_array(factors[g.start : g.stop], Chain(self.chain.patterns[g.start : g.stop])))
            for g in groups
        ]


class _Mirror(LinearOperator):  # type: ignore[misc]
    """Transpose or adjoint of an operator that permutes or crops."""

    def __init__(self, operator: ButterflyOperator, conjugate: bool) -> None:
        super().__init__(operator.dtype, operator.shape[::-1])
        self.operator, self.conjugate = operator, conjugate
        self.inner = operator._mirrored(conjugate)

    @property
    def flops(self) -> int:
        """Additions and multiplications for one vector."""
        return self.inner.flops

    @property
    def bytes(self) -> int:
        """Bytes of the factors."""
        return self.inner.bytes

    def apply(self, x: Array) -> Array:
        """Product in the layout of the operator: see `ButterflyOperator.apply`."""
        x = np.asarray(x)
        if self.operator.layout == "last":
            return self._matmat(x) if x.ndim == 2 else self._matvec(x)
        flat = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
        return np.ascontiguousarray(self._matmat(flat.T).T).reshape(*x.shape[:-1], self.shape[0])

    def _matmat(self, X: Array) -> Array:
        op = self.operator
        framed = np.zeros((op._inner[0], X.shape[1]), X.dtype)
        framed[: len(X)] = X
        y = self.inner._last(framed)
        if op.perm is not None:
            back = np.empty_like(y)
            back[op.perm] = y
            y = back
        return y[: self.shape[0]]

    def _matvec(self, x: Array) -> Array:
        return self._matmat(x.reshape(-1, 1))[:, 0]

    def _adjoint(self) -> LinearOperator:
        return self.operator if self.conjugate else super()._adjoint()

    def _transpose(self) -> LinearOperator:
        return super()._transpose() if self.conjugate else self.operator


def _product_types(factors: np.dtype, vectors: np.dtype) -> tuple[np.dtype, np.dtype]:
    """The type to compute a product in, and that of the result."""
    if vectors.kind in "biu":
        result = factors
    elif vectors.kind in "fc" or vectors.name == "bfloat16":
        result = np.result_type(factors, vectors).newbyteorder("=")
    else:
        raise ValueError(f"expected numbers; got an array of type {vectors}")
    if result.itemsize <= 2:
        return np.dtype(np.float32), result
    if result not in (np.float32, np.float64, np.complex64, np.complex128):  # no wider than double
        result = np.dtype(np.complex128 if result.kind == "c" else np.float64)
    return result, result


def checked_frame(shape: tuple[int, int], perm: Array | None, chain: Chain) -> tuple[int, int]:
    """The shape, if it fits in that of the chain and the permutation is one of its columns."""
    rows, cols = (int(v) for v in shape)
    if not (0 < rows <= chain.shape[0] and 0 < cols <= chain.shape[1]):
        raise ValueError(f"the shape {rows} x {cols} does not fit in that of the chain, {chain.shape}")
    if perm is not None and not np.array_equal(np.sort(np.asarray(perm)), np.arange(chain.shape[1])):
        raise ValueError(f"perm must hold each column number 0..{chain.shape[1] - 1} once")
    return rows, cols
