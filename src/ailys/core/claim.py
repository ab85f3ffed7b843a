"""A claim: a guarantee in a form that an experiment can contradict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .parallel import replicate
from .randomness import Seed

__all__ = ["Claim", "Verdict", "check_claim", "clopper_pearson"]


@dataclass(frozen=True)
class Claim:
    """A statement with the rate at which it may fail, and a trial that tries to make it fail.

    Parameters
    ----------
    name : short, unique in the domain
    statement : what is promised, in a sentence
    trial : draws an instance with the generator and returns whether the promise was *violated*
    level : promised probability of a violation: 0 for a theorem, alpha or delta for a statistical one
    slack : how far above ``level`` the rate may be shown to lie for the claim still to be called
        established; for tests whose true rate equals their level
    covers : names of the answer classes whose guarantee the claim tries to break; every public answer that states a
        guarantee is covered by some claim
    """

    name: str
    statement: str
    trial: Callable[[np.random.Generator], bool]
    level: float = 0.0
    slack: float = 0.0
    covers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What the experiment said of a claim.

    ``lower`` and ``upper`` bound the rate of violations (Clopper and Pearson 1934), each with
    confidence ``confidence``. "broken": the rate is above the promised level. "holds": no violation of
    a theorem, or a rate shown to be at most level + slack. "inconclusive": neither; more trials
    are needed.
    """

    claim: Claim
    trials: int
    violations: int
    lower: float
    upper: float
    confidence: float
    verdict: Literal["holds", "broken", "inconclusive"]
    fault: str = ""

    def to_dict(self) -> dict[str, object]:
        """Machine-readable form."""
        return {
            "claim": self.claim.name,
            "statement": self.claim.statement,
            "level": self.claim.level,
            "trials": self.trials,
            "violations": self.violations,
            "rate_lower": self.lower,
            "rate_upper": self.upper,
            "confidence": self.confidence,
            "verdict": self.verdict,
            "fault": self.fault,
        }


def clopper_pearson(violations: int, trials: int, confidence: float) -> tuple[float, float]:
    """One-sided lower and upper confidence bounds of a proportion, exact at any sample size.

    Examples
    --------
    >>> lower, upper = clopper_pearson(0, 100, 0.95)
    >>> lower, round(upper, 4)
    (0.0, 0.0295)
    """
    from scipy.stats import beta

    alpha = 1 - confidence
    lower = 0.0 if violations == 0 else float(beta.ppf(alpha, violations, trials - violations + 1))
    upper = 1.0 if violations == trials else float(beta.ppf(1 - alpha, violations + 1, trials - violations))
    return lower, upper


def check_claim(
    claim: Claim, trials: int, *, rng: Seed = None, n_jobs: int | None = None, confidence: float = 0.999
) -> Verdict:
    """Run the trials of a claim and judge it.

    A trial that raises counts as a violation: a promise that ends in a traceback is not kept. A
    true claim is called broken with probability at most ``1 - confidence``.
    """
    outcomes = replicate(_attempt, trials, claim.trial, rng=rng, n_jobs=n_jobs)
    violations = sum(violated for violated, _ in outcomes)
    fault = next((text for _, text in outcomes if text), "")
    lower, upper = clopper_pearson(violations, trials, confidence)
    if (claim.level == 0 and violations) or lower > claim.level:
        verdict: Literal["holds", "broken", "inconclusive"] = "broken"
    elif (claim.level == 0 and trials > 0) or upper <= claim.level + claim.slack:
        verdict = "holds"
    else:
        verdict = "inconclusive"
    return Verdict(claim, trials, violations, lower, upper, confidence, verdict, fault)


def _attempt(rng: np.random.Generator, trial: Callable[[np.random.Generator], bool]) -> tuple[bool, str]:
    try:
        return bool(trial(rng)), ""
    except Exception as fault:
        return True, f"{type(fault).__name__}: {fault}"
