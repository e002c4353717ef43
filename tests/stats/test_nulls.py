"""Permutation nulls against enumeration, scipy, and their own type I error."""

import math
from itertools import combinations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from equipoise import stats
from equipoise.errors import InputError


def test_null_by_hand():
    null = stats.null_of([3.0, 1.0, np.nan, 2.0, 2.0])
    assert null.draws.tolist() == [1, 2, 2, 3]
    assert null.mean == 2
    assert null.quantile(0.5) == 2
    assert null.p([0.5, 2.0, 3.0, 4.0, np.nan]).tolist()[:4] == [1.0, 4 / 5, 2 / 5, 1 / 5]
    assert null.p([0.5, 2.0, 4.0], tail="lower").tolist() == [1 / 5, 4 / 5, 1.0]
    assert np.isnan(null.p(np.nan))
    assert null.p(2 + 1e-13) == null.p(2)
    with pytest.raises(ValueError, match="read-only"):
        null.draws[0] = 9
    with pytest.raises(InputError):
        null.p(1, tail="both")
    with pytest.raises(InputError):
        null.quantile(95)
    empty = stats.null_of([np.nan])
    assert math.isnan(empty.mean)
    assert math.isnan(empty.quantile(0.9))
    assert np.isnan(empty.p(1.0))


def test_chance_floor():
    null = stats.null_of(np.linspace(0, 1, 1001))
    low = stats.chance_floor([0.4, 0.5, -0.1], [0.97, 0.98, 0.2], null)
    assert low.tolist() == [0.0, 0.5, -0.1]


def test_gap_null_is_the_enumeration_of_all_labellings():
    sizes, positives = [3, 4, 2], 4
    gaps = []
    for chosen in combinations(range(9), positives):
        hit = np.isin(np.arange(9), chosen)
        rates = [part.mean() for part in np.split(hit, np.cumsum(sizes)[:-1])]
        gaps.append(max(rates) - min(rates))
    null = stats.gap_null(sizes, positives, 40_000, 0)
    assert null.mean == pytest.approx(np.mean(gaps), abs=0.004)
    for value in np.unique(np.round(gaps, 9)):
        assert null.p(value) == pytest.approx(np.mean(np.array(gaps) >= value - 1e-9), abs=0.01)


def test_permuted_tables_keep_both_margins_of_every_stratum():
    table = np.random.default_rng(0).integers(0, 30, (2, 4, 3))
    table[1, 2] = 0
    drawn = stats.permutation_tables(table, 300, 1)
    assert drawn.shape == (300, 2, 4, 3)
    assert (drawn.sum(-1) == table.sum(-1)).all()
    assert (drawn.sum(-2) == table.sum(-2)).all()
    assert drawn.min() >= 0
    expected = table.sum(-1)[..., None] * table.sum(-2)[:, None] / table.sum((-1, -2))[:, None, None]
    assert np.allclose(drawn.mean(0), expected, atol=0.8)


def test_permuted_two_by_two_is_fishers_hypergeometric():
    table = np.array([[8, 2], [3, 9]])
    drawn = stats.permutation_tables(table, 40_000, 0)[:, 0, 0]
    p = np.mean(drawn >= 8)
    assert p == pytest.approx(scipy_stats.fisher_exact(table, alternative="greater")[1], abs=0.003)


def test_gap_of_rates_skips_empty_groups():
    assert stats.gap_of_rates([[5, 5], [0, 0], [8, 2]]) == pytest.approx(0.3)
    assert np.isnan(stats.gap_of_rates([[5, 5], [0, 0]]))


@pytest.mark.parametrize("positives", [0, 60])
def test_extreme_counts_have_a_gap_of_zero(positives):
    null = stats.gap_null([10, 20, 30], positives, 50)
    assert null.mean == 0
    assert null.p(0.0) == 1


def test_bad_counts_are_refused():
    for sizes, positives in (([5, 5], 11), ([5, 5], -1), ([[5]], 1), ([5, 0.5], 1)):
        with pytest.raises(InputError):
            stats.gap_null(sizes, positives)


def test_same_seed_same_null():
    assert np.array_equal(stats.gap_null([9, 30], 11, 99, 4).draws, stats.gap_null([9, 30], 11, 99, 4).draws)


@pytest.mark.parametrize("groups", [2, 7, 64])
def test_type_one_error_of_the_gap(groups):
    rng = np.random.default_rng(groups)
    sizes, rejected = rng.integers(30, 200, groups), 0
    for _ in range(600):
        positive = rng.binomial(sizes, 0.3)
        observed = stats.gap_of_rates(np.stack([sizes - positive, positive], 1))
        rejected += stats.gap_null(sizes, positive.sum(), 199, rng).p(observed) <= 0.05
    # 6 % is the bar; the second term is two standard errors of this simulation
    assert rejected / 600 <= 0.06 + 2 * math.sqrt(0.05 * 0.95 / 600)


