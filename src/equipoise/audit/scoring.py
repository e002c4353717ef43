"""One pass over the rows scores every arm: cosines, zero-shot answers, caption ranks, and lengths of group means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from equipoise.data.queries import Query
from equipoise.errors import MissingTextError, VocabularyError, listed
from equipoise.progress import advance
from equipoise.protocols import EmbeddingMitigation
from equipoise.store.embeddings import EmbeddingSet
from equipoise.store.evidence import RankingEvidence, evidence_columns

CAPTIONS = 2000


class Scorer:
    """Scores every arm in one pass over the rows."""

    def __init__(
        self,
        data: EmbeddingSet,
        queries: tuple[Query, ...],
        arms: dict[str, EmbeddingMitigation | None],
        by: Sequence[str] = (),
    ) -> None:
        self.data, self.queries, self.arms = data, queries, arms
        self.asked_for = {part for key in by for part in key.split(":")}
        self.notes: list[str] = []
        self.prompts: list[str] = []
        texts = [query.text for query in queries]
        self.texts = data.text(texts)
        self.edited = {arm: edited(edit, self.texts, queries) for arm, edit in arms.items()}
        self.classes = self._classes()
        if cut := data.truncated([*texts, *self.prompts]):
            self.notes.append(
                f"{len(cut)} queries or prompts are longer than the encoder reads and were cut: {listed(map(repr, cut))}."
            )
        self.captions, self.caption_rows = self._captions()
        self.geometry: dict[str, Any] = {}

    def _classes(self) -> dict[str, dict[str, NDArray[np.float32]]]:
        """Group vectors (G, d) by arm and attribute, every prompt edited as the arm edits text."""
        found: dict[str, dict[str, NDArray[np.float32]]] = {arm: {} for arm in self.arms}
        for name in self._keys():
            attribute = self.data.vocabulary.attributes[name]
            try:
                prompts = [attribute.prompt_texts(group) for group in attribute.values]
            except VocabularyError:
                self.notes.append(f"Zero-shot accuracy of '{name}' was not measured: it has no prompts.")
                continue
            flat = [text for group in prompts for text in group]
            try:
                vectors = self.data.text(flat)
            except MissingTextError as error:
                # Some of the words of an attribute that is asked for: a slip. None of them: embeddings made without.
                if self.data.live or (name in self.asked_for and len(set(error.value)) < len(set(flat))):
                    raise
                self.notes.append(
                    f"Zero-shot accuracy of '{name}' was not measured: its prompts have no vectors "
                    f"({listed([repr(text) for text in error.value], 100)})."
                )
                continue
            self.prompts += flat
            for arm, edit in self.arms.items():
                moved, start, means = edited(edit, vectors, flat), 0, []
                for group in prompts:
                    means.append(moved[start : start + len(group)].mean(0))
                    start += len(group)
                found[arm][name] = unit(np.stack(means))
        return found

    def _captions(self) -> tuple[NDArray[np.float32] | None, NDArray[np.int64]]:
        none = np.zeros(0, np.int64)
        if "caption" not in self.data.samples.roles:
            return None, none
        texts = [str(text or "") for text in self.data.samples.column("caption")]
        rows = np.asarray([i for i, text in enumerate(texts) if text.strip()], np.int64)
        if rows.size == 0:
            return None, none
        if rows.size > CAPTIONS:
            self.notes.append(f"Recall was measured on {CAPTIONS} of {rows.size} captions, the first by row id.")
            rows = rows[:CAPTIONS]
        try:
            found = self.data.text([texts[i] for i in rows])
        except MissingTextError:
            self.notes.append("Recall was not measured: the captions have no vectors.")
            return None, none
        if cut := self.data.truncated([texts[i] for i in rows]):
            self.notes.append(f"{len(cut)} captions are longer than the encoder reads and were cut.")
        return found, rows

    def evidence(self) -> RankingEvidence:
        """Score all rows; also fills ``geometry``."""
        n = len(self.data)
        scores = {arm: np.empty((len(self.queries), n), np.float32) for arm in self.arms}
        shots = {arm: {name: np.empty(n, np.int32) for name in self.classes[arm]} for arm in self.arms}
        own = {arm: edit is not None and "image" in edit.edits for arm, edit in self.arms.items()}
        keys = {name: self.data.samples.codes(name) for name in self._keys()}
        sums = {arm: _Means(keys, self.data) for arm in self.arms if own[arm] or arm == self._plain(own)}
        for start, block in self.data.blocks():
            advance("scoring rows", start + block.shape[0], n)
            part = slice(start, start + block.shape[0])
            for arm, edit in self.arms.items():
                x = moved_only(block, edit.transform(block, modality="image")) if own[arm] and edit else block
                scores[arm][:, part] = self.edited[arm] @ x.T
                for name, classes in self.classes[arm].items():
                    shots[arm][name][part] = np.argmax(x @ classes.T, axis=1)
                if arm in sums:
                    sums[arm].add(start, x)
        plain = self._plain(own)
        for arm in self.arms:
            self.geometry[arm] = sums[arm].norms() if arm in sums else {"same_as": plain}
        columns = evidence_columns(self.data.samples)
        columns |= {name: self.data.samples.table[name].cast(pa.string()) for name in self._keys()}
        return RankingEvidence(pa.table(columns), self.queries, scores, shots, self._ranks(own), self.caption_rows)

    def _keys(self) -> list[str]:
        return list(self.data.samples.attributes)

    def _plain(self, own: dict[str, bool]) -> str:
        """Return the first arm that leaves images alone, whose norms serve all such arms."""
        return next((arm for arm in self.arms if not own[arm]), "")

    def _ranks(self, own: dict[str, bool]) -> dict[str, NDArray[np.int64]]:
        if self.captions is None:
            return {}
        texts = [self.data.samples.column("caption")[i] for i in self.caption_rows]
        ranks = {}
        for arm, edit in self.arms.items():
            vectors = edited(edit, self.captions, texts)
            right = np.empty(len(texts), np.float32)
            above = np.zeros(len(texts), np.int64)
            for phase in ("right", "above"):
                for start, block in self.data.blocks():
                    x = moved_only(block, edit.transform(block, modality="image")) if own[arm] and edit else block
                    inside = (self.caption_rows >= start) & (self.caption_rows < start + x.shape[0])
                    if phase == "right":
                        right[inside] = np.einsum("md,md->m", vectors[inside], x[self.caption_rows[inside] - start])
                    else:
                        found = vectors @ x.T > right[:, None]
                        found[inside, self.caption_rows[inside] - start] = False
                        above += found.sum(1)
            ranks[arm] = above
        return ranks


class _Means:
    """Running sums of unit embeddings by joint cell; the lengths of the group means come from them."""

    def __init__(self, codes: dict[str, NDArray[np.int32]], data: EmbeddingSet) -> None:
        self.vocabulary = data.vocabulary
        self.codes = codes
        self.sizes = {name: len(data.vocabulary.groups(name)) for name in codes}
        joint = np.zeros(len(data), np.int64)
        for name, code in codes.items():
            joint = np.unique(joint * (self.sizes[name] + 1) + code + 1, return_inverse=True)[1]
        self.joint = joint
        self.first = np.unique(joint, return_index=True)[1]
        self.sums = np.zeros((self.first.size, data.dim))
        self.count = np.bincount(joint, minlength=self.first.size)

    def add(self, start: int, x: NDArray[np.float32]) -> None:
        cells = self.joint[start : start + x.shape[0]]
        order = np.argsort(cells, kind="stable")
        limits = np.flatnonzero(np.diff(cells[order], prepend=-1))
        self.sums[cells[order][limits]] += np.add.reduceat(x[order], limits, axis=0)

    def norms(self) -> dict[str, Any]:
        """Return ``norms`` by attribute and pair of attributes, and ``whole_norm``."""
        out: dict[str, list[float]] = {}
        names = list(self.codes)
        combinations = [(name,) for name in names]
        combinations += [(a, b) for a in names for b in names if a != b]
        combinations += [(a, b, c) for a in names for b in names for c in names if len({a, b, c}) == 3]
        for parts in combinations:
            size = int(np.prod([self.sizes[name] for name in parts]))
            code = np.zeros(self.first.size, np.int64)
            known = np.ones(self.first.size, bool)
            for name in parts:
                part = self.codes[name][self.first]
                known &= part >= 0
                code = code * self.sizes[name] + part
            if size > 1000:
                continue
            sums = np.zeros((size, self.sums.shape[1]))
            np.add.at(sums, code[known], self.sums[known])
            n = np.bincount(code[known], self.count[known], size)
            with np.errstate(invalid="ignore", divide="ignore"):
                out[":".join(parts)] = [float(v) for v in np.linalg.norm(sums, axis=1) / n]
        whole = np.linalg.norm(self.sums.sum(0)) / self.count.sum()
        return {"norms": out, "whole_norm": float(whole)}


def edited(edit: EmbeddingMitigation | None, x: NDArray[np.float32], texts: Sequence[Any]) -> NDArray[np.float32]:
    """Return unit text vectors as an arm sees them."""
    if edit is None or "text" not in edit.edits:
        return x
    return moved_only(x, edit.transform(x, modality="text", queries=texts))


def moved_only(x: NDArray[np.float32], moved: NDArray[Any]) -> NDArray[np.float32]:
    """Return unit rows of ``moved``; rows that an edit left alone stay bit by bit, so that it changes no tie."""
    same = (moved == x).all(axis=1, keepdims=True)
    return np.where(same, x, unit(moved))


def unit(x: NDArray[Any]) -> NDArray[np.float32]:
    """Return rows of length one; a row of length zero stays zero (its cosine is 0 with everything)."""
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    return (x / np.where(norm > 0, norm, 1)).astype(np.float32)
