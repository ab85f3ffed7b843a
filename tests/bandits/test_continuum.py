"""Black boxes: the values of the specification, certificates against dense grids, PAC by simulation."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ailys.bandits import DOO, HCT, HOO, POO, SOO, PACOptimizer, SequOOL, StoSOO, StroquOOL, as_objective, maximize
from ailys.bandits.partition import Partition
from ailys.core.claim import clopper_pearson

BEST, LIPSCHITZ = 0.9755991438, 13.4897


def wave(x):
    return 0.5 * (math.sin(13 * x) * math.sin(27 * x) + 1)


def noisy(x, rng):
    return wave(x) + 0.1 * rng.standard_normal()


def test_the_problem_is_the_one_meant():
    x = np.linspace(0, 1, 2_000_001)
    y = 0.5 * (np.sin(13 * x) * np.sin(27 * x) + 1)
    assert y.max() == pytest.approx(BEST, abs=1e-9)
    assert x[y.argmax()] == pytest.approx(0.867526, abs=1e-6)
    assert np.abs(np.diff(y) / np.diff(x)).max() <= LIPSCHITZ


@pytest.mark.parametrize(
    ("budget", "gap", "certified"), [(51, 2.2e-6, 0.01726), (101, 5.9e-7, 1.312e-3), (201, 1.8e-10, 2.736e-4)]
)
def test_doo_finds_and_certifies_what_the_specification_says(budget, gap, certified):
    result = maximize(wave, (0, 1), "doo", budget=budget, lipschitz=LIPSCHITZ)
    assert BEST - result.value == pytest.approx(gap, rel=0.03)
    assert result.certificate == pytest.approx(certified, rel=1e-3)
    assert result.guarantee.kind == "certified-gap"


@pytest.mark.parametrize(("budget", "gap"), [(50, 2.3e-6), (100, 1.9e-10)])
def test_soo_needs_no_smoothness(budget, gap):
    result = maximize(wave, (0, 1), "soo", budget=budget)
    assert BEST - result.value <= gap
    assert result.certificate == math.inf
    assert result.guarantee is None


def test_sequool_spends_its_budget_as_planned():
    search = SequOOL((0, 1), 200)
    assert search.h_max == int(200 / sum(1 / t for t in range(1, 201)))
    for _ in range(200):
        search.tell(wave(search.ask()))
    assert search.best()[1] > BEST - 1e-9
    opened = [
        sum(1 for i in range(len(search.tree)) if search.tree.depth[i] == h and search.tree.first[i] >= 0)
        for h in range(1, 6)
    ]
    assert all(n >= search.h_max // h or n == 3**h for h, n in enumerate(opened, 1))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), dims=st.integers(1, 3), budget=st.integers(1, 150))
def test_certificates_hold_for_random_lipschitz_functions(seed, dims, budget):
    rng = np.random.default_rng(seed)
    peaks, heights = rng.random((4, dims)), rng.random(4)

    def f(x):
        return float(max(heights - 2 * np.linalg.norm(np.atleast_1d(x) - peaks, axis=1)))

    bounds = (0, 1) if dims == 1 else [(0, 1)] * dims
    top = heights.max()  # attained at its peak: steeper cones would hide it, equal ones do not
    top = max(f(p if dims > 1 else p[0]) for p in peaks)
    result = maximize(f, bounds, "doo", budget=budget, lipschitz=2.0)
    assert result.value <= top + 1e-12
    assert top <= result.value + result.certificate + 1e-9


def test_the_partition_covers_the_box_without_overlap():
    tree, rng = Partition([(0.0, 1.0), (-2.0, 6.0), (5.0, 5.5)]), np.random.default_rng(0)
    for _ in range(40):
        leaves = [i for i in range(len(tree)) if tree.first[i] < 0]
        tree.split(int(rng.choice(leaves)))
    leaves = [i for i in range(len(tree)) if tree.first[i] < 0]
    volume = sum(math.prod(b - a for a, b in zip(tree.low[i], tree.high[i], strict=True)) for i in leaves)
    assert volume == pytest.approx(1 * 8 * 0.5)
    for _ in range(200):
        x = rng.random(3) * [1, 8, 0.5] + [0, -2, 5]
        inside = [i for i in leaves if all(a <= v < b for a, v, b in zip(tree.low[i], x, tree.high[i], strict=True))]
        assert len(inside) == 1
    for i in range(len(tree)):
        if tree.first[i] >= 0:
            assert tree.centre(tree.first[i] + 1) == pytest.approx(tree.centre(i))


@pytest.mark.parametrize(
    ("method", "gap"), [("hoo", 0.05), ("hct", 0.05), ("stosoo", 0.05), ("stroquool", 0.1), ("poo", 0.1)]
)
def test_noisy_methods_come_near(method, gap):
    gaps = [BEST - wave(maximize(noisy, (0, 1), method, budget=2000, rng=seed).x) for seed in range(5)]
    assert np.mean(gaps) < gap


def test_hoo_keeps_the_bounds_of_its_definition():
    search, rng = HOO((0, 1), 300, nu=1.0, rho=0.5, arity=2), np.random.default_rng(0)
    for _ in range(300):
        search.tell(noisy(search.ask(), rng))
    cells, links, size = search._cells, search._links, search._size
    x, y = np.array(search.points), np.array(search.values)
    for i in range(size):
        # split in two, a cell has its centre on the edge of its children: a point is inside the cells it was drawn for
        inside = (x > cells[i, 3]) & (x < cells[i, 4])
        assert links[i, 1] == inside.sum()
        if inside.any():
            upper = y[inside].mean() + math.sqrt(2 * math.log(300) / inside.sum()) + 0.5 ** links[i, 0]
            assert cells[i, 1] == pytest.approx(upper)
        children = range(links[i, 3], links[i, 3] + 2) if links[i, 3] >= 0 else ()
        top = max((cells[c, 2] for c in children), default=math.inf)
        assert cells[i, 2] == min(cells[i, 1], top)


def test_hct_splits_when_the_noise_is_below_the_size():
    search, rng = HCT((0, 1), c=0.5), np.random.default_rng(0)
    for _ in range(500):
        search.tell(noisy(search.ask(), rng))
    links, size = search._links, search._size
    late = 0.25 * math.log(512 / 0.01)
    for i in range(size):
        if links[i, 3] < 0:  # a leaf has not been drawn as often as the last threshold asks, by more than one draw
            assert links[i, 1] <= late * 4.0 ** links[i, 0] + 1


def test_stosoo_samples_k_times_before_it_splits():
    search, rng = StoSOO((0, 1), 1000), np.random.default_rng(0)
    for _ in range(1000):
        search.tell(noisy(search.ask(), rng))
    assert search.k == math.ceil(1000 / math.log(1000) ** 3)
    for i in range(len(search.tree)):
        if search.tree.first[i] >= 0:
            assert search.n[i] >= search.k
        assert search.tree.depth[i] <= search.h_max


def test_stroquool_validates_its_candidates_with_fresh_samples():
    search, rng = StroquOOL((0, 1), 3000), np.random.default_rng(0)
    for _ in range(3000):
        search.tell(noisy(search.ask(), rng))
    assert search._final
    assert min(n for n, _ in search._final.values()) >= search.h_max // 2


@pytest.mark.slow
@pytest.mark.parametrize(("epsilon", "expected"), [(0.2, 1280), (0.1, 2960)])
def test_pac_optimisation_stops_when_the_specification_says_and_is_right(epsilon, expected):
    runs = [
        maximize(noisy, (0, 1), "pacoptimizer", epsilon=epsilon, delta=0.05, lipschitz=LIPSCHITZ, noise=0.1, rng=s)
        for s in range(20)
    ]
    assert np.mean([run.n_evaluations for run in runs]) == pytest.approx(expected, rel=0.12)
    assert all(BEST - wave(run.x) <= epsilon for run in runs)
    assert all(run.settled and run.guarantee.level <= epsilon for run in runs)


def test_pac_answers_are_wrong_with_probability_at_most_delta():
    """A flat function with a bump and noise in [0, 1]: false alarm 1e-6."""
    wrong = 0
    for seed in range(25):
        rng = np.random.default_rng(seed)

        def coin(x, rng):
            return float(rng.random() < 0.3 + 0.4 * max(0.0, 1 - 4 * abs(x - 0.8)))

        run = maximize(coin, (0, 1), "pacoptimizer", epsilon=0.3, delta=0.2, lipschitz=1.6, noise="bounded", rng=rng)
        wrong += 0.3 + 0.4 * max(0.0, 1 - 4 * abs(run.x - 0.8)) < 0.7 - 0.3
    assert clopper_pearson(wrong, 25, 1 - 1e-6)[0] <= 0.2


def test_exact_values_need_one_sample_a_cell():
    run = maximize(wave, (0, 1), "pacoptimizer", epsilon=0.01, lipschitz=LIPSCHITZ, noise=0)
    assert run.n_evaluations < 150
    assert BEST - run.value <= 0.01


def test_several_dimensions_and_an_adapter():
    box = as_objective(lambda x: 1 - np.sum((x - [0.3, 0.7]) ** 2), [(0, 1), (0, 1)])
    for method, options in [("soo", {}), ("doo", {"lipschitz": 2.9}), ("hoo", {}), ("stosoo", {})]:
        result = maximize(box, box.bounds, method, budget=400, **options)
        assert np.abs(result.x - [0.3, 0.7]).max() < 0.08
    assert box.n_calls == 1600
    low = as_objective(lambda x: x, (0, 1), minimize=True)
    assert low(0.25) == -0.25


def test_a_tolerance_ends_doo_and_a_short_budget_is_reported():
    result = maximize(wave, (0, 1), "doo", epsilon=0.01, lipschitz=LIPSCHITZ)
    assert result.settled
    assert result.certificate <= 0.01
    short = maximize(noisy, (0, 1), "pacoptimizer", epsilon=0.05, lipschitz=LIPSCHITZ, noise=0.1, budget=100, rng=0)
    assert short.settled is False
    assert short.n_evaluations == 100


@pytest.mark.parametrize(
    "kind", [lambda: DOO((0, 1), 1.0), lambda: SOO((0, 1)), lambda: HOO((0, 1), 10), lambda: POO((0, 1), 100)]
)
def test_asking_twice_gives_the_same_point_and_telling_needs_an_ask(kind):
    search = kind()
    assert search.ask() == search.ask()
    search.tell(0.5)
    with pytest.raises(ValueError, match="ask first"):
        search.tell(0.5)
    search.ask()
    for wrong in (float("nan"), "a", float("inf")):
        with pytest.raises(ValueError, match="must return"):
            search.tell(wrong)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "bobyqa", "budget": 1}, "unknown method"),
        ({"method": "soo"}, "never ends"),
        ({"method": "soo", "epsilon": 0.1}, "certifies no gap"),
        ({"method": "hoo", "budget": 0}, "budget must be"),
        ({"method": "doo", "budget": 5}, "smoothness"),
        ({"method": "doo", "epsilon": 0.1}, "smoothness"),
        ({"method": "pacoptimizer", "budget": 5}, "needs lipschitz"),
        ({"method": "hoo", "budget": 5, "rho": 1.5}, "rho must"),
        ({"method": "soo", "budget": 5, "fog": 1}, "fog"),
        ({"method": "soo", "budget": 5, "bounds": (1, 0)}, "low < high"),
        ({"method": "soo", "budget": 5, "bounds": 3}, "bounds must be"),
        ({"method": "soo", "budget": 5, "arity": 1}, "arity must"),
        ({"method": "pacoptimizer", "epsilon": 0, "lipschitz": 1}, "epsilon must"),
    ],
)
def test_wrong_arguments_are_named(options, said):
    with pytest.raises(ValueError, match=said):
        maximize(wave, options.pop("bounds", (0, 1)), **options)


def test_budgets_are_kept_exactly():
    for method, extra in itertools.product(
        ("soo", "doo", "hoo", "hct", "poo", "stosoo", "stroquool", "sequool"), (7, 64)
    ):
        options = {"lipschitz": 14.0} if method == "doo" else {}
        assert maximize(wave, (0, 1), method, budget=extra, **options).n_evaluations == extra
    assert PACOptimizer((0, 1), 1.0, 0.1).certificate() == math.inf
    assert StroquOOL((0, 1), 100).h_max >= 1
