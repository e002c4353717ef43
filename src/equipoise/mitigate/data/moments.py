"""What balancing constrains: centred columns of attribute and label, their wanted shares and their tolerances.

Alabdulmohsin et al., "CLIP the Bias: How Useful is Balancing Data in Multimodal Learning?", ICLR 2024, arXiv 2403.04547.
With weights q, E the mean over rows, s_k the column of a group, M_k the mask of its attribute (rows where exactly one
group holds), y_r a label and y_c = 1, a constraint j reads

    |E[q D_j]| <= E[q A_j],     D_j = M_k (s_k - pi_kr) y_r   or   D_j = y_r - p_r  (prevalence kept)

so that |E[q D_j]| / E[q M_k y_r] is the distance of a group's share inside a label from the wanted share. The tolerance
A_j is delta M_k y_r (``share``: the distance of the share itself), a constant (``absolute``, as published), or
t pi (1 - pi) M_k (``gap``: bounds the difference of label rates between groups by about t).

Notation: m columns, G masks, c labels, R = c + 1 rows of moments, J constraints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.errors import InputError

KINDS = ("share", "absolute", "gap")
PRESERVED = -1
"""Number of the attribute column of a constraint that keeps a label's prevalence: it has none."""


@dataclass(frozen=True)
class Moments:
    """Constraints on the moments of weighted rows.

    Attributes
    ----------
    names : tuple of str (J,)
        As ``"share(gender=woman | occupation=nurse)"``.
    columns, labels : tuple of str (m,), (c,)
        As ``"gender=woman"`` and ``"occupation=nurse"``.
    masks : ndarray (m,), int64
        Number of the mask of each column, from 0; ``n_masks`` stands for "every row".
    n_masks : int
    column, row : ndarray (J,), int64
        Attribute column (:data:`PRESERVED` for none) and label of each constraint; label c stands for "every row".
    share : ndarray (J,), float64
        Wanted share in [0, 1]; of a preserved label its prevalence.
    tolerance : ndarray (J,), float64
        At least 0.
    unit : ndarray (J,), float64
        By how much ``tolerance`` grows for each unit of the tolerance that was asked for: 1 (``share``, ``absolute``),
        pi (1 - pi) (``gap``), p_r (prevalence).
    tolerance_mask, tolerance_row : ndarray (J,), int64
        The rows that carry the tolerance: A_j is ``tolerance * M * y``.
    """

    names: tuple[str, ...]
    columns: tuple[str, ...]
    labels: tuple[str, ...]
    masks: NDArray[np.int64]
    n_masks: int
    column: NDArray[np.int64]
    row: NDArray[np.int64]
    share: NDArray[np.float64]
    tolerance: NDArray[np.float64]
    unit: NDArray[np.float64]
    tolerance_mask: NDArray[np.int64]
    tolerance_row: NDArray[np.int64]
    _maps: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def shape(self) -> tuple[int, int]:
        """Return the shape of a table of moments: (m + G + 1, c + 1)."""
        return len(self.columns) + self.n_masks + 1, len(self.labels) + 1

    def maps(self) -> tuple[Any, Any]:
        """Return the two sparse matrices (w R, J) that turn moments into E[q D] and E[q A]."""
        if not self._maps:
            from scipy.sparse import csr_array

            m, c = len(self.columns), len(self.labels)
            width, rows = self.shape
            j = np.arange(len(self))
            second = self.column >= 0
            mask = np.append(self.masks, self.n_masks)[self.column]  # PRESERVED picks "every row"
            first = np.where(second, self.column, m + self.n_masks) * rows + self.row
            centre = (m + mask) * rows + np.where(second, self.row, c)
            carried = (m + self.tolerance_mask) * rows + self.tolerance_row
            size = (width * rows, len(self))
            places = (np.concatenate([first, centre]), np.concatenate([j, j]))
            values = np.concatenate([np.ones(len(self)), -self.share])
            self._maps["d"] = csr_array((values, places), shape=size)
            self._maps["a"] = csr_array((self.tolerance, (carried, j)), shape=size)
            self._maps["dt"] = self._maps["d"].T.tocsr()
            self._maps["at"] = self._maps["a"].T.tocsr()
        return self._maps["d"], self._maps["a"]

    def coefficients(self, lam: NDArray[np.float64], sigma: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return theta (w, R) with sum_j (lam_j D_j - sigma_j A_j) = sum theta * moments of a row."""
        d, a = self.maps()
        return (d @ lam - a @ sigma).reshape(self.shape)

    def values(self, moments: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (E[q D], E[q A]), each (J,), of a table (w, R) of moments."""
        self.maps()
        flat = moments.ravel()
        return self._maps["dt"] @ flat, self._maps["at"] @ flat

    def carried(self, moments: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (J,) E[q A] for each unit of tolerance, ``unit * E[q M y]``, of a table (w, R) of moments."""
        return self.unit * moments[len(self.columns) + self.tolerance_mask, self.tolerance_row]

    def without(self, drop: NDArray[np.bool_]) -> Moments:
        """Return the constraints that are not dropped."""
        keep = np.flatnonzero(~drop)
        return Moments(
            names=tuple(self.names[j] for j in keep),
            columns=self.columns,
            labels=self.labels,
            masks=self.masks,
            n_masks=self.n_masks,
            **{name: getattr(self, name)[keep] for name in _PER_CONSTRAINT},
        )


_PER_CONSTRAINT = ("column", "row", "share", "tolerance", "unit", "tolerance_mask", "tolerance_row")


def build_moments(
    columns: Sequence[str],
    shares: Sequence[float],
    labels: Sequence[str],
    *,
    masks: Sequence[int] | None = None,
    n_masks: int = 0,
    tolerance: float = 0.05,
    tolerance_first: float | None = None,
    kind: str = "share",
    label_shares: Mapping[tuple[str, str], float] | None = None,
    preserve: float | None = None,
    prevalence: NDArray[np.float64] | None = None,
) -> Moments:
    """Return one constraint a pair of column and label, one a column, and one a preserved label.

    Parameters
    ----------
    columns, labels : sequence of str (m,), (c,)
    shares : sequence of float (m,)
        Wanted share of each column, in [0, 1].
    masks : sequence of int (m,), optional
        Mask of each column; every row where None.
    n_masks : int
    tolerance : float in [0, 0.5]
        delta of the second order, in the unit of ``kind``.
    tolerance_first : float, optional
        delta of the first order; ``tolerance / 10`` when None.
    kind : {"share", "absolute", "gap"}
    label_shares : mapping of (column, label) to float, optional
        Shares wanted inside a label in place of ``shares``.
    preserve : float, optional
        gamma: the prevalence of every label is kept within gamma of itself.
    prevalence : ndarray (c,), float64
        p_r = E[y_r] before; needed with ``preserve``.

    Raises
    ------
    InputError
        For a tolerance, a share or a gamma out of range.
    """
    m, c = len(columns), len(labels)
    first = tolerance / 10 if tolerance_first is None else tolerance_first
    for name, value in (("tolerance", tolerance), ("tolerance_first", first)):
        check_tolerance(name, value)
    if kind not in KINDS:
        raise InputError(f"tolerance_kind is {kind!r}.", f"It is one of {', '.join(KINDS)}.", value=kind)
    every = n_masks
    mask = np.full(m, every) if masks is None else np.asarray(masks, np.int64)
    k, r = (grid.ravel() for grid in np.meshgrid(np.arange(m), np.arange(c + 1), indexing="ij"))
    share = np.asarray(shares, np.float64)[k]
    for (column, label), value in (label_shares or {}).items():
        share[(k == columns.index(column)) & (r == labels.index(label))] = value
    if not ((share >= 0) & (share <= 1)).all():
        raise InputError(f"A wanted share is {share[(share < 0) | ~(share <= 1)][0]:g}.", "Shares lie in [0, 1].")
    allowed = np.where(r == c, first, tolerance)
    rows = r if kind == "share" else np.full(r.size, c)
    unit = share * (1 - share) if kind == "gap" else np.ones(k.size)
    carried = np.full(k.size, every) if kind == "absolute" else mask[k]
    names = [
        f"share({columns[i]})" if j == c else f"share({columns[i]} | {labels[j]})"
        for i, j in zip(k.tolist(), r.tolist(), strict=True)
    ]
    parts = {
        "column": k, "row": r, "share": share, "tolerance": allowed * unit, "unit": unit, "tolerance_mask": carried,
        "tolerance_row": rows,
    }  # fmt: skip
    if preserve is not None:
        if prevalence is None or not 0 <= preserve <= 1:
            raise InputError(f"preserve is {preserve!r}.", "It lies in [0, 1]: 0.1 keeps prevalence within a tenth.")
        names += [f"prevalence({label})" for label in labels]
        kept = {
            "column": np.full(c, PRESERVED), "row": np.arange(c), "share": prevalence,
            "tolerance": preserve * prevalence, "unit": prevalence, "tolerance_mask": np.full(c, every),
            "tolerance_row": np.full(c, c),
        }  # fmt: skip
        parts = {name: np.concatenate([parts[name], kept[name]]) for name in parts}
    return Moments(
        names=tuple(names),
        columns=tuple(columns),
        labels=tuple(labels),
        masks=mask.astype(np.int64),
        n_masks=n_masks,
        column=parts["column"].astype(np.int64),
        row=parts["row"].astype(np.int64),
        share=parts["share"].astype(np.float64),
        tolerance=parts["tolerance"].astype(np.float64),
        unit=parts["unit"].astype(np.float64),
        tolerance_mask=parts["tolerance_mask"].astype(np.int64),
        tolerance_row=parts["tolerance_row"].astype(np.int64),
    )


def check_tolerance(name: str, value: float) -> None:
    """Refuse a tolerance outside [0, 0.5]."""
    if not (isinstance(value, (int, float)) and 0 <= value <= 0.5):
        hint = f"write {value / 100:g} for {value:g} points of share" if 0.5 < value <= 50 else "it is a share"
        raise InputError(f"{name}={value:g} is outside [0, 0.5];", f"{hint}.", value=value)
