"""A filled sheet read back: confusion by hand, weights, groups, and every way to fill it in wrongly."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from statsmodels.stats.proportion import proportion_confint

from equipoise.annotate.draw import draw_sheet, write_sheet
from equipoise.annotate.gold import lines_of, read_gold
from equipoise.annotate.sheet import halves, read_sheet
from equipoise.data.annotated import Annotation, with_annotation
from equipoise.errors import InputError, MissingColumnError, VocabularyError

STATES = ("woman", "man", "none")
# (said, true, race, rows)
CELLS = [
    ("woman", "woman", "A", 40), ("woman", "man", "A", 2), ("woman", "woman", "B", 10), ("woman", "man", "B", 8),
    ("man", "man", "A", 45), ("man", "woman", "A", 3), ("man", "man", "B", 20), ("man", "none", "B", 2),
    ("none", "none", "A", 60), ("none", "woman", "B", 5),
]  # fmt: skip


def field(name: str, kind: pa.DataType, values: tuple[str, ...], groups: tuple[str, ...] = ()) -> pa.Field:
    return with_annotation(pa.field(name, kind), Annotation("people", "people-1", "0" * 64, values, groups))


@pytest.fixture
def case() -> tuple[pa.Table, dict[str, str]]:
    said = [cell[0] for cell in CELLS for _ in range(cell[3])]
    true = [cell[1] for cell in CELLS for _ in range(cell[3])]
    race = [cell[2] for cell in CELLS for _ in range(cell[3])]
    jobs = [["nurse"] if i % 5 == 0 else [] for i in range(len(said))]
    ids = [f"r{i}" for i in range(len(said))]
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("race", pa.string()),
            field("gender_text", pa.string(), STATES, ("woman", "man")),
            field("job_text", pa.list_(pa.string()), ("nurse", "doctor")),
        ]
    )
    return pa.table([ids, race, said, jobs], schema=schema), dict(zip(ids, true, strict=True))


def fill(sheet: pa.Table, path: Path, **labels: dict[str, str]) -> Path:
    for name, of in labels.items():
        column = f"gold_{name}"
        texts = [of.get(row, "") for row in sheet["row_id"].to_pylist()]
        sheet = sheet.set_column(sheet.schema.get_field_index(column), column, pa.array(texts))
    return write_sheet(sheet, path)


def test_a_whole_table_labelled_gives_the_confusion_by_hand(case: tuple, tmp_path: Path) -> None:
    table, truth = case
    path = fill(draw_sheet(table, n=500, id="id"), tmp_path / "s.csv", gender_text=truth)
    gold = read_gold(path, table, id="id", by=["race"])
    assert list(gold.columns) == ["gender_text"]  # nothing was written for jobs
    error = gold.report()["gender_text"]
    assert error.confusion["woman"] == {"woman": (50, 50.0), "man": (3, 3.0), "none": (5, 5.0)}
    assert error.confusion["none"]["man"] == (2, 2.0)
    woman = error.tags["woman"]
    assert (woman.tp, woman.fp, woman.fn, woman.tn) == (50, 10, 8, 127)
    low, high = proportion_confint(50, 60, method="wilson")
    assert (woman.precision.value, woman.precision.low, woman.precision.high) == pytest.approx((50 / 60, low, high))
    assert woman.recall.value == pytest.approx(50 / 58)
    assert woman.specificity.value == pytest.approx(127 / 137)
    assert woman.npv.value == pytest.approx(127 / 135)
    # among rows whose answer and truth are a group
    inside = error.groups["woman"]
    assert (inside.tp, inside.fp, inside.fn, inside.tn) == (50, 10, 3, 65)
    assert inside.precision.value == pytest.approx(50 / 60)
    assert inside.npv.value == pytest.approx(65 / 68)
    assert error.groups["man"].precision.value == inside.npv.value
    assert error.outside is not None
    assert error.outside.value == pytest.approx(2 / 130)
    assert error.by["race"]["A"].tags["woman"].precision.value == pytest.approx(40 / 42)
    assert error.by["race"]["B"].tags["woman"].precision.value == pytest.approx(10 / 18)
    assert error.by["race"]["B"].tags["woman"].precision.status == "weak"
    text = "\n".join(lines_of("gender_text", error))
    assert "195 rows labelled by hand" in text
    assert "race=B" in text


def test_a_drawn_sheet_gives_the_precision_of_the_whole_table(case: tuple, tmp_path: Path) -> None:
    table, truth = case
    whole = pa.concat_tables([table] * 20)
    whole = whole.set_column(0, "id", pa.array([f"{name}-{i}" for i, name in enumerate(whole["id"].to_pylist())]))
    of = {name: truth[name.partition("-")[0]] for name in whole["id"].to_pylist()}
    path = fill(draw_sheet(whole, n=300, id="id"), tmp_path / "s.csv", gender_text=of)
    error = read_gold(path, whole, id="id").report()["gender_text"]
    assert error.labelled == 300
    for name, value in (("precision", 50 / 60), ("recall", 50 / 58), ("specificity", 127 / 137)):
        estimate = getattr(error.tags["woman"], name)
        assert estimate.low <= value <= estimate.high
        assert estimate.high - estimate.low < 0.3
    total = sum(weight for row in error.confusion.values() for _, weight in row.values())
    assert total == pytest.approx(len(whole))


def test_rows_left_empty_count_through_the_others_of_their_stratum(case: tuple, tmp_path: Path) -> None:
    table, truth = case
    sheet = draw_sheet(table, n=500, id="id")
    some = {name: value for i, (name, value) in enumerate(truth.items()) if i % 2}
    error = read_gold(fill(sheet, tmp_path / "s.csv", gender_text=some), table, id="id").report()["gender_text"]
    assert error.unlabelled == 195 - error.labelled == 98
    assert sum(w for row in error.confusion.values() for _, w in row.values()) == pytest.approx(195)


def test_tags_are_sets_and_none_is_written_out(case: tuple, tmp_path: Path) -> None:
    table, _ = case
    ids = table["id"].to_pylist()
    jobs = {name: ("Nurse; doctor" if i % 10 == 0 else "none") for i, name in enumerate(ids)}
    error = read_gold(
        fill(draw_sheet(table, n=500, id="id"), tmp_path / "s.csv", job_text=jobs), table, id="id"
    ).report()
    nurse, doctor = error["job_text"].tags["nurse"], error["job_text"].tags["doctor"]
    assert (nurse.tp, nurse.fp, nurse.fn) == (20, 19, 0)
    assert (doctor.tp, doctor.fp, doctor.fn) == (0, 0, 20)
    assert doctor.precision.status == "not_estimable"
    assert not error["job_text"].groups
    assert not error["job_text"].confusion
    assert set(error["job_text"].by) == {"gender_text"}
    gold = error["job_text"].gold()
    assert set(gold["values"]["nurse"]) == {"precision", "recall", "specificity"}


def test_rows_that_chose_margins_do_not_judge_them(case: tuple, tmp_path: Path) -> None:
    table, truth = case
    path = fill(draw_sheet(table, n=100, id="id"), tmp_path / "s.csv", gender_text=truth)
    sheet = read_sheet(path)
    first = halves(sheet, "gender_text", [True] * 100, STATES)
    assert 48 <= len(first) <= 52
    held = {sheet.ids[row] for row, _ in first}
    assert all(truth[sheet.ids[row]] == value for row, value in first)
    gold = read_gold(sheet, table, id="id", without={"gender_text": held})
    judged = gold.columns["gender_text"]
    assert not held & set(judged.ids)
    assert len(judged.ids) == 100 - len(first)
    assert judged.weight.sum() == pytest.approx(195)
    assert judged.unlabelled == 0


def test_sheets_that_were_filled_in_wrongly_are_refused(case: tuple, tmp_path: Path) -> None:
    table, truth = case
    sheet = draw_sheet(table, n=20, id="id")
    first = sheet["row_id"][0].as_py()
    path = fill(sheet, tmp_path / "a.csv", gender_text={first: "womn"})
    with pytest.raises(
        VocabularyError, match=r"'womn' in line 2 of 'a.csv' is not a value of 'gender_text'. Did you mean 'woman'"
    ):
        read_gold(path, table, id="id")
    with pytest.raises(InputError, match="No row of 'b.csv' is labelled"):
        read_gold(fill(sheet, tmp_path / "b.csv"), table, id="id")
    with pytest.raises(InputError, match=r"20 of 20 rows of 'c.csv' are in no row of the table: 'r\d+' \(line 2\)"):
        read_gold(fill(sheet, tmp_path / "c.csv", gender_text=truth), table)
    (tmp_path / "d.csv").write_text("row_id,answer\nr0,woman\n", "utf-8")
    with pytest.raises(MissingColumnError, match="begins with 'gold_'"):
        read_gold(tmp_path / "d.csv", table, id="id")
    (tmp_path / "e.csv").write_text("row_id,gold_gendr_text\nr0,woman\n", "utf-8")
    with pytest.raises(MissingColumnError, match="Did you mean 'gender_text'"):
        read_gold(tmp_path / "e.csv", table, id="id")
    (tmp_path / "f.csv").write_text("row_id,stratum,represents,gold_gender_text\nr0,1,0,woman\n", "utf-8")
    with pytest.raises(InputError, match="is 0 in line 2, which is no number of rows"):
        read_gold(tmp_path / "f.csv", table, id="id")
    (tmp_path / "g.csv").write_text("row_id,gold_gender_text\nr0,woman\nr0,man\n", "utf-8")
    with pytest.raises(InputError, match="more than once"):
        read_gold(tmp_path / "g.csv", table, id="id")


def test_a_sheet_of_ones_own_counts_as_a_simple_sample(case: tuple, tmp_path: Path) -> None:
    table, truth = case
    lines = [f"{name},{value}" for name, value in truth.items()]
    (tmp_path / "own.csv").write_text("\n".join(["row_id,gold_gender_text", *lines]) + "\n", "utf-8")
    gold = read_gold(tmp_path / "own.csv", table, id="id")
    assert "simple random sample" in gold.notes[0]
    low, high = proportion_confint(50, 58, method="wilson")
    recall = gold.report()["gender_text"].tags["woman"].recall
    assert (recall.low, recall.high) == pytest.approx((low, high))
