"""What ``equipoise balance`` reads: a table as cells, or cells; and who may be fitted on."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise.errors import InputError, LeakageError, MissingFileError

if TYPE_CHECKING:
    import pyarrow as pa

    from equipoise.data.cell_table import CellTable
    from equipoise.data.groups import Vocabulary

SPLIT = "split"


@dataclass(frozen=True)
class Rows:
    """The rows of a table, as a balance wants them.

    Attributes
    ----------
    cells : CellTable or None
        What is balanced; None where cells cannot hold it, as scores.
    wide : CellTable or None
        The same rows, with the attributes that are looked at besides.
    table : pyarrow.Table or None
        The rows themselves, where there are no cells.
    """

    cells: CellTable | None
    wide: CellTable | None
    table: pa.Table | None = None


def read_rows(
    path: Path,
    *,
    attributes: Sequence[str],
    labels: Sequence[str],
    proxies: Sequence[str],
    others: Sequence[str],
    vocabulary: Vocabulary | None,
    utility: str | None,
    unknown: str,
    where: Mapping[str, str],
    engine: str = "local",
    bins: Sequence[float] | None = None,
    stream: bool = False,
) -> Rows:
    """Read a table and count its cells; a solver that goes through a ``stream`` gets the rows themselves."""
    from equipoise.data.cell_stream import layout_of_files

    layout = layout_of_files(
        path, attributes, labels, proxies=proxies, vocabulary=vocabulary, utility=utility,
        bins=None if utility is None else tuple(bins or ()),
    )  # fmt: skip
    if stream or layout.scores or (utility is not None and not bins):
        return Rows(None, None, rows_of_files(path, layout, where))
    return count(path, layout, others=others, vocabulary=vocabulary, unknown=unknown, where=where, engine=engine)


def count(
    path: Path,
    layout: Any,
    *,
    others: Sequence[str],
    vocabulary: Vocabulary | None,
    unknown: str,
    where: Mapping[str, str],
    engine: str = "local",
) -> Rows:
    """Count the cells of a table for a layout, and with the attributes that are looked at besides."""
    from equipoise.data.cell_groups import narrowed
    from equipoise.data.cell_others import count_with_others, with_others
    from equipoise.data.cell_stream import count_cells

    wide_layout = with_others(path, layout, others, vocabulary) if others else layout
    if wide_layout.id == layout.id and not where:
        if engine == "ray":
            from equipoise.data.cells_ray import count_cells_ray

            cells = count_cells_ray(path, layout, unknown=unknown)
        else:
            cells = count_cells(path, layout, unknown=unknown)
        return Rows(cells, cells)
    wide = count_with_others(path, layout, wide_layout, unknown=unknown, where=where)
    return Rows(wide if wide_layout.id == layout.id else narrowed(wide, layout)[0], wide)


def rows_of_files(path: Path, layout: Any, where: Mapping[str, str]) -> pa.Table:
    """Read the columns of a layout whole."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from equipoise.data.cell_stream import batches, layout_columns
    from equipoise.data.packing import text_of

    columns = list(dict.fromkeys([*layout_columns(layout), *where]))
    table = pa.Table.from_batches(list(batches(path, columns, layout=layout)))
    for column, value in where.items():
        texts = [text_of(chunk, column) for chunk in table[column].chunks]
        table = table.filter(pc.equal(pa.chunked_array(texts, pa.large_string()), value))  # pyright: ignore[reportAttributeAccessIssue]
    return table


def marks_of_fit(path: Path, split: str | None, where: Mapping[str, str]) -> tuple[str | None, list[str]]:
    """Return the column of the split and the marks of the rows that would be fitted on.

    The column is the one that was named, else one that is called ``split``; None where there is none.

    Raises
    ------
    LeakageError
        If nothing may be fitted on them.
    """
    from equipoise.data.cell_others import has_column, values_of_column
    from equipoise.data.splits import is_test

    column = split or (SPLIT if has_column(path, SPLIT) else None)
    if column is None:
        return None, []
    marked = {where[column]} if column in where else values_of_column(path, column)
    if held := sorted(filter(is_test, marked)):
        raise LeakageError(
            f"weights were fitted on rows marked '{held[0]}'.",
            f"Fit on the rows of the training split: --rows {column}=train.",
            value=held[0],
        )
    return column, sorted(marked)


def read_shares(path: Path | None) -> dict[str, Any] | None:
    """Read wanted shares from TOML: ``[gender]`` with a number a group, ``["gender | occupation=nurse"]`` for one label.

    Raises
    ------
    MissingFileError, InputError
    """
    if path is None:
        return None
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise MissingFileError(f"The shares '{path}' cannot be read: {error.strerror}.", "Name a TOML file.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"The shares '{path}' are not TOML: {error}.", "Mend the file.", value=str(path)) from error


def kept_share(text: str | None) -> float | str | None:
    """Return ``auto``, or a number.

    Raises
    ------
    InputError
    """
    if text is None or text == "auto":
        return text
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"--keep is '{text}'.", "Write auto, or a share as 0.9.", value=text) from error


def read_bins(items: Sequence[str]) -> tuple[float, ...] | None:
    """Return the values that a utility is rounded to; None where none were given.

    Raises
    ------
    InputError
    """
    try:
        return tuple(map(float, items)) or None
    except ValueError as error:
        text = ",".join(items)
        raise InputError(f"--bins is '{text}'.", "Write numbers, as 0,0.5,1.", value=text) from error


def read_cells(paths: Sequence[Path]) -> CellTable:
    """Read tables of cells, files or folders of them, and add them up.

    Raises
    ------
    VocabularyError
        If their layouts differ; the message says in what, and of which two.
    MissingFileError, SchemaError
    """
    from equipoise.data.batch_files import row_files
    from equipoise.data.cell_table import CellTable

    folder = any(path.is_dir() for path in paths)
    files = [file.path for file in row_files(paths)] if folder else list(paths)
    found = CellTable.from_parquet(files[0])
    for path in files[1:]:
        more = CellTable.from_parquet(path)
        found.layout.check_same(more.layout, f"'{files[0]}'", f"'{path}'")
        found += more
    return found


def fingerprints(paths: Sequence[Path]) -> dict[str, str]:
    """Return the SHA-256 of every file of a table by its name, or by its path where two have one name."""
    from equipoise.data.batch_files import row_files
    from equipoise.store.files import sha256_of

    files = [file.path for file in row_files(paths)]
    names = [path.name for path in files]
    return {path.name if names.count(path.name) == 1 else str(path): sha256_of(path) for path in files}
