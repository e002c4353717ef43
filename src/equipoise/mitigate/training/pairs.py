"""Training pairs: which rows of a table can be used, and their pictures and captions as batches.

A picture that cannot be read is found before training begins, so that the batches do not depend on the moment at which it
is met. Held-out rows are refused by their mark, by their id, by the path of their picture and by its bytes.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from equipoise.data.image_policy import ImagePolicy
from equipoise.data.samples import Samples
from equipoise.data.splits import is_held_out
from equipoise.errors import InputError, LeakageError, listed
from equipoise.mitigate.training.pair_weights import PairWeights
from equipoise.pictures.encoding import default_workers
from equipoise.pictures.reading import Reader, Row
from equipoise.progress import advance
from equipoise.train.sampling import alike

AHEAD = 64
"""Pictures that are read ahead of the training."""
NO_CAPTION = "no caption"
REMEDY = "Train on other rows (--rows split=train)."


def held_out_rows(samples: Samples) -> NDArray[np.int64]:
    """Return the indices of the rows that are marked as held out; none where there is no split."""
    if "split" not in samples.roles:
        return np.zeros(0, np.int64)
    return np.flatnonzero([is_held_out(mark) for mark in samples.column("split")])


def refuse_held_out(samples: Samples, held_out: Samples | None, weights: PairWeights | None = None) -> None:
    """Raise LeakageError where rows that are held out would be trained on, or the weights were fitted on them."""
    marked = held_out_rows(samples)
    if marked.size:
        marks = sorted({str(samples.column("split")[row]) for row in marked})
        raise LeakageError(
            f"{marked.size} rows that would be trained on are marked {listed(marks)}.", REMEDY, value=int(marked.size)
        )
    if held_out is None:
        return
    ids = set(held_out.ids)
    shared = ids.intersection(samples.ids)
    if shared:
        raise LeakageError(
            f"{len(shared)} rows would be trained on and audited, the first of them '{min(shared)}'.", REMEDY,
            value=len(shared),
        )  # fmt: skip
    if weights is not None and (count := weights.fitted_on(held_out)):
        raise LeakageError(
            f"The weights were fitted on {count} of the rows that would be audited.",
            "Fit them on the training rows (equipoise balance --rows split=train).",
            value=count,
        )
    if "image" in held_out.roles:
        paths = {os.path.realpath(held_out.image_path(row)) for row in range(len(held_out))}
        twice = [row for row in range(len(samples)) if os.path.realpath(samples.image_path(row)) in paths]
        if twice:
            raise LeakageError(
                f"{len(twice)} pictures would be trained on and audited, the first of them that of row "
                f"'{samples.ids[twice[0]]}'.",
                "Put all rows of a picture into one split.",
                value=len(twice),
            )


@dataclass(frozen=True)
class Pairs:
    """Rows that are trained on, in the order of their ids.

    Attributes
    ----------
    ids, images, captions : list of str
        Row id, path of the picture as the table says it, caption.
    sha256 : list of str
        Of the picture's bytes.
    weights : ndarray (n,), float64
        Above 0.
    root : Path or None
        Folder of relative paths.
    """

    ids: list[str]
    images: list[str]
    captions: list[str]
    sha256: list[str]
    weights: NDArray[np.float64]
    root: Path | None
    apart: list[NDArray[np.int64]] = field(default_factory=list)

    def __post_init__(self) -> None:
        said = [" ".join(caption.split()) for caption in self.captions]
        self.apart.extend(np.unique(np.asarray(texts), return_inverse=True)[1] for texts in (self.sha256, said))

    def __len__(self) -> int:
        return len(self.ids)


def checked_rows(samples: Samples, weights: PairWeights, prepare: Callable[[Any], Any]) -> pa.Table:
    """Return what becomes of each row: ``row_id``, ``sha256``, ``weight``, ``status`` (ok, zero, set_aside), ``reason``.

    Every picture is decoded once; of rows without weight none is.
    """
    images, captions = list(samples.column("image")), list(samples.column("caption"))
    reasons = list(weights.reasons)
    for row, caption in enumerate(captions):
        reasons[row] = reasons[row] or ("" if str(caption or "").strip() else NO_CAPTION)
    wanted: dict[str, int] = {}
    for row, image in enumerate(images):
        if not reasons[row]:
            wanted.setdefault(str(image), row)
    found: dict[str, tuple[str, str]] = {}
    ids = samples.ids
    with reader(samples.root, prepare) as reading:
        for done, picture in enumerate(reading.read(Row(ids[row], image) for image, row in wanted.items())):
            advance("checking pictures", done + 1, len(wanted))
            found[picture.row.image] = (picture.sha256, picture.reason)
    sums = [""] * len(samples)
    for row, image in enumerate(images):
        if not reasons[row]:
            sums[row], reasons[row] = found[str(image)]
    usable = np.asarray([not reason for reason in reasons], bool)
    status = np.where(usable, np.where(weights.weights > 0, "ok", "zero"), "set_aside")
    return pa.table({
        "row_id": pa.array(ids, pa.string()), "sha256": pa.array(sums, pa.string()),
        "weight": pa.array(weights.weights, pa.float64(), mask=~usable), "status": pa.array(status.tolist(), pa.string()),
        "reason": pa.array(reasons, pa.string()),
    })  # fmt: skip


def pairs_of(samples: Samples, rows: pa.Table) -> Pairs:
    """Return the pairs that are trained on: the rows whose status is ``ok``.

    Raises
    ------
    InputError
        If there are none.
    """
    kept = np.flatnonzero([status == "ok" for status in rows["status"].to_pylist()])
    if not kept.size:
        raise InputError(
            f"No pair can be trained on: {listed(f'{count} {why}' for why, count in set_aside(rows).items())}.",
            "Check the pictures, the captions and the weights.",
        )
    images, captions = list(samples.column("image")), list(samples.column("caption"))
    ids, sums = samples.ids, rows["sha256"].to_pylist()
    return Pairs(
        [ids[row] for row in kept], [str(images[row]) for row in kept], [str(captions[row]) for row in kept],
        [sums[row] for row in kept], rows["weight"].to_numpy(zero_copy_only=False)[kept], samples.root,
    )  # fmt: skip


def set_aside(rows: pa.Table) -> dict[str, int]:
    """Return the reasons for which rows were set aside, with their counts."""
    return dict(sorted(Counter(reason for reason in rows["reason"].to_pylist() if reason).items()))


def refuse_same_pictures(rows: pa.Table, held_out: Samples | None) -> None:
    """Raise LeakageError if a picture of a held-out row has the bytes of one that is trained on."""
    if held_out is None or "image" not in held_out.roles:
        return
    known = {sha256 for sha256 in rows["sha256"].to_pylist() if sha256}
    images = dict.fromkeys(str(image) for image in held_out.column("image"))
    with reader(held_out.root, None) as reading:
        for done, picture in enumerate(reading.read(Row(image, image) for image in images)):
            advance("checking held-out pictures", done + 1, len(images))
            if picture.sha256 in known:
                raise LeakageError(
                    f"The picture '{picture.row.image}' would be audited, and one with the same bytes trained on.",
                    "Put all copies of a picture into one split.",
                    value=picture.row.image,
                )


def reader(root: Path | None, prepare: Callable[[Any], Any] | None) -> Reader:
    """Return the threads that read pictures."""
    return Reader(root, ImagePolicy(), prepare, workers=default_workers(), ahead=AHEAD)


@dataclass(frozen=True)
class Batch:
    """What the loss takes of a batch.

    Attributes
    ----------
    rows : list of int
        Places in the pairs.
    pixels : ndarray (b, h, w, 3), uint8
    same : ndarray (b, b), bool
        Pairs of rows with one picture or one caption.
    """

    rows: list[int]
    pixels: NDArray[np.uint8]
    same: NDArray[np.bool_]


def loader(pairs: Pairs, prepare: Callable[[Any], Any]) -> Callable[[Iterator[Sequence[int]]], Iterator[Batch]]:
    """Return what reads the pictures of batches, ahead of the training.

    A picture that changed since it was checked ends the run with InputError.
    """

    def load(batches: Iterator[Sequence[int]]) -> Iterator[Batch]:
        asked: deque[Sequence[int]] = deque()

        def rows() -> Iterator[Row]:
            for batch in batches:
                asked.append(batch)
                yield from (Row(pairs.ids[row], pairs.images[row]) for row in batch)

        with reader(pairs.root, prepare) as reading:
            pictures = reading.read(rows())
            for first in pictures:
                batch = asked.popleft()
                seen = [first, *islice(pictures, len(batch) - 1)]
                for row, picture in zip(batch, seen, strict=True):
                    if picture.reason or picture.sha256 != pairs.sha256[row]:
                        raise InputError(
                            f"The picture of row '{pairs.ids[row]}' ('{pairs.images[row]}') changed during the training"
                            f"{f': {picture.reason}' if picture.reason else ''}.",
                            "Leave the pictures alone while a model is trained on them; train again (--overwrite).",
                            value=pairs.ids[row],
                        )
                pixels = np.stack([picture.content for picture in seen])
                yield Batch(list(batch), pixels, alike(batch, pairs.apart))

    return load


def digest_of(samples: Samples, weights: PairWeights) -> str:
    """Return a SHA-256 of the rows, their pictures' paths, captions and weights: what decides the batches."""
    digest = hashlib.sha256()
    for name in ("row_id", "image", "caption"):
        for text in samples.column(name):
            digest.update(
                f"{len(str(text).encode('utf-8', 'surrogateescape'))}:{text}".encode("utf-8", "surrogateescape")
            )
    digest.update(np.ascontiguousarray(weights.weights).data)
    digest.update("\n".join(weights.reasons).encode())
    return digest.hexdigest()
