"""A fitted M4 on disk: one JSON document, a mitigation folder, and the contract."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pyarrow as pa
import pytest

import equipoise
from equipoise.checks import data_mitigations
from equipoise.errors import FingerprintError, SchemaError
from equipoise.mitigate.artefact import load_mitigation, read_document, save_mitigation
from equipoise.mitigate.data.m4 import M4
from equipoise.protocols import DataMitigation
from equipoise.testing import CheckFailed, check_mitigation

RNG = np.random.default_rng(0)
TABLE = pa.table(
    {
        "gender": np.where(RNG.random(500) < 0.6, "man", "woman"),
        "job": RNG.choice(["cook", "nurse", "pilot"], 500),
        "tags": [list(RNG.choice(["sea", "sky", "cat"], k, replace=False)) for k in RNG.integers(0, 3, 500)],
        "score": RNG.random(500),
        "u": RNG.choice([0.5, 1.0], 500),
    }
)
MAKERS = {
    "default": partial(M4, "gender", ["job", "tags"]),
    "shares": partial(M4, "gender", "job", shares={"gender": {"man": 0.4, "woman": 0.6}, "gender | job=nurse": {"man": 0.5, "woman": 0.5}}),
    "weights": partial(M4, "gender", ["job:nurse"], keep=1.0, cap=10.0, tolerance=0.0, preserve=0.1, proxies="tags"),
    "utility": partial(M4, "gender", "job", keep=0.5, utility="u"),
    "score": partial(M4, "score", "job", keep=0.5),
    "auto-eta": partial(M4, "gender", "job", keep=0.999, tolerance=0.0, on_infeasible="auto-eta"),
    "online": partial(M4, "gender", "job", solver="online", keep=0.9, on_infeasible="soften"),
    "faithful": partial(M4.faithful, "gender", "job"),
}  # fmt: skip


@pytest.mark.parametrize("name", MAKERS)
def test_what_is_loaded_weights_bit_for_bit_alike(tmp_path, name):
    m4 = MAKERS[name]().fit(TABLE)
    q = m4.weights(TABLE)
    m4.save(tmp_path / "duals.json")
    document = save_mitigation(m4, tmp_path / "m")
    for again in (M4.load(tmp_path / "duals.json"), load_mitigation(tmp_path / "m")):
        assert isinstance(again, M4)
        assert again.weights(TABLE).tobytes() == q.tobytes()
        assert again.attributes == m4.attributes
        assert again.eta_ == m4.eta_
        assert again.report_.to_dict() == m4.report_.to_dict()
        assert again.report_.constraints == m4.report_.constraints or "nan" in repr(m4.report_)
        again.save(tmp_path / "again.json")
        assert (tmp_path / "again.json").read_bytes() == (tmp_path / "duals.json").read_bytes()
    assert (document.kind, document.method, document.edits) == ("data", "m4", [])
    assert read_document(tmp_path / "m") == document
    assert (tmp_path / "duals.json").stat().st_size < 60_000


def test_a_document_that_was_changed_is_refused(tmp_path):
    path = tmp_path / "duals.json"
    M4("gender", "job").fit(TABLE).save(path)
    document = json.loads(path.read_text())
    document["arrays"]["mu"] = [0.25]
    path.write_text(json.dumps(document))
    with pytest.raises(SchemaError, match="was changed after it was written"):
        M4.load(path)
    document["schema"] = "equipoise.duals/2"
    path.write_text(json.dumps(document))
    with pytest.raises(SchemaError, match="is of schema"):
        M4.load(path)


def test_a_document_says_first_what_it_is(tmp_path):
    path, again = tmp_path / "duals.json", tmp_path / "again.json"
    m4 = M4("gender", "job").fit(TABLE)
    m4.inputs = {"rows.csv": "b" * 64, "a.csv": "a" * 64}
    m4.save(path)
    assert path.read_text().startswith('{\n "schema": "equipoise.duals/1",\n "equipoise": "')
    document = json.loads(path.read_text())
    assert list(document) == [
        "schema", "equipoise", "method", "method_version", "lists", "inputs", "parameters", "arrays", "sha256"
    ]  # fmt: skip
    assert document["equipoise"] == equipoise.__version__
    assert document["inputs"] == m4.inputs
    loaded = M4.load(path)
    assert loaded.inputs == m4.inputs
    loaded.save(again)
    assert again.read_bytes() == path.read_bytes()
    document["inputs"]["a.csv"] = "c" * 64
    path.write_text(json.dumps(document))
    with pytest.raises(SchemaError, match="was changed after it was written"):
        M4.load(path)


def test_another_version_of_the_method_is_refused(tmp_path, monkeypatch):
    save_mitigation(M4("gender", "job").fit(TABLE), tmp_path / "m")
    monkeypatch.setattr(M4, "version", "2")
    with pytest.raises(FingerprintError):
        load_mitigation(tmp_path / "m")


def test_constraints_of_another_layout_are_refused():
    parameters, arrays = M4("gender", "job").fit(TABLE).state()
    with pytest.raises(SchemaError, match="The layout is not the one"):
        M4.from_state(parameters | {"layout_id": "0"}, arrays)
    with pytest.raises(SchemaError, match="The duals are not those of the constraints"):
        M4.from_state(parameters | {"constraints": parameters["constraints"][::-1]}, arrays)


def test_the_package_knows_it():
    assert equipoise.M4 is M4
    assert "M4" in equipoise.__all__


# -------------------------------------------------------------------------------------------------------- contract

OURS = {
    "default": partial(M4, labels="job"),
    "shares alone": M4,
    "weights": partial(M4, labels="job", keep=1.0, cap=10.0, tolerance=0.0),
    "preserve and a proxy": partial(M4, labels="job:nurse", proxies="origin", preserve=0.1),
}


@pytest.mark.parametrize("name", OURS)
def test_ours_keep_the_contract(name):
    assert set(check_mitigation(OURS[name])) == set(data_mitigations.CHECKS)


class Mutable(M4):
    def weights(self, samples):
        self.__dict__.setdefault("found", super().weights(samples))
        return self.found if len(self.found) == samples_len(samples) else super().weights(samples)


class Position(M4):
    def weights(self, samples):
        found = super().weights(samples)
        return found * np.linspace(0.5, 1, len(found))


class Negative(M4):
    def weights(self, samples):
        return super().weights(samples) - 0.9


class Single(M4):
    def weights(self, samples):
        return super().weights(samples).astype(np.float32)


class Stateless(M4):
    @classmethod
    def from_state(cls, parameters, arrays):
        found = super().from_state(parameters, arrays)
        found._found = type(found._found)(**{**found._found.__dict__, "cap": 0.5})
        return found


class Peeking(M4):
    def fit(self, samples):
        from equipoise.data.samples import Samples

        return super().fit(samples.table.drop_columns(["split"]) if isinstance(samples, Samples) else samples)


class Nobody(DataMitigation):
    name = "nobody"
    attributes = ("gender",)

    def fit(self, samples):
        return self

    def weights(self, samples):
        return np.ones(samples_len(samples))


def samples_len(samples) -> int:
    return len(samples) if not isinstance(samples, pa.Table) else samples.num_rows


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (Mutable, "weights"), (Position, "batches"), (Negative, "weights"), (Single, "weights"), (Stateless, "state"),
        (Peeking, "held_out"), (lambda attribute, labels: Nobody(), "one_group"),
    ],
)  # fmt: skip
def test_what_is_broken_is_caught(broken, check, monkeypatch):
    # the check that starts a process is the slowest, and has its own test
    monkeypatch.delitem(data_mitigations.CHECKS, "saved")
    with pytest.raises(CheckFailed, match=f"\n  {check}:"):
        check_mitigation(lambda attribute: broken(attribute, labels="job"))
