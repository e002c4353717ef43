"""Keys of cells as expressions of Polars, which is no dependency."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from equipoise.data.foreign_keys import TRUTH, check_countable, key_names, masks_of, unknown_of
from equipoise.data.layout import WORD, Layout, Variable
from equipoise.errors import InputError

if TYPE_CHECKING:
    import polars as pl


def polars_expression(
    layout: Layout, *, unknown: str = "set_aside", schema: Mapping[str, Any] | None = None
) -> list[pl.Expr]:
    """Return Polars expressions of the key, one a 64-bit word: ``key``, or ``key_0``, ``key_1``, ...

    Rows that are set aside have null keys: drop them, group by all, and count. A flag other than 0 and 1, or a utility that
    is negative or not finite, raises when the frame is collected.

    Parameters
    ----------
    layout : Layout
    unknown : {"set_aside", "neutral"}
    schema : mapping of column to Polars type, optional
        ``frame.collect_schema()``. Flags that are known to be of true and false need no check, which is much faster.

    Raises
    ------
    InputError
        If Polars is not installed.
    """
    check_countable(layout, unknown)
    polars = _polars()
    booleans = {name for name, kind in (schema or {}).items() if kind == polars.Boolean}
    parts: list[list[Any]] = [[] for _ in range(layout.words)]
    for variable in layout.variables:
        for column in variable.columns:
            places = layout.places(variable.name, variable.modality(column))
            for word in range(layout.words):
                masks = masks_of(places, word)
                if any(masks):
                    parts[word].append(_polars_bits(polars, variable, column, masks, column in booleans))
    if layout.utility_bins:
        number = _polars_utility(polars, layout)
        for place, bit in enumerate(layout.names[-4:]):
            mask = polars.lit(1 << bit.bit % WORD, dtype=polars.UInt64)
            parts[bit.bit // WORD].append(polars.when((number & (1 << place)) > 0).then(mask).otherwise(_zero(polars)))
    wrong = polars.any_horizontal([_polars_aside(polars, variable, booleans) for variable in layout.variables])
    found = []
    for name, bits in zip(key_names(layout), parts, strict=True):
        key = bits[0] if bits else _zero(polars)
        for more in bits[1:]:
            key = key | more
        found.append((key if unknown == "neutral" else polars.when(~wrong).then(key)).alias(name))
    return found


def _polars() -> Any:
    try:
        return import_module("polars")
    except ImportError as error:
        raise InputError("Polars is not installed.", "Install it: pip install polars; or use count_cells.") from error


def _zero(polars: Any) -> Any:
    return polars.lit(0, dtype=polars.UInt64)


def _polars_text(polars: Any, variable: Variable, column: str) -> Any:
    values = polars.col(column)
    if not set(TRUTH) & {*variable.values, *variable.unknown}:
        return values.cast(polars.String)

    def text(series: Any) -> Any:
        found = series.cast(polars.String)
        return found.str.replace("^t", "T").str.replace("^f", "F") if series.dtype == polars.Boolean else found

    return values.map_batches(text, return_dtype=polars.String)


def _polars_aside(polars: Any, variable: Variable, booleans: Collection[str]) -> Any:
    missing, outside = [], []
    for column in variable.columns:
        values = polars.col(column)
        if variable.kind == "flag" and column in booleans:
            missing.append(values.is_null())
        elif variable.kind == "flag":
            number = values.cast(polars.Float64)
            missing.append(number.is_null() | number.is_nan().fill_null(True))
        elif variable.kind == "tags":
            missing.append(values.is_null())
        else:
            text, unknown = _polars_text(polars, variable, column), unknown_of(variable)
            known = [*variable.values, *unknown]
            missing.append(text.is_null() | text.is_in(unknown).fill_null(False))
            outside.append(text.is_not_null() & ~text.is_in(known).fill_null(True))
    found = polars.all_horizontal(missing)
    return found | polars.any_horizontal(outside) if outside else found


def _polars_bits(polars: Any, variable: Variable, column: str, masks: Sequence[int], boolean: bool) -> Any:
    if variable.kind == "flag" and boolean:
        mask = polars.lit(masks[0], dtype=polars.UInt64)
        return polars.when(polars.col(column).fill_null(False)).then(mask).otherwise(_zero(polars))
    if variable.kind == "flag":

        def flags(series: Any) -> Any:
            numbers = series.cast(polars.Float64).fill_nan(None)
            if not numbers.drop_nulls().is_in([0.0, 1.0]).all():
                raise InputError(f"'{column}' holds a number that is neither 0 nor 1.", "Round it.", value=column)
            return (numbers == 1).fill_null(False).cast(polars.UInt64) * masks[0]

        return polars.col(column).map_batches(flags, return_dtype=polars.UInt64)
    pairs = [(value, mask) for value, mask in zip(variable.bits, masks, strict=True) if mask]
    if variable.kind == "tags":
        tags = polars.col(column).cast(polars.List(polars.String))
        key = _zero(polars)
        for value, mask in pairs:
            has = tags.list.contains(value).fill_null(False)
            key = key | polars.when(has).then(polars.lit(mask, dtype=polars.UInt64)).otherwise(_zero(polars))
        return key
    old, new = zip(*pairs, strict=True)
    text = _polars_text(polars, variable, column)
    return text.replace_strict(list(old), polars.Series(new, dtype=polars.UInt64), default=_zero(polars))


def _polars_utility(polars: Any, layout: Layout) -> Any:
    bins = np.asarray(layout.utility_bins)
    middles = (bins[1:] + bins[:-1]) / 2

    def numbers(series: Any) -> Any:
        found = series.cast(polars.Float64)
        if found.null_count() or not (found.is_finite() & (found >= 0)).all():
            raise InputError(f"The utility '{layout.utility}' is missing, negative or not finite.", "Mend it.")
        return polars.Series(np.searchsorted(middles, found.to_numpy()).astype(np.int64))

    return polars.col(layout.utility).map_batches(numbers, return_dtype=polars.Int64)
