"""Optimal discovery: find as many interesting items as possible with the help of several experts.

A request to expert i draws an item from an unknown law P_i. The missing mass ``R_i`` is the probability that
the next item of expert i is interesting and new; Good and Turing estimate it by ``U_i / n_i``, U_i being the number of
interesting items seen exactly once. Good-UCB (Bubeck, Ernst, Garivier 2013) asks the expert of the largest
``U_i / n_i + C sqrt(ln(4 t) / n_i)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..core.answer import Answer
from ..core.guarantee import Guarantee
from ..core.randomness import Seed, as_generator
from .agent import check_number
from .complexity import check_delta

__all__ = ["PROOF_CONSTANT", "DiscoveryResult", "GoodUCB", "discover", "macroscopic_discoveries"]

PROOF_CONSTANT = (1 + math.sqrt(2)) * math.sqrt(3)  # the C of the regret bound; in practice 1/2 or less does better


class GoodUCB:
    """Ask, look at the item, tell whether it is interesting.

    Parameters
    ----------
    n_experts : number of experts
    C : width of the bonus; 0 is greedy, `PROOF_CONSTANT` that of the theorem
    rng : generator or seed, for ties

    Raises
    ------
    ValueError
        n_experts < 1, or C < 0

    Examples
    --------
    >>> agent = GoodUCB(2, rng=0)
    >>> for item in ("a", "b", "b", "c"):
    ...     _ = agent.tell(agent.ask(), item, interesting=item != "a")
    >>> agent.found
    ['b', 'c']
    """

    def __init__(self, n_experts: int, C: float = 0.5, rng: Seed = None) -> None:
        if isinstance(n_experts, bool) or not isinstance(n_experts, (int, np.integer)) or n_experts < 1:
            raise ValueError(f"n_experts must be a whole number >= 1; got {n_experts!r}")
        self.n_experts = int(n_experts)
        self.C = check_number(C, "C")
        self.rng = as_generator(rng)
        self.counts = np.zeros(self.n_experts, np.int64)
        self.t = 0
        self._once = np.zeros(self.n_experts, np.int64)  # interesting items seen once in all, by this expert
        self._own_once = np.zeros(self.n_experts, np.int64)  # seen once by this expert, whatever the others saw
        self._seen: dict[Hashable, tuple[int, int]] = {}  # interesting item -> times seen, first expert
        self._own: list[dict[Hashable, int]] = [{} for _ in range(self.n_experts)]

    def ask(self) -> int:
        """The expert to ask next; each is asked once first."""
        fresh = np.flatnonzero(self.counts == 0)
        if len(fresh):
            return int(fresh[0])
        index = (self._once + self.C * np.sqrt(math.log(4 * self.t) * self.counts)) / self.counts
        best = np.flatnonzero(index == index.max())
        return int(best[0]) if len(best) == 1 else int(self.rng.choice(best))

    def tell(self, expert: int, item: Hashable, interesting: bool) -> bool:
        """Report the item that an expert gave; returns whether it is a discovery.

        Raises
        ------
        ValueError
            an unknown expert
        TypeError
            an item that is not hashable
        """
        if isinstance(expert, bool) or not isinstance(expert, (int, np.integer)) or not 0 <= expert < self.n_experts:
            raise ValueError(f"unknown expert {expert!r}; the experts are 0 to {self.n_experts - 1}")
        if not isinstance(item, Hashable):
            raise TypeError(f"items must be hashable (numbers, words, tuples); got {type(item).__name__}")
        self.counts[expert] += 1
        self.t += 1
        if not interesting:
            return False
        times, first = self._seen.get(item, (0, expert))
        self._seen[item] = (times + 1, first)
        self._once[first] += (times == 0) - (times == 1)
        own = self._own[expert].get(item, 0)
        self._own[expert][item] = own + 1
        self._own_once[expert] += (own == 0) - (own == 1)
        return times == 0

    @property
    def found(self) -> list[Any]:
        """Interesting items found, in order."""
        return list(self._seen)

    @property
    def missing_mass(self) -> np.ndarray:
        """Good-Turing estimates of the missing masses (NaN for an expert not asked yet)."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self._once / self.counts)

    def missing_mass_bound(self, delta: float = 0.05) -> np.ndarray:
        """Upper bounds of all missing masses that hold together at all times with probability 1 - delta.

        ``U_i / n + (1 + sqrt 2) sqrt(ln(4 / delta_in) / n)`` with ``delta_in = delta / (K n (n + 1))``. U_i counts the items
        that expert i has seen once, whatever the others saw: the bound then needs no disjoint supports, since what
        everybody has missed is part of what expert i has missed.

        Raises
        ------
        ValueError
            delta is not strictly between 0 and 1
        """
        delta = check_delta(delta)
        n = np.maximum(self.counts, 1)
        bonus = (1 + math.sqrt(2)) * np.sqrt(np.log(4 * self.n_experts * n * (n + 1.0) / delta) / n)
        return np.where(self.counts > 0, np.minimum(self._own_once / n + bonus, 1.0), 1.0)


