"""A sheet that people filled in, joined with rows that have weights: bias on the truth, for every attribute of the sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from equipoise.annotate.draw import GOLD, annotated_columns, ids_of
from equipoise.annotate.gold_balance import GoldBalance, gold_balance
from equipoise.annotate.sheet import Sheet, read_sheet, truth
from equipoise.data.annotated import Annotation, read_annotation
from equipoise.errors import InputError, MissingColumnError, did_you_mean, listed

WEIGHTS = "m4_weight"


@dataclass(frozen=True)
class GoldBalances:
    """Bias on the truth, by annotated column.

    Attributes
    ----------
    columns : dict of str to GoldBalance
    labels : tuple of str
    labelled, unlabelled, set_aside : dict of str to int
        By column: rows of the sheet that are used, that lack a truth, and that have no weight.
    notes : tuple of str
    """

    columns: dict[str, GoldBalance]
    labels: tuple[str, ...]
    labelled: dict[str, int]
    unlabelled: dict[str, int]
    set_aside: dict[str, int]
    notes: tuple[str, ...]


def balance_on_gold(
    path: str | Path | Sheet,
    table: pa.Table,
    *,
    id: str | None = None,
    weights: str = WEIGHTS,
    labels: Sequence[str] = (),
    shares: Mapping[str, Mapping[str, float]] | None = None,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> GoldBalances:
    """Measure RB and AB, with weights, on the rows of a sheet.

    Parameters
    ----------
    path : path or Sheet
        With the design of its draw (``stratum``, ``represents``).
    table : pyarrow.Table
        Rows with annotated columns and weights, as ``equipoise balance`` wrote them; at least the rows of the sheet.
    id : str, optional
        Column of row ids; the row number unless given.
    weights : str
        Column of the weights; null where a row was set aside, and such rows are left out.
    labels : sequence of str
        As ``"occupation"`` or ``"occupation:nurse"``: what people wrote of it where the sheet has that column, else the
        column of the table. All labels that the sheet has unless given.
    shares : mapping of attribute to its wanted shares, optional
        Of an attribute by its column, or by its name without ``_text`` and ``_image``; equal shares unless given.
    draws, seed, level
        As for :func:`~equipoise.annotate.gold_balance.gold_balance`.

    Raises
    ------
    InputError, MissingColumnError, VocabularyError
        If the sheet and the table do not fit, or the sheet has no labelled attribute.
    """
    joined = _Joined(path if isinstance(path, Sheet) else read_sheet(path), table, id)
    mass = joined.numbers(weights)
    held, written, notes = _labels(joined, labels)
    found: dict[str, GoldBalance] = {}
    labelled: dict[str, int] = {}
    unlabelled: dict[str, int] = {}
    aside: dict[str, int] = {}
    for column in joined.attributes():
        answers = joined.truths(column)
        known = np.array([answer is not None for answer in answers], bool) & written
        usable = np.isfinite(mass)
        keep = known & usable
        labelled[column], unlabelled[column] = int(keep.sum()), int((usable & ~known).sum())
        aside[column] = int((~usable).sum())
        drawn, done = (np.bincount(joined.sheet.stratum[of], minlength=joined.strata) for of in (usable, keep))
        factor = drawn / np.where(done, done, np.nan)
        stands = joined.sheet.represents * factor[joined.sheet.stratum]
        name = column.rpartition("_")[0] or column
        own = (shares or {}).get(column, (shares or {}).get(name))
        found[column] = gold_balance(
            ["".join(answers[i] or ()) for i in np.flatnonzero(keep)], {k: v[keep] for k, v in held.items()},
            mass[keep], stands[keep], joined.sheet.stratum[keep], groups=joined.annotation(column).groups, shares=own,
            draws=draws, seed=seed, level=level,
        )  # fmt: skip
        lost = (drawn > 0) & (done == 0)
        if lost.any():
            notes.append(f"'{column}': {int(lost.sum())} strata have no labelled row; the others stand in for them.")
    return GoldBalances(found, tuple(held), labelled, unlabelled, aside, (*joined.sheet.notes, *notes))


class _Joined:
    """The rows of a table that a sheet names, in the order of the sheet."""

    def __init__(self, sheet: Sheet, table: pa.Table, id: str | None) -> None:
        self.sheet, self.strata = sheet, int(sheet.stratum.max(initial=0)) + 1
        self.annotated = annotated_columns(table.schema)
        place = {name: row for row, name in enumerate(ids_of(table, id))}
        if lost := [name for name in sheet.ids if name not in place]:
            raise InputError(
                f"{len(lost)} of {len(sheet)} rows of '{sheet.name}' are in no row of the table: {listed(lost, 3)}.",
                "Use the rows and the --id that the sheet was drawn with.", value=lost,
            )  # fmt: skip
        self.rows = table.take(pa.array([place[name] for name in sheet.ids], pa.int64()))
        self.filled = [name for name, texts in sheet.labels.items() if any(texts) and name in self.annotated]

    def annotation(self, column: str) -> Annotation:
        found = read_annotation(self.rows.schema.field(column))
        assert found is not None
        return found

    def is_many(self, column: str) -> bool:
        kind = self.rows.schema.field(column).type
        return pa.types.is_list(kind) or pa.types.is_large_list(kind)

    def attributes(self) -> list[str]:
        found = [name for name in self.filled if not self.is_many(name) and len(self.annotation(name).groups) > 1]
        if not found:
            raise InputError(
                f"'{self.sheet.name}' has no labelled attribute: no filled {GOLD} column has two groups or more.",
                "Fill in that of an attribute, as gold_gender_text.",
            )
        return found

    def truths(self, column: str) -> list[frozenset[str] | None]:
        """Return what was written in each row of the sheet, None where it is empty."""
        values, many = self.annotation(column).values, self.is_many(column)
        texts = self.sheet.labels[column]
        return [truth(self.sheet, row, column, values, many) if text else None for row, text in enumerate(texts)]

    def column(self, name: str) -> list[Any]:
        if name not in self.rows.column_names:
            known = self.rows.column_names
            raise MissingColumnError(
                f"The table has no column '{name}'.{did_you_mean(name, known)}", f"Its columns: {listed(known, 20)}.",
                value=name,
            )  # fmt: skip
        return self.rows[name].to_pylist()

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return (n,) weights; NaN where there is none."""
        values = self.column(name)
        try:
            found = np.array([np.nan if value is None else float(value) for value in values])
        except (TypeError, ValueError) as error:
            raise InputError(f"The weights '{name}' are no numbers.", "Name the column of the weights.") from error
        if (found < 0).any() or np.isinf(found).any():
            raise InputError(f"A weight of '{name}' is below 0 or infinite.", "Weigh the rows again.", value=name)
        if np.isnan(found).all():
            raise InputError(f"No row of the sheet has a weight in '{name}'.", "Weigh the rows that were labelled.")
        return found


