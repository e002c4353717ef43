"""Make the package data of the demo encoder from its trained parts, measure it, and write its model card.

    python scripts/build_demo_data.py --parts DIR [--second-parts DIR] --data DIR

Reads ``parts.safetensors`` and ``training.json`` of ``train_demo_encoder.py``; writes everything but ``groups.toml``
into ``src/equipoise/models/demo_data`` and the measured figures into ``docs/_data/demo_encoder.json``. Equal inputs
give equal bytes on one machine. A second training (another seed) is only measured: it says which directions of the
retrieval bias to rely on. Needs the extra ``demo``; about five minutes.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "src")]
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np  # noqa: E402
from demo_encoder import measure, package  # noqa: E402
from demo_encoder.captions import GENDERS  # noqa: E402
from demo_encoder.data import Faces, default_data, load_pixels, read_faces, shuffle_tiles  # noqa: E402

PACKAGE = ROOT / "src" / "equipoise" / "models" / "demo_data"
QUERIES = ROOT / "src" / "equipoise" / "data" / "queries"
FIGURES = ROOT / "docs" / "_data" / "demo_encoder.json"
UNSEEN_TEMPLATES = ("an image of {}", "a snapshot of {}", "a selfie of {}")
CHUNK = 200


def core_queries() -> list[str]:
    """The 14 core occupations and 5 core traits."""
    out = []
    for name in ("occupations", "traits"):
        with open(QUERIES / f"{name}.csv", newline="", encoding="utf-8") as file:
            out += [row["query"] for row in csv.DictReader(file) if row["label"] == "core"]
    return out


def encode(towers: Any, paths: list[Path], change: Any = None) -> dict[str, np.ndarray]:
    """All stages of the image tower for pictures on disk; ``change`` edits the pixels of a chunk first."""
    chunks = []
    for start in range(0, len(paths), CHUNK):
        pixels = load_pixels(paths[start : start + CHUNK])
        parts = towers.encode_parts(pixels if change is None else change(pixels))
        chunks.append({name: parts[name] for name in ("face", "general", "gate", "embedding")})
        print(f"encoded {min(start + CHUNK, len(paths))}/{len(paths)}", flush=True)
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def gate_rates(towers: Any, data: Path, val: dict[str, np.ndarray], val_paths: list[Path]) -> tuple[dict, np.ndarray]:
    """How often the gate says face (above .5); the portraits' embeddings besides."""
    rng = np.random.default_rng(1)
    portraits = sorted((data / "synthetic_portraits" / "images").glob("*.jpg"))
    encoded = encode(towers, portraits)
    shuffled = encode(
        towers,
        val_paths[:500],
        lambda pixels: np.stack([shuffle_tiles(p, 3 + i % 3, rng) for i, p in enumerate(pixels)]),
    )
    rates = {
        "val_faces": measure.rate(val["gate"] > 0.5),
        "portraits": measure.rate(encoded["gate"] > 0.5),
        "tile_shuffled_val_faces": measure.rate(shuffled["gate"] > 0.5),
    }
    return rates, encoded["embedding"]


def second_training(
    parts_folder: Path, paths: list[Path], faces: Faces, groups: dict[str, Any], first: dict[str, Any], women: float
) -> dict[str, Any]:
    """Accuracy and retrieval bias of another training, and where the two agree."""
    from safetensors.torch import load_file

    from equipoise.models.demo_towers import DemoTowers

    towers = DemoTowers(load_file(parts_folder / "parts.safetensors"))
    images = measure.unit(encode(towers, paths)["embedding"])
    names = package.package_texts(groups, QUERIES)
    texts = dict(zip(names, towers.encode_text(names), strict=True))
    vectors = {name: measure.group_vectors(measure.prompt_texts(groups, name), texts) for name in groups}
    bias = measure.retrieval_bias(images, faces.labels, faces.ids, {query: texts[query] for query in core_queries()})
    return {
        "training": json.loads((parts_folder / "training.json").read_text(encoding="utf-8")),
        "val": measure.accuracies(images, faces.labels, vectors),
        **measure.breakdown(images, faces.labels, vectors, groups),
        "retrieval": bias,
        "agreement": measure.agreement(first, bias, women),
    }


