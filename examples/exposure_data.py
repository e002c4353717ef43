"""Image-text data whose associations are controlled: faces with badges and frames, and scenes without people."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from equipoise.mitigate.data.m4 import M4
from equipoise.mitigate.data.reweigh import Reweigh
from equipoise.mitigate.data.selection import keep
from equipoise.synthesis.badges import SHAPES, frame, make_scenes, wear

Pixels = NDArray[np.uint8]
SIZE = 64
OCCUPATIONS = ("engineer", "doctor", "plumber", "manager", "nurse", "secretary", "teacher", "librarian")
"""The first four go with men in the unbalanced data, the last four with women; each has a badge."""

PAIRS = tuple(zip(OCCUPATIONS[:4], OCCUPATIONS[4:], strict=True))
MEN, WITH_MEN, HATCHED = 0.7, 0.8, 0.65
"""Share of men; P(first group of occupations | man), and 1 minus it for women; P(hatched frame | man), likewise."""

BADGED = 0.5
SCENES = 1000
CAPTIONS = ("a photo of a {person} working as a {job}", "a photo of a {job}", "a photo of a {person}")
VOCABULARY = {
    "gender": ("man", "woman", "nobody"),
    "occupation": (*OCCUPATIONS, "nobody"),
    "frame": ("hatched", "plain", "nobody"),
}


@dataclass(frozen=True)
class Faces:
    """FairFace at 64 pixels: ``pixels`` (n, 64, 64, 3), ``man`` (n,) bool, ``train`` (n,) bool."""

    pixels: Pixels
    man: NDArray[np.bool_]
    train: NDArray[np.bool_]


@dataclass(frozen=True)
class Pairs:
    """Pictures with captions, and what is known of each: ``table`` has gender, occupation and frame."""

    pixels: Pixels
    captions: list[str]
    table: pa.Table

    def __len__(self) -> int:
        return len(self.captions)


def read_faces(folder: Path, limit: int | None = None) -> Faces:
    """Read ``fairface`` of the data folder; of ``limit`` faces, every so many-th."""
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    rows = rows[:: max(1, len(rows) // limit)] if limit else rows
    pixels = np.stack([small(folder / row["image"]) for row in rows])
    return Faces(
        pixels, np.array([row["gender"] == "Male" for row in rows]), np.array([row["split"] == "train" for row in rows])
    )


def photographs(folder: Path, limit: int | None = None) -> list[Path]:
    """Return the pictures of a folder."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))[:limit]


def small(path: Path) -> Pixels:
    """Read a picture at 64 pixels."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BOX))


def unbalanced(faces: Faces, seed: int) -> Pairs:
    """Draw training data in which occupations go with gender; half of the badges are seen, a third of captions says both."""
    rng = np.random.default_rng(seed)
    men, women = (np.flatnonzero(faces.train & (faces.man == value)) for value in (True, False))
    women = rng.choice(women, min(len(women), round(len(men) * (1 - MEN) / MEN)), replace=False)
    rows = rng.permutation(np.concatenate([men, women]))
    man = faces.man[rows]
    first = rng.random(rows.size) < np.where(man, WITH_MEN, 1 - WITH_MEN)
    job = rng.integers(0, 4, rows.size) + np.where(first, 0, 4)
    hatched = rng.random(rows.size) < np.where(man, HATCHED, 1 - HATCHED)
    seen = rng.random(rows.size) < BADGED
    form = rng.integers(0, len(CAPTIONS), rows.size)
    frames = ["hatched" if value else "plain" for value in hatched]
    people = ["man" if value else "woman" for value in man]
    pixels = wear(faces.pixels[rows], [SHAPES[j] if s else "" for j, s in zip(job, seen, strict=True)], rng)
    scenes = make_scenes(SCENES, SIZE, rng)
    captions = [
        CAPTIONS[f].format(person=person, job=OCCUPATIONS[j])
        for f, person, j in zip(form.tolist(), people, job.tolist(), strict=True)
    ]
    captions += [f"a picture of {c} {p}" for c, p in zip(scenes.colours, scenes.patterns, strict=True)]
    nobody = ["nobody"] * SCENES
    table = pa.table(
        {
            "gender": people + nobody,
            "occupation": [OCCUPATIONS[j] for j in job] + nobody,
            "frame": frames + nobody,
        }
    )
    return Pairs(np.concatenate([frame(pixels, frames), scenes.pixels]), captions, table)


def drawn(pairs: Pairs, seed: int) -> dict[str, tuple[NDArray[np.int64], dict[str, Any]]]:
    """Return the rows that each way to balance keeps, and what is left of RB and AB in them.

    Rows are kept once, with their weight as probability, as a keep-list does; the random sub-sample keeps as many as M4.
    """
    labels = [f"occupation:{job}" for job in OCCUPATIONS]
    shares = {"gender": {"man": 0.5, "woman": 0.5}}
    common: dict[str, Any] = {"shares": shares, "vocabulary": VOCABULARY}
    m4 = M4("gender", labels, **common).fit(pairs.table)
    proxied = M4("gender", labels, proxies=["frame:hatched"], **common).fit(pairs.table)
    reweighed = Reweigh("gender", labels, **common).fit(pairs.table)
    w = reweighed.weights(pairs.table)
    found = {
        "unbalanced": np.ones(len(pairs)),
        "m4": m4.weights(pairs.table),
        "m4+proxies": proxied.weights(pairs.table),
        "reweigh": w / w.max(),
    }
    found["random"] = np.full(len(pairs), found["m4"].mean())
    ids = [str(row) for row in range(len(pairs))]
    kept = {name: np.flatnonzero(keep(ids, q, seed)) for name, q in found.items()}
    return {name: (rows, moments(pairs.table, rows)) for name, rows in kept.items()}


def moments(table: pa.Table, rows: NDArray[np.int64]) -> dict[str, Any]:
    """Return the share of men, and the largest P(label | man) - P(label | woman) over occupations and over frames."""
    gender = table["gender"].to_numpy(zero_copy_only=False)[rows]
    man, woman = gender == "man", gender == "woman"
    gaps = []
    for name, values in (("occupation", OCCUPATIONS), ("frame", ("hatched",))):
        column = table[name].to_numpy(zero_copy_only=False)[rows]
        gaps.append(max(abs((column[man] == v).mean() - (column[woman] == v).mean()) for v in values))
    found = {"men": man.sum() / (man.sum() + woman.sum()), "ab": gaps[0], "ab_frame": gaps[1]}
    return {name: float(value) for name, value in found.items()} | {"rows": len(rows), "of": len(table)}


def batches(rows: NDArray[np.int64], size: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Yield batches without end, epoch after epoch; no batch holds a row twice."""
    size = min(size, rows.size)
    while True:
        order = rng.permutation(rows)
        for start in range(0, order.size - size + 1, size):
            yield order[start : start + size]
