"""Two one-sided tests: against statsmodels, and their duality with the interval."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from equipoise import stats
from equipoise.errors import InputError


@given(st.floats(-0.2, 0.2), st.floats(1e-4, 0.1), st.floats(1e-3, 0.2))
def test_tost_is_two_normal_tests_and_agrees_with_the_interval(change, se, margin):
    result = stats.tost(change, se, margin)
    assert result.p == pytest.approx(max(norm.sf((change + margin) / se), norm.cdf((change - margin) / se)), abs=1e-12)
    assert (result.low, result.high) == pytest.approx(stats.normal_interval(change, se, 0.90))
    if abs(result.p - 0.05) > 1e-9:
        assert bool(result.equivalent) == (result.p < 0.05)


def test_a_spread_of_zero():
    result = stats.tost([0.0, 0.001, np.nan], [0.0, 0.0, 0.01], 0.02)
    assert result.equivalent.tolist() == [True, False, False]
    assert result.p[0] == 0
    assert np.isnan(result.p[1:]).all()
    assert stats.two_sided_p(0, 0) == 1
    assert np.isnan(stats.two_sided_p(0.1, 0))
    assert stats.two_sided_p(1.959964, 1) == pytest.approx(0.05, abs=1e-6)


def test_minimum_detectable_effect_has_the_power_it_claims():
    assert stats.minimum_detectable_effect(1.0) == pytest.approx(2.8015852, abs=1e-6)
    effect = stats.minimum_detectable_effect(0.3, alpha=0.01, power=0.9)
    assert norm.sf(norm.ppf(0.995) - effect / 0.3) == pytest.approx(0.9)


@pytest.mark.parametrize(
    "arguments", [(0, 1, 0), (0, 1, -1), (0, 1, math.nan), (0, -1, 1), (0, 1, 1, 5), (0, 1, 1, 0.6)]
)
def test_bad_arguments_are_refused(arguments):
    with pytest.raises(InputError):
        stats.tost(*arguments)
    with pytest.raises(InputError):
        stats.minimum_detectable_effect(1, power=80)
