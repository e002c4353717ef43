"""Cosine bias and the standardised score gap against vectors and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from equipoise.metrics.association import CosineBias, StandardisedScoreGap, group_cosines
from equipoise.protocols import Moments
from equipoise.stats.intervals import cohen_d_interval


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.fixture
def world():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, 900)
    images = unit(rng.normal(size=(900, 16)) + 2 * rng.normal(size=16) + rng.normal(size=(3, 16))[codes])
    queries = rng.normal(size=(4, 16))
    return codes, images, queries


def moments(codes, images, queries, valid=(True, True, True)):
    scores = unit(queries) @ images.T
    parts = [scores[:, codes == g] for g in range(3)]
    means = np.stack([images[codes == g].mean(0) for g in range(3)])
    return Moments(
        np.array([float(p.shape[1]) for p in parts]) * np.ones((len(queries), 1)),
        np.stack([p.mean(1) for p in parts], -1),
        np.stack([p.var(1) for p in parts], -1),
        np.linalg.norm(means, axis=1),
        np.array(valid),
    )


def test_cosine_bias_is_the_cosine_to_group_means(world):
    codes, images, queries = world
    means = unit(np.stack([images[codes == g].mean(0) for g in range(3)]))
    cosines = unit(queries) @ means.T
    ours = moments(*world)
    np.testing.assert_allclose(group_cosines(ours), cosines, atol=1e-12)
    np.testing.assert_allclose(CosineBias().statistic(ours), np.ptp(cosines, axis=1), atol=1e-12)
    # scale free: the length of a query is irrelevant
    np.testing.assert_allclose(
        CosineBias().statistic(moments(codes, images, 3 * queries)), np.ptp(cosines, axis=1), atol=1e-12
    )


def test_cosine_bias_without_a_length_is_nan(world):
    ours = moments(*world)
    unknown = Moments(ours.n, ours.mean, ours.var, np.array([np.nan, np.nan, 0.5]), ours.valid)
    assert np.isnan(CosineBias().statistic(unknown)).all()


def test_score_gap_of_two_groups_is_cohens_d(world):
    codes, images, queries = world
    ours = moments(*world, valid=(True, False, True))
    one, two = (unit(queries) @ images[codes == g].T for g in (0, 2))
    pooled = np.sqrt((one.shape[1] * one.var(1) + two.shape[1] * two.var(1)) / (one.shape[1] + two.shape[1] - 2))
    d = np.abs(one.mean(1) - two.mean(1)) / pooled
    np.testing.assert_allclose(StandardisedScoreGap().statistic(ours), d, atol=1e-12)
    # and t = d / sqrt(1/n1 + 1/n2)
    t = np.abs(stats.ttest_ind(one, two, axis=1).statistic)
    np.testing.assert_allclose(d / np.sqrt(1 / one.shape[1] + 1 / two.shape[1]), t, rtol=1e-9)
    low, high = StandardisedScoreGap().interval(ours, 0.95)
    wanted = cohen_d_interval(d, one.shape[1], two.shape[1])
    np.testing.assert_allclose(low, np.maximum(wanted[0], 0), atol=1e-12)
    np.testing.assert_allclose(high, wanted[1], atol=1e-12)


def test_score_gap_of_three_groups_pools_all_of_them(world):
    codes, images, queries = world
    scores = unit(queries) @ images.T
    f = stats.f_oneway(*[scores[:, codes == g] for g in range(3)], axis=1).statistic
    ours = moments(*world)
    between = (ours.n * (ours.mean - scores.mean(1, keepdims=True)) ** 2).sum(1) / 2
    np.testing.assert_allclose(StandardisedScoreGap.deviation(ours), np.sqrt(between / f), rtol=1e-9)


def test_score_gap_is_free_of_scale_and_shift(world):
    ours = moments(*world)
    other = Moments(ours.n, 5 * ours.mean + 2, 25 * ours.var, ours.norm, ours.valid)
    np.testing.assert_allclose(
        StandardisedScoreGap().statistic(other), StandardisedScoreGap().statistic(ours), rtol=1e-9
    )


def test_scores_that_do_not_vary_and_groups_without_rows():
    n = np.array([100.0, 100.0, 0.0])
    flat = Moments(n, np.array([0.1, 0.2, 0.0]), np.zeros(3), np.full(3, 0.5), np.ones(3, dtype=bool))
    assert np.isnan(StandardisedScoreGap().statistic(flat))
    assert CosineBias().statistic(flat) == pytest.approx(0.2)  # the empty group takes no part
    spread = Moments(n, flat.mean, np.array([0.01, 0.01, 0.0]), flat.norm, flat.valid)
    assert StandardisedScoreGap().statistic(spread) == pytest.approx(0.1 / np.sqrt(2 / 198))


@pytest.mark.parametrize("centres", [(0.2, 0.2), (0.2, 0.26), (0.2, 0.2, 0.2), (0.2, 0.22, 0.26)])
def test_intervals_cover(centres):
    rng = np.random.default_rng(1)
    groups = len(centres)
    rows = rng.normal(np.array(centres)[:, None], 0.05, (2000, groups, 80))
    ours = Moments(
        np.full((2000, groups), 80.0), rows.mean(-1), rows.var(-1), np.full(groups, 0.5), np.ones(groups, dtype=bool)
    )
    gap = max(centres) - min(centres)
    for metric, truth in ((CosineBias(), gap / 0.5), (StandardisedScoreGap(), gap / 0.05)):
        low, high = metric.interval(ours, 0.9)
        assert ((low <= truth + 1e-12) & (truth <= high)).mean() > 0.88


def test_intervals_by_hand():
    n, mean, var = np.array([101.0, 201.0, 51.0]), np.array([0.3, 0.2, 0.25]), np.array([0.01, 0.02, 0.04])
    norm, error = np.array([0.5, 0.8, 0.4]), np.sqrt(np.array([0.01, 0.02, 0.04]) / (n - 1))
    two = Moments(n, mean, var, norm, np.array([True, True, False]))
    half = 1.959964 * np.hypot(error[0] / 0.5, error[1] / 0.8)
    np.testing.assert_allclose(CosineBias().interval(two, 0.95), (0.35 - half, 0.35 + half), atol=1e-6)
    three, z = Moments(n, mean, var, norm, np.ones(3, dtype=bool)), stats.norm.ppf(1 - 0.05 / 6)
    low, high = mean / norm - z * error / norm, mean / norm + z * error / norm
    np.testing.assert_allclose(CosineBias().interval(three, 0.95), (low.max() - high.min(), high.max() - low.min()))
    sd = np.sqrt((n * var).sum() / (n.sum() - 3))
    low, high = (mean - z * error) / sd, (mean + z * error) / sd
    np.testing.assert_allclose(
        StandardisedScoreGap().interval(three, 0.95), (low.max() - high.min(), high.max() - low.min())
    )
