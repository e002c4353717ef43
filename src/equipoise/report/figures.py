"""Which charts a subject gets, what their titles find, and the table behind each.

Every panel is bounded: the lines with the largest change (or value) are drawn, in the order of the data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from equipoise.compare.headline import main_row
from equipoise.compare.wording import capital, descriptor, family_title, method_title, metric_title, split_metric
from equipoise.report.charts import Point, domain, dumbbells, varies
from equipoise.report.distributions import GROUPS, PANELS, Figure, distribution_figures
from equipoise.report.numbers import number, whole, with_interval
from equipoise.report.rows import Row, Subject
from equipoise.report.sentences import main_rows

LINES, FIGURES = 40, 6


def figures_of(subject: Subject, prefix: str, *, full: bool = True) -> list[Figure]:
    """Return the charts of one subject, ids starting with ``prefix``; the main ones alone unless ``full``."""
    chosen = main_row(subject.rows) if subject.kind == "comparison" else None
    if chosen is None:
        chosen = next(iter(main_rows(subject.rows)), None)
    return [
        *_by_group(subject, chosen, prefix)[: None if full else 1],
        *_by_query(subject, chosen, prefix),
        *(distribution_figures(subject, chosen, prefix) if full else []),
        *_arms(subject, chosen, prefix),
    ]


# ------------------------------------------------------------------------------------------------------- dumbbells


def _by_group(subject: Subject, chosen: Row | None, prefix: str) -> list[Figure]:
    rows = [
        row for row in subject.rows if row["arm"] == "main" and row["group"] and not row["query"] and row["attribute"]
    ]
    kinds = list(dict.fromkeys((row["metric"], row["family"]) for row in rows))
    if chosen is not None:
        kinds.sort(key=lambda kind: kind[1] != chosen["family"])
    found = []
    for number_, (metric, family) in enumerate(kinds[:FIGURES]):
        own = [row for row in rows if (row["metric"], row["family"]) == (metric, family)]
        panels = _panels(own, lambda row: row["attribute"], lambda row: row["group"], GROUPS)
        where = f" of {family_title(family)}" if family else ""
        searches = sum(query.get("family") == family for query in subject.audit.get("queries") or [])
        mean = f", mean over {whole(searches)} searches" if family and searches > 1 else ""
        title = f"{capital(metric_title(metric))}{where} by group{mean}: {_moved(own)}"
        found.append(
            _dumbbell_figure(
                f"{prefix}-g{number_}",
                title,
                metric,
                panels,
                lambda row: row["group"],
                len(own),
                folded=number_ > 0 and bool(family),
            )
        )
    return found


def _by_query(subject: Subject, chosen: Row | None, prefix: str) -> list[Figure]:
    rows = [row for row in subject.rows if row["arm"] == "main" and row["query"] and not row["group"]]
    found = []
    attributes = list(dict.fromkeys(row["attribute"] for row in rows if row["targeted"] and row["attribute"]))
    if not attributes and chosen is not None:
        attributes = [chosen["attribute"]]
    for number_, attribute in enumerate(attributes[:FIGURES]):
        own = [row for row in rows if row["attribute"] == attribute and row["family"] != "explicit"]
        metrics = list(dict.fromkeys(row["metric"] for row in own))
        if not metrics:
            continue
        mark = " (targeted)" if own[0]["targeted"] else ""
        wanted = chosen["metric"] if chosen is not None and chosen["metric"] in metrics else metrics[0]
        own = [row for row in own if row["metric"] == wanted]
        panels = _panels(
            own, lambda row: capital(family_title(row["family"])), lambda row: row["query"], LINES, ordered=True
        )
        title = f"{capital(metric_title(wanted))} by query, {attribute}{mark}: {_moved(own)}"
        found.append(
            _dumbbell_figure(f"{prefix}-q{number_}", title, wanted, panels, _query_label(own), len(own), marked=False)
        )
    explicit = [row for row in rows if row["family"] == "explicit"]
    for number_, metric in enumerate(dict.fromkeys(row["metric"] for row in explicit)):
        own = [row for row in explicit if row["metric"] == metric]
        panels = _panels(
            own, lambda row: row["attribute"] or "asked for by name", lambda row: row["query"], LINES, ordered=True
        )
        title = f"Queries that name a group, {metric_title(metric)}: {_moved(own)}"
        found.append(_dumbbell_figure(f"{prefix}-e{number_}", title, metric, panels, _query_label(own), len(own)))
    return found


def _arms(subject: Subject, chosen: Row | None, prefix: str) -> list[Figure]:
    """Methods side by side: the headline's metric and family for every attribute, one line an arm."""
    if chosen is None or not any(row["arm"] != "main" for row in subject.rows):
        return []
    own = [
        row
        for row in subject.rows
        if not row["group"] and not row["query"] and row["attribute"]
        and (row["metric"], row["family"]) == (chosen["metric"], chosen["family"])
    ]  # fmt: skip
    mine = subject.title.split(" on ")[0]
    panels = _panels(own, lambda row: row["attribute"], lambda row: row["arm"], GROUPS)

    def label(row: Row) -> str:
        return mine if row["arm"] == "main" else method_title(row["arm"])

    target = [row for row in own if row["attribute"] == chosen["attribute"] and row["after"] is not None]
    best = min(target, key=lambda row: abs(row["after"]), default=None)
    where = f" of {family_title(chosen['family'])}" if chosen["family"] else ""
    title = f"Methods side by side, {metric_title(chosen['metric'])}{where}"
    if best is not None:
        title += f": {label(best)} ends nearest to zero for {chosen['attribute']}, {number(best['after'])}"
    return [_dumbbell_figure(f"{prefix}-m", title, chosen["metric"], panels, label, len(own))]


