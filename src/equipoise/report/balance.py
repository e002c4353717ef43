"""The part of the page that a balance of data has: moments, shares, what was paid and for what, and the controls."""

from __future__ import annotations

from typing import Any

from equipoise.compare.data_wording import are_chances, judged
from equipoise.compare.headline import main_row
from equipoise.compare.wording import method_title
from equipoise.report.balance_figures import (
    moments_figure,
    other_figure,
    retention_figure,
    share_figures,
    weight_figure,
)
from equipoise.report.bars import small_bar
from equipoise.report.bounds import Bounds
from equipoise.report.distributions import Figure
from equipoise.report.numbers import number, whole
from equipoise.report.rows import Row, Subject

PRICES, LABELS, LISTED, EMPTY = 15, 25, 50, 10
ROUNDING = 1e-12
CONTROLS = ("ab", "rb", "share_error", "retention", "ess", "max_weight", "prevalence_factor")


def is_balance(subject: Subject) -> bool:
    """Return whether a subject is a comparison of data."""
    return subject.kind == "comparison" and subject.audit.get("source") == "data"


def tile_rows(subject: Subject) -> list[tuple[str, Row | None, str]]:
    """Return title, row and what is said without one, of the three tiles."""
    others = [
        row for row in subject.gated if row["metric"] == "ab" and not row["targeted"] and row["after"] is not None
        and judged(row)
    ]  # fmt: skip
    kept = next((row for row in subject.gated if row["metric"] == "retention"), None)
    return [
        ("Targeted bias", main_row(subject.rows), "No attribute was targeted."),
        (
            "Not balanced: the largest",
            max(others, key=lambda row: row["after"], default=None),
            "No other attribute was looked at.",
        ),
        ("Rows kept" if are_chances(subject.rows) else "Mean weight", kept, "Nothing is known of what was kept."),
    ]


def balance_view(subject: Subject, prefix: str, bounds: Bounds) -> dict[str, Any] | None:
    """Return what the template shows of a balance; None for other subjects."""
    if not is_balance(subject):
        return None
    report = (subject.audit.get("mitigation") or {}).get("report") or {}
    chances = are_chances(subject.rows)
    figures: dict[str, list[Figure]] = {"moments": [], "shares": [], "others": [], "kept": [], "weights": []}
    if bounds.figures:
        figures["moments"] = moments_figure(subject, f"{prefix}-bm")
        figures["shares"] = share_figures(subject, f"{prefix}-bs")[: None if bounds.figures == 2 else 1]
        figures["others"] = other_figure(subject, f"{prefix}-bo")
        figures["kept"] = retention_figure(subject, f"{prefix}-bk") if bounds.figures == 2 else []
        figures["weights"] = weight_figure(subject, f"{prefix}-bw")
    return {
        "figures": figures,
        "certificate": _certificate(report),
        "prices": _prices(report, _tolerance_kind(subject)),
        "prices_total": whole(sum(bool(row["active"]) for row in report.get("constraints", []))),
        "chances": chances,
        "labels": _label_rows(subject, chances),
        "label_head": ["label", "rows", "kept" if chances else "mean weight", *_groups(subject), "prevalence before", "after", "factor"],
        "controls": _controls(subject),
        "control_head": [
            "method", "AB", "RB", "share error", "rows kept", "effective sample size", "largest weight", "prevalence factor"
        ],
        "sacrificed": _sacrificed(subject, chances),
        "exempt": [*report.get("exempt", [])][:LISTED],
        "empty": [*report.get("empty", [])][:EMPTY],
        "empty_total": len(report.get("empty", [])),
        "set_aside": [
            (reason, whole(count)) for reason, count in (subject.audit["parameters"].get("set_aside") or {}).items()
        ],
        "outside": [(key, whole(count)) for key, count in (subject.audit.get("unknown") or {}).items() if count],
        "notes": list(dict.fromkeys([*report.get("warnings", []), *report.get("notes", [])]))[:LISTED],
    }  # fmt: skip


def _certificate(report: dict[str, Any]) -> str:
    """Return how sure it is that no other weights are nearer to the rows as they are."""
    if not report:
        return ""
    status = {
        "exact": "The weights are the certified optimum",
        "approximate": "The weights are near the optimum",
        "softened": "Some constraints stay broken, as was asked for",
        "infeasible": "Constraints are broken at the last duals",
        "online": "The weights are those of one pass over the rows",
    }.get(report["status"], report["status"])
    parts = [f"price {number(report['price'])}", f"{whole(report['cells'])} cells"]
    if report["evaluations"]:
        parts.append(f"{whole(report['evaluations'])} evaluations")
    gap = "no duality gap"
    if report["gap"] is not None:
        gap = f"duality gap {report['gap']:.1e}" if report["gap"] > ROUNDING else f"duality gap under {ROUNDING:.0e}"
    limit = ""
    if (most := report["eta_max"]) is not None:
        limit = (
            f" At most {number(most)} could be kept."
            if most <= 1
            else f" The mean weight could be up to {number(most)}."
        )
    return f"{status}: {gap} ({', '.join(parts)}).{limit}".replace("e-", "e\N{MINUS SIGN}")


