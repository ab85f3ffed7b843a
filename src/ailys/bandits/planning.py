"""How large a test has to be: the fixed size of the textbooks beside the stopping time of a test that is watched."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..core.answer import Answer
from ..core.guarantee import Guarantee
from ..core.randomness import Seed, as_generator
from ._evidence_kernels import trial_until
from .complexity import check_delta

__all__ = ["ABTestPlan", "plan_ab_test"]


@dataclass(frozen=True)
class ABTestPlan(Answer):
    """Sizes of a test of two proportions, both arms together.

    Attributes
    ----------
    fixed_n : trials of a z-test that is looked at once, at the end
    mean_n : mean number of trials until the watched test rejects (runs that did not are counted with ``max_n``)
    quantiles : share -> trials by which that share of the runs has rejected (infinite beyond ``max_n``)
    rejected : share of the runs that rejected within ``max_n``
    """

    baseline: float
    lift: float
    alpha: float
    power: float
    alternative: str
    fixed_n: int
    mean_n: float
    quantiles: Mapping[float, float]
    rejected: float
    max_n: int
    n_replicates: int
    times: np.ndarray = field(repr=False)

    def facts(self) -> Mapping[str, Any]:
        """Sizes in the order of interest."""
        quantiles = {f"anytime_n_{100 * share:g}_percent": n for share, n in self.quantiles.items()}
        return {
            "baseline": self.baseline,
            "with_the_lift": self.baseline + self.lift,
            "fixed_n": self.fixed_n,
            "anytime_n_mean": self.mean_n,
            **quantiles,
            "rejected_within_max": self.rejected,
            "max_n": self.max_n,
            "runs": self.n_replicates,
        }

    @property
    def guarantee(self) -> Guarantee:
        """Type-I error of the watched test; its sizes are simulated, not proved."""
        return Guarantee(
            "anytime-alpha",
            f"the watched test ever rejects a true hypothesis with probability at most {self.alpha:g}; "
            f"its sizes are simulated on {self.n_replicates} runs",
            level=self.alpha,
            assumptions=("trials are assigned by a fair coin",),
            source="docs, bandits, section 'A/B tests'",
        )


def plan_ab_test(
    baseline: float,
    lift: float,
    alpha: float = 0.05,
    power: float = 0.8,
    rng: Seed = None,
    *,
    alternative: str = "two-sided",
    n_replicates: int = 400,
    max_n: int | None = None,
) -> ABTestPlan:
    """Size of a fixed test, and simulated sizes of a test that is watched at every trial.

    Parameters
    ----------
    baseline : success probability of the first arm
    lift : difference hoped for; baseline + lift is that of the second
    alpha, power : of the fixed test; the watched one uses alpha
    max_n : trials after which a run is given up; default: 20 times the fixed size

    Raises
    ------
    ValueError
        baseline or baseline + lift not strictly between 0 and 1, alpha or power likewise, no lift, an unknown
        alternative, n_replicates < 1, a fixed design of 1e15 trials or more

    Examples
    --------
    >>> plan_ab_test(0.1, 0.05, rng=0, n_replicates=50).fixed_n
    1366
    """
    from scipy.stats import norm

    alpha, power = check_delta(alpha, "alpha"), check_delta(power, "power")
    if not 0 < baseline < 1:
        raise ValueError(f"baseline must lie strictly between 0 and 1; got {baseline!r}")
    if lift == 0 or not 0 < baseline + lift < 1:
        raise ValueError(
            f"baseline + lift must lie strictly between 0 and 1 and lift not be 0; got {baseline!r} + {lift!r}"
        )
    if alternative not in ("two-sided", "greater"):
        raise ValueError(f"alternative must be 'two-sided' or 'greater'; got {alternative!r}")
    if alternative == "greater" and lift < 0:
        raise ValueError("alternative='greater' looks for a positive lift")
    if n_replicates < 1:
        raise ValueError(f"n_replicates must be a whole number >= 1; got {n_replicates!r}")
    p, q = baseline, baseline + lift
    z = norm.isf(alpha / 2 if alternative == "two-sided" else alpha) + norm.isf(1 - power)
    size = float(z) ** 2 * (p * (1 - p) + q * (1 - q)) / max(lift**2, 1e-300)
    if not 0 < size < 1e15:
        raise ValueError(
            f"a test of lift {lift:g}, alpha {alpha:g} and power {power:g} would need {2 * size:.2g} trials"
        )
    fixed = 2 * math.ceil(size)
    limit = int(max_n) if max_n is not None else 20 * fixed
    keys = as_generator(rng).integers(0, 2**64 - 1, size=int(n_replicates), dtype=np.uint64, endpoint=True)
    means = np.array([p, q])
    runs = [trial_until(means, 0.5, 0.0, alpha, alternative == "greater", key, limit) for key in keys]
    times = np.array([n for n, _ in runs], float)
    done = np.array([ok for _, ok in runs])
    shown = np.where(done, times, np.inf)
    ranks = np.sort(shown)
    quantiles = {share: float(ranks[math.ceil(share * len(ranks)) - 1]) for share in (0.5, 0.8, 0.9)}
    return ABTestPlan(
        p,
        lift,
        alpha,
        power,
        alternative,
        fixed,
        float(times.mean()),
        quantiles,
        float(done.mean()),
        limit,
        len(runs),
        times,
    )
