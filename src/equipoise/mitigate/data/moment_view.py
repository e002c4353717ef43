"""Shares, rates and biases of a table of summed moments; the formulas stand in :mod:`.balance_report`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from equipoise.estimate import Estimate
from equipoise.mitigate.data.moments import Moments
from equipoise.mitigate.data.targets import Targets

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class MomentView:
    """Shares and rates of a table of moments (w, R).

    Attributes
    ----------
    rows, group : ndarray (m, R)
        Weight of the rows inside the mask, and of the group among them.
    """

    rows: Vector
    group: Vector
    total: Vector
    shares: Vector = field(repr=False)

    @classmethod
    def of(cls, table: Vector, moments: Moments, label_shares: Vector) -> MomentView:
        """Read a table of summed moments; ``label_shares`` (m, R) are the wanted shares."""
        m = len(moments.columns)
        return cls(table[m + moments.masks], table[:m], table[-1], label_shares)

    @property
    def share(self) -> Vector:
        """Return (m, R) share of each group inside each label; the last column is over all rows."""
        return ratio(self.group, self.rows)

    @property
    def rb(self) -> Vector:
        """Return (m,) RB."""
        return np.abs(self.share[:, -1] - self.shares[:, -1])

    @property
    def gaps(self) -> Vector:
        """Return (m, c) signed difference of label rates: in the group minus outside it."""
        inside = ratio(self.group[:, :-1], self.group[:, -1:])
        return inside - ratio(self.rows[:, :-1] - self.group[:, :-1], self.rows[:, -1:] - self.group[:, -1:])

    @property
    def share_error(self) -> Vector:
        """Return (m, c) distance of the share inside each label from the wanted one."""
        return np.abs(self.share - self.shares)[:, :-1]

    def estimates(self, proxies: Sequence[bool], n: int) -> dict[str, Estimate]:
        """Return the largest of each, proxies apart."""
        found = {"rb": _largest(self.rb, n, "no row has a known group")}
        proxy = np.asarray(proxies, bool)
        for name, chosen in (("", ~proxy), ("_proxy", proxy)):
            if name and not proxy.any():
                continue
            found[f"ab{name}"] = _largest(np.abs(self.gaps[:, chosen]), n, "a group or every label has no row")
            found[f"share_error{name}"] = _largest(self.share_error[:, chosen], n, "no label has a row")
        return found


def ratio(part: Vector, whole: Vector) -> Vector:
    """Return part / whole, NaN where whole is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), np.nan)


def _largest(values: Vector, n: int, reason: str) -> Estimate:
    known = values[np.isfinite(values)]
    if not known.size:
        return Estimate.without("not_estimable", reason, n=n)
    value = float(known.max())
    return Estimate(value, value, value, n=n, status="exact")


def wanted_shares(moments: Moments, targets: Targets) -> Vector:
    """Return (m, R) wanted shares, those of exempt constraints included."""
    m, rows = len(moments.columns), len(moments.labels) + 1
    found = np.repeat(np.asarray(targets.shares, np.float64)[:, None], rows, axis=1)
    for (column, label), share in targets.label_shares.items():
        found[moments.columns.index(column), moments.labels.index(label)] = share
    return found.reshape(m, rows)
