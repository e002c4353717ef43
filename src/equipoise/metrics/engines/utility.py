"""Estimates of utility (zero-shot accuracy, recall, cosine to the original) and the diagnostics of an edit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from equipoise.metrics.engines.clusters import share_limits
from equipoise.metrics.engines.plan import Plan
from equipoise.metrics.engines.ranking import Pool
from equipoise.metrics.engines.rows import EstimateRows
from equipoise.registry import METRICS
from equipoise.stats import mean_interval
from equipoise.store.evidence import RankingEvidence, codes_of

CAPTION_FAMILY = "captions"
RECALL_AT = (1, 5, 10)
DIAGNOSTICS = (
    "subspace_share", "rotation_angle", "spread_before", "spread_after", "side_effect_bound", "span_amplification",
    "amplification", "condition",
)  # fmt: skip


def right(
    evidence: RankingEvidence, plan: Plan, arm: str, attribute: str
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which rows zero-shot classification gets right (n,), and which have a known group of the attribute (n,)."""
    codes = codes_of(evidence.rows, plan.vocabulary, attribute)
    return evidence.zero_shot[arm][attribute] == codes, codes >= 0


def add_zero_shot(
    rows: EstimateRows, arm: str, evidence: RankingEvidence, pool: Pool, plan: Plan, detail: bool
) -> None:
    """Append zero-shot accuracy by attribute classified (the family): overall, and by group of every key."""
    metric = METRICS.load("zero_shot_accuracy")()
    for attribute in evidence.zero_shot.get(arm, {}):
        hit, known = right(evidence, plan, arm, attribute)
        common = {
            "metric": metric.descriptor.name, "protocol": metric.descriptor.protocol, "family": attribute, "arm": arm,
            "level": plan.level,
        }  # fmt: skip
        n, hits = int(known.sum()), int((hit & known).sum())
        if n == 0:
            rows.add(**common, value=np.nan, reason="no row has a known group")
            continue
        clusters = pool.clusters
        low, high = share_limits(hit[known], None if clusters is None else clusters[known], plan.level)
        chance = 1 / len(plan.vocabulary.groups(attribute))
        rows.add(**common, value=hits / n, low=low, high=high, n=n, numerator=hits, denominator=n, null_value=chance)
        for key in plan.keys if detail else ():
            code, groups = pool.codes[key], np.asarray(plan.vocabulary.groups(key), object)
            inside = known & (code >= 0)
            total = np.bincount(code[inside], minlength=groups.size)
            good = np.bincount(code[inside & hit], minlength=groups.size)
            ends = [
                share_limits(hit[part], None if clusters is None else clusters[part], plan.level)
                for part in (inside & (code == g) for g in range(groups.size))
            ]
            low, high = np.asarray(ends).T
            rows.add(
                **common, attribute=key, group=groups, value=good / np.maximum(total, 1), low=low, high=high, n=total,
                numerator=good, denominator=total, null_value=chance,
                status=np.where(total >= pool.minimum, "ok", "insufficient"),
                reason=np.where(total >= pool.minimum, "", f"fewer than {pool.minimum} rows").astype(object),
            )  # fmt: skip


def add_recall(rows: EstimateRows, arm: str, evidence: RankingEvidence, plan: Plan) -> None:
    """Append recall@1, 5 and 10 of captions: the share whose own row is among the k best."""
    if arm not in evidence.ranks:
        return
    metric = METRICS.load("recall")()
    ranks = evidence.ranks[arm]
    for k in RECALL_AT:
        hits = int((ranks < k).sum())
        clusters = None if evidence.clusters is None else evidence.clusters[evidence.ranked_rows]
        low, high = share_limits(ranks < k, clusters, plan.level)
        rows.add(
            metric=metric.descriptor.called(k), protocol=metric.descriptor.protocol, family=CAPTION_FAMILY, arm=arm,
            value=hits / ranks.size, low=low, high=high, n=ranks.size, numerator=hits, denominator=ranks.size,
            null_value=min(1.0, k / len(evidence.ids)),
        )  # fmt: skip


def add_query_cosine(
    rows: EstimateRows, arm: str, before: NDArray[np.float32], after: NDArray[np.float32], plan: Plan
) -> None:
    """Append the cosine of each query with the query as it was, and the mean over each family."""
    metric = METRICS.load("query_cosine")()
    cosine = np.minimum(np.einsum("qd,qd->q", before, after, dtype=np.float64), 1.0)
    cosine = np.where((before == after).all(1), 1.0, cosine)
    texts = np.asarray([query.text for query in plan.queries], object)
    common = {"metric": metric.descriptor.name, "protocol": metric.descriptor.protocol, "arm": arm, "level": plan.level}
    families = plan.families
    for name, members in zip(families.names, families.members, strict=True):
        values = cosine[members]
        low, high = mean_interval(values.mean(), values.std(ddof=1), values.size, plan.level) if values.size > 1 else (
            np.nan, np.nan,
        )  # fmt: skip
        rows.add(**common, family=name, value=values.mean(), low=low, high=high, n=values.size)
        rows.add(**common, family=name, query=texts[members], value=values, low=values, high=values, status="exact")


def add_diagnostics(rows: EstimateRows, arm: str, table: pa.Table | None) -> None:
    """Append what a mitigation says it does to every query (exact numbers; null ones are left out)."""
    if table is None:
        return
    texts = np.asarray(table["query"].to_pylist(), object)
    for name in DIAGNOSTICS:
        if name not in table.column_names:
            continue
        values: Any = table[name].to_numpy(zero_copy_only=False).astype(np.float64)
        known = np.isfinite(values)
        if known.any():
            value = values[known]
            rows.add(
                metric=name, protocol="diagnostic", query=texts[known], arm=arm, value=value, low=value, high=value,
                status="exact",
            )  # fmt: skip
