"""The package as a user meets it: ten lines, lazy names, a light import."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import equipoise

PROGRAM = """
import equipoise as eq

samples = eq.read_samples(TABLE, id="id", attributes=["gender", "race"], split="split", vocabulary=VOCABULARY)
encoder = eq.load_encoder(REFERENCE)
faces = eq.embed(encoder, samples, store="runs/faces")
before = eq.audit(faces.rows(split="val"), queries=QUERIES, by=["gender", "race", "gender:race"])
wring = eq.Wring(attribute="gender").fit(faces.rows(split="train"))
after = eq.audit(faces.rows(split="val"), mitigation=wring, like=before)
ledger = eq.compare(before, after)
eq.report(ledger, "report.html")
eq.gate(ledger, "policy.toml").raise_for_status()
"""
POLICY = """
schema = "equipoise.policy/1"
insufficient = "exit3"
[[limit]]
metric = "cosine_bias"
protocol = "group_mean_cosine"
attribute = "gender"
max_bias = MAX
"""


def test_the_ten_lines_run_as_written(tiny_precomputed, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = {
        "TABLE": str(tiny_precomputed.table), "VOCABULARY": str(tiny_precomputed.vocabulary),
        "REFERENCE": tiny_precomputed.reference, "QUERIES": str(tiny_precomputed.queries),
    }  # fmt: skip
    (tmp_path / "policy.toml").write_text(POLICY.replace("MAX", "0.9"))
    exec(compile(PROGRAM, "ten lines", "exec"), names)
    ledger = names["ledger"]
    rows = [row for row in ledger.ledger.to_pylist() if row["gated"] and row["attribute"] == "gender"]  # type: ignore[attr-defined]
    assert {row["verdict"] for row in rows if row["metric"] == "cosine_bias"} == {"improved"}
    assert (tmp_path / "report.html").read_text("utf-8").startswith("<!")
    assert (tmp_path / "runs" / "faces" / "manifest.json").is_file()
    (tmp_path / "policy.toml").write_text(POLICY.replace("MAX", "0.0001"))
    with pytest.raises(equipoise.errors.EquipoiseError):
        equipoise.gate(ledger, "policy.toml").raise_for_status()


def fresh(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


HEAVY = ("torch", "pandas", "polars", "scipy", "scipy.stats", "altair", "numpy", "pyarrow", "pydantic", "sklearn")


def test_import_is_light() -> None:
    loaded = json.loads(
        fresh(f"import sys, json, equipoise; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))")
    )
    assert loaded == []


def test_the_loop_imports_no_heavy_extras() -> None:
    code = "import sys, equipoise as eq; eq.audit, eq.compare, eq.Wring, eq.embed, eq.read_samples; print([m for m in ('torch', 'pandas', 'polars', 'scipy.stats', 'altair') if m in sys.modules])"
    assert fresh(code) == "[]"


def test_functions_stay_functions_after_their_modules_were_imported() -> None:
    names = ("audit", "compare", "embed", "gate", "report")
    code = f"import importlib, equipoise as eq\nfor n in {names!r}:\n    importlib.import_module('equipoise.' + n)\n    assert callable(getattr(eq, n)), n\nprint('ok')"
    assert fresh(code) == "ok"
    assert (
        fresh(
            "import equipoise.audit, equipoise as eq; from equipoise.audit import Audit; print(callable(eq.audit), eq.Audit is Audit)"
        )
        == "True True"
    )


def test_every_public_name_is_there_and_documented() -> None:
    assert len(set(equipoise.__all__)) == len(equipoise.__all__)
    for name in equipoise.__all__:
        assert hasattr(equipoise, name)
        assert name in dir(equipoise)
        if not name.startswith("__"):
            assert getattr(equipoise, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        equipoise.nonsense  # noqa: B018


def test_lazy_names_are_those_of_the_list() -> None:
    assert set(equipoise._HOME) | {"__version__"} == set(equipoise.__all__)
