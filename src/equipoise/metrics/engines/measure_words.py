"""Estimates of one arm's preferences between words: association bias by pair, representation bias by set of words.

The row of a family is the mean over its pairs or sets; its bootstrap resamples rows and pairs. ``query`` holds the label
of the pair. Limits of one pair, and of the largest, are closed forms, or the bootstrap's where rows come in clusters.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from equipoise.data.queries import EXPLICIT
from equipoise.metrics.engines import preferences as words
from equipoise.metrics.engines.limits import drawn_limits, largest_limits, mean_limits, reaching_parity
from equipoise.metrics.engines.nulls import permutation_p
from equipoise.metrics.engines.plan import Plan, left_out
from equipoise.metrics.engines.ranking import Ranked
from equipoise.metrics.engines.replicates import family_mean
from equipoise.metrics.engines.rows import EstimateRows
from equipoise.metrics.preference import (
    AssociationBias,
    MaxAssociationBias,
    PairPreference,
    RepresentationBias,
    WordShare,
    expected_bias,
    sign_p,
)
from equipoise.protocols import Metric
from equipoise.stats import bootstrap_interval

NULL_DRAWS = 2000


def resampled(count: int, draws: int, seed: int) -> Any:
    """Return how often each of ``count`` pairs is present in each draw (B, count); equal in every arm."""
    return np.random.default_rng([seed, 22]).multinomial(count, np.full(count, 1 / count), size=draws)


def by_family(pairs: tuple[words.WordPair, ...]) -> dict[str, list[int]]:
    """Return the numbers of the pairs of each family."""
    found: dict[str, list[int]] = {}
    for number, pair in enumerate(pairs):
        found.setdefault(pair.family, []).append(number)
    return found


def measure_words(rows: EstimateRows, arm: str, ranked: Ranked, plan: Plan, detail: bool) -> None:
    """Append the estimates of one arm; ``detail`` adds the shares of single groups."""
    for metric in plan.words:
        if isinstance(metric, AssociationBias):
            for key in plan.keys:
                _pairs(rows, arm, ranked, plan, key, metric, detail)
        elif isinstance(metric, RepresentationBias):
            for attribute, sets in words.word_sets(plan.queries).items():
                _sets(rows, arm, ranked, plan, attribute, sets, metric, detail)


def notes_on_words(estimates: pa.Table) -> list[str]:
    """Return how far the representation bias depends on the words that were chosen."""
    found: dict[str, list[tuple[float, str]]] = {}
    names = ("metric", "arm", "attribute", "group", "query", "value")
    for metric, arm, attribute, group, query, value in zip(
        *(estimates[name].to_pylist() for name in names), strict=True
    ):
        if metric == RepresentationBias.descriptor.name and arm == "main" and query and not group and value is not None:
            found.setdefault(attribute, []).append((value, query))
    return [
        f"The representation bias of {attribute} runs from {min(own)[0]:.3f} ({min(own)[1]}) to {max(own)[0]:.3f} "
        f"({max(own)[1]}) over {len(own)} sets of words."
        for attribute, own in found.items()
        if len(own) > 1
    ]


def _common(metric: Metric, attribute: str, arm: str, plan: Plan) -> dict[str, Any]:
    descriptor = metric.descriptor
    return {
        "metric": descriptor.name, "protocol": descriptor.protocol, "attribute": attribute, "arm": arm, "level": plan.level,
    }  # fmt: skip


def _pairs(
    rows: EstimateRows, arm: str, ranked: Ranked, plan: Plan, key: str, metric: AssociationBias, detail: bool
) -> None:
    pool, pairs = ranked.pool, words.word_pairs(plan.queries)
    code, valid, n = pool.codes[key], pool.valid[key], int(pool.counts[key].sum())
    common, reason = _common(metric, key, arm, plan), left_out(plan, ranked, key)
    if valid.sum() < 2:
        why = f"fewer than two groups with {pool.minimum} rows"
        families = np.asarray(list(by_family(pairs)), object)
        rows.add(**common, family=families, value=np.nan, n=n, status="insufficient", reason=why)
        return
    hits = words.hits_of(ranked.scores, pairs)
    evidence = words.pairs_of(hits, code, valid)
    values, limits = metric.statistic(evidence), metric.interval(evidence, plan.level)
    drawn = None
    if plan.draws:
        again = words.pair_draws(hits, code, valid, plan.draws, plan.seed, pool.clusters)
        drawn = metric.statistic(again), metric.along(evidence, again)
        if pool.clusters is not None:
            limits = bootstrap_interval(values, drawn[0], plan.level, bounds=metric.descriptor.bounds)
    null = metric.statistic(words.pair_null(hits, code, valid, NULL_DRAWS, plan.seed, pool.clusters))
    _add_family_rows(rows, common, metric, by_family(pairs), [pair.label for pair in pairs], values, limits, drawn, null,
                     plan, n, reason)  # fmt: skip
    greatest = MaxAssociationBias()
    for family, members in by_family(pairs).items():
        value, chance = greatest.statistic(values[members]), greatest.statistic(null[:, members])
        own = replace(evidence, preferred=np.asarray(evidence.preferred)[members])
        ends = partial(metric.interval, own)
        if drawn is not None and pool.clusters is not None:
            ends = drawn_limits(values[members], drawn[1][:, members], metric.descriptor.bounds)
        low, high = largest_limits(ends, len(members), plan.level)
        p = permutation_p(value, chance)
        low = reaching_parity(low, p, plan.level)
        which = pairs[members[int(np.argmax(values[members]))]].label
        rows.add(
            **_common(greatest, key, arm, plan), family=family, value=value, low=np.minimum(low, value),
            high=np.maximum(high, value), n=n, null_value=chance.mean(), p=p,
            reason="; ".join(part for part in (f"in the pair {which}", reason) if part),
        )  # fmt: skip
    if detail:
        names = [pair.label for pair in pairs]
        families = [pair.family for pair in pairs]
        _add_shares(rows, PairPreference(), evidence, plan, arm, key, plan.vocabulary.groups(key), names, families,
                    pool.minimum)  # fmt: skip


def _sets(
    rows: EstimateRows, arm: str, ranked: Ranked, plan: Plan, attribute: str, sets: tuple[words.WordSet, ...],
    metric: RepresentationBias, detail: bool,
) -> None:  # fmt: skip
    clusters, n = ranked.pool.clusters, ranked.pool.n
    common, labels = _common(metric, attribute, arm, plan), [one.label for one in sets]
    if n < ranked.pool.minimum:
        why = f"{n} rows, fewer than {ranked.pool.minimum}"
        rows.add(**common, family=EXPLICIT, value=np.nan, n=n, status="insufficient", reason=why)
        return
    nearest = words.nearest_of(ranked.scores[np.asarray([one.members for one in sets])])
    evidence = words.preferences_of(nearest)
    values, limits = metric.statistic(evidence), metric.interval(evidence, plan.level)
    drawn = None
    if plan.draws:
        again = words.preference_draws(nearest, plan.draws, plan.seed, clusters)
        drawn = metric.statistic(again), metric.along(evidence, again)
        if clusters is not None:
            limits = bootstrap_interval(values, drawn[0], plan.level, bounds=metric.descriptor.bounds)
    null = metric.statistic(words.preference_null(nearest, NULL_DRAWS, plan.seed, clusters))
    exact = None
    if clusters is None and nearest.shape[-1] == 2:
        ties = (nearest == 0.5).all(-1).sum(1)
        one, other = (evidence.counts - ties[:, None] / 2).T
        expected = [expected_bias(n - int(t)) * (n - int(t)) / n if t < n else 0.0 for t in ties]
        exact = np.asarray(expected), np.asarray([sign_p(a, b) for a, b in zip(one, other, strict=True)])
    members = {EXPLICIT: list(range(len(sets)))}
    _add_family_rows(rows, common, metric, members, labels, values, limits, drawn, null, plan, n, "", exact)
    if detail:
        _add_shares(rows, WordShare(), evidence, plan, arm, attribute, sets[0].groups, labels,
                    [EXPLICIT] * len(labels), 0)  # fmt: skip


def _add_family_rows(
    rows: EstimateRows, common: dict[str, Any], metric: Metric, families: dict[str, list[int]], labels: list[str],
    values: Any, limits: Any, drawn: Any, null: Any, plan: Plan, n: int, reason: str, exact: tuple[Any, Any] | None = None,
) -> None:  # fmt: skip
    """Append the mean over each family and its single pairs, each beside what chance gives.

    ``drawn``: draws of the values, and draws with signs held (``along``); None for closed forms alone.
    """
    descriptor = metric.descriptor
    expected, p = (null.mean(0), permutation_p(values, null)) if exact is None else exact
    low = np.minimum(reaching_parity(limits[0], p, plan.level), values)
    high = np.maximum(limits[1], values)
    for family, members in families.items():
        mean, chance = values[members].mean(), null[:, members].mean(1)
        ends: Any = (low[members].mean(), high[members].mean())
        if drawn is not None:
            weights = resampled(len(members), plan.draws, plan.seed)
            moved = [family_mean(one[:, members], weights) for one in drawn]
            ends = mean_limits(float(mean), moved[0], moved[1], plan.level, descriptor.bounds)
        chance_p = permutation_p(mean, chance)
        ends = reaching_parity(ends[0], chance_p, plan.level), ends[1]
        rows.add(
            **common, family=family, value=mean, low=np.minimum(ends[0], mean), high=np.maximum(ends[1], mean), n=n,
            null_value=chance.mean(), p=chance_p, reason=reason,
        )  # fmt: skip
        rows.add(
            **common, family=family, query=np.asarray(labels, object)[members], value=values[members], low=low[members],
            high=high[members], n=n, null_value=expected[members], p=p[members], reason=reason,
        )  # fmt: skip


def _add_shares(
    rows: EstimateRows, metric: Metric, evidence: Any, plan: Plan, arm: str, attribute: str, groups: tuple[str, ...],
    labels: list[str], families: list[str], minimum: int,
) -> None:  # fmt: skip
    """Append the share of every group in every pair."""
    counted, limits = metric.counted(evidence), metric.interval(evidence, plan.level)
    assert counted is not None
    assert limits is not None
    few = counted[1] < minimum
    rows.add(
        **_common(metric, attribute, arm, plan), family=np.repeat(np.asarray(families, object), len(groups)),
        query=np.repeat(np.asarray(labels, object), len(groups)), group=np.tile(np.asarray(groups, object), len(labels)),
        value=metric.statistic(evidence), low=limits[0], high=limits[1], n=counted[1], numerator=counted[0],
        denominator=counted[1], status=np.where(few, "insufficient", "ok").ravel(),
        reason=np.where(few, f"fewer than {minimum} rows", "").astype(object).ravel(),
    )  # fmt: skip
