"""What an audit of embeddings measures on every arm."""

from __future__ import annotations

from dataclasses import dataclass

from equipoise.data.groups import Vocabulary
from equipoise.data.queries import Query
from equipoise.errors import listed
from equipoise.metrics.engines.ranking import Ranked
from equipoise.metrics.engines.replicates import Families
from equipoise.protocols import Metric


@dataclass(frozen=True)
class Plan:
    """What is measured on every arm.

    Attributes
    ----------
    queries : tuple of Query
    keys : tuple of str
        Attributes and intersections.
    metrics : tuple of Metric
        Of evidence ``top`` or ``moments``.
    vocabulary : Vocabulary
    draws : int
        Bootstrap draws; 0 for closed forms.
    level : float
    seed : int
    words : tuple of Metric
        Of evidence ``pairs`` or ``preferences``: what is read from queries that stand against each other.
    """

    queries: tuple[Query, ...]
    keys: tuple[str, ...]
    metrics: tuple[Metric, ...]
    vocabulary: Vocabulary
    draws: int
    level: float
    seed: int
    words: tuple[Metric, ...] = ()

    @property
    def families(self) -> Families:
        """The queries by family."""
        return Families.of([query.family for query in self.queries])

    @property
    def named(self) -> list[tuple[str, int]]:
        """The (attribute, group number) that each explicit query names."""
        out = []
        for number in self.families.explicit:
            attribute, _, group = self.queries[number].explicit.partition("=")
            groups = self.vocabulary.groups(attribute) if attribute in self.vocabulary.attributes else ()
            out.append((attribute, groups.index(group)) if group in groups else ("", -1))
        return out


def left_out(plan: Plan, ranked: Ranked, key: str) -> str:
    """Say which groups are too small, or return an empty text."""
    valid = ranked.pool.valid[key]
    groups = plan.vocabulary.groups(key)
    small = [group for group, enough in zip(groups, valid, strict=True) if not enough]
    return f"left out, fewer than {ranked.pool.minimum} rows: {listed(small, 5)}" if small else ""
