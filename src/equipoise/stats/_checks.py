"""Checks and seeds shared by every file of ``stats``: what a caller can get wrong is refused here, with the remedy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Seed = int | np.random.Generator


def check_fraction(value: float, name: str, example: str) -> float:
    """Return ``value`` as a float if it lies strictly between 0 and 1, else raise `InputError`."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if isinstance(value, (bool, np.bool_)) or not 0.0 < number < 1.0:
        raise InputError(f"{name} is {value!r}, not a fraction strictly between 0 and 1.", f"Give {example}.")
    return number


def check_level(level: float) -> float:
    """Return a confidence level in (0, 1), else raise `InputError`."""
    return check_fraction(level, "level", "0.95 for 95 %")


def check_count(value: int, name: str, least: int = 1) -> int:
    """Return ``value`` as an int of at least ``least``, else raise `InputError`."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or value < least:
        raise InputError(f"{name} is {value!r}, not a whole number of at least {least}.", f"Give {name} >= {least}.")
    return int(value)


def check_draws(draws: int, least: int = 2) -> int:
    """Return a number of random draws; one replicate has no spread, so the default minimum is 2."""
    return check_count(draws, "draws", least)


def generator(seed: Seed) -> np.random.Generator:
    """Return a generator; ``seed`` is a non-negative int or a `numpy.random.Generator` (which advances)."""
    if isinstance(seed, np.random.Generator):
        return seed
    return np.random.default_rng(check_count(seed, "seed", 0))


def entropy(seed: Seed) -> int:
    """Return the int from which numbered draws derive their own streams; a generator gives (and spends) 63 bits."""
    if isinstance(seed, np.random.Generator):
        return int(seed.integers(2**63 - 1))
    return check_count(seed, "seed", 0)


def finite(values: ArrayLike, name: str) -> Floats:
    """Return ``values`` as float64; NaN and infinities are refused with the place of the first."""
    array = np.asarray(values, dtype=np.float64)
    bad = ~np.isfinite(array)
    if bad.any():
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        raise InputError(
            f"{name} holds {int(bad.sum())} values that are NaN or infinite, the first at index {place}.",
            "Set those rows aside before the computation.",
        )
    return array


def counts_array(values: ArrayLike, name: str) -> Ints:
    """Return whole, non-negative counts as int64, else raise `InputError`."""
    array = finite(values, name)
    if (array < 0).any() or (array != np.floor(array)).any():
        raise InputError(
            f"{name} holds {array.min():g} .. {array.max():g}, not all whole and >= 0.", "Give counts of rows."
        )
    return array.astype(np.int64)


def codes_array(codes: ArrayLike, groups: int, name: str = "codes", rows: int | None = None) -> NDArray[np.int64]:
    """Return group codes (n,) in [0, groups), else raise `InputError`."""
    array: NDArray[Any] = np.asarray(codes)
    if array.ndim != 1 or (rows is not None and array.shape[0] != rows):
        raise InputError(
            f"{name} has shape {array.shape}, expected ({'n' if rows is None else rows},).", "One code a row."
        )
    if array.dtype.kind not in "iu":
        raise InputError(
            f"{name} has dtype {array.dtype}, expected integers.", "Encode group names as 0 .. groups - 1."
        )
    if array.size and (array.min() < 0 or array.max() >= groups):
        raise InputError(
            f"{name} runs from {array.min()} to {array.max()}, outside 0 .. {groups - 1}.",
            "Give unknown rows a group of their own and exclude that group.",
        )
    return array.astype(np.int64, copy=False)


def as_float(value: ArrayLike) -> Floats:
    """Return float64 without any check (NaN is allowed)."""
    return np.asarray(value, dtype=np.float64)
