"""Every public answer that states a guarantee is covered by a claim of its system's audit."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

from ailys.audit.runner import all_claims
from ailys.core.answer import Answer
from ailys.domains import DOMAINS


def answers_of(domain: str) -> dict[str, type[Answer]]:
    """The answer classes that a system defines, whatever module they are in."""
    package = importlib.import_module(f"ailys.{domain}")
    found = {}
    for module in pkgutil.walk_packages(package.__path__, f"ailys.{domain}."):
        for name, thing in vars(importlib.import_module(module.name)).items():
            if inspect.isclass(thing) and issubclass(thing, Answer) and thing.__module__ == module.name:
                found[name] = thing
    return {name: kind for name, kind in found.items() if not inspect.isabstract(kind)}


def states_a_guarantee(kind: type[Answer]) -> bool:
    """Whether the class can state one: the annotation of its property says None where it never does."""
    getter = kind.guarantee
    assert isinstance(getter, property), f"{kind.__name__}.guarantee must be a property with an annotation"
    said = inspect.signature(getter.fget).return_annotation
    assert said in ("Guarantee", "Guarantee | None", "None"), f"{kind.__name__}.guarantee is annotated {said!r}"
    return said != "None"


@pytest.mark.parametrize("domain", DOMAINS)
def test_each_guarantee_has_a_claim_that_tries_to_break_it(domain):
    answers = answers_of(domain)
    covered = {name for claim in all_claims([domain])[domain] for name in claim.covers}
    assert covered <= set(answers), "a claim covers a class that does not exist"
    stating = {name for name, kind in answers.items() if states_a_guarantee(kind)}
    assert stating <= covered, f"no claim of ailys.{domain}.audit covers {sorted(stating - covered)}"


@pytest.mark.parametrize("domain", DOMAINS)
def test_claims_have_names_of_their_own(domain):
    names = [claim.name for claim in all_claims([domain])[domain]]
    assert len(set(names)) == len(names)
