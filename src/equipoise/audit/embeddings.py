"""The audit of embeddings: one pass over the rows scores every arm, then each arm is measured."""

from __future__ import annotations

from typing import Any

import numpy as np

from equipoise.audit.annotated import annotations_of, notes_on, parameters_of
from equipoise.audit.result import Audit, Settings, split_of
from equipoise.audit.scoring import Scorer
from equipoise.data.groups import Vocabulary
from equipoise.data.queries import Query, read_queries
from equipoise.errors import InputError
from equipoise.metrics.engines import utility
from equipoise.metrics.engines.measure import measure
from equipoise.metrics.engines.measure_predictions import EVERYBODY
from equipoise.metrics.engines.measure_words import measure_words, notes_on_words
from equipoise.metrics.engines.plan import Plan
from equipoise.metrics.engines.preferences import word_pairs, word_sets
from equipoise.metrics.engines.ranking import Pool, Ranked
from equipoise.metrics.engines.replicates import replicate
from equipoise.metrics.engines.rows import EstimateRows
from equipoise.metrics.retrieval import default_k
from equipoise.progress import advance
from equipoise.protocols import EmbeddingMitigation, Metric
from equipoise.registry import METRICS
from equipoise.schema import AuditDocument
from equipoise.store.embeddings import EmbeddingSet
from equipoise.store.evidence import RankingEvidence, codes_of, image_root

DEFAULT = ("skew", "max_skew", "min_skew", "dp", "cosine_bias", "score_gap")


def audit_embeddings(
    data: EmbeddingSet, queries: Any, settings: Settings, mitigation: EmbeddingMitigation | None, like: Audit | None
) -> Audit:
    """Audit an embedding set; see :func:`equipoise.audit`."""
    asked = _queries(queries, data.vocabulary, like)
    if len(data) == 0:
        raise InputError("There are no rows to audit.", "Check --rows and the quarantine of the store.")
    k = checked_k(settings.k, len(data))
    arms: dict[str, EmbeddingMitigation | None] = {"main": mitigation}
    if mitigation is not None:
        for control in mitigation.controls():
            name = arm_name(control)
            number = sum(arm.partition("__")[0] == name for arm in arms)
            arms[f"{name}__{number + 1}" if number else name] = control
    scorer = Scorer(data, asked, arms, settings.by)
    evidence = scorer.evidence()
    plan = make_plan(asked, settings, data.vocabulary)
    rows = EstimateRows(split=split_of(data.samples), seed=settings.seed, level=settings.level)
    measure_arms(rows, evidence, scorer.geometry, plan, k, settings.min_group)
    for arm, edit in arms.items():
        utility.add_query_cosine(rows, arm, scorer.texts, scorer.edited[arm], plan)
        if edit is not None:
            utility.add_diagnostics(rows, arm, edit.diagnostics(scorer.texts, asked))
    estimates = rows.table()
    annotations = annotations_of(data.samples.table.schema, settings.by)
    document = AuditDocument(
        source="embeddings",
        parameters={
            "settings": settings.as_dict(),
            "rows": dict(data.samples.conditions),
            "id_from": data.samples.id_from,
            **image_root(data.samples),
            **parameters_of(annotations),
        },
        rows={"in": data.rows_in, "used": len(data), "set_aside": data.rows_in - len(data)},
        unknown=data.samples.unknown(),
        vocabulary=data.vocabulary.to_dict(),
        queries=[{"text": q.text, "family": q.family, "label": q.label, "explicit": q.explicit} for q in asked],
        k=k,
        encoder=data.encoder,
        preprocessing=data.preprocessing,
        mitigation=_described(mitigation),
        arms=list(arms),
        geometry=scorer.geometry,
        inputs=dict(data.inputs),
        notes=_notes(data, asked, k, settings, mitigation)
        + scorer.notes
        + notes_on_words(estimates)
        + notes_on(annotations, estimates, data.encoder),
        seed=settings.seed,
    )
    return Audit(estimates, document, evidence)


def checked_k(k: int | None, n: int) -> int:
    """Return how many rows are in the top of a search of ``n``; InputError where there are not so many."""
    k = k if k is not None else default_k(n)
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k <= n:
        raise InputError(
            f"k is {k!r}, and there are {n} rows.",
            f"Give a whole number from 1 to {n} (default {default_k(n)}).",
            value=k,
        )
    return k


def arm_name(mitigation: Any) -> str:
    """Return the name of a control's arm: its registry name with underscores."""
    return mitigation.name.replace("-", "_")


def make_plan(queries: tuple[Query, ...], settings: Settings, vocabulary: Vocabulary) -> Plan:
    """Resolve metric names and return what is measured on every arm."""
    ranked: list[Metric] = []
    words: list[Metric] = []
    lacking: dict[str, tuple[str, str]] = {}
    for metric in (METRICS.load(name)() for name in settings.metrics or DEFAULT):
        descriptor = metric.descriptor
        kinds = {"top": ranked, "moments": ranked, "pairs": words, "preferences": words}
        if descriptor.evidence not in kinds or descriptor.role != "bias":
            raise InputError(
                f"'{descriptor.name}' cannot be asked of embeddings.",
                "Utilities are measured anyway; classification metrics need a table of predictions.",
                value=descriptor.name,
            )
        if descriptor.evidence == "pairs" and not word_pairs(queries):
            lacking[descriptor.name] = (
                f"'{descriptor.name}' needs queries in pairs: two of a family with a label that no other has.",
                "Add the built-in list 'association-pairs', or name each pair in the column 'label'.",
            )
        if descriptor.evidence == "preferences" and not word_sets(queries):
            lacking[descriptor.name] = (
                f"'{descriptor.name}' needs queries that name the groups of an attribute, in sets of one label.",
                "Add the built-in list 'representation-prompts', or name 'explicit' and 'label' in a list of your own.",
            )
        kinds[descriptor.evidence].append(metric)
    if lacking:
        what, remedy = (" ".join(texts) for texts in zip(*lacking.values(), strict=True))
        raise InputError(what, remedy, value=next(iter(lacking)) if len(lacking) == 1 else list(lacking))
    return Plan(
        queries, settings.by, tuple(ranked), vocabulary, settings.bootstrap, settings.level, settings.seed, tuple(words)
    )


