"""First order only: groups have their shares over all rows, and labels are left to themselves.

The part of M4 that anybody would do first; what it leaves of the association is what the second order is for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from equipoise.data.cell_table import CellTable
from equipoise.mitigate.data.m4 import M4
from equipoise.mitigate.data.on_cells import CellMitigation, Learned, Problem, Vector


class FirstOrder(CellMitigation):
    """M4 without its second order: the shares of groups alone, nothing about labels.

    Parameters
    ----------
    tolerance : float in [0, 0.5]
        Of the share over all rows.
    tolerance_kind, keep, cap, price, on_infeasible, min_retention
        As for :class:`~.m4.M4`.
    attribute, labels, shares, proxies, vocabulary, mask, pairings, unknown, versions
        As for :class:`~.m4.M4`; labels are reported on.

    Attributes
    ----------
    m4_ : M4
        What was solved.
    """

    name = "first-order"

    def __init__(
        self,
        attribute: str | Sequence[str],
        labels: str | Sequence[str] = (),
        *,
        tolerance: float = 0.005,
        tolerance_kind: str = "share",
        keep: float | str = "auto",
        cap: float = 1.0,
        price: float = 100.0,
        on_infeasible: str = "error",
        min_retention: float = 0.01,
        **options: Any,
    ) -> None:
        super().__init__(attribute, labels, **options)
        self._solver = {
            "tolerance": tolerance, "tolerance_kind": tolerance_kind, "keep": keep, "cap": cap, "price": price,
            "on_infeasible": on_infeasible, "min_retention": min_retention,
        }  # fmt: skip
        o = self.options
        # the shares inside labels are of the second order
        shares = None if o.shares is None else {name: value for name, value in o.shares.items() if "|" not in str(name)}
        self.m4_ = M4(
            o.attributes, shares=shares or None, mask=o.mask, pairings=o.pairings, unknown=o.unknown,
            tolerance=tolerance, tolerance_first=tolerance, tolerance_kind=tolerance_kind, keep=keep, cap=cap,
            price=price, on_infeasible=on_infeasible, min_retention=min_retention,
        )  # fmt: skip

    def _own(self) -> dict[str, Any]:
        return dict(self._solver)

    def _learn(self, problem: Problem) -> Learned:
        self.m4_.fit(problem.cells)
        report = self.m4_.report_
        assert report is not None
        return Learned(report.status, report.exempt, report.notes, report.warnings, report.evaluations)

    def weights(self, samples: Any) -> Vector:
        """Return (n,) float64 weights in [0, cap] of Samples or an Arrow table; 0 where a row is set aside."""
        return self._fitted().m4_.weights(samples)

    def status(self, samples: Any) -> list[str]:
        """Return (n,) reasons why rows are set aside; empty for rows that have a weight."""
        return self._fitted().m4_.status(samples)

    def weights_of_cells(self, cells: CellTable) -> Vector:
        """Return (C,) float64 weights of cells of the same layout."""
        return self._fitted().m4_.weights_of_cells(cells)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return self.m4_.state()[1]

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return (parameters, arrays), those of what was solved among them."""
        parameters, arrays = super().state()
        return parameters | {"m4": self.m4_.state()[0]}, arrays

    @classmethod
    def from_state(cls, parameters: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> FirstOrder:
        """Rebuild from :meth:`state`; weights are bit-identical."""
        found = super().from_state(parameters, arrays)
        found.m4_ = M4.from_state(parameters["m4"], arrays)
        return found
