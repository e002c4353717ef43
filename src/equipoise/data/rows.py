"""Rows with the roles of their columns, sorted by id."""

# pyarrow makes its compute functions at import.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from equipoise.data.columns import Column, matches
from equipoise.data.groups import Vocabulary
from equipoise.errors import InputError, MissingColumnError, did_you_mean, listed

SPARE_ID = "id"
"""A column of this name is kept beside the roles: embeddings made elsewhere are joined by it."""


@dataclass(frozen=True)
class Samples:
    """Rows, sorted by row id, with the roles of their columns.

    Attributes
    ----------
    table : pyarrow.Table
        ``row_id``, then the role columns that were named, by their role (``image``, ``caption``, ``label``,
        ``prediction``, ``score``, ``split``, ``cluster``, ``weight``, ``source``, ``time``), then a text column per
        attribute under its own name. ``score`` and ``weight`` are float64, NaN for none; all else is text, verbatim.
    vocabulary : Vocabulary
        Declared attributes, and those taken from the table.
    roles : dict of str to str
        Role to the column it was read from; ``attributes`` are not in it.
    attributes : tuple of str
        The attributes that have a column.
    inputs : dict of str to str
        File name to SHA-256.
    root : Path or None
        Folder against which relative image paths are resolved.
    lines : ndarray (n,), int64
        Line of each row in its file (the header is line 1), or its number in a table that has no lines.
    position : ndarray (n,), int64
        Place of each row in the table as given, from 0: ``array[samples.position]`` sorts an array of its rows.
    rows_read : int
        Rows of the table as given, before any ``where``.
    id_from : str
        ``id`` (a named column), ``image`` (the path) or ``row number``: rows of the last kind can be paired only
        between tables of equal SHA-256.
    unit : str
        What ``lines`` counts: ``"line"`` or ``"row"``.
    notes : tuple of str
        What a person should know of how the table was read.
    conditions : dict
        What :meth:`where` was asked for, as ``{"split": "val"}``.
    model : dict
        What made ``prediction`` and ``score`` where :func:`equipoise.predict` did: the table then has a text column
        ``reason`` too, why a row has no answer (``""``: it has one). Empty for answers that were read from a table.
    """

    table: pa.Table
    vocabulary: Vocabulary
    roles: dict[str, str]
    inputs: dict[str, str]
    root: Path | None
    lines: NDArray[np.int64]
    position: NDArray[np.int64]
    rows_read: int
    attributes: tuple[str, ...] = ()
    id_from: str = "id"
    unit: str = "row"
    notes: tuple[str, ...] = ()
    spare_id: pa.Array | None = field(default=None, repr=False)
    conditions: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.table.num_rows

    @property
    def ids(self) -> list[str]:
        """Row ids, in order."""
        return self.table["row_id"].to_pylist()

    def codes(self, key: str) -> NDArray[np.int32]:
        """Return (n,) codes into ``vocabulary.groups(key)``, -1 for unknown; ``key`` may be ``"gender:race"``."""
        columns = {name: self.table[name] for name in self.attributes}
        return self.vocabulary.encode(columns, key, self.lines, self.unit)

    def column(self, name: str) -> list[str | None] | NDArray[np.float64]:
        """Return a role or attribute by name: float64 for ``score`` and ``weight``, else a list of text.

        An absent text is ``""`` for roles and None for attributes.
        """
        values = self.table[self._named(name)]
        return values.to_numpy() if pa.types.is_floating(values.type) else values.to_pylist()

    def rows(self, **where: str | Sequence[str]) -> Samples:
        """Return the rows that match: ``samples.rows(split="val")``."""
        return self.where(where)

    def where(self, conditions: Mapping[str, str | Sequence[str]]) -> Samples:
        """Return the rows whose column equals a value (or one of several), for every condition.

        A column is a role, an attribute, or the name from which a role was read.

        Raises
        ------
        InputError
            If no row matches.
        """
        return replace(self.take(self.matching(conditions)), conditions=self.conditions | dict(conditions))

    def matching(self, conditions: Mapping[str, str | Sequence[str]]) -> NDArray[np.int64]:
        """Return the indices of the rows that :meth:`where` keeps."""
        keep = np.ones(len(self), bool)
        for name, wanted in conditions.items():
            column = self.table[self._named(name)].combine_chunks().cast(pa.large_string())
            keep &= checked_matches(column, name, wanted)
        if not keep.any():
            raise InputError(f"No row has {said(conditions)}.", "Ask for less.", value=dict(conditions))
        return np.flatnonzero(keep)

    def take(self, indices: NDArray[np.integer[Any]]) -> Samples:
        """Return rows by ascending index; their order stays."""
        rows = np.sort(np.asarray(indices, np.int64))
        return replace(
            self,
            table=self.table.take(pa.array(rows)),
            lines=self.lines[rows],
            position=self.position[rows],
            spare_id=None if self.spare_id is None else self.spare_id.take(pa.array(rows)),
        )

    def unknown(self) -> dict[str, int]:
        """Return the number of rows whose value is unknown, by attribute."""
        return {name: int((self.codes(name) < 0).sum()) for name in self.attributes}

    def image_path(self, row: int) -> Path:
        """Return the path of a row's image, resolved against the folder of the table."""
        path = Path(self.table[self._named("image")][row].as_py())
        return path if self.root is None else self.root / path

    def by_spare_id(self) -> Samples:
        """Return the rows under the ids of the column ``id``, sorted by them.

        Raises
        ------
        InputError
            If there is no such column, or it repeats a value.
        """
        if self.spare_id is None:
            raise InputError("The rows have no column 'id'.", "Name the id column (--id on the command line).")
        spare = pa.chunked_array([self.spare_id])
        ids = Column(spare, SPARE_ID, self.lines, self.unit).ids()
        renamed = replace(
            self,
            table=self.table.set_column(0, "row_id", ids),
            roles={**self.roles, "id": SPARE_ID},
            id_from="id",
            spare_id=None,
        )
        return renamed.sorted()

    def sorted(self) -> Samples:
        """Return the rows in the code-point order of their ids."""
        order = pc.sort_indices(self.table["row_id"].combine_chunks())
        rows = order.to_numpy().astype(np.int64)
        return replace(
            self,
            table=self.table.take(order).combine_chunks(),
            lines=self.lines[rows],
            position=self.position[rows],
            spare_id=None if self.spare_id is None else self.spare_id.take(order),
        )

    def _named(self, name: str) -> str:
        if name in self.table.column_names:
            return name
        for role, column in self.roles.items():
            if column == name:
                return "row_id" if role == "id" else role
        known = [*self.table.column_names, *self.roles.values()]
        raise MissingColumnError(
            f"The rows have no column '{name}'.{did_you_mean(name, known)}",
            f"Known: {listed(dict.fromkeys(known), 20)}.",
            value=name,
        )


def checked_matches(text: pa.Array, name: str, wanted: str | Sequence[str]) -> NDArray[np.bool_]:
    """Return (n,) which cells equal a wanted text; InputError, with the values there are, when one never occurs."""
    found = matches(text, wanted)
    for value in [wanted] if isinstance(wanted, str) else wanted:
        if not matches(text, value).any():
            there = [item for item in pc.unique(text).slice(0, 1000).to_pylist() if item is not None]
            raise InputError(
                f"No row has {name}={value}.{did_you_mean(str(value), there)}",
                f"There are: {listed(there)}.",
                value=value,
            )
    return found


def said(conditions: Mapping[str, Any]) -> str:
    """Return conditions as a person writes them: ``split=val and gender=Female``."""
    return " and ".join(f"{name}={value}" for name, value in conditions.items())
