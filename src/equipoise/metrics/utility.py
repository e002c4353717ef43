"""What an edit of the queries leaves of the search: how much of the top k stays, how far the query moved.

Both compare the same queries before and after an edit; before it they are exactly 1. Notation: Q queries, d dimensions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.errors import EmbeddingError, InputError
from equipoise.protocols import Floats, Metric, MetricDescriptor

OVERLAP_MARGIN = 0.10
QUERY_COSINE_MARGIN = 0.10


def overlaps(before: ArrayLike, after: ArrayLike) -> NDArray[np.float64]:
    """Return the share of the top k of each query that stays, (Q,).

    Parameters
    ----------
    before, after : array_like of int, shape (Q, k)
        Rows of the top k; their order is irrelevant, no row occurs twice.

    Raises
    ------
    InputError
        If shapes differ or k is 0.
    """
    before, after = np.asarray(before), np.asarray(after)
    if before.shape != after.shape or before.ndim != 2 or before.shape[1] == 0:
        raise InputError(
            f"The top rows have shapes {before.shape} and {after.shape}.", "Give two arrays (Q, k) of the same queries."
        )
    both = np.sort(np.concatenate((before, after), axis=1), axis=1)
    return (both[:, 1:] == both[:, :-1]).sum(1) / before.shape[1]


def query_cosines(before: ArrayLike, after: ArrayLike) -> NDArray[np.float64]:
    """Return the cosine of each query with its edited self, (Q,), from vectors (Q, d) of any length above 0.

    Raises
    ------
    EmbeddingError
        If shapes differ, or a vector is zero or not finite.
    """
    before, after = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    length = np.linalg.norm(before, axis=-1) * np.linalg.norm(after, axis=-1)
    if before.shape != after.shape or before.ndim != 2 or not (np.isfinite(length) & (length > 0)).all():
        raise EmbeddingError(
            f"Queries of shape {before.shape} and {after.shape} cannot be compared.",
            "Give two arrays (Q, d) of finite vectors, none of them zero.",
        )
    return np.clip(np.einsum("qd,qd->q", before, after) / length, -1.0, 1.0)


class _QueryMean(Metric):
    """Mean over the queries of a value a query; (...) from (..., Q). There is no closed-form interval over queries."""

    def statistic(self, evidence: ArrayLike) -> Floats:
        """Return the mean over all queries, (...); NaN where there is none or one has no value."""
        values = np.asarray(evidence, dtype=np.float64)
        return values.mean(-1) if values.shape[-1] else np.full(values.shape[:-1], np.nan)


class Overlap(_QueryMean):
    """Share of the top k that an edit leaves in place, mean over queries; values from :func:`overlaps`."""

    descriptor = MetricDescriptor(
        name="overlap",
        protocol="same_rows_before_after",
        evidence="paired",
        role="utility",
        direction="higher",
        signed=False,
        margin=OVERLAP_MARGIN,
        unit="share in [0, 1]",
        formula="mean over queries of |top k before and after| / k",
        source="overlap of the top k with the original ranking",
        at_k=True,
        title="share of the top k that stays",
    )


class QueryCosine(_QueryMean):
    """Cosine of a query with its edited self, mean over queries; values from :func:`query_cosines`."""

    descriptor = MetricDescriptor(
        name="query_cosine",
        protocol="original_query",
        evidence="paired",
        role="utility",
        direction="higher",
        signed=False,
        margin=QUERY_COSINE_MARGIN,
        unit="cosine in [-1, 1]",
        formula="mean over queries of cos(v, v'), v' the edited query",
        source="mean cosine to the original embedding",
        title="cosine of a query with its edited self",
    )
