"""References resolved: ``NAME:ARGUMENT`` calls the loader of that name, with the options that it takes.

Whoever needs a model by its reference calls this, on whatever floor; what a loader gives is checked where it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import Any

from equipoise.errors import InputError, listed
from equipoise.protocols import Encoder
from equipoise.registry import ENCODERS, Registry

USERS_CODE = "py"
"""The name whose loader runs a user's own code: only a person may name it, a file never does."""


def load(registry: Registry, ref: str, *, local: bool = False, **options: Any) -> Any:
    """Return what the loader of a reference gives.

    Parameters
    ----------
    registry : Registry
    ref : str
        ``NAME`` or ``NAME:ARGUMENT``; the loader is called with the argument (``""`` if there is none).
    local : bool
        Whether only files of this machine may be read: a loader that can reach a hub takes ``local_files_only``.
    **options
        Passed on, without those that are None.

    Raises
    ------
    UnknownNameError
        If nothing has that name; the message proposes a near one.
    InputError
        If the loader does not take an option that was given.
    """
    name, _, argument = ref.partition(":")
    loader = registry.load(name)
    if local and "local_files_only" in taken(loader, {"local_files_only"}):
        options["local_files_only"] = True
    return called(loader, argument, options)


def taken(loader: Callable[..., Any], names: set[str]) -> set[str]:
    """Return which of some options a loader takes."""
    parameters = signature(loader).parameters.values()
    if any(one.kind is Parameter.VAR_KEYWORD for one in parameters):
        return set(names)
    return names & {one.name for one in parameters if one.kind is not Parameter.POSITIONAL_ONLY}


def takes(ref: str, option: str) -> bool:
    """Return whether the loader of an encoder's reference has an option of that name."""
    name = ref.partition(":")[0]
    return name in ENCODERS and option in signature(ENCODERS.load(name)).parameters


def called(loader: Callable[..., Any], argument: str, options: Mapping[str, Any]) -> Any:
    """Call a loader with the options that were given (not None); InputError names one that it does not take."""
    given = {key: value for key, value in options.items() if value is not None}
    strange = sorted(set(given) - taken(loader, set(given))) if given else []
    if strange:
        raise InputError(f"This model takes no '{strange[0]}'.", "Leave it out.", value=strange[0])
    return loader(argument, **given)


def load_encoder(ref: str, *, local: bool = False, **options: Any) -> Encoder:
    """Return the encoder that a reference names; see :func:`load`.

    Raises
    ------
    InputError
        Also if what was loaded is no encoder.
    """
    return check_encoder(load(ENCODERS, ref, local=local, **options), ref)


def check_encoder(found: Any, ref: str) -> Encoder:
    """Return what was loaded if it has all that an encoder has, else raise InputError."""
    if not isinstance(found, Encoder) or isinstance(found, type):
        missing = [
            name for name in ("name", "dim", "fingerprint", "encode_text", "encode_image") if not hasattr(found, name)
        ]
        lacks = f": it has no {listed(missing)}" if missing else ""
        raise InputError(
            f"'{ref}' gives a {type(found).__name__}, which is no encoder{lacks}.",
            "An encoder has name, dim, fingerprint, encode_text and encode_image.",
            value=ref,
        )
    return found
