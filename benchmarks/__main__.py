"""All benchmarks, one table: ``python -m benchmarks [--draws 200]``, on one thread. Exit 1 if a figure misses its target.

Each script also runs by itself, with more options and more output.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {
    **os.environ,
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]),
}
HEAVY = ("torch", "pandas", "scipy.stats", "altair")

FIGURES: dict[str, list[tuple[str, str, str, float]]] = {
    "counts_vs_fairlearn.py": [
        ("1,000,000 rows x 64 groups: counts, 4 metrics, 4 gaps, ms", r"int32 +best +([\d.]+) ms", "<=", 20),
        ("fairlearn MetricFrame / equipoise, 50,000 rows x 8 groups, from codes", r"2\. [\s\S]*?ratio (\d+)", ">=", 1000),
        ("the same from a column of names", r"3\. [\s\S]*?ratio (\d+)", "", 0),
        ("largest difference to fairlearn", r"difference ([\d.e+-]+)", "<=", 1e-12),
    ],
    "wring_transform.py": [
        ("WRING, 100,000 x 512 float32 / one product and one copy", r"wring\(v, groups\).*ratio ([\d.]+)", "<=", 2),
        ("Wring.transform, which checks its rows / the same", r"Wring\.transform.*ratio ([\d.]+)", "", 0),
    ],
    "audit_scale.py": [
        ("audit of 100,000 x 512, 200 queries, 3 attributes and pairs: s CPU", r"closed forms: .*?([\d.]+) s CPU", "<=", 5),
        ("/ one product that scores the rows", r"closed forms: .*?([\d.]+) products", "", 0),
        ("the same with 500 bootstrap draws: s CPU", r"500 draws: .*?([\d.]+) s CPU", "<=", 60),
        ("/ one product that scores the rows", r"500 draws: .*?([\d.]+) products", "", 0),
    ],
    "embed_overhead.py": [
        ("embed / bare loop, EfficientNet-Lite0, 1 decoding thread", r"1 thread +[\d.]+ s wall ratio ([\d.]+)", "<=", 1.05),
        ("the same with one decoding thread a core", r"\d+ threads +[\d.]+ s wall ratio ([\d.]+)", "<=", 1.05),
        ("second run over a finished store of 10,000 rows: s", r"over the 10000 rows: ([\d.]+) s wall", "<=", 2),
        ("decoding large pictures: one thread a core / one thread", r"gain ([\d.]+)", "", 0),
        ("embed of 10,000 rows: MB at the peak", r"10,000 rows of .*?(\d+) MB at the peak", "", 0),
        ("embed of 100,000 rows: MB at the peak", r"100,000 rows of .*?(\d+) MB at the peak", "<=", 400),
    ],
    "index_scale.py": [
        ("index of 1,000,000 x 512 float16 on disk, embed: MB at the peak", r"1000000 rows, embed: (\d+) MB", "<=", 1000),
        ("audit of it, 20 queries, 500 draws: MB at the peak", r"1000000 rows, audit: (\d+) MB", "<=", 1000),
        ("bytes that a row adds to it, 160 of them scores", r"adds (\d+) bytes to audit", "", 0),
        ("the same, s CPU", r"1000000 rows, audit: .*?([\d.]+) s CPU", "", 0),
    ],
    "text_trimming.py": [
        ("full padding / trimmed, 77 tokens", r"ratio ([\d.]+)", ">=", 4),
        ("largest difference of unit vectors", r"unit vectors ([\d.e+-]+)", "<=", 1e-5),
    ],
    "bfloat16.py": [
        ("float32 / bfloat16 weights, ViT-B/32", r"ratio ([\d.]+)", "", 0),
        ("worst cosine between the two", r"worst cosine ([\d.]+)", ">=", 0.99),
    ],
    "tagging.py": [
        ("tagger / regular expression of its words, web-like captions", r"web-like: .*?ratio ([\d.]+)", ">=", 4),
        ("the same, captions of people", r"of people: .*?ratio ([\d.]+)", ">=", 4),
    ],
    "m4_scale.py": [
        ("10,000,000 rows x 64 bits, Parquet to cells: s CPU", r"equipoise, 10000000 rows: .*?count ([\d.]+) s CPU", "<=", 12),
        ("the same: MB at the peak", r"equipoise, 10000000 rows: .*?([\d.]+) MB at the peak", "<=", 600),
        ("cells of DuckDB and Polars, where installed, are the same", r"(\d) engines differ", "<=", 0),
    ],
    "gate_false_alarms.py": [("largest false-alarm rate of the gate, 2 to 64 groups", r"largest rate ([\d.]+)", "<=", 0.06)],
}  # fmt: skip


def run(*command: str) -> str:
    """Run Python and return all that it printed."""
    found = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )  # fmt: skip
    return found.stdout


def help_seconds(rounds: int = 5) -> float:
    """Return the least CPU time of ``equipoise --help``."""
    times = []
    for _ in range(rounds):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run("-m", "equipoise", "--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(times)


def heavy_imports() -> int:
    """Return how many of the heavy modules ``equipoise --help`` imports."""
    text = run("-X", "importtime", "-m", "equipoise", "--help")
    return sum(bool(re.search(rf"\| +{re.escape(name)}$", text, re.MULTILINE)) for name in HEAVY)


def row(what: str, value: float | None, sign: str, target: float) -> bool:
    """Print a line of the table; return whether the target was met."""
    met = value is not None and {"<=": value <= target, ">=": value >= target, "": True}[sign]
    print(
        f"| {what} | {'failed' if value is None else f'{value:g}'} | {f'{sign} {target:g}' if sign else ''} |",
        flush=True,
    )
    return met


def main() -> int:
    """Run everything."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--draws", type=int, default=200, help="null data sets a cell of the gate's grid")
    options = {"gate_false_alarms.py": ["--draws", str(parser.parse_args().draws), "--groups", "2", "8", "64"]}
    print("| figure | measured | target |\n|---|---|---|")
    met = [
        row("equipoise --help, s CPU", help_seconds(), "<=", 0.5),
        row("of torch, pandas, scipy.stats, altair it imports", heavy_imports(), "<=", 0),
    ]
    for script, figures in FIGURES.items():
        text = run(f"benchmarks/{script}", *options.get(script, []))
        for what, pattern, sign, target in figures:
            found = re.search(pattern, text)
            met.append(row(what, float(found[1]) if found else None, sign, target))
    return int(not all(met))


if __name__ == "__main__":
    sys.exit(main())
