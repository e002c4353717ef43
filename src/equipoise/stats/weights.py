"""Row weights: checks, and how many equal rows they are worth."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from equipoise.errors import InputError
from equipoise.stats._checks import Floats, finite


def check_weights(weights: ArrayLike) -> Floats:
    """Return weights (n,) as float64.

    Raises
    ------
    InputError
        If a weight is negative, NaN or infinite, if all are 0, or if there is none.
    """
    array = finite(weights, "weights")
    if array.ndim != 1 or array.size == 0:
        raise InputError(f"weights have shape {array.shape}, expected (n,) with n >= 1.", "Give one weight a row.")
    if (array < 0).any():
        place = int(np.flatnonzero(array < 0)[0])
        raise InputError(f"the weight of row {place} is {array[place]:g}, negative.", "Give weights >= 0.")
    if not array.any():
        raise InputError(f"all {array.size} weights are 0.", "Give at least one row a positive weight.")
    return array


def effective_sample_size(weights: ArrayLike) -> float:
    """Return Kish's effective sample size (sum w)^2 / sum w^2, between 1 and the number of positive weights.

    Kish (1965), Survey Sampling, section 11.7. The scale of the weights is irrelevant.
    """
    array = check_weights(weights)
    array = array / array.max()
    return float(array.sum() ** 2 / np.square(array).sum())
