"""``equipoise annotate WEIGHTS --gold SHEET --weights COLUMN``: the bias that is left on what people saw."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from equipoise.cli.common import Common, Outcome, split
from equipoise.errors import InputError

if TYPE_CHECKING:
    from equipoise.annotate.gold_weights import GoldBalances
    from equipoise.cli.annotate import Labelled

SHOWN = 3


def balanced(table: Path, id: str | None, labelled: Labelled, common: Common) -> Outcome:
    """Measure a balance on the rows that people labelled; nothing is annotated or written."""
    from equipoise.annotate.gold_weights import balance_on_gold
    from equipoise.annotate.sheet import read_sheet
    from equipoise.annotate.table_file import AnnotatedTable
    from equipoise.cli.balance_source import read_shares
    from equipoise.errors import listed

    assert labelled.gold is not None
    assert labelled.weights is not None
    with common.working("reading the labels"):
        sheet = read_sheet(labelled.gold)
        rows = AnnotatedTable(table, id=id)
        labels = split(labelled.labels)
        named = [*sheet.labels, *(entry.partition(":")[0] for entry in labels)]
        there = [name for part in named for name in (part, f"{part}_text", f"{part}_image") if name in rows.names]
        picked = rows.pick(sheet.ids, list(dict.fromkeys([labelled.weights, *there])))
        found = balance_on_gold(
            sheet, picked, id="row_id", weights=labelled.weights, labels=labels, shares=read_shares(labelled.shares),
            seed=common.seed or 0,
        )  # fmt: skip
    common.note_all("sheet", found.notes)
    for line in lines_of(found, labelled.weights):
        common.say(line)
    for name, one in found.columns.items():
        for estimate in {one.rb.reason: one.rb, one.ab.reason: one.ab}.values():
            if estimate.reason:
                common.warn("weak" if estimate.has_value else estimate.status, f"{name}: {estimate.reason}.")
        if one.left_out:
            common.warn("left_out", f"{name}: no labelled row of a group has {listed(one.left_out, 5)}.")
    used = sum(found.labelled.values())
    if not used:
        raise InputError("No row of the sheet is labelled in all that is needed.", "Fill in the columns of the labels.")
    result = {
        name: {
            **one.to_dict(), "labelled": found.labelled[name], "unlabelled": found.unlabelled[name],
            "set_aside": found.set_aside[name],
        }
        for name, one in found.columns.items()
    }  # fmt: skip
    line = "; ".join(f"{name}: RB {one.rb}, AB {one.ab}" for name, one in found.columns.items())
    return Outcome(line=line, result={"gold_balance": result, "labels": [*found.labels], "weights": labelled.weights})


def lines_of(found: GoldBalances, weights: str) -> list[str]:
    """Return what a person reads."""
    lines = []
    for name, one in found.columns.items():
        groups = ", ".join(f"{group} {n}" for group, n in one.rows.items())
        lost = f", {found.unlabelled[name]} not labelled" if found.unlabelled[name] else ""
        lost += f", {found.set_aside[name]} without a weight" if found.set_aside[name] else ""
        lines.append(f"{name}, as people saw it in {found.labelled[name]} rows ({groups}{lost}):")
        for what, before, after in (("RB", one.rb_before, one.rb), ("AB", one.ab_before, one.ab)):
            lines.append(f"  {what} on gold labels: {before} as the data are, {after} with {weights}")
        top = sorted(one.gaps.items(), key=lambda entry: -abs(entry[1]))[:SHOWN]
        if top:
            lines.append("  largest gaps: " + ", ".join(f"{label} {group} {gap:+.3f}" for (group, label), gap in top))
    return lines


def check_balanced(labelled: Labelled, others: dict[str, object]) -> None:
    """Refuse flags that say nothing beside --weights, or nothing without it."""
    if labelled.weights is None:
        for name in ("labels", "shares"):
            if getattr(labelled, name) is not None:
                raise InputError(
                    f"--{name} is about weights.", "Name their column (--weights m4_weight).", value=f"--{name}"
                )
        return
    if labelled.gold is None:
        raise InputError("Weights are judged by rows that people labelled.", "Name the sheet (--gold).", value="--gold")
    others = {**others, "draw": labelled.draw, "sheet": labelled.sheet, "by": labelled.by}
    if given := [name for name, value in others.items() if value is not None]:
        flag = f"--{given[0]}"
        remedy = "Leave it out: with --weights the table is annotated already, and nothing is written."
        raise InputError(f"{flag} does not go with --weights.", remedy, value=flag)
