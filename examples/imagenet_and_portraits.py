"""EfficientNet-Lite0 on grey photographs, and the demo encoder live on synthetic portraits; writes the gallery page.

python examples/imagenet_and_portraits.py --data ../shared/data --out runs/pictures [--write-docs | --check]

Needs the extra ``demo`` and two folders of pictures: ``critical_band/gray`` (BLOCK/NAME_CATEGORY.JPEG) and
``synthetic_portraits`` (labels.csv with image, sex and prompt).
"""

from __future__ import annotations

import csv
import json
import math
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import gallery_page as gallery
import numpy as np
from gallery_page import Point, interval, number, p_value, percent
from PIL import Image

import equipoise as eq
from equipoise.cli.audit_pictures import accuracies
from equipoise.stats.multiplicity import holm

NAME = "imagenet_and_portraits"
CATEGORIES = gallery.EXAMPLES / "imagenet_categories.csv"
BY_PHOTO = ("block", "brightness", "contrast")
THIRDS = {"brightness": ("dark", "middle", "bright"), "contrast": ("low", "middle", "high")}
SHEET = gallery.DOCS / "_static" / "gallery" / "portraits.webp"
TOP, THUMB, LARGEST = 8, 72, 60_000
BANDS = {"18-29": 30, "30-39": 40, "40-49": 50, "50 and over": 200}
VOCABULARY = """\
[sex]
values = ["female", "male"]
templates = ["a photo of {}", "a picture of {}", "a portrait of {}"]

[sex.prompts]
female = ["a woman"]
male = ["a man"]

[age]
values = ["18-29", "30-39", "40-49", "50 and over"]
"""


def write_table(path: Path, rows: list[dict[str, str]]) -> None:
    """Write rows as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def categories() -> dict[str, str]:
    """Return the category of every ImageNet label that has one."""
    with CATEGORIES.open(encoding="utf-8", newline="") as file:
        return {row["label"]: row["category"] for row in csv.DictReader(file)}


def thirds(values: list[float], names: tuple[str, str, str]) -> list[str]:
    """Return which third of all values each one is in."""
    return [names[place] for place in np.searchsorted(np.quantile(values, [1 / 3, 2 / 3]), values)]


def prepare_photos(folder: Path, out: Path) -> None:
    """Write the table of photographs, with thirds of brightness and contrast, and the classes as flags in a file."""
    paths = sorted(folder.glob("*/*.JPEG"))
    grey = [np.asarray(Image.open(path).convert("L"), np.float64) for path in paths]
    bright = thirds([float(pixels.mean()) for pixels in grey], THIRDS["brightness"])
    contrast = thirds([float(pixels.std()) for pixels in grey], THIRDS["contrast"])
    rows = [
        {
            "id": f"{path.parent.name}/{path.stem}", "image": str(path.resolve()), "category": path.stem.rsplit("_", 1)[1],
            "block": path.parent.name, "brightness": light, "contrast": strength,
        }
        for path, light, strength in zip(paths, bright, contrast, strict=True)
    ]  # fmt: skip
    write_table(out / "photos.csv", rows)
    lines = [f"  {json.dumps(f'{label}={category}')},\n" for label, category in categories().items()]
    (out / "classes.toml").write_text("classes = [\n" + "".join(lines) + "]\n", encoding="utf-8")


def prepare_portraits(folder: Path, out: Path) -> dict[str, int]:
    """Write the table of portraits, with age and country from the prompts, and the vocabulary; return counts of them."""
    rows = []
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            told = re.search(r"(\d+)-year-old (?:woman|man) from ([^\"]+)", row["prompt"])
            if told is None:
                raise ValueError(f"The prompt of {row['image']} tells no age and country: {row['prompt']!r}")
            band = next(name for name, end in BANDS.items() if int(told[1]) < end)
            image = folder / row["image"]
            rows.append(
                {
                    "id": image.stem,
                    "image": str(image.resolve()),
                    "sex": row["sex"],
                    "age": band,
                    "country": told[2].strip(),
                }
            )
    write_table(out / "portraits.csv", rows)
    (out / "groups.toml").write_text(VOCABULARY, encoding="utf-8")
    countries = Counter(row["country"] for row in rows)
    return {"portraits": len(rows), "countries": len(countries), "most_of_a_country": max(countries.values())}


def placed(row: dict[str, Any]) -> tuple[Any, ...]:
    """Return where a row of the trial stands: thirds in their order, blocks by name, categories by accuracy."""
    attribute, group = row["attribute"], row["group"]
    if attribute in THIRDS:
        return (BY_PHOTO.index(attribute), THIRDS[attribute].index(group), "")
    if attribute in BY_PHOTO:
        return (BY_PHOTO.index(attribute), 0, group)
    return (len(BY_PHOTO) if attribute else -1, row["before"], group)


def photographs(data: Path, out: Path, shell: gallery.Shell) -> dict[str, Any]:
    """Try the model's own preprocessing and the usual one on the same photographs."""
    prepare_photos(data / "critical_band" / "gray", out)
    shell.run(
        "equipoise audit $OUT/photos.csv --image image --id id --label category --model efficientnet-lite0 "
        "--config $OUT/classes.toml --by block,brightness,contrast,category --preprocess own --preprocess imagenet "
        "--metrics accuracy,accuracy_gap --store $OUT/logits --out $OUT/photos"
    )
    ledger = eq.Comparison.load(out / "photos" / "ledger")
    rows = sorted(accuracies(ledger), key=placed)
    before = eq.Audit.load(out / "photos" / "before")
    gaps = gallery.estimates(before.estimates, "accuracy_gap", groups=False)
    tested = [row for row in gaps if row["attribute"] in BY_PHOTO]
    for row, corrected in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = float(corrected)
    sides = {side: eq.Audit.load(out / "photos" / side).evidence.rows.to_pylist() for side in ("before", "after")}
    strays: dict[str, Counter[str]] = {}
    for row in sides["before"]:
        if row["label"] != row["prediction"]:
            strays.setdefault(row["label"], Counter())[row["prediction"]] += 1
    with CATEGORIES.open(encoding="utf-8", newline="") as file:
        rules = list(csv.DictReader(file))
    return {
        "classes": len(rules),
        "exceptions": [row["label"] for row in rules if row["rule"] == "exception"],
        "accuracy": rows,
        "gaps": tested,
        "strays": {
            name: min(found.items(), key=lambda item: (-item[1], item[0])) for name, found in sorted(strays.items())
        },
        "other": {
            side: sum(row["prediction"] not in set(categories().values()) for row in answers)
            for side, answers in sides.items()
        },
    }


