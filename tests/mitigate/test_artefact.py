"""A mitigation on disk: bytes, checksums, refusals, plug-ins."""

from __future__ import annotations

import json
import random

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors import safe_open

from equipoise.checks.people import QUERIES, people
from equipoise.errors import (
    ChecksumError,
    FingerprintError,
    InputError,
    MissingFileError,
    OutputExistsError,
    SchemaError,
    UnknownNameError,
)
from equipoise.mitigate.artefact import load_mitigation, read_document, save_mitigation
from equipoise.mitigate.embeddings.noop import NoOp
from equipoise.mitigate.embeddings.projection import DifferenceProjection, SpanProjection
from equipoise.mitigate.embeddings.wring import Wring
from equipoise.registry import MITIGATIONS
from equipoise.schema import MitigationDocument

ENCODER = {"ref": "precomputed:faces", "fingerprint": {"sha256": "00"}}
MAKERS = {
    "text": lambda: Wring("gender", strength=0.7, templates=["a photo of {}"]),
    "local": lambda: Wring("gender", vectors="image", k=20, shares={"Alpha": 1.0, "Beta": 2.0}),
    "joint": lambda: Wring(["gender", "origin"], on_infeasible="skip"),
    "turns": lambda: Wring(["gender", "origin"], joint=False),
    "global": lambda: Wring("gender", vectors="image", k=None),
    "faithful": lambda: Wring.faithful("gender", "image"),
    "span": lambda: SpanProjection("gender", renormalise=False),
    "difference": lambda: DifferenceProjection("gender", vectors="image", k=20),
    "noop": lambda: NoOp("gender"),
}


@pytest.fixture(scope="module")
def data():
    return people(2)


@pytest.fixture
def saved(data, tmp_path):
    method = Wring("gender", vectors="image", k=20).fit(data)
    save_mitigation(method, tmp_path / "m", encoder=ENCODER)
    return tmp_path / "m"


@pytest.mark.parametrize("name", MAKERS)
def test_what_is_loaded_edits_bit_for_bit_alike(data, tmp_path, name):
    method = MAKERS[name]().fit(data)
    document = save_mitigation(method, tmp_path / "m", encoder=ENCODER)
    loaded = load_mitigation(tmp_path / "m")
    x = data.text(QUERIES)
    texts = [*QUERIES[:-1], "a photo of Alpha at work"]
    assert loaded.transform(x, queries=texts).tobytes() == method.transform(x, queries=texts).tobytes()
    assert type(loaded) is type(method)
    for field in ("name", "attributes", "edits", "guarantees", "fit_rows", "arm"):
        assert getattr(loaded, field) == getattr(method, field), field
    assert loaded.encoder == ENCODER
    assert document == read_document(tmp_path / "m")
    assert [control.name for control in loaded.controls()] == [control.name for control in method.controls()]
    for one, two in zip(loaded.controls(), method.controls(), strict=True):
        assert one.transform(x, queries=texts).tobytes() == two.transform(x, queries=texts).tobytes()


def test_the_files_are_what_the_contract_says(data, saved):
    document = json.loads((saved / "mitigation.json").read_text())
    assert document["schema"] == "equipoise.mitigation/1"
    assert set(document) == {"schema", *MitigationDocument.model_fields} - {"schema_"}
    assert document["method"] == "wring"
    assert document["attributes"] == ["gender"]
    assert document["edits"] == ["text"]
    assert document["encoder"] == ENCODER
    assert pq.read_table(saved / "fit_rows.parquet").to_pydict() == {"row_id": data.samples.ids}
    with safe_open(str(saved / "arrays.safetensors"), framework="numpy") as arrays:
        assert set(arrays.keys()) == {"reference", "codes"}
        assert len(arrays.metadata() or {}) <= 1
    assert sorted(path.name for path in saved.iterdir() if not path.name.startswith(".")) == [
        "arrays.safetensors", "fit_rows.parquet", "mitigation.json",
    ]  # fmt: skip


