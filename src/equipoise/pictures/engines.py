"""Who runs the blocks: threads of this process, or (elsewhere) many machines. An engine decides nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from equipoise.errors import UnknownNameError, did_you_mean, listed
from equipoise.pictures.block import run_block
from equipoise.pictures.reading import Reader, Row, rows_of
from equipoise.store.blocks import Block

if TYPE_CHECKING:
    from equipoise.pictures.passing import Work

Pending = Sequence[tuple[int, pa.Table]]
"""Numbers of blocks and their rows (``row_id``, ``image``), in order."""
Engine = Callable[["Work", Pending, Callable[[int], None]], Iterator[tuple[int, Block]]]
"""From the work, the blocks that are to be made and whom to tell of finished rows, to the blocks, in any order."""

ENGINES = {"local": "equipoise.pictures.engines:local", "ray": "equipoise.pictures.ray_engine:ray_data"}
"""Name to ``"module:function"``."""
WINDOW = 2
"""Batches that are decoded ahead of the model."""


def engine_of(name: str) -> Engine:
    """Return an engine by its name; UnknownNameError proposes a near one."""
    if name not in ENGINES:
        raise UnknownNameError(
            f"There is no engine '{name}'.{did_you_mean(str(name), ENGINES)}", f"Known: {listed(ENGINES)}.", value=name
        )
    module, _, attribute = ENGINES[name].partition(":")
    return getattr(import_module(module), attribute)


def local(work: Work, pending: Pending, tick: Callable[[int], None]) -> Iterator[tuple[int, Block]]:
    """Run the blocks here, one after the other; the threads read ahead over the end of a block."""
    with reader_of(work) as reader:
        ahead = reader.read(row for _, rows in pending for row in rows_of(rows))

        def read(rows: Sequence[Row]) -> Any:
            return islice(ahead, len(rows))

        for number, table in pending:
            rows = list(rows_of(table))
            yield (
                number,
                run_block(rows, work.encode, read, work.batch_size, width=work.width, judge=work.judge, tick=tick),
            )


def reader_of(work: Work) -> Reader:
    """Return the threads that read for a work."""
    return Reader(
        work.root, work.policy, work.prepare, workers=work.workers, ahead=WINDOW * work.batch_size + work.workers
    )
