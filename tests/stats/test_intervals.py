"""Intervals against statsmodels, scipy and the published examples of Newcombe (1998)."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from equipoise import stats
from equipoise.errors import InputError


@pytest.mark.parametrize("level", [0, 1, 95, -0.1, math.nan, "high", True, None])
def test_a_level_that_is_no_fraction_is_refused(level):
    with pytest.raises(InputError, match="level"):
        stats.wilson(5, 10, level=level)


@pytest.mark.parametrize(("level", "z"), [(0.95, 1.959963985), (0.90, 1.644853627), (0.99, 2.575829304)])
def test_z(level, z):
    assert stats.z_of(level) == pytest.approx(z, abs=1e-9)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_wilson_is_that_of_statsmodels(pair, level):
    count, n = pair
    expected = proportion_confint(count, n, alpha=1 - level, method="wilson")
    assert np.allclose(stats.wilson(count, n, level), expected, atol=1e-9)


def test_wilson_at_the_ends_and_without_rows():
    low, high = stats.wilson([0, 10, 0, 8], [10, 10, 0, 10])
    assert low[0] == 0
    assert high[1] == 1
    assert high[0] == pytest.approx(0.2775, abs=5e-5)
    assert low[1] == pytest.approx(0.7225, abs=5e-5)
    assert np.isnan(low[2])
    assert np.isnan(high[2])
    assert (low[3], high[3]) == pytest.approx((0.4902, 0.9433), abs=5e-5)


@pytest.mark.parametrize(("count", "n"), [(-1, 10), (11, 10), (math.nan, 10), (1, math.inf), (1, -2)])
def test_impossible_counts_are_refused(count, n):
    with pytest.raises(InputError):
        stats.wilson(count, n)


# Newcombe (1998), Stat. Med. 17:873-890, Table II, method 10
INDEPENDENT = [
    ((56, 70, 48, 80), (0.0524, 0.3339)),
    ((9, 10, 3, 10), (0.1705, 0.8090)),
    ((6, 7, 2, 7), (0.0582, 0.8062)),
    ((5, 56, 0, 29), (-0.0381, 0.1926)),
    ((0, 10, 0, 20), (-0.1611, 0.2775)),
    ((0, 10, 0, 10), (-0.2775, 0.2775)),
    ((10, 10, 0, 20), (0.6791, 1.0)),
    ((10, 10, 0, 10), (0.6075, 1.0)),
]


@pytest.mark.parametrize(("counts", "limits"), INDEPENDENT)
def test_newcombe_gives_the_published_limits(counts, limits):
    assert np.allclose(stats.newcombe(*counts), limits, atol=5e-5)


def test_newcombe_is_that_of_statsmodels_and_of_mover():
    rng = np.random.default_rng(1)
    for _ in range(50):
        n1, n2 = rng.integers(1, 300, 2)
        x1, x2 = rng.integers(0, n1 + 1), rng.integers(0, n2 + 1)
        expected = confint_proportions_2indep(x1, n1, x2, n2, method="newcomb", compare="diff")
        assert np.allclose(stats.newcombe(x1, n1, x2, n2), expected, atol=1e-9)
        low, high = stats.wilson([x1, x2], [n1, n2])
        assert np.allclose(stats.mover([x1 / n1, x2 / n2], low, high, [1, -1]), expected, atol=1e-9)


# (a, b, c, d): Newcombe (1998), Stat. Med. 17:2635-2650; the last from Fagerland, Lydersen & Laake (2014)
PAIRED = [((36, 12, 2, 0), (0.0569, 0.3404)), ((1, 1, 7, 12), (-0.507, -0.026))]


@pytest.mark.parametrize(("cells", "limits"), PAIRED)
def test_newcombe_paired_gives_the_published_limits(cells, limits):
    assert np.allclose(stats.newcombe_paired(*cells), limits, atol=5e-4 if cells[0] == 1 else 5e-5)


def test_newcombe_paired_by_hand():
    a, b, c, d = 20, 12, 2, 16
    (l1, l2), (u1, u2) = stats.wilson([a + b, a + c], 50)
    phi = (a * d - b * c - 25) / math.sqrt(32 * 18 * 22 * 28)
    p1, p2 = 0.64, 0.44
    low = 0.2 - math.sqrt((p1 - l1) ** 2 - 2 * phi * (p1 - l1) * (u2 - p2) + (u2 - p2) ** 2)
    high = 0.2 + math.sqrt((u1 - p1) ** 2 - 2 * phi * (u1 - p1) * (p2 - l2) + (p2 - l2) ** 2)
    assert np.allclose(stats.newcombe_paired(a, b, c, d), (low, high), atol=1e-12)


@given(*[st.integers(0, 60)] * 4)
def test_newcombe_paired_holds_the_change_and_changes_sign_with_the_order(a, b, c, d):
    low, high = stats.newcombe_paired(a, b, c, d)
    back_low, back_high = stats.newcombe_paired(a, c, b, d)
    n = a + b + c + d
    if n == 0:
        assert np.isnan(low)
        assert np.isnan(high)
        return
    assert -1 <= low <= (b - c) / n + 1e-12
    assert (b - c) / n - 1e-12 <= high <= 1
    assert (low, high) == pytest.approx((-back_high, -back_low), abs=1e-12)


def test_ratio_interval_is_katz_inside():
    result = scipy_stats.contingency.relative_risk(30, 100, 45, 120).confidence_interval(0.95)
    assert np.allclose(stats.ratio_interval(30, 100, 45, 120), (result.low, result.high), atol=1e-9)


def test_ratio_interval_at_the_edges():
    low, high = stats.ratio_interval([0, 5, 0, 20, 0], [20, 20, 20, 20, 0], [5, 0, 0, 20, 3], [20, 20, 20, 20, 9])
    assert low[0] == 0
    assert 0 < high[0] < 2
    assert 0 < low[1] < math.inf
    assert math.isinf(high[1])
    assert low[2] == 0
    assert math.isinf(high[2])
    wilson_low = stats.wilson(20, 20)[0]
    assert low[3] == pytest.approx(wilson_low)
    assert high[3] == pytest.approx(1 / wilson_low)
    assert np.isnan(low[4])
    assert np.isnan(high[4])


@given(st.integers(1, 80), st.integers(1, 80), st.data())
def test_ratio_interval_inverts_with_the_ratio(n1, n2, data):
    x1, x2 = data.draw(st.integers(0, n1)), data.draw(st.integers(0, n2))
    low, high = stats.ratio_interval(x1, n1, x2, n2)
    back_low, back_high = stats.ratio_interval(x2, n2, x1, n1)
    assert low <= high
    for value, inverse in ((low, back_high), (high, back_low)):
        assert value == pytest.approx(0 if math.isinf(inverse) else math.inf if inverse == 0 else 1 / inverse, rel=1e-9)


def test_worst_interval_of_the_specified_example():
    low, high = stats.worst_interval([680, 72, 690, 101], [723, 103, 710, 121])
    assert (low, high) == pytest.approx((0.5775, 0.7979), abs=5e-5)
    a = np.array([680 / 723, 72 / 103, 690 / 710, 101 / 121])
    balanced = stats.mover(a, *stats.wilson([680, 72, 690, 101], [723, 103, 710, 121]), np.full(4, 0.25))
    assert balanced == pytest.approx((0.8306, 0.8863), abs=5e-5)


def test_worst_interval_skips_groups_without_rows():
    assert stats.worst_interval([5, 0, 9], [10, 0, 10]) == stats.worst_interval([5, 9], [10, 10])
    assert np.isnan(stats.worst_interval([0, 0], [0, 0])[0])


def test_means_against_scipy_and_statsmodels():
    rng = np.random.default_rng(2)
    x, y = rng.normal(1, 2, 23), rng.normal(0, 5, 61)
    describe = (x.mean(), x.std(ddof=1), x.size)
    assert np.allclose(stats.mean_interval(*describe), DescrStatsW(x).tconfint_mean(), atol=1e-10)
    expected = CompareMeans(DescrStatsW(x), DescrStatsW(y)).tconfint_diff(usevar="unequal")
    assert np.allclose(stats.welch(*describe, y.mean(), y.std(ddof=1), y.size), expected, atol=1e-10)
    assert np.isnan(stats.mean_interval(1, math.nan, 1)).all()
    assert np.isnan(stats.welch(1, 1, 1, 0, 1, 9)).all()


def test_cohen_d_by_hand():
    d = stats.cohen_d(3, 2, 50, 2, 2, 100)
    assert d == pytest.approx(0.5)
    low, high = stats.cohen_d_interval(d, 50, 100)
    half = 1.959963985 * math.sqrt(150 / 5000 + 0.25 / 300)
    assert (low, high) == pytest.approx((0.5 - half, 0.5 + half))
    assert np.isnan(stats.cohen_d(3, 0, 50, 2, 0, 100))
    assert np.isnan(stats.cohen_d_interval(0.5, 0, 9)).all()


def test_normal_interval_refuses_a_negative_error_and_passes_nan():
    assert np.allclose(stats.normal_interval([0, 1], 1, 0.95), [[-1.959964, -0.959964], [1.959964, 2.959964]])
    assert np.isnan(stats.normal_interval(math.nan, 1)[0])
    with pytest.raises(InputError):
        stats.normal_interval(0, -1)


def _coverage(low, high, truth, weights):
    return float((weights * ((low <= truth) & (truth <= high))).sum())


@pytest.mark.parametrize(("n", "p"), [(50, 0.2), (100, 0.5), (200, 0.1), (1000, 0.03)])
def test_wilson_covers(n, p):
    counts = np.arange(n + 1)
    assert 0.93 <= _coverage(*stats.wilson(counts, n), p, scipy_stats.binom.pmf(counts, n, p)) <= 0.97


@pytest.mark.parametrize(("n1", "p1", "n2", "p2"), [(60, 0.3, 90, 0.5), (100, 0.1, 100, 0.1), (40, 0.8, 200, 0.6)])
def test_newcombe_covers(n1, p1, n2, p2):
    x1, x2 = np.meshgrid(np.arange(n1 + 1), np.arange(n2 + 1), indexing="ij")
    weights = scipy_stats.binom.pmf(x1, n1, p1) * scipy_stats.binom.pmf(x2, n2, p2)
    assert 0.93 <= _coverage(*stats.newcombe(x1, n1, x2, n2), p1 - p2, weights) <= 0.97


@pytest.mark.parametrize("cells", [(0.5, 0.1, 0.1, 0.3), (0.3, 0.15, 0.05, 0.5), (0.25, 0.25, 0.25, 0.25)])
def test_newcombe_paired_covers(cells):
    drawn = np.random.default_rng(3).multinomial(150, cells, size=4000).T
    low, high = stats.newcombe_paired(*drawn)
    noise = 2 * math.sqrt(0.05 * 0.95 / 4000)
    assert 0.93 - noise <= _coverage(low, high, cells[1] - cells[2], np.full(4000, 1 / 4000)) <= 0.97 + noise


def _exact_grid(sizes):
    wilson, newcombe = [], []
    for n in sizes:
        counts = np.arange(n + 1)
        for p in np.linspace(0.05, 0.95, 19):
            wilson.append(_coverage(*stats.wilson(counts, n), p, scipy_stats.binom.pmf(counts, n, p)))
        if n <= 300:
            x1, x2 = np.meshgrid(counts, counts, indexing="ij")
            low, high = stats.newcombe(x1, n, x2, n)
            for p1 in (0.1, 0.3, 0.5, 0.9):
                for p2 in (0.1, 0.4, 0.8):
                    weights = scipy_stats.binom.pmf(x1, n, p1) * scipy_stats.binom.pmf(x2, n, p2)
                    newcombe.append(_coverage(low, high, p1 - p2, weights))
    return np.array(wilson), np.array(newcombe)


@pytest.mark.slow
def test_exact_coverage_is_within_the_bar_from_100_rows():
    for values in _exact_grid((100, 300, 1000)):
        assert values.min() >= 0.93
        assert values.max() <= 0.97


@pytest.mark.slow
def test_exact_coverage_of_30_and_50_rows_leaves_the_bar_in_few_cells():
    # counts are coarse here: the bar of 93-97 % is missed in 9 of 62 cells, by half a point, and this says so
    wilson, newcombe = _exact_grid((30, 50))
    both = np.concatenate([wilson, newcombe])
    assert 0.925 <= both.min() < 0.93
    assert 0.97 < both.max() <= 0.975
    assert ((both < 0.93) | (both > 0.97)).sum() == 9
