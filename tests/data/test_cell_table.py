"""Cells: counted, merged, kept, refused."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise import read_samples
from equipoise.data.cell_table import CellTable, from_mapping, group_keys
from equipoise.data.layout import Layout, Variable
from equipoise.data.layout_of import layout_of
from equipoise.data.packing import pack
from equipoise.errors import EquipoiseError, InputError, MissingFileError, SchemaError, VocabularyError

RNG = np.random.default_rng(0)
TABLE = pa.table(
    {
        "gender": RNG.choice(["man", "woman"], 1000),
        "job": RNG.choice(["cook", "nurse", "pilot"], 1000),
        "y": RNG.random(1000) < 0.2,
    }
)
LAYOUT = layout_of(TABLE, "gender", ["job", "y"])
FLAGS = Layout((Variable("s", "attribute", "flag"), Variable("y", "label", "flag")))


def wide(words: int = 3) -> Layout:
    names = tuple(Variable(f"y{r:03d}", "label", "flag") for r in range(64 * words - 1))
    return Layout((*names, Variable("s", "attribute", "flag")))


def test_counts_against_a_counter():
    cells = CellTable.from_batches([TABLE], LAYOUT)
    counted = Counter(zip(*(TABLE[name].to_pylist() for name in ("gender", "job", "y")), strict=True))
    names = [bit.name for bit in LAYOUT.names]
    for bits, count in zip(cells.bits(), cells.counts, strict=True):
        on = {name for name, bit in zip(names, bits, strict=True) if bit}
        (gender,) = (name[7:] for name in on if name.startswith("gender="))
        (job,) = (name[4:] for name in on if name.startswith("job="))
        assert counted.pop((gender, job, "y" in on)) == count
    assert not counted
    assert cells.total == 1000
    assert (np.diff(cells.keys.astype(np.int64)) > 0).all()


def test_batches_samples_and_orders_give_the_same_bytes():
    whole = CellTable.from_batches([TABLE], LAYOUT).to_arrow()
    for size in (1, 7, 300):
        assert CellTable.from_batches(TABLE.to_batches(max_chunksize=size), LAYOUT).to_arrow().equals(whole)
    order = pa.array(RNG.permutation(1000))
    assert CellTable.from_batches([TABLE.take(order)], LAYOUT).to_arrow().equals(whole)
    named = TABLE.set_column(2, "y", pa.array(["1" if v else "0" for v in TABLE["y"].to_pylist()]))
    samples = read_samples(named, attributes=["gender", "job", "y"])
    cells = CellTable.from_samples(samples, layout_of(samples, "gender", "job"))
    assert cells.total == 1000
    assert len(cells) == 6
    assert CellTable.from_batches([], LAYOUT).total == 0


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=30), st.integers(0, 30), st.booleans())
def test_merging_is_associative_and_counts_like_one_table(pairs, cut, several):
    layout = wide() if several else FLAGS
    names = ("y000", f"y{64 * 3 - 2:03d}") if several else ("s", "y")

    def cells(part):
        found = CellTable.from_batches([], layout)
        for bits, count in part:
            found = found + from_mapping({tuple(n for i, n in enumerate(names) if bits >> i & 1): count}, layout)
        return found

    whole, left, right = cells(pairs), cells(pairs[:cut]), cells(pairs[cut:])
    assert (left + right).to_arrow().equals(whole.to_arrow())
    assert (right + left).to_arrow().equals(whole.to_arrow())
    assert whole.total == sum(count for _, count in pairs)


def test_rows_set_aside_are_counted_and_added_up():
    table = TABLE.set_column(
        0, "gender", pa.array([None if i % 10 == 0 else "x" if i % 10 == 1 else "man" for i in range(1000)])
    )
    cells = CellTable.from_batches(table.to_batches(max_chunksize=99), LAYOUT)
    assert cells.set_aside == {"gender is unknown": 100, "gender is outside its vocabulary": 100}
    assert cells.total == 800
    assert (cells + cells).set_aside == {"gender is unknown": 200, "gender is outside its vocabulary": 200}
    assert CellTable.from_batches([table], LAYOUT, unknown="neutral").total == 1000


@pytest.mark.parametrize("layout", [FLAGS, wide(2), wide(3)])
def test_parquet_keeps_everything_and_equal_cells_give_equal_bytes(tmp_path, layout):
    last = "s" if layout is FLAGS else f"y{layout.size - 2:03d}"
    first = "y" if layout is FLAGS else "y000"
    cells = from_mapping({(): 5, (first,): 2**40, (first, last): 1}, layout)
    cells = CellTable(cells.keys, cells.counts, layout, {"s is unknown": 3})
    cells.to_parquet(tmp_path / "a.parquet")
    cells.to_parquet(tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    again = CellTable.from_parquet(tmp_path / "a.parquet")
    assert again.layout == layout
    assert again.set_aside == {"s is unknown": 3}
    assert np.array_equal(again.keys, cells.keys)
    assert np.array_equal(again.counts, cells.counts)
    assert [path.name for path in tmp_path.iterdir()] != []
    assert not list(tmp_path.glob("*.part"))


def test_keys_of_other_engines():
    cells = from_mapping({("s",): 3, ("y",): 4, ("s", "y"): 5}, FLAGS)
    keys = cells.keys.astype(int).tolist()
    for column in (
        pa.array(keys, pa.uint64()), pa.array(keys, pa.int64()), pa.array(keys, pa.int32()),
        pa.array(keys, pa.decimal128(38, 0)), pa.array([k.to_bytes(8, "big") for k in keys], pa.binary(8)),
        pa.chunked_array([pa.array(keys[:1], pa.uint64()), pa.array(keys[1:], pa.uint64())]),
    ):  # fmt: skip
        found = CellTable.from_arrow(pa.table({"key": column, "count": cells.counts}), FLAGS)
        assert np.array_equal(found.keys, cells.keys)
        assert np.array_equal(found.counts, cells.counts)
    top = Layout((Variable("s", "attribute", "values", tuple(map(str, range(64)))),))
    negative = pa.table({"key": pa.array([-(2**63)], pa.int64()), "count": [1]})
    assert CellTable.from_arrow(negative, top).bits()[0, 63]
    repeated = pa.table({"key": pa.array([1, 1, 0], pa.uint64()), "count": [1, 2, 0]})
    assert CellTable.from_arrow(repeated, FLAGS).counts.tolist() == [3]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"key": [1]}, "no column count"),
        ({"key": [1], "count": [0.5]}, "The counts are double"),
        ({"key": [1], "count": pa.array([None], pa.int64())}, "The counts are int64"),
        ({"key": pa.array([None], pa.uint64()), "count": [1]}, "Some keys are null"),
        ({"key": ["1"], "count": [1]}, "The keys are string"),
        ({"key": pa.array([4], pa.uint64()), "count": [1]}, "bits above the 2 of the layout"),
        ({"key": pa.array([1], pa.uint64()), "count": [-1]}, "A count is -1"),
    ],
)
def test_cells_of_other_engines_that_are_none(table, said):
    with pytest.raises(InputError, match=said):
        CellTable.from_arrow(pa.table(table), FLAGS)


def test_arrays_that_are_none():
    for keys, counts in (
        ([1], np.array([1])),
        (np.array([1], np.uint64), np.array([0.5])),
        (np.zeros((1, 2), np.uint64), np.array([1])),
    ):
        with pytest.raises(InputError):
            CellTable(keys, counts, FLAGS)


def test_layouts_must_match():
    one = from_mapping({("s",): 1}, FLAGS)
    other = from_mapping({("s",): 1}, Layout(FLAGS.variables[::-1]))
    with pytest.raises(VocabularyError, match="the order of the columns"):
        one + other
    with pytest.raises(TypeError):
        one + 1  # type: ignore[operator]


def test_files_that_are_none(tmp_path):
    with pytest.raises(MissingFileError):
        CellTable.from_parquet(tmp_path / "no.parquet")
    (tmp_path / "text.parquet").write_text("x")
    with pytest.raises(SchemaError, match="no Parquet file"):
        CellTable.from_parquet(tmp_path / "text.parquet")
    pq.write_table(TABLE, tmp_path / "rows.parquet")
    with pytest.raises(SchemaError, match="no table of cells"):
        CellTable.from_parquet(tmp_path / "rows.parquet")
    with pytest.raises(InputError, match="cannot be written"):
        from_mapping({("s",): 1}, FLAGS).to_parquet(tmp_path / "no" / "cells.parquet")


def _damage(document, *path, value=...):
    """Return the document with one entry changed, or (without a value) removed."""
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return document


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: b"{", lambda d: b"[]", lambda d: b"null", lambda d: b"\xff", lambda d: b"[" * 100_000,
        lambda d: _damage(d, "layout"), lambda d: _damage(d, "layout_id"), lambda d: _damage(d, "set_aside"),
        lambda d: _damage(d, "more", value=1), lambda d: _damage(d, "layout", "more", value=1),
        lambda d: _damage(d, "layout", value=[]), lambda d: _damage(d, "layout", value=None),
        lambda d: _damage(d, "layout", "variables"), lambda d: _damage(d, "layout", "variables", value=3),
        lambda d: _damage(d, "layout", "variables", value=[]), lambda d: _damage(d, "layout", "variables", value=[3]),
        lambda d: _damage(d, "layout", "variables", 0, "more", value=1),
        lambda d: _damage(d, "layout", "variables", 0, "name", value=3),
        lambda d: _damage(d, "layout", "variables", 0, "kind", value="x"),
        lambda d: _damage(d, "layout", "variables", 0, "values", value=3),
        lambda d: _damage(d, "layout", "utility_bins", value="x"), lambda d: _damage(d, "layout_id", value=3),
        lambda d: _damage(d, "set_aside", value=[1]), lambda d: _damage(d, "set_aside", "r", value="x"),
        lambda d: _damage(d, "set_aside", "r", value=-1), lambda d: _damage(d, "set_aside", "r", value=None),
        lambda d: _damage(d, "set_aside", "r", value=1.5),
    ],
)  # fmt: skip
def test_damaged_files_are_said_to_be(tmp_path, damage):
    table = from_mapping({("s",): 1}, FLAGS).to_arrow()
    (name,) = table.schema.metadata
    found = damage(json.loads(table.schema.metadata[name]))
    text = found if isinstance(found, bytes) else json.dumps(found).encode()
    pq.write_table(table.replace_schema_metadata({name: text}), tmp_path / "cells.parquet")
    with pytest.raises(SchemaError, match=r"are damaged|is not the one it was written with"):
        CellTable.from_parquet(tmp_path / "cells.parquet")


def test_arrays_are_not_to_be_changed():
    cells = from_mapping({("s",): 1}, FLAGS)
    with pytest.raises(ValueError, match="read-only"):
        cells.counts[0] = 2


def test_utilities_are_those_of_the_bins():
    table = pa.table({"s": [True, False, True], "u": [0.24, 0.26, 9.0]})
    layout = layout_of(table, "s", utility="u", bins=[0.0, 0.5, 2.0])
    cells = CellTable.from_batches([table], layout)
    assert sorted(cells.utility().tolist()) == [0.0, 0.5, 2.0]
    assert CellTable.from_batches([table], layout_of(table, "s")).utility().tolist() == [1.0, 1.0]


@pytest.mark.parametrize("words", [1, 2])
def test_group_keys(words):
    layout = FLAGS if words == 1 else wide(2)
    names = ["s", "y"] if words == 1 else ["s", "y000"]
    table = pa.table({bit.name: RNG.random(200) < (0.5 if bit.name in names else 0) for bit in layout.names})
    keys, _ = pack(table, layout)
    found, number, counts = group_keys(keys)
    assert np.array_equal(found[number], keys)
    assert np.array_equal(np.bincount(number), counts)
    assert len(found) == 4


def test_no_flipped_bit_of_a_file_of_cells_is_believed(tmp_path) -> None:
    layout = Layout((Variable("g", "attribute", "values", ("a", "b")), Variable("y", "label", "flag")))
    cells = CellTable(np.arange(6, dtype=np.uint64), np.arange(1, 7) * 1000, layout, {"g is unknown": 5})
    cells.to_parquet(tmp_path / "cells.parquet")
    whole = (tmp_path / "cells.parquet").read_bytes()
    refused = 0
    for place in np.random.default_rng(0).choice(len(whole) * 8, 200, replace=False).tolist():
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << (place % 8)
        (tmp_path / "damaged.parquet").write_bytes(damaged)
        try:
            found = CellTable.from_parquet(tmp_path / "damaged.parquet")
        except EquipoiseError:
            refused += 1
            continue
        np.testing.assert_array_equal(found.keys, cells.keys)
        np.testing.assert_array_equal(found.counts, cells.counts)
        assert found.set_aside == cells.set_aside
    assert refused > 20
