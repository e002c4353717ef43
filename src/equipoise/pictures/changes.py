"""Which pictures have changed since a block was made: by size and time first, and by checksum where these differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from equipoise.data.image_policy import ImagePolicy
from equipoise.pictures.reading import NO_PATH, TIMED_OUT, Reader, Row, path_of, rows_of, state_of
from equipoise.progress import advance
from equipoise.store.blocks import Blocks

COLUMNS = ("size", "mtime_ns")


def discard_changed(
    blocks: Blocks, numbers: Sequence[int], root: Path | None, policy: ImagePolicy, workers: int
) -> tuple[int, list[int]]:
    """Drop the blocks in which a picture has other bytes than those that were decoded, or is there at last.

    No file is opened whose size and time are as they were. One that was only touched has its new time recorded.

    Returns
    -------
    (int, list of int)
        How many pictures changed, and the numbers of the blocks that were dropped.
    """
    suspects: list[tuple[int, int, Row]] = []
    for number in numbers:
        record = blocks.record(number)
        if record is not None:
            suspects += [(number, place, row) for place, row in _suspects(record, root)]
    if not suspects:
        return 0, []
    changed: dict[int, int] = {}
    touched: dict[int, dict[int, tuple[int, int]]] = {}
    with Reader(root, policy, None, workers=workers, ahead=2 * workers) as reader:
        found = reader.read(row for _, _, row in suspects)
        for done, ((number, place, _), picture) in enumerate(zip(suspects, found, strict=True)):
            record = blocks.record(number)
            assert record is not None
            # A picture that could not be decoded has both a checksum and a reason; the checksum decides.
            before = record["sha256"][place].as_py(), record["reason"][place].as_py()
            same = picture.sha256 == before[0] if before[0] else (picture.sha256, picture.reason) == before
            if not same:
                changed[number] = changed.get(number, 0) + 1
            elif (picture.size, picture.mtime_ns) != tuple(record[name][place].as_py() for name in COLUMNS):
                touched.setdefault(number, {})[place] = picture.size, picture.mtime_ns
            if done % 64 == 0:
                advance("checking pictures that were touched", done, len(suspects))
    for number, states in touched.items():
        if number not in changed:
            record = blocks.record(number)
            assert record is not None
            blocks.note(number, _with_states(record, states))
    for number in changed:
        blocks.discard(number)
    return sum(changed.values()), sorted(changed)


def _suspects(record: pa.Table, root: Path | None) -> list[tuple[int, Row]]:
    """Return the rows whose file is not as it was found, and those that could not be read."""
    sizes, times = (record[name].to_numpy() for name in COLUMNS)
    reasons, sums = record["reason"].to_pylist(), record["sha256"].to_pylist()
    out = []
    for place, row in enumerate(rows_of(record)):
        if reasons[place] == NO_PATH:
            continue
        size, mtime = state_of(path_of(row, root))
        unread = not sums[place] and reasons[place] != TIMED_OUT and size >= 0
        if unread or (size, mtime) != (sizes[place], times[place]):
            out.append((place, row))
    return out


def _with_states(record: pa.Table, states: dict[int, tuple[int, int]]) -> pa.Table:
    for column, name in enumerate(COLUMNS):
        values = np.array(record[name].to_numpy(), np.int64)
        for place, state in states.items():
            values[place] = state[column]
        record = record.set_column(record.column_names.index(name), name, pa.array(values))
    return record
