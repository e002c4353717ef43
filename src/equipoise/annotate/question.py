"""Questions about pictures: which answers there are, and the words by which an encoder is asked.

A question is TOML with a version in its name. A section of a vocabulary (``groups.toml``) is one too: its values are the
groups, its prompts and templates the words. The checksum is that of what the question says.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from equipoise.data.groups import Attribute, Vocabulary
from equipoise.data.vocabulary_file import check_attribute
from equipoise.errors import InputError, MissingFileError, SchemaError, UnknownNameError, did_you_mean, listed

LEAST_TEMPLATES = 7
"""With fewer sentences the answers hang on the wording."""
KEYS = ("name", "variable", "values", "groups", "abstain", "templates", "prompts")
ABSTAIN = "ambiguous"


@dataclass(frozen=True)
class Question:
    """What is asked of a picture.

    Attributes
    ----------
    name : str
        With its version, as ``"gender-1"``.
    variable : str
        Whose values the answers are, as ``"gender"``; the column is ``gender_image``.
    values : tuple of str
        The answers.
    groups : tuple of str
        Two or more that shares are wanted for; ``none`` is no group where there are two others.
    prompts : dict of str to tuple of str
        Words for each answer; empty where a classifier answers.
    templates : tuple of str
        Sentences with one ``{}``.
    abstain : str
        What is answered where the encoder is not sure enough.
    """

    name: str
    variable: str
    values: tuple[str, ...]
    groups: tuple[str, ...]
    prompts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    templates: tuple[str, ...] = ("{}",)
    abstain: str = ABSTAIN

    def __post_init__(self) -> None:
        check_attribute(self.variable, self.values, (), self.templates, self.prompts)
        if len(self.values) < 2:
            raise InputError(f"The question '{self.name}' has one answer.", "Give two or more.", value=self.values)
        if strange := [group for group in self.groups if group not in self.values]:
            raise InputError(
                f"'{strange[0]}' is a group and no answer of '{self.name}'.{did_you_mean(strange[0], self.values)}",
                f"Its answers: {listed(self.values)}.", value=strange[0],
            )  # fmt: skip
        if len(self.groups) < 2 or len(set(self.groups)) < len(self.groups):
            raise InputError(
                f"The groups of '{self.name}' are {listed(self.groups) or 'none'}: shares are of two or more, each named once.",
                f"Name them (groups = ...) among its answers: {listed(self.values)}.", value=self.groups,
            )  # fmt: skip
        if not self.abstain.strip() or self.abstain in self.values:
            raise InputError(
                f"'{self.abstain}' is an answer of '{self.name}' and what it says where there is none."
                if self.abstain in self.values else f"'{self.name}' says nothing where there is no answer.",
                "Choose another word for 'abstain'.", value=self.abstain,
            )  # fmt: skip
        worded: dict[frozenset[str], str] = {}
        for value, prompts in self.prompts.items():
            if prompts and (other := worded.setdefault(frozenset(prompts), value)) != value:
                raise InputError(
                    f"'{other}' and '{value}' of '{self.name}' have the same prompts: no picture would be nearer to one of them.",
                    "Give each answer words of its own.", value=value,
                )  # fmt: skip

    @property
    def states(self) -> tuple[str, ...]:
        """The answers, and what is said where there is none."""
        return tuple(dict.fromkeys([*self.values, self.abstain]))

    @property
    def column(self) -> str:
        """Name of the annotated column."""
        return f"{self.variable}_image"

    @property
    def sha256(self) -> str:
        """Checksum of everything that the question says."""
        text = json.dumps(asdict(self), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of the wording."""
        if self.prompts and len(self.templates) < LEAST_TEMPLATES:
            return (
                f"The question '{self.name}' has {len(self.templates)} templates; with {LEAST_TEMPLATES} or more the "
                "answers depend less on the wording.",
            )
        return ()

    def texts(self, value: str) -> list[str]:
        """Return every prompt of an answer in every template, each text once.

        Raises
        ------
        InputError
            If the answer has no prompts.
        """
        prompts = self.prompts.get(value, ())
        if not prompts:
            raise InputError(
                f"The question '{self.name}' has no prompts for '{value}'.",
                f"Add words for '{value}' under [prompts]; without prompts only a classifier can answer (--model).",
                value=value,
            )  # fmt: skip
        return list(dict.fromkeys(template.replace("{}", words) for template in self.templates for words in prompts))


