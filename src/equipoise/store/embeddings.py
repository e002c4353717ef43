"""EmbeddingSet: image vectors of the usable rows, the rows themselves, and the vectors of texts in the same space.

Notation: n rows, d dimensions, m texts, G groups.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from equipoise.data.groups import Vocabulary
from equipoise.data.samples import Samples
from equipoise.data.vectors import TextVectors, Vectors, check_floats, unit, unusable
from equipoise.errors import EmbeddingError, InputError, MissingTextError
from equipoise.protocols import Encoder
from equipoise.store.texts import GrowingTexts

BLOCK = 8192


class EmbeddingSet:
    """Embeddings of rows and of texts.

    Parameters
    ----------
    everything : Samples
        All rows, usable or not, sorted by row id.
    reasons : sequence of str
        Why a row is set aside, ``""`` for a usable one; (rows,).
    index : ndarray (rows,), int64
        Row of ``vectors`` that belongs to each row; -1 where there is none.
    vectors : Vectors
    texts : TextVectors or GrowingTexts, optional
    encoder, preprocessing : dict
        Which encoder (``ref``, ``name``, ``fingerprint``), and how pictures were prepared.
    inputs : dict of str to str
        File name to SHA-256.
    notes : sequence of str
        What a person must know of the encoder, as that its weights look untrained.

    Attributes
    ----------
    samples : Samples
        The usable rows, sorted by row id.
    dim : int
    vocabulary : Vocabulary
    set_aside : dict of str to int
        Reason to number of rows.
    rows_in : int
        Usable rows and those set aside.
    """

    def __init__(
        self,
        everything: Samples,
        reasons: Sequence[str],
        index: NDArray[np.int64],
        vectors: Vectors,
        texts: TextVectors | GrowingTexts | None = None,
        *,
        encoder: Mapping[str, Any] | None = None,
        preprocessing: Mapping[str, Any] | None = None,
        inputs: Mapping[str, str] | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        if texts is not None and texts.dim != vectors.dim:
            raise EmbeddingError(
                f"Image embeddings have {vectors.dim} columns, text embeddings {texts.dim}: they do not share a space.",
                "Embed pictures and texts with one encoder.",
            )
        self._everything = everything
        self._reasons = list(reasons)
        self._index = np.asarray(index, np.int64)
        self._vectors = vectors
        self._texts = texts
        self.encoder: dict[str, Any] = dict(encoder or {})
        self.preprocessing: dict[str, Any] = dict(preprocessing or {})
        self.inputs: dict[str, str] = dict(inputs or {})
        self._notes = tuple(notes)
        self.set_aside: dict[str, int] = dict(sorted(Counter(reason for reason in self._reasons if reason).items()))
        self.rows_in = len(everything)
        usable = np.array([not reason for reason in self._reasons], bool)
        self.samples: Samples = everything if usable.all() else everything.take(np.flatnonzero(usable))
        self._usable = self._index[usable]
        if len(self.samples) + sum(self.set_aside.values()) != self.rows_in:
            raise AssertionError("rows in differ from rows used and rows set aside")

    @property
    def dim(self) -> int:
        """Dimensions of a vector."""
        return self._vectors.dim

    @property
    def vocabulary(self) -> Vocabulary:
        """Attributes, their groups and the words for them."""
        return self._everything.vocabulary

    @property
    def texts(self) -> tuple[str, ...]:
        """All texts that have a vector."""
        return tuple(self._texts.texts) if self._texts is not None else ()

    @property
    def notes(self) -> list[str]:
        """What a person must know of the encoder, and of where texts were embedded."""
        grown = self._texts.notes if isinstance(self._texts, GrowingTexts) else []
        return list(dict.fromkeys([*self._notes, *grown]))

    @property
    def live(self) -> bool:
        """Whether an encoder can be asked for texts that have no vector yet."""
        return isinstance(self._texts, GrowingTexts) and self._texts.live

    @property
    def logit_scale(self) -> float | None:
        """Factor by which the encoder turns cosines into logits; None where it tells none or is not at hand."""
        return self._texts.logit_scale if isinstance(self._texts, GrowingTexts) else None

    def __len__(self) -> int:
        return len(self.samples)

    def __repr__(self) -> str:
        return f"EmbeddingSet({len(self)} rows, {self.dim} dimensions, encoder {self.encoder.get('name', 'unnamed')!r})"

    def quarantine(self) -> pa.Table:
        """Return the rows set aside: ``row_id``, ``reason`` and ``row`` (its line or number in the table)."""
        aside = [row for row, reason in enumerate(self._reasons) if reason]
        return pa.table(
            {
                "row_id": self._everything.table["row_id"].take(pa.array(aside, pa.int64())),
                "reason": pa.array([self._reasons[row] for row in aside], pa.string()),
                "row": pa.array(self._everything.lines[aside], pa.int64()),
            }
        )

    def rows(self, **where: str | Sequence[str]) -> EmbeddingSet:
        """Return the rows that match: ``faces.rows(split="val")``."""
        return self.where(where)

    def where(self, conditions: Mapping[str, str | Sequence[str]]) -> EmbeddingSet:
        """Return the rows that match every condition; ``rows_in`` and ``set_aside`` then count those rows.

        Raises
        ------
        InputError
            If no row matches.
        """
        keep = self._everything.matching(conditions)
        return EmbeddingSet(
            self._everything.where(conditions),
            [self._reasons[row] for row in keep],
            self._index[keep],
            self._vectors,
            self._texts,
            encoder=self.encoder,
            preprocessing=self.preprocessing,
            inputs=self.inputs,
            notes=self._notes,
        )

    def blocks(self, size: int = BLOCK) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield (start, (b, d) float32 unit rows) in the order of ``samples``, at most ``size`` rows at a time."""
        if size < 1:
            raise InputError(f"A block of {size} rows holds nothing.", "Give 1 or more.", value=size)
        for start in range(0, len(self), size):
            yield start, unit(self._vectors.take(self._usable[start : start + size]))[0]

    def vectors(self) -> NDArray[np.float32]:
        """Return all (n, d) float32 rows of unit length."""
        out = np.empty((len(self), self.dim), np.float32)
        for start in range(0, len(self), BLOCK):
            unit(self._vectors.take(self._usable[start : start + BLOCK]), out[start : start + BLOCK])
        return out

    def text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return (m, d) float32 unit vectors of texts, looked up by the exact string.

        A text without a vector is embedded, once, where the encoder that made the pictures' vectors is at hand; a store
        keeps it.

        Raises
        ------
        MissingTextError
            If a text has no vector and no encoder is at hand; the message lists them, ``value`` holds all.
        FingerprintError
            If the encoder at hand is another one; the message shows the difference.
        """
        if isinstance(texts, str):
            raise InputError("One text was given where a list is expected.", "Pass [text].", value=texts)
        if self._texts is None:
            raise MissingTextError(
                "These embeddings have no text vectors.",
                "Add text.npy and texts.csv (column text) made by the same encoder, or name that encoder.",
                value=list(texts),
            )
        return self._texts(texts)

    def truncated(self, texts: Sequence[str]) -> list[str]:
        """Return those of some texts that the encoder did not read to their end, each once."""
        return self._texts.truncated(texts) if isinstance(self._texts, GrowingTexts) else []

    def group_text_vectors(self, attribute: str) -> NDArray[np.float32]:
        """Return (G, d) float32 unit vectors, one a group: the mean of the unit vectors of all its prompts, normalised.

        Raises
        ------
        VocabularyError
            If a group has no prompts.
        EmbeddingError
            If the prompts of a group cancel out.
        """
        (name,) = self.vocabulary.parts(attribute)
        declared = self.vocabulary.attributes[name]
        worded = [declared.prompt_texts(group) for group in declared.values]
        texts = list(dict.fromkeys(text for prompts in worded for text in prompts))
        place = {text: row for row, text in enumerate(texts)}
        vectors = self.text(texts).astype(np.float64)
        means = np.stack([vectors[[place[text] for text in prompts]].mean(axis=0) for prompts in worded])
        out, lengths = unit(means)
        if (short := np.flatnonzero(lengths < 1e-6)).size:
            raise EmbeddingError(
                f"The prompts of '{declared.values[int(short[0])]}' cancel out: their mean vector is zero.",
                "Check the text vectors.",
            )
        return out

    def group_means(self, key: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return ((G, d) float64 means of the unit image rows of each group, (G,) int64 counts); one pass, streamed.

        A group without rows has a mean of NaN.
        """
        codes = self.samples.codes(key)
        groups = len(self.vocabulary.groups(key))
        sums = np.zeros((groups, self.dim))
        for start, block in self.blocks():
            here = codes[start : start + len(block)]
            for group in np.unique(here[here >= 0]):
                sums[group] += block[here == group].sum(axis=0, dtype=np.float64)
        counts = np.bincount(codes[codes >= 0], minlength=groups).astype(np.int64)
        with np.errstate(invalid="ignore"):
            return sums / np.where(counts, counts, np.nan)[:, None], counts

    @classmethod
    def load(cls, store: str | Path, *, encoder: Encoder | str | None = None) -> EmbeddingSet:
        """Open a store; every file is checked against its SHA-256, arrays stay on disk.

        Parameters
        ----------
        store : path
        encoder : Encoder or str, optional
            The encoder, or its reference, that embeds texts which the store lacks. Without it the one that the store
            recorded is used, from local files; one of ``py:``, which runs your code, only if it is named here.

        Raises
        ------
        MissingFileError, SchemaError, ChecksumError
            Naming the file.
        FingerprintError
            If the encoder did not make the store; the message shows the difference.
        """
        from equipoise.store.opening import open_store

        return open_store(Path(store), encoder=encoder)

    @classmethod
    def from_arrays(
        cls,
        image: ArrayLike,
        samples: Samples,
        *,
        texts: Sequence[str] | None = None,
        text: ArrayLike | None = None,
        vocabulary: Vocabulary | None = None,
        encoder: Mapping[str, Any] | Encoder | None = None,
        preprocessing: Mapping[str, Any] | None = None,
    ) -> EmbeddingSet:
        """Hold embeddings in memory.

        Parameters
        ----------
        image : array (rows, d) of floats
            Row i belongs to row i of the table *as it was given* to ``read_samples``, whatever the order of
            ``samples``. Rows need not be normalised; those with NaN, infinity or length zero are set aside.
        samples : Samples
        texts, text : sequence of str and array (m, d), optional
            Texts and their vectors.
        vocabulary : Vocabulary, optional
            Instead of that of ``samples``, as to add prompts.
        encoder : mapping or Encoder, optional
            ``name`` and ``fingerprint`` of what made the vectors; an encoder also embeds texts that have none.

        Raises
        ------
        EmbeddingError
            If shapes, widths or types do not fit.
        """
        array = np.asarray(image)
        check_floats(array, "The image array")
        if len(array) != samples.rows_read:
            raise EmbeddingError(
                f"The image array has {len(array)} rows, the table {samples.rows_read}.",
                "Give one vector per row of the table as it was read, before any 'where'.",
            )
        if (texts is None) != (text is None):
            raise EmbeddingError("Texts and their vectors come together.", "Give both 'texts' and 'text'.")
        words: TextVectors | GrowingTexts | None = None
        if text is not None and texts is not None:
            check_floats(np.asarray(text), "The text array")
            words = TextVectors(texts, np.asarray(text), "The text embeddings")
        if vocabulary is not None:
            samples = replace(samples, vocabulary=vocabulary.merged(samples.vocabulary))
        vectors = Vectors([array], ["The image array"])
        described: Mapping[str, Any] = encoder if isinstance(encoder, Mapping) else {}
        if encoder is not None and not isinstance(encoder, Mapping):
            described = {"name": encoder.name, "fingerprint": encoder.fingerprint}
            words = GrowingTexts(
                dim=vectors.dim,
                fingerprint=encoder.fingerprint,
                what="The text embeddings",
                encoder=encoder,
                base=words,
            )
        return cls(
            samples,
            reasons_of(vectors, samples.position),
            samples.position,
            vectors,
            words,
            encoder={"ref": "arrays", "name": "arrays", "fingerprint": {}, **described},
            preprocessing=preprocessing,
            inputs=samples.inputs,
        )


def reasons_of(vectors: Vectors, index: NDArray[np.int64]) -> list[str]:
    """Return why each row is set aside, ``""`` for the usable: no embedding (index -1), not finite, zero length.

    Raises
    ------
    EmbeddingError
        If no row is left.
    """
    by_vector = np.full(len(vectors) + 1, "", object)
    for reason, rows in unusable(vectors.lengths()).items():
        by_vector[rows] = f"embedding: {reason}"
    by_vector[-1] = "no embedding"
    reasons = by_vector[index].tolist()
    if all(reasons):
        counts = ", ".join(f"{count} {reason}" for reason, count in sorted(Counter(reasons).items()))
        raise EmbeddingError(f"No row can be used: {counts}.", "Check the embeddings and the ids of the rows.")
    return reasons
