"""Claims: the verdict follows from the violations."""

import numpy as np
import pytest

from ailys.core.claim import Claim, check_claim, clopper_pearson


def coin(rate):
    return lambda rng: rng.random() < rate


def test_clopper_pearson_inverts_the_binomial_law():
    from scipy.stats import binom

    lower, upper = clopper_pearson(7, 50, 0.99)
    assert binom.sf(6, 50, lower) == pytest.approx(0.01)
    assert binom.cdf(7, 50, upper) == pytest.approx(0.01)
    assert clopper_pearson(50, 50, 0.99)[1] == 1.0


def test_a_theorem_breaks_on_one_violation():
    counter = iter(range(10**6))
    verdict = check_claim(Claim("t", "", lambda rng: next(counter) == 3), 50, rng=0)
    assert (verdict.violations, verdict.verdict) == (1, "broken")


def test_a_theorem_without_violation_holds_and_shows_what_was_excluded():
    verdict = check_claim(Claim("t", "", coin(0.0)), 100, rng=0)
    assert verdict.verdict == "holds"
    assert verdict.upper == pytest.approx(1 - 0.001 ** (1 / 100))


@pytest.mark.parametrize(
    ("rate", "level", "slack", "expected"),
    [(0.01, 0.1, 0.0, "holds"), (0.3, 0.1, 0.0, "broken"), (0.1, 0.1, 0.0, "inconclusive"), (0.1, 0.1, 0.1, "holds")],
)
def test_a_statistical_claim_is_judged_by_its_bounds(rate, level, slack, expected):
    # each verdict is wrong with probability at most 1e-3 over the seed, which is fixed
    verdict = check_claim(Claim("s", "", coin(rate), level=level, slack=slack), 1000, rng=1)
    assert verdict.verdict == expected


def test_a_trial_that_raises_counts_as_a_violation_and_is_quoted():
    def trial(rng):
        raise ZeroDivisionError("no")

    verdict = check_claim(Claim("x", "", trial), 3, rng=0)
    assert verdict.verdict == "broken"
    assert verdict.fault == "ZeroDivisionError: no"


def test_the_same_seed_gives_the_same_trials():
    draws = []
    claim = Claim("d", "", lambda rng: draws.append(rng.integers(10**9)) is not None)
    check_claim(claim, 5, rng=3)
    check_claim(claim, 5, rng=np.random.default_rng(3))
    assert draws[:5] == draws[5:]
