"""Toy vectors for the tests of this room."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def unit(x: NDArray[Any]) -> NDArray[Any]:
    """Rows of length one."""
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def groups_around(rng: np.random.Generator, m: int, d: int, cosine: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return (m, d) unit vectors whose mean cosine with one another is ``cosine``, and what they share."""
    shared, *own = np.linalg.qr(rng.standard_normal((d, m + 1)))[0].T
    return np.sqrt(cosine) * shared + np.sqrt(1 - cosine) * np.array(own), shared


def projector(groups: NDArray[Any]) -> NDArray[Any]:
    """Return A (A^T A)^-1 A^T by its formula, the slow way that the library avoids."""
    a = groups.T
    return a @ np.linalg.inv(a.T @ a) @ a.T


def published(v: NDArray[Any], groups: NDArray[Any]) -> NDArray[Any]:
    """WRING as the paper writes it: normal equations, one row at a time, float64."""
    a = unit(groups.astype(np.float64)).T
    p = a @ np.linalg.inv(a.T @ a) @ a.T
    w = a @ np.linalg.inv(a.T @ a) @ np.ones(a.shape[1])
    w /= np.linalg.norm(w)
    return np.array([row - p @ row + np.linalg.norm(p @ row) * w for row in v.astype(np.float64)])


def spread(v: NDArray[Any], groups: NDArray[Any]) -> NDArray[Any]:
    """Largest difference of cosines of each row with two groups, in float64."""
    return np.ptp(unit(v.astype(np.float64)) @ unit(groups.astype(np.float64)).T, axis=1)
