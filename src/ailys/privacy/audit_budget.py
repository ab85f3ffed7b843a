"""Claims of noise, accounting, ledger, lower bounds and audits, each with an experiment that tries to contradict it."""

from __future__ import annotations

import itertools
import math
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..core.claim import Claim
from . import counts
from .auditing import audit, exact_epsilon, worst_pairs
from .bounds import le_cam_bound
from .budget import PrivacySpent, as_budget, compose, dp_to_zcdp, zcdp_to_dp
from .counts import count, mean
from .density import density
from .histograms import histogram
from .integer_noise import IntegerNoise
from .ledger import BudgetExceeded, Ledger
from .noise import discrete_gaussian, discrete_laplace, random_source
from .price import price_of_privacy

__all__ = ["CLAIMS"]

Rng = np.random.Generator


def overspends(rng: Rng) -> bool:
    """Random spends, some of them awkward, against a ledger and against fractions."""
    awkward = ["0.1", "0.2", "0.3", "1/3", "5e-324", "1e-17", "0.7"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger"
        Ledger(path, epsilon=1)
        spent = Fraction(0)
        for _ in range(12):
            text = str(rng.choice(awkward)) if rng.random() < 0.7 else str(Fraction(int(rng.integers(1, 400)), 1000))
            amount = Fraction(text)
            try:
                Ledger(path).spend(text)
                accepted = True
            except BudgetExceeded:
                accepted = False
            if accepted != (spent + amount <= 1):
                return True
            spent += amount if accepted else 0
        return Ledger(path).spent != spent or spent > 1


def noise_has_another_law(rng: Rng) -> bool:
    """A chi-square test of exact draws at level 1e-4."""
    from scipy.stats import chi2

    laplace = bool(rng.random() < 0.5)
    parameter = Fraction(int(rng.integers(1, 60)), int(rng.integers(1, 12)))
    draws = np.asarray((discrete_laplace if laplace else discrete_gaussian)(parameter, 20_000, unsafe_rng=rng))
    x = np.arange(-2000, 2001)
    p = np.exp(-np.abs(x) / float(parameter) if laplace else -(x**2.0) / (2 * float(parameter)))
    expected = len(draws) * p / p.sum()
    observed = np.bincount(draws + 2000, minlength=len(x)).astype(float)
    body = expected >= 8
    expected, observed = (np.append(v[body], v[~body].sum()) for v in (expected, observed))
    if expected[-1] < 8:  # too little for the approximation
        expected, observed = expected[:-1], observed[:-1]
    if len(expected) < 2:
        return False
    return bool(((observed - expected) ** 2 / expected).sum() > chi2.isf(1e-4, len(expected) - 1))


def noise_loses_more_than_its_budget(rng: Rng) -> bool:
    """Exact losses of noisy sums by enumeration of all small data sets."""
    neighbours = str(rng.choice(["add_remove", "replace"]))
    epsilon = Fraction(int(rng.integers(1, 40)), 10)
    values = (0, 1, int(rng.integers(2, 5)))
    reach = max(values)
    noise = IntegerNoise.calibrated(as_budget(epsilon=epsilon, neighbours=neighbours), l1=reach, l2_squared=reach**2)
    scale = float(noise.parameter)
    end = min(400, int(600 * scale))  # beyond, the probabilities leave the normal doubles
    x = np.arange(-end, end + 1)

    def law(data: tuple) -> np.ndarray:
        p = np.exp(-np.abs(x - sum(data)) / scale)
        return p / p.sum()

    datasets = [c for n in range(4) for c in itertools.combinations_with_replacement(values, n)]
    # the ends of the window are cut off: relative error e^(-(end - 12) / scale)
    return exact_epsilon(law, datasets, neighbours) > float(epsilon) * (1 + 1e-9) + 4 * math.exp(-(end - 20) / scale)


def accounting_undercounts(rng: Rng) -> bool:
    """Pure, Gaussian and composed losses against the exact loss at a delta."""
    from scipy.stats import norm

    rho, delta = 10 ** rng.uniform(-3, 0.5), 10 ** rng.uniform(-9, -2)
    epsilon, mu = zcdp_to_dp(rho, delta), math.sqrt(2 * rho)
    exact = norm.cdf(mu / 2 - epsilon / mu) - math.exp(epsilon) * norm.cdf(-mu / 2 - epsilon / mu)
    total = compose(PrivacySpent(epsilon=0.1), PrivacySpent(epsilon=0.2))
    pure = float(rng.uniform(0.01, 5))
    orders = 1 + np.logspace(-4, 2, 200)
    p = 1 / (1 + math.exp(-pure))  # randomised response, the worst of all pure mechanisms
    with np.errstate(over="ignore"):
        divergence = np.logaddexp(
            orders * math.log(p) + (1 - orders) * math.log1p(-p), orders * math.log1p(-p) + (1 - orders) * math.log(p)
        ) / (orders - 1)
    loss = float((divergence / orders).max())
    return bool(
        exact > delta * (1 + 1e-9)
        or total.amount != Fraction(3, 10)
        or loss > dp_to_zcdp(pure, "discrete") * (1 + 1e-9)
    )


def a_private_test_beats_the_bound(rng: Rng) -> bool:
    """The best of all private tests of a proportion, by linear programming."""
    from scipy.optimize import linprog
    from scipy.stats import binom

    n, (p, q), epsilon = int(rng.integers(1, 9)), rng.random(2), rng.uniform(0.05, 2)
    k = np.arange(n + 1)
    factor = math.exp(epsilon)
    rows, right = [], []
    for i in range(n):
        for a, b in ((i, i + 1), (i + 1, i)):
            # t_a <= e^eps t_b, and 1 - t_a <= e^eps (1 - t_b), for the chances t of the answer "the other law"
            row = np.where(k == a, 1.0, 0.0) - factor * (k == b)
            rows += [row, -row]
            right += [0.0, factor - 1]
    best = 1 + linprog(binom.pmf(k, n, p) - binom.pmf(k, n, q), A_ub=rows, b_ub=right, bounds=(0, 1)).fun
    prices = [price_of_privacy(problem, 10 * n, [epsilon]) for problem in ("bernoulli", "gaussian_mean")]
    return bool(
        le_cam_bound(n, abs(p - q), epsilon=epsilon) > best + 1e-7
        or any(max(a.private_bound[0], a.nonprivate_bound[0]) > a.achieved[0] * (1 + 1e-9) for a in prices)
    )


def auditor_accuses_the_innocent(rng: Rng) -> bool:
    """Exact Laplace noise at its claim."""
    result = audit(lambda data, n: sum(data) + rng.laplace(size=n), [1], [0], claimed_epsilon=1, n_samples=20_000)
    return result.verdict == "violation"


def auditor_misses_planted_bugs(rng: Rng) -> bool:
    """Half the noise, bounds from the data, and a median with twice its budget."""

    def halved(data: Any, n: int) -> Any:
        return sum(data) + rng.laplace(scale=0.5, size=n)

    def bounds_from_data(data: Any, n: int) -> Any:
        reach = max(data) - min(data)
        return np.clip(np.mean(data) + rng.laplace(scale=reach / len(data), size=n), min(data), max(data))

    def median(data: Any, n: int) -> Any:
        edges = np.concatenate([[0.0], np.sort(data), [1.0]])
        p = np.diff(edges) * np.exp(-np.abs(np.arange(len(data) + 1) - len(data) / 2))
        i = rng.choice(len(p), size=n, p=p / p.sum())
        return edges[i] + rng.random(n) * np.diff(edges)[i]

    cases = [(halved, [1.0], [0.0]), (bounds_from_data, [0.0, 0.0], [0.0, 1.0]), (median, *worst_pairs("median")[0])]
    return any(audit(f, a, b, claimed_epsilon=1, n_samples=100_000).verdict != "violation" for f, a, b in cases)


def interval_misses_the_mean(rng: Rng) -> bool:
    """The interval of a private mean, at confidence 0.9."""
    x = rng.integers(0, 11, int(rng.integers(50, 400)))
    neighbours = str(rng.choice(["add_remove", "replace"]))
    answer = mean(x, bounds=(0, 10), resolution=1, neighbours=neighbours, epsilon=0.5, confidence=0.9, unsafe_rng=rng)
    return not answer.lower - 1e-9 <= x.mean() <= answer.upper + 1e-9


def _loss(moved: float, noise_sd: float) -> float:
    """What discrete Laplace noise of this standard deviation loses to a change of ``moved`` in L1 norm."""
    return moved * math.acosh(1 + 1 / noise_sd**2)


def a_release_loses_more_than_its_budget(rng: Rng) -> bool:
    """Every kind of count on two neighbours with the same noise: what differs is what one record changes."""
    relation, epsilon = str(rng.choice(["add_remove", "replace"])), float(rng.integers(1, 50)) / 10
    contributions = int(rng.integers(1, 4))
    rest = rng.integers(-3, 14, int(rng.integers(0, 6))).tolist()
    mine, yours = (rng.choice([-3, 0, 5, 10, 13], contributions).tolist() for _ in range(2))
    x, y = rest + mine, rest + (yours if relation == "replace" else [])
    seed, low = int(rng.integers(2**32)), int(rng.integers(-10, 5))
    setting: dict[str, Any] = {
        "neighbours": relation,
        "epsilon": epsilon,
        "contributions": contributions,
        "unsafe_rng": seed,
    }
    counted = [count(v, between=(2, 9), **setting) for v in (x, y)]
    summed = [counts.sum(v, bounds=(low, 10), resolution=1, **setting) for v in (x, y)]
    cells = [histogram(v, bounds=(0, 10), bins=5, **setting) for v in (x, y)]
    heights = [density(v, bounds=(0, 10), n=10, parameters=4, proper=False, **setting) for v in (x, y)]
    losses = [_loss(abs(a.value - b.value), a.noise_sd) for a, b in (counted, summed)]
    losses.append(_loss(float(np.abs(cells[0].counts - cells[1].counts).sum()), cells[0].noise_sd))
    # a height is a count times 4 / 10 on the unit interval
    moved = float(np.abs(heights[0].heights - heights[1].heights).sum()) * 10
    losses.append(_loss(moved / 0.4, heights[0].noise_sd / 0.4))
    return max(losses) > epsilon * (1 + 1e-9)


def a_synthetic_table_loses_more_than_its_budget(rng: Rng) -> bool:
    """The counts behind a table of two columns on two neighbours; the rate of their noise is measured on empty cells."""
    from .synthesize import measure

    relation, epsilon, sizes = str(rng.choice(["add_remove", "replace"])), float(rng.integers(3, 30)) / 10, [1000, 40]
    rest = [rng.integers(0, 3, 4) for _ in sizes]
    last = [rng.integers(0, 3, 2) for _ in sizes]
    x = [np.append(r, v[0]) for r, v in zip(rest, last, strict=True)]
    y = [np.append(r, v[1]) if relation == "replace" else r for r, v in zip(rest, last, strict=True)]
    budget, seed = as_budget(epsilon=epsilon, neighbours=relation), int(rng.integers(2**32))
    one, two = (measure(v, sizes, budget, random_source(seed)) for v in (x, y))
    # discrete Laplace noise of rate r has mean size 1 / sinh(r)
    rates = [math.asinh(1 / np.abs(part).mean()) for part in (np.concatenate(one[0]), one[2][0])]
    moved = [np.abs(a - b).sum() for a, b in ((np.concatenate(one[0]), np.concatenate(two[0])), (one[2][0], two[2][0]))]
    # a third of the budget chooses the tree, of which there is only one here; a fifth allows for the measured rates
    return bool(np.dot(moved, rates) > 2 / 3 * epsilon * 1.2)


CLAIMS = (
    Claim(
        "privacy-release-loss", "what one person changes in a count, sum, histogram or density is within its noise",
        a_release_loses_more_than_its_budget, covers=("PrivateNumber", "PrivateHistogram", "PrivateDensity"),
    ),
    Claim(
        "privacy-synthetic-loss", "the counts behind a synthetic table cost two thirds of its budget",
        a_synthetic_table_loses_more_than_its_budget, covers=("SyntheticTable",),
    ),
    Claim("privacy-ledger", "a ledger accepts a spend if and only if the exact sum stays within its cap", overspends, covers=("LedgerReport",)),
    Claim("privacy-noise-law", "discrete noise has the stated law (chi-square at level 1e-4)", noise_has_another_law, level=1e-4, slack=0.1, covers=("PrivateNumber", "PrivateHistogram", "PrivateDensity")),
    Claim("privacy-noise-loss", "noisy sums lose at most their epsilon, over all small data sets", noise_loses_more_than_its_budget, covers=("PrivateNumber",)),
    Claim("privacy-accounting", "composition and conversions never state less than the exact loss", accounting_undercounts, covers=("PrivacySpent", "LedgerReport")),
    Claim("privacy-lower-bound", "no private test has smaller errors than the bound", a_private_test_beats_the_bound, covers=("PriceOfPrivacy",)),
    Claim(
        "privacy-audit-silent", "a correct mechanism is accused with probability at most 0.01", auditor_accuses_the_innocent,
        level=0.01, slack=0.1, covers=("AuditResult",),
    ),
    Claim(
        "privacy-audit-catches", "halved noise, bounds from the data and a doubled budget are caught", auditor_misses_planted_bugs,
        level=0.01, slack=0.15, covers=("AuditResult",),
    ),
    Claim("privacy-mean-interval", "the interval of a private mean misses with probability at most 0.1", interval_misses_the_mean, level=0.1, slack=0.2, covers=("PrivateNumber",)),
)  # fmt: skip
