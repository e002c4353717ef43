"""Annotated attributes in an audit: what is said of their error, what gaps would be without it, and who may not annotate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from equipoise.annotate.images import fingerprint_sha256
from equipoise.annotate.tag_error import short, tag_error
from equipoise.audit import Audit, audit
from equipoise.audit.annotated import annotations_of, described, factor_of, notes_on, sentence
from equipoise.compare import compare
from equipoise.data.annotated import Annotation, with_annotation
from equipoise.data.samples import read_samples
from equipoise.embed import embed
from equipoise.report.html import report
from equipoise.store.embeddings import EmbeddingSet

STATES = ("woman", "man", "none")


def gold(n: int = 200, wrong: float = 0.1) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    said = rng.random(n) < 0.5
    true = np.where(rng.random(n) < wrong, ~said, said)
    groups = {}
    for name, one, other in (("woman", said, true), ("man", ~said, ~true)):
        error = tag_error(name, one, other, np.ones(n), np.ones(n, np.int64))
        groups[name] = {
            "ppv": short(error.precision), "npv": short(error.npv), "sens": short(error.recall), "spec": short(error.specificity),
        }  # fmt: skip
    return {"labelled": n, "level": 0.95, "groups": groups, "values": {}}


def declared(name: str = "gender_text", **more: Any) -> pa.Field:
    annotation = Annotation("people-en-1", "people-en-1", "0" * 64, STATES, ("woman", "man"), **more)
    return with_annotation(pa.field(name, pa.string()), annotation)


def table(n: int = 4000, **more: Any) -> pa.Table:
    rng = np.random.default_rng(1)
    group = rng.choice(["woman", "man", "none"], n, p=[0.4, 0.4, 0.2])
    label = rng.integers(0, 2, n)
    wrong = rng.random(n) < np.where(group == "woman", 0.3, 0.1)
    schema = pa.schema([("id", pa.string()), declared(**more), ("y", pa.int64()), ("yhat", pa.int64())])
    return pa.table(
        [[f"r{i}" for i in range(n)], group.tolist(), label, np.where(wrong, 1 - label, label)], schema=schema
    )


def audited(rows: pa.Table) -> Audit:
    samples = read_samples(rows, id="id", label="y", prediction="yhat", attributes=["gender_text"])
    return audit(samples, by=["gender_text"], bootstrap=100)


def test_the_groups_of_an_annotated_column_are_those_that_it_declares() -> None:
    samples = read_samples(table(), id="id", attributes=["gender_text"])
    attribute = samples.vocabulary.attributes["gender_text"]
    assert attribute.values == ("woman", "man")
    assert attribute.unknown == ("", "none")
    assert attribute.declared
    assert "none count as unknown" in samples.notes[0]
    assert samples.unknown() == {"gender_text": table()["gender_text"].to_pylist().count("none")}


def test_without_gold_the_error_is_unknown_and_said_to_be() -> None:
    found = audited(table())
    assert any("was read from captions by people-en-1; its error is unknown" in note for note in found.document.notes)
    entry = found.document.parameters["annotations"]["gender_text"]
    assert entry["gold"] is None
    assert "attenuation" not in entry
    assert entry["list"] == "people-en-1"


def test_with_gold_the_audit_tells_what_gaps_would_be(tmp_path: Path) -> None:
    found = audited(table(gold=gold()))
    entry = found.document.parameters["annotations"]["gender_text"]
    factor = factor_of(annotations_of(table(gold=gold()).schema, ["gender_text"])["gender_text"])
    assert factor is not None
    shares = gold()["groups"]["woman"]
    assert factor.value == pytest.approx(shares["ppv"]["value"] + shares["npv"]["value"] - 1)
    assert entry["attenuation"] == short(factor)
    assert 0.7 < factor.value < 0.9
    notes = [note for note in found.document.notes if note.startswith("accuracy_gap by 'gender_text'")]
    seen = next(
        row for row in found.estimates.to_pylist()
        if row["metric"] == "accuracy_gap" and row["attribute"] == "gender_text" and not row["group"]
    )  # fmt: skip
    assert len(notes) == 1
    assert f"is {seen['value']:.3g} [" in notes[0]
    assert f"about {seen['value'] / factor.value:.3g} [" in notes[0]
    # it goes through the folder, a comparison and the page
    found.save(tmp_path / "before")
    audited(table(gold=gold())).save(tmp_path / "after")
    again = Audit.load(tmp_path / "before")
    assert again.document.parameters["annotations"]["gender_text"]["attenuation"] == pytest.approx(entry["attenuation"])
    page = tmp_path / "page.html"
    report(compare(again, Audit.load(tmp_path / "after")), page)
    text = page.read_text("utf-8")
    assert "was read from captions by people-en-1" in text
    assert "NPV" in text
    assert "is not recorded here" not in text


def test_a_page_without_annotated_attributes_says_that_nothing_is_recorded(tmp_path: Path) -> None:
    plain = table()
    plain = plain.cast(pa.schema([field.remove_metadata() for field in plain.schema]))
    found = audited(plain)
    assert "annotations" not in found.document.parameters
    report(found, tmp_path / "page.html")
    assert "Who did, and how often they err, is not recorded here" in (tmp_path / "page.html").read_text("utf-8")


def test_error_that_swallows_every_gap_is_said_so() -> None:
    annotation = annotations_of(table(gold=gold(wrong=0.5)).schema, ["gender_text"])["gender_text"]
    assert "an interval that holds 0" in sentence("gender_text", annotation)
    assert not [n for n in notes_on({"gender_text": annotation}, audited(table()).estimates) if "gap by" in n]


def test_labels_have_their_own_factor() -> None:
    error = {"value": 0.9, "low": 0.85, "high": 0.95, "n": 100}
    annotation = Annotation(
        "people-en-1", "people-en-1", "0" * 64, ("nurse", "doctor"), (),
        {"labelled": 100, "level": 0.95, "values": {"nurse": {"precision": error, "recall": error, "specificity": error}}},
    )  # fmt: skip
    entry = described({"occupation_text": annotation})["occupation_text"]
    assert entry["label_noise"]["nurse"]["value"] == pytest.approx(0.8)
    assert "its errors leave nurse 0.8" in entry["says"]


def test_names_without_a_column_stand_for_text_and_image() -> None:
    schema = pa.schema([declared(), declared("gender_image"), ("race", pa.string())])
    assert list(annotations_of(schema, ["gender", "race"])) == ["gender_text", "gender_image"]
    assert list(annotations_of(schema, ["gender_image:race"])) == ["gender_image"]
    assert annotations_of(schema, ["race"]) == {}


def test_a_store_keeps_what_was_declared_and_warns_of_its_own_encoder(tiny_precomputed: Any, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    rows = pq.read_table(tiny_precomputed.table)
    words = {"Female": "woman", "Male": "man"}
    said = [words[value] for value in rows["gender"].to_pylist()]
    plain = embed(tiny_precomputed.reference, read_samples(rows, id="id"))
    own = {"name": "tiny", "ref": "precomputed", "fingerprints": [fingerprint_sha256(plain.encoder["fingerprint"])]}
    for fingerprints, warned in ((own["fingerprints"], True), (["0" * 64], False)):
        field = declared("gender_image", annotator={**own, "fingerprints": fingerprints})
        path = tmp_path / f"{warned}.parquet"
        pq.write_table(rows.append_column(field, [said]), path)
        store = tmp_path / f"store-{warned}"
        embed(tiny_precomputed.reference, read_samples(path, id="id", attributes=["gender_image"]), store=store)
        faces = EmbeddingSet.load(store)
        assert faces.vocabulary.groups("gender_image") == ("woman", "man")
        found = audit(faces, queries=["a photo of a nurse", "a photo of a doctor"], by=["gender_image"], bootstrap=0)
        assert "read from pictures by tiny" in found.document.parameters["annotations"]["gender_image"]["says"]
        assert any("annotated by the audited model itself" in note for note in found.document.notes) == warned
