"""Does every entry of a product of Kronecker-sparse factors come from a single path?

If so, the outer products of column i of ``X_l`` with row i of ``X_{l+1} ... X_L`` have disjoint supports: the
two-factor problem falls into independent rank-one problems, and inner products of products of factors are
sums over paths. For chainable chains this means ranks one (Le et al. 2025); here it is tested on the
supports themselves, so that other orders of the factors count too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..butterfly import Chain, Pattern

__all__ = ["single_path"]

_SMALL = 2048  # chains up to this size are counted entry by entry where digits do not decide


def single_path(chain: Chain) -> bool:
    """Whether each pair (row, column) is joined by at most one path through the supports of the factors.

    Examples
    --------
    >>> single_path(Chain.dyadic(16)), single_path(Chain.monarch(16, rank=2))
    (True, False)
    """
    answer = _by_digits(chain.patterns)
    if answer is None:
        if max(max(p.shape) for p in chain) > _SMALL:
            return False  # unknown: nothing is claimed
        answer = _by_counting(chain)
    return answer


def _by_digits(patterns: Sequence[Pattern]) -> bool | None:
    """Follow the digits of the index in a mixed radix.

    A factor ``(a, b, c, d)`` replaces the digits between ``a`` and ``a b`` by a new one of size ``c``. A path is
    determined by its ends if no new digit is ever replaced: each digit then is one of the row until its factor, one
    of the column from there on. If a new digit is replaced, its values are as many paths. None: the digits
    do not line up.
    """
    digits: list[tuple[int, bool]] = [(patterns[0].shape[0], False)]  # size, whether it was written already
    several = False
    for a, b, c, _ in patterns:
        start = _cut(digits, a)
        end = _cut(digits, a * b)
        if start is None or end is None:
            return None
        several |= any(new and size > 1 for size, new in digits[start:end])
        digits[start:end] = [(c, True)]
    return not several


def _cut(digits: list[tuple[int, bool]], size: int) -> int | None:
    """Position at which the digits before have ``size`` values together; a digit is cut in two if needed."""
    total = 1
    for position, (n, new) in enumerate(digits):
        if total == size:
            return position
        if total * n > size:
            if size % total or n % (size // total):
                return None
            first = size // total
            digits[position : position + 1] = [(first, new), (n // first, new)]
            return position + 1
        total *= n
    return len(digits) if total == size else None


def _by_counting(chain: Chain) -> bool:
    import scipy.sparse

    paths = scipy.sparse.csr_array(chain.support(0))
    for l in range(1, len(chain)):
        paths = paths @ chain.support(l)
        if paths.nnz and np.max(paths.data) > 1:
            return False
    return True
