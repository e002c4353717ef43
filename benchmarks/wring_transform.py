"""WRING against the least that its shapes cost: one product ``V @ Q`` plus one pass over memory (a copy of V).

    python benchmarks/wring_transform.py [--rows 100000] [--dim 512] [--groups 7] [--repeats 15] [--blocks]

Prints the CPU seconds of both, their ratio (median of the repeats; the two are timed in turn) and the ratio for
``Wring.transform``, which checks its rows first. One thread. ``--blocks`` also tries other block sizes.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import Any

LIMIT = 2.0
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def seconds(run: Callable[[], Any]) -> float:
    """Return the CPU time of one call: with one thread, other work on the machine matters little."""
    start = time.process_time()
    run()
    return time.process_time() - start


def main() -> int:
    """Measure, print, and return 1 if the ratio exceeds the limit."""
    import numpy as np

    from equipoise.checks.people import people
    from equipoise.mitigate.embeddings import rotation
    from equipoise.mitigate.embeddings.wring import Wring, wring

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--groups", type=int, default=7)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--blocks", action="store_true")
    options = parser.parse_args()

    rng = np.random.default_rng(0)
    v = rng.standard_normal((options.rows, options.dim), dtype=np.float32)
    method = Wring("gender").fit(people(options.groups, d=options.dim))
    vectors = method.vectors_.at(v)
    q = np.ascontiguousarray(np.linalg.qr(vectors.T)[0], dtype=np.float32)

    def compare(run: Callable[[], Any], name: str) -> float:
        floor, own = [], []
        for _ in range(options.repeats):
            floor.append(seconds(lambda: v @ q) + seconds(v.copy))
            own.append(seconds(run))
        low, high = float(np.median(floor)), float(np.median(own))
        print(f"{name:28} {high:.3f} s, one V @ Q and one copy {low:.3f} s, ratio {high / low:.2f}")
        return high / low

    ratio = compare(lambda: wring(v, vectors), "wring(v, groups)")
    compare(lambda: method.transform(v), "Wring.transform(v)")
    for block in (128, 256, 512, 1024, 2048, 4096, 16384) if options.blocks else ():
        rotation.BLOCK = block
        compare(lambda: wring(v, vectors), f"wring, blocks of {block}")
    print(f"{options.rows} x {options.dim} float32, {options.groups} groups: ratio {ratio:.2f}, limit {LIMIT}")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in THREADS.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | THREADS)
    raise SystemExit(main())
