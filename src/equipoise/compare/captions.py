"""What training did to retrieval between pictures and captions, of people and of everything else, as notes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from equipoise.annotate.tagging import tag_captions
from equipoise.audit.scoring import CAPTIONS
from equipoise.errors import MissingTextError
from equipoise.metrics.caption_retrieval import IMAGE_TO_TEXT, PARTS, TEXT_TO_IMAGE, caption_retrieval
from equipoise.store.embeddings import EmbeddingSet

KS = (1, 5, 10)
DIRECTIONS = {IMAGE_TO_TEXT: "image to caption", TEXT_TO_IMAGE: "caption to image"}


def caption_notes(
    before: EmbeddingSet, after: EmbeddingSet, *, level: float = 0.95, minimum: int = 30, seed: int = 0
) -> list[str]:
    """Return recall at 1, 5 and 10 in both directions, before and after, for all pictures, people and other.

    Rows with one picture are one image with several captions. Pictures of people are those of which any caption names a
    person or an occupation (word list ``people-en-1``); where it cannot read every caption, the parts are left out and
    a note says so. No part of the tests of the ledger: a balanced set of data shows fewer or more people, so that a loss
    may belong to one part alone.

    Parameters
    ----------
    before, after : EmbeddingSet
        Both of the same samples.
    level, minimum, seed
        Of the intervals (bootstrap of images with their captions); fewer images give no number; seed.

    Returns
    -------
    list of str
        Empty without captions, without their vectors, or where the sides hold different rows.
    """
    samples = before.samples
    if "caption" not in samples.roles or list(samples.ids) != list(after.samples.ids):
        return []
    texts = [str(text or "") for text in samples.column("caption")]
    rows = np.asarray([i for i, text in enumerate(texts) if text.strip()], np.int64)[:CAPTIONS]
    if not rows.size:
        return []
    pictures = list(samples.column("image")) if "image" in samples.roles else list(samples.ids)
    names, first, owner = np.unique([str(pictures[i]) for i in rows], return_index=True, return_inverse=True)
    asked = [texts[i] for i in rows]
    people, notes = _people(asked, owner.reshape(-1), names.size)
    found = []
    for side in (before, after):
        try:
            captions = side.text(asked)
        except MissingTextError:
            return []
        vectors = side.vectors()[rows[first]]
        found.append(
            caption_retrieval(vectors, captions, owner.reshape(-1), people=people, ks=KS, level=level, min_rows=minimum,
                              seed=seed)
        )  # fmt: skip
    for part in PARTS:
        for direction, words in DIRECTIONS.items():
            own = [[side.recall.get((direction, part, k)) for k in KS] for side in found]
            numbers = [
                f"R@{k} {one.value:.3f} [{one.low:.3f}, {one.high:.3f}] -> {two.value:.3f} [{two.low:.3f}, {two.high:.3f}]"
                for k, one, two in zip(KS, *own, strict=True)
                if one is not None and two is not None and one.status == two.status == "ok"
            ]
            if numbers:
                n = own[0][0].n if own[0][0] is not None else 0
                notes.append(f"Caption retrieval, {part}, {words} (n = {n}): {'; '.join(numbers)}.")
    return notes


def _people(
    captions: Sequence[str], owner: NDArray[np.integer], images: int
) -> tuple[NDArray[np.bool_] | None, list[str]]:
    """Return which images show people as their captions say, None where captions cannot be read, and what to say."""
    tags = tag_captions(captions)
    unread = sum(status != "" for status in tags.status.to_pylist())
    if unread:
        return None, [f"Caption retrieval is not split by people: the word list cannot read {unread} captions."]
    genders, jobs = (tags.columns[name].to_pylist() for name in ("gender", "occupation"))
    nothing = tags.lexicon.variables["gender"].nothing
    shown = np.zeros(images, bool)
    np.logical_or.at(shown, owner, [gender != nothing or bool(job) for gender, job in zip(genders, jobs, strict=True)])
    return shown, []
