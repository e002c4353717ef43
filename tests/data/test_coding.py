"""Values of a column, and the refusal of what is no grouping."""

import pyarrow as pa
import pytest

from equipoise.data.coding import codes, levels
from equipoise.errors import InputError, VocabularyError


def column(values):
    return pa.array(values, pa.large_string())


def test_too_many_levels():
    assert len(levels("a", column([f"v{i}" for i in range(200)]))) == 200
    with pytest.raises(InputError, match=r"'a' has 201 different values, as v0, v1, v2 and 198 more; at most 200"):
        levels("a", column([f"v{i}" for i in range(201)]))


def test_a_measurement_is_no_grouping():
    with pytest.raises(InputError, match="a measurement, not a grouping. Bin it"):
        levels("age", column([str(i + 0.5) for i in range(11)]))
    assert levels("age", column([str(i) for i in range(90)])) == tuple(str(i) for i in range(90))
    assert levels("score", column(["0.5", "1.5"])) == ("0.5", "1.5")


def test_twins_are_refused_with_both_lines():
    with pytest.raises(VocabularyError, match=r"'Male' \(lines 2, 4\) and 'male ' \(line 3\)"):
        levels("g", column(["Male", "male ", "Male"]), [2, 3, 4], "line")


def test_a_column_without_values():
    with pytest.raises(InputError, match="'g' has no value"):
        levels("g", column([None, ""]))


def test_many_undeclared_values_are_bounded():
    with pytest.raises(VocabularyError) as caught:
        codes("g", column([f"v{i}" for i in range(1000)]), ("a",), ())
    assert "And 995 more." in str(caught.value)
    assert len(str(caught.value)) < 500


def test_composed_and_decomposed_accents_are_twins() -> None:
    import pyarrow as pa

    from equipoise.data.coding import levels
    from equipoise.errors import InputError

    with pytest.raises(InputError, match="differ only in case, spaces or how accents are composed"):
        levels("country", pa.array(["Per\u00fa", "Peru\u0301", "Chile"]))
