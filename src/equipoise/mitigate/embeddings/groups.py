"""Group vectors: one direction per group of an attribute, from words or from pictures.

``text``: the normalised mean of the unit embeddings of a group's prompts in its templates; needs no rows at all.
``image``: the normalised mean of reference rows of the group, of all of them (``k=None``, one vector a group) or of the
k rows nearest to the query (one vector a group and query: Gerych et al., ICLR 2026, and BendVLM, NeurIPS 2024).

Notation: n queries, d dimensions, m groups, N reference rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.errors import InputError, MethodRefusal, VocabularyError, listed
from equipoise.mitigate.embeddings.geometry import unit

QUERIES_AT_A_TIME = 32
"""Queries whose neighbours are sought together. Always this many (padded), so that a query's similarities, and with
them its neighbours, do not depend on which other queries were passed."""


@dataclass(frozen=True)
class GroupVectors:
    """The group vectors of one or more attributes.

    Attributes
    ----------
    concepts : dict of str to tuple of str
        Attribute (or intersection) to its groups that have a vector, in order of display.
    dim : int
    fixed : ndarray (m, d), float64, or None
        One vector per group; None when they depend on the query.
    reference : ndarray (N, d), float32, or None
        Unit embeddings of the reference rows, in order of row id.
    codes : ndarray (number of concepts, N), int32, or None
        Group of each reference row, -1 where unknown or without a vector.
    k : int or None
    normalise : bool
        Whether means of reference rows have length 1.
    """

    concepts: dict[str, tuple[str, ...]]
    dim: int
    fixed: NDArray[np.float64] | None = None
    reference: NDArray[np.float32] | None = None
    codes: NDArray[np.int32] | None = None
    k: int | None = None
    normalise: bool = True

    @property
    def blocks(self) -> tuple[int, ...]:
        """Number of groups of each concept."""
        return tuple(len(groups) for groups in self.concepts.values())

    def at(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Return the group vectors that hold for queries (n, d): (m, d), or (n, m, d) when they depend on the query."""
        if self.fixed is not None:
            return self.fixed
        found = np.empty((len(x), sum(self.blocks), self.dim))
        for start in range(0, len(x), QUERIES_AT_A_TIME):
            part = slice(start, start + QUERIES_AT_A_TIME)
            found[part] = self._near(unit(x[part]).astype(np.float32))
        return unit(found) if self.normalise else found

    @cached_property
    def _members(self) -> list[NDArray[np.intp]]:
        codes = self.codes if self.codes is not None else ()
        return [np.flatnonzero(row == g) for row, size in zip(codes, self.blocks, strict=True) for g in range(size)]

    def _near(self, queries: NDArray[np.float32]) -> NDArray[np.float64]:
        assert self.reference is not None
        assert self.k is not None
        padded = np.zeros((QUERIES_AT_A_TIME, self.dim), dtype=np.float32)
        padded[: len(queries)] = queries
        scores = padded @ self.reference.T
        means = np.empty((len(queries), len(self._members), self.dim))
        for column, rows in enumerate(self._members):
            chosen = rows[_top(scores[: len(queries), rows], min(self.k, len(rows)))]
            means[:, column] = self.reference[chosen].mean(axis=1, dtype=np.float64)
        return means


def _top(scores: NDArray[np.float32], k: int) -> NDArray[np.intp]:
    """Return (n, k) places of the k largest of each row (n, N), in ascending order; of equal ones the first places."""
    edge = np.partition(scores, scores.shape[1] - k, axis=1)[:, -k, None]
    above, tied = scores > edge, scores == edge
    wanted = k - above.sum(axis=1, keepdims=True)
    return np.nonzero(above | (tied & (np.cumsum(tied, axis=1) <= wanted)))[1].reshape(len(scores), k)


# -------------------------------------------------------------------------------------------------------- from words


def text_vectors(
    embeddings: Any, attributes: Sequence[str], *, templates: Sequence[str] | None, title: str
) -> GroupVectors:
    """Return the group vectors of the vocabulary's prompts.

    Parameters
    ----------
    embeddings : EmbeddingSet
    attributes : sequence of str
        Attributes or intersections; an intersection needs prompts of its own.
    templates : sequence of str, optional
        In place of the vocabulary's.
    title : str
        What a message calls the method.

    Raises
    ------
    VocabularyError
        If a group has no prompts.
    InputError
        If an attribute has one group, or a text has no embedding.
    """
    vocabulary = embeddings.vocabulary
    concepts, vectors = {}, []
    for key in attributes:
        groups = tuple(vocabulary.groups(key))
        _several(groups, key, title, "in the vocabulary")
        attribute = vocabulary.attributes.get(key)
        _prompted(attribute, groups, key, title)
        if templates is None:
            vectors.append(unit(embeddings.group_text_vectors(key)))
        else:
            worded = replace(attribute, templates=tuple(templates))
            means = [unit(embeddings.text(worded.prompt_texts(group))).mean(axis=0) for group in groups]
            vectors.append(unit(np.stack(means)))
        concepts[key] = groups
    fixed = np.concatenate(vectors)
    return GroupVectors(concepts, fixed.shape[1], fixed=fixed)


