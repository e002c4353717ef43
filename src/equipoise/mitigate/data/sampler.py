"""A sampler that turns weights into epochs: exact numbers, no row twice in a batch, one share for each rank.

A row that stands twice in a contrastive batch is a false negative, so rows are drawn *without* replacement: in an epoch
of ``num_samples`` rows each is drawn with a probability in proportion to its weight, and twice only where more rows are
asked for than the weights keep; its copies then lie an equal part of the epoch apart. An epoch is a systematic selection
(:func:`~.selection.systematic`) over rows sorted by weight, which are the cells, shuffled, and dealt to the ranks in
turn: the rows of one step on all ranks are neighbours, so that a batch over all ranks holds no row twice either.

``torch.multinomial``, and ``WeightedRandomSampler`` upon it, ends at 2^24 rows and draws with replacement. Nothing here
imports torch: the sampler is an iterable of row numbers with a length, which is what a ``DataLoader`` asks for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.errors import InputError
from equipoise.mitigate.data.selection import check_scale, checked_weights, comb

MOST_FOR_TORCH = 1 << 20
"""Rows up to which a ``WeightedRandomSampler`` is given."""

CODES = CHUNK = 1 << 16


class BalancedSampler:
    """Row numbers of an epoch, drawn by weight.

    Parameters
    ----------
    weights : array_like (n,)
        At least 0; a row of weight 0 or NaN (set aside) is never drawn. Those above 1 (importance weights) count
        relative to the largest.
    num_samples : int, optional
        Rows of an epoch over all ranks; rounded down to a multiple of ``world_size``, so that every rank has as many. All
        rows that the weights keep, ``sum(weights) / max(1, largest)``, when None.
    seed : int, at least 0
    rank, world_size : int
        Which part of each epoch this process draws.

    Attributes
    ----------
    num_samples : int
        Rows of an epoch over all ranks.
    kept : float
        Rows that the weights keep on average; up to this many, no row is repeated.
    repeats : float
        How often a row that is drawn comes in an epoch, on average; 1 where none is repeated.
    epoch : int

    Raises
    ------
    InputError
        For weights below 0 or all 0, and numbers out of range.

    Examples
    --------
    >>> sampler = BalancedSampler([1.0, 0.5, 0.5, 0.0])
    >>> len(sampler), sorted(sampler)[0]
    (2, 0)
    """

    def __init__(
        self, weights: ArrayLike, num_samples: int | None = None, seed: int = 0, rank: int = 0, world_size: int = 1
    ) -> None:
        found = np.nan_to_num(checked_weights(weights), nan=0.0)
        if found.ndim != 1 or not found.any():
            raise InputError(
                f"The weights have shape {found.shape} and sum to {found.sum():g}.",
                "Pass one weight a row, some of them above 0.",
            )
        self.seed, self.rank, self.world_size = (
            _at_least(name, value, least)
            for name, value, least in (("seed", seed, 0), ("rank", rank, 0), ("world_size", world_size, 1))
        )
        if self.rank >= self.world_size:
            raise InputError(f"rank {rank} of {world_size}.", "Ranks count from 0.", value=rank)
        self.weights = found
        self.weights.setflags(write=False)
        self.kept = float(found.sum() / max(1.0, float(found.max())))
        wanted = int(self.kept + 1e-9) if num_samples is None else _at_least("num_samples", num_samples, 1)
        self.num_samples = wanted - wanted % self.world_size
        if not self.num_samples:
            raise InputError(
                f"{wanted:,} rows of an epoch do not suffice for {self.world_size} ranks.",
                "Pass num_samples, or larger weights.",
                value=wanted,
            )
        check_scale(float(found.sum()), self.num_samples)
        self.epoch = 0
        self._codes = _codes(found)

    def __len__(self) -> int:
        """Return the rows of an epoch on this rank."""
        return self.num_samples // self.world_size

    def __iter__(self) -> Iterator[int]:
        """Yield the row numbers of this rank in the current epoch."""
        rows = self.drawn()[self.rank :: self.world_size]
        for start in range(0, len(rows), CHUNK):  # a list of 1e8 integers would take gigabytes
            yield from rows[start : start + CHUNK].tolist()

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch: the next iteration draws other rows, in another order."""
        self.epoch = _at_least("epoch", epoch, 0)

    @property
    def repeats(self) -> float:
        """How often a row that is drawn comes in an epoch, on average."""
        expected = np.minimum(1.0, self.weights * (self.num_samples / self.weights.sum())).sum()
        return max(1.0, float(self.num_samples / expected))

    def drawn(self, epoch: int | None = None) -> NDArray[np.int64]:
        """Return (num_samples,) int64 row numbers of an epoch in their order, over all ranks."""
        rng = np.random.default_rng([self.seed, self.epoch if epoch is None else _at_least("epoch", epoch, 0)])
        place = rng.permutation(self.weights.size)
        place = place[np.argsort(self._codes[place], kind="stable")]
        times = comb(self.weights[place], float(rng.random()), self.num_samples)
        taken = place[times > 0]
        times = times[times > 0]
        rows = np.repeat(taken, times)
        # copy j of k lies at (j + u) / k of the epoch, with one u a row: copies are 1 / k apart, all else is a shuffle
        first = np.repeat(np.cumsum(times) - times, times)
        copy = np.arange(rows.size) - first
        when = (copy + np.repeat(rng.random(taken.size), times)) / np.repeat(times, times)
        return rows[np.argsort(when, kind="stable")].astype(np.int64)

    def to_torch_sampler(self) -> Any:
        """Return torch's ``WeightedRandomSampler`` of the same weights: with replacement, for at most 2^20 rows.

        Raises
        ------
        InputError
            For more rows, several ranks, or where torch is not installed.
        """
        if self.weights.size > MOST_FOR_TORCH or self.world_size > 1:
            raise InputError(
                f"torch's sampler is given for one rank and {MOST_FOR_TORCH:,} rows, not {self.world_size} and {self.weights.size:,}.",
                "Pass this sampler itself to the DataLoader.",
            )
        from equipoise.models.torch_run import library

        torch = library("torch", "transformers")
        sampler = library("torch.utils.data", "transformers").WeightedRandomSampler
        generator = torch.Generator().manual_seed(self.seed)
        return sampler(self.weights.tolist(), self.num_samples, replacement=True, generator=generator)


def _codes(weights: NDArray[np.float64]) -> NDArray[np.uint16]:
    """Return the rank of each weight in 16 bits, which sort in linear time."""
    values, codes = np.unique(weights, return_inverse=True)
    if values.size > CODES:
        codes = codes * CODES // values.size
    return codes.astype(np.uint16)


def _at_least(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise InputError(f"{name} is {value!r}.", f"It is a whole number of at least {least}.", value=value)
    return int(value)
