"""The different values of one column of a stream, as many as a layout could use, and texts of CSV as numbers."""

# pyarrow makes its compute functions at import.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from equipoise.data.layout import MOST_BITS, MOST_UTILITIES
from equipoise.errors import InputError

BOOLEANS = {"true": 1.0, "false": 0.0}


class Distinct:
    """Takes the chunks of a column, keeps what :func:`~equipoise.data.layout_of.layout_of` has to know of them.

    Of text and whole numbers these are the different values, until there are too many for a layout; of scores the ends of
    their range and one value in between.

    Parameters
    ----------
    field : pyarrow.Field
    csv : bool
        Whether its values are cells of CSV, which are text and may mean numbers.
    utility : bool
        Whether it is the utility.
    """

    def __init__(self, field: pa.Field, *, csv: bool, utility: bool) -> None:
        self.field = field
        self.csv = csv
        self.utility = utility
        self.most = MOST_UTILITIES + 1 if utility and not csv else 2 * MOST_BITS + 1
        self.lists = pa.types.is_list(field.type) or pa.types.is_large_list(field.type)
        self._found: pa.Array = pa.array([], field.type.value_type if self.lists else field.type)

    def add(self, values: pa.Array) -> None:
        """Take the next rows."""
        flat = pc.list_flatten(values) if self.lists else values
        if pa.types.is_nested(flat.type) or pa.types.is_binary(flat.type) or len(self._found) > self.most:
            return  # refused by its type, or known to be too many
        fresh = pc.unique(flat) if not pa.types.is_floating(flat.type) else self._ends(flat)
        if not pc.all(pc.is_in(fresh, self._found), min_count=0).as_py():
            found = pc.unique(pa.concat_arrays([self._found, fresh]))
            self._found = self._ends(found) if pa.types.is_floating(found.type) else found

    def values(self) -> pa.Array:
        """Return the different values, of CSV as the numbers that all of them are; lists as one row of all."""
        found = self._found
        if self.lists:
            offsets = pa.array([0, len(found)], pa.int64())
            return pa.LargeListArray.from_arrays(offsets, found)
        if not self.csv:
            return found
        texts = [value for value in found.to_pylist() if value]
        if self.utility or all(value in ("0", "1") for value in texts) or _fractions(texts):
            return as_numbers(found, self.field.name) if texts else found
        return as_numbers(found, self.field.name) if all(value.lower() in BOOLEANS for value in texts) else found

    def _ends(self, values: pa.Array) -> pa.Array:
        """Return few numbers that say as much: those of a utility; of scores the least, the largest, one between."""
        different = pc.unique(values)
        if self.utility:
            return different
        numbers = pc.fill_null(different.cast(pa.float64()), np.nan).to_numpy(zero_copy_only=False)
        numbers = numbers[~np.isnan(numbers)]
        inner = numbers[(numbers != 0) & (numbers != 1)]
        kept = [*numbers[(numbers == 0) | (numbers == 1)], *inner[:1]]
        kept += [numbers.min(), numbers.max()] if numbers.size else []
        return pa.array(sorted(set(kept)), different.type)


def _fractions(texts: list[str]) -> bool:
    """Return whether all texts are numbers and one of them is not whole: scores, as nobody writes groups."""
    try:
        return any(not float(text).is_integer() or "." in text for text in texts) and all(
            np.isfinite(float(text)) for text in texts
        )
    except ValueError:
        return False


def as_numbers(values: pa.Array, name: str) -> pa.Array:
    """Return float64 of texts; empty is null, true and false are 1 and 0.

    Raises
    ------
    InputError
        Naming the text that is no number.
    """
    codes = values.dictionary_encode()
    numbers: list[float | None] = []
    for text in codes.dictionary.to_pylist():
        word = text.strip().lower()
        try:
            numbers.append(BOOLEANS[word] if word in BOOLEANS else float(word) if word else None)
        except ValueError as error:
            raise InputError(
                f"'{name}' holds '{text[:80]}', which is no number.", "Make it a column of numbers.", value=name
            ) from error
    return pa.array(numbers, pa.float64()).take(codes.indices)
