"""Repeated pictures, against counting by hand and against all pairs."""

import numpy as np
import pyarrow as pa
import pytest

from equipoise.data.duplicates import duplicate_notes, near_duplicates, repeats
from equipoise.errors import EmbeddingError, InputError, MissingColumnError


def table(**columns):
    rows = len(next(iter(columns.values())))
    return pa.table({"row_id": [f"r{i}" for i in range(rows)], **columns})


def test_pictures_in_two_splits():
    rows = table(
        sha256=["a", "b", "a", "c", "b", "b", "d"], split=["train", "train", "test", "test", "train", "val", "val"]
    )
    found = repeats(rows, "split")
    assert (found.pictures, found.rows) == (2, 5)
    assert found.examples == (
        (("r0", "train"), ("r2", "test")),
        (("r1", "train"), ("r4", "train"), ("r5", "val")),
    )
    (note,) = duplicate_notes(rows)
    assert note == (
        "2 pictures are in more than one split (5 rows): what is fitted on one is not new to the other. "
        "They are 'r0' ('train'), 'r2' ('test'); 'r1' ('train'), 'r4' ('train'), 'r5' ('val')."
    )


def test_values_that_say_nothing_contradict_nothing():
    rows = table(image=["a", "a", "b", "b"], gender=["Female", "", "Male", "unknown"])
    assert repeats(rows, "gender").pictures == 1
    assert duplicate_notes(rows, labels=["gender"], unknown={"gender": ["unknown"]}) == ()


def test_rows_without_a_picture_are_no_twins():
    assert repeats(table(image=["", "", None, None], label=["x", "y", "x", "y"]), "label").pictures == 0
    mixed = table(sha256=["s", "", "s", None], image=["a", "b", "c", "b"], label=["x", "y", "x", "z"])
    assert repeats(mixed, "label").examples == ((("r1", "y"), ("r3", "z")),)
    assert duplicate_notes(table(image=["a"]), labels=[]) == ()


def test_many_are_counted_and_a_few_are_shown():
    rows = table(image=[f"{i % 50:02d}" for i in range(100)], label=["x"] * 50 + ["y"] * 50)
    found = repeats(rows, "label")
    assert (found.pictures, found.rows, len(found.examples)) == (50, 100, 3)
    assert found.examples[0] == (("r0", "x"), ("r50", "y"))
    (note,) = duplicate_notes(rows, labels=["label"])
    assert note.startswith(
        "50 pictures are listed with more than one 'label' (100 rows). For example 'r0' ('x'), 'r50'"
    )
    assert "r3'" not in note


def test_the_order_of_chunks_does_not_matter():
    rows = table(image=["a", "b", "a", "b"], label=["x", "y", "z", "y"])
    cut = pa.concat_tables([rows.slice(0, 1), rows.slice(1, 2), rows.slice(3)])
    assert repeats(cut, "label") == repeats(rows, "label")


def test_columns_that_are_missing():
    with pytest.raises(MissingColumnError, match="'label'"):
        repeats(table(image=["a"]), "label")
    with pytest.raises(MissingColumnError, match="neither 'sha256' nor 'image'"):
        repeats(table(label=["a"]), "label")


def by_all_pairs(vectors, threshold, between=None):
    directions = vectors.astype(np.float64)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    cosine = directions @ directions.T
    return [
        (i, j)
        for i in range(len(vectors))
        for j in range(i + 1, len(vectors))
        if cosine[i, j] >= threshold and (between is None or between[i] != between[j])
    ]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("block", [1, 7, 64, 1000])
def test_near_duplicates_equal_all_pairs(dtype, block):
    rng = np.random.default_rng(1)
    vectors = (rng.normal(size=(90, 5)) * rng.uniform(0.1, 9, (90, 1))).astype(dtype)
    splits = rng.integers(0, 2, 90)
    for between in (None, splits):
        want = by_all_pairs(vectors, 0.9, between)
        found = near_duplicates(vectors, threshold=0.9, between=between, block=block)
        assert found.pairs == len(want) > 5
        assert list(zip(found.first.tolist(), found.second.tolist(), strict=True)) == want
        some = near_duplicates(vectors, threshold=0.9, between=between, block=block, limit=4)
        assert some.pairs == len(want)
        assert list(zip(some.first.tolist(), some.second.tolist(), strict=True)) == want[:4]


def test_equal_rows_have_cosine_one_at_any_length():
    rng = np.random.default_rng(2)
    one = rng.normal(size=(1, 33)).astype(np.float32)
    found = near_duplicates(np.concatenate([one, rng.normal(size=(3, 33)), one, 4 * one]), threshold=1.0)
    assert (0, 4) in zip(found.first.tolist(), found.second.tolist(), strict=True)
    assert found.cosine.max() == 1.0


def test_all_rows_equal_stays_bounded():
    found = near_duplicates(np.ones((3000, 4), np.float32), threshold=0.99, limit=10, block=256)
    assert found.pairs == 3000 * 2999 // 2
    assert found.second.tolist() == list(range(1, 11))


def test_no_rows_and_one_row():
    for rows in (0, 1):
        assert near_duplicates(np.ones((rows, 3))).pairs == 0


def test_rows_without_direction_and_wrong_arguments():
    for bad in (0.0, np.nan, np.inf):
        vectors = np.ones((5, 3))
        vectors[3] = bad
        with pytest.raises(EmbeddingError, match="Rows 3 are"):
            near_duplicates(vectors, block=2)
    for wrong in ({"threshold": 98}, {"threshold": -1}, {"block": 0}, {"limit": -1}, {"between": np.zeros(2)}):
        with pytest.raises(InputError):
            near_duplicates(np.ones((3, 3)), **wrong)