def side_by_side(subjects: Sequence[Subject], prefix: str) -> list[Figure]:
    """Return several ledgers or audits as small multiples: a panel an attribute, a line a subject."""
    found: list[Row] = []
    kind: tuple[str, str] | None = None
    titles = [subject.title.split(" on ")[0] for subject in subjects]
    short = len({subject.title.partition(" on ")[2] for subject in subjects}) == 1 and len(set(titles)) == len(titles)
    for subject in subjects:
        main = main_row(subject.rows) if subject.kind == "comparison" else None
        main = main or next(iter(main_rows(subject.rows)), None)
        if kind is None and main is not None:
            kind = (main["metric"], main["family"])
        found += [
            {**row, "arm": subject.title.split(" on ")[0] if short else subject.title}
            for row in subject.gated
            if row["attribute"] and (row["metric"], row["family"]) == kind
        ]
    if kind is None or not found:
        return []
    panels = _panels(found, lambda row: row["attribute"], lambda row: row["arm"], LINES)
    where = f" of {family_title(kind[1])}" if kind[1] else ""
    title = f"{capital(metric_title(kind[0]))}{where}, side by side"
    return [_dumbbell_figure(f"{prefix}-m", title, kind[0], panels, lambda row: row["arm"], len(found), marked=False)]


def _panels(
    rows: Sequence[Row],
    key: Callable[[Row], str],
    label: Callable[[Row], str],
    most: int,
    ordered: bool = False,
) -> list[tuple[str, list[Row]]]:
    """Split rows into panels of at most ``most`` lines: those with the largest change, else value; targeted ones first."""
    split: dict[str, list[Row]] = {}
    for row in rows:
        split.setdefault(key(row), []).append(row)
    order = sorted(split.items(), key=lambda item: not item[1][0]["targeted"])
    found = []
    for name, own in order[:PANELS]:
        own = [row for row in own if row["after"] is not None or row["before"] is not None]
        largest = sorted(range(len(own)), key=lambda i: -_size(own[i]))[:most]
        kept = [own[i] for i in (largest if ordered else sorted(largest))]
        if ordered:
            kept.sort(key=lambda row: -(row["before"] if row["before"] is not None else row["after"]))
        if kept:
            found.append((name, kept))
    return found


def _size(row: Row) -> float:
    return max(abs(row[key]) for key in ("change", "after", "before") if row[key] is not None)


