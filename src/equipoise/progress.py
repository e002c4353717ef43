"""Progress of long work: loops say how far they are, and whoever watches is told.

A library call stays silent; the command line shows a bar on a terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Watcher = Callable[[str, int, int], None]
_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


def advance(what: str, done: int, total: int) -> None:
    """Say that ``done`` of ``total`` steps of a piece of work are behind us."""
    watcher = _watcher.get()
    if watcher is not None:
        watcher(what, done, total)


@contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Tell ``watcher(what, done, total)`` of all progress inside the block."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)
