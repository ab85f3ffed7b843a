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

from . import audit as _claims  # noqa: F401  first, so that the name goes to the function below whoever imports the module later

from . import research  # isort: skip
from .auditing import AuditResult, audit, exact_epsilon, worst_pairs
from .bounds import assouad_bound, fano_bound, le_cam_bound
from .budget import PrivacySpent, compose, dp_to_zcdp, pld_epsilon, zcdp_to_dp
from .counts import PrivateNumber, count, mean, sum
from .density import PrivateDensity, density
from .exponential import exponential_choice
from .histograms import PrivateHistogram, histogram
from .ledger import BudgetExceeded, Ledger, LedgerError, LedgerReport
from .noise import discrete_gaussian, discrete_laplace
from .plan import QuantilePlan, plan_quantiles
from .price import PriceOfPrivacy, price_of_privacy
from .quantile import PrivateQuantiles, median, quantiles
from .readers import Column
from .release import ReleaseFailed, private_release
from .synthesize import SyntheticTable, synthesize

__all__ = [
    "AuditResult",
    "BudgetExceeded",
    "Column",
    "Ledger",
    "LedgerError",
    "LedgerReport",
    "PriceOfPrivacy",
    "PrivacySpent",
    "PrivateDensity",
    "PrivateHistogram",
    "PrivateNumber",
    "PrivateQuantiles",
    "QuantilePlan",
    "ReleaseFailed",
    "SyntheticTable",
    "assouad_bound",
    "audit",
    "compose",
    "count",
    "density",
    "discrete_gaussian",
    "discrete_laplace",
    "dp_to_zcdp",
    "exact_epsilon",
    "exponential_choice",
    "fano_bound",
    "histogram",
    "le_cam_bound",
    "mean",
    "median",
    "plan_quantiles",
    "pld_epsilon",
    "price_of_privacy",
    "private_release",
    "quantiles",
    "research",
    "sum",
    "synthesize",
    "worst_pairs",
    "zcdp_to_dp",
]
