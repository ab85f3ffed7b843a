"""Policies that minimise regret: at each time draw the arm of the best index, or of the best posterior sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..core.answer import Answer
from ..core.guarantee import Guarantee
from ..core.randomness import Seed
from . import _policy_kernels as kernels
from .agent import Agent, check_number
from .families import Family

__all__ = [
    "IMED",
    "KLUCB",
    "MOSS",
    "UCB",
    "BayesUCB",
    "EmpiricalIMED",
    "EmpiricalKLUCB",
    "KLUCBSwitch",
    "KLUCBpp",
    "PolicyResult",
    "Thompson",
]

Arms = int | Sequence[Any]


@dataclass(frozen=True)
class PolicyResult(Answer):
    """Where a policy stands: draws and means of the arms, and what is proved about its regret."""

    policy: str
    best: Any
    counts: np.ndarray
    means: np.ndarray
    t: int
    proof: Guarantee | None

    def facts(self) -> Mapping[str, Any]:
        """The fields, in order."""
        return {"policy": self.policy, "best": self.best, "t": self.t, "counts": self.counts, "means": self.means}

    @property
    def guarantee(self) -> Guarantee | None:
        """The theorem on the regret of this policy."""
        return self.proof


class CompiledPolicy(Agent):
    """Base of the policies: holds the arrays of the kernels and calls them."""

    policy: ClassVar[int]
    theorem: ClassVar[tuple[str, str] | None] = None  # statement, source
    families: ClassVar[tuple[str, ...]] = ("bernoulli", "gaussian", "poisson", "exponential", "bounded")

    def _setup(self) -> None:
        if self.family.name not in self.families:
            name = type(self).__name__
            raise ValueError(f"{name} takes the families {', '.join(self.families)}; got {self.family.name!r}")
        capacity = 8 if self.policy >= kernels.EMPIRICAL_KLUCB else 1
        self._aux = np.zeros((self.n_arms, 3))
        if self.policy == kernels.KLUCB:
            self._aux[:, 0] = np.inf
        self._values = np.zeros((self.n_arms, capacity))
        self._repeats = np.zeros((self.n_arms, capacity), np.int64)
        self._sizes = np.zeros(self.n_arms, np.int64)
        self._params = np.array([*self._kernel_parameters(), 0.0, 0.0, 0.0][:3])

    def _kernel_parameters(self) -> Sequence[float]:
        """Numbers that the kernel of the policy reads."""
        return ()

    def _choose(self) -> int:
        return int(
            kernels.choose(
                self.policy, self.family.code, self.family.sigma, self._params, self.t, self.counts, self.sums,
                self._aux, self._values, self._repeats, self._sizes, self.rng,
            )
        )  # fmt: skip

    def _observe(self, arm: int, reward: float) -> None:
        if self.policy >= kernels.EMPIRICAL_KLUCB and self._sizes[arm] == self._values.shape[1]:
            self._values = np.hstack([self._values, np.zeros_like(self._values)])
            self._repeats = np.hstack([self._repeats, np.zeros_like(self._repeats)])
        coin = reward
        if 0.0 < reward < 1.0 and self.family.code == 0 and self.policy in (kernels.THOMPSON, kernels.BAYES_UCB):
            # the posterior needs zeros and ones: a coin of the same mean
            coin = 1.0 if self.rng.random() < reward else 0.0
        kernels.observe(
            self.policy, self.family.code, arm, reward, coin, self.counts, self.sums, self._aux, self._values, self._repeats,
            self._sizes,
        )  # fmt: skip

    def _extra(self) -> dict[str, Any]:
        if self.policy in (kernels.THOMPSON, kernels.BAYES_UCB):
            return {"binary": self._aux[:, 0].tolist()}
        if self.policy >= kernels.EMPIRICAL_KLUCB:
            rows = range(self.n_arms)
            return {
                "values": [self._values[a, : self._sizes[a]].tolist() for a in rows],
                "repeats": [self._repeats[a, : self._sizes[a]].tolist() for a in rows],
            }
        return {}  # bounds of KL-UCB are computed again

    def _restore(self, extra: Mapping[str, Any]) -> None:
        if "binary" in extra:
            self._aux[:, 0] = extra["binary"]
        if "values" in extra:
            capacity = max(8, *(len(row) + 1 for row in extra["values"]))
            self._values = np.zeros((self.n_arms, capacity))
            self._repeats = np.zeros((self.n_arms, capacity), np.int64)
            for a, (row, repeats) in enumerate(zip(extra["values"], extra["repeats"], strict=True)):
                self._sizes[a] = len(row)
                self._values[a, : len(row)] = row
                self._repeats[a, : len(row)] = repeats

    def result(self) -> PolicyResult:
        """Draws and means of the arms, with the theorem on the regret."""
        proof = None
        if self.theorem is not None:
            statement, source = self.theorem
            if statement == _ATTAINS and self.family.name != "bounded":
                statement += _AND_BEST  # of bounded rewards c(mu) is that of binary ones: others may allow less
            proof = Guarantee(
                "regret-bound",
                statement,
                assumptions=(
                    f"independent rewards of the family {self.family}",
                    "each outcome is told before the next draw",
                ),
                source=source,
            )
        return PolicyResult(type(self).__name__, self.recommend().action, self.counts.copy(), self.means, self.t, proof)


def _horizon(value: Any, n_arms: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"horizon must be a whole number >= 1; got {value!r}")
    count = n_arms if isinstance(n_arms, (int, np.integer)) else len(n_arms)
    if value < count:
        raise ValueError(f"horizon {value} is smaller than the number of arms, {count}: each is drawn once")
    return int(value)


_ATTAINS = "the expected regret is at most (1 + o(1)) c(mu) ln T"
_AND_BEST = ", and no uniformly good policy does better"


def _unit(family: Family) -> str:
    """What the square root of K T is multiplied with: the range of bounded rewards, the scale of Gaussian ones."""
    if family.name == "bounded":
        return f"{family.scale:g} "
    return f"{family.sigma:g} " if family.name == "gaussian" else ""


class UCB(CompiledPolicy):
    """Upper confidence bounds: ``mean + sqrt(2 sigma^2 ln t / N)`` (Auer, Cesa-Bianchi, Fischer 2002).

    ``sigma`` bounds the scale of the rewards as sub-Gaussian variables: 1/2 of their range is enough for
    bounded ones (default); 1 is the UCB1 of the paper; the family's own for Gaussian rewards.

    Raises
    ------
    ValueError
        as for `Agent`; sigma not positive

    Examples
    --------
    >>> agent = UCB(3, rng=0)
    >>> for reward in (0, 1, 1):
    ...     agent.tell(agent.ask(), reward)
    >>> agent.recommend().action
    1
    """

    policy = kernels.UCB
    families = ("bernoulli", "gaussian", "bounded")

    def __init__(self, n_arms: Arms, family: Family | str = "bernoulli", rng: Seed = None, *, sigma: float | None = None,
                 log: str | Path | None = None) -> None:  # fmt: skip
        self._sigma = None if sigma is None else check_number(sigma, "sigma", strict=True)
        super().__init__(n_arms, family, rng, log, {"sigma": self._sigma})

    def _kernel_parameters(self) -> Sequence[float]:
        if self._sigma is not None:
            return (self._sigma / self.family.scale,)
        return (self.family.sigma if self.family.name == "gaussian" else 0.5,)

    def result(self) -> PolicyResult:
        """With the finite-time bound of UCB1 where it is proved: rewards in an interval, sigma at least its length."""
        if self._params[0] >= 1.0 and self.family.code == 0:
            factor = 8 * (self._params[0] * self.family.scale) ** 2
            statement = f"R_T <= {factor:.6g} sum_a ln T / gap_a + (1 + pi^2 / 3) sum_a gap_a"
            self.theorem = statement, "Auer, Cesa-Bianchi, Fischer 2002, Theorem 1, with 8 sigma^2 for 8"  # type: ignore[misc]
        return super().result()


class MOSS(CompiledPolicy):
    """``mean + sqrt(ln+(T / (K N)) / (2 N))``, worst-case regret of order sqrt(K T) (Audibert and Bubeck 2009).

    Without a horizon the time t stands for T. For Gaussian rewards the width is multiplied by 2 sigma.

    Raises
    ------
    ValueError
        as for `Agent`; a horizon below the number of arms
    """

    policy = kernels.MOSS
    families = ("bernoulli", "gaussian", "bounded")

    def __init__(self, n_arms: Arms, family: Family | str = "bernoulli", rng: Seed = None, *, horizon: int | None = None,
                 log: str | Path | None = None) -> None:  # fmt: skip
        self._horizon = None if horizon is None else _horizon(horizon, n_arms)
        super().__init__(n_arms, family, rng, log, {"horizon": self._horizon})

    def _kernel_parameters(self) -> Sequence[float]:
        return (self.family.sigma if self.family.name == "gaussian" else 0.5), float(self._horizon or 0)

    def result(self) -> PolicyResult:
        """With the order of its worst-case regret when the horizon is known."""
        if self._horizon is not None:
            statement = (
                f"the regret at T = {self._horizon} is at most a universal constant times {_unit(self.family)}sqrt(K T) "
                "on every instance"
            )
            self.theorem = statement, "Audibert and Bubeck 2009, Theorem 5; Garivier, Hadiji, Ménard, Stoltz 2022"  # type: ignore[misc]
        return super().result()


class KLUCB(CompiledPolicy):
    """``max {q: N d(mean, q) <= ln t + c ln ln t}`` (Garivier and Cappé 2011); c = 3 in the proof, 0 in practice.

    Raises
    ------
    ValueError
        as for `Agent`; c < 0
    """

    policy = kernels.KLUCB

    def __init__(self, n_arms: Arms, family: Family | str = "bernoulli", rng: Seed = None, *, c: float = 0.0,
                 log: str | Path | None = None) -> None:  # fmt: skip
        self._c = check_number(c, "c")
        super().__init__(n_arms, family, rng, log, {"c": self._c})

    def _kernel_parameters(self) -> Sequence[float]:
        return (self._c,)

    def result(self) -> PolicyResult:
        """With its asymptotic optimality, proved for c >= 3."""
        if self._c >= 3:
            self.theorem = _ATTAINS, "Garivier and Cappé 2011, Theorem 1; Cappé et al. 2013"  # type: ignore[misc]
        return super().result()


class KLUCBpp(CompiledPolicy):
    """KL-UCB++: level ``ln+((T / K N) (1 + ln+^2(T / K N)))`` (Ménard and Garivier 2017).

    Raises
    ------
    ValueError
        as for `MOSS`
    """

    policy = kernels.KLUCBPP
    theorem = _ATTAINS, "Ménard and Garivier 2017"

    def __init__(self, n_arms: Arms, family: Family | str = "bernoulli", rng: Seed = None, *, horizon: int,
                 log: str | Path | None = None) -> None:  # fmt: skip
        self._horizon = _horizon(horizon, n_arms)
        super().__init__(n_arms, family, rng, log, {"horizon": self._horizon})

    def _kernel_parameters(self) -> Sequence[float]:
        return 0.0, float(self._horizon)

    def result(self) -> PolicyResult:
        """With both theorems; the one for every instance needs rewards of bounded variance."""
        if self.family.name not in ("poisson", "exponential"):
            best = "" if self.family.name == "bounded" else _AND_BEST
            order = f"on every instance it is at most a universal constant times {_unit(self.family)}sqrt(K T)"
            self.theorem = f"{_ATTAINS}{best}; {order}", "Ménard and Garivier 2017"  # type: ignore[misc]
        return super().result()


class KLUCBSwitch(CompiledPolicy):
    """KL-UCB index up to ``(T / K)^(1/5)`` draws of an arm, MOSS index after (Garivier, Hadiji, Ménard, Stoltz 2022).

    Raises
    ------
    ValueError
        as for `MOSS`
    """

    policy = kernels.KLUCB_SWITCH
    families = ("bernoulli", "bounded")

    def __init__(self, n_arms: Arms, family: Family | str = "bernoulli", rng: Seed = None, *, horizon: int | None = None,
                 log: str | Path | None = None) -> None:  # fmt: skip
        self._horizon = None if horizon is None else _horizon(horizon, n_arms)
        super().__init__(n_arms, family, rng, log, {"horizon": self._horizon})

    def _kernel_parameters(self) -> Sequence[float]:
        return 0.5, float(self._horizon or 0)


class BayesUCB(CompiledPolicy):
    """Quantile of level ``1 - 1 / (t (ln T)^c)`` of the posterior (Kaufmann, Cappé, Garivier 2012).

    ``prior`` is the parameter a of the Beta(a, a) prior. Without a horizon t stands for T. Rewards inside (0, 1) are made
    binary by a coin.

    Raises
    ------
    ValueError
        as for `Agent`; c < 0, prior <= 0
    """

    policy = kernels.BAYES_UCB

    def __init__(self, n_arms: Arms, family: Family | str = "bernoulli", rng: Seed = None, *, c: float = 0.0,
                 prior: float = 1.0, horizon: int | None = None, log: str | Path | None = None) -> None:  # fmt: skip
        self._c, self._prior = check_number(c, "c"), check_number(prior, "prior", strict=True)
        self._horizon = None if horizon is None else _horizon(horizon, n_arms)
        super().__init__(n_arms, family, rng, log, {"c": self._c, "prior": self._prior, "horizon": self._horizon})

    def _kernel_parameters(self) -> Sequence[float]:
        return self._prior, float(self._horizon or 0), self._c


class Thompson(CompiledPolicy):
    """Draw each mean from its posterior, take the arm of the largest (Thompson 1933; Kaufmann, Korda, Munos 2012).

    ``prior`` is the parameter a of the Beta(a, a) prior: 1 as in 1933, 1/2 for Jeffreys'. Rewards inside (0, 1) are made
    binary by a coin. Gaussian: flat prior.

    Raises
    ------
    ValueError
        as for `Agent`; prior <= 0
    """

    policy = kernels.THOMPSON

    def __init__(self, n_arms: Arms, family: Family | str = "bernoulli", rng: Seed = None, *, prior: float = 1.0,
                 log: str | Path | None = None) -> None:  # fmt: skip
        self._prior = check_number(prior, "prior", strict=True)
        super().__init__(n_arms, family, rng, log, {"prior": self._prior})

    def _kernel_parameters(self) -> Sequence[float]:
        return (self._prior,)

    def result(self) -> PolicyResult:
        """With its asymptotic optimality for Bernoulli rewards and the uniform prior."""
        if self.family.name == "bernoulli" and self._prior == 1.0:
            self.theorem = _ATTAINS, "Kaufmann, Korda, Munos 2012, Theorem 1"  # type: ignore[misc]
        return super().result()


class _Plain(CompiledPolicy):
    """Policies without parameters."""

    def __init__(self, n_arms: Arms, family: Family | str = "bernoulli", rng: Seed = None, *,
                 log: str | Path | None = None) -> None:  # fmt: skip
        super().__init__(n_arms, family, rng, log, {})


class IMED(_Plain):
    """Draw the arm of the smallest ``N d(mean, best mean) + ln N`` (Honda and Takemura 2015)."""

    policy = kernels.IMED

    def result(self) -> PolicyResult:
        """With its asymptotic optimality for Bernoulli rewards."""
        if self.family.name == "bernoulli":
            self.theorem = _ATTAINS, "Honda and Takemura 2015"  # type: ignore[misc]
        return super().result()


class EmpiricalKLUCB(_Plain):
    """KL-UCB with the empirical K_inf in the place of d: any law on an interval (Cappé et al. 2013).

    Raises
    ------
    ValueError
        as for `Agent`; a family other than Bernoulli and bounded
    """

    policy = kernels.EMPIRICAL_KLUCB
    families = ("bernoulli", "bounded")


class EmpiricalIMED(_Plain):
    """IMED with the empirical K_inf in the place of d: any law on an interval (Honda and Takemura 2015).

    Raises
    ------
    ValueError
        as for `EmpiricalKLUCB`
    """

    policy = kernels.EMPIRICAL_IMED
    families = ("bernoulli", "bounded")
