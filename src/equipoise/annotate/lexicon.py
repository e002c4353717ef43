"""Word lists with a version and a checksum: which words say what, and which contexts change it.

A list is TOML. ``word(s)`` stands for the word with and without what is in brackets, ``a|b`` inside a phrase of a rule
for either word. The checksum is that of the file with the line ends of Unix.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from equipoise.annotate.normal import normal, script_names
from equipoise.data.vocabulary_file import check_name
from equipoise.errors import InputError, MissingFileError, SchemaError, UnknownNameError, did_you_mean, listed

READERS = ("words", "japanese")
OPTIONAL = re.compile(r"\(([^()]*)\)")


@dataclass(frozen=True)
class Values:
    """What one variable can be.

    Attributes
    ----------
    values : tuple of str
        Every state (kind ``"values"``) or every tag (kind ``"tags"``).
    groups : tuple of str
        The values that shares are wanted for; empty for tags.
    kind : {"values", "tags"}
        One state a caption, or any number of tags.
    several, unclear, nothing : str
        The states of a caption that names two groups or more, only words of unclear meaning, no word at all.
    """

    values: tuple[str, ...]
    groups: tuple[str, ...] = ()
    kind: Literal["values", "tags"] = "values"
    several: str = ""
    unclear: str = ""
    nothing: str = ""

    def combined(self, found: frozenset[str]) -> str | tuple[str, ...]:
        """Return the state, or the tags in the order of the list, of a caption with these tagged values."""
        if self.kind == "tags":
            return tuple(value for value in self.values if value in found)
        groups = [value for value in self.groups if value in found]
        if groups:
            return groups[0] if len(groups) == 1 else self.several
        if self.unclear in found:
            return self.unclear
        return next((value for value in self.values if value in found), self.nothing)


@dataclass(frozen=True)
class Rules:
    """Words and phrases that change what a listed word means; docs/annotation.md says how each is used."""

    negators: tuple[str, ...] = ()
    not_negators: tuple[str, ...] = ()
    breaks: tuple[str, ...] = ()
    negated_by: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()
    generic: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    bare_owners: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    collocations: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    surnames: tuple[str, ...] = ()
    titles: tuple[str, ...] = ()
    determiners: tuple[str, ...] = ()
    causatives: tuple[str, ...] = ()
    adjectives: tuple[str, ...] = ()
    function_words: tuple[str, ...] = ()
    common: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    animals: tuple[str, ...] = ()
    animal_modifiers: tuple[str, ...] = ()
    pronouns: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Lexicon:
    """A word list.

    Attributes
    ----------
    name, version : str
        As ``"people-en-1"``.
    sha256 : str
        Of the file.
    scripts : tuple of str
        Scripts that it reads, as ``("Latin",)``; a caption mostly in others is set aside.
    variables : dict of str to Values
        In the order of the file.
    reader : {"words", "japanese"}
        Words between spaces and signs, or the words that the tokenizer of the extra ``japanese`` finds.
    words : dict of str to tuple of (variable, value)
        What each word or phrase tags; in lower case, NFKC.
    rules : Rules
    """

    name: str
    version: str
    sha256: str
    scripts: tuple[str, ...]
    variables: dict[str, Values]
    reader: str = "words"
    words: dict[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    rules: Rules = field(default_factory=Rules)


def load_lexicon(name_or_path: str | Path) -> Lexicon:
    """Return a shipped word list by its name, or one's own by its path.

    Raises
    ------
    UnknownNameError, MissingFileError
        If there is no such list or file.
    SchemaError
        If the file cannot be meant; names the key and the value.
    """
    if not isinstance(name_or_path, (str, Path)):
        raise InputError(f"A lexicon is named by a {type(name_or_path).__name__}.", "Pass a name or a path.")
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or text.endswith(".toml") or "/" in text:
        return _read(Path(name_or_path))
    if text not in shipped():
        raise UnknownNameError(
            f"There is no lexicon '{text}'.{did_you_mean(text, shipped())}",
            f"Known: {listed(shipped())}; a list of your own is named by its path, my-list.toml.",
            value=text,
        )
    return _shipped(text)


def shipped() -> tuple[str, ...]:
    """Return the names of the lists that come with equipoise."""
    return tuple(sorted(path.stem for path in _folder().glob("*.toml")))


def _folder() -> Path:
    return Path(str(files("equipoise.annotate"))) / "lexicons"


@lru_cache
def _shipped(name: str) -> Lexicon:
    return _read(_folder() / f"{name}.toml")


def _read(path: Path) -> Lexicon:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MissingFileError(f"There is no lexicon '{path}'.", "Check the path.", value=str(path)) from error
    content = content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    try:
        document = tomllib.loads(content.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SchemaError(f"'{path}' is not TOML in UTF-8: {error}.", "Mend that line.", value=str(path)) from error
    return _Parser(document, str(path)).lexicon(hashlib.sha256(content).hexdigest())


class _Parser:
    """Turns a document into a Lexicon, and refuses by key what cannot be meant."""

    def __init__(self, document: dict[str, Any], path: str) -> None:
        self.document = document
        self.path = path
        self.words: dict[str, dict[tuple[str, str], None]] = {}

    def refuse(self, where: str, what: str, remedy: str, value: Any = None) -> SchemaError:
        return SchemaError(f"{self.path}: {where} {what}.", remedy, value=value)

    def lexicon(self, sha256: str) -> Lexicon:
        self.known("the file", self.document, ("name", "version", "reader", "scripts", "rules", "variables"))
        name, version = (self.text(key) for key in ("name", "version"))
        reader = self.document.get("reader", "words")
        if reader not in READERS:
            raise self.refuse("reader", f"is {reader!r}", f"It is one of {listed(READERS)}.", reader)
        scripts = self.texts("scripts", self.document.get("scripts", ["Latin"]))
        for script in scripts:
            if script not in script_names():
                raise self.refuse("scripts", f"has '{script}'", f"Known: {listed(script_names(), 40)}.", script)
        sections = self.section("variables", self.document.get("variables", {}))
        if not sections:
            raise self.refuse("variables", "are not there", "Add a section such as [variables.gender].")
        variables = {key: self.variable(key, self.section(key, section)) for key, section in sections.items()}
        for key, section in sections.items():
            self.imply(key, section.get("implies", {}), variables)
        return Lexicon(
            name, version, sha256, scripts, variables, reader,
            {word: tuple(said) for word, said in self.words.items()}, self.rules(),
        )  # fmt: skip

    def variable(self, name: str, section: Mapping[str, Any]) -> Values:
        check_name(name)
        keys = ("kind", "groups", "several", "unclear", "nothing", "implies", "words")
        self.known(f"[variables.{name}]", section, keys)
        kind = section.get("kind", "values")
        if kind not in ("values", "tags"):
            raise self.refuse(f"{name}.kind", f"is {kind!r}", "It is 'values' or 'tags'.", kind)
        lists = self.section(f"{name}.words", section.get("words", {}))
        if not lists:
            raise self.refuse(f"{name}.words", "are not there", f"Add a section [variables.{name}.words].")
        for value, words in lists.items():
            for word in self.texts(f"{name}.words.{value}", words):
                for form in expanded(word):
                    self.words.setdefault(form, {})[name, value] = None
        if kind == "tags":
            return Values(tuple(lists), kind="tags")
        groups = self.texts(f"{name}.groups", section.get("groups", []))
        if unknown := [group for group in groups if group not in lists]:
            raise self.refuse(
                f"{name}.groups", f"has '{unknown[0]}', which has no words", "List its words.", unknown[0]
            )
        named = {}
        for key, default in (("several", "both"), ("unclear", "ambiguous"), ("nothing", "none")):
            named[key] = section.get(key, default)
            if not isinstance(named[key], str) or not named[key]:
                raise self.refuse(f"{name}.{key}", f"is {named[key]!r}", "Name a state.", named[key])
        order = dict.fromkeys([*groups, named["several"], *lists, named["nothing"], named["unclear"]])
        order.pop(named["unclear"])
        return Values((*order, named["unclear"]), groups, "values", **named)

    def imply(self, name: str, implied: Any, variables: Mapping[str, Values]) -> None:
        """Let every word of a variable say something of another one too, unless it already does."""
        for other, value in self.section(f"{name}.implies", implied).items():
            if other not in variables or value not in variables[other].values:
                raise self.refuse(f"{name}.implies", f"names '{other} = {value}'", "Declare that value.", value)
            for said in self.words.values():
                speaks_of = {variable for variable, _ in said}
                if name in speaks_of and other not in speaks_of:
                    said[other, value] = None

    def rules(self) -> Rules:
        section = self.section("rules", self.document.get("rules", {}))
        names = tuple(item.name for item in fields(Rules))
        self.known("[rules]", section, names)
        return Rules(
            **{
                key: tuple(form for text in self.texts(f"rules.{key}", value) for form in expanded(text, key))
                for key, value in section.items()
            }
        )

    def known(self, where: str, section: Mapping[str, Any], keys: tuple[str, ...]) -> None:
        for key in section:
            if key not in keys:
                raise self.refuse(where, f"has an unknown key '{key}'.{did_you_mean(key, keys)}".rstrip("."),
                                  f"Known: {listed(keys, 30)}.", key)  # fmt: skip

    def text(self, key: str) -> str:
        value = self.document.get(key)
        if not isinstance(value, str) or not value.strip():
            raise self.refuse(key, f"is {value!r}", f'Write {key} = "my-list-1".', value)
        return value

    def section(self, where: str, value: Any) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            raise self.refuse(where, f"is {value!r}, not a section", f"Write [{where}].", value)
        return value

    def texts(self, where: str, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
            raise self.refuse(where, f"is {value!r}, not a list of texts", 'Write ["...", "..."].', value)
        return tuple(value)


def expanded(word: str, rule: str = "") -> tuple[str, ...]:
    """Return the forms of ``"child(ren)"``, as captions are compared; brackets in generic phrases are meant."""
    forms = [word] if rule == "generic" else [OPTIONAL.sub("", word), OPTIONAL.sub(r"\1", word)]
    return tuple(dict.fromkeys(" ".join(normal(form).text.split()) for form in forms))
