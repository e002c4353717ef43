"""Turns a Comparison or an Audit into what the templates show, bounded whatever the size of the subject."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from equipoise.compare.headline import main_row
from equipoise.compare.wording import SHAPES, capital, descriptor, family_title, measure, method_title, metric_title
from equipoise.report.balance import balance_view, is_balance, tile_rows
from equipoise.report.bounds import Bounds
from equipoise.report.figures import figures_of
from equipoise.report.numbers import interval, number, p_value, whole, with_interval
from equipoise.report.pictures import look_of
from equipoise.report.provenance import how, unmeasured
from equipoise.report.rows import Row, Subject
from equipoise.report.sentences import audit_sentences, excess, main_rows
from equipoise.report.svg import interval_bar, pair_bar

CONTROLS = 300
SENTENCES = 30


def section_view(subject: Subject, prefix: str, bounds: Bounds) -> dict[str, Any]:
    """Return one section of the page within ``bounds``; ``prefix`` begins its ids."""
    if subject.kind == "comparison":
        sentence, sentences = subject.document.get("headline", ""), subject.document.get("sentences", [])
        whole_file = "ledger.parquet"
    else:
        sentence, sentences = audit_sentences(subject.rows)
        whole_file = "estimates.parquet"
    balance = balance_view(subject, prefix, bounds)
    gated = subject.gated
    most, other = bounds.gated, bounds.others
    others = sorted((row for row in subject.rows if row["group"] or row["query"] or row["arm"] != "main"), key=_weight)
    return {
        "id": prefix,
        "kind": subject.kind,
        "title": subject.title,
        "sentence": sentence,
        "sentences": sentences[:SENTENCES],
        "side_effect": next((text for text in sentences if text.startswith("Worse")), ""),
        "measured_first": subject.kind == "audit" and not subject.document.get("mitigation"),
        "tiles": _comparison_tiles(subject) if subject.kind == "comparison" else _audit_tiles(subject),
        "gated": [_line(row) for row in gated[:most]],
        "gated_total": whole(len(gated)),
        "gated_shown": whole(min(most, len(gated))),
        "others": [_line(row) for row in others[:other]],
        "others_total": whole(len(others)),
        "others_shown": whole(min(other, len(others))),
        "whole_file": f"{subject.source}/{whole_file}" if subject.source else whole_file,
        "figures": figures_of(subject, prefix, full=bounds.figures == 2) if bounds.figures and balance is None else [],
        "balance": balance,
        "exact": subject.audit.get("source") == "data",
        "look": look_of(subject, bounds.pictures),
        "left_out": not bounds.whole,
        "controls": _controls(subject) if balance is None else [],
        "family": _family(subject),
        "unmeasured": unmeasured(subject),
        "how": how(subject, bounds.lists),
    }


# ------------------------------------------------------------------------------------------------------------- tiles


def _comparison_tiles(subject: Subject) -> list[dict[str, Any]]:
    if is_balance(subject):
        return [_tile(title, row, empty) for title, row, empty in tile_rows(subject)]
    main = main_row(subject.rows)
    side = [row for row in subject.gated if row["attribute"] and not row["targeted"]]
    utility = [row for row in subject.gated if not row["attribute"]]
    return [
        _tile("Targeted bias", main, "No attribute was targeted."),
        _side_effect(side),
        _tile("Utility", _worst(utility), "Nothing was measured of how well it still works."),
    ]


def _side_effect(side: Sequence[Row]) -> dict[str, Any]:
    """Return the tile of what got worse; where nothing is shown to, it says so and has the largest change."""
    worse = [row for row in side if row["verdict"] == "worse"]
    title = "Worst side effect" if worse or not side else "No side effect is shown; the largest change is"
    return _tile(title, _worst(worse or side), "No other attribute was compared.")


def _audit_tiles(subject: Subject) -> list[dict[str, Any]]:
    found = sorted(main_rows(subject.rows), key=lambda row: -excess(row))
    tiles = [
        _tile(f"{capital(name)} bias", row, "")
        for name, row in zip(("largest", "second", "third"), found, strict=False)
    ]
    utility = [row for row in subject.gated if not row["attribute"] and row["after"] is not None]
    if utility:
        tiles = [*tiles[:2], _tile("Utility", min(utility, key=lambda row: row["after"]), "")]
    return tiles


def _worst(rows: Sequence[Row]) -> Row | None:
    """Return the row whose change is largest in units of its margin."""
    known = [row for row in rows if row["change"] is not None]
    return max(known, key=lambda row: row["change"] / (row["margin"] or 1.0), default=rows[0] if rows else None)


def _tile(title: str, row: Row | None, empty: str) -> dict[str, Any]:
    if row is None:
        return {"title": title, "empty": empty}
    paired = row["before"] is not None or bool(row["verdict"])
    chance = row["null_after"] if row["null_after"] is not None else row["null_before"]
    after = (row["after"], row["after_low"], row["after_high"])
    before = (row["before"], row["before_low"], row["before_high"]) if paired else None
    return {
        "title": title,
        "empty": "",
        "what": capital(measure(row["metric"], row["attribute"], row["family"])),
        "before": number(row["before"]) or "\N{EN DASH}" if paired else "",
        "after": number(row["after"]) or "\N{EN DASH}",
        "bar": pair_bar(before, after, chance),
        "before_interval": interval(row["before_low"], row["before_high"]),
        "after_interval": interval(row["after_low"], row["after_high"]),
        "change": with_interval(row["change"], row["change_low"], row["change_high"])
        if row["change"] is not None
        else "",
        "chance": number(chance),
        "margin": number(row["margin"]),
        **_verdict(row),
    }


# ------------------------------------------------------------------------------------------------------------ ledger


def _weight(row: Row) -> float:
    """Order of the other rows: largest change (or distance from chance) in units of the margin first."""
    known = descriptor(row["metric"])
    margin = row["margin"] or (known.margin if known is not None else 0) or 1.0
    if row["change"] is not None:
        return -abs(row["change"]) / margin
    return -abs(abs(row["after"]) - abs(row["null_after"] or 0.0)) / margin if row["after"] is not None else 1.0


def _verdict(row: Row) -> dict[str, str]:
    verdict = row["verdict"] or row["status"]
    shape = SHAPES.get(verdict, "") if row["verdict"] else ""
    return {"verdict": verdict, "shape": shape, "kind": verdict if verdict in SHAPES else "plain"}


def _line(row: Row) -> dict[str, Any]:
    where = [
        family_title(row["family"])
        if row["attribute"] or row["family"] == "explicit" or not family_title(row["family"])
        else row["family"],
        f"'{row['query']}'" if row["query"] else "",
        row["group"],
        method_title(row["arm"]) if row["arm"] != "main" else "",
    ]
    notes = [row["reason"], "the bias changed sides" if row["reversed"] else ""]
    return {
        "attribute": row["attribute"] or "utility",
        "targeted": row["targeted"],
        "measure": capital(
            metric_title(row["metric"])
            if row["family"] != "pairs"
            else measure(row["metric"], row["attribute"], row["family"])
        ),
        "where": " \N{MIDDLE DOT} ".join(part for part in where if part),
        "code": row["metric"],
        "protocol": row["protocol"],
        "before": number(row["before"]) or "\N{EN DASH}",
        "before_interval": interval(row["before_low"], row["before_high"]),
        "after": number(row["after"]) or "\N{EN DASH}",
        "after_interval": interval(row["after_low"], row["after_high"]),
        "chance": number(row["null_after"] if row["null_after"] is not None else row["null_before"]),
        "change": number(row["change"]) or "\N{EN DASH}",
        "change_interval": interval(row["change_low"], row["change_high"]),
        "bar": interval_bar(row["change"], row["change_low"], row["change_high"], row["margin"]),
        "margin": number(row["margin"]),
        "n": whole(row["n"]),
        "p": p_value(row["p_adj"] if row["p_adj"] is not None else row["p"]),
        "note": "; ".join(note for note in notes if note),
        **_verdict(row),
    }


def _controls(subject: Subject) -> list[list[str]]:
    """Rows of the table of random concepts: arm, growth measured with its interval, growth expected, pairs."""
    mine = subject.title.split(" on ")[0]
    return [
        [
            mine if control.get("arm") == "main" else method_title(str(control.get("arm", ""))),
            with_interval(control.get("measured"), control.get("low"), control.get("high")),
            number(control.get("theoretical")) or "\N{EN DASH}",
            whole(control.get("pairs")),
            number(control.get("angle_mean")) or "\N{EN DASH}",
            with_interval(control.get("bound_mean")),
            with_interval(control.get("bound_max")),
        ]
        for control in subject.document.get("controls", [])[:CONTROLS]
    ]


def _family(subject: Subject) -> str:
    family = dict(subject.document.get("family") or {})
    if {"gated", "correction", "exploratory", "exploratory_correction"} <= set(family):
        return (
            f"{whole(family['gated'])} gated comparisons, {family['correction']}; {whole(family['exploratory'])} exploratory "
            f"ones, {family['exploratory_correction']}; level {_said(family.get('alpha', 0.05))}"
        )
    return ", ".join(
        f"{key.replace('_', ' ')} {_said(value)}" for key, value in family.items() if value not in ("", None, [], {})
    )


def _said(value: Any) -> str:
    if isinstance(value, list):
        return f"of {len(value)}"
    return number(value) if isinstance(value, float) else str(value)
