"""Samples: the rows of a table and the roles of its columns.

Roles are named, never guessed. Rows are sorted by their id, in code-point order, so that nothing random or ranked
depends on the order of lines.
"""

# pyarrow makes its compute functions at import.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from equipoise.data.annotated import KEY, read_annotation
from equipoise.data.checksums import sha256_of
from equipoise.data.columns import Column
from equipoise.data.groups import Attribute, Vocabulary
from equipoise.data.rows import SPARE_ID, Samples, checked_matches, said
from equipoise.data.tables import Source, open_table
from equipoise.errors import InputError, VocabularyError, did_you_mean, listed

__all__ = ["Samples", "read_samples"]

TEXT_ROLES = ("image", "caption", "label", "prediction", "split", "cluster", "source", "time")
NUMBER_ROLES = ("score", "weight")
RESERVED = ("row_id", "sha256", "status", "reason")


def read_samples(
    source: Any,
    *,
    image: str | None = None,
    caption: str | None = None,
    label: str | None = None,
    prediction: str | None = None,
    score: str | None = None,
    attributes: Sequence[str] = (),
    split: str | None = None,
    cluster: str | None = None,
    id: str | None = None,
    weight: str | None = None,
    source_column: str | None = None,
    time: str | None = None,
    vocabulary: str | Path | Vocabulary | None = None,
    where: Mapping[str, str | Sequence[str]] | None = None,
) -> Samples:
    """Read a table and name the roles of its columns.

    Parameters
    ----------
    source : path, frame or table
        CSV, TSV, Parquet, a folder of images (columns ``image`` and ``folder``), a pandas or polars frame, an Arrow
        table, a Hugging Face dataset, or a mapping of columns.
    image, caption, label, prediction, score, split, cluster, id, weight, source_column, time : str, optional
        The column of each role. The row id is the column ``id``, else the image path, else the row number.
    attributes : sequence of str
        The columns of sensitive attributes.
    vocabulary : path or Vocabulary, optional
        ``groups.toml``. An attribute it does not declare has its values taken from the table in order of appearance.
    where : mapping, optional
        Only rows whose column equals a value, as ``{"split": "val"}``; any column of the table may be named.

    Returns
    -------
    Samples
        Sorted by row id.

    Raises
    ------
    MissingFileError, MissingColumnError, VocabularyError, InputError
        Naming the lines and the remedy.
    """
    table = open_table(source)
    named = {
        "image": image, "caption": caption, "label": label, "prediction": prediction, "score": score, "split": split,
        "cluster": cluster, "weight": weight, "source": source_column, "time": time, "id": id,
    }  # fmt: skip
    roles = {role: column for role, column in named.items() if column is not None}
    attributes = (attributes,) if isinstance(attributes, str) else tuple(attributes)
    _check_roles(roles, attributes)
    where = dict(where or {})
    wanted = {name: name if name in table.names else roles.get(name, name) for name in where}
    spare = [SPARE_ID] if id is None and table.names.count(SPARE_ID) == 1 else []
    raw = table.read([*roles.values(), *attributes, *wanted.values(), *spare])
    lines = table.lines()

    def column(name: str) -> Column:
        return Column(raw[name], name, lines, table.unit)

    ids, id_from = _ids(table, roles, column)
    columns: dict[str, pa.Array] = {"row_id": ids}
    for role, name in roles.items():
        if role in NUMBER_ROLES:
            columns[role] = pa.array(column(name).numbers(least=0.0 if role == "weight" else -np.inf))
        elif role != "id":
            columns[role] = pc.fill_null(column(name).text(), "")
    if weight is not None:
        _check_weights(columns["weight"].to_numpy(), weight)
    if label is not None and prediction is not None:
        _check_spelling(columns["label"], columns["prediction"], label, prediction)
    texts = {name: column(name).text() for name in attributes}
    columns |= texts
    known, inputs, notes = _vocabulary(vocabulary, texts, lines, table.unit, raw.schema)
    samples = Samples(
        table=_with_annotations(pa.table(columns), raw.schema, {**roles, **{name: name for name in attributes}}),
        vocabulary=known,
        roles=roles,
        inputs={**table.fingerprint(raw), **inputs},
        root=table.root,
        lines=lines,
        position=np.arange(table.rows, dtype=np.int64),
        rows_read=table.rows,
        attributes=attributes,
        id_from=id_from,
        unit=table.unit,
        notes=tuple(notes),
        spare_id=column(SPARE_ID).text() if spare else None,
        conditions=where,
    )
    for name in attributes:
        samples.codes(name)
    keep = np.ones(table.rows, bool)
    for name, value in where.items():
        keep &= checked_matches(column(wanted[name]).text(), name, value)
    if not keep.any():
        raise InputError(f"No row has {said(where)}.", "Ask for less.", value=where)
    return (samples if keep.all() else samples.take(np.flatnonzero(keep))).sorted()


