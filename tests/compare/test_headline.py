"""The sentence is checked against the rows it speaks of, on made-up and on random ledgers."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.compare.headline import beyond_margin, gated_rows, headline, main_row
from equipoise.compare.wording import number
from equipoise.schema import LEDGER, VERDICTS, table

SKEW = {
    "attribute": "gender", "targeted": True, "arm": "main", "family": "occupations", "metric": "max_skew@200",
    "protocol": "pool_prior", "n": 3000, "n_min": 1400, "before": 0.31, "after": 0.12, "null_before": 0.05,
    "null_after": 0.05, "change": -0.19, "change_low": -0.24, "change_high": -0.14, "eq_low": -0.23, "eq_high": -0.15,
    "margin": 0.1, "verdict": "improved", "gated": True, "mde": 0.07,
}  # fmt: skip
RACE = {
    **SKEW, "attribute": "race", "targeted": False, "before": 0.4, "after": 0.41, "null_before": 0.22, "null_after": 0.22,
    "change": 0.01, "change_low": -0.02, "change_high": 0.04, "eq_low": -0.015, "eq_high": 0.035, "verdict": "unchanged",
}  # fmt: skip
WRING = {"method": "wring", "attributes": ["gender"], "margins": {"max_skew": 0.1}}


def said(*rows, context=WRING):
    sentence, more = headline(table(LEDGER, rows), context)
    return sentence, " ".join(more)


def test_improved():
    sentence, more = said(SKEW, RACE, {**RACE, "attribute": "age", "verdict": "insufficient"})
    assert sentence == (
        "WRING lowered the largest gender skew in the top 200 of occupation searches from 0.31 to 0.12 "
        "(95 % interval of the change −0.24 to −0.14; chance alone gives 0.05)."
    )
    assert "No declared attribute got worse by more than the margin of 0.1." in more
    assert "For 1 of 3 comparisons there is too little evidence." in more


@pytest.mark.parametrize(
    ("cells", "wanted"),
    [
        (
            {"verdict": "worse", "after": 0.5, "change": 0.19, "change_low": 0.14, "change_high": 0.24},
            "made the largest gender skew",
        ),
        (
            {"verdict": "unchanged", "after": 0.3, "change": -0.01, "eq_low": -0.04, "eq_high": 0.02},
            "90 % interval of the change −0.04 to 0.02, inside its margin of 0.1",
        ),
        ({"verdict": "insufficient"}, "too little evidence that WRING changed the largest gender skew"),
        (
            {"verdict": "insufficient", "after": None, "change": None, "reason": "one group left"},
            "(0.31 before): one group left.",
        ),
        ({"verdict": "insufficient", "p_adj": 0.07}, "; p 0.07 once corrected for all comparisons)"),
        ({"reversed": True}, "the bias changed sides"),
        (
            {"metric": "impact_ratio", "family": "", "before": 0.6, "after": 0.8, "change": -0.2},
            "raised the impact ratio by gender, which is better, from 0.6 to 0.8",
        ),
        (
            {"metric": "impact_ratio", "family": "", "before": 0.6, "after": 0.8, "change": -0.2},
            "interval of the change in harm",
        ),
        (
            {"metric": "min_skew@200", "before": -0.6, "after": -0.2, "change": -0.4},
            "nearer to zero, from −0.6 to −0.2",
        ),
    ],
)
def test_every_verdict(cells, wanted):
    assert wanted in said({**SKEW, **cells}, RACE)[0]


def test_control_that_did_as_well_is_named_and_one_that_did_not_is_not():
    control = {**SKEW, "arm": "difference-projection", "after": 0.12, "gated": False}
    poor = {**control, "arm": "noop", "after": 0.31, "change": 0.0}
    better = {**control, "arm": "span-projection", "after": 0.01, "change": -0.3}
    _, more = said(SKEW, control, poor, better)
    assert "Difference projection did as well: 0.12." in more
    assert "Span projection did better: 0.01." in more
    assert "Doing nothing" not in more


def test_side_effect_beyond_its_margin_is_named():
    bad = {**RACE, "verdict": "worse", "after": 0.7, "change": 0.3, "change_low": 0.2, "change_high": 0.4}
    _, more = said(SKEW, bad)
    assert "Worse by more than its margin: largest race skew in the top 200 of occupation searches, 0.4 to 0.7." in more
    assert "No declared attribute" not in more


def test_worse_inside_the_margin_is_said_and_does_not_count_as_beyond():
    small = {**RACE, "verdict": "worse", "change": 0.04, "change_low": 0.02, "change_high": 0.06, "after": 0.44}
    _, more = said(SKEW, small)
    assert "Worse, though not shown to be so by more than its margin" in more
    assert "No declared attribute got worse by more than the margin of 0.1." in more


def test_an_open_interval_is_not_called_harmless():
    wide = {**RACE, "verdict": "insufficient", "change_high": 0.3}
    _, more = said(SKEW, wide)
    assert "was shown to get worse" in more
    assert "1 of 2 comparisons cannot rule it out" in more


def test_a_targeted_row_that_got_worse_is_never_followed_by_an_all_clear():
    bad = {**SKEW, "verdict": "worse", "after": 0.6, "change": 0.29, "change_low": 0.2, "change_high": 0.35}
    assert "No declared attribute" not in said(bad, RACE)[1]


def test_utility_loss():
    lost = {
        **RACE,
        "attribute": "",
        "metric": "overlap@200",
        "before": 1.0,
        "after": 0.7,
        "verdict": "worse",
        "change": 0.3,
        "change_low": 0.25,
        "change_high": 0.35,
    }
    assert "Utility fell by more than its margin" in said(SKEW, lost)[1]


def test_the_family_with_most_queries_is_the_headline():
    traits = {**SKEW, "family": "traits", "before": 0.9}
    queries = [{**SKEW, "family": "traits", "query": f"q{i}", "gated": False} for i in range(3)]
    assert main_row(table(LEDGER, [SKEW, traits, *queries]).to_pylist())["family"] == "traits"


def test_predictions_lead_with_the_widest_gap():
    gaps = [
        {**SKEW, "family": "", "metric": name, "before": b}
        for name, b in (("tpr_gap", 0.1), ("fpr_gap", 0.2), ("accuracy_gap", 0.05))
    ]
    assert "false positive rate gap by gender from 0.2 to 0.12" in said(*gaps)[0]


def test_no_targeted_row_no_row_no_gated_row():
    sentence, more = said({**RACE, "metric": "tpr_gap", "family": ""}, context={})
    assert "no attribute was targeted" in sentence
    assert "True positive rate gap by race: 0.4 before, 0.41 after (unchanged)." in more
    assert said()[0].startswith("Nothing was compared")
    assert said({**SKEW, "query": "a nurse"})[0].startswith("There is no verdict")


finite = st.floats(-2, 2, allow_nan=False).map(lambda x: round(x, 4))
maybe = st.one_of(st.none(), finite)


@st.composite
def ledger_row(draw):
    change, wide = draw(finite), abs(draw(finite))
    numbers = draw(st.booleans())
    row = {
        "attribute": draw(st.sampled_from(["gender", "race", "age", ""])),
        "arm": draw(st.sampled_from(["main", "main", "main", "noop", "difference-projection"])),
        "family": draw(st.sampled_from(["occupations", "traits", ""])),
        "query": draw(st.sampled_from(["", "", "a nurse"])),
        "group": draw(st.sampled_from(["", "", "Female"])),
        "metric": draw(st.sampled_from(["max_skew@200", "dp@200", "tpr_gap", "impact_ratio", "score_gap"])),
        "n": draw(st.integers(0, 9999)),
        "verdict": draw(st.sampled_from(VERDICTS)),
        "margin": 0.1,
        "null_after": draw(maybe),
        "mde": draw(maybe),
        "reversed": draw(st.booleans()),
    }
    row["targeted"] = row["attribute"] == "gender"
    if numbers:
        row |= {
            "before": draw(finite),
            "after": draw(finite),
            "change": change,
            "change_low": change - wide,
            "change_high": change + wide,
        }
        row |= {"eq_low": change - wide / 2, "eq_high": change + wide / 2}
    return row


@given(st.lists(ledger_row(), max_size=14))
@settings(max_examples=300, deadline=None)
def test_numbers_come_from_the_ledger_and_claims_hold(rows):
    ledger = table(LEDGER, rows)
    rows = ledger.to_pylist()
    sentence, more = headline(ledger, WRING)
    text = " ".join([sentence, *more])
    known = {number(v) for row in rows for v in row.values() if isinstance(v, float)}
    counts = {str(i) for i in range(len(rows) + 1)}
    for found in re.findall(
        r"(?<![\w.])−?\d[\d.,]*(?:e−?\d+)?", text.replace("top 200", "").replace("95 %", "").replace("90 %", "")
    ):
        assert found.rstrip(".,") in known | counts, found
    gated = gated_rows(rows)
    declared = [row for row in gated if row["attribute"]]
    if "No declared attribute got worse" in text:
        assert all(row["change_high"] is not None and row["change_high"] <= row["margin"] for row in declared)
    if "No declared attribute was shown" in text:
        assert not any(beyond_margin(row, {}) for row in declared)
    for row in declared:
        if beyond_margin(row, {}):
            assert "Worse by more than its margin" in text or row is main_row(rows)
    if "there is too little evidence." in text and (found := re.search(r"For (\d+) of (\d+) comparison", text)):
        assert int(found[1]) == sum(row["verdict"] == "insufficient" for row in gated)
        assert int(found[2]) == len(gated)
    if " lowered " in sentence:
        assert main_row(rows)["after"] < main_row(rows)["before"]
    assert "None" not in text
    assert "nan" not in text


def test_two_others_are_both():
    others = [{**SKEW, "metric": name} for name in ("dp@200", "skew@200")]
    assert "Both other comparisons of gender: improved." in said(SKEW, *others)[1]
    assert "All 3 other comparisons of gender: improved." in said(SKEW, *others, {**SKEW, "metric": "cosine_bias"})[1]


def test_a_control_without_cap_and_tolerance_is_not_called_better():
    rows = [{**SKEW, "metric": "ab", "protocol": "", "family": "data", "arm": arm, "after": after, "change": after - 0.31,
             "change_low": after - 0.31, "change_high": after - 0.31, "null_before": None, "null_after": None}
            for arm, after in (("main", 0.12), ("rake", 9.36e-9), ("first-order", 0.3))]  # fmt: skip
    more = said(*rows, context={"method": "m4", "attributes": ["gender"]})[1]
    assert "Raking reached 0: its weights have neither cap nor tolerance." in more
    assert "better" not in more
