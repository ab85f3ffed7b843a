"""Comparison of policies by simulation: the same kernels as the live agents, whole runs without returning to Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.answer import Answer
from ..core.guarantee import Guarantee
from ..core.randomness import Seed, as_generator
from . import _policy_kernels as kernels
from .environment import Arms, new_keys, run
from .families import Family, as_family, lai_robbins
from .policies import CompiledPolicy

__all__ = ["RegretResult", "replicate_streams", "simulate"]

_CHUNK = 16  # replicates that a worker takes at once


@dataclass(frozen=True)
class RegretResult(Answer):
    """Pseudo-regret ``sum_t (mu* - mu_{A_t})`` of several policies.

    Attributes
    ----------
    policies : names, in the order of the first axis
    regret : (policy, replicate, checkpoint)
    pulls : (policy, replicate, arm) draws at the horizon
    checkpoints : times at which the regret was noted
    means, family : the problem
    in_family : whether the rewards had the law that the family says (bounded: two values). Not known of bounded rewards of an
        environment of one's own: then no lower bound is claimed
    """

    policies: tuple[str, ...]
    regret: np.ndarray
    pulls: np.ndarray
    checkpoints: np.ndarray
    means: np.ndarray
    family: Family
    in_family: bool = True

    def facts(self) -> Mapping[str, Any]:
        """Mean regret at the horizon with its standard error, and the constant of Lai and Robbins."""
        n = self.regret.shape[1]
        errors = self.regret[:, :, -1].std(axis=1, ddof=1 if n > 1 else 0) / np.sqrt(n)
        final = {
            f"regret_of_{name}": f"{mean:.1f} ± {error:.1f}"
            for name, mean, error in zip(self.policies, self.mean[:, -1], errors, strict=True)
        }
        rest = {
            "horizon": int(self.checkpoints[-1]),
            "replicates": n,
            "c_of_Lai_and_Robbins": self.constant if self.in_family else None,
        }
        table = [
            {"policy": p, "checkpoints": self.checkpoints, "mean": m}
            for p, m in zip(self.policies, self.mean, strict=True)
        ]
        return {**final, **rest, "curves": table}

    @property
    def constant(self) -> float:
        """``c(mu)`` of Lai and Robbins."""
        return lai_robbins(self.means, self.family)

    @property
    def mean(self) -> np.ndarray:
        """Mean regret, (policy, checkpoint)."""
        return self.regret.mean(axis=1)

    def quantile(self, q: float) -> np.ndarray:
        """Quantile of the regret over the replicates, (policy, checkpoint)."""
        return np.quantile(self.regret, q, axis=1)

    @property
    def lower_bound(self) -> np.ndarray:
        """``c(mu) ln t`` at the checkpoints: what a uniformly good policy cannot beat asymptotically; NaN if unknown."""
        if not self.in_family:
            return np.full(len(self.checkpoints), np.nan)
        return self.constant * np.log(np.maximum(self.checkpoints, 1))

    @property
    def guarantee(self) -> Guarantee | None:
        """The lower bound on the regret of uniformly good policies; None where it is not known."""
        if not self.in_family:
            return None
        two = ", all at the ends of the interval" if self.family.name == "bounded" else ""
        return Guarantee(
            "regret-bound",
            f"every uniformly good policy has a regret of at least (1 + o(1)) {self.constant:.6g} ln T on these means",
            level=self.constant,
            assumptions=(f"independent rewards of the family {self.family}{two}",),
            source="Lai and Robbins 1985",
        )

    def plot(self, ax: Any = None) -> Any:
        """Mean regret with its band from 10 to 90 %, and the lower bound, against the logarithm of time."""
        from .plots import plot_regret

        return plot_regret(self, ax)


def simulate(
    policies: Mapping[str, Callable[..., Any]],
    environment: Any,
    horizon: int,
    n_replicates: int,
    *,
    family: Family | str = "bernoulli",
    rng: Seed = None,
    checkpoints: Sequence[int] | None = None,
    n_jobs: int | None = 1,
    common_random_numbers: bool = True,
) -> RegretResult:
    """Run policies on the same problem many times.

    Parameters
    ----------
    policies : name -> factory, called as ``factory(n_arms=, family=, rng=)``: a class or a partial of one
    environment : means of the arms; or a callable ``(action, rng) -> reward`` with attributes ``means`` and ``family``
    horizon : draws of each run, at least the number of arms
    n_replicates : runs of each policy
    family : of the rewards, where means are given
    checkpoints : times at which the regret is noted; default: 100 of them, evenly spaced on a logarithmic scale
    n_jobs : workers, as in joblib; results do not depend on it. None takes the surrounding ``joblib.parallel_config``
    common_random_numbers : all policies meet the same rewards in the same replicate

    Raises
    ------
    ValueError
        no policies, fewer than two means or one outside of the range of the family, n_replicates < 1, a horizon
        below the number of arms, checkpoints that do not increase within it; what a policy refuses

    Examples
    --------
    >>> from ailys.bandits import UCB, Thompson
    >>> result = simulate({"ucb": UCB, "thompson": Thompson}, [0.1, 0.5], 1000, 20, rng=0)
    >>> bool(result.mean[1, -1] < result.mean[0, -1])
    True
    """
    if not policies:
        raise ValueError("policies is empty; expected at least one name with its factory")
    custom = callable(environment)
    if custom and not hasattr(environment, "means"):
        raise ValueError(
            "the environment needs an attribute 'means': without the true means there is no regret to note"
        )
    family = as_family(getattr(environment, "family", family) if custom else family)
    means = family.check_means(environment.means if custom else environment)
    if means.ndim != 1 or len(means) < 2:
        raise ValueError(f"expected the means of at least two arms; got an array of shape {means.shape}")
    for name, value, least in (("horizon", horizon, len(means)), ("n_replicates", n_replicates, 1)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise ValueError(f"{name} must be a whole number >= {least}; got {value!r}")
    marks = _checkpoints(checkpoints, int(horizon))
    world = None if not custom or isinstance(environment, Arms) else environment
    streams = as_generator(rng).spawn(int(n_replicates))
    chunks = [streams[i : i + _CHUNK] for i in range(0, len(streams), _CHUNK)]
    from joblib import Parallel, delayed

    # threads unless the caller configures another backend: the kernels release the interpreter's lock
    work = (
        delayed(_replicates)(
            c, tuple(policies.items()), means, family, int(horizon), marks, common_random_numbers, world
        )
        for c in chunks
    )
    parts = Parallel(n_jobs=n_jobs, prefer="threads")(work)
    regret = np.concatenate([part[0] for part in parts], axis=1)
    pulls = np.concatenate([part[1] for part in parts], axis=1)
    in_family = world is None or family.name != "bounded"
    return RegretResult(tuple(policies), regret, pulls, marks, means, family, in_family)


def _checkpoints(checkpoints: Sequence[int] | None, horizon: int) -> np.ndarray:
    if checkpoints is None:
        return np.unique(np.rint(np.geomspace(1, horizon, 100)).astype(np.int64))
    marks = np.asarray(checkpoints)
    if marks.ndim != 1 or not len(marks) or marks.dtype.kind not in "iu" or (np.diff(marks) <= 0).any():
        raise ValueError(f"checkpoints must be increasing whole numbers; got {checkpoints!r}")
    if marks[0] < 1 or marks[-1] > horizon:
        raise ValueError(f"checkpoints must lie between 1 and the horizon {horizon}; got {checkpoints!r}")
    return marks.astype(np.int64)


def replicate_streams(
    stream: np.random.Generator, n_arms: int, n_policies: int, common: bool
) -> tuple[list[np.ndarray], list[np.random.Generator]]:
    """Keys of the rewards and generators of the policies in one replicate."""
    children = stream.spawn(2 * n_policies)
    keys = [new_keys(child, n_arms) for child in children[: 1 if common else n_policies]]
    return keys * n_policies if common else keys, children[n_policies:]


def _replicates(
    streams: list[np.random.Generator],
    policies: tuple[tuple[str, Callable[..., Any]], ...],
    means: np.ndarray,
    family: Family,
    horizon: int,
    marks: np.ndarray,
    common: bool,
    world: Any,
) -> tuple[np.ndarray, np.ndarray]:
    regret = np.empty((len(policies), len(streams), len(marks)))
    pulls = np.empty((len(policies), len(streams), len(means)), np.int64)
    for r, stream in enumerate(streams):
        keys, generators = replicate_streams(stream, len(means), len(policies), common)
        for p, (_, factory) in enumerate(policies):
            agent = factory(n_arms=len(means), family=family, rng=generators[p])
            if world is None and isinstance(agent, CompiledPolicy):
                pulls[p, r] = play_compiled(agent, means, keys[p], horizon, marks, regret[p, r])
                regret[p, r] *= family.scale
                continue
            draw = Arms(means, family, keys=keys[p]) if world is None else world
            actions = np.array(run(agent, draw, horizon, rng=generators[p].spawn(1)[0]).actions)
            pulls[p, r] = np.bincount(actions, minlength=len(means))
            regret[p, r] = np.cumsum(means.max() - means[actions])[marks - 1]
    return regret, pulls


def play_compiled(
    agent: CompiledPolicy,
    means: np.ndarray,
    keys: np.ndarray,
    horizon: int,
    marks: np.ndarray,
    regret: np.ndarray,
    arms: np.ndarray | None = None,
) -> np.ndarray:
    """A run of a fresh agent in the kernels; returns the draws of the arms. ``arms`` receives the sequence of them."""
    if (
        agent.policy >= kernels.EMPIRICAL_KLUCB
    ):  # as many distinct rewards as draws at most; Arms of these families give two
        agent._values, agent._repeats = np.zeros((agent.n_arms, 4)), np.zeros((agent.n_arms, 4), np.int64)
    unit = np.asarray(agent.family.to_unit(means), float)
    kernels.play(
        agent.policy, agent.family.code, agent.family.sigma, agent._params, unit, agent.family.code, keys, horizon, marks,
        regret, agent.counts, agent.sums, agent._aux, agent._values, agent._repeats, agent._sizes,
        np.empty(0, np.int64) if arms is None else arms, agent.rng,
    )  # fmt: skip
    return agent.counts
