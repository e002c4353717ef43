from __future__ import annotations

import html.parser
import re
import sys

import pytest
from report import fixture

from equipoise.errors import InputError, MissingFileError, OutputExistsError
from equipoise.report.html import render, report, unbroken
from equipoise.report.provenance import command
from equipoise.report.rows import subject_of
from equipoise.schema import ESTIMATES, LEDGER, table

BAD = "</script><img src=x onerror=alert(1)>"
HOSTILE = {
    **fixture.GROUPS,
    "gender": (BAD, '"><svg onload=alert(2)>'),
    "race": ("=cmd|' /C calc'!A0", "\x1b[2J{{7*7}}", "\u202eesrever", *fixture.GROUPS["race"][3:]),
}


class Tags(html.parser.HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.ids = set(), set(), []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.ids += [value for name, value in attrs if name == "id"]


@pytest.fixture(scope="module")
def page():
    return render(fixture.comparison())


def test_policy_no_script_nothing_from_outside(page):
    assert "default-src 'none'" in page
    found = Tags(page)
    assert not found.tags & {"script", "img", "iframe", "object", "form", "base"}
    assert not [name for name in found.attributes if name.startswith("on") or name in ("src", "srcset", "xlink:href")]
    assert not re.search(r'href="(?!#|data:,")', page)
    assert "url(http" not in page
    assert "@import" not in page


def test_ids_are_unique_and_anchors_lead_somewhere(page):
    ids = Tags(page).ids
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)


def test_the_first_screen_has_the_sentence_and_three_tiles(page):
    document = fixture.comparison().document
    assert f'<h1 class="headline">{document.headline}</h1>' in page
    assert page.count('<div class="tile">') == 3
    assert (
        page.index("The ledger</h2>")
        < page.index("What moved</h2>")
        < page.index("What was not measured</h2>")
        < page.index("How</h2>")
    )


def test_an_audit_says_early_what_was_not_measured():
    page = render(fixture.audit())
    assert page.index("What was not measured</h2>") < page.index("The measurements</h2>")
    assert "0-2 has 20 rows, fewer than 30" in page
    assert "service_test" in page


def test_every_gated_row_is_in_the_ledger_with_its_verdict(page):
    rows = [row for row in fixture.comparison().ledger.to_pylist() if row["gated"]]
    shown = re.search(r'<table class="ledger">.*?</table>', page, re.DOTALL)[0]
    for verdict in ("improved", "worse", "unchanged", "insufficient"):
        assert shown.count(f'class="verdict {verdict}"') == sum(row["verdict"] == verdict for row in rows)
    assert "50 largest of 320" in page


def test_equal_input_gives_equal_bytes(page):
    assert render(fixture.comparison()) == page


def test_hostile_names_are_text():
    for subject in (fixture.comparison(HOSTILE, families=fixture.SMALL), fixture.audit(HOSTILE)):
        page = render(subject)
        found = Tags(page)
        assert "img" not in found.tags
        assert "script" not in found.tags
        assert not [name for name in found.attributes if name.startswith("on")]
        assert "&lt;img src=x onerror=alert(1)&gt;" in page
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", page)
        assert "{{7*7}}" in page


@pytest.mark.parametrize(("one", "other"), [("Female", "Male"), ("White", "Indian"), ("20-29", "40-49")])
def test_swapping_two_groups_changes_their_names_only(page, one, other):
    swap = {one: other, other: one}
    groups = {name: tuple(swap.get(value, value) for value in values) for name, values in fixture.GROUPS.items()}
    subject = fixture.comparison(groups)
    vocabulary = subject.document.after["vocabulary"]
    original = fixture.vocabulary(fixture.GROUPS)
    for name, keys in vocabulary.items():
        keys["prompts"] = {swap.get(value, value): prompts for value, prompts in original[name]["prompts"].items()}
    swapped = render(subject)
    assert swapped != page
    pattern = re.compile(rf"\b({re.escape(one)}|{re.escape(other)})\b")

    def renamed(text):
        # prompts and queries are the data's words, not the group's name
        return pattern.sub(lambda found: swap[found[0]], text)

    strip = re.compile(r"<q>.*?</q>")
    assert strip.sub("", swapped) == renamed(strip.sub("", page))


def test_five_thousand_groups_stay_small():
    names = tuple(f"group number {i}" for i in range(5000))
    subject = fixture.comparison({**fixture.GROUPS, "race": names})
    page = render(subject)
    assert len(page.encode()) < 2_000_000
    assert "ledger.parquet" in page
    assert "41 of 5,025 lines are drawn: the largest of those with enough rows." in page
    assert "And 4,000 more groups." in page


def test_several_ledgers_on_one_page():
    page = render(
        [fixture.comparison(), fixture.comparison(method="difference-projection", seed=3, families=fixture.SMALL)]
    )
    assert "2 results side by side" in page
    assert page.count("<article ") == 2
    ids = Tags(page).ids
    assert len(ids) == len(set(ids))
    assert len(page.encode()) < 2_000_000


@pytest.mark.parametrize("several", [4, 6])
def test_many_ledgers_stay_small(several):
    page = render([fixture.comparison()] * several)
    assert len(page.encode()) < 2_000_000
    assert page.count("a report of this one alone has them") == several


