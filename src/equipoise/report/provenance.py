"""Two sections of the page: what was not measured, and how the rest was."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from equipoise.compare.wording import capital, descriptor, family_title, measure, metric_title
from equipoise.report.labels import listed_all, perceived
from equipoise.report.numbers import number, whole
from equipoise.report.rows import Subject
from equipoise.schema import note_code

SHOWN = 50
PROMPTS = 1000


def unmeasured(subject: Subject) -> dict[str, Any]:
    """Return the lists of section 5: attributes, comparisons without evidence, rows set aside, labels."""
    audit = subject.audit
    vocabulary: dict[str, Any] = audit.get("vocabulary") or {}
    looked = {part for row in subject.rows for part in row["attribute"].split(":") if part}
    measured = [name for name in vocabulary if name in looked]
    left = [name for name in vocabulary if name not in looked]
    labels = [*_setting(audit, "labels", []), *_setting(audit, "proxies", [])] if audit.get("source") == "data" else []
    labels = [name for name in dict.fromkeys(label.partition("=")[0] for label in labels) if name not in measured]
    inferred = [name for name in measured if not vocabulary[name].get("declared", True)]
    missing = [
        {
            "what": capital(measure(row["metric"], row["attribute"], row["family"])),
            "why": row["reason"]
            or ("the interval reaches beyond the margin" if row["change"] is not None else "no reason recorded"),
            "mde": number(row.get("mde")),
        }
        for row in subject.gated
        if row["verdict"] == "insufficient"
        or row["status"] in ("insufficient", "not_estimable", "invalid", "extrapolated")
    ]
    rows = audit.get("rows") or {}
    return {
        "left": _few(left),
        "inferred": _few(inferred),
        "measured": _few([*measured, *labels]),
        "perceived": listed_all(perceived([*measured, *labels])),
        "annotated": [str(entry["says"]) for entry in (_setting(audit, "annotations", None) or {}).values()][:SHOWN],
        "by_hand": _few([name for name in [*measured, *labels] if not _annotated(audit, name)]),
        "missing": missing[:SHOWN],
        "missing_total": len(missing),
        "missing_more": whole(len(missing) - SHOWN) if len(missing) > SHOWN else "",
        "groups": _reasons(subject),
        "rows": [(capital(name.replace("_", " ")), whole(count)) for name, count in list(rows.items())[:SHOWN]],
        "unknown": [(name, whole(count)) for name, count in list((audit.get("unknown") or {}).items())[:SHOWN]],
        "min_group": whole(_setting(audit, "min_group", 30)),
        "source": audit.get("source", ""),
        "model": _few([note for note in audit.get("notes") or [] if note_code(note, "")]),
    }


def _annotated(audit: Mapping[str, Any], name: str) -> bool:
    """Return whether an attribute was read by an annotator, from a caption, a picture or both."""
    return bool({name, f"{name}_text", f"{name}_image"} & set(_setting(audit, "annotations", None) or {}))


def _few(names: list[str]) -> list[str]:
    """Return at most fifty names, and how many more there are."""
    return [*names[:SHOWN], *([f"{whole(len(names) - SHOWN)} more"] if len(names) > SHOWN else [])]


def _setting(audit: Mapping[str, Any], name: str, otherwise: Any) -> Any:
    """Return a parameter of an audit, whether it stands alone or among its settings."""
    parameters = audit.get("parameters") or {}
    return parameters.get(name, (parameters.get("settings") or {}).get(name, otherwise))


def _reasons(subject: Subject) -> list[str]:
    """Return what single rows say was left out, once each."""
    found = dict.fromkeys(row["reason"] for row in subject.rows if row["reason"])
    reasons = list(found)
    more = [f"and {whole(len(reasons) - SHOWN)} more reasons in the table on disk"] if len(reasons) > SHOWN else []
    return [*reasons[:SHOWN], *more]


def how(subject: Subject, lists: bool = True) -> dict[str, Any]:
    """Return section 6: definitions, words, encoder, parameters, checksums; without ``lists`` what is sure to be short."""
    audit = subject.audit
    vocabulary: dict[str, Any] = audit.get("vocabulary") or {}
    notes = _few(list(dict.fromkeys([*subject.document.get("notes", []), *audit.get("notes", [])])))
    if not lists:
        file = f"{'comparison' if subject.kind == 'comparison' else 'audit'}.json"
        notes.append(f"Words, queries, parameters and checksums would not fit on this page; they are in {file}.")
    return {
        "definitions": _definitions(subject)[:SHOWN],
        "vocabulary": [_words(name, keys) for name, keys in vocabulary.items()] if lists else [],
        "queries": _queries(audit.get("queries") or []) if lists else [],
        "blocks": [block for block in _blocks(subject) if block[1]] if lists else [],
        "inputs": list(_inputs(subject)) if lists else [],
        "made": _made(subject),
        "notes": notes,
        "version": subject.document.get("version", ""),
    }


def _definitions(subject: Subject) -> list[dict[str, str]]:
    found = []
    for metric, protocol in dict.fromkeys((row["metric"], row["protocol"]) for row in subject.rows):
        known = descriptor(metric)
        found.append(
            {
                "metric": metric,
                "title": capital(metric_title(metric)),
                "protocol": protocol,
                "formula": known.formula if known is not None else "",
                "source": known.source if known is not None else "",
                "unit": known.unit if known is not None else "",
                "margin": number(
                    next((r["margin"] for r in subject.rows if r["metric"] == metric and r["margin"]), None)
                ),
            }
        )
    return found


def _words(name: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    values = list(keys.get("values") or [])
    prompts = keys.get("prompts") or {}
    return {
        "name": name,
        "declared": bool(keys.get("declared", True)),
        "groups": [(value, list(prompts.get(value, []))) for value in values[:PROMPTS]],
        "more": whole(len(values) - PROMPTS) if len(values) > PROMPTS else "",
        "templates": list(keys.get("templates") or []),
        "unknown": [value or "(empty)" for value in keys.get("unknown") or []],
    }


def _queries(queries: list[dict[str, str]]) -> list[dict[str, Any]]:
    split: dict[str, list[str]] = {}
    for query in queries:
        split.setdefault(query.get("family", ""), []).append(query.get("query", ""))
    return [
        {
            "family": capital(family_title(name)) or "Queries",
            "texts": texts[:PROMPTS],
            "total": whole(len(texts)),
            "more": whole(len(texts) - PROMPTS) if len(texts) > PROMPTS else "",
        }
        for name, texts in split.items()
    ]


def _blocks(subject: Subject) -> Iterable[tuple[str, list[tuple[str, str]]]]:
    audit = subject.audit
    yield "Encoder", _pairs(audit.get("encoder") or {})
    yield "Preprocessing", _pairs(audit.get("preprocessing") or {})
    made = audit.get("mitigation") or {}
    yield "Mitigation", _pairs({key: value for key, value in made.items() if key != "report"})
    yield (
        "Parameters",
        _pairs(
            {
                **(audit.get("parameters") or {}),
                "k": audit.get("k"),
                "positive": audit.get("positive"),
                "seed": audit.get("seed"),
                "arms": audit.get("arms"),
            }
        ),
    )
    yield "Geometry", _pairs(audit.get("geometry") or {})
    yield "Margins", _pairs(subject.document.get("margins") or {})
    yield (
        "Versions",
        _pairs(
            {
                "equipoise": subject.document.get("version"),
                **{f"audit {side}": a.get("version") for side, a in subject.audits.items()},
            }
        ),
    )


def _pairs(values: Mapping[str, Any], under: str = "") -> list[tuple[str, str]]:
    """Flatten nested values to name and text; long texts are cut and lists shortened."""
    found: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{under}{key}"
        if isinstance(value, Mapping):
            found += _pairs(value, f"{name}.")
        elif value not in (None, "", [], {}):
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            found.append((name, text if len(text) <= 600 else f"{text[:600]}… ({whole(len(text))} characters)"))
    return found[:200]


def _inputs(subject: Subject) -> Iterable[tuple[str, str]]:
    """Yield name and SHA-256 of every input and artefact, once each, at most a thousand."""
    seen: dict[tuple[str, str], None] = {}
    for where in (subject.document, *subject.audits.values()):
        for key in ("inputs", "files"):
            for name, digest in (where.get(key) or {}).items():
                seen[str(name), str(digest)] = None
    yield from list(seen)[:PROMPTS]


def command(subjects: Sequence[Subject], pictures: bool) -> dict[str, str]:
    """Return the command that makes the page again, and what a stand-in in it is for."""
    unknown = {"comparison": "LEDGER", "audit": "AUDIT"}
    folders = [shlex.quote(subject.source) if subject.source else unknown[subject.kind] for subject in subjects]
    names = listed_all(dict.fromkeys(name for name in unknown.values() if name in folders))
    return {
        "line": " ".join(["equipoise report", *folders, "--out report.html", *([] if pictures else ["--no-pictures"])]),
        "note": f"Here {names} stands for the folder in which the result was saved." if names else "",
    }


def _made(subject: Subject) -> str:
    """Return how the result itself was made, as far as its documents tell."""
    if subject.kind == "comparison":
        family = subject.document.get("family") or {}
        seed = f", seed {family['seed']}" if "seed" in family else ""
        if subject.audit.get("source") == "data":
            return "The ledger is what 'equipoise balance' makes of the inputs whose SHA-256 stand below."
        return f"The ledger is what 'equipoise compare' makes of the two audits whose SHA-256 stand below{seed}."
    return (
        "The audit is what 'equipoise audit' makes of the inputs whose SHA-256 stand below, with the parameters there."
    )
