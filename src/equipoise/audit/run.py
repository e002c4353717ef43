"""Audit: every metric, on every declared attribute, with interval, chance level and the evidence by row.

An audit of embeddings ranks rows by queries; an audit of predictions counts answers. With a mitigation, the edited arm
is ``main`` and the mitigation's controls are arms beside it, over the same rows and queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from equipoise.audit.embeddings import audit_embeddings
from equipoise.audit.predictions import audit_predictions
from equipoise.audit.result import Audit, Settings
from equipoise.data.samples import Samples
from equipoise.errors import FingerprintError, InputError, LeakageError, expect
from equipoise.protocols import EmbeddingMitigation
from equipoise.store.embeddings import EmbeddingSet


def audit(
    data: EmbeddingSet | Samples,
    *,
    queries: Any = None,
    by: str | Sequence[str] = (),
    mitigation: EmbeddingMitigation | None = None,
    like: Audit | None = None,
    k: int | None = None,
    metrics: Sequence[str] | None = None,
    bootstrap: int | None = None,
    level: float | None = None,
    seed: int | None = None,
    min_group: int | None = None,
    positive: str | None = None,
) -> Audit:
    """Measure bias on every attribute of ``by``, and keep the evidence.

    Parameters
    ----------
    data : EmbeddingSet or Samples
        Embeddings are ranked by ``queries``; samples need the roles ``label`` and ``prediction`` (and ``score`` for AUC).
    queries : str, path, sequence of str, optional
        A built-in list (``"occupations"``), a file, several of them, or the texts themselves.
    by : sequence of str
        Attributes and intersections, as ``["gender", "gender:race"]``.
    mitigation : EmbeddingMitigation, optional
        A fitted mitigation: its edit is measured as the arm ``main``, its controls as arms.
    like : Audit, optional
        Take queries, ``by``, ``k`` and all settings from this audit; a difference is an error.
    k : int, optional
        Rows in the top; ``min(200, n // 5)`` unless given.
    metrics : sequence of str, optional
        Registry names; by default all that fit the evidence, but for ``association_bias`` (queries in pairs) and
        ``representation_bias`` (queries that name groups, in sets of one label; needs no ``by``).
    bootstrap : int, default 500
        Bootstrap draws of rows and queries; 0 for closed-form intervals.
    level : float, default 0.95
        Confidence level of all intervals.
    seed : int, default 0
    min_group : int, default 30
        Smaller groups take part in no gap.
    positive : str, optional
        Positive label of predictions; 1, true or yes by default.

    Returns
    -------
    Audit

    Raises
    ------
    InputError
        Where an argument cannot be used; LeakageError if the mitigation was fitted on rows that would be audited.
    """
    given = {
        "by": _names(by), "k": k, "metrics": _names(metrics or ()) or None, "bootstrap": bootstrap, "level": level,
        "seed": seed, "min_group": min_group, "positive": None if positive is None else str(positive),
    }  # fmt: skip
    given = {
        name: value
        for name, value in given.items()
        if value is not None and not (isinstance(value, tuple) and not value)
    }
    expect(data, (EmbeddingSet, Samples), "What is to be audited", "Give an EmbeddingSet (equipoise.embed) or Samples.")
    samples = data.samples if isinstance(data, EmbeddingSet) else data
    if like is not None and like.document.source != ("embeddings" if samples is not data else "predictions"):
        raise InputError(
            f"The audit to be like is of {like.document.source}.", "Name an audit of the same kind of data."
        )
    settings = _settings_like(like, given) if like is not None else Settings(**{"by": (), **given})
    for key in settings.by:
        refuse_one_group(samples, key)
    if not settings.bootstrap and "cluster" in samples.roles and any(samples.column("cluster")):
        raise InputError(
            "The rows form clusters, and closed-form intervals take rows as independent.",
            "Ask for bootstrap draws, as 500, or read the table without its cluster column.",
        )
    if isinstance(data, EmbeddingSet):
        if mitigation is not None and not isinstance(mitigation, EmbeddingMitigation):
            raise InputError(
                f"A {type(mitigation).__name__} edits no embeddings.", "Give an EmbeddingMitigation, as a fitted Wring."
            )
        if mitigation is not None:
            refuse_leakage(mitigation, data.samples.ids)
            refuse_other_encoder(mitigation, data)
        return audit_embeddings(data, queries, settings, mitigation, like)
    if mitigation is not None or queries is not None:
        raise InputError("Queries and mitigations belong to audits of embeddings; a table of predictions has neither.")
    return audit_predictions(data, settings)


def _names(given: str | Sequence[str]) -> tuple[str, ...]:
    """Return names, each once, from a list or from a text with commas."""
    if given is None:
        return ()
    names = given.split(",") if isinstance(given, str) else given
    for name in names:
        expect(name, str, "A name", "Give names of attributes or metrics as text, as by=['gender', 'gender:race'].")
    return tuple(dict.fromkeys(name.strip() for name in names if name.strip()))


def _settings_like(like: Audit, given: dict[str, Any]) -> Settings:
    wanted = Settings.of(like.document)
    for name, value in given.items():
        there = getattr(wanted, name)
        if name == "k" and there is None:
            there = like.document.k
        if there != value:
            raise InputError(
                f"'{name}' is {value!r} here and {there!r} in the audit to be like.",
                "Leave it out, or audit the baseline again with it.",
                value=name,
            )
    return wanted


def refuse_one_group(samples: Samples, key: str) -> None:
    """Raise InputError where fewer than two groups of an attribute have rows: there is nothing to compare."""
    codes = samples.codes(key)
    there = np.unique(codes[codes >= 0])
    if there.size < 2:
        groups = samples.vocabulary.groups(key)
        found = f"only '{groups[int(there[0])]}'" if there.size else "no group"
        raise InputError(
            f"'{key}': {found} has rows, and bias is a difference between groups.",
            "Leave the attribute out, or audit more rows.",
            value=key,
        )


def refuse_leakage(mitigation: Any, ids: Sequence[str]) -> None:
    """Raise LeakageError if rows were used both to fit and to audit."""
    shared = set(mitigation.fit_rows).intersection(ids)
    if shared:
        raise LeakageError(
            f"{len(shared)} rows were used both to fit and to audit.",
            "Fit on other rows (--rows split=train), and audit the rest (--rows split=val).",
            value=len(shared),
        )


def refuse_other_encoder(mitigation: Any, data: EmbeddingSet) -> None:
    """Raise FingerprintError if the mitigation was fitted on vectors of another encoder."""
    made_for = (getattr(mitigation, "encoder", None) or {}).get("fingerprint")
    found = data.encoder.get("fingerprint")
    if made_for and found and made_for != found:
        raise FingerprintError(
            f"The mitigation '{mitigation.name}' was fitted on embeddings of another encoder than those of the audit.",
            "Fit it on this store.",
            value=mitigation.name,
        )
