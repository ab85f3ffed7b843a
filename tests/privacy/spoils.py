"""How to spoil what each claim of the audit is about: one slip in the implementation for each.

The bound of the rank and the brackets are proved for all columns and lie far above the errors that occur: only slips that take away most of
their caution are seen, as the comments say.
"""

from __future__ import annotations

import importlib
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np

import ailys.privacy.audit_budget as budget_claims
import ailys.privacy.joint as joint
import ailys.privacy.laws as laws
import ailys.privacy.ledger as ledger
import ailys.privacy.quantile as quantile
from ailys.privacy.exponential import Bins
from ailys.privacy.integer_noise import IntegerNoise

synthesize = importlib.import_module("ailys.privacy.synthesize")  # the name in the package is that of the function


def sensitivity_of_one_level(monkeypatch):
    """JointExp runs at the rate of a sensitivity that forgets a factor of two."""
    honest = laws.joint_rate
    monkeypatch.setattr(laws, "joint_rate", lambda *given: 2 * honest(*given))


def mantissas_out_of_range(monkeypatch):
    """The last weights are products of mantissas that are not brought back into their range."""

    def raw(m, e, m2, e2):
        return m * m2, e + e2

    monkeypatch.setattr(joint.kernels, "products", raw)


def half_a_bin_is_certain(monkeypatch):
    """A choice that trusts its table: the first word decides, with a table that is off by 1e-3."""
    import ailys.privacy.exponential as exponential

    honest = exponential.choose

    def trusting(source, bins, refine):
        shifted = np.asarray(bins.cumulative, dtype=float) * 1.001
        shifted[-1] = bins.cumulative[-1]
        return honest(source, Bins(bins.first, shifted, bins.error, bins.complete), refine)

    monkeypatch.setattr(exponential, "choose", trusting)


def bound_of_one_point(monkeypatch):
    """The bound without its logarithm, a twentieth of it; coarse: the errors of random columns are a fifth of the bound."""
    honest = quantile.rank_bound
    monkeypatch.setattr(quantile, "rank_bound", lambda *given: honest(*given) / 20)


def brackets_of_the_sample(monkeypatch):
    """Brackets that forget the sampling of the people and the slack of the mechanism."""

    def narrow(levels, n, slack, alpha):
        return [(p - Fraction(1, 10 * n), p + Fraction(1, 10 * n)) for p in levels]

    monkeypatch.setattr(quantile, "bracket_levels", narrow)


def rounding_forgotten(monkeypatch):
    """Released positions are read as points beside the lattice: one in three is off by a quarter of a step."""
    honest = quantile.Lattice.values
    monkeypatch.setattr(quantile.Lattice, "values", lambda self, index: honest(self, index) + 0.25 * float(self.step))


def scale_without_contributions(monkeypatch):
    """Noise for one record a person, whatever the contributions."""
    honest = IntegerNoise.calibrated.__func__

    def single(cls, budget, **reach):
        return honest(cls, replace(budget, contributions=1), **reach)

    monkeypatch.setattr(IntegerNoise, "calibrated", classmethod(single))


def shares_of_a_half(monkeypatch):
    """The counts of columns and pairs take half of the budget each, beside the choice."""
    honest = synthesize._share
    monkeypatch.setattr(synthesize, "_share", lambda budget, parts: honest(budget, max(1, parts // 3)))


def cap_of_doubles(monkeypatch):
    """The ledger compares doubles with a tolerance."""
    honest = ledger.admit

    def lax(rows, privacy, terms):
        return honest(rows, privacy, replace(terms, cap=terms.cap * (1 + Fraction(1, 100))))

    monkeypatch.setattr(ledger, "admit", lax)


def rounded_noise(monkeypatch):
    """Continuous noise, rounded: not the discrete law."""

    def laplace(parameter, n, unsafe_rng):
        return np.rint(unsafe_rng.laplace(scale=float(parameter), size=n)).astype(int)

    def gaussian(parameter, n, unsafe_rng):
        return np.trunc(unsafe_rng.normal(scale=math.sqrt(float(parameter)), size=n)).astype(int)

    monkeypatch.setattr(budget_claims, "discrete_laplace", laplace)
    monkeypatch.setattr(budget_claims, "discrete_gaussian", gaussian)


def scale_of_the_mean(monkeypatch):
    """A tenth too little noise."""
    honest = IntegerNoise.calibrated.__func__

    def small(cls, *given, **reach):
        noise = honest(cls, *given, **reach)
        return replace(noise, parameter=noise.parameter * Fraction(9, 10))

    monkeypatch.setattr(IntegerNoise, "calibrated", classmethod(small))


def cheaper_conversion(monkeypatch):
    """The price of continuous noise for noise on integers."""
    honest = budget_claims.dp_to_zcdp
    monkeypatch.setattr(budget_claims, "dp_to_zcdp", lambda epsilon, _: honest(epsilon, "laplace"))


def bound_of_fewer_records(monkeypatch):
    """The lower bound for half of the distance: it says that private tests must err more than they do."""
    honest = budget_claims.le_cam_bound
    monkeypatch.setattr(budget_claims, "le_cam_bound", lambda n, tv, **given: honest(n, tv / 2, **given))


def frequencies_for_bounds(monkeypatch):
    """The audit compares half of its upper bound of the rare side."""
    import ailys.privacy.auditing as auditing

    honest = auditing.clopper_pearson
    monkeypatch.setattr(auditing, "clopper_pearson", lambda *given: (honest(*given)[0], honest(*given)[1] / 1.2))


def events_at_random(monkeypatch):
    """The audit takes the event that is said to be best in the wrong direction."""
    import ailys.privacy.auditing as auditing

    honest = auditing._best_event

    def wrong(*given):
        swapped, event = honest(*given)
        return not swapped, event

    monkeypatch.setattr(auditing, "_best_event", wrong)


def interval_of_a_quarter(monkeypatch):
    """A quarter of the width of the noise."""
    honest = IntegerNoise.half_width
    monkeypatch.setattr(IntegerNoise, "half_width", lambda self, alpha: honest(self, alpha) // 4)


SPOILS = {
    "quantile-loss": sensitivity_of_one_level,
    "joint-tables": mantissas_out_of_range,
    "certified-choice": half_a_bin_is_certain,
    "rank-bound": bound_of_one_point,
    "brackets": brackets_of_the_sample,
    "lattice": rounding_forgotten,
    "privacy-release-loss": scale_without_contributions,
    "privacy-synthetic-loss": shares_of_a_half,
    "privacy-ledger": cap_of_doubles,
    "privacy-noise-law": rounded_noise,
    "privacy-noise-loss": scale_of_the_mean,
    "privacy-accounting": cheaper_conversion,
    "privacy-lower-bound": bound_of_fewer_records,
    "privacy-audit-silent": frequencies_for_bounds,
    "privacy-audit-catches": events_at_random,
    "privacy-mean-interval": interval_of_a_quarter,
}
