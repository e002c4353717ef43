"""Estimates of an audit of predictions: overall, by group and as gaps over groups, each beside what chance gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from equipoise.data.groups import Vocabulary
from equipoise.metrics.engines.clusters import auc_null, counts_null
from equipoise.metrics.engines.nulls import harm_size, permutation_p, with_no_disparity
from equipoise.metrics.engines.predictions import (
    CODES,
    SAME,
    Side,
    aucs,
    counts_of,
    draw_aucs,
    draw_tables,
    is_the_task,
    left_out,
    null_counts,
    tables,
    taking_part,
)
from equipoise.metrics.engines.ranking import Pool
from equipoise.metrics.engines.rows import EstimateRows
from equipoise.protocols import Metric
from equipoise.stats import auc_gap_null, bootstrap_interval

NULL_DRAWS = 2000
AUC_NULL_DRAWS = 300
CLUSTERED_NULL_DRAWS = 1000
FEW = 30
EVERYBODY = ""


def whole_pool(pool: Pool) -> Pool:
    """Return the pool with one more key, :data:`EVERYBODY`, whose only group is all rows."""
    codes = {EVERYBODY: np.zeros(pool.n, np.int32), **pool.codes}
    return Pool(codes, {EVERYBODY: 1, **pool.sizes}, pool.norms, pool.whole_norm, pool.minimum, pool.clusters)


def measure_predictions(
    rows: EstimateRows,
    pool: Pool,
    side: Side,
    keys: Sequence[str],
    metrics: Sequence[Metric],
    vocabulary: Vocabulary,
    *,
    draws: int,
    level: float,
    seed: int,
) -> None:
    """Append estimates of every metric for everybody (utilities), every group, and every gap."""
    pool = whole_pool(pool)
    drawn: dict[Any, Any] = {}
    for metric in metrics:
        for key in (EVERYBODY, *keys):
            if key == EVERYBODY and not (metric.descriptor.per_group and metric.descriptor.role == "utility"):
                continue
            _One(rows, pool, side, metric, key, vocabulary, draws, level, seed, drawn).add()


class _One:
    """One metric of one key."""

    def __init__(
        self, rows: EstimateRows, pool: Pool, side: Side, metric: Metric, key: str, vocabulary: Vocabulary,
        draws: int, level: float, seed: int, drawn: dict[Any, Any],
    ) -> None:  # fmt: skip
        self.rows, self.pool, self.side, self.metric, self.key = rows, pool, side, metric, key
        self.draws, self.level, self.seed, self.drawn = draws, level, seed, drawn
        self.groups = ("",) if key == EVERYBODY else vocabulary.groups(key)
        self.valid, self.counts = pool.valid[key], pool.counts[key]
        self.is_auc = metric.descriptor.evidence == "auc"
        self.common = {
            "metric": metric.descriptor.name, "protocol": metric.descriptor.protocol, "attribute": key, "level": level,
        }  # fmt: skip

    def add(self) -> None:
        if self.is_auc and self.side.score is None:
            why = "no scores" if self.side.positive else "no positive label: name one"
            self.rows.add(**self.common, value=np.nan, n=int(self.counts.sum()), reason=why)
            return
        if self.is_auc:
            self.evidence: Any = aucs(self.pool, self.key, [self.side])[0][0]
        else:
            self.table = tables(self.pool, self.key, [self.side])
            self.evidence = counts_of(self.table, self.side, self.valid)
        if not self.metric.descriptor.per_group:
            self.valid = taking_part(self.metric, self.evidence, self.pool.minimum)
            self.evidence = replace(self.evidence, valid=self.valid)
        values = np.asarray(self.metric.statistic(self.evidence), np.float64)
        limits = self.metric.interval(self.evidence, self.level)
        if self.draws and (limits is None or self.pool.clusters is not None or self._loose()):
            limits = bootstrap_interval(values, self.replicates(), self.level, bounds=self.metric.descriptor.bounds)
        low, high = limits if limits is not None else (np.full_like(values, np.nan),) * 2
        if self.metric.descriptor.per_group:
            self._per_group(values, low, high)
        else:
            self._gap(values, low, high)

    def _loose(self) -> bool:
        """Whether the closed form is a simultaneous bound, which a bootstrap tightens: gaps over three or more groups."""
        return not self.metric.descriptor.per_group and len(self.groups) > 2

    def replicates(self) -> Any:
        if self.is_auc:
            drawn = draw_aucs(self.pool, self.key, [self.side], self.draws, self.seed)[0]
            return self.metric.statistic(replace(drawn, valid=self.valid))
        drawn = self._once("tables", lambda: draw_tables(self.pool, self.key, [self.side], self.draws, self.seed))
        return self.metric.statistic(counts_of(drawn, self.side, self.valid))

    def _once(self, what: Any, make: Callable[[], Any]) -> Any:
        """Return draws of this key that several metrics read, made once."""
        if (what, self.key) not in self.drawn:
            self.drawn[what, self.key] = make()
        return self.drawn[what, self.key]

    def _per_group(self, values: Any, low: Any, high: Any) -> None:
        counted = self.metric.counted(self.evidence)
        behind = counted[1] if counted is not None else self.counts
        status = np.where(self.valid | (self.key == EVERYBODY), np.where(behind >= FEW, "ok", "weak"), "insufficient")
        needs = not self.side.positive and not np.isfinite(values).any()
        reason = [
            "no positive label: name one" if needs
            else f"{n} rows, fewer than {self.pool.minimum}" if s == "insufficient"
            else f"only {int(b)} rows behind it" if s == "weak" else ""
            for n, s, b in zip(self.counts, status, behind, strict=True)
        ]  # fmt: skip
        self.rows.add(
            **self.common, group=np.asarray(self.groups, object), value=values, low=low, high=high, n=self.counts,
            numerator=np.nan if counted is None else counted[0],
            denominator=np.nan if counted is None else counted[1],
            status=status, reason=np.asarray(reason, object),
        )  # fmt: skip

    def _gap(self, value: Any, low: Any, high: Any) -> None:
        n = int(self.counts.sum())
        reason = left_out(self.groups, self.valid, self.pool.minimum)
        if not self.side.positive and not np.isfinite(value) and self.pool.valid[self.key].sum() >= 2:
            self.rows.add(**self.common, value=np.nan, n=n, reason="no positive label: name one")
            return
        if not self.is_auc and is_the_task(self.metric, self.table, self.valid):
            self.rows.add(**self.common, value=np.nan, n=n, reason=SAME)
            return
        if self.valid.sum() < 2:
            reason = f"fewer than two groups with {self.pool.minimum} rows behind it"
            self.rows.add(**self.common, value=np.nan, n=n, status="insufficient", reason=reason)
            return
        if not np.isfinite(value):
            self.rows.add(**self.common, value=np.nan, n=n, reason="it cannot be formed in two groups")
            return
        null, p = self._null(value)
        if np.isfinite(p):
            low, high = with_no_disparity(self.metric.descriptor, low, high, p, self.level)
        low, high = np.minimum(low, value), np.maximum(high, value)
        self.rows.add(**self.common, value=value, low=low, high=high, n=n, null_value=null, p=p, reason=reason)

    def _null(self, value: Any) -> tuple[float, float]:
        if self.is_auc:
            code = self.pool.codes[self.key]
            keep = self.valid[code] & (code >= 0)
            assert self.side.score is not None
            if self.pool.clusters is not None:
                areas = auc_null(
                    self.pool.clusters[keep], code[keep], self.valid.size, self.side.score[keep], self.side.y[keep] == 1,
                    AUC_NULL_DRAWS, self.seed,
                )  # fmt: skip
                drawn = self.metric.statistic(replace(self.evidence, auc=areas, var=None))
                return self._chance(value, drawn, AUC_NULL_DRAWS)
            found = auc_gap_null(
                self.side.score[keep], self.side.y[keep] == 1, code[keep], self.valid.size, AUC_NULL_DRAWS, self.seed,
            )  # fmt: skip
            return found.mean, float(found.p(value))
        shuffled = self._once(("null", self.metric.null_within_label), self._shuffled)
        drawn = self.metric.statistic(counts_of(shuffled, self.side, self.valid))
        return self._chance(value, drawn, len(shuffled))

    def _shuffled(self) -> Any:
        if self.pool.clusters is None:
            return null_counts(self.table, self.metric, NULL_DRAWS, self.seed)
        return counts_null(
            self.pool.clusters, self.pool.codes[self.key], self.valid.size, self.side.y, self.side.p, CODES,
            self.metric, CLUSTERED_NULL_DRAWS, self.seed,
        )  # fmt: skip

    def _chance(self, value: Any, drawn: Any, draws: int) -> tuple[float, float]:
        descriptor = self.metric.descriptor
        drawn = drawn[np.isfinite(drawn)]
        if drawn.size < draws * 0.9:
            return float("nan"), float("nan")
        p = permutation_p(harm_size(descriptor, value), harm_size(descriptor, drawn))
        return float(drawn.mean()), float(p)
