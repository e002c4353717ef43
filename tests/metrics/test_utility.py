"""Overlap and query cosine, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise.errors import EmbeddingError, InputError
from equipoise.metrics.utility import Overlap, QueryCosine, overlaps, query_cosines


def test_overlap_by_hand():
    before = np.array([[1, 2, 3, 4], [5, 6, 7, 8], [1, 2, 3, 4]])
    after = np.array([[4, 3, 2, 1], [5, 6, 0, 1], [5, 6, 7, 8]])
    assert overlaps(before, after).tolist() == [1.0, 0.5, 0.0]


def test_overlap_equals_sets():
    rng = np.random.default_rng(0)
    before, after = (np.stack([rng.permutation(40)[:15] for _ in range(20)]) for _ in range(2))
    wanted = [len(set(a) & set(b)) / 15 for a, b in zip(before, after, strict=True)]
    np.testing.assert_allclose(overlaps(before, after), wanted)


def test_query_cosines():
    before, after = np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([[3.0, 0.0], [0.0, 2.0]])
    assert query_cosines(before, after).tolist() == pytest.approx([1.0, np.sqrt(0.5)])
    assert query_cosines(0.1 * before, 0.1 * after).tolist() == pytest.approx([1.0, np.sqrt(0.5)])


@pytest.mark.parametrize("metric", [Overlap(), QueryCosine()])
def test_the_statistic_is_the_mean_of_all_queries_not_the_last(metric):
    values = np.array([[0.2, 0.4, 0.9], [1.0, 1.0, 1.0]])
    assert metric.statistic(values).tolist() == pytest.approx([0.5, 1.0])
    assert np.isnan(metric.statistic(np.empty((2, 0)))).all()
    assert np.isnan(metric.statistic(np.array([0.1, np.nan])))


def test_wrong_input_is_refused():
    with pytest.raises(InputError, match="shapes"):
        overlaps(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(InputError, match="shapes"):
        overlaps(np.zeros((2, 0)), np.zeros((2, 0)))
    with pytest.raises(EmbeddingError, match="none of them zero"):
        query_cosines(np.zeros((1, 3)), np.ones((1, 3)))
    with pytest.raises(EmbeddingError, match="cannot be compared"):
        query_cosines(np.ones((2, 3)), np.ones((1, 3)))
