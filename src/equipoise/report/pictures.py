"""Where to look: strips of small pictures, of the first rows of a search and of the mistakes a classifier was surest of."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equipoise.audit.examples import AFTER, BEFORE, FIRST, FIXED, NEW
from equipoise.compare.headline import Row, main_row
from equipoise.compare.wording import capital, measure, visible, whole
from equipoise.report.labels import listed_all, perceived
from equipoise.report.numbers import number, with_interval
from equipoise.report.rows import Subject
from equipoise.report.sentences import excess, main_rows
from equipoise.report.thumbnails import Thumbnail, Thumbnails

SEARCHES, GROUPS = 6, 18
FEWEST = 4
ABREAST = 6  # mistakes of a group: two groups stand side by side
NO_GROUP = "unknown"


@dataclass(frozen=True)
class Picture:
    """One picture with what is said below it, and instead of it."""

    thumbnail: Thumbnail
    alt: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Strip:
    """Pictures under one heading, side by side before and after where there are two sides."""

    title: str
    note: str
    sides: list[tuple[str, list[Picture]]]


@dataclass(frozen=True)
class Look:
    """The section of the page: strips, whose pictures they are, and what could not be shown."""

    lead: str
    strips: list[Strip]
    whose: list[str]


def look_of(subject: Subject, budget: int) -> Look | None:
    """Return at most ``budget`` pictures of a subject; None where rows have no pictures or none are wanted."""
    if not subject.examples or budget < FEWEST:
        return None
    drawn = Thumbnails(subject.image_root, subject.audit.get("preprocessing") or {})
    tops = [row for row in subject.examples if row["kind"] == "top"]
    found, strips = (_searches if tops else _mistakes)(subject, budget, drawn)
    if not drawn.shown:
        strips = []
    return Look(found, strips, _whose(subject, drawn)) if strips or drawn.reasons else None


# ---------------------------------------------------------------------------------------------------------- searches


def _searches(subject: Subject, budget: int, drawn: Thumbnails) -> tuple[str, list[Strip]]:
    """Return strips of searches: those of the headline's family that moved (or lean) most, others after, explicit ones last."""
    chosen = main_row(subject.rows) if subject.kind == "comparison" else None
    if chosen is None or not chosen["attribute"]:
        chosen = max(main_rows(subject.rows), key=excess, default=chosen)
    attribute, family, metric = (
        ("", "", "") if chosen is None else (chosen[k] for k in ("attribute", "family", "metric"))
    )
    measured = {
        (row["family"], row["query"]): row
        for row in subject.rows
        if row["arm"] == "main" and row["query"] and not row["group"]
        and (row["attribute"], row["metric"]) == (attribute, metric)
    }  # fmt: skip
    split: dict[tuple[str, str], dict[str, list[Row]]] = {}
    for row in subject.examples:
        split.setdefault((row["family"], row["query"]), {}).setdefault(row["side"], []).append(row)

    def order(key: tuple[str, str]) -> tuple[bool, bool, float]:
        row = measured.get(key)
        return key[0] == "explicit", key[0] != family, -_size(row) if row is not None else 1.0

    keys = sorted(split, key=order)
    sides = 2 if subject.kind == "comparison" else 1
    per, most = _share(budget, min(len(keys), SEARCHES), sides)
    strips = []
    for key in keys[:most]:
        row = measured.get(key)
        strips.append(
            Strip(
                visible(key[1]),
                _moved(row) if row is not None else "",
                [
                    _side(subject, split[key].get(side, [])[:per], attribute, words, drawn)
                    for side, words in ((BEFORE, "before"), (AFTER, "after" if sides == 2 else ""))
                    if side in split[key]
                ],
            )
        )
    under = f"Below each picture stands the {attribute} it is labelled with. " if attribute else ""
    lead = f"The first {per} pictures of a search{', before and after' if sides == 2 else ''}. {under}"
    if len(keys) > most:
        lead += f"{whole(most)} of {whole(len(keys))} searches are shown: those that {'moved' if sides == 2 else 'lean'} most."
    return lead.strip(), strips


def _size(row: Row) -> float:
    value = row["change"] if row["change"] is not None else row["after"]
    return 0.0 if value is None else abs(value)


def _moved(row: Row) -> str:
    what = capital(measure(row["metric"], row["attribute"], ""))
    if row["before"] is not None and row["after"] is not None:
        return f"{what}: {number(row['before'])} before, {number(row['after'])} after"
    return f"{what}: {with_interval(row['after'], row['after_low'], row['after_high'], row['null_after'])}"


def _side(
    subject: Subject, rows: Sequence[Row], attribute: str, words: str, drawn: Thumbnails
) -> tuple[str, list[Picture]]:
    names = [_group(row, attribute) for row in rows]
    pictures = []
    for row, name in zip(rows, names, strict=True):
        alt = f"Place {row['rank']}: {name or visible(row['row_id'])}"
        pictures.append(Picture(drawn.of(row["image"], row["sha256"]), alt, (name,) if name else ()))
    counted = ", ".join(f"{name} {count}" for name, count in sorted(Counter(filter(None, names)).items())[:6])
    return ": ".join(filter(None, (capital(words), counted if len(set(names)) <= 6 else ""))), pictures


