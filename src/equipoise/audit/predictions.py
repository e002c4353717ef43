"""The audit of a table of labels, predictions and scores."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from equipoise.audit.annotated import annotations_of, notes_on, parameters_of
from equipoise.audit.model import card_warning, described, model_notes, positive_of
from equipoise.audit.result import Audit, Settings, split_of
from equipoise.data.samples import Samples
from equipoise.errors import InputError, listed
from equipoise.metrics.engines.measure_predictions import measure_predictions
from equipoise.metrics.engines.predictions import Side, positive_label
from equipoise.metrics.engines.ranking import Pool
from equipoise.metrics.engines.rows import EstimateRows
from equipoise.registry import METRICS
from equipoise.schema import AuditDocument
from equipoise.store.evidence import PredictionEvidence, clusters_of, codes_of, evidence_columns, image_root

DEFAULT = (
    "accuracy", "tpr", "fpr", "selection_rate", "auc", "accuracy_gap", "tpr_gap", "fpr_gap", "selection_rate_gap",
    "impact_ratio", "auc_gap",
)  # fmt: skip


def audit_predictions(samples: Samples, settings: Settings) -> Audit:
    """Audit a table of answers; see :func:`equipoise.audit`."""
    for role in ("label", "prediction"):
        if role not in samples.roles:
            raise InputError(f"The table has no {role}.", f"Name its column: {role}=... (--{role}).")
    if "weight" in samples.roles:
        raise InputError("Audits do not weigh rows.", "Leave the weight column out.")
    rows, aside = usable_rows(samples)
    if rows.num_rows == 0:
        raise InputError("No row has both a label and a prediction.", "Check the columns that were named.")
    refuse_strangers(rows["label"].to_pylist(), rows["prediction"].to_pylist())
    evidence = PredictionEvidence(rows)
    vocabulary = samples.vocabulary
    positive = _positive(samples, rows, settings.positive)
    pool = prediction_pool(evidence, vocabulary, settings.by, settings.min_group)
    side = prediction_side(evidence, positive)
    found = EstimateRows(split=split_of(samples), seed=settings.seed, level=settings.level)
    metrics = [METRICS.load(name)() for name in settings.metrics or DEFAULT]
    if "score" not in samples.roles and settings.metrics is None:
        metrics = [metric for metric in metrics if metric.descriptor.evidence != "auc"]
    wrong = [metric.descriptor.name for metric in metrics if metric.descriptor.evidence not in ("counts", "auc")]
    if wrong:
        raise InputError(
            f"'{wrong[0]}' cannot be computed from predictions.", "Audit embeddings for it.", value=wrong[0]
        )
    measure_predictions(
        found, pool, side, settings.by, metrics, vocabulary,
        draws=settings.bootstrap, level=settings.level, seed=settings.seed,
    )  # fmt: skip
    notes = model_notes(samples, rows)
    estimates = found.table()
    if warning := card_warning(estimates, samples):
        notes.append(warning)
    annotations = annotations_of(samples.table.schema, settings.by)
    notes += notes_on(annotations, estimates, samples.model)
    if positive is None:
        labels = listed(sorted(set(rows["label"].to_pylist())), 5)
        notes.append(
            f"No positive label was named (labels: {labels}): rates of one label and AUC are not estimable. "
            "Name one (--positive)."
        )
    elif settings.positive is None and not samples.model:
        notes.append(f"The positive label is '{positive}', taken from the values; name it to be sure.")
    document = AuditDocument(
        source="predictions",
        parameters={
            "settings": settings.as_dict(),
            "rows": dict(samples.conditions),
            "roles": dict(samples.roles),
            "id_from": samples.id_from,
            **image_root(samples),
            **parameters_of(annotations),
        },
        rows={"in": len(samples), "used": rows.num_rows, "set_aside": len(samples) - rows.num_rows},
        unknown=samples.unknown(),
        vocabulary=vocabulary.to_dict(),
        positive=positive,
        **described(samples),
        inputs=dict(samples.inputs),
        notes=notes + [f"{count} rows set aside: {reason}." for reason, count in aside.items()],
        seed=settings.seed,
    )
    return Audit(estimates, document, evidence)


def _positive(samples: Samples, rows: pa.Table, given: str | None) -> str | None:
    """Return the positive label: that of the model's scores, else the given one, or what the values say."""
    labels, predictions = rows["label"].to_pylist(), rows["prediction"].to_pylist()
    if samples.model:
        kept = positive_of(samples, given)
        return kept if given is not None or kept in {*labels, *predictions} else None
    return positive_label(labels, predictions, given)


def refuse_strangers(labels: list[str], predictions: list[str]) -> None:
    """Raise InputError where no prediction is a label at all: another column was meant."""
    known, said = set(labels), set(predictions)
    if not known & said:
        raise InputError(
            f"No prediction is one of the labels: labels are {listed(sorted(known), 5)}; "
            f"predictions {listed(sorted(said), 5)}.",
            "Name the column of predicted labels (--prediction); scores go to --score.",
            value=sorted(said)[:5],
        )


def usable_rows(samples: Samples) -> tuple[pa.Table, dict[str, int]]:
    """Return the evidence table of rows with a label, a prediction and (where there are scores) a finite score."""
    label, prediction = samples.column("label"), samples.column("prediction")
    keep = np.asarray([bool(a) and bool(b) for a, b in zip(label, prediction, strict=True)])
    aside: dict[str, int] = {}
    unanswered = np.zeros(len(samples), bool)
    if samples.model:
        reasons = samples.column("reason")
        unanswered = np.asarray([bool(reason) for reason in reasons], bool)
        aside = dict(sorted(Counter(str(reason) for reason in reasons if reason).items()))
        keep &= ~unanswered
    nothing = "no label" if samples.model else "no label or no prediction"
    aside[nothing] = int((~keep & ~unanswered).sum())
    score: Any = pa.nulls(len(samples), pa.float64())
    if "score" in samples.roles:
        numbers = np.asarray(samples.column("score"), np.float64)
        aside["no finite score"] = int((keep & ~np.isfinite(numbers)).sum())
        keep &= np.isfinite(numbers)
        score = pa.array(numbers)
    columns: dict[str, Any] = evidence_columns(samples) | {
        "label": pa.array(label, pa.string()), "prediction": pa.array(prediction, pa.string()), "score": score,
    }  # fmt: skip
    for name in samples.attributes:
        columns[name] = samples.table[name].cast(pa.string())
    table = pa.table(columns).filter(pa.array(keep))
    return table, {reason: count for reason, count in aside.items() if count}


def prediction_pool(evidence: PredictionEvidence, vocabulary: Any, keys: Any, minimum: int) -> Pool:
    """Return the rows by group."""
    codes = {key: codes_of(evidence.rows, vocabulary, key) for key in keys}
    sizes = {key: len(vocabulary.groups(key)) for key in keys}
    return Pool(codes, sizes, {}, float("nan"), minimum, clusters_of(evidence.rows))


def prediction_side(evidence: PredictionEvidence, positive: str | None) -> Side:
    """Return the answers as codes."""
    rows = evidence.rows
    score = rows["score"].to_numpy() if rows["score"].null_count == 0 else None
    return Side.of(rows["label"].to_pylist(), rows["prediction"].to_pylist(), score, positive)
