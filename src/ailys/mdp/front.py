"""The optimality front: one policy for each risk parameter, with a certificate on the whole interval.

For a policy let ``K(beta) = log E exp(beta G) = beta V(beta)``: it is convex with ``K'' <= Lambda^2 / 4``, Lambda being the
range of the return. Between two parameters of one sign, the value that any policy loses against the best one is
at most what it loses at the two ends, plus ``Lambda^2 (sqrt|b1| - sqrt|b0|)^2 / 8`` (docs, mdp, section 'The front'). So optimal
policies at nodes that are equally spaced in ``sqrt|beta|`` serve the whole interval, and few of them are needed.
Source: Marthe, Bounan, Garivier and Vernade, *Efficient risk-sensitive planning via entropic risk measures*, 2025.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..core.answer import Answer
from ..core.guarantee import Guarantee
from .entrm import Reach, evaluate_entrm, return_reach, risk_at_start, solve_entrm
from .evaluate import evaluate
from .model import TabularMDP
from .returns import ReturnDistribution

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["OptimalityFront", "Segment", "entrm_front"]

_MOST_SOLVES = 20_000
_ROUNDING = 1e-9  # a value above the best one by more than this, relative, is not rounding


class Segment(NamedTuple):
    """A policy (H, S) and the interval on which it is within ``certificate`` of the best one.

    Examples
    --------
    >>> mdp = TabularMDP.from_outcomes([[[(1, 0, 0.2)], [(0.5, 0, 1.0), (0.5, 0, -0.5)]]], horizon=1)
    >>> [(round(s.beta_lo, 3), round(s.beta_hi, 3), s.policy.tolist()) for s in entrm_front(mdp, -1, 0, epsilon=0).segments]
    [(-1.0, -0.178, [[0]]), (-0.178, 0.0, [[1]])]
    """

    beta_lo: float
    beta_hi: float
    policy: np.ndarray
    certificate: float


@dataclass(frozen=True, eq=False)
class OptimalityFront(Answer):
    """Policies that serve all risk parameters of an interval.

    ``nodes`` and ``values`` are the parameters where the best value is known; ``laws`` the exact law of each
    segment's policy (None where it has too many atoms); ``lambda_`` the range of the return.
    """

    segments: tuple[Segment, ...]
    nodes: np.ndarray
    values: np.ndarray
    lambda_: float
    n_solves: int
    epsilon: float
    laws: tuple[ReturnDistribution | None, ...] = field(repr=False, default=())
    mdp: TabularMDP | None = field(repr=False, default=None)
    brackets: tuple[tuple[float, float], ...] = field(repr=False, default=())

    @property
    def beta_min(self) -> float:
        """Left end of the interval."""
        return float(self.nodes[0])

    @property
    def beta_max(self) -> float:
        """Right end of the interval."""
        return float(self.nodes[-1])

    @property
    def n_policies(self) -> int:
        """Number of segments."""
        return len(self.segments)

    @property
    def breakpoints(self) -> np.ndarray:
        """Parameters at which the policy changes."""
        return np.array([segment.beta_lo for segment in self.segments[1:]])

    @property
    def certificate(self) -> float:
        """Largest certificate of the segments."""
        return max(segment.certificate for segment in self.segments)

    @property
    def guarantee(self) -> Guarantee:
        """The loss of the front, at every parameter of the interval."""
        text = (
            f"at every beta in [{self.beta_min:g}, {self.beta_max:g}] the front's policy is within "
            f"{self.certificate:.3g} of the largest entropic risk of any policy, up to rounding"
        )
        values = {"beta_min": self.beta_min, "beta_max": self.beta_max, "lambda": self.lambda_}
        source = "docs, mdp, section 'The front'"
        return Guarantee(
            "error-bound", text, self.certificate, values, assumptions=("the model is the true one",), source=source
        )

    def facts(self) -> Mapping[str, Any]:
        """Size of the front and its segments."""
        facts: dict[str, Any] = {
            "beta": f"{self.beta_min:g} to {self.beta_max:g}",
            "policies": self.n_policies,
            "nodes": len(self.nodes),
            "solves": self.n_solves,
            "epsilon": self.epsilon,
            "certificate": self.certificate,
            "range_of_the_return": self.lambda_,
        }
        facts["segments"] = [self._record(k) for k in range(self.n_policies)]
        return facts

    def _record(self, k: int) -> dict[str, Any]:
        segment, law = self.segments[k], self.laws[k] if self.laws else None
        record: dict[str, Any] = {
            "beta_lo": segment.beta_lo,
            "beta_hi": segment.beta_hi,
            "certificate": segment.certificate,
        }
        if law is not None:
            record |= {"mean": law.mean, "std": law.std, "CVaR_0.1": law.cvar(0.1), "minimum": law.support[0]}
        return record

    def index_at(self, beta: float) -> int:
        """Number of the segment that serves a parameter."""
        if not self.beta_min <= beta <= self.beta_max:
            raise ValueError(f"the front covers [{self.beta_min:g}, {self.beta_max:g}]; got beta = {beta!r}")
        return int(np.searchsorted(self.breakpoints, beta, side="right"))

    def policy_at(self, beta: float) -> np.ndarray:
        """The policy (H, S) for a parameter."""
        return self.segments[self.index_at(beta)].policy

    def value_at(self, beta: float) -> tuple[float, float]:
        """Entropic risk of the front's policy, and an upper bound of the best one."""
        k = self.index_at(beta)
        law = self.laws[k]
        if law is not None and _readable(beta, self.lambda_):
            lower = law.entrm(beta)
        else:
            assert self.mdp is not None
            lower = risk_at_start(self.mdp, evaluate_entrm(self.mdp, self.segments[k].policy, beta).value, beta)
        at = int(np.clip(np.searchsorted(self.nodes, beta), 1, max(1, len(self.nodes) - 1)))
        if len(self.nodes) == 1 or beta in (self.nodes[at - 1], self.nodes[at]):
            best = float(np.interp(beta, self.nodes, self.values))
            return min(lower, best), best
        b0, b1, v0, v1 = *self.nodes[at - 1 : at + 1], *self.values[at - 1 : at + 1]
        chord = ((b1 - beta) * b0 * v0 + (beta - b0) * b1 * v1) / (b1 - b0)
        if beta < 0:  # K* is a minimum of convex functions: it may sag below its chord, by the curvature at most
            chord -= self.lambda_**2 * (beta - b0) * (b1 - beta) / 8
        return lower, max(lower, min(float(v1), float(chord / beta)))

    def best(
        self, functional: str | Callable[[ReturnDistribution], float], parameter: float | None = None
    ) -> tuple[Segment, float]:
        """The segment whose policy has the largest value of a functional of the return's law, and that value.

        ``functional`` is a name (`ReturnDistribution.functional`) or a function of the law.
        """
        score = functional if callable(functional) else (lambda law: law.functional(functional, parameter))
        values = [-math.inf if law is None else score(law) for law in self.laws]
        k = int(np.argmax(values))
        if values[k] == -math.inf:
            raise ValueError("no policy of the front has a law that is known exactly")
        return self.segments[k], values[k]

    def plot(self, ax: Axes | None = None) -> Axes:
        """The best value with its band, a colour for each policy."""
        from .plots import plot_front

        return plot_front(self, ax)


