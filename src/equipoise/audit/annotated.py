"""What an audit says of attributes that an annotator read: from what, by which list or model, and what its errors do.

Labelled rows (the gold of a column) tell how often the annotator is right. Errors that do not depend on what is measured
shrink a gap between two groups by PPV + NPV - 1 (:mod:`equipoise.metrics.attribute_noise`); the audit says by how much, and
what the gap would be without them; of rows with weights :mod:`equipoise.audit.weighted_noise` tells. The numbers of its
table stay what was observed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from equipoise.annotate.images import fingerprints_of
from equipoise.annotate.tag_error import long, short
from equipoise.data.annotated import Annotation, read_annotation
from equipoise.data.groups import SEPARATOR
from equipoise.errors import listed
from equipoise.estimate import Estimate
from equipoise.metrics.attribute_noise import attenuation, corrected_gap, label_noise

SCALED = ("accuracy_gap", "selection_rate_gap", "ab")
"""Metrics that are a difference of two means over all rows of two groups: those that the factor is of."""
UNKNOWN = "its error is unknown"
SELF = "by the audited model itself"


def annotations_of(schema: pa.Schema, keys: Iterable[str]) -> dict[str, Annotation]:
    """Return the annotated columns of a table among attributes, intersections and plain names.

    A name that is no column stands for the columns of its text and its image, as ``gender`` for ``gender_text``.
    """
    found: dict[str, Annotation] = {}
    for key in keys:
        for part in (key,) if key in schema.names else key.split(SEPARATOR):
            for column in (part,) if part in schema.names else (f"{part}_text", f"{part}_image"):
                if column in schema.names and (annotation := read_annotation(schema.field(column))) is not None:
                    found[column] = annotation
    return found


def described(annotations: Mapping[str, Annotation]) -> dict[str, Any]:
    """Return JSON values of annotated columns, with their error and the factor of their gaps, for an audit's parameters."""
    found = {}
    for column, annotation in annotations.items():
        entry: dict[str, Any] = {
            "list": annotation.list, "version": annotation.version, "sha256": annotation.sha256,
            "groups": [*annotation.groups], "gold": None if annotation.gold is None else dict(annotation.gold),
            "says": sentence(column, annotation),
        }  # fmt: skip
        if annotation.annotator is not None:
            entry["annotator"] = dict(annotation.annotator)
        if (factor := factor_of(annotation)) is not None:
            entry["attenuation"] = short(factor)
        if noise := label_noises(annotation):
            entry["label_noise"] = {value: short(factor) for value, factor in noise.items()}
        found[column] = entry
    return found


def parameters_of(annotations: Mapping[str, Annotation]) -> dict[str, Any]:
    """Return what the parameters of an audit gain: nothing where no column was annotated."""
    return {"annotations": described(annotations)} if annotations else {}


def factor_of(annotation: Annotation) -> Estimate | None:
    """Return the factor by which errors shrink a gap between the column's two groups; None where it cannot be told."""
    shares = _shares(annotation)
    return None if shares is None else attenuation(*shares)


def label_noises(annotation: Annotation) -> dict[str, Estimate]:
    """Return by value of a column of labels the factor by which its errors shrink a gap in the label's rate."""
    if annotation.groups or annotation.gold is None:
        return {}
    level = float(annotation.gold.get("level", 0.95))
    values: Mapping[str, Any] = annotation.gold.get("values") or {}
    return {
        value: label_noise(long(shares["recall"], level), long(shares["specificity"], level))
        for value, shares in values.items()
        if "value" in shares["recall"] and "value" in shares["specificity"]
    }


