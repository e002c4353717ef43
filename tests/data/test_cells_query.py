"""Cells that DuckDB and Polars count are those counted here, bit for bit, whatever columns and values are called."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from equipoise.data.cell_table import CellTable
from equipoise.data.cells_query import cells_of, cells_query, polars_expression, set_aside_query
from equipoise.data.layout import Layout, Variable
from equipoise.data.layout_of import layout_of
from equipoise.errors import InputError, MissingColumnError

HOSTILE = [
    "o'brien",
    'a "quoted" one',
    "x; DROP TABLE t; --",
    "back\\slash",
    "ナース",
    "new\nline",
    "%s",
    "$1",
    "{}",
    " ",
]
COLUMN = 'gender"; DROP TABLE t; --'


def table(n: int = 3000, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    values = np.array([*HOSTILE, "", None], object)
    tags = [
        None if rng.random() < 0.1 else [HOSTILE[j] for j in rng.integers(0, 9, rng.integers(0, 4))] for _ in range(n)
    ]
    return pa.table(
        {
            COLUMN: pa.array(values[rng.integers(0, len(values), n)]).dictionary_encode(),
            "hired": pa.array([None if x == 2 else bool(x) for x in rng.integers(0, 3, n)]),
            "count": rng.integers(0, 2, n),
            "select": rng.integers(0, 2, n).astype(float),
            "age": rng.integers(3, 6, n),
            "the 'tags'": pa.array(tags),
            "u": rng.choice([0.1, 0.7, 2.5], n),
        }
    )  # fmt: skip


def layouts(rows: pa.Table) -> dict[str, Layout]:
    labels = ["hired", "count", "select", "age", "the 'tags'"]
    many = [f"v{i}" for i in range(70)]
    words = Variable(COLUMN, "attribute", "values", (*HOSTILE, *many))
    wide = layout_of(rows, "age", labels[:3], utility="u")
    return {
        "one word": layout_of(rows, COLUMN, labels, utility="u", bins=[0.1, 1.0, 2.0]),
        "no utility": layout_of(rows, "hired", ["age:3", "the 'tags':o'brien"]),
        "outside": layout_of(rows, COLUMN, ["hired"], vocabulary={COLUMN: HOSTILE[:3], "hired": ["True", "False"]}),
        "two words": Layout((words, *wide.variables), "u", wide.utility_bins),
    }


@pytest.fixture
def rows() -> pa.Table:
    return table()


def same(found: CellTable, expected: CellTable) -> None:
    assert found.keys.dtype == expected.keys.dtype
    np.testing.assert_array_equal(found.keys, expected.keys)
    np.testing.assert_array_equal(found.counts, expected.counts)
    assert found.layout.id == expected.layout.id


@pytest.mark.parametrize("unknown", ["set_aside", "neutral"])
@pytest.mark.parametrize("which", ["one word", "no utility", "outside", "two words"])
def test_duckdb_counts_the_same_cells(rows: pa.Table, which: str, unknown: str, tmp_path) -> None:
    duckdb = pytest.importorskip("duckdb")
    layout = layouts(rows)[which]
    expected = CellTable.from_batches([rows], layout, unknown=unknown)
    con = duckdb.connect()
    con.register("t", rows)
    found = con.sql(cells_query(layout, "t", unknown=unknown)).to_arrow_table()
    aside = dict(con.sql(set_aside_query(layout, "t")).fetchall()) if unknown == "set_aside" else {}
    same(cells_of(found, layout, aside), expected)
    assert aside == expected.set_aside
    if layout.words == 1:
        same(CellTable.from_arrow(found, layout), expected)
    path = tmp_path / "a 'b' \"c\".parquet"
    pq.write_table(rows, path)
    same(cells_of(con.sql(cells_query(layout, str(path), unknown=unknown)).to_arrow_table(), layout), expected)


def test_duckdb_counts_in_a_schema(rows: pa.Table) -> None:
    duckdb = pytest.importorskip("duckdb")
    layout = layouts(rows)["no utility"]
    con = duckdb.connect()
    con.register("t", rows)
    con.sql('CREATE SCHEMA "s; x"')
    con.sql('CREATE TABLE "s; x"."from" AS SELECT * FROM t')
    found = con.sql(cells_query(layout, ("s; x", "from"))).to_arrow_table()
    same(cells_of(found, layout), CellTable.from_batches([rows], layout))


@pytest.mark.parametrize("unknown", ["set_aside", "neutral"])
@pytest.mark.parametrize("which", ["one word", "no utility", "outside", "two words"])
def test_polars_counts_the_same_cells(rows: pa.Table, which: str, unknown: str) -> None:
    pl = pytest.importorskip("polars")
    layout = layouts(rows)[which]
    frame = pl.from_arrow(rows).lazy()
    expected = CellTable.from_batches([rows], layout, unknown=unknown)
    for schema in (None, frame.collect_schema()):
        keys = polars_expression(layout, unknown=unknown, schema=schema)
        counted = frame.select(keys).drop_nulls().group_by(pl.all()).agg(count=pl.len()).collect()
        same(cells_of(counted.to_arrow(), layout), expected)


def two_modalities(n: int = 500) -> tuple[pa.Table, Layout]:
    rng = np.random.default_rng(3)
    values = np.array(["man", "woman", "other", "", None], object)
    rows = pa.table({f"g_{m}": pa.array(values[rng.integers(0, 5, n)]) for m in ("text", "image")} | {"y": rng.integers(0, 2, n)})  # fmt: skip
    return rows, layout_of(rows, "g", ["y"], vocabulary={"g": ["woman", "man"]})


def test_a_variable_that_is_seen_twice() -> None:
    rows, layout = two_modalities()
    expected = CellTable.from_batches([rows], layout)
    assert 0 < expected.total < len(rows)
    assert len(expected.set_aside) == 2
    pl = pytest.importorskip("polars")
    counted = pl.from_arrow(rows).select(polars_expression(layout)).drop_nulls().group_by("key").agg(count=pl.len())
    same(cells_of(counted.to_arrow(), layout), expected)
    duckdb = pytest.importorskip("duckdb")
    con = duckdb.connect()
    con.register("t", rows)
    aside = dict(con.sql(set_aside_query(layout, "t")).fetchall())
    same(cells_of(con.sql(cells_query(layout, "t")).to_arrow_table(), layout), expected)
    assert aside == expected.set_aside


@pytest.mark.parametrize(
    ("column", "value"), [("count", 2), ("count", -1), ("u", -0.5), ("u", float("inf")), ("u", None)]
)
def test_what_pack_refuses_is_refused(rows: pa.Table, column: str, value: object) -> None:
    layout = layouts(rows)["one word"]
    cells = rows.column(column).to_pylist()
    cells[7] = value
    bad = rows.slice(0, 50).set_column(rows.column_names.index(column), column, pa.array(cells[:50]))
    bad = bad.set_column(0, COLUMN, pa.array([HOSTILE[0]] * 50)).set_column(1, "hired", pa.array([True] * 50))
    bad = bad.set_column(5, "the 'tags'", pa.array([[HOSTILE[1]]] * 50))
    with pytest.raises(InputError):
        CellTable.from_batches([bad], layout)
    pl = pytest.importorskip("polars")
    with pytest.raises((InputError, pl.exceptions.PolarsError), match=column):
        pl.from_arrow(bad).select(polars_expression(layout))
    duckdb = pytest.importorskip("duckdb")
    con = duckdb.connect()
    con.register("t", bad)
    with pytest.raises(duckdb.Error, match=column):
        con.sql(cells_query(layout, "t")).to_arrow_table()


def test_names_that_no_engine_can_take() -> None:
    flag = Variable("a\0b", "attribute", "flag")
    with pytest.raises(InputError, match="zero byte"):
        cells_query(Layout((flag,)), "t")
    with pytest.raises(InputError, match="zero byte"):
        cells_query(Layout((Variable("a", "attribute", "values", ("x\0", "y")),)), "t")
    with pytest.raises(InputError, match="'A' and 'a' apart"):
        cells_query(Layout((Variable("A", "attribute", "flag"), Variable("a", "label", "flag"))), "t")
    with pytest.raises(InputError, match="dialect"):
        cells_query(Layout((Variable("A", "attribute", "flag"),)), "t", dialect="oracle")
    with pytest.raises(InputError, match="unknown"):
        cells_query(Layout((Variable("A", "attribute", "flag"),)), "t", unknown="error")
    with pytest.raises(InputError, match="score"):
        polars_expression(Layout((Variable("A", "attribute", "score"),)))


def test_cells_of_checks_its_columns() -> None:
    layout = Layout((Variable("A", "attribute", "flag"),))
    with pytest.raises(MissingColumnError, match="key"):
        cells_of(pa.table({"count": [1]}), layout)
    with pytest.raises(InputError, match="null"):
        cells_of(pa.table({"key": pa.array([None, 1], pa.uint64()), "count": [1, 1]}), layout)
