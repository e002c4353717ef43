"""``groups.toml``: reading it and refusing, by key, what cannot be meant."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from equipoise.errors import MissingFileError, VocabularyError, did_you_mean, listed

PLACEHOLDER = "{}"
KEYS = ("values", "unknown", "templates", "prompts")


def read_toml(path: Path) -> dict[str, dict[str, Any]]:
    """Return the keyword arguments of each attribute that ``groups.toml`` declares, in the order of the file."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise MissingFileError(f"There is no vocabulary '{path}'.", "Check the path.", value=str(path)) from error
    except OSError as error:
        raise MissingFileError(
            f"'{path}' cannot be read: {error.strerror}.", "Check its permissions.", value=str(path)
        ) from error
    except UnicodeDecodeError as error:
        raise VocabularyError(f"'{path}' is not UTF-8 text.", "Save it as UTF-8.", value=str(path)) from error
    try:
        data = tomllib.loads(text.replace("\r\n", "\n"))
    except tomllib.TOMLDecodeError as error:
        raise VocabularyError(f"'{path}' is not TOML: {error}.", "Mend that line.", value=str(path)) from error
    if not data:
        raise VocabularyError(f"'{path}' declares no attribute.", "Add a section such as [gender].", value=str(path))
    return {name: _section(name, keys) for name, keys in data.items()}


def _section(name: str, keys: Any) -> dict[str, Any]:
    if not isinstance(keys, Mapping):
        raise VocabularyError(f"'{name}' stands outside a section.", "An attribute is a section: [gender].", value=name)
    for key in keys:
        if key not in KEYS:
            raise VocabularyError(
                f"[{name}] has an unknown key '{key}'.{did_you_mean(key, KEYS)}",
                f"Known: {', '.join(KEYS)}.",
                value=key,
            )
    if "values" not in keys:
        raise VocabularyError(f"[{name}] declares no values.", 'Add values = ["...", "..."].', value=name)
    out: dict[str, Any] = {
        key: _texts(f"[{name}] {key}", keys[key]) for key in ("values", "unknown", "templates") if key in keys
    }
    prompts = keys.get("prompts", {})
    if not isinstance(prompts, Mapping):
        raise VocabularyError(f"[{name}] prompts is not a section.", f"Write [{name}.prompts].", value=name)
    out["prompts"] = {group: _texts(f"[{name}.prompts] {group}", texts) for group, texts in prompts.items()}
    return out


def _texts(where: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise VocabularyError(f"{where} is {value!r}, not a list.", 'Write it as ["..."].', value=value)
    for item in value:
        if not isinstance(item, str):
            raise VocabularyError(f"{where} holds {item!r}, which is not text.", f'Quote it: "{item}".', value=item)
    return tuple(value)


def check_name(name: str) -> None:
    """Refuse an attribute name that could not be written in a key or a query list."""
    if not name or any(sign in name for sign in ":="):
        raise VocabularyError(
            f"An attribute cannot be called '{name}': ':' joins attributes and '=' names a group.",
            "Rename the column.",
            value=name,
        )


def check_attribute(
    name: str,
    values: Sequence[str],
    unknown: Sequence[str],
    templates: Sequence[str],
    prompts: Mapping[str, Sequence[str]],
) -> None:
    """Refuse a declaration that contradicts itself; VocabularyError names the key and the value."""
    check_name(name)
    if not values:
        raise VocabularyError(f"[{name}] declares no values.", "Declare at least one group.", value=name)
    for key, texts in (("values", values), ("unknown", unknown), ("templates", templates)):
        if twice := _repeated(texts):
            raise VocabularyError(f"[{name}] {key} has '{twice[0]}' twice.", "Name each once.", value=twice[0])
    if both := [value for value in values if value in unknown]:
        raise VocabularyError(f"[{name}] '{both[0]}' is both a value and unknown.", "Choose one.", value=both[0])
    if any(not value.strip() for value in values):
        raise VocabularyError(f"[{name}] values has an empty text.", "Name the group, or list it as unknown.", value="")
    if not templates:
        raise VocabularyError(f"[{name}] templates is empty.", 'Add one such as "a photo of {}".', value=name)
    for template in templates:
        if template.count(PLACEHOLDER) != 1:
            raise VocabularyError(
                f"[{name}] the template '{template}' has {template.count(PLACEHOLDER)} placeholders.",
                "A template holds {} exactly once.",
                value=template,
            )
    for group, texts in prompts.items():
        if group not in values:
            raise VocabularyError(
                f"[{name}.prompts] '{group}' is not a declared value.{did_you_mean(group, values)}",
                f"Declared: {listed(values)}.",
                value=group,
            )
        if any(not text.strip() for text in texts):
            raise VocabularyError(f"[{name}.prompts] {group} has an empty prompt.", "Remove it.", value=group)


def _repeated(texts: Sequence[str]) -> list[str]:
    seen: set[str] = set()
    return [text for text in texts if text in seen or seen.add(text)]
