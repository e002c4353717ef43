"""Raking, or iterative proportional fitting (Deming and Stephan, 1940), of groups crossed with labels.

The margins are, for every group k and label r, the four sums of weights over s_k in {0, 1} and y_r in {0, 1}, inside the
mask of the group's attribute; wanted are

    pi_k p_r,   pi_k (1 - p_r),   (1 - pi_k) p_r,   (1 - pi_k) (1 - p_r)            times the rows of the mask

with p_r the prevalence as it is: raking keeps it exactly, which M4 does not unless asked. A cycle scales the weights to
one margin after the other, w <- w wanted / found, until no margin is off by more than 1e-6 of itself. Weights are a
product of one factor a margin, hence a function of a row's own values, also of rows that were not there.

A ``cap`` trims and rakes again: found are then the sums of min(w, cap). One-way margins (``margins="one-way"``: s_k and
y_r apart) are what survey software does by default; they remove *no* association.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.errors import InfeasibleBalance, InputError, listed
from equipoise.mitigate.data.design import Design
from equipoise.mitigate.data.on_cells import CellMitigation, Learned, Problem, Vector
from equipoise.mitigate.data.rake_cells import Margin, rake_cells
from equipoise.mitigate.data.targets import Columns, Targets

MARGINS = ("two-way", "one-way")


class Rake(CellMitigation):
    """Raking: groups have their shares inside every label, and labels keep their prevalence.

    Parameters
    ----------
    margins : {"two-way", "one-way"}
        Groups crossed with labels, or both apart, which removes no association.
    cap : float, optional
        Largest weight, at least 1 (their mean); none when None.
    unbalanceable : {"error", "exempt"}
        What becomes of a margin that has a wanted sum and no row: refused, or left out and listed.
    tolerance : float
        Largest relative error of a margin.
    cycles : int
        Most cycles.
    attribute, labels, shares, proxies, vocabulary, mask, pairings, unknown, versions
        As for :class:`~.m4.M4`.

    Attributes
    ----------
    converged_ : bool
    cycles_ : int
    """

    name = "rake"

    def __init__(
        self,
        attribute: str | Sequence[str],
        labels: str | Sequence[str] = (),
        *,
        margins: str = "two-way",
        cap: float | None = None,
        unbalanceable: str = "error",
        tolerance: float = 1e-6,
        cycles: int = 1000,
        **options: Any,
    ) -> None:
        super().__init__(attribute, labels, **options)
        for name, value, known in (
            ("margins", margins, MARGINS),
            ("unbalanceable", unbalanceable, ("error", "exempt")),
        ):
            if value not in known:
                raise InputError(f"{name} is {value!r}.", f"It is one of {listed(known)}.", value=value)
        if cap is not None and not (not isinstance(cap, (str, bool)) and 1 <= cap < math.inf):
            raise InputError(f"cap is {cap!r}.", "Raked weights have mean 1: it is at least 1, or None.", value=cap)
        if not 0 < tolerance < 1 or cycles < 1:
            raise InputError(
                f"tolerance={tolerance!r}, cycles={cycles!r}.", "Pass a small number and at least 1 cycle."
            )
        self.margins, self.cap, self.unbalanceable = margins, cap, unbalanceable
        self.tolerance, self.cycles = float(tolerance), int(cycles)

    def _own(self) -> dict[str, Any]:
        names = ("margins", "cap", "unbalanceable", "tolerance", "cycles")
        return {name: getattr(self, name) for name in names}

    def _learn(self, problem: Problem) -> Learned:
        wanted = _Wanted(problem.targets, problem.design, problem.counts)
        margins, empty = wanted.two_way() if self.margins == "two-way" else wanted.one_way()
        if empty and self.unbalanceable == "error":
            raise InfeasibleBalance(
                f"Raking cannot fill {len(empty)} margins that have no row, as {empty[0]}.",
                "Pass unbalanceable='exempt' to leave them out, or fewer labels.",
                value=empty[0],
                constraints=tuple(empty[:5]),
            )
        found = rake_cells(
            problem.design, problem.counts, margins, cap=math.inf if self.cap is None else self.cap,
            tolerance=self.tolerance, cycles=self.cycles,
        )  # fmt: skip
        self._theta, self.cycles_, self.converged_ = found.theta, found.cycles, found.converged
        warnings = [f"{len(empty)} margins have no row and are left out, as {empty[0]}."] if empty else []
        if not found.converged:
            warnings.append(f"A margin is off by {found.error:.2g} of itself after {found.cycles:,} cycles.")
        return Learned(
            "converged" if found.converged else "not converged", exempt=tuple(empty), warnings=tuple(warnings),
            cycles=found.cycles,
        )  # fmt: skip

    def _weigh(self, columns: Columns) -> tuple[Vector, NDArray[np.bool_]]:
        design, _ = self._seen(columns)
        weights = np.minimum(np.exp(np.minimum(design.linear(self._theta), 700.0)), self.cap or math.inf)
        return weights, np.ones(len(weights), bool)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {"theta": self._theta, "cycles": np.array([self.cycles_]), "converged": np.array([int(self.converged_)])}

    def _read(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._theta = np.asarray(arrays["theta"], np.float64)
        self.cycles_, self.converged_ = int(arrays["cycles"][0]), bool(arrays["converged"][0])


@dataclass(frozen=True)
class _Wanted:
    """The sums that margins shall have."""

    targets: Targets
    design: Design
    counts: Vector

    def two_way(self) -> tuple[list[Margin], list[str]]:
        """Return margins of groups crossed with labels, and the names of those that have no row."""
        t, table = self.targets, self.design.sums(self.counts)
        m, c = len(t.columns), len(t.labels)
        if not c:
            return self.one_way()
        found = _Found([], [])
        for r in range(c):
            for k in range(m):
                mask = m + t.mask_of[k]
                rows, label = table[mask, c], table[mask, r]
                group, both = table[k, c], table[k, r]
                share = t.shares[k]
                inside = label * t.label_shares.get((t.columns[k], t.labels[r]), share)
                outside = rows * share - inside
                found.add(
                    f"{t.columns[k]} | {t.labels[r]}", k, mask, r,
                    [[rows - label - outside, label - inside], [outside, inside]],
                    [[rows - label - group + both, label - both], [group - both, both]],
                )  # fmt: skip
        return found.margins, found.empty

    def one_way(self) -> tuple[list[Margin], list[str]]:
        """Return margins of groups, and of labels as they are."""
        t, table = self.targets, self.design.sums(self.counts)
        m, c = len(t.columns), len(t.labels)
        found = _Found([], [])
        for k in range(m):
            mask = m + t.mask_of[k]
            rows, group = table[mask, c], table[k, c]
            wanted = rows * t.shares[k]
            found.add(t.columns[k], k, mask, c, [[rows - wanted, 0], [wanted, 0]], [[rows - group, 0], [group, 0]])
        for r in range(c):
            held = [[table[-1, c] - table[-1, r], table[-1, r]], [0, 0]]
            found.add(t.labels[r], -1, len(table) - 1, r, held, held)
        return found.margins, found.empty


@dataclass(frozen=True)
class _Found:
    margins: list[Margin]
    empty: list[str]

    def add(self, name: str, column: int, mask: int, row: int, wanted: Any, held: Any) -> None:
        """Take a margin, unless no row of it is there."""
        sums, rows = np.array(wanted, np.float64), np.array(held, np.float64)
        least = 1e-9 * rows.sum()
        if rows.sum() == 0:
            return
        if (sums < -least).any():
            raise InfeasibleBalance(
                f"The shares wanted in '{name}' and over all rows contradict each other.", "Change one of the two.",
                value=name, constraints=(name,),
            )  # fmt: skip
        sums[sums < least] = 0.0
        if ((rows <= 0) & (sums > 0)).any():
            self.empty.append(name)
        else:
            self.margins.append(Margin(column, mask, row, sums, rows > 0))