@dataclass(frozen=True)
class DiscoveryResult(Answer):
    """Interesting items found, and what may still be missing.

    Attributes
    ----------
    found : interesting items, in the order of discovery
    requests : (K,) requests to each expert
    history : (t,) number of items found after each request
    missing_mass : (K,) upper bounds of the missing masses, all holding at all times with probability 1 - delta
    estimates : (K,) Good-Turing estimates
    target_met : whether all missing masses are below the target asked for (None: no target)
    """

    found: list[Any] = field(repr=False)
    requests: np.ndarray
    history: np.ndarray = field(repr=False)
    missing_mass: np.ndarray
    estimates: np.ndarray
    target_met: bool | None
    delta: float

    def facts(self) -> Mapping[str, Any]:
        """Numbers of items and requests, bounds."""
        return {
            "n_found": len(self.found),
            "n_requests": int(self.requests.sum()),
            "requests": self.requests,
            "missing_mass_at_most": self.missing_mass,
            "estimated": self.estimates,
            "target_met": self.target_met,
            "found": self.found,
        }

    @property
    def guarantee(self) -> Guarantee:
        """What the experts may still hold."""
        worst = float(self.missing_mass.max())
        return Guarantee(
            "missing-mass",
            f"with probability at least {1 - self.delta:g}, the next item of any expert is interesting and new with probability "
            f"at most {worst:.3g}",
            level=worst,
            values={"delta": self.delta},
            assumptions=("items of an expert are drawn independently from one law",),
            source="Bubeck, Ernst, Garivier 2013 (concentration); docs, bandits, section 'Discovery' (all times)",
        )

    def plot(self, ax: Any = None) -> Any:
        """Items found against requests."""
        from .plots import plot_discovery

        return plot_discovery({"found": self.history}, ax)