def test_equal_mitigations_give_equal_bytes_whatever_was_edited_before(data, tmp_path):
    first, second = (Wring("gender").fit(data) for _ in range(2))
    second.transform(-data.text(QUERIES), queries=QUERIES)
    assert second.notes != first.notes
    for method, name in ((first, "a"), (second, "b")):
        save_mitigation(method, tmp_path / name)
    for name in ("mitigation.json", "arrays.safetensors", "fit_rows.parquet"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_methods_without_rows_have_an_empty_table(data, tmp_path):
    save_mitigation(Wring("gender").fit(data), tmp_path)
    assert pq.read_table(tmp_path / "fit_rows.parquet").num_rows == 0


@pytest.mark.parametrize("name", ["arrays.safetensors", "fit_rows.parquet"])
def test_flipped_and_missing_bytes_are_caught(saved, name):
    path = saved / name
    whole = path.read_bytes()
    chance = random.Random(0)
    for _ in range(8):
        broken = bytearray(whole)
        broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
        path.write_bytes(broken)
        with pytest.raises(ChecksumError, match=name):
            load_mitigation(saved)
    path.write_bytes(whole[:-1])
    with pytest.raises(ChecksumError):
        load_mitigation(saved)
    path.unlink()
    with pytest.raises(MissingFileError):
        load_mitigation(saved)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"schema": "equipoise.mitigation/2"}, SchemaError, "equipoise.mitigation/2"),
        ({"colour": "red"}, SchemaError, "colour"),
        ({"method": "wrong"}, UnknownNameError, "Did you mean"),
        ({"method_version": "99"}, FingerprintError, "version 99 of 'wring'"),
        ({"parameters": {}}, SchemaError, "parameters are not those of 'wring'"),
        ({"files": {}}, SchemaError, "no checksum of arrays.safetensors"),
    ],
)
def test_documents_that_cannot_be_read_are_refused(saved, change, error, said):
    path = saved / "mitigation.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(error, match=said):
        load_mitigation(saved)


def test_a_folder_without_a_mitigation(tmp_path):
    with pytest.raises(MissingFileError, match=r"mitigation\.json cannot be read"):
        load_mitigation(tmp_path)
    (tmp_path / "mitigation.json").write_bytes(b"\xff\xfe")
    with pytest.raises(SchemaError, match="not UTF-8"):
        load_mitigation(tmp_path)


def test_another_mitigation_is_not_overwritten_unasked(data, saved):
    same = Wring("gender", vectors="image", k=20).fit(data)
    save_mitigation(same, saved, encoder=ENCODER)
    other = Wring("gender").fit(data)
    with pytest.raises(OutputExistsError):
        save_mitigation(other, saved, encoder=ENCODER)
    save_mitigation(other, saved, encoder=ENCODER, overwrite=True)
    assert load_mitigation(saved).vectors == "text"


class Twice(NoOp):
    """A plug-in of somebody else's."""

    name = "twice"

    def transform(self, x, *, modality="text", queries=None):
        return 2 * super().transform(x)


def test_plug_ins_are_found_by_name(data, tmp_path, monkeypatch):
    method = Twice("gender")
    with pytest.raises(InputError, match="'twice' is not the name of a registered mitigation"):
        save_mitigation(method, tmp_path)
    monkeypatch.setattr(MITIGATIONS, "_plugins", {"twice": f"{__name__}:Twice"})
    save_mitigation(method, tmp_path)
    np.testing.assert_array_equal(load_mitigation(tmp_path).transform(np.ones((1, 2))), [[2.0, 2.0]])


def test_a_name_that_stands_for_something_else(saved, monkeypatch):
    monkeypatch.setattr(MITIGATIONS, "_plugins", {"table": "pyarrow:Table"})
    path = saved / "mitigation.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"method": "table"}))
    with pytest.raises(InputError, match="'table' .* it has no name, kind, fit"):
        load_mitigation(saved)
