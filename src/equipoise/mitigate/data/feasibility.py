"""What cannot be balanced: labels of one group alone, the largest mean weight that can be kept, and the words for both.

A label whose rows (inside the mask) are all of one group has a share that no weights can change: the one way to reach
another share is to give all of its rows weight 0. Such constraints are found before solving. For a given mean weight the
linear programme

    eta_max = max E[q]      over  0 <= q <= cap,  |E[q D_j]| <= E[q A_j]

says whether there is a solution; it scales with the cap.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.errors import InfeasibleBalance, InputError, listed
from equipoise.mitigate.data.design import Design
from equipoise.mitigate.data.dual import Solution
from equipoise.mitigate.data.moments import PRESERVED, Moments
from equipoise.mitigate.data.newton import Constrained

LP_CELLS = 10_000
"""Cells up to which the linear programme is solved."""


@dataclass(frozen=True)
class Unbalanceable:
    """A label (or all rows) in which the share of a group cannot change.

    Attributes
    ----------
    label : str
        Empty for all rows.
    column : str
        As ``"gender=woman"``.
    rows : int
        Rows of the label inside the mask.
    share : float
        0 or 1.
    constraints : ndarray of int64
        Those on this label and attribute.
    """

    label: str
    column: str
    rows: int
    share: float
    constraints: NDArray[np.int64]

    def said(self) -> str:
        """Return the fact in one sentence."""
        who = self.column if self.share == 1 else f"without {self.column}"
        where = f"every row of '{self.label}'" if self.label else "every row"
        return f"balancing would delete {where}: all {self.rows:,} rows are {who}."


def find_unbalanceable(
    moments: Moments, families: Sequence[int], table: NDArray[np.float64]
) -> tuple[list[Unbalanceable], list[str], NDArray[np.bool_]]:
    """Return what cannot be balanced, labels without rows, and which constraints bind no row at all.

    Parameters
    ----------
    moments : Moments
    families : sequence of int (m,)
        Attribute of each column.
    table : ndarray (w, R)
        Moments of the rows as they are, summed.
    """
    m, c = len(moments.columns), len(moments.labels)
    found: list[Unbalanceable] = []
    empty = [moments.labels[r] for r in range(c) if table[-1, r] == 0]
    void = np.zeros(len(moments), bool)
    family = np.append(np.asarray(families, np.int64), -1)
    taken: set[tuple[int, int]] = set()
    for j, (k, r) in enumerate(zip(moments.column.tolist(), moments.row.tolist(), strict=True)):
        if k == PRESERVED:
            void[j] = table[-1, r] == 0
            continue
        rows = table[m + moments.masks[k], r]
        void[j] = rows == 0
        share = table[k, r] / rows if rows else np.nan
        own = moments.tolerance_row[j] == r and moments.tolerance_mask[j] == moments.masks[k]
        fixed = share in (0.0, 1.0) and (own or moments.tolerance[j] == 0)
        if fixed and abs(share - moments.share[j]) > moments.tolerance[j] and (family[k], r) not in taken:
            taken.add((int(family[k]), r))
            same = (family[moments.column] == family[k]) & (moments.row == r) & (moments.column != PRESERVED)
            label = "" if r == c else moments.labels[r]
            found.append(Unbalanceable(label, moments.columns[k], int(rows + 0.5), float(share), np.flatnonzero(same)))
    return found, empty, void


def label_limits(moments: Moments, table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (c,) the largest share of each label's rows that can have weight 1 while groups have their shares in it.

    A group whose share p is to fall to at most h = wanted + tolerance leaves (1 - p) / (1 - h) of the rows inside the mask;
    one that is to rise to at least l leaves p / l. Tolerances that are no distances of shares set no limit here.
    """
    m, c = len(moments.columns), len(moments.labels)
    limits = np.ones(c)
    own = (moments.column != PRESERVED) & (moments.row < c) & (moments.tolerance_row == moments.row)
    for j in np.flatnonzero(own):
        k, r = int(moments.column[j]), int(moments.row[j])
        inside, rows = table[m + moments.masks[k], r], table[-1, r]
        if inside <= 0:
            continue
        share, wanted, near = table[k, r] / inside, moments.share[j], moments.tolerance[j]
        low, high = wanted - near, wanted + near
        left = (1 - share) / (1 - high) if share > high else share / low if share < low else 1.0
        limits[r] = min(limits[r], 1 - (1 - left) * inside / rows)
    return limits


