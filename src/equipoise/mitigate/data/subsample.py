"""A random subsample: every row has one and the same probability of being kept.

What remains of the effect of a balance when its rows are as few, but not chosen: a model that is trained on a balanced
subset is compared with one that is trained on this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.errors import InputError
from equipoise.mitigate.data.on_cells import CellMitigation, Learned, Problem, Vector
from equipoise.mitigate.data.targets import Columns


class RandomSubsample(CellMitigation):
    """One probability of being kept for every row: the control of equal size.

    Parameters
    ----------
    keep : float in (0, 1]
        The share of rows to keep; that of the balance it is compared with.
    attribute, labels, shares, proxies, vocabulary, mask, pairings, unknown, versions
        As for :class:`~.m4.M4`.
    """

    name = "random-subsample"

    def __init__(
        self, attribute: str | Sequence[str], labels: str | Sequence[str] = (), *, keep: float = 0.9, **options: Any
    ) -> None:
        super().__init__(attribute, labels, **options)
        if isinstance(keep, (str, bool)) or not 0 < keep <= 1:
            raise InputError(f"keep is {keep!r}.", "It is a share in (0, 1].", value=keep)
        self.keep = float(keep)

    def _own(self) -> dict[str, Any]:
        return {"keep": self.keep}

    def _learn(self, problem: Problem) -> Learned:
        return Learned("random")

    def _weigh(self, columns: Columns) -> tuple[Vector, NDArray[np.bool_]]:
        n = len(columns.bits)
        return np.full(n, self.keep), np.ones(n, bool)