def entrm_front(
    mdp: TabularMDP,
    beta_min: float,
    beta_max: float,
    epsilon: float | None = None,
    s0: int | None = None,
    *,
    tol: float = 1e-6,
) -> OptimalityFront:
    """Policies whose entropic risk is within ``epsilon`` of the best, for every beta of an interval.

    Parameters
    ----------
    beta_min, beta_max : ends of the interval, finite
    epsilon : allowed loss, in units of reward; a thousandth of the range of the return if not given. With 0 the
        exact breakpoints are bracketed to within ``tol`` (small models only: there may be hundreds)
    s0 : first state, instead of the model's initial law

    Raises
    ------
    ValueError
        ends that are not finite or in the wrong order, a negative ``epsilon``, a model without horizon or with
        discount, or an interval that would need too many solves
    ArithmeticError
        digits were lost: rewards so large that a policy seems better than the best one

    Examples
    --------
    >>> mdp = TabularMDP.from_outcomes([[[(1, 0, 0.2)], [(0.5, 0, 1.0), (0.5, 0, -0.5)]]], horizon=1)
    >>> front = entrm_front(mdp, -1, 1, epsilon=0.01)
    >>> front.n_policies, bool(front.certificate <= 0.01), entrm_front(mdp, -1, 1, epsilon=0).breakpoints.round(9)
    (3, True, array([-0.17830672]))
    """
    for name, beta in (("beta_min", beta_min), ("beta_max", beta_max)):
        number = isinstance(beta, (int, float, np.integer, np.floating)) and not isinstance(beta, bool)
        if not (number and math.isfinite(beta)):
            raise ValueError(f"{name} must be finite; got {beta!r}")
    beta_min, beta_max = float(beta_min), float(beta_max)
    if beta_min > beta_max:
        raise ValueError(f"beta_min must not exceed beta_max; got {beta_min:g} > {beta_max:g}")
    if mdp.horizon is None or mdp.discount < 1:
        raise ValueError(
            "the front is computed for models with a horizon and without discount; build the model with horizon= and discount=1"
        )
    if s0 is not None:
        mdp = mdp.replace(initial=s0)
    reach = return_reach(mdp)
    epsilon = max(reach.width / 1000, 1e-9 * reach.size) if epsilon is None else epsilon
    if (
        isinstance(epsilon, bool)
        or not isinstance(epsilon, (int, float, np.integer, np.floating))
        or not 0 <= epsilon < math.inf
    ):
        raise ValueError(f"epsilon must be positive, or 0 for exact breakpoints; got {epsilon!r}")
    epsilon = float(epsilon)
    if reach.width == 0:  # nothing is at stake: any policy is optimal
        return _constant(mdp, beta_min, beta_max, epsilon)
    if epsilon == 0:
        from .breakpoints import exact_front

        return exact_front(mdp, float(beta_min), float(beta_max), tol)
    return _Cover(mdp, reach, epsilon).run(float(beta_min), float(beta_max))


