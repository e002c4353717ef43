"""The audit of data: shares of groups, and how much labels depend on them, on cells with weights.

Every number is exact of the rows at hand: there is no interval, because nothing is drawn. Groups of any size take part.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import ArrayLike

from equipoise.audit.annotated import corrected
from equipoise.audit.measure_cells import EXEMPT, CellMeasures, Wanted
from equipoise.audit.result import Audit, Settings
from equipoise.audit.weighted_noise import corrected_weighted
from equipoise.data.cell_groups import group_names, label_names, parts_of
from equipoise.data.cell_table import CellTable
from equipoise.data.groups import Attribute, Vocabulary
from equipoise.data.layout import Layout
from equipoise.errors import InputError, expect
from equipoise.schema import AuditDocument
from equipoise.store.cell_evidence import CellEvidence


def audit_cells(
    cells: CellTable,
    weights: ArrayLike | None = None,
    *,
    by: str | Sequence[str] | None = None,
    targets: Wanted | None = None,
    exempt: Collection[tuple[str, str]] = (),
    arms: Mapping[str, ArrayLike] | None = None,
    mitigation: Mapping[str, Any] | None = None,
    vocabulary: Vocabulary | None = None,
    inputs: Mapping[str, str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    notes: Iterable[str] = (),
    seed: int = 0,
) -> Audit:
    """Measure the bias of data, as they are or with weights.

    Parameters
    ----------
    cells : CellTable
        C cells.
    weights : array_like (C,), optional
        At least 0; 1 for every row when None.
    by : str or sequence of str, optional
        Attributes and intersections; what ``targets`` balances, then every other attribute of the layout, when None.
    targets : Targets, optional
        What is balanced, with its wanted shares; equal shares otherwise.
    exempt : collection of (attribute, label)
        What of ``targets`` was left out of the balance: rows of the family ``exempt``, apart from what was balanced. An
        empty label stands for all rows.
    arms : mapping of str to (C,) weights, optional
        Controls to measure beside ``weights``.
    mitigation : mapping, optional
        Description of what made the weights: ``method``, ``attributes``, ...
    vocabulary : Vocabulary, optional
        Tells which attributes somebody declared.
    inputs, parameters : mapping, optional
        For the document.
    notes : iterable of str
    seed : int

    Returns
    -------
    Audit
        Rows of the families ``data`` (labels), ``proxies``, ``exempt`` and ``pairs`` (how much one attribute depends on
        another).

    Raises
    ------
    InputError, UnknownNameError
        For cells without rows, weights that do not fit, and names that are not in the layout.
    """
    expect(cells, CellTable, "What is to be audited", "Give a CellTable.")
    if not len(cells):
        raise InputError("There is no row to audit.", "Count rows whose attributes and labels are known.")
    main = np.ones(len(cells)) if weights is None else np.asarray(weights, np.float64)
    evidence = CellEvidence(cells, {"main": main, **{k: np.asarray(w, np.float64) for k, w in (arms or {}).items()}})
    keys = _keys(cells.layout, by, targets)
    labels = label_names(cells.layout, ("label", "proxy")) if targets is None else targets.labels
    if targets is None:
        proxy = dict.fromkeys(label_names(cells.layout, ("proxy",)), True)
    else:
        proxy = {name: is_proxy for name, is_proxy in zip(targets.labels, targets.proxies, strict=True) if is_proxy}
    table = CellMeasures(evidence, keys, tuple(labels), proxy, targets, seed, exempt)
    table.measure()
    reasons = {reason: count for reason, count in cells.set_aside.items() if count}
    estimates = table.rows.table()
    annotated = (parameters or {}).get("annotations") or {}
    balanced = estimates.filter(pc.field("family") != EXEMPT)
    if weights is None:
        notes = [*notes, *corrected(annotated, balanced)]
    else:
        notes = [*notes, *corrected_weighted(annotated, table, balanced)]
    document = AuditDocument(
        source="data",
        parameters={
            **(parameters or {}),
            "settings": Settings(by=keys, bootstrap=0, min_group=1, seed=seed).as_dict(),
            "labels": [name for name in labels if name not in proxy],
            "proxies": [*proxy],
            "wanted": table.wanted_shares(),
            "exempt": sorted(map(list, exempt)),
            "lists": cells.layout.lists,
            "layout_id": cells.layout.id,
            "cells": len(cells),
            "set_aside": reasons,
        },
        rows={"in": cells.total + sum(reasons.values()), "used": cells.total, "set_aside": sum(reasons.values())},
        unknown=table.outside(),
        vocabulary=_vocabulary(cells.layout, keys, vocabulary, targets).to_dict(),
        mitigation=None if mitigation is None else dict(mitigation),
        arms=list(evidence.weights),
        inputs=dict(inputs or {}),
        notes=[*notes, *(f"{count:,} rows set aside: {reason}." for reason, count in reasons.items())],
        seed=seed,
    )
    return Audit(estimates, document, evidence)


def _keys(layout: Layout, by: str | Sequence[str] | None, targets: Wanted | None) -> tuple[str, ...]:
    first = () if targets is None else targets.keys
    if by is None:
        used = {part for key in first for part in parts_of(layout, key)}
        rest = [v.name for v in layout.variables if v.role == "attribute" and v.name not in used]
        return tuple(dict.fromkeys([*first, *rest]))
    named = by.split(",") if isinstance(by, str) else by
    return tuple(dict.fromkeys([*first, *(name.strip() for name in named if name.strip())]))


def _vocabulary(layout: Layout, keys: Sequence[str], given: Vocabulary | None, targets: Wanted | None) -> Vocabulary:
    """Return the groups of every attribute that a key names."""
    found = {}
    for part in dict.fromkeys(part for key in keys for part in parts_of(layout, key)):
        variable = layout.variable(part)
        values = group_names(layout, part)
        if targets is not None and targets.groups.get(part, ("",)) != ("",):
            values = targets.groups[part]
        declared = bool(variable.version) or (given is not None and part in given.attributes)
        found[part] = Attribute(part, values, unknown=variable.unknown, declared=declared)
    return Vocabulary(found)
