"""An association after balancing, without the errors of the annotator: against the truth that a simulation knows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from equipoise.audit.annotated import annotations_of, parameters_of
from equipoise.audit.cells import audit_cells
from equipoise.compare.cells import compare_cells
from equipoise.data.annotated import Annotation, with_annotation
from equipoise.data.cell_table import CellTable
from equipoise.mitigate.data.m4 import M4

N = 400_000


def known(value: float) -> dict[str, Any]:
    return {"value": value, "low": value - 0.01, "high": value + 0.01, "n": 3000}


def drawn(name: str = "gender_text", n: int = N) -> tuple[pa.Table, np.ndarray]:
    """Return rows of sensitivity .85 and specificity .90 with two labels, and who is truly a woman."""
    rng = np.random.default_rng(0)
    s = rng.random(n) < 0.45
    y = rng.random(n) < np.where(s, 0.5, 0.2)
    z = rng.random(n) < np.where(s, 0.1, 0.3) * np.where(y, 1.5, 0.8)
    read = np.where(s, rng.random(n) < 0.85, rng.random(n) >= 0.90)
    ppv, npv = known(float(s[read].mean())), known(float((~s)[~read].mean()))
    groups = {
        "woman": {"ppv": ppv, "npv": npv, "sens": known(0.85), "spec": known(0.90)},
        "man": {"ppv": npv, "npv": ppv, "sens": known(0.90), "spec": known(0.85)},
    }
    gold = {"labelled": 6000, "level": 0.95, "values": {}, "groups": groups}
    field = with_annotation(
        pa.field(name, pa.string()), Annotation("l", "1", "0" * 64, ("woman", "man", "none"), ("woman", "man"), gold)
    )
    said = np.where(read, "woman", "man")
    said[rng.random(n) < 0.1] = "none"
    schema = pa.schema([field, ("y", pa.bool_()), ("z", pa.bool_())])
    return pa.table([said, y, z], schema=schema), s


def association(rows: pa.Table, s: np.ndarray, labels: list[str], weights: np.ndarray) -> float:
    inside = rows["gender_text"].to_numpy() != "none"
    one, two = s & inside, ~s & inside
    columns = [rows[name].to_numpy() for name in labels]
    return max(
        abs(np.average(y[one], weights=weights[one]) - np.average(y[two], weights=weights[two])) for y in columns
    )


def value_in(note: str) -> float:
    return float(note.split("about ")[1].split(" ")[0])


@pytest.mark.parametrize("labels", [["y"], ["y", "z"]])
def test_after_balancing_the_note_tells_what_is_left_on_the_truth(labels: list[str]) -> None:
    rows, s = drawn()
    method = M4("gender_text", labels, keep=1, cap=10, tolerance=0).fit(rows)
    assert method.cells_ is not None
    true = association(rows, s, labels, method.weights(rows))
    assert true == pytest.approx(0.14, abs=0.006)
    parameters = parameters_of(annotations_of(rows.schema, ["gender_text"]))
    ledger = compare_cells(method.cells_, None, method, controls=False, parameters=parameters)
    (before,) = [note for note in ledger.document.before["notes"] if note.startswith("ab by")]
    assert value_in(before) == pytest.approx(association(rows, s, labels, np.ones(N)), abs=0.004)
    (after,) = [note for note in ledger.document.after["notes"] if "ab by 'gender_text'" in note]
    assert after.startswith("With weights, ab by 'gender_text' is 0 as observed, about 0.1")
    assert value_in(after) == pytest.approx(true, abs=0.004)


def noted(rows: pa.Table, **options: Any) -> str:
    method = M4("gender_text", ["y"], **options).fit(rows)
    assert method.cells_ is not None
    parameters = parameters_of(annotations_of(rows.schema, ["gender_text"]))
    ledger = compare_cells(method.cells_, None, method, controls=False, parameters=parameters)
    (note,) = [note for note in ledger.document.after["notes"] if "ab by 'gender_text'" in note]
    return note


def test_where_it_cannot_be_told_it_is_said_to_be_unknown() -> None:
    rows, _ = drawn(n=4000)
    assert "not known after weighting without its errors (rows of no group take part)" in noted(rows, mask="none")
    y, said = rows["y"].to_numpy(zero_copy_only=False), rows["gender_text"].to_numpy()
    few = rows.take(pa.array(np.flatnonzero(~y | (said != "man"))))  # no man has the label
    found = CellTable.from_batches([few], M4("gender_text", ["y"]).fit(rows).layout_)
    parameters = parameters_of(annotations_of(rows.schema, ["gender_text"]))
    document = audit_cells(found, np.ones(len(found)), parameters=parameters).document
    (note,) = [note for note in document.notes if "ab by 'gender_text'" in note]
    assert note.endswith("(too many of the rows are like no row of the other group).")


def test_without_a_gold_sheet_there_is_no_such_note() -> None:
    rows, _ = drawn(n=4000)
    plain = rows.schema.field("gender_text")
    annotation = annotations_of(rows.schema, ["gender_text"])["gender_text"]
    plain = with_annotation(pa.field("gender_text", pa.string()), Annotation(**{**vars(annotation), "gold": None}))
    rows = rows.cast(pa.schema([plain, rows.schema.field("y"), rows.schema.field("z")]))
    method = M4("gender_text", ["y"]).fit(rows)
    assert method.cells_ is not None
    parameters = parameters_of(annotations_of(rows.schema, ["gender_text"]))
    document = audit_cells(method.cells_, np.ones(len(method.cells_)), parameters=parameters).document
    assert not [note for note in document.notes if "as observed" in note]
