"""Each claim of each audit is seen to fail on a spoiled implementation.

A system says in ``tests/<system>/spoils.py`` how to spoil what a claim is about: ``SPOILS`` maps the name of the claim to a
function that patches the implementation (never the claim itself) and is undone after the test.
"""

from __future__ import annotations

import importlib

import pytest

from ailys.audit.runner import all_claims
from ailys.core.claim import check_claim
from ailys.domains import DOMAINS

TRIALS = 60
PAIRS = [(domain, claim.name) for domain in DOMAINS for claim in all_claims([domain])[domain]]


@pytest.mark.slow
@pytest.mark.parametrize(("domain", "name"), PAIRS)
def test_a_spoiled_implementation_breaks_the_claim(domain, name, monkeypatch):
    spoils = importlib.import_module(f"tests.{domain}.spoils").SPOILS
    assert name in spoils, f"tests/{domain}/spoils.py does not say how to spoil what {name!r} is about"
    claim = next(claim for claim in all_claims([domain])[domain] if claim.name == name)
    spoils[name](monkeypatch)
    # one violation breaks a theorem, and the first trials of many are those of few: most slips show at once
    stages = (3, 12, TRIALS) if claim.level == 0 else (TRIALS,)
    assert any(check_claim(claim, trials, rng=0, n_jobs=1).verdict == "broken" for trials in stages)


@pytest.mark.parametrize("domain", DOMAINS)
def test_nothing_is_spoiled_that_no_claim_is_about(domain):
    spoils = importlib.import_module(f"tests.{domain}.spoils").SPOILS
    assert set(spoils) <= {claim.name for claim in all_claims([domain])[domain]}
