"""What a balance did: bias before and after, what each constraint costs, and what was paid in rows, by label and group.

Notation: weights w, E_w a weighted mean over the rows of an attribute's mask.

    RB_k = |E_w[s_k] - pi_k|                                     the share of a group against the wanted one
    AB_kr = |E_w[y_r | s_k = 1] - E_w[y_r | s_k = 0]|             how much a label depends on a group
    share error_kr = |E_w[s_k | y_r] - pi_kr|                     the share of a group inside a label
    ESS = (sum w)^2 / (N sum w^2),     prevalence factor = max_r max(p'_r / p_r, p_r / p'_r)

The price of a constraint is the derivative of the optimum in its tolerance t: with E[q A] = t E[q C] it is |lambda| E[q C]
(envelope theorem), where C is M y_r (``share``), pi (1 - pi) M (``gap``), p_r (prevalence) or 1 (``absolute``). Prices of
different labels are on one scale only as such: lambda alone is the larger, the rarer the label.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.estimate import Estimate
from equipoise.mitigate.data.moment_view import MomentView, ratio, wanted_shares
from equipoise.mitigate.data.moments import PRESERVED, Moments
from equipoise.mitigate.data.solution import Solution
from equipoise.mitigate.data.targets import Targets

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class ConstraintRow:
    """One constraint and what it costs.

    Attributes
    ----------
    wanted, before, value : float
        The share (or prevalence) wanted, found and reached.
    tolerance : float
        Distance from it that is allowed.
    lam : float
        Dual lambda of the constraint.
    price : float
        Shadow price, at least 0: by how much the objective 1/2 E[(q - eta u)^2] falls for each unit of tolerance, hence a
        hundredth of it for a point (0.01). The unit is that of the tolerance as it was asked for: share, difference of
        rates (``gap``), share of the prevalence (``preserve``). Prices are not unique where labels exclude each other and
        one always holds (their constraints add up to that over all rows), nor at the largest mean weight.
    """

    name: str
    kind: str
    wanted: float
    before: float
    value: float
    tolerance: float
    lam: float
    price: float
    active: bool
    broken: bool
    proxy: bool = False


@dataclass(frozen=True)
class LabelRow:
    """One label: its rows, what is kept of them in all and of each group, and its prevalence before and after."""

    name: str
    proxy: bool
    rows: int
    retention: float
    group_retention: dict[str, float]
    prevalence_before: float
    prevalence_after: float


@dataclass(frozen=True)
class BalanceReport:
    """What a balance did.

    Attributes
    ----------
    status : str
        ``exact`` (certified optimum), ``approximate`` (the gap is above 1e-6), ``softened`` (constraints stay broken, as
        asked for), ``online`` (duals of one pass over rows, without a certificate) or ``infeasible`` (the published mode,
        where the last duals leave constraints broken).
    before, after : dict of str to Estimate
        ``rb``, ``ab``, ``share_error``: largest over groups and labels, ``*_proxy`` over proxies.
    constraints : tuple of ConstraintRow
        Dearest first: by :attr:`ConstraintRow.price`.
    labels : tuple of LabelRow
    retention : float
        Mean weight: the share of the rows that is kept where weights are probabilities.
    masked_retention : dict of str to float
        The same over the rows in which the groups of an attribute hold, by attribute.
    worst_retention : float
        Smallest retention of a group inside a label.
    ess, max_weight, prevalence_factor : float
        ``max_weight`` is relative to the mean weight; the factor is over the labels that keep any weight.
    gap, objective, price, eta : float
        Certificate; ``price`` is the V of the solution, ``eta`` NaN in free-mean mode.
    eta_max : float
        Largest mean weight with which the constraints hold; NaN where it was not computed.
    exempt : tuple of str
        Constraints that no weights can meet, left out: *not balanced*.
    empty : tuple of str
        Declared labels without rows.
    rows_in, rows_used : int
    set_aside : dict of str to int
    notes, warnings : tuple of str
    """

    status: str
    before: dict[str, Estimate]
    after: dict[str, Estimate]
    constraints: tuple[ConstraintRow, ...]
    labels: tuple[LabelRow, ...]
    retention: float
    masked_retention: dict[str, float]
    worst_retention: float
    ess: float
    max_weight: float
    prevalence_factor: float
    gap: float
    objective: float
    price: float
    eta: float
    eta_max: float
    evaluations: int
    cells: int
    exempt: tuple[str, ...]
    empty: tuple[str, ...]
    rows_in: int
    rows_used: int
    set_aside: dict[str, int]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def active(self) -> tuple[ConstraintRow, ...]:
        """Constraints that cost something, dearest first."""
        return tuple(row for row in self.constraints if row.active)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; NaN is None."""
        return _plain(
            asdict(self) | {side: {k: e.as_dict() for k, e in getattr(self, side).items()} for side in _SIDES}
        )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> BalanceReport:
        """Rebuild from :meth:`to_dict`."""
        keys = dict(data)
        for side in _SIDES:
            keys[side] = {name: Estimate(**_numbers(value, _ESTIMATE)) for name, value in keys[side].items()}
        keys["constraints"] = tuple(ConstraintRow(**_numbers(row, _ROW)) for row in keys["constraints"])
        keys["labels"] = tuple(LabelRow(**_numbers(row, _LABEL)) for row in keys["labels"])
        for name in ("exempt", "empty", "notes", "warnings"):
            keys[name] = tuple(keys[name])
        return cls(**_numbers(keys, _NUMBERS))


