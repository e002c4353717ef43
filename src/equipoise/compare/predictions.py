"""Ledger rows of two audits of predictions: answers about the same rows, paired by row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from equipoise.audit.predictions import DEFAULT, prediction_pool, prediction_side
from equipoise.audit.result import Audit
from equipoise.compare.utility import CellIndex, paired_rates
from equipoise.compare.verdicts import Margins, changed_sides, from_error, tested
from equipoise.errors import InputError
from equipoise.metrics.engines.measure_predictions import EVERYBODY, whole_pool
from equipoise.metrics.engines.predictions import (
    SAME,
    Side,
    aucs,
    counts_of,
    draw_aucs,
    draw_tables,
    is_the_task,
    left_out,
    tables,
    taking_part,
)
from equipoise.protocols import Metric
from equipoise.registry import METRICS
from equipoise.store.evidence import PredictionEvidence


def compare_predictions(
    before: Audit, after: Audit, margins: Margins, draws: int, seed: int
) -> tuple[list[dict[str, Any]], pa.Table, list[dict[str, Any]]]:
    """Return ledger rows; there are neither score distributions nor random concepts."""
    from equipoise.compare.controls import empty_distributions

    assert isinstance(before.evidence, PredictionEvidence)
    assert isinstance(after.evidence, PredictionEvidence)
    one, two = before.evidence.rows["label"], after.evidence.rows["label"]
    wrong = int((np.asarray(one.to_pylist(), object) != np.asarray(two.to_pylist(), object)).sum())
    if wrong:
        raise InputError(f"{wrong} rows have other labels before and after.", "Compare predictions of the same labels.")
    return _Ledger(before, after, margins, draws, seed).all(), empty_distributions(), []


class _Ledger:
    def __init__(self, before: Audit, after: Audit, margins: Margins, draws: int, seed: int) -> None:
        assert isinstance(before.evidence, PredictionEvidence)
        assert isinstance(after.evidence, PredictionEvidence)
        settings = before.document.parameters["settings"]
        self.keys = list(settings["by"])
        self.vocabulary = before.vocabulary
        self.margins, self.draws, self.seed = margins, draws, seed
        evidences = (before.evidence, after.evidence)
        self.pool = whole_pool(prediction_pool(before.evidence, self.vocabulary, self.keys, settings["min_group"]))
        positive = before.document.positive
        self.sides = [prediction_side(audit.evidence, positive) for audit in (before, after)]  # type: ignore[arg-type]
        self.metrics: list[Metric] = [METRICS.load(name)() for name in settings["metrics"] or DEFAULT]
        self.unscored = [word for word, side in zip(("before", "after"), self.sides, strict=True) if side.score is None]
        scored = any(evidence.rows["score"].null_count == 0 for evidence in evidences)
        if not scored and settings["metrics"] is None:
            self.metrics = [metric for metric in self.metrics if metric.descriptor.evidence != "auc"]
        self.cells = CellIndex(before, after)
        self.rows: list[dict[str, Any]] = []

    def all(self) -> list[dict[str, Any]]:
        for key in (EVERYBODY, *self.keys):
            counts = _Drawn(self.pool, key, self.sides, self.draws, self.seed)
            for metric in self.metrics:
                overall = metric.descriptor.per_group and metric.descriptor.role == "utility"
                if key == EVERYBODY and not overall:
                    continue
                if metric.descriptor.evidence == "auc" and self.unscored:
                    self._without_scores(key, metric)
                elif key == EVERYBODY:
                    self._overall(metric)
                elif metric.descriptor.per_group:
                    self._groups(key, metric, counts)
                else:
                    self._gap(key, metric, counts)
        return self.rows

    def _taking_part(self, key: str, metric: Metric, counts: _Drawn) -> tuple[NDArray[np.bool_], int | None]:
        """Return the groups with enough rows behind the value on both sides, and the fewest rows behind one of them."""
        sides: Any = aucs(self.pool, key, self.sides)[0] if metric.descriptor.evidence == "auc" else counts.now()
        one, two = (taking_part(metric, side, self.pool.minimum) for side in sides)
        behind = [found for side in sides if (found := metric.behind(side)) is not None]
        valid = one & two
        return valid, int(np.min(behind, axis=0)[valid].min()) if behind and valid.any() else None

    def _common(self, key: str, metric: Metric, valid: NDArray[np.bool_] | None = None) -> dict[str, Any]:
        valid, counts = self.pool.valid[key] if valid is None else valid, self.pool.counts[key]
        return {
            "attribute": key, "arm": "main", "metric": metric.descriptor.name, "protocol": metric.descriptor.protocol,
            "n": int(counts.sum()), "n_min": int(counts[valid].min()) if valid.any() else 0,
            "margin": self.margins.of(metric.descriptor, None),
            "reason": "" if key == EVERYBODY else left_out(self.vocabulary.groups(key), valid, self.pool.minimum),
        }  # fmt: skip

    def _without_scores(self, key: str, metric: Metric) -> None:
        why = f"no scores of a positive label {' and '.join(self.unscored)}"
        row = {**self._common(key, metric), "reason": why}
        groups = self.vocabulary.groups(key) if metric.descriptor.per_group and key != EVERYBODY else ("",)
        for group in groups:
            cells = self.cells.both("main", metric.descriptor.name, key, group, "", "")
            self.rows.append({**row, "group": group, **cells})

    def _overall(self, metric: Metric) -> None:
        name = metric.descriptor.name
        row = {**self._common(EVERYBODY, metric), **self.cells.both("main", name, "", "", "", "")}
        if metric.descriptor.evidence == "auc":
            found, cov = aucs(self.pool, EVERYBODY, self.sides)
            change = float(found[0].auc[0] - found[1].auc[0])
            if self.pool.clusters is None:
                row |= from_error(change, float(np.sqrt(max(cov[0, 0, 0] + cov[0, 1, 1] - 2 * cov[0, 0, 1], 0.0))))
            else:
                drawn = draw_aucs(self.pool, EVERYBODY, self.sides, self.draws, self.seed)
                row |= tested(change, drawn[0].auc[:, 0] - drawn[1].auc[:, 0])
        elif name == "accuracy":
            right = [side.y == side.p for side in self.sides]
            row |= paired_rates(right[0], right[1], self.pool.clusters, self.draws, self.seed)
        else:
            counts = _Drawn(self.pool, EVERYBODY, self.sides, self.draws, self.seed)
            b, a = (metric.statistic(one)[0] for one in counts.now())
            drawn_b, drawn_a = (metric.statistic(one)[:, 0] for one in counts.drawn())
            row |= tested(float(metric.descriptor.harm(b, a)), metric.descriptor.harm(drawn_b, drawn_a))
        self.rows.append(row)

    def _gap(self, key: str, metric: Metric, counts: _Drawn) -> None:
        descriptor = metric.descriptor
        valid, smallest = self._taking_part(key, metric, counts)
        row = {**self._common(key, metric, valid), **self.cells.both("main", descriptor.name, key, "", "", "")}
        row["n_min"] = row["n_min"] if smallest is None else smallest
        if not self.sides[0].positive and not valid.any() and self.pool.valid[key].any():
            self.rows.append({**row, "reason": "no positive label: name one"})
            return
        if valid.sum() < 2:
            self.rows.append({**row, "reason": f"fewer than two groups with {self.pool.minimum} rows behind it"})
            return
        if is_the_task(metric, counts.whole, valid):
            self.rows.append({**row, "reason": SAME})
            return
        (b, a), (drawn_b, drawn_a) = self._values(key, metric, counts, valid)
        if np.isfinite(b) and np.isfinite(a):
            row |= tested(float(descriptor.harm(b, a)), descriptor.harm(drawn_b, drawn_a))
            row["reversed"] = self._reversed(key, metric, counts)
        else:
            row["reason"] = "not estimable on both sides"
        self.rows.append(row)

    def _groups(self, key: str, metric: Metric, counts: _Drawn) -> None:
        descriptor = metric.descriptor
        (b, a), (drawn_b, drawn_a) = self._values(key, metric, counts)
        common = self._common(key, metric)
        for g, group in enumerate(self.vocabulary.groups(key)):
            n = int(self.pool.counts[key][g])
            row = {**common, "group": group, "n": n, "n_min": n, "reason": ""}
            row |= self.cells.both("main", descriptor.name, key, group, "", "")
            if not self.pool.valid[key][g]:
                row["reason"] = f"{n} rows, fewer than {self.pool.minimum}"
            elif np.isfinite(b[g]) and np.isfinite(a[g]):
                row |= tested(float(descriptor.harm(b[g], a[g])), descriptor.harm(drawn_b[:, g], drawn_a[:, g]))
            else:
                row["reason"] = "not estimable on both sides"
            self.rows.append(row)

    def _values(
        self, key: str, metric: Metric, counts: _Drawn, valid: NDArray[np.bool_] | None = None
    ) -> tuple[list[Any], list[Any]]:
        """Return the metric of both sides, and its draws; ``valid`` are the groups of a gap."""
        found: Any = counts.now()
        drawn: Any = counts.drawn()
        if metric.descriptor.evidence == "auc":
            found, _ = aucs(self.pool, key, self.sides)
            drawn = draw_aucs(self.pool, key, self.sides, self.draws, self.seed)
        if valid is not None:
            found, drawn = ([replace(one, valid=valid) for one in side] for side in (found, drawn))
        return [metric.statistic(one) for one in found], [metric.statistic(one) for one in drawn]

    def _reversed(self, key: str, metric: Metric, counts: _Drawn) -> bool:
        sides = next((one for one in self.metrics if one.descriptor.name == metric.descriptor.sides), None)
        if sides is None or self.pool.valid[key].size != 2:
            return False
        (b, a), (drawn_b, drawn_a) = self._values(key, sides, counts)
        return changed_sides(
            float(np.diff(b)[0]), np.diff(drawn_b, axis=1)[:, 0], float(np.diff(a)[0]), np.diff(drawn_a, axis=1)[:, 0]
        )


class _Drawn:
    """Paired tables of one key, drawn once for all metrics."""

    def __init__(self, pool: Any, key: str, sides: list[Side], draws: int, seed: int) -> None:
        self.valid, self.sides = pool.valid[key], sides
        self.whole = tables(pool, key, sides)
        self.tables = draw_tables(pool, key, sides, draws, seed)

    def now(self) -> list[Any]:
        return [self._side(self.whole, i) for i in (0, 1)]

    def drawn(self) -> list[Any]:
        return [self._side(self.tables, i) for i in (0, 1)]

    def _side(self, table: NDArray[np.int64], i: int) -> Any:
        """Sum over the other side's predictions: the last two axes are p before and p after."""
        return counts_of(table.sum(-1 if i == 0 else -2), self.sides[i], self.valid)
