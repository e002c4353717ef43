"""The Python and the commands that the README, CONTRIBUTING and the tutorial show do run."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import equipoise as eq
from equipoise.cli import main
from equipoise.models import demo
from equipoise.registry import MITIGATIONS

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from tutorial_output import commands, write_files  # noqa: E402

CODES = {"gate runs/ledger": 1}


def snippets(page: str) -> list[str]:
    """Return the Python blocks of a page."""
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)


def run(page: str, name: str) -> dict[str, Any]:
    """Run the blocks of a page one after the other, in one module, and return its names."""
    module = ModuleType(name)
    found = snippets(page)
    assert found, f"{page} shows no Python"
    for number, code in enumerate(found):
        exec(compile(code, f"{page}[{number}]", "exec"), module.__dict__)
    return module.__dict__


def test_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    names = run("README.md", "readme")
    assert "gender skew" in capsys.readouterr().out
    assert (tmp_path / "report.html").stat().st_size > 10_000
    code = snippets("README.md")[0].strip().splitlines()
    assert len([line for line in code if line]) <= 12
    assert isinstance(names["ledger"], eq.Comparison)


def test_the_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    steps = [words for words in commands(ROOT / "docs" / "tutorial.md") if words[1] != "demo"]
    assert [words[1] for words in steps if words[0] == "equipoise"] == [
        "embed", "audit", "mitigate", "audit", "compare", "gate", "gate", "report",
    ]  # fmt: skip
    write_files(ROOT / "docs" / "tutorial.md", tmp_path)
    for words in steps:
        if words[0] == "python":
            exec(words[2], {})
        else:
            assert main(words[1:]) == CODES.get(" ".join(words[1:]), 0), words
    assert (tmp_path / "runs" / "report.html").is_file()
    capsys.readouterr()
    run("docs/tutorial.md", "tutorial")
    assert "WRING" in capsys.readouterr().out
    arguments = re.search(r"^equipoise (audit predictions\.csv .*)$", (ROOT / "docs/tutorial.md").read_text(), re.M)
    assert arguments is not None
    assert main([*arguments[1].split(), "--quiet"]) == 0


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    """Names that CONTRIBUTING defines; its metric checks itself."""
    return run("CONTRIBUTING.md", "contributing_example")


def test_the_mitigation_keeps_its_contract(shown: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    method = shown["SoftProjection"]
    monkeypatch.setitem(MITIGATIONS._builtin, method.name, "contributing_example:SoftProjection")
    faces = eq.embed("demo", demo.samples())
    fitted = method("gender").fit(faces)
    query = faces.text(["a photo of a nurse"])
    vectors = fitted.vectors_.at(query)
    axis = np.diff(vectors, axis=0)[0] / np.linalg.norm(np.diff(vectors, axis=0))
    assert (fitted.transform(query) @ axis)[0] == pytest.approx((query @ axis)[0] / 2, abs=1e-6)
    passed = shown["check_mitigation"](method, expected_failures={"saved": "it is not importable in a fresh process"})
    assert {"guarantee:orthogonal_untouched", "guarantee:homogeneous", "explicit"} <= set(passed)


def test_the_encoder_and_the_classifier_keep_their_contracts(shown: dict[str, Any]) -> None:
    assert "odd_texts" in shown["check_encoder"](shown["Colours"]())
    assert "extremes" in shown["check_classifier"](shown["Brightness"]())


def test_the_export_is_read_back(shown: dict[str, Any], tmp_path: Path) -> None:
    faces = eq.embed("demo", demo.samples())
    vocabulary = faces.vocabulary
    queries = eq.read_queries("clinical-staff", vocabulary)
    ids = list(faces.samples.ids[:50])
    made = shown["export"](
        lambda images: images,
        faces.text,
        faces.vectors()[:50],
        ids,
        queries,
        vocabulary,
        tmp_path / "mine",
        {"name": "mine"},
    )
    table = {"id": ids, "gender": list(faces.samples.column("gender")[:50])}
    samples = eq.read_samples(pa.table(table), id="id", attributes=["gender"], vocabulary=demo.folder() / "groups.toml")
    mine = eq.embed(made, samples)
    assert made.name == "mine"
    np.testing.assert_allclose(mine.vectors(), faces.vectors()[:50], atol=1e-6)
    assert eq.Wring("gender").fit(mine).fit_rows == ()
