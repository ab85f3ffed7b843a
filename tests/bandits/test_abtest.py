"""Tests that are watched: type-I error whenever one looks, values of the specification, data as people have it."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from ailys.bandits import (
    ABTest,
    Agent,
    ThompsonTrial,
    ab_test,
    confidence_sequence,
    effect_interval,
    plan_ab_test,
    prob_best,
)
from ailys.bandits._evidence_kernels import label_path, profile, trial_until, z_test_rejects
from ailys.core.claim import clopper_pearson


def keys(n, seed=0):
    return np.random.default_rng(seed).integers(0, 2**63, n, dtype=np.uint64)


def plain_e_process(arms, outcomes, chances, greater=False):
    """The product written out from its definition."""
    value, s, n = 1.0, [0, 0], [0, 0]
    path = []
    for a, y in zip(arms, outcomes, strict=True):
        p = [(s[i] + 0.5) / (n[i] + 1) for i in (0, 1)]
        if greater and p[1] < p[0]:
            p = [sum(p) / 2] * 2
        f = [p[i] if y else 1 - p[i] for i in (0, 1)]
        value *= f[a] / (chances[0] * f[0] + chances[1] * f[1])
        s[a] += y
        n[a] += 1
        path.append(value)
    return path


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), share=st.floats(0.1, 0.9), greater=st.booleans())
def test_the_e_process_is_its_definition(seed, share, greater):
    rng = np.random.default_rng(seed)
    arms, y, path = rng.integers(0, 2, 60), rng.integers(0, 2, 60).astype(float), np.empty(60)
    label_path(arms, y, np.array([[1 - share, share]]), 2, greater, path)
    assert np.exp(path) == pytest.approx(plain_e_process(arms, y, [1 - share, share], greater), rel=1e-9)


def test_one_step_of_the_e_process_is_fair_when_the_arms_are_equal():
    """E[factor] = 1 under the hypothesis, exactly, after any past (both sides); at most 1 when B is worse (one side)."""
    from ailys.bandits._evidence_kernels import log_factor

    rng = np.random.default_rng(0)
    for _ in range(200):
        n = rng.integers(0, 50, 2).astype(float)
        s = np.floor(n * rng.random(2))
        share, p, drop = rng.uniform(0.05, 0.95), rng.random(), rng.random()
        chances = np.array([1 - share, share])
        for greater in (False, True):
            for worse in (0.0, drop):
                if worse and not greater:
                    continue
                mean = sum(
                    chances[a] * w * math.exp(log_factor(a, float(y), chances, n, s, greater))
                    for a in (0, 1)
                    for q in [p if a == 0 else p * (1 - worse)]
                    for y, w in ((1, q), (0, 1 - q))
                )
                assert mean <= 1 + 1e-12
                if not worse:
                    assert mean == pytest.approx(1)


@pytest.mark.parametrize(
    ("means", "share", "greater"),
    [((0.1, 0.1), 0.5, False), ((0.5, 0.5), 0.5, False), ((0.3, 0.3), 0.8, False), ((0.1, 0.1), 0.0, False),
     ((0.1, 0.1), 0.5, True), ((0.12, 0.1), 0.0, True)],
)  # fmt: skip
def test_looking_after_every_trial_does_not_inflate_the_error(means, share, greater):
    # share 0 is an adaptive allocation; 1000 tests of 5000 trials; false alarm 1e-6 each
    runs = [trial_until(np.array(means), share, 0.1, 0.05, greater, key, 5000)[1] for key in keys(1000)]
    assert clopper_pearson(sum(runs), 1000, 1 - 1e-6)[0] <= 0.05


def test_a_z_test_that_is_watched_errs_half_the_time():
    wrong = sum(z_test_rejects(np.array([0.1, 0.1]), key, 20, 5000, 1.96) for key in keys(1000))
    assert clopper_pearson(wrong, 1000, 1 - 1e-6)[0] > 0.4


@pytest.mark.parametrize(("means", "expected"), [((0.1, 0.15), 1854), ((0.05, 0.06), 25713), ((0.5, 0.6), 1135)])
def test_sample_sizes_of_the_specification(means, expected):
    plan = plan_ab_test(means[0], means[1] - means[0], rng=3)
    assert plan.mean_n == pytest.approx(expected, rel=0.15)  # standard errors of 3 % on both sides
    assert plan.fixed_n == pytest.approx({1854: 1364, 25713: 16292, 1135: 768}[expected], rel=0.005)
    assert plan.guarantee.level == 0.05


def test_intervals_of_the_specification():
    for (s, n), expected in {
        (27, 100): (0.142278, 0.430475),
        (0, 20): (0, 0.224006),
        (500, 1000): (0.442418, 0.557582),
    }.items():
        assert confidence_sequence(s, n, 0.05) == pytest.approx(expected, abs=1e-6)
    low, high = confidence_sequence(np.array([1, 2, 2]), np.array([1, 2, 3]), 0.05, running=True)
    assert (np.diff(low) >= 0).all()
    assert (np.diff(high) <= 0).all()
    low, high = confidence_sequence(10.0, 100, 0.05, "gaussian(2)")
    assert (low + high) / 2 == pytest.approx(0.1)


@pytest.mark.parametrize("effect", ["difference", "ratio", "odds-ratio"])
def test_effect_intervals_hold_at_all_times(effect):
    """Coverage over 600 trials watched at each; 300 runs, false alarm 1e-6."""
    rng, p, q, alpha = np.random.default_rng(0), 0.2, 0.5, 0.2
    truth = {"difference": q - p, "ratio": q / p, "odds-ratio": q * (1 - p) / (p * (1 - q))}[effect]
    code = {"difference": 0, "ratio": 1, "odds-ratio": 2}[effect]
    from ailys.bandits import mixture_log_regret

    misses = 0
    for _ in range(300):
        a, b = np.cumsum(rng.random(300) < p), np.cumsum(rng.random(300) < q)
        n = np.arange(1, 301)
        level = math.log(1 / alpha) + mixture_log_regret(a, n) + mixture_log_regret(b, n)
        cost = [profile(code, truth, float(m), a[m - 1] / m, float(m), b[m - 1] / m) for m in n]
        misses += bool((np.array(cost) > level).any())
    assert clopper_pearson(misses, 300, 1 - 1e-6)[0] <= alpha


@settings(max_examples=60, deadline=None)
@given(a=st.tuples(st.integers(0, 40), st.integers(1, 40)), b=st.tuples(st.integers(0, 40), st.integers(1, 40)))
def test_effect_intervals_are_the_effects_of_plausible_pairs(a, b):
    a, b = (min(a), max(a)), (min(b), max(b))
    from ailys.bandits import kl_divergence, mixture_log_regret

    grid = (np.arange(400) + 0.5) / 400
    cost = a[1] * kl_divergence(a[0] / a[1], grid)[:, None] + b[1] * kl_divergence(b[0] / b[1], grid)[None]
    inside = cost <= math.log(20) + mixture_log_regret(*a) + mixture_log_regret(*b)
    P, Q = np.meshgrid(grid, grid, indexing="ij")
    for effect, values in {"difference": Q - P, "ratio": Q / P, "odds-ratio": Q * (1 - P) / (P * (1 - Q))}.items():
        low, high = effect_interval(a, b, 0.05, effect)
        plausible = values[inside]
        assert low <= plausible.min() + 1e-9
        assert high >= plausible.max() - 1e-9
        if effect == "difference":
            assert plausible.min() - low < 0.01
            assert high - plausible.max() < 0.01


def test_thompsons_probability():
    assert prob_best([(5, 7), (9, 4)])[1] == pytest.approx(0.926436936, abs=5e-10)
    rng = np.random.default_rng(0)
    for posteriors in (
        [(5.5, 7), (9.25, 4)],
        [(2, 3), (4, 4), (1, 1)],
        [(2000.5, 3000), (2100, 3000)],
        [(1, 1000), (0.7, 2)],
    ):
        found = prob_best(posteriors)
        draws = np.array([rng.beta(a, b, 400_000) for a, b in posteriors])
        share = np.bincount(draws.argmax(axis=0), minlength=len(posteriors)) / 400_000
        assert found == pytest.approx(share, abs=0.005)  # six standard deviations
        assert found.sum() == pytest.approx(1)
    assert prob_best([(5, 7), (9, 4)]) == pytest.approx(prob_best([(5, 7), (9.0000001, 4)]), abs=1e-6)


def test_a_trial_that_adapts_sends_more_patients_to_the_better_arm():
    test, rng = ABTest(["placebo", "drug"], ThompsonTrial(), rng=0), np.random.default_rng(1)
    for _ in range(400):
        arm = test.assign()
        test.record(arm, int(rng.random() < {"placebo": 0.2, "drug": 0.6}[arm]))
    assert test.counts[1] > 300
    assert test.decision == "reject"
    low, high = test.confidence_sequence()
    assert low < 0.4 < high
    assert test.confidence_sequence("ratio")[0] > 1
    result = test.result()
    assert result.guarantee.kind == "anytime-alpha"
    assert result.effect_interval == (low, high)


def test_late_outcomes_wait_for_their_turn():
    rng = np.random.default_rng(0)
    outcomes = {t: int(rng.random() < 0.5) for t in range(1, 61)}
    evidence = []
    for order in (range(1, 61), rng.permutation(np.arange(1, 61))):
        test = ABTest(rng=5)
        arms = dict(enumerate(test.assign(60), 1))
        for trial in order:
            test.record(arms[trial], outcomes[trial], int(trial))
        evidence.append((test.e_value, test.p_value, test.confidence_sequence()))
    assert evidence[0] == evidence[1]
    test = ABTest(rng=5)
    arms = test.assign(2)
    test.record(arms[1], 1, 2)
    assert test.e_value == 1
    assert "1 outcomes wait" in test.result().summary()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), adaptive=st.booleans())
def test_a_stored_trial_goes_on_as_if_nothing_had_happened(seed, adaptive):
    tests = [ABTest(["a", "b"], allocator=ThompsonTrial() if adaptive else None, rng=seed)]
    rng = np.random.default_rng(seed)
    for step in range(50):
        if step == 20:
            tests.append(Agent.from_json(tests[0].to_json()))
        asked = {test.assign() for test in tests}
        assert len(asked) == 1
        y = int(rng.random() < 0.4)
        if step % 4:
            for test in tests:
                test.record(next(iter(asked)), y, test.last_trial)
    assert tests[0].e_value == tests[1].e_value
    one, two = (json.loads(test.to_json()) | {"revision": 0, "checksum": ""} for test in tests)
    assert one == two


def test_data_give_the_same_evidence_as_the_running_test(tmp_path):
    test, rng = ABTest(["a", "b"], allocator=ThompsonTrial(), rng=0), np.random.default_rng(0)
    rows = []
    for _ in range(150):
        arm = test.assign()
        y = int(rng.random() < (0.3 if arm == "a" else 0.5))
        rows.append((arm, y, test.pending[test.last_trial][1]))
        test.record(arm, y)
    frame = pd.DataFrame(rows, columns=["arm", "y", "pi"])
    path = tmp_path / "t.csv"
    frame.to_csv(path, index=False)
    for data in (frame, path, str(path)):
        result = ab_test(data, "arm", "y", propensity="pi")
        assert result.e_value == pytest.approx(max(test.result().e_value, 1), rel=1e-9)
        assert result.effect_interval == pytest.approx(test.confidence_sequence())
    shuffled = frame.assign(when=range(150)).sample(frac=1, random_state=0)
    assert ab_test(shuffled, "arm", "y", propensity="pi", order="when").p_value == pytest.approx(result.p_value)


def test_totals_are_enough_for_a_weaker_test():
    result = ab_test(counts={"bed rest": (17, 52), "streptomycin": (38, 55)})
    assert result.effect == pytest.approx(38 / 55 - 17 / 52)
    assert "order of the trials is unknown" in result.summary()
    assert ab_test(counts={"bed rest": (17, 52), "streptomycin": (38, 55)}, alternative="greater").p_value < 0.07
    assert ab_test(counts={"a": (380, 550), "b": (170, 520)}, alternative="greater").p_value == 1
    assert ab_test(counts={"a": (170, 520), "b": (380, 550)}).decision == "reject"
    assert result.fixed_sample["p_value_fisher"] == pytest.approx(scipy.stats.fisher_exact([[17, 35], [38, 17]]).pvalue)


def test_categories_and_numbers():
    rng = np.random.default_rng(0)
    arm = rng.choice(["x", "y"], 600)
    words = np.where(rng.random(600) < np.where(arm == "x", 0.2, 0.6), "well", rng.choice(["ill", "worse"], 600))
    result = ab_test(pd.DataFrame({"arm": arm, "state": words}), "arm", "state")
    assert result.decision == "reject"
    assert "ill, well, worse" in result.method
    same = ab_test(pd.DataFrame({"arm": arm, "score": rng.random(600)}), "arm", "score")
    assert same.decision == "continue"
    three = ab_test(pd.DataFrame({"arm": rng.choice(["a", "b", "c"], 300), "y": rng.integers(0, 2, 300)}), "arm", "y")
    assert three.effect is None
    assert len(three.intervals) == 3


def write(tmp_path, text):
    path = tmp_path / "data.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("", {}, "empty"),
        ("arm,y\n", {}, "no trials"),
        ("arm,z\na,1\n", {}, "no column 'y'"),
        ("arm,y,y\na,1,1\n", {}, "two columns"),
        ("arm,y\na,1\nb\n", {}, "line 3: 1 cells"),
        ("arm,y\na,1\nb,\na,nan\n", {}, "lines 3, 4"),
        ("arm,y\na,1\nb,2\n", {}, "line 3: outcomes must lie"),
        ("arm,y\na,1\nb,maybe\n", {}, "line 3: 'maybe' among numbers"),
        ("arm,y\na,1\na,0\n", {}, "all trials have the arm"),
        ("arm,y\na,1\n,0\nb,1\n", {}, "no arm in line 3"),
        ('arm,y\na,"1\nb,0\n', {}, "line"),
        ("arm,y,p\na,1,0.5\nb,1,0\n", {"propensity": "p"}, "line 3: propensities"),
        ("arm,y\na,1\nb,0\n", {"propensity": 1.5}, "must be positive and sum to 1"),
        ("arm,y\na,1\nb,0\nc,1\n", {"propensity": 0.5}, "one probability describes two arms"),
        ("arm,y\na,1\nb,0\n", {"propensity": {"a": 0.5, "b": 0.25, "c": 0.25}}, "no trial of the arms c"),
        ("arm,y\na,1\nb,0\n", {"propensity": {"a": 1.0}}, "says nothing of the arms b"),
        (
            "arm,y,p,q\na,1,.5,.6\nb,0,.5,.5\n",
            {"propensity": {"a": "p", "b": "q"}},
            "line 2: the propensities do not sum",
        ),
        ("arm,y\na,1\nb,0\n", {"control": "z"}, "control 'z'"),
        ("arm,y\na,1\nb,0\n", {"alpha": 2}, "alpha must lie"),
        ("arm,y\na,1\nb,0\n", {"alternative": "less"}, "alternative must be"),
        ("arm,y\na,.1\nb,0\n", {"alternative": "greater"}, "needs two arms and outcomes 0 and 1"),
        ("arm,y,t\na,1,\nb,0,2\n", {"order": "t"}, "no value of 't' in line 2"),
    ],
)
def test_faults_in_data_are_named_with_their_line(tmp_path, text, options, said):
    with pytest.raises(ValueError, match=said):
        ab_test(write(tmp_path, text), "arm", "y", **options)


def test_missing_outcomes_can_be_left_out_and_it_is_said(tmp_path):
    result = ab_test(write(tmp_path, "arm,y\na,1\nb,\na,0\nb,yes\n"), "arm", "y", skip_missing=True)
    assert "1 trials without outcome" in result.summary()
    assert result.counts == {"a": (1.0, 2), "b": (1.0, 1)}


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda: ab_test(), "either data"),
        (lambda: ab_test("x.csv"), "names of two columns"),
        (lambda: ab_test(counts={"a": (1, 2)}), "at least two arms"),
        (lambda: ab_test(counts={"a": (3, 2), "b": (0, 1)}), "arm 'a' needs"),
        (lambda: ab_test(counts={"a": (0, 0), "b": (0, 1)}), "arm 'a' needs"),
        (lambda: ABTest(["a", "b"], 0.0), "must be positive"),
        (lambda: ABTest(["a", "b"], [0.5, 0.6]), "sum to 1"),
        (lambda: ABTest(["a", "b", "c"], alternative="greater"), "two arms"),
        (lambda: ABTest(["a", "b"], 0.5, allocator=ThompsonTrial()), "not both"),
        (lambda: ABTest(["a", "b"], family="poisson"), "outcomes 0 and 1"),
        (lambda: ABTest(rng=0).confidence_sequence("sum"), "effect must be|at least one"),
        (lambda: ThompsonTrial((0.5, 0.4)), "clip must hold"),
        (lambda: prob_best([(1, 1)]), "at least two arms"),
        (lambda: prob_best([(1, 1), (0, 1)]), "positive"),
        (lambda: confidence_sequence(1, 0), "at least one observation"),
        (lambda: confidence_sequence(1, 2, running=True), "needs a path"),
        (lambda: effect_interval((1, 2), (3, 2)), "each arm needs"),
        (lambda: plan_ab_test(0.1, 0), "lift not be 0"),
        (lambda: plan_ab_test(1.1, 0.1), "baseline must"),
        (lambda: plan_ab_test(0.1, -0.05, alternative="greater"), "positive lift"),
    ],
)
def test_wrong_arguments_are_named(work, said):
    with pytest.raises(ValueError, match=said):
        work()
