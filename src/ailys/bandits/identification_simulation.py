"""How many draws strategies take to name the best arm, and how often they are wrong."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.answer import Answer
from ..core.claim import clopper_pearson
from ..core.guarantee import Guarantee
from ..core.randomness import Seed, as_generator
from . import _identification_kernels as kernels
from .complexity import characteristic_time, check_delta, check_epsilon, sample_lower_bound
from .environment import Arms, run
from .families import Family, as_family
from .identification import IdentificationAgent
from .simulation import replicate_streams

__all__ = ["IdentificationResult", "simulate_identification"]

_CHUNK = 16


@dataclass(frozen=True)
class IdentificationResult(Answer):
    """Stopping times and answers of several strategies.

    Attributes
    ----------
    policies : names, in the order of the first axis
    stopping_time : (policy, replicate) draws; ``max_steps`` where the rule had not stopped
    answers : (policy, replicate) arm named, -1 where the rule had not stopped
    wrong : (policy, replicate) the rule stopped on an arm that is not within epsilon of the best
    characteristic_time : T* of the problem
    """

    policies: tuple[str, ...]
    stopping_time: np.ndarray
    answers: np.ndarray
    wrong: np.ndarray
    delta: float
    epsilon: float
    characteristic_time: float
    means: np.ndarray
    family: Family
    max_steps: int

    @property
    def error_rate(self) -> np.ndarray:
        """(policy,) share of the runs that ended with a wrong answer."""
        return self.wrong.mean(axis=1)

    @property
    def error_interval(self) -> np.ndarray:
        """(policy, 2) 95 % interval of Clopper and Pearson for the probability of a wrong answer."""
        n = self.wrong.shape[1]
        return np.array([clopper_pearson(int(row.sum()), n, 0.975) for row in self.wrong])

    @property
    def mean(self) -> np.ndarray:
        """(policy,) mean stopping time."""
        return self.stopping_time.mean(axis=1)

    @property
    def lower_bound(self) -> float:
        """``T* kl(delta, 1 - delta)``: no delta-correct strategy has a smaller expected stopping time.

        Where several arms are within epsilon of the best, only as delta goes to 0.
        """
        return float(sample_lower_bound(self.characteristic_time, self.delta))

    def table(self) -> list[dict[str, Any]]:
        """A row for each policy: mean stopping time, standard error, median, error rate with its interval."""
        n = self.stopping_time.shape[1]
        rows = []
        for i, name in enumerate(self.policies):
            times = self.stopping_time[i]
            rows.append(
                {
                    "policy": name,
                    "mean": float(times.mean()),
                    "standard_error": float(times.std(ddof=1 if n > 1 else 0) / np.sqrt(n)),
                    "median": float(np.median(times)),
                    "error_rate": float(self.error_rate[i]),
                    "error_lower": float(self.error_interval[i, 0]),
                    "error_upper": float(self.error_interval[i, 1]),
                    "unfinished": int((self.answers[i] < 0).sum()),
                }
            )
        return rows

    def facts(self) -> Mapping[str, Any]:
        """Lower bound and mean stopping times."""
        means = {
            f"draws_of_{row['policy']}": f"{row['mean']:.0f} ± {row['standard_error']:.0f}" for row in self.table()
        }
        return {
            "T_star": self.characteristic_time,
            "lower_bound": self.lower_bound,
            **means,
            "replicates": self.stopping_time.shape[1],
            "table": self.table(),
        }

    @property
    def guarantee(self) -> Guarantee:
        """The lower bound on the expected number of draws."""
        rewards = (f"independent rewards of the family {self.family}",)
        if self.epsilon > 0 and np.sum(self.means >= self.means.max() - self.epsilon) > 1:
            return Guarantee(
                "lower-bound",
                f"a strategy that errs with probability at most delta on every instance draws at least (1 + o(1)) "
                f"{self.characteristic_time:.6g} ln(1/delta) times on average here as delta goes to 0",
                level=self.characteristic_time,
                assumptions=rewards,
                source="Degenne and Koolen 2019, Theorem 1",
            )
        return Guarantee(
            "lower-bound",
            f"no strategy that errs with probability at most {self.delta:g} on every instance draws fewer than "
            f"{self.lower_bound:.6g} times on average here",
            level=self.lower_bound,
            assumptions=rewards,
            source="Garivier and Kaufmann 2016, Theorem 1",
        )

    def plot(self, ax: Any = None) -> Any:
        """Boxes of the stopping times, the lower bound, error rates."""
        from .plots import plot_identification

        return plot_identification(self, ax)


def simulate_identification(
    policies: Mapping[str, Callable[..., Any]],
    means: Sequence[float] | np.ndarray,
    delta: float,
    epsilon: float = 0.0,
    n_replicates: int = 100,
    max_steps: int = 1_000_000,
    *,
    family: Family | str = "bernoulli",
    threshold: str | None = None,
    rng: Seed = None,
    n_jobs: int | None = 1,
    common_random_numbers: bool = True,
) -> IdentificationResult:
    """Run identification strategies on the same problem many times.

    Parameters
    ----------
    policies : name -> factory, called as ``factory(n_arms=, family=, rng=, delta=, epsilon=)``
    means : of the arms
    delta, epsilon : probability of a wrong answer; tolerance
    n_replicates : runs of each strategy
    max_steps : draws after which a run is given up
    threshold : handed to every factory if given
    n_jobs : workers, as in joblib; results do not depend on it

    Raises
    ------
    ValueError
        no policies, means as for `oracle_weights`, delta not strictly between 0 and 1, n_replicates < 1 or
        max_steps < 1, an unknown threshold

    Examples
    --------
    >>> from ailys.bandits import DTracking, UniformSampling
    >>> both = {"track": DTracking, "uniform": UniformSampling}
    >>> result = simulate_identification(both, [0.8, 0.5, 0.2, 0.2], 0.1, n_replicates=20, rng=0)
    >>> bool(result.mean[0] < result.mean[1]), result.error_rate.tolist()
    (True, [0.0, 0.0])
    """
    family = as_family(family)
    array = family.check_means(means)
    delta, epsilon = check_delta(delta), check_epsilon(epsilon, family)
    if not policies:
        raise ValueError("policies is empty; expected at least one name with its factory")
    for name, value in (("n_replicates", n_replicates), ("max_steps", max_steps)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"{name} must be a whole number >= 1; got {value!r}")
    time = characteristic_time(array, family, epsilon)
    streams = as_generator(rng).spawn(int(n_replicates))
    chunks = [streams[i : i + _CHUNK] for i in range(0, len(streams), _CHUNK)]
    options = {"delta": delta, "epsilon": epsilon, **({} if threshold is None else {"threshold": threshold})}
    from joblib import Parallel, delayed

    for factory in policies.values():  # faults and warnings come once, before the work starts
        factory(n_arms=len(array), family=family, rng=0, **options)
    work = (
        delayed(_replicates)(
            chunk, tuple(policies.items()), array, family, options, int(max_steps), common_random_numbers
        )
        for chunk in chunks
    )
    parts = Parallel(n_jobs=n_jobs, prefer="threads")(work)
    times = np.concatenate([part[0] for part in parts], axis=1)
    answers = np.concatenate([part[1] for part in parts], axis=1)
    right = array >= array.max() - epsilon
    wrong = (answers >= 0) & ~right[answers]
    return IdentificationResult(
        tuple(policies), times, answers, wrong, delta, epsilon, float(time), array, family, int(max_steps)
    )


def _replicates(
    streams: list[np.random.Generator],
    policies: tuple[tuple[str, Callable[..., Any]], ...],
    means: np.ndarray,
    family: Family,
    options: Mapping[str, Any],
    max_steps: int,
    common: bool,
) -> tuple[np.ndarray, np.ndarray]:
    times = np.empty((len(policies), len(streams)), np.int64)
    answers = np.empty((len(policies), len(streams)), np.int64)
    for r, stream in enumerate(streams):
        keys, generators = replicate_streams(stream, len(means), len(policies), common)
        for p, (_, factory) in enumerate(policies):
            with warnings.catch_warnings():  # said once by the caller
                warnings.simplefilter("ignore")
                agent = factory(n_arms=len(means), family=family, rng=generators[p], **options)
            if type(agent)._choose is IdentificationAgent._choose:
                times[p, r], answers[p, r] = play_compiled(agent, means, keys[p], max_steps)
            else:
                path = run(agent, Arms(means, family, keys=keys[p]), max_steps)
                times[p, r] = path.n_steps
                answers[p, r] = agent.recommend().action if path.stopped else -1
    return times, answers


def play_compiled(agent: Any, means: np.ndarray, keys: np.ndarray, max_steps: int) -> tuple[int, int]:
    """A run of a fresh agent in the kernels: draws and answer (-1 if it had not stopped)."""
    unit = np.asarray(agent.family.to_unit(means), float)
    draws, answer = kernels.play_until(  # type: ignore[call-arg]
        *agent._kernel(), agent._own_options, unit, keys, max_steps, agent.counts, agent.sums, agent._work, agent._warm,
        agent._queue, agent._ints, agent.rng,
    )  # fmt: skip
    return int(draws), int(answer)
