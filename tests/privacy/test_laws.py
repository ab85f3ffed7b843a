"""Exact laws by enumeration: the loss is never above the budget, and what is drawn has the law of the definition."""

import itertools
import math
from fractions import Fraction
from zlib import crc32

import numpy as np
import pytest

from ailys.privacy import pointwise
from ailys.privacy.density_based import from_histogram, from_tree, noisy_tree
from ailys.privacy.laws import LAWS, edges_of, max_loss
from ailys.privacy.noise import random_source
from ailys.privacy.rates import Cost, joint_sensitivity, root_below
from ailys.privacy.single import lattice_quantiles

F = Fraction
LEVELS = [[F(1, 2)], [F(1, 4), F(3, 4)], [F(1, 10), F(4, 5)], [F(1, 4), F(1, 2), F(3, 4)]]


@pytest.mark.parametrize("neighbours", ["replace", "add_remove"])
@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("name", LAWS)
def test_no_pair_of_neighbours_shows_more_than_epsilon(name, levels, neighbours):
    cost = Cost(F(1), None, neighbours)
    largest = 4 if len(levels) < 3 else 3
    loss = max_loss(lambda r: LAWS[name](edges_of(r, 0, 5), levels, cost), range(5), largest, neighbours)
    assert 0.2 < loss <= 1 + 1e-12


def test_the_loss_of_jointexp_is_nearly_all_of_epsilon():
    cost = Cost(F(1), None, "replace")
    loss = max_loss(lambda r: LAWS["jointexp"](edges_of(r, 0, 6), [F(1, 4), F(3, 4)], cost), range(6), 4, "replace")
    assert 0.85 < loss <= 1


@pytest.mark.parametrize("neighbours", ["replace", "add_remove"])
@pytest.mark.parametrize("name", LAWS)
def test_renyi_divergences_stay_below_rho_alpha(name, neighbours):
    rho = F(1, 8)
    cost = Cost(None, rho, neighbours)
    values = range(4)
    laws = {
        r: LAWS[name](edges_of(r, 0, 4), [F(1, 3), F(2, 3)], cost)
        for n in range(4)
        for r in itertools.combinations_with_replacement(values, n)
    }
    worst = 0.0
    for r, one in laws.items():
        for s, two in laws.items():
            if neighbours == "replace":
                near = len(r) == len(s) and any(
                    r[:k] + r[k + 1 :] == s[:l] + s[l + 1 :] for k in range(len(r)) for l in range(len(s))
                )
            else:
                long, short = (r, s) if len(r) > len(s) else (s, r)
                near = len(long) == len(short) + 1 and any(long[:k] + long[k + 1 :] == short for k in range(len(long)))
            if near:
                for alpha in (1.01, 1.5, 2, 5, 20, 100):
                    d = math.log(sum(one[o] ** alpha * two[o] ** (1 - alpha) for o in one)) / (alpha - 1)
                    worst = max(worst, d / alpha)
    assert 0 < worst <= float(rho) * (1 + 1e-9)


