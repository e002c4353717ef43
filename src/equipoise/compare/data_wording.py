"""What a balance cost, and what it moved besides, in sentences made from the rows of its ledger."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from equipoise.compare.wording import OTHER_SHARES, capital, measure, number

Row = Mapping[str, Any]
NAMED = 3
ENOUGH = 30
"""Rows from which a label is named as the one of which least is kept; of smaller ones only where there is no other."""
MOMENTS = ("ab", "rb", "share_error")
ABOVE_ONE = 1 + 1e-9


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
    chance = are_chances(rows)
    loser = _least([row for row in _retained(rows) if row["group"] and not row["query"] and row["targeted"]])
    least = f"of {loser['attribute']}={loser['group']} {_kept(loser, chance)}" if loser else ""
    many = f"{percent(whole['after'])} of the rows" if chance else f"a mean weight of {number(whole['after'])}"
    lead = "Kept: " if chance else "The weights have "
    said = [
        f"{lead}{', '.join(text for text in (many, least) if text)} ({', '.join(text for text in asides if text)})."
    ]
    label, group = worst_label(rows), worst_group(rows)
    if label is not None:
        count = f"{label['n']:,} {'row' if label['n'] == 1 else 'rows'}"
        who = f"of {group['attribute']}={group['group']} in {group['query']}" if group else ""
        if chance:
            text = f"Least is kept of {label['query']}: {_kept(label, chance)} of {count}"
            text += f"; {who} {_kept(group, chance)}" if group else ""
        else:
            text = f"The mean weight of {label['query']} ({count}) is {_kept(label, chance)}, the smallest of a label"
            text += f"; that {who} is {_kept(group, chance)}" if group else ""
        said.append(f"{text}.")
    if drift is not None and _finite(drift["after"]):
        said.append(f"The prevalence of a label changed by a factor of up to {number(drift['after'])}.")
    return said


def moved(rows: Sequence[Row]) -> list[str]:
    """Say what became of associations that were not balanced, and of those that were to be there."""
    found = [
        row
        for row in rows
        if row["arm"] == "main" and row["metric"] == "ab" and not row["targeted"] and not row["query"]
        and _finite(row["change"])
    ]  # fmt: skip
    said = [f"{capital(_both(row))}; {OTHER_SHARES}." for row in found if not judged(row)]
    found = [row for row in found if judged(row)]
    if not found:
        return said
    found.sort(key=lambda row: (row["family"] != "pairs", -row["after"]))
    more = f"; and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return [*said, f"Not balanced: {'; '.join(map(_both, found[:NAMED]))}{more}."]


def short_of(rows: Sequence[Row]) -> str:
    """Return of which group inside a label less than all but the margin is kept; empty where of none."""
    group = worst_group(rows)
    if group is None or not group["margin"] or group["after"] >= 1 - group["margin"]:
        return ""
    chance = are_chances(rows)
    who = f"of {group['attribute']}={group['group']} in {group['query']}"
    return f"{who} {_kept(group, chance)} is kept" if chance else f"the mean weight {who} is {_kept(group, chance)}"


def judged(row: Row) -> bool:
    """Return whether a figure is one that anybody asked to become smaller."""
    return row["reason"] != OTHER_SHARES


def are_chances(rows: Sequence[Row]) -> bool:
    """Return whether no weight is above 1, so that weights are chances of being kept."""
    main = [row for row in rows if row["arm"] == "main"]
    whole, top = _one(main, "retention"), _one(main, "max_weight")
    if whole is None or top is None or not (_finite(whole["after"]) and _finite(top["after"])):
        return True
    return whole["after"] * top["after"] <= ABOVE_ONE


def worst_label(rows: Sequence[Row]) -> Row | None:
    """Return the label of which least is kept, of those with enough rows where there are any."""
    return _least(_large([row for row in _retained(rows) if not row["attribute"] and row["query"]]))


def worst_group(rows: Sequence[Row]) -> Row | None:
    """Return the group inside a label of which least is kept, of those with enough rows where there are any."""
    return _least(_large([row for row in _retained(rows) if row["group"] and row["query"]]))


def percent(value: float) -> str:
    """Return ``"95.2 %"``."""
    return f"{100 * value:.3g} %" if 100 * value < 99.95 or value >= 1 else f"{100 * value:.4g} %"


def _both(row: Row) -> str:
    what = measure("ab", row["attribute"], row["family"])
    return f"{what} {number(row['before'])} before, {number(row['after'])} after"


def _kept(row: Row, chance: bool) -> str:
    return percent(row["after"]) if chance else number(row["after"])


def _large(rows: Sequence[Row]) -> Sequence[Row]:
    return [row for row in rows if row["n"] >= ENOUGH] or rows


def _retained(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["metric"] == "retention" and row["arm"] == "main" and row["n"]]


def _least(rows: Sequence[Row]) -> Row | None:
    known = [row for row in rows if _finite(row["after"])]
    return min(known, key=lambda row: row["after"], default=None)


def _one(rows: Sequence[Row], metric: str) -> Row | None:
    return next(
        (row for row in rows if row["metric"] == metric and not (row["attribute"] or row["group"] or row["query"])),
        None,
    )


def _finite(value: Any) -> bool:
    return value is not None and math.isfinite(value)
