"""M4: balance image-text data by its first and second moments (Alabdulmohsin et al., ICLR 2024, arXiv 2403.04547).

"CLIP the Bias: How Useful is Balancing Data in Multimodal Learning?" One weight a row such that every sensitive attribute
has its wanted share and no label depends on an attribute, while weights stay as close as they can to a utility; the
problem and its dual stand in :mod:`.dual`, the constraints in :mod:`.moments`. Weights are sampling probabilities: a
pair that is dropped is also no negative of the others. No official code is known; the paper publishes neither step,
price and tolerances nor its word lists.

Departures of the default, and why:

1. An exact solution on the cells of equal rows, with its duality gap, in place of one pass of stochastic gradients.
2. ``keep="auto"``: how much is kept is a result, so that there always is a solution; ``keep=0.9`` as published.
3. Tolerances are distances of a group's share inside a label: a constant one is nearly void for rare labels.
4. ``preserve`` keeps the prevalence of labels; without it a label's may change several-fold.
5. Rows in which no group (or more than one) of an attribute holds are masked: their weight is untouched.
6. Infeasibility is detected and refused, with the constraints that cost most; the price is raised where it was too small.
7. A label whose rows are of one group alone is exempt and listed; balancing could only delete it.
8. Shares may differ by label; attributes of many values, intersections, scores, and modalities in pairs.

:meth:`M4.faithful` is the published form. Balanced data do not make a model balanced: measure it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.data.cell_table import CellTable
from equipoise.data.groups import Vocabulary
from equipoise.data.layout import Layout
from equipoise.errors import InputError, SchemaError
from equipoise.mitigate.data.balance_report import BalanceReport
from equipoise.mitigate.data.balancing import all_moments
from equipoise.mitigate.data.dual import Duals
from equipoise.mitigate.data.duals_file import read_duals, write_duals
from equipoise.mitigate.data.fitting import Fitted, fitted, from_stream
from equipoise.mitigate.data.m4_options import AUTO, PROTOCOL, Options, names, shares_by_name
from equipoise.mitigate.data.sources import Asked, open_source, rows_to_weigh
from equipoise.mitigate.data.streaming import Stream
from equipoise.mitigate.data.targets import Columns, Targets, targets_of
from equipoise.protocols import DataMitigation


class M4(DataMitigation):
    """Weights in [0, cap] under which attributes have their shares and labels do not depend on them.

    Parameters
    ----------
    attribute : str or sequence of str
        Columns of sensitive attributes; ``gender:race`` for the intersection.
    labels, proxies : sequence of str
        Columns whose every value is a label, or ``column:value``. Proxies are constrained alike and reported apart.
    shares : mapping or float, optional
        ``{"gender": {"woman": 0.5, "man": 0.5}}``, and under ``"gender | occupation=nurse"`` the shares inside that label.
        A number in place of ``{...}`` is the share of true in a column of true and false, or that of the *first* of two
        values as they are declared (sorted where they are not); alone (``shares=0.5``) it is meant for every attribute.
        Equal over the vocabulary when None: a choice. Values that are not named are masked.
    tolerance, tolerance_first : float in [0, 0.5]
        Of the share inside a label, and over all rows (a tenth of the former when None). ``|men - women| / (men + women)``
        is twice the distance from one half.
    tolerance_kind : {"share", "absolute", "gap"}
        ``absolute`` as published; ``gap`` bounds the difference of label rates by about the tolerance.
    preserve : float in [0, 1], optional
        Keeps the prevalence of every label within this share of itself.
    mask : {"auto", "none"}
        Whether rows without exactly one group of an attribute are left alone.
    pairings : {"any", "text-text", "image-image", "text-image", "image-text"}
        For variables seen twice (``gender_text`` and ``gender_image``): where the attribute and where the label is read.
    keep : {"auto"} or float in (0, 1]
        Mean weight eta.
    cap : float
        Largest weight Q: 1 for probabilities of keeping; above 1 with ``keep=1.0`` for importance weights.
    price : float
        V; raised up to a hundredfold where it was too small.
    utility : str, optional
        Column of numbers of at least 0 that weights stay close to; needs a number for ``keep``. ``bins``: values to round
        it to, at most 16.
    solver : {"auto", "cells", "rows", "online"}
    on_infeasible : {"error", "soften", "auto-eta"}
        Refuse, leave constraints broken at the price, or keep 0.99 of what can be kept.
    unbalanceable : {"exempt", "error", "drop_rows"}
        What becomes of labels of one group alone.
    unknown : {"set_aside", "neutral", "error"}
        What becomes of rows with a missing or undeclared value.
    min_retention : float
        Refuse to keep less than this.
    max_cells : int
        With more, cells are read in chunks.
    seed : int
        Recorded for selections made with these weights.
    vocabulary : Vocabulary or mapping of column to values, optional
        Declared values; needed for batches of text that are read once.
    versions : mapping of column to str, optional
        Versions of word lists.

    Attributes
    ----------
    duals_ : Duals
    report_ : BalanceReport or None
        None for a stream that was read once.
    eta_ : float
        Mean weight that was solved for: lower than ``keep`` where ``auto-eta`` lowered it; 1 where it is a result.
    layout_ : Layout
    cells_ : CellTable or None
    """

    name = "m4"
    guarantees = ()

    def __init__(
        self,
        attribute: str | Sequence[str],
        labels: str | Sequence[str] = (),
        *,
        shares: Mapping[str, Any] | float | None = None,
        proxies: str | Sequence[str] = (),
        tolerance: float = 0.05,
        tolerance_first: float | None = None,
        tolerance_kind: str = "share",
        preserve: float | None = None,
        mask: str = AUTO,
        pairings: str = "any",
        keep: float | str = AUTO,
        cap: float = 1.0,
        price: float = 100.0,
        utility: str | None = None,
        bins: Sequence[float] | None = None,
        solver: str = AUTO,
        on_infeasible: str = "error",
        unbalanceable: str = "exempt",
        unknown: str = "set_aside",
        min_retention: float = 0.01,
        max_cells: int = 4_000_000,
        seed: int = 0,
        vocabulary: Vocabulary | Mapping[str, Sequence[str]] | None = None,
        versions: Mapping[str, str] | None = None,
        protocol: str = "",
        step: float = 1.0,
    ) -> None:
        declared: Vocabulary | dict[str, tuple[str, ...]] | None
        if vocabulary is None or isinstance(vocabulary, Vocabulary):
            declared = vocabulary
        else:
            declared = {name: tuple(values) for name, values in vocabulary.items()}
        attributes = names(attribute, "attributes")
        self.options = Options(
            attributes, names(labels, "labels"), shares_by_name(shares, attributes), names(proxies, "proxies"), tolerance,
            tolerance_first, tolerance_kind, preserve, mask, pairings, keep, cap, price, utility,
            None if bins is None else tuple(bins), solver, on_infeasible, unbalanceable, unknown, min_retention,
            max_cells, seed, declared, versions, protocol, step,
        )  # fmt: skip
        self.attributes = self.options.attributes
        self.inputs: dict[str, str] = {}
        self.cells_: CellTable | None = None
        self._stream: Stream | None = None
        self._found: Fitted | None = None

    @classmethod
    def faithful(
        cls,
        attribute: str | Sequence[str],
        labels: str | Sequence[str],
        *,
        shares: Mapping[str, Any] | float | None = None,
        keep: float = 0.9,
        eps_d: float = 0.0005,
        eps_r: float = 0.005,
        price: float = 100.0,
        step: float = 1.0,
    ) -> M4:
        """Return the published form: literal duals, one example a step, one pass, the last duals; nothing is refused.

        ``keep=0.9`` and a cap and utility of 1 are published; tolerances, price and step are not: these are ours. Plain
        NumPy reads about 7e4 rows a second.
        """
        return cls(
            attribute, labels, shares=shares, tolerance=eps_d, tolerance_first=eps_r, tolerance_kind="absolute",
            mask="none", keep=keep, price=price, on_infeasible="soften", protocol=PROTOCOL, step=step,
        )  # fmt: skip

    def fit(self, samples: Any) -> M4:
        """Learn the duals of Samples, an Arrow table, an iterator of batches, or a CellTable.

        Raises
        ------
        InfeasibleBalance
            If the constraints cannot be met.
        InputError, LeakageError
            For rows that cannot be read, or that are marked as held out.
        """
        self._found, self._stream = None, None
        source = open_source(samples, self._asked())
        self._resolve(source.layout)
        self._keep(fitted(source, self._targets, self.options))
        self.fit_rows, self.inputs = source.ids, dict(source.inputs or {})
        return self

    def partial_fit(self, batch: Any) -> M4:
        """Take one more batch of an endless stream (``solver="online"``)."""
        if self.options.solver != "online":
            raise InputError("partial_fit is for solver='online'.", "Pass solver='online', or use fit.")
        source = open_source(batch, self._asked(rows=True))
        if self._stream is None:
            self._resolve(source.layout)
            self._stream = Stream(self._targets, all_moments(self._targets, self.options, None), self.options)
            self.fit_rows, self.inputs = (), {}
        self._stream.add(source.whole(), self.layout_)
        self._keep(from_stream(self._stream, self._targets, self.options))
        self.fit_rows, self.inputs = (*self.fit_rows, *source.ids), self.inputs | dict(source.inputs or {})
        return self

    def weights(self, samples: Any) -> NDArray[np.float64]:
        """Return (n,) float64 weights in [0, cap] of Samples or an Arrow table; 0 where a row is set aside.

        A weight is a function of a row's own values; the rows need not be those that were fitted on.
        """
        self._fitted()
        rows = rows_to_weigh(samples, self.layout_, self.options.unknown)
        found = self._weigh(rows.columns, rows.utility)[rows.number]
        found[rows.status != 0] = 0.0
        return found

    def status(self, samples: Any) -> list[str]:
        """Return (n,) reasons why rows are set aside; empty for rows that have a weight."""
        self._fitted()
        rows = rows_to_weigh(samples, self.layout_, self.options.unknown)
        return [self.layout_.reasons[code] for code in rows.status.tolist()]

    def weights_of_cells(self, cells: CellTable) -> NDArray[np.float64]:
        """Return (C,) float64 weights of cells of the same layout.

        Raises
        ------
        VocabularyError
            If the layouts differ.
        """
        self._fitted()
        self.layout_.check_same(cells.layout, "these duals", "the table")
        return self._weigh(Columns(cells.bits()), cells.utility())

    def controls(self) -> Sequence[DataMitigation]:
        """Return the baselines on the same cells (see :func:`~.controls.data_controls`); none where there are no cells."""
        from equipoise.mitigate.data.controls import data_controls

        return [] if self.cells_ is None else list(data_controls(self).values())

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return (parameters, arrays): the layout, options and report; the duals."""
        fit = self._fitted()
        parameters = {
            "layout": self.layout_.to_dict(),
            "layout_id": self.layout_.id,
            "options": self.options.to_dict(),
            "constraints": list(fit.duals.names),
            "utility": fit.utility,
            "report": None if fit.report is None else fit.report.to_dict(),
        }
        arrays = {
            "v_plus": fit.duals.v_plus,
            "v_minus": fit.duals.v_minus,
            "mu": np.array([fit.duals.mu]),
            "prevalence": fit.prevalence,
            "eta": np.array([fit.eta]),
            "cap": np.array([fit.cap]),
        }
        return parameters, arrays

    @classmethod
    def from_state(cls, parameters: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> M4:
        """Rebuild from :meth:`state`; weights are bit-identical, ``cells_`` is None."""
        options = Options.from_dict(parameters["options"])
        found = cls(options.attributes, options.labels)
        found.options, found.attributes = options, options.attributes
        layout = Layout.from_dict(parameters["layout"])
        if layout.id != parameters["layout_id"]:
            raise SchemaError("The layout is not the one that the duals were fitted with.", "Fit them again.")
        found._resolve(layout)
        prevalence = np.asarray(arrays["prevalence"], np.float64)
        moments = all_moments(found._targets, options, prevalence)
        kept = set(parameters["constraints"])
        moments = moments.without(np.array([name not in kept for name in moments.names], bool))
        mu, eta, cap = (float(arrays[name][0]) for name in ("mu", "eta", "cap"))
        duals = Duals(tuple(parameters["constraints"]), arrays["v_plus"], arrays["v_minus"], mu)
        if duals.names != moments.names or len(duals.v_plus) != len(moments) or len(duals.v_minus) != len(moments):
            raise SchemaError("The duals are not those of the constraints.", "Fit them again.")
        report = parameters["report"]
        report = None if report is None else BalanceReport.from_dict(report)
        found._keep(Fitted(moments, duals, prevalence, eta, cap, bool(parameters["utility"]), report))
        return found

    def save(self, path: str | Path) -> None:
        """Write the duals as one JSON document, with the layout, versions, fingerprints of inputs and a checksum."""
        write_duals(self, path)

    @classmethod
    def load(cls, path: str | Path) -> M4:
        """Read what :meth:`save` wrote.

        Raises
        ------
        SchemaError
            If it is no such document, or its bytes are not those that were written.
        """
        return read_duals(cls, path)

    # ------------------------------------------------------------------------------------------------- behind the API

    def _asked(self, rows: bool = False) -> Asked:
        o = self.options
        rows = rows or o.solver in ("rows", "online")
        return Asked(o.attributes, o.labels, o.proxies, o.vocabulary, o.utility, o.bins, o.versions, rows)

    def _resolve(self, layout: Layout) -> None:
        o = self.options
        self.layout_ = layout
        self._targets: Targets = targets_of(
            layout, o.attributes, o.labels, o.proxies, shares=o.shares, pairings=o.pairings, mask=o.mask
        )

    def _keep(self, found: Fitted) -> None:
        self._found = found
        self.duals_, self.report_, self.eta_, self.cells_ = found.duals, found.report, found.eta, found.cells

    def _weigh(self, columns: Columns, u: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._fitted().weigh(self._targets, columns, u)

    def _fitted(self) -> Fitted:
        if self._found is None:
            raise InputError("This M4 is not fitted.", "Call fit first.")
        return self._found
