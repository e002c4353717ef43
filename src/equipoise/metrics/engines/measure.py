"""Estimates of one arm of an embedding audit: every metric, for every key, by query and as the mean over families.

Each number stands beside what chance alone gives (``null_value``, ``p``) and carries an interval: a bootstrap one where
draws are given, else the metric's closed form. Without draws a family's limits are the means of its queries' limits:
conservative, and for these queries only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from equipoise.metrics.engines import nulls
from equipoise.metrics.engines.clusters import top_null
from equipoise.metrics.engines.explicit import add_explicit
from equipoise.metrics.engines.plan import Plan, left_out
from equipoise.metrics.engines.ranking import Ranked
from equipoise.metrics.engines.replicates import Replicates
from equipoise.metrics.engines.rows import EstimateRows
from equipoise.protocols import Metric
from equipoise.registry import METRICS
from equipoise.stats import bootstrap_interval

NULL_DRAWS = 500
SINGLE_NULL_DRAWS = 5000


def measure(rows: EstimateRows, arm: str, ranked: Ranked, plan: Plan, drawn: Replicates | None, detail: bool) -> None:
    """Append the estimates of one arm.

    ``detail`` adds the rows of single groups; controls go without.
    """
    top = [metric for metric in plan.metrics if metric.descriptor.evidence == "top"]
    moment = [metric for metric in plan.metrics if metric.descriptor.evidence == "moments"]
    families = plan.families
    single: dict[tuple[str, str], Any] = {}
    chance: dict[tuple[str, str, int], Any] = {}
    if top and ranked.pool.clusters is None:
        chance |= nulls.families_top(ranked, plan.keys, top, families.members, NULL_DRAWS, plan.seed)
    elif top:
        found = top_null(ranked.best, ranked.pool, plan.keys, top, families.members, NULL_DRAWS, plan.seed)
        single, chance = single | found[0], chance | found[1]
    if moment:
        found = nulls.families_moments(ranked, plan.keys, moment, families.members, NULL_DRAWS, plan.seed)
        single, chance = single | found[0], chance | found[1]
    for key in plan.keys:
        reason = left_out(plan, ranked, key)
        enough = int(ranked.pool.valid[key].sum()) >= 2
        for metric in plan.metrics:
            name = metric.descriptor.name
            if (name, key) not in single:
                null = nulls.one_query(ranked.pool, key, ranked.k, metric, SINGLE_NULL_DRAWS, plan.seed)
                null = null[:, None]
            else:
                null = single[name, key]
            view = _View(rows, arm, ranked, plan, drawn, metric, key, reason)
            if metric.descriptor.per_group:
                if detail:
                    view.per_group(null, [chance[name, key, f] for f in range(len(families.members))])
            elif enough:
                view.over_groups(null, [chance[name, key, f] for f in range(len(families.members))])
            else:
                view.too_few()
    if families.explicit.size and "explicit_share" in METRICS:
        add_explicit(rows, arm, ranked, plan)


@dataclass
class _View:
    """One metric of one key on one arm."""

    rows: EstimateRows
    arm: str
    ranked: Ranked
    plan: Plan
    drawn: Replicates | None
    metric: Metric
    key: str
    reason: str

    def __post_init__(self) -> None:
        source = self.ranked.top if self.metric.descriptor.evidence == "top" else self.ranked.moments
        self.evidence = source(self.key)
        self.values = self.metric.statistic(self.evidence)
        self.limits = self.metric.interval(self.evidence, self.plan.level)
        self.common = {
            "metric": self.metric.descriptor.called(self.ranked.k),
            "protocol": self.metric.descriptor.protocol,
            "attribute": self.key,
            "arm": self.arm,
            "level": self.plan.level,
        }
        self.n = int(self.ranked.pool.counts[self.key].sum())
        self.families = self.plan.families

    def p(self, values: Any, null: Any) -> Any:
        descriptor = self.metric.descriptor
        return nulls.permutation_p(nulls.harm_size(descriptor, values), nulls.harm_size(descriptor, null))

    def _without(self, values: Any) -> str:
        """Say why there is no value, or nothing where there is one."""
        missing = int(np.isnan(values).sum())
        if not missing:
            return ""
        what = "nobody of a known group that takes part in the top k" if self.metric.descriptor.at_k else "no value"
        return f"{what}, for {missing} queries" if np.size(values) > 1 else what

    def over_groups(self, null: Any, chance: list[Any]) -> None:
        name, plan = self.metric.descriptor.name, self.plan
        texts = [query.text for query in plan.queries]
        low, high = self.limits if self.limits is not None else (np.full_like(self.values, np.nan),) * 2
        if self.drawn is not None:
            low, high = bootstrap_interval(
                self.values,
                self.drawn.query[self.arm, name, self.key],
                plan.level,
                bounds=self.metric.descriptor.bounds,
            )
        p = self.p(self.values, null)
        low, high = nulls.with_no_disparity(self.metric.descriptor, low, high, p, plan.level)
        # where only groups that are left out rank high, a skew is beyond the bounds of its limits
        low, high = np.minimum(low, self.values), np.maximum(high, self.values)
        reasons = np.asarray([self._without(value) or self.reason for value in self.values], object)
        expected = np.broadcast_to(null.mean(0), self.values.shape)
        for f, members in enumerate(self.families.members):
            family = self.families.names[f]
            mean = self.values[members].mean()
            why = self._without(self.values[members])
            if self.drawn is not None:
                draws = self.drawn.family[self.arm, name, self.key, f]
                ends = bootstrap_interval(np.asarray(mean), draws, plan.level, bounds=self.metric.descriptor.bounds)
            else:
                ends = (low[members].mean(), high[members].mean())
            chance_p = self.p(mean, chance[f])
            ends = nulls.with_no_disparity(self.metric.descriptor, *ends, chance_p, plan.level)
            self.rows.add(
                **self.common, family=family, value=mean, low=np.minimum(ends[0], mean), high=np.maximum(ends[1], mean),
                n=self.n, null_value=chance[f].mean(), p=chance_p, reason=why or self.reason,
            )  # fmt: skip
            self.rows.add(
                **self.common, family=family, query=np.asarray(texts, object)[members], value=self.values[members],
                low=low[members], high=high[members], n=self.n, null_value=expected[members], p=p[members],
                reason=reasons[members],
            )  # fmt: skip

    def per_group(self, null: Any, chance: list[Any]) -> None:
        name, plan = self.metric.descriptor.name, self.plan
        groups = np.asarray(plan.vocabulary.groups(self.key), object)
        counts, valid = self.ranked.pool.counts[self.key], self.ranked.pool.valid[self.key]
        status = np.where(valid, "ok", "insufficient")
        reason = np.asarray(
            [
                "" if v else f"{c} rows, fewer than {self.ranked.pool.minimum}"
                for c, v in zip(counts, valid, strict=True)
            ],
            object,
        )
        low, high = self.limits if self.limits is not None else (np.full_like(self.values, np.nan),) * 2
        if self.drawn is not None and (draws := self.drawn.query.get((self.arm, name, self.key))) is not None:
            low, high = bootstrap_interval(self.values, draws, plan.level)
        counted = self.metric.counted(self.evidence)
        p = self.p(self.values, null)
        expected = np.broadcast_to(null.mean(0), self.values.shape)
        for f, members in enumerate(self.families.members):
            family = self.families.names[f]
            mean = self.values[members].mean(0)
            if self.drawn is not None:
                draws = self.drawn.family[self.arm, name, self.key, f]
                ends = bootstrap_interval(mean, draws, plan.level)
            else:
                ends = (low[members].mean(0), high[members].mean(0))
            self.rows.add(
                **self.common, group=groups, family=family, value=mean, low=ends[0], high=ends[1], n=counts,
                null_value=chance[f].mean(0), p=self.p(mean, chance[f]), status=status, reason=reason,
            )  # fmt: skip
            many = len(members)
            self.rows.add(
                **self.common, group=np.tile(groups, many), family=family,
                query=np.repeat(np.asarray([plan.queries[i].text for i in members], object), groups.size),
                value=self.values[members], low=low[members], high=high[members], n=np.tile(counts, many),
                numerator=np.nan if counted is None else counted[0][members],
                denominator=np.nan if counted is None else np.broadcast_to(counted[1], self.values.shape)[members],
                null_value=expected[members], p=p[members], status=np.tile(status, many), reason=np.tile(reason, many),
            )  # fmt: skip

    def too_few(self) -> None:
        self.rows.add(
            **self.common, family=np.asarray(self.families.names or ("",), object), value=np.nan, n=self.n,
            status="insufficient", reason=f"fewer than two groups with {self.ranked.pool.minimum} rows",
        )  # fmt: skip
