"""Texts with their vectors that grow: what is missing is embedded once, by the encoder that made the pictures' vectors.

Notation: m texts, d dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise import loading
from equipoise.data.model_output import checked_texts
from equipoise.data.vectors import TextVectors, no_vectors, unit, unusable
from equipoise.errors import EmbeddingError, FingerprintError, InputError, LockedError, MissingTextError, listed
from equipoise.progress import advance
from equipoise.protocols import Encoder
from equipoise.registry import ENCODERS
from equipoise.schema import plain
from equipoise.store.files import differences, lock
from equipoise.store.text_files import ARRAYS, TABLE, KeptTexts, check_text, nothing, read_texts, write_texts

BATCH = 256
"""Texts that an encoder is given at a time."""
SAVED = 8192
"""Texts after which the store is written, so that little is lost when a run is killed."""
ALIKE = 0.99
"""Cosine from which two vectors of one text are taken to be of one encoder (half precision reaches 0.999)."""


class GrowingTexts:
    """Texts with their vectors, looked up by the exact string; missing ones are embedded where an encoder is at hand.

    Parameters
    ----------
    dim : int
        Dimensions of the pictures' vectors.
    fingerprint : mapping
        Of the encoder that made the pictures' vectors; a live one must have the same.
    what : str
        Where the texts come from, for messages: ``"The texts of 'demo'"``.
    encoder : Encoder or str, optional
        Named by the user: an encoder, or its reference.
    ref : str
        The reference that the store recorded. It is used where the user names no encoder, read from local files only;
        ``py:`` runs code and is never used in this way.
    base : TextVectors, optional
        Texts that came with the pictures' vectors; they are never written again.
    store : path, optional
        The folder that keeps what is embedded; without it, or where it cannot be written, that stays in memory.

    Attributes
    ----------
    notes : list of str
        What a person must know: of the encoder, and where texts could not be kept.
    """

    def __init__(
        self,
        *,
        dim: int,
        fingerprint: Mapping[str, Any],
        what: str,
        encoder: Encoder | str | None = None,
        ref: str = "",
        base: TextVectors | None = None,
        store: Path | None = None,
    ) -> None:
        self.dim, self.what, self.notes = dim, what, []
        self._fingerprint: dict[str, Any] = plain(fingerprint)
        self._named, self._ref, self._base, self._store = encoder, ref, base, store
        self._live: Encoder | None = None
        self._grown = nothing(dim)
        if base is not None and base.dim != dim:
            raise EmbeddingError(
                f"Image embeddings have {dim} columns, text embeddings {base.dim}: they do not share a space.",
                "Embed pictures and texts with one encoder.",
            )
        if store is not None:
            self._grown = read_texts(store, dim, self._fingerprint)
        if encoder is not None:
            self._encoder([])  # a wrong one is told at once

    @property
    def texts(self) -> list[str]:
        """All texts that have a vector."""
        return [*(self._base.texts if self._base is not None else ()), *self._grown.texts]

    @property
    def live(self) -> bool:
        """Whether an encoder was named, by the user or by a store whose pictures it embedded."""
        return self._named is not None or (bool(self._ref) and self._fingerprint.get("kind") != "precomputed")

    @property
    def logit_scale(self) -> float | None:
        """Factor by which the encoder at hand turns cosines into logits; None where none is loaded or it tells none."""
        live = self._named if self._live is None else self._live
        scale = None if isinstance(live, str) else getattr(live, "logit_scale", None)
        return None if scale is None else float(scale)

    def missing(self, texts: Sequence[str]) -> list[str]:
        """Return those of some texts that have no vector yet, each once, in order."""
        left = self._base.missing(texts) if self._base is not None else list(dict.fromkeys(texts))
        return [text for text in left if text not in self._grown]

    def truncated(self, texts: Sequence[str]) -> list[str]:
        """Return those of some texts that the encoder did not read to their end, each once, in order."""
        return self._grown.truncated(texts)

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return (m, d) float32 unit vectors in the order of ``texts``.

        Raises
        ------
        MissingTextError
            If a text has no vector and no encoder is at hand; ``value`` holds all such texts.
        FingerprintError
            If the encoder at hand is not the one that made the pictures' vectors; the message shows the difference.
        InputError
            If a text is empty or no text.
        EmbeddingError
            If a vector has no direction, or the encoder's answer cannot be used.
        """
        for text in dict.fromkeys(texts):
            check_text(text)
        if missing := self.missing(texts):
            self._embed(missing)
        if self._base is None:
            return self._grown(texts)
        grown = set(self._base.missing(texts))
        ours = np.array([text in grown for text in texts], bool)
        out = np.empty((len(texts), self.dim), np.float32)
        out[ours] = self._grown([text for text in texts if text in grown])
        out[~ours] = self._base([text for text in texts if text not in grown])
        return out

    # ------------------------------------------------------------------------------------------------- embedding

    def _embed(self, missing: list[str]) -> None:
        encoder = self._encoder(missing)
        for start in range(0, len(missing), SAVED):
            part = missing[start : start + SAVED]
            vectors = np.empty((len(part), self.dim), np.float32)
            for first in range(0, len(part), BATCH):
                advance("embedding texts", start + first, len(missing))
                batch = part[first : first + BATCH]
                vectors[first : first + len(batch)] = self._asked(encoder, batch, missing)
            for reason, bad in unusable(unit(vectors)[1]).items():
                raise EmbeddingError(
                    f"'{encoder.name}' gives a vector of {reason} for {bad.size} texts: "
                    f"{listed([repr(part[row]) for row in bad])}.",
                    "Look at what these texts do to the encoder.",
                    value=[part[row] for row in bad],
                )
            ask = getattr(encoder, "truncated", None)
            cut = [bool(flag) for flag in ask(part)] if ask is not None else [False] * len(part)
            self._keep(KeptTexts(part, vectors, cut, plain(encoder.fingerprint)))
        advance("embedding texts", len(missing), len(missing))

    def _asked(self, encoder: Encoder, batch: list[str], missing: list[str]) -> NDArray[np.float32]:
        """Return an encoder's vectors; one of recorded vectors that cannot embed tells of all texts that are missing."""
        try:
            return checked_texts(encoder, batch)
        except (EmbeddingError, FingerprintError):
            raise
        except MissingTextError as error:
            raise no_vectors(self.what, missing, self.texts) from error
        except InputError as error:
            if self._named is not None:
                raise
            raise no_vectors(self.what, missing, self.texts, f"{error.what} {error.remedy}") from error

    def _encoder(self, missing: list[str]) -> Encoder:
        """Return the live encoder, loaded and compared at the first call."""
        if self._live is None:
            found = self._loaded(missing) if self._named is None or isinstance(self._named, str) else self._named
            self._live = self._compared(found)
            self._note(*getattr(found, "notes", ()))
        return self._live

    def _loaded(self, missing: list[str]) -> Encoder:
        if isinstance(self._named, str):
            return self._opened(self._named, local=False)
        name, _, argument = self._ref.partition(":")
        if name == loading.USERS_CODE:
            remedy = (
                f"Name the encoder, whose code then runs: --encoder {self._ref} (EmbeddingSet.load(..., encoder=))."
            )
            raise no_vectors(self.what, missing, self.texts, remedy)
        if name not in ENCODERS or (name == "precomputed" and argument):
            raise no_vectors(
                self.what, missing, self.texts,
                "Embed these texts with the same encoder and add them to the text vectors, or name that encoder (--encoder).",
            )  # fmt: skip
        try:
            return self._opened(self._ref, local=True)
        except InputError as error:
            remedy = f"The encoder '{self._ref}' cannot be loaded: {error.what} {error.remedy}"
            raise no_vectors(self.what, missing, self.texts, remedy) from error

    def _opened(self, ref: str, *, local: bool) -> Encoder:
        """Return the encoder of a reference; a model that does not say how pictures are made is told what was recorded."""
        try:
            return loading.load_encoder(ref, local=local)
        except InputError:
            recorded = self._fingerprint.get("preprocessing")
            if not recorded or not loading.takes(ref, "preprocessing"):
                raise
            return loading.load_encoder(ref, local=local, preprocessing=recorded)

    def _compared(self, encoder: Encoder) -> Encoder:
        """Return the encoder, behind the preprocessing that the store recorded, if it made the pictures' vectors."""
        if encoder.dim != self.dim:
            raise EmbeddingError(
                f"Image embeddings have {self.dim} columns, the texts of '{encoder.name}' {encoder.dim}: "
                "they do not share a space.",
                "Name the encoder that embedded the pictures.",
            )
        if not self._fingerprint or plain(encoder.fingerprint) == self._fingerprint:
            return encoder
        turn: Any = getattr(encoder, "with_preprocessing", None)
        own: Any = getattr(encoder, "preprocessing", None)
        if self._fingerprint.get("kind") != "precomputed" and hasattr(type(encoder), "live"):
            return self._compared(encoder.live)  # type: ignore[attr-defined]  # recorded vectors, and what made them
        recorded = self._fingerprint.get("preprocessing")
        if turn is not None and recorded and hasattr(own, "from_dict"):
            turned = turn(type(own).from_dict(recorded))
            if plain(turned.fingerprint) == self._fingerprint:
                return turned
        if self._fingerprint.get("kind") == "precomputed" and self._named is not None:
            self._compare_vectors(encoder)
            return encoder
        raise FingerprintError(
            f"The encoder '{encoder.name}' is not the one that embedded the pictures: "
            f"{'; '.join(differences(self._fingerprint, plain(encoder.fingerprint))[:8])}.",
            "Name the encoder that made the store (--encoder), or embed the pictures again.",
            value=encoder.name,
        )

    def _compare_vectors(self, encoder: Encoder) -> None:
        """Hold an encoder against recorded vectors of texts: embeddings made elsewhere do not say what made them."""
        known = self._base.texts if self._base is not None else []
        sample = list(dict.fromkeys(known[:: max(1, len(known) // 16)]))[:16]
        if not sample:
            self._note(
                f"Texts were embedded by '{encoder.name}', as the user says: the pictures' vectors came without texts to "
                "compare it by."
            )
            return
        cosines = np.einsum("md,md->m", self(sample), unit(checked_texts(encoder, sample))[0])
        worst = int(cosines.argmin())
        if not cosines[worst] >= ALIKE:
            raise FingerprintError(
                f"The encoder '{encoder.name}' did not make these embeddings: its vector of {sample[worst]!r} has the cosine "
                f"{cosines[worst]:.3f} with the recorded one.",
                "Name the encoder that made them.",
                value=encoder.name,
            )
        self._note(
            f"Texts without a vector were embedded by '{encoder.name}', which gives the recorded vectors of {len(sample)} "
            f"texts (lowest cosine {cosines[worst]:.4f})."
        )

    def _note(self, *notes: str) -> None:
        self.notes += [note for note in notes if note not in self.notes]

    # --------------------------------------------------------------------------------------------------- keeping

    def _keep(self, new: KeptTexts) -> None:
        """Append texts, to the store if it can be written."""
        if self._grown.made_by is not None and self._grown.made_by != new.made_by:
            raise FingerprintError(
                f"{self.what} were embedded by another encoder: "
                f"{'; '.join(differences(self._grown.made_by, new.made_by)[:8])}.",
                f"Name that encoder, or remove {TABLE} and {ARRAYS}: they are made again.",
            )
        if self._store is not None:
            try:
                with lock(self._store):
                    # Another process may have added some, or somebody removed the files.
                    there = read_texts(self._store, self.dim, self._fingerprint)
                    self._grown = there.with_(self._grown).with_(new)
                    write_texts(self._store, self._grown, self._fingerprint)
                return
            except LockedError:
                self._forsake("another process works on it")
            except InputError as error:
                if not isinstance(error.__cause__, OSError):
                    raise
                self._forsake(error.__cause__.strerror or "it cannot be written")
        self._grown = self._grown.with_(new)

    def _forsake(self, why: str) -> None:
        self._note(f"Texts were embedded and not kept in '{self._store}': {why}.")
        self._store = None
