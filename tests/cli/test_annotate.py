"""``equipoise annotate`` as a person uses it: annotate, draw, label, read back, ask why; and each wrong use."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from brightness import write_pictures
from shared_data import DATA

from equipoise.data.annotated import read_annotation
from equipoise.registry import CLASSIFIERS, ENCODERS

COLOUR = """\
name = "colour-1"
variable = "colour"
values = ["red", "blue"]
templates = ["{}", "a photo of {}"]
[prompts]
red = ["red"]
blue = ["blue"]
"""


@pytest.fixture
def captions(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """Write 600 captions of known gender; 1 in 10 of women is written as of a man."""
    rng = np.random.default_rng(0)
    words = {"woman": ["a woman in a park", "the mother waits"], "man": ["a man on a horse"], "none": ["a red bus"]}
    lines, truth = [["id", "text", "race"]], {}
    for i in range(600):
        true = str(rng.choice(["woman", "man", "none"], p=[0.3, 0.4, 0.3]))
        said = "man" if true == "woman" and rng.random() < 0.1 else true
        truth[f"r{i}"] = true
        lines.append([f"r{i}", str(rng.choice(words[said])), "AB"[i % 2]])
    lines.append(["r600", "", "A"])
    path = tmp_path / "captions.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(lines)
    return path, truth


def fill(sheet: Path, column: str, truth: dict[str, str]) -> None:
    with sheet.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row[column] = truth[row["row_id"]]
    with sheet.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_draw_label_and_read_back(
    run: Callable[..., Any], captions: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    path, truth = captions
    sheet, out = tmp_path / "sheet.csv", tmp_path / "out.parquet"
    common = ("annotate", path, "--caption", "text", "--id", "id")
    ran = run(*common, "--draw", "200", "--sheet", sheet, "--by", "race", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["out"] is None
    assert ran.json["result"]["sheet"] == str(sheet)
    assert ran.json["rows"] == {"in": 601, "used": 600, "set_aside": 1}
    assert ran.json["result"]["set_aside"] == {"no caption": 1}
    assert ran.json["result"]["columns"]["gender_text"]["error"] == "unknown"
    assert [w["code"] for w in ran.json["warnings"]] == ["error_unknown"]
    assert "gold_gender_text: woman, man, both" in ran.err
    assert "error unknown" in ran.err
    with sheet.open(encoding="utf-8") as file:
        drawn = list(csv.DictReader(file))
    assert len(drawn) == 200
    assert "text" in drawn[0]
    assert sum(float(row["represents"]) for row in drawn) == pytest.approx(600)
    assert "woman" not in "".join(row["gold_gender_text"] for row in drawn)

    again = run(*common, "--draw", "200", "--sheet", sheet)
    assert again.code == 2
    assert "already" in again.err
    fill(sheet, "gold_gender_text", truth)
    ran = run(*common, "--gold", sheet, "--by", "race", "--out", out, "--json")
    assert ran.code == 0, ran.err
    error = ran.json["result"]["columns"]["gender_text"]["error"]
    man = error["values"]["man"]
    assert man["precision"]["low"] <= 0.93 <= man["precision"]["high"]
    assert man["precision"]["value"] < 1
    assert error["values"]["woman"]["precision"]["value"] == 1
    assert error["values"]["woman"]["recall"]["value"] == pytest.approx(0.9, abs=0.06)
    assert set(error["by"]["race"]) == {"A", "B"}
    for words in (
        "error from 200 rows labelled by hand",
        "attenuation: 0.9",
        "race=A",
        "occupation_text: error unknown",
    ):
        assert words in ran.err
    field = pq.read_schema(out).field("gender_text")
    annotation = read_annotation(field)
    assert annotation is not None
    assert annotation.gold is not None
    assert annotation.gold["sheet"] == "sheet.csv"
    assert annotation.gold["labelled"] == 200
    assert annotation.gold["groups"]["woman"]["ppv"]["value"] == 1
    found = pq.read_table(out)
    assert found.column_names == ["id", "text", "race", "gender_text", "occupation_text"]

    ran = run(*common, "--gold", sheet, "--by", "race", "--out", out)
    assert (ran.code, ran.out.strip()) == (0, str(out))
    ran = run(*common, "--out", out)
    assert ran.code == 2
    assert "another run" in ran.err
    assert run(*common, "--draw", "9", "--sheet", sheet, "--overwrite").code == 2  # labels are not overwritten
    lost = run("annotate", path, "--caption", "text", "--gold", sheet)
    assert lost.code == 2
    assert "are in no row of the table" in lost.err


def test_a_balance_is_judged_on_what_people_wrote(
    run: Callable[..., Any], captions: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    path, truth = captions
    sheet, tagged, weighed = tmp_path / "sheet.csv", tmp_path / "tagged.parquet", tmp_path / "weighed.parquet"
    common = ("--caption", "text", "--id", "id")
    assert run("annotate", path, *common, "--draw", "200", "--sheet", sheet).code == 0
    fill(sheet, "gold_gender_text", truth)
    assert run("annotate", path, *common, "--gold", sheet, "--out", tagged).code == 0
    flags = ("--attribute", "gender_text", "--labels", "race", "--no-controls", "--out", weighed)
    assert run("balance", tagged, *flags).code == 0
    judged = ("annotate", weighed, "--gold", sheet, "--id", "id", "--weights", "m4_weight")
    ran = run(*judged, "--labels", "race", "--json")
    assert ran.code == 0, ran.err
    found = ran.json["result"]["gold_balance"]["gender_text"]
    assert found["labelled"] + found["set_aside"] == 200
    assert set(found["gaps"]["woman"]) == {"race=A", "race=B"}
    for name in ("rb", "ab", "rb_before", "ab_before"):
        assert found[name]["low"] <= found[name]["value"] <= found[name]["high"]
    rows = pq.read_table(weighed).to_pylist()
    mass = {group: sum(r["m4_weight"] or 0 for r in rows if truth.get(r["id"]) == group) for group in ("woman", "man")}
    rb = abs(mass["woman"] / sum(mass.values()) - 0.5)
    assert found["rb"]["low"] <= rb <= found["rb"]["high"]
    for words in (
        "RB on gold labels:",
        "AB on gold labels:",
        "as people saw it in",
        "Labels of 'race' are those of the table",
    ):
        assert words in ran.err
    assert ran.json["out"] is None
    ran = run(*judged)
    assert ran.code == 0
    assert "no labelled row has a label" in ran.err
    shares = tmp_path / "shares.toml"
    shares.write_text("[gender]\nwoman = 0.3\nman = 0.7\n", "utf-8")
    moved = run(*judged, "--labels", "race", "--shares", shares, "--json").json["result"]["gold_balance"]["gender_text"]
    assert moved["rb"]["value"] == pytest.approx(abs(moved["shares"]["woman"] - 0.3))
    for wrong, says in (
        ((*judged, "--caption", "text"), "--caption does not go with --weights"),
        ((*judged, "--out", tmp_path / "x.parquet"), "--out does not go with --weights"),
        (("annotate", weighed, "--weights", "m4_weight"), "judged by rows that people labelled"),
        (("annotate", path, *common, "--labels", "race"), "--labels is about weights"),
    ):
        ran = run(*wrong)
        assert ran.code == 2
        assert says in ran.err


def test_why_a_row_has_its_tags(run: Callable[..., Any], tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a bus", "no men, only women"]}), tmp_path / "t.parquet")
    ran = run("annotate", tmp_path / "t.parquet", "--caption", "text", "--why", "2", "--json")
    assert ran.code == 0, ran.err
    assert "'women' at 13-18 says gender=woman" in ran.err
    assert "rule: negated" in ran.err
    why = ran.json["result"]["why"]["text"]
    assert why["gender"] == "woman"
    assert why["tags"][0]["start"] == 13
    assert why["passed"][0]["value"] == "man"
    assert run("annotate", tmp_path / "t.parquet", "--caption", "text", "--why", "3").code == 2


def test_pictures_are_asked_and_judged(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENCODERS._builtin, "colours", "brightness:colours")
    rng = np.random.default_rng(0)
    from PIL import Image

    lines, truth = [["image", "side"]], {}
    for i in range(120):
        red = int(rng.integers(0, 256))
        Image.fromarray(np.full((6, 6, 3), (red, 0, 255 - red), np.uint8)).save(tmp_path / f"p{i:03d}.png")
        lines.append([f"p{i:03d}.png", "LR"[i % 2]])
        shade = red + 80 * rng.normal()  # near the middle a person sees it otherwise
        truth[f"p{i:03d}.png"] = "red" if shade > 127 else "blue"
    lines.append(["gone.png", "L"])
    with (tmp_path / "table.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(lines)
    (tmp_path / "colour.toml").write_text(COLOUR, "utf-8")
    common = (
        "annotate", tmp_path / "table.csv", "--image", "image", "--encoder", "colours", "--question", tmp_path / "colour.toml",
        "--store", tmp_path / "store", "--scale", "3",
    )  # fmt: skip
    ran = run(*common, "--draw", "120", "--sheet", tmp_path / "s.csv", "--out", tmp_path / "one.parquet", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["rows"] == {"in": 121, "used": 120, "set_aside": 1}
    column = pq.read_table(tmp_path / "one.parquet")["colour_image"].to_pylist()
    assert column[120] is None
    assert set(column[:120]) == {"red", "blue"}
    levels = [np.asarray(Image.open(tmp_path / f"p{i:03d}.png"))[0, 0] for i in range(120)]
    assert column[:120] == ["red" if level[0] > level[2] else "blue" for level in levels]
    assert "2 templates" in ran.err
    fill(tmp_path / "s.csv", "gold_colour_image", truth)
    ran = run(*common, "--gold", tmp_path / "s.csv", "--precision", "0.95", "--out", tmp_path / "two.parquet", "--json")
    assert ran.code == 0, ran.err
    counts = ran.json["result"]["columns"]["colour_image"]["counts"]
    assert counts["ambiguous"] > 10
    assert sum(counts.values()) == 120
    error = ran.json["result"]["columns"]["colour_image"]["error"]
    assert error["labelled"] in (59, 60, 61)
    assert "60 labelled rows chose" in ran.err or "61 labelled rows chose" in ran.err
    annotation = read_annotation(pq.read_schema(tmp_path / "two.parquet").field("colour_image"))
    assert annotation is not None
    assert annotation.annotator is not None
    assert annotation.annotator["name"] == "colours"
    assert max(annotation.annotator["bands"].values()) > 0
    all_kept = run(*common, "--gold", tmp_path / "s.csv", "--precision", "0", "--json")
    assert all_kept.json["result"]["columns"]["colour_image"]["counts"]["ambiguous"] == 0
    assert all_kept.json["result"]["columns"]["colour_image"]["error"]["labelled"] == 120
    why = run(*common, "--why", "gone.png", "--json").json["result"]["why"]["image"]
    assert why["colour"] is None
    assert why["status"]


def test_a_classifier_answers(run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CLASSIFIERS._builtin, "brightness", "brightness:brightness")
    table = write_pictures(tmp_path / "pictures", rows=20)
    (tmp_path / "tone.toml").write_text('name = "tone-1"\nvariable = "tone"\nvalues = ["dark", "light"]\n', "utf-8")
    common = ("annotate", table, "--image", "image", "--model", "brightness", "--question", tmp_path / "tone.toml")
    ran = run(*common)
    assert ran.code == 2
    assert "--classes bright=dark" in ran.err
    ran = run(*common, "--classes", "bright=light", "--out", tmp_path / "out.parquet")
    assert ran.code == 0, ran.err
    assert set(pq.read_table(tmp_path / "out.parquet")["tone_image"].to_pylist()) == {"dark", "light"}


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ((), "Nothing is to be annotated"),
        (("--lexicon", "people-en-1"), "Nothing is to be annotated"),
        (("--encoder", "demo", "--lexicon", "people-en-1"), "--lexicon reads captions"),
        (("--encoder", "demo", "--model", "x"), "Name one of --encoder and --model"),
        (("--caption", "text", "--question", "gender"), "--question is about pictures"),
        (("--model", "x"), "Name the column of their paths"),
        (("--caption", "text", "--draw", "5"), "Add --sheet"),
        (("--caption", "text", "--sheet", "s.csv"), "Add --draw 200"),
        (("--caption", "text", "--draw", "5", "--sheet", "s.csv", "--gold", "g.csv"), "not both at once"),
        (("--caption", "text", "--draw", "0", "--sheet", "s.csv"), "0 rows cannot be drawn"),
        (("--caption", "text", "--draw", "5", "--sheet", "s.txt"), "ends in .csv"),
        (("--caption", "text", "--draw", "5", "--sheet", "s.csv", "--by", "raze"), "Did you mean 'race'"),
        (("--caption", "txt"), "Did you mean 'text'"),
        (("--caption", "text", "--id", "nr"), "no column 'nr'"),
        (("--caption", "text", "--lexicon", "people-em-1"), "Did you mean 'people-en-1'"),
        (("--caption", "text", "--out", "x.csv"), "ends in .parquet"),
        (("--caption", "text", "--gold", "none.csv"), "There is no table"),
        (("--encoder", "demo", "--question", "gendr"), "Did you mean 'gender'"),
        (("--caption", "text", "--precision", "2"), "--precision is 2"),
        (("--caption", "text", "--draw", "5", "--sheet", "s.csv", "--seed", "9" * 30), "a seed is at most"),
        (("--encoder", "demo", "--classes", "a=b"), "--classes renames"),
        (("--model", "x", "--image", "i", "--scale", "2"), "--scale is of an encoder"),
    ],
)
def test_each_wrong_use_is_told(
    run: Callable[..., Any], captions: tuple[Path, dict[str, str]], flags: tuple[str, ...], says: str,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    ran = run("annotate", captions[0], *flags)
    assert ran.code == 2, ran.err
    assert says in ran.err
    assert sorted(tmp_path.iterdir()) == before


def test_no_input_is_written_over(
    run: Callable[..., Any], captions: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    path, _ = captions
    before = path.read_bytes()
    lists = tmp_path / "config.parquet"
    lists.write_text('caption = "text"\n', "utf-8")
    for flags in (
        ("--draw", "10", "--sheet", path),
        ("--draw", "10", "--sheet", tmp_path / ".." / tmp_path.name / path.name),
        ("--config", lists, "--out", lists),
    ):
        ran = run("annotate", path, "--caption", "text", *flags, "--overwrite")
        assert (ran.code, "is read: it would be written over" in ran.err) == (2, True), ran.err
    table = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": ["a man"]}), table)
    ran = run("annotate", table, "--caption", "text", "--out", table, "--overwrite")
    assert (ran.code, "is read" in ran.err) == (2, True)
    assert path.read_bytes() == before
    assert lists.read_text("utf-8") == 'caption = "text"\n'


def test_what_a_killed_run_left_is_removed(
    run: Callable[..., Any], captions: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for name in ("out.parquet", "sheet.csv"):
        (tmp_path / f".{name}.{gone.pid}.partial").write_bytes(b"half")
    running = tmp_path / f".sheet.csv.{os.getppid()}.partial"
    running.write_bytes(b"half")
    flags = ("--out", tmp_path / "out.parquet", "--draw", "10", "--sheet", tmp_path / "sheet.csv")
    ran = run("annotate", captions[0], "--caption", "text", "--id", "id", *flags)
    assert ran.code == 0, ran.err
    assert [item for item in tmp_path.iterdir() if item.name.startswith(".")] == [running]


def test_labels_are_read_against_the_table_that_was_annotated(
    run: Callable[..., Any], captions: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    path, truth = captions
    sheet, out = tmp_path / "sheet.csv", tmp_path / "out.parquet"
    common = ("--caption", "text", "--id", "id")
    assert run("annotate", path, *common, "--draw", "100", "--sheet", sheet, "--out", out).code == 0
    fill(sheet, "gold_gender_text", truth)
    ran = run("annotate", out, *common, "--gold", sheet)
    assert (ran.code, "is read back against that table" in ran.err) == (2, True)
    ran = run("annotate", path, *common, "--gold", sheet)
    assert ran.code == 0, ran.err
    with sheet.open(encoding="utf-8", newline="") as file:
        women = sum(row["gold_gender_text"] == "woman" for row in csv.DictReader(file))
    assert f"({women} are)" in ran.err
    assert "labelled rows were called so" in ran.err


def test_captions_of_people_are_tagged_on_real_data(run: Callable[..., Any], tmp_path: Path) -> None:
    path = DATA / "flickr8k_1000" / "captions.csv"
    if not path.is_file():
        pytest.skip("Flickr8k captions are not there")
    with path.open(encoding="utf-8") as file:
        column = "caption" if "caption" in (names := csv.DictReader(file).fieldnames or []) else names[-1]
    ran = run("annotate", path, "--caption", column, "--out", tmp_path / "out.parquet", "--json")
    assert ran.code == 0, ran.err
    counts = ran.json["result"]["columns"]["gender_text"]["counts"]
    assert counts["woman"] > 200
    assert counts["man"] > 500
    assert sum(counts.values()) == ran.json["rows"]["used"]


@pytest.mark.slow
def test_the_figures_of_the_docs(run: Callable[..., Any], tmp_path: Path) -> None:
    from equipoise.models import demo

    if demo.missing_modules():
        pytest.skip("the towers of the demo encoder are not installed")
    rows = pq.read_table(demo.folder() / "rows.parquet")
    words = {"Female": "woman", "Male": "man"}
    truth = {id: words[group] for id, group in zip(rows["id"].to_pylist(), rows["gender"].to_pylist(), strict=True)}
    common = ("annotate", demo.folder() / "rows.parquet", "--encoder", "demo", "--id", "id")
    assert run(*common, "--draw", "3000", "--sheet", tmp_path / "s.csv").code == 0
    fill(tmp_path / "s.csv", "gold_gender_image", truth)
    page = (Path(__file__).parents[2] / "docs" / "annotation.md").read_text("utf-8")
    for precision, start in (("0", "| every answer"), ("0.9", "| with margins")):
        ran = run(*common, "--gold", tmp_path / "s.csv", "--precision", precision, "--json")
        column = ran.json["result"]["columns"]["gender_image"]
        values = column["error"]["values"]
        shown = next(line for line in page.splitlines() if line.startswith(start))
        for group in ("woman", "man"):
            for name in ("precision", "recall"):
                assert f"{values[group][name]['value']:.3f}".removeprefix("0") in shown
        assert f"{column['attenuation']['value']:.3f}".removeprefix("0") in shown
