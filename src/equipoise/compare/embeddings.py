"""Ledger rows of two audits of embeddings: paired by row, query and bootstrap draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from equipoise.audit.embeddings import make_plan, ranked_arms
from equipoise.audit.result import Audit, Settings
from equipoise.compare.controls import distributions, random_concepts
from equipoise.compare.utility import CellIndex, utility_rows
from equipoise.compare.verdicts import Margins, changed_sides, tested
from equipoise.compare.words import word_rows
from equipoise.metrics.engines.plan import Plan, left_out
from equipoise.metrics.engines.ranking import Ranked
from equipoise.metrics.engines.replicates import Replicates, family_mean, overlap, query_weights, replicate
from equipoise.protocols import Metric
from equipoise.store.evidence import RankingEvidence

BEFORE = "before"


def compare_embeddings(
    before: Audit, after: Audit, targeted: Sequence[str], margins: Margins, draws: int, seed: int
) -> tuple[list[dict[str, Any]], pa.Table, list[dict[str, Any]]]:
    """Return ledger rows, score distributions and the random-concept controls."""
    return _Ledger(before, after, targeted, margins, draws, seed).all()


class _Ledger:
    def __init__(
        self, before: Audit, after: Audit, targeted: Sequence[str], margins: Margins, draws: int, seed: int
    ) -> None:
        assert isinstance(before.evidence, RankingEvidence)
        assert isinstance(after.evidence, RankingEvidence)
        self.before, self.after, self.margins, self.draws, self.seed = before, after, margins, draws, seed
        self.targeted = targeted
        settings = Settings.of(before.document)
        self.plan: Plan = make_plan(before.queries, settings, before.vocabulary)
        k, minimum = int(before.document.k or 0), settings.min_group
        vocabulary, keys = before.vocabulary, settings.by
        main = RankingEvidence(before.evidence.rows, before.queries, {"main": before.evidence.scores["main"]})
        base = ranked_arms(main, vocabulary, keys, before.document.geometry, k, minimum)["main"]
        self.arms: dict[str, Ranked] = {BEFORE: base}
        self.arms |= ranked_arms(after.evidence, vocabulary, keys, after.document.geometry, k, minimum)
        self.k, self.pool = k, base.pool
        self.drawn: Replicates = replicate(
            self.arms, self.plan.families, self.plan.keys, self.plan.metrics, self.plan.named, draws, seed, base=BEFORE
        )
        self.cells = CellIndex(before, after)
        self.rows: list[dict[str, Any]] = []

    def all(self) -> tuple[list[dict[str, Any]], pa.Table, list[dict[str, Any]]]:
        for arm in self.after.document.arms:
            for key in self.plan.keys:
                for metric in self.plan.metrics:
                    if metric.descriptor.per_group:
                        if arm == "main":
                            self._groups(arm, key, metric)
                    else:
                        self._family(arm, key, metric)
        self.rows += word_rows(
            self.arms, BEFORE, self.after.document.arms, self.plan, self.margins, self.cells, self.draws, self.seed
        )
        self._explicit()
        self._overlap()
        self.rows += utility_rows(
            self.before, self.after, self.targeted, self.plan, self.margins, self.cells, self.pool.clusters, self.draws,
            self.seed,
        )  # fmt: skip
        controls = random_concepts(self.after, self.arms, BEFORE, self.plan, self.seed)
        return self.rows, distributions(self.arms[BEFORE], self.arms["main"], self.plan), controls

    # ------------------------------------------------------------------------------------------------------- biases

    def _common(self, arm: str, key: str, metric: Metric) -> dict[str, Any]:
        valid = self.pool.valid[key]
        return {
            "attribute": key, "arm": arm, "metric": metric.descriptor.called(self.k),
            "protocol": metric.descriptor.protocol, "n": int(self.pool.counts[key].sum()),
            "n_min": int(self.pool.counts[key][valid].min()) if valid.any() else 0,
            "margin": self.margins.of(metric.descriptor, self.k), "reason": left_out(self.plan, self.arms[arm], key),
        }  # fmt: skip

    def _family(self, arm: str, key: str, metric: Metric) -> None:
        name, descriptor = metric.descriptor.name, metric.descriptor
        common = self._common(arm, key, metric)
        families = self.plan.families
        if self.pool.valid[key].sum() < 2:
            why = f"fewer than two groups with {self.pool.minimum} rows"
            for family in () if descriptor.secondary else families.names or ("",):
                self.rows.append({**common, "family": family, "reason": why})
            return
        values = {side: self._values(side, key, metric) for side in (BEFORE, arm)}
        for f, (family, members) in enumerate(zip(families.names, families.members, strict=True)):
            b, a = values[BEFORE][members].mean(), values[arm][members].mean()
            drawn_b, drawn_a = (self.drawn.family[side, name, key, f] for side in (BEFORE, arm))
            row = {
                **common, "family": family, **self.cells.both(arm, common["metric"], key, "", family, ""),
                **tested(float(descriptor.harm(b, a)), descriptor.harm(drawn_b, drawn_a)),
                "reversed": self._reversed(arm, key, metric, f),
            }  # fmt: skip
            if not descriptor.secondary:
                self.rows.append(row)
            if arm != "main":
                continue
            drawn_b, drawn_a = (self.drawn.query[side, name, key] for side in (BEFORE, arm))
            for q in members:
                text = self.plan.queries[q].text
                change = float(descriptor.harm(values[BEFORE][q], values[arm][q]))
                self.rows.append({
                    **common, "family": family, "query": text,
                    **self.cells.both(arm, common["metric"], key, "", family, text),
                    **tested(change, descriptor.harm(drawn_b[:, q], drawn_a[:, q])),
                })  # fmt: skip

    def _groups(self, arm: str, key: str, metric: Metric) -> None:
        name, descriptor = metric.descriptor.name, metric.descriptor
        common = self._common(arm, key, metric)
        groups = self.plan.vocabulary.groups(key)
        values = {side: self._values(side, key, metric) for side in (BEFORE, arm)}
        for f, (family, members) in enumerate(zip(self.plan.families.names, self.plan.families.members, strict=True)):
            drawn_b, drawn_a = (self.drawn.family[side, name, key, f] for side in (BEFORE, arm))
            for g, group in enumerate(groups):
                count = int(self.pool.counts[key][g])
                row = {**common, "group": group, "family": family, "n": count, "n_min": count, "reason": ""}
                row |= self.cells.both(arm, common["metric"], key, group, family, "")
                if self.pool.valid[key][g]:
                    b, a = values[BEFORE][members, g].mean(), values[arm][members, g].mean()
                    row |= tested(float(descriptor.harm(b, a)), descriptor.harm(drawn_b[:, g], drawn_a[:, g]))
                    row["reversed"] = changed_sides(b, drawn_b[:, g], a, drawn_a[:, g])
                else:
                    row["reason"] = f"{count} rows, fewer than {self.pool.minimum}"
                self.rows.append(row)

    def _values(self, side: str, key: str, metric: Metric) -> NDArray[np.float64]:
        ranked = self.arms[side]
        return metric.statistic(ranked.top(key) if metric.descriptor.evidence == "top" else ranked.moments(key))

    def _reversed(self, arm: str, key: str, metric: Metric, f: int) -> bool:
        """Whether a bias between two groups is shown to have changed sides, by the metric's per-group counterpart."""
        sides = next((one for one in self.plan.metrics if one.descriptor.name == metric.descriptor.sides), None)
        if sides is None or self.pool.valid[key].size != 2:
            return False
        members = self.plan.families.members[f]
        b, a = (np.diff(self._values(side, key, sides)[members].mean(0))[0] for side in (BEFORE, arm))
        drawn = [
            np.diff(self.drawn.family[side, sides.descriptor.name, key, f], axis=1)[:, 0] for side in (BEFORE, arm)
        ]
        return changed_sides(float(b), drawn[0], float(a), drawn[1])

    # ---------------------------------------------------------------------------------------------------- utilities

    def _explicit(self) -> None:
        from equipoise.metrics.engines.ranking import explicit_shares
        from equipoise.registry import METRICS

        plan, numbers = self.plan, self.plan.families.explicit
        if not numbers.size:
            return
        metric = METRICS.load("explicit_share")()
        called = metric.descriptor.called(self.k)
        for arm in self.after.document.arms:
            shares = {
                side: explicit_shares({key: self.arms[side].top(key) for key in self.pool.codes}, numbers, plan.named)
                for side in (BEFORE, arm)
            }
            drawn = {side: self.drawn.explicit[side] for side in (BEFORE, arm)}
            common = {
                "arm": arm, "family": "explicit", "metric": called, "protocol": metric.descriptor.protocol,
                "n": self.pool.n, "n_min": self.k, "margin": self.margins.of(metric.descriptor, self.k),
            }  # fmt: skip
            usable = np.isfinite(shares[BEFORE]) & np.isfinite(shares[arm])
            if not usable.any():
                self.rows.append({**common, "reason": "no explicit query names a group of the audited attributes"})
                continue
            weights = query_weights([int(usable.sum())], self.draws, self.seed)[0]
            change = metric.descriptor.harm(shares[BEFORE][usable].mean(), shares[arm][usable].mean())
            moved = metric.descriptor.harm(
                family_mean(drawn[BEFORE][:, usable], weights), family_mean(drawn[arm][:, usable], weights)
            )
            self.rows.append({
                **common, **self.cells.both(arm, called, "", "", "explicit", ""), **tested(float(change), moved)
            })  # fmt: skip
            for i in np.flatnonzero(usable) if arm == "main" else ():
                text = plan.queries[numbers[i]].text
                self.rows.append({
                    **common, "query": text, **self.cells.both(arm, called, "", "", "explicit", text),
                    **tested(
                        float(metric.descriptor.harm(shares[BEFORE][i], shares[arm][i])),
                        metric.descriptor.harm(drawn[BEFORE][:, i], drawn[arm][:, i]),
                    ),
                })  # fmt: skip

    def _overlap(self) -> None:
        from equipoise.registry import METRICS

        metric = METRICS.load("overlap")()
        descriptor = metric.descriptor
        families = self.plan.families
        weights = query_weights([members.size for members in families.members], self.draws, self.seed)
        for arm in self.after.document.arms:
            values = overlap(self.arms[BEFORE], self.arms[arm])
            drawn = self.drawn.overlap[arm]
            common = {
                "arm": arm, "metric": descriptor.called(self.k), "protocol": descriptor.protocol, "n": self.pool.n,
                "n_min": self.k, "margin": self.margins.of(descriptor, self.k), "before": 1.0, "before_low": 1.0,
                "before_high": 1.0,
            }  # fmt: skip
            for f, (family, members) in enumerate(zip(families.names, families.members, strict=True)):
                mean = float(values[members].mean())
                moved = descriptor.harm(1.0, family_mean(drawn[:, members], weights[f]))
                result = tested(float(descriptor.harm(1.0, mean)), moved)
                self.rows.append({**common, "family": family, "after": mean, **self._ends(result), **result})
                for q in members if arm == "main" else ():
                    result = tested(float(descriptor.harm(1.0, values[q])), descriptor.harm(1.0, drawn[:, q]))
                    text = self.plan.queries[q].text
                    self.rows.append({
                        **common, "family": family, "query": text, "after": float(values[q]), **self._ends(result), **result
                    })  # fmt: skip

    @staticmethod
    def _ends(result: dict[str, float]) -> dict[str, float]:
        """Limits of the overlap itself, from those of its loss."""
        if "change_low" not in result:
            return {}
        return {"after_low": max(0.0, 1 - result["change_high"]), "after_high": min(1.0, 1 - result["change_low"])}
