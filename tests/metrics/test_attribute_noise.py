"""Attenuation, label noise and Rogan-Gladen against simulated rows, the delta method, and cases by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from equipoise.errors import InputError
from equipoise.estimate import Estimate
from equipoise.metrics.attribute_noise import (
    attenuation,
    corrected_gap,
    label_noise,
    rogan_gladen,
    weighted_association,
    weighted_gaps,
)
from equipoise.stats import newcombe


def share(count: int, n: int) -> Estimate:
    low, high = proportion_confint(count, n, method="wilson")
    return Estimate(count / n, min(low, count / n), max(high, count / n), n=n)


def exact(value: float) -> Estimate:
    return Estimate(value, value, value, status="exact")


def test_a_factor_is_that_of_the_formula_with_newcombes_limits() -> None:
    found = attenuation(share(90, 100), share(70, 80))
    assert found.value == pytest.approx(0.9 + 0.875 - 1)
    low, high = newcombe(90, 100, 10, 80)  # PPV - (1 - NPV) is a difference of two independent shares
    assert (found.low, found.high) == pytest.approx((float(low), float(high)), abs=1e-12)
    assert found.n == 180
    assert label_noise(share(90, 100), share(70, 80)).value == found.value


def test_a_factor_whose_interval_holds_zero_says_nothing() -> None:
    found = attenuation(share(11, 20), share(10, 20))
    assert found.status == "not_estimable"
    assert "holds 0" in found.reason
    assert "0.050" in found.reason
    assert corrected_gap(exact(0.1), found).status == "not_estimable"
    assert rogan_gladen(exact(0.3), share(11, 20), share(10, 20)).status == "not_estimable"


def test_a_part_without_a_value_says_why() -> None:
    missing = Estimate.without("not_estimable", "no labelled row was called woman")
    for found in (attenuation(missing, share(9, 10)), corrected_gap(missing, share(9, 10))):
        assert found.status == "not_estimable"
        assert found.reason == "no labelled row was called woman"


def test_what_is_no_share_is_refused() -> None:
    with pytest.raises(InputError, match=r"sens \+ spec - 1 is 1.2"):
        label_noise(exact(1.2), exact(0.5))
    with pytest.raises(InputError, match="0.95 and 0.9"):
        attenuation(share(9, 10), Estimate(0.8, 0.7, 0.9, level=0.9, n=10))


def test_a_weak_part_makes_a_weak_factor() -> None:
    weak = Estimate(0.9, 0.7, 0.95, n=10, status="weak", reason="10 labelled rows")
    found = attenuation(weak, share(90, 100))
    assert (found.status, found.reason) == ("weak", "10 labelled rows")


@pytest.mark.parametrize("seed", range(3))
def test_errors_in_the_attribute_shrink_a_gap_as_the_formula_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 400_000
    s = rng.random(n) < 0.35
    read = np.where(s, rng.random(n) < 0.9, rng.random(n) < 0.15)  # independent of y given s
    y = rng.random(n) < np.where(s, 0.6, 0.3)
    true, seen = y[s].mean() - y[~s].mean(), y[read].mean() - y[~read].mean()
    ppv = share(int((s & read).sum()), int(read.sum()))
    npv = share(int((~s & ~read).sum()), int((~read).sum()))
    factor = attenuation(ppv, npv)
    assert seen == pytest.approx(factor.value * true, abs=0.006)
    assert corrected_gap(exact(seen), factor).value == pytest.approx(true, abs=0.008)
    assert abs(seen) < abs(true) - 0.05


def test_errors_in_the_label_shrink_a_gap_as_the_formula_says() -> None:
    rng = np.random.default_rng(3)
    n = 400_000
    s = rng.random(n) < 0.5
    y = rng.random(n) < np.where(s, 0.6, 0.3)
    read = np.where(y, rng.random(n) < 0.8, rng.random(n) < 0.1)
    sens, spec = share(int((y & read).sum()), int(y.sum())), share(int((~y & ~read).sum()), int((~y).sum()))
    true, seen = y[s].mean() - y[~s].mean(), read[s].mean() - read[~s].mean()
    assert seen == pytest.approx(label_noise(sens, spec).value * true, abs=0.006)


def test_rogan_gladen_inverts_what_errors_do_to_a_share() -> None:
    sens, spec = exact(0.9), exact(0.8)
    for true in (0.0, 0.05, 0.5, 1.0):
        seen = true * 0.9 + (1 - true) * 0.2
        assert rogan_gladen(exact(seen), sens, spec).value == pytest.approx(true, abs=1e-12)


def test_a_share_that_does_not_fit_the_error_is_moved_to_the_end_and_weak() -> None:
    found = rogan_gladen(exact(0.05), exact(0.9), exact(0.8))
    assert (found.value, found.status) == (0.0, "weak")
    assert "-0.214" in found.reason
    assert found.low == 0.0


def test_rogan_gladens_interval_is_the_delta_method_where_limits_are_symmetric() -> None:
    def part(value: float, se: float, n: int = 100) -> Estimate:
        return Estimate(value, value - 1.96 * se, value + 1.96 * se, n=n)

    p, sens, spec = part(0.4, 0.01), part(0.9, 0.02), part(0.85, 0.015)
    j = 0.75
    true = (0.4 + 0.85 - 1) / j
    se = math.sqrt(0.01**2 + (true * 0.02) ** 2 + ((1 - true) * 0.015) ** 2) / j  # Rogan and Gladen 1978
    found = rogan_gladen(p, sens, spec)
    assert found.value == pytest.approx(true)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * se)


def test_the_intervals_cover() -> None:
    rng = np.random.default_rng(5)
    ppv, npv, gap, hits, runs = 0.92, 0.85, 0.3, 0, 400
    true_share, sens, spec, share_hits = 0.3, 0.9, 0.85, 0
    for _ in range(runs):
        factor = attenuation(share(rng.binomial(100, ppv), 100), share(rng.binomial(80, npv), 80))
        hits += (
            corrected_gap(exact(gap * (ppv + npv - 1)), factor).low
            <= gap
            <= corrected_gap(exact(gap * (ppv + npv - 1)), factor).high
        )
        seen = rng.binomial(1000, true_share * sens + (1 - true_share) * (1 - spec))
        found = rogan_gladen(
            share(seen, 1000), share(rng.binomial(100, sens), 100), share(rng.binomial(100, spec), 100)
        )
        share_hits += found.low <= true_share <= found.high
    assert hits / runs > 0.92
    assert share_hits / runs > 0.92


@given(
    st.integers(0, 50), st.integers(1, 50), st.integers(0, 50), st.integers(1, 50), st.floats(-1, 1)
)  # fmt: skip
def test_any_counts_give_a_number_or_a_reason(a: int, n: int, b: int, m: int, gap: float) -> None:
    factor = attenuation(share(min(a, n), n), share(min(b, m), m))
    assert factor.has_value or factor.reason
    found = corrected_gap(Estimate(gap, gap - 0.1, gap + 0.1, n=9), factor)
    assert found.has_value == factor.has_value
    if factor.has_value:
        assert -1 <= factor.low <= factor.value <= factor.high <= 1
        assert found.low <= found.value <= found.high
        assert abs(found.value) >= abs(gap) - 1e-12


def weighed(seed: int = 0, n: int = 400_000) -> tuple[np.ndarray, ...]:
    """Return truth, answers (sens .85, spec .90), a label, and weights that remove its gap between the answers."""
    rng = np.random.default_rng(seed)
    s = rng.random(n) < 0.45
    y = rng.random(n) < np.where(s, 0.5, 0.2)
    read = np.where(s, rng.random(n) < 0.85, rng.random(n) >= 0.90)
    w = np.zeros(n)
    for one in (True, False):
        for two in (True, False):
            cell = (read == one) & (y == two)
            w[cell] = (read == one).mean() * (y == two).mean() / cell.mean()  # Kamiran and Calders 2012
    return s, read, y, w


def table_of(read: np.ndarray, y: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    cells = [[(y == label) & (read == side) for side in (True, False)] for label in (True, False)]
    counts = np.array([[cell.sum() for cell in row] for row in cells], float)
    return counts, np.array([[w[cell].mean() for cell in row] for row in cells])


LABEL = np.array([[True], [False]])


@pytest.mark.parametrize("seed", range(3))
def test_weights_made_of_answers_leave_a_gap_that_the_factor_does_not_see(seed: int) -> None:
    s, read, y, w = weighed(seed)

    def gap(group: np.ndarray) -> float:
        return float(np.average(y[group], weights=w[group]) - np.average(y[~group], weights=w[~group]))

    assert gap(read) == pytest.approx(0, abs=1e-12)  # and divided by any factor it stays 0
    assert gap(s) == pytest.approx(0.138, abs=0.004)
    counts, weights = table_of(read, y, w)
    assert weighted_gaps(counts, weights, LABEL, 0.85, 0.90)[0] == pytest.approx(gap(s), abs=0.004)
    found = weighted_association(counts, weights, LABEL, exact(0.85), exact(0.90))
    assert (found.value, found.status) == (pytest.approx(abs(gap(s)), abs=0.004), "ok")
    assert (found.low, found.high) == (found.value, found.value)


def test_with_equal_weights_it_is_the_factor_that_sens_and_spec_imply() -> None:
    s, read, y, w = weighed()
    counts, _ = table_of(read, y, w)
    share = (counts[:, 0].sum() / counts.sum() + 0.9 - 1) / 0.75
    ppv = 0.85 * share / (0.85 * share + 0.1 * (1 - share))
    npv = 0.9 * (1 - share) / (0.9 * (1 - share) + 0.15 * share)
    seen = y[read].mean() - y[~read].mean()
    assert weighted_gaps(counts, np.ones((2, 2)), LABEL, 0.85, 0.9)[0] == pytest.approx(
        seen / (ppv + npv - 1), rel=1e-9
    )
    assert s.mean() == pytest.approx(share, abs=0.004)


def test_without_errors_it_is_the_weighted_gap_of_each_label() -> None:
    counts = np.array([[10, 4], [5, 5], [2, 8]])
    weights = np.array([[0.5, 1.0], [1.0, 0.2], [0.1, 1.0]])
    labels = np.array([[1, 0], [1, 1], [0, 1]], bool)
    mass = counts * weights
    expected = (labels.T @ mass[:, 0]) / mass[:, 0].sum() - (labels.T @ mass[:, 1]) / mass[:, 1].sum()
    assert weighted_gaps(counts, weights, labels, 1, 1) == pytest.approx(expected)
    assert weighted_association(counts, weights, labels, exact(1), exact(1)).value == pytest.approx(
        np.abs(expected).max()
    )


def test_the_interval_of_a_weighted_association_is_that_of_its_error_and_covers() -> None:
    _, read, y, w = weighed()
    counts, weights = table_of(read, y, w)
    true = weighted_association(counts, weights, LABEL, exact(0.85), exact(0.9)).value
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(300):
        found = weighted_association(
            counts, weights, LABEL, share(rng.binomial(300, 0.85), 300), share(rng.binomial(300, 0.9), 300)
        )
        hits += found.low <= true <= found.high
    assert hits / 300 > 0.92


def test_a_weighted_association_that_cannot_be_told_says_why() -> None:
    counts, weights = np.array([[1, 99], [50, 50]]), np.ones((2, 2))
    found = weighted_association(counts, weights, LABEL, share(90, 100), share(80, 100))
    assert found.status == "weak"
    assert "1 of 1 labels do not fit" in found.reason
    assert weighted_association(counts, weights, LABEL, share(11, 20), share(10, 20)).status == "not_estimable"
    none = weighted_association(counts, np.array([[0, 0], [0, 0]]), LABEL, exact(0.9), exact(0.8))
    assert (none.status, none.reason) == ("not_estimable", "no weight of a group is left")
    with pytest.raises(InputError, match="sens \\+ spec is 1"):
        weighted_gaps(counts, weights, LABEL, 0.5, 0.5)
    with pytest.raises(InputError, match="have shapes"):
        weighted_gaps(counts, weights[:1], LABEL, 0.9, 0.9)
