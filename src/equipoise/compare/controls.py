"""The random-concept control, and score distributions for the report.

Random concepts are seeded pairs of rows of the pool taken as directions: a query's bias along a pair is the difference
of its cosines with the two images. How much the spread of these biases grows is an index of amplification that needs
no labels; theory gives 1/sqrt(1 - p^2) for span projection and 1 for WRING (Gerych et al. 2026).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from equipoise.audit.result import Audit
from equipoise.metrics.engines.plan import Plan
from equipoise.metrics.engines.ranking import Ranked

PAIRS = 100
DRAWS = 500
BINS = 40
REACH = 4.0
DISTRIBUTIONS = pa.schema(
    [(name, pa.string()) for name in ("attribute", "family", "group", "side")]
    + [("low", pa.float64()), ("high", pa.float64()), ("count", pa.int64())]
)


def random_concepts(
    after: Audit, arms: Mapping[str, Ranked], base: str, plan: Plan, seed: int, pairs: int = PAIRS
) -> list[dict[str, Any]]:
    """Return, by arm of ``after``, the measured and the theoretical amplification and the side-effect bound.

    ``measured`` is the mean over ordinary queries of sd(bias after) / sd(bias before) over the pairs; its limits come from
    resampling pairs.
    """
    if after.document.mitigation is None:
        return []
    n = arms[base].pool.n
    ordinary = plan.families.ordinary
    if n < 2 or ordinary.size == 0:
        return []
    rng = np.random.default_rng([seed, 41])
    one = rng.integers(0, n, pairs)
    two = (one + rng.integers(1, n, pairs)) % n
    known = {
        name: _by_query(after, name)
        for name in ("amplification", "side_effect_bound", "rotation_angle", "subspace_share")
    }
    texts = [plan.queries[q].text for q in ordinary]
    biases = {arm: _biases(ranked.scores, ordinary, one, two) for arm, ranked in arms.items()}
    resampled = rng.integers(0, pairs, (DRAWS, pairs))
    found = []
    for arm in after.document.arms:
        value = float(_ratio(biases[arm], biases[base]))
        drawn = [float(_ratio(biases[arm][:, i], biases[base][:, i])) for i in resampled]
        low, high = np.quantile(drawn, (0.025, 0.975))
        mean = {name: _mean(by.get(arm, {}), texts) for name, by in known.items()}
        bounds = [v for text in texts if (v := known["side_effect_bound"].get(arm, {}).get(text)) is not None]
        found.append({
            "arm": arm, "measured": value, "low": float(low), "high": float(high), "theoretical": mean["amplification"],
            "pairs": pairs, "bound_mean": mean["side_effect_bound"], "bound_max": max(bounds) if bounds else None,
            "angle_mean": mean["rotation_angle"], "share_mean": mean["subspace_share"],
        })  # fmt: skip
    return found


def _biases(
    scores: NDArray[np.float32], queries: NDArray[Any], one: NDArray[Any], two: NDArray[Any]
) -> NDArray[np.float64]:
    return scores[np.ix_(queries, one)].astype(np.float64) - scores[np.ix_(queries, two)]


def _ratio(after: NDArray[np.float64], before: NDArray[np.float64]) -> Any:
    spread = before.std(1)
    usable = spread > 0
    return (after.std(1)[usable] / spread[usable]).mean() if usable.any() else np.nan


def _by_query(audit: Audit, metric: str) -> dict[str, dict[str, float]]:
    found = audit.estimates
    keep = np.asarray(found["metric"].to_pylist(), object) == metric
    part = found.filter(pa.array(keep))
    out: dict[str, dict[str, float]] = {}
    for arm, query, value in zip(*(part[name].to_pylist() for name in ("arm", "query", "value")), strict=True):
        if value is not None:
            out.setdefault(arm, {})[query] = value
    return out


def _mean(values: Mapping[str, float], texts: list[str]) -> float | None:
    found = [values[text] for text in texts if text in values]
    return float(np.mean(found)) if found else None


def distributions(before: Ranked, after: Ranked, plan: Plan) -> pa.Table:
    """Return histograms of cosines by attribute, family, group and side, standardised by each query's own mean and sd."""
    edges = np.linspace(-REACH, REACH, BINS + 1)
    columns: dict[str, list[Any]] = {name: [] for name in DISTRIBUTIONS.names}
    for side, ranked in (("before", before), ("after", after)):
        for family, members in zip(plan.families.names, plan.families.members, strict=True):
            bins = _bins(ranked.scores[members])
            for key in plan.keys:
                if ":" in key:
                    continue
                groups, code = plan.vocabulary.groups(key), ranked.pool.codes[key]
                known = code >= 0
                flat = bins[:, known] + BINS * code[known]
                counts = np.bincount(flat.ravel(), minlength=BINS * len(groups)).reshape(len(groups), BINS)
                for g, group in enumerate(groups):
                    columns["attribute"] += [key] * BINS
                    columns["family"] += [family] * BINS
                    columns["group"] += [group] * BINS
                    columns["side"] += [side] * BINS
                    columns["low"] += edges[:-1].tolist()
                    columns["high"] += edges[1:].tolist()
                    columns["count"] += counts[g].tolist()
    return pa.table(columns, schema=DISTRIBUTIONS)


def empty_distributions() -> pa.Table:
    """Return no histograms: predictions have none."""
    return DISTRIBUTIONS.empty_table()


def _bins(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    mean = scores.mean(1, keepdims=True, dtype=np.float64)
    sd = scores.std(1, keepdims=True, dtype=np.float64)
    z = (scores - mean) / np.where(sd > 0, sd, 1)
    return np.clip(((z + REACH) / (2 * REACH) * BINS).astype(np.int64), 0, BINS - 1)
