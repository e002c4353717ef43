"""A golden file of every artefact that crosses a boundary, made from the tiny space.

``EQUIPOISE_REGENERATE_GOLDENS=1 pytest tests/test_goldens.py`` writes them anew; look at the difference before it is kept.
Numbers are rounded and compared within a tolerance, so that another CPU gives the same; checksums, versions and folders
are named and not compared.
"""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import equipoise as eq
from equipoise.cli import main
from equipoise.gate.example import example_policy

GOLDEN = Path(__file__).parent / "golden"
REGENERATE = os.environ.get("EQUIPOISE_REGENERATE_GOLDENS") == "1"
ARTEFACTS = {
    "store_manifest.json": "store/manifest.json",
    "audit.json": "before/audit.json",
    "audit_with_mitigation.json": "after/audit.json",
    "audit_predictions.json": "predictions/audit.json",
    "mitigation.json": "wring/mitigation.json",
    "comparison.json": "ledger/comparison.json",
}
TABLES = {
    "store_rows": "store/rows.parquet",
    "estimates": "before/estimates.parquet",
    "evidence_rows": "before/evidence/rows.parquet",
    "evidence_predictions": "predictions/evidence/predictions.parquet",
    "fit_rows": "wring/fit_rows.parquet",
    "ledger": "ledger/ledger.parquet",
    "distributions": "ledger/distributions.parquet",
}


@pytest.fixture(scope="module")
def made(tiny_precomputed, tmp_path_factory) -> Path:
    """One loop over the tiny space, on disk."""
    folder = tmp_path_factory.mktemp("golden")
    tiny = tiny_precomputed
    samples = eq.read_samples(
        tiny.table, id="id", attributes=["gender", "race"], split="split", vocabulary=tiny.vocabulary
    )
    faces = eq.embed(tiny.reference, samples, store=folder / "store")
    before = eq.audit(
        faces.rows(split="val"), queries=str(tiny.queries), by=["gender", "race"], bootstrap=100, min_group=20
    )
    wring = eq.Wring("gender").fit(faces.rows(split="train"))
    eq.save_mitigation(wring, folder / "wring", encoder=faces.encoder)
    after = eq.audit(faces.rows(split="val"), mitigation=wring, like=before)
    before.save(folder / "before")
    after.save(folder / "after")
    eq.compare(before, after, draws=100).save(folder / "ledger")
    answers = eq.read_samples(
        tiny.table, id="id", label="label", prediction="prediction", score="score", attributes=["gender"],
        vocabulary=tiny.vocabulary,
    )  # fmt: skip
    eq.audit(answers, by=["gender"], bootstrap=100).save(folder / "predictions")
    return folder


def stable(value: Any, key: str = "") -> Any:
    """Return a JSON value with what differs between machines replaced by its kind."""
    if isinstance(value, dict):
        return {_text(name): stable(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [stable(item, key) for item in value]
    if isinstance(value, float) and not value.is_integer():
        return round(value, 3 - math.floor(math.log10(abs(value)))) if abs(value) > 1e-6 else 0.0
    if key == "version" and isinstance(value, str) and "." in value:
        return "<version>"
    if key in ("headline", "sentences"):
        return re.sub(r"\d+(\.\d+)?", "#", value)
    return _text(value) if isinstance(value, str) else value


def _text(text: str) -> str:
    text = re.sub(r"\b[0-9a-f]{64}\b", "<sha256>", text)
    text = re.sub(r"/[^ '\"]*/", "<folder>/", text)
    return re.sub(r"\btiny\d+\b", "tiny", text)


def same(one: Any, two: Any, where: str = "") -> list[str]:
    """Return where two JSON values differ; numbers may differ by a thousandth."""
    if isinstance(one, dict) and isinstance(two, dict):
        found = [f"{where}: keys {sorted(set(one) ^ set(two))}"] if list(one) != list(two) else []
        return found + [line for key in one if key in two for line in same(one[key], two[key], f"{where}.{key}")]
    if isinstance(one, list) and isinstance(two, list):
        if len(one) != len(two):
            return [f"{where}: {len(one)} and {len(two)} items"]
        return [line for i, pair in enumerate(zip(one, two, strict=True)) for line in same(*pair, f"{where}[{i}]")]
    if isinstance(one, (int, float)) and isinstance(two, (int, float)) and not isinstance(one, bool):
        return [] if math.isclose(one, two, rel_tol=2e-3, abs_tol=2e-4) else [f"{where}: {one} and {two}"]
    return [] if one == two else [f"{where}: {one!r} and {two!r}"]


def check(name: str, found: Any) -> None:
    path = GOLDEN / name
    if REGENERATE:
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")
    wanted = json.loads(path.read_text("utf-8"))
    assert same(wanted, found) == []


@pytest.mark.parametrize("name", ARTEFACTS)
def test_documents(made, name) -> None:
    found = json.loads((made / ARTEFACTS[name]).read_text("utf-8"))
    assert next(iter(found)) == "schema"
    check(name, stable(found))


def test_tables(made) -> None:
    found = {
        name: {field.name: str(field.type) for field in pq.read_schema(made / path)} for name, path in TABLES.items()
    }
    check("tables.json", found)


def test_columns_of_the_csv(made) -> None:
    head = (made / "ledger" / "ledger.csv").read_text("utf-8").splitlines()[0]
    assert [name.strip('"') for name in head.split(",")] == pq.read_schema(made / "ledger" / "ledger.parquet").names


def test_result(made, capsys) -> None:
    code = main(["gate", str(made / "ledger"), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert code == found["exit_code"]
    check("result_gate.json", stable(found))
    main(["audit", str(made / "nowhere"), "--by", "gender", "--json"])
    check("result_error.json", stable(json.loads(capsys.readouterr().out)))


def test_policy_example() -> None:
    path = GOLDEN / "policy.toml"
    if REGENERATE:
        path.write_text(example_policy(), "utf-8")
    assert path.read_text("utf-8") == example_policy()


def test_no_golden_is_left_over() -> None:
    used = {*ARTEFACTS, "tables.json", "result_gate.json", "result_error.json", "policy.toml"}
    assert {path.name for path in GOLDEN.iterdir()} == used


def test_goldens_hold_nothing_of_one_machine() -> None:
    for path in GOLDEN.iterdir():
        text = path.read_text("utf-8")
        assert "/tmp" not in text
        assert "/home" not in text
        assert str(Path.cwd()) not in text
