"""Reading columns: what is wrong is said in a sentence, what the file holds is not."""

from __future__ import annotations

import decimal
import traceback

import numpy as np
import pytest

from ailys.privacy.readers import Column, fingerprint, load_labels, load_persons, load_values

SECRET = "Zaphod-4242"


def write(tmp_path, text, name="d.csv", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


def test_numbers_and_holes_are_read(tmp_path):
    path = write(tmp_path, "id,los\na,1\nb,\nc,2.5\n\nd,NA\n")
    np.testing.assert_array_equal(load_values(Column(path, "los")), [1, np.nan, 2.5, np.nan])
    assert list(load_persons(Column(path, "los"), "id")) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_other_separators_and_a_byte_order_mark_are_understood(tmp_path, separator):
    path = write(tmp_path, f"\ufeffa{separator}b\n1{separator}2\n3{separator}4\n")
    np.testing.assert_array_equal(load_values(Column(path, "a")), [1, 3])


def test_a_table_without_lines_is_a_data_set_of_size_zero(tmp_path):
    assert load_values(Column(write(tmp_path, "a,b\n"), "a")).shape == (0,)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"los\n1\n{SECRET}\n", "not a number"),
        ("", "is empty"),
        ("\n\n", "is empty"),
        (f"other\n{SECRET}\n", "no column named 'los'"),
        (f"{SECRET},x\n1,2\n", "no column named 'los'"),
        (f"los,los\n1,{SECRET}\n", "more than one column"),
        (f"los,b\n1,2\n3,4,{SECRET}\n", "another number of fields"),
        (f'los,b\n1,"{SECRET}\n', "comma-separated"),
        ("los\n1,5\n", "another number of fields"),
    ],
)
def test_wrong_files_are_refused_without_quoting_them(tmp_path, text, words):
    with pytest.raises(ValueError, match=words) as fault:
        load_values(Column(write(tmp_path, text), "los"))
    shown = "".join(traceback.format_exception(fault.value))
    assert SECRET not in shown
    assert fault.value.__context__ is None or SECRET not in str(fault.value.__context__)


def test_binary_and_other_encodings_are_refused(tmp_path):
    path = tmp_path / "d.csv"
    path.write_bytes(b"los\n\xff\xfe\x00\n")
    with pytest.raises(ValueError, match="UTF-8"):
        load_values(Column(path, "los"))


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_values(Column(tmp_path / "x.csv", "a"))
    with pytest.raises(ValueError, match="folder"):
        load_values(Column(tmp_path, "a"))


def test_parquet_columns_are_read_and_wrong_ones_refused(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = arrow.table(
        {
            "i": [1, None, 3],
            "f": [0.5, 1.5, float("nan")],
            "s": [SECRET, "b", "c"],
            "d": [decimal.Decimal("1.25"), None, decimal.Decimal("2.00")],
            "l": [[1], [2], [3]],
        }
    )
    path = tmp_path / "d.parquet"
    parquet.write_table(table, path)
    np.testing.assert_array_equal(load_values(Column(path, "i")), [1, np.nan, 3])
    np.testing.assert_array_equal(load_values(Column(path, "f")), [0.5, 1.5, np.nan])
    np.testing.assert_array_equal(load_values(Column(path, "d")), [1.25, np.nan, 2])
    assert list(load_labels(Column(path, "s"))) == [SECRET, "b", "c"]
    for name, words in (("s", "not of numbers"), ("l", "not of numbers"), ("x", "no column")):
        with pytest.raises(ValueError, match=words) as fault:
            load_values(Column(path, name))
        assert SECRET not in "".join(traceback.format_exception(fault.value))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="not a Parquet file"):
        load_values(Column(path, "i"))


@pytest.mark.parametrize(
    "x",
    [
        ["1", SECRET],
        [[1, 2], [3, 4]],
        [1, [2]],
        3.0,
        np.array([1 + 2j]),
        np.array(["2020-01-01"], dtype="datetime64[D]"),
        [1, SECRET],
        [object()],
    ],
)
def test_arrays_that_are_no_column_of_numbers_are_refused_without_quoting_them(x):
    with pytest.raises(ValueError) as fault:
        load_values(x)
    assert SECRET not in "".join(traceback.format_exception(fault.value))


def test_a_text_in_place_of_data_is_refused():
    with pytest.raises(TypeError, match="Column"):
        load_values("d.csv")


def test_array_likes_are_taken():
    pandas = pytest.importorskip("pandas")
    np.testing.assert_array_equal(load_values([1, None, 3]), [1, np.nan, 3])
    np.testing.assert_array_equal(load_values(np.ma.array([1, 2], mask=[0, 1])), [1, np.nan])
    np.testing.assert_array_equal(load_values(pandas.Series([1, None, 3], dtype="Int64")), [1, np.nan, 3])
    np.testing.assert_array_equal(load_values(np.array([True, False])), [1, 0])
    assert list(load_labels(pandas.Series(["a", None, " b "]))) == ["a", "", "b"]


def test_persons_need_names(tmp_path):
    with pytest.raises(ValueError, match="empty entries"):
        load_persons([1, 2], ["a", ""])
    with pytest.raises(TypeError, match="name of a column"):
        load_persons(Column(tmp_path / "d.csv", "a"), [1])
    assert load_persons([1], None) is None


def test_the_fingerprint_depends_on_path_and_name_and_not_on_content(tmp_path):
    path = write(tmp_path, "a,b\n1,2\n")
    first = fingerprint(Column(path, "a"))
    path.write_text("a,b\n7,8\n")
    assert fingerprint(Column(path, "a")) == first
    assert fingerprint(Column(path, "b")) != first
    assert len(first) == 64