def _prompted(attribute: Any, groups: Sequence[str], key: str, title: str) -> None:
    missing = [group for group in groups if attribute is None or not attribute.prompts.get(group)]
    if not missing:
        return
    parts = key.split(":")
    remedy = (
        f"add [{key}.prompts] to groups.toml, or use vectors='image'."
        if len(parts) == 1
        else f"a vocabulary has none for combinations; use vectors='image', or attribute={parts} (each at once)."
    )
    raise VocabularyError(
        f"'{key}' has no prompts for {listed(missing)}.", f"Text-side {title} needs words: {remedy}", value=missing
    )


# ----------------------------------------------------------------------------------------------------- from pictures


def image_vectors(
    embeddings: Any, attributes: Sequence[str], *, k: int | None, min_group: int, normalise: bool, title: str
) -> tuple[GroupVectors, tuple[str, ...], list[str]]:
    """Return group vectors of reference rows, the ids of the rows used, and notes.

    Parameters
    ----------
    embeddings : EmbeddingSet
        The reference rows. Rows whose group is unknown are not used.
    attributes : sequence of str
        Attributes or intersections.
    k : int or None
        Nearest rows of each group that are averaged for each query; None averages all rows once.
    min_group : int
        A group with fewer rows is refused; a group without any is left out, with a note.
    normalise : bool
        Give the means length 1.
    title : str
        What a message calls the method.

    Raises
    ------
    InputError
        If fewer than two groups have rows.
    MethodRefusal
        If a group has fewer than ``min_group`` rows, or the mean of a group has no direction.
    """
    samples = embeddings.samples
    concepts, codes, places, notes = {}, [], [], []
    for key in attributes:
        names = embeddings.vocabulary.groups(key)
        code = np.asarray(samples.codes(key))
        counts = np.bincount(code[code >= 0], minlength=len(names))
        present = np.flatnonzero(counts)
        groups = tuple(names[place] for place in present)
        _several(groups, key, title, "in these rows")
        if small := [f"{names[g]} ({counts[g]})" for g in present if counts[g] < min_group]:
            raise MethodRefusal(
                f"'{key}' has fewer than {min_group} rows of {listed(small)}.",
                "The mean of so few says little: fit on more rows, or lower min_group.",
                value=small,
            )
        if len(groups) < len(names):
            absent = [names[g] for g in np.flatnonzero(counts == 0)]
            notes.append(f"No rows of {listed(absent)} of '{key}': left out of the edit.")
        if k is not None and (short := [f"{names[g]} ({counts[g]})" for g in present if counts[g] < k]):
            notes.append(f"Fewer than k = {k} rows of {listed(short)} of '{key}': all of them are averaged.")
        compact = np.full(len(names) + 1, -1, dtype=np.int32)
        compact[present] = np.arange(len(present))
        concepts[key] = groups
        codes.append(compact[code])
        places.append(present)
    used: NDArray[np.bool_] = np.any(np.stack(codes) >= 0, axis=0)
    ids = tuple(str(name) for name, taken in zip(samples.ids, used, strict=True) if taken)
    if k is None:
        fixed = np.concatenate(
            [embeddings.group_means(key)[0][place] for key, place in zip(concepts, places, strict=True)]
        )
        fixed = _directed(fixed, concepts) if normalise else fixed
        return GroupVectors(concepts, fixed.shape[1], fixed=fixed, normalise=normalise), ids, notes
    reference = _taken(embeddings, used)
    notes.append(f"{len(reference)} reference rows are kept with the edit ({reference.nbytes / 1e6:.1f} MB).")
    kept = np.stack(codes)[:, used]
    return GroupVectors(concepts, embeddings.dim, None, reference, kept, k, normalise), ids, notes


def _taken(embeddings: Any, used: NDArray[np.bool_]) -> NDArray[np.float32]:
    rows = np.empty((int(used.sum()), embeddings.dim), dtype=np.float32)
    end = 0
    for start, block in embeddings.blocks():
        part = block[used[start : start + len(block)]]
        rows[end : end + len(part)] = part
        end += len(part)
    return rows


def _directed(means: NDArray[np.float64], concepts: dict[str, tuple[str, ...]]) -> NDArray[np.float64]:
    names = [f"{group} of '{key}'" for key, groups in concepts.items() for group in groups]
    size = np.linalg.norm(means, axis=1)
    if flat := [name for name, length in zip(names, size, strict=True) if length < 1e-6]:
        raise MethodRefusal(
            f"The mean embedding of {listed(flat)} has no length.", "Pass raw embeddings, not centred ones.", value=flat
        )
    return unit(means)


def _several(groups: Sequence[str], key: str, title: str, where: str) -> None:
    if len(groups) < 2:
        found = f"one ({groups[0]})" if groups else "none"
        raise InputError(
            f"{title} needs two or more groups; '{key}' has {found} {where}.",
            "Choose another attribute or other rows.",
            value=list(groups),
        )
