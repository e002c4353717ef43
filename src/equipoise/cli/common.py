"""What all verbs share: the common flags, what a verb hands back, and how it reaches a person or a program."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter, Token

from equipoise.errors import EquipoiseError, InputError
from equipoise.schema import Failure, Message, Result, note_code

LARGEST_SEED = (1 << 63) - 1
"""Every library that is given the seed takes so much, and Parquet keeps it."""


def _whole(_: Any, tokens: Sequence[Token]) -> int:
    """Convert strictly: 1.5 is not 1."""
    text = tokens[0].value
    try:
        return int(text)
    except ValueError as error:
        raise ValueError(f"'{text}' is not a whole number") from error


def _seed(hint: Any, tokens: Sequence[Token]) -> int:
    number = _whole(hint, tokens)
    if number < 0:
        raise ValueError(f"a seed is 0 or more, not {number}")
    if number > LARGEST_SEED:
        raise ValueError(
            f"a seed is at most {LARGEST_SEED} (2^63 - 1), not one of {len(tokens[0].value.strip())} digits"
        )
    return number


def _whole_or_none(hint: Any, tokens: Sequence[Token]) -> int | None:
    return None if tokens[0].value.lower() == "none" else _whole(hint, tokens)


Whole = Annotated[int | None, Parameter(converter=_whole)]
WholeOrNone = Annotated[int | None, Parameter(converter=_whole_or_none)]


@Parameter(name="*", group="Common flags")
@dataclass(frozen=True)
class Common:
    """Flags that every verb takes."""

    json: Annotated[bool, Parameter(negative="", show_default=False)] = False
    """Print one JSON object on stdout and nothing else there."""
    quiet: Annotated[bool, Parameter(negative="", show_default=False)] = False
    """Print nothing but the result and errors."""
    seed: Annotated[int | None, Parameter(converter=_seed)] = None
    """Seed of everything random, 0 unless given."""
    config: Path | None = None
    """TOML file with flags of the verb, at the top level or in a table named by it; the command line wins. Paths are relative to the working directory."""
    overwrite: Annotated[bool, Parameter(negative="", show_default=False)] = False
    """Replace the output of another run."""
    warnings: Annotated[list[Message], Parameter(parse=False)] = field(default_factory=list)

    def say(self, text: str) -> None:
        """Tell a person something, on stderr."""
        if not self.quiet:
            print(safe(text), file=sys.stderr)

    def warn(self, code: str, message: str) -> None:
        """Warn a person and keep the warning for the JSON object."""
        self.warnings.append(Message(code=code, message=message))
        self.say(f"warning: {message}")

    def note_all(self, code: str, messages: Iterable[str]) -> None:
        """Tell a person what a run noted, and keep it for the JSON object; some notes are warnings with a code of their own."""
        for message in messages:
            own = note_code(message, code)
            self.warnings.append(Message(code=own, message=message))
            self.say(f"{'note' if own == code else 'warning'}: {message}")

    def rows(self, counted: Mapping[str, Any], reasons: Mapping[str, int] | None = None) -> dict[str, int]:
        """Print ``rows in = used + set aside`` and return the three numbers.

        Raises
        ------
        RuntimeError
            If they do not add up: a row was dropped in silence, which is an error of ours.
        """
        rows = {key: int(counted[key]) for key in ("in", "used", "set_aside")}
        if rows["in"] != rows["used"] + rows["set_aside"]:
            raise RuntimeError(f"rows were lost: {rows['in']} in, {rows['used']} used, {rows['set_aside']} set aside")
        why = ", ".join(f"{reason}: {count:,}" for reason, count in (reasons or {}).items() if count)
        self.say(
            f"rows: {rows['in']:,} in = {rows['used']:,} used + {rows['set_aside']:,} set aside"
            + (f" ({why})" if why else "")
        )
        return rows

    @contextmanager
    def working(self, text: str) -> Iterator[None]:
        """Show on stderr that work goes on, and how far it is, where somebody watches."""
        if self.quiet:
            yield
            return
        from equipoise.cli.working import bars, lines

        with bars(safe(text, lines=False)) if sys.stderr.isatty() else lines(self.say):
            yield


@dataclass(frozen=True)
class Outcome:
    """What a verb hands back.

    Attributes
    ----------
    line : str
        The result on stdout: a path or a verdict (``ls`` alone has more than one line).
    result : dict
        What ``--json`` shows as ``result``.
    out : str, optional
        Path of the artefact.
    rows : dict, optional
        ``in``, ``used``, ``set_aside``.
    exit_code : int
        0, or the verdict of a gate.
    """

    line: str
    result: dict[str, Any]
    out: str | None = None
    rows: dict[str, int] | None = None
    exit_code: int = 0


# C0, DEL and C1 controls, line and paragraph separators, bidirectional controls, lone surrogates.
_COMMANDING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def safe(text: object, *, lines: bool = True) -> str:
    """Return text that cannot command a terminal: control, bidirectional and lone surrogate characters are spelled out.

    ``lines=False`` spells out line breaks and tabs too.
    """
    keep = "\n\t" if lines else ""
    return _COMMANDING.sub(lambda found: found[0] if found[0] in keep else _spelled(found[0]), str(text))


def _spelled(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def result_of(command: str, outcome: Outcome, warnings: Sequence[Message]) -> Result:
    """Return the JSON object of a verb that ran."""
    return Result(
        command=command,
        exit_code=outcome.exit_code,
        rows=outcome.rows,
        out=None if outcome.out is None else _encodable(outcome.out),
        result=outcome.result,
        warnings=list(warnings),
    )


def failure_of(
    command: str, error: BaseException, exit_code: int, warnings: Sequence[Message], message: str, remedy: str
) -> Result:
    """Return the JSON object of a verb that did not."""
    kind = type(error).__name__
    return Result(
        command=command,
        exit_code=exit_code,
        warnings=list(warnings),
        error=Failure(type=kind, message=_encodable(message), remedy=_encodable(remedy)),
    )


def _encodable(text: str) -> str:
    """Spell out the lone surrogates of file names that are not UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def as_json(result: Result) -> str:
    """Return the object in ASCII, so that no byte of it can command a terminal or fail to be encoded."""
    return json.dumps(json.loads(result.to_json()), indent=2, ensure_ascii=True, allow_nan=False)


