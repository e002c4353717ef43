"""A sheet of rows to label by hand: drawn by strata of what the annotator said, without showing what it said.

Every stratum gets half of an equal share, as far as it has rows, and the rest goes by size: rare answers are looked at, and
common ones still have most rows. Within a stratum the rows are those of the smallest hash of (seed, row id), so that the
order of lines decides nothing. ``represents`` tells how many rows of its stratum each drawn row stands for.
"""

# pyarrow makes its compute functions at import.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from heapq import nsmallest
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from equipoise.data.annotated import read_annotation
from equipoise.errors import InputError, MissingColumnError, OutputExistsError, did_you_mean, listed
from equipoise.store.atomic import atomic_write, remove_stale
from equipoise.store.inputs import refuse_inputs

GOLD = "gold_"
"""What the columns to fill in begin with."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so would be run by a spreadsheet; it gets an apostrophe in front, which is taken off again."""

Key = tuple[str, ...]


@dataclass
class Draw:
    """Draws while rows pass by; memory holds at most ``n`` rows a stratum.

    Parameters
    ----------
    columns : sequence of str
        Annotated columns: with ``strata`` their values make the strata.
    n : int
        Rows to draw.
    seed : int
    strata : sequence of str
        Further columns, as ``race``: so that each of their groups has rows.
    show : sequence of str
        Columns that the sheet shows, as the caption or the path of the picture.
    """

    columns: Sequence[str]
    n: int = 200
    seed: int = 0
    strata: Sequence[str] = ()
    show: Sequence[str] = ()
    sizes: dict[Key, int] = field(default_factory=dict)
    held: dict[Key, list[tuple[int, str, tuple[str, ...]]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.n, bool) or not isinstance(self.n, int) or self.n < 1:
            raise InputError(f"{self.n!r} rows cannot be drawn.", "Draw 1 or more; 200 says much.", value=self.n)
        self._key = str(self.seed).encode()

    def add(self, rows: pa.Table, ids: Sequence[str]) -> None:
        """Take rows into account; those that no column has an answer for are left out."""
        if not len(rows):
            return
        names_of_rows: list[str] = list(ids)
        codes, names = self._strata(rows)
        shown = [_text(rows[name]) for name in self.show]
        order = np.argsort(codes, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(codes[order]) > 0])
        for start, end in zip(starts, [*starts[1:], len(order)], strict=True):
            name = names[int(codes[order[start]])]
            if all(part == "" for part in name[: len(self.columns)]):
                continue
            self.sizes[name] = self.sizes.get(name, 0) + int(end - start)
            new = [(self._hash(names_of_rows[row]), names_of_rows[row], row) for row in order[start:end].tolist()]
            kept = [(number, id, tuple(texts[row] for texts in shown)) for number, id, row in nsmallest(self.n, new)]
            self.held[name] = nsmallest(self.n, [*self.held.get(name, []), *kept])

    def finish(self) -> pa.Table:
        """Return the sheet, in random order.

        Raises
        ------
        InputError
            If no row was annotated, or two drawn rows have one id.
        """
        if not self.sizes:
            raise InputError("No row was annotated, so that none can be drawn.", "Look at why rows were set aside.")
        sizes, held = _merged(self.sizes, self.held, self.n)
        rows = []
        for name, count in _allocated(sizes, self.n).items():
            for number, id, texts in nsmallest(count, held[name]):
                rows.append((number, id, texts, name, sizes[name] / count))
        rows.sort(key=lambda row: row[:2])
        ids = [row[1] for row in rows]
        if len(set(ids)) < len(ids):
            twice = next(id for id in ids if ids.count(id) > 1)
            raise InputError(
                f"The id of a row occurs more than once: '{twice}'.", "Name a column that tells rows apart (--id).",
                value=twice,
            )  # fmt: skip
        numbers: dict[Key, int] = {}
        strata = [numbers.setdefault(row[3], len(numbers) + 1) for row in rows]
        columns: dict[str, Any] = {"row_id": pa.array(ids, pa.string())}
        for place, name in enumerate(self.show):
            columns[name] = pa.array([row[2][place] for row in rows], pa.string())
        columns["stratum"] = pa.array(strata, pa.int64())
        columns["represents"] = pa.array([row[4] for row in rows], pa.float64())
        for name in self.columns:
            columns[GOLD + name] = pa.array([""] * len(rows), pa.string())
        return pa.table(columns)

    def _hash(self, id: str) -> int:
        return int.from_bytes(blake2b(id.encode(), digest_size=8, key=self._key).digest(), "big")

    def _strata(self, rows: pa.Table) -> tuple[np.ndarray, list[Key]]:
        """Return (n,) stratum of each row, and the name of each."""
        codes, names = np.zeros(len(rows), np.int64), [()]
        for column in (*self.columns, *self.strata):
            values = rows[column].combine_chunks()
            if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
                some = pc.greater(pc.list_value_length(values), 0)
                values = pc.if_else(some, "some", "none")
            coded = pc.fill_null(values.cast(pa.large_string()), "").dictionary_encode()
            if isinstance(coded, pa.ChunkedArray):
                coded = coded.combine_chunks()
            words = coded.dictionary.to_pylist()
            joint = codes * len(words) + coded.indices.to_numpy().astype(np.int64)
            there, codes = np.unique(joint, return_inverse=True)
            names = [(*names[int(code) // len(words)], words[int(code) % len(words)]) for code in there]
        return codes, names


def draw_sheet(
    table: pa.Table,
    columns: Sequence[str] | None = None,
    *,
    n: int = 200,
    seed: int = 0,
    strata: Sequence[str] = (),
    show: Sequence[str] = (),
    id: str | None = None,
) -> pa.Table:
    """Draw rows of an annotated table to be labelled by hand.

    Parameters
    ----------
    table : pyarrow.Table
        With annotated columns.
    columns : sequence of str, optional
        Those to be judged; all annotated ones unless given.
    n, seed, strata, show
        As for :class:`Draw`.
    id : str, optional
        Column of row ids; the row number, from 1, unless given.

    Returns
    -------
    pyarrow.Table
        ``row_id``, the columns shown, ``stratum``, ``represents`` and an empty ``gold_<column>`` for each column.
    """
    chosen = annotated_columns(table.schema) if columns is None else list(columns)
    for name in (*chosen, *strata, *show):
        if name not in table.column_names:
            raise MissingColumnError(
                f"The table has no column '{name}'.{did_you_mean(name, table.column_names)}",
                f"Its columns: {listed(table.column_names, 20)}.", value=name,
            )  # fmt: skip
    draw = Draw(chosen, n, seed, strata, show)
    draw.add(table, ids_of(table, id))
    return draw.finish()


def annotated_columns(schema: pa.Schema) -> list[str]:
    """Return the columns of a table that say which list or question they come from; InputError if there are none."""
    found = [entry.name for entry in schema if read_annotation(entry) is not None]
    if not found:
        raise InputError(
            "The table has no annotated column.", "Give a table that `equipoise annotate` wrote, as Parquet."
        )
    return found


def ids_of(rows: pa.Table, column: str | None, start: int = 0) -> list[str]:
    """Return the id of every row: the text of a column, or the row number from ``start`` + 1."""
    if column is None:
        return [str(number) for number in range(start + 1, start + len(rows) + 1)]
    found = _text(rows[column])
    if "" in found:
        raise InputError(
            f"'{column}' has no value in row {start + found.index('') + 1}, where an id is needed.",
            "Give every row an id, or name another column.", value=column,
        )  # fmt: skip
    return found


def check_sheet(path: str | Path, *, overwrite: bool = False, inputs: Iterable[str | Path | None] = ()) -> None:
    """Refuse a sheet that is there: it may have been filled in.

    One with labels, one of the ``inputs``, and what is no sheet are not replaced even with ``overwrite``.

    Raises
    ------
    OutputExistsError, InputError
    """
    path = Path(path)
    if path.suffix.lower() != ".csv":
        raise InputError(f"The sheet '{path}' is to be CSV.", "Give a name that ends in .csv.", value=str(path))
    refuse_inputs(path, inputs, "--sheet")
    if path.exists():
        if not overwrite:
            raise OutputExistsError(
                f"There is a sheet '{path}' already.", "Choose another name, or read it with --gold.", value=str(path)
            )
        if (labels := _filled(path)) is None:
            raise OutputExistsError(
                f"'{path}' is in the way, and no sheet to fill in.", "Choose another name.", value=str(path)
            )
        if labels:
            raise OutputExistsError(
                f"The sheet '{path}' has labels in it.",
                "Move it away first; labels are not overwritten.",
                value=str(path),
            )


def write_sheet(sheet: pa.Table, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a sheet as CSV, after :func:`check_sheet`."""
    path = Path(path)
    check_sheet(path, overwrite=overwrite)
    remove_stale(path)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(sheet.column_names)
    for row in zip(*(column.to_pylist() for column in sheet.columns), strict=True):
        writer.writerow([_escaped(cell) for cell in row])
    atomic_write(path, out.getvalue())
    return path


def unescaped(text: str) -> str:
    """Return a cell without the apostrophe that keeps a spreadsheet from running it."""
    return text[1:] if text[:1] == "'" and text.lstrip("'").startswith(FORMULA) else text


def _escaped(cell: Any) -> str:
    text = repr(cell) if isinstance(cell, float) else str(cell)
    return f"'{text}" if text.lstrip("'").startswith(FORMULA) else text


def _filled(path: Path) -> bool | None:
    """Return whether a sheet has labels; None for what is no sheet of ours."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            names = [name for name in rows.fieldnames or () if name.startswith(GOLD)]
            if "row_id" not in (rows.fieldnames or ()) or not names:
                return None
            return any((row.get(name) or "").strip() for row in rows for name in names)
    except (OSError, UnicodeDecodeError, csv.Error):
        return None


def _text(values: pa.ChunkedArray) -> list[str]:
    kind = values.type
    if pa.types.is_struct(kind) and any(part.name == "path" for part in kind):
        values = pc.struct_field(values, "path")
    return ["" if value is None else str(value) for value in values.to_pylist()]


def _merged(
    sizes: Mapping[Key, int], held: Mapping[Key, list[Any]], n: int
) -> tuple[dict[Key, int], dict[Key, list[Any]]]:
    """Put the smallest strata together until there are at most n / 2 of them."""
    most = max(1, n // 2)
    if len(sizes) <= most:
        return dict(sizes), dict(held)
    ordered = sorted(sizes, key=lambda name: (-sizes[name], name))
    own, rest = ordered[: most - 1], ordered[most - 1 :]
    new_sizes, new_held = {name: sizes[name] for name in own}, {name: held[name] for name in own}
    new_sizes[("", "rest")] = sum(sizes[name] for name in rest)
    new_held[("", "rest")] = nsmallest(n, [row for name in rest for row in held[name]])
    return new_sizes, new_held


def _allocated(sizes: Mapping[Key, int], n: int) -> dict[Key, int]:
    """Return how many rows each stratum gives: half of an equal share at first, the rest by size."""
    total = sum(sizes.values())
    if total <= n:
        return dict(sizes)
    floor = max(1, n // (2 * len(sizes)))
    given = {name: min(size, floor) for name, size in sizes.items()}
    left = n - sum(given.values())
    free: Iterable[Key] = [name for name in sizes if sizes[name] > given[name]]
    while left > 0 and (free := [name for name in free if sizes[name] > given[name]]):
        room = sum(sizes[name] - given[name] for name in free)
        wanted = {name: left * (sizes[name] - given[name]) / room for name in free}
        more = {name: min(int(share), sizes[name] - given[name]) for name, share in wanted.items()}
        if not any(more.values()):
            nearest = sorted(free, key=lambda name: (-wanted[name], name))[:left]
            more = dict.fromkeys(nearest, 1)
        for name, count in more.items():
            given[name] += count
        left -= sum(more.values())
    return given
