"""What an annotated column says of itself."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from equipoise.annotate.fields import KEY, Annotation, annotated_field, read_annotation, with_annotation
from equipoise.annotate.lexicon import load_lexicon
from equipoise.errors import SchemaError

LEXICON = load_lexicon("people-en-1")


def test_the_field_says_list_version_checksum_values_and_groups():
    field = annotated_field("gender_text", LEXICON.variables["gender"], LEXICON)
    assert (field.name, field.type) == ("gender_text", pa.string())
    assert json.loads(field.metadata[b"equipoise.annotation"]) == {
        "list": "people-en-1",
        "version": "people-en-1",
        "sha256": LEXICON.sha256,
        "values": ["woman", "man", "both", "unspecified_person", "none", "ambiguous"],
        "groups": ["woman", "man"],
    }
    jobs = annotated_field("occupation_text", LEXICON.variables["occupation"], LEXICON)
    assert jobs.type == pa.list_(pa.string())


def test_gold_and_other_metadata_stay():
    annotation = Annotation("l", "v", "s", ("a", "b"), ("a",), {"sens": 0.9})
    field = with_annotation(pa.field("x", pa.string(), metadata={b"mine": b"1"}), annotation)
    assert read_annotation(field) == annotation
    assert field.metadata[b"mine"] == b"1"
    assert read_annotation(pa.field("x", pa.string())) is None


@pytest.mark.parametrize(
    "text",
    [
        b"{", b"[]", b"3", b"{}", b"\xff",
        b'{"list":"a","version":"a","sha256":"a","values":"a","groups":[]}',
        b'{"list":"a","version":"a","sha256":"a","values":[1],"groups":[]}',
        b'{"list":1,"version":"a","sha256":"a","values":["a"],"groups":[]}',
        b'{"list":"a","version":"a","sha256":"a","values":["a"],"groups":["b"]}',
        b'{"list":"a","version":"a","sha256":"a","values":["a"],"groups":[],"gold":3}',
    ],
)  # fmt: skip
def test_metadata_that_cannot_be_read_is_refused(text):
    with pytest.raises(SchemaError, match="x"):
        read_annotation(pa.field("x", pa.string(), metadata={KEY: text}))
