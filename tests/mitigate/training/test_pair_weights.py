"""Weights of pairs from a file: which rows they were fitted on is known, and those are not audited."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from equipoise.data.samples import read_samples
from equipoise.errors import LeakageError
from equipoise.mitigate.data.m4 import M4
from equipoise.mitigate.data.weights_file import fit_of, fit_record, write_weights
from equipoise.mitigate.training.pair_weights import note_on_fit, weights_of
from equipoise.mitigate.training.pairs import refuse_held_out


@pytest.fixture
def table(tmp_path):
    """400 rows, every fourth of them to be audited, every tenth without a gender."""
    rng = np.random.default_rng(3)
    gender = [None if i % 10 == 0 else ("woman", "man")[rng.integers(2)] for i in range(400)]
    rows = pa.table({
        "id": [f"r{i:03d}" for i in range(400)], "gender": gender, "job": rng.choice(["nurse", "pilot"], 400),
        "split": ["val" if i % 4 == 0 else "train" for i in range(400)], "seen": [i % 2 == 0 for i in range(400)],
    })  # fmt: skip
    pq.write_table(rows, tmp_path / "table.parquet")
    return tmp_path / "table.parquet"


def written(table, where, *, known=True, without=()):
    """Write weights of a fit on some rows; return the file."""
    rows = pq.read_table(table).drop_columns(list(without))
    at = table.with_name("of.parquet")
    pq.write_table(rows, at)
    method = M4("gender", ["job"]).fit(rows)  # any fit will do: what counts is what is said of it
    out = table.with_name("weights.parquet")
    write_weights(at, out, method, fit=fit_record(where, "split", ["train"]) if known else None)
    return out


def samples(table, mark, id: str | None = "id"):
    return read_samples(table, id=id, split="split", attributes=["gender"], where={"split": mark})


@pytest.mark.parametrize(
    ("where", "audited", "trained"),
    [({}, 80, 280), ({"split": "train"}, 0, 280), ({"seen": "True"}, 80, 80), ({"seen": "False"}, 0, 200)],
)
@pytest.mark.parametrize("ids", [True, False])
def test_rows_that_weights_were_fitted_on_are_not_audited(ids, where, audited, trained, table):
    """Of the 100 rows that are audited 20 have no gender and were set aside in the fit; all 100 are even."""
    file = written(table, where, without=() if ids else ("id",))
    of, id = (table, "id") if ids else (table.with_name("of.parquet"), None)
    train, val = samples(of, "train", id), samples(of, "val", id)
    found = weights_of(file, train)
    assert found.fitted_on(val) == audited
    assert found.fitted_on(train) == trained
    if audited:
        with pytest.raises(LeakageError, match="fitted on 80 of the rows that would be audited"):
            refuse_held_out(train, val, found)
    else:
        refuse_held_out(train, val, found)
    assert note_on_fit(file) == ""


def test_a_file_that_does_not_tell_has_a_note(table):
    file = written(table, {}, known=False)
    assert fit_of(file) is None
    assert weights_of(file, samples(table, "train")).fitted_on(samples(table, "val")) == 0
    assert "does not say on which rows" in note_on_fit(file)
    assert note_on_fit(np.ones(3)) == note_on_fit(None) == ""


def test_a_file_whose_columns_were_dropped_does_not_tell(table):
    file = written(table, {"seen": "True"})
    assert fit_of(file) == {"rows": {"seen": "True"}, "split": "split", "values": ["train"]}
    rows = pq.read_table(file)
    pq.write_table(rows.drop_columns(["seen"]), file)
    assert fit_of(file) is None
    assert weights_of(file, samples(table, "train")).fit_rows == ()
