"""What the labels' dependence on an annotated attribute is after weighting, without the errors of the annotator.

Weights come from what was read, so that a gap that they close on the answers may be open on the truth. What is left is told
by :func:`equipoise.metrics.attribute_noise.weighted_association`, from the cells; where it cannot be told, that is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.annotate.tag_error import long
from equipoise.audit.annotated import rows_of
from equipoise.audit.measure_cells import CellMeasures
from equipoise.data.cell_groups import grouped, label_bits, parts_of
from equipoise.estimate import Estimate
from equipoise.metrics.attribute_noise import weighted_association

ONE_SIDED = 0.05
"""Where more of the rows are of patterns that only one of the groups has, the weight of the other group is guesswork."""


def corrected_weighted(described: Mapping[str, Any], measures: CellMeasures, estimates: Any) -> list[str]:
    """Return what associations with weights would be without errors of annotated attributes.

    Parameters
    ----------
    described : mapping
        As :func:`equipoise.audit.annotated.described` gives it.
    measures : CellMeasures
        After ``measure``; the weights are those of ``main``.
    estimates : pyarrow.Table
        Its rows.
    """
    notes = []
    for column, entry in described.items():
        if "value" not in entry.get("attenuation", {}):
            continue
        for row in rows_of(column, estimates):
            found = _association(entry, measures, row)
            told = (
                f"about {found} without such errors"
                if found.has_value
                else "not known after weighting without its errors"
            )
            why = f" ({found.reason})" if found.reason else ""
            notes.append(f"With weights, {row['metric']} by '{column}' is {row['value']:.3g} as observed, {told}{why}.")
    return notes


def _association(entry: Mapping[str, Any], measures: CellMeasures, row: Mapping[str, Any]) -> Estimate:
    key, gold = row["attribute"], entry["gold"] or {}
    variable = measures.layout.variable(key)
    groups = tuple(entry["groups"])
    if len(variable.columns) > 1:
        return _unknown("it is read from text and from pictures")
    if set(measures.names[key]) != set(groups):
        return _unknown("other groups were balanced than were judged by hand")
    targets = measures.targets
    if targets is not None and key in targets.keys and targets.mask != "auto":
        return _unknown("rows of no group take part")
    level = float(gold.get("level", 0.95))
    sens, spec = (long(gold["groups"][groups[0]][name], level) for name in ("sens", "spec"))
    own = grouped(measures.bits, measures.layout, key, groups, measures.modalities[0])
    labels = measures.labels_of(key, row["family"])
    if any(label.partition("=")[0] == key for label in labels):
        return _unknown("it is a label of itself")
    mass = measures.counts * measures.weights["main"]
    first, number = _patterns(measures, key, own.inside)
    rows = own.member[own.inside]
    counts, weighed = (
        np.column_stack([np.bincount(number, rows[:, side] * of[own.inside], len(first)) for side in (0, 1)])
        for of in (measures.counts, mass)
    )
    there = counts > 0
    if counts[~there.all(1)].sum() > ONE_SIDED * counts.sum():
        return _unknown("too many of the rows are like no row of the other group")
    weights = np.where(there, weighed / np.where(there, counts, 1), weighed.sum(0) / np.maximum(counts.sum(0), 1))
    holds = np.column_stack([label_bits(measures.bits[first], measures.layout, name, measures.modalities[1]) for name in labels])  # fmt: skip
    return weighted_association(counts, weights, holds, sens, spec)


def _patterns(measures: CellMeasures, key: str, inside: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the first cell of each pattern of all that weights depend on but the key, and the pattern of each cell inside."""
    names: Sequence[str] = [variable.name for variable in measures.layout.variables]
    if measures.targets is not None:
        parts = {part for name in measures.targets.keys for part in parts_of(measures.layout, name)}
        names = [*parts, *(label.partition("=")[0] for label in measures.labels)]
    chosen = [bit.bit for bit in measures.layout.names if bit.role == "utility" or (bit.variable in names and bit.variable != key)]  # fmt: skip
    places = np.flatnonzero(inside)
    packed = np.packbits(measures.bits[np.ix_(places, np.asarray(chosen, np.int64))], axis=1)
    if not packed.shape[1]:
        return places[:1], np.zeros(len(places), np.int64)
    rows = np.ascontiguousarray(packed).view(np.dtype((np.void, packed.shape[1]))).ravel()
    _, first, number = np.unique(rows, return_index=True, return_inverse=True)
    return places[first], number


def _unknown(reason: str) -> Estimate:
    return Estimate.without("not_estimable", reason)
