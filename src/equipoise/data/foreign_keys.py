"""What engines that count cells elsewhere share: the names of key columns, the masks of bits, what they cannot count."""

from __future__ import annotations

from collections.abc import Sequence

from equipoise.data.layout import WORD, Layout, Variable
from equipoise.errors import InputError, listed

DIALECTS = ("duckdb",)
UNKNOWN = ("set_aside", "neutral")
TRUTH = ("True", "False")
"""Texts of true and false; engines write them in lower case."""


def check_countable(layout: Layout, unknown: str, dialect: str | None = None) -> None:
    """Refuse what another engine cannot count."""
    if unknown not in UNKNOWN:
        raise InputError(
            f"unknown is {unknown!r}.", f"It is one of {listed(UNKNOWN)} in another engine.", value=unknown
        )
    if layout.scores:
        raise InputError(f"'{layout.scores[0]}' is a score: cells cannot hold it.", "Use solver='rows', or round it.")
    if dialect is None:
        return
    if dialect not in DIALECTS:
        raise InputError(f"The dialect is {dialect!r}.", f"It is one of {listed(DIALECTS)}.", value=dialect)
    columns = [*(c for v in layout.variables for c in v.columns), *([layout.utility] if layout.utility else [])]
    seen: dict[str, str] = {}
    for name in dict.fromkeys(columns):
        if (other := seen.setdefault(name.casefold(), name)) != name:
            raise InputError(f"DuckDB does not tell '{other}' and '{name}' apart.", "Rename one, or use count_cells.")


def key_names(layout: Layout) -> list[str]:
    """Return the columns of the keys, one a 64-bit word."""
    return ["key"] if layout.words == 1 else [f"key_{word}" for word in range(layout.words)]


def masks_of(places: Sequence[int], word: int) -> list[int]:
    """Return the key of each bit in one word of it."""
    return [1 << place % WORD if place // WORD == word else 0 for place in places]


def unknown_of(variable: Variable) -> list[str]:
    """Return the texts that mean unknown and are no values."""
    return [value for value in variable.unknown if value not in variable.values]
