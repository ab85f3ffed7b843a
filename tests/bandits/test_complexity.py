"""Oracle weights against published values, closed forms, general solvers and invariances."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from ailys.bandits import characteristic_time, oracle_weights, sample_lower_bound
from ailys.bandits._weights_kernels import pair_cost
from ailys.bandits.families import as_family

FIRST, SECOND = [0.5, 0.45, 0.43, 0.4], [0.3, 0.21, 0.2, 0.19, 0.18]


def test_published_weights_and_times():
    first, second = oracle_weights(FIRST), oracle_weights(SECOND)
    assert first.weights == pytest.approx([0.417, 0.390, 0.136, 0.057], abs=5e-4)
    assert second.weights == pytest.approx([0.336, 0.251, 0.177, 0.132, 0.104], abs=5e-4)
    assert first.T_star == pytest.approx(989.792140, abs=5e-7)
    assert second.T_star == pytest.approx(326.642112, abs=5e-7)
    assert sample_lower_bound(first.T_star, 0.1) == pytest.approx(1739.84, abs=5e-3)
    assert first.lower_bound(0.1) == sample_lower_bound(first.T_star, 0.1)
    assert first.guarantee.level == first.T_star


def test_values_for_answers_within_epsilon():
    gaussian = oracle_weights([1, 0.85, 0.8, 0.7], "gaussian", epsilon=0.1)
    assert gaussian.T_star == pytest.approx(176.715266, abs=5e-7)
    assert gaussian.weights == pytest.approx([0.392971, 0.335837, 0.184929, 0.086263], abs=1e-6)
    bernoulli = oracle_weights(FIRST, epsilon=0.02)
    assert bernoulli.T_star == pytest.approx(535.60960, abs=5e-5)
    assert bernoulli.weights == pytest.approx([0.40112, 0.36108, 0.16100, 0.07680], abs=1e-5)


def test_two_gaussian_arms_have_a_closed_form():
    answer = oracle_weights([1.0, 0.5], "gaussian(2)")
    assert answer.T_star == pytest.approx(8 * 4 / 0.25)
    assert answer.weights == pytest.approx([0.5, 0.5])


def test_equal_rivals_get_equal_weights():
    assert np.ptp(oracle_weights([0.7, 0.3, 0.3, 0.3]).weights[1:]) < 1e-15


@pytest.mark.parametrize("family", ["bernoulli", "poisson", "exponential", "gaussian(0.7)", "bounded(-1,3)"])
@pytest.mark.parametrize("epsilon", [0.0, 0.05])
def test_weights_equalise_the_evidence_and_no_other_weights_do_better(family, epsilon):
    rng = np.random.default_rng(3)
    if family == "exponential" and epsilon:
        pytest.skip("refused")
    for _ in range(40):
        means = rng.uniform(0.05, 0.95, rng.integers(2, 8))
        answer = oracle_weights(means, family, epsilon)
        # certificate: the value at the weights is the value claimed
        assert answer.objective * answer.T_star == pytest.approx(1, rel=1e-10)
        kind = as_family(family)
        unit, eps = kind.to_unit(means), epsilon / kind.scale

        def value(w, unit=unit, eps=eps, kind=kind, best=answer.best):
            costs = [
                pair_cost(w[best], unit[best], w[j], unit[j], eps, kind.code, kind.sigma)
                for j in range(len(w))
                if j != best
            ]
            return min(costs)

        for _ in range(20):  # the objective is concave: a better point would show near by too
            direction = rng.dirichlet(np.ones(len(means)))
            for step in (1e-3, 0.1, 1.0):
                rival = (1 - step) * answer.weights + step * direction
                assert value(rival) <= answer.objective * (1 + 1e-10)


def test_weights_agree_with_a_general_solver():
    means = np.array([0.6, 0.5, 0.45, 0.2])
    answer = oracle_weights(means)

    def slack(x):
        return np.array([pair_cost(x[0], means[0], x[j], means[j], 0.0, 0, 1.0) for j in (1, 2, 3)]) - x[4]

    found = minimize(
        lambda x: -x[4], [0.25] * 4 + [1e-4], method="SLSQP", bounds=[(1e-6, 1)] * 4 + [(0, 1)],
        constraints=[{"type": "ineq", "fun": slack}, {"type": "eq", "fun": lambda x: x[:4].sum() - 1}],
        options={"ftol": 1e-16, "maxiter": 500},
    )  # fmt: skip
    assert answer.objective >= found.x[4] * (1 - 1e-7)
    assert answer.weights == pytest.approx(found.x[:4], abs=2e-3)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), shift=st.floats(-5, 5), scale=st.floats(0.1, 10))
def test_gaussian_times_do_not_depend_on_origin_and_scale_with_the_square(seed, shift, scale):
    means = np.random.default_rng(seed).uniform(0, 1, 5)
    one, two = oracle_weights(means, "gaussian"), oracle_weights(scale * means + shift, "gaussian")
    assert two.T_star == pytest.approx(one.T_star / scale**2, rel=1e-6)
    assert two.weights == pytest.approx(one.weights, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_the_arms_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    means, order = rng.uniform(0.05, 0.95, 6), rng.permutation(6)
    assert oracle_weights(means[order]).weights == pytest.approx(oracle_weights(means).weights[order], abs=1e-9)


def test_the_time_of_another_answer_is_not_smaller_than_that_found():
    means = [0.5, 0.495, 0.3]
    assert characteristic_time(means, epsilon=0.05) < characteristic_time(means)


def test_pair_costs_are_minima():
    rng = np.random.default_rng(1)
    for family in ("bernoulli", "poisson"):
        kind = as_family(family)
        from ailys.bandits import kl_divergence

        for _ in range(30):
            p, q = rng.uniform(0.1, 0.9, 2)
            eps, n, m = rng.uniform(0, 0.3), *rng.integers(1, 50, 2)
            if q >= p + eps:
                continue
            grid = np.linspace(1e-6, (1 - eps if family == "bernoulli" else 1.0) - 1e-6, 20001)
            brute = (n * kl_divergence(p, grid, family) + m * kl_divergence(q, grid + eps, family)).min()
            assert pair_cost(float(n), p, float(m), q, eps, kind.code, 1.0) == pytest.approx(brute, rel=1e-4, abs=1e-7)


def test_a_batch_gives_the_same_as_its_rows_and_a_thousand_arms_are_solved():
    rng = np.random.default_rng(0)
    batch = rng.uniform(0.1, 0.9, (2, 3, 5))
    answer = oracle_weights(batch)
    assert answer.weights.shape == (2, 3, 5)
    assert answer.weights[1, 2] == pytest.approx(oracle_weights(batch[1, 2]).weights)
    large = oracle_weights(rng.uniform(0.1, 0.8, 1000))
    assert large.objective * large.T_star == pytest.approx(1, rel=1e-9)


def test_ties_take_forever_and_say_so():
    with pytest.warns(UserWarning, match="share the best mean"):
        answer = oracle_weights([0.5, 0.5, 0.1])
    assert answer.T_star == math.inf
    assert answer.weights.tolist() == [0.5, 0.5, 0.0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([0.5],), "at least two"),
        (([0.5, 1.5],), "must lie in"),
        (([0.5, 0.4], "bernoulli", -1), "epsilon must be"),
        (([0.5, 0.4], "exponential", 0.1), "not convex"),
        (([0.5, 0.4], "bernoulli", 1.0), "smaller than the range"),
    ],
)
def test_wrong_problems_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        oracle_weights(*arguments)


def test_delta_is_checked():
    for wrong in (0, 1, -0.1, 2, "a"):
        with pytest.raises(ValueError, match="delta must lie"):
            sample_lower_bound(1.0, wrong)


@pytest.mark.parametrize("means", [FIRST, [0.9, 0.85, 0.1, 0.6]])
@mpmath.workdps(25)
def test_weights_agree_with_a_solution_in_25_digits(means):
    """Theorem 5 of the paper by plain bisection in multiple precision."""
    mu = [mpmath.mpf(m) for m in means]  # the floats themselves
    best = means.index(max(means))
    rivals = [a for a in range(len(mu)) if a != best]

    def d(p, q):
        return p * mpmath.log(p / q) + (1 - p) * mpmath.log((1 - p) / (1 - q))

    def middle(y, a):
        low, high = mu[a], mu[best]
        for _ in range(80):
            m = (low + high) / 2
            above = d(mu[best], m) + (mu[best] - m) / (m - mu[a]) * d(mu[a], m) > y
            low, high = (m, high) if above else (low, m)
        return (low + high) / 2

    low, high = mpmath.mpf(0), min(d(mu[best], mu[a]) for a in rivals)
    for _ in range(75):
        y = (low + high) / 2
        total = sum(d(mu[best], m) / d(mu[a], m) for a in rivals for m in [middle(y, a)])
        low, high = (y, high) if total < 1 else (low, y)
    x = {a: (mu[best] - middle(y, a)) / (middle(y, a) - mu[a]) for a in rivals} | {best: mpmath.mpf(1)}
    scale = sum(x.values())
    answer = oracle_weights(means)
    assert answer.T_star == pytest.approx(float(scale / y), rel=1e-13)
    assert answer.weights == pytest.approx([float(x[a] / scale) for a in range(len(mu))], abs=1e-13)


def test_where_several_arms_are_right_only_the_asymptotic_bound_is_stated():
    one = oracle_weights([0.8, 0.5, 0.4], epsilon=0.1)
    two = oracle_weights([0.8, 0.75, 0.4], epsilon=0.1)
    assert (one.n_right, two.n_right) == (1, 2)
    assert "kl(delta, 1-delta)" in one.guarantee.statement
    assert "as delta goes to 0" in two.guarantee.statement
    batch = oracle_weights([[0.8, 0.5, 0.4], [0.8, 0.75, 0.4]], epsilon=0.1)
    assert batch.n_right.tolist() == [1, 2]
