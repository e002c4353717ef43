"""Batches: all of one size, every row in its turn, twins apart, and the same from any position on."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.errors import InputError
from equipoise.train.sampling import Batches, alike


class Shuffled:
    """A sampler as torch's are: a new order each epoch."""

    def __init__(self, rows, seed=0):
        self.rows, self.seed, self.epoch = list(rows), seed, 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        return iter(np.random.default_rng([self.seed, self.epoch]).permutation(self.rows).tolist())


def test_no_row_is_left_out_where_an_epoch_ends() -> None:
    batches = Batches(Shuffled(range(10)), 4)
    found = [row for batch, _ in islice(batches.after(), 5) for row in batch]
    assert all(len(batch) == 4 for batch, _ in islice(batches.after(), 5))
    counts = Counter(found)  # 20 rows drawn are two epochs of 10, but for rows that wait
    assert set(counts) == set(range(10))
    assert max(counts.values()) <= 3


@pytest.mark.parametrize("cut", range(8))
def test_it_goes_on_from_any_position(cut) -> None:
    codes = np.arange(23) // 3
    whole = list(islice(Batches(Shuffled(range(23)), 5, apart=[codes]).after(), 9))
    again = Batches(Shuffled(range(23)), 5, apart=[codes])
    kept = json.loads(json.dumps(whole[cut][1]))
    assert list(islice(again.after(kept), 9 - cut - 1)) == whole[cut + 1 :]


def test_twins_are_kept_apart_and_wait() -> None:
    codes = np.repeat(np.arange(12), 2)  # two captions a picture
    for batch, position in islice(Batches(Shuffled(range(24)), 6, apart=[codes]).after(), 40):
        assert len(set(codes[batch])) == 6
        assert len(position["waiting"]) <= 6


def test_where_twins_cannot_be_kept_apart_they_are_taken_and_marked() -> None:
    codes = np.zeros(9, np.int64)
    batches = Batches(Shuffled(range(9)), 4, apart=[codes])
    found = [batch for batch, _ in islice(batches.after(), 9)]
    assert Counter(row for batch in found for row in batch).keys() == set(range(9))
    assert alike(found[-1], [codes]).all()


def test_numbers_below_zero_equal_nothing() -> None:
    codes = np.full(8, -1)
    for batch, position in islice(Batches(Shuffled(range(8)), 8, apart=[codes]).after(), 3):
        assert sorted(batch) == list(range(8))
        assert not position["waiting"]
    np.testing.assert_array_equal(
        alike([0, 1, 1], [codes]), [[True, False, False], [False, True, True], [False, True, True]]
    )


def test_a_batch_larger_than_an_epoch_is_refused() -> None:
    with pytest.raises(InputError, match="A batch of 5 rows is larger than the 3 rows"):
        Batches([0, 1, 2, 0, 1], 5)
    with pytest.raises(InputError, match="no rows"):
        Batches([], 2)
    with pytest.raises(InputError, match="batch size"):
        Batches([0], 0)


@settings(max_examples=60)
@given(st.integers(1, 9), st.lists(st.integers(0, 5), min_size=9, max_size=30))
def test_over_many_batches_every_row_has_its_turn(size, codes) -> None:
    n, codes = len(codes), np.asarray(codes)
    batches = Batches(Shuffled(range(n)), size, apart=[codes])
    steps = 6 * n // size + 1
    rows = Counter(row for batch, _ in islice(batches.after(), steps) for row in batch)
    assert sum(rows.values()) == steps * size
    # six epochs and at most one more begun; a row may wait for at most the rows that wait before it
    assert set(rows) == set(range(n))
    assert max(rows.values()) <= 8