def pool_of(
    evidence: RankingEvidence, vocabulary: Vocabulary, keys: Any, geometry: dict[str, Any], minimum: int
) -> Pool:
    """Return the searched rows by group, with the attributes that explicit queries name."""
    named = {query.explicit.partition("=")[0] for query in evidence.queries if query.explicit}
    there = [name for name in vocabulary.attributes if name in evidence.rows.column_names]
    wanted = [*keys, *(name for name in there if name in named and name not in keys)]
    if not wanted:  # pictures of no groups: all are one
        everybody = np.zeros(evidence.rows.num_rows, np.int32)
        norms = {EVERYBODY: np.asarray([geometry["whole_norm"]])}
        return Pool({EVERYBODY: everybody}, {EVERYBODY: 1}, norms, geometry["whole_norm"], minimum, evidence.clusters)
    sizes = {key: len(vocabulary.groups(key)) for key in wanted}
    norms = {key: np.asarray(geometry["norms"].get(key, [np.nan] * sizes[key]), np.float64) for key in wanted}
    codes = {key: codes_of(evidence.rows, vocabulary, key) for key in wanted}
    return Pool(codes, sizes, norms, geometry["whole_norm"], minimum, evidence.clusters)


def ranked_arms(
    evidence: RankingEvidence, vocabulary: Vocabulary, keys: Any, geometry: dict[str, Any], k: int, minimum: int
) -> dict[str, Ranked]:
    """Return every arm over one pool (an edit of images has norms of its own, and then a pool of its own)."""
    pools: dict[str, Pool] = {}
    arms = {}
    for arm, scores in evidence.scores.items():
        shape = geometry[arm]
        kind = shape.get("same_as", arm)
        if kind not in pools:
            pools[kind] = pool_of(evidence, vocabulary, keys, geometry[kind], minimum)
        arms[arm] = Ranked(scores, pools[kind], k)
    return arms


def measure_arms(
    rows: EstimateRows, evidence: RankingEvidence, geometry: dict[str, Any], plan: Plan, k: int, minimum: int
) -> None:
    """Append the estimates of every arm, and of the utility that the evidence carries."""
    arms = ranked_arms(evidence, plan.vocabulary, plan.keys, geometry, k, minimum)
    drawn = None
    if plan.draws:
        clustered = None if evidence.clusters is None else "main"
        drawn = replicate(
            arms, plan.families, plan.keys, plan.metrics, plan.named, plan.draws, plan.seed, detail=clustered
        )
    for done, (arm, ranked) in enumerate(arms.items()):
        advance("measuring arms", done, len(arms))
        measure(rows, arm, ranked, plan, drawn, detail=arm == "main")
        measure_words(rows, arm, ranked, plan, detail=arm == "main")
        utility.add_zero_shot(rows, arm, evidence, ranked.pool, plan, detail=arm == "main")
        utility.add_recall(rows, arm, evidence, plan)


def _queries(queries: Any, vocabulary: Vocabulary, like: Audit | None) -> tuple[Query, ...]:
    if queries is None:
        if like is None:
            raise InputError("No queries were given.", "Name a list (--queries occupations) or a file.")
        return like.queries
    found = read_queries(queries, vocabulary)
    if like is not None and tuple(found) != like.queries:
        raise InputError(
            f"The queries ({len(found)}) differ from those of the audit to be like ({len(like.queries)}).",
            "Leave the queries out, or audit the baseline again with them.",
        )
    return found


def _described(mitigation: EmbeddingMitigation | None) -> dict[str, Any] | None:
    if mitigation is None:
        return None
    parameters, _ = mitigation.state()
    return {
        "method": mitigation.name, "version": mitigation.version, "attributes": list(mitigation.attributes),
        "edits": sorted(mitigation.edits), "parameters": parameters, "fit_rows": len(mitigation.fit_rows),
    }  # fmt: skip


def _notes(
    data: EmbeddingSet, queries: tuple[Query, ...], k: int, settings: Settings, mitigation: EmbeddingMitigation | None
) -> list[str]:
    notes = list(data.notes)
    notes += [] if settings.k is not None else [f"k = {k} of {len(data)} rows (min(200, n // 5))."]
    explicit = [query.text for query in queries if query.explicit]
    if explicit:
        notes.append(f"{len(explicit)} queries name a group and form the family 'explicit'.")
    notes += list(getattr(queries, "notes", ()))
    notes += [f"{count} rows set aside: {reason}." for reason, count in data.set_aside.items() if count]
    return notes + list(getattr(mitigation, "notes", ()))
