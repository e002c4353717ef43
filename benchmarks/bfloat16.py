"""bfloat16 weights against float32 in an image tower of ViT-B/32's size.

    python benchmarks/bfloat16.py [--pictures 64] [--batch 32] [--repeats 3]

A CLIP (224 pixels, patches of 32, width 768, 12 layers; random weights, moved as by training) is saved and loaded as
``transformers:FOLDER`` in both types, which embed the same pictures in turn. Prints the ratio of the CPU seconds (median), the
worst cosine between the two vectors of a picture, and how much the cosine between two pictures changes. One thread.
Whether bfloat16 is faster depends on the processor: without instructions of its own it is slower.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from text_trimming import SMALL, THREADS, save

LIMIT = 0.99
VISION = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}


def main() -> int:
    """Measure, print, and return 1 if the worst cosine is below the limit."""
    import numpy as np

    from equipoise.models.transformers import load

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder), ["a photo of a cat", "two people on a bridge at night"], SMALL, VISION)
        encoders = {
            dtype: load(folder, device="cpu", preprocessing="clip", dtype=dtype) for dtype in ("float32", "bfloat16")
        }
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (options.pictures, 7, 7, 3), dtype=np.uint8)
    pictures = colours.repeat(32, axis=1).repeat(32, axis=2)  # every patch of a colour of its own

    times: dict[str, list[float]] = {dtype: [] for dtype in encoders}
    found = {}
    for _ in range(options.repeats):
        for dtype, encoder in encoders.items():
            start = time.process_time()
            parts = [
                encoder.encode_image(pictures[at : at + options.batch]) for at in range(0, len(pictures), options.batch)
            ]
            times[dtype].append(time.process_time() - start)
            x = np.concatenate(parts).astype(np.float64)
            found[dtype] = x / np.linalg.norm(x, axis=1, keepdims=True)
    full, half = (float(np.median(times[dtype])) for dtype in ("float32", "bfloat16"))
    worst = float((found["float32"] * found["bfloat16"]).sum(1).min())
    between = {dtype: x @ x.T for dtype, x in found.items()}
    change = float(np.abs(between["float32"] - between["bfloat16"]).max())
    print(
        f"{len(pictures)} pictures, ViT-B/32: float32 {full:.2f} s CPU, bfloat16 {half:.2f} s CPU, ratio {full / half:.2f}"
    )
    print(f"worst cosine {worst:.6f}, at least {LIMIT:g}")
    print(f"cosine between two pictures {between['float32'].min():.3f} to 1, changed by at most {change:.1e}")
    return int(not worst >= LIMIT)


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in THREADS.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | THREADS)
    raise SystemExit(main())
