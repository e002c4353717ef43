"""Whole audit of 100,000 x 512 embeddings: 200 queries, 3 attributes and their pairs, on one core.

Closed-form intervals, then 500 bootstrap draws. Yardstick in the same run: the one matrix product that scores the rows.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
import resource
import time

import numpy as np
import pyarrow as pa

import equipoise as eq

SIZES = {"gender": 2, "race": 7, "age": 9}
PAIRS = ["gender", "race", "age", "gender:race", "gender:age", "race:age"]


def make(rows: int, dim: int, queries: int) -> tuple[eq.EmbeddingSet, list[str]]:
    """Unit-like vectors with planted group directions."""
    rng = np.random.default_rng(0)
    image = rng.normal(size=(rows, dim)).astype(np.float32)
    columns: dict[str, list[str]] = {"id": [f"row{i:07d}" for i in range(rows)]}
    for name, size in SIZES.items():
        code = rng.integers(0, size, rows)
        image += rng.normal(size=(size, dim)).astype(np.float32)[code] * 0.2
        columns[name] = [f"{name}{c}" for c in code]
    texts = [f"a photo of job {i}" for i in range(queries)]
    samples = eq.read_samples(pa.table(columns), id="id", attributes=list(SIZES))
    text = rng.normal(size=(queries, dim)).astype(np.float32)
    return eq.EmbeddingSet.from_arrays(image, samples, texts=texts, text=text), texts


def main() -> None:
    """Print seconds, ratios and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=200)
    options = parser.parse_args()
    data, texts = make(options.rows, options.dim, options.queries)
    x, t = data.vectors(), data.text(texts)
    start = time.perf_counter()
    t @ x.T
    product = time.perf_counter() - start
    print(f"one product ({options.queries} x {options.dim}) @ ({options.dim} x {options.rows}): {product:.2f} s")
    for draws, target in ((0, 5.0), (500, 60.0)):
        start, cpu = time.perf_counter(), time.process_time()
        found = eq.audit(data, queries=texts, by=PAIRS, bootstrap=draws)
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        what = f"{draws} draws" if draws else "closed forms"
        print(
            f"audit, {what}: {wall:.1f} s wall, {cpu:.1f} s CPU (target {target:g} s), {wall / product:.1f} products, "
            f"{found.estimates.num_rows} estimates"
        )
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
