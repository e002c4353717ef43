"""The ledger of a balance: data as they are against the same data with weights, and the controls beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.audit.cells import audit_cells
from equipoise.compare.not_balanced import not_balanced
from equipoise.compare.result import Comparison
from equipoise.compare.run import compare
from equipoise.compare.wording import method_title
from equipoise.data.cell_groups import narrowed
from equipoise.data.cell_table import CellTable
from equipoise.data.groups import Vocabulary
from equipoise.errors import InputError, expect
from equipoise.mitigate.data.m4 import M4
from equipoise.mitigate.data.targets import Targets, targets_of
from equipoise.protocols import DataMitigation
from equipoise.schema import plain

LEFT_OUT = "A control is left out."
UNASKED = "Shares of attributes that were not balanced are held against equal shares, which nobody asked for."


def compare_cells(
    cells: CellTable,
    weights: ArrayLike | None,
    mitigation: DataMitigation,
    *,
    by: str | Sequence[str] | None = None,
    controls: Mapping[str, DataMitigation] | bool = True,
    margins: dict[str, float] | None = None,
    vocabulary: Vocabulary | None = None,
    inputs: Mapping[str, str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
    report: bool = True,
    seed: int = 0,
) -> Comparison:
    """Judge what weights did to data, on every attribute of the cells, balanced or not.

    Parameters
    ----------
    cells : CellTable
        With the columns of the mitigation's layout, and those of ``by``.
    weights : array_like (C,), optional
        Those that the mitigation gives when None.
    mitigation : DataMitigation
        As a fitted :class:`~equipoise.mitigate.data.m4.M4`: it names what is targeted.
    by : str or sequence of str, optional
        Other attributes and intersections; all attributes of the cells when None.
    controls : mapping of name to DataMitigation, or bool
        Controls beside it; True for all of the method's specification, fitted on the same cells.
    margins : dict of str to float, optional
        By metric, as ``{"ab": 0.01}``.
    report : bool
        Whether these are the rows that the mitigation was fitted on, so that its own report is of them.
    vocabulary, inputs, parameters, notes, seed
        As for :func:`equipoise.audit.cells.audit_cells`.

    Returns
    -------
    Comparison
        Saved and read like every other.

    Raises
    ------
    InputError, VocabularyError
        If the cells lack columns of the mitigation.
    """
    expect(mitigation, DataMitigation, "The mitigation", "Give a fitted mitigation of data, as M4.")
    own, number = _own(cells, mitigation)
    found = weights_on(own, number, mitigation) if weights is None else np.asarray(weights, np.float64)
    arms: dict[str, NDArray[np.float64]] = {}
    said = list(notes)
    if controls:
        fitted = controls if isinstance(controls, Mapping) else _controls(mitigation, own, said)
        arms = {name: weights_on(own, number, control) for name, control in fitted.items()}
    targets = targets_for(mitigation)
    shared: dict[str, Any] = {
        "by": by, "targets": targets, "exempt": not_balanced(mitigation, targets, own), "vocabulary": vocabulary,
        "inputs": inputs, "parameters": parameters, "seed": seed,
    }  # fmt: skip
    before = audit_cells(cells, **shared)
    others = [key for key in before.document.parameters["settings"]["by"] if key not in targets.keys]
    said += [UNASKED] if others else []
    after = audit_cells(cells, found, arms=arms, mitigation=described(mitigation, report=report), notes=said, **shared)
    return compare(before, after, margins=margins, seed=seed)


def weights_on(own: CellTable, number: NDArray[np.int64], mitigation: DataMitigation) -> NDArray[np.float64]:
    """Return (C,) weights of cells whose narrow cells, and the number of each, are given."""
    return np.asarray(mitigation.weights_of_cells(own), np.float64)[number]  # pyright: ignore[reportAttributeAccessIssue]


def targets_for(mitigation: Any) -> Targets:
    """Return what a fitted mitigation balances."""
    options = getattr(mitigation, "options", None)
    if options is None:
        raise InputError(f"'{mitigation.name}' does not say what it balances.", "Give a fitted M4.")
    return targets_of(
        mitigation.layout_, options.attributes, options.labels, options.proxies, shares=options.shares,
        pairings=options.pairings, mask=options.mask,
    )  # fmt: skip


def described(mitigation: Any, *, report: bool = True) -> dict[str, Any]:
    """Return what the document of an audit says of a mitigation of data, its own report included."""
    own = getattr(mitigation, "report_", None) if report else None
    return {
        "method": mitigation.name,
        "version": mitigation.version,
        "attributes": list(mitigation.attributes),
        "edits": ["data"],
        "parameters": plain(mitigation.options.to_dict()),
        "fit_rows": len(mitigation.fit_rows),
        "report": None if own is None else own.to_dict(),
    }


def _controls(mitigation: DataMitigation, cells: CellTable, said: list[str]) -> Mapping[str, DataMitigation]:
    """Return the controls of an M4; one that refuses these data is left out, and it is said why."""
    from equipoise.mitigate.data.controls import data_controls

    if not isinstance(mitigation, M4):
        return {}
    refused: dict[str, str] = {}
    found = data_controls(mitigation, cells, refused=refused)
    said += [f"{LEFT_OUT} {method_title(name)} refuses: {why}" for name, why in refused.items()]
    return found


def _own(cells: CellTable, mitigation: Any) -> tuple[CellTable, NDArray[np.int64]]:
    if cells.layout.id == mitigation.layout_.id:
        return cells, np.arange(len(cells))
    return narrowed(cells, mitigation.layout_)
