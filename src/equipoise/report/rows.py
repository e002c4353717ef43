"""One form for both kinds of subject: the rows of a ledger, or the estimates of an audit as rows without a "before"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from equipoise.audit.examples import examples_of
from equipoise.audit.result import Audit
from equipoise.compare.headline import Row, gated_rows
from equipoise.compare.wording import descriptor, method_title, visible
from equipoise.errors import InputError, MissingFileError
from equipoise.schema import plain

DIAGNOSTICS = frozenset({"subspace_share", "rotation_angle", "side_effect_bound", "span_amplification"})

LIMITS = frozenset(f"{side}_{end}" for side in ("before", "after", "change", "eq") for end in ("low", "high"))


@dataclass(frozen=True)
class Subject:
    """What one section of the page is about.

    Attributes
    ----------
    kind : str
        ``comparison`` or ``audit``.
    title : str
        "WRING on gender", or "Audit".
    rows : list of dict
        As in the ledger; for an audit ``after`` is the value, ``before`` is None and ``status`` is there.
    document : dict
        The document as plain values.
    audits : dict of str to dict
        The audit documents by side: ``before`` and ``after``, or ``audit``.
    distributions : list of dict
        Histograms of scores, empty for audits.
    source : str
        Folder it was read from; empty for an object.
    examples : list of dict
        Rows to look at, as in ``schema.EXAMPLES``; texts as they are, for paths are among them.
    image_root : str
        Folder of their relative paths.
    """

    kind: str
    title: str
    rows: list[Row]
    document: dict[str, Any]
    audits: dict[str, dict[str, Any]]
    distributions: list[Row] = field(default_factory=list)
    source: str = ""
    examples: list[Row] = field(default_factory=list)
    image_root: str = ""

    @property
    def gated(self) -> list[Row]:
        """Rows of the main arm over a whole family or all groups, targeted attributes first, utility last."""
        return sorted(gated_rows(self.rows), key=lambda row: (not row["targeted"], not row["attribute"]))

    @property
    def audit(self) -> dict[str, Any]:
        """The document of the audit, or of the side after."""
        return self.audits.get("after") or self.audits.get("audit") or {}


def subject_of(thing: Any, source: str = "", *, pictures: bool = False) -> Subject:
    """Return the one form of a Comparison or an Audit, with rows to look at if ``pictures`` are wanted."""
    document = _seen(plain(_as_dict(thing.document)))
    if hasattr(thing, "ledger"):
        audits = {"before": document.get("before") or {}, "after": document.get("after") or {}}
        rows: list[Row] = [{**row, "status": ""} for row in _seen(thing.ledger.to_pylist())]
        rows = _without_limits(rows) if audits["after"].get("source") == "data" else rows
        distributions = getattr(thing, "distributions", None)
        bins = _seen(distributions.to_pylist()) if distributions is not None else []
        mitigation = audits["after"].get("mitigation")
        examples = getattr(thing, "examples", None) if pictures else None
        seen = examples.to_pylist() if examples is not None else []
        title = _title(mitigation) or "Before and after"
        return Subject("comparison", title, rows, document, audits, bins, source, seen, _image_root(thing.document))
    mitigation = document.get("mitigation")
    targeted = set(_attributes(mitigation))
    rows = [_row(found, targeted) for found in _seen(thing.estimates.to_pylist()) if not _diagnostic(found["metric"])]
    rows = _without_limits(rows) if document.get("source") == "data" else rows
    examples = examples_of(thing).to_pylist() if pictures and isinstance(thing, Audit) else []
    title = _title(mitigation) or "Audit"
    return Subject(
        "audit", title, rows, document, {"audit": document}, [], source, examples, _image_root(thing.document)
    )


def load_subject(subject: Any, *, pictures: bool = False) -> Subject:
    """Return the one form of a Comparison, an Audit, or a folder that holds ``comparison.json`` or ``audit.json``."""
    if not isinstance(subject, (str, Path)):
        if not hasattr(subject, "document"):
            raise InputError(
                f"A report shows ledgers and audits, not a {type(subject).__name__}.",
                "Give a Comparison, an Audit, or the folder of one.",
                value=subject,
            )
        return subject_of(subject, pictures=pictures)
    folder = Path(subject)
    if (folder / "comparison.json").is_file():
        from equipoise.compare import Comparison

        return subject_of(Comparison.load(folder), visible(str(subject)), pictures=pictures)
    if (folder / "audit.json").is_file():
        return subject_of(Audit.load(folder), visible(str(subject)), pictures=pictures)
    raise MissingFileError(
        f"'{folder}' holds neither comparison.json nor audit.json.",
        "Name the folder that compare or audit wrote.",
        value=str(folder),
    )


def _image_root(document: Any) -> str:
    """Return the folder of the pictures as it was recorded, by the audit or by one of the two that were compared."""
    plain_document = _as_dict(document)
    for side in (plain_document, plain_document.get("after") or {}, plain_document.get("before") or {}):
        if root := (side.get("parameters") or {}).get("image_root"):
            return str(root)
    return ""


def _as_dict(document: Any) -> dict[str, Any]:
    return dict(document) if isinstance(document, Mapping) else document.model_dump(by_alias=True, mode="json")


def _seen(value: Any) -> Any:
    """Make control characters visible in every text of a JSON-like value."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {_seen(key): _seen(item) for key, item in value.items()}
    return [_seen(item) for item in value] if isinstance(value, list) else value


def _without_limits(rows: list[Row]) -> list[Row]:
    """Return rows of exact numbers without the limits that repeat them."""
    return [{key: None if key in LIMITS else value for key, value in row.items()} for row in rows]


def _attributes(mitigation: Mapping[str, Any] | None) -> list[str]:
    found = (mitigation or {}).get("attributes") or []
    return [found] if isinstance(found, str) else list(found)


def _title(mitigation: Mapping[str, Any] | None) -> str:
    if not mitigation:
        return ""
    method = method_title(str(mitigation.get("method") or mitigation.get("name") or "main"))
    attributes = _attributes(mitigation)
    return f"{method} on {', '.join(attributes)}" if attributes else method


def _diagnostic(metric: str) -> bool:
    known = descriptor(metric)
    return metric in DIAGNOSTICS or (known is not None and known.role == "diagnostic")


def _row(found: Row, targeted: set[str]) -> Row:
    empty = dict.fromkeys(
        ("before", "before_low", "before_high", "null_before", "change", "change_low", "change_high", "margin", "p_adj")
    )
    return {
        **empty,
        **{key: found[key] for key in ("attribute", "group", "arm", "family", "query", "metric", "protocol", "n", "p")},
        "targeted": found["attribute"] in targeted,
        "after": found["value"],
        "after_low": found["low"],
        "after_high": found["high"],
        "null_after": found["null_value"],
        "status": found["status"],
        "reason": found["reason"],
        "verdict": "",
        "reversed": False,
    }
