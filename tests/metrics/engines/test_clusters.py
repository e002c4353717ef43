"""Rows in clusters: labels are dealt out whole, and shares are worth fewer rows."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from equipoise.metrics.association import StandardisedScoreGap
from equipoise.metrics.classification import AccuracyGap, TruePositiveRateGap
from equipoise.metrics.engines.clusters import Dealer, auc_null, counts_null, moments_null, share_limits, top_null
from equipoise.metrics.engines.ranking import Pool, Ranked
from equipoise.metrics.retrieval import MaxSkew
from equipoise.protocols import Counts
from equipoise.stats.delong import auc

CLUSTERS = np.repeat(np.arange(30), 6).astype(np.int32)
LABELS = np.repeat(np.arange(30) % 3, 6)


def test_clusters_of_one_size_keep_one_label_each() -> None:
    dealer, rng = Dealer(CLUSTERS, LABELS), np.random.default_rng(0)
    first = [dealer.deal(rng) for _ in range(200)]
    for dealt in first:
        assert np.array_equal(np.bincount(dealt), np.bincount(LABELS))
        assert all(len(set(dealt[CLUSTERS == c])) == 1 for c in range(30))
    share = np.mean([dealt[0] == 0 for dealt in first])
    assert share == pytest.approx(1 / 3, abs=0.1)


def test_single_rows_are_shuffled_freely() -> None:
    dealer, rng = Dealer(np.arange(6), np.array([0, 0, 0, 1, 1, 1])), np.random.default_rng(0)
    seen = {tuple(dealer.deal(rng)) for _ in range(400)}
    assert len(seen) == 20


def test_strata_keep_their_labels() -> None:
    strata = np.arange(180) % 2
    labels = np.where(strata, LABELS, 7)
    dealt = Dealer(CLUSTERS, labels, strata).deal(np.random.default_rng(1))
    assert (dealt[strata == 0] == 7).all()
    assert sorted(dealt[strata == 1]) == sorted(labels[strata == 1])


def test_clusters_of_several_sizes_keep_counts() -> None:
    clusters = np.repeat(np.arange(5), [1, 9, 4, 2, 8])
    labels = np.array([0, 1, 1, 0, 1])[clusters]
    dealt = Dealer(clusters, labels).deal(np.random.default_rng(2))
    assert dealt.sum() == labels.sum()
    assert (np.diff(dealt[clusters == 1]) != 0).sum() <= 3


def test_limits_of_a_share() -> None:
    rng = np.random.default_rng(0)
    hit = rng.random(200) < 0.7
    wanted = proportion_confint(hit.sum(), 200, method="wilson")
    assert share_limits(hit, None, 0.95) == pytest.approx(wanted)
    assert share_limits(hit, np.arange(200), 0.95) == pytest.approx(wanted, abs=0.003)
    assert share_limits(np.repeat(hit, 5), np.repeat(np.arange(200), 5), 0.95) == pytest.approx(wanted, abs=0.003)
    assert share_limits(np.ones(50, bool), np.repeat(np.arange(10), 5), 0.95) == pytest.approx(
        proportion_confint(10, 10, method="wilson")
    )
    assert np.isnan(share_limits(np.zeros(0, bool), None, 0.95)).all()


def test_limits_of_a_clustered_share_cover() -> None:
    rng = np.random.default_rng(3)
    inside = 0
    for _ in range(600):
        person = np.clip(rng.normal(0.6, 0.25, 40), 0, 1)
        hit = rng.random((40, 6)) < person[:, None]
        low, high = share_limits(hit.ravel(), np.repeat(np.arange(40), 6), 0.95)
        inside += low <= 0.598 <= high
    assert 0.92 <= inside / 600 <= 0.985


@pytest.fixture
def pool() -> Pool:
    codes = {"a": LABELS.astype(np.int32)}
    return Pool(codes, {"a": 3}, {"a": np.full(3, 0.6)}, 0.6, 5, CLUSTERS)


def test_nulls_are_those_of_whole_clusters(pool) -> None:
    """Against shuffles of clusters done by hand, for the top and for score moments."""
    rng = np.random.default_rng(4)
    person = rng.normal(size=(3, 30))
    scores = (np.repeat(person, 6, axis=1) + 0.05 * rng.normal(size=(3, 180))).astype(np.float32)
    ranked, members = Ranked(scores, pool, 36), [np.arange(3)]
    single, family = top_null(ranked.best, pool, ["a"], [MaxSkew()], members, 600, 0)
    centred = scores - scores.mean(1, keepdims=True)
    gap = StandardisedScoreGap()
    spread = moments_null(centred, scores.mean(1), scores.std(1), pool, ["a"], [gap], members, 600, 0)[0]
    by_hand, gaps = [], []
    for _ in range(600):
        shuffled = Pool(
            {"a": np.repeat(rng.permutation(np.arange(30) % 3), 6).astype(np.int32)},
            {"a": 3},
            pool.norms,
            0.6,
            5,
            CLUSTERS,
        )
        again = Ranked(scores, shuffled, 36)
        by_hand.append(MaxSkew().statistic(again.top("a")))
        code = shuffled.codes["a"]
        means = np.stack([scores[:, code == g].mean(1) for g in range(3)])
        gaps.append(np.ptp(means, axis=0) / scores.std(1))
    by_hand = np.asarray(by_hand)
    assert single["max_skew", "a"].mean(0) == pytest.approx(by_hand.mean(0), abs=0.04)
    assert family["max_skew", "a", 0].std() == pytest.approx(by_hand.mean(1).std(), rel=0.15)
    assert spread["score_gap", "a"].mean(0) == pytest.approx(np.mean(gaps, 0), rel=0.1)


def test_counts_and_areas_keep_what_they_must() -> None:
    rng = np.random.default_rng(5)
    y, p = np.repeat(rng.integers(0, 2, 30), 6), np.repeat(rng.integers(0, 2, 30), 6)
    code = np.where(np.arange(180) < 12, -1, LABELS)
    for metric in (AccuracyGap(), TruePositiveRateGap()):
        drawn = counts_null(CLUSTERS, code, 3, y, p, 2, metric, 50, 0)
        whole = np.zeros((2, 2))
        np.add.at(whole, (y[code >= 0], p[code >= 0]), 1)
        assert (drawn.sum(1) == whole).all()
        sizes = np.bincount(code[code >= 0])
        assert (drawn.sum((2, 3)) == sizes).all()
        if metric.null_within_label:
            positives = np.bincount(code[(code >= 0) & (y == 1)], minlength=3)
            assert (drawn[:, :, 1].sum(-1) == positives).all()
        assert metric.statistic(Counts(drawn, 1, np.ones(3, bool))).shape == (50,)
    score = rng.normal(size=180)
    areas = auc_null(CLUSTERS, LABELS, 3, score, y == 1, 40, 0)
    assert areas.shape == (40, 3)
    assert np.nanmean(areas) == pytest.approx(auc(score, y == 1), abs=0.08)
