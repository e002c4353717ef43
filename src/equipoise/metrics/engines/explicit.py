"""Explicit queries: whether a search that names a group still finds it."""

from __future__ import annotations

import numpy as np

from equipoise.metrics.engines.clusters import share_limits
from equipoise.metrics.engines.plan import Plan
from equipoise.metrics.engines.ranking import Ranked, explicit_shares
from equipoise.metrics.engines.rows import EstimateRows
from equipoise.registry import METRICS
from equipoise.stats import mean_interval


def add_explicit(rows: EstimateRows, arm: str, ranked: Ranked, plan: Plan) -> None:
    """Append the share of the named group in the top k, by explicit query and as their mean."""
    metric = METRICS.load("explicit_share")()
    families, named = plan.families, plan.named
    shares = explicit_shares({key: ranked.top(key) for key in ranked.pool.codes}, families.explicit, named)
    common = {
        "metric": metric.descriptor.called(ranked.k), "protocol": metric.descriptor.protocol, "family": "explicit",
        "arm": arm, "level": plan.level,
    }  # fmt: skip
    known, hits, prior, low, high = (np.full(shares.size, np.nan) for _ in range(5))
    for i, (query, (key, group)) in enumerate(zip(families.explicit, named, strict=True)):
        if key in ranked.pool.codes:
            code = ranked.pool.codes[key]
            rows_found = ranked.best[query][code[ranked.best[query]] >= 0]
            hit = code[rows_found] == group
            known[i], hits[i] = hit.size, hit.sum()
            own = None if ranked.pool.clusters is None else ranked.pool.clusters[rows_found]
            low[i], high[i] = share_limits(hit, own, plan.level)
            pool = ranked.pool.counts[key]
            prior[i] = pool[group] / pool.sum() if pool.any() else np.nan
    usable = np.isfinite(shares)
    rows.add(
        **common, query=np.asarray([plan.queries[i].text for i in families.explicit], object), value=shares,
        low=low, high=high, n=np.nan_to_num(known).astype(int), numerator=hits, denominator=known, null_value=prior,
        reason=np.where(usable, "", "the query names no group of the audited attributes").astype(object),
    )  # fmt: skip
    if usable.any():
        mean = shares[usable].mean()
        spread = shares[usable].std(ddof=1) if usable.sum() > 1 else np.nan
        low, high = np.clip(mean_interval(mean, spread, usable.sum(), plan.level), 0.0, 1.0)
        left = int((~usable).sum())
        rows.add(
            **common, value=mean, low=low, high=high, n=ranked.k, null_value=prior[usable].mean(),
            reason=f"left out, {left} queries that name no group of the audited attributes" if left else "",
        )  # fmt: skip
