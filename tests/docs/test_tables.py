"""The tables of the docs are what their numbers say; measured again, the numbers are the committed ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import demo_markdown  # noqa: E402
import demo_tables  # noqa: E402

COMMITTED = json.loads(demo_tables.DATA.read_text("utf-8"))


def test_the_tables_are_what_the_numbers_say() -> None:
    made = demo_markdown.tables(COMMITTED, json.loads(demo_tables.ENCODER.read_text("utf-8")))
    assert {path.name: path.read_text("utf-8") for path in demo_tables.TABLES.glob("*.md")} == made


def test_without_the_span_the_measured_ratio_is_the_theory() -> None:
    for rows in COMMITTED["treated"].values():
        for row in rows:
            assert row["oracle"][0] == pytest.approx(row["theory"], abs=0.0011)
            if row["method"] == "WRING":
                assert row["oracle"] == [1.0, 1.0, 1.0]


def test_differences_are_found_beyond_a_unit_of_the_last_digit() -> None:
    same = [*demo_tables.differences({"a": [0.123, "x"]}, {"a": [0.124, "x"]})]
    other = [*demo_tables.differences({"a": [0.123, "x"]}, {"a": [0.125, "y"]})]
    assert same == []
    assert other == ["a[0]: committed 0.123, measured 0.125", "a[1]: committed 'x', measured 'y'"]


def test_baseline_is_measured_as_committed() -> None:
    import equipoise as eq
    from equipoise.models import demo

    faces = eq.embed("demo", demo.samples())
    texts = [q.text for q in eq.read_queries("occupations,traits", faces.vocabulary) if q.label == "core"]
    found = demo_tables.bias(eq.audit(faces, queries=texts, by=["gender", "race"]), texts)
    assert [*demo_tables.differences(COMMITTED["bias"], json.loads(json.dumps(found)))] == []


@pytest.mark.slow
def test_everything_is_measured_as_committed() -> None:
    ran = subprocess.run(
        [sys.executable, "scripts/demo_tables.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
