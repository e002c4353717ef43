"""Bootstrap of rankings: against a literal resample of the pool, sharing of draws, coverage, speed."""

import time

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from equipoise import stats
from equipoise.errors import InputError


def literal(scores, codes, groups, k, weights):
    """Shares of the top k after writing the resampled pool out, row by row."""
    pool = np.repeat(np.arange(codes.size), weights)
    out = []
    for row in scores:
        best = pool[np.argsort(-row[pool], kind="stable")[:k]]
        out.append(np.bincount(codes[best], minlength=groups) / best.size)
    return np.array(out), np.bincount(codes[pool], minlength=groups) / pool.size


@pytest.mark.parametrize("clustered", [False, True])
def test_shares_are_those_of_the_written_out_resample(clustered):
    rng = np.random.default_rng(0)
    n, k = 300, 40
    scores = rng.standard_normal((4, n))
    codes = [rng.integers(0, 3, n), rng.choice(5, n, p=[0.5, 0.3, 0.18, 0.02, 0.0])]
    clusters = rng.integers(0, 60, n) if clustered else None
    result = stats.ranked_share_bootstrap(stats.top_rows(scores, n), codes, [3, 5], k, 20, 3, clusters)
    numbered = None if clusters is None else np.unique(clusters, return_inverse=True)[1]
    for draw in range(20):
        weights = stats.row_weights(n, draw, 3, numbered)
        for a, groups in enumerate((3, 5)):
            shares, pool = literal(scores, codes[a], groups, k, weights)
            assert np.allclose(result.shares[a][draw], shares, atol=1e-6)
            assert np.allclose(result.pool[a][draw], pool, atol=1e-12)


def test_a_resampled_pool_smaller_than_k_is_taken_whole():
    codes, clusters = np.array([0] * 50 + [1] * 2), np.array([0] * 50 + [1, 2])
    result = stats.ranked_share_bootstrap(np.arange(52)[None], [codes], [2], 50, 200, 0, clusters)
    assert np.allclose(result.shares[0].sum(-1), 1)
    assert np.isclose(result.shares[0][:, 0, 0], 0).any()


def _setup(n=2000, q=6, seed=1, length=None):
    rng = np.random.default_rng(seed)
    top = stats.top_rows(rng.standard_normal((q, n)), length or stats.prefix_length(50, n))
    return top, rng.integers(0, 3, n)


def test_draws_are_shared_by_calls_queries_and_splits():
    top, codes = _setup()
    whole = stats.ranked_share_bootstrap(top, [codes], [3], 50, 40, 9)
    first = stats.ranked_share_bootstrap(top[:2], [codes], [3], 50, range(25), 9)
    second = stats.ranked_share_bootstrap(top[2:], [codes], [3], 50, range(25, 40), 9)
    assert np.array_equal(whole.shares[0][:25, :2], first.shares[0])
    assert np.array_equal(whole.shares[0][25:, 2:], second.shares[0])
    assert np.array_equal(whole.pool[0], np.concatenate([first.pool[0], second.pool[0]]))
    other = stats.ranked_share_bootstrap(top, [codes], [3], 50, 40, 10)
    assert not np.array_equal(whole.shares[0], other.shares[0])


def test_the_prefix_gives_what_the_whole_ranking_gives():
    top, codes = _setup(length=2000)
    whole = stats.ranked_share_bootstrap(top, [codes], [3], 50, 40, 9)
    prefix = stats.ranked_share_bootstrap(top[:, :121], [codes], [3], 50, 40, 9)
    assert np.array_equal(whole.shares[0], prefix.shares[0])


def test_a_prefix_that_is_too_short_is_extended_or_refused():
    n = 4000
    codes, clusters = np.arange(n) % 2, np.arange(n) // 500
    ranking = np.stack([np.arange(n).reshape(8, 500).T.ravel(), np.arange(n)])  # only the second runs short
    result = stats.ranked_share_bootstrap(ranking, [codes], [2], 50, 60, 0, clusters)
    assert np.allclose(result.shares[0].sum(-1), 1)
    with pytest.raises(InputError, match="do not reach"):
        stats.ranked_share_bootstrap(ranking[:, :200], [codes], [2], 50, 60, 0, clusters)


def test_renaming_groups_and_permuting_attributes_is_irrelevant():
    top, codes = _setup()
    one = stats.ranked_share_bootstrap(top, [codes, codes % 2], [3, 2], 50, 30, 0)
    two = stats.ranked_share_bootstrap(top, [codes % 2, 2 - codes], [2, 3], 50, 30, 0)
    assert np.allclose(one.shares[0], two.shares[1][..., ::-1])
    assert np.allclose(one.shares[1], two.shares[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "k is 0"),
        ({"k": 2001}, "more than the pool"),
        ({"k": 100}, "need"),
        ({"groups": [2]}, "outside"),
        ({"groups": [3, 3]}, "2 groups"),
        ({"draws": 1}, "draws"),
        ({"clusters": [0, 1]}, "clusters"),
        ({"rankings": np.zeros((1, 150), int)}, "repeats"),
        ({"rankings": np.arange(1900, 2050)[None]}, "outside"),
        ({"rankings": np.zeros((1, 150))}, "float64"),
    ],
)
def test_bad_arguments_are_refused(change, message):
    top, codes = _setup()
    arguments = {"rankings": top, "codes": [codes], "groups": [3], "k": 50, "draws": 10, "seed": 0} | change
    with pytest.raises(InputError, match=message):
        stats.ranked_share_bootstrap(**arguments)


