"""Is a change shown to be small? Two one-sided tests, the detectable change, and the plain two-sided test."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from equipoise.errors import InputError
from equipoise.stats._checks import Floats, as_float, check_fraction


class Equivalence(NamedTuple):
    """Outcome of two one-sided tests; each field has the broadcast shape of the inputs."""

    p: Floats
    low: Floats
    high: Floats
    equivalent: np.ndarray


def _standard_errors(se: ArrayLike) -> Floats:
    array = as_float(se)
    if (array < 0).any():
        raise InputError(f"a standard error is negative ({np.nanmin(array):g}).", "Give standard errors >= 0.")
    return array


def two_sided_p(change: ArrayLike, se: ArrayLike) -> Floats:
    """Return 2 Phi(-|change / se|), the two-sided normal p of "no change".

    A change of 0 with ``se`` 0 (nothing moved in any resample) has p = 1; any other change with ``se`` 0 is NaN,
    because a spread of 0 is then no evidence.
    """
    from scipy.special import ndtr

    change, se = np.broadcast_arrays(as_float(change), _standard_errors(se))
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * ndtr(-np.abs(change / se))
    return np.where(se > 0, p, np.where((se == 0) & (change == 0), 1.0, np.nan))


def tost(change: ArrayLike, se: ArrayLike, margin: ArrayLike, alpha: float = 0.05) -> Equivalence:
    """Return the test that ``change`` lies inside (-margin, margin).

    p = max(Phi((change - margin)/se), Phi((-change - margin)/se)); p <= alpha exactly when the 1 - 2 alpha interval
    (90 % at .05) lies within the margin: Schuirmann (1987), J. Pharmacokinet. Biopharm. 15:657-680.
    With ``se`` 0: a change of 0 is equivalent (p = 0), any other is NaN and not shown to be.

    Parameters
    ----------
    change, se, margin : array_like
        Same unit; se >= 0, margin > 0.

    Returns
    -------
    Equivalence
        ``p``, the 1 - 2 alpha limits ``low`` and ``high``, and ``equivalent`` (bool).

    Raises
    ------
    InputError
        If a margin is not positive, a standard error is negative, or alpha is not in (0, .5).
    """
    from scipy.special import ndtr, ndtri

    if check_fraction(alpha, "alpha", "0.05 for 5 %") >= 0.5:
        raise InputError(f"alpha is {alpha!r}, half or more.", "Give 0.05 for 5 %.")
    change, se, margin = np.broadcast_arrays(as_float(change), _standard_errors(se), as_float(margin))
    if not (margin > 0).all():
        raise InputError("a margin is 0, negative or NaN.", "Give the largest change that does not matter, > 0.")
    z = float(ndtri(1 - alpha))
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.maximum(ndtr((change - margin) / se), ndtr((-change - margin) / se))
    still = (se == 0) & (change == 0)
    p = np.where(se > 0, p, np.where(still, 0.0, np.nan))
    low = np.where(np.isnan(p), np.nan, change - z * se)
    high = np.where(np.isnan(p), np.nan, change + z * se)
    return Equivalence(p, low, high, (low > -margin) & (high < margin))


def minimum_detectable_effect(se: ArrayLike, alpha: float = 0.05, power: float = 0.8) -> Floats:
    """Return (z_{1 - alpha/2} + z_power) se, the smallest true change found with this power; 2.80 se by default.

    Bloom (1995), Eval. Rev. 19:547-556.
    """
    from scipy.special import ndtri

    check_fraction(alpha, "alpha", "0.05 for 5 %")
    check_fraction(power, "power", "0.8 for 80 %")
    return (ndtri(1 - alpha / 2) + ndtri(power)) * _standard_errors(se)
