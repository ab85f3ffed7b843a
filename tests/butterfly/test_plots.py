"""Figures show the numbers of the answers."""

import numpy as np

from ailys.butterfly import Chain, butterfly, pareto_chains
from ailys.butterfly.plots import plot_overview


def test_the_chain_is_drawn_with_every_factor():
    ax = Chain.dyadic(16).plot()
    assert len(ax.images) == 4
    assert [text.get_text() for text in ax.texts] == [str(tuple(p)) for p in Chain.dyadic(16)]


def test_the_certificate_shows_error_and_bound():
    answer = butterfly(np.random.default_rng(0).standard_normal((16, 16)), "dyadic")
    ax = answer.plot()
    heights = [bar.get_height() for bar in ax.patches]
    assert np.allclose(heights, answer.split_errors / answer.norm)
    levels = [line.get_ydata()[0] for line in ax.lines]
    assert np.isclose(levels[0], answer.relative_error)
    assert np.isclose(levels[1], answer.lower_bound / answer.norm)
    assert len(plot_overview(answer).figure.axes) == 2


def test_the_front_marks_the_best_chain():
    front = pareto_chains(np.random.default_rng(0).standard_normal((8, 8)), budget=0.9)
    ax = front.plot()
    marked = ax.lines[-2]
    assert (marked.get_xdata()[0], marked.get_ydata()[0]) == (front.n_params[-1], front.relative_errors[-1])


def test_figures_go_on_axes_that_are_given():
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    assert Chain.monarch(16).plot(ax) is ax
