"""Arguments that ``embed`` and ``audit`` share: a table and the roles of its columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from equipoise.cli.common import existing, pairs

if TYPE_CHECKING:
    from equipoise.data.groups import Vocabulary
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

    def read(
        self, table: Path, attributes: list[str], rows: list[str] | None = None, *,
        renamed: Mapping[str, str] | None = None, **roles: str | None,
    ) -> Samples:  # fmt: skip
        """Read the table with these roles and those of the verb; ``renamed`` tells what the table calls an attribute."""
        from equipoise.data.samples import read_samples

        where = pairs(rows, "--rows") or None
        words = _also_as(self.vocabulary, renamed) if self.vocabulary is not None and renamed else self.vocabulary
        found = read_samples(
            existing(table, "table"), attributes=attributes, id=self.id, split=self.split, cluster=self.cluster,
            vocabulary=words, where=where, **roles,
        )  # fmt: skip
        if self.vocabulary is None or words is self.vocabulary:
            return found
        from equipoise.data.checksums import sha256_of

        return replace(found, inputs={**found.inputs, self.vocabulary.name: sha256_of(self.vocabulary)})


def _also_as(path: Path, renamed: Mapping[str, str]) -> Vocabulary:
    """Return a vocabulary in which the columns that attributes are read from are declared as the attributes are."""
    from equipoise.data.groups import Vocabulary

    declared = Vocabulary.read(path).attributes
    more = {
        column: replace(declared[name], name=column)
        for name, column in renamed.items()
        if name in declared and column not in declared
    }
    return Vocabulary({**declared, **more})


Items = Annotated[list[str] | None, Parameter(negative="")]
"""A flag that may be repeated, or hold items with commas between them."""


def attributes_of(by: list[str]) -> list[str]:
    """Return the single attributes of a list that may name intersections, in order."""
    return list(dict.fromkeys(part for key in by for part in key.split(":")))
