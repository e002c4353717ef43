"""The page in a real browser: quiet, self-contained, readable when narrow and when dark."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image
from report import fixture

import equipoise as eq
from equipoise.report.html import render

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium at /usr/bin/chromium")
BAD = "</script><img src=x onerror=alert(1)>"

CONTRAST = """() => {
  const rgb = text => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const light = text => { const [r, g, b] = rgb(text).map(v => { v /= 255; return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; });
    return .2126 * r + .7152 * g + .0722 * b; };
  const paper = light(getComputedStyle(document.body).backgroundColor);
  const worst = {};
  for (const element of document.querySelectorAll('h1, h2, h3, h4, p, li, td, th, dd, dt, summary, a, svg text')) {
    if (!element.textContent.trim()) continue;
    const style = getComputedStyle(element);
    const ink = light(element.closest('svg') ? style.fill : style.color);
    const ratio = (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05);
    const name = element.tagName.toLowerCase();
    worst[name] = Math.min(worst[name] ?? 99, ratio);
  }
  return worst;
}"""

SMALLEST = """() => Math.min(...[...document.querySelectorAll('body *')].filter(e => e.textContent.trim() && e.getClientRects().length)
  .map(e => parseFloat(getComputedStyle(e).fontSize)))"""

CLIPPED = """() => [...document.querySelectorAll('table')].filter(table => {
  if (!table.getClientRects().length) return false;
  const scroll = table.closest('.scroll');
  const box = table.getBoundingClientRect();
  if (box.right <= innerWidth + 1) return false;
  return !scroll || !['auto', 'scroll'].includes(getComputedStyle(scroll).overflowX) || scroll.getBoundingClientRect().right > innerWidth + 1;
}).length"""


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as play:
        found = play.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-background-networking"]
        )
        yield found
        found.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    groups = {**fixture.GROUPS, "gender": (BAD, "Male")}
    path.write_text(
        render([fixture.comparison(groups, families=fixture.SMALL), fixture.audit(groups)]), encoding="utf-8"
    )
    return path


def opened(browser, file, width=1280, scheme="light"):
    """Open the page with every <details> unfolded; return it with its messages and requests."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    messages, requests = [], []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("dialog", lambda dialog: (messages.append("dialog"), dialog.dismiss()))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(file.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(element => { element.open = true })")
    return page, messages, requests


@pytest.mark.parametrize("width", [1280, 360])
def test_quiet_and_alone(browser, file, width):
    page, messages, requests = opened(browser, file, width)
    page.wait_for_load_state("networkidle")
    assert messages == []
    assert [url for url in requests if url != file.as_uri() and url != "data:,"] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(CLIPPED) == 0
    assert page.evaluate(SMALLEST) >= 12
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(browser, file, scheme):
    page, _, _ = opened(browser, file, scheme=scheme)
    worst = page.evaluate(CONTRAST)
    assert {"h1", "p", "td", "text", "a"} <= set(worst)
    assert min(worst.values()) >= 4.5, worst
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") is (scheme == "light")
    page.close()


def test_hostile_names_are_seen_as_text(browser, file):
    page, messages, _ = opened(browser, file)
    assert page.locator("img, script").count() == 0
    assert page.get_by_text(BAD, exact=True).count() > 0
    assert messages == []
    page.close()


def test_print_clips_no_table(browser, file):
    page, _, _ = opened(browser, file, width=700)
    page.emulate_media(media="print")
    wide = page.evaluate(
        "[...document.querySelectorAll('.ledger')].filter(t => t.getBoundingClientRect().right > innerWidth + 1).length"
    )
    assert wide == 0
    assert page.evaluate("getComputedStyle(document.querySelector('.scroll')).overflowX") == "visible"
    page.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_pictures_are_seen_and_ask_for_nothing(browser, tmp_path, width, scheme):
    faces = tmp_path / "faces"
    faces.mkdir()
    for row in range(60):
        Image.new("RGB", (90, 60 + row), (4 * row, 90, 120)).save(faces / f"{row:02d}.png")
    table = pa.table({
        "image": [f"{i:02d}.png" for i in range(60)], "gender": ["Female", "Male"] * 30,
        "y": ["yes", "no", "no"] * 20, "yhat": ["no", "yes"] * 30, "s": [0.1, 0.9] * 30,
    })  # fmt: skip
    roles = {"image": "image", "label": "y", "prediction": "yhat", "score": "s"}
    samples = replace(eq.read_samples(table, attributes=["gender"], **roles), root=faces)
    audit = eq.audit(samples, by="gender", positive="yes", bootstrap=100)
    for row in range(0, 60, 7):
        (faces / f"{row:02d}.png").unlink()
    file = tmp_path / "report.html"
    file.write_text(render(audit), encoding="utf-8")
    page, messages, requests = opened(browser, file, width, scheme)
    page.wait_for_load_state("networkidle")
    assert messages == []
    assert [url for url in requests if url != file.as_uri() and not url.startswith("data:")] == []
    assert page.locator("img").count() > 6
    assert page.locator(".gap").count() > 0
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0 && image.alt)")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(SMALLEST) >= 12
    page.close()


def test_print_keeps_charts_under_their_titles(browser, file):
    page, _, _ = opened(browser, file)
    page.emulate_media(media="print")
    style = page.evaluate(
        "(([a, b, c]) => [a.breakAfter, b.breakBefore, c.breakInside])"
        "(['figcaption', '.panels', '.panel'].map(name => getComputedStyle(document.querySelector(name))))"
    )
    assert style == ["avoid", "avoid", "avoid"]
    page.close()
