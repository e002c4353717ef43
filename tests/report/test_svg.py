from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from equipoise.report.charts import Point, Ridge, dumbbells, ridges, short, wrapped
from equipoise.report.svg import interval_bar, pair_bar

BAD = "</script><img src=x onerror=alert(1)>"


def draw(name="a", label=BAD):
    points = [Point(label, 0.1, 0.0, 0.2, 0.3, 0.2, 0.4, 0.05, 10), Point("B", -0.2)]
    return dumbbells(points, (-0.4, 0.5), "Skew", signed=True, name=name, title=BAD, text=BAD)


def test_a_chart_is_escaped_well_formed_and_titled():
    drawn = draw()
    root = ElementTree.fromstring(drawn)
    assert "<img" not in drawn
    assert root.find("title").text == BAD
    assert root.find("desc").text == BAD
    assert root.get("role") == "img"
    assert set(root.get("aria-labelledby").split()) == {"a-t", "a-d"}


def test_colours_are_variables_and_fonts_are_left_to_the_page():
    drawn = draw()
    assert "var(--after)" in drawn
    assert not re.search(r"#0[1-7]0\d0\d|font-family", drawn)
    assert 'fill="white"' not in drawn


def test_ids_are_unique_and_repeatable():
    first, second = draw("a"), draw("b")
    ids = re.findall(r'id="([^"]+)"', first + second)
    assert len(ids) == len(set(ids))
    assert draw("a") == first
    for used in re.findall(r"url\(#([^)]+)\)", first + second):
        assert used in ids


def test_layout_does_not_depend_on_names():
    size = re.compile(r'<svg width="(\d+)" height="(\d+)"')
    assert size.search(draw(label="x")).groups() == size.search(draw(label="a much longer name of a group")).groups()
    assert size.search(draw()).group(1) == "328"


def test_ridges():
    groups = [
        Ridge("F", (0.0, 1.0, 2.0), (0.5, 0.5), (0.25, 0.75), 100),
        Ridge("M", (0.0, 1.0, 2.0), None, (1.0, 0.0), 50),
    ]
    assert groups[0].mean("after") == pytest.approx(1.25)
    assert groups[1].mean("before") is None
    drawn = ridges(groups, (0.0, 2.0), "sd", name="r", title="t", text="d")
    assert ElementTree.fromstring(drawn).get("width") == "328"


def test_labels():
    assert short("a  b\nc") == "a b c"
    assert short("x" * 40).endswith("…")
    assert wrapped("Female:Latino_Hispanic") == ["Female:", "Latino_Hispanic"]
    assert wrapped("Difference projection") == ["Difference projection"]


def x_of(drawn, tag):
    return [float(x) for x in re.findall(rf'<{tag}[^>]* (?:cx|x)="([\d.]+)"', drawn)]


def test_the_interval_bar_is_drawn_in_units_of_the_margin():
    bar = interval_bar(0.1, 0.05, 0.15, 0.1)
    (band_left,) = x_of(bar, "rect")
    (dot,) = x_of(bar, "circle")
    assert dot - 64 == pytest.approx(64 - band_left)
    assert interval_bar(0.1, None, None, None) == ""
    assert interval_bar(None, None, None, 0.1) == ""
    beyond = interval_bar(9.0, 8.0, 10.0, 0.1)
    (dot,) = x_of(beyond, "circle")
    assert 64 + (64 - band_left) < dot < 128
    assert "<path" in beyond
    exact = interval_bar(-0.135, None, None, 0.02)
    (dot,) = x_of(exact, "circle")
    assert 0 < dot < band_left
    assert exact.count("<path") == 1
    assert '<span class="unseen">6.75 margins below none, beyond the edge</span>' in exact
    assert "unseen" not in bar


def test_the_pair_bar_has_one_axis_from_zero():
    bar = pair_bar((0.4, 0.3, 0.5), (0.2, None, None), 0.1)
    before, after = x_of(bar, "circle")
    assert before - 7 == pytest.approx(2 * (after - 7) - 0, abs=0.2)
    assert pair_bar(None, (None, None, None), 0.1) == ""
