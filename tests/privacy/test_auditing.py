"""The auditor: catches planted bugs, does not accuse correct mechanisms; exact losses by enumeration."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from ailys.privacy.auditing import audit, exact_epsilon, worst_pairs
from ailys.privacy.noise import discrete_laplace


def laplace(scale, rng):
    return lambda data, n: np.sum(data) + rng.laplace(scale=scale, size=n)


def test_a_correct_mechanism_comes_close_to_its_claim_and_is_not_accused():
    result = audit(laplace(1, np.random.default_rng(0)), [0, 1], [0, 0], claimed_epsilon=1)
    assert 0.85 < result.epsilon_lb < 1
    assert result.verdict == "no violation found"


def test_half_the_noise_is_caught():
    result = audit(laplace(0.5, np.random.default_rng(1)), [0, 1], [0, 0], claimed_epsilon=1)
    assert result.verdict == "violation"
    assert 1.8 < result.epsilon_lb < 2


@pytest.mark.slow
def test_ten_percent_too_little_noise_is_caught_with_more_samples():
    result = audit(laplace(1 / 1.1, np.random.default_rng(2)), [0, 1], [0, 0], claimed_epsilon=1, n_samples=2_000_000)
    assert result.verdict == "violation"


def test_bounds_taken_from_the_data_are_caught():
    rng = np.random.default_rng(3)

    def mechanism(data, n):
        return np.clip(
            np.mean(data) + rng.laplace(scale=(max(data) - min(data)) / len(data), size=n), min(data), max(data)
        )

    result = audit(mechanism, [0.0, 0.0, 0.0], [0.0, 0.0, 1.0], claimed_epsilon=1)
    assert result.verdict == "violation"
    assert result.epsilon_lb > 6


def test_noise_that_leaves_traces_of_the_data_in_its_last_digits_is_caught():
    # floating-point Laplace noise near 1 falls on multiples of 2^-53, near 0 on finer ones
    rng = np.random.default_rng(4)

    def mechanism(data, n):
        out = data[0] + rng.laplace(size=n)
        return np.where(np.abs(out) < 0.25, (out * 2.0**53) % 1 == 0, 0.5)

    assert audit(mechanism, [1.0], [0.0], claimed_epsilon=1).verdict == "violation"


def test_workers_that_draw_the_same_numbers_are_noticed():
    settings = {"claimed_epsilon": 1, "n_samples": 8_000, "n_jobs": 2}
    with pytest.raises(ValueError, match="two workers drew the same numbers"):
        audit(laplace(1, np.random.default_rng(0)), [1], [0], **settings)  # all workers get a copy of one generator
    found = audit(lambda data, n: data[0] + np.random.default_rng().laplace(size=n), [1], [0], **settings)
    assert found.verdict == "no violation found"
    constant = audit(lambda data, n: np.zeros(n), [1], [0], **settings)
    assert constant.verdict == "no violation found"


def test_several_outputs_are_judged_by_a_classifier():
    rng = np.random.default_rng(5)

    def mechanism(data, n):
        return np.array(data) + rng.laplace(scale=1, size=(n, 2))  # sensitivity 2 in L1: loss 2

    assert audit(mechanism, [1, 1], [0, 0], claimed_epsilon=1).verdict == "violation"
    assert audit(mechanism, [1, 1], [0, 0], claimed_epsilon=2).verdict == "no violation found"


def test_our_own_discrete_noise_is_not_accused():
    rng = np.random.default_rng(10)

    def mechanism(data, n):
        return int(np.sum(data)) + discrete_laplace(2, n, unsafe_rng=rng)

    result = audit(mechanism, [1], [0], claimed_epsilon=0.5, n_samples=60_000)
    assert result.verdict == "no violation found"
    assert result.epsilon_lb > 0.4


@pytest.mark.slow
def test_two_hundred_audits_of_a_correct_mechanism_accuse_nobody():
    # each may accuse with probability 0.01 at most; the bounds are conservative
    rng = np.random.default_rng(6)
    accused = sum(
        audit(laplace(1, rng), [1], [0], claimed_epsilon=1, n_samples=10_000).verdict == "violation" for _ in range(200)
    )
    assert accused == 0


def test_a_delta_is_taken_into_account():
    rng = np.random.default_rng(7)

    def mechanism(data, n):  # tells the truth with probability 0.1
        return np.where(rng.random(n) < 0.1, float(data[0]), -1.0)

    assert audit(mechanism, [1], [0], claimed_epsilon=1).verdict == "violation"
    assert audit(mechanism, [1], [0], claimed_epsilon=1, delta=0.11).verdict == "no violation found"


def median_law(eta, w):
    def law(data):
        data = np.sort(np.array(data))
        edges = np.concatenate([[0.0], data, [1.0]])
        cells = np.unique([0.0, w, 1.0])
        weights = []
        for low, high in itertools.pairwise(cells):
            parts = np.minimum(edges[1:], high) - np.maximum(edges[:-1], low)
            weights.append((np.maximum(parts, 0) * np.exp(-eta * np.abs(np.arange(len(parts)) - len(data) / 2))).sum())
        return np.array(weights) / np.sum(weights)

    return law


@pytest.mark.parametrize(("eta", "loss"), [(0.5, 0.89700), (1.0, 1.77614)])
def test_the_worst_pair_of_the_median_shows_the_loss(eta, loss):
    a, b = worst_pairs("median")[0]
    assert exact_epsilon(median_law(eta, 0.1), [tuple(a), tuple(b)], "replace") == pytest.approx(loss, abs=1e-5)


def test_the_planted_bug_of_the_median_is_caught_by_its_worst_pair():
    rng = np.random.default_rng(8)

    def sampler(eta):
        def mechanism(data, n):
            edges = np.concatenate([[0.0], np.sort(data), [1.0]])
            p = np.diff(edges) * np.exp(-eta * np.abs(np.arange(len(data) + 1) - len(data) / 2))
            i = rng.choice(len(p), size=n, p=p / p.sum())
            return edges[i] + rng.random(n) * np.diff(edges)[i]

        return mechanism

    a, b = worst_pairs("median")[0]
    assert audit(sampler(1.0), a, b, claimed_epsilon=1).verdict == "violation"
    assert audit(sampler(0.5), a, b, claimed_epsilon=1).verdict == "no violation found"


def geometric_law(data):
    x = np.arange(-60, 61)
    p = np.exp(-0.7 * np.abs(x - sum(data)))
    return p / p.sum()


def test_exact_losses_of_counts_under_both_relations():
    datasets = [c for n in range(4) for c in itertools.combinations_with_replacement((0, 1), n)]
    assert exact_epsilon(geometric_law, datasets, "add_remove") == pytest.approx(0.7, abs=1e-9)
    assert exact_epsilon(geometric_law, datasets, "replace") == pytest.approx(0.7, abs=1e-9)
    assert exact_epsilon(geometric_law, [(0,), (2,)], "replace") == pytest.approx(1.4, abs=1e-9)
    assert exact_epsilon(geometric_law, [(0,), (0, 0, 1)], "add_remove") == 0


def test_events_that_one_data_set_excludes_cost_infinitely_much_unless_delta_pays():
    def law(data):
        return [0.9, 0.1, 0] if data[0] else [0.9, 0, 0.1]

    assert exact_epsilon(law, [(0,), (1,)], "replace") == math.inf
    assert exact_epsilon(law, [(0,), (1,)], "replace", delta=0.1) == 0


def test_the_exact_loss_with_a_delta_is_where_the_hockey_stick_divergence_meets_it():
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    laws = {(0,): p, (1,): q}
    for delta in (0.0, 0.05, 0.2, 0.299, 0.31):
        epsilon = exact_epsilon(laws.__getitem__, [(0,), (1,)], "replace", delta=delta)
        excess = max(np.maximum(a - math.exp(epsilon) * b, 0).sum() for a, b in ((p, q), (q, p)))
        assert excess <= delta + 1e-12
        if epsilon > 0:
            assert excess == pytest.approx(delta, abs=1e-12)


@pytest.mark.parametrize(
    "call",
    [
        lambda: exact_epsilon(lambda d: [1.0], [], "replace"),
        lambda: exact_epsilon(lambda d: [0.5], [(0,)], "replace"),
        lambda: exact_epsilon(lambda d: [1 / (1 + len(d))] * (1 + len(d)), [(0,), ()], "add_remove"),
        lambda: exact_epsilon(lambda d: [1.0], [(0,)], "both"),
        lambda: audit(lambda d, n: np.zeros(3), [0], [1], claimed_epsilon=1),
        lambda: audit(lambda d, n: np.array(["a"] * n), [0], [1], claimed_epsilon=1),
        lambda: audit(lambda d, n: np.zeros((n, d[0])), [1], [2], claimed_epsilon=1),
        lambda: audit(lambda d, n: np.zeros(n), [0], [1], claimed_epsilon=-1),
        lambda: audit(lambda d, n: np.zeros(n), [0], [1], claimed_epsilon=1, n_samples=10),
        lambda: worst_pairs("mode"),
        lambda: worst_pairs("median", width=2),
    ],
)
def test_wrong_arguments_are_refused(call):
    with pytest.raises(ValueError):
        call()


def test_the_result_reads_and_draws():
    result = audit(
        laplace(0.5, np.random.default_rng(9)), [0, 1], [0, 0], claimed_epsilon=1, n_samples=20_000, n_jobs=1
    )
    assert "violation" in result.summary()
    assert result.to_dict()["guarantee"]["kind"] == "coverage"
    assert "violation" in result.plot().get_title()
