"""Which labels no constraint was solved for: those of one group alone, and those that duals of other rows say nothing of."""

from __future__ import annotations

from typing import Any

import numpy as np

from equipoise.data.cell_groups import slabs
from equipoise.data.cell_table import CellTable
from equipoise.mitigate.data.feasibility import find_unbalanceable
from equipoise.mitigate.data.moments import PRESERVED, build_moments
from equipoise.mitigate.data.targets import Columns, Targets


def not_balanced(mitigation: Any, targets: Targets, cells: CellTable) -> tuple[tuple[str, str], ...]:
    """Return pairs of attribute and label (empty for all rows) that were left out of a balance, though they have rows.

    Parameters
    ----------
    mitigation : DataMitigation
        Fitted; where it has duals, a constraint that has none was not balanced.
    targets : Targets
        What was asked for.
    cells : CellTable
        Of the layout of ``targets``.
    """
    options = mitigation.options
    moments = build_moments(
        targets.columns, targets.shares, targets.labels, masks=targets.mask_of, n_masks=targets.n_masks,
        tolerance=getattr(options, "tolerance", 0.0), tolerance_first=getattr(options, "tolerance_first", None),
        label_shares=targets.label_shares,
    )  # fmt: skip
    bits, counts = Columns(cells.bits()), cells.counts.astype(np.float64)
    table = np.zeros(moments.shape)
    for rows in slabs(len(cells)):
        table += targets.design(bits.taken(rows)).sums(counts[rows])
    left_out = np.zeros(len(moments), bool)
    if getattr(options, "unbalanceable", "exempt") != "drop_rows":
        for case in find_unbalanceable(moments, targets.families, table)[0]:
            left_out[case.constraints] = True
    if (duals := getattr(mitigation, "duals_", None)) is not None:
        solved = set(duals.names)
        left_out |= np.array([name not in solved for name in moments.names], bool)
    found = []
    labels = (*targets.labels, "")
    for j in np.flatnonzero(left_out & (moments.column != PRESERVED)):
        k, r = int(moments.column[j]), int(moments.row[j])
        if table[len(moments.columns) + moments.masks[k], r] > 0:
            found.append((targets.attributes[k], labels[r]))
    return tuple(dict.fromkeys(found))
