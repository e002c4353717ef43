"""The controls of a balance: what else could have been done with the same rows, on the same cells, in the same report.

1. ``noop-data``: nothing; 2. ``random-subsample``: as many rows, not chosen; 3. ``first-order``: the shares of groups
alone; 4. ``reweigh``: Kamiran and Calders; 5. ``rake``: iterative proportional fitting.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from equipoise.data.cell_table import CellTable
from equipoise.errors import InputError, MethodRefusal
from equipoise.mitigate.data.first_order import FirstOrder
from equipoise.mitigate.data.m4 import M4
from equipoise.mitigate.data.noop_data import NoOpData
from equipoise.mitigate.data.on_cells import CellMitigation
from equipoise.mitigate.data.raking import Rake
from equipoise.mitigate.data.reweigh import EQUAL, Reweigh
from equipoise.mitigate.data.subsample import RandomSubsample


def data_controls(
    m4: M4, cells: CellTable | None = None, *, refused: dict[str, str] | None = None
) -> dict[str, CellMitigation]:
    """Return the controls of a fitted M4 by name, fitted on its cells, each by itself.

    Reweighing and raking are given the same shares, raking leaves out what no weights can balance, as M4 does. The random
    subsample keeps as large a share of the rows as M4's mean weight.

    Parameters
    ----------
    m4 : M4
    cells : CellTable, optional
        The cells that it was fitted on; those it holds when None.
    refused : dict, optional
        Takes why a control refuses these rows, by its name, and that control is left out; when None it is raised.

    Raises
    ------
    InputError
        If there are no cells (scores, the online solver, a mitigation that was loaded).
    MethodRefusal
        If a control refuses, and ``refused`` is None.
    """
    cells = m4.cells_ if cells is None else cells
    if cells is None:
        raise InputError("The mitigation holds no cells.", "Pass those that it was fitted on.")
    o = m4.options
    m4.layout_.check_same(cells.layout, "these duals", "the cells")
    overall = None if o.shares is None else {k: value for k, value in o.shares.items() if "|" not in str(k)}
    weights = m4.weights_of_cells(cells)
    retention = float(weights @ cells.counts) / cells.total
    common: dict[str, Any] = {
        "proxies": o.proxies, "mask": o.mask, "pairings": o.pairings, "unknown": o.unknown,
    }  # fmt: skip
    first = o.tolerance / 10 if o.tolerance_first is None else o.tolerance_first
    makers: dict[str, Callable[[], CellMitigation]] = {
        NoOpData.name: lambda: NoOpData(o.attributes, o.labels, shares=o.shares, **common),
        RandomSubsample.name: lambda: RandomSubsample(
            o.attributes, o.labels, keep=min(1.0, retention), shares=o.shares, **common
        ),
        FirstOrder.name: lambda: FirstOrder(
            o.attributes, o.labels, shares=o.shares, tolerance=first, tolerance_kind=o.tolerance_kind, keep=o.keep,
            cap=o.cap, price=o.price, on_infeasible=o.on_infeasible, min_retention=o.min_retention, **common,
        ),
        Reweigh.name: lambda: Reweigh(o.attributes, o.labels, shares=overall or EQUAL, **common),
        Rake.name: lambda: Rake(o.attributes, o.labels, shares=o.shares, unbalanceable="exempt", **common),
    }  # fmt: skip
    made: dict[str, CellMitigation] = {}
    for name, make in makers.items():
        try:
            control = make()
            control.fit(cells)
        except MethodRefusal as error:
            if refused is None:
                raise
            refused[name] = error.what
            continue
        control.fit_rows, control.inputs = m4.fit_rows, dict(m4.inputs)
        made[name] = control
    return made