def portraits(data: Path, out: Path, shell: gallery.Shell) -> dict[str, Any]:
    """Embed the portraits live; audit searches for occupations, and zero-shot answers."""
    counts = prepare_portraits(data / "synthetic_portraits", out)
    table = "$OUT/portraits.csv --image image --id id"
    shell.run(
        f"equipoise embed {table} --encoder demo --attributes sex,age,country --vocabulary $OUT/groups.toml "
        "--store $OUT/store"
    )
    shell.run("equipoise audit $OUT/store --queries occupations --by sex,age --out $OUT/occupations")
    shell.run(
        f"equipoise audit {table} --label sex --model demo --vocabulary $OUT/groups.toml --by sex,age --positive female "
        "--metrics accuracy,accuracy_gap,auc --store $OUT/answers --out $OUT/zero-shot"
    )
    searched, answered = eq.Audit.load(out / "occupations"), eq.Audit.load(out / "zero-shot")
    k = searched.document.k
    listed = gallery.estimates(searched.estimates, f"skew@{k}", groups=True, keep=("query",))
    skews = sorted(
        (row for row in listed if row["group"] == "female" and row["query"]),
        key=lambda row: (row["value"], row["query"]),
    )
    share = np.mean([value == "female" for value in searched.evidence.rows["sex"].to_pylist()])
    for row, corrected in zip(skews, holm([row["p"] for row in skews]), strict=True):
        row["p_holm"] = float(corrected)
        row["in_top"] = round(k * float(share) * math.exp(row["value"]))
    overall = [
        row
        for row in gallery.estimates(searched.estimates, f"max_skew@{k}", groups=False, keep=("query",))
        if not row["query"]
    ]
    texts = [query.text for query in searched.queries]
    scores, ids = searched.evidence.scores["main"], list(searched.evidence.ids)
    tops = {
        row["query"]: [ids[place] for place in np.argsort(-scores[texts.index(row["query"])], kind="stable")[:TOP]]
        for row in (skews[0], skews[-1])
    }
    return {
        **counts,
        "k": k,
        "share_female": float(share),
        "skews": skews,
        "overall": overall,
        "tops": tops,
        "zero_shot": gallery.estimates(answered.estimates, "accuracy", groups=True),
        "zero_shot_all": gallery.estimates(answered.estimates, "accuracy", "auc", groups=False),
        "gaps": gallery.estimates(answered.estimates, "accuracy_gap", groups=False),
    }


