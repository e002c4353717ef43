"""The pictures and labels the demo encoder is trained and measured on, and where they are."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from demo_encoder.captions import AGES, GENDERS, RACES

SIZE = 224
VIEWS = 6
FILL = (127, 127, 127)  # zero at the network's input


def default_data() -> Path:
    """The folder EQUIPOISE_DATA names, else ../shared/data beside the repository."""
    return Path(os.environ.get("EQUIPOISE_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")


@dataclass(frozen=True)
class Faces:
    """FairFace rows of one split, in the order of the table.

    Attributes
    ----------
    ids : list of str
        Relative paths, ``val/12.jpg``.
    labels : (n, 3) int64
        Indices of perceived gender, race and age in the vocabularies of ``captions``.
    """

    root: Path
    ids: list[str]
    labels: np.ndarray


def read_faces(data: Path, split: str) -> Faces:
    """Read ``fairface/labels.csv``, rows of one split."""
    root = data / "fairface"
    with open(root / "labels.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    labels = [[GENDERS.index(r["gender"]), RACES.index(r["race"]), AGES.index(r["age"])] for r in rows]
    return Faces(root, [row["image"] for row in rows], np.array(labels, np.int64))


def class_names(data: Path) -> list[str]:
    """The 1,000 ImageNet class names in the classifier's order (that of the WordNet ids)."""
    stems = sorted(path.stem for path in (data / "imagenet_samples_1000").glob("n*.JPEG"))
    names = [stem.split("_", 1)[1].replace("_", " ") for stem in stems]
    if len(names) != 1000:
        raise SystemExit(f"imagenet_samples_1000 names {len(names)} classes instead of 1000")
    return names


def load(path: Path) -> Image.Image:
    """A picture as RGB, its shorter side scaled to 224 (bicubic), cut to the centre square."""
    with Image.open(path) as image:
        rgb = image.convert("RGB")
    return rgb if rgb.size == (SIZE, SIZE) else ImageOps.fit(rgb, (SIZE, SIZE), Image.Resampling.BICUBIC)


def load_pixels(paths: list[Path]) -> np.ndarray:
    """(n, 224, 224, 3) uint8."""
    return np.stack([np.asarray(load(path)) for path in paths])


def random_view(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Rotation within 15 degrees, a crop of .65 to 1 of the area, brightness, contrast and colour within .3, flip."""
    image = image.rotate(rng.uniform(-15, 15), Image.Resampling.BILINEAR, fillcolor=FILL)
    area, aspect = rng.uniform(0.65, 1.0), np.exp(rng.uniform(np.log(0.9), np.log(1.1)))
    width, height = (min(SIZE, SIZE * np.sqrt(area * ratio)) for ratio in (aspect, 1 / aspect))
    left, top = rng.uniform(0, SIZE - width), rng.uniform(0, SIZE - height)
    image = image.resize((SIZE, SIZE), Image.Resampling.BILINEAR, box=(left, top, left + width, top + height))
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(rng.uniform(0.7, 1.3))
    return ImageOps.mirror(image) if rng.random() < 0.5 else image


def views(image: Image.Image, rng: np.random.Generator) -> list[Image.Image]:
    """The six views of a face: as it is, flipped, and four random ones."""
    return [image, ImageOps.mirror(image), *(random_view(image, rng) for _ in range(VIEWS - 2))]


def shuffle_tiles(pixels: np.ndarray, tiles: int, rng: np.random.Generator) -> np.ndarray:
    """Cut a (224, 224, 3) picture into tiles x tiles pieces, permute them, scale back to 224."""
    side = SIZE // tiles
    cut = pixels[: side * tiles, : side * tiles].reshape(tiles, side, tiles, side, 3).swapaxes(1, 2)
    mixed = cut.reshape(tiles * tiles, side, side, 3)[rng.permutation(tiles * tiles)]
    whole = mixed.reshape(tiles, tiles, side, side, 3).swapaxes(1, 2).reshape(side * tiles, side * tiles, 3)
    if side * tiles == SIZE:
        return whole
    return np.asarray(Image.fromarray(whole).resize((SIZE, SIZE), Image.Resampling.BICUBIC))