def build(parts_folder: Path, second: Path | None, data: Path, folder: Path, figures_path: Path) -> None:
    """Encode, write, measure, describe."""
    import torch
    from demo_encoder.card import render_card
    from safetensors.torch import load_file, save_file

    from equipoise.models.demo_towers import DemoTowers

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    training = json.loads((parts_folder / "training.json").read_text(encoding="utf-8"))
    parts = load_file(parts_folder / "parts.safetensors")
    weights = folder / "encoder.safetensors"
    save_file({name: value.to(torch.float16).contiguous() for name, value in parts.items()}, weights)
    weights.chmod(0o644)  # the library writes it for the owner alone
    package.write_json(folder / "encoder.json", package.describe(weights, training))
    towers = DemoTowers.from_package(folder)

    groups = package.read_vocabulary(folder)
    faces = read_faces(data, "val")
    paths = [faces.root / name for name in faces.ids]
    val = encode(towers, paths)
    flipped = encode(towers, paths, lambda pixels: np.ascontiguousarray(pixels[:, :, ::-1]))
    names = package.package_texts(groups, QUERIES)
    texts = dict(zip(names, towers.encode_text(names), strict=True))
    package.write_arrays(folder, faces, val["embedding"], texts)

    # Measured on the arrays as shipped, so that anyone can recompute the figures from them.
    images = measure.unit(np.load(folder / "image.npy"))
    shipped = dict(zip(names, np.load(folder / "text.npy"), strict=True))
    vectors = {name: measure.group_vectors(measure.prompt_texts(groups, name), shipped) for name in groups}
    unseen_texts = {name: measure.prompt_texts(groups, name, UNSEEN_TEMPLATES) for name in groups}
    flat = sorted({text for table in unseen_texts.values() for value in table for text in value})
    unseen = dict(zip(flat, towers.encode_text(flat), strict=True))
    unseen_vectors = {name: measure.group_vectors(table, unseen) for name, table in unseen_texts.items()}
    gate = val["gate"][:, None]
    averaged = measure.unit(gate * measure.unit(val["face"] + flipped["face"]) + (1 - gate) * val["general"])
    rates, portraits = gate_rates(towers, data, val, paths)
    portrait_names = sorted(path.name for path in (data / "synthetic_portraits" / "images").glob("*.jpg"))
    women = np.array([name.startswith("female") for name in portrait_names])
    exact = DemoTowers(parts).encode_image(load_pixels(paths[:CHUNK]))
    error = 1 - (measure.unit(exact) * measure.unit(val["embedding"][:CHUNK])).sum(1)

    figures = {
        "name": package.NAME,
        "version": package.VERSION,
        "training": training,
        "faces": len(faces.ids),
        "women_percent": round(100 * float((faces.labels[:, 0] == GENDERS.index("Female")).mean()), 1),
        "val": measure.accuracies(images, faces.labels, vectors),
        "val_unseen_templates": measure.accuracies(images, faces.labels, unseen_vectors),
        "unseen_templates": list(UNSEEN_TEMPLATES),
        "val_flip_averaged": measure.accuracies(averaged, faces.labels, vectors),
        **measure.breakdown(images, faces.labels, vectors, groups),
        "portraits_gender": measure.rate(
            (portraits @ vectors["gender"].T).argmax(1)
            == np.where(women, GENDERS.index("Female"), GENDERS.index("Male"))
        ),
        "gate": rates,
        "float16_max_cosine_distance": float(f"{error.max():.1e}"),
        "encoder_megabytes": round(weights.stat().st_size / 1e6, 2),
        "texts": len(names),
        "retrieval": measure.retrieval_bias(
            images, faces.labels, faces.ids, {query: shipped[query] for query in core_queries()}
        ),
    }
    figures["second_training"] = (
        second_training(second, paths, faces, groups, figures["retrieval"], figures["women_percent"])
        if second
        else None
    )
    package.write_json(figures_path, figures)
    (folder / "CARD.md").write_text(render_card(figures, groups), encoding="utf-8")
    print(json.dumps({key: figures[key] for key in ("val", "val_unseen_templates", "gate", "retrieval")}, indent=1))


def main() -> None:
    """Read the arguments and build."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", type=Path, required=True, help="the --out folder of train_demo_encoder.py")
    parser.add_argument("--second-parts", type=Path, default=None, help="parts of a training with another seed")
    parser.add_argument("--data", type=Path, default=default_data())
    parser.add_argument("--package", type=Path, default=PACKAGE, help="folder to fill; needs groups.toml")
    parser.add_argument("--figures", type=Path, default=FIGURES)
    args = parser.parse_args()
    build(args.parts, args.second_parts, args.data, args.package, args.figures)


if __name__ == "__main__":
    main()
