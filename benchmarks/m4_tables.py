"""The made-up tables on which M4 is measured: dense correlated attributes, and pairs as the web has them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

BASES = (0.65, 0.58, 0.40, 0.30, 0.20)
SHARES = (0.5, 0.5, 0.5, 0.3, 0.25)
SETS = {"A": (20_000, 2, 8), "B": (200_000, 2, 8), "C": (1_000_000, 5, 35)}
"""Rows, attributes, labels."""

GENDERS = ("woman", "man", "both", "none")


def dense(name: str, seed: int = 11) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return :func:`correlated` of one of ``SETS``."""
    return correlated(*SETS[name], seed)


def correlated(n: int, m: int, c: int, seed: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return attributes (n, m) that go together and labels (n, c) that depend on all of them."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal(n).astype(np.float32)
    s = np.empty((n, m), bool)
    for k in range(m):
        rho = 0.3 if k % 2 == 0 else -0.3
        own = rng.standard_normal(n).astype(np.float32)
        s[:, k] = rho * z + np.sqrt(1 - rho**2) * own < ndtri(BASES[k])
    prevalence = np.exp(rng.uniform(np.log(0.005), np.log(0.2), c))
    slope = rng.normal(0, 0.8, (m, c)).astype(np.float32)
    common = rng.standard_normal(n).astype(np.float32)
    centred = (s - np.array(BASES[:m])).astype(np.float32)
    y = np.empty((n, c), bool)
    for r in range(c):
        logit = np.log(prevalence[r] / (1 - prevalence[r])) + centred @ slope[:, r] + 0.3 * common
        y[:, r] = rng.random(n, dtype=np.float32) < 1 / (1 + np.exp(-logit))
    return s, y


def web(chunks: int, rows: int, labels: int, seed: int = 0) -> Iterator[tuple[NDArray[np.int8], NDArray[np.bool_]]]:
    """Yield (number among GENDERS, labels (rows, labels)) of pairs, 12 % of which show a person, chunk by chunk.

    Labels are rare (0.03 % to 2 % of persons) and lean to men or women; of other pairs a twentieth of that has them.
    """
    fixed = np.random.default_rng(seed)
    prevalence = np.exp(fixed.uniform(np.log(3e-4), np.log(2e-2), labels))
    skew = fixed.normal(0, 0.8, labels)
    for chunk in range(chunks):
        rng = np.random.default_rng([seed, chunk])
        person = rng.random(rows, np.float32) < 0.12
        man = person & (rng.random(rows, np.float32) < 0.62)
        woman = person & ((rng.random(rows, np.float32) < 0.25) | (~man & (rng.random(rows, np.float32) < 0.9)))
        gender = np.select([woman & ~man, man & ~woman, man & woman], [0, 1, 2], 3).astype(np.int8)
        lean = np.array([-1.0, 1.0, 0.0, 0.0])
        y = np.empty((labels, rows), bool)
        for r in range(labels):
            by_gender = prevalence[r] * np.exp(skew[r] * lean)
            by_gender[3] = 0.05 * prevalence[r]
            p = by_gender.astype(np.float32)[gender]
            nobody = (gender == 3) & person
            p[nobody] = prevalence[r]
            y[r] = rng.random(rows, np.float32) < p
        yield gender, y.T
