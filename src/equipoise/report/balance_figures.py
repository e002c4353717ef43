"""Charts of a balance: moments, shares inside labels, what moved besides, what is kept, and the weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from equipoise.compare.data_wording import are_chances, judged
from equipoise.report.bars import histogram
from equipoise.report.charts import Point, domain, dumbbells
from equipoise.report.distributions import PANELS, Figure
from equipoise.report.numbers import number, whole
from equipoise.report.rows import Row, Subject

LINES = 24
MOMENTS = {"ab": "association (AB)", "rb": "shares (RB)", "share_error": "shares in labels"}
Panel = tuple[str, list[Point]]


def moments_figure(subject: Subject, name: str) -> list[Figure]:
    """Return the moments of targeted attributes before and after, a panel an attribute."""
    rows = [row for row in subject.gated if row["targeted"] and row["metric"] in MOMENTS and _both(row)]
    panels = [
        (key, [_point(row, MOMENTS[row["metric"]] + _family(row)) for row in rows if row["attribute"] == key])
        for key in dict.fromkeys(row["attribute"] for row in rows)
    ][:PANELS]
    if not rows:
        return []
    less = sum(row["change"] < 0 for row in rows)
    title = f"Moments of what was balanced: {whole(less)} of {whole(len(rows))} fell"
    return [_figure(name, title, panels, "Largest over groups and labels", ("before", "after"))]


def share_figures(subject: Subject, name: str) -> list[Figure]:
    """Return the share of each group inside each label, a figure an attribute, a panel a group."""
    rows = [row for row in _main(subject, "share_deviation") if row["targeted"] and _both(row)]
    wanted = subject.audit["parameters"].get("wanted") or {}
    found = []
    for i, key in enumerate(dict.fromkeys(row["attribute"] for row in rows)):
        own = [row for row in rows if row["attribute"] == key]
        groups = list(dict.fromkeys(row["group"] for row in own))
        shown = groups[:1] if len(groups) == 2 else groups[:PANELS]
        strip = _one_column([row["query"] for row in own if row["query"]])
        panels: list[Panel] = []
        for group in shown:
            lines = [row for row in own if row["group"] == group]
            lines.sort(key=lambda row: (bool(row["query"]), -abs(row["before"])))
            points = []
            for row in lines[:LINES]:
                at = (wanted.get(f"{key} | {row['query']}") or wanted[key])[group]
                label = strip(row["query"]) if row["query"] else "all rows"
                points.append(Point(label, at + row["after"], before=at + row["before"], chance=at, n=row["n"]))
            panels.append((f"{key}={group}", points))
        inside = [row for row in own if row["query"]] or own
        far = [max(abs(row[side]) for row in inside) for side in ("before", "after")]
        title = (
            f"Share of {shown[0] if len(shown) == 1 else 'each group'} inside each label: "
            f"the farthest from the wanted share goes from {number(far[0])} off to {number(far[1])}"
        )
        note = _drawn(len(panels[0][1]), len([row for row in own if row["group"] == shown[0]]))
        keys = ("before", "after", "wanted")
        found.append(_figure(f"{name}{i}", title, panels, "Share of the group", keys, note, scale=_close(panels)))
    return found


def other_figure(subject: Subject, name: str) -> list[Figure]:
    """Return what moved though nobody balanced it: associations and shares of other attributes and pairs."""
    rows = [
        row for row in subject.gated
        if not row["targeted"] and row["attribute"] and row["metric"] in MOMENTS and _both(row) and judged(row)
    ]  # fmt: skip
    if not rows:
        return []
    pairs = [row for row in rows if row["family"] == "pairs"]
    panels: list[Panel] = []
    if pairs:
        panels.append(
            (
                "one attribute with another",
                [_point(row, " with ".join(row["attribute"].split(":"))) for row in pairs[:LINES]],
            )
        )
    for key in list(dict.fromkeys(row["attribute"] for row in rows if row["family"] != "pairs"))[: PANELS - 1]:
        own = [row for row in rows if row["attribute"] == key and row["family"] != "pairs"]
        panels.append((key, [_point(row, MOMENTS[row["metric"]] + _family(row)) for row in own]))
    grew, fell = (sum(test(row["change"]) for row in rows) for test in (lambda c: c > 0, lambda c: c < 0))
    most = max(rows, key=lambda row: row["change"])
    title = f"What was not balanced: {whole(fell)} of {whole(len(rows))} fell, {whole(grew)} grew"
    if most["change"] > 0:
        title += f", by {number(most['change'])} at most"
    return [_figure(name, title, panels, "Largest over groups and labels", ("before", "after"))]


def retention_figure(subject: Subject, name: str) -> list[Figure]:
    """Return the share of rows kept by label and group, the labels of which least is kept first."""
    rows = [row for row in _main(subject, "retention") if row["query"] and row["after"] is not None]
    labels = sorted((row for row in rows if not row["attribute"]), key=lambda row: row["after"])
    if not labels:
        return []
    order = [row["query"] for row in labels[:LINES]]
    strip = _one_column(order)
    panels: list[Panel] = [
        ("all rows", [Point(strip(row["query"]), row["after"], n=row["n"]) for row in labels[:LINES]])
    ]
    for key, group in list(dict.fromkeys((row["attribute"], row["group"]) for row in rows if row["group"]))[
        : PANELS - 1
    ]:
        own = {row["query"]: row for row in rows if (row["attribute"], row["group"]) == (key, group)}
        points = [Point(strip(query), own[query]["after"], n=own[query]["n"]) for query in order if query in own]
        panels.append((f"{key}={group}", points))
    least = min((row for row in rows if row["n"]), key=lambda row: row["after"])
    where = f"{least['attribute']}={least['group']} in {least['query']}" if least["group"] else least["query"]
    chances = are_chances(subject.rows)
    size = f"{number(100 * least['after'])} %" if chances else number(least["after"])
    title = f"{'Rows kept' if chances else 'Mean weight'} by label and group: least of {where}, {size}"
    note = _drawn(len(order), len(labels), "those of which least is kept")
    return [
        _figure(
            name, title, panels, "Mean weight (share of the rows kept)" if chances else "Mean weight", ("value",), note
        )
    ]


def weight_figure(subject: Subject, name: str) -> list[Figure]:
    """Return the distribution of the weights, over all rows and by group."""
    rows = [row for row in subject.distributions if row["family"] == "weights"]
    keys = list(dict.fromkeys((row["attribute"], row["group"]) for row in rows))[:PANELS]
    parts: list[tuple[str, list[float], list[float], int]] = []
    body: list[list[str]] = []
    for key, group in keys:
        bins = sorted(
            (row for row in rows if (row["attribute"], row["group"]) == (key, group)), key=lambda row: row["low"]
        )
        n = sum(row["count"] for row in bins)
        heading = f"{key}={group}" if group else "all rows"
        shares = [row["count"] / n if n else 0.0 for row in bins]
        parts.append((heading, [*(row["low"] for row in bins), bins[-1]["high"]], shares, n))
        body += [
            [heading, f"{number(row['low'])} to {number(row['high'])}", whole(row["count"]), number(100 * share)]
            for row, share in zip(bins, shares, strict=True)
            if row["count"]
        ]
    if not parts:
        return []
    tallest = max(share for _, _, shares, _ in parts for share in shares)
    _, edges, shares, _ = parts[0]
    low = sum(share for edge, share in zip(edges, shares, strict=False) if edge < 0.5)
    title = f"How the weights are spread: {number(100 * low) or '0'} % of the rows have a weight under a half"
    drawn = [
        (
            f"{heading} ({whole(n)})",
            histogram(edges, shares, tallest, "Weight", name=f"{name}p{i}", title=f"{title}; {heading}",
                      text="; ".join(f"{line[1]}: {line[3]} %" for line in body if line[0] == heading)),
        )
        for i, (heading, edges, shares, n) in enumerate(parts)
    ]  # fmt: skip
    head = ["rows", "weight", "rows in it", "share (%)"]
    return [Figure(name, title, "The last bin holds the largest weight.", ("bar",), drawn, head, body, intervals=False)]


def _close(panels: Sequence[Panel]) -> tuple[float, float]:
    """Return a scale from the smallest to the largest share: what matters is the distance from the wanted one."""
    numbers = [
        value for _, points in panels for point in points for value in (point.before, point.after, point.chance)
        if value is not None
    ]  # fmt: skip
    air = 0.06 * (max(numbers) - min(numbers)) or 0.05
    return max(0.0, min(numbers) - air), min(1.0, max(numbers) + air)


def _figure(
    name: str, title: str, panels: Sequence[Panel], axis: str, keys: tuple[str, ...], note: str = "",
    scale: tuple[float, float] | None = None,
) -> Figure:  # fmt: skip
    scale = domain([points for _, points in panels]) if scale is None else scale
    paired = "before" in keys
    wanted = "wanted" in keys
    drawn = [
        (heading, dumbbells(points, scale, axis, signed=False, ticks=wanted, name=f"{name}p{i}",
                            title=f"{title}; {heading}", text=_spoken(points)))
        for i, (heading, points) in enumerate(panels)
    ]  # fmt: skip
    head = ["", "", *(["before"] if paired else []), "after", *(["wanted"] if wanted else []), "n"]
    body = [
        [heading, point.label, *([number(point.before)] if paired else []), number(point.after),
         *([number(point.chance)] if wanted else []), whole(point.n)]
        for heading, points in panels
        for point in points
    ]  # fmt: skip
    return Figure(name, title, note, keys, drawn, head, body, intervals=False)


def _point(row: Row, label: str) -> Point:
    return Point(label=label, after=row["after"], before=row["before"], n=row["n"])


def _family(row: Row) -> str:
    return {"proxies": ": proxies", "exempt": ": exempt labels"}.get(row["family"], "")


def _spoken(points: Sequence[Point]) -> str:
    lines = [
        f"{point.label}: " + (f"{number(point.before)} to " if point.before is not None else "") + number(point.after)
        for point in points[:8]
    ]
    more = f"; and {len(points) - 8} more lines" if len(points) > 8 else ""
    return "; ".join(lines) + more + ". The table below has all the numbers."


def _main(subject: Subject, metric: str) -> list[Row]:
    return [row for row in subject.rows if row["metric"] == metric and row["arm"] == "main"]


def _both(row: Row) -> bool:
    return row["before"] is not None and row["after"] is not None


def _drawn(shown: int, total: int, which: str = "the largest") -> str:
    return f"{whole(shown)} of {whole(total)} lines are drawn: {which}." if shown < total else ""


def _one_column(labels: Sequence[str]) -> Any:
    """Return a shortener of labels: where all are values of one column, its name is left out."""
    names = {label.partition("=")[0] for label in labels}
    return (lambda label: label.partition("=")[2] or label) if len(names) == 1 else (lambda label: label)
