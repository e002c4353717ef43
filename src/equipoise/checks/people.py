"""Made-up embeddings of made-up people, for the contract checks of mitigations.

A space of d dimensions in which groups, origins and queries share a base direction, as they do in the spaces of real
encoders; everything follows from a seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from equipoise.data.groups import Attribute, Vocabulary
from equipoise.data.samples import read_samples
from equipoise.store.embeddings import EmbeddingSet

NAMES = ("Alpha", "Beta", "Gamma", "Delta", "Epsilon", "Zeta", "Eta", "Theta", "Iota", "Kappa")
OTHER_NAMES = ("Quartz", "Basalt", "Granite", "Marble", "Slate", "Chalk", "Flint", "Gneiss", "Schist", "Tuff")
ORIGINS = ("North", "South", "East")
TEMPLATES = ("a photo of {}", "{}")
QUERIES = tuple(
    f"a photo of a {job}"
    for job in (
        "nurse",
        "boss",
        "chef",
        "lawyer",
        "teacher",
        "clerk",
        "farmer",
        "pilot",
        "baker",
        "judge",
        "poet",
        "cook",
    )
)


def explicit_query(name: str) -> str:
    """Return a query that names a group."""
    return f"a photo of {name} at work"


def people(
    groups: int = 2,
    *,
    attribute: str = "gender",
    names: Sequence[str] = NAMES,
    listed: Sequence[int] | None = None,
    per_group: int = 48,
    d: int = 32,
    seed: int = 0,
    order: NDArray[np.integer[Any]] | None = None,
    rotation: NDArray[np.float64] | None = None,
    copies: int = 1,
    declared: int | None = None,
) -> EmbeddingSet:
    """Return embeddings of ``groups`` x ``per_group`` rows with the attributes ``attribute`` and ``origin``.

    Parameters
    ----------
    groups : int
        Groups that have rows. The first one has no row of origin North.
    attribute : str
    names : sequence of str
        What the groups are called; the vectors do not depend on it.
    listed : sequence of int, optional
        Order in which the vocabulary declares the groups.
    per_group, d, seed : int
    order : ndarray (n,), optional
        Order in which the rows are listed.
    rotation : ndarray (d, d), optional
        Rotation of the whole space.
    copies : int
        How often each vector occurs, under ids of its own.
    declared : int, optional
        Groups that the vocabulary declares; ``groups`` when None.
    """
    rng = np.random.default_rng(seed)
    known = groups if declared is None else declared
    base, *directions = _unit(rng.standard_normal((1 + max(known, 2) + len(ORIGINS), d)))
    of_group, of_origin = np.array(directions[: max(known, 2)]), np.array(directions[max(known, 2) :])
    codes = np.repeat(np.arange(groups), per_group)
    origins = rng.integers(0, len(ORIGINS), len(codes))
    origins[(codes == 0) & (origins == 0)] = 1
    image = 0.6 * base + 0.35 * of_group[codes] + 0.3 * of_origin[origins] + 0.5 * _unit(_noise(rng, len(codes), d))
    image, codes, origins = (np.repeat(part, copies, axis=0) for part in (image, codes, origins))

    shown = list(names[:known])
    order_of_display = tuple(shown[place] for place in listed or range(known))
    attributes = {attribute: _declared(attribute, order_of_display), "origin": _declared("origin", ORIGINS)}
    texts = [text for name, groups_of in ((attribute, shown), ("origin", ORIGINS)) for group in groups_of
             for text in attributes[name].prompt_texts(group)]  # fmt: skip
    own = np.repeat(np.concatenate([of_group[:known], of_origin]), len(TEMPLATES), axis=0)
    asked = [*QUERIES, *map(explicit_query, shown)]
    leaning = rng.standard_normal((len(asked), len(own))) @ own
    words = np.concatenate([base + 0.6 * own, base + 0.2 * leaning]) + 0.3 * _unit(
        _noise(rng, len(own) + len(asked), d)
    )

    if rotation is not None:
        image, words = image @ rotation, words @ rotation
    order = np.arange(len(codes)) if order is None else order
    table = pa.table(
        {
            "id": [f"row-{row:05d}" for row in order],
            attribute: [shown[code] for code in codes[order]],
            "origin": [ORIGINS[code] for code in origins[order]],
        }
    )
    samples = read_samples(table, id="id", attributes=[attribute, "origin"], vocabulary=Vocabulary(attributes))
    return EmbeddingSet.from_arrays(image[order].astype(np.float32), samples, texts=[*texts, *asked], text=words)


def rotation(d: int = 32, seed: int = 1) -> NDArray[np.float64]:
    """Return a random rotation of d dimensions."""
    q, r = np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))
    return q * np.sign(np.diag(r))


def _declared(name: str, groups: Sequence[str]) -> Attribute:
    return Attribute(
        name, tuple(groups), templates=TEMPLATES, prompts={group: (f"a {group} person",) for group in groups}
    )


def _noise(rng: np.random.Generator, n: int, d: int) -> NDArray[np.float64]:
    return rng.standard_normal((n, d))


def _unit(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)
