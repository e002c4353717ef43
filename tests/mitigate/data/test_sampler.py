"""The sampler: exact, without replacement, disjoint over ranks, the same each time, another each epoch."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.errors import InputError
from equipoise.mitigate.data.sampler import BalancedSampler

WEIGHTS = np.array([0.25, 0.5, 1.0, 0.0, np.nan])[np.random.default_rng(0).integers(0, 5, 4000)]


def test_an_epoch_has_the_kept_rows_each_once():
    sampler = BalancedSampler(WEIGHTS)
    rows = list(sampler)
    assert all(type(row) is int for row in rows[:5])
    assert len(rows) == len(sampler) == sampler.num_samples == int(np.nansum(WEIGHTS))
    assert len(set(rows)) == len(rows)
    assert (WEIGHTS[rows] > 0).all()
    assert sampler.repeats == pytest.approx(1, abs=1e-9)
    for weight in (0.25, 0.5, 1.0):  # every stretch of one weight gets its number, but for less than one row
        wanted = (WEIGHTS == weight).sum() * weight * sampler.num_samples / np.nansum(WEIGHTS)
        assert abs((WEIGHTS[rows] == weight).sum() - wanted) < 1


def test_rows_come_as_often_as_they_weigh():
    weights = np.array([0.1, 0.2, 0.3, 0.9, 1.0, 0.5])
    sampler = BalancedSampler(weights, num_samples=2)
    times = sum(np.bincount(sampler.drawn(epoch), minlength=6) for epoch in range(6000)) / 6000
    assert np.abs(times - weights * 2 / weights.sum()).max() < 0.03


@given(
    st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0, 3.0]), min_size=5, max_size=80).filter(any),
    st.integers(1, 5),
    st.integers(8, 150),
)
@settings(max_examples=60)
def test_ranks_split_an_epoch(weights, world, asked):
    ranks = [BalancedSampler(weights, asked, seed=3, rank=rank, world_size=world) for rank in range(world)]
    for rank in ranks:
        rank.set_epoch(2)
    drawn = ranks[0].drawn()
    parts = [list(rank) for rank in ranks]
    assert {len(part) for part in parts} == {len(ranks[0])}
    assert len(drawn) == asked - asked % world
    assert sorted(sum(parts, [])) == sorted(drawn.tolist())
    together = [row for step in zip(*parts, strict=True) for row in step]
    assert together == drawn.tolist()  # the rows of one step on all ranks are neighbours
    if asked <= ranks[0].kept:
        assert len(set(drawn.tolist())) == len(drawn)  # so that no row is on two ranks


def test_epochs_differ_and_are_the_same_each_time():
    one, two = BalancedSampler(WEIGHTS, seed=7), BalancedSampler(WEIGHTS, seed=7)
    epochs = []
    for epoch in range(3):
        one.set_epoch(epoch)
        two.set_epoch(epoch)
        epochs.append(list(one))
        assert list(two) == epochs[-1] == one.drawn(epoch).tolist()
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert set(epochs[0]) != set(epochs[1])
    assert list(BalancedSampler(WEIGHTS, seed=8)) != epochs[0]


def test_repeats_lie_apart():
    weights = np.ones(1000)
    sampler = BalancedSampler(weights, num_samples=3500)
    rows = sampler.drawn()
    assert sampler.repeats == pytest.approx(3.5)
    assert sorted(set(np.bincount(rows))) == [3, 4]
    place = np.full(1000, -1)
    nearest = len(rows)
    for i, row in enumerate(rows.tolist()):
        if place[row] >= 0:
            nearest = min(nearest, i - place[row])
        place[row] = i
    assert nearest > 3500 / 4 - 200  # a batch of 512 never holds a row twice


def test_importance_weights_count_relative_to_the_largest():
    weights = np.array([4.0] * 10 + [1.0] * 40)
    sampler = BalancedSampler(weights)
    assert sampler.kept == sampler.num_samples == 20
    rows = sampler.drawn()
    assert len(set(rows.tolist())) == 20
    assert (rows < 10).sum() == 10
    more = BalancedSampler(weights, num_samples=40)
    assert more.repeats == pytest.approx(40 / (10 + 40 * 0.5))
    assert (more.drawn() < 10).sum() == 20


def test_the_order_within_an_epoch_is_a_shuffle():
    weights = np.ones(5000)
    rows = BalancedSampler(weights).drawn()
    assert sorted(rows.tolist()) == list(range(5000))
    assert abs(np.corrcoef(rows, np.arange(5000))[0, 1]) < 0.06


def test_many_different_weights():
    weights = np.random.default_rng(0).random(100_000)
    rows = BalancedSampler(weights).drawn()
    assert len(set(rows.tolist())) == len(rows) == int(weights.sum())
    assert weights[rows].mean() == pytest.approx((weights**2).sum() / weights.sum(), abs=0.003)


@pytest.mark.parametrize(
    "bad",
    [
        {"weights": [0.0, np.nan]}, {"weights": []}, {"weights": [[1.0]]}, {"weights": [-1.0, 1.0]}, {"num_samples": 0},
        {"num_samples": 2.5}, {"rank": 1}, {"world_size": 0}, {"seed": -1}, {"seed": 0.5}, {"num_samples": 1, "world_size": 2},
        {"weights": [0.2, 0.2]}, {"weights": [1e-320] * 3, "num_samples": 2}, {"weights": [1e308] * 3},
        {"weights": [1e308] * 3, "num_samples": 2},
    ],
)  # fmt: skip
def test_what_cannot_be_sampled_is_refused(bad):
    with pytest.raises(InputError):
        BalancedSampler(**{"weights": [1.0, 1.0], **bad})


def test_tiny_weights_count_relative_to_one_another():
    sampler = BalancedSampler([1e-90, 1e-90, 0.0, 1e-90], num_samples=2)
    assert len(list(sampler)) == len(sampler) == 2
    assert 2 not in list(sampler)


def test_it_samples_for_a_data_loader():
    torch = pytest.importorskip("torch")
    from torch.utils.data import DataLoader, TensorDataset

    sampler = BalancedSampler(WEIGHTS, num_samples=512, seed=1)
    loader = DataLoader(TensorDataset(torch.arange(len(WEIGHTS))), batch_size=64, sampler=sampler)
    assert len(loader) == 8
    seen = torch.cat([batch for (batch,) in loader]).tolist()
    assert seen == sampler.drawn().tolist()


def test_torchs_own_sampler_on_request():
    pytest.importorskip("torch")
    sampler = BalancedSampler(WEIGHTS, num_samples=1000, seed=1)
    own = sampler.to_torch_sampler()
    rows = list(own)
    assert len(rows) == 1000
    assert (WEIGHTS[rows] > 0).all()
    assert list(sampler.to_torch_sampler()) == rows
    with pytest.raises(InputError, match="itself"):
        BalancedSampler(WEIGHTS, world_size=2).to_torch_sampler()
    with pytest.raises(InputError, match="itself"):
        BalancedSampler(np.ones((1 << 20) + 1)).to_torch_sampler()


def test_torch_is_not_imported():
    code = (
        "import sys; from equipoise.mitigate.data.sampler import BalancedSampler as B; list(B([1., .5, .5]));"
        "assert not {'torch', 'pandas', 'scipy.stats'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
