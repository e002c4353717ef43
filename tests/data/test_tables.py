"""Every kind of table gives the same columns."""

import os

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from equipoise.data.tables import open_table
from equipoise.errors import InputError, MissingColumnError, MissingFileError

COLUMNS = {"id": ["b", "a", "c"], "g": ["x", None, "y"], "n": [1, 2, 3]}


class HuggingFaceDataset:
    """Behaves as ``datasets.Dataset``: its own table ignores the selection, its arrow format does not."""

    def __init__(self, table, indices, form=None):
        self.data, self.indices, self.form = table, indices, form
        self.column_names = table.column_names

    def with_format(self, form):
        return HuggingFaceDataset(self.data, self.indices, form)

    def __getitem__(self, key):
        assert self.form == "arrow"
        return self.data.take(self.indices)[key]


class Exporter:
    """Anything with the Arrow C stream."""

    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize(
    "make",
    [
        dict,
        pa.table,
        pd.DataFrame,
        pl.DataFrame,
        pl.LazyFrame,
        lambda columns: Exporter(pa.table(columns)),
        lambda columns: HuggingFaceDataset(pa.table({k: v[::-1] for k, v in columns.items()}), [2, 1, 0]),
    ],
    ids=["mapping", "arrow", "pandas", "polars", "lazy", "stream", "huggingface"],
)
def test_frames(make):
    source = open_table(make(COLUMNS))
    assert source.read(["g", "id"]).to_pydict() == {"g": ["x", None, "y"], "id": ["b", "a", "c"]}
    assert (source.rows, source.unit, source.lines().tolist(), source.root) == (3, "row", [1, 2, 3], None)


def test_parquet_reads_only_what_is_named(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({**COLUMNS, "nested": [{"a": 1}] * 3}), path)
    source = open_table(path)
    assert source.names == ("id", "g", "n", "nested")
    assert source.read(["n", "id"]).column_names == ["n", "id"]
    assert source.root == tmp_path
    assert list(source.inputs) == ["t.parquet"]


def test_tsv(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("id\tg\n1\ta,b\n")
    assert open_table(path).read(["g"])["g"].to_pylist() == ["a,b"]


def test_folder_of_images(tmp_path):
    for name in ("b/2.PNG", "b/1.jpg", "a.jpeg", "notes.txt", ".hidden.jpg", ".git/x.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    source = open_table(tmp_path)
    assert source.read(["image", "folder"]).to_pydict() == {
        "image": ["a.jpeg", "b/1.jpg", "b/2.PNG"],
        "folder": ["", "b", "b"],
    }
    assert source.root == tmp_path


def test_a_name_that_is_not_utf8(tmp_path):
    with open(os.fsencode(tmp_path) + b"/\xff.jpg", "wb"):
        pass
    with pytest.raises(InputError, match="is not UTF-8"):
        open_table(tmp_path)


def test_columns_that_are_missing_or_repeated(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("path,gender,gender,x\n1,a,b,c\n")
    source = open_table(path)
    with pytest.raises(MissingColumnError, match="'t.csv' has no column 'pth'. Did you mean 'path'?"):
        source.read(["pth"])
    with pytest.raises(MissingColumnError, match="has the column 'gender' more than once"):
        source.read(["gender"])
    assert source.read(["x", "x"]).to_pydict() == {"x": ["c"]}


def test_semicolons_are_recognised(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("path;gender\n1;a\n")
    with pytest.raises(MissingColumnError, match="cells are separated by commas"):
        open_table(path).read(["path"])


@pytest.mark.parametrize(
    ("name", "content", "error", "said"),
    [
        ("absent.csv", None, MissingFileError, "There is no table"),
        ("t.xlsx", b"x", InputError, "ends in '.xlsx'"),
        ("t.parquet", b"PAR1 not really", InputError, "cannot be read as Parquet"),
        ("t.parquet", b"", InputError, "cannot be read as Parquet"),
    ],
)
def test_what_is_no_table(tmp_path, name, content, error, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=said):
        open_table(tmp_path / name)


def test_empty_tables(tmp_path):
    empty = pa.table({"a": pa.array([], pa.string())})
    pq.write_table(empty, tmp_path / "t.parquet")
    (tmp_path / "folder").mkdir()
    for source, said in (
        (tmp_path / "t.parquet", "has no rows"),
        (empty, "has no rows"),
        (tmp_path / "folder", "no image"),
    ):
        with pytest.raises(InputError, match=said):
            open_table(source)


def test_mixed_types_and_other_objects():
    with pytest.raises(InputError, match="one type each"):
        open_table(pd.DataFrame({"a": ["x", 1]}, dtype=object))
    with pytest.raises(InputError, match="A ndarray is not a table"):
        open_table(np.zeros((2, 2)))


def test_fingerprint_of_a_frame_is_its_content():
    used = [open_table(make(COLUMNS)).fingerprint(pa.table({"g": COLUMNS["g"]})) for make in (pa.table, pl.DataFrame)]
    assert used[0] == used[1] == {"table": used[0]["table"]}
    assert len(used[0]["table"]) == 64


def test_a_folder_of_parquet_files_is_one_table(tmp_path):
    folder = tmp_path / "metadata"
    folder.mkdir()
    for number in (0, 1, 2, 10):
        part = pa.table({"id": [f"{number}-{i}" for i in range(3)], "n": [number] * 3})
        pq.write_table(part if number else part.select(["n", "id"]), folder / f"metadata_{number}.parquet")
    (folder / "_SUCCESS").touch()
    found = open_table(folder)
    assert found.rows == 12
    assert found.read(["id"])["id"].to_pylist() == [f"{n}-{i}" for n in (0, 1, 2, 10) for i in range(3)]
    assert found.lines().tolist() == list(range(1, 13))
    assert sorted(found.inputs) == sorted(f"metadata/metadata_{n}.parquet" for n in (0, 1, 2, 10))
    with pytest.raises(MissingColumnError, match="no column 'ids'. Did you mean 'id'"):
        found.read(["ids"])
    pq.write_table(pa.table({"id": ["x"], "m": [1]}), folder / "metadata_11.parquet")
    with pytest.raises(InputError, match="differ in the columns m, n"):
        open_table(folder)


def test_parts_of_other_types(tmp_path):
    pq.write_table(pa.table({"id": ["x"], "n": pa.nulls(1)}), tmp_path / "a_0.parquet")
    pq.write_table(pa.table({"id": ["y"], "n": ["text"]}), tmp_path / "a_1.parquet")
    assert open_table(tmp_path).read(["n"])["n"].to_pylist() == [None, "text"]
    pq.write_table(pa.table({"id": ["z"], "n": [1]}), tmp_path / "a_2.parquet")
    with pytest.raises(InputError, match="one column as different types"):
        open_table(tmp_path).read(["n"])


def test_a_folder_with_an_image_is_one_of_images(tmp_path):
    pq.write_table(pa.table({"id": ["x"]}), tmp_path / "rows.parquet")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "x.png").write_bytes(b"")
    assert open_table(tmp_path).names == ("image", "folder")
