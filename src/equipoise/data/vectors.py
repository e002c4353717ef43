"""Arrays of vectors that somebody made: opened under checks, read by row, brought to unit length.

Notation: n rows, d dimensions. Arrays stay on disk; only the rows that are asked for are read.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from equipoise.errors import EmbeddingError, MissingFileError, MissingTextError, did_you_mean, listed

SLAB = 1024
"""Rows that are normalised at a time: their float64 copy stays in the cache."""


class Part(Protocol):
    """One file of vectors: its shape, and rows by index."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, d)."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """float16, float32 or float64."""
        ...

    def __getitem__(self, rows: Any, /) -> NDArray[Any]:
        """Return rows by slice or by an array of indices."""
        ...


def check_floats(array: Any, what: str) -> None:
    """Refuse what is not an (n, d) array of float16, float32 or float64 with d at least 1."""
    if len(array.shape) != 2 or array.shape[1] == 0:
        raise EmbeddingError(
            f"{what} has the shape {tuple(array.shape)}.",
            "Embeddings are a table: a row per item, a column per dimension.",
        )
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        raise EmbeddingError(
            f"{what} holds {array.dtype}, not float16, float32 or float64.", "Save the embeddings as floats."
        )


def open_npy(path: Path) -> NDArray[Any]:
    """Return an ``.npy`` file of (n, d) floats as a read-only memory map; C and Fortran order alike.

    Raises
    ------
    MissingFileError, EmbeddingError
        If it is absent, is no array, holds objects (they would need pickle), integers, or has another shape.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise MissingFileError(f"There is no file '{path}'.", "Check the folder.", value=str(path)) from error
    except Exception as error:  # a damaged header is tokenised as Python and raises whatever that raises
        raise EmbeddingError(
            f"'{path}' cannot be read as an array: {error}.", "Save it with numpy.save as floats.", value=str(path)
        ) from error
    if not isinstance(array, np.ndarray):
        raise EmbeddingError(f"'{path}' is not an .npy array.", "Save it with numpy.save as floats.", value=str(path))
    check_floats(array, f"'{path.name}'")
    return array


def unit(rows: NDArray[Any], out: NDArray[np.float32] | None = None) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return ((n, d) float32 rows of unit length, (n,) float64 lengths before); ``out`` receives the rows if given.

    A row of length zero stays zero; one with NaN or infinity has a length that is not finite, and is NaN.
    """
    out = np.empty(rows.shape, np.float32) if out is None else out
    norms = np.empty(len(rows), np.float64)
    with np.errstate(all="ignore"):
        for start in range(0, len(rows), SLAB):
            slab = np.asarray(rows[start : start + SLAB], np.float64, order="C")
            length = np.sqrt(np.einsum("ij,ij->i", slab, slab))
            norms[start : start + SLAB] = length
            scale = np.where(np.isfinite(length), np.where(length > 0, length, 1.0), np.nan)
            np.divide(slab, scale[:, None], out=out[start : start + SLAB], casting="unsafe")
    return out, norms


