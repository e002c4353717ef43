"""Which rows are kept: the hash's vectors, its properties, exact numbers."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from equipoise.errors import InputError
from equipoise.mitigate.data.selection import comb, copies, keep, systematic, uniform

VECTORS = [
    ("a", 0, "826ec2ade9867d14", 0.5095025705900528),
    ("a", 1, "594d9fca33d87f37", 0.3488407009752751),
    ("images/1.jpg", 0, "3111d470df42aa61", 0.1916783118788411),
    ("é", 0, "937cb21c56f9de0e", 0.5761214560688822),
]


@pytest.mark.parametrize(("text", "seed", "hexadecimal", "value"), VECTORS)
def test_the_hash_is_the_published_one(text, seed, hexadecimal, value):
    assert hashlib.blake2b(text.encode(), digest_size=8, key=str(seed).encode()).hexdigest() == hexadecimal
    assert uniform([text], seed)[0] == value
    assert (int(hexadecimal, 16) >> 11) * 2.0**-53 == value


def test_ids_of_all_kinds_hash_alike():
    ids = ["7", "8", "9"]
    wanted = uniform(ids, 3)
    for given_ids in (
        tuple(ids), np.array(ids), np.array(ids, object), pa.array(ids), pa.chunked_array([ids[:1], ids[1:]]),
        pa.array(ids).dictionary_encode(), np.array([7, 8, 9]), pa.array([7, 8, 9], pa.uint64()), [7, 8, 9],
        np.array([7.0, 8.0, 9.0]),
    ):  # fmt: skip
        assert uniform(given_ids, 3).tolist() == wanted.tolist()
    assert uniform([], 0).shape == (0,)


def test_names_are_normalised():
    assert uniform([unicodedata.normalize("NFD", "é")])[0] == uniform(["é"])[0]
    assert uniform(pa.array(["e\u0301"]))[0] == uniform(["\u00e9"])[0]


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (np.array([2.0**53, 1.0]), "read as floats"), (pa.array([1.7e18]), "read as floats"), (["a", None], "absent"),
        (["a", ""], "absent"), (pa.array(["a", None]), "absent"), (np.array([1.0, np.nan]), "absent"), ("abc", "one text"),
        (["\ud800"], "UTF-8|read"), ([["a"]], "holds"), (5, "read"),
    ],
)  # fmt: skip
def test_ids_that_are_none_are_refused(ids, said):
    with pytest.raises(InputError, match=said):
        uniform(ids)


@pytest.mark.parametrize("seed", [0.5, "0", True, None, 10**70])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(InputError):
        uniform(["a"], seed)


def test_it_is_uniform_and_seeds_are_independent():
    ids = [f"images/{i}.jpg" for i in range(50_000)]
    u, v = uniform(ids, 0), uniform(ids, 1)
    assert u.min() >= 0
    assert u.max() < 1
    assert kstest(u, "uniform").pvalue > 0.001
    assert abs(np.corrcoef(u, v)[0, 1]) < 0.02


def test_another_process_keeps_the_same_rows():
    code = "from equipoise.mitigate.data.selection import keep; print(keep([f'r{i}' for i in range(40)], .5).tolist())"
    said = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": s},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for s in ("1", "2")
    ]
    assert said[0] == said[1] == f"{keep([f'r{i}' for i in range(40)], 0.5).tolist()}\n"


def test_keep_is_nested_in_the_weight_and_does_not_depend_on_order():
    ids = [f"r{i}" for i in range(3000)]
    q = np.random.default_rng(0).random(3000)
    kept = keep(ids, q, 5)
    assert not (kept & ~keep(ids, np.minimum(1, q + 0.1), 5)).any()
    order = np.random.default_rng(1).permutation(3000)
    assert (keep([ids[i] for i in order], q[order], 5) == kept[order]).all()
    assert keep(ids, 1.0).all()
    assert not keep(ids, 0.0).any()
    assert abs(kept.sum() - q.sum()) < 4 * np.sqrt((q * (1 - q)).sum())


def test_a_null_weight_is_never_kept():
    ids = ["a", "b", "c"]
    assert keep(ids, [1.0, np.nan, 1.0]).tolist() == [True, False, True]
    assert keep(ids, pa.array([1.0, None, 1.0])).tolist() == [True, False, True]
    assert copies(ids, [2.0, np.nan, 0.0]).tolist() == [2, 0, 0]


@pytest.mark.parametrize("weight", [-0.1, np.inf, 1.01])
def test_weights_that_are_no_probabilities_are_refused(weight):
    with pytest.raises(InputError, match="weight is"):
        keep(["a", "b"], [0.5, weight])


def test_copies_are_the_weight_on_average():
    ids = [f"r{i}" for i in range(20_000)]
    q = np.random.default_rng(0).random(20_000) * 3
    found = copies(ids, q, 1)
    assert set(np.unique(found - np.floor(q))) == {0, 1}
    fraction = q - np.floor(q)
    assert abs(found.sum() - q.sum()) < 4 * np.sqrt((fraction * (1 - fraction)).sum())
    assert (copies(ids, np.minimum(q, 1), 1) == keep(ids, np.minimum(q, 1), 1)).all()


@given(st.lists(st.floats(0, 3), min_size=1, max_size=60), st.integers(0, 5), st.integers(0, 100))
def test_systematic_takes_the_floor_or_the_ceiling_and_sums_to_the_sum(q, seed, extra):
    q = np.array(q)
    found = systematic(q, seed=seed)
    near = 1e-9
    assert (found >= np.floor(q - near)).all()
    assert (found <= np.ceil(q + near)).all()
    assert np.floor(q.sum() - near) <= found.sum() <= np.ceil(q.sum() + near)
    if q.sum() > 1e-3:
        assert systematic(q, seed=seed, total=extra).sum() == extra


@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 3))
def test_equal_weights_are_drawn_without_repeats_up_to_all(n, total, seed):
    found = systematic(np.full(n, 0.1), seed=seed, total=total)
    assert found.sum() == total
    assert found.min() >= total // n
    assert found.max() <= -(-total // n)


def test_every_cell_gets_its_number():
    rng = np.random.default_rng(0)
    cell = rng.integers(0, 50, 5000)
    q = rng.random(50)[cell]
    found = systematic(q, cell, seed=3)
    expected = np.bincount(cell, q)
    assert np.abs(np.bincount(cell, found) - expected).max() < 1
    words = np.column_stack([cell // 7, cell % 7])
    assert np.abs(np.bincount(cell, systematic(q, words, seed=3)) - expected).max() < 1
    # independent draws are not as close
    assert np.abs(np.bincount(cell, keep([str(i) for i in range(5000)], q)) - expected).max() > 2


def test_systematic_is_right_on_average():
    q = np.array([0.2, 0.7, 1.5, 0.0, 0.6])
    mean = np.mean([systematic(q, seed=seed) for seed in range(4000)], axis=0)
    assert np.abs(mean - q).max() < 0.03


def test_the_comb_has_no_error_of_sums():
    q = np.full(1_000_000, 0.1)
    assert comb(q, 0.5, 100_000).sum() == 100_000
    assert comb(q, 0.999999, 100_000).max() == 1
    assert (comb(np.ones(300_000), 0.3) == 1).all()


@pytest.mark.parametrize(
    "bad",
    [
        {"total": -1}, {"total": 2.5}, {"order": [1, 2]}, {"q": [0.0, 0.0, 0.0], "total": 3},
        {"q": [1e-320, 1e-320, 1e-320], "total": 2}, {"q": [1e308, 1e308, 1e308]}, {"q": [1e308, 1.0, 1.0], "total": 2},
    ],
)  # fmt: skip
def test_systematic_refuses(bad):
    with pytest.raises(InputError):
        systematic(**{"q": [0.5, 0.5, 0.5], **bad})


def test_copies_without_end_are_refused():
    with pytest.raises(InputError, match="so many copies"):
        copies(["a", "b"], [1e30, 1.0])
