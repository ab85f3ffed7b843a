"""Sharing a budget, against brute force."""

import itertools

import numpy as np
import pytest

from ailys.compression.allocation import allocate_globally, allocate_uniformly
from ailys.compression.candidates import Option


def _random_layers(rng):
    layers = []
    for _ in range(int(rng.integers(1, 5))):
        count = int(rng.integers(1, 6))
        sizes = rng.choice(np.arange(1, 30), count, replace=False)
        costs = rng.uniform(0, 1, count) if rng.random() < 0.7 else rng.integers(0, 3, count) / 2
        layers.append(
            [*(Option(None, int(n), float(c)) for n, c in zip(sizes, costs, strict=True)), Option(None, 40, 0.0)]
        )
    return layers


def test_cost_bound_and_budget_against_all_allocations():
    rng = np.random.default_rng(0)
    gaps = []
    for _ in range(400):
        layers = _random_layers(rng)
        least = sum(min(o.n_params for o in layer) for layer in layers)
        budget = int(rng.integers(least, 42 * len(layers)))
        found = allocate_globally(layers, budget)
        best = min(
            sum(o.cost for o in choice)
            for choice in itertools.product(*layers)
            if sum(o.n_params for o in choice) <= budget
        )
        assert sum(o.n_params for o in found.chosen) <= budget
        assert found.cost == pytest.approx(sum(o.cost for o in found.chosen))
        assert found.bound <= best + 1e-12 <= found.cost + 2e-12
        gaps.append(found.cost - best)
    assert np.mean(np.array(gaps) < 1e-12) > 0.6  # mostly the optimum itself


def test_a_budget_that_cannot_be_met_is_refused():
    layers = [[Option(None, 5, 1.0)], [Option(None, 6, 1.0)]]
    with pytest.raises(ValueError, match="11 weights"):
        allocate_globally(layers, 10)
    with pytest.raises(ValueError, match="at most"):
        allocate_uniformly([[Option(None, 5, 1.0), Option(None, 10, 0.0)]], 0.3)


def test_uniform_takes_the_best_within_the_share():
    layer = [Option(None, 3, 0.5), Option(None, 4, 0.6), Option(None, 10, 0.0)]
    assert allocate_uniformly([layer], 0.5).chosen == (layer[0],)
