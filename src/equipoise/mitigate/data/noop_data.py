"""No change: every row has weight 1. The control that shows what the rows are like as they are."""

from __future__ import annotations

from equipoise.mitigate.data.on_cells import CellMitigation, Learned, Problem


class NoOpData(CellMitigation):
    """Weight 1 for every row: the control that changes nothing.

    Parameters
    ----------
    attribute, labels, shares, proxies, vocabulary, mask, pairings, unknown, versions
        As for :class:`~.m4.M4`.
    """

    name = "noop-data"

    def _learn(self, problem: Problem) -> Learned:
        return Learned("unchanged")
