"""Measure the demo encoder's bias and what WRING and its rivals do to it, and write the tables of the docs.

python scripts/demo_tables.py            # measure; write docs/_data/demo_tables.json and docs/_tables/*.md
python scripts/demo_tables.py --check    # measure again; exit 1 if a number or a table that is committed differs

Everything is measured with the public functions on the embeddings that ship with the package. A number may differ from
the committed one by one unit of its last digit: linear algebra libraries round differently.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from demo_markdown import BY, tables

import equipoise as eq
from equipoise.models import demo
from equipoise.stats import bootstrap_interval, resample_queries, wilson

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "docs" / "_data" / "demo_tables.json"
TABLES = ROOT / "docs" / "_tables"
ENCODER = ROOT / "docs" / "_data" / "demo_encoder.json"

VECTORS = {"text": ("text", None), "image, top 100": ("image", 100), "image, all reference": ("image", None)}
ARMS = {"span_projection": "span projection", "difference_projection": "difference projection", "main": "WRING"}
SKEW, DRAWS = "max_skew@200", 1000
COLUMNS = {"MaxSkew": SKEW, "spread": "cosine_bias"}


# ------------------------------------------------------------------------------------------------------ measurements


def measured() -> dict[str, Any]:
    """Return every number of the tables, rounded as they are shown."""
    faces = eq.embed("demo", demo.samples())
    texts = [query.text for query in eq.read_queries("occupations,traits", faces.vocabulary) if query.label == "core"]
    reference, pool = faces.rows(split="reference"), faces.rows(split="measured")
    before = eq.audit(pool, queries=texts, by=BY)
    return {
        "queries": len(texts),
        "faces": len(faces),
        "reference": len(reference),
        "measured": len(pool),
        "bias": bias(eq.audit(faces, queries=texts, by=BY), texts),
        "none": levels_of(before, "main"),
        "treated": {target: [*treated(target, reference, pool, before, texts)] for target in BY},
    }


def levels_of(found: eq.Audit, arm: str) -> dict[str, list[float]]:
    """Return MaxSkew and spread of both attributes."""
    return {f"{name} {a}": level(found, arm, metric, a) for name, metric in COLUMNS.items() for a in BY}


def bias(found: eq.Audit, texts: list[str]) -> dict[str, Any]:
    """Return the bias of each query and of their mean, over all faces."""
    women = float(np.mean([value == "Female" for value in found.evidence.rows["gender"].to_pylist()]))
    share = {q: row["value"] for q, row in by_query(found, "skew@200", "gender", group="Female").items()}
    skews = {attribute: by_query(found, SKEW, attribute) for attribute in BY}
    rows = []
    for text in texts:
        count = round(200 * women * float(np.exp(share[text])))
        low, high = wilson(count, 200)
        rows.append(
            {
                "query": text.removeprefix("a photo of ").split(" ", 1)[1],
                "women": [count / 2, round(100 * float(low), 1), round(100 * float(high), 1)],
                **{a: [*limits(skews[a][text]), round(skews[a][text]["p"], 4)] for a in BY},
            }
        )
    chance = {a: round(skews[a][texts[0]]["null_value"], 3) for a in BY}
    above = {a: sum(skews[a][text]["p"] < 0.05 for text in texts) for a in BY}
    return {
        "women": round(100 * women, 1),
        "rows": rows,
        "chance": chance,
        "above": above,
        "mean": {a: level(found, "main", SKEW, a) for a in BY},
    }


def treated(target: str, reference: Any, pool: Any, before: eq.Audit, texts: list[str]) -> Iterator[dict[str, Any]]:
    """Yield a row per kind of group vector and method; the untargeted attribute is ``other``."""
    other = next(name for name in BY if name != target)
    for vectors, (kind, k) in VECTORS.items():
        wring = eq.Wring(target, vectors=kind, k=k).fit(reference)
        after = eq.audit(pool, mitigation=wring, like=before)
        ledger = eq.compare(before, after)
        controls = {row["arm"]: row for row in ledger.document.controls}
        methods = {"main": wring, **{control.name.replace("-", "_"): control for control in wring.controls()}}
        share = [row["value"] for row in by_query(after, "subspace_share", "", arm="main").values()]
        for arm, method in ARMS.items():
            yield {
                "vectors": vectors,
                "method": method,
                "levels": levels_of(after, arm),
                "change": {name: change(ledger, arm, name) for name in BY},
                "overlap": change(ledger, arm, "", "overlap@200"),
                **ratios(pool, texts, methods[arm], other),
                "theory": round(controls[arm]["theoretical"], 3),
                "random": [round(controls[arm][name], 3) for name in ("measured", "low", "high")],
                "bound": [round(controls[arm][name], 3) for name in ("bound_mean", "bound_max")],
                "share": [round(value, 3) for value in (float(np.mean(share)), min(share), max(share))],
            }


def ratios(pool: Any, texts: list[str], method: Any, other: str) -> dict[str, list[float]]:
    """Return after / before of the spread of cosines with the groups of ``other``, mean over queries, with limits.

    ``oracle``: the span of the method's group vectors is first removed from the group means, which is what the theory
    of amplification assumes. Limits resample faces and queries.
    """
    x, codes = pool.vectors().astype(np.float64), pool.samples.codes(other)
    query = pool.text(texts).astype(np.float64)
    edited = method.transform(query, queries=texts)
    spans = np.broadcast_to(method.vectors_.at(query), (len(texts), *method.vectors_.at(query[:1]).shape[-2:]))
    bases = [np.linalg.qr(span.T)[0] for span in spans]
    groups = [x[codes == code] for code in range(codes.max() + 1)]

    def by_query(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        raw = spread(edited, means) / spread(query, means)
        cleaned = (means - (means @ basis) @ basis.T for basis in bases)
        clean = [spread(a[None], m)[0] / spread(q[None], m)[0] for a, q, m in zip(edited, query, cleaned, strict=True)]
        return raw, np.asarray(clean)

    rng = np.random.default_rng(0)
    drawn = [
        np.stack([group[rng.integers(len(group), size=len(group))].mean(0) for group in groups]) for _ in range(DRAWS)
    ]
    raw, clean = by_query(np.stack([group.mean(0) for group in groups]))
    after, before = (np.stack([spread(rows, means) for means in drawn]) for rows in (edited, query))
    each = resample_queries(after / before, 1)
    means = np.stack([group.mean(0) for group in groups])
    whole = spread(edited, means).mean() / spread(query, means).mean()
    of_means = resample_queries(after, 1) / resample_queries(before, 1)
    return {
        "ratio": with_limits(raw.mean(), each),
        "ratio_of_means": with_limits(whole, of_means),
        "oracle": [round(float(value), 3) for value in (clean.mean(), clean.min(), clean.max())],
    }


def with_limits(value: float, draws: np.ndarray) -> list[float]:
    """Return a ratio and its bootstrap limits."""
    low, high = bootstrap_interval(value, draws, bounds=(0, np.inf))
    return [round(float(part), 3) for part in (value, low, high)]


def spread(queries: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Return (n,) largest less smallest cosine of each query with the group means."""
    unit = means / np.linalg.norm(means, axis=1, keepdims=True)
    return np.ptp(queries @ unit.T, axis=1) / np.linalg.norm(queries, axis=1)