class Vectors:
    """Files of vectors, one after the other, as one array of rows.

    Parameters
    ----------
    parts : sequence of arrays (n_i, d)
        Arrays, memory maps, or shards that read rows on demand.
    names : sequence of str
        What a message calls each.
    """

    def __init__(self, parts: Sequence[Part], names: Sequence[str]) -> None:
        if not parts:
            raise EmbeddingError("There are no embeddings.", "Give at least one array.")
        for part, name in zip(parts, names, strict=True):
            if part.shape[1] != parts[0].shape[1]:
                raise EmbeddingError(
                    f"{name} has {part.shape[1]} columns and {names[0]} {parts[0].shape[1]}.",
                    "All files of one set have the same width.",
                )
        self.parts = list(parts)
        self.starts = np.cumsum([0, *(part.shape[0] for part in parts)])
        self.dim = int(parts[0].shape[1])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return rows by index, in the order asked for; float16, float32 or float64 as they were made."""
        if len(self.parts) == 1:
            return _rows(self.parts[0], rows)
        owner = np.searchsorted(self.starts, rows, side="right") - 1
        kind = np.result_type(*(part.dtype for part in self.parts))
        out = np.empty((len(rows), self.dim), kind)
        for index in np.unique(owner):
            mine = owner == index
            out[mine] = _rows(self.parts[index], rows[mine] - self.starts[index])
        return out

    def lengths(self) -> NDArray[np.float64]:
        """Return (n,) float64 lengths, not finite where a row has a NaN or an infinity; one pass over the files."""
        out = np.empty(len(self), np.float64)
        with np.errstate(all="ignore"):
            for part, first in zip(self.parts, self.starts, strict=False):
                for start in range(0, part.shape[0], SLAB):
                    slab = np.asarray(part[start : start + SLAB], np.float64, order="C")
                    out[first + start : first + start + len(slab)] = np.sqrt(np.einsum("ij,ij->i", slab, slab))
                forget(part)
        return out


def _rows(part: Part, rows: NDArray[np.int64]) -> NDArray[Any]:
    if len(rows) and rows[-1] - rows[0] + 1 == len(rows) and np.all(np.diff(rows) == 1):
        found = np.array(part[int(rows[0]) : int(rows[-1]) + 1])
    else:
        found = np.asarray(part[rows])
    forget(part)
    return found


def forget(part: Any) -> None:
    """Let go of the pages of a memory map: a pass over an index would otherwise count all of it as memory in use."""
    held = getattr(part, "base", None)
    if isinstance(held, mmap.mmap) and hasattr(held, "madvise"):
        held.madvise(mmap.MADV_DONTNEED)


def unusable(lengths: NDArray[np.float64]) -> dict[str, NDArray[np.int64]]:
    """Return reason to indices of the rows that have no direction."""
    reasons = {"not finite": ~np.isfinite(lengths), "zero length": lengths == 0}
    return {reason: np.flatnonzero(rows) for reason, rows in reasons.items() if rows.any()}


def no_vectors(what: str, missing: Sequence[str], known: Sequence[str], remedy: str = "") -> MissingTextError:
    """Return the error for texts that have no vector; it lists them, and proposes a near one of those known."""
    return MissingTextError(
        f"{what} have no vector for {len(missing)} of the texts: "
        f"{listed([repr(text) for text in missing], 100)}.{did_you_mean(missing[0], known[:5000])}",
        remedy or "Embed these texts with the same encoder and add them to the text vectors.",
        value=list(missing),
    )


class TextVectors:
    """Texts with their vectors, looked up by the exact string.

    Parameters
    ----------
    texts : sequence of str
    vectors : Vectors or (m, d) array
    what : str
        Where they come from, for messages.
    """

    def __init__(self, texts: Iterable[str], vectors: Vectors | NDArray[Any], what: str) -> None:
        self.texts = list(texts)
        self.vectors = vectors if isinstance(vectors, Vectors) else Vectors([np.asarray(vectors)], [what])
        self.what = what
        if len(self.texts) != len(self.vectors):
            raise EmbeddingError(
                f"{what} have {len(self.vectors)} vectors and {len(self.texts)} texts.", "Give one vector per text."
            )
        self._index = dict(zip(reversed(self.texts), range(len(self.texts) - 1, -1, -1), strict=True))
        if len(self._index) < len(self.texts):
            self._check_twins()

    @property
    def dim(self) -> int:
        """Dimensions of a vector."""
        return self.vectors.dim

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return (m, d) float32 unit vectors in the order of ``texts``.

        Raises
        ------
        MissingTextError
            If a text has no vector; ``value`` holds all that are missing.
        EmbeddingError
            If a vector asked for has no direction.
        """
        if missing := self.missing(texts):
            raise no_vectors(self.what, missing, self.texts)
        rows, lengths = unit(self.vectors.take(np.array([self._index[text] for text in texts], np.int64)))
        for reason, bad in unusable(lengths).items():
            raise EmbeddingError(
                f"{self.what}: the vector of {texts[int(bad[0])]!r} is {reason}.", "Embed that text again."
            )
        return rows

    def missing(self, texts: Iterable[str]) -> list[str]:
        """Return those of some texts that have no vector, each once, in order."""
        return [text for text in dict.fromkeys(texts) if text not in self._index]

    def _check_twins(self) -> None:
        """Refuse a text that occurs twice with vectors that differ by more than the noise of batches."""
        for row, text in enumerate(self.texts):
            first = self._index[text]
            if first == row:
                continue
            pair = self.vectors.take(np.array([first, row], np.int64))
            if not np.allclose(pair[0], pair[1], rtol=1e-2, atol=1e-3):
                raise EmbeddingError(
                    f"{self.what}: {text!r} occurs twice (rows {first + 1} and {row + 1}) with different vectors.",
                    "Keep one.",
                    value=text,
                )
