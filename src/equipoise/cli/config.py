"""``--config FILE.toml``: flags of a verb from a file, checked before cyclopts turns them into arguments.

Keys are the verb's flags without dashes. They stand at the top level or in a table named by the verb (``[audit]``,
``[mitigate.wring]``), which wins over the top level; flags on the command line win over both.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

from equipoise.errors import InputError, MissingFileError, UnknownNameError, did_you_mean, listed

if TYPE_CHECKING:
    from cyclopts import App
    from cyclopts.argument import ArgumentCollection

_TYPES: dict[Any, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    str: ((str,), "text"),
    Path: ((str,), "a path"),
}


def from_file(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Fill ``arguments`` from the file that ``--config`` names; cyclopts calls it before it binds.

    Raises
    ------
    InputError
        The file is missing or no TOML, a key is unknown, or a value has another type than its flag.
    """
    chosen = next((argument for argument in arguments if "--config" in argument.names), None)
    if chosen is None or not chosen.tokens:
        return
    path = Path(chosen.tokens[-1].value)
    data = _read(path)
    verbs = {name for name in _root(app) if not name.startswith("-")}
    flags = {
        name.removeprefix("--"): argument
        for argument in arguments
        if argument.parameter.parse is not False
        for name in argument.names
        if name.startswith("--")
    }
    flags.pop("config", None)
    values = _flags_of(data, commands, verbs, flags, path)
    for key, value in values.items():
        _check_type(key, value, flags[key], path)
    from cyclopts.config import Dict

    Dict(values, source=str(path), use_commands_as_keys=False)(app, commands, arguments)


def _root(app: App) -> App:
    frame = app.app_stack.current_frame
    return frame[0] if frame else app


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise MissingFileError(
            f"There is no configuration at '{path}'.", "Check the path of --config.", value=path
        ) from error
    except OSError as error:
        raise MissingFileError(
            f"The configuration '{path}' cannot be read: {error.strerror}.", "Name a TOML file.", value=path
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"The configuration '{path}' is not TOML: {error}.", "Mend it.", value=path) from error


def _flags_of(
    data: Mapping[str, Any], commands: tuple[str, ...], verbs: set[str], flags: Mapping[str, Any], path: Path
) -> dict[str, Any]:
    """Return the keys that count for this verb: the top level, then the table of the verb, then that of its method."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        name = key.replace("_", "-")
        if name in flags:
            found[name] = value
        elif not isinstance(value, Mapping) or name not in verbs:
            known = [*flags, *(f"[{verb}]" for verb in sorted(verbs))]
            raise _unknown(key, known if not isinstance(value, Mapping) else [*verbs, *flags], path)
    table: Any = data
    for depth, verb in enumerate(commands):
        table = table.get(verb, {}) if isinstance(table, Mapping) else {}
        if not isinstance(table, Mapping):
            raise InputError(f"{path}: '{verb}' is a table of flags, not {table!r}.", f"Write [{verb}].", value=table)
        for key, value in table.items():
            name = key.replace("_", "-")
            if name in flags:
                found[name] = value
            elif not (isinstance(value, Mapping) and depth + 1 < len(commands)):
                raise _unknown(f"{verb}.{key}", [f"{verb}.{flag}" for flag in flags], path)
    return {name: _listed_pairs(value) for name, value in found.items()}


def _listed_pairs(value: Any) -> Any:
    """Turn ``rows = {split = "val"}`` into what the flag takes, ``["split=val"]``."""
    if isinstance(value, Mapping):
        return [f"{name}={text}" for name, text in value.items()]
    return value


def _unknown(key: str, known: list[str], path: Path) -> UnknownNameError:
    return UnknownNameError(
        f"{path}: unknown key '{key}'.{did_you_mean(key, known)}", f"Known: {listed(sorted(known), 40)}.", value=key
    )


def _check_type(key: str, value: Any, argument: Any, path: Path) -> None:
    kind = _kind(argument.hint)
    many = get_origin(kind) in (list, tuple, set)
    if isinstance(value, list) and not many:
        raise _wrong(key, value, "one value, not a list", path)
    inner = get_args(kind)[0] if many else kind
    allowed, words = _TYPES.get(inner, ((str,), "text"))
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, allowed) or (isinstance(item, bool) and bool not in allowed):
            raise _wrong(key, item, words, path)


def _kind(hint: Any) -> Any:
    """Return what a flag holds when it holds something."""
    if get_origin(hint) in (Union, UnionType):
        return next(part for part in get_args(hint) if part is not NoneType)
    return hint


def _wrong(key: str, value: Any, words: str, path: Path) -> InputError:
    return InputError(f"{path}: '{key}' is {value!r}, expected {words}.", "Mend the file.", value=value)