def _moved(rows: Sequence[Row]) -> str:
    """Say what the lines of a chart did, from their own numbers."""
    changed = [row["change"] for row in rows if row["change"] is not None]
    if changed:
        less, more = sum(change < 0 for change in changed), sum(change > 0 for change in changed)
        words = ("less bias", "more") if any(row["attribute"] for row in rows) else ("better", "worse")
        return f"{words[0]} in {whole(less)} of {whole(len(changed))}, {words[1]} in {whole(more)}"
    values = [row["after"] for row in rows if row["after"] is not None]
    return f"from {number(min(values))} to {number(max(values))}" if values else "no number"


def _point(row: Row, label: str) -> Point:
    chance = row["null_after"] if row["null_after"] is not None else row["null_before"]
    keys = ("after", "after_low", "after_high", "before", "before_low", "before_high", "n")
    return Point(label=label, chance=chance, **{key: row[key] for key in keys})


def _dumbbell_figure(
    name: str,
    title: str,
    metric: str,
    panels: list[tuple[str, list[Row]]],
    label: Callable[[Row], str],
    total: int,
    folded: bool = False,
    marked: bool = True,
) -> Figure:
    points = [[_point(row, label(row)) for row in rows] for _, rows in panels]
    scale = domain(points)
    ticks = any(varies(own) for own in points)
    known = descriptor(metric)
    signed = known.signed if known is not None else split_metric(metric)[0] == "skew"
    unit = f" ({known.unit})" if known is not None and known.unit and not known.unit.startswith("share") else ""
    axis = capital(metric_title(metric)) + unit
    drawn = [
        (
            heading + (" (targeted)" if marked and rows[0]["targeted"] else ""),
            dumbbells(
                own,
                scale,
                axis,
                signed=signed,
                ticks=ticks,
                name=f"{name}p{i}",
                title=f"{title}; {heading}",
                text=_spoken(own),
            ),
        )
        for i, ((heading, rows), own) in enumerate(zip(panels, points, strict=True))
    ]
    lines = sum(map(len, points))
    note = (
        f"{whole(lines)} of {whole(total)} lines are drawn: the largest of those with enough rows."
        if lines < total
        else ""
    )
    paired = any(point.before is not None for own in points for point in own)
    chance = any(point.chance is not None for own in points for point in own)
    keys = (
        *(("before",) if paired else ()),
        "after" if paired else "value",
        *(("tick" if ticks else "chance",) if chance else ()),
    )
    head = ["", "", *(["before", "after", "change"] if paired else ["value"]), *(["chance"] if chance else []), "n"]
    body = [
        [
            heading,
            point.label,
            *([with_interval(point.before, point.before_low, point.before_high)] if paired else []),
            with_interval(point.after, point.after_low, point.after_high),
            *([number(row["change"])] if paired else []),
            *([number(point.chance)] if chance else []),
            whole(point.n),
        ]
        for (heading, rows), own in zip(panels, points, strict=True)
        for row, point in zip(rows, own, strict=True)
    ]
    return Figure(name, title, note, keys, drawn, head, body, folded)


def _spoken(points: Sequence[Point]) -> str:
    """Describe a panel to somebody who does not see it; the table beside it holds every number."""
    lines = [
        f"{point.label}: "
        + (f"{number(point.before)} to {number(point.after)}" if point.before is not None else number(point.after))
        for point in points[:8]
    ]
    more = f"; and {len(points) - 8} more lines" if len(points) > 8 else ""
    return "; ".join(lines) + more + ". The table below has all the numbers."


def _query_label(rows: Sequence[Row]) -> Callable[[Row], str]:
    """Return a labeller that leaves out the words with which all queries of a family begin."""
    shared: dict[str, int] = {}
    for family in dict.fromkeys(row["family"] for row in rows):
        words = [row["query"].split() for row in rows if row["family"] == family]
        same = 0
        while all(len(text) > same + 1 and text[same] == words[0][same] for text in words):
            same += 1
        shared[family] = same

    def label(row: Row) -> str:
        text = " ".join(row["query"].split()[shared[row["family"]] :])
        return re.sub(r"^(a photo of )?(an? )?", "", text, count=1, flags=re.IGNORECASE)

    return label
