"""The pictures of a table through a model: what is finished is kept, what is missing or has changed is made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from equipoise.data.duplicates import duplicate_notes
from equipoise.data.image_policy import ImagePolicy
from equipoise.data.samples import Samples
from equipoise.data.vectors import Vectors
from equipoise.errors import EmbeddingError, InputError, listed
from equipoise.models.guard import prove
from equipoise.pictures.block import Encode, Judge, out_of_memory
from equipoise.pictures.changes import discard_changed
from equipoise.pictures.engines import Engine, engine_of
from equipoise.pictures.reading import Reader, rows_of
from equipoise.progress import advance
from equipoise.schema import plain
from equipoise.store.blocks import Blocks, MemoryBlocks, joined
from equipoise.store.filling import Filling
from equipoise.store.growth import Plan, planned, rows_table
from equipoise.store.opening import index_of

PROOF = 2
"""Different pictures on which a model is tried before it is trusted."""
SEARCHED = 256
"""Rows among which they are looked for."""


@dataclass(frozen=True)
class Work:
    """All that decides what a picture becomes, and what is known of the model.

    Attributes
    ----------
    model : Encoder or Classifier
        Is tried on two pictures before the first block.
    ref, name : str
    fingerprint : mapping
        Of the model.
    encode : callable
        From pictures and their names to checked (n, width) float32 vectors.
    width : int
    prepare : callable
        From a PIL RGB picture to what ``encode`` takes; runs in the decoding threads.
    preprocessing : mapping
        JSON values for the manifest.
    judge : callable, optional
        From vectors to why each row is set aside after all.
    policy : ImagePolicy
    batch_size, shard_rows, workers : int
    engine : str
    root : Path, optional
        Folder against which relative paths are resolved.
    parameters : mapping
        For the manifest, and part of what decides the run.
    remake : callable, optional
        Makes an equal work in another process, where the model was loaded by a reference.
    """

    model: Any
    ref: str
    name: str
    fingerprint: Mapping[str, Any]
    encode: Encode
    width: int
    prepare: Any
    preprocessing: Mapping[str, Any]
    judge: Judge | None = None
    policy: ImagePolicy = field(default_factory=ImagePolicy)
    batch_size: int = 64
    shard_rows: int = 1024
    workers: int = 1
    engine: str = "local"
    root: Path | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    remake: Callable[[], Work] | None = None

    def __post_init__(self) -> None:
        for name in ("batch_size", "shard_rows", "workers", "width"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
                raise InputError(f"{name} is {value!r}.", "Give a whole number of 1 or more.", value=value)

    def recorded(self) -> dict[str, Any]:
        """Return what decides the vectors, as JSON values: another run with other values is another store."""
        from PIL import __version__ as pillow

        found = {
            "batch_size": self.batch_size,
            "encoder": self.fingerprint,
            "images": self.policy.to_dict(),
            "shard_rows": self.shard_rows,
            "versions": {"pillow": pillow},
            **self.parameters,
        }
        if self.preprocessing and self.fingerprint.get("preprocessing") != dict(self.preprocessing):
            found["preprocessing"] = dict(self.preprocessing)
        return plain(found)

    def manifest_preprocessing(self) -> dict[str, Any]:
        """Return how pictures are prepared, as a manifest records it."""
        return plain({"picture": self.preprocessing, "policy": self.policy.to_dict()})


@dataclass(frozen=True)
class Passed:
    """What the pictures of a table became.

    Attributes
    ----------
    samples : Samples
        As given, with the column ``sha256``.
    reasons : list of str, (rows,)
        Why a row is set aside (``""``: it is not), in the order of ``samples``.
    index : ndarray (rows,), int64
        Row of ``vectors`` that belongs to each row; -1 where there is none.
    vectors : Vectors
        (used, width) float32; on disk where there is a store.
    notes : list of str
        What happened that a person should know.
    """

    samples: Samples
    reasons: list[str]
    index: NDArray[np.int64]
    vectors: Vectors
    notes: list[str]


def through(work: Work, samples: Samples, *, store: Path | None = None, overwrite: bool = False) -> Passed:
    """Put the pictures of a table through a model, in memory or into a store.

    A store goes on where it stopped; rows that are new are added; blocks in which a picture changed are made again. Of a
    finished store no picture is opened.

    Raises
    ------
    InputError
        If the table names no pictures, many of them hang, or the store cannot be written.
    EmbeddingError
        If no picture can be used, or the model's answer cannot.
    OutputExistsError, LockedError, ChecksumError, MissingFileError
        If the store holds another run or other rows, another process holds it, or a file of it was edited or deleted.
    """
    if "image" not in samples.roles:
        raise InputError(
            f"'{work.name}' takes pictures, and no column of image paths was named.",
            "Name the column of image paths: image=... (--image).",
            value=work.name,
        )
    engine = engine_of(work.engine)
    work = replace(work, root=samples.root)
    if store is None:
        plan, blocks = planned(rows_table(samples), work.shard_rows, None, Path()), MemoryBlocks()
        notes = _made(work, plan, blocks, engine)
        return _passed(samples, plan, blocks, [*notes, *_halved(plan, blocks, work)[1]])
    with Filling(store, samples, work.recorded(), work.width, work.shard_rows, overwrite=overwrite) as filling:
        plan, blocks = filling.plan, filling.blocks
        pictures, dropped = discard_changed(blocks, plan.blocks, work.root, work.policy, work.workers)
        if any(blocks.record(number) is None for number in plan.blocks):
            filling.begin()
        notes = _made(work, plan, blocks, engine)
        if dropped:
            notes.append(_changed(pictures, len(dropped), sum(plan.block_rows[number] for number in dropped)))
        halved, said = _halved(plan, blocks, work)
        passed = _passed(samples, plan, blocks, [*notes, *said])
        model_notes = list(getattr(work.model, "notes", ()))
        filling.finish(
            encoder=work.ref,
            fingerprint=plain(work.fingerprint),
            preprocessing=work.manifest_preprocessing(),
            parameters={
                "name": work.name,
                "batch_size": work.batch_size,
                "shard_rows": work.shard_rows,
                **({"smaller_batches": halved} if halved else {}),
                **({"notes": model_notes} if model_notes else {}),
                **work.parameters,
            },
        )
        return passed


def _made(work: Work, plan: Plan, blocks: Blocks, engine: Engine) -> list[str]:
    """Make the blocks that are missing."""
    pending = [(number, rows) for number, rows in plan if blocks.record(number) is None]
    notes: list[str] = list(getattr(work.model, "notes", ()))
    if not pending:
        return notes
    notes += _prove(work, pending)
    done = len(plan) - sum(len(rows) for _, rows in pending)
    advance("pictures", done, len(plan))

    def tick(count: int) -> None:
        nonlocal done
        done += count
        advance("pictures", done, len(plan))

    for number, block in engine(work, pending, tick):
        blocks.write(number, block)
    return notes


def _prove(work: Work, pending: Sequence[tuple[int, pa.Table]]) -> list[str]:
    """Try the model on the first different pictures (a wrong order of a batch would mix people up); say if that was not possible."""
    found: dict[str, Any] = {}
    with Reader(work.root, work.policy, _whole, workers=1, ahead=PROOF) as reader:
        rows = (row for _, table in pending for row in rows_of(table))
        for picture, _ in zip(reader.read(rows), range(SEARCHED), strict=False):
            if not picture.reason:
                found.setdefault(picture.sha256, picture.content)
            if len(found) == PROOF:
                break
    if len(found) < 2:
        return [
            f"'{work.name}' was not tried before it was used: the first {SEARCHED} rows hold no two different pictures."
        ]
    try:
        prove(work.model, list(found.values()))
    except Exception as error:
        if not out_of_memory(error):
            raise
        raise EmbeddingError(
            f"There is not enough memory for '{work.name}' to look at {len(found)} pictures.",
            "Use a smaller model, smaller pictures, or another device.",
            value=work.name,
        ) from error
    return []


def _whole(image: Any) -> Any:
    return image


def _passed(samples: Samples, plan: Plan, blocks: Blocks, notes: list[str]) -> Passed:
    record = joined([found for number in plan.blocks if (found := blocks.record(number)) is not None])
    reasons = record["reason"].to_pylist()
    usable = np.array([not reason for reason in reasons], bool)
    if not usable.any():
        counts = listed(f"{count:,} {reason}" for reason, count in Counter(reasons).most_common())
        root = f"Relative paths start from '{samples.root}'. " if samples.root is not None else ""
        raise EmbeddingError(
            f"No picture of {len(reasons):,} can be used: {counts}.",
            f"{root}Check the column of image paths, and the files.",
            value=reasons[:10],
        )
    place = index_of(samples.table["row_id"], record["row_id"].combine_chunks())
    within = np.where(usable, np.cumsum(usable) - 1, -1)
    table = samples.table.drop_columns(["sha256"]) if "sha256" in samples.table.column_names else samples.table
    sums = record["sha256"].take(pa.array(place)).combine_chunks()
    first = len(table.column_names) - len(samples.attributes)
    table = table.add_column(first, "sha256", sums)
    notes = [*notes, *_repeated(samples, table.filter(pa.array(usable[place])))]
    return Passed(
        samples=replace(samples, table=table),
        reasons=[reasons[row] for row in place],
        index=within[place],
        vectors=blocks.vectors(),
        notes=list(dict.fromkeys(notes)),
    )


def _repeated(samples: Samples, table: pa.Table) -> tuple[str, ...]:
    """Say which pictures stand in two splits, or twice with different labels or groups."""
    labels = [*(["label"] if "label" in table.column_names else []), *samples.attributes]
    unknown = {name: samples.vocabulary.attributes[name].unknown for name in samples.attributes}
    return duplicate_notes(table, labels=labels, unknown=unknown)


def _halved(plan: Plan, blocks: Blocks, work: Work) -> tuple[dict[str, int], list[str]]:
    """Return block to batch size, and the sentence, where memory forced smaller batches."""
    sizes = {f"{number:05d}": blocks.batch_size(number) for number in plan.blocks}
    small = {number: size for number, size in sizes.items() if size < work.batch_size}
    if not small:
        return {}, []
    return small, [
        f"Memory did not hold batches of {work.batch_size}: {len(small)} of {len(sizes)} blocks were made with batches down "
        f"to {min(small.values())}."
    ]


def _changed(pictures: int, blocks: int, rows: int) -> str:
    have = "picture has" if pictures == 1 else "pictures have"
    were = "block was" if blocks == 1 else "blocks were"
    return f"{pictures:,} {have} changed: {blocks:,} {were} made again ({rows:,} rows)."
