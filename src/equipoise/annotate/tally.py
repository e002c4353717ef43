"""What an annotation found: counts by value, and which rows were set aside and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from equipoise.annotate.tagging import TagTable


@dataclass
class Tally:
    """What was found.

    Attributes
    ----------
    rows, used : int
        ``used`` rows have at least one annotated column.
    counts : dict of str to dict of str to int
        By column and value.
    set_aside : dict of str to int
        Reason to rows that have none.
    missing : dict of str to dict of str to int
        By column: reason to rows that have no value in it.
    negated, products : dict of str to int
        Listed words that do not count, as :class:`equipoise.annotate.tagging.TagTable` tells.
    """

    rows: int = 0
    used: int = 0
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    set_aside: Counter[str] = field(default_factory=Counter)
    missing: dict[str, Counter[str]] = field(default_factory=dict)
    negated: Counter[str] = field(default_factory=Counter)
    products: Counter[str] = field(default_factory=Counter)

    def add(
        self, fields: Sequence[pa.Field], columns: Sequence[pa.Array], tags: TagTable | None,
        answered: Sequence[str] | None,
    ) -> None:  # fmt: skip
        """Count more rows: their annotated columns, those of captions with ``tags``, the last with what pictures gave."""
        n = len(columns[0])
        self.rows += n
        statuses: list[Sequence[str]] = []
        if tags is not None:
            self.negated.update(tags.negated)
            self.products.update(tags.products)
            statuses.append(tags.status.to_pylist())
        if answered is not None:
            statuses.append(answered)
        for place, (entry, column) in enumerate(zip(fields, columns, strict=True)):
            is_image = answered is not None and place == len(fields) - 1
            status = statuses[-1 if is_image else 0]
            self.missing.setdefault(entry.name, Counter()).update(reason for reason in status if reason)
            counts = self.counts.setdefault(entry.name, Counter())
            flat = column.flatten() if pa.types.is_list(column.type) else column
            for found in flat.drop_null().value_counts().to_pylist():
                counts[found["values"]] += found["counts"]
        for reasons in zip(*statuses, strict=True):
            if all(reasons):
                self.set_aside["; ".join(dict.fromkeys(reasons))] += 1
        self.used = self.rows - sum(self.set_aside.values())
