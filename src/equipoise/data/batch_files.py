"""Files of rows as Arrow batches with bounded memory: Parquet, a folder of it, CSV and Arrow IPC, of one table.

All files are looked at before the first row is read, so that a column that is missing in the thousandth, or is of another
type there, is known at once.
"""

# pyarrow makes its compute functions at import.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from equipoise.data.csv_file import DELIMITERS, repeated_column
from equipoise.data.tables import NUMBERS, PARQUET
from equipoise.errors import InputError, MissingColumnError, MissingFileError, VocabularyError, did_you_mean, listed

IPC = (".arrow", ".feather", ".ipc")
ANNOTATION = b"equipoise.annotation"
"""Key of a field's metadata: which list of words or question its values come from."""

CSV_BLOCK = 1 << 23
"""Bytes of CSV that are parsed at a time; a row is shorter."""

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


@dataclass(frozen=True)
class RowFile:
    """One file of a table: its columns, and how many bytes it has."""

    path: Path
    schema: pa.Schema
    size: int

    @property
    def is_csv(self) -> bool:
        """Whether every cell is text."""
        return self.path.suffix.lower() in DELIMITERS

    @property
    def is_parquet(self) -> bool:
        """Whether it has row groups."""
        return self.path.suffix.lower() in PARQUET

    def absolute(self) -> RowFile:
        """Return it under a path that a process elsewhere can open."""
        return replace(self, path=self.path.resolve())

    def row_groups(self, rows: int) -> list[list[int] | None]:
        """Return the row groups of Parquet in runs of about that many rows; another file is one run, None."""
        if not self.is_parquet:
            return [None]
        import pyarrow.parquet as pq

        runs: list[list[int] | None] = []
        current: list[int] = []
        size = 0
        metadata = pq.read_metadata(self.path)
        for number in range(metadata.num_row_groups):
            more = metadata.row_group(number).num_rows
            if current and size + more > rows:
                runs.append(current)
                current, size = [], 0
            current.append(number)
            size += more
        return [*runs, current] if current else runs


def row_files(paths: Paths) -> list[RowFile]:
    """Return the files of a table in their order; those of a folder as ``part_10`` after ``part_9``.

    Raises
    ------
    MissingFileError, InputError
        If one is absent, is not read, or a folder has no Parquet file.
    """
    given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    if not given:
        raise InputError("No file is named.", "Name Parquet, CSV or Arrow IPC files, or a folder of Parquet files.")
    found: list[RowFile] = []
    for path in map(Path, given):
        if not path.exists():
            raise MissingFileError(f"There is no table '{path}'.", "Check the path.", value=str(path))
        found.extend(_opened(part) for part in (_parts(path) if path.is_dir() else [path]))
    return found


def unified(files: Sequence[RowFile], columns: Sequence[str]) -> pa.Schema:
    """Return the fields of columns, of types that hold those of all files.

    Raises
    ------
    MissingColumnError
        If a file lacks a column.
    InputError
        If a column is of another kind in one file than in the first.
    VocabularyError
        If it was annotated with different lists.
    """
    return pa.schema([_field(files, name) for name in columns])


def read_batches(
    file: RowFile, schema: pa.Schema, batch_size: int, row_groups: Sequence[int] | None = None
) -> Iterator[tuple[pa.RecordBatch, float]]:
    """Yield (batch with that schema, share of the file that is behind us); of Parquet some row groups, or all."""
    names = schema.names
    found = _csv(file, names, batch_size) if file.is_csv else _arrow(file, names, batch_size, row_groups)
    try:
        for batch, share in found:
            columns = [_cast(batch.column(i), field, file) for i, field in enumerate(schema)]
            yield pa.RecordBatch.from_arrays(columns, schema=schema), share
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"'{file.path}' cannot be read: {str(error).strip()}.", "Make it again.", value=str(file.path)
        ) from error