# ------------------------------------------------------------------------------------------------- reading of audits


def rows_of(table: Any, **wanted: str) -> list[dict[str, Any]]:
    """Return the rows of a table that hold these texts."""
    return [row for row in table.to_pylist() if all(row[name] == value for name, value in wanted.items())]


def by_query(found: eq.Audit, metric: str, attribute: str, group: str = "", arm: str = "main") -> dict[str, Any]:
    """Return the rows of single queries, by query."""
    rows = rows_of(found.estimates, metric=metric, attribute=attribute, group=group, arm=arm)
    return {row["query"]: row for row in rows if row["query"]}


def limits(row: dict[str, Any]) -> list[float]:
    """Return value and limits."""
    return [round(row[name], 3) for name in ("value", "low", "high")]


def level(found: eq.Audit, arm: str, metric: str, attribute: str) -> list[float]:
    """Return mean over the queries, its limits, and what chance alone gives."""
    row = rows_of(found.estimates, metric=metric, attribute=attribute, group="", arm=arm, query="")[0]
    return [*limits(row), round(row["null_value"], 3)]


def change(ledger: eq.Comparison, arm: str, attribute: str, metric: str = SKEW) -> list[Any]:
    """Return a paired change, its limits, p after correction, and the verdict."""
    row = rows_of(ledger.ledger, metric=metric, attribute=attribute, group="", arm=arm, query="")[0]
    numbers = [round(row[name], 3) for name in ("change", "change_low", "change_high")]
    return [*numbers, round(row["p_adj"], 3), row["verdict"]]


# ----------------------------------------------------------------------------------------------------- write or check


def differences(one: Any, two: Any, where: str = "") -> Iterator[str]:
    """Yield where two measurements differ by more than a unit of the last digit that is kept."""
    if isinstance(one, dict) and isinstance(two, dict) and one.keys() == two.keys():
        for key in one:
            yield from differences(one[key], two[key], f"{where}.{key}" if where else key)
    elif isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        for i, (a, b) in enumerate(zip(one, two, strict=True)):
            yield from differences(a, b, f"{where}[{i}]")
    elif isinstance(one, float) and isinstance(two, float):
        if abs(one - two) > 1.001 * unit_of(one, two):
            yield f"{where}: committed {one}, measured {two}"
    elif one != two:
        yield f"{where}: committed {one!r}, measured {two!r}"


def unit_of(*values: float) -> float:
    """Return one unit of the last decimal of the longest of the numbers."""
    return 10.0 ** -max(len(repr(value).partition(".")[2]) for value in values)


def main() -> int:
    """Write the tables, or say what differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if something differs")
    check = parser.parse_args().check
    encoder, data = json.loads(ENCODER.read_text("utf-8")), measured()
    if not check:
        TABLES.mkdir(exist_ok=True)
        DATA.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        for name, text in tables(data, encoder).items():
            (TABLES / name).write_text(text, encoding="utf-8")
        return 0
    committed = json.loads(DATA.read_text("utf-8"))
    found = [*differences(committed, json.loads(json.dumps(data)))]
    for name, text in tables(committed, encoder).items():
        if not (TABLES / name).is_file() or (TABLES / name).read_text("utf-8") != text:
            found.append(f"docs/_tables/{name} is not what the numbers say")
    for line in found:
        print(line, file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
