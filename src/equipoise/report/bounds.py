"""How much a page shows: it stays under 2 MB, so that a large result gives up pictures first, then charts, then lists."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from equipoise.report.rows import Subject


@dataclass(frozen=True)
class Bounds:
    """Limits of one section.

    Attributes
    ----------
    gated, others : int
        Rows of the two tables.
    figures : int
        2: all charts, 1: the main ones, 0: none.
    pictures : int
        Thumbnails.
    lists : bool
        Whether words, queries, parameters and checksums are shown in full.
    text : int
        Characters of one text from the data.
    """

    gated: int = 300
    others: int = 50
    figures: int = 2
    pictures: int = 144
    lists: bool = True
    text: int = 5000

    @property
    def whole(self) -> bool:
        """Whether no chart and no list is left out."""
        return self.figures == 2 and self.lists


FULL, BRIEF = 3, 5  # subjects of a page with all charts, and with the main ones


def ladder(beside: int, pictures: bool) -> Iterator[Bounds]:
    """Yield ever narrower limits of a section that shares its page with ``beside`` subjects, itself among them."""
    first = Bounds(pictures=144 // beside if pictures else 0)
    if beside > FULL:
        first = replace(first, gated=60, others=10, figures=1 if beside <= BRIEF else 0)
    yield first
    if first.pictures:
        yield replace(first, pictures=first.pictures // 3)
        yield replace(first, pictures=0)
    if first.figures > 1:
        yield replace(first, pictures=0, figures=1, gated=60, others=10)
    yield replace(first, pictures=0, figures=0, gated=60, others=10, lists=False, text=200)


def shortened(subject: Subject, longest: int) -> Subject:
    """Return the subject with every text from the data cut to so many characters."""
    return replace(
        subject,
        title=_cut(subject.title, longest),
        rows=_cut(subject.rows, longest),
        document=_cut(subject.document, longest),
        audits=_cut(subject.audits, longest),
        distributions=_cut(subject.distributions, longest),
    )


def _cut(value: Any, longest: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= longest else f"{value[: longest - 1]}…"
    if isinstance(value, dict):
        return {_cut(key, longest): _cut(item, longest) for key, item in value.items()}
    return [_cut(item, longest) for item in value] if isinstance(value, list) else value
