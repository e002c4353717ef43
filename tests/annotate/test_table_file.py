"""A table passes by: what is added, kept, counted, and never overwritten."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from equipoise.annotate import table_file
from equipoise.annotate.lexicon import load_lexicon
from equipoise.annotate.output import claimed
from equipoise.annotate.table_file import AnnotatedTable, check_path
from equipoise.data.annotated import read_annotation
from equipoise.errors import InputError, LockedError, MissingColumnError, OutputExistsError

CAPTIONS = ["A woman who is a nurse", None, "a man", "", "no men, only women", "Isle of Man", "a doctor"]
ROWS = pa.table(
    {"id": [f"r{i}" for i in range(7)], "text": CAPTIONS, "n": pa.array(range(7), pa.int32()), "tags": [["x"]] * 7}
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    pq.write_table(ROWS, tmp_path / "rows.parquet", row_group_size=3)
    return tmp_path / "rows.parquet"


def opened(path: Path, **more: object) -> AnnotatedTable:
    return AnnotatedTable(path, caption="text", lexicon=load_lexicon("people-en-1"), id="id", **more)  # type: ignore[arg-type]


def test_columns_follow_and_the_own_ones_stay(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_file, "BATCH", 2)
    out = tmp_path / "out.parquet"
    tally = opened(path).run(out, gold={"gender_text": {"labelled": 5}})
    found = pq.read_table(out)
    assert found.select(ROWS.column_names).equals(ROWS)
    assert found["gender_text"].to_pylist() == ["woman", None, "man", None, "woman", "none", "unspecified_person"]
    assert found["occupation_text"].to_pylist() == [["nurse"], None, [], None, [], [], ["doctor"]]
    annotation = read_annotation(found.schema.field("gender_text"))
    assert annotation is not None
    assert (annotation.list, annotation.groups, annotation.gold) == ("people-en-1", ("woman", "man"), {"labelled": 5})
    tags = read_annotation(found.schema.field("occupation_text"))
    assert tags is not None
    assert tags.gold is None
    assert "nurse" in tags.values
    assert (tally.rows, tally.used, dict(tally.set_aside)) == (7, 5, {"no caption": 2})
    assert tally.counts["gender_text"] == {"woman": 2, "man": 1, "none": 1, "unspecified_person": 1}
    assert tally.missing["gender_text"] == {"no caption": 2}
    assert tally.negated == {"gender:man": 1}


def test_batches_decide_nothing(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(path).run(tmp_path / "one.parquet")
    monkeypatch.setattr(table_file, "BATCH", 1)
    opened(path).run(tmp_path / "two.parquet")
    assert pq.read_table(tmp_path / "one.parquet").equals(pq.read_table(tmp_path / "two.parquet"))


def test_rows_of_some_ids_with_their_numbers(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_file, "BATCH", 2)
    table = opened(path)
    few = table.pick(["r4", "r0", "zz"], ["n"])
    assert few["row_id"].to_pylist() == ["r0", "r4"]
    assert few["n"].to_pylist() == [0, 4]
    assert few["gender_text"].to_pylist() == ["woman", "woman"]
    assert table.numbers(["r6", "r1", "zz"]) == {"r1": 1, "r6": 6}
    assert table.row(5)["text"][0].as_py() == "Isle of Man"
    assert table.pick(["zz"]).num_rows == 0
    with pytest.raises(MissingColumnError, match="no column 'm'"):
        table.pick(["r0"], ["m"])


def test_without_an_id_rows_are_known_by_their_number(path: Path) -> None:
    table = AnnotatedTable(path, caption="text", lexicon=load_lexicon("people-en-1"))
    assert table.pick(["5"])["gender_text"].to_pylist() == ["woman"]


def test_an_output_is_finished_refused_or_replaced(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    opened(path).run(out)
    before = out.stat().st_mtime_ns
    assert opened(path).run(out).rows == 7
    assert out.stat().st_mtime_ns == before
    with pytest.raises(OutputExistsError, match="another run: columns.gender_text"):
        opened(path).run(out, gold={"gender_text": {"labelled": 5}})
    opened(path).run(out, gold={"gender_text": {"labelled": 5}}, overwrite=True)
    with pytest.raises(OutputExistsError, match="another run"):
        opened(path).run(out)
    for name in ("foreign.parquet", "folder.parquet", "x.csv"):
        (tmp_path / name).mkdir() if name == "folder.parquet" else (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(OutputExistsError, match="no annotation wrote it"):
        opened(path).run(tmp_path / "foreign.parquet", overwrite=True)
    assert (tmp_path / "foreign.parquet").read_bytes() == b"mine"
    with pytest.raises(OutputExistsError, match="is a folder"):
        opened(path).run(tmp_path / "folder.parquet")
    with pytest.raises(InputError, match="ends in .parquet"):
        check_path(tmp_path / "x.csv", path)
    with pytest.raises(InputError, match="is read: it would be written over"):
        opened(path).run(path, overwrite=True)
    assert not [item.name for item in tmp_path.iterdir() if item.name.startswith(".")]


def test_a_failure_leaves_no_output(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("stop")

    table = opened(path)
    monkeypatch.setattr(table, "annotate", fail)
    with pytest.raises(RuntimeError):
        table.run(tmp_path / "out.parquet")
    assert [item.name for item in tmp_path.iterdir()] == ["rows.parquet"]


def test_a_killed_run_is_cleared_away_and_a_running_one_left_alone(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    left = tmp_path / ".out.parquet.123.partial"
    left.write_bytes(b"half")
    with claimed(out), pytest.raises(LockedError, match="Another process writes"):
        opened(path).run(out)
    left.write_bytes(b"half")
    opened(path).run(out)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["out.parquet", "rows.parquet"]
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be written"):
        opened(path).run(tmp_path / "file" / "out.parquet")


def test_tables_that_cannot_be_annotated(path: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingColumnError, match="Did you mean 'text'"):
        AnnotatedTable(path, caption="txt", lexicon=load_lexicon("people-en-1"))
    with pytest.raises(InputError, match="are int32, not text"):
        AnnotatedTable(path, caption="n", lexicon=load_lexicon("people-en-1"))
    opened(path).run(tmp_path / "out.parquet")
    with pytest.raises(InputError, match="already: it was annotated.*read back against that table"):
        opened(tmp_path / "out.parquet")
    (tmp_path / "double.csv").write_text("text,n,text\na man,1,a woman\n", "utf-8")
    with pytest.raises(MissingColumnError, match="has the column 'text' more than once"):
        AnnotatedTable(tmp_path / "double.csv", caption="n", lexicon=load_lexicon("people-en-1"))
    pq.write_table(ROWS.slice(0, 0), tmp_path / "empty.parquet")
    with pytest.raises(InputError, match="no rows"):
        opened(tmp_path / "empty.parquet").run()
    pq.write_table(ROWS.set_column(0, "id", pa.array(["r0"] * 7)), tmp_path / "twice.parquet")
    with pytest.raises(InputError, match="more than one row"):
        opened(tmp_path / "twice.parquet").pick(["r0"])
