"""Wanted shares as people write them: a mapping for each attribute, a number, and shares inside one label.

A number is the share of a flag, or of the *first* of two values in the order in which they are declared (sorted where the
rows alone declare them); the second has the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from equipoise.errors import InputError, UnknownNameError, did_you_mean, listed


def split_shares(shares: Any, attributes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return attribute -> label (empty for all rows) -> shares."""
    if shares is None:
        return {}
    if not isinstance(shares, Mapping):
        raise InputError(f"shares are {shares!r}.", "Pass {attribute: {group: share}}, or a number.", value=shares)
    found: dict[str, dict[str, Any]] = {}
    for name, value in shares.items():
        key, _, label = (part.strip() for part in str(name).partition("|"))
        if key not in attributes:
            raise UnknownNameError(
                f"shares name '{key}', which is not balanced.{did_you_mean(key, attributes)}",
                f"Balanced: {listed(attributes)}.",
                value=key,
            )
        found.setdefault(key, {})[label] = value
    return found


def shares_of(key: str, groups: tuple[str, ...], given: Any, default: tuple[str, ...] = ()) -> dict[str, float]:
    """Return the wanted share of each group that takes part, in the order of the groups.

    Parameters
    ----------
    key : str
    groups : tuple of str
        Values that may be named; one empty text for a flag or a score.
    given : mapping, number or None
        A number is the share of a flag, or of the first of two groups.
        Equal shares over ``default`` where None.
    default : tuple of str
        All groups where empty.
    """
    if groups == ("",):  # a flag: its share is a number, or that of yes
        value = 0.5 if given is None else given
        if isinstance(value, Mapping):
            named = {str(name).lower(): number for name, number in value.items()}
            yes = [number for name, number in named.items() if name in ("1", "true", "yes")]
            _check_sum(key, list(value.values()))
            if len(yes) != 1:
                raise InputError(f"shares for '{key}' are {dict(value)}.", f"Pass the share of '{key}' as a number.")
            value = yes[0]
        _check_share(key, value)
        return {"": float(value)}
    names = default or groups
    if given is None:
        return dict.fromkeys(names, 1 / len(names))
    if not isinstance(given, Mapping):
        if len(names) != 2 or isinstance(given, (str, bytes)):
            raise InputError(
                f"shares for '{key}' are {given!r}.",
                f"Pass a share for each group: {listed(names)}. A number is the share of the first of two.",
                value=given,
            )
        _check_share(key, given)
        return {names[0]: float(given), names[1]: 1.0 - float(given)}
    if strange := [name for name in given if name not in groups]:
        raise UnknownNameError(
            f"'{strange[0]}' is not a group of '{key}'.{did_you_mean(str(strange[0]), groups)}",
            f"Its groups: {listed(groups)}.",
            value=strange[0],
        )
    if len(given) < 2:
        raise InputError(f"shares for '{key}' name one group.", f"Name two or more of {listed(groups)}.")
    for value in given.values():
        _check_share(key, value)
    _check_sum(key, list(given.values()))
    return {group: float(given[group]) for group in groups if group in given}


def _check_share(key: str, value: Any) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= 1:
        raise InputError(f"A share for '{key}' is {value!r}.", "Shares lie in [0, 1].", value=value)


def _check_sum(key: str, values: Sequence[float]) -> None:
    if abs(sum(values) - 1) > 1e-9:
        raise InputError(f"shares for '{key}' sum to {sum(values):.6g}; they must sum to 1.", value=sum(values))
