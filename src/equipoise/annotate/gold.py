"""A sheet that people filled in, and what it says of the annotator: how often each answer is right, on the whole table.

The sheet was drawn by strata (:mod:`equipoise.annotate.draw`), so every labelled row counts as many rows as it stands for.
Rows of the sheet that were left empty count through the others of their stratum.
"""

# pyarrow makes its compute functions at import.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from equipoise.annotate.draw import GOLD, annotated_columns, ids_of
from equipoise.annotate.question import ABSTAIN
from equipoise.annotate.sheet import Sheet, read_sheet, truth
from equipoise.annotate.tag_error import FEW, TagError, predictive, short, tag_error
from equipoise.data.annotated import Annotation, read_annotation
from equipoise.errors import InputError, MissingColumnError, did_you_mean, listed
from equipoise.estimate import Estimate


@dataclass(frozen=True)
class ColumnError:
    """What the labelled rows say of one annotated column.

    Attributes
    ----------
    tags : dict of str to TagError
        By value, each against all other values.
    groups : dict of str to TagError
        By group, each against the other groups, of the rows whose answer and truth are both a group: what a gap needs.
    outside : Estimate or None
        Share of the rows said to be of a group that are of none; None where there are no groups.
    confusion : dict of str to dict of str to (int, float)
        Truth, then answer: labelled rows, and rows that they stand for. Empty for tags.
    labelled, unlabelled : int
        Rows of the sheet.
    by : dict of str to dict of str to ColumnError
        The same by attribute and group.
    level : float
    """

    tags: dict[str, TagError]
    groups: dict[str, TagError]
    outside: Estimate | None
    confusion: dict[str, dict[str, tuple[int, float]]]
    labelled: int
    unlabelled: int
    by: dict[str, dict[str, ColumnError]]
    level: float

    def gold(self) -> dict[str, Any]:
        """Return what the field's metadata keeps: shares with intervals, by value and by group."""
        found: dict[str, Any] = {
            "labelled": self.labelled,
            "level": self.level,
            "values": {name: {key: short(getattr(e, key)) for key in ("precision", "recall", "specificity")} for name, e in self.tags.items()},
        }  # fmt: skip
        if self.groups:
            names = {"ppv": "precision", "npv": "npv", "sens": "recall", "spec": "specificity"}
            found["groups"] = {
                name: {key: short(getattr(error, of)) for key, of in names.items()}
                for name, error in self.groups.items()
            }
        if self.outside is not None:
            found["outside"] = short(self.outside)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, with counts, the confusion and the groups of other attributes."""
        return {
            "labelled": self.labelled,
            "unlabelled": self.unlabelled,
            "level": self.level,
            "values": {name: error.to_dict() for name, error in self.tags.items()},
            "groups": {name: error.to_dict() for name, error in self.groups.items()},
            "outside": None if self.outside is None else short(self.outside),
            "confusion": {
                true: {said: {"rows": n, "stand_for": weight} for said, (n, weight) in row.items()}
                for true, row in self.confusion.items()
            },
            "by": {
                name: {group: error.to_dict() for group, error in groups.items()} for name, groups in self.by.items()
            },
        }


@dataclass(frozen=True)
class Judged:
    """Answers and truths of one column, for the labelled rows of a sheet: sets of values."""

    annotation: Annotation
    ids: tuple[str, ...]
    said: tuple[frozenset[str], ...]
    true: tuple[frozenset[str], ...]
    weight: NDArray[np.float64]
    stratum: NDArray[np.int64]
    unlabelled: int
    many: bool
    by: dict[str, tuple[str | None, ...]]

    def take(self, keep: NDArray[np.bool_]) -> Judged:
        """Return some of the rows."""
        rows = np.flatnonzero(keep).tolist()
        return replace(
            self, ids=tuple(self.ids[i] for i in rows), said=tuple(self.said[i] for i in rows),
            true=tuple(self.true[i] for i in rows), weight=self.weight[keep], stratum=self.stratum[keep], unlabelled=0,
            by={name: tuple(values[i] for i in rows) for name, values in self.by.items()},
        )  # fmt: skip

    def error(self, level: float = 0.95) -> ColumnError:
        """Return the error of the column."""
        found = self._error(level)
        by: dict[str, dict[str, ColumnError]] = {}
        for name, values in self.by.items():
            there = dict.fromkeys(value for value in values if value)
            groups = {
                value: self.take(np.array([other == value for other in values], bool))._error(level)
                for value in sorted(there)
            }
            by[name] = groups
        return replace(found, by=by)

    def _error(self, level: float) -> ColumnError:
        seen = set().union(*self.said, *self.true) if self.said else set()
        values = [value for value in self.annotation.values if value in seen or not self.many]
        tags = {value: self._tag(value, np.ones(len(self.said), bool), level) for value in values}
        groups: dict[str, TagError] = {}
        outside = None
        own = frozenset(self.annotation.groups)
        if own and not self.many:
            said_group = np.array([bool(said & own) for said in self.said], bool)
            true_group = np.array([bool(true & own) for true in self.true], bool)
            inside = said_group & true_group
            groups = {group: self._tag(group, inside, level) for group in self.annotation.groups}
            outside = predictive(
                said_group, ~true_group, self.weight, self.stratum, level, "no labelled row was called a group"
            )
        return ColumnError(
            tags, groups, outside, {} if self.many else self._confusion(), len(self.said), self.unlabelled, {}, level
        )

    def _tag(self, value: str, keep: NDArray[np.bool_], level: float) -> TagError:
        said = np.array([value in answers for answers in self.said], bool)
        true = np.array([value in truths for truths in self.true], bool)
        return tag_error(value, said[keep], true[keep], self.weight[keep], self.stratum[keep], level)

    def _confusion(self) -> dict[str, dict[str, tuple[int, float]]]:
        rows: Counter[tuple[str, str]] = Counter()
        mass: Counter[tuple[str, str]] = Counter()
        for said, true, weight in zip(self.said, self.true, self.weight.tolist(), strict=True):
            pair = next(iter(true)), next(iter(said))
            rows[pair] += 1
            mass[pair] += weight
        there = [value for value in self.annotation.values if any(value in pair for pair in rows)]
        return {true: {said: (rows[true, said], mass[true, said]) for said in there} for true in there}


@dataclass(frozen=True)
class Gold:
    """A sheet that was read back: for every annotated column with labels, answers and truths."""

    columns: dict[str, Judged]
    sheet: str
    sha256: str
    rows: int
    notes: tuple[str, ...] = ()

    def report(self, level: float = 0.95) -> dict[str, ColumnError]:
        """Return the error of every column; see :class:`ColumnError`."""
        return {name: judged.error(level) for name, judged in self.columns.items()}


def read_gold(
    path: str | Path | Sheet, table: pa.Table, *, id: str | None = None, by: Sequence[str] = (),
    without: Mapping[str, Collection[str]] | None = None,
) -> Gold:  # fmt: skip
    """Read a sheet back, and join it with the annotated rows.

    Parameters
    ----------
    path : path or Sheet
    table : pyarrow.Table
        The annotated table, or at least the rows of the sheet with ``id``.
    id : str, optional
        Column of row ids; the row number unless given.
    by : sequence of str
        Attributes of the table for whose groups errors are told apart; other annotated columns of one value a row are
        taken too.
    without : mapping of column to row ids, optional
        Labelled rows that cannot tell the error of a column, as those that chose its margins.

    Returns
    -------
    Gold

    Raises
    ------
    InputError
        If a row of the sheet is in no row of the table, or nothing is labelled.
    VocabularyError
        If a label is not one of the values of its column; the message names the line.
    """
    sheet = path if isinstance(path, Sheet) else read_sheet(path)
    annotated = annotated_columns(table.schema)
    known = [name for name in sheet.labels if name in annotated]
    if strange := [name for name in sheet.labels if name not in annotated]:
        raise MissingColumnError(
            f"The sheet has '{GOLD}{strange[0]}', and the table has no annotated column '{strange[0]}'."
            f"{did_you_mean(strange[0], annotated)}",
            f"Annotated: {listed(annotated)}.", value=strange[0],
        )  # fmt: skip
    place = {name: row for row, name in enumerate(ids_of(table, id))}
    if lost := [i for i, name in enumerate(sheet.ids) if name not in place]:
        raise InputError(
            f"{len(lost)} of {len(sheet)} rows of '{sheet.name}' are in no row of the table: "
            f"{listed([f'{sheet.ids[i]!r} (line {sheet.lines[i]})' for i in lost], 3)}.",
            "Use the table and the --id that the sheet was drawn with; some programs change ids when they save.",
            value=[sheet.ids[i] for i in lost],
        )  # fmt: skip
    rows = table.take(pa.array([place[name] for name in sheet.ids], pa.int64()))
    splits = {name: _groups(rows, name) for name in by}
    splits |= {name: _groups(rows, name) for name in annotated if name not in splits and not _many(rows, name)}
    judged = {name: _judged(sheet, rows, name, splits, (without or {}).get(name, ())) for name in known}
    found = {name: one for name, one in judged.items() if one.said}
    if not found:
        raise InputError(
            f"No row of '{sheet.name}' is labelled: {listed([GOLD + name for name in known])} "
            f"{'is' if len(known) == 1 else 'are'} empty.",
            "Fill it in, one of the values a row.",
        )  # fmt: skip
    return Gold(found, sheet.name, sheet.sha256, len(sheet), sheet.notes)


def _many(rows: pa.Table, name: str) -> bool:
    kind = rows.schema.field(name).type
    return pa.types.is_list(kind) or pa.types.is_large_list(kind)


def _groups(rows: pa.Table, name: str) -> tuple[str | None, ...]:
    if name not in rows.column_names:
        raise MissingColumnError(
            f"The table has no column '{name}'.{did_you_mean(name, rows.column_names)}",
            f"Its columns: {listed(rows.column_names, 20)}.", value=name,
        )  # fmt: skip
    return tuple(None if value is None else str(value) for value in rows[name].to_pylist())


def _judged(
    sheet: Sheet, rows: pa.Table, name: str, splits: Mapping[str, tuple[str | None, ...]], without: Collection[str]
) -> Judged:
    annotation = read_annotation(rows.schema.field(name))
    assert annotation is not None
    many = _many(rows, name)
    answers = rows[name].to_pylist()
    texts = sheet.labels[name]
    keep = np.array([bool(text) and answer is not None for text, answer in zip(texts, answers, strict=True)], bool)
    truths = [truth(sheet, i, name, annotation.values, many) if keep[i] else frozenset() for i in range(len(sheet))]
    usable = np.array([answer is not None for answer in answers], bool)
    left = int((usable & ~keep).sum())
    keep &= np.array([row_id not in without for row_id in sheet.ids], bool)
    drawn = np.bincount(sheet.stratum, weights=usable)
    done = np.bincount(sheet.stratum, weights=keep)
    factor = drawn / np.where(done, done, np.nan)
    chosen = np.flatnonzero(keep).tolist()
    return Judged(
        annotation, tuple(sheet.ids[i] for i in chosen),
        tuple(frozenset(answers[i] if many else [answers[i]]) for i in chosen), tuple(truths[i] for i in chosen),
        (sheet.represents * factor[sheet.stratum])[keep], sheet.stratum[keep], left, many,
        {other: tuple(values[i] for i in chosen) for other, values in splits.items() if other != name},
    )  # fmt: skip


def lines_of(name: str, error: ColumnError) -> list[str]:
    """Return the lines by which a person reads the error of a column."""
    unread = f", {error.unlabelled} not labelled" if error.unlabelled else ""
    lines = [f"{name}: error from {error.labelled} rows labelled by hand{unread}"]
    for value, tag in error.tags.items():
        if value == ABSTAIN and tag.fp and not tag.tp + tag.fn:
            lines.append(f"  {value}: {tag.fp} labelled rows have no answer, all of them have a truth")
        elif tag.tp + tag.fp + tag.fn:
            lines.append(
                f"  {value}: precision {tag.precision} ({tag.tp + tag.fp} labelled rows were called so), "
                f"recall {tag.recall} ({tag.tp + tag.fn} are)"
            )
    if error.groups:
        lines.append("  of rows whose answer and truth are both a group:")
        lines += [
            f"    {group}: PPV {tag.precision}, NPV {tag.npv}, sensitivity {tag.recall}, specificity {tag.specificity} "
            f"({tag.tp + tag.fn} labelled rows are, {tag.fp + tag.tn} are not)"
            for group, tag in error.groups.items()
        ]
    for attribute, groups in error.by.items():
        told = [(group, one) for group, one in groups.items() if one.labelled >= FEW]
        for group, one in told:
            shares = [
                f"{value} {tag.precision}" for value, tag in one.tags.items() if tag.tp + tag.fp and value != ABSTAIN
            ]
            lines.append(f"  {attribute}={group} ({one.labelled} rows): precision {', '.join(shares)}")
    return lines
