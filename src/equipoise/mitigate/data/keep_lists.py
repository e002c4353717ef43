"""Lists of the rows that are kept, and a filter for WebDataset: both by the hash of :mod:`.selection`, without state."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from equipoise.data.batch_files import Paths, is_text, row_files
from equipoise.data.cell_stream import batches, layout_columns
from equipoise.data.layout import Layout
from equipoise.errors import InputError, MissingColumnError, did_you_mean, expect, listed
from equipoise.mitigate.data.selection import copies_of, ids_of, keep, uniform
from equipoise.protocols import DataMitigation
from equipoise.store.files import atomic_write
from equipoise.store.inputs import refuse_inputs
from equipoise.store.parquet_stream import write_stream

FORMATS = {".txt": "txt", ".jsonl": "jsonl", ".parquet": "parquet", ".pq": "parquet"}

MOST_PATTERNS = 1 << 16
"""Different tags whose weight a filter remembers."""

Tags = Callable[[Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True)
class Listed:
    """What was listed: ``lines`` exceed ``rows_kept`` where weights above 1 ask for copies."""

    path: Path
    rows_in: int
    rows_kept: int
    lines: int


def write_list(
    src: Paths,
    dst: str | Path,
    mitigation: DataMitigation | None = None,
    *,
    id: str | None = None,
    columns: Sequence[str] = (),
    weight: str = "m4_weight",
    seed: int = 0,
    format: str | None = None,
) -> Listed:
    """Write the ids (or URLs) of the rows that are kept, one a line, in the order of the table.

    A row of a weight above 1 is listed once a copy. With ``id`` the rows that are listed are the same for every order
    and every division of the table; without it a row is drawn by its number, so that another order draws other rows.

    Parameters
    ----------
    src : path or sequence of paths
        As for :func:`~.weights_file.write_weights`, or what it wrote.
    dst : path
    mitigation : DataMitigation, optional
        Whose weights; when None the column ``weight`` of the table.
    id : str, optional
        Column of the ids; the number of the row, from 1, when None.
    columns : sequence of str
        Further columns of a list as jsonl or Parquet, as the captions of the images.
    weight : str
    seed : int
    format : {"txt", "jsonl", "parquet"}, optional
        By the name of ``dst`` when None.

    Raises
    ------
    InputError, MissingColumnError
        For ids that are absent, occur more than once or, in txt, hold a line break, and a ``dst`` that is of the table.
    """
    dst = Path(dst)
    kind = format or FORMATS.get(dst.suffix.lower())
    if kind not in FORMATS.values():
        raise InputError(
            f"The format of '{dst}' is {format or dst.suffix!r}.", "It is txt, jsonl or parquet.", value=format
        )
    files = row_files(src)
    refuse_inputs(dst, [*([src] if isinstance(src, (str, os.PathLike)) else src), *(file.path for file in files)])
    extra = list(dict.fromkeys(column for column in columns if column != id))
    if kind == "txt" and extra:
        raise InputError("A list as txt holds ids alone.", "Write jsonl or parquet.", value=extra)
    layout = getattr(mitigation, "layout_", None)
    read = [*([id] if id else []), *extra, *_needed(src, mitigation, layout, weight)]
    write = {"txt": _txt, "jsonl": _jsonl, "parquet": write_stream}[str(kind)]
    counts = [0, 0, 0]
    drawn: list[NDArray[np.float64]] = []

    def kept() -> Iterator[pa.Table]:
        for batch in batches(src, list(dict.fromkeys(read)), layout=layout):
            rows: Any = pa.Table.from_batches([batch])
            first = counts[0] + 1
            ids: pa.Array = (
                ids_of(rows[id]) if id else pa.array(map(str, range(first, first + len(rows))), pa.large_string())
            )
            numbers = uniform(ids, seed)
            if id:
                drawn.append(numbers)  # 8 bytes a row
            times = copies_of(numbers, rows[weight] if mitigation is None else mitigation.weights(rows))
            place = np.repeat(np.arange(len(rows)), times)
            counts[0] += len(rows)
            counts[1] += int((times > 0).sum())
            counts[2] += place.size
            table = pa.table({id or "row": ids, **{name: rows[name] for name in extra}})
            yield table.take(pa.array(place))
        if not counts[0]:
            raise InputError("The table has no rows.", "Pass one with rows.")
        if id:
            _refuse_repeated(src, id, drawn, layout, seed)

    atomic_write(dst, lambda partial: write(partial, kept()))
    return Listed(dst, counts[0], counts[1], counts[2])


def _refuse_repeated(
    src: Paths, id: str, drawn: Sequence[NDArray[np.float64]], layout: Layout | None, seed: int
) -> None:
    """Refuse ids that more than one row has; equal numbers of different ids are looked through once more."""
    numbers = np.sort(np.concatenate(drawn)) if drawn else np.empty(0)
    again = numbers[1:][numbers[1:] == numbers[:-1]]
    if not again.size:
        return
    found: Counter[str] = Counter()
    for batch in batches(src, [id], layout=layout):
        ids = ids_of(batch.column(0))
        suspect = np.isin(uniform(ids, seed), again)
        found.update(ids.filter(pa.array(suspect)).to_pylist())
    if twice := [name for name, rows in found.items() if rows > 1]:
        raise InputError(
            f"'{id}' is no id of a row: {len(twice):,} of its values occur more than once, as '{twice[0]}' in "
            f"{found[twice[0]]:,} rows.",
            "Name a column that tells rows apart.", value=twice[0],
        )  # fmt: skip


def _needed(src: Paths, mitigation: DataMitigation | None, layout: Layout | None, weight: str) -> list[str]:
    files = row_files(src)
    if mitigation is not None:
        return layout_columns(layout) if layout is not None else list(files[0].schema.names)
    names = files[0].schema.names
    if weight not in names:
        raise MissingColumnError(
            f"The table has no column '{weight}'.{did_you_mean(weight, names)}",
            "Pass a mitigation, or what write_weights wrote.",
            value=weight,
        )
    if is_text(files[0].schema.field(weight).type):
        raise InputError(f"'{weight}' holds text.", "Read weights from Parquet.", value=weight)
    return [weight]


def _txt(path: Path, tables: Iterator[pa.Table]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        for table in tables:
            ids = table.column(0).to_pylist()
            if broken := [text for text in ids if "\n" in text or "\r" in text]:
                raise InputError(
                    f"The id {broken[0]!r} holds a line break.", "Write jsonl or parquet.", value=broken[0]
                )
            file.writelines(f"{text}\n" for text in ids)


def _jsonl(path: Path, tables: Iterator[pa.Table]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        for table in tables:
            file.writelines(f"{json.dumps(row, ensure_ascii=False, default=str)}\n" for row in table.to_pylist())


def webdataset_filter(mitigation: DataMitigation, tag: Tags, seed: int = 0) -> Callable[[Mapping[str, Any]], bool]:
    """Return a predicate on a sample of WebDataset: whether it is kept; for ``dataset.select``.

    The id of a sample is ``__url__ + "#" + __key__``: keys repeat over shards. A sample that is set aside is not kept.

    Parameters
    ----------
    mitigation : DataMitigation
        Fitted, with weights of at most 1.
    tag : callable
        Takes a sample and returns the columns that the mitigation reads, as ``{"gender": "woman", "tags": ["nurse"]}``;
        None for what is unknown.
    seed : int

    Raises
    ------
    InputError
        By the predicate: for a sample without url or key, and weights above 1.
    """
    expect(mitigation, DataMitigation, "The mitigation", "Give a fitted mitigation of data, as M4.")
    known: dict[Any, float] = {}

    def kept(sample: Mapping[str, Any]) -> bool:
        if missing := [name for name in ("__url__", "__key__") if not sample.get(name)]:
            raise InputError(
                f"A sample has no {listed(missing)}.", "Filter the samples as the reader of shards gives them.",
                value=sorted(sample),
            )  # fmt: skip
        tags = tag(sample)
        pattern = tuple((name, tuple(value) if _is_many(value) else value) for name, value in sorted(tags.items()))
        weight = known.get(pattern)
        if weight is None:
            row = pa.table({name: pa.array([list(value) if _is_many(value) else value]) for name, value in pattern})
            weight = float(mitigation.weights(row)[0])
            if len(known) < MOST_PATTERNS:
                known[pattern] = weight
        return bool(keep([f"{os.fspath(sample['__url__'])}#{sample['__key__']}"], weight, seed)[0])

    return kept


def _is_many(value: Any) -> bool:
    return isinstance(value, (list, tuple, set, frozenset))
