"""Marks of a split: which rows nothing is fitted on, and which are held out from training."""

from __future__ import annotations

from typing import Any

TEST = frozenset({"test"})
"""Marks of rows on which nothing is fitted, weights included."""
HELD_OUT = TEST | {"val", "valid", "validation", "dev", "eval"}
"""Marks of rows on which nothing is trained; what is fitted on them is refused where they are audited."""


def is_test(mark: Any) -> bool:
    """Return whether nothing may be fitted on rows with this mark; capitals and blanks around it do not matter."""
    return str(mark).strip().casefold() in TEST


def is_held_out(mark: Any) -> bool:
    """Return whether rows with this mark are held out from training; capitals and blanks around it do not matter."""
    return str(mark).strip().casefold() in HELD_OUT
