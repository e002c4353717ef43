"""Top rows and skews, by hand and against a full sort."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise import stats
from equipoise.errors import InputError


@given(st.integers(0, 9999), st.integers(1, 50), st.sampled_from([1, 3, 1000]))
def test_top_rows_is_a_full_sort_cut_and_ignores_row_order(seed, length, levels):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, (3, 50)).astype(np.float32)
    ids = rng.permutation(50)
    top = stats.top_rows(scores, length, ids)
    for q in range(3):
        assert top[q].tolist() == sorted(range(50), key=lambda i: (-scores[q, i], ids[i]))[:length]
    shuffle = rng.permutation(50)
    again = stats.top_rows(scores[:, shuffle], length, ids[shuffle])
    assert np.array_equal(ids[shuffle][again], ids[top])


def test_equal_scores_fall_back_to_the_position():
    assert stats.top_rows(np.zeros((1, 5)), 3).tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("scores", "length"),
    [([[1.0, np.nan]], 1), ([[1.0, np.inf]], 1), ([[1.0, 2.0]], 3), ([[1.0, 2.0]], 0), ([[1, 2]], 1), ([1.0], 1)],
)
def test_bad_scores_are_refused(scores, length):
    with pytest.raises(InputError):
        stats.top_rows(scores, length)


def test_prefix_length():
    assert stats.prefix_length(200, 100_000) == 342
    assert stats.prefix_length(200, 250) == 250
    with pytest.raises(InputError):
        stats.prefix_length(0, 10)


def test_skews_by_hand():
    shares, prior = [[0.7, 0.3, 0.0]], [0.5, 0.3, 0.2]
    assert stats.max_skew(shares, prior) == pytest.approx(math.log(1.4))
    assert stats.min_skew(shares, prior, 10) == pytest.approx(math.log(0.1 / 0.2))
    assert stats.rate_gap(shares, prior, 0.1) == pytest.approx(0.14)
    assert stats.skews(shares, prior)[0, 2] == -math.inf
    include = [True, True, False]
    assert stats.min_skew(shares, prior, 10, include) == pytest.approx(0)
    assert stats.rate_gap(shares, prior, 0.1, include) == pytest.approx(0.14 - 0.1)


def test_a_group_absent_from_the_pool_is_skipped():
    assert stats.max_skew([0.5, 0.5, 0.0], [0.4, 0.6, 0.0]) == pytest.approx(math.log(1.25))
    assert np.isnan(stats.max_skew([0.0, 0.0], [0.0, 0.0]))
    assert np.isnan(stats.min_skew([0.0, 0.0], [0.0, 0.0], 5))
    assert np.isnan(stats.rate_gap([0.0, 0], [0.0, 0], 0.1))


def test_include_needs_two_groups():
    for include in ([True, False], [True], [False, False]):
        with pytest.raises(InputError):
            stats.max_skew([0.5, 0.5], [0.5, 0.5], include)


def test_shares_of_rows():
    assert np.allclose(
        stats.shares_of([[0, 1, 2, 3], [3, 3, 2, 1]], np.array([0, 0, 1, 2]), 3), [[0.5, 0.25, 0.25], [0.25, 0.25, 0.5]]
    )