def test_large_audits_are_fast():
    rng = np.random.default_rng(0)
    n, q = 100_000, 200
    top = stats.top_rows(rng.standard_normal((q, n), dtype=np.float32), stats.prefix_length(200, n))
    gender, race, age = (rng.integers(0, g, n) for g in (2, 7, 9))
    codes, groups = [gender, race, age, gender * 7 + race, gender * 9 + age, race * 9 + age], [2, 7, 9, 14, 18, 63]
    start = time.process_time()
    result = stats.ranked_share_bootstrap(top, codes, groups, 200, 500, 0)
    for shares, pool in zip(result.shares, result.pool, strict=True):
        skew = stats.max_skew(shares, pool[:, None])
        stats.bootstrap_interval(skew.mean(0), skew)
    assert time.process_time() - start < 30


def true_max_skew(prior, effect, fraction):
    """MaxSkew of an infinite pool whose scores are effect[group] + N(0, 1), cut at the top ``fraction``."""
    cut = brentq(lambda t: (prior * norm.sf(t - effect)).sum() - fraction, -9, 9)
    return float(np.log(norm.sf(cut - effect) / fraction).max())


def coverage(prior, effect, repeats, seed, n=3000, k=200, queries=25, draws=400):
    """Coverage of the expected value and, after `chance_floor`, of the infinite pool's; repeats pools of queries."""
    rng = np.random.default_rng(seed)
    groups, rows = prior.size, []
    null = stats.skew_null(np.round(prior * n).astype(int), k).max_skew
    for _ in range(repeats):
        codes = rng.choice(groups, n, p=prior)
        top = stats.top_rows(effect[codes] + rng.standard_normal((queries, n)), stats.prefix_length(k, n))
        pool = np.bincount(codes, minlength=groups) / n
        estimate = stats.max_skew(stats.shares_of(top[:, :k], codes, groups), pool)
        drawn = stats.ranked_share_bootstrap(top, [codes], [groups], k, draws, rng)
        skew = stats.max_skew(drawn.shares[0], drawn.pool[0][:, None])
        low, high = stats.bootstrap_interval(estimate, skew, bounds=(0, np.inf))
        rows.append(np.stack([estimate, low, high, stats.chance_floor(low, estimate, null)]))
    estimate, low, high, floor = np.concatenate(rows, axis=1)
    expected, limit = estimate.mean(), true_max_skew(prior, effect, k / n)
    return np.mean((low <= expected) & (expected <= high)), np.mean((floor <= limit + 1e-9) & (limit <= high))


RACE = np.array([0.19, 0.14, 0.14, 0.14, 0.13, 0.13, 0.13])


@pytest.mark.parametrize(
    ("prior", "effect"),
    [(np.array([0.54, 0.46]), np.array([0.0, 0.4])), (RACE, np.array([0, 0.7, 0, 0, 0, 0, 0]))],
)
def test_max_skew_interval_covers_on_a_small_grid(prior, effect):
    expected, limit = coverage(prior, effect, 16, 5)
    noise = 2 * np.sqrt(0.05 * 0.95 / 400)
    assert all(0.93 - noise <= c <= 0.97 + noise for c in (expected, limit))


def test_max_skew_interval_reaches_zero_when_there_is_no_disparity():
    expected, limit = coverage(RACE, np.zeros(7), 8, 6)
    assert expected >= 0.95
    assert 0.95 <= limit <= 1


@pytest.mark.slow
@pytest.mark.parametrize("groups", [2, 7, 9])
@pytest.mark.parametrize("size", [0.0, 0.2, 0.5, 1.0])
def test_max_skew_interval_over_a_grid(groups, size):
    prior = {2: np.array([0.54, 0.46]), 7: RACE, 9: np.array([0.02, 0.12, 0.11, 0.3, 0.21, 0.12, 0.07, 0.03, 0.02])}[
        groups
    ]
    effect = np.zeros(groups)
    effect[1] = size
    expected, limit = coverage(prior, effect, 60, 7)
    print(f"groups {groups} effect {size}: expected {expected:.3f}, limit {limit:.3f}")
    # no upper bound: near no disparity the interval is wider than needed (97 to 99 %)
    noise = 2 * np.sqrt(0.05 * 0.95 / 1500)
    assert expected >= 0.93 - noise
    assert limit >= 0.93 - noise
