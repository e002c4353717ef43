"""Charts as SVG text: dumbbells and score distributions, drawn by Altair and vl-convert without a browser.

A panel is 328 CSS pixels wide, so that text keeps its size on the narrowest screen; several panels stand side by side
and share one scale. The layout depends on the number of rows and never on the length or order of names.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from equipoise.compare.wording import capital
from equipoise.report.svg import themed

WIDTH, LABELS, PLOT, RIGHT = 328, 152, 166, 10
LONGEST, AXIS = 21, 26
_INK, _MUTED, _GRID, _BEFORE, _AFTER, _BAND, _PAPER = (f"#0{i}0{i}0{i}" for i in range(1, 8))


@dataclass(frozen=True)
class Point:
    """One line of a dumbbell panel; a value that is None is not drawn."""

    label: str
    after: float | None
    after_low: float | None = None
    after_high: float | None = None
    before: float | None = None
    before_low: float | None = None
    before_high: float | None = None
    chance: float | None = None
    n: int | None = None


@dataclass(frozen=True)
class Ridge:
    """Histograms of one group on one axis: bin edges (b + 1,), shares of the group's rows (b,)."""

    label: str
    edges: tuple[float, ...]
    before: tuple[float, ...] | None
    after: tuple[float, ...] | None
    n: int

    def mean(self, side: str) -> float | None:
        """Return the mean of the histogram ``before`` or ``after``; None where there is none."""
        shares = getattr(self, side)
        if shares is None:
            return None
        return sum(share * (a + b) / 2 for share, a, b in zip(shares, self.edges, self.edges[1:], strict=False))


def short(label: str, longest: int = LONGEST) -> str:
    """Return a label cut to what fits beside a chart."""
    label = " ".join(label.split()) or "(empty)"
    return label if len(label) <= longest else label[: longest - 1] + "…"


def wrapped(label: str) -> list[str]:
    """Return the label of an intersection as two lines, any other as one, whatever its length."""
    first, colon, rest = label.partition(":")
    return [short(first + colon), short(rest)] if colon and rest.strip() else [short(label)]


def _lines(title: str) -> list[str]:
    """Break the title of an axis so that it fits under the plot."""
    return textwrap.wrap(title, AXIS)[:3]


def domain(panels: Sequence[Sequence[Point]]) -> tuple[float, float]:
    """Return the common scale of several panels: all values and limits, chance, and zero unless it is far off."""
    keys = ("after", "after_low", "after_high", "before", "before_low", "before_high", "chance")
    numbers = [
        value for panel in panels for point in panel for key in keys if (value := getattr(point, key)) is not None
    ]
    numbers = numbers or [0.0]
    low, high = min(numbers), max(numbers)
    if not 0 < high - low < 0.6 * low:  # rates far from zero are told apart only without it
        low, high = min(0.0, low), max(0.0, high)
    air = 0.04 * (high - low) or 1.0
    return (0.0 if low == 0 else low - air), high + air


