"""Figures draw what they are given, and refuse what cannot be drawn."""

import numpy as np
import pytest

from ailys.bandits import (
    UCB,
    Arms,
    DTracking,
    ab_test,
    discover,
    maximize,
    oracle_weights,
    run,
    simulate,
    simulate_identification,
)
from ailys.bandits.plots import plot_graph


def test_every_answer_draws_itself(tmp_path):
    import pandas as pd

    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"arm": rng.choice(["a", "b"], 60), "y": rng.integers(0, 2, 60)})
    agent = run(DTracking(3, rng=0), Arms([0.9, 0.4, 0.2], rng=0), 500).agent
    answers = {
        "regret": simulate({"ucb": UCB}, [0.2, 0.5], 50, 3, rng=0),
        "times": simulate_identification({"d": DTracking}, [0.9, 0.2], 0.1, n_replicates=3, rng=0),
        "weights": oracle_weights([0.5, 0.4, 0.3]),
        "evidence": ab_test(frame, "arm", "y"),
        "totals": ab_test(counts={"a": (3, 9), "b": (5, 9)}),
        "found": discover([lambda g: int(g.integers(9))], bool, budget=20, rng=0),
        "line": maximize(lambda x: -(x**2), (-1, 1), "doo", budget=20, lipschitz=2.0),
        "plane": maximize(lambda x: -float(x @ x), [(-1, 1), (-1, 1)], "soo", budget=30),
    }
    for name, answer in answers.items():
        ax = answer.plot()
        ax.figure.savefig(tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 2000
    bars = agent.result().plot(weights=agent.oracle())
    assert len(bars.patches) == 6
    heights = [bar.get_height() for bar in bars.patches]
    assert sum(heights[:3]) == pytest.approx(1)
    assert sum(heights[3:]) == pytest.approx(1)


def test_the_curve_of_the_regret_is_its_mean():
    result = simulate({"ucb": UCB}, [0.2, 0.5], 50, 5, rng=0)
    ax = result.plot()
    assert np.array_equal(ax.lines[0].get_ydata(), result.mean[0])
    assert np.array_equal(ax.lines[1].get_ydata(), result.lower_bound)


def test_a_graph_is_drawn_with_its_edges():
    W = np.diag(np.ones(4), 1) + np.diag(np.ones(4), -1)
    ax = plot_graph(W, np.arange(5.0), np.arange(5))
    assert len(ax.collections[0].get_segments()) == 4


def test_what_cannot_be_drawn_is_said():
    with pytest.raises(ValueError, match="one problem at a time"):
        oracle_weights([[0.5, 0.4], [0.3, 0.2]]).plot()
    with pytest.raises(ValueError, match="one or two numbers"):
        maximize(lambda x: 0.0, [(0, 1)] * 3, "soo", budget=3).plot()
