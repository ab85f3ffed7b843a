"""What `quantize_chain` takes: factors in several forms, checked and brought to one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..butterfly import Chain, Pattern
from .formats import Format, as_format, finite_array

__all__ = ["ChainInput", "chain_input", "formats_for"]

Array = np.ndarray


class ChainInput(NamedTuple):
    """Factors (4-D, float64 or complex128), their chain, the column permutation and the shape of the matrix."""

    factors: list[Array]
    chain: Chain
    perm: Array | None
    shape: tuple[int, int]


def chain_input(factors: Any, patterns: Iterable[Sequence[int]] | None = None) -> ChainInput:
    """Factors from a list of arrays, or from an object with ``factors`` (a factorization, an operator, a layer)."""
    perm, shape = getattr(factors, "perm", None), getattr(factors, "shape", None)
    listed = getattr(factors, "factors", factors)
    if isinstance(listed, np.ndarray) and listed.ndim == 4:
        listed = [listed]
    try:
        listed = list(listed)
    except TypeError as fault:
        raise ValueError(
            f"factors must be a list of 4-D arrays or an answer of ailys.butterfly; got {type(factors).__name__}"
        ) from fault
    if not listed:
        raise ValueError("factors is an empty list; expected at least one factor")
    known = None if patterns is None else [tuple(int(v) for v in p) for p in patterns]
    if known is not None and len(known) != len(listed):
        raise ValueError(f"patterns must be one for each of the {len(listed)} factors; got {len(known)}")
    arrays = [_factor(x, f"factors[{l}]", None if known is None else Pattern(*known[l])) for l, x in enumerate(listed)]
    kind = np.complex128 if any(x.dtype.kind == "c" for x in arrays) else np.float64
    chain = Chain([x.shape for x in arrays])  # says which two factors do not fit
    arrays = [np.ascontiguousarray(x, kind) for x in arrays]
    if not isinstance(shape, tuple) or len(shape) != 2:
        shape = chain.shape
    return ChainInput(arrays, chain, None if perm is None else np.asarray(perm), (int(shape[0]), int(shape[1])))


def _factor(x: Any, name: str, pattern: Pattern | None) -> Array:
    sparse = hasattr(x, "tocoo")
    array = finite_array(x.toarray() if sparse else x, name)
    if array.ndim == 4:
        if array.size == 0:
            raise ValueError(f"{name} has no entries: shape {array.shape}")
        if pattern is not None and array.shape != tuple(pattern):
            raise ValueError(f"{name} has shape {array.shape}, its pattern is {tuple(pattern)}")
        return array
    if array.ndim != 2:
        raise ValueError(f"{name} must be a 4-D array (a, b, c, d) or a matrix; got shape {array.shape}")
    pattern = _pattern_of(array, name) if pattern is None else pattern
    if pattern.shape != array.shape:
        raise ValueError(f"{name} has shape {array.shape}, its pattern {tuple(pattern)} says {pattern.shape}")
    a, b, c, d = pattern
    blocks = array.reshape(a, b, d, a, c, d)
    inside = np.einsum("ijlikl->ijkl", blocks)
    if np.count_nonzero(inside) != np.count_nonzero(array):
        raise ValueError(
            f"{name} has entries outside the support of its pattern {tuple(pattern)}: give 4-D arrays, or patterns=..."
        )
    return np.ascontiguousarray(inside)


def _pattern_of(matrix: Array, name: str) -> Pattern:
    """The pattern whose support is that of the matrix, from its first row and column."""
    row, col = np.flatnonzero(matrix[0]), np.flatnonzero(matrix[:, 0])
    c, b = row.size, col.size
    if c and b:
        d = int(row[1]) if c > 1 else int(col[1]) if b > 1 else 1
        a = matrix.shape[0] // (b * d)
        if a * b * d == matrix.shape[0] and a * c * d == matrix.shape[1]:
            return Pattern(a, b, c, d)
    raise ValueError(
        f"cannot read the pattern of {name} from its zeros: give 4-D arrays (a, b, c, d), or patterns=[(a, b, c, d), ...]"
    )


def formats_for(fmt: Any, count: int) -> tuple[Format, ...]:
    """One format for each factor, from one or from a list."""
    if isinstance(fmt, (list, tuple)):
        if len(fmt) != count:
            raise ValueError(f"fmt must be one format, or one for each of the {count} factors; got {len(fmt)}")
        return tuple(as_format(one, f"fmt[{l}]") for l, one in enumerate(fmt))
    return (as_format(fmt),) * count
