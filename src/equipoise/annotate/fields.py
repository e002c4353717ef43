"""The Arrow field of an annotated column, from the variable and the list that it came from.

The declaration itself stands in :mod:`equipoise.data.annotated`, where tables are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import pyarrow as pa

from equipoise.data.annotated import KEY, Annotation, read_annotation, with_annotation

__all__ = ["KEY", "Annotation", "annotated_field", "read_annotation", "with_annotation"]


class AnyVariable(Protocol):
    """What a field needs of a variable: its states, the groups among them, and whether a row has one or many."""

    @property
    def values(self) -> tuple[str, ...]: ...
    @property
    def groups(self) -> tuple[str, ...]: ...
    @property
    def kind(self) -> str: ...


class AnyList(Protocol):
    """What a field needs of a word list or a question."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def sha256(self) -> str: ...


def annotated_field(
    name: str, variable: AnyVariable, lexicon: AnyList, *, gold: Mapping[str, Any] | None = None
) -> pa.Field:
    """Return the field of an annotated column.

    Parameters
    ----------
    name : str
        Of the column, as ``"gender_text"``.
    variable : object with ``values``, ``groups`` and ``kind``
        ``kind`` is ``"values"`` (a text a row) or ``"tags"`` (a list of texts a row).
    lexicon : object with ``name``, ``version`` and ``sha256``
        A :class:`~equipoise.annotate.lexicon.Lexicon` or a question about pictures.
    gold : mapping, optional
        The error of the column, as rows labelled by hand show it; kept as JSON.
    """
    kind = pa.list_(pa.string()) if variable.kind == "tags" else pa.string()
    annotation = Annotation(
        lexicon.name, lexicon.version, lexicon.sha256, tuple(variable.values), tuple(variable.groups), gold
    )
    return with_annotation(pa.field(name, kind), annotation)
