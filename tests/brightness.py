"""Small pictures with a planted bias, and models in plain numpy that look at their brightness or colour."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from equipoise.models.preprocessing import Preprocessing

HALF = Preprocessing((8, 8), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), "exact", interpolation="nearest", name="half")
LABELS = ("dark", "bright")


@dataclass(frozen=True)
class Brightness:
    """Says ``bright`` where the mean of the normalised pixels lies above zero."""

    preprocessing: Preprocessing = HALF
    labels: tuple[str, ...] = LABELS
    name: str = "brightness"
    card: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    calls: list[int] = field(default_factory=list)

    @property
    def fingerprint(self) -> dict[str, Any]:
        return {"kind": "brightness", "weights": "none", "preprocessing": self.preprocessing.to_dict()}

    def with_preprocessing(self, preprocessing: Preprocessing) -> Brightness:
        return replace(self, preprocessing=preprocessing)

    def scores(self, pixels: np.ndarray) -> np.ndarray:
        self.calls.append(len(pixels))
        mean = self.preprocessing.normalised(pixels).mean((1, 2, 3))
        out = np.zeros((len(pixels), len(self.labels)), np.float32)
        out[:, 0], out[:, 1] = -mean, mean
        return out


@dataclass
class Colours:
    """An encoder of three dimensions: the mean colour of a picture, and of the word for it."""

    preprocessing: Preprocessing = HALF
    name: str = "colours"
    dim: int = 3
    texts: list[str] = field(default_factory=list)

    @property
    def fingerprint(self) -> dict[str, Any]:
        return {"kind": "colours", "preprocessing": self.preprocessing.to_dict()}

    def with_preprocessing(self, preprocessing: Preprocessing) -> Colours:
        return replace(self, preprocessing=preprocessing)

    def encode_image(self, images: np.ndarray) -> np.ndarray:
        assert images.dtype == np.uint8
        return images.mean((1, 2)).astype(np.float32) + 1

    def encode_text(self, texts: list[str]) -> np.ndarray:
        self.texts += texts
        words = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1)}
        known = [[(0, 0, 0), *(v for w, v in words.items() if w in text.split())] for text in texts]
        return np.array([np.sum(vs, axis=0) + 0.01 * len(t) for vs, t in zip(known, texts, strict=True)], np.float32)


def brightness(argument: str = "") -> Brightness:
    """What a reference loads; after the colon the accuracy on its card."""
    return Brightness(card={"accuracy": float(argument)} if argument else {})


def colours(argument: str = "") -> Colours:
    return Colours()


def write_pictures(folder: Path, rows: int = 240, seed: int = 0) -> Path:
    """Write PNG files and ``table.csv``: image, y (dark or bright), group (A, B, C), side (L, R).

    Pictures of group C are darker than their label says, so that a threshold at a half errs more there.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for i in range(rows):
        group, y = "ABC"[i % 3], int(rng.integers(0, 2))
        value = 0.5 + 0.2 * (2 * y - 1) - (0.15 if group == "C" else 0.0) + 0.12 * rng.normal()
        level = int(np.clip(value * 255, 0, 255))
        name = f"p{i:04d}.png"
        Image.fromarray(np.full((10, 12, 3), level, np.uint8)).save(folder / name)
        lines.append([name, LABELS[y], group, "LR"[int(rng.integers(0, 2))]])
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["image", "y", "group", "side"], *lines])
    return folder / "table.csv"