def _group(row: Row, attribute: str) -> str:
    """Return the group of an attribute or intersection, as the row's labels say; ``""`` without an attribute."""
    if not attribute:
        return ""
    groups = json.loads(row["groups"] or "{}")
    return visible(":".join(groups.get(part) or NO_GROUP for part in attribute.split(":")))


# ---------------------------------------------------------------------------------------------------------- mistakes


def _mistakes(subject: Subject, budget: int, drawn: Thumbnails) -> tuple[str, list[Strip]]:
    """Return strips of groups, the attribute of the headline first."""
    changed = subject.kind == "comparison"
    sides = (FIXED, NEW) if changed else ("",)
    chosen = main_row(subject.rows) if changed else max(main_rows(subject.rows), key=excess, default=None)
    vocabulary: dict[str, Any] = subject.audit.get("vocabulary") or {}
    settings = (subject.audit.get("parameters") or {}).get("settings") or {}
    names = [name for name in settings.get("by") or vocabulary if name in vocabulary]
    names.sort(key=lambda name: chosen is None or name != chosen["attribute"])
    split: dict[tuple[str, str], dict[str, list[Row]]] = {}
    for row in sorted(subject.examples, key=lambda row: row["rank"]):
        for name, group in json.loads(row["groups"] or "{}").items():
            split.setdefault((name, visible(group)), {}).setdefault(row["side"], []).append(row)
    keys = [(name, group) for name in names for group in vocabulary[name]["values"] if (name, group) in split]
    per, most = _share(budget, min(len(keys), GROUPS), len(sides), ABREAST)
    strips = []
    for name, group in keys[:most]:
        own = split[name, group]
        strips.append(
            Strip(
                f"{name}: {group}",
                _accuracy(subject, name, group),
                [(words, [_mistake(row, drawn) for row in own.get(side, [])[:per]])
                 for side, words in zip(sides, ("Fixed", "New") if changed else ("",), strict=True) if side in own],
            )
        )  # fmt: skip
    scored = any(row["score"] is not None for row in subject.examples)
    order = "the ones it was surest of first" if scored else "the first by row id"
    lead = f"Mistakes that went away and mistakes that came, by group, {order}" if changed else (
        f"Mistakes by group, {order}"
    )  # fmt: skip
    positive = subject.audit.get("positive")
    of_what = f" Scores are those of '{positive}'." if scored and positive else ""
    lead += f": at most {per} of each.{of_what} One picture may stand under several attributes."
    if len(keys) > most:
        lead += f" {whole(most)} of {whole(len(keys))} groups with mistakes are shown."
    return lead, strips


def _mistake(row: Row, drawn: Thumbnails) -> Picture:
    said, right = visible(row["prediction"]), visible(row["label"])
    score = (f"score {number(row['score'])}",) if row["score"] is not None else ()
    lines = (f"said {said}", f"label {right}", *score)
    return Picture(drawn.of(row["image"], row["sha256"]), capital(", ".join(lines)), lines)


def _accuracy(subject: Subject, name: str, group: str) -> str:
    row = next(
        (
            row
            for row in subject.rows
            if row["metric"] == "accuracy"
            and (row["attribute"], row["group"]) == (name, group)
            and row["arm"] == "main"
        ),
        None,
    )
    if row is None or row["after"] is None:
        return ""
    before = f"{with_interval(row['before'])} before, " if row["before"] is not None else ""
    return f"Accuracy {before}{number(row['after'])}{' after' if before else ''}"


# ------------------------------------------------------------------------------------------------------------- words


def _share(budget: int, strips: int, sides: int, most: int = FIRST) -> tuple[int, int]:
    """Return how many pictures a side of a strip gets, and how many strips there are then."""
    per = max(FEWEST, min(most, budget // max(1, strips * sides)))
    return per, max(1, min(strips, budget // (per * sides)))


def _whose(subject: Subject, drawn: Thumbnails) -> list[str]:
    inputs = [name for name in subject.audit.get("inputs") or {} if not name.startswith("embeddings/")]
    tables = [name for name in inputs if not name.endswith(".toml")][:3]
    folder = (
        f"the folder '{visible(Path(subject.image_root).name)}'" if subject.image_root else "the paths of the table"
    )
    said = [f"The pictures come from {folder}" + (f", as named in {listed_all(tables)}." if tables else ".")]
    if credit := drawn.attribution():
        said[0] += f" {credit}"
    else:
        said[0] += " Nothing is recorded of who made them or who is in them."
    if drawn.unchecked:
        said.append("No checksums were recorded for these files, so that one may have changed since it was measured.")
    if names := perceived(subject.audit.get("vocabulary") or {}):
        said.append(
            f"Labels of {listed_all(names)} are perceived: somebody assigned them, often from the picture alone."
        )
    if drawn.reasons:
        counts = ", ".join(f"{whole(count)} {reason}" for reason, count in drawn.reasons.most_common(6))
        total = drawn.shown + sum(drawn.reasons.values())
        said.append(f"{whole(sum(drawn.reasons.values()))} of {whole(total)} pictures cannot be shown: {counts}.")
    return said
