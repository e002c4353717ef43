"""Histograms as SVG text, drawn like the charts of :mod:`.charts`, and small bars that stand in a table."""

from __future__ import annotations

from collections.abc import Sequence

from equipoise.report.charts import _AFTER, PLOT, _Data, _drawn, _lines

HEIGHT = 132


def histogram(
    edges: Sequence[float], shares: Sequence[float], tallest: float, axis: str, *, name: str, title: str, text: str
) -> str:
    """Return a histogram.

    Parameters
    ----------
    edges : sequence of float (b + 1,)
    shares : sequence of float (b,)
        Heights in [0, 1].
    tallest : float
        Top of the common vertical scale.
    axis : str
        Title of the horizontal axis, with its unit.
    name, title, text : str
        Prefix of ids, title and description of the drawing.
    """
    import altair as alt

    data = _Data()
    rows = [
        {"low": low, "high": high, "share": 100 * share, "floor": 0.0}
        for low, high, share in zip(edges, edges[1:], shares, strict=False)
        if share
    ]
    x_scale = alt.Scale(domain=[edges[0], edges[-1]], nice=False, zero=False)
    y_scale = alt.Scale(domain=[0, 100 * tallest], nice=True)
    chart = (
        alt.Chart(data.add(rows))
        .mark_rect(color=_AFTER)
        .encode(
            x=alt.X("low:Q", scale=x_scale, axis=alt.Axis(title=_lines(axis), tickCount=4)),
            x2="high:Q",
            y=alt.Y("floor:Q", scale=y_scale, axis=alt.Axis(title="rows (%)", tickCount=4)),
            y2="share:Q",
        )
    )
    return _drawn(alt.layer(chart), data, HEIGHT, name, title, text, len(_lines(axis)) - 1)


def small_bar(value: float | None, largest: float) -> str:
    """Return a bar as long as its share of the largest value; decoration beside the number."""
    if value is None or not largest > 0:
        return ""
    width = max(1.0, 0.6 * PLOT * min(1.0, value / largest))
    return (
        f'<svg class="bar" width="{0.6 * PLOT:.0f}" height="12" viewBox="0 0 {0.6 * PLOT:.0f} 12" aria-hidden="true">'
        f'<rect x="0" y="2" width="{width:.1f}" height="8" fill="var(--after)"></rect></svg>'
    )