# the specified example, and the mean of the smallest of independent binomials by direct summation
@pytest.mark.parametrize(
    ("sizes", "expected"), [([100] * 4, 0.75838), ([10, 10, 500, 500], 0.71001), ([103, 121, 710, 723], 0.77054)]
)
def test_expected_minimum(sizes, expected):
    assert stats.expected_minimum(sizes, 0.8) == pytest.approx(expected, abs=5e-6)
    assert stats.expected_minimum([*sizes, 0], 0.8) == pytest.approx(expected, abs=5e-6)


def test_expected_minimum_at_the_edges():
    assert stats.expected_minimum([5, 9], 0) == 0
    assert stats.expected_minimum([5, 9], 1) == pytest.approx(1)
    assert stats.expected_minimum([7], 0.3) == pytest.approx(0.3)
    assert math.isnan(stats.expected_minimum([0], 0.5))
    with pytest.raises(InputError):
        stats.expected_minimum([5], 80)


def test_mean_gap_normal_and_permutation_agree():
    rng = np.random.default_rng(0)
    shared = rng.standard_normal(2000)
    scores = 0.7 * shared + rng.standard_normal((3, 2000)) * [[1], [2], [0.5]]
    codes = rng.choice(4, 2000, p=[0.5, 0.3, 0.17, 0.03])
    (a, mean_a), (b, mean_b) = (stats.mean_gap_null(scores, codes, 5, 4000, 1, m) for m in ("normal", "permutation"))
    assert np.allclose(a.mean(0), b.mean(0), rtol=0.03)
    assert np.allclose(np.quantile(a, 0.95, axis=0), np.quantile(b, 0.95, axis=0), rtol=0.05)
    assert mean_a.quantile(0.95) == pytest.approx(mean_b.quantile(0.95), rel=0.05)


def test_mean_gap_of_two_groups_is_enumerated():
    scores = np.array([[0.0, 1, 2, 4, 8, 16]])
    means = [
        scores[0][list(c)].mean() - scores[0][list(set(range(6)) - set(c))].mean() for c in combinations(range(6), 2)
    ]
    draws, _ = stats.mean_gap_null(scores, np.array([0, 1, 1, 0, 1, 1]), 2, 20_000, 0, "permutation")
    assert stats.null_of(draws).p(9.0) == pytest.approx(np.mean(np.abs(means) >= 9), abs=0.01)


def test_type_one_error_of_the_mean_gap():
    rng = np.random.default_rng(8)
    codes, rejected = rng.integers(0, 5, 300), 0
    for _ in range(500):
        scores = rng.exponential(size=(1, 300))
        means = np.bincount(codes, scores[0]) / np.bincount(codes)
        draws, _ = stats.mean_gap_null(scores, codes, 5, 199, rng)
        rejected += stats.null_of(draws).p(np.ptp(means)) <= 0.05
    assert rejected / 500 <= 0.06 + 2 * math.sqrt(0.05 * 0.95 / 500)


def test_one_group_has_no_gap():
    draws, mean = stats.mean_gap_null(np.ones((2, 9)), np.zeros(9, int), 3, 10)
    assert np.isnan(draws).all()
    assert mean.draws.size == 0
    assert stats.auc_gap_null(np.arange(9.0), np.arange(9) % 2, np.zeros(9, int), 3, 10).draws.size == 0
    with pytest.raises(InputError):
        stats.mean_gap_null(np.ones((2, 9)), np.zeros(9, int), 3, 10, 0, "exact")


def test_auc_gap_null_is_a_literal_shuffle():
    rng = np.random.default_rng(0)
    labels, codes = rng.integers(0, 2, 120), rng.integers(0, 3, 120)
    scores = np.round(rng.standard_normal(120) + labels, 1)
    literal = []
    for _ in range(1500):
        shuffled = codes.copy()
        for y in (0, 1):
            shuffled[labels == y] = rng.permutation(codes[labels == y])
        literal.append(np.ptp(stats.auc_groups(scores, labels, shuffled, 3)))
    null = stats.auc_gap_null(scores, labels, codes, 3, 1500, 1)
    assert null.mean == pytest.approx(np.mean(literal), rel=0.05)
    assert null.quantile(0.95) == pytest.approx(np.quantile(literal, 0.95), rel=0.08)


def test_type_one_error_of_the_auc_gap():
    rng = np.random.default_rng(3)
    labels, codes, rejected = rng.integers(0, 2, 200), rng.integers(0, 3, 200), 0
    for _ in range(300):
        scores = rng.standard_normal(200) + labels
        observed = np.ptp(stats.auc_groups(scores, labels, codes, 3))
        rejected += stats.auc_gap_null(scores, labels, codes, 3, 99, rng).p(observed) <= 0.05
    assert rejected / 300 <= 0.06 + 2 * math.sqrt(0.05 * 0.95 / 300)
