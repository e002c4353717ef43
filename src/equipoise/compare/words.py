"""Ledger rows of preferences between words: association bias by pair, representation bias by set of words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from equipoise.compare.utility import CellIndex
from equipoise.compare.verdicts import Margins, changed_sides, tested
from equipoise.data.queries import EXPLICIT
from equipoise.metrics.engines import preferences as words
from equipoise.metrics.engines.measure_words import by_family, resampled
from equipoise.metrics.engines.plan import Plan, left_out
from equipoise.metrics.engines.ranking import Ranked
from equipoise.metrics.engines.replicates import family_mean
from equipoise.metrics.preference import AssociationBias, PairPreference, RepresentationBias, WordShare
from equipoise.protocols import Metric

Side = tuple[Any, Any, Any, Any]
"""Values (P,) and draws (B, P) of a metric, and those of the shares behind it, (P, G) and (B, P, G)."""


def word_rows(
    arms: Mapping[str, Ranked], base: str, after: list[str], plan: Plan, margins: Margins, cells: CellIndex, draws: int,
    seed: int,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return the rows of every arm in ``after`` against ``base``, paired by row, pair and draw."""
    rows: list[dict[str, Any]] = []
    pairs, sets = words.word_pairs(plan.queries), words.word_sets(plan.queries)
    for metric in plan.words:
        if isinstance(metric, AssociationBias):
            for key in plan.keys:
                pool = arms[base].pool
                valid = pool.valid[key]
                common = {
                    "attribute": key, "n": int(pool.counts[key].sum()), "reason": left_out(plan, arms[base], key),
                    "n_min": int(pool.counts[key][valid].min()) if valid.any() else 0,
                }  # fmt: skip
                enough = valid.sum() >= 2
                if not enough:
                    common["reason"] = f"fewer than two groups with {pool.minimum} rows"
                sides = {
                    arm: _pairs(metric, ranked, key, pairs, draws, seed) if enough else None
                    for arm, ranked in arms.items()
                }
                labels = [pair.label for pair in pairs]
                rows += _rows(metric, common, sides, base, after, by_family(pairs), labels, margins, cells, seed)
        elif isinstance(metric, RepresentationBias):
            for attribute, own in sets.items():
                n = arms[base].pool.n
                enough = n >= arms[base].pool.minimum
                reason = "" if enough else f"{n} rows, fewer than {arms[base].pool.minimum}"
                common = {"attribute": attribute, "n": n, "n_min": n, "reason": reason}
                sides = {
                    arm: _sets(metric, ranked, own, draws, seed) if enough else None for arm, ranked in arms.items()
                }
                members = {EXPLICIT: list(range(len(own)))}
                labels = [one.label for one in own]
                rows += _rows(metric, common, sides, base, after, members, labels, margins, cells, seed)
    return rows


def _pairs(
    metric: Metric, ranked: Ranked, key: str, pairs: tuple[words.WordPair, ...], draws: int, seed: int
) -> Side:  # fmt: skip
    code, valid = ranked.pool.codes[key], ranked.pool.valid[key]
    hits = words.hits_of(ranked.scores, pairs)
    evidence = words.pairs_of(hits, code, valid)
    drawn = words.pair_draws(hits, code, valid, draws, seed, ranked.pool.clusters)
    shares = PairPreference()
    return metric.statistic(evidence), metric.statistic(drawn), shares.statistic(evidence), shares.statistic(drawn)


def _sets(metric: Metric, ranked: Ranked, sets: tuple[words.WordSet, ...], draws: int, seed: int) -> Side:
    nearest = words.nearest_of(ranked.scores[np.asarray([one.members for one in sets])])
    evidence = words.preferences_of(nearest)
    drawn = words.preference_draws(nearest, draws, seed, ranked.pool.clusters)
    shares = WordShare()
    return metric.statistic(evidence), metric.statistic(drawn), shares.statistic(evidence), shares.statistic(drawn)


def _rows(
    metric: Metric, common: dict[str, Any], sides: dict[str, Side | None], base: str, after: list[str],
    families: dict[str, list[int]], labels: list[str], margins: Margins, cells: CellIndex, seed: int,
) -> list[dict[str, Any]]:  # fmt: skip
    descriptor = metric.descriptor
    common = {
        **common, "metric": descriptor.name, "protocol": descriptor.protocol, "margin": margins.of(descriptor, None)
    }  # fmt: skip
    rows: list[dict[str, Any]] = []
    for arm in after:
        before, now = sides[base], sides[arm]
        for family, members in families.items():
            row = {**common, "arm": arm, "family": family}
            if before is None or now is None:
                rows.append(row)
                continue
            again = resampled(len(members), before[1].shape[0], seed)
            drawn = [family_mean(side[1][:, members], again) for side in (before, now)]
            change = float(descriptor.harm(before[0][members].mean(), now[0][members].mean()))
            rows.append({
                **row, **cells.both(arm, descriptor.name, common["attribute"], "", family, ""),
                **tested(change, descriptor.harm(*drawn)), "reversed": _reversed(before, now, members, again),
            })  # fmt: skip
            for i in members if arm == "main" else ():
                change = float(descriptor.harm(before[0][i], now[0][i]))
                rows.append({
                    **row, "query": labels[i],
                    **cells.both(arm, descriptor.name, common["attribute"], "", family, labels[i]),
                    **tested(change, descriptor.harm(before[1][:, i], now[1][:, i])),
                })  # fmt: skip
    return rows


def _reversed(before: Side, now: Side, members: list[int], again: Any) -> bool:
    """Whether the mean difference between two groups is shown to have changed sides."""
    if before[2].shape[-1] != 2:
        return False
    found: list[Any] = []
    for side in (before, now):
        value, drawn = (shares[..., members, 1] - shares[..., members, 0] for shares in side[2:])
        found += [float(value.mean()), family_mean(drawn, again)]
    return changed_sides(*found)
