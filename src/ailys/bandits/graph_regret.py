"""Spectral bandits: arms are the nodes of a graph, and neighbours have similar means.

The means are ``mu = Q alpha`` with Q the eigenvectors of the Laplacian, and ``||alpha||_Lambda^2 = mu' (L + lam I) mu`` is small.
Regularised least squares in alpha, ``V = rho Lambda + sum x x'`` with x the rows of Q, shares what is learned on a node
with its neighbours (Valko, Munos, Kveton, Kocák 2014; Kocák et al. 2020).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..core.guarantee import Guarantee
from ..core.randomness import Seed
from .agent import IN_ORDER, Agent, check_number
from .complexity import check_delta
from .families import Family
from .graph import check_weights, laplacian
from .graph import n_components as count_components
from .policies import PolicyResult

__all__ = ["SpectralEliminator", "SpectralTS", "SpectralUCB"]


class _SpectralAgent(Agent):
    """Least squares on the graph.

    Parameters
    ----------
    W : (N, N) symmetric weights >= 0, or a NetworkX graph
    n_arms : not needed; accepted so that the class is a factory of `simulate` (with W bound by a partial)
    noise : R, sub-Gaussian scale of the rewards around their means
    lam : ridge added to the Laplacian
    rho : weight of the prior; ``R^2 N / C^2`` is that of a matching Gaussian one
    J, n_components : number of eigenvectors used (default: all); two names of one parameter
    """

    _fresh_first = False  # the bound of the regret is about the draws of the rule alone

    def __init__(self, W: Any, n_arms: int | None, family: Family | str, rng: Seed, log: str | Path | None, *, noise: float,
                 lam: float, rho: float, J: int | None, actions: Sequence[Any] | None, own: Mapping[str, Any],
                 n_components: int | None = None) -> None:  # fmt: skip
        self.W = check_weights(W)
        n = len(self.W)
        if n_arms is not None and n_arms != n:
            raise ValueError(f"the graph has {n} nodes, n_arms says {n_arms!r}")
        if actions is not None and len(actions) != n:
            raise ValueError(f"the graph has {n} nodes but {len(actions)} labels are given")
        self.noise = check_number(noise, "noise", strict=True)
        self.lam, self.rho = check_number(lam, "lam", strict=True), check_number(rho, "rho", strict=True)
        if n_components is not None:
            if J is not None:
                raise ValueError("give J or n_components, not both: they mean the same")
            J = n_components
        if J is not None and not 1 <= J <= n:
            raise ValueError(f"J must lie between 1 and the number of nodes, {n}; got {J!r}")
        self.J = J or n
        self.n_components = count_components(self.W)
        values, vectors = np.linalg.eigh(laplacian(self.W))
        self._prior = self.rho * (np.maximum(values[: self.J], 0.0) + self.lam)  # rho Lambda
        self._X = vectors[:, : self.J]
        parameters = {"noise": self.noise, "lam": self.lam, "rho": self.rho, "J": J, **own}
        super().__init__(n if actions is None else list(actions), family, rng, log, parameters)

    def _state(self) -> dict[str, Any]:
        return {**super()._state(), "W": self.W.tolist()}

    @classmethod
    def _build(cls, state: Mapping[str, Any], rng: np.random.Generator) -> Any:
        return cls(state["W"], family=state["family"], rng=rng, actions=state["actions"], **dict(state["parameters"]))  # type: ignore[call-arg]

    def _setup(self) -> None:
        self._refresh()

    def _refresh(self) -> None:
        """Inverse, widths and estimates from the counts and sums."""
        V = np.diag(self._prior) + (self._X.T * self.counts) @ self._X
        self._inverse = np.linalg.inv(V)
        self._widths = np.einsum("ij,jk,ik->i", self._X, self._inverse, self._X)
        self._log_det = float(np.linalg.slogdet(V)[1] - np.log(self._prior).sum())
        self._b = self._X.T @ self.sums
        self._estimate = self._X @ (self._inverse @ self._b)

    def _observe(self, arm: int, reward: float) -> None:
        super()._observe(arm, reward)
        x = self._X[arm]
        u = self._inverse @ x  # Sherman and Morrison; all widths in O(N J)
        scale = 1.0 + x @ u
        self._inverse -= np.outer(u, u / scale)
        self._widths -= (self._X @ u) ** 2 / scale
        self._log_det += math.log(scale)
        self._b += reward * x
        self._estimate = self._X @ (self._inverse @ self._b)

    def _extra(self) -> dict[str, Any]:
        # as they have been updated: inverted again they would break ties otherwise
        return {
            "inverse": self._inverse.tolist(), "widths": self._widths.tolist(), "b": self._b.tolist(),
            "estimate": self._estimate.tolist(), "log_det": self._log_det,
        }  # fmt: skip

    def _restore(self, extra: Mapping[str, Any]) -> None:
        self._inverse[:], self._widths[:] = extra["inverse"], extra["widths"]
        self._b[:], self._estimate[:] = extra["b"], extra["estimate"]
        self._log_det = float(extra["log_det"])

    def estimates(self) -> np.ndarray:
        """Means estimated with the help of the neighbours, in the units of the rewards."""
        return np.asarray(self.family.from_unit(self._estimate))

    def recommend(self) -> Any:
        """The node of the best estimate."""
        from .agent import Recommendation

        self._require_outcomes()
        return Recommendation(self.label(int(np.argmax(self._estimate))), None, 0.0, False, self.t)

    def _argmax(self, index: np.ndarray) -> int:
        best = np.flatnonzero(index == index.max())
        return int(best[0]) if len(best) == 1 else int(self.rng.choice(best))

    def _proof(self) -> Guarantee | None:
        return None

    def result(self) -> PolicyResult:
        """Draws, estimates, and the bound of the regret where there is one."""
        return PolicyResult(
            type(self).__name__, self.recommend().action, self.counts.copy(), self.estimates(), self.t, self._proof()
        )


class SpectralUCB(_SpectralAgent):
    """``x_a' alpha + m c_t ||x_a||_{V^-1}``, ``c_t = R sqrt(ln(|V| / |rho Lambda|) + 2 ln(1 / delta)) + sqrt(rho) C``.

    Parameters
    ----------
    C : at least ``sqrt(mu' (L + lam I) mu)``; "estimate" takes it from the estimates, without a guarantee
    m : width of the bonus; 1 for the guarantee, smaller values usually do better
    delta : probability that the guarantee fails
    noise, lam, rho, J : as for all spectral agents

    With m = 1, on an event of probability 1 - delta the regret of the whole run is at most
    ``regret_bound = sum_t 2 c_t ||x_{a_t}||``, a number known at the end of the run.

    Raises
    ------
    ValueError
        W as for `laplacian`, a number of arms that is not its number of nodes, a parameter out of its range

    Examples
    --------
    >>> import numpy as np
    >>> path = np.diag(np.ones(4), 1) + np.diag(np.ones(4), -1)
    >>> agent = SpectralUCB(path, noise=0.1, C=1.0, rng=0)
    >>> for _ in range(60):
    ...     arm = agent.ask()
    ...     agent.tell(arm, 1.0 - 0.2 * arm)
    >>> agent.recommend().action
    0
    """

    def __init__(self, W: Any, n_arms: int | None = None, family: Family | str = "gaussian", rng: Seed = None, *,
                 noise: float = 1.0, C: float | str = "estimate", m: float = 1.0, delta: float = 0.05, lam: float = 0.01,
                 rho: float = 1.0, J: int | None = None, actions: Sequence[Any] | None = None,
                 log: str | Path | None = None, n_components: int | None = None) -> None:  # fmt: skip
        self.C = C if C == "estimate" else check_number(C, "C", strict=True)
        self.m, self.delta = check_number(m, "m"), check_delta(delta)
        if self.m < 1:
            warnings.warn(f"m = {m:g} is below 1: the regret comes without a guarantee", stacklevel=2)
        self.regret_bound = 0.0
        own = {"C": self.C, "m": self.m, "delta": self.delta}
        super().__init__(W, n_arms, family, rng, log, noise=noise, lam=lam, rho=rho, J=J, actions=actions, own=own,
                         n_components=n_components)  # fmt: skip

    def _radius(self) -> float:
        if self.C == "estimate":
            alpha = self._inverse @ self._b
            size = math.sqrt(max(float(np.sum(self._prior / self.rho * alpha**2)), 0.0))
        else:
            size = float(self.C) / self.family.scale
        noise = self.noise / self.family.scale
        return noise * math.sqrt(self._log_det + 2 * math.log(1 / self.delta)) + math.sqrt(self.rho) * size

    def _choose(self) -> int:
        radius, widths = self._radius(), np.sqrt(np.maximum(self._widths, 0.0))
        arm = self._argmax(self._estimate + self.m * radius * widths)
        self.regret_bound += 2 * radius * float(widths[arm]) * self.family.scale
        return arm

    def _extra(self) -> dict[str, Any]:
        return {**super()._extra(), "regret_bound": self.regret_bound}

    def _restore(self, extra: Mapping[str, Any]) -> None:
        super()._restore(extra)
        self.regret_bound = float(extra["regret_bound"])

    def _proof(self) -> Guarantee | None:
        if self.m < 1 or self.C == "estimate" or self.n_arms > self.J or self.family.name == "bounded":
            return None
        return Guarantee(
            "regret-bound",
            f"with probability at least {1 - self.delta:g} the regret of the draws asked for ({self.t} told) is at most {self.regret_bound:.4g}",
            level=self.regret_bound,
            values={"delta": self.delta, "C": float(self.C)},
            assumptions=(
                f"sqrt(mu' (L + {self.lam:g} I) mu) is at most {self.C:g}",
                f"noise is sub-Gaussian with scale {self.noise:g}",
                IN_ORDER,
            ),
            source="Valko et al. 2014, Lemma 4; docs, bandits, section 'Graph bandits'",
        )


class SpectralTS(_SpectralAgent):
    """Thompson sampling on the graph: draw alpha from ``N(alpha_hat, v^2 V^-1)``, take the best node (Kocák et al. 2014).

    ``v``: scale of the sample, the noise by default; the analysis takes a larger one.
    """

    def __init__(self, W: Any, n_arms: int | None = None, family: Family | str = "gaussian", rng: Seed = None, *,
                 noise: float = 1.0, v: float | None = None, lam: float = 0.01, rho: float = 1.0, J: int | None = None,
                 actions: Sequence[Any] | None = None, log: str | Path | None = None, n_components: int | None = None) -> None:  # fmt: skip
        self.v = None if v is None else check_number(v, "v", strict=True)
        super().__init__(
            W, n_arms, family, rng, log, noise=noise, lam=lam, rho=rho, J=J, actions=actions, own={"v": self.v},
            n_components=n_components,
        )  # fmt: skip

    def _choose(self) -> int:
        scale = (self.v or self.noise) / self.family.scale
        root = np.linalg.cholesky(0.5 * (self._inverse + self._inverse.T))
        sample = self._inverse @ self._b + scale * (root @ self.rng.standard_normal(self.J))
        return self._argmax(self._X @ sample)


class SpectralEliminator(_SpectralAgent):
    """Phases of doubling length: draw the most uncertain node still in play, then drop those that cannot be best.

    Within a phase the nodes are chosen by their widths alone, so the estimate of a phase is that of a fixed design and
    ``R sqrt(2 ln(2 N / delta_j)) + sqrt(rho) C`` with ``delta_j = 6 delta / (pi^2 j^2)`` bounds all errors at once, over widths.
    """

    def __init__(self, W: Any, n_arms: int | None = None, family: Family | str = "gaussian", rng: Seed = None, *,
                 noise: float = 1.0, C: float, delta: float = 0.05, lam: float = 0.01, rho: float = 1.0, J: int | None = None,
                 actions: Sequence[Any] | None = None, log: str | Path | None = None, n_components: int | None = None) -> None:  # fmt: skip
        self.C, self.delta = check_number(C, "C", strict=True), check_delta(delta)
        own = {"C": self.C, "delta": self.delta}
        super().__init__(W, n_arms, family, rng, log, noise=noise, lam=lam, rho=rho, J=J, actions=actions, own=own,
                         n_components=n_components)  # fmt: skip

    def _setup(self) -> None:
        self.active = np.ones(self.n_arms, bool)
        self._phase, self._asked = 1, 0
        self._phase_counts, self._phase_sums = np.zeros(self.n_arms), np.zeros(self.n_arms)
        self._design = np.diag(1 / self._prior)  # inverse of V in this phase, for the draws asked
        super()._setup()

    def _choose(self) -> int:
        if self._asked >= 2 ** (self._phase - 1) and self._phase_counts.sum() >= self._asked:
            self._drop()
        widths = np.einsum("ij,jk,ik->i", self._X, self._design, self._X)
        arm = self._argmax(np.where(self.active, widths, -np.inf))
        u = self._design @ self._X[arm]
        self._design -= np.outer(u, u / (1.0 + self._X[arm] @ u))
        self._asked += 1
        return arm

    def _observe(self, arm: int, reward: float) -> None:
        super()._observe(arm, reward)
        self._phase_counts[arm] += 1
        self._phase_sums[arm] += reward

    def _drop(self) -> None:
        V = np.diag(self._prior) + (self._X.T * self._phase_counts) @ self._X
        inverse = np.linalg.inv(V)
        estimate = self._X @ (inverse @ (self._X.T @ self._phase_sums))
        widths = np.sqrt(np.einsum("ij,jk,ik->i", self._X, inverse, self._X))
        share = 6 * self.delta / (math.pi * self._phase) ** 2
        noise, size = self.noise / self.family.scale, self.C / self.family.scale
        radius = (noise * math.sqrt(2 * math.log(2 * self.n_arms / share)) + math.sqrt(self.rho) * size) * widths
        self.active &= estimate + radius >= (estimate - radius)[self.active].max()
        self._phase, self._asked = self._phase + 1, 0
        self._phase_counts[:], self._phase_sums[:] = 0, 0
        self._design = np.diag(1 / self._prior)

    def recommend(self) -> Any:
        """The node of the best estimate among those still in play."""
        from .agent import Recommendation

        self._require_outcomes()
        best = int(np.argmax(np.where(self.active, self._estimate, -np.inf)))
        return Recommendation(self.label(best), None, 0.0, False, self.t, proof=self._proof())

    def _proof(self) -> Guarantee | None:
        if self.n_arms > self.J:
            return None
        return Guarantee(
            "delta-correct",
            f"with probability at least {1 - self.delta:g} the best node is among the {int(self.active.sum())} still in play",
            level=1 - self.delta,
            values={"delta": self.delta, "C": self.C, "n_active": int(self.active.sum())},
            assumptions=(
                f"sqrt(mu' (L + {self.lam:g} I) mu) is at most {self.C:g}",
                f"noise is sub-Gaussian with scale {self.noise:g}",
                "every draw of a phase is told before the next phase",
            ),
            source="docs, bandits, section 'Graph bandits'",
        )

    def _extra(self) -> dict[str, Any]:
        return {
            **super()._extra(), "active": self.active.tolist(), "phase": self._phase, "asked": self._asked, "design": self._design.tolist(),
            "phase_counts": self._phase_counts.tolist(), "phase_sums": self._phase_sums.tolist(),
        }  # fmt: skip

    def _restore(self, extra: Mapping[str, Any]) -> None:
        super()._restore(extra)
        self.active[:] = extra["active"]
        self._phase, self._asked, self._design[:] = int(extra["phase"]), int(extra["asked"]), extra["design"]
        self._phase_counts[:], self._phase_sums[:] = extra["phase_counts"], extra["phase_sums"]
