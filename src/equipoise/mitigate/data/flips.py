"""What is left of a balance if some attributes are wrong: groups are exchanged, the balance made again, the truth looked at.

The attributes as given are taken for true. In each draw a share of the rows of every group is moved to another group (each
other one alike), the method is fitted on what it then sees, and the bias that is left is measured on the true groups with
the weights that the rows got. Errors are drawn without regard to labels: those that depend on a label do more harm.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.data.cell_groups import group_names, parts_of
from equipoise.data.cell_table import CellTable
from equipoise.data.groups import SEPARATOR
from equipoise.data.keys import group_keys
from equipoise.data.layout import Layout
from equipoise.errors import InputError, MethodRefusal
from equipoise.estimate import Estimate
from equipoise.mitigate.data.moment_view import MomentView
from equipoise.mitigate.data.targets import Columns, Targets, targets_of
from equipoise.progress import advance

WHAT = "balancing with exchanged groups"
LEAST_DRAWS = 20
"""Below this, limits are the smallest and largest of the draws."""


@dataclass(frozen=True)
class Sensitivity:
    """What is left of the bias.

    Attributes
    ----------
    flip : float
        Share of the rows of each group that were exchanged.
    draws : int
        Draws that were balanced.
    refused : int
        Draws that the method refused.
    before, after : dict of str to float
        ``rb``, ``ab``, ``share_error`` (largest over groups and labels) of the rows as given: without weights, and with
        those of a fit on the attributes as given.
    residual : dict of str to Estimate
        The same after a fit on exchanged attributes: mean over draws, with the 2.5th and 97.5th percentile of the draws.
    """

    flip: float
    draws: int
    refused: int
    before: dict[str, float]
    after: dict[str, float]
    residual: dict[str, Estimate]

    def lines(self) -> list[str]:
        """Return what a person reads."""
        share = f"{self.flip:.0%} of the groups exchanged"
        found = [
            f"{name}: {self.before[name]:.4f} before, {self.after[name]:.4f} balanced, {residual} balanced with {share}"
            for name, residual in self.residual.items()
        ]
        return found + ([f"{self.refused} draws were refused"] if self.refused else [])


def sensitivity(mitigation: Any, samples: Any, flip: float = 0.2, draws: int = 20, seed: int = 0) -> Sensitivity:
    """Return what is left of the bias if a share of the attributes is wrong.

    Parameters
    ----------
    mitigation : M4, Reweigh, Rake or any other method on cells
        It need not be fitted, and stays as it is.
    samples : Samples, pyarrow.Table or CellTable
    flip : float in (0, 1)
        Share of the rows of every group that is exchanged.
    draws : int
        At least 2.
    seed : int

    Raises
    ------
    InputError
        If the arguments or the rows cannot be used: scores, or attributes of several values a row.
    MethodRefusal
        If the method refuses every draw, or the rows as given.
    """
    if not isinstance(flip, (int, float)) or isinstance(flip, bool) or not 0 < flip < 1:
        raise InputError(f"The share to exchange is {flip!r}.", "Give a number between 0 and 1, as 0.2.", value=flip)
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < 2:
        raise InputError(f"{draws!r} draws are too few.", "Draw 2 or more; 20 unless given.", value=draws)
    method = copy.deepcopy(mitigation).fit(samples)
    cells: CellTable | None = method.cells_
    if cells is None:
        raise InputError(
            "These rows are in no cells: they have scores, or are read once.",
            "Round scores to groups, and pass a table.",
        )
    options = method.options
    targets = targets_of(
        cells.layout, options.attributes, options.labels, options.proxies, shares=options.shares,
        pairings=options.pairings, mask=options.mask,
    )  # fmt: skip
    truth = _Truth(cells, targets)
    flips = _Flips(cells, options.attributes)
    rng = np.random.default_rng(seed)
    left: dict[str, list[float]] = {}
    refused = 0
    last: MethodRefusal | None = None
    for number in range(draws):
        advance(WHAT, number, draws)
        true, bits, counts = flips.draw(flip, rng)
        observed, place = _cells(bits, counts, cells.layout)
        try:
            fitted = copy.deepcopy(mitigation).fit(observed)
        except MethodRefusal as error:
            refused, last = refused + 1, error
            continue
        weights = fitted.weights_of_cells(observed)[place]
        mean = np.bincount(true, weights=counts * weights, minlength=len(cells)) / cells.counts
        for name, value in truth.bias(mean).items():
            left.setdefault(name, []).append(value)
    advance(WHAT, draws, draws)
    if last is not None and refused == draws:
        raise last
    return Sensitivity(
        float(flip), draws - refused, refused, truth.bias(np.ones(len(cells))),
        truth.bias(method.weights_of_cells(cells)), {name: _over(values, cells.total) for name, values in left.items()},
    )  # fmt: skip


class _Truth:
    """Measures bias on the attributes as given."""

    def __init__(self, cells: CellTable, targets: Targets) -> None:
        self.design = targets.design(Columns(cells.bits()), patterns=True)
        self.counts = cells.counts.astype(np.float64)
        self.targets, self.total = targets, cells.total
        shares = np.repeat(np.asarray(targets.shares, np.float64)[:, None], len(targets.labels) + 1, axis=1)
        for (column, label), share in targets.label_shares.items():
            shares[targets.columns.index(column), targets.labels.index(label)] = share
        self.shares = shares

    def bias(self, weights: NDArray[np.float64]) -> dict[str, float]:
        m = len(self.targets.columns)
        table = self.design.sums(self.counts * weights)
        masks = np.asarray(self.targets.mask_of, np.int64)
        view = MomentView(table[m + masks], table[:m], table[-1], self.shares)
        found = view.estimates(self.targets.proxies, self.total)
        return {name: estimate.value for name, estimate in found.items() if estimate.has_value}


class _Flips:
    """Exchanges groups in cells."""

    def __init__(self, cells: CellTable, attributes: Sequence[str]) -> None:
        self.cells = cells
        self.places: list[list[int]] = []
        """Bits of the groups of each column that is exchanged; one bit for a flag."""
        layout = cells.layout
        for part in dict.fromkeys(part for key in attributes for part in _parts(layout, key)):
            variable = layout.variable(part)
            if variable.kind not in ("values", "flag"):
                raise InputError(
                    f"'{part}' has several values a row, which cannot be exchanged.",
                    "Name an attribute of one value a row.",
                )
            groups = set(group_names(layout, part))
            for modality in [variable.modality(column) for column in variable.columns]:
                places = layout.places(part, modality)
                if variable.kind == "values":
                    places = [place for place, value in zip(places, variable.bits, strict=True) if value in groups]
                self.places.append(places)

    def draw(self, flip: float, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Return (number of the true cell, bits seen, rows) of (true, seen) pairs."""
        true, bits = np.arange(len(self.cells)), self.cells.bits().copy()
        counts = self.cells.counts.copy()
        for places in self.places:
            parts = [(true, bits, counts.copy())]
            stay = parts[0][2]
            for place in places:
                moves = places if len(places) > 1 else [place]
                others = [other for other in moves if other != place]
                rows = np.flatnonzero(bits[:, place]) if others else np.arange(len(bits))
                moved = rng.binomial(counts[rows], flip)
                stay[rows] -= moved
                shares = np.full(max(len(others), 1), 1 / max(len(others), 1))
                split = rng.multinomial(moved, shares) if len(moved) else np.zeros((0, len(shares)), np.int64)
                for column in range(split.shape[1]):
                    some = np.flatnonzero(split[:, column])
                    seen = bits[rows[some]].copy()
                    seen[:, place] = ~seen[:, place] if not others else False
                    if others:
                        seen[:, others[column]] = True
                    parts.append((true[rows[some]], seen, split[some, column]))
            true, bits, counts = (np.concatenate([part[i] for part in parts]) for i in range(3))
            kept = counts > 0
            true, bits, counts = true[kept], bits[kept], counts[kept]
        return true, bits, counts


def _parts(layout: Layout, key: str) -> tuple[str, ...]:
    return parts_of(layout, key) if SEPARATOR in key else (key,)


def _cells(bits: NDArray[Any], counts: NDArray[Any], layout: Layout) -> tuple[CellTable, NDArray[np.int64]]:
    """Return cells of bits, and the number of the cell of each row of them."""
    padded = np.zeros((len(bits), layout.words * 64), bool)
    padded[:, : bits.shape[1]] = bits
    keys = np.packbits(padded, axis=1, bitorder="little").view("<u8").astype(np.uint64)
    keys = keys.ravel() if layout.words == 1 else keys
    found, place, _ = group_keys(keys)
    sums = np.zeros(len(found), np.int64)
    np.add.at(sums, place, counts)
    return CellTable(found, sums, layout), place


def _over(values: Sequence[float], n: int) -> Estimate:
    limits = (min(values), max(values)) if len(values) < LEAST_DRAWS else np.quantile(values, [0.025, 0.975]).tolist()
    mean = float(np.mean(values))
    return Estimate(mean, min(limits[0], mean), max(limits[1], mean), n=n)
