"""The audit catches a spoiled implementation, and says what it could not exclude."""

import json

import numpy as np
import pytest

import ailys.butterfly.audit as claims
from ailys.audit import all_claims, audit
from ailys.cli import main


def verdicts(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main(["audit", *arguments, "--json"])
    return stopped.value.code, {v["claim"]: v for v in json.loads(capsys.readouterr().out)}


def test_every_claim_holds_and_every_domain_has_some(capsys):
    code, found = verdicts(capsys, "--trials", "3")  # CI runs the whole audit with more
    assert code == 0
    assert all(v["verdict"] != "broken" for v in found.values())
    assert all(v["verdict"] == "holds" for v in found.values() if v["level"] == 0)
    assert all(group for group in all_claims().values())


def test_a_spoiled_error_is_caught(capsys, monkeypatch):
    honest = claims.butterfly

    def optimist(A, chain, **options):
        from dataclasses import replace

        answer = honest(A, chain, **options)
        return replace(answer, error=0.99 * answer.error)

    monkeypatch.setattr(claims, "butterfly", optimist)
    code, found = verdicts(capsys, "butterfly", "--trials", "8")
    assert code == 1
    assert found["exact-error"]["verdict"] == "broken"


def test_a_spoiled_algorithm_is_caught(capsys, monkeypatch):
    import ailys.butterfly.orders as orders

    honest = orders.split

    def careless(z, first, second, side):
        x1, x2, lost = honest(z, first, second, side)
        return x1, 0.97 * x2, lost

    monkeypatch.setattr(orders, "split", careless)
    code, found = verdicts(capsys, "butterfly", "--trials", "10")
    assert code == 1
    broken = {name for name, v in found.items() if v["verdict"] == "broken"}
    assert {"exact-error", "recovery"} <= broken


def test_a_spoiled_lower_bound_is_caught(capsys, monkeypatch):
    import ailys.butterfly.factorization as factorization

    honest = factorization.split_errors_of_stack
    monkeypatch.setattr(factorization, "split_errors_of_stack", lambda stack, chain: 1.2 * honest(stack, chain))
    code, found = verdicts(capsys, "butterfly", "--trials", "30")
    assert code == 1
    assert found["lower-bound"]["verdict"] == "broken"


def test_the_same_seed_gives_the_same_verdicts_on_two_workers():
    one = [v.to_dict() for _, v in audit(all_claims(), 2, rng=5)]
    two = [v.to_dict() for _, v in audit(all_claims(), 2, rng=np.random.default_rng(5), n_jobs=2)]
    assert one == two


def test_an_unknown_system_is_named():
    with pytest.raises(ValueError, match="did you mean 'butterfly'"):
        all_claims(["buterfly"])
