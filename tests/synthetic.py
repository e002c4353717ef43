"""Made-up spaces and tables of predictions for the tests of audit and compare, and plain loops to check them against."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from equipoise.data.groups import Vocabulary
from equipoise.data.queries import Query
from equipoise.data.samples import Samples, read_samples
from equipoise.mitigate.embeddings.noop import NoOp
from equipoise.protocols import EmbeddingMitigation
from equipoise.store.embeddings import EmbeddingSet

GENDERS, RACES = ("Female", "Male"), ("Alpha", "Beta", "Gamma")
K = 50
JOBS = ("nurse", "doctor", "engineer", "teacher", "plumber", "secretary")


def vocabulary(genders: Sequence[str] = GENDERS, races: Sequence[str] = RACES) -> Vocabulary:
    def attribute(values: Sequence[str], prompt: str) -> dict[str, Any]:
        return {
            "values": list(values), "unknown": [""], "declared": True, "templates": ["a photo of {}", "a picture of {}"],
            "prompts": {value: [prompt.format(value.lower())] for value in values},
        }  # fmt: skip

    return Vocabulary.from_dict({"gender": attribute(genders, "a {} one"), "race": attribute(races, "someone {}")})


def queries(explicit: bool = True) -> list[Query]:
    found = [Query(f"a photo of a {job}", "jobs" if i < 4 else "trades") for i, job in enumerate(JOBS)]
    named = [Query("a photo of a female doctor", "explicit", "", "gender=Female")]
    return found + (named if explicit else [])


def space(
    n: int = 400,
    d: int = 16,
    seed: int = 0,
    *,
    lean: float = 0.6,
    order: Any = None,
    genders: Sequence[str] = GENDERS,
    races: Sequence[str] = RACES,
    unknown: int = 0,
    small: int = 0,
    clusters: int = 0,
    captions: bool = False,
) -> EmbeddingSet:
    """Pictures with a gender and a race direction; ``lean`` is how strongly queries lean on gender.

    ``order`` permutes the lines of the table (and the vectors with them); ``small`` is the size of the last race;
    ``clusters`` puts rows in clusters of that many near-copies.
    """
    rng = np.random.default_rng(seed)
    units = n // clusters if clusters else n
    gender, race = rng.integers(0, 2, units), rng.integers(0, 3, units)
    if small:
        race = np.where(np.arange(units) < small, 2, race % 2)
    axes = np.linalg.qr(rng.normal(size=(d, d)))[0].T
    corners = np.array([[1.0, 0.0], [-0.5, 0.87], [-0.5, -0.87]]) @ axes[1:3]
    image = (
        1.5 * axes[0]
        + 0.5 * (1 - 2 * gender)[:, None] * axes[3]
        + 0.5 * corners[race]
        + 0.4 * rng.normal(size=(units, d))
    )
    if clusters:
        image = np.repeat(image, clusters, 0) + 0.01 * rng.normal(size=(n, d))
        gender, race = np.repeat(gender, clusters), np.repeat(race, clusters)
    columns = {
        "id": [f"r{i:05d}" for i in range(n)],
        "gender": [genders[g] if i >= unknown else "" for i, g in enumerate(gender)],
        "race": [races[r] for r in race],
        "split": ["train" if i % 2 else "val" for i in range(n)],
        "cluster": [f"p{i // clusters}" if clusters else "" for i in range(n)],
        "caption": [f"caption {i}" if captions and i < 60 else "" for i in range(n)],
    }
    words = vocabulary(genders, races)
    vectors: dict[str, np.ndarray] = {}
    for name, sides in (("gender", [axes[3], -axes[3]]), ("race", list(corners))):
        attribute = words.attributes[name]
        for i, group in enumerate(attribute.values):
            for t, text in enumerate(attribute.prompt_texts(group)):
                vectors[text] = 1.2 * axes[0] + 0.6 * sides[i] + 0.05 * axes[4 + t]
    for i, query in enumerate(queries()):
        side = 2.0 if query.explicit else (1 if i % 2 else -1) * (i + 4) / 8
        vectors[query.text] = axes[0] + lean * side * axes[3] + 0.3 * corners[i % 3] + 0.3 * rng.normal(size=d)
    if captions:
        vectors |= {f"caption {i}": image[i] + 0.5 * rng.normal(size=d) for i in range(60)}
    rows = np.arange(n) if order is None else np.asarray(order)
    table = pa.table({name: [column[i] for i in rows] for name, column in columns.items()})
    samples = read_samples(
        table, id="id", attributes=["gender", "race"], split="split", vocabulary=words,
        cluster="cluster" if clusters else None, caption="caption" if captions else None,
    )  # fmt: skip
    return EmbeddingSet.from_arrays(
        image[rows].astype(np.float32),
        samples,
        texts=list(vectors),
        text=np.stack(list(vectors.values())).astype(np.float32),
    )


def answers(
    n: int = 600, groups: int = 3, seed: int = 0, *, gap: float = 0.0, quality: float = 0.8, labels: int = 2,
    clusters: int = 0, order: Any = None, fresh: float = 0.0, scores: bool = True, names: Sequence[str] | None = None,
    lost: int = 0,
) -> Samples:  # fmt: skip
    """Labels, predictions and scores; group 0 is right with ``gap`` less probability. ``fresh`` decides a share anew."""
    rng = np.random.default_rng(seed)
    units = n // clusters if clusters else n
    y, group = rng.integers(0, labels, units), rng.permutation(np.arange(units) % groups)
    chance = rng.random(units) < quality - gap * (group == 0)
    wrong = (y + rng.integers(1, labels, units)) % labels if labels > 2 else 1 - y
    p = np.where(chance, y, wrong)
    score = 1.0 * p + 0.7 * rng.normal(size=units) + 0.5 * y
    if clusters:
        y, group, p, score = (np.repeat(part, clusters) for part in (y, group, p, score))
    if fresh:
        again = np.random.default_rng([seed, 99])
        anew = again.random(n) < fresh
        p = np.where(anew, np.where(again.random(n) < quality - gap * (group == 0), y, 1 - y), p)
        score = score + 0.3 * again.normal(size=n)
    names = names or [f"g{i:02d}" for i in range(groups)]
    rows = np.arange(n) if order is None else np.asarray(order)
    prediction = [str(value) for value in p]
    prediction[:lost] = [""] * lost
    columns: dict[str, list[Any]] = {
        "id": [f"r{i:05d}" for i in range(n)], "y": [str(value) for value in y], "p": prediction,
        "s": score.tolist(), "group": [names[g] for g in group], "c": [f"p{i // max(clusters, 1)}" for i in range(n)],
    }  # fmt: skip
    declared = Vocabulary.from_dict({
        "group": {"values": list(names), "unknown": [""], "declared": True, "templates": ["{}"], "prompts": {}}
    })  # fmt: skip
    return read_samples(
        pa.table({name: [column[i] for i in rows] for name, column in columns.items()}), id="id", label="y",
        prediction="p", score="s" if scores else None, attributes=["group"], vocabulary=declared,
        cluster="c" if clusters else None,
    )  # fmt: skip


def pick(table: pa.Table, **wanted: Any) -> list[dict[str, Any]]:
    """Return the rows of estimates or of a ledger that match."""
    return [row for row in table.to_pylist() if all(row[name] == value for name, value in wanted.items())]


def one(table: pa.Table, **wanted: Any) -> dict[str, Any]:
    """Return the only row that matches."""
    (row,) = pick(table, **wanted)
    return row


class Loops:
    """Ranking metrics of one query and key, in plain loops over rows."""

    def __init__(self, data: EmbeddingSet, key: str, k: int, minimum: int = 30) -> None:
        self.image, self.k, self.minimum = data.vectors().astype(np.float64), k, minimum
        self.groups = data.vocabulary.groups(key)
        parts = [data.samples.column(name) for name in data.vocabulary.parts(key)]
        self.names = [":".join(values) if all(values) else None for values in zip(*parts, strict=True)]
        self.members = {g: [i for i, name in enumerate(self.names) if name == g] for g in self.groups}
        self.taking_part = [g for g in self.groups if len(self.members[g]) >= minimum]

    def of(self, query: np.ndarray) -> dict[str, Any]:
        cosine = (self.image.astype(np.float32) @ query).astype(np.float64)
        best = sorted(range(len(cosine)), key=lambda i: (-cosine[i], i))[: self.k]
        known = [i for i in best if self.names[i] is not None]
        pool = sum(len(rows) for rows in self.members.values())
        skew, rate, mean, image_cosine = {}, {}, {}, {}
        for g in self.taking_part:
            found = sum(self.names[i] == g for i in known)
            share, prior = found / len(known), len(self.members[g]) / pool
            skew[g] = math.log(max(share, 1 / self.k) / prior)
            rate[g] = found / len(self.members[g])
            mean[g] = sum(cosine[i] for i in self.members[g]) / len(self.members[g])
            centre = self.image[self.members[g]].mean(0)
            image_cosine[g] = float(query @ centre / np.linalg.norm(centre))
        squares = sum((cosine[i] - mean[g]) ** 2 for g in self.taking_part for i in self.members[g])
        rows = sum(len(self.members[g]) for g in self.taking_part)
        sd = math.sqrt(squares / (rows - len(self.taking_part)))
        return {
            "skew": skew, "max_skew": max(skew.values()), "min_skew": min(skew.values()),
            "dp": max(rate.values()) - min(rate.values()), "score_gap": (max(mean.values()) - min(mean.values())) / sd,
            "cosine_bias": max(image_cosine.values()) - min(image_cosine.values()),
            "share": {g: sum(self.names[i] == g for i in known) / len(known) for g in self.groups}, "best": best,
        }  # fmt: skip


def run(data: EmbeddingSet, **options: Any) -> Any:
    """Audit a made-up space with few draws."""
    from equipoise import audit

    return audit(data, **{"queries": queries(), "by": ["gender", "race"], "k": K, "bootstrap": 100, **options})


class Shift(EmbeddingMitigation):
    """Adds a vector to pictures."""

    name = "shift"
    edits = frozenset({"image"})
    attributes = ("gender",)

    def __init__(self, vector: np.ndarray) -> None:
        self.vector = vector

    def fit(self, embeddings: Any) -> Shift:
        return self

    def transform(self, x: Any, *, modality: str = "text", queries: Sequence[Any] | None = None) -> Any:
        assert modality == "image"
        return (x + self.vector).astype(np.float32)

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return {}, {"vector": self.vector}

    @classmethod
    def from_state(cls, parameters: Any, arrays: Any) -> Shift:
        return cls(arrays["vector"])

    def controls(self) -> list[EmbeddingMitigation]:
        return [NoOp("gender"), NoOp("gender")]
