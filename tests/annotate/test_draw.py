"""Sheets: how rows are drawn, written, and kept from being lost."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from equipoise.annotate.draw import Draw, check_sheet, draw_sheet, unescaped, write_sheet
from equipoise.annotate.sheet import read_sheet
from equipoise.data.annotated import Annotation, with_annotation
from equipoise.errors import InputError, MissingColumnError, OutputExistsError

STATES = ("woman", "man", "none")


def annotated(states: list[str | None], **columns: list) -> pa.Table:
    field = with_annotation(
        pa.field("gender_text", pa.string()), Annotation("people", "people-1", "0" * 64, STATES, ("woman", "man"))
    )
    schema = pa.schema([*(pa.field(name, pa.array(v).type) for name, v in columns.items()), field])
    return pa.table([*columns.values(), states], schema=schema)


def many(n: int = 1000) -> pa.Table:
    rng = np.random.default_rng(0)
    states = rng.choice(["woman", "man", "none", None], n, p=[0.05, 0.1, 0.8, 0.05]).tolist()
    return annotated(states, id=[f"r{i}" for i in range(n)], race=rng.choice(["A", "B"], n).tolist())


def test_rare_answers_are_looked_at_and_rows_stand_for_the_whole_table() -> None:
    table = many()
    sheet = draw_sheet(table, n=200, id="id")
    assert sheet.column_names == ["row_id", "stratum", "represents", "gold_gender_text"]
    assert len(sheet) == 200
    said = dict(zip(table["id"].to_pylist(), table["gender_text"].to_pylist(), strict=True))
    drawn = Counter(said[name] for name in sheet["row_id"].to_pylist())
    there = Counter(said.values())
    assert None not in drawn
    assert min(drawn.values()) >= 200 // 6
    weights = sheet["represents"].to_numpy()
    assert weights.sum() == pytest.approx(len(table) - there[None])
    for state in STATES:
        own = weights[[said[name] == state for name in sheet["row_id"].to_pylist()]]
        assert own == pytest.approx(np.full(drawn[state], there[state] / drawn[state]))
    assert sheet["gold_gender_text"].to_pylist() == [""] * 200


def test_the_order_of_lines_and_of_batches_decides_nothing() -> None:
    table = many()
    mixed = table.take(pa.array(np.random.default_rng(1).permutation(len(table))))
    one, two = draw_sheet(table, n=60, id="id"), draw_sheet(mixed, n=60, id="id")
    assert one.equals(two)
    draw = Draw(["gender_text"], 60)
    for start in range(0, len(table), 77):
        part = table.slice(start, 77)
        draw.add(part, part["id"].to_pylist())
    assert draw.finish().equals(one)
    assert not draw_sheet(table, n=60, id="id", seed=1).equals(one)


def test_strata_of_other_columns_and_shown_columns() -> None:
    table = many()
    sheet = draw_sheet(table, n=120, id="id", strata=["race"], show=["race"])
    assert len(set(sheet["stratum"].to_pylist())) == 6
    rare = Counter(zip(sheet["stratum"].to_pylist(), sheet["race"].to_pylist(), strict=True))
    assert len(rare) == 6
    assert min(rare.values()) >= 10


def test_a_small_table_is_drawn_whole_and_too_many_strata_are_put_together() -> None:
    table = many(40)
    sheet = draw_sheet(table, n=200, id="id")
    assert len(sheet) == 40 - table["gender_text"].null_count
    assert set(sheet["represents"].to_pylist()) == {1.0}
    few = draw_sheet(table, n=4, id="id", strata=["race"])
    assert len(few) == 4
    assert few["represents"].to_numpy().sum() == pytest.approx(len(sheet))


@pytest.mark.parametrize("n", [0, -1, 2.5, True])
def test_no_rows_cannot_be_drawn(n: object) -> None:
    with pytest.raises(InputError, match="cannot be drawn"):
        draw_sheet(many(), n=n)  # type: ignore[arg-type]


def test_what_cannot_be_drawn_from_is_refused() -> None:
    with pytest.raises(InputError, match="no annotated column"):
        draw_sheet(pa.table({"x": ["a"]}))
    with pytest.raises(MissingColumnError, match="Did you mean 'race'"):
        draw_sheet(many(), strata=["rase"])
    with pytest.raises(InputError, match="No row was annotated"):
        draw_sheet(annotated([None, None]))
    twice = annotated(["woman", "man"], id=["a", "a"])
    with pytest.raises(InputError, match="more than once: 'a'"):
        draw_sheet(twice, id="id")


def test_a_sheet_survives_its_file_and_runs_nothing(tmp_path: Path) -> None:
    captions = ['=HYPERLINK("x")', "-1 cat", "a, b\nc", "@x", "plain"]
    table = annotated(["woman"] * 5, id=["+1", "-2", "@3", "'=4", "five"], text=captions)
    path = write_sheet(draw_sheet(table, n=5, id="id", show=["text"]), tmp_path / "sheet.csv")
    for line in path.read_text("utf-8").splitlines()[1:]:
        assert not line.startswith(("=", "+", "-", "@"))
    read = read_sheet(path)
    assert set(read.ids) == {"+1", "-2", "@3", "'=4", "five"}
    assert unescaped("'plain") == "'plain"


def test_a_sheet_that_is_there_is_not_lost(tmp_path: Path) -> None:
    sheet, path = draw_sheet(many(), n=10, id="id"), tmp_path / "sheet.csv"
    write_sheet(sheet, path)
    with pytest.raises(OutputExistsError, match="already"):
        write_sheet(sheet, path)
    write_sheet(sheet, path, overwrite=True)
    text = path.read_text("utf-8").replace(",\n", ",woman\n")
    path.write_text(text, "utf-8")
    with pytest.raises(OutputExistsError, match="has labels"):
        write_sheet(sheet, path, overwrite=True)
    assert path.read_text("utf-8") == text
    with pytest.raises(InputError, match="ends in .csv"):
        write_sheet(sheet, tmp_path / "sheet.parquet")


def test_what_is_no_sheet_is_not_replaced(tmp_path: Path) -> None:
    sheet, path = draw_sheet(many(), n=10, id="id"), tmp_path / "data.csv"
    path.write_text("row_id,text\na,b\n", "utf-8")
    with pytest.raises(OutputExistsError, match="no sheet to fill in"):
        write_sheet(sheet, path, overwrite=True)
    write_sheet(sheet, tmp_path / "sheet.csv")
    with pytest.raises(InputError, match=r"--sheet .* is read: it would be written over"):
        check_sheet(tmp_path / "sheet.csv", overwrite=True, inputs=[None, path, tmp_path / "sheet.csv"])
    assert path.read_text("utf-8") == "row_id,text\na,b\n"
