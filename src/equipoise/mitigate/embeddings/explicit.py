"""Which queries name a group of the attribute: what a person asked for stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Explicit:
    """Finds queries that name a group; holds no more of the vocabulary than that takes.

    Attributes
    ----------
    vocabulary : Vocabulary
        Of the attributes alone.
    attributes : tuple of str
        Single attributes; of an intersection, its parts.
    """

    vocabulary: Any
    attributes: tuple[str, ...]

    @classmethod
    def of(cls, vocabulary: Any, keys: Sequence[str]) -> Explicit:
        """Return a finder for attributes or intersections ``keys`` of a vocabulary."""
        parts = tuple(dict.fromkeys(part for key in keys for part in vocabulary.parts(key)))
        kept = {name: vocabulary.attributes[name] for name in parts}
        return cls(replace(vocabulary, attributes=kept), parts)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Explicit:
        """Rebuild what :meth:`to_dict` gave."""
        from equipoise.data.groups import Vocabulary

        return cls(Vocabulary.from_dict(data["vocabulary"]), tuple(data["attributes"]))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {"vocabulary": self.vocabulary.to_dict(), "attributes": list(self.attributes)}

    def named(self, query: Any) -> str:
        """Return ``"gender=Female"`` when a query names a group, else ``""``.

        ``query`` is a text, or an object with ``text`` and ``explicit`` (as :class:`equipoise.data.queries.Query`),
        whose own word on the matter then counts.
        """
        declared = getattr(query, "explicit", None)
        if declared is not None:
            names = [part.strip() for part in str(declared).replace(";", ",").split(",")]
            return next((name for name in names if name.partition("=")[0] in self.attributes), "")
        for attribute in self.attributes:
            if group := self.vocabulary.names_group(str(query), attribute):
                return f"{attribute}={group}"
        return ""


def text_of(query: Any) -> str:
    """Return the text of a query that is a text or an object with ``text``."""
    return str(getattr(query, "text", query))
