"""One block of rows through a model: the same rows give the same bytes, whoever runs it.

Batches are the next ``batch_size`` usable pictures inside the block, so that they depend on nothing outside of it.

Notation: u usable rows, d columns of a vector.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from equipoise.errors import EmbeddingError
from equipoise.pictures.reading import Picture, Row
from equipoise.store.blocks import RECORD, Block

Encode = Callable[[list[Any], list[str]], NDArray[np.float32]]
"""From pictures, as the model takes them, and what messages call them, to checked (n, d) float32 vectors."""
Read = Callable[[Sequence[Row]], Iterable[Picture]]
Judge = Callable[[NDArray[np.float32]], Sequence[str]]
"""From vectors to why each row is set aside after all (``""``: it is not)."""


def run_block(
    rows: Sequence[Row],
    encode: Encode,
    read: Read,
    batch_size: int,
    *,
    width: int,
    judge: Judge | None = None,
    tick: Callable[[int], None] | None = None,
) -> Block:
    """Put the pictures of a block through a model.

    Parameters
    ----------
    rows : sequence of Row
    encode : callable
        The model; what its vectors mean (embeddings, logits) is nothing to us.
    read : callable
        From rows to their pictures, in order.
    batch_size : int
        Pictures a batch; halved for the rest of the block where memory does not hold them, which is recorded.
    width : int
        d.
    judge : callable, optional
        Says which vectors cannot be used.
    tick : callable, optional
        Told how many rows are done since it was last told.

    Returns
    -------
    Block

    Raises
    ------
    EmbeddingError
        If the model fails, answers something else than it promises, or has no memory for one picture.
    """
    found: list[Picture] = []
    batch: list[int] = []
    reasons: list[str] = []
    parts: list[NDArray[np.float32]] = []
    size, told = batch_size, 0

    def flush() -> None:
        nonlocal size, told
        while batch:
            here, contents = batch[:size], [found[place].content for place in batch[:size]]
            vectors = _encoded(encode, contents, [repr(found[place].row.row_id) for place in here])
            if vectors is None:
                size = _halved(size, len(here), found[here[0]])
                continue
            aside = np.array([bool(reason) for reason in _judged(judge, vectors, reasons, here)], bool)
            parts.append(vectors[~aside])
            for place in here:
                found[place] = _without_content(found[place])
            del batch[: len(here)]
        if tick is not None:
            tick(len(found) - told)
        told = len(found)

    for picture in read(rows):
        found.append(picture)
        reasons.append(picture.reason)
        if not picture.reason:
            batch.append(len(found) - 1)
        if len(batch) >= size:
            flush()
    flush()
    if [picture.row for picture in found] != list(rows):
        raise RuntimeError(f"{len(rows)} rows went into a block and {len(found)} came out, or in another order")
    return Block(
        record=pa.Table.from_arrays(
            [
                pa.array([picture.row.row_id for picture in found], pa.string()),
                pa.array([picture.row.image for picture in found], pa.string()),
                pa.array([picture.sha256 for picture in found], pa.string()),
                pa.array(reasons, pa.string()),
                pa.array([picture.size for picture in found], pa.int64()),
                pa.array([picture.mtime_ns for picture in found], pa.int64()),
            ],
            schema=RECORD,
        ),
        vectors=np.concatenate([np.empty((0, width), np.float32), *parts]),
        batch_size=size,
    )


def _encoded(encode: Encode, contents: list[Any], names: list[str]) -> NDArray[np.float32] | None:
    """Return the vectors of a batch, None where memory does not hold it."""
    try:
        return encode(contents, names)
    except Exception as error:  # somebody's model may fail in any way
        if not out_of_memory(error):
            raise
    # After the error is gone: its traceback holds the tensors that filled the memory.
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def out_of_memory(error: BaseException) -> bool:
    """Tell whether a model failed for want of memory, on the machine or on its accelerator."""
    return isinstance(error, MemoryError) or (
        "out of memory" in str(error).lower() or type(error).__name__ == "OutOfMemoryError"
    )


def _halved(size: int, count: int, first: Picture) -> int:
    if count == 1:
        raise EmbeddingError(
            f"There is not enough memory for one picture ({first.row.row_id!r}).",
            "Use a smaller model, smaller pictures, or another device.",
            value=first.row.row_id,
        )
    return (min(size, count) + 1) // 2


def _judged(judge: Judge | None, vectors: NDArray[np.float32], reasons: list[str], here: list[int]) -> list[str]:
    said = list(judge(vectors)) if judge is not None else [""] * len(here)
    for place, reason in zip(here, said, strict=True):
        reasons[place] = reason
    return said


def _without_content(picture: Picture) -> Picture:
    return Picture(picture.row, None, picture.sha256, picture.reason, picture.size, picture.mtime_ns)