def _labels(
    joined: _Joined, wanted: Sequence[str]
) -> tuple[dict[str, NDArray[np.bool_]], NDArray[np.bool_], list[str]]:
    """Return where each label holds, the rows in which all that people wrote of them is there, and notes."""
    attributes = joined.attributes()
    entries = list(wanted) or [name for name in joined.filled if name not in attributes]
    held: dict[str, NDArray[np.bool_]] = {}
    written, notes = np.ones(len(joined.sheet), bool), []
    for entry in entries:
        name, _, value = entry.partition(":")
        options = [name, f"{name}_text", f"{name}_image"]
        column = next((option for option in options if option in joined.filled), None)
        if column is not None:
            truths = joined.truths(column)
            written &= np.array([answer is not None for answer in truths], bool)
            sets = [answer or frozenset() for answer in truths]
        else:
            own = next((option for option in options if option in joined.rows.column_names), name)
            sets = [_said(answer, own) for answer in joined.column(own)]
            notes.append(f"Labels of '{own}' are those of the table: nobody wrote them by hand, and their errors stay.")
            column = own
        values = [value] if value else sorted(set().union(*sets))
        if value and not any(value in one for one in sets):
            seen = sorted(set().union(*sets))
            raise InputError(
                f"No row of the sheet has '{column}={value}'.{did_you_mean(value, seen)}", f"They have: {listed(seen)}.",
                value=entry,
            )  # fmt: skip
        held |= {f"{column}={one}" if one else column: np.array([one in row for row in sets], bool) for one in values}
    return held, written, notes


def _said(answer: Any, column: str) -> frozenset[str]:
    """Return the labels of a cell of the table; of a flag that holds the empty text, which names the column alone."""
    if isinstance(answer, (list, tuple)):
        return frozenset(str(value) for value in answer)
    if isinstance(answer, bool) or answer in (0, 1):
        return frozenset([""] if answer else [])
    if answer is not None and not isinstance(answer, str):
        raise InputError(f"'{column}' holds {answer!r}, which is no label.", "Name a column of texts or of yes and no.")
    return frozenset([answer] if answer else [])
