"""RB and AB on labels that people wrote: against the whole truth, which only a simulation knows."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from equipoise.annotate.draw import draw_sheet, write_sheet
from equipoise.annotate.gold_balance import gold_balance
from equipoise.annotate.gold_weights import balance_on_gold
from equipoise.data.annotated import Annotation, with_annotation
from equipoise.errors import InputError, MissingColumnError
from equipoise.mitigate.data.m4 import M4

GROUPS = ("woman", "man")
N = 20_000


def rows_of(seed: int = 0, n: int = N) -> tuple[pa.Table, np.ndarray, np.ndarray]:
    """Return rows in which women who are pilots are read as men half of the time, the truth, and the label."""
    rng = np.random.default_rng(seed)
    s = rng.random(n) < 0.4
    pilot = rng.random(n) < np.where(s, 0.2, 0.4)
    read = np.where(s & pilot, rng.random(n) < 0.5, np.where(s, rng.random(n) < 0.95, rng.random(n) < 0.05))
    said = np.where(read, "woman", "man")
    said[rng.random(n) < 0.1] = "none"
    genders = Annotation("l", "1", "0" * 64, (*GROUPS, "none"), GROUPS)
    jobs = Annotation("l", "1", "0" * 64, ("pilot", "nurse"), ())
    tags = [["pilot"] if one else ["nurse"] for one in pilot]
    schema = pa.schema([
        ("id", pa.string()), with_annotation(pa.field("gender_text", pa.string()), genders),
        with_annotation(pa.field("job_text", pa.list_(pa.string())), jobs), ("pilot", pa.bool_()),
    ])  # fmt: skip
    return pa.table([[f"r{i}" for i in range(n)], said, tags, pilot], schema=schema), s, pilot


def exactly(s: np.ndarray, y: np.ndarray, w: np.ndarray) -> tuple[float, float]:
    gap = np.average(y[s], weights=w[s]) - np.average(y[~s], weights=w[~s])
    return abs(np.average(s, weights=w) - 0.5), abs(gap)


def filled(path: Path, rows: pa.Table, s: np.ndarray, n: int, seed: int = 0, jobs: bool = False) -> Path:
    path.unlink(missing_ok=True)
    write_sheet(draw_sheet(rows, ["gender_text", "job_text"], n=n, id="id", seed=seed), path)
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    for line in lines:
        row = int(line["row_id"][1:])
        line["gold_gender_text"] = "woman" if s[row] else "man"
        line["gold_job_text"] = ";".join(rows["job_text"][row].as_py()) if jobs else ""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    return path


def weighed(rows: pa.Table) -> tuple[pa.Table, np.ndarray]:
    method = M4("gender_text", ["pilot"], keep=1, cap=10, tolerance=0).fit(rows)
    weights = method.weights(rows)
    return rows.append_column("m4_weight", pa.array(weights)), weights


def test_with_all_rows_labelled_it_is_the_number_itself() -> None:
    rows, s, pilot = rows_of(n=3000)
    w = np.random.default_rng(1).random(3000)
    found = gold_balance(
        np.where(s, *GROUPS).tolist(), {"pilot": pilot, "nurse": ~pilot, "chef": np.zeros(3000, bool)}, w, np.ones(3000),
        np.zeros(3000, int), groups=GROUPS, draws=200,
    )  # fmt: skip
    rb, ab = exactly(s, pilot, w)
    assert (found.rb.value, found.ab.value) == (pytest.approx(rb), pytest.approx(ab))
    rb, ab = exactly(s, pilot, np.ones(3000))
    assert (found.rb_before.value, found.ab_before.value) == (pytest.approx(rb), pytest.approx(ab))
    assert found.left_out == ("chef",)
    assert found.gaps["woman", "pilot"] == pytest.approx(-found.gaps["woman", "nurse"])
    assert found.rows == {"woman": int(s.sum()), "man": int((~s).sum())}
    assert rows.num_rows == found.rb.n
    assert found.rb.low < found.rb.value < found.rb.high


def test_shares_three_groups_and_rows_of_none() -> None:
    group = ["a"] * 50 + ["b"] * 30 + ["c"] * 20 + ["none"] * 40
    y = np.array([True] * 60 + [False] * 80)
    found = gold_balance(
        group, {"y": y}, np.ones(140), np.ones(140), np.zeros(140), groups=("a", "b", "c"),
        shares={"a": 0.5, "b": 0.2, "c": 0.3}, draws=100,
    )  # fmt: skip
    assert found.rb.value == pytest.approx(0.1)
    assert found.ab.value == pytest.approx(1 - 10 / 50)  # a: 50 of 50, the others: 10 of 50
    assert (found.ab.status, found.ab.reason) == ("weak", "20 labelled rows of a group")
    assert found.ab.n == 100


def test_it_holds_errors_that_depend_on_the_label(tmp_path: Path) -> None:
    rows, s, pilot = rows_of()
    table, weights = weighed(rows)
    inside = rows["gender_text"].to_numpy() != "none"
    read = rows["gender_text"].to_numpy() == "woman"
    assert exactly(read[inside], pilot[inside], weights[inside])[1] < 1e-6
    rb, ab = exactly(s, pilot, weights)
    found = balance_on_gold(filled(tmp_path / "s.csv", rows, s, 800), table, id="id", labels=["pilot"])
    one = found.columns["gender_text"]
    assert one.ab.low < ab < one.ab.high
    assert one.rb.low < rb < one.rb.high
    assert ab > 0.03
    assert found.labelled["gender_text"] == 800
    assert any("Labels of 'pilot' are those of the table" in note for note in found.notes)
    by_hand = filled(tmp_path / "s.csv", rows, s, 800, jobs=True)
    again = balance_on_gold(by_hand, table, id="id")
    assert again.labels == ("job_text=nurse", "job_text=pilot")
    assert again.columns["gender_text"].ab.value == pytest.approx(one.ab.value)
    assert not again.notes
    alone = balance_on_gold(
        by_hand, table, id="id", labels=["job:pilot"], shares={"gender": {"woman": 0.4, "man": 0.6}}
    )
    assert alone.labels == ("job_text=pilot",)
    assert alone.columns["gender_text"].rb.value == pytest.approx(
        abs(alone.columns["gender_text"].shares["woman"] - 0.4)
    )


def test_the_intervals_cover_and_chance_is_what_chance_gives(tmp_path: Path) -> None:
    rows, s, pilot = rows_of(n=8000)
    table, weights = weighed(rows)
    rb, ab = exactly(s, pilot, weights)
    hits = np.zeros(2)
    for seed in range(60):
        path = filled(tmp_path / "s.csv", rows, s, 500, seed)
        one = balance_on_gold(path, table, id="id", labels=["pilot"], draws=300).columns["gender_text"]
        hits += [one.rb.low <= rb <= one.rb.high, one.ab.low <= ab <= one.ab.high]
    assert (hits / 60 > 0.85).all(), hits / 60
    rng = np.random.default_rng(0)
    labels = {str(i): rng.random(400) < 0.3 for i in range(20)}
    none = gold_balance(
        rng.choice(GROUPS, 400).tolist(), labels, np.ones(400), np.ones(400), np.zeros(400), groups=GROUPS, draws=500
    )
    assert none.ab.null_value == pytest.approx(none.ab.value, abs=0.06)
    assert none.ab.null_value > 0.06


def test_rows_that_are_not_labelled_or_have_no_weight_count_through_the_others(tmp_path: Path) -> None:
    rows, s, _ = rows_of(n=2000)
    table, weights = weighed(rows)
    sheet = filled(tmp_path / "s.csv", rows, s, 300)
    first = sheet.read_text("utf-8").splitlines()[1].split(",")[0]
    gone = np.array([name == first for name in rows["id"].to_pylist()])
    fewer = table.set_column(table.schema.get_field_index("m4_weight"), "m4_weight", pa.array(weights, mask=gone))
    found = balance_on_gold(sheet, fewer, id="id", labels=["pilot"], draws=100)
    assert (found.set_aside, found.labelled) == ({"gender_text": 1}, {"gender_text": 299})
    text = sheet.read_text("utf-8").splitlines()
    text[2] = text[2].replace("woman", "").replace("man", "")
    sheet.write_text("\n".join(text) + "\n", "utf-8")
    found = balance_on_gold(sheet, fewer, id="id", labels=["pilot"], draws=100)
    assert (found.unlabelled, found.labelled) == ({"gender_text": 1}, {"gender_text": 298})


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"labels": ["pilott"]}, MissingColumnError, "no column 'pilott'. Did you mean 'pilot'"),
        ({"labels": ["id"]}, None, ""),
        ({"weights": "gender_text"}, InputError, "are no numbers"),
        ({"weights": "w"}, MissingColumnError, "no column 'w'"),
        ({"shares": {"gender": {"woman": 1.0}}}, InputError, "The wanted shares are"),
        ({"labels": ["job:pilott"]}, InputError, "No row of the sheet has 'job_text=pilott'"),
        ({"id": None}, InputError, "are in no row of the table"),
    ],
)
def test_wrong_use_is_told(tmp_path: Path, change: dict[str, Any], error: Any, says: str) -> None:
    rows, s, _ = rows_of(n=400)
    table, _ = weighed(rows)
    sheet = filled(tmp_path / "s.csv", rows, s, 60)
    wanted = {"id": "id", "labels": ["pilot"], "draws": 100, **change}
    if error is None:
        assert balance_on_gold(sheet, table, **wanted).columns["gender_text"].ab.has_value
        return
    with pytest.raises(error, match=says):
        balance_on_gold(sheet, table, **wanted)


def test_a_sheet_without_an_attribute_is_refused(tmp_path: Path) -> None:
    from equipoise.annotate.sheet import read_sheet

    rows, s, _ = rows_of(n=400)
    table, _ = weighed(rows)
    sheet = read_sheet(filled(tmp_path / "s.csv", rows, s, 60, jobs=True))
    with pytest.raises(InputError, match="no labelled attribute"):
        balance_on_gold(replace(sheet, labels={"job_text": sheet.labels["job_text"]}), table, id="id")
    with pytest.raises(InputError, match="A weight is below 0"):
        gold_balance(["woman", "man"], {}, [-1, 1], [1, 1], [0, 0], groups=GROUPS)
    with pytest.raises(InputError, match="not as many"):
        gold_balance(["woman", "man"], {"y": [True]}, [1, 1], [1, 1], [0, 0], groups=GROUPS)
    found = gold_balance(["woman"] * 3, {}, [1, 1, 1], [1, 1, 1], [0, 0, 0], groups=GROUPS)
    assert (found.rb.status, found.rb.reason) == ("not_estimable", "no labelled row is man")
