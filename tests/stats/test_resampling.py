"""Bootstraps of tables: moments, strata, clusters, intervals."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from equipoise import stats
from equipoise.errors import InputError
from equipoise.stats import resampling

TABLE = np.array([[30, 10], [5, 55], [0, 0]])


def test_draws_have_the_moments_of_resampled_rows():
    drawn = stats.multinomial_tables(TABLE, 20_000, 0)
    assert (drawn.sum((1, 2)) == 100).all()
    assert (drawn[:, 2] == 0).all()
    p = TABLE / 100
    assert np.allclose(drawn.mean(0), TABLE, atol=0.15)
    assert np.allclose(drawn.var(0), 100 * p * (1 - p), rtol=0.05)


def test_strata_hold_their_margins_on_any_axis():
    assert (stats.multinomial_tables(TABLE, 50, 0, strata=0).sum(2) == TABLE.sum(1)).all()
    assert (stats.multinomial_tables(TABLE, 50, 0, strata=-1).sum(1) == TABLE.sum(0)).all()
    cube = np.arange(24).reshape(2, 3, 4)
    assert (stats.multinomial_tables(cube, 50, 0, strata=(0, 2)).sum(2) == cube.sum(1)).all()
    drawn = stats.multinomial_tables(TABLE, 20_000, 0, strata=0)
    assert drawn[:, 0, 0].var() == pytest.approx(40 * 0.75 * 0.25, rel=0.05)


def test_a_paired_change_is_a_statistic_of_one_table():
    cells = np.array([[40, 12], [3, 45]])  # (before, after)
    draws = stats.multinomial_bootstrap(cells, lambda t: (t[:, :, 1].sum(1) - t[:, 1].sum(1)) / 100, 20_000, 0)
    assert draws.mean() == pytest.approx(0.09, abs=0.002)
    assert stats.standard_error(draws) == pytest.approx(math.sqrt((0.15 - 0.09**2) / 100), rel=0.03)


def test_the_same_seed_gives_the_same_draws_whatever_the_chunk(monkeypatch):
    def run():
        return stats.multinomial_bootstrap(TABLE, lambda t: t[:, 0, 0], 300, 7)

    def clusters():
        return stats.cluster_bootstrap(np.eye(4, dtype=int), lambda t: t, 300, 7)

    whole, whole_clusters = run(), clusters()
    monkeypatch.setattr(resampling, "_CHUNK_CELLS", 13)
    assert np.array_equal(whole, run())
    assert np.array_equal(whole_clusters, clusters())
    assert not np.array_equal(whole, stats.multinomial_bootstrap(TABLE, lambda t: t[:, 0, 0], 300, 8))
    from_generator = stats.multinomial_bootstrap(TABLE, lambda t: t[:, 0, 0], 300, np.random.default_rng(7))
    assert np.array_equal(whole, from_generator)


@pytest.mark.parametrize("table", [[[1, -1]], [[1, 0.5]], [[1, math.nan]]])
def test_what_is_no_count_is_refused(table):
    with pytest.raises(InputError):
        stats.multinomial_bootstrap(table, lambda t: t, 10)


@pytest.mark.parametrize(("name", "value"), [("draws", 1), ("draws", 2.5), ("seed", -1), ("seed", 1.5), ("seed", None)])
def test_bad_draws_and_seeds_are_refused(name, value):
    with pytest.raises(InputError, match=name):
        stats.multinomial_bootstrap(TABLE, lambda t: t[:, 0, 0], **{name: value})


def test_bad_strata_are_refused():
    for strata in (2, (0, 1)):
        with pytest.raises(InputError):
            stats.multinomial_tables(TABLE, 10, 0, strata=strata)


def test_clusters_of_one_row_are_rows():
    rows = np.repeat(np.eye(2, dtype=int), [30, 70], axis=0)
    draws = stats.cluster_bootstrap(rows, lambda t: t[:, 0] / t.sum(1), 20_000, 0)
    assert stats.standard_error(draws) == pytest.approx(math.sqrt(0.21 / 100), rel=0.03)


def test_whole_clusters_widen_the_interval_by_the_root_of_their_size():
    rows = np.repeat(9 * np.eye(2, dtype=int), [30, 70], axis=0)
    draws = stats.cluster_bootstrap(rows, lambda t: t[:, 0] / t.sum(1), 20_000, 0)
    assert stats.standard_error(draws) == pytest.approx(3 * math.sqrt(0.21 / 900), rel=0.03)


def test_distinct_clusters_match_a_direct_resample():
    rng = np.random.default_rng(0)
    tables = rng.integers(0, 9, (40, 3))
    draws = stats.cluster_bootstrap(tables, lambda t: t[:, 0] / t.sum(1), 20_000, 1)
    direct = tables[rng.integers(0, 40, (20_000, 40))].sum(1)
    assert stats.standard_error(draws) == pytest.approx((direct[:, 0] / direct.sum(1)).std(), rel=0.03)


def test_cluster_strata_are_drawn_apart():
    tables = np.repeat(np.eye(2, dtype=int), [20, 30], axis=0)
    strata = np.array(["a"] * 20 + ["b"] * 30)
    assert (stats.cluster_bootstrap(tables, lambda t: t, 50, 0, strata=strata) == [20, 30]).all()
    with pytest.raises(InputError):
        stats.cluster_bootstrap(tables[:1], lambda t: t, 50)
    with pytest.raises(InputError):
        stats.cluster_bootstrap(tables, lambda t: t, 50, 0, strata=strata[:3])


def test_interval_kinds_by_hand():
    draws = np.arange(1001.0)
    assert stats.bootstrap_interval(500.0, draws, kind="percentile") == pytest.approx((25, 975))
    assert stats.bootstrap_interval(400.0, draws, kind="basic") == pytest.approx((-175, 775))
    assert stats.bootstrap_interval(400.0, draws, kind="centred") == pytest.approx((-75, 875))
    assert stats.bootstrap_interval(400.0, draws, kind="centred", bounds=(0, 500)) == pytest.approx((0, 500))
    z0 = scipy_stats.norm.ppf(400.5 / 1001)
    limits = [1000 * scipy_stats.norm.cdf(2 * z0 + z) for z in (-1.959964, 1.959964)]
    assert stats.bootstrap_interval(400.0, draws, kind="bias_corrected") == pytest.approx(limits, abs=1e-3)
    half = 1.959964 * draws.std(ddof=1)
    assert stats.bootstrap_interval(400.0, draws, kind="normal") == pytest.approx((300 - half, 300 + half), abs=1e-3)


@pytest.mark.parametrize("kind", resampling.KINDS)
def test_kinds_agree_on_a_plain_mean_and_broadcast(kind):
    draws = np.random.default_rng(0).normal([[0.0, 5.0]], 1, (40_000, 2))
    low, high = stats.bootstrap_interval([0.0, 5.0], draws, kind=kind)
    assert np.allclose(low, [-1.96, 3.04], atol=0.06)
    assert np.allclose(high, [1.96, 6.96], atol=0.06)


@pytest.mark.parametrize("kind", resampling.KINDS)
def test_missing_draws(kind):
    draws = np.random.default_rng(0).normal(size=(1000, 3))
    draws[:50, 1], draws[:200, 2] = np.inf, np.nan
    low, high = stats.bootstrap_interval(np.zeros(3), draws, kind=kind)
    assert np.isfinite(low[:2]).all()
    assert np.isnan(low[2])
    assert np.isnan(high[2])
    assert np.isnan(stats.standard_error(draws)[2])
    assert stats.standard_error(draws)[1] == pytest.approx(1, rel=0.1)
    assert np.isnan(stats.bootstrap_interval(np.nan, draws[:, 0], kind=kind)[0])


def test_intervals_refuse_too_few_draws_and_unknown_kinds():
    with pytest.raises(InputError, match="draws"):
        stats.bootstrap_interval(0.0, np.zeros(39))
    with pytest.raises(InputError, match="kind"):
        stats.bootstrap_interval(0.0, np.zeros(99), kind="bca")
    with pytest.raises(InputError, match="shape"):
        stats.bootstrap_interval([0.0, 1.0], np.zeros(99))


def test_resampled_queries_add_the_spread_of_queries():
    values = np.tile([0.0, 1.0, 2.0, 3.0], (20_000, 1))
    means = stats.resample_queries(values, 0)
    assert means.mean() == pytest.approx(1.5, abs=0.02)
    assert means.std() == pytest.approx(math.sqrt(1.25 / 4), rel=0.03)
    values[:, 0] = np.nan
    assert np.nanmean(stats.resample_queries(values, 0)) == pytest.approx(2, abs=0.02)
    with pytest.raises(InputError):
        stats.resample_queries([1.0], 0)


def test_a_gap_of_rates_covers_its_expected_value():
    rng = np.random.default_rng(11)
    p, n, estimates, limits = np.array([0.3, 0.35, 0.4]), 120, [], []
    for _ in range(400):
        positive = rng.binomial(n, p)
        table = np.stack([n - positive, positive], 1)
        estimates.append(float(stats.gap_of_rates(table)))
        draws = stats.multinomial_bootstrap(table, stats.gap_of_rates, 400, rng, strata=0)
        limits.append(stats.bootstrap_interval(estimates[-1], draws, bounds=(0, 1)))
    low, high = np.array(limits).T
    noise = 2 * math.sqrt(0.05 * 0.95 / 400)
    assert 0.93 - noise <= np.mean((low <= np.mean(estimates)) & (np.mean(estimates) <= high)) <= 0.97 + noise
