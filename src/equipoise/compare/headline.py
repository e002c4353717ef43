"""The sentence of a ledger: made from its rows, so that it cannot say what they do not.

Every number of a sentence is a number of the ledger at three significant digits, or a count of its rows; every claim is
read off the verdicts and the limits of the rows it speaks of.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import pyarrow as pa

from equipoise.compare.data_wording import MOMENTS, judged, short_of
from equipoise.compare.wording import capital, measure, method_title, number, split_metric, whole

Row = Mapping[str, Any]
NAMED = 3  # rows a sentence names one by one
UNBOUND = ("reweigh", "rake")
"""Controls whose weights have neither cap nor tolerance, so that their figures are no like for like."""
ROUNDED = 6  # decimals of what is zero but for rounding
AS_WELL = 0.1  # a control that lowers the bias by nine tenths of what the method does, or more, did as well


class Context(TypedDict, total=False):
    """What a ledger does not say of itself.

    Attributes
    ----------
    method : str
        Registry name of the mitigation, as ``"wring"``; empty when there was none.
    attributes : sequence of str
        The attributes it names.
    margins : mapping of str to float
        Margins by metric name (with or without ``@k``), used where a row carries none.
    """

    method: str
    attributes: Sequence[str]
    margins: Mapping[str, float]


def headline(ledger: pa.Table, context: Context | Mapping[str, Any] | None = None) -> tuple[str, list[str]]:
    """Return the one sentence of a ledger and its companions.

    Parameters
    ----------
    ledger : pyarrow.Table
        Of ``schema.LEDGER``.
    context : Context, optional

    Returns
    -------
    sentence : str
        What happened to the targeted bias; without a targeted row, how many comparisons came out how.
    sentences : list of str
        Controls, other targeted rows, side effects, utility, and how much could not be judged; in this order.
    """
    context = context or {}
    rows = ledger.to_pylist()
    if not rows:
        return "Nothing was compared: the ledger has no rows.", []
    gated = [row for row in gated_rows(rows) if judged(row)]
    if not gated:
        return "There is no verdict: the ledger has no comparison over a whole family or over all groups.", []
    margins = context.get("margins") or {}
    main = main_row(rows)
    said: list[str] = []
    if main is None:
        names = context.get("attributes") if any(row["family"] == "exempt" for row in gated) else ()
        none = f"nothing of {_and(names)} could be balanced" if names else "no attribute was targeted"
        first = f"{_tally(gated)}; {none}."
        if (worst := worst_gap(gated)) is not None:
            gap = capital(measure(worst["metric"], worst["attribute"], worst["family"]))
            said.append(
                f"{gap}: {number(worst['before'])} before, {number(worst['after'])} after ({worst['verdict']})."
            )
    else:
        first = _targeted(main, method_title(context.get("method") or "main"))
        said += _controls(main, rows)
        said += _others_targeted(main, gated)
    said += _side_effects([row for row in gated if row["attribute"]], main, margins)
    said += _utility([row for row in gated if not row["attribute"]], margins, rows)
    said.append(_evidence(gated))
    return first, [text for text in said if text]


def gated_rows(rows: Sequence[Row]) -> list[Row]:
    """Return the rows that a verdict rests on: the main arm, over a whole family or over all groups."""
    return [row for row in rows if row["arm"] == "main" and not row["group"] and not row["query"]]


def main_row(rows: Sequence[Row]) -> Row | None:
    """Return the targeted row that the sentence is about, or None.

    The largest skew in the family with the most evidence (queries, then images); without one, the largest gap before; of
    data what moved most in units of its margin.
    """
    targeted = [row for row in gated_rows(rows) if row["targeted"] and row["family"] not in ("explicit", "proxies")]
    skews = [row for row in targeted if split_metric(row["metric"])[0] == "max_skew"]
    moved = [row for row in targeted if row["metric"] in MOMENTS and _finite(row["change"]) and row["margin"]]
    if not skews and moved:
        return max(moved, key=lambda row: abs(row["change"]) / row["margin"])
    if not skews:
        return worst_gap(targeted) or (targeted[0] if targeted else None)
    queries = Counter(
        (row["attribute"], row["family"], row["metric"])
        for row in rows
        if row["arm"] == "main" and row["query"] and not row["group"]
    )
    return max(
        skews,
        key=lambda row: (
            _finite(row["before"]) and _finite(row["after"]),
            queries[row["attribute"], row["family"], row["metric"]],
            row["n"] or 0,
            row["n_min"] or 0,
        ),
    )


def worst_gap(rows: Sequence[Row]) -> Row | None:
    """Return the row of a gap between groups (of data: of an association) that was largest before, or None."""
    gaps = [row for row in rows if row["attribute"] and (row["metric"].endswith("_gap") or row["metric"] == "ab")]
    return max(gaps, key=lambda row: abs(row["before"]) if _finite(row["before"]) else -1.0, default=None)


def margin_of(row: Row, margins: Mapping[str, float]) -> float | None:
    """Return the margin of a row: its own, else the declared one of its metric."""
    if _finite(row["margin"]):
        return row["margin"]
    return margins.get(row["metric"], margins.get(split_metric(row["metric"])[0]))


def beyond_margin(row: Row, margins: Mapping[str, float]) -> bool:
    """Return whether a row is worse and its whole interval lies above its margin."""
    margin = margin_of(row, margins)
    return (
        row["verdict"] == "worse" and margin is not None and _finite(row["change_low"]) and row["change_low"] > margin
    )


def _targeted(row: Row, method: str) -> str:
    what = measure(row["metric"], row["attribute"], row["family"])
    before, after, verdict = row["before"], row["after"], row["verdict"]
    if not (_finite(before) and _finite(after)):
        side = (
            f" ({number(before)} before)" if _finite(before) else f" ({number(after)} after)" if _finite(after) else ""
        )
        why = f": {row['reason'].rstrip('.')}" if row["reason"] else ""
        return f"There is too little evidence on the {what}{side}{why}."
    asides = [_interval(row), _chance(row)]
    if verdict == "insufficient" and _apart_from_zero(row) and _finite(row["p_adj"]):
        asides.append(f"p {number(row['p_adj'])} once corrected for all comparisons")
    if row["reversed"]:
        asides.append("the bias changed sides")
    aside = "; ".join(text for text in asides if text)
    aside = f" ({aside})" if aside else ""
    span = f"from {number(before)} to {number(after)}"
    if verdict == "improved":
        if before < 0 or after < 0:
            verb = "brought the {w} nearer to zero, {s}" if abs(after) < abs(before) else "improved the {w}, {s}"
        else:
            verb = "lowered the {w} {s}" if after < before else "raised the {w}, which is better, {s}"
        return f"{method} {verb.format(w=what, s=span)}{aside}."
    if verdict == "worse":
        return f"{method} made the {what} worse, {span}{aside}."
    values = f"{number(before)} before, {number(after)} after"
    if verdict == "unchanged":
        return f"{method} left the {what} where it was: {values}{aside}."
    return f"There is too little evidence that {method} changed the {what}: {values}{aside}."


def _interval(row: Row) -> str:
    inside = row["verdict"] == "unchanged" and _finite(row["eq_low"]) and _finite(row["eq_high"])
    low, high, level = ("eq_low", "eq_high", 90) if inside else ("change_low", "change_high", 95)
    if not (_finite(row[low]) and _finite(row[high])):
        return ""
    if row[low] == row[high]:  # an exact number
        return f"inside its margin of {number(row['margin'])}" if inside and _finite(row["margin"]) else ""
    plain = row["after"] - row["before"]
    harm = "" if not _finite(row["change"]) or math.isclose(row["change"], plain, abs_tol=1e-9) else " in harm"
    text = f"{level} % interval of the change{harm} {number(row[low])} to {number(row[high])}"
    return f"{text}, inside its margin of {number(row['margin'])}" if inside and _finite(row["margin"]) else text


def _apart_from_zero(row: Row) -> bool:
    """Return whether the interval alone would seem to show a change."""
    low, high = row["change_low"], row["change_high"]
    return _finite(low) and _finite(high) and (low > 0 or high < 0)


def _chance(row: Row) -> str:
    null = row["null_after"] if _finite(row["null_after"]) else row["null_before"]
    return f"chance alone gives {number(null)}" if _finite(null) else ""


def _controls(main: Row, rows: Sequence[Row]) -> list[str]:
    """Say which controls did as well as the main arm, or better; only of a main arm that improved something."""
    if main["verdict"] != "improved" or not _finite(main["change"]):
        return []
    same = ("attribute", "family", "metric", "protocol")
    said = []
    for row in rows:
        if row["arm"] == "main" or row["group"] or row["query"] or any(row[key] != main[key] for key in same):
            continue
        if not (_finite(row["change"]) and _finite(row["after"])):
            continue
        low = main["change_low"] if _finite(main["change_low"]) else main["change"]
        high = main["change_high"] if _finite(main["change_high"]) else main["change"]
        if row["arm"] in UNBOUND and row["change"] <= main["change"] + AS_WELL * abs(main["change"]):
            said.append(
                f"{method_title(row['arm'])} reached {number(round(row['after'], ROUNDED))}: its weights have neither cap nor "
                "tolerance."
            )
        elif row["change"] < low:
            said.append(f"{method_title(row['arm'])} did better: {number(row['after'])}.")
        elif row["change"] <= main["change"] + AS_WELL * abs(main["change"]):
            said.append(f"{method_title(row['arm'])} did as well: {number(row['after'])}.")
        elif row["change"] <= high:
            said.append(
                f"{method_title(row['arm'])} reached {number(row['after'])}, inside the interval of that change."
            )
    return said


def _others_targeted(main: Row, gated: Sequence[Row]) -> list[str]:
    others = [row for row in gated if row["targeted"] and row is not main]
    if not others:
        return []
    if len(others) <= NAMED and all(row["metric"] in MOMENTS and _finite(row["change"]) for row in others):
        parts = [
            f"{measure(row['metric'], row['attribute'], row['family'])} {number(row['before'])} to {number(row['after'])} "
            f"({row['verdict']})"
            for row in others
        ]
        return [f"Also targeted: {'; '.join(parts)}."]
    tally = Counter(row["verdict"] for row in others)
    words = {word: word for word in ("improved", "unchanged", "worse")} | {"insufficient": "with too little evidence"}
    parts = [f"{tally[verdict]} {word}" for verdict, word in words.items() if tally[verdict]]
    names = list(dict.fromkeys(row["attribute"] for row in others))
    plural = "comparison" if len(others) == 1 else "comparisons"
    if len(parts) == 1 and len(others) > 1:
        lead = "Both" if len(others) == 2 else f"All {len(others)}"
        return [f"{lead} other {plural} of {_and(names)}: {words[next(iter(tally))]}."]
    return [f"Of {len(others)} other {plural} of {_and(names)}: {', '.join(parts)}."]


def _side_effects(rows: Sequence[Row], main: Row | None, margins: Mapping[str, float]) -> list[str]:
    """Speak of declared attributes: which got worse beyond their margin, which cannot be ruled out, or none."""
    beyond = [row for row in rows if row is not main and beyond_margin(row, margins)]
    if beyond:
        return [_named("Worse by more than its margin", beyond)]
    if not rows:
        return []
    worse = [row for row in rows if row is not main and row["verdict"] == "worse"]
    said = [_named("Worse, though not shown to be so by more than its margin", worse)] if worse else []
    open_rows = [row for row in rows if not _below_margin(row, margins)]
    if not open_rows:
        same = {number(margin_of(row, margins)) for row in rows}
        margin = f"the margin of {same.pop()}" if len(same) == 1 else "its margin"
        return [*said, f"No declared attribute got worse by more than {margin}."]
    if main is not None and main["verdict"] == "worse":
        return said
    count = f"{len(open_rows)} of {len(rows)} comparisons" if len(rows) > 1 else "the one comparison"
    return [
        *said,
        f"No declared attribute was shown to get worse by more than its margin, but {count} cannot rule it out.",
    ]


def _utility(rows: Sequence[Row], margins: Mapping[str, float], every: Sequence[Row]) -> list[str]:
    """Say what fell; where nothing did over all rows, which group inside a label pays more than the margin of it."""
    if not rows:
        return []
    if beyond := [row for row in rows if beyond_margin(row, margins)]:
        return [_named("Utility fell by more than its margin", beyond)]
    if all(_below_margin(row, margins) for row in rows):
        if who := short_of(every):
            return [f"No measure of utility over all rows fell by more than its margin, but {who}."]
        return ["No measure of utility fell by more than its margin."]
    return []


def _below_margin(row: Row, margins: Mapping[str, float]) -> bool:
    margin = margin_of(row, margins)
    return margin is not None and _finite(row["change_high"]) and row["change_high"] <= margin


def _named(lead: str, rows: Sequence[Row]) -> str:
    rows = sorted(rows, key=lambda row: -(row["change"] if _finite(row["change"]) else 0.0))
    parts = [
        f"{measure(row['metric'], row['attribute'], row['family'])}, {number(row['before'])} to {number(row['after'])}"
        for row in rows[:NAMED]
    ]
    more = f"; and {len(rows) - NAMED} more" if len(rows) > NAMED else ""
    return f"{lead}: {'; '.join(parts)}{more}."


def _tally(gated: Sequence[Row]) -> str:
    tally = Counter(row["verdict"] for row in gated)
    words = {
        "improved": "improved",
        "worse": "got worse",
        "unchanged": "stayed inside {} margin",
        "insufficient": "had too little evidence",
    }
    parts = [
        f"{count} {word.format('its' if count == 1 else 'their')}"
        for verdict, word in words.items()
        if (count := tally[verdict])
    ]
    return f"Of {_counted(gated)} of before and after, {_and(parts)}"


def _evidence(gated: Sequence[Row]) -> str:
    missing = sum(row["verdict"] == "insufficient" for row in gated)
    if missing:
        return f"For {whole(missing)} of {_counted(gated)} there is too little evidence."
    return f"Of {_counted(gated)}, none lacked evidence."


def _counted(rows: Sequence[Row]) -> str:
    return f"{whole(len(rows))} {'comparison' if len(rows) == 1 else 'comparisons'}"


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _finite(value: Any) -> bool:
    return value is not None and math.isfinite(value)
