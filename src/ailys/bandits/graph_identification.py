"""The best node of a graph: how many draws smoothness saves, and an agent that saves them.

Model: Gaussian rewards of scale sigma, means with ``mu' L mu <= R`` (Kocák and Garivier 2020). The characteristic time is
``1 / T = max_w min_a min {1/2 sum w_b (mu_b - lambda_b)^2 / sigma^2 : lambda_a = lambda_best, lambda' L lambda <= R}``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..core.guarantee import Guarantee
from ..core.randomness import Seed
from .agent import IN_ORDER, Agent, Recommendation, check_number
from .complexity import check_delta
from .families import Family, as_family
from .graph import check_weights, laplacian

__all__ = ["SpectralTaS", "best_responses", "spectral_characteristic_time"]

_FLOOR = 1e-9  # of the weights: the eigenproblem divides by them


class _Geometry:
    """One eigendecomposition of ``diag(w)^-1/2 L diag(w)^-1/2`` serves all rivals and all multipliers, O(N^2) each."""

    def __init__(self, L: np.ndarray, w: np.ndarray, mu: np.ndarray) -> None:
        root = np.sqrt(w)
        values, self.Q = np.linalg.eigh(L / np.outer(root, root))
        self.values, self.root = np.maximum(values, 0.0), root
        self.u = self.Q.T @ (root * mu)

    def back(self, z: np.ndarray) -> np.ndarray:
        """Means from coordinates (last axis)."""
        return np.asarray((z @ self.Q.T) / self.root)

    def project(self, R: float) -> tuple[float, np.ndarray]:
        """Weighted distance ``1/2 sum w (mu - lambda)^2`` to the model, and the nearest lambda."""

        def energy(gamma: float) -> float:
            return float(np.sum(self.values * (self.u / (1 + gamma * self.values)) ** 2))

        gamma = 0.0 if energy(0.0) <= R else float(_root(lambda g: np.array([energy(float(g[0]))]), R, 1)[0])
        z = self.u / (1 + gamma * self.values)
        return 0.5 * float(np.sum((self.u - z) ** 2)), self.back(z)

    def respond(self, best: int, R: float) -> tuple[np.ndarray, np.ndarray]:
        """Costs and means of the nearest alternatives in which each arm equals the best one; infinite at the best."""
        n = len(self.u)
        scaled = self.Q / self.root[:, None]
        S = scaled - scaled[best]  # coordinates of e_a - e_best
        others = np.arange(n) != best
        S = S[others]

        def at(gamma: np.ndarray) -> np.ndarray:
            shrink = 1 / (1 + gamma[:, None] * self.values)
            nu = -(S * self.u * shrink).sum(axis=1) / (S**2 * shrink).sum(axis=1)
            return np.asarray((self.u + nu[:, None] * S) * shrink)

        def energy(gamma: np.ndarray) -> np.ndarray:
            return np.asarray((self.values * at(gamma) ** 2).sum(axis=1))

        gamma = np.zeros(n - 1)
        tight = energy(gamma) > R
        if tight.any():
            gamma = np.where(tight, _root(energy, R, n - 1), 0.0)
        z = at(gamma)
        costs, means = np.full(n, np.inf), np.empty((n, n))
        costs[others] = 0.5 * ((self.u - z) ** 2).sum(axis=1)
        means[others] = self.back(z)
        means[best] = np.nan
        return costs, means


def _root(energy: Any, R: float, n: int) -> np.ndarray:
    """Multipliers with ``energy = R``, by bisection of their logarithms; the side of energy <= R."""
    low, high = np.full(n, -46.0), np.full(n, 46.0)
    for _ in range(44):
        middle = 0.5 * (low + high)
        above = energy(np.exp(middle)) > R
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.exp(high)


def best_responses(mu: Any, W: Any, R: float, weights: Any, sigma: float = 1.0) -> np.ndarray:
    """Evidence per draw against each node, ``min 1/2 sum w_b (mu_b - lambda_b)^2 / sigma^2``; infinite at the best node.

    Parameters
    ----------
    mu : (N,) means of the nodes
    W : (N, N) symmetric weights >= 0, or a NetworkX graph
    R : bound of ``lambda' L lambda``
    weights : (N,) proportions of draws, >= 0 and not all 0
    sigma : scale of the noise

    Raises
    ------
    ValueError
        mu or weights do not fit W, ``mu' L mu > R``, sigma not positive

    Examples
    --------
    >>> import numpy as np
    >>> path = np.diag(np.ones(4), 1) + np.diag(np.ones(4), -1)
    >>> costs = best_responses([0.9, 0.8, 0.6, 0.5, 0.4], path, 0.07, [0.3, 0.3, 0.2, 0.1, 0.1])
    >>> [round(float(c), 9) for c in costs[1:]]
    [0.000822859, 0.00550295, 0.007800574, 0.009685154]
    """
    means, L, R, sigma = _checked(mu, W, R, sigma)
    w = np.asarray(weights, dtype=float)
    if w.shape != means.shape or (w < 0).any() or not np.isfinite(w).all() or w.sum() <= 0:
        raise ValueError("weights must be numbers >= 0, one for each node, not all 0")
    w = np.maximum(w / w.sum(), _FLOOR)
    costs, _ = _Geometry(L, w / w.sum(), means).respond(int(np.argmax(means)), R)
    return costs / sigma**2


def spectral_characteristic_time(
    mu: Any, W: Any, R: float, sigma: float = 1.0, *, tolerance: float = 2e-5, max_rounds: int = 400
) -> tuple[float, float, np.ndarray]:
    """Bracket ``(lower, upper)`` of the characteristic time and weights that attain ``upper``.

    Cutting planes: every alternative met bounds the concave objective from above; a linear program maximises the bound, the
    objective at a point between its solution and the best weights so far bounds it from below.

    Parameters
    ----------
    mu : (N,) means with ``mu' L mu <= R``
    W : (N, N) symmetric weights, or a NetworkX graph
    R : smoothness known to the strategies
    sigma : noise
    tolerance : of the bracket, relative

    Raises
    ------
    ValueError
        as for `best_responses`

    Examples
    --------
    >>> import numpy as np
    >>> path = np.diag(np.ones(4), 1) + np.diag(np.ones(4), -1)
    >>> lower, upper, weights = spectral_characteristic_time([0.9, 0.8, 0.6, 0.5, 0.4], path, 0.07)
    >>> bool(lower <= upper < 824.93), bool(lower > 824.88)
    (True, True)
    """
    from scipy.optimize import linprog

    means, L, R, sigma = _checked(mu, W, R, sigma)
    best, n = int(np.argmax(means)), len(means)
    if (means == means[best]).sum() > 1:
        return math.inf, math.inf, np.where(means == means[best], 1.0, 0.0) / (means == means[best]).sum()
    cuts: list[np.ndarray] = []

    def evaluate(w: np.ndarray) -> float:
        w = np.maximum(w, _FLOOR)
        w /= w.sum()
        costs, alternatives = _Geometry(L, w, means).respond(best, R)
        near = np.flatnonzero(costs <= 4 * costs.min())  # alternatives that may matter at other weights
        cuts.extend(0.5 * (means - alternatives[a]) ** 2 / sigma**2 for a in near)
        return float(costs.min()) / sigma**2

    centre = np.full(n, 0.5 / (n - 1))
    centre[best] = 0.5
    value = evaluate(centre)
    bound = math.inf
    for step in range(max_rounds):
        G = np.array(cuts)
        scale = max(value, 1e-300)
        program = linprog(
            np.concatenate([np.zeros(n), [-1.0]]),
            A_ub=np.hstack([-G / scale, np.ones((len(G), 1))]), b_ub=np.zeros(len(G)),
            A_eq=np.concatenate([np.ones(n), [0.0]])[None], b_eq=[1.0], bounds=[(0, 1)] * n + [(0, None)], method="highs",
        )  # fmt: skip
        if not program.success:  # pragma: no cover (the program is feasible and bounded)
            break
        bound = min(bound, -program.fun * scale)
        if bound <= value * (1 + tolerance):
            break
        for share in (1.0, 0.3) if step % 3 else (0.5,):
            w = share * program.x[:n] + (1 - share) * centre
            found = evaluate(w)
            if found > value:
                value, centre = found, w
    centre = np.maximum(centre, _FLOOR)
    return 1 / bound, 1 / value, centre / centre.sum()


def _checked(mu: Any, W: Any, R: float, sigma: float) -> tuple[np.ndarray, np.ndarray, float, float]:
    L = laplacian(W)
    means = np.asarray(mu, dtype=float)
    if means.shape != (len(L),) or not np.isfinite(means).all():
        raise ValueError(f"mu must hold a finite mean for each of the {len(L)} nodes; got shape {means.shape}")
    R, sigma = check_number(R, "R", strict=True), check_number(sigma, "sigma", strict=True)
    rough = float(means @ L @ means)
    if rough > R * (1 + 1e-9) + 1e-12:
        raise ValueError(f"mu' L mu = {rough:.6g} is larger than R = {R:g}: these means are not in the model")
    return means, L, max(R, rough), sigma


class SpectralTaS(Agent):
    """Track-and-Stop on a graph: identify the best node with probability of error at most delta.

    Tracks weights that ascend the objective at the projection of the means observed on the model. Stops when the marginal
    likelihood under a Gaussian prior, over the largest likelihood of an alternative, exceeds 1 / delta: under the true
    means that ratio is at most a martingale of mean one, for every wrong answer the same one.

    Parameters
    ----------
    W : (N, N) symmetric weights, or a NetworkX graph
    R : ``mu' L mu <= R``
    family : "gaussian(sigma)"
    delta : probability of a wrong answer
    update_every : rounds between two ascents of the weights, and between two looks at the evidence
    prior : precision ``kappa (L + lam I)`` of the prior, (kappa, lam); default: energy R, scale one along constants

    Raises
    ------
    ValueError
        W as for `laplacian`, a number of arms that is not its number of nodes, a family other than
        Gaussian, R not positive, delta not strictly between 0 and 1, update_every < 1

    Examples
    --------
    >>> import numpy as np
    >>> path = np.diag(np.ones(4), 1) + np.diag(np.ones(4), -1)
    >>> agent = SpectralTaS(path, R=0.2, family="gaussian(0.1)", delta=0.1, rng=0)
    >>> noise = np.random.default_rng(0)
    >>> while not agent.should_stop:
    ...     arm = agent.ask()
    ...     agent.tell(arm, 0.9 - 0.2 * arm + 0.1 * noise.standard_normal())
    >>> agent.recommend().action
    0
    """

    def __init__(self, W: Any, n_arms: int | None = None, family: Family | str = "gaussian", rng: Seed = None, *, R: float,
                 delta: float = 0.05, update_every: int = 5, prior: Sequence[float] | None = None,
                 actions: Sequence[Any] | None = None, log: str | Path | None = None) -> None:  # fmt: skip
        kind = as_family(family)
        if kind.name != "gaussian":
            raise ValueError(f"SpectralTaS takes the family 'gaussian(sigma)'; got {kind.name!r}")
        self.W = check_weights(W)
        n = len(self.W)
        if n_arms is not None and n_arms != n:
            raise ValueError(f"the graph has {n} nodes, n_arms says {n_arms!r}")
        self.R, self.delta = check_number(R, "R", strict=True), check_delta(delta)
        if isinstance(update_every, bool) or not isinstance(update_every, (int, np.integer)) or update_every < 1:
            raise ValueError(f"update_every must be a whole number >= 1; got {update_every!r}")
        self.update_every = int(update_every)
        kappa, lam = (n / self.R, self.R / n) if prior is None else (float(prior[0]), float(prior[1]))
        self.prior = (check_number(kappa, "kappa", strict=True), check_number(lam, "lam", strict=True))
        own = {"R": self.R, "delta": self.delta, "update_every": self.update_every, "prior": list(self.prior)}
        super().__init__(n if actions is None else list(actions), kind, rng, log, own)

    def _setup(self) -> None:
        n = self.n_arms
        self._L = laplacian(self.W)
        self._precision = self.prior[0] * (self._L + self.prior[1] * np.eye(n))
        self._prior_det = float(np.linalg.slogdet(self._precision)[1])
        self._weights, self._exponents, self._targets = np.full(n, 1 / n), np.zeros(n), np.zeros(n)
        self._answer: int | None = None
        self._rounds = 0

    def _state(self) -> dict[str, Any]:
        return {**super()._state(), "W": self.W.tolist()}

    @classmethod
    def _build(cls, state: Mapping[str, Any], rng: np.random.Generator) -> Any:
        return cls(state["W"], family=state["family"], rng=rng, actions=state["actions"], **dict(state["parameters"]))

    def _choose(self) -> int:
        fresh = np.flatnonzero(self.counts + self._waiting == 0)
        if len(fresh):
            return int(fresh[0])
        seen = np.maximum(self.counts, _FLOOR)
        if self._rounds % self.update_every == 0:
            _, inside = _Geometry(self._L, seen / seen.sum(), self.sums / np.maximum(self.counts, 1)).project(self.R)
            best = int(np.argmax(inside))
            w = np.maximum(self._weights, 1e-6)
            costs, alternatives = _Geometry(self._L, w / w.sum(), inside).respond(best, self.R)
            gradient = (inside - alternatives[int(np.argmin(costs))]) ** 2
            self._exponents += gradient / max(float(gradient.max()), 1e-300)
            k = self._rounds // self.update_every + 1
            raised = np.exp((self._exponents - self._exponents.max()) / math.sqrt(k))
            self._weights = raised / raised.sum()
        self._rounds += 1
        mix = 0.25 / math.sqrt(self.t + 1)
        self._targets += (1 - mix) * self._weights + mix / self.n_arms
        return int(np.argmax(self._targets - self.counts))

    def evidence(self) -> tuple[int, float]:
        """The answer, and the logarithm of the evidence against the hardest alternative."""
        s2 = self.family.sigma**2
        n = np.maximum(self.counts, _FLOOR)
        means = self.sums / np.maximum(self.counts, 1)
        geometry = _Geometry(self._L, n, means)
        best = int(np.argmax(geometry.project(self.R)[1]))
        costs, _ = geometry.respond(best, self.R)
        b = self.sums / s2
        V = np.diag(self.counts / s2) + self._precision
        marginal = 0.5 * float(b @ np.linalg.solve(V, b)) - 0.5 * (float(np.linalg.slogdet(V)[1]) - self._prior_det)
        largest = 0.5 * float(np.sum(self.counts * means**2)) / s2 - float(costs.min()) / s2
        return best, marginal - largest

    def _observe(self, arm: int, reward: float) -> None:
        super()._observe(arm, reward)
        if self._answer is None and self.counts.min() > 0 and (self.t + 1) % self.update_every == 0:
            best, evidence = self.evidence()
            if evidence > math.log(1 / self.delta):
                self._answer = best

    @property
    def should_stop(self) -> bool:
        """Whether the evidence has exceeded 1 / delta."""
        return self._answer is not None

    def recommend(self) -> Recommendation:
        """The best node, with its confidence once stopped."""
        self._require_outcomes()
        best, evidence = self.evidence()
        proof = None
        if self._answer is not None:
            best = self._answer
            proof = Guarantee(
                "delta-correct",
                f"the answer is the best node with probability at least {1 - self.delta:g}",
                level=1 - self.delta,
                values={"delta": self.delta, "R": self.R, "n_samples": self.t},
                assumptions=(
                    f"mu' L mu is at most {self.R:g}",
                    f"independent Gaussian noise of scale {self.family.sigma:g}",
                    IN_ORDER,
                ),
                source="docs, bandits, section 'Graph bandits'",
            )
        confidence = None if proof is None else 1 - self.delta
        return Recommendation(
            self.label(best), confidence, 0.0, self.should_stop, self.t, evidence, math.log(1 / self.delta), proof
        )

    def result(self) -> Recommendation:
        """As `recommend`."""
        return self.recommend()

    def _extra(self) -> dict[str, Any]:
        return {
            "weights": self._weights.tolist(), "exponents": self._exponents.tolist(), "targets": self._targets.tolist(),
            "answer": self._answer, "rounds": self._rounds,
        }  # fmt: skip

    def _restore(self, extra: Mapping[str, Any]) -> None:
        self._weights[:], self._exponents[:] = extra["weights"], extra["exponents"]
        self._targets[:] = extra["targets"]
        self._answer, self._rounds = extra["answer"], int(extra["rounds"])
