"""Batches from the epochs of a sampler, one after the other, from any point on.

The end of an epoch and the beginning of the next share a batch, so that no row is left out and all batches are of one
size. Rows that are alike (one picture, one caption) are kept apart: the second waits for the next batch. Where so many
wait that there is no end to it, they are taken all the same, and the loss has to know (see ``same`` in the losses).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from equipoise.errors import InputError

Position = dict[str, Any]
"""Where a stream of batches stands, as JSON values."""


class BatchStream(Protocol):
    """What the loop asks of batches: the same ones again from any position."""

    def after(self, position: Position | None) -> Iterator[tuple[list[int], Position]]:
        """Yield (rows of a batch, position behind it), without end, from a position (None: from the beginning)."""
        ...


class Batches:
    """Batches of equal size over the epochs of a sampler.

    Parameters
    ----------
    sampler : iterable of int
        Rows of an epoch, in their order; ``set_epoch(e)``, where it has that, is called before each. The same epoch must
        give the same rows again.
    batch_size : int
    apart : sequence of arrays (n,), int
        Rows with an equal number in one of them are kept apart; negative numbers equal nothing.

    Raises
    ------
    InputError
        If the batch is larger than the rows of the first epoch that differ.
    """

    def __init__(self, sampler: Any, batch_size: int, *, apart: Sequence[NDArray[np.integer[Any]]] = ()) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
            raise InputError(
                f"The batch size is {batch_size!r}.", "Give a whole number of 1 or more.", value=batch_size
            )
        self.sampler, self.batch_size = sampler, int(batch_size)
        self.apart = [np.asarray(codes) for codes in apart]
        rows = self._epoch(0)
        different = np.unique(rows).size
        if different < batch_size:
            raise InputError(
                f"A batch of {batch_size} rows is larger than the {different} rows of an epoch.",
                f"Use a batch of at most {different}.",
                value=batch_size,
            )
        self.epoch_rows = len(rows)

    def after(self, position: Position | None = None) -> Iterator[tuple[list[int], Position]]:
        """Yield (rows of a batch, position behind it), without end."""
        position = position or {"epoch": 0, "offset": 0, "waiting": []}
        epoch, offset = int(position["epoch"]), int(position["offset"])
        waiting = deque(int(row) for row in position["waiting"])
        order = self._epoch(epoch)
        while True:
            batch = _Batch(self.apart, self.batch_size)
            late = deque(row for row in waiting if not batch.take(row))
            while not batch.full:
                if len(late) >= self.batch_size:
                    batch.force(late.popleft())
                    continue
                while offset >= len(order):
                    epoch, offset = epoch + 1, 0
                    order = self._epoch(epoch)
                row = int(order[offset])
                offset += 1
                if not batch.take(row):
                    late.append(row)
            waiting = late
            yield batch.rows, {"epoch": epoch, "offset": offset, "waiting": list(waiting)}

    def _epoch(self, epoch: int) -> NDArray[np.int64]:
        if hasattr(self.sampler, "set_epoch"):
            self.sampler.set_epoch(epoch)
        rows = np.fromiter(self.sampler, np.int64)
        if not rows.size:
            raise InputError("The sampler gives no rows.", "Give some rows a weight above zero.")
        return rows


class _Batch:
    """A batch that fills up with rows that differ."""

    def __init__(self, apart: Sequence[NDArray[Any]], size: int) -> None:
        self.rows: list[int] = []
        self._apart, self._size = apart, size
        self._seen: list[set[int]] = [set() for _ in range(len(apart) + 1)]

    @property
    def full(self) -> bool:
        return len(self.rows) >= self._size

    def take(self, row: int) -> bool:
        """Add a row and return True, unless the batch is full or holds one that is alike."""
        marks = self._marks(row)
        if self.full or any(mark >= 0 and mark in seen for mark, seen in zip(marks, self._seen, strict=True)):
            return False
        self.force(row)
        return True

    def force(self, row: int) -> None:
        """Add a row whatever the batch holds."""
        self.rows.append(row)
        for mark, seen in zip(self._marks(row), self._seen, strict=True):
            seen.add(mark)

    def _marks(self, row: int) -> list[int]:
        return [row, *(int(codes[row]) for codes in self._apart)]


def alike(rows: Sequence[int], apart: Sequence[NDArray[np.integer[Any]]]) -> NDArray[np.bool_]:
    """Return (b, b) bool: which rows of a batch are one row, or have an equal number (not negative) in an array of ``apart``."""
    index = np.asarray(rows, np.int64)
    same = index[:, None] == index[None, :]
    for codes in apart:
        mine = np.asarray(codes)[index]
        same |= (mine[:, None] == mine[None, :]) & (mine[:, None] >= 0)
    return same
