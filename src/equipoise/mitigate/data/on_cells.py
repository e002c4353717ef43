"""What the baselines of M4 share: rows become cells, a method finds a weight for each, and the report is the same.

A baseline says how it learns (``_learn``) and how it weighs (``_weigh``); reading, masks, statuses, saving and the report are here. Weights depend on a row's own values alone.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.data.cell_table import CellTable
from equipoise.data.groups import Vocabulary
from equipoise.data.layout import Layout
from equipoise.errors import InputError, SchemaError
from equipoise.mitigate.data.balance_report import BalanceReport, make_report
from equipoise.mitigate.data.design import Design
from equipoise.mitigate.data.dual import Duals
from equipoise.mitigate.data.m4_options import Options, names, shares_by_name
from equipoise.mitigate.data.moments import build_moments
from equipoise.mitigate.data.newton import Constrained
from equipoise.mitigate.data.solution import Solution
from equipoise.mitigate.data.sources import Asked, open_source, rows_to_weigh
from equipoise.mitigate.data.targets import Columns, Targets, targets_of
from equipoise.protocols import DataMitigation

Vector = NDArray[np.float64]

UNSEEN = "its values did not occur together in the rows of the fit"


@dataclass(frozen=True)
class Problem:
    """Cells as a method sees them.

    Attributes
    ----------
    cells : CellTable
    design : Design
        C cells; ``design.w`` (C, m + G + 1) are groups inside their masks, masks, and a one.
    labels : ndarray (C, c), bool
    counts : ndarray (C,), float64
    """

    cells: CellTable
    targets: Targets
    design: Design
    labels: NDArray[np.bool_]
    counts: Vector


@dataclass(frozen=True)
class Learned:
    """What a report says of a fit beside its numbers."""

    status: str
    exempt: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    cycles: int = 0


class CellMitigation(DataMitigation):
    """Base of methods that are fitted on cells.

    Parameters
    ----------
    attribute, labels, shares, proxies, vocabulary, mask, pairings, unknown, versions
        As for :class:`~.m4.M4`.

    Attributes
    ----------
    report_ : BalanceReport
        The report of M4; prices are 0 and tolerances too: ``broken`` says what is not balanced exactly.
    layout_ : Layout
    cells_ : CellTable or None
        None after loading.
    """

    guarantees = ()
    layout_: Layout
    report_: BalanceReport | None

    def __init__(
        self,
        attribute: str | Sequence[str],
        labels: str | Sequence[str] = (),
        *,
        shares: Mapping[str, Any] | float | None = None,
        proxies: str | Sequence[str] = (),
        vocabulary: Vocabulary | Mapping[str, Sequence[str]] | None = None,
        mask: str = "auto",
        pairings: str = "any",
        unknown: str = "set_aside",
        versions: Mapping[str, str] | None = None,
    ) -> None:
        declared: Any = vocabulary
        if vocabulary is not None and not isinstance(vocabulary, Vocabulary):
            declared = {name: tuple(values) for name, values in vocabulary.items()}
        attributes = names(attribute, "attributes")
        self.options = Options(
            attributes, names(labels, "labels"), shares_by_name(shares, attributes), names(proxies, "proxies"), mask=mask,
            pairings=pairings, unknown=unknown, vocabulary=declared, versions=versions,
        )  # fmt: skip
        self.attributes = self.options.attributes
        self.inputs: dict[str, str] = {}
        self.cells_: CellTable | None = None

    # ------------------------------------------------------------------------------------------------ of each method

    @abstractmethod
    def _learn(self, problem: Problem) -> Learned:
        """Find what the weights depend on."""

    def _weigh(self, columns: Columns) -> tuple[Vector, NDArray[np.bool_]]:
        """Return (n,) weights of rows or cells, and which of them have one."""
        return np.ones(len(columns.bits)), np.ones(len(columns.bits), bool)

    def _own(self) -> dict[str, Any]:
        """Return the parameters of the constructor beyond the common ones, as JSON values."""
        return {}

    def _arrays(self) -> dict[str, NDArray[Any]]:
        """Return what was learnt."""
        return {}

    def _read(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take what :meth:`_arrays` gave."""

    # -------------------------------------------------------------------------------------------------------- common

    def fit(self, samples: Any) -> Any:
        """Learn from Samples, an Arrow table, an iterator of batches, or a CellTable; return self.

        Raises
        ------
        InputError, LeakageError, MethodRefusal
            For rows that cannot be read, are marked as held out, or cannot be balanced.
        """
        o = self.options
        asked = Asked(o.attributes, o.labels, o.proxies, o.vocabulary, None, None, o.versions, rows=False)
        source = open_source(samples, asked)
        if source.needs_rows:
            raise InputError(
                f"'{(*source.layout.scores, source.layout.utility)[0]}' is a number that cells cannot hold.",
                "Round it, or use M4 with solver='rows'.",
            )
        cells = source.count(o.unknown)
        if not len(cells):
            raise InputError("There is no row to balance.", "Pass rows whose attributes and labels are known.")
        self.fit_rows, self.inputs = source.ids, dict(source.inputs or {})
        self._resolve(source.layout)
        columns = Columns(cells.bits())
        problem = Problem(cells, self._targets, *self._seen(columns), cells.counts.astype(np.float64))
        learned = self._learn(problem)
        self.cells_ = cells
        self.report_ = report_of_weights(problem, self.weights_of_cells(cells), cells.set_aside, learned)
        return self

    def weights(self, samples: Any) -> Vector:
        """Return (n,) float64 weights, at least 0, of Samples or an Arrow table; 0 where a row is set aside."""
        rows = rows_to_weigh(samples, self._fitted().layout_, self.options.unknown)
        weights, known = self._weigh(rows.columns)
        found = np.where(known, weights, 0.0)[rows.number]
        found[rows.status != 0] = 0.0
        return found

    def status(self, samples: Any) -> list[str]:
        """Return (n,) reasons why rows are set aside; empty for rows that have a weight."""
        rows = rows_to_weigh(samples, self._fitted().layout_, self.options.unknown)
        _, known = self._weigh(rows.columns)
        reasons = (*self.layout_.reasons, UNSEEN)
        status = np.where((rows.status == 0) & ~known[rows.number], len(reasons) - 1, rows.status)
        return [reasons[code] for code in status.tolist()]

    def weights_of_cells(self, cells: CellTable) -> Vector:
        """Return (C,) float64 weights of cells of the same layout; 0 where a cell has none.

        Raises
        ------
        VocabularyError
            If the layouts differ.
        """
        self._fitted().layout_.check_same(cells.layout, "these weights", "the table")
        weights, known = self._weigh(Columns(cells.bits()))
        return np.where(known, weights, 0.0)

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return (parameters, arrays): the layout, options and report; what was learnt."""
        self._fitted()
        parameters = {
            "layout": self.layout_.to_dict(),
            "layout_id": self.layout_.id,
            "options": self.options.to_dict(),
            "own": self._own(),
            "report": None if self.report_ is None else self.report_.to_dict(),
        }
        return parameters, self._arrays()

    @classmethod
    def from_state(cls, parameters: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Any:
        """Rebuild from :meth:`state`; weights are bit-identical."""
        options = Options.from_dict(parameters["options"])
        found = cls(options.attributes, options.labels, **parameters["own"])
        found.options, found.attributes = options, options.attributes
        layout = Layout.from_dict(parameters["layout"])
        if layout.id != parameters["layout_id"]:
            raise SchemaError("The layout is not the one that the weights were fitted with.", "Fit them again.")
        found._resolve(layout)
        found._read(arrays)
        report = parameters["report"]
        found.report_ = None if report is None else BalanceReport.from_dict(report)
        return found

    def _resolve(self, layout: Layout) -> None:
        o = self.options
        self.layout_ = layout
        self._targets: Targets = targets_of(
            layout, o.attributes, o.labels, o.proxies, shares=o.shares, pairings=o.pairings, mask=o.mask
        )

    def _seen(self, columns: Columns) -> tuple[Design, NDArray[np.bool_]]:
        """Return rows or cells as moments, and their labels (n, c)."""
        targets = self._targets
        modality = "" if targets.pairings == "any" else targets.pairings.split("-")[1]
        # patterns: a row has one weight, to the last bit, whatever rows are beside it
        return targets.design(columns, patterns=True), targets.label_columns(columns, modality).astype(bool)

    def _fitted(self) -> Any:
        if getattr(self, "layout_", None) is None:
            raise InputError(f"'{self.name}' is not fitted.", "Call fit first.")
        return self


def packed(bits: NDArray[np.bool_]) -> NDArray[np.bytes_]:
    """Return rows of bits (n, b) as (n,) bytes of one length, which sort and compare."""
    if not bits.shape[1]:
        return np.zeros(len(bits), "S1")
    raw = np.ascontiguousarray(np.packbits(bits, axis=1))
    return raw.view(f"S{raw.shape[1]}").ravel()


def report_of_weights(
    problem: Problem, weights: Vector, set_aside: Mapping[str, int], learned: Learned
) -> BalanceReport:
    """Return the report of weights (C,) on cells, with every constraint at tolerance 0."""
    targets, counts = problem.targets, problem.counts
    moments = build_moments(
        targets.columns, targets.shares, targets.labels, masks=targets.mask_of, n_masks=targets.n_masks, tolerance=0.0,
        label_shares=targets.label_shares,
    )  # fmt: skip
    before = problem.design.sums(counts)
    after = problem.design.sums(counts * weights)
    values, allowed = Constrained(problem.design, moments).means(counts * weights / counts.sum())
    mean = float(counts @ weights) / float(counts.sum())
    none = np.zeros(len(moments))
    solution = Solution(
        duals=Duals(moments.names, none, none, 0.0), q=weights, objective=math.nan, gap=math.nan, values=values,
        allowed=allowed, broken=np.abs(values) - allowed > 1e-6 * mean, saturated=np.zeros(len(moments), bool),
        price=math.nan, eta=mean, cap=math.inf, free_mean=True, evaluations=learned.cycles,
    )  # fmt: skip
    return make_report(
        status=learned.status,
        targets=targets,
        moments=moments,
        before=before,
        after=after,
        weights=weights,
        counts=counts,
        solution=solution,
        eta_max=math.nan,
        exempt=learned.exempt,
        empty=[label for label, rows in zip(targets.labels, before[-1], strict=False) if rows == 0],
        set_aside=set_aside,
        notes=learned.notes,
        warnings=learned.warnings,
    )
