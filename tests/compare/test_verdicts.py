"""Words, corrections and limits on hand-made rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm
from statsmodels.stats.multitest import multipletests

from equipoise.compare.verdicts import Margins, changed_sides, from_error, judge, verdict
from equipoise.compare.verdicts import tested as from_draws
from equipoise.errors import InputError, UnknownNameError
from equipoise.protocols import MetricDescriptor
from equipoise.registry import METRICS


def row(change: float, se: float, margin: float = 0.1, gated: bool = True) -> dict:
    return {"gated": gated, "margin": margin, **from_error(change, se)}


@pytest.mark.parametrize(
    ("change", "se", "margin", "word"),
    [
        (0.3, 0.05, 0.1, "worse"),
        (-0.3, 0.05, 0.1, "improved"),
        (-0.05, 0.01, 0.1, "improved"),  # inside the margin: the direction is reported
        (0.05, 0.01, 0.1, "worse"),
        (0.01, 0.02, 0.1, "unchanged"),
        (0.0, 0.0, 0.1, "unchanged"),
        (0.06, 0.04, 0.1, "insufficient"),
        (-0.02, 0.06, 0.1, "insufficient"),
        (math.nan, 0.1, 0.1, "insufficient"),
        (0.1, math.nan, 0.1, "insufficient"),
        (0.005, 0.0, 0.1, "insufficient"),  # no spread is no evidence
    ],
)
def test_words(change, se, margin, word) -> None:
    rows = [row(change, se, margin)]
    judge(rows)
    assert rows[0]["verdict"] == word
    assert word != "insufficient" or not math.isfinite(rows[0].get("eq_low", math.nan)) or rows[0]["p_adj"] >= 0.05
    assert "reason" in rows[0] or math.isfinite(rows[0]["p"])


def test_unchanged_needs_the_90_percent_interval_inside_the_margin() -> None:
    z = norm.ppf(0.95)
    for se, word in ((0.1 / z * 0.999, "unchanged"), (0.1 / z * 1.001, "insufficient")):
        rows = [row(0.0001 * se, se)]
        judge(rows)
        assert rows[0]["verdict"] == word


def test_limits_p_and_detectable_effect() -> None:
    found = from_error(0.2, 0.08)
    assert found["p"] == pytest.approx(2 * norm.sf(0.2 / 0.08))
    assert (found["change_low"], found["change_high"]) == (
        pytest.approx(0.2 - 1.959964 * 0.08),
        pytest.approx(0.2 + 1.959964 * 0.08),
    )
    assert (found["eq_low"], found["eq_high"]) == (
        pytest.approx(0.2 - 1.644854 * 0.08),
        pytest.approx(0.2 + 1.644854 * 0.08),
    )
    assert found["mde"] == pytest.approx((norm.ppf(0.975) + norm.ppf(0.8)) * 0.08)
    draws = np.random.default_rng(0).normal(0.5, 0.08, 500)
    assert from_draws(0.2, draws)["change_low"] == pytest.approx(0.2 - 1.959964 * draws.std(ddof=1))
    assert from_error(1e-9, 1e-9)["change"] == 0


def test_gated_rows_are_one_holm_family_and_the_rest_benjamini_hochberg() -> None:
    rng = np.random.default_rng(1)
    rows = [row(float(rng.normal(0, 2)), 1.0, gated=bool(i % 3)) for i in range(40)]
    rows += [{"gated": True, "margin": 0.1}, {"gated": False, "margin": 0.1}]
    judge(rows)
    for gated, method in ((True, "holm"), (False, "fdr_bh")):
        part = [one for one in rows if one["gated"] is gated and "p" in one]
        wanted = multipletests([one["p"] for one in part], method=method)[1]
        assert [one["p_adj"] for one in part] == pytest.approx(list(wanted))
    assert [one["verdict"] for one in rows[-2:]] == ["insufficient"] * 2
    assert math.isnan(rows[-1]["p_adj"])


def test_a_correction_can_take_the_word_away() -> None:
    one = [row(0.021, 0.01, 0.001)]
    many = [row(0.021, 0.01, 0.001) for _ in range(10)]
    judge(one)
    judge(many)
    assert (one[0]["verdict"], many[0]["verdict"]) == ("worse", "insufficient")


def test_verdict_of_a_row_without_numbers() -> None:
    assert verdict({"margin": 0.1, "p_adj": math.nan}) == "insufficient"


def test_reversed_needs_both_sides_to_be_shown() -> None:
    rng = np.random.default_rng(2)
    small, wide = rng.normal(0, 0.02, 400), rng.normal(0, 0.5, 400)
    assert changed_sides(0.3, 0.3 + small, -0.2, -0.2 + small)
    assert not changed_sides(0.3, 0.3 + small, -0.2, -0.2 + wide)
    assert not changed_sides(0.3, 0.3 + small, 0.2, 0.2 + small)
    assert not changed_sides(math.nan, small, -0.2, small)


def _descriptor(**options) -> MetricDescriptor:
    base = {"name": "x", "protocol": "p", "evidence": "top", "role": "bias", "direction": "lower", "signed": False,
            "margin": 0.1, "unit": "", "formula": "", "source": ""}  # fmt: skip
    return MetricDescriptor(**{**base, **options})


def test_change_is_the_growth_of_harm() -> None:
    assert _descriptor(signed=True).harm(-0.4, 0.1) == pytest.approx(-0.3)
    assert _descriptor(signed=True).harm(0.1, -0.4) == pytest.approx(0.3)
    assert _descriptor().harm(0.4, 0.1) == pytest.approx(-0.3)
    assert _descriptor(direction="higher").harm(0.4, 0.1) == pytest.approx(0.3)


def test_margins() -> None:
    skew = METRICS.load("max_skew")().descriptor
    assert Margins().of(skew, 200) == 0.1
    assert Margins({"max_skew": 0.05}).of(skew, 200) == 0.05
    assert Margins({"max_skew@200": 0.07, "max_skew": 0.05}).of(skew, 200) == 0.07
    with pytest.raises(UnknownNameError, match="Did you mean 'max_skew'"):
        Margins({"max_skw": 0.1})
    for value in (0, -0.1, 5, math.nan, "0.1"):
        with pytest.raises(InputError, match="margin"):
            Margins({"max_skew": value})


def test_a_margin_that_would_be_ignored_is_refused_or_noted() -> None:
    skew = METRICS.load("max_skew")().descriptor
    other = Margins({"max_skew@100": 0.05})
    other.of(skew, 200)
    with pytest.raises(InputError, match="the audits have 'max_skew@200'"):
        other.unused()
    spare = Margins({"tpr_gap": 0.05, "max_skew": 0.2})
    spare.of(skew, 200)
    assert spare.unused() == ["tpr_gap"]
