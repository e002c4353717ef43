"""Ledger rows of utility that the evidence carries by row: zero-shot accuracy, recall, cosine to the original."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.audit.result import Audit
from equipoise.compare.verdicts import EQUIVALENCE_LEVEL, LEVEL, ROUNDING, Margins, from_error, tested
from equipoise.metrics.engines.plan import Plan
from equipoise.metrics.engines.utility import CAPTION_FAMILY, RECALL_AT, right
from equipoise.registry import METRICS
from equipoise.stats import minimum_detectable_effect, newcombe_paired, row_weights
from equipoise.store.evidence import RankingEvidence


class CellIndex:
    """Finds the estimates of both audits by their key."""

    def __init__(self, before: Audit, after: Audit) -> None:
        self.before = _index(before, {"main"})
        self.after = _index(after, set(after.document.arms))

    def both(self, arm: str, metric: str, attribute: str, group: str, family: str, query: str) -> dict[str, Any]:
        """Return the ledger's columns before.., after.. of one number."""
        key = (metric, attribute, group, family, query)
        one, two = self.before.get(("main", *key)), self.after.get((arm, *key))
        out: dict[str, Any] = {}
        for side, found in (("before", one), ("after", two)):
            if found is not None:
                out |= {side: found[0], f"{side}_low": found[1], f"{side}_high": found[2], f"null_{side}": found[3]}
        return out


def _index(audit: Audit, arms: set[str]) -> dict[tuple[str, ...], tuple[Any, ...]]:
    names = ("arm", "metric", "attribute", "group", "family", "query")
    found = audit.estimates
    keys = zip(*(found[name].to_pylist() for name in names), strict=True)
    values = zip(*(found[name].to_pylist() for name in ("value", "low", "high", "null_value")), strict=True)
    return {key: value for key, value in zip(keys, values, strict=True) if key[0] in arms}


def paired_rates(
    one: NDArray[np.bool_], two: NDArray[np.bool_], clusters: NDArray[np.int32] | None, draws: int, seed: int
) -> dict[str, float]:
    """Return change (loss of the rate), limits, p and detectable effect of two rates of the same rows.

    Newcombe's paired interval (1998, method 10) and McNemar's exact test; with clusters, a bootstrap of whole clusters.
    """
    n = one.size
    change = float(one.mean() - two.mean())
    if clusters is not None:
        difference = one.astype(np.float64) - two
        moved = np.empty(draws)
        for b in range(draws):
            weights = row_weights(n, b, seed, clusters)
            moved[b] = (weights * difference).sum() / weights.sum()
        return tested(change, moved)
    only1, only2 = int((one & ~two).sum()), int((~one & two).sum())
    both, neither = int((one & two).sum()), int((~one & ~two).sum())
    low, high = newcombe_paired(both, only1, only2, neither, LEVEL)
    eq_low, eq_high = newcombe_paired(both, only1, only2, neither, EQUIVALENCE_LEVEL)
    se = np.sqrt(max(only1 + only2 - (only1 - only2) ** 2 / n, 0.0)) / n
    if only1 + only2 == 0 and (one == two).all():
        return from_error(0.0, 0.0)
    return {
        "change": change, "change_low": float(low), "change_high": float(high), "eq_low": float(eq_low),
        "eq_high": float(eq_high), "p": mcnemar(only1, only2), "mde": float(minimum_detectable_effect(se)),
    }  # fmt: skip


def mcnemar(only1: int, only2: int) -> float:
    """Return McNemar's exact two-sided p: 2 P(X <= min), X ~ Binomial(only1 + only2, 1/2), at most 1."""
    from scipy.special import bdtr

    total = only1 + only2
    return min(1.0, 2 * float(bdtr(min(only1, only2), total, 0.5))) if total else 1.0


def utility_rows(
    before: Audit, after: Audit, targeted: Sequence[str], plan: Plan, margins: Margins, cells: CellIndex,
    clusters: NDArray[np.int32] | None, draws: int, seed: int,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return the rows; of an edit, zero-shot accuracy is a utility for the attributes that are not targeted alone."""
    one, two = before.evidence, after.evidence
    assert isinstance(one, RankingEvidence)
    assert isinstance(two, RankingEvidence)
    rows: list[dict[str, Any]] = []
    edit = before.document.encoder.get("fingerprint") == after.document.encoder.get("fingerprint")
    for arm in after.document.arms:
        metric = METRICS.load("zero_shot_accuracy")().descriptor
        for attribute in one.zero_shot.get("main", {}):
            # an edit of words is meant to blur them; a model that was trained is meant to know the group still
            if (edit and attribute in targeted) or attribute not in two.zero_shot.get(arm, {}):
                continue
            hit1, known = right(one, plan, "main", attribute)
            hit2, _ = right(two, plan, arm, attribute)
            if not known.any():
                continue
            part = None if clusters is None else clusters[known]
            n = int(known.sum())
            rows.append({
                "arm": arm, "family": attribute, "metric": metric.name, "protocol": metric.protocol, "n": n, "n_min": n,
                "margin": margins.of(metric, None), **cells.both(arm, metric.name, "", "", attribute, ""),
                **paired_rates(hit1[known], hit2[known], part, draws, seed),
            })  # fmt: skip
        if "main" in one.ranks and arm in two.ranks:
            metric = METRICS.load("recall")().descriptor
            part = None if clusters is None else clusters[one.ranked_rows]
            for k in RECALL_AT:
                called = metric.called(k)
                rows.append({
                    "arm": arm, "family": CAPTION_FAMILY, "metric": called, "protocol": metric.protocol,
                    "n": one.ranked_rows.size, "n_min": one.ranked_rows.size, "margin": margins.of(metric, k),
                    **cells.both(arm, called, "", "", CAPTION_FAMILY, ""),
                    **paired_rates(one.ranks["main"] < k, two.ranks[arm] < k, part, draws, seed),
                })  # fmt: skip
        if edit:  # vectors of two encoders share no space, and each audit compares a query with itself
            rows += _cosines(arm, plan, margins, cells)
    return rows


def _cosines(arm: str, plan: Plan, margins: Margins, cells: CellIndex) -> list[dict[str, Any]]:
    """Rows of the mean cosine to the original: exact by query, so the spread is that over queries."""
    metric = METRICS.load("query_cosine")().descriptor
    rows = []
    families = plan.families
    for family, members in zip(families.names, families.members, strict=True):
        texts = [plan.queries[q].text for q in members]
        pairs = [cells.both(arm, metric.name, "", "", family, text) for text in texts]
        losses = np.asarray([metric.harm(pair["before"], pair["after"]) for pair in pairs], np.float64)
        alone = losses.size == 1 and abs(losses[0]) > ROUNDING
        se = np.nan if alone else float(losses.std(ddof=min(1, losses.size - 1)) / np.sqrt(losses.size))
        rows.append({
            "arm": arm, "family": family, "metric": metric.name, "protocol": metric.protocol, "n": losses.size,
            "n_min": losses.size, "margin": margins.of(metric, None),
            **cells.both(arm, metric.name, "", "", family, ""), **from_error(float(losses.mean()), se),
            **({"reason": "one query: no spread over queries"} if alone else {}),
        })  # fmt: skip
    return rows
