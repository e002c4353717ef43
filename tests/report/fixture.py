"""A made-up but lifelike WRING-on-gender comparison for the tests of the report; numbers come from a seeded generator."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa

from equipoise.compare.headline import headline
from equipoise.schema import ESTIMATES, LEDGER, AuditDocument, ComparisonDocument, table

GROUPS = {
    "gender": ("Female", "Male"),
    "race": ("White", "Black", "Latino_Hispanic", "East Asian", "Southeast Asian", "Indian", "Middle Eastern"),
    "age": ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70"),
}
OCCUPATIONS = (
    "a nurse|a doctor|an engineer|a secretary|a plumber|a teacher|a chef|a lawyer|a judge|a pilot|a flight attendant|a librarian|a soldier|a scientist"
    "|a software developer|a mechanic|a cleaner|a farmer|a hairdresser|a journalist|a musician|a painter|a police officer|a politician|a receptionist"
    "|a salesperson|a security guard|a social worker|a taxi driver|a waiter"
).split("|")
TRAITS = "a criminal|a beautiful person|a smart person|a poor person|a rich person|a friendly person|a lazy person|an honest person".split(
    "|"
)
CLINIC = "a surgeon|a physician|a paramedic|a pharmacist|a dentist|a midwife|a radiologist|a hospital porter".split("|")
FAMILIES = {"occupations": OCCUPATIONS, "traits": TRAITS, "clinical-staff": CLINIC}
SMALL = {"occupations": OCCUPATIONS[:5]}
ARMS = {"main": 0.33, "difference-projection": 0.36, "span-projection": 0.55, "noop": 1.0}
MARGINS = {
    "skew": 0.1,
    "max_skew": 0.1,
    "dp": 0.02,
    "cosine_bias": 0.01,
    "score_gap": 0.1,
    "overlap": 0.1,
    "zero_shot_accuracy": 0.01,
}
K = 200


def row(metric: str, before: float, after: float, wide: float, **cells: Any) -> dict[str, Any]:
    """One ledger row with intervals and a verdict that follow from its numbers."""
    margin = MARGINS[metric.partition("@")[0]]
    change = before - after if metric.startswith(("overlap", "zero_shot", "explicit")) else abs(after) - abs(before)
    se = wide / 1.96
    p = math.erfc(abs(change) / se / math.sqrt(2))
    inside = -margin < change - 1.645 * se and change + 1.645 * se < margin
    verdict = (
        "worse" if p < 0.05 and change > 0 else "improved" if p < 0.05 else "unchanged" if inside else "insufficient"
    )
    base = {
        "attribute": "", "group": "", "targeted": False, "arm": "main", "family": "", "query": "", "metric": metric,
        "protocol": "Geyik 2019", "n": 3000, "n_min": 1400, "before": before, "before_low": before - wide,
        "before_high": before + wide, "after": after, "after_low": after - wide, "after_high": after + wide,
        "change": change, "change_low": change - wide, "change_high": change + wide, "eq_low": change - 1.645 * se,
        "eq_high": change + 1.645 * se, "margin": margin, "p": p, "p_adj": p, "mde": 2.8 * se, "verdict": verdict,
        "reversed": before * after < 0,
    }  # fmt: skip
    base.update(cells)
    base["gated"] = base["arm"] == "main" and not base["group"] and not base["query"]
    return base


def ledger_rows(
    groups: dict[str, tuple[str, ...]], seed: int = 0, families: dict[str, Any] = FAMILIES
) -> list[dict[str, Any]]:
    """Rows of three attributes and an intersection, three families and the explicit one, with arms."""
    draw = np.random.default_rng(seed)
    found = []
    sizes = {"gender": (0.31, 0.05), "race": (0.48, 0.22), "age": (0.71, 0.42), "gender:race": (0.62, 0.37)}
    groups = {**groups, "gender:race": tuple(f"{g}:{r}" for g in groups["gender"] for r in groups["race"][:7])}
    for attribute, (size, chance) in sizes.items():
        hit = attribute == "gender"
        for family, queries in families.items():
            scale = {"occupations": 1.0, "traits": 0.7, "clinical-staff": 1.3}[family]
            for arm, left in ARMS.items():
                left = left if hit else (1 + (1 - left) * 0.05 if arm != "span-projection" else 1.5)
                before = size * scale
                after = before * left + (draw.normal(0, 0.004) if arm != "noop" else 0.0)
                cells = {"attribute": attribute, "targeted": hit, "arm": arm, "family": family}
                nulls = {"null_before": chance, "null_after": chance}
                found.append(row(f"max_skew@{K}", before, after, 0.05, **cells, **nulls))
                if arm == "main":
                    found.append(
                        row(f"dp@{K}", before / 3, after / 3, 0.016, **cells, null_before=0.03, null_after=0.03)
                    )
                    found.append(row("score_gap", before * 2, after * 2, 0.12 if hit else 0.055, **cells))
            for group in groups[attribute]:
                before = draw.normal(0, size * scale * 0.8)
                after = before * (0.35 if hit else 1) + draw.normal(0, 0.02)
                cells = {"attribute": attribute, "targeted": hit, "family": family, "group": group}
                nulls = {"null_before": chance * 0.8, "null_after": chance * 0.8}
                found.append(
                    row(f"skew@{K}", before, after, 0.08, **cells, **nulls, n=int(3000 / len(groups[attribute])))
                )
            for query in queries:
                before = abs(draw.normal(size * scale, 0.12))
                after = before * (0.35 if hit else 1) + abs(draw.normal(0, 0.03))
                cells = {"attribute": attribute, "targeted": hit, "family": family, "query": f"a photo of {query}"}
                found.append(row(f"max_skew@{K}", before, after, 0.13, **cells, null_before=chance, null_after=chance))
    for attribute in ("race", "age"):
        found.append(row("zero_shot_accuracy", 0.61, 0.605, 0.006, family=attribute, protocol="argmax"))
    found.append(row(f"overlap@{K}", 1.0, 0.87, 0.02, family="occupations", protocol="Jaccard"))
    share = {"family": "explicit", "protocol": "share", "margin": 0.02}
    MARGINS["explicit_share"] = 0.02
    found.append(row(f"explicit_share@{K}", 0.96, 0.96, 0.01, **share))
    for query in ("a female doctor", "a male nurse", "a female pilot", "a male secretary"):
        found.append(
            row(
                f"explicit_share@{K}",
                draw.uniform(0.9, 1),
                draw.uniform(0.9, 1),
                0.02,
                **share,
                query=f"a photo of {query}",
            )
        )
    return found


def vocabulary(groups: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """The vocabulary as an audit document holds it, with one attribute that no audit looked at."""
    words = {"Female": ["a woman"], "Male": ["a man"]}
    found = {
        name: {
            "values": list(values), "unknown": ["", "NA"], "templates": ["a photo of {}", "a picture of {}"],
            "prompts": {value: words.get(value, [f"a {value} person"]) for value in values}, "declared": True,
        }
        for name, values in groups.items()
    }  # fmt: skip
    found["service_test"] = {
        "values": ["True", "False"], "unknown": [""], "templates": [], "prompts": {}, "declared": False,
    }  # fmt: skip
    return found


def audit_document(groups: dict[str, tuple[str, ...]], mitigation: dict[str, Any] | None = None) -> AuditDocument:
    """The document of one side."""
    explicit = [
        {"query": "a photo of a female doctor", "family": "explicit", "label": "doctor", "explicit": "gender=Female"}
    ]
    queries = [
        {"query": f"a photo of {text}", "family": family, "label": "", "explicit": ""}
        for family, texts in FAMILIES.items()
        for text in texts
    ]
    return AuditDocument(
        source="embeddings",
        parameters={
            "by": ["gender", "race", "age", "gender:race"],
            "queries": list(FAMILIES),
            "bootstrap": 500,
            "min_group": 30,
        },
        rows={"in": 3012, "used": 3000, "set_aside": 12, "zero length": 9, "not a number": 3},
        unknown={"gender": 0, "race": 41, "age": 7},
        vocabulary=vocabulary(groups),
        queries=queries + explicit,
        k=K,
        encoder={
            "ref": "demo",
            "name": "demo",
            "fingerprint": {"weights": "9f" * 32, "dim": 512, "dtype": "float32"},
            "card": "A small two-tower encoder.",
        },
        preprocessing={"size": 224, "mean": [0.48, 0.46, 0.41], "resize": "bicubic"},
        mitigation=mitigation,
        arms=list(ARMS) if mitigation else ["main"],
        inputs={"faces.csv": "ab" * 32, "image.npy": "cd" * 32, "text.npy": "ef" * 32},
        notes=["The k of 200 is a fifteenth of the pool."],
        files={"estimates.parquet": "12" * 32},
    )


def comparison(
    groups: dict[str, tuple[str, ...]] | None = None,
    method: str = "wring",
    seed: int = 0,
    extra: list[dict[str, Any]] | None = None,
    families: dict[str, Any] = FAMILIES,
) -> Any:
    """A stand-in for a Comparison: ``ledger``, ``document``, ``distributions``."""
    groups = groups or GROUPS
    ledger = table(LEDGER, [*ledger_rows(groups, seed, families), *(extra or [])])
    context = {"method": method, "attributes": ["gender"], "margins": MARGINS}
    sentence, sentences = headline(ledger, context)
    after = audit_document(
        groups, {"method": method, "attributes": ["gender"], "parameters": {"strength": 1.0, "vectors": "text"}}
    )
    document = ComparisonDocument(
        headline=sentence,
        sentences=sentences,
        family={"test": "Holm", "size": 41, "alpha": 0.05},
        margins=MARGINS,
        before=audit_document(groups).model_dump(by_alias=True, mode="json"),
        after=after.model_dump(by_alias=True, mode="json"),
        controls=[
            {"arm": arm, "measured": m, "low": m - 0.02, "high": m + 0.02, "theoretical": t, "pairs": 100,
             "bound_mean": 0.02, "bound_max": 0.06, "angle_mean": 7.5}
            for arm, m, t in (("main", 1.0, 1.0), ("span-projection", 1.52, 1.55), ("difference-projection", 1.01, 1.0))
        ],
        counts={"rows": 3000},
        inputs={"before": "aa" * 32, "after": "bb" * 32},
    )  # fmt: skip
    return SimpleNamespace(ledger=ledger, document=document, distributions=distributions(groups, seed))


def distributions(groups: dict[str, tuple[str, ...]], seed: int = 0) -> pa.Table:
    """Histograms of standardised cosines."""
    draw = np.random.default_rng(seed + 1)
    edges = np.linspace(-4, 4, 41)
    found = []
    for attribute, names in groups.items():
        for group in names[:20]:
            shift = draw.normal(0, 0.35)
            for side, left in (("before", 1.0), ("after", 0.3 if attribute == "gender" else 1.0)):
                counts, _ = np.histogram(draw.normal(shift * left, 1, 4000), edges)
                found += [
                    {
                        "attribute": attribute,
                        "family": "occupations",
                        "group": group,
                        "side": side,
                        "low": low,
                        "high": high,
                        "count": int(n),
                    }
                    for low, high, n in zip(edges, edges[1:], counts, strict=False)
                ]
    return pa.Table.from_pylist(found)


def audit(groups: dict[str, tuple[str, ...]] | None = None, seed: int = 0) -> Any:
    """A stand-in for an Audit without mitigation: the side before of :func:`comparison`."""
    groups = groups or GROUPS
    found = [
        {**{key: r[key] for key in ("metric", "protocol", "attribute", "group", "family", "query", "n")}, "arm": "main", "seed": 0,
         "value": r["before"], "low": r["before_low"], "high": r["before_high"], "level": 0.95,
         "null_value": r.get("null_before"), "p": 0.01, "status": "ok"}
        for r in ledger_rows(groups, seed)
        if r["arm"] == "main"
    ]  # fmt: skip
    found.append({"metric": "dp@200", "protocol": "share", "attribute": "age", "family": "traits", "arm": "main", "seed": 0, "level": 0.95,
                  "n": 20, "status": "insufficient", "reason": "0-2 has 20 rows, fewer than 30"})  # fmt: skip
    return SimpleNamespace(estimates=table(ESTIMATES, found), document=audit_document(groups), evidence=None)


def predictions(seed: int = 0) -> Any:
    """A stand-in for an Audit of predictions."""
    draw = np.random.default_rng(seed)
    found = []
    for attribute, names in GROUPS.items():
        for metric in ("accuracy", "tpr", "fpr", "selection_rate"):
            values = np.clip(
                draw.normal(
                    {"accuracy": 0.86, "tpr": 0.8, "fpr": 0.12, "selection_rate": 0.4}[metric], 0.05, len(names)
                ),
                0,
                1,
            )
            cells = {
                "protocol": "rate",
                "attribute": attribute,
                "arm": "main",
                "seed": 0,
                "level": 0.95,
                "status": "ok",
            }
            for name, value in zip(names, values, strict=True):
                found.append(
                    {
                        **cells,
                        "metric": metric,
                        "group": name,
                        "value": value,
                        "low": value - 0.03,
                        "high": value + 0.03,
                        "n": 300,
                    }
                )
            gap = float(np.ptp(values))
            found.append(
                {
                    **cells,
                    "metric": f"{metric}_gap",
                    "value": gap,
                    "low": gap - 0.04,
                    "high": gap + 0.04,
                    "n": 3000,
                    "null_value": 0.03,
                    "p": 0.001,
                }
            )
    document = audit_document(GROUPS).model_copy(
        update={"source": "predictions", "queries": [], "k": None, "positive": "yes", "encoder": {}}
    )
    return SimpleNamespace(estimates=table(ESTIMATES, found), document=document, evidence=None)
