"""read_samples: roles, ids, vocabulary, refusals."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from equipoise.data.groups import Attribute, Vocabulary
from equipoise.data.samples import read_samples
from equipoise.errors import InputError, MissingColumnError, VocabularyError

CSV = "path,who,gender,fold\nb.jpg,1,Male,val\na.jpg,2,Female,train\nc.jpg,3,,val\n"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "faces.csv"
    path.write_text(CSV)
    return path


def test_rows_are_sorted_by_id_and_keep_their_lines(table):
    samples = read_samples(table, image="path", attributes=["gender"], split="fold", cluster="who")
    assert samples.ids == ["a.jpg", "b.jpg", "c.jpg"]
    assert samples.lines.tolist() == [3, 2, 4]
    assert samples.position.tolist() == [1, 0, 2]
    assert samples.table.column_names == ["row_id", "image", "split", "cluster", "gender"]
    assert samples.roles == {"image": "path", "split": "fold", "cluster": "who"}
    assert samples.vocabulary.groups("gender") == ("Male", "Female")
    assert samples.codes("gender").tolist() == [1, 0, -1]
    assert samples.unknown() == {"gender": 1}
    assert samples.column("split") == ["train", "val", "val"]
    assert (samples.id_from, samples.unit, samples.root) == ("image", "line", table.parent)
    assert "its groups are taken from the table: Male, Female" in samples.notes[0]


def test_code_point_order_of_ids():
    ids = ["b", "B", "10", "9", "é", "z", "😀", "\uffee"]
    assert read_samples({"k": ids}, id="k").ids == sorted(ids)


def test_relative_paths_lie_beside_the_table_and_stay_the_id(table):
    samples = read_samples(table, image="path")
    assert samples.ids[0] == "a.jpg"
    assert samples.image_path(0) == table.parent / "a.jpg"
    absolute = read_samples({"path": ["/x/y.jpg"]}, image="path")
    assert str(absolute.image_path(0)) == "/x/y.jpg"


def test_the_id_is_the_column_else_the_image_else_the_row_number(table):
    assert read_samples(table, image="path", id="who").ids == ["1", "2", "3"]
    assert read_samples(table, image="path").ids == ["a.jpg", "b.jpg", "c.jpg"]
    numbered = read_samples(table, attributes=["gender"])
    assert (numbered.ids, numbered.id_from) == (["1", "2", "3"], "row number")


def test_a_spare_id_column_can_take_over():
    samples = read_samples({"id": ["z", "y"], "g": ["a", "b"]}, attributes=["g"])
    assert samples.ids == ["1", "2"]
    by_id = samples.by_spare_id()
    assert (by_id.ids, by_id.column("g"), by_id.position.tolist(), by_id.id_from) == (
        ["y", "z"],
        ["b", "a"],
        [1, 0],
        "id",
    )
    with pytest.raises(InputError, match="no column 'id'"):
        read_samples({"g": ["a"]}, attributes=["g"]).by_spare_id()


def test_every_kind_of_table_reads_alike(table):
    frame = pd.read_csv(table)
    want = read_samples(table, image="path", attributes=["gender"], split="fold")
    for source in (frame, pl.from_pandas(frame.astype(object).where(frame.notna(), None)), pa.Table.from_pandas(frame)):
        found = read_samples(source, image="path", attributes=["gender"], split="fold")
        assert found.ids == want.ids
        assert found.codes("gender").tolist() == want.codes("gender").tolist()
        assert found.table["image"].to_pylist() == want.table["image"].to_pylist()


def test_the_order_of_lines_does_not_matter():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"k": [f"r{i}" for i in range(50)], "g": rng.choice(["a", "b"], 50), "s": rng.random(50)})
    vocabulary = Vocabulary({"g": Attribute("g", ("a", "b"))})
    whole = read_samples(frame, id="k", attributes=["g"], score="s", vocabulary=vocabulary)
    shuffled = read_samples(
        frame.sample(frac=1, random_state=1), id="k", attributes=["g"], score="s", vocabulary=vocabulary
    )
    assert whole.table.equals(shuffled.table)


def test_where_filters_any_column_and_keeps_the_vocabulary(table):
    samples = read_samples(table, id="who", attributes=["gender"], where={"fold": "train"})
    assert samples.ids == ["2"]
    assert samples.vocabulary.groups("gender") == ("Male", "Female")
    assert samples.rows_read == 3
    assert read_samples(table, id="who", where={"fold": ["train", "val"]}).ids == ["1", "2", "3"]
    with pytest.raises(InputError, match="No row has fold=vall. Did you mean 'val'. There are: val, train"):
        read_samples(table, id="who", where={"fold": "vall"})
    with pytest.raises(InputError, match="No row has fold=train and path=b.jpg"):
        read_samples(table, id="who", where={"fold": "train", "path": "b.jpg"})


def test_rows_by_role_attribute_or_column_name(table):
    samples = read_samples(table, image="path", id="who", attributes=["gender"], split="fold")
    for where in ({"split": "val"}, {"fold": "val"}):
        assert samples.where(where).ids == ["1", "3"]
    assert samples.rows(gender="Female").ids == ["2"]
    assert samples.rows(who="2").ids == ["2"]
    assert samples.rows(split=["train", "val"], gender="Male").lines.tolist() == [2]
    with pytest.raises(MissingColumnError, match="Did you mean 'split'"):
        samples.rows(splt="val")


def test_vocabulary_file(table):
    path = table.parent / "groups.toml"
    path.write_text('[gender]\nvalues = ["Female", "Male"]\n[race]\nvalues = ["x"]\n')
    samples = read_samples(table, image="path", attributes=["gender"], vocabulary=path)
    assert samples.vocabulary.groups("gender") == ("Female", "Male")
    assert samples.attributes == ("gender",)
    assert set(samples.inputs) == {"faces.csv", "groups.toml"}
    with pytest.raises(MissingColumnError, match="no column for 'race'"):
        samples.codes("gender:race")


def test_undeclared_values_are_refused_with_file_lines(table):
    path = table.parent / "groups.toml"
    path.write_text('[gender]\nvalues = ["Female", "male"]\n')
    with pytest.raises(VocabularyError, match=r"'Male' \(line 2\)\. Did you mean 'male'"):
        read_samples(table, image="path", attributes=["gender"], vocabulary=path)


def test_a_misspelt_section_is_not_silently_replaced(table):
    path = table.parent / "groups.toml"
    path.write_text('[gendre]\nvalues = ["Female", "Male"]\n')
    with pytest.raises(VocabularyError, match="does not declare 'gender'. Did you mean 'gendre'"):
        read_samples(table, image="path", attributes=["gender"], vocabulary=path)


def test_predictions():
    samples = read_samples(
        {"k": [1, 2, 3], "y": [1, 0, 1], "p": [1.0, 0.0, None], "s": ["0.9", "", "nan"], "w": [1, 2, 0]},
        id="k", label="y", prediction="p", score="s", weight="w",
    )  # fmt: skip
    assert samples.column("label") == ["1", "0", "1"]
    assert samples.column("prediction") == ["1", "0", ""]
    np.testing.assert_equal(samples.column("score"), [0.9, np.nan, np.nan])
    np.testing.assert_equal(samples.column("weight"), [1, 2, 0])


def test_one_number_in_two_spellings_is_refused():
    with pytest.raises(InputError, match=r"'y' says '1.0' where 'p' says '1'"):
        read_samples({"y": ["1.0", "0.0"], "p": ["1", "0"]}, label="y", prediction="p")
    assert len(read_samples({"y": ["0", "0"], "p": ["1", "1"]}, label="y", prediction="p")) == 2


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([1, -1], "numbers under 0"),
        ([1, None], "1 rows without a weight"),
        ([0, 0], "sum to zero"),
        ([1, float("inf")], "not finite"),
    ],
)
def test_weights(weights, said):
    with pytest.raises(InputError, match=said):
        read_samples({"w": weights}, weight="w")


def test_attributes_named_as_a_role():
    columns = {"label": ["a", "b"], "score": ["a", "b"], "y": ["a", "b"]}
    assert read_samples(columns, label="label", attributes=["label"]).codes("label").tolist() == [0, 1]
    for name in ("label", "score"):
        with pytest.raises(InputError, match="that is the name of a role"):
            read_samples(columns, label="y", attributes=[name])
    with pytest.raises(InputError, match="named twice"):
        read_samples(columns, attributes=["y", "y"])


def test_one_attribute_may_be_given_as_text():
    assert read_samples({"gender": ["a"]}, attributes="gender").attributes == ("gender",)


def test_missing_columns_are_named(table):
    with pytest.raises(MissingColumnError, match="'faces.csv' has no column 'gendr'. Did you mean 'gender'"):
        read_samples(table, image="path", attributes=["gendr"])


def test_take_keeps_order_and_lines(table):
    samples = read_samples(table, image="path", attributes=["gender"])
    taken = samples.take(np.array([2, 0]))
    assert (taken.ids, taken.lines.tolist(), taken.position.tolist()) == (["a.jpg", "c.jpg"], [3, 4], [1, 2])