def is_text(kind: pa.DataType) -> bool:
    """Return whether values are text, or indices into texts."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _parts(folder: Path) -> list[Path]:
    found = [item for item in folder.iterdir() if item.suffix.lower() in PARQUET and item.name[0] not in "._"]
    if not found:
        raise InputError(f"There is no Parquet file in '{folder}'.", f"Their names end in {listed(PARQUET)}.")
    return sorted(
        found, key=lambda item: [int(part) if part.isdecimal() else part for part in NUMBERS.split(item.name)]
    )


def _opened(path: Path) -> RowFile:
    suffix = path.suffix.lower()
    try:
        if suffix in PARQUET:
            import pyarrow.parquet as pq

            schema = pq.read_schema(path)
        elif suffix in IPC:
            with pa.OSFile(str(path)) as source, pa.ipc.open_file(source) as file:
                schema = file.schema
        elif suffix in DELIMITERS:
            schema = pa.schema([(name, pa.large_string()) for name in _header(path)])
        else:
            raise InputError(
                f"'{path}' is not a table that is read: its name ends in '{suffix}'.",
                f"Give {listed([*PARQUET, *IPC, *DELIMITERS])}, or a folder of Parquet files.",
                value=str(path),
            )
        return RowFile(path, schema, path.stat().st_size)
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"'{path}' cannot be read: {str(error).strip()}.", "Make it again.", value=str(path)
        ) from error


def _header(path: Path) -> list[str]:
    import csv

    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            names = next(csv.reader(file, delimiter=DELIMITERS[path.suffix.lower()]), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"The header of '{path}' cannot be read: {error}.", "Save it as UTF-8.") from error
    if not names:
        raise InputError(f"'{path}' is empty.", "A table has a header and at least one row.", value=str(path))
    return names


def _field(files: Sequence[RowFile], name: str) -> pa.Field:
    fields = []
    for file in files:
        places = file.schema.get_all_field_indices(name)
        if not places:
            raise MissingColumnError(
                f"'{file.path}' has no column '{name}'.{did_you_mean(name, file.schema.names)}",
                f"Its columns: {listed(file.schema.names, 20)}.",
                value=name,
            )
        if len(places) > 1:
            raise repeated_column(name, f"'{file.path}'")
        fields.append(file.schema.field(places[0]))
    first = next((i for i, field in enumerate(fields) if not pa.types.is_null(field.type)), 0)
    kind = _plain(fields[first].type)
    for file, field in zip(files, fields, strict=True):
        found = _plain(field.type)
        if found == kind or pa.types.is_null(found):
            continue
        wider = _wider(kind, found)
        if wider is None:
            raise InputError(
                f"'{name}' holds {fields[first].type} in '{files[first].path}' and {field.type} in '{file.path}'.",
                "Write it alike in all files.",
                value=name,
            )
        kind = wider
    said = {
        _without_gold((field.metadata or {}).get(ANNOTATION)): file for file, field in zip(files, fields, strict=True)
    }
    if len(said) > 1:
        one, two = list(said.values())[:2]
        raise VocabularyError(
            f"'{name}' was annotated in another way in '{two.path}' than in '{one.path}'.",
            "Annotate all files with one version of one list.",
            value=name,
        )
    metadata = dict(fields[first].metadata or {})
    if len({(field.metadata or {}).get(ANNOTATION) for field in fields}) > 1:
        (alone,) = said  # how often a file's answers err is known of that file alone
        assert alone is not None
        metadata[ANNOTATION] = alone
    return pa.field(name, kind, metadata=metadata or None)


def _without_gold(annotation: bytes | None) -> bytes | None:
    """Return what a field says of its list, without what rows labelled by hand say of it."""
    try:
        document = json.loads(annotation or b"")
    except ValueError:
        return annotation
    if not isinstance(document, dict):
        return annotation
    return json.dumps({key: value for key, value in document.items() if key != "gold"}, sort_keys=True).encode()


def _plain(kind: pa.DataType) -> pa.DataType:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.large_string() if pa.types.is_string_view(kind) else kind


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind)


def _wider(one: pa.DataType, two: pa.DataType) -> pa.DataType | None:
    """Return a type of the same kind that holds both, or None."""
    if is_text(one) and is_text(two):
        return pa.large_string()
    if _is_list(one) and _is_list(two):
        inner = _wider(one.value_type, two.value_type)
        return None if inner is None else pa.large_list(inner)
    for alike in (pa.types.is_integer, pa.types.is_floating):
        if alike(one) and alike(two):
            both = [pa.schema([("x", kind)]) for kind in (one, two)]
            return pa.unify_schemas(both, promote_options="permissive").field("x").type
    return one if one == two else None


def _cast(values: pa.Array, field: pa.Field, file: RowFile) -> pa.Array:
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if values.type == field.type:
        return values
    try:
        return values.cast(field.type)
    except pa.ArrowException as error:
        raise InputError(
            f"'{field.name}' in '{file.path}' does not fit {field.type}: {error}.", "Write it alike in all files."
        ) from error


def _arrow(
    file: RowFile, names: Sequence[str], batch_size: int, row_groups: Sequence[int] | None
) -> Iterator[tuple[pa.RecordBatch, float]]:
    import pyarrow.dataset as ds
    from pyarrow.fs import LocalFileSystem

    if file.is_parquet:
        # without a buffer ahead of the reader, memory holds a few batches of a row group and not the row group
        scan = ds.ParquetFragmentScanOptions(pre_buffer=False, use_buffered_stream=True)
        form = ds.ParquetFileFormat(default_fragment_scan_options=scan)
        groups = None if row_groups is None else list(row_groups)
        fragment: Any = form.make_fragment(str(file.path), LocalFileSystem(), row_groups=groups)
    else:
        fragment = ds.IpcFileFormat().make_fragment(str(file.path), LocalFileSystem())
    rows, done = max(1, fragment.count_rows()), 0
    scanner = fragment.scanner(
        columns={name: ds.field(name) for name in names}, batch_size=batch_size, batch_readahead=2, fragment_readahead=1
    )
    for batch in scanner.to_batches():
        done += batch.num_rows
        if batch.num_rows:
            yield batch, done / rows


def _csv(file: RowFile, names: Sequence[str], batch_size: int) -> Iterator[tuple[pa.RecordBatch, float]]:
    import pyarrow.csv as arrow_csv

    with pa.OSFile(str(file.path)) as source:
        reader = arrow_csv.open_csv(
            source,
            read_options=arrow_csv.ReadOptions(block_size=CSV_BLOCK),
            parse_options=arrow_csv.ParseOptions(
                delimiter=DELIMITERS[file.path.suffix.lower()], newlines_in_values=True
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.large_string()),
                include_columns=list(names),
                strings_can_be_null=False,
            ),
        )
        for batch in reader:
            share = source.tell() / max(1, file.size)
            for start in range(0, batch.num_rows, batch_size):
                yield batch.slice(start, batch_size), share