def discover(
    experts: Sequence[Callable[[np.random.Generator], Hashable]],
    is_interesting: Callable[[Any], bool],
    *,
    budget: int | None = None,
    target_missing_mass: float | None = None,
    delta: float = 0.05,
    C: float = 0.5,
    rule: str = "good-ucb",
    rng: Seed = None,
) -> DiscoveryResult:
    """Ask experts for items until the budget is spent, or until little can be missing.

    Parameters
    ----------
    experts : functions of a generator that return an item
    is_interesting : whether an item counts
    budget : requests at most
    target_missing_mass : stop when every missing mass is below this with probability 1 - delta
    C : bonus of Good-UCB
    rule : "good-ucb", or "uniform" for the experts in turn
    rng : generator or seed

    Raises
    ------
    ValueError
        no experts, neither budget nor target, budget < 1, delta or target not strictly between 0 and 1, an unknown
        rule
    TypeError
        an item that is not hashable

    Examples
    --------
    >>> experts = [lambda rng: int(rng.integers(100)), lambda rng: int(100 + rng.integers(100))]
    >>> result = discover(experts, lambda item: item < 60, budget=300, rng=0)
    >>> len(result.found) > 50, bool(result.requests[0] > 2 * result.requests[1])
    (True, True)
    """
    if not len(experts):
        raise ValueError("experts is empty; expected at least one function of a generator")
    if budget is None and target_missing_mass is None:
        raise ValueError("give a budget or a target_missing_mass: without either the search never ends")
    if budget is not None and (isinstance(budget, bool) or not isinstance(budget, (int, np.integer)) or budget < 1):
        raise ValueError(f"budget must be a whole number >= 1; got {budget!r}")
    if target_missing_mass is not None:
        check_delta(target_missing_mass, "target_missing_mass")
    if rule not in ("good-ucb", "uniform"):
        raise ValueError(f"rule must be 'good-ucb' or 'uniform'; got {rule!r}")
    delta = check_delta(delta)
    own, *streams = as_generator(rng).spawn(len(experts) + 1)
    agent = GoodUCB(len(experts), C, own)
    history: list[int] = []
    n_found = 0
    met: bool | None = None if target_missing_mass is None else False
    while budget is None or agent.t < budget:
        i = agent.ask() if rule == "good-ucb" else agent.t % len(experts)
        if target_missing_mass is not None and rule == "good-ucb":
            i = _least_certain(agent, i, delta, target_missing_mass)
        item = experts[i](streams[i])
        n_found += agent.tell(i, item, bool(is_interesting(item)))
        history.append(n_found)
        if (
            target_missing_mass is not None
            and agent.t % 16 == 0
            and (agent.missing_mass_bound(delta) <= target_missing_mass).all()
        ):
            met = True
            break
    if met is False:  # it may have been reached since the last look
        met = bool((agent.missing_mass_bound(delta) <= target_missing_mass).all())
    return DiscoveryResult(
        agent.found,
        agent.counts.copy(),
        np.array(history, np.int64),
        agent.missing_mass_bound(delta),
        agent.missing_mass,
        met,
        delta,
    )


def _least_certain(agent: GoodUCB, choice: int, delta: float, target: float) -> int:
    """Every other request goes to the expert of the largest bound, so that a target is met: Good-UCB alone forgets poor experts."""
    return choice if agent.t % 2 == 0 else int(np.argmax(agent.missing_mass_bound(delta)))


def macroscopic_discoveries(shares: Sequence[float] | np.ndarray, t: float, rule: str = "oracle") -> float:
    """Found items per size of a support, at time ``t`` in units of that size, in the limit of large supports.

    Experts have uniform laws on disjoint supports of equal size. The oracle brings all missing masses down together: ``sum (q_i - x)_+`` with ``sum ln+(q_i / x) = t``; asking in turn finds
    ``sum q_i (1 - exp(-t / K))``.

    Parameters
    ----------
    shares : (K,) interesting fraction of the support of each expert, in [0, 1]
    t : requests, in units of the size of a support
    rule : "oracle" or "uniform"

    Raises
    ------
    ValueError
        shares outside of [0, 1], t < 0, an unknown rule

    Examples
    --------
    >>> q = [0.512, 0.256, 0.128, 0.064, 0.032, 0.016, 0.008]
    >>> round(macroscopic_discoveries(q, 1), 6), round(macroscopic_discoveries(q, 1, "uniform"), 6)
    (0.328825, 0.135252)
    """
    q = np.asarray(shares, dtype=float)
    if q.ndim != 1 or not len(q) or not np.isfinite(q).all() or (q < 0).any() or (q > 1).any():
        raise ValueError(f"shares must lie in [0, 1]; got {shares!r}")
    check_number(t, "t")
    if rule == "uniform":
        return float(np.sum(q) * -math.expm1(-t / len(q)))
    if rule != "oracle":
        raise ValueError(f"rule must be 'oracle' or 'uniform'; got {rule!r}")
    if t == 0 or not q.any():
        return 0.0
    order = np.sort(q[q > 0])[::-1]
    logs = np.cumsum(np.log(order))
    for m in range(len(order), 0, -1):  # the m largest are being worked on
        x = math.exp((logs[m - 1] - t) / m)
        if m == 1 or x <= order[m - 1]:
            return float(np.sum(order[:m] - x))
    return 0.0  # pragma: no cover (m = 1 returns)