def _prices(report: dict[str, Any], kind: str) -> list[dict[str, str]]:
    active = [row for row in report.get("constraints", []) if row["active"]][:PRICES]
    largest = max((row["price"] for row in active), default=0.0)
    return [
        {
            "name": row["name"],
            "kind": " (proxy)" if row["proxy"] else "",
            "wanted": _wanted(row, kind),
            "before": number(row["before"]) or "\N{EN DASH}",
            "after": number(row["value"]) or "\N{EN DASH}",
            "price": number(row["price"]),
            "bar": small_bar(row["price"], largest),
            "broken": "broken" if row["broken"] else "",
        }
        for row in active
    ]


def _tolerance_kind(subject: Subject) -> str:
    return str(((subject.audit.get("mitigation") or {}).get("parameters") or {}).get("tolerance_kind", "share"))


def _wanted(row: Row, kind: str) -> str:
    """Return what is wanted, with the tolerance where it is one of that share and not of something else."""
    of_it = kind == "share" or row["kind"] == "prevalence"
    return f"{number(row['wanted'])} ± {number(row['tolerance'])}" if of_it else number(row["wanted"])


def _main(subject: Subject, metric: str) -> list[Row]:
    return [row for row in subject.rows if row["metric"] == metric and row["arm"] == "main"]


def _groups(subject: Subject) -> list[str]:
    """Return the groups of targeted attributes, as ``"gender=Female"``."""
    rows = [row for row in _main(subject, "retention") if row["group"] and row["query"]]
    return list(dict.fromkeys(f"{row['attribute']}={row['group']}" for row in rows))[:8]


def _label_rows(subject: Subject, chances: bool) -> list[list[str]]:
    """Return rows of the table of labels, those of which least is kept first."""
    said = percent if chances else _weight
    kept = _main(subject, "retention")
    labels = [row for row in kept if not row["attribute"] and row["query"] and row["after"] is not None]
    labels.sort(key=lambda row: row["after"])
    groups = _groups(subject)
    by_group = {(row["query"], f"{row['attribute']}={row['group']}"): row["after"] for row in kept if row["group"]}
    prevalence = {row["query"]: row for row in _main(subject, "prevalence")}
    factor = {row["query"]: row["after"] for row in _main(subject, "prevalence_factor")}
    found = []
    for row in labels[:LABELS]:
        share = prevalence.get(row["query"], {})
        found.append([
            row["query"], whole(row["n"]), said(row["after"]),
            *(said(by_group.get((row["query"], group))) for group in groups),
            number(share.get("before")), number(share.get("after")), number(factor.get(row["query"])),
        ])  # fmt: skip
    return found


def _controls(subject: Subject) -> list[list[str]]:
    balanced = (subject.audit.get("mitigation") or {}).get("attributes") or ()
    before: dict[str, Any] = {"arm": "As they are"}
    for row in subject.gated:
        if row["before"] is not None and row["attribute"] in ("", *balanced) and row["family"] == "data":
            before[row["metric"]] = max(row["before"], before.get(row["metric"], row["before"]))
    found = [*subject.document.get("controls", [])]
    if not any(control["arm"] == "noop-data" for control in found):
        found = [before, *found]
    named = {"As they are": "As they are", "noop-data": "As they are", "main": subject.title.split(" on ")[0]}
    found.sort(key=lambda control: named.get(str(control["arm"])) != "As they are")
    return [
        [
            named.get(str(control["arm"])) or method_title(str(control["arm"])),
            *(number(control.get(name)) or "\N{EN DASH}" for name in CONTROLS),
        ]
        for control in found
    ]


def _sacrificed(subject: Subject, chances: bool) -> list[str]:
    """Say in rows what was given up: of all, of each group, of the labels hit hardest."""
    kept = _main(subject, "retention")
    found = []
    for row in kept:
        if row["query"] or row["after"] is None:
            continue
        if not chances:
            who = f"{row['attribute']}={row['group']}" if row["attribute"] else "all rows"
            if row["targeted"] or not row["attribute"]:
                found.append(f"The mean weight of {who} ({whole(row['n'])}) is {number(row['after'])}.")
            continue
        lost = round(row["n"] * (1 - row["after"]))
        if not row["attribute"]:
            found.append(f"{whole(lost)} of {whole(row['n'])} rows in expectation ({percent(1 - row['after'])}).")
        elif row["targeted"]:
            found.append(f"{whole(lost)} of the {whole(row['n'])} rows of {row['attribute']}={row['group']} "
                         f"({percent(1 - row['after'])}).")  # fmt: skip
    return found


def _weight(value: float | None) -> str:
    return number(value) or "\N{EN DASH}"


def percent(value: float | None) -> str:
    """Return ``"95.2 %"``, or a dash."""
    return "\N{EN DASH}" if value is None else f"{number(100 * value) or 0} %"
