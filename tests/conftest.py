"""Shared by all tests: a tiny space of pictures and words with a planted bias."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import settings

settings.register_profile("no deadline", deadline=None)  # the speed of a loaded machine is not what is tested
settings.load_profile("no deadline")

ROWS, DIM = 240, 16
GENDERS, RACES = ("Female", "Male"), ("Alpha", "Beta", "Gamma")
JOBS = {"nurse": 0.9, "secretary": 0.7, "teacher": 0.3, "doctor": -0.5, "engineer": -0.8, "plumber": -0.9}
PROMPTS = {
    "Female": "a woman",
    "Male": "a man",
    "Alpha": "a person from Alpha",
    "Beta": "a person from Beta",
    "Gamma": "a person from Gamma",
}
TEMPLATES = ("a photo of {}", "a picture of {}")
VOCABULARY = """\
[gender]
values = ["Female", "Male"]
unknown = ["", "unknown"]
templates = ["a photo of {}", "a picture of {}"]
[gender.prompts]
Female = ["a woman"]
Male = ["a man"]

[race]
values = ["Alpha", "Beta", "Gamma"]
unknown = ["", "unknown"]
templates = ["a photo of {}", "a picture of {}"]
[race.prompts]
Alpha = ["a person from Alpha"]
Beta = ["a person from Beta"]
Gamma = ["a person from Gamma"]
"""


@dataclass(frozen=True)
class Tiny:
    """A precomputed folder: ``image.npy``, ``rows.parquet``, ``text.npy``, ``texts.csv``, ``groups.toml``, ``jobs.csv``."""

    folder: Path

    @property
    def table(self) -> Path:
        """The table of rows: id, gender, race, split, label, prediction, score."""
        return self.folder / "rows.parquet"

    @property
    def vocabulary(self) -> Path:
        """The vocabulary with prompts."""
        return self.folder / "groups.toml"

    @property
    def queries(self) -> Path:
        """Six searches for jobs, along and against the planted direction of gender."""
        return self.folder / "jobs.csv"

    @property
    def reference(self) -> str:
        """The reference of the encoder."""
        return f"precomputed:{self.folder}"


def write_tiny(folder: Path) -> Tiny:
    """Write the folder; equal bytes at every call."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(DIM, DIM)))[0].T
    picture, word, gender_axis, race_axes = basis[0], basis[1], basis[2], basis[3:5]
    corners = np.array([[1.0, 0.0], [-0.5, 0.866], [-0.5, -0.866]]) @ race_axes
    gender = rng.permutation(np.repeat(np.arange(2), ROWS // 2))
    race = rng.permutation(np.repeat(np.arange(3), ROWS // 3))
    sign = np.where(gender == 0, 1.0, -1.0)
    noise = rng.normal(size=(ROWS, DIM)) @ np.diag(np.full(DIM, 0.25))
    image = picture + 0.35 * sign[:, None] * gender_axis + 0.3 * corners[race] + noise

    label = rng.integers(0, 2, ROWS)
    score = 0.5 + 0.25 * (2 * label - 1) - 0.1 * (gender == 0) * label + 0.2 * rng.normal(size=ROWS)
    columns = {
        "id": [f"face{i:04d}" for i in range(ROWS)],
        "gender": [GENDERS[code] for code in gender],
        "race": [RACES[code] for code in race],
        "split": ["train" if i % 2 else "val" for i in range(ROWS)],
        "label": [str(value) for value in label],
        "prediction": [str(int(value > 0.5)) for value in score],
        "score": score,
    }
    words = {
        template.format(PROMPTS[name]): _prompt(name, word, gender_axis, corners)
        for template in TEMPLATES
        for name in PROMPTS
    }
    words |= {
        f"a photo of a {job}": 0.6 * word
        + 0.4 * picture
        + 0.3 * lean * gender_axis
        + 0.15 * corners[i % 3]
        + 0.2 * basis[6 + i]
        for i, (job, lean) in enumerate(JOBS.items())
    }
    words |= {
        f"a photo of a {name} doctor": words["a photo of a doctor"] + 0.5 * side * gender_axis
        for name, side in (("female", 1), ("male", -1))
    }

    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "image.npy", image.astype(np.float32))
    np.save(folder / "text.npy", np.array(list(words.values()), np.float32))
    pq.write_table(pa.table(columns), folder / "rows.parquet")
    _write_csv(folder / "texts.csv", ["text"], [[text] for text in words])
    jobs = [[f"a photo of a {job}", "jobs", job, ""] for job in JOBS]
    jobs += [
        [f"a photo of a {name} doctor", "explicit", "doctor", f"gender={group}"]
        for name, group in (("female", "Female"), ("male", "Male"))
    ]
    _write_csv(folder / "jobs.csv", ["query", "family", "label", "explicit"], jobs)
    (folder / "groups.toml").write_text(VOCABULARY, "utf-8")
    return Tiny(folder)


def _prompt(name: str, word: np.ndarray, gender_axis: np.ndarray, corners: np.ndarray) -> np.ndarray:
    if name in GENDERS:
        return word + (0.5 if name == "Female" else -0.5) * gender_axis
    return word + 0.5 * corners[RACES.index(name)]


def _write_csv(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


@pytest.fixture(scope="session")
def tiny_precomputed(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """The tiny space, shared by the session: read it, do not change it."""
    return write_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def new_tiny(tmp_path: Path) -> Callable[[], Tiny]:
    """Write a tiny space of one's own, to be broken."""
    return lambda: write_tiny(tmp_path / "tiny")


@dataclass(frozen=True)
class Ran:
    """What one call of the command line gave."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object on stdout."""
        return json.loads(self.out)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Call the command line in this process."""
    from equipoise.cli import main

    def call(*arguments: object) -> Ran:
        code = main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return Ran(code, printed.out, printed.err)

    return call