# ------------------------------------------------------------------------------------------------------- arguments


def split(values: Sequence[str] | None) -> list[str]:
    """Return the items of flags that may be repeated or hold commas."""
    return [item.strip() for value in values or () for item in value.split(",") if item.strip()]


def pairs(values: Sequence[str] | None, flag: str) -> dict[str, str]:
    """Return ``NAME=VALUE`` flags as a dict.

    Raises
    ------
    InputError
        No ``=``, an empty name, or a name given twice with different values.
    """
    found: dict[str, str] = {}
    for value in values or ():
        name, equals, text = value.partition("=")
        name = name.strip()
        if not equals or not name:
            raise InputError(f"{flag} '{value}' is not NAME=VALUE.", f"Write {flag} split=val, say.", value=value)
        if found.get(name, text) != text:
            raise InputError(
                f"{flag} asks for {name}={found[name]} and {name}={text} at once.", "Give each name once.", value=value
            )
        found[name] = text
    return found


def numbers(values: Sequence[str] | None, flag: str) -> dict[str, float]:
    """Return ``NAME=NUMBER`` flags as a dict of floats."""
    found: dict[str, float] = {}
    for name, text in pairs(values, flag).items():
        try:
            found[name] = float(text)
        except ValueError as error:
            raise InputError(
                f"{flag} {name}={text} is not a number.", f"Write {flag} {name}=0.05, say.", value=text
            ) from error
    return found


def existing(path: Path, what: str) -> Path:
    """Return a path that must exist, else raise with its name."""
    from equipoise.errors import MissingFileError

    try:
        found = path.exists()
    except (OSError, ValueError) as error:
        raise MissingFileError(
            f"The {what} '{path}' cannot be read: {error}.", "Name an existing path.", value=path
        ) from error
    if not found:
        raise MissingFileError(f"There is no {what} at '{path}'.", "Check the path.", value=path)
    return path


def explained(error: BaseException) -> tuple[int, str, str] | None:
    """Return (exit code, message, remedy) of an error that is the user's to mend, or None of one that is ours."""
    if isinstance(error, EquipoiseError):
        return (error.exit_code, error.what, error.remedy) if error.exit_code != 70 else None
    if isinstance(error, OSError) and (error.filename is not None or error.strerror):
        name = f"'{_text(error.filename)}': " if error.filename is not None else ""
        return 2, f"{name}{error.strerror or error}.", "Check the path, its permissions and the free space."
    return None


def _text(name: Any) -> str:
    return name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else str(name)
