"""Predictions by row."""

import numpy as np
import pyarrow as pa
import pytest

from equipoise.data.samples import read_samples
from equipoise.errors import ChecksumError, InputError, SchemaError
from equipoise.store.predictions import SCHEMA, PredictionTable


def samples(**columns):
    frame = {"k": ["b", "a", "c"], "y": ["1", "0", "1"], "p": ["1", "", "0"], "s": [0.5, None, 0.25]}
    return read_samples(frame, id="k", **columns)


def test_from_samples():
    found = PredictionTable.from_samples(samples(label="y", prediction="p", score="s"))
    assert found.table.schema.equals(SCHEMA)
    assert found.table.to_pydict() == {
        "row_id": ["a", "b", "c"],
        "label": ["0", "1", "1"],
        "prediction": [None, "1", "0"],
        "score": [None, 0.5, 0.25],
    }
    np.testing.assert_equal(found.scores, [np.nan, 0.5, 0.25])
    only = PredictionTable.from_samples(samples(label="y", score="s"))
    assert only.table["prediction"].null_count == 3
    with pytest.raises(InputError, match="neither a prediction nor a score"):
        PredictionTable.from_samples(samples(label="y"))


def test_round_trip_with_checksum(tmp_path):
    table = PredictionTable.from_samples(samples(label="y", prediction="p", score="s"))
    path = tmp_path / "predictions.parquet"
    sha256 = table.write(path)
    assert PredictionTable.read(path, sha256).table.equals(table.table)
    content = bytearray(path.read_bytes())
    content[10] ^= 1
    path.write_bytes(content)
    with pytest.raises(ChecksumError, match="has changed"):
        PredictionTable.read(path, sha256)


def test_order_of_rows_does_not_matter(tmp_path):
    table = PredictionTable.from_samples(samples(prediction="p"))
    shuffled = PredictionTable(table.table.take([2, 0, 1]))
    assert shuffled.ids == table.ids == ["a", "b", "c"]
    assert shuffled.write(tmp_path / "1.parquet") == table.write(tmp_path / "2.parquet")


def test_other_tables_are_refused(tmp_path):
    with pytest.raises(SchemaError, match="other columns"):
        PredictionTable(pa.table({"row_id": ["a"]}))
    twice = pa.table({"row_id": ["a", "a"], "label": ["1", "1"], "prediction": ["1", "1"], "score": [0.1, 0.2]})
    with pytest.raises(InputError, match="repeats or lacks a row id"):
        PredictionTable(twice)
    PredictionTable(twice.slice(0, 0)).write(tmp_path / "empty.parquet")
    with pytest.raises(SchemaError, match="has no rows"):
        PredictionTable.read(tmp_path / "empty.parquet")
