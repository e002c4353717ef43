"""Audits on disk: equal when read again, equal bytes when made again, and checked."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from synthetic import answers, queries, space

from equipoise import Audit, EmbeddingSet, Wring, audit
from equipoise.audit import Settings
from equipoise.errors import ChecksumError, MissingFileError, OutputExistsError, SchemaError
from equipoise.store.files import sha256_of


def tree(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): sha256_of(path) for path in files}


@pytest.fixture(scope="module")
def embeddings():
    data = space(captions=True)
    before = audit(data, queries=queries(), by=["gender"], k=40, bootstrap=100)
    return data, audit(data, like=before, mitigation=Wring("gender").fit(data))


@pytest.fixture(scope="module", params=["embeddings", "predictions"])
def found(request, embeddings):
    return embeddings[1] if request.param == "embeddings" else audit(answers(labels=3), by=["group"], bootstrap=100)


def test_saved_and_read_again_is_equal(found, tmp_path) -> None:
    again = Audit.load(found.save(tmp_path / "a"))
    assert again.estimates.equals(found.estimates)
    assert again.document.to_json() == found.document.model_copy(update={"files": again.document.files}).to_json()
    assert again.evidence.digest() == found.evidence.digest()
    assert again.vocabulary == found.vocabulary
    assert again.queries == found.queries
    again.save(tmp_path / "b")
    assert {k: v for k, v in tree(tmp_path / "a").items() if k != ".run.json"} == {
        k: v for k, v in tree(tmp_path / "b").items() if k != ".run.json"
    }


def test_the_same_run_is_left_and_another_is_refused(found, tmp_path) -> None:
    found.save(tmp_path / "a")
    before = tree(tmp_path / "a")
    found.save(tmp_path / "a")
    assert tree(tmp_path / "a") == before
    with pytest.raises(OutputExistsError):
        audit(answers(seed=7), by=["group"], bootstrap=100).save(tmp_path / "a")
    found.save(tmp_path / "a", overwrite=True)
    assert tree(tmp_path / "a") == before


def test_other_vectors_under_equal_settings_are_another_run(tmp_path) -> None:
    """Arrays in memory have no checksum in the document; the scores have."""
    data = space()
    texts = data.text(data.texts)
    same = {"queries": queries(), "by": ["gender"], "k": 40, "bootstrap": 0}
    audit(data, **same).save(tmp_path / "a")
    image = data.vectors()[np.argsort(data.samples.position)]
    other = EmbeddingSet.from_arrays(image, data.samples, texts=data.texts, text=texts[::-1].copy())
    with pytest.raises(OutputExistsError):
        audit(other, **same).save(tmp_path / "a")


def test_every_file_is_checked(found, tmp_path) -> None:
    found.save(tmp_path / "a")
    for name in Audit.load(tmp_path / "a").document.files:
        path = tmp_path / "a" / name
        good = path.read_bytes()
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        with pytest.raises(ChecksumError, match=path.name):
            Audit.load(tmp_path / "a")
        path.unlink()
        with pytest.raises(MissingFileError, match=path.name):
            Audit.load(tmp_path / "a")
        path.write_bytes(good)
    Audit.load(tmp_path / "a")
    with pytest.raises(MissingFileError, match=r"no audit\.json"):
        Audit.load(tmp_path / "b")


def test_a_document_of_another_kind_is_refused(found, tmp_path) -> None:
    path = found.save(tmp_path / "a") / "audit.json"
    data = json.loads(path.read_text("utf-8"))
    for change, text in (
        ({"schema": "equipoise.audit/2"}, "equipoise.audit/2"),
        ({"surprise": 1}, "surprise"),
        ({"parameters": {}}, "settings"),
        ({"parameters": {"settings": {"by": ["x"], "wat": 1, "metrics": None}}}, "settings"),
        ({"files": {}}, "estimates.parquet"),
    ):
        path.write_text(json.dumps(data | change), "utf-8")
        with pytest.raises(SchemaError, match=text):
            Audit.load(tmp_path / "a")


def test_no_time_stamp_and_no_path_of_this_machine(found, tmp_path) -> None:
    text = (found.save(tmp_path / "a") / "audit.json").read_text("utf-8")
    assert str(tmp_path) not in text
    assert not {"date", "time", "created", "host"} & set(json.loads(text))


def test_settings_round_trip(found) -> None:
    assert Settings.of(found.document).as_dict() == found.document.parameters["settings"]
