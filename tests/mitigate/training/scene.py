"""A table of small pictures with captions: people of two perceived genders at four occupations, unevenly.

Run as a script it fine-tunes and is killed at random moments until it is done: ``scene.py SCENE MODEL OUT KILLS``.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

JOBS = ("nurse", "secretary", "doctor", "plumber")
WORDS = {"Female": "woman", "Male": "man"}
VOCABULARY = """\
[gender]
values = ["Female", "Male"]
templates = ["a photo of {}"]
[gender.prompts]
Female = ["a woman"]
Male = ["a man"]
[light]
values = ["day", "night"]
templates = ["a photo of {}"]
[light.prompts]
day = ["a day"]
night = ["a night"]
"""


@dataclass(frozen=True)
class Scene:
    """A folder with ``table.parquet`` (id, image, caption, gender, job, light, split), pictures, ``groups.toml``, ``jobs.txt``."""

    folder: Path

    @property
    def table(self) -> Path:
        return self.folder / "table.parquet"

    @property
    def vocabulary(self) -> Path:
        return self.folder / "groups.toml"

    @property
    def queries(self) -> Path:
        return self.folder / "jobs.txt"

    def samples(self, **where):
        from equipoise.data.samples import read_samples

        return read_samples(
            self.table, image="image", caption="caption", id="id", split="split", attributes=["gender", "light"],
            vocabulary=self.vocabulary, where=where or None,
        )  # fmt: skip

    def columns(self) -> dict[str, list]:
        return pq.read_table(self.table).to_pydict()

    def write(self, columns) -> None:
        pq.write_table(pa.table(columns), self.table)


def write_scene(folder: Path, train: int = 48, val: int = 64) -> Scene:
    """Draw the pictures: the colour tells the gender, the stripes the occupation, the brightness the light."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    columns: dict[str, list] = {name: [] for name in ("id", "image", "caption", "gender", "job", "light", "split")}
    for i in range(train + val):
        gender = ("Female", "Male")[int(rng.random() < 0.5)]
        lean = (0.4, 0.4, 0.1, 0.1) if gender == "Female" else (0.1, 0.1, 0.4, 0.4)
        job = int(rng.choice(4, p=lean))
        light = ("day", "night")[int(rng.random() < 0.5)]
        x = rng.integers(0, 40, (32, 32, 3))
        x[:, :, 0 if gender == "Female" else 2] += 90
        x[:: job + 2] += 60
        x += 60 if light == "day" else 0
        name = f"{i:03d}.png"
        Image.fromarray(x.astype(np.uint8)).save(folder / name)
        said = f"a photo of a {WORDS[gender]} who works as a {JOBS[job]} by {light}, number {i}"
        for key, value in zip(columns, (f"row{i:03d}", name, said, gender, JOBS[job], light, "train" if i < train else "val"), strict=True):  # fmt: skip
            columns[key].append(value)
    scene = Scene(folder)
    scene.write(columns)
    scene.vocabulary.write_text(VOCABULARY, "utf-8")
    scene.queries.write_text("".join(f"a photo of a {job}\n" for job in JOBS), "utf-8")
    return scene


def arguments(scene: Scene, model: Path, out: Path, **other: object) -> list[str]:
    """Return a call of the command line; ``other`` flags stand instead of these, or beside them."""
    given = [
        "mitigate", "contrastive", f"transformers:{model}", str(scene.table), "--image", "image", "--caption", "caption",
        "--id", "id", "--split", "split", "--vocabulary", str(scene.vocabulary), "--attribute", "gender", "--by", "light",
        "--queries", f"{scene.queries},association-pairs,representation-prompts", "--min-group", "5", "--bootstrap", "100",
        "--epochs", "4", "--batch-size", "16", "--learning-rate", "0.001", "--checkpoint-every", "2", "--device", "cpu",
        "--out", str(out), "--quiet",
    ]  # fmt: skip
    for name, value in other.items():
        flag = f"--{name.replace('_', '-')}"
        if flag in given:
            given[given.index(flag) + 1] = str(value)
        else:
            given += [flag, str(value)]
    return given


def main(folder: Path, model: Path, out: Path, kills: int) -> None:
    """Kill the command again and again, then let it finish; print how often a kill met a running process."""
    import torch

    from equipoise.cli import main as call

    torch.set_num_threads(1)
    command = arguments(Scene(folder), model, out)
    call(["ls", "mitigations", "--quiet"])
    rng, number, hit = random.Random(1), 0, 0
    while True:
        child = os.fork()
        if not child:
            os._exit(call(command))
        if number < kills:
            time.sleep(rng.uniform(0.1, 1.3))
            os.kill(child, signal.SIGKILL)
        number += 1
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code >= 0 and number > kills:
            print(hit)
            raise SystemExit(code)
        hit += code == -signal.SIGKILL


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
