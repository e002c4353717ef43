"""How far long work is, with its rate and the time left: bars on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from equipoise.progress import watched

EVERY = 15.0
"""Seconds between two lines."""


@contextmanager
def bars(text: str) -> Iterator[None]:
    """Show bars on stderr while the block lasts."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining
    from rich.text import Text

    class Rate(ProgressColumn):
        """Done, total, and how many a second."""

        def render(self, task: Task) -> Text:
            if task.total is None or task.fields.get("plain"):
                return Text("")
            rate = f" {per_second(task.speed)}" if task.speed else ""
            return Text(f"{int(task.completed):,}/{int(task.total):,}{rate}")

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), Rate(), Remaining())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        tasks: dict[str, TaskID] = {}
        whole = shown.add_task(text, total=None, plain=True)

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:  # what an earlier run did is no speed of this one
                tasks[what] = shown.add_task(f"  {what}", total=total, completed=done)
            shown.update(tasks[what], completed=done, total=total)

        with watched(tell):
            yield
        shown.update(whole, total=1, completed=1)


@contextmanager
def lines(say: Callable[[str], None], every: float = EVERY) -> Iterator[None]:
    """Say a line at most every 15 seconds while the block lasts; short work says nothing."""
    last = time.monotonic()
    began: dict[str, tuple[float, int]] = {}

    def tell(what: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        since, first = began.setdefault(what, (now, done))
        if now - last < every or now <= since:
            return
        last = now
        rate = (done - first) / (now - since)
        left = f", {per_second(rate)}, {duration((total - done) / rate)} left" if rate > 0 else ""
        share = f" ({done / total:.0%})" if total else ""
        say(f"{what}: {done:,} of {total:,}{share}{left}")

    with watched(tell):
        yield


def per_second(rate: float) -> str:
    """Return a rate as a person reads it."""
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s" if rate >= 0.1 else f"{rate * 3600:.0f}/h"


def duration(seconds: float) -> str:
    """Return a time as a person reads it: ``"38 s"``, ``"5 min"``, ``"3 h 20 min"``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
