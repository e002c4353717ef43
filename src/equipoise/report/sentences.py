"""The sentence of an audit that stands alone: the largest bias it found, then the largest of each other attribute."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from equipoise.compare.headline import Row, gated_rows
from equipoise.compare.wording import capital, measure, split_metric, whole
from equipoise.report.numbers import interval, number


def audit_sentences(rows: Sequence[Row]) -> tuple[str, list[str]]:
    """Return the sentence of an audit and its companions, from its rows (as :class:`~equipoise.report.rows.Subject` has them)."""
    gated = gated_rows(rows)
    if not gated:
        return "Nothing was measured over a whole family or over all groups.", []
    chosen = [row for row in main_rows(rows) if row["after"] is not None]
    missing = sum(row["after"] is None for row in gated)
    plural = "measurement" if len(gated) == 1 else "measurements"
    reasons = list(dict.fromkeys(row["reason"] for row in gated if row["after"] is None and row["reason"]))
    last = (
        f"{whole(missing)} of {whole(len(gated))} {plural} could not be made: {'; '.join(reasons[:3]) or 'see the table'}."
        if missing
        else "Differences are between declared groups only; nothing was changed and nothing compared."
    )
    if not chosen:
        return "No difference between declared groups could be estimated.", [last]
    said = [_said(row) for row in sorted(chosen, key=lambda row: -excess(row))]
    return said[0], [*said[1:], last]


def main_rows(rows: Sequence[Row]) -> list[Row]:
    """Return one row an attribute: its largest skew in the family with most queries, else its widest gap."""
    gated = [row for row in gated_rows(rows) if row["attribute"] and row["family"] != "explicit"]
    queries = Counter((row["attribute"], row["family"]) for row in rows if row["query"] and row["arm"] == "main")
    found = []
    for attribute in dict.fromkeys(row["attribute"] for row in gated):
        own = [row for row in gated if row["attribute"] == attribute]
        skews = [row for row in own if split_metric(row["metric"])[0] == "max_skew"]
        gaps = [row for row in own if row["metric"].endswith("_gap") or row["metric"] == "ab"]
        if skews:
            found.append(max(skews, key=lambda row: (row["after"] is not None, queries[attribute, row["family"]])))
        elif own:
            found.append(max(gaps or own, key=lambda row: -1.0 if row["after"] is None else abs(row["after"])))
    return found


def excess(row: Row) -> float:
    """Return by how much a row lies above what chance alone gives; below all others when it has no number."""
    if row["after"] is None:
        return -math.inf
    return abs(row["after"]) - abs(row["null_after"] or 0.0)


def _said(row: Row) -> str:
    limits = interval(row["after_low"], row["after_high"])
    chance = number(row["null_after"])
    text = f"The {measure(row['metric'], row['attribute'], row['family'])} is {number(row['after'])}"
    text += f" {limits}" if limits else ""
    return capital(text + (f"; chance alone gives {chance}." if chance else "."))
