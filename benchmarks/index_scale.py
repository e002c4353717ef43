"""Audit of an index in the layout of clip-retrieval, from disk: CPU time and peak memory at 100,000 and 1,000,000 rows.

Each verb runs in a process of its own, ``equipoise embed`` on the metadata and ``equipoise audit`` on the store: 20 queries,
3 attributes and a pair, 512 dimensions in float16 shards of 100,000 rows. What matters is how many bytes a row adds.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SIZES = {"gender": 2, "race": 7, "age": 9}
BY = "gender,race,age,gender:race"
SHARD = 100_000


def make(folder: Path, rows: int, dim: int, queries: int) -> None:
    """Write ``img_emb/``, ``metadata/``, ``text.npy`` and ``texts.csv``, with planted group directions."""
    rng = np.random.default_rng(0)
    ways = {name: rng.normal(size=(size, dim)).astype(np.float32) * 0.2 for name, size in SIZES.items()}
    for name in ("img_emb", "metadata"):
        (folder / name).mkdir(parents=True)
    for number, start in enumerate(range(0, rows, SHARD)):
        count = min(SHARD, rows - start)
        image = rng.standard_normal((count, dim), np.float32)
        ids = [f"{start + i:09d}" for i in range(count)]
        columns = {"id": ids, "image_path": [f"images/{name[:5]}/{name}.jpg" for name in ids]}
        for name, size in SIZES.items():
            code = rng.integers(0, size, count)
            image += ways[name][code]
            columns[name] = [f"{name} {c}" for c in code]
        np.save(folder / "img_emb" / f"img_emb_{number}.npy", image.astype(np.float16))
        pq.write_table(pa.table(columns), folder / "metadata" / f"metadata_{number}.parquet")
    np.save(folder / "text.npy", rng.standard_normal((queries, dim), np.float32))
    texts = [f"a photo of job {i}" for i in range(queries)]
    (folder / "texts.csv").write_text("\n".join(["text", *texts, ""]))
    (folder / "queries.txt").write_text("\n".join([*texts, ""]))


def measured(name: str, rows: int, *command: str) -> float:
    """Run a verb in a process of its own; print and return its peak resident memory in MB."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "equipoise", *command, "--quiet"], stdout=subprocess.DEVNULL, env=_one_thread()
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f"equipoise {name} ended with {process.returncode}")
    peak = used.ru_maxrss * 1024 / 1e6
    print(
        f"{rows} rows, {name}: {peak:.0f} MB at the peak, {used.ru_utime + used.ru_stime:.1f} s CPU, {wall:.1f} s wall",
        flush=True,
    )
    return peak


def _one_thread() -> dict[str, str]:
    return {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")}


def main() -> None:
    """Print peak memory and CPU time by number of rows, and the bytes that a row adds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=20)
    parser.add_argument("--bootstrap", type=int, default=500)
    parser.add_argument("--folder", type=Path, help="where to write and keep the index; a temporary folder otherwise")
    options = parser.parse_args()
    peaks: dict[str, list[float]] = {"embed": [], "audit": []}
    for rows in options.rows:
        root = Path(tempfile.mkdtemp(dir=options.folder)) if options.folder is None else options.folder / str(rows)
        try:
            if not root.is_dir() or not any(root.iterdir()):
                make(root, rows, options.dim, options.queries)
            store = root / "store"
            shutil.rmtree(store, ignore_errors=True)
            peaks["embed"].append(
                measured(
                    "embed", rows, "embed", str(root / "metadata"), "--id", "id", "--attributes", ",".join(SIZES),
                    "--encoder", f"precomputed:{root}", "--store", str(store),
                )
            )  # fmt: skip
            peaks["audit"].append(
                measured(
                    "audit", rows, "audit", str(store), "--queries", str(root / "queries.txt"), "--by", BY,
                    "--bootstrap", str(options.bootstrap), "--out", str(root / "audit"), "--overwrite",
                )
            )  # fmt: skip
        finally:
            if options.folder is None:
                shutil.rmtree(root)
    added = options.rows[-1] - options.rows[0]
    for name, found in peaks.items():
        if added:
            print(f"a row adds {(found[-1] - found[0]) * 1e6 / added:.0f} bytes to {name}")


if __name__ == "__main__":
    main()
