"""Options of the edits, checked: each refusal names the value and the range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.errors import InputError, UnknownNameError, did_you_mean, listed


def one_of(name: str, value: str, known: Sequence[str]) -> str:
    """Return ``value`` if it is one of ``known``; InputError names the near one."""
    if value not in known:
        raise InputError(
            f"{name} is {value!r}.{did_you_mean(str(value), known)}", f"It is one of {', '.join(known)}.", value=value
        )
    return value


def checked_k(k: int | None) -> int | None:
    """Return a number of neighbours, or None for all rows."""
    if k is not None and (not isinstance(k, int) or isinstance(k, bool) or k < 1):
        raise InputError(f"k is {k!r}.", "It is a whole number of rows from 1, or None for all of them.", value=k)
    return k


def checked_shares(shares: ArrayLike, m: int) -> NDArray[np.float64]:
    """Return shares as (m,) positive float64 numbers, or say what is wrong with them."""
    found = np.asarray(shares, dtype=np.float64)
    if found.shape != (m,) or not (np.isfinite(found) & (found > 0)).all():
        raise InputError(f"shares are {np.asarray(shares).tolist()}.", f"Pass {m} positive numbers, one a group.")
    return found


def checked_strength(strength: float) -> float:
    """Return a strength in [0, 1], or say that it is none."""
    if not 0 <= strength <= 1:
        raise InputError(
            f"strength is {strength!r}.", "It lies between 0 (no change) and 1 (equal cosines).", value=strength
        )
    return float(strength)


def shares_by_attribute(
    shares: Mapping[str, Any] | None, attributes: Sequence[str]
) -> dict[str, dict[str, float]] | None:
    """Return shares as attribute to group to number."""
    if shares is None:
        return None
    if not isinstance(shares, Mapping):
        raise InputError(f"shares are {shares!r}.", "Pass a mapping of group to a positive number.", value=shares)
    nested = shares if all(isinstance(value, Mapping) for value in shares.values()) else {attributes[0]: shares}
    if len(attributes) > 1 and nested is not shares:
        raise InputError("shares of several attributes are not told apart.", "Pass {attribute: {group: number}}.")
    if unknown := [key for key in nested if key not in attributes]:
        raise UnknownNameError(f"shares name '{unknown[0]}', which is not edited.", f"Edited: {listed(attributes)}.")
    return {key: {group: float(number) for group, number in given.items()} for key, given in nested.items()}


def check_group_shares(shares: Mapping[str, Mapping[str, float]] | None, concepts: Mapping[str, Sequence[str]]) -> None:
    """Refuse shares that name another group, miss one, or are not positive."""
    for key, groups in concepts.items():
        given = (shares or {}).get(key)
        if not given:
            continue
        if unknown := [name for name in given if name not in groups]:
            raise UnknownNameError(
                f"shares name {listed(unknown)}, no group of '{key}'.{did_you_mean(unknown[0], groups)}",
                f"Its groups: {listed(groups)}.",
                value=unknown,
            )
        checked_shares([given.get(group, np.nan) for group in groups], len(groups))
