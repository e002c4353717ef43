"""Layouts: bits, refusals, ids, and what a table asks for."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from equipoise import Vocabulary, read_samples
from equipoise.data.annotated import Annotation, read_annotation, with_annotation
from equipoise.data.cell_table import CellTable
from equipoise.data.layout import Layout, Variable
from equipoise.data.layout_of import columns_wanted, layout_of
from equipoise.data.packing import samples_table
from equipoise.errors import InputError, MissingColumnError, SchemaError, UnknownNameError, VocabularyError
from equipoise.mitigate.data.m4 import M4

TABLE = pa.table(
    {
        "gender": ["man", "woman", "man", None, "woman"],
        "race": ["b", "a", "c", "a", "b"],
        "y": [True, False, None, True, False],
        "n": [0, 1, 1, 0, 1],
        "age": [10, 20, 30, 20, 10],
        "s": [0.5, 0.25, 1.0, 0.0, 0.75],
        "tags": [["sea", "sky"], [], None, ["sky"], ["cat"]],
        "u": [0.5, 1.0, 0.5, 0.5, 1.0],
    }
)

# --------------------------------------------------------------------------------------------------------- layouts


def test_labels_come_first_then_attributes_then_the_utility():
    layout = layout_of(TABLE, ["gender", "n"], ["race", "y", "tags:sea"], utility="u")
    assert [bit.name for bit in layout.names] == [
        "race=a", "race=b", "race=c", "y", "tags=sea", "gender=man", "gender=woman", "n", "u#0", "u#1", "u#2", "u#3",
    ]  # fmt: skip
    assert [bit.bit for bit in layout.names] == list(range(12))
    assert {bit.role for bit in layout.names} == {"label", "attribute", "utility"}
    assert (layout.size, layout.words, layout.utility_bins) == (12, 1, (0.5, 1.0))
    assert layout.places("gender") == [5, 6]
    assert layout.vocabularies == {"gender": ("man", "woman"), "race": ("a", "b", "c"), "tags": ("cat", "sea", "sky")}
    assert layout.reasons[:3] == ("", "gender is unknown", "gender is outside its vocabulary")


def test_kinds():
    layout = layout_of(TABLE, "gender", ["y", "n", "age", "tags"], proxies="race:a")
    assert {v.name: v.kind for v in layout.variables} == {
        "gender": "values", "y": "flag", "n": "flag", "age": "values", "tags": "tags", "race": "values",
    }  # fmt: skip
    assert layout.variable("race").bits == ("a",)
    assert layout.variable("race").role == "proxy"
    assert layout.variable("age").values == ("10", "20", "30")
    assert layout_of(TABLE, "s").scores == ("s",)


def test_an_equal_layout_has_an_equal_id_and_reads_back():
    layout = layout_of(TABLE, "gender", ["race", "tags"], utility="u", versions={"race": "race-en-1"})
    again = Layout.from_dict(json.loads(json.dumps(layout.to_dict())))
    assert again == layout
    assert again.id == layout.id
    assert layout.lists == {"race": "race-en-1"}
    assert layout.said() == f"race-en-1, {layout.size} bits"
    assert layout_of(TABLE, "gender", "race").id != layout.id
    for broken in ({}, {"variables": [{"name": "x"}], "utility": "", "utility_bins": []}, {"variables": 3}):
        with pytest.raises(SchemaError, match="no layout of cells"):
            Layout.from_dict(broken)


def test_differences_are_said():
    one = layout_of(TABLE, "gender", "race")
    for other, said in (
        (layout_of(TABLE, "gender", ["race", "y"]), "'y' is only in the second"),
        (layout_of(TABLE, "gender", "race:a"), "bits of 'race': b, c only in the first"),
        (layout_of(TABLE, "gender", "race", utility="u"), "utility '' [] and 'u' [0.5, 1.0]"),
        (layout_of(TABLE, "race", "gender"), "role of 'gender': 'attribute' and 'label'"),
        (Layout(one.variables[::-1]), "the order of the columns"),
    ):
        with pytest.raises(VocabularyError) as caught:
            one.check_same(other)
        assert said in str(caught.value)
    one.check_same(layout_of(TABLE, "gender", "race"))


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: Layout(()), InputError, "A layout has no columns"),
        (lambda: Layout((Variable("a", "label", "flag"),) * 2), InputError, "'a' is named twice"),
        (lambda: Variable("a", "thing", "flag"), InputError, "The role of 'a' is 'thing'"),
        (lambda: Variable("a", "label", "bits"), InputError, "The kind of 'a' is 'bits'"),
        (lambda: Variable("a", "label", "values", ("x", "x")), VocabularyError, "name one twice"),
        (lambda: Variable("a", "label", "values", ("x",), ("y",)), VocabularyError, "'y' is not a value"),
        (lambda: Variable("a", "attribute", "values", ("x",), groups=("y",)), VocabularyError, "'y' is a group"),
        (lambda: Layout((Variable("a", "label", "flag"),), "u", tuple(range(17))), InputError, "17 bins"),
        (lambda: Layout((Variable("a", "label", "flag"),), "u", (2.0, 1.0)), InputError, "ascending"),
        (
            lambda: Layout((Variable("a", "label", "values", tuple(map(str, range(1025)))),)),
            InputError, "A key would have 1,025 bits",
        ),
        (lambda: layout_of(TABLE, "gender").variable("gendre"), UnknownNameError, "gender"),
        (lambda: layout_of(TABLE, ()), InputError, "No attribute is named"),
        (lambda: layout_of(TABLE, [""]), InputError, "attributes are"),
        (lambda: layout_of(TABLE, "gender", "races"), MissingColumnError, "no column 'races'"),
        (lambda: layout_of(TABLE, "gender", "race:z"), VocabularyError, "'z' is not a value of 'race'"),
        (lambda: layout_of(TABLE, "gender", "y:yes"), InputError, "'y' has no values: it is a flag"),
        (lambda: layout_of(TABLE, "gender", "race", proxies="race"), InputError, "as a label and as a proxy"),
        (lambda: layout_of(TABLE.schema, "gender"), VocabularyError, "its values are not declared"),
        (lambda: layout_of(TABLE, "gender", utility="s", bins=range(20)), InputError, "20 bins"),
        (lambda: layout_of(pa.table({"a": [b"x"]}), "a"), InputError, "'a' holds binary"),
        (lambda: layout_of(pa.table({"a": [0.5, 7.5]}), "a"), InputError, "'a' holds 7.5"),
        (lambda: layout_of(pa.table({"a": pa.nulls(2, pa.string())}), "a"), InputError, "no value in any row"),
        (
            lambda: layout_of(pa.table({"a": ["x"], "u": pa.array(range(1), pa.int64())}), "a", utility="v"),
            MissingColumnError, "no column 'v'",
        ),
    ],
)  # fmt: skip
def test_refusals(make, error, said):
    with pytest.raises(error, match=said):
        make()


def test_a_vocabulary_comes_first():
    layout = layout_of(TABLE, "gender", vocabulary={"gender": ["woman", "man", "both"]})
    assert layout.variable("gender").values == ("woman", "man", "both")
    samples = read_samples(TABLE.select(["gender", "race"]), attributes=["gender", "race"])
    assert layout_of(samples, "gender", "race").vocabularies == {"gender": ("man", "woman"), "race": ("a", "b", "c")}
    declared = Vocabulary.infer({"race": pa.array(["z", "a", "b", "c"])})
    assert layout_of(samples, "gender", "race", vocabulary=declared).variable("race").values == ("a", "b", "c", "z")
    assert layout_of(TABLE.schema, "gender", "y", vocabulary={"gender": ["man", "woman"]}).size == 3


# ------------------------------------------------------------------------------------------------ annotated columns

PEOPLE = Annotation(
    "people-en-1", "people-en-1", "0" * 64, ("woman", "man", "both", "none", "ambiguous"), ("woman", "man")
)
QUESTION = Annotation("gender", "gender-1", "1" * 64, ("man", "woman", "none"), ("man", "woman"))
JOBS = Annotation("people-en-1", "people-en-1", "0" * 64, ("cook", "nurse", "pilot"))


def annotated(**columns):
    """Columns of (values, annotation or None)."""
    fields, arrays = [], []
    for name, (values, annotation) in columns.items():
        array = pa.array(values)
        field = pa.field(name, array.type)
        fields.append(field if annotation is None else with_annotation(field, annotation))
        arrays.append(array)
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


TEXT = ["woman", "man", "man", "none", "both", None, "man", "ambiguous"]
IMAGE = ["woman", "woman", None, "none", "man", None, "man", "man"]
CAPTIONS = annotated(
    gender_text=(TEXT, PEOPLE), job_text=([["cook"], ["nurse", "cook"], ["cook"], [], [], None, [], ["cook"]], JOBS)
)


def test_an_annotated_column_declares_its_values_and_groups():
    layout = layout_of(CAPTIONS, "gender", "job")
    gender, job = layout.variables
    assert (gender.name, gender.columns, gender.values) == ("gender", ("gender_text",), PEOPLE.values)
    assert (gender.groups, gender.version) == (("woman", "man"), "people-en-1")
    assert (job.kind, job.bits, job.groups) == ("tags", ("cook", "nurse", "pilot"), ())
    assert layout.lists == {"gender": "people-en-1", "job": "people-en-1"}
    assert layout_of(CAPTIONS.schema, "gender", "job") == layout  # batches need no vocabulary
    assert layout_of(CAPTIONS, "gender_text", "job_text").variable("gender_text").groups == ("woman", "man")
    assert columns_wanted(CAPTIONS.schema, "gender", "job:cook") == ["gender_text", "job_text"]
    assert layout_of(CAPTIONS, "gender", "job:cook").variable("job").bits == ("cook",)


def test_shares_are_wanted_for_the_groups_and_other_states_are_masked():
    m4 = M4("gender", "job", tolerance=0.0, tolerance_first=0.0).fit(CAPTIONS)
    q = m4.weights(CAPTIONS)
    rows = {"woman": q[[0]].sum(), "man": q[[1, 2, 6]].sum()}
    assert rows["woman"] == pytest.approx(rows["man"])
    assert q[[3, 4, 7]].tolist() == [1, 1, 1]
    assert m4.report_.set_aside == {"gender is unknown": 1}
    assert m4.status(CAPTIONS)[5] == "gender is unknown"
    assert m4.duals_.names[-1] == "share(gender=woman)"
    assert [name for name in m4.duals_.names if "=both" in name] == []
    other = M4("gender", shares={"gender": {"both": 0.5, "none": 0.5}}).fit(CAPTIONS)
    assert other.duals_.names == ("share(gender=both)",)


def test_two_modalities_are_one_variable():
    both = annotated(gender_text=(TEXT, PEOPLE), gender_image=(IMAGE, QUESTION), y=([True, False] * 4, None))
    gender = layout_of(both, "gender", "y").variable("gender")
    assert gender.columns == ("gender_text", "gender_image")
    assert gender.values == PEOPLE.values
    assert gender.groups == ("woman", "man")
    assert gender.version == "people-en-1 + gender-1"
    m4 = M4("gender", "y").fit(both)
    assert m4.report_.set_aside == {"gender is unknown": 1}
    q = m4.weights(both)
    assert q[1] == 1.0  # a man in the text, a woman in the picture: both, hence masked
    texts = M4("gender", "y", pairings="text-text").fit(both)
    assert texts.weights(both)[4] == 1.0  # both, in the text
    alone = layout_of(both, "gender_image", "y").variable("gender_image")
    assert (alone.columns, alone.groups) == (("gender_image",), ("man", "woman"))


def test_a_pairing_needs_its_modality():
    with pytest.raises(InputError, match="reads 'gender' in the image, and the rows have 'gender_text' alone"):
        M4("gender", "job", pairings="image-text").fit(CAPTIONS)
    assert M4("gender", "job", pairings="text-text").fit(CAPTIONS).report_.rows_used == 7


def test_columns_that_do_not_agree_are_refused():
    other = Annotation("q", "q-1", "2" * 64, ("she", "he", "none"), ("she", "he"))
    for second, said in ((other, "has she, he"), (None, "declares none")):
        table = annotated(gender_text=(["woman", "man"], PEOPLE), gender_image=(["she", "he"], second))
        with pytest.raises(VocabularyError, match="do not declare the same groups") as caught:
            layout_of(table, "gender")
        assert said in str(caught.value)


def test_what_is_asked_for_comes_before_what_is_declared():
    layout = layout_of(CAPTIONS, "gender", vocabulary={"gender": ["man", "woman", "none"]})
    assert layout.variable("gender").values == ("man", "woman", "none")
    assert layout.variable("gender").groups == ("woman", "man")
    fewer = layout_of(CAPTIONS, "gender", vocabulary={"gender": ["both", "none"]}).variable("gender")
    assert (fewer.values, fewer.groups) == (("both", "none"), ())


def test_samples_carry_what_a_column_declares(tmp_path):
    pq.write_table(
        CAPTIONS.drop_columns(["job_text"]).append_column("id", pa.array(list("hgfedcba"))), tmp_path / "t.parquet"
    )
    samples = read_samples(tmp_path / "t.parquet", id="id", attributes=["gender_text"])
    for rows in (samples, samples.take(pa.array([0, 2, 3]).to_numpy()), samples.sorted()):
        assert read_annotation(rows.table.schema.field("gender_text")) == PEOPLE
        assert read_annotation(samples_table(rows, ["gender_text"]).schema.field("gender_text")) == PEOPLE
    assert layout_of(samples, "gender").variable("gender").groups == ("woman", "man")
    assert layout_of(samples, "gender").variable("gender").values == PEOPLE.values
    m4 = M4("gender", tolerance=0.0, tolerance_first=0.0).fit(samples)
    assert m4.weights(samples) == pytest.approx(m4.weights(pq.read_table(tmp_path / "t.parquet"))[::-1])


def test_cells_of_annotated_columns_survive_parquet(tmp_path):
    layout = layout_of(CAPTIONS, "gender", "job")
    cells = CellTable.from_batches([CAPTIONS], layout)
    cells.to_parquet(tmp_path / "cells.parquet")
    again = CellTable.from_parquet(tmp_path / "cells.parquet")
    assert again.layout == layout
    assert again.layout.variable("gender").groups == ("woman", "man")


def test_a_label_of_annotated_states_is_its_groups():
    layout = layout_of(CAPTIONS.append_column("y", pa.array([True, False] * 4)), "y", "gender")
    assert layout.variable("gender").bits == ("woman", "man")
    assert CellTable.from_batches([CAPTIONS.append_column("y", pa.array([True, False] * 4))], layout).total == 7
