"""Formats against their definitions and against the types of NumPy, ml_dtypes and torch."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ailys.quantization import BitCount, Codebook, FloatFormat, IntFormat, round_to_format
from ailys.quantization.formats import as_format, format_from_dict

from .conftest import round_t

FINITE = st.floats(allow_nan=False, allow_infinity=False, max_value=1e300, min_value=-1e300)
TYPES = ["bfloat16", "float16", "float8_e4m3fn", "float8_e5m2", "float8_e3m4", "float6_e3m2fn", "float6_e2m3fn",
         "float4_e2m1fn", "float8_e4m3", "float8_e4m3fnuz", "float8_e4m3b11fnuz", "float8_e5m2fnuz"]  # fmt: skip


@given(FINITE, st.integers(1, 53))
def test_rounding_is_that_of_the_definition(v, t):
    got = float(round_to_format(np.array([v]), FloatFormat(t))[0])
    if t == 1:  # both neighbours of a tie have the significand 1
        assert abs(got - v) == abs(round_t(v, t) - v)
    else:
        assert got == round_t(v, t)


@given(FINITE, st.integers(1, 24))
def test_rounding_errs_by_half_a_unit_at_most(v, t):
    got = float(round_to_format(np.array([v]), FloatFormat(t))[0])
    u = 2.0**-t
    assert abs(got - v) <= u / (1 + u) * abs(v) * (1 + 1e-15) + 5e-324
    assert round_to_format(np.array([got]), FloatFormat(t))[0] == got


def test_subnormal_numbers_are_rounded_too():
    assert round_to_format(np.array([5e-324, 3 * 5e-324]), FloatFormat(1)).tolist() == [5e-324, 4 * 5e-324]


@pytest.mark.parametrize("name", TYPES)
def test_bounded_formats_are_those_of_ml_dtypes(name):
    kind = np.dtype(getattr(ml_dtypes, name, name))
    fmt = FloatFormat.from_dtype(name)
    assert fmt.bits == fmt.t + fmt.exponent_bits
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.standard_normal(2000) * 2.0 ** rng.integers(-20, 20, 2000), [0.0]])
    values = np.clip(values, -fmt.largest, fmt.largest)
    assert np.array_equal(fmt.nearest(values), values.astype(kind).astype(float))


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float4_e2m1fn", "float16"])
def test_levels_are_all_values_of_the_type(name):
    fmt = FloatFormat.from_dtype(name)
    kind = np.dtype(getattr(ml_dtypes, name, name))
    if name == "float4_e2m1fn":
        assert fmt.levels[fmt.levels >= 0].tolist() == [0, 0.5, 1, 1.5, 2, 3, 4, 6]
    else:
        store = np.uint16 if kind.itemsize == 2 else np.uint8
        every = np.arange(2 ** (8 * kind.itemsize)).astype(store).view(kind).astype(float)
        assert np.array_equal(fmt.levels, np.unique(every[np.isfinite(every)]))


def test_bounded_formats_saturate():
    assert round_to_format([1e6, -1e6], "e4m3").tolist() == [448, -448]
    assert round_to_format([1e6], FloatFormat(3, 4)).tolist() == [(2 - 2**-2) * 2.0**7]


def test_significant_bits_count_the_implicit_one():
    known = {"bfloat16": 8, "float16": 11, "float32": 24, "e4m3": 4, "e5m2": 3, "e3m2": 3, "e2m3": 4, "e2m1": 2}
    assert {name: FloatFormat.from_dtype(name).t for name in known} == known
    torch = pytest.importorskip("torch")
    assert FloatFormat.from_dtype(torch.bfloat16) == FloatFormat.from_dtype("bfloat16")
    assert FloatFormat.from_dtype(torch.float8_e4m3fn).t == 4
    assert FloatFormat.from_dtype(np.float16) == FloatFormat.from_dtype("half")


@given(st.lists(FINITE, min_size=2, max_size=20, unique=True), FINITE)
def test_a_codebook_gives_a_nearest_value(values, v):
    book = Codebook(values)
    if len(book.levels) > 1:
        got = book.nearest(np.array([v]))[0]
        assert abs(got - v) <= np.abs(book.levels - v).min() * (1 + 1e-12) + np.spacing(max(map(abs, values)) + abs(v))


def test_integer_grids():
    assert IntFormat(4).levels.tolist() == list(range(-7, 8))
    assert IntFormat(4, symmetric=False).levels[0] == -8
    assert round_to_format([0.4, 7.9, -100], IntFormat(4)).tolist() == [0, 7, -7]


def test_complex_numbers_are_rounded_part_by_part_and_types_are_kept():
    z = np.array([1.3 - 2.7j], np.complex64)
    assert round_to_format(z, 3).tolist() == [1.25 - 2.5j]
    assert round_to_format(z, 3).dtype == np.complex64
    assert round_to_format(np.float32([1.3]), 3).dtype == np.float32
    assert round_to_format([1, 2, 3], 1).dtype == np.float64


@pytest.mark.parametrize("fmt", [FloatFormat(3), FloatFormat.from_dtype("e4m3"), FloatFormat(3, 5), IntFormat(4),
                                 IntFormat(5, symmetric=False), Codebook([0.5, -1])])  # fmt: skip
def test_a_format_survives_its_description(fmt):
    again = format_from_dict(fmt.to_dict())
    assert again == fmt
    assert type(again) is type(fmt)
    assert np.array_equal(again.nearest(np.linspace(-9, 9, 50)), fmt.nearest(np.linspace(-9, 9, 50)))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: FloatFormat(0), "whole number from 1 to 53"),
        (lambda: FloatFormat(2.5), "whole number"),
        (lambda: FloatFormat(4, 1), "exponent_bits"),
        (lambda: IntFormat(1), "from 2 to 16"),
        (lambda: Codebook([1.0]), "at least two"),
        (lambda: Codebook([1.0, np.nan]), "finite"),
        (lambda: FloatFormat.from_dtype("int8"), "not a floating-point type"),
        (lambda: FloatFormat.from_dtype("float8_e8m0fnu"), "Codebook"),
        (lambda: as_format("e9m9"), "'e4m3'"),
        (lambda: as_format(None), "fmt must be"),
        (lambda: round_to_format([np.nan], 4), "NaN"),
        (lambda: round_to_format(["a"], 4), "numbers"),
        (lambda: round_to_format(np.float16([65504]), 4), "float64 first"),
    ],
)
def test_wrong_formats_get_a_sentence(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_bits_add_up():
    total = BitCount(1, 2, 3, 4) + BitCount(10, 20, 30, 40)
    assert (total.total, total.bytes, total.to_dict()["bytes"]) == (110, 14, 14)
