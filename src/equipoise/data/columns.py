"""One column at a time: text kept verbatim, numbers as their shortest text, scores and weights as float64."""

# pyarrow makes its compute functions at import.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from equipoise.errors import InputError, listed

EXACT = 2**53
"""Beyond this a float64 no longer tells neighbouring whole numbers apart."""


class Column:
    """A column of a table with what a message needs: its name, and the line of each cell.

    Parameters
    ----------
    values : pyarrow.ChunkedArray
    name : str
    lines : ndarray (n,), int64
    unit : str
        What ``lines`` counts.
    """

    def __init__(self, values: pa.ChunkedArray, name: str, lines: NDArray[np.int64], unit: str) -> None:
        self.name = name
        self.lines = lines
        self.unit = unit
        self.values = self._flat(values)

    def _flat(self, values: pa.ChunkedArray) -> pa.Array:
        kind = values.type
        if pa.types.is_dictionary(kind):
            return self._flat(values.cast(kind.value_type))
        if pa.types.is_struct(kind) and any(field.name == "path" for field in kind):
            return self._flat(
                pa.chunked_array([pc.struct_field(chunk, "path") for chunk in values.chunks], pa.string())
            )
        if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            raise InputError(
                f"The column '{self.name}' holds {kind}, not text or numbers.",
                "Make it a column of text.",
                value=self.name,
            )
        flat = values.combine_chunks() if values.num_chunks else pa.array([], kind)
        return flat if isinstance(flat, pa.Array) else pa.concat_arrays(flat.chunks)

    def text(self) -> pa.Array:
        """Return (n,) large_string; null stays null, NaN is null, ``1.0`` is ``"1"``, True is ``"True"``."""
        values, kind = self.values, self.values.type
        if pa.types.is_boolean(kind):
            return pc.if_else(values, "True", "False").cast(pa.large_string())
        if pa.types.is_floating(kind):
            return pa.array([_shortest(value) for value in values.to_pylist()], pa.large_string())
        return values.cast(pa.large_string())

    def ids(self) -> pa.Array:
        """Return (n,) large_string without null, ``""`` or whole numbers that a float cannot tell apart.

        Raises
        ------
        InputError
            Naming the lines.
        """
        if pa.types.is_floating(self.values.type):
            numbers = np.abs(self.values.to_numpy(zero_copy_only=False))
            if np.any(numbers >= EXACT):
                self._refuse(
                    numbers >= EXACT,
                    "holds ids that were read as floats beyond 2^53, where neighbours are the same number",
                    "Read that column as text.",
                )
        text = self.text()
        missing = pc.or_kleene(pc.is_null(text), pc.equal(text, "")).to_numpy(zero_copy_only=False).astype(bool)
        if missing.any():
            self._refuse(missing, "has no value where an id is needed", "Give every row an id, or name another column.")
        self._check_unique(text)
        return text

    def numbers(self, *, least: float = -math.inf) -> NDArray[np.float64]:
        """Return (n,) float64; a missing value is NaN.

        Raises
        ------
        InputError
            For text that is no number, an infinity, or a number under ``least``; the message names the lines.
        """
        values = self.values
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            parsed = np.array([_parsed(value) for value in values.to_pylist()], np.float64)
            bad = np.isinf(parsed)
        else:
            try:
                parsed = pc.fill_null(values.cast(pa.float64()), math.nan).to_numpy(zero_copy_only=False)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise InputError(f"'{self.name}' holds {values.type}, not numbers.", "Name another column.") from error
            bad = np.isinf(parsed)
        if bad.any():
            self._refuse(bad, "holds values that are not finite numbers", "Write plain numbers, as 0.25.")
        if (under := parsed < least).any():
            self._refuse(under, f"holds numbers under {least:g}", "Mend them.")
        return parsed

    def where(self, rows: NDArray[np.bool_]) -> str:
        """Return ``"lines 3, 8"`` for the rows marked."""
        numbers = sorted(self.lines[rows].tolist())
        return f"{self.unit}{'s' if len(numbers) > 1 else ''} {listed(numbers, 5)}"

    def _refuse(self, rows: NDArray[np.bool_], what: str, remedy: str) -> None:
        shown = listed([repr(value) for value in self.values.filter(pa.array(rows)).slice(0, 3).to_pylist()], 3)
        raise InputError(f"'{self.name}' {what} ({self.where(rows)}: {shown}).", remedy, value=self.name)

    def _check_unique(self, text: pa.Array) -> None:
        counts = pc.value_counts(text)
        repeated = counts.filter(pc.greater(counts.field("counts"), 1))
        if not len(repeated):
            return
        said = [
            f"'{value}' ({self.where(pc.equal(text, value).to_numpy(zero_copy_only=False).astype(bool))})"
            for value in repeated.field("values").slice(0, 5).to_pylist()
        ]
        more = len(repeated) - len(said)
        raise InputError(
            f"The id of a row occurs more than once in '{self.name}': {', '.join(said)}"
            + (f" and {more} more ids." if more else "."),
            "Remove the repeated rows, or name a column that tells them apart as the id.",
            value=repeated.field("values").to_pylist(),
        )


def _shortest(value: float | None) -> str | None:
    if value is None or math.isnan(value):
        return None
    return str(int(value)) if math.isfinite(value) and value == math.floor(value) else repr(value)


def _parsed(value: str | None) -> float:
    """Return a number, NaN for a missing one, infinity for what is none."""
    if value is None or value.strip() == "" or value.strip().casefold() == "nan":
        return math.nan
    try:
        return float(value) if "_" not in value else math.inf
    except ValueError:
        return math.inf


def matches(text: pa.Array, wanted: str | Sequence[str]) -> NDArray[np.bool_]:
    """Return (n,) whether a cell equals one of the wanted texts; null equals none."""
    options = [wanted] if isinstance(wanted, str) else [str(value) for value in wanted]
    return pc.is_in(text, pa.array(options, pa.large_string())).to_numpy(zero_copy_only=False).astype(bool)
