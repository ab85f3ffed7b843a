"""Figures and curves: drawn without a display, with the numbers that they claim."""

import numpy as np
import pytest

from ailys.quantization import precision_bits_curve, quantize_chain, quantize_rank_one
from ailys.quantization.formats import FloatFormat
from ailys.quantization.plots import errors_along

from .conftest import projected, relative


def test_the_best_scaling_is_the_lowest_point_drawn():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(4), rng.standard_normal(5)
    answer = quantize_rank_one(x, y, 4)
    errors = errors_along(x, y, FloatFormat(4), FloatFormat(4), np.linspace(1, 2, 4000))
    assert errors.min() >= answer.error - 1e-12
    hat = FloatFormat(4).nearest(1.3 * x)
    y_hat = FloatFormat(4).nearest(y * (x @ hat) / (hat @ hat))
    assert errors_along(x, y, FloatFormat(4), FloatFormat(4), [1.3])[0] == pytest.approx(
        relative(x, y, np.outer(hat, y_hat))
    )
    ax = answer.plot()
    assert ax.lines[0].get_ydata().min() >= answer.error - 1e-12
    with pytest.raises(ValueError, match="real"):
        quantize_rank_one([1j], [1j], 3).plot()


def test_chains_and_curves_are_drawn():
    factors = projected(16, 0)
    assert "entry by entry" in quantize_chain(factors, 4).plot().get_title()
    curve = precision_bits_curve(factors, (2, 3, 4, 5))
    assert len(curve.plot().lines) == 4
    assert curve.slope("rtn") == pytest.approx(-1, abs=0.2)
    assert curve.bits_saved(5, "beam") > 0.8
    assert 0 < curve.total_saved(5, "beam") < 0.5
    with pytest.raises(ValueError, match="rtn"):
        curve.bits_saved(9, "beam")


def test_a_curve_that_does_not_reach_the_error_says_nan():
    curve = precision_bits_curve(projected(16, 0), (5, 6), ("rtn", "left_to_right"))
    assert np.isnan(curve.bits_saved(5, "left_to_right"))
