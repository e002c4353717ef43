from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import equipoise as eq
from equipoise.audit.examples import FIRST, examples_of, examples_of_both, sureness
from equipoise.audit.result import Audit
from equipoise.compare.result import Comparison
from equipoise.report.html import LARGEST, render
from equipoise.report.pictures import look_of
from equipoise.report.rows import load_subject, subject_of
from equipoise.report.thumbnails import Thumbnails

ROWS, DIM = 120, 8
TEXTS = ["a photo of a nurse", "a photo of a pilot"]
GROUPS = ("Female", "Male")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a picture of its own colour for every row."""
    root = tmp_path_factory.mktemp("pictures")
    for row in range(ROWS):
        Image.new("RGB", (30 + row % 5, 90), (2 * row, 40, 250 - 2 * row)).save(root / f"{row:03d}.png")
    return root


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def embeddings(folder, seed=0, checksums=True):
    rng = np.random.default_rng(seed)
    table = pa.table({"image": [f"{i:03d}.png" for i in range(ROWS)], "gender": [GROUPS[i % 2] for i in range(ROWS)]})
    samples = replace(eq.read_samples(table, image="image", attributes=["gender"]), root=folder)
    if checksums:
        sums = pa.array([sha256(folder / name) for name in samples.column("image")])
        samples = replace(samples, table=samples.table.append_column("sha256", sums))
    return eq.EmbeddingSet.from_arrays(
        rng.normal(size=(ROWS, DIM)), samples, texts=TEXTS, text=np.random.default_rng(9).normal(size=(2, DIM))
    )


def audit_of(folder, **options):
    return eq.audit(embeddings(folder, **options), queries=TEXTS, by="gender", bootstrap=100)


def answers(folder, seed):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, ROWS)
    score = np.clip(label * 0.3 + rng.random(ROWS) * 0.7, 0, 1)
    table = pa.table({
        "image": [f"{i:03d}.png" for i in range(ROWS)], "gender": [GROUPS[i % 2] for i in range(ROWS)],
        "y": np.where(np.random.default_rng(1).integers(0, 2, ROWS), "yes", "no").tolist(),
        "yhat": np.where(score > 0.5, "yes", "no").tolist(), "s": score,
    })  # fmt: skip
    roles = {"image": "image", "label": "y", "prediction": "yhat", "score": "s"}
    samples = replace(eq.read_samples(table, attributes=["gender"], **roles), root=folder)
    return eq.audit(samples, by="gender", positive="yes", bootstrap=100)


@pytest.fixture(scope="module")
def before(folder):
    return audit_of(folder)


@pytest.fixture(scope="module")
def ledger(folder, before):
    return eq.compare(before, audit_of(folder, seed=1), draws=100)


def sources(page):
    return re.findall(r'<img src="([^"]+)"', page)


def test_the_evidence_keeps_pictures_and_their_folder(folder, before):
    rows = before.evidence.rows
    assert rows.column_names == ["row_id", "cluster", "image", "sha256", "gender"]
    assert rows["sha256"].to_pylist()[3] == sha256(folder / "003.png")
    assert before.document.parameters["image_root"] == folder.as_posix()


def test_the_first_of_each_ranking(before):
    found = [row for row in examples_of(before).to_pylist() if row["query"] == TEXTS[1]]
    scores = before.evidence.scores["main"][1]
    assert [row["row_id"] for row in found] == [before.evidence.ids[i] for i in np.argsort(-scores)[:FIRST]]
    assert [row["rank"] for row in found] == list(range(1, FIRST + 1))
    assert json.loads(found[0]["groups"])["gender"] in GROUPS


def test_the_surest_mistakes_come_first(folder):
    audit = answers(folder, 3)
    rows = audit.evidence.rows.to_pylist()
    wrong = {row["row_id"]: abs(row["score"] - 0.5) for row in rows if row["label"] != row["prediction"]}
    found = examples_of(audit).to_pylist()
    for group in GROUPS:
        own = [row["row_id"] for row in found if json.loads(row["groups"])["gender"] == group]
        all_of_it = [row["row_id"] for row in rows if row["gender"] == group and row["row_id"] in wrong]
        assert own[:FIRST] == sorted(all_of_it, key=lambda name: -wrong[name])[:FIRST]


def test_sureness_of_scores_on_any_scale(folder):
    evidence = answers(folder, 3).evidence
    assert (sureness(evidence, "yes") >= 0).all()
    logits = evidence.rows["score"].to_numpy() * 8 - 4
    place = evidence.rows.column_names.index("score")
    scaled = replace(evidence, rows=evidence.rows.set_column(place, "score", pa.array(logits)))
    assert np.array_equal(np.argsort(sureness(scaled, "yes")), np.argsort(sureness(evidence, "yes")))


def test_mistakes_fixed_and_new(folder):
    one, two = answers(folder, 3), answers(folder, 4)
    found = examples_of_both(one, two).to_pylist()
    was, now = (
        {row["row_id"] for row in audit.evidence.rows.to_pylist() if row["label"] != row["prediction"]}
        for audit in (one, two)
    )
    assert {row["row_id"] for row in found if row["side"] == "fixed"} <= was - now
    assert {row["row_id"] for row in found if row["side"] == "new"} <= now - was
    page = render(eq.compare(one, two, draws=100))
    assert "Fixed</h5>" in page
    assert "New</h5>" in page
    assert "gender: Female</h4>" in page


def test_the_page_shows_what_was_measured(folder, before):
    page = render(before)
    found = sources(page)
    assert len(found) == 2 * FIRST
    for source in found:
        picture = Image.open(io.BytesIO(base64.b64decode(source.removeprefix("data:image/jpeg;base64,"))))
        assert max(picture.size) == 72
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in page
    assert f"The pictures come from the folder &#39;{folder.name}&#39;" in page
    assert "Labels of gender are perceived" in page
    assert "No checksums were recorded" not in page
    assert all(alt.startswith("Place ") for alt in re.findall(r'<img [^>]*alt="([^"]*)"', page))


def test_thumbnails_have_the_colour_of_their_picture(folder):
    drawn = Thumbnails(folder.as_posix())
    source = drawn.of("100.png", "").source
    picture = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).convert("RGB")
    assert np.abs(np.subtract(picture.getpixel((10, 30)), (200, 40, 50))).max() <= 6
    assert drawn.unchecked == 1


def test_a_ledger_keeps_what_to_look_at(folder, ledger, tmp_path):
    loaded = Comparison.load(ledger.save(tmp_path / "ledger"))
    assert loaded.examples.equals(ledger.examples)
    page = render(tmp_path / "ledger")
    assert len(sources(page)) == 4 * FIRST
    assert "Before: Female" in page
    assert "After: Female" in page
    assert sources(render(ledger)) == sources(page)


def test_without_pictures_no_face_is_shown(before, ledger):
    for subject in (before, ledger):
        page = render(subject, pictures=False)
        assert not sources(page)
        assert "Where to look" not in page
        assert "--no-pictures" in page
    assert "--no-pictures" not in render(before)


def test_a_picture_that_is_gone_or_another_is_not_shown(folder, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    audit = audit_of(copy)
    first, second, third = (row["image"] for row in examples_of(audit).to_pylist()[:3])
    (copy / first).unlink()
    Image.new("RGB", (40, 40)).save(copy / second)
    (copy / third).write_bytes((copy / third).read_bytes()[:60])
    page = render(audit)
    assert f"Place 1: {audit.evidence.rows['gender'][int(first[:3])].as_py()} (picture not shown: missing)" in page
    assert page.count(">changed since</span>") >= 2
    assert "pictures cannot be shown:" in page


def test_a_broken_picture_without_a_checksum_says_why(folder):
    drawn = Thumbnails(folder.as_posix())
    (folder / "cut.png").write_bytes((folder / "001.png").read_bytes()[:60])
    try:
        assert drawn.of("cut.png", "").reason == "truncated"
        assert drawn.of("..", "").reason == "a folder"
        assert drawn.of("", "").reason == "no path"
        assert sum(drawn.reasons.values()) == 3
    finally:
        (folder / "cut.png").unlink()


def test_no_picture_at_all_is_one_line(folder, before):
    lost = replace(before, document=before.document.model_copy(
        update={"parameters": {**before.document.parameters, "image_root": (folder / "gone").as_posix()}}
    ))  # fmt: skip
    page = render(lost)
    assert 'class="gap"' not in page
    assert re.search(r"(\d+) of \1 pictures cannot be shown: \1 missing\.", page)


def test_audits_without_pictures_still_load(before, tmp_path):
    old = replace(
        before, evidence=replace(before.evidence, rows=before.evidence.rows.drop_columns(["image", "sha256"]))
    )
    loaded = Audit.load(old.save(tmp_path / "old"))
    assert examples_of(loaded).num_rows == 0
    assert "Where to look" not in render(loaded)
    assert eq.compare(loaded, before, draws=100).examples.num_rows == len(TEXTS) * FIRST


def test_checksums_that_nobody_recorded_are_said(folder):
    assert "No checksums were recorded for these files" in render(audit_of(folder, checksums=False))


def test_who_made_the_pictures(folder, before):
    (folder / "ATTRIBUTION.txt").write_text("Drawn by <b>nobody</b>.\n\nMore.")
    try:
        page = render(before)
    finally:
        (folder / "ATTRIBUTION.txt").unlink()
    assert "Drawn by &lt;b&gt;nobody&lt;/b&gt;." in page
    assert "Nothing is recorded of who made them" not in page


def test_hostile_paths_and_groups_stay_text(folder):
    bad = '"><script>alert(1)</script>'
    table = pa.table(
        {"image": [f"{bad}{i}\x1b.png" for i in range(ROWS)], "gender": [bad if i % 2 else "M" for i in range(ROWS)]}
    )
    samples = replace(eq.read_samples(table, image="image", attributes=["gender"]), root=folder)
    data = eq.EmbeddingSet.from_arrays(
        np.random.default_rng(0).normal(size=(ROWS, 4)), samples, texts=TEXTS, text=np.eye(2, 4)
    )
    page = render(eq.audit(data, queries=TEXTS, by="gender", bootstrap=100))
    assert "<script" not in page
    assert "\x1b" not in page


@pytest.mark.parametrize("budget", [0, 4, 16, 30, 144])
def test_pictures_are_bounded(ledger, budget):
    look = look_of(subject_of(ledger, pictures=True), budget)
    shown = sum(len(pictures) for strip in (look.strips if look else []) for _, pictures in strip.sides)
    assert shown <= max(budget, 8 if budget else 0)
    assert (look is None) == (budget == 0)


def test_large_pictures_do_not_make_a_large_page(tmp_path):
    rng = np.random.default_rng(0)
    for row in range(ROWS):
        Image.fromarray(rng.integers(0, 256, (400, 400, 3), np.uint8)).save(
            tmp_path / f"{row:03d}.png", compress_level=0
        )
    audit = audit_of(tmp_path, checksums=False)
    page = render([audit, audit])
    assert len(sources(page)) == 4 * FIRST
    assert len(page.encode()) < LARGEST


def test_pictures_are_read_only_when_wanted(before, tmp_path):
    assert load_subject(before).examples == []
    assert load_subject(before.save(tmp_path / "a"), pictures=True).examples != []