def _annotated(names: set[str], read: pa.Schema) -> tuple[Vocabulary, list[str]]:
    """Return the groups that annotated columns declare; their other states ("none", "ambiguous") are unknown."""
    found, notes = {}, []
    for field in read:
        annotation = read_annotation(field) if field.name in names else None
        if annotation is not None and annotation.groups:
            others = tuple(value for value in annotation.values if value not in annotation.groups)
            found[field.name] = Attribute(field.name, annotation.groups, ("", *others))
            notes.append(
                f"'{field.name}' was annotated by {annotation.list}: its groups are {listed(annotation.groups, 20)}; "
                f"{listed(others, 20)} count as unknown."
            )
    return Vocabulary(found), notes


def _with_annotations(table: pa.Table, read: pa.Schema, columns: Mapping[str, str]) -> pa.Table:
    """Return the table with what annotated columns declare of themselves."""
    fields = []
    for field in table.schema:
        column = columns.get(field.name)
        found = None if column is None else (read.field(column).metadata or {}).get(KEY)
        fields.append(field if found is None else field.with_metadata({KEY: found}))
    return table.cast(pa.schema(fields))


def _check_roles(roles: Mapping[str, str], attributes: Sequence[str]) -> None:
    if len(set(attributes)) < len(attributes):
        raise InputError(f"An attribute is named twice: {listed(attributes)}.", "Name each once.", value=attributes)
    for name in attributes:
        role = name in (*TEXT_ROLES, *NUMBER_ROLES) and (roles.get(name) != name or name in NUMBER_ROLES)
        if role or name in RESERVED:
            raise InputError(
                f"An attribute cannot be called '{name}': that is the name of a role.", "Rename the column.", value=name
            )


def _ids(table: Source, roles: Mapping[str, str], column: Any) -> tuple[pa.Array, str]:
    if "id" in roles:
        return column(roles["id"]).ids(), "id"
    if "image" in roles:
        return column(roles["image"]).ids(), "image"
    return pa.array([str(row) for row in range(1, table.rows + 1)], pa.large_string()), "row number"


def _check_weights(weights: NDArray[np.float64], name: str) -> None:
    if np.isnan(weights).any():
        raise InputError(f"'{name}' has {int(np.isnan(weights).sum())} rows without a weight.", "Give every row one.")
    if weights.sum() == 0:
        raise InputError(f"The weights in '{name}' sum to zero.", "Give some rows a weight above zero.")


def _vocabulary(
    given: str | Path | Vocabulary | None, texts: Mapping[str, pa.Array], lines: NDArray[np.int64], unit: str,
    read: pa.Schema,
) -> tuple[Vocabulary, dict[str, str], list[str]]:  # fmt: skip
    """Return the vocabulary, the checksum of its file, and notes on attributes that it does not declare."""
    inputs: dict[str, str] = {}
    if given is None:
        declared = Vocabulary()
    elif isinstance(given, Vocabulary):
        declared = given
    else:
        declared, inputs = Vocabulary.read(given), {Path(given).name: sha256_of(given)}
    annotated, notes = _annotated({name for name in texts if name not in declared.attributes}, read)
    declared = declared.merged(annotated)
    missing = [name for name in texts if name not in declared.attributes]
    spare = [name for name in declared.attributes if name not in texts]
    for name in missing:
        if hint := did_you_mean(name, spare):
            raise VocabularyError(
                f"The vocabulary does not declare '{name}'.{hint}", "Use one name for it.", value=name
            )
    inferred = Vocabulary.infer({name: texts[name] for name in missing}, lines, unit)
    notes += [
        f"'{name}' is not declared; its groups are taken from the table: {listed(attribute.values, 20)}."
        for name, attribute in inferred.attributes.items()
    ]
    return declared.merged(inferred), inputs, notes


def _check_spelling(label: pa.Array, prediction: pa.Array, label_name: str, prediction_name: str) -> None:
    """Refuse one number spelt two ways, as ``1`` and ``1.0``: cells are compared as text."""
    spelt = {number: text for text in pc.unique(label).to_pylist() if (number := _number(text)) is not None}
    for text in pc.unique(prediction).to_pylist():
        number = _number(text)
        other = text if number is None else spelt.get(number, text)
        if other != text:
            raise InputError(
                f"'{label_name}' says '{other}' where '{prediction_name}' says '{text}'; they are compared as text.",
                "Write both the same way.",
                value=text,
            )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
