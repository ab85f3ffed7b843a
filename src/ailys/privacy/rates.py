"""How fast the exponential mechanisms may decay: from a budget and a relation of neighbours to the rate eta.

Every rate is a fraction, rounded down where a root is taken, so that no budget is passed by rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt

from .budget import Budget

__all__ = ["Cost", "joint_rate", "joint_sensitivity", "level_rate", "recursion_depth", "recursive_rate", "root_below"]

_ROOT_BITS = 60


@dataclass(frozen=True)
class Cost:
    """What one record may cost: exactly one of ``epsilon`` and ``rho``, and the relation of neighbours."""

    epsilon: Fraction | None
    rho: Fraction | None
    neighbours: str

    @classmethod
    def of(cls, budget: Budget) -> Cost:
        """The share of one record of a budget that covers all records of a person."""
        return cls(budget.per_record_epsilon, budget.per_record_rho, budget.neighbours)

    def per_draw(self, draws: int) -> Fraction:
        """The epsilon of each of ``draws`` exponential mechanisms that share the budget.

        An exponential mechanism with loss epsilon is epsilon^2 / 8-zCDP (Cesar and Rogers 2021, for the range of the loss, which is
        epsilon here).
        """
        if self.epsilon is not None:
            return self.epsilon / draws
        assert self.rho is not None
        return root_below(8 * self.rho / draws)


def root_below(x: Fraction) -> Fraction:
    """A fraction just below the square root.

    Examples
    --------
    >>> 0 <= 2 - root_below(Fraction(2)) ** 2 < Fraction(1, 10**15)
    True
    """
    shift = _ROOT_BITS + max(0, x.denominator.bit_length() - x.numerator.bit_length())
    return Fraction(isqrt((x.numerator << (2 * shift)) // x.denominator), 1 << shift)


def level_rate(cost: Cost, p: Fraction, draws: int) -> Fraction:
    """eta of one quantile of level p: its score |i - pn| changes by 1 (replace) or by max(p, 1 - p) (add_remove)."""
    sensitivity = Fraction(1) if cost.neighbours == "replace" else max(p, 1 - p)
    return cost.per_draw(draws) / (2 * sensitivity)


def joint_sensitivity(levels: Sequence[Fraction], neighbours: str) -> Fraction:
    """How much one record changes the sum of |(i_j - i_{j-1}) - t_j| over the gaps."""
    if neighbours == "replace":
        return Fraction(2)
    gaps = [b - a for a, b in zip([Fraction(0), *levels], [*levels, Fraction(1)], strict=True)]
    return 2 * (1 - min(gaps))


def joint_rate(cost: Cost, levels: Sequence[Fraction]) -> Fraction:
    """eta of JointExp."""
    return cost.per_draw(1) / (2 * joint_sensitivity(levels, cost.neighbours))


def recursion_depth(m: int) -> int:
    """How many nodes of the recursion over m quantiles one record can meet: floor(log2 m) + 1."""
    return m.bit_length()


def recursive_rate(cost: Cost, p: Fraction, depth: int) -> Fraction:
    """eta of a node of RecExp with local level p.

    A node's loss when a record is added to it or removed is epsilon_l. Under "replace" a record may leave one node of a depth and enter
    another: twice the loss.
    """
    changed = 1 if cost.neighbours == "add_remove" else 2
    if cost.epsilon is not None:
        loss = cost.epsilon / (changed * depth)
    elif cost.neighbours == "add_remove":
        loss = cost.per_draw(depth)
    else:  # two nodes of epsilon_l^2 / 8 each at every depth; one node that loses and gains a record has loss 2 epsilon_l
        assert cost.rho is not None
        loss = root_below(2 * cost.rho / depth)
    return loss / (2 * max(p, 1 - p))
