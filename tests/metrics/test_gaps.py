"""Gaps over groups and their limits, by hand and against simulated coverage."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise.metrics import gaps
from equipoise.stats.intervals import newcombe, wilson

ALL = np.ones(3, dtype=bool)


def test_spread_is_over_the_groups_that_take_part():
    values = np.array([[0.1, 0.5, 0.9], [0.1, np.nan, 0.4], [0.1, np.nan, np.nan]])
    np.testing.assert_allclose(gaps.spread(values, ALL), [0.8, 0.3, np.nan])
    np.testing.assert_allclose(gaps.spread(values, np.array([True, True, False])), [0.4, np.nan, np.nan])
    assert np.isnan(gaps.spread(np.empty((2, 0)), np.empty(0, dtype=bool))).all()


def test_divide_is_nan_only_where_nothing_is_below():
    np.testing.assert_allclose(gaps.divide(np.array([1.0, 0.0, 3.0]), np.array([1.0, 0.0, 2.0])), [1.0, np.nan, 1.5])


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [(0.1, 0.3, (0.1, 0.3)), (-0.3, -0.1, (0.1, 0.3)), (-0.3, 0.1, (0.0, 0.3)), (-0.1, 0.3, (0.0, 0.3))],
)
def test_folded_is_the_absolute_difference(low, high, wanted):
    found = gaps.folded(np.array(low), np.array(high))
    assert (float(found[0]), float(found[1])) == wanted


def test_two_groups_give_newcombe_folded():
    count, n = np.array([30.0, 10.0, 99.0]), np.array([100.0, 80.0, 100.0])
    valid = np.array([True, True, False])
    low, high = gaps.spread_limits(count / n, lambda level: wilson(count, n, level), valid, 0.95)
    np.testing.assert_allclose((low, high), newcombe(30, 100, 10, 80), atol=1e-15)
    swapped = np.array([1, 0, 2])
    count, n = count[swapped], n[swapped]
    low, high = gaps.spread_limits(count / n, lambda level: wilson(count, n, level), valid, 0.95)
    np.testing.assert_allclose((low, high), newcombe(30, 100, 10, 80), atol=1e-15)


def test_more_groups_by_hand():
    count, n = np.array([10.0, 50.0, 90.0]), np.full(3, 100.0)
    lows, highs = wilson(count, n, 1 - 0.05 / 3)
    low, high = gaps.spread_limits(count / n, lambda level: wilson(count, n, level), ALL, 0.95)
    assert low == pytest.approx(lows[2] - highs[0])
    assert high == pytest.approx(highs[2] - lows[0])


@pytest.mark.parametrize("rates", [(0.3, 0.3), (0.5, 0.2), (0.5, 0.5, 0.5, 0.5), (0.1, 0.3, 0.6)])
def test_intervals_cover_at_least_their_level(rates):
    rng = np.random.default_rng(0)
    n = np.array([150, 90, 200, 60][: len(rates)])
    count = rng.binomial(n, rates, (4000, len(rates))).astype(float)
    low, high = gaps.spread_limits(
        count / n, lambda level: wilson(count, n, level), np.ones(len(rates), dtype=bool), 0.9
    )
    truth = max(rates) - min(rates)
    assert ((low <= truth) & (truth <= high)).mean() > 0.89
