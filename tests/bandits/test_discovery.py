"""Discovery: counts by brute force, the macroscopic limit, bounds of the missing mass, a real grid."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ailys.bandits import GoodUCB, discover, macroscopic_discoveries
from ailys.core.claim import clopper_pearson

SHARES = [0.512, 0.256, 0.128, 0.064, 0.032, 0.016, 0.008]


@settings(max_examples=100, deadline=None)
@given(events=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 6)), min_size=1, max_size=60))
def test_items_seen_once_are_counted_as_in_the_definition(events):
    agent, discoveries = GoodUCB(3, rng=0), 0
    for expert, item in events:
        discoveries += agent.tell(expert, item, item % 3 != 0)
    interesting = [(e, x) for e, x in events if x % 3]
    items = [x for _, x in interesting]
    for i in range(3):
        once = sum(items.count(x) == 1 for e, x in interesting if e == i)
        assert agent._once[i] == once
        own = [x for e, x in interesting if e == i]
        assert agent._own_once[i] == sum(own.count(x) == 1 for x in own)
    assert discoveries == len(set(items)) == len(agent.found)


def test_the_macroscopic_limit_of_the_specification():
    oracle = [macroscopic_discoveries(SHARES, t) for t in (1, 2, 4, 8)]
    assert oracle == pytest.approx([0.328825, 0.501627, 0.693557, 0.862786], abs=6e-7)
    uniform = [macroscopic_discoveries(SHARES, t, "uniform") for t in (1, 2, 4, 8)]
    assert uniform == pytest.approx([0.135252, 0.252499, 0.442246, 0.691991], abs=6e-7)
    assert macroscopic_discoveries(SHARES, 1e6) == pytest.approx(sum(SHARES))


def experts_of(size):
    def make(i):
        interesting = round(SHARES[i] * size)
        return lambda rng: (i, x) if (x := int(rng.integers(size))) < interesting else None

    return [make(i) for i in range(len(SHARES))]


@pytest.mark.parametrize(("size", "expected"), [(125, (0.233, 0.388, 0.598)), (1000, (0.300, 0.461, 0.649))])
def test_good_ucb_approaches_the_oracle(size, expected):
    runs = [
        discover(experts_of(size), lambda item: item is not None, budget=4 * size, rng=seed).history / size
        for seed in range(20)
    ]
    found = np.mean(runs, axis=0)[[size - 1, 2 * size - 1, 4 * size - 1]]
    assert found == pytest.approx(expected, abs=0.015 if size >= 1000 else 0.03)


def test_the_rule_of_turns_is_the_uniform_limit():
    size = 2000
    history = discover(experts_of(size), lambda item: item is not None, budget=4 * size, rule="uniform", rng=0).history
    for t in (1, 2, 4):
        assert history[t * size - 1] / size == pytest.approx(macroscopic_discoveries(SHARES, t, "uniform"), abs=0.02)


def test_bounds_of_the_missing_mass_hold_at_all_times_with_shared_items():
    """Experts with overlapping supports; false alarm 1e-6."""
    rng, size, delta, misses = np.random.default_rng(0), 60, 0.3, 0
    laws = rng.dirichlet(np.ones(size), 3)
    cumulated = np.minimum(np.cumsum(laws, axis=1), 1.0)
    good = np.arange(size) % 2 == 0
    for seed in range(150):
        agent, stream, missed = GoodUCB(3, rng=seed), np.random.default_rng(seed), good.copy()
        broken = False
        for _ in range(400):
            i = agent.ask()
            item = min(int(np.searchsorted(cumulated[i], stream.random(), side="right")), size - 1)
            agent.tell(i, item, bool(good[item]))
            missed[item] = False
            broken |= bool((laws[:, missed].sum(axis=1) > agent.missing_mass_bound(delta)).any())
        misses += broken
    assert clopper_pearson(misses, 150, 1 - 1e-6)[0] <= delta


def test_a_target_is_met_with_its_guarantee():
    experts = [lambda rng: int(rng.integers(20)), lambda rng: 100 + int(rng.integers(50))]
    result = discover(experts, lambda item: item % 2 == 0, target_missing_mass=0.35, delta=0.1, rng=0)
    assert result.target_met
    assert result.guarantee.kind == "missing-mass"
    assert result.guarantee.level <= 0.35
    assert len(result.found) == 35
    short = discover(experts, lambda item: item % 2 == 0, target_missing_mass=0.35, budget=50, rng=0)
    assert short.target_met is False


@pytest.fixture(scope="module")
def grid():
    pytest.importorskip("pypower")
    from ailys.bandits.powergrid import ieee118

    return ieee118()


def test_flows_after_an_outage_are_those_of_a_new_power_flow(grid):
    from pypower.case118 import case118

    case = case118()
    bus, branch = case["bus"], case["branch"]
    index = {int(b): i for i, b in enumerate(bus[:, 0])}
    ends = [(index[int(a)], index[int(b)], 1 / x) for a, b, x in branch[:, [0, 1, 3]]]
    injection = -bus[:, 2].copy()
    for g in case["gen"]:
        injection[index[int(g[0])]] += g[1]
    injection -= injection.mean()

    def direct(removed):
        laplacian = np.zeros((118, 118))
        kept = [e for i, e in enumerate(ends) if i not in removed]
        for a, b, s in kept:
            laplacian[[a, b], [a, b]] += s
            laplacian[[a, b], [b, a]] -= s
        theta = np.linalg.lstsq(laplacian, injection, rcond=None)[0]
        return {(a, b, s): s * (theta[a] - theta[b]) for a, b, s in kept}

    # parallel lines have the same ends: rows of the grid are matched by the order of the branches that are no bridges
    keep = [i for i in range(len(ends)) if _not_a_bridge(ends, i)]
    assert len(keep) == len(grid.lines)
    for pair in ((3, 40), (10, 100), (60, 61)):
        flows = grid.after_outage(*pair)
        assert flows is not None
        table = direct({keep[k] for k in pair})
        for k, i in enumerate(keep):
            if k not in pair:
                assert flows[k] == pytest.approx(table[ends[i]], abs=1e-6)


def _not_a_bridge(ends, i):
    import networkx as nx

    graph = nx.MultiGraph([(a, b) for j, (a, b, _) in enumerate(ends) if j != i])
    graph.add_nodes_from(range(118))
    return nx.is_connected(graph)


def test_the_grid_survives_any_single_outage_and_not_every_double_one(grid):
    for k in range(len(grid.lines)):
        assert (np.abs(grid.after_outage(k)) <= grid.limits).all()
    pairs = list(itertools.combinations(range(len(grid.lines)), 2))
    rng = np.random.default_rng(0)
    share = np.mean([grid.is_dangerous(pairs[i]) for i in rng.choice(len(pairs), 400, replace=False)])
    assert 0.005 < share < 0.2


def test_good_ucb_finds_more_dangerous_pairs_than_turns_do(grid):
    experts = grid.experts()
    found = {
        rule: np.mean(
            [len(discover(experts, grid.is_dangerous, budget=1000, rule=rule, rng=s).found) for s in range(4)]
        )
        for rule in ("good-ucb", "uniform")
    }
    assert found["good-ucb"] > 1.1 * found["uniform"]


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda: discover([], bool, budget=1), "experts is empty"),
        (lambda: discover([lambda rng: 1], bool), "never ends"),
        (lambda: discover([lambda rng: 1], bool, budget=0), "budget must be"),
        (lambda: discover([lambda rng: 1], bool, budget=1, rule="x"), "rule must be"),
        (lambda: discover([lambda rng: 1], bool, target_missing_mass=1.5), "target_missing_mass must"),
        (lambda: GoodUCB(0), "n_experts must be"),
        (lambda: GoodUCB(2).tell(5, "a", True), "unknown expert"),
        (lambda: GoodUCB(2, C=-1), "C must be"),
        (lambda: macroscopic_discoveries([2], 1), "shares must lie"),
        (lambda: macroscopic_discoveries([0.2], 1, "x"), "rule must be"),
    ],
)
def test_wrong_arguments_are_named(work, said):
    with pytest.raises(ValueError, match=said):
        work()


def test_items_must_be_hashable():
    with pytest.raises(TypeError, match="hashable"):
        GoodUCB(2).tell(0, [1], True)
