"""CSV as text: no cell is interpreted, a ragged line is refused with its number.

Arrow parses; Python's own reader is asked only where a message needs a line number that Arrow does not keep.
"""

# pyarrow makes its compute functions at import.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
from numpy.typing import NDArray

from equipoise.errors import InputError, MissingColumnError, listed

DELIMITERS = {".csv": ",", ".tsv": "\t"}
_LONGEST_CELL = 1 << 26


class CsvFile:
    """A CSV or TSV file in memory.

    Attributes
    ----------
    names : list of str
        The header; a name may occur twice until it is asked for.
    rows : int
    """

    def __init__(self, path: Path, content: bytes) -> None:
        self.path = path
        self.delimiter = DELIMITERS[path.suffix.lower()]
        if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise InputError(f"'{path}' is UTF-16.", "Save it as UTF-8.", value=str(path))
        self._content = content
        if not content.strip(b"\xef\xbb\xbf \t\r\n"):
            raise InputError(f"'{path}' is empty.", "A table has a header and at least one row.", value=str(path))
        if content.count(b'"') % 2:
            self._check_quotes()
        self._table = self._parse()
        self.names: list[str] = [self._table[i][0].as_py() for i in range(self._table.num_columns)]
        self.rows = self._table.num_rows - 1
        if self.rows == 0:
            raise InputError(f"'{path}' has a header and no rows.", "Add rows.", value=str(path))

    def read(self, names: Sequence[str]) -> pa.Table:
        """Return columns by name as text; an empty cell is ``""``."""
        return pa.table({name: self._table[self.names.index(name)].slice(1) for name in names})

    def lines(self) -> NDArray[np.int64]:
        """Return the line of the file on which each row begins, the header being on line 1."""
        breaks = np.zeros(self._table.num_rows, np.int64)
        for column in self._table.columns:
            breaks += pc.count_substring(column, "\n").to_numpy()
        ends = self._content.count(b"\n") + (not self._content.endswith(b"\n"))
        if ends == len(breaks) + breaks.sum():
            return (np.arange(1, len(breaks) + 1) + np.cumsum(breaks) - breaks)[1:]
        starts, before = [], 0
        for record, line in self._records():
            if record:
                starts.append(before + 1)
            before = line
        # Blank lines are skipped by both readers; should they ever disagree, a row number is still a good hint.
        return np.array(starts[1:] if len(starts) == len(breaks) else range(2, len(breaks) + 1), np.int64)

    def _records(self, strict: bool = False) -> Iterator[tuple[list[str], int]]:
        """Yield (cells, last line) of each record, read by Python's csv module."""
        text = io.TextIOWrapper(io.BytesIO(self._content), encoding="utf-8-sig", errors="replace", newline="")
        old = csv.field_size_limit(_LONGEST_CELL)
        try:
            reader = csv.reader(text, delimiter=self.delimiter, strict=strict)
            for record in reader:
                yield record, reader.line_num
        finally:
            csv.field_size_limit(old)

    def _parse(self) -> pa.Table:
        width = len(next(record for record, _ in self._records() if record))
        try:
            return arrow_csv.read_csv(
                io.BytesIO(self._content),
                # The header is read as a row, so that its names may repeat and need no guess of types.
                read_options=arrow_csv.ReadOptions(autogenerate_column_names=True),
                parse_options=arrow_csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
                convert_options=arrow_csv.ConvertOptions(
                    column_types={f"f{i}": pa.large_string() for i in range(width)}, strings_can_be_null=False
                ),
            )
        except pa.ArrowInvalid as error:
            raise self._located(error, width) from error

    def _located(self, error: pa.ArrowInvalid, width: int) -> InputError:
        if "UTF8" in str(error):
            for number, line in enumerate(self._content.split(b"\n"), start=1):
                try:
                    line.decode("utf-8")
                except UnicodeDecodeError as bad:
                    return InputError(
                        f"'{self.path}' line {number} is not UTF-8 (byte {bad.object[bad.start]:#04x}).",
                        "Save it as UTF-8.",
                        value=number,
                    )
        ragged, before = [], 0
        for record, line in self._records():
            if record and len(record) != width:
                ragged.append((before + 1, len(record)))
            before = line
        if ragged:
            number, cells = ragged[0]
            also = f" So are lines {listed([n for n, _ in ragged[1:]], 5)}." if ragged[1:] else ""
            return InputError(
                f"'{self.path}' line {number} has {cells} cells and the header {width}.{also}",
                "Quote cells that hold the delimiter, and give every row all its cells.",
                value=number,
            )
        return InputError(f"'{self.path}' cannot be read as CSV: {error}.", "Mend the file.", value=str(self.path))

    def _check_quotes(self) -> None:
        before = 0
        try:
            for _, line in self._records(strict=True):
                before = line
        except csv.Error as error:
            raise InputError(
                f"'{self.path}' has a quote that is not closed in the row that begins on line {before + 1}.",
                'Close it, or double a quote that belongs to the text ("").',
                value=before + 1,
            ) from error


def repeated_column(name: str, what: str) -> MissingColumnError:
    """Return the error for a column that is named and occurs twice."""
    return MissingColumnError(f"{what} has the column '{name}' more than once.", "Rename one of them.", value=name)
