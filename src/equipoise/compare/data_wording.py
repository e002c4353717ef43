"""What a balance cost, and what it moved besides, in sentences made from the rows of its ledger."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from equipoise.compare.wording import measure, number

Row = dict[str, Any]
NAMED = 3


def paid(rows: Sequence[Row]) -> list[str]:
    """Say how much is kept, of which label and group least, and how uneven the weights are."""
    main = [row for row in rows if row["arm"] == "main"]
    whole = _one(main, "retention")
    if whole is None:
        return []
    ess, top, drift = (_one(main, name) for name in ("ess", "max_weight", "prevalence_factor"))
    asides = [
        f"effective sample size {number(ess['after'])}" if ess else "",
        f"largest weight {number(top['after'])} times the mean" if top else "",
    ]
    said = [f"Kept: {percent(whole['after'])} of the rows ({', '.join(text for text in asides if text)})."]
    label, group = worst_label(rows), worst_group(rows)
    if label is not None:
        text = f"Least is kept of {label['query']}: {percent(label['after'])} of {label['n']:,} rows"
        if group is not None:
            text += f"; of {group['attribute']}={group['group']} in {group['query']} {percent(group['after'])}"
        said.append(f"{text}.")
    if drift is not None and math.isfinite(drift["after"]):
        said.append(f"The prevalence of a label changed by a factor of up to {number(drift['after'])}.")
    return said


def moved(rows: Sequence[Row]) -> list[str]:
    """Say what became of associations that were not balanced."""
    found = [
        row
        for row in rows
        if row["arm"] == "main" and row["metric"] == "ab" and not row["targeted"] and not row["query"]
        and math.isfinite(row["change"])
    ]  # fmt: skip
    if not found:
        return []
    found.sort(key=lambda row: (row["family"] != "pairs", -row["after"]))
    parts = [
        f"{measure('ab', row['attribute'], row['family'])} {number(row['before'])} before, {number(row['after'])} after"
        for row in found[:NAMED]
    ]
    more = f"; and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return [f"Not balanced: {'; '.join(parts)}{more}."]


def worst_label(rows: Sequence[Row]) -> Row | None:
    """Return the label of which least is kept."""
    return _least([row for row in _retained(rows) if not row["attribute"] and row["query"]])


def worst_group(rows: Sequence[Row]) -> Row | None:
    """Return the group inside a label of which least is kept."""
    return _least([row for row in _retained(rows) if row["group"] and row["query"]])


def percent(value: float) -> str:
    """Return ``"95.2 %"``."""
    return f"{100 * value:.3g} %" if 100 * value < 99.95 or value >= 1 else f"{100 * value:.4g} %"


def _retained(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["metric"] == "retention" and row["arm"] == "main" and row["n"]]


def _least(rows: Sequence[Row]) -> Row | None:
    known = [row for row in rows if row["after"] is not None and math.isfinite(row["after"])]
    return min(known, key=lambda row: row["after"], default=None)


def _one(rows: Sequence[Row], metric: str) -> Row | None:
    return next(
        (row for row in rows if row["metric"] == metric and not (row["attribute"] or row["group"] or row["query"])),
        None,
    )
