"""What the frozen trunk says of every training picture, computed once.

The trunk's blocks 0-7 never change, so their output is stored (float16, batch normalisation folded before the cast)
for six views a face. Pooled features of the last block, for the gate, are stored for both orientations of the training
faces, the portraits and the real negatives. Work is cut into chunks with a marker file each: a stopped run goes on.
"""

from __future__ import annotations

import json
import multiprocessing as mp
import time
from pathlib import Path

import numpy as np

from demo_encoder.data import VIEWS, load, load_pixels, read_faces, shuffle_tiles, views

CHUNK = 100
SEED = 0  # of views and negatives: trainings with other seeds share a cache
MAP = (14, 14, 80)
SHUFFLED = 1500


def _open(path: Path, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    if not path.exists():
        array = np.lib.format.open_memmap(path, "w+", dtype, shape)
        array.flush()
    return np.lib.format.open_memmap(path, "r+")


def _negatives(data: Path, faces: list[Path], start: int, stop: int) -> np.ndarray:
    """Tile-shuffled training faces, then the edges and filled silhouettes, rows start to stop."""
    drawings = sorted((data / "cue_conflict" / "edges").rglob("*.png"))
    drawings += sorted((data / "cue_conflict" / "filled_silhouettes").rglob("*.png"))
    out = []
    for row in range(start, min(stop, SHUFFLED + len(drawings))):
        if row < SHUFFLED:
            rng = np.random.default_rng([SEED, 2, row])
            pixels = np.asarray(load(faces[rng.integers(len(faces))]))
            out.append(shuffle_tiles(pixels, 3 + row % 3, rng))
        else:
            out.append(np.asarray(load(drawings[row - SHUFFLED])))
    return np.stack(out)


def _worker(rank: int, workers: int, data: Path, work: Path) -> None:
    import torch

    from equipoise.models.demo_towers import Trunk, load_trunk, to_input

    torch.set_num_threads(1)
    trunk = Trunk(load_trunk())
    faces = read_faces(data, "train")
    paths = [faces.root / name for name in faces.ids]
    plan = json.loads((work / "plan.json").read_text())
    maps = np.load(work / "maps.npy", mmap_mode="r+")
    pooled = {
        name: np.load(work / f"pooled_{name}.npy", mmap_mode="r+") for name in ("faces", "portraits", "negatives")
    }
    begin, done = time.time(), 0
    with torch.inference_mode():
        for index, (kind, start, stop) in enumerate(plan):
            marker = work / "done" / f"{index}"
            if index % workers != rank or marker.exists():
                continue
            if kind == "faces":
                for row in range(start, stop):
                    pictures = views(load(paths[row]), np.random.default_rng([SEED, 1, row]))
                    m = trunk.lower(to_input(np.stack([np.asarray(p) for p in pictures])))
                    maps[row] = m.permute(0, 2, 3, 1).numpy().astype(np.float16)
                    pooled["faces"][row] = trunk.pooled(m[:2]).numpy()
            else:
                if kind == "portraits":
                    names = sorted((data / "synthetic_portraits" / "images").glob("*.jpg"))[start:stop]
                    pixels = load_pixels(names)
                else:
                    pixels = _negatives(data, paths, start, stop)
                for row in range(0, len(pixels), 10):
                    m = trunk.lower(to_input(pixels[row : row + 10]))
                    pooled[kind][start + row : start + row + len(m)] = trunk.pooled(m).numpy()
            maps.flush()
            for array in pooled.values():
                array.flush()
            marker.touch()
            done += 1
            print(f"cache worker {rank}: chunk {index + 1}/{len(plan)}, {time.time() - begin:.0f} s", flush=True)


def build_cache(data: Path, work: Path, workers: int = 2) -> None:
    """Fill ``work`` with maps.npy (faces, 6, 14, 14, 80) float16 and pooled_*.npy (.., 1280) float32."""
    (work / "done").mkdir(parents=True, exist_ok=True)
    faces = read_faces(data, "train")
    portraits = len(list((data / "synthetic_portraits" / "images").glob("*.jpg")))
    drawings = len(list((data / "cue_conflict" / "edges").rglob("*.png")))
    drawings += len(list((data / "cue_conflict" / "filled_silhouettes").rglob("*.png")))
    sizes = {"faces": len(faces.ids), "portraits": portraits, "negatives": SHUFFLED + drawings}
    _open(work / "maps.npy", (sizes["faces"], VIEWS, *MAP), "float16")
    for name, size in sizes.items():
        _open(work / f"pooled_{name}.npy", (size, 2, 1280) if name == "faces" else (size, 1280), "float32")
    plan = [(k, s, min(s + CHUNK, n)) for k, n in sizes.items() for s in range(0, n, CHUNK)]
    (work / "plan.json").write_text(json.dumps(plan))
    context = mp.get_context("spawn")
    jobs = [context.Process(target=_worker, args=(rank, workers, data, work)) for rank in range(workers)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    if any(job.exitcode for job in jobs):
        raise SystemExit("a cache worker failed")


def build_text_cache(texts: list[str], path: Path) -> np.ndarray:
    """MiniLM embeddings of texts, (n, 384) float32; reused when the file is there."""
    if not path.exists():
        from equipoise.models.demo_towers import MiniLM

        array = MiniLM().encode(texts)
        np.save(path.with_suffix(".partial.npy"), array)
        path.with_suffix(".partial.npy").replace(path)
    array = np.load(path)
    if len(array) != len(texts):
        raise SystemExit(f"{path} holds {len(array)} texts instead of {len(texts)}: remove it")
    return array
