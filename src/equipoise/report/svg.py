"""Small inline SVG: chart-engine output made safe and theme-aware, interval bars, and before-and-after bars.

Charts are drawn with stand-in colours (:data:`INK`) that become CSS variables here, so that one drawing is legible in
light and dark. Everything passes through an XML tree, so that text is always escaped.
"""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

INK = {
    "#010101": "var(--ink)",
    "#020202": "var(--muted)",
    "#030303": "var(--grid)",
    "#040404": "var(--before)",
    "#050505": "var(--after)",
    "#060606": "var(--band)",
    "#070707": "var(--paper)",
}
"""Stand-in colours of a chart and the CSS variables they stand for."""

SVG = "http://www.w3.org/2000/svg"
_DEFAULT = {("opacity", "1"), ("stroke-width", "1"), ("font-size", "12px"), ("font-weight", "normal")}
_DIGITS = re.compile(r"\d+\.\d{3,}")
_DROPPED = ("aria-hidden", "aria-roledescription", "aria-label", "pointer-events", "class", "role", "font-family")


def themed(source: str, name: str, title: str, description: str) -> str:
    """Return a chart for inlining: ids unique on the page, colours as CSS variables, a title and a description.

    Parameters
    ----------
    source : str
        SVG as a chart engine wrote it.
    name : str
        Prefix of every id, unique on the page: letters, digits and hyphens.
    title, description : str
        What the chart says, for readers who do not see it.
    """
    root = ElementTree.fromstring(source)  # noqa: S314  written by our own chart engine
    ids: dict[str, str] = {}
    for element in root.iter():
        if (old := element.get("id")) is not None:
            ids.setdefault(old, f"{name}-{len(ids)}")
    _clean(root, ids)
    for child in [child for child in root if child.tag == f"{{{SVG}}}rect"]:
        root.remove(child)  # the engine's background
    width, height = root.get("width", "0"), root.get("height", "0")
    root.attrib.clear()
    root.attrib.update(
        {
            "width": width,
            "height": height,
            "viewBox": f"0 0 {width} {height}",
            "role": "img",
            "aria-labelledby": f"{name}-t {name}-d",
        }
    )
    for position, (tag, text) in enumerate((("title", title), ("desc", description))):
        element = ElementTree.Element(f"{{{SVG}}}{tag}", {"id": f"{name}-{tag[0]}"})
        element.text = text
        root.insert(position, element)
    for element in root.iter():
        element.tag = element.tag.removeprefix(f"{{{SVG}}}")
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=False)


def _clean(element: ElementTree.Element, ids: dict[str, str]) -> None:
    for key in _DROPPED:
        element.attrib.pop(key, None)
    for key, value in list(element.attrib.items()):
        if (key, value) in _DEFAULT:  # as the style sheet of the page has it
            del element.attrib[key]
            continue
        if key in ("d", "transform", "x", "y", "x2", "y2", "width", "height"):
            value = _DIGITS.sub(lambda found: f"{float(found[0]):.2f}", value)
        value = INK.get(value, value)
        value = re.sub(r"url\(#([^)]+)\)", lambda found: f"url(#{ids[found[1]]})", value)
        element.set(key, ids.get(value, value) if key == "id" else value)
    for child in list(element):
        empty = child.get("display") == "none" or (
            child.tag.endswith("}path") and child.get("d") in ("", "M0,0h0v0h0Z")
        )
        if empty:
            element.remove(child)
        else:
            _clean(child, ids)
            if child.tag.endswith("}g") and not len(child):
                element.remove(child)


