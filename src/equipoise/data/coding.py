"""Columns of text: the values of an attribute, and rows as codes into them."""

# pyarrow makes its compute functions at import.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from equipoise.errors import InputError, VocabularyError, did_you_mean, listed

MOST_LEVELS = 200
"""An attribute whose values are taken from the table has at most so many: more is hardly a grouping of people."""

FEW_NUMBERS = 10
"""A column of more different numbers than this, one of them with a fraction, is a measurement and not a grouping."""


def as_text(values: Any) -> pa.Array:
    """Return values (Arrow, numpy or a sequence of str or None) as one Arrow array of large_string."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if not isinstance(values, pa.Array):
        values = pa.array(list(values), pa.large_string(), from_pandas=True)
    return values.cast(pa.large_string())


def twin_key(value: str) -> str:
    """Return what two spellings of one value share: case, spaces and the composition of accents set aside."""
    return " ".join(unicodedata.normalize("NFC", value).casefold().split())


def levels(name: str, column: pa.Array, lines: ArrayLike | None = None, unit: str = "row") -> tuple[str, ...]:
    """Return the different values of a column in order of appearance; null and ``""`` are unknown.

    Raises
    ------
    InputError
        For more than 200 values, a measurement, no value at all, or spellings that differ only in case, spaces or accents.
    """
    values = [value for value in pc.unique(column).to_pylist() if value not in (None, "")]
    numbers = _numbers(values)
    if numbers is not None and len(values) > FEW_NUMBERS and any(number != math.floor(number) for number in numbers):
        raise InputError(
            f"'{name}' holds {len(values)} different numbers, as {listed(values, 3)}: a measurement, not a grouping.",
            "Bin it into named groups (as '20-29') in a column of its own, and name that column.",
            value=name,
        )
    if len(values) > MOST_LEVELS:
        raise InputError(
            f"'{name}' has {len(values)} different values, as {listed(values, 3)}; "
            f"at most {MOST_LEVELS} are taken as groups.",
            "Bin it into fewer groups, or declare its values in groups.toml.",
            value=name,
        )
    seen: dict[str, str] = {}
    for value in values:
        twin = seen.setdefault(twin_key(value), value)
        if twin != value:
            raise VocabularyError(
                f"'{name}' has '{twin}' ({_where(column, twin, lines, unit)}) and '{value}' "
                f"({_where(column, value, lines, unit)}), which differ only in case, spaces or how accents are composed.",
                "Mend the table, or declare in groups.toml which values are groups.",
                value=value,
            )
    if not values:
        raise InputError(f"'{name}' has no value in any row.", "Name another column, or fill it in.", value=name)
    return tuple(values)


def _numbers(values: Sequence[str]) -> list[float] | None:
    """Return the values as numbers if every one is a finite number, else None."""
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        return None
    return numbers if all(math.isfinite(number) for number in numbers) else None


def codes(
    name: str,
    column: pa.Array,
    values: Sequence[str],
    unknown: Sequence[str],
    lines: ArrayLike | None = None,
    unit: str = "row",
) -> NDArray[np.int32]:
    """Return (n,) indices into ``values``; -1 for null and for the values listed as unknown.

    Raises
    ------
    VocabularyError
        If a value is neither; the message names the lines and proposes a near value.
    """
    known = [*values, *unknown]
    index = pc.index_in(column, pa.array(known, pa.large_string()))
    bad = pc.and_(pc.is_null(index), pc.is_valid(column))
    if pc.any(bad).as_py():
        _refuse(name, column.filter(bad), column, values, known, lines, unit)
    found = pc.fill_null(index, -1).to_numpy(zero_copy_only=False).astype(np.int32)
    found[found >= len(values)] = -1
    return found


def _refuse(
    name: str,
    bad: pa.Array,
    column: pa.Array,
    values: Sequence[str],
    known: Sequence[str],
    lines: ArrayLike | None,
    unit: str,
) -> None:
    twins = {twin_key(value): value for value in known}
    said = []
    for value in pc.unique(bad).to_pylist()[:5]:
        twin = twins.get(twin_key(value))
        hint = f" Did you mean '{twin}'?" if twin is not None else did_you_mean(value, known)
        said.append(f"'{value}' ({_where(column, value, lines, unit)}).{hint}")
    more = len(pc.unique(bad)) - len(said)
    raise VocabularyError(
        f"'{name}' has values that are neither declared nor unknown: {' '.join(said)}"
        + (f" And {more} more." if more else ""),
        f"Declared: {listed(values)}. Mend the table, or add the value to groups.toml.",
        value=pc.unique(bad).to_pylist(),
    )


def _where(column: pa.Array, value: str, lines: ArrayLike | None, unit: str) -> str:
    """Return ``"lines 3, 8 and 4 more"`` for the rows that hold a value."""
    rows = np.flatnonzero(pc.equal(column, value).to_numpy(zero_copy_only=False).astype(bool))
    numbers = sorted((rows + 1 if lines is None else np.asarray(lines)[rows]).tolist())
    return f"{unit}{'s' if len(numbers) > 1 else ''} {listed(numbers, 5)}"
