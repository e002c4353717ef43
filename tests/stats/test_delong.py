"""AUC and DeLong's covariance against scikit-learn and the quadratic definition."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from sklearn.metrics import roc_auc_score

from equipoise import stats
from equipoise.errors import InputError


def brute(scores, labels):
    """DeLong, DeLong & Clarke-Pearson (1988) from the matrix of all pairs."""
    labels = np.asarray(labels, bool)
    above, below = [], []
    for s in scores:
        pairs = (s[labels][:, None] > s[~labels]) + 0.5 * (s[labels][:, None] == s[~labels])
        above.append(pairs.mean(1))
        below.append(pairs.mean(0))
    cov = np.atleast_2d(np.cov(above)) / labels.sum() + np.atleast_2d(np.cov(below)) / (~labels).sum()
    return np.mean(above, axis=1), cov


@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 4))
def test_delong_is_the_quadratic_definition(seed, levels, m):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, (m, 40)).astype(float)
    labels = np.concatenate([[0, 0, 1, 1], rng.integers(0, 2, 36)])
    auc, cov = stats.delong(scores, labels)
    expected_auc, expected_cov = brute(scores, labels)
    assert np.allclose(auc, expected_auc, atol=1e-12)
    assert np.allclose(cov, expected_cov, atol=1e-12)
    assert auc[0] == pytest.approx(roc_auc_score(labels, scores[0]), abs=1e-12)
    assert stats.auc(scores[0], labels) == pytest.approx(auc[0], abs=1e-12)
    shuffle = rng.permutation(40)
    again = stats.delong(scores[:, shuffle], labels[shuffle])
    assert np.allclose(again[0], auc, atol=1e-12)
    assert np.allclose(again[1], cov, atol=1e-12)


@given(st.integers(0, 10_000), st.integers(1, 30))
def test_groups_are_separate_computations(seed, levels):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, (2, 90)).astype(float)
    labels, codes = rng.integers(0, 2, 90), rng.choice(4, 90, p=[0.6, 0.3, 0.08, 0.02])
    auc, cov, positives, negatives = stats.delong_groups(scores, labels, codes, 5)
    assert auc.shape == (5, 2)
    assert cov.shape == (5, 2, 2)
    for g in range(5):
        rows = codes == g
        expected = stats.delong(scores[:, rows], labels[rows])
        assert np.allclose(auc[g], expected[0], equal_nan=True)
        assert np.allclose(cov[g], expected[1], equal_nan=True)
        assert positives[g] == labels[rows].sum()
        assert negatives[g] == (1 - labels[rows]).sum()
    assert np.allclose(stats.auc_groups(scores[0], labels, codes, 5), auc[:, 0], equal_nan=True)


def test_midranks_are_those_of_scipy():
    values = np.random.default_rng(0).integers(0, 20, 200)
    assert np.array_equal(stats.midranks(values), scipy_stats.rankdata(values))
    assert stats.midranks([]).shape == (0,)


def test_one_class_gives_no_auc_and_one_positive_no_variance():
    auc, cov = stats.delong([[1.0, 2.0, 3.0]], [1, 1, 1])
    assert np.isnan(auc).all()
    assert np.isnan(cov).all()
    assert math.isnan(stats.auc([1.0, 2.0], [0, 0]))
    auc, cov = stats.delong([[1.0, 2.0, 3.0]], [0, 0, 1])
    assert auc[0] == 1
    assert np.isnan(cov).all()


@pytest.mark.parametrize(
    ("scores", "labels"),
    [([[1, np.nan]], [0, 1]), ([[1, np.inf]], [0, 1]), ([1, 2], [0, 1]), ([[1, 2]], [0, 2]), ([[1, 2]], [0, 1, 1])],
)
def test_bad_input_is_refused(scores, labels):
    with pytest.raises(InputError):
        stats.delong(scores, labels)


def test_codes_outside_the_vocabulary_are_refused():
    for codes in ([0, 3], [0, -1], [0.0, 1.0], [0]):
        with pytest.raises(InputError):
            stats.auc_groups([1.0, 2.0], [0, 1], codes, 3)


def test_interval_scales():
    linear = stats.auc_interval(0.9, 0.04**2, 50, 50, scale="linear")
    assert linear == pytest.approx((0.9 - 0.078399, 0.9 + 0.078399), abs=1e-5)
    half = 1.959964 * 0.04 / 0.09
    expit = [1 / (1 + math.exp(-(math.log(9) + sign * half))) for sign in (-1, 1)]
    assert stats.auc_interval(0.9, 0.04**2, 50, 50) == pytest.approx(expit, abs=1e-6)
    with pytest.raises(InputError, match="scale"):
        stats.auc_interval(0.9, 0.01, 5, 5, scale="log")


def test_perfect_separation_keeps_a_width():
    low, high = stats.auc_interval([1.0, 0.0, np.nan], [0.0, 0.0, np.nan], 40, 10)
    assert low[0] == pytest.approx(stats.wilson(10, 10)[0])
    assert high[0] == 1
    assert low[1] == 0
    assert high[1] == pytest.approx(stats.wilson(0, 10)[1])
    assert np.isnan(low[2])
    assert np.isnan(high[2])


def test_the_interval_covers():
    rng = np.random.default_rng(4)
    truth, hits = scipy_stats.norm.cdf(1.2 / math.sqrt(2)), 0
    labels = np.repeat([0, 1], [80, 40])
    for _ in range(1500):
        auc, cov = stats.delong((rng.standard_normal(120) + 1.2 * labels)[None], labels)
        low, high = stats.auc_interval(auc[0], cov[0, 0], 40, 80)
        hits += low <= truth <= high
    assert 0.93 <= hits / 1500 <= 0.97


def test_a_paired_change_covers_nothing_when_there_is_none():
    rng = np.random.default_rng(5)
    labels, rejected = np.repeat([0, 1], [150, 150]), 0
    for _ in range(800):
        shared = rng.standard_normal(300) + labels
        auc, cov = stats.delong(shared + 0.5 * rng.standard_normal((2, 300)), labels)
        p = stats.two_sided_p(auc[1] - auc[0], math.sqrt(cov[0, 0] + cov[1, 1] - 2 * cov[0, 1]))
        rejected += p < 0.05
    assert 0.03 <= rejected / 800 <= 0.07
