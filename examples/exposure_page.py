"""The page of the exposure study: means over seeds with intervals, paired contrasts, and what they say of the paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gallery_page as gallery
import numpy as np
from gallery_page import Point, interval, number, p_value, percent
from scipy import stats

NAME = "m4_exposure"
MARGIN = 0.02
"""A difference of AB whose interval lies inside counts as none."""

MEASURES = {
    "ab": "AB, mean of 4 pairs",
    "ab_max": "AB, largest pair",
    "ab_soft": "AB, soft",
    "toward_plan": "gap toward the planted side",
    "rb_scenes": "RB on scenes",
    "rb_photos": "RB on photographs",
    "men_photos": "photographs nearer to a man",
    "gender_accuracy": "gender accuracy",
    "badge_accuracy": "badge accuracy",
}
ORDER = (
    "unbalanced", "unbalanced, then m4 0.1", "unbalanced, then m4 0.5", "unbalanced, then m4 0.9", "m4",
    "m4, then unbalanced 0.1", "m4, then unbalanced 0.5", "m4, then unbalanced 0.9", "m4+proxies", "random", "reweigh",
)  # fmt: skip
CONTRASTS = {
    "balanced from the start": ("m4", "unbalanced"),
    "random rows, as many": ("random", "unbalanced"),
    "balanced, against as many random rows": ("m4", "random"),
    "Kamiran-Calders": ("reweigh", "unbalanced"),
    "proxies too": ("m4+proxies", "m4"),
    "balanced for the last 10 %": ("unbalanced, then m4 0.1", "unbalanced"),
    "balanced for the last 50 %": ("unbalanced, then m4 0.5", "unbalanced"),
    "balanced for the last 90 %": ("unbalanced, then m4 0.9", "unbalanced"),
    "unbalanced for the last 10 %": ("m4, then unbalanced 0.1", "m4"),
    "order of two halves": ("unbalanced, then m4 0.5", "m4, then unbalanced 0.5"),
}


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Return the mean of some seeds with a 95 % t interval; no interval for fewer than 3."""
    array = np.asarray(values, np.float64)
    if array.size < 3:
        return {"value": float(array.mean()), "low": None, "high": None}
    half = float(stats.t.ppf(0.975, array.size - 1) * array.std(ddof=1) / np.sqrt(array.size))
    return {"value": float(array.mean()), "low": float(array.mean()) - half, "high": float(array.mean()) + half}


def contrast(one: Sequence[float], two: Sequence[float]) -> dict[str, Any]:
    """Return the paired difference with its t interval and Wilcoxon's two-sided p."""
    difference = np.asarray(one) - np.asarray(two)
    p = float(stats.wilcoxon(difference).pvalue) if difference.any() else 1.0
    return {**spread(difference), "p": p}


