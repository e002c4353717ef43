"""Ledgers on disk."""

from __future__ import annotations

import csv
import json

import pytest
from audit.test_result import tree
from synthetic import answers, queries, space

from equipoise import Comparison, Wring, audit, compare
from equipoise.errors import ChecksumError, MissingFileError, OutputExistsError, SchemaError

EVIL = ("=cmd|' /C calc'!A0", "+1+1", "-2", "@SUM(A1)", "\tx")


@pytest.fixture(scope="module")
def found() -> Comparison:
    data = space()
    before = audit(data, queries=queries(), by=["gender"], k=40, bootstrap=100)
    return compare(before, audit(data, like=before, mitigation=Wring("gender").fit(data)), draws=100)


def test_saved_and_read_again_is_equal(found, tmp_path) -> None:
    again = Comparison.load(found.save(tmp_path / "a"))
    assert again.ledger.equals(found.ledger)
    assert again.distributions.equals(found.distributions)
    assert again.headline == found.headline
    again.save(tmp_path / "b")
    first, second = tree(tmp_path / "a"), tree(tmp_path / "b")
    assert {name: first[name] for name in first if name != ".run.json"} == {
        name: second[name] for name in second if name != ".run.json"
    }


def test_tampered_files_are_named(found, tmp_path) -> None:
    folder = found.save(tmp_path / "a")
    for name in ("ledger.parquet", "ledger.csv", "distributions.parquet"):
        good = (folder / name).read_bytes()
        (folder / name).write_bytes(good + b" ")
        with pytest.raises(ChecksumError, match=name):
            Comparison.load(folder)
        (folder / name).write_bytes(good)
    path = folder / "comparison.json"
    data = json.loads(path.read_text("utf-8"))
    for change, text in (
        ({"schema": "equipoise.comparison/9"}, "comparison/9"),
        ({"x": 1}, "'x'"),
        ({"files": {}}, "no SHA-256"),
    ):
        path.write_text(json.dumps(data | change), "utf-8")
        with pytest.raises(SchemaError, match=text):
            Comparison.load(folder)
    with pytest.raises(MissingFileError, match=r"no comparison\.json"):
        Comparison.load(tmp_path)


def test_another_comparison_is_refused(found, tmp_path) -> None:
    found.save(tmp_path / "a")
    before = audit(answers(), by=["group"], bootstrap=100)
    with pytest.raises(OutputExistsError):
        compare(before, before, draws=100).save(tmp_path / "a")


def test_formulas_are_escaped_in_the_csv_and_nowhere_else(tmp_path) -> None:
    samples = answers(400, groups=len(EVIL), names=EVIL)
    before = audit(samples, by=["group"], bootstrap=100)
    ledger = compare(before, before, draws=100)
    folder = ledger.save(tmp_path / "a")
    with (folder / "ledger.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    texts = [row["group"] for row in rows]
    assert {f"'{name}" for name in EVIL} <= set(texts)
    assert not any(
        text.startswith(("=", "+", "-", "@", "\t"))
        for row in rows
        for name, text in row.items()
        if name in ("group", "reason", "metric")
    )
    assert set(EVIL) <= set(Comparison.load(folder).ledger["group"].to_pylist())
    assert len(rows) == ledger.ledger.num_rows


def test_nan_is_null_everywhere(tmp_path) -> None:
    before = audit(answers(labels=3), by=["group"], bootstrap=100)
    folder = compare(before, before, draws=100).save(tmp_path / "a")
    text = (folder / "comparison.json").read_text("utf-8")
    json.loads(text, parse_constant=lambda word: pytest.fail(word))
    assert "nan" not in (folder / "ledger.csv").read_text("utf-8").lower().replace("null", "")


def test_digests_depend_on_the_evidence(found) -> None:
    data = space(seed=1)
    before = audit(data, queries=queries(), by=["gender"], k=40, bootstrap=100)
    again = compare(before, audit(data, like=before, mitigation=Wring("gender").fit(data)), draws=100)
    assert again.document.inputs != found.document.inputs
