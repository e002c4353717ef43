"""What ``equipoise embed`` costs: against a bare loop over the same pictures, a second time, by threads, and in memory.

1. EfficientNet-Lite0 (the demo encoder's live towers): read, decode, resize, encode in a plain loop, against ``embed`` into a
   store, in turns in one process; the least wall and CPU time of each. Pictures are JPEG of 500 x 375 pixels.
2. The whole command a second time, over a finished store of 10,000 rows that are 10,000 files.
3. ``embed`` on JPEG of 1600 x 1200 pixels with an encoder that costs nothing, with one decoding thread and with one a core.
4. Peak resident memory of the whole command at 10,000 and at 100,000 rows (ten to a file).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

BATCH = 64
HERE = Path(__file__).resolve().parent


class Grid:
    """An encoder in plain numpy of 512 dimensions: patches of 4 x 4 pixels."""

    name, dim = "grid", 512
    fingerprint = {"kind": "grid", "weights": "seed 0"}  # noqa: RUF012 (what an encoder has)
    preprocessing = {"size": [32, 32], "mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bilinear"}  # noqa: RUF012

    def __init__(self) -> None:
        self.weights = np.random.default_rng(0).standard_normal((192, self.dim)).astype(np.float32)

    def encode_image(self, images: np.ndarray) -> np.ndarray:
        """(n, 32, 32, 3) uint8 -> (n, 512) float32."""
        patches = images.reshape(len(images), 8, 4, 8, 4, 3).mean((2, 4), dtype=np.float32)
        return np.stack([patch.reshape(-1) @ self.weights for patch in patches])

    def encode_text(self, texts: list[str]) -> np.ndarray:
        """Not of use here."""
        return np.ones((len(texts), self.dim), np.float32)


def write(folder: Path, count: int, width: int, height: int) -> list[str]:
    """Write JPEG files of smooth noise, all different."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    names = []
    for i in range(count):
        small = rng.integers(0, 256, (max(height // 8, 2), max(width // 8, 2), 3), np.uint8)
        names.append(f"{i:06d}.jpg")
        Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).save(folder / names[-1], quality=90)
    return names


def table(folder: Path, names: list[str], rows: int) -> Path:
    """Write a table of so many rows over the pictures."""
    path = folder / f"rows{rows}.csv"
    lines = [f"r{i:06d},{names[i % len(names)]},{'ab'[i % 2]}" for i in range(rows)]
    path.write_text("\n".join(["key,image,group", *lines, ""]))
    return path


def timed(call: Callable[[], Any]) -> tuple[float, float]:
    """Return wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def overhead(folder: Path, count: int, rounds: int) -> None:
    """Compare a plain loop with embed."""
    from equipoise.data.samples import read_samples
    from equipoise.embed import embed
    from equipoise.models.demo import LiveDemo

    names = write(folder, count, 500, 375)
    samples = read_samples(table(folder, names, count), id="key", image="image", attributes=["group"])
    encoder = LiveDemo()
    prepare = encoder.preprocessing.picture

    def bare() -> np.ndarray:
        out = []
        for start in range(0, count, BATCH):
            pictures = [prepare(Image.open(folder / name).convert("RGB")) for name in names[start : start + BATCH]]
            out.append(encoder.encode_image(np.stack(pictures)))
        return np.concatenate(out)

    def ours(workers: int) -> Callable[[], Any]:
        store = tempfile.mkdtemp(dir=folder)  # a store that is there embeds nothing again
        return lambda: embed(encoder, samples, store=store, batch_size=BATCH, workers=workers)

    encoder.encode_image(np.zeros((2, 224, 224, 3), np.uint8))
    cores = os.cpu_count() or 1
    took: dict[str, list[tuple[float, float]]] = {"bare": [], "one": [], "more": []}
    for _ in range(rounds):
        took["bare"].append(timed(bare))
        took["one"].append(timed(ours(1)))
        took["more"].append(timed(ours(cores)))
    (wall, cpu), (wall_one, cpu_one), (wall_more, cpu_more) = (np.min(took[name], axis=0) for name in took)
    found = embed(encoder, samples, batch_size=BATCH)
    raw = bare().astype("f8")
    apart = np.abs(found.vectors() - raw / np.linalg.norm(raw, axis=1, keepdims=True)).max()
    print(f"{count} pictures of 500 x 375 through EfficientNet-Lite0, batches of {BATCH}, least of {rounds} rounds:")
    print(f"  bare loop           {wall:.2f} s wall, {cpu:.2f} s CPU, {count / wall:.1f} pictures/s")
    print(
        f"  embed, 1 thread     {wall_one:.2f} s wall ratio {wall_one / wall:.3f}, {cpu_one:.2f} s CPU ratio {cpu_one / cpu:.3f}"
    )
    print(
        f"  embed, {cores} threads    {wall_more:.2f} s wall ratio {wall_more / wall:.3f}, {cpu_more:.2f} s CPU ratio {cpu_more / cpu:.3f}"
    )
    print(f"  largest difference of a unit vector's entry {apart:.1e}", flush=True)


def threads(folder: Path, count: int, rounds: int) -> None:
    """Compare one decoding thread with one a core."""
    from equipoise.data.samples import read_samples
    from equipoise.embed import embed
    from equipoise.models.preprocessing import Preprocessing

    encoder = Grid()
    encoder.preprocessing = Preprocessing.from_dict(Grid.preprocessing)  # type: ignore[assignment]
    names = write(folder, count, 1600, 1200)
    samples = read_samples(table(folder, names, count), id="key", image="image", attributes=["group"])
    cores = os.cpu_count() or 1
    best = dict.fromkeys((1, cores), np.inf)
    for _ in range(rounds):
        for workers in best:
            wall, _ = timed(lambda w=workers: embed(encoder, samples, workers=w, batch_size=16))  # type: ignore[arg-type]
            best[workers] = min(best[workers], wall)
    print(
        f"{count} pictures of 1600 x 1200: {count / best[1]:.1f}/s with 1 decoding thread, {count / best[cores]:.1f}/s with "
        f"{cores}: gain {best[1] / best[cores]:.2f}",
        flush=True,
    )


def command(rows: Path, store: Path, *more: str) -> tuple[float, float]:
    """Run the whole command on the plain encoder; return wall seconds and peak resident memory in MB."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, sys.path)])}
    call = [
        sys.executable, "-m", "equipoise", "embed", str(rows), "--id", "key", "--image", "image", "--attributes", "group",
        "--encoder", "py:embed_overhead:Grid", "--store", str(store), "--quiet", *more,
    ]  # fmt: skip
    began = time.perf_counter()
    process = subprocess.Popen(call, stdout=subprocess.DEVNULL, env=environment)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"equipoise embed ended with {process.returncode}")
    return time.perf_counter() - began, used.ru_maxrss * 1024 / 1e6


def again_and_memory(folder: Path, sizes: list[int]) -> None:
    """Time a second run and measure the memory of a first."""
    names = write(folder, 10_000, 64, 64)
    peaks = []
    for rows in sizes:
        path = table(folder, names, rows)
        wall, peak = command(path, folder / f"store{rows}")
        peaks.append(peak)
        print(
            f"{rows:,} rows of 64 x 64 pixels: {wall:.1f} s, {rows / wall:.0f} rows/s, {peak:.0f} MB at the peak",
            flush=True,
        )
        seconds = [command(path, folder / f"store{rows}") for _ in range(3)]
        print(
            f"  second run over the {rows} rows: {min(s for s, _ in seconds):.2f} s wall, {seconds[0][1]:.0f} MB",
            flush=True,
        )
    if len(sizes) > 1:
        added = (peaks[-1] - peaks[0]) * 1e6 / (sizes[-1] - sizes[0])
        print(f"a row adds {added:.0f} bytes; its vector has {4 * Grid.dim}", flush=True)


def main() -> None:
    """Run all four."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pictures", type=int, default=768)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        again_and_memory(Path(folder) / "rows", options.rows)  # first: a child's peak begins with that of its parent
        threads(Path(folder) / "threads", 96, 2 * options.rounds)
        overhead(Path(folder) / "ratio", options.pictures, options.rounds)


if __name__ == "__main__":
    main()
