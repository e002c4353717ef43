"""Queries: lists of texts to search with, built in or a user's own, used verbatim."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from equipoise.data.columns import Column
from equipoise.data.groups import Vocabulary
from equipoise.data.tables import open_table
from equipoise.errors import InputError, MissingFileError, UnknownNameError, VocabularyError, did_you_mean, listed

EXPLICIT = "explicit"
"""The family of queries that name a group: a debiased search should still answer them as asked."""

GIVEN = "queries"
"""The family of queries that are given as a list of texts."""

TABLES = (".csv", ".tsv", ".parquet", ".pq")


@dataclass(frozen=True)
class Query:
    """One query.

    Attributes
    ----------
    text : str
        Used verbatim.
    family : str
        The list it belongs to, ``"explicit"`` if it names a group.
    label : str
    explicit : str
        The group it names, as ``"gender=Female"``; empty if none.
    """

    text: str
    family: str
    label: str = ""
    explicit: str = ""


class Queries(tuple[Query, ...]):
    """A tuple of queries that remembers what a person should see of how it came about.

    Attributes
    ----------
    notes : tuple of str
        Duplicates dropped, queries left out.
    matched : dict of str to str
        Query to the group that it was found to name by its words (not by a column).
    """

    notes: tuple[str, ...]
    matched: dict[str, str]

    def __new__(
        cls, queries: Iterable[Query], notes: Iterable[str] = (), matched: dict[str, str] | None = None
    ) -> Queries:
        """Hold queries with what was noted while they were read."""
        self = super().__new__(cls, queries)
        self.notes = tuple(notes)
        self.matched = dict(matched or {})
        return self


@dataclass(frozen=True)
class _Raw:
    """A query before its group is known; ``explicit`` is None where no column says.

    A shipped one may spell its group in several ways, and one with ``anywhere`` stays where no spelling is declared.
    """

    text: str
    family: str
    label: str = ""
    explicit: str | None = None
    where: str = ""
    shipped: bool = False
    anywhere: bool = False


@cache
def _sources() -> dict[str, Any]:
    return tomllib.loads((_folder() / "sources.toml").read_text(encoding="utf-8"))


def builtin_lists() -> dict[str, dict[str, Any]]:
    """Return name to version, source, description and number (``n``) of the built-in lists."""
    return {
        name: {
            "version": entry["version"],
            "source": entry["source"],
            "description": entry.get("description", ""),
            "n": entry["queries"],
        }
        for name, entry in _sources().items()
    }


def read_queries(spec: Any, vocabulary: Vocabulary | None = None) -> Queries:
    """Read queries.

    Parameters
    ----------
    spec : str, path, or sequence
        A built-in name, a file (``.txt`` with one query a line; CSV or Parquet with ``query`` and optional ``family``,
        ``label``, ``explicit``), several of them with commas between, or a list of these, of texts, or of Query.
    vocabulary : Vocabulary, optional
        With it, a query is explicit when it names a group by its words (unless a column says), and a group that a
        column names must be declared.

    Returns
    -------
    Queries
        A tuple of Query with ``notes`` and ``matched``; each text once a family.

    Raises
    ------
    UnknownNameError, MissingFileError, InputError, VocabularyError
        For a name that is neither a list nor a file, no query, an empty query, an explicit group that is not declared.
    """
    vocabulary = vocabulary or Vocabulary()
    notes: list[str] = []
    matched: dict[str, str] = {}
    found: dict[tuple[str, str], Query] = {}
    left_out: list[str] = []
    repeated: list[str] = []
    for raw in _raw(spec):
        if not raw.text.strip():
            raise InputError(
                f"A query is empty{raw.where}.", "Remove it: an empty text has no meaning.", value=raw.text
            )
        query = _resolved(raw, vocabulary, matched)
        if query is None:
            left_out.append(raw.text)
        elif (query.family, query.text) in found:
            repeated.append(query.text)
        else:
            found[query.family, query.text] = query
    if repeated:
        notes.append(f"Repeated queries were dropped ({len(repeated)}): {listed(map(repr, repeated), 5)}.")
    if left_out:
        notes.append(
            f"Built-in queries that name a group the vocabulary does not declare were left out ({len(left_out)}): "
            f"{listed(map(repr, left_out), 5)}."
        )
    if matched:
        notes.append(
            f"Queries that name a group by their words count as explicit ({len(matched)}): "
            f"{listed([f'{text!r} ({group})' for text, group in matched.items()], 5)}."
        )
    if not found:
        where = f" in '{spec}'" if isinstance(spec, (str, Path)) else ""
        raise InputError(f"There are no queries{where}.", " ".join(["Give at least one.", *notes]), value=spec)
    return Queries(found.values(), notes, matched)


def _raw(spec: Any) -> list[_Raw]:
    if isinstance(spec, Query):
        anywhere = (spec.text, spec.explicit) in _anywhere()
        return [_Raw(spec.text, spec.family, spec.label, spec.explicit, shipped=anywhere, anywhere=anywhere)]
    if isinstance(spec, Path):
        return _file(spec)
    if isinstance(spec, str):
        if _is_list(spec):
            return _named(spec)
        parts = [part.strip() for part in spec.split(",")]
        return [raw for part in parts for raw in _named(part)]
    if isinstance(spec, Sequence):
        out: list[_Raw] = []
        for item in spec:
            if isinstance(item, str) and not _is_list(item):
                out.append(_Raw(item, GIVEN, where=" in the list"))
            else:
                out += _raw(item)
        return out
    raise InputError(
        f"Queries cannot be a {type(spec).__name__}.", "Give a name, a file or a list of texts.", value=spec
    )


@cache
def _anywhere() -> frozenset[tuple[str, str]]:
    """Return (text, group named) of the shipped queries that stay under any vocabulary."""
    names = [name for name, entry in _sources().items() if entry.get("anywhere")]
    return frozenset(
        (raw.text, one) for name in names for raw in _named(name) for one in (raw.explicit or "").split("|")
    )


def _is_list(text: str) -> bool:
    return text in _sources() or text.lower().endswith((".txt", *TABLES))


def _named(name: str) -> list[_Raw]:
    if name in _sources():
        return _table(_folder() / f"{name}.csv", shipped=True, anywhere=bool(_sources()[name].get("anywhere")))
    if name.lower().endswith((".txt", *TABLES)):
        return _file(Path(name))
    raise UnknownNameError(
        f"There is no query list '{name}'.{did_you_mean(name, _sources())}",
        f"Built in: {listed(_sources(), 20)}. A file ends in .txt, .csv or .parquet; texts are given as a list.",
        value=name,
    )


def _file(path: Path) -> list[_Raw]:
    if path.suffix.lower() in TABLES:
        return _table(path)
    try:
        lines = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n").split("\n")
    except FileNotFoundError as error:
        raise MissingFileError(f"There is no query file '{path}'.", "Check the path.", value=str(path)) from error
    except OSError as error:
        raise MissingFileError(f"'{path}' cannot be read: {error.strerror}.", "Check it.", value=str(path)) from error
    except UnicodeDecodeError as error:
        raise InputError(f"'{path}' is not UTF-8 text.", "Save it as UTF-8.", value=str(path)) from error
    while lines and not lines[-1]:
        lines.pop()
    return [
        _Raw(line, path.stem, where=f" (line {number} of '{path.name}')") for number, line in enumerate(lines, start=1)
    ]


def _table(path: Path, shipped: bool = False, anywhere: bool = False) -> list[_Raw]:
    source = open_table(path)
    present = ["query", *(name for name in ("family", "label", "explicit") if name in source.names)]
    table = source.read(present)
    lines = source.lines()
    texts = {name: Column(table[name], name, lines, source.unit).text().to_pylist() for name in present}
    empty = [""] * source.rows
    stated = [text or "" for text in texts["explicit"]] if "explicit" in texts else [None] * source.rows
    return [
        _Raw(
            text or "",
            family or path.stem,
            label or "",
            explicit,
            f" ({source.unit} {line} of '{path.name}')",
            shipped,
            anywhere,
        )
        for text, family, label, explicit, line in zip(
            texts["query"], texts.get("family", empty), texts.get("label", empty), stated, lines.tolist(), strict=True
        )
    ]


def _resolved(raw: _Raw, vocabulary: Vocabulary, matched: dict[str, str]) -> Query | None:
    """Return the query with its group and family; None for a built-in one whose group is not declared here."""
    if raw.shipped and raw.explicit:
        spellings = raw.explicit.split("|")
        declared = [one for one in spellings if _declared(replace(raw, explicit=one), vocabulary)]
        if not declared and vocabulary.attributes and not raw.anywhere:
            return None
        explicit = (declared or spellings)[0]
    elif raw.explicit is None:
        explicit = _found(raw.text, vocabulary)
        if explicit:
            matched[raw.text] = explicit
    elif raw.explicit and vocabulary.attributes:
        _declared(raw, vocabulary)
        explicit = raw.explicit
    else:
        explicit = raw.explicit
    return Query(raw.text, EXPLICIT if explicit else raw.family, raw.label, explicit)


def _found(text: str, vocabulary: Vocabulary) -> str:
    for attribute in vocabulary.attributes:
        if group := vocabulary.names_group(text, attribute):
            return f"{attribute}={group}"
    return ""


def _declared(raw: _Raw, vocabulary: Vocabulary) -> bool:
    """Return whether the vocabulary declares the group of a query; a user's own list must not name another."""
    attribute, sign, group = (raw.explicit or "").partition("=")
    groups = vocabulary.attributes[attribute].values if attribute in vocabulary.attributes else ()
    if group in groups:
        return True
    if raw.shipped:
        return False
    hint = did_you_mean(group, groups) if groups else did_you_mean(attribute, vocabulary.attributes)
    raise VocabularyError(
        f"The query {raw.text!r}{raw.where} names '{raw.explicit}', which the vocabulary does not declare.{hint}",
        "Write attribute=group, as gender=Female."
        if not sign
        else f"Declared: {listed(groups or vocabulary.attributes)}.",
        value=raw.explicit,
    )


def _folder() -> Path:
    return Path(str(files("equipoise.data"))) / "queries"
