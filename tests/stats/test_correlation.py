"""Correlations against scipy."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from equipoise import stats
from equipoise.errors import InputError


def _vectors(seed, n, levels):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, levels, n).astype(float) if levels else rng.standard_normal(n)
    return x, x + rng.integers(0, levels or 1, n) + (0 if levels else rng.standard_normal(n))


@given(st.integers(0, 9999), st.integers(5, 60), st.sampled_from([0, 3, 8]))
def test_values_and_p_are_those_of_scipy(seed, n, levels):
    x, y = _vectors(seed, n, levels)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return
    exact = "exact" if n <= 50 and np.unique(x).size == np.unique(y).size == n else "asymptotic"
    cases = (
        (stats.pearson, scipy_stats.pearsonr(x, y)),
        (stats.spearman, scipy_stats.spearmanr(x, y)),
        (stats.kendall, scipy_stats.kendalltau(x, y, method=exact)),
    )
    for ours, theirs in cases:
        result = ours(x, y)
        assert result.n == n
        assert result.value == pytest.approx(theirs.statistic, abs=1e-10)
        assert result.p == pytest.approx(theirs.pvalue, abs=1e-8)
        assert result.low <= result.value <= result.high


def test_fisher_interval_is_that_of_scipy():
    x, y = _vectors(1, 48, 0)
    expected = scipy_stats.pearsonr(x, y).confidence_interval(0.95)
    assert (stats.pearson(x, y).low, stats.pearson(x, y).high) == pytest.approx((expected.low, expected.high))


def test_partial_spearman_is_the_correlation_of_residuals():
    rng = np.random.default_rng(3)
    z = rng.standard_normal(40)
    x, y = z + rng.standard_normal(40), z + rng.standard_normal(40)
    rx, ry, rz = (scipy_stats.rankdata(v) for v in (x, y, z))
    residuals = [r - np.polyval(np.polyfit(rz, r, 1), rz) for r in (rx, ry)]
    assert stats.partial_spearman(x, y, z).value == pytest.approx(scipy_stats.pearsonr(*residuals).statistic)
    assert math.isnan(stats.partial_spearman(x, y, x).value)


def test_permutation_p_is_near_the_exact_one():
    x, y = np.arange(6.0), np.array([1.0, 0, 3, 2, 5, 4])
    from itertools import permutations

    rho = abs(stats.spearman(x, y).value)
    every = [abs(stats.spearman(x, np.array(v)).value) >= rho - 1e-12 for v in permutations(range(6))]
    assert stats.spearman_permutation_p(x, y, 20_000, 0) == pytest.approx(np.mean(every), abs=0.006)


def test_constant_and_perfect_vectors():
    for ours in (stats.pearson, stats.spearman, stats.kendall):
        assert math.isnan(ours([1, 1, 1], [1, 2, 3]).value)
        assert math.isnan(ours([1], [2]).p)
        assert ours(np.arange(9), np.arange(9)).value == 1
    assert math.isnan(stats.spearman_permutation_p([1, 1, 1], [1, 2, 3], 100))
    with pytest.raises(InputError):
        stats.pearson([1, 2], [1, 2, 3])
    with pytest.raises(InputError):
        stats.kendall([1, math.nan], [1, 2])
