"""How far the groups of a ranking are from a wanted distribution: Kullback-Leibler at k, and its discounted mean.

Pure functions for library users. The wanted distribution is always given: the pool's shares and the uniform one lead to
different numbers, and published figures use both.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.errors import InputError


def kl_at_k(shares: ArrayLike, prior: ArrayLike) -> NDArray[np.float64]:
    """Return sum_a p_a ln(p_a / pi_a) in nats, the divergence of what is found from what is wanted.

    Gerych et al. (2024), NeurIPS (Bend-VLM): retrieved relative to target, 0 where they agree.

    Parameters
    ----------
    shares : array_like (..., G)
        Share of each group in the top k; sums to 1.
    prior : array_like (G,)
        Wanted share of each group; sums to 1.

    Returns
    -------
    ndarray (...)
        At least 0; inf where a group with pi_a = 0 was found.

    Raises
    ------
    InputError
        If shares or the prior are negative or do not sum to 1, or differ in their number of groups.
    """
    shares, prior = _distribution(shares, "shares"), _distribution(prior, "prior")
    if prior.ndim != 1 or shares.shape[-1] != prior.size:
        raise InputError(
            f"shares have {shares.shape[-1]} groups, the prior has shape {prior.shape}",
            "Give one wanted share a group.",
        )
    return _divergence(shares, prior)


def ndkl(ranked_codes: ArrayLike, prior: ArrayLike) -> NDArray[np.float64]:
    """Return the normalised discounted cumulative divergence of full rankings, NDKL.

    (1/Z) sum_{i=1..N} KL(D_i || prior) / log2(i + 1), Z = sum_{i=1..N} 1 / log2(i + 1), D_i the group shares of the
    first i rows: Geyik, Ambler & Kenthapadi (2019), KDD, section 4.1; in nats.

    Parameters
    ----------
    ranked_codes : array_like of int (..., n)
        Group of each row of a ranking, best first, one order for ties; rows of unknown group (-1) are taken out.
    prior : array_like (G,)
        Wanted share of each group; sums to 1.

    Returns
    -------
    ndarray (...)
        At least 0; NaN for a ranking without rows of known group.

    Raises
    ------
    InputError
        If a code is not in -1 .. G - 1, or the prior is no distribution.
    """
    prior = _distribution(prior, "prior")
    codes = np.asarray(ranked_codes)
    if prior.ndim != 1:
        raise InputError(f"prior has shape {prior.shape}", "Give one wanted share a group.")
    if codes.ndim < 1 or codes.dtype.kind not in "iu":
        raise InputError(f"ranked codes are {codes.dtype} of shape {codes.shape}", "Give integers (..., n).")
    if codes.size and (codes.min() < -1 or codes.max() >= prior.size):
        raise InputError(
            f"Codes run from {codes.min()} to {codes.max()}, outside 0 .. {prior.size - 1}.", "Encode unknown as -1."
        )
    flat = codes.reshape(-1, codes.shape[-1])
    return np.array([_ndkl(row[row >= 0], prior) for row in flat], dtype=np.float64).reshape(codes.shape[:-1])


def _ndkl(codes: NDArray[np.integer], prior: NDArray[np.float64]) -> float:
    if codes.size == 0:
        return np.nan
    place = np.arange(1, codes.size + 1)
    found = np.cumsum(codes[:, None] == np.arange(prior.size), axis=0) / place[:, None]
    discount = 1 / np.log2(place + 1)
    return float((_divergence(found, prior) * discount).sum() / discount.sum())


def _divergence(shares: NDArray[np.float64], prior: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(shares > 0, shares * np.log(shares / prior), 0.0)
    return np.maximum(terms.sum(-1), 0.0)


def _distribution(values: ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim < 1 or not (array >= 0).all() or not np.allclose(array.sum(-1), 1, rtol=0, atol=1e-9):
        raise InputError(f"{name} are no distribution: {array.tolist()}", "Give shares of at least 0 that sum to 1.")
    return array