def constraint_columns(design: Constrained) -> tuple[Any, Any]:
    """Return D and A as sparse matrices (C, J)."""
    from scipy.sparse import csc_array, hstack

    moments, cells = design.moments, design.design
    assert isinstance(cells, Design)
    m, c = len(moments.columns), len(moments.labels)
    y = cells.y.tocsc()
    mask = np.append(moments.masks, moments.n_masks)[moments.column]
    d, a = [], []
    for j in range(len(moments)):
        k, r = int(moments.column[j]), int(moments.row[j])
        label = y[:, [r]]
        own = label if k == PRESERVED else label * cells.w[:, [k]]
        centre = y[:, [c]] if k == PRESERVED else label * cells.w[:, [m + mask[j]]]
        d.append(csc_array(own) - moments.share[j] * csc_array(centre))
        carried = y[:, [int(moments.tolerance_row[j])]] * cells.w[:, [m + int(moments.tolerance_mask[j])]]
        a.append(moments.tolerance[j] * csc_array(carried))
    return hstack(d, format="csc"), hstack(a, format="csc")


def largest_mean(design: Constrained, counts: NDArray[np.float64], cap: float = 1.0) -> float:
    """Return eta_max: the largest mean weight with which every constraint holds (HiGHS)."""
    from scipy.optimize import linprog
    from scipy.sparse import vstack

    if not len(design.moments):
        return cap
    share = counts / counts.sum()
    d, a = constraint_columns(design)
    rows: Any = vstack([side.T.multiply(share) for side in (d - a, -d - a)], format="csr")
    result = linprog(-share, A_ub=rows, b_ub=np.zeros(2 * len(design.moments)), bounds=(0, 1), method="highs")
    return float(-result.fun) * cap if result.success else float("nan")


def hardest(solution: Solution) -> list[str]:
    """Return names of at most five constraints with the largest |lambda| x violation."""
    return [solution.duals.names[j] for j in solution.hardest()]


def infeasible(
    solution: Solution, *, keep: float, cap: float, eta_max: float | None, names: Sequence[str]
) -> InfeasibleBalance:
    """Return the error of a mean weight that cannot be kept."""
    hard = f" Hardest: {listed(names, 5)}." if names else ""
    if eta_max is None or math.isnan(eta_max):
        what = f"Cannot keep {keep:.2f} of the rows while every constraint holds.{hard}"
        remedy = "Use keep='auto', a smaller keep, a larger tolerance, or a larger cap."
    elif eta_max <= 0:
        what = f"No weights meet the constraints.{hard}"
        remedy = "Use a larger tolerance, other shares, or fewer labels."
    else:
        if cap > 1:
            what = f"No weights up to {cap:g} have a mean of {keep:.2f}: it can be at most {eta_max:.3f}.{hard}"
        else:
            what = f"Cannot keep {keep:.2f} of the rows: at most {eta_max:.3f} can be kept.{hard}"
        # to the side that is feasible, but for the rounding of the linear programme
        most = math.floor(round(100 * eta_max, 6)) / 100
        least = math.ceil(round(100 * cap * keep / eta_max, 6)) / 100
        auto = "keep='auto' with cap=1" if cap > 1 else "keep='auto'"
        remedy = f"Use {auto}, keep<={most:g}, a larger tolerance, or cap>={least:g}."
    return InfeasibleBalance(what, remedy, value=eta_max, status=solution.status, constraints=tuple(names))


def price_too_small(
    solution: Solution, asked: float, *, keep: float, cap: float, eta_max: float, names: Sequence[str]
) -> InputError:
    """Return the error of constraints that can be met and are not, since breaking them is too cheap."""
    tried = f", even raised to {solution.price:g}," if solution.price > asked else ""
    possible = "they can be met"
    if not math.isnan(eta_max):
        most = f"a mean weight of {eta_max:.3f}" if cap > 1 else f"{eta_max:.3f} of the rows"
        possible = f"they can be met with keep={keep:g} (up to {most} can be kept)"
    broken = int(solution.broken.sum())
    left = "a constraint stays" if broken == 1 else f"{broken:,} constraints stay"
    return InputError(
        f"price={asked:g}{tried} is too small: {left} broken, and {possible}."
        + (f" Hardest: {listed(names, 5)}." if names else ""),
        f"Use a price above {solution.price:g} (the default is 100).",
        value=asked,
    )


def nothing_left(retention: float, least: float, names: Sequence[str]) -> InfeasibleBalance:
    """Return the error of a balance that keeps next to nothing."""
    return InfeasibleBalance(
        f"Balancing would keep {retention:.4f} of the rows, less than min_retention={least:g}."
        + (f" Costliest: {listed(names, 5)}." if names else ""),
        "Use a larger tolerance, other shares, fewer labels, or keep=1.0 with cap=10 to weight rows instead.",
        value=retention,
        status="infeasible",
        constraints=tuple(names),
    )
