"""Corrections of a family of p values. NaN (a test that could not be made) passes through and is not counted."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from equipoise.errors import InputError
from equipoise.stats._checks import Floats, as_float


def _ordered(p: ArrayLike) -> tuple[Floats, np.ndarray, np.ndarray]:
    array = as_float(p)
    if array.ndim != 1:
        raise InputError(f"p values have shape {array.shape}, expected (m,).", "Give one family as one vector.")
    if ((array < 0) | (array > 1)).any():
        raise InputError(f"p values run from {np.nanmin(array):g} to {np.nanmax(array):g}.", "Give p values in [0, 1].")
    known = np.flatnonzero(~np.isnan(array))
    return array, known, known[np.argsort(array[known], kind="stable")]


def holm(p: ArrayLike) -> Floats:
    """Return Holm's adjusted p values (m,), which control the family-wise error without any assumption.

    max_{i <= j} min(1, (m - i + 1) p_(i)): Holm (1979), Scand. J. Stat. 6:65-70.

    Raises
    ------
    InputError
        If p is not a vector or leaves [0, 1].
    """
    array, known, order = _ordered(p)
    adjusted = array.copy()
    steps = np.arange(known.size, 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps * array[order]), 1.0) if known.size else []
    return adjusted


def benjamini_hochberg(p: ArrayLike) -> Floats:
    """Return adjusted p values (m,) that control the false discovery rate under independence or positive dependence.

    min_{i >= j} min(1, m p_(i) / i): Benjamini & Hochberg (1995), J. R. Stat. Soc. B 57:289-300.

    Raises
    ------
    InputError
        If p is not a vector or leaves [0, 1].
    """
    array, known, order = _ordered(p)
    adjusted = array.copy()
    if known.size:
        raised = array[order] * known.size / np.arange(1, known.size + 1)
        adjusted[order] = np.minimum(np.minimum.accumulate(raised[::-1])[::-1], 1.0)
    return adjusted
