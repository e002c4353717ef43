"""Counts among the top k, score moments, bootstrap draws and nulls, against plain loops and exact values."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise.metrics.association import CosineBias, StandardisedScoreGap
from equipoise.metrics.engines import nulls, ranking
from equipoise.metrics.engines.ranking import DRAWS_AT_ONCE, Pool, Ranked, draw
from equipoise.metrics.engines.replicates import Families, family_mean, overlap, query_weights, replicate
from equipoise.metrics.retrieval import MaxSkew, Skew
from equipoise.stats import row_weights

N, Q, K = 400, 5, 60


@pytest.fixture
def pool() -> Pool:
    rng = np.random.default_rng(1)
    a = rng.integers(-1, 2, N).astype(np.int32)
    b = rng.integers(0, 4, N).astype(np.int32)
    both = np.where(a < 0, -1, a * 4 + b).astype(np.int32)
    codes = {"a": a, "b": b, "a:b": both}
    norms = {"a": np.array([0.6, 0.5]), "b": np.full(4, 0.5), "a:b": np.full(8, 0.6)}
    return Pool(codes, {"a": 2, "b": 4, "a:b": 8}, norms, 0.5, minimum=5)


@pytest.fixture
def ranked(pool: Pool) -> Ranked:
    rng = np.random.default_rng(2)
    scores = rng.normal(size=(Q, N)) * 0.1 + 0.2 + 0.05 * (pool.codes["a"] == 1)
    return Ranked(scores.astype(np.float32), pool, K)


def test_top_counts_equal_a_plain_loop(ranked: Ranked, pool: Pool) -> None:
    for key in pool.codes:
        top = ranked.top(key)
        for q in range(Q):
            best = np.argsort(-ranked.scores[q], kind="stable")[:K]
            code = pool.codes[key][best]
            assert top.top[q].tolist() == np.bincount(code[code >= 0], minlength=pool.sizes[key]).tolist()
        assert top.pool.sum() == (pool.codes[key] >= 0).sum()


def test_moments_equal_a_plain_loop(ranked: Ranked, pool: Pool) -> None:
    for key in pool.codes:
        moments = ranked.moments(key)
        for q in range(Q):
            for g in range(pool.sizes[key]):
                part = ranked.scores[q, pool.codes[key] == g].astype(np.float64)
                assert moments.mean[q, g] == pytest.approx(part.mean(), abs=1e-9)
                assert moments.var[q, g] == pytest.approx(part.var(), abs=1e-9)


@pytest.mark.parametrize("weights", [1, 1 << 24])
def test_draws_equal_a_resampled_pool(ranked: Ranked, pool: Pool, monkeypatch, weights: int) -> None:
    monkeypatch.setattr(ranking, "MOST_WEIGHTS", weights)
    """Draw b is the statistic of rows repeated as often as the weights say."""
    draws = DRAWS_AT_ONCE + 3
    seen = 0
    for numbers, drawn in draw({"main": ranked}, draws, seed=4):
        for i, b in enumerate(numbers):
            weights = row_weights(N, b, 4)
            for q in (0, Q - 1):
                order = np.argsort(-ranked.scores[q], kind="stable")
                best = np.repeat(order, weights[order])[:K]
                code = pool.codes["a:b"][best]
                expected = np.bincount(code[code >= 0], minlength=8)
                assert np.allclose(drawn["main"].top["a:b"].top[i, q], expected, atol=1e-4)
                rows = np.repeat(np.arange(N), weights)
                part = ranked.scores[q, rows[pool.codes["b"][rows] == 2]].astype(np.float64)
                moments = drawn["main"].moments["b"]
                assert moments.mean[i, q, 2] == pytest.approx(part.mean(), abs=1e-6)
                assert moments.var[i, q, 2] == pytest.approx(part.var(), abs=1e-6)
            seen += 1
    assert seen == draws


def test_arms_share_their_draws(ranked: Ranked) -> None:
    families = Families.of(["f"] * Q)
    metrics = [MaxSkew(), CosineBias()]
    found = replicate({"one": ranked, "two": ranked}, families, ["a", "b"], metrics, [], 120, 0, base="one")
    for (arm, *rest), values in found.query.items():
        if arm == "one":
            assert np.allclose(values, found.query["two", *rest], atol=1e-6)
    assert np.allclose(found.overlap["two"], 1.0)


def test_clusters_move_together(pool: Pool) -> None:
    clusters = np.repeat(np.arange(N // 10), 10).astype(np.int32)
    codes = {"b": (clusters % 4).astype(np.int32)}
    rng = np.random.default_rng(5)
    person = rng.normal(size=(Q, N // 10))
    scores = (np.repeat(person, 10, axis=1) + rng.normal(size=(Q, N)) * 0.01).astype(np.float32)
    wide, narrow = [], []
    for own, out in ((clusters, wide), (None, narrow)):
        arm = Ranked(scores, Pool(codes, {"b": 4}, {"b": pool.norms["b"]}, 0.5, 5, own), K)
        for _, drawn in draw({"main": arm}, 200, seed=0, moments=False):
            out.append(MaxSkew().statistic(drawn["main"].top["b"]))
    assert np.concatenate(wide).std(0).mean() > 1.5 * np.concatenate(narrow).std(0).mean()


def test_family_mean_is_over_the_resampled_queries() -> None:
    values = np.array([[1.0, 2.0, np.nan], [4.0, 8.0, 6.0]])
    weights = np.array([[2, 1, 0], [0, 1, 2]])
    assert family_mean(values, weights).tolist() == [pytest.approx(4 / 3), pytest.approx(20 / 3)]
    drawn = query_weights([3, 4], 10, 0)
    assert [w.sum(1).tolist() for w in drawn] == [[3] * 10, [4] * 10]


def test_explicit_queries_stand_apart() -> None:
    families = Families.of(["jobs", "explicit", "traits", "jobs"])
    assert families.names == ("jobs", "traits")
    assert [members.tolist() for members in families.members] == [[0, 3], [2]]
    assert families.explicit.tolist() == [1]
    assert families.ordinary.tolist() == [0, 2, 3]


def test_overlap_counts_shared_rows(ranked: Ranked, pool: Pool) -> None:
    moved = Ranked(-ranked.scores, pool, K)
    assert overlap(ranked, ranked).tolist() == [1.0] * Q
    assert overlap(ranked, moved).tolist() == [0.0] * Q


def test_null_of_one_query_matches_exact_enumeration() -> None:
    """Six rows, two groups of three, k = 2: shares 0, 1/2, 1 with probabilities 3/15, 9/15, 3/15."""
    code = np.array([0, 0, 0, 1, 1, 1], np.int32)
    pool = Pool({"a": code}, {"a": 2}, {"a": np.ones(2)}, 1.0, minimum=1)
    null = nulls.one_query(pool, "a", 2, MaxSkew(), 40_000, 0)
    assert (null > 1e-9).mean() == pytest.approx(6 / 15, abs=0.01)
    assert null.mean() == pytest.approx(6 / 15 * np.log(2), abs=0.01)


def test_family_null_shuffles_labels_with_the_rankings_held(pool: Pool) -> None:
    """When all queries rank alike, the family's null is that of one query; when they share no rows, it is narrower."""
    rng = np.random.default_rng(0)
    same = np.repeat(rng.normal(size=(1, N)), Q, axis=0).astype(np.float32)
    members = [np.arange(Q)]
    alike = nulls.families_top(Ranked(same, pool, K), ["b"], [MaxSkew()], members, 1500, 0)["max_skew", "b", 0]
    single = nulls.one_query(pool, "b", K, MaxSkew(), 20_000, 0)
    assert alike.mean() == pytest.approx(single.mean(), abs=0.01)
    assert alike.std() == pytest.approx(single.std(), rel=0.12)
    apart = np.stack([np.roll(np.arange(N), q * K) for q in range(Q)]).astype(np.float32)
    narrow = nulls.families_top(Ranked(apart, pool, K), ["b"], [MaxSkew()], members, 1500, 0)["max_skew", "b", 0]
    assert narrow.std() < 0.7 * single.std()