def _readable(beta: float, width: float) -> bool:
    """Whether a law tells the entropic risk: products of probabilities below 1e-308 are missing in it."""
    return abs(beta) * width <= 600.0


def _constant(mdp: TabularMDP, beta_min: float, beta_max: float, epsilon: float) -> OptimalityFront:
    solution = solve_entrm(mdp, 0.0)
    nodes = np.unique([float(beta_min), float(beta_max)])
    values = np.full(len(nodes), solution.start_value)
    segment = Segment(float(beta_min), float(beta_max), solution.policy, 0.0)
    law = ReturnDistribution(np.array([solution.start_value]), np.ones(1))
    return OptimalityFront((segment,), nodes, values, 0.0, 1, epsilon, (law,), mdp)


def spaced_nodes(beta_min: float, beta_max: float, width: float, share: float) -> list[float]:
    """Parameters such that the curvature term between neighbours is at most ``share``; 0 is one if it is inside.

    Between b0 and b1 the term ``(b - b0)(b1 - b) / |b|`` is at most ``(sqrt|b1| - sqrt|b0|)^2``.
    """

    def side(near: float, far: float) -> list[float]:
        count = max(1, math.ceil((math.sqrt(far) - math.sqrt(near)) * width / math.sqrt(8 * share) * (1 + 1e-12)))
        if count > _MOST_SOLVES:
            raise ValueError(f"this front needs {count:.3g} solves; allow a larger epsilon or a shorter interval")
        return [float(x) for x in np.linspace(math.sqrt(near), math.sqrt(far), count + 1) ** 2]

    if beta_min == beta_max:
        return [beta_min]
    nodes: set[float] = {beta_min, beta_max}
    if beta_min < 0:
        nodes |= {-x for x in side(max(0.0, -beta_max), -beta_min)[1:-1]} | {min(0.0, beta_max)}
    if beta_max > 0:
        nodes |= set(side(max(0.0, beta_min), beta_max)[1:-1]) | {max(0.0, beta_min)}
    return sorted(nodes)


