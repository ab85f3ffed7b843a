"""Enumeration of architectures, and the front of error against size."""

import itertools

import numpy as np
import pytest

from ailys.butterfly import Chain, butterfly, enumerate_chains, pareto_chains


def test_the_enumeration_is_complete_and_without_repetition():
    # brute force: every chain of two or three patterns of small numbers, reduced
    shape = (4, 6)
    listed = list(enumerate_chains(shape, max_params=1000, max_depth=3))
    assert len(set(listed)) == len(listed)
    assert all(chain.shape == shape and chain.chainable and not chain.redundant for chain in listed)
    numbers = range(1, 13)
    for q1, p1, r in itertools.product((1, 2, 4), (1, 2, 3, 6), numbers):
        chain = Chain.from_splits((q1, 4 // q1), (p1, 6 // p1), r)
        if not chain.redundant:
            assert chain in listed
    two = [c for c in listed if len(c) == 2]
    assert any(c == Chain.low_rank(shape, 3) for c in two)


@pytest.mark.parametrize("limit", [10, 24, 40])
def test_the_enumeration_respects_its_limits(limit):
    every = set(enumerate_chains((4, 6), max_params=1000, max_depth=3))
    small = set(enumerate_chains((4, 6), max_params=limit, max_depth=3))
    assert small == {c for c in every if c.n_params <= limit}
    flat = set(enumerate_chains((4, 6), max_params=1000, max_depth=2, max_rank=1))
    assert flat == {c for c in every if len(c) <= 2 and all(r == 1 for r in c.ranks)}


def test_the_front_gives_the_true_errors_and_no_candidate_beats_it():
    A = np.random.default_rng(0).standard_normal((12, 18))
    front = pareto_chains(A, budget=0.8)
    for chain, error in zip(front.chains, front.relative_errors, strict=True):
        assert butterfly(A, chain).relative_error == pytest.approx(error, rel=1e-9)
    assert (np.diff(front.n_params) > 0).all()
    assert (np.diff(front.relative_errors) < 0).all()
    for chain in enumerate_chains(A.shape, max_params=front.max_params, max_depth=2):
        rival = butterfly(A, chain)
        smaller = front.n_params <= chain.n_params
        assert front.relative_errors[smaller].min() <= rival.relative_error + 1e-12
    assert front.guarantee.kind == "optimal"


def test_deeper_chains_join_the_front_without_its_guarantee():
    import scipy.linalg

    H = scipy.linalg.hadamard(8)
    front = pareto_chains(H, budget=0.75, max_depth=3)
    assert len(front.best) == 3
    assert front.relative_errors[-1] < 1e-14
    noisy = H + 0.1 * np.random.default_rng(0).standard_normal(H.shape)
    front = pareto_chains(noisy, budget=0.75, max_depth=3)
    assert max(len(chain) for chain in front.chains) == 3
    assert front.guarantee is None
    assert "nothing is proved" in front.summary()


def test_an_exact_low_rank_matrix_is_seen_to_be_one():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((20, 3)) @ rng.standard_normal((3, 30))
    front = pareto_chains(A, budget=0.3)
    assert front.best == Chain.low_rank(A.shape, 3)
    assert front.relative_errors[-1] < 1e-12


@pytest.mark.parametrize(
    ("budget", "words"),
    [(0.0, r"in \(0, 1\]"), (1.5, r"in \(0, 1\]"), (3, "the smallest has"), (0.001, "the smallest has")],
)
def test_a_budget_that_nothing_fits_is_explained(budget, words):
    with pytest.raises(ValueError, match=words):
        pareto_chains(np.eye(16), budget=budget)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_the_front_does_not_depend_on_the_unit(scale):
    A = np.random.default_rng(0).standard_normal((8, 12))
    one, two = pareto_chains(A), pareto_chains(scale * A)
    assert one.chains == two.chains
    assert np.allclose(one.relative_errors, two.relative_errors, rtol=1e-9)


def test_a_large_prime_is_split_at_once():
    assert len(list(enumerate_chains((1_000_000_007, 3), max_params=10**12))) > 0


def test_bad_shapes_are_refused():
    with pytest.raises(ValueError, match="two positive integers"):
        list(enumerate_chains((0, 4), max_params=10))
    with pytest.raises(ValueError, match="at least 1"):
        list(enumerate_chains((4, 4), max_params=10, max_depth=0))
    with pytest.raises(ValueError, match="NaN"):
        pareto_chains(np.full((4, 4), np.nan))


def test_no_chain_without_redundancy_is_deeper_than_its_prime_factors():
    shallow = list(enumerate_chains((4, 6), max_params=10**6, max_depth=4))
    assert list(enumerate_chains((4, 6), max_params=10**6, max_depth=10**30)) == shallow
    assert max(map(len, shallow)) <= 4