@pytest.mark.parametrize("neighbours", ["replace", "add_remove"])
def test_a_dithered_column_shows_no_more_than_epsilon(neighbours):
    """The law of the lattice points released: averaged over all dithers of one bit for each record, then rounded."""
    cost, levels = Cost(F(1), None, neighbours), [F(1, 3), F(2, 3)]

    def law(records):
        out = {}
        for bits in itertools.product((0, 1), repeat=len(records)):
            edges = edges_of([2 * r + b for r, b in zip(records, bits, strict=True)], 0, 6)
            for values, q in LAWS["jointexp"](edges, levels, cost).items():
                key = tuple(v // 2 for v in values)
                out[key] = out.get(key, 0.0) + q / 2 ** len(records)
        return out

    assert 0.2 < max_loss(law, range(3), 3, neighbours) <= 1 + 1e-12


def chi_square_agrees(counts, law, draws):
    """Pearson's test at false-alarm probability 1e-6; rare outcomes pooled."""
    from scipy.stats import chi2

    often = [o for o, q in law.items() if q * draws > 5]
    rest = 1 - sum(law[o] for o in often)
    seen = [counts.get(o, 0) for o in often]
    statistic = sum((c - draws * law[o]) ** 2 / (draws * law[o]) for o, c in zip(often, seen, strict=True))
    if rest * draws > 1e-3:
        statistic += (draws - sum(seen) - draws * rest) ** 2 / (draws * rest)
    assert all(o in law for o in counts)
    assert statistic < chi2.isf(1e-6, max(len(often), 1))


@pytest.mark.parametrize("neighbours", ["replace", "add_remove"])
@pytest.mark.parametrize("records", [(), (2,), (0, 0, 0, 3), (1, 2, 2, 4, 4)])
@pytest.mark.parametrize("name", LAWS)
def test_draws_have_the_law_of_the_definition(name, records, neighbours):
    levels, cost, draws = [F(1, 4), F(1, 2), F(9, 10)], Cost(F(2), None, neighbours), 4000
    edges, source = edges_of(records, 0, 5), random_source(crc32(f"{name} {records}".encode()))
    law = LAWS[name](edges, levels, cost)
    counts = {}
    for _ in range(draws):
        if name == "lattice":
            values = lattice_quantiles(source, edges[1:-1], 5, levels, cost)
        else:
            method = {"indexp": "independent", "recexp": "recursive", "jointexp": "joint"}[name]
            values = getattr(pointwise, method)(source, edges, levels, cost)
        key = tuple(int(v) for v in values)
        counts[key] = counts.get(key, 0) + 1
    chi_square_agrees(counts, law, draws)


@pytest.mark.parametrize("neighbours", ["replace", "add_remove"])
def test_noise_of_histogram_and_tree_covers_the_largest_change(neighbours, monkeypatch):
    """Discrete Laplace noise of scale b on counts that change by at most c in L1 loses c / b: measured on all pairs."""
    import ailys.privacy.density_based as module

    size, epsilon = 5, F(1, 2)
    scales, sums = [], []

    def record(scale, shape, *, unsafe_rng):
        scales.append(scale)
        return np.zeros(shape, dtype=np.int64)

    monkeypatch.setattr(module, "discrete_laplace", record)
    for method in (from_histogram, from_tree):
        nodes = {}
        for n in range(4):
            for records in itertools.combinations_with_replacement(range(size), n):
                scales.clear()
                sums.clear()
                method(
                    random_source(0),
                    np.array(records, dtype=np.int64),
                    size,
                    [F(1, 2)],
                    Cost(epsilon, None, neighbours),
                )
                levels = [np.bincount(np.array(records, dtype=np.int64), minlength=8)]
                if method is from_tree:
                    while len(levels) < len(scales):
                        levels.append(levels[-1].reshape(-1, 2).sum(axis=1))
                nodes[records] = np.concatenate([x / float(s) for x, s in zip(levels, scales, strict=True)])
        worst = 0.0
        for r, s in itertools.combinations(nodes, 2):
            a, b = (
                np.bincount(r, minlength=size) if r else np.zeros(size),
                np.bincount(s, minlength=size) if s else np.zeros(size),
            )
            change = np.abs(a - b).sum()
            if (neighbours == "replace" and len(r) == len(s) and change == 2) or (
                neighbours == "add_remove" and change == 1
            ):
                worst = max(worst, np.abs(nodes[r] - nodes[s]).sum())
        assert 0.999 * float(epsilon) <= worst <= float(epsilon) * (1 + 1e-12)


def test_tree_estimates_are_the_least_squares_solution():
    rng = np.random.default_rng(0)
    index = rng.integers(0, 8, 50)
    cost = Cost(F(1), None, "add_remove")
    ours = noisy_tree(random_source(5), index, 8, cost)
    # the same noise, and the normal equations of the noisy node counts
    from ailys.privacy.density_based import _noise

    source, blocks, noisy = random_source(5), [], []
    for h in range(4):
        block = np.kron(np.eye(8 >> h), np.ones(1 << h))
        blocks.append(block)
        noisy.append(block @ np.bincount(index, minlength=8) + _noise(source, 8 >> h, cost, 4))
    A, y = np.vstack(blocks), np.concatenate(noisy)
    np.testing.assert_allclose(ours, np.linalg.lstsq(A, y, rcond=None)[0], atol=1e-9)


def test_sensitivity_of_the_joint_score_is_the_stated_one():
    for levels in LEVELS:
        ts = [b - a for a, b in zip([F(0), *levels], [*levels, F(1)], strict=True)]

        def score(records, ranks, ts=ts):
            n = len(records)
            full = [0, *(sum(y <= z for y in records) for z in ranks), n]
            return sum(abs(b - a - t * n) for a, b, t in zip(full, full[1:], ts, strict=False))

        for neighbours in ("replace", "add_remove"):
            worst = F(0)
            for n in range(4):
                for records in itertools.combinations_with_replacement(range(4), n):
                    others = (
                        [records[:k] + records[k + 1 :] + (v,) for k in range(n) for v in range(4)]
                        if neighbours == "replace"
                        else [(*records, v) for v in range(4)]
                    )
                    for other in others:
                        for out in itertools.combinations_with_replacement(range(4), len(levels)):
                            worst = max(worst, abs(score(records, out) - score(other, out)))
            bound = joint_sensitivity(levels, neighbours)
            assert bound / 2 <= worst <= bound


def test_roots_never_exceed_the_root():
    for x in (F(1, 3), F(8, 10**9), F(10**9), F(2)):
        root = root_below(x)
        assert root**2 <= x < (root * (1 + F(1, 10**12))) ** 2
