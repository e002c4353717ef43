"""Score distributions by group, before and after, from the histograms of a comparison; and the form of every figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from equipoise.compare.wording import family_title
from equipoise.report.charts import Ridge, ridges, spread
from equipoise.report.numbers import number, whole
from equipoise.report.rows import Row, Subject

GROUPS, PANELS = 16, 6


@dataclass(frozen=True)
class Figure:
    """A chart for the template: panels side by side on one scale, and the same numbers as a table."""

    id: str
    title: str
    note: str
    keys: tuple[str, ...]
    panels: list[tuple[str, str]]
    head: list[str]
    body: list[list[str]]
    folded: bool = False
    intervals: bool = True


def distribution_figures(subject: Subject, chosen: Row | None, prefix: str) -> list[Figure]:
    """Return the figure of the headline's family, a panel an attribute; none without histograms."""
    families = list(dict.fromkeys(row["family"] for row in subject.distributions))
    if not families:
        return []
    family = chosen["family"] if chosen is not None and chosen["family"] in families else families[0]
    own = [row for row in subject.distributions if row["family"] == family]
    targeted = {row["attribute"] for row in subject.rows if row["targeted"]}
    panels, body = [], []
    order = sorted(dict.fromkeys(row["attribute"] for row in own), key=lambda name: name not in targeted)
    title = f"Standardised scores of {family_title(family) or 'all queries'} by group, before and after"
    drawn_groups = {name: _ridges([row for row in own if row["attribute"] == name]) for name in order[:PANELS]}
    scale = spread([ridge for groups in drawn_groups.values() for ridge in groups])
    for i, attribute in enumerate(order[:PANELS]):
        groups = drawn_groups[attribute]
        means = [(ridge, ridge.mean("before"), ridge.mean("after")) for ridge in groups]
        text = "; ".join(f"{ridge.label}: mean {number(b)} to {number(a)}" for ridge, b, a in means[:8])
        heading = attribute + (" (targeted)" if attribute in targeted else "")
        axis = "Cosine, standardised over all rows (sd)"
        drawn = ridges(groups, scale, axis, name=f"{prefix}-d{i}", title=f"{title}; {attribute}", text=text)
        panels.append((heading, drawn))
        body += [[attribute, ridge.label, number(b), number(a), whole(ridge.n)] for ridge, b, a in means]
    note = "The height is the share of the group's scores, the dot their mean. A group further right fits the queries better."
    head = ["", "", "mean before (sd)", "mean after (sd)", "scores"]
    return [Figure(f"{prefix}-d", title, note, ("curve-before", "curve-after"), panels, head, body)]


def _ridges(rows: Sequence[Row]) -> list[Ridge]:
    split: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        split.setdefault(row["group"], {}).setdefault(row["side"], []).append(row)
    found = []
    for group, sides in split.items():
        bins = sorted(next(iter(sides.values())), key=lambda row: row["low"])
        edges = (*(row["low"] for row in bins), bins[-1]["high"])
        shares: dict[str, Any] = {}
        n = 0
        for side, own in sides.items():
            counts = [row["count"] for row in sorted(own, key=lambda row: row["low"])]
            n = max(n, int(sum(counts)))
            shares[side] = tuple(count / (sum(counts) or 1) for count in counts)
        found.append(Ridge(group, edges, shares.get("before"), shares.get("after"), n))
    largest = sorted(range(len(found)), key=lambda i: -found[i].n)[:GROUPS]
    return [found[i] for i in sorted(largest)]
