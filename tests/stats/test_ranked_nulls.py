"""Nulls of top-k skews: enumeration, the reference values of FairFace, type I error of a mean over queries."""

import csv
import math
from itertools import combinations

import numpy as np
import pytest
from shared_data import DATA

from equipoise import stats
from equipoise.errors import InputError


def test_skew_null_is_the_enumeration_of_all_subsets():
    codes, k = np.repeat([0, 1, 2], [4, 3, 2]), 3
    prior = np.bincount(codes) / 9
    shares = np.array([np.bincount(codes[list(c)], minlength=3) / k for c in combinations(range(9), k)])
    null = stats.skew_null([4, 3, 2], k, 40_000)
    assert null.max_skew.mean == pytest.approx(stats.max_skew(shares, prior).mean(), abs=0.006)
    assert null.min_skew.mean == pytest.approx(stats.min_skew(shares, prior, k).mean(), abs=0.006)
    assert null.rate_gap.mean == pytest.approx(stats.rate_gap(shares, prior, k / 9).mean(), abs=0.006)
    observed = stats.min_skew(shares, prior, k).min()
    exact = np.mean(stats.min_skew(shares, prior, k) <= observed + 1e-9)
    assert null.min_skew.p(observed, tail="lower") == pytest.approx(exact, abs=0.01)


def test_skew_null_is_cached_by_its_arguments():
    assert stats.skew_null([30, 50], 10) is stats.skew_null(np.array([30, 50]), 10)
    assert stats.skew_null([30, 50], 10, seed=1) is not stats.skew_null([30, 50], 10)
    one, two = (stats.skew_null([30, 50], 10, 500, np.random.default_rng(4)) for _ in range(2))
    assert one is not two
    assert np.array_equal(one.max_skew.draws, two.max_skew.draws)


def test_left_out_and_empty_groups():
    assert np.isfinite(stats.skew_null([30, 0, 50], 10).max_skew.draws).all()
    with_unknown = stats.skew_null([300, 500, 5], 50, include=[True, True, False]).max_skew
    assert with_unknown.mean < stats.skew_null([300, 500, 5], 50).max_skew.mean
    with pytest.raises(InputError):
        stats.skew_null([30, 0], 10)


@pytest.mark.parametrize(("sizes", "k"), [([5, 5], 11), ([5, 5], 0), ([[5, 5]], 2), ([-1, 5], 2)])
def test_bad_pools_are_refused(sizes, k):
    with pytest.raises(InputError):
        stats.skew_null(sizes, k)


def _fairface(column):
    path = DATA / "fairface" / "labels.csv"
    if not path.is_file():
        pytest.skip(f"there is no {path.name} of FairFace (EQUIPOISE_DATA names the folder of the data)")
    with path.open(newline="", encoding="utf-8") as file:
        values = [row[column] for row in csv.DictReader(file) if row["split"] == "val"]
    return np.unique(values, return_counts=True)[1]


@pytest.mark.parametrize(("column", "mean", "quantile"), [("gender", 0.053, 0.130), ("race", 0.227, 0.364)])
def test_random_faces_show_the_reference_skews(column, mean, quantile):
    sizes = _fairface(column)
    assert sizes.sum() == 3000
    null = stats.skew_null(sizes, 200).max_skew
    assert null.mean == pytest.approx(mean, abs=0.004)
    assert null.quantile(0.95) == pytest.approx(quantile, abs=0.012)


def test_random_faces_by_age_show_the_reference_skew():
    assert stats.skew_null(_fairface("age"), 200).max_skew.mean == pytest.approx(0.42, abs=0.02)


def test_the_reference_skews_from_stated_shares():
    null = stats.skew_null([1608, 1392], 200).max_skew
    assert null.mean == pytest.approx(0.053, abs=0.003)
    assert null.quantile(0.95) == pytest.approx(0.130, abs=0.012)


def test_permuted_labels_of_one_query_are_the_hypergeometric_null():
    rng = np.random.default_rng(0)
    codes = rng.choice(4, 900, p=[0.4, 0.3, 0.2, 0.1])
    drawn = stats.permute_labels_skew(rng.permutation(900)[None, :60], codes, 4, 4000, 1)
    null = stats.skew_null(np.bincount(codes), 60)
    for name in ("max_skew", "min_skew", "rate_gap"):
        ours, theirs = stats.null_of(getattr(drawn, name)), getattr(null, name)
        assert ours.mean == pytest.approx(theirs.mean, abs=0.01)
        assert ours.quantile(0.95) == pytest.approx(theirs.quantile(0.95), abs=0.02)


def test_equal_queries_move_together_and_disjoint_ones_hardly():
    codes = np.random.default_rng(0).integers(0, 3, 4000)
    same = stats.permute_labels_skew(np.tile(np.arange(50), (8, 1)), codes, 3, 500, 0).max_skew
    assert np.ptp(same, axis=1).max() == 0
    apart = stats.permute_labels_skew(np.arange(400).reshape(8, 50), codes, 3, 500, 0).max_skew
    assert apart.mean(1).std() < 0.5 * same.mean(1).std()


def test_same_seed_same_labels_and_bad_rows_refused():
    codes = np.arange(90) % 3
    one, two = (stats.permute_labels_skew([[1, 2, 3, 4]], codes, 3, 20, 5).max_skew for _ in range(2))
    assert np.array_equal(one, two)
    for top in ([[90]], [[-1]], [1, 2], [[0.5]], np.zeros((1, 0), int)):
        with pytest.raises(InputError):
            stats.permute_labels_skew(top, codes, 3, 20)


def test_type_one_error_of_the_mean_over_queries_that_share_images():
    rng = np.random.default_rng(2)
    n, k, q, rejected, naive = 600, 60, 8, 0, 0
    for _ in range(300):
        codes = rng.integers(0, 3, n)
        shared = rng.standard_normal(n)
        top = stats.top_rows(2 * shared + rng.standard_normal((q, n)), k)
        observed = stats.max_skew(stats.shares_of(top, codes, 3), np.bincount(codes, minlength=3) / n).mean()
        rejected += (
            stats.null_of(stats.permute_labels_skew(top, codes, 3, 99, rng).max_skew.mean(1)).p(observed) <= 0.05
        )
        single = stats.skew_null(np.bincount(codes, minlength=3), k, 792, rng).max_skew.draws
        naive += stats.null_of(rng.permutation(single).reshape(99, q).mean(1)).p(observed) <= 0.05
    assert rejected / 300 <= 0.06 + 2 * math.sqrt(0.05 * 0.95 / 300)
    assert naive > 2 * rejected  # queries taken as independent would raise false alarms
