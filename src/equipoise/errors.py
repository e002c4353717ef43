"""What a user can meet: every error says what is wrong, with which value, and what to do.

The command line turns an :class:`EquipoiseError` into one message, one JSON object and one exit code; a library user
catches the class. ``exit_code`` is the contract: 1 and 3 belong to the gate alone, 2 is wrong use or bad input, 4 a
refusal of a method, 70 an error of ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, ClassVar


class EquipoiseError(Exception):
    """Base of all errors that equipoise raises on purpose.

    Parameters
    ----------
    what : str
        One sentence that names the item and the offending value.
    remedy : str, optional
        One sentence that says what to do.
    value : object, optional
        The offending value, for programs.
    """

    exit_code: ClassVar[int] = 70

    def __init__(self, what: str, remedy: str = "", *, value: Any = None) -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy
        self.value = value

    def __str__(self) -> str:
        return f"{self.what} {self.remedy}".strip()


class InputError(EquipoiseError):
    """Wrong use or bad input: an argument, a table, a file."""

    exit_code = 2


class MissingFileError(InputError):
    """A file or folder that was named does not exist or cannot be read."""


class BadImageError(InputError):
    """A picture that cannot be used; a run sets it aside and goes on.

    Parameters
    ----------
    reason : str
        Why, in a few words that are the same for every such picture, so that they can be counted.
    what, remedy, value
        As for every error; ``what`` names the picture.
    """

    def __init__(self, reason: str, what: str = "", remedy: str = "", *, value: Any = None) -> None:
        super().__init__(what or f"{reason}.", remedy, value=value)
        self.args = (reason, what, remedy)
        self.reason = reason


class MissingColumnError(InputError):
    """A table lacks a column that was named."""


class MissingTextError(InputError):
    """Texts that have no vector, and no encoder at hand that could give one; ``value`` lists all of them."""


class UnknownNameError(InputError):
    """A name that is not in a registry or a vocabulary; the message proposes a near one."""


class VocabularyError(InputError):
    """A value outside the declared vocabulary, a missing prompt, or vocabularies that differ."""


class EmbeddingError(InputError):
    """Embeddings that cannot be used: NaN, zero length, widths that differ."""


class LeakageError(InputError):
    """Rows that were used to fit a mitigation would also be used to audit it."""


class FingerprintError(InputError):
    """A store, model or audit is not the one that was used before."""


class ChecksumError(InputError):
    """A file's bytes are not those that were written."""


class SchemaError(InputError):
    """A file of an unknown schema or with unknown or ill-typed keys."""


class OutputExistsError(InputError):
    """An output of another run is in the way."""


class LockedError(InputError):
    """Another process works on the same output."""


class MethodRefusal(EquipoiseError):
    """A method cannot do what was asked on these data (no such vector, an empty cell, infeasible shares)."""

    exit_code = 4


class InfeasibleBalance(MethodRefusal):
    """No weights meet the constraints of a balance; the message says how much can be kept and what is hardest.

    Parameters
    ----------
    status : str
        What the solver made of it.
    constraints : tuple of str
        At most five constraints, the hardest first.
    """

    def __init__(
        self, what: str, remedy: str = "", *, value: Any = None, status: str = "infeasible", constraints: Any = ()
    ) -> None:
        super().__init__(what, remedy, value=value)
        self.status = status
        self.constraints = tuple(constraints)


class GateFailed(EquipoiseError):
    """The gate found a limit broken."""

    exit_code = 1


class GateInsufficient(EquipoiseError):
    """The gate found too little evidence."""

    exit_code = 3


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the nearest known name, or an empty string."""
    known = list(known)
    near = [other for other in known if other.casefold() == name.casefold()][:1]
    near = near or get_close_matches(name, known, n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else ""


def expect(value: Any, kinds: type | tuple[type, ...], what: str, remedy: str) -> None:
    """Raise InputError where a value is of another kind than a caller must give."""
    if not isinstance(value, kinds):
        raise InputError(f"{what} is a {type(value).__name__}.", remedy, value=value)


def listed(items: Iterable[Any], limit: int = 10) -> str:
    """Join items for a message, at most ``limit`` of them, and say how many more there are."""
    items = [str(item) for item in items]
    head = ", ".join(items[:limit])
    return head if len(items) <= limit else f"{head} and {len(items) - limit} more"
