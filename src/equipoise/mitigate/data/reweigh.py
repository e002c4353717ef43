"""Reweighing (Kamiran and Calders, "Data preprocessing techniques for classification without discrimination", 2012).

    w(S, Y) = P(S) P(Y) / P(S, Y)                                   S the pattern of all groups, Y that of all labels

under which S and Y are independent and both keep their distribution. The paper has one binary S and one binary Y; whole
patterns are the joint form for several. With wanted shares pi, P(S) becomes the product over attributes of
pi_k^s_k (1 - pi_k)^(1 - s_k) (of an attribute of more than two groups: the share of its group).

The guarantee holds only where every pair (S, Y) of positive probability occurs: weights cannot move rows that are not
there. What is missing is measured (``missing_mass_``) and weights are not scaled up to hide it. The more columns, the
more patterns are missing, and the larger the weights.

Rows in which the groups of an attribute do not hold (masked) keep the mass that they have: the formula is applied inside
each set of attributes that hold; a row in which none holds has weight 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.errors import InputError
from equipoise.mitigate.data.design import Design
from equipoise.mitigate.data.on_cells import CellMitigation, Learned, Problem, Vector, packed
from equipoise.mitigate.data.targets import Columns, Targets

EQUAL = "equal"


def kamiran_calders(
    s: NDArray[np.int64],
    y: NDArray[np.int64],
    counts: Vector,
    *,
    strata: NDArray[np.int64] | None = None,
    wanted: Vector | None = None,
) -> tuple[Vector, float]:
    """Return (C,) weights P(S) P(Y) / P(S, Y) and the probability of pairs that do not occur.

    Parameters
    ----------
    s, y : ndarray (C,), int64
        Codes of the groups and of the labels of each cell, from 0.
    counts : ndarray (C,)
        Rows of each cell.
    strata : ndarray (C,), int64, optional
        The formula is applied inside each of them; a code of ``s`` lies in one stratum.
    wanted : ndarray (C,), float64, optional
        Probability of each cell's S inside its stratum, in place of that of the rows.
    """
    strata = np.zeros(len(s), np.int64) if strata is None else strata
    total = counts.sum()
    in_stratum = np.bincount(strata, counts)[strata]
    label = _sums(strata * (int(y.max(initial=0)) + 1) + y, counts)
    group = np.bincount(s, counts)[s] / in_stratum if wanted is None else wanted
    pair = _sums(s * (int(y.max(initial=0)) + 1) + y, counts)
    weights = group * label / pair
    return weights, max(0.0, 1.0 - float(counts @ weights) / total)


def _sums(code: NDArray[np.int64], counts: Vector) -> Vector:
    """Return (C,) rows of all cells that have each cell's code."""
    _, code = np.unique(code, return_inverse=True)
    return np.bincount(code, counts).astype(np.float64)[code]


class Reweigh(CellMitigation):
    """Kamiran and Calders' reweighing for several attributes and labels at once: groups and labels become independent.

    Parameters
    ----------
    shares : mapping or "equal", optional
        Wanted shares as for :class:`~.m4.M4`, or equal ones; those of the rows when None, as published.
    attribute, labels, proxies, vocabulary, mask, pairings, unknown, versions
        As for :class:`~.m4.M4`.

    Attributes
    ----------
    missing_mass_ : float
        Probability, under independence, of combinations that do not occur: the weights sum to N times 1 less this.
    """

    name = "reweigh"

    def __init__(
        self,
        attribute: str | Sequence[str],
        labels: str | Sequence[str] = (),
        *,
        shares: Mapping[str, Any] | str | None = None,
        **options: Any,
    ) -> None:
        if isinstance(shares, str) and shares != EQUAL:
            raise InputError(
                f"shares is {shares!r}.", "Pass {attribute: {group: share}}, 'equal' or None.", value=shares
            )
        if isinstance(shares, Mapping) and (inside := [name for name in shares if "|" in str(name)]):
            raise InputError(
                f"shares name '{inside[0]}': reweighing has one share in every label.",
                "Use M4 or Rake.",
                value=inside[0],
            )
        self.shares = shares
        super().__init__(attribute, labels, shares=None if isinstance(shares, str) else shares, **options)

    def _own(self) -> dict[str, Any]:
        return {"shares": self.shares}

    def _learn(self, problem: Problem) -> Learned:
        w = problem.design.w[:, :-1]
        masks = w[:, len(problem.targets.columns) :]
        s, y, strata = (
            np.unique(packed(bits), return_inverse=True)[1] for bits in (w != 0, problem.labels, masks != 0)
        )
        wanted = None if self.shares is None else _wanted(problem.targets, w)
        weights, self.missing_mass_ = kamiran_calders(s, y, problem.counts, strata=strata, wanted=wanted)
        self._pairs, first = np.unique(_pairs(problem.design, problem.labels), return_index=True)
        self._weights = weights[first]
        warnings: tuple[str, ...] = ()
        if self.missing_mass_ > 1e-9:
            warnings = (
                f"Combinations of groups and labels with {self.missing_mass_:.4f} of the probability do not occur: weights "
                f"sum to {1 - self.missing_mass_:.4f} of the rows, and labels still depend on groups.",
            )
        return Learned("closed form", warnings=warnings)

    def _weigh(self, columns: Columns) -> tuple[Vector, NDArray[np.bool_]]:
        pairs = _pairs(*self._seen(columns))
        place = np.minimum(np.searchsorted(self._pairs, pairs), len(self._pairs) - 1)
        known = self._pairs[place] == pairs
        return np.where(known, self._weights[place], 0.0), known

    def _arrays(self) -> dict[str, NDArray[Any]]:
        raw = self._pairs.view(np.uint8).reshape(len(self._pairs), -1)
        return {"pairs": raw, "weights": self._weights, "missing_mass": np.array([self.missing_mass_])}

    def _read(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        raw = np.ascontiguousarray(arrays["pairs"], np.uint8)
        self._pairs = raw.view(f"S{raw.shape[1]}").ravel()
        self._weights = np.asarray(arrays["weights"], np.float64)
        self.missing_mass_ = float(arrays["missing_mass"][0])


def _pairs(design: Design, labels: NDArray[np.bool_]) -> NDArray[np.bytes_]:
    """Return (n,) groups, masks and labels of each row as bytes."""
    return packed(np.hstack([design.w[:, :-1] != 0, labels]))


def _wanted(targets: Targets, w: Vector) -> Vector:
    """Return (C,) product over attributes of the wanted share of each cell's group; 1 for those that are masked."""
    found = np.ones(len(w))
    families = np.asarray(targets.families)
    shares = np.asarray(targets.shares)
    m = len(targets.columns)
    for family in range(len(targets.keys)):
        columns = np.flatnonzero(families == family)
        on = w[:, columns]
        if columns.size == 1:
            share = np.where(on[:, 0] > 0, shares[columns[0]], 1 - shares[columns[0]])
        else:
            share = on @ shares[columns]
        holds = w[:, m + family] > 0 if targets.masked else np.ones(len(w), bool)
        found *= np.where(holds, share, 1.0)
    return found