def summary(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page says, from what every seed gave."""
    seeds = found["seeds"]
    values = {arm: {m: [s["arms"][arm][m] for s in seeds] for m in MEASURES} for arm in ORDER}
    kinds = {
        kind: {m: [s["data"][kind][m] for s in seeds] for m in seeds[0]["data"][kind]} for kind in seeds[0]["data"]
    }
    return {
        "seeds": len(seeds),
        "steps": found["steps"],
        "batch": found["batch"],
        "data": {kind: {m: float(np.mean(v)) for m, v in columns.items()} for kind, columns in kinds.items()},
        "arms": {arm: {m: spread(v) for m, v in columns.items()} for arm, columns in values.items()},
        "contrasts": {
            name: {m: contrast(values[one][m], values[two][m]) for m in MEASURES}
            for name, (one, two) in CONTRASTS.items()
        },
        "shares": shares_of_the_drop(values),
    }


def shares_of_the_drop(values: Mapping[str, Mapping[str, Sequence[float]]], draws: int = 10_000) -> dict[str, Any]:
    """Return which share of the drop of AB from unbalanced to balanced a balanced stage at the end gives.

    A ratio of means of paired differences; 95 % percentile interval of draws of seeds with replacement.
    """
    start, found = np.asarray(values["unbalanced"]["ab"]), {}
    whole = np.asarray(values["m4"]["ab"]) - start
    rows = np.random.default_rng(0).integers(0, start.size, (draws, start.size))
    for last in ("0.1", "0.5", "0.9"):
        part = np.asarray(values[f"unbalanced, then m4 {last}"]["ab"]) - start
        if not whole[rows].mean(axis=1).all():  # nothing dropped: there is nothing to have a share of
            found[last] = {"value": None, "low": None, "high": None}
            continue
        low, high = np.percentile(part[rows].mean(axis=1) / whole[rows].mean(axis=1), [2.5, 97.5])
        found[last] = {"value": float(part.mean() / whole.mean()), "low": float(low), "high": float(high)}
    return found


def said(row: Mapping[str, Any], least: float = 0.05) -> str:
    """Return a contrast in words."""
    word = "no evidence of a difference" if row["p"] >= least else "lower" if row["value"] < 0 else "higher"
    return f"{word} ({interval(row, sign=True)}, p {p_value(row['p'])})"


def figures(found: dict[str, Any]) -> dict[str, str]:
    """Return the charts of the page."""

    def points(measure: str) -> list[Point]:
        return [
            Point(_short(arm), *(found["arms"][arm][measure][k] for k in ("value", "low", "high"))) for arm in ORDER
        ]

    first = found["contrasts"]["balanced from the start"]["ab"]
    title = "Balanced from the start, faces say less about occupations" if first["high"] is not None and first["high"] < 0 else (
        "No clear effect of balancing on AB")  # fmt: skip
    return {
        f"{NAME}_ab": gallery.drawing(
            title,
            f"Mean over {found['seeds']} seeds with 95 % t intervals; how often a word is nearer, and the same through a sigmoid.",
            [("AB on held-out faces", points("ab")), ("the same, soft", points("ab_soft"))],
            "association bias",
        ),
        f"{NAME}_rb": gallery.drawing(
            "RB differs more between seeds than between arms" if _lost(found, "rb_photos") else "RB by arm",
            f"Mean over {found['seeds']} seeds with 95 % t intervals.",
            [("RB on scenes", points("rb_scenes")), ("RB on photographs", points("rb_photos"))],
            "representation bias",
        ),
    }


def _short(arm: str) -> str:
    """Return ``last 10 % m4`` for ``unbalanced, then m4 0.1``."""
    first, _, then = arm.partition(", then ")
    if not then:
        return first
    name, share = then.split()
    return f"last {float(share):.0%} {name}".replace("%", " %")


def _lost(found: Mapping[str, Any], measure: str) -> bool:
    return all(row[measure]["p"] >= 0.05 for row in found["contrasts"].values())


def page(found: dict[str, Any]) -> str:
    """Return the page."""
    data, arms, contrasts = found["data"], found["arms"], found["contrasts"]
    start, ten, order = (
        contrasts[name] for name in ("balanced from the start", "balanced for the last 10 %", "order of two halves")
    )
    lost = start["ab"]["p"] < 0.05 and start["ab"]["value"] < 0
    short, half = (found["shares"][last] for last in ("0.1", "0.5"))
    proxies = contrasts["proxies too"]["ab"]
    claims = [
        [
            "a short balanced stage at the end repairs little of AB",
            f"the last 10 % of the steps give {_share(short)} of the drop",
            _told(lost and short["high"] < 0.5, not lost or short["low"] > 0.5),
        ],
        [
            "AB falls in proportion to exposure, whatever the order",
            f"the last 50 % give {_share(half)}; balanced half last: {said(order['ab'])}",
            _told(lost and _inside(order["ab"]), not _inside(order["ab"]) and order["ab"]["p"] < 0.05),
        ],
        [
            "RB follows the data seen last",
            f"balanced from the start: {said(start['rb_photos'])}; the last 10 %: {said(ten['rb_photos'])}",
            _told(_lower(start["rb_photos"]) and _lower(ten["rb_photos"]), False),
        ],
        [
            "proxies raise AB",
            said(proxies),
            _told(proxies["p"] < 0.05 and proxies["value"] > 0, _inside(proxies) or _lower(proxies)),
        ],
    ]
    head = "lowers" if lost else "does not measurably lower"
    rows = [[arm, *(interval(arms[arm][m]) for m in ("ab", "ab_soft", "rb_scenes", "rb_photos"))] for arm in ORDER]
    guard = [
        [arm, *(interval(arms[arm][m]) for m in ("gender_accuracy", "badge_accuracy", "men_photos"))] for arm in ORDER
    ]
    paired = [
        [name, f"{one} − {two}", *(f"{interval(contrasts[name][m], sign=True)}; {p_value(contrasts[name][m]['p'])}"
                                    for m in ("ab", "rb_scenes", "rb_photos"))]
        for name, (one, two) in CONTRASTS.items()
    ]  # fmt: skip
    kept = [
        [kind, f"{row['rows']:,.0f} of {row['of']:,.0f}", *(number(row[m]) for m in ("men", "ab", "ab_frame"))]
        for kind, row in data.items()
    ]
    return f"""<!-- Written by examples/{NAME}.py --write-docs; do not edit. -->
# Exposure: training on balanced pairs {head} association bias; a short balanced stage at the end {_ending(short, lost)}

Alabdulmohsin et al. ("CLIP the Bias", ICLR 2024) report of more than 150 models that representation bias (RB) follows the data
seen last, so that fine-tuning on balanced data repairs it fast, and that association bias (AB) falls in proportion to how much
balanced data was seen, so that fine-tuning helps little. This is the same question asked of a *small stand-in*: a model of
four convolutions and a bag of words, {found["steps"]} steps of {found["batch"]} pairs, {found["seeds"]} seeds. It says nothing about CLIP.

- AB, balanced from the start against unbalanced: {said(start["ab"])}.
- AB, balanced for the last 10 % of the steps against unbalanced: {said(ten["ab"])}, {_share(short)} of what
  balancing from the start gives.
- RB on photographs, balanced from the start: {said(start["rb_photos"])}; for the last 10 %: {said(ten["rb_photos"])}.
- As many rows drawn at random: AB {said(contrasts["random rows, as many"]["ab"])}. Fewer rows alone have a part in it; M4
  against as many random rows: {said(contrasts["balanced, against as many random rows"]["ab"])}.

{gallery.table(["the paper reports", "here", ""], claims, 3)}
*Contradicted*: the difference is shown, or shown to lie inside {MARGIN}. *Cannot be told*: neither.

![AB by arm](../_static/gallery/{NAME}_ab.svg)

![RB by arm](../_static/gallery/{NAME}_rb.svg)

## What was trained on

FairFace training faces (64 pixels, labels of *perceived* gender), seven men in ten. Each has an occupation, one of four with
probability 0.8 for men and 0.2 for women, else one of four others; half of the faces wear the badge of their occupation. A third of
the captions name gender and occupation, a third one, a third the other. A frame around the picture, hatched for 65 % of men
and 35 % of women, is in no caption: it is the proxy. Beside them, 1,000 scenes without people, with captions without gender.

What each way to balance keeps (means over seeds); AB of data is the largest difference of P(occupation) between men and women:

{gallery.table(["rows", "kept", "share of men", "AB, occupations", "AB, frame"], kept)}
M4 with its defaults (tolerance 0.05 on the share of a group inside each occupation). `m4+proxies` constrains the frame as well.
`random` keeps as many rows as `m4`. Rows are drawn once a seed, and every arm takes equally many steps.

## Every arm

`A, then B 0.1`: the last 10 % of the steps on B (in the charts: last 10 % B). AB: over four pairs of occupations, by how much more often the first is nearer for
men than for women, on the 3,000 held-out faces, without badges and frames. RB: distance from one half of how often
"a photo of a man" is nearer than "a photo of a woman", on new scenes and on 1,000 photographs of ImageNet.

{gallery.table(["arm", "AB", "AB, soft", "RB, scenes", "RB, photographs"], rows)}
{gallery.table(["arm", "gender accuracy", "badge accuracy", "photographs nearer to a man"], guard)}
Means over {found["seeds"]} seeds with 95 % t intervals.

## Paired differences

Difference by seed with its 95 % t interval; p of Wilcoxon's signed-rank test, two-sided, uncorrected (with {found["seeds"]} seeds it
cannot fall below {2 / 2 ** found["seeds"]:.3f}).