def test_more_than_a_page_holds_is_refused(monkeypatch):
    monkeypatch.setattr(sys.modules[render.__module__], "LARGEST", 50_000)
    with pytest.raises(InputError, match="2 results make a page of"):
        render([fixture.predictions(), fixture.predictions()])


def test_equal_titles_are_told_apart():
    page = render([fixture.comparison(families=fixture.SMALL), fixture.comparison(seed=1, families=fixture.SMALL)])
    assert "WRING on gender (1)" in page
    assert "WRING on gender (2)" in page


def test_predictions_and_empty_subjects():
    assert "The selection rate gap by age is" in render(fixture.predictions())
    empty = fixture.comparison()
    empty.ledger = empty.ledger.slice(0, 0)
    empty.distributions = empty.distributions.slice(0, 0)
    assert "No attribute was targeted." in render(empty)


def test_writing(tmp_path):
    path = tmp_path / "report.html"
    assert report(fixture.predictions(), path) == path
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    with pytest.raises(OutputExistsError):
        report(fixture.predictions(), path, overwrite=False)
    with pytest.raises(InputError, match="folder"):
        report(fixture.predictions(), tmp_path)
    with pytest.raises(MissingFileError, match=r"comparison\.json"):
        report(tmp_path, path)
    with pytest.raises(InputError, match="nothing to report"):
        report([], path)


def test_one_large_subject_is_bounded_too():
    subject = fixture.audit()
    words = subject.document.vocabulary
    many = {f"attribute {i}": {**words["age"], "prompts": {"0-2": ["x" * 4000] * 20}} for i in range(60)}
    subject.document = subject.document.model_copy(
        update={"vocabulary": {**words, **many}, "notes": [f"{i}{'n' * 9000}" for i in range(300)]}
    )
    page = render(subject)
    assert len(page.encode()) < 2_000_000
    assert "This result is large, so some charts and rows are left out here" in page
    assert "Words, queries, parameters and checksums would not fit on this page; they are in audit.json." in page
    assert "attribute 48, 11 more." in page
    assert "250 more</li>" in page


@pytest.mark.parametrize("verdict", ["worse", "unchanged", "insufficient", "improved"])
def test_only_a_worse_row_is_called_a_side_effect(verdict):
    subject = fixture.comparison(families=fixture.SMALL)
    rows = [
        row for row in subject.ledger.to_pylist() if not (row["gated"] and row["attribute"] and not row["targeted"])
    ]
    rows.append(fixture.row("max_skew@200", 0.2, 0.3, 0.05, attribute="race", family="occupations", targeted=False))
    rows[-1]["verdict"] = verdict
    subject.ledger = table(LEDGER, rows)
    tile = re.findall(r'<div class="tile">\s*<h3>(.*?)</h3>', render(subject))[1]
    assert tile == ("Worst side effect" if verdict == "worse" else "No side effect is shown; the largest change is")


def test_the_words_on_labels_follow_the_data():
    page = render(fixture.audit())
    assert "labels of gender, race and age are perceived" in page
    other = fixture.predictions()
    names = {"gender": "camera", "race": "lighting", "age": "site"}
    rows = [{**row, "attribute": names[row["attribute"]]} for row in other.estimates.to_pylist()]
    words = {names.get(name, name): keys for name, keys in other.document.vocabulary.items()}
    other.estimates = table(ESTIMATES, rows)
    other.document = other.document.model_copy(update={"vocabulary": words})
    page = render(other)
    assert "perceived" not in page
    assert "Any other trait was not." in page
    assert "Somebody assigned the groups." in page


def test_titles_count_all_lines_and_name_the_mean(page):
    found = [
        row
        for row in fixture.comparison().ledger.to_pylist()
        if row["arm"] == "main" and row["group"] and row["metric"] == "skew@200"
    ]
    own = [row["change"] for row in found if row["family"] == "occupations"]
    less, more = sum(change < 0 for change in own), sum(change > 0 for change in own)
    title = f"Skew in the top 200 of occupation searches by group, mean over 30 searches: less bias in {less} of {len(own)}, more in {more}"
    assert f"<h4>{title}</h4>" in page
    names = tuple(f"group number {i}" for i in range(100))
    wide = render(fixture.comparison({**fixture.GROUPS, "race": names}, families=fixture.SMALL))
    assert re.search(r"by group, mean over 30 searches: less bias in \d+ of 125", wide)


def test_the_command_names_the_folders(tmp_path):
    assert "equipoise report LEDGER AUDIT --out report.html" in render([fixture.comparison(), fixture.audit()])
    found = subject_of(fixture.audit(), "runs/an audit")
    assert command([found], True) == {"line": "equipoise report 'runs/an audit' --out report.html", "note": ""}
    assert command([found], False)["line"].endswith("report.html --no-pictures")


def test_intervals_are_not_broken():
    assert str(unbroken("from 1 [0.1, 0.2] to <b> [a]")) == (
        'from 1 <span class="one">[0.1, 0.2]</span> to &lt;b&gt; <span class="one">[a]</span>'
    )