class _Cover:
    """The greedy cover of an interval by policies that are good at all the nodes they pass."""

    def __init__(self, mdp: TabularMDP, reach: Reach, epsilon: float) -> None:
        self.mdp, self.reach, self.epsilon = mdp, reach, epsilon
        self.share = epsilon / 2  # half for the gaps at the nodes, half for the curvature between them
        self.nodes: list[float] = []
        self.values: list[float] = []
        self.policies: list[np.ndarray] = []
        self.laws: dict[bytes, ReturnDistribution | None] = {}
        self.known: dict[bytes, dict[float, float]] = {}
        self.solves = 0
        self.follow_laws = True

    def run(self, beta_min: float, beta_max: float) -> OptimalityFront:
        for beta in spaced_nodes(beta_min, beta_max, self.reach.width, self.share):
            self._add(len(self.nodes), beta)
        segments: list[Segment] = []
        i = 0
        while True:
            k, j = self._furthest(i)
            if j == i and i < len(self.nodes) - 1:  # no policy serves both ends of the cell: look between them
                middle = (self.nodes[i] + self.nodes[i + 1]) / 2
                if not self.nodes[i] < middle < self.nodes[i + 1]:
                    raise ValueError(f"an epsilon of {self.epsilon:g} is below rounding here; allow a larger one")
                self._add(i + 1, middle)
                continue
            segments.append(Segment(self.nodes[i], self.nodes[j], self.policies[k], self._certificate(k, i, j)))
            if j >= len(self.nodes) - 1:
                break
            i = j
        laws = tuple(self._law(segment.policy) for segment in segments)
        front = np.array(self.nodes), np.array(self.values), self.reach.width, self.solves, self.epsilon
        return OptimalityFront(tuple(segments), *front, laws, self.mdp)

    def _add(self, at: int, beta: float) -> None:
        solution = solve_entrm(self.mdp, beta)
        self.solves += 1
        self.nodes.insert(at, beta)
        self.values.insert(at, solution.start_value)
        self.policies.insert(at, solution.policy)

    def _law(self, policy: np.ndarray) -> ReturnDistribution | None:
        """Exact law of a policy: one pass that gives its value at every parameter; None if it has too many atoms."""
        key = policy.tobytes()
        if key not in self.laws and self.follow_laws:
            try:
                self.laws[key] = evaluate(self.mdp, policy, "exact", max_atoms=20_000)
            except ValueError:
                self.follow_laws = False
            self.solves += 1
        return self.laws.get(key)

    def _values_of(self, k: int, first: int, last: int) -> np.ndarray:
        """Entropic risk of the policy of node k at the nodes first..last."""
        policy = self.policies[k]
        law = self._law(policy)
        known = self.known.setdefault(policy.tobytes(), {})
        missing = [beta for beta in self.nodes[first : last + 1] if beta not in known]
        by_law = [] if law is None else [beta for beta in missing if _readable(beta, self.reach.width)]
        if law is not None and by_law:
            known.update(zip(by_law, law.entrm_curve(np.array(by_law)).tolist(), strict=True))
        for beta in missing:
            if beta not in known:
                known[beta] = risk_at_start(self.mdp, evaluate_entrm(self.mdp, policy, beta).value, beta)
                self.solves += 1
        return np.array([known[beta] for beta in self.nodes[first : last + 1]])

    def _gaps(self, k: int, first: int, last: int) -> np.ndarray:
        """What the policy of node k loses at the nodes first..last."""
        gaps = np.array(self.values[first : last + 1]) - self._values_of(k, first, last)
        if gaps.min() < -_ROUNDING * (1 + self.reach.size):
            raise ArithmeticError(f"a policy is better than the best one by {-gaps.min():.3g}: digits were lost")
        return np.maximum(gaps, 0.0)

    def _furthest(self, i: int) -> tuple[int, int]:
        """The policy k >= i that is good at node i and as far as possible, and the last node j where it still is."""
        last = len(self.nodes) - 1
        good, step = i, 1
        while good < last and self._gaps(min(good + step, last), i, i)[0] <= self.share:
            good = min(good + step, last)
            step *= 2
        low, high = good, min(good + step, last)
        while high - low > 1:
            middle = (low + high) // 2
            if self._gaps(middle, i, i)[0] <= self.share:
                low = middle
            else:
                high = middle
        j = self._reached(low, i)
        # a policy that is good at both ends may fail between them: then nearer ones are tried
        while j < low:
            low = (i + low) // 2
            j = self._reached(low, i)
        return low, j

    def _reached(self, k: int, i: int) -> int:
        """The last node up to which the policy of node k is good at every node from i on."""
        last, block, j = len(self.nodes) - 1, 8, i
        while True:
            end = min(last, max(k, j) + block)
            bad = np.flatnonzero(self._gaps(k, i, end) > self.share)
            if bad.size:
                return i + int(bad[0]) - 1 if bad[0] else i
            if end == last:
                return last
            j, block = end, 2 * block

    def _certificate(self, k: int, i: int, j: int) -> float:
        """The largest bound over the cells of a segment, from the gaps that were measured at the nodes."""
        gaps = self._gaps(k, i, j)
        if i == j:
            return float(gaps[0])
        roots = np.sqrt(np.abs(self.nodes[i : j + 1]))
        curvature = self.reach.width**2 * np.diff(roots) ** 2 / 8
        return float(np.max(np.maximum(gaps[:-1], gaps[1:]) + curvature))
