"""Effective sample size."""

import math

import numpy as np
import pytest

from equipoise import stats
from equipoise.errors import InputError


@pytest.mark.parametrize(("weights", "n"), [([1] * 7, 7), ([5, 5, 0], 2), ([1, 0, 0], 1), ([1, 2, 3], 36 / 14)])
def test_effective_sample_size_by_hand(weights, n):
    assert stats.effective_sample_size(weights) == pytest.approx(n)


def test_the_scale_is_irrelevant_even_at_the_ends_of_floats():
    for scale in (1e-200, 1e200):
        assert stats.effective_sample_size(np.array([1.0, 2.0, 3.0]) * scale) == pytest.approx(36 / 14)


def test_one_dominating_weight_shows():
    assert stats.effective_sample_size([1e6] + [1.0] * 1000) < 1.01


@pytest.mark.parametrize("weights", [[1, -1], [1, math.nan], [1, math.inf], [0, 0], [], [[1, 2]]])
def test_bad_weights_are_refused(weights):
    with pytest.raises(InputError, match="weight"):
        stats.effective_sample_size(weights)
