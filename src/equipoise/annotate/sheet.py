"""A sheet of rows as people filled it in: which rows, what they stand for, what was written."""

# pyarrow makes its compute functions at import.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from equipoise.annotate.draw import GOLD, unescaped
from equipoise.data.checksums import sha256_of
from equipoise.data.columns import Column
from equipoise.data.tables import open_table
from equipoise.errors import InputError, MissingColumnError, VocabularyError, did_you_mean, listed

NONE = "none"
"""What a person writes where a row has none of the tags."""
LEAST, MOST = 1e-9, 1e15
"""Rows that a drawn one can stand for; shares, as some programs give, are numbers too."""
BETWEEN = ";"
"""What stands between several tags."""


@dataclass(frozen=True)
class Sheet:
    """The cells of a sheet: ``labels`` holds what was written for each column, ``""`` where nothing was."""

    name: str
    sha256: str
    ids: tuple[str, ...]
    lines: NDArray[np.int64]
    stratum: NDArray[np.int64]
    represents: NDArray[np.float64]
    labels: dict[str, tuple[str, ...]]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)


def read_sheet(path: str | Path) -> Sheet:
    """Read the cells of a sheet.

    Raises
    ------
    MissingFileError, MissingColumnError, InputError
        If it is absent, has no ``row_id`` or nothing to fill in, or numbers that cannot be.
    """
    source = open_table(path)
    wanted = [name for name in source.names if name.startswith(GOLD)]
    if not wanted:
        raise MissingColumnError(
            f"{source.what} has no column that begins with '{GOLD}'.",
            "Draw a sheet with --draw and --sheet, and fill it in.", value=str(path),
        )  # fmt: skip
    weighed = "represents" in source.names
    raw = source.read(["row_id", *(["represents"] if weighed else []), *(["stratum"] if weighed else []), *wanted])
    lines = source.lines()

    def column(name: str) -> Column:
        return Column(raw[name], name, lines, source.unit)

    notes = []
    represents, stratum = np.ones(raw.num_rows), np.ones(raw.num_rows, np.int64)
    if weighed:
        represents = column("represents").numbers(least=0.0)
        if (bad := ~((represents >= LEAST) & (represents <= MOST))).any():
            raise InputError(
                f"'represents' is {represents[bad][0]:g} in {column('represents').where(bad)}, which is no number of rows.",
                "Leave the columns that were drawn as they are.",
            )
        names = column("stratum").text().to_pylist()
        stratum = np.unique([str(name) for name in names], return_inverse=True)[1].astype(np.int64)
    else:
        notes.append("The sheet has no column 'represents': its rows are taken as a simple random sample.")
    ids = tuple(unescaped(text) for text in column("row_id").ids().to_pylist())
    labels = {
        name[len(GOLD) :]: tuple((text or "").strip() for text in column(name).text().to_pylist()) for name in wanted
    }
    return Sheet(Path(path).name, sha256_of(path), ids, lines, stratum, represents, labels, tuple(notes))


def truth(sheet: Sheet, row: int, name: str, values: Sequence[str], many: bool) -> frozenset[str]:
    """Return what a person wrote in a row for a column; ``many`` tells that it may be several values, or none.

    Raises
    ------
    VocabularyError
        If it is no value of the column; the message names the line.
    """
    text = sheet.labels[name][row]
    if many and text.casefold() == NONE:
        return frozenset()
    parts = [part.strip() for part in text.split(BETWEEN) if part.strip()] if many else [text]
    spelled = {value.casefold(): value for value in values}
    for part in parts:
        if part.casefold() not in spelled:
            more = f"; several with '{BETWEEN}', '{NONE}' for none" if many else "; leave empty what cannot be told"
            raise VocabularyError(
                f"'{part}' in line {sheet.lines[row]} of '{sheet.name}' is not a value of '{name}'."
                f"{did_you_mean(part, values)}",
                f"Its values: {listed(values, 20)}{more}.", value=part,
            )  # fmt: skip
    return frozenset(spelled[part.casefold()] for part in parts)


def halves(sheet: Sheet, column: str, usable: Sequence[bool], values: Sequence[str]) -> list[tuple[int, str]]:
    """Return every other labelled row of each stratum with what was written: one half chooses, the other judges.

    Parameters
    ----------
    sheet : Sheet
        Its rows are in random order.
    column : str
    usable : sequence of bool
        Rows that have an answer.
    values : sequence of str
        What may be written.
    """
    seen: dict[int, int] = {}
    found = []
    for row, text in enumerate(sheet.labels[column]):
        if not text or not usable[row]:
            continue
        stratum = int(sheet.stratum[row])
        seen[stratum] = seen.get(stratum, 0) + 1
        if seen[stratum] % 2:
            (value,) = truth(sheet, row, column, values, False)
            found.append((row, value))
    return found
