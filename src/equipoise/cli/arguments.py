"""Arguments that ``embed`` and ``audit`` share: a table and the roles of its columns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from equipoise.cli.common import existing, pairs

if TYPE_CHECKING:
    from equipoise.data.samples import Samples


@Parameter(name="*", group="Columns of the table")
@dataclass(frozen=True)
class Columns:
    """Roles are named, never guessed."""

    id: str | None = None
    """Column of row ids; else the image path, else the row number."""
    split: str | None = None
    """Column of the split (train, val, test)."""
    cluster: str | None = None
    """Column that tells which rows belong together, as photos of one person."""
    vocabulary: Path | None = None
    """groups.toml: declared values, prompts and templates of each attribute."""

    def read(self, table: Path, attributes: list[str], rows: list[str] | None = None, **roles: str | None) -> Samples:
        """Read the table with these roles and those of the verb."""
        from equipoise.data.samples import read_samples

        where = pairs(rows, "--rows") or None
        return read_samples(
            existing(table, "table"), attributes=attributes, id=self.id, split=self.split, cluster=self.cluster,
            vocabulary=self.vocabulary, where=where, **roles,
        )  # fmt: skip


Items = Annotated[list[str] | None, Parameter(negative="")]
"""A flag that may be repeated, or hold items with commas between them."""


def attributes_of(by: list[str]) -> list[str]:
    """Return the single attributes of a list that may name intersections, in order."""
    return list(dict.fromkeys(part for key in by for part in key.split(":")))