{gallery.table(["contrast", "arms", "AB", "RB, scenes", "RB, photographs"], paired, 2)}
## What this cannot say

- A small model, one data set, one planted association; faces are told apart by it in {percent(arms["unbalanced"]["gender_accuracy"]["value"])} of cases.
- RB is a property of a direction between two texts: on pictures that captions never call a man or a woman, it depends much on
  the seed, as the intervals show.
- Perceived gender is binary in these labels, and equal shares are a choice.

```sh
python examples/{NAME}.py --data $DATA --out runs/exposure --write-docs
```

Faces: FairFace, Karkkainen and Joo (2021), CC BY 4.0. Photographs: ImageNet; none is shown or stored here.
"""


def _ending(short: Mapping[str, Any], lost: bool) -> str:
    return f"gives {percent(short['value'])} of that" if lost else "is no shortcut to tell"


def _share(row: Mapping[str, Any]) -> str:
    return f"{percent(row['value'])} [{percent(row['low'])}, {percent(row['high'])}]"


def _inside(row: Mapping[str, Any]) -> bool:
    """Return whether the whole interval lies inside the margin."""
    return row["low"] > -MARGIN and row["high"] < MARGIN


def _lower(row: Mapping[str, Any]) -> bool:
    return row["p"] < 0.05 and row["value"] < 0


def _told(seen: bool, contradicted: bool) -> str:
    return "**seen**" if seen else "**contradicted**" if contradicted else "**cannot be told**"
