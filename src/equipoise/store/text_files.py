"""The texts that a store has embedded, on disk: ``text.parquet`` and ``text.safetensors``.

``text.parquet`` (``text``; ``truncated``: the encoder did not read it to its end) holds the texts in the order in which they
were first asked for, ``text.safetensors`` (one tensor ``text``, (m, d) float32) their vectors. The table is written first
and the vectors last: the vectors' file says how many texts it covers and holds the SHA-256 of those and of its own numbers,
so that a run that is killed between the two leaves a store that opens.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from equipoise.data.vectors import unit
from equipoise.errors import ChecksumError, FingerprintError, InputError
from equipoise.store.atomic import PARTIAL
from equipoise.store.files import differences, read_arrays, read_metadata, read_table, write_arrays, write_table

TABLE, ARRAYS = "text.parquet", "text.safetensors"
SCHEMA = "equipoise.texts/1"


@dataclass(frozen=True)
class KeptTexts:
    """Texts, each once, with what an encoder made of them.

    Attributes
    ----------
    texts : list of str
    rows : ndarray (m, d), float32
    cut : list of bool
        Whether the encoder did not read a text to its end.
    made_by : dict or None
        Fingerprint of the encoder; None where there are no texts.
    """

    texts: list[str]
    rows: NDArray[np.float32]
    cut: list[bool]
    made_by: dict[str, Any] | None

    @cached_property
    def _index(self) -> dict[str, int]:
        return {text: row for row, text in enumerate(self.texts)}

    def __contains__(self, text: object) -> bool:
        return text in self._index

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return (m, d) float32 unit vectors of texts that are here."""
        return unit(self.rows[np.array([self._index[text] for text in texts], np.int64)])[0]

    def truncated(self, texts: Iterable[str]) -> list[str]:
        """Return those of some texts that were cut, each once, in order."""
        return [text for text in dict.fromkeys(texts) if text in self and self.cut[self._index[text]]]

    def with_(self, new: KeptTexts) -> KeptTexts:
        """Return these texts and, after them, those of another that are not here."""
        fresh = [row for row, text in enumerate(new.texts) if text not in self]
        return KeptTexts(
            [*self.texts, *(new.texts[row] for row in fresh)],
            np.concatenate([self.rows, new.rows[fresh]]) if fresh else self.rows,
            [*self.cut, *(new.cut[row] for row in fresh)],
            self.made_by if self.made_by is not None else new.made_by,
        )


def nothing(dim: int) -> KeptTexts:
    """Return no texts."""
    return KeptTexts([], np.empty((0, dim), np.float32), [], None)


def write_texts(store: Path, kept: KeptTexts, fingerprint: Mapping[str, Any]) -> None:
    """Write texts into a store whose lock is held; ``fingerprint`` is that of its pictures' vectors."""
    for leftover in store.glob(f".text.*{PARTIAL}"):
        leftover.unlink(missing_ok=True)
    write_table(store / TABLE, pa.table({"text": pa.array(kept.texts, pa.string()), "truncated": kept.cut}))
    head = {
        "schema": SCHEMA,
        "pictures": dict(fingerprint),
        "encoder": kept.made_by,
        "texts": len(kept.texts),
        "texts_sha256": _digest(kept.texts, kept.cut),
        "vectors_sha256": _digest_of(kept.rows),
    }
    write_arrays(store / ARRAYS, {"text": kept.rows}, json.dumps(head, sort_keys=True))


def read_texts(store: Path, dim: int, fingerprint: Mapping[str, Any]) -> KeptTexts:
    """Return the texts that a store has embedded.

    Raises
    ------
    ChecksumError
        If a file is not what was written.
    FingerprintError
        If they belong to other pictures' vectors.
    """
    if not (store / ARRAYS).is_file():
        return nothing(dim)
    try:
        head = json.loads(read_metadata(store / ARRAYS))
        count, made_by, pictures = int(head["texts"]), dict(head["encoder"]), dict(head["pictures"])
        digests = str(head["texts_sha256"]), str(head["vectors_sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(store / ARRAYS) from error
    rows = read_arrays(store / ARRAYS).get("text")
    if rows is None or rows.shape != (count, dim) or rows.dtype != np.float32 or _digest_of(rows) != digests[1]:
        raise _damaged(store / ARRAYS)
    table = read_table(store / TABLE)
    if table.column_names != ["text", "truncated"] or len(table) < count:
        raise _damaged(store / TABLE)
    try:
        texts, cut = (table[name].slice(0, count).to_pylist() for name in table.column_names)
    except UnicodeDecodeError as error:
        raise _damaged(store / TABLE) from error
    if _digest(texts, cut) != digests[0]:
        raise _damaged(store / TABLE)
    if pictures != fingerprint:
        raise FingerprintError(
            f"'{store / ARRAYS}' belongs to other pictures' vectors: {'; '.join(differences(pictures, fingerprint)[:8])}.",
            f"Remove {TABLE} and {ARRAYS}: they are made again.",
            value=str(store),
        )
    return KeptTexts(texts, rows, cut, made_by)


def check_text(text: Any) -> None:
    """Refuse what is no text, or an empty one, or one that cannot be written as UTF-8."""
    if not isinstance(text, str):
        raise InputError(f"{text!r} is a {type(text).__name__} and no text.", "Give texts.", value=repr(text))
    if not text.strip():
        raise InputError(f"The text {text!r} is empty.", "Remove it: an empty text has no meaning.", value=text)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"The text {text!r} is no Unicode.", "Save it as UTF-8.", value=repr(text)) from error


def _digest(texts: list[str], cut: list[bool]) -> str:
    return hashlib.sha256(json.dumps([texts, cut]).encode()).hexdigest()


def _digest_of(rows: NDArray[np.float32]) -> str:
    return hashlib.sha256(np.ascontiguousarray(rows).tobytes()).hexdigest()


def _damaged(path: Path) -> ChecksumError:
    return ChecksumError(
        f"'{path}' is not what was written there.",
        f"Restore it, or remove {TABLE} and {ARRAYS}: they are made again.",
        value=str(path),
    )