def shipped_questions() -> tuple[str, ...]:
    """Return the names of the questions that come with the package."""
    return tuple(sorted(path.stem for path in _folder().glob("*.toml")))


def read_question(question: str | Path | Question) -> Question:
    """Return a question by its name, from a file, or a section of a vocabulary.

    Parameters
    ----------
    question : str, Path or Question
        ``"gender"``, a path of a question, or ``"groups.toml:gender"``.

    Raises
    ------
    UnknownNameError, MissingFileError, SchemaError, VocabularyError
    """
    if isinstance(question, Question):
        return question
    text = str(question)
    if text in shipped_questions():
        return _read(_folder() / f"{text}.toml")
    file, _, section = text.rpartition(".toml:")
    if file:
        return _of_section(Path(f"{file}.toml"), section)
    if text.endswith(".toml") or Path(text).exists():
        return _read(Path(text))
    raise UnknownNameError(
        f"There is no question '{text}'.{did_you_mean(text, shipped_questions())}",
        f"Known: {listed(shipped_questions())}; or give a file, or a section of a vocabulary as groups.toml:gender.",
        value=text,
    )  # fmt: skip


def _folder() -> Path:
    return Path(str(files("equipoise.annotate"))) / "questions"


def _of_section(path: Path, section: str) -> Question:
    known = Vocabulary.read(path).attributes
    if section not in known:
        raise UnknownNameError(
            f"'{path}' declares no '{section}'.{did_you_mean(section, known)}",
            f"It has: {listed(known)}.",
            value=section,
        )
    return question_of(known[section])


def question_of(attribute: Attribute) -> Question:
    """Return a section of a vocabulary as a question; its name tells what it says."""
    found = Question(
        attribute.name, attribute.name, attribute.values, attribute.values, dict(attribute.prompts), attribute.templates,
        ABSTAIN if ABSTAIN not in attribute.values else "unsure",
    )  # fmt: skip
    return Question(**{**vars(found), "name": f"{attribute.name}-{found.sha256[:8]}"})


def _read(path: Path) -> Question:
    try:
        data = tomllib.loads(path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n"))
    except OSError as error:
        raise MissingFileError(
            f"The question '{path}' cannot be read: {error.strerror or error}.", "Check the path.", value=str(path)
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SchemaError(f"'{path}' is not TOML: {error}.", "Mend that line.", value=str(path)) from error
    sections = [name for name, value in data.items() if isinstance(value, Mapping) and "values" in value]
    if sections and "values" not in data:
        if len(sections) > 1:
            raise SchemaError(
                f"'{path}' is a vocabulary of {len(sections)} attributes.", f"Name one, as {path}:{sections[0]}."
            )
        return _of_section(path, sections[0])
    return _checked(data, path)


def _checked(data: Mapping[str, Any], path: Path) -> Question:
    for key in data:
        if key not in KEYS:
            raise SchemaError(
                f"'{path}' has an unknown key '{key}'.{did_you_mean(key, KEYS)}", f"Known: {listed(KEYS)}.", value=key
            )
    if missing := [key for key in ("name", "variable", "values") if key not in data]:
        raise SchemaError(f"'{path}' has no '{missing[0]}'.", f"Add {missing[0]} = ...", value=missing[0])
    prompts = data.get("prompts", {})
    texts = [data["name"], data["variable"], data.get("abstain", ABSTAIN)]
    lists = [data["values"], data.get("groups", []), data.get("templates", ["{}"])]
    good = isinstance(prompts, Mapping)
    good = good and all(isinstance(text, str) and text for text in texts)
    good = good and all(_is_texts(values) for values in [*lists, *prompts.values()])
    if not good:
        raise SchemaError(
            f"'{path}' holds something else than texts and lists of texts.",
            "See the shipped questions.",
            value=str(path),
        )
    own = [value for value in data["values"] if value != "none"]
    groups = data.get("groups", own if len(own) > 1 else data["values"])
    return Question(
        texts[0], texts[1], tuple(data["values"]), tuple(groups),
        {value: tuple(words) for value, words in prompts.items()}, tuple(lists[2]), texts[2],
    )  # fmt: skip


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)
