"""A balance in the terminal: before and after, what it costs, what is dearest, and how sure the optimum is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from equipoise.compare.data_wording import percent
from equipoise.report.numbers import number, whole

DEAREST = 5
ROUNDED = 6  # decimals of what is zero but for rounding
_MOMENTS = {
    "rb": "RB (shares of groups)",
    "ab": "AB (association of labels)",
    "share_error": "share error in labels",
    "ab_proxy": "AB of proxies",
    "share_error_proxy": "share error in proxies",
}


def balance_lines(report: Any, kind: str = "share") -> list[str]:
    """Return what a BalanceReport says, a line each.

    Parameters
    ----------
    report : BalanceReport
    kind : {"share", "absolute", "gap"}
        What the tolerance is of.
    """
    lines = []
    for name, title in _MOMENTS.items():
        if name in report.before and name in report.after:
            lines.append(f"{title}: {_said(report.before[name])} -> {_said(report.after[name])}")
    masked = ", ".join(f"{percent(value)} of those with a {key}" for key, value in report.masked_retention.items())
    lines.append(f"kept: {percent(report.retention)} of {whole(report.rows_used)} rows ({masked})")
    if (worst := _worst(report)) is not None:
        lines.append(worst)
    lines.append(
        f"effective sample size {number(report.ess)}, largest weight {number(report.max_weight)} times the mean, "
        f"prevalence of a label changed by a factor of up to {number(report.prevalence_factor)}"
    )
    return [*lines, *cost_lines(report, kind)]


def cost_lines(report: Any, kind: str = "share") -> list[str]:
    """Return what a BalanceReport says beyond a ledger: the dearest constraints, what was left out, the certificate."""
    lines = _dearest(report, kind)
    if report.exempt:
        shown = "; ".join(report.exempt[:3])
        more = f"; and {len(report.exempt) - 3} more" if len(report.exempt) > 3 else ""
        lines.append(f"not balanced, since no weights could: {shown}{more}")
    if report.empty:
        lines.append(f"labels without a row: {', '.join(report.empty[:10])}")
    return [*lines, certificate(report)]


def certificate(report: Any) -> str:
    """Return the status of the solution with its duality gap."""
    gap = f"duality gap {max(report.gap, 0.0):.1e}" if math.isfinite(report.gap) else "no duality gap"
    limit = ""
    if math.isfinite(most := report.eta_max):
        limit = (
            f"; at most {number(most)} could be kept"
            if most <= 1
            else f"; the mean weight could be up to {number(most)}"
        )
    return (
        f"{report.status}: {gap}, price {number(report.price)}, {whole(report.cells)} cells, "
        f"{whole(report.evaluations)} evaluations{limit}"
    )


def control_lines(controls: Sequence[Mapping[str, Any]], named: Any) -> list[str]:
    """Return one line a control: what the same data are like under its weights."""
    lines = []
    for control in controls:
        if control["arm"] == "main":
            continue
        parts = [
            f"{title} {number(round(control[name], ROUNDED))}"
            for name, title in (
                ("rb", "RB"),
                ("ab", "AB"),
                ("retention", "kept"),
                ("ess", "ESS"),
                ("max_weight", "max w"),
            )
            if name in control
        ]
        lines.append(f"{named(control['arm'])}: {', '.join(parts)}")
    return lines


def summary_of(report: Any) -> dict[str, Any]:
    """Return the report as the result of ``--json``: numbers, the dearest constraints, what is worst."""
    worst = min(report.labels, key=lambda row: _finite(row.retention), default=None)
    by_group = [
        (value, row.name, group)
        for row in report.labels
        for group, value in row.group_retention.items()
        if math.isfinite(value)
    ]
    least = min(by_group, default=None)
    return {
        "status": report.status,
        "before": {name: estimate.value for name, estimate in report.before.items()},
        "after": {name: estimate.value for name, estimate in report.after.items()},
        "retention": report.retention,
        "masked_retention": dict(report.masked_retention),
        "worst_label": None if worst is None else {"label": worst.name, "rows": worst.rows, "retention": worst.retention},
        "worst_group": None if least is None else {"label": least[1], "group": least[2], "retention": least[0]},
        "ess": report.ess,
        "max_weight": report.max_weight,
        "prevalence_factor": report.prevalence_factor,
        "gap": report.gap,
        "price": report.price,
        "eta": report.eta,
        "eta_max": report.eta_max,
        "cells": report.cells,
        "dearest": [
            {"constraint": row.name, "price": row.price, "wanted": row.wanted, "tolerance": row.tolerance,
             "before": row.before, "after": row.value, "broken": row.broken}
            for row in report.active[:10]
        ],
        "exempt": list(report.exempt),
        "empty": list(report.empty),
        "set_aside": dict(report.set_aside),
    }  # fmt: skip


def _said(estimate: Any) -> str:
    return number(estimate.value) if estimate.has_value else f"{estimate.status.replace('_', ' ')}: {estimate.reason}"


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.inf


def _worst(report: Any) -> str | None:
    found = summary_of(report)
    label, group = found["worst_label"], found["worst_group"]
    if label is None or not math.isfinite(label["retention"]):
        return None
    text = f"least is kept of {label['label']}: {percent(label['retention'])} of {whole(label['rows'])} rows"
    if group is not None:
        text += f"; of {group['group']} in {group['label']} {percent(group['retention'])}"
    return text


def _dearest(report: Any, kind: str) -> list[str]:
    active = report.active[:DEAREST]
    if not active:
        return ["no constraint costs anything"]
    lines = [f"dearest of {whole(len(report.active))} constraints that cost anything, by price per unit of tolerance:"]
    for row in active:
        mark = ", broken" if row.broken else ""
        # other tolerances are of something else than the share that stands beside them
        allowed = f" ± {number(row.tolerance)}" if kind == "share" or row.kind == "prevalence" else ""
        lines.append(
            f"  {row.name}: {number(row.before)} -> {number(row.value)} "
            f"(wanted {number(row.wanted)}{allowed}), price {number(row.price)}{mark}"
        )
    return lines
