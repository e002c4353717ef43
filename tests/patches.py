"""Small pictures of any content, and an encoder in plain numpy that sees 4 x 4 patches of them."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from equipoise.models.preprocessing import Preprocessing

SMALL = Preprocessing((16, 16), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), "shortest", interpolation="bilinear", name="small")
WEIGHTS = np.random.default_rng(5).normal(size=(48, 32)).astype(np.float32)


@dataclass
class Patches:
    """An encoder of 32 dimensions. ``seen`` counts pictures, ``texts`` lists what was embedded."""

    preprocessing: Preprocessing = SMALL
    name: str = "patches"
    dim: int = 32
    weights: str = "a"
    notes: tuple[str, ...] = ()
    delay: float = 0.0
    seen: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    @property
    def fingerprint(self) -> dict[str, Any]:
        return {
            "kind": "patches",
            "weights": self.weights * 64,
            "dtype": "float32",
            "versions": {"patches": "1.0"},
            "preprocessing": self.preprocessing.to_dict(),
        }

    def with_preprocessing(self, preprocessing: Preprocessing) -> Patches:
        return replace(self, preprocessing=preprocessing)

    def encode_image(self, images: np.ndarray) -> np.ndarray:
        time.sleep(self.delay)
        self.seen.append(len(images))
        x = self.preprocessing.normalised(images)
        patches = x.reshape(len(x), 3, 4, x.shape[2] // 4, 4, x.shape[3] // 4).mean((3, 5)).reshape(len(x), 48)
        return np.stack([patch @ WEIGHTS for patch in patches]) + 1

    def encode_text(self, texts: list[str]) -> np.ndarray:
        self.texts += texts
        return np.array([np.random.default_rng(len(text)).normal(size=32) for text in texts], np.float32)

    def truncated(self, texts: list[str]) -> list[bool]:
        return [len(text) > 60 for text in texts]


def patches() -> Patches:
    """What ``py:patches:patches`` loads; the environment may slow it down."""
    return Patches(delay=float(os.environ.get("PATCHES_DELAY", "0")))


def write_images(folder: Path, count: int, first: int = 0, seed: int = 0) -> list[str]:
    """Write PNG files of noise and return their names; a name always has the same picture."""
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for i in range(first, first + count):
        rng = np.random.default_rng([seed, i])
        pixels = rng.integers(0, 256, (18 + i % 7, 20 + i % 5, 3), np.uint8)
        names.append(f"p{i:04d}.png")
        Image.fromarray(pixels).save(folder / names[-1])
    return names


def write_table(path: Path, names: list[str]) -> Path:
    """Write a CSV with the columns image, group and caption."""
    lines = [f"{name},{'AB'[int(name[1:5]) % 2]},a picture of {int(name[1:5]) % 3} things" for name in names]
    path.write_text("\n".join(["image,group,caption", *lines, ""]), "utf-8")
    return path