def dumbbells(
    points: Sequence[Point],
    scale: tuple[float, float],
    axis: str,
    *,
    signed: bool,
    ticks: bool = False,
    name: str,
    title: str,
    text: str,
) -> str:
    """Return before (hollow) and after (filled) with their intervals, a line a row, over the band of chance.

    Parameters
    ----------
    points : sequence of Point
        In the order of display.
    scale : tuple of float
        Common limits of the axis.
    axis : str
        Its title, with the unit.
    signed : bool
        Whether the band of chance lies on both sides of zero.
    ticks : bool
        Mark chance on each line instead of by one band, for lines whose chance differs.
    name, title, text : str
        Prefix of ids, title and description of the drawing.
    """
    import altair as alt

    data = _Data()
    paired = any(point.before is not None for point in points)
    roomy = len(points) <= 16
    step, lines = (30, wrapped) if roomy else (20, lambda label: [short(label)])
    rows = [{**vars(point), "label": lines(point.label), "y": i} for i, point in enumerate(points)]
    x_scale = alt.Scale(domain=list(scale), nice=False, zero=False, clamp=True)
    y = alt.Y("y:O", axis=None, scale=alt.Scale(domain=list(range(len(rows)))))
    base = alt.Chart(data.add(rows)).encode(y=y)
    shown_axis = alt.Axis(title=_lines(axis), tickCount=4, orient="bottom")
    layers: list[Any] = []
    chance = max((point.chance for point in points if point.chance is not None), default=None)
    if chance is not None and ticks:
        layers.append(
            base.transform_filter("isValid(datum.chance)")
            .mark_tick(color=_MUTED, thickness=2, size=14)
            .encode(x=alt.X("chance:Q", scale=x_scale, axis=shown_axis))
        )
    elif chance is not None:
        band = [{"from": max(scale[0], -chance) if signed else max(scale[0], 0.0), "to": min(scale[1], chance)}]
        layers.append(
            alt.Chart(data.add(band))
            .mark_rect(color=_BAND)
            .encode(x=alt.X("from:Q", scale=x_scale, axis=shown_axis), x2="to:Q")
        )
    offset = 3 if paired else 0
    if scale[0] < 0 < scale[1]:
        layers.append(alt.Chart(data.add([{"z": 0}])).mark_rule(color=_MUTED).encode(x=alt.X("z:Q", scale=x_scale)))
    x = {side: alt.X(f"{side}:Q", scale=x_scale, axis=shown_axis) for side in ("before", "after")}
    if paired:
        layers += [
            base.mark_rule(color=_MUTED, strokeWidth=1, opacity=0.5).encode(x=x["before"], x2="after:Q"),
            base.transform_filter("isValid(datum.before_low)")
            .mark_rule(color=_BEFORE, strokeWidth=1.5, yOffset=-offset)
            .encode(x=alt.X("before_low:Q", scale=x_scale, axis=shown_axis), x2="before_high:Q"),
            base.transform_filter("isValid(datum.before)")
            .mark_point(
                shape="circle",
                size=42,
                filled=True,
                fill=_PAPER,
                stroke=_BEFORE,
                strokeWidth=1.75,
                opacity=1,
                yOffset=-offset,
            )
            .encode(x=x["before"]),
        ]
    layers += [
        base.transform_filter("isValid(datum.after_low)")
        .mark_rule(color=_AFTER, strokeWidth=1.5, yOffset=offset)
        .encode(x=alt.X("after_low:Q", scale=x_scale, axis=shown_axis), x2="after_high:Q"),
        base.transform_filter("isValid(datum.after)")
        .mark_point(shape="circle", size=50, filled=True, fill=_AFTER, opacity=1, yOffset=offset)
        .encode(x=x["after"]),
        *_labels(data, rows, y),
    ]
    return _drawn(alt.layer(*layers), data, len(rows) * step, name, title, text, len(_lines(axis)) - 1)


class _Data(dict[str, list[dict[str, Any]]]):
    """Data sets of one chart by name: Altair copies what stands in the chart itself at every step."""

    def add(self, values: list[dict[str, Any]]) -> Any:
        """Keep the values and return the reference to them."""
        import altair as alt

        self[name := f"d{len(self)}"] = values
        return alt.NamedData(name=name)


def _labels(data: _Data, rows: Sequence[dict[str, Any]], y: Any) -> list[Any]:
    """Return the layers that write labels of one and of two lines beside the plot."""
    import altair as alt

    layers = []
    for place, of, shift in ((0, 1, 0), (0, 2, -7), (1, 2, 7)):
        texts = [{"y": row["y"], "label": row["label"][place]} for row in rows if len(row["label"]) == of]
        if texts:
            layers.append(
                alt.Chart(data.add(texts))
                .mark_text(align="right", baseline="middle", dx=-8, dy=shift, color=_INK, fontSize=12)
                .encode(x=alt.value(0), y=y, text="label:N")
            )
    return layers


def varies(points: Sequence[Point]) -> bool:
    """Return whether chance differs so much between rows that one band would mislead."""
    found = [point.chance for point in points if point.chance is not None]
    return bool(found) and max(found) - min(found) > 0.5 * max(map(abs, found))


