"""Ledger rows of two audits of data: the same cells with other weights, before and after.

Numbers of data are exact, so that nothing is tested: a change is ``improved`` or ``worse`` where it exceeds the margin, and
else ``unchanged``. A targeted bias that lay inside its margin before, and still does, had nothing to improve: it is shown
and not gated. What was left out of the balance is not targeted; nor is the association of labels where other shares are
wanted inside some of them, which then is not what was asked for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from equipoise.audit.measure_cells import EXEMPT
from equipoise.audit.result import Audit
from equipoise.compare.controls import DISTRIBUTIONS
from equipoise.compare.verdicts import Margins
from equipoise.compare.wording import OTHER_SHARES
from equipoise.data.cell_groups import grouped, parts_of
from equipoise.errors import InputError
from equipoise.metrics.balance_data import GROUP_METRICS, WEIGHT_METRICS
from equipoise.store.cell_evidence import CellEvidence

NOTHING_TO_IMPROVE = "inside its margin before: there was nothing to improve"
LEFT_OUT = "not balanced: these labels were exempt"
ROUNDING = 1e-9
"""A smaller change is none: weights are solved for to about as much."""
BINS = 20
WEIGHTS = "weights"
"""Family of the histograms of weights."""

_KEYS = ("metric", "protocol", "attribute", "group", "family", "query")
_METRICS = GROUP_METRICS | WEIGHT_METRICS


def compare_data(
    before: Audit, after: Audit, targeted: Sequence[str], margins: Margins
) -> tuple[list[dict[str, Any]], pa.Table, list[dict[str, Any]]]:
    """Return ledger rows without verdicts, histograms of weights, and one summary an arm."""
    was = {_key(row): row for row in before.estimates.to_pylist() if row["arm"] == "main"}
    smallest = _smallest(before)
    uneven = _uneven(after)
    rows = []
    for now in after.estimates.to_pylist():
        descriptor = _METRICS[now["metric"]].descriptor
        if descriptor.role == "diagnostic" or (then := was.get(_key(now))) is None:
            continue
        b, a = _value(then), _value(now)
        change = float(descriptor.harm(b, a))
        change = 0.0 if abs(change) < ROUNDING else change
        asked = now["metric"] != "ab" or now["attribute"] not in uneven
        apart = OTHER_SHARES if not asked else LEFT_OUT if now["family"] == EXEMPT else ""
        rows.append({
            **{name: now[name] for name in _KEYS}, "arm": now["arm"], "n": now["n"],
            "n_min": smallest.get(now["attribute"], now["n"]) if not now["group"] else now["n"],
            "before": b, "before_low": b, "before_high": b, "after": a, "after_low": a, "after_high": a,
            "change": change, "change_low": change, "change_high": change, "eq_low": change, "eq_high": change,
            "margin": margins.of(descriptor, None), "reason": now["reason"] or then["reason"] or apart,
            "targeted": now["attribute"] in targeted and not apart, **({} if asked else {"gated": False}),
        })  # fmt: skip
    return rows, weight_histograms(after), [_summary(arm, rows, targeted) for arm in after.document.arms]


def judge_exact(rows: list[dict[str, Any]]) -> None:
    """Fill ``verdict`` of rows without sampling error in place, by the margin alone; say what is not gated, and why."""
    for row in rows:
        change = row["change"]
        row["p_adj"] = math.nan
        if not math.isfinite(change):
            row["verdict"] = "insufficient"
        elif abs(change) > row["margin"]:
            row["verdict"] = "worse" if change > 0 else "improved"
        else:
            row["verdict"] = "unchanged"
        small = abs(row["before"]) <= row["margin"]
        if row["gated"] and row["targeted"] and row["verdict"] == "unchanged" and small:
            row["gated"], row["reason"] = False, NOTHING_TO_IMPROVE


def refuse_other_cells(before: Audit, after: Audit) -> None:
    """Raise where two audits are not of the same cells.

    Raises
    ------
    VocabularyError, InputError
    """
    one, two = before.evidence, after.evidence
    assert isinstance(one, CellEvidence)
    assert isinstance(two, CellEvidence)
    one.cells.layout.check_same(two.cells.layout, "the cells before", "those after")
    same = np.array_equal(one.cells.keys, two.cells.keys) and np.array_equal(one.cells.counts, two.cells.counts)
    if not same:
        raise InputError(
            f"The audits have different rows: {one.cells.total:,} in {len(one.cells):,} cells before, "
            f"{two.cells.total:,} in {len(two.cells):,} cells after.",
            "Audit the same table with other weights.",
        )
    for name in ("wanted", "labels", "proxies", "exempt"):
        if (before.document.parameters.get(name) or None) != (after.document.parameters.get(name) or None):
            raise InputError(f"'{name}' differ between the audits.", "Audit both with the same targets.", value=name)


def weight_histograms(audit: Audit) -> pa.Table:
    """Return histograms of the weights of the main arm: over all rows, and by group of each targeted attribute.

    Columns are those of :data:`equipoise.compare.controls.DISTRIBUTIONS`; counts are rows, whatever their weight.
    """
    evidence = audit.evidence
    assert isinstance(evidence, CellEvidence)
    cells, weights = evidence.cells, evidence.weights["main"]
    edges = np.linspace(0.0, max(1.0, float(weights.max(initial=0.0))), BINS + 1)
    place = np.clip(np.searchsorted(edges, weights, side="right") - 1, 0, BINS - 1)
    rows = [_bins("", "", place, cells.counts, edges)]
    bits = cells.bits()
    vocabulary = audit.vocabulary
    for key in (audit.document.mitigation or {}).get("attributes", ()):
        if len(parts_of(cells.layout, key)) > 1 or key not in vocabulary.attributes:
            continue
        found = grouped(bits, cells.layout, key, vocabulary.groups(key))
        rows += [
            _bins(key, name, place, np.where(found.member[:, g] > 0, cells.counts, 0), edges)
            for g, name in enumerate(found.names)
        ]
    return pa.Table.from_pylist([row for part in rows for row in part], schema=DISTRIBUTIONS)


def _bins(attribute: str, group: str, place: Any, counts: Any, edges: Any) -> list[dict[str, Any]]:
    found = np.zeros(BINS, np.int64)
    np.add.at(found, place, counts)
    return [
        {"attribute": attribute, "family": WEIGHTS, "group": group, "side": "after", "low": float(edges[i]),
         "high": float(edges[i + 1]), "count": int(found[i])}
        for i in range(BINS)
    ]  # fmt: skip


def _summary(arm: str, rows: list[dict[str, Any]], targeted: Sequence[str]) -> dict[str, Any]:
    """Return the numbers of an arm over all rows, the largest of each over targeted attributes."""
    own = [row for row in rows if row["arm"] == arm and not row["group"] and not row["query"]]
    found: dict[str, Any] = {"arm": arm}
    for row in own:
        if row["attribute"] in ("", *targeted) and row["family"] != EXEMPT and math.isfinite(row["after"]):
            name = row["metric"] if row["family"] != "proxies" else f"{row['metric']}_proxy"
            found[name] = max(row["after"], found.get(name, -math.inf))
    return found


def _uneven(audit: Audit) -> set[str]:
    """Return attributes of which other shares are wanted inside some label than over all rows."""
    return {key for key, bar, _ in (name.partition(" | ") for name in audit.document.parameters["wanted"]) if bar}


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in _KEYS)


def _value(row: Mapping[str, Any]) -> float:
    return math.nan if row["value"] is None else float(row["value"])


def _smallest(audit: Audit) -> dict[str, int]:
    """Return the rows of the smallest group by attribute."""
    found: dict[str, int] = {}
    for row in audit.estimates.to_pylist():
        if row["metric"] == "share" and not row["query"] and row["arm"] == "main":
            found[row["attribute"]] = min(int(row["n"]), found.get(row["attribute"], int(row["n"])))
    return found
