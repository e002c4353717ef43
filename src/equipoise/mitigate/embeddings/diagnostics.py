"""What an edit did to each query, from the vectors before and after alone.

All columns follow from the geometry, whatever the method: Pv is the part of v in the span of the group vectors and
p = |Pv| / |v|. An edit that scales the rest of v evenly multiplies its cosine with every direction orthogonal to the
span by sqrt((1 - p'^2) / (1 - p^2)), where p' is the share afterwards. For two concept directions d1, d2 of any kind,
|bias(v') - bias(v)| <= |v' - v| |d1 - d2| <= 2 |v' - v| for unit vectors; for WRING this is 4 sin(theta / 2) p.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from equipoise.mitigate.embeddings.geometry import coordinates, span, unit

SCHEMA = pa.schema(
    [
        ("query", pa.string()),
        ("explicit", pa.string()),
        ("edited", pa.bool_()),
        ("fallback", pa.string()),
        ("subspace_share", pa.float64()),
        ("rotation_angle", pa.float64()),
        ("spread_before", pa.float64()),
        ("spread_after", pa.float64()),
        ("side_effect_bound", pa.float64()),
        ("span_amplification", pa.float64()),
        ("amplification", pa.float64()),
        ("condition", pa.float64()),
    ]
)
"""One row a query. ``explicit``: the group it names (``gender=Female``) or empty. ``edited``: whether it was changed on
purpose. ``fallback``: what was done where the method had no solution. ``subspace_share``: p. ``rotation_angle``:
degrees between Pv before and after (null when nothing is left). ``spread_before``, ``spread_after``: largest
difference of cosines with two groups of one attribute. ``side_effect_bound``: no cosine bias on any other concept
changed by more. ``span_amplification``: what span projection would do to directions orthogonal to the groups;
``amplification``: what this edit does. ``condition``: of the group vectors."""


def measure(
    before: NDArray[Any], after: NDArray[Any], vectors: NDArray[np.float64], blocks: tuple[int, ...]
) -> dict[str, NDArray[np.float64]]:
    """Return the numeric columns of :data:`SCHEMA`.

    Parameters
    ----------
    before, after : ndarray (n, d)
        Rows of any length but zero.
    vectors : ndarray (m, d) or (n, m, d)
        Group vectors.
    blocks : tuple of int
        Number of groups of each attribute.
    """
    v, w = unit(before), unit(after)
    groups = span(vectors)
    inside, turned = coordinates(v, groups.basis), coordinates(w, groups.basis)
    share, rest = np.linalg.norm(inside, axis=1), np.linalg.norm(turned, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        outside = np.sqrt(np.maximum(0.0, 1 - share**2))
        a, b = inside / share[:, None], turned / rest[:, None]
        angle = 2 * np.arctan2(np.linalg.norm(a - b, axis=1), np.linalg.norm(a + b, axis=1))
        angle = np.where((share > 1e-12) & (rest > 1e-6 * share), np.degrees(angle), np.nan)
        spanned, own = 1 / outside, np.sqrt(np.maximum(0.0, 1 - rest**2)) / outside
    clear = outside > 1e-6
    return {
        "subspace_share": share,
        "rotation_angle": angle,
        "spread_before": spread(v, vectors, blocks),
        "spread_after": spread(w, vectors, blocks),
        "side_effect_bound": 2 * np.linalg.norm(w - v, axis=1),
        "span_amplification": np.where(clear, spanned, np.nan),
        "amplification": np.where(clear, own, np.nan),
        "condition": np.broadcast_to(groups.condition, (len(v),)),
    }


def spread(x: NDArray[Any], vectors: NDArray[np.float64], blocks: tuple[int, ...]) -> NDArray[np.float64]:
    """Return (n,) the largest difference of cosines of a row with two groups of one attribute."""
    cosines = coordinates(unit(x), np.swapaxes(unit(vectors), -1, -2))
    parts = np.split(cosines, np.cumsum(blocks)[:-1], axis=1)
    return np.max([np.ptp(part, axis=1) for part in parts], axis=0)


def as_table(columns: dict[str, Any]) -> pa.Table:
    """Return columns as a table of :data:`SCHEMA`; NaN becomes null."""
    arrays = [pa.array(columns[field.name], field.type, from_pandas=True) for field in SCHEMA]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)