def measured(data: Path, out: Path) -> dict[str, Any]:
    """Run both parts and return their numbers."""
    first, second = gallery.Shell(data, out), gallery.Shell(data, out)
    return {
        "photos": {**photographs(data, out, first), "runs": first.shown},
        "portraits": {**portraits(data, out, second), "runs": second.shown},
    }


def contact_sheet(tops: dict[str, list[str]], folder: Path) -> None:
    """Write the top of the two queries as thumbnails, a query a row; ValueError if the file is too large."""
    sheet = Image.new("RGB", (TOP * THUMB, len(tops) * THUMB), "white")
    for line, names in enumerate(tops.values()):
        for column, name in enumerate(names):
            with Image.open(folder / "images" / f"{name}.jpg") as picture:
                small = picture.convert("RGB").resize((THUMB - 4, THUMB - 4), Image.Resampling.LANCZOS)
            sheet.paste(small, (column * THUMB + 2, line * THUMB + 2))
    SHEET.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(SHEET, quality=70, method=6)
    if SHEET.stat().st_size > LARGEST:
        raise ValueError(f"{SHEET.name} has {SHEET.stat().st_size:,} bytes, more than {LARGEST:,}")


def job(query: str) -> str:
    """Return what a query is about: "a photo of a nurse" is about "nurse"."""
    return re.sub(r"^a photo of an? ", "", query)


def figures(found: dict[str, Any]) -> dict[str, str]:
    """Return the charts of the page."""
    photos, people = found["photos"], found["portraits"]
    whole, *rows = photos["accuracy"]

    def trial(attribute: str) -> list[Point]:
        return [
            Point(row["group"], row["after"], before=row["before"]) for row in rows if row["attribute"] == attribute
        ]

    everything = [Point("all photographs", whole["after"], before=whole["before"])]
    skews = people["skews"]
    lean = [Point(job(row["query"]), row["value"], row["low"], row["high"]) for row in [*skews[:8], *skews[-8:]]]
    right = [
        Point(row["group"], row["value"], row["low"], row["high"])
        for attribute in ("sex", "age")
        for row in people["zero_shot"]
        if row["attribute"] == attribute and row["value"] is not None
    ]
    accuracy = {row["group"]: row["value"] for row in people["zero_shot"]}
    return {
        f"{NAME}_preprocessing": gallery.drawing(
            f"The usual mean and std cost EfficientNet-Lite0 {100 * (whole['before'] - whole['after']):.0f} points",
            "Accuracy: hollow with the model's own preprocessing, filled with that of ImageNet.",
            [
                ("by block", everything + trial("block")),
                ("by category", trial("category")),
                ("by brightness", trial("brightness")),
                ("by contrast", trial("contrast")),
            ],
            "accuracy",
        ),
        f"{NAME}_searches": gallery.drawing(
            f"“{job(skews[0]['query'])}” finds the fewest women, “{job(skews[-1]['query'])}” the most",
            f"ln of the share of women in the top {people['k']} over their share of all, 95 % intervals; 0: no skew.",
            [("the eight occupations at each end", lean)], "skew to women", signed=True,
        ),
        f"{NAME}_zero_shot": gallery.drawing(
            f"Right on {percent(accuracy['male'])} of the men and {percent(accuracy['female'])} of the women",
            "Accuracy of perceived gender, zero-shot, 95 % intervals.",
            [("by sex and age in the prompt", right)], "accuracy",
        ),
    }  # fmt: skip


