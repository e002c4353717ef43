"""A model before and after it was trained: both embed the same held-out rows, both are audited alike, and the ledger follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from equipoise.audit.embeddings import DEFAULT, checked_k, make_plan
from equipoise.audit.result import Audit, Settings
from equipoise.audit.run import audit, refuse_leakage, refuse_one_group
from equipoise.compare.captions import caption_notes
from equipoise.compare.result import Comparison
from equipoise.compare.run import compare
from equipoise.compare.verdicts import Margins
from equipoise.data.queries import read_queries
from equipoise.data.samples import Samples
from equipoise.embed import embed
from equipoise.errors import OutputExistsError
from equipoise.metrics.engines.preferences import word_pairs, word_sets
from equipoise.protocols import Encoder, Mitigation
from equipoise.store.embeddings import EmbeddingSet

BEFORE, AFTER, STORES, LEDGER = "before", "after", "stores", "ledger"


def compare_encoders(
    before: str | Encoder,
    after: str | Encoder,
    samples: Samples,
    *,
    queries: Any,
    by: Sequence[str],
    mitigation: Mitigation | None = None,
    attributes: Sequence[str] = (),
    folder: str | Path | None = None,
    metrics: Sequence[str] | None = None,
    margins: Mapping[str, float] | None = None,
    draws: int = 500,
    device: str = "auto",
    **settings: Any,
) -> Comparison:
    """Judge what the training of an encoder changed.

    Parameters
    ----------
    before, after : str or Encoder
        References or encoders.
    samples : Samples
        Held-out rows with pictures; captions, where there are any, give recall.
    queries, by
        As for :func:`equipoise.audit`.
    mitigation : Mitigation, optional
        What made the one of the other: rows that it was fitted on are refused, its attributes are the targeted ones.
    attributes : sequence of str, optional
        The targeted attributes, where there is no mitigation.
    folder : path, optional
        Where ``stores/``, ``before/``, ``after/`` and ``ledger/`` are written; what is there of another comparison of these
        models is replaced.
    metrics : sequence of str, optional
        Registry names; by default those of an audit of embeddings, with association bias where queries stand in pairs and
        representation bias where they name groups.
    margins, draws
        As for :func:`equipoise.compare`.
    device : str
        Where encoders that are named by a reference run.
    **settings
        ``k``, ``bootstrap``, ``level``, ``seed``, ``min_group``: as for :func:`equipoise.audit`.

    Returns
    -------
    Comparison
        Zero-shot recognition of the targeted attributes is among its rows: a model that no longer knows a group from
        another would look balanced. With captions, the notes of the document hold recall at 1, 5 and 10 in both
        directions before and after, for pictures of people and for all others (up to 2,000 captions; not tested).

    Raises
    ------
    LeakageError
        If rows were trained on.
    """
    if mitigation is not None:
        refuse_leakage(mitigation, samples.ids)
        attributes = mitigation.attributes
    metrics = check_plan(samples, queries, by, metrics, margins, **settings)
    place = None if folder is None else Path(folder)
    audits: dict[str, Audit] = {}
    sides: dict[str, EmbeddingSet] = {}
    for side, encoder in ((BEFORE, before), (AFTER, after)):
        data = sides[side] = _embedded(encoder, samples, None if place is None else place / STORES / side, device)
        like = audits.get(BEFORE)
        if like is None:
            audits[side] = audit(data, queries=queries, by=by, metrics=metrics, **settings)
        else:
            audits[side] = audit(data, like=like)
    if mitigation is not None:
        audits[AFTER] = _made_by(audits[AFTER], mitigation)
    result = compare(
        audits[BEFORE], audits[AFTER], attributes=tuple(attributes), draws=draws,
        margins=None if margins is None else dict(margins), seed=int(settings.get("seed") or 0),
    )  # fmt: skip
    said = caption_notes(
        sides[BEFORE], sides[AFTER], level=float(settings.get("level") or 0.95),
        minimum=int(settings.get("min_group") or 30), seed=int(settings.get("seed") or 0),
    )  # fmt: skip
    if said:
        document = result.document.model_copy(update={"notes": [*result.document.notes, *said]})
        result = replace(result, document=document)
    if place is not None:
        for side, one in audits.items():
            one.save(place / side, overwrite=True)
        result.save(place / LEDGER, overwrite=True)
    return result


def check_plan(
    samples: Samples, queries: Any, by: Sequence[str], metrics: Sequence[str] | None = None,
    margins: Mapping[str, float] | None = None, **settings: Any,
) -> tuple[str, ...]:  # fmt: skip
    """Return the metrics that will be measured, or raise InputError before anything expensive is done for them.

    ``settings`` are those of :func:`equipoise.audit`; one that is None is its default.
    """
    found = read_queries(queries, samples.vocabulary)
    words = [
        name for name, there in (("association_bias", word_pairs), ("representation_bias", word_sets)) if there(found)
    ]
    metrics = tuple(metrics) if metrics else (*DEFAULT, *words)
    given = {name: value for name, value in settings.items() if value is not None}
    chosen = Settings(by=tuple(by), metrics=metrics, **given)
    make_plan(found, chosen, samples.vocabulary)
    checked_k(chosen.k, len(samples))
    Margins(None if margins is None else dict(margins))
    for key in by:
        refuse_one_group(samples, key)
    return metrics


def _embedded(encoder: str | Encoder, samples: Samples, store: Path | None, device: str) -> EmbeddingSet:
    try:
        return embed(encoder, samples, store=store, device=device)
    except OutputExistsError:
        return embed(encoder, samples, store=store, device=device, overwrite=True)


def _made_by(after: Audit, mitigation: Mitigation) -> Audit:
    """Return the audit with the mitigation in its document, as that of an edit has it."""
    made = {
        "method": mitigation.name, "version": mitigation.version, "attributes": list(mitigation.attributes),
        "edits": ["image", "text"], "parameters": {}, "fit_rows": len(mitigation.fit_rows),
    }  # fmt: skip
    return Audit(after.estimates, after.document.model_copy(update={"mitigation": made}), after.evidence)
