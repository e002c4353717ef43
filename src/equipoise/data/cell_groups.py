"""What cells say of their rows: which group of an attribute, which labels; and cells of fewer columns.

A row takes part in an attribute where exactly one of its groups holds; of an intersection, where it takes part in every
part. Of a variable that was seen in text and image either counts, unless a modality is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from equipoise.data.cell_table import CellTable, group_keys
from equipoise.data.groups import SEPARATOR
from equipoise.data.layout import Layout, Variable
from equipoise.errors import InputError, UnknownNameError, did_you_mean, listed

FLAG_GROUPS = ("yes", "no")
"""Groups of an attribute of true and false."""

UNKNOWN = "(unknown)"
"""A value that stands for an absent one, where rows are not set aside for it: it is no group."""


@dataclass(frozen=True)
class Grouped:
    """The groups of one key.

    Attributes
    ----------
    names : tuple of str (G,)
    member : ndarray (C, G), float64
        1 where a cell's rows are of a group.
    inside : ndarray (C,), bool
        Where the key has a group; without a mask everywhere.
    """

    names: tuple[str, ...]
    member: NDArray[np.float64]
    inside: NDArray[np.bool_]


def parts_of(layout: Layout, key: str) -> tuple[str, ...]:
    """Return the variables of a key: ``"gender:race"`` to ``("gender", "race")``.

    Raises
    ------
    UnknownNameError
        If one is not in the layout.
    """
    known = [variable.name for variable in layout.variables]
    parts = (key,) if key in known else tuple(key.split(SEPARATOR))
    for part in parts:
        if part not in known:
            raise UnknownNameError(
                f"The cells have no column '{part}'.{did_you_mean(part, known)}",
                f"They have: {listed(known)}. An intersection is written gender:race.",
                value=part,
            )
    return parts


def group_names(layout: Layout, key: str) -> tuple[str, ...]:
    """Return the groups of a key in their order; of an intersection the product, as ``"Female:White"``."""
    parts = [_own_groups(layout.variable(part)) for part in parts_of(layout, key)]
    return parts[0] if len(parts) == 1 else tuple(SEPARATOR.join(group) for group in product(*parts))


def label_names(layout: Layout, roles: Sequence[str] = ("label",)) -> tuple[str, ...]:
    """Return the names of the labels of a layout, as ``"occupation=nurse"``."""
    return tuple(
        variable.called(value)
        for variable in layout.variables
        if variable.role in roles and variable.kind != "score"
        for value in (variable.bits or ("",))
    )


def grouped(
    bits: NDArray[np.bool_], layout: Layout, key: str, names: Sequence[str], modality: str = "", *, masked: bool = True
) -> Grouped:
    """Return who is of which group.

    Parameters
    ----------
    bits : ndarray (C, J), bool
        As :meth:`~equipoise.data.cell_table.CellTable.bits` gives them.
    layout : Layout
    key : str
    names : sequence of str (G,)
        Groups that take part; rows of others are outside.
    modality : {"", "text", "image"}
    masked : bool
        Whether rows without exactly one group are outside.
    """
    parts = parts_of(layout, key)
    inside = np.ones(len(bits), bool)
    factors: list[dict[str, NDArray[np.bool_]]] = []
    for place, part in enumerate(parts):
        variable = layout.variable(part)
        named = {name.split(SEPARATOR)[place] for name in names} if len(parts) > 1 else set(names)
        values = {name: held for name, held in value_bits(bits, layout, variable, modality).items() if name in named}
        if masked:
            inside &= np.sum([*values.values()], axis=0) == 1
        factors.append(values)
    member = np.zeros((len(bits), len(names)))
    for column, name in enumerate(names):
        wanted = name.split(SEPARATOR) if len(parts) > 1 else [name]
        held = inside.copy()
        for factor, value in zip(factors, wanted, strict=True):
            held &= factor[value]
        member[:, column] = held
    return Grouped(tuple(names), member, inside)


def value_bits(
    bits: NDArray[np.bool_], layout: Layout, variable: Variable, modality: str = ""
) -> dict[str, NDArray[np.bool_]]:
    """Return (C,) where each value of a variable holds; of a flag under ``"yes"`` and ``"no"``.

    Raises
    ------
    InputError
        For a score, which cells cannot hold.
    """
    if variable.kind == "score":
        raise InputError(f"'{variable.name}' is a score: cells cannot hold it.", "Round it to groups.")
    modalities = [variable.modality(column) for column in variable.columns]
    if modality and len(modalities) > 1:
        modalities = [modality]
    found: dict[str, NDArray[np.bool_]] = {}
    names = FLAG_GROUPS[:1] if variable.kind == "flag" else variable.bits
    for seen in modalities:
        for name, place in zip(names, layout.places(variable.name, seen), strict=True):
            found[name] = found[name] | bits[:, place] if name in found else bits[:, place]
    if variable.kind == "flag":
        found[FLAG_GROUPS[1]] = ~found[FLAG_GROUPS[0]]
    return found


def label_bits(bits: NDArray[np.bool_], layout: Layout, label: str, modality: str = "") -> NDArray[np.bool_]:
    """Return (C,) where a label holds, by its name: ``"occupation=nurse"``, or that of a flag."""
    name, _, value = label.partition("=")
    values = value_bits(bits, layout, layout.variable(name), modality)
    if not value:
        return values[FLAG_GROUPS[0]]
    if value not in values:
        raise UnknownNameError(
            f"'{value}' is no value of '{name}'.{did_you_mean(value, values)}", f"Its values: {listed(values)}."
        )
    return values[value]


def _own_groups(variable: Variable) -> tuple[str, ...]:
    if variable.kind == "flag":
        return FLAG_GROUPS
    named = tuple(getattr(variable, "groups", ())) or variable.bits
    return tuple(value for value in named if value != UNKNOWN)


def narrowed(cells: CellTable, layout: Layout) -> tuple[CellTable, NDArray[np.int64]]:
    """Return cells of a layout with fewer columns, and the number of the narrow cell of each wide one.

    Raises
    ------
    InputError
        If the wide layout lacks a bit of the narrow one.
    """
    place = {bit.name: bit.bit for bit in cells.layout.names}
    if missing := [bit.name for bit in layout.names if bit.name not in place]:
        raise InputError(f"The cells have no {listed(missing, 3)}.", "Count the rows with this layout.")
    keys = np.zeros((len(cells), layout.words), np.uint64)
    wide = cells.keys.reshape(len(cells), -1)
    for bit in layout.names:
        word, shift = divmod(place[bit.name], 64)
        held = (wide[:, word] >> np.uint64(shift)) & np.uint64(1)
        keys[:, bit.bit // 64] |= held << np.uint64(bit.bit % 64)
    keys = keys.ravel() if layout.words == 1 else keys
    found, number, _ = group_keys(keys)
    counts = np.zeros(len(found), np.int64)
    np.add.at(counts, number, cells.counts)
    return CellTable(found, counts, layout, dict(cells.set_aside)), number


def slabs(length: int, size: int = 1 << 16) -> Iterator[slice]:
    """Yield slices over a length: dense columns of many cells are formed a slab at a time."""
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))
