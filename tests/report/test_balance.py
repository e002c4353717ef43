"""The page and the terminal lines of a balance: every promised part is there, its numbers are the ledger's, and it is a good page."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from equipoise.audit.cells import audit_cells
from equipoise.compare.cells import compare_cells
from equipoise.data.cell_table import CellTable
from equipoise.data.layout_of import layout_of
from equipoise.mitigate.data.m4 import M4
from equipoise.report.balance_terminal import balance_lines, summary_of
from equipoise.report.html import render
from equipoise.report.numbers import number
from equipoise.report.terminal import summary

CHROMIUM = Path("/usr/bin/chromium")
BAD = "<img src=x onerror=alert(1)>"


def table(nurse="nurse"):
    rng = np.random.default_rng(2)
    n = 4000
    woman = rng.random(n) < 0.4
    told = np.where(woman ^ (rng.random(n) < 0.15), nurse, "judge")
    return pa.table({
        "gender": np.where(rng.random(n) < 0.05, "nobody", np.where(woman, "woman", "man")),
        "job": np.where(rng.random(n) < 0.5, told, rng.choice(["chef", "pilot"], n)),
        "age": np.where(rng.random(n) < np.where(woman, 0.3, 0.6), "old", "young"),
        "priest": ~woman & (rng.random(n) < 0.05),
        "tool": rng.random(n) < np.where(woman, 0.1, 0.2),
    })  # fmt: skip


def fitted(rows):
    layout = layout_of(rows, ["gender", "age"], ["job", "priest"], proxies=["tool"])
    cells = CellTable.from_batches([rows], layout)
    shares = {"gender": {"woman": 0.5, "man": 0.5}}
    return cells, M4("gender", ["job", "priest"], proxies=["tool"], shares=shares).fit(cells)


@pytest.fixture(scope="module")
def balanced():
    cells, m4 = fitted(table())
    return compare_cells(cells, None, m4), m4


@pytest.fixture(scope="module")
def page(balanced):
    return render(balanced[0])


def plain(page):
    body = re.sub(r"<style.*?</style>", "", page, flags=re.S)
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


def test_every_part_is_there(page):
    text = plain(page)
    for words in (
        "Moments of what was balanced", "Share of man inside each label", "What was not balanced", "What was sacrificed",
        "Rows kept by label and group", "Labels, those of which least is kept first", "How the weights are spread",
        "Which constraints cost most", "The same data under other weights", "What was left out",
        "A random subsample", "Balancing shares alone", "Reweighing", "Raking", "duality gap under",
        "Not balanced, since no weights could: share(gender=man | priest)", "rows are of no group of gender",
        "All numbers are exact of the rows at hand", "no test, and a verdict holds the change against the margin",
        "Only gender, age, job, priest, tool were looked at", "Groups of any size take part",
    ):  # fmt: skip
        assert words in text, words
    assert "Holm" not in text
    assert "chance alone" not in text
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert len(page) < 500_000


def test_ids_are_unique_and_charts_are_named(page):
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    for svg in re.findall(r"<svg[^>]*role=\"img\".*?</svg>", page, re.S):
        assert "<title" in svg
        assert "<desc" in svg


def test_the_numbers_are_those_of_the_ledger(balanced, page):
    ledger, m4 = balanced
    text = plain(page)
    rows = [row for row in ledger.ledger.to_pylist() if row["arm"] == "main"]
    for metric in ("ab", "rb", "share_error"):
        row = next(r for r in rows if r["metric"] == metric and r["attribute"] == "gender" and not r["query"])
        assert f"{row['before']:.3g}" in text
        assert f"{row['after']:.3g}" in text
    worst = min(
        (r for r in rows if r["metric"] == "retention" and r["query"] and not r["attribute"]), key=lambda r: r["after"]
    )
    table = re.search(r'aria-label="Rows kept by label".*?</table>', page, re.S)
    assert table is not None
    assert re.findall(r"<td[^>]*>([^<]*)</td>", table[0])[0] == worst["query"]
    prices = re.search(r'aria-label="Shadow prices".*?</table>', page, re.S)
    assert prices is not None
    named = re.findall(r'<th scope="row">([^<]*)', prices[0])
    assert [name.removesuffix(" (proxy)") for name in named] == [row.name for row in m4.report_.active[:15]]
    shown = re.findall(r'<td class="num">([^<]*)</td><td>', prices[0])
    assert shown == [number(row.price) for row in m4.report_.active[:15]]


def test_exempt_labels_stand_apart(balanced, page):
    rows = [row for row in balanced[0].ledger.to_pylist() if row["family"] == "exempt" and row["gated"]]
    assert {row["metric"] for row in rows} == {"ab", "share_error"}
    assert "not balanced: these labels were exempt" in plain(page)
    assert "labels that were exempt" in plain(page)


def test_labels_without_a_row_are_counted():
    rows = table()
    words = {f"w{i}": pa.array(np.zeros(rows.num_rows, bool)) for i in range(12)}
    for name, column in words.items():
        rows = rows.append_column(name, column)
    m4 = M4("gender", ["job", *words], shares={"gender": {"woman": 0.5, "man": 0.5}})
    cells = CellTable.from_batches([rows], layout_of(rows, ["gender"], ["job", *words]))
    text = plain(render(compare_cells(cells, None, m4.fit(cells), controls=False)))
    assert re.search(r"12 declared labels have no row: (w\d+, ){9}w\d+, and 2 more\.", text)


def test_weights_above_one_are_no_shares_of_rows():
    cells = CellTable.from_batches([table()], layout_of(table(), ["gender"], ["job"]))
    options = {"keep": 1.0, "cap": 10.0, "shares": {"gender": {"woman": 0.5, "man": 0.5}}}
    ledger = compare_cells(cells, None, M4("gender", ["job"], **options).fit(cells), controls=False)
    text = plain(render(ledger))
    assert "Mean weight by label and group: least of" in text
    assert "The mean weight of gender=man" in text
    assert "The mean weight of job=" in text
    for words in ("Kept: ", "Least is kept", "least is kept", "rows that the weights take away"):
        assert words not in text
    kept = [row for row in ledger.ledger.to_pylist() if row["metric"] == "retention" and row["gated"]]
    assert [row["change"] for row in kept] == [0.0]


def test_names_from_the_data_are_text():
    cells, m4 = fitted(table(nurse=BAD))
    found = render(compare_cells(cells, None, m4, controls=False))
    assert BAD not in found
    assert "&lt;img src=x onerror=alert(1)&gt;" in found


def test_an_audit_of_data_alone_has_a_page(balanced):
    cells, m4 = fitted(table())
    text = plain(render(audit_cells(cells)))
    assert "The measurements" in text
    assert "association of labels with" in text.casefold()
    assert "[" not in re.findall(r"The association[^.]*\.", text)[0]
    assert "The same data under other weights" not in text


def test_several_results_share_a_page(balanced):
    cells, m4 = fitted(table())
    other = M4("gender", ["job"], tolerance=0.0, shares=m4.options.shares).fit(cells)
    assert len(render([balanced[0], compare_cells(cells, None, other, controls=False)])) < 2_000_000


def test_the_terminal_says_exact_numbers(balanced):
    from rich.console import Console

    console = Console(width=160, record=True, file=StringIO())
    console.print(summary(balanced[0]))
    text = console.export_text()
    assert "exact numbers of the data" in text
    assert "Holm" not in text
    assert "Kept: " in text


def test_lines_without_a_ledger_say_all(balanced):
    report = balanced[1].report_
    text = "\n".join(balance_lines(report))
    for words in ("RB (shares of groups): ", "AB of proxies", "kept: ", "least is kept of ", "effective sample size", "dearest of ",
                  "not balanced, since no weights could", "exact: duality gap"):  # fmt: skip
        assert words in text, words
    found = summary_of(report)
    assert found["worst_group"]["retention"] == report.worst_retention
    assert found["dearest"][0]["price"] == pytest.approx(report.constraints[0].price)


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip("no Chromium")
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield found
        found.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_in_a_browser_nothing_is_sent_for_nor_sticks_out(browser, page, tmp_path, width, scheme):
    file = tmp_path / "page.html"
    file.write_text(page, "utf-8")
    tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    said, asked = [], []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(file.as_uri())
    tab.evaluate("document.querySelectorAll('details').forEach(element => { element.open = true })")
    assert said == []
    assert [url for url in asked if url not in (file.as_uri(), "data:,")] == []
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    cue = "getComputedStyle(document.querySelector('[aria-label=\"Rows kept by label\"]')).backgroundAttachment"
    assert tab.evaluate(cue) == "local, local, scroll, scroll"
    smallest = "Math.min(...[...document.querySelectorAll('p, td, th, svg text')].map(e => parseFloat(getComputedStyle(e).fontSize)))"
    assert tab.evaluate(smallest) >= 12
    tab.close()


def test_printed_no_table_is_clipped(browser, page, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(page, "utf-8")
    tab = browser.new_page(viewport={"width": 720, "height": 900})
    tab.goto(file.as_uri())
    tab.emulate_media(media="print")
    wide = (
        "[...document.querySelectorAll('table')].filter(t => t.getBoundingClientRect().right > innerWidth + 1).length"
    )
    assert tab.evaluate(wide) == 0
    tab.close()
