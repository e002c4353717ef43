"""Joint counts against numpy.add.at and against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.data import cells
from equipoise.data.cells import conditional, count_codes, marginal
from equipoise.errors import InputError


def brute(codes, shape, weights=None):
    table = np.zeros(shape)
    weights = np.ones(len(codes[0])) if weights is None else weights
    for row, weight in zip(zip(*codes, strict=True), weights, strict=True):
        if min(row) >= 0:
            table[row] += weight
    return table


def test_counts_by_hand_and_skips_rows_with_any_unknown():
    group, label = np.array([0, 0, 1, -1, 1, 1]), np.array([0, 1, 1, 1, -1, 1])
    table = count_codes(group, label, shape=(2, 2))
    assert table.tolist() == [[1, 1], [0, 2]]
    assert table.dtype == np.int64


@given(
    st.integers(0, 400),
    st.lists(st.integers(1, 7), min_size=1, max_size=4),
    st.sampled_from([np.int8, np.int16, np.int32, np.int64, np.uint8]),
    st.booleans(),
    st.integers(0, 99),
)
def test_equals_a_loop_for_any_columns(n, shape, dtype, weighted, seed):
    rng = np.random.default_rng(seed)
    least = 0 if np.dtype(dtype).kind == "u" else -1
    codes = [rng.integers(least, size, n).astype(dtype) for size in shape]
    weights = rng.random(n) if weighted else None
    np.testing.assert_allclose(
        count_codes(*codes, shape=shape, weights=weights), brute(codes, shape, weights), atol=1e-12
    )


def test_blocks_do_not_matter(monkeypatch):
    rng = np.random.default_rng(1)
    codes = [rng.integers(-1, size, 1000).astype(np.int32) for size in (5, 3)]
    whole = count_codes(*codes, shape=(5, 3))
    monkeypatch.setattr(cells, "BLOCK", 7)
    assert np.array_equal(count_codes(*codes, shape=(5, 3)), whole)


@pytest.mark.parametrize("sizes", [(16, 16), (255, 1), (256, 1), (1, 257), (300, 300)])
def test_small_codes_do_not_overflow(sizes):
    # 255 and 256 cells are where one byte stops holding the flattened code and the cell for unknown rows
    codes = [np.array([size - 1, 0, -1], dtype=np.int16) for size in sizes]
    table = count_codes(*codes, shape=sizes)
    assert table.sum() == 2 if max(sizes) > 1 else 3
    assert table[tuple(size - 1 for size in sizes)] >= 1
    assert np.array_equal(table, brute(codes, sizes))


def test_mixed_dtypes_and_bools():
    group, label = np.array([0, 1, 1], dtype=np.uint8), np.array([True, False, True])
    assert count_codes(group, label, shape=(2, 2)).tolist() == [[0, 1], [1, 1]]


@pytest.mark.parametrize(
    ("codes", "shape", "weights", "words"),
    [
        (([0, 2],), (2,), None, "from 0 to 2"),
        (([0, -2],), (2,), None, "from -2 to 0"),
        (([0, 1], [0]), (2, 2), None, "Column 1"),
        (([0.0, 1.0],), (2,), None, "float64"),
        (([0, 1],), (2, 2), None, "1 columns"),
        ((), (), None, "0 columns"),
        (([0],), (0,), None, "no value"),
        (([0, 1],), (2,), [1.0], "weights have shape"),
        (([0, 1],), (2,), [1.0, -1.0], "row 1"),
        (([0, 1],), (2,), [np.nan, 1.0], "row 0"),
        (([0], [0]), (1 << 20, 1 << 20), None, "too large"),
    ],
)
def test_wrong_input_is_refused(codes, shape, weights, words):
    with pytest.raises(InputError, match=words):
        count_codes(*[np.array(c) for c in codes], shape=shape, weights=weights)


def test_marginal_keeps_axes_in_the_order_asked_for():
    table = np.arange(24).reshape(2, 3, 4)
    assert np.array_equal(marginal(table, 0), table.sum((1, 2)))
    assert np.array_equal(marginal(table, 2, 0), table.sum(1).T)
    assert np.array_equal(marginal(table, -1), table.sum((0, 1)))
    assert marginal(table) == table.sum()
    with pytest.raises(InputError, match="each axis once"):
        marginal(table, 0, -3)
    with pytest.raises(InputError, match="each axis once"):
        marginal(table, 3)


def test_conditional_shares():
    table = np.array([[1, 3], [0, 0]])
    shares = conditional(table, 0)
    assert shares[0].tolist() == [0.25, 0.75]
    assert np.isnan(shares[1]).all()
    assert conditional(table).tolist() == [[0.25, 0.75], [0.0, 0.0]]
    assert conditional(table, 0, 1)[0].tolist() == [1.0, 1.0]