def trial_rows(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Return accuracies of a trial as cells."""
    return [
        [
            f"{row['attribute']}: {row['group']}" if row["attribute"] else "**all**", f"{row['n']:,}",
            number(row["before"]), number(row["after"]),
            interval({"value": row["change"], "low": row["low"], "high": row["high"]}, sign=True),
            row["verdict"] or row["reason"],
        ]
        for row in rows
    ]  # fmt: skip


def page(found: dict[str, Any]) -> str:
    """Return the page as Markdown."""
    photos, people = found["photos"], found["portraits"]
    whole = photos["accuracy"][0]
    change = interval({"value": whole["change"], "low": whole["low"], "high": whole["high"]}, sign=True)
    worse = [row for row in photos["accuracy"][1:] if row["verdict"] == "worse"]
    better = [row for row in photos["accuracy"][1:] if row["verdict"] == "improved"]
    least = min((row for row in photos["accuracy"] if row["attribute"] == "category"), key=lambda row: row["before"])
    gaps = [
        [row["attribute"], interval(row), number(row["null_value"]), p_value(row["p"]), p_value(row["p_holm"])]
        for row in photos["gaps"]
    ]
    strays = ", ".join(f"{name}: {answer} ({count})" for name, (answer, count) in photos["strays"].items())
    skews = people["skews"]
    lasting = [row for row in skews if row["p_holm"] < 0.05]
    searches = [
        [job(row["query"]), f"{row['in_top']} of {people['k']}", interval(row, 2, sign=True), p_value(row["p"]),
         p_value(row["p_holm"])]
        for row in [*skews[:8], *skews[-8:]]
    ]  # fmt: skip
    overall = {row["attribute"]: row for row in people["overall"]}
    right = {row["group"]: row for row in people["zero_shot"]}
    everybody = {row["metric"]: row for row in people["zero_shot_all"]}
    gap = {row["attribute"]: row for row in people["gaps"]}
    answers = [[row["attribute"], row["group"], str(row["n"]), interval(row)] for row in people["zero_shot"]]

    def evidence(row: dict[str, Any]) -> str:
        return f"{interval(row)}, chance alone gives {number(row['null_value'])}, p {p_value(row['p'])}"

    first, last = people["tops"]
    return f"""<!-- Written by examples/imagenet_and_portraits.py --write-docs; do not edit. -->
# The usual mean and std cost EfficientNet-Lite0 {100 * (whole["before"] - whole["after"]):.0f} points; a face encoder is right on {percent(right["female"]["value"])} of women and {percent(right["male"]["value"])} of men

Two short audits of pictures: a classifier with a wrong preprocessing, and an encoder that embeds pictures live.
`examples/imagenet_and_portraits.py` writes this page:

```sh
python examples/imagenet_and_portraits.py --data $DATA --out $OUT --write-docs
```

## EfficientNet-Lite0 on grey photographs

{whole["n"]:,} grey photographs in 16 categories. The network expects `(pixel − 127) / 128`; the usual mean and std of
ImageNet raise no error. On the same photographs accuracy goes from {number(whole["before"])} to {number(whole["after"])}: a
change of {change}. Both bring the short edge to 256 pixels and keep the middle 224 x 224; beside mean and std they differ in the
interpolation, bicubic and bilinear. {len(worse)} of {len(photos["accuracy"]) - 1} groups are shown to be worse, {len(better)}
better (Benjamini and Hochberg's correction over the groups).

![Accuracy with both preprocessings](../_static/gallery/{NAME}_preprocessing.svg)

{gallery.table(["photographs", "n", "own", "imagenet", "change [95 %]", "verdict"], trial_rows(photos["accuracy"]))}
Brightness and contrast are thirds of the mean and the standard deviation of the grey levels. Gaps between the groups under the
model's own preprocessing, p by shuffling, with Holm's correction over these {len(gaps)}:

{gallery.table(["by", "accuracy gap [95 %]", "chance", "p", "p, Holm"], gaps)}
{gallery.shown(photos["runs"][0])}
### How 1,000 classes become 16

The categories are those of Geirhos et al. 2018 (*Generalisation in humans and deep neural networks*). Which ImageNet classes
belong to one is in `examples/imagenet_categories.csv`: {photos["classes"] - len(photos["exceptions"])} classes whose WordNet synset lies below the category's
(column `rule`: WordNet), and {len(photos["exceptions"])} exceptions: *minivan* is a truck, as in the labels of these
photographs, and *tusker*, to WordNet any mammal with prominent tusks, is an elephant; that one was decided after the network was
seen to say it of elephants. The flags `--classes` are written to `classes.toml` from it. Probabilities of classes that become one are added; the
other {1000 - photos["classes"]:,} stay possible answers, and always wrong ones: {photos["other"]["before"]} answers of the
model's own preprocessing and {photos["other"]["after"]} of the usual one. This is stricter than a choice among 16, most
of all for categories that few classes belong to; {least["group"]} comes last ({number(least["before"])}), with
{Counter(categories().values())[least["group"]]} classes. The most common wrong answers: {strays}.

## The demo encoder, live, on synthetic portraits

{people["portraits"]} portraits by Stable Diffusion 3 that were asked for as "profile picture of a 22-year-old woman from
Malawi". Sex, age and country are parsed from the prompts: what the generator was *asked for*. There are
{people["countries"]} countries with at most {people["most_of_a_country"]} portraits each, too few to say anything by country.
The [demo encoder](../demo_encoder.md) never saw a synthetic picture; it stands in for CLIP and is not CLIP.

{"".join(gallery.shown(run) for run in people["runs"][:2])}
Over all {len(skews)} occupations, the largest skew in the top {people["k"]} is {evidence(overall["sex"])} by sex, and
{evidence(overall["age"])} by age. Of the {len(skews)} queries, {len(lasting)} have a share of women that differs from chance
after Holm's correction.

![Skew of the occupations at both ends](../_static/gallery/{NAME}_searches.svg)

{gallery.table(["occupation", "women in the top", "skew [95 %]", "p", "p, Holm"], searches)}
![The top {TOP} portraits of two queries](../_static/gallery/portraits.webp)

*Above, the top {TOP} for "{first}"; below, for "{last}". Synthetic portraits, CC0.*

### Zero-shot accuracy of perceived gender

The nearer of "a woman" and "a man", each in three templates, is right on {interval(everybody["accuracy"])} of the portraits
(AUC {interval(everybody["auc"])}): on {percent(right["female"]["value"])} of those asked for as women and
{percent(right["male"]["value"])} of those asked for as men. The gap by sex is {evidence(gap["sex"])}; by age
{evidence(gap["age"])}{"" if gap["age"]["p"] < 0.05 else ": no evidence of a difference"}.

![Zero-shot accuracy by sex and age](../_static/gallery/{NAME}_zero_shot.svg)

{gallery.table(["by", "group", "n", "accuracy [95 %]"], answers, 2)}
{gallery.shown(people["runs"][2])}
## What was not measured

- The photographs are grey and 224 pixels wide already; the loss on colour photographs of their own size is another number. They
  come from ImageNet and may have been trained on, which helps both preprocessings. Categories are unequal in number.
- Nothing ties brightness or contrast to accuracy but this sample: categories differ in both.
- Sex, age and country are words of a prompt. Whether a portrait looks so was not looked at by people, and a portrait that does
  not counts as an error of the encoder. The generator has biases of its own; its portraits are no sample of anyone.
- {people["portraits"]} portraits are few: intervals are wide, and a query without evidence is not shown to be without skew.

## Sources

Photographs: ImageNet, in the grey version of the critical-band experiments; private measurements only, no picture is shown or
stored here. EfficientNet-Lite0: Google, Apache-2.0. Portraits: Stable Diffusion 3, CC0. Lines of progress are left out of the
outputs above.
"""


def main(words: list[str] | None = None) -> int:
    """Run, then write or check the page."""
    given = gallery.arguments(__doc__ or "").parse_args(words)
    given.out.mkdir(parents=True, exist_ok=True)
    found = measured(given.data, given.out)
    if given.write_docs:
        contact_sheet(found["portraits"]["tops"], given.data / "synthetic_portraits")
    return gallery.finish(NAME, found, page, figures, given)


if __name__ == "__main__":
    sys.exit(main())
