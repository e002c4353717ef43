"""What an annotated column says of itself: the list behind it, its values, and how often it errs.

Such a column is a field of Arrow with the metadata key ``equipoise.annotation``; Parquet and Arrow IPC keep it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from equipoise.errors import SchemaError

KEY = b"equipoise.annotation"


@dataclass(frozen=True)
class Annotation:
    """The declaration of an annotated column.

    Attributes
    ----------
    list : str
        Name of the word list or of the question, as ``"people-en-1"``.
    version : str
        Its version; two columns of different versions are not added up.
    sha256 : str
        Checksum of the list, 64 hexadecimal digits.
    values : tuple of str
        All states that a row can have; a row that was not annotated is null.
    groups : tuple of str
        The values that shares are wanted for, in their order; empty where there are none (tags of labels).
    gold : mapping, optional
        The error of the column as rows labelled by hand show it; absent: its error is unknown.
    annotator : mapping, optional
        Of answers about pictures the model that gave them: ``ref``, ``name`` and ``fingerprints`` (SHA-256).
    """

    list: str
    version: str
    sha256: str
    values: tuple[str, ...]
    groups: tuple[str, ...] = ()
    gold: Mapping[str, Any] | None = None
    annotator: Mapping[str, Any] | None = None


def with_annotation(field: pa.Field, annotation: Annotation) -> pa.Field:
    """Return the field with the declaration in its metadata; other keys stay."""
    document: dict[str, Any] = {
        "list": annotation.list,
        "version": annotation.version,
        "sha256": annotation.sha256,
        "values": [*annotation.values],
        "groups": [*annotation.groups],
    }
    if annotation.gold is not None:
        document["gold"] = dict(annotation.gold)
    if annotation.annotator is not None:
        document["annotator"] = dict(annotation.annotator)
    text = json.dumps(document, ensure_ascii=False, sort_keys=True)
    return field.with_metadata({**(field.metadata or {}), KEY: text.encode()})


def read_annotation(field: pa.Field) -> Annotation | None:
    """Return the declaration of a field, or None where it has none.

    Raises
    ------
    SchemaError
        If the metadata is there and cannot be read, or a group is not one of the values.
    """
    found = (field.metadata or {}).get(KEY)
    if found is None:
        return None
    remedy = "Annotate the column again, or remove that metadata key."
    try:
        document = json.loads(found)
        annotation = Annotation(
            list=_text(document["list"]),
            version=_text(document["version"]),
            sha256=_text(document["sha256"]),
            values=_texts(document["values"]),
            groups=_texts(document["groups"]),
            gold=document.get("gold"),
            annotator=document.get("annotator"),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise SchemaError(
            f"The column '{field.name}' has metadata '{KEY.decode()}' that cannot be read ({error}).",
            remedy,
            value=field.name,
        ) from error
    if missing := [group for group in annotation.groups if group not in annotation.values]:
        raise SchemaError(
            f"The column '{field.name}' declares a group '{missing[0]}' that is not one of its values.",
            remedy,
            value=missing[0],
        )
    for key in ("gold", "annotator"):
        value = getattr(annotation, key)
        if value is not None and not isinstance(value, Mapping):
            raise SchemaError(f"The {key} of the column '{field.name}' is no object.", remedy, value=value)
    return annotation


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is not a list")
    return tuple(_text(item) for item in value)
