"""What ``equipoise balance`` says, in the terminal and in JSON, of columns that an annotator read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from equipoise.data.annotated import Annotation, with_annotation


def known(value: float) -> dict[str, Any]:
    return {"value": value, "low": value - 0.03, "high": value + 0.03, "n": 300}


GROUP = {"ppv": known(0.9), "npv": known(0.9), "sens": known(0.9), "spec": known(0.9)}
GOLD = {"labelled": 600, "level": 0.95, "values": {}, "groups": {"woman": GROUP, "man": GROUP}}


def written(path: Path, gold: dict[str, Any] | None, n: int = 3000) -> Path:
    rng = np.random.default_rng(3)
    woman = rng.random(n) < 0.5
    job = np.where(rng.random(n) < np.where(woman, 0.6, 0.3), "nurse", "judge")
    declared = Annotation("people-en-1", "people-en-1", "0" * 64, ("woman", "man", "none"), ("woman", "man"), gold)
    field = with_annotation(pa.field("gender_text", pa.string()), declared)
    schema = pa.schema([field, ("job", pa.string()), ("gender", pa.string())])
    said = np.where(woman, "woman", "man")
    pq.write_table(pa.table([said, job, np.where(woman, "Female", "Male")], schema=schema), path)
    return path


def of(ran: Any, code: str) -> list[str]:
    return [warning["message"] for warning in ran.json["warnings"] if warning["code"] == code]


def test_without_a_sheet_the_error_is_said_to_be_unknown(run: Any, tmp_path: Path) -> None:
    rows = written(tmp_path / "rows.parquet", None)
    flags = ("balance", rows, "--attribute", "gender_text", "--labels", "job", "--no-controls")
    ran = run(*flags, "--out", tmp_path / "w.parquet", "--cells-out", tmp_path / "cells.parquet", "--json")
    assert ran.code == 0, ran.err
    (told,) = of(ran, "error_unknown")
    assert "'gender_text' was read from captions by people-en-1; its error is unknown" in told
    assert f"warning: {told}" in ran.err
    ran = run(*flags[:1], tmp_path / "cells.parquet", "--cells", *flags[2:], "--out", tmp_path / "c.parquet", "--json")
    assert ran.code == 0, ran.err
    (told,) = of(ran, "error_unknown")
    assert told == "'gender_text' was annotated by people-en-1; its error is unknown: cells do not keep it."


def test_with_a_sheet_its_figures_are_told_before_and_after(run: Any, tmp_path: Path) -> None:
    rows = written(tmp_path / "rows.parquet", GOLD)
    ran = run(
        "balance", rows, "--attribute", "gender_text", "--labels", "job", "--tolerance", "0", "--no-controls",
        "--out", tmp_path / "w.parquet", "--json",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert not of(ran, "error_unknown")
    first, before, after = of(ran, "annotated")
    assert "of 600 rows labelled by hand PPV 0.9 [0.87, 0.93] (woman)" in first
    assert before.startswith("ab by 'gender_text' is 0.")
    assert after.startswith("With weights, ab by 'gender_text' is 0 as observed, about 0.")
    assert float(after.split("about ")[1].split(" ")[0]) > 0.05
    assert after in ran.err


def test_a_column_of_ones_own_is_not_called_annotated(run: Any, tmp_path: Path) -> None:
    rows = written(tmp_path / "rows.parquet", None)
    ran = run(
        "balance", rows, "--attribute", "gender", "--labels", "job", "--no-controls", "--out", tmp_path / "w.parquet",
        "--json",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert not of(ran, "error_unknown")
    assert not of(ran, "annotated")


@pytest.mark.parametrize("second", [None, {**GOLD, "labelled": 300}])
def test_parts_that_were_judged_by_other_rows_are_of_unknown_error(run: Any, tmp_path: Path, second: Any) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    written(folder / "a_1.parquet", GOLD)
    written(folder / "a_2.parquet", second)
    ran = run(
        "balance", folder, "--attribute", "gender_text", "--labels", "job", "--no-controls",
        "--out", tmp_path / "w.parquet", "--json",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert len(of(ran, "error_unknown")) == 1
