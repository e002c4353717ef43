"""The demo: the whole loop, from the shipped embeddings to the report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from equipoise import demo
from equipoise.audit import Audit
from equipoise.compare import Comparison
from equipoise.mitigate.artefact import load_mitigation
from equipoise.store.embeddings import EmbeddingSet

FOLDERS = {
    "store",
    "before",
    "wring-gender",
    "after-gender",
    "ledger-gender",
    "wring-race",
    "after-race",
    "ledger-race",
}


def check(ran: Any, out: Path) -> None:
    assert ran.code == 0, ran.err
    assert ran.out.splitlines()[-1] == str(out / "report.html")
    assert "rows: 3,000 in = 3,000 used + 0 set aside" in ran.err
    assert {path.name for path in out.iterdir()} >= {*FOLDERS, "report.html"}
    assert "default-src 'none'" in (out / "report.html").read_text("utf-8")
    assert len(EmbeddingSet.load(out / "store")) == 3000
    before = Audit.load(out / "before")
    for attribute in demo.TREATED:
        assert load_mitigation(out / f"wring-{attribute}").attributes == (attribute,)
        after = Audit.load(out / f"after-{attribute}")
        assert set(after.document.arms) > {"main"}
        assert after.document.queries == before.document.queries
        ledger = Comparison.load(out / f"ledger-{attribute}")
        targeted = {row["attribute"] for row in ledger.ledger.to_pylist() if row["targeted"]}
        assert targeted == {attribute}
        assert f"gate on {attribute}: " in ran.err


def test_the_loop_runs_ends_with_the_report_and_can_be_run_again(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A smaller loop of the same steps; the exit code is 0 whatever the gate says."""
    monkeypatch.setattr(demo, "QUERIES", ("clinical-staff",))
    monkeypatch.setattr(demo, "BY", ("gender", "race"))
    out = tmp_path / "demo"
    check(run("demo", "--out", out), out)
    page = (out / "report.html").read_bytes()
    again = run("demo", "--out", out, "--json", "--quiet")
    assert (again.code, again.err) == (0, "")
    assert again.json["out"] == str(out / "report.html")
    assert set(again.json["result"]["gates"]) == {"gender", "race"}
    assert (out / "report.html").read_bytes() == page
    other = run("demo", "--out", out, "--seed", "7")
    assert other.code == 2
    assert "another run" in other.err


@pytest.mark.slow
def test_the_loop_as_shipped(run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check(run("demo"), Path("equipoise-demo"))
