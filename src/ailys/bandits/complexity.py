"""How many draws the best arm needs: oracle weights and characteristic times.

``1 / T*(mu) = max over weights of the min over rivals of the evidence collected per draw``; every strategy that errs
with probability at most delta draws at least ``T*(mu) kl(delta, 1 - delta)`` times on average (Garivier and
Kaufmann 2016, Theorem 1). Where several arms are within epsilon of the best, all of them right answers, this is true only as
delta goes to 0 (Degenne and Koolen 2019): at a fixed delta a strategy that does not mind which of them it names may need less.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.answer import Answer
from ..core.guarantee import Guarantee
from ._weights_kernels import map_oracle, pair_cost
from .families import Family, as_family

__all__ = ["OracleWeights", "characteristic_time", "oracle_weights", "sample_lower_bound"]


@dataclass(frozen=True)
class OracleWeights(Answer):
    """Proportions of draws that identify a best arm soonest.

    Attributes
    ----------
    weights : (..., K) proportions, summing to 1
    T_star : (...) characteristic time; the expected number of draws is at least ``T_star kl(delta, 1 - delta)`` where one
        answer is right, and ``(1 + o(1))`` times that as delta goes to 0 where several are
    best : (...) the answer that these weights make evident
    objective : (...) evidence per draw against the hardest rival at these weights, computed apart from the solver
    epsilon : answers within epsilon of the best are right
    family : reward family
    n_right : (...) number of right answers
    """

    weights: np.ndarray
    T_star: Any
    best: Any
    objective: Any
    epsilon: float
    family: Family
    n_right: Any = 1

    def facts(self) -> Mapping[str, Any]:
        """Answer, characteristic time, weights."""
        return {
            "best": self.best,
            "T_star": self.T_star,
            "weights": self.weights,
            "objective": self.objective,
            "epsilon": self.epsilon,
            "family": str(self.family),
        }

    def lower_bound(self, delta: float) -> Any:
        """Least expected number of draws of any delta-correct strategy, for these means (of several right answers: as delta goes to 0)."""
        return sample_lower_bound(self.T_star, delta)

    def plot(self, ax: Any = None) -> Any:
        """Bars of the weights."""
        from .plots import plot_weights

        return plot_weights(self, ax)

    @property
    def guarantee(self) -> Guarantee | None:
        """The lower bound that holds for every strategy; None for a batch of problems."""
        if np.ndim(self.T_star):
            return None
        one = self.n_right == 1
        least = f"{self.T_star:.6g} kl(delta, 1-delta)" if one else f"(1 + o(1)) {self.T_star:.6g} ln(1/delta)"
        return Guarantee(
            kind="lower-bound",
            statement=f"a strategy that errs with probability at most delta on every instance draws at least "
            f"{least} times on average here{'' if one else ' as delta goes to 0'}",
            level=float(self.T_star),
            assumptions=(
                f"independent rewards of the {self.family.name} family with these means",
                *(("all rewards at the ends of the interval",) if self.family.name == "bounded" else ()),
            ),
            source="Garivier and Kaufmann 2016, Theorem 1" if one else "Degenne and Koolen 2019, Theorem 1",
        )


def oracle_weights(means: Any, family: Family | str = "bernoulli", epsilon: float = 0.0) -> OracleWeights:
    """The weights of the oracle, for one problem ``(K,)`` or a batch of them ``(..., K)``.

    Parameters
    ----------
    means : (..., K) means of the arms, K >= 2
    family : reward family
    epsilon : an arm is a right answer if its mean is within epsilon of the best; 0 asks for the best arm

    Raises
    ------
    ValueError
        fewer than two arms, means outside the family, negative epsilon, epsilon > 0 for exponential rewards (whose
        problem is not convex).

    Examples
    --------
    >>> answer = oracle_weights([0.5, 0.45, 0.43, 0.4])
    >>> round(float(answer.T_star), 6), [round(float(w), 3) for w in answer.weights]
    (989.79214, [0.417, 0.39, 0.136, 0.057])
    """
    family = as_family(family)
    array = family.check_means(means)
    if array.ndim < 1 or array.shape[-1] < 2:
        raise ValueError(f"expected the means of at least two arms; got an array of shape {array.shape}")
    epsilon = check_epsilon(epsilon, family)
    flat = np.ascontiguousarray(family.to_unit(array).reshape(-1, array.shape[-1]))
    weights, times, best = np.empty_like(flat), np.empty(len(flat)), np.empty(len(flat), np.int64)
    eps = epsilon / family.scale
    map_oracle(flat, eps, family.code, family.sigma, weights, times, best)
    objective = np.array([_objective(m, w, int(b), eps, family) for m, w, b in zip(flat, weights, best, strict=True)])
    shape = array.shape[:-1]
    right = np.ones(len(flat), np.int64) if eps == 0 else (flat >= flat.max(axis=1, keepdims=True) - eps).sum(axis=1)
    if np.isinf(times).any():
        warnings.warn("several arms share the best mean: no number of draws tells them apart", stacklevel=2)
    if not shape:
        return OracleWeights(
            weights[0], float(times[0]), int(best[0]), float(objective[0]), epsilon, family, int(right[0])
        )
    return OracleWeights(
        weights.reshape(array.shape),
        times.reshape(shape),
        best.reshape(shape),
        objective.reshape(shape),
        epsilon,
        family,
        right.reshape(shape),
    )


def _objective(means: np.ndarray, weights: np.ndarray, best: int, eps: float, family: Family) -> float:
    rivals = [j for j in range(len(means)) if j != best]
    return min(
        pair_cost(weights[best], means[best], weights[j], means[j], eps, family.code, family.sigma) for j in rivals
    )


def characteristic_time(means: Any, family: Family | str = "bernoulli", epsilon: float = 0.0) -> Any:
    """``T*(mu)``: the expected number of draws per unit of ``kl(delta, 1 - delta)``; infinite for tied best arms.

    Parameters
    ----------
    means, family, epsilon : as in `oracle_weights`

    Raises
    ------
    ValueError
        as for `oracle_weights`

    Examples
    --------
    >>> round(characteristic_time([1.0, 0.85, 0.8, 0.7], "gaussian", epsilon=0.1), 6)
    176.715266
    """
    return oracle_weights(means, family, epsilon).T_star


def sample_lower_bound(time: Any, delta: float) -> Any:
    """``T* kl(delta, 1 - delta)``.

    Parameters
    ----------
    time : characteristic time ``T*``, a number or an array
    delta : probability of a wrong answer, strictly between 0 and 1

    Raises
    ------
    ValueError
        delta is not strictly between 0 and 1

    Examples
    --------
    >>> round(sample_lower_bound(989.792140, 0.1), 2)
    1739.84
    """
    delta = check_delta(delta)
    # 1 - delta is rounded to 1 below 1e-16: the divergence is (1 - 2 delta) ln((1 - delta) / delta)
    return time * (1 - 2 * delta) * (math.log1p(-delta) - math.log(delta))


def check_delta(delta: float, name: str = "delta") -> float:
    """A probability of error strictly between 0 and 1."""
    if not isinstance(delta, (int, float, np.floating)) or not 0 < delta < 1:
        raise ValueError(f"{name} must lie strictly between 0 and 1; got {delta!r}")
    return float(delta)


def check_epsilon(epsilon: float, family: Family) -> float:
    """A tolerance >= 0 for which the problem is convex."""
    if not isinstance(epsilon, (int, float, np.floating)) or not 0 <= epsilon < math.inf:
        raise ValueError(f"epsilon must be a finite number >= 0; got {epsilon!r}")
    if epsilon > 0 and family.name == "exponential":
        raise ValueError("epsilon > 0 is not offered for exponential rewards: the problem is not convex")
    if epsilon > 0 and family.code == 0 and epsilon >= family.scale:
        raise ValueError(f"epsilon must be smaller than the range of the means, {family.scale:g}; got {epsilon!r}")
    return float(epsilon)
