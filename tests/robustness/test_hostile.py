"""Every verb of every system, with something wrong in a line that works: a sentence and a code, and nothing lost.

A few cases of each verb, drawn with a fixed seed; behind the mark ``slow`` more of them. All of them are tried by
``benchmarks/reproduce_robustness.py``, which writes the table of docs/robustness.md.
"""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ailys.cli import FRONTS
from ailys.domains import DOMAINS

from ..permissions import PERMISSIONS_BIND, bound_by_permissions
from .cases import all_cases, random_case, try_case
from .discovery import lines, samples, verbs

FEW, MANY = 16, 48
VERBS = {str(verb): verb for verb in verbs()}


@pytest.mark.parametrize("system", [*DOMAINS, *FRONTS])
def test_every_verb_comes_with_lines_that_work(system):
    without = {v.name for v in VERBS.values() if v.system == system} - set(samples(system))
    assert not without, (
        f"tests/{system}/samples.py has no line for {without}; tests/robustness/discovery.py says what it is"
    )
    assert not set(samples(system)) - {v.name for v in VERBS.values() if v.system == system}


@pytest.mark.skipif(not PERMISSIONS_BIND, reason="permissions do not bind this user")
def test_permissions_bind_the_cases_also_as_root(tmp_path):
    closed, shut = tmp_path / "closed", tmp_path / "shut"
    closed.write_text("x")
    closed.chmod(0)
    shut.mkdir(mode=0o555)
    with bound_by_permissions():
        with pytest.raises(PermissionError):
            closed.read_text()
        with pytest.raises(PermissionError):
            (shut / "file").write_text("x")


def survives(name, first, last):
    cases = all_cases(VERBS[name])
    wrong = []
    for case in random.Random(name).sample(cases, min(MANY, len(cases)))[first:last]:
        _, faults = try_case(case)
        wrong += [f"{case}: {fault}" for fault in faults]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", VERBS)
def test_a_hostile_input_gets_a_sentence(name):
    survives(name, 0, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("name", VERBS)
def test_more_hostile_inputs_get_a_sentence(name):
    survives(name, FEW, MANY)


@pytest.mark.parametrize("system", [*DOMAINS, *FRONTS])
def test_random_bytes_and_words_get_a_sentence(system):
    known = [line for verb in VERBS.values() if verb.system == system for line in lines(verb)]

    @settings(max_examples=25, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def survive(data):
        case = random_case(data.draw, known)
        _, faults = try_case(case)
        assert not faults, f"{case}: {faults}"

    if known:
        survive()
