"""Train the demo encoder: a face branch on EfficientNet-Lite0, a linear head on MiniLM, a gate between the branches.

    python scripts/train_demo_encoder.py --data DIR --seed 0 --work DIR --out DIR

Writes ``parts.safetensors`` (float32, batch normalisation folded) and ``training.json`` into ``--out``; then
``build_demo_data.py`` makes the package data of them. Needs the extra ``demo`` and scikit-learn. About 20 minutes on
two CPU cores, 1.2 GB of disk in ``--work``; a stopped run, and a run with another seed, reuse what is cached.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1] / "src")]

# glibc returns and refaults every large buffer otherwise, which nearly doubles a training step.
ALLOCATOR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(16 << 30), "OMP_NUM_THREADS": "1"}


def main() -> None:
    """Cache, train, fit the gate, write the parts."""
    from demo_encoder.data import default_data

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=default_data())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, required=True, help="folder of the cache")
    parser.add_argument("--out", type=Path, required=True, help="folder of the trained parts")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--max-steps", type=int, default=None, help="stop early: a check that everything runs")
    args = parser.parse_args()

    from demo_encoder.train import run

    run(args.data, args.seed, args.work, args.out, args.epochs, args.max_steps)


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in ALLOCATOR.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ALLOCATOR)
    main()
