"""Cells of files are those of the whole table, bit for bit, and files that do not fit together are told by name."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq
import pytest

from equipoise.data.annotated import Annotation, read_annotation, with_annotation
from equipoise.data.batch_files import row_files, unified
from equipoise.data.cell_stream import batches, count_cells, layout_of_files
from equipoise.data.cell_table import CellTable
from equipoise.data.layout import Layout
from equipoise.data.layout_of import layout_of
from equipoise.errors import InputError, MissingColumnError, MissingFileError, VocabularyError
from equipoise.progress import watched

LABELS = ["hired", "level", "tags", "age"]
ROWS = 5000


def table(n: int = ROWS, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    group = np.array(["woman", "man", "", None], object)[rng.choice(4, n, p=[0.5, 0.3, 0.1, 0.1])]
    return pa.table(
        {
            "id": np.arange(n).astype(str),
            "gender": pa.array(group).dictionary_encode(),
            "hired": pa.array([None if x == 0 else bool(x % 2) for x in rng.integers(0, 9, n)]),
            "level": rng.integers(0, 2, n).astype(np.int8),
            "tags": pa.array([["red", "blue", "green"][: rng.integers(0, 4)] for _ in range(n)]),
            "age": rng.integers(3, 6, n),
            "u": rng.choice([0.25, 0.5, 2.0], n),
        }
    )


def same(found: CellTable, expected: CellTable) -> None:
    np.testing.assert_array_equal(found.keys, expected.keys)
    np.testing.assert_array_equal(found.counts, expected.counts)
    assert found.set_aside == expected.set_aside
    assert found.layout == expected.layout


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    return table()


@pytest.fixture(scope="module")
def folder(rows: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("parts")
    for number, start in enumerate(range(0, ROWS, 700)):
        part = rows.slice(start, 700)
        if number == 1:  # written by somebody else: text that is no dictionary, wider numbers
            part = part.set_column(
                1, "gender", part["gender"].combine_chunks().dictionary_decode().cast("large_string")
            )
            part = part.set_column(3, "level", part["level"].cast(pa.int64()))
        pq.write_table(part, root / f"part_{number}.parquet", row_group_size=99)
    (root / "_SUCCESS").touch()
    return root


def expected(rows: pa.Table, **options) -> tuple[Layout, CellTable]:
    layout = layout_of(rows, "gender", LABELS, utility="u")
    return layout, CellTable.from_batches([rows], layout, **options)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("batch_size", [64, 1 << 20])
@pytest.mark.parametrize("unknown", ["set_aside", "neutral"])
def test_a_folder_counts_as_the_whole_table(rows, folder: Path, workers: int, batch_size: int, unknown: str) -> None:
    layout, cells = expected(rows, unknown=unknown)
    assert layout_of_files(folder, "gender", LABELS, utility="u") == layout
    same(count_cells(folder, layout, workers=workers, batch_size=batch_size, unknown=unknown), cells)
    parts = sorted(folder.glob("*.parquet"))
    same(count_cells(parts[::-1], layout, workers=workers, batch_size=batch_size, unknown=unknown), cells)


def test_arrow_ipc_counts_as_the_whole_table(rows, tmp_path: Path) -> None:
    layout, cells = expected(rows)
    path = tmp_path / "rows.arrow"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, rows.schema) as writer:
        for batch in rows.to_batches(512):
            writer.write_batch(batch)
    assert layout_of_files(path, "gender", LABELS, utility="u") == layout
    same(count_cells(path, layout), cells)


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv"])
def test_csv_has_the_layout_and_cells_of_its_numbers(rows, tmp_path: Path, name: str) -> None:
    labels = [label for label in LABELS if label != "tags"]
    delimiter = "\t" if name.endswith("tsv") else ","
    plain = rows.drop_columns(["tags"]).set_column(1, "gender", rows["gender"].cast(pa.string()))
    arrow_csv.write_csv(plain, tmp_path / name, arrow_csv.WriteOptions(delimiter=delimiter))
    layout = layout_of(rows, "gender", labels, utility="u")
    assert layout_of_files(tmp_path / name, "gender", labels, utility="u") == layout
    cells = CellTable.from_batches([rows], layout)
    same(count_cells(tmp_path / name, layout), cells)
    given = batches(tmp_path / name, layout=layout, batch_size=100)
    same(CellTable.from_batches(given, layout), cells)
    assert all(pa.types.is_large_string(kind) for kind in next(batches(tmp_path / name)).schema.types)


def test_csv_says_which_text_is_no_number(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("g,y\nw,1\nm,0\n")
    (tmp_path / "b.csv").write_text("g,y\nw,1\nm,maybe\n")
    layout = layout_of_files(tmp_path / "a.csv", "g", "y")
    assert [variable.kind for variable in layout.variables] == ["values", "flag"]
    with pytest.raises(InputError, match="'y' holds 'maybe'"):
        count_cells([tmp_path / "a.csv", tmp_path / "b.csv"], layout)
    (tmp_path / "c.csv").write_text("g,y\nw,1\nm\n")
    with pytest.raises(InputError, match=r"c\.csv' cannot be read"):
        count_cells(tmp_path / "c.csv", layout)


def test_batches_keep_rows_order_and_metadata(rows, folder: Path, tmp_path: Path) -> None:
    found = list(batches(folder, ["id", "age"], batch_size=50))
    assert max(batch.num_rows for batch in found) <= 50
    assert pa.Table.from_batches(found)["id"].to_pylist() == rows["id"].to_pylist()
    assert found[0].schema.names == ["id", "age"]
    said = {b"equipoise.annotation": json.dumps({"list": "people-en-1", "values": ["woman", "man"]}).encode()}
    schema = rows.schema.set(0, rows.schema.field(0).with_metadata(said))
    pq.write_table(rows.cast(schema), tmp_path / "said.parquet")
    assert next(batches(tmp_path / "said.parquet", ["id"])).schema.field(0).metadata == said


def test_declared_values_need_no_pass(rows, folder: Path) -> None:
    seen: list[str] = []
    declared = {"gender": ["woman"], "age": ["3", "4"], "level": ["0", "1"]}
    with watched(lambda what, done, total: seen.append(what)):
        layout = layout_of_files(folder, "gender", ["age", "level", "hired"], vocabulary=declared)
    assert seen == []
    assert layout == layout_of(rows, "gender", ["age", "level", "hired"], vocabulary=declared)
    same(count_cells(folder, layout), CellTable.from_batches([rows], layout))


def test_scores_and_too_many_values_are_seen_as_in_the_whole_table(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = pa.table({"g": rng.random(9000), "y": rng.integers(0, 2, 9000), "i": np.arange(9000), "bad": rng.normal(size=9000)})  # fmt: skip
    pq.write_table(rows, tmp_path / "x.parquet", row_group_size=1000)
    layout = layout_of_files(tmp_path / "x.parquet", "g", "y")
    assert layout == layout_of(rows, "g", "y")
    assert layout.scores == ("g",)
    with pytest.raises(InputError, match="is a score"):
        count_cells(tmp_path / "x.parquet", layout)
    with pytest.raises(InputError, match="at most 1,024 are packed"):
        layout_of_files(tmp_path / "x.parquet", "i", "y")
    with pytest.raises(InputError, match=r"Scores lie in \[0, 1\]"):
        layout_of_files(tmp_path / "x.parquet", "bad", "y")
    with pytest.raises(InputError, match="different values"):
        layout_of_files(tmp_path / "x.parquet", "y", utility="g")
    binned = layout_of_files(tmp_path / "x.parquet", "y", utility="g", bins=[0, 0.5, 1])
    same(count_cells(tmp_path / "x.parquet", binned, batch_size=123), CellTable.from_batches([rows], binned))


def test_files_that_do_not_fit_together_are_named(rows, tmp_path: Path) -> None:
    one, two = tmp_path / "one.parquet", tmp_path / "two.parquet"
    pq.write_table(rows, one)
    layout = layout_of(rows, "gender", LABELS)
    pq.write_table(rows.rename_columns(["id", "gendre", *rows.column_names[2:]]), two)
    for call in (lambda: count_cells([one, two], layout), lambda: layout_of_files([one, two], "gender")):
        with pytest.raises(MissingColumnError, match=r"two\.parquet' has no column 'gender'\. Did you mean 'gendre'"):
            call()
    pq.write_table(rows.set_column(5, "age", rows["age"].cast(pa.string())), two)
    with pytest.raises(InputError, match=r"'age' holds int64 in '.*one\.parquet' and string in '.*two\.parquet'"):
        count_cells([one, two], layout)
    with pytest.raises(InputError, match="'age' holds"):
        layout_of_files([one, two], "gender", "age")
    for path, version in ((one, "1"), (two, "2")):
        said = {
            b"equipoise.annotation": json.dumps({"list": "people-en", "version": version, "values": ["a"]}).encode()
        }
        pq.write_table(rows.cast(rows.schema.set(2, rows.schema.field(2).with_metadata(said))), path)
    with pytest.raises(VocabularyError, match="'hired' was annotated in another way"):
        count_cells([one, two], layout)


def test_files_whose_annotation_was_judged_by_other_rows_fit_together(rows, tmp_path: Path) -> None:
    one, two = tmp_path / "one.parquet", tmp_path / "two.parquet"
    field = rows.schema.field("gender")
    values = tuple(rows["gender"].drop_null().unique().to_pylist())
    alone = Annotation("people-en-1", "people-en-1", "0" * 64, values, values)

    def wrote(path: Path, gold: dict[str, object] | None) -> None:
        declared = with_annotation(field, replace(alone, gold=gold))
        pq.write_table(rows.cast(rows.schema.set(rows.schema.get_field_index("gender"), declared)), path)

    wrote(one, {"labelled": 100})
    for gold in (None, {"labelled": 200}):
        wrote(two, gold)
        assert read_annotation(unified(row_files([one, two]), ["gender"]).field("gender")) == alone
        assert count_cells([one, two], layout_of_files([one, two], "gender")).total > 0
    wrote(two, {"labelled": 100})
    assert read_annotation(unified(row_files([one, two]), ["gender"]).field("gender")) == replace(
        alone, gold={"labelled": 100}
    )


def test_a_column_that_is_null_in_one_file(tmp_path: Path) -> None:
    parts = [pa.table({"g": pa.nulls(3), "y": [True, False, True]}), pa.table({"g": ["a", "b", "a"], "y": [True] * 3})]
    for i, part in enumerate(parts):
        pq.write_table(part, tmp_path / f"{i}.parquet")
    layout = layout_of_files(tmp_path, "g", "y")
    cells = count_cells(tmp_path, layout)
    assert (cells.total, cells.set_aside) == (3, {"g is unknown": 3})


def test_bad_paths(rows, tmp_path: Path) -> None:
    layout = layout_of(rows, "gender", LABELS)
    with pytest.raises(MissingFileError, match="There is no table"):
        count_cells(tmp_path / "none.parquet", layout)
    with pytest.raises(InputError, match="no Parquet file"):
        count_cells(tmp_path, layout)
    (tmp_path / "x.xlsx").touch()
    with pytest.raises(InputError, match=r"ends in '\.xlsx'"):
        count_cells(tmp_path / "x.xlsx", layout)
    (tmp_path / "x.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match="cannot be read"):
        count_cells(tmp_path / "x.parquet", layout)
    (tmp_path / "x.csv").touch()
    with pytest.raises(InputError, match="is empty"):
        count_cells(tmp_path / "x.csv", layout)
    with pytest.raises(InputError, match="No file"):
        count_cells([], layout)
    with pytest.raises(InputError, match="workers"):
        count_cells(tmp_path / "x.parquet", layout, workers=0)
    (tmp_path / "twice.csv").write_text("g,g\na,b\n")
    with pytest.raises(MissingColumnError, match="more than once"):
        list(batches(tmp_path / "twice.csv", ["g"]))


def test_a_file_without_rows_counts_nothing(rows, tmp_path: Path) -> None:
    layout = layout_of(rows, "gender", LABELS)
    pq.write_table(rows.slice(0, 0), tmp_path / "empty.parquet")
    cells = count_cells(tmp_path / "empty.parquet", layout)
    assert (len(cells), cells.total, cells.set_aside) == (0, 0, {})


def test_progress_ends_at_all_bytes(rows, folder: Path) -> None:
    told: list[tuple[int, int]] = []
    layout, _ = expected(rows)
    count_cells(folder, layout, progress=lambda what, done, total: told.append((done, total)), batch_size=300)
    size = sum(path.stat().st_size for path in folder.glob("*.parquet"))
    assert told == sorted(told)
    assert told[-1] == (size, size)


def test_an_undeclared_value_under_error_is_refused_from_a_thread(rows, folder: Path) -> None:
    layout, _ = expected(rows)
    with pytest.raises(VocabularyError, match="missing or undeclared"):
        count_cells(folder, layout, unknown="error", workers=2)


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """Of 20 files as of one, up to a batch that a second thread holds."""
    rng = np.random.default_rng(0)
    rows = pa.table({f"y{i}": rng.random(100_000) < 0.3 for i in range(6)} | {"text": ["x" * 50] * 100_000})
    for i in range(20):
        pq.write_table(rows, tmp_path / f"{i}.parquet", row_group_size=20_000)
    code = (
        "import resource, sys\n"
        "from equipoise.data.cell_stream import count_cells, layout_of_files\n"
        "layout = layout_of_files(sys.argv[1:], 'y0', ['y1', 'y2', 'y3', 'y4', 'y5'])\n"
        "cells = count_cells(sys.argv[1:], layout, batch_size=20_000)\n"
        "print(cells.total, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)\n"
    )
    peaks = []
    for count in (1, 20):
        paths = [str(tmp_path / f"{i}.parquet") for i in range(count)]
        found = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True)
        total, peak = found.stdout.split()
        assert int(total) == count * 100_000
        peaks.append(float(peak))
    assert peaks[1] - peaks[0] < 40
