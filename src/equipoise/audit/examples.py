"""Rows to look at: the first of a query's ranking, and the mistakes that a classifier was surest of.

They are chosen from the evidence of an audit, or of the two audits of a comparison, and only where rows have pictures.
"""

# pyarrow makes its compute functions at import.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from equipoise.audit.result import Audit
from equipoise.schema import EXAMPLES, table
from equipoise.stats import top_rows
from equipoise.store.evidence import PredictionEvidence, RankingEvidence

FIRST = 12
"""Rows kept of each ranking, and of each group's mistakes."""

QUERIES = 1000
"""Queries whose rankings are kept, in the order in which they were asked."""

BEFORE, AFTER, FIXED, NEW = "before", "after", "fixed", "new"


def examples_of(audit: Audit) -> pa.Table:
    """Return the rows of an audit to look at, columns of ``schema.EXAMPLES``; none where rows have no pictures."""
    evidence = audit.evidence
    if isinstance(evidence, RankingEvidence):
        return table(EXAMPLES, _tops(audit, evidence, AFTER))
    if isinstance(evidence, PredictionEvidence) and evidence.rows["score"].null_count == 0:
        return table(EXAMPLES, _mistakes(audit, evidence, _wrong(evidence), ""))
    return EXAMPLES.empty_table()


def examples_of_both(before: Audit, after: Audit) -> pa.Table:
    """Return the rows of a comparison to look at: each ranking before and after, or the mistakes fixed and new."""
    one, two = before.evidence, after.evidence
    if isinstance(one, RankingEvidence) and isinstance(two, RankingEvidence):
        return table(EXAMPLES, [*_tops(before, one, BEFORE), *_tops(after, two, AFTER)])
    if isinstance(one, PredictionEvidence) and isinstance(two, PredictionEvidence):
        was, now = _wrong(one), _wrong(two)
        fixed, new = _mistakes(before, one, was & ~now, FIXED), _mistakes(after, two, now & ~was, NEW)
        return table(EXAMPLES, [*fixed, *new])
    return EXAMPLES.empty_table()


def _pictured(rows: pa.Table) -> bool:
    """Return whether some row has a picture."""
    return "image" in rows.column_names and bool(pc.any(pc.not_equal(rows["image"], "")).as_py())


def _row(audit: Audit, rows: pa.Table, index: int) -> dict[str, Any]:
    one = rows.slice(index, 1).to_pylist()[0]
    groups = {name: one[name] for name in audit.document.vocabulary if one.get(name) is not None and name in one}
    return {
        "row_id": one["row_id"],
        "image": one["image"],
        "sha256": one.get("sha256"),
        "groups": json.dumps(groups, ensure_ascii=False, sort_keys=True),
    }


def _tops(audit: Audit, evidence: RankingEvidence, side: str) -> list[dict[str, Any]]:
    """Return the first rows of each query's ranking in the audited arm; ties by row id, as everywhere."""
    if not _pictured(evidence.rows):
        return []
    scores = evidence.scores["main"][:QUERIES]
    best = top_rows(scores, min(FIRST, int(audit.document.k or FIRST), scores.shape[1]))
    known: dict[int, dict[str, Any]] = {}
    found = []
    for query, order, cosines in zip(evidence.queries, best, scores, strict=False):
        for rank, index in enumerate(order.tolist(), 1):
            if index not in known:
                known[index] = _row(audit, evidence.rows, index)
            found.append(
                {"kind": "top", "side": side, "family": query.family, "query": query.text, "rank": rank,
                 "score": float(cosines[index]), **known[index]}
            )  # fmt: skip
    return found


def _wrong(evidence: PredictionEvidence) -> NDArray[np.bool_]:
    label, said = (np.asarray(evidence.rows[name].to_pylist(), object) for name in ("label", "prediction"))
    return label != said


def _mistakes(audit: Audit, evidence: PredictionEvidence, chosen: NDArray[np.bool_], side: str) -> list[dict[str, Any]]:
    """Return, by group of each attribute, the chosen rows that the classifier was surest of; ties by row id."""
    rows = evidence.rows
    if not _pictured(rows) or not chosen.any():
        return []
    sure = sureness(evidence, audit.document.positive)
    candidates = np.flatnonzero(chosen)
    candidates = candidates[np.argsort(-sure[candidates], kind="stable")]
    by: Sequence[str] = [key for key in audit.document.parameters["settings"]["by"] if ":" not in key]
    declared: Mapping[str, Any] = audit.document.vocabulary
    wanted: dict[int, None] = {}
    for name in by:
        column = np.asarray(rows[name].to_pylist(), object)[candidates]
        for group in declared[name]["values"]:
            wanted |= dict.fromkeys(candidates[column == group][:FIRST].tolist())
    places = {index: rank for rank, index in enumerate(candidates.tolist(), 1)}
    found = []
    for index in sorted(wanted, key=places.__getitem__):
        one = rows.slice(index, 1).to_pylist()[0]
        found.append(
            {"kind": "mistake", "side": side, "rank": places[index], "label": one["label"],
             "prediction": one["prediction"], "score": one["score"], **_row(audit, rows, index)}
        )  # fmt: skip
    return found


def sureness(evidence: PredictionEvidence, positive: str | None) -> NDArray[np.float64]:
    """Return (n,) how sure each answer was; all 0 without scores.

    Scores are those of the positive label: the distance from the middle (0.5 of scores within 0 .. 1, else 0) on the
    side of the answer. Without a positive label the score is taken as that of the answer itself. Among more than two
    answers the score tells only of the positive one: how sure another answer was is not known, and counts as 0.
    """
    if evidence.rows["score"].null_count:
        return np.zeros(evidence.rows.num_rows)
    score = evidence.rows["score"].to_numpy().astype(np.float64)
    if positive is None:
        return score
    middle = 0.5 if score.min() >= 0 and score.max() <= 1 else 0.0
    words = np.asarray(evidence.rows["prediction"].to_pylist(), object)
    said = words == positive
    if len({*words, *evidence.rows["label"].to_pylist(), positive}) > 2:
        missed = np.asarray(evidence.rows["label"].to_pylist(), object) == positive
        return np.where(said, score, np.where(missed, 1 - score if middle else -score, 0.0))
    return np.where(said, score - middle, middle - score)
