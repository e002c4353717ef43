"""A table with its annotated columns: rows pass by in batches, are tagged, counted, drawn from, and written.

All columns of the table stay as they are; annotated ones follow, ``gender_text`` from captions and ``gender_image`` from
pictures, each with what it declares of itself. Memory holds a batch, and the answers about pictures.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from equipoise.annotate.draw import Draw, ids_of
from equipoise.annotate.fields import annotated_field
from equipoise.annotate.images import ImageTags
from equipoise.annotate.lexicon import Lexicon
from equipoise.annotate.output import RUN, check_output, check_path, claimed
from equipoise.annotate.tagging import TagTable, tag_captions
from equipoise.annotate.tally import Tally
from equipoise.data.annotated import read_annotation
from equipoise.data.batch_files import is_text, row_files
from equipoise.data.cell_stream import located
from equipoise.data.checksums import sha256_of
from equipoise.data.csv_file import repeated_column
from equipoise.data.tables import PARQUET, open_table
from equipoise.errors import InputError, MissingColumnError, did_you_mean, listed
from equipoise.progress import advance
from equipoise.store.atomic import atomic_write

BATCH = 1 << 16
WHAT = "annotating rows"

__all__ = ["AnnotatedTable", "check_path"]


class AnnotatedTable:
    """A table, and what annotates it.

    Parameters
    ----------
    path : path
        CSV, Parquet, a folder of Parquet files or of images.
    caption : str, optional
        Column of captions, with ``lexicon``.
    lexicon : Lexicon, optional
    images : ImageTags, optional
        Answers in the order of the table.
    id : str, optional
        Column of row ids; the row number unless given.

    Raises
    ------
    InputError, MissingColumnError
        If a column is absent, holds no text, or an annotated one is in the table already.
    """

    def __init__(
        self, path: str | Path, *, caption: str | None = None, lexicon: Lexicon | None = None,
        images: ImageTags | None = None, id: str | None = None,
    ) -> None:  # fmt: skip
        self.path, self.caption, self.lexicon, self.images, self.id = Path(path), caption, lexicon, images, id
        self._answers = None if images is None else images.columns[images.question.variable]
        self._memory: pa.Table | None = None
        if self.path.is_dir() and not _has_parquet(self.path):
            source = open_table(self.path)
            self._memory = whole = source.read(source.names)
            schema, self.inputs = whole.schema, dict(source.inputs)
        else:
            files = row_files(self.path)
            schema = files[0].schema
            self.inputs = {file.path.name: sha256_of(file.path) for file in files}
        self.names = list(schema.names)
        if twice := next((name for name in self.names if self.names.count(name) > 1), None):
            raise repeated_column(twice, f"'{self.path}'")
        self.check_columns([name for name in (caption, id) if name is not None])
        if caption is not None and not is_text(schema.field(caption).type):
            raise InputError(
                f"The captions in '{caption}' are {schema.field(caption).type}, not text.", "Name a column of text.",
                value=caption,
            )  # fmt: skip
        if taken := [entry.name for entry in self.fields() if entry.name in self.names]:
            annotated = read_annotation(schema.field(taken[0])) is not None
            raise InputError(
                f"The table has a column '{taken[0]}' already" + (": it was annotated." if annotated else "."),
                "Name the table that was annotated, not what was written: a sheet (--gold) is read back against that table "
                "too." if annotated else "Remove or rename it, or annotate the table without it.",
                value=taken[0],
            )  # fmt: skip

    def fields(self, gold: Mapping[str, Mapping[str, Any]] | None = None) -> list[pa.Field]:
        """Return the fields of the annotated columns, with their error where it is known."""
        found = []
        if self.lexicon is not None:
            for name, variable in self.lexicon.variables.items():
                column = f"{name}_text"
                found.append(annotated_field(column, variable, self.lexicon, gold=(gold or {}).get(column)))
        if self.images is not None:
            found.append(self.images.field((gold or {}).get(self.images.question.column)))
        return found

    def check_columns(self, names: Sequence[str]) -> None:
        """Raise MissingColumnError for a column that the table lacks."""
        for name in names:
            if name not in self.names:
                raise MissingColumnError(
                    f"The table has no column '{name}'.{did_you_mean(name, self.names)}",
                    f"Its columns: {listed(self.names, 20)}.", value=name,
                )  # fmt: skip

    def with_images(self, images: ImageTags) -> AnnotatedTable:
        """Return the same with other answers about its pictures."""
        found = copy.copy(self)
        found.images, found._answers = images, images.columns[images.question.variable]
        return found

    def states(self, column: str) -> tuple[str, ...]:
        """Return what an annotated column can say."""
        if self.images is not None and column == self.images.question.column:
            return self.images.question.states
        assert self.lexicon is not None
        return self.lexicon.variables[column.removesuffix("_text")].values

    def is_tags(self, column: str) -> bool:
        """Return whether an annotated column has any number of values a row."""
        return pa.types.is_list(next(entry.type for entry in self.fields() if entry.name == column))

    def row(self, number: int) -> pa.Table:
        """Return the columns that are read of one row."""
        names = [name for name in (self.caption, self.id) if name is not None] or self.names[:1]
        for rows, start in self.batches(list(dict.fromkeys(names))):
            if start <= number < start + rows.num_rows:
                return rows.slice(number - start, 1)
        raise InputError(f"There is no row {number + 1}.", "Name a row of the table.", value=number)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[tuple[pa.Table, int]]:
        """Yield (rows, number of the first, from 0), and say how far the reading is."""
        start = 0
        names = self.names if columns is None else list(columns)
        if self._memory is not None:
            for batch in self._memory.select(names).to_batches(BATCH):
                yield pa.Table.from_batches([batch]), start
                start += batch.num_rows
                advance(WHAT, start, self._memory.num_rows)
            return
        for batch, done, total in located(self.path, names, BATCH, None):
            yield pa.Table.from_batches([batch]), start
            start += batch.num_rows
            if done > 0:
                advance(WHAT, start, max(start, round(start * total / done)))

    def annotate(self, rows: pa.Table, numbers: pa.Array) -> tuple[list[pa.Array], TagTable | None]:
        """Return the annotated columns of rows with these numbers, in the order of :meth:`fields`."""
        columns: list[pa.Array] = []
        tags = None
        if self.lexicon is not None and self.caption is not None:
            tags = tag_captions(rows[self.caption], self.lexicon)
            columns += [tags.columns[name] for name in self.lexicon.variables]
        if self._answers is not None:
            if len(numbers) and numbers[-1].as_py() >= len(self._answers):
                raise InputError(
                    f"The table has more rows than the {len(self._answers):,} that were answered.", "Annotate it again."
                )
            columns.append(self._answers.take(numbers))
        return columns, tags

    def numbers(self, ids: Sequence[str]) -> dict[str, int]:
        """Return the number of the row, from 0, of each id that is there."""
        wanted, found = set(ids), {}
        for rows, start in self.batches([self.id] if self.id else self.names[:1]):
            found |= {name: start + row for row, name in enumerate(ids_of(rows, self.id, start)) if name in wanted}
        return found

    def pick(self, ids: Sequence[str], columns: Sequence[str] = ()) -> pa.Table:
        """Return the annotated rows of some ids with further columns, and ``row_id``; ids that are not there are left out."""
        self.check_columns(columns)
        wanted = set(ids)
        own = [*columns, *([self.caption] if self.caption else []), *([self.id] if self.id else [])]
        parts = []
        for rows, start in self.batches(list(dict.fromkeys(own)) or self.names[:1]):
            named = ids_of(rows, self.id, start)
            there = [row for row, name in enumerate(named) if name in wanted]
            if not there:
                continue
            few = rows.take(pa.array(there))
            found, _ = self.annotate(few, pa.array([start + row for row in there], pa.int64()))
            parts.append(
                _joined({"row_id": [named[row] for row in there]}, few.select(list(columns)), self.fields(), found)
            )
        if not parts:
            fields = [pa.field("row_id", pa.string()), *self.fields()]
            return pa.schema(fields).empty_table()
        whole = pa.concat_tables(parts)
        if len(set(whole["row_id"].to_pylist())) < len(whole):
            raise InputError(
                "A row of the sheet has more than one row in the table.", "Name a column that tells rows apart (--id)."
            )
        return whole

    def run(
        self, out: str | Path | None = None, *, gold: Mapping[str, Mapping[str, Any]] | None = None,
        draw: Draw | None = None, overwrite: bool = False, more: Mapping[str, Any] | None = None,
    ) -> Tally:  # fmt: skip
        """Annotate every row.

        Parameters
        ----------
        out : path, optional
            Parquet file to write; without it rows are only counted.
        gold : mapping of column to its error, optional
        draw : Draw, optional
            Sees every annotated row.
        overwrite : bool
        more : mapping, optional
            What else decides the output, as JSON values.

        Raises
        ------
        OutputExistsError
            If ``out`` is the output of another run, or no output of this verb.
        """
        fields = self.fields(gold)
        if out is None:
            return self._pass(fields, draw, None)
        out = Path(out)
        run = json.dumps(
            {"inputs": self.inputs, "columns": {f.name: _declared(f) for f in fields}, **(more or {})},
            sort_keys=True, ensure_ascii=False,
        )  # fmt: skip
        found: list[Tally] = []

        def write(partial: Path) -> None:
            found.append(self._pass(fields, draw, (partial, {RUN: run.encode()})))

        with claimed(out):
            check_output(out, self.path, run, overwrite=overwrite)
            if out.exists() and not overwrite:
                return self._pass(fields, draw, None)
            atomic_write(out, write)
        return found[0]

    def _pass(
        self, fields: Sequence[pa.Field], draw: Draw | None, out: tuple[Path, dict[bytes, bytes]] | None
    ) -> Tally:
        import pyarrow.parquet as pq

        tally = Tally()
        writer: Any = None
        try:
            for rows, start in self.batches():
                columns, tags = self.annotate(rows, pa.array(range(start, start + rows.num_rows), pa.int64()))
                answered = None if self.images is None else self.images.status[start : start + rows.num_rows]
                tally.add(fields, columns, tags, answered)
                whole = _joined({}, rows, fields, columns)
                if draw is not None:
                    draw.add(whole, ids_of(rows, self.id, start))
                if out is not None:
                    if writer is None:
                        schema = whole.schema.with_metadata({**(rows.schema.metadata or {}), **out[1]})
                        writer = pq.ParquetWriter(out[0], schema, compression="zstd")
                    writer.write_table(whole.replace_schema_metadata(writer.schema.metadata))
        finally:
            if writer is not None:
                writer.close()
        if not tally.rows:
            raise InputError("The table has no rows.", "Give one with rows.", value=str(self.path))
        return tally


def _declared(entry: pa.Field) -> Any:
    return {key.decode(): json.loads(value) for key, value in (entry.metadata or {}).items()}


def _joined(
    first: Mapping[str, Sequence[str]], rows: pa.Table, fields: Sequence[pa.Field], columns: Sequence[pa.Array]
) -> pa.Table:
    """Return rows with further columns."""
    own = [pa.field(name, pa.string()) for name in first]
    arrays: list[Any] = [pa.array(list(values), pa.string()) for values in first.values()]
    cast = [column.cast(entry.type) for entry, column in zip(fields, columns, strict=True)]
    schema = pa.schema([*own, *rows.schema, *fields])
    return pa.Table.from_arrays([*arrays, *rows.columns, *cast], schema=schema)


def _has_parquet(folder: Path) -> bool:
    return any(item.suffix.lower() in PARQUET and item.name[0] not in "._" for item in folder.iterdir())
