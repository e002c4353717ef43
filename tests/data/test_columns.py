"""One column: text, ids, numbers."""

import numpy as np
import pyarrow as pa
import pytest

from equipoise.data.columns import Column, matches
from equipoise.errors import InputError


def column(values, kind=None):
    array = pa.chunked_array([pa.array(values, kind)])
    return Column(array, "c", np.arange(2, len(array) + 2), "line")


@pytest.mark.parametrize(
    ("values", "kind", "text"),
    [
        (["1", "1.0", " x ", None], pa.string(), ["1", "1.0", " x ", None]),
        ([1, None, 2**63 - 1], pa.int64(), ["1", None, str(2**63 - 1)]),
        ([1.0, 0.1, None, float("nan"), 1e16, -2.0], pa.float64(), ["1", "0.1", None, None, "10000000000000000", "-2"]),
        ([True, False, None], pa.bool_(), ["True", "False", None]),
        (["a", "b", "a"], pa.dictionary(pa.int8(), pa.string()), ["a", "b", "a"]),
        ([{"bytes": None, "path": "a.jpg"}], None, ["a.jpg"]),
    ],
)
def test_text(values, kind, text):
    assert column(values, kind).text().to_pylist() == text


@pytest.mark.parametrize(("values", "kind"), [([[1]], None), ([b"x"], None), ([{"a": 1}], None)])
def test_columns_that_are_no_text(values, kind):
    with pytest.raises(InputError, match="not text or numbers"):
        column(values, kind)


def test_ids_beyond_two_to_the_53_survive():
    ids = [9007199254740992, 9007199254740993]
    assert column(ids).ids().to_pylist() == [str(i) for i in ids]
    with pytest.raises(InputError, match=r"read as floats beyond 2\^53.*\(line 3: 9007199254740992.0\)"):
        column([1.0, 9007199254740993.0]).ids()


def test_ids_read_as_floats_are_whole():
    assert column([1.0, 20.0]).ids().to_pylist() == ["1", "20"]


def test_missing_ids_name_their_lines():
    with pytest.raises(InputError, match=r"no value where an id is needed \(lines 3, 4"):
        column(["a", None, ""]).ids()


def test_repeated_ids_name_both_lines_and_are_bounded():
    with pytest.raises(InputError, match=r"'a' \(lines 2, 4\), 'b' \(lines 3, 5\)\. Remove"):
        column(["a", "b", "a", "b", "c"]).ids()
    with pytest.raises(InputError, match="and 95 more ids") as caught:
        column([str(i % 100) for i in range(200)]).ids()
    assert len(caught.value.value) == 100


def test_numbers():
    assert column(["0.5", " 1e-3 ", "-2"]).numbers().tolist() == [0.5, 0.001, -2]
    assert np.isnan(column(["", None, "nan", "NaN"]).numbers()).all()
    assert column([1, 2]).numbers().dtype == np.float64
    assert column([True, False]).numbers().tolist() == [1, 0]


@pytest.mark.parametrize("bad", ["1,234", "abc", "inf", "-Infinity", "1_000", "0x10"])
def test_texts_that_are_no_number(bad):
    with pytest.raises(InputError, match=r"not finite numbers \(line 3"):
        column(["1", bad]).numbers()


def test_numbers_out_of_range():
    with pytest.raises(InputError, match="not finite numbers"):
        column([1.0, float("inf")]).numbers()
    with pytest.raises(InputError, match=r"holds numbers under 0 \(line 3: -1.0\)"):
        column([1.0, -1.0]).numbers(least=0.0)


def test_matches():
    text = pa.array(["a", None, "b", ""], pa.large_string())
    assert matches(text, "a").tolist() == [True, False, False, False]
    assert matches(text, ["a", "b"]).tolist() == [True, False, True, False]
    assert matches(text, "").tolist() == [False, False, False, True]
