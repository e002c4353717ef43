"""What is to be balanced, read off a layout: attribute columns with their wanted shares and masks, and labels.

An attribute of K values gives one column for K = 2 (the first value) and K columns otherwise; a flag or score gives one.
Rows in which not exactly one of its values holds (nobody, both, another value) are masked, unless ``mask=False``. An
intersection ``gender:race`` takes products. Of a variable that was seen in text and image, ``pairings`` says which
counts: ``"text-image"`` is the attribute in the text with the label in the image, ``"any"`` is either of them (or).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.data.groups import SEPARATOR
from equipoise.data.layout import Layout
from equipoise.errors import InputError, UnknownNameError, VocabularyError, did_you_mean, listed
from equipoise.mitigate.data.design import Design
from equipoise.mitigate.data.shares import shares_of, split_shares

PAIRINGS = ("any", "text-text", "image-image", "text-image", "image-text")
MASKS = ("auto", "none")


@dataclass(frozen=True)
class Columns:
    """The bits of rows or cells, and the scores that bits cannot hold.

    Attributes
    ----------
    bits : ndarray (n, J), bool
        In the order of ``layout.names``.
    scores : dict of str to ndarray (n,), float64
    """

    bits: NDArray[np.bool_]
    scores: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def taken(self, rows: Any) -> Columns:
        """Return some rows: a slice, a mask or places."""
        return Columns(self.bits[rows], {name: score[rows] for name, score in self.scores.items()})


@dataclass(frozen=True)
class Targets:
    """Attribute columns and labels.

    Attributes
    ----------
    columns : tuple of str (m,)
        As ``"gender=woman"``; ``attributes`` and ``values`` hold the two parts.
    shares : tuple of float (m,)
    families : tuple of int (m,)
        Number of the attribute of each column.
    labels : tuple of str (c,)
        As ``"occupation=nurse"``.
    proxies : tuple of bool (c,)
    label_shares : dict of (column, label) to float
    """

    layout: Layout
    keys: tuple[str, ...]
    columns: tuple[str, ...]
    attributes: tuple[str, ...]
    values: tuple[str, ...]
    shares: tuple[float, ...]
    families: tuple[int, ...]
    labels: tuple[str, ...]
    proxies: tuple[bool, ...]
    label_shares: dict[tuple[str, str], float]
    pairings: str = "any"
    mask: str = "auto"
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def masked(self) -> bool:
        """Whether rows outside the groups of an attribute are left alone."""
        return self.mask == "auto"

    @property
    def mask_of(self) -> tuple[int, ...]:
        """Mask of each column; the number of masks stands for every row."""
        return self.families if self.masked else (0,) * len(self.columns)

    @property
    def n_masks(self) -> int:
        """Masks: one an attribute, or none."""
        return len(self.keys) if self.masked else 0

    def design(self, columns: Columns, *, patterns: bool | None = None) -> Design:
        """Return rows or cells as moments; ``patterns`` is that of :class:`~.design.Design`."""
        n = len(columns.bits)
        attribute, label = ("", "") if self.pairings == "any" else self.pairings.split("-")
        s = np.zeros((n, len(self.columns)))
        masks = np.ones((n, self.n_masks))
        for family, key in enumerate(self.keys):
            found, one = self._groups(columns, key, attribute)
            if self.masked:
                masks[:, family] = one
            for k in (k for k in range(len(self.columns)) if self.families[k] == family):
                s[:, k] = found[self.values[k]]
        y = self.label_columns(columns, label)
        return Design(s, y, masks, np.asarray(self.mask_of, np.int64), patterns=patterns)

    def label_columns(self, columns: Columns, modality: str = "") -> NDArray[Any]:
        """Return (n, c) labels: bool where none is a score."""
        found: list[NDArray[Any]] = []
        for label in self.labels:
            name, _, value = label.partition("=")
            found.append(_values(self.layout, columns, name, modality)[value])
        return np.column_stack(found) if found else np.zeros((len(columns.bits), 0), bool)

    def _groups(
        self, columns: Columns, key: str, modality: str
    ) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.bool_]]:
        """Return the column of each group, and where exactly one holds for every part."""
        parts = _parts(self.layout, key)
        wanted = self.groups[key]
        one = np.ones(len(columns.bits), bool)
        factors: list[dict[str, NDArray[Any]]] = []
        for place, part in enumerate(parts):
            values = _values(self.layout, columns, part, modality)
            if "" in values:  # a flag or a score: yes and no are its groups
                yes = values[""]
                factors.append({"": yes, "yes": yes, "no": 1.0 - yes})
                continue
            named = {group.split(SEPARATOR)[place] for group in wanted} if len(parts) > 1 else set(wanted)
            used = [value for name, value in values.items() if name in named]
            one &= np.sum(used, axis=0) == 1
            factors.append(values)
        found = {}
        for group in wanted:
            names = group.split(SEPARATOR) if len(parts) > 1 else [group]
            column = np.ones(len(columns.bits))
            for factor, name in zip(factors, names, strict=True):
                column = column * factor[name]
            found[group] = column
        return found, one


def _values(layout: Layout, columns: Columns, name: str, modality: str) -> dict[str, NDArray[Any]]:
    """Return the column of each value of a variable; of a flag or score under an empty name."""
    variable = layout.variable(name)
    if variable.kind == "score":
        return {"": columns.scores[name]}
    modalities = [variable.modality(column) for column in variable.columns]
    if modality and len(modalities) > 1:
        modalities = [modality]
    values = ("",) if variable.kind == "flag" else variable.bits
    found: dict[str, NDArray[Any]] = {}
    for seen in modalities:
        for value, place in zip(values, layout.places(name, seen), strict=True):
            bits = columns.bits[:, place]
            found[value] = found[value] | bits if value in found else bits
    return found


def _parts(layout: Layout, key: str) -> tuple[str, ...]:
    known = {variable.name for variable in layout.variables}
    return (key,) if key in known else tuple(key.split(SEPARATOR))


def targets_of(
    layout: Layout,
    attributes: Sequence[str],
    labels: Sequence[str],
    proxies: Sequence[str] = (),
    *,
    shares: Mapping[str, Any] | None = None,
    pairings: str = "any",
    mask: str = "auto",
) -> Targets:
    """Return what is balanced.

    Parameters
    ----------
    layout : Layout
    attributes, labels, proxies : sequence of str
        Names of variables; ``gender:race`` for an intersection, ``occupation:nurse`` for one label.
    shares : mapping, optional
        ``{"gender": {"woman": 0.5, "man": 0.5}}``; a number for a flag or the first of two values. Under ``"gender | occupation=nurse"`` the shares
        wanted inside that label. Equal shares over the groups of the vocabulary where None.
    pairings, mask : str

    Raises
    ------
    InputError, UnknownNameError
        For shares that do not sum to 1, attributes of one group, and names that are not in the layout.
    """
    for name, value, known in (("pairings", pairings, PAIRINGS), ("mask", mask, MASKS)):
        if value not in known:
            raise InputError(f"{name} is {value!r}.", f"It is one of {listed(known)}.", value=value)
    _check_pairing(layout, pairings, attributes)
    given = split_shares(shares, attributes)
    rows: list[tuple[str, str, str, float, int]] = []
    groups: dict[str, tuple[str, ...]] = {}
    for family, key in enumerate(attributes):
        every = _group_names(layout, key)
        wanted = shares_of(key, every, given.get(key, {}).get(""), _default_groups(layout, key))
        groups[key] = tuple(wanted) if len(wanted) > 1 else every
        kept = list(wanted) if len(wanted) != 2 or every == ("",) else list(wanted)[:1]
        rows += [(_called(key, group), key, group, wanted[group], family) for group in kept]
    names, roles = _label_names(layout, labels, proxies)
    inside: dict[tuple[str, str], float] = {}
    for key, by_label in given.items():
        for label, values in by_label.items():
            if not label:
                continue
            if label not in names:
                raise UnknownNameError(
                    f"shares name the label '{label}'.{did_you_mean(label, names)}", f"Labels: {listed(names)}."
                )
            wanted = shares_of(key, groups[key], values)
            inside |= {(column, label): wanted[group] for column, k, group, _, _ in rows if k == key}
    columns, keys, values, numbers, families = zip(*rows, strict=True)
    return Targets(layout, tuple(attributes), columns, keys, values, numbers, families, names, roles, inside, pairings,
                   mask, groups)  # fmt: skip


def _called(key: str, group: str) -> str:
    return f"{key}={group}" if group else key


def _default_groups(layout: Layout, key: str) -> tuple[str, ...]:
    """Return the groups that have equal shares where none are named; empty for all values."""
    parts = [layout.variable(part) for part in _parts(layout, key)]
    if not any(part.groups for part in parts):
        return ()
    if len(parts) == 1:
        return parts[0].groups
    return tuple(SEPARATOR.join(group) for group in product(*(part.balanced or ("yes", "no") for part in parts)))


def _check_pairing(layout: Layout, pairings: str, attributes: Sequence[str]) -> None:
    """Refuse a pairing that asks for a modality of a variable that was seen in the other alone."""
    if pairings == "any":
        return
    own = {part for key in attributes for part in _parts(layout, key)}
    for variable in layout.variables:
        wanted = pairings.split("-")[0 if variable.name in own else 1]
        column = variable.columns[0]
        if len(variable.columns) == 1 and column != variable.name and column != f"{variable.name}_{wanted}":
            raise InputError(
                f"pairings='{pairings}' reads '{variable.name}' in the {wanted}, and the rows have '{column}' alone.",
                f"Annotate '{variable.name}_{wanted}', or choose another pairing.",
                value=pairings,
            )


def _group_names(layout: Layout, key: str) -> tuple[str, ...]:
    parts = [layout.variable(part) for part in _parts(layout, key)]
    if len(parts) == 1:
        names = parts[0].bits if parts[0].size > 1 or parts[0].kind in ("values", "tags") else ("",)
        if len(names) == 1 and names != ("",):
            raise InputError(f"'{key}' has one group: '{names[0]}'.", "Balancing needs two or more.", value=key)
        return names
    return tuple(SEPARATOR.join(group) for group in product(*(part.bits or ("yes", "no") for part in parts)))


def _label_names(
    layout: Layout, labels: Sequence[str], proxies: Sequence[str]
) -> tuple[tuple[str, ...], tuple[bool, ...]]:
    found: dict[str, bool] = {}
    known = {variable.name for variable in layout.variables}
    for proxy, entries in ((False, labels), (True, proxies)):
        for entry in entries:
            name, _, value = (entry, "", "") if entry in known else entry.partition(SEPARATOR)
            variable = layout.variable(name)
            if value and value not in variable.bits:
                raise VocabularyError(
                    f"'{value}' is not a value of '{name}'.{did_you_mean(value, variable.bits)}",
                    f"Its values: {listed(variable.bits)}.",
                    value=value,
                )
            values = (value,) if value else variable.bits or ("",)
            for label in (variable.called(one) for one in values):
                if found.setdefault(label, proxy) != proxy:
                    raise InputError(f"'{label}' is a label and a proxy.", "Name it once.", value=label)
    return tuple(found), tuple(found.values())
