"""Holm and Benjamini-Hochberg against statsmodels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from equipoise import stats
from equipoise.errors import InputError

METHODS = [(stats.holm, "holm"), (stats.benjamini_hochberg, "fdr_bh")]


@pytest.mark.parametrize(("ours", "theirs"), METHODS)
@settings(max_examples=25, deadline=None)
@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_adjusted_p_are_those_of_statsmodels(ours, theirs, p):
    assert np.allclose(ours(p), multipletests(p, method=theirs)[1], atol=1e-12)


@pytest.mark.parametrize(("ours", "theirs"), METHODS)
def test_nan_passes_through_and_is_not_counted(ours, theirs):
    p = np.array([0.01, np.nan, 0.04, 0.03, np.nan])
    adjusted = ours(p)
    assert np.isnan(adjusted[[1, 4]]).all()
    assert np.allclose(adjusted[[0, 2, 3]], multipletests([0.01, 0.04, 0.03], method=theirs)[1])
    assert np.isnan(ours([np.nan])).all()
    assert ours([]).shape == (0,)


@pytest.mark.parametrize(("ours", "theirs"), METHODS)
def test_bad_p_is_refused(ours, theirs):
    for p in ([1.2], [-0.1], [[0.1]]):
        with pytest.raises(InputError):
            ours(p)