def sentence(column: str, annotation: Annotation) -> str:
    """Return who read a column and how often that errs, as a person reads it."""
    if annotation.annotator is not None:
        who = f"was read from pictures by {annotation.annotator.get('name', 'a model')} (question {annotation.list})"
    else:
        who = f"was read from captions by {annotation.list}"
    if annotation.gold is None:
        return f"'{column}' {who}; {UNKNOWN}: no labelled rows tell it."
    shares = _shares(annotation)
    labelled = annotation.gold.get("labelled", 0)
    if shares is None:
        return f"'{column}' {who}; {labelled} rows labelled by hand: {_precisions(annotation)}."
    one, two = annotation.groups
    said = f"'{column}' {who}; of {labelled} rows labelled by hand PPV {shares[0]} ({one}), NPV {shares[1]} ({two})"
    factor = attenuation(*shares)
    if not factor.has_value:
        return f"{said}; {factor.reason}."
    return f"{said}. Errors that do not depend on what is measured leave {factor} of a gap between {one} and {two} (without weights)."


def notes_on(
    annotations: Mapping[str, Annotation], estimates: pa.Table, model: Mapping[str, Any] | None = None
) -> list[str]:
    """Return what an audit notes of annotated attributes: who read them, what gaps would be without errors.

    A column that the audited model itself read is said to be so: its errors and the model's bias are then the same thing.
    """
    notes = []
    own = set(fingerprints_of(model or {}))
    for column, annotation in annotations.items():
        notes.append(sentence(column, annotation))
        if own & set((annotation.annotator or {}).get("fingerprints", ())):
            notes.append(
                f"'{column}' was annotated {SELF}: errors of the labels and bias of the model are then one and the same, and "
                "a gap may be too small or too large. Annotate with another model."
            )
    return notes + corrected(described(annotations), estimates)


def corrected(described: Mapping[str, Any], estimates: pa.Table) -> list[str]:
    """Return what gaps would be without errors of annotated attributes, from :func:`described` and an audit's table."""
    notes = []
    for column, entry in described.items():
        if "value" in entry.get("attenuation", {}):
            level = float((entry.get("gold") or {}).get("level", 0.95))
            notes += _corrected(column, long(entry["attenuation"], level), estimates)
    return notes


def _corrected(column: str, factor: Estimate, estimates: pa.Table) -> list[str]:
    found = []
    for row in rows_of(column, estimates):
        exact = row["status"] == "exact"
        limits = (row["value"], row["value"]) if exact else (row["low"], row["high"])
        if None in limits:
            continue
        seen = Estimate(row["value"], *limits, n=row["n"], status=row["status"])
        found.append(
            f"{row['metric']} by '{column}' is {seen} as observed, about {corrected_gap(seen, factor)} without such errors."
        )
    return found


def rows_of(column: str, estimates: pa.Table) -> list[dict[str, Any]]:
    """Return the rows of an audit's table that are a gap between the groups of an annotated column, over all queries."""
    wanted = ["metric", "family", "attribute", "group", "query", "arm", "value", "low", "high", "n", "status"]
    return [
        row
        for row in estimates.select(wanted).to_pylist()
        if row["attribute"] in (column, column.rpartition("_")[0])
        and row["metric"] in SCALED
        and not row["group"]
        and not row["query"]
        and row["arm"] == "main"
        and row["value"] is not None
    ]


def _shares(annotation: Annotation) -> tuple[Estimate, Estimate] | None:
    """Return PPV and NPV of the first of two groups."""
    gold = annotation.gold or {}
    groups: Mapping[str, Any] = gold.get("groups") or {}
    if len(annotation.groups) != 2 or annotation.groups[0] not in groups:
        return None
    level = float(gold.get("level", 0.95))
    first = groups[annotation.groups[0]]
    return long(first["ppv"], level), long(first["npv"], level)


def _precisions(annotation: Annotation) -> str:
    gold = annotation.gold or {}
    level = float(gold.get("level", 0.95))
    values: Mapping[str, Any] = gold.get("values") or {}
    names: Sequence[str] = annotation.groups or list(values)
    told = [f"{name} {long(values[name]['precision'], level)}" for name in names if "value" in values.get(name, {}).get("precision", {})]  # fmt: skip
    said = f"precision of {listed(told, 6)}" if told else "none of its values has a labelled row"
    noise = [f"{value} {factor}" for value, factor in label_noises(annotation).items() if factor.has_value]
    return f"{said}; of a gap in the rate of a label its errors leave {listed(noise, 6)}" if noise else said
