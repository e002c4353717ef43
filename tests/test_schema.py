from __future__ import annotations

import json
import math

import numpy as np
import pyarrow as pa
import pytest

from equipoise._version import __version__
from equipoise.errors import SchemaError
from equipoise.schema import (
    ESTIMATES,
    LEDGER,
    AuditDocument,
    ComparisonDocument,
    Manifest,
    Result,
    conform,
    plain,
    table,
)

AUDIT = {"source": "predictions", "parameters": {}, "rows": {"in": 1}, "vocabulary": {}}


def test_json_begins_with_the_schema_and_is_sorted() -> None:
    text = AuditDocument(**AUDIT).to_json()
    keys = list(json.loads(text))
    assert keys[0] == "schema"
    assert keys[1:] == sorted(keys[1:])
    assert json.loads(text)["schema"] == "equipoise.audit/1"
    assert json.loads(text)["version"] == __version__
    assert text.endswith("}\n")


def test_nan_and_infinities_are_null_at_any_depth() -> None:
    made = AuditDocument(
        **AUDIT, geometry={"a": [math.nan, 1.0, {"b": math.inf}], "c": np.float32("nan"), "d": np.arange(2)}
    )
    assert json.loads(made.to_json())["geometry"] == {"a": [None, 1.0, {"b": None}], "c": None, "d": [0, 1]}
    assert plain({"x": np.int64(3), 4: (np.bool_(True), np.array([np.nan]))}) == {"x": 3, "4": [True, [None]]}


@pytest.mark.parametrize("kind", [AuditDocument, ComparisonDocument, Manifest, Result])
def test_another_version_is_refused(kind) -> None:
    for schema in (f"equipoise.{kind.KIND}/2", f"equipoise.{kind.KIND}/10", "equipoise.other/1", "", None):
        with pytest.raises(SchemaError, match=f"reads 'equipoise.{kind.KIND}/1'"):
            kind.from_json(json.dumps({"schema": schema}), "it")
    with pytest.raises(SchemaError, match="it is not JSON"):
        kind.from_json("{", "it")
    with pytest.raises(SchemaError, match="it says schema ''"):
        kind.from_json("[1]", "it")


@pytest.mark.parametrize(
    ("change", "key"), [({"extra": 1}, "extra"), ({"seed": "x"}, "seed"), ({"source": "guesses"}, "source")]
)
def test_unknown_and_ill_typed_keys_are_named(change, key) -> None:
    data = json.loads(AuditDocument(**AUDIT).to_json())
    assert AuditDocument.from_json(json.dumps(data)) == AuditDocument(**AUDIT)
    with pytest.raises(SchemaError, match=f"'{key}'"):
        AuditDocument.from_json(json.dumps(data | change))


def test_a_missing_key_is_named() -> None:
    data = json.loads(AuditDocument(**AUDIT).to_json())
    del data["rows"]
    with pytest.raises(SchemaError, match="'rows'"):
        AuditDocument.from_json(json.dumps(data))


def test_tables_from_rows() -> None:
    found = table(
        LEDGER, [{"attribute": "gender", "n": 3, "change": math.nan, "gated": True}, {"before": np.float32(0.5)}]
    )
    assert found.schema == LEDGER
    first, second = found.to_pylist()
    assert (first["attribute"], first["n"], first["change"], first["gated"], first["group"]) == (
        "gender",
        3,
        None,
        True,
        "",
    )
    assert (second["before"], second["n"], second["reversed"]) == (0.5, None, False)
    with pytest.raises(SchemaError, match="outside the schema: zzz"):
        table(LEDGER, [{"zzz": 1}])
    assert table(ESTIMATES, []).schema == ESTIMATES


def test_conform_names_the_difference() -> None:
    good = table(LEDGER, [{}])
    assert conform(good, LEDGER, "it").schema == LEDGER
    with pytest.raises(SchemaError, match=r"it has other columns .* missing \['verdict'\]"):
        conform(good.drop_columns(["verdict"]), LEDGER, "it")
    with pytest.raises(SchemaError, match=r"unknown \['zzz'\]"):
        conform(good.append_column("zzz", pa.array([1])), LEDGER, "it")
    place = LEDGER.get_field_index("change")
    with pytest.raises(SchemaError, match="another type"):
        conform(good.set_column(place, "change", pa.array(["x"])), LEDGER, "it")
