"""The error of a tag against statsmodels, a stratified sample by hand, and coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from equipoise.annotate.tag_error import long, short, tag_error


def rows(*cells: tuple[int, bool, bool, float, int]) -> tuple[np.ndarray, ...]:
    """Return said, true, weight, stratum of (count, said, true, weight, stratum)."""
    counts = [cell[0] for cell in cells]
    said, true, weight, stratum = (np.repeat([cell[i] for cell in cells], counts) for i in range(1, 5))
    return said.astype(bool), true.astype(bool), weight.astype(float), stratum.astype(np.int64)


def test_a_simple_sample_has_wilsons_intervals() -> None:
    found = tag_error(
        "nurse",
        *rows((40, True, True, 3, 1), (8, True, False, 3, 1), (5, False, True, 3, 1), (147, False, False, 3, 1)),
    )
    assert (found.tp, found.fp, found.fn, found.tn) == (40, 8, 5, 147)
    for estimate, count, n in (
        (found.precision, 40, 48),
        (found.recall, 40, 45),
        (found.specificity, 147, 155),
        (found.npv, 147, 152),
        (found.prevalence, 45, 200),
    ):
        low, high = proportion_confint(count, n, method="wilson")
        assert estimate.value == pytest.approx(count / n)
        if (
            estimate is not found.prevalence
        ):  # its strata are what was said: squared and added, not Wilson's of the whole
            assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=1e-12)
        assert (estimate.n, estimate.status) == (n, "ok")


def test_a_stratified_sample_counts_rows_as_what_they_stand_for() -> None:
    # 50 of 100 rows that were called nurse, 50 of 900 others
    found = tag_error(
        "nurse",
        *rows((45, True, True, 2, 1), (5, True, False, 2, 1), (2, False, True, 18, 2), (48, False, False, 18, 2)),
    )
    assert found.precision.value == pytest.approx(0.9)
    low, high = proportion_confint(45, 50, method="wilson")
    assert (found.precision.low, found.precision.high) == pytest.approx((low, high))
    assert found.recall.value == pytest.approx(90 / (90 + 36))
    assert found.specificity.value == pytest.approx(864 / (864 + 10))
    assert found.npv.value == pytest.approx(48 / 50)
    assert found.prevalence.value == pytest.approx(126 / 1000)
    unweighted = 45 / 47
    assert found.recall.high < unweighted  # what counting rows alike would claim


def test_a_large_stratum_without_a_miss_still_widens_the_recall() -> None:
    # 50 others stand for 5,000: a miss rate of 4 % would be 200 misses beside 100 hits, and may well not be seen
    found = tag_error("nurse", *rows((50, True, True, 2, 1), (50, False, False, 100, 2)))
    assert found.recall.value == 1.0
    assert found.recall.low < 0.3
    assert found.recall.high == 1.0


def test_where_there_is_nothing_to_count_it_is_said() -> None:
    found = tag_error("nurse", *rows((5, False, True, 1, 1), (40, False, False, 1, 1)))
    assert found.precision.status == "not_estimable"
    assert "called nurse" in found.precision.reason
    assert (found.recall.value, found.recall.status) == (0.0, "weak")
    assert found.recall.reason == "5 labelled rows"


def test_the_short_form_gives_the_estimate_again() -> None:
    found = tag_error("nurse", *rows((40, True, True, 1, 1), (3, True, False, 1, 1)))
    for estimate in (found.precision, found.recall, found.specificity, found.npv):
        again = long(short(estimate), 0.95)
        assert (again.status, again.n, again.reason) == (estimate.status, estimate.n, estimate.reason)
        assert (again.value, again.low) == pytest.approx((estimate.value, estimate.low), nan_ok=True)


def test_intervals_cover_the_population_that_was_drawn_from() -> None:
    rng = np.random.default_rng(0)
    # two strata of 2,000 called rows, one of 16,000 others; truth by the rates below
    sizes, rates, drawn = np.array([1500, 500, 16000]), np.array([0.95, 0.7, 0.02]), np.array([60, 40, 100])
    truth = [rng.random(n) < p for n, p in zip(sizes, rates, strict=True)]
    hits = sum(int(part.sum()) for part in truth[:2])
    want = {"precision": hits / 2000, "recall": hits / (hits + truth[2].sum()), "npv": 1 - truth[2].mean()}
    covered = dict.fromkeys(want, 0)
    runs = 400
    for _ in range(runs):
        chosen = [rng.choice(part, n, replace=False) for part, n in zip(truth, drawn, strict=True)]
        stratum = np.repeat([1, 2, 3], drawn)
        found = tag_error("x", stratum < 3, np.concatenate(chosen), np.repeat(sizes / drawn, drawn), stratum)
        for name, value in want.items():
            estimate = getattr(found, name)
            covered[name] += estimate.low <= value <= estimate.high
    assert all(0.93 <= count / runs for count in covered.values()), covered


@st.composite
def sheets(draw: st.DrawFn) -> tuple[np.ndarray, ...]:
    """Rows as a sheet has them: few, of strata that stand for very different numbers of rows."""
    n = draw(st.integers(1, 12))
    said = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    true = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    stratum = np.array(draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)))
    sizes = np.array(draw(st.lists(st.floats(1e-9, 1e15), min_size=4, max_size=4)))
    return np.array(said), np.array(true), sizes[stratum], stratum


@settings(max_examples=400, deadline=None)
@given(sheets())
def test_every_sheet_has_shares_inside_their_intervals(sheet: tuple[np.ndarray, ...]) -> None:
    said, true, weight, _ = sheet
    found = tag_error("nurse", *sheet)
    for name in ("precision", "recall", "specificity", "npv", "prevalence"):
        one = getattr(found, name)
        if one.has_value:
            assert 0 <= one.low <= one.value <= one.high <= 1
    assert found.recall.has_value == true.any()
    if true.any():
        assert found.recall.value == pytest.approx(weight[said & true].sum() / weight[true].sum())
    if said.any():
        assert found.precision.value == pytest.approx(weight[said & true].sum() / weight[said].sum())


def test_a_tag_that_was_never_said_in_the_rows_has_wilsons_upper_limit_of_recall() -> None:
    # weights differ, and no stratum tells how many rows were said: 0 and 0 would be what is not known
    found = tag_error("nurse", *rows((3, False, True, 2, 1), (4, False, False, 90, 2)))
    _, high = proportion_confint(0, 3, method="wilson")
    assert (found.recall.value, found.recall.low) == (0.0, 0.0)
    assert found.recall.high == pytest.approx(high)
    found = tag_error("nurse", *rows((3, True, True, 2, 1), (4, True, False, 90, 2)))
    low, _ = proportion_confint(3, 3, method="wilson")
    assert (found.recall.value, found.recall.low) == pytest.approx((1.0, low))
