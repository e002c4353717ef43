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
) -> Rows:
    """Read a table and count its cells."""
    from equipoise.data.cell_stream import layout_of_files

    layout = layout_of_files(
        path, attributes, labels, proxies=proxies, vocabulary=vocabulary, utility=utility,
        bins=None if utility is None else (),
    )  # fmt: skip
    if layout.scores or utility is not None:
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

    columns = list(dict.fromkeys([*layout_columns(layout), *where]))
    table = pa.Table.from_batches(list(batches(path, columns, layout=layout)))
    for column, value in where.items():
        table = table.filter(pc.equal(table[column].cast(pa.large_string()), value))  # pyright: ignore[reportAttributeAccessIssue]
    return table


def refuse_held_out(path: Path, split: str | None, where: Mapping[str, str]) -> None:
    """Raise LeakageError where rows that would be fitted on are marked as held out.

    The column of the split is the one that was named, else one that is called ``split``.
    """
    from equipoise.data.cell_others import has_column, values_of_column
    from equipoise.mitigate.data.sources import HELD_OUT

    column = split or (SPLIT if has_column(path, SPLIT) else None)
    if column is None:
        return
    marked = {where[column]} if column in where else values_of_column(path, column)
    if held := sorted(value for value in marked if value.strip().casefold() in HELD_OUT):
        raise LeakageError(
            f"weights were fitted on rows marked '{held[0]}'.",
            f"Fit on the rows of the training split: --rows {column}=train.",
            value=held[0],
        )


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


def fingerprints(path: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a table by its name."""
    from equipoise.data.batch_files import row_files
    from equipoise.store.files import sha256_of

    return {file.path.name: sha256_of(file.path) for file in row_files(path)}