def ridges(groups: Sequence[Ridge], scale: tuple[float, float], axis: str, *, name: str, title: str, text: str) -> str:
    """Return one line a group: scores before as an outline, after as a filled curve, on one axis.

    The height of a curve is the share of the group's rows; the dots are the means of the histograms.
    """
    import altair as alt

    data = _Data()
    step, tallest = 48, 36.0
    top = max((share for ridge in groups for side in (ridge.before, ridge.after) for share in side or ()), default=1.0)
    low, high = scale
    x_scale = alt.Scale(domain=[low, high], nice=False, zero=False, clamp=True)
    height = step * len(groups) + 8
    y_scale = alt.Scale(domain=[-8, height - 8], range=[height, 0])
    curves, labels = [], []
    for i, ridge in enumerate(groups):
        floor = height - 8 - (i + 1) * step
        middles = [(a + b) / 2 for a, b in zip(ridge.edges, ridge.edges[1:], strict=False)]
        labels.append({"y": floor + 14, "label": wrapped(ridge.label)})
        for side in ("before", "after"):
            shares = getattr(ridge, side)
            for x, share in zip(middles, shares or (), strict=bool(shares)):
                if low <= x <= high:
                    curves.append(
                        {
                            "x": round(x, 4),
                            "y": round(floor + share / top * tallest, 2),
                            "y0": floor,
                            "side": side,
                            "i": i,
                        }
                    )
    base = alt.Chart(data.add(curves))
    x = alt.X("x:Q", scale=x_scale, axis=alt.Axis(title=_lines(axis), tickCount=5))
    y = alt.Y("y:Q", scale=y_scale, axis=None)
    layers = [
        base.transform_filter("datum.side == 'after'")
        .mark_area(color=_AFTER, opacity=0.35, interpolate="monotone", line={"color": _AFTER, "strokeWidth": 1.5})
        .encode(x=x, y=y, y2="y0:Q", detail="i:N"),
        base.transform_filter("datum.side == 'before'")
        .mark_line(color=_BEFORE, strokeWidth=1.5, strokeDash=[4, 2], interpolate="monotone")
        .encode(x=x, y=y, detail="i:N"),
        *(
            alt.Chart(
                data.add(
                    [
                        {"x": ridge.mean(side), "y": height - 8 - (i + 1) * step}
                        for i, ridge in enumerate(groups)
                        if getattr(ridge, side)
                    ]
                )
            )
            .mark_point(shape="circle", size=38, filled=True, fill=fill, stroke=stroke, strokeWidth=1.75, opacity=1)
            .encode(x=x, y=y)
            for side, fill, stroke in (("before", _PAPER, _BEFORE), ("after", _AFTER, _AFTER))
        ),
        *_labels(data, labels, y),
    ]
    return _drawn(alt.layer(*layers), data, height, name, title, text, len(_lines(axis)) - 1)


def spread(groups: Sequence[Ridge]) -> tuple[float, float]:
    """Return where the histograms have rows, so that empty tails take no room."""
    filled = [
        edge
        for ridge in groups
        for side in (ridge.before, ridge.after)
        for i, share in enumerate(side or ())
        if share > 1e-3
        for edge in ridge.edges[i : i + 2]
    ]
    return (min(filled), max(filled)) if filled else (-1.0, 1.0)


def _drawn(chart: Any, data: _Data, height: int, name: str, title: str, text: str, extra: int = 0) -> str:
    import vl_convert

    spec = chart.properties(
        width=PLOT,
        height=height,
        autosize={"type": "none"},
        padding={"left": LABELS, "top": 6, "right": RIGHT, "bottom": 46 + 14 * extra},
        background="#070707",
    ).configure(aria=False, font="sans-serif")
    spec = spec.configure_view(stroke=None).configure_axis(
        labelColor=_INK,
        titleColor=_INK,
        gridColor=_GRID,
        domainColor=_MUTED,
        tickColor=_MUTED,
        labelFontSize=12,
        titleFontSize=12,
        titleFontWeight="normal",
        titlePadding=8,
        domain=False,
        labelFlush=False,
    )
    source = vl_convert.vegalite_to_svg({**spec.to_dict(validate=False), "datasets": data})
    return themed(source, name, capital(title), text)
