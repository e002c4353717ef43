"""Reading and decoding in threads, ahead of whoever takes the pictures, in the order of the rows.

Pillow decodes and resizes outside of the interpreter's lock, so that threads help. What is held ahead is bounded, in
pictures and in bytes. A picture that takes longer than the policy allows is given up: a thread cannot be stopped, so it is
left alone and another takes its place.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

import pyarrow as pa

from equipoise.data.image_policy import ImagePolicy
from equipoise.data.images import decode, read_image_bytes
from equipoise.errors import BadImageError, InputError

NO_PATH = "no image path"
TIMED_OUT = "timed out"
STUCK = 32
"""Pictures that may hang at once: more of them tell of a disk that does not answer, not of bad pictures."""
HELD = 256 * 2**20
"""Bytes of decoded pictures that may wait before no other is decoded; the one that comes next always is."""


class Row(NamedTuple):
    """A row that has a picture: its id, and the path as the table says it."""

    row_id: str
    image: str


@dataclass(frozen=True)
class Picture:
    """What reading a row's picture gave.

    Attributes
    ----------
    row : Row
    content : array or PIL picture, optional
        What the model takes; None where the row is set aside, or only the checksum was asked for.
    sha256 : str
        Of exactly the bytes that were decoded; ``""`` where none were read.
    reason : str
        Why the row is set aside; ``""``: it is not.
    size, mtime_ns : int
        Of the file before it was read; -1 where there was none.
    """

    row: Row
    content: Any = None
    sha256: str = ""
    reason: str = ""
    size: int = -1
    mtime_ns: int = -1


def rows_of(table: pa.Table) -> Iterator[Row]:
    """Yield the rows of a table with the columns ``row_id`` and ``image``."""
    for chunk in table.select(["row_id", "image"]).to_batches(max_chunksize=4096):
        yield from map(Row, chunk["row_id"].to_pylist(), chunk["image"].to_pylist())


def path_of(row: Row, root: Path | None) -> str:
    """Return the path of a row's picture, resolved against the folder of its table."""
    return row.image if root is None else os.path.join(root, row.image)


def state_of(path: str) -> tuple[int, int]:
    """Return size and time of a file, (-1, -1) where there is none; it is not opened."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return -1, -1
    return found.st_size, found.st_mtime_ns


class Reader:
    """Threads that read pictures.

    Parameters
    ----------
    root : Path or None
        Folder against which relative paths are resolved.
    policy : ImagePolicy
    prepare : callable, optional
        From a PIL RGB picture to what the model takes, as ``Preprocessing.picture``; None: nothing is decoded, only the
        checksum is taken.
    workers : int
    ahead : int
        Pictures that may be under way or waiting.
    """

    def __init__(
        self,
        root: Path | None,
        policy: ImagePolicy,
        prepare: Callable[[Any], Any] | None,
        *,
        workers: int,
        ahead: int,
    ) -> None:
        self.root, self.policy, self.prepare, self.ahead = root, policy, prepare, max(ahead, 1)
        self._todo: SimpleQueue[_Task | None] = SimpleQueue()
        self._changed = threading.Condition()
        self._closed = False
        self._stuck = self._held = 0
        self._next: _Task | None = None
        self._threads = [_Thread(self) for _ in range(max(workers, 1))]

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the threads end; none is waited for."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for _ in self._threads:
            self._todo.put(None)

    def read(self, rows: Iterable[Row]) -> Iterator[Picture]:
        """Yield the picture of every row, in order.

        Raises
        ------
        InputError
            If many pictures hang at once.
        """
        rows, waiting = iter(rows), deque[_Task]()
        more = True
        while True:
            while more and len(waiting) < self.ahead:
                row = next(rows, None)
                if row is None:
                    more = False
                else:
                    task = _Task(row)
                    waiting.append(task)
                    self._todo.put(task)
            if not waiting:
                return
            yield self._awaited(waiting.popleft())

    def load(self, task: _Task) -> Picture:
        """Return a row's picture; a bad one has its reason."""
        row = task.row
        if not row.image:
            return Picture(row, reason=NO_PATH)
        path = path_of(row, self.root)
        task.state = state_of(path)  # before it is read: a change in between is found by the next run
        found = Picture(row, None, "", "", *task.state)
        try:
            data = read_image_bytes(path, self.policy)
            found = replace(found, sha256=hashlib.sha256(data).hexdigest())
            if self.prepare is None:
                return found
            return replace(found, content=self.prepare(decode(data, self.policy, path)))
        except BadImageError as error:
            return replace(found, reason=error.reason)
        except MemoryError:
            return replace(found, reason="out of memory")

    # ------------------------------------------------------------------------------------------------- threads

    def work(self, thread: _Thread) -> None:
        """Do tasks until there are none; what a thread does."""
        while (task := self._todo.get()) is not None and not self._closed:
            with self._changed:
                while self._held >= HELD and task is not self._next and not self._closed:
                    self._changed.wait()
                thread.task, thread.since = task, time.monotonic()
            try:
                found: Picture | BaseException = self.load(task)
            except BaseException as error:
                found = error
            with self._changed:
                if thread.given_up:  # its row was set aside long ago
                    self._stuck -= 1
                    return
                thread.task, task.found = None, found
                self._held += _bytes(found)
                self._changed.notify_all()

    def _awaited(self, task: _Task) -> Picture:
        with self._changed:
            self._next = task  # it may exceed what is held: nothing is taken before it
            self._changed.notify_all()
            while task.found is None:
                self._changed.wait(min(1.0, self.policy.timeout / 4))
                self._give_up_late()
            self._held -= _bytes(task.found)
            self._changed.notify_all()
        if isinstance(task.found, BaseException):
            raise task.found
        return task.found

    def _give_up_late(self) -> None:
        """Set aside what takes too long, and start a thread in place of each that hangs."""
        now = time.monotonic()
        for place, thread in enumerate(self._threads):
            task = thread.task
            if task is None or now - thread.since <= self.policy.timeout:
                continue
            task.found = Picture(task.row, None, "", TIMED_OUT, *task.state)
            thread.task, thread.given_up = None, True
            self._stuck += 1
            if self._stuck > STUCK:
                raise InputError(
                    f"{self._stuck} pictures hang at once, the last of them '{path_of(task.row, self.root)}'; each takes "
                    f"longer than {self.policy.timeout:g} s.",
                    "Look whether the disk answers, or allow more time, then run the same again: it goes on.",
                    value=task.row.row_id,
                )
            self._threads[place] = _Thread(self)


class _Task:
    """A row that is under way."""

    __slots__ = ("found", "row", "state")

    def __init__(self, row: Row) -> None:
        self.row = row
        self.state: tuple[int, int] = (-1, -1)
        self.found: Picture | BaseException | None = None


class _Thread(threading.Thread):
    """A thread that reads, with what it reads now and since when."""

    def __init__(self, reader: Reader) -> None:
        super().__init__(name="equipoise-pictures", daemon=True)
        self.task: _Task | None = None
        self.since = 0.0
        self.given_up = False
        self._reader = reader
        self.start()

    def run(self) -> None:
        """Read until there is nothing left."""
        self._reader.work(self)


def _bytes(found: Picture | BaseException) -> int:
    content = getattr(found, "content", None)
    if content is None:
        return 0
    return int(getattr(content, "nbytes", 0)) or 3 * content.width * content.height