_SIDES = ("before", "after")
_NUMBERS = ("retention", "worst_retention", "ess", "max_weight", "prevalence_factor", "gap", "objective", "price", "eta",
            "eta_max")  # fmt: skip
_ROW = ("wanted", "before", "value", "tolerance", "lam", "price")
_LABEL = ("retention", "prevalence_before", "prevalence_after")
_ESTIMATE = ("value", "low", "high", "numerator", "denominator", "null_value", "p")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def _numbers(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {key: math.nan if value is None and key in names else value for key, value in row.items()}


def make_report(
    *,
    status: str,
    targets: Targets,
    moments: Moments,
    before: Vector,
    after: Vector,
    weights: Vector,
    counts: Vector,
    solution: Solution,
    eta_max: float,
    exempt: Sequence[str],
    empty: Sequence[str],
    set_aside: Mapping[str, int],
    notes: Sequence[str],
    warnings: Sequence[str],
) -> BalanceReport:
    """Return the report of weights on cells; ``before`` and ``after`` are their summed moments (w, R)."""
    total, kept = float(counts.sum()), float(counts @ weights)
    n = round(total)
    wanted = wanted_shares(moments, targets)
    old, new = (MomentView.of(table, moments, wanted) for table in (before, after))
    prevalence = [ratio(view.total[:-1], view.total[-1:]) for view in (old, new)]
    with np.errstate(invalid="ignore", divide="ignore"):
        drift = np.where((prevalence[0] > 0) & (prevalence[1] > 0), prevalence[1] / prevalence[0], np.nan)
        drifts = np.concatenate([drift, 1 / drift])
    labels = _label_rows(targets, old, new, prevalence)
    by_group = [value for row in labels for value in row.group_retention.values() if math.isfinite(value)]
    overall = ratio(new.rows[:, -1], old.rows[:, -1])
    aside = dict(set_aside)
    return BalanceReport(
        status=status,
        before=old.estimates(targets.proxies, n),
        after=new.estimates(targets.proxies, n),
        constraints=_constraint_rows(moments, targets, solution, old, new, moments.carried(after) / total),
        labels=labels,
        retention=kept / total,
        masked_retention={key: float(overall[targets.families.index(f)]) for f, key in enumerate(targets.keys)},
        worst_retention=min(by_group, default=math.nan),
        ess=kept**2 / (total * float(counts @ weights**2)) if kept else 0.0,
        max_weight=float(weights.max()) * total / kept if kept else math.nan,
        prevalence_factor=float(np.nanmax(drifts)) if np.isfinite(drifts).any() else 1.0,
        gap=solution.gap,
        objective=solution.objective,
        price=solution.price,
        eta=math.nan if solution.free_mean else solution.eta,
        eta_max=eta_max,
        evaluations=solution.evaluations,
        cells=len(counts),
        exempt=tuple(exempt),
        empty=tuple(empty),
        rows_in=n + sum(aside.values()),
        rows_used=n,
        set_aside=aside,
        notes=tuple(notes),
        warnings=tuple(warnings),
    )


def _label_rows(
    targets: Targets, old: MomentView, new: MomentView, prevalence: Sequence[Vector]
) -> tuple[LabelRow, ...]:
    of_group = ratio(new.group, old.group)
    others = ratio(new.rows - new.group, old.rows - old.group)
    kept = ratio(new.total, old.total)
    found = []
    for r, name in enumerate(targets.labels):
        groups: dict[str, float] = {}
        for k, column in enumerate(targets.columns):
            groups[column] = float(of_group[k, r])
            names = targets.groups[targets.attributes[k]]
            if targets.families.count(targets.families[k]) == 1:  # two groups: the column says both
                other = f"{targets.attributes[k]}={names[1]}" if len(names) == 2 else f"not {column}"
                groups[other] = float(others[k, r])
        rows, before, after = round(float(old.total[r])), float(prevalence[0][r]), float(prevalence[1][r])
        found.append(LabelRow(name, targets.proxies[r], rows, float(kept[r]), groups, before, after))
    return tuple(found)


def _constraint_rows(
    moments: Moments, targets: Targets, solution: Solution, old: MomentView, new: MomentView, carried: Vector
) -> tuple[ConstraintRow, ...]:
    proxies = (*targets.proxies, False)
    lam = solution.duals.lam
    found = []
    for j, name in enumerate(moments.names):
        k, r = int(moments.column[j]), int(moments.row[j])
        if k == PRESERVED:
            kind, before, value = "prevalence", old.total[r] / old.total[-1], ratio(new.total[r], new.total[-1])
        else:
            kind = "first" if r == len(moments.labels) else "second"
            before, value = old.share[k, r], new.share[k, r]
        found.append(
            ConstraintRow(
                name=name,
                kind=kind,
                wanted=float(moments.share[j]),
                before=float(before),
                value=float(value),
                tolerance=float(moments.tolerance[j]),
                lam=float(lam[j]),
                price=float(abs(lam[j]) * carried[j]),
                active=bool(abs(lam[j]) > 1e-9),
                broken=bool(solution.broken[j]),
                proxy=proxies[r],
            )
        )
    order = sorted(range(len(found)), key=lambda j: (-found[j].price, j))
    return tuple(found[j] for j in order)