@pytest.mark.parametrize("metric", [CosineBias(), StandardisedScoreGap()])
def test_moment_null_matches_shuffled_labels(ranked: Ranked, pool: Pool, metric) -> None:
    """The normal null has the mean and spread of labels really shuffled (norms held at their expectation)."""
    single, _ = nulls.families_moments(ranked, ["b"], [metric], [np.arange(Q)], 4000, 0)
    rng = np.random.default_rng(3)
    counts = pool.counts["b"]
    norm = np.sqrt(0.25 + 0.75 / counts)
    drawn = []
    for _ in range(600):
        shuffled = Pool({"b": rng.permutation(pool.codes["b"])}, {"b": 4}, {"b": norm}, 0.5, 5)
        drawn.append(metric.statistic(Ranked(ranked.scores, shuffled, K).moments("b")))
    drawn = np.stack(drawn)
    assert single[metric.descriptor.name, "b"].mean() == pytest.approx(drawn.mean(), rel=0.06)
    assert single[metric.descriptor.name, "b"].std(0).mean() == pytest.approx(drawn.std(0).mean(), rel=0.1)


def test_family_p_of_noise_is_uniform(pool: Pool) -> None:
    """Type I error of the family's p at 5 %, with queries that share their rows."""
    rng = np.random.default_rng(9)
    low = 0
    trials = 150
    for trial in range(trials):
        shared = rng.normal(size=(1, N)) + 0.5 * rng.normal(size=(Q, N))
        arm = Ranked(shared.astype(np.float32), pool, K)
        null = nulls.families_top(arm, ["b"], [MaxSkew()], [np.arange(Q)], 200, trial)["max_skew", "b", 0]
        value = MaxSkew().statistic(arm.top("b")).mean()
        low += nulls.permutation_p(value, null) < 0.05
    assert low / trials <= 0.09  # 5 % plus two standard errors of 150 trials


def test_per_group_skew_has_a_null_of_its_own(ranked: Ranked) -> None:
    null = nulls.families_top(ranked, ["a"], [Skew()], [np.arange(Q)], 300, 0)["skew", "a", 0]
    assert null.shape == (300, 2)
    assert abs(null.mean()) < 0.02


def test_draws_of_an_arm_use_its_own_lengths_of_group_means(ranked: Ranked, pool: Pool) -> None:
    """An edit of pictures changes the lengths of the group means: no arm may borrow those of the first."""
    longer = Pool(pool.codes, pool.sizes, {key: 2 * norm for key, norm in pool.norms.items()}, 0.9, pool.minimum)
    arms = {"one": ranked, "two": Ranked(ranked.scores, longer, K)}
    for _, drawn in draw(arms, 10, seed=0):
        one, two = (CosineBias().statistic(drawn[arm].moments["b"]) for arm in arms)
        np.testing.assert_allclose(one, 2 * two, rtol=1e-5)
