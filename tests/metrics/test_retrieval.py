"""Skews, parity at k and the top k, by hand, and the traps of published code."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.errors import InputError
from equipoise.metrics import retrieval as r
from equipoise.protocols import TopCounts
from equipoise.stats.intervals import newcombe, wilson

YES = np.ones(2, dtype=bool)


def top(found, pool, k=None, valid=None):
    found, pool = np.asarray(found, dtype=float), np.asarray(pool, dtype=float)
    k = int(found.sum(-1).max()) if k is None else k
    return TopCounts(found, pool, k, np.ones(pool.shape[-1], dtype=bool) if valid is None else np.asarray(valid))


def test_skews_by_hand():
    ours = top([30, 10], [600, 400])
    assert r.Skew().statistic(ours).tolist() == pytest.approx([np.log(0.75 / 0.6), np.log(0.25 / 0.4)])
    assert r.MaxSkew().statistic(ours) == pytest.approx(np.log(0.75 / 0.6))
    assert r.MinSkew().statistic(ours) == pytest.approx(np.log(0.25 / 0.4))
    assert r.DemographicParity().statistic(ours) == pytest.approx(30 / 600 - 10 / 400)


def test_an_absent_group_is_never_infinite_and_never_the_largest():
    ours = top([40, 0], [600, 400])
    assert r.MaxSkew().statistic(ours) == pytest.approx(np.log(1 / 0.6))
    assert r.MinSkew().statistic(ours) == pytest.approx(np.log((1 / 40) / 0.4))
    assert r.Skew().statistic(ours)[1] == pytest.approx(np.log((1 / 40) / 0.4))
    # a group rarer than 1/k: counting its zero as 1/k would make it the largest skew
    rare = top([20, 20, 0], [5000, 4970, 30], valid=[True, True, True])
    assert r.MaxSkew().statistic(rare) == pytest.approx(np.log(0.5 / 0.497))
    for metric in (r.MaxSkew(), r.MinSkew(), r.DemographicParity(), r.Skew()):
        assert np.isfinite(metric.interval(rare, 0.95)).all()


def test_only_absent_groups_take_part():
    ours = top([0, 0, 40], [300, 300, 400], valid=[True, True, False])
    assert np.isnan(r.MaxSkew().statistic(ours))
    assert np.isnan(r.MaxSkew().interval(ours, 0.95)).all()
    assert r.MinSkew().statistic(ours) == pytest.approx(np.log((1 / 40) / 0.3))


def test_shares_are_among_all_known_rows_also_of_groups_that_take_no_part():
    ours = top([10, 20, 10], [500, 480, 20], valid=[True, True, False])
    assert r.MaxSkew().statistic(ours) == pytest.approx(np.log(0.5 / 0.48))
    assert r.MinSkew().statistic(ours) == pytest.approx(np.log(0.25 / 0.5))


def test_rows_of_unknown_group_are_in_k_and_in_no_share():
    ours = top([15, 5], [600, 400], k=40)  # 20 of the 40 are unknown
    assert r.Skew().statistic(ours).tolist() == pytest.approx([np.log(0.75 / 0.6), np.log(0.25 / 0.4)])
    assert r.MinSkew().statistic(top([20, 0], [600, 400], k=40)) == pytest.approx(np.log((1 / 40) / 0.4))


def test_the_prior_is_the_pools():
    # a search that mirrors its pool has no skew, whatever the pool; against a uniform prior it would have one
    mirror = top([90, 10], [900, 100])
    assert r.MaxSkew().statistic(mirror) == pytest.approx(0)
    assert r.prior(mirror).tolist() == [0.9, 0.1]
    assert "pool" in r.MaxSkew.descriptor.protocol


def test_parity_of_retrieval_is_not_a_gap_of_true_positive_rates():
    # all relevant rows of both groups are found (equal true positive rates); more of group 0 are relevant
    relevant = np.array([80, 20])
    ours = top(relevant, [200, 200])
    assert r.DemographicParity().statistic(ours) == pytest.approx(0.3)
    assert r.DemographicParity.descriptor.protocol != "equal_opportunity"


def test_the_whole_pool_has_no_gap_and_k_never_defaults_to_it():
    assert r.DemographicParity().statistic(top([700, 300], [700, 300])) == 0
    assert [r.default_k(n) for n in (4, 5, 100, 999, 1000, 10**6)] == [0, 1, 20, 199, 200, 200]


def test_statistics_are_over_all_queries_not_the_last():
    found = np.array([[30, 10], [10, 30], [20, 20]])
    values = r.MaxSkew().statistic(top(found, [500, 500]))
    assert values.shape == (3,)
    assert values.mean() == pytest.approx((2 * np.log(1.5) + 0) / 3)


def test_pools_with_leading_axes():
    found, pool = np.array([[30, 10], [0, 40]]), np.array([[600, 400], [0, 1000]])
    values = r.Skew().statistic(top(found, pool))
    assert values[0].tolist() == pytest.approx([np.log(0.75 / 0.6), np.log(0.25 / 0.4)])
    assert np.isnan(values[1, 0])  # nobody of the group in this pool
    assert np.isnan(r.MaxSkew().statistic(top(found, pool))[1])
    assert np.isnan(r.DemographicParity().statistic(top(found, pool))[1])


def test_intervals_by_hand():
    ours = top([30, 10], [600, 400])
    low, high = wilson(30, 40)
    np.testing.assert_allclose(r.MaxSkew().interval(ours, 0.95), np.log([low / 0.6, high / 0.6]), atol=1e-12)
    np.testing.assert_allclose(r.Skew().interval(ours, 0.95)[0], np.log([low / 0.6, (1 - high) / 0.4]), atol=1e-12)
    found = r.DemographicParity().interval(ours, 0.95)
    wanted = newcombe(30, 600, 10, 400)
    np.testing.assert_allclose(found, (max(wanted[0], 0), wanted[1]), atol=1e-12)
    three = top([30, 10, 10], [500, 300, 200])
    limits = np.log(np.array(wilson([30, 10, 10], 50, 1 - 0.05 / 3)) / [0.5, 0.3, 0.2])
    np.testing.assert_allclose(r.MaxSkew().interval(three, 0.95), limits.max(1), atol=1e-12)
    np.testing.assert_allclose(r.MinSkew().interval(three, 0.95), limits.min(1), atol=1e-12)


@pytest.mark.parametrize("chances", [(0.5, 0.5), (0.7, 0.3), (0.2, 0.2, 0.6), (0.25, 0.25, 0.25, 0.25)])
def test_skew_intervals_cover(chances):
    rng = np.random.default_rng(3)
    pool = np.full(len(chances), 1000.0)
    ours = top(rng.multinomial(200, chances, 4000), pool)
    skews = np.log(np.array(chances) * len(chances))
    for metric, truth in ((r.MaxSkew(), skews.max()), (r.MinSkew(), skews.min())):
        low, high = metric.interval(ours, 0.9)
        assert ((low <= truth) & (truth <= high)).mean() > 0.89


def test_min_skew_is_better_the_closer_to_zero():
    harm = r.MinSkew.descriptor.harm
    assert harm(-0.5, -0.2) < 0
    assert harm(-0.2, -0.5) > 0


def test_explicit_share_of_the_named_group():
    found = np.array([[30, 10], [4, 36]])
    values = r.ExplicitShare().share(top(found, [500, 500]))
    assert values.tolist() == [[0.75, 0.25], [0.1, 0.9]]
    assert r.ExplicitShare.named(values, [0, 1]).tolist() == [0.75, 0.9]
    assert r.ExplicitShare.named(np.stack([values, values[::-1]]), [0, 1]).tolist() == [[0.75, 0.9], [0.1, 0.25]]
    assert r.ExplicitShare().counted(top(found, [500, 500], k=60))[1].tolist() == [[40, 40], [40, 40]]


def test_recall_by_hand():
    ours = r.Ranks(np.array([[0, 4, 5, 99], [5, 6, 7, 8]]), 5)
    assert r.Recall().statistic(ours).tolist() == [0.5, 0.0]
    np.testing.assert_allclose(r.Recall().interval(ours, 0.95), wilson([2, 0], [4, 4]))
    assert np.isnan(r.Recall().statistic(r.Ranks(np.empty((2, 0), dtype=int), 5))).all()
    with pytest.raises(InputError, match="begin at 0"):
        r.Ranks(np.array([-1, 3]), 5)
    with pytest.raises(InputError, match="k is 0"):
        r.Ranks(np.array([3]), 0)


@given(st.integers(1, 60), st.data())
def test_top_k_is_a_stable_sort_with_ties_by_position(n, data):
    k = data.draw(st.integers(1, n))
    row = st.lists(st.sampled_from([-1.0, -0.0, 0.0, 0.25, 0.5]), min_size=n, max_size=n)
    scores = np.array(data.draw(st.lists(row, min_size=1, max_size=3)), dtype=np.float32)
    found = r.top_k(scores, k)
    assert found.dtype == np.int32
    assert np.array_equal(found, np.argsort(-scores, axis=1, kind="stable")[:, :k])


@pytest.mark.parametrize("k", [0, -1, 11, 2.0, True])
def test_top_k_refuses_a_k_outside_the_pool(k):
    with pytest.raises(InputError, match=r"k is"):
        r.top_k(np.zeros((1, 10), dtype=np.float32), k)


def test_top_k_refuses_scores_that_are_not_finite():
    with pytest.raises(InputError, match="NaN"):
        r.top_k(np.array([[0.1, np.nan]], dtype=np.float32), 1)


def test_top_k_is_fast():
    import time

    scores = np.random.default_rng(0).standard_normal((50, 100_000)).astype(np.float32)
    start = time.process_time()
    r.top_k(scores, 200)
    assert time.process_time() - start < 1.0
