"""Statistics of sensitive columns under differential privacy, with what they cost and what they promise.

Problem: a column of records of people, from which quantiles, counts, means, histograms or densities are to be published.
Method: mechanisms with exact discrete randomness on a public lattice, run on a path that charges a ledger before any data is read.
Guarantee: epsilon of pure differential privacy, or rho of its concentrated form; bounds of the error where they are proved.
Source: the papers cited in each module, and the pages "privacy" and "privacy-proofs" of the documentation.

>>> from ailys.privacy import quantiles
>>> stays = [0] * 300 + [1, 2, 3, 5] * 100  # days in hospital
>>> answer = quantiles(stays, [0.25, 0.5, 0.75], bounds=(0, 365), resolution=1, neighbours="replace", epsilon=2, unsafe_rng=1)
>>> answer.values.tolist(), answer.guarantee.kind
([0.0, 1.0, 3.0], 'epsilon-dp')
"""

from __future__ import annotations

from . import research
from .budget import PrivacySpent, compose, dp_to_zcdp, pld_epsilon, zcdp_to_dp
from .counts import PrivateNumber, count, mean, sum
from .exponential import exponential_choice
from .ledger import BudgetExceeded, Ledger, LedgerError
from .noise import discrete_gaussian, discrete_laplace
from .plan import QuantilePlan, plan_quantiles
from .quantile import PrivateQuantiles, median, quantiles
from .readers import Column
from .release import ReleaseFailed, private_release

__all__ = [
    "BudgetExceeded",
    "Column",
    "Ledger",
    "LedgerError",
    "PrivacySpent",
    "PrivateNumber",
    "PrivateQuantiles",
    "QuantilePlan",
    "ReleaseFailed",
    "compose",
    "count",
    "discrete_gaussian",
    "discrete_laplace",
    "dp_to_zcdp",
    "exponential_choice",
    "mean",
    "median",
    "plan_quantiles",
    "pld_epsilon",
    "private_release",
    "quantiles",
    "research",
    "sum",
    "zcdp_to_dp",
]