def interval_bar(value: float | None, low: float | None, high: float | None, margin: float | None) -> str:
    """Return a change and its interval against the band of its margin, as a small SVG; ``""`` without a number.

    The scale is the margin: the band reaches from -1 to 1 margin and the picture from -4 to 4. What lies outside
    ends in an arrow at the edge; a change that does is said in words too. The rest is decoration to a reader who does
    not see it: the numbers stand beside it.
    """
    if value is None or not margin:
        return ""
    reach, width, middle, height = 4.0, 128.0, 64.0, 18
    unit = (middle - 8) / reach

    def at(number: float) -> float:
        return middle + max(-reach, min(reach, number / margin)) * unit

    parts = [
        f'<svg class="bar" width="{width:g}" height="{height}" viewBox="0 0 {width:g} {height}" aria-hidden="true">',
        f'<rect x="{middle - unit:.1f}" y="1" width="{2 * unit:.1f}" height="16" fill="var(--band)"></rect>',
        f'<line x1="{middle:g}" x2="{middle:g}" y1="0" y2="18" stroke="var(--muted)"></line>',
    ]
    if low is not None and high is not None:
        left, right = at(low), at(high)
        parts.append(
            f'<line x1="{left:.1f}" x2="{right:.1f}" y1="9" y2="9" stroke="var(--after)" stroke-width="2"></line>'
        )
        if low / margin < -reach:
            parts.append(f'<path d="M{left - 7:.1f} 9l7 -4v8z" fill="var(--after)"></path>')
        if high / margin > reach:
            parts.append(f'<path d="M{right + 7:.1f} 9l-7 -4v8z" fill="var(--after)"></path>')
    if abs(value / margin) <= reach:
        parts.append(f'<circle cx="{at(value):.1f}" cy="9" r="4" fill="var(--after)"></circle>')
        return "".join(parts) + "</svg>"
    out = math.copysign(1.0, value)
    edge, size = at(value), f"{abs(value / margin):.3g}"
    parts.append(f'<circle cx="{edge - 5 * out:.1f}" cy="9" r="4" fill="var(--after)"></circle>')
    parts.append(f'<path d="M{edge + 7 * out:.1f} 9l{-7 * out:g} -5v10z" fill="var(--after)"></path>')
    where = "below" if value < 0 else "above"
    return "".join(parts) + f'</svg><span class="unseen">{size} margins {where} none, beyond the edge</span>'


Side = tuple[float | None, float | None, float | None]


def pair_bar(before: Side | None, after: Side, chance: float | None) -> str:
    """Return before (hollow) above after (filled) on one axis from zero, chance as a dashed line; ``""`` without numbers.

    Parameters
    ----------
    before, after : tuple
        Value, low and high limit; ``before`` is None for an audit that stands alone.
    chance : float or None
        The value expected with no disparity.
    """
    sides = [side for side in (before, after) if side is not None and side[0] is not None]
    if not sides:
        return ""
    numbers = [number for side in sides for number in side if number is not None] + [0.0]
    numbers += [] if chance is None else [chance]
    low, high = min(numbers), max(numbers)
    width, edge = 240.0, 7.0
    scale = (width - 2 * edge) / (high - low or 1.0)

    def at(number: float) -> str:
        return f"{edge + (number - low) * scale:.1f}"

    height = 34 if before is not None else 20
    parts = [
        f'<svg class="pair" width="{width:g}" height="{height}" viewBox="0 0 {width:g} {height}" aria-hidden="true">',
        f'<line x1="{at(0)}" x2="{at(0)}" y1="0" y2="{height}" stroke="var(--muted)"></line>',
    ]
    if chance is not None:
        parts.append(
            f'<line x1="{at(chance)}" x2="{at(chance)}" y1="0" y2="{height}" stroke="var(--muted)" '
            'stroke-dasharray="3 3"></line>'
        )
    for side, name in ((before, "before"), (after, "after")):
        if side is None or side[0] is None:
            continue
        y, (value, lower, upper) = (height - 10 if name == "after" else 10), side
        if lower is not None and upper is not None:
            parts.append(
                f'<line x1="{at(lower)}" x2="{at(upper)}" y1="{y}" y2="{y}" stroke="var(--{name})" '
                'stroke-width="2"></line>'
            )
        fill = "var(--after)" if name == "after" else "var(--paper)"
        parts.append(
            f'<circle cx="{at(value or 0.0)}" cy="{y}" r="5" fill="{fill}" stroke="var(--{name})" stroke-width="2"></circle>'
        )
    return "".join(parts) + "</svg>"
